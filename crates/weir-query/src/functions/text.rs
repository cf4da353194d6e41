//! Text functions whose rules differ from DataFusion's: positions from 0, lengths in UTF-16 units, padding that never cuts.

use super::{
    bounded::{check_batch, check_value},
    convert::{shared, shown as cut},
    fun::{Args, Fun, Gives},
};
use crate::stop;
use arrow::array::{Array, ArrayRef, Int32Array, StringViewArray};
use datafusion::common::{Result, exec_err};
use weir_functions::utf16::{self, is_blank};
use weir_types::DataType;

const TEXT: Gives = Gives::One(DataType::String);
const INT: Gives = Gives::One(DataType::Int);

/// All of the family.
pub(super) const FUNS: [Fun; 13] = [
    Fun::new("w_substr", (2, 3), TEXT, |args| {
        let (texts, starts) = (args.texts(0)?, args.longs(1)?);
        let ends = if args.len() > 2 { Some(args.longs(2)?) } else { None };
        let part = |row: usize, text: Option<&str>| {
            let start = opt(&starts, row)?;
            let end = match &ends {
                Some(ends) => opt(ends, row)?,
                None => -1,
            };
            Some(between(text?, start, end))
        };
        Ok(shared(StringViewArray::from_iter(texts.iter().enumerate().map(|(row, text)| part(row, text)))))
    }),
    // The first letter is 1, and what follows is how many of them.
    Fun::new("w_substring", (2, 3), TEXT, |args| {
        let (texts, starts) = (args.texts(0)?, args.longs(1)?);
        let lengths = if args.len() > 2 { Some(args.longs(2)?) } else { None };
        let part = |row: usize, text: Option<&str>| {
            let start = opt(&starts, row)?.saturating_sub(1);
            let end = match &lengths {
                // Before the first letter there is nothing, which counts all the same.
                Some(lengths) => start.saturating_add(opt(lengths, row)?.max(0)).max(0),
                None => -1,
            };
            Some(between(text?, start.max(0), end))
        };
        Ok(shared(StringViewArray::from_iter(texts.iter().enumerate().map(|(row, text)| part(row, text)))))
    }),
    Fun::new("w_length", (1, 1), INT, |args| {
        Ok(shared(args.texts(0)?.iter().map(|text| text.map(units)).collect::<Int32Array>()))
    }),
    Fun::new("w_strpos", (2, 3), INT, |args| {
        let nth = if args.len() > 2 { args.constant_long(2, "the instance")? } else { 1 };
        two(args, |text, find| position(text, find, nth))
    }),
    Fun::new("w_strrpos", (2, 3), INT, |args| {
        let last = |text: &str, find: &str, latest| utf16::last_position(text, find, latest).map_or(-1, |at| at as i32);
        if args.len() == 2 {
            return two(args, |text, find| last(text, find, i64::MAX));
        }
        let (texts, finds, latest) = (args.texts(0)?, args.texts(1)?, args.longs(2)?);
        let all = texts.iter().zip(&finds).zip(&latest);
        Ok(shared(all.map(|((text, find), latest)| Some(last(text?, find?, latest?))).collect::<Int32Array>()))
    }),
    Fun::new("w_lpad", (3, 3), TEXT, |args| pad(args, "lpad", |text, padding| format!("{padding}{text}"))),
    Fun::new("w_rpad", (3, 3), TEXT, |args| pad(args, "rpad", |text, padding| format!("{text}{padding}"))),
    Fun::new("w_join", (2, usize::MAX), TEXT, joined),
    // (text), or (ends, letters, text).
    Fun::new("w_trim", (1, 3), TEXT, |args| match args.len() {
        1 => map(args, |text| text.trim_matches(is_blank).to_owned()),
        3 => trimmed(args),
        count => exec_err!("function trim takes 1 or 3 arguments, not {count}"),
    }),
    Fun::new("w_ltrim", (1, 1), TEXT, |args| map(args, |text| text.trim_start_matches(is_blank).to_owned())),
    Fun::new("w_rtrim", (1, 1), TEXT, |args| map(args, |text| text.trim_end_matches(is_blank).to_owned())),
    Fun::new("w_levenshtein", (2, 2), INT, distances),
    Fun::new("w_initcap", (1, 1), TEXT, |args| {
        map(args, |text| {
            let mut start = true;
            let mut change = |letter: char| {
                let changed = if start { letter.to_uppercase().to_string() } else { letter.to_lowercase().to_string() };
                start = letter.is_whitespace();
                changed
            };
            text.chars().map(&mut change).collect()
        })
    }),
];

fn opt(numbers: &arrow::array::Int64Array, row: usize) -> Option<i64> {
    numbers.is_valid(row).then(|| numbers.value(row))
}

fn units(text: &str) -> i32 {
    i32::try_from(utf16::units(text)).unwrap_or(i32::MAX)
}

/// From position `start` (0 is the first) up to but without `end`; -1 is the end of the text.
fn between(text: &str, start: i64, end: i64) -> String {
    utf16::substring(text, start, (end != -1).then_some(end)).into_owned()
}

/// Where the nth occurrence (from 1) starts, from 0; -1 where there is none.
fn position(text: &str, find: &str, nth: i64) -> i32 {
    let before = usize::try_from(nth).ok().and_then(|nth| nth.checked_sub(1));
    let found = before.and_then(|before| utf16::position(text, find, before));
    found.map_or(-1, |at| i32::try_from(at).unwrap_or(i32::MAX))
}

