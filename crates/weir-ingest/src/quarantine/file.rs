//! The quarantine file.
//!
//! Layout, little-endian: 8 bytes magic `WEIRQUA1`, then frames: `u32` length of the body, `u32` CRC-32C of the body, the
//! body (see `weir_base::frames` and `entry`). A torn last frame is cut off when the file is opened: what it told is read again from the stream,
//! since a segment is sealed only after the quarantine is synced. Where whole frames follow one that is not, the file was
//! damaged: it is kept aside, that is said, and the whole frames are gone on with.
//!
//! The file is bounded in entries, bytes and age; the oldest entries go first and are counted. What was evicted, deleted or
//! replayed is said by a frame of its own, and the file is written anew once most of it is dead.

use crate::quarantine::{
    entry::{Body, Entry, EntryId, Reading, Why},
    index::{Index, Place},
    list::Selection,
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use weir_base::{AppendFile, SharedClock, SharedDisk, frames::FrameLayout};
use weir_types::{NextOffset, QuarantineSpec};

const MAGIC: &[u8; 8] = b"WEIRQUA1";
/// Length and checksum in front of a body.
pub(super) const FRAME_HEAD: usize = 8;
pub(super) const LAYOUT: FrameLayout =
    FrameLayout { marker: &[], length_at: 0, crc_at: 4, head_bytes: FRAME_HEAD, covers_head: false };

/// How much a quarantine keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuarantineBounds {
    /// Entries.
    pub entries: usize,
    /// Bytes of the file; at half of it entries are evicted, at all of it the file is rewritten without them.
    pub file_bytes: u64,
    /// Bytes kept of one payload.
    pub payload_bytes: usize,
    /// How long an entry is kept.
    pub age: Duration,
}

impl Default for QuarantineBounds {
    fn default() -> Self {
        // 100,000 entries of a kilobyte are 100 MB: enough to see what is wrong, small beside the data. A payload of a
        // megabyte is the usual upper bound of a broker's message. A week has one working day in it at least.
        Self {
            entries: 100_000,
            file_bytes: 256 << 20,
            payload_bytes: 1 << 20,
            age: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }
}

impl QuarantineBounds {
    /// As a table's settings say.
    #[must_use]
    pub fn of(spec: &QuarantineSpec) -> Self {
        Self { file_bytes: spec.max_bytes, age: spec.max_age, ..Self::default() }
    }
}

/// How many entries there are and were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuarantineCounts {
    /// Kept now.
    pub kept: u64,
    /// Gone because of a bound.
    pub evicted: u64,
    /// Gone by request.
    pub deleted: u64,
}

pub(super) struct Inner {
    file: Box<dyn AppendFile>,
    pub(super) index: Index,
    /// Counts rewrites: positions of another generation mean nothing.
    pub(super) generation: u64,
    bounds: QuarantineBounds,
    /// Frames that were appended, and how many of them are safe from a loss of power.
    appended: u64,
    safe: u64,
    /// A sync failed. The system may have given up what was written since the last and does not say so again: only a file
    /// that is written anew is safe.
    doubtful: bool,
}

/// A table's quarantine.
pub struct Quarantine {
    pub(super) disk: SharedDisk,
    clock: SharedClock,
    pub(super) path: PathBuf,
    /// Never locked while a sync is waited for: pipelines ask what is in it.
    pub(super) inner: Mutex<Inner>,
    /// The file of a generation, opened once more, to sync what was appended.
    syncing: Mutex<Option<(u64, Box<dyn AppendFile>)>>,
}

