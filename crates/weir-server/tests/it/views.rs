//! What the controller shows of a table: segments, views, size, consumption, pause.

use crate::support::{TestNode, eventually, order, orders};
use serde_json::{Value as Json, json};

#[tokio::test(flavor = "multi_thread")]
async fn views_follow_a_segment_from_open_to_committed() {
    let node = TestNode::start().await;
    node.make(&orders(1)).await;
    let server = "Server_127.0.0.1_8098";
    let open = node.json("/segments/orders").await[0]["REALTIME"][0].as_str().unwrap().to_owned();
    assert!(open.starts_with("orders__0__0__"), "{open}");
    assert_eq!(
        node.json("/tables/orders/idealstate").await,
        json!({"OFFLINE": null, "REALTIME": {&open: {server: "CONSUMING"}}})
    );
    assert_eq!(node.json("/tables/orders/externalview").await["REALTIME"][&open][server], "CONSUMING");

    node.produce("orders", &[order(1, "DE", 1.0), order(2, "FR", 2.0)]).await;
    node.wait_for_rows("SELECT COUNT(*) FROM orders", &json!([[2]])).await;
    let info = node.json("/tables/orders/consumingSegmentsInfo").await;
    let offsets = &info["_segmentToConsumingInfoMap"][&open][0];
    assert_eq!((&offsets["serverName"], &offsets["consumerState"]), (&json!(server), &json!("CONSUMING")));
    assert_eq!(offsets["partitionToOffsetMap"], json!({"0": "2"}));

    node.commit("orders").await;
    let ideal = node.json("/tables/orders/idealstate").await;
    assert_eq!(ideal["REALTIME"][&open][server], "ONLINE");
    eventually("the committed segment is served", async || {
        let statuses = node.json("/tables/orders/segmentsStatus").await;
        let good = |s: &Json| s["segmentStatus"] == "GOOD";
        if statuses.as_array().unwrap().iter().all(good) { Ok(()) } else { Err(statuses.to_string()) }
    })
    .await;
    let size = node.json("/tables/orders/size").await;
    let bytes = size["realtimeSegments"]["segments"][&open]["reportedSizeInBytes"].as_i64().unwrap();
    assert!(bytes > 0 && size["reportedSizeInBytes"] == bytes, "{size}");
    let totals = node.json("/tables/orders/metadata?columns=country").await;
    assert_eq!(
        (&totals["numRows"], &totals["numSegments"], &totals["diskSizeInBytes"]),
        (&json!(2), &json!(2), &json!(bytes))
    );
    let metadata = node.json(&format!("/segments/orders/{open}/metadata?columns=country")).await;
    assert_eq!(metadata["columns"][0]["columnName"], "country");
    assert_eq!(
        (&metadata["columns"][0]["minValue"], &metadata["columns"][0]["maxValue"]),
        (&json!("DE"), &json!("FR"))
    );
    assert_eq!(node.json("/segments/orders/metadata").await[&open]["segment.realtime.status"], "DONE");
    assert_eq!(node.get("/segments/orders/none/metadata").await.status, 404);
    let routing = node.broker.get("/debug/routingTable/orders").await.unwrap().json();
    assert_eq!(routing["orders_REALTIME"][server].as_array().unwrap().len(), 2);
    assert_eq!(node.broker.get("/debug/timeBoundary/orders").await.unwrap().status, 404);
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_table_reads_nothing_until_it_is_resumed() {
    let node = TestNode::start().await;
    node.make(&orders(1)).await;
    assert_eq!(node.json("/tables/orders/pauseStatus").await["pauseFlag"], false);
    let paused = node.post("/tables/orders/pauseConsumption?comment=moving", &json!(null)).await.json();
    assert_eq!(
        (&paused["pauseFlag"], &paused["reasonCode"], &paused["comment"]),
        (&json!(true), &json!("ADMINISTRATIVE"), &json!("moving"))
    );
    eventually("the pause", async || {
        let state = node.json("/tables/orders/partitions").await[0]["state"].clone();
        if state == "PAUSED" { Ok(()) } else { Err(state.to_string()) }
    })
    .await;
    node.produce("orders", &[order(1, "DE", 1.0)]).await;
    assert_eq!(node.rows("SELECT COUNT(*) FROM orders").await, json!([[0]]));

    // A restart does not wake it.
    let node = node.restarted().await;
    assert_eq!(node.json("/tables/orders/pauseStatus").await["pauseFlag"], true);
    assert_eq!(node.post("/tables/orders/resumeConsumption?consumeFrom=newest", &json!(null)).await.status, 400);
    assert_eq!(node.post("/tables/orders/resumeConsumption", &json!(null)).await.json()["pauseFlag"], false);
    node.wait_for_rows("SELECT COUNT(*) FROM orders", &json!([[1]])).await;
    assert_eq!(node.post("/tables/absent/pauseConsumption", &json!(null)).await.status, 404);
    assert_eq!(node.get("/tables/forceCommitStatus/none").await.status, 404);
    node.server.stop().await;
}
