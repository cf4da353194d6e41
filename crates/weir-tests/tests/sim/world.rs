//! What outlives a node: its disk, the deep store, the streams; and the node that stands on them until it crashes.

use crate::run::Bug;
use crate::slow::{CatalogFaults, SlowCatalog, SlowFiles, Stop};
use async_trait::async_trait;
use bytes::Bytes;
use std::{path::Path, sync::Arc, time::Duration};
use weir_base::{
    Chance, Disk, MemDisk, SharedDisk, SimClock,
    metrics::{Counter, Metrics},
};
use weir_control::{NewTable, RedbCatalog, Store, TableRecord, spec};
use weir_files::{Faulty, FileError, FileSystem, ObjectInfo, Put, SharedFileSystem};
use weir_ingest::{HeavyWork, IngestDeps, IngestError, IngestNode, IngestOptions, Seats};
use weir_streams::{LocalLogOptions, LocalLogs, MemoryStreams, Streams};
use weir_table::Tables;
use weir_types::{TableName, TopicName};

pub(crate) const PARTITIONS: u32 = 2;
pub(crate) const TOPIC: &str = "events";

/// What survives a crash.
pub(crate) struct World {
    pub(crate) disk: Arc<MemDisk>,
    pub(crate) store: Arc<Faulty>,
    pub(crate) catalog: Arc<CatalogFaults>,
    /// Where a replay stays for ever.
    pub(crate) stop: Arc<Stop>,
    pub(crate) deep: SharedFileSystem,
    pub(crate) streams: Arc<MemoryStreams>,
    pub(crate) bug: Bug,
    /// Wall time moves on while the node is down.
    pub(crate) wall_ms: i64,
    /// A power loss starts another boot.
    pub(crate) boot: u8,
    pub(crate) seed: u64,
    /// Rows of a frozen block: what checkpoints are made of.
    pub(crate) block_rows: u32,
}

/// A node at work.
pub(crate) struct Alive {
    pub(crate) node: Arc<IngestNode>,
    pub(crate) tables: Arc<Tables>,
    pub(crate) catalog: Arc<Store>,
    metrics: Metrics,
}

impl Alive {
    /// A counter of the node, over all labels.
    pub(crate) fn counted(&self, counter: Counter) -> u64 {
        let text = self.metrics.encode();
        let start = format!("weir_{}_total{{", counter.name());
        let values =
            text.lines().filter(|line| line.starts_with(&start)).filter_map(|line| line.split(' ').next_back());
        values.filter_map(|value| value.parse::<u64>().ok()).sum()
    }
}

impl World {
    pub(crate) fn new(seed: u64, bug: Bug) -> Self {
        let disk = MemDisk::new(None);
        let deep: SharedFileSystem = weir_files::memory();
        let honest: SharedFileSystem = match bug {
            Bug::UploadsAreLost => Arc::new(Losing(deep.clone())),
            _ => deep.clone(),
        };
        let store = Faulty::new(honest, Chance::seeded(seed ^ 0x5EED));
        let streams = MemoryStreams::new();
        streams.create(&TopicName::parse(TOPIC).unwrap(), PARTITIONS);
        let catalog = CatalogFaults::new(Chance::seeded(seed ^ 0xCA7A));
        Self {
            disk,
            store,
            catalog,
            stop: Arc::default(),
            deep,
            streams,
            bug,
            wall_ms: 1_767_225_600_000,
            boot: 1,
            seed,
            block_rows: 8,
        }
    }

    /// Starts a node on what is there.
    pub(crate) async fn start(&self) -> Result<Alive, String> {
        let clock = SimClock::shared(self.wall_ms);
        let disk: SharedDisk = match self.bug {
            Bug::LocalFilesAreNotSynced => Arc::new(Unsynced(self.disk.clone())),
            _ => self.disk.clone(),
        };
        let catalog = RedbCatalog::open_inline(self.disk.clone(), Path::new("/data/catalog.redb"));
        let catalog = catalog.map_err(|error| error.to_string())?;
        let catalog =
            Arc::new(Store::new(Arc::new(SlowCatalog::new(catalog, self.catalog.clone(), self.stop.clone()))));
        let local = LocalLogs::open(Path::new("/data/log"), disk.clone(), clock.clone(), LocalLogOptions::default());
        let local = local.map_err(|error| error.to_string())?;
        let tables = Arc::new(Tables::default());
        let metrics = Metrics::new();
        let deps = IngestDeps {
            clock,
            disk,
            seed: self.seed,
            metrics: metrics.clone(),
            store: catalog.clone(),
            tables: tables.clone(),
            streams: Arc::new(Streams::new(local, self.streams.clone())),
            deep_store: Arc::new(SlowFiles::new(
                self.store.clone(),
                Chance::seeded(self.seed ^ 0xF11E),
                self.stop.clone(),
            )),
            seats: Seats::default(),
            options: IngestOptions {
                instance: "Server_sim_1".into(),
                boot: [self.boot; 16],
                dir: "/data/tables".into(),
                marks: "/data/marks".into(),
                owns_deep_store: true,
                open_bytes: 1 << 30,
                discovery_every: Duration::from_secs(2),
                creation_timeout: Duration::from_secs(5),
                heavy: HeavyWork::Inline,
                block_rows: self.block_rows,
            },
        };
        let node = IngestNode::start(deps).await.map_err(|error: IngestError| error.to_string())?;
        Ok(Alive { node, tables, catalog, metrics })
    }
}

