//! A batch of rows as typed columns: what decoders fill, stages change and a consuming segment appends.
//!
//! One allocation per column and batch, none per record or cell. Column `i` belongs to field `i` of the schema.

use crate::{
    schema::{Schema, Stored},
    value::Value,
};
use std::sync::Arc;

/// Values of variable length, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BytesColumn {
    /// `len + 1` positions in `data`, the first 0.
    offsets: Vec<u32>,
    data: Vec<u8>,
}

impl Default for BytesColumn {
    fn default() -> Self {
        Self { offsets: vec![0], data: Vec::new() }
    }
}

impl BytesColumn {
    /// How many values it holds.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Value `at`.
    #[must_use]
    #[inline]
    pub fn get(&self, at: usize) -> &[u8] {
        &self.data[self.offsets[at] as usize..self.offsets[at + 1] as usize]
    }

    /// Appends a value. A batch is bounded far below 4 GiB by its fetch limit.
    #[inline]
    pub fn push(&mut self, value: &[u8]) {
        self.data.extend_from_slice(value);
        let end = u32::try_from(self.data.len()).expect("a batch holds less than 4 GiB of text in a column");
        self.offsets.push(end);
    }

    /// Appends bytes to the last value; there must be one.
    pub fn extend_last(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
        let end = u32::try_from(self.data.len()).expect("a batch holds less than 4 GiB of text in a column");
        assert!(self.offsets.len() > 1, "there is a last value");
        *self.offsets.last_mut().expect("the first position is always there") = end;
    }

    /// Appends values `at` of another column: one copy of their bytes.
    ///
    /// # Panics
    /// If the bytes would pass 4 GiB, as in [`Self::push`].
    pub fn extend_from(&mut self, other: &Self, at: std::ops::Range<usize>) {
        let ends = &other.offsets[at.start..=at.end];
        let (from, to) = (ends[0], ends[ends.len() - 1]);
        let base = u32::try_from(self.data.len()).expect("a batch holds less than 4 GiB of text in a column");
        base.checked_add(to - from).expect("a batch holds less than 4 GiB of text in a column");
        self.data.extend_from_slice(&other.data[from as usize..to as usize]);
        self.offsets.extend(ends[1..].iter().map(|end| base + (end - from)));
    }

    /// Makes room for `values` more values of `bytes` bytes in all.
    pub fn reserve(&mut self, values: usize, bytes: usize) {
        self.offsets.reserve(values);
        self.data.reserve(bytes);
    }

    /// Keeps the first `len` values.
    pub fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        self.data.truncate(self.offsets[len] as usize);
    }

    /// All values.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.offsets.windows(2).map(|ends| &self.data[ends[0] as usize..ends[1] as usize])
    }

    /// Positions (`len + 1`) and bytes, for bulk copies.
    #[must_use]
    pub fn parts(&self) -> (&[u32], &[u8]) {
        (&self.offsets, &self.data)
    }

    /// Values from positions (one more than values, the first 0, never falling) and bytes (as many as the last position);
    /// `None` where they do not fit each other.
    #[must_use]
    pub fn from_parts(offsets: Vec<u32>, data: Vec<u8>) -> Option<Self> {
        let ends = offsets.first() == Some(&0) && offsets.last().is_some_and(|end| *end as usize == data.len());
        let falls = offsets.windows(2).fold(false, |falls, pair| falls | (pair[0] > pair[1]));
        (ends && !falls).then_some(Self { offsets, data })
    }

    /// Positions (`len + 1`) and bytes, without a copy.
    #[must_use]
    pub fn into_parts(self) -> (Vec<u32>, Vec<u8>) {
        (self.offsets, self.data)
    }

    /// Bytes of all values.
    #[must_use]
    pub fn byte_count(&self) -> usize {
        self.data.len()
    }

    /// Bytes of memory that it keeps, room for more values included.
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.offsets.capacity() * size_of::<u32>() + self.data.capacity()
    }

    /// Gives back the room for more values.
    pub fn shrink_to_fit(&mut self) {
        self.offsets.shrink_to_fit();
        self.data.shrink_to_fit();
    }
}

