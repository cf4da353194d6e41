//! Queries over HTTP: both ports, both methods, shapes, errors, statistics.

use crate::support::{TestNode, order, orders};
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value as Json, json};

async fn filled() -> TestNode {
    let node = TestNode::start().await;
    node.make(&orders(1)).await;
    let values: Vec<Json> =
        (0..20).map(|id| order(id, if id % 2 == 0 { "DE" } else { "FR" }, id as f64 / 2.0)).collect();
    node.produce("orders", &values).await;
    node.wait_for_rows("SELECT COUNT(*) FROM orders", &json!([[20]])).await;
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_ask_is_answered() {
    let node = filled().await;
    let body = json!({"sql": "SELECT COUNT(*) FROM orders", "queryOptions": ";timeoutMs=5000", "trace": "true"});
    let encoded = "SELECT%20COUNT(*)%20FROM%20orders";
    for (client, path) in [
        (&node.broker, "/query/sql"),
        (&node.broker, "/query"),
        (&node.controller, "/sql"),
        (&node.controller, "/query/sql"),
    ] {
        let posted = client.send_json(Method::POST, path, &body).await.unwrap();
        assert_eq!(posted.json()["resultTable"]["rows"], json!([[20]]), "{path}: {}", posted.text());
        assert_eq!(posted.headers["x-pinot-error-code"], "-1");
        let got = client.get(&format!("{path}?sql={encoded}")).await.unwrap();
        assert_eq!(got.json()["resultTable"]["rows"], json!([[20]]), "{path}");
        assert_eq!(client.send_json(Method::POST, path, &json!({})).await.unwrap().status, 400);
        assert_eq!(client.get(path).await.unwrap().status, 400);
    }
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_and_columns_are_shown() {
    let node = filled().await;
    assert_eq!(node.rows("SHOW TABLES").await, json!([["orders"]]));
    let columns = node.rows("DESCRIBE orders;").await;
    let of = |name: &str| {
        columns.as_array().unwrap().iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("{columns}"))
    };
    assert_eq!((&of("country")[1], &of("country")[5]), (&json!("STRING"), &json!(512)));
    assert_eq!((&of("ts")[2], &of("ts")[6]), (&json!("DATE_TIME"), &json!("TIME")));
    assert_eq!(node.rows("SHOW TABLES LIKE 'ORD%'").await, json!([["orders"]]));
    assert_eq!(node.rows("SHOW TABLES LIKE 'x%'").await, json!([]));
    let of_system = node.rows("DESCRIBE system.Tables").await;
    assert_eq!(of_system[0], json!(["tableName", "STRING", null, null, null, null, null]), "{of_system}");
    assert_eq!(of_system.as_array().unwrap().len(), 6);
    let refused = node.ask("SHOW TABLES WHERE x").await;
    assert_eq!(refused["exceptions"][0]["errorCode"], 150, "{refused}");
    assert!(refused["exceptions"][0]["message"].as_str().unwrap().contains("SHOW TABLES LIKE"), "{refused}");
    let unknown = node.ask("DESCRIBE nope").await;
    assert_eq!(unknown["exceptions"][0]["errorCode"], 190, "{unknown}");
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_pinots_shape_and_true_statistics() {
    let node = filled().await;
    let before = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    let sql = "SELECT country, COUNT(*), SUM(amount) FROM orders WHERE country = 'DE' GROUP BY country";
    let answer = node.ask(sql).await;
    assert_eq!(answer["resultTable"]["rows"], json!([["DE", 10, 45.0]]));
    assert_eq!(answer["resultTable"]["dataSchema"]["columnDataTypes"], json!(["STRING", "LONG", "DOUBLE"]));
    for (field, value) in [
        ("numServersQueried", json!(1)),
        ("numServersResponded", json!(1)),
        ("totalDocs", json!(20)),
        ("numDocsScanned", json!(10)),
        ("numSegmentsQueried", json!(1)),
        ("numConsumingSegmentsQueried", json!(1)),
        ("numRowsResultSet", json!(1)),
        ("partialResult", json!(false)),
    ] {
        assert_eq!(answer[field], value, "{field}: {answer}");
    }
    let fresh = answer["minConsumingFreshnessTimeMs"].as_i64().unwrap();
    assert!((before - 60_000..=before + 60_000).contains(&fresh), "{fresh} is near {before}");
    assert!(answer["requestId"].as_str().unwrap().bytes().all(|digit| digit.is_ascii_digit()));
    let limited = node.rows("SELECT id FROM orders").await;
    assert_eq!(limited.as_array().unwrap().len(), 10, "the default limit is 10");
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_in_the_answer_unless_a_status_is_asked_for() {
    let node = filled().await;
    for (sql, code, status) in
        [("SELECT COUNT(*) FROM nope", 190, 404), ("SELEKT 1", 150, 400), ("SELECT nope FROM orders", 710, 400)]
    {
        let body = Bytes::from(json!({ "sql": sql }).to_string());
        let plain = node.broker.send(Method::POST, "/query/sql", &[], body.clone()).await.unwrap();
        assert_eq!(plain.status, 200);
        assert_eq!(plain.json()["exceptions"][0]["errorCode"], code, "{sql}: {}", plain.text());
        assert_eq!(plain.headers["x-pinot-error-code"], code.to_string().as_str());
        let headers = [("pinot-use-http-status-for-errors", "true")];
        let by_status = node.broker.send(Method::POST, "/query/sql", &headers, body).await.unwrap();
        assert_eq!(by_status.status, status, "{sql}");
    }
    let cursor =
        node.broker.send_json(Method::POST, "/query/sql?getCursor=true", &json!({"sql": "SELECT 1"})).await.unwrap();
    assert_eq!(cursor.status, 400);
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_tells_about_itself_in_sql() {
    let node = filled().await;
    let partitions = node.rows(r#"SELECT "table", "partition", state, fetched, "rows" FROM system.partitions"#).await;
    assert_eq!(partitions, json!([["orders", 0, "CONSUMING", 20, 20]]));
    let segments = node.rows(r#"SELECT "table", state, startOffset FROM system.segments"#).await;
    assert_eq!(segments, json!([["orders", "CONSUMING", 0]]));
    assert_eq!(node.rows("SELECT COUNT(*) FROM system.quarantine").await, json!([[0]]));
    node.server.stop().await;
}
