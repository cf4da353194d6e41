//! Clients that are slow or many, by raw sockets: each loses its place in the end, and others are answered meanwhile.

use crate::support::{Api, DEADLINE, settings};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};
use weir_server::{ConnectionLimits, Server, client::Client};

/// Short, so that the tests are.
const LIMITS: ConnectionLimits = ConnectionLimits {
    connections: 4,
    head: Duration::from_millis(400),
    body: Duration::from_millis(400),
    body_pace: 1 << 20,
    taken: Duration::from_millis(400),
};

struct Node {
    server: Server,
    _dir: tempfile::TempDir,
}

impl Node {
    async fn start(limits: ConnectionLimits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start_within(settings(dir.path()), limits).await.unwrap_or_else(|error| panic!("{error}"));
        Self { server, _dir: dir }
    }

    /// Clients of its ports, without a connection yet: one that was kept open would be closed under the next request.
    fn api(&self) -> Api {
        let client = |address| Client::new(&format!("http://{address}"));
        Api { controller: client(self.server.controller), broker: client(self.server.broker) }
    }

    fn ports(&self) -> [SocketAddr; 2] {
        [self.server.controller, self.server.broker]
    }
}

/// All that is sent until the other side closes.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut answer = vec![];
    // A closed connection may also say that it was reset: then nothing more comes either.
    timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("it is closed in the end").ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_head_is_not_waited_for() {
    let node = Node::start(LIMITS).await;
    for port in node.ports() {
        let begun = Instant::now();
        let mut slow = TcpStream::connect(port).await.unwrap();
        slow.write_all(b"GET /health HTTP/1.1\r\nhost: w").await.unwrap();
        let mut silent = TcpStream::connect(port).await.unwrap();
        // Others are answered meanwhile.
        assert_eq!(node.api().get("/health").await.status, 200);
        assert_eq!(node.api().broker.get("/health").await.unwrap().status, 200);
        for stream in [&mut slow, &mut silent] {
            let said = until_closed(stream).await;
            assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
        }
        assert!(begun.elapsed() >= LIMITS.head, "{:?}", begun.elapsed());
    }
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_ends_with_408() {
    let node = Node::start(LIMITS).await;
    for (port, path) in
        [(node.server.controller, "/sql"), (node.server.broker, "/query/sql"), (node.server.controller, "/topics/t")]
    {
        let mut slow = TcpStream::connect(port).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: weir\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{{"
        );
        slow.write_all(head.as_bytes()).await.unwrap();
        let (mut answers, mut drips) = slow.into_split();
        let drip = tokio::spawn(async move {
            // Never a pause that alone would be too long, until the other side has had enough.
            while drips.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let mut answer = vec![];
        timeout(DEADLINE, answers.read_to_end(&mut answer)).await.expect("it is closed in the end").ok();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 408"), "{path}: {answer}");
        assert!(answer.contains("too slowly") && answer.contains("connection: close"), "{path}: {answer}");
        timeout(DEADLINE, drip).await.expect("nobody takes more of it").unwrap();
        assert_eq!(node.api().get("/health").await.status, 200);
    }
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_earns_its_time() {
    // Long enough that a busy machine sends the first part within it.
    let limits = ConnectionLimits { body: Duration::from_secs(2), body_pace: 1 << 10, ..LIMITS };
    let node = Node::start(limits).await;
    let mut steady = TcpStream::connect(node.server.controller).await.unwrap();
    let body = format!("{{\"sql\":\"SELECT 1{}\"}}", " ".repeat(8 << 10));
    let head = format!(
        "POST /sql HTTP/1.1\r\nhost: weir\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    steady.write_all(head.as_bytes()).await.unwrap();
    let begun = Instant::now();
    for part in body.as_bytes().chunks(2 << 10) {
        if let Err(error) = steady.write_all(part).await {
            panic!("{error}: {}", until_closed(&mut steady).await);
        }
        tokio::time::sleep(limits.body / 4).await;
    }
    assert!(begun.elapsed() > limits.body);
    let answer = until_closed(&mut steady).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_places_wait_their_turn() {
    let limits = ConnectionLimits { head: DEADLINE, ..LIMITS };
    let node = Node::start(limits).await;
    for port in node.ports() {
        let ask = async |stream: &mut TcpStream| {
            stream.write_all(b"GET /health HTTP/1.1\r\nhost: weir\r\n\r\n").await.unwrap();
            let mut answer = [0; 15];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
        };
        let mut held = vec![];
        for _ in 0..limits.connections {
            let mut stream = TcpStream::connect(port).await.unwrap();
            ask(&mut stream).await;
            held.push(stream);
        }
        // The system takes it, the port does not.
        let mut waits = TcpStream::connect(port).await.unwrap();
        waits.write_all(b"GET /health HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut first = [0; 1];
        let early = timeout(Duration::from_millis(300), waits.read(&mut first)).await;
        assert!(early.is_err(), "it was answered while all places were taken: {early:?}");
        // Those that have a place go on.
        for stream in &mut held {
            let mut rest = vec![0; 1 << 16];
            let _so_far = stream.try_read(&mut rest);
            ask(stream).await;
        }
        held.pop();
        assert!(until_closed(&mut waits).await.starts_with("HTTP/1.1 200"));
    }
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_taken_loses_its_place() {
    let node = Node::start(ConnectionLimits { connections: 1, head: DEADLINE, ..LIMITS }).await;
    let mut greedy = TcpStream::connect(node.server.controller).await.unwrap();
    // More requests than buffers hold answers of, none of which is read.
    let request = b"GET /openapi.json HTTP/1.1\r\nhost: weir\r\n\r\n".repeat(2_000);
    let asked = timeout(Duration::from_secs(5), greedy.write_all(&request)).await;
    drop(asked);
    // The only place is free again, though nothing was read and nothing was closed.
    let until = Instant::now() + DEADLINE;
    let mut other = TcpStream::connect(node.server.controller).await.unwrap();
    other.write_all(b"GET /health HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(until_closed(&mut other).await.starts_with("HTTP/1.1 200"));
    assert!(Instant::now() < until);
    drop(greedy);
    node.server.stop().await;
}
