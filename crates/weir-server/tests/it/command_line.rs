//! The binary as people and scripts use it: output, exit codes, signals.

use crate::support::{DEADLINE, order, orders};
use serde_json::{Value as Json, json};
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Instant,
};

fn weir() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    for name in ["WEIR_CONTROLLER", "WEIR_BROKER", "WEIR_DATA_DIR", "WEIR_DEEP_STORE", "WEIR_LOG"] {
        command.env_remove(name);
    }
    command
}

/// A started process; killed when it goes out of sight.
struct Running {
    child: Child,
    controller: String,
    broker: String,
    lines: Vec<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Running {
    /// Starts a command that serves, and waits for its line `ready`.
    fn start(arguments: &[&str], dir: &Path) -> Self {
        let mut child = weir()
            .args(arguments)
            .args(["--controller-port", "0", "--broker-port", "0", "--data-dir"])
            .arg(dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = vec![];
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            lines.push(line.unwrap());
            if lines.last().unwrap() == "ready" {
                break;
            }
        }
        let url = |name: &str| {
            let line = lines.iter().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{lines:?}"));
            line.split_whitespace().nth(1).unwrap().to_owned()
        };
        Self { controller: url("controller"), broker: url("broker"), child, lines }
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        weir()
            .args(arguments)
            .env("WEIR_CONTROLLER", &self.controller)
            .env("WEIR_BROKER", &self.broker)
            .output()
            .unwrap()
    }

    /// Writes records to a topic, and fails unless all are in it.
    fn produce(&self, topic: &str, records: &Json) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let sent = runtime.block_on(async {
            let client = weir_server::client::Client::new(&self.controller);
            client.send_json(hyper::Method::POST, &format!("/topics/{topic}"), records).await.unwrap()
        });
        assert_eq!(sent.status, 200, "{}", sent.text());
        let offsets = sent.json()["offsets"].as_array().cloned().unwrap_or_default();
        assert!(offsets.iter().all(|offset| offset["offset"].is_u64()), "{}", sent.text());
    }

    /// Asks it to end and returns its exit code.
    fn terminate(mut self) -> Option<i32> {
        terminate(&mut self.child)
    }
}

