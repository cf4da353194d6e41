//! The real broker: topics, messages and transactions, made by the library's own clients.

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord, Producer},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use weir_streams::{FetchLimit, PartitionReader, SharedSource, conformance::Sent, kafka, queues::Queues};
use weir_types::{NextOffset, StartAt, StreamSpec, TopicName};

pub(crate) const LIMIT: FetchLimit = FetchLimit { max_messages: 100, max_bytes: 1 << 20 };
/// Whatever has not come by then does not come.
const DEADLINE: Duration = Duration::from_secs(30);

/// A broker that answers.
pub(crate) struct Broker {
    pub(crate) address: String,
    admin: AdminClient<DefaultClientContext>,
}

/// A table's stream settings.
pub(crate) fn spec(topic: &str, settings: BTreeMap<String, String>) -> StreamSpec {
    StreamSpec {
        stream_type: "kafka".into(),
        topic: TopicName::parse(topic).expect("it is a topic's name"),
        start_at: StartAt::Earliest,
        start_offsets: Default::default(),
        decoder: "json".into(),
        decoder_settings: BTreeMap::new(),
        settings,
        fetch_timeout: Duration::from_millis(200),
        only_partitions: None,
        auto_reset: None,
        rate_limit: None,
    }
}

/// A message as the suite appends it.
pub(crate) fn sent(value: &str) -> Sent {
    Sent { timestamp_ms: 1_700_000_000_000, key: None, value: Some(value.as_bytes().to_vec()) }
}

/// Sends one message and waits until the broker has it.
pub(crate) async fn send(
    producer: &FutureProducer,
    topic: &str,
    partition: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: Option<&[(&str, &str)]>,
) {
    let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(topic).partition(partition);
    (record.key, record.payload) = (key, value);
    if let Some(headers) = headers {
        let add = |to: OwnedHeaders, (key, value): &(&str, &str)| to.insert(Header { key, value: Some(*value) });
        record = record.headers(headers.iter().fold(OwnedHeaders::new(), add));
    }
    producer.send(record, DEADLINE).await.map_err(|(error, _)| error).expect("it is sent");
}

/// What a reader brought.
pub(crate) struct Read {
    pub(crate) values: Vec<String>,
    pub(crate) end: NextOffset,
    pub(crate) high: Option<NextOffset>,
}

/// Reads until the ranges reach `end`, which they must not pass, and then the empty batch at the end.
pub(crate) async fn read_to(reader: &mut Box<dyn PartitionReader>, end: NextOffset) -> Read {
    let until = Instant::now() + DEADLINE;
    let mut read = Read { values: vec![], end: NextOffset::ZERO, high: None };
    while read.end < end {
        assert!(Instant::now() < until, "{} of {end} was reached", read.end);
        let batch = reader.next_batch(LIMIT).await.expect("a batch comes");
        for at in 0..batch.messages.len() {
            assert!(batch.range.contains(batch.messages.offset(at)), "messages lie in the batch's range");
            read.values.push(String::from_utf8_lossy(batch.messages.value(at).unwrap_or_default()).into_owned());
        }
        read.end = batch.range.end();
    }
    let batch = reader.next_batch(LIMIT).await.expect("the end is no error");
    assert!(batch.messages.is_empty() && batch.range.is_empty(), "nothing lies behind the end");
    read.high = batch.high_watermark;
    read
}

impl Broker {
    /// The broker that the environment names; otherwise says that the test is skipped.
    pub(crate) fn find() -> Option<Self> {
        let Ok(address) = std::env::var("WEIR_KAFKA") else {
            let required = std::env::var("WEIR_TEST_REAL").is_ok_and(|real| real == "required");
            assert!(!required, "WEIR_KAFKA names no broker, and WEIR_TEST_REAL=required asks for one");
            eprintln!("skipped: WEIR_KAFKA names no broker");
            return None;
        };
        Some(Self::at(&address))
    }

    /// The broker at an address.
    pub(crate) fn at(address: &str) -> Self {
        let admin = ClientConfig::new().set("bootstrap.servers", address).create().expect("an admin client");
        Self { address: address.to_owned(), admin }
    }

    /// A topic's name that no other run uses.
    pub(crate) fn name(&self, test: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis();
        format!("it-{test}-{}-{now}", std::process::id())
    }

    /// Makes a topic.
    pub(crate) async fn topic(&self, test: &str, partitions: i32) -> String {
        let name = self.name(test);
        self.make(&name, partitions).await;
        name
    }

