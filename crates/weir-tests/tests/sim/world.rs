//! What outlives a node: its disk, the deep store, the streams; and the node that stands on them until it crashes.

use crate::bugs::Bug;
use crate::shape::Shape;
use crate::slow::{CatalogFaults, SlowCatalog, SlowFiles, Stop};
use std::{path::Path, sync::Arc, time::Duration};
use weir_base::{
    Chance, MemDisk, SharedDisk, SimClock,
    metrics::{Counter, Metrics},
};
use weir_control::{NewTable, RedbCatalog, Store, TableRecord};
use weir_files::{Faulty, SharedFileSystem};
use weir_ingest::{DiskFloor, HeavyWork, IngestDeps, IngestError, IngestNode, IngestOptions, Seats};
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
    /// What rows may hold of the memory.
    pub(crate) open_bytes: u64,
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
        let store = Faulty::new(bug.files(deep.clone()), Chance::seeded(seed ^ 0x5EED));
        let streams = MemoryStreams::new();
        streams.create(&TopicName::parse(TOPIC).unwrap(), PARTITIONS);
        streams.set_reader_shift(bug.reader_shift());
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
            open_bytes: 1 << 30,
        }
    }

    /// Starts a node on what is there.
    pub(crate) async fn start(&self) -> Result<Alive, String> {
        let clock = SimClock::shared(self.wall_ms);
        let disk: SharedDisk = self.bug.disk(self.disk.clone());
        let catalog = RedbCatalog::open_inline(self.disk.clone(), Path::new("/data/catalog.redb"));
        let catalog = catalog.map_err(|error| error.to_string())?;
        let catalog = SlowCatalog::new(catalog, self.catalog.clone(), self.stop.clone(), self.bug);
        let catalog = Arc::new(Store::new(Arc::new(catalog)));
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
                // A disk that is said to be full is below it.
                disk_floor: DiskFloor::Bytes(8 << 10),
                open_bytes: self.open_bytes,
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

/// The table of most runs: small segments, so that there are many seals.
pub(crate) fn table(segment_rows: u64) -> NewTable {
    Shape::new(segment_rows).table()
}

/// A `lenient` one stores null for what cannot be typed.
pub(crate) fn table_as(segment_rows: u64, lenient: bool) -> NewTable {
    Shape { lenient, ..Shape::new(segment_rows) }.table()
}

pub(crate) fn table_name() -> TableName {
    TableName::parse("events").unwrap()
}

pub(crate) async fn record(alive: &Alive) -> Option<TableRecord> {
    alive.catalog.table(&table_name()).await.ok().flatten()
}
