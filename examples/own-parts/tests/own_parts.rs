//! A node of the template's binary: lines of files come through its connector, decoder and function into right answers.
#![expect(clippy::unwrap_used, reason = "what fails here is what the test is for")]

use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

struct Node {
    child: Child,
    controller: String,
    broker: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Node {
    fn start(data: &std::path::Path) -> Self {
        let (controller, broker) = (free_port(), free_port());
        let mut child = Command::new(env!("CARGO_BIN_EXE_own-parts"))
            .args(["start", "--controller-port", &controller.to_string(), "--broker-port", &broker.to_string()])
            .arg("--data-dir")
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let node = Self { child, controller: url(controller), broker: url(broker) };
        assert!(said.lines().map_while(Result::ok).any(|line| line.trim() == "ready"), "it ended before it was ready");
        node
    }

    fn post(&self, url: &str, body: &Value) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.post(url).send(body.to_string()).unwrap();
        (answer.status().as_u16(), serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap())
    }

    fn rows(&self, sql: &str) -> Value {
        let (_, answer) = self.post(&format!("{}/query/sql", self.broker), &json!({ "sql": sql }));
        assert_eq!(answer["exceptions"], json!([]), "{sql}");
        answer["resultTable"]["rows"].clone()
    }

    fn until(&self, sql: &str, expected: &Value) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.rows(sql) != *expected {
            assert!(Instant::now() < deadline, "{sql}: {} in place of {expected}", self.rows(sql));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn configs(folder: &std::path::Path, separator: &str) -> Value {
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
                    "streamType": "files",
                    "stream.files.topic.name": "payments",
                    "stream.files.prop.folder": folder,
                    "stream.files.decoder.class.name": "pairs",
                    "stream.files.decoder.prop.separator": separator,
                    "stream.files.consumer.prop.auto.offset.reset": "smallest",
                }]},
            },
            "metadata": {},
        },
    })
}

#[test]
fn parts_of_its_own_are_parts_like_others() {
    let place = tempfile::tempdir().unwrap();
    let (data, folder) = (place.path().join("data"), place.path().join("topics"));
    let topic = folder.join("payments");
    fs::create_dir_all(&topic).unwrap();
    let line =
        |n: u64| format!("ts={} user=u{n} amount={n}.5 tag=a,b card=400000000000{n:04}\n", 1_767_225_600_000 + n);
    let mut first = (0..1000).map(line).collect::<String>();
    first.insert_str(first.find("ts=1767225600500").unwrap(), "broken\n");
    fs::write(topic.join("0.log"), first).unwrap();
    fs::write(topic.join("1.log"), line(1000)).unwrap();

    let node = Node::start(&data);
    let tables = format!("{}/tableConfigs", node.controller);
    let (status, said) = node.post(&tables, &configs(&folder, "=="));
    assert_eq!(status, 400, "{said}");
    assert!(said["error"].as_str().unwrap().contains("separator cannot be '=='"), "{said}");
    let (status, said) = node.post(&tables, &configs(&folder, "="));
    assert_eq!(status, 200, "{said}");

    node.until("SELECT COUNT(*), SUM(amount) FROM payments", &json!([[1001, 501_000.5]]));
    let one =
        "SELECT \"user\", masked, maskCard('4111111111111111'), arrayLength(tag) FROM payments WHERE \"user\" = 'u7'";
    assert_eq!(node.rows(one), json!([["u7", "************0007", "************1111", 2]]));
    let rejected = "SELECT stage, reason FROM system.quarantine WHERE \"table\" = 'payments'";
    node.until(rejected, &json!([["DECODE", "'broken' has no '='"]]));

    // What is appended is seen; what is not ended by a line's end is not a message yet.
    let mut log = fs::OpenOptions::new().append(true).open(topic.join("1.log")).unwrap();
    log.write_all(format!("{}ts=1 user=half", line(1001)).as_bytes()).unwrap();
    node.until("SELECT COUNT(*) FROM payments", &json!([[1002]]));
    drop(node);

    // Killed and started again it goes on where it was.
    let node = Node::start(&data);
    log.write_all(b" amount=1 card=4000\n").unwrap();
    node.until("SELECT COUNT(*) FROM payments", &json!([[1003]]));
    node.until("SELECT masked FROM payments WHERE \"user\" = 'half'", &json!([["4000"]]));
}

