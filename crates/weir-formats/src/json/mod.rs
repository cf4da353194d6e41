//! JSON objects straight into columns.
//!
//! No document is built and nothing is allocated per record. Events of one producer have their fields in one order,
//! so the decoder remembers what stood between the values of the last record (`,"price":` with its spaces) and which
//! column followed; where the same bytes stand again, the column is known by one comparison. Otherwise the key is read
//! and looked up. What is skipped is checked as strictly as what is kept.
//!
//! Rules: the top level is an object; bytes after it are passed over and counted as altered; of equal keys the last
//! wins; absent and `null` are null; nesting goes to 128 levels; a surrogate without its partner becomes U+FFFD and is
//! counted as altered. Arrays lose their nulls; an empty one is null; one value stands for itself; several do not fit a
//! single-value column.

pub mod binary;
pub(crate) mod cell;
pub(crate) mod scan;
pub(crate) mod text;

use crate::{
    coerce::Source,
    decoder::{BYTE_ORDER_MARK, DecodeSpec, Decoded, Decoder, Payload, Reject, Stage, WHOLE_RECORD},
    raw,
    row::shorten,
};
use cell::{Cell, Scratch, fill};
use hashbrown::HashMap;
use scan::{Broken, Scan, Step};
use std::sync::Arc;
use text::unescape;
use weir_types::{DataType, RowBatch, Value};

/// Fields of a record whose order is remembered. Beyond that the key is looked up: a bound on memory for records whose
/// keys are data.
const MAX_LEADS: usize = 1024;
/// How many remembered fields may be missing in a row before the key is looked up.
const LOOK_AHEAD: usize = 3;

/// What a column needs while decoding.
#[derive(Debug)]
struct Target {
    name: Arc<str>,
    data_type: DataType,
    default: Value,
    /// Kept as it is found.
    raw: bool,
    /// The record that last set it.
    set_by: u64,
}

/// What stood before a value in the last record, and where the value went.
#[derive(Debug, Default)]
struct Lead {
    bytes: Vec<u8>,
    /// Its first bytes and which of them there are, where these are all.
    begin: Option<(u128, u128)>,
    /// `None`: no column has this name.
    column: Option<u32>,
}

/// The bytes of a short text as a number, and a mask over as many.
fn beginning(bytes: &[u8]) -> Option<(u128, u128)> {
    let mut begin = [0; 16];
    begin.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let unused = u128::BITS - 8 * u32::try_from(bytes.len()).ok()?;
    Some((u128::from_le_bytes(begin), u128::MAX.checked_shr(unused)?))
}

impl Lead {
    /// Whether the text begins with it.
    #[inline]
    fn begins(&self, text: &[u8]) -> bool {
        match (self.begin, text.first_chunk()) {
            (Some((begin, mask)), Some(first)) => u128::from_le_bytes(*first) & mask == begin,
            _ => text.starts_with(&self.bytes),
        }
    }
}

/// Why a record became no row.
enum Refused {
    Broken(Broken),
    Unfit,
}

/// Decodes JSON objects; see the module's head.
#[derive(Debug)]
pub struct JsonDecoder {
    targets: Vec<Target>,
    by_name: HashMap<Box<[u8]>, u32>,
    /// The column that takes the whole record.
    whole: Option<u32>,
    leads: Vec<Lead>,
    continue_on_error: bool,
    /// Counts records, from 1.
    record: u64,
    /// Columns of the current record whose value did not fit, with the reason.
    unfit: Vec<(u32, String)>,
    /// Columns of the current record whose value was altered.
    altered: Vec<u32>,
    /// Columns that the current record has set.
    set: usize,
    scratch: Scratch,
    key: Vec<u8>,
}

