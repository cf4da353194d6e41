//! A folder is used by one node at a time; what cannot be used is refused with its cause.

use crate::support::{TestNode, settings};
use std::net::TcpListener;
use weir_server::{NodeSettings, Server};

async fn refused(settings: NodeSettings) -> String {
    match Server::start(settings).await {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_use_names_its_holder() {
    let node = TestNode::start().await;
    let dir = node.server.node.settings().data_dir.clone();
    let text = refused(settings(&dir)).await;
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    node.restarted().await.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_names_the_port_and_the_option() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    let text = refused(NodeSettings { broker_port: port, ..settings(dir.path()) }).await;
    assert!(text.contains(&port.to_string()) && text.contains("--broker-port"), "{text}");
    assert!(!dir.path().join("catalog.redb").exists(), "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_store_that_cannot_be_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for uri in [format!("file://{}", file.join("deep").display()), "gopher://x".to_owned()] {
        let data = dir.path().join("data");
        let text = refused(NodeSettings { deep_store: Some(uri.clone()), ..settings(&data) }).await;
        assert!(text.contains("deep store") && text.contains("--deep-store"), "{uri}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_starts_again_while_its_deep_store_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let (data, store) = (dir.path().join("data"), dir.path().join("store"));
    let settings = || NodeSettings { deep_store: Some(format!("file://{}", store.display())), ..settings(&data) };
    Server::start(settings()).await.unwrap().stop().await;
    std::fs::rename(&store, dir.path().join("aside")).unwrap();
    std::fs::write(&store, "").unwrap();
    Server::start(settings()).await.expect("what it holds can be asked for").stop().await;
    let other = refused(NodeSettings { data_dir: dir.path().join("new"), ..settings() }).await;
    assert!(other.contains("--deep-store"), "a node that never had it is told: {other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_a_newer_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("VERSION"), "weir data format 99\n").unwrap();
    let text = refused(settings(dir.path())).await;
    assert!(text.contains("newer version") && text.contains("99"), "{text}");
    assert!(!dir.path().join("catalog.redb").exists(), "nothing was made");
}
