//! The rules of delimited text, against commons-csv's behaviour and against a writer.

use super::*;
use crate::{
    conformance::{Sample, conformance_with},
    decoder::Stage,
};
use proptest::prelude::*;
use std::sync::Arc;
use weir_types::{ColumnName, DataType, FieldKind, FieldSpec, Schema, SchemaVersion};

fn schema() -> Arc<Schema> {
    let field = |(name, data_type, single_value): (&str, DataType, bool)| FieldSpec {
        single_value,
        ..FieldSpec::new(ColumnName::parse(name).unwrap(), data_type, FieldKind::Dimension)
    };
    let fields =
        [("a", DataType::String, true), ("n", DataType::Long, true), ("m", DataType::Int, false)].map(field).to_vec();
    Arc::new(Schema::new("t", SchemaVersion(1), fields))
}

fn made(settings: &[(&str, &str)]) -> Result<CsvDecoder, FormatError> {
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    CsvDecoder::new(&settings, &DecodeSpec { schema: schema(), continue_on_error: false, topic: "t".into(), raw: 0 })
}

/// Column `a` of each message, its text or `NULL`, or the reason why there is no row.
fn texts(settings: &[(&str, &str)], messages: &[&str]) -> Vec<String> {
    let mut decoder = made(settings).unwrap();
    let mut rows = RowBatch::new(&schema());
    let mut payloads =
        (0u32..).zip(messages).map(|(message, text)| Payload { message, value: text.as_bytes(), key: None });
    let decoded = decoder.decode(&mut payloads, &mut rows);
    let mut found: Vec<(u32, String)> =
        decoded.rejects.into_iter().map(|reject| (reject.message, reject.reason)).collect();
    for (row, message) in rows.message_of_row.iter().enumerate() {
        let null = rows.columns[0].nulls.contains(&u32::try_from(row).unwrap());
        found.push((*message, if null { "NULL".to_owned() } else { rows.columns[0].data.get(row).to_string() }));
    }
    found.sort();
    found.into_iter().map(|(_, text)| text).collect()
}

#[test]
fn conforms() {
    let encode = |sample: &Sample| {
        let name = sample.name.as_ref().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).unwrap_or_default();
        let score = sample.score.map(|score| score.to_string()).unwrap_or_default();
        format!("{},{name},x,{score},{}", sample.id, sample.tags.join(";")).into_bytes()
    };
    let make = |spec| {
        let settings = BTreeMap::from([("header".to_owned(), "id,name,other,score,tags".to_owned())]);
        Box::new(CsvDecoder::new(&settings, &spec).unwrap()) as Box<dyn Decoder>
    };
    conformance_with(&make, &encode, &[b"", b"\xff\xfe\xfd\x00", b"\r\n\n", b"1,\"x", b"1,\"x\"y,z"]);
}

#[test]
fn fields_are_read_as_commons_csv_reads_them() {
    let header = ("header", "n,a,m");
    for (settings, message, expected) in [
        (vec![header], "1,x,2", "x"),
        (vec![header], "1,\"x,\"\"y\"\"\nz\",2\r\n", "x,\"y\"\nz"),
        (vec![header], "1,\"x\"  ,2", "x"),
        (vec![header], "1, \"x\",2", " \"x\""),
        (vec![header], "1,x \"y\" z,2", "x \"y\" z"),
        (vec![header], "\n\n1,x,2", "x"),
        (vec![header], "1,,2", "NULL"),
        (vec![header], "1,\"\",2", "NULL"),
        (vec![header], "1", "NULL"),
        (vec![header], "1,x,2,more,fields", "x"),
        (vec![header], "1,x;y,2", "x;y"),
        (vec![header, ("fileFormat", "rfc4180")], "\n1,x,2", "NULL"),
        (vec![header, ("ignoreEmptyLines", "false")], "\n1,x,2", "NULL"),
        (vec![header, ("ignoreSurroundingSpaces", "true")], "1,  x  , 2", "x"),
        (vec![header, ("ignoreSurroundingSpaces", "true")], "1,  \" x \"  , 2", " x "),
        (vec![header, ("nullStringValue", "nil")], "1,nil,2", "NULL"),
        (vec![header, ("commentMarker", "#")], "# x\r\n1,#y,2", "#y"),
        (vec![header, ("quoteCharacter", "'")], "1,'x,y',2", "x,y"),
        (vec![header, ("escapeCharacter", "\\")], "1,x\\,y\\\\z\\n\\q,2", "x,y\\z\n\\q"),
        (vec![header, ("escapeCharacter", "\\")], "1,\"x\\\"y\",2", "x\"y"),
        (vec![header, ("skipHeader", "true")], "n,a,m\n1,x,2", "x"),
        (vec![("header", "n|a|m"), ("delimiter", "|")], "1|x,y|2", "x,y"),
        (vec![("header", "n a m")], "1,x,2", "x"),
        (vec![("header", "n\ta\tm"), ("fileFormat", "TDF")], "1\t x \t2", "x"),
        (vec![("header", "n\ta\tm"), ("fileFormat", "MYSQL")], "1\t\\N\t2", "NULL"),
        (vec![("header", "n\ta\tm"), ("fileFormat", "MYSQL")], "1\t\"x\\ty\"\t2", "\"x\ty\""),
        (vec![("header", "n;a"), ("delimiter", ";"), ("multiValueDelimiter", "|")], "1;x", "x"),
        (vec![("header", "a,n,a")], "first,1,last", "last"),
        (vec![header, ("quoteMode", "ALL"), ("recordSeparator", "|")], "1,x,2", "x"),
    ] {
        assert_eq!(texts(&settings, &[message]), [expected], "{settings:?} {message:?}");
    }
}

