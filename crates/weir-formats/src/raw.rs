//! Fields as they were found, before they have a type: what expressions read.
//!
//! A raw column is a BYTES column whose values carry a tag: one byte that says what follows. Objects, and arrays of formats
//! that have them as text, stay JSON text; arrays of other formats are a list of tagged values, each behind its length.

use crate::{
    coerce::Source,
    json::{
        scan::{Number, Scan, Step, ascii},
        text::{normalise, unescape},
    },
};
use bumpalo::Bump;
use weir_functions::datum::Datum;
use weir_types::{BytesColumn, Column, ColumnData};

const BOOL: u8 = 1;
const LONG: u8 = 2;
const FLOAT: u8 = 3;
const DOUBLE: u8 = 4;
const DECIMAL: u8 = 5;
const TIMESTAMP: u8 = 6;
const TEXT: u8 = 7;
const BYTES: u8 = 8;
const UUID: u8 = 9;
const JSON: u8 = 10;
const LIST: u8 = 11;

/// Appends a tagged value.
fn tag(source: Source<'_>, out: &mut Vec<u8>) {
    let mut put = |tag: u8, payload: &[u8]| {
        out.push(tag);
        out.extend_from_slice(payload);
    };
    match source {
        Source::Bool(truth) => put(BOOL, &[u8::from(truth)]),
        Source::Integer(number) => put(LONG, &number.to_le_bytes()),
        Source::Float(number) => put(FLOAT, &number.to_le_bytes()),
        Source::Double(number) => put(DOUBLE, &number.to_le_bytes()),
        Source::Decimal(text) => put(DECIMAL, text.as_bytes()),
        Source::Timestamp(ms) => put(TIMESTAMP, &ms.to_le_bytes()),
        Source::Text(text) => put(TEXT, text.as_bytes()),
        Source::Bytes(bytes) => put(BYTES, bytes),
        Source::Uuid(uuid) => put(UUID, &uuid),
        Source::Json(text) => put(JSON, text.as_bytes()),
    }
}

fn data(column: &mut Column) -> &mut BytesColumn {
    match &mut column.data {
        ColumnData::Bytes(data) => data,
        other => panic!("a raw column is stored as bytes, not {:?}", other.stored()),
    }
}

/// Pushes a value that was found. `scratch` is a buffer of the caller's.
pub fn push(source: Source<'_>, column: &mut Column, scratch: &mut Vec<u8>) {
    scratch.clear();
    tag(source, scratch);
    data(column).push(scratch);
}

/// Pushes a list without elements.
pub(crate) fn push_list(column: &mut Column) {
    data(column).push(&[LIST]);
}

/// Pushes one more element of the list that row `row` is.
pub(crate) fn push_element(source: Source<'_>, column: &mut Column, row: usize, scratch: &mut Vec<u8>) {
    scratch.clear();
    let data = data(column);
    let begins = data.len() == row;
    if begins {
        scratch.push(LIST);
    }
    let from = scratch.len();
    scratch.extend_from_slice(&[0; 4]);
    tag(source, scratch);
    let length = u32::try_from(scratch.len() - from - 4).expect("a record has less than 4 GiB");
    scratch[from..from + 4].copy_from_slice(&length.to_le_bytes());
    if begins { data.push(scratch) } else { data.extend_last(scratch) }
}

