//! The decoder against the descriptor library's own writer, and against bytes that no writer makes.

use super::*;
use crate::{
    conformance::{Sample, conformance_with},
    decoder::Stage,
};
use proptest::prelude::*;
use prost_reflect::{DescriptorPool, DynamicMessage, MapKey, ReflectMessage as _, Value as Proto, prost::Message as _};
use weir_types::{ColumnName, DataType, FieldKind, FieldSpec, Schema, SchemaVersion};

const PROTO3: &str = r#"
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
enum Colour { NONE = 0; RED = 1; }
message Order {
  int64 id = 1;
  optional string name = 2;
  double score = 3;
  repeated string tags = 4;
  message Line { string sku = 1; int32 count = 2; repeated Line parts = 3; optional bool gift = 4; }
  Line line = 5;
  repeated Line lines = 6;
  map<string, int32> counts = 7;
  uint32 u32 = 8; uint64 u64 = 9; sint32 s32 = 10; sint64 s64 = 11;
  fixed32 f32 = 12; fixed64 f64 = 13; sfixed32 sf32 = 14; sfixed64 sf64 = 15;
  bool flag = 16; bytes raw = 17; float single = 18; Colour colour = 19;
  repeated int32 packed = 20; repeated int32 loose = 21 [packed = false];
  oneof way { string road = 22; int32 rail = 23; Line line_way = 24; }
  google.protobuf.Timestamp at = 25;
  map<int32, Line> by_number = 26;
  repeated Colour colours = 1000;
}"#;

const PROTO2: &str = r#"
syntax = "proto2";
enum Colour { NONE = 3; RED = 4; }
message Old {
  required int32 id = 1;
  optional int32 count = 2 [default = 7];
  optional Colour colour = 3;
  optional group Inner = 4 { optional string text = 5; }
}"#;

fn table(fields: &[(&str, DataType, bool)]) -> Arc<Schema> {
    let field = |(name, data_type, single_value): &(&str, DataType, bool)| FieldSpec {
        single_value: *single_value,
        ..FieldSpec::new(ColumnName::parse(name).unwrap(), *data_type, FieldKind::Dimension)
    };
    Arc::new(Schema::new("t", SchemaVersion(1), fields.iter().map(field).collect()))
}

fn message(source: &str, name: &str) -> DynamicMessage {
    let set = ProtoFile::parse(source, &[]).unwrap().descriptor_set();
    DynamicMessage::new(DescriptorPool::decode(&set[..]).unwrap().get_message_by_name(name).unwrap())
}

fn decode(source: &str, table: &Arc<Schema>, messages: &[&[u8]]) -> (RowBatch, Decoded) {
    let schema = ProtoFile::parse(source, &[]).unwrap().message(&[0]).unwrap();
    let mut decoder = ProtoDecoder::of(
        Arc::new(schema),
        &DecodeSpec { schema: table.clone(), continue_on_error: false, topic: "t".into(), raw: 0 },
    );
    let mut rows = RowBatch::new(table);
    let mut payloads = (0u32..).zip(messages).map(|(message, value)| Payload { message, value, key: None });
    let decoded = decoder.decode(&mut payloads, &mut rows);
    assert!(rows.columns.iter().all(|column| column.rows() == rows.rows()));
    (rows, decoded)
}

/// One column of one message: its values, `NULL`, or the reason of the reject.
fn cell(source: &str, bytes: &[u8], column: (&str, DataType, bool)) -> String {
    let (rows, decoded) = decode(source, &table(&[column]), &[bytes]);
    match decoded.rejects.first() {
        Some(reject) => reject.reason.clone(),
        None if rows.columns[0].nulls == [0] => "NULL".to_owned(),
        None => {
            let values = rows.columns[0].values_of(0).map(|at| rows.columns[0].data.get(at).to_string());
            values.collect::<Vec<_>>().join("|")
        }
    }
}

fn sample_bytes(sample: &Sample) -> Vec<u8> {
    let mut order = message(PROTO3, "shop.Order");
    order.set_field_by_name("id", Proto::I64(sample.id));
    if let Some(name) = &sample.name {
        order.set_field_by_name("name", Proto::String(name.clone()));
    }
    order.set_field_by_name("tags", Proto::List(sample.tags.iter().cloned().map(Proto::String).collect()));
    order.set_field_by_name("u64", Proto::U64(5));
    order.encode_to_vec()
}

