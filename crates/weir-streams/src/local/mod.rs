//! The built-in log: durable partitioned topics on the local disk, written by request, read by the same pipelines as Kafka.
//!
//! An append is acknowledged when it is on the disk; concurrent requests share one sync. A request is appended whole or
//! not at all. A request with an idempotency key is remembered in the log itself, for the last 10,000 requests or an hour,
//! so that repeating it after a crash answers with its first offsets and adds only what is missing.

mod frame;
mod partition;
mod reader;
mod remember;
mod topic;

use crate::contract::{SharedSource, StreamError};
use bytes::Bytes;
use parking_lot::RwLock;
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use topic::Topic;
use weir_base::{SharedClock, SharedDisk};
use weir_types::{Classify, ErrorKind, NextOffset, Retry, TopicName};

/// A record to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProduceRecord {
    /// Its partition; by key's hash where there is none, in turn where there is no key either.
    pub partition: Option<u32>,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Its headers.
    pub headers: Vec<(String, Bytes)>,
    /// Its time stamp; the time of the append where there is none.
    pub timestamp_ms: Option<i64>,
}

/// Where a record was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducedAt {
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: NextOffset,
}

/// Why records were not appended; none of the request were.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProduceError {
    /// There is no such topic.
    #[error("topic {0} does not exist on the local log")]
    NoTopic(TopicName),
    /// There is no such partition.
    #[error("topic {topic} has partitions 0 to {}, not {partition}", .partitions - 1)]
    NoPartition {
        /// The topic.
        topic: TopicName,
        /// What was asked for.
        partition: u32,
        /// How many there are.
        partitions: u32,
    },
    /// The disk does not take them.
    #[error("topic {topic} cannot be written: {reason}")]
    Disk {
        /// The topic.
        topic: TopicName,
        /// The cause.
        reason: String,
        /// Whether the disk is full.
        full: bool,
    },
}

impl Classify for ProduceError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoTopic(_) => ErrorKind::NotFound,
            Self::NoPartition { .. } => ErrorKind::Invalid,
            Self::Disk { full: true, .. } => ErrorKind::Exhausted,
            Self::Disk { .. } => ErrorKind::Unavailable,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Disk { .. } => Retry::Later,
            _ => Retry::Never,
        }
    }
}

/// Settings of all topics.
#[derive(Debug, Clone)]
pub struct LocalLogOptions {
    /// A file is closed at this size; retention deletes whole files.
    pub file_bytes: u64,
    /// Records older than this may be deleted.
    pub retention: Duration,
    /// A partition larger than this may lose its oldest files.
    pub retention_bytes: u64,
    /// How often retention is looked at, at most; appends trigger it.
    pub retain_every: Duration,
}

impl Default for LocalLogOptions {
    fn default() -> Self {
        // Kafka's own defaults for time, and a bound in bytes since this disk is shared with the segments.
        Self {
            file_bytes: 64 << 20,
            retention: Duration::from_secs(7 * 24 * 3600),
            retention_bytes: 8 << 30,
            retain_every: Duration::from_secs(30),
        }
    }
}

/// All topics of a folder.
pub struct LocalLogs {
    dir: PathBuf,
    disk: SharedDisk,
    clock: SharedClock,
    options: LocalLogOptions,
    topics: RwLock<BTreeMap<TopicName, Arc<Topic>>>,
}

impl LocalLogs {
    /// Opens the topics below `dir`.
    ///
    /// # Errors
    /// A file cannot be read, or is damaged elsewhere than at its torn end; the text names file and position.
    pub fn open(dir: &Path, disk: SharedDisk, clock: SharedClock, options: LocalLogOptions) -> io::Result<Arc<Self>> {
        disk.create_dir_all(dir)?;
        let mut topics = BTreeMap::new();
        for entry in disk.list(dir)? {
            let Ok(name) = TopicName::parse(&entry.name) else { continue };
            let folder = dir.join(&entry.name);
            if let Some(topic) = Topic::open(&name, folder, disk.clone(), clock.clone(), options.clone())? {
                topics.insert(name, topic);
            }
        }
        Ok(Arc::new(Self { dir: dir.to_owned(), disk, clock, options, topics: RwLock::new(topics) }))
    }

    /// Makes a topic, or adds partitions to one; true where it was made now.
    pub fn create_topic(&self, name: &TopicName, partitions: u32) -> io::Result<bool> {
        let mut topics = self.topics.write();
        if let Some(topic) = topics.get(name) {
            topic.grow(partitions)?;
            return Ok(false);
        }
        let folder = self.dir.join(name.as_str());
        let topic =
            Topic::create(name, folder, partitions, self.disk.clone(), self.clock.clone(), self.options.clone())?;
        topics.insert(name.clone(), topic);
        Ok(true)
    }

    /// Deletes a topic with its records; false where it is not there.
    pub fn delete_topic(&self, name: &TopicName) -> io::Result<bool> {
        let mut topics = self.topics.write();
        Topic::remove(&self.disk, &self.dir.join(name.as_str()))?;
        Ok(topics.remove(name).is_some())
    }

    /// Topics and how many partitions each has.
    #[must_use]
    pub fn topics(&self) -> Vec<(TopicName, u32)> {
        self.topics.read().iter().map(|(name, topic)| (name.clone(), topic.partition_count())).collect()
    }

    /// Appends records, all or none; durable when this returns. The same idempotency key again answers with the offsets
    /// of the first time.
    pub async fn produce(
        &self,
        topic: &TopicName,
        records: Vec<ProduceRecord>,
        idempotency_key: Option<&str>,
    ) -> Result<Vec<ProducedAt>, ProduceError> {
        let found = self.topics.read().get(topic).cloned();
        let found = found.ok_or_else(|| ProduceError::NoTopic(topic.clone()))?;
        found.produce(records, idempotency_key).await
    }

    /// A topic as a stream.
    #[must_use]
    pub fn source(self: &Arc<Self>, topic: TopicName, fetch_timeout: Duration) -> SharedSource {
        Arc::new(reader::LocalSource::new(self.clone(), topic, fetch_timeout))
    }

    fn topic(&self, name: &TopicName) -> Result<Arc<Topic>, StreamError> {
        let found = self.topics.read().get(name).cloned();
        found.ok_or_else(|| StreamError::TopicMissing {
            topic: name.to_string(),
            hint: ": making a table with streamType local and this topic makes it".into(),
        })
    }
}

#[cfg(test)]
mod tests;
