//! The bytes of the local log.
//!
//! A partition's log is a row of files named by the offset of their first record. All numbers are little-endian. A file
//! begins with its head, which tells what the files before it hold, so that they need not be read when the log is opened:
//!
//! ```text
//! 8   "WEIRLOG" and 1, the version of the file
//! u64 offset of its first record
//! i64 wall milliseconds of the last append with an idempotency key in the files before
//! i64 wall milliseconds of the last append in the files before
//! i64 newest time stamp in the files before; each of the three is i64::MIN where there is none
//! u32 CRC-32C of all that
//! ```
//!
//! A file of nothing but its head keeps the end of a log whose records were all deleted. Else frames follow (see
//! `weir_base::frames`); a frame holds what one request appended to the partition:
//!
//! ```text
//! u8  0x57          'W'
//! u8  1             version of the frame
//! u16 0             reserved
//! u32 body bytes
//! u32 CRC-32C of the eight bytes before and all that follows
//! u64 length of this file that was on the disk before the frame was written
//! body:
//!   u64 offset of the first record
//!   i64 wall milliseconds of the append
//!   u32 records
//!   u32 records of the whole request
//!   u8  length of the idempotency key, 0 for none; the key
//!   per record:
//!     u32 its position in the request
//!     i64 time stamp in milliseconds
//!     u8  1: has a key, 2: has a value, added
//!     u32 length, bytes of the key (where there is one)
//!     u32 length, bytes of the value (where there is one)
//!     u16 headers, each u16 length, name, u32 length, value
//! ```
//!
//! The length in a frame's head tells a torn end from damage: frames of one append may be torn in any way by a crash, and
//! were never acknowledged; but a frame that says that the disk held more than the place where another one is broken says
//! that the broken one was acknowledged.

use bytes::Bytes;
use weir_base::frames::{Cursor, FrameLayout, put_long};
use weir_types::NextOffset;

pub(super) const HEAD_BYTES: usize = 20;
pub(super) const FILE_HEAD_BYTES: usize = 44;
pub(super) const MAGIC: u8 = 0x57;
const FILE_MAGIC: [u8; 8] = *b"WEIRLOG\x01";
const VERSION: u8 = 1;
const LAYOUT: FrameLayout =
    FrameLayout { marker: &[MAGIC, VERSION], length_at: 4, crc_at: 8, head_bytes: HEAD_BYTES, covers_head: true };

/// One record as it lies in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) position: u32,
    pub(super) timestamp_ms: i64,
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
    pub(super) headers: Vec<(String, Bytes)>,
}

/// What stands in front of a frame's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) base: NextOffset,
    pub(super) appended_ms: i64,
    pub(super) count: u32,
    /// Records of the whole request, those in other partitions included.
    pub(super) of_request: u32,
    pub(super) idempotency_key: Option<String>,
}

/// What lies before a place in the log, as far as it is asked for later; `i64::MIN` where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Past {
    /// Wall time of the last append with an idempotency key.
    pub(super) keyed_ms: i64,
    /// Wall time of the last append.
    pub(super) appended_ms: i64,
    /// Newest time stamp of a record.
    pub(super) newest_ms: i64,
}

impl Past {
    pub(super) const NONE: Self = Self { keyed_ms: i64::MIN, appended_ms: i64::MIN, newest_ms: i64::MIN };

    /// Takes a frame in.
    pub(super) fn add(&mut self, head: &FrameHead, newest_ms: i64) {
        if head.idempotency_key.is_some() {
            self.keyed_ms = self.keyed_ms.max(head.appended_ms);
        }
        self.appended_ms = self.appended_ms.max(head.appended_ms);
        self.newest_ms = self.newest_ms.max(newest_ms);
    }
}

