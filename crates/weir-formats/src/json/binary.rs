//! CBOR and Smile: their items written as JSON text, which goes the way that JSON goes.
//!
//! Bytes are hexadecimal text, as a BYTES column takes it; numbers that are none (NaN, infinite) and undefined are null.

use super::{JsonDecoder, text::quote};
use crate::{
    coerce::{self, Source, text::hex},
    decoder::{DecodeSpec, Decoded, Decoder, Payload, Reject, Stage},
};
use ciborium_ll::{Decoder as Cbor, Header, simple};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use std::fmt;
use weir_types::RowBatch;

/// How deep arrays and maps nest, as for JSON.
const MAX_DEPTH: u32 = 128;

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryFormat {
    /// CBOR.
    Cbor,
    /// Smile, of the Jackson library.
    Smile,
    /// As the first bytes of each message say; else text.
    Auto,
}

/// Decodes records that stand for JSON in another form.
#[derive(Debug)]
pub struct BinaryJsonDecoder {
    json: JsonDecoder,
    format: BinaryFormat,
    /// The batch as text.
    text: Vec<u8>,
}

impl BinaryJsonDecoder {
    /// A decoder for the schema of `spec`.
    #[must_use]
    pub fn new(spec: &DecodeSpec, format: BinaryFormat) -> Self {
        Self { json: JsonDecoder::new(spec), format, text: vec![] }
    }
}

impl Decoder for BinaryJsonDecoder {
    fn decode(&mut self, payloads: &mut dyn Iterator<Item = Payload<'_>>, rows: &mut RowBatch) -> Decoded {
        self.text.clear();
        let (mut refused, mut spans) = (vec![], vec![]);
        for payload in payloads {
            let start = self.text.len();
            match write(self.format, payload.value, &mut self.text) {
                Ok(()) => spans.push((payload.message, start..self.text.len())),
                Err(what) => {
                    self.text.truncate(start);
                    let reason = format!("{what} (of {} bytes)", payload.value.len());
                    refused.push(Reject { message: payload.message, stage: Stage::Decode, column: None, reason });
                }
            }
        }
        let text = &self.text;
        let mut written = spans.into_iter().map(|(message, span)| Payload { message, value: &text[span], key: None });
        let mut decoded = self.json.decode(&mut written, rows);
        decoded.rejects.extend(refused);
        decoded.rejects.sort_by_key(|reject| reject.message);
        decoded
    }
}

/// Writes a record as JSON text.
fn write(format: BinaryFormat, message: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let is_smile = message.starts_with(b":)\n");
    let is_cbor = message.starts_with(&[0xd9, 0xd9, 0xf7]) || matches!(message.first(), Some(0xa0..=0xbf));
    if message.is_empty() {
        return Err("the message is empty".to_owned());
    }
    match format {
        BinaryFormat::Smile if !is_smile => Err("the message does not begin as Smile does".to_owned()),
        BinaryFormat::Smile => smile(message, out),
        BinaryFormat::Cbor => cbor(message, out),
        BinaryFormat::Auto if is_smile => smile(message, out),
        BinaryFormat::Auto if is_cbor => cbor(message, out),
        BinaryFormat::Auto => {
            out.extend_from_slice(message);
            Ok(())
        }
    }
}

fn cbor(message: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let mut from = Cbor::from(message);
    cbor_item(&mut from, None, out, 1)?;
    // Bytes behind the record are passed over and counted, as they are behind text.
    if from.offset() < message.len() {
        out.push(b' ');
        out.push(b'+');
    }
    Ok(())
}

fn cbor_error<E: fmt::Debug>(error: ciborium_ll::Error<E>) -> String {
    match error {
        ciborium_ll::Error::Io(_) => "the message ends too early".to_owned(),
        ciborium_ll::Error::Syntax(at) => format!("byte {at} is not CBOR"),
    }
}

