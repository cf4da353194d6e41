//! The first five minutes on real Kafka: from a topic that nobody has described to right answers, in commands that a person
//! types or pastes. Each command after the first is one that the command before printed, and the only file is the one that
//! the first command wrote.
//!
//! `WEIR_KAFKA` names the broker, `WEIR_REGISTRY` a schema registry for the topic in Avro.

use crate::{process::Process, support::eventually};
use serde_json::{Value as Json, json};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;
use weir_server::client::Client;
use weir_streams::kafka::testing::{TestBroker, TestMessage};

/// Messages of a topic, over both of its partitions.
const MESSAGES: i64 = 400;
const COUNTRIES: [&str; 4] = ["DE", "FR", "IT", "PL"];
/// 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;

/// What stands in message `id`, by its formula: country, amount, time.
fn order(id: i64) -> (&'static str, f64, i64) {
    (COUNTRIES[id as usize % COUNTRIES.len()], (id % 10) as f64 + 0.5, START_MS + id * 1_000)
}

/// The rows of a query by country: country, how many, sum of amounts, newest time.
fn expected() -> Vec<Json> {
    let of = |country: &&str| {
        let all: Vec<(f64, i64)> =
            (0..MESSAGES).map(order).filter(|order| order.0 == *country).map(|order| (order.1, order.2)).collect();
        let (sum, newest) = (all.iter().map(|one| one.0).sum::<f64>(), all.iter().map(|one| one.1).max());
        json!([country, all.len(), sum, newest])
    };
    COUNTRIES.iter().map(of).collect()
}

/// A shell of somebody who has `weir` on the PATH and was told where the controller is.
struct Desk {
    dir: TempDir,
    controller: String,
}

/// What a command said: data, and words.
struct Said {
    out: String,
    words: String,
}

impl Desk {
    fn new(node: &Process) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), controller: node.controller.base().to_owned() }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn try_run(&self, line: &str) -> Output {
        let binary = Path::new(env!("CARGO_BIN_EXE_weir")).parent().unwrap();
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(self.dir.path()).stdin(Stdio::null());
        for name in ["WEIR_BROKER", "WEIR_DATA_DIR", "WEIR_DEEP_STORE", "WEIR_LOG"] {
            command.env_remove(name);
        }
        command.env("PATH", path).env("WEIR_CONTROLLER", &self.controller);
        tokio::task::block_in_place(|| command.output().unwrap())
    }

    /// Runs a line that must end well.
    fn run(&self, line: &str) -> Said {
        let output = self.try_run(line);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = Said { out: text(&output.stdout), words: text(&output.stderr) };
        assert_eq!(output.status.code(), Some(0), "{line}: {}{}", said.out, said.words);
        said
    }
}

impl Said {
    /// The command that it names as the next one, behind these words.
    fn next(&self, words: &str) -> String {
        let line = self.words.lines().rev().find_map(|line| line.split_once(words));
        line.unwrap_or_else(|| panic!("no {words:?} in {}", self.words)).1.trim().to_owned()
    }
}

/// From a topic to answers. `infer` is what is typed first; `columns` are those of country, amount and time.
async fn walk(desk: &Desk, infer: &str, columns: [&str; 3], rejected: usize) {
    // 1: a file is written, and what was guessed is said.
    let said = desk.run(&format!("{infer} > t.json"));
    assert!(said.out.is_empty(), "{}", said.out);
    assert!(said.words.contains("why"), "reasons are said: {}", said.words);
    // Where the file is known to the shell alone it is named FILE.
    let try_it = said.next("next: ").replace("FILE", "t.json");

    // 2: what would become of records, before there is anything.
    let said = desk.run(&try_it);
    assert!(said.out.contains("ROW") && said.words.contains("nothing was stored"), "{}{}", said.out, said.words);
    let apply = said.next("next: ");

    // Beside the way: the file is well described, and its streams answer.
    let checked = desk.run("weir check t.json --connect");
    assert_eq!(checked.next("next: "), try_it, "{}", checked.words);

    // 3: the table is made.
    let said = desk.run(&apply);
    let (ask, lag) = (said.next("ask it: "), said.next("watch it: "));

    // 4: what was printed is asked until all is there, then a question of one's own.
    let table = ask.trim_end_matches('\'').rsplit(' ').next().unwrap().to_owned();
    let rows = MESSAGES.to_string();
    eventually("all rows", async || {
        let said = desk.run(&ask);
        if said.out.contains(&format!(":{rows}}}")) { Ok(()) } else { Err(format!("{}{}", said.out, said.words)) }
    })
    .await;
    let [country, amount, time] = columns;
    let sql = format!(
        "SELECT {country} AS c, COUNT(*) AS n, SUM({amount}) AS total, CAST(MAX({time}) AS LONG) AS newest FROM {table} \
         GROUP BY {country} ORDER BY {country}"
    );
    let answer = desk.run(&format!("weir sql -e '{sql}'"));
    let rows: Vec<Json> = answer.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let rows: Vec<Json> = rows.iter().map(|row| json!([row["c"], row["n"], row["total"], row["newest"]])).collect();
    assert_eq!(rows, expected(), "{sql}");
    let kept = desk.run(&format!("weir quarantine list {table}"));
    assert_eq!(kept.out.lines().count(), rejected, "{}{}", kept.out, kept.words);

    // 5: how far behind it is.
    let said = desk.run(&lag);
    let lines: Vec<Json> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "one line for each partition: {}", said.out);
    for line in &lines {
        assert_eq!((&line["state"], &line["lagOffsets"]), (&json!("CONSUMING"), &json!(0)), "{line}");
    }
    let left: Vec<_> = std::fs::read_dir(desk.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["t.json"], "no other file was needed or left");
}

