//! What every stream promises: partitions, offsets, and batches that carry their range.

use crate::probe::{self, PartitionFact, ProbeError, ProbeStep};
use async_trait::async_trait;
use std::sync::Arc;
use weir_types::{Classify, ErrorKind, NextOffset, OffsetRange, Retry, StartAt, TopicName};

/// Messages of one fetch, borrowed from whatever buffer the stream keeps. Position `at` runs from 0 to `len`.
pub trait Messages: Send + Sync {
    /// How many messages.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Offset of a message; ascending, not always dense.
    fn offset(&self, at: usize) -> NextOffset;
    /// The stream's time stamp, milliseconds since the epoch.
    fn timestamp_ms(&self, at: usize) -> Option<i64>;
    /// The key, where there is one.
    fn key(&self, at: usize) -> Option<&[u8]>;
    /// The value; `None` is a tombstone.
    fn value(&self, at: usize) -> Option<&[u8]>;
    /// Header `name`'s last value, where there is one.
    fn header(&self, at: usize, name: &str) -> Option<&[u8]>;
    /// What else the stream knows of a message under that name, as text; which names there are is the stream's affair.
    fn metadata(&self, _at: usize, _name: &str) -> Option<String> {
        None
    }
    /// The messages whose values cannot be had, ascending.
    fn spoilt(&self) -> &[Spoilt] {
        &[]
    }
}

/// A message that is there and whose value is not: it is rejected, whatever its bytes could be taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoilt {
    /// Its position.
    pub at: usize,
    /// Why, and what to do.
    pub reason: String,
    /// The bytes of the whole value, where that is known; in any case more than are here, so that nobody takes those for it.
    pub whole_bytes: u64,
}

/// What one fetch brought.
pub struct MessageBatch {
    /// From where we asked to the next offset to read: beyond the last message where control, aborted or compacted
    /// records lie.
    pub range: OffsetRange,
    /// The messages, all inside `range`.
    pub messages: Box<dyn Messages>,
    /// The end of the log as the stream last said it, for lag: for transactional readers the last stable offset.
    pub high_watermark: Option<NextOffset>,
    /// The oldest offset that the stream last said it holds.
    pub low_watermark: Option<NextOffset>,
}

/// How much one fetch may bring; a message larger than `max_bytes` still comes, alone.
#[derive(Debug, Clone, Copy)]
pub struct FetchLimit {
    /// Messages.
    pub max_messages: usize,
    /// Bytes of values.
    pub max_bytes: usize,
}

/// First and next offset of a partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// The oldest message that is still there.
    pub low: NextOffset,
    /// One past the newest.
    pub high: NextOffset,
}

/// Why a stream did not answer as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The broker does not answer.
    #[error("stream {topic} is unreachable: {reason}")]
    Unreachable {
        /// The topic.
        topic: String,
        /// As the client put it.
        reason: String,
    },
    /// The topic is not there.
    #[error("topic {topic} does not exist{hint}")]
    TopicMissing {
        /// The topic.
        topic: String,
        /// What to do about it, with a leading `: ` or `; `, or empty.
        hint: String,
    },
    /// The topic has no such partition (any more).
    #[error("topic {topic} has no partition {partition}")]
    PartitionMissing {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
    },
    /// The offset asked for is not in the log.
    #[error("offset {asked} of {topic}/{partition} is out of range: the log holds [{}, {})", held.low, held.high)]
    OutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// What was asked for.
        asked: NextOffset,
        /// What is there.
        held: Watermarks,
    },
    /// The stream refuses us.
    #[error("stream {topic} refuses access: {reason}")]
    Denied {
        /// The topic.
        topic: String,
        /// As the client put it.
        reason: String,
    },
    /// A setting is wrong.
    #[error("stream setting {key} of topic {topic}: {reason}")]
    Setting {
        /// The topic.
        topic: String,
        /// The setting's key in the table config.
        key: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A secret that a setting refers to is not there.
    #[error("stream setting {key} of topic {topic} refers to {reason}")]
    SecretMissing {
        /// The topic.
        topic: String,
        /// The setting's key, as the client names it.
        key: String,
        /// The reference, what is missing and what to do.
        reason: String,
    },
    /// Local storage of the stream is full.
    #[error("stream {topic} cannot be written: {reason}")]
    Full {
        /// The topic.
        topic: String,
        /// The cause.
        reason: String,
    },
    /// Offsets that the log held are not there any more, and what came after them is.
    #[error("offsets {lost} of {topic}/{partition} are lost: {reason}")]
    Lost {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// Which.
        lost: OffsetRange,
        /// How.
        reason: String,
    },
    /// Stored bytes are not what was written.
    #[error("stream {topic} is damaged: {reason}")]
    Corrupt {
        /// The topic.
        topic: String,
        /// Where and how.
        reason: String,
    },
}

