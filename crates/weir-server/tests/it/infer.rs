//! A topic that nobody has described: a document is inferred, tried and applied, and its rows are there.

use crate::support::{TestNode, order, orders};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_inferred_tried_and_applied() {
    let node = TestNode::start().await;
    let asked = json!({"stream": {"streamType": "local", "stream.local.topic.name": "orders"}, "tableName": "second"});
    let missing = node.post("/tableConfigs/infer", &asked).await;
    assert!(missing.status == 400 && missing.text().contains("orders"), "{}", missing.text());
    node.make(&orders(2)).await;
    let empty = node.post("/tableConfigs/infer", &asked).await;
    assert!(empty.status == 400 && empty.text().contains("topic orders is empty"), "{}", empty.text());
    let values: Vec<_> = (0..20).map(|id| order(id, "DE", 1.5)).collect();
    node.produce("orders", &values).await;
    let answer = node.post("/tableConfigs/infer", &asked).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let inferred = answer.json();
    assert_eq!(
        (&inferred["verified"]["rows"], &inferred["verified"]["rejected"]),
        (&json!(20), &json!(0)),
        "{inferred}"
    );
    let document = &inferred["document"];
    assert_eq!(document["realtime"]["segmentsConfig"]["timeColumnName"], "ts", "{inferred}");
    let tried = node.post("/tableConfigs/try", document).await.json();
    assert_eq!(tried["records"][0]["fate"], "ROW", "{tried}");
    node.make(document).await;
    node.wait_for_rows("SELECT COUNT(*) FROM second", &json!([[20]])).await;
    let wrong = node.post("/tableConfigs/infer", &json!({"stream": {}, "rowz": 1})).await;
    assert!(wrong.status == 400 && wrong.text().contains("rowz"), "{}", wrong.text());
}
