//! The segment that rows are appended to: one writer, and snapshots that readers keep while it goes on.
//!
//! A batch is dictionary-encoded column by column into open buffers that only the writer sees. A snapshot closes them
//! into an immutable block ([`block`]), which joins the others by tiers ([`tiers`]), so it costs the new rows and never
//! the tail. Dictionaries ([`dictionary`]) only grow; a column whose values hardly repeat is stored raw ([`column`]).
//! Frozen blocks can be written as bytes and taken up again ([`chunk`]), so that a restart need not read them anew.

mod block;
mod chunk;
mod column;
mod dictionary;
mod recent;
mod snapshot;
mod source;
#[cfg(test)]
mod tests;
mod tiers;

pub use chunk::{CHUNK_VERSION, Chunk, ChunkError, RestoringSegment};
pub use dictionary::SnapshotDictionary;
pub use snapshot::ConsumingSnapshot;
pub use source::Check;

use crate::segment::SegmentMeta;
use block::Block;
use chunk::FrozenState;
use column::ColumnWriter;
use snapshot::Layout;
use source::Source;
use std::{collections::HashSet, ops::Range, sync::Arc};
use tiers::Tiers;
use weir_types::{ColumnData, ColumnName, DataType, NextOffset, RowBatch, Schema};

/// Name of the hidden LONG column that holds each row's stream offset.
pub const STREAM_OFFSET: &str = "$streamOffset";

/// Rows of a frozen block, where nothing else is asked for.
pub const BLOCK_ROWS: u32 = tiers::FROZEN_ITEMS;

/// Rows after which a column's choice between ids and raw is looked at for the first time: enough for a ratio, few
/// enough that a dictionary of distinct values costs well under a megabyte.
const FIRST_LOOK: u32 = 8 * 1024;

/// Rows between later looks: four blocks (`BLOCK_ROWS`), since the form changes between blocks only and a look at every one
/// would find little new.
const LATER_LOOK: u32 = 64 * 1024;

/// Bytes of open rows after which they are closed without being asked: keeps positions of text inside 32 bits.
const OPEN_BYTES: usize = 32 << 20;

/// What a consuming segment is made of.
#[derive(Debug, Clone)]
pub struct ConsumingSpec {
    /// Its name.
    pub name: Arc<str>,
    /// Its columns.
    pub schema: Arc<Schema>,
    /// Columns stored raw from the start.
    pub no_dictionary: HashSet<ColumnName>,
    /// Keep each row's stream offset, in the hidden column [`STREAM_OFFSET`].
    pub keep_offsets: bool,
    /// When it was made, wall time in milliseconds since the epoch.
    pub created_ms: i64,
}

/// A segment that takes rows. One writer owns it; readers hold snapshots.
#[derive(Debug)]
pub struct ConsumingSegment {
    spec: ConsumingSpec,
    layout: Arc<Layout>,
    columns: Vec<ColumnWriter>,
    blocks: Tiers<Block>,
    /// One for each frozen block.
    states: Arc<Vec<Arc<FrozenState>>>,
    open_rows: u32,
    /// Row count at which columns are looked at next.
    next_look: u32,
    offsets: ColumnData,
    published: Option<Arc<ConsumingSnapshot>>,
    /// The file that rows were restored from, and are read from when they are asked for.
    source: Option<Source>,
}

/// A segment that takes no more rows.
#[derive(Debug, Clone)]
pub struct FrozenSegment {
    snapshot: Arc<ConsumingSnapshot>,
}

impl FrozenSegment {
    /// All its rows.
    #[must_use]
    pub fn snapshot(&self) -> Arc<ConsumingSnapshot> {
        self.snapshot.clone()
    }
}

