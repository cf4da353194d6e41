//! The binary as people and scripts use it: output, exit codes, signals.

use crate::support::{DEADLINE, orders};
use serde_json::json;
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

    /// Asks it to end and returns its exit code.
    fn terminate(mut self) -> Option<i32> {
        let kill = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "it does not end");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
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
    assert!(said.contains("rows/s") && said.contains("fresh up to"), "{said}");
    let end = said.lines().last().unwrap();
    let rows: u64 = end.split_whitespace().next().unwrap().parse().unwrap();
    assert!(rows > 0, "{end}");
}
