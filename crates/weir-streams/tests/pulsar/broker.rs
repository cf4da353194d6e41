//! A real Pulsar: topics by its admin interface, messages by the library's own producer.

use pulsar::producer;
use std::{collections::BTreeMap, ops::Deref, time::Duration};
use weir_streams::{
    FetchLimit, PartitionReader, SharedSource, StreamError,
    conformance::Sent,
    pulsar::{self as connector, testing::TestPulsar},
};
use weir_types::{NextOffset, StartAt, StreamSpec, TopicName};

pub(crate) const LIMIT: FetchLimit = FetchLimit { max_messages: 100, max_bytes: 1 << 20 };
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A node that answers, and its topics as tables read them.
pub(crate) struct Broker(TestPulsar);

impl Deref for Broker {
    type Target = TestPulsar;

    fn deref(&self) -> &TestPulsar {
        &self.0
    }
}

pub(crate) fn spec(topic: &str, settings: &[(&str, &str)]) -> StreamSpec {
    StreamSpec {
        stream_type: "pulsar".into(),
        topic: TopicName::parse(topic).unwrap(),
        start_at: StartAt::Earliest,
        start_offsets: Default::default(),
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

/// No message comes for a while; what is none may be passed over.
pub(crate) async fn no_more(reader: &mut Box<dyn PartitionReader>) {
    for _ in 0..5 {
        let batch = reader.next_batch(LIMIT).await.unwrap();
        assert!(batch.messages.is_empty(), "offset {} is there already", batch.range.start());
    }
}

impl Broker {
    /// The node that the environment names; otherwise says that the test is skipped.
    pub(crate) async fn find() -> Option<Self> {
        let found = TestPulsar::find().await.map(Self);
        if found.is_none() {
            eprintln!("skipped: WEIR_PULSAR names no broker");
        }
        found
    }

    /// The node at an address, with the token of one who may do everything.
    pub(crate) async fn at(address: &str, token: Option<String>) -> Self {
        Self(TestPulsar::at(address, token).await)
    }

    pub(crate) fn name(test: &str) -> String {
        TestPulsar::name(test)
    }

    /// The topic as a table would read it.
    pub(crate) fn source(&self, topic: &str, settings: &[(&str, &str)]) -> SharedSource {
        let url = format!("pulsar://{}", self.address);
        let all: Vec<(&str, &str)> =
            [("bootstrap.servers", &*url)].into_iter().chain(settings.iter().copied()).collect();
        connector::source(&spec(topic, &all), std::sync::Arc::default()).unwrap()
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
