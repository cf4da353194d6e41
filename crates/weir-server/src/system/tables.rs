//! `system.tables`: the tables that there are, as `SHOW TABLES` tells them.

use crate::system::{Cell, Field, long, text};
use weir_control::TableRecord;

/// Its columns.
pub const FIELDS: &[Field<TableRecord>] = &[
    text("tableName", |t| Cell::Text(t.spec.name.to_string())),
    text("tableType", |_| Cell::Text("REALTIME".to_owned())),
    text("topics", |t| {
        let topics: Vec<String> = t.streams().iter().map(|stream| stream.topic.to_string()).collect();
        Cell::Text(topics.join(", "))
    }),
    text("timeColumn", |t| t.spec.time_column.as_ref().map_or(Cell::Null, |name| Cell::Text(name.to_string()))),
    long("columns", |t| Cell::count(t.schema.fields().len() as u64)),
    long("schemaVersion", |t| Cell::Long(t.schema.version.0.into())),
];
