//! The built-in log: durable partitioned topics on the local disk, written by request, read by the same pipelines as Kafka.
//!
//! An append is acknowledged when it is on the disk; concurrent requests share one sync. A request is appended whole or
//! not at all. A request with an idempotency key is remembered in the log itself, for the last 10,000 requests or an hour,
//! so that repeating it after a crash answers with its first offsets and adds only what is missing.

mod file;
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
    sync::{Arc, Weak},
    time::Duration,
};
use topic::Topic;
use weir_base::{SharedClock, SharedDisk};
use weir_types::{Classify, ErrorKind, NextOffset, Retry, TopicName};

/// A request of more bytes is refused: it would be one frame, read and checked as a whole.
pub const REQUEST_BYTES: usize = 64 << 20;

/// Looking at retention more often than this costs more than it frees.
const RETAIN_EVERY_LEAST: Duration = Duration::from_secs(1);

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
    /// It cannot be stored as it is.
    #[error("a request to topic {topic} is refused: {reason}")]
    Refused {
        /// The topic.
        topic: TopicName,
        /// Why, and what would be right.
        reason: String,
    },
    /// What the topic holds is not what was written.
    #[error("topic {topic} is damaged: {reason}")]
    Damaged {
        /// The topic.
        topic: TopicName,
        /// Where and how.
        reason: String,
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
            Self::NoPartition { .. } | Self::Refused { .. } => ErrorKind::Invalid,
            Self::Damaged { .. } => ErrorKind::Corrupt,
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
    /// How often retention is looked at, at most; appends trigger it, and `LocalLogs::keep_retaining`.
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

/// A topic as it was found.
#[derive(Clone)]
enum Slot {
    Whole(Arc<Topic>),
    /// Damaged, and how: it is neither read nor written, and nothing of it is touched.
    Damaged(Arc<str>),
}

/// All topics of a folder.
pub struct LocalLogs {
    dir: PathBuf,
    disk: SharedDisk,
    clock: SharedClock,
    options: LocalLogOptions,
    topics: RwLock<BTreeMap<TopicName, Slot>>,
}

impl LocalLogs {
    /// Opens the topics below `dir`. One that is damaged elsewhere than at its torn end does not keep the others from
    /// being used; whoever uses it is told file and position.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn open(dir: &Path, disk: SharedDisk, clock: SharedClock, options: LocalLogOptions) -> io::Result<Arc<Self>> {
        disk.create_dir_all(dir)?;
        let mut topics = BTreeMap::new();
        for entry in disk.list(dir)? {
            let Ok(name) = TopicName::parse(&entry.name) else { continue };
            let folder = dir.join(&entry.name);
            match Topic::open(&name, folder, disk.clone(), clock.clone(), options.clone()) {
                Ok(None) => {}
                Ok(Some(topic)) => drop(topics.insert(name, Slot::Whole(topic))),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::error!(topic = %name, %error, "a topic of the local log is damaged");
                    topics.insert(name, Slot::Damaged(error.to_string().into()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Arc::new(Self { dir: dir.to_owned(), disk, clock, options, topics: RwLock::new(topics) }))
    }

    /// Makes a topic, or adds partitions to one; true where it was made now.
    pub fn create_topic(&self, name: &TopicName, partitions: u32) -> io::Result<bool> {
        let mut topics = self.topics.write();
        match topics.get(name) {
            Some(Slot::Whole(topic)) => topic.grow(partitions).map(|()| false),
            Some(Slot::Damaged(how)) => Err(io::Error::new(io::ErrorKind::InvalidData, how.to_string())),
            None => {
                let folder = self.dir.join(name.as_str());
                let (disk, clock) = (self.disk.clone(), self.clock.clone());
                let topic = Topic::create(name, folder, partitions, disk, clock, self.options.clone())?;
                topics.insert(name.clone(), Slot::Whole(topic));
                Ok(true)
            }
        }
    }

    /// Deletes a topic with its records, a damaged one too; false where it is not there.
    pub fn delete_topic(&self, name: &TopicName) -> io::Result<bool> {
        let mut topics = self.topics.write();
        match topics.get(name) {
            None => return Ok(false),
            Some(Slot::Whole(topic)) => topic.delete()?,
            Some(Slot::Damaged(_)) => topic::delete(&self.disk, &self.dir.join(name.as_str()))?,
        }
        topics.remove(name);
        Ok(true)
    }

    /// Deletes a topic that nothing was ever appended to; false where there is no such topic.
    pub fn delete_unused_topic(&self, name: &TopicName) -> io::Result<bool> {
        let mut topics = self.topics.write();
        let Some(Slot::Whole(topic)) = topics.get(name) else { return Ok(false) };
        let deleted = topic.delete_unused()?;
        if deleted {
            topics.remove(name);
        }
        Ok(deleted)
    }

    /// Topics and how many partitions each has.
    #[must_use]
    pub fn topics(&self) -> Vec<(TopicName, u32)> {
        let topics = self.topics.read();
        let whole = topics.iter().filter_map(|(name, slot)| match slot {
            Slot::Whole(topic) => Some((name.clone(), topic.partition_count())),
            Slot::Damaged(_) => None,
        });
        whole.collect()
    }

    /// Appends records, all or none; durable when this returns. The same idempotency key again answers with the offsets
    /// of the first time.
    pub async fn produce(
        &self,
        topic: &TopicName,
        records: Vec<ProduceRecord>,
        idempotency_key: Option<&str>,
    ) -> Result<Vec<ProducedAt>, ProduceError> {
        let slot = self.topics.read().get(topic).cloned();
        match slot {
            Some(Slot::Whole(found)) => found.produce(records, idempotency_key).await,
            Some(Slot::Damaged(how)) => Err(ProduceError::Damaged { topic: topic.clone(), reason: how.to_string() }),
            None => Err(ProduceError::NoTopic(topic.clone())),
        }
    }

    /// A topic as a stream.
    #[must_use]
    pub fn source(self: &Arc<Self>, topic: TopicName, fetch_timeout: Duration) -> SharedSource {
        Arc::new(reader::LocalSource::new(self.clone(), topic, fetch_timeout))
    }

    /// Deletes what is old in all topics, of those that were not looked at within `retain_every`. Waits for the disk.
    pub fn retain(&self) {
        let topics = self.topics.read().clone();
        for slot in topics.values() {
            if let Slot::Whole(topic) = slot {
                topic.retain();
            }
        }
    }

    /// Deletes what is old for as long as the logs are open, also in topics that nobody appends to. To be started when
    /// all who hold records have said so.
    pub async fn keep_retaining(logs: Weak<Self>) {
        loop {
            let Some(open) = logs.upgrade() else { return };
            let (clock, every) = (open.clock.clone(), open.options.retain_every.max(RETAIN_EVERY_LEAST));
            drop(open);
            clock.sleep(every).await;
            let Some(open) = logs.upgrade() else { return };
            if let Err(failed) = tokio::task::spawn_blocking(move || open.retain()).await {
                tracing::error!(error = %failed, "retention of the local log failed");
            }
        }
    }

    fn topic(&self, name: &TopicName) -> Result<Arc<Topic>, StreamError> {
        let slot = self.topics.read().get(name).cloned();
        match slot {
            Some(Slot::Whole(topic)) => Ok(topic),
            Some(Slot::Damaged(how)) => Err(StreamError::Corrupt { topic: name.to_string(), reason: how.to_string() }),
            None => Err(StreamError::TopicMissing {
                topic: name.to_string(),
                hint: ": making a table with streamType local and this topic makes it".into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
