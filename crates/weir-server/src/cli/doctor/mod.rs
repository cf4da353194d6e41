//! `weir doctor`: what is wrong with a node, or with a config before there is a table, in the order in which it is mended.
//!
//! First whether the node answers and what it finds about itself, then its broker, then each table: its streams, its partitions,
//! what it rejected and what it passed over. Everything is asked of the node; nothing is changed.

mod table;

use crate::{
    cli::{
        ControllerAddress, Failure,
        broker::BrokerAddress,
        document::DocumentArgument,
        output::{data, escaped, say},
        try_records::cuts,
    },
    client::{Answer, Client},
    node::{Check, Grade, TableConfigs},
};
use clap::Args;
use futures::{StreamExt, stream};
use hyper::Method;
use serde_json::{Value as Json, json};
use std::{io::IsTerminal, time::Duration};

const EXAMPLES: &str = "\
OK is well, LOOK works and wants a look, WRONG does not work; below stands what to do. The exit code is 1 where something is WRONG.

Examples:
  weir doctor
  weir doctor --table orders
  weir doctor --config orders.json
  weir doctor --json | jq 'select(.grade == \"WRONG\")'";

/// Clocks that differ by more make nonsense of lags and of times of rows.
const CLOCKS_MS: u64 = 2_000;
/// Records of a config's streams that are tried.
const TRIED: u64 = 100;

/// What a node tells from its memory comes within milliseconds: one that takes this long hangs.
const ANSWERS: Duration = Duration::from_secs(10);
/// Where the node itself asks others, a deep store or brokers, which it gives up before this.
const ASKS_OTHERS: Duration = Duration::from_secs(60);
/// Tables that are looked at at once: those of a broker that hangs wait together, and a node is not flooded.
const TABLES_AT_ONCE: usize = 8;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DoctorArguments {
    /// Only this table
    #[arg(long)]
    table: Option<String>,
    /// Look at a tableConfigs document instead of the tables that are there; - reads stdin
    #[arg(long, value_name = "FILE", conflicts_with = "table")]
    config: Option<std::path::PathBuf>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    broker: BrokerAddress,
    #[command(flatten)]
    address: ControllerAddress,
}

/// What was found, shown as it is found: a stream that does not answer takes seconds.
struct Findings {
    json: bool,
    colour: bool,
    look: usize,
    wrong: usize,
}

impl Findings {
    fn add(&mut self, check: &Check) -> Result<(), Failure> {
        match check.grade {
            Grade::Ok => {}
            Grade::Look => self.look += 1,
            Grade::Wrong => self.wrong += 1,
        }
        let Check { name, grade, subject, detail, remedy } = check;
        if self.json {
            let line =
                json!({"check": name, "grade": grade.word(), "subject": subject, "detail": detail, "remedy": remedy});
            return data(&escaped(&line.to_string()));
        }
        let code = match grade {
            Grade::Ok => "32",
            Grade::Look => "33",
            Grade::Wrong => "31",
        };
        let word = format!("{:5}", grade.word());
        let word = if self.colour { format!("\x1b[{code}m{word}\x1b[0m") } else { word };
        data(&format!("{word}  {name:10}  {}", escaped(&format!("{subject}: {detail}"))))?;
        match remedy {
            Some(remedy) => data(&format!("       -> {}", escaped(remedy))),
            None => Ok(()),
        }
    }

    fn all(&mut self, checks: &[Check]) -> Result<(), Failure> {
        checks.iter().try_for_each(|check| self.add(check))
    }
}

