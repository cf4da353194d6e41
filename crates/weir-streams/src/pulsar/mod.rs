//! Apache Pulsar, through its own protocol.
//!
//! Each partition has a topic of its own, read from a message on with a subscription that ends with the reader: nothing is
//! acknowledged, no cursor is kept on the brokers. Offsets are made of ledger, entry and place in the batch (`position.rs`).

mod client;
mod messages;
mod oauth;
mod position;
mod reader;
mod settings;
#[cfg(feature = "testing")]
pub mod testing;
mod why;
mod window;

use crate::{
    contract::{FetchLimit, PartitionReader, SharedSource, StreamError, StreamSource, Watermarks},
    probe::{self, PartitionFact, ProbeError, ProbeStep},
    queues::Queues,
};
use async_trait::async_trait;
use client::{Client, Failure};
use pulsar::message::proto::command_get_topics_of_namespace::Mode;
use reader::{Place, PulsarReader};
use settings::Settings;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::Instant;
use weir_types::{NextOffset, StartAt, StreamSpec, TopicName};

/// Readers that are opened at once are served by one question: what it said serves for so long.
const SEEN_SERVES: Duration = Duration::from_secs(1);

/// A topic on Pulsar as a table's settings describe it; the brokers are not asked yet.
pub fn source(spec: &StreamSpec, queues: Arc<Queues>) -> Result<SharedSource, StreamError> {
    Ok(Arc::new(PulsarSource {
        topic: spec.topic.to_string(),
        settings: Settings::of(spec)?,
        fetch_timeout: spec.fetch_timeout,
        queues,
        client: tokio::sync::Mutex::new(None),
        seen: tokio::sync::Mutex::new(None),
    }))
}

struct PulsarSource {
    topic: String,
    settings: Settings,
    fetch_timeout: Duration,
    queues: Arc<Queues>,
    /// Made anew after a failure.
    client: tokio::sync::Mutex<Option<Client>>,
    /// How many partitions the topic had when it was last asked; 0 where it is not partitioned.
    seen: tokio::sync::Mutex<Option<(Instant, u32)>>,
}

impl PulsarSource {
    fn failed(&self, failure: Failure) -> StreamError {
        failure.into_error(&self.topic)
    }

    async fn client(&self) -> Result<Client, Failure> {
        let mut client = self.client.lock().await;
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let made = client::connect(&self.settings).await?;
        Ok(client.insert(made).clone())
    }

    /// Asks the brokers; a client that failed is not asked again.
    async fn ask<T>(&self, question: impl AsyncFnOnce(Client) -> Result<T, Failure>) -> Result<T, Failure> {
        let answer = match self.client().await {
            Ok(client) => question(client).await,
            Err(failure) => Err(failure),
        };
        if answer.as_ref().is_err_and(|failure| failure.step < ProbeStep::Topic) {
            *self.client.lock().await = None;
        }
        answer
    }

    /// How many partitions the topic has, 0 where it is not partitioned. A topic is never made by asking for it.
    async fn count(&self) -> Result<u32, Failure> {
        self.ask(async |client| {
            let count = client::answer(client.lookup_partitioned_topic_number(&self.settings.topic)).await?;
            if count > 0 {
                return Ok(count);
            }
            let listed = client.get_topics_of_namespace(self.settings.namespace.clone(), Mode::All);
            match client::answer(listed).await {
                Ok(topics) if topics.contains(&self.settings.topic) => Ok(0),
                // Who may read a topic need not have the right to list all: the broker says at the first reading.
                Err(failure) if failure.step == ProbeStep::Acl => Ok(0),
                Ok(_) => Err(Failure::no_topic(&self.settings.topic)),
                Err(failure) => Err(failure),
            }
        })
        .await
    }

    async fn seen(&self) -> Result<u32, StreamError> {
        let mut seen = self.seen.lock().await;
        if let Some((at, count)) = *seen
            && at.elapsed() < SEEN_SERVES
        {
            return Ok(count);
        }
        let count = self.count().await.map_err(|failure| self.failed(failure))?;
        *seen = Some((Instant::now(), count));
        Ok(count)
    }

