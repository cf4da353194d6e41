//! Records that cannot become rows are kept, counted, shown, and stop nothing.

use crate::support::{TestNode, eventually, order, orders};
use bytes::Bytes;
use hyper::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn rejects_are_in_quarantine_and_the_next_record_is_a_row() {
    let node = TestNode::start().await;
    node.make(&orders(1)).await;
    node.produce("orders", &[json!({"id": "1.5", "country": "DE"}), json!([1]), json!(null)]).await;
    // {broken and bytes that are no text, in base64.
    let body = json!({"records": [{"value": "e2Jyb2tlbv8="}]});
    let headers = [("content-type", "application/vnd.kafka.binary.v2+json")];
    let sent =
        node.controller.send(Method::POST, "/topics/orders", &headers, Bytes::from(body.to_string())).await.unwrap();
    assert_eq!(sent.status, 200, "{}", sent.text());
    node.produce("orders", &[order(5, "FR", 1.0)]).await;
    node.wait_for_rows("SELECT COUNT(*) FROM orders", &json!([[1]])).await;

    let partition = node.json("/tables/orders/partitions").await[0].clone();
    for (field, value) in [("fetched", 5), ("stored", 1), ("rejected", 3), ("tombstones", 1), ("rows", 1)] {
        assert_eq!(partition[field], value, "{field}: {partition}");
    }
    let page = eventually("the quarantine", async || {
        let page = node.json("/tables/orders/quarantine?limit=2").await;
        if page["kept"] == 3 { Ok(page) } else { Err(page.to_string()) }
    })
    .await;
    let entries = page["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(
        (&entries[0]["offset"], &entries[0]["column"], &entries[1]["offset"]),
        (&json!(0), &json!("id"), &json!(1))
    );
    let rest = node.json(&format!("/tables/orders/quarantine?after={}", page["next"].as_str().unwrap())).await;
    assert_eq!(rest["entries"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&rest["entries"][0]["offset"], &rest["entries"][0]["payloadBase64"]),
        (&json!(3), &json!("e2Jyb2tlbv8="))
    );
    assert_eq!(rest["next"], json!(null));
    let rows = node.rows(r#"SELECT "offset", stage FROM system.quarantine ORDER BY "offset""#).await;
    assert_eq!(rows[0][0], 0);
    assert_eq!(rows.as_array().unwrap().len(), 3);
    assert_eq!(node.get("/tables/orders/quarantine?limit=0").await.status, 400);
    assert_eq!(node.get("/tables/absent/quarantine").await.status, 404);
    node.server.stop().await;
}
