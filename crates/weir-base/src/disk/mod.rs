//! Everything durable on the local machine goes through `Disk`: the local log, segment files, quarantine and catalog.
//!
//! The real one is the file system; the one in memory can be full, tear writes and lose what was not synced, and so
//! simulates a bad day.

mod blocks;
#[cfg(any(test, feature = "testing"))]
mod conformance;
mod faults;
mod lock;
mod memory;
mod real;

pub use blocks::{BLOCK_BYTES, BlockBuffer, whole_blocks};
#[cfg(any(test, feature = "testing"))]
pub use conformance::conformance;
pub use lock::{FileLock, lock_file};
pub use memory::MemDisk;
pub use real::RealDisk;

use std::{
    io,
    ops::Deref,
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// A shared disk.
pub type SharedDisk = Arc<dyn Disk>;

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// File or folder name, without the path.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// Length in bytes, 0 for a folder.
    pub byte_count: u64,
    /// When its content was last changed, milliseconds since the epoch; 0 for a folder.
    pub modified_ms: i64,
}

/// A local disk. Errors are the operating system's; a full disk is `io::ErrorKind::StorageFull`.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file for appending and makes it, and its parent folders, where absent; writing starts at
    /// its end. The name of a new file is durable when its content is.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>>;
    /// `open_append` of a file that is read after a restart, if ever: where it grows by whole blocks that a [`BlockBuffer`]
    /// holds, the system need not cache them. The default knows no difference.
    fn open_append_uncached(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        self.open_append(path)
    }
    /// Opens a file for reading and writing at positions and makes it, and its parent folders, where absent.
    fn open_random(&self, path: &Path) -> io::Result<Box<dyn RandomFile>>;
    /// The whole content.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Bytes `[offset, offset + length)`, fewer at the end of the file.
    fn read_at(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// The content, mapped: valid for as long as the value lives, also when the file is removed. One that is cut short, or
    /// whose disk fails, reads as zeros and says so ([`Mapped::damage`]).
    fn map(&self, path: &Path) -> io::Result<Mapped>;
    /// Writes a whole file so that after a crash it is either absent (or as it was) or complete: temporary file, sync,
    /// rename, sync of the folder. Parent folders are made.
    fn write_whole(&self, path: &Path, content: &[u8]) -> io::Result<()>;
    /// `write_whole` of content that lies in pieces. The default moves them together.
    fn write_pieces(&self, path: &Path, pieces: &[&[u8]]) -> io::Result<()> {
        self.write_whole(path, &pieces.concat())
    }
    /// Like `write_whole`, unless something of that name is there: `false`, and it is as it was. Among racing writers one
    /// wins. For objects that others will read, if anybody: what the system caches of it is given up. The default serves
    /// disks with a single writer.
    fn write_new(&self, path: &Path, content: &[u8]) -> io::Result<bool> {
        if self.byte_count(path)?.is_some() {
            return Ok(false);
        }
        self.write_whole(path, content)?;
        Ok(true)
    }
    /// Moves a file over another name; durable only after `sync_dir`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; absent is fine.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder with all in it; absent is fine.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes a folder and its parents.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Entries of a folder, by name; an absent folder has none.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;
    /// Length of a file; `None` where there is no file of that name.
    fn byte_count(&self, path: &Path) -> io::Result<Option<u64>>;
    /// Makes renames and removals in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Free bytes for an ordinary user where `path` lies.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
    /// Bytes, free and taken, of the disk where `path` lies. The default serves disks that do not know: what is free.
    fn total_bytes(&self, path: &Path) -> io::Result<u64> {
        self.free_bytes(path)
    }
}

/// A file that only grows (and may be cut back to an earlier length after a failed append).
pub trait AppendFile: Send {
    /// Appends all of `content`, or fails having appended any part of it.
    fn append(&mut self, content: &[u8]) -> io::Result<()>;
    /// Makes what was appended durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Length in bytes.
    fn byte_count(&self) -> u64;
    /// Cuts the file back.
    fn truncate(&mut self, byte_count: u64) -> io::Result<()>;
}

/// A file with random access, for the catalog's storage backend and for small mapped states.
pub trait RandomFile: Send + Sync {
    /// Length in bytes.
    fn byte_count(&self) -> io::Result<u64>;
    /// Fills `out` from `offset`; reading past the end is an error.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    /// Writes all of `content` at `offset`.
    fn write_at(&self, offset: u64, content: &[u8]) -> io::Result<()>;
    /// Grows (with zeros) or cuts.
    fn set_byte_count(&self, byte_count: u64) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync(&self) -> io::Result<()>;
}

/// What mapped bytes lie in.
trait Held: Send + Sync {
    /// They.
    fn bytes(&self) -> &[u8];
    /// Why they are not what the file held, where they are not.
    fn damage(&self) -> Option<String>;
}

/// Bytes in memory.
struct Owned<T>(T);

impl<T: AsRef<[u8]> + Send + Sync> Held for Owned<T> {
    fn bytes(&self) -> &[u8] {
        self.0.as_ref()
    }

    fn damage(&self) -> Option<String> {
        None
    }
}

/// Mapped bytes, shared.
#[derive(Clone)]
pub struct Mapped(Arc<dyn Held>);

impl Mapped {
    /// Bytes that something owns.
    #[must_use]
    pub fn new(owner: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Owned(owner)))
    }

    /// Why the bytes are not those of the file, where the disk did not give some of them: they read as zeros then. Whoever
    /// reads asks afterwards, and does not use what it read where there is an answer.
    #[must_use]
    pub fn damage(&self) -> Option<String> {
        self.0.damage()
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl std::fmt::Debug for Mapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mapped({} bytes)", self.len())
    }
}

/// Milliseconds since the epoch.
fn millis(time: SystemTime) -> i64 {
    i64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}
