//! `weir check`: reads a document offline, lists all errors; asks a node whether its streams answer, where that is wanted.

use crate::{
    cli::{
        ControllerAddress, Failure,
        apply::texts,
        document::DocumentArgument,
        output::{escaped, say},
    },
    client::Client,
    node::TableConfigs,
};
use clap::Args;
use hyper::Method;
use std::collections::BTreeMap;

const EXAMPLES: &str = "\
Examples:
  weir check orders.json
  weir check orders.json --connect
  weir check - < orders.json
  weir check orders.json && weir apply orders.json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    document: DocumentArgument,
    /// Also ask a node whether the streams can be read: name, connection, encryption, login, rights, topic, partitions
    #[arg(long)]
    connect: bool,
    #[command(flatten)]
    address: ControllerAddress,
}

/// Says what of a document has no meaning or no effect.
pub(super) fn say_notes(file: &str, unrecognized: &BTreeMap<String, serde_json::Value>, not_yet: &[String]) {
    for pointer in unrecognized.keys() {
        say(&format!("{file}: {pointer}: nobody knows this key; it is kept and has no effect"));
    }
    for path in not_yet {
        say(&format!("{file}: {path}: is accepted and has no effect yet"));
    }
}

/// How much is wrong.
fn counted(file: &str, count: usize) -> Failure {
    Failure::Failed(format!("{file}: {count} {}", if count == 1 { "error" } else { "errors" }))
}

impl CheckArguments {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let file = self.document.shown();
        let json = self.document.read()?;
        match TableConfigs::parse(&json) {
            Ok(configs) => {
                say_notes(&file, &configs.unrecognized, &configs.realtime.not_yet_effective);
                let found = configs.unmakeable();
                for error in &found.errors {
                    say(&format!("{file}: {error}"));
                }
                if !found.errors.is_empty() {
                    return Err(counted(&file, found.errors.len()));
                }
                for text in &found.here {
                    say(&format!("{file}: warning: on this machine, which need not be the node's: {text}"));
                }
                for warning in configs.warnings() {
                    say(&format!("{file}: warning: {warning}"));
                }
                say(&format!("{file}: table {} is well described", configs.name));
                if self.connect {
                    let client = Client::new(&self.address.controller);
                    let answer = client.send_json(Method::POST, "/tableConfigs/validate", &json).await?;
                    if !answer.is_success() {
                        return Err(Failure::Failed(format!("{file}: {}", answer.error())));
                    }
                    for note in texts(&answer.json()["notes"]) {
                        say(&format!("{file}: {note}"));
                    }
                    say(&format!("{file}: its streams answer (a topic of the local log is made with the table)"));
                    // What the newest records are held against is no error of the config: it may be meant for those to come.
                    let tried = client.send_json(Method::POST, "/tableConfigs/try", &json).await?;
                    for warning in texts(&tried.json()["warnings"]) {
                        say(&escaped(&format!("{file}: warning: {warning}")));
                    }
                    say(&format!("next: {}", self.address.same(&format!("weir try {}", self.document.word()))));
                }
                Ok(())
            }
            Err(errors) => {
                for error in &errors.0 {
                    say(&format!("{file}: {error}"));
                }
                Err(counted(&file, errors.0.len()))
            }
        }
    }
}
