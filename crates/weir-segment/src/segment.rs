//! What a segment shows to a reader, consuming or sealed: statistics, dictionary ids, values, nulls, index answers.

use arrow::array::ArrayRef;
use std::{ops::Range, sync::Arc};
use weir_indexes::{Answer, Predicate};
use weir_types::{BytesColumn, Column, DataType, IndexKind, SchemaVersion, Value};

/// What is known of a segment as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentMeta {
    /// Its name.
    pub name: Arc<str>,
    /// Rows, including those that a validity set hides.
    pub rows: u32,
    /// The schema it was written with.
    pub schema_version: SchemaVersion,
    /// Still consuming.
    pub consuming: bool,
    /// When it was made, wall time in milliseconds since the epoch.
    pub created_ms: i64,
    /// Checksum of the file, for sealed ones.
    pub crc: Option<u32>,
}

/// What is known of a column of a segment.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnStats {
    /// Smallest and greatest stored value, defaults of null rows included; `None` for an empty segment.
    pub min_max: Option<(Value, Value)>,
    /// Distinct values where a dictionary knows them.
    pub cardinality: Option<u32>,
    /// Rows that were null.
    pub nulls: u32,
    /// Values: rows for single-value columns.
    pub values: u64,
    /// Rows are ordered by it, ascending.
    pub sorted: bool,
}

/// A column's position in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColumnAt(pub usize);

/// A column as the segment holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnInfo {
    /// Its position.
    pub at: ColumnAt,
    /// Its logical type when it was written.
    pub data_type: DataType,
    /// One value a row.
    pub single_value: bool,
}

/// Between what a column's values lie in a range of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// All rows have ids: the least and the greatest.
    Ids(u32, u32),
    /// All are stored whole numbers: the least and the greatest, defaults of null rows included.
    Numbers(i64, i64),
}

/// Values by id; ids of a sealed segment are in the order of the values, those of a consuming one in order of arrival.
pub trait Dictionary: Send + Sync {
    /// How many values (a snapshot's prefix, for consuming segments).
    fn len(&self) -> u32;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Whether ids are in the order of the values.
    fn sorted(&self) -> bool;
    /// Value of an id below `len`.
    fn value(&self, id: u32) -> Value;
    /// The ids whose value passes a predicate (`IsNull` and `IsNotNull` are not asked here), as a set over `0..len`.
    fn matching(&self, predicate: &Predicate) -> roaring::RoaringBitmap;
    /// All values as an Arrow array of the type that a scan returns for the column; built once and kept.
    fn arrow(&self) -> ArrayRef;
}

/// A segment as a reader sees it: immutable, whole. Row numbers run from 0; ranges are inside `0..rows`.
pub trait Segment: Send + Sync {
    /// The whole.
    fn meta(&self) -> &SegmentMeta;
    /// A column by the schema's spelling.
    fn column(&self, name: &str) -> Option<ColumnInfo>;
    /// A column's statistics.
    fn stats(&self, column: ColumnAt) -> &ColumnStats;
    /// A column's dictionary, where any of its rows has ids.
    fn dictionary(&self, column: ColumnAt) -> Option<Arc<dyn Dictionary>>;
    /// Replaces `ids` by the dictionary ids of a row range of a single-value column. False, with `ids` empty, where
    /// any of the rows is stored raw; a caller then reads values.
    fn read_ids(&self, column: ColumnAt, rows: Range<u32>, ids: &mut Vec<u32>) -> bool;
    /// Appends the values of a row range (with `ends` for multi-value columns); null rows come as their default and
    /// are not listed.
    fn read_values(&self, column: ColumnAt, rows: Range<u32>, out: &mut Column);
    /// The texts of a single-value column of text or bytes where all of them lie in memory as they are, by runs of rows.
    fn raw_texts(&self, _column: ColumnAt) -> Option<Vec<&BytesColumn>> {
        None
    }
    /// Between what the values of a single-value column lie in a row range, where that is known without reading it.
    fn span(&self, _column: ColumnAt, _rows: Range<u32>) -> Option<Span> {
        None
    }
    /// Appends the null rows of a row range, ascending, as row numbers of the segment.
    fn read_nulls(&self, column: ColumnAt, rows: Range<u32>, out: &mut Vec<u32>);
    /// What the segment's indexes, order or dictionary know about a predicate without looking at rows.
    fn index_answer(&self, column: ColumnAt, predicate: &Predicate) -> Answer;
    /// Whether a column has an index of that kind; a sorted one needs none and has none.
    fn has_index(&self, _column: ColumnAt, _kind: IndexKind) -> bool {
        false
    }
    /// Why what was read of it up to now is of no use: the file that it lies in was damaged under the process.
    fn damage(&self) -> Option<String> {
        None
    }
    /// The same, once bytes of rows that lie in a file were compared with their checksums again, where they have any.
    fn look_again(&self) -> Option<String> {
        self.damage()
    }
}
