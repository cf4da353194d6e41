//! A real Pulsar: topics by its admin interface, messages by the library's own producer.

use pulsar::{
    Authentication, Producer, ProducerOptions, Pulsar, TokioExecutor,
    producer::{self},
};
use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use weir_streams::{FetchLimit, PartitionReader, SharedSource, StreamError, conformance::Sent, pulsar as connector};
use weir_types::{NextOffset, StartAt, StreamSpec, TopicName};

pub(crate) const LIMIT: FetchLimit = FetchLimit { max_messages: 100, max_bytes: 1 << 20 };
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A node that answers.
pub(crate) struct Broker {
    pub(crate) address: String,
    client: Pulsar<TokioExecutor>,
    token: Option<String>,
}

pub(crate) fn spec(topic: &str, settings: &[(&str, &str)]) -> StreamSpec {
    StreamSpec {
        stream_type: "pulsar".into(),
        topic: TopicName::parse(topic).unwrap(),
        start_at: StartAt::Earliest,
        decoder: "json".into(),
        decoder_settings: BTreeMap::new(),
        settings: settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        fetch_timeout: Duration::from_millis(200),
        only_partitions: None,
        auto_reset: None,
        rate_limit: None,
    }
}

/// What a reader brought: offsets and values.
pub(crate) type Rows = Vec<(NextOffset, String)>;

/// Reads so many messages, which follow one another.
pub(crate) async fn read(reader: &mut Box<dyn PartitionReader>, count: usize) -> Rows {
    let until = tokio::time::Instant::now() + DEADLINE;
    let (mut rows, mut next) = (vec![], None);
    while rows.len() < count {
        assert!(tokio::time::Instant::now() < until, "{} of {count} messages came", rows.len());
        let batch = reader.next_batch(LIMIT).await.unwrap();
        assert!(next.is_none_or(|next| next == batch.range.start()), "batches follow one another");
        next = Some(batch.range.end());
        for at in 0..batch.messages.len() {
            let value = batch.messages.value(at).unwrap_or_default();
            rows.push((batch.messages.offset(at), String::from_utf8_lossy(value).into_owned()));
        }
    }
    assert_eq!(rows.len(), count, "no more than there are: {rows:?}");
    rows
}

/// Nothing more comes for a while.
pub(crate) async fn quiet(reader: &mut Box<dyn PartitionReader>) {
    for _ in 0..5 {
        let batch = reader.next_batch(LIMIT).await.unwrap();
        assert!(batch.messages.is_empty() && batch.range.is_empty(), "nothing lies behind the end");
    }
}

impl Broker {
    /// The node that the environment names; otherwise says that the test is skipped.
    pub(crate) async fn find() -> Option<Self> {
        let Ok(address) = std::env::var("WEIR_PULSAR") else {
            let required = std::env::var("WEIR_TEST_REAL").is_ok_and(|real| real == "required");
            assert!(!required, "WEIR_PULSAR names no broker, and WEIR_TEST_REAL=required asks for one");
            eprintln!("skipped: WEIR_PULSAR names no broker");
            return None;
        };
        Some(Self::at(&address, None).await)
    }

    /// The node at an address, with the token of one who may do everything.
    pub(crate) async fn at(address: &str, token: Option<String>) -> Self {
        let mut builder = Pulsar::builder(format!("pulsar://{address}"), TokioExecutor);
        if let Some(token) = token.clone() {
            builder = builder.with_auth(Authentication { name: "token".into(), data: token.into_bytes() });
        }
        Self { address: address.to_owned(), client: builder.build().await.unwrap(), token }
    }

    pub(crate) fn name(test: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        format!("it-{test}-{}-{now}", std::process::id())
    }

