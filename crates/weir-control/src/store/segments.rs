//! Segments: started, fixed (transaction A), finished (transaction B); and the offsets that were passed over.

use crate::{
    catalog::{Check, Op},
    flush::{FlushMemory, Limits},
    history::{AuditEntry, Move},
    records::{Artifact, NewPartition, Seal, SegmentRecord, SegmentState, TableRecord, chain},
    store::{Store, StoreError, TRIES, keys, stored, tables::no_table},
};
use std::{collections::BTreeMap, sync::Arc};
use weir_types::{OffsetRange, SchemaVersion, SegmentName, Skip, StreamPartition, TableName, TopicName};

/// A table as it stood when a change below it began.
pub(super) struct Guard {
    pub(super) key: String,
    pub(super) version: u64,
    schema_version: SchemaVersion,
}

impl Guard {
    pub(super) fn check(&self) -> Check {
        Check::at(&self.key, self.version)
    }
}

impl Store {
    /// All segments of a table, ordered by topic, partition and sequence.
    pub async fn segments(&self, table: &TableRecord) -> Result<Vec<SegmentRecord>, StoreError> {
        self.segments_under(&keys::segments(table.uid)).await
    }

    /// The segments of one partition, in order.
    pub async fn segments_of(
        &self,
        table: &TableRecord,
        partition: &StreamPartition,
    ) -> Result<Vec<SegmentRecord>, StoreError> {
        self.segments_under(&keys::segments_of(table.uid, partition)).await
    }

    async fn segments_under(&self, prefix: &str) -> Result<Vec<SegmentRecord>, StoreError> {
        let found = self.catalog.list(prefix).await?;
        found.iter().map(|(key, entry)| stored::decode_segment(key, &entry.value, entry.version)).collect()
    }

    /// Starts partitions, all in one transaction: each gets its first segment, or its next where the last one's end is
    /// fixed (the start must follow it, or a recorded skip). Conflict where a partition is being consumed already.
    pub async fn start_partitions(
        &self,
        table: &TableRecord,
        new: Vec<NewPartition>,
        limits: Limits,
        now_ms: i64,
        replicas: &[Arc<str>],
    ) -> Result<Vec<SegmentRecord>, StoreError> {
        for _ in 0..TRIES {
            let guard = self.guard(&table.spec.name, table.uid).await?;
            let mut last: BTreeMap<StreamPartition, SegmentRecord> = BTreeMap::new();
            for segment in self.segments(table).await? {
                last.insert(segment.partition.clone(), segment);
            }
            let moves = self.moves(table).await?;
            let mut checks = vec![guard.check()];
            let mut ops = Vec::with_capacity(new.len());
            let mut started = Vec::with_capacity(new.len());
            for partition in &new {
                let before = last.get(&partition.partition);
                let sequence = before.map_or(0, |before| before.name.sequence + 1);
                let name = SegmentName::new(table.spec.name.clone(), partition.partition_group, sequence, now_ms);
                let record = SegmentRecord {
                    name,
                    table_uid: table.uid,
                    partition: partition.partition.clone(),
                    state: SegmentState::Consuming { start: partition.start },
                    limits,
                    created_ms: now_ms,
                    schema_version: guard.schema_version,
                    replicas: replicas.to_vec(),
                    version: 0,
                };
                may_follow(before, &record, &moves)?;
                checks.extend(before.map(|before| Check::at(key_of(before), before.version)));
                checks.push(Check::absent(key_of(&record)));
                ops.push(Op::Put(key_of(&record), stored::encode_segment(&record)));
                last.insert(record.partition.clone(), record.clone());
                started.push(record);
            }
            match self.txn(checks, ops).await? {
                Ok(version) => {
                    started.iter_mut().for_each(|record| record.version = version);
                    return Ok(started);
                }
                Err(conflict) if conflict == guard.key => {}
                Err(conflict) => {
                    return Err(StoreError::conflict(format!("{conflict} was started by somebody else meanwhile")));
                }
            }
        }
        Err(StoreError::conflict(format!("table {} is being changed all the time", table.spec.name)))
    }

