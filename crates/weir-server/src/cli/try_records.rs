//! `weir try`: what would become of the newest records of a stream, before there is a table.

use crate::{
    cli::{
        ControllerAddress, Failure,
        document::DocumentArgument,
        output::{data, harmless, say},
    },
    client::Client,
    node::TableConfigs,
};
use clap::Args;
use hyper::Method;
use serde_json::Value as Json;
use std::collections::BTreeMap;

const EXAMPLES: &str = "\
Examples:
  weir try orders.json
  weir try orders.json --records 1000
  weir try orders.json --json | jq 'select(.fate == \"REJECTED\")'";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TryArguments {
    #[command(flatten)]
    document: DocumentArgument,
    /// Records, the newest of all partitions; 1000 at most. Rejected ones are no failure of the command
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
    records: u64,
    /// One JSON object a record, with its value and rows whole
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: ControllerAddress,
}

impl TryArguments {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let file = self.document.shown();
        let json = self.document.read()?;
        TableConfigs::parse(&json).map_err(|errors| {
            errors.0.iter().for_each(|error| say(&format!("{file}: {error}")));
            Failure::Failed(format!("{file}: nothing was tried"))
        })?;
        let client = Client::new(&self.address.controller);
        let path = format!("/tableConfigs/try?records={}", self.records);
        let answer = client.send_json(Method::POST, &path, &json).await?;
        if !answer.is_success() {
            return Err(Failure::Failed(format!("{file}: {}", answer.error())));
        }
        let answer = answer.json();
        let records = answer["records"].as_array().cloned().unwrap_or_default();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for record in &records {
            *counts.entry(text(&record["fate"])).or_default() += 1;
            if self.json {
                data(&record.to_string())?;
            } else {
                lines(record)?;
            }
        }
        let empty = never_filled(&records);
        if !empty.is_empty() {
            say(&format!("{file}: no record filled {}", empty.join(", ")));
        }
        let counts: Vec<String> = counts.iter().map(|(fate, count)| format!("{count} {fate}")).collect();
        let said = if records.is_empty() { "no record is there yet".to_owned() } else { counts.join(", ") };
        say(&format!("{file}: {said}; nothing was stored"));
        let word = self.document.word();
        say(&if !records.is_empty() && records.iter().all(|record| record["fate"] == "REJECTED") {
            let again = self.address.same(&format!("weir try {word}"));
            format!("next: mend what the reasons name, or how the records are written; then {again}")
        } else {
            format!("next: {}", self.address.same(&format!("weir apply {word}")))
        });
        Ok(())
    }
}

/// Columns that are null in every row, where there is a row.
fn never_filled(records: &[Json]) -> Vec<String> {
    let rows: Vec<&Json> = records.iter().flat_map(|record| record["rows"].as_array().into_iter().flatten()).collect();
    let names = rows.first().and_then(|row| row.as_object()).into_iter().flat_map(|row| row.keys());
    names.filter(|name| rows.iter().all(|row| row[name.as_str()].is_null())).cloned().collect()
}

fn text(json: &Json) -> String {
    json.as_str().map_or_else(|| json.to_string(), str::to_owned)
}

/// A record before and after.
fn lines(record: &Json) -> Result<(), Failure> {
    let place = format!("{}/{}@{}", text(&record["topic"]), record["partition"], record["offset"]);
    data(&format!("{place}  {}", text(&record["fate"])))?;
    if !record["value"].is_null() {
        data(&format!("  record  {}", harmless(&text(&record["value"]))))?;
    }
    for row in record["rows"].as_array().into_iter().flatten() {
        data(&format!("  row     {row}"))?;
    }
    if let Some(reason) = record["reason"].as_str() {
        let column = record["column"].as_str().map(|column| format!(" column {column}:")).unwrap_or_default();
        data(&format!("  {}{column} {}", text(&record["stage"]), harmless(reason)))?;
    }
    Ok(())
}
