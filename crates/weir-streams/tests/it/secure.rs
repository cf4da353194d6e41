//! Kafka that asks who one is: logins, certificates, rights, and where the connection test says that it ends.
//!
//! `WEIR_KAFKA_SECURE` is the plain port of a broker that `scripts/kafka.sh` started with `KAFKA_SECURE=1`, with the users
//! alice and bob and the rights that `./dev test` gives them; `WEIR_KAFKA_TLS` is the folder of its certificates.

#![expect(clippy::unwrap_used, reason = "a test ends where the broker does not do as it is told")]

use crate::broker::{self, Broker, LIMIT, spec};
use openssl::{pkcs12::Pkcs12, pkey::PKey, x509::X509};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use weir_streams::{
    LocalLogOptions, LocalLogs, MemoryStreams, ProbeStep, SharedSource, StreamError, Streams, probe::PROBE_WITHIN,
};
use weir_types::NextOffset;

const DEADLINE: Duration = Duration::from_secs(30);
const PASSWORD: &str = "alice-secret";

/// The listeners, by how far their port is from the plain one.
#[derive(Clone, Copy)]
enum Listener {
    Plain = 0,
    Sasl = 2,
    SaslTls = 3,
    Tls = 4,
}

struct Secure {
    broker: Broker,
    port: u16,
    tls: PathBuf,
}

