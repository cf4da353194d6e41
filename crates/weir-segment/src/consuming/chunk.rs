//! Frozen blocks as bytes, and back: a chunk is one block with what the columns' dictionaries gained in it and what a
//! writer needs to go on behind it. A segment restored from its first chunks takes rows as if it had never been away.
//!
//! Writing is a copy of whole slices; read, rows stay where they are until they are asked for. The bytes may come from a
//! disk after a crash: whoever keeps them guards them by a checksum, and nothing in them that does not fit can make reading
//! panic. `docs/formats/checkpoint.md` tells the layout.

mod parts;
#[cfg(test)]
mod tests;

use super::{
    ConsumingSegment, ConsumingSnapshot, ConsumingSpec,
    block::{Block, ColumnBlock, Held, Ids, Values},
    source::{Check, Source},
};
pub(super) use parts::Lent;
use parts::{Form, Problem, Reader, put, put_data, put_list, put_set};
use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};
use weir_base::Mapped;
use weir_types::{ColumnData, Stored, Value};

/// The layout of a chunk; bytes of another version are not read.
pub const CHUNK_VERSION: u32 = 1;

const BY_ID: u8 = 1;
const DICTIONARY: u8 = 2;
const MULTI_VALUE: u8 = 4;

/// What a writer knew when a block was frozen.
#[derive(Debug, PartialEq)]
pub(super) struct FrozenState {
    /// Row count at which columns are looked at next.
    pub(super) next_look: u32,
    /// In the order of the segment's columns.
    pub(super) columns: Vec<ColumnState>,
}

/// A column of a `FrozenState`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ColumnState {
    /// Rows to come are stored by id.
    pub(super) by_id: bool,
    /// Values of the dictionary, where there is one.
    pub(super) dictionary: Option<u32>,
    /// Values and dictionary length at the last look.
    pub(super) judged: (u64, u32),
    /// Least and greatest value of all rows.
    pub(super) min_max: Option<(Value, Value)>,
}

/// A column of a chunk as read.
pub(super) struct ColumnChunk {
    pub(super) block: ColumnBlock,
    /// The greatest id among its values, where they are ids.
    pub(super) most_id: Option<u32>,
    /// Values that the dictionary gained in the block.
    pub(super) new_values: ColumnData,
    pub(super) state: ColumnState,
}

/// Why a segment cannot be restored from bytes.
#[derive(Debug, thiserror::Error)]
#[error(
    "rows of segment {segment} cannot be restored from chunk {chunk}: {place} {problem}; read them from the stream again"
)]
pub struct ChunkError {
    /// The segment.
    pub segment: Arc<str>,
    /// Which chunk, from 0.
    pub chunk: usize,
    /// Column, or the chunk's head.
    pub place: String,
    /// What does not fit.
    pub problem: &'static str,
}

/// One frozen block of a snapshot, to be written.
pub struct Chunk<'a> {
    snapshot: &'a ConsumingSnapshot,
    at: usize,
}

impl ConsumingSnapshot {
    /// Rows in frozen blocks.
    #[must_use]
    pub fn frozen_rows(&self) -> u32 {
        self.blocks.frozen().last().map_or(0, |block| block.end())
    }

    /// The frozen blocks from row `from` on, which is where a block starts. Each can be written by itself; together with
    /// all before it, it restores the segment.
    pub fn chunks(&self, from: u32) -> impl Iterator<Item = Chunk<'_>> {
        let first = self.blocks.frozen().partition_point(|block| block.end() <= from);
        (first..self.blocks.frozen().len()).map(|at| Chunk { snapshot: self, at })
    }
}

