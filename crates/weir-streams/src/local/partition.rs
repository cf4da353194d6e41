//! One partition of the local log: its files, its end, and what may be deleted.
//!
//! Opening reads the last file, the heads of the others, and as many files before it as hold idempotency keys of the last
//! hour; what else is asked of a closed file is read when it is asked for.

use super::{
    file::{self, LogFile, Lost, damaged, file_path},
    frame::{self, FILE_HEAD_BYTES, FrameHead, HEAD_BYTES, Past, Record},
};
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use std::{cell::Cell, collections::BTreeMap, io, path::PathBuf, sync::Arc};
use tokio::sync::watch;
use weir_base::{AppendFile, SharedDisk};
use weir_types::NextOffset;

/// One read of the disk takes so many bytes, or a whole frame where that is longer: small frames are read by the thousand.
const READ_BYTES: u64 = 1 << 20;

struct Inner {
    /// By offset; the last one is written to.
    files: Vec<LogFile>,
    open: Option<Box<dyn AppendFile>>,
    /// Of the whole log.
    past: Past,
    floors: BTreeMap<String, NextOffset>,
    /// An append that failed could not be taken back: the file is cut here before the next one.
    cut: Option<u64>,
}

/// One partition.
pub(super) struct Partition {
    disk: SharedDisk,
    dir: PathBuf,
    inner: Mutex<Inner>,
    /// One past the last durable record; readers wait on it.
    end: watch::Sender<NextOffset>,
}

/// What a request adds to a partition, not yet in its file.
pub(super) struct Addition {
    pub(super) head: FrameHead,
    pub(super) bytes: Vec<u8>,
    pub(super) newest_ms: i64,
}

/// A place to read on from, and what was read there already.
#[derive(Debug, Clone)]
pub(super) struct Place {
    base: NextOffset,
    path: Arc<PathBuf>,
    position: u64,
    chunk: Bytes,
    chunk_at: u64,
}

/// What opening a partition asks of its past.
pub(super) struct Recall<'a> {
    /// Frames with an idempotency key that were appended since then are wanted.
    pub(super) keyed_since_ms: i64,
    /// So many suffice.
    pub(super) most: usize,
    /// Is called with each of them, in no order.
    pub(super) seen: &'a mut dyn FnMut(&FrameHead, &[Record]),
}

impl Partition {
    /// Opens the files in `dir`. A torn end of the last file is cut off; damage is an error that names the place.
    pub(super) fn open(disk: SharedDisk, dir: PathBuf, recall: Recall<'_>) -> io::Result<Self> {
        disk.create_dir_all(&dir)?;
        let mut files = vec![];
        let entries = disk.list(&dir)?;
        let numbered = entries.iter().filter_map(|entry| Some((entry.name.strip_suffix(".log")?.parse().ok()?, entry)));
        for (base, entry) in numbered {
            files.push(LogFile::closed(&dir, NextOffset::new(base), entry.byte_count));
        }
        let keyed = Cell::new(0);
        let mut seen = |head: &FrameHead, records: &[Record]| {
            if head.idempotency_key.is_some() && head.appended_ms >= recall.keyed_since_ms {
                keyed.set(keyed.get() + 1);
                (recall.seen)(head, records);
            }
        };
        let (mut past, mut end) = (Past::NONE, NextOffset::ZERO);
        while let Some(last) = files.last_mut() {
            if let Some(found) = last.recover(&disk, &mut seen)? {
                (past, end) = found;
                break;
            }
            let path = last.path.clone();
            end = last.base;
            if files.len() == 1 {
                break;
            }
            disk.remove_file(&path)?;
            disk.sync_dir(&dir)?;
            files.pop();
        }
        if let Some((last, closed)) = files.split_last_mut() {
            let mut next = last.past;
            for file in closed.iter_mut().rev() {
                file.read_head(&disk, next)?;
                next = file.past;
            }
        }
        for at in (1..files.len()).rev() {
            if keyed.get() >= recall.most || files[at].past.keyed_ms < recall.keyed_since_ms {
                break;
            }
            let to = files[at].base;
            files[at - 1].scan(&disk, to, &mut seen)?;
        }
        let inner = Inner { files, open: None, past, floors: BTreeMap::new(), cut: None };
        Ok(Self { disk, dir, inner: Mutex::new(inner), end: watch::Sender::new(end) })
    }

