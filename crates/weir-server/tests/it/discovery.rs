//! What clients ask before they query: brokers, tenants, instances, health, version, metrics.

use crate::support::{TestNode, orders};
use hyper::Method;
use serde_json::json;
use weir_server::client::content_type;

#[tokio::test(flavor = "multi_thread")]
async fn clients_find_the_broker() {
    let node = TestNode::start().await;
    node.make(&orders(1)).await;
    let port = node.server.broker.port();
    let (name, server) = (format!("Broker_127.0.0.1_{port}"), "Server_127.0.0.1_8098");
    let broker = json!([{"instanceName": name, "host": "127.0.0.1", "port": port, "grpcPort": -1}]);
    assert_eq!(node.json("/v2/brokers/tables?state=ONLINE").await, json!({"orders": broker}));
    assert_eq!(node.json("/v2/brokers/tables/orders").await, broker);
    assert_eq!(node.json("/v2/brokers/tenants/DefaultTenant?state=ONLINE").await, broker);
    assert_eq!(node.get("/v2/brokers/tenants/other").await.status, 404);
    assert_eq!(node.json("/tables/livebrokers?tables=orders_REALTIME").await, json!({"orders": broker}));
    assert_eq!(node.json("/tables/livebrokers?tables=other").await, json!({}));
    assert_eq!(node.json("/brokers").await["tables"], json!({"orders": [name]}));
    let instances = node.json("/tables/orders/instances").await;
    assert_eq!(instances["brokers"], json!([{"tableType": "REALTIME", "instances": [name]}]));
    assert_eq!(instances["server"], json!([{"tableType": "REALTIME", "instances": [server]}]));
    let all = node.json("/instances").await["instances"].clone();
    assert_eq!(all.as_array().unwrap().len(), 3);
    assert_eq!(node.json(&format!("/instances/{server}")).await["port"], "8098");
    assert_eq!(node.json("/tenants").await["BROKER_TENANTS"], json!(["DefaultTenant"]));
    assert!(node.json("/databases").await.as_array().unwrap().contains(&json!("default")));
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ports_tell_how_they_are() {
    let node = TestNode::start().await;
    for client in [&node.controller, &node.broker] {
        let health = client.get("/health").await.unwrap();
        assert_eq!((health.status, health.text().as_str()), (200, "OK"));
        let head = client.send(Method::HEAD, "/health", &[], bytes::Bytes::new()).await.unwrap();
        assert_eq!((head.status, head.body.len()), (200, 0));
        let metrics = client.get("/metrics").await.unwrap();
        assert!(
            metrics.text().ends_with("# EOF\n") && content_type(&metrics).starts_with("application/openmetrics-text")
        );
        assert!(client.get("/version").await.unwrap().json()["weir"].is_string());
        let absent = client.get("/no/such").await.unwrap();
        assert_eq!((absent.status, &absent.json()["code"]), (404, &json!(404)));
        let page = client.get("/help").await.unwrap();
        assert!(content_type(&page).starts_with("text/html"));
        assert!(
            !page.text().contains("http://") && !page.text().contains("https://"),
            "the page needs nothing from outside"
        );
    }
    let wrong = node.controller.send(Method::DELETE, "/health", &[], bytes::Bytes::new()).await.unwrap();
    assert_eq!((wrong.status, &wrong.json()["code"]), (405, &json!(405)));
    node.server.stop().await;
}
