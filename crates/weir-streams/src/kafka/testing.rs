//! A real broker for tests of other crates: topics that are made, grown, cut and deleted, and messages in them.
//!
//! Its address is `WEIR_KAFKA`. Where that is not set a test says that it was skipped, or fails where
//! `WEIR_TEST_REAL=required`.

use super::{
    client::connect,
    offsets::{Question, offsets},
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::KafkaError,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord, Producer},
    types::RDKafkaErrorCode,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whatever has not come by then does not come.
const DEADLINE: Duration = Duration::from_secs(30);

/// A message as a producer gives it.
#[derive(Debug, Clone, Default)]
pub struct TestMessage {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Names and values of its headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its time stamp; the producer's clock where there is none.
    pub timestamp_ms: Option<i64>,
}

impl TestMessage {
    /// A message of a value alone.
    #[must_use]
    pub fn of(value: impl Into<Vec<u8>>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }
}

/// A broker that answers. Its methods panic where the broker does not do as it is told.
pub struct TestBroker {
    /// Its address.
    pub address: String,
    admin: AdminClient<DefaultClientContext>,
    producer: FutureProducer,
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(DEADLINE)).operation_timeout(Some(DEADLINE))
}

impl TestBroker {
    /// The broker that the environment names.
    #[must_use]
    pub fn find() -> Option<Self> {
        let Ok(address) = std::env::var("WEIR_KAFKA") else {
            let required = std::env::var("WEIR_TEST_REAL").is_ok_and(|real| real == "required");
            assert!(!required, "WEIR_KAFKA names no broker, and WEIR_TEST_REAL=required asks for one");
            return None;
        };
        Some(Self::at(&address))
    }

    /// The broker at an address. Nothing is asked of it yet.
    #[must_use]
    pub fn at(address: &str) -> Self {
        let admin = client(address, &[]).create().expect("an admin client");
        let producer = client(
            address,
            &[
                // What is appended at once goes out at once, in few requests.
                ("linger.ms", "1"),
                ("enable.idempotence", "true"),
                // Partitions that are added are known soon.
                ("topic.metadata.refresh.interval.ms", "200"),
            ],
        )
        .create()
        .expect("a producer");
        Self { address: address.to_owned(), admin, producer }
    }

    /// A topic's name that no other run uses.
    #[must_use]
    pub fn name(test: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis();
        format!("it-{test}-{}-{now}", std::process::id())
    }

