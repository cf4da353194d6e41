//! Schema registries that are away for a minute, with a real broker that goes on: for every decoder that asks one nothing is
//! lost, nothing is rejected, and the partitions say what they wait for. One outage, all decoders at once.
//!
//! `WEIR_KAFKA` names the broker, `WEIR_REGISTRY` the registry. What is away is the way to it: a relay in this process.
//! `avro-hashed` asks in a way of its own, which that registry does not know: its registry is in this process.

use crate::{
    bad_days_records::named,
    first_minutes::{avro_long, registered, registry},
    streams::Log,
    support::{TestNode, eventually},
};
use hyper::Method;
use serde_json::{Value as Json, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use weir_formats::schema_registry::stand_in::StandIn;
use weir_server::client::Client;
use weir_streams::kafka::testing::{TestBroker, TestMessage};

/// How long the registry is away.
const OUTAGE: Duration = Duration::from_secs(60);
/// What the producer of a table sends at once, to each of two partitions, ...
const SENT: i64 = 25;
/// ... and how often.
const EVERY: Duration = Duration::from_millis(50);

/// A way to the registry that can be closed: then what is connected is cut off and nobody is let in.
struct Relay {
    address: String,
    open: watch::Sender<bool>,
}

impl Relay {
    async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (open, seen) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (mut seen, target) = (seen.clone(), target.clone());
                tokio::spawn(async move {
                    let relayed = async {
                        let mut far = TcpStream::connect(target).await?;
                        copy_bidirectional(&mut near, &mut far).await
                    };
                    tokio::select! {
                        biased;
                        _ = seen.wait_for(|open| !open) => {}
                        // A connection that broke is a connection that ended.
                        _ = relayed => {}
                    }
                });
            }
        });
        Self { address, open }
    }
}

/// A table whose messages name one of four schemas, which differ in a field that nothing reads.
struct Reads {
    /// The table, named as its decoder is.
    table: String,
    decoder: &'static str,
    topic: String,
    /// The registry, by the relay.
    url: String,
    /// What stands before a message of each schema.
    heads: [Vec<u8>; 4],
    body: fn(i64) -> Vec<u8>,
    /// Whether the decoder needs what the registry says.
    asks: bool,
}

fn avro_body(id: i64) -> Vec<u8> {
    [avro_long(id), avro_long(0)].concat()
}

fn json_body(id: i64) -> Vec<u8> {
    json!({"id": id, "unread": 0}).to_string().into_bytes()
}

/// The first message of its file, in which field 1 is `id`.
fn protobuf_body(id: i64) -> Vec<u8> {
    // One zero in place of indexes: the first message.
    let (mut bits, mut out) = (id as u64, vec![0, 0x08]);
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
    out
}

fn numbered(number: u32) -> Vec<u8> {
    [&[0][..], &number.to_be_bytes()].concat()
}

fn avro_schema(at: usize) -> Json {
    json!({"type": "record", "name": "Event", "fields": [
        {"name": "id", "type": "long"}, {"name": format!("unread_{at}"), "type": "int"},
    ]})
}

/// Registers a schema of another kind than Avro; its number.
async fn registered_as(registry: &str, subject: &str, kind: &str, schema: &str) -> u32 {
    let body = json!({"schema": schema, "schemaType": kind});
    let path = format!("/subjects/{subject}-value/versions");
    let answer = Client::new(registry).send_json(Method::POST, &path, &body).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    u32::try_from(answer.json()["id"].as_u64().unwrap()).unwrap()
}

/// The tables, each with a topic of two partitions, and its schemas in the registry.
async fn tables(log: &Log, registry: &str, by_relay: &str, hashed: &StandIn, hashed_by_relay: &str) -> Vec<Reads> {
    let subject = TestBroker::name("n02-registry");
    let mut heads: [[Vec<u8>; 4]; 4] = Default::default();
    let [avro, by_json, protobuf, by_hash] = &mut heads;
    for at in 0..4 {
        let number = registered(registry, &format!("{subject}-avro-{at}"), &avro_schema(at)).await;
        avro[at] = numbered(number);
        // By its address the registry tells what kind of text it is.
        let draft = "http://json-schema.org/draft-07/schema#";
        let text = json!({"$schema": draft, "title": format!("Event{at}"), "type": "object"}).to_string();
        by_json[at] = numbered(registered_as(registry, &format!("{subject}-json-{at}"), "JSON", &text).await);
        let text = format!("syntax = \"proto3\"; message Event {{ int64 id = 1; int32 unread_{at} = 2; }}");
        protobuf[at] = numbered(registered_as(registry, &format!("{subject}-proto-{at}"), "PROTOBUF", &text).await);
        let hash = [at as u8 + 1; 16];
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        hashed.page(&format!("/id={hex}"), &avro_schema(at).to_string());
        by_hash[at] = [&[0][..], &hash].concat();
    }
    let [avro, text, proto, hash] = heads;
    let mut all = vec![];
    for (decoder, url, heads, body, asks) in [
        ("avro-confluent", by_relay, avro, avro_body as fn(i64) -> Vec<u8>, true),
        ("json-confluent", by_relay, text, json_body, false),
        ("protobuf-confluent", by_relay, proto, protobuf_body, true),
        ("avro-hashed", hashed_by_relay, hash, avro_body, true),
    ] {
        let topic = log.topic(&format!("n02-{decoder}"), 2).await;
        let (table, url) = (decoder.replace('-', "_"), url.to_owned());
        all.push(Reads { table, decoder, topic, url, heads, body, asks });
    }
    all
}

