//! `weir check`: reads a document offline, lists all errors.

use crate::{
    cli::{Failure, document::DocumentArgument, output::say},
    node::TableConfigs,
};
use clap::Args;
use std::collections::BTreeMap;

const EXAMPLES: &str = "\
Examples:
  weir check orders.json
  weir check - < orders.json
  weir check orders.json && weir apply orders.json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    document: DocumentArgument,
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

impl CheckArguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        let file = self.document.shown();
        match TableConfigs::parse(&self.document.read()?) {
            Ok(configs) => {
                say_notes(&file, &configs.unrecognized, &configs.realtime.not_yet_effective);
                say(&format!("{file}: table {} is well described", configs.name));
                Ok(())
            }
            Err(errors) => {
                for error in &errors.0 {
                    say(&format!("{file}: {error}"));
                }
                let count = errors.0.len();
                Err(Failure::Failed(format!("{file}: {count} {}", if count == 1 { "error" } else { "errors" })))
            }
        }
    }
}
