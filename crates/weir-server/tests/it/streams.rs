//! The streams that a scenario runs on: process memory, the local log, and a real broker where the environment names one.

use crate::support::TestNode;
use bytes::Bytes;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use weir_streams::{
    LocalLogs, MemoryStreams, ProduceRecord,
    kafka::testing::{TestBroker, TestMessage},
    kinesis::testing::TestKinesis,
    pulsar::testing::TestPulsar,
};
use weir_types::{NextOffset, TopicName};

pub(crate) enum Log {
    Memory(Arc<MemoryStreams>),
    Local(Arc<LocalLogs>),
    Kafka(TestBroker),
    Pulsar(TestPulsar),
    Kinesis(TestKinesis),
}

fn topic(name: &str) -> TopicName {
    TopicName::parse(name).unwrap()
}

impl Log {
    /// Topics in the node's memory, which tell their identities.
    pub(crate) fn memory(node: &TestNode) -> Self {
        let memory = node.server.node.streams().memory().clone();
        memory.tell_ids();
        Self::Memory(memory)
    }

    /// The node's own log.
    pub(crate) fn local(node: &TestNode) -> Self {
        Self::Local(node.server.node.streams().local().clone())
    }

    /// The real broker, where there is one.
    pub(crate) fn kafka() -> Option<Self> {
        let found = TestBroker::find().map(Self::Kafka);
        if found.is_none() {
            eprintln!("skipped: WEIR_KAFKA names no broker");
        }
        found
    }

    /// A real Pulsar, where there is one.
    pub(crate) async fn pulsar() -> Option<Self> {
        let found = TestPulsar::find().await.map(Self::Pulsar);
        if found.is_none() {
            eprintln!("skipped: WEIR_PULSAR names no broker");
        }
        found
    }