/// The values of a column, in stored form. `Str` holds UTF-8 only: whoever pushes there has checked it.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnData {
    /// INT, BOOLEAN.
    Int(Vec<i32>),
    /// LONG, TIMESTAMP.
    Long(Vec<i64>),
    /// FLOAT.
    Float(Vec<f32>),
    /// DOUBLE.
    Double(Vec<f64>),
    /// STRING, JSON, MAP, BIG_DECIMAL.
    Str(BytesColumn),
    /// BYTES, UUID.
    Bytes(BytesColumn),
}

impl ColumnData {
    /// No values yet.
    #[must_use]
    pub fn new(stored: Stored) -> Self {
        match stored {
            Stored::Int => Self::Int(vec![]),
            Stored::Long => Self::Long(vec![]),
            Stored::Float => Self::Float(vec![]),
            Stored::Double => Self::Double(vec![]),
            Stored::Str => Self::Str(BytesColumn::default()),
            Stored::Bytes => Self::Bytes(BytesColumn::default()),
        }
    }

    /// How its values are stored.
    #[must_use]
    pub fn stored(&self) -> Stored {
        match self {
            Self::Int(_) => Stored::Int,
            Self::Long(_) => Stored::Long,
            Self::Float(_) => Stored::Float,
            Self::Double(_) => Stored::Double,
            Self::Str(_) => Stored::Str,
            Self::Bytes(_) => Stored::Bytes,
        }
    }

    /// How many values it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Int(v) => v.len(),
            Self::Long(v) => v.len(),
            Self::Float(v) => v.len(),
            Self::Double(v) => v.len(),
            Self::Str(v) | Self::Bytes(v) => v.len(),
        }
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that it keeps, room for more values included.
    #[must_use]
    pub fn allocated(&self) -> usize {
        match self {
            Self::Int(v) => v.capacity() * size_of::<i32>(),
            Self::Long(v) => v.capacity() * size_of::<i64>(),
            Self::Float(v) => v.capacity() * size_of::<f32>(),
            Self::Double(v) => v.capacity() * size_of::<f64>(),
            Self::Str(v) | Self::Bytes(v) => v.allocated(),
        }
    }

    /// Gives back the room for more values.
    pub fn shrink_to_fit(&mut self) {
        match self {
            Self::Int(v) => v.shrink_to_fit(),
            Self::Long(v) => v.shrink_to_fit(),
            Self::Float(v) => v.shrink_to_fit(),
            Self::Double(v) => v.shrink_to_fit(),
            Self::Str(v) | Self::Bytes(v) => v.shrink_to_fit(),
        }
    }

    /// Keeps the first `len` values.
    pub fn truncate(&mut self, len: usize) {
        match self {
            Self::Int(v) => v.truncate(len),
            Self::Long(v) => v.truncate(len),
            Self::Float(v) => v.truncate(len),
            Self::Double(v) => v.truncate(len),
            Self::Str(v) | Self::Bytes(v) => v.truncate(len),
        }
    }

    /// Appends a value of the same stored kind; anything else is our mistake.
    pub fn push(&mut self, value: &Value) {
        match (self, value) {
            (Self::Int(v), Value::Int(x)) => v.push(*x),
            (Self::Long(v), Value::Long(x)) => v.push(*x),
            (Self::Float(v), Value::Float(x)) => v.push(*x),
            (Self::Double(v), Value::Double(x)) => v.push(*x),
            (Self::Str(v), Value::Str(x)) => v.push(x.as_bytes()),
            (Self::Bytes(v), Value::Bytes(x)) => v.push(x),
            (data, value) => panic!("a {:?} column cannot take {value:?}", data.stored()),
        }
    }

    /// Value `at` in its general form: for statistics and tests, not for the path of a record.
    #[must_use]
    pub fn get(&self, at: usize) -> Value {
        match self {
            Self::Int(v) => Value::Int(v[at]),
            Self::Long(v) => Value::Long(v[at]),
            Self::Float(v) => Value::Float(v[at]),
            Self::Double(v) => Value::Double(v[at]),
            Self::Str(v) => Value::Str(String::from_utf8_lossy(v.get(at)).into()),
            Self::Bytes(v) => Value::Bytes(Arc::from(v.get(at))),
        }
    }
}

