//! What can be wrong with the way in which times are to be written.

use weir_types::{Classify, ErrorKind, Retry};

/// A pattern, a format or a zone that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DateError {
    /// A pattern that cannot be read.
    #[error("'{pattern}' is not a date pattern: {reason}")]
    Pattern {
        /// As given.
        pattern: String,
        /// Why, and what would be right.
        reason: String,
    },
    /// A format that cannot be read.
    #[error("'{format}' is not a date-time format: {reason}")]
    Format {
        /// As given.
        format: String,
        /// Why, and what would be right.
        reason: String,
    },
    /// A zone that nobody knows.
    #[error("'{name}' is not a time zone: UTC, America/Los_Angeles, +05:30 and their like are")]
    Zone {
        /// As given.
        name: String,
    },
    /// A unit, a part of a date or a granularity that cannot be.
    #[error("{what}")]
    Part {
        /// What is wrong, and what would be right.
        what: String,
    },
}

impl Classify for DateError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }
}
