//! Texts compared, taken apart and written otherwise: distances, sounds, beginnings and ends, n-grams, normal forms.

use super::{
    Function, MADE_MOST,
    gives::{BYTES, INT, STRING, STRINGS},
    too_long,
};
use crate::datum::{Datum, Fault, list, text};
use bumpalo::Bump;
use std::collections::{HashMap, HashSet};
use unicode_normalization::UnicodeNormalization as _;

/// Cells of a table of distances: two texts of ten thousand letters, which takes some tenths of a second. A record is not
/// to be waited for longer.
const CELLS_MOST: usize = 100_000_000;

/// How many units have to be put in, left out or replaced.
fn levenshtein<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let one: Vec<u16> = args[0].text(arena).encode_utf16().collect();
    let other: Vec<u16> = args[1].text(arena).encode_utf16().collect();
    if one.len().saturating_mul(other.len()) > CELLS_MOST {
        return Err(Fault::new(format!(
            "texts of {} and {} letters are too long to be compared; the product may be {CELLS_MOST}",
            one.len(),
            other.len()
        )));
    }
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut above[0], row + 1);
        for (at, with) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != with);
            diagonal = above[at + 1];
            above[at + 1] = replaced.min(diagonal + 1).min(above[at] + 1);
        }
    }
    Ok(Datum::Long(above[other.len()] as i64))
}

/// The American Soundex code: a letter and three digits; nothing of a text without letters.
fn soundex(word: &str) -> String {
    let digit = |letter: char| match letter {
        'B' | 'F' | 'P' | 'V' => Some('1'),
        'C' | 'G' | 'J' | 'K' | 'Q' | 'S' | 'X' | 'Z' => Some('2'),
        'D' | 'T' => Some('3'),
        'L' => Some('4'),
        'M' | 'N' => Some('5'),
        'R' => Some('6'),
        _ => None,
    };
    let mut letters = word.chars().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_uppercase());
    let Some(first) = letters.next() else { return String::new() };
    let (mut code, mut last) = (String::from(first), digit(first));
    for letter in letters {
        let sound = digit(letter);
        if sound.is_some() && sound != last && code.len() < 4 {
            code.extend(sound);
        }
        // The same sound on both sides of H or W is one.
        if !matches!(letter, 'H' | 'W') {
            last = sound;
        }
    }
    format!("{code:0<4}")
}

/// Beginnings (or ends) of a text of one letter up to so many, each with something before (or behind) it.
fn ends<'a>(args: &[Datum<'a>], arena: &'a Bump, from_start: bool) -> Result<Datum<'a>, Fault> {
    let whole = args[0].text(arena);
    let most = usize::try_from(args[1].long()?.max(0)).unwrap_or(usize::MAX);
    let beside = args.get(2).filter(|beside| !beside.is_null()).map_or("", |beside| beside.text(arena));
    let places: Vec<usize> = if from_start {
        whole.char_indices().skip(1).map(|(at, _)| at).chain([whole.len()]).take(most).collect()
    } else {
        whole.char_indices().rev().map(|(at, _)| at).take(most).collect()
    };
    if whole.is_empty() {
        return Ok(Datum::List(&[]));
    }
    let part = |at: &usize| if from_start { &whole[..*at] } else { &whole[*at..] };
    if places.iter().map(|at| part(at).len() + beside.len()).sum::<usize>() > MADE_MOST {
        return Err(too_long());
    }
    let with = |at: &usize| match (beside, from_start) {
        ("", _) => Datum::Text(part(at)),
        (beside, true) => text(&[beside, part(at)].concat(), arena),
        (beside, false) => text(&[part(at), beside].concat(), arena),
    };
    Ok(list(places.iter().map(with), arena))
}

/// The runs of `from` to `to` letters in a text, each once, in the order of their first places.
fn ngrams<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let whole = args[0].text(arena);
    let from = args[1].long()?;
    let to = args.get(2).map_or(Ok(from), |to| to.long())?;
    let places: Vec<usize> = whole.char_indices().map(|(at, _)| at).chain([whole.len()]).collect();
    let letters = places.len() - 1;
    let (mut seen, mut found, mut bytes) = (HashSet::new(), vec![], 0);
    for length in from.max(1)..=to.min(letters as i64) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        for window in places.windows(length + 1) {
            let gram = &whole[window[0]..window[length]];
            bytes += gram.len();
            // Those that are not kept have been looked at too.
            if bytes > MADE_MOST {
                return Err(too_long());
            }
            if seen.insert(gram) {
                found.push(Datum::Text(gram));
            }
        }
    }
    Ok(list(found, arena))
}