    /// One past the last durable record.
    pub(super) fn end(&self) -> NextOffset {
        *self.end.borrow()
    }

    /// The oldest record that is held.
    pub(super) fn low(&self) -> NextOffset {
        self.inner.lock().files.first().map_or(NextOffset::ZERO, |file| file.base)
    }

    /// Changes of the end.
    pub(super) fn watch(&self) -> watch::Receiver<NextOffset> {
        self.end.subscribe()
    }

    /// Has everybody who waits look again.
    pub(super) fn wake(&self) {
        self.end.send_modify(|_| {});
    }

    /// Whether `offset` lies in a file that is closed: reading it may have to wait for the disk.
    pub(super) fn is_cold(&self, offset: NextOffset) -> bool {
        self.inner.lock().files.last().is_some_and(|file| offset < file.base)
    }

    /// Appends frames without making them durable or visible, and tells where the file ended before. On an error the file
    /// is as it was, or will be before the next append.
    pub(super) fn append(&self, additions: &[Addition], roll_at: u64) -> io::Result<u64> {
        let mut inner = self.inner.lock();
        self.open_for_append(&mut inner, roll_at)?;
        let Inner { files, open: Some(open), past, cut, .. } = &mut *inner else {
            return Err(io::Error::other("no file is open"));
        };
        let file = files.last().expect("one was just opened");
        let before = file.byte_count;
        let mut bytes = Vec::with_capacity(additions.iter().map(|addition| addition.bytes.len()).sum::<usize>() + 64);
        if before == 0 {
            bytes.extend_from_slice(&frame::file_head(file.base, past));
        }
        for addition in additions {
            let start = bytes.len();
            bytes.extend_from_slice(&addition.bytes);
            frame::seal(&mut bytes[start..], before);
        }
        if let Err(error) = open.append(&bytes) {
            *cut = Some(before);
            settle(open.as_mut(), cut).unwrap_or_else(|stuck| {
                tracing::error!(file = %file.path.display(), error = %stuck, "an append could not be taken back yet");
            });
            return Err(error);
        }
        Ok(before)
    }

    /// Sees to it that the last file is open, not longer than what is published, and has room.
    fn open_for_append(&self, inner: &mut Inner, roll_at: u64) -> io::Result<()> {
        self.close_where_cut(inner)?;
        if let (Some(open), cut) = (&mut inner.open, &mut inner.cut) {
            settle(open.as_mut(), cut)?;
        }
        let full = inner.files.last().is_none_or(|file| file.byte_count >= roll_at || file.cut.is_some());
        if full {
            let base = self.end();
            let path = file_path(&self.dir, base);
            let mut open = self.disk.open_append(&path)?;
            if open.byte_count() > 0 {
                open.truncate(0)?;
            }
            inner.open = Some(open);
            inner.files.push(LogFile::new(path, base, inner.past));
        } else if inner.open.is_none() {
            let file = inner.files.last().expect("there is one that is not full");
            let mut open = self.disk.open_append(&file.path)?;
            if open.byte_count() > file.byte_count {
                open.truncate(file.byte_count)?;
            }
            inner.open = Some(open);
        }
        Ok(())
    }

    /// Goes on in another file where somebody cut the one that is written to, or removed it: offsets that were given out are
    /// not given out again, and what is cut off is missed by whoever comes to it.
    fn close_where_cut(&self, inner: &mut Inner) -> io::Result<()> {
        let end = self.end();
        let Some(file) = inner.files.last_mut().filter(|file| file.cut.is_none() && file.byte_count > 0) else {
            return Ok(());
        };
        let there = self.disk.byte_count(&file.path)?;
        if there.is_some_and(|there| there >= file.byte_count) {
            return Ok(());
        }
        let mut left = file.unread();
        match there {
            Some(_) => left.scan(&self.disk, end, &mut |_, _| {})?,
            None => left.note_cut(file.base, end, 0),
        }
        *file = left;
        (inner.open, inner.cut) = (None, None);
        // One of nothing but its head is made anew.
        if file.base == end {
            inner.files.pop();
        }
        Ok(())
    }

