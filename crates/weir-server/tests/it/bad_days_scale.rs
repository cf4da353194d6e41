//! More rows than memory takes, and more partitions than is usual.

use crate::{
    bad_days_offsets::everywhere,
    bad_days_records::table,
    process::Process,
    streams::Log,
    support::{AT_ONCE, Api, TestNode},
};
use serde_json::{Value as Json, json};
use std::time::{Duration, Instant};
use weir_server::NodeSettings;
use weir_streams::kafka::testing::TestMessage;

/// Partitions with a backlog.
const MANY: u32 = 100;
/// Rows of each, on a real broker: several times what the process may hold.
const BACKLOG: i64 = 15_000;
/// The same of messages that are in this process's own memory.
const BACKLOG_IN_MEMORY: i64 = 3_000;
/// The budget of the node.
const BUDGET_MIB: u64 = 64;
/// By how much open segments may be above it: a partition that is told to wait first takes what it had fetched.
const OVERSHOOT_MIB: u64 = 16;
/// What the process may hold beside its budget: what a client of a hundred partitions needs, segments that are being built, what the
/// allocator keeps. Without a budget the process holds the whole backlog, and half as much again.
const BESIDE_MIB: u64 = 384;

/// Each row has a kilobyte of text that no other has.
async fn backlog(log: &Log, topic: &str, rows: i64) -> i64 {
    for partition in 0..MANY {
        let from = i64::from(partition) * rows;
        let message = |id: i64| TestMessage::of(format!("{{\"id\":{id},\"text\":\"{id:01000}\"}}"));
        let messages: Vec<TestMessage> = (from..from + rows).map(message).collect();
        log.append_messages(topic, partition, &messages).await;
    }
    i64::from(MANY) * rows
}

fn texts() -> Json {
    json!([{"name": "id", "dataType": "LONG"}, {"name": "text", "dataType": "STRING", "maxLength": 2000}])
}

/// Waits until all rows are there, and does something all the time; gives the most bytes that open segments held meanwhile.
async fn read_backlog(node: &Api, rows: i64, mut meanwhile: impl FnMut()) -> u64 {
    let (until, mut most) = (Instant::now() + Duration::from_secs(300), 0);
    loop {
        meanwhile();
        let open = node.rows("SELECT SUM(openBytes) FROM system.partitions").await;
        most = most.max(open[0][0].as_f64().unwrap_or(0.0) as u64);
        let answer = node.ask("SELECT COUNT(*) FROM t").await;
        if answer["resultTable"]["rows"] == json!([[rows]]) {
            break;
        }
        assert!(Instant::now() < until, "{answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let all = json!([[rows, rows, (rows - 1) as f64]]);
    assert_eq!(node.rows("SELECT COUNT(*), COUNT(DISTINCT id), MAX(id) FROM t").await, all);
    most
}

/// Rows were sealed because memory was short, and open segments held no more than they may.
async fn assert_within_budget(node: &Api, rows: i64, most: u64) {
    let bytes = rows as u64 * 1000;
    assert!(bytes > 4 * (BUDGET_MIB << 20), "so few would fit: {bytes}");
    assert!(most <= (BUDGET_MIB + OVERSHOOT_MIB) << 20, "open segments held {} MiB", most >> 20);
    let sealed = "SELECT COUNT(*) FROM system.segments WHERE sealReason = 'memoryLimit'";
    assert!(node.rows(sealed).await[0][0].as_i64() > Some(0), "the budget seals");
    node.assert_reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n14_a_backlog_of_a_hundred_partitions_on_a_small_budget() {
    let budget = |settings| NodeSettings { ingest_memory_bytes: BUDGET_MIB << 20, ..settings };
    let node = TestNode::start_changed(budget).await;
    let log = Log::memory(&node);
    let topic = log.topic("n14", MANY).await;
    let rows = backlog(&log, &topic, BACKLOG_IN_MEMORY).await;
    node.make(&table(&texts(), &log.map(&topic, &[]))).await;
    let most = read_backlog(&node, rows, || ()).await;
    eprintln!("open segments held {} MiB", most >> 20);
    assert_within_budget(&node, rows, most).await;
    node.server.stop().await;

    let Some(log) = Log::kafka() else { return };
    let Log::Kafka(broker) = &log else { unreachable!() };
    let topic = log.topic("n14", MANY).await;
    let rows = backlog(&log, &topic, BACKLOG).await;
    assert!(rows as u64 * 1000 > 3 * ((BUDGET_MIB + BESIDE_MIB) << 20), "so few would fit: {rows}");
    let dir = tempfile::tempdir().unwrap();
    let budget = BUDGET_MIB.to_string();
    let node = Process::start(dir.path(), &["--ingest-memory-mib", &budget]);
    let made = node.post("/tableConfigs", &table(&texts(), &log.map(&topic, &[]))).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let (idle, mut peak) = (node.own_bytes(), 0);
    let most = read_backlog(&node, rows, || peak = peak.max(node.own_bytes())).await;
    let (idle, peak) = (idle >> 20, peak >> 20);
    eprintln!("open segments held {} MiB, the process {idle} MiB before and {peak} MiB at most", most >> 20);
    assert!(peak <= BUDGET_MIB + BESIDE_MIB, "{peak} MiB");
    assert_within_budget(&node, rows, most).await;
    drop(node);
    broker.delete(&topic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n16_a_table_of_five_hundred_partitions_is_there_at_once() {
    everywhere(async |node, log| {
        let topic = log.topic("n16", 500).await;
        log.append(&topic, 499, 0..3).await;
        let begun = Instant::now();
        node.make(&table(&json!([{"name": "id", "dataType": "LONG"}]), &log.map(&topic, &[]))).await;
        let took = begun.elapsed();
        eprintln!("made within {took:?}");
        assert!(took < AT_ONCE, "{took:?}");
        node.wait_for_rows("SELECT COUNT(*) FROM t", &json!([[3]])).await;
        let states = "SELECT state, COUNT(*) FROM system.partitions GROUP BY state";
        node.wait_for_rows(states, &json!([["CONSUMING", 500]])).await;
        log.append(&topic, 250, 3..5).await;
        node.wait_for_rows("SELECT COUNT(*), COUNT(DISTINCT id) FROM t", &json!([[5, 5]])).await;
        assert_eq!(node.delete("/tableConfigs/t").await.status, 200);
        if let Log::Kafka(broker) = &log {
            broker.delete(&topic).await;
        }
    })
    .await;
}
