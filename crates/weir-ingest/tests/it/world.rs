//! A node on a disk in memory, tables for it, and the rows that a query would see.

use bytes::Bytes;
use serde_json::{Value as Json, json};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::time::Instant;
use weir_base::{MemDisk, SharedClock, SimClock, metrics::Metrics};
use weir_control::{NewTable, RedbCatalog, SegmentRecord, SegmentState, Store, spec};
use weir_files::{MemoryFiles, SharedFileSystem};
use weir_indexes::Filter;
use weir_ingest::{DiskFloor, HeavyWork, IngestDeps, IngestNode, IngestOptions, PartitionStatus, Seats};
use weir_segment::{ScanColumn, ScanRequest, ScanStats, SegmentError, SegmentScan, scan::testing::cell_of};
use weir_streams::{LocalLogOptions, LocalLogs, MemoryStreams, ProduceRecord, Streams};
use weir_table::{TableSnapshot, Tables};
use weir_types::{TableName, TopicName, Value};

/// Far above what anything here takes.
const DEADLINE: Duration = Duration::from_secs(600);

/// Bytes of the disk that stay free, as far as the node can do it.
pub(crate) const FLOOR: u64 = 64 << 10;

/// A node at work, and what it stands on.
pub(crate) struct World {
    pub(crate) node: Arc<IngestNode>,
    pub(crate) local: Arc<LocalLogs>,
    pub(crate) memory: Arc<MemoryStreams>,
    pub(crate) disk: Arc<MemDisk>,
    pub(crate) deep_store: SharedFileSystem,
    pub(crate) store: Arc<Store>,
    clock: SharedClock,
    tables: Arc<Tables>,
}

pub(crate) fn topic(name: &str) -> TopicName {
    TopicName::parse(name).unwrap()
}

pub(crate) fn table_name(name: &str) -> TableName {
    TableName::parse(name).unwrap()
}

impl World {
    /// Inside a runtime with paused time.
    pub(crate) async fn start(seats: Seats) -> Self {
        Self::start_with(seats, HeavyWork::Inline).await
    }

    /// Inside a runtime with paused time; with threads, its tests are left to chance as far as those go.
    pub(crate) async fn start_with(seats: Seats, heavy: HeavyWork) -> Self {
        let clock = SimClock::shared(1_767_225_600_000);
        let deep_store: SharedFileSystem = MemoryFiles::new(clock.clone());
        Self::on(MemDisk::new(None), clock, deep_store, MemoryStreams::new(), seats, heavy).await
    }

    /// Inside a runtime with paused time, with a deep store that knows the node's disk.
    pub(crate) async fn start_storing(make: impl FnOnce(&Arc<MemDisk>, SharedFileSystem) -> SharedFileSystem) -> Self {
        let (disk, clock) = (MemDisk::new(None), SimClock::shared(1_767_225_600_000));
        let deep_store = make(&disk, MemoryFiles::new(clock.clone()));
        Self::on(disk, clock, deep_store, MemoryStreams::new(), Seats::default(), HeavyWork::Inline).await
    }

    /// The process dies, and another one starts on what is there.
    pub(crate) async fn restart(self) -> Self {
        let Self { node, disk, deep_store, clock, memory, .. } = self;
        node.stop();
        disk.kill();
        Self::on(disk, clock, deep_store, memory, Seats::default(), HeavyWork::Inline).await
    }

    async fn on(
        disk: Arc<MemDisk>,
        clock: SharedClock,
        deep_store: SharedFileSystem,
        memory: Arc<MemoryStreams>,
        seats: Seats,
        heavy: HeavyWork,
    ) -> Self {
        let catalog = RedbCatalog::open_inline(disk.clone(), Path::new("/data/catalog.redb")).unwrap();
        let brief = LocalLogOptions {
            retention: Duration::from_secs(1),
            retain_every: Duration::ZERO,
            ..LocalLogOptions::default()
        };
        let local = LocalLogs::open(Path::new("/data/log"), disk.clone(), clock.clone(), brief).unwrap();
        let tables = Arc::new(Tables::default());
        let store = Arc::new(Store::new(Arc::new(catalog)));
        let deps = IngestDeps {
            clock: clock.clone(),
            disk: disk.clone(),
            seed: 7,
            metrics: Metrics::new(),
            store: store.clone(),
            tables: tables.clone(),
            streams: Arc::new(Streams::new(local.clone(), memory.clone())),
            deep_store: deep_store.clone(),
            seats,
            options: IngestOptions {
                instance: "Server_here_1".into(),
                boot: [1; 16],
                dir: "/data/tables".into(),
                marks: "/data/marks".into(),
                owns_deep_store: true,
                disk_floor: DiskFloor::Bytes(FLOOR),
                open_bytes: 1 << 30,
                discovery_every: Duration::from_secs(2),
                creation_timeout: Duration::from_secs(5),
                heavy,
                block_rows: 8,
            },
        };
        let node = IngestNode::start(deps).await.unwrap();
        Self { node, local, memory, disk, deep_store, store, clock, tables }
    }

