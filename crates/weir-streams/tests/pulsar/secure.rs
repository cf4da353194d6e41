//! Pulsar that asks who one is: tokens, an authority that gives them, TLS, and where the connection test says that it ends.
//!
//! `WEIR_PULSAR_SECURE` is the port of a node that `scripts/pulsar.sh` started with `PULSAR_SECURE=1`, `WEIR_PULSAR_KEYS` the
//! folder of its tokens and certificates.

use crate::broker::{Broker, DEADLINE, read, spec};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use weir_streams::{LocalLogOptions, LocalLogs, MemoryStreams, ProbeStep, SharedSource, Streams, probe::PROBE_WITHIN};
use weir_types::NextOffset;

struct Secure {
    broker: Broker,
    keys: PathBuf,
}

impl Secure {
    async fn find() -> Option<Self> {
        let (Ok(address), Ok(keys)) = (std::env::var("WEIR_PULSAR_SECURE"), std::env::var("WEIR_PULSAR_KEYS")) else {
            let required = std::env::var("WEIR_TEST_REAL").is_ok_and(|real| real == "required");
            assert!(!required, "WEIR_PULSAR_SECURE names no node, and WEIR_TEST_REAL=required asks for one");
            eprintln!("skipped: WEIR_PULSAR_SECURE and WEIR_PULSAR_KEYS name no node");
            return None;
        };
        let keys = PathBuf::from(keys);
        let token = std::fs::read_to_string(keys.join("admin.token")).unwrap();
        Some(Self { broker: Broker::at(&address, Some(token)).await, keys })
    }

    fn file(&self, name: &str) -> String {
        self.keys.join(name).display().to_string()
    }

    fn token(&self, role: &str) -> String {
        std::fs::read_to_string(self.keys.join(format!("{role}.token"))).unwrap()
    }

    fn plain(&self) -> String {
        format!("pulsar://{}", self.broker.address)
    }

    fn tls(&self) -> String {
        let (host, port) = self.broker.address.rsplit_once(':').unwrap();
        format!("pulsar+ssl://{host}:{}", port.parse::<u16>().unwrap() + 3)
    }
}

/// As a node makes it: through the registry, with secrets guarded.
fn source(topic: &str, servers: &str, settings: &[(&str, &str)]) -> SharedSource {
    let all: Vec<(&str, &str)> = [("bootstrap.servers", servers)].into_iter().chain(settings.iter().copied()).collect();
    let disk = weir_base::MemDisk::new(None);
    let clock = weir_base::SystemClock::shared();
    let local = LocalLogs::open(Path::new("/logs"), disk, clock, LocalLogOptions::default()).unwrap();
    Streams::new(local, MemoryStreams::new()).source(&spec(topic, &all)).unwrap()
}

async fn reads(source: &SharedSource) {
    let mut reader = source.open(0, NextOffset::ZERO).await.unwrap();
    let values: Vec<String> = read(&mut reader, 2).await.into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["one", "two"]);
    assert_eq!(source.probe(None).await.unwrap().len(), 1);
}

/// An authority that gives everybody the same token.
async fn authority(token: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let own = url.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut text, mut buffer) = (String::new(), [0; 4096]);
            while !(text.starts_with("GET") && text.contains("\r\n\r\n") || text.contains("client_secret=")) {
                let read = stream.read(&mut buffer).await.unwrap();
                text.push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
            let body = if text.starts_with("GET") {
                format!("{{\"token_endpoint\":\"{own}/token\"}}")
            } else {
                format!("{{\"access_token\":\"{token}\",\"expires_in\":60}}")
            };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_certificates() {
    let Some(secure) = Secure::find().await else { return };
    let topic = secure.broker.topic("secure", 1);
    secure.broker.values(&format!("{topic}-partition-0"), 2, ["one".into(), "two".into()]).await;
    let token = secure.token("reader");
    let file = format!("file:{}", secure.file("reader.token"));
    let ca = secure.file("ca.pem");
    reads(&source(&topic, &secure.plain(), &[("authenticationToken", &token)])).await;
    reads(&source(&topic, &secure.plain(), &[("authenticationToken", &file)])).await;
    reads(&source(&topic, &secure.tls(), &[("authenticationToken", &token), ("tlsTrustCertsFilePath", &ca)])).await;
    // The first that answers serves.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let two = format!("pulsar://{free},{}", secure.broker.address);
    reads(&source(&topic, &two, &[("authenticationToken", &token)])).await;
    let issuer = authority(token).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("creds.json"), r#"{"client_id":"me","client_secret":"hunter2"}"#).unwrap();
    let credentials = format!("file://{}/creds.json", dir.path().display());
    reads(&source(&topic, &secure.plain(), &[("issuerUrl", &issuer), ("credsFilePath", &credentials)])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_test_says_where_a_connection_ends() {
    let Some(secure) = Secure::find().await else { return };
    let topic = secure.broker.topic("ends", 1);
    let (reader, stranger) = (secure.token("reader"), secure.token("stranger"));
    let (plain, tls) = (secure.plain(), secure.tls());
    let (ca, other) = (secure.file("ca.pem"), secure.file("other-ca.pem"));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("creds.json"), r#"{"client_id":"me","client_secret":"hunter2"}"#).unwrap();
    let credentials = format!("file://{}/creds.json", dir.path().display());
    for (servers, settings, step, remedy) in [
        (&plain, &[][..], ProbeStep::Login, "authenticationToken"),
        (&plain, &[("authenticationToken", "hunter2")], ProbeStep::Login, "authenticationToken"),
        (&plain, &[("authenticationToken", &*stranger)], ProbeStep::Acl, "consume"),
        (
            &plain,
            &[("issuerUrl", "http://127.0.0.1:1"), ("credsFilePath", &*credentials)],
            ProbeStep::Login,
            "issuerUrl",
        ),
        (&tls, &[("authenticationToken", &*reader)], ProbeStep::Tls, "tlsTrustCertsFilePath"),
        (
            &tls,
            &[("authenticationToken", &*reader), ("tlsTrustCertsFilePath", &*other)],
            ProbeStep::Tls,
            "tlsTrustCerts",
        ),
        (
            &tls,
            &[("authenticationToken", &*reader), ("tlsTrustCertsFilePath", "/nowhere/ca.pem")],
            ProbeStep::Settings,
            "/nowhere/ca.pem",
        ),
        (&plain.replace("pulsar:", "pulsar+ssl:"), &[("tlsTrustCertsFilePath", &*ca)], ProbeStep::Tls, "speaks TLS"),
        (&tls.replace("pulsar+ssl:", "pulsar:"), &[("authenticationToken", &*reader)], ProbeStep::Tls, "pulsar+ssl://"),
    ] {
        let source = source(&topic, servers, settings);
        let started = Instant::now();
        let error = source.probe(None).await.expect_err(remedy);
        assert_eq!(error.step, step, "{servers} {remedy}: {error}");
        assert!(error.to_string().contains(remedy), "{error}");
        assert!(started.elapsed() < PROBE_WITHIN, "it took {:?}", started.elapsed());
        let said = match source.open(0, NextOffset::ZERO).await {
            Ok(_) => panic!("{servers} {remedy}: it does not open"),
            Err(error) => error.to_string(),
        };
        for text in [error.to_string(), said] {
            assert!(!text.contains("hunter2") && !text.contains(&reader) && !text.contains(&stranger), "{text}");
        }
        assert!(started.elapsed() < DEADLINE);
    }
}
