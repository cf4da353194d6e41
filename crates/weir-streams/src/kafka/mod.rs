//! Apache Kafka, through librdkafka.
//!
//! Partitions are started at explicit offsets; no group is joined and nothing is committed. The readers of a topic share a
//! few clients, in which each has a queue of its own. Payloads are decoded where the client keeps them.

mod client;
mod clients;
mod diagnosis;
mod identity;
mod jaas;
mod login;
mod messages;
mod offsets;
mod reader;
mod settings;
mod shared;
mod stores;
#[cfg(feature = "testing")]
pub mod testing;

use crate::{
    contract::{FetchLimit, PartitionReader, SharedSource, StreamError, StreamSource, Watermarks},
    probe::{self, PartitionFact, ProbeError, ProbeStep},
    queues::Queues,
};
use async_trait::async_trait;
use client::Client;
use clients::{Clients, Seen};
use offsets::Question;
use parking_lot::Mutex;
use rdkafka::{ClientConfig, consumer::Consumer};
use reader::{How, KafkaReader};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use weir_types::{NextOffset, StartAt, StreamSpec, TopicName};

/// How long a broker may take to answer a question.
const ASK: Duration = Duration::from_secs(5);
/// While a question is asked, lost connections are looked for this often.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A topic on Kafka as a table's settings describe it; the brokers are not asked yet.
pub fn source(spec: &StreamSpec, queues: Arc<Queues>) -> Result<SharedSource, StreamError> {
    let config = settings::client_config(spec)?;
    let read_committed = config.get("isolation.level") == Some("read_committed");
    // The library gives up a fetch itself once it has waited for both.
    let ms = |key: &str, usual| config.get(key).and_then(|ms| ms.parse().ok()).unwrap_or(usual);
    let stalls_after = Duration::from_millis(ms("socket.timeout.ms", 60_000) + ms("fetch.wait.max.ms", 500));
    Ok(Arc::new(KafkaSource {
        topic: spec.topic.to_string(),
        clients: Clients::new(spec.topic.to_string(), config.clone(), queues),
        config,
        fetch_timeout: spec.fetch_timeout,
        read_committed,
        asking: Mutex::new(None),
        seen: tokio::sync::Mutex::new(None),
        stalls_after,
    }))
}

struct KafkaSource {
    topic: String,
    config: ClientConfig,
    fetch_timeout: Duration,
    read_committed: bool,
    /// What readers read through.
    clients: Clients,
    /// The client that questions are asked through; made anew after a failure.
    asking: Mutex<Option<Arc<Client>>>,
    /// The topic as it was last seen, and when.
    seen: tokio::sync::Mutex<Option<(Instant, Seen)>>,
    /// Where nothing comes for so long of what the log holds, nothing will.
    stalls_after: Duration,
}

/// Readers that are opened at once are served by one question: what it said serves for so long.
const SEEN_SERVES: Duration = Duration::from_secs(1);

/// Brokers that are looked at where none answered: a person waits.
const ACCEPTING_ASKED: usize = 3;
/// How long each may take to accept a connection.
const ACCEPTS_WITHIN: Duration = Duration::from_secs(1);

/// A broker of the list, where it accepts a connection.
fn accepting(broker: &str) -> Option<String> {
    let broker = broker.trim().rsplit("//").next()?.to_owned();
    let address = std::net::ToSocketAddrs::to_socket_addrs(&broker).ok()?.next()?;
    std::net::TcpStream::connect_timeout(&address, ACCEPTS_WITHIN).ok().map(|_| broker)
}

/// Runs a call that waits for the broker on a thread that may wait.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, StreamError> + Send + 'static,
) -> Result<T, StreamError> {
    match tokio::task::spawn_blocking(call).await {
        Ok(result) => result,
        Err(failed) => match failed.try_into_panic() {
            Ok(panicked) => std::panic::resume_unwind(panicked),
            // The process is ending: what it would have brought is for nobody.
            Err(_) => std::future::pending().await,
        },
    }
}

impl KafkaSource {
    fn client(&self) -> Result<Arc<Client>, StreamError> {
        let kept = self.asking.lock().clone();
        // One that lost all brokers may have lost them for ever (confluentinc/librdkafka#5301).
        if let Some(client) = kept
            && client::trouble(&client, &self.topic).is_none()
        {
            return Ok(client);
        }
        let client = Arc::new(client::connect(&self.config, &self.topic)?);
        *self.asking.lock() = Some(client.clone());
        Ok(client)
    }