    /// Goes on behind what was read once: where the files end before it, somebody cut them, or a disk lost what it had
    /// promised. Offsets that were given out are not given out again, and who comes to those that are gone is told.
    pub(super) fn was_read(&self, next: NextOffset) {
        let mut inner = self.inner.lock();
        let end = self.end();
        if next <= end {
            return;
        }
        let dir = self.dir.display();
        tracing::error!(%dir, %end, %next, "the end of the local log is gone, and was read before; what comes goes on behind it");
        if let Some(file) = inner.files.last_mut().filter(|file| file.cut.is_none()) {
            let bytes_left = usize::try_from(file.byte_count).unwrap_or(usize::MAX);
            file.note_cut(end, next, bytes_left);
        }
        (inner.open, inner.cut) = (None, None);
        drop(inner);
        self.end.send_replace(next);
    }

    /// Takes back what was appended behind `byte_count`; where that does not work now, before the next append.
    pub(super) fn take_back(&self, byte_count: u64) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let Inner { open: Some(open), cut, .. } = &mut *inner else { return Ok(()) };
        *cut = Some(byte_count);
        settle(open.as_mut(), cut)
    }

    /// Makes what was appended durable. Only who appends may call it; readers do not wait meanwhile.
    pub(super) fn sync(&self) -> io::Result<()> {
        let Some(mut open) = self.inner.lock().open.take() else { return Ok(()) };
        let synced = open.sync();
        self.inner.lock().open.get_or_insert(open);
        synced
    }

    /// Shows what was appended and synced.
    pub(super) fn publish(&self, additions: &[Addition]) {
        let Some(last) = additions.last() else { return };
        let mut inner = self.inner.lock();
        let Inner { files, past, .. } = &mut *inner;
        let file = files.last_mut().expect("the one that was appended to");
        file.byte_count = file.byte_count.max(FILE_HEAD_BYTES as u64);
        for addition in additions {
            file.note(&addition.head, addition.bytes.len() as u64, past.newest_ms);
            past.add(&addition.head, addition.newest_ms);
        }
        drop(inner);
        self.end.send_replace(last.head.end());
    }

    /// Says that `holder` still needs records from `floor` on.
    pub(super) fn hold(&self, holder: &str, floor: NextOffset) {
        self.inner.lock().floors.insert(holder.to_owned(), floor);
    }

    /// Says that `holder` needs nothing any more.
    pub(super) fn release(&self, holder: &str) {
        self.inner.lock().floors.remove(holder);
    }

    /// Deletes the oldest files that nobody holds and whose records were all appended before `older_than_ms`, or that are
    /// beyond `most_bytes`. Each is gone for good before the next one goes, so that a crash leaves no hole. The file that
    /// is written to goes too, once all of it is old: an empty one takes its place and keeps the end of the log. Nothing
    /// may be appended meanwhile.
    pub(super) fn retain(&self, older_than_ms: i64, most_bytes: u64) -> io::Result<()> {
        if self.is_all_old(older_than_ms) {
            self.begin_file()?;
        }
        loop {
            let path = {
                let inner = self.inner.lock();
                let [file, next, ..] = &*inner.files else { return Ok(()) };
                let total: u64 = inner.files.iter().map(|file| file.byte_count).sum();
                // The name of a file is durable when its content is: before that, the one before it says where the log ends.
                if next.byte_count == 0 {
                    return Ok(());
                }
                let held = inner.floors.values().any(|floor| *floor < next.base);
                if held || (next.past.appended_ms >= older_than_ms && total <= most_bytes) {
                    return Ok(());
                }
                file.path.clone()
            };
            self.disk.remove_file(&path)?;
            self.inner.lock().files.remove(0);
            self.disk.sync_dir(&self.dir)?;
        }
    }

    /// Whether there are records, all of them were appended before `older_than_ms`, and nobody holds one.
    fn is_all_old(&self, older_than_ms: i64) -> bool {
        let inner = self.inner.lock();
        let end = self.end();
        let Some(last) = inner.files.last() else { return false };
        // The next file may be begun already, but not be there for good.
        let records = last.base < end || (last.byte_count == 0 && inner.files.len() > 1);
        records && inner.past.appended_ms < older_than_ms && inner.floors.values().all(|floor| *floor >= end)
    }

    /// Closes the file that is written to and begins the next one, which is there for good when this returns.
    fn begin_file(&self) -> io::Result<()> {
        // A file of any length is full; one whose head could not be written before is used.
        let before = self.append(&[], 1)?;
        if let Err(error) = self.sync() {
            self.take_back(before)?;
            return Err(error);
        }
        if let Some(file) = self.inner.lock().files.last_mut() {
            file.byte_count = file.byte_count.max(FILE_HEAD_BYTES as u64);
        }
        Ok(())
    }

    /// The file that holds `offset`, with its landmarks; the lock is given up while it is read.
    fn with_file<T>(
        &self,
        offset: NextOffset,
        look: impl Fn(&LogFile, &[file::Landmark]) -> T,
    ) -> io::Result<Option<T>> {
        loop {
            let (mut unread, to) = {
                let inner = self.inner.lock();
                let Some(at) = inner.files.partition_point(|file| file.base <= offset).checked_sub(1) else {
                    return Ok(None);
                };
                let file = &inner.files[at];
                let to = inner.files.get(at + 1).map_or_else(|| self.end(), |next| next.base);
                if let Some(lost) = file.lost(offset, to) {
                    return Err(lost);
                }
                if let Some(landmarks) = &file.landmarks {
                    return Ok(Some(look(file, landmarks)));
                }
                (file.unread(), to)
            };
            unread.scan(&self.disk, to, &mut |_, _| {})?;
            self.replace(unread);
        }
    }

    fn replace(&self, read: LogFile) {
        let mut inner = self.inner.lock();
        if let Some(file) = inner.files.iter_mut().find(|file| file.base == read.base) {
            *file = read;
        }
    }

    /// Reads a file again that has fewer bytes than were written: what of it is lost is known then.
    fn look_again(&self, base: NextOffset) -> io::Result<()> {
        let found = {
            let inner = self.inner.lock();
            let at = inner.files.binary_search_by_key(&base, |file| file.base).ok();
            at.map(|at| {
                let to = inner.files.get(at + 1).map_or_else(|| self.end(), |next| next.base);
                (inner.files[at].unread(), to)
            })
        };
        let Some((mut file, to)) = found else { return Ok(()) };
        file.scan(&self.disk, to, &mut |_, _| {})?;
        // Whole after all: somebody put it back in between.
        if file.cut.is_some() {
            self.replace(file);
        }
        Ok(())
    }

    /// Where the frame that holds `offset`, or one shortly before it, lies.
    fn place(&self, offset: NextOffset) -> io::Result<Option<Place>> {
        self.with_file(offset, |file, landmarks| {
            let mark = landmarks.partition_point(|mark| mark.base <= offset).checked_sub(1);
            let position = mark.map_or(FILE_HEAD_BYTES as u64, |mark| landmarks[mark].position);
            Place { base: file.base, path: file.path.clone(), position, chunk: Bytes::new(), chunk_at: 0 }
        })
    }

    /// The offset of the first record at or after a time, the end where there is none.
    pub(super) fn since(&self, from_ms: i64) -> io::Result<NextOffset> {
        let base = {
            let inner: MutexGuard<'_, Inner> = self.inner.lock();
            if inner.past.newest_ms < from_ms {
                return Ok(self.end());
            }
            let through = inner.files.iter().skip(1).map(|next| next.past.newest_ms).chain([inner.past.newest_ms]);
            let found = inner.files.iter().zip(through).find(|(_, newest_ms)| *newest_ms >= from_ms);
            let Some((file, _)) = found else { return Ok(self.end()) };
            file.base
        };
        let start = self.with_file(base, |_, landmarks| {
            let before = landmarks.partition_point(|mark| mark.newest_ms < from_ms).checked_sub(1);
            before.map_or(base, |mark| landmarks[mark].base)
        })?;
        let (mut start, mut place) = (start.unwrap_or(base), None);
        while start < self.end() {
            let (head, records, behind) = match self.read(start, place) {
                Ok(Some(read)) => read,
                Ok(None) => break,
                // What is lost has no time.
                Err(error) => match Lost::of(&error) {
                    Some(lost) => {
                        (start, place) = (lost.range.end(), None);
                        continue;
                    }
                    None => return Err(error),
                },
            };
            for (at, record) in (0..).zip(&records) {
                let offset = NextOffset::new(head.base.number() + at);
                if offset >= start && record.timestamp_ms >= from_ms {
                    return Ok(offset);
                }
            }
            (start, place) = (head.end(), Some(behind));
        }
        Ok(self.end())
    }

    /// The frame that holds `offset`, which must be below the end, and the place behind it. `hint` is such a place.
    /// `None` where retention has deleted it.
    pub(super) fn read(
        &self,
        offset: NextOffset,
        hint: Option<Place>,
    ) -> io::Result<Option<(FrameHead, Vec<Record>, Place)>> {
        let mut hint = hint;
        loop {
            let Some(mut place) = hint.take().map_or_else(|| self.place(offset), |place| Ok(Some(place)))? else {
                return Ok(None);
            };
            if let Some(lost) = self.lost(place.base, offset) {
                return Err(lost);
            }
            // The file that the hint names may be deleted since: where the offset lies now is looked up.
            let Some(published) = self.published(place.base) else { continue };
            if place.position >= published {
                // The end of a file that was closed: the next one begins with this offset.
                match self.place(offset)? {
                    Some(next) if next.base != place.base => hint = Some(next),
                    _ => return Ok(None),
                }
                continue;
            }
            let (at, path) = (place.position, place.path.clone());
            let bad = || damaged(&path, at, "the frame is not what was written");
            let Some(head) = self.bytes(&mut place, HEAD_BYTES, published)? else { continue };
            let length = frame::frame_bytes(&head).ok_or_else(bad)?;
            let Some(whole) = self.bytes(&mut place, length, published)? else { continue };
            let (head, records) = frame::decode(&whole).ok_or_else(bad)?;
            place.position += length as u64;
            if head.end() > offset {
                return Ok(Some((head, records, place)));
            }
            hint = Some(place);
        }
    }

    /// That an offset is lost with the end of the file that it lay in.
    fn lost(&self, base: NextOffset, offset: NextOffset) -> Option<io::Error> {
        let inner = self.inner.lock();
        let at = inner.files.binary_search_by_key(&base, |file| file.base).ok()?;
        let to = inner.files.get(at + 1).map_or_else(|| self.end(), |next| next.base);
        inner.files[at].lost(offset, to)
    }

    /// Length of what may be read of a file; `None` where it was deleted.
    fn published(&self, base: NextOffset) -> Option<u64> {
        let inner = self.inner.lock();
        let at = inner.files.binary_search_by_key(&base, |file| file.base).ok()?;
        Some(inner.files[at].byte_count)
    }

    /// The bytes at a place, fewer at the published end, from what was read before or from the disk.
    fn bytes(&self, place: &mut Place, length: usize, published: u64) -> io::Result<Option<Bytes>> {
        let wanted = usize::try_from(published - place.position).unwrap_or(usize::MAX).min(length);
        let from = place.position.checked_sub(place.chunk_at).and_then(|from| usize::try_from(from).ok());
        if let Some(from) = from
            && place.chunk.len().checked_sub(from).is_some_and(|held| held >= wanted)
        {
            return Ok(Some(place.chunk.slice(from..from + wanted)));
        }
        let ahead = (published - place.position).min(READ_BYTES.max(wanted as u64));
        let read = self.disk.read_at(&place.path, place.position, usize::try_from(ahead).unwrap_or(usize::MAX));
        match read {
            Ok(chunk) if (chunk.len() as u64) < ahead => {
                self.look_again(place.base)?;
                return Ok(None);
            }
            Ok(chunk) => (place.chunk, place.chunk_at) = (Bytes::from(chunk), place.position),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.published(place.base).is_none() => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        Ok(Some(place.chunk.slice(..wanted.min(place.chunk.len()))))
    }
}

/// Cuts the file back where that is still to be done, for good: what is cut off was answered with an error.
fn settle(open: &mut dyn AppendFile, cut: &mut Option<u64>) -> io::Result<()> {
    if let Some(byte_count) = *cut {
        open.truncate(byte_count)?;
        open.sync()?;
        *cut = None;
    }
    Ok(())
}
