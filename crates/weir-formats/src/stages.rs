//! What happens to a batch between decoding and appending: times checked, texts brought to their allowed length.
//!
//! A stage looks at whole columns and costs next to nothing where nothing is wrong. The rows of messages that it
//! rejects are taken out before it returns.

use crate::{
    datetime::{DateTimeFormat, valid_row_time},
    decoder::{Reject, Stage},
    error::FormatError,
};
use std::sync::Arc;
use weir_types::{
    BytesColumn, Column, ColumnData, ColumnName, DataType, ExceedStrategy, FieldSpec, RowBatch, Schema, Value,
};

/// What [`sanitise`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SanitiseReport {
    /// Values that were cut or replaced by their default.
    pub cut: u64,
    /// Of which columns, where there were such values.
    pub columns: Vec<Cut>,
    /// Messages whose field says that a long value is an error; their rows are gone.
    pub rejects: Vec<Reject>,
}

/// Values of a column that were longer than it allows, or held a NUL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The column.
    pub column: Arc<str>,
    /// How many.
    pub values: u64,
    /// The length of the longest as it came, as [`sanitise`] counts it.
    pub longest: usize,
    /// The column's `maxLength`.
    pub limit: u32,
    /// Whether its default stands in their place, and not their beginning.
    pub by_default: bool,
}

/// Takes the rows of `messages` (positions in the fetched batch, in any order) out of the batch.
pub fn remove_messages(rows: &mut RowBatch, messages: &[u32]) {
    let mut gone = messages.to_vec();
    gone.sort_unstable();
    let keep: Vec<bool> = rows.message_of_row.iter().map(|message| gone.binary_search(message).is_err()).collect();
    keep_rows_of(rows, &keep);
}

/// Takes the rows that are not to be kept out of the batch.
pub(crate) fn keep_rows_of(rows: &mut RowBatch, keep: &[bool]) {
    if keep.iter().all(|keep| *keep) {
        return;
    }
    rows.columns.iter_mut().for_each(|column| keep_rows(column, keep));
    let mut kept = keep.iter();
    rows.message_of_row.retain(|_| kept.next() == Some(&true));
}

fn keep_rows(column: &mut Column, keep: &[bool]) {
    let kept_values: Vec<bool> = match &column.ends {
        None => keep.to_vec(),
        Some(ends) => {
            ends.windows(2).zip(keep).flat_map(|(ends, keep)| (ends[0]..ends[1]).map(move |_| *keep)).collect()
        }
    };
    if let Some(ends) = &mut column.ends {
        let mut kept = vec![0u32];
        let mut end = 0;
        for (row, _) in keep.iter().enumerate().filter(|(_, keep)| **keep) {
            end += ends[row + 1] - ends[row];
            kept.push(end);
        }
        *ends = kept;
    }
    let mut kept = 0;
    // How many rows before each are kept: where a kept row ends up.
    let before: Vec<u32> = keep.iter().map(|keep| (kept, kept += u32::from(*keep)).0).collect();
    column.nulls.retain(|row| keep[*row as usize]);
    column.nulls.iter_mut().for_each(|row| *row = before[*row as usize]);
    match &mut column.data {
        ColumnData::Int(values) => keep_values(values, &kept_values),
        ColumnData::Long(values) => keep_values(values, &kept_values),
        ColumnData::Float(values) => keep_values(values, &kept_values),
        ColumnData::Double(values) => keep_values(values, &kept_values),
        ColumnData::Str(values) | ColumnData::Bytes(values) => {
            let mut kept = BytesColumn::default();
            values.iter().zip(&kept_values).filter(|(_, keep)| **keep).for_each(|(value, _)| kept.push(value));
            *values = kept;
        }
    }
}

fn keep_values<T>(values: &mut Vec<T>, keep: &[bool]) {
    let mut kept = keep.iter();
    values.retain(|_| kept.next() == Some(&true));
}

