//! Reading a segment, consuming or sealed: filter, then Arrow batches of the columns asked for.
//!
//! A scan is made ready once ([`filter`]): statistics and indexes decide what they can. Each morsel is then read in
//! steps that fit the cache: a mask of rows that validity and filter leave, and a gather of the columns ([`gather`]).
//! Columns that were written under another schema come as the scan asks for them ([`source`], [`convert`]).

mod arrays;
pub mod compare;
mod convert;
mod filter;
mod gather;
mod known;
mod source;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use arrays::{arrow_type, values_array};
pub use known::verdict;

use crate::{error::SegmentError, segment::Segment};
use arrow::{
    array::RecordBatch,
    datatypes::{Field, Schema, SchemaRef},
};
use filter::{Node, Scratch, keep};
use roaring::RoaringBitmap;
use source::{Resolved, Source, resolve, resolve_as};
use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};
use weir_indexes::Filter;
use weir_types::{ColumnName, DataType, Value};

/// Rows of a morsel, the unit of work that a scan hands out: a consuming segment's frozen block, and enough work (some
/// hundred microseconds) to make handing out free.
const MORSEL_ROWS: u32 = 64 * 1024;

/// Rows of a batch and of a filter step: what the operators above take, and a step's buffers stay in the cache.
const BATCH_ROWS: u32 = 8192;

/// A column that is wanted, or that the filter names.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanColumn {
    /// As the schema spells it; `$docId`, `$segmentName` and `$hostName` are answered by the scan.
    pub name: ColumnName,
    /// The type wanted: that of the table's schema now.
    pub data_type: DataType,
    /// One value a row.
    pub single_value: bool,
    /// What rows of a segment without the column hold, in the stored form of `data_type`.
    pub default: Value,
}

/// What is asked of each segment of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanRequest {
    /// The columns of the batches, in order.
    pub columns: Vec<ScanColumn>,
    /// Columns that only the filter names (those in `columns` need not be repeated).
    pub filter_columns: Vec<ScanColumn>,
    /// Which rows. Literals are in the stored form of the scan's type of the column.
    pub filter: Filter,
    /// Null rows come as Arrow nulls; else as their default.
    pub nulls: bool,
    /// Answers `$hostName`.
    pub host: Arc<str>,
}

impl ScanRequest {
    /// The Arrow schema of the batches; fields are nullable exactly if `nulls`.
    #[must_use]
    pub fn arrow_schema(&self) -> SchemaRef {
        let field = |column: &ScanColumn| {
            Field::new(column.name.as_str(), arrow_type(column.data_type, column.single_value), self.nulls)
        };
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }
}

/// What a scan looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScanStats {
    /// Rows that passed.
    pub docs_scanned: u64,
    /// Values (or ids) that the filter looked at; what indexes answered is not counted.
    pub entries_in_filter: u64,
    /// Row values that were read for the batches.
    pub entries_post_filter: u64,
}

/// Does work that reads a segment. Where its file was damaged meanwhile nothing of the outcome is of use, a panic included: what
/// was checked when the file was opened does not hold any more.
fn whole<T>(segment: &dyn Segment, work: impl FnOnce() -> T) -> Result<T, SegmentError> {
    let done = catch_unwind(AssertUnwindSafe(work));
    match (segment.damage(), done) {
        (Some(what), _) => Err(SegmentError::Damaged { what }),
        (None, Ok(done)) => Ok(done),
        (None, Err(panic)) => resume_unwind(panic),
    }
}

/// A scan of one segment. Morsels may be read by several threads at once, in any order.
pub struct SegmentScan {
    segment: Arc<dyn Segment>,
    validity: Option<Arc<RoaringBitmap>>,
    request: Arc<ScanRequest>,
    schema: SchemaRef,
    filter: Result<Node, String>,
    /// All rows that pass are among these, where indexes know.
    among: Option<RoaringBitmap>,
    columns: Vec<Resolved>,
}

impl std::fmt::Debug for SegmentScan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SegmentScan")
            .field("segment", self.segment.meta())
            .field("request", &self.request)
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}

impl SegmentScan {
    /// Makes a scan ready. `validity`, where given, holds the rows that may be seen. A filter that names a column
    /// nobody knows is reported by `read`.
    #[must_use]
    pub fn new(segment: Arc<dyn Segment>, validity: Option<Arc<RoaringBitmap>>, request: Arc<ScanRequest>) -> Self {
        let rows = u64::from(segment.meta().rows);
        // A set that hides nothing is none.
        let validity = validity.filter(|valid| valid.range_cardinality(0..segment.meta().rows) < rows);
        let filter = if rows == 0 || validity.as_ref().is_some_and(|valid| valid.is_empty()) {
            Ok(Node::None)
        } else {
            let made = whole(&*segment, || Node::new(&*segment, &request, &request.filter));
            made.and_then(|made| made).map_err(|error| error.to_string())
        };
        let among = filter.as_ref().ok().and_then(Node::among);
        let columns = request
            .columns
            .iter()
            .map(|column| {
                resolve_as(&*segment, &request, column.name.as_str(), Some(column))
                    .expect("a column that is wanted with type and default always has a source")
            })
            .collect();
        Self { schema: request.arrow_schema(), segment, validity, request, filter, among, columns }
    }

