//! JSON strings and JSON text as values: escapes undone, escapes made, text brought to its one stored form.

use super::scan::{Raw, Scan};

/// Appends the text that an escaped string stands for. A surrogate without its partner is no character: it becomes
/// U+FFFD, and the answer is true.
pub(crate) fn unescape(raw: &[u8], out: &mut Vec<u8>) -> bool {
    let mut replaced = false;
    let mut rest = raw;
    while let Some(slash) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..slash]);
        let kind = rest[slash + 1];
        rest = &rest[slash + 2..];
        match kind {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let unit = hex4(rest);
                rest = &rest[4..];
                let low = rest.strip_prefix(b"\\u").map(hex4);
                let code = match (unit, low) {
                    (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
                        rest = &rest[6..];
                        0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                    }
                    _ => unit,
                };
                replaced |= char::from_u32(code).is_none();
                let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
            same => out.push(same),
        }
    }
    out.extend_from_slice(rest);
    replaced
}

fn hex4(bytes: &[u8]) -> u32 {
    bytes[..4].iter().fold(0, |code, byte| code << 4 | (*byte as char).to_digit(16).expect("the scan saw hex digits"))
}

/// Appends `text` as a JSON string: quotes, backslashes and control characters escaped, all else as it is.
pub(crate) fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            control @ 0..0x20 => {
                out.extend_from_slice(b"\\u00");
                for half in [control >> 4, control & 15] {
                    out.push(char::from_digit(u32::from(half), 16).expect("four bits are a digit") as u8);
                }
            }
            plain => out.push(*plain),
        }
    }
    out.push(b'"');
}

/// Appends valid JSON in its stored form: no space between tokens, strings with only the escapes they need, numbers and
/// members as written. The answer is true where a lone surrogate was replaced.
pub(crate) fn normalise(json: &[u8], out: &mut Vec<u8>) -> bool {
    let mut scan = Scan::new(json);
    let mut replaced = false;
    while let Some(byte) = scan.peek() {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => scan.at += 1,
            b'"' => {
                let start = scan.at;
                match scan.string().expect("the text was checked") {
                    Raw { escaped: false, .. } => out.extend_from_slice(&json[start..scan.at]),
                    Raw { bytes, .. } => {
                        let mut text = Vec::with_capacity(bytes.len());
                        replaced |= unescape(bytes, &mut text);
                        quote(&text, out);
                    }
                }
            }
            other => {
                out.push(other);
                scan.at += 1;
            }
        }
    }
    replaced
}

/// Whether `text` is exactly one JSON value, white space around it allowed.
pub(crate) fn is_json(text: &[u8]) -> bool {
    let mut scan = Scan::new(text);
    let whole = scan.skip_value(0).is_ok();
    scan.skip_space();
    whole && scan.at == text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lone_surrogates_become_replacement_characters() {
        for (raw, text, replaced) in [
            (r"\ud83d\ude00", "\u{1f600}", false),
            (r"\ud83d", "\u{fffd}", true),
            (r"\ud83dx", "\u{fffd}x", true),
            (r"\ude00\ud83d", "\u{fffd}\u{fffd}", true),
            (r"\ud83d\u0041", "\u{fffd}A", true),
            (r#"\"\\\/\b\f\n\r\t\u00e9"#, "\"\\/\u{8}\u{c}\n\r\té", false),
        ] {
            let mut out = vec![];
            assert_eq!(unescape(raw.as_bytes(), &mut out), replaced, "{raw}");
            assert_eq!(String::from_utf8(out).unwrap(), text, "{raw}");
        }
    }

    #[test]
    fn the_stored_form_has_no_spaces_and_few_escapes() {
        let mut out = vec![];
        normalise(" { \"a b\" : [ 1.50 , \"\\u00e9\\n\\/\" , null ] } ".as_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"a b":[1.50,"é\n/",null]}"#);
    }

    proptest! {
        #[test]
        fn quoting_is_undone_by_serde(text in any::<String>()) {
            let mut out = vec![];
            quote(text.as_bytes(), &mut out);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text.clone());
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
        }
    }
}