    /// Starts one partition.
    pub async fn start_partition(
        &self,
        table: &TableRecord,
        new: NewPartition,
        limits: Limits,
        now_ms: i64,
        replicas: &[Arc<str>],
    ) -> Result<SegmentRecord, StoreError> {
        let mut started = self.start_partitions(table, vec![new], limits, now_ms, replicas).await?;
        started.pop().ok_or_else(|| StoreError::contradiction("no segment was started"))
    }

    /// Transaction A: fixes a segment's end and starts its successor there, together: [`SegmentRecord::successor`], with
    /// these limits. Conflict where the segment is not as it was read (somebody else fixed it); NotFound where the table is
    /// gone.
    pub async fn fix_end(
        &self,
        consuming: &SegmentRecord,
        range: OffsetRange,
        seal: Seal,
        successor_limits: Limits,
    ) -> Result<(SegmentRecord, SegmentRecord), StoreError> {
        let SegmentState::Consuming { start } = consuming.state else {
            let what = format!("segment {} is {}, its end is fixed", consuming.name, consuming.state.word());
            return Err(StoreError::conflict(what));
        };
        if range.start() != start {
            let what = format!("segment {} starts at {start}, it cannot cover {range}", consuming.name);
            return Err(StoreError::contradiction(what));
        }
        for _ in 0..TRIES {
            let guard = self.guard(&consuming.name.table, consuming.table_uid).await?;
            let state = SegmentState::Committing { range, seal };
            let committing = SegmentRecord { state, ..consuming.clone() };
            let successor = SegmentRecord {
                limits: successor_limits,
                schema_version: guard.schema_version,
                ..consuming.successor(range.end(), seal.at_ms)
            };
            let checks =
                vec![guard.check(), Check::at(key_of(consuming), consuming.version), Check::absent(key_of(&successor))];
            let ops = vec![
                Op::Put(key_of(&committing), stored::encode_segment(&committing)),
                Op::Put(key_of(&successor), stored::encode_segment(&successor)),
            ];
            match self.txn(checks, ops).await? {
                Ok(version) => {
                    return Ok((SegmentRecord { version, ..committing }, SegmentRecord { version, ..successor }));
                }
                Err(conflict) if conflict == guard.key => {}
                Err(_) => return Err(changed(consuming)),
            }
        }
        Err(StoreError::conflict(format!("table {} is being changed all the time", consuming.name.table)))
    }

    /// Transaction B: the segment's file is in the deep store. Conflict where it is done already or was changed; NotFound
    /// where the table is gone.
    pub async fn finish(&self, committing: &SegmentRecord, artifact: Artifact) -> Result<SegmentRecord, StoreError> {
        let SegmentState::Committing { range, seal } = &committing.state else {
            let what = format!("segment {} is {}, not COMMITTING", committing.name, committing.state.word());
            return Err(StoreError::conflict(what));
        };
        let state = SegmentState::Done { range: *range, seal: *seal, artifact };
        self.replace(committing, SegmentRecord { state, ..committing.clone() }, vec![], vec![], &[]).await
    }

    /// Remembers that offsets of the segment with this sequence number were visible and could not be read again: inside of
    /// its fixed range, or of what it held while it was open. Repeating it is fine.
    pub async fn record_loss(
        &self,
        table: &TableRecord,
        partition: &StreamPartition,
        sequence: u32,
        loss: Skip,
    ) -> Result<(), StoreError> {
        let moves = self.moves_before(table, partition, sequence).await?;
        for _ in 0..TRIES {
            let guard = self.guard(&table.spec.name, table.uid).await?;
            let key = keys::loss(table.uid, partition, sequence, moves, loss.range.start());
            let ops = vec![Op::Put(key, stored::encode_skip(partition, &loss))];
            if self.txn(vec![guard.check()], ops).await?.is_ok() {
                return Ok(());
            }
        }
        Err(StoreError::conflict(format!("table {} is being changed all the time", table.spec.name)))
    }

