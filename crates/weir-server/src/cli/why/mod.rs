//! `weir why`: the way of one message, from the stream to the rows that queries see, or to where it stopped.

mod way;

use crate::{
    cli::{
        ControllerAddress, Failure,
        output::{data, data_raw, escaped},
        quarantine::in_url,
        table_text::{Format, Grid},
    },
    client::Client,
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use clap::Args;
use hyper::Method;
use serde_json::{Value as Json, json};
use std::time::Duration;
use way::{Facts, Step, again, way};

const EXAMPLES: &str = "\
Examples:
  weir why --table orders --topic orders --partition 0 --offset 1742
  weir why --table orders --partition 0 --offset 1742
  weir why --table orders --key 4711
  weir why --table orders --column country --key DE
  weir why --table orders --topic orders --partition 0 --offset 1742 --format jsonl | tail -1

By offset it says whether the message was read, skipped, rejected or is a row, in which segment, and since when it can be
seen. By key it counts the rows whose primary key (or --column) has that value, and the rejected messages with that key, and lists
the first of them.";

/// Messages from an offset on among which that of the offset is looked for: those of other topics come between.
const LOOKED_AT: u64 = 64;
/// How long a message is waited for that is read again.
const READ_AGAIN: Duration = Duration::from_secs(20);
/// Rows that are listed of a key: more are no single message any more.
const ROWS: usize = 20;
/// Entries of the quarantine asked for at once.
const PAGE: usize = 10_000;
/// Segments that are asked for: far above what a partition has.
const SEGMENTS: usize = 1_000_000;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct WhyArguments {
    /// The table
    #[arg(long)]
    table: String,
    /// The message's topic; a table that reads one topic needs none
    #[arg(long, requires = "partition", requires = "offset", conflicts_with = "key")]
    topic: Option<String>,
    /// Its partition
    #[arg(long, requires = "offset", conflicts_with = "key")]
    partition: Option<u32>,
    /// Its offset
    #[arg(long, requires = "partition", conflicts_with = "key")]
    offset: Option<u64>,
    /// Its key: the value of the primary key, or of --column; also the key of a rejected message
    #[arg(long, required_unless_present = "offset", allow_hyphen_values = true)]
    key: Option<String>,
    /// The column that holds the key, where it is not the schema's one primary key
    #[arg(long, requires = "key")]
    column: Option<String>,
    #[command(flatten)]
    address: ControllerAddress,
    /// How it is written; lines on a terminal, JSON lines in a pipe
    #[arg(long, value_enum)]
    format: Option<Format>,
}

impl WhyArguments {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.address.controller);
        let asked = Asked { client, table: &self.table };
        let steps = match (self.partition, self.offset, &self.key) {
            (Some(partition), Some(offset), _) => {
                let topic = match &self.topic {
                    Some(topic) => topic.clone(),
                    None => asked.one_topic().await?,
                };
                let topic = topic.as_str();
                let facts = asked.facts(topic, partition, offset).await?;
                if facts.partition.is_null() && facts.segments.is_empty() {
                    return Err(Failure::Failed(asked.no_partition(topic, partition).await?));
                }
                let mut steps = way(&facts);
                if let Some(now) = asked.as_it_is_now(&steps, topic, partition, offset).await? {
                    steps.pop();
                    steps.push(now);
                }
                steps
            }
            (_, _, Some(key)) => asked.by_key(key, self.column.as_deref()).await?,
            _ => return Err(Failure::Usage("give --topic, --partition and --offset, or --key".to_owned())),
        };
        write(&steps, self.format.unwrap_or_else(Format::of_stdout))
    }
}

fn write(steps: &[Step], format: Format) -> Result<(), Failure> {
    if format == Format::Table {
        let width = steps.iter().map(|step| step.step.len()).max().unwrap_or(0);
        for Step { step, verdict, detail } in steps {
            data(&escaped(&format!("{step:width$}  {verdict}: {detail}")))?;
        }
        return Ok(());
    }
    let mut grid = Grid::new(["step", "verdict", "detail"].map(str::to_owned).to_vec());
    for Step { step, verdict, detail } in steps {
        grid.push(vec![json!(step), json!(verdict), json!(detail)]);
    }
    data_raw(&grid.write(format))
}

/// A node that is asked about a table.
struct Asked<'a> {
    client: Client,
    table: &'a str,
}

