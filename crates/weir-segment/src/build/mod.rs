//! From frozen rows to the bytes of a sealed segment: order, dictionaries, packing, indexes, statistics.
//!
//! Column by column, so that one column's values are in memory at a time beside the file. Equal rows and an equal spec
//! give equal bytes: replicas that build the same range have the same checksum. Nothing here can fail on data: what a
//! column may hold was checked when its rows were appended; an index that fails is left out and named.

mod dictionary;
mod encode;
mod load;
mod order;

use crate::{
    ColumnInfo, Segment, SegmentError,
    layout::{
        STREAM_OFFSET,
        directory::{FileWriter, Whole},
    },
};
use encode::Wanted;
use order::RowOrder;
use std::{collections::BTreeMap, sync::Arc};
use weir_types::{ColumnName, FieldIndexes, Schema, Value};

/// What to build.
#[derive(Debug, Clone)]
pub struct BuildSpec {
    /// Name of the segment.
    pub name: Arc<str>,
    /// Its columns, in this order. A field that the rows do not have (the schema grew meanwhile) is left out; readers
    /// answer it by its default.
    pub schema: Arc<Schema>,
    /// Rows are ordered by this single-value column.
    pub sorted_column: Option<ColumnName>,
    /// Storage and indexes of the columns that have any.
    pub indexes: BTreeMap<ColumnName, FieldIndexes>,
    /// Write the hidden column of stream offsets.
    pub keep_offsets: bool,
    /// The schema's time column.
    pub time_column: Option<ColumnName>,
}

/// A built segment.
#[derive(Debug, Clone)]
pub struct BuiltSegment {
    /// The file, in pieces that follow one another.
    pub pieces: Vec<Vec<u8>>,
    /// Its checksum, as in its header.
    pub crc: u32,
    /// Its rows.
    pub rows: u32,
    /// Smallest and greatest value per column; columns of an empty segment are not listed.
    pub columns: Vec<(ColumnName, Value, Value)>,
    /// New row of each old row, where sorting moved any.
    pub old_to_new: Option<Vec<u32>>,
    /// Indexes that could not be built, with the reason; the segment is without them.
    pub index_failures: Vec<String>,
}

impl BuiltSegment {
    /// The file in one piece.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.pieces.concat()
    }
}

/// Builds a segment from frozen rows.
///
/// # Errors
/// `Invalid` where offsets are wanted but the rows have none, or the sorted column is multi-value; `TooLarge` where a
/// column has 4 GiB of text.
pub fn build(segment: &dyn Segment, spec: &BuildSpec) -> Result<BuiltSegment, SegmentError> {
    let rows = segment.meta().rows;
    let mut failures = vec![];
    let order = match &spec.sorted_column {
        Some(column) => order_of(segment, spec, column)?,
        None => None,
    };
    let mut file = FileWriter::new();
    let mut columns = vec![];
    for field in spec.schema.fields() {
        let Some(info) = segment.column(field.name.as_str()) else { continue };
        let indexes = spec.indexes.get(&field.name).cloned().unwrap_or_default();
        let sorted = spec.sorted_column.as_ref() == Some(&field.name);
        let wanted = Wanted {
            name: field.name.as_str().into(),
            dictionary: !indexes.no_dictionary,
            needs_dictionary: indexes.inverted || sorted,
            inverted: indexes.inverted,
            range: indexes.range,
        };
        let column = encode::column(segment, &info, wanted, order.as_ref(), &mut failures)?;
        if let Some((min, max)) = &column.stats.min_max {
            columns.push((field.name.clone(), min.clone(), max.clone()));
        }
        file.column(column);
    }
    if spec.keep_offsets {
        let info = segment.column(STREAM_OFFSET).ok_or_else(|| SegmentError::Invalid {
            what: format!("segment {} is to keep stream offsets, but its rows were appended without them", spec.name),
        })?;
        let wanted = Wanted { name: STREAM_OFFSET.into(), ..Wanted::default() };
        file.column(encode::column(segment, &info, wanted, order.as_ref(), &mut failures)?);
    }
    let meta = segment.meta();
    let whole = Whole { name: &spec.name, rows, schema_version: meta.schema_version, created_ms: meta.created_ms };
    let (pieces, crc) = file.finish(&whole);
    let old_to_new = order.map(|order| order.old_to_new());
    Ok(BuiltSegment { pieces, crc, rows, columns, old_to_new, index_failures: failures })
}

fn order_of(segment: &dyn Segment, spec: &BuildSpec, column: &ColumnName) -> Result<Option<RowOrder>, SegmentError> {
    let Some(info) = segment.column(column.as_str()) else { return Ok(None) };
    if !info.single_value {
        return Err(SegmentError::Invalid {
            what: format!("segment {} cannot be ordered by {column}: it is a multi-value column", spec.name),
        });
    }
    order::of_column(segment, &info)
}

/// A column that the build reads: where it is and what it is called in errors.
#[derive(Clone, Copy)]
struct Source<'a> {
    segment: &'a dyn Segment,
    info: &'a ColumnInfo,
    name: &'a str,
}
