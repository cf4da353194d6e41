//! Every cell of the matrix that a decoder can produce.

use super::*;
use proptest::prelude::*;

/// What a source becomes: its text, `null`, or the refusal.
fn became(data_type: DataType, source: Source<'_>) -> Result<(String, Fit), Unfit> {
    let mut data = ColumnData::new(data_type.stored());
    let fit = push(data_type, source, &mut data, &mut vec![9])?;
    assert_eq!(data.len(), usize::from(fit != Fit::Null));
    Ok(if data.is_empty() { ("null".to_owned(), fit) } else { (data.get(0).to_string(), fit) })
}

fn stored(data_type: DataType, source: Source<'_>, text: &str) {
    assert_eq!(became(data_type, source), Ok((text.to_owned(), Fit::Stored)), "{data_type} {source:?}");
}

fn changed(data_type: DataType, source: Source<'_>, text: &str) {
    assert_eq!(became(data_type, source), Ok((text.to_owned(), Fit::Altered)), "{data_type} {source:?}");
}

fn refused(data_type: DataType, source: Source<'_>) {
    assert!(became(data_type, source).is_err(), "{data_type} {source:?}");
}

fn null(data_type: DataType, source: Source<'_>) {
    assert_eq!(became(data_type, source), Ok(("null".to_owned(), Fit::Null)), "{data_type} {source:?}");
}

#[test]
fn to_int_and_long() {
    use Source::*;
    stored(DataType::Int, Integer(-5), "-5");
    changed(DataType::Int, Integer(4_294_967_297), "1");
    changed(DataType::Int, Double(5.9), "5");
    changed(DataType::Int, Double(-5.9), "-5");
    stored(DataType::Int, Double(5.0), "5");
    changed(DataType::Int, Double(1e300), "2147483647");
    changed(DataType::Int, Double(-1e300), "-2147483648");
    changed(DataType::Int, Double(f64::NAN), "0");
    stored(DataType::Int, Bool(true), "1");
    stored(DataType::Int, Text(" 12 "), "12");
    stored(DataType::Int, Text("+12"), "12");
    changed(DataType::Int, Decimal("36893488147419103233"), "1");
    stored(DataType::Long, Integer(i64::MIN), "-9223372036854775808");
    changed(DataType::Long, Double(9.3e18), "9223372036854775807");
    changed(DataType::Long, Decimal("18446744073709551617"), "1");
    changed(DataType::Long, Decimal("-18446744073709551617"), "-1");
    stored(DataType::Long, Decimal("-9223372036854775808"), "-9223372036854775808");
    changed(DataType::Long, Decimal("9223372036854775808"), "-9223372036854775808");
    changed(DataType::Long, Decimal("1.5e3000000000"), "0");
    stored(DataType::Long, Decimal("1.5e3"), "1500");
    stored(DataType::Long, Timestamp(7), "7");
    refused(DataType::Int, Timestamp(7));
    for text in ["1.5", "", "x", "9223372036854775808", "1e3"] {
        refused(DataType::Long, Text(text));
    }
    refused(DataType::Int, Text("2147483648"));
    refused(DataType::Long, Json("{}"));
    refused(DataType::Long, Bytes(&[1]));
}

#[test]
fn to_float_double_and_boolean() {
    use Source::*;
    stored(DataType::Double, Integer(3), "3");
    stored(DataType::Double, Double(-0.0), "0");
    stored(DataType::Double, Text(" 1.5e3 "), "1500");
    stored(DataType::Double, Text("1.5f"), "1.5");
    stored(DataType::Double, Text("-Infinity"), "-inf");
    stored(DataType::Double, Decimal("123456789012345678901234567890"), "123456789012345680000000000000");
    stored(DataType::Double, Bool(true), "1");
    stored(DataType::Float, Double(0.1), "0.1");
    stored(DataType::Float, Text("16777217.0000001"), "16777218");
    stored(DataType::Float, Float(-0.0), "0");
    null(DataType::Double, Text("NaN"));
    null(DataType::Double, Double(f64::NAN));
    null(DataType::Float, Text("NaN"));
    for text in ["inf", "nan", "infinity", "0x1p3", "", "1,5"] {
        refused(DataType::Double, Text(text));
    }
    refused(DataType::Float, Json("{}"));
    for (text, value) in
        [("true", "1"), ("TRUE", "1"), ("1", "1"), (" true ", "1"), ("yes", "0"), ("0", "0"), ("", "0")]
    {
        stored(DataType::Boolean, Text(text), value);
    }
    stored(DataType::Boolean, Integer(-2), "1");
    stored(DataType::Boolean, Integer(0), "0");
    stored(DataType::Boolean, Double(0.1), "1");
    stored(DataType::Boolean, Double(-0.0), "0");
    stored(DataType::Boolean, Decimal("0e9"), "0");
    stored(DataType::Boolean, Decimal("100000000000000000000"), "1");
    refused(DataType::Boolean, Json("{}"));
}

