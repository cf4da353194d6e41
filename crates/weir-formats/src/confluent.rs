//! The frame that a schema registry's serializers put in front of a message, and JSON in it.

use crate::{
    decoder::{DecodeSpec, Decoded, Decoder, Payload, Reject, Stage},
    json::JsonDecoder,
    row::Broken,
    schema_registry::SchemaId,
};
use weir_types::RowBatch;

/// Bytes of the frame: a zero, then the schema's number.
pub(crate) const FRAME: usize = 5;

/// The number of a message's schema.
pub(crate) fn schema_of(message: &[u8]) -> Result<SchemaId, Broken> {
    match message {
        [0, a, b, c, d, ..] => Ok(SchemaId::Number(u32::from_be_bytes([*a, *b, *c, *d]))),
        [] => Err(Broken::new(0, "the message is empty")),
        [0, ..] => Err(Broken::new(message.len(), "the message ends within the number of its schema")),
        [first, ..] => Err(Broken::new(
            0,
            format!("the first byte is {first:#04x}, not 0: it was not written by a schema registry's serializer"),
        )),
    }
}

/// Decodes JSON behind the frame. JSON says itself what it holds, so no schema is asked for.
#[derive(Debug)]
pub struct RegisteredJson {
    json: JsonDecoder,
}

impl RegisteredJson {
    /// A decoder for the schema of `spec`.
    #[must_use]
    pub fn new(spec: &DecodeSpec) -> Self {
        Self { json: JsonDecoder::new(spec) }
    }
}

impl Decoder for RegisteredJson {
    fn decode(&mut self, payloads: &mut dyn Iterator<Item = Payload<'_>>, rows: &mut RowBatch) -> Decoded {
        let mut refused = vec![];
        let mut framed = payloads.filter_map(|payload| match schema_of(payload.value) {
            Ok(_) => Some(Payload { value: &payload.value[FRAME..], ..payload }),
            Err(Broken { at, what }) => {
                let reason = format!("{what} (byte {at} of {})", payload.value.len());
                refused.push(Reject { message: payload.message, stage: Stage::Decode, column: None, reason });
                None
            }
        });
        let mut decoded = self.json.decode(&mut framed, rows);
        if !refused.is_empty() {
            decoded.rejects.extend(refused);
            decoded.rejects.sort_by_key(|reject| reject.message);
        }
        decoded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{Sample, conformance};

    #[test]
    fn conforms() {
        let encode = |sample: &Sample| {
            let json = serde_json::json!({
                "id": sample.id, "name": sample.name, "score": sample.score, "tags": sample.tags
            });
            [&[0, 0, 0, 0, 7][..], json.to_string().as_bytes()].concat()
        };
        conformance(&|spec| Box::new(RegisteredJson::new(&spec)), &encode);
    }
}
