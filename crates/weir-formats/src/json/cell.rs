//! One JSON value into one cell: the scalar ways that nearly every value takes, and the general way for the rest.

use super::{
    scan::{Number, Scan, Step, ascii},
    text::unescape,
};
use crate::coerce::{self, Fit, Source, Unfit};
use weir_types::{Column, ColumnData, DataType};

/// What became of a value that was read. The cell is complete only for `Stored` and `Altered`; for the others the
/// caller cuts the column back and pushes a null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cell {
    Stored,
    Altered,
    Null,
    Unfit(Unfit),
}

pub(crate) const SEVERAL: Unfit = Unfit("one value, not several values into a single-value column");

/// Buffers that live as long as the decoder.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    text: Vec<u8>,
    out: Vec<u8>,
    /// Values found in an array or object, as positions in the record.
    leaves: Vec<(usize, usize)>,
}

impl Scratch {
    /// Reads the value under the cursor into a raw column.
    pub(crate) fn raw(&mut self, scan: &mut Scan<'_>, column: &mut Column) -> Step<Cell> {
        let found = crate::raw::fill(scan, column, &mut self.text, &mut self.out)?;
        Ok(if found { Cell::Stored } else { Cell::Null })
    }
}

/// Reads the value under the cursor (after white space) into `column`. `Err`: the record is no JSON.
#[inline]
pub(crate) fn fill(scan: &mut Scan<'_>, data_type: DataType, column: &mut Column, scratch: &mut Scratch) -> Step<Cell> {
    scan.skip_space();
    let first = scan.peek();
    if column.ends.is_some() {
        return fill_several(scan, data_type, column, scratch);
    }
    // The common event is made of these four; everything else goes through the matrix.
    match (first, &mut column.data, data_type) {
        (Some(b'"'), ColumnData::Str(out), DataType::String) => {
            let raw = scan.string()?;
            if !raw.escaped {
                out.push(raw.bytes);
                return Ok(Cell::Stored);
            }
            scratch.text.clear();
            let replaced = unescape(raw.bytes, &mut scratch.text);
            out.push(&scratch.text);
            Ok(if replaced { Cell::Altered } else { Cell::Stored })
        }
        (Some(b'-' | b'0'..=b'9'), ColumnData::Long(out), DataType::Long | DataType::Timestamp) => match scan
            .number()?
        {
            (Number::Integer(value), _) => {
                out.push(value);
                Ok(Cell::Stored)
            }
            (number, raw) => Ok(push(data_type, source_of(data_type, number, raw), &mut column.data, &mut scratch.out)),
        },
        (Some(b'-' | b'0'..=b'9'), ColumnData::Int(out), DataType::Int) => {
            let (number, raw) = scan.number()?;
            if let Number::Integer(value) = number
                && let Ok(value) = i32::try_from(value)
            {
                out.push(value);
                return Ok(Cell::Stored);
            }
            Ok(push(data_type, source_of(data_type, number, raw), &mut column.data, &mut scratch.out))
        }
        (Some(b'-' | b'0'..=b'9'), ColumnData::Double(out), _) => match scan.number()? {
            (Number::Double(value), _) => {
                out.push(value + 0.0);
                Ok(Cell::Stored)
            }
            (number, raw) => Ok(push(data_type, source_of(data_type, number, raw), &mut column.data, &mut scratch.out)),
        },
        _ => fill_one(scan, data_type, column, scratch),
    }
}

fn fill_one(scan: &mut Scan<'_>, data_type: DataType, column: &mut Column, scratch: &mut Scratch) -> Step<Cell> {
    if matches!(data_type, DataType::Json | DataType::Map) && scan.peek() != Some(b'"') && scan.peek() != Some(b'n') {
        let raw = scan.skip_value(1)?;
        return Ok(push(data_type, Source::Json(text(raw)), &mut column.data, &mut scratch.out));
    }
    match scan.peek() {
        Some(b'{' | b'[') => {
            let start = scan.at;
            scan.skip_value(1)?;
            Ok(nested(scan.bytes, (start, scan.at), data_type, column, scratch))
        }
        _ => scalar(scan, data_type, &mut column.data, scratch),
    }
}

