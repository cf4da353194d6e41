//! One table's pipelines: starts them from the catalog's records, finds new and vanished partitions, restarts a pipeline
//! that the catalog has overtaken.

use crate::{
    deps::{IngestDeps, PartitionPast, TableContext},
    error::IngestError,
    pipeline::{Command, PartitionPipeline, PipelineEnd, PipelineHandle, PipelineParts},
    quarantine::{Quarantine, QuarantineBounds},
    sealer::{BuildPermits, SealJob, Sealer, oldest_needed, sequence_of},
    status::{PartitionState, PartitionStatus, StatusCell},
};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::task::JoinHandle;
use weir_base::tasks::spawn_named;
use weir_control::{NewPartition, SegmentRecord, SegmentState, SoleReplica, StoreError, TableRecord};
use weir_streams::{SharedSource, StreamError};
use weir_table::{LoadedSegment, PartitionView, SegmentCache, TableOnNode, Target, VisibleMarks};
use weir_types::{Accounting, Classify, NextOffset, Skip, StartAt, StreamPartition, StreamSpec};

/// A segment that the deep store does not give is asked for again after this.
const LOAD_AGAIN: Duration = Duration::from_secs(2);
/// A pipeline that cannot be started is tried again after this.
const START_AGAIN: Duration = Duration::from_secs(1);

/// One stream of a table with its source.
#[derive(Clone)]
struct Feed {
    position: u32,
    spec: StreamSpec,
    source: SharedSource,
}

/// A table at work on this node.
pub(crate) struct TableRuntime {
    context: Arc<TableContext>,
    feeds: Vec<Feed>,
    handles: Mutex<BTreeMap<StreamPartition, PipelineHandle>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// Pinot's partition number: the stream's own where there is one stream.
fn partition_group(feeds: usize, position: u32, partition: u32) -> u32 {
    if feeds > 1 { position * 10_000 + partition } else { partition }
}

impl TableRuntime {
    /// Opens a table: everything that its records name is queryable or named as lacking when this returns. A `fresh`
    /// table was made just now: nothing of it was ever visible.
    pub(crate) async fn open(
        deps: IngestDeps,
        record: TableRecord,
        permits: BuildPermits,
        fresh: bool,
    ) -> Result<Arc<Self>, IngestError> {
        let dir = deps.options.dir.join(format!("{}-{}", record.spec.name, record.uid));
        let quarantine =
            Quarantine::open(deps.disk.clone(), dir.join("quarantine.log"), QuarantineBounds::default()).map_err(
                |source| IngestError::Disk { action: format!("open the quarantine of {}", record.spec.name), source },
            )?;
        let feeds = feeds(&deps, &record)?;
        let context = Arc::new(TableContext {
            on_node: TableOnNode::new(record.schema.clone(), record.spec.clone()),
            cache: SegmentCache::new(deps.disk.clone(), dir.join("segments")),
            marks: VisibleMarks::new(deps.disk.clone(), dir.join("marks"), deps.options.boot),
            sealer: Sealer::new(permits),
            completion: Arc::new(SoleReplica::new(deps.options.instance.clone())),
            quarantine,
            record: ArcSwap::from_pointee(record),
            deps,
        });
        let runtime = Arc::new(Self { context, feeds, handles: Mutex::default(), tasks: Mutex::default() });
        let record = runtime.context.record.load_full();
        let segments = runtime.context.deps.store.segments(&record).await?;
        let skips = runtime.context.deps.store.skips(&record).await?;
        for feed in &runtime.feeds {
            let partitions: BTreeSet<&StreamPartition> = segments
                .iter()
                .filter(|segment| segment.partition.topic == feed.spec.topic)
                .map(|segment| &segment.partition)
                .collect();
            for partition in partitions {
                runtime.start(feed, partition, &segments, &skips, fresh)?;
            }
        }
        runtime.context.deps.tables.insert(runtime.context.on_node.clone());
        for feed in &runtime.feeds {
            let task = discover(Arc::downgrade(&runtime), feed.clone());
            runtime.keep(spawn_named(format!("discover {}", feed.spec.topic), task));
        }
        Ok(runtime)
    }

    /// What its pipelines share.
    #[must_use]
    pub(crate) fn context(&self) -> &Arc<TableContext> {
        &self.context
    }

    /// Its partitions' status, by topic and number.
    #[must_use]
    pub(crate) fn partitions(&self) -> Vec<PartitionStatus> {
        self.handles.lock().values().map(|handle| handle.status.get()).collect()
    }

