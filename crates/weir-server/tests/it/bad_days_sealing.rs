//! Seals, while all else goes on: columns added to an open segment, rows that keep coming, a deep store that is away.

use crate::{
    bad_days_offsets::everywhere,
    bad_days_records::table,
    streams::Log,
    support::{Api, TestNode, eventually, within},
};
use hyper::Method;
use serde_json::{Value as Json, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
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

/// Rows of the segment that is sealed; doubled until its seal is so long that nobody could overlook a stand-still.
const SEGMENT_ROWS: i64 = 200_000;
/// A machine that seals so many in no time tells nothing.
const MOST_ROWS: i64 = 3_200_000;
/// Rows that are sent at once, and how often.
const BATCH: i64 = 60;
const PACE: Duration = Duration::from_millis(10);
/// Batches before the segment is full: what is measured of them is how it is without a seal.
const CALM_BATCHES: i64 = 100;
/// What a row may take to be seen at any time: a thread of this process may have to wait for one of its two cores.
const LEAST_ALLOWANCE: Duration = Duration::from_millis(300);
/// A seal that held up all rows would be noticed so many times over.
const CLEARLY: u32 = 4;

/// How long rows took to be seen, and queries to be answered.
#[derive(Debug, Default)]
struct Seen {
    /// The longest, over moments at which nothing was being sealed.
    calm: Duration,
    /// The longest, over moments at which a segment was.
    sealing: Duration,
    /// From the first look at which a segment was being sealed to the last one.
    seal: Duration,
    /// Batches that came to be seen meanwhile.
    batches: usize,
    longest_query: Duration,
}

impl Seen {
    /// What a row may take while a segment is sealed.
    fn allowance(&self) -> Duration {
        LEAST_ALLOWANCE.max(self.calm * 3)
    }
}

/// A thread that does nothing: what it is late by, everybody here is, whatever the node does.
struct Idler {
    late_us: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Idler {
    fn start() -> Self {
        let new = Self { late_us: Arc::default(), ended: Arc::default() };
        let (late_us, ended) = (new.late_us.clone(), new.ended.clone());
        std::thread::spawn(move || {
            let tick = Duration::from_millis(5);
            while !ended.load(Ordering::Relaxed) {
                let begun = Instant::now();
                std::thread::sleep(tick);
                let late = begun.elapsed().saturating_sub(tick);
                late_us.fetch_max(late.as_micros() as u64, Ordering::Relaxed);
            }
        });
        new
    }

    /// The most since this was asked before.
    fn late(&self) -> Duration {
        Duration::from_micros(self.late_us.swap(0, Ordering::Relaxed))
    }
}

impl Drop for Idler {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn n12_rows_are_seen_while_a_segment_is_sealed() {
    everywhere(async |node, log| {
        let mut rows = SEGMENT_ROWS;
        loop {
            let seen = sealed_under_load(node, &log, rows).await;
            eprintln!("{rows} rows: {seen:?}");
            let allowance = seen.allowance();
            if seen.seal >= allowance * CLEARLY {
                assert!(seen.sealing <= allowance, "rows waited for the seal: {seen:?}");
                assert!(seen.longest_query <= allowance, "a query waited for the seal: {seen:?}");
                assert!(seen.batches >= 10, "nothing was sent while a segment was being sealed: {seen:?}");
                break;
            }
            rows *= 2;
            assert!(rows <= MOST_ROWS, "no seal was long enough to tell: {seen:?}");
        }
    })
    .await;
}

/// Seals a segment of so many rows while others come, and looks all the time.
async fn sealed_under_load(node: &TestNode, log: &Log, rows: i64) -> Seen {
    let topic = log.topic("n12", 1).await;
    let columns = json!([
        {"name": "id", "dataType": "LONG"}, {"name": "name", "dataType": "STRING"}, {"name": "other", "dataType": "STRING"},
        {"name": "city", "dataType": "STRING"}, {"name": "n", "dataType": "INT"},
    ]);
    let limit = rows.to_string();
    let limit = ("/realtime.segment.flush.threshold.segment.rows", limit.as_str());
    let mut document = table(&columns, &log.map(&topic, &[limit]));
    document["realtime"]["tableIndexConfig"] = json!({
        "invertedIndexColumns": ["name", "other", "city"], "rangeIndexColumns": ["id", "n"], "sortedColumn": ["city"],
    });
    node.make(&document).await;
    let messages = |ids: std::ops::Range<i64>| -> Vec<TestMessage> {
        let message = |id: i64| {
            let (city, n) = ((id * 7919) % 1000, id % 977);
            let (name, other) = (format!("name {id}"), format!("other {}", id.wrapping_mul(2_654_435_761) % 1_000_003));
            TestMessage::of(
                json!({"id": id, "name": name, "other": other, "city": format!("city {city}"), "n": n}).to_string(),
            )
        };
        ids.map(message).collect()
    };
    let bulk = rows - CALM_BATCHES * BATCH;
    for from in (0..bulk).step_by(10_000) {
        log.append_messages(&topic, 0, &messages(from..bulk.min(from + 10_000))).await;
    }
    within(Duration::from_secs(120), "the bulk of the rows", async || {
        match node.rows("SELECT COUNT(*) FROM t").await {
            count if count == json!([[bulk]]) => Ok(()),
            count => Err(count.to_string()),
        }
    })
    .await;

    // When each batch was acknowledged; ids are dense, so how many are seen tells which.
    let (sent, ended) = (tokio::sync::Mutex::new(Vec::<Instant>::new()), AtomicBool::new(false));
    let produce = async {
        let mut next = bulk;
        while !ended.load(Ordering::Relaxed) {
            log.append_messages(&topic, 0, &messages(next..next + BATCH)).await;
            sent.lock().await.push(Instant::now());
            next += BATCH;
            tokio::time::sleep(PACE).await;
        }
        next
    };
    let look = async {
        let seen = look(node, &sent, bulk).await;
        ended.store(true, Ordering::Relaxed);
        seen
    };
    let (seen, all) = tokio::join!(look, produce);
    node.wait_for_rows("SELECT COUNT(*), COUNT(DISTINCT id) FROM t", &json!([[all, all]])).await;
    node.assert_reconciled().await;
    assert_eq!(node.delete("/tableConfigs/t").await.status, 200);
    seen
}

/// Looks until the segment is sealed and committed, and for a while after that.
async fn look(node: &TestNode, sent: &tokio::sync::Mutex<Vec<Instant>>, bulk: i64) -> Seen {
    let (mut seen, mut batches, mut count) = (Seen::default(), 0, 0);
    let (until, idler) = (Instant::now() + Duration::from_secs(180), Idler::start());
    let committing = async || {
        let states = node.rows("SELECT COUNT(*) FROM system.segments WHERE state = 'COMMITTING'").await;
        states[0][0].as_i64() > Some(0)
    };
    // When a segment was first seen being sealed, and how many batches were there; and when it was last.
    let (mut first, mut last) = (None, None);
    let mut before = committing().await;
    // After the seal as long as before it.
    while last.is_none_or(|last: Instant| last.elapsed() < PACE * CALM_BATCHES as u32) {
        let asked = Instant::now();
        assert!(asked < until, "{count} rows are seen, and the seal has not ended: {seen:?}");
        let now = node.rows("SELECT COUNT(*) FROM t").await[0][0].as_i64().unwrap();
        let answered = Instant::now();
        assert!(now >= count, "{now} rows are seen, {count} were before");
        count = now;
        let after = committing().await;
        // The oldest batch that is not seen has waited so long already; one that is newly seen has waited no longer.
        let waited =
            sent.lock().await.get(batches).map_or(Duration::ZERO, |at| answered.saturating_duration_since(*at));
        let late = idler.late();
        let (waited, answer) = (waited.saturating_sub(late), (answered - asked).saturating_sub(late));
        seen.longest_query = seen.longest_query.max(answer);
        batches = ((count - bulk) / BATCH) as usize;
        if before || after {
            seen.sealing = seen.sealing.max(waited);
            let (begun, there) = *first.get_or_insert((asked, batches));
            (seen.seal, seen.batches) = (answered - begun, batches - there);
            last = Some(answered);
        } else {
            seen.calm = seen.calm.max(waited);
        }
        before = after;
        tokio::time::sleep(Duration::from_millis(2)).await;
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
