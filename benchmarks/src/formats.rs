//! The common event in the formats that are measured: as messages, as the file that peers read, and the table's settings.

use crate::event::{Event, Field};
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::Path,
};

type Failure = Box<dyn std::error::Error>;

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// An object a message.
    Json,
    /// A record of delimited text, the header in the table's settings.
    Csv,
    /// Avro binary, all of one schema.
    Avro,
    /// The same behind the number of a schema that a registry keeps.
    Confluent,
    /// A message of a descriptor set.
    Protobuf,
}

const SCHEMA_ID: u32 = 7;
/// Splits the blocks of an Avro file: any 16 bytes.
const SYNC: [u8; 16] = *b"weir-bench-sync!";
const BLOCK_EVENTS: usize = 1000;

impl Format {
    /// Its name, as topics and tables have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Avro => "avro",
            Self::Confluent => "confluent",
            Self::Protobuf => "protobuf",
        }
    }

    /// Appends a message.
    pub(crate) fn write(self, event: &Event, out: &mut Vec<u8>) {
        match self {
            Self::Json => event.write(event.ts, out),
            Self::Csv => csv(event, out),
            Self::Avro => avro(event, out),
            Self::Confluent => {
                out.push(0);
                out.extend(SCHEMA_ID.to_be_bytes());
                avro(event, out);
            }
            Self::Protobuf => protobuf(event, out),
        }
    }

    /// What a table that reads it has in its stream's settings; files it needs are made in `scratch`.
    pub(crate) fn settings(self, scratch: &Path) -> Result<Vec<(&'static str, String)>, Failure> {
        const CLASS: &str = "stream.kafka.decoder.class.name";
        Ok(match self {
            Self::Json => vec![(CLASS, "org.apache.pinot.plugin.inputformat.json.JSONMessageDecoder".into())],
            Self::Csv => vec![
                (CLASS, "org.apache.pinot.plugin.inputformat.csv.CSVMessageDecoder".into()),
                ("stream.kafka.decoder.prop.header", names().join(",")),
            ],
            Self::Avro => vec![
                (CLASS, "org.apache.pinot.plugin.inputformat.avro.SimpleAvroMessageDecoder".into()),
                ("stream.kafka.decoder.prop.schema", avro_schema().to_string()),
            ],
            Self::Confluent => vec![
                (
                    CLASS,
                    "org.apache.pinot.plugin.inputformat.avro.confluent.KafkaConfluentSchemaRegistryAvroMessageDecoder"
                        .into(),
                ),
                ("stream.kafka.decoder.prop.schema.registry.rest.url", registry()?),
            ],
            Self::Protobuf => {
                std::fs::create_dir_all(scratch)?;
                let file = std::path::absolute(scratch.join("events.desc"))?;
                std::fs::write(&file, descriptors())?;
                vec![
                    (CLASS, "org.apache.pinot.plugin.inputformat.protobuf.ProtoBufMessageDecoder".into()),
                    ("stream.kafka.decoder.prop.descriptorFile", format!("file://{}", file.display())),
                    ("stream.kafka.decoder.prop.protoClassName", "bench.Event".into()),
                ]
            }
        })
    }

    /// Writes the peers' file of the first `count` events, and what reads it beside it.
    pub(crate) fn file(self, count: u64, file: &Path) -> Result<(), Failure> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut out = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(file)?);
        let mut message = Vec::with_capacity(400);
        match self {
            Self::Json | Self::Csv | Self::Protobuf => {
                for number in 0..count {
                    message.clear();
                    self.write(&Event::new(number), &mut message);
                    match self {
                        Self::Protobuf => {
                            let mut length = vec![];
                            varint(message.len() as u64, &mut length);
                            out.write_all(&length)?;
                        }
                        _ => message.push(b'\n'),
                    }
                    out.write_all(&message)?;
                }
                if self == Self::Protobuf {
                    std::fs::write(file.with_extension("proto"), proto())?;
                }
            }
            Self::Avro | Self::Confluent => {
                let mut head = b"Obj\x01".to_vec();
                zigzag(2, &mut head);
                for (key, value) in [("avro.schema", avro_schema().to_string()), ("avro.codec", "null".into())] {
                    text(key, &mut head);
                    text(&value, &mut head);
                }
                zigzag(0, &mut head);
                head.extend(SYNC);
                out.write_all(&head)?;
                let numbers: Vec<u64> = (0..count).collect();
                for block in numbers.chunks(BLOCK_EVENTS) {
                    message.clear();
                    block.iter().for_each(|number| avro(&Event::new(*number), &mut message));
                    let mut head = vec![];
                    zigzag(block.len() as i64, &mut head);
                    zigzag(message.len() as i64, &mut head);
                    out.write_all(&head)?;
                    out.write_all(&message)?;
                    out.write_all(&SYNC)?;
                }
            }
        }
        out.flush()?;
        Ok(())
    }
}

fn names() -> Vec<&'static str> {
    Event::new(0).fields().iter().map(|(name, _)| *name).collect()
}

fn csv(event: &Event, out: &mut Vec<u8>) {
    for (at, (_, field)) in event.fields().iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let written = match field {
            Field::Long(value) => write!(out, "{value}"),
            Field::Int(value) => write!(out, "{value}"),
            Field::Double(value) => write!(out, "{value:.2}"),
            Field::Text(value) => write!(out, "{value}"),
        };
        written.expect("writing into memory cannot fail");
    }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i64, out: &mut Vec<u8>) {
    varint(((value << 1) ^ (value >> 63)) as u64, out);
}

