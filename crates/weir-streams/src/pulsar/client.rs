//! The connection to the brokers, and what their errors mean.

use super::{oauth::Login, settings::Settings, why::why};
use crate::{
    contract::StreamError,
    probe::{ProbeError, ProbeStep},
};
use pulsar::{
    Authentication, ConnectionRetryOptions, Consumer, ConsumerBuilder, ConsumerOptions, Error, OperationRetryOptions,
    Pulsar, SubType, TokioExecutor,
    consumer::InitialPosition,
    error::{ConnectionError, ConsumerError, ServiceDiscoveryError},
    message::proto::{MessageIdData, ServerError},
    reader::Reader,
};
use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use weir_base::outside;

pub(super) type Client = Pulsar<TokioExecutor>;
pub(super) type Messages = Consumer<Vec<u8>, TokioExecutor>;
pub(super) type Sought = Reader<Vec<u8>, TokioExecutor>;

/// How long a broker may take to answer a question.
pub(super) const ASK: Duration = Duration::from_secs(5);

/// Where an operation ended.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) step: ProbeStep,
    what: String,
    remedy: &'static str,
}

impl Failure {
    pub(super) fn new(step: ProbeStep, what: impl Into<String>, remedy: &'static str) -> Self {
        Self { step, what: what.into(), remedy }
    }

    pub(super) fn no_topic(topic: &str) -> Self {
        Self::new(ProbeStep::Topic, format!("{topic} is not there"), "create it, or correct stream.pulsar.topic.name")
    }

    pub(super) fn silent() -> Self {
        let what = format!("no answer within {} s", ASK.as_secs());
        Self::new(ProbeStep::Tcp, what, "look whether the brokers run, and whether this node may reach them")
    }

    pub(super) fn into_error(self, topic: &str) -> StreamError {
        let topic = topic.to_owned();
        let reason = format!("{}: {}: {}", self.step, self.what, self.remedy);
        match self.step {
            ProbeStep::Topic => StreamError::TopicMissing { topic, hint: format!(": {}", self.remedy) },
            ProbeStep::Login | ProbeStep::Acl => StreamError::Denied { topic, reason },
            ProbeStep::Settings => StreamError::SecretMissing {
                topic,
                key: "stream.pulsar.tlsTrustCertsFilePath".into(),
                reason: self.what,
            },
            _ => StreamError::Unreachable { topic, reason },
        }
    }

    pub(super) fn into_probe_error(self) -> ProbeError {
        ProbeError { step: self.step, what: self.what, remedy: self.remedy.to_owned() }
    }
}

/// What an error of the library means.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        if let Some(code) = server_error(&error) {
            return of_server(code, text);
        }
        // What is there came, and cannot be taken apart.
        if matches!(error, Error::Consumer(ConsumerError::Io(_)))
            || matches!(connection_of(&error), Some(ConnectionError::Decoding(_)))
        {
            let what = format!("the next entry cannot be taken apart ({text})");
            let remedy = "it may be an encrypted batch, or part of a compressed message that was sent in chunks, and neither is \
                          read: have producers send messages as they are and whole, and resume behind this one with consumeFrom";
            return Self::new(ProbeStep::Read, what, remedy);
        }
        match io_of(&error).map(io::Error::kind) {
            _ if text.contains("certificate") || text.contains("TLS") || text.contains("InvalidCertificate") => {
                let remedy = "name the authority that signed the broker's certificate in stream.pulsar.tlsTrustCertsFilePath, \
                              and the broker as its certificate does";
                Self::new(ProbeStep::Tls, text, remedy)
            }
            Some(io::ErrorKind::InvalidData) => {
                let remedy = "look whether the port speaks TLS: pulsar+ssl:// is for those that do";
                Self::new(ProbeStep::Tls, text, remedy)
            }
            _ if matches!(connection_of(&error), Some(ConnectionError::NotFound))
                || text.contains("lookup address")
                || text.contains("obtaining socket address")
                || text.contains("DnsLookup") =>
            {
                let remedy = "correct the host in stream.pulsar.bootstrap.servers, or what this node knows of names";
                Self::new(ProbeStep::Dns, text, remedy)
            }
            _ if matches!(error, Error::Authentication(_))
                || matches!(connection_of(&error), Some(ConnectionError::Authentication(_))) =>
            {
                let remedy = "look at stream.pulsar.issuerUrl and stream.pulsar.credsFilePath";
                Self::new(ProbeStep::Login, text, remedy)
            }
            Some(io::ErrorKind::TimedOut) | Some(io::ErrorKind::ConnectionRefused) | None | Some(_) => {
                let remedy = "look whether the brokers run, and whether this node may reach the port of \
                              stream.pulsar.bootstrap.servers (with pulsar+ssl:// where the port speaks TLS)";
                Self::new(ProbeStep::Tcp, text, remedy)
            }
        }
    }
}

fn of_server(code: ServerError, text: String) -> Failure {
    match code {
        ServerError::AuthenticationError => {
            let remedy = "correct stream.pulsar.authenticationToken, or issuerUrl and credsFilePath";
            Failure::new(ProbeStep::Login, text, remedy)
        }
        // What is refused to one who did not log in at all is told in the same way.
        ServerError::AuthorizationError => {
            let remedy =
                "give the role of the token the right to consume the topic (pulsar-admin topics grant-permission)";
            Failure::new(ProbeStep::Acl, text, remedy)
        }
        ServerError::TopicNotFound | ServerError::InvalidTopicName => {
            Failure::new(ProbeStep::Topic, text, "create it, or correct stream.pulsar.topic.name")
        }
        _ => Failure::new(ProbeStep::Read, text, "look at the broker's log"),
    }
}

