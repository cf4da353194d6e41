//! `weir tail`: the decoded messages of a topic as they come, with the fields that they have.

mod gutter;
mod screen;

use crate::{
    cli::{
        ControllerAddress, Failure,
        infer::{stream_of, with_schemas},
        output::{data, escaped, say},
        run::told_to_stop,
    },
    client::{Client, Lines},
    node::tail_from,
};
use clap::Args;
use gutter::Gutter;
use screen::{Screen, Tone};
use serde_json::{Map, Value as Json, json};
use std::{path::PathBuf, time::Duration};

const EXAMPLES: &str = "\
A node does the reading; nothing is stored. Below the records stand the fields that they have, with their kinds and the share of
records that have them; * marks what is new. Control-C ends it.

Examples:
  weir tail orders
  weir tail orders --from last:100
  weir tail kafka://localhost:9092/orders --from earliest --limit 50
  weir tail kafka://localhost:9092/orders --registry http://localhost:8081
  weir tail orders --json --from earliest --once | jq 'select(.fate == \"REJECTED\")'";

/// Characters of a text inside a record that are shown to people.
const TEXT_CHARS: usize = 120;
/// Lines that are shown at once, so that the fields are not drawn anew for each.
const TOGETHER: usize = 200;
/// How long more lines are waited for before those that are there are shown: nobody sees less than this.
const SOON: Duration = Duration::from_millis(40);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TailArguments {
    /// A table, whose topics are read as it reads them, or a topic: kafka://HOST:PORT[,HOST:PORT..]/TOPIC,
    /// pulsar://HOST:PORT/[TENANT/NAMESPACE/]TOPIC, kinesis://REGION/STREAM, or local://TOPIC
    what: What,
    /// Where to begin: latest, earliest, last:N for the N newest, or an offset of each partition
    #[arg(long, default_value = "latest", value_name = "PLACE", value_parser = from_of)]
    from: String,
    /// Records at most; without end where it is not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// End where the log ends now, instead of waiting for more
    #[arg(long)]
    once: bool,
    /// Only this partition
    #[arg(long, value_name = "NUMBER")]
    partition: Option<u32>,
    /// Format of a topic, where it is not to be guessed: json, csv, avro-confluent and json-confluent (messages begin with the number of a
    /// schema in --registry), avro (plain, of the schema in --schema; without one it means avro-confluent)
    #[arg(long)]
    format: Option<String>,
    /// Names of the cells of CSV, between its delimiter
    #[arg(long)]
    header: Option<String>,
    /// URL of the schema registry whose schemas the messages of a topic name
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// File with the Avro schema that all messages were written with
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// One JSON object a line: records whole, changes of fields, troubles, and the fields at the end
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: ControllerAddress,
}

/// What is watched.
#[derive(Debug, Clone)]
enum What {
    Table(String),
    Stream(Map<String, Json>),
}

impl std::str::FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains("://") { stream_of(text).map(Self::Stream) } else { Ok(Self::Table(text.to_owned())) }
    }
}

fn from_of(text: &str) -> Result<String, String> {
    tail_from(text).map(|_| text.to_owned())
}

impl TailArguments {
    /// What the node is asked.
    fn asked(&self) -> Result<Json, Failure> {
        let mut asked = json!({
            "from": self.from, "limit": self.limit, "once": self.once, "partition": self.partition,
            "format": self.format, "header": self.header,
        });
        match &self.what {
            What::Table(table)
                if self.format.is_some()
                    || self.header.is_some()
                    || self.registry.is_some()
                    || self.schema.is_some() =>
            {
                return Err(Failure::Usage(format!(
                    "--format, --header, --registry and --schema belong to a topic; table {table} says how its messages are read"
                )));
            }
            What::Table(table) => asked["table"] = json!(table),
            What::Stream(stream) => {
                let mut stream = stream.clone();
                with_schemas(&mut stream, self.registry.as_deref(), self.schema.as_deref())?;
                asked["stream"] = Json::Object(stream);
            }
        }
        Ok(asked)
    }