impl Quarantine {
    /// Opens the file at `path` and makes it where it is absent.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(
        disk: SharedDisk,
        clock: SharedClock,
        path: PathBuf,
        bounds: QuarantineBounds,
    ) -> io::Result<Arc<Self>> {
        if let Some(dir) = path.parent() {
            disk.create_dir_all(dir)?;
        }
        let mut file = disk.open_append(&path)?;
        let mut content = disk.read(&path)?;
        if let Some(whole) = without_damage(&content) {
            drop(file);
            let aside = path.with_extension(format!("log.damaged-{}", clock.wall_ms()));
            disk.write_whole(&aside, &content)?;
            disk.write_whole(&path, &whole)?;
            tracing::error!(
                file = %path.display(),
                kept_as = %aside.display(),
                bytes = content.len() - whole.len(),
                "the quarantine is damaged in its middle: what is there cannot be read, and entries may be lost"
            );
            file = disk.open_append(&path)?;
            content = whole;
        }
        let mut index = Index::default();
        let end = match content.get(..MAGIC.len()) == Some(&MAGIC[..]) {
            true => each_frame(&content, |position, length, body| index.apply(position, length, &body)),
            false => 0,
        };
        if end < MAGIC.len() as u64 {
            file.truncate(0)?;
            file.append(MAGIC)?;
            file.sync()?;
        } else if end < content.len() as u64 {
            file.truncate(end)?;
        }
        // Entries found here may never have been synced by the process that wrote them.
        let inner = Inner { file, index, generation: 0, bounds, appended: 1, safe: 0, doubtful: false };
        let quarantine = Self { disk, clock, path, inner: Mutex::new(inner), syncing: Mutex::default() };
        quarantine.evict(&mut quarantine.inner.lock())?;
        Ok(Arc::new(quarantine))
    }

    /// Other bounds from now on; what is beyond them goes with the next entry that comes.
    pub fn bound(&self, bounds: QuarantineBounds) {
        self.inner.lock().bounds = bounds;
    }

    /// Adds entries; those that were kept before are passed over. On an error nothing of the failed entry stays.
    ///
    /// # Errors
    /// The disk's; entries before the failed one stay.
    pub fn add(&self, entries: impl IntoIterator<Item = Entry>) -> io::Result<()> {
        let mut inner = self.inner.lock();
        for entry in entries {
            if !inner.index.was_kept(&entry.id()) {
                inner.put(entry)?;
            }
        }
        self.evict(&mut inner)
    }

    /// Entries were tried again and failed for a reason of their own: it takes the place of the old one. Those that are
    /// gone meanwhile stay gone.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn failed_again(&self, entries: impl IntoIterator<Item = Entry>) -> io::Result<()> {
        let mut inner = self.inner.lock();
        for entry in entries {
            if inner.index.known().contains_key(&entry.id()) {
                inner.put(entry)?;
            }
        }
        self.evict(&mut inner)
    }

    /// Deletes the selected entries for good and says how many there were; they stay counted as rejected. Durable when
    /// this returns.
    ///
    /// # Errors
    /// The disk's; it says how many are deleted all the same.
    pub fn delete(&self, selection: &Selection) -> io::Result<u64> {
        let (done, deleted) = {
            let mut inner = self.inner.lock();
            let before = inner.index.deleted();
            let done = self.delete_selected(&mut inner, selection);
            (done, inner.index.deleted() - before)
        };
        match done.and_then(|()| self.sync()) {
            Ok(()) => Ok(deleted),
            Err(error) if deleted == 0 => Err(error),
            Err(error) => {
                let what = format!(
                    "{deleted} entries are deleted, but the disk did not confirm that: after a crash they may be back; make \
                     sure by deleting once more ({error})"
                );
                Err(io::Error::new(error.kind(), what))
            }
        }
    }

    fn delete_selected(&self, inner: &mut Inner, selection: &Selection) -> io::Result<()> {
        let mut by_reading: BTreeMap<Reading, Vec<NextOffset>> = BTreeMap::new();
        for (id, _) in selection.range(inner.index.known(), None) {
            by_reading.entry((id.partition.clone(), id.reading)).or_default().push(id.offset);
        }
        for (reading, offsets) in by_reading {
            inner.append(&Body::Removed(Why::Deleted, reading, offsets))?;
        }
        self.shrink(inner)
    }

    /// The catalog says that these were replayed: they leave the file.
    ///
    /// # Errors
    /// The disk's; the catalog's word stands all the same, and the entries are removed when the table is opened again.
    pub(crate) fn replayed(&self, reading: &Reading, offsets: &[NextOffset]) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let known = inner.index.known();
        let id = |offset| EntryId { partition: reading.0.clone(), reading: reading.1, offset };
        let here = offsets.iter().filter(|offset| known.contains_key(&id(**offset))).copied().collect();
        self.remove(&mut inner, Why::Replayed, reading, here)
    }

    /// A reading was given up where `from` was the next offset of what is fixed: entries behind it are read again by the
    /// next reading, so they leave.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn abandon(&self, reading: &Reading, from: NextOffset) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let here = offsets_of(inner.index.known(), reading, from).collect();
        self.remove(&mut inner, Why::Abandoned, reading, here)
    }

    fn remove(&self, inner: &mut Inner, why: Why, reading: &Reading, offsets: Vec<NextOffset>) -> io::Result<()> {
        if !offsets.is_empty() {
            inner.append(&Body::Removed(why, reading.clone(), offsets))?;
            self.shrink(inner)?;
        }
        Ok(())
    }

    /// Evicts what is too old, as adding does.
    ///
    /// # Errors
    /// The disk's.
    pub fn expire(&self) -> io::Result<()> {
        self.evict(&mut self.inner.lock())
    }

    /// Makes all entries durable.
    ///
    /// # Errors
    /// The disk's.
    pub fn sync(&self) -> io::Result<()> {
        let mut syncing = self.syncing.lock();
        let (appended, generation) = {
            let mut inner = self.inner.lock();
            if inner.safe >= inner.appended {
                return Ok(());
            }
            if inner.doubtful {
                return self.rewrite(&mut inner);
            }
            (inner.appended, inner.generation)
        };
        let synced = self.sync_file(&mut syncing, generation);
        let mut inner = self.inner.lock();
        if inner.generation != generation {
            // It was written anew meanwhile, and all of it is safe.
            return Ok(());
        }
        match synced {
            Ok(()) => inner.safe = inner.safe.max(appended),
            Err(error) => {
                tracing::warn!(file = %self.path.display(), %error, "the quarantine could not be synced: it is written anew");
                (inner.doubtful, *syncing) = (true, None);
                self.rewrite(&mut inner)?;
            }
        }
        Ok(())
    }

    fn sync_file(&self, syncing: &mut Option<(u64, Box<dyn AppendFile>)>, generation: u64) -> io::Result<()> {
        if syncing.as_ref().is_none_or(|(of, _)| *of != generation) {
            *syncing = Some((generation, self.disk.open_append(&self.path)?));
        }
        syncing.as_mut().map_or(Ok(()), |(_, file)| file.sync())
    }

    /// How many entries are kept, and how many are gone.
    #[must_use]
    pub fn counts(&self) -> QuarantineCounts {
        let index = &self.inner.lock().index;
        QuarantineCounts { kept: index.known().len() as u64, evicted: index.evicted(), deleted: index.deleted() }
    }

    /// The offsets of a reading from `from` on that are kept.
    #[must_use]
    pub(crate) fn offsets(&self, reading: &Reading, from: NextOffset) -> BTreeSet<NextOffset> {
        offsets_of(self.inner.lock().index.known(), reading, from).collect()
    }

    fn evict(&self, inner: &mut Inner) -> io::Result<()> {
        let bounds = inner.bounds;
        let age = i64::try_from(bounds.age.as_millis()).unwrap_or(i64::MAX);
        let oldest_ms = self.clock.wall_ms().saturating_sub(age);
        let excess = inner.index.excess(bounds.entries, bounds.file_bytes / 2, oldest_ms);
        if excess > 0 {
            inner.append(&Body::Evict(excess))?;
        }
        self.shrink(inner)
    }

    /// Rewriting at the full bound with at most half of it alive copies each entry once on average.
    fn shrink(&self, inner: &mut Inner) -> io::Result<()> {
        if inner.file.byte_count() > inner.bounds.file_bytes {
            self.rewrite(inner)?;
        }
        Ok(())
    }

    fn rewrite(&self, inner: &mut Inner) -> io::Result<()> {
        let content = self.disk.read(&self.path)?;
        let mut fresh = MAGIC.to_vec();
        let index = &inner.index;
        for (count, body) in [
            (index.evicted(), Body::EvictedBefore(index.evicted())),
            (index.deleted(), Body::DeletedBefore(index.deleted())),
        ] {
            if count > 0 {
                frame(&mut fresh, &body.encode());
            }
        }
        for (reading, offset) in index.gone() {
            frame(&mut fresh, &Body::Gone(reading.clone(), *offset).encode());
        }
        let mut moved: BTreeMap<EntryId, u64> = BTreeMap::new();
        for (key, place) in index.in_order() {
            let start = place.position as usize - FRAME_HEAD;
            let Some(body) = LAYOUT.body_at(&content, start).filter(|body| body.len() == place.length as usize) else {
                let what = format!("{}: an entry is not as it was written", self.path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            };
            frame(&mut fresh, body);
            moved.insert(key.clone(), fresh.len() as u64 - u64::from(place.length));
        }
        self.disk.write_whole(&self.path, &fresh)?;
        inner.file = self.disk.open_append(&self.path)?;
        inner.index.moved(moved);
        inner.generation += 1;
        (inner.safe, inner.doubtful) = (inner.appended, false);
        Ok(())
    }
}

