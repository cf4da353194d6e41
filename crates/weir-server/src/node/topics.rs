//! The local log: its topics, and records posted to them.

use crate::node::{Node, Refusal};
use weir_streams::{ProduceRecord, ProducedAt};
use weir_types::{Classify, ErrorKind, TopicName};

/// A topic of the local log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: TopicName,
    /// How many partitions it has.
    pub partitions: u32,
}

/// Bounds of what is posted at once.
pub mod produce_bounds {
    /// Records of one request: one frame of the log, acknowledged together.
    pub const RECORDS: usize = 100_000;
    /// Bytes of an idempotency key: it is kept in the log.
    pub const KEY_BYTES: usize = 255;
}

impl Node {
    /// The topics of the local log, by name.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicInfo> {
        self.local.topics().into_iter().map(|(name, partitions)| TopicInfo { name, partitions }).collect()
    }

    /// Appends records to a topic, all or none; durable when this returns. The same key again answers with the first
    /// offsets.
    pub async fn produce(
        &self,
        topic: &TopicName,
        records: Vec<ProduceRecord>,
        idempotency_key: Option<&str>,
    ) -> Result<Vec<ProducedAt>, Refusal> {
        let produced = self.local.produce(topic, records, idempotency_key).await;
        produced.map_err(|error| match error.kind() {
            ErrorKind::NotFound => Refusal::not_found(format!(
                "topic {topic} does not exist on the local log: make a table with \"streamType\": \"local\" and \
                 \"stream.local.topic.name\": \"{topic}\" first (POST /tableConfigs), which makes the topic"
            )),
            kind => Refusal { kind, text: error.to_string() },
        })
    }
}
