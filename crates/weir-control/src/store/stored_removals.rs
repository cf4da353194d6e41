//! How the catalog keeps what is left of removed segments, and the objects that are to go.

use crate::{
    retention::{Doomed, Leftover, Removed, RemovedRun},
    store::{
        StoreError,
        stored::{Reason, StoredCounts, V, at, counts, encode, partition_of, read, stored_counts},
    },
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use weir_types::{NextOffset, TableName};

#[derive(Serialize, Deserialize)]
struct StoredRemoved {
    v: u32,
    topic: String,
    partition: u32,
    segments: u64,
    counts: StoredCounts,
    runs: Vec<StoredRun>,
}

#[derive(Serialize, Deserialize)]
struct StoredRun {
    first: u32,
    last: u32,
    start: u64,
    end: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredDoomed {
    v: u32,
    segment: Arc<str>,
    key: String,
    until_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredLeftover {
    v: u32,
    uid: u64,
    table: String,
    created_ms: i64,
    dropped_ms: i64,
}

pub(super) fn encode_removed(removed: &Removed) -> Vec<u8> {
    let run = |run: &RemovedRun| StoredRun {
        first: run.first,
        last: run.last,
        start: run.start.number(),
        end: run.end.number(),
    };
    encode(&StoredRemoved {
        v: V,
        topic: removed.partition.topic.to_string(),
        partition: removed.partition.partition,
        segments: removed.segments,
        counts: stored_counts(removed.counts),
        runs: removed.runs.iter().map(run).collect(),
    })
}

pub(super) fn decode_removed(key: &str, bytes: &[u8]) -> Result<Removed, StoreError> {
    at(key, read(bytes).and_then(removed))
}

fn removed(stored: StoredRemoved) -> Result<Removed, Reason> {
    let run = |run: StoredRun| RemovedRun {
        first: run.first,
        last: run.last,
        start: NextOffset::new(run.start),
        end: NextOffset::new(run.end),
    };
    Ok(Removed {
        partition: partition_of(&stored.topic, stored.partition)?,
        segments: stored.segments,
        counts: counts(stored.counts),
        runs: stored.runs.into_iter().map(run).collect(),
    })
}

pub(super) fn encode_doomed(doomed: &Doomed) -> Vec<u8> {
    let Doomed { segment, key, until_ms } = doomed.clone();
    encode(&StoredDoomed { v: V, segment, key, until_ms })
}

pub(super) fn decode_doomed(key: &str, bytes: &[u8]) -> Result<Doomed, StoreError> {
    let StoredDoomed { segment, key, until_ms, .. } = at(key, read(bytes))?;
    Ok(Doomed { segment, key, until_ms })
}

pub(super) fn encode_leftover(left: &Leftover) -> Vec<u8> {
    let Leftover { uid, created_ms, dropped_ms, .. } = *left;
    encode(&StoredLeftover { v: V, uid, table: left.table.to_string(), created_ms, dropped_ms })
}

pub(super) fn decode_leftover(key: &str, bytes: &[u8]) -> Result<Leftover, StoreError> {
    at(key, read(bytes).and_then(leftover))
}

fn leftover(StoredLeftover { uid, table, created_ms, dropped_ms, .. }: StoredLeftover) -> Result<Leftover, Reason> {
    let table = TableName::parse(&table).map_err(|error| error.to_string())?;
    Ok(Leftover { uid, table, created_ms, dropped_ms })
}