/// A text in which each letter of `from` is the one at its place in `to`, or nothing where there is none.
fn translate<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Datum<'a> {
    let mut to = args[2].text(arena).chars();
    let mut map: HashMap<char, Option<char>> = HashMap::new();
    for letter in args[1].text(arena).chars() {
        let becomes = to.next();
        map.entry(letter).or_insert(becomes);
    }
    let change = |letter: char| map.get(&letter).copied().unwrap_or(Some(letter));
    text(&args[0].text(arena).chars().filter_map(change).collect::<String>(), arena)
}

fn normalize<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let whole = args[0].text(arena);
    let made: String = match args.get(1).map_or("NFC", |form| form.text(arena)) {
        "NFC" => whole.nfc().collect(),
        "NFD" => whole.nfd().collect(),
        "NFKC" => whole.nfkc().collect(),
        "NFKD" => whole.nfkd().collect(),
        other => return Err(Fault::new(format!("'{other}' is no normal form; NFC, NFD, NFKC and NFKD are"))),
    };
    Ok(text(&made, arena))
}

/// Character sets by the names that Java has for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charset {
    Utf8,
    Ascii,
    Latin1,
    Utf16 { big: bool },
}

impl Charset {
    fn named(name: &str) -> Result<Self, Fault> {
        Ok(match name.to_ascii_uppercase().as_str() {
            "UTF-8" | "UTF8" => Self::Utf8,
            "US-ASCII" | "ASCII" => Self::Ascii,
            "ISO-8859-1" | "LATIN1" => Self::Latin1,
            "UTF-16BE" => Self::Utf16 { big: true },
            "UTF-16LE" => Self::Utf16 { big: false },
            _ => {
                return Err(Fault::new(format!(
                    "'{name}' is no character set known here; UTF-8, US-ASCII, ISO-8859-1, UTF-16BE and UTF-16LE are"
                )));
            }
        })
    }

