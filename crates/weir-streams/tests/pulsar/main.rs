//! Pulsar against a real node: its address is `WEIR_PULSAR`, its admin interface on the next port. Without one the tests say
//! that they were skipped, or fail where `WEIR_TEST_REAL=required`. Each test makes topics of its own.
#![cfg(feature = "pulsar")]
#![expect(clippy::unwrap_used, reason = "a test ends where the node does not do as it is told")]

mod broker;
mod raw;
mod secure;

use broker::{Broker, DEADLINE, LIMIT, error_of, no_more, quiet, read};
use pulsar::producer;
use raw::Beside;
use std::collections::HashMap;
use weir_streams::{
    ProbeStep, SharedSource, StreamError,
    conformance::{self, Sent, Subject},
};
use weir_types::{NextOffset, StartAt};

struct OfPulsar {
    broker: Broker,
    topic: String,
}

#[async_trait::async_trait]
impl Subject for OfPulsar {
    fn source(&self) -> SharedSource {
        self.broker.source(&self.topic, &[])
    }

    fn missing(&self) -> SharedSource {
        self.broker.source(&format!("{}-missing", self.topic), &[])
    }

    async fn append(&self, partition: u32, messages: Vec<Sent>) {
        let topic = format!("{}-partition-{partition}", self.topic);
        // Alone, and in entries of several.
        for (at, some) in messages.chunks(25).enumerate() {
            let batch = if at % 2 == 0 { 0 } else { 10 };
            let large = some.iter().any(|sent| sent.value.as_ref().is_some_and(|value| value.len() > 1 << 20));
            self.broker.append(&topic, if large { 0 } else { batch }, some.iter().map(broker::message).collect()).await;
        }
    }

