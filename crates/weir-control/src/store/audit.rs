//! The audit: who did what, in the transaction that did it.
//!
//! Entries are numbered; the newest are kept, and since numbers have no holes the oldest number that is kept is the count
//! of those that are gone.

use crate::{
    catalog::{Check, Op},
    history::{AUDIT_KEPT, AuditEntry, AuditLog},
    store::{Store, StoreError, TRIES, keys, stored_history},
};

impl Store {
    /// Writes an entry about something that changes nothing else in the catalog.
    pub async fn audit(&self, entry: AuditEntry) -> Result<(), StoreError> {
        // Without checks of its own there is nothing else to conflict with.
        self.txn_audited(vec![], vec![], std::slice::from_ref(&entry)).await?.ok();
        Ok(())
    }

    /// What is kept, oldest first.
    pub async fn audit_log(&self) -> Result<AuditLog, StoreError> {
        let found = self.catalog.list(keys::AUDIT).await?;
        let mut entries = Vec::with_capacity(found.len());
        for (key, entry) in &found {
            let number = keys::number_of_audit(key).ok_or_else(|| StoreError::Unreadable {
                key: key.clone(),
                reason: "it does not end in an entry's number".into(),
            })?;
            entries.push((number, stored_history::decode_audit(key, &entry.value)?));
        }
        let evicted = entries.first().map_or(0, |(number, _)| *number);
        Ok(AuditLog { entries, evicted })
    }

    /// A transaction that also writes audit entries; a conflict is a key of the caller's that is not as it was.
    pub(super) async fn txn_audited(
        &self,
        checks: Vec<Check>,
        ops: Vec<Op>,
        entries: &[AuditEntry],
    ) -> Result<Result<u64, String>, StoreError> {
        if entries.is_empty() {
            return self.txn(checks, ops).await;
        }
        for _ in 0..TRIES {
            let counter = self.catalog.get(keys::AUDITS).await?;
            let next =
                counter.as_ref().map_or(Ok(0), |entry| stored_history::decode_count(keys::AUDITS, &entry.value))?;
            let (mut checks, mut ops) = (checks.clone(), ops.clone());
            checks.push(Check { key: keys::AUDITS.into(), version: counter.map(|entry| entry.version) });
            let numbered = (next..).zip(entries);
            ops.extend(
                numbered.map(|(number, entry)| Op::Put(keys::audit(number), stored_history::encode_audit(entry))),
            );
            let after = next + entries.len() as u64;
            let gone = next.saturating_sub(AUDIT_KEPT)..after.saturating_sub(AUDIT_KEPT);
            ops.extend(gone.map(|number| Op::Delete(keys::audit(number))));
            ops.push(Op::Put(keys::AUDITS.into(), stored_history::encode_count(after)));
            match self.txn(checks, ops).await? {
                Err(conflict) if conflict == keys::AUDITS => {}
                outcome => return Ok(outcome),
            }
        }
        Err(StoreError::conflict("the audit is being written all the time"))
    }
}
