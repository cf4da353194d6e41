//! The columns of selected rows as one Arrow batch.

use super::{
    arrays::column_array,
    convert::repeated,
    source::{Held, Resolved, Source},
};
use crate::{error::SegmentError, segment::Segment};
use arrow::{
    array::{ArrayRef, BooleanArray, Int32Array, RecordBatch, RecordBatchOptions, UInt32Array},
    compute::{nullif, take},
    datatypes::SchemaRef,
    error::ArrowError,
};
use std::{ops::Range, sync::Arc};

/// Selected rows are read run by run if they are fewer than one in this many of their span; else the span is read and
/// the rows are taken out of it. A run costs about as much as decoding this many numbers.
const SPARSE_BELOW: usize = 8;

/// How the selected rows are read.
struct Selection<'a> {
    rows: &'a [u32],
    /// What is read: the span, or the runs of consecutive rows.
    ranges: Vec<Range<u32>>,
    /// Where the selected rows stand among those read, if not all of these are selected.
    picks: Option<UInt32Array>,
}

impl<'a> Selection<'a> {
    fn new(rows: &'a [u32]) -> Self {
        let (first, last) = (rows[0], rows[rows.len() - 1]);
        let span = (last - first) as usize + 1;
        if span == rows.len() {
            return Self { rows, ranges: std::iter::once(first..last + 1).collect(), picks: None };
        }
        if span / SPARSE_BELOW < rows.len() {
            let picks = rows.iter().map(|row| row - first).collect::<Vec<_>>().into();
            return Self { rows, ranges: std::iter::once(first..last + 1).collect(), picks: Some(picks) };
        }
        let mut ranges: Vec<Range<u32>> = vec![];
        for row in rows {
            match ranges.last_mut() {
                Some(run) if run.end == *row => run.end += 1,
                _ => ranges.push(*row..row + 1),
            }
        }
        Self { rows, ranges, picks: None }
    }
}

/// The columns of `selected` (ascending, not empty).
pub(super) fn batch(
    segment: &dyn Segment,
    columns: &[Resolved],
    schema: &SchemaRef,
    selected: &[u32],
    nulls: bool,
) -> Result<RecordBatch, SegmentError> {
    let selection = Selection::new(selected);
    let arrays: Result<Vec<ArrayRef>, ArrowError> =
        columns.iter().map(|column| array(segment, column, &selection, nulls)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(selected.len()));
    arrays
        .and_then(|arrays| RecordBatch::try_new_with_options(schema.clone(), arrays, &options))
        .map_err(|source| SegmentError::Arrow { doing: "make a batch of the selected rows", source })
}

fn array(
    segment: &dyn Segment,
    column: &Resolved,
    selection: &Selection<'_>,
    nulls: bool,
) -> Result<ArrayRef, ArrowError> {
    let count = selection.rows.len();
    match &column.source {
        Source::DocId => Ok(Arc::new(selection.rows.iter().map(|row| *row as i32).collect::<Int32Array>())),
        Source::Fill { value, null } => {
            if nulls && *null {
                let data_type = super::arrow_type(column.data_type, column.single_value);
                return Ok(arrow::array::new_null_array(&data_type, count));
            }
            Ok(column_array(repeated(value, count, column.single_value), column.data_type))
        }
        Source::Held(held) => {
            let values = match by_ids(segment, held, selection)? {
                Some(values) => values,
                None => by_values(segment, held, selection)?,
            };
            if nulls && segment.stats(held.at).nulls > 0 {
                without_nulls(segment, held, selection, values)
            } else {
                Ok(values)
            }
        }
    }
}

/// Through the dictionary: ids are read, values are taken from its array.
fn by_ids(segment: &dyn Segment, held: &Held, selection: &Selection<'_>) -> Result<Option<ArrayRef>, ArrowError> {
    if !held.single_value || !held.as_written() {
        return Ok(None);
    }
    let Some(dictionary) = segment.dictionary(held.at) else { return Ok(None) };
    let (mut ids, mut run) = (vec![], vec![]);
    for rows in &selection.ranges {
        let read = if ids.is_empty() { &mut ids } else { &mut run };
        if !segment.read_ids(held.at, rows.clone(), read) {
            return Ok(None);
        }
        ids.append(&mut run);
    }
    if let Some(picks) = &selection.picks {
        ids = picks.values().iter().map(|at| ids[*at as usize]).collect();
    }
    take(&dictionary.arrow(), &UInt32Array::from(ids), None).map(Some)
}

fn by_values(segment: &dyn Segment, held: &Held, selection: &Selection<'_>) -> Result<ArrayRef, ArrowError> {
    let array = column_array(held.read(segment, selection.ranges.iter().cloned()), held.wanted);
    match &selection.picks {
        Some(picks) => take(&array, picks, None),
        None => Ok(array),
    }
}

fn without_nulls(
    segment: &dyn Segment,
    held: &Held,
    selection: &Selection<'_>,
    values: ArrayRef,
) -> Result<ArrayRef, ArrowError> {
    let mut nulls = vec![];
    selection.ranges.iter().for_each(|rows| segment.read_nulls(held.at, rows.clone(), &mut nulls));
    if nulls.is_empty() {
        return Ok(values);
    }
    // Both lists ascend.
    let mut nulls = nulls.into_iter().peekable();
    let mask: BooleanArray = selection
        .rows
        .iter()
        .map(|row| {
            while nulls.next_if(|null| null < row).is_some() {}
            Some(nulls.peek() == Some(row))
        })
        .collect();
    nullif(&values, &mask)
}
