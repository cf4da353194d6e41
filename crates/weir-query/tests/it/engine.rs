//! What an engine does beside answering: limits, stats, lacks, faults.

use crate::fixture::{Fixed, NOW_MS, ask, cities, engine, engine_of, numbers, orders, table_of};
use arrow::{
    array::{Array, AsArray},
    datatypes::Int64Type,
    util::display::array_value_to_string,
};
use roaring::RoaringBitmap;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use weir_query::{QueryRequest, QueryResponse};
use weir_types::{DataType, Value};

pub(crate) fn long(answer: &QueryResponse, column: usize) -> i64 {
    assert!(answer.exceptions.is_empty(), "{:?}", answer.exceptions);
    answer.rows[0].column(column).as_primitive::<Int64Type>().value(0)
}

pub(crate) fn code(answer: &QueryResponse) -> u32 {
    answer.exceptions.first().map_or(0, |exception| exception.code)
}

#[tokio::test]
async fn stats_tell_what_was_looked_at() {
    let engine = engine(Fixed(vec![orders()]), 64 << 20);
    let answer = ask(&engine, "SELECT orderId FROM orders WHERE qty > 8").await;
    let stats = answer.stats;
    assert_eq!(answer.tables, ["orders"]);
    assert_eq!((stats.num_servers_queried, stats.num_servers_responded), (1, 1));
    assert_eq!((stats.total_docs, stats.num_docs_scanned), (12, 3));
    assert_eq!((stats.num_segments_queried, stats.num_segments_matched), (3, 1));
    // Statistics rule out the other two.
    assert_eq!((stats.num_segments_processed, stats.num_segments_pruned_by_value), (1, 2));
    assert_eq!((stats.num_consuming_segments_queried, stats.num_consuming_segments_matched), (1, 1));
    assert!(stats.num_entries_scanned_in_filter > 0 && stats.num_entries_scanned_post_filter > 0);
    assert_eq!(stats.min_consuming_freshness_time_ms, NOW_MS - 5);
}

#[tokio::test]
async fn counts_and_bounds_come_from_metadata() {
    let engine = engine(Fixed(vec![numbers(250_000)]), 64 << 20);
    let answer = ask(&engine, "SELECT COUNT(*), MIN(n), MAX(n) FROM numbers").await;
    assert_eq!(long(&answer, 0), 250_000);
    assert_eq!((answer.stats.num_docs_scanned, answer.stats.num_entries_scanned_post_filter), (250_000, 0));
    let plan = ask(&engine, "EXPLAIN PLAN FOR SELECT COUNT(*), MIN(n), MAX(n) FROM numbers").await;
    let operators = format!("{:?}", plan.rows);
    assert!(!operators.contains("SegmentScan"), "{operators}");
}

#[tokio::test]
async fn rows_that_validity_hides_do_not_count() {
    let mut table = numbers(150_000);
    table.segments[0].validity = Some(Arc::new((0..10).collect::<RoaringBitmap>()));
    let engine = engine(Fixed(vec![table]), 64 << 20);
    let answer = ask(&engine, "SELECT COUNT(*) FROM numbers").await;
    assert_eq!(long(&answer, 0), 50_010);
    let answer =
        ask(&engine, "SET useMultistageEngine=true; SELECT MIN(n), MAX(n), COUNT(*) FROM numbers WHERE n < 100000")
            .await;
    assert_eq!((long(&answer, 0), long(&answer, 1), long(&answer, 2)), (0, 9, 10));
}

#[tokio::test]
async fn a_limit_stops_the_scan_early() {
    let engine = engine(Fixed(vec![numbers(250_000)]), 64 << 20);
    let answer = ask(&engine, "SELECT t FROM numbers LIMIT 5").await;
    assert_eq!(answer.rows.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 5);
    assert!(answer.stats.num_docs_scanned < 20_000, "{:?}", answer.stats);
    let answer = ask(&engine, "SELECT t FROM numbers WHERE n >= 200000 LIMIT 5").await;
    assert_eq!(answer.rows.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 5);
}

#[tokio::test]
async fn all_rows_are_seen_by_several_threads_once() {
    let engine = engine(Fixed(vec![numbers(250_000)]), 256 << 20);
    let answer = ask(
        &engine,
        "SET useMultistageEngine=true; SELECT SUM(n), COUNT(DISTINCT n), COUNT(*) FROM numbers WHERE t <> 'x'",
    )
    .await;
    assert_eq!((long(&answer, 0), long(&answer, 1), long(&answer, 2)), (250_000 * 249_999 / 2, 250_000, 250_000));
}

