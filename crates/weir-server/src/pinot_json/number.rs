//! Floating-point numbers as Java prints them: clients made for Pinot see `5.0` and `1.0E10`.

use std::fmt::{LowerExp, Write};

/// Appends a double as JSON: Java's text; NaN and the infinities as quoted words.
pub fn push_double(out: &mut Vec<u8>, value: f64) {
    push(out, value, value.is_nan(), value.is_infinite(), value < 0.0, |text| text.parse::<f64>() == Ok(value));
}

/// Appends a float as JSON, with the digits that tell it from other floats.
pub fn push_float(out: &mut Vec<u8>, value: f32) {
    push(out, value, value.is_nan(), value.is_infinite(), value < 0.0, |text| text.parse::<f32>() == Ok(value));
}

fn push(
    out: &mut Vec<u8>,
    value: impl LowerExp + Copy,
    nan: bool,
    infinite: bool,
    negative: bool,
    is_value: impl Fn(&str) -> bool,
) {
    if nan {
        out.extend_from_slice(b"\"NaN\"");
    } else if infinite {
        out.extend_from_slice(if negative { b"\"-Infinity\"" } else { b"\"Infinity\"" });
    } else {
        out.extend_from_slice(java_text(value, is_value).as_bytes());
    }
}

/// The shortest digits that read back as the value, laid out by Java's rules: plain from 10^-3 to below 10^7, else one
/// digit, a point, at least one digit, `E` and the exponent.
fn java_text(value: impl LowerExp + Copy, is_value: impl Fn(&str) -> bool) -> String {
    let mut shortest = format!("{value:e}");
    if !shortest.contains('.') {
        // Java prints at least two digits and takes those nearest to the value: 4.9E-324, not 5.0E-324.
        let two = format!("{value:.1e}");
        if is_value(&two) {
            shortest = two;
        }
    }
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let mut text = String::with_capacity(26);
    text.push_str(sign);
    if first == "0" {
        text.push_str("0.0");
    } else if (-3..7).contains(&exponent) {
        push_plain(&mut text, first, rest, exponent);
    } else {
        // Writing to a String does not fail.
        write!(text, "{first}.{rest}E{exponent}").ok();
    }
    text
}

fn push_plain(text: &mut String, first: &str, rest: &str, exponent: i32) {
    let rest = if rest == "0" { "" } else { rest };
    if exponent < 0 {
        text.push_str("0.");
        (1..-exponent).for_each(|_| text.push('0'));
        text.push_str(first);
        text.push_str(rest);
        return;
    }
    let whole = usize::try_from(exponent).unwrap_or(0);
    text.push_str(first);
    text.push_str(&rest[..whole.min(rest.len())]);
    (rest.len()..whole).for_each(|_| text.push('0'));
    text.push('.');
    text.push_str(rest.get(whole..).filter(|fraction| !fraction.is_empty()).unwrap_or("0"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_as_java_does() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (5.0, "5.0"),
            (-1.5, "-1.5"),
            (100.0, "100.0"),
            (1234567.0, "1234567.0"),
            (9_999_999.0, "9999999.0"),
            (10_000_000.0, "1.0E7"),
            (1e10, "1.0E10"),
            (123_456_789.125, "1.23456789125E8"),
            (0.001, "0.001"),
            (0.000_999, "9.99E-4"),
            (0.012_5, "0.0125"),
            (0.1 + 0.2, "0.30000000000000004"),
            (2e23, "2.0E23"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (5e-324, "4.9E-324"),
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            let mut out = vec![];
            push_double(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn floats_have_their_own_digits() {
        for (value, text) in [(0.1_f32, "0.1"), (3.4e38, "3.4E38"), (16_777_216.0, "1.6777216E7"), (1e-45, "1.4E-45")] {
            let mut out = vec![];
            push_float(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn every_text_reads_back_as_its_value() {
        let mut chance = weir_base::Chance::seeded(7);
        for _ in 0..20_000 {
            let value = f64::from_bits(chance.u64());
            if value.is_finite() {
                let mut out = vec![];
                push_double(&mut out, value);
                let text = String::from_utf8(out).unwrap();
                assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{text}");
                assert!(text.contains('.'), "{text}");
            }
        }
    }
}
