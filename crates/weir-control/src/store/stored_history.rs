//! How audit entries, moves of offsets and topics' identities lie in the catalog.

use crate::{
    history::{AuditAction, AuditEntry, Move},
    store::{
        StoreError,
        stored::{Reason, V, at, encode, partition_of, read, topic},
    },
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use weir_types::{NextOffset, OffsetRange, SkipReason, StreamPartition, TableName};

#[derive(Serialize, Deserialize)]
struct StoredAudit {
    v: u32,
    at_ms: i64,
    who: String,
    action: String,
    table: String,
    topic: Option<String>,
    partition: Option<u32>,
    before: String,
    after: String,
}

#[derive(Serialize, Deserialize)]
struct StoredCount {
    v: u32,
    count: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredMove {
    v: u32,
    topic: String,
    partition: u32,
    before: u32,
    from: u64,
    to: u64,
    reason: String,
    at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    passed: Option<(u64, u64)>,
}

#[derive(Serialize, Deserialize)]
struct StoredTopicId {
    v: u32,
    topic: String,
    partition: u32,
    id: Arc<str>,
}

pub(super) fn encode_audit(entry: &AuditEntry) -> Vec<u8> {
    encode(&StoredAudit {
        v: V,
        at_ms: entry.at_ms,
        who: entry.who.clone(),
        action: entry.action.as_str().into(),
        table: entry.table.to_string(),
        topic: entry.topic.as_ref().map(ToString::to_string),
        partition: entry.partition,
        before: entry.before.clone(),
        after: entry.after.clone(),
    })
}

pub(super) fn decode_audit(key: &str, bytes: &[u8]) -> Result<AuditEntry, StoreError> {
    at(key, read(bytes).and_then(audit))
}

fn audit(stored: StoredAudit) -> Result<AuditEntry, Reason> {
    let StoredAudit { at_ms, who, action, table, topic: name, partition, before, after, .. } = stored;
    let action = AuditAction::parse(&action).ok_or_else(|| format!("{action} is nothing that is done to tables"))?;
    let table = TableName::parse(&table).map_err(|error| error.to_string())?;
    let topic = name.map(|name| topic(&name)).transpose()?;
    Ok(AuditEntry { at_ms, who, action, table, topic, partition, before, after })
}

pub(super) fn encode_count(count: u64) -> Vec<u8> {
    encode(&StoredCount { v: V, count })
}

pub(super) fn decode_count(key: &str, bytes: &[u8]) -> Result<u64, StoreError> {
    at(key, read(bytes).map(|StoredCount { count, .. }| count))
}

pub(super) fn encode_move(step: &Move) -> Vec<u8> {
    encode(&StoredMove {
        v: V,
        topic: step.partition.topic.to_string(),
        partition: step.partition.partition,
        before: step.before,
        from: step.from.number(),
        to: step.to.number(),
        reason: step.reason.as_str().into(),
        at_ms: step.at_ms,
        passed: step.passed.map(|passed| (passed.start().number(), passed.end().number())),
    })
}

pub(super) fn decode_move(key: &str, bytes: &[u8]) -> Result<Move, StoreError> {
    at(key, read(bytes).and_then(step))
}

fn step(stored: StoredMove) -> Result<Move, Reason> {
    let reason = SkipReason::parse(&stored.reason);
    let passed = stored.passed.map(|(start, end)| OffsetRange::try_new(NextOffset::new(start), NextOffset::new(end)));
    Ok(Move {
        partition: partition_of(&stored.topic, stored.partition)?,
        before: stored.before,
        from: NextOffset::new(stored.from),
        to: NextOffset::new(stored.to),
        reason: reason.ok_or_else(|| format!("no offset is moved for the reason {}", stored.reason))?,
        at_ms: stored.at_ms,
        passed: passed.transpose().map_err(|error| error.to_string())?,
    })
}

pub(super) fn encode_topic_id(partition: &StreamPartition, id: &str) -> Vec<u8> {
    encode(&StoredTopicId { v: V, topic: partition.topic.to_string(), partition: partition.partition, id: id.into() })
}

pub(super) fn decode_topic_id(key: &str, bytes: &[u8]) -> Result<(StreamPartition, Arc<str>), StoreError> {
    let read = read(bytes);
    at(key, read.and_then(|stored: StoredTopicId| Ok((partition_of(&stored.topic, stored.partition)?, stored.id))))
}
