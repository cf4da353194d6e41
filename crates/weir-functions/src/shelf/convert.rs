//! Types by name, and numbers as bytes.

use super::{
    Function,
    gives::{BOOLEAN, BYTES, INT, STRING, UUID},
};
use crate::{
    casts::{float_of_text, int_of_text, long_of_text},
    datum::{Datum, Fault, text},
    decimal::Decimal,
    java_text::{uuid_from_text, uuid_text},
};
use bumpalo::Bump;

/// A value as another type, by that type's name in SQL or in a schema.
///
/// # Errors
/// The value does not fit, or no type has this name.
pub(crate) fn cast<'a>(datum: Datum<'a>, to: &str, arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    if datum.is_null() {
        return Ok(Datum::Null);
    }
    let no_number = || Fault::takes("a number", datum);
    Ok(match (to.to_ascii_uppercase().as_str(), datum) {
        ("INT" | "INTEGER", Datum::Text(text)) => Datum::Long(int_of_text(text).ok_or_else(no_number)?.into()),
        ("INT" | "INTEGER", _) => Datum::Long(datum.int()?.into()),
        ("LONG" | "BIGINT", Datum::Text(text)) => Datum::Long(long_of_text(text).ok_or_else(no_number)?),
        ("LONG" | "BIGINT", _) => Datum::Long(datum.long()?),
        ("FLOAT" | "REAL", Datum::Text(text)) => Datum::Float(float_of_text(text).ok_or_else(no_number)?),
        ("FLOAT" | "REAL", Datum::Long(number) | Datum::Timestamp(number)) => Datum::Float(number as f32),
        ("FLOAT" | "REAL", _) => Datum::Float(datum.double()? as f32),
        ("DOUBLE", _) => Datum::Double(datum.double()?),
        ("BIG_DECIMAL" | "DECIMAL" | "NUMERIC", _) => Datum::Decimal(arena.alloc_str(&Decimal::of(datum)?.plain())),
        ("BOOLEAN", _) => Datum::Bool(datum.truth()?),
        ("TIMESTAMP", _) => Datum::Timestamp(datum.millis()?),
        ("STRING" | "VARCHAR" | "CHAR", _) => Datum::Text(datum.text(arena)),
        ("BYTES" | "VARBINARY", _) => Datum::Bytes(datum.bytes(arena)?),
        ("JSON", _) => Datum::Json(datum.text(arena)),
        ("UUID", _) => Datum::Uuid(uuid(datum, arena)?),
        _ => {
            return Err(Fault::new(format!(
                "'{to}' is no type; INT, LONG, FLOAT, DOUBLE, BIG_DECIMAL, BOOLEAN, TIMESTAMP, STRING, JSON, BYTES and UUID are"
            )));
        }
    })
}

fn uuid<'a>(datum: Datum<'a>, arena: &'a Bump) -> Result<[u8; 16], Fault> {
    let wrong = || Fault::new(format!("a UUID is expected, got {}", datum.shown()));
    match datum {
        Datum::Uuid(uuid) => Ok(uuid),
        Datum::Bytes(bytes) => bytes.try_into().map_err(|_| wrong()),
        other => uuid_from_text(other.text(arena)).ok_or_else(wrong),
    }
}

fn dashed<'a>(uuid: &[u8; 16], arena: &'a Bump) -> Datum<'a> {
    let mut out = vec![];
    uuid_text(uuid, &mut out);
    text(&String::from_utf8_lossy(&out), arena)
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function::plain(&["cast"], 2, 2, STRING, |args, arena| cast(args[0], args[1].text(arena), arena)),
    Function::plain(&["isUuid"], 1, 1, BOOLEAN, |args, arena| Ok(Datum::Bool(uuid(args[0], arena).is_ok()))),
    Function::plain(&["toUuid", "bytesToUuid"], 1, 1, UUID, |args, arena| uuid(args[0], arena).map(Datum::Uuid)),
    Function::plain(&["uuidToBytes", "toUUIDBytes"], 1, 1, BYTES, |args, arena| {
        uuid(args[0], arena).map(|uuid| Datum::Bytes(arena.alloc_slice_copy(&uuid)))
    }),
    Function::plain(&["uuidToString", "fromUUIDBytes"], 1, 1, STRING, |args, arena| {
        uuid(args[0], arena).map(|uuid| dashed(&uuid, arena))
    }),
    Function::plain(&["uuidVersion"], 1, 1, INT, |args, arena| {
        uuid(args[0], arena).map(|uuid| Datum::Long(i64::from(uuid[6] >> 4)))
    }),
];
