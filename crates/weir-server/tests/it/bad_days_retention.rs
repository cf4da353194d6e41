//! Rows of which no sealed segment knows yet, and streams that delete what they were made of: by retention, or because there
//! is a newer message of the same key.

use crate::{
    bad_days_records::{named, table},
    process::{OwnBroker, Process, rows_on_disk},
    streams::Log,
    support::{SECONDS, TestNode, within},
};
use serde_json::{Value as Json, json};
use std::{ops::Range, path::Path, time::Duration};
use weir_streams::kafka::testing::{TestBroker, TestMessage};

const COUNT: &str = "SELECT COUNT(*), COUNT(DISTINCT id) FROM t";

fn counted(rows: i64) -> Json {
    json!([[rows, rows]])
}

async fn start(log: &Log, topic: &str, dir: &Path) -> Process {
    let node = Process::start(dir, &[]);
    let columns = json!([{"name": "id", "dataType": "LONG"}]);
    let made = node.post("/tableConfigs", &table(&columns, &log.map(topic, &[]))).await;
    assert_eq!(made.status, 200, "{}", made.text());
    node
}

/// Appends these numbers of a partition, whose rows are those of no other.
async fn append(log: &Log, topic: &str, partition: u32, numbers: Range<i64>) {
    log.append(topic, partition, numbers.map(|number| number * 10 + i64::from(partition))).await;
}

/// A stream is asked every half minute what it has deleted, where no message tells.
const ASKED: Duration = Duration::from_secs(45);

