//! One row being filled: what the decoders of all formats but JSON's own do with the values that they find.
//!
//! A record begins, values come in any order and go straight into their columns, the record is finished: columns without a
//! value get their null, multi-value cells end. A value that does not fit is remembered; when the record is finished it is
//! either the reason to refuse it, or a null in an incomplete row. Arrays lose their nulls, an empty one is null, one value
//! stands for itself. What is nested deeper is written as JSON text first and goes the way that JSON goes.

use crate::{
    coerce::{self, Fit, Source, Unfit},
    decoder::{DecodeSpec, Decoded, Payload, Reject, Stage},
    json::{
        cell::{Cell, SEVERAL, Scratch, fill},
        scan::Scan,
    },
    raw,
};
use std::sync::Arc;
use weir_types::{ColumnData, DataType, RowBatch, Value};

const NO_JSON: Unfit = Unfit("a value that can be written as JSON of at most 128 levels");

/// How much of a value is quoted in a reject.
const QUOTED: usize = 80;

/// The bytes of a message are not what the format asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Byte position in the message.
    pub(crate) at: usize,
    /// What is wrong there.
    pub(crate) what: String,
}

impl Broken {
    #[cold]
    pub(crate) fn new(at: usize, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }
}

/// Why a record became no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    Broken(Broken),
    /// A value of it fits its column not; the row knows which.
    Unfit,
}

impl From<Broken> for Refused {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

#[derive(Debug)]
struct Target {
    name: Arc<str>,
    data_type: DataType,
    default: Value,
    /// Kept as it is found.
    raw: bool,
}

/// Fills the columns of one schema, record by record.
#[derive(Debug)]
pub(crate) struct RowWriter {
    targets: Vec<Target>,
    continue_on_error: bool,
    /// A message without bytes is a record of the format.
    takes_empty: bool,
    /// The row that is being filled.
    row: usize,
    /// Single-value columns that have their value: where all have, finishing looks at none.
    filled: usize,
    /// Columns whose value did not fit, with the reason.
    unfit: Vec<(u32, String)>,
    altered: bool,
    out: Vec<u8>,
    scratch: Scratch,
}

impl RowWriter {
    pub(crate) fn new(spec: &DecodeSpec) -> Self {
        let target = |(at, field): (usize, &weir_types::FieldSpec)| Target {
            name: field.name.as_str().into(),
            data_type: field.data_type,
            default: field.default_null.clone(),
            raw: spec.is_raw(at),
        };
        Self {
            targets: spec.schema.fields().iter().enumerate().map(target).collect(),
            continue_on_error: spec.continue_on_error,
            takes_empty: false,
            row: 0,
            filled: 0,
            unfit: vec![],
            altered: false,
            out: vec![],
            scratch: Scratch::default(),
        }
    }

    /// For a format in which no bytes are a record.
    pub(crate) fn taking_empty(self) -> Self {
        Self { takes_empty: true, ..self }
    }

    pub(crate) fn data_type(&self, column: u32) -> DataType {
        self.targets[column as usize].data_type
    }

    /// Bytes were passed over, or a character replaced.
    pub(crate) fn alter(&mut self) {
        self.altered = true;
    }

    /// Begins the record of row `row`.
    pub(crate) fn begin(&mut self, row: usize) {
        self.row = row;
        self.filled = 0;
        self.unfit.clear();
        self.altered = false;
    }

    /// The value of a column that has none yet in this record.
    #[inline]
    pub(crate) fn value(&mut self, rows: &mut RowBatch, column: u32, source: Source<'_>) {
        let data_type = self.targets[column as usize].data_type;
        let cell = &mut rows.columns[column as usize];
        // The common event is made of these; the matrix knows the rest.
        match (source, &mut cell.data, data_type) {
            (Source::Text(text), ColumnData::Str(out), DataType::String) => out.push(text.as_bytes()),
            (Source::Integer(value), ColumnData::Long(out), DataType::Long | DataType::Timestamp)
            | (Source::Timestamp(value), ColumnData::Long(out), _) => out.push(value),
            (Source::Double(value), ColumnData::Double(out), _) if !value.is_nan() => out.push(value + 0.0),
            (Source::Integer(value), ColumnData::Int(out), DataType::Int) if i32::try_from(value).is_ok() => {
                out.push(value as i32);
            }
            _ => return self.coerced(rows, column, source),
        }
        self.filled += usize::from(cell.ends.is_none());
    }

    fn coerced(&mut self, rows: &mut RowBatch, column: u32, source: Source<'_>) {
        let Target { data_type, raw, .. } = self.targets[column as usize];
        let cell = &mut rows.columns[column as usize];
        if raw {
            raw::push(source, cell, &mut self.out);
            self.filled += 1;
            return;
        }
        match coerce::push(data_type, source, &mut cell.data, &mut self.out) {
            Ok(fit) => {
                self.altered |= fit == Fit::Altered;
                self.filled += usize::from(cell.ends.is_none() && fit != Fit::Null);
            }
            Err(unfit) => {
                let shown = if self.continue_on_error { String::new() } else { coerce::shown(source) };
                self.refuse(column, unfit, &shown);
            }
        }
    }

    /// A list begins, which may have no values: raw it is a value then, typed it is none.
    #[inline]
    pub(crate) fn list(&mut self, rows: &mut RowBatch, column: u32) {
        if self.targets[column as usize].raw && rows.columns[column as usize].data.len() == self.row {
            raw::push_list(&mut rows.columns[column as usize]);
            self.filled += 1;
        }
    }

