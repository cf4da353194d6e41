//! The decoder against the Avro library's own writer, and against bytes that no writer makes.

use super::*;
use crate::{
    conformance::{Sample, conformance},
    decoder::Stage,
};
use apache_avro::{BigDecimal, Decimal, Schema as Parsed, types::Value as Avro, writer::datum::GenericDatumWriter};
use proptest::prelude::*;
use weir_types::{ColumnName, DataType, FieldKind, FieldSpec, Schema, SchemaVersion};

fn table(fields: &[(&str, DataType, bool)]) -> Arc<Schema> {
    let field = |(name, data_type, single_value): &(&str, DataType, bool)| FieldSpec {
        single_value: *single_value,
        ..FieldSpec::new(ColumnName::parse(name).unwrap(), *data_type, FieldKind::Dimension)
    };
    Arc::new(Schema::new("t", SchemaVersion(1), fields.iter().map(field).collect()))
}

fn made(schema: &str, more: &[(&str, &str)], table: &Arc<Schema>) -> Result<AvroDecoder, FormatError> {
    let mut settings = BTreeMap::from([("schema".to_owned(), schema.to_owned())]);
    settings.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    AvroDecoder::new(
        &settings,
        &DecodeSpec { schema: table.clone(), continue_on_error: false, topic: "t".into(), raw: 0 },
    )
}

fn decode(decoder: &mut AvroDecoder, table: &Schema, messages: &[&[u8]]) -> (RowBatch, Decoded) {
    let mut rows = RowBatch::new(table);
    let mut payloads = (0u32..).zip(messages).map(|(message, value)| Payload { message, value, key: None });
    let decoded = decoder.decode(&mut payloads, &mut rows);
    assert!(rows.columns.iter().all(|column| column.rows() == rows.rows()));
    (rows, decoded)
}

/// A field `c` of that type holding that value, in a column of that type: its values, `NULL`, or the reason of the reject.
fn cell(avro_type: &str, value: Avro, data_type: DataType, single: bool, more: &[(&str, &str)]) -> String {
    let schema = format!(
        r#"{{"type":"record","name":"r","fields":[{{"name":"before","type":["null","string"]}},{{"name":"c","type":{avro_type}}}]}}"#
    );
    let before = Avro::Union(1, Box::new(Avro::String("x".to_owned())));
    let record = Avro::Record(vec![("before".to_owned(), before), ("c".to_owned(), value)]);
    let bytes = written(&schema, record);
    let table = table(&[("c", data_type, single)]);
    let (rows, decoded) = decode(&mut made(&schema, more, &table).unwrap(), &table, &[&bytes]);
    match decoded.rejects.first() {
        Some(reject) => reject.reason.clone(),
        None if rows.columns[0].nulls == [0] => "NULL".to_owned(),
        None => {
            let values = rows.columns[0].values_of(0).map(|at| rows.columns[0].data.get(at).to_string());
            values.collect::<Vec<_>>().join("|")
        }
    }
}

fn written(schema: &str, record: Avro) -> Vec<u8> {
    let schema = Parsed::parse_str(schema).unwrap();
    GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(record).unwrap()
}

pub(crate) const SAMPLE: &str = r#"{"type":"record","name":"s","fields":[
    {"name":"other","type":{"type":"map","values":["null","long"]}},
    {"name":"id","type":"long"},
    {"name":"name","type":["null","string"]},
    {"name":"score","type":["null","double"]},
    {"name":"tags","type":{"type":"array","items":"string"}}]}"#;

pub(crate) fn sample_bytes(sample: &Sample) -> Vec<u8> {
    let maybe = |value: Option<Avro>| match value {
        Some(value) => Avro::Union(1, Box::new(value)),
        None => Avro::Union(0, Box::new(Avro::Null)),
    };
    let other = [("k".to_owned(), maybe(Some(Avro::Long(sample.id)))), ("n".to_owned(), maybe(None))];
    let record = Avro::Record(vec![
        ("other".to_owned(), Avro::Map(other.into_iter().collect())),
        ("id".to_owned(), Avro::Long(sample.id)),
        ("name".to_owned(), maybe(sample.name.clone().map(Avro::String))),
        ("score".to_owned(), maybe(sample.score.map(Avro::Double))),
        ("tags".to_owned(), Avro::Array(sample.tags.iter().cloned().map(Avro::String).collect())),
    ]);
    written(SAMPLE, record)
}

#[test]
fn conforms() {
    let make = |spec| {
        let settings = BTreeMap::from([("schema".to_owned(), SAMPLE.to_owned())]);
        Box::new(AvroDecoder::new(&settings, &spec).unwrap()) as Box<dyn Decoder>
    };
    conformance(&make, &sample_bytes);
}