/// Reads the JSON value under the cursor into a raw column. False: it is null, and nothing was pushed.
pub(crate) fn fill(scan: &mut Scan<'_>, column: &mut Column, text: &mut Vec<u8>, scratch: &mut Vec<u8>) -> Step<bool> {
    scan.skip_space();
    match scan.peek() {
        Some(b'"') => {
            let raw = scan.string()?;
            if raw.escaped {
                text.clear();
                unescape(raw.bytes, text);
                push(Source::Text(utf8(text)), column, scratch);
            } else {
                push(Source::Text(utf8(raw.bytes)), column, scratch);
            }
        }
        Some(b'-' | b'0'..=b'9') => {
            let (number, raw) = scan.number()?;
            let source = match number {
                Number::Integer(number) => Source::Integer(number),
                Number::Double(number) => Source::Double(number),
                Number::Big => Source::Decimal(ascii(raw)),
            };
            push(source, column, scratch);
        }
        Some(b't') => {
            scan.literal(b"true")?;
            push(Source::Bool(true), column, scratch);
        }
        Some(b'f') => {
            scan.literal(b"false")?;
            push(Source::Bool(false), column, scratch);
        }
        Some(b'n') => {
            scan.literal(b"null")?;
            return Ok(false);
        }
        Some(b'{' | b'[') => {
            // As it would be stored, however the message spaces it: expressions may look at its text.
            let raw = scan.skip_value(1)?;
            text.clear();
            normalise(raw, text);
            push(Source::Json(utf8(text)), column, scratch);
        }
        _ => return scan.broken("a value is expected"),
    }
    Ok(true)
}

fn utf8(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the record is UTF-8 and tokens end at ASCII characters")
}

/// The value that a raw column holds in a row which is not null.
pub(crate) fn datum<'a>(tagged: &'a [u8], arena: &'a Bump) -> Datum<'a> {
    let (tag, payload) = tagged.split_first().expect("a raw value has a tag");
    let eight = || payload.try_into().expect("a number has eight bytes");
    match *tag {
        BOOL => Datum::Bool(payload == [1]),
        LONG => Datum::Long(i64::from_le_bytes(eight())),
        FLOAT => Datum::Float(f32::from_le_bytes(payload.try_into().expect("a float has four bytes"))),
        DOUBLE => Datum::Double(f64::from_le_bytes(eight())),
        DECIMAL => Datum::Decimal(utf8(payload)),
        TIMESTAMP => Datum::Timestamp(i64::from_le_bytes(eight())),
        TEXT => Datum::Text(utf8(payload)),
        BYTES => Datum::Bytes(payload),
        UUID => Datum::Uuid(payload.try_into().expect("a UUID has sixteen bytes")),
        JSON => Datum::Json(utf8(payload)),
        LIST => {
            let mut items = bumpalo::collections::Vec::new_in(arena);
            let mut rest = payload;
            while let Some((length, behind)) = rest.split_first_chunk::<4>() {
                let (item, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
                items.push(datum(item, arena));
                rest = behind;
            }
            Datum::List(items.into_bump_slice())
        }
        tag => panic!("{tag} is no tag of a raw value"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_types::Stored;

    #[test]
    fn values_come_back_as_they_were_found() {
        let mut column = Column::new(Stored::Bytes, true);
        let mut scratch = vec![];
        let found = [
            (Source::Bool(true), Datum::Bool(true)),
            (Source::Integer(-5), Datum::Long(-5)),
            (Source::Float(0.5), Datum::Float(0.5)),
            (Source::Double(0.1), Datum::Double(0.1)),
            (Source::Decimal("1e40"), Datum::Decimal("1e40")),
            (Source::Timestamp(7), Datum::Timestamp(7)),
            (Source::Text("é"), Datum::Text("é")),
            (Source::Bytes(&[0, 255]), Datum::Bytes(&[0, 255])),
            (Source::Uuid([3; 16]), Datum::Uuid([3; 16])),
            (Source::Json("{}"), Datum::Json("{}")),
        ];
        for (source, _) in found {
            push(source, &mut column, &mut scratch);
        }
        for _ in 0..3 {
            push_element(Source::Text("x"), &mut column, found.len(), &mut scratch);
        }
        let arena = Bump::new();
        let ColumnData::Bytes(values) = &column.data else { unreachable!() };
        for (at, (_, datum_of)) in found.iter().enumerate() {
            assert_eq!(datum(values.get(at), &arena), *datum_of);
        }
        assert_eq!(datum(values.get(found.len()), &arena), Datum::List(&[Datum::Text("x"); 3]));
        assert_eq!(values.len(), found.len() + 1);
    }
}
