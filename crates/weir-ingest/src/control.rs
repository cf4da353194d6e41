//! What people ask of a running table: pause, resume, go on elsewhere, seal now. Each is in the catalog and in its audit
//! before the pipelines are told.

use crate::{
    error::IngestError,
    node::IngestNode,
    pipeline::{Command, PipelineHandle},
    resume::{PlannedMove, ResumeRequest},
    table::{TableRuntime, said},
};
use std::sync::Arc;
use tokio::sync::oneshot;
use weir_control::{AuditAction, AuditEntry, PartPause, PauseInfo, TableRecord};
use weir_types::{StreamPartition, TableName, TopicName};

/// What of a table is meant: all of it, a topic, a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The topic; every topic where there is none.
    pub topic: Option<TopicName>,
    /// The partition of the topic; a table that reads one topic needs no topic beside it.
    pub partition: Option<u32>,
}

impl Scope {
    /// The scope with the topic that is meant, checked against what the table reads.
    fn settled(&self, runtime: &TableRuntime) -> Result<Self, IngestError> {
        let feeds = runtime.feeds();
        let wrong = |reason: String| IngestError::Setting { path: "topic".into(), reason };
        let topic = match (&self.topic, self.partition) {
            (Some(topic), _) if !feeds.contains_key(topic) => {
                let topics: Vec<&str> = feeds.keys().map(TopicName::as_str).collect();
                return Err(wrong(format!("{topic} is not read by this table; {} is", topics.join(", "))));
            }
            (Some(topic), _) => Some(topic.clone()),
            (None, Some(_)) if feeds.len() == 1 => feeds.keys().next().cloned(),
            (None, Some(partition)) => {
                return Err(wrong(format!(
                    "must name the topic of partition {partition}: the table reads {}",
                    feeds.len()
                )));
            }
            (None, None) => None,
        };
        let settled = Self { topic, partition: self.partition };
        if settled.partition.is_some() && !runtime.handles().iter().any(|handle| settled.covers(&of(handle))) {
            let reason = "the table reads no partition of that number".to_owned();
            return Err(IngestError::Setting { path: "partition".into(), reason });
        }
        Ok(settled)
    }

    /// Whether a partition is meant.
    #[must_use]
    pub fn covers(&self, partition: &StreamPartition) -> bool {
        self.topic.as_ref().is_none_or(|topic| *topic == partition.topic)
            && self.partition.is_none_or(|number| number == partition.partition)
    }

    /// Whether a pause of that part is lifted when all of this scope goes on.
    fn lifts(&self, part: &PartPause) -> bool {
        match (&self.topic, self.partition) {
            (None, _) => true,
            (Some(topic), None) => part.topic == *topic,
            (Some(topic), partition) => part.topic == *topic && part.partition == partition,
        }
    }

    /// Whether that part is the topic of which this scope is a partition.
    fn lies_in(&self, part: &PartPause) -> bool {
        part.partition.is_none() && self.partition.is_some() && self.topic.as_ref() == Some(&part.topic)
    }

    fn audit(&self, entry: AuditEntry) -> AuditEntry {
        AuditEntry { topic: self.topic.clone(), partition: self.partition, ..entry }
    }
}

impl TableRuntime {
    /// A table that is disabled is paused as a whole: to pause it anew or to resume it would end that in passing.
    fn refuse_disabled(&self) -> Result<(), IngestError> {
        if self.context().record.load().is_disabled() {
            let reason = "the table is disabled: enable it first".to_owned();
            return Err(IngestError::Setting { path: "state".into(), reason });
        }
        Ok(())
    }
}

fn of(handle: &PipelineHandle) -> StreamPartition {
    handle.status.get().partition
}

/// What holds a scope, for the audit: its own pauses, those of its parts, and those of what it is a part of, which stay
/// when the scope goes on.
fn pauses(record: &TableRecord, scope: &Scope) -> String {
    let part = |part: &PartPause| match part.partition {
        Some(partition) => format!("{}/{partition} {}", part.topic, said(&part.pause)),
        None => format!("{} {}", part.topic, said(&part.pause)),
    };
    let table = record.paused.iter().map(|pause| match scope.topic {
        None => said(pause),
        Some(_) => format!("the table {}", said(pause)),
    });
    let parts = record.part_pauses.iter().filter(|part| scope.lifts(part) || scope.lies_in(part)).map(part);
    let paused: Vec<String> = table.chain(parts).collect();
    if paused.is_empty() { "consuming".into() } else { format!("paused: {}", paused.join("; ")) }
}

impl IngestNode {
    /// Stops reading a table, a topic or a partition; what was read stays queryable. Survives a restart.
    pub async fn pause(&self, name: &TableName, scope: &Scope, pause: PauseInfo, who: &str) -> Result<(), IngestError> {
        let _turn = self.changing.lock().await;
        let runtime = self.runtime(name)?;
        let scope = scope.settled(&runtime)?;
        runtime.refuse_disabled()?;
        let reason = said(&pause);
        let entry = AuditEntry::new(AuditAction::Pause, name, who, self.deps().clock.wall_ms());
        self.set_pauses(&runtime, &scope, entry, |paused, parts| match &scope.topic {
            None => *paused = Some(pause),
            Some(topic) => {
                let part = PartPause { topic: topic.clone(), partition: scope.partition, pause };
                parts.retain(|held| (&held.topic, held.partition) != (topic, part.partition));
                parts.push(part);
            }
        })
        .await?;
        for handle in runtime.handles() {
            if scope.covers(&of(&handle)) {
                handle.send(Command::Pause(reason.clone())).await;
            }
        }
        Ok(())
    }

