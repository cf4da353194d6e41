//! What a pipeline does when the stream or the disk does not do as asked: wait and try again, pass offsets over on the
//! record, or stop and say why.

use crate::{
    pipeline::run::{Interrupted, PartitionPipeline, PipelineEnd},
    status::PartitionState,
};
use weir_control::SealReason;
use weir_streams::StreamError;
use weir_table::Target;
use weir_types::{NextOffset, OffsetRange, Skip, SkipReason};

impl PartitionPipeline {
    pub(super) async fn after_stream_error(&mut self, error: StreamError) -> Result<(), PipelineEnd> {
        self.complain(&error.to_string(), Some(self.open.next()));
        let state = match &error {
            StreamError::OutOfRange { held, .. } if held.low > self.open.next() && held.low <= held.high => {
                return self.skip_to(held.low, SkipReason::Retention).await;
            }
            StreamError::OutOfRange { held, .. } => {
                // Reading on once the new log has grown past the old offset would skip its beginning in silence.
                self.halted = true;
                self.status.enter(PartitionState::Recreated(format!(
                    "the next offset to read is {}, but the log now holds [{}, {}): the topic was made anew",
                    self.open.next(),
                    held.low,
                    held.high
                )));
                return Ok(());
            }
            StreamError::TopicMissing { .. } | StreamError::PartitionMissing { .. } => {
                PartitionState::Gone(error.to_string())
            }
            _ => PartitionState::Retrying(error.to_string()),
        };
        self.caught_up = false;
        self.retry_later(state).await
    }

    /// The stream no longer holds the next offsets: says so in the catalog and goes on at the oldest that is there.
    async fn skip_to(&mut self, low: NextOffset, reason: SkipReason) -> Result<(), PipelineEnd> {
        if !self.open.range().is_empty() {
            match self.seal(SealReason::StreamGap).await {
                Ok(()) => {}
                Err(Interrupted::End(end)) => return Err(end),
                Err(Interrupted::Stream(error)) => {
                    return self.retry_later(PartitionState::Retrying(error.to_string())).await;
                }
                Err(Interrupted::Local(why)) => return self.retry_later(PartitionState::Retrying(why)).await,
            }
        }
        let deps = &self.table.deps;
        let range = OffsetRange::try_new(self.open.next(), low).expect("a skip goes forward");
        let skip = Skip { range, reason, at_ms: deps.clock.wall_ms() };
        let record = self.table.record.load_full();
        match deps.store.record_skip(&record, &self.open.record, skip).await {
            Ok(moved) => {
                tracing::error!(
                    table = record.spec.name.as_str(),
                    partition = %self.partition,
                    from = %range.start(),
                    to = %range.end(),
                    reason = reason.as_str(),
                    "offsets were skipped: the stream no longer holds them"
                );
                self.open.move_start(moved, low);
                self.past.fixed.skipped += range.span();
                deps.metrics.count(weir_base::metrics::Counter::OffsetsSkipped, &self.labels, range.span());
                let target = match self.view.snapshot().target {
                    Target::At(target) => Target::At(target.max(low)),
                    Target::EndOfLog => Target::EndOfLog,
                };
                self.view.advance(low, Some(target));
                self.describe_open();
                Ok(())
            }
            Err(error) => self.retry_later(PartitionState::Retrying(format!("skip cannot be recorded: {error}"))).await,
        }
    }

    pub(super) async fn retry_later(&mut self, state: PartitionState) -> Result<(), PipelineEnd> {
        self.status.enter(state);
        let wait = self.table.deps.clock.sleep(self.backoff.next());
        tokio::pin!(wait);
        loop {
            tokio::select! {
                biased;
                command = self.commands.recv() => match self.obey(command).await {
                    Ok(()) => {}
                    Err(Interrupted::End(end)) => return Err(end),
                    Err(Interrupted::Stream(error)) => tracing::warn!(%error, "command failed"),
                    Err(Interrupted::Local(reason)) => tracing::warn!(reason, "command failed"),
                },
                () = &mut wait => return Ok(()),
            }
        }
    }

    pub(super) fn complain(&self, reason: &str, offset: Option<NextOffset>) {
        self.status.change(|status| {
            status.last_error = Some(reason.to_owned());
            status.last_error_offset = offset;
        });
    }
}
