//! Files and folders that somebody takes away under a node at work: a deep store's folder, a segment that waits for its upload,
//! the end of the local log.

use crate::support::{TestNode, eventually, order, orders};
use serde_json::{Value as Json, json};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

async fn put(node: &TestNode, ids: std::ops::Range<i64>) {
    for id in ids {
        node.produce("orders", &[order(id, "DE", 1.0)]).await;
    }
}

async fn seal(node: &TestNode) {
    let answer = node.post("/tables/orders/forceCommit", &Json::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// The last error of the segment that waits, where there is one.
async fn waits(node: &TestNode) -> Result<String, String> {
    let told = node.rows("SELECT lastError FROM system.segments WHERE state = 'COMMITTING'").await;
    told[0][0].as_str().filter(|text| !text.is_empty()).map(str::to_owned).ok_or_else(|| told.to_string())
}

async fn until_done(node: &TestNode, segments: u64) {
    let states = "SELECT state, COUNT(*) FROM system.segments GROUP BY state ORDER BY state";
    node.wait_for_rows(states, &json!([["CONSUMING", 1], ["DONE", segments]])).await;
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return vec![] };
    let below = entries.map(|entry| entry.unwrap().path()).flat_map(|path| match path.is_dir() {
        true => files(&path, ending),
        false => vec![path],
    });
    below.filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_store_whose_disk_is_gone_is_not_made_anew() {
    let node = TestNode::start().await;
    node.make(&orders(1)).await;
    put(&node, 0..2).await;
    node.wait_for_rows("SELECT COUNT(*) FROM orders", &json!([[2]])).await;
    node.commit("orders").await;
    let store = node.server.node.settings().data_dir.join("deep-store");
    let away = store.with_extension("away");
    std::fs::rename(&store, &away).unwrap();
    put(&node, 2..4).await;
    node.wait_for_rows("SELECT COUNT(*) FROM orders", &json!([[4]])).await;
    seal(&node).await;
    let why = eventually("the refusal", async || waits(&node).await).await;
    for says in [store.to_str().unwrap(), ".weir-owner is gone", "mount it again"] {
        assert!(why.contains(says), "{says}: {why}");
    }
    assert!(!store.exists(), "the folder was made anew");
    // The folder below the mount is an empty one.
    std::fs::create_dir(&store).unwrap();
    put(&node, 4..6).await;
    node.wait_for_rows("SELECT COUNT(*), SUM(id) FROM orders", &json!([[6, 15.0]])).await;
    let gone = async || {
        let checks = node.json("/checks").await;
        let all = checks["checks"].as_array().unwrap();
        let deep = all.iter().find(|check| check["check"] == "deepStore").unwrap().clone();
        (deep["grade"].clone(), deep.to_string())
    };
    let (grade, told) = gone().await;
    assert!(grade == "WRONG" && told.contains("mounted") && told.contains("Mount its disk again"), "{told}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(std::fs::read_dir(&store).unwrap().count(), 0, "nothing is written into another folder");
    // Nor by a start of the node that finds it so: the machine came up without the disk.
    let node = node.restarted().await;
    node.wait_for_rows("SELECT COUNT(*), SUM(id) FROM orders", &json!([[6, 15.0]])).await;
    let why = eventually("the refusal", async || waits(&node).await).await;
    assert!(why.contains(".weir-owner is gone"), "{why}");
    assert_eq!(std::fs::read_dir(&store).unwrap().count(), 0, "nothing is written into another folder");
    // It is back: nothing has to be told.
    std::fs::remove_dir(&store).unwrap();
    std::fs::rename(&away, &store).unwrap();
    until_done(&node, 2).await;
    let checks = node.json("/checks").await.to_string();
    assert!(!checks.contains(".weir-owner"), "{checks}");
    assert_eq!(files(&store, ".weir").len(), 2);
    let node = node.restarted().await;
    node.wait_for_rows("SELECT COUNT(*), SUM(id) FROM orders", &json!([[6, 15.0]])).await;
    // Lost for good, and somebody says so: it is made anew.
    let data = node.server.node.settings().data_dir.clone();
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::remove_file(data.join("deep-store.mark")).unwrap();
    let node = node.restarted().await;
    node.commit("orders").await;
    put(&node, 6..7).await;
    node.wait_for_rows("SELECT COUNT(*) FROM orders", &json!([[7]])).await;
    node.commit("orders").await;
    assert!(!files(&store, ".weir").is_empty());
    node.server.stop().await;
}

async fn damaged_before_its_upload(damage: impl Fn(&std::fs::File)) {
    let node = TestNode::start().await;
    node.make(&orders(1)).await;
    let data = node.server.node.settings().data_dir.clone();
    let (store, away) = (data.join("deep-store"), data.join("away"));
    std::fs::rename(&store, &away).unwrap();
    put(&node, 0..20).await;
    node.wait_for_rows("SELECT COUNT(*) FROM orders", &json!([[20]])).await;
    seal(&node).await;
    eventually("an upload that fails", async || waits(&node).await).await;
    let built = files(&data.join("tables"), ".weir");
    assert_eq!(built.len(), 1, "{built:?}");
    damage(&std::fs::OpenOptions::new().read(true).write(true).open(&built[0]).unwrap());
    std::fs::rename(&away, &store).unwrap();
    // Nobody reads rows: the upload finds it by itself.
    until_done(&node, 1).await;
    assert_eq!(files(&data.join("tables"), ".weir.damaged").len(), 1, "what was damaged is put aside");
    node.wait_for_rows("SELECT COUNT(*), SUM(id) FROM orders", &json!([[20, 190.0]])).await;
    // What the deep store has is whole.
    for local in files(&data.join("tables"), ".weir") {
        std::fs::remove_file(local).unwrap();
    }
    let node = node.restarted().await;
    node.wait_for_rows("SELECT COUNT(*), SUM(id) FROM orders", &json!([[20, 190.0]])).await;
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_is_cut_before_its_upload_is_made_again() {
    damaged_before_its_upload(|file| file.set_len(100).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_is_bent_before_its_upload_is_made_again() {
    damaged_before_its_upload(bend).await;
}

/// Another byte in the middle of a file.
fn bend(file: &std::fs::File) {
    use std::os::unix::fs::FileExt;
    let (middle, mut byte) = (file.metadata().unwrap().len() / 2, [0]);
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], middle).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_is_bent_while_it_is_open_gets_its_indexes_from_its_object() {
    let node = TestNode::start().await;
    node.make(&orders(1)).await;
    // In no order: a sorted column needs no index.
    let messages: Vec<Json> = (0..200).map(|id| order(id * 37 % 200, "DE", 1.0)).collect();
    node.produce("orders", &messages).await;
    let all = async |node: &TestNode| {
        node.wait_for_rows("SELECT COUNT(*), SUM(id) FROM orders", &json!([[200, 19900.0]])).await;
        node.rows("SELECT * FROM orders ORDER BY id LIMIT 300").await
    };
    all(&node).await;
    node.commit("orders").await;
    let before = all(&node).await;
    let data = node.server.node.settings().data_dir.clone();
    let local = files(&data.join("tables"), ".weir");
    assert_eq!(local.len(), 1, "{local:?}");
    bend(&std::fs::OpenOptions::new().read(true).write(true).open(&local[0]).unwrap());
    let mut changed = orders(1);
    changed["realtime"]["tableIndexConfig"] = json!({"invertedIndexColumns": ["id"]});
    let answer = node.send(hyper::Method::PUT, "/tableConfigs/orders", &changed).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    eventually("the index", async || {
        let answer = node.ask("SELECT COUNT(*) FROM orders WHERE id = 77").await;
        assert_eq!(answer["resultTable"]["rows"], json!([[1]]), "{answer}");
        if answer["numEntriesScannedInFilter"] == 0 { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
    assert_eq!(all(&node).await, before);
    assert_eq!(files(&data.join("tables"), ".weir.damaged").len(), 1, "what was bent is put aside");
    for local in files(&data.join("tables"), ".weir") {
        std::fs::remove_file(local).unwrap();
    }
    let node = node.restarted().await;
    assert_eq!(all(&node).await, before, "the deep store has the right rows too");
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_off_the_local_log_is_told_and_passed_over() {
    let node = TestNode::start().await;
    node.make(&orders(1)).await;
    put(&node, 0..3).await;
    node.wait_for_rows("SELECT COUNT(*) FROM orders", &json!([[3]])).await;
    assert_eq!(node.post("/tables/orders/pauseConsumption", &Json::Null).await.status, 200);
    eventually("the pause", async || {
        let state = node.json("/tables/orders/partitions").await[0]["state"].clone();
        if state == "PAUSED" { Ok(()) } else { Err(state.to_string()) }
    })
    .await;
    put(&node, 3..10).await;
    let log = files(&node.server.node.settings().data_dir.join("log"), ".log");
    assert_eq!(log.len(), 1, "{log:?}");
    let file = std::fs::OpenOptions::new().write(true).open(&log[0]).unwrap();
    file.set_len(file.metadata().unwrap().len() - 10).unwrap();
    // Writing goes on behind what was given out.
    let placed = node.produce("orders", &[order(10, "DE", 1.0)]).await;
    assert_eq!(placed["offsets"][0]["offset"], 10, "{placed}");
    assert_eq!(node.post("/tables/orders/resumeConsumption", &Json::Null).await.status, 200);
    let reason = eventually("the halt", async || {
        let partition = node.json("/tables/orders/partitions").await[0].clone();
        if partition["state"] == "HALTED" { Ok(partition["reason"].to_string()) } else { Err(partition.to_string()) }
    })
    .await;
    assert!(reason.contains("offsets [9, 10) of orders/0 are lost") && reason.contains(".log was cut to"), "{reason}");
    node.wait_for_rows("SELECT COUNT(*), MAX(id) FROM orders", &json!([[9, 8.0]])).await;
    // The remedy as it is told.
    let (from, to) = (reason.find("{\\\"consumeFrom").unwrap(), reason.find("}}}").unwrap() + 3);
    let body: Json = serde_json::from_str(&reason[from..to].replace('\\', "")).unwrap();
    let resumed = node.post("/tables/orders/resumeConsumption", &body).await;
    assert_eq!(resumed.status, 200, "{}", resumed.text());
    node.wait_for_rows("SELECT COUNT(*), MAX(id) FROM orders", &json!([[10, 10.0]])).await;
    let skips = node.json("/tables/orders/skips").await;
    assert_eq!((&skips[0]["fromOffset"], &skips[0]["toOffset"]), (&json!(9), &json!(10)), "{skips}");
    let node = node.restarted().await;
    put(&node, 11..12).await;
    node.wait_for_rows("SELECT COUNT(*), MAX(id) FROM orders", &json!([[11, 11.0]])).await;
    node.server.stop().await;
}
