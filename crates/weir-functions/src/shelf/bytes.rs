//! Bytes as text and back, and digests of them.

use super::{
    Function,
    gives::{BYTES, INT, LONG, STRING},
};
use crate::{
    datum::{Datum, Fault, text},
    java_text::hex,
};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use bumpalo::Bump;

fn hex_text<'a>(bytes: &[u8], arena: &'a Bump) -> Datum<'a> {
    let mut out = Vec::with_capacity(bytes.len() * 2);
    hex(bytes, &mut out);
    text(&String::from_utf8_lossy(&out), arena)
}

fn utf8<'a>(bytes: &[u8], arena: &'a Bump) -> Datum<'a> {
    text(&String::from_utf8_lossy(bytes), arena)
}

fn base64_of<'a>(bytes: &[u8], arena: &'a Bump) -> Datum<'a> {
    text(&STANDARD.encode(bytes), arena)
}

/// As Java decodes: what fills up the last four letters may be left out, and their last bits may be any.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

fn of_base64<'a>(datum: Datum<'a>, arena: &'a Bump) -> Result<Vec<u8>, Fault> {
    // Bytes are the characters of the text.
    let letters = raw(datum, arena);
    // Half of the filling is none.
    if letters.ends_with(b"=") && !letters.len().is_multiple_of(4) {
        return Err(Fault::new("it is no Base64: its last letters are not four"));
    }
    LENIENT.decode(letters).map_err(|error| Fault::new(format!("it is no Base64: {error}")))
}

/// The bytes of a value: those it is, or those of its text.
fn raw<'a>(datum: Datum<'a>, arena: &'a Bump) -> &'a [u8] {
    match datum {
        Datum::Bytes(bytes) => bytes,
        other => other.text(arena).as_bytes(),
    }
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function::plain(&["hexToBytes"], 1, 1, BYTES, |args, arena| Ok(Datum::Bytes(args[0].bytes(arena)?))),
    Function::plain(&["bytesToHex"], 1, 1, STRING, |args, arena| Ok(hex_text(args[0].bytes(arena)?, arena))),
    Function::plain(&["base64Encode"], 1, 1, BYTES, |args, arena| {
        Ok(Datum::Bytes(arena.alloc_slice_copy(STANDARD.encode(raw(args[0], arena)).as_bytes())))
    }),
    Function::plain(&["base64Decode"], 1, 1, BYTES, |args, arena| {
        Ok(Datum::Bytes(arena.alloc_slice_copy(&of_base64(args[0], arena)?)))
    }),
    Function::plain(&["toBase64"], 1, 1, STRING, |args, arena| Ok(base64_of(raw(args[0], arena), arena))),
    Function::plain(&["fromBase64"], 1, 1, BYTES, |args, arena| {
        Ok(Datum::Bytes(arena.alloc_slice_copy(&of_base64(args[0], arena)?)))
    }),
    Function::plain(&["toUtf8"], 1, 1, BYTES, |args, arena| Ok(Datum::Bytes(args[0].text(arena).as_bytes()))),
    Function::plain(&["fromUtf8"], 1, 1, STRING, |args, arena| Ok(utf8(raw(args[0], arena), arena))),
    Function::plain(&["toAscii"], 1, 1, BYTES, |args, arena| {
        let bytes: Vec<u8> = args[0].text(arena).chars().map(|c| if c.is_ascii() { c as u8 } else { b'?' }).collect();
        Ok(Datum::Bytes(arena.alloc_slice_copy(&bytes)))
    }),
    Function::plain(&["fromAscii"], 1, 1, STRING, |args, arena| {
        let chars: String =
            raw(args[0], arena).iter().map(|b| if b.is_ascii() { char::from(*b) } else { '\u{fffd}' }).collect();
        Ok(text(&chars, arena))
    }),
    Function::plain(&["octetLength"], 1, 1, INT, |args, arena| Ok(Datum::Long(args[0].text(arena).len() as i64))),
    Function::plain(&["bitLength"], 1, 1, INT, |args, arena| Ok(Datum::Long(8 * args[0].text(arena).len() as i64))),
    Function::plain(&["hexDecimalToLong"], 1, 1, LONG, |args, arena| {
        let digits = args[0].text(arena);
        let plain = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).unwrap_or(digits);
        u64::from_str_radix(plain, 16)
            .map(|number| Datum::Long(number as i64))
            .map_err(|_| Fault::new(format!("up to 16 hexadecimal digits are expected, got {}", args[0].shown())))
    }),
    Function::plain(&["longToHexDecimal"], 1, 1, STRING, |args, arena| {
        Ok(text(&format!("{:x}", args[0].long()?), arena))
    }),
];

#[cfg(test)]
mod tests {
    use crate::expression::value_text as eval;

    /// The answers of Pinot 1.4.
    #[test]
    fn base64_is_read_as_java_reads_it() {
        for (letters, decoded) in [
            ("aGVsbG8=", "68656c6c6f"),
            ("aGVsbG8", "68656c6c6f"),
            ("aGVsbA==", "68656c6c"),
            ("aGVsbA", "68656c6c"),
            ("aGVsbH==", "68656c6c"),
            ("aGV", "6865"),
            ("", ""),
        ] {
            assert_eq!(eval(&format!("fromBase64('{letters}')")).as_deref(), Ok(decoded), "{letters}");
            assert_eq!(eval(&format!("base64Decode(toUtf8('{letters}'))")).as_deref(), Ok(decoded), "{letters}");
        }
        for bad in ["aGVsbA=", "aGVs bA==", "a", "aGVsb*==", "="] {
            assert!(eval(&format!("fromBase64('{bad}')")).is_err(), "{bad}");
        }
    }
}
