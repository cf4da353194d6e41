//! The tables of one query: each is taken once, all mentions of it see the same snapshot.

use crate::{
    answer::QueryException,
    dialect::{ScopeColumn, Table, Tables},
    error::{Code, Stage, did_you_mean, exception, near},
    planner::QueryTables,
    provider::{Missed, SnapshotTable, system_table},
    source::TableSource,
};
use datafusion::catalog::TableProvider;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};
use weir_table::TableSnapshot;

/// The database of tables that describe the node.
const SYSTEM: &str = "system";

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
    snapshots: Vec<Arc<TableSnapshot>>,
    /// What its scans could not open, by snapshot.
    missed: Vec<Missed>,
    names: Names,
    tables: HashMap<String, Table>,
    providers: QueryTables,
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
            missed: vec![],
            names,
            tables: HashMap::new(),
            providers: QueryTables::new(),
        }
    }

    pub(crate) fn snapshots(&self) -> impl Iterator<Item = &Arc<TableSnapshot>> {
        self.snapshots.iter()
    }

    pub(crate) fn providers(&self) -> &QueryTables {
        &self.providers
    }

    /// What the snapshots lack, and what scans could not open of them.
    pub(crate) fn lacks(&self) -> impl Iterator<Item = String> {
        self.snapshots.iter().zip(&self.missed).flat_map(|(snapshot, missed)| {
            let lacks = snapshot.lacks.iter().cloned().chain(missed.lacks());
            lacks.map(|lack| format!("table '{}' is not complete: {}", snapshot.table, lack.what))
        })
    }

    fn missing(&self, name: &str) -> QueryException {
        let names = self.source.names();
        let close = did_you_mean(&near(name, names.iter().map(String::as_str)));
        QueryException::new(Code::TableDoesNotExist, format!("table '{name}' does not exist{close}"))
    }

    fn keep(&mut self, table: Table, name: String, provider: Arc<dyn TableProvider>) -> Table {
        self.providers.insert(table.key.clone(), provider);
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
        Ok(self.keep(taken, key, Arc::new(provider)))
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
        let missed = Missed::default();
        let provider = SnapshotTable::new(snapshot.clone(), missed.clone(), nullable, self.host.clone());
        self.snapshots.push(snapshot);
        self.missed.push(missed);
        Ok(self.keep(taken, own_name, Arc::new(provider)))
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