    /// Asks the brokers; a client that failed is not asked again. The question ends as soon as the client knows that
    /// nobody answers: the library itself would wait on.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Client, &str) -> Result<T, StreamError> + Send + 'static,
    ) -> Result<T, StreamError> {
        let (client, topic) = (self.client()?, self.topic.clone());
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
        match &answer {
            Ok(_) => client.context().note_answer(),
            Err(StreamError::Unreachable { .. } | StreamError::Denied { .. }) => *self.asking.lock() = None,
            Err(_) => {}
        }
        answer
    }

    /// The connection test: what of the topic can be read. Rights to read show only when something is fetched.
    async fn probed(&self, only: Option<&[u32]>) -> Result<Vec<PartitionFact>, ProbeError> {
        let client = self.client()?;
        let of = |error: StreamError| match (&error, client.context().finding()) {
            (StreamError::Unreachable { .. } | StreamError::Denied { .. }, Some(found)) => found.into_probe_error(),
            _ => error.into(),
        };
        let mut partitions = self.partitions().await.map_err(of)?;
        if let Some(missing) = probe::missing_partitions(only, &partitions) {
            return Err(missing);
        }
        partitions.retain(|partition| only.is_none_or(|only| only.contains(partition)));
        let lows = self.offsets(&partitions, Question::Oldest).await.map_err(of)?;
        let highs = self.offsets(&partitions, Question::End).await.map_err(of)?;
        if let (Some(partition), Some(end)) = (partitions.first(), highs.first()) {
            let mut reader = self.open(*partition, *end).await.map_err(of)?;
            reader.next_batch(FetchLimit { max_messages: 1, max_bytes: 1 }).await.map_err(of)?;
        }
        let marks = lows.into_iter().zip(highs).map(|(low, high)| Watermarks { low, high });
        let fact = |(partition, watermarks)| PartitionFact { partition, watermarks };
        Ok(partitions.into_iter().zip(marks).map(fact).collect())
    }

    /// What is wrong where nobody answered: somebody who takes connections. None where nobody does.
    async fn accepted(&self) -> Option<ProbeError> {
        let brokers = self.config.get("bootstrap.servers").unwrap_or_default().to_owned();
        let host =
            blocking(move || Ok(brokers.split(',').take(ACCEPTING_ASKED).find_map(accepting))).await.ok().flatten()?;
        Some(ProbeError {
            step: ProbeStep::Answer,
            what: format!("{host} accepted the connection and did not answer"),
            remedy: "look whether a Kafka broker listens there and whether it hangs; where a proxy or a firewall stands between, \
                     whether that passes on what is sent"
                .to_owned(),
        })
    }

    /// The topic as it is, `partition` in it.
    async fn with(&self, partition: u32) -> Result<Seen, StreamError> {
        let mut seen = self.seen.lock().await;
        if let Some((at, topic)) = &*seen
            && at.elapsed() < SEEN_SERVES
            && topic.partitions.contains(&partition)
        {
            return Ok(topic.clone());
        }
        // The identity first: a client that is made later knows no topic of before.
        let id = self.topic_id().await?;
        let topic = Seen { partitions: self.partitions().await?.into(), id };
        *seen = Some((Instant::now(), topic.clone()));
        if !topic.partitions.contains(&partition) {
            return Err(StreamError::PartitionMissing { topic: self.topic.clone(), partition });
        }
        Ok(topic)
    }

    /// Offsets of some partitions, in their order; the end where no message is as young as asked for.
    async fn offsets(&self, partitions: &[u32], question: Question) -> Result<Vec<NextOffset>, StreamError> {
        let ask = async |partitions: Vec<u32>, question| {
            self.ask(move |client, topic| offsets::offsets(client, topic, &partitions, question, ASK)).await
        };
        let mut found = ask(partitions.to_vec(), question).await?;
        let missing: Vec<usize> = (0..found.len()).filter(|at| found[*at].is_none()).collect();
        if !missing.is_empty() {
            let ends = ask(missing.iter().map(|at| partitions[*at]).collect(), Question::End).await?;
            missing.into_iter().zip(ends).for_each(|(at, end)| found[at] = end);
        }
        let none = |at: usize| StreamError::PartitionMissing { topic: self.topic.clone(), partition: partitions[at] };
        found.into_iter().enumerate().map(|(at, offset)| offset.ok_or_else(|| none(at))).collect()
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
        let found = self.resolve_all(&[partition], at, now_ms).await?;
        found.first().copied().ok_or_else(|| StreamError::PartitionMissing { topic: self.topic.clone(), partition })
    }

    async fn resolve_all(&self, partitions: &[u32], at: &StartAt, now_ms: i64) -> Result<Vec<NextOffset>, StreamError> {
        let question = match at {
            StartAt::Earliest => Question::Oldest,
            StartAt::Latest => Question::End,
            StartAt::Ago(ago) => {
                let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
                Question::Since(now_ms.saturating_sub(ago))
            }
            StartAt::TimestampMs(from_ms) => Question::Since(*from_ms),
            StartAt::Offset(offset) => return Ok(vec![*offset; partitions.len()]),
        };
        self.offsets(partitions, question).await
    }

    async fn probe(&self, only: Option<&[u32]>) -> Result<Vec<PartitionFact>, ProbeError> {
        match probe::within(ProbeStep::Tcp, self.probed(only)).await {
            Err(error) if error.step == ProbeStep::Tcp && diagnosis::is_silence(&error.what) => {
                Err(self.accepted().await.unwrap_or(error))
            }
            found => found,
        }
    }

    async fn open(&self, partition: u32, from: NextOffset) -> Result<Box<dyn PartitionReader>, StreamError> {
        // A client says nothing of a partition that is not there, and nothing for long of a missing topic.
        let seen = self.with(partition).await?;
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        let seat = self.clients.seat(number, &seen, from).await?;
        let how = How {
            fetch_timeout: self.fetch_timeout,
            read_committed: self.read_committed,
            stalls_after: self.stalls_after,
        };
        Ok(Box::new(KafkaReader::new(seat, &self.topic, from, how)))
    }
}
