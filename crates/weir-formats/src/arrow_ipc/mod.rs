//! Arrow IPC streams: one message holds a schema and batches of rows, all of which become rows.
//!
//! A message is stored whole or rejected whole: one row that does not fit takes the others of its message with it. Pinot
//! reads the first batch of a stream only; here all are read. Dictionaries and runs are resolved; dates and times of day are
//! text in text columns and numbers in number columns, timestamps milliseconds; nested values go the way that JSON goes.

mod cells;
mod check;
mod size;

use crate::{
    decoder::{DecodeSpec, Decoded, Decoder, Payload},
    error::FormatError,
    row::{Broken, Refused, RowWriter},
};
use ::arrow_ipc::reader::StreamReader;
use arrow::record_batch::RecordBatch;
use cells::Cells;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use weir_base::tasks::may_panic;
use weir_types::{ColumnData, RowBatch};

/// Settings of the decoder.
pub const KEYS: &[&str] = &["arrow.allocator.limit"];

/// What a message may become in memory where nothing is said: as Pinot's decoder has it.
const DEFAULT_LIMIT: u64 = 256 << 20;

/// After so many rows it is looked how much they take: one of them takes no more than its message is long.
const LOOK_EVERY: usize = 16;

/// Decodes Arrow IPC streams; see the module's head.
#[derive(Debug)]
pub struct ArrowDecoder {
    row: RowWriter,
    columns: HashMap<String, u32>,
    limit: u64,
    text: String,
    json: Vec<u8>,
}

impl ArrowDecoder {
    /// A decoder for the schema of `spec`, with `decoder.prop.` settings.
    pub fn new(settings: &BTreeMap<String, String>, spec: &DecodeSpec) -> Result<Self, FormatError> {
        let limit = match settings.get("arrow.allocator.limit") {
            None => DEFAULT_LIMIT,
            Some(text) => text.trim().parse().ok().filter(|limit| *limit > 0).ok_or_else(|| FormatError::Setting {
                key: "arrow.allocator.limit".to_owned(),
                value: text.clone(),
                reason: "it must be a number of bytes, as 268435456".to_owned(),
            })?,
        };
        Ok(Self {
            row: RowWriter::new(spec),
            columns: spec.sources().map(|(column, source)| (source.to_owned(), column)).collect(),
            limit,
            text: String::new(),
            json: vec![],
        })
    }

    /// Fills the rows of one message.
    fn message(
        &mut self,
        message: &[u8],
        rows: &mut RowBatch,
        decoded: &mut Decoded,
        id: u32,
    ) -> Result<usize, Refused> {
        if message.is_empty() {
            return Err(Broken::new(0, "the message is empty").into());
        }
        check::check(message, self.limit)?;
        let batches = batches(message).map_err(|why| Broken::new(0, format!("this is no Arrow stream: {why}")))?;
        let (mut count, mut room, before) = (0, self.limit, byte_count(rows));
        for batch in &batches {
            let schema = batch.schema();
            let mut cells = vec![];
            for (field, array) in schema.fields().iter().zip(batch.columns()) {
                if let Some(column) = self.columns.get(field.name()) {
                    let found = Cells::new(array, 1, &mut room);
                    let found = found.map_err(|why| Broken::new(0, format!("field {}: {why}", field.name())))?;
                    // Of equal names the last one is the column's.
                    cells.retain(|(other, _)| other != column);
                    cells.push((*column, found));
                }
            }
            for at in 0..batch.num_rows() {
                self.row.begin(rows.rows());
                for (column, found) in &cells {
                    found.fill(at, &mut self.row, rows, *column, (&mut self.text, &mut self.json));
                }
                self.row.finish(rows)?;
                rows.message_of_row.push(id);
                self.row.count(decoded);
                // Rows may share what they hold: views of one text, lists of the same items.
                if at % LOOK_EVERY == 0 && byte_count(rows).saturating_sub(before) > self.limit {
                    let what = format!("its rows take more bytes than arrow.allocator.limit, which is {}", self.limit);
                    return Err(Broken::new(0, what).into());
                }
            }
            count += batch.num_rows();
        }
        Ok(count)
    }
}

/// Bytes of the values of rows.
fn byte_count(rows: &RowBatch) -> u64 {
    let bytes = |column: &weir_types::Column| match &column.data {
        ColumnData::Int(v) => v.len() * 4,
        ColumnData::Float(v) => v.len() * 4,
        ColumnData::Long(v) => v.len() * 8,
        ColumnData::Double(v) => v.len() * 8,
        ColumnData::Str(v) | ColumnData::Bytes(v) => v.byte_count(),
    };
    rows.columns.iter().map(bytes).sum::<usize>() as u64
}

/// The batches of a stream that was checked.
fn batches(message: &[u8]) -> Result<Vec<RecordBatch>, String> {
    // The library errs on bad bytes, but it does not promise that: a panic of its is a bad message too.
    let read = may_panic(|| {
        let reader = StreamReader::try_new(message, None).map_err(|error| error.to_string())?;
        reader.map(|batch| batch.map_err(|error| error.to_string())).collect()
    });
    read.unwrap_or_else(|_| Err("its parts contradict each other".to_owned()))
}

impl Decoder for ArrowDecoder {
    fn decode(&mut self, payloads: &mut dyn Iterator<Item = Payload<'_>>, rows: &mut RowBatch) -> Decoded {
        let mut decoded = Decoded::default();
        for payload in payloads {
            let (row, before) = (rows.rows(), (decoded.altered, decoded.incomplete));
            match self.message(payload.value, rows, &mut decoded, payload.message) {
                Ok(0) => decoded.empty += 1,
                Ok(_) => {}
                Err(refused) => {
                    rows.truncate(row);
                    (decoded.altered, decoded.incomplete) = before;
                    decoded.rejects.push(self.row.reject(payload, refused));
                }
            }
        }
        decoded
    }
}

#[cfg(test)]
mod tests;
