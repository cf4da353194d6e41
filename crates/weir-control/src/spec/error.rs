//! What is wrong with a schema or a table config: everything at once, each with its place.

use std::fmt;
use weir_types::{Classify, ErrorKind, Retry};

/// One wrong value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecError {
    /// Where: `tableIndexConfig.streamConfigs.stream.kafka.topic.name`, `fieldConfigList[2].name`.
    pub path: String,
    /// What was written there, as text; `absent` where nothing was. Secrets are hidden.
    pub value: String,
    /// What is wrong with it and what would be right.
    pub reason: String,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is wrong with the whole document has no place in it.
        if self.path.is_empty() {
            return f.write_str(&self.reason);
        }
        write!(f, "{} = {}: {}", self.path, self.value, self.reason)
    }
}

/// Everything that is wrong; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecErrors(pub Vec<SpecError>);

impl fmt::Display for SpecErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SpecErrors {}

impl Classify for SpecErrors {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }
}
