//! One target for each decoder of the shelf, and for the schemas that a registry gives: each input is one message, or a
//! schema and a message.

use crate::{
    Target,
    path::{Path, Table},
    tables::Asks,
};
use std::{collections::BTreeMap, sync::Arc};
use weir_formats::{
    Decoder,
    registry::decoder,
    schema_registry::{Lookup, RegisteredSchema, SchemaId, SchemaKind},
};

const AVRO: &str = include_str!("../schemas/message.avsc");
const PROTO: &str = include_str!("../schemas/message.proto");
const DESCRIPTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/message.desc");
/// Nothing listens there, and nothing asks: the decoders are told what a registry would say.
const REGISTRY: (&str, &str) = ("schema.registry.rest.url", "http://127.0.0.1:1");

type Settings<'a> = &'a [(&'a str, &'a str)];

/// A message as a file of the corpus has it.
macro_rules! corpus {
    ($file:literal) => {
        include_bytes!(concat!("../corpus/", $file))
    };
}

/// A registry's answer.
fn found(kind: SchemaKind, text: &str, references: &[(&str, &str)]) -> Lookup {
    let references = references.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    Lookup::Found(Arc::new(RegisteredSchema { kind, text: text.to_owned(), references }))
}

/// The decoder of a name with these settings, for each of the things that a table may ask.
fn paths(name: &str, settings: Settings<'_>, good: &[u8], schemas: &[(SchemaId, Lookup)]) -> Vec<Path> {
    let settings: BTreeMap<String, String> =
        settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let path = |asks| {
        Path::new(&Table::new(asks), good, |spec| {
            let mut made: Box<dyn Decoder> = decoder(name, &settings, spec).unwrap_or_else(|error| panic!("{error}"));
            schemas.iter().for_each(|(id, said)| made.learn(*id, said));
            made
        })
    };
    let paths: Vec<Path> = Asks::ALL.map(path).into();
    for (path, asks) in paths.iter().zip(Asks::ALL) {
        let (counts, rejects) = (&path.of_good().counts, &path.of_good().rejects);
        assert_eq!(
            counts.stored, 1,
            "the good message of {name} is stored where {asks:?} is asked: {counts:?}, {rejects:?}"
        );
    }
    paths
}

/// Tries a message on each of them.
fn each(mut paths: Vec<Path>) -> Target {
    Box::new(move |message| paths.iter_mut().for_each(|path| path.try_message(message)))
}

pub(crate) fn json() -> Target {
    each(paths("json", &[], corpus!("json/good"), &[]))
}

pub(crate) fn json_binary() -> Target {
    let cbor = || corpus!("json-binary/good-cbor");
    let mut all = paths("json", &[("jsonFormat", "CBOR")], cbor(), &[]);
    all.extend(paths("json", &[("jsonFormat", "SMILE")], corpus!("json-binary/good-smile"), &[]));
    all.extend(paths("json", &[("jsonFormat", "AUTO")], cbor(), &[]));
    each(all)
}

pub(crate) fn json_confluent() -> Target {
    each(paths("json-confluent", &[REGISTRY], corpus!("json-confluent/good"), &[]))
}

pub(crate) fn csv() -> Target {
    let header = ("header", "i,l,f,d,b,ts,at,s,short,strict,by,u,bd,is,ss,j,m");
    let good = corpus!("csv/good");
    let mut all = paths("csv", &[header], good, &[]);
    let tabs = [header, ("fileFormat", "MYSQL")];
    all.extend(paths("csv", &tabs, b"1\t2\t3\t4\ttrue\t5\t1767225600000\tx", &[]));
    let own = [
        header,
        ("delimiter", "|"),
        ("quoteCharacter", "'"),
        ("escapeCharacter", "\\"),
        ("commentMarker", "#"),
        ("multiValueDelimiter", ","),
        ("nullStringValue", "-"),
        ("ignoreSurroundingSpaces", "true"),
        ("ignoreEmptyLines", "false"),
    ];
    all.extend(paths("csv", &own, b"1|2|3|4|true|5|1767225600000|'x'", &[]));
    all.extend(paths("csv", &[("skipHeader", "true")], b"a,b\ni,at,s\n1,1767225600000,x", &[]));
    each(all)
}

pub(crate) fn avro() -> Target {
    let good = corpus!("avro/good");
    let mut all = paths("avro", &[("schema", AVRO)], good, &[]);
    all.extend(paths("avro", &[("schema", AVRO), ("extractRawTimeValues", "true")], good, &[]));
    each(all)
}

