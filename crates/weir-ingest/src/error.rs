//! What can go wrong when a table is made, changed or opened.

use weir_control::StoreError;
use weir_streams::{ProbeError, StreamError};
use weir_types::{Classify, ErrorKind, Retry, TableName};

/// Why the node could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// A stream does not answer as the table's settings ask.
    #[error("{path}: {source}")]
    Stream {
        /// Where in the table config.
        path: String,
        /// What the stream said.
        source: StreamError,
    },
    /// A stream cannot be reached, and a test said at which step.
    #[error("{place}: {probe}")]
    Probed {
        /// Where in the table config, and the topic.
        place: String,
        /// What the stream said.
        source: StreamError,
        /// What the test said.
        probe: Box<ProbeError>,
    },
    /// A setting cannot be used.
    #[error("{path}: {reason}")]
    Setting {
        /// Where in the table config.
        path: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// The catalog.
    #[error("catalog: {0}")]
    Store(#[from] StoreError),
    /// It is not done unless somebody says that it is meant.
    #[error("{what}")]
    Refused {
        /// What would happen, and what to do about it.
        what: String,
    },
    /// The table is not here.
    #[error("table {0} does not exist")]
    NoTable(TableName),
    /// The deep store does not take a segment.
    #[error("could not upload segment {segment}: {source}; nothing was changed, try again")]
    Upload {
        /// The segment.
        segment: String,
        /// The cause.
        source: weir_files::FileError,
    },
    /// Open segments that could not be sealed: their rows stay where they are, and are sealed when their limits say so.
    #[error("could not seal {reason}; try again")]
    Seal {
        /// Which, and why.
        reason: String,
    },
    /// The table was dropped, or the node stopped, while something was under way.
    #[error("table {0} was stopped meanwhile")]
    Stopped(TableName),
    /// Stored rejects cannot become a segment.
    #[error("could not replay: {reason}")]
    Replay {
        /// Why.
        reason: String,
    },
    /// A local file.
    #[error("could not {action}: {source}")]
    Disk {
        /// What we were doing.
        action: String,
        /// The cause.
        source: std::io::Error,
    },
}

impl Classify for IngestError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Stream { source, .. } | Self::Probed { source, .. } if source.kind() == ErrorKind::Unavailable => {
                ErrorKind::Unavailable
            }
            Self::Stream { .. } | Self::Probed { .. } | Self::Setting { .. } => ErrorKind::Invalid,
            Self::Store(error) => error.kind(),
            Self::Refused { .. } => ErrorKind::Conflict,
            Self::NoTable(_) => ErrorKind::NotFound,
            Self::Disk { .. } => ErrorKind::Exhausted,
            Self::Upload { .. } | Self::Seal { .. } | Self::Stopped(_) => ErrorKind::Unavailable,
            Self::Replay { .. } => ErrorKind::Internal,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Stream { source, .. } | Self::Probed { source, .. } => source.retry(),
            Self::Store(error) => error.retry(),
            Self::Disk { .. } | Self::Upload { .. } | Self::Seal { .. } => Retry::Later,
            Self::Setting { .. } | Self::Refused { .. } | Self::NoTable(_) | Self::Stopped(_) | Self::Replay { .. } => {
                Retry::Never
            }
        }
    }
}
