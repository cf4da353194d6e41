//! Reading a column of frozen rows whole: as ids of its dictionary where all of its rows have them, else as values.

use super::Source;
use crate::SegmentError;
use std::ops::Range;
use weir_types::{BytesColumn, Column, ColumnData, Stored, Value};

/// Rows read at a time: large enough that a call costs nothing, small enough to stay in the cache.
const ROWS: u32 = 64 * 1024;
/// Positions of text are 32 bits wide.
const TEXT_BYTES: u64 = u32::MAX as u64;

/// Texts that stay where the segment keeps them.
pub(super) struct LentTexts<'a> {
    stored: Stored,
    parts: Vec<&'a BytesColumn>,
}

impl LentTexts<'_> {
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().flat_map(|part| part.iter())
    }

    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }

    /// Such texts as a column of their kind.
    pub(super) fn typed(&self, texts: BytesColumn) -> ColumnData {
        if self.stored == Stored::Str { ColumnData::Str(texts) } else { ColumnData::Bytes(texts) }
    }

    /// One of them as a value.
    pub(super) fn value(&self, text: &[u8]) -> Value {
        let mut one = BytesColumn::default();
        one.push(text);
        self.typed(one).get(0)
    }
}

/// A column in memory.
pub(super) enum Loaded<'a> {
    /// Values by id; the dictionary in any order, possibly with values that no row has.
    Ids { dictionary: ColumnData, ids: Vec<u32> },
    /// Values.
    Values { data: ColumnData },
    /// Texts of a single-value column.
    Texts(LentTexts<'a>),
}

/// A column in memory, with the ends of its rows where it is multi-value.
pub(super) struct LoadedColumn<'a> {
    pub(super) values: Loaded<'a>,
    pub(super) ends: Option<Vec<u32>>,
    pub(super) nulls: Vec<u32>,
}

fn ranges(rows: u32) -> impl Iterator<Item = Range<u32>> {
    (0..rows).step_by(ROWS as usize).map(move |start| start..rows.min(start.saturating_add(ROWS)))
}

/// A column, of which texts are lent where they can be.
pub(super) fn lent(source: Source<'_>) -> Result<LoadedColumn<'_>, SegmentError> {
    if let Some(parts) = source.segment.raw_texts(source.info.at) {
        check_size(source.name, parts.iter().map(|part| part.byte_count() as u64).sum())?;
        let values = Loaded::Texts(LentTexts { stored: source.info.data_type.stored(), parts });
        return Ok(LoadedColumn { values, ends: None, nulls: nulls(source) });
    }
    column(source)
}

fn nulls(source: Source<'_>) -> Vec<u32> {
    let (rows, mut nulls) = (source.segment.meta().rows, vec![]);
    if rows > 0 {
        source.segment.read_nulls(source.info.at, 0..rows, &mut nulls);
    }
    nulls
}

/// Reads a column.
pub(super) fn column(source: Source<'_>) -> Result<LoadedColumn<'static>, SegmentError> {
    let rows = source.segment.meta().rows;
    let nulls = nulls(source);
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

fn ids(source: Source<'_>) -> Result<Option<Loaded<'static>>, SegmentError> {
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
    check_size(name, text.byte_count() as u64)
}

fn check_size(name: &str, size: u64) -> Result<(), SegmentError> {
    if size > TEXT_BYTES / 2 {
        return Err(SegmentError::TooLarge { what: format!("text of column {name}"), size, most: TEXT_BYTES / 2 });
    }
    Ok(())
}