    /// Its pipelines.
    #[must_use]
    pub(crate) fn handles(&self) -> Vec<PipelineHandle> {
        self.handles.lock().values().cloned().collect()
    }

    /// Ends all work of the table at once. Nothing is lost: an open segment's rows are read again.
    pub(crate) fn stop(&self) {
        self.context.deps.tables.remove(self.context.on_node.name());
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
        self.handles.lock().clear();
    }

    fn keep(&self, task: JoinHandle<()>) {
        let mut tasks = self.tasks.lock();
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    /// Starts a partition from its records.
    fn start(
        self: &Arc<Self>,
        feed: &Feed,
        partition: &StreamPartition,
        segments: &[SegmentRecord],
        skips: &[(StreamPartition, Skip)],
        fresh: bool,
    ) -> Result<(), IngestError> {
        let records: Vec<&SegmentRecord> = segments.iter().filter(|segment| segment.partition == *partition).collect();
        let past = past(&records, skips, partition);
        let open_start = records.iter().find_map(|record| match record.state {
            SegmentState::Consuming { start } => Some(start),
            _ => None,
        });
        let next = open_start.unwrap_or(past.start);
        let (mark, last) = self
            .context
            .marks
            .open(partition)
            .map_err(|source| IngestError::Disk { action: format!("open the visible mark of {partition}"), source })?;
        let target = match last {
            Some(last) => Target::At(last.max(next)),
            None if fresh => Target::At(next),
            None => Target::EndOfLog,
        };
        let absent = records.iter().filter(|record| !matches!(record.state, SegmentState::Consuming { .. }));
        let absent: Vec<Arc<str>> = absent.map(|record| record.name.to_string().into()).collect();
        let view = match self.context.on_node.partitions().get(partition) {
            Some(view) => {
                view.start_over(next, target, &absent);
                view.clone()
            }
            None => self.context.on_node.add(PartitionView::new(partition.clone(), next, target, absent)),
        };
        let group = partition_group(self.feeds.len(), feed.position, partition.partition);
        let status = StatusCell::new(first_status(&self.context, partition, group, next, &past));
        let floor = oldest_needed(segments, partition).unwrap_or(next);
        let holder = format!("{}-{}", self.context.record.load().spec.name, self.context.record.load().uid);
        feed.source.hold(&holder, partition.partition, floor);
        let paused = self.context.record.load().paused.as_ref().map(|pause| pause.reason.clone());
        let (handle, commands) = PipelineHandle::new(status.clone());
        self.handles.lock().insert(partition.clone(), handle);
        self.settle_fixed(feed, &view, &records);
        let Some(open) = records.iter().find(|record| matches!(record.state, SegmentState::Consuming { .. })) else {
            status.enter(PartitionState::Gone("no segment of it is consuming".into()));
            return Ok(());
        };
        let parts = PipelineParts {
            table: self.context.clone(),
            stream: feed.spec.clone(),
            source: feed.source.clone(),
            view,
            mark,
            status,
            commands,
            record: (*open).clone(),
            past,
            paused,
        };
        let pipeline = PartitionPipeline::new(parts)
            .map_err(|reason| IngestError::Setting { path: "tableIndexConfig.streamConfigs".into(), reason })?;
        let runtime = Arc::downgrade(self);
        let (feed, partition) = (feed.clone(), partition.clone());
        self.keep(spawn_named(format!("consume {partition}"), async move {
            let PipelineEnd::Reload(why) = pipeline.run().await else { return };
            tracing::info!(%partition, why, "partition is started again from its records");
            let Some(runtime) = runtime.upgrade() else { return };
            runtime.start_again(&feed, &partition).await;
        }));
        Ok(())
    }

    /// Boxed: a pipeline's task starts its successor's.
    fn start_again<'a>(
        self: &'a Arc<Self>,
        feed: &'a Feed,
        partition: &'a StreamPartition,
    ) -> futures::future::BoxFuture<'a, ()> {
        Box::pin(async move {
            loop {
                let record = self.context.record.load_full();
                let store = &self.context.deps.store;
                let read = async { Ok::<_, StoreError>((store.segments(&record).await?, store.skips(&record).await?)) };
                let started = match read.await {
                    Ok((segments, skips)) => self.start(feed, partition, &segments, &skips, false),
                    Err(error) => Err(error.into()),
                };
                let Err(error) = started else { return };
                tracing::error!(%partition, %error, "partition cannot be started yet");
                self.context.deps.clock.sleep(START_AGAIN).await;
            }
        })
    }

