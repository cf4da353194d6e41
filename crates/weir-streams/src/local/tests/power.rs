//! A disk that stops in the middle of its work: after a number of changes nothing more is done, as when power fails.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use weir_base::{AppendFile, DirEntry, Disk, Mapped, MemDisk, RandomFile};

/// A disk over a shared one; what was not synced when it stops is left to the shared one's `crash`.
pub(super) struct Failing {
    pub(super) disk: Arc<MemDisk>,
    /// Changes that are still done.
    pub(super) left: Arc<AtomicU64>,
}

fn spend(left: &AtomicU64) -> io::Result<()> {
    let spent = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    spent.map(drop).map_err(|_| io::Error::other("the power failed"))
}

struct FailingFile {
    file: Box<dyn AppendFile>,
    left: Arc<AtomicU64>,
}

impl AppendFile for FailingFile {
    fn append(&mut self, content: &[u8]) -> io::Result<()> {
        spend(&self.left)?;
        self.file.append(content)
    }

    fn sync(&mut self) -> io::Result<()> {
        spend(&self.left)?;
        self.file.sync()
    }

    fn byte_count(&self) -> u64 {
        self.file.byte_count()
    }

    fn truncate(&mut self, byte_count: u64) -> io::Result<()> {
        spend(&self.left)?;
        self.file.truncate(byte_count)
    }
}

impl Disk for Failing {
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        spend(&self.left)?;
        Ok(Box::new(FailingFile { file: self.disk.open_append(path)?, left: self.left.clone() }))
    }

    fn open_random(&self, path: &Path) -> io::Result<Box<dyn RandomFile>> {
        self.disk.open_random(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.disk.read(path)
    }

    fn read_at(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.disk.read_at(path, offset, length)
    }

    fn map(&self, path: &Path) -> io::Result<Mapped> {
        self.disk.map(path)
    }

    fn write_whole(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        spend(&self.left)?;
        self.disk.write_whole(path, content)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        spend(&self.left)?;
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        spend(&self.left)?;
        self.disk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        spend(&self.left)?;
        self.disk.remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        spend(&self.left)?;
        self.disk.create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.list(path)
    }

    fn byte_count(&self, path: &Path) -> io::Result<Option<u64>> {
        self.disk.byte_count(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        spend(&self.left)?;
        self.disk.sync_dir(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.disk.free_bytes(path)
    }
}