async fn until_on_disk(dir: &Path, partition: u32, rows: u32) {
    within(ASKED, &format!("{rows} rows of partition {partition} on the disk"), async || {
        let now = rows_on_disk(dir, partition);
        if now == rows { Ok(()) } else { Err(format!("{now} rows are there")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_outlive_a_node_that_is_stopped_and_a_stream_that_deletes_them() {
    let Some(log) = Log::kafka() else { return };
    let (topic, dir) = (log.topic("kept", 2).await, tempfile::tempdir().unwrap());
    let node = start(&log, &topic, dir.path()).await;
    for partition in 0..2 {
        append(&log, &topic, partition, 0..100).await;
    }
    node.rows_within(SECONDS, COUNT, &counted(200)).await;
    // Of one partition the stream deletes them while the node runs, of the other while it does not.
    for partition in 0..2 {
        append(&log, &topic, partition, 100..150).await;
    }
    node.rows_within(SECONDS, COUNT, &counted(300)).await;
    log.expire(&topic, 0, 150).await;
    node.stop().await;
    log.expire(&topic, 1, 150).await;

    let node = Process::start(dir.path(), &[]);
    node.rows_within(SECONDS, COUNT, &counted(300)).await;
    for partition in 0..2 {
        append(&log, &topic, partition, 150..155).await;
    }
    node.rows_within(SECONDS, COUNT, &counted(310)).await;
    assert_eq!(node.json("/tables/t/skips").await, json!([]));
    node.assert_reconciled().await;
    node.commit("t").await;
    assert_eq!(node.rows(COUNT).await, counted(310));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_on_the_disk_before_the_stream_deletes_them() {
    let Some(log) = Log::kafka() else { return };
    let (topic, dir) = (log.topic("near", 2).await, tempfile::tempdir().unwrap());
    let node = start(&log, &topic, dir.path()).await;
    for partition in 0..2 {
        append(&log, &topic, partition, 0..150).await;
    }
    node.rows_within(SECONDS, COUNT, &counted(300)).await;
    // The stream's deleting comes near: to one partition there comes another message, to the other there does not.
    log.expire(&topic, 0, 150).await;
    log.expire(&topic, 1, 149).await;
    append(&log, &topic, 0, 150..151).await;
    until_on_disk(dir.path(), 0, 151).await;
    until_on_disk(dir.path(), 1, 150).await;
    node.rows_within(SECONDS, COUNT, &counted(301)).await;
    node.kill();
    log.expire(&topic, 0, 151).await;
    log.expire(&topic, 1, 150).await;

    let node = Process::start(dir.path(), &[]);
    node.rows_within(SECONDS, COUNT, &counted(301)).await;
    append(&log, &topic, 1, 150..160).await;
    node.rows_within(SECONDS, COUNT, &counted(311)).await;
    assert_eq!(node.json("/tables/t/skips").await, json!([]));
    assert_eq!(node.metric("weir_checkpoints_restored_total").await, 2);
    node.assert_reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn visible_rows_that_nobody_has_any_more_are_a_loss_on_the_record() {
    let Some(log) = Log::kafka() else { return };
    let (topic, dir) = (log.topic("lost", 1).await, tempfile::tempdir().unwrap());
    let node = start(&log, &topic, dir.path()).await;
    append(&log, &topic, 0, 0..100).await;
    node.rows_within(SECONDS, COUNT, &counted(100)).await;
    node.stop().await;
    assert_eq!(rows_on_disk(dir.path(), 0), 100);
    let node = Process::start(dir.path(), &[]);
    append(&log, &topic, 0, 100..103).await;
    node.rows_within(SECONDS, COUNT, &counted(103)).await;
    node.kill();
    // Far from what the stream deletes they waited for more; seven more came that were never seen.
    assert_eq!(rows_on_disk(dir.path(), 0), 100);
    append(&log, &topic, 0, 103..112).await;
    log.expire(&topic, 0, 110).await;

    let node = Process::start(dir.path(), &[]);
    node.rows_within(SECONDS, COUNT, &counted(102)).await;
    let skips = node.rows("SELECT kind, fromOffset, toOffset, reason FROM system.skips ORDER BY kind").await;
    assert_eq!(skips, json!([["LOSS", 100, 103, "RETENTION"], ["SKIP", 100, 110, "RETENTION"]]));
    let told = node.json("/tables/t/skips").await;
    let kinds: Vec<&Json> = told.as_array().unwrap().iter().map(|row| &row["kind"]).collect();
    assert!(kinds.len() == 2 && kinds.contains(&&json!("LOSS")), "{told}");
    let shown = node.partition(&topic, 0).await;
    assert_eq!(
        (&shown["skipped"], &shown["nextOffset"], &shown["state"]),
        (&json!(10), &json!(112), &json!("CONSUMING"))
    );
    node.assert_reconciled().await;
    for (offset, verdict) in [("99", "ROW"), ("101", "LOST"), ("105", "SKIPPED"), ("111", "ROW")] {
        let steps = node.says(&["why", "--table", "t", "--partition", "0", "--offset", offset]);
        assert_eq!(steps.last().unwrap()["verdict"], verdict, "{offset}: {steps:?}");
    }
}

/// Keys that have many messages each, messages of each, and messages of other keys behind them.
const KEYS: i64 = 20;
const VERSIONS: i64 = 10;
const BEHIND: i64 = 100;

/// The messages of a topic that keeps the newest of each key: a quarter of the keys end in a tombstone.
fn versions() -> Vec<TestMessage> {
    let message = |key: String, value: Option<String>| TestMessage {
        key: Some(key.into_bytes()),
        value: value.map(String::into_bytes),
        ..TestMessage::default()
    };
    let versions = (0..KEYS * VERSIONS).map(|at| {
        let (version, key) = (at / KEYS, at % KEYS);
        let ends = version == VERSIONS - 1 && key % 4 == 0;
        message(format!("key {key}"), (!ends).then(|| json!({"id": at, "key": key}).to_string()))
    });
    let behind = (KEYS * VERSIONS..KEYS * VERSIONS + BEHIND)
        .map(|at| message(format!("other {at}"), Some(json!({"id": at, "key": -1}).to_string())));
    versions.chain(behind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_with_tombstones() {
    let Some(broker) = OwnBroker::start() else { return };
    let log = Log::Kafka(TestBroker::at(&broker.address()));
    let topic = log.topic("compacted", 1).await;
    // Its cleaner looks every 15 seconds whether there is something to do.
    let settings =
        "cleanup.policy=compact,segment.bytes=2000,segment.ms=1,min.cleanable.dirty.ratio=0.0,min.compaction.lag.ms=0";
    let arguments = ["--alter", "--entity-type", "topics", "--entity-name", &topic, "--add-config", settings];
    broker.run("kafka.admin.ConfigCommand", &arguments);
    let node = TestNode::start().await;
    let columns = json!([
        {"name": "id", "dataType": "LONG"}, {"name": "key", "dataType": "LONG"},
        {"name": "__metadata$offset", "dataType": "LONG"},
    ]);
    let document = |name: &str| named(name, &columns, &log.map(&topic, &[]));
    let (gone, all) = (KEYS / 4, KEYS * VERSIONS + BEHIND);
    // One table reads before there is anything to clean.
    node.make(&document("before")).await;
    for messages in versions().chunks(20) {
        log.append_messages(&topic, 0, messages).await;
    }
    let count = |table: &str| format!("SELECT COUNT(*), COUNT(DISTINCT id) FROM {table}");
    within(Duration::from_secs(90), "the cleaning", async || {
        let done = std::fs::read_to_string(broker.logs().join("cleaner-offset-checkpoint")).unwrap_or_default();
        let line = done.lines().find_map(|line| line.strip_prefix(&format!("{topic} 0 ")));
        let cleaned = line.and_then(|offset| offset.parse::<i64>().ok());
        if cleaned >= Some(KEYS * VERSIONS) { Ok(()) } else { Err(done) }
    })
    .await;
    // The other one reads what is left.
    node.make(&document("t")).await;
    let left = KEYS - gone + BEHIND;
    node.rows_within(SECONDS, COUNT, &counted(left)).await;
    let newest = "SELECT COUNT(*), COUNT(DISTINCT \"key\"), MIN(id), MAX(id) FROM t WHERE \"key\" >= 0";
    let from = KEYS * (VERSIONS - 1) + 1;
    let check = async |node: &TestNode| {
        let wanted = json!([[KEYS - gone, KEYS - gone, from as f64, (KEYS * VERSIONS - 1) as f64]]);
        assert_eq!(node.rows(newest).await, wanted, "the newest of each key that has one");
        assert_eq!(node.rows("SELECT COUNT(*) FROM t WHERE id <> \"__metadata$offset\"").await, json!([[0]]));
        let shown = node.wait_for_state(&topic, 0, "CONSUMING").await;
        let said = ["nextOffset", "stored", "tombstones", "gaps", "skipped"].map(|key| shown[key].as_i64().unwrap());
        assert_eq!(said, [all, left, gone, all - left - gone, 0], "{shown}");
        assert_eq!(node.json("/tables/t/skips").await, json!([]));
        node.assert_reconciled().await;
    };
    check(&node).await;
    assert_eq!(node.rows(&count("before")).await, counted(all - gone), "what was read stays");

    let node = node.restarted().await;
    node.rows_within(SECONDS, COUNT, &counted(left)).await;
    check(&node).await;
    node.rows_within(SECONDS, &count("before"), &counted(all - gone)).await;
    node.assert_reconciled_of("before").await;
    node.commit("t").await;
    node.commit("before").await;
    check(&node).await;
    assert_eq!(node.rows(&count("before")).await, counted(all - gone));
    node.server.stop().await;
}
