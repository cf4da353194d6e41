//! One partition of the local log: its files, its end, and what may be deleted.

use super::frame::{self, FrameHead, HEAD_BYTES, Record};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};
use tokio::sync::watch;
use weir_base::{AppendFile, SharedDisk};
use weir_types::NextOffset;

/// A position is remembered for every so many bytes: finding an offset then reads at most this much.
const INDEX_EVERY: u64 = 64 << 10;

/// Where a frame of a file lies.
#[derive(Debug, Clone, Copy)]
struct Landmark {
    base: NextOffset,
    position: u64,
    timestamp_ms: i64,
}

/// One file of the log.
#[derive(Debug)]
struct LogFile {
    base: NextOffset,
    path: PathBuf,
    byte_count: u64,
    newest_ms: i64,
    landmarks: Vec<Landmark>,
}

struct Inner {
    files: Vec<LogFile>,
    open: Box<dyn AppendFile>,
    floors: BTreeMap<String, NextOffset>,
}

/// One partition.
pub(super) struct Partition {
    disk: SharedDisk,
    dir: PathBuf,
    topic: String,
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

/// A place to read on from.
#[derive(Debug, Clone)]
pub(super) struct Place {
    path: PathBuf,
    position: u64,
}

fn file_path(dir: &Path, base: NextOffset) -> PathBuf {
    dir.join(format!("{:020}.log", base.number()))
}

impl Partition {
    /// Opens the files in `dir`. A torn end of the last file is cut off; damage anywhere else is an error that names the
    /// place. `seen` is called for every frame.
    pub(super) fn open(
        disk: SharedDisk,
        dir: PathBuf,
        topic: &str,
        seen: &mut dyn FnMut(&FrameHead, &[Record]),
    ) -> io::Result<Self> {
        disk.create_dir_all(&dir)?;
        let names: Vec<String> = disk.list(&dir)?.into_iter().map(|entry| entry.name).collect();
        let bases = names.iter().filter_map(|name| name.strip_suffix(".log")?.parse().ok()).map(NextOffset::new);
        let bases: Vec<NextOffset> = bases.collect();
        let mut files = vec![];
        let mut end = bases.first().copied().unwrap_or(NextOffset::ZERO);
        for (at, base) in bases.iter().enumerate() {
            let path = file_path(&dir, *base);
            if *base != end {
                return Err(damaged(&path, 0, &format!("it starts at offset {base}, {end} was expected")));
            }
            let last = at + 1 == bases.len();
            let (file, to) = scan(&disk, path, *base, last, seen)?;
            files.push(file);
            end = to;
        }
        if files.is_empty() {
            files.push(LogFile {
                base: end,
                path: file_path(&dir, end),
                byte_count: 0,
                newest_ms: i64::MIN,
                landmarks: vec![],
            });
        }
        let last = files.last().expect("one was just made");
        let mut open = disk.open_append(&last.path)?;
        if open.byte_count() > last.byte_count {
            tracing::warn!(file = %last.path.display(), at = last.byte_count, "torn end of the log is cut off");
            open.truncate(last.byte_count)?;
            open.sync()?;
        }
        disk.sync_dir(&dir)?;
        let inner = Mutex::new(Inner { files, open, floors: BTreeMap::new() });
        Ok(Self { disk, dir, topic: topic.to_owned(), inner, end: watch::Sender::new(end) })
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

    /// Appends frames without making them durable or visible; on an error nothing of them is left, or it is taken back
    /// before anything else is appended.
    pub(super) fn append(&self, additions: &[Addition], roll_at: u64) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.take_back()?;
        let full = inner.files.last().is_some_and(|file| file.byte_count >= roll_at);
        if full {
            self.roll(&mut inner)?;
        }
        let bytes: Vec<u8> = additions.iter().flat_map(|addition| &addition.bytes).copied().collect();
        inner.open.append(&bytes)
    }

    /// Takes back what was appended and not published.
    pub(super) fn take_back(&self) -> io::Result<()> {
        self.inner.lock().take_back()
    }

    /// Makes what was appended durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.inner.lock().open.sync()
    }

    /// Shows what was appended and synced.
    pub(super) fn publish(&self, additions: &[Addition]) {
        let mut inner = self.inner.lock();
        let file = inner.files.last_mut().expect("there is always a file");
        for addition in additions {
            file.note(&addition.head, addition.bytes.len() as u64, addition.newest_ms);
        }
        drop(inner);
        if let Some(last) = additions.last() {
            self.end.send_replace(last.head.end());
        }
    }

    fn roll(&self, inner: &mut Inner) -> io::Result<()> {
        let base = self.end();
        let path = file_path(&self.dir, base);
        let open = self.disk.open_append(&path)?;
        self.disk.sync_dir(&self.dir)?;
        inner.open = open;
        inner.files.push(LogFile { base, path, byte_count: 0, newest_ms: i64::MIN, landmarks: vec![] });
        Ok(())
    }

    /// Whoever still needs records from `floor` on.
    pub(super) fn hold(&self, holder: &str, floor: NextOffset) {
        self.inner.lock().floors.insert(holder.to_owned(), floor);
    }

