//! All tables of a node: opened from the catalog at start, made, changed, paused and dropped by request.

use crate::{
    checkpoint::CheckpointQueue,
    deps::{IngestDeps, IngestOptions, Permits},
    dry_run::{Tried, dry_run},
    error::IngestError,
    feeds::{Feed, ask, feeds, found_topics, plan, start_records},
    floor::{Floor, keep_floor},
    made_topics::MadeTopics,
    quarantine::{Quarantine, Selection},
    replay::ReplayReport,
    retention::{self, keep_clean},
    status::PartitionStatus,
    table::TableRuntime,
    tail::{Tail, TailOf, TailRequest},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::oneshot, task::JoinHandle};
use weir_base::tasks::spawn_named;
use weir_control::{
    AuditAction, AuditEntry, ClusterConfigs, Move, NewTable, ReplayRecord, SegmentRecord, TableRecord, changes,
};
use weir_types::{SegmentName, Skip, StreamPartition, TableName, TopicName};

/// The queue of what is to be written is full for about so long.
const KEEP_AGAIN: Duration = Duration::from_millis(5);

/// The ingestion of a node.
pub struct IngestNode {
    deps: IngestDeps,
    permits: Permits,
    checkpoints: CheckpointQueue,
    tables: Mutex<BTreeMap<TableName, Arc<TableRuntime>>>,
    /// What of the disk's floor was seen and said.
    pub(crate) floor: Floor,
    /// Remove what is too old or not named any more, and what the disk has no room for.
    cleaning: Mutex<Vec<JoinHandle<()>>>,
    /// Seals that were told to end.
    ending: Mutex<Vec<JoinHandle<()>>>,
    /// Requests that change the set of tables take turns.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

impl IngestNode {
    /// Opens every table that the catalog names. A table whose streams cannot be reached opens all the same: its
    /// partitions say so.
    pub async fn start(deps: IngestDeps) -> Result<Arc<Self>, IngestError> {
        let node = Arc::new(Self {
            permits: Permits::new(&deps.options),
            checkpoints: CheckpointQueue::start(deps.options.heavy),
            tables: Mutex::default(),
            floor: Floor::default(),
            cleaning: Mutex::default(),
            ending: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            deps,
        });
        node.obey(&node.deps.store.cluster_configs().await?);
        for record in node.deps.store.tables().await? {
            let name = record.spec.name.clone();
            let (permits, checkpoints) = (node.permits.clone(), node.checkpoints.clone());
            let runtime = TableRuntime::open(node.deps.clone(), record, permits, checkpoints, false).await?;
            node.tables.lock().insert(name, runtime);
        }
        let clean = spawn_named("clean up", keep_clean(Arc::downgrade(&node), node.deps.clock.clone()));
        let floor = spawn_named("keep the disk's floor", keep_floor(Arc::downgrade(&node), node.deps.clock.clone()));
        node.cleaning.lock().extend([clean, floor]);
        Ok(node)
    }

    /// Sets some settings of the cluster, and removes those that are `None`; they hold at once.
    ///
    /// # Errors
    /// One of them cannot be taken, and none was.
    pub async fn change_cluster_configs(
        &self,
        changes: &BTreeMap<String, Option<String>>,
    ) -> Result<ClusterConfigs, IngestError> {
        let _turn = self.changing.lock().await;
        let changed = self.deps.store.change_cluster_configs(changes).await?;
        let configs = changed.map_err(|wrong| IngestError::Setting { path: wrong.name, reason: wrong.reason })?;
        self.obey(&configs);
        Ok(configs)
    }

    fn obey(&self, configs: &ClusterConfigs) {
        self.permits.pace.set(configs.node_limit(), self.deps.clock.monotonic());
    }

    /// What the node stands on.
    #[must_use]
    pub fn deps(&self) -> &IngestDeps {
        &self.deps
    }

    /// Asks the streams of a table, and the schema registries of their messages, whether they answer as its settings say;
    /// gives what is odd about those that do.
    pub async fn validate(&self, new: &NewTable) -> Result<Vec<String>, IngestError> {
        ask(&self.deps, new).await
    }

    /// What would become of the newest records of a table's streams. Nothing is stored, and nothing is made.
    ///
    /// # Errors
    /// A stream does not answer as the settings say.
    pub async fn try_records(&self, new: &NewTable, records: usize) -> Result<Vec<Tried>, IngestError> {
        let topics = found_topics(&self.deps, &new.spec).await?;
        dry_run(&self.deps, &NewTable { topics, ..new.clone() }, records).await
    }

