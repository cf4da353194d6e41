//! Schemas and tables over REST: made, read, changed, refused, dropped.

use crate::support::{TestNode, orders};
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value as Json, json};

#[tokio::test(flavor = "multi_thread")]
async fn schemas_are_added_read_changed_and_removed() {
    let node = TestNode::start().await;
    let schema = orders(1)["schema"].clone();
    assert_eq!(node.json("/schemas").await, json!([]));
    let added = node.post("/schemas", &schema).await;
    assert_eq!(
        (added.status, added.json()),
        (200, json!({"unrecognizedProperties": {}, "status": "orders successfully added"}))
    );
    assert_eq!(node.json("/schemas").await, json!(["orders"]));
    assert_eq!(node.json("/schemas/orders").await["schemaName"], "orders");
    assert_eq!(node.post("/schemas?override=false", &schema).await.status, 409);
    assert_eq!(node.send(Method::PUT, "/schemas/other", &schema).await.status, 400);
    assert_eq!(node.send(Method::PUT, "/schemas/orders", &schema).await.status, 200);
    let form = b"--X\r\nContent-Disposition: form-data; name=\"f\"; filename=\"o.json\"\r\n\r\n".to_vec();
    let form = [form, schema.to_string().into_bytes(), b"\r\n--X--\r\n".to_vec()].concat();
    let kind = [("content-type", "multipart/form-data; boundary=X")];
    let sent = node.controller.send(Method::POST, "/schemas", &kind, Bytes::from(form)).await.unwrap();
    assert_eq!(sent.status, 200, "{}", sent.text());
    assert_eq!(node.delete("/schemas/orders").await.json(), json!({"status": "Schema orders deleted"}));
    assert_eq!(node.get("/schemas/orders").await.json(), json!({"code": 404, "error": "schema orders does not exist"}));
    assert_eq!(node.delete("/schemas/orders").await.status, 404);
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_need_their_schema_and_are_made_changed_and_dropped() {
    let node = TestNode::start().await;
    let document = orders(1);
    let table = &document["realtime"];
    let refused = node.post("/tables", table).await;
    assert_eq!(refused.status, 400);
    assert!(refused.error().contains("POST /schemas"), "{}", refused.error());
    assert_eq!(node.post("/schemas", &document["schema"]).await.status, 200);
    let checked = node.post("/tables/validate", table).await;
    assert_eq!((checked.status, &checked.json()["unrecognizedProperties"]), (200, &json!({})), "{}", checked.text());
    assert_eq!(node.json("/tables").await, json!({"tables": []}));

    let made = node.post("/tables", table).await;
    let status = "Table orders_REALTIME successfully added";
    assert_eq!((made.status, made.json()), (200, json!({"unrecognizedProperties": {}, "status": status})));
    assert_eq!(node.post("/tables", table).await.status, 409);
    assert_eq!(node.json("/tables").await, json!({"tables": ["orders"]}));
    assert_eq!(node.json("/tables?type=realtime").await, json!({"tables": ["orders_REALTIME"]}));
    assert_eq!(node.json("/tables?type=OFFLINE").await, json!({"tables": []}));
    assert_eq!(node.get("/tables?type=other").await.status, 400);
    assert_eq!(node.json("/tables/orders").await["REALTIME"]["tableType"], "REALTIME");
    assert_eq!(node.json("/tables/orders_REALTIME/state").await, json!({"state": "enabled"}));
    assert_eq!(node.json("/tables/orders/schema").await["schemaName"], "orders");
    assert_eq!(node.get("/tables/orders_OFFLINE").await.status, 404);
    assert_eq!(node.delete("/schemas/orders").await.status, 409);

    let mut changed = table.clone();
    changed["tableIndexConfig"]["invertedIndexColumns"] = json!(["country", "id"]);
    let answer = node.send(Method::PUT, "/tables/orders", &changed).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let shown = node.json("/tables/orders").await;
    assert_eq!(shown["REALTIME"]["tableIndexConfig"]["invertedIndexColumns"], json!(["country", "id"]));
    assert_eq!(node.send(Method::PUT, "/tables/absent", &changed).await.status, 404);

    let dropped = node.delete("/tables/orders").await;
    assert_eq!(dropped.json(), json!({"status": "Tables: [orders_REALTIME] deleted"}));
    assert_eq!(node.delete("/tables/orders").await.status, 404);
    assert_eq!(node.json("/schemas").await, json!(["orders"]));
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn table_configs_are_all_or_nothing() {
    let node = TestNode::start().await;
    let mut document = orders(1);
    document["realtime"]["strange"] = json!({"a": 1});
    let valid = node.post("/tableConfigs/validate", &document).await;
    assert_eq!(valid.json()["unrecognizedProperties"], json!({"/realtime/strange": {"a": 1}}), "{}", valid.text());
    assert_eq!(node.json("/tableConfigs").await, json!([]));
    let made = node.post("/tableConfigs", &document).await;
    assert_eq!(made.status, 200, "{}", made.text());
    assert_eq!(made.json()["unrecognizedProperties"], json!({"/realtime/strange": {"a": 1}}));
    assert_eq!(node.json("/tableConfigs").await, json!(["orders"]));
    assert_eq!(node.post("/tableConfigs", &document).await.status, 400);

    // What was read may be sent back.
    let read = node.json("/tableConfigs/orders").await;
    assert_eq!((&read["tableName"], &read["schema"]["schemaName"]), (&json!("orders"), &json!("orders")));
    assert_eq!(node.send(Method::PUT, "/tableConfigs/orders", &read).await.status, 200);
    assert_eq!(node.send(Method::PUT, "/tableConfigs/other", &read).await.status, 400);
    assert_eq!(node.delete("/tableConfigs/orders").await.json(), json!({"status": "Deleted TableConfigs: orders"}));
    assert_eq!((node.json("/schemas").await, node.json("/tables").await), (json!([]), json!({"tables": []})));
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_is_told_at_once_and_nothing_is_left() {
    let node = TestNode::start().await;
    let mut document = orders(1);
    document["schema"]["dimensionFieldSpecs"][0]["dataType"] = json!("LUNG");
    let stream = &mut document["realtime"]["ingestionConfig"]["streamIngestionConfig"]["streamConfigMaps"][0];
    stream["streamType"] = json!("carrier-pigeon");
    let refused = node.post("/tableConfigs", &document).await;
    assert_eq!(refused.status, 400);
    let body = refused.json();
    assert_eq!(body["code"], 400);
    let paths: Vec<&str> = body["errors"].as_array().unwrap().iter().map(|e| e["path"].as_str().unwrap()).collect();
    assert!(paths.contains(&"schema.dimensionFieldSpecs[0].dataType"), "{paths:?}");
    assert!(paths.iter().any(|path| path.ends_with("streamType")), "{paths:?}");
    assert!(body["error"].as_str().unwrap().contains("LUNG"));
    assert_eq!((node.json("/schemas").await, node.json("/tables").await), (json!([]), json!({"tables": []})));
    let broken = node.controller.send(Method::POST, "/tableConfigs", &[], Bytes::from("{\n \"a\" 1}")).await.unwrap();
    assert_eq!(broken.status, 400);
    assert!(broken.error().contains("line 2"), "{}", broken.error());
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_change_reaches_its_table_or_is_refused() {
    let node = TestNode::start().await;
    node.make(&orders(1)).await;
    let mut schema = orders(1)["schema"].clone();
    let fields = schema["dimensionFieldSpecs"].as_array_mut().unwrap();
    fields.push(json!({"name": "city", "dataType": "STRING"}));
    let answer = node.send(Method::PUT, "/schemas/orders", &schema).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let shown = node.json("/tables/orders/schema").await;
    let names: Vec<&Json> =
        shown["dimensionFieldSpecs"].as_array().unwrap().iter().map(|field| &field["name"]).collect();
    assert!(names.contains(&&json!("city")), "{names:?}");
    schema["dimensionFieldSpecs"][0]["dataType"] = json!("STRING");
    let refused = node.send(Method::PUT, "/schemas/orders", &schema).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert_eq!(node.json("/schemas/orders").await["dimensionFieldSpecs"][0]["dataType"], "LONG");
    node.server.stop().await;
}