    pub(super) async fn run(self) -> Result<(), Failure> {
        let asked = self.asked()?;
        let client = Client::new(&self.address.controller);
        let mut shown = Shown::new(self.json, Screen::of_stdout());
        let watched = async {
            match client.post_for_lines("/tail", &asked).await? {
                Ok(lines) => shown.follow(lines).await,
                Err(answer) if answer.status == 404 && matches!(self.what, What::Table(_)) => {
                    let text = format!("{}; a topic is named by its URL: kafka://HOST:PORT/TOPIC", answer.error());
                    Err(Failure::Failed(text))
                }
                Err(answer) => Err(Failure::Failed(answer.error())),
            }
        };
        let stop = told_to_stop()?;
        let ended = tokio::select! {
            ended = watched => ended.map(|()| true),
            () = stop => Ok(false),
        };
        // Where nothing was watched there is nothing to tell but why.
        if ended.is_ok() || shown.count > 0 {
            shown.finish()?;
        }
        let enough = self.once || self.limit.is_some_and(|limit| shown.count >= limit);
        match ended? {
            // The node ends what has an end; anything else is its own.
            true if !enough => Err(Failure::Unreachable(format!("{} has ended the answer: it stops", client.base()))),
            _ => Ok(()),
        }
    }
}

/// What was shown.
struct Shown {
    json: bool,
    screen: Screen,
    gutter: Gutter,
    /// Messages of every kind.
    count: u64,
    /// Messages that could not be read, or would be rejected.
    wrong: u64,
    /// Lines that are not on the screen yet.
    waiting: Vec<(Tone, String)>,
}

impl Shown {
    fn new(json: bool, screen: Screen) -> Self {
        Self { json, screen, gutter: Gutter::default(), count: 0, wrong: 0, waiting: vec![] }
    }

    async fn follow(&mut self, mut lines: Lines) -> Result<(), Failure> {
        loop {
            let line = if self.waiting.is_empty() {
                lines.next().await?
            } else {
                match tokio::time::timeout(SOON, lines.next()).await {
                    Ok(line) if self.waiting.len() < TOGETHER => line?,
                    Ok(line) => {
                        self.flush()?;
                        line?
                    }
                    Err(_) => {
                        self.flush()?;
                        continue;
                    }
                }
            };
            let Some(line) = line else { return self.flush() };
            let told: Json = serde_json::from_slice(&line).map_err(|error| {
                Failure::Failed(format!("the node's answer is not understood ({error}): is it of another version?"))
            })?;
            self.take(&told)?;
        }
    }

    fn take(&mut self, told: &Json) -> Result<(), Failure> {
        let kind = told["kind"].as_str().unwrap_or_default();
        if kind == "failed" {
            self.flush()?;
            return Err(Failure::Failed(text(&told["text"])));
        }
        if self.json && kind != "quiet" {
            data(&json_line(told))?;
        }
        if kind != "record" {
            if let Some(line) = words(told).filter(|_| !self.json) {
                self.waiting.push(line);
            }
            return Ok(());
        }
        self.count += 1;
        let fate = told["fate"].as_str();
        self.wrong += u64::from(told["reason"].is_string() && fate != Some("FILTERED"));
        let place = place(told);
        let changes = match &told["record"] {
            Json::Object(record) => self.gutter.add(record, &place),
            _ => vec![],
        };
        if self.json {
            return changes.iter().try_for_each(|change| data(&json_line(&change.json())));
        }
        self.waiting.extend(changes.iter().map(|change| (Tone::Change, change.text())));
        let why = told["reason"].as_str().map(|reason| {
            let column = told["column"].as_str().map(|column| format!("column {column}: ")).unwrap_or_default();
            let stage = told["stage"].as_str().map(|stage| format!("{stage} ")).unwrap_or_default();
            let mark = if fate == Some("FILTERED") { "-" } else { "!" };
            format!("  {mark} {stage}{column}{reason}")
        });
        let tone = if fate == Some("FILTERED") { Tone::Dim } else { Tone::Plain };
        let fate = fate.filter(|fate| *fate != "ROW").map(|fate| format!("{fate}  ")).unwrap_or_default();
        let key = told["key"].as_str().map(|key| format!("{}  ", short(key))).unwrap_or_default();
        let value = match (&told["record"], &told["value"]) {
            (Json::Object(record), _) => shortened(&Json::Object(record.clone())).to_string(),
            (_, Json::String(value)) => short(value),
            _ => "(no value)".to_owned(),
        };
        let line = format!("{place}  {key}{fate}{value}");
        match why {
            // Behind a long record the reason would be cut.
            Some(why) if self.screen.is_terminal() => {
                let of_why = if tone == Tone::Dim { Tone::Dim } else { Tone::Wrong };
                self.waiting.extend([(tone, line), (of_why, why)]);
            }
            why => self.waiting.push((tone, line + &why.unwrap_or_default())),
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let lines = std::mem::take(&mut self.waiting);
        if self.json || lines.is_empty() {
            return Ok(());
        }
        let fields = if self.screen.is_terminal() { self.gutter.lines(self.screen.room()) } else { vec![] };
        self.screen.show(&lines, &fields)
    }

    /// The end: all fields, and how much it was.
    fn finish(&mut self) -> Result<(), Failure> {
        self.flush()?;
        if self.json {
            return data(&json_line(&self.gutter.json()));
        }
        if !self.screen.is_terminal() {
            self.gutter.lines(usize::MAX).iter().for_each(|line| say(&escaped(line)));
        }
        let Self { count, wrong, gutter, .. } = self;
        let fields = gutter.records();
        say(&format!("{count} messages, {fields} of them with fields, {wrong} with errors; nothing was stored"));
        Ok(())
    }
}

/// What is told that is no record.
fn words(told: &Json) -> Option<(Tone, String)> {
    match told["kind"].as_str()? {
        "begin" => {
            let (low, high, from) = (&told["low"], &told["high"], &told["from"]);
            let place = format!("{}/{}", text(&told["topic"]), told["partition"]);
            Some((Tone::Change, format!("{place}: from offset {from} on; the log holds [{low}, {high})")))
        }
        "note" => Some((Tone::Change, format!("note: {}", text(&told["text"])))),
        "trouble" => {
            let place = format!("{}/{}", text(&told["topic"]), told["partition"]);
            Some((Tone::Wrong, format!("{place}: {}; it is tried again", text(&told["reason"]))))
        }
        _ => None,
    }
}

fn place(told: &Json) -> String {
    format!("{}/{}@{}", text(&told["topic"]), told["partition"], told["offset"])
}

fn text(json: &Json) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

/// A text, or its beginning with how long it is.
fn short(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS) {
        Some((end, _)) => format!("{}…({} characters)", &text[..end], text.chars().count()),
        None => text.to_owned(),
    }
}