    /// Stops reading a table and answering queries of it, or ends that; pauses of its parts stay as they are. Survives a
    /// restart.
    pub async fn set_disabled(&self, name: &TableName, disabled: bool, who: &str) -> Result<(), IngestError> {
        let _turn = self.changing.lock().await;
        let runtime = self.runtime(name)?;
        runtime.refresh().await?;
        if runtime.context().record.load().is_disabled() == disabled {
            return Ok(());
        }
        let now_ms = self.deps().clock.wall_ms();
        let action = if disabled { AuditAction::Disable } else { AuditAction::Enable };
        let entry = AuditEntry::new(action, name, who, now_ms);
        let pause = disabled.then(|| PauseInfo::disabling(now_ms));
        let record = self.set_pauses(&runtime, &Scope::default(), entry, |paused, _| *paused = pause).await?;
        runtime.context().on_node.set_disabled(disabled);
        for handle in runtime.handles() {
            let command = match record.pause_of(&of(&handle)) {
                Some(pause) => Command::Pause(said(pause)),
                None => Command::Resume,
            };
            handle.send(command).await;
        }
        Ok(())
    }

    /// Reads on, where reading stopped or elsewhere: moves are made first, then pauses are lifted. A dry run says what would
    /// be moved and does nothing. A pause of a wider scope stays; those of narrower ones are lifted.
    pub async fn resume(
        &self,
        name: &TableName,
        request: &ResumeRequest,
        who: &str,
    ) -> Result<Vec<PlannedMove>, IngestError> {
        let _turn = self.changing.lock().await;
        let runtime = self.runtime(name)?;
        let scope = request.scope.settled(&runtime)?;
        runtime.refuse_disabled()?;
        let mut plan = runtime.plan_resume(&scope, request).await?;
        if request.dry_run {
            return Ok(plan);
        }
        request.check(&plan)?;
        runtime.move_all(&mut plan, request, who).await?;
        let entry = AuditEntry::new(AuditAction::Resume, name, who, self.deps().clock.wall_ms());
        let record = self
            .set_pauses(&runtime, &scope, entry, |paused, parts| {
                if scope.topic.is_none() {
                    *paused = None;
                }
                parts.retain(|part| !scope.lifts(part));
            })
            .await?;
        for handle in runtime.handles() {
            let partition = of(&handle);
            if scope.covers(&partition) && record.pause_of(&partition).is_none() {
                handle.send(Command::Resume).await;
            }
        }
        Ok(plan)
    }

    /// Seals the open segments of a table (of some of its partitions, by Pinot's number) and names them.
    ///
    /// # Errors
    /// [`IngestError::Seal`] where some could not be sealed; others are then.
    pub async fn force_commit(
        &self,
        name: &TableName,
        partition_groups: Option<&[u32]>,
        who: &str,
    ) -> Result<Vec<String>, IngestError> {
        let (mut sealed, mut failed) = (vec![], vec![]);
        for handle in self.runtime(name)?.handles() {
            let group = handle.status.get().partition_group;
            if partition_groups.is_some_and(|groups| !groups.contains(&group)) {
                continue;
            }
            let (answer, answered) = oneshot::channel();
            if !handle.send(Command::Seal(answer)).await {
                continue;
            }
            match answered.await {
                Ok(Ok(segment)) => sealed.extend(segment.map(|segment| segment.to_string())),
                Ok(Err(reason)) => failed.push(format!("{}: {reason}", of(&handle))),
                Err(_) => {}
            }
        }
        let entry = AuditEntry::new(AuditAction::ForceCommit, name, who, self.deps().clock.wall_ms());
        self.deps().store.audit(entry.change("", sealed.join(", "))).await?;
        if failed.is_empty() { Ok(sealed) } else { Err(IngestError::Seal { reason: failed.join("; ") }) }
    }

    async fn set_pauses(
        &self,
        runtime: &Arc<TableRuntime>,
        scope: &Scope,
        entry: AuditEntry,
        change: impl FnOnce(&mut Option<PauseInfo>, &mut Vec<PartPause>),
    ) -> Result<Arc<TableRecord>, IngestError> {
        runtime.refresh().await?;
        // Nobody gives the record another version meanwhile.
        let _quiet = runtime.looking.lock().await;
        let before = runtime.context().record.load_full();
        let mut after = (*before).clone();
        change(&mut after.paused, &mut after.part_pauses);
        let entry = scope.audit(entry.change(pauses(&before, scope), pauses(&after, scope)));
        let (paused, parts) = (after.paused, after.part_pauses);
        let record = Arc::new(self.deps().store.set_pauses(&before, paused, parts, &[entry]).await?);
        runtime.context().record.store(record.clone());
        Ok(record)
    }
}