    pub(crate) async fn produce_local(&self, name: &str, values: &[Json]) {
        let record = |value: &Json| ProduceRecord {
            partition: Some(0),
            key: None,
            value: Some(value.to_string().into()),
            headers: vec![],
            timestamp_ms: None,
        };
        self.local.produce(&topic(name), values.iter().map(record).collect(), None).await.unwrap();
    }

    pub(crate) fn produce(&self, values: &[Json]) {
        for value in values {
            let value = Some(Bytes::from(value.to_string()));
            self.memory.append(&topic("events"), 0, None, value, vec![], 0);
        }
    }

    pub(crate) fn status(&self) -> PartitionStatus {
        let mut statuses = self.node.partitions(&table_name("events")).unwrap();
        assert_eq!(statuses.len(), 1);
        statuses.remove(0)
    }

    pub(crate) async fn segments(&self) -> Vec<SegmentRecord> {
        self.node.segments(&table_name("events")).await.unwrap()
    }

    /// Seals the open segment and waits until `done` segments are committed.
    pub(crate) async fn seal(&self, done: usize) {
        self.node.force_commit(&table_name("events"), None, "me").await.unwrap();
        self.until("the commit", async || {
            let segments = self.segments().await;
            segments.iter().filter(|segment| matches!(segment.state, SegmentState::Done { .. })).count() == done
        })
        .await;
    }

    /// The visible rows of table `events`, segment by segment: the stored values of the columns that its schema has now;
    /// nulls come as `None`.
    pub(crate) async fn rows(&self, columns: &[&str]) -> Vec<Vec<Option<Vec<Value>>>> {
        Self::rows_of(&self.snapshot(), columns).await
    }

    /// What is visible of table `events` now.
    pub(crate) fn snapshot(&self) -> TableSnapshot {
        self.tables.get("events").unwrap().snapshot()
    }

    async fn rows_of(snapshot: &TableSnapshot, columns: &[&str]) -> Vec<Vec<Option<Vec<Value>>>> {
        let field = |name: &&str| {
            let field = snapshot.schema.field(name).unwrap_or_else(|| panic!("the schema has no {name}"));
            ScanColumn {
                name: field.name.clone(),
                data_type: field.data_type,
                single_value: field.single_value,
                default: field.default_null.clone(),
            }
        };
        let columns: Vec<ScanColumn> = columns.iter().map(field).collect();
        let request = ScanRequest {
            columns,
            filter_columns: vec![],
            filter: Filter::All,
            nulls: snapshot.spec.null_handling,
            host: "here".into(),
        };
        let request = Arc::new(request);
        let mut rows = vec![];
        for view in &snapshot.segments {
            // What cannot be opened is not there: a test that waits for rows waits for it.
            let Ok(segment) = view.segment.open().await else { continue };
            let scan = SegmentScan::new(segment, view.validity.clone(), request.clone());
            let batches = match scan.read(0..view.segment.meta().rows, &mut ScanStats::default()) {
                Ok(batches) => batches,
                // Nor can what was damaged while it was open be read.
                Err(SegmentError::Damaged { .. }) => continue,
                Err(error) => panic!("{error}"),
            };
            for batch in batches {
                rows.extend(
                    (0..batch.num_rows())
                        .map(|row| batch.columns().iter().map(|column| cell_of(column, row)).collect::<Vec<_>>()),
                );
            }
        }
        rows
    }

