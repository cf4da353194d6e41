//! The service's calls, and what their errors mean.

use super::{
    limits::Limits,
    role::{self, Role, RoleSettings},
    sequence::Shard as Begins,
    settings::Settings,
};
use crate::{
    contract::StreamError,
    probe::{ProbeError, ProbeStep},
};
use aws_sdk_kinesis::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region, SharedHttpClient, retry::RetryConfig, timeout::TimeoutConfig},
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    primitives::DateTime,
    types::{Record, ShardIteratorType},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use weir_base::{Backoff, Chance};

/// How long the service may take to answer.
pub(super) const ASK: Duration = Duration::from_secs(5);
pub(super) const CONNECT: Duration = Duration::from_secs(3);
/// A list that is refused for haste is asked for again so often.
const LIST_TRIES: u32 = 4;

/// A shard of the stream.
#[derive(Debug, Clone)]
pub(super) struct Shard {
    pub(super) number: u32,
    pub(super) id: String,
    /// The numbers of those that it was split off from, or merged of.
    pub(super) parents: Vec<u32>,
    pub(super) begins: Begins,
}

/// Where an operation ended.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    what: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Too many questions, or too many bytes.
    Throttled,
    /// The iterator has grown old.
    Expired,
    /// An argument is not as the service wants it.
    Argument,
    Credentials,
    /// The role was not given.
    Role(ProbeStep),
    Step(ProbeStep),
}

impl Failure {
    fn step(&self) -> ProbeStep {
        match self.kind {
            Kind::Step(step) | Kind::Role(step) => step,
            Kind::Credentials => ProbeStep::Settings,
            Kind::Throttled | Kind::Expired | Kind::Argument => ProbeStep::Read,
        }
    }

    fn remedy(&self) -> &'static str {
        if let Kind::Role(step) = self.kind {
            return role::remedy(step);
        }
        match self.step() {
            ProbeStep::Dns => "correct region or endpoint, or what this node knows of names",
            ProbeStep::Tls => "look whether endpoint speaks TLS with a certificate that the node trusts",
            ProbeStep::Login => {
                "correct accessKey and secretKey (or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the node)"
            }
            ProbeStep::Acl => {
                "give the user kinesis:ListShards, kinesis:GetShardIterator and kinesis:GetRecords on the stream"
            }
            ProbeStep::Topic => "create the stream, or correct stream.kinesis.topic.name or region",
            ProbeStep::Tcp => "look whether this node may reach the service (endpoint, region)",
            _ if self.kind == Kind::Throttled => "lower requests_per_second_limit, or read with fewer tables",
            _ => "look at the service",
        }
    }

    /// What it says for the log.
    pub(super) fn text(&self) -> String {
        format!("{}: {}: {}", self.step(), self.what, self.remedy())
    }

    /// As one of taking a role.
    pub(super) fn of_role(self, role: &RoleSettings) -> Self {
        let service = role.endpoint.as_deref().unwrap_or("the token service");
        let what = format!("the role {} of roleArn: {service}: {}", role.arn, self.what);
        let step = match self.step() {
            step @ (ProbeStep::Dns | ProbeStep::Tcp | ProbeStep::Tls | ProbeStep::Login | ProbeStep::Acl) => step,
            _ => ProbeStep::Login,
        };
        Self { kind: Kind::Role(step), what }
    }

    pub(super) fn no_session(role: &RoleSettings) -> Self {
        let what = format!("the role {} of roleArn: the token service gives no keys", role.arn);
        Self { kind: Kind::Role(ProbeStep::Login), what }
    }

    /// With the address that was asked, where it was not reached.
    pub(super) fn at(mut self, settings: &Settings) -> Self {
        if !matches!(self.kind, Kind::Role(_))
            && matches!(self.step(), ProbeStep::Dns | ProbeStep::Tcp | ProbeStep::Tls)
        {
            let address = settings.endpoint.clone().unwrap_or_else(|| format!("the service of {}", settings.region));
            self.what = format!("{address}: {}", self.what);
        }
        self
    }

    pub(super) fn into_error(self, topic: &str) -> StreamError {
        let reason = self.text();
        let (step, topic) = (self.step(), topic.to_owned());
        match step {
            ProbeStep::Topic => StreamError::TopicMissing { topic, hint: format!(": {}", self.remedy()) },
            ProbeStep::Login | ProbeStep::Acl => StreamError::Denied { topic, reason },
            ProbeStep::Settings => StreamError::SecretMissing { topic, key: "accessKey".into(), reason: self.what },
            _ => StreamError::Unreachable { topic, reason },
        }
    }

    pub(super) fn into_probe_error(self) -> ProbeError {
        ProbeError { step: self.step(), remedy: self.remedy().to_owned(), what: self.what }
    }
}

