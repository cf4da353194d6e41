//! One table's pipelines: starts them from the catalog's records, restarts a pipeline that the catalog has overtaken.

use crate::{
    checkpoint::{CheckpointQueue, Checkpoints, Restored},
    deps::{Holds, IngestDeps, IngestOptions, PartitionPast, Permits, TableContext},
    error::IngestError,
    feeds::{Feed, Feeds, feeds},
    pipeline::{PartitionPipeline, PipelineEnd, PipelineHandle, PipelineParts},
    quarantine::{Quarantine, QuarantineBounds},
    recorded::{loaded, open_ahead, segment_facts},
    recount::Recounts,
    reindex::{Reindexing, keep_indexes},
    replay::Replays,
    retention::Removing,
    sealer::{SealJob, Sealer, oldest_needed, sequence_of},
    status::{PartitionState, PartitionStatus, StatusCell},
    topics::discover,
};
use arc_swap::ArcSwap;
use futures::FutureExt as _;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};
use tokio::task::JoinHandle;
use weir_base::tasks::{said as said_by, spawn_named};
use weir_control::{
    Move, PauseInfo, Removed, SegmentRecord, SegmentState, StoreError, TableRecord, first_offset, resumes_at,
};
use weir_table::{PartitionView, SegmentCache, SegmentHandle, TableOnNode, Target, VisibleMarks};
use weir_types::{Accounting, NextOffset, StreamPartition};

/// A pipeline that cannot be started is tried again after this.
const START_AGAIN: Duration = Duration::from_secs(1);

/// A table at work on this node.
pub(crate) struct TableRuntime {
    context: Arc<TableContext>,
    feeds: ArcSwap<Feeds>,
    /// Looks for what came or went take turns.
    pub(crate) looking: tokio::sync::Mutex<()>,
    /// Removals of segments.
    pub(crate) removing: Removing,
    handles: Mutex<BTreeMap<StreamPartition, PipelineHandle>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What the catalog says of a table's partitions.
struct Records {
    segments: Vec<SegmentRecord>,
    removed: BTreeMap<StreamPartition, Removed>,
    moves: Vec<Move>,
    topic_ids: BTreeMap<StreamPartition, Arc<str>>,
}

impl TableRuntime {
    /// Opens a table: everything that its records name is queryable or named as lacking when this returns. A `fresh`
    /// table was made just now: nothing of it was ever visible.
    pub(crate) async fn open(
        deps: IngestDeps,
        record: TableRecord,
        permits: Permits,
        checkpoints: CheckpointQueue,
        fresh: bool,
    ) -> Result<Arc<Self>, IngestError> {
        let dir = deps.options.dir.join(IngestOptions::folder(&record));
        let marks = deps.options.marks.join(IngestOptions::folder(&record));
        let bounds = QuarantineBounds::of(&record.spec.quarantine);
        let quarantine =
            Quarantine::open(deps.disk.clone(), deps.clock.clone(), dir.join("quarantine.log"), bounds).map_err(
                |source| IngestError::Disk { action: format!("open the quarantine of {}", record.spec.name), source },
            )?;
        let feeds = ArcSwap::from_pointee(feeds(&deps, &record, &Feeds::new())?);
        let context = Arc::new(TableContext {
            on_node: TableOnNode::new(record.schema.clone(), record.spec.clone()),
            cache: SegmentCache::new(
                (deps.disk.clone(), dir.join("segments")),
                deps.deep_store.clone(),
                deps.clock.clone(),
                deps.options.heavy,
                permits.openings.clone(),
            ),
            marks: VisibleMarks::new(deps.disk.clone(), marks, deps.options.boot),
            sealer: Sealer::new(permits.build.clone()),
            permits,
            checkpoints: Checkpoints::new(&deps, dir.join("open"), quarantine.clone(), checkpoints),
            completion: deps.seats.completion(&deps.options.instance),
            quarantine,
            reindexing: Reindexing::default(),
            replays: Replays::default(),
            recounts: Recounts::default(),
            record: ArcSwap::from_pointee(record),
            holds: Holds::default(),
            deps,
        });
        context.on_node.set_disabled(context.record.load().is_disabled());
        let runtime = Arc::new(Self {
            context,
            feeds,
            looking: tokio::sync::Mutex::default(),
            removing: Removing::default(),
            handles: Mutex::default(),
            tasks: Mutex::default(),
        });
        if let Err(error) = runtime.start_all(fresh).await {
            runtime.stop();
            if fresh {
                runtime.release_streams();
            }
            return Err(error);
        }
        runtime.context.deps.tables.insert(runtime.context.on_node.clone());
        let task = discover(Arc::downgrade(&runtime));
        runtime.keep(spawn_named(format!("discover {}", runtime.context.on_node.name()), task));
        let task = keep_indexes(Arc::downgrade(&runtime));
        runtime.keep(spawn_named(format!("indexes of {}", runtime.context.on_node.name()), task));
        Ok(runtime)
    }

