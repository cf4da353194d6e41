//! What a pipeline does when the stream or the disk does not do as asked: wait and try again, pass offsets over on the
//! record, or stop and say why.

use crate::{
    pipeline::{
        fixing::fixed,
        run::{Interrupted, PartitionPipeline, PipelineEnd},
    },
    status::PartitionState,
};
use weir_base::metrics::Counter;
use weir_control::{MoveTo, SealReason};
use weir_streams::StreamError;
use weir_types::{NextOffset, SkipReason};

/// What is said to whoever asked for something, and whether that was the pipeline's end.
pub(super) fn answer_of<T>(done: Result<T, Interrupted>) -> (Result<T, String>, Result<(), Interrupted>) {
    match done {
        Ok(done) => (Ok(done), Ok(())),
        Err(Interrupted::End(end)) => {
            (Err("the partition is being started again: try again".into()), Err(Interrupted::End(end)))
        }
        Err(Interrupted::Stream(error)) => (Err(error.to_string()), Ok(())),
        Err(Interrupted::Local(reason)) => (Err(reason), Ok(())),
    }
}

/// Whether that was the pipeline's end; whatever else went wrong is no matter for one that waits.
pub(super) fn end_of(done: Result<(), Interrupted>) -> Result<(), PipelineEnd> {
    match done {
        Err(Interrupted::End(end)) => Err(end),
        _ => Ok(()),
    }
}

impl PartitionPipeline {
    pub(super) async fn after_stream_error(&mut self, error: StreamError) -> Result<(), PipelineEnd> {
        self.complain(&error.to_string(), Some(self.open.next()));
        if let Some(done) = self.end_without_log(&error).await {
            return done;
        }
        let state = match &error {
            StreamError::OutOfRange { held, .. } if held.low > self.open.next() && held.low <= held.high => {
                return self.skip_to(held.low).await;
            }
            StreamError::OutOfRange { held, .. } => {
                // Reading on once the new log has grown past the old offset would skip its beginning in silence.
                let (next, low, high) = (self.open.next(), held.low, held.high);
                let how = match self.is_same_topic().await {
                    true => format!(
                        "offsets [{high}, {next}) are gone from it, its log was cut back; resumeConsumption with \
                         consumeFrom=largest reads what comes, smallest would store again what is in it"
                    ),
                    false => {
                        "the topic was made anew; resumeConsumption with consumeFrom says from where to read it".into()
                    }
                };
                self.halt_recreated(format!(
                    "the next offset to read is {next}, but the log now holds [{low}, {high}): {how}"
                ));
                return Ok(());
            }
            StreamError::Lost { lost, .. } => {
                let (topic, partition) = (self.partition.topic.as_str(), self.partition.partition);
                // Trying again helps as little as waiting: somebody has to say that the rows may be missed.
                let remedy = format!(
                    "put the file back and start the node again, or resumeConsumption with the body \
                     {{\"consumeFrom\": {{\"{topic}\": {{\"{partition}\": {}}}}}}} goes on behind them, on the record",
                    lost.end()
                );
                self.halt(format!("{error}; {remedy}"));
                return Ok(());
            }
            StreamError::TopicMissing { .. } | StreamError::PartitionMissing { .. } => {
                let again = match &self.topic_id {
                    Some(_) => {
                        "; one that is made again is another: resumeConsumption with consumeFrom says from where to read it"
                    }
                    None => "",
                };
                PartitionState::Gone(format!("{error}{again}"))
            }
            _ => PartitionState::Retrying(error.to_string()),
        };
        self.caught_up = false;
        self.retry_later(state).await
    }

    /// Whether the topic is the one that was read before, where the stream tells that.
    async fn is_same_topic(&mut self) -> bool {
        let now = self.source.topic_id().await.ok().flatten();
        now.is_some_and(|now| self.topic_id.as_ref() == Some(&now))
    }

    /// Rows that were restored lie in the checkpoint's file. Where that was damaged they are had again: from what is whole of
    /// it, and from the stream.
    pub(super) fn look_at_rows(&self) -> Result<(), PipelineEnd> {
        // Said when it is started again, and by whoever restores what is left.
        let damage = self.open.segment.damage();
        damage.map_or(Ok(()), |damage| Err(PipelineEnd::Reload(format!("its checkpoint is damaged: {damage}"))))
    }