#[test]
fn without_a_header_each_message_brings_its_own() {
    let found = texts(&[], &["a,n\nx,1", "a,n\r\ny,2", "n,a\n3,z", "n,a", "n,a\n4,w\n"]);
    let only =
        "only one line is in the message, and it is taken as the header: name the fields in header (byte 3 of 3)";
    assert_eq!(found, ["x", "y", "z", only, "w"]);
}

#[test]
fn values_of_a_cell_are_cut_and_what_follows_is_counted() {
    let mut decoder = made(&[("header", "m,a")]).unwrap();
    let mut rows = RowBatch::new(&schema());
    let messages = ["1;2;;3,x", "7,y\n", "8,z\nnext,record", "1;b,w"];
    let mut payloads =
        (0u32..).zip(messages).map(|(message, text)| Payload { message, value: text.as_bytes(), key: None });
    let decoded = decoder.decode(&mut payloads, &mut rows);
    assert_eq!(rows.columns[2].ends, Some(vec![0, 3, 4, 5]));
    assert_eq!((decoded.altered, decoded.rejects.len()), (1, 1));
    let reject = &decoded.rejects[0];
    assert_eq!((reject.message, reject.stage, reject.column.as_deref()), (3, Stage::DataType, Some("m")));
    assert_eq!(reject.reason, "INT takes an integer within the type's range, got b");
}

#[test]
fn wrong_settings_are_named() {
    for (key, value, reason) in [
        ("fileFormat", "XLS", "DEFAULT, EXCEL, MYSQL, RFC4180 and TDF are known"),
        ("delimiter", "||", "it must be one ASCII character that ends no line, or \\t for a tab"),
        ("delimiter", "\n", "it must be one ASCII character that ends no line, or \\t for a tab"),
        ("quoteCharacter", ",", "it is the delimiter too: choose two different characters"),
        ("commentMarker", "\"", "it is the quote too: choose two different characters"),
        ("header", " , ", "it names no field: give the names, separated by the delimiter"),
        ("skipHeader", "yes", "it must be true or false"),
    ] {
        let error = made(&[(key, value)]).unwrap_err().to_string();
        assert_eq!(error, format!("decoder setting '{key}' cannot be '{value}': {reason}"));
    }
}

proptest! {
    #[test]
    fn what_a_writer_quotes_is_read_back(fields in proptest::collection::vec("[a-c,\"\\r\\n ;é]{1,8}", 1..5)) {
        let names: Vec<String> = (1..fields.len()).map(|at| format!("f{at}")).chain(["a".to_owned()]).collect();
        let quoted: Vec<String> = fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
        let found = texts(&[("header", &names.join(","))], &[&quoted.join(",")]);
        prop_assert_eq!(&found[0], fields.last().unwrap());
    }

    #[test]
    fn any_bytes_are_a_row_or_a_reject(bytes: Vec<u8>, text in "[\"\\\\,#a\\n ']{0,24}", mysql: bool) {
        let settings: &[(&str, &str)] =
            if mysql { &[("fileFormat", "MYSQL")] } else { &[("header", "a,n"), ("commentMarker", "#"), ("escapeCharacter", "\\")] };
        let mut decoder = made(settings).unwrap();
        let mut rows = RowBatch::new(&schema());
        let messages = [&bytes[..], text.as_bytes()];
        let mut payloads = (0u32..).zip(messages).map(|(message, value)| Payload { message, value, key: None });
        let decoded = decoder.decode(&mut payloads, &mut rows);
        prop_assert_eq!(rows.rows() + decoded.rejects.len(), 2);
        prop_assert!(rows.columns.iter().all(|column| column.rows() == rows.rows()));
    }
}
