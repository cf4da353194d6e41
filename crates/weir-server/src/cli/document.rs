//! Reading a JSON document from a file or from stdin, with the place of what is wrong.

use crate::cli::{Failure, shell_word};
use serde_json::Value as Json;
use std::{
    io::Read,
    path::{Path, PathBuf},
};

/// The argument that names a document.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct DocumentArgument {
    /// A tableConfigs document: {"tableName", "schema", "realtime"}; - reads stdin
    file: PathBuf,
}

impl DocumentArgument {
    /// One that another argument names.
    pub(super) fn of(file: PathBuf) -> Self {
        Self { file }
    }

    /// How messages call it.
    pub(super) fn shown(&self) -> String {
        if self.is_stdin() { "stdin".to_owned() } else { self.file.display().to_string() }
    }

    /// How a command to paste names it: what came by a pipe is gone.
    pub(super) fn word(&self) -> String {
        if self.is_stdin() { "FILE".to_owned() } else { shell_word(&self.file.display().to_string()) }
    }

    fn is_stdin(&self) -> bool {
        self.file == Path::new("-")
    }

    /// The document.
    pub(super) fn read(&self) -> Result<Json, Failure> {
        let mut content = vec![];
        let read = if self.is_stdin() {
            std::io::stdin().read_to_end(&mut content).map(drop)
        } else {
            std::fs::read(&self.file).map(|bytes| content = bytes)
        };
        let writes = "`weir infer kafka://HOST:PORT/TOPIC > FILE` writes a document for a topic";
        read.map_err(|error| Failure::Failed(format!("could not read {}: {error}; {writes}", self.shown())))?;
        if content.trim_ascii().is_empty() {
            return Err(Failure::Failed(format!("{} is empty; {writes}", self.shown())));
        }
        serde_json::from_slice(&content).map_err(|error| {
            Failure::Failed(format!("{}:{}:{}: is not JSON: {error}", self.shown(), error.line(), error.column()))
        })
    }
}