/// Brings STRING, JSON and BYTES values to the length that their field allows, by its strategy. A STRING also ends
/// before its first NUL, whatever the strategy; for one that errors or substitutes, a NUL is treated as a length.
///
/// Lengths are counted as Java counts them: UTF-16 units for text, bytes for BYTES. A cut never splits a character.
pub fn sanitise(schema: &Schema, rows: &mut RowBatch) -> SanitiseReport {
    let mut report = SanitiseReport::default();
    for (field, column) in schema.fields().iter().zip(&mut rows.columns) {
        if let (DataType::String | DataType::Json, ColumnData::Str(values))
        | (DataType::Bytes, ColumnData::Bytes(values)) = (field.data_type, &mut column.data)
            && suspicious(field, values)
        {
            let changed = sanitise_values(field, values);
            report.cut += changed.cut;
            if changed.cut > 0 {
                report.columns.push(Cut {
                    column: field.name.as_str().into(),
                    values: changed.cut,
                    longest: changed.longest,
                    limit: field.max_length,
                    by_default: field.exceed == ExceedStrategy::SubstituteDefault,
                });
            }
            for at in changed.refused {
                let row = row_of_value(column.ends.as_deref(), at);
                report.rejects.push(Reject {
                    message: rows.message_of_row[row],
                    stage: Stage::Sanitise,
                    column: Some(field.name.as_str().into()),
                    reason: format!("the value is longer than maxLength {} or holds a NUL character", field.max_length),
                });
            }
        }
    }
    report.rejects.sort_by_key(|reject| reject.message);
    report.rejects.dedup_by_key(|reject| reject.message);
    if !report.rejects.is_empty() {
        remove_messages(rows, &report.rejects.iter().map(|reject| reject.message).collect::<Vec<_>>());
    }
    report
}

/// Whether some value may need work: a quick look that may err on the side of work.
fn suspicious(field: &FieldSpec, values: &BytesColumn) -> bool {
    let (ends, bytes) = values.parts();
    // A text has no more characters than bytes.
    let long = || ends.windows(2).any(|ends| ends[1] - ends[0] > field.max_length);
    (field.exceed != ExceedStrategy::NoAction && long())
        || (field.data_type == DataType::String && memchr::memchr(0, bytes).is_some())
}

fn row_of_value(ends: Option<&[u32]>, value: usize) -> usize {
    ends.map_or(value, |ends| ends.partition_point(|end| (*end as usize) <= value) - 1)
}

struct Changed {
    cut: u64,
    longest: usize,
    /// Positions of values to refuse.
    refused: Vec<usize>,
}

fn sanitise_values(field: &FieldSpec, values: &mut BytesColumn) -> Changed {
    let mut changed = Changed { cut: 0, longest: 0, refused: vec![] };
    let mut out = BytesColumn::default();
    for (at, value) in values.iter().enumerate() {
        let nul = if field.data_type == DataType::String { memchr::memchr(0, value) } else { None };
        let most = if field.exceed == ExceedStrategy::NoAction { u32::MAX } else { field.max_length };
        let length = allowed(field.data_type, value, most);
        let length = nul.map_or(length, |nul| nul.min(length));
        if length == value.len() {
            out.push(value);
            continue;
        }
        match (field.exceed, &field.default_null) {
            (ExceedStrategy::Error, _) => {
                changed.refused.push(at);
                out.push(value);
                continue;
            }
            (ExceedStrategy::SubstituteDefault, Value::Str(default)) => out.push(default.as_bytes()),
            (ExceedStrategy::SubstituteDefault, Value::Bytes(default)) => out.push(default),
            _ => out.push(&value[..length]),
        }
        changed.cut += 1;
        changed.longest = changed.longest.max(length_of(field.data_type, value));
    }
    *values = out;
    changed
}

/// The length of a value: UTF-16 units of text, bytes of BYTES.
fn length_of(data_type: DataType, value: &[u8]) -> usize {
    match std::str::from_utf8(value) {
        Ok(text) if data_type != DataType::Bytes => text.encode_utf16().count(),
        _ => value.len(),
    }
}

/// How many bytes of the value lie within `most` characters (or bytes).
fn allowed(data_type: DataType, value: &[u8], most: u32) -> usize {
    if value.len() <= most as usize {
        return value.len();
    }
    match std::str::from_utf8(value) {
        Ok(text) if data_type != DataType::Bytes => {
            let mut units = 0;
            let cut = text.char_indices().find(|(_, char)| {
                units += char.len_utf16();
                units > most as usize
            });
            cut.map_or(value.len(), |(at, _)| at)
        }
        _ => most as usize,
    }
}

/// The time column of a table, and what is asked of it.
#[derive(Debug, Clone)]
pub struct TimeCheck {
    position: usize,
    name: Arc<str>,
    format: DateTimeFormat,
    /// Rows outside of 1971..2071 are refused.
    check: bool,
    continue_on_error: bool,
    /// What a null time is stored as.
    null_time: Value,
}

/// What [`check_time`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TimeReport {
    /// Rows whose time was not believable and became null (only with `continue_on_error`).
    pub nulled: u64,
    /// Messages with a time that is not believable; their rows are gone.
    pub rejects: Vec<Reject>,
}

