//! Columns that cross the border, looked into: what comes from a part is not believed before.

use crate::world::{Blobs, Cells, Column, Texts};
use std::ops::Range;

/// A value of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell<'a> {
    Bool(bool),
    Integer(i64),
    Float(f32),
    Double(f64),
    Timestamp(i64),
    Decimal(&'a str),
    Text(&'a str),
    Json(&'a str),
    Bytes(&'a [u8]),
    Uuid([u8; 16]),
}

pub(crate) fn texts() -> Texts {
    Texts { text: String::new(), ends: vec![] }
}

pub(crate) fn blobs() -> Blobs {
    Blobs { bytes: vec![], ends: vec![] }
}

/// How many values there are.
fn count(cells: &Cells) -> usize {
    match cells {
        Cells::Booleans(cells) => cells.len(),
        Cells::Integers(cells) | Cells::Timestamps(cells) => cells.len(),
        Cells::Floats(cells) => cells.len(),
        Cells::Doubles(cells) => cells.len(),
        Cells::Decimals(cells) | Cells::Strings(cells) | Cells::Json(cells) => cells.ends.len(),
        Cells::Binary(cells) | Cells::Uuids(cells) => cells.ends.len(),
    }
}

/// Where a text or some bytes end.
fn ends(cells: &Cells) -> Option<(&[u32], usize)> {
    match cells {
        Cells::Decimals(cells) | Cells::Strings(cells) | Cells::Json(cells) => Some((&cells.ends, cells.text.len())),
        Cells::Binary(cells) | Cells::Uuids(cells) => Some((&cells.ends, cells.bytes.len())),
        _ => None,
    }
}

/// Looks whether a column of this many rows is one.
pub(crate) fn check(column: &Column, rows: usize) -> Result<(), String> {
    let count = count(&column.cells);
    if column.rows.len() != count {
        return Err(format!("gives {count} values for {} rows", column.rows.len()));
    }
    if !column.rows.is_sorted() || column.rows.last().is_some_and(|row| *row as usize >= rows) {
        return Err(format!("gives values of rows that do not ascend, or lie behind the last of {rows}"));
    }
    if let Some((ends, length)) = ends(&column.cells)
        && (!ends.is_sorted() || ends.last().map_or(0, |end| *end as usize) != length)
    {
        return Err("gives ends of texts or bytes that do not ascend, or do not end where they end".to_owned());
    }
    Ok(())
}

fn range(ends: &[u32], at: usize) -> Range<usize> {
    let start = if at == 0 { 0 } else { ends[at - 1] as usize };
    start..ends[at] as usize
}

fn text(texts: &Texts, at: usize) -> Result<&str, String> {
    texts.text.get(range(&texts.ends, at)).ok_or_else(|| "gives a text that ends within a character".to_owned())
}

/// Value `at` of a column that was checked.
pub(crate) fn cell(cells: &Cells, at: usize) -> Result<Cell<'_>, String> {
    Ok(match cells {
        Cells::Booleans(cells) => Cell::Bool(cells[at]),
        Cells::Integers(cells) => Cell::Integer(cells[at]),
        Cells::Floats(cells) => Cell::Float(cells[at]),
        Cells::Doubles(cells) => Cell::Double(cells[at]),
        Cells::Timestamps(cells) => Cell::Timestamp(cells[at]),
        Cells::Strings(cells) => Cell::Text(text(cells, at)?),
        Cells::Decimals(cells) => {
            let text = text(cells, at)?;
            if !is_decimal(text) {
                return Err(format!("gives a decimal that is none: '{}'", beginning(text)));
            }
            Cell::Decimal(text)
        }
        Cells::Json(cells) => {
            let text = text(cells, at)?;
            if let Err(error) = serde_json::from_str::<&serde_json::value::RawValue>(text) {
                return Err(format!("gives JSON that is none: {error}"));
            }
            Cell::Json(text)
        }
        Cells::Binary(cells) => Cell::Bytes(&cells.bytes[range(&cells.ends, at)]),
        Cells::Uuids(cells) => {
            let bytes = &cells.bytes[range(&cells.ends, at)];
            Cell::Uuid(bytes.try_into().map_err(|_| format!("gives a UUID of {} bytes", bytes.len()))?)
        }
    })
}

/// Characters of a bad value that are repeated.
const REPEATED: usize = 80;

fn beginning(text: &str) -> String {
    text.chars().take(REPEATED).collect()
}

/// An optional sign, digits, an optional fraction, an optional exponent.
fn is_decimal(text: &str) -> bool {
    fn digits(text: &str) -> Option<&str> {
        let rest = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
        (rest.len() < text.len()).then_some(rest)
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let Some(rest) = digits(unsigned) else { return false };
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => match digits(fraction) {
            Some(rest) => rest,
            None => return false,
        },
        None => rest,
    };
    match rest.strip_prefix(['e', 'E']) {
        Some(exponent) => digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)) == Some(""),
        None => rest.is_empty(),
    }
}

