//! The quarantine file.
//!
//! Layout, little-endian: 8 bytes magic `WEIRQUA1`, then frames: `u32` length of the body, `u32` CRC-32C of the body, the
//! body. A body is one kind byte (1 entry, 2 count of evicted entries) and, for an entry: topic, `u32` partition, `u64`
//! offset, `i64` wall milliseconds, stage, column, reason, payload; texts and bytes are a `u32` length and the bytes. A
//! torn last frame is cut off when the file is opened: what it told is read again from the stream, since a segment is
//! sealed only after the quarantine is synced.

use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::PathBuf,
    sync::Arc,
};
use weir_base::{AppendFile, SharedDisk};
use weir_types::{NextOffset, StreamPartition, TopicName};

const MAGIC: &[u8; 8] = b"WEIRQUA1";
const ENTRY: u8 = 1;
const EVICTED: u8 = 2;

/// One record in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it came from.
    pub partition: StreamPartition,
    /// Its offset.
    pub offset: NextOffset,
    /// When it was rejected, wall time in milliseconds.
    pub time_ms: i64,
    /// Where in its way.
    pub stage: String,
    /// The column concerned, or empty.
    pub column: String,
    /// Why.
    pub reason: String,
    /// Its bytes, cut at the bound of a payload.
    pub payload: Vec<u8>,
}

/// How much a quarantine keeps.
#[derive(Debug, Clone, Copy)]
pub struct QuarantineBounds {
    /// Entries.
    pub entries: usize,
    /// Bytes of the file; at half of it the file is rewritten without evicted entries.
    pub file_bytes: u64,
    /// Bytes kept of one payload.
    pub payload_bytes: usize,
}

impl Default for QuarantineBounds {
    fn default() -> Self {
        // 100,000 entries of a kilobyte are 100 MB: enough to see what is wrong, small beside the data. A payload of a
        // megabyte is the usual upper bound of a broker's message.
        Self { entries: 100_000, file_bytes: 256 << 20, payload_bytes: 1 << 20 }
    }
}

type Key = (StreamPartition, NextOffset);

struct Inner {
    file: Box<dyn AppendFile>,
    /// Position and length of each entry's body.
    known: BTreeMap<Key, (u64, u32)>,
    /// In order of arrival, for eviction.
    order: VecDeque<Key>,
    /// Bytes of bodies that are still known.
    live_bytes: u64,
    evicted: u64,
    dirty: bool,
}

/// A table's quarantine.
pub struct Quarantine {
    disk: SharedDisk,
    path: PathBuf,
    bounds: QuarantineBounds,
    inner: Mutex<Inner>,
}

impl Quarantine {
    /// Opens the file at `path` and makes it where it is absent.
    pub fn open(disk: SharedDisk, path: PathBuf, bounds: QuarantineBounds) -> io::Result<Arc<Self>> {
        if let Some(dir) = path.parent() {
            disk.create_dir_all(dir)?;
        }
        let mut file = disk.open_append(&path)?;
        let content = disk.read(&path)?;
        let mut inner_state = (BTreeMap::new(), VecDeque::new(), 0_u64, 0_u64);
        let end = if content.get(..8) == Some(&MAGIC[..]) {
            replay(&content, |position, length, body| match body {
                Body::Entry(entry) => {
                    let key = (entry.partition, entry.offset);
                    if inner_state.0.insert(key.clone(), (position, length)).is_none() {
                        inner_state.1.push_back(key);
                        inner_state.2 += u64::from(length);
                    }
                }
                Body::Evicted(count) => inner_state.3 += count,
            })
        } else {
            0
        };
        if end < 8 {
            file.truncate(0)?;
            file.append(MAGIC)?;
            file.sync()?;
        } else if end < content.len() as u64 {
            file.truncate(end)?;
        }
        let (known, order, live_bytes, evicted) = inner_state;
        // Entries found here may never have been synced by the process that wrote them.
        let inner = Inner { file, known, order, live_bytes, evicted, dirty: true };
        let quarantine = Self { disk, path, bounds, inner: Mutex::new(inner) };
        quarantine.evict(&mut quarantine.inner.lock())?;
        Ok(Arc::new(quarantine))
    }

    /// Adds entries; those that are known are passed over. On an error nothing of the failed entry stays.
    pub fn add(&self, entries: impl IntoIterator<Item = Entry>) -> io::Result<()> {
        let mut inner = self.inner.lock();
        for mut entry in entries {
            let key = (entry.partition.clone(), entry.offset);
            if inner.known.contains_key(&key) {
                continue;
            }
            entry.payload.truncate(self.bounds.payload_bytes);
            let body = encode(&entry);
            let (position, length) = append(&mut *inner.file, &body)?;
            inner.live_bytes += u64::from(length);
            inner.known.insert(key.clone(), (position, length));
            inner.order.push_back(key);
            inner.dirty = true;
        }
        self.evict(&mut inner)
    }

