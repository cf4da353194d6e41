//! `weir apply`: creates or changes a table.

use crate::{
    cli::{ControllerAddress, Failure, broker::sql_there, check::say_notes, document::DocumentArgument, output::say},
    client::Client,
    node::TableConfigs,
};
use clap::Args;
use hyper::Method;
use serde_json::Value as Json;

const EXAMPLES: &str = "\
Examples:
  weir apply orders.json
  weir apply orders.json --controller http://db1:9000";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ApplyArguments {
    #[command(flatten)]
    document: DocumentArgument,
    #[command(flatten)]
    address: ControllerAddress,
}

impl ApplyArguments {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let file = self.document.shown();
        let json = self.document.read()?;
        let configs = TableConfigs::parse(&json).map_err(|errors| {
            errors.0.iter().for_each(|error| say(&format!("{file}: {error}")));
            Failure::Failed(format!("{file}: nothing was changed"))
        })?;
        let client = Client::new(&self.address.controller);
        let path = format!("/tableConfigs/{}", configs.name);
        let there = client.get(&path).await?;
        let answer = match there.status {
            404 => client.send_json(Method::POST, "/tableConfigs", &json).await?,
            _ if there.is_success() => client.send_json(Method::PUT, &path, &json).await?,
            _ => return Err(Failure::Failed(there.error())),
        };
        if !answer.is_success() {
            return Err(Failure::Failed(format!("{file}: {}", answer.error())));
        }
        say_notes(&file, &configs.unrecognized, &configs.realtime.not_yet_effective);
        for warning in configs.warnings() {
            say(&format!("{file}: warning: {warning}"));
        }
        let answer = answer.json();
        say(answer["status"].as_str().unwrap_or("done"));
        if there.status == 404 {
            let ask = format!("weir sql -e 'SELECT COUNT(*) FROM {}'", configs.name);
            say(&format!("ask it: {}", sql_there(&ask, &self.address, &client).await));
            say(&format!("watch it: {}", self.address.same(&format!("weir lag {}", configs.name))));
        }
        Ok(())
    }
}

/// A path of a JSON answer as a list of texts.
pub(super) fn texts(json: &Json) -> Vec<String> {
    json.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}