#[test]
fn conforms() {
    // A score that is not set must be null, which it is in proto2 only.
    let source = r#"syntax = "proto2"; message Order { optional int64 id = 1; optional string name = 2;
        optional double score = 3; repeated string tags = 4; optional fixed32 other = 300; }"#;
    let set = ProtoFile::parse(source, &[]).unwrap();
    let schema = Arc::new(set.message(&[0]).unwrap());
    let pool = DescriptorPool::decode(&set.descriptor_set()[..]).unwrap();
    let encode = |sample: &Sample| {
        let mut order = DynamicMessage::new(pool.get_message_by_name("Order").unwrap());
        order.set_field_by_name("id", Proto::I64(sample.id));
        sample.name.iter().for_each(|name| order.set_field_by_name("name", Proto::String(name.clone())));
        sample.score.iter().for_each(|score| order.set_field_by_name("score", Proto::F64(*score)));
        order.set_field_by_name("tags", Proto::List(sample.tags.iter().cloned().map(Proto::String).collect()));
        order.set_field_by_name("other", Proto::U32(7));
        order.encode_to_vec()
    };
    let make = |spec: DecodeSpec| Box::new(ProtoDecoder::of(schema.clone(), &spec)) as Box<dyn Decoder>;
    conformance_with(&make, &encode, &[b"\xff\xfe\xfd\x00", b"\x01", b"]]]]]]]]"]);
}

#[test]
fn each_kind_meets_its_columns() {
    use DataType::{Boolean, Bytes, Double, Float, Int, Json, Long, Map, String as Text};
    let set = |name: &str, value: Proto| {
        let mut order = message(PROTO3, "shop.Order");
        order.set_field_by_name(name, value);
        order.encode_to_vec()
    };
    let pool = message(PROTO3, "shop.Order").descriptor().parent_pool().clone();
    let line = |sku: &str, count: i32| {
        let mut line = DynamicMessage::new(pool.get_message_by_name("shop.Order.Line").unwrap());
        line.set_field_by_name("sku", Proto::String(sku.to_owned()));
        line.set_field_by_name("count", Proto::I32(count));
        Proto::Message(line)
    };
    let counts = Proto::Map([(MapKey::String("a".to_owned()), Proto::I32(0))].into_iter().collect());
    let by_number = Proto::Map([(MapKey::I32(-5), line("x", 0))].into_iter().collect());
    let ints = || Proto::List(vec![Proto::I32(1), Proto::I32(-2)]);
    for (name, value, data_type, single, expected) in [
        ("id", Proto::I64(-9), Long, true, "-9"),
        ("name", Proto::String(String::new()), Text, true, ""),
        ("score", Proto::F64(0.5), Double, true, "0.5"),
        ("single", Proto::F32(0.1), Float, true, "0.1"),
        ("u32", Proto::U32(u32::MAX), Long, true, "-1"),
        ("u64", Proto::U64(u64::MAX), Long, true, "-1"),
        ("s32", Proto::I32(i32::MIN), Int, true, "-2147483648"),
        ("s64", Proto::I64(i64::MIN), Long, true, "-9223372036854775808"),
        ("f32", Proto::U32(7), Int, true, "7"),
        ("f64", Proto::U64(8), Long, true, "8"),
        ("sf32", Proto::I32(-7), Int, true, "-7"),
        ("sf64", Proto::I64(-8), Text, true, "-8"),
        ("flag", Proto::Bool(true), Boolean, true, "1"),
        ("flag", Proto::Bool(true), Text, true, "true"),
        ("raw", Proto::Bytes(vec![1, 0xff].into()), Bytes, true, "01ff"),
        ("colour", Proto::EnumNumber(1), Text, true, "RED"),
        ("colour", Proto::EnumNumber(9), Text, true, "UNKNOWN_ENUM_VALUE_Colour_9"),
        ("colours", Proto::List(vec![Proto::EnumNumber(1), Proto::EnumNumber(0)]), Text, false, "RED|NONE"),
        ("packed", ints(), Int, false, "1|-2"),
        ("loose", ints(), Int, false, "1|-2"),
        ("packed", ints(), Json, true, "[1,-2]"),
        ("loose", ints(), Json, true, "[1,-2]"),
        (
            "packed",
            ints(),
            Int,
            true,
            "INT takes one value, not several values into a single-value column, got another: -2",
        ),
        ("line", line("x", 3), Json, true, "{\"sku\":\"x\",\"count\":3}"),
        ("lines", Proto::List(vec![line("x", 3), line("", 0)]), Json, true, "[{\"sku\":\"x\",\"count\":3},{}]"),
        ("counts", counts.clone(), Map, true, "{\"a\":0}"),
        ("counts", counts, Int, true, "0"),
        ("by_number", by_number, Json, true, "{\"-5\":{\"sku\":\"x\"}}"),
        ("rail", Proto::I32(0), Int, true, "0"),
    ] {
        assert_eq!(cell(PROTO3, &set(name, value.clone()), (name, data_type, single)), expected, "{name} {value:?}");
    }
}