    /// Makes all entries durable.
    pub fn sync(&self) -> io::Result<()> {
        let mut inner = self.inner.lock();
        if inner.dirty {
            inner.file.sync()?;
            inner.dirty = false;
        }
        Ok(())
    }

    /// How many entries are kept, and how many were evicted.
    #[must_use]
    pub fn counts(&self) -> (usize, u64) {
        let inner = self.inner.lock();
        (inner.known.len(), inner.evicted)
    }

    /// Up to `most` entries by (topic, partition, offset), beginning after `after`.
    pub fn list(&self, after: Option<&Key>, most: usize) -> io::Result<Vec<Entry>> {
        use std::ops::Bound;
        let inner = self.inner.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        inner
            .known
            .range((from, Bound::Unbounded))
            .take(most)
            .map(|(_, (position, length))| {
                let body = self.disk.read_at(&self.path, *position, *length as usize)?;
                match decode(&body) {
                    Some(Body::Entry(entry)) => Ok(entry),
                    _ => Err(io::Error::new(io::ErrorKind::InvalidData, "quarantine entry is damaged")),
                }
            })
            .collect()
    }

    fn evict(&self, inner: &mut Inner) -> io::Result<()> {
        while inner.known.len() > self.bounds.entries || inner.live_bytes > self.bounds.file_bytes / 2 {
            let Some(key) = inner.order.pop_front() else { break };
            if let Some((_, length)) = inner.known.remove(&key) {
                inner.live_bytes -= u64::from(length);
                inner.evicted += 1;
            }
        }
        // Rewriting at the full bound with at most half of it alive copies each entry once on average.
        if inner.file.byte_count() > self.bounds.file_bytes {
            self.rewrite(inner)?;
        }
        Ok(())
    }

    fn rewrite(&self, inner: &mut Inner) -> io::Result<()> {
        let content = self.disk.read(&self.path)?;
        let mut fresh = MAGIC.to_vec();
        if inner.evicted > 0 {
            let mut body = vec![EVICTED];
            body.extend_from_slice(&inner.evicted.to_le_bytes());
            frame(&mut fresh, &body);
        }
        let mut moved = BTreeMap::new();
        for key in &inner.order {
            let (position, length) = inner.known[key];
            let Some(body) = content.get(position as usize..position as usize + length as usize) else { continue };
            frame(&mut fresh, body);
            moved.insert(key.clone(), (fresh.len() as u64 - u64::from(length), length));
        }
        self.disk.write_whole(&self.path, &fresh)?;
        inner.file = self.disk.open_append(&self.path)?;
        inner.known = moved;
        inner.dirty = false;
        Ok(())
    }
}

enum Body {
    Entry(Entry),
    Evicted(u64),
}

fn frame(out: &mut Vec<u8>, body: &[u8]) {
    let length = u32::try_from(body.len()).expect("a payload is bounded far below 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
    out.extend_from_slice(body);
}

/// Appends a frame and returns position and length of its body; on an error the file is as it was.
fn append(file: &mut dyn AppendFile, body: &[u8]) -> io::Result<(u64, u32)> {
    let start = file.byte_count();
    let mut framed = Vec::with_capacity(body.len() + 8);
    frame(&mut framed, body);
    if let Err(error) = file.append(&framed) {
        file.truncate(start)?;
        return Err(error);
    }
    Ok((start + 8, (framed.len() - 8) as u32))
}

fn encode(entry: &Entry) -> Vec<u8> {
    let mut out = vec![ENTRY];
    let bytes = |out: &mut Vec<u8>, part: &[u8]| {
        out.extend_from_slice(&u32::try_from(part.len()).expect("a payload is bounded far below 4 GiB").to_le_bytes());
        out.extend_from_slice(part);
    };
    bytes(&mut out, entry.partition.topic.as_str().as_bytes());
    out.extend_from_slice(&entry.partition.partition.to_le_bytes());
    out.extend_from_slice(&entry.offset.number().to_le_bytes());
    out.extend_from_slice(&entry.time_ms.to_le_bytes());
    for part in [entry.stage.as_bytes(), entry.column.as_bytes(), entry.reason.as_bytes(), &entry.payload] {
        bytes(&mut out, part);
    }
    out
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.fixed()?);
        self.take(length as usize)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }
}

