//! A strict reader over the bytes of one JSON text: moves a cursor, checks everything it passes, builds nothing.
//!
//! The bytes must be valid UTF-8; the caller has checked that once for the whole text. Everything else that RFC 8259 asks
//! for is checked here: structure, literals, number grammar, escapes, control characters, nesting.

/// How deep arrays and objects may nest, the record itself included: the open ones are kept as bits of a `u128`, and no
/// event that people write nests deeper.
pub(crate) const MAX_DEPTH: u32 = 128;

/// The text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Byte position in the text.
    pub(crate) at: usize,
    /// What is wrong there.
    pub(crate) what: &'static str,
}

pub(crate) type Step<T> = Result<T, Broken>;

/// A string as it stands between its quotes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw<'a> {
    pub(crate) bytes: &'a [u8],
    /// Whether it holds a backslash.
    pub(crate) escaped: bool,
}

/// A number that was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    /// No fraction, no exponent, fits 64 bits.
    Integer(i64),
    /// No fraction, no exponent, does not fit.
    Big,
    /// The nearest double of a number with fraction or exponent; infinite beyond a double's range.
    Double(f64),
}

/// The cursor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scan<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

/// Powers of ten that a double holds exactly.
const EXACT_TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// High bits set from the first byte on that is a quote, a backslash or a control character (bytes after the first hit
/// may be marked falsely, bytes before it never).
fn marks(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let slash = word ^ (ONES * b'\\' as u64);
    let hit = (quote.wrapping_sub(ONES) & !quote)
        | (slash.wrapping_sub(ONES) & !slash)
        | (word.wrapping_sub(ONES * 0x20) & !word);
    hit & HIGHS
}

/// The value of eight ASCII digits, first digit in the lowest byte; `None` where one is no digit.
fn eight_digits(word: u64) -> Option<u64> {
    let digits = word ^ (ONES * b'0' as u64);
    // A digit is 0..=9: neither it nor it plus six reaches the high half of its byte.
    if (digits | digits.wrapping_add(ONES * 6)) & (ONES * 0xf0) != 0 {
        return None;
    }
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff)
}

