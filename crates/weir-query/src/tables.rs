//! The tables of one query: each is taken once, all mentions of it see the same snapshot.

use crate::{
    answer::QueryException,
    dialect::{ScopeColumn, Table, Tables},
    error::{Code, Stage, did_you_mean, exception, near},
    one_table::OneTable,
    planner::QueryTables,
    provider::{Missed, SnapshotTable, system_table},
    source::TableSource,
};
use datafusion::catalog::TableProvider;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};
use weir_table::TableSnapshot;

/// The database of tables that describe the node.
pub(crate) const SYSTEM: &str = "system";

/// The database of tables that name none.
const DEFAULT: &str = "default";

/// Names of the tables that a query has taken so far, as those spell them, in the order of their first mention. Shared
/// with whoever answers for a query that did not end.
pub(crate) type Names = Arc<Mutex<Vec<String>>>;

/// What a query has taken so far.
pub(crate) struct Taken<'a> {
    source: &'a dyn TableSource,
    database: Option<String>,
    nulls: bool,
    host: Arc<str>,
    snapshots: Vec<Snapshot>,
    names: Names,
    tables: HashMap<String, Table>,
    /// Those of the node, by key.
    system: QueryTables,
}

/// A table's snapshot.
struct Snapshot {
    /// What the rewritten text calls it.
    key: String,
    table: Arc<TableSnapshot>,
    /// Null rows come as nulls.
    nullable: bool,
    /// What its scans could not open.
    missed: Missed,
}

impl<'a> Taken<'a> {
    pub(crate) fn new(
        source: &'a dyn TableSource,
        database: Option<String>,
        nulls: bool,
        host: Arc<str>,
        names: Names,
    ) -> Self {
        Self {
            source,
            database,
            nulls,
            host,
            snapshots: vec![],
            names,
            tables: HashMap::new(),
            system: QueryTables::new(),
        }
    }

    pub(crate) fn snapshots(&self) -> impl Iterator<Item = &Arc<TableSnapshot>> {
        self.snapshots.iter().map(|snapshot| &snapshot.table)
    }

    /// The tables under the names that the rewritten text has for them. Of a query of one table it is that one.
    pub(crate) fn providers(&self, one: Option<&OneTable>) -> QueryTables {
        let provider = |snapshot: &Snapshot| -> Arc<dyn TableProvider> {
            let asked = |column: &str| one.is_none_or(|one| one.mentions(column));
            let (table, missed) = (snapshot.table.clone(), snapshot.missed.clone());
            Arc::new(SnapshotTable::new(table, missed, snapshot.nullable, self.host.clone(), &asked))
        };
        let name = |key: &str| one.map_or(key, |one| &one.name).to_owned();
        let snapshots = self.snapshots.iter().map(|snapshot| (name(&snapshot.key), provider(snapshot)));
        let system = self.system.iter().map(|(key, table)| (name(key), table.clone()));
        snapshots.chain(system).collect()
    }

    /// What the snapshots lack, and what scans could not open of them.
    pub(crate) fn lacks(&self) -> impl Iterator<Item = String> {
        self.snapshots.iter().flat_map(|snapshot| {
            let lacks = snapshot.table.lacks.iter().cloned().chain(snapshot.missed.lacks());
            lacks.map(|lack| format!("table '{}' is not complete: {}", snapshot.table.table, lack.what))
        })
    }

    fn missing(&self, name: &str) -> QueryException {
        let names = self.source.names();
        let close = did_you_mean(&near(name, names.iter().map(String::as_str)));
        QueryException::new(Code::TableDoesNotExist, format!("table '{name}' does not exist{close}"))
    }

    fn keep(&mut self, table: Table, name: String) -> Table {
        self.tables.insert(table.key.clone(), table.clone());
        self.names.lock().push(name);
        table
    }

    fn take_system(&mut self, name: &str) -> Result<Table, QueryException> {
        let key = format!("{SYSTEM}.{}", name.to_lowercase());
        if let Some(table) = self.tables.get(&key) {
            return Ok(table.clone());
        }
        let unavailable =
            |cause| QueryException::new(Code::QueryExecution, format!("table '{key}' cannot be read now: {cause}"));
        let Some(table) = self.source.system(name).map_err(unavailable)? else {
            let what = format!("table '{name}' of database '{SYSTEM}' does not exist");
            return Err(QueryException::new(Code::TableDoesNotExist, what));
        };
        let column = |(name, data_type): &(String, _)| ScopeColumn {
            name: name.clone(),
            data_type: *data_type,
            single_value: true,
            hidden: false,
        };
        let columns = table.fields.iter().map(column).collect();
        let provider = system_table(table).map_err(|error| exception(&error, Stage::Planning))?;
        let taken = Table { key: key.clone(), name: name.to_lowercase(), columns, null_flags: false, nullable: true };
        self.system.insert(key.clone(), Arc::new(provider));
        Ok(self.keep(taken, key))
    }

    fn take_table(&mut self, name: &str) -> Result<Table, QueryException> {
        let lower = name.to_lowercase();
        let same = |table: &&Table| table.name.to_lowercase() == lower && !table.key.starts_with("system.");
        if let Some(table) = self.tables.values().find(same) {
            return Ok(table.clone());
        }
        let snapshot = Arc::new(self.source.table(name).ok_or_else(|| self.missing(name))?);
        if snapshot.disabled {
            let what = format!(
                "table '{name}' is disabled: PUT /tables/{}/state?state=enable of the controller ends that",
                snapshot.table
            );
            return Err(QueryException::new(Code::TableIsDisabled, what));
        }
        let own_name = snapshot.table.to_string();
        // A table mentioned once with its suffix and once without is one table.
        if let Some(table) = self.tables.get(&own_name) {
            return Ok(table.clone());
        }
        let real = snapshot.schema.fields().iter().map(|field| ScopeColumn {
            name: field.name.to_string(),
            data_type: field.data_type,
            single_value: field.single_value,
            hidden: false,
        });
        let hidden = crate::provider::VIRTUAL.iter().map(|(name, data_type)| ScopeColumn {
            name: (*name).to_owned(),
            data_type: *data_type,
            single_value: true,
            hidden: true,
        });
        let nulls_kept = snapshot.spec.null_handling;
        let nullable = nulls_kept && self.nulls;
        let taken = Table {
            key: own_name.clone(),
            name: own_name.clone(),
            columns: real.chain(hidden).collect(),
            null_flags: nulls_kept && !nullable,
            nullable,
        };
        let (key, missed) = (own_name.clone(), Missed::default());
        self.snapshots.push(Snapshot { key, table: snapshot, nullable, missed });
        Ok(self.keep(taken, own_name))
    }
}

impl Tables for Taken<'_> {
    fn take(&mut self, parts: &[String]) -> Result<Table, QueryException> {
        let (database, name) = match parts {
            [name] => match name.split_once('.') {
                Some((database, name)) => (database.to_owned(), name),
                None => (self.database.clone().unwrap_or_else(|| DEFAULT.to_owned()), name.as_str()),
            },
            [database, name] => (database.clone(), name.as_str()),
            parts => {
                let what = format!("'{}' does not name a table: table or database.table does", parts.join("."));
                return Err(QueryException::new(Code::TableDoesNotExist, what));
            }
        };
        if database.eq_ignore_ascii_case(SYSTEM) {
            self.take_system(name)
        } else if database.eq_ignore_ascii_case(DEFAULT) {
            self.take_table(name)
        } else {
            let what = format!("database '{database}' does not exist: '{DEFAULT}' and '{SYSTEM}' do");
            Err(QueryException::new(Code::TableDoesNotExist, what))
        }
    }
}
