//! Replays of the quarantine: one transaction each, numbered, so that two replays of a table never overlap.

use crate::{
    catalog::{Check, Op},
    history::AuditEntry,
    records::{ReplayRecord, TableRecord},
    store::{Store, StoreError, keys, stored},
};
use std::collections::BTreeSet;

impl Store {
    /// All replays of a table, by number.
    pub async fn replays(&self, table: &TableRecord) -> Result<Vec<ReplayRecord>, StoreError> {
        let found = self.catalog.list(&keys::replays(table.uid)).await?;
        found.iter().map(|(key, entry)| stored::decode_replay(key, &entry.value)).collect()
    }

    /// Commits a replay: its rows count from here on, and each message that it names is replayed. Whoever makes one has
    /// read all replays before it: its number is one past the last, and Conflict says that somebody else took that number
    /// or that the table's settings are not those it was made with. Committing the same record again is fine, so an
    /// answer that was lost can be asked for again. NotFound where the table is gone.
    pub async fn commit_replay(
        &self,
        table: &TableRecord,
        replay: &ReplayRecord,
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        check_parts(replay)?;
        let guard = self.guard(&table.spec.name, table.uid).await?;
        let key = keys::replay(table.uid, replay.number);
        match self.replay(&key).await? {
            Some(found) if found == *replay => return Ok(()),
            None if guard.version == table.version => {}
            _ => return Err(changed(table)),
        }
        let mut checks = vec![guard.check(), Check::absent(&key)];
        if let Some(before) = replay.number.checked_sub(1) {
            let key = keys::replay(table.uid, before);
            match self.catalog.get(&key).await? {
                Some(entry) => checks.push(Check::at(&key, entry.version)),
                None => {
                    let what = format!("replay {} follows {before}, which is not there", replay.number);
                    return Err(StoreError::contradiction(what));
                }
            }
        }
        let put = Op::Put(key.clone(), stored::encode_replay(replay));
        match self.txn_audited(checks, vec![put], audit).await? {
            Ok(_) => Ok(()),
            Err(_) if self.replay(&key).await?.as_ref() == Some(replay) => Ok(()),
            Err(_) => Err(changed(table)),
        }
    }

    async fn replay(&self, key: &str) -> Result<Option<ReplayRecord>, StoreError> {
        self.catalog.get(key).await?.map(|entry| stored::decode_replay(key, &entry.value)).transpose()
    }
}

fn changed(table: &TableRecord) -> StoreError {
    StoreError::conflict(format!("table {} was changed or replayed by somebody else meanwhile", table.spec.name))
}

/// A message is named once, and a part that names none says nothing.
fn check_parts(replay: &ReplayRecord) -> Result<(), StoreError> {
    let mut partitions = BTreeSet::new();
    for part in &replay.parts {
        let ascending = part.offsets.windows(2).all(|pair| pair[0] < pair[1]);
        if part.offsets.is_empty() || !ascending || !partitions.insert((&part.partition, part.reading)) {
            let what = format!("replay {} must name the messages of {} once, ascending", replay.number, part.partition);
            return Err(StoreError::contradiction(what));
        }
    }
    if replay.parts.is_empty() {
        return Err(StoreError::contradiction(format!("replay {} names no message", replay.number)));
    }
    Ok(())
}