/// The head of a file.
pub(super) fn file_head(base: NextOffset, past: &Past) -> [u8; FILE_HEAD_BYTES] {
    let mut head = [0; FILE_HEAD_BYTES];
    let numbers = [past.keyed_ms, past.appended_ms, past.newest_ms].map(i64::to_le_bytes);
    let parts = [FILE_MAGIC, base.number().to_le_bytes(), numbers[0], numbers[1], numbers[2]];
    for (at, part) in parts.iter().enumerate() {
        head[at * 8..at * 8 + 8].copy_from_slice(part);
    }
    let crc = crc32c::crc32c(&head[..FILE_HEAD_BYTES - 4]);
    head[FILE_HEAD_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    head
}

/// Reads the head of the file that begins with `base`; `None` where it is not what was written.
pub(super) fn read_file_head(content: &[u8], base: NextOffset) -> Option<Past> {
    let head = content.get(..FILE_HEAD_BYTES)?;
    let number = |at: usize| head[at..at + 8].try_into().ok().map(i64::from_le_bytes);
    let past = Past { keyed_ms: number(16)?, appended_ms: number(24)?, newest_ms: number(32)? };
    (head == file_head(base, &past)).then_some(past)
}

impl FrameHead {
    pub(super) fn end(&self) -> NextOffset {
        NextOffset::new(self.base.number() + u64::from(self.count))
    }
}

/// A CRC-32C over key, value and headers: tells a record that is sent again from another under the same idempotency key.
pub(super) fn digest(key: Option<&Bytes>, value: Option<&Bytes>, headers: &[(String, Bytes)]) -> u32 {
    let part = |crc: u32, bytes: Option<&[u8]>| match bytes {
        // Absent is another thing than empty, and lengths keep parts apart.
        None => crc32c::crc32c_append(crc, &[0]),
        Some(bytes) => {
            let length = (bytes.len() as u64).to_le_bytes();
            crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c_append(crc, &[1]), &length), bytes)
        }
    };
    let crc = part(part(0, key.map(|key| &**key)), value.map(|value| &**value));
    headers.iter().fold(crc, |crc, (name, value)| part(part(crc, Some(name.as_bytes())), Some(value)))
}

/// Appends a frame to `out`; it becomes whole by `seal`.
pub(super) fn encode(head: &FrameHead, records: &[Record], out: &mut Vec<u8>) {
    LAYOUT.begin(out);
    out.extend_from_slice(&head.base.number().to_le_bytes());
    out.extend_from_slice(&head.appended_ms.to_le_bytes());
    out.extend_from_slice(&head.count.to_le_bytes());
    out.extend_from_slice(&head.of_request.to_le_bytes());
    let key = head.idempotency_key.as_deref().unwrap_or_default().as_bytes();
    out.push(u8::try_from(key.len()).expect("an idempotency key is at most 255 bytes"));
    out.extend_from_slice(key);
    for record in records {
        out.extend_from_slice(&record.position.to_le_bytes());
        out.extend_from_slice(&record.timestamp_ms.to_le_bytes());
        out.push(u8::from(record.key.is_some()) | u8::from(record.value.is_some()) << 1);
        for part in [&record.key, &record.value].into_iter().flatten() {
            put_long(out, part);
        }
        out.extend_from_slice(&u16::try_from(record.headers.len()).unwrap_or(u16::MAX).to_le_bytes());
        for (name, value) in record.headers.iter().take(usize::from(u16::MAX)) {
            let name = &name.as_bytes()[..name.len().min(usize::from(u16::MAX))];
            out.extend_from_slice(&(name.len() as u16).to_le_bytes());
            out.extend_from_slice(name);
            put_long(out, value);
        }
    }
}

/// Completes a frame that is about to be written to a file of which `on_disk` bytes are on the disk.
pub(super) fn seal(frame: &mut [u8], on_disk: u64) {
    frame[12..20].copy_from_slice(&on_disk.to_le_bytes());
    LAYOUT.seal(frame);
}

/// How much of the file was on the disk when this frame was written.
pub(super) fn on_disk_before(frame: &[u8]) -> Option<u64> {
    frame.get(12..20)?.try_into().ok().map(u64::from_le_bytes)
}

/// How many bytes the frame that starts with `head` has in all; `None` where it is no frame.
pub(super) fn frame_bytes(head: &[u8]) -> Option<usize> {
    LAYOUT.byte_count(head)
}

