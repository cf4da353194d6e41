//! Avro behind a frame that names the writer's schema: a registry's number, or the schema's MD5.

use super::{
    schema::AvroSchema,
    walk::{Buffers, Plan},
    wire::Wire,
};
use crate::{
    confluent,
    decoder::{DecodeSpec, Decoded, Decoder, Payload},
    error::FormatError,
    row::{Broken, RowWriter},
    schema_registry::{Known, Lookup, SchemaId, SchemaKind, SchemaRegistry},
};
use std::{collections::BTreeMap, sync::Arc};
use weir_types::RowBatch;

/// Bytes in front of a message that names its schema by hash: one that means nothing, then the MD5.
const HASH_FRAME: usize = 17;

/// How a message names its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    Number,
    Hash,
}

impl Frame {
    /// The schema of a message, and where its record begins.
    #[inline]
    fn read(self, message: &[u8]) -> Result<(SchemaId, usize), Broken> {
        match self {
            Self::Number => Ok((confluent::schema_of(message)?, confluent::FRAME)),
            Self::Hash => match message.get(1..HASH_FRAME) {
                Some(hash) => Ok((SchemaId::Hash(hash.try_into().expect("sixteen were taken")), HASH_FRAME)),
                None => Err(Broken::new(message.len(), "the message ends within the hash of its schema")),
            },
        }
    }
}

/// Decodes messages each of which names the schema that it was written with.
#[derive(Debug)]
pub struct RegisteredAvro {
    row: RowWriter,
    frame: Frame,
    sources: Vec<(u32, String)>,
    raw_times: bool,
    plans: Known<Plan>,
    registry: Arc<SchemaRegistry>,
    buffers: Buffers,
}

impl RegisteredAvro {
    /// For messages with a registry's number in front.
    pub fn numbered(settings: &BTreeMap<String, String>, spec: &DecodeSpec) -> Result<Self, FormatError> {
        Self::new(settings, spec, Frame::Number)
    }

    /// For messages with the MD5 of the schema in front.
    pub fn hashed(settings: &BTreeMap<String, String>, spec: &DecodeSpec) -> Result<Self, FormatError> {
        Self::new(settings, spec, Frame::Hash)
    }

    fn new(settings: &BTreeMap<String, String>, spec: &DecodeSpec, frame: Frame) -> Result<Self, FormatError> {
        let registry = SchemaRegistry::shared(settings, &spec.topic, frame == Frame::Hash)?;
        Ok(Self {
            row: RowWriter::new(spec),
            frame,
            sources: spec.sources().map(|(column, source)| (column, source.to_owned())).collect(),
            raw_times: super::raw_times(settings)?,
            plans: Known::new(registry.capacity()),
            registry,
            buffers: Buffers::default(),
        })
    }
}

impl Decoder for RegisteredAvro {
    fn decode(&mut self, payloads: &mut dyn Iterator<Item = Payload<'_>>, rows: &mut RowBatch) -> Decoded {
        let Self { row, frame, plans, buffers, .. } = self;
        row.batch(payloads, rows, |row, message, rows| {
            let (id, from) = frame.read(message)?;
            let plan = plans.get(id).map_err(|why| Broken::new(0, why))?;
            plan.record(&mut Wire::new(message, from), row, rows, buffers)
        })
    }

    fn wants(&mut self, payloads: &mut dyn Iterator<Item = Payload<'_>>) -> Vec<SchemaId> {
        let frame = self.frame;
        self.plans.wants(payloads, |message| frame.read(message).ok().map(|(id, _)| id))
    }

    fn learn(&mut self, id: SchemaId, said: &Lookup) {
        let sources = self.sources.iter().map(|(column, source)| (*column, source.as_str()));
        let raw_times = self.raw_times;
        self.plans.learn(id, said, |schema| {
            if schema.kind != SchemaKind::Avro {
                return Err(format!("it is of the type {:?}, not Avro: use the decoder of that type", schema.kind));
            }
            let others: Vec<String> = schema.references.iter().map(|(_, text)| text.clone()).collect();
            Ok(Plan::new(Arc::new(AvroSchema::parse(&schema.text, &others)?), sources, raw_times))
        });
    }

    fn registry(&self) -> Option<&Arc<SchemaRegistry>> {
        Some(&self.registry)
    }
}