    /// Makes a topic of that name.
    pub(crate) async fn make(&self, name: &str, partitions: i32) {
        let new = NewTopic::new(name, partitions, TopicReplication::Fixed(1))
            .set("max.message.bytes", "10000000")
            // Messages of the suite are old.
            .set("retention.ms", "-1");
        let made = self.admin.create_topics([&new], &Self::options()).await.expect("the broker answers");
        made.into_iter().collect::<Result<Vec<_>, _>>().expect("the topic is made");
        // It is there for clients once its leaders are known.
        let source = self.source(name, &[]);
        let until = Instant::now() + DEADLINE;
        for partition in 0..u32::try_from(partitions).expect("few") {
            while source.watermarks(partition).await.is_err() {
                assert!(Instant::now() < until, "the topic is there");
            }
        }
    }

    fn options() -> AdminOptions {
        AdminOptions::new().request_timeout(Some(DEADLINE)).operation_timeout(Some(DEADLINE))
    }

    /// Adds partitions.
    pub(crate) async fn grow(&self, topic: &str, count: usize) {
        let grown = self.admin.create_partitions([&NewPartitions::new(topic, count)], &Self::options()).await;
        grown.expect("the broker answers").into_iter().collect::<Result<Vec<_>, _>>().expect("it grows");
    }

    /// Deletes a topic.
    pub(crate) async fn delete(&self, topic: &str) {
        let deleted = self.admin.delete_topics(&[topic], &Self::options()).await.expect("the broker answers");
        deleted.into_iter().collect::<Result<Vec<_>, _>>().expect("the topic is deleted");
    }

    /// Deletes messages before `offset`.
    pub(crate) async fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("it is an offset");
        let deleted = self.admin.delete_records(&list, &Self::options()).await.expect("the broker answers");
        deleted.elements().iter().for_each(|element| element.error().expect("they are deleted"));
    }

    /// The topic as a table would read it.
    pub(crate) fn source(&self, topic: &str, settings: &[(&str, &str)]) -> SharedSource {
        let mut all = BTreeMap::from([("bootstrap.servers".to_owned(), self.address.clone())]);
        all.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        kafka::source(&spec(topic, all), std::sync::Arc::default()).expect("its settings are right")
    }

    /// The same, with a bound on what its clients queue.
    pub(crate) fn source_within(&self, topic: &str, queues: std::sync::Arc<Queues>) -> SharedSource {
        let settings = BTreeMap::from([("bootstrap.servers".to_owned(), self.address.clone())]);
        kafka::source(&spec(topic, settings), queues).expect("its settings are right")
    }

    /// A producer.
    pub(crate) fn producer(&self, settings: &[(&str, &str)]) -> FutureProducer {
        producer(&self.address, settings)
    }

    /// A producer of transactions.
    pub(crate) async fn transactional(&self, id: &str) -> FutureProducer {
        let producer = self.producer(&[("transactional.id", id)]);
        let ready = producer.clone();
        let waited = tokio::task::spawn_blocking(move || ready.init_transactions(DEADLINE)).await;
        waited.expect("it runs").expect("transactions are ready");
        producer
    }

    /// Appends messages in order.
    pub(crate) async fn append(&self, topic: &str, partition: u32, messages: Vec<Sent>) {
        append_to(&self.address, topic, partition, messages).await;
    }
}

fn producer(address: &str, settings: &[(&str, &str)]) -> FutureProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address).set("message.max.bytes", "10000000").set("linger.ms", "0");
    for (key, value) in settings {
        config.set(*key, *value);
    }
    config.create().expect("a producer")
}

/// Appends messages in order.
pub(crate) async fn append_to(address: &str, topic: &str, partition: u32, messages: Vec<Sent>) {
    let producer = producer(address, &[("enable.idempotence", "true")]);
    let partition = i32::try_from(partition).expect("few");
    let mut sends = vec![];
    for sent in &messages {
        let mut record: FutureRecord<'_, [u8], [u8]> =
            FutureRecord::to(topic).partition(partition).timestamp(sent.timestamp_ms);
        (record.key, record.payload) = (sent.key.as_deref(), sent.value.as_deref());
        sends.push(producer.send_result(record).map_err(|(error, _)| error).expect("the queue has room"));
    }
    for send in sends {
        send.await.expect("it is answered").map_err(|(error, _)| error).expect("it is sent");
    }
}
