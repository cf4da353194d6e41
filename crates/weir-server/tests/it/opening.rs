//! Committed segments on the disk and in the deep store: shown from their records when a node starts, opened when they are
//! asked for, fetched where they are lost or damaged, given up where the disk is short of room.

use crate::{
    process::Process,
    support::{Api, TestNode, eventually, orders},
};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use weir_ingest::DiskFloor;
use weir_server::NodeSettings;

const SEGMENTS: i64 = 30;
/// Rows of a segment.
const ROWS: i64 = 20;
const COUNT: &str = "SELECT COUNT(*) FROM orders";
/// Needs the files of all segments.
const SUM: &str = "SELECT SUM(id), COUNT(DISTINCT id) FROM orders WHERE country <> 'nowhere'";

fn sum(rows: i64) -> Json {
    json!([[(rows * (rows - 1) / 2) as f64, rows]])
}

/// Gives a node so many committed segments, and no row that is in none.
async fn fill(node: &Api) {
    let mut document = orders(1);
    let stream = "/realtime/ingestionConfig/streamIngestionConfig/streamConfigMaps/0";
    document.pointer_mut(stream).unwrap()["realtime.segment.flush.threshold.segment.rows"] = json!(ROWS.to_string());
    node.make(&document).await;
    let order = |id: i64| json!({"id": id, "country": "DE", "amount": 1.0, "ts": 1_767_225_600_000_i64 + id * 1000});
    let values: Vec<Json> = (0..SEGMENTS * ROWS).map(order).collect();
    node.produce("orders", &values).await;
    node.wait_for_rows(COUNT, &json!([[SEGMENTS * ROWS]])).await;
    node.wait_for_rows("SELECT COUNT(*) FROM system.segments WHERE state = 'DONE'", &json!([[SEGMENTS]])).await;
}

/// The local files of committed segments, by name.
fn files(data: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for table in std::fs::read_dir(data.join("tables")).unwrap() {
        let Ok(entries) = std::fs::read_dir(table.unwrap().path().join("segments")) else { continue };
        let files = entries.map(|entry| entry.unwrap().path());
        found.extend(files.filter(|file| file.extension().is_some_and(|kind| kind == "weir")));
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_answers_from_records_and_says_what_it_cannot_have() {
    let dir = tempfile::tempdir().unwrap();
    let (data, store) = (dir.path().join("data"), dir.path().join("store"));
    let uri = format!("file://{}", store.display());
    let start = || Process::start(&data, &["--deep-store", &uri]);
    let node = start();
    fill(&node).await;
    node.kill();
    // Some copies are lost, one is bent, and the deep store is away.
    let copies = files(&data);
    assert_eq!(copies.len() as i64, SEGMENTS);
    copies.iter().skip(1).step_by(2).for_each(|copy| std::fs::remove_file(copy).unwrap());
    let mut bent = std::fs::read(&copies[0]).unwrap();
    let at = bent.len() / 2;
    bent[at] ^= 1;
    std::fs::write(&copies[0], bent).unwrap();
    let aside = dir.path().join("aside");
    std::fs::rename(&store, &aside).unwrap();
    std::fs::write(&store, "").unwrap();

    let node = start();
    // Nothing has been waited for. What is found lost meanwhile is said beside it.
    let counted = node.ask(COUNT).await;
    assert_eq!(counted["resultTable"]["rows"], json!([[SEGMENTS * ROWS]]), "{counted}");
    let hidden = "SELECT id FROM orders WHERE ts > 1900000000000";
    assert_eq!(node.rows(hidden).await, json!([]), "their times say it");
    let answer = node.ask(SUM).await;
    let exceptions = answer["exceptions"].as_array().unwrap();
    assert_eq!(exceptions.len() as i64, SEGMENTS / 2 + 1, "{answer}");
    assert!(exceptions.iter().all(|exception| exception["errorCode"] == 305), "{answer}");
    assert_eq!(answer["partialResult"], json!(true), "{answer}");
    let held = SEGMENTS / 2 - 1;
    assert_eq!(answer["resultTable"]["rows"][0][1], json!(held * ROWS), "{answer}");
    // And so does all else that tells of segments.
    let lacking = node.rows("SELECT COUNT(*) FROM system.segments WHERE lastError IS NOT NULL").await;
    assert_eq!(lacking, json!([[SEGMENTS / 2 + 1]]));
    let view = node.json("/tables/orders/externalview").await;
    let offline = view["REALTIME"].as_object().unwrap().values();
    let offline = offline.filter(|instances| instances.as_object().unwrap().values().any(|word| word == "OFFLINE"));
    assert_eq!(offline.count() as i64, SEGMENTS / 2 + 1, "{view}");

    // It is back: nobody has to do anything.
    std::fs::remove_file(&store).unwrap();
    std::fs::rename(&aside, &store).unwrap();
    node.wait_for_rows(SUM, &sum(SEGMENTS * ROWS)).await;
    node.wait_for_rows("SELECT COUNT(*) FROM system.segments WHERE lastError IS NOT NULL", &json!([[0]])).await;
    assert_eq!(files(&data), copies);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_query_finds_a_damaged_copy_and_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(dir.path(), &[]);
    fill(&node).await;
    node.kill();
    let copies = files(dir.path());
    let whole = std::fs::read(&copies[7]).unwrap();
    for (at, copy) in copies.iter().enumerate() {
        match at % 3 {
            0 => std::fs::write(copy, &std::fs::read(copy).unwrap()[..100]).unwrap(),
            1 => std::fs::write(copy, "").unwrap(),
            _ => {}
        }
    }
    let node = Process::start(dir.path(), &[]);
    assert_eq!(node.rows(SUM).await, sum(SEGMENTS * ROWS));
    assert_eq!(std::fs::read(&copies[7]).unwrap(), whole, "it is whole again");
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_floor_copies_go_and_answers_stay_right() {
    let floor = DiskFloor::Bytes(1 << 60);
    let node = TestNode::start_changed(|settings| NodeSettings { disk_floor: floor, ..settings }).await;
    fill(&node).await;
    let data = node.server.node.settings().absolute_data_dir();
    // No disk is that large: every copy goes, as soon as it is uploaded.
    eventually("no copy is left", async || match files(&data).len() {
        0 => Ok(()),
        left => Err(format!("{left} copies")),
    })
    .await;
    assert_eq!(node.rows(COUNT).await, json!([[SEGMENTS * ROWS]]));
    assert_eq!(node.rows(SUM).await, sum(SEGMENTS * ROWS), "a query fetches what it needs");
    // Reading goes on, and so does sealing.
    let more: Vec<Json> =
        (SEGMENTS * ROWS..(SEGMENTS + 2) * ROWS).map(|id| json!({"id": id, "country": "DE"})).collect();
    node.produce("orders", &more).await;
    node.wait_for_rows(SUM, &sum((SEGMENTS + 2) * ROWS)).await;
    node.wait_for_rows("SELECT COUNT(*) FROM system.segments WHERE state = 'DONE'", &json!([[SEGMENTS + 2]])).await;
    let metrics = node.get("/metrics").await.text();
    let value = |start: &str| {
        let line = metrics.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {metrics}"));
        line.rsplit(' ').next().unwrap().parse::<i64>().unwrap()
    };
    assert!(value("weir_local_copies_evicted_total{table=\"orders\"}") >= SEGMENTS);
    assert!(value("weir_segments_fetched") > 0 && value("weir_disk_free_bytes") > 0);
    assert_eq!(value("weir_disk_floor_bytes"), 1 << 60);
    node.server.stop().await;
}
