//! Records that are not as they should be, and what becomes of them: every good row is there, every bad one is in
//! quarantine, nothing starts again, and the counts add up.

use crate::{
    bad_days_offsets::everywhere,
    streams::Log,
    support::{AT_ONCE, Api, TestNode, eventually, within},
};
use hyper::Method;
use serde_json::{Value as Json, json};
use weir_streams::kafka::testing::TestMessage;

/// A document of table `t` with these columns, over one stream map.
pub(crate) fn table(columns: &Json, map: &Json) -> Json {
    named("t", columns, map)
}

/// A document of a table with these columns, over one stream map.
pub(crate) fn named(name: &str, columns: &Json, map: &Json) -> Json {
    json!({
        "tableName": name,
        "schema": {"schemaName": name, "dimensionFieldSpecs": columns},
        "realtime": {
            "tableName": name,
            "tableType": "REALTIME",
            "segmentsConfig": {"replication": "1"},
            "tenants": {},
            "tableIndexConfig": {},
            "ingestionConfig": {"streamIngestionConfig": {"streamConfigMaps": [map]}},
            "metadata": {},
        },
    })
}

fn messages(values: impl IntoIterator<Item = String>) -> Vec<TestMessage> {
    values.into_iter().map(TestMessage::of).collect()
}

impl Api {
    /// The sum of a count over all partitions.
    async fn sum(&self, field: &str) -> i64 {
        let partitions = self.json("/tables/t/partitions").await;
        partitions.as_array().unwrap().iter().map(|partition| partition[field].as_i64().unwrap()).sum()
    }

    pub(crate) async fn wait_for_sum(&self, field: &str, expected: i64) {
        eventually(&format!("{expected} {field}"), async || match self.sum(field).await {
            sum if sum == expected => Ok(()),
            sum => Err(sum.to_string()),
        })
        .await;
    }

    /// Every message of every partition became something.
    pub(crate) async fn assert_reconciled(&self) {
        self.assert_reconciled_of("t").await;
    }

    pub(crate) async fn assert_reconciled_of(&self, table: &str) {
        self.assert_accounted_of(table).await;
        self.assert_balanced_of(table).await;
    }

    /// Every message that was fetched became something.
    pub(crate) async fn assert_accounted_of(&self, table: &str) {
        for shown in self.json(&format!("/tables/{table}/partitions")).await.as_array().unwrap() {
            let number = |key: &str| shown[key].as_i64().unwrap_or_else(|| panic!("{key} of {shown}"));
            let ends = ["stored", "filtered", "tombstones", "rejected", "replayed"];
            assert_eq!(number("fetched"), ends.iter().map(|end| number(end)).sum::<i64>(), "{shown}");
        }
    }
}

/// Good messages to each bad one.
const GOOD_PER_BAD: usize = 9_999;