#[test]
fn what_is_not_set_is_null_where_it_can_be_told() {
    use DataType::{Int, Json, Long, String as Text};
    for (name, data_type, single, expected) in [
        ("id", Long, true, "0"),
        ("name", Text, true, "NULL"),
        ("colour", Text, true, "NONE"),
        ("tags", Text, false, "NULL"),
        ("line", Json, true, "NULL"),
        ("counts", Json, true, "NULL"),
        ("road", Text, true, "NULL"),
        ("unknown", Text, true, "NULL"),
    ] {
        assert_eq!(cell(PROTO3, b"", (name, data_type, single)), expected, "{name}");
    }
    for (bytes, column, expected) in [
        (&b"\x08\x01"[..], "id", "1"),
        (b"\x08\x01", "count", "NULL"),
        (b"\x08\x01\x18\x04", "colour", "RED"),
        (b"\x08\x01\x18\x09", "colour", "NULL"),
        (b"\x10\x01", "count", "the required field id is missing (byte 2 of 2)"),
        (b"\x08\x01\x23\x2a\x01x\x24", "inner", "{\"text\":\"x\"}"),
        (b"\x08\x01\x23\x2a\x01x\x2c", "inner", "a group ends that did not begin (byte 6 of 7)"),
        (b"\x08\x01\x23\x2a\x01x", "inner", "the message ends within a group (byte 6 of 6)"),
    ] {
        assert_eq!(cell(PROTO2, bytes, (column, Text, true)), expected, "{bytes:?} {column}");
    }
    assert_eq!(cell(PROTO2, b"\x08\x01\x08\x05\x08\x02", ("id", Int, true)), "2", "the last one counts");
}

