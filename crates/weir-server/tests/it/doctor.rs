//! `weir doctor`: what is well is said to be, what is broken is found, with what to do, and the exit code says which it was.

use crate::{
    process::Process,
    support::{eventually, order, orders},
};
use serde_json::{Value as Json, json};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

fn doctor(controller: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.arg("doctor").args(arguments).env("WEIR_CONTROLLER", controller).env_remove("WEIR_BROKER");
    tokio::task::block_in_place(|| command.stdin(Stdio::null()).output().unwrap())
}

/// The findings as JSON, and the exit code.
fn found(controller: &str, arguments: &[&str]) -> (Vec<Json>, Option<i32>) {
    let output = doctor(controller, &[&["--json"], arguments].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), output.status.code())
}

fn of<'a>(found: &'a [Json], check: &str) -> Vec<&'a Json> {
    found.iter().filter(|finding| finding["check"] == check).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_well_and_one_that_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let uri = format!("file://{}", store.display());
    let node = Process::start(&dir.path().join("data"), &["--deep-store", &uri, "--disk-floor", "0"]);
    let controller = node.controller.base().to_owned();
    let (empty, code) = found(&controller, &[]);
    assert_eq!(code, Some(0), "{empty:?}");
    let checks: Vec<&str> = empty.iter().map(|finding| finding["check"].as_str().unwrap()).collect();
    let order_of = ["node", "version", "clock", "catalog", "deepStore", "disk", "openFiles", "broker", "tables"];
    assert_eq!(checks, order_of, "{empty:?}");
    for check in ["node", "version", "clock", "catalog", "deepStore", "broker"] {
        assert_eq!(of(&empty, check)[0]["grade"], "OK", "{empty:?}");
    }
    assert!(of(&empty, "tables")[0]["remedy"].as_str().unwrap().contains("weir infer"), "{empty:?}");

    node.make(&orders(1)).await;
    let mut bad = order(1, "DE", 1.0);
    bad["id"] = json!("one");
    node.produce("orders", &[order(0, "DE", 1.0), bad]).await;
    eventually("the reject", async || {
        let kept = node.json("/tables/orders/quarantine").await;
        if kept["kept"] == 1 { Ok(()) } else { Err(kept.to_string()) }
    })
    .await;
    node.tell_orders("pauseConsumption").await;
    eventually("the pause", async || {
        let (found, code) = found(&controller, &[]);
        assert_eq!(code, Some(0), "nothing is wrong: {found:?}");
        let states = of(&found, "partitions");
        let paused = states[0]["detail"].as_str().unwrap().contains("1 PAUSED (orders/0)");
        if paused && states[0]["grade"] == "LOOK" { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    let (looked, _) = found(&controller, &["--table", "orders"]);
    let kept = of(&looked, "quarantine")[0];
    assert!(kept["grade"] == "LOOK" && kept["detail"].as_str().unwrap().starts_with("1 records"), "{kept}");
    assert!(kept["remedy"].as_str().unwrap().contains("weir quarantine list orders"), "{kept}");
    assert_eq!((&of(&looked, "streams")[0]["grade"], &of(&looked, "skips")[0]["grade"]), (&json!("OK"), &json!("OK")));

    // A deep store whose folder is gone: looking does not make it again. Then an empty one is in its place.
    let lacks = |what: &str| {
        let (found, code) = found(&controller, &["--table", "orders"]);
        let deep = of(&found, "deepStore")[0];
        assert!(code == Some(1) && deep["grade"] == "WRONG", "{found:?}");
        assert!(deep["detail"].as_str().unwrap().contains(what), "{deep}");
    };
    std::fs::remove_dir_all(&store).unwrap();
    lacks("its folder is gone");
    assert!(!store.exists(), "the probe made the folder");
    std::fs::create_dir(&store).unwrap();
    lacks(".weir-owner");
    assert_eq!(std::fs::read_dir(&store).unwrap().count(), 0, "the probe wrote into another folder");

    // A deep store that takes nothing: a file stands where its folder was.
    std::fs::remove_dir(&store).unwrap();
    std::fs::write(&store, "no folder").unwrap();
    let output = doctor(&controller, &[]);
    let (out, words) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{out}{words}");
    assert!(out.lines().any(|line| line.starts_with("WRONG  deepStore") && line.contains(&uri)), "{out}");
    assert!(out.contains("segments stay on this node"), "{out}");
    assert!(words.contains("1 wrong, "), "{words}");

    let (absent, code) = found(&controller, &["--table", "nope"]);
    assert!(code == Some(1) && of(&absent, "table")[0]["detail"].as_str().unwrap().contains("nope"), "{absent:?}");
    node.kill();
    let (away, code) = found(&controller, &[]);
    assert!(code == Some(1) && away.len() == 1 && away[0]["check"] == "node", "{away:?}");
    assert!(away[0]["remedy"].as_str().unwrap().contains("weir start"), "{away:?}");
}

impl crate::support::Api {
    async fn tell_orders(&self, what: &str) {
        let answer = self.post(&format!("/tables/orders/{what}"), &Json::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_that_are_lost_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let (data, store) = (dir.path().join("data"), dir.path().join("store"));
    let uri = format!("file://{}", store.display());
    let start = || Process::start(&data, &["--deep-store", &uri, "--disk-floor", "0"]);
    let node = start();
    node.make(&orders(1)).await;
    for id in 0..2 {
        node.produce("orders", &[order(id, "DE", 1.0)]).await;
        node.wait_for_rows("SELECT COUNT(*) FROM orders", &json!([[id + 1]])).await;
        node.commit("orders").await;
    }
    let listed = node.rows("SELECT segment FROM system.segments WHERE state = 'DONE' ORDER BY segment").await;
    let (well, code) = found(node.controller.base(), &[]);
    assert!(code == Some(0) && of(&well, "segments")[0]["grade"] == "OK", "{well:?}");

    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|row| row[0].as_str().unwrap()).collect();
    assert_eq!(names.len(), 2, "{listed}");
    let of_segment = |path: &PathBuf| names.iter().any(|name| path.to_string_lossy().contains(name));
    for folder in [&data.join("tables"), &store] {
        let lost: Vec<PathBuf> = files(folder).into_iter().filter(of_segment).collect();
        assert!(lost.len() >= 2, "{lost:?}");
        lost.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    }
    // Nobody asked for their rows since then: the files alone tell.
    let (unasked, code) = found(node.controller.base(), &[]);
    let segments = of(&unasked, "segments");
    let detail = segments[0]["detail"].as_str().unwrap();
    assert!(code == Some(1) && segments[0]["grade"] == "WRONG", "{unasked:?}");
    assert!(detail.starts_with("committed segments that neither the deep store nor this node has: 2: "), "{detail}");
    node.kill();
    let node = start();
    eventually("the lack of rows", async || {
        let answer = node.ask("SELECT SUM(id) FROM orders").await;
        if answer["exceptions"][0]["errorCode"] == 305 { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
    let (lost, code) = found(node.controller.base(), &[]);
    let segments = of(&lost, "segments");
    assert!(code == Some(1) && segments.len() == 1, "{lost:?}");
    let detail = segments[0]["detail"].as_str().unwrap();
    assert!(segments[0]["grade"] == "WRONG" && segments[0]["subject"] == "orders", "{lost:?}");
    assert!(detail.starts_with("committed segments that cannot be read: 2: "), "{detail}");
    assert!(names.iter().all(|name| detail.contains(name)), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_says_nothing_is_not_waited_for() {
    // It takes connections, as the system does for it, and nobody reads them.
    let hung = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", hung.local_addr().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"), &["--disk-floor", "0"]);
    let begun = std::time::Instant::now();
    let (away, code) = found(&silent, &[]);
    assert!(code == Some(1) && away.len() == 1, "{away:?}");
    let (dumb, code) = found(node.controller.base(), &["--broker", &silent]);
    assert!(code == Some(1) && of(&dumb, "node")[0]["grade"] == "OK", "{dumb:?}");
    for finding in [of(&away, "node")[0], of(&dumb, "broker")[0]] {
        let told = finding["detail"].as_str().unwrap().contains("no answer within 10 s");
        assert!(finding["grade"] == "WRONG" && told, "{finding}");
    }
    assert!(!of(&dumb, "tables").is_empty(), "what comes after the broker is looked at: {dumb:?}");
    // Ten seconds each, and room for a slow machine.
    assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:?}", begun.elapsed());
}

/// How long the streams of each table take to be asked.
const STREAMS_TAKE: std::time::Duration = std::time::Duration::from_secs(3);

/// A node of seven tables whose broker takes its time.
async fn slow_streams(path: axum::http::Uri) -> axum::Json<Json> {
    if path.path() == "/tableConfigs/validate" {
        tokio::time::sleep(STREAMS_TAKE).await;
    }
    let names: Vec<String> = (0..7).map(|number| format!("t{number}")).collect();
    axum::Json(if path.path() == "/tables" { json!({"tables": names}) } else { json!({}) })
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_a_slow_broker_are_looked_at_together() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let controller = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(axum::serve(listener, axum::Router::new().fallback(slow_streams)).into_future());
    let begun = std::time::Instant::now();
    let (all, _) = found(&controller, &["--broker", &controller]);
    let took = begun.elapsed();
    serving.abort();
    let subjects: Vec<&str> = of(&all, "streams").iter().map(|one| one["subject"].as_str().unwrap()).collect();
    assert_eq!(subjects, ["t0", "t1", "t2", "t3", "t4", "t5", "t6"], "{all:?}");
    assert!(took > STREAMS_TAKE && took < STREAMS_TAKE * 4, "one after the other takes 21 s: {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_nothing_but_rejects_or_defaults_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"), &["--disk-floor", "0"]);
    let controller = node.controller.base().to_owned();
    node.make(&orders(1)).await;
    node.produce("orders", &[json!({"id": "one"}), json!({"id": "two"}), json!({"id": 3, "amount": "much"})]).await;
    eventually("the rejects", async || {
        let kept = node.json("/tables/orders/quarantine").await;
        if kept["kept"] == 3 { Ok(()) } else { Err(kept.to_string()) }
    })
    .await;
    let (all, code) = found(&controller, &["--table", "orders"]);
    let records = of(&all, "records");
    assert!(code == Some(1) && records.len() == 1 && records[0]["grade"] == "WRONG", "{all:?}");
    let detail = records[0]["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("all 3 messages that could have been rows were rejected; of the newest, 2 "),
        "{detail}"
    );
    assert!(detail.contains("orders/0@0: DATA_TYPE column id: "), "{detail}");

    let mut second = orders(1);
    for name in ["/tableName", "/schema/schemaName", "/realtime/tableName"] {
        *second.pointer_mut(name).unwrap() = json!("second");
    }
    let map = "/realtime/ingestionConfig/streamIngestionConfig/streamConfigMaps/0/stream.local.topic.name";
    *second.pointer_mut(map).unwrap() = json!("second");
    node.make(&second).await;
    node.produce("second", &[json!({"ID": 1, "Country": "DE"})]).await;
    node.wait_for_rows("SELECT COUNT(*) FROM second", &json!([[1]])).await;
    let (all, _) = found(&controller, &["--table", "second"]);
    let columns = of(&all, "columns");
    assert!(columns.len() == 1 && columns[0]["grade"] == "LOOK", "{all:?}");
    assert!(columns[0]["detail"].as_str().unwrap().contains("id could be ID, country could be Country"), "{columns:?}");
}

fn write(file: &Path, document: &Json) -> String {
    std::fs::write(file, document.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_is_looked_at_before_there_is_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"), &["--disk-floor", "0"]);
    let controller = node.controller.base().to_owned();
    node.make(&orders(1)).await;
    node.produce("orders", &[order(0, "DE", 1.0), json!({"id": "x"})]).await;
    let mut second = orders(1);
    for name in ["/tableName", "/schema/schemaName", "/realtime/tableName"] {
        *second.pointer_mut(name).unwrap() = json!("second");
    }
    second["realtime"]["strange"] = json!(1);
    let file = dir.path().join("t.json");
    let name = write(&file, &second);
    let (good, code) = found(&controller, &["--config", &name]);
    assert_eq!(code, Some(0), "{good:?}");
    assert!(of(&good, "config").iter().any(|one| one["detail"].as_str().unwrap().contains("/realtime/strange")));
    let records = of(&good, "records")[0];
    assert!(
        records["grade"] == "LOOK" && records["detail"].as_str().unwrap().contains("1 would be rejected"),
        "{good:?}"
    );
    assert!(of(&good, "partitions").is_empty(), "tables that are there are not looked at");

    // A registry that is away, a pattern that finds nothing, a broker that is not there, a value that is wrong.
    let stream = "/realtime/ingestionConfig/streamIngestionConfig/streamConfigMaps/0";
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = format!("127.0.0.1:{port}");
    let changed = |change: &dyn Fn(&mut Json)| {
        let mut document = second.clone();
        change(document.pointer_mut(stream).unwrap());
        document
    };
    let registry = changed(&|map| {
        map["stream.local.decoder.class.name"] = json!("avro-confluent");
        map["stream.local.decoder.prop.schema.registry.rest.url"] = json!(format!("http://{nobody}"));
    });
    let broker = changed(&|map| {
        *map = json!({
            "streamType": "kafka", "stream.kafka.topic.name": "t", "stream.kafka.broker.list": nobody,
            "stream.kafka.decoder.class.name": "json",
        });
    });
    let wrong = changed(&|map| map["realtime.segment.flush.threshold.time"] = json!("soon"));
    for (document, check, said) in
        [(registry, "streams", "schema registry"), (broker, "streams", "step TCP"), (wrong, "config", "soon")]
    {
        let (found, code) = found(&controller, &["--config", &write(&file, &document)]);
        assert_eq!(code, Some(1), "{found:?}");
        let told = of(&found, check);
        assert!(
            told.iter().any(|one| one["grade"] == "WRONG" && one["detail"].as_str().unwrap().contains(said)),
            "{found:?}"
        );
    }
    let pattern = changed(&|map| {
        let map = map.as_object_mut().unwrap();
        map.remove("stream.local.topic.name");
        map.insert("stream.local.topic.pattern".to_owned(), json!("nothing-.*"));
    });
    let (found, code) = found(&controller, &["--config", &write(&file, &pattern)]);
    assert_eq!(code, Some(0), "{found:?}");
    let odd = of(&found, "streams");
    assert!(
        odd.iter().any(|one| one["grade"] == "LOOK" && one["detail"].as_str().unwrap().contains("nothing-.*")),
        "{found:?}"
    );
}
