//! Sealed segments on the local disk: opened from there, fetched again from the deep store where lost or damaged.

use crate::recorded::SegmentFacts;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, SemaphorePermit},
};
use weir_base::{Mapped, SharedClock, SharedDisk, tasks::HeavyWork};
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
    /// The local copy is not there, and it was not to be fetched.
    #[error("segment {segment} has no local copy")]
    NotLocal {
        /// The segment.
        segment: String,
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

/// What all tables of a node take turns at when files are opened.
#[derive(Debug)]
pub struct Openings {
    checking: Semaphore,
    fetching: Semaphore,
    ahead: Semaphore,
    fetching_ahead: Semaphore,
    fetched: AtomicU64,
}

impl Default for Openings {
    /// As many files are checked at once as there are cores: a check takes all of one. As many are fetched, apart from
    /// those: each is held in memory until it is on the disk, and a deep store that does not answer must not hold up what
    /// is here. Ahead of queries one file is opened at a time, and one is fetched: queries do not stand in line behind them.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            checking: Semaphore::new(cores),
            fetching: Semaphore::new(cores),
            ahead: Semaphore::new(1),
            fetching_ahead: Semaphore::new(1),
            fetched: AtomicU64::new(0),
        }
    }
}

impl Openings {
    /// The turn of whoever opens ahead of queries, and fetches what is not here where it says so.
    pub async fn ahead_turn(&self, fetch: bool) -> SemaphorePermit<'_> {
        turn(if fetch { &self.fetching_ahead } else { &self.ahead }).await
    }

    /// Segments that were fetched from the deep store since the node started.
    #[must_use]
    pub fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }
}

async fn turn(semaphore: &Semaphore) -> SemaphorePermit<'_> {
    semaphore.acquire().await.expect("turns are never closed")
}

/// The folder of a table's sealed segments, and the deep store behind it.
pub struct SegmentCache {
    disk: SharedDisk,
    dir: PathBuf,
    deep_store: SharedFileSystem,
    clock: SharedClock,
    work: HeavyWork,
    openings: Arc<Openings>,
    /// Where openings run on when the query that asked has gone.
    runtime: Handle,
}