/// What a registry would say of Avro schemas: one, one that refers to another, one that is none, one of another kind.
fn avro_schemas(id: impl Fn(u8) -> SchemaId) -> Vec<(SchemaId, Lookup)> {
    let referring =
        r#"{"type":"record","name":"R","fields":[{"name":"o","type":"c.Money"},{"name":"i","type":"int"}]}"#;
    let money = r#"{"type":"record","name":"Money","namespace":"c","fields":[{"name":"x","type":"double"}]}"#;
    vec![
        (id(1), found(SchemaKind::Avro, AVRO, &[])),
        (id(2), found(SchemaKind::Avro, referring, &[("c.Money", money)])),
        (id(3), found(SchemaKind::Avro, "{", &[])),
        (id(4), found(SchemaKind::Json, "{}", &[])),
        (id(5), Lookup::Missing("it has no such schema".to_owned())),
    ]
}

pub(crate) fn avro_confluent() -> Target {
    let schemas = avro_schemas(|number| SchemaId::Number(number.into()));
    each(paths("avro-confluent", &[REGISTRY], corpus!("avro-confluent/good"), &schemas))
}

pub(crate) fn avro_hashed() -> Target {
    let schemas = avro_schemas(|number| SchemaId::Hash([number; 16]));
    each(paths("avro-hashed", &[REGISTRY], corpus!("avro-hashed/good"), &schemas))
}

pub(crate) fn protobuf() -> Target {
    let settings = [("descriptorFile", DESCRIPTORS), ("protoClassName", "shop.Message")];
    each(paths("protobuf", &settings, corpus!("protobuf/good"), &[]))
}

pub(crate) fn protobuf_confluent() -> Target {
    let importing = r#"syntax = "proto3"; import "other.proto"; message First { string s = 1; }
        message Second { Other o = 1; int64 at = 2; message Inner { repeated double ds = 3 [packed = false]; } }"#;
    let other = r#"syntax = "proto3"; message Other { double x = 1; }"#;
    let old = r#"syntax = "proto2"; message Old { required int64 at = 1; optional string s = 2 [default = "none"];
        repeated group Items = 3 { optional int64 id = 4; } }"#;
    let schemas = [
        (SchemaId::Number(1), found(SchemaKind::Protobuf, PROTO, &[])),
        (SchemaId::Number(2), found(SchemaKind::Protobuf, importing, &[("other.proto", other)])),
        (SchemaId::Number(3), found(SchemaKind::Protobuf, old, &[])),
        (SchemaId::Number(4), found(SchemaKind::Protobuf, "message", &[])),
    ];
    each(paths("protobuf-confluent", &[REGISTRY], corpus!("protobuf-confluent/good"), &schemas))
}

pub(crate) fn arrow() -> Target {
    // So much may become of a message; the decoder's own default would be more than an input may take.
    each(paths("arrow", &[("arrow.allocator.limit", "8388608")], corpus!("arrow/good"), &[]))
}

pub(crate) fn bson() -> Target {
    each(paths("bson", &[], corpus!("bson/good"), &[]))
}

pub(crate) fn clp() -> Target {
    let good = corpus!("clp/good");
    let mut all = paths("clp", &[("fieldsForClpEncoding", "s,got")], good, &[]);
    let more = [
        ("fieldsForClpEncoding", "s,text,j"),
        ("removeProcessedFields", "true"),
        ("unencodableFieldSuffix", "_raw"),
        ("unencodableFieldError", "error 17"),
        ("topicNameDestinationColumn", "day"),
    ];
    all.extend(paths("clp", &more, good, &[]));
    each(all)
}

/// A schema's text, a zero, and a message that was written with it, or not.
fn schema_and_message(kind: SchemaKind, name: &'static str, frame: &'static [u8]) -> Target {
    let settings = BTreeMap::from([(REGISTRY.0.to_owned(), REGISTRY.1.to_owned())]);
    let tables = [Asks::Types, Asks::EverythingLenient].map(Table::new);
    Box::new(move |data| {
        let cut = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
        let Ok(text) = std::str::from_utf8(&data[..cut]) else { return };
        let message = [frame, data.get(cut + 1..).unwrap_or_default()].concat();
        for table in &tables {
            let mut path = Path::new(table, &message, |spec| {
                let mut made = decoder(name, &settings, spec).unwrap_or_else(|error| panic!("{error}"));
                made.learn(SchemaId::Number(1), &found(kind, text, &[]));
                made
            });
            path.try_message(&message);
        }
    })
}

pub(crate) fn avro_schema() -> Target {
    schema_and_message(SchemaKind::Avro, "avro-confluent", &[0, 0, 0, 0, 1])
}

pub(crate) fn protobuf_schema() -> Target {
    schema_and_message(SchemaKind::Protobuf, "protobuf-confluent", &[0, 0, 0, 0, 1, 0])
}
