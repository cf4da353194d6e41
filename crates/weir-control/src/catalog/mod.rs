//! Durable keys with versions, transactions over several of them, and watches: the one truth of the cluster.
//!
//! A transaction names what must still be so (`Check`) and what shall be (`Op`); it happens whole and durable or not at
//! all. An entry's version is the number of the transaction that wrote it, so a key that was deleted and made again never
//! carries a version it had before.

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod queue;
mod redb;
mod storage;
mod watch;

pub use redb::RedbCatalog;
pub use watch::{CatalogWatch, Change, WatchEvent};

use std::sync::Arc;
use weir_types::{Classify, ErrorKind, Retry};

/// A shared catalog.
pub type SharedCatalog = Arc<dyn Catalog>;

/// What stands under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The bytes that were put.
    pub value: Vec<u8>,
    /// The number of the transaction that put them.
    pub version: u64,
}

/// What must be so for a transaction to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The key.
    pub key: String,
    /// Its version; `None` = the key must not be there.
    pub version: Option<u64>,
}

impl Check {
    /// The key still carries that version.
    #[must_use]
    pub fn at(key: impl Into<String>, version: u64) -> Self {
        Self { key: key.into(), version: Some(version) }
    }

    /// The key is not there.
    #[must_use]
    pub fn absent(key: impl Into<String>) -> Self {
        Self { key: key.into(), version: None }
    }
}

/// One change of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Sets a key.
    Put(String, Vec<u8>),
    /// Removes a key; absent is fine.
    Delete(String),
}

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnOutcome {
    /// It happened and is durable; every key that it put carries this version.
    Committed(u64),
    /// Nothing happened: this key is not as its check says.
    Conflict(String),
}

/// Why the catalog cannot answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogError {
    /// The disk refused.
    #[error("could not {action}: {source}")]
    Io {
        /// What we were doing.
        action: String,
        /// The cause.
        source: Arc<std::io::Error>,
    },
    /// The file does not carry what it should.
    #[error("could not {action}: {reason}")]
    Corrupt {
        /// What we were doing.
        action: String,
        /// What was found.
        reason: String,
    },
    /// The file was written by a newer release.
    #[error(
        "catalog {path} has format {found}, this release reads up to {known}: start the release that wrote it, or a newer one"
    )]
    NewerFormat {
        /// Where it lies.
        path: String,
        /// Its format.
        found: u64,
        /// The newest format that this release reads.
        known: u64,
    },
    /// The engine failed in a way that is neither the disk's nor the file's fault.
    #[error("could not {action}: {reason}")]
    Engine {
        /// What we were doing.
        action: String,
        /// What it said.
        reason: String,
    },
    /// The catalog was closed.
    #[error("the catalog is closed")]
    Closed,
}

impl Classify for CatalogError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => ErrorKind::Exhausted,
            Self::Io { .. } | Self::Closed => ErrorKind::Unavailable,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::NewerFormat { .. } => ErrorKind::Invalid,
            Self::Engine { .. } => ErrorKind::Internal,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Io { .. } => Retry::Later,
            Self::Corrupt { .. } | Self::NewerFormat { .. } | Self::Engine { .. } | Self::Closed => Retry::Never,
        }
    }
}

/// Durable keys. Reads see every transaction that was acknowledged before they began.
#[async_trait::async_trait]
pub trait Catalog: Send + Sync + 'static {
    /// What stands under a key.
    async fn get(&self, key: &str) -> Result<Option<Entry>, CatalogError>;

    /// All keys that start with `prefix`, in byte order, as they stood at one moment.
    async fn list(&self, prefix: &str) -> Result<Vec<(String, Entry)>, CatalogError>;

    /// Makes all of `ops` happen durably if all of `checks` hold, else nothing. On an error it is not known whether it
    /// happened: repeating it with the same checks is safe and tells.
    async fn txn(&self, checks: Vec<Check>, ops: Vec<Op>) -> Result<TxnOutcome, CatalogError>;

    /// Changes under `prefix` from now on.
    fn watch(&self, prefix: &str) -> CatalogWatch;
}