/// Arrays element by element; an array that holds arrays or objects, and any object, goes the general way.
fn fill_several(scan: &mut Scan<'_>, data_type: DataType, column: &mut Column, scratch: &mut Scratch) -> Step<Cell> {
    let (start, rows) = (scan.at, column.rows());
    let mut worst = Cell::Stored;
    match scan.peek() {
        Some(b'[') => {
            scan.at += 1;
            scan.skip_space();
            let mut first = true;
            while scan.peek() != Some(b']') || !first {
                if let Some(b'{' | b'[') = scan.peek() {
                    column.truncate(rows);
                    scan.at = start;
                    scan.skip_value(1)?;
                    return Ok(nested(scan.bytes, (start, scan.at), data_type, column, scratch));
                }
                worst = join(worst, scalar(scan, data_type, &mut column.data, scratch)?);
                scan.skip_space();
                match scan.peek() {
                    Some(b',') => scan.at += 1,
                    Some(b']') => break,
                    _ => return scan.broken("a comma or a closing bracket is expected"),
                }
                scan.skip_space();
                first = false;
            }
            scan.at += 1;
        }
        Some(b'{') => {
            scan.skip_value(1)?;
            return Ok(nested(scan.bytes, (start, scan.at), data_type, column, scratch));
        }
        _ => worst = join(worst, scalar(scan, data_type, &mut column.data, scratch)?),
    }
    Ok(end_row(column, worst))
}

/// Ends a row of values that were pushed; a row without any is null.
fn end_row(column: &mut Column, cell: Cell) -> Cell {
    if let Cell::Unfit(_) = cell {
        return cell;
    }
    let pushed = column.data.len();
    match &mut column.ends {
        Some(ends) if ends.last().is_some_and(|end| *end as usize == pushed) => Cell::Null,
        Some(_) => {
            column.end_row();
            cell
        }
        None => cell,
    }
}

/// What a row is after one more of its elements: a null element is simply not there.
fn join(row: Cell, element: Cell) -> Cell {
    match (row, element) {
        (Cell::Unfit(_), _) | (_, Cell::Null | Cell::Stored) => row,
        (_, element) => element,
    }
}

/// Reads and checks one value that is neither array nor object.
fn scalar(scan: &mut Scan<'_>, data_type: DataType, data: &mut ColumnData, scratch: &mut Scratch) -> Step<Cell> {
    match scan.peek() {
        Some(b'"') => {
            let raw = scan.string()?;
            if !raw.escaped {
                return Ok(push(data_type, Source::Text(text(raw.bytes)), data, &mut scratch.out));
            }
            scratch.text.clear();
            let replaced = unescape(raw.bytes, &mut scratch.text);
            let cell = push(data_type, Source::Text(text(&scratch.text)), data, &mut scratch.out);
            Ok(if replaced && cell == Cell::Stored { Cell::Altered } else { cell })
        }
        Some(b'-' | b'0'..=b'9') => {
            let (number, raw) = scan.number()?;
            Ok(push(data_type, source_of(data_type, number, raw), data, &mut scratch.out))
        }
        Some(b't') => {
            scan.literal(b"true")?;
            Ok(push(data_type, Source::Bool(true), data, &mut scratch.out))
        }
        Some(b'f') => {
            scan.literal(b"false")?;
            Ok(push(data_type, Source::Bool(false), data, &mut scratch.out))
        }
        Some(b'n') => scan.literal(b"null").map(|()| Cell::Null),
        _ => scan.broken("a value is expected"),
    }
}

/// A number as the matrix sees it: JSON text keeps its digits, so does a decimal for BIG_DECIMAL.
fn source_of<'a>(data_type: DataType, number: Number, raw: &'a [u8]) -> Source<'a> {
    match (data_type, number) {
        (DataType::Json, _) => Source::Json(ascii(raw)),
        (_, Number::Integer(value)) => Source::Integer(value),
        (DataType::BigDecimal, Number::Double(_)) | (_, Number::Big) => Source::Decimal(ascii(raw)),
        (_, Number::Double(value)) => Source::Double(value),
    }
}

