//! Topics and partitions of a running table as they come and go: on the stream, and in the table's settings.
//!
//! What the table is to read is compared with what is read: a partition that is new starts, one that is read no more has
//! its open segment sealed and says that it is gone. One that comes back goes on where it ended.

use crate::{
    accounts,
    error::IngestError,
    feeds::{Feed, Plan, feeds, found_topics, start_records},
    pipeline::Command,
    quarantine::QuarantineBounds,
    table::TableRuntime,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
};
use weir_control::{AuditAction, AuditEntry, NewPartition, SegmentRecord, SegmentState, TableRecord, resumes_at};
use weir_streams::StreamError;
use weir_types::{StartAt, StreamPartition, TopicName};

/// Who is in the audit where the node did it by itself.
pub(crate) const BY_ITSELF: &str = "weir";

impl TableRuntime {
    /// Why a partition is not read, where it is not to be.
    #[must_use]
    pub(crate) fn unread(&self, partition: &StreamPartition) -> Option<String> {
        match self.feeds().get(&partition.topic) {
            None => Some("topic removed from the table".into()),
            Some(feed) if !feed.reads(partition.partition) => Some("not among the table's partition.ids".into()),
            Some(_) => None,
        }
    }

    /// The feed of a topic; of one that is read no more, as it was read last.
    #[must_use]
    pub(crate) fn feed(&self, topic: &TopicName) -> Option<Feed> {
        if let Some(feed) = self.feeds().get(topic) {
            return Some(feed.clone());
        }
        let context = self.context();
        let spec = context.record.load().retired_stream(topic)?.clone();
        let made = Feed::retired(&context.deps, spec);
        made.inspect_err(|error| tracing::warn!(%topic, %error, "a topic that is read no more cannot be opened")).ok()
    }

    /// Takes over the table's settings and schema; `reshape` has to follow.
    pub(crate) fn adopt(&self, record: TableRecord) -> Result<(), IngestError> {
        let context = self.context();
        let next = feeds(&context.deps, &record, &self.feeds())?;
        context.on_node.reshape(record.schema.clone(), record.spec.clone());
        context.quarantine.bound(QuarantineBounds::of(&record.spec.quarantine));
        context.record.store(Arc::new(record));
        self.set_feeds(next);
        Ok(())
    }

    /// Settings or schema changed: pipelines seal and go on with the new ones, topics that are new start, those that are
    /// gone end; committed segments get the indexes that are new.
    pub(crate) async fn reshape(self: &Arc<Self>) {
        self.context().reindexing.wake();
        for handle in self.handles() {
            let partition = handle.status.get().partition;
            let command = self.unread(&partition).map_or(Command::Reshape, Command::End);
            handle.send(command).await;
        }
        self.look_at_all().await;
    }

    /// Takes over the record as the catalog has it: the answer to an earlier change may have been lost, and a change that
    /// starts from a record of before would be refused for ever.
    pub(crate) async fn refresh(self: &Arc<Self>) -> Result<(), IngestError> {
        {
            let _quiet = self.looking.lock().await;
            let known = self.context().record.load_full();
            let found = self.context().deps.store.table(&known.spec.name).await?;
            let Some(record) = found.filter(|found| found.uid == known.uid && found.version != known.version) else {
                return Ok(());
            };
            self.adopt(record)?;
        }
        self.reshape().await;
        Ok(())
    }

    /// Compares what is to be read with what is read. What cannot be asked now is asked again by the next look.
    pub(crate) async fn look_at_all(self: &Arc<Self>) {
        // One look at a time: two would start the same partition.
        let _turn = self.looking.lock().await;
        if let Err(error) = self.find_topics().await {
            tracing::debug!(%error, "topics cannot be listed now");
        }
        let feeds = self.feeds();
        // A stream that does not answer holds up nobody but itself.
        let looks = feeds.values().map(|feed| async move {
            if let Err(error) = self.look(feed).await {
                tracing::debug!(topic = feed.spec.topic.as_str(), %error, "partitions cannot be listed now");
            }
        });
        futures::future::join_all(looks).await;
    }

    /// Topics that the table's patterns find and that are not known yet get their number and are read from here on.
    async fn find_topics(self: &Arc<Self>) -> Result<(), IngestError> {
        let context = self.context();
        let record = context.record.load_full();
        if record.spec.patterns.is_empty() {
            return Ok(());
        }
        let mut fresh = found_topics(&context.deps, &record.spec).await?;
        fresh.retain(|topic| !record.topics.contains_key(topic));
        if fresh.is_empty() {
            return Ok(());
        }
        let now_ms = context.deps.clock.wall_ms();
        let audit = |topic: &TopicName| {
            AuditEntry::new(AuditAction::AddTopic, &record.spec.name, BY_ITSELF, now_ms)
                .topic(topic)
                .change("", "found by pattern")
        };
        let audit: Vec<AuditEntry> = fresh.iter().map(audit).collect();
        let record = context.deps.store.add_topics(&record, &fresh, &audit).await?;
        let next = feeds(&context.deps, &record, &self.feeds())?;
        context.record.store(Arc::new(record));
        self.set_feeds(next);
        Ok(())
    }