    /// A stand-in for Kinesis, where there is one.
    pub(crate) fn kinesis() -> Option<Self> {
        let found = TestKinesis::find().map(Self::Kinesis);
        if found.is_none() {
            eprintln!("skipped: WEIR_KINESIS names no service");
        }
        found
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Local(_) => "local",
            Self::Kafka(_) => "kafka",
            Self::Pulsar(_) => "pulsar",
            Self::Kinesis(_) => "kinesis",
        }
    }

    /// A topic of that many partitions, under a name that no other run uses.
    pub(crate) async fn topic(&self, name: &str, partitions: u32) -> String {
        let name = TestBroker::name(name);
        self.create(&name, partitions).await;
        name
    }

    pub(crate) async fn create(&self, name: &str, partitions: u32) {
        match self {
            Self::Memory(memory) => memory.create(&topic(name), partitions),
            Self::Local(local) => drop(local.create_topic(&topic(name), partitions).unwrap()),
            Self::Kafka(broker) => broker.create(name, partitions).await,
            Self::Pulsar(broker) => broker.create(name, partitions),
            Self::Kinesis(service) => service.create(name, i32::try_from(partitions).unwrap()).await,
        }
    }

    pub(crate) async fn grow(&self, name: &str, partitions: u32) {
        match self {
            Self::Memory(_) | Self::Local(_) => self.create(name, partitions).await,
            Self::Kafka(broker) => broker.grow(name, partitions).await,
            Self::Pulsar(broker) => broker.grow(name, partitions),
            Self::Kinesis(_) => panic!("shards are split one by one"),
        }
    }

    /// Deletes a topic and makes it again, empty.
    pub(crate) async fn recreate(&self, name: &str, partitions: u32) {
        match self {
            Self::Memory(memory) => memory.recreate(&topic(name)),
            Self::Local(local) => {
                local.delete_topic(&topic(name)).unwrap();
                self.create(name, partitions).await;
            }
            Self::Kafka(broker) => {
                broker.delete(name).await;
                broker.create(name, partitions).await;
            }
            Self::Pulsar(_) | Self::Kinesis(_) => panic!("tests of the connector make topics anew"),
        }
    }

    /// Deletes the messages of a partition before `offset`.
    pub(crate) async fn expire(&self, name: &str, partition: u32, offset: u64) {
        match self {
            Self::Memory(memory) => memory.truncate_before(&topic(name), partition, NextOffset::new(offset)),
            Self::Local(_) => panic!("the local log keeps what is needed"),
            Self::Kafka(broker) => broker.delete_before(name, partition, offset).await,
            Self::Pulsar(_) | Self::Kinesis(_) => panic!("no message is deleted by its offset there"),
        }
    }

    /// Appends rows with these ids.
    pub(crate) async fn append(&self, name: &str, partition: u32, ids: impl IntoIterator<Item = i64>) {
        let messages: Vec<TestMessage> =
            ids.into_iter().map(|id| TestMessage::of(json!({ "id": id }).to_string())).collect();
        self.append_messages(name, partition, &messages).await;
    }

    /// Appends messages.
    pub(crate) async fn append_messages(&self, name: &str, partition: u32, messages: &[TestMessage]) {
        let bytes = |bytes: &Option<Vec<u8>>| bytes.clone().map(Bytes::from);
        let headers = |message: &TestMessage| {
            message.headers.iter().map(|(name, value)| (name.clone(), Bytes::from(value.clone()))).collect()
        };
        match self {
            Self::Memory(memory) => {
                for message in messages {
                    let (key, value) = (bytes(&message.key), bytes(&message.value));
                    let at = message.timestamp_ms.unwrap_or(1_767_225_600_000);
                    memory.append(&topic(name), partition, key, value, headers(message), at);
                }
            }
            Self::Local(local) => {
                let record = |message: &TestMessage| ProduceRecord {
                    partition: Some(partition),
                    key: bytes(&message.key),
                    value: bytes(&message.value),
                    headers: headers(message),
                    timestamp_ms: message.timestamp_ms,
                };
                local.produce(&topic(name), messages.iter().map(record).collect(), None).await.unwrap();
            }
            Self::Kafka(broker) => broker.append_messages(name, partition, messages).await,
            Self::Pulsar(broker) => {
                // Some alone in their entries, some with others.
                let topic = format!("{name}-partition-{partition}");
                for (at, some) in messages.chunks(700).enumerate() {
                    let value = |message: &TestMessage| {
                        let key = message.key.clone().map(|key| String::from_utf8(key).unwrap());
                        (key, message.value.clone().unwrap_or_default())
                    };
                    broker.append_values(&topic, (at as u32 % 2) * 35, some.iter().map(value).collect()).await;
                }
            }
            Self::Kinesis(service) => {
                // Each record has a key.
                let record = |message: &TestMessage| {
                    let key = message.key.clone().map_or("k".to_owned(), |key| String::from_utf8(key).unwrap());
                    (key, message.value.clone().unwrap_or_default())
                };
                service.append(name, partition as usize, messages.iter().map(record).collect()).await;
            }
        }
    }

    /// A stream map of a topic, or of a pattern that starts with `~`, with `more` settings below `stream.<type>.`.
    pub(crate) fn map(&self, name: &str, more: &[(&str, &str)]) -> Json {
        let kind = self.kind();
        let mut map = json!({ "streamType": kind });
        let mut set = |key: &str, value: &str| map[format!("stream.{kind}.{key}")] = value.into();
        match name.strip_prefix('~') {
            Some(pattern) => set("topic.pattern", pattern),
            None => set("topic.name", name),
        }
        set("decoder.class.name", "json");
        set("consumer.prop.auto.offset.reset", "smallest");
        set("fetch.timeout.millis", "200");
        match self {
            Self::Kafka(broker) => set("broker.list", &broker.address),
            Self::Pulsar(broker) => set("bootstrap.servers", &format!("pulsar://{}", broker.address)),
            Self::Kinesis(service) => {
                let endpoint = format!("http://{}", service.address);
                for (key, value) in [
                    ("region", "us-east-1"),
                    ("endpoint", &endpoint),
                    ("accessKey", "key"),
                    ("secretKey", "secret"),
                    ("requests_per_second_limit", "1000"),
                ] {
                    map[key] = value.into();
                }
            }
            Self::Memory(_) | Self::Local(_) => {}
        }
        for (key, value) in more {
            match key.strip_prefix("/") {
                Some(bare) => map[bare] = (*value).into(),
                None => map[format!("stream.{kind}.{key}")] = (*value).into(),
            }
        }
        map
    }
}

/// A document of a table with one column, `id`, over some stream maps.
pub(crate) fn ids(table: &str, maps: &[Json]) -> Json {
    json!({
        "tableName": table,
        "schema": {"schemaName": table, "dimensionFieldSpecs": [{"name": "id", "dataType": "LONG"}]},
        "realtime": {
            "tableName": table,
            "tableType": "REALTIME",
            "segmentsConfig": {"replication": "1"},
            "tenants": {},
            "tableIndexConfig": {},
            "ingestionConfig": {"streamIngestionConfig": {"streamConfigMaps": maps}},
            "metadata": {},
        },
    })
}