#[test]
fn parts_are_joined_and_a_oneof_is_the_last_of_it() {
    use DataType::{Int, Json, String as Text};
    let line = |parts: &[&[u8]]| parts.concat();
    let twice = line(&[b"\x2a\x03\x0a\x01x", b"\x2a\x02\x10\x04", b"\x2a\x02\x10\x05"]);
    assert_eq!(cell(PROTO3, &twice, ("line", Json, true)), "{\"sku\":\"x\",\"count\":5}");
    // road = "a", then rail = 3, then line_way.
    let (road, rail, way) = (&b"\xb2\x01\x01a"[..], &b"\xb8\x01\x03"[..], &b"\xc2\x01\x02\x10\x04"[..]);
    assert_eq!(cell(PROTO3, &line(&[road, rail]), ("road", Text, true)), "NULL");
    assert_eq!(cell(PROTO3, &line(&[road, rail]), ("rail", Int, true)), "3");
    assert_eq!(cell(PROTO3, &line(&[way, rail]), ("line_way", Json, true)), "NULL");
    assert_eq!(cell(PROTO3, &line(&[rail, way]), ("line_way", Json, true)), "{\"count\":4}");
    assert_eq!(cell(PROTO3, &line(&[rail, way]), ("rail", Int, true)), "NULL");
    // Elements of two fields in turns, and a packed run of a field that is written loosely.
    let turns = line(&[b"\xa8\x01\x01", b"\x22\x01a", b"\xa8\x01\x02", b"\x22\x01b", b"\xaa\x01\x02\x03\x04"]);
    assert_eq!(cell(PROTO3, &turns, ("loose", Int, false)), "1|2|3|4");
    assert_eq!(cell(PROTO3, &turns, ("tags", Text, false)), "a|b");
    assert_eq!(cell(PROTO3, &turns, ("loose", Json, true)), "[1,2,3,4]");
    // Google's Timestamp: 1.5 s, and half a second before the epoch.
    let at = |inside: &[u8]| [&[0xca, 1, inside.len() as u8][..], inside].concat();
    assert_eq!(cell(PROTO3, &at(b"\x08\x01\x10\x80\xca\xb5\xee\x01"), ("at", DataType::Timestamp, true)), "1500");
    let before = b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\x80\xca\xb5\xee\x01";
    assert_eq!(cell(PROTO3, &at(before), ("at", DataType::Timestamp, true)), "-500");
    assert_eq!(cell(PROTO3, &at(b""), ("at", DataType::Timestamp, true)), "0");
    assert_eq!(cell(PROTO3, &at(b"\x08\x05"), ("at", Json, true)), "{\"seconds\":5}");
    // A known number that stands otherwise than its kind is an unknown field.
    assert_eq!(cell(PROTO3, b"\x0d\x01\x02\x03\x04\x08\x09", ("id", DataType::Long, true)), "9");
}

#[test]
fn what_is_broken_says_where() {
    let deep = |levels: usize| {
        let mut bytes = b"\x10\x01".to_vec();
        for _ in 0..levels {
            let mut outer = vec![0x1a];
            let mut length = bytes.len();
            while length >= 0x80 {
                outer.push((length & 0x7f) as u8 | 0x80);
                length >>= 7;
            }
            outer.push(length as u8);
            outer.extend(bytes);
            bytes = outer;
        }
        bytes[0] = 0x2a;
        bytes
    };
    let too_deep = cell(PROTO3, &deep(90), ("line", DataType::Json, true));
    assert!(too_deep.contains("JSON of at most 128 levels"), "{too_deep}");
    assert!(cell(PROTO3, &deep(60), ("line", DataType::Json, true)).starts_with("{\"parts\":[{\"parts\""));
    for (bytes, reason) in [
        (&b"\x07"[..], "there is no wire type 7: the bytes are no message (byte 0 of 1)"),
        (b"\x00\x01", "a field's number is out of range: the bytes are no message (byte 0 of 2)"),
        (b"\x2a\x05\x0a", "the message ends too early (byte 2 of 3)"),
        (b"\x2a\x03\x0a\x05x", "the message ends too early (byte 4 of 5)"),
        (b"\x2a\x03\x0a\x01\xff", "a text is not UTF-8 (byte 4 of 5)"),
        (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "a number has more than 64 bits (byte 1 of 12)"),
        (&deep(101), "messages nest deeper than 100 levels (byte "),
    ] {
        let (rows, decoded) = decode(PROTO3, &table(&[("line", DataType::Json, true)]), &[bytes]);
        assert_eq!((rows.rows(), decoded.rejects[0].stage), (0, Stage::Decode), "{bytes:?}");
        assert!(decoded.rejects[0].reason.starts_with(reason), "{}", decoded.rejects[0].reason);
    }
}