fn text(value: &str, out: &mut Vec<u8>) {
    zigzag(value.len() as i64, out);
    out.extend(value.as_bytes());
}

/// Avro's binary encoding of a record: its fields one after the other.
fn avro(event: &Event, out: &mut Vec<u8>) {
    for (_, field) in event.fields() {
        match field {
            Field::Long(value) => zigzag(value, out),
            Field::Int(value) => zigzag(value.into(), out),
            Field::Double(value) => out.extend(value.to_le_bytes()),
            Field::Text(value) => text(&value, out),
        }
    }
}

fn avro_schema() -> serde_json::Value {
    let fields: Vec<_> = Event::new(0)
        .fields()
        .into_iter()
        .map(|(name, field)| {
            let kind = match field {
                Field::Long(_) => "long",
                Field::Int(_) => "int",
                Field::Double(_) => "double",
                Field::Text(_) => "string",
            };
            serde_json::json!({"name": name, "type": kind})
        })
        .collect();
    serde_json::json!({"type": "record", "name": "Event", "fields": fields})
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;

fn tag(number: u64, wire: u64, out: &mut Vec<u8>) {
    varint(number << 3 | wire, out);
}

fn bytes(number: u64, value: &[u8], out: &mut Vec<u8>) {
    tag(number, BYTES, out);
    varint(value.len() as u64, out);
    out.extend(value);
}

/// Protobuf's wire format, numbers of fields from 1 in their order.
fn protobuf(event: &Event, out: &mut Vec<u8>) {
    for (number, (_, field)) in (1..).zip(event.fields()) {
        match field {
            Field::Long(value) => {
                tag(number, VARINT, out);
                varint(value as u64, out);
            }
            Field::Int(value) => {
                tag(number, VARINT, out);
                varint(i64::from(value) as u64, out);
            }
            Field::Double(value) => {
                tag(number, FIXED64, out);
                out.extend(value.to_le_bytes());
            }
            Field::Text(value) => bytes(number, value.as_bytes(), out),
        }
    }
}

/// The type's name and its number in a `FieldDescriptorProto`.
fn proto_type(field: &Field) -> (&'static str, u64) {
    match field {
        Field::Long(_) => ("int64", 3),
        Field::Int(_) => ("int32", 5),
        Field::Double(_) => ("double", 1),
        Field::Text(_) => ("string", 9),
    }
}

fn proto() -> String {
    let fields = Event::new(0).fields();
    let lines =
        (1..).zip(&fields).map(|(number, (name, field))| format!("  {} {name} = {number};\n", proto_type(field).0));
    format!("syntax = \"proto3\";\npackage bench;\nmessage Event {{\n{}}}\n", lines.collect::<String>())
}

/// The same as a `FileDescriptorSet` (google/protobuf/descriptor.proto).
fn descriptors() -> Vec<u8> {
    const OPTIONAL: u64 = 1;
    let mut message = vec![];
    bytes(1, b"Event", &mut message);
    for (number, (name, field)) in (1..).zip(Event::new(0).fields()) {
        let mut one = vec![];
        bytes(1, name.as_bytes(), &mut one);
        for (key, value) in [(3, number), (4, OPTIONAL), (5, proto_type(&field).1)] {
            tag(key, VARINT, &mut one);
            varint(value, &mut one);
        }
        bytes(2, &one, &mut message);
    }
    let mut file = vec![];
    bytes(1, b"events.proto", &mut file);
    bytes(2, b"bench", &mut file);
    bytes(4, &message, &mut file);
    bytes(12, b"proto3", &mut file);
    let mut set = vec![];
    bytes(1, &file, &mut set);
    set
}

/// A registry that keeps one schema; its URL. It answers until the process ends.
fn registry() -> Result<String, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    let body = serde_json::json!({"schema": avro_schema().to_string()}).to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let asked = lines.next().unwrap_or_default();
            lines.find(String::is_empty);
            let status = if asked.contains(&format!("/schemas/ids/{SCHEMA_ID}")) { "200 OK" } else { "404 Not Found" };
            let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n");
            // A client that went away asks again.
            write!(&stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).ok();
        }
    });
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formats_hold_the_same_event() {
        let event = Event::new(12_345);
        let of = |format: Format| {
            let mut out = vec![];
            format.write(&event, &mut out);
            out
        };
        let json: serde_json::Value = serde_json::from_slice(&of(Format::Json)).expect("JSON");
        let csv = String::from_utf8(of(Format::Csv)).expect("text");
        for ((name, value), cell) in event.fields().iter().zip(csv.split(',')) {
            let expected = &json[*name];
            let (found, text) = match value {
                Field::Long(value) => (serde_json::json!(value), value.to_string()),
                Field::Int(value) => (serde_json::json!(value), value.to_string()),
                Field::Double(value) => (serde_json::json!(value), format!("{value:.2}")),
                Field::Text(value) => (serde_json::json!(value), value.clone()),
            };
            assert_eq!((&found, cell), (expected, text.as_str()), "{name}");
        }
        assert_eq!(of(Format::Confluent)[5..], of(Format::Avro)[..]);
        assert_eq!(json.as_object().map(serde_json::Map::len), Some(event.fields().len()));
    }
}