    /// Offsets that were visible and could not be read again, by topic, partition, segment and offset.
    pub async fn losses(&self, table: &TableRecord) -> Result<Vec<(StreamPartition, Skip)>, StoreError> {
        let found = self.catalog.list(&keys::losses(table.uid)).await?;
        found.iter().map(|(key, entry)| stored::decode_skip(key, &entry.value)).collect()
    }

    /// What sealed segments of a topic taught; nothing where nothing was sealed.
    pub async fn flush_memory(&self, table: &TableRecord, topic: &TopicName) -> Result<FlushMemory, StoreError> {
        let key = keys::flush(table.uid, topic);
        let found = self.catalog.get(&key).await?;
        found.map_or(Ok(FlushMemory::default()), |entry| stored::decode_memory(&key, &entry.value))
    }

    /// Remembers what sealed segments taught; the last writer wins, it is a hint.
    pub async fn put_flush_memory(
        &self,
        table: &TableRecord,
        topic: &TopicName,
        memory: &FlushMemory,
    ) -> Result<(), StoreError> {
        let guard = self.guard(&table.spec.name, table.uid).await?;
        let ops = vec![Op::Put(keys::flush(table.uid, topic), stored::encode_memory(memory))];
        self.txn(vec![guard.check()], ops).await?.ok();
        Ok(())
    }

    /// Puts a segment's next state, with what belongs to it.
    pub(super) async fn replace(
        &self,
        before: &SegmentRecord,
        record: SegmentRecord,
        more_checks: Vec<Check>,
        mut ops: Vec<Op>,
        audit: &[AuditEntry],
    ) -> Result<SegmentRecord, StoreError> {
        let key = key_of(before);
        ops.push(Op::Put(key.clone(), stored::encode_segment(&record)));
        // A dropped table loses its name first and its segments then: the segment may still be there.
        for _ in 0..TRIES {
            let guard = self.guard(&before.name.table, before.table_uid).await?;
            let mut checks = vec![guard.check(), Check::at(&key, before.version)];
            checks.extend_from_slice(&more_checks);
            match self.txn_audited(checks, ops.clone(), audit).await? {
                Ok(version) => return Ok(SegmentRecord { version, ..record }),
                Err(conflict) if conflict == guard.key => {}
                Err(_) => return Err(changed(before)),
            }
        }
        Err(StoreError::conflict(format!("table {} is being changed all the time", before.name.table)))
    }

    /// The table as it stands, if it is still the one that is meant.
    pub(super) async fn guard(&self, name: &TableName, uid: u64) -> Result<Guard, StoreError> {
        let key = keys::table(name);
        let Some(entry) = self.catalog.get(&key).await? else { return Err(no_table(name)) };
        let table = stored::peek_table(&key, &entry.value)?;
        if table.uid != uid {
            let what = format!("table {name} was dropped and made again since");
            return Err(StoreError::not_found(what));
        }
        Ok(Guard { key, version: entry.version, schema_version: SchemaVersion(table.schema_version) })
    }
}

pub(super) fn key_of(segment: &SegmentRecord) -> String {
    keys::segment(segment.table_uid, &segment.partition, &segment.name)
}

pub(super) fn changed(segment: &SegmentRecord) -> StoreError {
    StoreError::conflict(format!("segment {} was changed by somebody else meanwhile", segment.name))
}

/// Whether `record` may come after `before`, or first.
fn may_follow(before: Option<&SegmentRecord>, record: &SegmentRecord, moves: &[Move]) -> Result<(), StoreError> {
    if let Some(before) = before.filter(|before| matches!(before.state, SegmentState::Consuming { .. })) {
        let what = format!("partition {} is being consumed by segment {}", before.partition, before.name);
        return Err(StoreError::conflict(what));
    }
    let moves: Vec<Move> = moves.iter().filter(|step| step.partition == record.partition).cloned().collect();
    let pair: Vec<SegmentRecord> = before.into_iter().chain([record]).cloned().collect();
    Ok(chain(&pair, &[], &moves)?)
}
