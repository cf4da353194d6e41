//! Values of any Arrow type as numbers, text, truth or time, by Pinot's rules: Java's narrowing, Java's number text,
//! times in milliseconds.

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewArray, BooleanArray, Float64Array, Int64Array,
        ListArray, StringViewArray, TimestampMillisecondArray,
    },
    compute::cast,
    datatypes::{DataType, Float32Type, Float64Type, Int64Type, TimeUnit, TimestampMillisecondType},
};
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use std::{borrow::Cow, fmt::Write, sync::Arc};

fn millis(array: &ArrayRef) -> Result<TimestampMillisecondArray> {
    Ok(cast(array, &DataType::Timestamp(TimeUnit::Millisecond, None))?
        .as_primitive::<TimestampMillisecondType>()
        .clone())
}

/// The texts of an array of texts.
pub(super) fn strings(array: &ArrayRef) -> Result<Option<StringViewArray>> {
    Ok(match array.data_type() {
        DataType::Utf8View => Some(array.as_string_view().clone()),
        DataType::Utf8 | DataType::LargeUtf8 => Some(cast(array, &DataType::Utf8View)?.as_string_view().clone()),
        _ => None,
    })
}

fn is_time(array: &ArrayRef) -> bool {
    matches!(array.data_type(), DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
}

/// As real numbers; times are milliseconds.
pub(crate) fn doubles(array: &ArrayRef) -> Result<Float64Array> {
    if let Some(texts) = strings(array)? {
        let number = |text: Option<&str>| text.map(|text| number_of(text, "DOUBLE")).transpose();
        return texts.iter().map(number).collect();
    }
    if is_time(array) {
        return Ok(millis(array)?.iter().map(|ms| ms.map(|ms| ms as f64)).collect());
    }
    match array.data_type() {
        DataType::Float64 => Ok(array.as_primitive::<Float64Type>().clone()),
        other if other.is_numeric() || matches!(other, DataType::Boolean | DataType::Null) => {
            Ok(cast(array, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
        }
        other => exec_err!("{other} is not a number"),
    }
}

fn number_of(text: &str, wanted: &str) -> Result<f64> {
    let trimmed = text.trim();
    match trimmed {
        "true" => Ok(1.0),
        "false" => Ok(0.0),
        _ => java_double(trimmed).ok_or_else(|| exec_datafusion_err!("'{}' cannot be read as {wanted}", shown(text))),
    }
}

/// A value as an error shows it: its beginning.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    /// Enough to find it again.
    const LETTERS: usize = 80;
    match text.char_indices().nth(LETTERS) {
        Some((end, _)) => Cow::Owned(format!("{}..", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// The real number that a text spells. Rust reads names that Java does not write.
pub(crate) fn java_double(text: &str) -> Option<f64> {
    let word = text.trim_start_matches(['-', '+']);
    let named = word.starts_with(|letter: char| letter.is_ascii_alphabetic());
    if named && !["Infinity", "NaN"].contains(&word) { None } else { text.parse().ok() }
}

/// As whole numbers: real ones are cut and saturate, times are milliseconds.
pub(crate) fn longs(array: &ArrayRef) -> Result<Int64Array> {
    if let Some(texts) = strings(array)? {
        let number = |text: Option<&str>| {
            let other = |text: &str| number_of(text, "LONG").map(|number| number as i64);
            text.map(|text| weir_functions::casts::long_of_text(text).map_or_else(|| other(text), Ok)).transpose()
        };
        return texts.iter().map(number).collect();
    }
    if is_time(array) {
        return Ok(millis(array)?.reinterpret_cast::<Int64Type>());
    }
    match array.data_type() {
        DataType::Int64 => Ok(array.as_primitive::<Int64Type>().clone()),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            Ok(doubles(array)?.iter().map(|number| number.map(|number| number as i64)).collect())
        }
        other if other.is_numeric() || matches!(other, DataType::Boolean | DataType::Null) => {
            Ok(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
        }
        other => exec_err!("{other} is not a number"),
    }
}

/// As truth: numbers that are not 0, the texts `true` and `1`.
pub(crate) fn booleans(array: &ArrayRef) -> Result<BooleanArray> {
    if let Some(texts) = strings(array)? {
        return Ok(texts.iter().map(|text| text.map(weir_functions::casts::truth_of_text)).collect());
    }
    match array.data_type() {
        DataType::Boolean => Ok(array.as_boolean().clone()),
        _ => Ok(doubles(array)?.iter().map(|number| number.map(|number| number != 0.0)).collect()),
    }
}

/// As times: numbers are milliseconds, text is one of the forms a TIMESTAMP is written in.
pub(crate) fn timestamps(array: &ArrayRef) -> Result<TimestampMillisecondArray> {
    if let Some(texts) = strings(array)? {
        let instant = |text: Option<&str>| {
            text.map(|text| {
                super::time::timestamp_of(text).ok_or_else(|| {
                    exec_datafusion_err!(
                        "'{}' cannot be read as TIMESTAMP: milliseconds, yyyy-MM-dd HH:mm:ss[.SSS] or ISO 8601 can",
                        shown(text)
                    )
                })
            })
            .transpose()
        };
        return texts.iter().map(instant).collect();
    }
    if is_time(array) { millis(array) } else { Ok(longs(array)?.reinterpret_cast::<TimestampMillisecondType>()) }
}

/// As bytes: text is hex.
pub(crate) fn bytes(array: &ArrayRef) -> Result<BinaryViewArray> {
    if let Some(texts) = strings(array)? {
        let parse = |text: Option<&str>| {
            text.map(|text| {
                hex(text.trim())
                    .ok_or_else(|| exec_datafusion_err!("'{}' cannot be read as BYTES: hex can", shown(text)))
            })
            .transpose()
        };
        let values: Vec<Option<Vec<u8>>> = texts.iter().map(parse).collect::<Result<_>>()?;
        return Ok(BinaryViewArray::from_iter(values));
    }
    Ok(cast(array, &DataType::BinaryView)?.as_binary_view().clone())
}

/// Bytes of a hex text.
pub(crate) fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let digit = |at: usize| char::from(digits[at]).to_digit(16).map(|digit| digit as u8);
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| Some(digit(at)? << 4 | digit(at + 1)?)).collect()
}

/// As text.
pub(crate) fn texts(array: &ArrayRef) -> Result<StringViewArray> {
    if let Some(texts) = strings(array)? {
        return Ok(texts);
    }
    if is_time(array) {
        return Ok(StringViewArray::from_iter(millis(array)?.iter().map(|ms| ms.map(super::time::timestamp_text))));
    }
    Ok(match array.data_type() {
        DataType::Float64 => {
            StringViewArray::from_iter(array.as_primitive::<Float64Type>().iter().map(|number| number.map(double_text)))
        }
        DataType::Float32 => {
            StringViewArray::from_iter(array.as_primitive::<Float32Type>().iter().map(|number| number.map(float_text)))
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let bytes = cast(array, &DataType::BinaryView)?;
            StringViewArray::from_iter(bytes.as_binary_view().iter().map(|bytes| bytes.map(hex_text)))
        }
        other if other.is_nested() => {
            return exec_err!(
                "an array is not a text: arrayToString(array, ', ') makes one, and array_concat(a, b) joins arrays"
            );
        }
        _ => cast(array, &DataType::Utf8View)?.as_string_view().clone(),
    })
}

/// Lower-case hex.
pub(crate) fn hex_text(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// Java's text of a double.
pub(crate) fn double_text(number: f64) -> String {
    java(number, format!("{number:?}"), format!("{number:E}"))
}

/// Java's text of a float.
pub(crate) fn float_text(number: f32) -> String {
    java(f64::from(number), format!("{number:?}"), format!("{number:E}"))
}

fn java(number: f64, plain: String, scientific: String) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    // Java writes numbers from 10^-3 to 10^7 plainly.
    if number == 0.0 || (1e-3..1e7).contains(&number.abs()) {
        return plain;
    }
    match scientific.split_once('E') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
        _ => scientific,
    }
}

/// Real numbers, or lists of them, with 0.0 for -0.0: comparisons and groups tell these apart by their bits, and zero has
/// no sign in a table. Other arrays as they are.
pub(crate) fn without_negative_zero(array: ArrayRef) -> ArrayRef {
    fn plain<T: ArrowPrimitiveType>(array: &ArrayRef, negative: impl Fn(T::Native) -> bool) -> Option<ArrayRef>
    where
        T::Native: std::ops::Add<Output = T::Native>,
    {
        let numbers = array.as_primitive::<T>();
        // Most have none, and stay what they are.
        let any = numbers.values().iter().any(|number| negative(*number));
        any.then(|| Arc::new(numbers.unary::<_, T>(|number| number + T::default_value())) as ArrayRef)
    }
    let changed = match array.data_type() {
        DataType::Float64 => plain::<Float64Type>(&array, |number| number.to_bits() == (-0.0_f64).to_bits()),
        DataType::Float32 => plain::<Float32Type>(&array, |number| number.to_bits() == (-0.0_f32).to_bits()),
        DataType::List(item) if item.data_type().is_floating() => {
            let lists = array.as_list::<i32>();
            let values = without_negative_zero(lists.values().clone());
            let (offsets, nulls) = (lists.offsets().clone(), lists.nulls().cloned());
            Some(Arc::new(ListArray::new(item.clone(), offsets, values, nulls)) as ArrayRef)
        }
        _ => None,
    };
    changed.unwrap_or(array)
}

/// The type of the same values, whose texts and bytes lie together and are not seen through views.
pub(crate) fn owned_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) => {
            DataType::List(Arc::new(item.as_ref().clone().with_data_type(owned_type(item.data_type()))))
        }
        other => other.clone(),
    }
}

