//! The bytes of the local log.
//!
//! A partition's log is a row of files named by the offset of their first record. A file is a row of frames; a frame holds
//! what one request appended to the partition, little-endian:
//!
//! ```text
//! u8  0x57          'W'
//! u8  1             version of the frame
//! u16 0             reserved
//! u32 body bytes
//! u32 CRC-32C of the body
//! body:
//!   u64 offset of the first record
//!   i64 wall milliseconds of the append
//!   u32 records
//!   u8  length of the idempotency key, 0 for none; the key
//!   per record:
//!     u32 its position in the request
//!     i64 time stamp in milliseconds
//!     u8  1: has a key, 2: has a value, added
//!     u32 length, bytes of the key (where there is one)
//!     u32 length, bytes of the value (where there is one)
//!     u16 headers, each u16 length, name, u32 length, value
//! ```

use bytes::Bytes;
use weir_types::NextOffset;

pub(super) const HEAD_BYTES: usize = 12;
const MAGIC: u8 = 0x57;
const VERSION: u8 = 1;

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
    pub(super) idempotency_key: Option<String>,
}

impl FrameHead {
    pub(super) fn end(&self) -> NextOffset {
        NextOffset::new(self.base.number() + u64::from(self.count))
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).expect("a request is bounded far below 4 GiB").to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Appends a frame to `out`.
pub(super) fn encode(head: &FrameHead, records: &[Record], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[MAGIC, VERSION, 0, 0]);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&head.base.number().to_le_bytes());
    out.extend_from_slice(&head.appended_ms.to_le_bytes());
    out.extend_from_slice(&head.count.to_le_bytes());
    let key = head.idempotency_key.as_deref().unwrap_or_default().as_bytes();
    out.push(u8::try_from(key.len()).expect("an idempotency key is at most 255 bytes"));
    out.extend_from_slice(key);
    for record in records {
        out.extend_from_slice(&record.position.to_le_bytes());
        out.extend_from_slice(&record.timestamp_ms.to_le_bytes());
        out.push(u8::from(record.key.is_some()) | u8::from(record.value.is_some()) << 1);
        for part in [&record.key, &record.value].into_iter().flatten() {
            put_bytes(out, part);
        }
        out.extend_from_slice(&u16::try_from(record.headers.len()).unwrap_or(u16::MAX).to_le_bytes());
        for (name, value) in record.headers.iter().take(usize::from(u16::MAX)) {
            let name = &name.as_bytes()[..name.len().min(usize::from(u16::MAX))];
            out.extend_from_slice(&(name.len() as u16).to_le_bytes());
            out.extend_from_slice(name);
            put_bytes(out, value);
        }
    }
    let body = start + HEAD_BYTES;
    let length = u32::try_from(out.len() - body).expect("a request is bounded far below 4 GiB");
    let crc = crc32c::crc32c(&out[body..]);
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    out[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
}

/// How many bytes the frame that starts with `head` has in all; `None` where it is no frame.
pub(super) fn frame_bytes(head: &[u8]) -> Option<usize> {
    let head = head.get(..HEAD_BYTES)?;
    if head[0] != MAGIC || head[1] != VERSION {
        return None;
    }
    Some(HEAD_BYTES + u32::from_le_bytes(head[4..8].try_into().ok()?) as usize)
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.fixed()?);
        self.take(length as usize)
    }
}

/// Reads a whole frame whose bytes are exactly `frame`; `None` where a checksum or a length does not fit.
pub(super) fn decode(frame: &Bytes) -> Option<(FrameHead, Vec<Record>)> {
    let (head, mut cursor) = checked(frame)?;
    let mut records = Vec::with_capacity(head.count as usize);
    let slice = |part: &[u8]| frame.slice_ref(part);
    for _ in 0..head.count {
        let position = u32::from_le_bytes(cursor.fixed()?);
        let timestamp_ms = i64::from_le_bytes(cursor.fixed()?);
        let [flags] = cursor.fixed::<1>()?;
        let key = if flags & 1 == 0 { None } else { Some(slice(cursor.long()?)) };
        let value = if flags & 2 == 0 { None } else { Some(slice(cursor.long()?)) };
        let mut headers = vec![];
        for _ in 0..u16::from_le_bytes(cursor.fixed()?) {
            let length = u16::from_le_bytes(cursor.fixed()?);
            let name = String::from_utf8_lossy(cursor.take(usize::from(length))?).into_owned();
            headers.push((name, slice(cursor.long()?)));
        }
        records.push(Record { position, timestamp_ms, key, value, headers });
    }
    cursor.0.is_empty().then_some((head, records))
}

/// The head of a frame whose checksum fits, and what follows it.
fn checked(frame: &[u8]) -> Option<(FrameHead, Cursor<'_>)> {
    if frame_bytes(frame)? != frame.len() {
        return None;
    }
    let crc = u32::from_le_bytes(frame[8..12].try_into().ok()?);
    let body = &frame[HEAD_BYTES..];
    if crc32c::crc32c(body) != crc {
        return None;
    }
    let mut cursor = Cursor(body);
    let base = NextOffset::new(u64::from_le_bytes(cursor.fixed()?));
    let appended_ms = i64::from_le_bytes(cursor.fixed()?);
    let count = u32::from_le_bytes(cursor.fixed()?);
    let [length] = cursor.fixed::<1>()?;
    let key = String::from_utf8_lossy(cursor.take(usize::from(length))?).into_owned();
    let idempotency_key = (!key.is_empty()).then_some(key);
    Some((FrameHead { base, appended_ms, count, idempotency_key }, cursor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_as_it_was_written_and_no_other_way() {
        let head = FrameHead { base: NextOffset::new(7), appended_ms: 5, count: 2, idempotency_key: Some("k".into()) };
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
        assert_eq!(decode(&Bytes::from(out.clone())), Some((head, records)));
        for at in 0..out.len() {
            let mut bent = out.clone();
            bent[at] ^= 0x10;
            let read = decode(&Bytes::from(bent));
            assert!(read.is_none() || (2..4).contains(&at), "byte {at} is not covered");
            assert!(decode(&Bytes::copy_from_slice(&out[..at])).is_none());
        }
    }
}
