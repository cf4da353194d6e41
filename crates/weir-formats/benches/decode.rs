//! Records per second of the JSON decoder, beside `serde_json::Value` and jiter's pull parser filling the same columns.
//!
//! Below them the steady event in the other formats, beside the library that reads the format into values of its own.
//!
//! `cargo bench -p weir-formats --bench decode`. One thread; the best of several rounds is shown, since everything
//! that disturbs a round makes it slower. It prints and judges nothing: times depend on the machine.
#![expect(clippy::print_stdout, reason = "a bench prints its result")]

use jiter::{Jiter, NumberInt, Peek};
use prost_reflect::{DescriptorPool, DynamicMessage, prost::Message as _};
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    hint::black_box,
    sync::Arc,
    time::Instant,
};
use weir_formats::{
    DecodeSpec, Decoder, Payload,
    json::JsonDecoder,
    protobuf::{ProtoDecoder, ProtoFile},
    registry,
    schema_registry::{Lookup, RegisteredSchema, SchemaId, SchemaKind},
};
use weir_types::{ColumnData, ColumnName, DataType, FieldKind, FieldSpec, RowBatch, Schema, SchemaVersion, Value};

/// Messages in a batch: about what one fetch returns.
const BATCH: usize = 4096;
const ROUNDS: usize = 40;

const FIELDS: [(&str, DataType); 12] = [
    ("event_id", DataType::String),
    ("ts", DataType::Long),
    ("user_id", DataType::Long),
    ("country", DataType::String),
    ("device", DataType::String),
    ("page", DataType::String),
    ("referrer", DataType::String),
    ("campaign", DataType::String),
    ("price", DataType::Double),
    ("quantity", DataType::Int),
    ("session", DataType::String),
    ("is_new", DataType::Boolean),
];

fn schema() -> Arc<Schema> {
    let field =
        |(name, data_type)| FieldSpec::new(ColumnName::parse(name).expect("a name"), data_type, FieldKind::Dimension);
    Arc::new(Schema::new("events", SchemaVersion(1), FIELDS.into_iter().map(field).collect()))
}

/// A small generator of numbers, so that every run reads the same events.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[derive(Clone, Copy)]
enum Shape {
    /// The same order in every event, no spaces.
    Steady,
    /// Spaces as Python prints them.
    Spaced,
    /// A third of the fields missing at random.
    Gaps,
    /// Another order in every event.
    Shuffled,
    /// Half of the fields are in no column, one of them nested.
    Extra,
    /// Texts outside of ASCII.
    Unicode,
}

fn event(shape: Shape, chance: &mut Chance) -> String {
    let word = if matches!(shape, Shape::Unicode) { "überraschend" } else { "landing-page" };
    let values = [
        format!("\"{:016x}{:016x}\"", chance.below(u64::MAX), chance.below(u64::MAX)),
        format!("{}", 1_769_862_896_000 + chance.below(86_400_000)),
        format!("{}", chance.below(5_000_000)),
        format!("\"{}\"", ["DE", "FR", "US", "JP", "BR"][chance.below(5) as usize]),
        format!("\"{}\"", ["desktop", "mobile", "tablet"][chance.below(3) as usize]),
        format!("\"/{word}/{}/section\"", chance.below(20_000)),
        format!("\"https://ref{}.example.com/\"", chance.below(300)),
        format!("\"campaign-{word}-{}\"", chance.below(100)),
        format!("{}.{:02}", chance.below(500), chance.below(100)),
        format!("{}", 1 + chance.below(9)),
        format!("\"{:016x}\"", chance.below(u64::MAX)),
        format!("{}", chance.below(2) == 0),
    ];
    let mut order: Vec<usize> = (0..values.len()).collect();
    match shape {
        Shape::Shuffled => (1..order.len()).for_each(|at| order.swap(at, chance.below(at as u64 + 1) as usize)),
        Shape::Gaps => order.retain(|_| chance.below(3) > 0),
        _ => {}
    }
    let space = if matches!(shape, Shape::Spaced) { " " } else { "" };
    let mut text = String::from("{");
    for at in order {
        if text.len() > 1 {
            write!(text, ",{space}").expect("a String takes every text");
        }
        let name = match (shape, at) {
            (Shape::Extra, 6) => {
                text.push_str("\"nested\":{\"a\":[1,2,3],\"b\":\"text\"},");
                "other_referrer"
            }
            (Shape::Extra, 0 | 2 | 7 | 10) => ["other", "another", "third", "fourth"][at % 4],
            _ => FIELDS[at].0,
        };
        write!(text, "\"{name}\":{space}{}", values[at]).expect("a String takes every text");
    }
    text.push('}');
    text
}