fn map(args: &Args, change: fn(&str) -> String) -> Result<ArrayRef> {
    Ok(shared(StringViewArray::from_iter(args.texts(0)?.iter().map(|text| text.map(change)))))
}

/// A text without those of some letters that stand at an end of it, or at both.
fn trimmed(args: &Args) -> Result<ArrayRef> {
    let ends = args.constant_text(0, "the ends")?;
    let (leading, trailing) = match ends.to_ascii_uppercase().as_str() {
        "BOTH" => (true, true),
        "LEADING" => (true, false),
        "TRAILING" => (false, true),
        _ => return exec_err!("'{}' in trim is no end of a text: 'BOTH', 'LEADING' and 'TRAILING' are", cut(&ends)),
    };
    let (letters, texts) = (args.texts(1)?, args.texts(2)?);
    let rows = letters.iter().zip(&texts).map(|(letters, text)| {
        let (letters, mut text) = (letters?, text?);
        if leading {
            text = text.trim_start_matches(|letter| letters.contains(letter));
        }
        if trailing {
            text = text.trim_end_matches(|letter| letters.contains(letter));
        }
        Some(text)
    });
    Ok(shared(rows.collect::<StringViewArray>()))
}

fn two(args: &Args, call: impl Fn(&str, &str) -> i32) -> Result<ArrayRef> {
    let (left, right) = (args.texts(0)?, args.texts(1)?);
    Ok(shared(left.iter().zip(&right).map(|(left, right)| Some(call(left?, right?))).collect::<Int32Array>()))
}

/// `join` takes the text and what fills it up.
fn pad(args: &Args, name: &str, join: fn(&str, &str) -> String) -> Result<ArrayRef> {
    let (texts, lengths, fillers) = (args.texts(0)?, args.longs(1)?, args.texts(2)?);
    let mut total = 0;
    let padded = texts.iter().zip(&lengths).zip(&fillers).map(|((text, length), filler)| {
        let (Some(text), Some(length), Some(filler)) = (text, length, filler) else { return Ok(None) };
        let missing = usize::try_from(length).unwrap_or(0).saturating_sub(text.chars().count());
        // No letter is longer than the whole filler, and none than four bytes.
        let most = text.len().saturating_add(missing.saturating_mul(filler.len().min(4)));
        check_value(name, most)?;
        total += most;
        check_batch(name, total)?;
        Ok(Some(join(text, &filler.chars().cycle().take(missing).collect::<String>())))
    });
    Ok(shared(padded.collect::<Result<StringViewArray>>()?))
}

/// The `||` of SQL: null where one of the texts is.
fn joined(args: &Args) -> Result<ArrayRef> {
    let parts = (0..args.len()).map(|at| args.texts(at)).collect::<Result<Vec<_>>>()?;
    let mut total = 0;
    let texts = (0..args.rows()).map(|row| {
        if parts.iter().any(|part| part.is_null(row)) {
            return Ok(None);
        }
        let bytes = parts.iter().map(|part| part.value(row).len()).sum();
        check_value("||", bytes)?;
        total += bytes;
        check_batch("||", total)?;
        let mut text = String::with_capacity(bytes);
        parts.iter().for_each(|part| text.push_str(part.value(row)));
        Ok(Some(text))
    });
    Ok(shared(texts.collect::<Result<StringViewArray>>()?))
}

/// Cells of a table of distances between two looks at the deadline: some milliseconds of work.
const CELLS_A_LOOK: usize = 1 << 20;

/// How many UTF-16 units have to be put in, left out or replaced. Takes the product of the lengths, so that a look at the
/// deadline is needed within one row.
fn distances(args: &Args) -> Result<ArrayRef> {
    let (left, right) = (args.texts(0)?, args.texts(1)?);
    let (mut one, mut other, mut above) = (vec![], vec![], vec![]);
    let mut cells = 0;
    let distances = left.iter().zip(&right).map(|(left, right)| {
        let (Some(left), Some(right)) = (left, right) else { return Ok(None) };
        one.clear();
        one.extend(left.encode_utf16());
        other.clear();
        other.extend(right.encode_utf16());
        above.clear();
        above.extend(0..=i32::try_from(other.len()).unwrap_or(i32::MAX));
        for (row, letter) in (1_i32..).zip(&one) {
            cells += other.len();
            if cells >= CELLS_A_LOOK {
                stop::look_here()?;
                cells = 0;
            }
            let mut diagonal = std::mem::replace(&mut above[0], row);
            for (at, with) in other.iter().enumerate() {
                let replaced = diagonal + i32::from(letter != with);
                diagonal = above[at + 1];
                above[at + 1] = replaced.min(diagonal + 1).min(above[at] + 1);
            }
        }
        Ok(above.last().copied())
    });
    Ok(shared(distances.collect::<Result<Int32Array>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_utf16_units_from_zero() {
        assert_eq!(between("hello", 1, 3), "el");
        assert_eq!(between("hello", 1, -1), "ello");
        assert_eq!(between("hello", 9, -1), "");
        assert_eq!(between("a\u{1F600}b", 3, -1), "b");
        assert_eq!((position("banana", "an", 1), position("banana", "an", 2), position("banana", "x", 1)), (1, 3, -1));
        assert_eq!((position("banana", "an", 0), position("banana", "an", i64::MIN)), (-1, -1));
    }
}
