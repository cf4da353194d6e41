//! `weir try`: what would become of the newest records of a stream, before there is a table.

use crate::{
    cli::{
        ControllerAddress, Failure,
        apply::texts,
        document::DocumentArgument,
        output::{data, escaped, say},
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
                data(&escaped(&record.to_string()))?;
            } else {
                lines(record)?;
            }
        }
        let empty = never_filled(&records);
        if !empty.is_empty() {
            say(&format!("{file}: no record filled {}", empty.join(", ")));
        }
        for line in cuts(&records) {
            say(&format!("{file}: {line}"));
        }
        let warnings = texts(&answer["warnings"]);
        for warning in &warnings {
            say(&escaped(&format!("{file}: warning: {warning}")));
        }
        let counts: Vec<String> = counts.iter().map(|(fate, count)| format!("{count} {fate}")).collect();
        let said = if records.is_empty() { "no record is there yet".to_owned() } else { counts.join(", ") };
        say(&format!("{file}: {said}; nothing was stored"));
        let word = self.document.word();
        say(&if !records.is_empty() && records.iter().all(|record| record["fate"] == "REJECTED") {
            let again = self.address.same(&format!("weir try {word}"));
            format!("next: mend what the reasons name, or how the records are written; then {again}")
        } else if !warnings.is_empty() {
            format!("next: mend what the warning names; then {}", self.address.same(&format!("weir try {word}")))
        } else {
            format!("next: {}", self.address.same(&format!("weir apply {word}")))
        });
        Ok(())
    }
}

/// A value that is longer than its column allows.
fn cut_text(cut: &Json) -> String {
    let (column, length, most) = (text(&cut["column"]), &cut["length"], &cut["maxLength"]);
    match cut["stored"].as_str() {
        Some("DEFAULT") => format!("column {column}: {length} long, maxLength is {most}: the default is stored"),
        Some("BEFORE_NUL") => format!("column {column}: what stands before the first NUL character is stored"),
        _ => format!("column {column}: {length} long, maxLength is {most}: the first {most} are stored"),
    }
}

/// Columns of whose values some are longer than they allow: how many records, the longest, and what to do.
pub(super) fn cuts(records: &[Json]) -> Vec<String> {
    let mut found: BTreeMap<&str, (usize, u64, u64)> = BTreeMap::new();
    let all = records.iter().flat_map(|record| record["cut"].as_array().into_iter().flatten());
    for cut in all.filter(|cut| cut["stored"] != "BEFORE_NUL") {
        let number = |key: &str| cut[key].as_u64().unwrap_or(0);
        let of = found.entry(cut["column"].as_str().unwrap_or_default()).or_default();
        *of = (of.0 + 1, of.1.max(number("length")), number("maxLength"));
    }
    let line = |(column, (count, longest, most)): (&str, (usize, u64, u64))| {
        format!(
            "column {column}: {count} of {} records have values of up to {longest} characters, and maxLength is {most}: give it \
             a greater maxLength in the schema",
            records.len()
        )
    };
    found.into_iter().map(line).collect()
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
    let altered = if record["altered"] == true { "  altered: a value changed, or bytes were left over" } else { "" };
    data(&escaped(&format!("{place}  {}{altered}", text(&record["fate"]))))?;
    if !record["value"].is_null() {
        data(&format!("  record  {}", escaped(&text(&record["value"]))))?;
    }
    for row in record["rows"].as_array().into_iter().flatten() {
        data(&escaped(&format!("  row     {row}")))?;
    }
    if let Some(defaults) = record["defaults"].as_object().filter(|defaults| !defaults.is_empty()) {
        let stored: Vec<String> = defaults.iter().map(|(column, value)| format!("{column} = {value}")).collect();
        data(&escaped(&format!("  null    the default is stored: {}", stored.join(", "))))?;
    }
    for cut in record["cut"].as_array().into_iter().flatten() {
        data(&escaped(&format!("  cut     {}", cut_text(cut))))?;
    }
    if let Some(reason) = record["reason"].as_str() {
        let column = record["column"].as_str().map(|column| format!(" column {column}:")).unwrap_or_default();
        data(&format!("  {}{column} {}", text(&record["stage"]), escaped(reason)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cut_values_name_column_length_and_limit() {
        let cut =
            |length: u64, stored: &str| json!({"column": "note", "length": length, "maxLength": 512, "stored": stored});
        assert_eq!(
            cut_text(&cut(700, "BEGINNING")),
            "column note: 700 long, maxLength is 512: the first 512 are stored"
        );
        assert!(cut_text(&cut(700, "DEFAULT")).ends_with("the default is stored"));
        let records = [json!({"cut": [cut(700, "BEGINNING")]}), json!({"cut": [cut(900, "BEGINNING")]}), json!({})];
        let lines = cuts(&records);
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0]
                .starts_with("column note: 2 of 3 records have values of up to 900 characters, and maxLength is 512")
        );
        assert!(cuts(&[json!({"cut": [cut(5, "BEFORE_NUL")]})]).is_empty());
    }
}
