//! From a sealed file to another one of the same rows in the same order, with the storage and indexes that the table asks for
//! now.

use crate::{reindex::Undone, sealer::build_spec};
use std::{ops::Range, sync::Arc};
use weir_base::{Mapped, tasks::may_panic};
use weir_control::TableRecord;
use weir_segment::{BuildSpec, ColumnInfo, STREAM_OFFSET, SealedSegment, Segment, build};
use weir_table::{CacheError, SegmentCache};
use weir_types::{Column, ColumnData};

/// Rows compared at a time.
const ROWS: u32 = 64 * 1024;

/// What was made of a file.
pub(super) enum Made {
    /// The same bytes again.
    Same {
        /// Indexes that could not be built.
        missing: Vec<String>,
    },
    /// Another file, beside the one that it is made of.
    Another(Another),
}

/// A file that is to take the place of another.
pub(super) struct Another {
    /// Its bytes, where the system keeps them.
    pub(super) bytes: Mapped,
    /// The same, opened.
    pub(super) sealed: Arc<SealedSegment>,
    /// Indexes that could not be built.
    pub(super) missing: Vec<String>,
}

impl Another {
    /// Why it is not what was made any more, once all of it was read again.
    pub(super) fn damage(&self) -> Option<String> {
        self.bytes.damage().or_else(|| self.sealed.look_again())
    }
}

/// Makes a segment's file anew and keeps it beside the one that it is made of. Takes the processor and waits for the disk.
pub(super) fn make(file: &SealedSegment, table: &TableRecord, cache: &SegmentCache) -> Result<Made, Undone> {
    let spec = spec_of(file, table);
    let built = may_panic(|| build(file, &spec));
    // Of damaged rows nothing holds that was checked before.
    let failed = !matches!(built, Ok(Ok(_)));
    if let Some(damage) = if failed { file.look_again() } else { file.damage() } {
        return Err(Undone::Damaged(damage));
    }
    let built = built.map_err(|panic| Undone::Fault(format!("building met a fault of ours: {panic}")))?;
    let built = built.map_err(|error| Undone::Fault(format!("could not build: {error}")))?;
    if built.crc == file.crc() {
        return Ok(Made::Same { missing: built.index_failures });
    }
    let pieces: Vec<&[u8]> = built.pieces.iter().map(Vec::as_slice).collect();
    let kept = cache.keep_successor(&spec.name, &pieces);
    let (bytes, sealed) = kept.map_err(|error: CacheError| Undone::Wait(error.to_string()))?;
    let made = Another { bytes, sealed, missing: built.index_failures };
    drop(built.pieces);
    let compared = may_panic(|| difference(file, &made.sealed));
    // What was read may be bent since it was checked. What is whole now was whole when it was read.
    if let Some(damage) = file.look_again() {
        return Err(Undone::Damaged(damage));
    }
    if let Some(damage) = made.damage() {
        return Err(Undone::Wait(format!("its new file was damaged: {damage}")));
    }
    match compared {
        Ok(None) => Ok(Made::Another(made)),
        Ok(Some(what)) => Err(Undone::Fault(format!("what was built has other rows: {what}"))),
        Err(panic) => Err(Undone::Fault(format!("comparing rows met a fault of ours: {panic}"))),
    }
}

/// How the file is made: the rows stay where they are, so the column that they are sorted by is one only where they are in
/// its order already.
fn spec_of(file: &SealedSegment, table: &TableRecord) -> BuildSpec {
    let spec = build_spec(table, file.segment_name());
    let sorted = |column: &weir_types::ColumnName| {
        file.column(column.as_str()).is_some_and(|info| info.single_value && file.stats(info.at).sorted)
    };
    BuildSpec {
        sorted_column: spec.sorted_column.filter(sorted),
        keep_offsets: file.column(STREAM_OFFSET).is_some(),
        ..spec
    }
}

/// Where two files have other rows.
fn difference(one: &SealedSegment, other: &SealedSegment) -> Option<String> {
    let facts = |file: &SealedSegment| {
        let meta = file.meta();
        (meta.name.clone(), meta.rows, meta.schema_version, meta.created_ms, file.column_names().count())
    };
    if facts(one) != facts(other) {
        return Some(format!("{:?} and {:?}", facts(one), facts(other)));
    }
    one.column_names().find_map(|name| {
        let (Some(a), Some(b)) = (one.column(name), other.column(name)) else {
            return Some(format!("column {name} is gone"));
        };
        if (a.data_type, a.single_value) != (b.data_type, b.single_value) {
            return Some(format!("column {name} has another type"));
        }
        let rows = one.meta().rows;
        let mut parts = (0..rows).step_by(ROWS as usize).map(|start| start..rows.min(start.saturating_add(ROWS)));
        let found = parts.find(|part| !same(&read(one, &a, part), &read(other, &b, part)));
        found.map(|part| format!("column {name}, rows {} to {}", part.start, part.end))
    })
}

/// Values and null rows.
fn read(file: &SealedSegment, info: &ColumnInfo, rows: &Range<u32>) -> (Column, Vec<u32>) {
    let mut column = Column::new(info.data_type.stored(), info.single_value);
    let mut nulls = vec![];
    file.read_values(info.at, rows.clone(), &mut column);
    file.read_nulls(info.at, rows.clone(), &mut nulls);
    (column, nulls)
}

/// Whether they are the same to the bit: what is no number is equal to itself here.
fn same((one, one_nulls): &(Column, Vec<u32>), (other, other_nulls): &(Column, Vec<u32>)) -> bool {
    let values = match (&one.data, &other.data) {
        (ColumnData::Float(a), ColumnData::Float(b)) => {
            a.iter().map(|value| value.to_bits()).eq(b.iter().map(|value| value.to_bits()))
        }
        (ColumnData::Double(a), ColumnData::Double(b)) => {
            a.iter().map(|value| value.to_bits()).eq(b.iter().map(|value| value.to_bits()))
        }
        (a, b) => a == b,
    };
    values && one.ends == other.ends && one_nulls == other_nulls
}
