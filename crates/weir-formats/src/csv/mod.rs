//! Delimited text: one record per message, straight into columns.
//!
//! Only the first record of a message is read; what follows it is passed over and counted as altered. Fields are found by
//! the position of their name in the header. An empty field is null, whatever the column's type, and so is the text of
//! `nullStringValue`. Fields of multi-value columns are cut at `multiValueDelimiter`; those of other columns never are.

mod scan;
mod settings;

use crate::{
    coerce::Source,
    decoder::{BYTE_ORDER_MARK, DecodeSpec, Decoded, Decoder, Payload},
    error::FormatError,
    row::{Broken, RowWriter},
};
use hashbrown::HashMap;
use scan::{Behind, Dialect, Scan};
use settings::{Header, Settings};
use std::collections::BTreeMap;
use weir_types::RowBatch;

pub use settings::KEYS;

/// Decodes delimited text; see the module's head.
#[derive(Debug)]
pub struct CsvDecoder {
    row: RowWriter,
    columns: Columns,
    settings: Settings,
    buffer: String,
}

/// Where fields go.
#[derive(Debug)]
struct Columns {
    by_name: HashMap<String, u32>,
    multi: Vec<bool>,
    /// Per field of the record; `None`: no column has its name.
    of_field: Vec<Option<u32>>,
    /// The line that names them, where messages bring their own.
    line: String,
}

impl Columns {
    /// Where a name stands twice, the last one is the column's.
    fn name(&mut self, name: &str) {
        let column = self.by_name.get(name).copied();
        if column.is_some() {
            self.of_field.iter_mut().filter(|before| **before == column).for_each(|before| *before = None);
        }
        self.of_field.push(column);
    }
}

impl CsvDecoder {
    /// A decoder for the schema of `spec`, with `decoder.prop.` settings.
    pub fn new(settings: &BTreeMap<String, String>, spec: &DecodeSpec) -> Result<Self, FormatError> {
        let settings = Settings::read(settings)?;
        let mut columns = Columns {
            by_name: spec.sources().map(|(column, name)| (name.to_owned(), column)).collect(),
            multi: spec.schema.fields().iter().map(|field| !field.single_value).collect(),
            of_field: vec![],
            line: String::new(),
        };
        if let Header::Given(names) = &settings.header {
            names.iter().for_each(|name| columns.name(name));
        }
        Ok(Self { row: RowWriter::new(spec), columns, settings, buffer: String::new() })
    }
}

impl Decoder for CsvDecoder {
    fn decode(&mut self, payloads: &mut dyn Iterator<Item = Payload<'_>>, rows: &mut RowBatch) -> Decoded {
        let Self { row, columns, settings, buffer } = self;
        row.batch(payloads, rows, |row, message, rows| record(row, columns, settings, buffer, message, rows))
    }
}

fn record(
    row: &mut RowWriter,
    columns: &mut Columns,
    settings: &Settings,
    buffer: &mut String,
    message: &[u8],
    rows: &mut RowBatch,
) -> Result<(), Broken> {
    let text =
        std::str::from_utf8(message).map_err(|error| Broken::new(error.valid_up_to(), "the text is not UTF-8"))?;
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let dialect = &settings.dialect;
    let mut scan = Scan { text, at: 0 };
    if settings.header == Header::InMessage {
        header(&mut scan, columns, settings, buffer)?;
    } else if settings.skip_header && scan.at_record(dialect) {
        while scan.field(dialect, buffer)?.1 == Behind::Field {}
    }
    if !scan.at_record(dialect) {
        return Err(Broken::new(scan.at, "no record is in the message"));
    }
    let mut at = 0;
    loop {
        let (field, behind) = scan.field(dialect, buffer)?;
        if let Some(Some(column)) = columns.of_field.get(at)
            && !field.is_empty()
            && dialect.null.as_deref() != Some(field)
        {
            if columns.multi[*column as usize] {
                let several = field.split(settings.multi_value).filter(|value| !value.is_empty());
                several.for_each(|value| row.element(rows, *column, Source::Text(value)));
            } else {
                row.value(rows, *column, Source::Text(field));
            }
        }
        at += 1;
        match behind {
            Behind::Field => {}
            Behind::Nothing => return Ok(()),
            Behind::Line => break,
        }
    }
    if scan.at_record(dialect) && !text[scan.at..].trim_matches(['\r', '\n', ' ']).is_empty() {
        row.alter();
    }
    Ok(())
}

/// Reads the names from the message's first line: most messages have the line of the one before.
fn header(scan: &mut Scan<'_>, columns: &mut Columns, settings: &Settings, buffer: &mut String) -> Result<(), Broken> {
    let dialect = &settings.dialect;
    if !columns.line.is_empty() && scan.text.starts_with(&columns.line) {
        scan.at = columns.line.len();
        return Ok(());
    }
    columns.of_field.clear();
    columns.line.clear();
    if !scan.at_record(dialect) {
        return Err(Broken::new(scan.at, "no record is in the message"));
    }
    loop {
        let (name, behind) = scan.field(dialect, buffer)?;
        columns.name(name);
        if behind == Behind::Nothing {
            let what = "only one line is in the message, and it is taken as the header: name the fields in header";
            return Err(Broken::new(scan.at, what));
        }
        if behind == Behind::Line {
            scan.text[..scan.at].clone_into(&mut columns.line);
            return Ok(());
        }
    }
}

/// The fields of a text's first record with a delimiter and nothing else set, or `None` where it is broken or holds none.
#[must_use]
pub fn fields(text: &str, delimiter: u8) -> Option<Vec<String>> {
    let dialect = Dialect { delimiter, ..Dialect::PLAIN };
    let (mut scan, mut buffer, mut fields) = (Scan { text, at: 0 }, String::new(), vec![]);
    if !scan.at_record(&dialect) {
        return None;
    }
    loop {
        let (field, behind) = scan.field(&dialect, &mut buffer).ok()?;
        fields.push(field.to_owned());
        if behind != Behind::Field {
            return Some(fields);
        }
    }
}

#[cfg(test)]
mod tests;