/// Sends until it is told to stop, messages of all schemas in turn; tells how many were acknowledged.
async fn load(log: Arc<Log>, reads: Arc<Reads>, away: Arc<AtomicBool>, stop: Arc<AtomicBool>) -> i64 {
    let mut next = 0;
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        for partition in [0, 1] {
            // Before the outage one schema is known; in it others come in between.
            let head = |id: i64| match away.load(Ordering::Relaxed) {
                true => &reads.heads[(id / 10 % 4) as usize],
                false => &reads.heads[0],
            };
            let message = |id: i64| TestMessage::of([&head(id)[..], &(reads.body)(id)].concat());
            let messages: Vec<_> = (next..next + SENT).map(message).collect();
            log.append_messages(&reads.topic, partition, &messages).await;
            next += SENT;
        }
        tokio::time::sleep(EVERY.saturating_sub(begun.elapsed())).await;
    }
    next
}

#[tokio::test(flavor = "multi_thread")]
async fn n02_registries_that_are_away_for_a_minute_under_load_lose_nothing() {
    let (Some(log), Some(url)) = (Log::kafka(), registry()) else { return };
    let plain = url.strip_prefix("http://").expect("the tests' registry speaks HTTP");
    let (host, path) = plain.split_once('/').unwrap_or((plain, ""));
    let relay = Relay::to(host.to_owned()).await;
    let hashed = StandIn::start().await;
    let hashed_relay = Relay::to(format!("127.0.0.1:{}", hashed.port())).await;
    let (by_relay, hashed_by_relay) =
        (format!("http://{}/{path}", relay.address), format!("http://{}", hashed_relay.address));
    let log = Arc::new(log);
    let tables = tables(&log, &url, &by_relay, &hashed, &hashed_by_relay).await;
    let tables: Vec<Arc<Reads>> = tables.into_iter().map(Arc::new).collect();

    let node = TestNode::start().await;
    let (away, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut producers = vec![];
    for reads in &tables {
        let map = log.map(
            &reads.topic,
            &[
                ("decoder.class.name", reads.decoder),
                ("decoder.prop.schema.registry.rest.url", &reads.url),
                ("/realtime.segment.flush.threshold.segment.rows", "20000"),
            ],
        );
        node.make(&named(&reads.table, &json!([{"name": "id", "dataType": "LONG"}]), &map)).await;
        producers.push(tokio::spawn(load(log.clone(), reads.clone(), away.clone(), stop.clone())));
    }
    let count = async |table: &str| {
        let rows = node.rows(&format!("SELECT COUNT(*) FROM {table}")).await;
        rows[0][0].as_i64().unwrap()
    };
    for reads in &tables {
        eventually("rows before the outage", async || match count(&reads.table).await {
            rows if rows > 4 * SENT => Ok(()),
            rows => Err(rows.to_string()),
        })
        .await;
    }

    for relay in [&relay, &hashed_relay] {
        relay.open.send_replace(false);
    }
    away.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    for (reads, partition) in tables.iter().filter(|reads| reads.asks).flat_map(|reads| [(reads, 0), (reads, 1)]) {
        let shown = node.wait_for_state_of(&reads.table, &reads.topic, partition, "RETRYING").await;
        let told = format!("schema registry {}", reads.url);
        assert!(shown["reason"].as_str().is_some_and(|reason| reason.contains(&told)), "{shown}");
    }
    let mut seen = vec![0; tables.len()];
    let mut at_half = vec![];
    while begun.elapsed() < OUTAGE {
        for (reads, seen) in tables.iter().zip(&mut seen) {
            let rows = count(&reads.table).await;
            assert!(rows >= *seen, "{}: the count went back from {seen} to {rows}", reads.table);
            *seen = rows;
        }
        if at_half.is_empty() && begun.elapsed() > OUTAGE / 2 {
            for reads in &tables {
                at_half.push(node.partition_of(&reads.table, &reads.topic, 0).await["lagOffsets"].as_i64().unwrap());
            }
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    for (at, reads) in tables.iter().enumerate() {
        for partition in [0, 1] {
            let shown = node.partition_of(&reads.table, &reads.topic, partition).await;
            assert_eq!(shown["rejected"], 0, "{shown}");
            let lag = shown["lagOffsets"].as_i64().unwrap();
            if reads.asks {
                // The lag grows.
                assert_eq!(shown["state"], "RETRYING", "{shown}");
                assert!(lag > 40 * SENT && lag > at_half[at] + 20 * SENT, "{} at half: {shown}", at_half[at]);
            } else {
                // Nothing is asked, so nothing is waited for.
                assert!(shown["state"] == "CONSUMING" && lag < 20 * SENT, "{shown}");
            }
        }
    }

    for relay in [&relay, &hashed_relay] {
        relay.open.send_replace(true);
    }
    away.store(false, Ordering::Relaxed);
    for (reads, partition) in tables.iter().flat_map(|reads| [(reads, 0), (reads, 1)]) {
        node.wait_for_state_of(&reads.table, &reads.topic, partition, "CONSUMING").await;
    }
    stop.store(true, Ordering::Relaxed);
    for ((reads, producer), seen) in tables.iter().zip(producers).zip(seen) {
        let sent = producer.await.unwrap();
        assert!(!reads.asks || sent > seen + 40 * SENT, "{sent} were sent, {seen} were seen in the outage");
        // The lag recovers, and each message is one row.
        let sql = format!("SELECT COUNT(*), DISTINCTCOUNT(id), MIN(id), MAX(id) FROM {}", reads.table);
        node.wait_for_rows(&sql, &json!([[sent, sent, 0.0, (sent - 1) as f64]])).await;
        for partition in [0, 1] {
            let shown = node.partition_of(&reads.table, &reads.topic, partition).await;
            assert_eq!((&shown["rejected"], &shown["lagOffsets"]), (&json!(0), &json!(0)), "{shown}");
        }
        node.assert_reconciled_of(&reads.table).await;
    }
    node.server.stop().await;
}
