//! One file of the local log: where its frames lie, and what a crash or damage left of it.

use super::frame::{self, FILE_HEAD_BYTES, FrameHead, Past, Record};
use bytes::Bytes;
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use weir_base::SharedDisk;
use weir_types::{NextOffset, OffsetRange};

/// A position is remembered for every so many bytes: finding an offset then reads at most this much.
const LANDMARK_EVERY: u64 = 64 << 10;

/// Where a frame of a file lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Landmark {
    pub(super) base: NextOffset,
    pub(super) position: u64,
    /// Newest time stamp in the log before it.
    pub(super) newest_ms: i64,
}

/// One file of the log.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) base: NextOffset,
    pub(super) path: Arc<PathBuf>,
    /// What is durable and may be read.
    pub(super) byte_count: u64,
    /// What lies in the files before it.
    pub(super) past: Past,
    /// `None` until they are asked for.
    pub(super) landmarks: Option<Vec<Landmark>>,
    /// Where its records end, and how that was seen, where somebody cut it: it held more.
    pub(super) cut: Option<(NextOffset, Arc<str>)>,
}

/// Records that were acknowledged and are not there any more.
#[derive(Debug, thiserror::Error)]
#[error("{how}")]
pub(super) struct Lost {
    pub(super) range: OffsetRange,
    pub(super) how: String,
}

impl Lost {
    /// What an error of the log says is lost.
    pub(super) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }
}

pub(super) fn file_path(dir: &Path, base: NextOffset) -> PathBuf {
    dir.join(format!("{:020}.log", base.number()))
}

pub(super) fn damaged(path: &Path, position: u64, how: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{} at byte {position}: {how}", path.display()))
}

impl LogFile {
    /// A file that nothing was written to yet, its head included.
    pub(super) fn new(path: PathBuf, base: NextOffset, past: Past) -> Self {
        Self { base, path: Arc::new(path), byte_count: 0, past, landmarks: Some(vec![]), cut: None }
    }

    /// A file that is there and was not looked at.
    pub(super) fn closed(dir: &Path, base: NextOffset, byte_count: u64) -> Self {
        let path = Arc::new(file_path(dir, base));
        Self { base, path, byte_count, past: Past::NONE, landmarks: None, cut: None }
    }

    /// The same file, to be read while others may use this one.
    pub(super) fn unread(&self) -> Self {
        let (path, landmarks) = (self.path.clone(), None);
        Self { base: self.base, path, byte_count: self.byte_count, past: self.past, landmarks, cut: None }
    }

    /// Takes in a frame of `byte_count` bytes at the end; `newest_ms` is that of the log before it.
    pub(super) fn note(&mut self, head: &FrameHead, byte_count: u64, newest_ms: i64) {
        let landmarks = self.landmarks.get_or_insert_default();
        if landmarks.last().is_none_or(|mark| self.byte_count - mark.position >= LANDMARK_EVERY) {
            landmarks.push(Landmark { base: head.base, position: self.byte_count, newest_ms });
        }
        self.byte_count += byte_count;
    }

    /// Reads what the file says of those before it. Where it was cut within its head, that is what the `next` one says: too
    /// much, which keeps records for too long.
    pub(super) fn read_head(&mut self, disk: &SharedDisk, next: Past) -> io::Result<()> {
        let head = disk.read_at(&self.path, 0, FILE_HEAD_BYTES)?;
        if head.len() < FILE_HEAD_BYTES {
            self.past = next;
            return Ok(());
        }
        let past = frame::read_file_head(&head, self.base);
        self.past = past.ok_or_else(|| damaged(&self.path, 0, "the head of the file is not what was written"))?;
        Ok(())
    }

    /// Reads a file whose records ended at `to` when they were written. Where somebody cut it they end earlier, which it
    /// notes and says.
    pub(super) fn scan(
        &mut self,
        disk: &SharedDisk,
        to: NextOffset,
        seen: &mut dyn FnMut(&FrameHead, &[Record]),
    ) -> io::Result<()> {
        // What an append under way wrote behind is not looked at.
        let written = usize::try_from(self.byte_count).unwrap_or(usize::MAX);
        let mut content = Bytes::from(disk.read(&self.path)?);
        content.truncate(written);
        if content.len() < FILE_HEAD_BYTES {
            self.note_cut(self.base, to, content.len());
            return Ok(());
        }
        self.read_head(disk, self.past)?;
        let walked = self.walk(&content, seen);
        if walked.position < content.len() && !is_cut(&content, walked.position) {
            return Err(damaged(&self.path, walked.position as u64, "the frame is not what was written"));
        }
        if walked.end > to {
            let how = format!("its records end at offset {}, but the next file begins with {to}", walked.end);
            return Err(damaged(&self.path, walked.position as u64, &how));
        }
        if walked.end < to {
            self.note_cut(walked.end, to, content.len());
        }
        Ok(())
    }