    /// Makes a topic and waits until all its partitions answer; tried again while one of that name is still being deleted.
    pub async fn create(&self, topic: &str, partitions: u32) {
        let until = std::time::Instant::now() + DEADLINE;
        let count = i32::try_from(partitions).expect("few");
        loop {
            let new = NewTopic::new(topic, count, TopicReplication::Fixed(1)).set("retention.ms", "-1");
            let made = self.admin.create_topics([&new], &options()).await.expect("the broker answers");
            match made.into_iter().collect::<Result<Vec<_>, _>>() {
                Ok(_) => break,
                Err((_, error)) => assert!(std::time::Instant::now() < until, "topic {topic} is not made: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (topic, config) = (topic.to_owned(), client(&self.address, &[("group.id", "none")]));
        let answered = tokio::task::spawn_blocking(move || {
            let asking = connect(&config, &topic).expect("a client");
            let all: Vec<u32> = (0..partitions).collect();
            // A broker that is still being told of the topic knows no partition of it.
            while let Err(error) = offsets(&asking, &topic, &all, Question::End, DEADLINE) {
                assert!(std::time::Instant::now() < until, "topic {topic} does not answer: {error}");
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        answered.await.expect("it runs");
    }

    /// Adds partitions, up to `count`.
    pub async fn grow(&self, topic: &str, count: u32) {
        let new = NewPartitions::new(topic, count as usize);
        let grown = self.admin.create_partitions([&new], &options()).await.expect("the broker answers");
        grown.into_iter().collect::<Result<Vec<_>, _>>().expect("it grows");
    }

    /// Deletes a topic.
    pub async fn delete(&self, topic: &str) {
        let deleted = self.admin.delete_topics(&[topic], &options()).await.expect("the broker answers");
        deleted.into_iter().collect::<Result<Vec<_>, _>>().expect("the topic is deleted");
    }

    /// Deletes messages before `offset`, as retention does.
    pub async fn delete_before(&self, topic: &str, partition: u32, offset: u64) {
        let mut list = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(offset).expect("few"));
        list.add_partition_offset(topic, i32::try_from(partition).expect("few"), offset).expect("it is an offset");
        let deleted = self.admin.delete_records(&list, &options()).await.expect("the broker answers");
        deleted.elements().iter().for_each(|element| element.error().expect("they are deleted"));
    }

    /// Appends values in order; tried again while the client does not know the partition yet.
    pub async fn append(&self, topic: &str, partition: u32, values: &[String]) {
        let messages: Vec<TestMessage> = values.iter().map(|value| TestMessage::of(value.as_str())).collect();
        self.append_messages(topic, partition, &messages).await;
    }

    /// Appends messages in order; tried again while the client does not know the partition yet.
    pub async fn append_messages(&self, topic: &str, partition: u32, messages: &[TestMessage]) {
        let until = std::time::Instant::now() + DEADLINE;
        // The first one alone: once it is there the partition is known, and the others keep their order.
        let Some((first, others)) = messages.split_first() else { return };
        while let Err(error) = send(&self.producer, topic, partition, std::slice::from_ref(first)).await {
            assert!(std::time::Instant::now() < until, "{topic} takes nothing: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        send(&self.producer, topic, partition, others).await.expect("they are sent");
    }

    /// A producer of transactions, under a name of its own.
    pub async fn transactions(&self, id: &str) -> TestTransactions {
        let producer: FutureProducer =
            client(&self.address, &[("transactional.id", id)]).create().expect("a producer of transactions");
        let ready = TestTransactions { producer };
        ready.run(|producer| producer.init_transactions(DEADLINE)).await;
        ready
    }
}

/// A producer of transactions; one at a time is open.
pub struct TestTransactions {
    producer: FutureProducer,
}

impl TestTransactions {
    /// Opens a transaction.
    pub async fn begin(&self) {
        self.run(FutureProducer::begin_transaction).await;
    }

    /// Appends messages inside the transaction.
    pub async fn append(&self, topic: &str, partition: u32, messages: &[TestMessage]) {
        send(&self.producer, topic, partition, messages).await.expect("they are sent");
    }

    /// Commits it.
    pub async fn commit(&self) {
        self.run(|producer| producer.commit_transaction(DEADLINE)).await;
    }

    /// Aborts it: its messages stay in the log and are not to be read.
    pub async fn abort(&self) {
        self.run(|producer| producer.abort_transaction(DEADLINE)).await;
    }

    /// The library's calls block.
    async fn run(&self, call: impl FnOnce(&FutureProducer) -> Result<(), KafkaError> + Send + 'static) {
        let producer = self.producer.clone();
        let done = tokio::task::spawn_blocking(move || call(&producer)).await;
        done.expect("it runs").expect("the broker does as it is told");
    }
}

fn client(address: &str, settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address);
    for (key, value) in settings {
        config.set(*key, *value);
    }
    config
}

/// Hands all messages to the client, then waits until the broker has them.
async fn send(
    producer: &FutureProducer,
    topic: &str,
    partition: u32,
    messages: &[TestMessage],
) -> Result<(), KafkaError> {
    let partition = i32::try_from(partition).expect("few");
    let mut sent = Vec::with_capacity(messages.len());
    for message in messages {
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(topic).partition(partition);
        (record.key, record.payload) = (message.key.as_deref(), message.value.as_deref());
        record.timestamp = message.timestamp_ms;
        if !message.headers.is_empty() {
            let add =
                |to: OwnedHeaders, (key, value): &(String, Vec<u8>)| to.insert(Header { key, value: Some(value) });
            record = record.headers(message.headers.iter().fold(OwnedHeaders::new(), add));
        }
        loop {
            match producer.send_result(record) {
                Ok(delivery) => break sent.push(delivery),
                // Its queue has a bound.
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }
    for delivery in sent {
        delivery.await.expect("the producer lives").map_err(|(error, _)| error)?;
    }
    Ok(())
}
