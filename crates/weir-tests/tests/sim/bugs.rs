//! Faults of ours, put in on purpose: what stands around a node's offsets, made to be wrong. The simulation has to find each.

use crate::run::run;
use crate::seeds::search;
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value as Json;
use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use weir_base::{AppendFile, DirEntry, Disk, Mapped, MemDisk, RandomFile};
use weir_control::catalog::{Check, Op};
use weir_files::{FileError, FileSystem, ObjectInfo, Put, SharedFileSystem};

/// A fault of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    None,
    /// The deep store acknowledges and keeps nothing.
    UploadsAreLost,
    /// Appended files are never synced.
    LocalFilesAreNotSynced,
    /// A segment's successor is recorded to start one offset behind its end.
    SuccessorsStartLate,
    /// A segment's successor is recorded to start one offset before its end.
    SuccessorsStartEarly,
    /// A segment is recorded to end one offset further on than it does, and its successor to start there.
    EndsAreLate,
    /// A segment is recorded to end one offset earlier than it does, and its successor to start there.
    EndsAreEarly,
    /// A reader begins one offset behind the one it was asked for, and says nothing.
    ReadersStartLate,
    /// Visible marks stay where they were first.
    MarksStandStill,
    /// Moves of the next offset are not on the record.
    MovesAreForgotten,
    /// What was lost of a fixed range is not on the record.
    LossesAreForgotten,
    /// Replays are not on the record.
    ReplaysAreForgotten,
    /// Settings and schema stay what they were first.
    ChangesAreForgotten,
}

/// All of them.
const ALL: [Bug; 12] = [
    Bug::UploadsAreLost,
    Bug::LocalFilesAreNotSynced,
    Bug::SuccessorsStartLate,
    Bug::SuccessorsStartEarly,
    Bug::EndsAreLate,
    Bug::EndsAreEarly,
    Bug::ReadersStartLate,
    Bug::MarksStandStill,
    Bug::MovesAreForgotten,
    Bug::LossesAreForgotten,
    Bug::ReplaysAreForgotten,
    Bug::ChangesAreForgotten,
];

/// Each is found in so many seeds.
const SEEDS: u64 = 60;

#[test]
fn a_deliberate_bug_is_found() {
    for bug in ALL {
        let (found, _) = search(1, SEEDS, move |seed, tally| run(seed, bug, tally));
        let (seed, what) = found.unwrap_or_else(|| panic!("{bug:?} went unnoticed in {SEEDS} runs"));
        println!("{bug:?} was found by seed {seed}: {what}");
    }
}

impl Bug {
    /// The deep store as the node has it.
    pub(crate) fn files(self, deep: SharedFileSystem) -> SharedFileSystem {
        if self == Self::UploadsAreLost { Arc::new(Losing(deep)) } else { deep }
    }

    /// The disk as the node has it.
    pub(crate) fn disk(self, disk: Arc<MemDisk>) -> Arc<dyn Disk> {
        match self {
            Self::LocalFilesAreNotSynced | Self::MarksStandStill => Arc::new(BadDisk { inner: disk, bug: self }),
            _ => disk,
        }
    }

    /// By how many offsets readers are off.
    pub(crate) fn reader_shift(self) -> u64 {
        u64::from(self == Self::ReadersStartLate)
    }

    /// What of a transaction is written.
    pub(crate) fn written(self, checks: &[Check], ops: Vec<Op>) -> Vec<Op> {
        let forgotten = match self {
            Self::MovesAreForgotten => "moves/",
            Self::LossesAreForgotten => "losses/",
            Self::ReplaysAreForgotten => "replays/",
            // A table that is made is not there before.
            Self::ChangesAreForgotten
                if checks.iter().any(|check| check.key.starts_with("tables/") && check.version.is_some()) =>
            {
                "tables/"
            }
            Self::SuccessorsStartLate | Self::SuccessorsStartEarly | Self::EndsAreLate | Self::EndsAreEarly => {
                return self.shifted(ops);
            }
            _ => return ops,
        };
        ops.into_iter().filter(|op| !matches!(op, Op::Put(key, _) if key.starts_with(forgotten))).collect()
    }