impl TimeCheck {
    /// For the time column of a schema. `check`: refuse times out of range; `now_ms`: what a null time is stored as
    /// where the column's default is itself out of range. `Err`: the column's format cannot be read, or there is no
    /// such column.
    pub fn new(
        schema: &Schema,
        time_column: &ColumnName,
        check: bool,
        continue_on_error: bool,
        now_ms: i64,
    ) -> Result<Self, FormatError> {
        let refuse =
            |reason: &str| FormatError::TimeColumn { column: time_column.to_string(), reason: reason.to_owned() };
        let position = schema.position(time_column.as_str()).ok_or_else(|| refuse("the schema has no such column"))?;
        let field = &schema.fields()[position];
        let format = match (&field.format, field.data_type) {
            (_, DataType::Timestamp) => DateTimeFormat::TIMESTAMP,
            (Some(format), _) => DateTimeFormat::parse(format)?,
            (None, _) => return Err(refuse("it has no format such as 1:MILLISECONDS:EPOCH")),
        };
        let default_is_valid = format.to_millis(&field.default_null).is_some_and(valid_row_time);
        let now = format.from_millis(now_ms, field.data_type.stored()).filter(|_| !default_is_valid);
        Ok(Self {
            position,
            name: field.name.as_str().into(),
            format,
            check,
            continue_on_error,
            null_time: now.unwrap_or_else(|| field.default_null.clone()),
        })
    }

    /// Whether the time at a position is believable.
    fn believable(&self, data: &ColumnData, at: usize) -> bool {
        let ms = match data {
            ColumnData::Int(values) => self.format.number_to_millis(i64::from(values[at])),
            ColumnData::Long(values) => self.format.number_to_millis(values[at]),
            ColumnData::Float(values) => self.format.number_to_millis(values[at] as i64),
            ColumnData::Double(values) => self.format.number_to_millis(values[at] as i64),
            ColumnData::Str(values) => {
                std::str::from_utf8(values.get(at)).ok().and_then(|text| self.format.text_to_millis(text))
            }
            ColumnData::Bytes(_) => None,
        };
        ms.is_some_and(valid_row_time)
    }
}

/// Checks the times of a batch, and gives null times the value that stands for them (they stay null).
pub fn check_time(time: &TimeCheck, rows: &mut RowBatch) -> TimeReport {
    let column = &mut rows.columns[time.position];
    if column.ends.is_some() {
        return TimeReport::default();
    }
    let mut report = TimeReport::default();
    if time.check {
        let bad: Vec<usize> = (0..column.data.len())
            .filter(|at| !time.believable(&column.data, *at))
            .filter(|at| column.nulls.binary_search(&(*at as u32)).is_err())
            .collect();
        if time.continue_on_error {
            report.nulled = bad.len() as u64;
            column.nulls.extend(bad.iter().map(|at| *at as u32));
            column.nulls.sort_unstable();
        } else {
            report.rejects.extend(bad.iter().map(|at| Reject {
                message: rows.message_of_row[*at],
                stage: Stage::Time,
                column: Some(Arc::clone(&time.name)),
                reason: format!("the time {} is not between 1971 and 2071", column.data.get(*at)),
            }));
            report.rejects.dedup_by_key(|reject| reject.message);
        }
    }
    if !column.nulls.is_empty() {
        set_nulls(column, &time.null_time);
    }
    if !report.rejects.is_empty() {
        remove_messages(rows, &report.rejects.iter().map(|reject| reject.message).collect::<Vec<_>>());
    }
    report
}

/// Stores `value` at the null rows of a single-value column.
fn set_nulls(column: &mut Column, value: &Value) {
    let nulls = column.nulls.iter().map(|row| *row as usize);
    match (&mut column.data, value) {
        (ColumnData::Int(values), Value::Int(value)) => nulls.for_each(|at| values[at] = *value),
        (ColumnData::Long(values), Value::Long(value)) => nulls.for_each(|at| values[at] = *value),
        (ColumnData::Float(values), Value::Float(value)) => nulls.for_each(|at| values[at] = *value),
        (ColumnData::Double(values), Value::Double(value)) => nulls.for_each(|at| values[at] = *value),
        (ColumnData::Str(values), Value::Str(value)) => {
            let mut out = BytesColumn::default();
            for (at, old) in values.iter().enumerate() {
                let null = column.nulls.binary_search(&(at as u32)).is_ok();
                out.push(if null { value.as_bytes() } else { old });
            }
            *values = out;
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
