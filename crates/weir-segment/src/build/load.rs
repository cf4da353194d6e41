//! Reading a column of frozen rows whole: as ids of its dictionary where all of its rows have them, else as values.

use super::Source;
use crate::SegmentError;
use std::ops::Range;
use weir_types::{Column, ColumnData};

/// Rows read at a time: large enough that a call costs nothing, small enough to stay in the cache.
const ROWS: u32 = 64 * 1024;
/// Positions of text are 32 bits wide.
const TEXT_BYTES: u64 = u32::MAX as u64;

/// A column in memory.
pub(super) enum Loaded {
    /// Values by id; the dictionary in any order, possibly with values that no row has.
    Ids { dictionary: ColumnData, ids: Vec<u32> },
    /// Values.
    Values { data: ColumnData },
}

/// A column in memory, with the ends of its rows where it is multi-value.
pub(super) struct LoadedColumn {
    pub(super) values: Loaded,
    pub(super) ends: Option<Vec<u32>>,
    pub(super) nulls: Vec<u32>,
}

fn ranges(rows: u32) -> impl Iterator<Item = Range<u32>> {
    (0..rows).step_by(ROWS as usize).map(move |start| start..rows.min(start.saturating_add(ROWS)))
}

/// Reads a column.
pub(super) fn column(source: Source<'_>) -> Result<LoadedColumn, SegmentError> {
    let rows = source.segment.meta().rows;
    let mut nulls = vec![];
    if rows > 0 {
        source.segment.read_nulls(source.info.at, 0..rows, &mut nulls);
    }
    if source.info.single_value
        && let Some(values) = ids(source)?
    {
        return Ok(LoadedColumn { values, ends: None, nulls });
    }
    let mut column = Column::new(source.info.data_type.stored(), source.info.single_value);
    for range in ranges(rows) {
        source.segment.read_values(source.info.at, range, &mut column);
        check_text(source.name, &column.data)?;
    }
    Ok(LoadedColumn { values: Loaded::Values { data: column.data }, ends: column.ends, nulls })
}

fn ids(source: Source<'_>) -> Result<Option<Loaded>, SegmentError> {
    let Some(known) = source.segment.dictionary(source.info.at) else { return Ok(None) };
    let rows = source.segment.meta().rows;
    let mut all = Vec::with_capacity(rows as usize);
    let mut part = vec![];
    for range in ranges(rows) {
        if !source.segment.read_ids(source.info.at, range, &mut part) {
            return Ok(None);
        }
        all.extend_from_slice(&part);
    }
    let mut dictionary = ColumnData::new(source.info.data_type.stored());
    for id in 0..known.len() {
        dictionary.push(&known.value(id));
        if id % ROWS == 0 {
            check_text(source.name, &dictionary)?;
        }
    }
    Ok(Some(Loaded::Ids { dictionary, ids: all }))
}

/// Refuses a column near the bound, well before positions overflow: 64 Ki rows more than half of it must still fit.
fn check_text(name: &str, data: &ColumnData) -> Result<(), SegmentError> {
    let (ColumnData::Str(text) | ColumnData::Bytes(text)) = data else { return Ok(()) };
    let size = text.byte_count() as u64;
    if size > TEXT_BYTES / 2 {
        return Err(SegmentError::TooLarge { what: format!("text of column {name}"), size, most: TEXT_BYTES / 2 });
    }
    Ok(())
}