impl ConsumingSegment {
    /// An empty segment.
    #[must_use]
    pub fn new(spec: ConsumingSpec) -> Self {
        let mut columns = vec![];
        let mut layout = Layout { columns: vec![], by_name: Default::default() };
        for (at, field) in spec.schema.fields().iter().enumerate() {
            let raw = spec.no_dictionary.contains(&field.name);
            columns.push(ColumnWriter::new(field.data_type, field.single_value, raw));
            layout.columns.push((field.data_type, field.single_value));
            layout.by_name.insert(field.name.as_str().into(), at);
        }
        if spec.keep_offsets {
            layout.by_name.insert(STREAM_OFFSET.into(), columns.len());
            layout.columns.push((DataType::Long, true));
            columns.push(ColumnWriter::new(DataType::Long, true, true));
        }
        Self {
            spec,
            layout: Arc::new(layout),
            columns,
            blocks: Tiers::default(),
            states: Arc::default(),
            open_rows: 0,
            next_look: FIRST_LOOK,
            offsets: ColumnData::Long(vec![]),
            published: None,
            source: None,
        }
    }

    /// Freezes blocks of this many rows instead of [`BLOCK_ROWS`]: for tests, which have few rows.
    #[must_use]
    pub fn with_block_rows(mut self, rows: u32) -> Self {
        self.blocks.freeze_at(rows);
        self
    }

    /// Appends a batch made for the segment's schema and says which rows its rows became. `offset_of_message` gives the
    /// stream offset of a message by its position (asked once for consecutive rows of a message).
    ///
    /// # Panics
    /// If the batch was made for another schema, or the segment would hold more than `u32::MAX` rows: both are our
    /// mistakes, never the data's.
    pub fn append(&mut self, rows: &RowBatch, offset_of_message: &dyn Fn(u32) -> NextOffset) -> Range<u32> {
        let start = self.rows();
        let count = u32::try_from(rows.rows()).expect("a batch holds fewer than 4 G rows");
        let end = start.checked_add(count).expect("a segment is sealed long before it holds 4 G rows");
        assert_eq!(rows.columns.len(), self.spec.schema.fields().len(), "a batch has the columns of its schema");
        for (writer, column) in self.columns.iter_mut().zip(&rows.columns) {
            assert_eq!(column.rows(), rows.rows(), "every column of a batch has its rows");
            writer.append(column, start);
        }
        if self.spec.keep_offsets {
            self.append_offsets(&rows.message_of_row, offset_of_message);
        }
        self.open_rows += count;
        if end >= self.next_look {
            self.next_look = end + LATER_LOOK;
            self.look_at_columns();
        }
        if self.open_rows >= self.blocks.frozen_items() || self.open_bytes() >= OPEN_BYTES {
            self.close();
        }
        start..end
    }

    fn append_offsets(&mut self, message_of_row: &[u32], offset_of_message: &dyn Fn(u32) -> NextOffset) {
        let ColumnData::Long(offsets) = &mut self.offsets else { unreachable!("offsets are LONG") };
        offsets.clear();
        let mut last = None;
        offsets.extend(message_of_row.iter().map(|message| match last {
            Some((same, offset)) if same == *message => offset,
            _ => {
                let offset = offset_of_message(*message).number() as i64;
                last = Some((*message, offset));
                offset
            }
        }));
        if let Some(writer) = self.columns.last_mut() {
            writer.append_values(&self.offsets);
        }
    }

    /// Columns whose values hardly repeat go raw.
    fn look_at_columns(&mut self) {
        let raw: Vec<usize> = (0..self.columns.len()).filter(|at| self.columns[*at].better_raw()).collect();
        if !raw.is_empty() {
            self.close();
            raw.into_iter().for_each(|at| self.columns[at].go_raw());
            if self.frozen_rows() == self.rows() && !self.states.is_empty() {
                // The close froze: whoever goes on behind that block goes on raw.
                Arc::make_mut(&mut self.states).pop();
                self.note_state();
            }
        }
    }

    /// Makes an immutable block of the open rows.
    fn close(&mut self) {
        if self.open_rows == 0 {
            return;
        }
        let columns = self.columns.iter_mut().map(ColumnWriter::close).collect();
        let block = Block::new(self.blocks.end(), self.open_rows, columns);
        self.open_rows = 0;
        if self.blocks.push(block, merging(&self.columns)) {
            self.froze();
        }
    }

