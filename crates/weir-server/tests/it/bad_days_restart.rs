//! A node that is killed, and a broker that is away: afterwards everything is there once, and nobody had to do anything.

use crate::{
    bad_days_records::table,
    process::{OwnBroker, Process, rows_on_disk},
    streams::Log,
    support::{Api, SECONDS, TestNode, eventually, within},
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
            Some(log) => {
                let rows = ("/realtime.segment.flush.threshold.segment.rows", segment_rows);
                log.map(&self.topic, &[rows, ("isolation.level", "read_committed")])
            }
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

    /// The same; on Kafka in two transactions, of which one is aborted, so that there are offsets without a message. How many.
    async fn append_with_gaps(&self, node: &Process, partition: u32, messages: &[TestMessage]) -> i64 {
        let Some(Log::Kafka(broker)) = &self.kafka else {
            self.append(node, partition, messages).await;
            return 0;
        };
        let producer = broker.transactions(&self.topic).await;
        producer.begin().await;
        producer.append(&self.topic, partition, &messages[..7]).await;
        producer.abort().await;
        producer.begin().await;
        producer.append(&self.topic, partition, messages).await;
        producer.commit().await;
        7 + 2
    }

    /// On Kafka: messages that are deleted before anybody reads them. How many.
    async fn append_deleted(&self, node: &Process, partition: u32, messages: &[TestMessage]) -> i64 {
        let Some(log) = &self.kafka else { return 0 };
        let held = async || {
            let at = format!("partition={partition}&topic={}&consumeFrom=largest&dryRun=true", self.topic);
            let plan = node.tell(&format!("resumeConsumption?{at}"), &Json::Null).await;
            plan["partitions"][0]["endOffset"].as_u64().unwrap_or_else(|| panic!("{plan}"))
        };
        let before = held().await;
        log.append_messages(&self.topic, partition, messages).await;
        let end = before + messages.len() as u64;
        assert_eq!(held().await, end);
        log.expire(&self.topic, partition, end).await;
        messages.len() as i64
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

/// Rows of a partition that is killed with most of them in blocks of its open segment.
const OPEN_ROWS: i64 = 45_000;
/// Of these, those that are in blocks: what is not is less than a full block of 16 384.
const IN_BLOCKS: u32 = OPEN_ROWS as u32 - 16_383;

#[tokio::test(flavor = "multi_thread")]
async fn n09_killed_with_blocks_of_the_open_segment_on_the_disk() {
    on_both("n09-blocks", async |feed, dir| {
        let node = Process::start(dir, &[]);
        let mut columns = placed();
        columns.as_array_mut().unwrap().push(json!({"name": "text", "dataType": "STRING"}));
        let made = node.post("/tableConfigs", &table(&columns, &feed.map("200000"))).await;
        assert_eq!(made.status, 200, "{}", made.text());
        let append = async |node: &Process, partition: u32, ids: std::ops::Range<i64>| {
            let message = |id: i64| TestMessage::of(json!({"id": id, "text": format!("{}", id * 7 % 1000)}).to_string());
            for from in ids.clone().step_by(5000) {
                let messages: Vec<TestMessage> = (from..ids.end.min(from + 5000)).map(message).collect();
                feed.append(node, partition, &messages).await;
            }
        };
        // What is asked of the rows: their places, their ids, and the texts that go with these.
        let asked = "SELECT \"__metadata$partition\", COUNT(*), COUNT(DISTINCT \"__metadata$offset\"), \
                     MAX(\"__metadata$offset\"), COUNT(DISTINCT id), MAX(id) FROM t GROUP BY 1 ORDER BY 1";
        let wanted = |of: [i64; 2]| {
            let row = |partition: usize| {
                let rows = of[partition];
                json!([partition, rows, rows, (rows - 1) as f64, rows, (rows - 1) as f64])
            };
            json!([row(0), row(1)])
        };
        let texts = "SELECT COUNT(*) FROM t WHERE id <> \"__metadata$offset\" OR text <> CAST(CAST(MOD(id * 7, 1000) AS LONG) AS STRING)";
        append(&node, 0, 0..OPEN_ROWS).await;
        append(&node, 1, 0..300).await;
        node.wait_for_rows(asked, &wanted([OPEN_ROWS, 300])).await;
        eventually("all but a part of a block on the disk", async || match rows_on_disk(dir, 0) {
            rows if rows >= IN_BLOCKS => Ok(()),
            rows => Err(format!("{rows} rows are there")),
        })
        .await;
        let mut node = Some(node);
        for life in 1..3_i64 {
            // More are there when it comes back than were read.
            let running = node.take().unwrap();
            append(&running, 0, OPEN_ROWS + (life - 1) * 200..OPEN_ROWS + life * 200).await;
            running.kill();
            let on_disk = i64::from(rows_on_disk(dir, 0));
            let all = OPEN_ROWS + life * 200;
            assert!(on_disk >= i64::from(IN_BLOCKS) && on_disk <= all, "{on_disk} rows are on the disk");

            let running = Process::start(dir, &[]);
            not_less(&running, &mut on_disk.clone()).await;
            running.wait_for_rows(asked, &wanted([all, 300])).await;
            assert_eq!(running.rows(texts).await, json!([[0]]));
            assert!(running.metric("weir_checkpoints_restored_total").await > 0);
            assert_eq!(running.metric("weir_checkpoints_discarded_total").await, 0);
            let restored = (all + 300) as u64 - running.metric("weir_messages_fetched_total").await;
            assert!(restored >= on_disk as u64, "{on_disk} rows were on the disk, {restored} were not read again");
            running.assert_reconciled().await;
            node = Some(running);
        }
        // A segment of rows that were restored and of rows that were read.
        let node = node.unwrap();
        let all = OPEN_ROWS + 2 * 200;
        node.commit("t").await;
        assert_eq!(node.rows(asked).await, wanted([all, 300]));
        assert_eq!(node.rows(texts).await, json!([[0]]));
        let sealed = "SELECT \"partition\", startOffset, endOffset, rows FROM system.segments WHERE state = 'DONE' ORDER BY 1";
        assert_eq!(node.rows(sealed).await, json!([[0, 0, all, all], [1, 0, 300, 300]]));
        node.kill();
        let node = Process::start(dir, &[]);
        node.wait_for_rows(asked, &wanted([all, 300])).await;
        node.assert_reconciled().await;
    })
    .await;
}

/// What the counts of a table must be, over both partitions.
#[derive(Default)]
struct Counts {
    stored: i64,
    filtered: i64,
    tombstones: i64,
    rejected: i64,
    replayed: i64,
    gaps: i64,
    skipped: i64,
    rewound: i64,
}

fn checked(check: bool, map: &Json) -> Json {
    let mut document = table(&json!([{"name": "id", "dataType": "LONG"}, {"name": "n", "dataType": "INT"}]), map);
    document["schema"]["dateTimeFieldSpecs"] = json!([
        {"name": "ts", "dataType": "LONG", "format": "1:MILLISECONDS:EPOCH", "granularity": "1:MILLISECONDS"},
    ]);
    document["realtime"]["segmentsConfig"]["timeColumnName"] = json!("ts");
    document["realtime"]["ingestionConfig"]["rowTimeValueCheck"] = json!(check);
    document["realtime"]["ingestionConfig"]["filterConfig"] = json!({"filterFunction": "test = true"});
    document
}

/// A hundred messages: 70 rows, 10 that the filter takes out, 8 that are broken, 4 of a wrong type, 3 tombstones, 5 of the year
/// 1970.
fn mixture(counts: &mut Counts) -> Vec<TestMessage> {
    counts.stored += 70;
    counts.filtered += 10;
    counts.tombstones += 3;
    counts.rejected += 17;
    let message = |at: i64| match at % 25 {
        3 | 11 => TestMessage::of("{\"id\": 1,"),
        7 => TestMessage::of(format!("{{\"id\": {at}, \"n\": \"1.5\", \"ts\": 1767225600000}}")),
        13 if at > 13 => TestMessage::default(),
        17 => TestMessage::of(format!("{{\"id\": {at}, \"n\": 1, \"ts\": {at}}}")),
        13 => TestMessage::of(format!("{{\"id\": {at}, \"n\": 1, \"ts\": {at}}}")),
        _ if at % 10 == 4 => {
            TestMessage::of(format!("{{\"id\": {at}, \"n\": 1, \"ts\": 1767225600000, \"test\": true}}"))
        }
        _ => TestMessage::of(format!("{{\"id\": {at}, \"n\": 1, \"ts\": 1767225600000}}")),
    };
    (0..100).map(message).collect()
}

/// All counts are what they must be, explain every offset, and agree with the rows, the quarantine and the log's end.
async fn assert_counts(node: &Api, counts: &Counts) {
    let fetched = counts.stored + counts.filtered + counts.tombstones + counts.rejected + counts.replayed;
    node.wait_for_sum("fetched", fetched).await;
    let of = [
        ("stored", counts.stored),
        ("tombstones", counts.tombstones),
        ("rejected", counts.rejected),
        ("replayed", counts.replayed),
        ("filtered", counts.filtered),
        ("rewound", counts.rewound),
        ("gaps", counts.gaps),
        ("skipped", counts.skipped),
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

/// What this process counted: fetched, stored, filtered, rejected, tombstones, replayed.
async fn assert_metrics(node: &Process, wanted: [u64; 6]) {
    let names = [
        "messages_fetched",
        "messages_stored",
        "messages_filtered",
        "messages_rejected",
        "tombstones",
        "messages_replayed",
    ];
    let mut counted = [0; 6];
    for (at, name) in names.into_iter().enumerate() {
        counted[at] = node.metric(&format!("weir_{name}_total")).await;
    }
    assert_eq!(counted, wanted, "{names:?}");
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
        assert_metrics(&node, [200, 140, 20, 34, 6, 0]).await;

        // Killed with rows sealed, and rows open.
        node.commit("t").await;
        counts.gaps += feed.append_with_gaps(&node, 0, &mixture(&mut counts)).await;
        assert_counts(&node, &counts).await;
        feed.append(&node, 1, &mixture(&mut counts)).await;
        node.kill();
        let node = Process::start(dir, &[]);
        assert_counts(&node, &counts).await;

        // Read again from the start, as somebody asked for: all of it counts once more.
        let path =
            format!("resumeConsumption?consumeFrom=smallest&allowDuplicates=true&topic={}&partition=0", feed.topic);
        node.tell(&path, &Json::Null).await;
        counts.rewound += 200 + counts.gaps;
        counts.gaps *= 2;
        mixture(&mut counts);
        mixture(&mut counts);
        assert_counts(&node, &counts).await;
        node.kill();
        let node = Process::start(dir, &[]);
        assert_counts(&node, &counts).await;

        // What the stream deletes while nobody reads is passed over, once.
        node.commit("t").await;
        node.tell("pauseConsumption", &Json::Null).await;
        for partition in 0..PARTITIONS {
            node.wait_for_state(&feed.topic, partition, "PAUSED").await;
        }
        counts.skipped += feed.append_deleted(&node, 1, &mixture(&mut Counts::default())).await;
        feed.append(&node, 1, &mixture(&mut counts)).await;
        node.tell("resumeConsumption", &Json::Null).await;
        assert_counts(&node, &counts).await;
        node.kill();
        let node = Process::start(dir, &[]);
        assert_counts(&node, &counts).await;

        // Mended and replayed: what is a row now is no reject any more.
        let changed = node.send(Method::PUT, "/tableConfigs/t", &checked(false, &map)).await;
        assert_eq!(changed.status, 200, "{}", changed.text());
        let replayed = node.tell("quarantine/replay", &json!({})).await;
        assert_eq!((&replayed["replayed"], &replayed["failed"]), (&json!(35), &json!(84)), "{replayed}");
        counts.replayed += 35;
        counts.rejected -= 35;
        assert_counts(&node, &counts).await;
        assert_eq!(node.metric("weir_messages_replayed_total").await, 35);
        assert_eq!(node.tell("quarantine/replay", &json!({})).await["replayed"], 0);
        assert_eq!(node.metric("weir_messages_replayed_total").await, 35);
        node.kill();
        let node = Process::start(dir, &[]);
        assert_counts(&node, &counts).await;
    })
    .await;
}

/// Waits until so many segments are committed.
async fn sealed(node: &Api, segments: i64) {
    within(SECONDS, "the seals", async || {
        let done = node.rows("SELECT COUNT(*) FROM system.segments WHERE state = 'DONE'").await;
        if done == json!([[segments]]) { Ok(()) } else { Err(done.to_string()) }
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
    let limit = ("/realtime.segment.flush.threshold.segment.rows", "10");
    node.make(&table(&json!([{"name": "id", "dataType": "LONG"}]), &log.map(&topic, &[limit]))).await;
    node.wait_for_rows("SELECT COUNT(*) FROM t", &json!([[30]])).await;
    // Each of them is sealed; what follows is open when the broker goes.
    sealed(&node, 3).await;
    for partition in 0..3 {
        log.append(&topic, partition, 10..15).await;
    }
    node.wait_for_rows("SELECT COUNT(*) FROM t", &json!([[45]])).await;

    broker.stop();
    let begun = Instant::now();
    for partition in 0..3 {
        let shown = node.wait_for_state(&topic, partition, "RETRYING").await;
        assert!(shown["reason"].as_str().unwrap().contains(&topic), "{shown}");
    }
    // More than three waits of at most five seconds.
    while begun.elapsed() < Duration::from_secs(30) {
        assert_eq!(node.rows("SELECT COUNT(*) FROM t").await, json!([[45]]), "what was read is there");
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

    // A seal needs no broker.
    node.commit("t").await;
    sealed(&node, 6).await;
    assert_eq!(node.rows("SELECT COUNT(*) FROM t").await, json!([[45]]));

    broker.again();
    for partition in 0..3 {
        log.append(&topic, partition, 15..40).await;
    }
    let count = "SELECT COUNT(*), COUNT(DISTINCT id) FROM t";
    node.rows_within(SECONDS, count, &json!([[120, 40]])).await;
    for partition in 0..3 {
        node.wait_for_state(&topic, partition, "CONSUMING").await;
    }
    sealed(&node, 12).await;
    node.commit("t").await;
    node.assert_reconciled().await;
    // Each partition's segments lie one behind the other, from the first message to the last.
    let segments = "SELECT \"partition\", startOffset, endOffset FROM system.segments WHERE state = 'DONE' ORDER BY 1, 2 LIMIT 100";
    let ends = [0, 10, 15, 25, 35, 40];
    let chain = |partition: i64| ends.windows(2).map(move |pair| json!([partition, pair[0], pair[1]]));
    assert_eq!(node.rows(segments).await, json!((0..3).flat_map(chain).collect::<Vec<_>>()));
    assert_eq!(node.rows(count).await, json!([[120, 40]]));
    node.server.stop().await;
}