    /// Its records end at `end`, in place of `to`.
    pub(super) fn note_cut(&mut self, end: NextOffset, to: NextOffset, bytes_left: usize) {
        let file = self.path.display();
        let how = format!("{file} was cut to {bytes_left} bytes, or what came behind it was removed");
        tracing::error!(from = %end, %to, how, "records of the local log are lost");
        self.cut = Some((end, how.into()));
        // Not empty: what is may be used again.
        self.byte_count = self.byte_count.max(FILE_HEAD_BYTES as u64);
        self.landmarks.get_or_insert_default();
    }

    /// That `offset` is lost, where it is; the records of the file ended at `to`.
    pub(super) fn lost(&self, offset: NextOffset, to: NextOffset) -> Option<io::Error> {
        let (end, how) = self.cut.as_ref().filter(|(end, _)| offset >= *end && offset < to)?;
        let range = OffsetRange::try_new(*end, to).ok()?;
        Some(io::Error::new(io::ErrorKind::InvalidData, Lost { range, how: how.to_string() }))
    }

    /// Reads the last file, cuts off what a crash tore, and returns what the log holds and where it ends; `None` where not
    /// even its first append is whole: nothing of the file was ever acknowledged.
    pub(super) fn recover(
        &mut self,
        disk: &SharedDisk,
        seen: &mut dyn FnMut(&FrameHead, &[Record]),
    ) -> io::Result<Option<(Past, NextOffset)>> {
        let content = Bytes::from(disk.read(&self.path)?);
        let (position, whole) = match frame::read_file_head(&content, self.base) {
            Some(past) => {
                self.past = past;
                let walked = self.walk(&content, seen);
                (walked.position, Some((walked.past, walked.end)))
            }
            None => (0, None),
        };
        if position < content.len() {
            if acknowledged_behind(&content, position) {
                let how = "what was written there is damaged, and records behind it were acknowledged later";
                return Err(damaged(&self.path, position as u64, how));
            }
            tracing::warn!(file = %self.path.display(), at = position, "the torn end of the log is cut off");
            let mut open = disk.open_append(&self.path)?;
            open.truncate(position as u64)?;
            open.sync()?;
        }
        let whole = whole.filter(|(_, end)| *end > self.base);
        if whole.is_none() {
            (self.byte_count, self.landmarks) = (0, Some(vec![]));
        }
        Ok(whole)
    }

    fn walk(&mut self, content: &Bytes, seen: &mut dyn FnMut(&FrameHead, &[Record])) -> Walked {
        self.byte_count = FILE_HEAD_BYTES as u64;
        self.landmarks = Some(vec![]);
        let mut walked = Walked { position: FILE_HEAD_BYTES, end: self.base, past: self.past };
        while let Some((length, head, records)) = whole_frame(content, walked.position) {
            if head.base != walked.end {
                break;
            }
            seen(&head, &records);
            self.note(&head, length as u64, walked.past.newest_ms);
            let newest_ms = records.iter().map(|record| record.timestamp_ms).max().unwrap_or(i64::MIN);
            walked.past.add(&head, newest_ms);
            walked.position += length;
            walked.end = head.end();
        }
        walked
    }
}

/// How far the frames of a file are whole.
struct Walked {
    position: usize,
    end: NextOffset,
    past: Past,
}

fn whole_frame(content: &Bytes, position: usize) -> Option<(usize, FrameHead, Vec<Record>)> {
    let length = frame::frame_bytes(content.get(position..)?)?;
    let whole = content.get(position..position.checked_add(length)?)?;
    frame::decode(&content.slice_ref(whole)).map(|(head, records)| (length, head, records))
}

/// Whether the content ends within the frame at `position`: what is no whole frame, with none behind it.
fn is_cut(content: &Bytes, position: usize) -> bool {
    let rest = &content[position..];
    let within = rest.len() < frame::HEAD_BYTES || frame::frame_bytes(rest).is_some_and(|bytes| bytes > rest.len());
    let behind = || (position + 1..content.len()).any(|at| whole_frame(content, at).is_some());
    within && !behind()
}

/// Whether a whole frame behind `position` says that the disk held more than that when it was written.
fn acknowledged_behind(content: &Bytes, position: usize) -> bool {
    let behind = |at: &usize| {
        let on_disk = content.get(*at..).and_then(frame::on_disk_before).unwrap_or(0);
        on_disk > position as u64 && whole_frame(content, *at).is_some()
    };
    (position + 1..content.len()).filter(|at| content[*at] == frame::MAGIC).any(|at| behind(&at))
}