impl JsonDecoder {
    /// A decoder for the schema of `spec`.
    #[must_use]
    pub fn new(spec: &DecodeSpec) -> Self {
        let fields = spec.schema.fields();
        let targets = fields.iter().enumerate().map(|(at, field)| Target {
            name: field.name.as_str().into(),
            data_type: field.data_type,
            default: field.default_null.clone(),
            raw: spec.is_raw(at),
            set_by: 0,
        });
        let is_whole = |at: u32| fields[at as usize].name.as_str() == WHOLE_RECORD && spec.is_raw(at as usize);
        let by_name = (0u32..).zip(fields).filter(|(at, _)| !is_whole(*at));
        let by_name = by_name.map(|(at, field)| (field.name.as_str().as_bytes().into(), at)).collect();
        Self {
            targets: targets.collect(),
            by_name,
            whole: (0u32..).take(fields.len()).find(|at| is_whole(*at)),
            leads: vec![],
            continue_on_error: spec.continue_on_error,
            record: 0,
            unfit: vec![],
            altered: vec![],
            set: 0,
            scratch: Scratch::default(),
            key: vec![],
        }
    }

    /// Reads one record into row `row` of every column.
    fn record(&mut self, value: &[u8], rows: &mut RowBatch, row: usize) -> Result<(), Refused> {
        self.record += 1;
        self.set = 0;
        self.unfit.clear();
        self.altered.clear();
        let (bytes, not_text) = match std::str::from_utf8(value) {
            Ok(_) => (value, None),
            Err(error) => (&value[..error.valid_up_to()], Some(error.valid_up_to())),
        };
        let mut scan = Scan::new(bytes);
        self.object(&mut scan, rows, row).map_err(|broken| match not_text {
            Some(at) if broken.at >= at => Refused::Broken(Broken { at, what: "the text is not UTF-8" }),
            _ => Refused::Broken(broken),
        })?;
        if let Some(at) = self.whole {
            let record = std::str::from_utf8(&bytes[..scan.at]).expect("the record is UTF-8 and ends at its brace");
            raw::push(Source::Json(record), &mut rows.columns[at as usize], &mut self.key);
            self.targets[at as usize].set_by = self.record;
            self.set += 1;
        }
        scan.skip_space();
        if scan.at < value.len() {
            // Named by no column: the row as such was altered.
            self.altered.push(u32::MAX);
        }
        if self.set < self.targets.len() {
            for (target, column) in self.targets.iter().zip(&mut rows.columns) {
                if target.set_by != self.record {
                    column.push_null(&target.default);
                }
            }
        }
        if self.unfit.is_empty() || self.continue_on_error { Ok(()) } else { Err(Refused::Unfit) }
    }

    /// Reads the object; the cursor stands after its closing brace afterwards.
    fn object(&mut self, scan: &mut Scan<'_>, rows: &mut RowBatch, row: usize) -> Step<()> {
        let mut cursor = 0;
        loop {
            let column = match self.predicted(scan, &mut cursor) {
                Some(column) => column,
                None => match self.next_field(scan, &mut cursor)? {
                    Some(column) => column,
                    None => return Ok(()),
                },
            };
            match column {
                Some(column) => self.cell(scan, column, rows, row)?,
                None => {
                    scan.skip_value(1)?;
                }
            }
        }
    }

    /// The column of the next value where its lead is one of those expected now.
    #[inline]
    fn predicted(&self, scan: &mut Scan<'_>, cursor: &mut usize) -> Option<Option<u32>> {
        let rest = &scan.bytes[scan.at..];
        let ahead = if *cursor == 0 { 1 } else { 1 + LOOK_AHEAD };
        for (step, lead) in self.leads.iter().skip(*cursor).take(ahead).enumerate() {
            if lead.begins(rest) {
                scan.at += lead.bytes.len();
                *cursor += step + 1;
                return Some(lead.column);
            }
        }
        None
    }

