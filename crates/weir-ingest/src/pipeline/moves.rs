//! A pipeline that goes on elsewhere: at another offset, in a topic that was made anew, or not at all.
//!
//! Whatever is moved, the rows read so far are sealed first: a move stands between two segments.

use crate::{
    pipeline::{
        path::record_path,
        run::{Interrupted, PartitionPipeline, PipelineEnd},
        trouble::answer_of,
    },
    sealer::SealJob,
    status::PartitionState,
};
use std::sync::Arc;
use tokio::sync::oneshot;
use weir_base::metrics::Counter;
use weir_control::{AuditAction, AuditEntry, Move, MoveTo, Seal, SealReason, SegmentRecord, StoreError};
use weir_table::Target;
use weir_types::{NextOffset, OffsetRange, Skip, SkipReason};

/// Where a partition is to go on.
#[derive(Debug, Clone)]
pub(crate) struct MoveOrder {
    /// The next offset to read.
    pub(crate) to: NextOffset,
    /// The next offset as it was when `to` was chosen.
    pub(crate) planned_from: NextOffset,
    /// Rows may be read twice.
    pub(crate) allow_duplicates: bool,
    /// Nothing between `to` and `planned_from` was read before.
    pub(crate) fresh: bool,
    /// The topic that `to` counts in is not the one that was read.
    pub(crate) recreated: bool,
    /// Its identity, where the stream tells one.
    pub(crate) topic_id: Option<Arc<str>>,
    /// Offsets of it that are passed over, before where reading had come to and goes on.
    pub(crate) passed: Option<OffsetRange>,
    /// Whoever asked.
    pub(crate) who: String,
    /// What they said.
    pub(crate) comment: String,
}

/// What became of an order: where reading had come to and where it goes on, or why it stays.
pub(crate) type Moved = Result<(NextOffset, NextOffset), String>;

impl PartitionPipeline {
    /// Goes on where it is told. The open segment's end is fixed first.
    pub(super) async fn obey_move(
        &mut self,
        order: MoveOrder,
        answer: oneshot::Sender<Moved>,
    ) -> Result<(), Interrupted> {
        let (said, ended) = answer_of(self.move_to(&order).await);
        // Whoever asked may have gone.
        drop(answer.send(said.flatten()));
        ended
    }

    async fn move_to(&mut self, order: &MoveOrder) -> Result<Moved, Interrupted> {
        self.settle().await?;
        let from = self.open.next();
        if !order.recreated {
            // It went there by itself meanwhile, or there is nowhere to go.
            if from == order.to || (order.to < from && order.planned_from <= order.to) {
                return Ok(Ok((from, from)));
            }
            let fresh = order.fresh && from == order.planned_from;
            if order.to < from && !(order.allow_duplicates || fresh) {
                return Ok(Err(format!("offsets [{}, {from}) would be read twice", order.to)));
            }
        }
        if !self.open.range().is_empty() {
            self.seal(SealReason::Forced).await?;
        }
        if order.recreated && from > order.planned_from && order.to < from && !order.allow_duplicates {
            return Ok(Err(format!("it read on to {from} in the topic that was made anew: ask for a dry run again")));
        }
        let (from, at_ms) = (self.open.next(), self.table.deps.clock.wall_ms());
        let reason = if order.recreated { SkipReason::Recreated } else { SkipReason::Reset };
        let to = MoveTo { to: order.to, reason, at_ms, topic_id: order.topic_id.clone(), passed: order.passed };
        let said = match (order.recreated, order.to < from && !order.fresh) {
            (true, _) if !order.fresh => " in a topic made anew, reading rows twice: allowDuplicates",
            (true, _) => " in a topic made anew",
            (false, true) => ", reading rows twice: allowDuplicates",
            (false, false) => "",
        };
        let comment = if order.comment.is_empty() { String::new() } else { format!(": {}", order.comment) };
        let name = &self.table.record.load().spec.name.clone();
        let audit = AuditEntry::new(AuditAction::MoveOffset, name, &order.who, at_ms)
            .partition(&self.partition)
            .change(from, format!("{}{said}{comment}", order.to));
        self.go_to(to, &[audit]).await?;
        Ok(Ok((from, order.to)))
    }

