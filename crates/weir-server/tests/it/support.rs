//! A node on free ports in a folder of its own, and waiting with a deadline.

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value as Json, json};
use std::{future::Future, ops::Deref, path::Path, time::Duration};
use tempfile::TempDir;
use tokio::time::Instant;
use weir_server::{
    NodeSettings, Server,
    client::{Answer, Client},
};

/// Far above what anything here takes, so that a slow machine does not fail.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// What is to be there within seconds is there by then, also where the machine has other work.
pub(crate) const SECONDS: Duration = Duration::from_secs(10);
/// The same of what is to be there at once.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(2);

/// A node as its clients see it.
pub(crate) struct Api {
    pub(crate) controller: Client,
    pub(crate) broker: Client,
}

/// A node in this process.
pub(crate) struct TestNode {
    pub(crate) server: Server,
    api: Api,
    dir: Option<TempDir>,
}

impl Deref for TestNode {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

pub(crate) fn settings(dir: &Path) -> NodeSettings {
    NodeSettings {
        controller_port: 0,
        broker_port: 0,
        discovery_every: Duration::from_millis(200),
        query_memory_bytes: 256 << 20,
        ..NodeSettings::new(dir)
    }
}

impl TestNode {
    /// In a new folder.
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let node = Self::start_with(settings(dir.path())).await;
        Self { dir: Some(dir), ..node }
    }

    pub(crate) async fn start_with(settings: NodeSettings) -> Self {
        let server = Server::start(settings).await.unwrap_or_else(|error| panic!("{error}"));
        let client = |address| Client::new(&format!("http://{address}"));
        let api = Api { controller: client(server.controller), broker: client(server.broker) };
        Self { server, api, dir: None }
    }

    /// In a new folder, with settings of that folder changed.
    pub(crate) async fn start_changed(change: impl FnOnce(NodeSettings) -> NodeSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let node = Self::start_with(change(settings(dir.path()))).await;
        Self { dir: Some(dir), ..node }
    }

    /// Stops it and starts another on the same folder.
    pub(crate) async fn restarted(self) -> Self {
        let Self { server, dir, .. } = self;
        let folder = server.node.settings().data_dir.clone();
        server.stop().await;
        Self { dir, ..Self::start_with(settings(&folder)).await }
    }
}

impl Api {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.controller.get(path).await.unwrap()
    }

    /// The JSON of a path that must answer well.
    pub(crate) async fn json(&self, path: &str) -> Json {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: &Json) -> Answer {
        self.controller.send_json(method, path, body).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Json) -> Answer {
        self.send(Method::POST, path, body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.controller.send(Method::DELETE, path, &[], Bytes::new()).await.unwrap()
    }

    /// Makes a table from a document; it must be accepted.
    pub(crate) async fn make(&self, document: &Json) {
        let answer = self.post("/tableConfigs", document).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Posts values to a topic; they must be taken.
    pub(crate) async fn produce(&self, topic: &str, values: &[Json]) -> Json {
        let records: Vec<Json> = values.iter().map(|value| json!({ "value": value })).collect();
        let answer = self.post(&format!("/topics/{topic}"), &json!({ "records": records })).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// The whole answer to a query.
    pub(crate) async fn ask(&self, sql: &str) -> Json {
        let answer = self.broker.send_json(Method::POST, "/query/sql", &json!({ "sql": sql })).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// The rows of a query that must be answered without exception.
    pub(crate) async fn rows(&self, sql: &str) -> Json {
        let answer = self.ask(sql).await;
        assert_eq!(answer["exceptions"], json!([]), "{sql}: {answer}");
        answer["resultTable"]["rows"].clone()
    }

    /// Waits until a query gives these rows.
    pub(crate) async fn wait_for_rows(&self, sql: &str, expected: &Json) {
        self.rows_within(DEADLINE, sql, expected).await;
    }

    /// The same, where that must not take longer than `limit`.
    pub(crate) async fn rows_within(&self, limit: Duration, sql: &str, expected: &Json) {
        within(limit, sql, async || {
            let answer = self.ask(sql).await;
            let rows = &answer["resultTable"]["rows"];
            let exceptions = answer["exceptions"].as_array().is_some_and(Vec::is_empty);
            if rows == expected && exceptions { Ok(()) } else { Err(answer.to_string()) }
        })
        .await;
    }

    /// Seals open segments and waits until they are committed.
    pub(crate) async fn commit(&self, table: &str) {
        let answer = self.post(&format!("/tables/{table}/forceCommit"), &json!(null)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let job = answer.json()["forceCommitJobId"].as_str().unwrap().to_owned();
        eventually("the commit", async || {
            let status = self.json(&format!("/tables/forceCommitStatus/{job}")).await;
            if status["numberOfSegmentsYetToBeCommitted"] == 0 { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
    }
}

/// Tries until it succeeds; fails with the last reason at the deadline.
pub(crate) async fn eventually<T, F: Future<Output = Result<T, String>>>(what: &str, attempt: impl FnMut() -> F) -> T {
    within(DEADLINE, what, attempt).await
}

/// The same, where that must not take longer than `limit`.
pub(crate) async fn within<T, F: Future<Output = Result<T, String>>>(
    limit: Duration,
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> T {
    let until = Instant::now() + limit;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(reason) => assert!(Instant::now() < until, "{what} did not come within {limit:?}: {reason}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A document of table `orders` on the local topic `orders`.
pub(crate) fn orders(partitions: u32) -> Json {
    json!({
        "tableName": "orders",
        "schema": {
            "schemaName": "orders",
            "dimensionFieldSpecs": [
                {"name": "id", "dataType": "LONG"},
                {"name": "country", "dataType": "STRING"},
                {"name": "tags", "dataType": "STRING", "singleValueField": false},
                {"name": "paid", "dataType": "BOOLEAN"},
            ],
            "metricFieldSpecs": [{"name": "amount", "dataType": "DOUBLE"}],
            "dateTimeFieldSpecs": [{
                "name": "ts", "dataType": "TIMESTAMP", "format": "1:MILLISECONDS:EPOCH", "granularity": "1:MILLISECONDS",
            }],
        },
        "realtime": {
            "tableName": "orders",
            "tableType": "REALTIME",
            "segmentsConfig": {"timeColumnName": "ts", "replication": "1"},
            "tenants": {},
            "tableIndexConfig": {"invertedIndexColumns": ["country"], "rangeIndexColumns": ["amount"]},
            "ingestionConfig": {"streamIngestionConfig": {"streamConfigMaps": [{
                "streamType": "local",
                "stream.local.topic.name": "orders",
                "stream.local.partitions": partitions.to_string(),
                "stream.local.decoder.class.name": "org.apache.pinot.plugin.inputformat.json.JSONMessageDecoder",
                "stream.local.consumer.prop.auto.offset.reset": "smallest",
                "realtime.segment.flush.threshold.segment.rows": "1000",
                "realtime.segment.flush.threshold.time": "6h",
            }]}},
            "metadata": {},
        },
    })
}

/// An order.
pub(crate) fn order(id: i64, country: &str, amount: f64) -> Json {
    json!({"id": id, "country": country, "tags": ["a", "b"], "paid": true, "amount": amount, "ts": 1_767_225_600_000_i64})
}