impl Asked<'_> {
    async fn get(&self, path: &str) -> Result<Json, Failure> {
        let answer = self.client.get(&format!("/tables/{}/{path}", in_url(self.table))).await?;
        if answer.is_success() { Ok(answer.json()) } else { Err(Failure::Failed(answer.error())) }
    }

    /// Rows of a query as objects.
    async fn sql(&self, sql: &str) -> Result<Vec<Json>, Failure> {
        let answer = self.client.send_json(Method::POST, "/sql", &json!({ "sql": sql })).await?;
        let json = answer.json();
        if !answer.is_success() {
            return Err(Failure::Failed(answer.error()));
        }
        if let Some(exception) = json["exceptions"].get(0) {
            let text = exception["message"].as_str().unwrap_or_default();
            return Err(Failure::Failed(format!("{sql}: {text}")));
        }
        let names: Vec<String> = super::apply::texts(&json["resultTable"]["dataSchema"]["columnNames"]);
        let object = |row: &Json| -> Json {
            let values = row.as_array().into_iter().flatten().cloned();
            Json::Object(names.iter().cloned().zip(values).collect())
        };
        Ok(json["resultTable"]["rows"].as_array().into_iter().flatten().map(object).collect())
    }

    async fn facts(&self, topic: &str, partition: u32, offset: u64) -> Result<Facts, Failure> {
        let of_partition = |row: &Json| row["topic"] == topic && row["partition"] == partition;
        let list = |json: Json| json.as_array().cloned().unwrap_or_default();
        let partitions = list(self.get("partitions").await?);
        let skips = list(self.get("skips").await?);
        let sql = format!(
            "SELECT * FROM system.segments WHERE \"table\" = {} AND topic = {} AND \"partition\" = {partition} \
             ORDER BY startOffset LIMIT {SEGMENTS}",
            quoted(self.raw_name()),
            quoted(topic)
        );
        let segments = self.sql(&sql).await?;
        let which = format!("quarantine?topic={}&partition={partition}&offsets={offset}", in_url(topic));
        let quarantine = self.get(&which).await?;
        let rejected: u64 = partitions.iter().filter_map(|row| row["rejected"].as_u64()).sum();
        Ok(Facts {
            offset,
            all_kept: quarantine["kept"].as_u64() == Some(rejected),
            partition: partitions.into_iter().find(of_partition).unwrap_or_default(),
            skips: skips.into_iter().filter(of_partition).collect(),
            segments,
            quarantine,
        })
    }

    /// What becomes of a message with the table as it is now, where counts alone leave it open whether it is a row: it is read
    /// again. None where that is not open, or its stream does not give it.
    async fn as_it_is_now(
        &self,
        steps: &[Step],
        topic: &str,
        partition: u32,
        offset: u64,
    ) -> Result<Option<Step>, Failure> {
        let Some(open) = steps.last().filter(|step| step.verdict == "ROW_OR_NONE") else { return Ok(None) };
        let asked = json!({
            "table": self.raw_name(), "from": offset.to_string(), "partition": partition, "once": true, "limit": LOOKED_AT,
        });
        // As many watch already as may, or the broker is away.
        let Ok(mut lines) = self.client.post_for_lines("/tail", &asked).await? else { return Ok(None) };
        let reading = async {
            while let Ok(Some(line)) = lines.next().await {
                let told: Json = serde_json::from_slice(&line).unwrap_or_default();
                let here = told["kind"] == "record" && told["topic"] == topic && told["partition"] == partition;
                if here && told["offset"].as_u64().is_some_and(|at| at >= offset) {
                    return Some(told);
                }
            }
            None
        };
        let told = tokio::time::timeout(READ_AGAIN, reading).await.ok().flatten();
        Ok(told.and_then(|told| again(open, &told, offset)))
    }

    /// The table's name as the system tables spell it.
    fn raw_name(&self) -> &str {
        let name = self.table.strip_prefix("default.").unwrap_or(self.table);
        name.strip_suffix("_REALTIME").unwrap_or(name)
    }

    /// The topic of a table that reads one, or read one only ever.
    async fn one_topic(&self) -> Result<String, Failure> {
        let partitions = self.get("partitions").await?;
        let topics = partitions.as_array().into_iter().flatten().filter_map(|row| row["topic"].as_str());
        let topics: std::collections::BTreeSet<&str> = topics.collect();
        match topics.iter().collect::<Vec<_>>().as_slice() {
            [one] => Ok((**one).to_owned()),
            [] => Err(Failure::Failed(format!("table {} reads no partition: name the message's --topic", self.table))),
            all => {
                let names: Vec<&str> = all.iter().take(ROWS).map(|name| **name).collect();
                Err(Failure::Usage(format!("table {} reads {}: --topic says which", self.table, names.join(", "))))
            }
        }
    }

    async fn no_partition(&self, topic: &str, partition: u32) -> Result<String, Failure> {
        let partitions = self.get("partitions").await?;
        let name = |row: &Json| format!("{}/{}", row["topic"].as_str().unwrap_or_default(), row["partition"]);
        let known: Vec<String> = partitions.as_array().into_iter().flatten().take(ROWS).map(name).collect();
        Ok(format!("table {} reads no partition {topic}/{partition}; it reads {}", self.table, known.join(", ")))
    }

    async fn by_key(&self, key: &str, column: Option<&str>) -> Result<Vec<Step>, Failure> {
        let schema = self.get("schema").await?;
        let mut steps = vec![];
        let column = match column {
            Some(column) => Some(column.to_owned()),
            None => {
                let primary = super::apply::texts(&schema["primaryKeyColumns"]);
                primary.into_iter().next().filter(|_| schema["primaryKeyColumns"][1].is_null())
            }
        };
        let found = match &column {
            Some(column) => self.rows(key, column, &schema, &mut steps).await?,
            None => 0,
        };
        let (kept, rejected) = self.rejected(key).await?;
        for entry in kept {
            let (topic, partition) = (entry["topic"].as_str().unwrap_or_default(), &entry["partition"]);
            let detail = format!(
                "{topic}/{partition}/{}, stage {}: {}",
                entry["offset"],
                entry["stage"].as_str().unwrap_or_default(),
                entry["reason"].as_str().unwrap_or_default()
            );
            steps.push(Step { step: "quarantine", verdict: "KEPT", detail });
        }
        let no_column = || {
            let table = self.table;
            format!("table {table} has no single primary key: --column says which column holds the key")
        };
        let (verdict, detail) = match (found, rejected) {
            (0, 0) if column.is_none() => return Err(Failure::Usage(no_column())),
            (0, _) if column.is_none() => {
                let rows = format!("rows were not looked for: {}", no_column());
                ("REJECTED", format!("{rejected} rejected messages have that key; {rows}"))
            }
            (0, 0) => {
                let detail = "no row and no rejected message has that key: it was not read yet, skipped, filtered, a tombstone, \
                              or past a bound; `weir lag` and `weir why` with its offset say which";
                ("NOT_FOUND", detail.to_owned())
            }
            (0, _) => ("REJECTED", format!("{rejected} rejected messages have that key, and no row")),
            _ => ("ROW", format!("{found} rows and {rejected} rejected messages have that key")),
        };
        steps.push(Step { step: "answer", verdict, detail });
        Ok(steps)
    }

    /// How many rows have that value; the first of them become steps, each with the segment that holds it.
    async fn rows(&self, key: &str, column: &str, schema: &Json, steps: &mut Vec<Step>) -> Result<u64, Failure> {
        let lists = ["dimensionFieldSpecs", "metricFieldSpecs", "dateTimeFieldSpecs"];
        let fields = lists.iter().flat_map(|list| schema[*list].as_array().into_iter().flatten());
        let Some(field) = fields.into_iter().find(|field| field["name"] == column) else {
            return Err(Failure::Failed(format!("--column {column}: table {} has no such column", self.table)));
        };
        let number = matches!(field["dataType"].as_str(), Some("INT" | "LONG" | "FLOAT" | "DOUBLE" | "TIMESTAMP"));
        let value = match number_of(key) {
            Some(literal) if number => literal,
            None if number && field["dataType"] != "TIMESTAMP" => {
                return Err(Failure::Failed(format!("--key {key}: column {column} holds numbers")));
            }
            _ => quoted(key),
        };
        let which = format!("FROM {} WHERE {} = {value}", identifier(self.raw_name()), identifier(column));
        let counted = self.sql(&format!("SELECT COUNT(*) AS n {which}")).await?;
        let count = counted.first().and_then(|row| row["n"].as_u64()).unwrap_or(0);
        let sql = format!("SELECT \"$segmentName\", * {which} LIMIT {ROWS}");
        for mut row in self.sql(&sql).await? {
            let segment = row["$segmentName"].as_str().unwrap_or_default().to_owned();
            let sql = format!(
                "SELECT * FROM system.segments WHERE \"table\" = {} AND segment = {}",
                quoted(self.raw_name()),
                quoted(&segment)
            );
            let known = self.sql(&sql).await?.into_iter().next().unwrap_or_default();
            if let Some(row) = row.as_object_mut() {
                row.remove("$segmentName");
            }
            let text = |key: &str| known[key].as_str().unwrap_or_default().to_owned();
            let end = known["endOffset"].as_u64().map_or_else(|| "..".to_owned(), |end| end.to_string());
            let detail = format!(
                "{segment} ({}, {}/{} [{}, {end}), begun at {}): {row}",
                text("state"),
                text("topic"),
                known["partition"],
                known["startOffset"],
                way::time(&known, "createdMs"),
            );
            steps.push(Step { step: "row", verdict: "FOUND", detail });
        }
        Ok(count)
    }

    /// Rejected messages whose key is that text, as itself, as JSON, or as serializers write numbers: the first of them, and
    /// how many there are.
    async fn rejected(&self, key: &str) -> Result<(Vec<Json>, usize), Failure> {
        let wanted = serialized(key);
        let has_key =
            |entry: &&Json| entry["keyBase64"].as_str().is_some_and(|key| wanted.iter().any(|one| one == key));
        let (mut found, mut count, mut after) = (vec![], 0, String::new());
        loop {
            let page = self.get(&format!("quarantine?limit={PAGE}{after}")).await?;
            let entries = page["entries"].as_array().into_iter().flatten();
            for entry in entries.filter(has_key) {
                count += 1;
                if found.len() < ROWS {
                    found.push(entry.clone());
                }
            }
            match page["next"].as_str() {
                Some(next) => after = format!("&after={}", in_url(next)),
                None => break,
            }
        }
        Ok((found, count))
    }
}