    /// Gets ready to tell the messages of topics as they come. Nothing is stored, and nothing is made.
    ///
    /// # Errors
    /// A stream does not answer as its settings say.
    pub async fn tail(&self, of: TailOf, request: TailRequest) -> Result<Tail, IngestError> {
        Tail::open(&self.deps, of, request).await
    }

    /// Makes a table: asks its streams, writes the catalog, starts. It is queryable when this returns; on an error
    /// nothing is left behind.
    pub async fn create_table(&self, new: NewTable, who: &str) -> Result<TableRecord, IngestError> {
        let _turn = self.changing.lock().await;
        let spec = new.spec.clone();
        let mut made = MadeTopics::default();
        let created = async {
            for (at, stream) in spec.streams.iter().enumerate() {
                made.ensure(&self.deps.streams, at, stream).await?;
            }
            self.create_over_topics(new, who).await
        };
        let created = created.await;
        if created.is_ok() {
            made.keep();
        }
        made.take_back(&self.deps.streams).await;
        created
    }

    async fn create_over_topics(&self, new: NewTable, who: &str) -> Result<TableRecord, IngestError> {
        let topics = found_topics(&self.deps, &new.spec).await?;
        let new = NewTable { topics, ..new };
        let partitions = plan(&self.deps, &new.draft(), None).await?;
        let now_ms = self.deps.clock.wall_ms();
        let reads: Vec<&str> = new.reads().map(TopicName::as_str).collect();
        let audit = AuditEntry::new(AuditAction::CreateTable, &new.spec.name, who, now_ms).change("", reads.join(", "));
        let record = self.deps.store.create_table(new, now_ms, &[audit]).await?;
        let opened = async {
            start_records(&self.deps, &record, partitions).await?;
            let (permits, checkpoints) = (self.permits.clone(), self.checkpoints.clone());
            TableRuntime::open(self.deps.clone(), record.clone(), permits, checkpoints, true).await
        };
        match opened.await {
            Ok(runtime) => {
                self.tables.lock().insert(record.spec.name.clone(), runtime);
                Ok(record)
            }
            Err(error) => {
                let undone = AuditEntry::new(AuditAction::DropTable, &record.spec.name, who, self.deps.clock.wall_ms());
                let undone = undone.change("", format!("it could not start: {error}"));
                if let Err(left) = self.deps.store.drop_table(&record.spec.name, now_ms, &[undone]).await {
                    tracing::error!(table = %record.spec.name, error = %left, "a table that could not start stays in the catalog");
                }
                Err(error)
            }
        }
    }

    /// Changes a table's settings or schema; open segments are sealed and consumption goes on with the new ones.
    /// Topics that are new are asked first and read from here on, those that are gone are sealed.
    pub async fn update_table(&self, name: &TableName, new: NewTable, who: &str) -> Result<TableRecord, IngestError> {
        let _turn = self.changing.lock().await;
        let runtime = self.runtime(name)?;
        runtime.refresh().await?;
        let new = NewTable { topics: found_topics(&self.deps, &new.spec).await?, ..new };
        let mut made = MadeTopics::default();
        let before = runtime.context().record.load_full();
        if before.is_described_by(&new) {
            // Whoever asked before may have gone while it was passed on; who has these settings seals nothing.
            runtime.reshape().await;
            return Ok((*before).clone());
        }
        let replaced = self.replace(&runtime, new, who, &mut made).await;
        made.take_back(&self.deps.streams).await;
        let record = replaced?;
        runtime.reshape().await;
        Ok(record)
    }

    async fn replace(
        &self,
        runtime: &Arc<TableRuntime>,
        new: NewTable,
        who: &str,
        made: &mut MadeTopics,
    ) -> Result<TableRecord, IngestError> {
        self.ask_added(runtime, &new, made).await?;
        // Nobody gives the record another version meanwhile.
        let _quiet = runtime.looking.lock().await;
        let before = runtime.context().record.load_full();
        let audit = changes(&before, &new, who, self.deps.clock.wall_ms());
        let record = self.deps.store.replace_table(&before, new, &audit).await?;
        made.keep();
        runtime.adopt(record.clone())?;
        Ok(record)
    }

    /// Asks the streams of topics that a table does not read yet, or reads elsewhere or otherwise from now on; all must be of
    /// a kind that can be read.
    async fn ask_added(
        &self,
        runtime: &TableRuntime,
        new: &NewTable,
        made: &mut MadeTopics,
    ) -> Result<(), IngestError> {
        let (draft, reads) = (new.draft(), runtime.feeds());
        feeds(&self.deps, &draft, &reads)?;
        let mut added = BTreeSet::new();
        for (at, stream) in draft.streams().iter().enumerate() {
            let as_before =
                |feed: &Feed| (&feed.spec.stream_type, &feed.spec.settings) == (&stream.stream_type, &stream.settings);
            if !reads.get(&stream.topic).is_some_and(as_before) {
                made.ensure(&self.deps.streams, at, stream).await?;
                added.insert(stream.topic.clone());
            }
        }
        if added.is_empty() { Ok(()) } else { plan(&self.deps, &draft, Some(&added)).await.map(drop) }
    }