    /// Starts all partitions that the catalog names.
    async fn start_all(self: &Arc<Self>, fresh: bool) -> Result<(), IngestError> {
        let record = self.context.record.load_full();
        self.context.read_replays().await?;
        let records = self.records().await?;
        self.context.checkpoints.sweep(&records.segments).await;
        let mut restored = self.context.checkpoints.restore_open(&record, &records.segments).await;
        let replayed = self.context.replays.partitions();
        let partitions: BTreeSet<&StreamPartition> =
            records.segments.iter().map(|segment| &segment.partition).chain(&replayed).collect();
        for partition in partitions {
            self.start(partition, &records, restored.remove(partition), fresh)?;
        }
        Ok(())
    }

    async fn records(&self) -> Result<Records, StoreError> {
        let (store, record) = (&self.context.deps.store, self.context.record.load_full());
        Ok(Records {
            segments: store.segments(&record).await?,
            removed: store.removed(&record).await?,
            moves: store.moves(&record).await?,
            topic_ids: store.topic_ids(&record).await?,
        })
    }

    /// Starts one partition from its records. Of a `new` one nothing was ever visible.
    pub(crate) async fn start_from_records(
        self: &Arc<Self>,
        partition: &StreamPartition,
        new: bool,
    ) -> Result<(), IngestError> {
        let _turn = self.removing.turn.lock().await;
        self.context.read_replays().await?;
        let (table, records) = (self.context.record.load_full(), self.records().await?);
        let ours = records.segments.iter().filter(|segment| segment.partition == *partition);
        let mut restored = self.context.checkpoints.restore_open(&table, ours).await;
        self.start(partition, &records, restored.remove(partition), new)?;
        self.show_all_replayed();
        Ok(())
    }

    /// What is read.
    #[must_use]
    pub(crate) fn feeds(&self) -> Arc<Feeds> {
        self.feeds.load_full()
    }

    /// Another set of topics is read from here on.
    pub(crate) fn set_feeds(&self, feeds: Feeds) {
        self.feeds.store(Arc::new(feeds));
    }

    /// What its pipelines share.
    #[must_use]
    pub(crate) fn context(&self) -> &Arc<TableContext> {
        &self.context
    }

    /// Its partitions' status, by topic and number.
    #[must_use]
    pub(crate) fn partitions(&self) -> Vec<PartitionStatus> {
        let mut statuses: Vec<_> = self.handles.lock().values().map(|handle| handle.status.get()).collect();
        let (now_ms, limit) = (self.context.deps.clock.wall_ms(), self.context.record.load().spec.lagging_after);
        for status in &mut statuses {
            self.context.recounts.correct(&status.partition, &mut status.accounting);
            self.context.replays.correct(status);
            status.told_at_ms = now_ms;
            status.grow_lag(now_ms, limit);
        }
        statuses
    }

    /// One of its pipelines.
    #[must_use]
    pub(crate) fn handle(&self, partition: &StreamPartition) -> Option<PipelineHandle> {
        self.handles.lock().get(partition).cloned()
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
        self.context.checkpoints.stop();
    }

    /// The table was dropped, or could not be made: its streams need keep nothing for it.
    pub(crate) fn release_streams(&self) {
        let retired = self.context.record.load_full();
        let retired = retired.retired.iter().flat_map(|retired| &retired.streams);
        let retired: Vec<Feed> = retired.filter_map(|stream| self.feed(&stream.topic)).collect();
        let feeds = self.feeds();
        let sources = feeds.values().chain(&retired).map(|feed| &*feed.source);
        self.context.holds.release(sources, &self.context.holder());
    }