#[test]
fn each_type_meets_its_columns() {
    use DataType::{
        BigDecimal as Big, Boolean, Bytes, Double, Float, Int, Json, Long, Map, String as Text, Timestamp, Uuid,
    };
    let logical = |base: &str, name: &str| format!(r#"{{"type":"{base}","logicalType":"{name}"}}"#);
    let decimal = r#"{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}"#.to_owned();
    let fixed = r#"{"type":"fixed","name":"f","size":2}"#.to_owned();
    let colour = r#"{"type":"enum","name":"colour","symbols":["RED","BLUE"]}"#.to_owned();
    let several = r#"{"type":"array","items":["null","int"]}"#.to_owned();
    let point =
        r#"{"type":"record","name":"p","fields":[{"name":"x","type":"int"},{"name":"raw","type":"bytes"}]}"#.to_owned();
    let ints = |values: &[Option<i32>]| {
        Avro::Array(
            values
                .iter()
                .map(|value| match value {
                    Some(value) => Avro::Union(1, Box::new(Avro::Int(*value))),
                    None => Avro::Union(0, Box::new(Avro::Null)),
                })
                .collect(),
        )
    };
    let a_point = Avro::Record(vec![("x".to_owned(), Avro::Int(3)), ("raw".to_owned(), Avro::Bytes(vec![1, 2, 0xff]))]);
    let unscaled = || Avro::Decimal(Decimal::from((-12345i32).to_be_bytes().to_vec()));
    let uuid = "123e4567-e89b-12d3-a456-426614174000";
    for (avro_type, value, data_type, expected) in [
        ("\"boolean\"".to_owned(), Avro::Boolean(true), Boolean, "1"),
        ("\"int\"".to_owned(), Avro::Int(-7), Int, "-7"),
        ("\"long\"".to_owned(), Avro::Long(i64::MIN), Long, "-9223372036854775808"),
        ("\"long\"".to_owned(), Avro::Long(1 << 32 | 5), Int, "5"),
        ("\"float\"".to_owned(), Avro::Float(1.5), Double, "1.5"),
        ("\"double\"".to_owned(), Avro::Double(0.1), Float, "0.1"),
        ("\"string\"".to_owned(), Avro::String("é".to_owned()), Text, "é"),
        ("\"string\"".to_owned(), Avro::String("17".to_owned()), Int, "17"),
        (
            "\"string\"".to_owned(),
            Avro::String("x".to_owned()),
            Int,
            "INT takes an integer within the type's range, got x",
        ),
        ("\"bytes\"".to_owned(), Avro::Bytes(vec![0xab, 1]), Bytes, "ab01"),
        ("\"bytes\"".to_owned(), Avro::Bytes(vec![0xab, 1]), Text, "ab01"),
        (fixed, Avro::Fixed(2, vec![1, 2]), Bytes, "0102"),
        (colour, Avro::Enum(1, "BLUE".to_owned()), Text, "BLUE"),
        (logical("int", "date"), Avro::Date(20_484), Text, "2026-01-31"),
        (logical("int", "date"), Avro::Date(20_484), Int, "20484"),
        (logical("int", "date"), Avro::Date(20_484), Timestamp, "1769817600000"),
        (logical("int", "time-millis"), Avro::TimeMillis(45_030_000), Text, "12:30:30"),
        (logical("int", "time-millis"), Avro::TimeMillis(45_000_000), Text, "12:30"),
        (logical("long", "time-micros"), Avro::TimeMicros(45_000_000_001), Text, "12:30:00.000001"),
        (logical("long", "time-micros"), Avro::TimeMicros(7), Long, "7"),
        (logical("long", "timestamp-millis"), Avro::TimestampMillis(1_769_817_600_001), Timestamp, "1769817600001"),
        (
            logical("long", "timestamp-millis"),
            Avro::TimestampMillis(1_769_817_600_001),
            Text,
            "2026-01-31 00:00:00.001",
        ),
        (logical("long", "timestamp-micros"), Avro::TimestampMicros(-1), Long, "-1"),
        (logical("long", "local-timestamp-micros"), Avro::LocalTimestampMicros(1_999), Timestamp, "1"),
        (decimal.clone(), unscaled(), Big, "-123.45"),
        (decimal.clone(), unscaled(), Text, "-123.45"),
        (decimal, unscaled(), Double, "-123.45"),
        (logical("string", "uuid"), Avro::Uuid(uuid.parse().unwrap()), Text, uuid),
        (logical("string", "uuid"), Avro::Uuid(uuid.parse().unwrap()), Uuid, "123e4567e89b12d3a456426614174000"),
        ("[\"null\",\"int\",\"string\"]".to_owned(), Avro::Union(2, Box::new(Avro::String("8".to_owned()))), Long, "8"),
        ("[\"null\",\"int\"]".to_owned(), Avro::Union(0, Box::new(Avro::Null)), Long, "NULL"),
        ("\"null\"".to_owned(), Avro::Null, Text, "NULL"),
        (several.clone(), ints(&[Some(5)]), Int, "5"),
        (several.clone(), ints(&[None]), Int, "NULL"),
        (several.clone(), ints(&[Some(1), None, Some(2)]), Json, "[1,null,2]"),
        (
            several,
            ints(&[Some(1), Some(2)]),
            Int,
            "INT takes one value, not several values into a single-value column, got another: 2",
        ),
        (point.clone(), a_point.clone(), Json, "{\"x\":3,\"raw\":\"AQL/\"}"),
        (point.clone(), a_point.clone(), Map, "{\"x\":3,\"raw\":\"AQL/\"}"),
        (point, a_point, Text, "{\"x\":3,\"raw\":\"AQL/\"}"),
    ] {
        let found = cell(&avro_type, value.clone(), data_type, true, &[]);
        assert_eq!(found, expected, "{avro_type} {value:?} {data_type}");
    }
    let numbers = Avro::Array([1, 2].map(Avro::Int).to_vec());
    let array = r#"{"type":"array","items":"int"}"#;
    assert_eq!(cell(array, numbers, Long, false, &[]), "1|2");
    assert_eq!(cell(array, Avro::Array(vec![]), Long, false, &[]), "NULL");
    assert_eq!(cell("\"int\"", Avro::Int(4), Long, false, &[]), "4");
    let arrays = r#"{"type":"array","items":{"type":"array","items":"int"}}"#;
    let nested = Avro::Array(vec![Avro::Array(vec![Avro::Int(1)]), Avro::Array(vec![Avro::Int(2)])]);
    assert_eq!(cell(arrays, nested, Long, false, &[]), "1|2");
    let raw = [("extractRawTimeValues", "true")];
    assert_eq!(cell(&logical("long", "timestamp-micros"), Avro::TimestampMicros(1_999), Long, true, &raw), "1999");
    assert_eq!(cell(&logical("int", "date"), Avro::Date(3), Text, true, &raw), "3");
    let big: BigDecimal = "-1234567890123456789012345678901234567890.5".parse().unwrap();
    let text = big.to_string();
    assert_eq!(cell(&logical("bytes", "big-decimal"), Avro::BigDecimal(big), Text, true, &[]), text);
}

#[test]
fn what_is_broken_says_where() {
    let schema = r#"{"type":"record","name":"r","fields":[{"name":"a","type":["null","boolean"]},{"name":"b","type":"string"},
        {"name":"l","type":{"type":"array","items":"null"}},{"name":"e","type":{"type":"enum","name":"e","symbols":["X"]}}]}"#;
    let table = table(&[("b", DataType::String, true)]);
    for (bytes, reason) in [
        (&[][..], "the message is empty (byte 0 of 0)"),
        (&[0x0a], "branch 5 of 2 is chosen: the schema is another (byte 0 of 1)"),
        (&[2, 9], "a boolean is neither 0 nor 1 (byte 1 of 2)"),
        (&[0, 5, 1], "a length is below zero (byte 1 of 3)"),
        (&[0, 20, b'x'], "the message ends too early (byte 2 of 3)"),
        (&[0, 2, 0xff], "a text is not UTF-8 (byte 2 of 3)"),
        (
            &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            "a number has more than 64 bits (byte 1 of 11)",
        ),
        (&[0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0], "a list has more items than the message can hold (byte 2 of 9)"),
        (&[0, 0, 0, 2], "symbol 1 of 1 is chosen: the schema is another (byte 3 of 4)"),
    ] {
        let (rows, decoded) = decode(&mut made(schema, &[], &table).unwrap(), &table, &[bytes]);
        assert_eq!((rows.rows(), decoded.rejects.len()), (0, 1), "{bytes:?}");
        assert_eq!((decoded.rejects[0].stage, &*decoded.rejects[0].reason), (Stage::Decode, reason));
    }
    let (rows, decoded) = decode(&mut made(schema, &[], &table).unwrap(), &table, &[&[0, 2, b'x', 0, 0, 1, 2]]);
    assert_eq!((rows.rows(), decoded.altered), (1, 1), "what follows the record is passed over");
    let stripped = made(schema, &[("leading.bytes.to.strip", "3")], &table);
    let (rows, _) = decode(&mut stripped.unwrap(), &table, &[&[9, 9, 9, 0, 2, b'x', 0, 0], &[1]]);
    assert_eq!((rows.rows(), rows.columns[0].data.get(0).to_string()), (1, "x".to_owned()));
}

