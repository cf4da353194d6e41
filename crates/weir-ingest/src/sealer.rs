//! From a fixed range to a committed segment: build, keep locally, upload, commit (transaction B), swap.
//!
//! Runs beside consumption and never holds it up. Order of events: the built file is synced on the local disk and takes
//! the frozen rows' place in memory; it is uploaded, for as long as that takes; only then the catalog says `Done`. Upload
//! comes before the commit: an object that nobody names is garbage, a named object that is not there is data loss.

use crate::{
    budget::Frozen,
    deps::TableContext,
    rebuild,
    recorded::{Times, segment_facts},
    reindex::lacking,
    upload,
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};
use weir_base::{
    Backoff, Chance, Mapped,
    metrics::{Counter, Labels},
    tasks::{may_panic, spawn_named},
};
use weir_control::{
    Artifact, LastSegment, Limits, SegmentRecord, SegmentState, StoreError, TableRecord, flush, index_settings,
};
use weir_files::Put;
use weir_segment::{BuildSpec, BuiltSegment, SealedSegment, Segment, build};
use weir_streams::{SharedSource, StreamSource};
use weir_table::{LoadedSegment, PartitionView, RecordedSegment, SegmentHandle};
use weir_types::{Accounting, ColumnName, NextOffset, SegmentName, StreamPartition, StreamSpec};

const BACKOFF_FIRST: Duration = Duration::from_millis(200);
/// A deep store that is back is noticed within this.
const BACKOFF_MOST: Duration = Duration::from_secs(10);

/// Whose turn it is to build.
pub(crate) type BuildPermits = Arc<Semaphore>;

/// A range whose end is fixed and whose segment is to be committed.
pub(crate) struct SealJob {
    /// Its table.
    pub(crate) table: Arc<TableContext>,
    /// Where its rows are seen.
    pub(crate) view: Arc<PartitionView>,
    /// Its record, `Committing`.
    pub(crate) record: SegmentRecord,
    /// Its rows, where this process consumed them; else the local file or the stream has them.
    pub(crate) frozen: Option<Arc<dyn Segment>>,
    /// What they hold of the node's memory.
    pub(crate) held: Option<Frozen>,
    /// The stream of the topic, for reading the range again.
    pub(crate) stream: StreamSpec,
    /// The stream itself.
    pub(crate) source: SharedSource,
}

/// Takes jobs and sees them through, one per segment: a partition that is started again asks for what is under way.
pub(crate) struct Sealer {
    pub(crate) permits: BuildPermits,
    /// Segments that are seen through, and what keeps those that are not committed yet.
    under_way: UnderWay,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

type UnderWay = Arc<Mutex<BTreeMap<SegmentName, Option<String>>>>;

impl Sealer {
    /// A sealer that shares the node's permits.
    #[must_use]
    pub(crate) fn new(permits: BuildPermits) -> Self {
        Self { permits, under_way: Arc::default(), tasks: Mutex::default() }
    }

