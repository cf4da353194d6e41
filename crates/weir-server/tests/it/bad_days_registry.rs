//! A real schema registry that is away for a while, with a real broker that goes on: nothing is lost, nothing is rejected,
//! and the partitions say what they wait for.
//!
//! `WEIR_KAFKA` names the broker, `WEIR_REGISTRY` the registry. What is away is the way to it: a relay in this process.

use crate::{
    bad_days_records::table,
    first_minutes::{avro_long, registered, registry},
    streams::Log,
    support::{TestNode, eventually},
};
use serde_json::json;
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
use weir_streams::kafka::testing::{TestBroker, TestMessage};

/// How long the registry is away.
const OUTAGE: Duration = Duration::from_secs(60);
/// What the producer sends at once, to each of two partitions, ...
const SENT: i64 = 100;
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

/// A message of schema number `number`; the schemas differ in a field that nothing reads.
fn message(number: u32, id: i64) -> TestMessage {
    TestMessage::of([&[0][..], &number.to_be_bytes(), &avro_long(id), &avro_long(0)].concat())
}

/// Sends until it is told to stop, messages of `numbers` in turn; tells how many were acknowledged.
async fn load(log: Arc<Log>, topic: String, numbers: [u32; 4], away: Arc<AtomicBool>, stop: Arc<AtomicBool>) -> i64 {
    let mut next = 0;
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        for partition in [0, 1] {
            // Before the outage one schema is known; in it others come in between.
            let number = |id: i64| match away.load(Ordering::Relaxed) {
                true => numbers[(id / 10 % 4) as usize],
                false => numbers[0],
            };
            let messages: Vec<_> = (next..next + SENT).map(|id| message(number(id), id)).collect();
            log.append_messages(&topic, partition, &messages).await;
            next += SENT;
        }
        tokio::time::sleep(EVERY.saturating_sub(begun.elapsed())).await;
    }
    next
}

#[tokio::test(flavor = "multi_thread")]
async fn n15_a_registry_that_is_away_for_a_minute_under_load_loses_nothing() {
    let (Some(log), Some(url)) = (Log::kafka(), registry()) else { return };
    let plain = url.strip_prefix("http://").expect("the tests' registry speaks HTTP");
    let (host, path) = plain.split_once('/').unwrap_or((plain, ""));
    let relay = Relay::to(host.to_owned()).await;
    let subject = TestBroker::name("n15-registry");
    let mut numbers = [0; 4];
    for (at, number) in numbers.iter_mut().enumerate() {
        let schema = json!({"type": "record", "name": "Event", "fields": [
            {"name": "id", "type": "long"}, {"name": format!("unread_{at}"), "type": "int"},
        ]});
        *number = registered(&url, &format!("{subject}-{at}"), &schema).await;
    }

    let node = TestNode::start().await;
    let log = Arc::new(log);
    let topic = log.topic("n15-registry", 2).await;
    let away_url = format!("http://{}/{path}", relay.address);
    let map = log.map(
        &topic,
        &[
            ("decoder.class.name", "avro-confluent"),
            ("decoder.prop.schema.registry.rest.url", &away_url),
            ("/realtime.segment.flush.threshold.segment.rows", "20000"),
        ],
    );
    node.make(&table(&json!([{"name": "id", "dataType": "LONG"}]), &map)).await;
    let (away, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let producer = tokio::spawn(load(log.clone(), topic.clone(), numbers, away.clone(), stop.clone()));
    let count = async || node.rows("SELECT COUNT(*) FROM t").await[0][0].as_i64().unwrap();
    eventually("rows before the outage", async || match count().await {
        rows if rows > 4 * SENT => Ok(()),
        rows => Err(rows.to_string()),
    })
    .await;

    relay.open.send_replace(false);
    away.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    for partition in [0, 1] {
        let shown = node.wait_for_state(&topic, partition, "RETRYING").await;
        assert!(shown["reason"].as_str().is_some_and(|reason| reason.contains("schema registry")), "{shown}");
    }
    let mut seen = 0;
    while begun.elapsed() < OUTAGE {
        let rows = count().await;
        assert!(rows >= seen, "the count went back from {seen} to {rows}");
        seen = rows;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    for partition in [0, 1] {
        let shown = node.partition(&topic, partition).await;
        let told = (&shown["state"], &shown["rejected"], shown["lagOffsets"].as_i64() > Some(10 * SENT));
        assert_eq!(told, (&json!("RETRYING"), &json!(0), true), "{shown}");
    }

    relay.open.send_replace(true);
    away.store(false, Ordering::Relaxed);
    for partition in [0, 1] {
        node.wait_for_state(&topic, partition, "CONSUMING").await;
    }
    stop.store(true, Ordering::Relaxed);
    let sent = producer.await.unwrap();
    assert!(sent > seen + 10 * SENT, "{sent} were sent, {seen} were seen in the outage");
    node.wait_for_rows(
        "SELECT COUNT(*), DISTINCTCOUNT(id), MIN(id), MAX(id) FROM t",
        &json!([[sent, sent, 0.0, (sent - 1) as f64]]),
    )
    .await;
    node.wait_for_sum("rejected", 0).await;
    node.assert_reconciled().await;
}
