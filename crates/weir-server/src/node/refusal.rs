//! Why the node did not do what it was asked, for whoever asked: a kind and a text.

use weir_ingest::IngestError;
use weir_types::{Classify, ErrorKind};

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// What the reader should do about it.
    pub kind: ErrorKind,
    /// Names the place, the value and the remedy.
    pub text: String,
}

impl Refusal {
    /// The request is wrong.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Invalid, text: text.into() }
    }

    /// What was named is not there.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self { kind: ErrorKind::NotFound, text: text.into() }
    }

    /// It is there already.
    pub fn conflict(text: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Conflict, text: text.into() }
    }

    /// Making or changing a table: a stream that does not answer as the config says is a fault of the config.
    pub(crate) fn of_creation(error: &IngestError) -> Self {
        match error {
            IngestError::Stream { .. } | IngestError::Probed { .. } => Self::invalid(error.to_string()),
            _ => Self { kind: error.kind(), text: error.to_string() },
        }
    }
}

impl<E: Classify> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self { kind: error.kind(), text: error.to_string() }
    }
}
