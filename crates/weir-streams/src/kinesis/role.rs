//! A role that is taken to read a stream: its session's keys are asked of the Security Token Service with the keys that the
//! table or the node has, and asked anew before they end.
//!
//! A session is good until a minute before its end. In the last five minutes it is asked for anew while the old one serves:
//! beside the readers, or, where `asyncSessionUpdateEnabled` is false, by the reader who comes first. What fails then is
//! tried again after ten seconds; only where no session is left does a reader see the failure.

use super::{
    api::{ASK, CONNECT, Failure},
    settings::Settings,
    wall_ms,
};
use crate::probe::ProbeStep;
use aws_sdk_kinesis::config::Credentials;
use aws_sdk_sts::{
    Client, Config,
    config::{BehaviorVersion, Region, SharedHttpClient, retry::RetryConfig, timeout::TimeoutConfig},
};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::Instant;
use weir_base::{Chance, outside};

/// Before the end a session is not used any more: clocks differ, and a request takes time.
const STALE_MS: i64 = 60_000;
/// Before the end a session is asked for anew.
const AHEAD_MS: i64 = 300_000;
/// A session that serves still is not asked for anew so soon after that failed.
const AGAIN: Duration = Duration::from_secs(10);
/// The variable that Amazon's tools know for another address of the service.
pub(super) const STS_ENDPOINT: &str = "AWS_ENDPOINT_URL_STS";

/// What a table says of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RoleSettings {
    pub(super) arn: String,
    pub(super) session: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) seconds: i32,
    /// Sessions are asked for anew beside the readers.
    pub(super) beside: bool,
    /// Another address of the service.
    pub(super) endpoint: Option<String>,
}

impl RoleSettings {
    pub(super) fn endpoint_of_node() -> Option<String> {
        outside::variable(STS_ENDPOINT).filter(|url| !url.trim().is_empty())
    }
}

/// The role, and the session that it has now.
pub(super) struct Role {
    sts: Client,
    settings: RoleSettings,
    session: String,
    held: Mutex<Held>,
    /// One asks at a time.
    asking: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Held {
    keys: Option<Credentials>,
    /// Nobody has taken the keys yet.
    fresh: bool,
    not_before: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Fresh,
    /// It serves, and a new one is due.
    Aging,
    /// There is none, or it is about to end.
    Gone,
}

impl std::fmt::Debug for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Role").field("arn", &self.settings.arn).finish_non_exhaustive()
    }
}

impl Role {
    /// A role that `keys` take; nothing is asked yet.
    pub(super) fn new(settings: &RoleSettings, of: &Settings, keys: Credentials, http: SharedHttpClient) -> Arc<Self> {
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(of.region.clone()))
            .http_client(http)
            .credentials_provider(keys)
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).operation_timeout(ASK).build());
        if let Some(endpoint) = &settings.endpoint {
            config = config.endpoint_url(endpoint);
        }
        let session = settings.session.clone().unwrap_or_else(|| format!("weir-{:016x}", Chance::from_entropy().u64()));
        Arc::new(Self {
            sts: Client::from_conf(config.build()),
            settings: settings.clone(),
            session,
            held: Mutex::default(),
            asking: Arc::default(),
        })
    }

    /// Sees to it that there is a session.
    pub(super) async fn ready(self: &Arc<Self>) -> Result<(), Failure> {
        match self.standing(wall_ms()) {
            Standing::Fresh => Ok(()),
            Standing::Aging => {
                if let Ok(turn) = self.asking.clone().try_lock_owned() {
                    let role = self.clone();
                    let renew = async move {
                        role.renew_early().await;
                        drop(turn);
                    };
                    if self.settings.beside {
                        tokio::spawn(renew);
                    } else {
                        renew.await;
                    }
                }
                Ok(())
            }
            Standing::Gone => {
                let _turn = self.asking.lock().await;
                // Whoever had the turn before may have asked.
                if self.standing(wall_ms()) == Standing::Gone { self.renew().await } else { Ok(()) }
            }
        }
    }

    fn standing(&self, now_ms: i64) -> Standing {
        let held = self.held.lock();
        let left = held.keys.as_ref().map(|keys| match keys.expiry() {
            Some(end) => ms_of(end).saturating_sub(now_ms),
            None => i64::MAX,
        });
        let waits = held.not_before.is_some_and(|then| Instant::now() < then);
        match left {
            None => Standing::Gone,
            Some(left) if left <= STALE_MS => Standing::Gone,
            Some(left) if left <= AHEAD_MS && !waits => Standing::Aging,
            Some(_) => Standing::Fresh,
        }
    }

    async fn renew_early(&self) {
        if let Err(failure) = self.renew().await {
            self.held.lock().not_before = Some(Instant::now() + AGAIN);
            tracing::warn!(
                role = self.settings.arn,
                reason = failure.text(),
                "the session of a role was not asked for anew; the old one serves still"
            );
        }
    }

    async fn renew(&self) -> Result<(), Failure> {
        let asked = self
            .sts
            .assume_role()
            .role_arn(&self.settings.arn)
            .role_session_name(&self.session)
            .duration_seconds(self.settings.seconds)
            .set_external_id(self.settings.external_id.clone());
        let answer = asked.send().await.map_err(|error| Failure::from(error).of_role(&self.settings))?;
        let Some(given) = answer.credentials else {
            return Err(Failure::no_session(&self.settings));
        };
        let end = SystemTime::try_from(given.expiration).ok();
        let keys =
            Credentials::new(given.access_key_id, given.secret_access_key, Some(given.session_token), end, "weir");
        *self.held.lock() = Held { keys: Some(keys), fresh: true, not_before: None };
        Ok(())
    }

    /// The session's keys where nobody has taken them yet.
    pub(super) fn fresh(&self) -> Option<Credentials> {
        let mut held = self.held.lock();
        let fresh = std::mem::take(&mut held.fresh);
        held.keys.clone().filter(|_| fresh)
    }
}

