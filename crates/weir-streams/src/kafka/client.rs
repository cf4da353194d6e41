//! One client of a broker, and what it was last told was wrong.
//!
//! A synchronous call never says why it failed; the cause comes through the client's error callback, which runs while the
//! client is polled. So the cause is kept here and asked for after a failure.

use super::{
    diagnosis::{Finding, How, finding, nobody},
    login, stores,
};
use crate::contract::StreamError;
use parking_lot::Mutex;
use rdkafka::{
    ClientConfig, ClientContext,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
};
use std::{
    ops::Deref,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
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
#[derive(Default)]
pub(super) struct Context {
    trouble: Mutex<Trouble>,
    /// A question of it was answered once.
    answered: AtomicBool,
    how: How,
    /// Who asks for tokens, where the client logs in with those of an authority.
    tokens: Option<crate::tokens::Client>,
}

impl Context {
    /// What is wrong with the connection, as far as the client was told: it does not get over it, or no broker answers.
    pub(super) fn finding(&self) -> Option<Finding> {
        let trouble = self.trouble.lock();
        match &trouble.cause {
            Some((code, text)) if fatal(*code) || trouble.all_down => Some(finding(&self.how, *code, text)),
            None if trouble.all_down => Some(nobody("no broker answers")),
            _ => None,
        }
    }

    /// A question was answered.
    pub(super) fn note_answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Drops what may be over: the trouble of a client that was answered before. What one is told that was not is its cause,
    /// which may come before the first question and is not told twice.
    pub(super) fn forget(&self) {
        if self.answered.load(Ordering::Relaxed) {
            *self.trouble.lock() = Trouble::default();
        }
    }
}

impl ClientContext for Context {
    /// The library makes tokens for tests itself, and asks only where it does not.
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    /// Runs while the client is polled, which no thread of the runtime may wait in for long: it is told to make room.
    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let client = self.tokens.clone().ok_or("nothing says who gives tokens")?;
        let asked = move || {
            // Its own: this may be a thread of a runtime, in which another is not entered.
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.map_err(|error| error.to_string())?;
                let (token, life) = runtime.block_on(client.token())?;
                let until = SystemTime::now() + life;
                let until = until.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
                Ok(OAuthToken {
                    token,
                    principal_name: client.id,
                    lifetime_ms: i64::try_from(until).unwrap_or(i64::MAX),
                })
            })
            .join()
            .unwrap_or_else(|_| Err("the question for a token broke off".to_owned()))
        };
        let threaded = tokio::runtime::Handle::try_current()
            .is_ok_and(|runtime| runtime.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread);
        let token = if threaded { tokio::task::block_in_place(asked) } else { asked() };
        Ok(token?)
    }

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

/// Makes a client; nothing is asked of the brokers yet. Waits for the disk where settings name files.
pub(super) fn connect(config: &ClientConfig, topic: &str) -> Result<Client, StreamError> {
    // That a connection was closed is told by the log alone, on this level.
    let made = stores::load(config, topic)?.set_log_level(RDKafkaLogLevel::Info).create_with_context(Context {
        how: How::of(config),
        tokens: login::asks(config),
        ..Context::default()
    });
    made.map(|consumer| Client { consumer: Some(consumer), polled: Mutex::new(None) })
        .map_err(|error| not_made(topic, &error))
}

/// The library begins with the setting that it cannot use: `ssl.key.location failed: ..`.
fn not_made(topic: &str, error: &KafkaError) -> StreamError {
    let text = match error {
        KafkaError::ClientCreation(text) => text.clone(),
        error => error.to_string(),
    };
    let said = text.strip_prefix("Failed to parse ").and_then(|text| text.split_once(" PKCS#12 file: "));
    let (key, reason) = match said.or_else(|| text.split_once(" failed: ")) {
        Some((key, why)) if key.starts_with("ssl.") && !key.contains(' ') => {
            let mismatch = why.contains("key values mismatch") || why.contains("key type mismatch");
            let remedy = match key {
                _ if mismatch => "the key is not that of the certificate: give the two that were made together",
                "ssl.cipher.suites" => {
                    "give OpenSSL's names of ciphers, as in ECDHE-RSA-AES256-GCM-SHA384, or remove it"
                }
                "ssl.keystore.location" => {
                    "ssl.keystore.password does not open it, or its encryption is too old for \
                                            OpenSSL: correct the password, or write the store anew"
                }
                key if key.starts_with("ssl.key.") => "it is no key in PEM, or ssl.key.password does not open it",
                _ => "it holds no certificate in PEM",
            };
            (stores::java_name(key), format!("{remedy} ({why})"))
        }
        _ => ("stream.kafka", text),
    };
    StreamError::Setting { topic: topic.to_owned(), key: key.to_owned(), reason }
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
    client.context().finding().map(|found| found.into_error(topic))
}

/// Waiting does not help a client that is told this. A broker whose name is not known is not among them: others may be.
fn fatal(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL)
}

/// Why a call failed, with the cause that the client was told, if it is told one soon.
pub(super) fn failed(client: &Client, topic: &str, error: &KafkaError) -> StreamError {
    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
    match code {
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
            return missing(topic);
        }
        RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::OperationTimedOut => {}
        _ => return finding(&client.context().how, code, &error.to_string()).into_error(topic),
    }
    let until = Instant::now() + CAUSE_WAIT;
    while Instant::now() < until {
        if let Some(trouble) = trouble(client, topic) {
            return trouble;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let cause = client.context().trouble.lock().cause.clone();
    let found = cause.map(|(code, text)| finding(&client.context().how, code, &text));
    found.unwrap_or_else(|| nobody(&error.to_string())).into_error(topic)
}

/// An error of librdkafka in a message of a partition.
pub(super) fn of_code(topic: &str, partition: u32, code: RDKafkaErrorCode) -> StreamError {
    match code {
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => missing(topic),
        RDKafkaErrorCode::UnknownPartition => StreamError::PartitionMissing { topic: topic.into(), partition },
        code => finding(&How::default(), code, &code.to_string()).into_error(topic),
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
        hint: " on the brokers: create it, or correct its name (stream.kafka.topic.name)".into(),
    }
}