impl DoctorArguments {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let colour =
            std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let mut found = Findings { json: self.json, colour, look: 0, wrong: 0 };
        let config = self.config.clone().map(DocumentArgument::of);
        let read = match &config {
            Some(document) => Some(offline(document, &mut found)?),
            None => None,
        };
        let client = Client::new(&self.address.controller).giving_up_after(ANSWERS);
        let of_table = |table: &str| config.is_none() && self.table.as_ref().is_none_or(|wanted| wanted == table);
        if node(&client, of_table, &mut found).await? {
            self.broker(&mut found).await?;
            match (&config, read.flatten()) {
                (Some(document), Some(json)) => found.all(&online(&client, document, &json).await?)?,
                (Some(_), None) => {}
                (None, _) => self.tables(&client, &mut found).await?,
            }
        }
        let Findings { look, wrong, .. } = found;
        say(&match (wrong, look) {
            (0, 0) => "all is well".to_owned(),
            (0, look) => format!("nothing is wrong; {look} to look at"),
            (wrong, look) => format!("{wrong} wrong, {look} to look at"),
        });
        // What is wrong was said.
        if wrong > 0 { Err(Failure::Failed(String::new())) } else { Ok(()) }
    }

    /// Whether queries are answered.
    async fn broker(&self, found: &mut Findings) -> Result<(), Failure> {
        let remedy = "queries go there: look whether the port is reachable from here; --broker names another";
        let url = match tokio::time::timeout(ANSWERS, self.broker.url(&self.address)).await {
            Ok(url) => url?,
            Err(_) => return found.add(&silent("broker", &self.address.controller).wrong(remedy)),
        };
        let asked = json!({"sql": "SELECT COUNT(*) FROM system.partitions"});
        let broker = Client::new(&url).giving_up_after(ANSWERS);
        let answer = broker.send_json(Method::POST, "/query/sql", &asked).await;
        let check = match answer {
            Err(error) => Check::ok("broker", url, error.to_string()).wrong(remedy),
            Ok(answer) => match answer.json()["resultTable"]["rows"][0][0].as_u64() {
                Some(partitions) => {
                    Check::ok("broker", url, format!("it answers queries; {partitions} partitions are read"))
                }
                None => {
                    Check::ok("broker", url, format!("it does not answer a query: {}", said(&answer))).wrong(remedy)
                }
            },
        };
        found.add(&check)
    }

    async fn tables(&self, client: &Client, found: &mut Findings) -> Result<(), Failure> {
        let tables = match &self.table {
            Some(table) => vec![table.clone()],
            None => super::apply::texts(&client.get("/tables").await?.json()["tables"]),
        };
        if tables.is_empty() {
            let makes = self.address.same("weir infer kafka://HOST:PORT/TOPIC");
            found.add(
                &Check::ok("tables", client.base(), "there is no table yet")
                    .look(format!("`{makes} > FILE` writes one for a topic")),
            )?;
        }
        let looked = stream::iter(tables).map(async |name| match table::checks(client, &self.address, &name).await {
            Err(Failure::Unreachable(why)) => Ok(vec![away(&name, why)]),
            other => other,
        });
        // In their order, each as soon as those before it are through.
        let mut looked = std::pin::pin!(looked.buffered(TABLES_AT_ONCE));
        while let Some(checks) = looked.next().await {
            found.all(&checks?)?;
        }
        Ok(())
    }
}

/// Somebody who takes connections and says nothing.
fn silent(name: &str, url: &str) -> Check {
    Check::ok(name, url, format!("no answer within {} s", ANSWERS.as_secs()))
}

/// A table of which the node tells nothing.
fn away(table: &str, why: String) -> Check {
    Check::ok("table", table, why).wrong("the node answered before: look at its log, and whether it is overloaded")
}

/// What a node says is wrong.
fn said(answer: &Answer) -> String {
    let exception = answer.json()["exceptions"][0]["message"].as_str().map(str::to_owned);
    exception.unwrap_or_else(|| answer.error())
}

/// Whether the node answers, and what it finds about itself and of the segments of those tables. False where it does not
/// answer.
async fn node(client: &Client, of_table: impl Fn(&str) -> bool, found: &mut Findings) -> Result<bool, Failure> {
    let base = client.base().to_owned();
    // A node that hangs is told by a question that needs nobody else.
    let asked = async {
        client.get("/health").await?;
        client.giving_up_after(ASKS_OTHERS).get("/checks").await
    };
    let answer = match asked.await {
        Ok(answer) if answer.is_success() => answer.json(),
        Ok(answer) => {
            let detail = format!("it answers, but not as this command asks ({})", answer.error());
            found.add(
                &Check::ok("node", base, detail).wrong("is it a weir node of this version? --controller names another"),
            )?;
            return Ok(false);
        }
        Err(error) => {
            let remedy = "`weir start --data-dir ./data` starts a node here; --controller or WEIR_CONTROLLER names one elsewhere";
            found.add(&Check::ok("node", base, error.to_string()).wrong(remedy))?;
            return Ok(false);
        }
    };
    let now_ms = now_ms();
    found.add(&Check::ok("node", base.clone(), "it answers"))?;
    found.add(&version(&base, answer["version"].as_str().unwrap_or("?")))?;
    found.add(&clock(&base, now_ms, answer["nowMs"].as_i64().unwrap_or(now_ms)))?;
    for check in answer["checks"].as_array().into_iter().flatten() {
        let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        if text("check") == "segments" && !of_table(&text("subject")) {
            continue;
        }
        found.add(&Check {
            name: text("check"),
            grade: Grade::of(&text("grade")),
            subject: text("subject"),
            detail: text("detail"),
            remedy: check["remedy"].as_str().map(str::to_owned),
        })?;
    }
    Ok(true)
}

fn now_ms() -> i64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as i64)
}

fn version(node: &str, its: &str) -> Check {
    let ours = env!("CARGO_PKG_VERSION");
    if its == ours {
        return Check::ok("version", node, format!("{its}, as this command's"));
    }
    Check::ok("version", node, format!("{its}; this command is {ours}")).look("use the command of the node's version")
}

fn clock(node: &str, ours_ms: i64, its_ms: i64) -> Check {
    let apart = ours_ms.abs_diff(its_ms);
    let check = Check::ok("clock", node, format!("within {} s of the one here", apart.div_ceil(1_000)));
    if apart <= CLOCKS_MS {
        return check;
    }
    let way = if its_ms > ours_ms { "ahead of" } else { "behind" };
    let detail = format!("{:.1} s {way} the one here", apart as f64 / 1_000.0);
    Check { detail, ..check }.look("have both follow a time server (NTP): lags and freshness are measured by them")
}

