//! The shelf of file systems: whole objects by key under a root URI. Objects are written once and never changed.
//!
//! To add a scheme: a file here, one line in `registry.rs`, and a call of `conformance`.

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod faulty;
mod key;
mod local;
mod memory;
mod owner;
mod probe;
mod registry;
#[cfg(feature = "s3")]
mod s3;

pub use faulty::Faulty;
pub use local::LocalFiles;
pub use memory::{MemoryFiles, memory};
pub use owner::is_owned_by;
pub use probe::probe;
pub use registry::open;
#[cfg(feature = "s3")]
pub use s3::S3Files;

use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use weir_types::{Classify, ErrorKind, Retry};

/// What `put_if_absent` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object is there now, and durable.
    Created,
    /// An object of that key and of those bytes was there before.
    AlreadyThere,
    /// An object of that key and of other bytes was there before; it is as it was.
    Taken,
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Key below the root, with `/` between parts.
    pub key: String,
    /// Length.
    pub byte_count: u64,
    /// When it was written, milliseconds since the epoch.
    pub modified_ms: i64,
}

/// What went wrong, with what we were doing.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} {uri}: {reason}")]
pub struct FileError {
    /// `read`, `write`, `list`, `delete`, `open`.
    pub action: &'static str,
    /// The object or root.
    pub uri: String,
    /// The cause as the store put it.
    pub reason: String,
    /// For the user.
    pub kind: ErrorKind,
    /// For us.
    pub retry: Retry,
}

impl FileError {
    /// A request or setting that only the user can put right.
    pub(crate) fn invalid(action: &'static str, uri: impl Into<String>, reason: impl Into<String>) -> Self {
        let (uri, reason) = (uri.into(), reason.into());
        Self { action, uri, reason, kind: ErrorKind::Invalid, retry: Retry::Never }
    }

    /// An object that is not there.
    pub(crate) fn absent(action: &'static str, uri: impl Into<String>) -> Self {
        let (uri, reason) = (uri.into(), "there is no such object".into());
        Self { action, uri, reason, kind: ErrorKind::NotFound, retry: Retry::Never }
    }
}

impl Classify for FileError {
    fn kind(&self) -> ErrorKind {
        self.kind
    }

    fn retry(&self) -> Retry {
        self.retry
    }
}

/// A shared file system.
pub type SharedFileSystem = Arc<dyn FileSystem>;

/// Whole objects by key below one root.
#[async_trait]
pub trait FileSystem: Send + Sync + 'static {
    /// The full URI of a key, as recorded in the catalog.
    fn uri(&self, key: &str) -> String;
    /// Writes an object unless one of that key is there. When it returns, the object is durable.
    async fn put_if_absent(&self, key: &str, content: Bytes) -> Result<Put, FileError>;
    /// The whole object; an absent one is `ErrorKind::NotFound`.
    async fn get(&self, key: &str) -> Result<Bytes, FileError>;
    /// All objects whose key starts with `prefix`, by key.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, FileError>;
    /// Deletes an object; an absent one is fine.
    async fn delete(&self, key: &str) -> Result<(), FileError>;
    /// Removes what was begun before `before_ms` (milliseconds since the epoch) and never became an object; says how many there
    /// were. The default serves file systems where nothing is left of that.
    async fn delete_unfinished(&self, _before_ms: i64) -> Result<u64, FileError> {
        Ok(0)
    }
    /// From now on objects are written, listed and deleted only while the object `key` holds `content`. The default serves file
    /// systems that say so themselves when all that they held is away; a folder whose disk is not mounted any more is an empty
    /// one.
    fn guard(&self, _key: &str, _content: &Bytes) {}
}