/// The table of all runs: small segments, so that there are many seals.
pub(crate) fn table(segment_rows: u64) -> NewTable {
    table_as(segment_rows, false)
}

/// A `lenient` one stores null for what cannot be typed.
pub(crate) fn table_as(segment_rows: u64, lenient: bool) -> NewTable {
    let schema = serde_json::json!({
        "schemaName": "events",
        "dimensionFieldSpecs": [{"name": "id", "dataType": "LONG"}, {"name": "name", "dataType": "STRING"}],
        "metricFieldSpecs": [{"name": "amount", "dataType": "LONG"}],
    });
    let config = serde_json::json!({
        "tableName": "events",
        "tableType": "REALTIME",
        "segmentsConfig": {"replication": "1"},
        "tenants": {},
        "tableIndexConfig": {"invertedIndexColumns": ["name"], "sortedColumn": ["name"]},
        "ingestionConfig": {"continueOnError": lenient, "streamIngestionConfig": {"streamConfigMaps": [{
            "streamType": "memory",
            "stream.memory.topic.name": TOPIC,
            "stream.memory.decoder.class.name": "org.apache.pinot.plugin.inputformat.json.JSONMessageDecoder",
            "stream.memory.consumer.prop.auto.offset.reset": "smallest",
            "realtime.segment.flush.threshold.segment.rows": segment_rows.to_string(),
            "realtime.segment.flush.threshold.time": "6h",
        }]}},
        "metadata": {},
    });
    let capabilities = spec::Capabilities { stream_types: &["memory"], decoder: |_| spec::DecoderKnown::Yes("json") };
    let schema = spec::parse_schema(&schema).expect("the schema is right");
    let parsed = spec::parse_table(&config, Some(&schema.schema), &capabilities).expect("the table is right");
    NewTable::from_parsed(parsed, schema)
}

pub(crate) fn table_name() -> TableName {
    TableName::parse("events").unwrap()
}

pub(crate) async fn record(alive: &Alive) -> Option<TableRecord> {
    alive.catalog.table(&table_name()).await.ok().flatten()
}

/// A deep store that acknowledges and keeps nothing.
struct Losing(SharedFileSystem);

#[async_trait]
impl FileSystem for Losing {
    fn uri(&self, key: &str) -> String {
        self.0.uri(key)
    }

    async fn put_if_absent(&self, _: &str, _: Bytes) -> Result<Put, FileError> {
        Ok(Put::Created)
    }

    async fn get(&self, key: &str) -> Result<Bytes, FileError> {
        self.0.get(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, FileError> {
        self.0.list(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), FileError> {
        self.0.delete(key).await
    }
}

/// A disk whose append files are never synced: quarantine entries of sealed ranges die with the machine.
struct Unsynced(Arc<MemDisk>);

struct UnsyncedFile(Box<dyn weir_base::AppendFile>);

impl weir_base::AppendFile for UnsyncedFile {
    fn append(&mut self, content: &[u8]) -> std::io::Result<()> {
        self.0.append(content)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }

    fn byte_count(&self) -> u64 {
        self.0.byte_count()
    }

    fn truncate(&mut self, byte_count: u64) -> std::io::Result<()> {
        self.0.truncate(byte_count)
    }
}

impl Disk for Unsynced {
    fn open_append(&self, path: &Path) -> std::io::Result<Box<dyn weir_base::AppendFile>> {
        Ok(Box::new(UnsyncedFile(self.0.open_append(path)?)))
    }

    fn open_random(&self, path: &Path) -> std::io::Result<Box<dyn weir_base::RandomFile>> {
        self.0.open_random(path)
    }

    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        self.0.read(path)
    }

    fn read_at(&self, path: &Path, offset: u64, length: usize) -> std::io::Result<Vec<u8>> {
        self.0.read_at(path, offset, length)
    }

    fn map(&self, path: &Path) -> std::io::Result<weir_base::Mapped> {
        self.0.map(path)
    }

    fn write_whole(&self, path: &Path, content: &[u8]) -> std::io::Result<()> {
        self.0.write_whole(path, content)
    }

    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> std::io::Result<()> {
        self.0.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> std::io::Result<()> {
        self.0.remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> std::io::Result<()> {
        self.0.create_dir_all(path)
    }

    fn list(&self, path: &Path) -> std::io::Result<Vec<weir_base::DirEntry>> {
        self.0.list(path)
    }

    fn byte_count(&self, path: &Path) -> std::io::Result<Option<u64>> {
        self.0.byte_count(path)
    }

    fn sync_dir(&self, path: &Path) -> std::io::Result<()> {
        self.0.sync_dir(path)
    }

    fn free_bytes(&self, path: &Path) -> std::io::Result<u64> {
        self.0.free_bytes(path)
    }
}