#[test]
fn to_timestamp_and_big_decimal() {
    use Source::*;
    stored(DataType::Timestamp, Integer(5), "5");
    changed(DataType::Timestamp, Double(5.5), "5");
    stored(DataType::Timestamp, Text("1970-01-01T00:00:01Z"), "1000");
    stored(DataType::Timestamp, Text(" 1970-01-01 00:00:01.5 "), "1500");
    stored(DataType::Timestamp, Text("12"), "12");
    stored(DataType::Timestamp, Source::Timestamp(9), "9");
    refused(DataType::Timestamp, Text("noon"));
    refused(DataType::Timestamp, Bool(true));
    refused(DataType::Timestamp, Float(1.0));
    stored(DataType::BigDecimal, Decimal("1.50e3"), "1500");
    stored(DataType::BigDecimal, Decimal("0.10"), "0.1");
    stored(DataType::BigDecimal, Decimal("-0.000"), "0");
    stored(DataType::BigDecimal, Decimal("-12.340"), "-12.34");
    stored(DataType::BigDecimal, Decimal("1e-3"), "0.001");
    stored(DataType::BigDecimal, Decimal("123456789012345678901234567890.5"), "123456789012345678901234567890.5");
    stored(DataType::BigDecimal, Double(1e10), "10000000000");
    stored(DataType::BigDecimal, Double(0.1), "0.1");
    stored(DataType::BigDecimal, Integer(-7), "-7");
    stored(DataType::BigDecimal, Bool(true), "1");
    stored(DataType::BigDecimal, Text(" +.5 "), "0.5");
    refused(DataType::BigDecimal, Decimal("1e999999999"));
    refused(DataType::BigDecimal, Decimal("1e-999999999"));
    refused(DataType::BigDecimal, Text("1e99999999999999999999"));
    refused(DataType::BigDecimal, Text("NaN"));
    refused(DataType::BigDecimal, Text("."));
    null(DataType::BigDecimal, Double(f64::NAN));
}

#[test]
fn to_string_and_json() {
    use Source::*;
    for (value, text) in [
        (5.0, "5.0"),
        (1e10, "1.0E10"),
        (1.5e7, "1.5E7"),
        (9_999_999.0, "9999999.0"),
        (0.001, "0.001"),
        (0.0001, "1.0E-4"),
        (-1.25, "-1.25"),
        (123.456, "123.456"),
        (0.0, "0.0"),
        (-0.0, "0.0"),
        (1.234e-5, "1.234E-5"),
        (100.0, "100.0"),
        (f64::INFINITY, "Infinity"),
        (0.0123, "0.0123"),
    ] {
        stored(DataType::String, Double(value), text);
    }
    stored(DataType::String, Float(0.1), "0.1");
    stored(DataType::String, Integer(-12), "-12");
    stored(DataType::String, Bool(false), "false");
    stored(DataType::String, Text(" kept "), " kept ");
    stored(DataType::String, Text(""), "");
    stored(DataType::String, Decimal("123456789012345678901"), "123456789012345678901");
    stored(DataType::String, Json("{ \"a\" : 1 }"), "{\"a\":1}");
    stored(DataType::String, Source::Timestamp(1500), "1970-01-01 00:00:01.5");
    stored(DataType::String, Source::Bytes(&[0xab, 1]), "ab01");
    stored(DataType::String, Source::Uuid([0x11; 16]), "11111111-1111-1111-1111-111111111111");
    changed(DataType::String, Json("[\"\\ud800\"]"), "[\"\u{fffd}\"]");
    stored(DataType::Json, Text("{\"a\": [1, 2]}"), "{\"a\":[1,2]}");
    stored(DataType::Json, Text("12"), "12");
    stored(DataType::Json, Text("say \"hi\""), "\"say \\\"hi\\\"\"");
    stored(DataType::Json, Text("{\"a\":}"), "\"{\\\"a\\\":}\"");
    stored(DataType::Json, Text(""), "\"\"");
    stored(DataType::Json, Json("[ 1.50 ]"), "[1.50]");
    stored(DataType::Json, Bool(true), "true");
    stored(DataType::Map, Json("{ }"), "{}");
    stored(DataType::Map, Text(" {\"k\": 1} "), "{\"k\":1}");
    refused(DataType::Map, Text("[1]"));
    refused(DataType::Map, Text("{"));
    refused(DataType::Map, Json("[1]"));
    refused(DataType::Map, Integer(1));
}