    /// Moves the start of the open segment, which is empty: on the record, then here.
    pub(super) async fn go_to(&mut self, to: MoveTo, audit: &[AuditEntry]) -> Result<(), Interrupted> {
        self.settle().await?;
        let from = self.open.next();
        let over = to.to < from || to.reason == SkipReason::Recreated;
        // What lies behind `to` in another log is not what was visible.
        let until = (to.reason != SkipReason::Recreated).then_some(to.to);
        self.lose_owed(to.reason, until).await?;
        if over {
            // Before the record: the open segment is empty, so that nothing is owed beyond its start either way.
            let lowered = self.mark.restart(to.to);
            lowered.map_err(|error| Interrupted::Local(format!("visible mark cannot be written: {error}")))?;
        }
        let record = self.table.record.load_full();
        let moved = match self.table.deps.store.move_start(&record, &self.open.record, &to, audit).await {
            Ok(moved) => moved,
            Err(StoreError::Conflict { what }) => return Err(Interrupted::End(PipelineEnd::Reload(what))),
            // It may be on the record all the same: the records say from where to go on.
            Err(error) => {
                let why = format!("the move to {} cannot be recorded: {error}", to.to);
                self.complain(&why, Some(from));
                self.status.enter(PartitionState::Retrying(why.clone()));
                return Err(Interrupted::End(PipelineEnd::Doubt(why)));
            }
        };
        self.open.move_start(moved, to.to);
        let (partition, before) = (self.partition.clone(), self.open.record.name.sequence);
        let step = Move { partition, before, from, to: to.to, reason: to.reason, at_ms: to.at_ms, passed: to.passed };
        self.say_moved(&record.spec.name, &step);
        self.past.fixed.skipped += step.skipped();
        self.past.rewound += step.rewound();
        self.table.deps.metrics.count(Counter::OffsetsSkipped, &self.labels, step.skipped());
        self.table.moved(step);
        if let Some(id) = to.topic_id {
            self.topic_id = Some(id);
        }
        let target = match self.view.snapshot().target {
            _ if over => Target::At(to.to),
            Target::At(target) => Target::At(target.max(to.to)),
            Target::EndOfLog => Target::EndOfLog,
        };
        self.view.advance(to.to, Some(target));
        if over {
            self.forget_the_end().await;
            let path = record_path(&self.table, &self.settings, &self.stream, &self.open.record, to.to);
            self.path = path.map_err(Interrupted::Local)?;
        }
        self.reopen = true;
        self.describe_open();
        Ok(())
    }

    /// What was visible (before `until`, where one is given), is not yet again and will not be: its log is gone. On the
    /// record, so that no count falls in silence.
    async fn lose_owed(&mut self, reason: SkipReason, until: Option<NextOffset>) -> Result<(), Interrupted> {
        let next = self.open.next();
        let Some(owed) = self.owed() else { return Ok(()) };
        let end = until.map_or(owed, |until| until.min(owed));
        let Ok(range) = OffsetRange::try_new(next, end) else { return Ok(()) };
        let (record, at_ms) = (self.table.record.load_full(), self.table.deps.clock.wall_ms());
        let (sequence, loss) = (self.open.record.name.sequence, Skip { range, reason, at_ms });
        let recorded = self.table.deps.store.record_loss(&record, &self.partition, sequence, loss).await;
        recorded.map_err(|error| Interrupted::Local(format!("loss cannot be recorded: {error}")))?;
        let (table, topic, partition) = (&*self.labels.table, self.partition.topic.as_str(), self.partition.partition);
        let (from, to, reason) = (range.start(), range.end(), reason.as_str());
        tracing::error!(table, topic, partition, %from, %to, reason, "visible rows are lost: they were open when the process died, and their log is gone");
        Ok(())
    }

