//! A table whose decoder and function are WebAssembly components: records of the built-in log become right rows.

use crate::process::Process;
use serde_json::{Value as Json, json};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The components of `examples/wasm-parts`.
fn built() -> PathBuf {
    let (tmp, here) = (Path::new(env!("CARGO_TARGET_TMPDIR")), Path::new(env!("CARGO_MANIFEST_DIR")));
    let folder = tmp.join("parts-of-a-node");
    let mut build = Command::new(here.join("../../examples/wasm-parts/build.sh"));
    let built = build.arg(&folder).env("CARGO_TARGET_DIR", tmp.join("wasm-parts")).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    folder
}

fn payments(separator: &str) -> Json {
    let field = |name: &str, data_type: &str| json!({"name": name, "dataType": data_type});
    let mut tags = field("tag", "STRING");
    tags["singleValueField"] = json!(false);
    json!({
        "tableName": "payments",
        "schema": {
            "schemaName": "payments",
            "dimensionFieldSpecs": [field("user", "STRING"), field("masked", "STRING"), tags],
            "metricFieldSpecs": [field("amount", "DOUBLE")],
            "dateTimeFieldSpecs": [
                {"name": "ts", "dataType": "LONG", "format": "1:MILLISECONDS:EPOCH", "granularity": "1:MILLISECONDS"},
            ],
        },
        "realtime": {
            "tableName": "payments",
            "tableType": "REALTIME",
            "segmentsConfig": {"timeColumnName": "ts", "replication": "1", "schemaName": "payments"},
            "tenants": {},
            "tableIndexConfig": {"loadMode": "MMAP"},
            "ingestionConfig": {
                "transformConfigs": [{"columnName": "masked", "transformFunction": "maskCard(card)"}],
                "streamIngestionConfig": {"streamConfigMaps": [{
                    "streamType": "local",
                    "stream.local.topic.name": "payments",
                    "stream.local.decoder.class.name": "pairs",
                    "stream.local.decoder.prop.separator": separator,
                    "stream.local.consumer.prop.auto.offset.reset": "smallest",
                }]},
            },
            "metadata": {},
        },
    })
}

fn line(n: u64) -> String {
    format!("ts={} user=u{n} amount={n}.5 tag=a,b card=400000000000{n:04}", 1_767_225_600_000 + n)
}

async fn produce(node: &Process, lines: impl Iterator<Item = String>) {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let records: Vec<Json> = lines.map(|line| json!({ "value": STANDARD.encode(line) })).collect();
    let body = serde_json::to_vec(&json!({ "records": records })).unwrap();
    let headers = [("content-type", "application/vnd.kafka.binary.v2+json")];
    let answer = node.controller.send(hyper::Method::POST, "/topics/payments", &headers, body.into()).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_reads_through_components() {
    let place = tempfile::tempdir().unwrap();
    let (parts, data) = (built(), place.path().join("data"));
    let parts = ["--parts-dir", parts.to_str().unwrap()];
    let node = Process::start(&data, &parts);

    let answer = node.post("/tableConfigs", &payments("==")).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("separator cannot be '=='"), "{}", answer.text());
    node.make(&payments("=")).await;
    produce(&node, (0..500).map(line)).await;
    produce(&node, ["broken".to_owned()].into_iter().chain((500..1000).map(line))).await;
    node.wait_for_rows("SELECT COUNT(*), SUM(amount) FROM payments", &json!([[1000, 500_000.0]])).await;
    let one = "SELECT \"user\", masked, maskCard('4111111111111111'), mask_card(masked), arrayLength(tag) FROM payments \
               WHERE \"user\" = 'u7'";
    assert_eq!(node.rows(one).await, json!([["u7", "************0007", "************1111", "************0007", 2]]));
    let last =
        "SELECT maskCard(\"user\"), COUNT(*) FROM payments WHERE maskCard(masked) LIKE '%99' GROUP BY 1 ORDER BY 1";
    assert_eq!(node.rows(last).await.as_array().unwrap().len(), 10);
    let rejected = "SELECT stage, reason FROM system.quarantine WHERE \"table\" = 'payments'";
    node.wait_for_rows(rejected, &json!([["DECODE", "'broken' has no '='"]])).await;
    node.kill();

    // Killed and started again it goes on where it was.
    let node = Process::start(&data, &parts);
    produce(&node, (1000..1010).map(line)).await;
    node.wait_for_rows("SELECT COUNT(*), MAX(amount) FROM payments", &json!([[1010, 1009.5]])).await;
    node.commit("payments").await;
    node.kill();

    // Without the parts it does not start, and says what its tables lack.
    let told = ends_with(1, &mut Process::command(&data));
    assert!(told.contains("maskCard"), "{told}");
}

fn ends_with(code: i32, command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let told = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(code), "{told}");
    told
}

#[test]
fn a_part_that_cannot_be_loaded_ends_the_process_at_once() {
    let place = tempfile::tempdir().unwrap();
    let (parts, data) = (place.path().join("parts"), place.path().join("data"));
    std::fs::create_dir(&parts).unwrap();
    let start = || {
        let mut command = Process::command(&data);
        command.arg("--parts-dir").arg(&parts);
        command
    };
    std::fs::write(parts.join("odd.wasm"), "text").unwrap();
    let told = ends_with(2, &mut start());
    assert!(told.contains("odd.wasm: it is no component"), "{told}");
    std::fs::remove_file(parts.join("odd.wasm")).unwrap();

    std::fs::copy(built().join("pairs.wasm"), parts.join("json.wasm")).unwrap();
    let told = ends_with(2, &mut start());
    assert!(told.contains("a decoder named 'json' is there already"), "{told}");
    assert!(!data.exists(), "nothing is made before parts are there");

    let told = ends_with(2, Process::command(&data).env("WEIR_PARTS_DIR", place.path().join("absent")));
    assert!(told.contains("absent cannot be read"), "{told}");
}

#[test]
fn a_config_is_checked_with_the_parts_that_it_names() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("payments.json");
    std::fs::write(&file, payments("=").to_string()).unwrap();
    let check = |parts: Option<&Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.env_remove("WEIR_PARTS_DIR").arg("check").arg(&file);
        if let Some(parts) = parts {
            command.arg("--parts-dir").arg(parts);
        }
        let Output { status, stdout, stderr } = command.output().unwrap();
        (status.code(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
    };
    let (code, told) = check(Some(&built()));
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = check(None);
    assert!(code == Some(1) && told.contains("pairs"), "{told}");
}
