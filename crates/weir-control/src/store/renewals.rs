//! A committed segment gets another file of the same rows: one transaction that names it and dooms the object of before.

use crate::{
    catalog::Op,
    records::{Artifact, SegmentRecord, SegmentState},
    retention::Doomed,
    store::{Store, StoreError, keys, stored_removals},
};

impl Store {
    /// Puts another artifact on the record of a segment that is done; all else of the record stays. Where that lies under
    /// another key, the object of before is doomed to go after `until_ms`.
    ///
    /// # Errors
    /// Conflict where the record is not the one that was read any more, or not done; NotFound where the table is gone;
    /// Contradiction where the artifact has other rows.
    pub async fn renew(
        &self,
        done: &SegmentRecord,
        artifact: Artifact,
        until_ms: i64,
    ) -> Result<SegmentRecord, StoreError> {
        let SegmentState::Done { range, seal, artifact: before } = &done.state else {
            let what = format!("segment {} is {}, not DONE", done.name, done.state.word());
            return Err(StoreError::conflict(what));
        };
        if artifact.rows != before.rows {
            let what = format!("segment {} has {} rows, not {}", done.name, before.rows, artifact.rows);
            return Err(StoreError::contradiction(what));
        }
        let mut ops = vec![];
        if artifact.key != before.key {
            let doomed = Doomed { segment: done.name.to_string().into(), key: before.key.clone(), until_ms };
            let noted = keys::doomed_at(done.table_uid, until_ms, &doomed.segment);
            ops.push(Op::Put(noted, stored_removals::encode_doomed(&doomed)));
        }
        let state = SegmentState::Done { range: *range, seal: *seal, artifact };
        self.replace(done, SegmentRecord { state, ..done.clone() }, vec![], ops, &[]).await
    }
}