impl<'a> Scan<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[cold]
    pub(crate) fn broken<T>(&self, what: &'static str) -> Step<T> {
        Err(Broken { at: self.at, what: if self.at >= self.bytes.len() { "the JSON ends too early" } else { what } })
    }

    #[inline]
    pub(crate) fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn word(&self) -> Option<u64> {
        let eight = self.bytes.get(self.at..self.at + 8)?;
        Some(u64::from_le_bytes(eight.try_into().expect("the slice has eight bytes")))
    }

    /// Reads the string whose opening quote is under the cursor.
    #[inline]
    pub(crate) fn string(&mut self) -> Step<Raw<'a>> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            if let Some(word) = self.word() {
                let hit = marks(word);
                if hit == 0 {
                    self.at += 8;
                    continue;
                }
                self.at += (hit.trailing_zeros() / 8) as usize;
            }
            match self.peek() {
                Some(b'"') => {
                    let bytes = &self.bytes[start..self.at];
                    self.at += 1;
                    return Ok(Raw { bytes, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(byte) if byte >= 0x20 => self.at += 1,
                Some(_) => return self.broken("a control character stands unescaped in a string"),
                None => return self.broken("the string does not end"),
            }
        }
    }

    fn escape(&mut self) -> Step<()> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return self.broken("\\u is not followed by four hexadecimal digits");
                    }
                    self.at += 1;
                }
            }
            _ => return self.broken("an escape that JSON does not know"),
        }
        Ok(())
    }

    /// Reads a key and its colon; the cursor stands where the key should begin.
    pub(crate) fn key(&mut self) -> Step<Raw<'a>> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return self.broken("a key in quotes is expected");
        }
        let key = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return self.broken("a colon is expected after the key");
        }
        self.at += 1;
        Ok(key)
    }

    /// Passes digits, adding them to `mantissa` (wrapping); returns how many there were.
    #[inline]
    fn digits(&mut self, mantissa: &mut u64) -> usize {
        let start = self.at;
        while let Some(value) = self.word().and_then(eight_digits) {
            *mantissa = mantissa.wrapping_mul(100_000_000).wrapping_add(value);
            self.at += 8;
        }
        while let Some(byte @ b'0'..=b'9') = self.peek() {
            *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
            self.at += 1;
        }
        self.at - start
    }

    /// Reads the number under the cursor (a minus or a digit).
    #[inline]
    pub(crate) fn number(&mut self) -> Step<(Number, &'a [u8])> {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let mut mantissa = 0u64;
        let leading = self.peek();
        let whole = self.digits(&mut mantissa);
        if whole == 0 {
            return self.broken("a digit is expected");
        }
        if leading == Some(b'0') && whole > 1 {
            return Err(Broken { at: start, what: "a number begins with a needless zero" });
        }
        if let Some(b'.' | b'e' | b'E') = self.peek() {
            return self.fraction(start, negative, mantissa, whole);
        }
        let raw = &self.bytes[start..self.at];
        // 18 digits always fit an i64.
        let number = if whole <= 18 {
            let value = i64::try_from(mantissa).expect("18 digits fit");
            Number::Integer(if negative { -value } else { value })
        } else {
            ascii(raw).parse().map_or(Number::Big, Number::Integer)
        };
        Ok((number, raw))
    }

    fn fraction(&mut self, start: usize, negative: bool, mut mantissa: u64, whole: usize) -> Step<(Number, &'a [u8])> {
        let (mut count, mut exponent) = (whole, 0i32);
        if self.peek() == Some(b'.') {
            self.at += 1;
            let digits = self.digits(&mut mantissa);
            if digits == 0 {
                return self.broken("a digit is expected after the point");
            }
            count += digits;
            exponent = i32::try_from(digits).map_or(i32::MIN, |digits| -digits);
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            let minus = self.peek() == Some(b'-');
            self.at += usize::from(matches!(self.peek(), Some(b'-' | b'+')));
            let mut value = 0u64;
            let digits = self.digits(&mut value);
            if digits == 0 {
                return self.broken("a digit is expected in the exponent");
            }
            // Beyond four digits the exact way below is out of reach anyhow; 100_000 keeps it so.
            let value = if digits > 4 { 100_000 } else { i32::try_from(value).unwrap_or(100_000) };
            exponent = exponent.saturating_add(if minus { -value } else { value });
        }
        let raw = &self.bytes[start..self.at];
        let tens = EXACT_TENS.get(exponent.unsigned_abs() as usize);
        // A mantissa below 2^53 and a power of ten up to 10^22 are exact doubles, so that one operation rounds once.
        let value = match tens {
            Some(tens) if count <= 19 && mantissa < (1 << 53) => {
                let mantissa = mantissa as f64;
                let value = if exponent < 0 { mantissa / tens } else { mantissa * tens };
                if negative { -value } else { value }
            }
            _ => ascii(raw).parse().expect("JSON's number grammar is part of Rust's"),
        };
        Ok((Number::Double(value), raw))
    }

    /// Passes the literal under the cursor.
    #[inline]
    pub(crate) fn literal(&mut self, word: &'static [u8]) -> Step<()> {
        if !self.bytes[self.at..].starts_with(word) {
            return self.broken("a value is expected");
        }
        self.at += word.len();
        Ok(())
    }

    /// Passes any value, checking all of it, and returns its bytes. `outer` is how many arrays and objects are open.
    pub(crate) fn skip_value(&mut self, outer: u32) -> Step<&'a [u8]> {
        self.skip_space();
        let start = self.at;
        // A bit per open array (0) or object (1), the innermost lowest.
        let (mut kinds, mut depth) = (0u128, 0u32);
        loop {
            self.skip_space();
            let opened = match self.peek() {
                Some(b'"') => {
                    self.string()?;
                    false
                }
                Some(b'-' | b'0'..=b'9') => {
                    self.number()?;
                    false
                }
                Some(open @ (b'{' | b'[')) => {
                    if outer + depth >= MAX_DEPTH {
                        return self.broken("arrays and objects nest deeper than 128 levels");
                    }
                    self.at += 1;
                    depth += 1;
                    kinds = kinds << 1 | u128::from(open == b'{');
                    self.skip_space();
                    !matches!((open, self.peek()), (b'{', Some(b'}')) | (b'[', Some(b']')))
                }
                Some(b't') => self.literal(b"true").map(|()| false)?,
                Some(b'f') => self.literal(b"false").map(|()| false)?,
                Some(b'n') => self.literal(b"null").map(|()| false)?,
                _ => return self.broken("a value is expected"),
            };
            if opened {
                if kinds & 1 == 1 {
                    self.key()?;
                }
                continue;
            }
            loop {
                if depth == 0 {
                    return Ok(&self.bytes[start..self.at]);
                }
                self.skip_space();
                let object = kinds & 1 == 1;
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if object {
                            self.key()?;
                        }
                        break;
                    }
                    Some(b'}') if object => {}
                    Some(b']') if !object => {}
                    _ if object => return self.broken("a comma or a closing brace is expected"),
                    _ => return self.broken("a comma or a closing bracket is expected"),
                }
                self.at += 1;
                kinds >>= 1;
                depth -= 1;
            }
        }
    }
}