fn decode(body: &[u8]) -> Option<Body> {
    let mut reader = Reader(body);
    match reader.fixed::<1>()?[0] {
        EVICTED => Some(Body::Evicted(u64::from_le_bytes(reader.fixed()?))),
        ENTRY => {
            let topic = TopicName::parse(&reader.text()?).ok()?;
            let partition = StreamPartition { topic, partition: u32::from_le_bytes(reader.fixed()?) };
            Some(Body::Entry(Entry {
                partition,
                offset: NextOffset::new(u64::from_le_bytes(reader.fixed()?)),
                time_ms: i64::from_le_bytes(reader.fixed()?),
                stage: reader.text()?,
                column: reader.text()?,
                reason: reader.text()?,
                payload: reader.bytes()?.to_vec(),
            }))
        }
        _ => None,
    }
}

/// Calls `each` with position, length and content of every whole frame, and returns where the whole ones end.
fn replay(content: &[u8], mut each: impl FnMut(u64, u32, Body)) -> u64 {
    let mut at = 8;
    loop {
        let mut reader = Reader(&content[at..]);
        let Some(length) = reader.fixed().map(u32::from_le_bytes) else { break };
        let Some(crc) = reader.fixed().map(u32::from_le_bytes) else { break };
        let Some(body) = reader.take(length as usize) else { break };
        if crc32c::crc32c(body) != crc {
            break;
        }
        let Some(decoded) = decode(body) else { break };
        each(at as u64 + 8, length, decoded);
        at += 8 + length as usize;
    }
    at as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_base::{Disk, MemDisk};

    fn entry(offset: u64, payload: &[u8]) -> Entry {
        Entry {
            partition: StreamPartition { topic: TopicName::parse("t").unwrap(), partition: 1 },
            offset: NextOffset::new(offset),
            time_ms: 7,
            stage: "DECODE".into(),
            column: String::new(),
            reason: "broken".into(),
            payload: payload.to_vec(),
        }
    }

    #[test]
    fn entries_survive_reopening_once_each() {
        let disk = MemDisk::new(None);
        let open = || Quarantine::open(disk.clone(), "/q/t.log".into(), QuarantineBounds::default()).unwrap();
        let quarantine = open();
        quarantine.add([entry(3, b"x"), entry(1, b"y"), entry(3, b"again")]).unwrap();
        drop(quarantine);
        let quarantine = open();
        quarantine.add([entry(1, b"y"), entry(2, b"z")]).unwrap();
        assert_eq!(quarantine.list(None, 10).unwrap(), [entry(1, b"y"), entry(2, b"z"), entry(3, b"x")]);
        assert_eq!(quarantine.counts(), (3, 0));
    }

    #[test]
    fn a_torn_frame_is_cut_off() {
        let disk = MemDisk::new(None);
        let path = std::path::PathBuf::from("/q/t.log");
        let open = || Quarantine::open(disk.clone(), path.clone(), QuarantineBounds::default()).unwrap();
        open().add([entry(1, b"y"), entry(2, b"zz")]).unwrap();
        let whole = disk.read(&path).unwrap();
        for cut in 8..whole.len() {
            disk.write_whole(&path, &whole[..cut]).unwrap();
            let quarantine = open();
            assert!(quarantine.counts().0 <= 1, "{cut}");
            quarantine.add([entry(1, b"y"), entry(2, b"zz")]).unwrap();
            drop(quarantine);
            assert_eq!(open().list(None, 9).unwrap(), [entry(1, b"y"), entry(2, b"zz")], "{cut}");
        }
    }

    #[test]
    fn a_sync_covers_what_an_earlier_process_wrote() {
        for seed in 0..16 {
            let disk = MemDisk::new(None);
            let open = || Quarantine::open(disk.clone(), "/q/t.log".into(), QuarantineBounds::default()).unwrap();
            open().add([entry(1, b"y")]).unwrap();
            disk.kill();
            let quarantine = open();
            quarantine.add([entry(1, b"y")]).unwrap();
            quarantine.sync().unwrap();
            disk.crash(&mut weir_base::Chance::seeded(seed));
            assert_eq!(open().list(None, 9).unwrap(), [entry(1, b"y")], "seed {seed}");
        }
    }

    #[test]
    fn the_oldest_go_first_and_are_counted() {
        let disk = MemDisk::new(None);
        let bounds = QuarantineBounds { entries: 3, file_bytes: 4096, payload_bytes: 16 };
        let open = || Quarantine::open(disk.clone(), "/q/t.log".into(), bounds).unwrap();
        let quarantine = open();
        quarantine.add((0..200).map(|offset| entry(offset, &[7; 64]))).unwrap();
        let kept: Vec<u64> = quarantine.list(None, 9).unwrap().iter().map(|entry| entry.offset.number()).collect();
        assert_eq!(kept, [197, 198, 199]);
        assert_eq!(quarantine.counts(), (3, 197));
        assert_eq!(quarantine.list(None, 1).unwrap()[0].payload, [7; 16]);
        assert!(disk.byte_count(std::path::Path::new("/q/t.log")).unwrap().unwrap() <= 4096 + 256);
    }
}