#[test]
fn types_come_from_files_and_from_registry_texts() {
    let dir = tempfile::tempdir().unwrap();
    let file = ProtoFile::parse(PROTO3, &[]).unwrap();
    let path = dir.path().join("set.desc");
    std::fs::write(&path, file.descriptor_set()).unwrap();
    let schema = table(&[("id", DataType::Long, true)]);
    let made = |settings: &[(&str, &str)]| {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let made = ProtoDecoder::new(
            &settings,
            &DecodeSpec { schema: schema.clone(), continue_on_error: false, topic: "t".into(), raw: 0 },
        );
        made.map(|_| ()).map_err(|error| error.to_string())
    };
    let shown = path.to_str().unwrap();
    let uri = format!("file://{shown}");
    assert_eq!(made(&[("descriptorFile", shown), ("protoClassName", "shop.Order")]), Ok(()));
    assert_eq!(made(&[("descriptorFile", &uri), ("protoClassName", "Order")]), Ok(()));
    for (settings, expected) in [
        (
            vec![],
            "decoder setting 'descriptorFile' cannot be '': it must name the descriptor set: a path, or file:///path",
        ),
        (
            vec![("descriptorFile", "s3://b/x.desc")],
            "decoder setting 'descriptorFile' cannot be 's3://b/x.desc': it is read from the node's disk",
        ),
        (
            vec![("descriptorFile", "/no/such.desc")],
            "decoder setting 'descriptorFile' cannot be '/no/such.desc': it cannot be read on this node (no such file",
        ),
        (
            vec![("descriptorFile", shown)],
            "decoder setting 'protoClassName' cannot be '': it must name the message type: it has shop.Order, shop.Order.Line",
        ),
        (
            vec![("descriptorFile", shown), ("protoClassName", "Bill")],
            "decoder setting 'protoClassName' cannot be 'Bill': the descriptor set has no such type: it has shop.Order",
        ),
    ] {
        let error = made(&settings).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    std::fs::write(&path, b"no set").unwrap();
    assert!(made(&[("descriptorFile", shown)]).unwrap_err().contains("it is no descriptor set"), "{shown}");

    let common = "syntax = \"proto3\"; package c; message Money { int64 units = 1; }";
    let main =
        "syntax = \"proto3\"; import \"c/money.proto\"; message A {} message B { message In { c.Money m = 1; } }";
    let imports = [("c/money.proto".to_owned(), common.to_owned())];
    let parsed = ProtoFile::parse(main, &imports).unwrap();
    assert_eq!(&*parsed.message(&[1, 0]).unwrap().messages[0].fields[0].name, "m");
    assert_eq!(parsed.message(&[1, 1]).unwrap_err(), "the schema has no message type at position [1, 1]");
    assert!(ProtoFile::parse(main, &[]).is_err());
    let pool = DescriptorPool::decode(&parsed.descriptor_set()[..]).unwrap();
    let encoded = |name: &str| {
        let file = pool.get_file_by_name(name).unwrap();
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, file.encode_to_vec())
    };
    let imports = [("c/money.proto".to_owned(), encoded("c/money.proto"))];
    let again = ProtoFile::parse(&encoded("the schema.proto"), &imports).unwrap();
    assert_eq!(again.message(&[1, 0]), parsed.message(&[1, 0]));
}

proptest! {
    #[test]
    fn any_bytes_are_a_row_or_a_reject(bytes in proptest::collection::vec(any::<u8>(), 0..64), flip: (usize, u8)) {
        let fields = [("id", DataType::Long, true), ("line", DataType::Json, true), ("lines", DataType::String, false), ("tags", DataType::String, false), ("way", DataType::Int, true), ("line_way", DataType::Json, true)];
        let mut good = sample_bytes(&Sample { id: 9, name: Some("n".to_owned()), score: None, tags: vec!["a".to_owned(), "b".to_owned()] });
        let at = flip.0 % good.len();
        good[at] ^= flip.1;
        let nested = [&[0x2a, bytes.len() as u8][..], &bytes].concat();
        let (rows, decoded) = decode(PROTO3, &table(&fields), &[&bytes, &good, &nested]);
        prop_assert_eq!(rows.rows() + decoded.rejects.len(), 3);
    }
}

/// The descriptor library panics where it looks for the place of such a fault.
#[test]
fn a_descriptor_of_unknown_syntax_is_refused() {
    let file = [0x62, 1, b'!'];
    let set = [&[0x0a, file.len() as u8][..], &file].concat();
    let Err(SchemaFault::Set(reason)) = ProtoSchema::of_set(&set, None) else { panic!("it was taken") };
    assert!(!reason.is_empty());
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, file);
    assert!(!ProtoFile::parse(&text, &[]).unwrap_err().is_empty());
}