#[tokio::test]
async fn lacks_make_an_answer_partial() {
    let engine = engine(Fixed(vec![orders()]).lacking("partition t/0 is recovering"), 64 << 20);
    let answer = ask(&engine, "SELECT COUNT(*) FROM orders").await;
    assert!(answer.partial);
    assert_eq!(code(&answer), 305);
    assert!(answer.exceptions[0].message.contains("partition t/0 is recovering"));
    assert_eq!(answer.rows.len(), 1, "what is there is answered");
}

#[tokio::test]
async fn memory_is_bounded() {
    let engine = engine(Fixed(vec![numbers(300_000)]), 1 << 20);
    let answer = ask(&engine, "SELECT t, COUNT(*) FROM numbers GROUP BY t ORDER BY t LIMIT 300000").await;
    assert_eq!(code(&answer), 245, "{:?}", answer.exceptions);
    // The engine goes on, and its memory is free again.
    let answer = ask(&engine, "SELECT COUNT(*) FROM numbers WHERE n < 10").await;
    assert_eq!(long(&answer, 0), 10);
}

#[tokio::test]
async fn a_text_takes_memory_too() {
    let engine = engine(Fixed(vec![numbers(1000)]), 64 << 20);
    let listed = |count: usize| {
        let list: Vec<String> = (0..count).map(|n| (n * 7).to_string()).collect();
        format!("SELECT COUNT(*) FROM numbers WHERE n IN ({})", list.join(", "))
    };
    let answer = ask(&engine, &listed(10_000)).await;
    assert_eq!(long(&answer, 0), 143, "{:?}", answer.exceptions);
    // A megabyte of text, hundreds of its trees.
    let sql = listed(150_000);
    assert!(sql.len() < 2 << 20);
    let answer = ask(&engine, &sql).await;
    assert_eq!(code(&answer), 245, "{:?}", answer.exceptions);
    assert!(answer.exceptions[0].message.contains("the text of a query"), "{:?}", answer.exceptions);
    // A long text that is one value is no more than that.
    let sql = format!("SELECT COUNT(*) FROM numbers WHERE '{}' = 'x'", "x, ".repeat(500_000));
    assert_eq!(ask(&engine, &sql).await.exceptions, []);
    until("memory is free", || engine.memory_held() == 0).await;
}

/// Waits until something holds, for at most a generous time: what is waited for takes milliseconds where it works.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Queries that take minutes, and do so in different operators.
const LONG: [&str; 6] = [
    // Gives many rows, which an aggregate takes in.
    "SELECT COUNT(*) FROM numbers a JOIN numbers b ON a.n < b.n WHERE a.t <> b.t",
    // The filter of the join lets no pair pass.
    "SELECT COUNT(*) FROM numbers a JOIN numbers b ON a.n < b.n AND a.n + b.n < 0",
    "SELECT COUNT(*) FROM numbers a LEFT JOIN numbers b ON a.n > b.n AND a.t = 'none' AND b.t < a.t",
    // One hash has all rows, and the filter lets none pass.
    "SELECT COUNT(*) FROM numbers a JOIN numbers b ON a.n - a.n = b.n - b.n AND a.n + b.n < 0",
    // Many groups of many rows.
    "SELECT a.n % 1000, COUNT(*) FROM numbers a CROSS JOIN numbers b GROUP BY a.n % 1000",
    // A sort waits for a join that gives nothing.
    "SELECT a.t FROM numbers a CROSS JOIN numbers b WHERE a.n + b.n < 0 ORDER BY a.t",
];

#[tokio::test]
async fn time_is_bounded() {
    for threads in [1, 2] {
        let engine = engine_of(threads, Fixed(vec![numbers(200_000)]), 512 << 20);
        for sql in LONG {
            let started = Instant::now();
            let answer = ask(&engine, &format!("SET timeoutMs=200; SET useMultistageEngine=true; {sql}")).await;
            assert_eq!(code(&answer), 250, "{threads} threads, {sql}: {:?}", answer.exceptions);
            assert!(answer.exceptions[0].message.contains("200 ms"), "{:?}", answer.exceptions);
            assert_eq!((answer.stats.num_servers_responded, answer.partial), (1, true));
            assert_eq!(answer.tables, ["numbers"]);
            assert!(started.elapsed() < Duration::from_secs(10), "{threads} threads, {sql}: {:?}", started.elapsed());
            // The work ends too, and gives back what it held.
            until(&format!("memory is free, {threads} threads, {sql}"), || engine.memory_held() == 0).await;
        }
        let answer = ask(&engine, "SELECT COUNT(*) FROM numbers WHERE n < 10").await;
        assert_eq!(long(&answer, 0), 10);
    }
}

