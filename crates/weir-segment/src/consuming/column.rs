//! One column as the writer sees it: the open rows, its dictionary, its running statistics, ids or raw.

use super::{
    block::{ColumnBlock, Held, Ids, Values, append_data, data_bytes, nulls_bytes},
    chunk::{ColumnChunk, ColumnState},
    dictionary::{DictionaryWriter, SnapshotDictionary},
};
use crate::segment::ColumnStats;
use roaring::RoaringBitmap;
use std::{cmp::Ordering, mem::size_of, sync::Arc};
use weir_types::{Column, ColumnData, DataType, Stored, Value};

/// A column goes raw when more than one value in this many was new to its dictionary.
///
/// A number costs raw 4 or 8 bytes; by id 4 (at such cardinality), and each new value 8 to 16 more in the index and 4 or
/// 8 in the dictionary: even at one new value in five. Text of 20 bytes costs raw 24; by id 4, and 33 per new value:
/// even at three in five. The first look sees few rows, in which values that come again and again are mostly new: of 20,000
/// pages that are visited unevenly, 8,192 visits see 5,000. There only text that is nearly unique goes raw.
fn raw_above(stored: Stored, first_look: bool) -> f64 {
    match stored {
        Stored::Int | Stored::Long | Stored::Float | Stored::Double => 0.2,
        Stored::Str | Stored::Bytes if first_look => 0.9,
        Stored::Str | Stored::Bytes => 0.6,
    }
}

/// The writer's side of a column.
#[derive(Debug)]
pub(super) struct ColumnWriter {
    stored: Stored,
    dictionary: Option<DictionaryWriter>,
    /// Rows to come are stored by id.
    by_id: bool,
    /// Open rows: one of these two is in use.
    ids: Vec<u32>,
    raw: ColumnData,
    ends: Option<Vec<u32>>,
    nulls: RoaringBitmap,
    min_max: Option<(Value, Value)>,
    null_count: u32,
    value_count: u64,
    /// Values and dictionary length when the choice between ids and raw was last looked at.
    judged: (u64, u32),
}

impl ColumnWriter {
    /// An empty column.
    pub(super) fn new(data_type: DataType, single_value: bool, no_dictionary: bool) -> Self {
        let stored = data_type.stored();
        Self {
            stored,
            dictionary: (!no_dictionary).then(|| DictionaryWriter::new(data_type)),
            by_id: !no_dictionary,
            ids: vec![],
            raw: ColumnData::new(stored),
            ends: (!single_value).then(|| vec![0]),
            nulls: RoaringBitmap::new(),
            min_max: None,
            null_count: 0,
            value_count: 0,
            judged: (0, 0),
        }
    }

    /// Appends a batch whose first row is `first_row` of the segment.
    pub(super) fn append(&mut self, column: &Column, first_row: u32) {
        assert_eq!(self.ends.is_some(), column.ends.is_some(), "a batch has the arity of its schema");
        if let (Some(ends), Some(more)) = (&mut self.ends, &column.ends) {
            let base = ends[ends.len() - 1];
            ends.extend(more[1..].iter().map(|end| base + end));
        }
        self.nulls.extend(column.nulls.iter().map(|row| first_row + row));
        self.null_count += column.nulls.len() as u32;
        self.append_values(&column.data);
    }

    /// Appends values; a column without arrays or nulls needs no more.
    pub(super) fn append_values(&mut self, data: &ColumnData) {
        self.value_count += data.len() as u64;
        match &mut self.dictionary {
            Some(dictionary) if self.by_id => {
                let first_new = dictionary.encode(data, &mut self.ids);
                widen(&mut self.min_max, dictionary.open(), first_new);
            }
            _ => {
                append_data(&mut self.raw, data, 0..data.len());
                widen(&mut self.min_max, data, 0);
            }
        }
    }

    /// The open rows as a column of a block; new dictionary values are published with them.
    pub(super) fn close(&mut self) -> ColumnBlock {
        if let Some(dictionary) = &mut self.dictionary {
            dictionary.close();
        }
        let values = if self.by_id {
            let ids = Ids::new(&self.ids);
            self.ids.clear();
            Values::Ids(ids)
        } else {
            let mut exact = ColumnData::new(self.stored);
            append_data(&mut exact, &self.raw, 0..self.raw.len());
            self.raw.truncate(0);
            Values::Raw(exact)
        };
        let ends = self.ends.as_mut().map(|ends| {
            let closed = ends.clone();
            ends.truncate(1);
            closed
        });
        ColumnBlock::new(Held::Own(values), ends, std::mem::take(&mut self.nulls))
    }

