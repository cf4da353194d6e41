//! Readers that share a client: of eight partitions, 1 and 5 do.

use crate::broker::{self, Broker, LIMIT, read_to};
use std::time::{Duration, Instant};
use weir_streams::{FetchLimit, PartitionReader, SharedSource, StreamError, conformance::Sent, queues::Queues};
use weir_types::NextOffset;

const PARTITIONS: i32 = 8;
const PAIR: [u32; 2] = [1, 5];
const DEADLINE: Duration = Duration::from_secs(30);

fn messages(range: std::ops::Range<usize>, bytes: usize) -> Vec<Sent> {
    range.map(|n| broker::sent(&format!("{n:0bytes$}"))).collect()
}

async fn open(source: &SharedSource, partition: u32, from: u64) -> Box<dyn PartitionReader> {
    source.open(partition, NextOffset::new(from)).await.expect("it opens")
}

/// Reads the messages from `from` up to `to` at least, whose values are their offsets, and none beside them. Returns where
/// it has come to.
async fn read_exactly(reader: &mut Box<dyn PartitionReader>, from: u64, to: u64) -> u64 {
    let until = Instant::now() + DEADLINE;
    let mut next = NextOffset::new(from);
    while next < NextOffset::new(to) {
        assert!(Instant::now() < until, "{next} of {to} was reached");
        let batch = reader.next_batch(LIMIT).await.expect("a batch comes");
        assert_eq!(batch.range.start(), next, "batches follow one another");
        for at in 0..batch.messages.len() {
            assert_eq!(batch.messages.offset(at), next, "no message is left out or comes from elsewhere");
            let value = std::str::from_utf8(batch.messages.value(at).expect("it has a value")).expect("digits");
            assert_eq!(value.parse::<u64>().expect("a number"), next.number());
            next = next.after();
        }
        assert_eq!(batch.range.end(), next);
    }
    next.number()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stands_still_holds_up_nobody() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("slow-neighbour", PARTITIONS).await;
    // Eight queues of 64 KiB, and some MiB for each.
    let source = broker.source_within(&topic, Queues::new(1 << 20));
    for partition in PAIR {
        broker.append(&topic, partition, messages(0..5000, 1000)).await;
    }
    let [mut still, mut reader] = [open(&source, PAIR[0], 0).await, open(&source, PAIR[1], 0).await];
    let first = still.next_batch(FetchLimit { max_messages: 1, max_bytes: 1 }).await.expect("a batch comes");
    read_exactly(&mut reader, 0, 5000).await;
    let first_end = first.range.end().number();
    drop(first);
    read_exactly(&mut still, first_end, 5000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_begins_elsewhere_gets_nothing_of_before_and_disturbs_nobody() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("rewinds", PARTITIONS).await;
    let source = broker.source_within(&topic, Queues::new(64 << 20));
    for partition in PAIR {
        broker.append(&topic, partition, messages(0..20_000, 20)).await;
    }
    let (mut neighbour, mut at) = (open(&source, PAIR[0], 0).await, 0);
    for from in [0, 19_000, 5, 12_000, 11_999, 1, 18_000, 0] {
        // It is dropped with messages in its queue, on the way, and of a batch that is still held.
        let mut reader = open(&source, PAIR[1], from).await;
        let batch = loop {
            let batch = reader.next_batch(LIMIT).await.expect("a batch comes");
            if !batch.messages.is_empty() {
                break batch;
            }
        };
        assert_eq!(batch.range.start().number(), from);
        assert_eq!(batch.messages.offset(0).number(), from);
        drop(reader);
        let mut reader = open(&source, PAIR[1], from + 500).await;
        read_exactly(&mut reader, from + 500, from + 900).await;
        drop(reader);
        drop(batch);
        at = read_exactly(&mut neighbour, at, at + 2000).await;
    }
}

/// The places that messages are put into are kept from one batch to the next, of whatever size.
#[tokio::test(flavor = "multi_thread")]
async fn batches_of_any_size_bring_each_message_once() {
    const COUNT: u64 = 4000;
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("batch-sizes", 1).await;
    let source = broker.source(&topic, &[]);
    broker.append(&topic, 0, messages(0..COUNT as usize, 20)).await;
    let mut reader = open(&source, 0, 0).await;
    let (mut next, until) = (NextOffset::ZERO, Instant::now() + DEADLINE);
    for max_messages in [1, 700, 2, 64, 1, 5000].into_iter().cycle() {
        if next == NextOffset::new(COUNT) {
            break;
        }
        assert!(Instant::now() < until, "{next} of {COUNT} was reached");
        // Some batches are ended by their bytes: what is left over comes with the next one.
        let max_bytes = if max_messages == 64 { 90 } else { 1 << 20 };
        let batch = reader.next_batch(FetchLimit { max_messages, max_bytes }).await.expect("a batch comes");
        assert!(batch.messages.len() <= max_messages, "{} are more than {max_messages}", batch.messages.len());
        for at in 0..batch.messages.len() {
            assert_eq!(batch.messages.offset(at), next, "no message is left out or comes twice");
            let value = std::str::from_utf8(batch.messages.value(at).expect("it has a value")).expect("digits");
            assert_eq!(value.parse::<u64>().expect("a number"), next.number());
            next = next.after();
        }
        assert_eq!(batch.range.end(), next);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_one_partition_is_told_there_only() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("neighbours-error", PARTITIONS).await;
    let source = broker.source(&topic, &[]);
    broker.append(&topic, PAIR[0], messages(0..50, 10)).await;
    broker.append(&topic, PAIR[1], messages(0..10, 10)).await;
    let mut reader = open(&source, PAIR[0], 0).await;
    read_exactly(&mut reader, 0, 50).await;
    for round in 0..3 {
        let error = crate::error_of(&source, PAIR[1], 99).await;
        assert!(matches!(&error, StreamError::OutOfRange { partition, .. } if *partition == PAIR[1]), "{error:?}");
        let at = 50 + round * 10;
        broker.append(&topic, PAIR[0], messages(at..at + 10, 10)).await;
        read_exactly(&mut reader, at as u64, at as u64 + 10).await;
    }
    let mut healed = open(&source, PAIR[1], 0).await;
    read_exactly(&mut healed, 0, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_partition_has_two_readers() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("twice", 1).await;
    let source = broker.source(&topic, &[]);
    broker.append(&topic, 0, messages(0..500, 10)).await;
    let [mut first, mut second] = [open(&source, 0, 0).await, open(&source, 0, 200).await];
    let at = read_exactly(&mut first, 0, 250).await;
    read_exactly(&mut second, 200, 500).await;
    drop(second);
    read_exactly(&mut first, at, 500).await;
}

/// All partitions at once, each from where it is told to: the shares of one client are even.
#[tokio::test(flavor = "multi_thread")]
async fn forty_partitions_are_read_side_by_side() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.topic("forty", 40).await;
    let source = broker.source_within(&topic, Queues::new(32 << 20));
    let mut appended = tokio::task::JoinSet::new();
    for partition in 0..40 {
        let (address, topic) = (broker.address.clone(), topic.clone());
        appended.spawn(async move { broker::append_to(&address, &topic, partition, messages(0..1000, 200)).await });
    }
    appended.join_all().await;
    let mut reads = tokio::task::JoinSet::new();
    for partition in 0..40_u32 {
        let source = source.clone();
        reads.spawn(async move {
            let from = u64::from(partition) * 10;
            let mut reader = open(&source, partition, from).await;
            read_exactly(&mut reader, from, 1000).await;
            let read = read_to(&mut reader, NextOffset::ZERO).await;
            assert_eq!(read.high, Some(NextOffset::new(1000)), "the end of the log is known");
        });
    }
    reads.join_all().await;
}