impl Classify for StreamError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable { .. } | Self::SecretMissing { .. } => ErrorKind::Unavailable,
            Self::TopicMissing { .. } | Self::PartitionMissing { .. } | Self::OutOfRange { .. } => ErrorKind::NotFound,
            Self::Denied { .. } | Self::Setting { .. } => ErrorKind::Invalid,
            Self::Full { .. } => ErrorKind::Exhausted,
            Self::Corrupt { .. } | Self::Lost { .. } => ErrorKind::Corrupt,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Setting { .. } | Self::Corrupt { .. } | Self::Lost { .. } => Retry::Never,
            _ => Retry::Later,
        }
    }
}

/// A shared source.
pub type SharedSource = Arc<dyn StreamSource>;

/// One topic of a stream.
#[async_trait]
pub trait StreamSource: Send + Sync + 'static {
    /// Its partitions, ascending. `TopicMissing` where the topic is not there.
    async fn partitions(&self) -> Result<Vec<u32>, StreamError>;
    /// The topics beside it, itself included where it is there: what a pattern over names is held against.
    async fn topics(&self) -> Result<Vec<TopicName>, StreamError>;
    /// The identity that the topic was given when it was made: a topic made anew under the same name has another. `None`
    /// where the stream tells none.
    async fn topic_id(&self) -> Result<Option<Arc<str>>, StreamError> {
        Ok(None)
    }
    /// First and next offset of a partition.
    async fn watermarks(&self, partition: u32) -> Result<Watermarks, StreamError>;
    /// The offset that `at` means for a partition now; a time past the end is the end. `now_ms` is wall time.
    async fn resolve(&self, partition: u32, at: &StartAt, now_ms: i64) -> Result<NextOffset, StreamError>;
    /// What [`Self::resolve`] says of some partitions (each named once), in their order: with one question where the stream
    /// can.
    async fn resolve_all(&self, partitions: &[u32], at: &StartAt, now_ms: i64) -> Result<Vec<NextOffset>, StreamError> {
        futures::future::try_join_all(partitions.iter().map(|partition| self.resolve(*partition, at, now_ms))).await
    }
    /// Starts reading a partition. An offset outside the log is found here or by the first `next_batch`.
    async fn open(&self, partition: u32, from: NextOffset) -> Result<Box<dyn PartitionReader>, StreamError>;
    /// Says that `holder` (a table) may read a partition again from `floor` on: a stream that keeps its own log deletes
    /// nothing at or after the lowest floor. Others pass it over.
    fn hold(&self, _holder: &str, _partition: u32, _floor: NextOffset) {}
    /// Says that messages before `next` were read once, of the topic with that identity: a stream that gives offsets out itself
    /// gives none of them out again, whatever became of them. Others pass it over.
    fn was_read(&self, _partition: u32, _next: NextOffset, _topic_id: &str) {}
    /// Says that `holder` (a table that was dropped) reads nothing of the topic any more: its floors are gone.
    fn release(&self, _holder: &str) {}
    /// Tests the connection: what of the topic can be read, of all partitions or of `only`, or the step at which it ended. Over
    /// within [`probe::PROBE_WITHIN`].
    async fn probe(&self, only: Option<&[u32]>) -> Result<Vec<PartitionFact>, ProbeError> {
        let asked = async {
            let mut found = self.partitions().await?;
            if let Some(missing) = probe::missing_partitions(only, &found) {
                return Err(missing);
            }
            found.retain(|partition| only.is_none_or(|only| only.contains(partition)));
            let fact = |partition| async move {
                let watermarks = self.watermarks(partition).await?;
                Ok(PartitionFact { partition, watermarks })
            };
            futures::future::try_join_all(found.into_iter().map(fact)).await
        };
        probe::within(ProbeStep::Tcp, asked).await
    }
    /// Whether offsets are dense but for transactions and compaction, so that a range can be explained by counts.
    fn dense(&self) -> bool {
        true
    }
}

/// Reads one partition in order.
#[async_trait]
pub trait PartitionReader: Send {
    /// Waits for the first message, then takes what is there within the limit, without waiting for more. Returns an
    /// empty batch whose range has moved when only control or aborted records lay ahead, and an empty batch that has
    /// not moved when the end of the log was reached or the fetch time-out passed (its watermark is then fresh). A reader that
    /// is opened at the end of the log says so at once.
    /// Dropping the future loses nothing: the same messages come with the next call.
    async fn next_batch(&mut self, limit: FetchLimit) -> Result<MessageBatch, StreamError>;
}