    /// A partition that is to end when all that was visible is visible again ends at once where that cannot be had.
    async fn end_without_log(&mut self, error: &StreamError) -> Option<Result<(), PipelineEnd>> {
        let gone = matches!(
            error,
            StreamError::OutOfRange { .. } | StreamError::TopicMissing { .. } | StreamError::PartitionMissing { .. }
        );
        let why = self.ending.clone().filter(|_| gone)?;
        // A topic that is there without the partition is not the one that had it.
        let anew = matches!(error, StreamError::PartitionMissing { .. });
        let lost = if anew { SkipReason::Recreated } else { SkipReason::Retention };
        Some(match self.end(why, lost).await {
            Ok(()) => Ok(()),
            Err(interrupted) => self.give_way(interrupted).await,
        })
    }

    /// The stream no longer holds the next offsets: says so in the catalog and goes on at the oldest that is there.
    async fn skip_to(&mut self, low: NextOffset) -> Result<(), PipelineEnd> {
        let skipped = async {
            // Offsets of a topic that was made anew are not those that are missing.
            self.check_identity().await?;
            if self.halted {
                return Ok(());
            }
            if !self.open.range().is_empty() {
                self.seal(SealReason::StreamGap).await?;
            }
            let (reason, at_ms) = (SkipReason::Retention, self.table.deps.clock.wall_ms());
            self.go_to(MoveTo { to: low, reason, at_ms, topic_id: None, passed: None }, &[]).await
        };
        match skipped.await {
            Ok(()) => Ok(()),
            Err(interrupted) => self.give_way(interrupted).await,
        }
    }

    /// Ends, or tries again later.
    async fn give_way(&mut self, interrupted: Interrupted) -> Result<(), PipelineEnd> {
        match interrupted {
            Interrupted::End(end) => Err(end),
            Interrupted::Stream(error) => self.after_local_error(error.to_string()).await,
            Interrupted::Local(why) => self.after_local_error(why).await,
        }
    }

    /// Tries again later, whatever it was.
    pub(super) async fn after_local_error(&mut self, reason: String) -> Result<(), PipelineEnd> {
        self.complain(&reason, None);
        self.retry_later(PartitionState::Retrying(reason)).await
    }

    pub(super) async fn retry_later(&mut self, state: PartitionState) -> Result<(), PipelineEnd> {
        self.status.enter(state);
        let wait = self.table.deps.clock.sleep(self.backoff.next());
        tokio::pin!(wait);
        // What is waited for may be something else than the stream, which goes on: how far is said meanwhile.
        let source = self.source.clone();
        let look = source.watermarks(self.partition.partition);
        tokio::pin!(look);
        let mut looked = false;
        loop {
            tokio::select! {
                biased;
                marks = &mut look, if !looked => {
                    looked = true;
                    if let Ok(marks) = marks {
                        self.tell_lag(marks);
                    }
                }
                outcome = fixed(&mut self.fixing) => end_of(self.fixed_beside(outcome))?,
                command = self.commands.recv() => match self.obey(command).await {
                    Ok(()) => {}
                    Err(Interrupted::End(end)) => return Err(end),
                    Err(Interrupted::Stream(error)) => self.say_failed(&error.to_string()),
                    Err(Interrupted::Local(reason)) => self.say_failed(&reason),
                },
                () = &mut wait => return Ok(()),
            }
        }
    }

    fn say_failed(&self, reason: &str) {
        let (table, topic) = (&*self.labels.table, self.partition.topic.as_str());
        let (partition, offset) = (self.partition.partition, self.open.next());
        tracing::warn!(table, topic, partition, %offset, reason, "command failed");
    }

    /// Notes what went wrong in the status and counts it. It is not logged: the state that follows is, at most once a second.
    pub(super) fn complain(&self, reason: &str, offset: Option<NextOffset>) {
        self.table.deps.metrics.count(Counter::Errors, &self.labels, 1);
        let now_ms = self.table.deps.clock.wall_ms();
        self.status.change(|status| {
            status.last_error_ms = now_ms;
            status.last_error = Some(reason.to_owned());
            status.last_error_offset = offset;
        });
    }
}
