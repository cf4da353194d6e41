//! Moves of a partition's next offset, the end of a partition that is read no more, and whose log it was that was read.

use crate::{
    catalog::{Check, Op},
    history::{AuditEntry, Move},
    records::{Seal, SegmentRecord, SegmentState, TableRecord},
    store::{
        Store, StoreError, TRIES, keys,
        segments::{changed, key_of},
        stored_history,
    },
};
use std::{collections::BTreeMap, sync::Arc};
use weir_types::{NextOffset, OffsetRange, Skip, SkipReason, StreamPartition};

/// Where a partition goes on, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveTo {
    /// The next offset to read.
    pub to: NextOffset,
    /// Why.
    pub reason: SkipReason,
    /// When, wall time in milliseconds since the epoch.
    pub at_ms: i64,
    /// The identity of the topic that is read from here on, where the stream tells one.
    pub topic_id: Option<Arc<str>>,
    /// Offsets of its log that were passed over and lie before where reading had come to and goes on.
    pub passed: Option<OffsetRange>,
}

impl Store {
    /// Moves the start of a consuming segment that has read nothing yet, with the move on the record and in the audit,
    /// together. A start that stays is a move only where it is in another topic's log.
    pub async fn move_start(
        &self,
        table: &TableRecord,
        consuming: &SegmentRecord,
        to: &MoveTo,
        audit: &[AuditEntry],
    ) -> Result<SegmentRecord, StoreError> {
        let SegmentState::Consuming { start } = consuming.state else {
            return Err(StoreError::conflict(format!("segment {} is not consuming any more", consuming.name)));
        };
        if to.to == start && to.reason != SkipReason::Recreated {
            return Err(StoreError::contradiction(format!("segment {} starts at {start} already", consuming.name)));
        }
        let before = consuming.name.sequence;
        let partition = consuming.partition.clone();
        let made = self.moves_before(table, &partition, before).await?;
        let step =
            Move { partition, before, from: start, to: to.to, reason: to.reason, at_ms: to.at_ms, passed: to.passed };
        let key = keys::moved(table.uid, &step.partition, before, made);
        let mut ops = vec![Op::Put(key.clone(), stored_history::encode_move(&step))];
        if let Some(id) = &to.topic_id {
            ops.push(Op::Put(
                keys::topic_id(table.uid, &step.partition),
                stored_history::encode_topic_id(&step.partition, id),
            ));
        }
        let moved = SegmentRecord { state: SegmentState::Consuming { start: to.to }, ..consuming.clone() };
        self.replace(consuming, moved, vec![Check::absent(&key)], ops, audit).await
    }

    /// Passes offsets over that the stream no longer holds: the consuming segment, which has read nothing yet, starts
    /// behind them.
    pub async fn record_skip(
        &self,
        table: &TableRecord,
        consuming: &SegmentRecord,
        skip: Skip,
    ) -> Result<SegmentRecord, StoreError> {
        let start = consuming.state.start();
        if skip.range.start() != start || skip.range.is_empty() {
            let what = format!("segment {} starts at {start}, {} cannot be skipped there", consuming.name, skip.range);
            return Err(StoreError::contradiction(what));
        }
        let to = MoveTo { to: skip.range.end(), reason: skip.reason, at_ms: skip.at_ms, topic_id: None, passed: None };
        self.move_start(table, consuming, &to, &[]).await
    }

    /// How often the start of a segment was moved.
    pub(super) async fn moves_before(
        &self,
        table: &TableRecord,
        partition: &StreamPartition,
        before: u32,
    ) -> Result<u32, StoreError> {
        let found = self.catalog.list(&keys::moves_before(table.uid, partition, before)).await?;
        u32::try_from(found.len()).map_err(|_| StoreError::conflict("the segment was moved four billion times"))
    }

    /// All moves of a table, by topic, partition and the segment that they stand before, in the order in which they were
    /// made.
    pub async fn moves(&self, table: &TableRecord) -> Result<Vec<Move>, StoreError> {
        let found = self.catalog.list(&keys::moves(table.uid)).await?;
        found.iter().map(|(key, entry)| stored_history::decode_move(key, &entry.value)).collect()
    }

    /// Offsets passed over between segments, by topic and partition, in the order in which they were passed over.
    pub async fn skips(&self, table: &TableRecord) -> Result<Vec<(StreamPartition, Skip)>, StoreError> {
        let moves = self.moves(table).await?;
        Ok(moves.iter().filter_map(|step| Some((step.partition.clone(), step.skip()?))).collect())
    }

    /// Ends a partition that the table reads no more: its open segment's end is fixed and has no successor, or the
    /// segment goes where it has read nothing. Gives the segment to commit.
    pub async fn end_partition(
        &self,
        consuming: &SegmentRecord,
        range: OffsetRange,
        seal: Seal,
    ) -> Result<Option<SegmentRecord>, StoreError> {
        if consuming.state != (SegmentState::Consuming { start: range.start() }) {
            let what = format!("segment {} is not what is being consumed from {}", consuming.name, range.start());
            return Err(StoreError::conflict(what));
        }
        if !range.is_empty() {
            let committing = SegmentRecord { state: SegmentState::Committing { range, seal }, ..consuming.clone() };
            return Ok(Some(self.replace(consuming, committing, vec![], vec![], &[]).await?));
        }
        let key = key_of(consuming);
        for _ in 0..TRIES {
            let guard = self.guard(&consuming.name.table, consuming.table_uid).await?;
            let checks = vec![guard.check(), Check::at(&key, consuming.version)];
            match self.txn(checks, vec![Op::Delete(key.clone())]).await? {
                Ok(_) => return Ok(None),
                Err(conflict) if conflict == guard.key => {}
                Err(_) => return Err(changed(consuming)),
            }
        }
        Err(StoreError::conflict(format!("table {} is being changed all the time", consuming.name.table)))
    }

    /// Remembers whose log partitions are read from; where something is remembered already, that stays.
    pub async fn note_topic_ids(
        &self,
        table: &TableRecord,
        partitions: &[StreamPartition],
        id: &str,
    ) -> Result<(), StoreError> {
        let known = self.topic_ids(table).await?;
        let fresh: Vec<&StreamPartition> =
            partitions.iter().filter(|partition| !known.contains_key(partition)).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        for _ in 0..TRIES {
            let guard = self.guard(&table.spec.name, table.uid).await?;
            let key = |partition: &StreamPartition| keys::topic_id(table.uid, partition);
            let mut checks = vec![guard.check()];
            checks.extend(fresh.iter().map(|partition| Check::absent(key(partition))));
            let put =
                |partition: &&StreamPartition| Op::Put(key(partition), stored_history::encode_topic_id(partition, id));
            match self.txn(checks, fresh.iter().map(put).collect()).await? {
                Ok(_) => return Ok(()),
                Err(conflict) if conflict == guard.key => {}
                Err(conflict) => return Err(StoreError::conflict(format!("{conflict} was written meanwhile"))),
            }
        }
        Err(StoreError::conflict(format!("table {} is being changed all the time", table.spec.name)))
    }

    /// The identity of the topic that each partition was last read from, where the stream told one.
    pub async fn topic_ids(&self, table: &TableRecord) -> Result<BTreeMap<StreamPartition, Arc<str>>, StoreError> {
        let found = self.catalog.list(&keys::topic_ids(table.uid)).await?;
        found.iter().map(|(key, entry)| stored_history::decode_topic_id(key, &entry.value)).collect()
    }
}