impl Chunk<'_> {
    fn block(&self) -> &Block {
        &self.snapshot.blocks.frozen()[self.at]
    }

    /// Which rows of the segment it holds.
    #[must_use]
    pub fn rows(&self) -> Range<u32> {
        self.block().rows()
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let rows = self.rows();
        let states = &self.snapshot.states;
        let state = &states[self.at];
        put(rows.start, out);
        put(rows.end - rows.start, out);
        put(state.next_look, out);
        put(u32::try_from(state.columns.len()).expect("a segment has far fewer columns"), out);
        for (column, held) in self.block().columns.iter().enumerate() {
            let before = self.at.checked_sub(1).and_then(|before| states[before].columns[column].dictionary);
            self.encode_column(column, held, before.unwrap_or(0), &state.columns[column], out);
        }
    }

    fn encode_column(&self, column: usize, held: &ColumnBlock, before: u32, state: &ColumnState, out: &mut Vec<u8>) {
        let values = held.values.get();
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        put(Form::of(values).byte(), out);
        put(
            flag(state.by_id, BY_ID)
                | flag(state.dictionary.is_some(), DICTIONARY)
                | flag(held.ends.is_some(), MULTI_VALUE),
            out,
        );
        put(state.judged.0, out);
        put(state.judged.1, out);
        let (data_type, _) = self.snapshot.layout.columns[column];
        put_data(&ends_of(&state.min_max, data_type.stored()), out);
        if let Some(len) = state.dictionary {
            let dictionary = self.snapshot.dictionaries[column].as_ref();
            let dictionary = dictionary.expect("a dictionary that a frozen block was left with stays");
            put(len, out);
            put_data(&dictionary.data_of(before..len), out);
        }
        put_set(&held.nulls, out);
        if let Some(ends) = &held.ends {
            put_list(ends, out);
        }
        match values {
            Values::Raw(data) => put_data(data, out),
            Values::Ids(Ids::U8(ids)) => put_list(ids, out),
            Values::Ids(Ids::U16(ids)) => put_list(ids, out),
            Values::Ids(Ids::U32(ids)) => put_list(ids, out),
        }
    }
}

/// Least and greatest as two values; none where there are no rows.
fn ends_of(min_max: &Option<(Value, Value)>, stored: Stored) -> ColumnData {
    let mut ends = ColumnData::new(stored);
    if let Some((min, max)) = min_max {
        ends.push(min);
        ends.push(max);
    }
    ends
}

impl ConsumingSegment {
    /// A segment that is made of chunks, to be given one by one.
    #[must_use]
    pub fn restoring(spec: ConsumingSpec) -> RestoringSegment {
        RestoringSegment { segment: Self::new(spec), chunks: 0 }
    }

    /// Appends one chunk. An error names the column, where it is one's.
    fn take_up(&mut self, source: &Mapped, at: Range<usize>) -> Result<(), (Option<usize>, Problem)> {
        let mut reader = Reader(source.get(at.clone()).ok_or((None, "it ends too early"))?);
        let head = |problem: Problem| (None, problem);
        let start = reader.one::<u32>().map_err(head)?;
        let rows = reader.one::<u32>().map_err(head)?;
        let next_look = reader.one::<u32>().map_err(head)?;
        let count = reader.one::<u32>().map_err(head)?;
        if start != self.rows() || rows == 0 {
            return Err(head("does not follow the chunk before"));
        }
        let end = start.checked_add(rows).ok_or(head("has too many rows"))?;
        if count as usize != self.columns.len() {
            return Err(head("has another number of columns"));
        }
        let mut columns = Vec::with_capacity(self.columns.len());
        for (column, writer) in self.columns.iter_mut().enumerate() {
            let rest = Rest { source, end: at.end, reader: &mut reader };
            let taken = rest.column(writer.stored(), writer.single_value(), start..end);
            let taken = taken.and_then(|chunk| writer.take_up(chunk));
            columns.push(taken.map_err(|problem| (Some(column), problem))?);
        }
        if !reader.0.is_empty() {
            return Err(head("has bytes behind its columns"));
        }
        self.source.get_or_insert_with(|| Source::new(source.clone()));
        self.blocks.push_frozen(Block::new(start, rows, columns));
        for (at, writer) in self.columns.iter().enumerate() {
            let ids = |block: &Block| block.columns[at].values.by_id();
            if !writer.has_dictionary() && self.blocks.pieces().any(ids) {
                return Err((Some(at), "has rows by id and no dictionary"));
            }
        }
        let columns = self.columns.iter().map(super::ColumnWriter::state).collect();
        self.next_look = next_look;
        Arc::make_mut(&mut self.states).push(Arc::new(FrozenState { next_look, columns }));
        Ok(())
    }
}

/// A segment that is being restored.
#[derive(Debug)]
pub struct RestoringSegment {
    segment: ConsumingSegment,
    chunks: usize,
}

