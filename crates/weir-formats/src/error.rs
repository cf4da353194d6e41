//! What can be wrong with a decoder's name or settings, or with a date-time format.

use std::collections::BTreeMap;
use weir_functions::date_pattern::DateError;
use weir_types::{Classify, ErrorKind, Retry};

/// A decoder or a format that cannot be had as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// No decoder has this name.
    #[error("no decoder is named '{name}': {remedy}")]
    UnknownDecoder {
        /// As asked for.
        name: String,
        /// What would be right.
        remedy: String,
    },
    /// A decoder's setting has a value that it cannot take.
    #[error("decoder setting '{key}' cannot be '{value}': {reason}")]
    Setting {
        /// Without the `decoder.prop.` prefix.
        key: String,
        /// As given.
        value: String,
        /// Why, and what would be right.
        reason: String,
    },
    /// A decoder that was added to this binary cannot be made of its settings.
    #[error("decoder '{name}': {reason}")]
    Own {
        /// Its name.
        name: String,
        /// What it says.
        reason: String,
    },
    /// A column that cannot be the time column.
    #[error("'{column}' cannot be the time column: {reason}")]
    TimeColumn {
        /// Its name.
        column: String,
        /// Why, and what would be right.
        reason: String,
    },
    /// A date-time format that cannot be read.
    #[error(transparent)]
    DateTime(#[from] DateError),
}

impl Classify for FormatError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }
}

/// A decoder's setting that is true or false.
pub(crate) fn truth(given: &BTreeMap<String, String>, key: &str) -> Result<Option<bool>, FormatError> {
    match given.get(key).map(|text| text.trim().to_ascii_lowercase()).as_deref() {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => Err(FormatError::Setting {
            key: key.to_owned(),
            value: other.to_owned(),
            reason: "it must be true or false".to_owned(),
        }),
    }
}