/// A query that nobody waits for any more ends.
#[tokio::test]
async fn an_abandoned_query_ends() {
    let engine = engine_of(1, Fixed(vec![numbers(200_000)]), 512 << 20);
    for sql in LONG {
        let sql = format!("SET useMultistageEngine=true; {sql}");
        {
            let mut asked = std::pin::pin!(ask(&engine, &sql));
            let started = Instant::now();
            while engine.memory_held() == 0 {
                let answer = tokio::time::timeout(Duration::from_millis(5), &mut asked).await;
                assert!(answer.is_err() && started.elapsed() < Duration::from_secs(20), "{sql}: {answer:?}");
            }
        }
        until(&format!("memory is free: {sql}"), || engine.memory_held() == 0).await;
    }
    assert_eq!(long(&ask(&engine, "SELECT COUNT(*) FROM numbers WHERE n < 10").await, 0), 10);
}

/// One thread serves a short query while a long one runs on it.
#[tokio::test]
async fn a_long_query_makes_room_for_others() {
    let engine = engine_of(1, Fixed(vec![numbers(200_000)]), 512 << 20);
    let sql = format!("SET timeoutMs=60000; SET useMultistageEngine=true; {}", LONG[0]);
    let mut asked = std::pin::pin!(ask(&engine, &sql));
    let started = Instant::now();
    while engine.memory_held() == 0 {
        let answer = tokio::time::timeout(Duration::from_millis(5), &mut asked).await;
        assert!(answer.is_err() && started.elapsed() < Duration::from_secs(20), "{answer:?}");
    }
    let answer = ask(&engine, "SET timeoutMs=20000; SELECT COUNT(*) FROM numbers WHERE n < 10").await;
    assert_eq!(long(&answer, 0), 10);
    assert!(tokio::time::timeout(Duration::from_millis(1), asked).await.is_err(), "the long one still runs");
}

#[tokio::test]
async fn a_fault_of_ours_is_an_exception() {
    let engine = engine(Fixed(vec![orders()]), 64 << 20);
    let answer = ask(&engine, "SELECT * FROM broken").await;
    assert_eq!(code(&answer), 450);
    assert_eq!(long(&ask(&engine, "SELECT COUNT(*) FROM orders").await, 0), 12);
}

#[tokio::test]
async fn a_system_table_that_cannot_be_read_is_an_exception_and_not_an_empty_table() {
    let engine = engine(Fixed(vec![]), 64 << 20);
    let answer = ask(&engine, "SELECT COUNT(*) FROM system.silent").await;
    assert_eq!(code(&answer), 200);
    assert!(answer.exceptions[0].message.contains("nobody answers"), "{:?}", answer.exceptions);
    assert_eq!(code(&ask(&engine, "SELECT COUNT(*) FROM system.nothing").await), 190);
}

#[tokio::test]
async fn options_beside_the_text_win() {
    let engine = engine(Fixed(vec![orders(), cities()]), 64 << 20);
    let join = "SET useMultistageEngine = false; SELECT COUNT(*) FROM orders o JOIN cities c ON o.city = c.city";
    assert_eq!(code(&ask(&engine, join).await), 700);
    let options = QueryRequest::options_of(";useMultistageEngine=true;");
    let request = QueryRequest { sql: join.to_owned(), options, database: Some("default".to_owned()) };
    let answer = engine.execute(request).await;
    assert_eq!(long(&answer, 0), 8);
    assert_eq!(answer.tables, ["orders", "Cities"]);
}

#[tokio::test]
async fn many_queries_at_once_are_all_answered() {
    let engine = Arc::new(engine(Fixed(vec![numbers(100_000)]), 256 << 20));
    let queries = (0..64).map(|n| {
        let engine = engine.clone();
        tokio::spawn(async move { ask(&engine, &format!("SELECT COUNT(*) FROM numbers WHERE n < {n}")).await })
    });
    for (n, query) in queries.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(long(&query.await.unwrap(), 0), n as i64);
    }
}