    fn froze(&mut self) {
        self.drop_idle_dictionaries();
        self.note_state();
    }

    /// Remembers, at the end of a frozen block, what going on behind it needs.
    fn note_state(&mut self) {
        let columns = self.columns.iter().map(ColumnWriter::state).collect();
        Arc::make_mut(&mut self.states).push(Arc::new(FrozenState { next_look: self.next_look, columns }));
    }

    fn drop_idle_dictionaries(&mut self) {
        for (at, writer) in self.columns.iter_mut().enumerate() {
            let ids = |block: &Block| block.columns[at].values.by_id();
            if writer.holds_idle_dictionary() && !self.blocks.pieces().any(ids) {
                writer.drop_dictionary();
            }
        }
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.blocks.end() + self.open_rows
    }

    /// Rows in frozen blocks: those never change their form any more. Right after an append or a snapshot that froze a
    /// block it is the number of all rows.
    #[must_use]
    pub fn frozen_rows(&self) -> u32 {
        self.blocks.frozen().last().map_or(0, |block| block.end())
    }

    fn open_bytes(&self) -> usize {
        self.columns.iter().map(ColumnWriter::open_bytes).sum()
    }

    /// Bytes of memory that rows, dictionaries and their indexes keep. What snapshots keep alive beyond that (merged blocks that a
    /// running query still reads) is not in it.
    #[must_use]
    pub fn byte_count(&self) -> usize {
        let dictionaries: usize = self.columns.iter().map(ColumnWriter::dictionary_bytes).sum();
        let open: usize = self.columns.iter().map(ColumnWriter::open_memory).sum();
        self.blocks.bytes() + open + self.offsets.allocated() + dictionaries
    }

    /// Bytes of what was appended and published: ids, raw values, dictionaries' values; without indexes and room for more.
    #[must_use]
    pub fn column_bytes(&self) -> usize {
        self.blocks.bytes() + self.columns.iter().map(ColumnWriter::dictionary_value_bytes).sum::<usize>()
    }

    /// The rows so far, for readers. Costs the rows appended since the last one; without any, it is the last one.
    pub fn snapshot(&mut self) -> Arc<ConsumingSnapshot> {
        self.close();
        let rows = self.rows();
        if let Some(published) = &self.published
            && published.meta.rows == rows
        {
            return published.clone();
        }
        let snapshot = Arc::new(ConsumingSnapshot {
            meta: SegmentMeta {
                name: self.spec.name.clone(),
                rows,
                schema_version: self.spec.schema.version,
                consuming: true,
                created_ms: self.spec.created_ms,
                crc: None,
            },
            layout: self.layout.clone(),
            blocks: self.blocks.clone(),
            states: self.states.clone(),
            dictionaries: self.columns.iter_mut().map(ColumnWriter::snapshot).collect(),
            stats: self.columns.iter().map(ColumnWriter::stats).collect(),
            source: self.source.clone(),
        });
        self.published = Some(snapshot.clone());
        snapshot
    }

    /// Why restored rows are of no use any more: the file that they lie in was damaged under the process.
    #[must_use]
    pub fn damage(&self) -> Option<String> {
        self.source.as_ref().and_then(Source::damage)
    }

    /// All rows are in frozen blocks then, of which the last may have few.
    pub fn freeze_rows(&mut self) {
        self.close();
        if self.blocks.freeze_tail(merging(&self.columns)) {
            self.froze();
            // The last one shows the same rows in more pieces.
            self.published = None;
        }
    }

    /// Takes no more rows. All of them are in frozen blocks then.
    #[must_use]
    pub fn freeze(mut self) -> FrozenSegment {
        self.freeze_rows();
        FrozenSegment { snapshot: self.snapshot() }
    }
}

/// How blocks of a segment with these columns become one.
fn merging(columns: &[ColumnWriter]) -> impl Fn(&[Arc<Block>]) -> Block {
    let kinds: Vec<_> = columns.iter().map(ColumnWriter::stored).collect();
    move |blocks| Block::merge(blocks, &kinds, |column, ids, out| columns[column].decode(ids, out))
}
