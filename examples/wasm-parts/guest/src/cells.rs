//! Values, and the columns that they leave in.

use crate::bindings::decoder::weir::parts::values::{Blobs, Cells, Column, Texts};

/// A value of a field, an argument or a result. Null is not here: it is no value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Single precision.
    Float(f32),
    /// Double precision.
    Double(f64),
    /// Milliseconds since the epoch.
    Timestamp(i64),
    /// A number of any size, in digits.
    Decimal(&'a str),
    /// Text.
    Text(&'a str),
    /// Valid JSON text.
    Json(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A UUID.
    Uuid([u8; 16]),
}

/// An empty column of the kind of a value.
pub(crate) fn column_for(value: Value<'_>, many: bool) -> Column {
    let texts = || Texts { text: String::new(), ends: vec![] };
    let blobs = || Blobs { bytes: vec![], ends: vec![] };
    let cells = match value {
        Value::Bool(_) => Cells::Booleans(vec![]),
        Value::Integer(_) => Cells::Integers(vec![]),
        Value::Float(_) => Cells::Floats(vec![]),
        Value::Double(_) => Cells::Doubles(vec![]),
        Value::Timestamp(_) => Cells::Timestamps(vec![]),
        Value::Decimal(_) => Cells::Decimals(texts()),
        Value::Text(_) => Cells::Strings(texts()),
        Value::Json(_) => Cells::Json(texts()),
        Value::Bytes(_) => Cells::Binary(blobs()),
        Value::Uuid(_) => Cells::Uuids(blobs()),
    };
    Column { many, rows: vec![], cells }
}

fn push_text(texts: &mut Texts, text: &str) {
    texts.text.push_str(text);
    // One column of one call has less than 4 GiB: so has all of a part's memory.
    texts.ends.push(texts.text.len() as u32);
}

fn push_bytes(blobs: &mut Blobs, bytes: &[u8]) {
    blobs.bytes.extend_from_slice(bytes);
    blobs.ends.push(blobs.bytes.len() as u32);
}

/// Appends a value of a row; false where the column holds values of another kind.
pub(crate) fn push(column: &mut Column, row: u32, value: Value<'_>) -> bool {
    match (&mut column.cells, value) {
        (Cells::Booleans(cells), Value::Bool(value)) => cells.push(value),
        (Cells::Integers(cells), Value::Integer(value)) => cells.push(value),
        (Cells::Floats(cells), Value::Float(value)) => cells.push(value),
        (Cells::Doubles(cells), Value::Double(value)) => cells.push(value),
        (Cells::Timestamps(cells), Value::Timestamp(value)) => cells.push(value),
        (Cells::Decimals(cells), Value::Decimal(text))
        | (Cells::Strings(cells), Value::Text(text))
        | (Cells::Json(cells), Value::Json(text)) => push_text(cells, text),
        (Cells::Binary(cells), Value::Bytes(bytes)) => push_bytes(cells, bytes),
        (Cells::Uuids(cells), Value::Uuid(uuid)) => push_bytes(cells, &uuid),
        _ => return false,
    }
    column.rows.push(row);
    true
}

/// Takes back the values of row `from` and of those behind it.
pub(crate) fn take_back(column: &mut Column, from: u32) {
    if column.rows.last().is_none_or(|row| *row < from) {
        return;
    }
    let kept = column.rows.partition_point(|row| *row < from);
    column.rows.truncate(kept);
    fn cut<T>(ends: &mut Vec<u32>, kept: usize, data: &mut T, truncate: fn(&mut T, usize)) {
        ends.truncate(kept);
        truncate(data, ends.last().map_or(0, |end| *end as usize));
    }
    match &mut column.cells {
        Cells::Booleans(cells) => cells.truncate(kept),
        Cells::Integers(cells) | Cells::Timestamps(cells) => cells.truncate(kept),
        Cells::Floats(cells) => cells.truncate(kept),
        Cells::Doubles(cells) => cells.truncate(kept),
        Cells::Decimals(cells) | Cells::Strings(cells) | Cells::Json(cells) => {
            cut(&mut cells.ends, kept, &mut cells.text, String::truncate);
        }
        Cells::Binary(cells) | Cells::Uuids(cells) => cut(&mut cells.ends, kept, &mut cells.bytes, Vec::truncate),
    }
}

/// Value `at` of a column.
pub(crate) fn value(column: &Column, at: usize) -> Value<'_> {
    fn range(ends: &[u32], at: usize) -> std::ops::Range<usize> {
        let start = if at == 0 { 0 } else { ends[at - 1] as usize };
        start..ends[at] as usize
    }
    fn text(texts: &Texts, at: usize) -> &str {
        &texts.text[range(&texts.ends, at)]
    }
    match &column.cells {
        Cells::Booleans(cells) => Value::Bool(cells[at]),
        Cells::Integers(cells) => Value::Integer(cells[at]),
        Cells::Floats(cells) => Value::Float(cells[at]),
        Cells::Doubles(cells) => Value::Double(cells[at]),
        Cells::Timestamps(cells) => Value::Timestamp(cells[at]),
        Cells::Decimals(cells) => Value::Decimal(text(cells, at)),
        Cells::Strings(cells) => Value::Text(text(cells, at)),
        Cells::Json(cells) => Value::Json(text(cells, at)),
        Cells::Binary(cells) => Value::Bytes(&cells.bytes[range(&cells.ends, at)]),
        Cells::Uuids(cells) => {
            let bytes = &cells.bytes[range(&cells.ends, at)];
            Value::Uuid(bytes.try_into().expect("Weir gives 16 bytes"))
        }
    }
}