    /// What keeps segments of a table that have ended from being committed, as the last attempt put it.
    #[must_use]
    pub fn seal_troubles(&self, name: &TableName) -> BTreeMap<SegmentName, String> {
        self.tables.lock().get(name).map(|runtime| runtime.context().sealer.troubles()).unwrap_or_default()
    }

    /// What keeps committed segments of a table from being read, as the last attempt to open them put it.
    #[must_use]
    pub fn open_troubles(&self, name: &TableName) -> BTreeMap<Arc<str>, String> {
        let Ok(runtime) = self.runtime(name) else { return BTreeMap::new() };
        let partitions = runtime.context().on_node.partitions();
        let shown: Vec<_> = partitions.values().map(|view| view.snapshot()).collect();
        let whole = shown.iter().flat_map(|shown| shown.whole.iter().chain(&*shown.replayed));
        whole.filter_map(|segment| Some((segment.name.clone(), segment.segment.trouble()?.to_string()))).collect()
    }

    /// Segments that were fetched from the deep store since the node started.
    #[must_use]
    pub fn segments_fetched(&self) -> u64 {
        self.permits.openings.fetched()
    }

    /// Drops a table with its objects, local files and quarantine. False where it is not here.
    pub async fn drop_table(&self, name: &TableName, who: &str) -> Result<bool, IngestError> {
        let _turn = self.changing.lock().await;
        let Ok(runtime) = self.runtime(name) else { return Ok(false) };
        let keys = retention::object_keys(runtime.context()).await?;
        let now_ms = self.deps.clock.wall_ms();
        let audit = AuditEntry::new(AuditAction::DropTable, name, who, now_ms);
        // Where the catalog does not answer the table goes on. Where only its answer was lost the next request finds it gone.
        self.deps.store.drop_table(name, now_ms, &[audit]).await?;
        self.tables.lock().remove(name);
        runtime.stop();
        runtime.release_streams();
        self.deps.metrics.forget(name.as_str());
        let context = runtime.context();
        let record = context.record.load_full();
        let folder = IngestOptions::folder(&record);
        // Nothing names them any more: what stays, as a segment that is being fetched puts its file there, is swept later.
        for dir in [&self.deps.options.marks, &self.deps.options.dir] {
            if let Err(error) = self.deps.disk.remove_dir_all(&dir.join(&folder)) {
                tracing::warn!(table = %name, %error, "files of a dropped table stay until they are cleaned up");
            }
        }
        // The catalog no longer names the objects. One that stays, or that an upload under way puts there, is looked for later.
        retention::delete_objects(&self.deps, keys).await;
        retention::delete_left(&self.deps).await;
        Ok(true)
    }

    /// A table's partitions; `None` where it is not here.
    #[must_use]
    pub fn partitions(&self, name: &TableName) -> Option<Vec<PartitionStatus>> {
        Some(self.tables.lock().get(name)?.partitions())
    }

    /// All tables' partitions.
    #[must_use]
    pub fn all_partitions(&self) -> Vec<PartitionStatus> {
        let tables: Vec<_> = self.tables.lock().values().cloned().collect();
        tables.iter().flat_map(|table| table.partitions()).collect()
    }

    /// A table's quarantine.
    #[must_use]
    pub fn quarantine(&self, name: &TableName) -> Option<Arc<Quarantine>> {
        Some(self.tables.lock().get(name)?.context().quarantine.clone())
    }

    /// Runs records of the quarantine through the table's settings as they are now; those that become rows leave it, for
    /// good and once. Goes on to its end also when whoever asked has gone.
    pub async fn replay(&self, name: &TableName, selection: Selection, who: &str) -> Result<ReplayReport, IngestError> {
        let runtime = self.runtime(name)?;
        let (done, ended) = oneshot::channel();
        let (at_work, who) = (runtime.clone(), who.to_owned());
        runtime.keep(spawn_named(format!("replay {name}"), async move {
            // Nobody waits any more where the request was given up.
            drop(done.send(at_work.replay(selection, &who).await));
        }));
        ended.await.unwrap_or_else(|_| Err(IngestError::Stopped(name.clone())))
    }