type Settings = Vec<(&'static str, String)>;

impl Secure {
    fn find() -> Option<Self> {
        let (Ok(address), Ok(tls)) = (std::env::var("WEIR_KAFKA_SECURE"), std::env::var("WEIR_KAFKA_TLS")) else {
            let required = std::env::var("WEIR_TEST_REAL").is_ok_and(|real| real == "required");
            assert!(!required, "WEIR_KAFKA_SECURE names no broker, and WEIR_TEST_REAL=required asks for one");
            eprintln!("skipped: WEIR_KAFKA_SECURE and WEIR_KAFKA_TLS name no broker");
            return None;
        };
        let port = address.rsplit(':').next().unwrap().parse().unwrap();
        Some(Self { broker: Broker::at(&address), port, tls: tls.into() })
    }

    fn file(&self, name: &str) -> String {
        self.tls.join(name).display().to_string()
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.tls.join(name)).unwrap()
    }

    /// As a node makes it: through the registry, with secrets guarded.
    fn source(&self, topic: &str, listener: Listener, settings: &[(&'static str, String)]) -> SharedSource {
        let servers = format!("127.0.0.1:{}", self.port + listener as u16);
        source_at(topic, &servers, settings).expect("its settings are right")
    }
}

fn source_at(topic: &str, servers: &str, settings: &[(&'static str, String)]) -> Result<SharedSource, StreamError> {
    let mut all = BTreeMap::from([("bootstrap.servers".to_owned(), servers.to_owned())]);
    all.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    streams().source(&spec(topic, all))
}

fn streams() -> Streams {
    let clock = weir_base::SystemClock::shared();
    let disk = weir_base::MemDisk::new(None);
    let local = LocalLogs::open(Path::new("/logs"), disk, clock, LocalLogOptions::default()).unwrap();
    Streams::new(local, MemoryStreams::new())
}

fn own(settings: &[(&'static str, &str)]) -> Settings {
    settings.iter().map(|(key, value)| (*key, (*value).to_owned())).collect()
}

fn with(mut settings: Settings, more: Settings) -> Settings {
    settings.extend(more);
    settings
}

fn login(mechanism: &str, user: &str, password: &str) -> Settings {
    let module = match mechanism {
        "PLAIN" => "plain.PlainLoginModule",
        "OAUTHBEARER" => "oauthbearer.OAuthBearerLoginModule",
        _ => "scram.ScramLoginModule",
    };
    let who = match mechanism {
        "OAUTHBEARER" => format!("unsecuredLoginStringClaim_sub=\"{user}\""),
        _ => format!("username=\"{user}\" password=\"{password}\""),
    };
    let jaas = format!("org.apache.kafka.common.security.{module} required {who};");
    own(&[("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", mechanism), ("sasl.jaas.config", &jaas)])
}

fn alice() -> Settings {
    login("SCRAM-SHA-512", "alice", PASSWORD)
}

fn over_tls(settings: Settings) -> Settings {
    let settings = settings.into_iter().filter(|(key, _)| *key != "security.protocol").collect();
    with(settings, own(&[("security.protocol", "SASL_SSL")]))
}

/// Reads two messages and is tested.
async fn reads(source: &SharedSource, topic: &str) {
    let mut reader = source.open(0, NextOffset::ZERO).await.unwrap();
    let read = broker::read_to(&mut reader, NextOffset::new(2)).await;
    assert_eq!(read.values, ["one", "two"], "{topic}");
    let facts = source.probe(None).await.unwrap();
    assert_eq!(facts.len(), 1);
    assert_eq!((facts[0].watermarks.low, facts[0].watermarks.high), (NextOffset::ZERO, NextOffset::new(2)));
}

async fn with_two(secure: &Secure, name: &str) -> String {
    let topic = secure.broker.topic(name, 1).await;
    secure.broker.append(&topic, 0, vec![broker::sent("one"), broker::sent("two")]).await;
    topic
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mechanism_logs_in_with_and_without_tls() {
    let Some(secure) = Secure::find() else { return };
    let topic = with_two(&secure, "logins").await;
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] {
        let settings = login(mechanism, "alice", PASSWORD);
        reads(&secure.source(&topic, Listener::Sasl, &settings), &topic).await;
        let tls = with(over_tls(settings), vec![("ssl.truststore.location", secure.file("ca.pem"))]);
        reads(&secure.source(&topic, Listener::SaslTls, &tls), &topic).await;
    }
    // The library's own names, and a password that is kept in a file.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pw"), format!("{PASSWORD}\n")).unwrap();
    let file = format!("file:{}/pw", dir.path().display());
    let mut settings =
        own(&[("security.protocol", "sasl_plaintext"), ("sasl.mechanisms", "PLAIN"), ("sasl.username", "alice")]);
    settings.push(("sasl.password", file));
    reads(&secure.source(&topic, Listener::Sasl, &settings), &topic).await;
}

/// An authority whose tokens nobody signs, for whoever knows the secret; how often it was asked.
async fn authority(user: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let counted = Arc::new(AtomicUsize::new(0));
    let counting = counted.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut text, mut buffer) = (String::new(), [0; 4096]);
            while !text.contains("client_secret=") {
                let read = stream.read(&mut buffer).await.unwrap();
                text.push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
            counting.fetch_add(1, Ordering::SeqCst);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let part = |json: &str| {
                let text = openssl::base64::encode_block(json.as_bytes());
                text.replace('+', "-").replace('/', "_").replace('=', "")
            };
            let claims = format!("{{\"sub\":\"{user}\",\"iat\":{now},\"exp\":{},\"scope\":\"kafka\"}}", now + 60);
            let token = format!("{}.{}.", part("{\"alg\":\"none\"}"), part(&claims));
            let (status, body) = if text.contains("client_secret=right") {
                (200, format!("{{\"access_token\":\"{token}\",\"expires_in\":60}}"))
            } else {
                (401, "{\"error\":\"invalid_client\"}".to_owned())
            };
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    (url, counted)
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_asked_of_an_authority() {
    let Some(secure) = Secure::find() else { return };
    let topic = with_two(&secure, "acl-read-oauth").await;
    let (url, asked) = authority("alice").await;
    let settings = |secret: &str, url: &str| {
        let module = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";
        let jaas = format!("{module} required clientId=\"me\" clientSecret=\"{secret}\";");
        own(&[
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "OAUTHBEARER"),
            ("sasl.jaas.config", &jaas),
            ("sasl.oauthbearer.token.endpoint.url", url),
        ])
    };
    reads(&secure.source(&topic, Listener::Sasl, &settings("right", &url)), &topic).await;
    assert!(asked.load(Ordering::SeqCst) > 0, "it was asked");
    let (other, _) = authority("mallory").await;
    ends(&secure.source(&topic, Listener::Sasl, &settings("right", &other)), ProbeStep::Acl, "", None).await;
    let denied = secure.source(&topic, Listener::Sasl, &settings("hunter2", &url));
    ends(&denied, ProbeStep::Login, "invalid_client", None).await;
    let nobody = secure.source(&topic, Listener::Sasl, &settings("right", "http://127.0.0.1:1/token"));
    ends(&nobody, ProbeStep::Login, "does not answer", None).await;
}

/// What `keytool` of the broker's Java makes of a certificate.
fn keytool(store: &Path, kind: &str, certificate: &str) {
    let made = Command::new("keytool")
        .args([
            "-importcert",
            "-noprompt",
            "-alias",
            "ca",
            "-storepass",
            "storepass",
            "-storetype",
            kind,
            "-file",
            certificate,
        ])
        .arg("-keystore")
        .arg(store)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_taken_in_every_form() {
    let Some(secure) = Secure::find() else { return };
    let topic = with_two(&secure, "certificates").await;
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let shown = |name: &str| path(name).display().to_string();
    let ssl = own(&[("security.protocol", "SSL")]);
    let (ca, certificate, key) = (secure.text("ca.pem"), secure.text("client.pem"), secure.text("client.key"));

    keytool(&path("trust.p12"), "PKCS12", &secure.file("ca.pem"));
    // Java's PKCS12 store under the ending and the type of its older one.
    std::fs::copy(path("trust.p12"), path("trust.jks")).unwrap();
    let trusts: Vec<Settings> = vec![
        vec![("ssl.truststore.location", secure.file("ca.pem")), ("ssl.truststore.type", "PEM".into())],
        vec![("ssl.ca.location", secure.file("ca.pem"))],
        vec![("ssl.truststore.certificates", format!("{}{ca}", secure.text("other-ca.pem")))],
        vec![("ssl.truststore.certificates", ca.replace('\n', " "))],
        vec![("ssl.truststore.location", shown("trust.p12")), ("ssl.truststore.password", "storepass".into())],
        vec![
            ("ssl.truststore.location", shown("trust.jks")),
            ("ssl.truststore.password", "storepass".into()),
            ("ssl.truststore.type", "JKS".into()),
        ],
    ];
    std::fs::write(path("both.pem"), format!("{key}{certificate}")).unwrap();
    let pair = (PKey::private_key_from_pem(key.as_bytes()).unwrap(), X509::from_pem(certificate.as_bytes()).unwrap());
    let store = Pkcs12::builder().name("client").pkey(&pair.0).cert(&pair.1).build2("storepass").unwrap();
    std::fs::write(path("client.p12"), store.to_der().unwrap()).unwrap();
    let locked = pair.0.private_key_to_pem_pkcs8_passphrase(openssl::symm::Cipher::aes_256_cbc(), b"keypass").unwrap();
    let locked = String::from_utf8(locked).unwrap();
    let keys: Vec<Settings> = vec![
        vec![("ssl.certificate.location", secure.file("client.pem")), ("ssl.key.location", secure.file("client.key"))],
        vec![("ssl.keystore.location", shown("both.pem")), ("ssl.keystore.type", "PEM".into())],
        vec![
            ("ssl.keystore.location", shown("client.p12")),
            ("ssl.keystore.password", "storepass".into()),
            ("ssl.key.password", "storepass".into()),
            ("ssl.keystore.type", "PKCS12".into()),
        ],
        vec![("ssl.keystore.certificate.chain", certificate.clone()), ("ssl.keystore.key", key.clone())],
        vec![
            ("ssl.keystore.certificate.chain", certificate.replace('\n', "\\n")),
            ("ssl.keystore.key", locked),
            ("ssl.key.password", "keypass".into()),
        ],
    ];
    for trust in &trusts {
        let settings = with(with(ssl.clone(), trust.clone()), keys[0].clone());
        reads(&secure.source(&topic, Listener::Tls, &settings), &topic).await;
    }
    for key in &keys {
        let settings = with(with(ssl.clone(), trusts[0].clone()), key.clone());
        reads(&secure.source(&topic, Listener::Tls, &settings), &topic).await;
    }
    // Pinot's keys, with the stores that Pinot would write.
    let base64 = |bytes: &[u8]| openssl::base64::encode_block(bytes);
    let pinot = vec![
        ("stream.kafka.ssl.server.certificate", base64(&X509::from_pem(ca.as_bytes()).unwrap().to_der().unwrap())),
        ("stream.kafka.ssl.client.certificate", base64(certificate.as_bytes())),
        ("stream.kafka.ssl.client.key", base64(&pair.0.private_key_to_pkcs8().unwrap())),
        ("ssl.truststore.location", "/nowhere/trust.jks".into()),
        ("ssl.truststore.password", "p".into()),
        ("ssl.keystore.location", "/nowhere/key.p12".into()),
        ("ssl.keystore.password", "p".into()),
    ];
    reads(&secure.source(&topic, Listener::Tls, &pinot), &topic).await;
}

/// The test ends at this step, soon, and says what to do; what the error of a plain question says is the same.
#[track_caller]
fn ends<'a>(
    source: &'a SharedSource,
    step: ProbeStep,
    remedy: &'a str,
    only: Option<&'a [u32]>,
) -> impl Future<Output = ()> + 'a {
    let place = std::panic::Location::caller();
    async move {
        let started = Instant::now();
        let error = source.probe(only).await.expect_err(&format!("{place}: it ends at {step}"));
        assert_eq!(error.step, step, "{place}: {error}");
        assert!(error.to_string().contains(remedy), "{place}: {error}");
        assert!(started.elapsed() < PROBE_WITHIN, "{place}: it took {:?}", started.elapsed());
        assert!(!error.to_string().contains("hunter2") && !error.to_string().contains("-secret"), "{place}: {error}");
        if !matches!(step, ProbeStep::Partition | ProbeStep::Read) && source.partitions().await.is_err() {
            let said = source.partitions().await.expect_err("it is still so").to_string();
            assert!(said.contains(remedy), "{place}: creation says: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_test_says_where_a_connection_ends() {
    let Some(secure) = Secure::find() else { return };
    let topic = with_two(&secure, "probe").await;
    let ca = || vec![("ssl.truststore.location", secure.file("ca.pem"))];
    let at = |listener, settings: Settings| secure.source(&topic, listener, &settings);
    let plain = || own(&[("security.protocol", "PLAINTEXT")]);
    let ssl = || own(&[("security.protocol", "SSL")]);
    let client = |name: &str| {
        vec![
            ("ssl.certificate.location", secure.file(&format!("{name}.pem"))),
            ("ssl.key.location", secure.file(&format!("{name}.key"))),
        ]
    };
    use Listener::{Plain, Sasl, SaslTls, Tls};

    // Names and ports.
    let unknown = source_at(&topic, "no-such-host.invalid:9092", &[]).unwrap();
    ends(&unknown, ProbeStep::Dns, "broker.list", None).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    ends(&source_at(&topic, &free.to_string(), &[]).unwrap(), ProbeStep::Tcp, "refused", None).await;
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_at = source_at(&topic, &silent.local_addr().unwrap().to_string(), &[]).unwrap();
    ends(&silent_at, ProbeStep::Tcp, "run", None).await;

    // Encryption.
    ends(&at(SaslTls, over_tls(alice())), ProbeStep::Tls, "ssl.truststore.location", None).await;
    let other = vec![("ssl.truststore.location", secure.file("other-ca.pem"))];
    ends(&at(SaslTls, with(over_tls(alice()), other)), ProbeStep::Tls, "ssl.truststore.location", None).await;
    ends(&at(Plain, with(ssl(), ca())), ProbeStep::Tls, "speaks no TLS", None).await;
    ends(&at(Sasl, with(over_tls(alice()), ca())), ProbeStep::Tls, "SASL_PLAINTEXT", None).await;
    ends(&at(Tls, plain()), ProbeStep::Tls, "set security.protocol to SSL", None).await;
    ends(&at(SaslTls, alice()), ProbeStep::Tls, "set security.protocol to SASL_SSL", None).await;
    ends(&at(Tls, with(ssl(), ca())), ProbeStep::Tls, "client certificate", None).await;
    ends(&at(Tls, with(with(ssl(), ca()), client("other-client"))), ProbeStep::Tls, "client certificate", None).await;

    // Logging in.
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        ends(&at(Sasl, login(mechanism, "alice", "hunter2")), ProbeStep::Login, "user and password", None).await;
    }
    ends(&at(Sasl, login("SCRAM-SHA-512", "mallory", "hunter2")), ProbeStep::Login, "user and password", None).await;
    ends(&at(Sasl, plain()), ProbeStep::Login, "set security.protocol to SASL_PLAINTEXT", None).await;
    ends(&at(SaslTls, with(ssl(), ca())), ProbeStep::Login, "set security.protocol to SASL_SSL", None).await;
    ends(&at(Plain, alice()), ProbeStep::Login, "set security.protocol to PLAINTEXT", None).await;

    // What is there.
    let missing = secure.source(&format!("{topic}-missing"), Sasl, &alice());
    ends(&missing, ProbeStep::Topic, "topic", None).await;
    ends(&at(Sasl, alice()), ProbeStep::Partition, "none numbered 7", Some(&[0, 7])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_are_told_from_topics_that_are_missing() {
    let Some(secure) = Secure::find() else { return };
    // The rights are given by the beginning of the name.
    for (name, may) in [("acl-read", true), ("acl-describe", false), ("acl-none", false)] {
        let topic = with_two(&secure, name).await;
        let source = secure.source(&topic, Listener::Sasl, &alice());
        if may {
            reads(&source, &topic).await;
            continue;
        }
        ends(&source, ProbeStep::Acl, "", None).await;
        let mut reader = match source.open(0, NextOffset::ZERO).await {
            Ok(reader) => reader,
            Err(error) => {
                assert!(matches!(error, StreamError::Denied { .. }), "{name}: {error}");
                continue;
            }
        };
        let until = Instant::now() + DEADLINE;
        let error = loop {
            assert!(Instant::now() < until, "{name}: somebody says that it is not allowed");
            match reader.next_batch(LIMIT).await {
                Ok(batch) => assert!(batch.messages.is_empty(), "{name}: nothing may be read"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StreamError::Denied { .. }), "{name}: {error}");
    }
}

/// Files are looked at when a client is made: what is wrong with them names the setting and what to do.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_wrong_are_named() {
    let Some(secure) = Secure::find() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let shown = |name: &str| path(name).display().to_string();
    keytool(&path("trust.p12"), "PKCS12", &secure.file("ca.pem"));
    keytool(&path("trust.jks"), "JKS", &secure.file("ca.pem"));
    std::fs::write(path("empty"), "nothing\n").unwrap();
    let client = |name: &str, key: &str| {
        vec![("ssl.certificate.location", secure.file(name)), ("ssl.key.location", secure.file(key))]
    };
    let cases: Vec<(Settings, &str, &str)> = vec![
        (vec![("ssl.truststore.location", shown("none.pem"))], "ssl.truststore.location", "put it there"),
        (vec![("ssl.truststore.location", shown("empty"))], "ssl.truststore.location", "holds no certificate"),
        (vec![("ssl.truststore.location", shown("trust.jks"))], "ssl.truststore.location", "keytool -importkeystore"),
        (
            vec![("ssl.truststore.location", shown("trust.p12")), ("ssl.truststore.password", "hunter2".into())],
            "ssl.truststore.location",
            "ssl.truststore.password",
        ),
        (vec![("ssl.keystore.location", shown("trust.jks"))], "ssl.keystore.location", "keytool -importkeystore"),
        (
            vec![("ssl.keystore.location", shown("trust.p12")), ("ssl.keystore.password", "hunter2".into())],
            "ssl.keystore.location",
            "ssl.keystore.password",
        ),
        (client("client.pem", "other-client.key"), "ssl.key.location", "made together"),
        (vec![("ssl.cipher.suites", "TLS_NONE".into())], "ssl.cipher.suites", "OpenSSL's names"),
    ];
    for (settings, key, remedy) in cases {
        let settings = with(own(&[("security.protocol", "SSL")]), settings);
        let source = secure.source("t", Listener::Tls, &settings);
        let error = source.partitions().await.expect_err(key);
        let named = match &error {
            StreamError::Setting { key, .. } | StreamError::SecretMissing { key, .. } => key.as_str(),
            _ => "",
        };
        assert_eq!(named, key, "{error}");
        assert!(error.to_string().contains(remedy) && !error.to_string().contains("hunter2"), "{error}");
        ends(&source, ProbeStep::Settings, remedy, None).await;
    }
}
