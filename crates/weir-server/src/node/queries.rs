//! Queries: what the engine sees of the node, and the round from a request to its answer.

use crate::{
    node::{ListedSegment, Node, control, listed::listed},
    pinot_json::query::AnswerIds,
    system::{self, quarantine},
};
use std::{
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{RecvTimeoutError, sync_channel},
    },
    time::Duration,
};
use tokio::runtime::Handle;
use weir_base::metrics::{Counter, Gauge, Labels};
use weir_ingest::{IngestNode, Selection};
use weir_query::{QueryRequest, QueryResponse, SystemTable, TableSource};
use weir_table::{TableSnapshot, Tables};

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

    /// Asks the catalog; nothing where it does not answer. `what` names the table that is empty then.
    fn asked<T: Send + 'static>(&self, what: &str, rows: impl Future<Output = Vec<T>> + Send + 'static) -> Vec<T> {
        let (sender, receiver) = sync_channel(1);
        self.runtime.spawn(async move {
            // Nobody waits any more where the query was given up.
            sender.send(rows.await).ok();
        });
        match receiver.recv_timeout(CATALOG_WAIT) {
            Ok(rows) => rows,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                tracing::warn!("the catalog does not answer: system.{what} is empty");
                vec![]
            }
        }
    }

    /// Segments of all tables. A table that is dropped meanwhile has none.
    fn segments(&self) -> Vec<ListedSegment> {
        let ingest = self.ingest.clone();
        self.asked("segments", async move {
            let mut all = vec![];
            for name in ingest.names() {
                match listed(&ingest, &name).await {
                    Ok(segments) => all.extend(segments),
                    Err(error) => tracing::warn!(table = %name, %error, "segments are not listed"),
                }
            }
            all
        })
    }

    /// Moves of offsets and losses of all tables.
    fn skips(&self) -> Vec<system::skips::Row> {
        let ingest = self.ingest.clone();
        self.asked("skips", async move {
            let mut all = vec![];
            for name in ingest.names() {
                match control::skips(&ingest, &name).await {
                    Ok(skips) => all.extend(skips),
                    Err(error) => tracing::warn!(table = %name, error = error.text, "skips are not listed"),
                }
            }
            all
        })
    }

    fn audit(&self) -> Vec<system::audit::Row> {
        let ingest = self.ingest.clone();
        self.asked("audit", async move {
            match ingest.deps().store.audit_log().await {
                Ok(log) => log.entries,
                Err(error) => {
                    tracing::warn!(%error, "the audit is not listed");
                    vec![]
                }
            }
        })
    }

    fn quarantine(&self) -> Vec<quarantine::Row> {
        let mut rows = vec![];
        for name in self.ingest.names() {
            let Some(kept) = self.ingest.quarantine(&name) else { continue };
            let mut after = None;
            loop {
                let page = match kept.page(&Selection::default(), after.as_ref(), usize::MAX) {
                    Ok(page) => page,
                    Err(error) => {
                        tracing::warn!(table = %name, %error, "quarantine cannot be read");
                        break;
                    }
                };
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
        rows
    }
}

impl TableSource for Source {
    fn table(&self, name: &str) -> Option<TableSnapshot> {
        Some(self.tables.get(name)?.snapshot())
    }

    fn names(&self) -> Vec<String> {
        self.tables.names().iter().map(ToString::to_string).collect()
    }

    fn system(&self, table: &str) -> Option<SystemTable> {
        match table.to_ascii_lowercase().as_str() {
            "partitions" => Some(system::table(system::partitions::FIELDS, &self.ingest.all_partitions())),
            "segments" => Some(system::table(system::segments::FIELDS, &self.segments())),
            "quarantine" => Some(system::table(quarantine::FIELDS, &self.quarantine())),
            "skips" => Some(system::table(system::skips::FIELDS, &self.skips())),
            "audit" => Some(system::table(system::audit::FIELDS, &self.audit())),
            _ => None,
        }
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
        let request = QueryRequest { sql: asked.sql, options, database: asked.database };
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
