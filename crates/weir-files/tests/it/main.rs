//! S3 against a real server of its protocol, moto: the program is `WEIR_MOTO_SERVER`, or `moto_server` on the PATH.
//! Without one the tests say that they were skipped, or fail where `WEIR_TEST_REAL=required`.
#![cfg(feature = "s3")]

use bytes::Bytes;
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};
use weir_base::MemDisk;
use weir_files::{FileError, Put, SharedFileSystem, conformance::conformance, probe};
use weir_types::{Classify, ErrorKind, Retry};

/// A server of its own for each test; ended with it.
struct Moto {
    child: Child,
    port: u16,
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("the server can be ended");
    }
}

fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("WEIR_MOTO_SERVER") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join("moto_server")).find(|program| program.is_file())
}

impl Moto {
    fn start() -> Option<Self> {
        // Ports are chosen one test at a time, so that no two take the same.
        static CHOOSING: Mutex<()> = Mutex::new(());
        let Some(program) = program() else {
            let required = std::env::var("WEIR_TEST_REAL").is_ok_and(|real| real == "required");
            assert!(!required, "moto_server is not there, and WEIR_TEST_REAL=required asks for it");
            eprintln!("skipped: moto_server is neither WEIR_MOTO_SERVER nor on the PATH");
            return None;
        };
        let _one = CHOOSING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let port = free_port();
        let mut command = Command::new(&program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("{} starts: {error}", program.display()));
        let mut moto = Self { child, port };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = moto.child.try_wait().expect("the server can be asked");
            assert!(ended.is_none(), "the server ended: {ended:?}");
            assert!(Instant::now() < deadline, "the server takes connections within a minute");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(moto)
    }

    fn make_bucket(&self, name: &str) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("the server answers");
        write!(stream, "PUT /{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .expect("the server answers");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the server answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("some port is free");
    listener.local_addr().expect("it has an address").port()
}

fn open(uri: &str, port: u16) -> SharedFileSystem {
    let settings = [
        ("endpoint", format!("http://127.0.0.1:{port}")),
        ("region", "us-east-1".to_owned()),
        ("access_key_id", "key".to_owned()),
        ("secret_access_key", "very-secret".to_owned()),
        ("allow_http", "true".to_owned()),
    ];
    let settings: BTreeMap<String, String> =
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    weir_files::open(uri, &settings, MemDisk::new(None)).expect("the settings are right")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_conforms() {
    let Some(moto) = Moto::start() else { return };
    moto.make_bucket("weir-bucket");
    conformance(open("s3://weir-bucket", moto.port)).await;
    conformance(open("s3://weir-bucket/deep/store", moto.port)).await;
}

#[tokio::test]
async fn roots_in_one_bucket_do_not_see_each_other() {
    let Some(moto) = Moto::start() else { return };
    moto.make_bucket("weir-bucket");
    let [one, other, all] =
        ["s3://weir-bucket/deep", "s3://weir-bucket/deep2", "s3://weir-bucket"].map(|uri| open(uri, moto.port));
    one.put_if_absent("a", Bytes::from_static(b"1")).await.unwrap();
    other.put_if_absent("a", Bytes::from_static(b"2")).await.unwrap();
    for (files, key, content) in [(&one, "a", "1"), (&other, "a", "2"), (&all, "deep/a", "1"), (&all, "deep2/a", "2")] {
        assert_eq!(files.get(key).await.unwrap(), content);
    }
    let keys: Vec<String> = one.list("").await.unwrap().into_iter().map(|object| object.key).collect();
    assert_eq!(keys, ["a"]);
    one.delete("a").await.unwrap();
    assert_eq!(all.list("").await.unwrap().len(), 1);
}

#[tokio::test]
async fn listings_go_on_over_pages() {
    let Some(moto) = Moto::start() else { return };
    moto.make_bucket("weir-bucket");
    let files = open("s3://weir-bucket", moto.port);
    // A page has a thousand keys.
    let wanted: Vec<String> = (0..1005).map(|at| format!("many/{at:04}")).collect();
    for keys in wanted.chunks(16) {
        let puts = keys.iter().map(|key| files.put_if_absent(key, Bytes::from_static(b"x")));
        for put in futures::future::join_all(puts).await {
            assert_eq!(put.unwrap(), Put::Created);
        }
    }
    let found: Vec<String> = files.list("many/").await.unwrap().into_iter().map(|object| object.key).collect();
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn a_missing_bucket_is_told_by_the_probe() {
    let Some(moto) = Moto::start() else { return };
    let error = probe(&*open("s3://weir-absent", moto.port)).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Never);
    assert!(error.to_string().contains("the bucket does not exist"), "{error}");
}

fn keeps_secrets(error: &FileError) {
    assert!(!format!("{error} {error:?}").contains("very-secret"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_away_is_worth_another_try() {
    let error = open("s3://weir-bucket", free_port()).get("a").await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Later), "{error}");
    assert!(error.to_string().contains("s3://weir-bucket/a"), "{error}");
    keeps_secrets(&error);
}

#[tokio::test]
async fn refused_credentials_are_not_tried_again() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // The head is enough: there is no body.
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>";
        let length = body.len();
        write!(stream, "HTTP/1.1 403 Forbidden\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
            .unwrap();
    });
    let error = open("s3://weir-bucket", port).get("a").await.unwrap_err();
    server.join().unwrap();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Invalid, Retry::Never), "{error}");
    keeps_secrets(&error);
}
