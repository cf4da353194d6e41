//! Numbers, bytes and UUIDs as text and back, in the forms that Java prints and reads.

use std::{io::Write as _, str::FromStr};

/// Longest plain notation of a decimal: an exponent of a few characters must not become gigabytes of zeros, and no
/// amount of money or measure needs more.
pub const MAX_DECIMAL: usize = 4096;

/// Appends a double as Java prints it: `5.0`, `1.0E10` from 10^7 up and below 10^-3, shortest digits.
pub fn java_double(value: f64, out: &mut Vec<u8>) {
    if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
    } else {
        // -0.0 is stored as 0.0.
        java_number(&format!("{:e}", value + 0.0), out);
    }
}

/// Appends a float as Java prints it.
pub fn java_float(value: f32, out: &mut Vec<u8>) {
    if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
    } else {
        java_number(&format!("{:e}", value + 0.0), out);
    }
}

/// From Rust's `-d.ddde-x` to Java's form.
fn java_number(scientific: &str, out: &mut Vec<u8>) {
    let (mantissa, exponent) = scientific.split_once('e').expect("{:e} prints an exponent");
    let exponent: i32 = exponent.parse().expect("{:e} prints a number after e");
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    out.extend_from_slice(sign.as_bytes());
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = if rest.is_empty() { "0" } else { rest };
    match exponent {
        0..7 => {
            let shift = exponent.unsigned_abs() as usize;
            let whole = rest.len().min(shift);
            let (before, after) = rest.split_at(whole);
            let after = if after.is_empty() { "0" } else { after };
            out.extend_from_slice(first.as_bytes());
            out.extend_from_slice(before.as_bytes());
            out.resize(out.len() + shift - whole, b'0');
            out.push(b'.');
            out.extend_from_slice(after.as_bytes());
        }
        -3..0 => {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + exponent.unsigned_abs() as usize - 1, b'0');
            out.extend_from_slice(first.as_bytes());
            out.extend_from_slice(rest.as_bytes());
        }
        _ => write!(out, "{first}.{fraction}E{exponent}").expect("a Vec takes every byte"),
    }
}

/// Reads a float as Java does: optional sign, digits, point, exponent, a trailing `f` or `d`, `NaN`, `Infinity`.
/// `text` is trimmed by the caller.
#[must_use]
pub fn float_from_text<F: FromStr>(text: &str) -> Option<F> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, "NaN" | "Infinity") {
        return text.parse().ok();
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text).parse().ok()
}

/// A decimal's text in its parts.
pub(crate) struct Parts<'a> {
    pub(crate) negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

/// The parts of a decimal; `None` where the text is none.
pub(crate) fn parts(text: &str) -> Option<Parts<'_>> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (digits, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i64>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    let some = !(whole.is_empty() && fraction.is_empty());
    (all_digits && some).then(|| Parts {
        negative: text.starts_with('-'),
        whole: whole.as_bytes(),
        fraction: fraction.as_bytes(),
        exponent,
    })
}

/// Whether a decimal has a minus, its digits, and how many of them stand behind the point (before it, where that is below
/// 0). `None` where the text is none.
#[must_use]
pub(crate) fn decimal_parts(text: &str) -> Option<(bool, String, i64)> {
    let Parts { negative, whole, fraction, exponent } = parts(text)?;
    let digits: String = whole.iter().chain(fraction).copied().map(char::from).collect();
    let scale = i64::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    Some((negative, digits, scale))
}

/// How many digits a decimal has behind its point. `None` where the text is none.
pub(crate) fn positions(text: &str) -> Option<i64> {
    let parts = parts(text)?;
    Some(i64::try_from(parts.fraction.len()).ok()?.saturating_sub(parts.exponent).max(0))
}

impl Parts<'_> {
    fn len(&self) -> usize {
        self.whole.len() + self.fraction.len()
    }

    /// A digit, as its letter.
    pub(crate) fn digit(&self, at: usize) -> u8 {
        if at < self.whole.len() { self.whole[at] } else { self.fraction[at - self.whole.len()] }
    }

    /// First and one past the last digit that is not zero, and where the point stands among the digits; `None` is zero.
    pub(crate) fn span(&self) -> Option<(i64, i64, i64)> {
        let first = (0..self.len()).find(|at| self.digit(*at) != b'0')?;
        let last = (0..self.len()).rev().find(|at| self.digit(*at) != b'0')?;
        let point = self.exponent.saturating_add(i64::try_from(self.whole.len()).ok()?);
        Some((i64::try_from(first).ok()?, i64::try_from(last).ok()? + 1, point))
    }

    fn copy(&self, from: i64, to: i64, out: &mut Vec<u8>) {
        out.extend((from..to).map(|at| self.digit(usize::try_from(at).expect("a position among the digits"))));
    }
}

