//! The catalog's keys, spelled in one place.
//!
//! ```text
//! uids                                                  the last table uid that was given out
//! schemas/{schema}                                      schemas that stand on their own
//! tables/{table}                                        tables
//! segments/{uid}/{topic}/{partition}/{sequence}         segments of a table
//! skips/{uid}/{topic}/{partition}/{start}               offsets passed over between segments
//! losses/{uid}/{topic}/{partition}/{start}              offsets of a fixed range that could not be read again
//! flush/{uid}/{topic}                                   what sealed segments taught about row limits
//! dropping/{uid}                                        tables whose keys are being removed
//! ```
//!
//! Numbers have a fixed width (uid 16 hex digits, partition and sequence 10 digits, offsets 20), so that byte order is
//! number order. A topic's name holds no `/`.

use weir_types::{NextOffset, SegmentName, StreamPartition, TableName, TopicName};

pub(super) const UIDS: &str = "uids";
pub(super) const TABLES: &str = "tables/";
pub(super) const SCHEMAS: &str = "schemas/";
pub(super) const DROPPING: &str = "dropping/";

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

pub(super) fn segments(uid: u64) -> String {
    format!("segments/{uid:016x}/")
}

pub(super) fn segments_of(uid: u64, partition: &StreamPartition) -> String {
    format!("segments/{uid:016x}/{}/{:010}/", partition.topic, partition.partition)
}

pub(super) fn segment(uid: u64, partition: &StreamPartition, name: &SegmentName) -> String {
    format!("{}{:010}", segments_of(uid, partition), name.sequence)
}

pub(super) fn skips(uid: u64) -> String {
    format!("skips/{uid:016x}/")
}

pub(super) fn skip(uid: u64, partition: &StreamPartition, start: NextOffset) -> String {
    format!("{}{}/{:010}/{:020}", skips(uid), partition.topic, partition.partition, start.number())
}

pub(super) fn losses(uid: u64) -> String {
    format!("losses/{uid:016x}/")
}

pub(super) fn loss(uid: u64, partition: &StreamPartition, start: NextOffset) -> String {
    format!("{}{}/{:010}/{:020}", losses(uid), partition.topic, partition.partition, start.number())
}

pub(super) fn flush_of(uid: u64) -> String {
    format!("flush/{uid:016x}/")
}

pub(super) fn flush(uid: u64, topic: &TopicName) -> String {
    format!("{}{topic}", flush_of(uid))
}

/// Everything that belongs to a table, for its removal.
pub(super) fn all_of(uid: u64) -> [String; 4] {
    [segments(uid), skips(uid), losses(uid), flush_of(uid)]
}