    /// The producer's clock is a message's time.
    fn keeps_times(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_a_stream() {
    let Some(broker) = Broker::find().await else { return };
    let topic = broker.topic("conformance", 2);
    conformance::run(&OfPulsar { broker, topic }).await;
}

/// Whole entries come again where reading begins inside one: no row comes twice, none is missed, from any message on.
#[tokio::test(flavor = "multi_thread")]
async fn reading_goes_on_inside_a_batch() {
    let Some(broker) = Broker::find().await else { return };
    let topic = broker.topic("inside", 0);
    broker.values(&topic, 0, (0..2).map(|n| format!("a{n}"))).await;
    broker.values(&topic, 5, (0..10).map(|n| format!("b{n}"))).await;
    broker.values(&topic, 0, (0..2).map(|n| format!("c{n}"))).await;
    let source = broker.source(&topic, &[]);
    let mut reader = source.open(0, NextOffset::ZERO).await.unwrap();
    let all = read(&mut reader, 14).await;
    quiet(&mut reader).await;
    let offsets: Vec<u64> = all.iter().map(|(at, _)| at.number()).collect();
    assert!(offsets.windows(2).any(|pair| pair[1] == pair[0] + 1), "some are of one entry: {offsets:?}");
    for at in 0..all.len() {
        let mut from_it = source.open(0, all[at].0).await.unwrap();
        assert_eq!(read(&mut from_it, all.len() - at).await, all[at..], "from {}", all[at].1);
        quiet(&mut from_it).await;
        // Behind it, as one who has read it goes on.
        let mut behind = source.open(0, all[at].0.after()).await.unwrap();
        assert_eq!(read(&mut behind, all.len() - at - 1).await, all[at + 1..], "behind {}", all[at].1);
        quiet(&mut behind).await;
    }
}

/// The client, sent away by the broker, comes back and begins where it once began.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_twice_when_the_broker_sends_readers_away() {
    let Some(broker) = Broker::find().await else { return };
    let topic = broker.topic("unload", 0);
    broker.values(&topic, 7, (0..70).map(|n| format!("a{n}"))).await;
    let source = broker.source(&topic, &[]);
    let mut reader = source.open(0, NextOffset::ZERO).await.unwrap();
    let mut all = read(&mut reader, 70).await;
    for round in 0..3 {
        broker.unload(&topic);
        broker.values(&topic, round * 3, (0..20).map(|n| format!("b{round}-{n}"))).await;
        let until = tokio::time::Instant::now() + DEADLINE;
        let mut came = vec![];
        let mut next = all.last().unwrap().0.after();
        while came.len() < 20 {
            assert!(tokio::time::Instant::now() < until, "{} of 20 came", came.len());
            match reader.next_batch(LIMIT).await {
                Ok(batch) => {
                    for at in 0..batch.messages.len() {
                        let value = String::from_utf8_lossy(batch.messages.value(at).unwrap()).into_owned();
                        came.push((batch.messages.offset(at), value));
                    }
                    next = batch.range.end();
                }
                // As a pipeline does.
                Err(StreamError::Unreachable { .. }) => {
                    if let Ok(again) = source.open(0, next).await {
                        reader = again;
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
        let values: Vec<&str> = came.iter().map(|(_, value)| &**value).collect();
        let expected: Vec<String> = (0..20).map(|n| format!("b{round}-{n}")).collect();
        assert_eq!(values, expected);
        all.extend(came);
    }
    quiet(&mut reader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_properties_and_metadata_come_through() {
    let Some(broker) = Broker::find().await else { return };
    let topic = broker.topic("metadata", 0);
    let one = producer::Message {
        payload: b"one".to_vec(),
        partition_key: Some("k".into()),
        ordering_key: Some(b"o".to_vec()),
        event_time: Some(1_700_000_000_000),
        properties: HashMap::from([("trace".to_owned(), "t1".to_owned())]),
        ..producer::Message::default()
    };
    let binary = producer::Message {
        payload: b"two".to_vec(),
        partition_key: Some("AAE=".into()),
        partition_key_b64_encoded: Some(true),
        ..producer::Message::default()
    };
    let nothing = producer::Message { partition_key: Some("gone".into()), ..producer::Message::default() };
    for batch in [0, 3] {
        broker.append(&topic, batch, vec![one.clone(), binary.clone(), nothing.clone()]).await;
    }
    for stitch in [false, true] {
        let source = broker.source(&topic, &[("enableKeyValueStitch", if stitch { "true" } else { "false" })]);
        let mut reader = source.open(0, NextOffset::ZERO).await.unwrap();
        let (mut seen, until) = (0, tokio::time::Instant::now() + DEADLINE);
        while seen < 6 {
            assert!(tokio::time::Instant::now() < until, "{seen} of 6 came");
            let batch = reader.next_batch(LIMIT).await.unwrap();
            let messages = &batch.messages;
            for at in 0..messages.len() {
                assert!(messages.timestamp_ms(at).unwrap() > 1_700_000_000_000, "the time of publishing");
                match seen % 3 {
                    0 => {
                        let expected: &[u8] = if stitch { b"\0\0\0\x01k\0\0\0\x03one" } else { b"one" };
                        assert_eq!(messages.value(at), Some(expected));
                        assert_eq!(messages.key(at), Some(&b"k"[..]));
                        assert_eq!(messages.header(at, "trace"), Some(&b"t1"[..]));
                        assert_eq!(messages.header(at, "none"), None);
                        let metadata = |name| messages.metadata(at, name);
                        assert_eq!(metadata("eventTime").as_deref(), Some("1700000000000"));
                        assert_eq!(metadata("key").as_deref(), Some("k"));
                        assert_eq!(metadata("orderingKey").as_deref(), Some("o"));
                        assert_eq!(metadata("size").as_deref(), Some("3"));
                        assert_eq!(metadata("redeliveryCount").as_deref(), Some("0"));
                        assert!(metadata("topicName").unwrap().contains(&topic));
                        for name in ["publishTime", "messageId", "messageIdBytes", "producerName", "sequenceId"] {
                            assert!(metadata(name).is_some_and(|text| !text.is_empty()), "{name}");
                        }
                        // In a batch the place is part of the identity.
                        let parts = metadata("messageId").unwrap().split(':').count();
                        assert_eq!(parts, if seen < 3 { 3 } else { 4 });
                        assert_eq!(metadata("brokerPublishTime"), None);
                    }
                    1 => assert_eq!(messages.key(at), Some(&[0, 1][..])),
                    _ => assert_eq!((messages.key(at), messages.value(at)), (Some(&b"gone"[..]), None)),
                }
                seen += 1;
            }
        }
    }
}

/// What a producer says of its schema's version comes through as hexadecimal text.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_s_version_comes_through() {
    let Some(broker) = Broker::find().await else { return };
    let topic = broker.topic("version", 0);
    let of =
        |schema_version| producer::Message { payload: b"x".to_vec(), schema_version, ..producer::Message::default() };
    broker.append(&topic, 0, vec![of(Some(vec![0, 0, 0, 0, 0, 0, 0, 0x2a])), of(None)]).await;
    let mut reader = broker.source(&topic, &[]).open(0, NextOffset::ZERO).await.unwrap();
    let (mut found, until) = (vec![], tokio::time::Instant::now() + DEADLINE);
    while found.len() < 2 {
        assert!(tokio::time::Instant::now() < until, "{found:?}");
        let batch = reader.next_batch(LIMIT).await.unwrap();
        found.extend((0..batch.messages.len()).map(|at| batch.messages.metadata(at, "schemaVersion")));
    }
    assert_eq!(found, [Some("000000000000002a".to_owned()), None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_missing_is_named_and_not_made() {
    let Some(broker) = Broker::find().await else { return };
    let name = Broker::name("missing");
    let source = broker.source(&name, &[]);
    let error = source.partitions().await.unwrap_err();
    assert!(matches!(&error, StreamError::TopicMissing { topic, .. } if *topic == name), "{error}");
    assert!(matches!(source.open(0, NextOffset::ZERO).await.err(), Some(StreamError::TopicMissing { .. })));
    let error = source.probe(None).await.unwrap_err();
    assert_eq!(error.step, ProbeStep::Topic, "{error}");
    assert!(!broker.exists(&name), "asking did not make it");
    let nowhere = broker.source(&name, &[("namespace", "public/nowhere")]);
    let error = nowhere.probe(None).await.unwrap_err();
    assert_eq!(error.step, ProbeStep::Topic, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_partitions_are_seen_and_topics_listed() {
    let Some(broker) = Broker::find().await else { return };
    let topic = broker.topic("grows", 1);
    let plain = broker.topic("plain", 0);
    let source = broker.source(&topic, &[]);
    assert_eq!(source.partitions().await.unwrap(), [0]);
    assert_eq!(broker.source(&plain, &[]).partitions().await.unwrap(), [0]);
    broker.grow(&topic, 3);
    assert_eq!(source.partitions().await.unwrap(), [0, 1, 2]);
    broker.values(&format!("{topic}-partition-2"), 0, ["new".to_owned()]).await;
    let mut reader = source.open(2, NextOffset::ZERO).await.unwrap();
    assert_eq!(read(&mut reader, 1).await[0].1, "new");
    let listed = source.topics().await.unwrap();
    for name in [&topic, &plain] {
        assert_eq!(listed.iter().filter(|found| found.as_str() == name).count(), 1, "{name}");
    }
    let facts = source.probe(None).await.unwrap();
    assert_eq!(facts.len(), 3);
    assert!(facts[0].watermarks.low == facts[0].watermarks.high && facts[2].watermarks.low < facts[2].watermarks.high);
    let error = source.probe(Some(&[1, 5])).await.unwrap_err();
    assert_eq!(error.step, ProbeStep::Partition, "{error}");
}

/// Ledgers that were deleted are never passed over in silence.
#[tokio::test(flavor = "multi_thread")]
async fn deleted_messages_are_out_of_range_with_what_is_held() {
    let Some(broker) = Broker::find().await else { return };
    let topic = broker.topic("deleted", 0);
    broker.values(&topic, 4, (0..10).map(|n| format!("a{n}"))).await;
    let source = broker.source(&topic, &[]);
    let mut reader = source.open(0, NextOffset::ZERO).await.unwrap();
    let old = read(&mut reader, 10).await;
    drop(reader);
    // A ledger that is written to stays: another is begun when the topic comes back.
    broker.unload(&topic);
    broker.values(&topic, 4, (0..4).map(|n| format!("b{n}"))).await;
    broker.truncate(&topic);
    let error = error_of(&source, 0, old[3].0).await;
    let StreamError::OutOfRange { asked, held, .. } = &error else { panic!("{error}") };
    assert_eq!(*asked, old[3].0);
    assert!(held.low > old[9].0 && held.high > held.low, "{error}");
    let mut reader = source.open(0, held.low).await.unwrap();
    let new: Vec<String> = read(&mut reader, 4).await.into_iter().map(|(_, value)| value).collect();
    assert_eq!(new, ["b0", "b1", "b2", "b3"]);
    // A table that never read begins at the oldest.
    assert_eq!(source.resolve(0, &StartAt::Earliest, 0).await.unwrap(), held.low);
    let mut reader = source.open(0, NextOffset::ZERO).await.unwrap();
    assert_eq!(read(&mut reader, 4).await[0].1, "b0");
}

/// A message that was sent in parts is one, at the place of its first part, whatever lies between them; and wherever reading
/// begins, what stands there and behind it comes, once and whole.
#[tokio::test(flavor = "multi_thread")]
async fn parts_are_put_together_wherever_reading_begins() {
    let Some(broker) = Broker::find().await else { return };
    let topic = broker.topic("parts", 0);
    let (a, b) = (|at| Beside::part("a", at, 3, 6), |at| Beside::part("b", at, 2, 4));
    let entries: [(Beside, &[u8]); 9] = [
        (a(0), b"a0"),
        (Beside::none(), b"x"),
        (b(0), b"b0"),
        (a(1), b"a1"),
        (Beside::none(), b"y"),
        (b(1), b"b1"),
        (a(2), b"a2"),
        (Beside::none(), b"z"),
        // The last part of one that began elsewhere is no message.
        (Beside::part("c", 1, 2, 4), b"c1"),
    ];
    raw::append(&broker, &topic, &entries);
    let source = broker.source(&topic, &[]);
    let mut reader = source.open(0, NextOffset::ZERO).await.unwrap();
    let all = read(&mut reader, 5).await;
    let values: Vec<&str> = all.iter().map(|(_, value)| &**value).collect();
    assert_eq!(values, ["a0a1a2", "x", "b0b1", "y", "z"]);
    no_more(&mut reader).await;
    let first = all[0].0.number();
    // An entry is 2^12 offsets.
    let at_entry = |entry: u64| NextOffset::new(first + (entry << 12));
    assert_eq!(all.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 1, 2, 4, 7].map(at_entry));
    for entry in 0..9 {
        let mut reader = source.open(0, at_entry(entry)).await.unwrap();
        let expected: Vec<_> = all.iter().filter(|(at, _)| *at >= at_entry(entry)).cloned().collect();
        assert_eq!(read(&mut reader, expected.len()).await, expected, "from entry {entry}");
        no_more(&mut reader).await;
    }
    // Whoever read all stands at the end.
    let held = source.watermarks(0).await.unwrap();
    assert_eq!(held.high, at_entry(9));
    let mut reader = source.open(0, NextOffset::ZERO).await.unwrap();
    let until = tokio::time::Instant::now() + DEADLINE;
    while reader.next_batch(LIMIT).await.unwrap().range.end() < held.high {
        assert!(tokio::time::Instant::now() < until, "the end is reached");
    }
}

/// Encrypted messages are there and have no value: they are told so, also where they are parts, never taken for messages.
#[tokio::test(flavor = "multi_thread")]
async fn encrypted_messages_are_told() {
    let Some(broker) = Broker::find().await else { return };
    let topic = broker.topic("spoilt", 0);
    broker.values(&topic, 0, ["before".to_owned()]).await;
    raw::append(
        &broker,
        &topic,
        &[
            (Beside::chunk(0, 2, 9), b"12345"),
            (Beside::chunk(1, 2, 9), b"6789"),
            (Beside::encrypted("k"), b"nobody knows"),
            (Beside::chunk(0, 2, 50).and(Beside::encrypted("k")), b"nor this"),
            // What says that it is a message in one part is whole.
            (Beside::chunk(0, 1, 5), b"whole"),
        ],
    );
    broker.values(&topic, 3, ["behind".to_owned()]).await;
    let mut reader = broker.source(&topic, &[]).open(0, NextOffset::ZERO).await.unwrap();
    let (mut values, mut told, until) = (vec![], vec![], tokio::time::Instant::now() + DEADLINE);
    while values.len() < 6 {
        assert!(tokio::time::Instant::now() < until, "{values:?}");
        let batch = reader.next_batch(LIMIT).await.unwrap();
        told.extend(batch.messages.spoilt().iter().map(|spoilt| {
            let value = String::from_utf8_lossy(batch.messages.value(spoilt.at).unwrap()).into_owned();
            (value, spoilt.whole_bytes, spoilt.reason.clone())
        }));
        let value = |at| String::from_utf8_lossy(batch.messages.value(at).unwrap()).into_owned();
        values.extend((0..batch.messages.len()).map(value));
    }
    assert_eq!(values, ["before", "123456789", "nobody knows", "nor this", "whole", "behind"]);
    let told: Vec<(&str, u64)> = told
        .iter()
        .map(|(value, bytes, reason)| {
            assert!(reason.contains("encrypted"), "{value}: {reason}");
            (value.as_str(), *bytes)
        })
        .collect();
    assert_eq!(told, [("nobody knows", 13), ("nor this", 9)]);
    quiet(&mut reader).await;
}

/// What the client cannot take apart stops the reader with its cause, and whoever begins behind it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_cannot_be_taken_apart_is_told_and_can_be_passed() {
    let Some(broker) = Broker::find().await else { return };
    for (name, beside) in [
        // Half of what was compressed as a whole, by Zstandard and by LZ4; an encrypted batch.
        ("zstd", Beside::chunk(0, 2, 100).compressed(3, 100)),
        ("lz4", Beside::chunk(0, 2, 100).compressed(1, 100)),
        ("batch", Beside::encrypted("k").batch(3)),
    ] {
        let topic = broker.topic(&format!("odd-{name}"), 0);
        broker.values(&topic, 0, ["before".to_owned()]).await;
        raw::append(&broker, &topic, &[(beside, b"\xff\xff\xff\xffnobody knows")]);
        broker.values(&topic, 0, ["behind".to_owned()]).await;
        let source = broker.source(&topic, &[]);
        let mut reader = source.open(0, NextOffset::ZERO).await.unwrap();
        let before = read(&mut reader, 1).await;
        let error = error_of(&source, 0, before[0].0).await;
        assert!(matches!(&error, StreamError::Unreachable { .. }), "{error}");
        for says in ["cannot be taken apart", "encrypted", "in chunks", "consumeFrom"] {
            assert!(error.to_string().contains(says), "{name}: {error}");
        }
        // One entry on: the place in the batch has 12 bits.
        let behind = NextOffset::new(((before[0].0.number() >> 12) + 2) << 12);
        let mut reader = source.open(0, behind).await.unwrap();
        assert_eq!(read(&mut reader, 1).await[0].1, "behind", "{name}");
    }
}

/// Where nobody listens, and where no name leads. They need no node, so this always runs.
#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_cannot_be_reached_are_said() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (servers, step) in [
        (format!("pulsar://{free}"), ProbeStep::Tcp),
        ("pulsar://no-such-host.invalid:6650".to_owned(), ProbeStep::Dns),
    ] {
        let spec = broker::spec("t", &[("bootstrap.servers", &servers)]);
        let source = weir_streams::pulsar::source(&spec, std::sync::Arc::default()).unwrap();
        let started = std::time::Instant::now();
        let error = source.probe(None).await.unwrap_err();
        assert_eq!(error.step, step, "{error}");
        let said = source.partitions().await.unwrap_err();
        assert!(matches!(&said, StreamError::Unreachable { reason, .. } if reason.contains(step.as_str())), "{said}");
        assert!(started.elapsed() < DEADLINE, "it took {:?}", started.elapsed());
    }
}