/// A bad message of each kind, the stage that refuses it, and its column.
fn bad() -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let deep = format!("{{\"id\":1,\"extra\":{}{}}}", "[".repeat(200), "]".repeat(200));
    vec![
        (b"{\"id\": 1, \"n\":".to_vec(), "DECODE", ""),
        (b"[{\"id\": 1}]".to_vec(), "DECODE", ""),
        (b"{\"id\":1,\"name\":\"\xff\xfe\"}".to_vec(), "DECODE", ""),
        (deep.into_bytes(), "DECODE", ""),
        (b"{\"id\":1,\"n\":\"1.5\"}".to_vec(), "DATA_TYPE", "n"),
        (b"{\"id\":1,\"name\":[\"a\",\"b\"]}".to_vec(), "DATA_TYPE", "name"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn n01_one_bad_message_in_ten_thousand() {
    everywhere(async |node, log| {
        let topic = log.topic("n01", 2).await;
        let columns = json!([
            {"name": "id", "dataType": "LONG"}, {"name": "n", "dataType": "INT"}, {"name": "name", "dataType": "STRING"},
        ]);
        node.make(&table(&columns, &log.map(&topic, &[]))).await;
        node.wait_for_state(&topic, 1, "CONSUMING").await;

        let (mut id, mut expected) = (0_i64, vec![]);
        for (at, (value, stage, column)) in bad().into_iter().enumerate() {
            let partition = at as u32 % 2;
            let mut batch: Vec<TestMessage> = vec![];
            for good in 0..GOOD_PER_BAD {
                // The bad one is in the middle of its ten thousand.
                if good == GOOD_PER_BAD / 2 {
                    let before = expected.iter().filter(|(of, ..): &&(u32, _, _, _)| *of == partition).count();
                    let offset = before * (GOOD_PER_BAD + 1) + good;
                    expected.push((partition, offset, stage, column));
                    batch.push(TestMessage::of(value.clone()));
                }
                batch.push(TestMessage::of(format!("{{\"id\":{id},\"n\":{good},\"name\":\"n{good}\"}}")));
                id += 1;
            }
            log.append_messages(&topic, partition, &batch).await;
        }
        // So many different ones below the greatest: each is there.
        let (count, all) = ("SELECT COUNT(*), COUNT(DISTINCT id), MAX(id) FROM t", json!([[id, id, (id - 1) as f64]]));
        node.wait_for_rows(count, &all).await;

        expected.sort_unstable();
        let expected: Vec<Json> =
            expected.iter().map(|(of, at, stage, column)| json!([topic, of, at, stage, column])).collect();
        let sql = "SELECT topic, \"partition\", \"offset\", stage, \"column\" FROM system.quarantine \
                   WHERE \"table\" = 't' ORDER BY \"partition\", \"offset\"";
        node.wait_for_rows(sql, &json!(expected)).await;
        for (count, sum) in [("fetched", id + 6), ("stored", id), ("rejected", 6)] {
            assert_eq!(node.sum(count).await, sum, "{count}: nothing was read twice");
        }
        for partition in 0..2 {
            let shown = node.partition(&topic, partition).await;
            assert_eq!((&shown["state"], &shown["gaps"]), (&json!("CONSUMING"), &json!(0)), "{shown}");
            // The segment that was opened first is still open: nothing started anew.
            let open = shown["openSegment"].as_str().unwrap();
            assert!(open.starts_with(&format!("t__{partition}__0__")), "{shown}");
        }
        node.assert_reconciled().await;
        // They do not hinder the seal.
        node.commit("t").await;
        node.wait_for_rows(count, &all).await;
        node.wait_for_rows("SELECT COUNT(*) FROM system.quarantine", &json!([[6]])).await;
    })
    .await;
}

/// One bad message in ten thousand in each partition of a stream of any kind, also of one whose offsets have gaps.
pub(crate) async fn one_bad_in_ten_thousand(node: &TestNode, log: &Log) {
    let topic = log.topic("n01", 2).await;
    let columns = json!([
        {"name": "id", "dataType": "LONG"}, {"name": "n", "dataType": "INT"}, {"name": "name", "dataType": "STRING"},
        {"name": "__metadata$partition", "dataType": "INT"}, {"name": "__metadata$offset", "dataType": "LONG"},
    ]);
    node.make(&table(&columns, &log.map(&topic, &[]))).await;
    let bad = bad();
    let of = |partition: u32| &bad[[0, 4][partition as usize]];
    let good = |id: usize| TestMessage::of(format!("{{\"id\":{id},\"n\":{id},\"name\":\"n{id}\"}}"));
    for partition in [0, 1] {
        let from = partition as usize * GOOD_PER_BAD;
        let mut all: Vec<TestMessage> = (from..from + GOOD_PER_BAD).map(good).collect();
        all.insert(GOOD_PER_BAD / 2, TestMessage::of(of(partition).0.clone()));
        log.append_messages(&topic, partition, &all).await;
    }
    let rows = 2 * GOOD_PER_BAD;
    let count = "SELECT COUNT(*), COUNT(DISTINCT id), MAX(id) FROM t";
    node.wait_for_rows(count, &json!([[rows, rows, (rows - 1) as f64]])).await;
    node.wait_for_sum("rejected", 2).await;
    for partition in [0, 1] {
        // Its offset lies between those of its neighbours.
        let middle = partition as usize * GOOD_PER_BAD + GOOD_PER_BAD / 2;
        let around = format!(
            "SELECT \"__metadata$offset\" FROM t WHERE id IN ({}, {middle}) AND \"__metadata$partition\" = {partition} ORDER BY id",
            middle - 1
        );
        let around = node.rows(&around).await;
        let sql = format!(
            "SELECT \"offset\", stage, \"column\", topic FROM system.quarantine WHERE \"table\" = 't' AND \"partition\" = {partition}"
        );
        let kept = node.rows(&sql).await;
        let (_, stage, column) = of(partition);
        assert_eq!((kept.as_array().unwrap().len(), around.as_array().unwrap().len()), (1, 2), "{kept} {around}");
        assert_eq!(json!([kept[0][1], kept[0][2], kept[0][3]]), json!([stage, column, topic]), "{kept}");
        let (before, at, behind) = (around[0][0].as_i64(), kept[0][0].as_i64(), around[1][0].as_i64());
        assert!(before < at && at < behind, "{before:?} {at:?} {behind:?}");
        // Nothing was read twice, and the segment that was opened first is still open.
        let shown = node.wait_for_state(&topic, partition, "CONSUMING").await;
        assert_eq!(shown["fetched"], GOOD_PER_BAD + 1, "{shown}");
        assert!(shown["openSegment"].as_str().unwrap().starts_with(&format!("t__{partition}__0__")), "{shown}");
    }
    node.assert_accounted_of("t").await;
    node.commit("t").await;
    node.wait_for_rows(count, &json!([[rows, rows, (rows - 1) as f64]])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n01_on_the_local_log() {
    let node = TestNode::start().await;
    one_bad_in_ten_thousand(&node, &Log::local(&node)).await;
    node.assert_balanced().await;
    node.server.stop().await;
}

fn dated(check: bool, map: &Json) -> Json {
    let mut document = table(&json!([{"name": "id", "dataType": "LONG"}]), map);
    document["schema"]["dateTimeFieldSpecs"] = json!([
        {"name": "day", "dataType": "STRING", "format": "1:DAYS:SIMPLE_DATE_FORMAT:yyyy-MM-dd", "granularity": "1:DAYS"},
        {"name": "at", "dataType": "TIMESTAMP", "format": "1:MILLISECONDS:TIMESTAMP", "granularity": "1:MILLISECONDS"},
    ]);
    document["realtime"]["segmentsConfig"]["timeColumnName"] = json!("day");
    document["realtime"]["ingestionConfig"]["rowTimeValueCheck"] = json!(check);
    document
}

impl Api {
    /// The table's sealed segments as `[rows, seal reason, last error]`, in their order.
    async fn sealed(&self) -> Json {
        self.rows("SELECT rows, sealReason, lastError FROM system.segments WHERE state = 'DONE' ORDER BY startOffset")
            .await
    }
}

/// Dates that are none, of a day column and of a time stamp.
fn odd_dates() -> Vec<TestMessage> {
    messages([
        r#"{"id": 0, "day": "2026-01-31", "at": "2026-01-31 12:00:00"}"#.into(),
        // No such month, no date at all, an empty one.
        r#"{"id": 1, "day": "2026-13-45", "at": 1769860800000}"#.into(),
        r#"{"id": 2, "day": "yesterday", "at": 1769860800000}"#.into(),
        r#"{"id": 3, "day": "", "at": 1769860800000}"#.into(),
        // A time stamp has a type that takes no other text.
        r#"{"id": 4, "day": "2026-02-01", "at": "at noon"}"#.into(),
        // Without a date: the default stands for it.
        r#"{"id": 5}"#.into(),
        r#"{"id": 6, "day": "2026-02-02", "at": "2026-02-02T00:00:00Z"}"#.into(),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn n03_a_date_that_is_none_does_not_hinder_the_seal() {
    everywhere(async |node, log| {
        let topic = log.topic("n03", 1).await;
        let map = log.map(&topic, &[]);
        // As in Pinot, a text column takes any text unless it is told to check times.
        node.make(&dated(false, &map)).await;
        log.append_messages(&topic, 0, &odd_dates()).await;
        let ids = "SELECT id FROM t ORDER BY id LIMIT 100";
        let stored = json!([[0], [1], [2], [3], [5], [6]]);
        node.wait_for_rows(ids, &stored).await;
        node.commit("t").await;
        assert_eq!(node.sealed().await, json!([[6, "forceCommitMessageReceived", null]]));
        let days = "SELECT id, day FROM t WHERE id < 4 ORDER BY id";
        assert_eq!(
            node.rows(days).await,
            json!([[0, "2026-01-31"], [1, "2026-13-45"], [2, "yesterday"], [3, ""]]),
            "what was sent is there"
        );

        let changed = node.send(Method::PUT, "/tableConfigs/t", &dated(true, &map)).await;
        assert_eq!(changed.status, 200, "{}", changed.text());
        log.append_messages(&topic, 0, &odd_dates()).await;
        let stored = json!([[0], [0], [1], [2], [3], [5], [5], [6], [6]]);
        node.wait_for_rows(ids, &stored).await;
        node.commit("t").await;
        assert_eq!(
            node.sealed().await,
            json!([[6, "forceCommitMessageReceived", null], [3, "forceCommitMessageReceived", null]])
        );
        node.wait_for_rows(ids, &stored).await;
        let refused = "SELECT \"offset\", stage, \"column\" FROM system.quarantine ORDER BY \"offset\"";
        let day = |offset: i64| json!([offset, "TIME", "day"]);
        let at = |offset: i64| json!([offset, "DATA_TYPE", "at"]);
        node.wait_for_rows(refused, &json!([at(4), day(8), day(9), day(10), at(11)])).await;
        for (count, sum) in [("fetched", 14), ("stored", 9), ("rejected", 5)] {
            node.wait_for_sum(count, sum).await;
        }
        node.assert_reconciled().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n10_a_transactional_topic_that_ends_in_control_records() {
    let Some(log) = Log::kafka() else { return };
    let Log::Kafka(broker) = &log else { unreachable!() };
    let node = TestNode::start().await;
    let topic = log.topic("n10", 1).await;
    let ids_of = |ids: std::ops::Range<i64>| messages(ids.map(|id| json!({ "id": id }).to_string()));
    let producer = broker.transactions(&topic).await;
    let transaction = async |ids: std::ops::Range<i64>, commits: bool| {
        producer.begin().await;
        producer.append(&topic, 0, &ids_of(ids)).await;
        if commits { producer.commit().await } else { producer.abort().await }
    };
    // Offsets 0..10 and a control record, 11..21 and another, and so on: the log ends at 33 in aborted data.
    transaction(0..10, true).await;
    transaction(100..110, false).await;
    transaction(10..15, true).await;
    transaction(200..204, false).await;
    let read_committed = [("isolation.level", "read_committed")];
    let columns = json!([{"name": "id", "dataType": "LONG"}, {"name": "__metadata$offset", "dataType": "LONG"}]);
    node.make(&table(&columns, &log.map(&topic, &read_committed))).await;
    let committed = "SELECT COUNT(*), COUNT(DISTINCT id), SUM(id) FROM t";
    node.wait_for_rows(committed, &json!([[15, 15, 105.0]])).await;
    let ready = async |node: &Api, next: u64| {
        within(AT_ONCE, "readiness", async || {
            let shown = node.partition(&topic, 0).await;
            let said = (&shown["state"], &shown["nextOffset"], &shown["lagOffsets"], &shown["lagMs"]);
            let wanted = (&json!("CONSUMING"), &json!(next), &json!(0), &json!(0));
            if said == wanted { Ok(()) } else { Err(shown.to_string()) }
        })
        .await;
    };
    ready(&node, 33).await;
    let offsets = "SELECT MIN(\"__metadata$offset\"), MAX(\"__metadata$offset\") FROM t WHERE id >= 10";
    assert_eq!(node.rows(offsets).await, json!([[22.0, 26.0]]));
    for (count, sum) in [("fetched", 15), ("stored", 15), ("gaps", 18)] {
        assert_eq!(node.sum(count).await, sum, "{count}");
    }
    node.assert_reconciled().await;

    // One that is open holds back what follows it, and readiness does not wait for it.
    producer.begin().await;
    producer.append(&topic, 0, &ids_of(300..305)).await;
    log.append(&topic, 0, 20..25).await;
    let node = node.restarted().await;
    node.wait_for_rows(committed, &json!([[15, 15, 105.0]])).await;
    ready(&node, 33).await;
    producer.commit().await;
    node.wait_for_rows(committed, &json!([[25, 25, 105.0 + 1510.0 + 110.0]])).await;
    ready(&node, 44).await;
    // Sealed and read again it is the same.
    node.commit("t").await;
    let node = node.restarted().await;
    node.wait_for_rows(committed, &json!([[25, 25, 1725.0]])).await;
    ready(&node, 44).await;
    node.assert_reconciled().await;
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_from_around_a_message_are_filled_also_by_a_replay() {
    everywhere(async |node, log| {
        let topic = log.topic("around", 2).await;
        let columns = json!([
            {"name": "id", "dataType": "LONG"},
            {"name": "__key", "dataType": "STRING"},
            {"name": "__header$trace", "dataType": "LONG"},
            {"name": "__metadata$partition", "dataType": "INT"},
            {"name": "__metadata$offset", "dataType": "STRING"},
            {"name": "__metadata$recordTimestamp", "dataType": "TIMESTAMP"},
        ]);
        let lenient = |lenient: bool| {
            let mut document = table(&columns, &log.map(&topic, &[("metadata.populate", "true")]));
            document["realtime"]["ingestionConfig"]["continueOnError"] = json!(lenient);
            document
        };
        node.make(&lenient(false)).await;
        let message = |value: &str, key: Option<&str>, trace: Option<&str>| TestMessage {
            key: key.map(Into::into),
            headers: trace.into_iter().map(|trace| ("trace".to_owned(), trace.into())).collect(),
            timestamp_ms: Some(1_767_225_600_000),
            ..TestMessage::of(value)
        };
        let sent = [
            message("{\"id\": 1}", Some("k1"), Some("11")),
            message("{\"id\": 2}", None, None),
            message("{\"id\": \"three\"}", Some("k3"), Some("33")),
            message("{\"id\": 4}", Some("k4"), Some("forty-four")),
        ];
        log.append_messages(&topic, 1, &sent).await;
        let sql = "SELECT id, __key, \"__header$trace\", \"__metadata$partition\", \"__metadata$offset\", \
                   \"__metadata$recordTimestamp\" FROM t ORDER BY \"__metadata$offset\"";
        let time = "2026-01-01 00:00:00.0";
        let (none, first) = (i64::MIN, json!([1, "k1", 11, 1, "0", time]));
        let second = json!([2, "null", none, 1, "1", time]);
        node.wait_for_rows(sql, &json!([first, second])).await;
        let refused = "SELECT \"offset\", stage, \"column\" FROM system.quarantine ORDER BY \"offset\"";
        node.wait_for_rows(refused, &json!([[2, "DATA_TYPE", "id"], [3, "DATA_TYPE", "__header$trace"]])).await;
        // Null where it does not fit; all else as it was sent.
        let changed = node.send(Method::PUT, "/tableConfigs/t", &lenient(true)).await;
        assert_eq!(changed.status, 200, "{}", changed.text());
        assert_eq!(node.tell("quarantine/replay", &json!({})).await["replayed"], 2);
        let (third, fourth) = (json!([none, "k3", 33, 1, "2", time]), json!([4, "k4", none, 1, "3", time]));
        node.wait_for_rows(sql, &json!([first, second, third, fourth])).await;
        node.commit("t").await;
        node.wait_for_rows(sql, &json!([first, second, third, fourth])).await;
        node.assert_reconciled().await;
    })
    .await;
}
