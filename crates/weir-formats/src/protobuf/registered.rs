//! Protobuf behind a frame that names the schema in a registry, and the message type in it.

use super::{
    text::ProtoFile,
    walk::{Buffers, Plan},
};
use crate::{
    confluent,
    decoder::{DecodeSpec, Decoded, Decoder, Payload},
    error::FormatError,
    row::{Broken, RowWriter},
    schema_registry::{Known, Lookup, SchemaId, SchemaKind, SchemaRegistry},
};
use hashbrown::HashMap;
use std::{collections::BTreeMap, sync::Arc};
use weir_types::RowBatch;

/// How deep message types are declared inside of each other.
const MOST_LEVELS: u64 = 64;

/// A schema and what was made of its types so far.
#[derive(Debug)]
struct Types {
    file: ProtoFile,
    /// By the path of positions: a schema has few types, and topics use few of them.
    plans: HashMap<Vec<usize>, Result<Plan, String>>,
}

/// Decodes messages each of which names the schema and the type that it was written with.
#[derive(Debug)]
pub struct RegisteredProto {
    row: RowWriter,
    sources: Vec<(u32, String)>,
    types: Known<Types>,
    registry: Arc<SchemaRegistry>,
    path: Vec<usize>,
    buffers: Buffers,
}

impl RegisteredProto {
    /// A decoder for the schema of `spec`, with `decoder.prop.` settings.
    pub fn new(settings: &BTreeMap<String, String>, spec: &DecodeSpec) -> Result<Self, FormatError> {
        let registry = SchemaRegistry::shared(settings, &spec.topic, false)?;
        Ok(Self {
            row: RowWriter::new(spec),
            sources: spec.sources().map(|(column, source)| (column, source.to_owned())).collect(),
            types: Known::new(registry.capacity()),
            registry,
            path: vec![],
            buffers: Buffers::default(),
        })
    }
}

/// Reads the path of positions behind the number; where the message begins.
fn type_path(message: &[u8], path: &mut Vec<usize>) -> Result<usize, Broken> {
    let mut at = confluent::FRAME;
    let mut number = || -> Result<u64, Broken> {
        let start = at;
        let mut bits = 0u64;
        for shift in (0..35).step_by(7) {
            let Some(byte) = message.get(at) else {
                return Err(Broken::new(at, "the message ends within the position of its type"));
            };
            at += 1;
            bits |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                // Zigzag: a negative number is an odd one.
                return if bits & 1 == 0 { Ok(bits >> 1) } else { Err(Broken::new(start, "a position is below zero")) };
            }
        }
        Err(Broken::new(start, "a position has more than 32 bits"))
    };
    path.clear();
    let count = number()?;
    if count > MOST_LEVELS {
        return Err(Broken::new(confluent::FRAME, "types nest deeper than 64 levels"));
    }
    for _ in 0..count {
        path.push(usize::try_from(number()?).expect("35 bits at most"));
    }
    if path.is_empty() {
        // The first type, written short.
        path.push(0);
    }
    Ok(at)
}

impl Decoder for RegisteredProto {
    fn decode(&mut self, payloads: &mut dyn Iterator<Item = Payload<'_>>, rows: &mut RowBatch) -> Decoded {
        let Self { row, sources, types, path, buffers, .. } = self;
        row.batch(payloads, rows, |row, message, rows| {
            let id = confluent::schema_of(message)?;
            let from = type_path(message, path)?;
            let types = types.get(id).map_err(|why| Broken::new(0, why))?;
            if !types.plans.contains_key(path) {
                let sources = sources.iter().map(|(column, source)| (*column, source.as_str()));
                let made = types.file.message(path).map(|schema| Plan::new(Arc::new(schema), sources, row));
                types.plans.insert(path.clone(), made);
            }
            match &types.plans[path] {
                Ok(plan) => plan.record(message, from, row, rows, buffers),
                Err(why) => Err(Broken::new(confluent::FRAME, format!("{why} (schema {id})"))),
            }
        })
    }

    fn wants(&mut self, payloads: &mut dyn Iterator<Item = Payload<'_>>) -> Vec<SchemaId> {
        self.types.wants(payloads, |message| confluent::schema_of(message).ok())
    }

    fn learn(&mut self, id: SchemaId, said: &Lookup) {
        self.types.learn(id, said, |schema| {
            if schema.kind != SchemaKind::Protobuf {
                return Err(format!("it is of the type {:?}, not Protobuf: use the decoder of that type", schema.kind));
            }
            let file = ProtoFile::parse(&schema.text, &schema.references)?;
            Ok(Types { file, plans: HashMap::new() })
        });
    }

    fn registry(&self) -> Option<&Arc<SchemaRegistry>> {
        Some(&self.registry)
    }
}
