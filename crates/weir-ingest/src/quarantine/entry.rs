//! What the quarantine keeps of a record, and how it lies in a frame's body.
//!
//! `docs/formats/quarantine.md` says the same for people. Bodies, little-endian; texts and bytes are a `u32` length and the bytes:
//!
//! ```text
//! 1  entry as the first release wrote it: topic, u32 partition, u64 offset, i64 wall ms, stage, column, reason, payload
//! 2  u64 evicted entries that are no longer in the file; at the start of a rewritten file
//! 3  entry: as 1, then u32 reading, u64 bytes of the whole value, i64 stream time (i64::MIN: none), u8 has a key, key
//! 4  removed: u8 why (0 deleted, 1 replayed, 2 abandoned), topic, u32 partition, u32 reading, u32 count, the offsets
//! 5  u64 how many of the oldest entries were evicted here
//! 6  topic, u32 partition, u32 reading, u64 offset: up to here, entries that are not in the file were evicted or deleted
//! 7  u64 deleted entries that are no longer in the file; at the start of a rewritten file
//! 8  entry with headers: as 3, then u32 count, and of each its name and value
//! ```
//!
//! A second entry of the same identity takes the place of the first: it was tried again and failed for another reason.
//!
//! A partition's readings count how often it was started over: its next offset was moved back, or its topic was made anew.
//! The same offset of another reading is another entry.

use std::sync::Arc;
use weir_base::frames::{Cursor, put_long};
use weir_formats::{Reject, Stage};
use weir_streams::Messages;
use weir_types::{MessageField, NextOffset, Schema, StreamPartition, TopicName};

/// The stage of an entry that could not be tried again.
pub(crate) const REPLAY: &str = "REPLAY";

/// Every word that an entry's stage can be, in the order of a record's way.
pub const STAGES: [&str; 8] = [
    Stage::Decode.as_str(),
    Stage::ComplexType.as_str(),
    Stage::Transform.as_str(),
    Stage::Filter.as_str(),
    Stage::DataType.as_str(),
    Stage::Time.as_str(),
    Stage::Sanitise.as_str(),
    REPLAY,
];

/// Identity of an entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId {
    /// Where the record came from.
    pub partition: StreamPartition,
    /// How often the partition had been started over when it was read.
    pub reading: u32,
    /// Its offset.
    pub offset: NextOffset,
}

/// One reading of a partition.
pub(crate) type Reading = (StreamPartition, u32);

const ENTRY_1: u8 = 1;
const EVICTED: u8 = 2;
const ENTRY: u8 = 3;
const REMOVED: u8 = 4;
const EVICT: u8 = 5;
const GONE: u8 = 6;
const DELETED: u8 = 7;
const ENTRY_WITH_HEADERS: u8 = 8;

/// No stream time.
const NO_TIME: i64 = i64::MIN;
/// The first release cut payloads here and did not say so.
const FIRST_RELEASE_CUT: usize = 1 << 20;

/// One record in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it came from.
    pub partition: StreamPartition,
    /// How often the partition had been started over when it was read.
    pub reading: u32,
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
    /// Its value's bytes, cut at the bound of a payload.
    pub payload: Vec<u8>,
    /// Bytes of the whole value; more than `payload` holds where it was cut.
    pub value_bytes: u64,
    /// Its key, where it has one.
    pub key: Option<Vec<u8>>,
    /// The stream's time of it, milliseconds since the epoch.
    pub stream_time_ms: Option<i64>,
    /// Names and values of those of its headers that the table had columns for.
    pub headers: Vec<(Arc<str>, Vec<u8>)>,
}

impl Entry {
    /// What of a batch's messages was rejected, in which reading and when.
    #[must_use]
    pub(crate) fn new(
        (partition, reading): &Reading,
        schema: &Schema,
        messages: &dyn Messages,
        reject: &Reject,
        time_ms: i64,
    ) -> Self {
        let at = reject.message as usize;
        let value = messages.value(at).unwrap_or_default();
        let spoilt = messages.spoilt().iter().find(|spoilt| spoilt.at == at);
        let header = |name: Arc<str>| messages.header(at, &name).map(|value| (name.clone(), value.to_vec()));
        Self {
            partition: partition.clone(),
            reading: *reading,
            offset: messages.offset(at),
            time_ms,
            stage: reject.stage.as_str().to_owned(),
            column: reject.column.as_deref().unwrap_or_default().to_owned(),
            reason: reject.reason.clone(),
            payload: value.to_vec(),
            value_bytes: spoilt.map_or(value.len() as u64, |spoilt| spoilt.whole_bytes),
            key: messages.key(at).map(<[u8]>::to_vec),
            stream_time_ms: messages.timestamp_ms(at),
            headers: MessageField::headers(schema).filter_map(header).collect(),
        }
    }

