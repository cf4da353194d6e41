//! Secrets of tables: hidden ones that come back are kept, and those that a config refers to must be there when it is taken.

use crate::node::{Node, Refusal};
use serde_json::Value as Json;
use weir_control::{NewTable, SpecError, SpecErrors, keep_stored, references};
use weir_streams::secrets::look_up;
use weir_types::TableName;

impl Node {
    /// A table config as it was sent, with the stored secret in the place of each that came back as it was shown.
    /// `prefix` is the path of the config in what was sent, with a dot at its end, or empty.
    pub async fn with_stored_secrets(&self, config: &Json, prefix: &str) -> Result<Json, Refusal> {
        let stored = match config["tableName"].as_str().map(TableName::parse) {
            Some(Ok(name)) => self.store.table(&name).await?,
            _ => None,
        };
        let kept = keep_stored(config, stored.as_ref().map(|record| &record.config_json));
        Ok(kept.map_err(|errors| below(prefix, errors.0))?)
    }
}

/// Whether everything that a table's clients refer to is there on this node; all that is not is named with its path.
pub(super) fn check_references(new: &NewTable, prefix: &str) -> Result<(), Refusal> {
    let missing = references(&new.config_json, &new.spec).into_iter().filter_map(|(path, value)| {
        let error = look_up(&value).err()?;
        Some(SpecError { path, value: error.reference, reason: error.reason })
    });
    let missing: Vec<SpecError> = missing.collect();
    if missing.is_empty() { Ok(()) } else { Err(below(prefix, missing).into()) }
}

fn below(prefix: &str, errors: Vec<SpecError>) -> SpecErrors {
    let place = |error: SpecError| SpecError { path: format!("{prefix}{}", error.path), ..error };
    SpecErrors(errors.into_iter().map(place).collect())
}
