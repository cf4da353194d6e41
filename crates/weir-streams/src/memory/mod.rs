//! Topics in process memory, for tests and simulation: what a stream may do can be made to happen.

use crate::contract::{
    FetchLimit, MessageBatch, Messages, PartitionReader, SharedSource, StreamError, StreamSource, Watermarks,
};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Notify;
use weir_types::{NextOffset, OffsetRange, StartAt, TopicName};

/// One message that is held.
#[derive(Debug, Clone)]
pub struct Held {
    offset: NextOffset,
    timestamp_ms: i64,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<(String, Bytes)>,
}

/// Messages of one batch.
#[derive(Debug, Default)]
pub struct HeldMessages(Vec<Held>);

impl Messages for HeldMessages {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn offset(&self, at: usize) -> NextOffset {
        self.0[at].offset
    }

    fn timestamp_ms(&self, at: usize) -> Option<i64> {
        Some(self.0[at].timestamp_ms)
    }

    fn key(&self, at: usize) -> Option<&[u8]> {
        self.0[at].key.as_deref()
    }

    fn value(&self, at: usize) -> Option<&[u8]> {
        self.0[at].value.as_deref()
    }

    fn header(&self, at: usize, name: &str) -> Option<&[u8]> {
        self.0[at].headers.iter().rev().find(|(header, _)| header == name).map(|(_, value)| &**value)
    }
}

#[derive(Debug, Default)]
struct Partition {
    /// Offset of the first message that is held.
    low: u64,
    messages: VecDeque<Held>,
}

impl Partition {
    fn watermarks(&self) -> Watermarks {
        let high = self.low + self.messages.len() as u64;
        Watermarks { low: NextOffset::new(self.low), high: NextOffset::new(high) }
    }
}

#[derive(Debug, Default)]
struct Topic {
    partitions: Vec<Partition>,
    down: bool,
    /// Counts the topics that were made.
    made: u64,
}

#[derive(Debug, Default)]
struct State {
    topics: BTreeMap<TopicName, Topic>,
    made: u64,
    tells_ids: bool,
    reader_shift: u64,
}

/// All topics of a process.
#[derive(Debug, Default)]
pub struct MemoryStreams {
    state: Mutex<State>,
    changed: Notify,
}

