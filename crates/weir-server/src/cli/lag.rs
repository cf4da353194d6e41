//! `weir lag`: what each partition is doing, and how far behind it is.

use crate::{
    cli::{
        ControllerAddress, Failure,
        apply::texts,
        output::{data_raw, say},
        table_text::{Format, Grid},
    },
    client::Client,
};
use clap::Args;
use serde_json::Value as Json;

const EXAMPLES: &str = "\
Examples:
  weir lag
  weir lag orders
  weir lag orders --wide
  weir lag --format jsonl | grep HALTED";

/// What is shown of a partition.
const COLUMNS: [&str; 9] =
    ["table", "topic", "partition", "state", "lagOffsets", "lagMs", "nextOffset", "rows", "reason"];

/// What is shown of it on request, in front of the reason.
const WIDE: [&str; 7] =
    ["messagesPerSecond", "bytes", "openRows", "openBytes", "openSealAtMs", "lastErrorMs", "lastError"];

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LagArguments {
    /// The table; all where none is given
    table: Option<String>,
    #[command(flatten)]
    address: ControllerAddress,
    /// Also the rate, the open segment and when it is sealed, and the last error
    #[arg(long)]
    wide: bool,
    /// How it is written; a table on a terminal, JSON lines in a pipe
    #[arg(long, value_enum)]
    format: Option<Format>,
}

impl LagArguments {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.address.controller);
        let tables = match &self.table {
            Some(table) => vec![table.clone()],
            None => {
                let answer = client.get("/tables").await?;
                if !answer.is_success() {
                    return Err(Failure::Failed(answer.error()));
                }
                texts(&answer.json()["tables"])
            }
        };
        if tables.is_empty() {
            say(&format!("there is no table yet: `{}` makes one", self.address.same("weir apply FILE")));
        }
        // The reason, which is the last, is told whole: its end says what to do.
        let columns = self.columns();
        let mut grid = Grid::new(columns.iter().map(|name| (*name).to_owned()).collect()).with_last_whole();
        for table in tables {
            let answer = client.get(&format!("/tables/{table}/partitions")).await?;
            if !answer.is_success() {
                return Err(Failure::Failed(answer.error()));
            }
            for partition in answer.json().as_array().into_iter().flatten() {
                grid.push(columns.iter().map(|name| partition[*name].clone()).collect::<Vec<Json>>());
            }
        }
        data_raw(&grid.write(self.format.unwrap_or_else(Format::of_stdout)))
    }

    fn columns(&self) -> Vec<&'static str> {
        let [shown @ .., reason] = COLUMNS;
        let wide: &[&str] = if self.wide { &WIDE } else { &[] };
        [&shown[..], wide, &[reason]].concat()
    }
}
