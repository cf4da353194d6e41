//! A record that was tried, and what would become of it, side by side.

use serde_json::{Map, Value as Json, json};
use weir_formats::stages::Cut;
use weir_ingest::{Fate, Tried};
use weir_types::{Column, DataType, FieldSpec, Schema, Value};

/// Bytes of a value that are shown: people read them.
const SHOWN: usize = 16 << 10;

/// Text where it is text, else hexadecimal digits; cut where it is long.
pub(crate) fn shown(bytes: &[u8]) -> Json {
    let cut = &bytes[..bytes.len().min(SHOWN)];
    let text = match std::str::from_utf8(cut) {
        Ok(text) => text.to_owned(),
        // A character may have been cut.
        Err(error) if cut.len() < bytes.len() && error.error_len().is_none() => {
            String::from_utf8_lossy(&cut[..error.valid_up_to()]).into_owned()
        }
        Err(_) => hex(cut),
    };
    Json::String(if cut.len() < bytes.len() { format!("{text}... ({} bytes)", bytes.len()) } else { text })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn value(field: &FieldSpec, value: Value) -> Json {
    match (value, field.data_type) {
        (Value::Int(number), DataType::Boolean) => json!(number != 0),
        (Value::Int(number), _) => json!(number),
        (Value::Long(number), _) => json!(number),
        (Value::Float(number), _) if number.is_finite() => json!(number),
        (Value::Double(number), _) if number.is_finite() => json!(number),
        // JSON has none of these; answers of queries write them so too.
        (Value::Float(number), _) => json!(shown_special(f64::from(number))),
        (Value::Double(number), _) => json!(shown_special(number)),
        (Value::Str(text), _) => json!(&*text),
        (Value::Bytes(bytes), _) => json!(hex(&bytes)),
    }
}

fn shown_special(number: f64) -> &'static str {
    match (number.is_nan(), number > 0.0) {
        (true, _) => "NaN",
        (false, true) => "Infinity",
        (false, false) => "-Infinity",
    }
}

fn cell(field: &FieldSpec, column: &Column, row: usize) -> Json {
    let null = u32::try_from(row).is_ok_and(|row| column.nulls.binary_search(&row).is_ok());
    let mut values = column.values_of(row).map(|at| value(field, column.data.get(at)));
    match (null, field.single_value) {
        (true, _) => Json::Null,
        (false, true) => values.next().unwrap_or(Json::Null),
        (false, false) => values.collect(),
    }
}

/// The record as JSON: `fate` is `ROW`, `FILTERED`, `TOMBSTONE` or `REJECTED`.
#[must_use]
pub fn tried_record(schema: &Schema, tried: &Tried) -> Json {
    let mut record = Map::new();
    let mut put = |key: &str, value: Json| record.insert(key.to_owned(), value);
    put("topic", json!(tried.partition.topic.as_str()));
    put("partition", json!(tried.partition.partition));
    put("offset", json!(tried.offset.number()));
    put("timestampMs", json!(tried.timestamp_ms));
    put("key", tried.key.as_deref().map_or(Json::Null, shown));
    put("value", tried.value.as_deref().map_or(Json::Null, shown));
    tried_fate(&tried.fate, &mut put);
    if let Fate::Rows { columns, .. } = &tried.fate {
        let rows = columns.first().map_or(0, Column::rows);
        put("rows", (0..rows).map(|row| row_of(schema, columns, row)).collect());
        let defaults = defaults(schema, columns, rows);
        if !defaults.is_empty() {
            put("defaults", Json::Object(defaults));
        }
    }
    record.into()
}

/// What is stored in columns that are null in some row: it is what a query sees, unless null handling is on.
fn defaults(schema: &Schema, columns: &[Column], rows: usize) -> Map<String, Json> {
    let cells = schema.fields().iter().zip(columns).filter_map(|(field, column)| {
        let row = column.nulls.iter().map(|row| *row as usize).find(|row| *row < rows)?;
        let stored = column
            .values_of(row)
            .next()
            .map_or_else(|| value(field, field.default_null.clone()), |at| value(field, column.data.get(at)));
        Some((field.name.to_string(), stored))
    });
    cells.collect()
}

/// A row as JSON.
pub(crate) fn row_of(schema: &Schema, columns: &[Column], row: usize) -> Json {
    let cells = schema.fields().iter().zip(columns);
    let cells = cells.map(|(field, column)| (field.name.to_string(), cell(field, column, row)));
    Json::Object(cells.collect())
}

/// Values that are longer than their column allows.
fn cut(cut: &Cut) -> Json {
    let stored = match cut {
        Cut { by_default: true, .. } => "DEFAULT",
        Cut { longest, limit, .. } if *longest <= *limit as usize => "BEFORE_NUL",
        Cut { .. } => "BEGINNING",
    };
    json!({"column": &*cut.column, "length": cut.longest, "maxLength": cut.limit, "stored": stored})
}

/// What would become of a record, without its rows.
pub(crate) fn tried_fate(fate: &Fate, put: &mut impl FnMut(&str, Json) -> Option<Json>) {
    match fate {
        Fate::Rows { altered, cuts, .. } => {
            put("fate", json!("ROW"));
            if *altered {
                put("altered", json!(true));
            }
            if !cuts.is_empty() {
                put("cut", cuts.iter().map(cut).collect());
            }
        }
        Fate::Filtered(dropped) => {
            put("fate", json!("FILTERED"));
            put("stage", json!(dropped.stage()));
            put("reason", json!(dropped.reason()));
        }
        Fate::Tombstone => _ = put("fate", json!("TOMBSTONE")),
        Fate::Rejected { stage, column, reason } => {
            put("fate", json!("REJECTED"));
            put("stage", json!(stage.as_str()));
            put("column", json!(column));
            put("reason", json!(reason));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_as_text_or_digits_and_cut() {
        assert_eq!(shown(b"caf\xc3\xa9"), json!("caf\u{e9}"));
        assert_eq!(shown(&[0xff, 0x01]), json!("ff01"));
        let long = "\u{e9}".repeat(SHOWN);
        let text = shown(long.as_bytes());
        assert!(text.as_str().is_some_and(|text| text.ends_with(&format!("... ({} bytes)", long.len()))));
    }
}
