//! Removal of segments that are too old: one transaction takes their records away, adds their counts to what is left of
//! their partition, and notes the objects that are to go.
//!
//! The objects go afterwards, each before its note: whoever dies in between finds the note again.

use crate::{
    catalog::{Check, Op},
    history::AuditEntry,
    records::{SegmentRecord, SegmentState, TableRecord},
    retention::{Doomed, Leftover, Removed},
    store::{KEYS_AT_ONCE, Store, StoreError, TRIES, keys, segments::key_of, stored, stored_removals},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use weir_types::StreamPartition;

/// Segments that one transaction removes: each takes two changes.
pub const REMOVED_AT_ONCE: usize = KEYS_AT_ONCE / 2;

impl Store {
    /// What is left of a table's removed segments, by partition.
    pub async fn removed(&self, table: &TableRecord) -> Result<BTreeMap<StreamPartition, Removed>, StoreError> {
        let found = self.catalog.list(&keys::removed(table.uid)).await?;
        let decoded = found.iter().map(|(key, entry)| stored_removals::decode_removed(key, &entry.value));
        decoded.map(|removed| removed.map(|removed| (removed.partition.clone(), removed))).collect()
    }

    /// Objects of a table that are to go, those whose time comes first first.
    pub async fn doomed(&self, table: &TableRecord) -> Result<Vec<Doomed>, StoreError> {
        let found = self.catalog.list(&keys::doomed(table.uid)).await?;
        found.iter().map(|(key, entry)| stored_removals::decode_doomed(key, &entry.value)).collect()
    }

    /// Objects of a table are gone: nothing has to be remembered of them.
    pub async fn forget_doomed(&self, table: &TableRecord, gone: &[Doomed]) -> Result<(), StoreError> {
        for part in gone.chunks(KEYS_AT_ONCE) {
            let key = |doomed: &Doomed| keys::doomed_at(table.uid, doomed.until_ms, &doomed.segment);
            let ops = part.iter().map(|doomed| Op::Delete(key(doomed))).collect();
            // Without checks there is nothing to conflict with.
            self.txn(vec![], ops).await?.ok();
        }
        Ok(())
    }

    /// Tables that were dropped and of which objects may be left.
    pub async fn leftovers(&self) -> Result<Vec<Leftover>, StoreError> {
        let found = self.catalog.list(keys::DROPPED).await?;
        found.iter().map(|(key, entry)| stored_removals::decode_leftover(key, &entry.value)).collect()
    }

    /// Nothing is left of a dropped table, and nothing comes.
    pub async fn forget_leftover(&self, gone: &Leftover) -> Result<(), StoreError> {
        // Without checks there is nothing to conflict with.
        self.txn(vec![], vec![Op::Delete(keys::dropped(gone.uid))]).await?.ok();
        Ok(())
    }

    /// Removes segments that are done, at most `REMOVED_AT_ONCE`, all or none; their objects are doomed to go after
    /// `until_ms`. The last segment of a partition whose end is fixed stays, whatever is asked: where reading goes on is
    /// known from it, also when the open segment behind it goes without having read anything.
    ///
    /// # Errors
    /// Conflict where a segment, or the last fixed one of its partition, changed meanwhile; NotFound where the table is gone;
    /// Contradiction where a segment is not done, or the last.
    pub async fn remove_segments(
        &self,
        table: &TableRecord,
        segments: &[SegmentRecord],
        until_ms: i64,
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        if segments.len() > REMOVED_AT_ONCE {
            let what = format!("{} segments are more than the {REMOVED_AT_ONCE} of one removal", segments.len());
            return Err(StoreError::contradiction(what));
        }
        for _ in 0..TRIES {
            let guard = self.guard(&table.spec.name, table.uid).await?;
            let mut checks = vec![guard.check()];
            let mut ops = vec![];
            for (partition, ours) in by_partition(segments) {
                self.remove_of(table, partition, &ours, until_ms, &mut checks, &mut ops).await?;
            }
            match self.txn_audited(checks, ops, audit).await? {
                Ok(_) => return Ok(()),
                Err(conflict) if conflict == guard.key => {}
                Err(conflict) => {
                    let what = format!("{conflict} was changed by somebody else meanwhile");
                    return Err(StoreError::conflict(what));
                }
            }
        }
        Err(StoreError::conflict(format!("table {} is being changed all the time", table.spec.name)))
    }

    /// Marks segments of one replay, by name, as removed; their objects are doomed to go after `until_ms`. Those that are
    /// marked already, or not there, are passed over. The replay and its counts stay: what it names is replayed for good.
    ///
    /// # Errors
    /// Conflict where the replay changed meanwhile; NotFound where the table or the replay is gone.
    pub async fn remove_replayed(
        &self,
        table: &TableRecord,
        number: u64,
        segments: &BTreeSet<Arc<str>>,
        (now_ms, until_ms): (i64, i64),
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        let key = keys::replay(table.uid, number);
        for _ in 0..TRIES {
            let guard = self.guard(&table.spec.name, table.uid).await?;
            let entry = self.catalog.get(&key).await?;
            let entry = entry.ok_or_else(|| StoreError::not_found(format!("replay {number} is not there")))?;
            let mut replay = stored::decode_replay(&key, &entry.value)?;
            let mut ops = vec![];
            for segment in replay.parts.iter_mut().filter_map(|part| part.segment.as_mut()) {
                if segment.removed_ms.is_none() && segments.contains(&segment.name) {
                    segment.removed_ms = Some(now_ms);
                    let (segment, key) = (segment.name.clone(), segment.artifact.key.clone());
                    let doomed = Doomed { segment, key, until_ms };
                    let noted = keys::doomed_at(table.uid, until_ms, &doomed.segment);
                    ops.push(Op::Put(noted, stored_removals::encode_doomed(&doomed)));
                }
            }
            if ops.is_empty() {
                return Ok(());
            }
            ops.push(Op::Put(key.clone(), stored::encode_replay(&replay)));
            match self.txn_audited(vec![guard.check(), Check::at(&key, entry.version)], ops, audit).await? {
                Ok(_) => return Ok(()),
                Err(conflict) if conflict == guard.key => {}
                Err(_) => return Err(StoreError::conflict(format!("replay {number} was changed meanwhile"))),
            }
        }
        Err(StoreError::conflict(format!("table {} is being changed all the time", table.spec.name)))
    }

    /// The checks and changes for one partition.
    async fn remove_of(
        &self,
        table: &TableRecord,
        partition: &StreamPartition,
        segments: &[&SegmentRecord],
        until_ms: i64,
        checks: &mut Vec<Check>,
        ops: &mut Vec<Op>,
    ) -> Result<(), StoreError> {
        let key = keys::removed_of(table.uid, partition);
        let before = self.catalog.get(&key).await?;
        let mut removed = match &before {
            Some(entry) => stored_removals::decode_removed(&key, &entry.value)?,
            None => Removed::none(partition.clone()),
        };
        let known = self.segments_of(table, partition).await?;
        let last = known.iter().rfind(|segment| segment.state.range().is_some());
        let last = last.ok_or_else(|| StoreError::conflict(format!("{partition} has no fixed segments any more")))?;
        for segment in segments {
            let SegmentState::Done { range, seal, artifact } = &segment.state else {
                let what = format!("segment {} is {}, it cannot be removed", segment.name, segment.state.word());
                return Err(StoreError::contradiction(what));
            };
            if segment.name.sequence >= last.name.sequence {
                let what = format!("segment {} is the last of {partition} that has an end, it stays", segment.name);
                return Err(StoreError::contradiction(what));
            }
            removed.add(segment.name.sequence, *range, &seal.accounting);
            let doomed = Doomed { segment: segment.name.to_string().into(), key: artifact.key.clone(), until_ms };
            checks.push(Check::at(key_of(segment), segment.version));
            ops.push(Op::Delete(key_of(segment)));
            let noted = keys::doomed_at(table.uid, until_ms, &doomed.segment);
            ops.push(Op::Put(noted, stored_removals::encode_doomed(&doomed)));
        }
        checks.push(Check { key: key.clone(), version: before.map(|entry| entry.version) });
        checks.push(Check::at(key_of(last), last.version));
        ops.push(Op::Put(key, stored_removals::encode_removed(&removed)));
        Ok(())
    }
}

fn by_partition(segments: &[SegmentRecord]) -> BTreeMap<&StreamPartition, Vec<&SegmentRecord>> {
    let mut found: BTreeMap<&StreamPartition, Vec<&SegmentRecord>> = BTreeMap::new();
    for segment in segments {
        found.entry(&segment.partition).or_default().push(segment);
    }
    found
}
