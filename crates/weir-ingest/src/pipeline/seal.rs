//! When the open segment ends, and where: decided by the table's limits, agreed with its replicas, fixed in the catalog.

use crate::{
    pipeline::{
        command::Sealed,
        fixing::Fixing,
        flush::{FlushDecision, decide},
        open::OpenSegment,
        path::record_decoder,
        run::{Interrupted, PartitionPipeline, PipelineEnd},
        trouble::answer_of,
    },
    status::PartitionState,
};
use tokio::sync::oneshot;
use weir_control::{Report, Seal, SealReason, Verdict};

/// A seal that could not be fixed is tried again after this.
const SEAL_AGAIN_MS: i64 = 1000;

impl PartitionPipeline {
    /// Seals where rows or age say so, or where the replicas agreed. Where the end cannot be fixed now (the catalog's disk
    /// is full, say), consumption goes on in the open segment and the seal is tried again later; but not after a change of
    /// settings, whose columns the messages that come next have values for.
    pub(super) async fn flush_if_due(&mut self, now_ms: i64) -> Result<(), Interrupted> {
        let reason = match decide(self.open.facts(self.share.ruling().seal), now_ms) {
            // The successor was made with the settings of before: the records say how to go on.
            _ if self.reshaping && self.open.range().is_empty() => None,
            FlushDecision::Seal(reason) => Some(reason),
            FlushDecision::Continue if self.reshaping => Some(SealReason::Settings),
            FlushDecision::Continue | FlushDecision::CatchUp => {
                if let Some(fixing) = self.fixing.as_mut().filter(|_| now_ms >= self.seal_again_at_ms) {
                    fixing.try_again();
                }
                return Ok(());
            }
        };
        if now_ms < self.seal_again_at_ms {
            return Ok(());
        }
        // What comes next is for other settings, or not read at all where that is too far behind.
        let at_once = self.reshaping || self.stream.auto_reset.is_some();
        let ended = match reason {
            Some(reason) if at_once => self.seal(reason).await,
            Some(reason) => self.end_segment(reason).await,
            None => self.settle().await,
        };
        match ended {
            Err(Interrupted::Local(_)) if self.open.is_short_of_agreed_end() => Ok(()),
            Err(Interrupted::Local(reason)) => {
                self.put_off(&reason, now_ms);
                Ok(())
            }
            Ok(()) if self.reshaping => Err(Interrupted::End(reshaped())),
            Ok(()) => self.reset_if_far_behind().await,
            other => other,
        }
    }

    /// An end cannot be fixed now: consumption goes on, and it is tried again.
    pub(super) fn put_off(&mut self, reason: &str, now_ms: i64) {
        let segment = self.fixing.as_ref().map_or(&self.open.record.name, Fixing::name);
        tracing::error!(%segment, reason, "seal is put off");
        self.complain(reason, None);
        if self.reshaping {
            let why = format!("settings changed, and the open segment cannot be ended yet: {reason}");
            self.status.enter(PartitionState::Retrying(why));
        }
        self.seal_again_at_ms = now_ms + SEAL_AGAIN_MS;
    }

    /// Ends the open segment where it has read anything, and says which, or why not.
    pub(super) async fn obey_seal(&mut self, answer: oneshot::Sender<Sealed>) -> Result<(), Interrupted> {
        let sealed = async {
            self.settle().await?;
            let name = (!self.open.range().is_empty()).then(|| self.open.name.clone());
            if name.is_some() {
                self.seal(SealReason::Forced).await?;
            }
            Ok(name)
        };
        let sealed = sealed.await;
        if let Err(Interrupted::Local(reason)) = &sealed {
            self.put_off(reason, self.table.deps.clock.wall_ms());
        }
        let (said, ended) = answer_of(sealed);
        // Whoever asked may have gone.
        drop(answer.send(said));
        ended
    }

    /// Ends the open segment, and waits until that is on the record.
    pub(super) async fn seal(&mut self, reason: SealReason) -> Result<(), Interrupted> {
        self.end_segment(reason).await?;
        self.settle().await
    }

    /// Ends the open segment and goes straight on with its successor; its end goes to the catalog meanwhile (transaction A),
    /// and building and uploading happen elsewhere. The end before is on the record first.
    async fn end_segment(&mut self, reason: SealReason) -> Result<(), Interrupted> {
        self.settle().await?;
        self.agree(reason).await?;
        let (range, at_ms) = (self.open.range(), self.table.deps.clock.wall_ms());
        let seal = Seal { reason, accounting: self.open.counts, at_ms, size: Some(self.open.size()) };
        let successor = self.open.record.successor(range.end(), at_ms);
        let open = OpenSegment::new(successor, range.end(), &self.table, &self.settings, None);
        let sealed = std::mem::replace(&mut self.open, open);
        let held = self.share.freeze(sealed.segment.byte_count() as u64);
        self.past.fixed.add(&sealed.counts);
        match record_decoder(&self.table, &self.settings, &self.stream, &self.open.record, range.end()) {
            Ok(decoder) => self.path.decode_with(decoder),
            Err(reason) => self.complain(&reason, None),
        }
        self.view.freeze_open();
        self.describe_open();
        let record = sealed.record.clone();
        self.fixing = Some(Fixing::new(&self.table, record, (range, seal), (sealed.freeze(), held)));
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