    /// New partitions of a topic start; vanished ones say so by themselves.
    async fn look(self: &Arc<Self>, feed: &Feed) -> Result<(), IngestError> {
        let handles = self.handles();
        let of_topic = || handles.iter().filter(|handle| handle.status.get().partition.topic == feed.spec.topic);
        // Before the topic is asked who it is.
        let read_to: Vec<_> = of_topic().map(|handle| (handle, handle.status.get().next)).collect();
        let found = match feed.partitions().await {
            Ok(found) => found,
            Err(StreamError::TopicMissing { .. }) => return Ok(()),
            Err(source) => return Err(feed.error(source)),
        };
        if let Some((now, anew)) = feed.seems_made_anew().await {
            for (handle, next) in read_to {
                handle.status.change(|status| {
                    if status.topic_id.as_ref() == Some(&now) {
                        status.confirmed = next.min(status.next);
                    }
                });
                if anew {
                    handle.send(Command::CheckIdentity).await;
                }
            }
        }
        // One that ended has no open segment.
        let read = of_topic().map(|handle| handle.status.get()).filter(|status| status.open_segment.is_some());
        let read: BTreeSet<u32> = read.map(|status| status.partition.partition).collect();
        let fresh: Vec<u32> = found.into_iter().filter(|partition| !read.contains(partition)).collect();
        if fresh.is_empty() { Ok(()) } else { self.start_fresh(feed, fresh).await }
    }

    /// Starts partitions that are not read: where their records say, or, those that have none, at the oldest message; those
    /// of a topic that the table was just given, where its settings say.
    async fn start_fresh(self: &Arc<Self>, feed: &Feed, fresh: Vec<u32>) -> Result<(), IngestError> {
        let (context, topic) = (self.context(), &feed.spec.topic);
        let (deps, record) = (&context.deps, context.record.load_full());
        let segments = deps.store.segments(&record).await?;
        let moves = deps.store.moves(&record).await?;
        let mut last: BTreeMap<&StreamPartition, &SegmentRecord> = BTreeMap::new();
        for segment in segments.iter().filter(|segment| segment.partition.topic == *topic) {
            last.insert(&segment.partition, segment);
        }
        let named = record.spec.streams.iter().any(|stream| stream.topic == *topic);
        let at = if named && last.is_empty() { &feed.spec.start_at } else { &StartAt::Earliest };
        let (mut plan, mut at_work, mut unknown) = (Plan::default(), vec![], vec![]);
        for number in fresh {
            let partition = StreamPartition { topic: topic.clone(), partition: number };
            let last = last.get(&partition).copied();
            if last.is_some_and(|last| matches!(last.state, SegmentState::Consuming { .. })) {
                at_work.push(partition);
                continue;
            }
            match resumes_at(last, &partition, &moves) {
                Some(start) => {
                    let partition_group = record.group(&partition);
                    plan.partitions.push(NewPartition { partition, partition_group, start });
                }
                None => unknown.push(number),
            }
        }
        // A partition that was read before keeps the identity that it was read with.
        let id = feed.topic_id().await.map_err(|source| feed.error(source))?;
        plan.ids.extend(id.map(|id| (topic.clone(), id)));
        let mut starts = feed.starts(&record, &unknown, at, deps.clock.wall_ms()).await?;
        if named && last.is_empty() {
            feed.start_where_said(&mut starts).await?;
        }
        plan.partitions.extend(starts);
        let started = start_records(deps, &record, plan).await?;
        for segment in &started {
            let (topic, partition) = (segment.partition.topic.as_str(), segment.partition.partition);
            let offset = segment.state.start();
            tracing::info!(table = %record.spec.name, topic, partition, %offset, "partition starts");
        }
        at_work.extend(started.into_iter().map(|segment| segment.partition));
        let known: BTreeSet<StreamPartition> = segments.iter().map(|segment| segment.partition.clone()).collect();
        for partition in at_work {
            let new = !known.contains(&partition);
            self.start_from_records(&partition, new).await?;
        }
        Ok(())
    }
}

/// Looks every so often for topics and partitions that came or went.
pub(crate) async fn discover(runtime: Weak<TableRuntime>) {
    let mut asked = None;
    loop {
        let Some(alive) = runtime.upgrade() else { return };
        let deps = alive.context().deps.clone();
        drop(alive);
        deps.clock.sleep(deps.options.discovery_every).await;
        let Some(alive) = runtime.upgrade() else { return };
        if let Err(error) = alive.context().quarantine.expire() {
            tracing::warn!(%error, "old rejected records are not evicted yet");
        }
        alive.look_at_all().await;
        let now = deps.clock.monotonic();
        let asks = asked.is_none_or(|asked| now >= asked + accounts::ASK_EVERY);
        asked = if asks { Some(now) } else { asked };
        alive.check_accounts(asks).await;
    }
}
