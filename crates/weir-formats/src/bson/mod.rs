//! BSON documents straight into columns.
//!
//! The library walks the bytes and hands out what lies in them; fields go into the columns of their names. Nested documents
//! are written as JSON text and go the way that JSON goes.
//!
//! Rules, those of Pinot's reader: an ObjectId is its hexadecimal text, a date a time in milliseconds, a Decimal128 a
//! decimal, binary data bytes, an internal timestamp its seconds; regular expressions, code and symbols are their texts;
//! undefined and the two keys at the ends of all orders are null. Of equal names the last wins.

use crate::{
    coerce::{self, Source},
    decoder::{DecodeSpec, Decoded, Decoder, Payload},
    json::text::quote,
    row::{Broken, RowWriter},
};
use ::bson::{RawBsonRef, RawDocument};
use base64::Engine as _;
use hashbrown::HashMap;
use weir_types::{DataType, RowBatch};

/// How deep documents nest: MongoDB's own bound.
const MAX_DEPTH: u32 = 100;

/// Decodes BSON documents; see the module's head.
#[derive(Debug)]
pub struct BsonDecoder {
    row: RowWriter,
    columns: HashMap<String, u32>,
    /// Per column: the record that last set it.
    seen: Vec<u64>,
    record: u64,
    buffers: Buffers,
}

#[derive(Debug, Default)]
struct Buffers {
    text: String,
    json: Vec<u8>,
}

impl BsonDecoder {
    /// A decoder for the schema of `spec`.
    #[must_use]
    pub fn new(spec: &DecodeSpec) -> Self {
        Self {
            row: RowWriter::new(spec),
            columns: spec.sources().map(|(column, source)| (source.to_owned(), column)).collect(),
            seen: vec![0; spec.schema.fields().len()],
            record: 0,
            buffers: Buffers::default(),
        }
    }
}

impl Decoder for BsonDecoder {
    fn decode(&mut self, payloads: &mut dyn Iterator<Item = Payload<'_>>, rows: &mut RowBatch) -> Decoded {
        let Self { row, columns, seen, record, buffers } = self;
        row.batch(payloads, rows, |row, message, rows| {
            *record += 1;
            // The length comes first; what lies behind it is no part of the document.
            let length = message.first_chunk().map_or(0, |length| i32::from_le_bytes(*length));
            let document =
                usize::try_from(length).ok().and_then(|length| message.get(..length)).filter(|d| d.len() > 4);
            let Some(document) = document else {
                return Err(Broken::new(0, "the length in front of the document is not that of the message"));
            };
            if document.len() < message.len() {
                row.alter();
            }
            for element in RawDocument::from_bytes(document).map_err(broken)? {
                let (name, value) = element.map_err(broken)?;
                match columns.get(name.as_str()) {
                    Some(column) => {
                        let last = &mut seen[*column as usize];
                        if std::mem::replace(last, *record) == *record {
                            row.take_back(rows, *column);
                        }
                        fill(value, row, rows, *column, buffers)?;
                    }
                    // What is passed over is looked through: a document is well formed or none.
                    None => check(value, 1)?,
                }
            }
            Ok(())
        })
    }
}

#[cold]
fn broken(error: ::bson::error::Error) -> Broken {
    Broken::new(0, format!("this is no BSON document: {error}"))
}

fn too_deep() -> Broken {
    Broken::new(0, "documents nest deeper than 100 levels")
}

