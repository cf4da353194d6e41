//! Opening a node: folder, deep store, catalog, log, streams, ingestion, queries, in this order.

use crate::node::{
    Addresses, DataDir, DataDirError, Node, NodeSettings, marks_dir::marks_dir, queries::Source, tail::TAILS_MOST,
};
use bytes::Bytes;
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use tokio::sync::Semaphore;
use weir_base::{Chance, Disk, RealDisk, SystemClock, metrics::Metrics, tasks::spawn_named};
use weir_control::{CatalogError, RedbCatalog, Store};
use weir_files::{FileError, FileSystem, is_owned_by, probe};
use weir_ingest::{HeavyWork, IngestDeps, IngestError, IngestNode, IngestOptions, Seats};
use weir_query::{QueryEngine, QueryOptions};
use weir_segment::consuming::BLOCK_ROWS;
use weir_streams::{LocalLogOptions, LocalLogs, MemoryStreams, Streams, queues::Queues};
use weir_table::Tables;
use weir_types::{Classify, ErrorKind, Retry};

/// A deep store that a start asks answers within some hundred milliseconds; one that hangs is as one that is away.
const STORE_ANSWERS: Duration = Duration::from_secs(10);

/// What a start writes into a deep store that is nobody's, to say whose it is.
pub(super) const OWNER_MARK: &str = ".weir-owner";

/// Where a node notes what mark its deep store has: a start finds by it that the folder's disk is not mounted.
const STORE_NOTE: &str = "deep-store.mark";

/// Rows that a query without LIMIT gets.
const DEFAULT_LIMIT: u64 = 10;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its folder.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The deep store.
    #[error("deep store cannot be used: {0}; check --deep-store and its settings")]
    DeepStore(#[from] FileError),
    /// The catalog.
    #[error("catalog cannot be opened: {0}")]
    Catalog(#[from] CatalogError),
    /// The catalog is gone.
    #[error(
        "catalog {catalog} is missing or empty, and {tables} holds tables: put the catalog back from a copy; or move {tables} \
         away to start with no table, reading the streams again"
    )]
    CatalogLost {
        /// Its file.
        catalog: String,
        /// What depends on it.
        tables: String,
    },
    /// The local log.
    #[error("local log {path} cannot be opened: {source}")]
    Log {
        /// Where it lies.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// Ingestion.
    #[error("tables cannot be opened: {0}")]
    Ingest(#[from] IngestError),
    /// The query engine.
    #[error("query engine cannot be started: {0}")]
    Engine(String),
}

impl Node {
    /// Opens everything that the folder holds; tables consume and can be queried when this returns.
    pub async fn open(settings: NodeSettings, addresses: Addresses) -> Result<Arc<Self>, OpenError> {
        let (disk, clock, metrics) = (RealDisk::shared(), SystemClock::shared(), Metrics::new());
        let data_dir = DataDir::open(&settings.absolute_data_dir(), &*disk)?;
        let deep_store_uri = settings.deep_store_uri();
        let deep_store = weir_files::open(&deep_store_uri, &settings.deep_store_settings, disk.clone())?;
        let catalog = data_dir.path().join("catalog.redb");
        let started_before = disk.byte_count(&catalog).is_ok_and(|bytes| bytes.is_some());
        let note = StoreNote { disk: &*disk, path: data_dir.path().join(STORE_NOTE), uri: &deep_store_uri };
        if let Some(mark) = note.read() {
            deep_store.guard(OWNER_MARK, &mark);
        }
        match in_time(&*deep_store, probe(&*deep_store)).await {
            Err(error) if starts_without(&error, started_before) => {
                tracing::error!(%error, "the deep store takes nothing now: segments are uploaded once it does");
            }
            probed => probed?,
        }
        let owns_deep_store = owns(&*deep_store, data_dir.id()).await;
        note.write(&*deep_store).await;
        catalog_is_there(&*disk, data_dir.path(), &catalog)?;
        let catalog = RedbCatalog::open(disk.clone(), catalog)?;
        let store = Arc::new(Store::new(Arc::new(catalog)));
        let log_dir = data_dir.path().join("log");
        let local = LocalLogs::open(&log_dir, disk.clone(), clock.clone(), LocalLogOptions::default())
            .map_err(|source| OpenError::Log { path: log_dir.display().to_string(), source })?;
        let tables = Arc::new(Tables::default());
        // Rows stay for long, messages for moments: some of them keep a busy stream going.
        let for_queues = settings.ingest_memory_bytes / 4;
        let deps = IngestDeps {
            clock: clock.clone(),
            disk,
            seed: Chance::from_entropy().u64(),
            metrics: metrics.clone(),
            store: store.clone(),
            tables: tables.clone(),
            streams: Arc::new(Streams::new(local.clone(), MemoryStreams::new()).with_queues(Queues::new(for_queues))),
            deep_store,
            seats: Seats::default(),
            options: IngestOptions {
                instance: addresses.server_id(),
                boot: boot_id(),
                dir: data_dir.path().join("tables"),
                marks: marks_dir(&data_dir),
                owns_deep_store,
                disk_floor: settings.disk_floor,
                open_bytes: settings.ingest_memory_bytes - for_queues,
                discovery_every: settings.discovery_every,
                creation_timeout: settings.creation_timeout,
                heavy: HeavyWork::Threads,
                block_rows: BLOCK_ROWS,
            },
        };
        let ingest = IngestNode::start(deps).await?;
        // Only now every table has said what it still needs of the log.
        spawn_named("retain local log", LocalLogs::keep_retaining(Arc::downgrade(&local)));
        let options = QueryOptions {
            threads: settings.query_threads,
            memory_bytes: settings.query_memory_bytes,
            default_timeout: settings.query_timeout,
            default_limit: DEFAULT_LIMIT,
            host_name: addresses.host.as_str().into(),
            broker_id: addresses.broker_id().into(),
            thread_rows: QueryOptions::THREAD_ROWS,
        };
        let source = Source::new(tables.clone(), ingest.clone(), tokio::runtime::Handle::current());
        let engine =
            QueryEngine::new(options, Arc::new(source)).map_err(|error| OpenError::Engine(error.to_string()))?;
        Ok(Arc::new(Self {
            started_ms: clock.wall_ms(),
            settings,
            addresses,
            clock,
            metrics,
            store,
            tables,
            local,
            ingest,
            engine,
            requests: AtomicU64::new(0),
            force_commits: parking_lot::Mutex::default(),
            tails: Arc::new(Semaphore::new(TAILS_MOST)),
            deep_store_uri,
            _data_dir: data_dir,
        }))
    }
}

/// Whether a node starts although its deep store failed with `error`. One that started `before` had a store that could be
/// used: while that is away queries are answered and streams are read all the same, and uploads catch up. At a first
/// start the setting is wrong more likely than not.
fn starts_without(error: &FileError, before: bool) -> bool {
    match error.kind() {
        ErrorKind::Exhausted => true,
        // The store does not do what is needed of it, or refuses us.
        ErrorKind::Invalid => false,
        _ => before,
    }
}

/// The mark that the deep store of this data folder had when it was last seen: its URI on the first line, then the mark.
struct StoreNote<'a> {
    disk: &'a dyn Disk,
    path: PathBuf,
    uri: &'a str,
}