/// Asks a process to end and returns its exit code, which one that a signal ended has not.
fn terminate(child: &mut Child) -> Option<i32> {
    let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    until("it does not end", || child.try_wait().unwrap()).code()
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_node_is_started_used_and_ended() {
    let dir = tempfile::tempdir().unwrap();
    let node = Running::start(&["start"], &dir.path().join("data"));
    assert_eq!(node.lines.last().unwrap(), "ready");
    let file = dir.path().join("orders.json");
    std::fs::write(&file, orders(2).to_string()).unwrap();
    let file = file.to_str().unwrap();

    let checked = weir().args(["check", file]).output().unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    for status in ["successfully added", "updated"] {
        let applied = node.ask(&["apply", file]);
        assert_eq!(applied.status.code(), Some(0), "{}", text(&applied.stderr));
        assert!(text(&applied.stderr).contains(status), "{}", text(&applied.stderr));
        assert!(applied.stdout.is_empty(), "words go to stderr");
    }

    let counted =
        node.ask(&["sql", "-e", "SELECT COUNT(*) AS n FROM orders", "-e", "SELECT COUNT(*) AS m FROM orders"]);
    assert_eq!(counted.status.code(), Some(0), "{}", text(&counted.stderr));
    assert_eq!(text(&counted.stdout), "{\"n\":0}\n{\"m\":0}\n");
    let csv = node.ask(&["sql", "--format", "csv", "-e", "SELECT COUNT(*) AS n FROM orders"]);
    assert_eq!(text(&csv.stdout), "n\n0\n");
    let failed = node.ask(&["sql", "-e", "SELECT 1 FROM nope"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(text(&failed.stderr).contains("190"), "{}", text(&failed.stderr));

    let lag = node.ask(&["lag", "orders"]);
    assert_eq!(lag.status.code(), Some(0), "{}", text(&lag.stderr));
    assert_eq!(text(&lag.stdout).lines().count(), 2, "one line per partition: {}", text(&lag.stdout));
    let wide = node.ask(&["lag", "orders", "--wide"]);
    let wide: Json = serde_json::from_str(text(&wide.stdout).lines().next().unwrap()).unwrap();
    for told in ["lagMs", "messagesPerSecond", "bytes", "openRows", "openBytes", "openSealAtMs"] {
        assert!(wide[told].is_u64(), "{told} of {wide}");
    }
    assert_eq!((&wide["lastError"], &wide["state"]), (&Json::Null, &json!("CONSUMING")), "{wide}");
    assert_eq!(node.ask(&["lag", "nope"]).status.code(), Some(1));

    // A second node on the same folder is told who has it.
    let second = weir()
        .args(["start", "--controller-port", "0", "--broker-port", "0", "--data-dir"])
        .arg(dir.path().join("data"))
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains(&format!("process {}", node.child.id())), "{}", text(&second.stderr));
    assert_eq!(node.terminate(), Some(0), "it ends well when it is told to");
}

/// Whoever supervises it may change his mind: from the first moment on it ends well.
#[test]
#[cfg(target_os = "linux")]
fn a_node_that_is_told_to_end_while_it_starts_ends_well() {
    const TERM: u64 = 1 << 14;
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        let mut command = weir();
        command
            .args(["start", "--controller-port", "0", "--broker-port", "0", "--data-dir"])
            .arg(dir.path().join("data"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let status = format!("/proc/{}/status", child.id());
        until("it does not listen for signals", || {
            let caught = std::fs::read_to_string(&status).ok()?;
            let caught = caught.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
            (u64::from_str_radix(caught.trim(), 16).unwrap() & TERM > 0).then_some(())
        });
        assert_eq!(terminate(&mut child), Some(0));
    }
    let node = Running::start(&["start"], &dir.path().join("data"));
    assert_eq!(node.terminate(), Some(0), "what was begun is no hindrance");
}

#[test]
fn statements_come_by_pipe_and_by_file() {
    let dir = tempfile::tempdir().unwrap();
    let node = Running::start(&["start"], &dir.path().join("data"));
    let file = dir.path().join("t.json");
    std::fs::write(&file, orders(1).to_string()).unwrap();
    assert!(node.ask(&["apply", file.to_str().unwrap()]).status.success());
    let sql = dir.path().join("q.sql");
    std::fs::write(
        &sql,
        "-- two\nSELECT COUNT(*) AS n FROM orders;\nSET timeoutMs = 5000;\nSELECT COUNT(*) AS m FROM orders",
    )
    .unwrap();
    let by_file = node.ask(&["sql", "-f", sql.to_str().unwrap()]);
    assert_eq!(text(&by_file.stdout), "{\"n\":0}\n{\"m\":0}\n", "{}", text(&by_file.stderr));
    let mut piped =
        weir().args(["sql", "--broker", &node.broker]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(b"SELECT COUNT(*) AS n FROM orders").unwrap();
    assert_eq!(text(&piped.wait_with_output().unwrap().stdout), "{\"n\":0}\n");
}

#[test]
fn exit_codes_tell_what_kind_of_failure_it_was() {
    let dir = tempfile::tempdir().unwrap();
    // A port that was just free: bound and given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = format!("http://127.0.0.1:{port}");
    let code = |arguments: &[&str]| weir().args(arguments).stdin(Stdio::null()).output().unwrap().status.code();
    assert_eq!(code(&["sql", "--broker", &nobody, "-e", "SELECT 1"]), Some(3));
    assert_eq!(code(&["lag", "--controller", &nobody]), Some(3));
    assert_eq!(code(&["lag", "--controller", "https://x"]), Some(2));
    assert_eq!(code(&["no-such-command"]), Some(2));
    assert_eq!(code(&["start"]), Some(2));
    assert_eq!(code(&["--help"]), Some(0));
    assert_eq!(code(&["--version"]), Some(0));
    let file = dir.path().join("t.json");
    std::fs::write(&file, json!({"tableName": "a b"}).to_string()).unwrap();
    let checked = weir().arg("check").arg(&file).output().unwrap();
    assert_eq!(checked.status.code(), Some(1));
    assert!(text(&checked.stderr).contains("tableName = a b"), "{}", text(&checked.stderr));
    std::fs::write(&file, "{\n  \"tableName\": ,").unwrap();
    let checked = weir().arg("check").arg(&file).output().unwrap();
    assert!(text(&checked.stderr).contains("t.json:2:"), "{}", text(&checked.stderr));
    assert_eq!(code(&["check", dir.path().join("absent").to_str().unwrap()]), Some(1));
}

#[test]
fn a_table_is_dropped_once_its_name_was_said_again() {
    let dir = tempfile::tempdir().unwrap();
    let node = Running::start(&["start"], &dir.path().join("data"));
    let file = dir.path().join("t.json");
    std::fs::write(&file, orders(1).to_string()).unwrap();
    let apply = || assert!(node.ask(&["apply", file.to_str().unwrap()]).status.success());
    let drop_saying = |said: &str| {
        let mut asked = weir();
        asked.args(["drop", "orders", "--controller", &node.controller]);
        let mut asked = asked.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        asked.stdin.take().unwrap().write_all(said.as_bytes()).unwrap();
        let ended = asked.wait_with_output().unwrap();
        (ended.status.code(), text(&ended.stderr))
    };
    apply();
    for said in ["", "order\n", "yes\n"] {
        let (code, words) = drop_saying(said);
        assert!(code == Some(1) && words.contains("nothing was dropped"), "{words}");
    }
    assert!(node.ask(&["lag", "orders"]).status.success());
    let (code, words) = drop_saying("orders\n");
    assert!(code == Some(0) && words.contains("holds 0 rows") && words.contains("dropped orders"), "{words}");
    assert_eq!(node.ask(&["lag", "orders"]).status.code(), Some(1));
    apply();
    let dropped = node.ask(&["drop", "orders", "--yes"]);
    assert_eq!(dropped.status.code(), Some(0), "{}", text(&dropped.stderr));
    let absent = node.ask(&["drop", "orders", "--yes"]);
    assert!(absent.status.code() == Some(1) && text(&absent.stderr).contains("weir lag"), "{}", text(&absent.stderr));
}

#[test]
fn why_tells_the_way_of_a_message() {
    let dir = tempfile::tempdir().unwrap();
    let node = Running::start(&["start"], &dir.path().join("data"));
    let mut document = orders(1);
    document["schema"]["primaryKeyColumns"] = json!(["id"]);
    let file = dir.path().join("t.json");
    std::fs::write(&file, document.to_string()).unwrap();
    let applied = node.ask(&["apply", file.to_str().unwrap()]);
    assert!(applied.status.success(), "{}", text(&applied.stderr));
    let bad = json!({"id": "x", "country": "DE"});
    let records = json!({"records": [
        {"key": "k1", "value": order(1, "DE", 1.0)}, {"key": "k2", "value": bad}, {"key": "k3", "value": order(3, "FR", 3.0)},
    ]});
    node.produce("orders", &records);

    let why = |offset: &str| {
        let place = ["why", "--table", "orders", "--topic", "orders", "--partition", "0", "--offset", offset];
        let output = node.ask(&place);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let lines = text(&output.stdout);
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Json>>()
    };
    let until = Instant::now() + DEADLINE;
    let rejected = loop {
        let steps = why("1");
        if steps.last().unwrap()["verdict"] == "REJECTED" {
            break steps;
        }
        assert!(Instant::now() < until, "{steps:?}");
    };
    let told = rejected.last().unwrap()["detail"].as_str().unwrap();
    assert!(told.contains("column id") && told.contains("weir quarantine replay"), "{told}");
    let row = why("0");
    assert_eq!((&row[0]["verdict"], &row[1]["verdict"]), (&json!("READ"), &json!("OPEN")));
    let told = row.last().unwrap();
    assert_eq!(told["verdict"], "ROW", "the one rejected message is another: {told}");
    assert_eq!(why("3").last().unwrap()["verdict"], "NOT_WRITTEN");
    let without_topic = node.ask(&["why", "--table", "orders", "--partition", "0", "--offset", "3"]);
    assert!(text(&without_topic.stdout).contains("NOT_WRITTEN"), "{}", text(&without_topic.stderr));
    let negative = text(&node.ask(&["why", "--table", "orders", "--key", "-3"]).stdout);
    assert!(negative.contains("NOT_FOUND"), "{negative}");

    let by_key = node.ask(&["why", "--table", "orders", "--key", "3"]);
    let lines = text(&by_key.stdout);
    assert_eq!(by_key.status.code(), Some(0), "{}", text(&by_key.stderr));
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert!(lines.contains("orders__0__0__") && lines.contains("\"verdict\":\"ROW\""), "{lines}");
    let by_key = text(&node.ask(&["why", "--table", "orders", "--column", "country", "--key", "k2"]).stdout);
    assert!(by_key.contains("orders/0/1, stage") && by_key.contains("\"verdict\":\"REJECTED\""), "{by_key}");
    let none = text(&node.ask(&["why", "--table", "orders", "--key", "99"]).stdout);
    assert!(none.contains("NOT_FOUND"), "{none}");
    let people = ["why", "--table", "orders", "--key", "3", "--format", "table"];
    assert!(text(&node.ask(&people).stdout).starts_with("row     FOUND: orders__0__0__"));
    let nowhere = node.ask(&["why", "--table", "orders", "--topic", "orders", "--partition", "7", "--offset", "0"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("it reads orders/0"), "{}", text(&nowhere.stderr));
    assert_eq!(node.ask(&["why", "--table", "nope", "--key", "1"]).status.code(), Some(1));
}

#[test]
fn the_demo_shows_live_rows_and_ends_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let output = weir()
        .args(["demo", "--seconds", "3", "--rate", "500", "--controller-port", "0", "--broker-port", "0", "--data-dir"])
        .arg(dir.path())
        .output()
        .unwrap();
    let (said, shown) = (text(&output.stderr), text(&output.stdout));
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(shown.lines().any(|line| line == "ready") && shown.contains("/query/sql"), "{shown}");
    let pasted = format!("or      {} sql --broker http", env!("CARGO_BIN_EXE_weir"));
    assert!(shown.contains(&pasted), "{pasted} is not in {shown}");
    assert!(said.contains("rows/s") && said.contains("fresh up to"), "{said}");
    let end = said.lines().last().unwrap();
    let rows: u64 = end.split_whitespace().next().unwrap().parse().unwrap();
    assert!(rows > 0, "{end}");
}

/// Documents that the README tells readers to apply. Reading them needs neither a node nor a broker.
#[test]
fn every_example_is_well_described() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|kind| kind == "json")).collect();
    files.sort();
    assert!(files.iter().any(|file| file.ends_with("orders-local.json")), "{files:?}");
    assert!(files.iter().any(|file| file.ends_with("orders-kafka.json")), "{files:?}");
    for file in files {
        let checked = weir().arg("check").arg(&file).output().unwrap();
        let said = text(&checked.stderr);
        assert_eq!(checked.status.code(), Some(0), "{said}");
        assert_eq!(said.lines().count(), 1, "nothing of it is without effect: {said}");
        assert!(said.contains("table orders is well described"), "{said}");
    }
}

/// What is shown to be pasted asks the node that was asked, without a variable to help.
#[test]
fn hints_repeat_where_the_node_is() {
    let dir = tempfile::tempdir().unwrap();
    let node = Running::start(&["start"], &dir.path().join("data"));
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/orders-local.json");
    let empty = text(&weir().args(["lag", "--controller", &node.controller]).output().unwrap().stderr);
    assert!(empty.contains(&format!("`weir apply FILE --controller {}`", node.controller)), "{empty}");
    let applied = weir().args(["apply", example, "--controller", &node.controller]).output().unwrap();
    let said = text(&applied.stderr);
    let hint = said.lines().find_map(|line| line.strip_prefix("ask it: ")).unwrap_or_else(|| panic!("{said}"));
    let port = node.broker.rsplit(':').next().unwrap();
    let broker = hint.rsplit_once("--broker ").unwrap_or_else(|| panic!("{hint}")).1;
    assert!(hint.starts_with("weir sql -e ") && broker.ends_with(&format!(":{port}")), "{hint}");
    let asked = weir().args(["sql", "-e", "SELECT COUNT(*) FROM orders", "--broker", broker]).output().unwrap();
    assert_eq!(text(&asked.stdout), "{\"count(*)\":0}\n", "{}", text(&asked.stderr));
    let shown = weir().args(["quarantine", "show", "orders", "orders/0/7", "--controller", &node.controller]).output();
    let said = text(&shown.unwrap().stderr);
    assert!(said.contains(&format!("weir quarantine list orders --controller {}", node.controller)), "{said}");
    // Where nobody answers at an address that was given, no other is started.
    let nobody = text(&weir().args(["lag", "--controller", "http://127.0.0.1:1"]).output().unwrap().stderr);
    assert!(nobody.contains("is a node running there") && !nobody.contains("weir start"), "{nobody}");
}

/// The README's way from an example to an answer.
#[test]
fn the_local_example_takes_what_the_readme_sends() {
    let dir = tempfile::tempdir().unwrap();
    let node = Running::start(&["start"], &dir.path().join("data"));
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/orders-local.json");
    let applied = node.ask(&["apply", example]);
    assert_eq!(applied.status.code(), Some(0), "{}", text(&applied.stderr));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    node.produce("orders", &json!({"records": [{"value": {"id": 1, "country": "DE", "amount": 5, "ts": now}}]}));
    let until = Instant::now() + DEADLINE;
    let wanted = "{\"country\":\"DE\",\"n\":1,\"total\":5.0}\n";
    loop {
        let sql = "SELECT country, COUNT(*) AS n, SUM(amount) AS total FROM orders GROUP BY country";
        let found = text(&node.ask(&["sql", "-e", sql]).stdout);
        if found == wanted {
            break;
        }
        assert!(Instant::now() < until, "{found}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