    /// The two records that transaction A writes, one offset off.
    fn shifted(self, ops: Vec<Op>) -> Vec<Op> {
        let is_end = |op: &Op| matches!(op, Op::Put(key, bytes) if key.starts_with("segments/") && offset(bytes, "end").is_some());
        if ops.len() != 2 || ops.iter().filter(|op| is_end(op)).count() != 1 {
            return ops;
        }
        let late = matches!(self, Self::SuccessorsStartLate | Self::EndsAreLate);
        let both = matches!(self, Self::EndsAreLate | Self::EndsAreEarly);
        let shift = |place: &mut Json| {
            if let Some(offset) = place.as_u64() {
                *place = Json::from(if late { offset + 1 } else { offset - 1 });
            }
        };
        let edit = |op: Op| {
            let Op::Put(key, bytes) = op else { return op };
            let mut record: Json = serde_json::from_slice(&bytes).expect("records are JSON");
            match record["end"].is_u64() {
                true if both => shift(&mut record["end"]),
                true => {}
                false => shift(&mut record["start"]),
            }
            Op::Put(key, record.to_string().into_bytes())
        };
        ops.into_iter().map(edit).collect()
    }
}

fn offset(record: &[u8], name: &str) -> Option<u64> {
    serde_json::from_slice::<Json>(record).ok()?[name].as_u64()
}

/// A deep store that acknowledges and keeps nothing.
struct Losing(SharedFileSystem);

#[async_trait]
impl FileSystem for Losing {
    fn uri(&self, key: &str) -> String {
        self.0.uri(key)
    }

    async fn put_if_absent(&self, _: &str, _: Bytes) -> Result<Put, FileError> {
        Ok(Put::Created)
    }

    async fn get(&self, key: &str) -> Result<Bytes, FileError> {
        self.0.get(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, FileError> {
        self.0.list(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), FileError> {
        self.0.delete(key).await
    }
}

/// A disk that does not sync what is appended (quarantine entries of sealed ranges die with the machine), or keeps the first
/// content of a visible mark.
struct BadDisk {
    inner: Arc<MemDisk>,
    bug: Bug,
}

struct UnsyncedFile(Box<dyn AppendFile>);

impl AppendFile for UnsyncedFile {
    fn append(&mut self, content: &[u8]) -> io::Result<()> {
        self.0.append(content)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn byte_count(&self) -> u64 {
        self.0.byte_count()
    }

    fn truncate(&mut self, byte_count: u64) -> io::Result<()> {
        self.0.truncate(byte_count)
    }
}

/// A file whose end is written once.
struct OnceWritten {
    inner: Box<dyn RandomFile>,
    written: AtomicBool,
}

impl RandomFile for OnceWritten {
    fn read_at(&self, offset: u64, content: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(offset, content)
    }

    fn write_at(&self, offset: u64, content: &[u8]) -> io::Result<()> {
        if offset > 0 && self.written.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        self.inner.write_at(offset, content)
    }

    fn byte_count(&self) -> io::Result<u64> {
        self.inner.byte_count()
    }

    fn set_byte_count(&self, byte_count: u64) -> io::Result<()> {
        self.inner.set_byte_count(byte_count)
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }
}

impl Disk for BadDisk {
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let file = self.inner.open_append(path)?;
        Ok(if self.bug == Bug::LocalFilesAreNotSynced { Box::new(UnsyncedFile(file)) } else { file })
    }

    fn open_random(&self, path: &Path) -> io::Result<Box<dyn RandomFile>> {
        let file = self.inner.open_random(path)?;
        let once = self.bug == Bug::MarksStandStill && path.extension().is_some_and(|ending| ending == "mark");
        Ok(if once { Box::new(OnceWritten { inner: file, written: AtomicBool::new(false) }) } else { file })
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.inner.read(path)
    }

    fn read_at(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.inner.read_at(path, offset, length)
    }

    fn map(&self, path: &Path) -> io::Result<Mapped> {
        self.inner.map(path)
    }

    fn write_whole(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.inner.write_whole(path, content)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(path)
    }

    fn byte_count(&self, path: &Path) -> io::Result<Option<u64>> {
        self.inner.byte_count(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.inner.free_bytes(path)
    }

    fn total_bytes(&self, path: &Path) -> io::Result<u64> {
        self.inner.total_bytes(path)
    }
}
