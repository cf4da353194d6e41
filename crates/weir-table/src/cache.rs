//! Sealed segments on the local disk: opened from there, fetched again from the deep store where lost or damaged.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use weir_base::SharedDisk;
use weir_files::{FileError, SharedFileSystem};
use weir_segment::{SealedSegment, Segment, SegmentError};

/// Why a sealed segment cannot be had now.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The deep store does not give it.
    #[error("could not fetch segment {segment}")]
    Fetch {
        /// The segment.
        segment: String,
        /// Its cause.
        #[source]
        source: FileError,
    },
    /// The deep store's object is not the one that was committed.
    #[error("segment {segment} in the deep store is damaged: {reason}")]
    Damaged {
        /// The segment.
        segment: String,
        /// What does not fit.
        reason: String,
    },
    /// The local disk does not take it.
    #[error("could not keep segment {segment} on the local disk: {reason}")]
    Disk {
        /// The segment.
        segment: String,
        /// The cause.
        reason: String,
    },
}

/// The folder of a table's sealed segments.
pub struct SegmentCache {
    disk: SharedDisk,
    dir: PathBuf,
}

impl SegmentCache {
    /// The cache in `dir`.
    #[must_use]
    pub fn new(disk: SharedDisk, dir: PathBuf) -> Self {
        Self { disk, dir }
    }

    /// Where the files lie.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a segment's file lies, whether or not it is there.
    #[must_use]
    pub fn path(&self, segment: &str) -> PathBuf {
        self.dir.join(format!("{segment}.weir"))
    }

    /// Keeps a built segment and opens it.
    pub fn keep(&self, segment: &str, content: &[u8]) -> Result<Arc<SealedSegment>, CacheError> {
        let (path, damaged) =
            (self.path(segment), |reason| CacheError::Damaged { segment: segment.to_owned(), reason });
        SealedSegment::verify(content).map_err(|error| damaged(error.to_string()))?;
        self.disk.write_whole(&path, content).map_err(|error| disk_error(segment, error))?;
        self.open(segment, &path).map_err(|reason| CacheError::Disk { segment: segment.to_owned(), reason })
    }

    /// The local copy, where it is there and whole and has that checksum (any, where none is asked for).
    #[must_use]
    pub fn local(&self, segment: &str, crc: Option<u32>) -> Option<Arc<SealedSegment>> {
        let path = self.path(segment);
        if !matches!(self.disk.byte_count(&path), Ok(Some(_))) {
            return None;
        }
        match self.verify(&path).and_then(|()| self.open(segment, &path)) {
            Ok(sealed) if crc.is_none_or(|crc| sealed.meta().crc == Some(crc)) => Some(sealed),
            Ok(sealed) => {
                tracing::warn!(segment, found = ?sealed.meta().crc, wanted = ?crc, "local segment is another one");
                None
            }
            Err(reason) => {
                tracing::warn!(segment, reason, "local segment is damaged");
                None
            }
        }
    }

    /// The segment, from the local copy or else from the deep store's object `key`.
    pub async fn load(
        &self,
        segment: &str,
        crc: u32,
        deep_store: &SharedFileSystem,
        key: &str,
    ) -> Result<Arc<SealedSegment>, CacheError> {
        if let Some(sealed) = self.local(segment, Some(crc)) {
            return Ok(sealed);
        }
        let content =
            deep_store.get(key).await.map_err(|source| CacheError::Fetch { segment: segment.to_owned(), source })?;
        let sealed = self.keep(segment, &content)?;
        if sealed.meta().crc != Some(crc) {
            let reason = format!("its checksum is {:?}, {crc} was committed", sealed.meta().crc);
            return Err(CacheError::Damaged { segment: segment.to_owned(), reason });
        }
        Ok(sealed)
    }

    /// Removes a segment's local copy.
    pub fn remove(&self, segment: &str) -> Result<(), CacheError> {
        self.disk.remove_file(&self.path(segment)).map_err(|error| disk_error(segment, error))
    }

    /// Bytes of a local copy.
    #[must_use]
    pub fn byte_count(&self, segment: &str) -> Option<u64> {
        self.disk.byte_count(&self.path(segment)).ok().flatten()
    }

    /// Reads the whole file through a mapping of its own, which goes: its pages are the system's, not this process's, until
    /// a query reads them.
    fn verify(&self, path: &Path) -> Result<(), String> {
        let mapped = self.disk.map(path).map_err(|error| error.to_string())?;
        SealedSegment::verify(&mapped).map(drop).map_err(|error| error.to_string())
    }

    /// Opens a file that was verified.
    fn open(&self, segment: &str, path: &Path) -> Result<Arc<SealedSegment>, String> {
        let mapped = self.disk.map(path).map_err(|error| error.to_string())?;
        let sealed = SealedSegment::open_verified(mapped).map_err(|error: SegmentError| error.to_string())?;
        if &*sealed.meta().name != segment {
            return Err(format!("it holds segment {}", sealed.meta().name));
        }
        Ok(sealed)
    }
}

fn disk_error(segment: &str, error: std::io::Error) -> CacheError {
    CacheError::Disk { segment: segment.to_owned(), reason: error.to_string() }
}
