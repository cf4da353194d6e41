//! `weir sql`: a shell on a terminal, single statements by option, file or pipe.

mod answer;
mod shell;
mod statement;
mod words;

use crate::{
    cli::{
        ControllerAddress, Failure,
        broker::BrokerAddress,
        output::{data_raw, say},
        table_text::Format,
    },
    client::Client,
};
use answer::Shown;
use clap::Args;
use hyper::Method;
use serde_json::json;
use statement::{Statements, statements};
use std::{
    io::{IsTerminal, Read},
    path::PathBuf,
};

const EXAMPLES: &str = "\
Examples:
  weir sql                                              a shell with history and completion
  weir sql -e 'SELECT COUNT(*) FROM orders'
  weir sql -f report.sql --format csv > report.csv
  echo 'SELECT * FROM system.partitions' | weir sql
  weir sql -e 'SET timeoutMs = 500; SELECT COUNT(*) FROM orders'

An answer with an exception ends with exit code 1; its rows, if there are any, are printed all the same.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SqlArguments {
    /// Statements to ask; repeatable
    #[arg(short = 'e', long = "execute", value_name = "SQL", conflicts_with = "file")]
    execute: Vec<String>,
    /// A file of statements; - reads stdin
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How rows are written; a table on a terminal, JSON lines in a pipe
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Query options, such as timeoutMs=500; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = query_option)]
    option: Vec<String>,
    #[command(flatten)]
    broker: BrokerAddress,
    #[command(flatten)]
    address: ControllerAddress,
}

/// An option as the broker takes it: it passes over what it does not understand.
fn query_option(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((key, _)) if !key.trim().is_empty() => Ok(text.to_owned()),
        _ => Err("must be KEY=VALUE, such as timeoutMs=500".to_owned()),
    }
}

/// A query may run for long; a node that hangs meanwhile is noticed.
const LONGEST_QUERY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Asks a broker.
struct Asker {
    broker: Client,
    options: String,
    format: Format,
    /// Somebody looks at the answers.
    watched: bool,
}

impl Asker {
    /// Asks one request and shows the answer. False where it carries an exception.
    async fn ask(&self, sql: &str) -> Result<bool, Failure> {
        let mut body = json!({ "sql": sql });
        if !self.options.is_empty() {
            body["queryOptions"] = self.options.as_str().into();
        }
        let answer = self.broker.send_json(Method::POST, "/query/sql", &body).await?;
        if !answer.is_success() {
            say(&format!("weir: {}", answer.error()));
            return Ok(false);
        }
        let now_ms = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as i64);
        let shown = Shown::of(&answer.json(), now_ms);
        if let Some(grid) = &shown.grid {
            data_raw(&grid.write(self.format))?;
        }
        shown.exceptions.iter().for_each(|text| say(&format!("weir: {text}")));
        if self.watched && shown.grid.is_some() {
            say(&shown.summary);
        }
        Ok(shown.exceptions.is_empty())
    }

    async fn ask_all(&self, text: &str) -> Result<(), Failure> {
        let Statements { requests, rest } = statements(text);
        let mut good = true;
        for request in requests.iter().chain(&rest) {
            good &= self.ask(request).await?;
        }
        // What is wrong was said with the answer.
        if good { Ok(()) } else { Err(Failure::Failed(String::new())) }
    }
}

impl SqlArguments {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let asker = Asker {
            // A query ends by the node's time limit, or that of an option.
            broker: Client::new(&self.broker.url(&self.address).await?).giving_up_after(LONGEST_QUERY),
            options: self.option.join(";"),
            format: self.format.unwrap_or_else(Format::of_stdout),
            watched: std::io::stdout().is_terminal(),
        };
        if !self.execute.is_empty() {
            return asker.ask_all(&self.execute.join(";\n")).await;
        }
        if let Some(file) = self.file.as_deref().filter(|file| *file != std::path::Path::new("-")) {
            let text = std::fs::read_to_string(file);
            let text = text.map_err(|error| Failure::Failed(format!("could not read {}: {error}", file.display())))?;
            return asker.ask_all(&text).await;
        }
        if self.file.is_some() || !std::io::stdin().is_terminal() {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|error| Failure::Failed(format!("could not read stdin: {error}")))?;
            return asker.ask_all(&text).await;
        }
        shell::run(&asker, &Client::new(&self.address.controller)).await
    }
}