    /// One call of the admin interface, on the next port: status and body.
    pub(crate) fn admin(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let (host, port) = self.address.rsplit_once(':').unwrap();
        let mut stream = TcpStream::connect((host, port.parse::<u16>().unwrap() + 1)).unwrap();
        let login = self.token.as_ref().map_or(String::new(), |token| format!("\r\nAuthorization: Bearer {token}"));
        let head = format!("Host: localhost\r\nContent-Type: application/json{login}");
        write!(stream, "{method} /admin/v2{path} HTTP/1.0\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
    }

    fn done(&self, method: &str, path: &str, body: &str) {
        let (status, answer) = self.admin(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
    }

    /// Makes a topic; 0: not partitioned.
    pub(crate) fn topic(&self, test: &str, partitions: u32) -> String {
        let name = Self::name(test);
        let path = format!("/persistent/public/default/{name}");
        match partitions {
            0 => self.done("PUT", &path, ""),
            _ => self.done("PUT", &format!("{path}/partitions"), &partitions.to_string()),
        }
        name
    }

    pub(crate) fn grow(&self, topic: &str, partitions: u32) {
        self.done("POST", &format!("/persistent/public/default/{topic}/partitions"), &partitions.to_string());
    }

    /// The broker lets go of a topic: its clients are sent away and come back.
    pub(crate) fn unload(&self, topic: &str) {
        self.done("PUT", &format!("/persistent/public/default/{topic}/unload"), "");
    }

    /// Deletes what a topic holds, as retention does.
    pub(crate) fn truncate(&self, topic: &str) {
        self.done("DELETE", &format!("/persistent/public/default/{topic}/truncate"), "");
    }

    pub(crate) fn exists(&self, topic: &str) -> bool {
        self.admin("GET", "/persistent/public/default", "").1.contains(topic)
    }

    /// The topic as a table would read it.
    pub(crate) fn source(&self, topic: &str, settings: &[(&str, &str)]) -> SharedSource {
        let url = format!("pulsar://{}", self.address);
        let all: Vec<(&str, &str)> =
            [("bootstrap.servers", &*url)].into_iter().chain(settings.iter().copied()).collect();
        connector::source(&spec(topic, &all), std::sync::Arc::default()).unwrap()
    }

    /// A producer that puts so many messages into an entry; 0: none into a batch.
    pub(crate) async fn producer(&self, topic: &str, batch: u32) -> Producer<TokioExecutor> {
        let options = ProducerOptions { batch_size: (batch > 0).then_some(batch), ..ProducerOptions::default() };
        let built = self.client.producer().with_topic(topic).with_options(options).build().await;
        built.unwrap()
    }

    /// Appends messages in order.
    pub(crate) async fn append(&self, topic: &str, batch: u32, messages: Vec<producer::Message>) {
        let mut producer = self.producer(topic, batch).await;
        let mut receipts = vec![];
        for message in messages {
            receipts.push(producer.send_non_blocking(message).await.unwrap());
        }
        if batch > 0 {
            producer.send_batch().await.unwrap();
        }
        for receipt in receipts {
            receipt.await.unwrap();
        }
    }

    /// Appends values.
    pub(crate) async fn values(&self, topic: &str, batch: u32, values: impl IntoIterator<Item = String>) {
        let message = |value: String| producer::Message { payload: value.into_bytes(), ..producer::Message::default() };
        self.append(topic, batch, values.into_iter().map(message).collect()).await;
    }
}

pub(crate) fn message(sent: &Sent) -> producer::Message {
    producer::Message {
        payload: sent.value.clone().unwrap_or_default(),
        partition_key: sent.key.as_ref().map(|key| String::from_utf8(key.clone()).unwrap()),
        ..producer::Message::default()
    }
}

/// What the error is that a reader meets, at opening or later.
pub(crate) async fn error_of(source: &SharedSource, partition: u32, from: NextOffset) -> StreamError {
    let mut reader = match source.open(partition, from).await {
        Ok(reader) => reader,
        Err(error) => return error,
    };
    let until = tokio::time::Instant::now() + DEADLINE;
    loop {
        assert!(tokio::time::Instant::now() < until, "an error comes");
        if let Err(error) = reader.next_batch(LIMIT).await {
            return error;
        }
    }
}
