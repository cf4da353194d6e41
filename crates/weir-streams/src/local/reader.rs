//! Reading a topic of the local log.

use super::{
    LocalLogs,
    file::Lost,
    frame::Record,
    partition::{Partition, Place},
    topic::Topic,
};
use crate::contract::{FetchLimit, MessageBatch, Messages, PartitionReader, StreamError, StreamSource, Watermarks};
use async_trait::async_trait;
use std::{io, sync::Arc, time::Duration};
use weir_types::{NextOffset, OffsetRange, StartAt, TopicName};

pub(super) struct LocalSource {
    logs: Arc<LocalLogs>,
    topic: TopicName,
    fetch_timeout: Duration,
}

impl LocalSource {
    pub(super) fn new(logs: Arc<LocalLogs>, topic: TopicName, fetch_timeout: Duration) -> Self {
        Self { logs, topic, fetch_timeout }
    }

    fn partition(&self, number: u32) -> Result<(Arc<Topic>, Arc<Partition>), StreamError> {
        let topic = self.logs.topic(&self.topic)?;
        let missing = || StreamError::PartitionMissing { topic: self.topic.to_string(), partition: number };
        let partition = topic.partition(number).ok_or_else(missing)?;
        Ok((topic, partition))
    }
}

/// Runs what may have to wait for the disk where waiting hinders nobody.
async fn waiting<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(run).await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

fn marks(partition: &Partition) -> Watermarks {
    Watermarks { low: partition.low(), high: partition.end() }
}

fn failed(topic: &str, partition: u32, error: &io::Error) -> StreamError {
    let (topic, reason) = (topic.to_owned(), error.to_string());
    if let Some(Lost { range, how }) = Lost::of(error) {
        return StreamError::Lost { topic, partition, lost: *range, reason: how.clone() };
    }
    match error.kind() {
        io::ErrorKind::InvalidData => StreamError::Corrupt { topic, reason },
        _ => StreamError::Unreachable { topic, reason },
    }
}

#[async_trait]
impl StreamSource for LocalSource {
    async fn partitions(&self) -> Result<Vec<u32>, StreamError> {
        Ok((0..self.logs.topic(&self.topic)?.partition_count()).collect())
    }

    async fn topics(&self) -> Result<Vec<TopicName>, StreamError> {
        Ok(self.logs.topics().into_iter().map(|(topic, _)| topic).collect())
    }

    async fn topic_id(&self) -> Result<Option<Arc<str>>, StreamError> {
        Ok(Some(self.logs.topic(&self.topic)?.id().into()))
    }

    async fn watermarks(&self, partition: u32) -> Result<Watermarks, StreamError> {
        Ok(marks(&self.partition(partition)?.1))
    }

    async fn resolve(&self, partition: u32, at: &StartAt, now_ms: i64) -> Result<NextOffset, StreamError> {
        let (number, (_, partition)) = (partition, self.partition(partition)?);
        let from_ms = match at {
            StartAt::Earliest => return Ok(partition.low()),
            StartAt::Latest => return Ok(partition.end()),
            StartAt::Offset(offset) => return Ok(*offset),
            StartAt::Ago(ago) => now_ms.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)),
            StartAt::TimestampMs(from_ms) => *from_ms,
        };
        let found = waiting(move || partition.since(from_ms)).await;
        found.map_err(|error| failed(self.topic.as_str(), number, &error))
    }

    async fn open(&self, partition: u32, from: NextOffset) -> Result<Box<dyn PartitionReader>, StreamError> {
        let (topic, held) = self.partition(partition)?;
        let end = held.watch();
        Ok(Box::new(LocalReader {
            topic,
            name: self.topic.clone(),
            number: partition,
            partition: held,
            next: from,
            place: None,
            end,
            fetch_timeout: self.fetch_timeout,
            fresh: true,
        }))
    }

    fn was_read(&self, partition: u32, next: NextOffset, topic_id: &str) {
        if let Ok((topic, partition)) = self.partition(partition)
            && topic.id() == topic_id
        {
            partition.was_read(next);
        }
    }

    fn hold(&self, holder: &str, partition: u32, floor: NextOffset) {
        if let Ok((_, partition)) = self.partition(partition) {
            partition.hold(holder, floor);
        }
    }

    fn release(&self, holder: &str) {
        if let Ok(topic) = self.logs.topic(&self.topic) {
            topic.release(holder);
        }
    }
}