/// What the scan decides and what DataFusion decides above it are the same rows.
#[tokio::test]
async fn filters_mean_the_same_inside_and_outside_of_the_scan() {
    let engine = engine(Fixed(vec![orders()]), 64 << 20);
    let conditions = [
        "qty = 5",
        "qty <> 5",
        "qty > 5",
        "qty >= 5.5",
        "qty < '3'",
        "NOT (qty < 3)",
        "qty IN (1, 2, 11)",
        "qty NOT IN (1, 2)",
        "qty BETWEEN 3 AND 8",
        "qty NOT BETWEEN 3 AND 8",
        "clicks > 65.5",
        "clicks = 70.0",
        "clicks <> 70.5",
        "ratio = 0.1",
        "ratio > 2.5",
        "amount <= 20",
        "amount = -7.5",
        "city = 'Berlin'",
        "city <> 'Berlin'",
        "city >= 'P'",
        "city IS NULL",
        "city IS NOT NULL",
        "NOT (city IS NULL OR qty > 5)",
        "paid",
        "NOT paid",
        "paid = false",
        "ts > 1767240000000",
        "ts <= '2026-01-01 05:00:00'",
        "tags = 'vip'",
        "tags <> 'vip'",
        "NOT tags = 'vip'",
        "tags IN ('old', 'vip')",
        "tags NOT IN ('old', 'vip')",
        "scores > 4",
        "scores BETWEEN 4 AND 6",
        "NOT scores > 4",
        "scores < 2.5",
        "(city = 'Paris' AND qty > 2) OR NOT (paid OR scores > 3)",
        "qty = 5 AND city = 'Rome'",
        "qty = 99999999999",
        "orderId > 'o5'",
        "qty > 2 AND qty < 2",
        "city = 'Berlin' AND city = 'Paris'",
        "price = 10.5",
        "payload <> 'null'",
    ];
    for nulls in [false, true] {
        for condition in conditions {
            let set = format!("SET useMultistageEngine = true; SET enableNullHandling = {nulls};");
            let inside = ask(&engine, &format!("{set} SELECT COUNT(*) FROM orders WHERE {condition}")).await;
            let sum = format!("{set} SELECT SUM(CASE WHEN {condition} THEN 1 ELSE 0 END) FROM orders");
            let outside = ask(&engine, &sum).await;
            assert_eq!(long(&inside, 0), long(&outside, 0), "{condition}, null handling {nulls}");
        }
    }
}

#[tokio::test]
async fn literals_beside_bytes_and_uuids_are_read_as_those() {
    const ID: &str = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
    let id = [0xf4, 0x7a, 0xc1, 0x0b, 0x58, 0xcc, 0x43, 0x72, 0xa5, 0x67, 0x0e, 0x02, 0xb2, 0xc3, 0xd4, 0x79];
    let of = |bytes: &[u8]| Some(Value::Bytes(bytes.into()));
    let singles = [
        ("u", DataType::Uuid, vec![of(&id), of(&[7; 16]), None]),
        ("b", DataType::Bytes, vec![of(&[0x0a, 0xff]), of(&[]), None]),
    ];
    let engine = engine(Fixed(vec![table_of("ids", &singles, &[])]), 64 << 20);
    for (column, literal) in [("u", ID), ("b", "0aff"), ("b", "0AFF")] {
        for stages in ["", "SET useMultistageEngine = true; "] {
            let sql = format!(
                "{stages}SELECT n, CASE {column} WHEN '{literal}' THEN 1 ELSE 0 END AS found, {column} = '{literal}' AS equal, \
                 nullIf({column}, '{literal}') IS NULL AS gone, nullIf({column}, '{literal}') AS kept FROM ids ORDER BY n LIMIT 2"
            );
            let answer = ask(&engine, &sql).await;
            assert!(answer.exceptions.is_empty(), "{sql}: {:?}", answer.exceptions);
            assert_eq!(answer.columns[4].pinot_type, if column == "u" { "UUID" } else { "BYTES" }, "{sql}");
            let rows: Vec<Vec<String>> = (0..2)
                .map(|row| {
                    let columns = answer.rows[0].columns().iter().take(4);
                    columns.map(|array| array_value_to_string(array, row).unwrap()).collect()
                })
                .collect();
            assert_eq!(rows, [["0", "1", "true", "true"], ["1", "0", "false", "false"]], "{sql}");
            let kept = answer.rows[0].column(4);
            assert!(kept.is_null(0) && kept.is_valid(1), "{sql}");
        }
    }
    for sql in ["SELECT CASE u WHEN 'x' THEN 1 ELSE 0 END FROM ids", "SELECT nullIf(b, 'x') FROM ids"] {
        let answer = ask(&engine, sql).await;
        assert_eq!(answer.exceptions[0].code, 700, "{sql}");
    }
}