fn push(data_type: DataType, source: Source<'_>, data: &mut ColumnData, out: &mut Vec<u8>) -> Cell {
    match coerce::push(data_type, source, data, out) {
        Ok(Fit::Stored) => Cell::Stored,
        Ok(Fit::Altered) => Cell::Altered,
        Ok(Fit::Null) => Cell::Null,
        Err(unfit) => Cell::Unfit(unfit),
    }
}

/// An array or object (checked, at `span` of the record) into a cell: nothing in it is null, one value stands for
/// itself, several are the elements of a multi-value cell. An object in a STRING column is its JSON text.
fn nested(
    record: &[u8],
    span: (usize, usize),
    data_type: DataType,
    column: &mut Column,
    scratch: &mut Scratch,
) -> Cell {
    let single = column.ends.is_none();
    let mut leaves = std::mem::take(&mut scratch.leaves);
    leaves.clear();
    let flat = flatten(record, span, single, data_type == DataType::String, &mut leaves);
    let mut row = Cell::Stored;
    let mut stored = 0;
    for (start, end) in leaves.iter().copied().take_while(|_| flat.is_ok()) {
        let mut scan = Scan { bytes: &record[..end], at: start };
        let cell = match record[start] {
            b'{' => push(data_type, Source::Json(text(&record[start..end])), &mut column.data, &mut scratch.out),
            _ => scalar(&mut scan, data_type, &mut column.data, scratch).unwrap_or(Cell::Null),
        };
        stored += usize::from(matches!(cell, Cell::Stored | Cell::Altered));
        row = join(row, cell);
    }
    scratch.leaves = leaves;
    match (flat, row) {
        (Err(unfit), _) => Cell::Unfit(unfit),
        (_, Cell::Unfit(_)) => row,
        _ if stored == 0 => Cell::Null,
        _ => end_row(column, row),
    }
}

/// Collects the values of an array or object. Recursion is bounded by the nesting that the scan let through.
fn flatten(
    record: &[u8],
    (start, end): (usize, usize),
    single: bool,
    objects_are_text: bool,
    leaves: &mut Vec<(usize, usize)>,
) -> Result<(), Unfit> {
    let open = record[start];
    let found = leaves.len();
    match open {
        b'[' | b'{' => {}
        b'n' => return Ok(()),
        _ => {
            leaves.push((start, end));
            return Ok(());
        }
    }
    let count = members(record, (start, end), |_| {});
    if open == b'{' && objects_are_text {
        if count > 0 {
            leaves.push((start, end));
        }
        return Ok(());
    }
    let (single_below, mut outcome) = (single || count > 1, Ok(()));
    members(record, (start, end), |member| {
        if outcome.is_ok() {
            outcome = flatten(record, member, single_below, objects_are_text, leaves);
        }
    });
    outcome?;
    if single && leaves.len() > found + 1 { Err(SEVERAL) } else { Ok(()) }
}

/// Calls `each` with the position of every element or member value of a checked array or object; returns how many.
fn members(record: &[u8], (start, end): (usize, usize), mut each: impl FnMut((usize, usize))) -> usize {
    let mut scan = Scan { bytes: &record[..end], at: start + 1 };
    let mut count = 0;
    loop {
        scan.skip_space();
        if let None | Some(b']' | b'}') = scan.peek() {
            return count;
        }
        if scan.peek() == Some(b',') {
            scan.at += 1;
        }
        if record[start] == b'{' && scan.key().is_err() {
            return count;
        }
        scan.skip_space();
        let from = scan.at;
        if scan.skip_value(1).is_err() {
            return count;
        }
        each((from, scan.at));
        count += 1;
    }
}

/// Part of a record, cut at token ends, as text. The record was found to be UTF-8 before it was read.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the record is UTF-8 and tokens end at ASCII characters")
}
