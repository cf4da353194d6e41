//! Tables, schemas, segments and skips as the catalog keeps them, and the two transactions of a segment.
//!
//! Everything that must be true together changes in one catalog transaction whose checks carry the versions that were
//! read. A change under a table also checks that the table is still there, so nothing is written below a dropped one.

mod audit;
mod cluster;
mod keys;
mod moves;
mod removals;
mod renewals;
mod replays;
mod segments;
mod stored;
mod stored_history;
mod stored_removals;
mod tables;

pub use moves::MoveTo;
pub use removals::REMOVED_AT_ONCE;

use crate::catalog::{Catalog, CatalogError, Check, Op, SharedCatalog, TxnOutcome};
use crate::records::ChainError;
use weir_types::{Classify, ErrorKind, Retry};

/// Times a change is tried again because somebody else changed the table's settings meanwhile: each time somebody else
/// came through, so this is never reached without a fault.
const TRIES: usize = 32;

/// Keys removed in one transaction when a table is dropped: bounds the memory and the time of a commit.
const KEYS_AT_ONCE: usize = 1024;

/// Why the store did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// It exists already, or changed since it was read.
    #[error("{what}")]
    Conflict {
        /// What is in the way.
        what: String,
    },
    /// It is not there.
    #[error("{what}")]
    NotFound {
        /// What is not.
        what: String,
    },
    /// It would break the chain of offset ranges.
    #[error("offset ranges of a partition must follow one another: {0}")]
    Chain(#[from] ChainError),
    /// It contradicts the record it starts from.
    #[error("{what}")]
    Contradiction {
        /// How.
        what: String,
    },
    /// A stored record cannot be read.
    #[error("catalog key {key} cannot be read: {reason}")]
    Unreadable {
        /// The key.
        key: String,
        /// Why.
        reason: String,
    },
    /// The catalog does not answer.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl StoreError {
    fn conflict(what: impl Into<String>) -> Self {
        Self::Conflict { what: what.into() }
    }

    fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    fn contradiction(what: impl Into<String>) -> Self {
        Self::Contradiction { what: what.into() }
    }
}

impl Classify for StoreError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Chain(_) | Self::Contradiction { .. } => ErrorKind::Internal,
            Self::Unreadable { .. } => ErrorKind::Corrupt,
            Self::Catalog(error) => error.kind(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Catalog(error) => error.retry(),
            _ => Retry::Never,
        }
    }
}

/// The cluster's memory.
pub struct Store {
    catalog: SharedCatalog,
}

impl Store {
    /// Over a catalog.
    #[must_use]
    pub fn new(catalog: SharedCatalog) -> Self {
        Self { catalog }
    }

    /// The catalog, for watches.
    #[must_use]
    pub fn catalog(&self) -> &dyn Catalog {
        &*self.catalog
    }

    /// A transaction; a conflict is the key that is not as it was.
    async fn txn(&self, checks: Vec<Check>, ops: Vec<Op>) -> Result<Result<u64, String>, StoreError> {
        Ok(match self.catalog.txn(checks, ops).await? {
            TxnOutcome::Committed(version) => Ok(version),
            TxnOutcome::Conflict(key) => Err(key),
        })
    }
}
