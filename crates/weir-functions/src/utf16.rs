//! Positions and lengths of texts in UTF-16 units, as Java counts them.

use std::borrow::Cow;

/// How many units a text has.
#[must_use]
pub fn units(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(char::len_utf16).sum() }
}

/// The units `start..end` of a text; half of a character becomes the replacement character.
#[must_use]
pub fn part(text: &str, start: usize, end: usize) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text.get(start..end.min(text.len())).unwrap_or_default());
    }
    // Where each unit is a character of its own, or the ends fall between two, the part lies in the text.
    let (from, to) = (byte_of(text, start), byte_of(text, end));
    if let (Some(from), Some(to)) = (from, to) {
        return Cow::Borrowed(text.get(from..to).unwrap_or_default());
    }
    let all: Vec<u16> = text.encode_utf16().collect();
    Cow::Owned(String::from_utf16_lossy(all.get(start..end.min(all.len())).unwrap_or_default()))
}

/// The part of a text from `start` to `end`, which is not in it, as Java's StringUtils cut: what is below 0 counts from the
/// end of the text. Without an end all that follows.
#[must_use]
pub fn substring(text: &str, start: i64, end: Option<i64>) -> Cow<'_, str> {
    if start >= 0 && end.is_none_or(|end| end >= 0) {
        let end = end.map_or(usize::MAX, |end| usize::try_from(end).unwrap_or(usize::MAX));
        return part(text, usize::try_from(start).unwrap_or(usize::MAX), end);
    }
    let length = units(text);
    let from_end = |at: i64| match usize::try_from(at) {
        Ok(at) => at,
        Err(_) => length.saturating_sub(usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    part(text, from_end(start), end.map_or(usize::MAX, from_end))
}

/// Where a unit begins; `None` within a character. Behind the end there is the end.
fn byte_of(text: &str, unit: usize) -> Option<usize> {
    let mut seen = 0;
    for (at, letter) in text.char_indices() {
        if seen >= unit {
            return (seen == unit).then_some(at);
        }
        seen += letter.len_utf16();
    }
    (seen <= unit).then_some(text.len())
}

/// What Java trims: blanks and control characters.
#[must_use]
pub fn is_blank(letter: char) -> bool {
    letter <= '\u{20}'
}

/// Where the occurrence `nth` (from 0) of a text starts.
#[must_use]
pub fn position(text: &str, find: &str, nth: usize) -> Option<usize> {
    text.match_indices(find).nth(nth).map(|(at, _)| units(&text[..at]))
}

/// Where the last occurrence of a text starts that does not start behind `latest`, as Java's `lastIndexOf`.
#[must_use]
pub fn last_position(text: &str, find: &str, latest: i64) -> Option<usize> {
    let latest = usize::try_from(latest).ok()?;
    // Within a character none starts.
    let from = byte_of(text, latest).or_else(|| byte_of(text, latest.saturating_sub(1)))?;
    let end = text.floor_char_boundary(from.saturating_add(find.len()));
    text[..end].rfind(find).map(|at| units(&text[..at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_position_is_javas() {
        let last = |latest| last_position("banana", "an", latest);
        assert_eq!([-1, 0, 1, 2, 3, 9, i64::MAX].map(last), [None, None, Some(1), Some(1), Some(3), Some(3), Some(3)]);
        assert_eq!((last_position("ab", "", 9), last_position("ab", "", 1)), (Some(2), Some(1)));
        let last = |latest| last_position("n\u{1F600}n", "n", latest);
        assert_eq!([0, 1, 2, 3].map(last), [Some(0), Some(0), Some(0), Some(3)]);
    }

    #[test]
    fn parts_are_counted_in_units() {
        assert_eq!(part("hello", 1, 3), "el");
        assert_eq!((substring("hello", -3, None), substring("hello", 1, Some(-2))), ("llo".into(), "el".into()));
        assert_eq!((substring("hello", -9, Some(2)), substring("hello", 3, Some(-9))), ("he".into(), "".into()));
        assert_eq!((part("hello", 9, usize::MAX), part("hello", 3, 1)), ("".into(), "".into()));
        assert_eq!(part("a\u{1F600}b", 3, usize::MAX), "b");
        assert_eq!(part("a\u{1F600}b", 1, 2), "\u{fffd}");
        assert_eq!(part("\u{e4}\u{f6}\u{fc}", 1, 2), "\u{f6}");
        assert_eq!((units("a\u{1F600}b"), units("\u{e4}")), (4, 1));
        assert_eq!(
            (position("banana", "an", 1), position("\u{1F600}n", "n", 0), position("b", "x", 0)),
            (Some(3), Some(2), None)
        );
    }
}