fn push_text(texts: &mut Texts, text: &str) -> bool {
    texts.text.push_str(text);
    u32::try_from(texts.text.len()).map(|end| texts.ends.push(end)).is_ok()
}

/// Appends bytes; false where there would be more than a part can have.
pub(crate) fn push_bytes(blobs: &mut Blobs, bytes: &[u8]) -> bool {
    blobs.bytes.extend_from_slice(bytes);
    u32::try_from(blobs.bytes.len()).map(|end| blobs.ends.push(end)).is_ok()
}

/// Cells of the kind of a value, none yet.
fn kind_of(cell: Cell<'_>) -> Cells {
    match cell {
        Cell::Bool(_) => Cells::Booleans(vec![]),
        Cell::Integer(_) => Cells::Integers(vec![]),
        Cell::Float(_) => Cells::Floats(vec![]),
        Cell::Double(_) => Cells::Doubles(vec![]),
        Cell::Timestamp(_) => Cells::Timestamps(vec![]),
        Cell::Decimal(_) => Cells::Decimals(texts()),
        Cell::Text(_) => Cells::Strings(texts()),
        Cell::Json(_) => Cells::Json(texts()),
        Cell::Bytes(_) => Cells::Binary(blobs()),
        Cell::Uuid(_) => Cells::Uuids(blobs()),
    }
}

fn push(cells: &mut Cells, cell: Cell<'_>) -> bool {
    match (cells, cell) {
        (Cells::Booleans(cells), Cell::Bool(value)) => cells.push(value),
        (Cells::Integers(cells), Cell::Integer(value)) | (Cells::Timestamps(cells), Cell::Timestamp(value)) => {
            cells.push(value);
        }
        (Cells::Floats(cells), Cell::Float(value)) => cells.push(value),
        (Cells::Doubles(cells), Cell::Double(value)) => cells.push(value),
        // Numbers of two kinds are real numbers.
        (Cells::Doubles(cells), Cell::Integer(value)) => cells.push(value as f64),
        (Cells::Doubles(cells), Cell::Float(value)) => cells.push(value.into()),
        (Cells::Decimals(cells), Cell::Decimal(text))
        | (Cells::Strings(cells), Cell::Text(text))
        | (Cells::Json(cells), Cell::Json(text)) => return push_text(cells, text),
        (Cells::Binary(cells), Cell::Bytes(bytes)) => return push_bytes(cells, bytes),
        (Cells::Uuids(cells), Cell::Uuid(uuid)) => return push_bytes(cells, &uuid),
        _ => return false,
    }
    true
}

