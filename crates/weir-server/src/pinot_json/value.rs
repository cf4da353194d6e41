//! Cells of a result as Pinot encodes them in JSON: the column's Pinot type decides, the Arrow array holds the value.

use crate::pinot_json::number::{push_double, push_float};
use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
        TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
    util::display::array_value_to_string,
};
use std::io::Write;

/// How a Pinot type is written. Types that are written alike share a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// INT, LONG: a number.
    Integer,
    /// FLOAT: a number with a float's digits.
    Float,
    /// DOUBLE: a number.
    Double,
    /// BIG_DECIMAL: text in plain notation.
    Decimal,
    /// BOOLEAN.
    Boolean,
    /// TIMESTAMP: text, UTC.
    Timestamp,
    /// STRING, JSON, OBJECT and whatever we do not know: text.
    Text,
    /// BYTES: lower-case hex.
    Bytes,
    /// UUID: canonical text.
    Uuid,
    /// MAP: an object.
    Map,
}

impl Encoding {
    /// The encoding of a Pinot type; that of its elements for `*_ARRAY`.
    #[must_use]
    pub fn of(pinot_type: &str) -> Self {
        match pinot_type.strip_suffix("_ARRAY").unwrap_or(pinot_type) {
            "INT" | "LONG" => Self::Integer,
            "FLOAT" => Self::Float,
            "DOUBLE" => Self::Double,
            "BIG_DECIMAL" => Self::Decimal,
            "BOOLEAN" => Self::Boolean,
            "TIMESTAMP" => Self::Timestamp,
            "BYTES" => Self::Bytes,
            "UUID" => Self::Uuid,
            "MAP" => Self::Map,
            _ => Self::Text,
        }
    }
}