/// A config as it can be read without a node; none where it cannot.
fn offline(document: &DocumentArgument, found: &mut Findings) -> Result<Option<Json>, Failure> {
    let file = document.shown();
    let json = match document.read() {
        Ok(json) => json,
        Err(Failure::Failed(text)) => {
            found.add(&Check::ok("config", file, text).wrong("mend the file"))?;
            return Ok(None);
        }
        Err(other) => return Err(other),
    };
    match TableConfigs::parse(&json) {
        Ok(configs) => {
            found.add(&Check::ok("config", file.clone(), format!("table {} is well described", configs.name)))?;
            for pointer in configs.unrecognized.keys() {
                let check = Check::ok("config", file.clone(), format!("{pointer}: nobody knows this key"));
                found.add(&check.look("it has no effect: look whether it is misspelt"))?;
            }
            for error in configs.unmakeable().errors {
                found.add(&Check::ok("config", file.clone(), error).wrong("mend the setting"))?;
            }
            for warning in configs.warnings() {
                let remedy = "look whether that is meant";
                found.add(&Check::ok("config", file.clone(), warning).look(remedy))?;
            }
            Ok(Some(json))
        }
        Err(errors) => {
            for error in &errors.0 {
                found.add(&Check::ok("config", file.clone(), error.to_string()).wrong("mend the value there"))?;
            }
            Ok(None)
        }
    }
}

/// What a node finds of a config: its streams, and what would become of their newest records.
async fn online(client: &Client, document: &DocumentArgument, json: &Json) -> Result<Vec<Check>, Failure> {
    let file = document.shown();
    let streams = table::streams(client, &file, json).await?;
    let reached = streams.iter().all(|check| check.grade != Grade::Wrong);
    let mut checks = streams;
    if reached {
        let patient = client.giving_up_after(ASKS_OTHERS);
        let answer = patient.send_json(Method::POST, &format!("/tableConfigs/try?records={TRIED}"), json).await?;
        if answer.is_success() {
            let answer = answer.json();
            checks.extend(unmatched(&file, &answer));
            let tried = answer["records"].as_array().cloned().unwrap_or_default();
            checks.extend(cuts(&tried).into_iter().map(|line| {
                Check::ok("values", file.clone(), line).look("what is beyond the length of its column is not stored")
            }));
            checks.push(records(&file, &document.word(), &Json::Array(tried)));
        } else {
            checks.push(Check::ok("records", file, answer.error()).wrong("mend what it names"));
        }
    }
    Ok(checks)
}

/// That the newest records fill no column.
fn unmatched(subject: &str, tried: &Json) -> Vec<Check> {
    let of = |text: String| {
        Check::ok("columns", subject, text).look("mend the names of the columns, or how they are filled")
    };
    super::apply::texts(&tried["warnings"]).into_iter().map(of).collect()
}

/// How many of the newest records would be rejected.
fn records(file: &str, word: &str, records: &Json) -> Check {
    let all = records.as_array().map_or(0, Vec::len);
    let rejected: Vec<&Json> =
        records.as_array().into_iter().flatten().filter(|record| record["fate"] == "REJECTED").collect();
    let Some(first) = rejected.first() else {
        return Check::ok("records", file, format!("of the newest {all} records none would be rejected"));
    };
    let place = format!("{}/{}@{}", first["topic"].as_str().unwrap_or_default(), first["partition"], first["offset"]);
    let why = first["reason"].as_str().unwrap_or_default();
    let check = Check::ok(
        "records",
        file,
        format!("of the newest {all} records {} would be rejected, the first at {place}: {why}", rejected.len()),
    );
    let remedy = format!("`weir try {word}` shows each of them");
    if rejected.len() == all { check.wrong(remedy) } else { check.look(remedy) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_and_versions_are_compared() {
        assert_eq!(clock("n", 10_000, 10_400).grade, Grade::Ok);
        let ahead = clock("n", 10_000, 15_000);
        assert_eq!((ahead.grade, ahead.detail.as_str()), (Grade::Look, "5.0 s ahead of the one here"));
        assert!(clock("n", 15_000, 10_000).detail.contains("behind"));
        assert_eq!(version("n", env!("CARGO_PKG_VERSION")).grade, Grade::Ok);
        assert_eq!(version("n", "0.0.1").grade, Grade::Look);
    }

    #[test]
    fn records_that_are_all_rejected_are_wrong() {
        let record = |fate: &str| json!({"fate": fate, "topic": "t", "partition": 0, "offset": 7, "reason": "no"});
        let grade = |fates: &[&str]| records("f", "f", &fates.iter().map(|fate| record(fate)).collect());
        assert_eq!((grade(&[]).grade, grade(&["ROW", "FILTERED"]).grade), (Grade::Ok, Grade::Ok));
        let some = grade(&["ROW", "REJECTED"]);
        assert_eq!(some.grade, Grade::Look);
        assert!(some.detail.ends_with("1 would be rejected, the first at t/0@7: no"), "{}", some.detail);
        assert_eq!(grade(&["REJECTED"]).grade, Grade::Wrong);
    }
}
