//! The memory stream against the suite of all streams, and what can be made to happen to it.

use super::*;
use crate::conformance::{self, Sent, Subject};

const TIMEOUT: Duration = Duration::from_millis(50);
const LIMIT: FetchLimit = FetchLimit { max_messages: 10, max_bytes: 1 << 20 };

fn topic(name: &str) -> TopicName {
    TopicName::parse(name).expect("it is a topic's name")
}

fn add(streams: &MemoryStreams, partition: u32, value: &'static str) -> NextOffset {
    streams.append(&topic("t"), partition, None, Some(Bytes::from_static(value.as_bytes())), vec![], 0)
}

struct Memory(Arc<MemoryStreams>);

#[async_trait]
impl Subject for Memory {
    fn source(&self) -> SharedSource {
        self.0.source(topic("t"), TIMEOUT)
    }

    fn missing(&self) -> SharedSource {
        self.0.source(topic("missing"), TIMEOUT)
    }

    async fn append(&self, partition: u32, messages: Vec<Sent>) {
        for sent in messages {
            let (key, value) = (sent.key.map(Bytes::from), sent.value.map(Bytes::from));
            self.0.append(&topic("t"), partition, key, value, vec![], sent.timestamp_ms);
        }
    }
}

#[tokio::test]
async fn it_is_a_stream() {
    let streams = MemoryStreams::new();
    streams.create(&topic("t"), 2);
    conformance::run(&Memory(streams)).await;
}

#[tokio::test]
async fn what_retention_took_is_out_of_range() {
    let streams = MemoryStreams::new();
    streams.create(&topic("t"), 1);
    for value in ["a", "b", "c"] {
        add(&streams, 0, value);
    }
    let source = streams.source(topic("t"), TIMEOUT);
    let mut reader = source.open(0, NextOffset::ZERO).await.unwrap();
    streams.truncate_before(&topic("t"), 0, NextOffset::new(2));
    let error = reader.next_batch(LIMIT).await.err();
    let held = Watermarks { low: NextOffset::new(2), high: NextOffset::new(3) };
    assert!(matches!(error, Some(StreamError::OutOfRange { held: found, .. }) if found == held), "{error:?}");
    let mut reader = source.open(0, NextOffset::new(2)).await.unwrap();
    assert_eq!(reader.next_batch(LIMIT).await.unwrap().messages.value(0), Some(&b"c"[..]));
}

#[tokio::test]
async fn a_topic_that_is_down_answers_again_and_one_made_anew_starts_at_zero() {
    let streams = MemoryStreams::new();
    streams.create(&topic("t"), 1);
    let source = streams.source(topic("t"), Duration::from_secs(30));
    let mut reader = source.open(0, NextOffset::ZERO).await.unwrap();
    streams.set_down(&topic("t"), true);
    assert!(matches!(reader.next_batch(LIMIT).await, Err(StreamError::Unreachable { .. })));
    assert!(matches!(source.partitions().await, Err(StreamError::Unreachable { .. })));
    streams.set_down(&topic("t"), false);
    add(&streams, 0, "a");
    assert_eq!(reader.next_batch(LIMIT).await.unwrap().messages.len(), 1);
    assert_eq!(source.topic_id().await.unwrap(), None, "a stream may tell no identity");
    streams.tell_ids();
    let id = source.topic_id().await.unwrap();
    streams.recreate(&topic("t"));
    assert!(id.is_some() && source.topic_id().await.unwrap() != id);
    assert_eq!(source.topics().await.unwrap(), [topic("t")]);
    assert!(matches!(reader.next_batch(LIMIT).await, Err(StreamError::OutOfRange { .. })));
    assert_eq!(add(&streams, 0, "b"), NextOffset::ZERO);
}

#[tokio::test]
async fn partitions_are_added_and_a_waiting_fetch_is_woken() {
    let streams = MemoryStreams::new();
    streams.create(&topic("t"), 1);
    let source = streams.source(topic("t"), Duration::from_secs(30));
    streams.create(&topic("t"), 3);
    assert_eq!(source.partitions().await.unwrap(), [0, 1, 2]);
    let mut reader = source.open(2, NextOffset::ZERO).await.unwrap();
    assert!(reader.next_batch(LIMIT).await.unwrap().range.is_empty(), "the end is told at once");
    let waiting = tokio::spawn(async move { reader.next_batch(LIMIT).await.unwrap().messages.len() });
    tokio::task::yield_now().await;
    add(&streams, 2, "a");
    let woken = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    assert_eq!(woken.expect("it is woken by the message").unwrap(), 1);
}