fn fill(
    value: RawBsonRef<'_>,
    row: &mut RowWriter,
    rows: &mut RowBatch,
    column: u32,
    buffers: &mut Buffers,
) -> Result<(), Broken> {
    if let RawBsonRef::Array(array) = value
        && !matches!(row.data_type(column), DataType::Json | DataType::Map)
        && array.into_iter().all(|item| !matches!(item, Ok(RawBsonRef::Array(_) | RawBsonRef::Document(_))))
    {
        row.list(rows, column);
        for item in array {
            if let Some(source) = scalar(item.map_err(broken)?, &mut buffers.text) {
                row.element(rows, column, source);
            }
        }
        return Ok(());
    }
    if matches!(value, RawBsonRef::Array(_) | RawBsonRef::Document(_)) {
        buffers.json.clear();
        json(value, &mut buffers.json, &mut buffers.text, 1)?;
        row.json(rows, column, &buffers.json);
    } else if let Some(source) = scalar(value, &mut buffers.text) {
        row.value(rows, column, source);
    }
    Ok(())
}

/// One value; `None` is null.
fn scalar<'v>(value: RawBsonRef<'v>, text: &'v mut String) -> Option<Source<'v>> {
    text.clear();
    Some(match value {
        RawBsonRef::Double(value) => Source::Double(value),
        RawBsonRef::String(text) | RawBsonRef::Symbol(text) | RawBsonRef::JavaScriptCode(text) => Source::Text(text),
        RawBsonRef::JavaScriptCodeWithScope(code) => Source::Text(code.code),
        RawBsonRef::Boolean(value) => Source::Bool(value),
        RawBsonRef::Int32(value) => Source::Integer(i64::from(value)),
        RawBsonRef::Int64(value) => Source::Integer(value),
        RawBsonRef::Timestamp(value) => Source::Integer(i64::from(value.time)),
        RawBsonRef::DateTime(value) => Source::Timestamp(value.timestamp_millis()),
        RawBsonRef::Binary(value) => Source::Bytes(value.bytes),
        RawBsonRef::ObjectId(id) => {
            text.push_str(&id.to_hex());
            Source::Text(text)
        }
        RawBsonRef::Decimal128(value) => {
            text.push_str(&value.to_string());
            if text.bytes().any(|byte| byte.is_ascii_digit()) { Source::Decimal(text) } else { Source::Text(text) }
        }
        RawBsonRef::RegularExpression(value) => Source::Text(value.pattern.as_str()),
        RawBsonRef::DbPointer(_)
        | RawBsonRef::Null
        | RawBsonRef::Undefined
        | RawBsonRef::MaxKey
        | RawBsonRef::MinKey
        | RawBsonRef::Array(_)
        | RawBsonRef::Document(_) => return None,
    })
}

fn check(value: RawBsonRef<'_>, depth: u32) -> Result<(), Broken> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    match value {
        RawBsonRef::Document(document) => {
            for element in document {
                check(element.map_err(broken)?.1, depth + 1)?;
            }
        }
        RawBsonRef::Array(array) => {
            for item in array {
                check(item.map_err(broken)?, depth + 1)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Writes a value as JSON text.
fn json(value: RawBsonRef<'_>, out: &mut Vec<u8>, text: &mut String, depth: u32) -> Result<(), Broken> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    match value {
        RawBsonRef::Document(document) => {
            out.push(b'{');
            for (at, element) in document.into_iter().enumerate() {
                let (name, value) = element.map_err(broken)?;
                if at > 0 {
                    out.push(b',');
                }
                quote(name.as_str().as_bytes(), out);
                out.push(b':');
                json(value, out, text, depth + 1)?;
            }
            out.push(b'}');
        }
        RawBsonRef::Array(array) => {
            out.push(b'[');
            for (at, item) in array.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                json(item.map_err(broken)?, out, text, depth + 1)?;
            }
            out.push(b']');
        }
        other => match scalar(other, text) {
            None => out.extend_from_slice(b"null"),
            Some(Source::Text(text)) => quote(text.as_bytes(), out),
            Some(Source::Bytes(bytes)) => {
                quote(base64::engine::general_purpose::STANDARD.encode(bytes).as_bytes(), out);
            }
            Some(source) => {
                coerce::json(source, out);
            }
        },
    }
    Ok(())
}

#[cfg(test)]
mod tests;