    /// Deletes records of the quarantine for good and says how many there were; they stay counted as rejected.
    pub async fn delete_quarantined(
        &self,
        name: &TableName,
        selection: Selection,
        who: &str,
    ) -> Result<u64, IngestError> {
        let runtime = self.runtime(name)?;
        // What is being replayed becomes rows: whoever deletes is not told that it is gone.
        let _turn = runtime.context().replays.turn.lock().await;
        let quarantine = runtime.context().quarantine.clone();
        let deleted = self.deps.options.heavy.run(move || quarantine.delete(&selection)).await;
        let deleted =
            deleted.map_err(|source| IngestError::Disk { action: "delete from the quarantine".into(), source })?;
        if deleted > 0 {
            let entry = AuditEntry::new(AuditAction::DeleteQuarantine, name, who, self.deps.clock.wall_ms());
            let entry = entry.change("in quarantine", format!("{deleted} messages deleted"));
            // They are deleted: an audit that cannot be written must not say that they are not.
            if let Err(error) = self.deps.store.audit(entry).await {
                tracing::warn!(table = %name, deleted, who, %error, "a deletion from the quarantine is not in the audit");
            }
        }
        Ok(deleted)
    }

    /// What of a table was replayed, by number.
    pub async fn replays(&self, name: &TableName) -> Result<Vec<ReplayRecord>, IngestError> {
        let record = self.runtime(name)?.context().record.load_full();
        Ok(self.deps.store.replays(&record).await?)
    }

    /// How many messages of a table were replayed; `None` where it is not here.
    #[must_use]
    pub fn replayed(&self, name: &TableName) -> Option<u64> {
        Some(self.tables.lock().get(name)?.context().replays.count())
    }

    /// A table's record as the node has it.
    #[must_use]
    pub fn record(&self, name: &TableName) -> Option<Arc<TableRecord>> {
        Some(self.tables.lock().get(name)?.context().record.load_full())
    }

    /// Names of the tables at work.
    #[must_use]
    pub fn names(&self) -> Vec<TableName> {
        self.tables.lock().keys().cloned().collect()
    }

    /// How a table's next offsets were moved, and what of fixed ranges could not be read again.
    pub async fn moves(&self, name: &TableName) -> Result<(Vec<Move>, Vec<(StreamPartition, Skip)>), IngestError> {
        let record = self.runtime(name)?.context().record.load_full();
        Ok((self.deps.store.moves(&record).await?, self.deps.store.losses(&record).await?))
    }

    /// A table's segment records.
    pub async fn segments(&self, name: &TableName) -> Result<Vec<SegmentRecord>, IngestError> {
        let record = self.runtime(name)?.context().record.load_full();
        Ok(self.deps.store.segments(&record).await?)
    }

    /// Bytes of a segment's local copy.
    #[must_use]
    pub fn local_byte_count(&self, name: &TableName, segment: &str) -> Option<u64> {
        self.tables.lock().get(name)?.context().cache.byte_count(segment)
    }

    /// Before `stop`: writes the rows of open segments that are not on the local disk, as far as that can be done within
    /// `time`. The others are read again at the next start.
    pub async fn keep(&self, time: Duration) {
        let runtimes: Vec<Arc<TableRuntime>> = self.tables.lock().values().cloned().collect();
        let handles = runtimes.iter().flat_map(|runtime| runtime.handles());
        let kept = async {
            futures::future::join_all(handles.map(|handle| async move {
                while !handle.keep().await {
                    self.deps.clock.sleep(KEEP_AGAIN).await;
                }
            }))
            .await;
            self.checkpoints.written().await;
        };
        tokio::select! {
            () = kept => {}
            () = self.deps.clock.sleep(time) => {
                tracing::warn!("some rows of open segments are not on the local disk yet: they are read from the stream again");
            }
        }
    }

    /// Ends all pipelines. Rows of open segments that are not on the local disk are read again at the next start.
    pub fn stop(&self) {
        self.cleaning.lock().drain(..).for_each(|task| task.abort());
        for (_, table) in std::mem::take(&mut *self.tables.lock()) {
            table.stop();
            self.ending.lock().extend(table.context().sealer.stop());
        }
    }

    /// Waits, after `stop`, until nothing is committed any more: a node that is started in this process would meet it.
    pub async fn ended(&self) {
        let ending = std::mem::take(&mut *self.ending.lock());
        for task in ending {
            // It was told to end; how it ended says nothing.
            drop(task.await);
        }
    }

    pub(crate) fn runtime(&self, name: &TableName) -> Result<Arc<TableRuntime>, IngestError> {
        self.tables.lock().get(name).cloned().ok_or_else(|| IngestError::NoTable(name.clone()))
    }
}