/// Nanoseconds per record, best round.
fn best(mut round: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        round();
        best = best.min(start.elapsed().as_nanos() as f64 / BATCH as f64);
    }
    best
}

fn spec(schema: &Arc<Schema>) -> DecodeSpec {
    DecodeSpec { schema: Arc::clone(schema), continue_on_error: false, topic: "t".into(), raw: 0 }
}

fn ours(schema: &Arc<Schema>, events: &[String]) -> f64 {
    decoded(&mut JsonDecoder::new(&spec(schema)), schema, events)
}

fn decoded<M: AsRef<[u8]>>(decoder: &mut dyn Decoder, schema: &Arc<Schema>, events: &[M]) -> f64 {
    let mut rows = RowBatch::new(schema);
    best(|| {
        rows.truncate(0);
        let mut payloads =
            (0u32..).zip(events).map(|(message, event)| Payload { message, value: event.as_ref(), key: None });
        let decoded = decoder.decode(&mut payloads, &mut rows);
        assert!(decoded.rejects.is_empty() && rows.rows() == BATCH);
        black_box(&rows);
    })
}

fn serde(schema: &Arc<Schema>, events: &[String]) -> f64 {
    let mut rows = RowBatch::new(schema);
    best(|| {
        rows.truncate(0);
        for event in events {
            let value: serde_json::Value = serde_json::from_str(event).expect("an event is JSON");
            for (field, column) in schema.fields().iter().zip(&mut rows.columns) {
                let value = &value[field.name.as_str()];
                match &mut column.data {
                    _ if value.is_null() => column.push_null(&field.default_null),
                    ColumnData::Int(out) => out.push(value.as_i64().map_or(i32::from(value == true), |v| v as i32)),
                    ColumnData::Long(out) => out.push(value.as_i64().expect("an integer")),
                    ColumnData::Double(out) => out.push(value.as_f64().expect("a number")),
                    ColumnData::Str(out) => out.push(value.as_str().expect("a string").as_bytes()),
                    _ => unreachable!("no event has such a field"),
                }
            }
        }
        black_box(&rows);
    })
}

fn jiter(schema: &Arc<Schema>, events: &[String]) -> f64 {
    let mut rows = RowBatch::new(schema);
    let by_name: HashMap<&str, usize> = FIELDS.iter().enumerate().map(|(at, (name, _))| (*name, at)).collect();
    let defaults: Vec<&Value> = schema.fields().iter().map(|field| &field.default_null).collect();
    let fail = "an event is JSON";
    best(|| {
        rows.truncate(0);
        for (row, event) in events.iter().enumerate() {
            let mut reader = Jiter::new(event.as_bytes());
            let mut key = reader.next_object().expect(fail).map(|key| by_name.get(key).copied());
            while let Some(at) = key {
                match at.map(|at| &mut rows.columns[at].data) {
                    None => reader.next_skip().expect(fail),
                    Some(ColumnData::Str(out)) => out.push(reader.next_str().expect(fail).as_bytes()),
                    Some(ColumnData::Double(out)) => out.push(reader.next_float().expect(fail)),
                    Some(ColumnData::Int(out)) => match reader.peek().expect(fail) {
                        Peek::True | Peek::False => out.push(i32::from(reader.next_bool().expect(fail))),
                        _ => out.push(integer(&reader.next_int().expect(fail)) as i32),
                    },
                    Some(ColumnData::Long(out)) => out.push(integer(&reader.next_int().expect(fail))),
                    Some(_) => unreachable!("no event has such a field"),
                }
                key = reader.next_key().expect(fail).map(|key| by_name.get(key).copied());
            }
            for (column, default) in rows.columns.iter_mut().zip(&defaults) {
                if column.rows() == row {
                    column.push_null(default);
                }
            }
        }
        black_box(&rows);
    })
}

