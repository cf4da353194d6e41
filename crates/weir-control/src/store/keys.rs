//! The catalog's keys, spelled in one place.
//!
//! ```text
//! uids                                                  the last table uid that was given out
//! schemas/{schema}                                      schemas that stand on their own
//! tables/{table}                                        tables
//! segments/{uid}/{topic}/{partition}/{sequence}         segments of a table
//! moves/{uid}/{topic}/{partition}/{sequence}/{number}   how the next offset was moved in front of a segment
//! topicids/{uid}/{topic}/{partition}                    whose log it is that is read
//! losses/{uid}/{topic}/{partition}/{sequence}/{moves}/{start}   offsets that were visible and could not be read again
//! replays/{uid}/{number}                                what was replayed from the quarantine, and its segments
//! removed/{uid}/{topic}/{partition}                     what is left of segments that were too old
//! doomed/{uid}/{until}/{segment}                        objects in the deep store that go when their time has come
//! flush/{uid}/{topic}                                   what sealed segments taught about row limits
//! dropping/{uid}                                        tables whose keys are being removed
//! dropped/{uid}                                         dropped tables whose objects are looked for
//! cluster                                               settings of the whole cluster
//! audits                                                how many audit entries were written
//! audit/{number}                                        what somebody did; outlives the table
//! ```
//!
//! Numbers have a fixed width (uid 16 hex digits, partition and sequence 10 digits, offsets, replays and times 20), so that byte order is
//! number order. A topic's name holds no `/`.

use weir_types::{NextOffset, SegmentName, StreamPartition, TableName, TopicName};

pub(super) const UIDS: &str = "uids";
pub(super) const TABLES: &str = "tables/";
pub(super) const SCHEMAS: &str = "schemas/";
pub(super) const DROPPING: &str = "dropping/";
pub(super) const DROPPED: &str = "dropped/";
pub(super) const CLUSTER: &str = "cluster";
pub(super) const AUDITS: &str = "audits";
pub(super) const AUDIT: &str = "audit/";

pub(super) fn table(name: &TableName) -> String {
    format!("{TABLES}{name}")
}

pub(super) fn schema(name: &str) -> String {
    format!("{SCHEMAS}{name}")
}

pub(super) fn dropping(uid: u64) -> String {
    format!("{DROPPING}{uid:016x}")
}

pub(super) fn uid_of_dropping(key: &str) -> Option<u64> {
    u64::from_str_radix(key.strip_prefix(DROPPING)?, 16).ok()
}

pub(super) fn dropped(uid: u64) -> String {
    format!("{DROPPED}{uid:016x}")
}

pub(super) fn audit(number: u64) -> String {
    format!("{AUDIT}{number:020}")
}

pub(super) fn number_of_audit(key: &str) -> Option<u64> {
    key.strip_prefix(AUDIT)?.parse().ok()
}

pub(super) fn segments(uid: u64) -> String {
    format!("segments/{uid:016x}/")
}

pub(super) fn segments_of(uid: u64, partition: &StreamPartition) -> String {
    format!("segments/{uid:016x}/{}/{:010}/", partition.topic, partition.partition)
}

pub(super) fn segment(uid: u64, partition: &StreamPartition, name: &SegmentName) -> String {
    format!("{}{:010}", segments_of(uid, partition), name.sequence)
}

pub(super) fn moves(uid: u64) -> String {
    format!("moves/{uid:016x}/")
}

pub(super) fn moves_before(uid: u64, partition: &StreamPartition, sequence: u32) -> String {
    format!("{}{}/{:010}/{sequence:010}/", moves(uid), partition.topic, partition.partition)
}

pub(super) fn moved(uid: u64, partition: &StreamPartition, sequence: u32, number: u32) -> String {
    format!("{}{number:010}", moves_before(uid, partition, sequence))
}

pub(super) fn topic_ids(uid: u64) -> String {
    format!("topicids/{uid:016x}/")
}

pub(super) fn topic_id(uid: u64, partition: &StreamPartition) -> String {
    format!("{}{}/{:010}", topic_ids(uid), partition.topic, partition.partition)
}

pub(super) fn losses(uid: u64) -> String {
    format!("losses/{uid:016x}/")
}

/// `moves` is how often the segment's start was moved before: in a topic made anew the same offsets are others.
pub(super) fn loss(uid: u64, partition: &StreamPartition, sequence: u32, moves: u32, start: NextOffset) -> String {
    let (topic, number) = (&partition.topic, partition.partition);
    format!("{}{topic}/{number:010}/{sequence:010}/{moves:010}/{:020}", losses(uid), start.number())
}

pub(super) fn replays(uid: u64) -> String {
    format!("replays/{uid:016x}/")
}

pub(super) fn replay(uid: u64, number: u64) -> String {
    format!("{}{number:020}", replays(uid))
}

pub(super) fn removed(uid: u64) -> String {
    format!("removed/{uid:016x}/")
}

pub(super) fn removed_of(uid: u64, partition: &StreamPartition) -> String {
    format!("{}{}/{:010}", removed(uid), partition.topic, partition.partition)
}

pub(super) fn doomed(uid: u64) -> String {
    format!("doomed/{uid:016x}/")
}

/// A time before 1970 is as due as one of then.
pub(super) fn doomed_at(uid: u64, until_ms: i64, segment: &str) -> String {
    format!("{}{:020}/{segment}", doomed(uid), until_ms.max(0))
}

pub(super) fn flush_of(uid: u64) -> String {
    format!("flush/{uid:016x}/")
}

pub(super) fn flush(uid: u64, topic: &TopicName) -> String {
    format!("{}{topic}", flush_of(uid))
}

/// Everything that belongs to a table, for its removal.
pub(super) fn all_of(uid: u64) -> [String; 8] {
    [segments(uid), moves(uid), topic_ids(uid), losses(uid), replays(uid), removed(uid), doomed(uid), flush_of(uid)]
}
