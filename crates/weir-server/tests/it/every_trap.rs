//! Traps of Pinot's stream side that need a whole node to be seen; `every_key.rs` lists all, with their tests.

use crate::{
    bad_days_records::table,
    streams::Log,
    support::{TestNode, eventually},
};
use serde_json::{Value as Json, json};
use weir_streams::kafka::testing::TestMessage;

/// Without a word about where to begin a table begins at the end, and its status shows that.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_begins_at_the_end_of_a_full_topic_shows_where() {
    let node = TestNode::start().await;
    let log = Log::memory(&node);
    let topic = log.topic("end", 1).await;
    log.append(&topic, 0, 0..10).await;
    let mut map = log.map(&topic, &[]);
    drop(map.as_object_mut().unwrap().remove("stream.memory.consumer.prop.auto.offset.reset"));
    node.make(&table(&json!([{"name": "id", "dataType": "LONG"}]), &map)).await;
    let shown = node.wait_for_state(&topic, 0, "CONSUMING").await;
    assert_eq!((&shown["startOffset"], &shown["lagOffsets"]), (&json!(10), &json!(0)), "{shown}");
    assert_eq!(node.rows("SELECT COUNT(*) FROM t").await, json!([[0]]));
    log.append(&topic, 0, 10..12).await;
    node.wait_for_rows("SELECT id FROM t ORDER BY id", &json!([[10], [11]])).await;
    // What lies before can be had all the same.
    node.tell("pauseConsumption", &Json::Null).await;
    node.wait_for_state(&topic, 0, "PAUSED").await;
    let from = json!({"consumeFrom": {(topic.as_str()): {"0": 0}}});
    node.tell("resumeConsumption?allowDuplicates=true", &from).await;
    node.wait_for_rows("SELECT COUNT(DISTINCT id) FROM t", &json!([[12]])).await;
    node.server.stop().await;
}

/// Text is cut behind 512 letters where the schema says nothing; JSON and bytes (shown as hexadecimal text) are not.
#[tokio::test(flavor = "multi_thread")]
async fn only_text_is_cut_behind_512_letters() {
    let node = TestNode::start().await;
    let log = Log::memory(&node);
    let topic = log.topic("long", 1).await;
    let columns = json!([
        {"name": "text", "dataType": "STRING"}, {"name": "more", "dataType": "STRING", "maxLength": 600},
        {"name": "doc", "dataType": "JSON"}, {"name": "raw", "dataType": "BYTES"},
    ]);
    node.make(&table(&columns, &log.map(&topic, &[]))).await;
    let long = "é".repeat(700);
    let value = json!({"text": long, "more": long, "doc": {"a": long}, "raw": "ab".repeat(700)});
    log.append_messages(&topic, 0, &[TestMessage::of(value.to_string())]).await;
    let sql = "SELECT LENGTH(text), LENGTH(more), LENGTH(jsonExtractScalar(doc, '$.a', 'STRING')), LENGTH(raw) FROM t";
    node.wait_for_rows(sql, &json!([[512, 600, 700, 1400]])).await;
    let shown = node.partition(&topic, 0).await;
    assert_eq!((&shown["rejected"], &shown["stored"]), (&json!(0), &json!(1)), "{shown}");
    node.server.stop().await;
}

/// Some indexes come with the seal only: what is asked of an open segment has the same answer without them.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_segment_answers_as_a_sealed_one_whatever_its_indexes() {
    let node = TestNode::start().await;
    let log = Log::memory(&node);
    let topic = log.topic("indexes", 1).await;
    let columns = json!([
        {"name": "id", "dataType": "LONG"}, {"name": "n", "dataType": "INT"}, {"name": "name", "dataType": "STRING"},
    ]);
    let mut document = table(&columns, &log.map(&topic, &[]));
    document["realtime"]["tableIndexConfig"] = json!({
        "rangeIndexColumns": ["n"], "invertedIndexColumns": ["name"], "bloomFilterColumns": ["name"],
        "sortedColumn": ["id"], "noDictionaryColumns": ["n"],
    });
    node.make(&document).await;
    let message = |id: i64| {
        let value = json!({"id": (id * 37) % 5000, "n": id % 97, "name": format!("n{}", id % 13)});
        TestMessage::of(value.to_string())
    };
    log.append_messages(&topic, 0, &(0..5000).map(message).collect::<Vec<_>>()).await;
    node.wait_for_rows("SELECT COUNT(*) FROM t", &json!([[5000]])).await;
    let questions = [
        "SELECT COUNT(*), SUM(id) FROM t WHERE n BETWEEN 20 AND 30",
        "SELECT COUNT(*), SUM(id) FROM t WHERE n > 90 OR n < 3",
        "SELECT name, COUNT(*), MAX(n) FROM t WHERE name IN ('n1', 'n7', 'none') GROUP BY name ORDER BY name",
        "SELECT id, n FROM t WHERE id BETWEEN 100 AND 110 ORDER BY id LIMIT 100",
        "SELECT COUNT(*) FROM t WHERE name = 'none'",
        "SELECT COUNT(*) FROM t WHERE name <> 'n4' AND n = 5 AND id < 2500",
    ];
    let mut open = vec![];
    for sql in questions {
        open.push(node.rows(sql).await);
    }
    assert_eq!(open[4], json!([[0]]));
    assert!(open[0][0][0].as_i64() > Some(500) && open[3].as_array().unwrap().len() == 11, "{open:?}");
    node.commit("t").await;
    eventually("the sealed segment", async || {
        let done = node.rows("SELECT COUNT(*) FROM system.segments WHERE state = 'DONE'").await;
        if done == json!([[1]]) { Ok(()) } else { Err(done.to_string()) }
    })
    .await;
    for (sql, open) in questions.iter().zip(open) {
        assert_eq!(node.rows(sql).await, open, "{sql}");
    }
    node.server.stop().await;
}