impl MemoryStreams {
    /// No topics.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Makes a topic, or adds partitions to it.
    pub fn create(&self, topic: &TopicName, partitions: u32) {
        let mut state = self.state.lock();
        state.made += 1;
        let made = state.made;
        let topic = state.topics.entry(topic.clone()).or_insert_with(|| Topic { made, ..Topic::default() });
        while topic.partitions.len() < partitions as usize {
            topic.partitions.push(Partition::default());
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Removes a topic.
    pub fn delete(&self, topic: &TopicName) {
        self.state.lock().topics.remove(topic);
        self.changed.notify_waiters();
    }

    /// Topics tell their identities from now on, as those of a stream that knows them.
    pub fn tell_ids(&self) {
        self.state.lock().tells_ids = true;
    }

    /// Readers begin so many offsets behind the one that they are asked for and say nothing of it: a mistake for tests to
    /// find.
    pub fn set_reader_shift(&self, offsets: u64) {
        self.state.lock().reader_shift = offsets;
    }

    /// Makes a topic anew: its offsets start again.
    pub fn recreate(&self, topic: &TopicName) {
        let mut state = self.state.lock();
        state.made += 1;
        let made = state.made;
        if let Some(topic) = state.topics.get_mut(topic) {
            topic.made = made;
            topic.partitions.iter_mut().for_each(|partition| *partition = Partition::default());
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Appends a message and returns its offset. The topic and partition must be there.
    pub fn append(
        &self,
        topic: &TopicName,
        partition: u32,
        key: Option<Bytes>,
        value: Option<Bytes>,
        headers: Vec<(String, Bytes)>,
        timestamp_ms: i64,
    ) -> NextOffset {
        let mut state = self.state.lock();
        let topic = state.topics.get_mut(topic).expect("the topic was made");
        let partition = topic.partitions.get_mut(partition as usize).expect("the partition was made");
        let offset = partition.watermarks().high;
        partition.messages.push_back(Held { offset, timestamp_ms, key, value, headers });
        drop(state);
        self.changed.notify_waiters();
        offset
    }

    /// Retention: messages before `offset` are gone.
    pub fn truncate_before(&self, topic: &TopicName, partition: u32, offset: NextOffset) {
        let mut state = self.state.lock();
        let Some(topic) = state.topics.get_mut(topic) else { return };
        let Some(partition) = topic.partitions.get_mut(partition as usize) else { return };
        while partition.messages.front().is_some_and(|held| held.offset < offset) {
            partition.messages.pop_front();
            partition.low += 1;
        }
    }

    /// The topic does not answer, or answers again.
    pub fn set_down(&self, topic: &TopicName, down: bool) {
        if let Some(topic) = self.state.lock().topics.get_mut(topic) {
            topic.down = down;
        }
        self.changed.notify_waiters();
    }

    /// A topic as a stream. `fetch_timeout` bounds how long a fetch waits.
    #[must_use]
    pub fn source(self: &Arc<Self>, topic: TopicName, fetch_timeout: Duration) -> SharedSource {
        Arc::new(MemorySource { streams: self.clone(), topic, fetch_timeout })
    }

    fn with<T>(
        &self,
        topic: &TopicName,
        partition: u32,
        read: impl FnOnce(&Partition) -> Result<T, StreamError>,
    ) -> Result<T, StreamError> {
        let state = self.state.lock();
        let held = up(&state, topic)?;
        let missing = || StreamError::PartitionMissing { topic: topic.to_string(), partition };
        read(held.partitions.get(partition as usize).ok_or_else(missing)?)
    }
}

fn up<'a>(state: &'a State, topic: &TopicName) -> Result<&'a Topic, StreamError> {
    let missing = || StreamError::TopicMissing { topic: topic.to_string(), hint: String::new() };
    let held = state.topics.get(topic).ok_or_else(missing)?;
    if held.down {
        return Err(StreamError::Unreachable { topic: topic.to_string(), reason: "it is down".into() });
    }
    Ok(held)
}

struct MemorySource {
    streams: Arc<MemoryStreams>,
    topic: TopicName,
    fetch_timeout: Duration,
}

#[async_trait]
impl StreamSource for MemorySource {
    async fn partitions(&self) -> Result<Vec<u32>, StreamError> {
        let state = self.streams.state.lock();
        let count = up(&state, &self.topic)?.partitions.len();
        Ok((0..u32::try_from(count).unwrap_or(u32::MAX)).collect())
    }

    async fn topics(&self) -> Result<Vec<TopicName>, StreamError> {
        Ok(self.streams.state.lock().topics.keys().cloned().collect())
    }

    async fn topic_id(&self) -> Result<Option<Arc<str>>, StreamError> {
        let state = self.streams.state.lock();
        let topic = up(&state, &self.topic)?;
        Ok(state.tells_ids.then(|| topic.made.to_string().into()))
    }

    async fn watermarks(&self, partition: u32) -> Result<Watermarks, StreamError> {
        self.streams.with(&self.topic, partition, |held| Ok(held.watermarks()))
    }

    async fn resolve(&self, partition: u32, at: &StartAt, now_ms: i64) -> Result<NextOffset, StreamError> {
        self.streams.with(&self.topic, partition, |held| {
            let since = |from_ms: i64| {
                let found = held.messages.iter().find(|message| message.timestamp_ms >= from_ms);
                found.map_or(held.watermarks().high, |message| message.offset)
            };
            Ok(match at {
                StartAt::Earliest => held.watermarks().low,
                StartAt::Latest => held.watermarks().high,
                StartAt::Ago(ago) => since(now_ms - i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)),
                StartAt::TimestampMs(from_ms) => since(*from_ms),
                StartAt::Offset(offset) => *offset,
            })
        })
    }

    async fn open(&self, partition: u32, from: NextOffset) -> Result<Box<dyn PartitionReader>, StreamError> {
        self.watermarks(partition).await?;
        let behind = self.streams.state.lock().reader_shift;
        Ok(Box::new(MemoryReader {
            behind: usize::try_from(behind).unwrap_or(usize::MAX),
            streams: self.streams.clone(),
            topic: self.topic.clone(),
            partition,
            next: from,
            fetch_timeout: self.fetch_timeout,
            fresh: true,
        }))
    }
}

struct MemoryReader {
    streams: Arc<MemoryStreams>,
    topic: TopicName,
    partition: u32,
    next: NextOffset,
    fetch_timeout: Duration,
    /// Nothing was said yet: the end is told at once where it is here, so that a quiet partition is known to be one.
    fresh: bool,
    /// So many messages are left out of the first batch.
    behind: usize,
}

impl MemoryReader {
    fn take(&self, limit: FetchLimit) -> Result<MessageBatch, StreamError> {
        self.streams.with(&self.topic, self.partition, |held| {
            let marks = held.watermarks();
            if self.next < marks.low || self.next > marks.high {
                return Err(StreamError::OutOfRange {
                    topic: self.topic.to_string(),
                    partition: self.partition,
                    asked: self.next,
                    held: marks,
                });
            }
            let from = usize::try_from(self.next.since(marks.low)).unwrap_or(usize::MAX);
            let mut bytes = 0;
            let mut taken = vec![];
            for message in held.messages.iter().skip(from.saturating_add(self.behind)).take(limit.max_messages) {
                bytes += message.value.as_ref().map_or(0, Bytes::len);
                if bytes > limit.max_bytes && !taken.is_empty() {
                    break;
                }
                taken.push(message.clone());
            }
            let end = taken.last().map_or(self.next, |message: &Held| message.offset.after());
            Ok(MessageBatch {
                range: OffsetRange::try_new(self.next, end).expect("offsets ascend"),
                messages: Box::new(HeldMessages(taken)),
                high_watermark: Some(marks.high),
                low_watermark: Some(marks.low),
            })
        })
    }
}

#[async_trait]
impl PartitionReader for MemoryReader {
    async fn next_batch(&mut self, limit: FetchLimit) -> Result<MessageBatch, StreamError> {
        let deadline = tokio::time::Instant::now() + self.fetch_timeout;
        loop {
            let streams = self.streams.clone();
            let changed = streams.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that nothing is missed in between.
            changed.as_mut().enable();
            let batch = self.take(limit)?;
            if !batch.messages.is_empty() || self.fresh {
                self.fresh = false;
                self.next = batch.range.end();
                self.behind = if batch.messages.is_empty() { self.behind } else { 0 };
                return Ok(batch);
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Ok(batch);
            }
        }
    }
}

#[cfg(test)]
mod tests;