    /// Reads what stands before the next value, or the end of the object (`None`), and remembers it.
    #[cold]
    fn next_field(&mut self, scan: &mut Scan<'_>, cursor: &mut usize) -> Step<Option<Option<u32>>> {
        let start = scan.at;
        scan.skip_space();
        match (*cursor, scan.peek()) {
            (0, Some(b'{')) if start == 0 => {
                scan.at += 1;
                scan.skip_space();
                if scan.peek() == Some(b'}') {
                    scan.at += 1;
                    return Ok(None);
                }
            }
            (0, _) if start == 0 => {
                let empty = scan.at == scan.bytes.len();
                return Err(Broken {
                    at: scan.at,
                    what: if empty { "the message is empty" } else { "a JSON object is expected" },
                });
            }
            (_, Some(b',')) => scan.at += 1,
            (_, Some(b'}')) => {
                scan.at += 1;
                return Ok(None);
            }
            _ => return scan.broken("a comma or a closing brace is expected"),
        }
        let key = scan.key()?;
        scan.skip_space();
        let column = if key.escaped {
            self.key.clear();
            unescape(key.bytes, &mut self.key);
            self.by_name.get(self.key.as_slice()).copied()
        } else {
            self.by_name.get(key.bytes).copied()
        };
        if *cursor < MAX_LEADS {
            if *cursor == self.leads.len() {
                self.leads.push(Lead::default());
            }
            let lead = &mut self.leads[*cursor];
            lead.bytes.clear();
            lead.bytes.extend_from_slice(&scan.bytes[start..scan.at]);
            lead.begin = beginning(&lead.bytes);
            lead.column = column;
        }
        *cursor += 1;
        Ok(Some(column))
    }

    /// Reads a value into a column.
    #[inline]
    fn cell(&mut self, scan: &mut Scan<'_>, at: u32, rows: &mut RowBatch, row: usize) -> Step<()> {
        let target = &mut self.targets[at as usize];
        let column = &mut rows.columns[at as usize];
        if target.set_by == self.record {
            // The key came before: this value takes the place of that one, and so do its faults.
            column.truncate(row);
            self.unfit.retain(|(column, _)| *column != at);
            self.altered.retain(|column| *column != at);
        } else {
            target.set_by = self.record;
            self.set += 1;
        }
        let start = scan.at;
        let found = if target.raw {
            self.scratch.raw(scan, column)?
        } else {
            fill(scan, target.data_type, column, &mut self.scratch)?
        };
        match found {
            Cell::Stored => {}
            Cell::Altered => self.altered.push(at),
            Cell::Null => {
                column.truncate(row);
                column.push_null(&target.default);
            }
            Cell::Unfit(unfit) => {
                column.truncate(row);
                column.push_null(&target.default);
                let reason = if self.continue_on_error {
                    String::new()
                } else {
                    let value = shorten(scan.bytes[start..scan.at].trim_ascii_start());
                    format!("{} takes {}, got {value}", target.data_type, unfit.0)
                };
                self.unfit.push((at, reason));
            }
        }
        Ok(())
    }
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, payloads: &mut dyn Iterator<Item = Payload<'_>>, rows: &mut RowBatch) -> Decoded {
        let mut decoded = Decoded::default();
        for payload in payloads {
            let row = rows.rows();
            let payload = Payload {
                value: payload.value.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(payload.value),
                ..payload
            };
            match self.record(payload.value, rows, row) {
                Ok(()) => {
                    rows.message_of_row.push(payload.message);
                    decoded.altered += u32::from(!self.altered.is_empty());
                    decoded.incomplete += u32::from(!self.unfit.is_empty());
                }
                Err(refused) => {
                    rows.truncate(row);
                    decoded.rejects.push(self.reject(payload, &refused));
                }
            }
        }
        decoded
    }
}

impl JsonDecoder {
    fn reject(&mut self, payload: Payload<'_>, refused: &Refused) -> Reject {
        let (stage, column, reason) = match refused {
            Refused::Broken(Broken { at, what }) => {
                let near = &payload.value[(*at).min(payload.value.len())..];
                let near = if near.is_empty() { String::new() } else { format!(", near {}", shorten(near)) };
                (Stage::Decode, None, format!("{what} (byte {at} of {}{near})", payload.value.len()))
            }
            Refused::Unfit => {
                let (at, reason) = self.unfit.swap_remove(0);
                (Stage::DataType, Some(self.targets[at as usize].name.clone()), reason)
            }
        };
        Reject { message: payload.message, stage, column, reason }
    }
}

#[cfg(test)]
mod tests;