impl RestoringSegment {
    /// Takes the next chunk, which lies at `at` of `source`: all of a segment come in order, none left out. Values of its
    /// rows stay there until they are asked for, so nobody may change these bytes.
    ///
    /// # Errors
    /// The chunk is damaged or was written of another segment or schema. What was taken is of no use then.
    pub fn take_up(&mut self, source: &Mapped, at: Range<usize>) -> Result<(), ChunkError> {
        let spec = &self.segment.spec;
        let (segment, schema, chunk) = (spec.name.clone(), spec.schema.clone(), self.chunks);
        self.segment.take_up(source, at).map_err(|(column, problem)| {
            let named = |at: usize| schema.fields().get(at).map_or(super::STREAM_OFFSET, |field| field.name.as_str());
            let place = column.map_or_else(|| "head".to_owned(), |at| format!("column {}:", named(at)));
            ChunkError { segment, chunk, place, problem }
        })?;
        self.chunks += 1;
        Ok(())
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.segment.rows()
    }

    /// The segment as it was at the end of the last chunk. Rows may be appended as if it had never been away.
    #[must_use]
    pub fn finish(mut self) -> ConsumingSegment {
        self.segment.columns.iter_mut().for_each(super::ColumnWriter::index);
        self.segment
    }

    /// The same, of a file whose bytes can be checked again later: before something is made of its rows that stays.
    #[must_use]
    pub fn finish_checked(mut self, check: Arc<Check>) -> ConsumingSegment {
        self.segment.source = self.segment.source.map(|source| source.checked_by(check));
        self.finish()
    }
}

/// What is left to read of a chunk that ends at `end` of its source.
struct Rest<'a, 'b> {
    source: &'a Mapped,
    end: usize,
    reader: &'b mut Reader<'a>,
}

impl Rest<'_, '_> {
    /// Reads a column of these rows.
    fn column(self, stored: Stored, single_value: bool, rows: Range<u32>) -> Result<ColumnChunk, Problem> {
        let Self { source, end, reader } = self;
        let form = Form::of_byte(reader.one::<u8>()?)?;
        let flags = reader.one::<u8>()?;
        if flags > BY_ID | DICTIONARY | MULTI_VALUE || (flags & MULTI_VALUE == 0) != single_value {
            return Err("has another arity");
        }
        let judged = (reader.one()?, reader.one()?);
        let ends = reader.data(stored)?;
        let min_max = match ends.len() {
            0 => None,
            2 => Some((ends.get(0), ends.get(1))),
            _ => return Err("has neither no nor two ends"),
        };
        let (dictionary, new_values) = match flags & DICTIONARY {
            0 => (None, ColumnData::new(stored)),
            _ => (Some(reader.one()?), reader.data(stored)?),
        };
        let nulls = reader.set()?;
        if nulls.min().is_some_and(|row| row < rows.start) || nulls.max().is_some_and(|row| row >= rows.end) {
            return Err("has null rows of another chunk");
        }
        let count = (rows.end - rows.start) as usize;
        let ends: Option<Vec<u32>> = if single_value { None } else { Some(reader.list()?) };
        let from = end - reader.0.len();
        let passed = reader.pass_values(form, stored)?;
        let values = Lent::new(source.clone(), from..end - reader.0.len(), form, stored, &passed);
        let fits = match &ends {
            None => values.len() == count,
            Some(ends) => {
                let falls = ends.windows(2).any(|pair| pair[0] > pair[1]);
                let (first, last) = (ends.first().copied(), ends.last().map(|end| *end as usize));
                ends.len() == count + 1 && first == Some(0) && last == Some(values.len()) && !falls
            }
        };
        if !fits {
            return Err("has another number of values than rows");
        }
        let state = ColumnState { by_id: flags & BY_ID != 0, dictionary, judged, min_max };
        let block = ColumnBlock::new(Held::Lent(values, OnceLock::new()), ends, nulls);
        Ok(ColumnChunk { block, most_id: passed.most_id, new_values, state })
    }
}

impl ConsumingSpec {
    /// The bytes of what decides the form of chunks: schema version, and each column's name, type, arity and whether it is
    /// stored raw from the start. Equal bytes, equal form.
    #[must_use]
    pub fn form(&self) -> Vec<u8> {
        let mut out = vec![];
        put(CHUNK_VERSION, &mut out);
        put(self.schema.version.0, &mut out);
        put(u8::from(self.keep_offsets), &mut out);
        put(u32::try_from(self.schema.fields().len()).expect("a schema has far fewer columns"), &mut out);
        for field in self.schema.fields() {
            put_list(field.name.as_str().as_bytes(), &mut out);
            put_list(field.data_type.as_str().as_bytes(), &mut out);
            put(u8::from(field.single_value), &mut out);
            put(u8::from(self.no_dictionary.contains(&field.name)), &mut out);
        }
        out
    }
}