/// Writes messages to a topic of two partitions, one after the other.
async fn topic(broker: &TestBroker, name: &str, messages: Vec<TestMessage>) -> String {
    let topic = TestBroker::name(name);
    broker.create(&topic, 2).await;
    let (even, odd): (Vec<_>, Vec<_>) = messages.into_iter().enumerate().partition(|(at, _)| at % 2 == 0);
    for (partition, messages) in [(0, even), (1, odd)] {
        let messages: Vec<TestMessage> = messages.into_iter().map(|(_, message)| message).collect();
        broker.append_messages(&topic, partition, &messages).await;
    }
    topic
}

/// The broker, a node in a process of its own on a new folder, and a desk.
fn ready() -> Option<(TestBroker, TempDir, Process, Desk)> {
    let broker = TestBroker::find();
    if broker.is_none() {
        eprintln!("skipped: WEIR_KAFKA names no broker");
    }
    let dir = tempfile::tempdir().unwrap();
    let broker = broker?;
    let node = Process::start(&dir.path().join("data"), &[]);
    let desk = Desk::new(&node);
    Some((broker, dir, node, desk))
}

#[tokio::test(flavor = "multi_thread")]
async fn five_commands_lead_from_json_to_answers() {
    let Some((broker, _dir, _node, desk)) = ready() else { return };
    let message = |id: i64| {
        let (country, amount, ts) = order(id);
        let value = json!({"id": id, "country": country, "amount": amount, "created_at": ts, "tags": ["a", "b"]});
        TestMessage { key: Some(id.to_string().into()), ..TestMessage::of(value.to_string()) }
    };
    let bad = TestMessage::of("{\"id\": 7, ");
    let messages = (0..MESSAGES).map(message).chain([bad]).collect();
    let topic = topic(&broker, "minutes-json", messages).await;
    let infer = format!("weir infer kafka://{}/{topic}", broker.address);
    walk(&desk, &infer, ["country", "amount", "created_at"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_commands_lead_from_csv_to_answers() {
    let Some((broker, _dir, _node, desk)) = ready() else { return };
    let message = |id: i64| {
        let (country, amount, ts) = order(id);
        TestMessage::of(format!("{id};{country};{amount};{ts}"))
    };
    let bare = topic(&broker, "minutes-csv", (0..MESSAGES).map(message).collect()).await;
    let infer = format!("weir infer kafka://{}/{bare}", broker.address);
    walk(&desk, &infer, ["c2", "c3", "c4"], 0).await;
    std::fs::remove_file(desk.path("t.json")).unwrap();
    let named = topic(&broker, "minutes-named", (0..MESSAGES).map(message).collect()).await;
    let infer = format!("weir infer kafka://{}/{named} --header 'id;country;amount;at'", broker.address);
    walk(&desk, &infer, ["country", "amount", "at"], 0).await;
}

/// A whole number of Avro: zigzag, seven bits a byte.
pub(crate) fn avro_long(value: i64) -> Vec<u8> {
    let (mut bits, mut out) = (((value << 1) ^ (value >> 63)) as u64, vec![]);
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
    out
}

/// The real schema registry, where the environment names one.
pub(crate) fn registry() -> Option<String> {
    let named = std::env::var("WEIR_REGISTRY").ok();
    if named.is_none() {
        let required = std::env::var("WEIR_TEST_REAL").is_ok_and(|real| real == "required");
        assert!(!required, "WEIR_REGISTRY names no registry, and WEIR_TEST_REAL=required asks for one");
        eprintln!("skipped: WEIR_REGISTRY names no registry");
    }
    named
}

/// Registers a schema in Avro; its number.
pub(crate) async fn registered(registry: &str, subject: &str, schema: &Json) -> u32 {
    let body = json!({"schema": schema.to_string()});
    let path = format!("/subjects/{subject}-value/versions");
    let answer = Client::new(registry).send_json(hyper::Method::POST, &path, &body).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    u32::try_from(answer.json()["id"].as_u64().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_commands_lead_from_avro_behind_a_registry_to_answers() {
    let Some((broker, _dir, _node, desk)) = ready() else { return };
    let Some(registry) = registry() else { return };
    let schema = json!({"type": "record", "name": "Order", "namespace": "shop", "fields": [
        {"name": "id", "type": "long"},
        {"name": "country", "type": ["null", {"type": "enum", "name": "Country", "symbols": COUNTRIES}]},
        {"name": "amount", "type": "double"},
        {"name": "placed", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "lines", "type": {"type": "array", "items": "string"}},
    ]});
    let subject = TestBroker::name("minutes-avro");
    let number = registered(&registry, &subject, &schema).await;
    let message = |id: i64| {
        let (country, amount, ts) = order(id);
        let symbol = COUNTRIES.iter().position(|known| *known == country).unwrap();
        let frame = [&[0][..], &number.to_be_bytes()].concat();
        let country = [avro_long(1), avro_long(symbol as i64)].concat();
        // One block of one line, then the end of the array.
        let lines = [&avro_long(1)[..], &avro_long(2), b"ab", &[0]].concat();
        let value = [frame, avro_long(id), country, amount.to_le_bytes().to_vec(), avro_long(ts), lines].concat();
        TestMessage::of(value)
    };
    let topic = topic(&broker, "minutes-avro", (0..MESSAGES).map(message).collect()).await;
    // Without the registry's address: the error says what is missing.
    let infer = format!("weir infer kafka://{}/{topic}", broker.address);
    let lost = desk.try_run(&infer);
    let words = String::from_utf8_lossy(&lost.stderr).into_owned();
    assert!(lost.status.code() == Some(1) && words.contains("--registry http"), "{words}");
    walk(&desk, &format!("{infer} --registry {registry}"), ["country", "amount", "placed"], 0).await;
    let written: Json = serde_json::from_slice(&std::fs::read(desk.path("t.json")).unwrap()).unwrap();
    // By its logical type: its name says nothing, and it is far from the times of the messages.
    assert_eq!(written["realtime"]["segmentsConfig"]["timeColumnName"], "placed", "{written}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_step_says_what_to_do() {
    let Some((broker, _dir, _node, desk)) = ready() else { return };
    let told = |line: &str, said: &[&str]| {
        let output = desk.try_run(line);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{line}: {words}");
        said.iter().for_each(|part| assert!(words.contains(part), "{line}: {part:?} is not in {words}"));
    };
    let absent = TestBroker::name("minutes-absent");
    told(&format!("weir infer kafka://{}/{absent}", broker.address), &[&absent, "does not exist"]);
    let empty = TestBroker::name("minutes-empty");
    broker.create(&empty, 1).await;
    told(&format!("weir infer kafka://{}/{empty}", broker.address), &[&empty, "is empty", "then ask again"]);
    // A shell that makes the file although the command failed.
    desk.try_run(&format!("weir infer kafka://{}/{absent} > t.json", broker.address));
    told("weir try t.json", &["t.json", "is empty", "weir infer"]);
    told("weir apply nowhere.json", &["nowhere.json", "weir infer"]);

    // Where no record would become a row the next step is not a table.
    let names = TestBroker::name("minutes-names");
    broker.create(&names, 1).await;
    broker.append(&names, 0, &["{\"name\":\"ann\"}".to_owned(), "{\"name\":\"bob\"}".to_owned()]).await;
    desk.run(&format!("weir infer kafka://{}/{names} > t.json", broker.address));
    let said = desk.run("sed -i 's/\"STRING\"/\"LONG\"/' t.json && weir try t.json");
    assert!(said.words.contains("2 REJECTED") && said.words.contains("; then weir try t.json"), "{}", said.words);
    assert!(!said.words.contains("weir apply"), "{}", said.words);
}
