//! The OpenAPI document and the routes are one: whatever it lists is answered.

use crate::support::TestNode;
use bytes::Bytes;
use hyper::Method;

#[tokio::test(flavor = "multi_thread")]
async fn every_listed_route_is_answered() {
    let node = TestNode::start().await;
    for (client, least) in [(&node.controller, 50), (&node.broker, 8)] {
        let document = client.get("/openapi.json").await.unwrap().json();
        let mut asked = 0;
        for (path, operations) in document["paths"].as_object().unwrap() {
            for method in operations.as_object().unwrap().keys() {
                let filled = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
                let filled = filled.collect::<Vec<_>>().join("/");
                let verb = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let answer = client.send(verb, &filled, &[], Bytes::new()).await.unwrap();
                let text = answer.text();
                assert!(!text.contains("there is nothing at") && answer.status != 405, "{method} {path}: {text}");
                assert!(answer.status < 500, "{method} {path}: {} {text}", answer.status);
                asked += 1;
            }
        }
        assert!(asked >= least, "{asked} routes were asked");
    }
    node.server.stop().await;
}