impl<E> From<SdkError<E>> for Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        let what = match &error {
            SdkError::ServiceError(_) => {
                let what = DisplayErrorContext(&error).to_string();
                what.split(" (").next().unwrap_or_default().to_owned() + &told(&error)
            }
            // The client's own words say that something failed; the last cause says what.
            _ => last_cause(&error),
        };
        let kind = match &error {
            SdkError::ServiceError(service) => of_code(service.err().code().unwrap_or_default()),
            SdkError::TimeoutError(_) => Kind::Step(ProbeStep::Tcp),
            _ => Kind::Step(of_text(&DisplayErrorContext(&error).to_string())),
        };
        Self { kind, what }
    }
}

fn last_cause(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source()).last().map_or(String::new(), ToString::to_string)
}

/// What the service itself said.
fn told<E: ProvideErrorMetadata>(error: &SdkError<E>) -> String {
    let Some(service) = error.as_service_error() else { return String::new() };
    let code = service.code().unwrap_or("no code");
    format!(" ({code}: {})", service.message().unwrap_or("no message"))
}

fn of_code(code: &str) -> Kind {
    match code {
        "ProvisionedThroughputExceededException"
        | "LimitExceededException"
        | "ThrottlingException"
        | "KMSThrottlingException" => Kind::Throttled,
        "ExpiredIteratorException" => Kind::Expired,
        "InvalidArgumentException" | "ValidationException" => Kind::Argument,
        "ResourceNotFoundException" => Kind::Step(ProbeStep::Topic),
        "AccessDeniedException" | "AccessDenied" | "KMSAccessDeniedException" => Kind::Step(ProbeStep::Acl),
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "IncompleteSignatureException"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "MissingAuthenticationTokenException" => Kind::Step(ProbeStep::Login),
        _ => Kind::Step(ProbeStep::Read),
    }
}

fn of_text(text: &str) -> ProbeStep {
    let has = |part: &str| text.contains(part);
    if has("dns error") || has("lookup address") {
        ProbeStep::Dns
    } else if has("certificate") || has("tls") || has("InvalidContentType") {
        ProbeStep::Tls
    } else {
        ProbeStep::Tcp
    }
}

/// Where an iterator begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    Horizon,
    /// With the first record at or behind this sequence number.
    At(String),
    /// With the first one behind it.
    After(String),
    Time(i64),
}

/// One answer.
pub(super) struct Page {
    pub(super) records: Vec<Record>,
    /// `None`: the shard has ended.
    pub(super) next: Option<String>,
    pub(super) behind_ms: i64,
}

/// The service as one table asks it.
pub(super) struct Api {
    /// Made anew for each session of a role.
    client: Mutex<Option<Client>>,
    http: SharedHttpClient,
    role: Option<Arc<Role>>,
    pub(super) settings: Settings,
    limits: Arc<Limits>,
}

impl Api {
    /// A client; nothing is asked yet.
    pub(super) fn new(settings: &Settings, limits: Arc<Limits>) -> Result<Self, Failure> {
        let keys = settings.credentials().map_err(|what| Failure { kind: Kind::Credentials, what })?;
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let own = Credentials::new(keys.0, keys.1, keys.2, None, "weir");
        let role = settings.role.as_ref().map(|role| Role::new(role, settings, own.clone(), http.clone()));
        let api = Self { client: Mutex::new(None), http, role, settings: settings.clone(), limits };
        if api.role.is_none() {
            *api.client.lock() = Some(api.client_of(own));
        }
        Ok(api)
    }

    /// The role that it takes.
    #[cfg(test)]
    pub(super) fn role(&self) -> Option<Arc<Role>> {
        self.role.clone()
    }