/// Bytes that the number grammar let through, as text.
pub(crate) fn ascii(raw: &[u8]) -> &str {
    std::str::from_utf8(raw).expect("a number is ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &str) -> bool {
        let mut scan = Scan::new(text.as_bytes());
        scan.skip_value(0).is_ok_and(|_| {
            scan.skip_space();
            scan.at == text.len()
        })
    }

    #[test]
    fn what_serde_refuses_is_refused() {
        let texts = [
            "1",
            "-0",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "1e+",
            "1E-5",
            "+1",
            "tru",
            "true",
            "nul",
            "\"a",
            "\"\u{1}\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\u1234\"",
            "[",
            "[]",
            "[1",
            "[1,",
            "[1,]",
            "[,]",
            "{}",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1",
            "{a:1}",
            "{\"a\":[1,{\"b\":2}]}",
            "[1}",
            "{\"a\":1]",
            "",
            " ",
            "[1 2]",
            "NaN",
            "1 2",
            "12345678",
            "1234567a",
            "00000000",
            "123456789012345678901234567890",
            "[[[[]]]]",
            "{\"a\" : 1 , \"b\" : [ ] }",
        ];
        for text in texts {
            let strict = serde_json::from_str::<serde_json::Value>(text).is_ok();
            assert_eq!(whole(text), strict, "{text:?}");
        }
    }

    #[test]
    fn nesting_ends_at_the_bound() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(whole(&nested(128)));
        assert!(!whole(&nested(129)));
        let mut scan = Scan::new(b"[]");
        assert!(scan.skip_value(128).is_err());
    }

    proptest! {
        #[test]
        fn numbers_equal_the_standard_library(text in "-?(0|[1-9][0-9]{0,22})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?") {
            let mut scan = Scan::new(text.as_bytes());
            let (number, raw) = scan.number().unwrap();
            prop_assert_eq!(raw, text.as_bytes());
            match number {
                Number::Integer(value) => prop_assert_eq!(Ok(value), text.parse::<i64>()),
                Number::Big => prop_assert!(text.parse::<i64>().is_err() && !text.contains(['.', 'e', 'E'])),
                Number::Double(value) => prop_assert_eq!(value.to_bits(), text.parse::<f64>().unwrap().to_bits()),
            }
        }

        #[test]
        fn eight_bytes_are_digits_or_not(bytes in proptest::array::uniform8(any::<u8>()), digits in "[0-9]{8}") {
            let plain = std::str::from_utf8(&bytes).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
            prop_assert_eq!(eight_digits(u64::from_le_bytes(bytes)), plain.map(|t| t.parse().unwrap()));
            let word = u64::from_le_bytes(digits.as_bytes().try_into().unwrap());
            prop_assert_eq!(eight_digits(word), Some(digits.parse().unwrap()));
        }
    }
}
