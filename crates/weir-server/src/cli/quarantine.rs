//! `weir quarantine`: looks at records that could not become rows, tries them again, deletes them.

use crate::{
    cli::{
        ControllerAddress, Failure,
        output::{data, data_raw, escaped, escaped_lines, say},
        table_text::{Format, Grid},
    },
    client::{Answer, Client},
    rest::stage,
};
use bytes::Bytes;
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::Value as Json;

const EXAMPLES: &str = "\
Examples:
  weir quarantine list orders
  weir quarantine list orders --stage DATA_TYPE --limit 1000 --format jsonl
  weir quarantine show orders orders/0/1742
  weir quarantine replay orders
  weir quarantine replay orders --topic orders --partition 0 --offsets 1742,1743
  weir quarantine drop orders --stage DECODE
  weir quarantine drop orders --all";

/// What is listed of an entry.
const COLUMNS: [&str; 7] = ["topic", "partition", "offset", "stage", "column", "reason", "timeMs"];
/// Entries asked for at once.
const PAGE: u64 = 1000;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct QuarantineArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List records that could not become rows
    #[command(after_help = EXAMPLES)]
    List {
        /// The table
        table: String,
        #[command(flatten)]
        which: Which,
        /// Records listed at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
        /// How it is written; a table on a terminal, JSON lines in a pipe
        #[arg(long, value_enum)]
        format: Option<Format>,
        #[command(flatten)]
        address: ControllerAddress,
    },
    /// Show one record with its bytes
    #[command(after_help = EXAMPLES)]
    Show {
        /// The table
        table: String,
        /// The record: topic/partition/offset
        #[arg(value_name = "TOPIC/PARTITION/OFFSET", value_parser = place)]
        record: Which,
        #[command(flatten)]
        address: ControllerAddress,
    },
    /// Try records again with the table's settings as they are now; all where none are named
    #[command(after_help = EXAMPLES)]
    Replay {
        /// The table
        table: String,
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        address: ControllerAddress,
    },
    /// Delete records for good; they stay counted as rejected
    #[command(after_help = EXAMPLES)]
    Drop {
        /// The table
        table: String,
        #[command(flatten)]
        which: Which,
        /// Delete all of them
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        address: ControllerAddress,
    },
}

/// Which records are meant.
#[derive(Debug, Clone, Default, Args)]
struct Which {
    /// Of this topic
    #[arg(long)]
    topic: Option<String>,
    /// Of this partition
    #[arg(long)]
    partition: Option<u32>,
    /// These offsets, separated by commas; needs topic and partition
    #[arg(long, value_delimiter = ',', requires = "topic", requires = "partition")]
    offsets: Vec<u64>,
    /// From this offset on
    #[arg(long, value_name = "OFFSET")]
    from: Option<u64>,
    /// Up to this offset, itself not
    #[arg(long, value_name = "OFFSET")]
    to: Option<u64>,
    /// Rejected at this stage: DECODE, COMPLEX_TYPE, TRANSFORM, FILTER, DATA_TYPE, TIME, SANITISE, REPLAY
    #[arg(long, value_parser = known_stage)]
    stage: Option<String>,
}

impl Which {
    /// As parameters of a request.
    fn query(&self) -> String {
        let offsets: Vec<String> = self.offsets.iter().map(ToString::to_string).collect();
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let parts = [
            ("topic", self.topic.clone()),
            ("partition", number(self.partition.map(u64::from))),
            ("offsets", (!offsets.is_empty()).then(|| offsets.join(","))),
            ("fromOffset", number(self.from)),
            ("toOffset", number(self.to)),
            ("stage", self.stage.clone()),
        ];
        let parts = parts.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", in_url(&value?))));
        parts.collect::<Vec<_>>().join("&")
    }
}

/// Text as part of a URL.
pub(super) fn in_url(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b',' | b'/' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Reads the word of a stage.
fn known_stage(word: &str) -> Result<String, String> {
    stage(word).map(|stage| stage.to_string())
}

/// Reads `topic/partition/offset`.
fn place(text: &str) -> Result<Which, String> {
    let read = || {
        let (rest, offset) = text.rsplit_once('/')?;
        let (topic, partition) = rest.rsplit_once('/')?;
        let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
        let topic = Some(topic.to_owned()).filter(|topic| !topic.is_empty());
        Some(Which { topic: Some(topic?), partition: Some(partition), offsets: vec![offset], ..Which::default() })
    };
    read().ok_or_else(|| "must be topic/partition/offset, such as orders/0/1742".to_owned())
}

fn good(answer: Answer) -> Result<Json, Failure> {
    if answer.is_success() { Ok(answer.json()) } else { Err(Failure::Failed(answer.error())) }
}

impl QuarantineArguments {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::List { table, which, limit, format, address } => {
                let client = Client::new(&address.controller);
                list(&client, &table, &which, limit, format.unwrap_or_else(Format::of_stdout)).await
            }
            Action::Show { table, record, address } => show(&address, &table, &record).await,
            Action::Replay { table, which, address } => replay(&Client::new(&address.controller), &table, &which).await,
            Action::Drop { table, which, all, address } => {
                let query = which.query();
                if all != query.is_empty() {
                    let text = "say which records to delete, or --all: weir quarantine drop --help shows how";
                    return Err(Failure::Usage(text.to_owned()));
                }
                let client = Client::new(&address.controller);
                let path = format!("/tables/{table}/quarantine?{query}");
                let answer = good(client.send(Method::DELETE, &path, &[], Bytes::new()).await?)?;
                say(&format!("{} deleted", answer["deleted"]));
                Ok(())
            }
        }
    }
}