    /// Starts a job, unless its segment has one that is not through; it is seen through while the node lives.
    pub(crate) fn submit(&self, job: SealJob) {
        let segment = job.record.name.clone();
        match self.under_way.lock().entry(segment.clone()) {
            Entry::Occupied(_) => return,
            Entry::Vacant(place) => drop(place.insert(None)),
        }
        let (permits, under_way) = (self.permits.clone(), self.under_way.clone());
        let task = spawn_named(format!("seal {segment}"), async move {
            see_through(job, permits, &under_way).await;
            under_way.lock().remove(&segment);
        });
        let mut tasks = self.tasks.lock();
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    /// Leaves all jobs as they stand, for the next start of the node, and gives the tasks to be waited for.
    pub(crate) fn stop(&self) -> Vec<JoinHandle<()>> {
        let tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.iter().for_each(JoinHandle::abort);
        tasks
    }

    /// What keeps segments from being committed, as the last attempt put it.
    pub(crate) fn troubles(&self) -> BTreeMap<SegmentName, String> {
        let under_way = self.under_way.lock();
        under_way.iter().filter_map(|(segment, trouble)| Some((segment.clone(), trouble.clone()?))).collect()
    }

    /// What the successor of a segment may hold.
    pub(crate) async fn next_limits(&self, table: &TableContext, last: &SegmentRecord) -> Limits {
        let record = table.record.load_full();
        let topic = &last.partition.topic;
        match table.deps.store.flush_memory(&record, topic).await {
            Ok(memory) => {
                let partitions = table.on_node.partitions().len().max(1);
                let mut chance = Chance::seeded(table.deps.seed ^ u64::from(last.name.sequence));
                flush::next_limits(&record.spec.flush, &memory, partitions as u64, &mut chance)
            }
            Err(error) => {
                tracing::warn!(%error, "the learnt segment size cannot be read; the last limit stays");
                last.limits
            }
        }
    }
}

async fn see_through(mut job: SealJob, permits: BuildPermits, under_way: &UnderWay) {
    let seed = job.table.deps.seed ^ u64::from(job.record.name.sequence);
    let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MOST, Chance::seeded(seed));
    let name: Arc<str> = job.record.name.to_string().into();
    let mut frozen = job.frozen.take().map(|rows| Rows { rows, _held: job.held.take(), _turn: None });
    let mut sealed = None;
    loop {
        match attempt(&mut job, &name, &mut frozen, &mut sealed, &permits).await {
            Ok(()) => return,
            Err(Failure::Settled(why)) => {
                tracing::info!(segment = &*name, why, "segment needs no commit any more");
                return;
            }
            Err(Failure::Again(why)) => {
                tracing::warn!(segment = &*name, why, "segment is not committed yet");
                under_way.lock().insert(job.record.name.clone(), Some(why));
                job.table.deps.metrics.count(Counter::SealRetries, &labels(&job), 1);
                job.table.deps.clock.sleep(backoff.next()).await;
            }
        }
    }
}

enum Failure {
    /// Trying again may help.
    Again(String),
    /// Somebody else did it, or the table is gone.
    Settled(String),
}

fn again(what: &str) -> impl Fn(String) -> Failure {
    let what = what.to_owned();
    move |cause| Failure::Again(format!("{what}: {cause}"))
}

fn labels(job: &SealJob) -> Labels {
    Labels {
        table: job.record.name.table.as_str().into(),
        topic: job.record.partition.topic.as_str().into(),
        partition: Some(job.record.partition.partition),
    }
}

/// Rows in memory, of a segment that is to be built.
struct Rows {
    rows: Arc<dyn Segment>,
    _held: Option<Frozen>,
    _turn: Option<OwnedSemaphorePermit>,
}

/// The bytes of the segment's local file, where the system keeps them.
fn mapped(job: &SealJob, name: &Arc<str>) -> std::io::Result<Mapped> {
    job.table.deps.disk.map(&job.table.cache.path(name))
}

struct LocalCopy {
    bytes: Mapped,
    crc: u32,
    rows: u32,
    times: Times,
    built_ms: i64,
    missing_indexes: Vec<String>,
    /// The table's index settings that it was built with, where they are known.
    settings: Option<u64>,
    sealed: Arc<SealedSegment>,
    /// Uploads of it that failed.
    failed: u32,
}

async fn attempt(
    job: &mut SealJob,
    name: &Arc<str>,
    frozen: &mut Option<Rows>,
    sealed: &mut Option<LocalCopy>,
    permits: &BuildPermits,
) -> Result<(), Failure> {
    let table = job.table.clone();
    // What lies in files may have been damaged since: rows are read again then, a file is made again.
    if sealed.as_ref().is_some_and(|copy| copy.damage().is_some()) {
        *sealed = None;
    }
    if frozen.as_ref().is_some_and(|frozen| frozen.rows.damage().is_some()) {
        *frozen = None;
    }
    if sealed.is_none() {
        let copy = match local_copy(job, name) {
            Some(copy) if frozen.is_none() => copy,
            _ => {
                if frozen.is_none() {
                    let turn = table.permits.again.clone().acquire_owned().await.ok();
                    let (rows, counts) =
                        rebuild::read_again(job).await.map_err(again("could not read the range again"))?;
                    recount(job, counts);
                    // Answers need the rows, not the file: building may have to wait its turn.
                    place(job, name, rows.clone());
                    *frozen = Some(Rows { rows, _held: None, _turn: turn });
                }
                build_and_keep(job, name, frozen, permits).await?
            }
        };
        // The mapped file serves from here on; the frozen rows' memory is free once the last query has let go.
        *frozen = None;
        *sealed = Some(copy);
        table.checkpoints.remove(name).await;
    }
    upload_whole(job, name, sealed).await
}

/// Puts the local copy into the deep store and commits it. One that is found damaged is put aside: it is made again.
async fn upload_whole(job: &SealJob, name: &Arc<str>, sealed: &mut Option<LocalCopy>) -> Result<(), Failure> {
    let table = &job.table;
    let copy = sealed.as_mut().expect("made before");
    if copy.is_cut(job, name) {
        look_again(job, name, sealed).await?;
    }
    let copy = sealed.as_mut().expect("it is whole");
    let put = upload::put(table, name, copy.crc, &bytes::Bytes::from_owner(copy.bytes.clone())).await;
    let stored = match put {
        Ok(stored) => stored,
        Err(error) => {
            table.deps.metrics.count(Counter::UploadsFailed, &labels(job), 1);
            copy.failed += 1;
            // It may be the file that cannot be read. A store that is away for a day is no reason to read all of it each time.
            if copy.is_cut(job, name) || copy.failed.is_power_of_two() {
                look_again(job, name, sealed).await?;
            }
            return Err(Failure::Again(error.to_string()));
        }
    };
    // What was put may be zeros, or other bytes than were built, and its key is that of the right ones.
    if let Err(damaged) = look_again(job, name, sealed).await {
        if stored.put == Put::Created {
            table.deps.deep_store.delete(&stored.key).await.map_err(|error| Failure::Again(error.to_string()))?;
        }
        return Err(damaged);
    }
    let copy = sealed.as_ref().expect("it is whole");
    commit(job, copy, stored.key).await
}

/// Reads all of the local copy. Where it is not what was built, its file is put aside, as readers do it.
async fn look_again(job: &SealJob, name: &Arc<str>, sealed: &mut Option<LocalCopy>) -> Result<(), Failure> {
    let copy = sealed.as_ref().expect("there is one");
    let (bytes, open, crc) = (copy.bytes.clone(), copy.sealed.clone(), copy.crc);
    let (cache, segment) = (job.table.cache.clone(), name.clone());
    let looked = job.table.deps.options.heavy.run(move || {
        let read = SealedSegment::verify(&bytes);
        let otherwise = || match read {
            Ok(found) if found == crc => None,
            Ok(found) => Some(format!("its checksum is {found:08x}, and {crc:08x} was built")),
            Err(error) => Some(error.to_string()),
        };
        let damage = bytes.damage().or_else(|| open.damage()).or_else(otherwise);
        if damage.is_some() {
            // Says where it is put.
            drop(cache.local(&segment, Some(crc)));
        }
        damage
    });
    let Some(damage) = looked.await else { return Ok(()) };
    *sealed = None;
    Err(Failure::Again(format!(
        "its local file was damaged before the deep store had it ({damage}): it is put aside, and the rows are read again"
    )))
}

impl LocalCopy {
    /// Why it is no copy any more.
    fn damage(&self) -> Option<String> {
        self.bytes.damage().or_else(|| self.sealed.damage())
    }