    /// Whether the values since the last look were new so often that raw is the better form. The open rows must have
    /// been closed before `go_raw`.
    pub(super) fn better_raw(&mut self) -> bool {
        let Some(dictionary) = &self.dictionary else { return false };
        if !self.by_id {
            return false;
        }
        let (values, len) = self.judged;
        self.judged = (self.value_count, dictionary.len());
        let seen = self.value_count - values;
        f64::from(dictionary.len() - len) > raw_above(self.stored, values == 0) * seen as f64
    }

    /// Stores the rows to come raw. A segment does not go back: its dictionary would lack values.
    pub(super) fn go_raw(&mut self) {
        debug_assert!(self.ids.is_empty(), "open ids were closed before");
        self.by_id = false;
        self.ids = vec![];
        if let Some(dictionary) = &mut self.dictionary {
            dictionary.stop();
        }
    }

    /// Whether rows to come are raw but a dictionary is still there for earlier ones.
    pub(super) fn holds_idle_dictionary(&self) -> bool {
        !self.by_id && self.dictionary.is_some()
    }

    /// No row has ids any more.
    pub(super) fn drop_dictionary(&mut self) {
        self.dictionary = None;
    }

    /// What going on behind the closed rows needs.
    pub(super) fn state(&self) -> ColumnState {
        ColumnState {
            by_id: self.by_id,
            dictionary: self.dictionary.as_ref().map(DictionaryWriter::len),
            judged: self.judged,
            min_max: self.min_max.clone(),
        }
    }

    /// Whether values are kept by id, or were.
    pub(super) fn has_dictionary(&self) -> bool {
        self.dictionary.is_some()
    }

    /// One value a row.
    pub(super) fn single_value(&self) -> bool {
        self.ends.is_none()
    }

    /// Takes up a block that follows the closed rows, with the values that are new in it and the state at its end. Ids
    /// are looked up again only after `index`. The error says what does not fit.
    pub(super) fn take_up(&mut self, chunk: ColumnChunk) -> Result<ColumnBlock, &'static str> {
        let ColumnChunk { block, most_id, new_values, state } = chunk;
        let len = match (&mut self.dictionary, state.dictionary) {
            (Some(dictionary), Some(len)) => {
                dictionary.extend(new_values);
                if dictionary.len() != len {
                    return Err("the dictionary has another length");
                }
                len
            }
            (None, Some(_)) => return Err("a column without a dictionary has one"),
            (_, None) if state.by_id => return Err("rows by id lack their dictionary"),
            (_, None) => {
                self.dictionary = None;
                0
            }
        };
        if most_id.is_some_and(|most| most >= len) {
            return Err("an id is beyond the dictionary");
        }
        self.value_count += block.values.len() as u64;
        self.null_count += block.nulls.len() as u32;
        if state.judged.0 > self.value_count || (state.by_id && state.judged.1 > len) {
            return Err("more values were judged than there are");
        }
        (self.by_id, self.judged, self.min_max) = (state.by_id, state.judged, state.min_max);
        Ok(block)
    }

    /// Makes the index of a dictionary that was taken up.
    pub(super) fn index(&mut self) {
        if let Some(dictionary) = &mut self.dictionary {
            if self.by_id { dictionary.index() } else { dictionary.stop() }
        }
    }

    /// Looks ids up among published values.
    pub(super) fn decode(&self, ids: &[u32], out: &mut ColumnData) {
        let dictionary = self.dictionary.as_ref().expect("rows with ids keep their dictionary");
        super::dictionary::decode(dictionary.values(), ids, out);
    }

    /// The published dictionary.
    pub(super) fn snapshot(&mut self) -> Option<Arc<SnapshotDictionary>> {
        self.dictionary.as_mut().map(DictionaryWriter::snapshot)
    }

    /// Statistics of all rows so far.
    pub(super) fn stats(&self) -> ColumnStats {
        ColumnStats {
            min_max: self.min_max.clone(),
            cardinality: self.dictionary.as_ref().filter(|_| self.by_id).map(DictionaryWriter::len),
            nulls: self.null_count,
            values: self.value_count,
            sorted: false,
        }
    }

    /// How values are stored.
    pub(super) fn stored(&self) -> Stored {
        self.stored
    }

    /// Bytes of text and numbers in the open rows.
    pub(super) fn open_bytes(&self) -> usize {
        let ends = self.ends.as_ref().map_or(0, |ends| ends.capacity() * size_of::<u32>());
        self.ids.capacity() * size_of::<u32>() + data_bytes(&self.raw) + ends + self.nulls.serialized_size()
    }

    /// Bytes of memory that the open rows keep: the room for more stays when they are closed.
    pub(super) fn open_memory(&self) -> usize {
        let ends = self.ends.as_ref().map_or(0, |ends| ends.capacity() * size_of::<u32>());
        self.ids.capacity() * size_of::<u32>() + self.raw.allocated() + ends + nulls_bytes(&self.nulls)
    }

    /// Bytes of the dictionary's published values.
    pub(super) fn dictionary_value_bytes(&self) -> usize {
        self.dictionary.as_ref().map_or(0, |dictionary| dictionary.values().bytes())
    }

    /// Bytes of the dictionary.
    pub(super) fn dictionary_bytes(&self) -> usize {
        self.dictionary.as_ref().map_or(0, DictionaryWriter::bytes)
    }
}

