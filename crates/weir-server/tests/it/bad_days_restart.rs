//! A node that is killed, and a broker that is away: afterwards everything is there once, and nobody had to do anything.

use crate::{
    bad_days_records::table,
    process::{OwnBroker, Process},
    streams::Log,
    support::{Api, TestNode, eventually},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value as Json, json};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use weir_streams::kafka::testing::{TestBroker, TestMessage};

/// A topic of two partitions that outlives a process: on a real broker, or in the log in its data folder.
struct Feed {
    topic: String,
    kafka: Option<Log>,
}

const PARTITIONS: u32 = 2;

impl Feed {
    async fn new(test: &str, kafka: Option<Log>) -> Self {
        let topic = match &kafka {
            Some(log) => log.topic(test, PARTITIONS).await,
            None => TestBroker::name(test),
        };
        Self { topic, kafka }
    }

    fn map(&self, segment_rows: &str) -> Json {
        match &self.kafka {
            Some(log) => log.map(&self.topic, &[("/realtime.segment.flush.threshold.segment.rows", segment_rows)]),
            None => json!({
                "streamType": "local",
                "stream.local.topic.name": self.topic,
                "stream.local.partitions": PARTITIONS.to_string(),
                "stream.local.decoder.class.name": "json",
                "stream.local.consumer.prop.auto.offset.reset": "smallest",
                "realtime.segment.flush.threshold.segment.rows": segment_rows,
            }),
        }
    }

    /// Appends messages; all of them are acknowledged when this returns.
    async fn append(&self, node: &Process, partition: u32, messages: &[TestMessage]) {
        if let Some(log) = &self.kafka {
            return log.append_messages(&self.topic, partition, messages).await;
        }
        let encoded = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| STANDARD.encode(bytes));
        let record = |message: &TestMessage| json!({"partition": partition, "key": encoded(&message.key), "value": encoded(&message.value)});
        let body = json!({ "records": messages.iter().map(record).collect::<Vec<_>>() }).to_string();
        let headers = [("content-type", "application/vnd.kafka.binary.v2+json")];
        let path = format!("/topics/{}", self.topic);
        let sent = node.controller.send(Method::POST, &path, &headers, Bytes::from(body)).await.unwrap();
        assert_eq!(sent.status, 200, "{}", sent.text());
    }
}

/// On the log of the node itself, and on Kafka where it is at hand.
async fn on_both(test: &str, scenario: impl AsyncFn(&Feed, &Path)) {
    for kafka in [None, Log::kafka()].into_iter().take(if TestBroker::find().is_some() { 2 } else { 1 }) {
        let dir = tempfile::tempdir().unwrap();
        scenario(&Feed::new(test, kafka).await, dir.path()).await;
    }
}

/// Columns of a row with its place in the stream.
fn placed() -> Json {
    json!([
        {"name": "id", "dataType": "LONG"},
        {"name": "__metadata$partition", "dataType": "INT"},
        {"name": "__metadata$offset", "dataType": "LONG"},
    ])
}

