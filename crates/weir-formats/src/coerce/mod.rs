//! The data-type matrix: what a source value becomes in a column of each type, Pinot's rules.
//!
//! Shape (arrays, one value or several) is the decoder's matter; here one value meets one type. Deviations, all to the
//! user's good: small JSON integers are milliseconds for TIMESTAMP, text times without a zone are UTC, and BIG_DECIMAL
//! keeps the digits that were written where Pinot goes through a double.

pub use weir_functions::java_text as text;

use crate::{
    json::text::{is_json, normalise, quote},
    row::shorten,
};
use text::{decimal_low_bits, decimal_plain, float_from_text, hex, java_double, java_float, uuid_from_text, uuid_text};
use weir_functions::date_pattern::{timestamp_from_text, timestamp_text};
use weir_types::{ColumnData, DataType};

/// A value as a decoder found it. Null is not here: it never meets a type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Source<'a> {
    /// True or false.
    Bool(bool),
    /// An integer of up to 64 bits.
    Integer(i64),
    /// Single precision.
    Float(f32),
    /// Double precision.
    Double(f64),
    /// A number of any size: optional sign, digits, optional fraction and exponent.
    Decimal(&'a str),
    /// Milliseconds since the epoch.
    Timestamp(i64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A UUID.
    Uuid([u8; 16]),
    /// An object, an array or any other value as valid JSON text.
    Json(&'a str),
}

/// How a value went into its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// As it was.
    Stored,
    /// It wrapped, was cut to a whole number, or held a character that is none.
    Altered,
    /// It means null (NaN): nothing was pushed.
    Null,
}

/// A value that its column's type cannot take: what the type would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit(pub &'static str);

const INTEGER: Unfit = Unfit("an integer within the type's range");
const NUMBER: Unfit = Unfit("a number");
const TIME: Unfit =
    Unfit("milliseconds since the epoch, or a time such as 2026-01-31 12:00:00 or 2026-01-31T12:00:00Z");
const UUID: Unfit = Unfit("a UUID such as 123e4567-e89b-12d3-a456-426614174000");
const BYTES: Unfit = Unfit("an even number of hexadecimal digits");
const SCALAR: Unfit = Unfit("a single value, not an object");
const MAP: Unfit = Unfit("a JSON object");
const TOO_LONG: Unfit = Unfit("a decimal of at most 4096 digits in plain notation");

/// Pushes one value into the data of a column of `data_type`. `scratch` is a buffer of the caller's, its content is
/// overwritten. On `Err` and on [`Fit::Null`] nothing was pushed. `data` must be of the type's stored kind.
pub fn push(
    data_type: DataType,
    source: Source<'_>,
    data: &mut ColumnData,
    scratch: &mut Vec<u8>,
) -> Result<Fit, Unfit> {
    scratch.clear();
    match (data_type, data) {
        (DataType::Int, ColumnData::Int(out)) => int(source).map(|(value, fit)| (out.push(value), fit).1),
        (DataType::Boolean, ColumnData::Int(out)) => {
            out.push(i32::from(boolean(source)?));
            Ok(Fit::Stored)
        }
        (DataType::Long, ColumnData::Long(out)) => long(source).map(|(value, fit)| (out.push(value), fit).1),
        (DataType::Timestamp, ColumnData::Long(out)) => timestamp(source).map(|(value, fit)| (out.push(value), fit).1),
        (DataType::Float, ColumnData::Float(out)) => {
            let value = match source {
                Source::Float(value) => value,
                // Text goes straight to single precision: through a double it might round twice.
                Source::Text(text) => float_from_text::<f32>(text.trim()).ok_or(NUMBER)?,
                Source::Integer(value) => value as f32,
                other => double(other)? as f32,
            };
            Ok(if value.is_nan() {
                Fit::Null
            } else {
                // Adding zero turns -0.0 into 0.0.
                out.push(value + 0.0);
                Fit::Stored
            })
        }
        (DataType::Double, ColumnData::Double(out)) => {
            let value = double(source)?;
            Ok(if value.is_nan() {
                Fit::Null
            } else {
                out.push(value + 0.0);
                Fit::Stored
            })
        }
        (DataType::BigDecimal, ColumnData::Str(out)) => {
            let fit = big_decimal(source, scratch)?;
            if fit != Fit::Null {
                out.push(scratch);
            }
            Ok(fit)
        }
        (DataType::String, ColumnData::Str(out)) => {
            let fit = string(source, scratch);
            match source {
                Source::Text(text) => out.push(text.as_bytes()),
                _ if fit == Fit::Null => {}
                _ => out.push(scratch),
            }
            Ok(fit)
        }
        (DataType::Json, ColumnData::Str(out)) => {
            let fit = json(source, scratch);
            out.push(scratch);
            Ok(fit)
        }
        (DataType::Map, ColumnData::Str(out)) => {
            let (Source::Text(text) | Source::Json(text)) = source else { return Err(MAP) };
            if !text.trim_start().starts_with('{') || !is_json(text.as_bytes()) {
                return Err(MAP);
            }
            let fit = altered(normalise(text.as_bytes(), scratch));
            out.push(scratch);
            Ok(fit)
        }
        (DataType::Bytes, ColumnData::Bytes(out)) => {
            bytes(source, scratch)?;
            out.push(scratch);
            Ok(Fit::Stored)
        }
        (DataType::Uuid, ColumnData::Bytes(out)) => {
            let value = match source {
                Source::Uuid(value) => value,
                Source::Text(text) => uuid_from_text(text.trim()).ok_or(UUID)?,
                Source::Bytes(bytes) => bytes.try_into().map_err(|_| UUID)?,
                _ => return Err(UUID),
            };
            out.push(&value);
            Ok(Fit::Stored)
        }
        (data_type, data) => panic!("a {data_type} column is not stored as {:?}", data.stored()),
    }
}

fn altered(changed: bool) -> Fit {
    if changed { Fit::Altered } else { Fit::Stored }
}

/// A whole number of up to 18 digits, which always fit, with nothing around it: what nearly all texts of numbers are.
fn plain_integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

fn int(source: Source<'_>) -> Result<(i32, Fit), Unfit> {
    match source {
        Source::Text(text) => match plain_integer(text).map(i32::try_from) {
            Some(Ok(value)) => Ok((value, Fit::Stored)),
            _ => Ok((text.trim().parse().map_err(|_| INTEGER)?, Fit::Stored)),
        },
        Source::Float(value) => int(Source::Double(f64::from(value))),
        // A double saturates in 32 bits; through 64 bits it would wrap.
        Source::Double(value) => Ok((value as i32, altered(f64::from(value as i32) != value))),
        Source::Timestamp(_) => Err(INTEGER),
        other => {
            let (value, fit) = long(other)?;
            let low = value as i32;
            Ok((low, if i64::from(low) == value { fit } else { Fit::Altered }))
        }
    }
}

fn long(source: Source<'_>) -> Result<(i64, Fit), Unfit> {
    match source {
        Source::Integer(value) | Source::Timestamp(value) => Ok((value, Fit::Stored)),
        Source::Bool(value) => Ok((i64::from(value), Fit::Stored)),
        Source::Float(value) => long(Source::Double(f64::from(value))),
        Source::Double(value) => {
            let whole = value as i64;
            // 2^63 as a double equals i64::MAX as a double, which is not the same number.
            Ok((whole, altered(whole as f64 != value || whole == i64::MAX)))
        }
        Source::Decimal(text) => {
            let (value, exact) = decimal_low_bits(text).ok_or(NUMBER)?;
            Ok((value, altered(!exact)))
        }
        Source::Text(text) => match plain_integer(text) {
            Some(value) => Ok((value, Fit::Stored)),
            None => Ok((text.trim().parse().map_err(|_| INTEGER)?, Fit::Stored)),
        },
        Source::Bytes(_) | Source::Uuid(_) | Source::Json(_) => Err(INTEGER),
    }
}

fn double(source: Source<'_>) -> Result<f64, Unfit> {
    match source {
        Source::Bool(value) => Ok(f64::from(u8::from(value))),
        Source::Integer(value) | Source::Timestamp(value) => Ok(value as f64),
        Source::Float(value) => Ok(f64::from(value)),
        Source::Double(value) => Ok(value),
        Source::Decimal(text) => text.parse().map_err(|_| NUMBER),
        Source::Text(text) => float_from_text(text.trim()).ok_or(NUMBER),
        Source::Bytes(_) | Source::Uuid(_) | Source::Json(_) => Err(NUMBER),
    }
}

/// Text other than `true` (any case) and `1` is false.
fn boolean(source: Source<'_>) -> Result<bool, Unfit> {
    match source {
        Source::Bool(value) => Ok(value),
        Source::Text(text) => Ok(text.trim().eq_ignore_ascii_case("true") || text.trim() == "1"),
        Source::Decimal(text) => {
            Ok(text.split(['e', 'E']).next().is_some_and(|t| t.contains(|c| ('1'..='9').contains(&c))))
        }
        Source::Timestamp(_) | Source::Bytes(_) | Source::Uuid(_) | Source::Json(_) => Err(Unfit("true or false")),
        number => Ok(double(number)? != 0.0),
    }
}

fn timestamp(source: Source<'_>) -> Result<(i64, Fit), Unfit> {
    match source {
        Source::Text(text) => Ok((timestamp_from_text(text.trim()).ok_or(TIME)?, Fit::Stored)),
        Source::Bool(_) | Source::Float(_) | Source::Bytes(_) | Source::Uuid(_) | Source::Json(_) => Err(TIME),
        number => long(number),
    }
}

fn big_decimal(source: Source<'_>, out: &mut Vec<u8>) -> Result<Fit, Unfit> {
    match source {
        Source::Bool(value) => out.push(b'0' + u8::from(value)),
        Source::Integer(value) | Source::Timestamp(value) => java_text(out, format_args!("{value}")),
        Source::Float(value) => return big_decimal(Source::Double(f64::from(value)), out),
        Source::Double(value) if value.is_nan() => return Ok(Fit::Null),
        Source::Double(value) if value.is_infinite() => return Err(NUMBER),
        Source::Double(value) => {
            decimal_plain(&format!("{value:e}"), out).ok_or(TOO_LONG)?;
        }
        Source::Decimal(text) => {
            decimal_plain(text, out).ok_or(TOO_LONG)?;
        }
        Source::Text(text) => {
            decimal_plain(text.trim(), out).ok_or(NUMBER)?;
        }
        Source::Bytes(bytes) => {
            let text = decimal_of_bytes(bytes)?;
            decimal_plain(&text, out).ok_or(TOO_LONG)?;
        }
        Source::Uuid(_) | Source::Json(_) => return Err(NUMBER),
    }
    Ok(Fit::Stored)
}

const DECIMAL_BYTES: Unfit =
    Unfit("a scale of two bytes and a number in two's complement behind it, of at most 16 bytes");

/// A decimal as Pinot writes one into bytes: how many of its digits stand behind the point, then the digits as a number.
fn decimal_of_bytes(bytes: &[u8]) -> Result<String, Unfit> {
    let (scale, digits) = bytes.split_first_chunk::<2>().ok_or(DECIMAL_BYTES)?;
    let Some(first) = digits.first().filter(|_| digits.len() <= 16) else { return Err(DECIMAL_BYTES) };
    let sign = if first & 0x80 == 0 { 0 } else { -1 };
    let number = digits.iter().fold(sign, |number: i128, byte| (number << 8) | i128::from(*byte));
    Ok(format!("{number}e{}", -i32::from(i16::from_be_bytes(*scale))))
}

/// Text of anything (for [`Source::Text`] nothing is written: it is its own text).
fn string(source: Source<'_>, out: &mut Vec<u8>) -> Fit {
    match source {
        Source::Text(_) => {}
        Source::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Source::Integer(value) => java_text(out, format_args!("{value}")),
        Source::Float(value) if value.is_nan() => return Fit::Null,
        Source::Double(value) if value.is_nan() => return Fit::Null,
        Source::Float(value) => java_float(value, out),
        Source::Double(value) => java_double(value, out),
        Source::Decimal(text) => out.extend_from_slice(text.as_bytes()),
        Source::Timestamp(ms) => out.extend_from_slice(timestamp_text(ms).as_bytes()),
        Source::Bytes(bytes) => hex(bytes, out),
        Source::Uuid(value) => uuid_text(&value, out),
        Source::Json(text) => return altered(normalise(text.as_bytes(), out)),
    }
    Fit::Stored
}

/// Text that is JSON is stored as that JSON, other text as a JSON string.
pub(crate) fn json(source: Source<'_>, out: &mut Vec<u8>) -> Fit {
    match source {
        Source::Json(text) => return altered(normalise(text.as_bytes(), out)),
        Source::Text(text) if is_json(text.as_bytes()) => return altered(normalise(text.as_bytes(), out)),
        Source::Text(text) => quote(text.as_bytes(), out),
        Source::Float(value) if !value.is_finite() => out.extend_from_slice(b"null"),
        Source::Double(value) if !value.is_finite() => out.extend_from_slice(b"null"),
        Source::Timestamp(value) => java_text(out, format_args!("{value}")),
        Source::Bytes(_) | Source::Uuid(_) => {
            out.push(b'"');
            string(source, out);
            out.push(b'"');
        }
        number => return string(number, out),
    }
    Fit::Stored
}

fn bytes(source: Source<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    match source {
        Source::Bytes(bytes) => out.extend_from_slice(bytes),
        Source::Uuid(value) => out.extend_from_slice(&value),
        Source::Text(text) => {
            let digits = text.trim().as_bytes();
            if digits.len() % 2 != 0 {
                return Err(BYTES);
            }
            for pair in digits.chunks_exact(2) {
                let half = |byte: u8| (byte as char).to_digit(16).ok_or(BYTES);
                out.push(u8::try_from(half(pair[0])? << 4 | half(pair[1])?).expect("two digits are a byte"));
            }
        }
        Source::Json(_) => return Err(SCALAR),
        _ => return Err(BYTES),
    }
    Ok(())
}

/// The beginning of a value as text, for people.
pub(crate) fn shown(source: Source<'_>) -> String {
    match source {
        Source::Text(text) | Source::Json(text) => shorten(text.as_bytes()),
        other => {
            let mut out = vec![];
            if string(other, &mut out) == Fit::Null { "NaN".to_owned() } else { shorten(&out) }
        }
    }
}

fn java_text(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    out.write_fmt(text).expect("a Vec takes every byte");
}

#[cfg(test)]
mod matrix;
#[cfg(test)]
mod tests;
