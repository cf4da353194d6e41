//! Avro's binary form straight into columns.
//!
//! The writer's schema is compiled once: every field of its record is either skipped or fills the column of its name. A
//! message is walked by that plan, without a value in between. Only what nests deeper than an array of scalars is written
//! as JSON text first, and goes the way that JSON goes.
//!
//! Rules: a union is its branch; an enum its symbol; bytes after the record are passed over and counted as altered. Dates
//! and times of day are text in text columns (`2026-01-31`, `12:00:30`) and numbers in number columns; timestamps are
//! milliseconds, whatever they were written in; with `extractRawTimeValues` all of them are the numbers that were written.
//! Bytes inside of nested values are base64 text.

mod registered;
mod schema;
mod walk;
mod wire;

use crate::{
    decoder::{DecodeSpec, Decoded, Decoder, Payload},
    error::FormatError,
    row::{RowWriter, shorten},
};
pub use registered::RegisteredAvro;
pub use schema::AvroSchema;
use std::{collections::BTreeMap, sync::Arc};
use walk::{Buffers, Plan};
use weir_types::RowBatch;
use wire::Wire;

/// Settings of the decoder with a fixed schema.
pub const KEYS: &[&str] = &["schema", "leading.bytes.to.strip", "extractRawTimeValues"];

/// Decodes messages that were all written with one schema.
#[derive(Debug)]
pub struct AvroDecoder {
    row: RowWriter,
    plan: Plan,
    /// Bytes in front of every record.
    strip: usize,
    buffers: Buffers,
}

impl AvroDecoder {
    /// A decoder for the schema of `spec`, with `decoder.prop.` settings.
    pub fn new(settings: &BTreeMap<String, String>, spec: &DecodeSpec) -> Result<Self, FormatError> {
        let refuse = |key: &str, value: &str, reason: String| FormatError::Setting {
            key: key.to_owned(),
            value: shorten(value.as_bytes()),
            reason,
        };
        let text = settings.get("schema").map_or("", |text| text.trim());
        if text.is_empty() {
            return Err(refuse("schema", text, "it must hold the writer's Avro schema as JSON text".to_owned()));
        }
        let schema = AvroSchema::parse(text, &[]).map_err(|reason| refuse("schema", text, reason))?;
        let strip = settings.get("leading.bytes.to.strip").map_or("0", |text| text.trim());
        let strip = strip
            .parse()
            .map_err(|_| refuse("leading.bytes.to.strip", strip, "it must be a number of bytes, as 5".to_owned()))?;
        let raw_times = raw_times(settings)?;
        let plan = Plan::new(Arc::new(schema), spec.sources(), raw_times);
        Ok(Self { row: RowWriter::new(spec), plan, strip, buffers: Buffers::default() })
    }
}

/// Whether times stay the numbers that they are.
fn raw_times(settings: &BTreeMap<String, String>) -> Result<bool, FormatError> {
    crate::error::truth(settings, "extractRawTimeValues").map(|truth| truth.unwrap_or(false))
}

impl Decoder for AvroDecoder {
    fn decode(&mut self, payloads: &mut dyn Iterator<Item = Payload<'_>>, rows: &mut RowBatch) -> Decoded {
        let Self { row, plan, strip, buffers } = self;
        row.batch(payloads, rows, |row, message, rows| plan.record(&mut Wire::new(message, *strip), row, rows, buffers))
    }
}

#[cfg(test)]
pub(crate) mod tests;