/// Appends the JSON of one cell.
pub fn push_cell(out: &mut Vec<u8>, encoding: Encoding, array: &dyn Array, row: usize) {
    if array.is_null(row) {
        out.extend_from_slice(b"null");
        return;
    }
    match array.data_type() {
        DataType::Null => out.extend_from_slice(b"null"),
        DataType::Boolean => push_integer(out, encoding, i64::from(array.as_boolean().value(row)), true),
        DataType::Int8 => push_integer(out, encoding, array.as_primitive::<Int8Type>().value(row).into(), false),
        DataType::Int16 => push_integer(out, encoding, array.as_primitive::<Int16Type>().value(row).into(), false),
        DataType::Int32 => push_integer(out, encoding, array.as_primitive::<Int32Type>().value(row).into(), false),
        DataType::Int64 => push_integer(out, encoding, array.as_primitive::<Int64Type>().value(row), false),
        DataType::UInt8 => push_integer(out, encoding, array.as_primitive::<UInt8Type>().value(row).into(), false),
        DataType::UInt16 => push_integer(out, encoding, array.as_primitive::<UInt16Type>().value(row).into(), false),
        DataType::UInt32 => push_integer(out, encoding, array.as_primitive::<UInt32Type>().value(row).into(), false),
        DataType::UInt64 => push_unsigned(out, encoding, array.as_primitive::<UInt64Type>().value(row)),
        DataType::Float32 => push_single(out, encoding, array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => push_real(out, encoding, array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, _) => {
            push_decimal(out, encoding, &array.as_primitive::<Decimal128Type>().value_as_string(row));
        }
        DataType::Decimal256(_, _) => {
            push_decimal(out, encoding, &array.as_primitive::<Decimal256Type>().value_as_string(row));
        }
        DataType::Timestamp(unit, _) => push_instant(out, encoding, array, row, *unit),
        DataType::Date32 => {
            let days = i64::from(array.as_primitive::<Date32Type>().value(row));
            push_integer(out, encoding, days * DAY_MS, false);
        }
        DataType::Utf8 => push_text(out, encoding, array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => push_text(out, encoding, array.as_string::<i64>().value(row)),
        DataType::Utf8View => push_text(out, encoding, array.as_string_view().value(row)),
        DataType::Binary => push_bytes(out, encoding, array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => push_bytes(out, encoding, array.as_binary::<i64>().value(row)),
        DataType::BinaryView => push_bytes(out, encoding, array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => push_bytes(out, encoding, array.as_fixed_size_binary().value(row)),
        DataType::List(_) => push_list(out, encoding, &array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => push_list(out, encoding, &array.as_list::<i64>().value(row)),
        _ => push_string(out, &array_value_to_string(array, row).unwrap_or_default()),
    }
}

/// Appends a JSON string.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    // Text written into memory cannot fail.
    serde_json::to_writer(out, text).ok();
}

fn push_list(out: &mut Vec<u8>, encoding: Encoding, elements: &ArrayRef) {
    out.push(b'[');
    for at in 0..elements.len() {
        if at > 0 {
            out.push(b',');
        }
        push_cell(out, encoding, elements, at);
    }
    out.push(b']');
}

fn push_integer(out: &mut Vec<u8>, encoding: Encoding, value: i64, was_boolean: bool) {
    match encoding {
        Encoding::Boolean => out.extend_from_slice(if value != 0 { b"true" } else { b"false" }),
        Encoding::Timestamp => push_timestamp(out, value, 0),
        Encoding::Float => push_float(out, value as f32),
        Encoding::Double => push_double(out, value as f64),
        Encoding::Text if was_boolean => push_string(out, if value != 0 { "true" } else { "false" }),
        Encoding::Decimal | Encoding::Text => push_string(out, &value.to_string()),
        Encoding::Integer | Encoding::Bytes | Encoding::Uuid | Encoding::Map => push_display(out, value),
    }
}

fn push_unsigned(out: &mut Vec<u8>, encoding: Encoding, value: u64) {
    match i64::try_from(value) {
        Ok(value) => push_integer(out, encoding, value, false),
        // A LONG has no room for it: clients that read LONG take the nearest that it has.
        Err(_) => push_integer(out, encoding, i64::MAX, false),
    }
}

fn push_single(out: &mut Vec<u8>, encoding: Encoding, value: f32) {
    match encoding {
        // The digits of the float, not those of its widening.
        Encoding::Float | Encoding::Map => push_float(out, value),
        _ => push_real(out, encoding, f64::from(value)),
    }
}

fn push_real(out: &mut Vec<u8>, encoding: Encoding, value: f64) {
    match encoding {
        Encoding::Float => push_float(out, value as f32),
        // As Java narrows: NaN is 0, the rest saturates.
        Encoding::Integer => push_display(out, value as i64),
        Encoding::Boolean => out.extend_from_slice(if value != 0.0 { b"true" } else { b"false" }),
        Encoding::Timestamp => push_timestamp(out, value as i64, 0),
        Encoding::Decimal if value.is_finite() => push_string(out, &value.to_string()),
        Encoding::Text if value.is_finite() => {
            out.push(b'"');
            push_double(out, value);
            out.push(b'"');
        }
        _ => push_double(out, value),
    }
}

fn push_decimal(out: &mut Vec<u8>, encoding: Encoding, plain: &str) {
    match encoding {
        Encoding::Decimal | Encoding::Text => push_string(out, plain),
        Encoding::Integer => out.extend_from_slice(plain.split('.').next().unwrap_or("0").as_bytes()),
        // A decimal's text is a number.
        _ => push_real(out, encoding, plain.parse().unwrap_or(f64::NAN)),
    }
}

fn push_text(out: &mut Vec<u8>, encoding: Encoding, text: &str) {
    let is_object = || text.starts_with('{') && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
    match encoding {
        Encoding::Map if is_object() => out.extend_from_slice(text.as_bytes()),
        _ => push_string(out, text),
    }
}

fn push_bytes(out: &mut Vec<u8>, encoding: Encoding, bytes: &[u8]) {
    out.push(b'"');
    for (at, byte) in bytes.iter().enumerate() {
        if encoding == Encoding::Uuid && bytes.len() == 16 && [4, 6, 8, 10].contains(&at) {
            out.push(b'-');
        }
        // Writing into memory cannot fail.
        write!(out, "{byte:02x}").ok();
    }
    out.push(b'"');
}

fn push_instant(out: &mut Vec<u8>, encoding: Encoding, array: &dyn Array, row: usize, unit: TimeUnit) {
    let (value, per_second) = match unit {
        TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().value(row), 1),
        TimeUnit::Millisecond => (array.as_primitive::<TimestampMillisecondType>().value(row), 1_000),
        TimeUnit::Microsecond => (array.as_primitive::<TimestampMicrosecondType>().value(row), 1_000_000),
        TimeUnit::Nanosecond => (array.as_primitive::<TimestampNanosecondType>().value(row), 1_000_000_000),
    };
    let (seconds, part) = (value.div_euclid(per_second), value.rem_euclid(per_second));
    let nanos = part * (1_000_000_000 / per_second);
    let millis = seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000);
    match encoding {
        Encoding::Integer | Encoding::Double => push_integer(out, encoding, millis, false),
        _ => push_timestamp(out, millis, nanos % 1_000_000),
    }
}

const DAY_MS: i64 = 86_400_000;

/// `yyyy-MM-dd HH:mm:ss.f` with one to nine digits of fraction, quoted; `nanos` are those below the millisecond.
fn push_timestamp(out: &mut Vec<u8>, millis: i64, nanos: i64) {
    let (days, of_day) = (millis.div_euclid(DAY_MS), millis.rem_euclid(DAY_MS));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60);
    let fraction = format!("{:09}", of_day % 1_000 * 1_000_000 + nanos);
    let fraction = fraction.trim_end_matches('0');
    let fraction = if fraction.is_empty() { "0" } else { fraction };
    // Writing into memory cannot fail.
    write!(out, "\"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{fraction}\"").ok();
}

/// Year, month and day of a day since the epoch (after Hinnant's algorithm).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn push_display(out: &mut Vec<u8>, value: i64) {
    // Writing into memory cannot fail.
    write!(out, "{value}").ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{
            BinaryViewArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array,
            ListArray, NullArray, StringViewArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt64Array,
        },
        datatypes::Int32Type,
    };

    fn cell(pinot_type: &str, array: &dyn Array) -> String {
        let mut out = vec![];
        push_cell(&mut out, Encoding::of(pinot_type), array, 0);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_type_has_its_form() {
        let uuid: Vec<u8> = (0..16).collect();
        let cases: Vec<(&str, ArrayRef, &str)> = vec![
            ("INT", std::sync::Arc::new(Int32Array::from(vec![-7])), "-7"),
            ("LONG", std::sync::Arc::new(Int64Array::from(vec![i64::MAX])), "9223372036854775807"),
            ("LONG", std::sync::Arc::new(UInt64Array::from(vec![9])), "9"),
            ("LONG", std::sync::Arc::new(Float64Array::from(vec![2.0])), "2"),
            ("FLOAT", std::sync::Arc::new(Float32Array::from(vec![0.1])), "0.1"),
            ("DOUBLE", std::sync::Arc::new(Float64Array::from(vec![1e10])), "1.0E10"),
            ("DOUBLE", std::sync::Arc::new(Int64Array::from(vec![3])), "3.0"),
            ("BOOLEAN", std::sync::Arc::new(Int32Array::from(vec![1])), "true"),
            ("BOOLEAN", std::sync::Arc::new(BooleanArray::from(vec![false])), "false"),
            ("STRING", std::sync::Arc::new(StringViewArray::from(vec!["a\"b\né"])), "\"a\\\"b\\né\""),
            ("JSON", std::sync::Arc::new(StringViewArray::from(vec!["{\"a\":1}"])), "\"{\\\"a\\\":1}\""),
            ("MAP", std::sync::Arc::new(StringViewArray::from(vec!["{\"a\":1}"])), "{\"a\":1}"),
            ("MAP", std::sync::Arc::new(StringViewArray::from(vec!["{broken"])), "\"{broken\""),
            ("BIG_DECIMAL", std::sync::Arc::new(StringViewArray::from(vec!["12.50"])), "\"12.50\""),
            ("BYTES", std::sync::Arc::new(BinaryViewArray::from(vec![&b"\x00\xff"[..]])), "\"00ff\""),
            (
                "UUID",
                std::sync::Arc::new(BinaryViewArray::from(vec![&uuid[..]])),
                "\"00010203-0405-0607-0809-0a0b0c0d0e0f\"",
            ),
            ("UNKNOWN", std::sync::Arc::new(NullArray::new(1)), "null"),
            ("INT", std::sync::Arc::new(Int32Array::from(vec![None])), "null"),
        ];
        for (pinot_type, array, text) in cases {
            assert_eq!(cell(pinot_type, &array), text, "{pinot_type} of {:?}", array.data_type());
        }
    }

    #[test]
    fn decimals_are_plain_text_or_numbers() {
        let decimal = Decimal128Array::from(vec![12_345]).with_precision_and_scale(10, 2).unwrap();
        assert_eq!(cell("BIG_DECIMAL", &decimal), "\"123.45\"");
        assert_eq!(cell("DOUBLE", &decimal), "123.45");
        assert_eq!(cell("LONG", &decimal), "123");
    }

    #[test]
    fn timestamps_read_like_those_of_a_jvm_in_utc() {
        for (millis, text) in [
            (0, "\"1970-01-01 00:00:00.0\""),
            (1_388_534_400_120, "\"2014-01-01 00:00:00.12\""),
            (-1, "\"1969-12-31 23:59:59.999\""),
            (951_782_400_000, "\"2000-02-29 00:00:00.0\""),
        ] {
            assert_eq!(cell("TIMESTAMP", &TimestampMillisecondArray::from(vec![millis])), text);
            assert_eq!(cell("TIMESTAMP", &Int64Array::from(vec![millis])), text);
        }
        let nanos = TimestampNanosecondArray::from(vec![1_000_000_123]);
        assert_eq!(cell("TIMESTAMP", &nanos), "\"1970-01-01 00:00:01.000000123\"");
        assert_eq!(cell("LONG", &nanos), "1000");
    }

    #[test]
    fn several_values_are_an_array() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None])]);
        assert_eq!(cell("INT_ARRAY", &list), "[1,null]");
        assert_eq!(cell("BOOLEAN_ARRAY", &list), "[true,null]");
    }
}