    async fn place(&self, partition: u32) -> Result<Place, StreamError> {
        let count = self.seen().await?;
        if partition >= count.max(1) {
            return Err(StreamError::PartitionMissing { topic: self.topic.clone(), partition });
        }
        let client = self.client().await.map_err(|failure| self.failed(failure))?;
        let topic = self.settings.partition_topic(count, partition);
        Ok(Place { client, topic, shown: self.topic.clone(), partition })
    }

    /// What a step of a partition said; a client that failed is not used again.
    async fn noted<T>(&self, answer: Result<T, StreamError>) -> Result<T, StreamError> {
        if matches!(answer, Err(StreamError::Unreachable { .. } | StreamError::Denied { .. })) {
            *self.client.lock().await = None;
        }
        answer
    }

    async fn probed(&self, only: Option<&[u32]>) -> Result<Vec<PartitionFact>, ProbeError> {
        let count = self.count().await.map_err(Failure::into_probe_error)?;
        let mut partitions: Vec<u32> = (0..count.max(1)).collect();
        if let Some(missing) = probe::missing_partitions(only, &partitions) {
            return Err(missing);
        }
        partitions.retain(|partition| only.is_none_or(|only| only.contains(partition)));
        let fact = |partition| async move {
            let watermarks = self.watermarks(partition).await?;
            Ok::<_, StreamError>(PartitionFact { partition, watermarks })
        };
        let facts = futures::future::try_join_all(partitions.iter().map(|partition| fact(*partition))).await?;
        if let Some(first) = facts.first() {
            let mut reader = self.open(first.partition, first.watermarks.high).await?;
            reader.next_batch(FetchLimit { max_messages: 1, max_bytes: 1 }).await?;
        }
        Ok(facts)
    }
}

#[async_trait]
impl StreamSource for PulsarSource {
    async fn partitions(&self) -> Result<Vec<u32>, StreamError> {
        let count = self.count().await.map_err(|failure| self.failed(failure))?;
        Ok((0..count.max(1)).collect())
    }

    async fn topics(&self) -> Result<Vec<TopicName>, StreamError> {
        let listed = self.ask(async |client| {
            client::answer(client.get_topics_of_namespace(self.settings.namespace.clone(), Mode::All)).await
        });
        let listed = listed.await.map_err(|failure| self.failed(failure))?;
        let own = format!("persistent://{}/", self.settings.namespace);
        let short = |name: &String| {
            let name = name.strip_prefix(&own)?;
            let whole = name.rsplit_once("-partition-").filter(|(_, at)| at.parse::<u32>().is_ok());
            TopicName::parse(whole.map_or(name, |(whole, _)| whole)).ok()
        };
        Ok(listed.iter().filter_map(short).collect::<BTreeSet<_>>().into_iter().collect())
    }

    async fn watermarks(&self, partition: u32) -> Result<Watermarks, StreamError> {
        let marks = self.place(partition).await?.watermarks().await;
        self.noted(marks).await
    }

    async fn resolve(&self, partition: u32, at: &StartAt, now_ms: i64) -> Result<NextOffset, StreamError> {
        let since = match at {
            StartAt::Offset(offset) => return Ok(*offset),
            StartAt::Earliest => return Ok(self.watermarks(partition).await?.low),
            StartAt::Latest => return Ok(self.watermarks(partition).await?.high),
            StartAt::Ago(ago) => now_ms.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)),
            StartAt::TimestampMs(from_ms) => *from_ms,
        };
        let found = self.place(partition).await?.since(since).await;
        match self.noted(found).await? {
            Some(found) => Ok(found),
            None => Ok(self.watermarks(partition).await?.high),
        }
    }

    async fn probe(&self, only: Option<&[u32]>) -> Result<Vec<PartitionFact>, ProbeError> {
        probe::within(ProbeStep::Tcp, self.probed(only)).await
    }

    async fn open(&self, partition: u32, from: NextOffset) -> Result<Box<dyn PartitionReader>, StreamError> {
        let place = self.place(partition).await?;
        let part = self.queues.part(1, self.seen().await?.max(1) as usize);
        let reader = PulsarReader::open(place, from, self.fetch_timeout, self.settings.stitch, part).await;
        Ok(Box::new(self.noted(reader).await?))
    }

    fn dense(&self) -> bool {
        false
    }
}