    /// Deletes the oldest files that nobody holds and that are older than `older_than_ms` or beyond `most_bytes`.
    pub(super) fn retain(&self, older_than_ms: i64, most_bytes: u64) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let mut total: u64 = inner.files.iter().map(|file| file.byte_count).sum();
        while inner.files.len() > 1 {
            let (file, end) = (&inner.files[0], inner.files[1].base);
            let held = inner.floors.values().any(|floor| *floor < end);
            if held || (file.newest_ms >= older_than_ms && total <= most_bytes) {
                break;
            }
            self.disk.remove_file(&file.path)?;
            // One after the other, so that a crash leaves no gap.
            self.disk.sync_dir(&self.dir)?;
            total -= file.byte_count;
            inner.files.remove(0);
        }
        Ok(())
    }

    /// Where the frame that holds `offset`, or one shortly before it, lies.
    pub(super) fn place(&self, offset: NextOffset) -> Option<Place> {
        let inner = self.inner.lock();
        let at = inner.files.partition_point(|file| file.base <= offset).checked_sub(1)?;
        let file = &inner.files[at];
        let mark = file.landmarks.partition_point(|mark| mark.base <= offset).checked_sub(1);
        let position = mark.map_or(0, |mark| file.landmarks[mark].position);
        Some(Place { path: file.path.clone(), position })
    }

    /// The offset of the first record at or after a time, the end where there is none.
    pub(super) fn since(&self, from_ms: i64) -> io::Result<NextOffset> {
        let mut start = {
            let inner = self.inner.lock();
            let Some(file) = inner.files.iter().find(|file| file.newest_ms >= from_ms) else { return Ok(self.end()) };
            let mark = file.landmarks.iter().take_while(|mark| mark.timestamp_ms < from_ms).last();
            mark.map_or(file.base, |mark| mark.base)
        };
        let mut place = None;
        while start < self.end() {
            let Some((head, records, behind)) = self.read(start, place.take())? else { break };
            for (at, record) in (0..).zip(&records) {
                let offset = NextOffset::new(head.base.number() + at);
                if offset >= start && record.timestamp_ms >= from_ms {
                    return Ok(offset);
                }
            }
            start = head.end();
            place = Some(behind);
        }
        Ok(self.end())
    }

    /// The frame that holds `offset`, which must be below the end, and the place behind it. `hint` is such a place.
    pub(super) fn read(
        &self,
        offset: NextOffset,
        hint: Option<Place>,
    ) -> io::Result<Option<(FrameHead, Vec<Record>, Place)>> {
        let mut place = match hint {
            Some(place) => place,
            None => match self.place(offset) {
                Some(place) => place,
                None => return Ok(None),
            },
        };
        loop {
            let head = match self.disk.read_at(&place.path, place.position, HEAD_BYTES) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => vec![],
                head => head?,
            };
            if head.is_empty() {
                // The end of a file that was rolled, and that retention may have deleted since: the next one begins with
                // this offset.
                match self.place(offset) {
                    Some(next) if next.path != place.path => place = next,
                    _ => return Ok(None),
                }
                continue;
            }
            let bad = || damaged(&place.path, place.position, "no frame stands there");
            let length = frame::frame_bytes(&head).ok_or_else(bad)?;
            let bytes = Bytes::from(self.disk.read_at(&place.path, place.position, length)?);
            let (head, records) = frame::decode(&bytes).ok_or_else(bad)?;
            let behind = Place { path: place.path.clone(), position: place.position + length as u64 };
            if head.end() > offset {
                return Ok(Some((head, records, behind)));
            }
            place = behind;
        }
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }
}

impl Inner {
    /// Cuts off what stands behind the last published frame, durably: it was answered with an error.
    fn take_back(&mut self) -> io::Result<()> {
        let published = self.files.last().map_or(0, |file| file.byte_count);
        if self.open.byte_count() > published {
            self.open.truncate(published)?;
            self.open.sync()?;
        }
        Ok(())
    }
}

impl LogFile {
    fn note(&mut self, head: &FrameHead, byte_count: u64, newest_ms: i64) {
        let far = self.landmarks.last().is_none_or(|mark| self.byte_count - mark.position >= INDEX_EVERY);
        if far {
            let timestamp_ms = self.newest_ms;
            self.landmarks.push(Landmark { base: head.base, position: self.byte_count, timestamp_ms });
        }
        self.byte_count += byte_count;
        self.newest_ms = self.newest_ms.max(newest_ms);
    }
}

fn damaged(path: &Path, position: u64, how: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{} at byte {position}: {how}", path.display()))
}

/// Reads a file from its start; returns it with the offset behind its last whole frame.
fn scan(
    disk: &SharedDisk,
    path: PathBuf,
    base: NextOffset,
    last: bool,
    seen: &mut dyn FnMut(&FrameHead, &[Record]),
) -> io::Result<(LogFile, NextOffset)> {
    let content = Bytes::from(disk.read(&path)?);
    let mut file = LogFile { base, path, byte_count: 0, newest_ms: i64::MIN, landmarks: vec![] };
    let mut end = base;
    while (file.byte_count as usize) < content.len() {
        let at = file.byte_count as usize;
        let frame = frame::frame_bytes(&content[at..]).and_then(|length| {
            let whole = content.get(at..at + length)?;
            frame::decode(&content.slice_ref(whole)).map(|read| (length, read))
        });
        let Some((length, (head, records))) = frame.filter(|(_, (head, _))| head.base == end) else {
            if last {
                break;
            }
            return Err(damaged(&file.path, file.byte_count, "the frame is not what was written"));
        };
        seen(&head, &records);
        end = head.end();
        let newest = records.iter().map(|record| record.timestamp_ms).max().unwrap_or(i64::MIN);
        file.note(&head, length as u64, newest);
    }
    Ok((file, end))
}