    /// Statistics or indexes say that no row passes.
    #[must_use]
    pub fn pruned(&self) -> bool {
        matches!(self.filter, Ok(Node::None)) || self.among.as_ref().is_some_and(RoaringBitmap::is_empty)
    }

    /// The row ranges to read, at most 64 Ki rows each, ascending; those in which no row can pass are left out.
    #[must_use]
    pub fn morsels(&self) -> Vec<Range<u32>> {
        let rows = self.segment.meta().rows;
        if self.pruned() {
            return vec![];
        }
        (0..rows)
            .step_by(MORSEL_ROWS as usize)
            .map(|start| start..start.saturating_add(MORSEL_ROWS).min(rows))
            .filter(|range| self.may_pass(range))
            .collect()
    }

    fn may_pass(&self, rows: &Range<u32>) -> bool {
        let holds = |set: &RoaringBitmap| set.range_cardinality(rows.clone()) > 0;
        // What is wrong with a filter reading tells.
        let filter = self.filter.as_ref().ok();
        self.among.as_ref().is_none_or(holds)
            && self.validity.as_deref().is_none_or(holds)
            && filter.is_none_or(|filter| filter.may_pass(&*self.segment, rows))
    }

    /// Reads a range of rows (a morsel, or any part of the segment): the rows that pass, in order, in batches of at
    /// most 8192 rows. None where no row passes.
    ///
    /// # Errors
    /// If the filter names a column that neither the segment nor the request knows, or Arrow refuses a batch, or the
    /// segment's file was damaged while it was read.
    pub fn read(&self, rows: Range<u32>, stats: &mut ScanStats) -> Result<Vec<RecordBatch>, SegmentError> {
        whole(&*self.segment, || self.read_rows(rows, stats))?
    }

    fn read_rows(&self, rows: Range<u32>, stats: &mut ScanStats) -> Result<Vec<RecordBatch>, SegmentError> {
        let filter = self.filter.as_ref().map_err(|error| SegmentError::Invalid { what: error.clone() })?;
        let rows = rows.start..rows.end.min(self.segment.meta().rows);
        let mut batches = vec![];
        if rows.is_empty() || self.pruned() {
            return Ok(batches);
        }
        let (mut selected, mut mask, mut scratch) = (Vec::new(), Vec::new(), Scratch::default());
        for start in rows.clone().step_by(BATCH_ROWS as usize) {
            let step = start..start.saturating_add(BATCH_ROWS).min(rows.end);
            if self.may_pass(&step) {
                mask.clear();
                mask.resize(step.len(), true);
                if let Some(valid) = &self.validity {
                    keep(valid, &step, &mut mask);
                }
                filter.evaluate(&*self.segment, &step, &mut mask, &mut scratch, stats);
                selected.extend(step.zip(&mask).filter_map(|(row, passes)| passes.then_some(row)));
            }
            while selected.len() >= BATCH_ROWS as usize {
                batches.push(self.batch(&selected[..BATCH_ROWS as usize], stats)?);
                selected.drain(..BATCH_ROWS as usize);
            }
        }
        if !selected.is_empty() {
            batches.push(self.batch(&selected, stats)?);
        }
        Ok(batches)
    }

    fn batch(&self, selected: &[u32], stats: &mut ScanStats) -> Result<RecordBatch, SegmentError> {
        stats.docs_scanned += selected.len() as u64;
        stats.entries_post_filter += (selected.len() * self.columns.len()) as u64;
        gather::batch(&*self.segment, &self.columns, &self.schema, selected, self.request.nulls)
    }

    /// How many rows pass, if that is known without looking at rows.
    #[must_use]
    pub fn count_all(&self) -> Option<u64> {
        let rows = self.segment.meta().rows;
        let count = || match (self.filter.as_ref().ok()?, &self.validity) {
            (Node::None, _) => Some(0),
            (Node::All, None) => Some(rows.into()),
            (Node::All, Some(valid)) => Some(valid.range_cardinality(0..rows)),
            (filter, None) => Some(filter.exact(rows)?.len()),
            (filter, Some(valid)) => Some(filter.exact(rows)?.intersection_len(valid)),
        };
        // Of a damaged segment reading says what is wrong.
        whole(&*self.segment, count).ok()?
    }

    /// Least and greatest value of a column (nulls by their default), where every row passes, none is hidden, and
    /// statistics know. `None` too where `nulls` is asked for and the column has any: they would not count.
    #[must_use]
    pub fn min_max(&self, column: &str) -> Option<(Value, Value)> {
        let rows = self.segment.meta().rows;
        if rows == 0 || self.validity.is_some() || !matches!(self.filter, Ok(Node::All)) {
            return None;
        }
        match resolve(&*self.segment, &self.request, column)?.source {
            Source::Held(held) => {
                let stats = self.segment.stats(held.at);
                if self.request.nulls && stats.nulls > 0 { None } else { held.min_max(stats) }
            }
            Source::Fill { null: true, .. } if self.request.nulls => None,
            Source::Fill { value, .. } => Some((value.clone(), value)),
            Source::DocId => Some((Value::Int(0), Value::Int(rows as i32 - 1))),
        }
    }
}
