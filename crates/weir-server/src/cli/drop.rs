//! `weir drop`: a table goes with its rows, once its name was said twice.

use crate::{
    cli::{ControllerAddress, Failure, output::say, quarantine::in_url},
    client::Client,
};
use bytes::Bytes;
use clap::Args;
use hyper::Method;
use std::io::{self, BufRead, IsTerminal};

const EXAMPLES: &str = "\
Examples:
  weir drop orders
  weir drop orders --yes
  echo orders | weir drop orders

The table, its schema, its rows, its quarantine and its segments in the deep store go for good; its topics stay as they are.
DELETE /tableConfigs/orders does the same.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DropArguments {
    /// The table
    table: String,
    /// Do not ask for the name again
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    address: ControllerAddress,
}

impl DropArguments {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.address.controller);
        let table = in_url(&self.table);
        let partitions = client.get(&format!("/tables/{table}/partitions")).await?;
        if !partitions.is_success() {
            let list = self.address.same("weir lag");
            return Err(Failure::Failed(format!("{}; `{list}` lists those there are", partitions.error())));
        }
        let partitions = partitions.json();
        let rows: u64 = partitions.as_array().into_iter().flatten().filter_map(|row| row["rows"].as_u64()).sum();
        if !self.yes {
            let kept = client.get(&format!("/tables/{table}/quarantine?limit=1")).await?;
            let rejected = match kept.json()["kept"].as_u64() {
                Some(kept @ 1..) => format!(" and {kept} rejected records"),
                _ => String::new(),
            };
            say(&format!(
                "table {} at {} holds {rows} rows{rejected}, which go for good; its name again drops it:",
                self.table, self.address.controller
            ));
            let mut again = String::new();
            io::stdin().lock().read_line(&mut again)?;
            if again.trim() != self.table {
                let how = if io::stdin().is_terminal() {
                    "that is not its name"
                } else {
                    "its name was not said again: --yes does not ask"
                };
                return Err(Failure::Failed(format!("{how}; nothing was dropped")));
            }
        }
        let answer = client.send(Method::DELETE, &format!("/tableConfigs/{table}"), &[], Bytes::new()).await?;
        if !answer.is_success() {
            return Err(Failure::Failed(answer.error()));
        }
        say(&format!("dropped {}: {rows} rows", self.table));
        Ok(())
    }
}
