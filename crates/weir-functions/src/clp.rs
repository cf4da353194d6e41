//! A log message in the three parts that CLP makes of it: what stays the same, repeated variables, and numbers.
//!
//! The encoding is that of CLP's second variable schema with its first 8-byte encoding, which is what Pinot's decoder
//! writes and its `clpDecode` reads. A token is a run of letters, digits and `+-.\_`; it is a variable where it has a digit,
//! stands behind `=` and has a letter, or may be a hexadecimal number of two digits or more. A variable that is an integer or
//! a decimal of at most 16 digits becomes 64 bits, any other a dictionary variable.

use std::ops::Range;

/// What stands in the log type for a variable.
const INTEGER: u8 = 0x11;
const DICTIONARY: u8 = 0x12;
const FLOAT: u8 = 0x13;
const ESCAPE: u8 = b'\\';
/// Decimal digits that an encoded decimal has at most: their number has four bits, their value 54.
const FLOAT_DIGITS: usize = 16;
const FLOAT_BITS: u32 = 54;

/// A message in parts. The dictionary variables are parts of it.
#[derive(Debug, Default)]
pub struct Encoded {
    /// What stays the same, with marks for the variables.
    pub log_type: Vec<u8>,
    /// Where the variables stand that are no numbers.
    pub dictionary: Vec<Range<usize>>,
    /// Those that are.
    pub numbers: Vec<i64>,
}

impl Encoded {
    /// Takes a message apart.
    pub fn encode(&mut self, message: &str) {
        self.log_type.clear();
        self.dictionary.clear();
        self.numbers.clear();
        let bytes = message.as_bytes();
        let mut done = 0;
        while let Some(variable) = next_variable(bytes, done) {
            self.constant(&bytes[done..variable.start]);
            done = variable.end;
            let text = &message[variable.clone()];
            let (placeholder, number) = match (float(text), integer(text)) {
                (Some(number), _) => (FLOAT, Some(number)),
                (None, Some(number)) => (INTEGER, Some(number)),
                (None, None) => (DICTIONARY, None),
            };
            self.log_type.push(placeholder);
            match number {
                Some(number) => self.numbers.push(number),
                None => self.dictionary.push(variable),
            }
        }
        self.constant(&bytes[done..]);
    }

    fn constant(&mut self, text: &[u8]) {
        for byte in text {
            if matches!(*byte, INTEGER | DICTIONARY | FLOAT | ESCAPE) {
                self.log_type.push(ESCAPE);
            }
            self.log_type.push(*byte);
        }
    }
}

fn is_delimiter(byte: u8) -> bool {
    !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'\\' | b'_'))
}

/// The next variable at or behind a position.
fn next_variable(message: &[u8], from: usize) -> Option<Range<usize>> {
    let mut end = from;
    loop {
        let start = end + message[end..].iter().position(|byte| !is_delimiter(*byte))?;
        end = start + message[start..].iter().position(|byte| is_delimiter(*byte)).unwrap_or(message.len() - start);
        let token = &message[start..end];
        let has_digit = token.iter().any(u8::is_ascii_digit);
        let is_value = start > 0 && message[start - 1] == b'=' && token.iter().any(u8::is_ascii_alphabetic);
        let is_hex = token.len() > 1 && token.iter().all(u8::is_ascii_hexdigit);
        if has_digit || is_value || is_hex {
            return Some(start..end);
        }
    }
}

/// An integer as it would be written again: no plus, no zeros in front, no minus zero.
fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = match digits.as_bytes() {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', ..] => true,
        _ => false,
    };
    text.parse().ok().filter(|_| plain)
}

/// A decimal in 64 bits, from the highest: its sign, an unused one, its digits, how many they are less one, and how many of
/// them stand behind the point less one.
fn float(text: &str) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.')?;
    let count = whole.len() + fraction.len();
    let all = whole.bytes().chain(fraction.bytes());
    if fraction.is_empty() || count > FLOAT_DIGITS || !all.clone().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value = all.fold(0u64, |value, byte| value * 10 + u64::from(byte - b'0'));
    let mut bits = u64::from(negative);
    bits = bits << (1 + FLOAT_BITS) | value;
    bits = bits << 4 | (count as u64 - 1);
    bits = bits << 4 | (fraction.len() as u64 - 1);
    Some(bits as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(message: &str) -> (String, Vec<String>, Vec<i64>) {
        let mut encoded = Encoded::default();
        encoded.encode(message);
        let dictionary = encoded.dictionary.iter().map(|range| message[range.clone()].to_owned()).collect();
        (String::from_utf8(encoded.log_type).unwrap(), dictionary, encoded.numbers)
    }

    /// Puts the parts together again.
    fn joined((log_type, dictionary, numbers): &(String, Vec<String>, Vec<i64>)) -> String {
        let (mut out, mut dictionary, mut numbers) = (String::new(), dictionary.iter(), numbers.iter());
        let mut letters = log_type.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' => out.extend(letters.next()),
                '\u{11}' => out.push_str(&numbers.next().unwrap().to_string()),
                '\u{12}' => out.push_str(dictionary.next().unwrap()),
                '\u{13}' => {
                    let bits = *numbers.next().unwrap() as u64;
                    let (behind, count) = ((bits & 15) as usize + 1, (bits >> 4 & 15) as usize + 1);
                    let digits = format!("{:0count$}", bits >> 8 & ((1 << FLOAT_BITS) - 1));
                    let sign = if bits >> 63 == 1 { "-" } else { "" };
                    out.push_str(&format!("{sign}{}.{}", &digits[..count - behind], &digits[count - behind..]));
                }
                other => out.push(other),
            }
        }
        out
    }

    #[test]
    fn messages_are_taken_apart() {
        let log = |text: &str| text.replace('I', "\u{11}").replace('D', "\u{12}").replace('F', "\u{13}");
        for (message, log_type, dictionary, numbers) in [
            ("", "", vec![], vec![]),
            ("no variables here", "no variables here", vec![], vec![]),
            ("took 12 ms of -7", "took I ms of I", vec![], vec![12, -7]),
            ("task_07 state=up id=0 mode=..", "D state=D id=I mode=..", vec!["task_07", "up"], vec![0]),
            ("cafe 007 +1 -0", "D D D D", vec!["cafe", "007", "+1", "-0"], vec![]),
            ("a f", "a f", vec![], vec![]),
            ("99999999999999999999", "D", vec!["99999999999999999999"], vec![]),
            ("5. .5", "D F", vec!["5."], vec![5 << 8]),
            ("x\\y \u{11} é", "x\\\\y \\\u{11} é", vec![], vec![]),
        ] {
            let found = parts(message);
            assert_eq!((&found.0, &found.2), (&log(log_type), &numbers), "{message}");
            assert_eq!(found.1, dictionary, "{message}");
        }
        // The bits of -12.5: sign, 125, three digits, one behind the point.
        assert_eq!(float("-12.5"), Some(i64::MIN | 125 << 8 | 2 << 4));
        assert_eq!(float("12345678901234.567"), None, "seventeen digits");
    }

    proptest! {
        #[test]
        fn parts_are_the_whole(message in "[a-f0-9x=. +_\\\\\u{11}\u{12}é-]{0,40}") {
            prop_assert_eq!(joined(&parts(&message)), message);
        }
    }
}