#[test]
fn n01_one_bad_line_in_ten_thousand() {
    let place = tempfile::tempdir().unwrap();
    let (data, folder) = (place.path().join("data"), place.path().join("topics"));
    let topic = folder.join("payments");
    fs::create_dir_all(&topic).unwrap();
    let line = |n: u64| format!("ts={} user=u{n} amount={n}.5 tag=a\n", 1_767_225_600_000 + n);
    let (before, behind): (String, String) = ((0..5000).map(line).collect(), (5000..9999).map(line).collect());
    fs::write(topic.join("0.log"), format!("{before}broken\n{behind}")).unwrap();
    let node = Node::start(&data);
    let (status, said) = node.post(&format!("{}/tableConfigs", node.controller), &configs(&folder, "="));
    assert_eq!(status, 200, "{said}");
    let all = "SELECT COUNT(*), COUNT(DISTINCT \"user\"), MAX(amount) FROM payments";
    node.until(all, &json!([[9999, 9999, 9998.5]]));
    // An offset is the position of a line's first byte.
    let kept = "SELECT topic, \"partition\", \"offset\", stage, reason FROM system.quarantine";
    node.until(kept, &json!([["payments", 0, before.len(), "DECODE", "'broken' has no '='"]]));
    let told = node.rows("SELECT state, fetched, stored, rejected, openSegment FROM system.partitions");
    assert_eq!(
        json!([told[0][0], told[0][1], told[0][2], told[0][3]]),
        json!(["CONSUMING", 10_000, 9999, 1]),
        "{told}"
    );
    assert!(told[0][4].as_str().unwrap().starts_with("payments__0__0__"), "nothing started anew: {told}");
}

#[test]
fn n15_what_is_wrong_when_a_table_is_made_is_told_and_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (data, folder) = (place.path().join("data"), place.path().join("topics"));
    fs::create_dir_all(folder.join("payments")).unwrap();
    fs::write(folder.join("payments/0.log"), "").unwrap();
    let node = Node::start(&data);
    let tables = format!("{}/tableConfigs", node.controller);
    let map = "/realtime/ingestionConfig/streamIngestionConfig/streamConfigMaps/0";
    for (key, value, says) in [
        ("stream.files.topic.name", json!("payment"), "make the folder"),
        ("stream.files.prop.folder", json!(null), "it names the folder with the topics' folders"),
        ("stream.files.partition.ids", json!("7"), "none numbered 7"),
        ("stream.files.decoder.class.name", json!("pears"), "is not a decoder"),
        ("stream.files.decoder.prop.separator", json!("=="), "separator cannot be '=='"),
    ] {
        let mut wrong = configs(&folder, "=");
        let keys = wrong.pointer_mut(map).unwrap().as_object_mut().unwrap();
        match value {
            Value::Null => drop(keys.remove(key)),
            value => drop(keys.insert(key.to_owned(), value)),
        }
        let (status, said) = node.post(&tables, &wrong);
        assert_eq!(status, 400, "{key}: {said}");
        let error = said["error"].as_str().unwrap();
        assert!(error.contains(says) && error.contains(key.rsplit('.').next().unwrap()), "{key}: {said}");
        assert_eq!(node.rows("SELECT COUNT(*) FROM system.partitions"), json!([[0]]), "{key}");
        let schema = format!("{}/schemas", node.controller);
        let listed = ureq::get(&schema).call().unwrap().body_mut().read_to_string().unwrap();
        assert_eq!(listed, "[]", "{key}");
    }
    let (status, said) = node.post(&tables, &configs(&folder, "="));
    assert_eq!(status, 200, "{said}");
}