impl StoreNote<'_> {
    /// The mark, where the deep store is the one that it was noted of.
    fn read(&self) -> Option<Bytes> {
        let text = Bytes::from(self.disk.read(&self.path).ok()?);
        let line = text.iter().position(|byte| *byte == b'\n')?;
        (text[..line] == *self.uri.as_bytes()).then(|| text.slice(line + 1..))
    }

    /// Notes what the deep store says now. Only a folder can be gone without an error of its own.
    async fn write(&self, deep_store: &dyn FileSystem) {
        if !self.uri.starts_with("file://") {
            return;
        }
        let Ok(mark) = in_time(deep_store, deep_store.get(OWNER_MARK)).await else { return };
        if self.read().as_ref() == Some(&mark) {
            return;
        }
        if let Err(error) = self.disk.write_whole(&self.path, &[self.uri.as_bytes(), b"\n", &mark].concat()) {
            tracing::warn!(%error, "the mark of the deep store cannot be noted: a start does not miss it");
        }
    }
}

/// What the deep store says, if it says it in time.
pub(super) async fn in_time<T>(
    deep_store: &dyn FileSystem,
    asked: impl Future<Output = Result<T, FileError>>,
) -> Result<T, FileError> {
    tokio::time::timeout(STORE_ANSWERS, asked).await.unwrap_or_else(|_| {
        Err(FileError {
            action: "ask",
            uri: deep_store.uri(""),
            reason: format!("no answer within {} s", STORE_ANSWERS.as_secs()),
            kind: ErrorKind::Unavailable,
            retry: Retry::Later,
        })
    })
}

/// Whether the deep store's folder is this data folder's alone. Where it is another's, or does not say, nothing of it is
/// swept: what no record here names may be named there.
async fn owns(deep_store: &dyn FileSystem, id: &str) -> bool {
    match in_time(deep_store, is_owned_by(deep_store, id)).await {
        Ok(true) => true,
        Ok(false) => {
            let owner = deep_store.uri(OWNER_MARK);
            tracing::warn!(
                owner,
                "the deep store belongs to another data folder: objects that nobody names stay there"
            );
            false
        }
        Err(error) => {
            tracing::warn!(%error, "the deep store does not say whose it is: objects that nobody names stay");
            false
        }
    }
}

/// A folder with tables had a catalog: to start without it would be to forget them all.
fn catalog_is_there(disk: &dyn Disk, data_dir: &Path, catalog: &Path) -> Result<(), OpenError> {
    let failed =
        |error| CatalogError::Io { action: format!("look for {}", catalog.display()), source: Arc::new(error) };
    let tables = data_dir.join("tables");
    let there = disk.byte_count(catalog).map_err(failed)?.is_some_and(|bytes| bytes > 0);
    if there || disk.list(&tables).map_err(failed)?.is_empty() {
        return Ok(());
    }
    Err(OpenError::CatalogLost { catalog: catalog.display().to_string(), tables: tables.display().to_string() })
}

/// Tells one boot of the machine from another: what was written before a power loss may not be on the disk. Where the
/// system does not say, every start counts as a boot, which is safe.
fn boot_id() -> [u8; 16] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    match u128::from_str_radix(&digits, 16) {
        Ok(number) if digits.len() == 32 => number.to_be_bytes(),
        _ => {
            let mut chance = Chance::from_entropy();
            (u128::from(chance.u64()) << 64 | u128::from(chance.u64())).to_be_bytes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_keeps_its_id() {
        if std::path::Path::new("/proc/sys/kernel/random/boot_id").exists() {
            assert_eq!(boot_id(), boot_id());
        }
        assert_ne!(boot_id(), [0; 16]);
    }
}
