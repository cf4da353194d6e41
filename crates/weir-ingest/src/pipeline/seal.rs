//! When the open segment ends, and where: decided by the table's limits, agreed with its replicas, fixed in the catalog.

use crate::{
    pipeline::{
        flush::{FlushDecision, decide},
        open::OpenSegment,
        path::record_decoder,
        run::{Interrupted, PartitionPipeline, PipelineEnd},
    },
    sealer::SealJob,
    status::PartitionState,
};
use weir_base::metrics::Counter;
use weir_control::{Report, Seal, SealReason, StoreError, Verdict};

/// A seal that could not be fixed is tried again after this.
const SEAL_AGAIN_MS: i64 = 1000;

impl PartitionPipeline {
    /// Seals where rows or age say so, or where the replicas agreed. Where the end cannot be fixed now (the catalog's disk
    /// is full, say), consumption goes on in the open segment and the seal is tried again later; but not after a change of
    /// settings, whose columns the messages that come next have values for.
    pub(super) async fn flush_if_due(&mut self, now_ms: i64) -> Result<(), Interrupted> {
        let reason = match decide(self.open.facts(self.share.ruling().seal), now_ms) {
            // The successor was made with the settings of before: the records say how to go on.
            _ if self.reshaping && self.open.range().is_empty() => return Err(Interrupted::End(reshaped())),
            FlushDecision::Seal(reason) => reason,
            FlushDecision::Continue if self.reshaping => SealReason::Settings,
            FlushDecision::Continue | FlushDecision::CatchUp => return Ok(()),
        };
        if now_ms < self.seal_again_at_ms {
            return Ok(());
        }
        match self.seal(reason).await {
            Err(Interrupted::Local(_)) if self.open.is_short_of_agreed_end() => Ok(()),
            Err(Interrupted::Local(reason)) => {
                tracing::error!(segment = &*self.open.name, reason, "seal is put off");
                self.complain(&reason, None);
                if self.reshaping {
                    let why = format!("settings changed, and the open segment cannot be ended yet: {reason}");
                    self.status.enter(PartitionState::Retrying(why));
                }
                self.seal_again_at_ms = now_ms + SEAL_AGAIN_MS;
                Ok(())
            }
            Ok(()) if self.reshaping => Err(Interrupted::End(reshaped())),
            Ok(()) => self.reset_if_far_behind().await,
            other => other,
        }
    }

    /// Fixes the end of the open segment (transaction A) and goes straight on with its successor; building and uploading
    /// happen elsewhere.
    pub(super) async fn seal(&mut self, reason: SealReason) -> Result<(), Interrupted> {
        let deps = self.table.deps.clone();
        let range = self.open.range();
        let synced = self.table.quarantine.sync();
        synced.map_err(|error| Interrupted::Local(format!("quarantine cannot be synced: {error}")))?;
        self.agree(reason).await?;
        let now_ms = deps.clock.wall_ms();
        let seal = Seal { reason, accounting: self.open.counts, at_ms: now_ms, size: Some(self.open.size()) };
        let limits = self.table.sealer.next_limits(&self.table, &self.open.record).await;
        let fixed = deps.store.fix_end(&self.open.record, range, seal, limits, now_ms).await;
        let (committing, successor) = match fixed {
            Ok(records) => records,
            Err(StoreError::Conflict { what }) => return Err(Interrupted::End(PipelineEnd::Reload(what))),
            Err(error) => {
                self.complain(&format!("segment end cannot be recorded: {error}"), None);
                return Err(Interrupted::Local(format!("segment end cannot be recorded: {error}")));
            }
        };
        let open = OpenSegment::new(successor, range.end(), &self.table, &self.settings, None);
        let sealed = std::mem::replace(&mut self.open, open);
        let held = self.share.freeze(sealed.segment.byte_count() as u64);
        self.past.fixed.add(&sealed.counts);
        match record_decoder(&self.table, &self.settings, &self.stream, &self.open.record, range.end()) {
            Ok(decoder) => self.path.decode_with(decoder),
            Err(reason) => self.complain(&reason, None),
        }
        self.view.freeze_open();
        deps.metrics.count(Counter::SegmentsSealed, &self.labels, 1);
        self.describe_open();
        let frozen = sealed.freeze();
        self.table.sealer.submit(SealJob {
            table: self.table.clone(),
            view: self.view.clone(),
            record: committing,
            frozen: Some(frozen),
            held: Some(held),
            stream: self.stream.clone(),
            source: self.source.clone(),
        });
        Ok(())
    }

    /// Asks whether the open segment may end where it stands. Told to end further on, it does so there; where another
    /// replica has recorded the end, the records say how to go on.
    async fn agree(&mut self, reason: SealReason) -> Result<(), Interrupted> {
        let at = self.open.next();
        let segment = self.open.record.name.clone();
        let report = Report { segment, instance: self.table.deps.options.instance.clone(), at, reason };
        match self.table.completion.report(report).await {
            Verdict::Commit => Ok(()),
            Verdict::CatchUp(end) if end > at => {
                self.open.end_at(end, reason);
                Err(Interrupted::Local(format!("the segment ends at {end}, as its replicas agreed")))
            }
            Verdict::Keep | Verdict::Discard => {
                Err(Interrupted::End(PipelineEnd::Reload("another replica recorded the end of the segment".into())))
            }
            verdict => Err(Interrupted::Local(format!("segment end is not agreed yet: {verdict:?}"))),
        }
    }
}

fn reshaped() -> PipelineEnd {
    PipelineEnd::Reload("settings changed".into())
}
