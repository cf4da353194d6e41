//! What can go wrong with a segment: bytes that are no segment, a version we cannot read, sizes beyond the format.

use weir_types::{Classify, ErrorKind, Retry};

/// An error of building, opening or reading a segment.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The bytes are not what a writer wrote: torn, flipped, cut, or no segment at all.
    #[error("segment is corrupt at {place}: {problem}; fetch it again from the deep store")]
    Corrupt {
        /// Header, directory, or column and region.
        place: String,
        /// What is wrong there.
        problem: String,
    },
    /// The file was damaged while it was read.
    #[error("{what}; ask again: its rows are fetched or read anew")]
    Damaged {
        /// Which file, and what happened to it.
        what: String,
    },
    /// A later release wrote it.
    #[error(
        "segment has format version {found}, this release reads versions 1 to {known}; use the release that wrote it"
    )]
    Version {
        /// Version in the header.
        found: u32,
        /// Latest that we read.
        known: u32,
    },
    /// The format cannot hold that much.
    #[error("segment cannot be built: {what} has {size}, the most is {most}; lower the flush threshold")]
    TooLarge {
        /// Column or file.
        what: String,
        /// Its size.
        size: u64,
        /// The bound.
        most: u64,
    },
    /// What was asked for does not fit the segment: place, value and remedy.
    #[error("{what}")]
    Invalid {
        /// Place, value and remedy.
        what: String,
    },
    /// An Arrow array could not be made.
    #[error("could not {doing}: {source}")]
    Arrow {
        /// What we were doing.
        doing: &'static str,
        /// Why not.
        source: arrow::error::ArrowError,
    },
}

impl SegmentError {
    /// Corruption at a place.
    #[must_use]
    pub fn corrupt(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Corrupt { place: place.into(), problem: problem.into() }
    }
}

impl Classify for SegmentError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Corrupt { .. } | Self::Damaged { .. } | Self::Version { .. } => ErrorKind::Corrupt,
            Self::TooLarge { .. } => ErrorKind::Exhausted,
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::Arrow { .. } => ErrorKind::Internal,
        }
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }
}
