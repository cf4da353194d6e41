//! Queries: what the engine sees of the node, and the round from a request to its answer.

use crate::{
    node::{ListedSegment, Node, control, listed::listed, statement},
    pinot_json::query::AnswerIds,
    system::{self, quarantine},
};
use std::{
    sync::{Arc, atomic::Ordering, mpsc::sync_channel},
    time::Duration,
};
use tokio::runtime::Handle;
use weir_base::metrics::{Counter, Gauge, Labels};
use weir_control::TableRecord;
use weir_ingest::{IngestNode, Selection};
use weir_query::{QueryRequest, QueryResponse, SystemTable, TableSource};
use weir_table::{TableSnapshot, Tables};
use weir_types::TableName;

/// A catalog that does not answer a listing in this time is given up: queries have a time-out of the same size.
const CATALOG_WAIT: Duration = Duration::from_secs(10);

/// The node as the query engine sees it.
pub(super) struct Source {
    tables: Arc<Tables>,
    ingest: Arc<IngestNode>,
    /// The runtime of the node: the catalog is asked there, since a thread that answers queries must not block on its own.
    runtime: Handle,
}

impl Source {
    pub(super) fn new(tables: Arc<Tables>, ingest: Arc<IngestNode>, runtime: Handle) -> Self {
        Self { tables, ingest, runtime }
    }

    /// Asks the catalog, on the node's own threads.
    fn asked<T: Send + 'static>(
        &self,
        rows: impl Future<Output = Result<Vec<T>, String>> + Send + 'static,
    ) -> Result<Vec<T>, String> {
        let (sender, receiver) = sync_channel(1);
        self.runtime.spawn(async move {
            // Nobody waits any more where the query was given up.
            sender.send(rows.await).ok();
        });
        let late = |_| format!("the catalog did not answer within {} s", CATALOG_WAIT.as_secs());
        receiver.recv_timeout(CATALOG_WAIT).map_err(late)?
    }

    /// What `rows` gives for each table. A table that is dropped meanwhile has none.
    fn of_all_tables<T, E, F>(
        &self,
        rows: impl Fn(Arc<IngestNode>, TableName) -> F + Send + 'static,
    ) -> Result<Vec<T>, String>
    where
        T: Send + 'static,
        E: std::fmt::Display,
        F: Future<Output = Result<Vec<T>, E>> + Send,
    {
        let ingest = self.ingest.clone();
        self.asked(async move {
            let mut all = vec![];
            for name in ingest.names() {
                match rows(ingest.clone(), name.clone()).await {
                    Ok(more) => all.extend(more),
                    Err(error) if ingest.names().contains(&name) => return Err(format!("table {name}: {error}")),
                    Err(_) => {}
                }
            }
            Ok(all)
        })
    }

    fn segments(&self) -> Result<Vec<ListedSegment>, String> {
        self.of_all_tables(async |ingest, name| listed(&ingest, &name).await)
    }

    /// Moves of offsets and losses.
    fn skips(&self) -> Result<Vec<system::skips::Row>, String> {
        self.of_all_tables(async |ingest, name| control::skips(&ingest, &name).await.map_err(|error| error.text))
    }

    fn audit(&self) -> Result<Vec<system::audit::Row>, String> {
        let ingest = self.ingest.clone();
        self.asked(async move {
            let log = ingest.deps().store.audit_log().await;
            log.map(|log| log.entries).map_err(|error| error.to_string())
        })
    }

    fn records(&self) -> Result<Vec<TableRecord>, String> {
        let ingest = self.ingest.clone();
        self.asked(async move { ingest.deps().store.tables().await.map_err(|error| error.to_string()) })
    }

    fn columns(&self) -> Result<Vec<system::columns::Row>, String> {
        let of_table = |record: TableRecord| {
            let (schema, time) = (record.schema.clone(), record.spec.time_column.clone());
            let fields: Vec<_> = schema.fields().to_vec();
            fields.into_iter().zip(1..).map(move |(field, position)| system::columns::Row {
                table: record.spec.name.to_string(),
                position,
                is_time: time.as_ref() == Some(&field.name),
                in_key: schema.primary_key.contains(&field.name),
                of_system: false,
                field,
            })
        };
        let all = self.records()?.into_iter().flat_map(of_table);
        Ok(all.chain(system::columns::Row::of_system_tables()).collect())
    }

    fn quarantine(&self) -> Result<Vec<quarantine::Row>, String> {
        let mut rows = vec![];
        for name in self.ingest.names() {
            let Some(kept) = self.ingest.quarantine(&name) else { continue };
            let mut after = None;
            loop {
                let page = kept.page(&Selection::default(), after.as_ref(), usize::MAX);
                let page = page.map_err(|error| format!("table {name}: {error}"))?;
                rows.extend(page.entries.into_iter().map(|mut entry| {
                    entry.payload.truncate(quarantine::PAYLOAD_IN_SQL);
                    entry.payload.shrink_to_fit();
                    (name.to_string(), entry)
                }));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(rows)
    }
}

impl TableSource for Source {
    fn table(&self, name: &str) -> Option<TableSnapshot> {
        Some(self.tables.get(name)?.snapshot())
    }

    fn names(&self) -> Vec<String> {
        self.tables.names().iter().map(ToString::to_string).collect()
    }

    fn system(&self, table: &str) -> Result<Option<SystemTable>, String> {
        Ok(Some(match table.to_ascii_lowercase().as_str() {
            "partitions" => system::table(system::partitions::FIELDS, &self.ingest.all_partitions()),
            "segments" => system::table(system::segments::FIELDS, &self.segments()?),
            "quarantine" => system::table(quarantine::FIELDS, &self.quarantine()?),
            "skips" => system::table(system::skips::FIELDS, &self.skips()?),
            "audit" => system::table(system::audit::FIELDS, &self.audit()?),
            "tables" => system::table(system::tables::FIELDS, &self.records()?),
            "columns" => system::table(system::columns::FIELDS, &self.columns()?),
            _ => return Ok(None),
        }))
    }
}

/// A query as it came in.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The text.
    pub sql: String,
    /// Options beside the text, in order.
    pub options: Vec<(String, String)>,
    /// The database that a header names.
    pub database: Option<String>,
    /// The multi-stage engine was asked for by path.
    pub multistage: bool,
}