fn connection_of(error: &Error) -> Option<&ConnectionError> {
    match error {
        Error::Connection(error)
        | Error::Consumer(ConsumerError::Connection(error))
        | Error::ServiceDiscovery(ServiceDiscoveryError::Connection(error)) => Some(error),
        _ => None,
    }
}

fn server_error(error: &Error) -> Option<ServerError> {
    match (error, connection_of(error)) {
        (_, Some(ConnectionError::PulsarError(code, _))) => *code,
        (Error::ServiceDiscovery(ServiceDiscoveryError::Query(code, _)), _) => *code,
        (Error::ServiceDiscovery(ServiceDiscoveryError::NotFound), _) => Some(ServerError::TopicNotFound),
        _ => None,
    }
}

fn io_of(error: &Error) -> Option<&io::Error> {
    match connection_of(error) {
        Some(ConnectionError::Io(error)) => Some(error),
        _ => None,
    }
}

/// Connects to the first broker that answers.
pub(super) async fn connect(settings: &Settings) -> Result<Client, Failure> {
    let trust = settings.trust.as_deref().map(|path| {
        outside::small_file(path).map_err(|why| {
            let what =
                format!("the file {path}, which cannot be read on this node ({why}): put it there, readable for it");
            Failure::new(ProbeStep::Settings, what, "then try again")
        })
    });
    let trust = trust.transpose()?;
    let mut failed = None;
    for url in &settings.urls {
        let mut builder = Pulsar::builder(url, TokioExecutor)
            // Whoever reads tries again by itself: an error is told soon.
            .with_connection_retry_options(ConnectionRetryOptions {
                max_retries: 1,
                connection_timeout: ASK,
                ..ConnectionRetryOptions::default()
            })
            .with_operation_retry_options(OperationRetryOptions {
                operation_timeout: ASK,
                retry_delay: Duration::from_millis(500),
                max_retries: Some(3),
            });
        if let Some(token) = &settings.token {
            builder = builder.with_auth(Authentication { name: "token".into(), data: token.clone().into_bytes() });
        }
        if let Some(oauth) = &settings.oauth {
            builder = builder.with_auth_provider(Box::new(Login::new(oauth.clone())));
        }
        if let Some(trust) = &trust {
            builder = builder.with_certificate_chain(trust.clone());
        }
        match tokio::time::timeout(ASK, builder.build()).await {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(error)) => failed = Some(error.into()),
            Err(_) => failed = Some(Failure::silent()),
        }
    }
    let failed = failed.unwrap_or_else(Failure::silent);
    if !matches!(failed.step, ProbeStep::Tcp | ProbeStep::Dns) {
        return Err(failed);
    }
    // The client says no more of most failures than that there was one.
    let token = match (&settings.token, &settings.oauth) {
        (_, Some(oauth)) => match Login::new(oauth.clone()).token().await {
            Ok(token) => Some(token),
            Err(what) => {
                let remedy = "look at stream.pulsar.issuerUrl and stream.pulsar.credsFilePath";
                return Err(Failure::new(ProbeStep::Login, what, remedy));
            }
        },
        (token, None) => token.clone(),
    };
    Err(why(settings, token, trust).await.unwrap_or(failed))
}

/// Each reader has a subscription of its own, which ends with it.
static SUBSCRIPTIONS: AtomicU64 = AtomicU64::new(0);

/// Messages of a partition's topic, from an entry on or from the oldest. The whole entry comes, also where its first messages
/// were read. `permits` is how many may wait here.
pub(super) async fn messages(
    client: &Client,
    topic: &str,
    from: Option<MessageIdData>,
    permits: u32,
) -> Result<Messages, Failure> {
    let mut options = ConsumerOptions::default().durable(false).with_initial_position(InitialPosition::Earliest);
    options.start_message_id = from;
    answer(subscription(client, topic, permits).with_options(options).build()).await
}

/// Messages of a partition's topic from the first of that time on. Those before may come all the same.
pub(super) async fn since(client: &Client, topic: &str, from_ms: u64) -> Result<Sought, Failure> {
    let options = ConsumerOptions::default().durable(false).with_initial_position(InitialPosition::Earliest);
    let mut reader = answer(subscription(client, topic, 100).with_options(options).into_reader()).await?;
    if from_ms > 0 {
        answer(reader.seek(None, Some(from_ms))).await?;
    }
    Ok(reader)
}

fn subscription(client: &Client, topic: &str, permits: u32) -> ConsumerBuilder<TokioExecutor> {
    let number = SUBSCRIPTIONS.fetch_add(1, Ordering::Relaxed);
    let chance = weir_base::Chance::from_entropy().u64();
    let name = format!("weir-{}-{number}-{chance:016x}", std::process::id());
    client
        .consumer()
        .with_topic(topic)
        .with_subscription(name)
        .with_subscription_type(SubType::Exclusive)
        .with_batch_size(permits)
}

/// An answer that is given in time.
pub(super) async fn answer<T>(asked: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(ASK, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::silent()),
    }
}
