//! Clients that the library leaves without a way to read: they are noticed, and others take their place.

use crate::{
    broker::{self, Broker, LIMIT, read_to},
    proxy::Proxy,
};
use rdkafka::producer::Producer;
use std::time::{Duration, Instant};
use weir_streams::{PartitionReader, SharedSource, StreamError, conformance::Sent};
use weir_types::NextOffset;

/// Of eight partitions, 1 and 5 share a client.
const PARTITIONS: i32 = 8;
const PAIR: [u32; 2] = [1, 5];
/// Whatever has not come by then does not come.
const DEADLINE: Duration = Duration::from_secs(30);
/// The client asks again what the topic is this often.
const REFRESH: (&str, &str) = ("topic.metadata.refresh.interval.ms", "100");

fn messages(names: &[&str]) -> Vec<Sent> {
    names.iter().map(|name| broker::sent(name)).collect()
}

async fn open(source: &SharedSource, partition: u32, from: u64) -> Box<dyn PartitionReader> {
    source.open(partition, NextOffset::new(from)).await.expect("it opens")
}

/// The values of what comes within some time.
async fn within(reader: &mut Box<dyn PartitionReader>, time: Duration) -> Vec<String> {
    let (until, mut values) = (Instant::now() + time, vec![]);
    while Instant::now() < until {
        let batch = reader.next_batch(LIMIT).await.expect("no error comes");
        let value = |at| String::from_utf8_lossy(batch.messages.value(at).unwrap_or_default()).into_owned();
        values.extend((0..batch.messages.len()).map(value));
    }
    values
}

/// That nothing comes within some time; the reason, where the reader has told it by then.
async fn nothing_within(reader: &mut Box<dyn PartitionReader>, time: Duration) -> Option<String> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        match reader.next_batch(LIMIT).await {
            Ok(batch) => assert!(batch.messages.is_empty(), "its client fetches nothing"),
            Err(StreamError::Unreachable { reason, .. }) => return Some(reason),
            Err(error) => panic!("{error:?}"),
        }
    }
    None
}

/// The reason for which the stream cannot be read, which the reader is to tell, and how long it took.
async fn unreachable(reader: &mut Box<dyn PartitionReader>) -> (String, Duration) {
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < DEADLINE, "the reader is told");
        match reader.next_batch(LIMIT).await {
            Ok(batch) => assert!(batch.messages.is_empty(), "nothing comes"),
            Err(StreamError::Unreachable { reason, .. }) => return (reason, started.elapsed()),
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// A broker that goes away may say, with its last answer, that the cluster has no brokers: the library drops those that it
/// knew, and may never look for others.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_told_of_no_brokers_is_replaced() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("no-brokers", 1).await;
    broker.append(&topic, 0, messages(&["one"])).await;
    let proxy = Proxy::start(&broker.address).await;
    let source = broker.source(&topic, &[("bootstrap.servers", &proxy.address), REFRESH]);
    let mut reader = open(&source, 0, 0).await;
    assert_eq!(read_to(&mut reader, NextOffset::new(1)).await.values, ["one"]);

    proxy.hide_brokers(true);
    // The client that is asked is told so too, with an answer that is whole otherwise.
    assert_eq!(source.partitions().await.expect("it answers"), [0]);
    unreachable(&mut reader).await;
    drop(reader);
    tokio::time::sleep(Duration::from_millis(500)).await;
    proxy.hide_brokers(false);

    broker.append(&topic, 0, messages(&["two"])).await;
    let started = Instant::now();
    assert_eq!(source.partitions().await.expect("it answers again"), [0]);
    let mut reader = open(&source, 0, 1).await;
    assert_eq!(read_to(&mut reader, NextOffset::new(2)).await.values, ["two"]);
    assert!(started.elapsed() < Duration::from_secs(3), "it took {:?}", started.elapsed());
}

