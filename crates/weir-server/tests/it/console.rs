//! The console as a browser fetches it: what each file says it is, what pages may do, and that REST is untouched by it.

use crate::support::TestNode;
use bytes::Bytes;
use hyper::Method;
use std::collections::BTreeSet;
use weir_server::client::{Answer, Client};

/// Every path that a file names between its marks: `href`, `src` and `import`.
fn named(path: &str, text: &str) -> Vec<String> {
    let folder = path.rsplit_once('/').unwrap().0;
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("import ").and_then(|line| line.rsplit('\'').nth(1)) {
            found.push(match name.strip_prefix("../") {
                Some(above) => format!("{}/{above}", folder.rsplit_once('/').unwrap().0),
                None => format!("{folder}/{}", name.strip_prefix("./").unwrap()),
            });
        }
        if path == "/" {
            let links = line.split(['"']).filter(|part| part.starts_with("console/"));
            found.extend(links.map(|link| format!("/{link}")));
        }
    }
    found
}

fn media(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap() {
        "/" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" => "application/json",
        other => panic!("{path}: no type is known for {other}"),
    }
}

async fn get(client: &Client, path: &str, headers: &[(&str, &str)]) -> Answer {
    client.send(Method::GET, path, headers, Bytes::new()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_the_page_names_is_there_with_its_type_and_policy() {
    let node = TestNode::start().await;
    let mut open = vec!["/".to_owned(), "/console/words.json".to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(path) = open.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let answer = node.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.headers["content-type"], media(&path), "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(answer.headers["cache-control"], "no-cache", "{path}");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.split("; ").any(|found| found == rule), "{path} lacks {rule}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        open.extend(named(&path, &answer.text()));
    }
    assert!(seen.contains("/console/main.js") && seen.contains("/console/style.css"), "{seen:?}");
    assert!(seen.contains("/console/pages/query.js") && seen.len() > 20, "{seen:?}");
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_browser_has_already_is_not_sent_again() {
    let node = TestNode::start().await;
    for path in ["/", "/console/main.js", "/console/style.css", "/console/words.json"] {
        let first = node.get(path).await;
        let tag = first.headers["etag"].to_str().unwrap();
        let again = get(&node.controller, path, &[("if-none-match", tag)]).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        assert_eq!(again.headers["etag"], tag, "{path}");
        let other = get(&node.controller, path, &[("if-none-match", "\"of another build\"")]).await;
        assert_eq!((other.status, &other.body), (200, &first.body), "{path}");
    }
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_page_is_answered_as_before() {
    let node = TestNode::start().await;
    for path in ["/console/", "/console/absent.js", "/console/pages/", "/index.html", "/console/%2e%2e/Cargo.toml"] {
        let answer = node.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        let error = answer.error();
        assert!(error.contains("there is nothing at GET /") && error.contains("/help"), "{path}: {error}");
    }
    for path in ["/", "/console/main.js"] {
        let answer = node.controller.send(Method::POST, path, &[], Bytes::new()).await.unwrap();
        assert_eq!(answer.status, 405, "{path}: {}", answer.text());
    }
    // Pages belong to the controller; clients of the broker meet what they met.
    assert_eq!(get(&node.broker, "/", &[]).await.status, 404);
    assert_eq!(get(&node.broker, "/console/main.js", &[]).await.status, 404);
    // They are no part of the API, so its document does not list them.
    let document = node.json("/openapi.json").await;
    let paths = document["paths"].as_object().unwrap();
    assert!(!paths.keys().any(|path| path == "/" || path.starts_with("/console")), "{paths:?}");
    node.server.stop().await;
}