impl SegmentCache {
    /// The cache in `dir`. Inside a runtime, which openings run on from here on.
    #[must_use]
    pub fn new(
        (disk, dir): (SharedDisk, PathBuf),
        deep_store: SharedFileSystem,
        clock: SharedClock,
        work: HeavyWork,
        openings: Arc<Openings>,
    ) -> Arc<Self> {
        Arc::new(Self { disk, dir, deep_store, clock, work, openings, runtime: Handle::current() })
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

    /// What is taken turns at.
    #[must_use]
    pub fn openings(&self) -> &Openings {
        &self.openings
    }

    pub(crate) fn clock(&self) -> &SharedClock {
        &self.clock
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Where a segment's damaged file is put, for people to look at: one for each segment, and for a week at most.
    #[must_use]
    pub fn damaged_path(&self, segment: &str) -> PathBuf {
        self.dir.join(format!("{segment}.weir.damaged"))
    }

    /// Puts aside what stands in the place of a segment's file and is of no use there.
    fn put_aside(&self, segment: &str) -> std::io::Result<PathBuf> {
        let (from, to) = (self.path(segment), self.damaged_path(segment));
        // One of before, which may be a folder.
        self.disk.remove_file(&to).or_else(|_| self.disk.remove_dir_all(&to))?;
        self.disk.rename(&from, &to)?;
        Ok(to)
    }

    /// Keeps a segment that came from elsewhere, if it is whole, and opens it.
    pub fn keep(&self, segment: &str, content: &[u8]) -> Result<Arc<SealedSegment>, CacheError> {
        let damaged = |reason| CacheError::Damaged { segment: segment.to_owned(), reason };
        SealedSegment::verify(content).map_err(|error| damaged(error.to_string()))?;
        self.keep_built(segment, &[content])
    }

    /// Keeps a segment that was built in this process, in pieces that follow one another, and opens it.
    pub fn keep_built(&self, segment: &str, pieces: &[&[u8]]) -> Result<Arc<SealedSegment>, CacheError> {
        let path = self.path(segment);
        let written = self.disk.write_pieces(&path, pieces).or_else(|error| {
            // A folder may stand there.
            if error.kind() == std::io::ErrorKind::StorageFull || self.is_file_or_absent(&path) {
                return Err(error);
            }
            let aside = self.put_aside(segment).map_err(|_| error)?;
            tracing::warn!(segment, aside = %aside.display(), "what stood in the place of a segment's file is put aside");
            self.disk.write_pieces(&path, pieces)
        });
        written.map_err(|error| disk_error(segment, error))?;
        self.open(segment, &path).map_err(|reason| CacheError::Disk { segment: segment.to_owned(), reason })
    }

    /// Where a file lies that is made to take the place of a segment's. Its ending is that of what was begun and not
    /// finished: one that is left goes by itself.
    fn successor_path(&self, segment: &str) -> PathBuf {
        self.dir.join(format!("{segment}.weir.successor.tmp"))
    }

    /// Keeps a file that is to take the place of a segment's beside it, in pieces that follow one another, and opens it. Gives
    /// its bytes too.
    pub fn keep_successor(&self, segment: &str, pieces: &[&[u8]]) -> Result<(Mapped, Arc<SealedSegment>), CacheError> {
        let path = self.successor_path(segment);
        self.disk.write_pieces(&path, pieces).map_err(|error| disk_error(segment, error))?;
        let bytes = self.disk.map(&path).map_err(|error| disk_error(segment, error))?;
        let opened = SealedSegment::verify(&bytes).map_err(|error| error.to_string());
        let opened = opened.and_then(|_| self.open(segment, &path));
        let sealed = opened.map_err(|reason| CacheError::Damaged { segment: segment.to_owned(), reason })?;
        Ok((bytes, sealed))
    }

    /// The file beside a segment's takes its place, and is opened there. Whoever has the one of before mapped keeps it.
    pub fn succeed(&self, segment: &str) -> Result<Arc<SealedSegment>, CacheError> {
        let path = self.path(segment);
        let moved = self.disk.rename(&self.successor_path(segment), &path).and_then(|()| self.sync());
        moved.map_err(|error| disk_error(segment, error))?;
        self.open(segment, &path).map_err(|reason| CacheError::Damaged { segment: segment.to_owned(), reason })
    }

    /// The file beside a segment's is not needed.
    pub fn drop_successor(&self, segment: &str) -> Result<(), CacheError> {
        self.disk.remove_file(&self.successor_path(segment)).map_err(|error| disk_error(segment, error))
    }

    /// Whether nothing stands there but, at most, a file.
    fn is_file_or_absent(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let listed = self.disk.list(&self.dir);
        listed.is_ok_and(|entries| !entries.iter().any(|entry| entry.is_dir && entry.name == name))
    }

    /// The local copy, where it is there and whole and has that checksum (any, where none is asked for). One that is not
    /// is put aside: it is said once.
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
                let aside = match self.put_aside(segment) {
                    Ok(aside) => aside.display().to_string(),
                    Err(error) => format!("nowhere: {error}"),
                };
                tracing::warn!(
                    segment,
                    reason,
                    aside,
                    "local segment is damaged: it is put aside and made or fetched anew"
                );
                None
            }
        }
    }

    /// The segment of a record, from the local copy or else, where `fetch` says so, from the deep store. At no lower priority
    /// even where nobody asked: whoever comes meanwhile waits for it, for seconds where a stream is read at full speed.
    pub(crate) async fn load(
        self: &Arc<Self>,
        facts: &SegmentFacts,
        fetch: bool,
    ) -> Result<Arc<SealedSegment>, CacheError> {
        let (segment, crc) = (facts.name.clone(), facts.crc);
        let found = {
            let _turn = turn(&self.openings.checking).await;
            let cache = self.clone();
            self.work.run_soon(move || cache.local(&segment, Some(crc))).await
        };
        let sealed = match found {
            Some(sealed) => sealed,
            None if fetch => self.fetch(facts).await?,
            None => return Err(CacheError::NotLocal { segment: facts.name.to_string() }),
        };
        let damaged = |reason| CacheError::Damaged { segment: facts.name.to_string(), reason };
        if sealed.meta().crc != Some(facts.crc) {
            return Err(damaged(format!("its checksum is {:?}, {} was committed", sealed.meta().crc, facts.crc)));
        }
        if sealed.meta().rows != facts.rows {
            return Err(damaged(format!("it holds {} rows, {} were committed", sealed.meta().rows, facts.rows)));
        }
        Ok(sealed)
    }

    async fn fetch(self: &Arc<Self>, facts: &SegmentFacts) -> Result<Arc<SealedSegment>, CacheError> {
        let _turn = turn(&self.openings.fetching).await;
        let content = self.deep_store.get(&facts.key).await;
        let content = content.map_err(|source| CacheError::Fetch { segment: facts.name.to_string(), source })?;
        let (cache, segment) = (self.clone(), facts.name.clone());
        let kept = self.work.run_soon(move || cache.keep(&segment, &content)).await?;
        // One that was damaged, or that the disk did not take, has not been had.
        self.openings.fetched.fetch_add(1, Ordering::Relaxed);
        Ok(kept)
    }

    /// Whether the deep store has the object of a record, as long as it was committed.
    pub async fn is_stored(&self, facts: &SegmentFacts) -> Result<bool, FileError> {
        let found = self.deep_store.list(&facts.key).await?;
        Ok(found.iter().any(|object| object.key == facts.key && object.byte_count == facts.byte_count))
    }

    /// Removes a segment's local copy.
    pub fn remove(&self, segment: &str) -> Result<(), CacheError> {
        self.disk.remove_file(&self.path(segment)).map_err(|error| disk_error(segment, error))
    }

    /// Makes removals durable: only then a disk surely has their space.
    pub fn sync(&self) -> std::io::Result<()> {
        self.disk.sync_dir(&self.dir)
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