/// An answer that says nothing of what it lacks never goes back.
async fn not_less(node: &Api, highest: &mut i64) {
    let answer = node.ask("SELECT COUNT(*) FROM t").await;
    if answer["exceptions"] == json!([]) {
        let count = answer["resultTable"]["rows"][0][0].as_i64().unwrap();
        assert!(count >= *highest, "{count} rows are there without a word, {highest} were: {answer}");
        *highest = count;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn n09_killed_in_the_middle_of_a_segment() {
    on_both("n09", async |feed, dir| {
        let (mut appended, mut highest) = (0_i64, 0_i64);
        let mut append = async |node: &Process, count: i64| {
            for partition in 0..PARTITIONS {
                let ids = appended..appended + count;
                let messages: Vec<TestMessage> =
                    ids.map(|id| TestMessage::of(json!({"id": id * 2 + i64::from(partition)}).to_string())).collect();
                feed.append(node, partition, &messages).await;
            }
            appended += count;
            appended
        };
        let node = Process::start(dir, &[]);
        let made = node.post("/tableConfigs", &table(&placed(), &feed.map("1500"))).await;
        assert_eq!(made.status, 200, "{}", made.text());
        let mut node = Some(node);
        for life in 0..5 {
            let running = node.take().unwrap_or_else(|| Process::start(dir, &[]));
            not_less(&running, &mut highest).await;
            // Some are read and some are not when it is killed, in the middle of a segment, or of a seal.
            for _ in 0..3 {
                append(&running, 300 + 70 * life).await;
                not_less(&running, &mut highest).await;
            }
            let all = append(&running, 50).await * i64::from(PARTITIONS);
            eventually("most rows", async || {
                let answer = running.ask("SELECT COUNT(*) FROM t").await;
                let enough = answer["exceptions"] == json!([]) && answer["resultTable"]["rows"][0][0].as_i64() > Some(all - 400);
                if enough { Ok(()) } else { Err(answer.to_string()) }
            })
            .await;
            not_less(&running, &mut highest).await;
            append(&running, 20).await;
            running.kill();
        }
        let node = Process::start(dir, &[]);
        not_less(&node, &mut highest).await;
        let count = append(&node, 1).await;
        let last = (count - 1) as f64;
        let dense = "SELECT \"__metadata$partition\", COUNT(*), COUNT(DISTINCT \"__metadata$offset\"), \
                     MIN(\"__metadata$offset\"), MAX(\"__metadata$offset\"), COUNT(DISTINCT id) \
                     FROM t GROUP BY \"__metadata$partition\" ORDER BY \"__metadata$partition\"";
        let wanted = json!([[0, count, count, 0.0, last, count], [1, count, count, 0.0, last, count]]);
        node.wait_for_rows(dense, &wanted).await;
        // Each row came from where it says.
        let misplaced = "SELECT COUNT(*) FROM t WHERE id <> \"__metadata$offset\" * 2 + \"__metadata$partition\"";
        assert_eq!(node.rows(misplaced).await, json!([[0]]));
        node.assert_reconciled().await;
        node.commit("t").await;
        assert_eq!(node.rows(dense).await, wanted);
        let segments = "SELECT \"partition\", startOffset, endOffset FROM system.segments ORDER BY \"partition\", startOffset LIMIT 100";
        let segments = node.rows(segments).await;
        let segments = segments.as_array().unwrap();
        assert!(segments.len() > 4, "{segments:?}");
        for pair in segments.windows(2).filter(|pair| pair[0][0] == pair[1][0]) {
            assert_eq!(pair[0][2], pair[1][1], "one starts where the other ended: {pair:?}");
        }
    })
    .await;
}

/// What the counts of a table must be, over both partitions.
#[derive(Default)]
struct Counts {
    stored: i64,
    tombstones: i64,
    rejected: i64,
    replayed: i64,
    rewound: i64,
}

fn checked(check: bool, map: &Json) -> Json {
    let mut document = table(&json!([{"name": "id", "dataType": "LONG"}, {"name": "n", "dataType": "INT"}]), map);
    document["schema"]["dateTimeFieldSpecs"] = json!([
        {"name": "ts", "dataType": "LONG", "format": "1:MILLISECONDS:EPOCH", "granularity": "1:MILLISECONDS"},
    ]);
    document["realtime"]["segmentsConfig"]["timeColumnName"] = json!("ts");
    document["realtime"]["ingestionConfig"]["rowTimeValueCheck"] = json!(check);
    document
}

/// A hundred messages: 80 rows, 8 that are broken, 4 of a wrong type, 3 tombstones, 5 of the year 1970.
fn mixture(counts: &mut Counts) -> Vec<TestMessage> {
    counts.stored += 80;
    counts.tombstones += 3;
    counts.rejected += 17;
    let message = |at: i64| match at % 25 {
        3 | 11 => TestMessage::of("{\"id\": 1,"),
        7 => TestMessage::of(format!("{{\"id\": {at}, \"n\": \"1.5\", \"ts\": 1767225600000}}")),
        13 if at > 13 => TestMessage::default(),
        17 => TestMessage::of(format!("{{\"id\": {at}, \"n\": 1, \"ts\": {at}}}")),
        13 => TestMessage::of(format!("{{\"id\": {at}, \"n\": 1, \"ts\": {at}}}")),
        _ => TestMessage::of(format!("{{\"id\": {at}, \"n\": 1, \"ts\": 1767225600000}}")),
    };
    (0..100).map(message).collect()
}

/// All counts are what they must be, explain every offset, and agree with the rows, the quarantine and the log's end.
async fn assert_counts(node: &Api, counts: &Counts) {
    let fetched = counts.stored + counts.tombstones + counts.rejected + counts.replayed;
    node.wait_for_sum("fetched", fetched).await;
    let of = [
        ("stored", counts.stored),
        ("tombstones", counts.tombstones),
        ("rejected", counts.rejected),
        ("replayed", counts.replayed),
        ("filtered", 0),
        ("rewound", counts.rewound),
        ("gaps", 0),
        ("skipped", 0),
        ("rows", counts.stored + counts.replayed),
    ];
    for (field, wanted) in of {
        node.wait_for_sum(field, wanted).await;
    }
    node.assert_reconciled().await;
    node.wait_for_rows("SELECT COUNT(*) FROM t", &json!([[counts.stored + counts.replayed]])).await;
    node.wait_for_rows("SELECT COUNT(*) FROM system.quarantine", &json!([[counts.rejected]])).await;
    let behind = "SELECT COUNT(*) FROM system.partitions WHERE nextOffset <> highWatermark OR state <> 'CONSUMING'";
    node.wait_for_rows(behind, &json!([[0]])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n19_counters_reconcile() {
    on_both("n19", async |feed, dir| {
        let mut counts = Counts::default();
        let map = feed.map("100000");
        let node = Process::start(dir, &[]);
        let made = node.post("/tableConfigs", &checked(true, &map)).await;
        assert_eq!(made.status, 200, "{}", made.text());
        for partition in 0..PARTITIONS {
            feed.append(&node, partition, &mixture(&mut counts)).await;
        }
        assert_counts(&node, &counts).await;
        // The metrics of the process say the same.
        let metrics = node.get("/metrics").await.text();
        let metric = |name: &str| -> i64 {
            let start = format!("weir_{name}_total{{table=\"t\"");
            let lines = metrics.lines().filter(|line| line.starts_with(&start));
            lines.map(|line| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap()).sum()
        };
        let ends = ["messages_stored", "messages_filtered", "messages_rejected", "tombstones"].map(metric);
        assert_eq!((metric("messages_fetched"), ends), (200, [160, 0, 34, 6]), "{metrics}");

        // Killed with rows sealed, and rows open.
        node.commit("t").await;
        feed.append(&node, 0, &mixture(&mut counts)).await;
        assert_counts(&node, &counts).await;
        feed.append(&node, 1, &mixture(&mut counts)).await;
        node.kill();
        let node = Process::start(dir, &[]);
        assert_counts(&node, &counts).await;

        // Read again from the start, as somebody asked for: all of it counts once more.
        let path =
            format!("resumeConsumption?consumeFrom=smallest&allowDuplicates=true&topic={}&partition=0", feed.topic);
        node.tell(&path, &Json::Null).await;
        counts.rewound += 200;
        mixture(&mut counts);
        mixture(&mut counts);
        assert_counts(&node, &counts).await;
        node.kill();
        let node = Process::start(dir, &[]);
        assert_counts(&node, &counts).await;

        // Mended and replayed: what is a row now is no reject any more.
        let changed = node.send(Method::PUT, "/tableConfigs/t", &checked(false, &map)).await;
        assert_eq!(changed.status, 200, "{}", changed.text());
        let replayed = node.tell("quarantine/replay", &json!({})).await;
        assert_eq!((&replayed["replayed"], &replayed["failed"]), (&json!(30), &json!(72)), "{replayed}");
        counts.replayed += 30;
        counts.rejected -= 30;
        assert_counts(&node, &counts).await;
        assert_eq!(node.tell("quarantine/replay", &json!({})).await["replayed"], 0);
        node.kill();
        let node = Process::start(dir, &[]);
        assert_counts(&node, &counts).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n08_a_broker_that_is_away_and_comes_back() {
    let Some(broker) = OwnBroker::start() else { return };
    let log = Log::Kafka(TestBroker::at(&broker.address()));
    let node = TestNode::start().await;
    let topic = log.topic("n08", 3).await;
    for partition in 0..3 {
        log.append(&topic, partition, 0..10).await;
    }
    node.make(&table(&json!([{"name": "id", "dataType": "LONG"}]), &log.map(&topic, &[]))).await;
    node.wait_for_rows("SELECT COUNT(*) FROM t", &json!([[30]])).await;

    broker.stop();
    let begun = Instant::now();
    for partition in 0..3 {
        let shown = node.wait_for_state(&topic, partition, "RETRYING").await;
        assert!(shown["reason"].as_str().unwrap().contains(&topic), "{shown}");
    }
    // More than three waits of at most five seconds.
    while begun.elapsed() < Duration::from_secs(30) {
        assert_eq!(node.rows("SELECT COUNT(*) FROM t").await, json!([[30]]), "what was read is there");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for partition in 0..3 {
        let shown = node.partition(&topic, partition).await;
        assert_eq!(shown["state"], "RETRYING", "{shown}");
        assert!(shown["lagMs"].as_i64() > Some(20_000), "it says how far behind it is: {shown}");
    }
    let metrics = node.get("/metrics").await.text();
    let errors = metrics.lines().filter(|line| line.starts_with("weir_errors_total{table=\"t\""));
    let errors: Vec<u64> = errors.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert!(errors.len() == 3 && errors.iter().all(|errors| *errors > 3), "{errors:?}");

    broker.again();
    for partition in 0..3 {
        log.append(&topic, partition, 10..20).await;
    }
    node.wait_for_rows("SELECT COUNT(*), COUNT(DISTINCT id) FROM t", &json!([[60, 20]])).await;
    for partition in 0..3 {
        node.wait_for_state(&topic, partition, "CONSUMING").await;
    }
    node.commit("t").await;
    node.assert_reconciled().await;
    node.server.stop().await;
}
