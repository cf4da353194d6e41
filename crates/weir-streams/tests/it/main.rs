//! Kafka against a real broker: its address is `WEIR_KAFKA`. Without one the tests say that they were skipped, or fail where
//! `WEIR_TEST_REAL=required`. Each test makes topics of its own.
#![cfg(feature = "kafka")]

mod broker;
mod proxy;
mod secure;
mod shared;
mod stalled;

use broker::{Broker, LIMIT, read_to, spec};
use futures::FutureExt as _;
use rdkafka::producer::Producer;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use weir_streams::{
    FetchLimit, PartitionReader, SharedSource, StreamError, Watermarks,
    conformance::{self, Sent, Subject},
    kafka,
};
use weir_types::NextOffset;

const DEADLINE: Duration = Duration::from_secs(30);

/// What the error is that a reader meets, at opening or later.
async fn error_of(source: &SharedSource, partition: u32, from: u64) -> StreamError {
    let mut reader = match source.open(partition, NextOffset::new(from)).await {
        Ok(reader) => reader,
        Err(error) => return error,
    };
    let until = Instant::now() + DEADLINE;
    while Instant::now() < until {
        if let Err(error) = reader.next_batch(LIMIT).await {
            return error;
        }
    }
    panic!("no error came in {DEADLINE:?}");
}

struct Kafka {
    broker: Broker,
    topic: String,
}

#[async_trait::async_trait]
impl Subject for Kafka {
    fn source(&self) -> SharedSource {
        self.broker.source(&self.topic, &[])
    }

    fn missing(&self) -> SharedSource {
        self.broker.source(&format!("{}-missing", self.topic), &[])
    }

