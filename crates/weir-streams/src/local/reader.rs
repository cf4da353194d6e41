//! Reading a topic of the local log.

use super::{
    LocalLogs,
    frame::Record,
    partition::{Partition, Place},
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

    fn partition(&self, number: u32) -> Result<Arc<Partition>, StreamError> {
        let missing = || StreamError::PartitionMissing { topic: self.topic.to_string(), partition: number };
        self.logs.topic(&self.topic)?.partition(number).ok_or_else(missing)
    }
}

fn marks(partition: &Partition) -> Watermarks {
    Watermarks { low: partition.low(), high: partition.end() }
}

fn failed(topic: &str, error: &io::Error) -> StreamError {
    let (topic, reason) = (topic.to_owned(), error.to_string());
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

    async fn watermarks(&self, partition: u32) -> Result<Watermarks, StreamError> {
        Ok(marks(&*self.partition(partition)?))
    }

    async fn resolve(&self, partition: u32, at: &StartAt, now_ms: i64) -> Result<NextOffset, StreamError> {
        let partition = self.partition(partition)?;
        let since = |from_ms: i64| partition.since(from_ms).map_err(|error| failed(self.topic.as_str(), &error));
        match at {
            StartAt::Earliest => Ok(partition.low()),
            StartAt::Latest => Ok(partition.end()),
            StartAt::Ago(ago) => since(now_ms - i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)),
            StartAt::TimestampMs(from_ms) => since(*from_ms),
            StartAt::Offset(offset) => Ok(*offset),
        }
    }

    async fn open(&self, partition: u32, from: NextOffset) -> Result<Box<dyn PartitionReader>, StreamError> {
        let held = self.partition(partition)?;
        let end = held.watch();
        Ok(Box::new(LocalReader {
            logs: self.logs.clone(),
            topic: self.topic.clone(),
            number: partition,
            partition: held,
            next: from,
            place: None,
            end,
            fetch_timeout: self.fetch_timeout,
        }))
    }

    fn hold(&self, holder: &str, partition: u32, floor: NextOffset) {
        if let Ok(partition) = self.partition(partition) {
            partition.hold(holder, floor);
        }
    }
}

struct LocalReader {
    logs: Arc<LocalLogs>,
    topic: TopicName,
    number: u32,
    partition: Arc<Partition>,
    next: NextOffset,
    /// Behind the last frame that was read whole.
    place: Option<Place>,
    end: tokio::sync::watch::Receiver<NextOffset>,
    fetch_timeout: Duration,
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
        let held = marks(&self.partition);
        // A topic that was deleted, or made anew under the same name, is not the one that was opened.
        let now = self.logs.topic(&self.topic)?.partition(self.number);
        let now =
            now.ok_or_else(|| StreamError::PartitionMissing { topic: self.topic.to_string(), partition: self.number })?;
        let held = if Arc::ptr_eq(&now, &self.partition) { held } else { marks(&now) };
        if self.next < held.low || self.next > held.high {
            let (topic, partition) = (self.topic.to_string(), self.number);
            return Err(StreamError::OutOfRange { topic, partition, asked: self.next, held });
        }
        Ok(held)
    }

    /// What is there within the limit.
    fn take(&mut self, limit: FetchLimit, held: Watermarks) -> Result<MessageBatch, StreamError> {
        let first = self.next;
        let mut records: Vec<Record> = vec![];
        let (mut next, mut place, mut bytes) = (self.next, self.place.clone(), 0);
        while next < held.high && records.len() < limit.max_messages && bytes < limit.max_bytes {
            let read = self.partition.read(next, place.clone());
            let read = read.map_err(|error| failed(self.partition.topic(), &error))?;
            let Some((head, frame, behind)) = read else { break };
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
        (self.next, self.place) = (next, place);
        Ok(batch)
    }
}

#[async_trait]
impl PartitionReader for LocalReader {
    async fn next_batch(&mut self, limit: FetchLimit) -> Result<MessageBatch, StreamError> {
        let deadline = tokio::time::Instant::now() + self.fetch_timeout;
        loop {
            self.end.mark_unchanged();
            let held = self.check()?;
            if held.high > self.next {
                return self.take(limit, held);
            }
            match tokio::time::timeout_at(deadline, self.end.changed()).await {
                Ok(Ok(())) => {}
                // The partition is gone, or nothing came in time.
                Ok(Err(_)) => return self.check().and_then(|held| self.take(limit, held)),
                Err(_) => return self.take(limit, held),
            }
        }
    }
}