    /// Whether all of the value is here: only then it can be replayed.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.value_bytes == self.payload.len() as u64
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> EntryId {
        EntryId { partition: self.partition.clone(), reading: self.reading, offset: self.offset }
    }
}

/// Why an entry is no longer in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Somebody asked: it stays rejected.
    Deleted,
    /// It was replayed.
    Replayed,
    /// The reading it belongs to was given up before its range was fixed: the record counts as never read.
    Abandoned,
}

/// What a frame tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    Entry(Entry),
    EvictedBefore(u64),
    DeletedBefore(u64),
    Removed(Why, Reading, Vec<NextOffset>),
    Evict(u64),
    Gone(Reading, NextOffset),
}

impl Body {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Entry(entry) => encode_entry(entry),
            Self::EvictedBefore(count) => counted(EVICTED, *count),
            Self::DeletedBefore(count) => counted(DELETED, *count),
            Self::Evict(count) => counted(EVICT, *count),
            Self::Gone(reading, offset) => {
                let mut out = vec![GONE];
                put_reading(&mut out, reading);
                out.extend_from_slice(&offset.number().to_le_bytes());
                out
            }
            Self::Removed(why, reading, offsets) => {
                let mut out = vec![REMOVED, *why as u8];
                put_reading(&mut out, reading);
                out.extend_from_slice(&length(offsets.len()).to_le_bytes());
                offsets.iter().for_each(|offset| out.extend_from_slice(&offset.number().to_le_bytes()));
                out
            }
        }
    }

    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(body);
        Some(match cursor.u8()? {
            kind @ (ENTRY_1 | ENTRY | ENTRY_WITH_HEADERS) => Self::Entry(entry(&mut cursor, kind)?),
            EVICTED => Self::EvictedBefore(cursor.u64()?),
            DELETED => Self::DeletedBefore(cursor.u64()?),
            EVICT => Self::Evict(cursor.u64()?),
            GONE => Self::Gone(reading(&mut cursor)?, NextOffset::new(cursor.u64()?)),
            REMOVED => {
                let why = cursor.u8()?;
                let why =
                    [Why::Deleted, Why::Replayed, Why::Abandoned].into_iter().find(|known| *known as u8 == why)?;
                let reading = reading(&mut cursor)?;
                let count = cursor.u32()?;
                let offsets = (0..count).map(|_| cursor.u64().map(NextOffset::new)).collect::<Option<_>>()?;
                Self::Removed(why, reading, offsets)
            }
            _ => return None,
        })
    }
}

fn length(count: usize) -> u32 {
    u32::try_from(count).expect("payloads and lists are bounded far below 4 GiB")
}

fn counted(kind: u8, count: u64) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&count.to_le_bytes());
    out
}

fn put_partition(out: &mut Vec<u8>, partition: &StreamPartition) {
    put_long(out, partition.topic.as_str().as_bytes());
    out.extend_from_slice(&partition.partition.to_le_bytes());
}

fn put_reading(out: &mut Vec<u8>, (partition, reading): &Reading) {
    put_partition(out, partition);
    out.extend_from_slice(&reading.to_le_bytes());
}

fn encode_entry(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(entry.payload.len() + entry.reason.len() + 128);
    out.push(if entry.headers.is_empty() { ENTRY } else { ENTRY_WITH_HEADERS });
    put_partition(&mut out, &entry.partition);
    out.extend_from_slice(&entry.offset.number().to_le_bytes());
    out.extend_from_slice(&entry.time_ms.to_le_bytes());
    for part in [entry.stage.as_bytes(), entry.column.as_bytes(), entry.reason.as_bytes(), &entry.payload] {
        put_long(&mut out, part);
    }
    out.extend_from_slice(&entry.reading.to_le_bytes());
    out.extend_from_slice(&entry.value_bytes.to_le_bytes());
    out.extend_from_slice(&entry.stream_time_ms.unwrap_or(NO_TIME).to_le_bytes());
    out.push(u8::from(entry.key.is_some()));
    put_long(&mut out, entry.key.as_deref().unwrap_or_default());
    if !entry.headers.is_empty() {
        out.extend_from_slice(&length(entry.headers.len()).to_le_bytes());
        for (name, value) in &entry.headers {
            put_long(&mut out, name.as_bytes());
            put_long(&mut out, value);
        }
    }
    out
}