    async fn append(&self, partition: u32, messages: Vec<Sent>) {
        self.broker.append(&self.topic, partition, messages).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_a_stream() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("conformance", 2).await;
    conformance::run(&Kafka { broker, topic }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_committed_is_read_and_the_end_is_reached() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("transactions", 1).await;
    let producer = broker.transactional(&topic).await;
    let mut expected = vec![];
    for round in 0..6 {
        producer.begin_transaction().expect("a transaction begins");
        for n in 0..3 {
            let value = format!("{round}-{n}");
            broker::send(&producer, &topic, 0, None, Some(value.as_bytes()), None).await;
            if round % 2 == 0 {
                expected.push(value);
            }
        }
        match round % 2 {
            0 => producer.commit_transaction(DEADLINE).expect("it commits"),
            _ => producer.abort_transaction(DEADLINE).expect("it aborts"),
        }
    }
    // Six times three messages and a control record; the last transaction is aborted: nothing of it is read.
    let log_end = NextOffset::new(6 * 4);
    let source = broker.source(&topic, &[("isolation.level", "read_committed")]);
    let mut reader = source.open(0, NextOffset::ZERO).await.expect("it opens");
    let read = read_to(&mut reader, log_end).await;
    assert_eq!(read.values, expected);
    assert_eq!(read.end, log_end, "the range ends behind aborted and control records");
    assert_eq!(read.high, Some(log_end));

    let all = broker.source(&topic, &[]);
    let mut reader = all.open(0, NextOffset::ZERO).await.expect("it opens");
    let read = read_to(&mut reader, log_end).await;
    assert_eq!(read.values.len(), 18, "whoever does not ask for committed data gets all");
    assert_eq!(read.end, log_end);

    // From inside an aborted stretch.
    let mut reader = source.open(0, NextOffset::new(5)).await.expect("it opens");
    assert_eq!(read_to(&mut reader, log_end).await.values, expected[3..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_ends_what_is_read_until_it_commits() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("open-transaction", 1).await;
    let producer = broker.transactional(&topic).await;
    broker.append(&topic, 0, vec![broker::sent("before")]).await;
    producer.begin_transaction().expect("a transaction begins");
    broker::send(&producer, &topic, 0, None, Some(b"inside"), None).await;
    broker.append(&topic, 0, vec![broker::sent("behind")]).await;
    let source = broker.source(&topic, &[("isolation.level", "read_committed")]);
    let mut reader = source.open(0, NextOffset::ZERO).await.expect("it opens");
    let read = read_to(&mut reader, NextOffset::new(1)).await;
    assert_eq!(read.values, ["before"]);
    // Several fetches: the end stays where the open transaction begins.
    for _ in 0..5 {
        let batch = reader.next_batch(LIMIT).await.expect("a batch comes");
        assert!(batch.messages.is_empty() && batch.range.end() == NextOffset::new(1));
    }
    producer.commit_transaction(DEADLINE).expect("it commits");
    let read = read_to(&mut reader, NextOffset::new(4)).await;
    assert_eq!(read.values, ["inside", "behind"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_keys_and_tombstones_come_through() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("headers", 1).await;
    let producer = broker.producer(&[]);
    let headers = [("h", "1"), ("other", "2"), ("h", "3")];
    broker::send(&producer, &topic, 0, Some(b"k"), None, Some(&headers)).await;
    let source = broker.source(&topic, &[]);
    let mut reader = source.open(0, NextOffset::ZERO).await.expect("it opens");
    let until = Instant::now() + DEADLINE;
    let batch = loop {
        let batch = reader.next_batch(LIMIT).await.expect("a batch comes");
        if !batch.messages.is_empty() {
            break batch;
        }
        assert!(Instant::now() < until, "the message comes");
    };
    assert_eq!(batch.messages.key(0), Some(&b"k"[..]));
    assert_eq!(batch.messages.value(0), None);
    assert_eq!(batch.messages.header(0, "h"), Some(&b"3"[..]), "the last of a name counts");
    assert_eq!(batch.messages.header(0, "none"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_missing_is_named() {
    let Some(broker) = Broker::find() else { return };
    let name = broker.name("missing");
    let error = broker.source(&name, &[]).partitions().await.expect_err("it is not there");
    assert!(matches!(&error, StreamError::TopicMissing { topic, .. } if *topic == name), "{error}");
    let error = broker.source(&name, &[]).watermarks(0).await.expect_err("it is not there");
    assert!(matches!(error, StreamError::TopicMissing { .. } | StreamError::PartitionMissing { .. }), "{error}");
    // Asking did not make it.
    let error = broker.source(&name, &[]).partitions().await.expect_err("it is not there");
    assert!(matches!(error, StreamError::TopicMissing { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_deleted_is_missed_by_its_reader() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("deleted-topic", 1).await;
    broker.append(&topic, 0, vec![broker::sent("one")]).await;
    let source = broker.source(&topic, &[]);
    let mut reader = source.open(0, NextOffset::ZERO).await.expect("it opens");
    assert_eq!(read_to(&mut reader, NextOffset::new(1)).await.values, ["one"]);
    broker.delete(&topic).await;
    let until = Instant::now() + DEADLINE;
    let error = loop {
        assert!(Instant::now() < until, "the reader is told");
        if let Err(error) = reader.next_batch(LIMIT).await {
            break error;
        }
    };
    assert!(matches!(error, StreamError::TopicMissing { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_partitions_are_seen_and_read() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("grows", 1).await;
    let source = broker.source(&topic, &[]);
    assert_eq!(source.partitions().await.expect("partitions"), [0]);
    broker.grow(&topic, 3).await;
    let until = Instant::now() + DEADLINE;
    while source.partitions().await.expect("partitions") != [0, 1, 2] {
        assert!(Instant::now() < until, "new partitions are seen");
    }
    broker.append(&topic, 2, vec![broker::sent("new")]).await;
    let mut reader = source.open(2, NextOffset::ZERO).await.expect("it opens");
    assert_eq!(read_to(&mut reader, NextOffset::new(1)).await.values, ["new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_records_are_out_of_range_with_what_is_held() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("deleted", 1).await;
    broker.append(&topic, 0, (0..10).map(|n| broker::sent(&n.to_string())).collect()).await;
    broker.delete_before(&topic, 0, 6).await;
    let source = broker.source(&topic, &[]);
    let held = Watermarks { low: NextOffset::new(6), high: NextOffset::new(10) };
    assert_eq!(source.watermarks(0).await.expect("watermarks"), held);
    let error = error_of(&source, 0, 2).await;
    let expected = StreamError::OutOfRange { topic: topic.clone(), partition: 0, asked: NextOffset::new(2), held };
    assert_eq!(error, expected);
    let mut reader = source.open(0, held.low).await.expect("it opens");
    assert_eq!(read_to(&mut reader, held.high).await.values, ["6", "7", "8", "9"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_nobody_waited_for_comes_again() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("dropped-error", 1).await;
    broker.append(&topic, 0, vec![broker::sent("one")]).await;
    let source = broker.source(&topic, &[]);
    let mut reader = source.open(0, NextOffset::new(9)).await.expect("it opens");
    // Fetches that are given up at their first wait, for long enough that the error has come up in one of them. The question
    // to the broker goes on meanwhile, so one of them may tell the error.
    let mut told = None;
    for _ in 0..150 {
        told = reader.next_batch(LIMIT).now_or_never().and_then(Result::err);
        if told.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let until = Instant::now() + Duration::from_secs(10);
    while told.is_none() {
        assert!(Instant::now() < until, "the error comes to a fetch that waits");
        told = reader.next_batch(LIMIT).await.err();
    }
    assert!(matches!(told, Some(StreamError::OutOfRange { .. })), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_keeps_to_its_bytes() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("bytes", 1).await;
    let large = |n: u8| Sent { timestamp_ms: 1_700_000_000_000, key: None, value: Some(vec![n; 200_000]) };
    broker.append(&topic, 0, (0..60).map(large).collect()).await;
    let source = broker.source(&topic, &[]);
    for (max_bytes, most) in [(1 << 20, 5), (1, 1)] {
        let mut reader = source.open(0, NextOffset::ZERO).await.expect("it opens");
        let limit = FetchLimit { max_messages: 1000, max_bytes };
        let (mut next, mut largest) = (NextOffset::ZERO, 0);
        let until = Instant::now() + DEADLINE;
        while next < NextOffset::new(60) {
            assert!(Instant::now() < until, "{next} of 60 was reached");
            let batch = reader.next_batch(limit).await.expect("a batch comes");
            assert_eq!(batch.range.start(), next, "batches follow one another");
            next = batch.range.end();
            largest = largest.max(batch.messages.len());
            // The rest is in the client's queue when the next one is asked for.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(largest, most, "as many as fit, one at least");
    }
}

/// A pipeline gives its fetches up every 200 ms, long before a table's fetch time-out.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topic_is_missed_by_one_who_gives_fetches_up() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("gone", 1).await;
    broker.append(&topic, 0, vec![broker::sent("one")]).await;
    let settings = BTreeMap::from([("bootstrap.servers".to_owned(), broker.address.clone())]);
    let mut spec = spec(&topic, settings);
    spec.fetch_timeout = Duration::from_secs(5);
    let source = kafka::source(&spec, std::sync::Arc::default()).expect("its settings are right");
    let mut reader = source.open(0, NextOffset::ZERO).await.expect("it opens");
    assert_eq!(read_to(&mut reader, NextOffset::new(1)).await.values, ["one"]);
    broker.delete(&topic).await;
    let until = Instant::now() + DEADLINE;
    let error = loop {
        assert!(Instant::now() < until, "somebody says that the topic is gone");
        if let Ok(Err(error)) = tokio::time::timeout(Duration::from_millis(200), reader.next_batch(LIMIT)).await {
            break error;
        }
    };
    assert!(matches!(error, StreamError::TopicMissing { .. }), "{error}");
}

/// Brokers that cannot be reached, and what the error must name. They need no broker, so these always run.
async fn unreachable(servers: &str, named: &str) {
    let settings = BTreeMap::from([("bootstrap.servers".to_owned(), servers.to_owned())]);
    let source = kafka::source(&spec("t", settings), std::sync::Arc::default()).expect("its settings are right");
    let started = Instant::now();
    let error = source.partitions().await.expect_err("nobody answers");
    assert!(matches!(&error, StreamError::Unreachable { reason, .. } if reason.contains(named)), "{error}");
    assert!(started.elapsed() < Duration::from_secs(8), "it took {:?}", started.elapsed());
    let started = Instant::now();
    let error = error_of(&source, 0, 0).await;
    assert!(matches!(&error, StreamError::Unreachable { reason, .. } if reason.contains(named)), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5), "it took {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_listens_the_refusal_is_said() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    unreachable(&format!("127.0.0.1:{port}"), "refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_knows_is_said() {
    unreachable("no-such-host.invalid:9092", "resolve").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_brokers_is_enough() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("one-of-two", 1).await;
    broker.append(&topic, 0, vec![broker::sent("one")]).await;
    let servers = format!("no-such-host.invalid:9092,{}", broker.address);
    let source = broker.source(&topic, &[("bootstrap.servers", &servers)]);
    let until = Instant::now() + DEADLINE;
    let mut reader: Box<dyn PartitionReader> = source.open(0, NextOffset::ZERO).await.expect("it opens");
    let mut messages = 0;
    // Read on for two seconds behind the message: a broker that is away is no error.
    let behind = Duration::from_secs(2);
    let mut since = None::<Instant>;
    while since.is_none_or(|since| since.elapsed() < behind) {
        assert!(Instant::now() < until, "the message comes");
        messages += reader.next_batch(LIMIT).await.expect("one broker is enough").messages.len();
        if messages == 1 {
            since.get_or_insert_with(Instant::now);
        }
    }
    assert_eq!(source.partitions().await.expect("partitions"), [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_has_another_identity_and_all_are_listed() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("identity", 1).await;
    let source = broker.source(&topic, &[]);
    let first = source.topic_id().await.unwrap().expect("the broker is new enough");
    assert_eq!(source.topic_id().await.unwrap().as_ref(), Some(&first));
    assert!(source.topics().await.unwrap().iter().any(|found| found.as_str() == topic));
    broker.delete(&topic).await;
    let until = Instant::now() + DEADLINE;
    while !matches!(source.topic_id().await, Err(StreamError::TopicMissing { .. })) {
        assert!(Instant::now() < until, "a deleted topic is missing");
    }
    broker.make(&topic, 1).await;
    let second = source.topic_id().await.unwrap().expect("it has an identity");
    assert_ne!(second, first);
}

/// Made anew and empty within a moment, the topic may never look deleted to the client, which then stays silent.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_ends_before_the_next_offset_is_said() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("shorter", 1).await;
    broker.append(&topic, 0, vec![broker::sent("one"), broker::sent("two")]).await;
    let mut reader = broker.source(&topic, &[]).open(0, NextOffset::ZERO).await.expect("it opens");
    assert_eq!(read_to(&mut reader, NextOffset::new(2)).await.values, ["one", "two"]);
    broker.delete(&topic).await;
    broker.make(&topic, 1).await;
    let until = Instant::now() + DEADLINE;
    let error = loop {
        assert!(Instant::now() < until, "the reader is told");
        match reader.next_batch(LIMIT).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    let said = match &error {
        StreamError::OutOfRange { asked, held, .. } => *asked == NextOffset::new(2) && held.high == NextOffset::ZERO,
        StreamError::TopicMissing { .. } | StreamError::PartitionMissing { .. } => true,
        _ => false,
    };
    assert!(said, "{error:?}");
}
