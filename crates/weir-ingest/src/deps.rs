//! What the pipelines of a node stand on, and what those of one table share.

use crate::{
    budget::Budget,
    checkpoint::Checkpoints,
    floor::DiskFloor,
    pace::NodePace,
    prepare::{KeyStage, NoKeys},
    quarantine::Quarantine,
    recount::Recounts,
    reindex::Reindexing,
    replay::Replays,
    sealer::Sealer,
};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use weir_base::{SharedClock, SharedDisk, metrics::Metrics, tasks::HeavyWork};
use weir_control::{Completion, SoleReplica, Store, TableRecord};
use weir_files::SharedFileSystem;
use weir_streams::{StreamSource, Streams};
use weir_table::{Openings, SegmentCache, TableOnNode, Tables, VisibleMarks};
use weir_types::{NextOffset, StreamPartition, TableName};

/// Settings of a node's ingestion.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// This node's name, as segment records list it.
    pub instance: Arc<str>,
    /// Identifies the running boot of the machine.
    pub boot: [u8; 16],
    /// Where tables keep their local files.
    pub dir: PathBuf,
    /// Where visible marks are kept, in a folder for each table: where the machine has one, in memory that outlives the
    /// process, for a publish waits for each.
    pub marks: PathBuf,
    /// How often new and vanished partitions are looked for.
    pub discovery_every: Duration,
    /// How long a stream may take to answer when a table is made.
    pub creation_timeout: Duration,
    /// Whether the deep store's folder is this node's alone: only then what no record here names is nobody's.
    pub owns_deep_store: bool,
    /// How much of the disk stays free of local copies of what the deep store has.
    pub disk_floor: DiskFloor,
    /// Memory that rows of open segments, and of those that are not built yet, may hold, in bytes.
    pub open_bytes: u64,
    /// Where segments are built.
    pub heavy: HeavyWork,
    /// Rows of a frozen block of an open segment, `weir_segment::consuming::BLOCK_ROWS` but for tests: what a checkpoint is
    /// made of.
    pub block_rows: u32,
}

/// Makes what stands between transform and append of a partition.
pub type KeyStages = dyn Fn(&TableRecord, &StreamPartition) -> Box<dyn KeyStage> + Send + Sync;

/// Parts that a node may be given in place of its own.
#[derive(Clone, Default)]
pub struct Seats {
    /// Agrees on the ends of segments; else every segment has this node as its only replica.
    pub completion: Option<Arc<dyn Completion>>,
    /// Makes key stages; else no table has keys that hide rows.
    pub keys: Option<Arc<KeyStages>>,
}

impl Seats {
    /// The key stage of a partition.
    #[must_use]
    pub(crate) fn keys(&self, table: &TableRecord, partition: &StreamPartition) -> Box<dyn KeyStage> {
        self.keys.as_ref().map_or_else(|| Box::new(NoKeys) as Box<dyn KeyStage>, |make| make(table, partition))
    }

    /// Who agrees on the ends of a table's segments.
    #[must_use]
    pub(crate) fn completion(&self, instance: &Arc<str>) -> Arc<dyn Completion> {
        self.completion.clone().unwrap_or_else(|| Arc::new(SoleReplica::new(instance.clone())))
    }
}

impl IngestOptions {
    /// What a table's folders are called.
    pub(crate) fn folder(table: &TableRecord) -> String {
        Self::folder_of(&table.spec.name, table.uid)
    }

    /// What they are called of the table of that name and uid.
    pub(crate) fn folder_of(name: &TableName, uid: u64) -> String {
        format!("{name}-{uid}")
    }
}

/// What the pipelines of a node stand on.
#[derive(Clone)]
pub struct IngestDeps {
    /// Time.
    pub clock: SharedClock,
    /// The local disk.
    pub disk: SharedDisk,
    /// Seed of chance: jitter and variance.
    pub seed: u64,
    /// Counters.
    pub metrics: Metrics,
    /// The catalog.
    pub store: Arc<Store>,
    /// What queries see.
    pub tables: Arc<Tables>,
    /// The streams.
    pub streams: Arc<Streams>,
    /// Where sealed segments go.
    pub deep_store: SharedFileSystem,
    /// Settings.
    pub options: IngestOptions,
    /// Parts in place of the node's own.
    pub seats: Seats,
}

/// What all tables of a node take turns at.
#[derive(Clone)]
pub(crate) struct Permits {
    /// Segments are built one at a time, so that two cores keep one for consuming and queries.
    pub(crate) build: Arc<Semaphore>,
    /// Batches are decoded ahead of their turn by one thread more than there are cores, for whoever appends waits now and
    /// then; more would wait, each holding its batch in memory. None where threads would bring chance.
    pub(crate) ahead: Arc<Semaphore>,
    /// Ranges are read again by as many as there are cores: each holds its rows in memory until they are built.
    pub(crate) again: Arc<Semaphore>,
    /// What their rows may hold of the memory.
    pub(crate) budget: Arc<Budget>,
    /// Turns at opening segment files.
    pub(crate) openings: Arc<Openings>,
    /// How fast all of them together take messages.
    pub(crate) pace: Arc<NodePace>,
}