/// An array as DataFusion passes it on.
pub(crate) fn shared(array: impl Array + 'static) -> ArrayRef {
    Arc::new(array)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_java_prints_them() {
        let doubles =
            [(5.0, "5.0"), (1e10, "1.0E10"), (0.001, "0.001"), (1.5e-5, "1.5E-5"), (1e7, "1.0E7"), (-0.0, "-0.0")];
        for (number, text) in doubles {
            assert_eq!(double_text(number), text);
        }
        assert_eq!(float_text(0.1), "0.1");
        assert_eq!(double_text(f64::NEG_INFINITY), "-Infinity");
    }

    #[test]
    fn narrowing_is_javas() {
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![1.9, -1.9, 1e30, f64::NAN]));
        assert_eq!(longs(&numbers).unwrap().values(), &[1, -1, i64::MAX, 0]);
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["12", " 3.7 "]));
        assert_eq!(longs(&texts).unwrap().values(), &[12, 3]);
        let bad: ArrayRef = Arc::new(StringViewArray::from(vec!["abc"]));
        assert!(doubles(&bad).unwrap_err().to_string().contains("'abc'"));
    }

    #[test]
    fn hex_reads_what_it_prints() {
        assert_eq!(hex(&hex_text(&[0, 171, 255])), Some(vec![0, 171, 255]));
        assert_eq!((hex("abc"), hex("zz")), (None, None));
    }
}