fn integer(number: &NumberInt) -> i64 {
    let NumberInt::Int(value) = number;
    *value
}

/// The fields of a steady event as text.
fn fields(event: &str) -> Vec<String> {
    let event: serde_json::Value = serde_json::from_str(event).expect("an event is JSON");
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    FIELDS.iter().map(|(name, _)| text(&event[*name])).collect()
}

fn decoder(name: &str, settings: &[(&str, &str)], schema: &Arc<Schema>) -> Box<dyn Decoder> {
    let settings: BTreeMap<String, String> =
        settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    registry::decoder(name, &settings, spec(schema)).expect("the settings are right")
}

fn csv(schema: &Arc<Schema>, events: &[String]) {
    let names: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
    let lines: Vec<String> = events.iter().map(|event| fields(event).join(",")).collect();
    let mut decoder = decoder("csv", &[("header", &names.join(","))], schema);
    let ours = decoded(&mut *decoder, schema, &lines);
    line("csv", &lines, ours, None);
}

fn avro(schema: &Arc<Schema>, events: &[String]) {
    let kinds = |data_type| match data_type {
        DataType::Long => "long",
        DataType::Int => "int",
        DataType::Double => "double",
        DataType::Boolean => "boolean",
        _ => "string",
    };
    let list: Vec<String> = FIELDS
        .iter()
        .map(|(name, data_type)| format!(r#"{{"name":"{name}","type":"{}"}}"#, kinds(*data_type)))
        .collect();
    let text = format!(r#"{{"type":"record","name":"event","fields":[{}]}}"#, list.join(","));
    let parsed = apache_avro::Schema::parse_str(&text).expect("a schema");
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&parsed).build().expect("a writer");
    let messages: Vec<Vec<u8>> = events
        .iter()
        .map(|event| {
            let cells = fields(event).into_iter().zip(FIELDS).map(|(text, (name, data_type))| {
                use apache_avro::types::Value as Avro;
                let value = match data_type {
                    DataType::Long => Avro::Long(text.parse().expect("a number")),
                    DataType::Int => Avro::Int(text.parse().expect("a number")),
                    DataType::Double => Avro::Double(text.parse().expect("a number")),
                    DataType::Boolean => Avro::Boolean(text == "true"),
                    _ => Avro::String(text),
                };
                (name.to_owned(), value)
            });
            writer.write_value_to_vec(apache_avro::types::Value::Record(cells.collect())).expect("it fits")
        })
        .collect();
    let ours = decoded(&mut *decoder("avro", &[("schema", &text)], schema), schema, &messages);
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(&parsed).build().expect("a reader");
    let theirs = best(|| {
        for message in &messages {
            black_box(reader.read_value(&mut message.as_slice()).expect("a record"));
        }
    });
    line("avro", &messages, ours, Some(("apache-avro", theirs)));
    let framed: Vec<Vec<u8>> = messages.iter().map(|message| [&[0, 0, 0, 0, 7][..], message].concat()).collect();
    let mut decoder = decoder("avro-confluent", &[("schema.registry.rest.url", "http://127.0.0.1:1")], schema);
    let registered = RegisteredSchema { kind: SchemaKind::Avro, text, references: vec![] };
    decoder.learn(SchemaId::Number(7), &Lookup::Found(Arc::new(registered)));
    line("confluent", &framed, decoded(&mut *decoder, schema, &framed), None);
}

fn protobuf(schema: &Arc<Schema>, events: &[String]) {
    let kinds = |data_type| match data_type {
        DataType::Long => "int64",
        DataType::Int => "int32",
        DataType::Double => "double",
        DataType::Boolean => "bool",
        _ => "string",
    };
    let list: Vec<String> = FIELDS
        .iter()
        .enumerate()
        .map(|(at, (name, data_type))| format!("{} {name} = {};", kinds(*data_type), at + 1))
        .collect();
    let file = ProtoFile::parse(&format!("syntax = \"proto3\"; message Event {{ {} }}", list.join(" ")), &[]);
    let file = file.expect("a schema");
    let pool = DescriptorPool::decode(&file.descriptor_set()[..]).expect("a set");
    let described = pool.get_message_by_name("Event").expect("it is there");
    let messages: Vec<Vec<u8>> = events
        .iter()
        .map(|event| {
            let mut message = DynamicMessage::new(described.clone());
            for (text, (name, data_type)) in fields(event).into_iter().zip(FIELDS) {
                use prost_reflect::Value as Proto;
                let value = match data_type {
                    DataType::Long => Proto::I64(text.parse().expect("a number")),
                    DataType::Int => Proto::I32(text.parse().expect("a number")),
                    DataType::Double => Proto::F64(text.parse().expect("a number")),
                    DataType::Boolean => Proto::Bool(text == "true"),
                    _ => Proto::String(text),
                };
                message.set_field_by_name(name, value);
            }
            message.encode_to_vec()
        })
        .collect();
    let kind = Arc::new(file.message(&[0]).expect("it is there"));
    let ours = decoded(&mut ProtoDecoder::of(kind, &spec(schema)), schema, &messages);
    let theirs = best(|| {
        for message in &messages {
            black_box(DynamicMessage::decode(described.clone(), &message[..]).expect("a message"));
        }
    });
    line("protobuf", &messages, ours, Some(("prost-reflect", theirs)));
}

fn show(ns: f64) -> String {
    format!("{:.2} M/s {ns:>5.0} ns", 1e3 / ns)
}

fn line<M: AsRef<[u8]>>(name: &str, messages: &[M], ours: f64, theirs: Option<(&str, f64)>) {
    let bytes = messages.iter().map(|message| message.as_ref().len()).sum::<usize>() / BATCH;
    let theirs = theirs.map_or_else(String::new, |(name, ns)| format!("{} {name}", show(ns)));
    println!("{name:<10} {bytes:>6} {:>22}   {theirs}", show(ours));
}

fn main() {
    let schema = schema();
    println!("{:<10} {:>6} {:>22} {:>22} {:>22}", "events", "bytes", "weir", "jiter", "serde_json::Value");
    for (name, shape) in [
        ("steady", Shape::Steady),
        ("spaced", Shape::Spaced),
        ("gaps", Shape::Gaps),
        ("shuffled", Shape::Shuffled),
        ("extra", Shape::Extra),
        ("unicode", Shape::Unicode),
    ] {
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
        let events: Vec<String> = (0..BATCH).map(|_| event(shape, &mut chance)).collect();
        let bytes = events.iter().map(String::len).sum::<usize>() / BATCH;
        println!(
            "{name:<10} {bytes:>6} {:>22} {:>22} {:>22}",
            show(ours(&schema, &events)),
            show(jiter(&schema, &events)),
            show(serde(&schema, &events))
        );
    }
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let events: Vec<String> = (0..BATCH).map(|_| event(Shape::Steady, &mut chance)).collect();
    csv(&schema, &events);
    avro(&schema, &events);
    protobuf(&schema, &events);
}
