//! `system.audit` and `GET /tables/{t}/audit`: who did what to a table, and what it changed.

use crate::system::{Cell, Field, long, text};
use weir_control::AuditEntry;

/// An entry with its number.
pub type Row = (u64, AuditEntry);

/// Its columns. The newest 10,000 entries of all tables are kept; `number` counts every entry that was ever written.
pub const FIELDS: &[Field<Row>] = &[
    long("number", |(number, _)| Cell::count(*number)),
    long("atMs", |(_, e)| Cell::Long(e.at_ms)),
    text("who", |(_, e)| Cell::Text(e.who.clone())),
    text("action", |(_, e)| Cell::Text(e.action.as_str().to_owned())),
    text("table", |(_, e)| Cell::Text(e.table.to_string())),
    text("topic", |(_, e)| e.topic.as_ref().map_or(Cell::Null, |topic| Cell::Text(topic.to_string()))),
    long("partition", |(_, e)| Cell::maybe(e.partition.map(u64::from))),
    text("before", |(_, e)| Cell::Text(e.before.clone())),
    text("after", |(_, e)| Cell::Text(e.after.clone())),
];