    fn say_moved(&self, table: &weir_types::TableName, step: &Move) {
        let (table, reason) = (table.as_str(), step.reason.as_str());
        let (topic, partition) = (self.partition.topic.as_str(), self.partition.partition);
        let (offset, to) = (step.from, step.to);
        match step.reason {
            SkipReason::Retention => {
                tracing::error!(table, topic, partition, %offset, %to, reason, "offsets were skipped: the stream no longer holds them");
            }
            _ => tracing::warn!(table, topic, partition, %offset, %to, reason, "the next offset was moved"),
        }
    }

    /// What the stream said of its ends is over; what has to be read again must be kept by it.
    async fn forget_the_end(&mut self) {
        self.caught_up = false;
        let next = self.open.next();
        self.status.change(|status| {
            (status.high_watermark, status.low_watermark, status.last_error_offset) = (None, None, None);
            status.confirmed = next;
        });
        self.hold_log().await;
    }

    /// Says whose log is read, once; in front of the log of a topic that was made anew it stops.
    pub(super) async fn check_identity(&mut self) -> Result<(), Interrupted> {
        let deps = self.table.deps.clone();
        let next = self.open.next();
        let Some(now) = self.feed.topic_id().await.map_err(Interrupted::Stream)? else { return Ok(()) };
        match &self.topic_id {
            Some(known) if *known == now => self.status.change(|status| status.confirmed = next),
            Some(known) => {
                let mut reason = format!(
                    "topic {} was made anew: its identity was {known} and is {now}; resumeConsumption with consumeFrom says \
                     from where to read it",
                    self.partition.topic
                );
                let marks = self.source.watermarks(self.partition.partition).await;
                if let Some(doubt) = marks.ok().and_then(|marks| self.status.get().in_doubt(marks.high)) {
                    let (from, to) = (doubt.start(), doubt.end());
                    reason += &format!(
                        "; offsets [{from}, {to}) of it may have been read already, those before {from} were not"
                    );
                }
                if let Some(why) = self.ending.clone() {
                    return self.end(why, SkipReason::Recreated).await;
                }
                self.complain(&reason, Some(self.open.next()));
                self.halt_recreated(reason);
            }
            None => {
                let record = self.table.record.load_full();
                let noted = deps.store.note_topic_ids(&record, std::slice::from_ref(&self.partition), &now).await;
                let noted = noted.map_err(|error| format!("the topic's identity cannot be recorded: {error}"));
                noted.map_err(Interrupted::Local)?;
                self.status.change(|status| (status.topic_id, status.confirmed) = (Some(now.clone()), next));
                self.topic_id = Some(now);
            }
        }
        Ok(())
    }

    /// Reads nothing until somebody says from where.
    pub(super) fn halt_recreated(&mut self, reason: String) {
        self.halted = true;
        self.caught_up = false;
        self.status.enter(PartitionState::Recreated(reason));
    }

    /// Reads nothing until somebody acts.
    pub(super) fn halt(&mut self, reason: String) {
        self.halted = true;
        self.caught_up = false;
        self.status.enter(PartitionState::Halted(reason));
    }

    /// At the start of a segment, a backlog that is larger than the table's settings allow is passed over, on the record.
    pub(super) async fn reset_if_far_behind(&mut self) -> Result<(), Interrupted> {
        let Some(reset) = self.stream.auto_reset else { return Ok(()) };
        let (status, at_ms) = (self.status.get(), self.table.deps.clock.wall_ms());
        let (next, lag_ms) = (self.open.next(), status.lag_ms);
        let Some(high) = status.high_watermark.filter(|high| *high > next) else { return Ok(()) };
        let backlog = high.since(next);
        let many = reset.offsets.is_some_and(|most| backlog > most);
        let old = reset.age.is_some_and(|most| u128::from(lag_ms) > most.as_millis());
        if !many && !old {
            return Ok(());
        }
        let to = MoveTo { to: high, reason: SkipReason::AutoReset, at_ms, topic_id: None, passed: None };
        let said = format!("{high}: {backlog} offsets or {lag_ms} ms behind is more than the table's settings allow");
        let audit = AuditEntry::new(AuditAction::MoveOffset, &status.table, "weir", at_ms);
        self.go_to(to, &[audit.partition(&self.partition).change(next, said)]).await
    }