    pub(crate) fn keep(&self, task: JoinHandle<()>) {
        let mut tasks = self.tasks.lock();
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    /// Starts a partition from its records.
    fn start(
        self: &Arc<Self>,
        partition: &StreamPartition,
        known: &Records,
        restored: Option<Restored>,
        fresh: bool,
    ) -> Result<(), IngestError> {
        let feed = self.feed(&partition.topic);
        let ours = known.segments.iter().filter(|segment| segment.partition == *partition);
        let records: Vec<&SegmentRecord> = ours.collect();
        let moves: Vec<&Move> = known.moves.iter().filter(|step| step.partition == *partition).collect();
        self.context.recounts.started(partition, &records);
        let past = past(&records, known.removed.get(partition), &moves);
        let open = records.iter().find(|record| matches!(record.state, SegmentState::Consuming { .. }));
        let ended = resumes_at(records.last().copied(), partition, &known.moves);
        let next = open.map(|open| open.state.start()).or(ended).unwrap_or(past.start);
        let no_mark = |source| IngestError::Disk { action: format!("open the visible mark of {partition}"), source };
        let (mark, last) = self.context.marks.open(partition).map_err(no_mark)?;
        if let (Some(feed), Some(id), Some(last)) = (&feed, known.topic_ids.get(partition), last) {
            feed.source.was_read(partition.partition, last, id);
        }
        if fresh && last.is_none() {
            // Known from here on: nothing of it was ever visible.
            mark.raise(next).map_err(no_mark)?;
        }
        let target = match last {
            _ if open.is_none() => Target::At(next),
            Some(last) => Target::At(last.max(next)),
            None if fresh => Target::At(next),
            None => Target::EndOfLog,
        };
        let absent = records.iter().filter(|record| !matches!(record.state, SegmentState::Consuming { .. }));
        let mut absent: Vec<Arc<str>> = absent.map(|record| record.name.to_string().into()).collect();
        let replayed = self.context.replays.segments(partition);
        absent.extend(replayed.iter().map(|segment| segment.name.clone()));
        let view = match self.context.on_node.partitions().get(partition) {
            Some(view) => {
                view.start_over(next, target, &absent);
                view.clone()
            }
            None => self.context.on_node.add(PartitionView::new(partition.clone(), next, target, absent)),
        };
        let table = self.context.record.load_full();
        let status = first_status(&self.context, partition, table.group(partition), next, &past);
        let status = StatusCell::new(status, self.context.deps.clock.clone());
        if let Some(feed) = &feed {
            let floor = oldest_needed(&known.segments, partition).unwrap_or(NextOffset::new(u64::MAX));
            self.context.holds.hold(&*feed.source, &self.context.holder(), partition.partition, floor);
        }
        let (handle, commands) = PipelineHandle::new(status.clone());
        self.handles.lock().insert(partition.clone(), handle);
        self.settle_fixed(feed.as_ref(), &view, &records);
        self.show_replayed(&view, replayed);
        let ending = self.unread(partition);
        let (Some(open), Some(feed)) = (open, feed) else {
            status.enter(PartitionState::Gone(ending.unwrap_or_else(|| "no segment of it is consuming".into())));
            return Ok(());
        };
        let shown = status.clone();
        let parts = PipelineParts {
            table: self.context.clone(),
            feed,
            topic_id: known.topic_ids.get(partition).cloned(),
            view,
            mark,
            status,
            commands,
            record: (*open).clone(),
            past,
            restored,
            paused: table.pause_of(partition).filter(|_| ending.is_none()).map(said),
            ending,
        };
        let pipeline = PartitionPipeline::new(parts)
            .map_err(|reason| IngestError::Setting { path: "tableIndexConfig.streamConfigs".into(), reason })?;
        let (runtime, clock) = (Arc::downgrade(self), self.context.deps.clock.clone());
        let partition = partition.clone();
        self.keep(spawn_named(format!("consume {partition}"), async move {
            let (why, wait) = match AssertUnwindSafe(pipeline.run()).catch_unwind().await {
                Ok(PipelineEnd::Reload(why)) => (why, Duration::ZERO),
                Ok(PipelineEnd::Doubt(why)) => (why, START_AGAIN),
                Ok(PipelineEnd::Stopped | PipelineEnd::Finished { .. }) => return,
                // A partition that stands still says so, and may get over it: its records tell where it was.
                Err(panic) => {
                    let why = format!("reading met a fault of ours: {}", said_by(&*panic));
                    tracing::error!(%partition, why, "a partition's task panicked");
                    shown.enter(PartitionState::Retrying(why.clone()));
                    (why, START_AGAIN)
                }
            };
            clock.sleep(wait).await;
            let Some(runtime) = runtime.upgrade() else { return };
            let (table, topic) = (runtime.context.on_node.name().as_str(), partition.topic.as_str());
            tracing::info!(
                table,
                topic,
                partition = partition.partition,
                why,
                "partition is started again from its records"
            );
            runtime.start_again(&partition).await;
        }));
        Ok(())
    }

    /// Boxed: a pipeline's task starts its successor's.
    fn start_again<'a>(self: &'a Arc<Self>, partition: &'a StreamPartition) -> futures::future::BoxFuture<'a, ()> {
        Box::pin(async move {
            loop {
                let Err(error) = self.start_from_records(partition, false).await else { return };
                let (table, topic) = (self.context.on_node.name().as_str(), partition.topic.as_str());
                tracing::error!(table, topic, partition = partition.partition, %error, "partition cannot be started yet");
                self.context.deps.clock.sleep(START_AGAIN).await;
            }
        })
    }

    /// Shows what is done and sees through what is between the two transactions.
    fn settle_fixed(self: &Arc<Self>, feed: Option<&Feed>, view: &Arc<PartitionView>, records: &[&SegmentRecord]) {
        let table = self.context.record.load_full();
        let present = view.snapshot();
        let whole = present.whole.iter();
        let present: BTreeMap<&str, &SegmentHandle> = whole.map(|whole| (&*whole.name, &whole.segment)).collect();
        let mut done = vec![];
        for record in records {
            let name: Arc<str> = record.name.to_string().into();
            match &record.state {
                SegmentState::Consuming { .. } => {}
                // The answer that its end is on the record may have been lost: nobody builds it then.
                SegmentState::Committing { .. } if matches!(present.get(&*name), Some(SegmentHandle::Recorded(_))) => {}
                SegmentState::Done { .. } if present.contains_key(&*name) => {}
                SegmentState::Committing { .. } => {
                    let Some(feed) = feed else {
                        tracing::error!(
                            segment = &*name,
                            "a segment is not committed: its topic is not known any more"
                        );
                        continue;
                    };
                    self.context.sealer.submit(SealJob {
                        table: self.context.clone(),
                        view: view.clone(),
                        record: (*record).clone(),
                        frozen: None,
                        held: None,
                        stream: feed.spec.clone(),
                        source: feed.source.clone(),
                    });
                }
                SegmentState::Done { artifact, .. } => {
                    let made = (record.schema_version, record.created_ms);
                    done.push(loaded(&self.context, segment_facts(&table, &name, made, artifact)));
                }
            }
        }
        if !done.is_empty() {
            let (name, shown) = (format!("open {}", view.partition()), view.fill(done, &sequence_of));
            self.keep(spawn_named(name, open_ahead(self.context.clone(), shown)));
        }
    }
}

/// What a pause is said to be: its word, and the comment where there is one.
pub(crate) fn said(pause: &PauseInfo) -> String {
    if pause.comment.is_empty() { pause.reason.clone() } else { format!("{}: {}", pause.reason, pause.comment) }
}

/// The counts of what is fixed, from the first offset that was ever read or moved away from.
fn past(records: &[&SegmentRecord], removed: Option<&Removed>, moves: &[&Move]) -> PartitionPast {
    let mut fixed = removed.map_or(Accounting::default(), |removed| removed.counts);
    for record in records {
        if let SegmentState::Committing { seal, .. } | SegmentState::Done { seal, .. } = &record.state {
            fixed.add(&seal.accounting);
        }
    }
    fixed.skipped += moves.iter().map(|step| step.skipped()).sum::<u64>();
    let rewound = moves.iter().map(|step| step.rewound()).sum();
    let start = first_offset(records, removed, moves).unwrap_or(NextOffset::ZERO);
    PartitionPast { start, fixed, rewound }
}

fn first_status(
    context: &TableContext,
    partition: &StreamPartition,
    partition_group: u32,
    next: NextOffset,
    past: &PartitionPast,
) -> PartitionStatus {
    let (table, now_ms) = (context.on_node.name().clone(), context.deps.clock.wall_ms());
    PartitionStatus {
        start: past.start,
        rewound: past.rewound,
        accounting: past.fixed,
        ..PartitionStatus::new(table, partition.clone(), partition_group, PartitionState::Starting, next, now_ms)
    }
}