    /// One more value of a column: a multi-value one takes it, another only where it is the first.
    pub(crate) fn element(&mut self, rows: &mut RowBatch, column: u32, source: Source<'_>) {
        let cell = &mut rows.columns[column as usize];
        if self.targets[column as usize].raw {
            self.filled += usize::from(cell.data.len() == self.row);
            return raw::push_element(source, cell, self.row, &mut self.out);
        }
        if cell.ends.is_none() && cell.data.len() > self.row {
            let shown =
                if self.continue_on_error { String::new() } else { format!("another: {}", coerce::shown(source)) };
            return self.refuse(column, SEVERAL, &shown);
        }
        self.value(rows, column, source);
    }

    /// A value in the form of JSON text, by JSON's rules.
    pub(crate) fn json(&mut self, rows: &mut RowBatch, column: u32, text: &[u8]) {
        let Target { data_type, raw, .. } = self.targets[column as usize];
        let cell = &mut rows.columns[column as usize];
        if raw {
            match raw::fill(&mut Scan::new(text), cell, &mut vec![], &mut self.out) {
                Ok(found) => self.filled += usize::from(found),
                Err(broken) => self.refuse(column, NO_JSON, broken.what),
            }
            return;
        }
        let found = fill(&mut Scan::new(text), data_type, cell, &mut self.scratch);
        match found {
            Ok(Cell::Stored) => self.filled += usize::from(cell.ends.is_none()),
            Ok(Cell::Altered) => {
                self.altered = true;
                self.filled += usize::from(cell.ends.is_none());
            }
            Ok(Cell::Null) => cell.truncate(self.row),
            Ok(Cell::Unfit(unfit)) => {
                let shown = if self.continue_on_error { String::new() } else { shorten(text) };
                self.refuse(column, unfit, &shown);
            }
            Err(broken) => self.refuse(column, NO_JSON, broken.what),
        }
    }

    /// Takes back what this record has given a column: another value takes its place.
    pub(crate) fn take_back(&mut self, rows: &mut RowBatch, column: u32) {
        let cell = &mut rows.columns[column as usize];
        self.filled -= usize::from(cell.ends.is_none() && cell.data.len() > self.row);
        cell.truncate(self.row);
        self.unfit.retain(|(unfit, _)| *unfit != column);
    }

    /// The column cannot take what was found.
    #[cold]
    fn refuse(&mut self, column: u32, unfit: Unfit, shown: &str) {
        if self.unfit.iter().any(|(refused, _)| *refused == column) {
            return;
        }
        let reason = if self.continue_on_error {
            String::new()
        } else {
            format!("{} takes {}, got {shown}", self.targets[column as usize].data_type, unfit.0)
        };
        self.unfit.push((column, reason));
    }

    /// Ends the record: it is a row, or there was a value that did not fit.
    pub(crate) fn finish(&mut self, rows: &mut RowBatch) -> Result<(), Refused> {
        if self.filled < self.targets.len() || !self.unfit.is_empty() {
            self.complete(rows);
        }
        if self.unfit.is_empty() || self.continue_on_error { Ok(()) } else { Err(Refused::Unfit) }
    }

    fn complete(&mut self, rows: &mut RowBatch) {
        for (column, _) in &self.unfit {
            rows.columns[*column as usize].truncate(self.row);
        }
        for (target, cell) in self.targets.iter().zip(&mut rows.columns) {
            match &cell.ends {
                Some(ends) if ends.len() - 1 == self.row => {
                    let end = *ends.last().expect("the first position is always there") as usize;
                    if cell.data.len() > end {
                        cell.end_row();
                    } else {
                        cell.push_null(&target.default);
                    }
                }
                None if cell.data.len() == self.row => cell.push_null(&target.default),
                _ => {}
            }
        }
    }

    /// Counts what was done to the row that ended last.
    pub(crate) fn count(&self, decoded: &mut Decoded) {
        decoded.altered += u32::from(self.altered);
        decoded.incomplete += u32::from(!self.unfit.is_empty());
    }

    /// Runs a batch through `record`, which fills one row from one message. What it refuses leaves no trace.
    pub(crate) fn batch(
        &mut self,
        payloads: &mut dyn Iterator<Item = Payload<'_>>,
        rows: &mut RowBatch,
        mut record: impl FnMut(&mut Self, &[u8], &mut RowBatch) -> Result<(), Broken>,
    ) -> Decoded {
        let mut decoded = Decoded::default();
        for payload in payloads {
            let row = rows.rows();
            self.begin(row);
            let found = if payload.value.is_empty() && !self.takes_empty {
                Err(Broken::new(0, "the message is empty").into())
            } else {
                record(self, payload.value, rows).map_err(Refused::Broken).and_then(|()| self.finish(rows))
            };
            match found {
                Ok(()) => {
                    rows.message_of_row.push(payload.message);
                    self.count(&mut decoded);
                }
                Err(refused) => {
                    rows.truncate(row);
                    decoded.rejects.push(self.reject(payload, refused));
                }
            }
        }
        decoded
    }

    #[cold]
    pub(crate) fn reject(&mut self, payload: Payload<'_>, refused: Refused) -> Reject {
        let (stage, column, reason) = match refused {
            Refused::Broken(Broken { at, what }) => {
                (Stage::Decode, None, format!("{what} (byte {at} of {})", payload.value.len()))
            }
            Refused::Unfit => {
                let (at, reason) = self.unfit.swap_remove(0);
                (Stage::DataType, Some(self.targets[at as usize].name.clone()), reason)
            }
        };
        Reject { message: payload.message, stage, column, reason }
    }
}

/// The beginning of a value, for people.
pub(crate) fn shorten(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(QUOTED)]);
    if bytes.len() > QUOTED { format!("{text}... ({} bytes)", bytes.len()) } else { text.into_owned() }
}
