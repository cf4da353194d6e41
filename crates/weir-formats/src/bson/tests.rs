//! The decoder against the library's own writer.

use super::*;
use crate::conformance::{Sample, conformance};
use ::bson::{Bson, DateTime, Decimal128, Document, Timestamp, doc, oid::ObjectId, spec::BinarySubtype};
use proptest::prelude::*;
use std::sync::Arc;
use weir_types::{ColumnName, FieldKind, FieldSpec, Schema, SchemaVersion};

fn bytes(document: &Document) -> Vec<u8> {
    document.to_vec().unwrap()
}

fn cell(document: &[u8], column: (&str, DataType, bool)) -> String {
    let (name, data_type, single_value) = column;
    let field =
        FieldSpec { single_value, ..FieldSpec::new(ColumnName::parse(name).unwrap(), data_type, FieldKind::Dimension) };
    let schema = Arc::new(Schema::new("t", SchemaVersion(1), vec![field]));
    let mut decoder =
        BsonDecoder::new(&DecodeSpec { schema: schema.clone(), continue_on_error: false, topic: "t".into(), raw: 0 });
    let mut rows = RowBatch::new(&schema);
    let mut payloads = [Payload { message: 0, value: document, key: None }].into_iter();
    let decoded = decoder.decode(&mut payloads, &mut rows);
    match decoded.rejects.first() {
        Some(reject) => reject.reason.clone(),
        None if rows.columns[0].nulls == [0] => "NULL".to_owned(),
        None => {
            let values = rows.columns[0].values_of(0).map(|at| rows.columns[0].data.get(at).to_string());
            values.collect::<Vec<_>>().join("|")
        }
    }
}

fn encode(sample: &Sample) -> Vec<u8> {
    let mut document = doc! { "other": { "a": [1, 2] }, "id": sample.id, "tags": sample.tags.clone() };
    sample.name.iter().for_each(|name| drop(document.insert("name", name.clone())));
    document.insert("score", sample.score.map_or(Bson::Null, Bson::Double));
    bytes(&document)
}

#[test]
fn conforms() {
    conformance(&|spec| Box::new(BsonDecoder::new(&spec)), &encode);
}

#[test]
fn each_type_meets_its_columns() {
    use DataType::{BigDecimal, Boolean, Bytes, Double, Int, Json, Long, String as Text, Timestamp as Time};
    let id = ObjectId::parse_str("507f1f77bcf86cd799439011").unwrap();
    let binary = ::bson::Binary { subtype: BinarySubtype::Generic, bytes: vec![1, 0xff] };
    for (value, data_type, single, expected) in [
        (Bson::Double(1.5), Double, true, "1.5"),
        (Bson::String("é".into()), Text, true, "é"),
        (Bson::Boolean(true), Boolean, true, "1"),
        (Bson::Null, Text, true, "NULL"),
        (Bson::Undefined, Text, true, "NULL"),
        (Bson::Int32(-1), Int, true, "-1"),
        (Bson::Int64(1 << 40), Long, true, "1099511627776"),
        (Bson::ObjectId(id), Text, true, "507f1f77bcf86cd799439011"),
        (Bson::DateTime(DateTime::from_millis(1_769_817_600_001)), Time, true, "1769817600001"),
        (Bson::DateTime(DateTime::from_millis(1_769_817_600_001)), Text, true, "2026-01-31 00:00:00.001"),
        (Bson::Timestamp(Timestamp { time: 7, increment: 1 }), Long, true, "7"),
        (Bson::Decimal128("123.450".parse::<Decimal128>().unwrap()), BigDecimal, true, "123.45"),
        (Bson::Binary(binary.clone()), Bytes, true, "01ff"),
        (Bson::from(vec![Bson::Int32(1), Bson::Null, Bson::Int32(2)]), Int, false, "1|2"),
        (Bson::from(vec![Bson::Int32(1), Bson::Null]), Json, true, "[1,null]"),
        (
            Bson::from(doc! {"a": {"b": Bson::Binary(binary), "i": id}}),
            Json,
            true,
            "{\"a\":{\"b\":\"Af8=\",\"i\":\"507f1f77bcf86cd799439011\"}}",
        ),
        (Bson::from(doc! {"only": 5}), Int, true, "5"),
        (Bson::String("x".into()), Int, true, "INT takes an integer within the type's range, got x"),
    ] {
        let document = bytes(&doc! { "before": 1, "c": value.clone() });
        assert_eq!(cell(&document, ("c", data_type, single)), expected, "{value:?}");
    }
    let mut tailed = bytes(&doc! { "c": 1 });
    tailed.extend(b"tail");
    assert_eq!(cell(&tailed, ("c", Int, true)), "1");
    let mut deep = doc! {};
    (0..120).for_each(|_| deep = doc! { "c": std::mem::take(&mut deep) });
    assert_eq!(cell(&bytes(&deep), ("c", Json, true)), "documents nest deeper than 100 levels (byte 0 of 965)");
    assert_eq!(cell(&bytes(&deep), ("d", Json, true)), "documents nest deeper than 100 levels (byte 0 of 965)");
}

proptest! {
    #[test]
    fn any_bytes_are_a_row_or_a_reject(noise in proptest::collection::vec(any::<u8>(), 0..64), flip: (usize, u8)) {
        let mut good = encode(&Sample { id: 9, name: Some("n".to_owned()), score: None, tags: vec!["a".to_owned()] });
        let at = flip.0 % good.len();
        good[at] ^= flip.1;
        let mut sized = (noise.len() as i32 + 4).to_le_bytes().to_vec();
        sized.extend(&noise);
        for message in [&noise, &good, &sized] {
            cell(message, ("other", DataType::Json, true));
            cell(message, ("tags", DataType::String, false));
        }
    }
}