/// Appends a decimal in plain notation without needless zeros (`1.50e3` is `1500`). `None` where the text is no decimal
/// or is longer than [`MAX_DECIMAL`]; then nothing was appended.
pub fn decimal_plain(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let parts = parts(text)?;
    let Some((first, last, point)) = parts.span() else {
        out.push(b'0');
        return Some(());
    };
    let bound = i64::try_from(MAX_DECIMAL).expect("a small number");
    let zeros = first.saturating_sub(point).max(point.saturating_sub(last)).max(0);
    if zeros.saturating_add(last - first) > bound {
        return None;
    }
    if parts.negative {
        out.push(b'-');
    }
    let padding = usize::try_from(zeros).expect("bounded above");
    if point <= first {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + padding, b'0');
        parts.copy(first, last, out);
    } else if point >= last {
        parts.copy(first, last, out);
        out.resize(out.len() + padding, b'0');
    } else {
        parts.copy(first, point, out);
        out.push(b'.');
        parts.copy(point, last, out);
    }
    Some(())
}

/// The low 64 bits of a decimal's whole part (what Java's `longValue` gives), and whether they are all of the number.
#[must_use]
pub fn decimal_low_bits(text: &str) -> Option<(i64, bool)> {
    let parts = parts(text)?;
    let Some((first, last, point)) = parts.span() else { return Some((0, true)) };
    // 2^64 divides 10^64: digits that stand higher than that do not reach the low bits.
    let (mut low, mut wide) = (0u64, 0u128);
    let mut fits = point <= 40;
    for at in first..point.min(last) {
        let digit = parts.digit(usize::try_from(at).ok()?) - b'0';
        low = low.wrapping_mul(10).wrapping_add(u64::from(digit));
        wide = wide.saturating_mul(10).saturating_add(u128::from(digit));
    }
    for _ in 0..point.saturating_sub(last).clamp(0, 64) {
        low = low.wrapping_mul(10);
        wide = wide.saturating_mul(10);
    }
    fits &= last <= point && wide <= i64::MAX as u128 + u128::from(parts.negative);
    let value = low as i64;
    Some((if parts.negative { value.wrapping_neg() } else { value }, fits))
}

/// Appends the decimal that a big-endian number in two's complement means, `scale` digits of it behind the point. `None`:
/// it has more than [`MAX_DECIMAL`] digits.
pub fn decimal_of_bytes(unscaled: &[u8], scale: i64, out: &mut String) -> Option<()> {
    use std::fmt::Write as _;
    // A byte is less than two and a half digits.
    if unscaled.len() > MAX_DECIMAL * 2 / 5 {
        return None;
    }
    let negative = unscaled.first().is_some_and(|byte| byte & 0x80 != 0);
    if negative {
        out.push('-');
    }
    let start = out.len();
    if unscaled.len() <= 16 {
        let fill = if negative { 0xff } else { 0 };
        let mut bytes = [fill; 16];
        bytes[16 - unscaled.len()..].copy_from_slice(unscaled);
        write!(out, "{}", i128::from_be_bytes(bytes).unsigned_abs()).ok()?;
    } else {
        wide_magnitude(unscaled, negative, out);
    }
    let digits = out.len() - start;
    if digits as u64 + scale.unsigned_abs() > MAX_DECIMAL as u64 {
        return None;
    }
    let shift = usize::try_from(scale.unsigned_abs()).ok()?;
    if scale < 0 && &out[start..] != "0" {
        out.extend(std::iter::repeat_n('0', shift));
    } else if scale > 0 {
        if digits <= shift {
            out.insert_str(start, &"0".repeat(shift + 1 - digits));
        }
        out.insert(out.len() - shift, '.');
    }
    Some(())
}

/// The digits of a number that no machine word holds: nine at a time by division.
fn wide_magnitude(unscaled: &[u8], negative: bool, out: &mut String) {
    use std::fmt::Write as _;
    let mut magnitude = unscaled.to_vec();
    if negative {
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    let mut nines = vec![];
    while magnitude.iter().any(|byte| *byte != 0) {
        let mut rest = 0u64;
        for byte in &mut magnitude {
            rest = rest << 8 | u64::from(*byte);
            *byte = (rest / 1_000_000_000) as u8;
            rest %= 1_000_000_000;
        }
        nines.push(rest);
    }
    let first = nines.pop().unwrap_or(0);
    write!(out, "{first}").expect("a String takes every text");
    nines.iter().rev().for_each(|nine| write!(out, "{nine:09}").expect("a String takes every text"));
}

/// Appends bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// Appends a UUID in its usual form.
pub fn uuid_text(value: &[u8; 16], out: &mut Vec<u8>) {
    for (at, range) in [0..4, 4..6, 6..8, 8..10, 10..16].into_iter().enumerate() {
        if at > 0 {
            out.push(b'-');
        }
        hex(&value[range], out);
    }
}

/// Reads a UUID, with its dashes or without any, in any case.
#[must_use]
pub fn uuid_from_text(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    let dashed = match bytes.len() {
        36 => true,
        32 => false,
        _ => return None,
    };
    let mut value = [0; 16];
    let mut count = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if dashed && matches!(at, 8 | 13 | 18 | 23) {
            if *byte != b'-' {
                return None;
            }
            continue;
        }
        let digit = u8::try_from((*byte as char).to_digit(16)?).ok()?;
        value[count / 2] = value[count / 2] << 4 | digit;
        count += 1;
    }
    Some(value)
}