struct LocalReader {
    topic: Arc<Topic>,
    name: TopicName,
    number: u32,
    partition: Arc<Partition>,
    next: NextOffset,
    /// Behind the last frame that was read whole.
    place: Option<Place>,
    end: tokio::sync::watch::Receiver<NextOffset>,
    fetch_timeout: Duration,
    /// Nothing was said yet: the end is told at once where it is here, so that a quiet partition is known to be one.
    fresh: bool,
}

struct LocalMessages {
    first: NextOffset,
    records: Vec<Record>,
}

impl Messages for LocalMessages {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn offset(&self, at: usize) -> NextOffset {
        NextOffset::new(self.first.number() + at as u64)
    }

    fn timestamp_ms(&self, at: usize) -> Option<i64> {
        Some(self.records[at].timestamp_ms)
    }

    fn key(&self, at: usize) -> Option<&[u8]> {
        self.records[at].key.as_deref()
    }

    fn value(&self, at: usize) -> Option<&[u8]> {
        self.records[at].value.as_deref()
    }

    fn header(&self, at: usize, name: &str) -> Option<&[u8]> {
        self.records[at].headers.iter().rev().find(|(header, _)| header == name).map(|(_, value)| &**value)
    }
}

impl LocalReader {
    fn check(&self) -> Result<Watermarks, StreamError> {
        let topic = || self.name.to_string();
        if self.topic.is_deleted() {
            let hint = ": it was deleted while it was read".to_owned();
            return Err(StreamError::TopicMissing { topic: topic(), hint });
        }
        let held = marks(&self.partition);
        if self.next < held.low || self.next > held.high {
            let (asked, partition) = (self.next, self.number);
            return Err(StreamError::OutOfRange { topic: topic(), partition, asked, held });
        }
        Ok(held)
    }

    /// What is there within the limit.
    async fn take(&mut self, limit: FetchLimit, held: Watermarks) -> Result<MessageBatch, StreamError> {
        let taking =
            Taking { partition: self.partition.clone(), next: self.next, place: self.place.clone(), limit, held };
        let taken = match self.partition.is_cold(self.next) {
            true => waiting(move || taking.run()).await,
            false => taking.run(),
        };
        // Only now, so that a fetch that is given up loses nothing.
        let (batch, place) = taken.map_err(|error| failed(self.name.as_str(), self.number, &error))?;
        (self.next, self.place) = (batch.range.end(), place);
        Ok(batch)
    }
}

/// A fetch under way.
struct Taking {
    partition: Arc<Partition>,
    next: NextOffset,
    place: Option<Place>,
    limit: FetchLimit,
    held: Watermarks,
}

impl Taking {
    fn run(self) -> io::Result<(MessageBatch, Option<Place>)> {
        let Self { partition, limit, held, .. } = self;
        let first = self.next;
        let mut records: Vec<Record> = vec![];
        let (mut next, mut place, mut bytes) = (self.next, self.place, 0);
        while next < held.high && records.len() < limit.max_messages && bytes < limit.max_bytes {
            let (head, frame, behind) = match partition.read(next, place.clone()) {
                Ok(Some(read)) => read,
                Ok(None) => break,
                // What is whole comes first: the next fetch meets the error again.
                Err(_) if !records.is_empty() => break,
                Err(error) => return Err(error),
            };
            let skip = usize::try_from(next.since(head.base)).unwrap_or(usize::MAX);
            let mut whole = true;
            for record in frame.into_iter().skip(skip) {
                let size = record.value.as_ref().map_or(0, bytes::Bytes::len);
                if records.len() >= limit.max_messages || (bytes + size > limit.max_bytes && !records.is_empty()) {
                    whole = false;
                    break;
                }
                bytes += size;
                records.push(record);
                next = next.after();
            }
            if !whole {
                break;
            }
            place = Some(behind);
        }
        let batch = MessageBatch {
            range: OffsetRange::try_new(first, next).expect("offsets ascend"),
            messages: Box::new(LocalMessages { first, records }),
            high_watermark: Some(held.high.max(next)),
            low_watermark: Some(held.low),
        };
        Ok((batch, place))
    }
}

#[async_trait]
impl PartitionReader for LocalReader {
    async fn next_batch(&mut self, limit: FetchLimit) -> Result<MessageBatch, StreamError> {
        let deadline = tokio::time::Instant::now() + self.fetch_timeout;
        loop {
            self.end.mark_unchanged();
            let held = self.check()?;
            if held.high > self.next || self.fresh {
                self.fresh = false;
                return self.take(limit, held).await;
            }
            if tokio::time::timeout_at(deadline, self.end.changed()).await.is_err() {
                return self.take(limit, held).await;
            }
        }
    }
}
