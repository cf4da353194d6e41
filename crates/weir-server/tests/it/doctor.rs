//! `weir doctor`: what is well is said to be, what is broken is found, with what to do, and the exit code says which it was.

use crate::{
    process::Process,
    support::{eventually, order, orders},
};
use serde_json::{Value as Json, json};
use std::{
    path::Path,
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

    // A deep store that takes nothing: a file stands where its folder was.
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::write(&store, "no folder").unwrap();
    let output = doctor(&controller, &[]);
    let (out, words) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{out}{words}");
    assert!(out.lines().any(|line| line.starts_with("WRONG  deepStore") && line.contains(&uri)), "{out}");
    assert!(out.contains("-> segments stay on this node"), "{out}");
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