/// A topic that is made anew has leaders of a lower epoch than the one before, which elections have raised. The library takes
/// what it is told of them for outdated, and its fetches are refused for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_with_older_leaders_is_read_by_another_client() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("older-leaders", PARTITIONS).await;
    let proxy = Proxy::start(&broker.address).await;
    let source = broker.source(&topic, &[("bootstrap.servers", &proxy.address), REFRESH]);
    for partition in PAIR {
        broker.append(&topic, partition, messages(&["old"])).await;
    }
    let [mut one, mut five] = [open(&source, PAIR[0], 0).await, open(&source, PAIR[1], 0).await];
    for reader in [&mut one, &mut five] {
        assert_eq!(read_to(reader, NextOffset::new(1)).await.values, ["old"]);
    }
    // Elections, as far as the client is told.
    proxy.raise_epochs(7);
    tokio::time::sleep(Duration::from_secs(1)).await;
    proxy.hold(true);
    broker.delete(&topic).await;
    broker.make(&topic, PARTITIONS).await;
    proxy.raise_epochs(0);
    proxy.hold(false);
    for partition in PAIR {
        broker.append(&topic, partition, messages(&["new", "newer"])).await;
    }
    // It is asked after five seconds of silence: on a slow machine they may be over.
    let early = nothing_within(&mut five, Duration::from_secs(2)).await;

    // The other one's reader is still there, and so is their client.
    drop(one);
    let started = Instant::now();
    let mut one = open(&source, PAIR[0], 0).await;
    assert_eq!(read_to(&mut one, NextOffset::new(2)).await.values, ["new", "newer"]);
    assert!(started.elapsed() < Duration::from_secs(4), "it took {:?}", started.elapsed());

    let reason = match early {
        Some(reason) => reason,
        None => unreachable(&mut five).await.0,
    };
    assert!(reason.contains("fetches nothing from 1 on, for the topic was made anew"), "{reason}");
    drop(five);
    let mut five = open(&source, PAIR[1], 0).await;
    assert_eq!(read_to(&mut five, NextOffset::new(2)).await.values, ["new", "newer"]);
}

/// Whatever keeps a client from fetching: it is not waited for longer than it waits for an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_fetch_what_is_there_is_replaced() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("never-fetched", 1).await;
    let proxy = Proxy::start(&broker.address).await;
    let patience = ("socket.timeout.ms", "4000");
    let source = broker.source(&topic, &[("bootstrap.servers", &proxy.address), REFRESH, patience]);
    broker.append(&topic, 0, messages(&["one"])).await;
    let mut reader = open(&source, 0, 0).await;
    assert_eq!(read_to(&mut reader, NextOffset::new(1)).await.values, ["one"]);
    proxy.raise_epochs(7);
    tokio::time::sleep(Duration::from_secs(1)).await;
    proxy.raise_epochs(0);

    // A log that holds no more is no reason, however long it is quiet.
    assert_eq!(within(&mut reader, Duration::from_secs(11)).await, [""; 0]);
    broker.append(&topic, 0, messages(&["two"])).await;
    let (reason, took) = unreachable(&mut reader).await;
    assert!(reason.contains("holds offsets before 2, and the client fetches nothing from 1 on:"), "{reason}");
    assert!(took >= Duration::from_secs(4), "a fetch that is on its way is waited for: {took:?}");
    drop(reader);
    let mut reader = open(&source, 0, 1).await;
    assert_eq!(read_to(&mut reader, NextOffset::new(2)).await.values, ["two"]);
}

/// What an open transaction holds back is there and does not come, which is as it should be.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_is_waited_for() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("long-transaction", 1).await;
    let patience = ("socket.timeout.ms", "2000");
    let source = broker.source(&topic, &[("isolation.level", "read_committed"), patience]);
    let mut reader = open(&source, 0, 0).await;
    let producer = broker.transactional(&topic).await;
    producer.begin_transaction().expect("a transaction begins");
    broker::send(&producer, &topic, 0, None, Some(b"inside"), None).await;
    broker.append(&topic, 0, messages(&["behind"])).await;
    // Longer than two silences, between which the patience ends.
    assert_eq!(within(&mut reader, Duration::from_secs(13)).await, [""; 0]);
    producer.commit_transaction(DEADLINE).expect("it commits");
    assert_eq!(read_to(&mut reader, NextOffset::new(3)).await.values, ["inside", "behind"]);
}
