//! A real broker for tests of other crates: topics that are made, grown, cut and deleted, and messages in them.
//!
//! Its address is `WEIR_KAFKA`. Where that is not set a test says that it was skipped, or fails where
//! `WEIR_TEST_REAL=required`.

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    producer::{FutureProducer, FutureRecord},
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whatever has not come by then does not come.
const DEADLINE: Duration = Duration::from_secs(30);

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
        let config = |settings: &[(&str, &str)]| {
            let mut config = ClientConfig::new();
            config.set("bootstrap.servers", &address);
            for (key, value) in settings {
                config.set(*key, *value);
            }
            config
        };
        let admin = config(&[]).create().expect("an admin client");
        let producer = config(&[
            ("linger.ms", "0"),
            ("enable.idempotence", "true"),
            // Partitions that are added are known soon.
            ("topic.metadata.refresh.interval.ms", "200"),
        ])
        .create()
        .expect("a producer");
        Some(Self { address, admin, producer })
    }

    /// A topic's name that no other run uses.
    #[must_use]
    pub fn name(test: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis();
        format!("it-{test}-{}-{now}", std::process::id())
    }

    /// Makes a topic; tried again while one of that name is still being deleted.
    pub async fn create(&self, topic: &str, partitions: u32) {
        let until = std::time::Instant::now() + DEADLINE;
        let partitions = i32::try_from(partitions).expect("few");
        loop {
            let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1)).set("retention.ms", "-1");
            let made = self.admin.create_topics([&new], &options()).await.expect("the broker answers");
            match made.into_iter().collect::<Result<Vec<_>, _>>() {
                Ok(_) => return,
                Err((_, error)) => assert!(std::time::Instant::now() < until, "topic {topic} is not made: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
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
        let until = std::time::Instant::now() + DEADLINE;
        let partition = i32::try_from(partition).expect("few");
        for value in values {
            loop {
                let record: FutureRecord<'_, [u8], [u8]> =
                    FutureRecord::to(topic).partition(partition).payload(value.as_bytes());
                match self.producer.send(record, DEADLINE).await {
                    Ok(_) => break,
                    Err((error, _)) => assert!(std::time::Instant::now() < until, "{topic} takes nothing: {error}"),
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
