//! What can be wrong with a decoder's name or settings, or with a date-time format.

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