/// An answer with what names it.
pub struct Answered {
    /// The engine's answer.
    pub response: QueryResponse,
    /// Names of request and broker.
    pub ids: AnswerIds,
}

impl Node {
    /// Answers a query; errors are exceptions of the answer.
    pub async fn query(&self, asked: Asked) -> Answered {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let option = |wanted: &str| {
            let found = asked.options.iter().rfind(|(key, _)| key.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.clone())
        };
        let by_option = option("useMultistageEngine").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let ids = AnswerIds {
            // Digits that no other start of this node gives again.
            request_id: format!("{}{number:06}", self.started_ms),
            client_request_id: option("clientQueryId"),
            broker_id: self.addresses.broker_id(),
            multistage: asked.multistage || by_option,
        };
        let mut options = asked.options;
        if asked.multistage && !by_option {
            options.push(("useMultistageEngine".to_owned(), "true".to_owned()));
        }
        let spelled = |asked: &str| match asked.to_ascii_lowercase().strip_prefix("system.") {
            Some(table) => {
                system::described().iter().find(|(known, _)| *known == table).map(|_| format!("system.{table}"))
            }
            None => Some(self.tables.get(asked)?.name().as_str().to_owned()),
        };
        let sql = statement::rewritten(&asked.sql, spelled).unwrap_or(asked.sql);
        let request = QueryRequest { sql, options, database: asked.database };
        let response = self.engine.execute(request).await;
        self.count_query(&response);
        Answered { response, ids }
    }

    fn count_query(&self, response: &QueryResponse) {
        // Only names of tables that are there become labels: what clients write must not grow the metrics.
        let known = response.tables.first().and_then(|name| self.tables.get(name));
        let table: Arc<str> = known.map_or_else(|| "".into(), |table| table.name().as_str().into());
        let labels = Labels { table, topic: "".into(), partition: None };
        self.metrics.count(Counter::Queries, &labels, 1);
        if !response.exceptions.is_empty() {
            self.metrics.count(Counter::QueryErrors, &labels, 1);
        }
        if response.partial {
            self.metrics.count(Counter::QueriesPartial, &labels, 1);
        }
        let took = i64::try_from(response.stats.time_used_ms).unwrap_or(i64::MAX);
        self.metrics.gauge(Gauge::QueryMs, &labels, took);
    }
}