    /// The table reads this partition no more: ends now, or as soon as what was visible is visible again.
    pub(super) async fn obey_end(&mut self, why: String) -> Result<(), Interrupted> {
        let stuck = self.halted;
        let anew = matches!(self.status.get().state, PartitionState::Recreated(_));
        let lost = if anew { SkipReason::Recreated } else { SkipReason::Reset };
        (self.paused, self.halted) = (None, false);
        self.ending = Some(why.clone());
        if stuck { self.end(why, lost).await } else { self.end_when_due().await }
    }

    /// The table reads this partition no more: ends as soon as all that was visible is visible.
    pub(super) async fn end_when_due(&mut self) -> Result<(), Interrupted> {
        let Some(why) = self.ending.clone() else { return Ok(()) };
        let snapshot = self.view.snapshot();
        if snapshot.target.reached(snapshot.next) { self.end(why, SkipReason::Reset).await } else { Ok(()) }
    }

    /// Fixes the end of the open segment, which has no successor; what was visible beyond it is lost for that reason. Does
    /// not return without an error: the pipeline's end.
    pub(super) async fn end(&mut self, why: String, lost: SkipReason) -> Result<(), Interrupted> {
        self.settle().await?;
        self.lose_owed(lost, None).await?;
        let deps = self.table.deps.clone();
        let quarantine = self.table.quarantine.clone();
        let synced = self.table.deps.options.heavy.run_soon(move || quarantine.sync()).await;
        synced.map_err(|error| Interrupted::Local(format!("quarantine cannot be synced: {error}")))?;
        let range = self.open.range();
        let reason = SealReason::EndOfPartition;
        let seal =
            Seal { reason, accounting: self.open.counts, at_ms: deps.clock.wall_ms(), size: Some(self.open.size()) };
        let committing = match deps.store.end_partition(&self.open.record, range, seal).await {
            Ok(committing) => committing,
            Err(StoreError::Conflict { what }) => return Err(Interrupted::End(PipelineEnd::Reload(what))),
            Err(error) => return Err(Interrupted::Local(format!("the partition's end cannot be recorded: {error}"))),
        };
        Err(Interrupted::End(PipelineEnd::Finished { last: committing.map(Box::new), why }))
    }

    /// What is left to do once the end is on the record: the last segment is committed, the partition says why it ended.
    pub(super) async fn finish(mut self, last: Option<Box<SegmentRecord>>, why: String) {
        self.hold_log().await;
        self.status.change(|status| {
            status.open_segment = None;
            (status.open_rows, status.open_bytes, status.open_rows_limit, status.open_seal_at_ms) = (0, 0, 0, 0);
        });
        // What was visible beyond it is lost, on the record: no answer lacks it.
        self.view.advance(self.open.next(), Some(Target::At(self.open.next())));
        self.status.enter(PartitionState::Gone(why));
        let Some(record) = last else { return };
        self.view.freeze_open();
        self.table.deps.metrics.count(Counter::SegmentsSealed, &self.labels, 1);
        let held = self.share.freeze(self.open.segment.byte_count() as u64);
        self.table.sealer.submit(SealJob {
            table: self.table.clone(),
            view: self.view.clone(),
            record: *record,
            frozen: Some(self.open.freeze()),
            held: Some(held),
            stream: self.stream.clone(),
            source: self.source.clone(),
        });
    }

    /// Tells the stream from where on it is still needed.
    async fn hold_log(&mut self) {
        crate::sealer::hold_log(&self.table, &*self.source, &self.partition).await;
    }
}