/// One column of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The values; at a null row the column's default stands (a decoder pushes it with the null).
    pub data: ColumnData,
    /// For a multi-value column: `rows + 1` positions in `data`, the first 0. An empty array is stored as a null row
    /// with the one-element default.
    pub ends: Option<Vec<u32>>,
    /// The rows that were null, ascending.
    pub nulls: Vec<u32>,
}

impl Column {
    /// An empty column.
    #[must_use]
    pub fn new(stored: Stored, single_value: bool) -> Self {
        Self { data: ColumnData::new(stored), ends: (!single_value).then(|| vec![0]), nulls: vec![] }
    }

    /// How many rows it holds.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.ends.as_ref().map_or_else(|| self.data.len(), |ends| ends.len() - 1)
    }

    /// Ends the row whose values were pushed into `data` (multi-value columns only).
    pub fn end_row(&mut self) {
        let end = u32::try_from(self.data.len()).expect("a batch holds less than 4 G values in a column");
        self.ends.as_mut().expect("only a multi-value column ends rows").push(end);
    }

    /// Appends a null row, stored as `default`.
    pub fn push_null(&mut self, default: &Value) {
        let row = u32::try_from(self.rows()).expect("a batch holds less than 4 G rows");
        self.nulls.push(row);
        self.data.push(default);
        if self.ends.is_some() {
            self.end_row();
        }
    }

    /// Keeps the first `rows` rows.
    pub fn truncate(&mut self, rows: usize) {
        match &mut self.ends {
            Some(ends) => {
                ends.truncate(rows + 1);
                self.data.truncate(ends[rows] as usize);
            }
            None => self.data.truncate(rows),
        }
        let keep = self.nulls.partition_point(|row| (*row as usize) < rows);
        self.nulls.truncate(keep);
    }

    /// The values of row `row` as positions in `data`.
    #[must_use]
    pub fn values_of(&self, row: usize) -> std::ops::Range<usize> {
        self.ends.as_ref().map_or(row..row + 1, |ends| ends[row] as usize..ends[row + 1] as usize)
    }
}

/// Rows in columns, with the message that each row came from.
#[derive(Debug, Clone, PartialEq)]
pub struct RowBatch {
    /// Column `i` belongs to field `i` of the schema.
    pub columns: Vec<Column>,
    /// For each row, the position of its message in the fetched batch; ascending, equal for rows of one message.
    pub message_of_row: Vec<u32>,
}

impl RowBatch {
    /// An empty batch for a schema.
    #[must_use]
    pub fn new(schema: &Schema) -> Self {
        let columns =
            schema.fields().iter().map(|field| Column::new(field.data_type.stored(), field.single_value)).collect();
        Self { columns, message_of_row: vec![] }
    }

    /// How many rows it holds.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.message_of_row.len()
    }

    /// Keeps the first `rows` rows (cutting at a message's end is the caller's matter).
    pub fn truncate(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
        self.message_of_row.truncate(rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_do_not_fit_are_no_column() {
        let column = BytesColumn::from_parts(vec![0, 1, 1, 3], b"abc".to_vec()).unwrap();
        assert_eq!(column.iter().collect::<Vec<_>>(), [&b"a"[..], b"", b"bc"]);
        for (offsets, data) in
            [(vec![], ""), (vec![0], "a"), (vec![1], "a"), (vec![0, 2, 1, 3], "abc"), (vec![0, 9], "a")]
        {
            assert_eq!(BytesColumn::from_parts(offsets.clone(), data.into()), None, "{offsets:?}");
        }
    }

    #[test]
    fn truncating_keeps_values_ends_and_nulls_together() {
        let mut column = Column::new(Stored::Str, false);
        let ColumnData::Str(text) = &mut column.data else { unreachable!() };
        text.push(b"a");
        text.push(b"bc");
        column.end_row();
        column.push_null(&Value::Str("null".into()));
        let ColumnData::Str(text) = &mut column.data else { unreachable!() };
        text.push(b"d");
        column.end_row();
        assert_eq!((column.rows(), column.values_of(0), column.values_of(2)), (3, 0..2, 3..4));
        column.truncate(1);
        assert_eq!((column.rows(), column.data.len(), column.nulls.len()), (1, 2, 0));
    }
}