fn text(cursor: &mut Cursor<'_>) -> Option<String> {
    String::from_utf8(cursor.long()?.to_vec()).ok()
}

fn partition(cursor: &mut Cursor<'_>) -> Option<StreamPartition> {
    let topic = TopicName::parse(&text(cursor)?).ok()?;
    Some(StreamPartition { topic, partition: cursor.u32()? })
}

fn reading(cursor: &mut Cursor<'_>) -> Option<Reading> {
    Some((partition(cursor)?, cursor.u32()?))
}

fn entry(cursor: &mut Cursor<'_>, kind: u8) -> Option<Entry> {
    let (partition, offset) = (partition(cursor)?, NextOffset::new(cursor.u64()?));
    let (time_ms, stage, column, reason) = (cursor.i64()?, text(cursor)?, text(cursor)?, text(cursor)?);
    let payload = cursor.long()?.to_vec();
    let (mut reading, mut value_bytes, mut key, mut stream_time_ms) = (0, payload.len() as u64, None, None);
    let mut headers = vec![];
    if kind != ENTRY_1 {
        reading = cursor.u32()?;
        value_bytes = cursor.u64()?;
        stream_time_ms = Some(cursor.i64()?).filter(|time| *time != NO_TIME);
        let has_key = cursor.u8()? != 0;
        let found = cursor.long()?;
        key = has_key.then(|| found.to_vec());
        if kind == ENTRY_WITH_HEADERS {
            let count = cursor.u32()?;
            headers =
                (0..count).map(|_| Some((text(cursor)?.into(), cursor.long()?.to_vec()))).collect::<Option<_>>()?;
        }
    } else if payload.len() == FIRST_RELEASE_CUT {
        value_bytes += 1;
    }
    Some(Entry {
        partition,
        reading,
        offset,
        time_ms,
        stage,
        column,
        reason,
        payload,
        value_bytes,
        key,
        stream_time_ms,
        headers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition() -> StreamPartition {
        StreamPartition { topic: TopicName::parse("t").unwrap(), partition: 1 }
    }

    fn entry() -> Entry {
        Entry {
            partition: partition(),
            reading: 0,
            offset: NextOffset::new(3),
            time_ms: 7,
            stage: "DECODE".into(),
            column: "c".into(),
            reason: "broken".into(),
            payload: b"{\xff".to_vec(),
            value_bytes: 2,
            key: None,
            stream_time_ms: None,
            headers: vec![],
        }
    }

    #[test]
    fn bodies_read_what_they_write_and_nothing_shorter() {
        let full = Entry { reading: 2, key: Some(vec![]), stream_time_ms: Some(-5), value_bytes: 9, ..entry() };
        let headers = vec![("h".into(), b"\xff".to_vec()), ("".into(), vec![])];
        for body in [
            Body::Entry(entry()),
            Body::Entry(Entry { headers, ..full.clone() }),
            Body::Entry(full),
            Body::EvictedBefore(4),
            Body::DeletedBefore(5),
            Body::Evict(6),
            Body::Gone((partition(), 1), NextOffset::new(8)),
            Body::Removed(Why::Deleted, (partition(), 0), vec![NextOffset::new(1), NextOffset::new(9)]),
            Body::Removed(Why::Replayed, (partition(), 3), vec![]),
            Body::Removed(Why::Abandoned, (partition(), 3), vec![]),
        ] {
            let bytes = body.encode();
            assert_eq!(Body::decode(&bytes), Some(body));
            for cut in 0..bytes.len() {
                assert_eq!(Body::decode(&bytes[..cut]), None, "{cut}");
            }
        }
    }

    #[test]
    fn what_the_first_release_wrote_is_read() {
        let mut bytes = vec![1];
        put_partition(&mut bytes, &partition());
        bytes.extend_from_slice(&3_u64.to_le_bytes());
        bytes.extend_from_slice(&7_i64.to_le_bytes());
        for part in [&b"DECODE"[..], b"c", b"broken", b"{\xff"] {
            put_long(&mut bytes, part);
        }
        assert_eq!(Body::decode(&bytes), Some(Body::Entry(entry())));
    }
}