/// What to do where the role was not given.
pub(super) fn remedy(step: ProbeStep) -> &'static str {
    match step {
        ProbeStep::Dns | ProbeStep::Tcp | ProbeStep::Tls => {
            "look whether this node may reach the token service of the region (AWS_ENDPOINT_URL_STS names another)"
        }
        ProbeStep::Acl => {
            "let the user take the role (sts:AssumeRole), and the role trust the user and externalId; or correct roleArn"
        }
        _ => "correct accessKey and secretKey (or the node's), roleArn, externalId or sessionDurationSeconds",
    }
}

fn ms_of(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::{api::Api, limits::Limits};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    const ARN: &str = "arn:aws:iam::123456789012:role/reader";

    /// A token service that gives sessions to one user, and a stream service that knows the newest session alone.
    struct Amazon {
        url: String,
        asked: Arc<Mutex<Vec<String>>>,
        /// How long the sessions are that it gives.
        seconds: Arc<Mutex<i64>>,
    }

    impl Amazon {
        async fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let amazon = Self { url, asked: Arc::default(), seconds: Arc::new(Mutex::new(900)) };
            let (asked, seconds) = (amazon.asked.clone(), amazon.seconds.clone());
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, asked.clone(), seconds.clone()));
                }
            });
            amazon
        }

        fn api(&self, user: &str, change: impl FnOnce(&mut RoleSettings)) -> Api {
            let mut role = RoleSettings {
                arn: ARN.into(),
                session: Some("weir@here".into()),
                external_id: Some("e-1".into()),
                seconds: 3600,
                beside: true,
                endpoint: Some(self.url.clone()),
            };
            change(&mut role);
            let settings = Settings {
                stream: "orders".into(),
                region: "eu-west-1".into(),
                endpoint: Some(self.url.clone()),
                keys: Some((user.into(), "hunter2".into())),
                role: Some(role),
                most_records: 10,
                per_second: 1.0,
            };
            Api::new(&settings, Arc::new(Limits::default())).unwrap()
        }

        fn sessions(&self) -> usize {
            self.asked.lock().iter().filter(|text| text.contains("Action=AssumeRole")).count()
        }
    }

    async fn request(stream: &mut TcpStream) -> Option<String> {
        let (mut text, mut buffer) = (String::new(), [0; 8192]);
        loop {
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
                if body.len() >= length.unwrap_or(0) {
                    return Some(text);
                }
            }
            match stream.read(&mut buffer).await {
                Ok(read) if read > 0 => text.push_str(&String::from_utf8_lossy(&buffer[..read])),
                _ => return None,
            }
        }
    }

    async fn serve(mut stream: TcpStream, asked: Arc<Mutex<Vec<String>>>, seconds: Arc<Mutex<i64>>) {
        while let Some(text) = request(&mut stream).await {
            let (kind, status, body) = answer(&text, &asked, *seconds.lock());
            let head = format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
            if stream.write_all((head + &body).as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn answer(text: &str, asked: &Mutex<Vec<String>>, seconds: i64) -> (&'static str, u16, String) {
        let mut asked = asked.lock();
        asked.push(text.to_owned());
        let number = asked.iter().filter(|text| text.contains("Action=AssumeRole")).count();
        if text.contains("Action=AssumeRole") {
            if !text.contains("Credential=ALICE/") || !text.contains("ExternalId=e-1") {
                let error = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not yours</Message></Error></ErrorResponse>";
                return ("text/xml", 403, error.into());
            }
            let end = aws_sdk_sts::primitives::DateTime::from_millis(wall_ms() + seconds * 1000);
            let end = end.fmt(aws_sdk_sts::primitives::DateTimeFormat::DateTime).unwrap();
            return (
                "text/xml",
                200,
                format!(
                    "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>SESSION{number}</AccessKeyId>\
                 <SecretAccessKey>s3cret{number}</SecretAccessKey><SessionToken>t0ken{number}</SessionToken>\
                 <Expiration>{end}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
                ),
            );
        }
        let known = text.contains(&format!("Credential=SESSION{number}/"))
            && text.to_ascii_lowercase().contains(&format!("x-amz-security-token: t0ken{number}"));
        if !known {
            let error = r#"{"__type":"UnrecognizedClientException","message":"no such session"}"#;
            return ("application/x-amz-json-1.1", 400, error.into());
        }
        let shards = r#"{"Shards":[{"ShardId":"shardId-000000000000","HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"},"SequenceNumberRange":{"StartingSequenceNumber":"49590338271490256608559692538361571095921575989136588898"}}]}"#;
        ("application/x-amz-json-1.1", 200, shards.into())
    }

    #[tokio::test]
    async fn a_stream_is_read_with_the_keys_of_the_roles_session() {
        let amazon = Amazon::start().await;
        let api = amazon.api("ALICE", |_| {});
        for _ in 0..3 {
            assert_eq!(api.shards().await.unwrap().len(), 1);
        }
        assert_eq!(amazon.sessions(), 1, "one session serves until it is about to end");
        let asked = amazon.asked.lock()[0].clone();
        for part in [
            "Version=2011-06-15",
            "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Freader",
            "RoleSessionName=weir%40here",
            "ExternalId=e-1",
            "DurationSeconds=3600",
            "/eu-west-1/sts/aws4_request",
        ] {
            assert!(asked.contains(part), "{part} in {asked}");
        }
    }

    #[tokio::test]
    async fn a_session_that_ages_is_asked_for_anew_and_one_that_is_over_before_all() {
        for beside in [true, false] {
            let amazon = Amazon::start().await;
            *amazon.seconds.lock() = 200;
            let api = amazon.api("ALICE", |role| role.beside = beside);
            api.shards().await.unwrap();
            *amazon.seconds.lock() = 900;
            // It serves still: a stand-in knows the newest alone, so that the question and the new session do not cross here.
            let role = api.role().unwrap();
            role.ready().await.unwrap();
            for _ in 0..500 {
                if amazon.sessions() == 2 && role.standing(wall_ms()) == Standing::Fresh {
                    break;
                }
                assert!(beside, "whoever comes first asks and waits");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            api.shards().await.unwrap();
            assert_eq!(amazon.sessions(), 2);
            // A session that is about to end serves nobody.
            assert_eq!(role.standing(wall_ms() + 850_000), Standing::Gone);
            assert_eq!(role.standing(wall_ms() + 650_000), Standing::Aging);
        }
    }

    #[tokio::test]
    async fn a_failure_while_a_session_serves_is_no_failure_of_a_reader() {
        let amazon = Amazon::start().await;
        *amazon.seconds.lock() = 200;
        let api = amazon.api("ALICE", |role| role.beside = false);
        api.shards().await.unwrap();
        let role = api.role().unwrap();
        role.held.lock().not_before = Some(Instant::now() + AGAIN);
        assert_eq!(role.standing(wall_ms()), Standing::Fresh, "what failed is not tried again at once");
        api.shards().await.unwrap();
        assert_eq!(amazon.sessions(), 1);
    }

    #[tokio::test]
    async fn a_role_that_is_not_given_is_told_with_the_remedy() {
        let amazon = Amazon::start().await;
        for api in [amazon.api("MALLORY", |_| {}), amazon.api("ALICE", |role| role.external_id = None)] {
            let error = api.shards().await.unwrap_err().at(&api.settings).into_error("orders").to_string();
            for part in ["AccessDenied", "not yours", ARN, "sts:AssumeRole", "externalId"] {
                assert!(error.contains(part), "{part} in {error}");
            }
            assert!(!error.contains("hunter2"), "{error}");
        }
        let nobody = amazon.api("ALICE", |role| role.endpoint = Some("http://127.0.0.1:1".into()));
        let error = nobody.shards().await.unwrap_err().at(&nobody.settings).into_error("orders").to_string();
        assert!(error.contains("http://127.0.0.1:1") && error.contains("AWS_ENDPOINT_URL_STS"), "{error}");
    }
}
