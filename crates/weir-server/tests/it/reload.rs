//! An index that a table is given later, seen from outside: committed segments have it, and are asked about it.

use crate::support::{TestNode, eventually, order, orders};
use hyper::Method;
use serde_json::{Value as Json, json};

const BY_ID: &str = "SELECT COUNT(*) FROM orders WHERE id = 77";

/// Table `orders` with these index settings.
fn indexed(index: &Json) -> Json {
    let mut document = orders(1);
    document["realtime"]["tableIndexConfig"] = index.clone();
    document
}

#[tokio::test(flavor = "multi_thread")]
async fn committed_segments_are_searched_by_an_index_that_came_later() {
    let node = TestNode::start().await;
    node.make(&indexed(&json!({}))).await;
    let messages: Vec<Json> = (0..200).map(|id| order(id * 37 % 200, "DE", 1.0)).collect();
    node.produce("orders", &messages).await;
    node.wait_for_rows("SELECT COUNT(*) FROM orders", &json!([[200]])).await;
    node.commit("orders").await;
    let before = node.ask(BY_ID).await;
    assert_eq!(before["resultTable"]["rows"], json!([[1]]), "{before}");
    assert!(before["numEntriesScannedInFilter"].as_u64().unwrap() > 0, "{before}");
    let rows = node.rows("SELECT id, country, amount FROM orders LIMIT 300").await;
    let name = node.json("/segments/orders").await[0]["REALTIME"][0].as_str().unwrap().to_owned();
    let crc = node.json(&format!("/segments/orders/{name}/metadata")).await["segment.crc"].clone();

    let changed = indexed(&json!({"invertedIndexColumns": ["id"]}));
    let answer = node.send(Method::PUT, "/tableConfigs/orders", &changed).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    eventually("the index", async || {
        let answer = node.ask(BY_ID).await;
        assert_eq!(answer["resultTable"]["rows"], json!([[1]]), "{answer}");
        if answer["numEntriesScannedInFilter"] == 0 { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
    assert_eq!(node.rows("SELECT id, country, amount FROM orders LIMIT 300").await, rows, "in their order");
    let metadata = node.json(&format!("/segments/orders/{name}/metadata")).await;
    assert!(metadata["segment.crc"] != crc && metadata["missingIndexes"] == json!(null), "{metadata}");
    let lacking = node.rows("SELECT missingIndexes FROM system.segments").await;
    assert!(!lacking.to_string().contains("index"), "{lacking}");

    let answer = node.post("/segments/orders/reload", &json!(null)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told: Json = serde_json::from_str(answer.json()["status"].as_str().unwrap()).unwrap();
    assert_eq!(told["orders_REALTIME"]["reloadJobMetaZKStorageStatus"], "SUCCESS");
    let answer = node.post(&format!("/segments/orders/{name}/reload"), &json!(null)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.json()["status"].as_str().unwrap().starts_with("Submitted reload job id: "), "{}", answer.text());
    for absent in ["/segments/none/reload", "/segments/orders/none/reload", "/segments/orders/reload?type=OFFLINE"] {
        assert_eq!(node.post(absent, &json!(null)).await.status, 404, "{absent}");
    }
    assert_eq!(node.rows("SELECT id, country, amount FROM orders LIMIT 300").await, rows);
    node.server.stop().await;
}
