//! Protobuf messages straight into columns.
//!
//! The message type is compiled once: every field is skipped, fills the column of its name, or, where it nests, is noted
//! and written as JSON text, which goes the way that JSON goes. The wire is walked without a value in between.
//!
//! Rules: a field that is told from its default (`optional`, proto2, oneofs, messages) is null where it is not set, any
//! other is its default; of a field that stands twice the last counts, of messages the parts are joined; enums are their
//! names; unsigned numbers come out signed; repeated fields are arrays, packed or not; maps are objects; a message inside
//! lists the fields that are on the wire; Google's Timestamp is a time in a TIMESTAMP column; unknown fields are passed over. Bytes inside of nested values are base64 text.

mod registered;
mod schema;
mod text;
mod walk;
mod wire;

use crate::{
    decoder::{DecodeSpec, Decoded, Decoder, Payload},
    error::FormatError,
    row::RowWriter,
};
pub use registered::RegisteredProto;
pub use schema::{ProtoSchema, SchemaFault};
use std::{collections::BTreeMap, sync::Arc};
pub use text::ProtoFile;
use walk::{Buffers, Plan};
use weir_base::outside;
use weir_types::RowBatch;

/// Settings of the decoder with a descriptor set.
pub const KEYS: &[&str] = &["descriptorFile", "protoClassName"];

/// Most bytes of a descriptor set: sets of thousands of types have a few million.
const MOST_DESCRIPTOR_BYTES: u64 = 64 << 20;

/// Decodes messages of one type of a descriptor set.
#[derive(Debug)]
pub struct ProtoDecoder {
    row: RowWriter,
    plan: Plan,
    buffers: Buffers,
}

impl ProtoDecoder {
    /// A decoder for the schema of `spec`, with `decoder.prop.` settings. The descriptor set is read from the node's disk.
    pub fn new(settings: &BTreeMap<String, String>, spec: &DecodeSpec) -> Result<Self, FormatError> {
        let file = settings.get("descriptorFile").map_or("", |text| text.trim());
        let refuse = |key: &str, value: &str, reason: String| FormatError::Setting {
            key: key.to_owned(),
            value: value.to_owned(),
            reason,
        };
        let path = path_of(file).map_err(|reason| refuse("descriptorFile", file, reason.to_owned()))?;
        let set = outside::file_of_at_most(path, MOST_DESCRIPTOR_BYTES).map_err(|why| {
            let reason = format!("it cannot be read on this node ({why}): put the descriptor set there");
            refuse("descriptorFile", file, reason)
        })?;
        let name = settings.get("protoClassName").map(String::as_str);
        let schema = ProtoSchema::of_set(&set, name).map_err(|fault| match fault {
            SchemaFault::Set(why) => {
                let make = "make it with protoc --include_imports --descriptor_set_out=FILE";
                refuse("descriptorFile", file, format!("it is no descriptor set ({why}): {make}"))
            }
            SchemaFault::Name(reason) => refuse("protoClassName", name.unwrap_or_default(), reason),
        })?;
        Ok(Self::of(Arc::new(schema), spec))
    }

    /// A decoder for messages of that type.
    #[must_use]
    pub fn of(schema: Arc<ProtoSchema>, spec: &DecodeSpec) -> Self {
        let row = RowWriter::new(spec).taking_empty();
        let plan = Plan::new(schema, spec.sources(), &row);
        Self { row, plan, buffers: Buffers::default() }
    }
}

/// A path of this node's, from a URI or as it is.
fn path_of(file: &str) -> Result<&str, &'static str> {
    if file.is_empty() {
        return Err("it must name the descriptor set: a path, or file:///path");
    }
    match file.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("file") => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            let path = path.strip_prefix("localhost").unwrap_or(path);
            if path.starts_with('/') { Ok(path) } else { Err("a file URI names a path from the root: file:///path") }
        }
        Some((scheme, _)) if !scheme.contains('/') && scheme.len() > 1 => {
            Err("it is read from the node's disk: copy it there and name it by its path, or by file:///path")
        }
        _ => Ok(file),
    }
}

impl Decoder for ProtoDecoder {
    fn decode(&mut self, payloads: &mut dyn Iterator<Item = Payload<'_>>, rows: &mut RowBatch) -> Decoded {
        let Self { row, plan, buffers } = self;
        row.batch(payloads, rows, |row, message, rows| plan.record(message, 0, row, rows, buffers))
    }
}

#[cfg(test)]
mod tests;
