//! The quarantine over REST and the command line: filters, pages, deletes, replays, policies that halt.

use crate::support::{TestNode, eventually, order, orders};
use hyper::Method;
use serde_json::{Value as Json, json};
use std::process::Command;

/// `orders` with a time check: the year 1970 is refused.
fn checked(check: bool) -> Json {
    let mut document = orders(2);
    document["realtime"]["ingestionConfig"]["rowTimeValueCheck"] = json!(check);
    document
}

fn with_policy(policy: &str) -> Json {
    let mut document = orders(1);
    let maps = &mut document["realtime"]["ingestionConfig"]["streamIngestionConfig"]["streamConfigMaps"];
    maps[0]["stream.local.error.policy"] = json!(policy);
    document
}

async fn produce(node: &TestNode, partition: u32, values: &[Json]) {
    let records: Vec<Json> = values.iter().map(|value| json!({ "value": value, "partition": partition })).collect();
    let answer = node.post("/topics/orders", &json!({ "records": records })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn old(id: i64) -> Json {
    let mut order = order(id, "DE", 1.0);
    order["ts"] = json!(id);
    order
}

async fn change(node: &TestNode, document: &Json) {
    let answer = node.send(Method::PUT, "/tableConfigs/orders", document).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn kept(node: &TestNode, count: u64) {
    eventually("the quarantine", async || {
        let page = node.json("/tables/orders/quarantine?limit=1").await;
        if page["kept"] == count { Ok(()) } else { Err(page.to_string()) }
    })
    .await;
}

async fn sum(node: &TestNode, field: &str) -> i64 {
    let partitions = node.json("/tables/orders/partitions").await;
    partitions.as_array().unwrap().iter().map(|partition| partition[field].as_i64().unwrap()).sum()
}

async fn balanced(node: &TestNode) {
    let partitions = node.json("/tables/orders/partitions").await;
    for partition in partitions.as_array().unwrap() {
        let of = |field: &str| partition[field].as_i64().unwrap();
        let explained = of("stored") + of("filtered") + of("tombstones") + of("rejected") + of("replayed");
        assert_eq!(of("fetched"), explained, "{partition}");
    }
}

async fn replay(node: &TestNode, body: &Json) -> Json {
    let answer = node.post("/tables/orders/quarantine/replay", body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mended_table_replays_its_rejects_once() {
    let node = TestNode::start().await;
    node.make(&checked(true)).await;
    produce(&node, 0, &[order(1, "DE", 1.0), old(2), old(3), json!([1])]).await;
    produce(&node, 1, &[old(4), order(5, "FR", 2.0)]).await;
    kept(&node, 4).await;
    node.wait_for_rows("SELECT COUNT(*) FROM orders", &json!([[2]])).await;

    let nothing = replay(&node, &json!({})).await;
    assert_eq!((&nothing["replayed"], &nothing["failed"], &nothing["segments"]), (&json!(0), &json!(4), &json!([])));
    assert_eq!(nothing["failures"][2]["stage"], "DECODE", "{nothing}");

    change(&node, &checked(false)).await;
    let one = json!({"entries": [{"topic": "orders", "partition": 1, "offsets": [0, 77]}]});
    let first = replay(&node, &one).await;
    assert_eq!((&first["replayed"], &first["rows"], &first["notInQuarantine"]), (&json!(1), &json!(1), &json!(1)));
    node.wait_for_rows("SELECT COUNT(*) FROM orders WHERE id = 4", &json!([[1]])).await;
    assert_eq!(replay(&node, &one).await["replayed"], 0);

    let second = replay(&node, &json!(null)).await;
    assert_eq!((&second["replayed"], &second["failed"]), (&json!(2), &json!(1)), "{second}");
    assert_eq!(replay(&node, &json!({})).await["replayed"], 0);
    node.wait_for_rows("SELECT COUNT(*), SUM(id) FROM orders", &json!([[5, 15.0]])).await;
    node.wait_for_rows("SELECT COUNT(*) FROM system.quarantine", &json!([[1]])).await;
    for (field, count) in [("fetched", 6), ("stored", 2), ("rejected", 1), ("replayed", 3), ("rows", 5)] {
        assert_eq!(sum(&node, field).await, count, "{field}");
    }
    balanced(&node).await;

    let segments = node.rows("SELECT segment, rows, sealReason FROM system.segments WHERE sealReason = 'replay'").await;
    assert_eq!(segments.as_array().unwrap().len(), 2, "{segments}");
    let named = second["segments"][0].as_str().unwrap();
    assert!(node.json("/segments/orders").await[0]["REALTIME"].to_string().contains(named));
    let metadata = node.json(&format!("/segments/orders/{named}/metadata")).await;
    assert_eq!(metadata["segment.total.docs"], "2", "{metadata}");
    assert!(node.json("/tables/orders/size").await["reportedSizeInBytes"].as_i64().unwrap() > 0);

    let node = node.restarted().await;
    node.wait_for_rows("SELECT COUNT(*), SUM(id) FROM orders", &json!([[5, 15.0]])).await;
    kept(&node, 1).await;
    eventually("the counts", async || {
        let counts = (sum(&node, "fetched").await, sum(&node, "replayed").await, sum(&node, "rejected").await);
        if counts == (6, 3, 1) { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await;
    balanced(&node).await;
    assert_eq!(node.json("/tables/orders/quarantine").await["replayed"], 3);
    node.commit("orders").await;
    let node = node.restarted().await;
    node.wait_for_rows("SELECT COUNT(*), SUM(id) FROM orders", &json!([[5, 15.0]])).await;
    assert_eq!(replay(&node, &json!({})).await["failed"], 1);
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_filtered_and_deleted_and_stay_rejected() {
    let node = TestNode::start().await;
    node.make(&checked(true)).await;
    produce(&node, 0, &[old(1), json!([1]), old(2)]).await;
    produce(&node, 1, &[old(3)]).await;
    kept(&node, 4).await;
    for (filter, expected) in [
        ("topic=orders", 4),
        ("topic=other", 0),
        ("partition=0", 3),
        ("stage=time", 3),
        ("partition=0&fromOffset=1", 2),
        ("partition=0&fromOffset=1&toOffset=2", 1),
        ("topic=orders&partition=0&offsets=0,2,9", 2),
    ] {
        let page = node.json(&format!("/tables/orders/quarantine?{filter}")).await;
        assert_eq!(page["entries"].as_array().unwrap().len(), expected, "{filter}: {page}");
    }
    let first = node.json("/tables/orders/quarantine?stage=TIME&limit=1").await;
    let next = first["next"].as_str().unwrap();
    let rest = node.json(&format!("/tables/orders/quarantine?stage=TIME&after={next}")).await;
    assert_eq!((rest["entries"].as_array().unwrap().len(), &rest["next"]), (2, &json!(null)));

    let deleted = node.delete("/tables/orders/quarantine?topic=orders&partition=0&offsets=0").await;
    assert_eq!(deleted.json(), json!({"deleted": 1}));
    let node = node.restarted().await;
    eventually("reading again", async || match sum(&node, "fetched").await {
        4 => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    let page = node.json("/tables/orders/quarantine").await;
    assert_eq!((&page["kept"], &page["deleted"]), (&json!(3), &json!(1)), "{page}");
    assert_eq!(node.delete("/tables/orders/quarantine").await.json(), json!({"deleted": 3}));
    assert_eq!((sum(&node, "rejected").await, sum(&node, "replayed").await), (4, 0));
    node.wait_for_rows("SELECT COUNT(*) FROM system.quarantine", &json!([[0]])).await;
    balanced(&node).await;
    for (wrong, place) in [("partitions=0", "partitions = 0"), ("offsets=1", "offsets = 1"), ("partition=x", "x")] {
        let answer = node.delete(&format!("/tables/orders/quarantine?{wrong}")).await;
        assert!(answer.status == 400 && answer.error().contains(place), "{wrong}: {}", answer.text());
    }
    let answer = node.post("/tables/orders/quarantine/replay", &json!({"entries": [{"topic": 1}]})).await;
    assert!(answer.status == 400 && answer.error().contains("entries[0].topic = 1"), "{}", answer.text());
    assert_eq!(node.post("/tables/absent/quarantine/replay", &json!(null)).await.status, 404);
    assert_eq!(node.delete("/tables/absent/quarantine").await.status, 404);
    node.server.stop().await;
}

async fn state(node: &TestNode, wanted: &str) -> Json {
    eventually("the state", async || {
        let partition = node.json("/tables/orders/partitions").await[0].clone();
        if partition["state"] == wanted { Ok(partition) } else { Err(partition.to_string()) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halted_partition_goes_on_when_its_config_is_mended() {
    let node = TestNode::start().await;
    node.make(&with_policy("halt")).await;
    node.produce("orders", &[order(1, "DE", 1.0), json!([1]), order(2, "DE", 1.0)]).await;
    let partition = state(&node, "HALTED").await;
    assert!(partition["reason"].as_str().unwrap().contains("offset 1"), "{partition}");
    assert_eq!((&partition["nextOffset"], &partition["rejected"]), (&json!(1), &json!(0)));
    node.post("/tables/orders/resumeConsumption", &json!(null)).await;
    state(&node, "HALTED").await;
    change(&node, &with_policy("quarantine")).await;
    node.wait_for_rows("SELECT COUNT(*) FROM orders", &json!([[2]])).await;
    kept(&node, 1).await;
    change(&node, &with_policy("drop")).await;
    node.produce("orders", &[json!([1]), order(3, "DE", 1.0)]).await;
    node.wait_for_rows("SELECT COUNT(*) FROM orders", &json!([[3]])).await;
    assert_eq!(sum(&node, "rejected").await, 2);
    kept(&node, 1).await;
    balanced(&node).await;
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_halts_above_a_rate_and_goes_on_when_told() {
    let node = TestNode::start().await;
    node.make(&with_policy("haltAbove:2")).await;
    let mut values = vec![json!([1]); 5];
    values.push(order(1, "DE", 1.0));
    node.produce("orders", &values).await;
    let partition = state(&node, "HALTED").await;
    let reason = partition["reason"].as_str().unwrap();
    assert!(reason.contains("offset 2") && reason.contains("more than 2 rejects within a minute"), "{reason}");
    kept(&node, 2).await;
    node.post("/tables/orders/resumeConsumption", &json!(null)).await;
    kept(&node, 4).await;
    let partition = state(&node, "HALTED").await;
    assert_eq!(partition["nextOffset"], 4);
    node.post("/tables/orders/resumeConsumption", &json!(null)).await;
    node.wait_for_rows("SELECT COUNT(*) FROM orders", &json!([[1]])).await;
    assert_eq!(sum(&node, "rejected").await, 5);
    node.server.stop().await;
}

fn weir(controller: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let run = || {
        let command =
            Command::new(env!("CARGO_BIN_EXE_weir")).args(arguments).env("WEIR_CONTROLLER", controller).output();
        command.unwrap()
    };
    let output = tokio::task::block_in_place(run);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_lists_shows_replays_and_drops() {
    let node = TestNode::start().await;
    let url = format!("http://{}", node.server.controller);
    node.make(&checked(true)).await;
    produce(&node, 0, &[old(1), json!([1]), old(2)]).await;
    kept(&node, 3).await;
    let (code, out, said) = weir(&url, &["quarantine", "list", "orders"]);
    assert_eq!((code, out.lines().count()), (Some(0), 3), "{out}{said}");
    assert!(said.contains("3 kept, 0 evicted, 0 deleted, 0 replayed"), "{said}");
    let (_, out, said) =
        weir(&url, &["quarantine", "list", "orders", "--stage", "TIME", "--limit", "1", "--format", "csv"]);
    assert!(out.starts_with("topic,partition,offset,stage") && out.lines().count() == 2, "{out}");
    assert!(said.contains("there are more"), "{said}");
    let (code, out, _) = weir(&url, &["quarantine", "show", "orders", "orders/0/1"]);
    assert!(code == Some(0) && out.contains("\"payload\": \"[1]\""), "{out}");
    let (code, _, said) = weir(&url, &["quarantine", "show", "orders", "orders/0/9"]);
    assert!(code == Some(1) && said.contains("not in the quarantine"), "{said}");

    change(&node, &checked(false)).await;
    let one = ["quarantine", "replay", "orders", "--topic", "orders", "--partition", "0", "--offsets", "0,9"];
    let (code, _, said) = weir(&url, &one);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 replayed, 1 rows") && said.contains("1 of those named are not in quarantine"), "{said}");
    let (code, out, said) = weir(&url, &["quarantine", "replay", "orders"]);
    assert_eq!(code, Some(1), "one fails again: {said}");
    assert!(out.starts_with("orders/0/1: DECODE: ") && said.contains("1 failed again"), "{out}{said}");
    node.wait_for_rows("SELECT COUNT(*) FROM orders", &json!([[2]])).await;

    assert_eq!(weir(&url, &["quarantine", "drop", "orders"]).0, Some(2), "all has to be said");
    assert_eq!(weir(&url, &["quarantine", "drop", "orders", "--all", "--stage", "TIME"]).0, Some(2));
    let (code, _, said) = weir(&url, &["quarantine", "drop", "orders", "--stage", "decode"]);
    assert!(code == Some(0) && said.contains("1 deleted"), "{said}");
    assert_eq!(weir(&url, &["quarantine", "drop", "orders", "--all"]).0, Some(0));
    assert_eq!(weir(&url, &["quarantine", "list", "absent"]).0, Some(1));
    node.server.stop().await;
    assert_eq!(weir(&url, &["quarantine", "list", "orders"]).0, Some(3));
}

/// A record that was read again after a rewind, and rejected again, is one that was named, not two.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_after_a_rewind_tells_what_is_not_there() {
    let node = TestNode::start().await;
    node.make(&checked(true)).await;
    produce(&node, 0, &[order(1, "DE", 1.0), old(2)]).await;
    kept(&node, 1).await;
    node.wait_for_rows("SELECT COUNT(*) FROM orders", &json!([[1]])).await;
    let back = json!({"consumeFrom": {"orders": {"0": 0}}});
    let moved = node.post("/tables/orders/resumeConsumption?allowDuplicates=true", &back).await;
    assert_eq!(moved.status, 200, "{}", moved.text());
    node.wait_for_rows("SELECT COUNT(*) FROM orders", &json!([[2]])).await;
    eventually("the reject of the second reading", async || {
        let rejected = sum(&node, "rejected").await;
        if rejected == 2 { Ok(()) } else { Err(rejected.to_string()) }
    })
    .await;
    change(&node, &checked(false)).await;
    let named = json!({"entries": [{"topic": "orders", "partition": 0, "offsets": [1, 77]}]});
    let report = replay(&node, &named).await;
    assert_eq!((&report["notInQuarantine"], &report["failed"]), (&json!(1), &json!(0)), "{report}");
    let again = replay(&node, &named).await;
    assert_eq!((&again["notInQuarantine"], &again["replayed"]), (&json!(2), &json!(0)), "{again}");
    node.server.stop().await;
}