    fn client_of(&self, keys: Credentials) -> Client {
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.settings.region.clone()))
            .http_client(self.http.clone())
            .credentials_provider(keys)
            // To be refused for haste is an everyday thing for a reader, who waits in his own way.
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).operation_timeout(ASK).build());
        if let Some(endpoint) = &self.settings.endpoint {
            config = config.endpoint_url(endpoint);
        }
        Client::from_conf(config.build())
    }

    /// The client with the keys of now.
    async fn client(&self) -> Result<Client, Failure> {
        if let Some(role) = &self.role {
            role.ready().await?;
        }
        // A session's keys are taken where the client is held: whoever comes second finds the client of the first.
        let mut client = self.client.lock();
        if let Some(keys) = self.role.as_ref().and_then(|role| role.fresh()) {
            *client = Some(self.client_of(keys));
        }
        Ok(client
            .clone()
            .expect("a role that is ready gave its first keys, and other keys have a client from the start"))
    }

    /// All shards that the service tells of, closed ones too, by number.
    pub(super) async fn shards(&self) -> Result<Vec<Shard>, Failure> {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(2), Chance::from_entropy());
        let (mut found, mut token, mut tries) = (vec![], None::<String>, 0);
        loop {
            let mut asked = self.client().await?.list_shards();
            asked = match token.take() {
                // A later page names no stream.
                Some(token) => asked.next_token(token),
                None => asked.stream_name(&self.settings.stream),
            };
            let page = match asked.send().await.map_err(Failure::from) {
                Err(failure) if failure.kind == Kind::Throttled && tries < LIST_TRIES => {
                    // From the first page again: the token may have grown old.
                    (found, tries) = (vec![], tries + 1);
                    tokio::time::sleep(backoff.next()).await;
                    continue;
                }
                page => page?,
            };
            for shard in page.shards() {
                found.push(read_shard(shard)?);
            }
            token = page.next_token;
            if token.is_none() {
                found.sort_by_key(|shard| shard.number);
                return Ok(found);
            }
        }
    }

    /// When the stream was made, which tells it from one that was made anew under its name; `None` for one who may not ask.
    pub(super) async fn created(&self) -> Result<Option<i64>, Failure> {
        let asked = self.client().await?.describe_stream_summary().stream_name(&self.settings.stream).send().await;
        match asked.map_err(Failure::from) {
            Ok(told) => {
                let summary = told.stream_description_summary;
                Ok(summary.and_then(|summary| summary.stream_creation_timestamp.to_millis().ok()))
            }
            Err(failure) if matches!(failure.kind, Kind::Step(ProbeStep::Acl) | Kind::Throttled) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// An iterator over a shard.
    pub(super) async fn iterator(&self, shard: &Shard, from: &Start) -> Result<String, Failure> {
        self.turn("iterator", shard).await;
        let asked = self.client().await?.get_shard_iterator().stream_name(&self.settings.stream).shard_id(&shard.id);
        let asked = match from {
            Start::Horizon => asked.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Start::At(number) => {
                asked.shard_iterator_type(ShardIteratorType::AtSequenceNumber).starting_sequence_number(number)
            }
            Start::After(number) => {
                asked.shard_iterator_type(ShardIteratorType::AfterSequenceNumber).starting_sequence_number(number)
            }
            Start::Time(ms) => {
                asked.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_millis(*ms))
            }
        };
        let answer = asked.send().await?;
        let none = || Failure { kind: Kind::Step(ProbeStep::Read), what: "the service gives no iterator".into() };
        answer.shard_iterator.ok_or_else(none)
    }

    /// Waits for the shard's next turn.
    pub(super) async fn turn(&self, operation: &str, shard: &Shard) {
        tokio::time::sleep(self.claim(operation, shard)).await;
    }

    /// Takes a turn of the shard; how long it is to be waited for. Once it is taken it counts.
    pub(super) fn claim(&self, operation: &str, shard: &Shard) -> Duration {
        let Settings { endpoint, region, stream, .. } = &self.settings;
        let key = format!("{}/{region}/{stream}/{}/{operation}", endpoint.as_deref().unwrap_or(""), shard.id);
        self.limits.turn(&key, self.settings.per_second)
    }

    /// The next records, at most `most`.
    pub(super) async fn records(&self, iterator: &str, most: usize) -> Result<Page, Failure> {
        let most = i32::try_from(most).unwrap_or(i32::MAX).clamp(1, self.settings.most_records);
        let answer = self.client().await?.get_records().shard_iterator(iterator).limit(most).send().await?;
        Ok(Page {
            behind_ms: answer.millis_behind_latest.unwrap_or(0),
            next: answer.next_shard_iterator,
            records: answer.records,
        })
    }
}

fn read_shard(shard: &aws_sdk_kinesis::types::Shard) -> Result<Shard, Failure> {
    let odd = |what: String| Failure { kind: Kind::Step(ProbeStep::Partition), what };
    let number = |id: &str| {
        let digits = id.rsplit('-').next().unwrap_or_default();
        digits.parse().map_err(|_| odd(format!("shard {id} has no number that a partition can have")))
    };
    let begins = shard.sequence_number_range().map(|range| range.starting_sequence_number()).unwrap_or_default();
    let begins = Begins::parse(begins)
        .ok_or_else(|| odd(format!("shard {} begins with {begins:?}, a form that is not known", shard.shard_id())))?;
    let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
    let parents = parents.into_iter().flatten().map(number).collect::<Result<_, _>>()?;
    Ok(Shard { number: number(shard.shard_id())?, id: shard.shard_id().to_owned(), parents, begins })
}