    /// Loads what is done and sees through what is between the two transactions.
    fn settle_fixed(self: &Arc<Self>, feed: &Feed, view: &Arc<PartitionView>, records: &[&SegmentRecord]) {
        let loaded = view.snapshot();
        let mut done = vec![];
        for record in records {
            let name = record.name.to_string();
            if loaded.whole.iter().any(|present| *present.name == *name) {
                continue;
            }
            match &record.state {
                SegmentState::Consuming { .. } => {}
                SegmentState::Committing { .. } => self.context.sealer.submit(SealJob {
                    table: self.context.clone(),
                    view: view.clone(),
                    record: (*record).clone(),
                    frozen: None,
                    stream: feed.spec.clone(),
                    source: feed.source.clone(),
                }),
                SegmentState::Done { artifact, .. } => done.push((name, artifact.crc, artifact.key.clone())),
            }
        }
        if !done.is_empty() {
            let (context, view) = (self.context.clone(), view.clone());
            let partition = view.partition().clone();
            self.keep(spawn_named(format!("load {partition}"), async move { load(context, view, done).await }));
        }
    }

    /// New partitions start at the oldest message, vanished ones are said to be gone.
    async fn look(self: &Arc<Self>, feed: &Feed) -> Result<(), IngestError> {
        let found = match feed.source.partitions().await {
            Ok(found) => found,
            Err(StreamError::TopicMissing { .. }) => return Ok(()),
            Err(source) => return Err(IngestError::Stream { path: "stream".into(), source }),
        };
        let known: BTreeSet<u32> = {
            let handles = self.handles.lock();
            handles.keys().filter(|known| known.topic == feed.spec.topic).map(|known| known.partition).collect()
        };
        let fresh: Vec<u32> = found.into_iter().filter(|partition| !known.contains(partition)).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let record = self.context.record.load_full();
        let new = starts(feed, &fresh, &StartAt::Earliest, self.context.deps.clock.wall_ms(), self.feeds.len()).await?;
        let started = start_records(&self.context.deps, &record, new).await?;
        for segment in &started {
            tracing::info!(table = %record.spec.name, partition = %segment.partition, "new partition found");
            self.start(feed, &segment.partition, std::slice::from_ref(segment), &[], true)?;
        }
        Ok(())
    }

    /// The table's settings or schema changed: pipelines seal and go on with the new ones.
    pub(crate) async fn reshape(&self, record: TableRecord) {
        self.context.on_node.reshape(record.schema.clone(), record.spec.clone());
        self.context.record.store(Arc::new(record));
        for handle in self.handles() {
            handle.send(Command::Reshape).await;
        }
    }
}

async fn discover(runtime: std::sync::Weak<TableRuntime>, feed: Feed) {
    loop {
        let Some(alive) = runtime.upgrade() else { return };
        let (clock, every) = (alive.context.deps.clock.clone(), alive.context.deps.options.discovery_every);
        drop(alive);
        clock.sleep(every).await;
        let Some(alive) = runtime.upgrade() else { return };
        if let Err(error) = alive.look(&feed).await {
            tracing::debug!(topic = feed.spec.topic.as_str(), %error, "partitions cannot be listed now");
        }
    }
}

async fn load(context: Arc<TableContext>, view: Arc<PartitionView>, mut missing: Vec<(String, u32, String)>) {
    loop {
        let mut again = vec![];
        for (name, crc, key) in missing {
            match context.cache.load(&name, crc, &context.deps.deep_store, &key).await {
                Ok(segment) => {
                    view.place(LoadedSegment { name: name.into(), segment, validity: None }, &sequence_of);
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    tracing::error!(segment = name, %error, cause, "segment is not loaded; answers say so");
                    again.push((name, crc, key));
                }
            }
        }
        if again.is_empty() {
            return;
        }
        missing = again;
        context.deps.clock.sleep(LOAD_AGAIN).await;
    }
}

fn past(records: &[&SegmentRecord], skips: &[(StreamPartition, Skip)], partition: &StreamPartition) -> PartitionPast {
    let mut fixed = Accounting::default();
    let mut start: Option<NextOffset> = None;
    for record in records {
        let from = match &record.state {
            SegmentState::Consuming { start } => *start,
            SegmentState::Committing { range, seal } | SegmentState::Done { range, seal, .. } => {
                fixed.add(&seal.accounting);
                range.start()
            }
        };
        start = Some(start.map_or(from, |start| start.min(from)));
    }
    for (_, skip) in skips.iter().filter(|(skipped, _)| skipped == partition) {
        fixed.skipped += skip.range.span();
        start = start.map(|start| start.min(skip.range.start()));
    }
    PartitionPast { start: start.unwrap_or(NextOffset::ZERO), fixed }
}

