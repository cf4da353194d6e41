//! Seals, while all else goes on: columns added to an open segment, rows that keep coming, a deep store that is away, more
//! rows than memory takes, more partitions than is usual.

use crate::{
    bad_days_offsets::everywhere,
    bad_days_records::table,
    process::Process,
    streams::Log,
    support::{Api, TestNode, eventually},
};
use hyper::Method;
use serde_json::{Value as Json, json};
use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};
use weir_server::NodeSettings;
use weir_streams::kafka::testing::TestMessage;

fn ids() -> Json {
    json!([{"name": "id", "dataType": "LONG"}])
}

async fn change(node: &Api, document: &Json) {
    let changed = node.send(Method::PUT, "/tableConfigs/t", document).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn n11_a_column_added_while_consuming() {
    let node = TestNode::start().await;
    let log = Log::local(&node);
    column_added(node, &log).await;
    if let Some(log) = Log::kafka() {
        column_added(TestNode::start().await, &log).await;
    }
}

async fn column_added(node: TestNode, log: &Log) {
    let topic = log.topic("n11", 1).await;
    let map = log.map(&topic, &[]);
    node.make(&table(&ids(), &map)).await;
    // Some rows are sealed, some are not; the fields are in the messages before the columns are there.
    let message = |id: i64| {
        let colour = if id % 2 == 0 { "red" } else { "blue" };
        TestMessage::of(json!({"id": id, "colour": colour, "tags": ["a", colour], "n": id * 10}).to_string())
    };
    let messages = |ids: std::ops::Range<i64>| ids.map(message).collect::<Vec<_>>();
    log.append_messages(&topic, 0, &messages(0..10)).await;
    node.wait_for_rows("SELECT COUNT(*) FROM t", &json!([[10]])).await;
    node.commit("t").await;
    log.append_messages(&topic, 0, &messages(10..20)).await;
    node.wait_for_rows("SELECT COUNT(*) FROM t", &json!([[20]])).await;

    let mut columns = ids();
    columns.as_array_mut().unwrap().extend([
        json!({"name": "colour", "dataType": "STRING", "defaultNullValue": "none"}),
        json!({"name": "tags", "dataType": "STRING", "singleValueField": false}),
        json!({"name": "n", "dataType": "INT"}),
    ]);
    let mut document = table(&columns, &map);
    document["realtime"]["tableIndexConfig"] = json!({"invertedIndexColumns": ["colour"], "rangeIndexColumns": ["n"]});
    change(&node, &document).await;
    log.append_messages(&topic, 0, &messages(20..30)).await;
    let newest = "SELECT id, colour, tags, n FROM t WHERE id > 27 ORDER BY id";
    let newest_rows = json!([[28, "red", ["a", "red"], 280], [29, "blue", ["a", "blue"], 290]]);
    node.wait_for_rows(newest, &newest_rows).await;

    // Each row is counted once by each of these, whether it had the column or not.
    let check = async |node: &TestNode| {
        node.wait_for_rows(newest, &newest_rows).await;
        for (sql, rows) in [
            (
                "SELECT colour, COUNT(*) FROM t GROUP BY colour ORDER BY colour",
                json!([["blue", 5], ["none", 20], ["red", 5]]),
            ),
            ("SELECT COUNT(*) FROM t WHERE colour = 'none' AND id < 20", json!([[20]])),
            ("SELECT COUNT(*) FROM t WHERE n >= 200", json!([[10]])),
            ("SELECT COUNT(*) FROM t WHERE n < 0 AND tags = 'null'", json!([[20]])),
            ("SELECT COUNT(*) FROM t WHERE tags = 'a'", json!([[10]])),
        ] {
            node.wait_for_rows(sql, &rows).await;
        }
    };
    check(&node).await;
    node.commit("t").await;
    check(&node).await;
    log.append_messages(&topic, 0, &messages(30..31)).await;
    node.wait_for_rows("SELECT colour, n FROM t WHERE id = 30", &json!([["red", 300]])).await;
    node.assert_reconciled().await;
    // What cannot be changed is refused with its reason, and nothing of it is kept.
    let mut other = document.clone();
    other["schema"]["dimensionFieldSpecs"][0]["dataType"] = json!("STRING");
    let refused = node.send(Method::PUT, "/tableConfigs/t", &other).await;
    assert!(refused.status == 400 && refused.error().contains("id"), "{}", refused.text());

    let node = node.restarted().await;
    node.wait_for_rows("SELECT COUNT(*), COUNT(DISTINCT id) FROM t", &json!([[31, 31]])).await;
    node.wait_for_rows("SELECT COUNT(*) FROM t WHERE colour = 'none'", &json!([[20]])).await;
    node.server.stop().await;
}

/// Rows of a segment: building it takes longer than a row may take to be seen.
const SEGMENT_ROWS: i64 = 30_000;
/// Seals that the rows go through.
const SEALS: i64 = 4;
/// Rows that are sent at once.
const BATCH: i64 = 300;
/// How much longer a row may take to be seen while a segment is sealed: a build takes turns with what else runs here, and
/// Pinot's stand-still takes seconds for a segment of this size.
const SEAL_ALLOWANCE: Duration = Duration::from_millis(1500);

/// How long rows took to be seen, and queries to be answered.
#[derive(Debug, Default)]
struct Seen {
    /// The longest, over moments at which nothing was being sealed.
    calm: Duration,
    /// The longest, over moments at which a segment was.
    sealing: Duration,
    /// How often somebody looked while a segment was being sealed.
    looks: u32,
    longest_query: Duration,
}

#[tokio::test(flavor = "multi_thread")]
async fn n12_rows_are_seen_while_a_segment_is_sealed() {
    everywhere(async |node, log| {
        let topic = log.topic("n12", 1).await;
        let columns = json!([
            {"name": "id", "dataType": "LONG"}, {"name": "name", "dataType": "STRING"},
            {"name": "city", "dataType": "STRING"}, {"name": "n", "dataType": "INT"},
        ]);
        let rows = SEGMENT_ROWS.to_string();
        let limit = ("/realtime.segment.flush.threshold.segment.rows", rows.as_str());
        let mut document = table(&columns, &log.map(&topic, &[limit]));
        document["realtime"]["tableIndexConfig"] =
            json!({"invertedIndexColumns": ["name", "city"], "rangeIndexColumns": ["n"], "sortedColumn": ["city"]});
        node.make(&document).await;
        node.wait_for_state(&topic, 0, "CONSUMING").await;
        let all = SEGMENT_ROWS * SEALS + SEGMENT_ROWS / 2;
        // When each batch was acknowledged; ids are dense, so the greatest one that is seen tells what is.
        let (sent, done) = (tokio::sync::Mutex::new(Vec::<Instant>::new()), AtomicI64::new(0));
        let produce = async {
            for batch in 0..all / BATCH {
                let message = |id: i64| {
                    let city = (id * 7919) % 1000;
                    TestMessage::of(format!(
                        "{{\"id\":{id},\"name\":\"name {id}\",\"city\":\"city {city}\",\"n\":{}}}",
                        id % 977
                    ))
                };
                let messages: Vec<TestMessage> = (batch * BATCH..(batch + 1) * BATCH).map(message).collect();
                log.append_messages(&topic, 0, &messages).await;
                sent.lock().await.push(Instant::now());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            done.store(1, Ordering::Relaxed);
        };
        let (seen, ()) = tokio::join!(look(node, &sent, all), produce);
        eprintln!("{seen:?}");
        assert!(seen.looks >= 3, "nobody looked while a segment was being sealed: {seen:?}");
        assert!(seen.sealing <= seen.calm + SEAL_ALLOWANCE, "{seen:?}");
        assert!(seen.longest_query <= SEAL_ALLOWANCE * 2, "no query waits for a seal: {seen:?}");

        eventually("all seals", async || {
            let sealed = node.rows("SELECT COUNT(*), SUM(rows) FROM system.segments WHERE state = 'DONE'").await;
            if sealed[0][0].as_i64() >= Some(SEALS) { Ok(()) } else { Err(sealed.to_string()) }
        })
        .await;
        assert_eq!(node.rows("SELECT COUNT(*), COUNT(DISTINCT id) FROM t").await, json!([[all, all]]));
        node.assert_reconciled().await;
    })
    .await;
}

/// Asks until all rows are seen.
async fn look(node: &TestNode, sent: &tokio::sync::Mutex<Vec<Instant>>, all: i64) -> Seen {
    let (mut seen, mut batches) = (Seen::default(), 0);
    let until = Instant::now() + Duration::from_secs(120);
    let sealing = async || {
        let states = node.rows("SELECT COUNT(*) FROM system.segments WHERE state = 'COMMITTING'").await;
        states[0][0].as_i64() > Some(0)
    };
    let (mut before, mut count) = (sealing().await, 0);
    while count < all {
        let asked = Instant::now();
        assert!(asked < until, "{count} of {all} rows are seen");
        let now = node.rows("SELECT COUNT(*) FROM t").await[0][0].as_i64().unwrap();
        let answered = Instant::now();
        assert!(now >= count, "{now} rows are seen, {count} were before");
        count = now;
        let after = sealing().await;
        seen.longest_query = seen.longest_query.max(answered - asked);
        // The oldest batch that is not seen has waited so long already; one that is newly seen has waited no longer.
        let sent = sent.lock().await;
        let waited = sent.get(batches).map_or(Duration::ZERO, |at| answered.saturating_duration_since(*at));
        if before || after {
            seen.sealing = seen.sealing.max(waited);
            seen.looks += 1;
        } else {
            seen.calm = seen.calm.max(waited);
        }
        batches = (count / BATCH) as usize;
        before = after;
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn n13_a_deep_store_that_is_away() {
    let kafka = async {
        if let Some(log) = Log::kafka() {
            deep_store_away(TestNode::start().await, &log).await;
        }
    };
    let memory = async {
        let node = TestNode::start().await;
        let log = Log::memory(&node);
        deep_store_away(node, &log).await;
    };
    tokio::join!(kafka, memory);
}

/// How long it is away.
const AWAY: Duration = Duration::from_secs(30);

async fn deep_store_away(node: TestNode, log: &Log) {
    let topic = log.topic("n13", 1).await;
    let limit = ("/realtime.segment.flush.threshold.segment.rows", "100");
    node.make(&table(&ids(), &log.map(&topic, &[limit]))).await;
    let mut sent = 0;
    let mut append = async |count: i64| {
        log.append(&topic, 0, sent..sent + count).await;
        sent += count;
        // Each is seen, whatever the deep store does.
        node.wait_for_rows("SELECT COUNT(*), COUNT(DISTINCT id) FROM t", &json!([[sent, sent]])).await;
        sent
    };
    append(150).await;
    let states = "SELECT state, COUNT(*) FROM system.segments GROUP BY state ORDER BY state";
    node.wait_for_rows(states, &json!([["CONSUMING", 1], ["DONE", 1]])).await;

    // Its folder is a file: nothing can be written into it, whoever asks.
    let store = node.server.node.settings().data_dir.join("deep-store");
    let aside = store.with_extension("aside");
    std::fs::rename(&store, &aside).unwrap();
    std::fs::write(&store, "").unwrap();
    let begun = Instant::now();
    while begun.elapsed() < AWAY {
        append(20).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let waiting = node.rows("SELECT COUNT(*) FROM system.segments WHERE state = 'COMMITTING'").await[0][0].clone();
    assert!(waiting.as_i64() >= Some(3), "seals go on: {waiting}");
    assert_eq!(node.rows("SELECT COUNT(*) FROM system.segments WHERE state = 'DONE'").await, json!([[1]]));
    let told = "SELECT lastError FROM system.segments WHERE state = 'COMMITTING' ORDER BY startOffset LIMIT 1";
    let told = node.rows(told).await;
    assert!(told[0][0].as_str().unwrap().contains("deep-store"), "it says why: {told}");
    let metrics = node.get("/metrics").await.text();
    let failed = metrics.lines().find(|line| line.starts_with("weir_uploads_failed_total{table=\"t\"")).unwrap();
    let failed: i64 = failed.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(failed > 3 * waiting.as_i64().unwrap(), "{failed} attempts for {waiting} segments");
    assert_eq!(node.partition(&topic, 0).await["state"], "CONSUMING");

    std::fs::remove_file(&store).unwrap();
    std::fs::rename(&aside, &store).unwrap();
    let all = append(20).await;
    eventually("uploads that catch up", async || {
        let waiting = node.rows("SELECT COUNT(*) FROM system.segments WHERE state = 'COMMITTING'").await;
        if waiting == json!([[0]]) { Ok(()) } else { Err(waiting.to_string()) }
    })
    .await;
    let rows = "SELECT SUM(rows) FROM system.segments WHERE state = 'DONE' AND bytes > 0 AND location IS NOT NULL";
    assert_eq!(node.rows(rows).await, json!([[(all / 100 * 100) as f64]]));
    node.assert_reconciled().await;
    let node = node.restarted().await;
    if !matches!(log, Log::Memory(_)) {
        node.wait_for_rows("SELECT COUNT(*), COUNT(DISTINCT id) FROM t", &json!([[all, all]])).await;
    }
    node.server.stop().await;
}

/// Partitions with a backlog.
const MANY: u32 = 100;
/// Rows of each.
const BACKLOG: i64 = 2000;
/// The budget of the node: a third of what the rows alone would hold.
const BUDGET_MIB: u64 = 64;
/// What the process may hold beside its budget: as the benchmark of memory states it, `benchmarks/README.md`.
const BESIDE_MIB: u64 = 512;

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

/// Waits until all rows are there; gives the most bytes that open segments held meanwhile.
async fn read_backlog(node: &Api, rows: i64) -> i64 {
    let (until, mut most) = (Instant::now() + Duration::from_secs(120), 0);
    loop {
        let open = node.rows("SELECT SUM(openBytes) FROM system.partitions").await;
        most = most.max(open[0][0].as_f64().unwrap_or(0.0) as i64);
        let answer = node.ask("SELECT COUNT(*), COUNT(DISTINCT id), MAX(id) FROM t").await;
        if answer["resultTable"]["rows"] == json!([[rows, rows, (rows - 1) as f64]]) {
            return most;
        }
        assert!(Instant::now() < until, "{answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Rows were sealed because memory was short, and never were most of them in memory at once.
async fn assert_sealed_for_memory(node: &Api, rows: i64, most: i64) {
    assert!(most < rows * 1000 / 4 * 3, "open segments held {most} bytes");
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
    // The messages themselves are in this process's memory: fewer of them do.
    let rows = backlog(&log, &topic, BACKLOG / 2).await;
    node.make(&table(&texts(), &log.map(&topic, &[]))).await;
    let most = read_backlog(&node, rows).await;
    assert_sealed_for_memory(&node, rows, most).await;
    node.server.stop().await;

    let Some(log) = Log::kafka() else { return };
    let Log::Kafka(broker) = &log else { unreachable!() };
    let topic = log.topic("n14", MANY).await;
    let rows = backlog(&log, &topic, BACKLOG).await;
    let dir = tempfile::tempdir().unwrap();
    let budget = BUDGET_MIB.to_string();
    let node = Process::start(dir.path(), &["--ingest-memory-mib", &budget]);
    let made = node.post("/tableConfigs", &table(&texts(), &log.map(&topic, &[]))).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let most = read_backlog(&node, rows).await;
    let peak = node.peak_bytes() >> 20;
    eprintln!("open segments held {} MiB, the process {peak} MiB", most >> 20);
    assert!(peak <= BUDGET_MIB + BESIDE_MIB, "{peak} MiB");
    assert_sealed_for_memory(&node, rows, most).await;
    drop(node);
    broker.delete(&topic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n16_a_table_of_five_hundred_partitions_is_there_at_once() {
    everywhere(async |node, log| {
        let topic = log.topic("n16", 500).await;
        log.append(&topic, 499, 0..3).await;
        // What else the machine does may hold up one of them.
        let mut took = vec![];
        for attempt in 0..3 {
            if attempt > 0 {
                assert_eq!(node.delete("/tableConfigs/t").await.status, 200);
            }
            let begun = Instant::now();
            node.make(&table(&ids(), &log.map(&topic, &[]))).await;
            took.push(begun.elapsed());
            if took[attempt] < Duration::from_secs(2) {
                break;
            }
        }
        assert!(took.iter().any(|took| *took < Duration::from_secs(2)), "{took:?}");
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