    /// The first column of all rows, all of them LONG.
    pub(crate) async fn ids(&self) -> Vec<i64> {
        self.ids_of(&self.snapshot()).await
    }

    pub(crate) async fn ids_of(&self, snapshot: &TableSnapshot) -> Vec<i64> {
        let id = |row: &Vec<Option<Vec<Value>>>| match row[0].as_deref() {
            Some([Value::Long(id)]) => *id,
            other => panic!("{other:?} is no id"),
        };
        Self::rows_of(snapshot, &["id"]).await.iter().map(id).collect()
    }

    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let until = Instant::now() + DEADLINE;
        while !holds().await {
            assert!(Instant::now() < until, "{what} did not come: {:?}", self.node.all_partitions());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn until_visible(&self, rows: usize) {
        self.until("the rows", async || self.ids().await.len() == rows).await;
    }
}

/// One stream of a table, of a type and topic, read from its beginning.
pub(crate) fn stream(kind: &str, topic: &str) -> Json {
    json!({
        "streamType": kind,
        (format!("stream.{kind}.topic.name")): topic,
        (format!("stream.{kind}.decoder.class.name")): "json",
        (format!("stream.{kind}.consumer.prop.auto.offset.reset")): "smallest",
        "realtime.segment.flush.threshold.segment.rows": "100000",
        "realtime.segment.flush.threshold.time": "6h",
    })
}

/// A table of `id` and more columns.
pub(crate) fn table(name: &str, streams: &[Json], more: &[Json], key: bool) -> NewTable {
    let columns: Vec<Json> = [json!({"name": "id", "dataType": "LONG"})].iter().chain(more).cloned().collect();
    let mut schema = json!({"schemaName": name, "dimensionFieldSpecs": columns});
    if key {
        schema["primaryKeyColumns"] = json!(["id"]);
    }
    let config = json!({
        "tableName": name, "tableType": "REALTIME", "segmentsConfig": {"replication": "1"}, "tenants": {},
        "tableIndexConfig": {},
        "ingestionConfig": {"streamIngestionConfig": {"streamConfigMaps": streams}},
        "metadata": {},
    });
    made(&schema, &config)
}

pub(crate) fn made(schema: &Json, config: &Json) -> NewTable {
    let capabilities = spec::Capabilities {
        stream_types: Streams::types(),
        decoder: |_| spec::DecoderKnown::Yes("json"),
        decoder_key: |_, _| true,
        expression: weir_formats::transform::read_expression,
    };
    let schema = spec::parse_schema(schema).unwrap_or_else(|errors| panic!("{errors}"));
    let parsed = spec::parse_table(config, Some(&schema.schema), &capabilities);
    NewTable::from_parsed(parsed.unwrap_or_else(|errors| panic!("{errors}")), schema)
}

/// Table `events` on topic `events` in memory.
pub(crate) fn events(more: &[Json]) -> NewTable {
    table("events", &[stream("memory", "events")], more, false)
}

/// Table `events` with a time column that keeps its rows for a day and its objects for two hours after that. The column is
/// `at`, in milliseconds, where `time` says nothing else.
pub(crate) fn events_kept(time: &[Json]) -> NewTable {
    events_kept_as(time, false)
}

/// The same; a `lenient` one stores null for what cannot be typed.
pub(crate) fn events_kept_as(time: &[Json], lenient: bool) -> NewTable {
    let millis = json!({"name": "at", "dataType": "LONG", "format": "1:MILLISECONDS:EPOCH", "granularity": "1:DAYS"});
    let schema = json!({
        "schemaName": "events",
        "dimensionFieldSpecs": [{"name": "id", "dataType": "LONG"}],
        "dateTimeFieldSpecs": [time.first().unwrap_or(&millis)],
    });
    let config = json!({
        "tableName": "events", "tableType": "REALTIME", "tenants": {}, "metadata": {}, "tableIndexConfig": {},
        "segmentsConfig": {
            "replication": "1", "timeColumnName": "at", "retentionTimeUnit": "DAYS", "retentionTimeValue": "1",
            "deletedSegmentsRetentionPeriod": "2h",
        },
        "ingestionConfig": {
            "continueOnError": lenient,
            "streamIngestionConfig": {"streamConfigMaps": [stream("memory", "events")]},
        },
    });
    made(&schema, &config)
}
