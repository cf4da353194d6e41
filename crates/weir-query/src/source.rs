//! What the engine sees of the node: snapshots of tables, and the tables of the database `system`.

use weir_table::TableSnapshot;
use weir_types::{Column, DataType};

/// A small table that is made when it is asked for.
#[derive(Debug, Clone, Default)]
pub struct SystemTable {
    /// Names and types of its columns.
    pub fields: Vec<(String, DataType)>,
    /// Column `i` belongs to field `i`; all have the same number of rows, nulls are listed in them.
    pub columns: Vec<Column>,
}

/// Where tables come from.
pub trait TableSource: Send + Sync {
    /// What is visible of a table now, by raw name or with its kind's suffix, in any case. Waits for nothing: whoever asks a
    /// small query calls it on its own thread.
    fn table(&self, name: &str) -> Option<TableSnapshot>;
    /// Raw names of all tables.
    fn names(&self) -> Vec<String>;
    /// A table of the database `system`, by name in any case; `None` where there is none of that name. Called on the threads
    /// of queries; may wait.
    ///
    /// # Errors
    /// What it tells cannot be had now, and why.
    fn system(&self, table: &str) -> Result<Option<SystemTable>, String>;
}
