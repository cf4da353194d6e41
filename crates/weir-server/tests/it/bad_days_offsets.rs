//! What goes wrong with offsets, partitions and topics, and what a table makes of it: on streams in this process, and on a
//! real broker where the environment names one.

use crate::{
    streams::{Log, ids},
    support::{Api, SECONDS, TestNode, eventually, within},
};
use hyper::Method;
use serde_json::{Value as Json, json};
use std::{path::Path, time::Duration};
use weir_server::NodeSettings;

/// The rows of the table.
const COUNT: &str = "SELECT COUNT(*), COUNT(DISTINCT id), SUM(id) FROM t";

fn counted(ids: impl IntoIterator<Item = i64>) -> Json {
    let ids: Vec<i64> = ids.into_iter().collect();
    let distinct: std::collections::BTreeSet<&i64> = ids.iter().collect();
    json!([[ids.len(), distinct.len(), ids.iter().sum::<i64>() as f64]])
}

impl Api {
    pub(crate) async fn partition(&self, topic: &str, partition: u32) -> Json {
        self.partition_of("t", topic, partition).await
    }

    pub(crate) async fn partition_of(&self, table: &str, topic: &str, partition: u32) -> Json {
        let all = self.json(&format!("/tables/{table}/partitions")).await;
        let of = |shown: &&Json| shown["topic"] == topic && shown["partition"] == partition;
        all.as_array().unwrap().iter().find(of).cloned().unwrap_or(Json::Null)
    }

    /// Waits for a partition's state, and gives all that is said of the partition.
    pub(crate) async fn wait_for_state(&self, topic: &str, partition: u32, state: &str) -> Json {
        self.wait_for_state_of("t", topic, partition, state).await
    }

    pub(crate) async fn wait_for_state_of(&self, table: &str, topic: &str, partition: u32, state: &str) -> Json {
        eventually(&format!("{state} of {topic}/{partition}"), async || {
            let shown = self.partition_of(table, topic, partition).await;
            if shown["state"] == state { Ok(shown) } else { Err(shown.to_string()) }
        })
        .await
    }

    /// The same of table `t`, where that must not take longer than `limit`.
    pub(crate) async fn state_within(&self, limit: Duration, topic: &str, partition: u32, state: &str) -> Json {
        within(limit, &format!("{state} of {topic}/{partition}"), async || {
            let shown = self.partition(topic, partition).await;
            if shown["state"] == state { Ok(shown) } else { Err(shown.to_string()) }
        })
        .await
    }

    /// Asks something of the table's consumption; it must be done.
    pub(crate) async fn tell(&self, what: &str, body: &Json) -> Json {
        let answer = self.post(&format!("/tables/t/{what}"), body).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        answer.json()
    }

    /// Every offset of every partition is accounted for.
    pub(crate) async fn assert_balanced(&self) {
        self.assert_balanced_of("t").await;
    }

    pub(crate) async fn assert_balanced_of(&self, table: &str) {
        for shown in self.json(&format!("/tables/{table}/partitions")).await.as_array().unwrap() {
            let number = |key: &str| shown[key].as_i64().unwrap_or_else(|| panic!("{key} of {shown}"));
            let way = number("nextOffset") - number("startOffset") + number("rewound");
            assert_eq!(way, number("fetched") + number("gaps") + number("skipped"), "{shown}");
        }
    }
}

/// On memory, and on Kafka where it is at hand.
pub(crate) async fn everywhere(scenario: impl AsyncFn(&TestNode, Log)) {
    everywhere_with(|settings| settings, scenario).await;
}

async fn everywhere_with(change: fn(NodeSettings) -> NodeSettings, scenario: impl AsyncFn(&TestNode, Log)) {
    let node = TestNode::start_changed(change).await;
    let log = Log::memory(&node);
    scenario(&node, log).await;
    node.server.stop().await;
    if let Some(log) = Log::kafka() {
        let node = TestNode::start_changed(change).await;
        scenario(&node, log).await;
        node.server.stop().await;
    }
}

/// Topics are looked at as often as in a node that nobody set up otherwise.
fn looking_as_usual(settings: NodeSettings) -> NodeSettings {
    NodeSettings { discovery_every: NodeSettings::new(Path::new("")).discovery_every, ..settings }
}