/// A record whose long texts are cut.
fn shortened(value: &Json) -> Json {
    match value {
        Json::String(text) => json!(short(text)),
        Json::Array(values) => values.iter().map(shortened).collect(),
        Json::Object(fields) => {
            Json::Object(fields.iter().map(|(name, value)| (name.clone(), shortened(value))).collect())
        }
        other => other.clone(),
    }
}

/// JSON as one line that no terminal obeys: what it might obey stands in texts only, where an escape means the same.
fn json_line(json: &Json) -> String {
    escaped(&json.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_what_it_is_when_it_is_made_harmless() {
        let told = json!({"record": {"a\u{9b}": "x\u{7f}\u{202e}\u{1b}\n\"é日"}});
        let line = json_line(&told);
        assert!(line.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{line}");
        assert_eq!(serde_json::from_str::<Json>(&line).unwrap(), told);
    }

    #[test]
    fn a_line_says_place_key_fate_and_reason() {
        let mut shown = Shown::new(false, Screen::piped());
        let told = json!({
            "kind": "record", "topic": "t", "partition": 1, "offset": 7, "key": "k", "fate": "REJECTED", "stage": "TIME",
            "column": "ts", "reason": "is before 1971", "record": {"ts": 1, "long": "x".repeat(200)},
        });
        shown.take(&told).unwrap();
        let (tone, line) = &shown.waiting[0];
        assert_eq!(*tone, Tone::Plain);
        assert!(line.starts_with("t/1@7  k  REJECTED  {\"ts\":1,\"long\":\"xxx"), "{line}");
        let why = "  ! TIME column ts: is before 1971";
        assert!(line.contains("x…(200 characters)\"}") && line.ends_with(why), "{line}");
        shown.take(&json!({"kind": "record", "topic": "t", "partition": 1, "offset": 8, "tombstone": true})).unwrap();
        assert_eq!(shown.waiting[1].1, "t/1@8  (no value)");
        assert_eq!((shown.count, shown.wrong, shown.gutter.records()), (2, 1, 1));
        let mut watched = Shown::new(false, Screen::terminal());
        watched.take(&told).unwrap();
        assert_eq!(watched.waiting[1], (Tone::Wrong, why.to_owned()), "on a line of its own");
        assert!(shown.take(&json!({"kind": "failed", "text": "no"})).is_err());
    }
}