    fn bytes(self, text: &str) -> Vec<u8> {
        let up_to = |most: u32| {
            text.chars().map(move |letter| if u32::from(letter) <= most { u32::from(letter) as u8 } else { b'?' })
        };
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Ascii => up_to(0x7f).collect(),
            Self::Latin1 => up_to(0xff).collect(),
            Self::Utf16 { big: true } => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Self::Utf16 { big: false } => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        }
    }

    fn text(self, bytes: &[u8]) -> String {
        let of_units = |unit: fn([u8; 2]) -> u16| {
            let (units, rest) = bytes.as_chunks::<2>();
            let units: Vec<u16> = units.iter().map(|pair| unit(*pair)).collect();
            // Half a unit is no letter.
            String::from_utf16_lossy(&units) + if rest.is_empty() { "" } else { "\u{fffd}" }
        };
        match self {
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Ascii => bytes.iter().map(|b| if b.is_ascii() { char::from(*b) } else { '\u{fffd}' }).collect(),
            Self::Latin1 => bytes.iter().map(|byte| char::from(*byte)).collect(),
            Self::Utf16 { big: true } => of_units(u16::from_be_bytes),
            Self::Utf16 { big: false } => of_units(u16::from_le_bytes),
        }
    }
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function::plain(&["levenshteinDistance", "levenshtein"], 2, 2, INT, levenshtein),
    Function::plain(&["soundex"], 1, 1, STRING, |args, arena| Ok(text(&soundex(args[0].text(arena)), arena))),
    // How many of the four signs of both codes are the same.
    Function::plain(&["difference"], 2, 2, INT, |args, arena| {
        let (one, other) = (soundex(args[0].text(arena)), soundex(args[1].text(arena)));
        Ok(Datum::Long(one.bytes().zip(other.bytes()).filter(|(a, b)| a == b).count() as i64))
    }),
    Function::plain(&["prefixes"], 2, 2, STRINGS, |args, arena| ends(args, arena, true)),
    Function::plain(&["prefixesWithPrefix"], 3, 3, STRINGS, |args, arena| {
        if args[..2].iter().any(|arg| arg.is_null()) { Ok(Datum::Null) } else { ends(args, arena, true) }
    })
    .with_nulls(),
    Function::plain(&["suffixes"], 2, 2, STRINGS, |args, arena| ends(args, arena, false)),
    Function::plain(&["suffixesWithSuffix"], 3, 3, STRINGS, |args, arena| {
        if args[..2].iter().any(|arg| arg.is_null()) { Ok(Datum::Null) } else { ends(args, arena, false) }
    })
    .with_nulls(),
    Function::plain(&["uniqueNgrams", "generateUniqueNgrams"], 2, 3, STRINGS, ngrams),
    Function::plain(&["translate"], 3, 3, STRING, |args, arena| Ok(translate(args, arena))),
    Function::plain(&["normalize"], 1, 2, STRING, normalize),
    Function::plain(&["toBytes"], 2, 2, BYTES, |args, arena| {
        let bytes = Charset::named(args[1].text(arena))?.bytes(args[0].text(arena));
        Ok(Datum::Bytes(arena.alloc_slice_copy(&bytes)))
    }),
    Function::plain(&["fromBytes"], 2, 2, STRING, |args, arena| {
        let charset = Charset::named(args[1].text(arena))?;
        Ok(text(&charset.text(args[0].bytes(arena)?), arena))
    }),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::value_text as eval;

    /// The examples of the National Archives' page on the Soundex system.
    #[test]
    fn sounds_are_coded_as_the_archives_do() {
        for (name, code) in [
            ("Washington", "W252"),
            ("Lee", "L000"),
            ("Gutierrez", "G362"),
            ("Pfister", "P236"),
            ("Jackson", "J250"),
            ("Tymczak", "T522"),
            ("Ashcraft", "A261"),
            ("", ""),
        ] {
            assert_eq!(soundex(name), code, "{name}");
        }
    }

    #[test]
    fn values() {
        for (call, expected) in [
            ("levenshteinDistance('kitten', 'sitting')", "3"),
            ("levenshtein('', 'abc')", "3"),
            ("difference('Robert', 'Rupert')", "4"),
            ("prefixes('abc', 2)", r#"["a","ab"]"#),
            ("prefixesWithPrefix('abc', 9, '^')", r#"["^a","^ab","^abc"]"#),
            ("prefixesWithPrefix('ab', 1, NULL)", r#"["a"]"#),
            ("suffixes('abc', 2)", r#"["c","bc"]"#),
            ("suffixesWithSuffix('abc', 2, '$')", r#"["c$","bc$"]"#),
            ("prefixes('', 2)", "[]"),
            ("uniqueNgrams('abab', 2)", r#"["ab","ba"]"#),
            ("uniqueNgrams('aba', 1, 2)", r#"["a","b","ab","ba"]"#),
            ("uniqueNgrams('ab', 3)", "[]"),
            ("translate('banana', 'abn', 'oi')", "iooo"),
            // Unicode's annex 15: the two ways to write an A with a ring, and a ligature.
            ("length(normalize('A\u{30a}'))", "1"),
            ("length(normalize('\u{c5}', 'NFD'))", "2"),
            ("normalize('\u{fb01}', 'NFKC')", "fi"),
            ("fromBytes(toBytes('\u{e4}\u{1f600}', 'UTF-16LE'), 'UTF-16LE')", "\u{e4}\u{1f600}"),
            ("bytesToHex(toBytes('\u{e4}', 'ISO-8859-1'))", "e4"),
            ("bytesToHex(toBytes('\u{e4}', 'US-ASCII'))", "3f"),
            ("fromBytes(hexToBytes('c3a4'), 'UTF-8')", "\u{e4}"),
        ] {
            assert_eq!(eval(call).as_deref(), Ok(expected), "{call}");
        }
        for (call, reason) in [
            ("normalize('x', 'NFX')", "NFC, NFD, NFKC and NFKD are"),
            ("toBytes('x', 'EBCDIC')", "'EBCDIC' is no character set known here"),
            ("prefixes(repeat('a', 100000), 100000)", "too long"),
            ("repeat('a', 9000000000000000000)", "too long"),
            ("repeat('', '-', 9000000000000000000)", "too long"),
            ("suffixes(repeat('a', 100000), 100000)", "too long"),
            ("uniqueNgrams(repeat('a', 100000), 1, 100000)", "too long"),
            ("levenshtein(repeat('a', 100000), repeat('b', 100000))", "too long to be compared"),
        ] {
            let fault = eval(call).expect_err(call);
            assert!(fault.contains(reason), "{call}: {fault}");
        }
    }
}