#[tokio::test(flavor = "multi_thread")]
async fn n04_expired_offsets_are_a_reported_gap() {
    everywhere(async |node, log| {
        let topic = log.topic("n04", 1).await;
        log.append(&topic, 0, 0..10).await;
        node.make(&ids("t", &[log.map(&topic, &[])])).await;
        node.wait_for_rows(COUNT, &counted(0..10)).await;
        node.tell("pauseConsumption", &Json::Null).await;
        node.wait_for_state(&topic, 0, "PAUSED").await;
        log.append(&topic, 0, 10..30).await;
        log.expire(&topic, 0, 20).await;
        node.tell("resumeConsumption", &Json::Null).await;
        node.rows_within(SECONDS, COUNT, &counted((0..10).chain(20..30))).await;
        node.state_within(SECONDS, &topic, 0, "CONSUMING").await;

        let skips = node.json("/tables/t/skips").await;
        assert_eq!(skips.as_array().unwrap().len(), 1, "{skips}");
        let skip = &skips[0];
        assert_eq!(
            (&skip["kind"], &skip["reason"], &skip["fromOffset"], &skip["toOffset"]),
            (&json!("SKIP"), &json!("RETENTION"), &json!(10), &json!(20))
        );
        let sql = "SELECT \"table\", topic, \"partition\", fromOffset, toOffset, reason FROM system.skips";
        assert_eq!(node.rows(sql).await, json!([["t", topic, 0, 10, 20, "RETENTION"]]));
        let metrics = node.get("/metrics").await.text();
        let counted = metrics.lines().find(|line| line.contains("offsets_skipped") && line.contains(&topic));
        assert!(counted.is_some_and(|line| line.ends_with(" 10")), "{counted:?}");
        assert_eq!(node.partition(&topic, 0).await["skipped"], 10);
        node.assert_balanced().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n05_added_partitions() {
    everywhere_with(looking_as_usual, async |node, log| {
        let topic = log.topic("n05", 1).await;
        // What is there is passed over; what comes later is not, also in partitions that come later.
        log.append(&topic, 0, 0..5).await;
        node.make(&ids("t", &[log.map(&topic, &[("consumer.prop.auto.offset.reset", "latest")])])).await;
        node.wait_for_state(&topic, 0, "CONSUMING").await;
        log.grow(&topic, 3).await;
        log.append(&topic, 1, 10..20).await;
        log.append(&topic, 2, 20..30).await;
        log.append(&topic, 0, 30..35).await;
        node.rows_within(SECONDS, COUNT, &counted(10..35)).await;
        let starts = "SELECT \"partition\", startOffset, nextOffset FROM system.partitions ORDER BY \"partition\"";
        assert_eq!(node.rows(starts).await, json!([[0, 5, 10], [1, 0, 10], [2, 0, 10]]));
        node.assert_balanced().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n06_recreated_topic() {
    everywhere(async |node, log| {
        let topic = log.topic("n06", 1).await;
        log.append(&topic, 0, 0..10).await;
        node.make(&ids("t", &[log.map(&topic, &[])])).await;
        node.wait_for_rows(COUNT, &counted(0..10)).await;
        // Paused, so that the new topic has grown past the old offset before anybody looks; twice, for whoever begins to read
        // asks whose log it is: what was read before is known to be of the old one.
        for _ in 0..2 {
            node.tell("resumeConsumption", &Json::Null).await;
            node.tell("pauseConsumption?comment=upgrade", &Json::Null).await;
            node.wait_for_state(&topic, 0, "PAUSED").await;
        }
        log.recreate(&topic, 1).await;
        log.append(&topic, 0, 100..115).await;
        for _ in 0..2 {
            node.tell("resumeConsumption", &Json::Null).await;
            let shown = node.wait_for_state(&topic, 0, "RECREATED").await;
            assert!(shown["reason"].as_str().unwrap().contains("made anew"), "{shown}");
        }
        assert_eq!(node.rows(COUNT).await, counted(0..10), "its rows stay, and nothing is read");

        let plan = node.tell("resumeConsumption?consumeFrom=smallest&dryRun=true", &Json::Null).await;
        let planned = &plan["partitions"][0];
        assert_eq!(
            (&planned["fromOffset"], &planned["toOffset"], &planned["skippedOffsets"], &planned["offsetsReadTwice"]),
            (&json!(10), &json!(0), &json!(0), &json!(0)),
            "{planned}"
        );
        assert_eq!(planned["topicMadeAnew"], true);
        assert_eq!(node.partition(&topic, 0).await["state"], "RECREATED", "a dry run does nothing");
        let outside = node.post("/tables/t/resumeConsumption", &json!({"consumeFrom": {&topic: {"0": 16}}})).await;
        assert_eq!(outside.status, 400, "{}", outside.text());
        assert!(outside.error().contains("[0, 15)"), "{}", outside.error());
        node.tell("resumeConsumption", &json!({"consumeFrom": {&topic: {"0": 5}}})).await;
        node.wait_for_rows(COUNT, &counted((0..10).chain(105..115))).await;
        node.wait_for_state(&topic, 0, "CONSUMING").await;
        let skips = node.json("/tables/t/skips").await;
        assert_eq!((&skips[0]["kind"], &skips[0]["reason"]), (&json!("RESTART"), &json!("RECREATED")), "{skips}");
        log.append(&topic, 0, 115..120).await;
        node.wait_for_rows(COUNT, &counted((0..10).chain(105..120))).await;
        node.assert_balanced().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n06_a_topic_made_anew_is_noticed_while_it_is_read_and_over_a_restart() {
    let node = TestNode::start().await;
    let log = Log::local(&node);
    let topic = log.topic("n06", 1).await;
    log.append(&topic, 0, 0..10).await;
    node.make(&ids("t", &[log.map(&topic, &[])])).await;
    node.wait_for_rows(COUNT, &counted(0..10)).await;
    log.recreate(&topic, 1).await;
    log.append(&topic, 0, 100..105).await;
    node.wait_for_state(&topic, 0, "RECREATED").await;

    let node = node.restarted().await;
    let log = Log::local(&node);
    node.wait_for_state(&topic, 0, "RECREATED").await;
    // Nothing was sealed: the rows of the topic of before cannot be read again, and the answer says so.
    let answer = node.ask(COUNT).await;
    assert!(!answer["exceptions"].as_array().unwrap().is_empty() || answer["resultTable"]["rows"] == counted(0..10));
    node.tell("resumeConsumption?consumeFrom=smallest", &Json::Null).await;
    node.wait_for_state(&topic, 0, "CONSUMING").await;
    log.append(&topic, 0, 105..110).await;
    eventually("the new topic's rows", async || {
        let answer = node.ask("SELECT COUNT(*) FROM t WHERE id >= 100").await;
        if answer["resultTable"]["rows"] == json!([[10]]) { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
    assert_eq!(node.ask(COUNT).await["exceptions"], json!([]), "what is lost is on the record");
    node.assert_balanced().await;
    node.server.stop().await;
}

/// Messages of the topic before, and of the one that takes its place.
const OLD: i64 = 100;
const NEW: i64 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn n06_a_topic_made_anew_with_more_messages_under_a_partition_that_reads() {
    let Some(log) = Log::kafka() else { return };
    let node = TestNode::start_changed(looking_as_usual).await;
    let topic = log.topic("n06", 1).await;
    log.append(&topic, 0, 0..OLD).await;
    node.make(&ids("t", &[log.map(&topic, &[])])).await;
    node.wait_for_rows(COUNT, &counted(0..OLD)).await;
    // Whoever found a partition has looked at the topic after those rows were read; the first time it makes sure everywhere.
    // From the second time on it is a while until the next.
    for partition in 1..3 {
        log.grow(&topic, partition + 1).await;
        node.state_within(SECONDS, &topic, partition, "CONSUMING").await;
    }
    log.recreate(&topic, 3).await;
    log.append(&topic, 0, 1000..1000 + NEW).await;
    node.state_within(SECONDS, &topic, 0, "RECREATED").await;
    let shown = within(SECONDS, "its lag", async || match node.partition(&topic, 0).await {
        shown if shown["lagOffsets"] == NEW => Ok(shown),
        shown => Err(shown.to_string()),
    })
    .await;
    let (reason, next) = (shown["reason"].as_str().unwrap(), shown["nextOffset"].as_i64().unwrap());
    assert!(reason.contains("made anew"), "{shown}");
    // It may have gone on in the new topic before that was known, behind the offset where it stood: what it read is there.
    let read = next - OLD;
    eprintln!("{read} messages of the new topic were read");
    let rows = counted((0..OLD).chain(1000 + OLD..1000 + next));
    node.rows_within(SECONDS, COUNT, &rows).await;
    node.assert_balanced().await;

    let from = |offset: &Json| json!({"consumeFrom": {&topic: {"0": offset, "*": "smallest"}}});
    let plan = async |offset: &Json| {
        let plan = node.tell("resumeConsumption?dryRun=true", &from(offset)).await;
        plan["partitions"].as_array().unwrap().iter().find(|part| part["partition"] == 0).unwrap().clone()
    };
    let said = |plan: &Json, key: &str| plan[key].as_i64().unwrap_or_else(|| panic!("{key} of {plan}"));
    let from_start = plan(&json!("smallest")).await;
    assert_eq!(from_start["topicMadeAnew"], true, "{from_start}");
    assert_eq!((said(&from_start, "toOffset"), said(&from_start, "offsetsReadTwice")), (0, read), "{from_start}");
    if read > 0 {
        let refused = node.post("/tables/t/resumeConsumption?consumeFrom=smallest", &Json::Null).await;
        assert_eq!(refused.status, 409, "{}", refused.text());
        assert!(refused.error().contains("allowDuplicates"), "{}", refused.text());
        assert_eq!(node.partition(&topic, 0).await["state"], "RECREATED");
        assert!(reason.contains(&format!("[{OLD}, {next})")), "it says which are meant: {shown}");
    }
    assert_eq!(node.rows(COUNT).await, rows, "nothing was stored twice");

    // On behind what was read: nothing is stored twice, and what was passed over is said before and after.
    let behind = plan(&json!(next)).await;
    assert_eq!((said(&behind, "toOffset"), said(&behind, "offsetsReadTwice")), (next, 0), "{behind}");
    assert_eq!(said(&behind, "skippedOffsets"), OLD, "{behind}");
    node.tell("resumeConsumption", &from(&json!(next))).await;
    for partition in 0..3 {
        node.state_within(SECONDS, &topic, partition, "CONSUMING").await;
    }
    log.append(&topic, 0, 2000..2010).await;
    let rows = counted((0..OLD).chain(1000 + OLD..1000 + NEW).chain(2000..2010));
    node.rows_within(SECONDS, COUNT, &rows).await;
    let skips = node.json("/tables/t/skips").await;
    let all = skips.as_array().unwrap();
    assert!(
        all.iter().any(|row| (&row["kind"], &row["reason"]) == (&json!("RESTART"), &json!("RECREATED"))),
        "{skips}"
    );
    let passed_over = |row: &&Json| row["partition"] == 0 && row["kind"] == "SKIP";
    let passed_over: Vec<&Json> = all.iter().filter(passed_over).collect();
    assert_eq!(passed_over.len(), 1, "{skips}");
    assert_eq!(
        (&passed_over[0]["fromOffset"], &passed_over[0]["toOffset"], &passed_over[0]["reason"]),
        (&json!(0), &json!(OLD), &json!("RECREATED")),
        "{skips}"
    );
    node.assert_balanced().await;

    // Whoever wants them all the same gets them, and knows what is stored twice.
    node.tell("resumeConsumption?allowDuplicates=true", &from(&json!("smallest"))).await;
    let twice = (0..OLD).chain(1000 + OLD..1000 + NEW).chain(2000..2010).chain(1000..1000 + NEW).chain(2000..2010);
    node.rows_within(SECONDS, COUNT, &counted(twice)).await;
    node.assert_balanced().await;
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n07_first_topic_removed() {
    let node = TestNode::start().await;
    let log = Log::local(&node);
    first_topic_removed(node, &log).await;
    if let Some(log) = Log::kafka() {
        first_topic_removed(TestNode::start().await, &log).await;
    }
}

async fn first_topic_removed(node: TestNode, log: &Log) {
    let (a, b) = (log.topic("n07-a", 1).await, log.topic("n07-b", 1).await);
    log.append(&a, 0, 0..10).await;
    log.append(&b, 0, 100..110).await;
    node.make(&ids("t", &[log.map(&a, &[]), log.map(&b, &[])])).await;
    node.wait_for_rows(COUNT, &counted((0..10).chain(100..110))).await;
    node.commit("t").await;
    log.append(&a, 0, 10..15).await;
    node.wait_for_rows(COUNT, &counted((0..15).chain(100..110))).await;

    let put = async |maps: &[Json]| {
        let answer = node.send(Method::PUT, "/tableConfigs/t", &ids("t", maps)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    put(&[log.map(&b, &[])]).await;
    let gone = node.wait_for_state(&a, 0, "GONE").await;
    assert_eq!(gone["reason"], "topic removed from the table");
    assert_eq!(gone["nextOffset"], 15, "it is sealed where it was read to");
    log.append(&a, 0, 15..20).await;
    log.append(&b, 0, 110..120).await;
    node.wait_for_rows(COUNT, &counted((0..15).chain(100..120))).await;
    // Rows of the one are not looked for among those of the other.
    for (sql, rows) in [("id >= 100", 20), ("id < 100", 15)] {
        let answer = node.ask(&format!("SELECT COUNT(*) FROM t WHERE {sql}")).await;
        assert_eq!(answer["resultTable"]["rows"], json!([[rows]]), "{answer}");
        assert!(answer["numSegmentsPrunedByServer"].as_i64() > Some(0), "{answer}");
    }
    let segments = node.rows("SELECT topic, segment FROM system.segments").await;
    for segment in segments.as_array().unwrap() {
        let group = if segment[0] == json!(a) { "t__0__" } else { "t__10000__" };
        assert!(segment[1].as_str().unwrap().starts_with(group), "{segment}");
    }
    // Another topic takes nobody's place.
    let c = log.topic("n07-c", 1).await;
    log.append(&c, 0, 200..205).await;
    put(&[log.map(&c, &[]), log.map(&b, &[])]).await;
    node.wait_for_rows(COUNT, &counted((0..15).chain(100..120).chain(200..205))).await;
    let open = "SELECT openSegment FROM system.partitions WHERE openSegment IS NOT NULL ORDER BY openSegment";
    let open = node.rows(open).await;
    let open: Vec<&str> = open.as_array().unwrap().iter().map(|row| row[0].as_str().unwrap()).collect();
    assert!(open.len() == 2 && open[0].starts_with("t__10000__") && open[1].starts_with("t__20000__"), "{open:?}");
    // The first one comes back and goes on where it ended.
    put(&[log.map(&b, &[]), log.map(&c, &[]), log.map(&a, &[])]).await;
    node.wait_for_rows(COUNT, &counted((0..20).chain(100..120).chain(200..205))).await;
    put(&[log.map(&b, &[]), log.map(&c, &[])]).await;
    node.wait_for_state(&a, 0, "GONE").await;
    node.assert_balanced().await;
    let said = "SELECT topic FROM system.audit WHERE action = 'REMOVE_TOPIC' ORDER BY number";
    assert_eq!(node.rows(said).await, json!([[a], [a]]));

    let node = node.restarted().await;
    node.wait_for_rows(COUNT, &counted((0..20).chain(100..120).chain(200..205))).await;
    assert_eq!(node.wait_for_state(&a, 0, "GONE").await["reason"], "topic removed from the table");
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n17_earliest_is_accepted() {
    everywhere(async |node, log| {
        let topic = log.topic("n17", 1).await;
        log.append(&topic, 0, 0..10).await;
        for (criterion, expected) in [("earliest", 10), ("smallest", 11), ("latest", 0), ("largest", 0)] {
            node.make(&ids("t", &[log.map(&topic, &[("consumer.prop.auto.offset.reset", criterion)])])).await;
            node.state_within(SECONDS, &topic, 0, "CONSUMING").await;
            node.rows_within(SECONDS, "SELECT COUNT(*) FROM t", &json!([[expected]])).await;
            // From there on all is read.
            log.append(&topic, 0, [100]).await;
            node.rows_within(SECONDS, "SELECT COUNT(*) FROM t", &json!([[expected + 1]])).await;
            assert_eq!(node.delete("/tableConfigs/t").await.status, 200);
        }
    })
    .await;
}
