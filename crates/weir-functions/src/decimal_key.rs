//! Decimals as bytes that order, and are equal, as the numbers are: `1.50` and `1.5` have one key, and two numbers that differ
//! in their last of a thousand digits have two. Engines compare, group and sort bytes.
//!
//! A key is a byte for the sign; for a number that is not zero, then where its point stands (two bytes, the greater the
//! number the greater), then its digits without the zeros around them, two in a byte, each pair one more than it is, so that
//! nothing is less than any of them. Behind a minus all bytes are turned around and one more ends them: the longer of two
//! that begin alike is the less.

use crate::{
    decimal::Decimal,
    java_text::{parts, positions},
};

const MINUS_INFINITY: u8 = 1;
const NEGATIVE: u8 = 2;
const ZERO: u8 = 3;
const POSITIVE: u8 = 4;
const INFINITY: u8 = 5;
const NAN: u8 = 6;

/// What ends the digits where something follows them, or where they are turned around.
const END: u8 = 0;

/// Appends the key of a decimal. `None` where the text is no decimal, or its point is more than 32 thousand digits away; then
/// nothing was appended.
pub fn key(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let parts = parts(text.trim())?;
    let Some((first, last, point)) = parts.span() else {
        out.push(ZERO);
        return Some(());
    };
    let exponent = i16::try_from(point.saturating_sub(first)).ok()?;
    let (first, last) = (usize::try_from(first).ok()?, usize::try_from(last).ok()?);
    let flip = if parts.negative { u8::MAX } else { 0 };
    out.push(if parts.negative { NEGATIVE } else { POSITIVE });
    out.extend(biased(exponent).map(|byte| byte ^ flip));
    out.extend((first..last).step_by(2).map(|at| {
        let units = if at + 1 < last { parts.digit(at + 1) - b'0' } else { 0 };
        ((parts.digit(at) - b'0') * 10 + units + 1) ^ flip
    }));
    if parts.negative {
        out.push(END ^ flip);
    }
    Some(())
}

/// Appends the key of a real number, which stands among decimals as the decimal that it prints as.
pub fn key_of_double(number: f64, out: &mut Vec<u8>) {
    if number.is_nan() {
        out.push(NAN);
    } else if number.is_infinite() {
        out.push(if number > 0.0 { INFINITY } else { MINUS_INFINITY });
    } else {
        let mut text = vec![];
        crate::java_text::java_double(number, &mut text);
        let text = std::str::from_utf8(&text).expect("numbers print as ASCII");
        key(text, out).expect("a double prints as a decimal");
    }
}

/// Appends the key of a decimal in plain notation, and behind it how many digits stand behind its point, so that [`text_of`]
/// gives the text again. Of equal numbers the one with fewer digits is the less.
pub fn whole_key(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let scale = i16::try_from(positions(text.trim())?).ok()?;
    key(text, out)?;
    out.push(END);
    out.extend(biased(scale));
    Some(())
}

/// The text of a key that [`whole_key`] made; `None` of other bytes.
#[must_use]
pub fn text_of(whole_key: &[u8]) -> Option<String> {
    let (key, scale) = whole_key.split_at_checked(whole_key.len().checked_sub(2)?)?;
    let (sign, rest) = key.strip_suffix(&[END])?.split_first()?;
    let scale = usize::try_from(unbiased(scale)?).ok()?;
    let flip = match *sign {
        ZERO if rest.is_empty() => {
            return Some(if scale == 0 { "0".to_owned() } else { format!("0.{}", "0".repeat(scale)) });
        }
        POSITIVE => 0,
        NEGATIVE => u8::MAX,
        _ => return None,
    };
    let turned: Vec<u8> = rest.iter().map(|byte| byte ^ flip).collect();
    let (exponent, pairs) = turned.split_at_checked(2)?;
    let pairs = if flip == 0 { pairs } else { pairs.strip_suffix(&[END])? };
    let mut digits = String::with_capacity(pairs.len() * 2);
    for pair in pairs {
        let pair = pair.checked_sub(1).filter(|pair| *pair < 100)?;
        digits.push(char::from(b'0' + pair / 10));
        digits.push(char::from(b'0' + pair % 10));
    }
    let minus = if flip == 0 { "" } else { "-" };
    let number = Decimal::parse(&format!("{minus}0.{digits}E{}", unbiased(exponent)?))?;
    Some(number.with_scale(i64::try_from(scale).ok()?).plain())
}