#[test]
fn a_schema_that_names_itself_nests_to_a_bound() {
    let schema = r#"{"type":"record","name":"ns.node","fields":[{"name":"next","type":["null","node"]},{"name":"v","type":"int"}]}"#;
    let table = table(&[("v", DataType::Int, true), ("next", DataType::Json, true)]);
    let mut decoder = made(schema, &[], &table).unwrap();
    let (rows, _) = decode(&mut decoder, &table, &[&[2, 2, 0, 2, 4, 6]]);
    assert_eq!(rows.columns[1].data.get(0).to_string(), r#"{"next":{"next":null,"v":1},"v":2}"#);
    let (rows, decoded) = decode(&mut decoder, &table, &[&[2; 100_000]]);
    assert_eq!(
        (rows.rows(), &*decoded.rejects[0].reason),
        (0, "values nest deeper than 128 levels (byte 64 of 100000)")
    );
    let unread = self::table(&[("v", DataType::Int, true)]);
    let (_, decoded) = decode(&mut made(schema, &[], &unread).unwrap(), &unread, &[&[2; 100_000]]);
    assert!(decoded.rejects[0].reason.starts_with("values nest deeper"), "{}", decoded.rejects[0].reason);
}

#[test]
fn types_of_other_schemas_are_found() {
    let address = r#"{"type":"record","name":"com.x.Address","fields":[{"name":"city","type":"string"}]}"#;
    let order = r#"{"type":"record","name":"com.y.Order","fields":[{"name":"to","type":"com.x.Address"},{"name":"back","type":["null","com.x.Address"]}]}"#;
    let schema = AvroSchema::parse(order, &[address.to_owned()]).unwrap();
    assert!(matches!(schema.nodes[schema.fields()[0].1 as usize], schema::Node::Record(_)));
    assert!(AvroSchema::parse(order, &[]).is_err());
}

#[test]
fn wrong_settings_are_named() {
    let table = table(&[("v", DataType::Int, true)]);
    let good = r#"{"type":"record","name":"r","fields":[]}"#;
    for (schema, more, start) in [
        ("", None, "decoder setting 'schema' cannot be '': it must hold the writer's Avro schema as JSON text"),
        ("{\"type\":\"rec", None, "decoder setting 'schema' cannot be '{\"type\":\"rec': "),
        ("\"string\"", None, "decoder setting 'schema' cannot be '\"string\"': a message is a record"),
        (good, Some(("leading.bytes.to.strip", "-1")), "decoder setting 'leading.bytes.to.strip' cannot be '-1'"),
        (good, Some(("extractRawTimeValues", "no")), "decoder setting 'extractRawTimeValues' cannot be 'no'"),
    ] {
        let error = made(schema, more.as_slice(), &table).unwrap_err().to_string();
        assert!(error.starts_with(start), "{error}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_row_or_a_reject(bytes in proptest::collection::vec(any::<u8>(), 0..64), flip: (usize, u8)) {
        let table = table(&[("id", DataType::Long, true), ("other", DataType::Json, true), ("tags", DataType::String, false)]);
        let mut decoder = made(SAMPLE, &[], &table).unwrap();
        let mut good = sample_bytes(&Sample { id: 9, name: Some("n".to_owned()), score: None, tags: vec!["a".to_owned(), "b".to_owned()] });
        let at = flip.0 % good.len();
        good[at] ^= flip.1;
        let (rows, decoded) = decode(&mut decoder, &table, &[&bytes, &good]);
        prop_assert_eq!(rows.rows() + decoded.rejects.len(), 2);
    }

    #[test]
    fn wide_numbers_equal_narrow_ones(value: i128, scale in 0i64..40, wider in 0usize..30) {
        let fill = if value < 0 { 0xff } else { 0 };
        let bytes: Vec<u8> = std::iter::repeat_n(fill, wider).chain(value.to_be_bytes()).collect();
        let (mut narrow, mut wide) = (String::new(), String::new());
        crate::coerce::text::decimal_of_bytes(&value.to_be_bytes(), scale, &mut narrow).unwrap();
        crate::coerce::text::decimal_of_bytes(&bytes, scale, &mut wide).unwrap();
        prop_assert_eq!(&narrow, &wide);
        let digits: String = narrow.chars().filter(|c| *c != '.').collect();
        prop_assert_eq!(digits.parse::<i128>().unwrap(), value);
    }
}