impl Permits {
    pub(crate) fn new(options: &IngestOptions) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let ahead = match options.heavy {
            HeavyWork::Threads => cores + 1,
            HeavyWork::Inline => 0,
        };
        let permits = |count| Arc::new(Semaphore::new(count));
        let budget = Budget::new(options.open_bytes);
        let (openings, pace) = (Arc::default(), Arc::default());
        Self { build: permits(1), ahead: permits(ahead), again: permits(cores), budget, openings, pace }
    }
}

/// Keys that an object may have. Bytes of another object under one of ours are damage of the deep store: one that does that
/// again and again is to be looked at, not filled.
const OBJECT_KEYS: u32 = 4;

/// What the pipelines of one table share.
pub(crate) struct TableContext {
    /// The node's.
    pub(crate) deps: IngestDeps,
    /// The table's record, replaced when it changes.
    pub(crate) record: ArcSwap<TableRecord>,
    /// What queries see of it.
    pub(crate) on_node: Arc<TableOnNode>,
    /// Local copies of sealed segments.
    pub(crate) cache: Arc<SegmentCache>,
    /// Rejected records.
    pub(crate) quarantine: Arc<Quarantine>,
    /// What of them became rows after all.
    pub(crate) replays: Replays,
    /// Counts of ranges that were read again.
    pub(crate) recounts: Recounts,
    /// Open segments on the local disk.
    pub(crate) checkpoints: Arc<Checkpoints>,
    /// Visible offsets.
    pub(crate) marks: VisibleMarks,
    /// Builds and uploads.
    pub(crate) sealer: Sealer,
    /// Turns at decoding ahead and at reading again, and the memory of rows.
    pub(crate) permits: Permits,
    /// Agrees on the ends of segments.
    pub(crate) completion: Arc<dyn Completion>,
    /// Gives committed segments the indexes that the settings ask for by now.
    pub(crate) reindexing: Reindexing,
    /// What the table holds of its streams' logs.
    pub(crate) holds: Holds,
}

/// From where on a table may read its streams again. Once it is dropped it holds nothing, whatever is still under way.
#[derive(Default)]
pub(crate) struct Holds {
    released: Mutex<bool>,
}

impl Holds {
    /// Says that the table may read a partition again from `floor` on.
    pub(crate) fn hold(&self, source: &dyn StreamSource, holder: &str, partition: u32, floor: NextOffset) {
        let released = self.released.lock();
        if !*released {
            source.hold(holder, partition, floor);
        }
    }

    /// Gives up all that the table holds of `sources`, for good.
    pub(crate) fn release<'a>(&self, sources: impl IntoIterator<Item = &'a dyn StreamSource>, holder: &str) {
        let mut released = self.released.lock();
        *released = true;
        sources.into_iter().for_each(|source| source.release(holder));
    }
}

impl TableContext {
    /// The key below the deep store's root under which a segment of that checksum lies. It cannot be reused: neither by
    /// a later table of the same name nor by other bytes.
    #[must_use]
    fn object_key(&self, segment: &str, crc: u32) -> String {
        format!("{}{segment}-{crc:08x}.weir", self.object_prefix())
    }

    /// The keys of an object in the order in which they are tried: where other bytes lie under one, the next one is taken.
    pub(crate) fn object_keys(&self, segment: &str, crc: u32) -> impl Iterator<Item = String> + use<> {
        tried(self.object_key(segment, crc))
    }

    /// The keys of the object that takes the place of the one that version `version` of the segment's record names. No two
    /// versions share any: an object that is on its way out is never named again, also where the same bytes come again.
    pub(crate) fn renewed_keys(&self, segment: &str, crc: u32, version: u64) -> impl Iterator<Item = String> + use<> {
        tried(format!("{}{segment}-{crc:08x}-r{version}.weir", self.object_prefix()))
    }

    /// What all keys of the table start with.
    #[must_use]
    pub(crate) fn object_prefix(&self) -> String {
        format!("{}/", self.holder())
    }

    /// The table by a name that no later table has.
    #[must_use]
    pub(crate) fn holder(&self) -> String {
        IngestOptions::folder(&self.record.load())
    }
}

/// Keys of one object: where one is taken the next one is tried.
fn tried(first: String) -> impl Iterator<Item = String> {
    let stem = first.trim_end_matches(".weir").to_owned();
    std::iter::once(first).chain((1..OBJECT_KEYS).map(move |at| format!("{stem}-{at}.weir")))
}

/// The whole of a partition's past, as its records tell it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartitionPast {
    /// Where its first segment started.
    pub(crate) start: NextOffset,
    /// Counts of all ranges that are fixed, and of skips.
    pub(crate) fixed: weir_types::Accounting,
    /// Offsets gone back on the record.
    pub(crate) rewound: u64,
}