    /// Whether its file has another length by now. One that is gone is held by the mapping.
    fn is_cut(&self, job: &SealJob, name: &Arc<str>) -> bool {
        let there = job.table.deps.disk.byte_count(&job.table.cache.path(name));
        there.is_ok_and(|there| there.is_some_and(|there| there != self.bytes.len() as u64))
    }
}

/// What a range that was read again holds is what its record says once it is committed.
fn recount(job: &mut SealJob, counts: Accounting) {
    if let SegmentState::Committing { seal, .. } = &mut job.record.state {
        seal.accounting = counts;
        job.table.recounts.found(&job.record, counts);
    }
}

/// A file that an earlier attempt of this or an earlier process left: whole, and of this range by its name and rows.
fn local_copy(job: &SealJob, name: &Arc<str>) -> Option<LocalCopy> {
    let sealed = job.table.cache.local(name, None)?;
    let SegmentState::Committing { seal, .. } = &job.record.state else { return None };
    if u64::from(sealed.meta().rows) != seal.accounting.rows {
        return None;
    }
    let bytes = mapped(job, name).ok()?;
    let stats = |column: &ColumnName| {
        let info = sealed.column(column.as_str())?;
        sealed.stats(info.at).min_max.clone()
    };
    let copy = LocalCopy {
        bytes,
        crc: sealed.meta().crc?,
        rows: sealed.meta().rows,
        times: Times::of(&job.table.record.load(), &stats),
        built_ms: job.table.deps.clock.wall_ms(),
        missing_indexes: lacking(&job.table.record.load().spec.indexes, &*sealed),
        settings: None,
        sealed: sealed.clone(),
        failed: 0,
    };
    place(job, name, sealed);
    Some(copy)
}

async fn build_and_keep(
    job: &SealJob,
    name: &Arc<str>,
    frozen: &Option<Rows>,
    permits: &BuildPermits,
) -> Result<LocalCopy, Failure> {
    let table = &job.table;
    let Ok(_permit) = permits.acquire().await else { return Err(Failure::Settled("the node is stopping".into())) };
    let rows = frozen.as_ref().expect("rows were read again where there were none").rows.clone();
    let spec = build_spec(&table.record.load(), name);
    let settings = index_settings(&spec.indexes);
    let (keeper, segment) = (table.clone(), name.clone());
    // Building takes the processor, keeping the file waits for the disk: neither may hold up a pipeline's thread.
    let work = move || {
        // Of damaged rows nothing holds that was checked before.
        let built = may_panic(|| build(&*rows, &spec));
        if let Some(damage) = rows.look_again() {
            return Err(damage);
        }
        let built = built.map_err(|panic| format!("building met a fault of ours: {panic}"))?;
        let built = built.map_err(|error| format!("could not build: {error}"))?;
        let pieces: Vec<&[u8]> = built.pieces.iter().map(Vec::as_slice).collect();
        let sealed = keeper.cache.keep_built(&segment, &pieces).map_err(|error| error.to_string())?;
        // From here on the file has the bytes: an upload that takes long holds no memory.
        Ok((BuiltSegment { pieces: vec![], ..built }, sealed))
    };
    // Nobody waits for it: answers have the rows as they lie in memory, those that were read again too.
    let (built, sealed): (BuiltSegment, _) = table.deps.options.heavy.run(work).await.map_err(Failure::Again)?;
    for failure in &built.index_failures {
        tracing::error!(segment = &**name, failure, "an index could not be built; the segment is sealed without it");
    }
    let stats = |column: &ColumnName| {
        let found = built.columns.iter().find(|(name, ..)| name == column);
        found.map(|(_, min, max)| (min.clone(), max.clone()))
    };
    let copy = LocalCopy {
        crc: built.crc,
        rows: built.rows,
        times: Times::of(&table.record.load(), &stats),
        built_ms: table.deps.clock.wall_ms(),
        bytes: mapped(job, name).map_err(|error| Failure::Again(error.to_string()))?,
        missing_indexes: built.index_failures,
        settings: Some(settings),
        sealed: sealed.clone(),
        failed: 0,
    };
    place(job, name, sealed);
    Ok(copy)
}

fn place(job: &SealJob, name: &Arc<str>, segment: Arc<dyn Segment>) {
    job.view.place(LoadedSegment { name: name.clone(), segment: segment.into(), validity: None }, &sequence_of);
}

/// A segment's place in its partition.
pub(crate) fn sequence_of(name: &str) -> u32 {
    SegmentName::parse(name).map_or(u32::MAX, |name| name.sequence)
}

/// How a segment of a table is built.
pub(crate) fn build_spec(record: &TableRecord, name: &Arc<str>) -> BuildSpec {
    BuildSpec {
        name: name.clone(),
        schema: record.schema.clone(),
        sorted_column: record.spec.sorted_column.clone(),
        indexes: record.spec.indexes.clone(),
        keep_offsets: crate::pipeline::keep_offsets(&record.schema),
        time_column: record.spec.time_column.clone(),
    }
}

/// Transaction B, and what follows from it.
async fn commit(job: &SealJob, copy: &LocalCopy, key: String) -> Result<(), Failure> {
    let deps = &job.table.deps;
    let artifact = Artifact {
        uri: deps.deep_store.uri(&key),
        key,
        crc: copy.crc,
        byte_count: copy.bytes.len() as u64,
        rows: u64::from(copy.rows),
        min_time_ms: copy.times.millis.map(|times| times.0),
        max_time_ms: copy.times.millis.map(|times| times.1),
        time_range: copy.times.range.clone(),
        built_ms: copy.built_ms,
        uploaded_ms: deps.clock.wall_ms(),
        missing_indexes: copy.missing_indexes.clone(),
        settings: copy.settings,
    };
    let byte_count = artifact.byte_count;
    match deps.store.finish(&job.record, artifact).await {
        Ok(done) => show_recorded(job, copy, &done),
        Err(StoreError::Conflict { what }) => {
            find_out(job, copy).await;
            return Err(Failure::Settled(what));
        }
        Err(StoreError::NotFound { what }) => return Err(Failure::Settled(what)),
        Err(error) => return Err(Failure::Again(format!("could not commit: {error}"))),
    }
    deps.metrics.count(Counter::SegmentsCommitted, &labels(job), 1);
    if copy.settings != Some(index_settings(&job.table.record.load().spec.indexes)) {
        job.table.reindexing.wake();
    }
    learn(job, copy, byte_count).await;
    release(job).await;
    Ok(())
}

/// From here on the segment is one of its record: its file may go and be fetched again.
fn show_recorded(job: &SealJob, copy: &LocalCopy, done: &SegmentRecord) {
    let SegmentState::Done { artifact, .. } = &done.state else { return };
    if artifact.crc != copy.crc {
        return;
    }
    let name: Arc<str> = done.name.to_string().into();
    let facts = segment_facts(&job.table.record.load(), &name, (done.schema_version, done.created_ms), artifact);
    let recorded = RecordedSegment::opened(facts, job.table.cache.clone(), copy.sealed.clone());
    job.view.replace(LoadedSegment { name, segment: SegmentHandle::Recorded(recorded), validity: None });
}

/// Somebody committed the segment: us, where the catalog's answer was lost.
async fn find_out(job: &SealJob, copy: &LocalCopy) {
    let record = job.table.record.load_full();
    match job.table.deps.store.segments_of(&record, &job.record.partition).await {
        Ok(segments) => {
            if let Some(found) = segments.iter().find(|segment| segment.name == job.record.name) {
                show_recorded(job, copy, found);
            }
        }
        // It is shown from its record at the next start.
        Err(error) => tracing::warn!(segment = %job.record.name, %error, "a committed segment's record cannot be read"),
    }
}

/// The size of this segment teaches the limit of the next.
async fn learn(job: &SealJob, copy: &LocalCopy, byte_count: u64) {
    let SegmentState::Committing { seal, .. } = &job.record.state else { return };
    let record = job.table.record.load_full();
    let store = &job.table.deps.store;
    let last = LastSegment {
        rows: u64::from(copy.rows),
        byte_count,
        column_bytes: seal.size.map(|size| size.column_bytes),
        rows_limit: job.record.limits.rows,
        reason: seal.reason,
    };
    let learnt = async {
        let memory = store.flush_memory(&record, &job.record.partition.topic).await?;
        let memory = flush::learn(&record.spec.flush, &memory, &last);
        store.put_flush_memory(&record, &job.record.partition.topic, &memory).await
    };
    if let Err(error) = learnt.await {
        tracing::warn!(%error, "the segment's size could not be remembered");
    }
}

/// Tells the stream from where the table may still read: the oldest range that is not `Done`.
pub(crate) async fn release(job: &SealJob) {
    hold_log(&job.table, &*job.source, &job.record.partition).await;
}

/// Tells the stream from where on a partition may still be read; from nowhere where all of it is `Done`.
pub(crate) async fn hold_log(table: &TableContext, source: &dyn StreamSource, partition: &StreamPartition) {
    let record = table.record.load_full();
    let segments = match table.deps.store.segments(&record).await {
        Ok(segments) => segments,
        Err(error) => {
            tracing::warn!(%error, "segment records cannot be read; the stream keeps its log");
            return;
        }
    };
    let floor = oldest_needed(&segments, partition).unwrap_or(NextOffset::new(u64::MAX));
    table.holds.hold(source, &table.holder(), partition.partition, floor);
}

/// Where the oldest range of a partition that is not `Done` starts.
pub(crate) fn oldest_needed(segments: &[SegmentRecord], partition: &weir_types::StreamPartition) -> Option<NextOffset> {
    let starts =
        segments.iter().filter(|segment| segment.partition == *partition).filter_map(|segment| match &segment.state {
            SegmentState::Consuming { start } => Some(*start),
            SegmentState::Committing { range, .. } => Some(range.start()),
            SegmentState::Done { .. } => None,
        });
    starts.min()
}