/// Writes one item; `header` is its beginning where it was read already.
fn cbor_item(from: &mut Cbor<&[u8]>, header: Option<Header>, out: &mut Vec<u8>, depth: u32) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err("values nest deeper than 128 levels".to_owned());
    }
    let mut header = match header {
        Some(header) => header,
        None => from.pull().map_err(cbor_error)?,
    };
    // A tag says what the item behind it means; JSON has no place for that.
    let mut tags = 0;
    while let Header::Tag(_) = header {
        tags += 1;
        if tags > MAX_DEPTH {
            return Err("values nest deeper than 128 levels".to_owned());
        }
        header = from.pull().map_err(cbor_error)?;
    }
    match header {
        Header::Positive(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Header::Negative(value) => out.extend_from_slice((-1 - i128::from(value)).to_string().as_bytes()),
        Header::Float(value) => {
            coerce::json(Source::Double(value), out);
        }
        Header::Simple(simple::TRUE) => out.extend_from_slice(b"true"),
        Header::Simple(simple::FALSE) => out.extend_from_slice(b"false"),
        Header::Simple(_) => out.extend_from_slice(b"null"),
        Header::Bytes(length) => {
            out.push(b'"');
            let mut buffer = [0; 1024];
            let mut segments = from.bytes(length);
            while let Some(mut segment) = segments.pull().map_err(cbor_error)? {
                while let Some(chunk) = segment.pull(&mut buffer).map_err(cbor_error)? {
                    hex(chunk, out);
                }
            }
            out.push(b'"');
        }
        Header::Text(length) => {
            let mut buffer = [0; 1024];
            let mut segments = from.text(length);
            out.push(b'"');
            while let Some(mut segment) = segments.pull().map_err(cbor_error)? {
                while let Some(chunk) = segment.pull(&mut buffer).map_err(cbor_error)? {
                    // The quotes stand around all chunks, not around each.
                    let start = out.len();
                    quote(chunk.as_bytes(), out);
                    out.pop();
                    out.remove(start);
                }
            }
            out.push(b'"');
        }
        Header::Array(length) => {
            out.push(b'[');
            cbor_items(from, length, out, |from, header, out| cbor_item(from, Some(header), out, depth + 1))?;
            out.push(b']');
        }
        Header::Map(length) => {
            out.push(b'{');
            cbor_items(from, length, out, |from, header, out| {
                let start = out.len();
                cbor_item(from, Some(header), out, depth + 1)?;
                // Quoted as text, it would double with each level.
                if matches!(out[start], b'[' | b'{') {
                    return Err(format!(
                        "the key before byte {} is an array or a map, which JSON cannot have",
                        from.offset()
                    ));
                }
                if out[start] != b'"' {
                    let key = out.split_off(start);
                    quote(&key, out);
                }
                out.push(b':');
                cbor_item(from, None, out, depth + 1)
            })?;
            out.push(b'}');
        }
        Header::Break | Header::Tag(_) => return Err(format!("byte {} ends what did not begin", from.offset())),
    }
    Ok(())
}

/// The items of an array or map, with commas between them.
fn cbor_items(
    from: &mut Cbor<&[u8]>,
    length: Option<usize>,
    out: &mut Vec<u8>,
    mut item: impl FnMut(&mut Cbor<&[u8]>, Header, &mut Vec<u8>) -> Result<(), String>,
) -> Result<(), String> {
    let mut at = 0;
    while length.is_none_or(|length| at < length) {
        let header = from.pull().map_err(cbor_error)?;
        if length.is_none() && header == Header::Break {
            break;
        }
        if at > 0 {
            out.push(b',');
        }
        item(from, header, out)?;
        at += 1;
    }
    Ok(())
}

fn smile(message: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let mut from = serde_smile::de::Deserializer::from_slice(message);
    AsJson { out, depth: 1 }.deserialize(&mut from).map_err(|error| format!("this is no Smile: {error}"))
}

/// Writes whatever comes as JSON text.
struct AsJson<'o> {
    out: &'o mut Vec<u8>,
    depth: u32,
}