#[test]
fn to_bytes_and_uuid() {
    use Source::*;
    stored(DataType::Bytes, Text("00fF"), "00ff");
    stored(DataType::Bytes, Text(""), "");
    stored(DataType::Bytes, Source::Uuid([1; 16]), "01010101010101010101010101010101");
    refused(DataType::Bytes, Text("abc"));
    refused(DataType::Bytes, Text("zz"));
    refused(DataType::Bytes, Text("é"));
    refused(DataType::Bytes, Integer(1));
    let hex = "123e4567e89b12d3a456426614174000";
    stored(DataType::Uuid, Text("123e4567-E89B-12d3-a456-426614174000"), hex);
    stored(DataType::Uuid, Text(hex), hex);
    stored(DataType::Uuid, Source::Bytes(&[7; 16]), "07070707070707070707070707070707");
    refused(DataType::Uuid, Text("123e4567-e89b-12d3-a456-42661417400"));
    refused(DataType::Uuid, Text("123e4567+e89b-12d3-a456-426614174000"));
    refused(DataType::Uuid, Source::Bytes(&[7; 15]));
    refused(DataType::Uuid, Integer(1));
}

proptest! {
    #[test]
    fn java_text_is_the_same_number(value in any::<f64>().prop_filter("a number", |v| v.is_finite())) {
        let mut out = vec![];
        text::java_double(value, &mut out);
        let text = std::string::String::from_utf8(out).unwrap();
        prop_assert_eq!(text.parse::<f64>().unwrap(), value);
        let plain = text.contains('E');
        prop_assert_eq!(plain, value != 0.0 && !(1e-3..1e7).contains(&value.abs()));
    }

    #[test]
    fn plain_decimals_are_the_same_number(text in "-?[0-9]{1,20}(\\.[0-9]{1,10})?(e-?[0-9]{1,2})?") {
        let mut out = vec![];
        text::decimal_plain(&text, &mut out).unwrap();
        let plain = std::string::String::from_utf8(out).unwrap();
        prop_assert_eq!(plain.parse::<f64>().unwrap(), text.parse::<f64>().unwrap());
        prop_assert!(!plain.contains('e'));
        prop_assert!(!plain.contains('.') || !plain.ends_with(['0', '.']), "{}", plain);
        let mut again = vec![];
        text::decimal_plain(&plain, &mut again).unwrap();
        prop_assert_eq!(again, plain.into_bytes());
    }

    #[test]
    fn low_bits_equal_wide_arithmetic(value in any::<i128>()) {
        let (low, fits) = text::decimal_low_bits(&value.to_string()).unwrap();
        prop_assert_eq!(low, value as i64);
        prop_assert_eq!(fits, i64::try_from(value).is_ok());
    }
}

#[test]
fn texts_of_whole_numbers_are_read_as_rust_reads_them() {
    let digits = "12345678901234567890";
    let mut texts: Vec<String> = (0..=digits.len()).map(|length| digits[..length].to_owned()).collect();
    texts.extend(
        ["-", "+7", "007", "-0", "1x", " 1", "1 ", "\u{663}", "9223372036854775807", "-9223372036854775808"]
            .map(Into::into),
    );
    for text in texts.iter().flat_map(|text| [text.clone(), format!("-{text}")]) {
        if let Some(value) = plain_integer(&text) {
            assert_eq!(text.parse(), Ok(value), "{text}");
        }
        if text.len() <= 18 && text.parse::<i64>().is_ok() && !text.starts_with('+') {
            assert!(plain_integer(&text).is_some(), "{text}");
        }
    }
}
