//! Messages as they come: over REST, and as people see them, on the local log and on real Kafka.

use crate::{
    process::Process,
    support::{DEADLINE, TestNode, eventually, order, orders},
};
use serde_json::{Value as Json, json};
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use weir_server::client::Lines;
use weir_streams::kafka::testing::{TestBroker, TestMessage};

/// The next line that says something.
async fn next(lines: &mut Lines) -> Option<Json> {
    loop {
        let line = tokio::time::timeout(DEADLINE, lines.next()).await.unwrap().unwrap()?;
        let told: Json = serde_json::from_slice(&line).unwrap();
        if told["kind"] != "quiet" {
            return Some(told);
        }
    }
}

async fn all(node: &TestNode, asked: &Json) -> Vec<Json> {
    let mut lines = node.controller.post_for_lines("/tail", asked).await.unwrap().unwrap_or_else(|answer| {
        panic!("{}", answer.text());
    });
    let mut told = vec![];
    while let Some(line) = next(&mut lines).await {
        told.push(line);
    }
    told
}

fn records(told: &[Json]) -> Vec<&Json> {
    told.iter().filter(|told| told["kind"] == "record").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_table_are_told_with_their_fate() {
    let node = TestNode::start().await;
    node.make(&orders(1)).await;
    let mut bad = order(2, "FR", 1.0);
    bad["id"] = json!("two");
    node.produce("orders", &[order(0, "DE", 1.0), json!({"id": 1, "extra": [1.5]}), bad, Json::Null]).await;
    let told = all(&node, &json!({"table": "orders_REALTIME", "from": "earliest", "once": true})).await;
    assert_eq!((&told[0]["kind"], &told[0]["high"], &told[0]["from"]), (&json!("begin"), &json!(4), &json!(0)));
    let seen = records(&told);
    let fates: Vec<&str> = seen.iter().map(|told| told["fate"].as_str().unwrap()).collect();
    assert_eq!(fates, ["ROW", "ROW", "REJECTED", "TOMBSTONE"], "{told:?}");
    // As it was sent, with what the table has no column for.
    assert_eq!(seen[1]["record"], json!({"id": 1, "extra": [1.5]}));
    assert_eq!(
        (&seen[2]["stage"], &seen[2]["column"], &seen[2]["offset"]),
        (&json!("DATA_TYPE"), &json!("id"), &json!(2))
    );
    assert_eq!(seen[3]["tombstone"], true);
    let newest = all(&node, &json!({"table": "orders", "from": "last:2", "once": true})).await;
    assert_eq!(records(&newest).iter().map(|told| told["offset"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 3]);
    let one = all(&node, &json!({"table": "orders", "from": "1", "limit": 1})).await;
    assert_eq!(records(&one).iter().map(|told| told["offset"].as_u64().unwrap()).collect::<Vec<_>>(), [1]);

    // What comes later comes; a node that stops ends what has no end.
    let asked = json!({"stream": {"streamType": "local", "stream.local.topic.name": "orders"}});
    let mut lines = node.controller.post_for_lines("/tail", &asked).await.unwrap().ok().unwrap();
    assert_eq!(next(&mut lines).await.unwrap()["from"], 4);
    node.produce("orders", &[order(9, "IT", 2.0)]).await;
    let note = next(&mut lines).await.unwrap();
    assert!(note["kind"] == "note" && note["text"].as_str().unwrap().contains("JSON objects"), "{note}");
    let come = next(&mut lines).await.unwrap();
    assert_eq!((&come["offset"], &come["record"]["country"]), (&json!(4), &json!("IT")), "{come}");
    let begun = Instant::now();
    node.server.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "a tail holds up no stop");
    assert_eq!(next(&mut lines).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_watched_is_refused() {
    let node = TestNode::start().await;
    node.make(&orders(2)).await;
    let local = |topic: &str| json!({"streamType": "local", "stream.local.topic.name": topic});
    for (asked, status, said) in [
        (json!({}), 400, "name one of them"),
        (json!({"table": "orders", "stream": local("orders")}), 400, "name one of them"),
        (json!({"table": "nope"}), 404, "table nope does not exist"),
        (json!({"table": "orders", "from": "yesterday"}), 400, "must be latest, earliest, last:N"),
        (json!({"table": "orders", "limit": 0}), 400, "limit = 0"),
        (json!({"table": "orders", "format": "json"}), 400, "belong to a stream"),
        (json!({"table": "orders", "partition": 7}), 400, "partition 7"),
        (json!({"stream": local("absent")}), 400, "absent"),
        (json!({"stream": {"streamType": "nope"}}), 400, "stream.streamType"),
        (json!({"tabel": "orders"}), 400, "tabel"),
    ] {
        let answer = node.post("/tail", &asked).await;
        assert!(
            answer.status == status && answer.text().contains(said),
            "{asked}: {} {}",
            answer.status,
            answer.text()
        );
    }
    node.produce("orders", &[order(0, "DE", 1.0)]).await;
    let asked = json!({"stream": local("orders"), "format": "orc", "from": "earliest"});
    let told = all(&node, &asked).await;
    let failed = told.last().unwrap();
    assert!(failed["kind"] == "failed" && failed["text"].as_str().unwrap().contains("format orc"), "{told:?}");

    // As many as may watch; a place is free again once somebody has gone.
    let mut watching = vec![];
    while let Ok(lines) = node.controller.post_for_lines("/tail", &json!({"table": "orders"})).await.unwrap() {
        watching.push(lines);
        assert!(watching.len() < 100, "there is a bound");
    }
    let full = node.post("/tail", &json!({"table": "orders"})).await;
    assert!(full.status == 507 && full.text().contains("end one first"), "{} {}", full.status, full.text());
    drop(watching.pop());
    eventually("a place", async || {
        match node.controller.post_for_lines("/tail", &json!({"table": "orders"})).await.unwrap() {
            Ok(_) => Ok(()),
            Err(answer) => Err(answer.text()),
        }
    })
    .await;
    drop(watching);
}

fn weir(controller: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.env("WEIR_CONTROLLER", controller).env_remove("WEIR_BROKER").stdin(Stdio::null());
    command
}

fn ended(mut child: Child) -> Output {
    let until = Instant::now() + DEADLINE;
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < until, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn people_and_programs_watch_a_topic() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"), &[]);
    let controller = node.controller.base().to_owned();
    node.make(&orders(1)).await;
    let evil = json!({"id": 1, "country": "\u{1b}[2J\u{9b}31m\n", "amount": 2.0});
    node.produce("orders", &[order(0, "DE", 1.0), evil]).await;
    let mut late = order(2, "FR", 3.0);
    late["amount"] = json!("three");
    late["coupon"] = json!("x".repeat(500));
    node.produce("orders", &[late]).await;

    let arguments = ["tail", "orders", "--from", "earliest", "--once"];
    let output = weir(&controller).args(arguments).output().unwrap();
    let (out, words) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{words}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    assert!(lines[0].starts_with("orders/0@0  {\"id\":0,"), "{out}");
    assert!(out.chars().all(|c| c == '\n' || !c.is_control()), "{out:?}");
    assert!(lines[1].contains("\\u001b[2J\\u009b31m\\n"), "{out}");
    assert!(lines[2].contains("(500 characters)") && lines[2].contains("  ! DATA_TYPE column amount: "), "{out}");
    assert!(words.contains("amount: DOUBLE -> STRING since orders/0@2"), "{words}");
    assert!(words.contains("new field coupon: STRING at orders/0@2, after 2 records"), "{words}");
    assert!(words.contains("orders/0: from offset 0 on; the log holds [0, 3)"), "{words}");
    assert!(words.contains("3 records, ") && words.contains("DOUBLE 66.7 %, STRING 33.3 %"), "{words}");
    assert!(
        words.trim_end().ends_with("3 messages, 3 of them with fields, 1 with errors; nothing was stored"),
        "{words}"
    );

    let topic = ["tail", "local://orders", "--from", "last:2", "--limit", "2", "--json"];
    let output = weir(&controller).args(topic).output().unwrap();
    let lines: Vec<Json> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["begin", "note", "record", "record", "change", "change", "change", "change", "change", "schema"],
        "{lines:?}"
    );
    assert_eq!(lines[2]["record"]["country"], "\u{1b}[2J\u{9b}31m\n");
    let schema = lines.last().unwrap();
    assert_eq!((&schema["records"], &schema["fields"][2]["kinds"]), (&json!(2), &json!({"DOUBLE": 1, "STRING": 1})));

    // Control-C ends it clean, with what was seen.
    let mut child =
        weir(&controller).args(["tail", "orders"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(said.next().unwrap().unwrap().contains("from offset 3 on"));
    node.produce("orders", &[order(7, "PL", 1.0)]).await;
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.starts_with("orders/0@3  "), "{line}");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(ended(child).status.code(), Some(0));
    assert!(said.map(Result::unwrap).last().unwrap().starts_with("1 messages, 1 of them"));

    // Who reads no more ends it too.
    let head = format!("'{}' tail orders --from earliest | head -1", env!("CARGO_BIN_EXE_weir"));
    let mut piped = Command::new("sh");
    piped.args(["-c", &head]).env("WEIR_CONTROLLER", &controller).stdin(Stdio::null());
    let mut piped = piped.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + DEADLINE;
    while piped.try_wait().unwrap().is_none() {
        // It notices with what comes next.
        node.produce("orders", &[order(8, "PL", 1.0)]).await;
        assert!(Instant::now() < until, "it goes on without a reader");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(text(&ended(piped).stdout).lines().count(), 1);

    for (arguments, code, said) in [
        (&["tail", "nope"][..], 1, "kafka://HOST:PORT/TOPIC"),
        (&["tail", "orders", "--format", "csv"], 2, "belong to a topic"),
        (&["tail", "orders", "--from", "soon"], 2, "must be latest"),
        (&["tail", "local://absent"], 1, "absent"),
    ] {
        let output = weir(&controller).args(arguments).output().unwrap();
        let words = text(&output.stderr);
        assert!(output.status.code() == Some(code) && words.contains(said), "{arguments:?}: {words}");
    }
    // A node that goes away is no end that was asked for.
    let child = weir(&controller).args(["tail", "orders"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    said.next().unwrap().unwrap();
    node.kill();
    assert_eq!(ended(child).status.code(), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn first_minutes_of_a_topic_on_kafka() {
    let Some(broker) = TestBroker::find() else {
        eprintln!("skipped: WEIR_KAFKA names no broker");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"), &[]);
    let topic = TestBroker::name("tail");
    broker.create(&topic, 2).await;
    let numbers = |from: i64, to: i64| -> Vec<TestMessage> {
        (from..to).map(|id| TestMessage::of(json!({"id": id, "price": id}).to_string())).collect()
    };
    broker.append_messages(&topic, 0, &numbers(0, 30)).await;
    broker.append_messages(&topic, 1, &numbers(30, 60)).await;
    let url = format!("kafka://{}/{topic}", broker.address);
    let controller = node.controller.base().to_owned();
    let output = weir(&controller).args(["tail", &url, "--from", "last:10", "--once"]).output().unwrap();
    let out = text(&output.stdout);
    let mut places: Vec<&str> = out.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    places.sort_unstable();
    let expected: Vec<String> =
        [0, 1].iter().flat_map(|part| (25..30).map(|at| format!("{topic}/{part}@{at}")).collect::<Vec<_>>()).collect();
    assert_eq!(places, expected, "{}", text(&output.stderr));

    // Live: what is written after the start is there, with what changed.
    let mut child =
        weir(&controller).args(["tail", &url, "--limit", "2"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.as_mut().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    for _ in 0..2 {
        assert!(said.next().unwrap().unwrap().contains("from offset 30 on"));
    }
    broker.append_messages(&topic, 1, &numbers(60, 61)).await;
    broker.append_messages(&topic, 1, &[TestMessage::of("{\"id\":61,\"price\":\"61 EUR\"}")]).await;
    let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].starts_with(&format!("{topic}/1@31  ")), "{lines:?}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let words: Vec<String> = said.map(Result::unwrap).collect();
    assert!(words.iter().any(|line| line.starts_with("price: LONG -> STRING since ")), "{words:?}");
}