async fn list(client: &Client, table: &str, which: &Which, limit: u64, format: Format) -> Result<(), Failure> {
    let mut grid = Grid::new(COLUMNS.iter().map(|name| (*name).to_owned()).collect());
    let mut after = String::new();
    loop {
        let page = PAGE.min(limit - grid.len() as u64);
        let path = format!("/tables/{table}/quarantine?limit={page}{after}&{}", which.query());
        let answer = good(client.get(&path).await?)?;
        for entry in answer["entries"].as_array().into_iter().flatten() {
            grid.push(COLUMNS.iter().map(|name| entry[*name].clone()).collect());
        }
        match answer["next"].as_str() {
            Some(next) if (grid.len() as u64) < limit => after = format!("&after={}", in_url(next)),
            next => {
                let (kept, evicted, deleted) = (&answer["kept"], &answer["evicted"], &answer["deleted"]);
                let replayed = &answer["replayed"];
                let more = if next.is_some() { "; there are more: --limit shows them" } else { "" };
                say(&format!("{kept} kept, {evicted} evicted, {deleted} deleted, {replayed} replayed{more}"));
                break;
            }
        }
    }
    data_raw(&grid.write(format))
}

async fn show(address: &ControllerAddress, table: &str, record: &Which) -> Result<(), Failure> {
    let client = Client::new(&address.controller);
    let answer = good(client.get(&format!("/tables/{table}/quarantine?{}", record.query())).await?)?;
    let entries = answer["entries"].as_array().cloned().unwrap_or_default();
    if entries.is_empty() {
        let all = address.same(&format!("weir quarantine list {table}"));
        return Err(Failure::Failed(format!("it is not in the quarantine of {table}: {all} shows what is")));
    }
    for entry in entries {
        data(&escaped_lines(&serde_json::to_string_pretty(&entry).unwrap_or_else(|_| entry.to_string())))?;
    }
    Ok(())
}

async fn replay(client: &Client, table: &str, which: &Which) -> Result<(), Failure> {
    let path = format!("/tables/{table}/quarantine/replay?{}", which.query());
    let answer = good(client.send_json(Method::POST, &path, &Json::Null).await?)?;
    say(&format!("{} replayed, {} rows", answer["replayed"], answer["rows"]));
    if let Some(absent) = answer["notInQuarantine"].as_u64().filter(|absent| *absent > 0) {
        say(&format!("{absent} of those named are not in quarantine"));
    }
    let failures = answer["failures"].as_array().cloned().unwrap_or_default();
    for failure in &failures {
        let text = |key: &str| failure[key].as_str().unwrap_or_default().to_owned();
        let (partition, offset) = (&failure["partition"], &failure["offset"]);
        data(&format!("{}/{partition}/{offset}: {}: {}", text("topic"), text("stage"), escaped(&text("reason"))))?;
    }
    match answer["failed"].as_u64().unwrap_or_default() {
        0 => Ok(()),
        failed => Err(Failure::Failed(format!("{failed} failed again and stay in quarantine"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_named_by_place_and_by_filters() {
        let one = place("orders.v1/3/77").unwrap();
        assert_eq!(one.query(), "topic=orders.v1&partition=3&offsets=77");
        for wrong in ["", "orders", "orders/1", "/1/2", "orders/x/1", "orders/1/-1"] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
        let some = Which { from: Some(1), to: Some(9), stage: Some("A B&c".into()), ..Which::default() };
        assert_eq!(some.query(), "fromOffset=1&toOffset=9&stage=A%20B%26c");
        assert_eq!(Which::default().query(), "");
    }

    #[test]
    fn the_help_names_every_stage() {
        use clap::Args as _;
        let help = Which::augment_args(clap::Command::new("x")).render_long_help().to_string();
        for known in weir_ingest::STAGES {
            assert!(help.contains(known), "{known} is not in the help of --stage");
        }
        assert_eq!(known_stage("data_type").unwrap(), "DATA_TYPE");
        assert!(known_stage("TYPE").unwrap_err().contains("DATA_TYPE"));
    }
}