/// Widens a least and greatest value by the values from `from` on; makes a `Value` only where one changes.
fn widen(held: &mut Option<(Value, Value)>, data: &ColumnData, from: usize) {
    fn ends<T>(
        values: impl Iterator<Item = T>,
        from: usize,
        order: impl Fn(&T, &T) -> Ordering,
    ) -> Option<(usize, usize)> {
        let mut values = (from..).zip(values);
        let first = values.next()?;
        let (mut least, mut most) = ((first.0, first.1), None);
        for (at, value) in values {
            if order(&value, &least.1) == Ordering::Less {
                // What was the least so far is the greatest if nothing was greater.
                let before = std::mem::replace(&mut least, (at, value));
                most.get_or_insert(before);
            } else if most.as_ref().is_none_or(|(_, most)| order(&value, most) == Ordering::Greater) {
                most = Some((at, value));
            }
        }
        Some((least.0, most.map_or(least.0, |(at, _)| at)))
    }
    let found = match data {
        ColumnData::Int(v) => ends(v[from..].iter(), from, |a, b| a.cmp(b)),
        ColumnData::Long(v) => ends(v[from..].iter(), from, |a, b| a.cmp(b)),
        ColumnData::Float(v) => ends(v[from..].iter(), from, |a, b| a.total_cmp(b)),
        ColumnData::Double(v) => ends(v[from..].iter(), from, |a, b| a.total_cmp(b)),
        ColumnData::Str(v) | ColumnData::Bytes(v) => {
            ends((from..v.len()).map(|at| v.get(at)), from, |a, b| order_text(a, b))
        }
    };
    let Some((least, most)) = found else { return };
    match held {
        None => *held = Some((data.get(least), data.get(most))),
        Some((min, max)) => {
            if order_at(data, least, min) == Ordering::Less {
                *min = data.get(least);
            }
            if order_at(data, most, max) == Ordering::Greater {
                *max = data.get(most);
            }
        }
    }
}

/// Order of texts. Their first words mostly tell, and comparing these needs no call.
fn order_text(a: &[u8], b: &[u8]) -> Ordering {
    match (a.first_chunk(), b.first_chunk()) {
        (Some(first), Some(other)) if first != other => u64::from_be_bytes(*first).cmp(&u64::from_be_bytes(*other)),
        _ => a.cmp(b),
    }
}

/// Order of value `at` against one of the same kind, without making a `Value` of text.
fn order_at(data: &ColumnData, at: usize, value: &Value) -> Ordering {
    match (data, value) {
        (ColumnData::Str(v), Value::Str(text)) => v.get(at).cmp(text.as_bytes()),
        (ColumnData::Bytes(v), Value::Bytes(bytes)) => v.get(at).cmp(bytes),
        (data, value) => data.get(at).order(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn texts_are_ordered_by_their_bytes(a in "[a-c]{0,12}", b in "[a-cé]{0,12}") {
            prop_assert_eq!(order_text(a.as_bytes(), b.as_bytes()), a.as_bytes().cmp(b.as_bytes()));
        }

        #[test]
        fn least_and_greatest_are_those_of_all_batches(batches in prop::collection::vec(prop::collection::vec(any::<f64>(), 0..9), 0..6)) {
            let mut held = None;
            for batch in &batches {
                widen(&mut held, &ColumnData::Double(batch.clone()), 0);
            }
            let mut all: Vec<f64> = batches.concat();
            all.sort_by(f64::total_cmp);
            let expected = all.first().zip(all.last()).map(|(min, max)| (Value::Double(*min), Value::Double(*max)));
            prop_assert_eq!(held, expected);
        }
    }
}