fn first_status(
    context: &TableContext,
    partition: &StreamPartition,
    partition_group: u32,
    next: NextOffset,
    past: &PartitionPast,
) -> PartitionStatus {
    PartitionStatus {
        table: context.on_node.name().clone(),
        partition: partition.clone(),
        partition_group,
        state: PartitionState::Starting,
        start: past.start,
        next,
        high_watermark: None,
        low_watermark: None,
        lag_ms: 0,
        accounting: past.fixed,
        open_segment: None,
        open_rows: 0,
        open_bytes: 0,
        open_rows_limit: 0,
        open_seal_at_ms: 0,
        last_consumed_ms: 0,
        last_error: None,
        last_error_offset: None,
    }
}

/// The table's streams with their sources.
fn feeds(deps: &IngestDeps, record: &TableRecord) -> Result<Vec<Feed>, IngestError> {
    let streams = record.spec.streams.iter().enumerate();
    let feed = |(at, spec): (usize, &StreamSpec)| {
        let source = deps.streams.source(spec).map_err(|source| stream_error(at, source))?;
        Ok(Feed { position: u32::try_from(at).unwrap_or(u32::MAX), spec: spec.clone(), source })
    };
    streams.map(feed).collect()
}

fn stream_error(at: usize, source: StreamError) -> IngestError {
    let key = match &source {
        StreamError::Setting { key, .. } => format!(".{key}"),
        StreamError::TopicMissing { .. } | StreamError::PartitionMissing { .. } => ".topic.name".into(),
        StreamError::Unreachable { .. } | StreamError::Denied { .. } => ".broker.list".into(),
        _ => String::new(),
    };
    IngestError::Stream { path: format!("streamConfigMaps[{at}]{key}"), source }
}

/// Where partitions start, asked of the stream.
async fn starts(
    feed: &Feed,
    partitions: &[u32],
    at: &StartAt,
    now_ms: i64,
    feeds: usize,
) -> Result<Vec<NewPartition>, IngestError> {
    let resolve = partitions.iter().map(|partition| async move {
        let start = feed.source.resolve(*partition, at, now_ms).await;
        let start = start.map_err(|source| stream_error(feed.position as usize, source))?;
        Ok(NewPartition {
            partition: StreamPartition { topic: feed.spec.topic.clone(), partition: *partition },
            partition_group: partition_group(feeds, feed.position, *partition),
            start,
        })
    });
    futures::future::try_join_all(resolve).await
}

/// Asks every stream of a table for its partitions and their first offsets.
pub(crate) async fn plan(deps: &IngestDeps, record: &TableRecord) -> Result<Vec<NewPartition>, IngestError> {
    let feeds = feeds(deps, record)?;
    let mut new = vec![];
    for feed in &feeds {
        let at = feed.position as usize;
        crate::pipeline::record_path(record, &feed.spec, deps.clock.wall_ms())
            .map_err(|reason| IngestError::Setting { path: format!("streamConfigMaps[{at}].decoder"), reason })?;
        let asked = async {
            let partitions = feed.source.partitions().await.map_err(|source| stream_error(at, source))?;
            starts(feed, &partitions, &feed.spec.start_at, deps.clock.wall_ms(), feeds.len()).await
        };
        let timeout = deps.options.creation_timeout;
        tokio::select! {
            biased;
            found = asked => new.extend(found?),
            () = deps.clock.sleep(timeout) => {
                let reason = format!("no answer within {} s", timeout.as_secs());
                let topic = feed.spec.topic.to_string();
                return Err(stream_error(at, StreamError::Unreachable { topic, reason }));
            }
        }
    }
    Ok(new)
}

/// Writes the records of new partitions.
pub(crate) async fn start_records(
    deps: &IngestDeps,
    record: &TableRecord,
    new: Vec<NewPartition>,
) -> Result<Vec<SegmentRecord>, IngestError> {
    if new.is_empty() {
        return Ok(vec![]);
    }
    let memory = deps.store.flush_memory(record, &new[0].partition.topic).await?;
    let mut chance = weir_base::Chance::seeded(deps.seed);
    let partitions = new.len() as u64;
    let limit = weir_control::flush::next_rows_limit(&record.spec.flush, &memory, partitions, &mut chance);
    let replicas = [deps.options.instance.clone()];
    let started = deps.store.start_partitions(record, new, limit, deps.clock.wall_ms(), &replicas).await;
    started.map_err(|error| {
        tracing::debug!(kind = ?error.kind(), "partitions could not be recorded");
        error.into()
    })
}
