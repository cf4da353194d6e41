//! Consumption of a table under control: paused, resumed, moved, sealed; and what is on the record of it.

use crate::{
    node::{Node, Refusal},
    pinot_json::consuming::ForceCommitJob,
    system::{audit, skips},
};
use std::collections::BTreeMap;
use weir_base::Chance;
use weir_control::{AuditLog, ClusterConfigs, PauseInfo};
use weir_ingest::{IngestNode, PlannedMove, ResumeRequest, Scope};
use weir_types::TableName;

/// Force-commits whose status can be asked for, as many as Pinot keeps.
pub(super) const FORCE_COMMITS_KEPT: usize = 100;

fn job_id() -> String {
    let mut chance = Chance::from_entropy();
    format!("{:016x}{:016x}", chance.u64(), chance.u64())
}

impl Node {
    /// Settings of the whole cluster.
    pub async fn cluster_configs(&self) -> Result<ClusterConfigs, Refusal> {
        Ok(self.store.cluster_configs().await?)
    }

    /// Sets some of them, and removes those that are `None`.
    pub async fn change_cluster_configs(&self, changes: &BTreeMap<String, Option<String>>) -> Result<(), Refusal> {
        self.ingest.change_cluster_configs(changes).await?;
        Ok(())
    }

    /// Stops reading a table, a topic or a partition until it is resumed, also over restarts.
    pub async fn pause(&self, name: &TableName, scope: &Scope, comment: &str, who: &str) -> Result<(), Refusal> {
        let pause =
            PauseInfo { reason: "ADMINISTRATIVE".to_owned(), comment: comment.to_owned(), at_ms: self.clock.wall_ms() };
        Ok(self.ingest.pause(name, scope, pause, who).await?)
    }

    /// Reads on, where reading stopped or elsewhere; says where each partition goes on.
    pub async fn resume(
        &self,
        name: &TableName,
        request: &ResumeRequest,
        who: &str,
    ) -> Result<Vec<PlannedMove>, Refusal> {
        Ok(self.ingest.resume(name, request, who).await?)
    }

    /// Stops reading a table and answering queries of it, or ends that.
    pub async fn set_disabled(&self, name: &TableName, disabled: bool, who: &str) -> Result<(), Refusal> {
        Ok(self.ingest.set_disabled(name, disabled, who).await?)
    }

    /// Seals open segments, of all partitions or of those that Pinot numbers so.
    pub async fn force_commit(
        &self,
        name: &TableName,
        groups: Option<&[u32]>,
        who: &str,
    ) -> Result<ForceCommitJob, Refusal> {
        let segments = self.ingest.force_commit(name, groups, who).await?;
        let job = ForceCommitJob {
            id: job_id(),
            table: format!("{name}_REALTIME"),
            submitted_ms: self.clock.wall_ms(),
            segments,
        };
        let mut jobs = self.force_commits.lock();
        if jobs.len() == FORCE_COMMITS_KEPT {
            jobs.pop_front();
        }
        jobs.push_back(job.clone());
        Ok(job)
    }

    /// Has committed segments of a table brought to its present settings of indexes at once, in the background; gives the
    /// number of the job.
    pub fn reload(&self, name: &TableName) -> Result<String, Refusal> {
        self.ingest.reindex(name)?;
        Ok(job_id())
    }

    /// Offsets of a table that were passed over, read again or lost.
    pub async fn skips(&self, name: &TableName) -> Result<Vec<skips::Row>, Refusal> {
        skips(&self.ingest, name).await
    }

    /// What was done to a table, oldest first; also to tables of its name that were dropped. How many entries of all
    /// tables are gone.
    pub async fn audit(&self, name: &TableName) -> Result<(Vec<audit::Row>, u64), Refusal> {
        let AuditLog { mut entries, evicted } = self.store.audit_log().await?;
        entries.retain(|(_, entry)| entry.table == *name);
        if entries.is_empty() && self.store.table(name).await?.is_none() {
            return Err(Refusal::not_found(format!("table {name} does not exist, and nothing is known of one")));
        }
        Ok((entries, evicted))
    }
}

/// Moves and losses of a table.
pub(super) async fn skips(ingest: &IngestNode, name: &TableName) -> Result<Vec<skips::Row>, Refusal> {
    let (moves, losses) = ingest.moves(name).await?;
    Ok(skips::rows(name, moves, losses))
}