impl Inner {
    fn put(&mut self, mut entry: Entry) -> io::Result<()> {
        entry.payload.truncate(self.bounds.payload_bytes);
        self.append(&Body::Entry(entry))
    }

    /// Appends a frame and takes it in; on an error file and index are as they were.
    fn append(&mut self, body: &Body) -> io::Result<()> {
        let start = self.file.byte_count();
        let mut framed = Vec::new();
        frame(&mut framed, &body.encode());
        if let Err(error) = self.file.append(&framed) {
            self.file.truncate(start)?;
            return Err(error);
        }
        let length = u32::try_from(framed.len() - FRAME_HEAD).expect("a payload is bounded far below 4 GiB");
        self.index.apply(start + FRAME_HEAD as u64, length, body);
        self.appended += 1;
        Ok(())
    }
}

fn offsets_of<'a>(
    known: &'a BTreeMap<EntryId, Place>,
    (partition, reading): &'a Reading,
    from: NextOffset,
) -> impl Iterator<Item = NextOffset> + 'a {
    let first = EntryId { partition: partition.clone(), reading: *reading, offset: from };
    let of_reading = |id: &EntryId| id.partition == *partition && id.reading == *reading;
    known.range(first..).map(|(id, _)| id).take_while(move |id| of_reading(id)).map(|id| id.offset)
}