/// Reads a whole frame whose bytes are exactly `frame`; `None` where a checksum or a length does not fit.
pub(super) fn decode(frame: &Bytes) -> Option<(FrameHead, Vec<Record>)> {
    let (head, mut cursor) = checked(frame)?;
    let mut records = Vec::with_capacity(head.count as usize);
    let slice = |part: &[u8]| frame.slice_ref(part);
    for _ in 0..head.count {
        let (position, timestamp_ms, flags) = (cursor.u32()?, cursor.i64()?, cursor.u8()?);
        let key = if flags & 1 == 0 { None } else { Some(slice(cursor.long()?)) };
        let value = if flags & 2 == 0 { None } else { Some(slice(cursor.long()?)) };
        let mut headers = vec![];
        for _ in 0..cursor.u16()? {
            let length = cursor.u16()?;
            let name = String::from_utf8_lossy(cursor.take(usize::from(length))?).into_owned();
            headers.push((name, slice(cursor.long()?)));
        }
        records.push(Record { position, timestamp_ms, key, value, headers });
    }
    cursor.is_at_end().then_some((head, records))
}

/// The head of a frame whose checksum fits, and what follows it.
fn checked(frame: &[u8]) -> Option<(FrameHead, Cursor<'_>)> {
    let body = LAYOUT.body_at(frame, 0).filter(|body| HEAD_BYTES + body.len() == frame.len())?;
    let mut cursor = Cursor::new(body);
    let (base, appended_ms) = (NextOffset::new(cursor.u64()?), cursor.i64()?);
    let (count, of_request, length) = (cursor.u32()?, cursor.u32()?, cursor.u8()?);
    let key = String::from_utf8_lossy(cursor.take(usize::from(length))?).into_owned();
    let idempotency_key = (!key.is_empty()).then_some(key);
    Some((FrameHead { base, appended_ms, count, of_request, idempotency_key }, cursor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_as_it_was_written_and_no_other_way() {
        let head = FrameHead {
            base: NextOffset::new(7),
            appended_ms: 5,
            count: 2,
            of_request: 4,
            idempotency_key: Some("k".into()),
        };
        let record = |position, key: Option<&'static [u8]>, value: Option<&'static [u8]>| Record {
            position,
            timestamp_ms: 9,
            key: key.map(Bytes::from_static),
            value: value.map(Bytes::from_static),
            headers: vec![("h".into(), Bytes::from_static(b"v"))],
        };
        let records = vec![record(0, Some(b"a"), None), record(3, None, Some(b"value"))];
        let mut out = vec![];
        encode(&head, &records, &mut out);
        seal(&mut out, 77);
        assert_eq!(on_disk_before(&out), Some(77));
        assert_eq!(decode(&Bytes::from(out.clone())), Some((head, records)));
        for at in 0..out.len() {
            let mut bent = out.clone();
            bent[at] ^= 0x10;
            assert!(decode(&Bytes::from(bent)).is_none(), "byte {at} is not covered");
            assert!(decode(&Bytes::copy_from_slice(&out[..at])).is_none());
        }
    }

    #[test]
    fn a_frame_of_old_is_written_and_read_byte_for_byte() {
        let old = "570100003c0000001eca1e374d00000000000000070000000000000005000000000000000100000002000000016b\
                   01000000ffffffffffffffff03010000006102000000767601000100680100000078";
        let old: Vec<u8> =
            (0..old.len()).step_by(2).map(|at| u8::from_str_radix(&old[at..at + 2], 16).unwrap()).collect();
        let head = FrameHead {
            base: NextOffset::new(7),
            appended_ms: 5,
            count: 1,
            of_request: 2,
            idempotency_key: Some("k".into()),
        };
        let records = [Record {
            position: 1,
            timestamp_ms: -1,
            key: Some(Bytes::from_static(b"a")),
            value: Some(Bytes::from_static(b"vv")),
            headers: vec![("h".into(), Bytes::from_static(b"x"))],
        }];
        let mut out = vec![];
        encode(&head, &records, &mut out);
        seal(&mut out, 77);
        assert_eq!(out, old);
        assert_eq!(decode(&Bytes::from(old)), Some((head, records.to_vec())));
    }

    #[test]
    fn a_file_head_reads_as_it_was_written_and_no_other_way() {
        let past = Past { keyed_ms: i64::MIN, appended_ms: 5, newest_ms: -3 };
        let head = file_head(NextOffset::new(9), &past);
        assert_eq!(read_file_head(&head, NextOffset::new(9)), Some(past));
        assert_eq!(read_file_head(&head, NextOffset::new(8)), None);
        for at in 0..head.len() {
            let mut bent = head;
            bent[at] ^= 1;
            assert_eq!(read_file_head(&bent, NextOffset::new(9)), None);
            assert_eq!(read_file_head(&head[..at], NextOffset::new(9)), None);
        }
    }
}
