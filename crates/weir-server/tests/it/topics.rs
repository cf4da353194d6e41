//! The local log over HTTP: shapes, bounds, idempotency.

use crate::support::{TestNode, order, orders, settings};
use bytes::Bytes;
use hyper::Method;
use serde_json::json;
use weir_server::{NodeSettings, client::content_type};

const JSON: &str = "application/vnd.kafka.json.v2+json";
const BINARY: &str = "application/vnd.kafka.binary.v2+json";

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_topic_names_the_remedy() {
    let node = TestNode::start().await;
    let answer = node.post("/topics/orders", &json!({"records": [{"value": 1}]})).await;
    assert_eq!((answer.status, &answer.json()["error_code"]), (404, &json!(40401)));
    assert!(answer.error().contains("POST /tableConfigs"), "{}", answer.error());
    assert_eq!(answer.json()["message"], answer.json()["error"]);
    assert_eq!(node.json("/topics").await, json!([]));
    assert_eq!(node.get("/topics/orders").await.status, 404);
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_come_as_json_or_base64() {
    let node = TestNode::start().await;
    node.make(&orders(2)).await;
    assert_eq!(node.json("/topics").await, json!(["orders"]));
    assert_eq!(node.json("/topics/orders").await["partitions"].as_array().unwrap().len(), 2);
    let body = json!({"records": [{"partition": 1, "key": "k", "value": order(1, "DE", 1.0)}]});
    let answer =
        node.controller.send(Method::POST, "/topics/orders", &[("content-type", JSON)], Bytes::from(body.to_string()));
    let answer = answer.await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(content_type(&answer), "application/vnd.kafka.v2+json");
    assert_eq!(answer.json()["offsets"], json!([{"partition": 1, "offset": 0, "error_code": null, "error": null}]));

    // {"id":2,"country":"FR","amount":1} in base64.
    let body = json!({"records": [{"partition": 1, "value": "eyJpZCI6MiwiY291bnRyeSI6IkZSIiwiYW1vdW50IjoxfQ=="}]});
    let answer = node.controller.send(
        Method::POST,
        "/topics/orders",
        &[("content-type", BINARY)],
        Bytes::from(body.to_string()),
    );
    assert_eq!(answer.await.unwrap().json()["offsets"][0]["offset"], 1);
    node.wait_for_rows("SELECT COUNT(*), MAX(id) FROM orders", &json!([[2, 2.0]])).await;
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start_with(NodeSettings { produce_body_bytes: 10_000, ..settings(dir.path()) }).await;
    node.make(&orders(1)).await;
    let send = async |kind: &str, body: String| {
        node.controller
            .send(Method::POST, "/topics/orders", &[("content-type", kind)], Bytes::from(body))
            .await
            .unwrap()
    };
    let large = json!({"records": [{"value": "x".repeat(20_000)}]}).to_string();
    let refused = send(JSON, large).await;
    assert_eq!((refused.status, &refused.json()["code"]), (413, &json!(413)));
    assert_eq!(send(JSON, "{}".into()).await.status, 400);
    assert_eq!(send("text/plain", "{}".into()).await.status, 415);
    assert_eq!(send(BINARY, json!({"records": [{"value": "!"}]}).to_string()).await.status, 400);
    // All or nothing: the second record's partition is not there.
    let mixed = json!({"records": [{"value": order(1, "DE", 1.0)}, {"partition": 9, "value": order(2, "DE", 1.0)}]});
    let refused = send(JSON, mixed.to_string()).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    let good = node.produce("orders", &[order(3, "DE", 1.0)]).await;
    assert_eq!(good["offsets"][0]["offset"], 0);
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_idempotency_key_answers_with_the_first_offsets() {
    let node = TestNode::start().await;
    node.make(&orders(1)).await;
    let body = Bytes::from(json!({"records": [{"value": order(1, "DE", 1.0)}]}).to_string());
    let send = async |key: &str| {
        let headers = [("content-type", JSON), ("idempotency-key", key)];
        node.controller.send(Method::POST, "/topics/orders", &headers, body.clone()).await.unwrap()
    };
    let first = send("one").await.json();
    assert_eq!(send("one").await.json(), first);
    assert_eq!(send("two").await.json()["offsets"][0]["offset"], 1);
    assert_eq!(send(&"k".repeat(256)).await.status, 400);
    let node = node.restarted().await;
    let other = Bytes::from(json!({"records": [{"value": order(2, "DE", 1.0)}]}).to_string());
    let headers = [("content-type", JSON), ("idempotency-key", "one")];
    let refused = node.controller.send(Method::POST, "/topics/orders", &headers, other).await.unwrap();
    assert!(refused.status == 400 && refused.error().contains("used for another request"), "{}", refused.text());
    node.wait_for_rows("SELECT COUNT(*) FROM orders", &json!([[2]])).await;
    node.server.stop().await;
}