/// Two bytes that order as the number.
fn biased(number: i16) -> [u8; 2] {
    (number.cast_unsigned() ^ 0x8000).to_be_bytes()
}

fn unbiased(bytes: &[u8]) -> Option<i16> {
    Some((u16::from_be_bytes(bytes.try_into().ok()?) ^ 0x8000).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key_of(text: &str) -> Vec<u8> {
        let mut out = vec![];
        key(text, &mut out).unwrap_or_else(|| panic!("{text} is a decimal"));
        out
    }

    fn whole(text: &str) -> Vec<u8> {
        let mut out = vec![];
        whole_key(text, &mut out).unwrap_or_else(|| panic!("{text} is a decimal"));
        out
    }

    #[test]
    fn keys_order_as_the_numbers() {
        let ordered = [
            "-100000000000000000001",
            "-100000000000000000000",
            "-12.34",
            "-12.3",
            "-12",
            "-1",
            "-0.1",
            "-0.09",
            "-0.00000000000000000000000001",
            "0",
            "0.00000000000000000000000001",
            "0.0999",
            "0.1",
            "1",
            "1.000000000000000000001",
            "9.99",
            "10",
            "10.1",
            "1001",
            "12345678901234567890",
            "12345678901234567890.0000000001",
            "12345678901234567891",
            "1e300",
        ];
        for pair in ordered.windows(2) {
            assert!(key_of(pair[0]) < key_of(pair[1]), "{} < {}", pair[0], pair[1]);
            assert!(whole_order(pair[0], pair[1]), "{} < {}, whole", pair[0], pair[1]);
        }
        for (a, b) in [("1.50", "1.5"), ("-0.00", "0"), ("1e2", "100.0"), ("0010", "10"), (" .5 ", "0.50")] {
            assert_eq!(key_of(a), key_of(b), "{a} = {b}");
        }
        for bad in ["", "x", "1e40000", "NaN"] {
            let mut out = vec![];
            assert_eq!((key(bad, &mut out), out.len()), (None, 0), "{bad}");
        }
    }

    fn whole_order(less: &str, more: &str) -> bool {
        match (Decimal::parse(less), Decimal::parse(more)) {
            (Some(less), Some(more)) => whole(&less.plain()) < whole(&more.plain()),
            _ => false,
        }
    }

    #[test]
    fn real_numbers_stand_among_decimals() {
        let of = |number: f64| {
            let mut out = vec![];
            key_of_double(number, &mut out);
            out
        };
        assert_eq!(of(0.1), key_of("0.1"));
        assert_eq!(of(-0.0), key_of("0"));
        assert_eq!(of(1e22), key_of("10000000000000000000000"));
        assert!(of(f64::NEG_INFINITY) < key_of("-1e4000") && key_of("1e4000") < of(f64::INFINITY));
        assert!(of(f64::INFINITY) < of(f64::NAN));
    }

    #[test]
    fn whole_keys_give_their_texts() {
        for text in ["0", "0.00", "1", "-1.50", "100", "0.001", "-0.0010", "12345678901234567890.1234567890"] {
            assert_eq!(text_of(&whole(text)).as_deref(), Some(text));
        }
        assert!(whole("1.5") < whole("1.50") && whole("-1.5") < whole("-1.50") && whole("1.50") < whole("1.51"));
        for bad in [&b""[..], b"\x04", b"\x04\x80\x01\x02", b"\x09\x00\x80\x00"] {
            assert_eq!(text_of(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn keys_agree_with_comparing(a in "-?[0-9]{1,30}(\\.[0-9]{1,30})?", b in "-?[0-9]{1,3}(\\.[0-9]{1,3})?", zeros in 0..4_usize) {
            let near = format!("{a}{}{}", if a.contains('.') { "" } else { "." }, "0".repeat(zeros.max(1)));
            for (one, other) in [(&a, &b), (&a, &near), (&b, &b)] {
                let (x, y) = (Decimal::parse(one).unwrap(), Decimal::parse(other).unwrap());
                prop_assert_eq!(key_of(one).cmp(&key_of(other)), x.compare(&y), "{} {}", one, other);
                let whole = whole(&x.plain()).cmp(&whole(&y.plain()));
                prop_assert!(x.compare(&y).is_eq() || whole == x.compare(&y), "{} {}", one, other);
            }
            let plain = Decimal::parse(&a).unwrap().plain();
            prop_assert_eq!(text_of(&whole(&plain)), Some(plain));
        }
    }
}