impl<'de> DeserializeSeed<'de> for AsJson<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        if self.depth > MAX_DEPTH {
            return Err(D::Error::custom("values nest deeper than 128 levels"));
        }
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AsJson<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.out.extend_from_slice(value.to_string().as_bytes());
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.out.extend_from_slice(value.to_string().as_bytes());
        Ok(())
    }

    fn visit_i128<E>(self, value: i128) -> Result<(), E> {
        self.out.extend_from_slice(value.to_string().as_bytes());
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        coerce::json(Source::Double(value), self.out);
        Ok(())
    }

    fn visit_f32<E>(self, value: f32) -> Result<(), E> {
        coerce::json(Source::Float(value), self.out);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        quote(value.as_bytes(), self.out);
        Ok(())
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<(), E> {
        self.out.push(b'"');
        hex(value, self.out);
        self.out.push(b'"');
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn visit_none<E>(self) -> Result<(), E> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        let Self { out, depth } = self;
        out.push(b'[');
        let start = out.len();
        loop {
            let before = out.len();
            if before > start {
                out.push(b',');
            }
            if from.next_element_seed(AsJson { out: &mut *out, depth: depth + 1 })?.is_none() {
                out.truncate(before);
                out.push(b']');
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        let Self { out, depth } = self;
        out.push(b'{');
        let start = out.len();
        loop {
            let before = out.len();
            if before > start {
                out.push(b',');
            }
            if from.next_key_seed(AsJson { out: &mut *out, depth: depth + 1 })?.is_none() {
                out.truncate(before);
                out.push(b'}');
                return Ok(());
            }
            out.push(b':');
            from.next_value_seed(AsJson { out: &mut *out, depth: depth + 1 })?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{Sample, conformance_with};
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    fn sample(sample: &Sample) -> Json {
        json!({"id": sample.id, "name": sample.name, "score": sample.score, "tags": sample.tags, "other": {"a": [1, null]}})
    }

    fn text(format: BinaryFormat, message: &[u8]) -> Result<String, String> {
        let mut out = vec![];
        write(format, message, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn smile_conforms() {
        let encode = |of: &Sample| {
            // Numbers as a serializer of its own writes them: serde_json's hold their text.
            #[derive(serde::Serialize)]
            struct Row<'a> {
                id: i64,
                name: &'a Option<String>,
                score: Option<f64>,
                tags: &'a [String],
            }
            serde_smile::to_vec(&Row { id: of.id, name: &of.name, score: of.score, tags: &of.tags }).unwrap()
        };
        let garbage: [&[u8]; 4] = [b"", b"\xff\xfe\xfd\x00", b":)\n", b":)\n\x01]]]"];
        for format in [BinaryFormat::Smile, BinaryFormat::Auto] {
            conformance_with(&|spec| Box::new(BinaryJsonDecoder::new(&spec, format)), &encode, &garbage);
        }
    }

    #[test]
    fn text_is_told_from_the_others() {
        let encode = |of: &Sample| sample(of).to_string().into_bytes();
        let make = |spec| Box::new(BinaryJsonDecoder::new(&spec, BinaryFormat::Auto)) as Box<dyn Decoder>;
        conformance_with(&make, &encode, &[b"", b"\xff\xfe\xfd\x00", b"]]]]"]);
        assert_eq!(text(BinaryFormat::Auto, &[0xa1, 0x61, b'a', 1]), Ok("{\"a\":1}".to_owned()));
    }

    #[test]
    fn cbor_items_are_json() {
        for (bytes, expected) in [
            (&[0xa0][..], "{}"),
            (&[0xd9, 0xd9, 0xf7, 0xa1, 0x61, b'a', 0x20], "{\"a\":-1}"),
            (&[0xbf, 0x61, b'a', 0x9f, 1, 0xf6, 0xff, 0x61, b'b', 0xf5, 0xff], "{\"a\":[1,null],\"b\":true}"),
            (&[0xa1, 0x61, b'a', 0x3b, 255, 255, 255, 255, 255, 255, 255, 255], "{\"a\":-18446744073709551616}"),
            (&[0xa1, 0x61, b'a', 0xfb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], "{\"a\":1.5}"),
            (&[0xa1, 0x61, b'a', 0xf9, 0x7e, 0], "{\"a\":null}"),
            (&[0xa1, 0x61, b'a', 0x43, 1, 2, 0xff], "{\"a\":\"0102ff\"}"),
            (&[0xa1, 0x61, b'a', 0x7f, 0x61, b'x', 0x62, b'"', b'\n', 0xff], "{\"a\":\"x\\\"\\n\"}"),
            (&[0xa1, 0x05, 0xc1, 0x1a, 0, 0, 1, 0], "{\"5\":256}"),
            (&[0xa0, 1], "{} +"),
        ] {
            assert_eq!(text(BinaryFormat::Cbor, bytes), Ok(expected.to_owned()), "{bytes:?}");
        }
        for (bytes, reason) in [
            (&[][..], "the message is empty"),
            (&[0xa1, 0x61], "the message ends too early"),
            (&[0xff], "byte 1 ends what did not begin"),
            (&[0xa1, 0x61, b'a', 0x1c], "byte 3 is not CBOR"),
            (&[0x9f; 200], "values nest deeper than 128 levels"),
            (&[0xc1; 200], "values nest deeper than 128 levels"),
            (&[0xa1, 0xa0, 1], "the key before byte 2 is an array or a map, which JSON cannot have"),
            (&[0xa1, 0xc1, 0x81, 1, 1], "the key before byte 4 is an array or a map, which JSON cannot have"),
            (&[0x9b, 255, 255, 255, 255, 255, 255, 255, 255], "the message ends too early"),
            (&[0x7b, 255, 255, 255, 255, 255, 255, 255, 255], "the message ends too early"),
        ] {
            assert_eq!(text(BinaryFormat::Cbor, bytes), Err(reason.to_owned()), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let smile = [b":)\n\x01", &bytes[..]].concat();
            for (format, message) in [(BinaryFormat::Cbor, &bytes), (BinaryFormat::Smile, &smile), (BinaryFormat::Auto, &bytes)] {
                let mut out = vec![];
                if write(format, message, &mut out).is_ok() && format != BinaryFormat::Auto {
                    prop_assert!(std::str::from_utf8(&out).is_ok());
                }
            }
        }
    }
}
