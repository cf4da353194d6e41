//! A real Pulsar node for tests: topics by its admin interface, messages by the library's own producer.
//!
//! Its address is `WEIR_PULSAR`, its admin interface is on the next port. Where that is not set a test says that it was
//! skipped, or fails where `WEIR_TEST_REAL=required`.

use pulsar::{Authentication, Producer, ProducerOptions, Pulsar, TokioExecutor, producer::Message};
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{SystemTime, UNIX_EPOCH},
};

/// A node that answers. Its methods panic where the node does not do as it is told.
pub struct TestPulsar {
    /// Its address, `host:port`.
    pub address: String,
    client: Pulsar<TokioExecutor>,
    token: Option<String>,
}

impl TestPulsar {
    /// The node that the environment names; otherwise says that the test is skipped.
    pub async fn find() -> Option<Self> {
        let Ok(address) = std::env::var("WEIR_PULSAR") else {
            let required = std::env::var("WEIR_TEST_REAL").is_ok_and(|real| real == "required");
            assert!(!required, "WEIR_PULSAR names no broker, and WEIR_TEST_REAL=required asks for one");
            return None;
        };
        Some(Self::at(&address, None).await)
    }

    /// The node at an address, with the token of one who may do everything.
    pub async fn at(address: &str, token: Option<String>) -> Self {
        let mut builder = Pulsar::builder(format!("pulsar://{address}"), TokioExecutor);
        if let Some(token) = token.clone() {
            builder = builder.with_auth(Authentication { name: "token".into(), data: token.into_bytes() });
        }
        let client = builder.build().await.expect("the node answers");
        Self { address: address.to_owned(), client, token }
    }

    /// A topic's name that no other run uses.
    #[must_use]
    pub fn name(test: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis();
        format!("it-{test}-{}-{now}", std::process::id())
    }

    /// One call of the admin interface: status and body.
    #[must_use]
    pub fn admin(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let (host, port) = self.address.rsplit_once(':').expect("host:port");
        let admin = port.parse::<u16>().expect("a port") + 1;
        let mut stream = TcpStream::connect((host, admin)).expect("the admin interface answers");
        let login = self.token.as_ref().map_or(String::new(), |token| format!("\r\nAuthorization: Bearer {token}"));
        let head = format!("Host: localhost\r\nContent-Type: application/json{login}");
        let length = body.len();
        write!(stream, "{method} /admin/v2{path} HTTP/1.0\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}")
            .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
    }

    fn done(&self, method: &str, path: &str, body: &str) {
        let (status, answer) = self.admin(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
    }

    /// Makes a topic under a name of its own; 0: not partitioned.
    #[must_use]
    pub fn topic(&self, test: &str, partitions: u32) -> String {
        let name = Self::name(test);
        self.create(&name, partitions);
        name
    }

    /// Makes a topic; 0: not partitioned.
    pub fn create(&self, name: &str, partitions: u32) {
        let path = format!("/persistent/public/default/{name}");
        match partitions {
            0 => self.done("PUT", &path, ""),
            _ => self.done("PUT", &format!("{path}/partitions"), &partitions.to_string()),
        }
    }

    /// Adds partitions, up to `partitions`.
    pub fn grow(&self, topic: &str, partitions: u32) {
        self.done("POST", &format!("/persistent/public/default/{topic}/partitions"), &partitions.to_string());
    }

    /// The broker lets go of a topic: its clients are sent away and come back.
    pub fn unload(&self, topic: &str) {
        self.done("PUT", &format!("/persistent/public/default/{topic}/unload"), "");
    }

    /// Deletes what a topic holds, as retention does.
    pub fn truncate(&self, topic: &str) {
        self.done("DELETE", &format!("/persistent/public/default/{topic}/truncate"), "");
    }

    /// Whether a topic is there.
    #[must_use]
    pub fn exists(&self, topic: &str) -> bool {
        self.admin("GET", "/persistent/public/default", "").1.contains(topic)
    }

    /// A producer that puts so many messages into an entry; 0: none into a batch.
    pub async fn producer(&self, topic: &str, batch: u32) -> Producer<TokioExecutor> {
        let options = ProducerOptions { batch_size: (batch > 0).then_some(batch), ..ProducerOptions::default() };
        self.client.producer().with_topic(topic).with_options(options).build().await.expect("a producer")
    }

    /// Appends messages in order.
    pub async fn append(&self, topic: &str, batch: u32, messages: Vec<Message>) {
        let mut producer = self.producer(topic, batch).await;
        let mut left = messages.into_iter().peekable();
        // The client refuses what it cannot send at once: so many may be on their way.
        while left.peek().is_some() {
            let mut receipts = vec![];
            for message in left.by_ref().take(70) {
                receipts.push(producer.send_non_blocking(message).await.expect("it is sent"));
            }
            if batch > 0 {
                producer.send_batch().await.expect("it is sent");
            }
            for receipt in receipts {
                receipt.await.expect("the broker has it");
            }
        }
    }

    /// Appends values with keys, where there are some.
    pub async fn append_values(&self, topic: &str, batch: u32, values: Vec<(Option<String>, Vec<u8>)>) {
        let message = |(partition_key, payload)| Message { payload, partition_key, ..Message::default() };
        self.append(topic, batch, values.into_iter().map(message).collect()).await;
    }
}