/// A column of these values, each with its row: of one kind, or numbers of several.
pub(crate) fn column(values: &[(u32, Cell<'_>)], many: bool) -> Result<Column, String> {
    let number = |cell: &Cell<'_>| matches!(cell, Cell::Integer(_) | Cell::Float(_) | Cell::Double(_));
    let mut cells = match values.first() {
        None => Cells::Booleans(vec![]),
        Some((_, first)) => {
            let same = |cell: &Cell<'_>| std::mem::discriminant(cell) == std::mem::discriminant(first);
            let mixed = !values.iter().all(|(_, cell)| same(cell));
            if mixed && values.iter().all(|(_, cell)| number(cell)) { Cells::Doubles(vec![]) } else { kind_of(*first) }
        }
    };
    let mut rows = Vec::with_capacity(values.len());
    for (row, cell) in values {
        if !push(&mut cells, *cell) {
            return Err("takes values of one kind, or less of them".to_owned());
        }
        rows.push(*row);
    }
    Ok(Column { many, rows, cells })
}

/// The values of each row, in order, of a column that was checked.
pub(crate) fn of_row(column: &Column, next: &mut usize, row: u32) -> Range<usize> {
    let start = *next;
    while column.rows.get(*next) == Some(&row) {
        *next += 1;
    }
    start..*next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_told_from_what_is_none() {
        for good in ["0", "-1", "+12.50", "1e40", "1.5E-3"] {
            assert!(is_decimal(good), "{good}");
        }
        for bad in ["", "-", "1.", ".5", "1e", "1e+", "ten", "1 ", "0x1", "1e5e5", "NaN"] {
            assert!(!is_decimal(bad), "{bad}");
        }
    }

    #[test]
    fn a_bent_column_is_refused() {
        let column = |rows: &[u32], text: &str, ends: &[u32]| Column {
            many: false,
            rows: rows.to_vec(),
            cells: Cells::Strings(Texts { text: text.to_owned(), ends: ends.to_vec() }),
        };
        assert_eq!(check(&column(&[0, 2], "abc", &[1, 3]), 3), Ok(()));
        for (bent, what) in [
            (column(&[0], "abc", &[1, 3]), "2 values for 1 rows"),
            (column(&[2, 0], "abc", &[1, 3]), "do not ascend"),
            (column(&[0, 3], "abc", &[1, 3]), "behind the last of 3"),
            (column(&[0, 2], "abc", &[1, 2]), "do not end where"),
            (column(&[0, 2], "abc", &[4, 3]), "do not ascend"),
            (column(&[0, 2], "abc", &[1, 4]), "do not end where"),
            (column(&[], "abc", &[]), "do not end where"),
        ] {
            let error = check(&bent, 3).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
        let within = column(&[0, 1], "ä", &[1, 2]);
        assert_eq!(check(&within, 2), Ok(()));
        assert!(cell(&within.cells, 0).unwrap_err().contains("within a character"));
    }

    #[test]
    fn bent_values_are_refused() {
        let one = |text: &str| Texts { text: text.to_owned(), ends: vec![text.len() as u32] };
        assert_eq!(cell(&Cells::Json(one("{\"a\": 1}")), 0), Ok(Cell::Json("{\"a\": 1}")));
        assert!(cell(&Cells::Json(one("{a: 1}")), 0).unwrap_err().contains("JSON that is none"));
        assert!(cell(&Cells::Decimals(one("1.2.3")), 0).unwrap_err().contains("'1.2.3'"));
        let short = Blobs { bytes: vec![0; 15], ends: vec![15] };
        assert!(cell(&Cells::Uuids(short), 0).unwrap_err().contains("15 bytes"));
    }

    #[test]
    fn numbers_of_two_kinds_become_real_ones() {
        let column = super::column(&[(0, Cell::Integer(1)), (0, Cell::Double(1.5))], true).unwrap();
        assert_eq!(column.rows, [0, 0]);
        assert!(matches!(&column.cells, Cells::Doubles(cells) if cells[..] == [1.0, 1.5]));
        assert!(super::column(&[(0, Cell::Integer(1)), (0, Cell::Text("x"))], true).is_err());
    }
}
