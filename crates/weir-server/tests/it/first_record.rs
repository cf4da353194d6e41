//! The walk of one record as one test: made, posted, queried, sealed, committed, restarted, dropped.

use crate::support::{TestNode, order, orders};
use serde_json::json;

const COUNT: &str = "SELECT COUNT(*) FROM orders";

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_queryable_then_committed_and_survives() {
    let node = TestNode::start().await;

    // Told to start: the table can be queried when it is made.
    node.make(&orders(1)).await;
    assert_eq!(node.rows(COUNT).await, json!([[0]]));

    // Fetched, decoded, prepared, appended, published.
    let produced = node.produce("orders", &[order(1, "DE", 2.5)]).await;
    assert_eq!(produced["offsets"], json!([{"partition": 0, "offset": 0, "error_code": null, "error": null}]));
    node.wait_for_rows(COUNT, &json!([[1]])).await;
    let row = node.rows("SELECT id, country, tags, paid, amount, ts FROM orders").await;
    assert_eq!(row, json!([[1, "DE", ["a", "b"], true, 2.5, "2026-01-01 00:00:00.0"]]));

    // Every message is accounted for.
    let partitions = node.json("/tables/orders/partitions").await;
    let partition = &partitions[0];
    for (field, value) in
        [("startOffset", 0), ("nextOffset", 1), ("fetched", 1), ("stored", 1), ("rows", 1), ("rejected", 0)]
    {
        assert_eq!(partition[field], value, "{field}: {partition}");
    }
    assert_eq!(partition["state"], "CONSUMING");

    // End fixed, built, uploaded, committed; consumption goes on in the successor.
    node.commit("orders").await;
    assert_eq!(node.rows(COUNT).await, json!([[1]]));
    let segments = node.json("/segments/orders").await;
    let names = segments[0]["REALTIME"].as_array().unwrap();
    assert_eq!(names.len(), 2, "{segments}");
    let first = names[0].as_str().unwrap();
    let metadata = node.json(&format!("/segments/orders/{first}/metadata")).await;
    for (key, value) in [
        ("segment.realtime.status", "DONE"),
        ("segment.realtime.startOffset", "0"),
        ("segment.realtime.endOffset", "1"),
        ("segment.total.docs", "1"),
    ] {
        assert_eq!(metadata[key], value, "{metadata}");
    }
    node.produce("orders", &[order(2, "FR", 1.0)]).await;
    node.wait_for_rows(COUNT, &json!([[2]])).await;

    // Asked again after a restart: nothing is lost, nothing doubled.
    let node = node.restarted().await;
    node.wait_for_rows("SELECT COUNT(*), SUM(amount) FROM orders", &json!([[2, 3.5]])).await;

    // Dropped with all that belongs to it.
    assert_eq!(node.delete("/tables/orders").await.status, 200);
    assert_eq!(node.ask(COUNT).await["exceptions"][0]["errorCode"], 190);
    assert_eq!(node.get("/tables/orders/partitions").await.status, 404);
    node.server.stop().await;
}
