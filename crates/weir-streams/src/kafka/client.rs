//! One client of a broker, and what it was last told was wrong.
//!
//! A synchronous call never says why it failed; the cause comes through the client's error callback, which runs while the
//! client is polled. So the cause is kept here and asked for after a failure.

use crate::contract::StreamError;
use parking_lot::Mutex;
use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
};
use std::{
    ops::Deref,
    time::{Duration, Instant},
};

/// How long the cause of a failure is waited for: errors of a connection come within a second or two.
const CAUSE_WAIT: Duration = Duration::from_millis(1500);

/// Many readers look at one client: it is polled no more often than this.
const POLL_EVERY: Duration = Duration::from_millis(10);
/// Events that one poll takes at most, so that no reader is held up by a client that has much to tell.
const EVENTS: usize = 64;

#[derive(Debug, Default)]
struct Trouble {
    /// The first error that says more than that all brokers are down.
    cause: Option<(RDKafkaErrorCode, String)>,
    all_down: bool,
}

/// Keeps what the client says of itself.
#[derive(Debug, Default)]
pub(super) struct Context {
    trouble: Mutex<Trouble>,
}

impl Context {
    /// Drops what is known to be over.
    pub(super) fn forget(&self) {
        *self.trouble.lock() = Trouble::default();
    }
}

impl ClientContext for Context {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "FAIL" {
            let mut trouble = self.trouble.lock();
            trouble.cause.get_or_insert((RDKafkaErrorCode::BrokerTransportFailure, message.to_owned()));
        }
        tracing::debug!(facility, message, "kafka client");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        let mut trouble = self.trouble.lock();
        if code == RDKafkaErrorCode::AllBrokersDown {
            trouble.all_down = true;
        } else {
            trouble.cause = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Context {}

/// A consumer that keeps the causes of its failures. Closing one waits for its threads, a tenth of a second: that is
/// done aside, where a runtime is at hand.
pub(super) struct Client {
    consumer: Option<BaseConsumer<Context>>,
    /// When it was last polled.
    polled: Mutex<Option<Instant>>,
}

impl Deref for Client {
    type Target = BaseConsumer<Context>;

    fn deref(&self) -> &Self::Target {
        self.consumer.as_ref().expect("it is taken only when dropped")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let (Some(consumer), Ok(runtime)) = (self.consumer.take(), tokio::runtime::Handle::try_current()) {
            // Nobody waits for it.
            drop(runtime.spawn_blocking(move || drop(consumer)));
        }
    }
}

pub(super) fn connect(config: &ClientConfig, topic: &str) -> Result<Client, StreamError> {
    let made = config.create_with_context(Context::default());
    made.map(|consumer| Client { consumer: Some(consumer), polled: Mutex::new(None) }).map_err(|error| {
        StreamError::Setting { topic: topic.to_owned(), key: "stream.kafka".into(), reason: error.to_string() }
    })
}

/// Runs the client's callbacks, unless somebody did so just now.
fn poll(client: &Client) {
    let Some(mut polled) = client.polled.try_lock() else { return };
    if polled.is_some_and(|at| at.elapsed() < POLL_EVERY) {
        return;
    }
    *polled = Some(Instant::now());
    for _ in 0..EVENTS {
        // Nothing is fetched through this queue: partitions have their own.
        match client.poll(Duration::ZERO) {
            Some(Err(error)) => tracing::debug!(%error, "kafka client"),
            Some(Ok(_)) => {}
            None => return,
        }
    }
}

/// What is wrong with the connection, where something is; polls, so that callbacks run.
pub(super) fn trouble(client: &Client, topic: &str) -> Option<StreamError> {
    poll(client);
    let trouble = client.context().trouble.lock();
    match &trouble.cause {
        Some((code, reason)) if fatal(*code) => Some(said(topic, *code, reason)),
        Some((code, reason)) if trouble.all_down => Some(said(topic, *code, reason)),
        None if trouble.all_down => {
            Some(StreamError::Unreachable { topic: topic.into(), reason: "no broker answers".into() })
        }
        _ => None,
    }
}

/// Waiting does not help a client that is told this. A broker whose name is not known is not among them: others may be.
fn fatal(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL)
}

fn said(topic: &str, code: RDKafkaErrorCode, reason: &str) -> StreamError {
    let (topic, reason) = (topic.to_owned(), reason.to_owned());
    match code {
        RDKafkaErrorCode::Authentication
        | RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::GroupAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed => StreamError::Denied { topic, reason },
        _ => StreamError::Unreachable { topic, reason },
    }
}

/// Why a call failed, with the cause that the client was told, if it is told one soon.
pub(super) fn failed(client: &Client, topic: &str, error: &KafkaError) -> StreamError {
    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
    match code {
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
            return missing(topic);
        }
        RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::OperationTimedOut => {}
        _ => return said(topic, code, &error.to_string()),
    }
    let until = Instant::now() + CAUSE_WAIT;
    while Instant::now() < until {
        if let Some(trouble) = trouble(client, topic) {
            return trouble;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let cause = client.context().trouble.lock().cause.clone();
    match cause {
        Some((code, reason)) => said(topic, code, &reason),
        None => StreamError::Unreachable { topic: topic.into(), reason: error.to_string() },
    }
}

/// An error of librdkafka in a message of a partition.
pub(super) fn of_code(topic: &str, partition: u32, code: RDKafkaErrorCode) -> StreamError {
    match code {
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => missing(topic),
        RDKafkaErrorCode::UnknownPartition => StreamError::PartitionMissing { topic: topic.into(), partition },
        code => said(topic, code, &code.to_string()),
    }
}

/// The topic's partitions, ascending, asked of the broker; waits for the answer.
pub(super) fn partitions(client: &Client, topic: &str, timeout: Duration) -> Result<Vec<u32>, StreamError> {
    let metadata = client.fetch_metadata(Some(topic), timeout).map_err(|error| failed(client, topic, &error))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let Some(found) = found else { return Err(missing(topic)) };
    if let Some(code) = found.error() {
        return Err(of_code(topic, 0, RDKafkaErrorCode::from(code)));
    }
    let mut numbers: Vec<u32> =
        found.partitions().iter().filter_map(|partition| u32::try_from(partition.id()).ok()).collect();
    numbers.sort_unstable();
    if numbers.is_empty() { Err(missing(topic)) } else { Ok(numbers) }
}

pub(super) fn missing(topic: &str) -> StreamError {
    StreamError::TopicMissing {
        topic: topic.to_owned(),
        hint: " on the brokers: create it, or correct stream.kafka.topic.name".into(),
    }
}
