//! Where the values of a wanted column come from: the segment, a conversion of what it holds, or one value for all rows.

use super::{
    ScanColumn, ScanRequest,
    convert::{convert, convert_column, keeps_order},
};
use crate::segment::{ColumnAt, ColumnStats, Segment};
use std::ops::Range;
use weir_types::{Column, ColumnData, DataType, Stored, Value};

/// A column that the segment holds.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// Where.
    pub(super) at: ColumnAt,
    /// As it was written.
    pub(super) written: DataType,
    /// As it is wanted.
    pub(super) wanted: DataType,
    /// One value a row.
    pub(super) single_value: bool,
    /// For values that the wanted type cannot hold.
    default: Value,
}

/// Where values come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// The segment.
    Held(Held),
    /// The same in every row.
    Fill {
        /// The value.
        value: Value,
        /// It stands for nulls.
        null: bool,
    },
    /// The row's number.
    DocId,
}

/// A column as wanted, with where it comes from.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    /// Its wanted type.
    pub(super) data_type: DataType,
    /// One value a row.
    pub(super) single_value: bool,
    /// Where from.
    pub(super) source: Source,
}

/// Finds a column by name. `None`: nobody knows it (neither the request nor the segment).
pub(super) fn resolve(segment: &dyn Segment, request: &ScanRequest, name: &str) -> Option<Resolved> {
    let wanted = request.columns.iter().chain(&request.filter_columns).find(|column| column.name.as_str() == name);
    resolve_as(segment, request, name, wanted)
}

/// Finds a column by name, as `wanted` says or as it was written.
pub(super) fn resolve_as(
    segment: &dyn Segment,
    request: &ScanRequest,
    name: &str,
    wanted: Option<&ScanColumn>,
) -> Option<Resolved> {
    let fill =
        |data_type, value, null| Resolved { data_type, single_value: true, source: Source::Fill { value, null } };
    match name {
        "$docId" => return Some(Resolved { data_type: DataType::Int, single_value: true, source: Source::DocId }),
        "$segmentName" => return Some(fill(DataType::String, Value::Str(segment.meta().name.clone()), false)),
        "$hostName" => return Some(fill(DataType::String, Value::Str(request.host.clone()), false)),
        _ => {}
    }
    let Some(info) = segment.column(name) else {
        let wanted = wanted?;
        let absent = fill(wanted.data_type, wanted.default.clone(), true);
        return Some(Resolved { single_value: wanted.single_value, ..absent });
    };
    let (data_type, single_value, default) = match wanted {
        Some(wanted) => (wanted.data_type, wanted.single_value, wanted.default.clone()),
        None => (info.data_type, info.single_value, info.data_type.default_null(weir_types::FieldKind::Dimension)),
    };
    let source = if info.single_value == single_value {
        Source::Held(Held { at: info.at, written: info.data_type, wanted: data_type, single_value, default })
    } else {
        // One value cannot become an array of them, nor the reverse: such a column counts as one the segment lacks.
        Source::Fill { value: default, null: true }
    };
    Some(Resolved { data_type, single_value, source })
}

impl Held {
    /// Stored values are those wanted.
    pub(super) fn as_stored(&self) -> bool {
        self.written.stored() == self.wanted.stored()
    }

    /// The Arrow form of stored values is the one wanted.
    pub(super) fn as_written(&self) -> bool {
        super::arrow_type(self.written, true) == super::arrow_type(self.wanted, true)
    }

    /// Appends the values of rows, converted.
    pub(super) fn read(&self, segment: &dyn Segment, rows: impl IntoIterator<Item = Range<u32>>) -> Column {
        let mut column = Column::new(self.written.stored(), self.single_value);
        rows.into_iter().for_each(|rows| segment.read_values(self.at, rows, &mut column));
        if self.as_stored() { column } else { convert_column(column, self.written, self.wanted, &self.default) }
    }

    /// Least and greatest value as wanted, if conversion keeps them such.
    pub(super) fn min_max(&self, stats: &ColumnStats) -> Option<(Value, Value)> {
        let (min, max) = stats.min_max.clone()?;
        if self.as_stored() {
            return Some((min, max));
        }
        let as_wanted = |value: &Value| {
            let mut one = ColumnData::new(self.written.stored());
            one.push(value);
            convert(one, self.written, self.wanted, &self.default).get(0)
        };
        keeps_order(self.written.stored(), self.wanted.stored()).then(|| (as_wanted(&min), as_wanted(&max)))
    }

    /// The kind that tests of the wanted values are made for.
    pub(super) fn kind(&self) -> Stored {
        self.wanted.stored()
    }
}