/// A number as SQL reads it: without blanks, a plus or zeros in front.
fn number_of(key: &str) -> Option<String> {
    let key = key.trim();
    if let Ok(whole) = key.parse::<i128>() {
        return Some(whole.to_string());
    }
    let plain = key.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let finite = key.parse::<f64>().is_ok_and(f64::is_finite);
    (plain && finite).then(|| key.trim_start_matches('+').to_owned())
}

/// The bytes that a key may have in a message, as Base64: text, JSON, and what the serializers of INT, LONG and DOUBLE write.
fn serialized(key: &str) -> Vec<String> {
    let mut bytes = vec![key.as_bytes().to_vec(), json!(key).to_string().into_bytes()];
    bytes.extend(key.trim().parse::<i32>().map(|number| number.to_be_bytes().to_vec()));
    bytes.extend(key.trim().parse::<i64>().map(|number| number.to_be_bytes().to_vec()));
    bytes.extend(number_of(key).and_then(|text| text.parse::<f64>().ok()).map(|number| number.to_be_bytes().to_vec()));
    bytes.iter().map(|bytes| BASE64.encode(bytes)).collect()
}

/// A text in SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name in SQL.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_keys_are_numbers_in_sql_and_bytes_in_messages() {
        for (key, literal) in [
            ("4711", Some("4711")),
            ("-5", Some("-5")),
            (" +007 ", Some("7")),
            ("9223372036854775807", Some("9223372036854775807")),
            ("1.50", Some("1.50")),
            ("1e3", Some("1e3")),
            ("NaN", None),
            ("inf", None),
            ("1e999", None),
            ("1 OR 1=1", None),
            ("", None),
        ] {
            assert_eq!(number_of(key).as_deref(), literal, "{key}");
        }
        let bytes = serialized("4711");
        for wanted in [&b"4711"[..], &4711_i32.to_be_bytes(), &4711_i64.to_be_bytes(), &4711_f64.to_be_bytes()] {
            assert!(bytes.contains(&BASE64.encode(wanted)), "{wanted:?}");
        }
        assert_eq!(serialized("x").len(), 2);
    }

    #[test]
    fn what_people_write_is_text_in_sql() {
        assert_eq!(quoted("it's"), "'it''s'");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }
}
