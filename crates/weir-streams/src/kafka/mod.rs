//! Apache Kafka, through librdkafka.
//!
//! Partitions are assigned with explicit offsets; no group is joined and nothing is committed to it. Every reader has a
//! client of its own, so that a lost connection is known to the partition it concerns. Payloads are decoded where the
//! client keeps them.

mod client;
mod identity;
mod messages;
mod reader;
mod settings;
#[cfg(feature = "testing")]
pub mod testing;

use crate::{
    contract::{PartitionReader, SharedSource, StreamError, StreamSource, Watermarks},
    queues::Queues,
};
use async_trait::async_trait;
use client::Client;
use parking_lot::Mutex;
use rdkafka::{ClientConfig, Offset, TopicPartitionList, consumer::Consumer};
use reader::{KafkaReader, blocking};
use std::{sync::Arc, time::Duration};
use weir_types::{NextOffset, StartAt, StreamSpec, TopicName};

/// How long a broker may take to answer a question.
const ASK: Duration = Duration::from_secs(5);
/// While a question is asked, lost connections are looked for this often.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A topic on Kafka as a table's settings describe it; the brokers are not asked yet.
pub fn source(spec: &StreamSpec, queues: Arc<Queues>) -> Result<SharedSource, StreamError> {
    let config = settings::client_config(spec)?;
    let read_committed = config.get("isolation.level") == Some("read_committed");
    Ok(Arc::new(KafkaSource {
        topic: spec.topic.to_string(),
        config,
        fetch_timeout: spec.fetch_timeout,
        read_committed,
        queues,
        asking: Mutex::new(None),
    }))
}

struct KafkaSource {
    topic: String,
    config: ClientConfig,
    fetch_timeout: Duration,
    read_committed: bool,
    queues: Arc<Queues>,
    /// The client that questions are asked through; made anew after a failure.
    asking: Mutex<Option<Arc<Client>>>,
}

impl KafkaSource {
    fn client(&self) -> Result<Arc<Client>, StreamError> {
        let mut asking = self.asking.lock();
        if let Some(client) = &*asking {
            return Ok(client.clone());
        }
        let client = Arc::new(client::connect(&self.config, &self.topic)?);
        *asking = Some(client.clone());
        Ok(client)
    }

    /// Asks the brokers; a client that failed is not asked again. The question ends as soon as the client knows that
    /// nobody answers: the library itself would wait on.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Client, &str) -> Result<T, StreamError> + Send + 'static,
    ) -> Result<T, StreamError> {
        let (client, topic) = (self.client()?, self.topic.clone());
        // It answered last time: whatever went wrong since then may be over.
        client.context().forget();
        let asked = client.clone();
        let answered = blocking(move || question(&asked, &topic));
        let troubled = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                if let Some(trouble) = client::trouble(&client, &self.topic) {
                    return trouble;
                }
            }
        };
        let answer = tokio::select! {
            answer = answered => answer,
            trouble = troubled => Err(trouble),
        };
        if matches!(answer, Err(StreamError::Unreachable { .. } | StreamError::Denied { .. })) {
            *self.asking.lock() = None;
        }
        answer
    }

    async fn since(&self, partition: u32, from_ms: i64) -> Result<NextOffset, StreamError> {
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        let found = self
            .ask(move |client, topic| {
                let mut list = TopicPartitionList::new();
                let failed = |error| client::failed(client, topic, &error);
                list.add_partition_offset(topic, number, Offset::Offset(from_ms.max(0))).map_err(failed)?;
                let found = client.offsets_for_times(list, ASK).map_err(failed)?;
                Ok(found.find_partition(topic, number).map(|element| element.offset()))
            })
            .await?;
        match found {
            Some(Offset::Offset(offset)) => Ok(NextOffset::new(u64::try_from(offset).unwrap_or(0))),
            // No message is that young: the end.
            _ => Ok(self.watermarks(partition).await?.high),
        }
    }
}

#[async_trait]
impl StreamSource for KafkaSource {
    async fn partitions(&self) -> Result<Vec<u32>, StreamError> {
        self.ask(|client, topic| client::partitions(client, topic, ASK)).await
    }

    async fn topics(&self) -> Result<Vec<TopicName>, StreamError> {
        self.ask(|client, _| identity::topics(client, ASK)).await
    }

    async fn topic_id(&self) -> Result<Option<Arc<str>>, StreamError> {
        self.ask(|client, topic| identity::topic_id(client, topic, ASK)).await
    }

    async fn watermarks(&self, partition: u32) -> Result<Watermarks, StreamError> {
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        self.ask(move |client, topic| reader::watermarks(client, topic, number, ASK)).await
    }

    async fn resolve(&self, partition: u32, at: &StartAt, now_ms: i64) -> Result<NextOffset, StreamError> {
        match at {
            StartAt::Earliest => Ok(self.watermarks(partition).await?.low),
            StartAt::Latest => Ok(self.watermarks(partition).await?.high),
            StartAt::Ago(ago) => {
                let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
                self.since(partition, now_ms.saturating_sub(ago)).await
            }
            StartAt::TimestampMs(from_ms) => self.since(partition, *from_ms).await,
            StartAt::Offset(offset) => Ok(*offset),
        }
    }

    async fn open(&self, partition: u32, from: NextOffset) -> Result<Box<dyn PartitionReader>, StreamError> {
        // A reader's client says nothing of a partition that is not there, and nothing for long of a missing topic.
        let partitions = self.partitions().await?;
        if !partitions.contains(&partition) {
            return Err(StreamError::PartitionMissing { topic: self.topic.clone(), partition });
        }
        let part = self.queues.part(partitions.len());
        let client = client::connect(&settings::with_queue(&self.config, part.bytes), &self.topic)?;
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        let (topic, timeout, committed) = (self.topic.clone(), self.fetch_timeout, self.read_committed);
        let reader = KafkaReader::open(client, &topic, number, from, timeout, committed, part)?;
        Ok(Box::new(reader))
    }
}