pub(super) fn frame(out: &mut Vec<u8>, body: &[u8]) {
    let start = out.len();
    LAYOUT.begin(out);
    out.extend_from_slice(body);
    LAYOUT.seal(&mut out[start..]);
}

/// The whole frames of a file that is damaged before the last of them; `None` where all that is not whole is a torn end.
fn without_damage(content: &[u8]) -> Option<Vec<u8>> {
    if content.get(..MAGIC.len()) != Some(&MAGIC[..]) {
        return None;
    }
    let is_frame = |at: &usize| LAYOUT.body_at(content, *at).is_some_and(|body| Body::decode(body).is_some());
    let mut whole = content[..each_frame(content, |_, _, _| {}) as usize].to_vec();
    let mut at = whole.len();
    let mut damaged = false;
    while let Some(next) = (at + 1..content.len().saturating_sub(FRAME_HEAD)).find(is_frame) {
        damaged = true;
        at = next;
        while let Some(body) = LAYOUT.body_at(content, at).filter(|body| Body::decode(body).is_some()) {
            whole.extend_from_slice(&content[at..at + FRAME_HEAD + body.len()]);
            at += FRAME_HEAD + body.len();
        }
    }
    damaged.then_some(whole)
}

/// Calls `each` with position, length and content of every whole frame, and returns where the whole ones end.
fn each_frame(content: &[u8], mut each: impl FnMut(u64, u32, Body)) -> u64 {
    let mut at = MAGIC.len();
    while let Some(body) = LAYOUT.body_at(content, at) {
        let Some(decoded) = Body::decode(body) else { break };
        let length = u32::try_from(body.len()).expect("its length was read from four bytes");
        each((at + FRAME_HEAD) as u64, length, decoded);
        at += FRAME_HEAD + body.len();
    }
    at as u64
}
