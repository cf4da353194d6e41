//! What a partition tells: its newest rows to queries, its status to people, its counts to the metrics.

use crate::{
    pipeline::run::{Interrupted, PartitionPipeline},
    status::PartitionState,
};
use std::time::Duration;
use weir_base::metrics::{Counter, Gauge};
use weir_streams::{MessageBatch, Watermarks};
use weir_table::Target;
use weir_types::{Accounting, NextOffset};

impl PartitionPipeline {
    /// Nothing is read, and the stream goes on: how far behind that is.
    pub(super) fn tell_lag(&self, marks: Watermarks) {
        let now_ms = self.table.deps.clock.wall_ms();
        let since = self.view.fresh_as_of_ms();
        let mut lag_ms = 0;
        self.status.change(|status| {
            // In front of a topic that was made anew, what was read says nothing of how far that is.
            let anew = matches!(status.state, PartitionState::Recreated(_));
            if marks.high > if anew { marks.low } else { self.open.next() } {
                // Where nothing was ever visible it waits since it was first known to.
                let waited = now_ms.saturating_sub(status.lag_measured_ms);
                let so_far = i64::try_from(status.lag_ms).unwrap_or(i64::MAX);
                let lag = if since > 0 { now_ms.saturating_sub(since) } else { so_far.saturating_add(waited) };
                lag_ms = u64::try_from(lag).unwrap_or(0);
            }
            status.dense = self.source.dense();
            (status.high_watermark, status.low_watermark) = (Some(marks.high), Some(marks.low));
            (status.lag_ms, status.lag_measured_ms) = (lag_ms, now_ms);
        });
        let metrics = &self.table.deps.metrics;
        metrics.gauge(Gauge::LagMs, &self.labels, lag_ms as i64);
        if let (true, Some(offsets)) = (self.source.dense(), self.status.get().lag_offsets()) {
            metrics.gauge(Gauge::LagOffsets, &self.labels, offsets as i64);
        }
    }

    /// Where most offsets are no message's, their difference is no number of messages: there is no such gauge then.
    fn tell_lag_offsets(&self, high: NextOffset, next: NextOffset) {
        if self.source.dense() {
            self.table.deps.metrics.gauge(Gauge::LagOffsets, &self.labels, high.since(next) as i64);
        }
    }

    pub(super) fn publish(&mut self, batch: &MessageBatch, fetched_ms: i64) -> Result<(), Interrupted> {
        let next = self.open.next();
        let moved = self.view.snapshot().next != next;
        if moved {
            if batch.messages.is_empty() {
                self.raise_mark(next)?;
            }
            self.keep_if_due();
            self.view.publish_open(self.open.loaded(), next);
        } else {
            // Empty batches may come so often that no tick does.
            self.keep_idle();
        }
        let behind = batch.high_watermark.is_some_and(|high| high > next);
        let newest = batch.messages.len().checked_sub(1).and_then(|last| batch.messages.timestamp_ms(last));
        self.caught_up = !behind;
        let fresh_as_of = if behind { newest.unwrap_or(fetched_ms) } else { fetched_ms };
        if !behind || newest.is_some() {
            self.view.set_fresh_as_of_ms(fresh_as_of);
        }
        let lag_ms = u64::try_from(fetched_ms - fresh_as_of).unwrap_or(0);
        let (rows, bytes) = (u64::from(self.open.segment.rows()), self.open.segment.byte_count());
        self.share.hold(bytes as u64);
        let accounting = self.totals();
        self.status.change(|status| {
            status.next = next;
            status.dense = self.source.dense();
            status.high_watermark = batch.high_watermark.or(status.high_watermark);
            status.low_watermark = batch.low_watermark.or(status.low_watermark);
            (status.lag_ms, status.lag_measured_ms) = (lag_ms, fetched_ms);
            status.accounting = accounting;
            (status.open_rows, status.open_bytes) = (rows, bytes as u64);
            if !batch.messages.is_empty() {
                status.rate.count(batch.messages.len(), fetched_ms);
                status.last_consumed_ms = fetched_ms;
            }
        });
        let metrics = &self.table.deps.metrics;
        if !batch.messages.is_empty() {
            metrics.count(Counter::Batches, &self.labels, 1);
            let delay = self.table.deps.clock.wall_ms() - fetched_ms;
            metrics.gauge(Gauge::PublishDelayMs, &self.labels, delay);
        }
        metrics.gauge(Gauge::LagMs, &self.labels, lag_ms as i64);
        metrics.gauge(Gauge::OpenRows, &self.labels, rows as i64);
        metrics.gauge(Gauge::OpenBytes, &self.labels, bytes as i64);
        if let Some(high) = batch.high_watermark {
            self.tell_lag_offsets(high, next);
        }
        self.enter_running();
        Ok(())
    }

    pub(super) fn enter_running(&self) {
        let snapshot = self.view.snapshot();
        let limit = self.table.record.load().spec.lagging_after;
        let lag = Duration::from_millis(self.status.get().lag_ms);
        self.status.enter(match snapshot.target {
            Target::At(target) if snapshot.next < target => PartitionState::Recovering(target),
            _ if !self.caught_up && lag > limit => PartitionState::Lagging,
            _ => PartitionState::Consuming,
        });
    }

    pub(super) fn totals(&self) -> Accounting {
        let mut totals = self.past.fixed;
        totals.add(&self.open.counts);
        totals
    }

    pub(super) fn describe_open(&self) {
        let (name, limit, seal_at) = (self.open.name.clone(), self.open.record.limits.rows, self.open.seal_at_ms());
        let (next, accounting, rewound) = (self.open.next(), self.totals(), self.past.rewound);
        let (rows, bytes) = (u64::from(self.open.segment.rows()), self.open.segment.byte_count() as u64);
        // Rows that were restored are held before the first batch comes.
        self.share.hold(bytes);
        self.status.change(|status| {
            status.topic_id = self.topic_id.clone();
            status.open_segment = Some(name);
            (status.open_rows, status.open_bytes) = (rows, bytes);
            (status.open_rows_limit, status.open_seal_at_ms) = (limit, seal_at);
            (status.next, status.accounting, status.rewound) = (next, accounting, rewound);
        });
    }

    /// Shows the counters that people watch before they count anything: to Prometheus a value that was not there did not rise.
    pub(super) fn show_counters(&self) {
        for counter in [
            Counter::MessagesFetched,
            Counter::MessagesStored,
            Counter::MessagesRejected,
            Counter::Tombstones,
            Counter::OffsetsGaps,
            Counter::OffsetsSkipped,
            Counter::Errors,
            Counter::SegmentsSealed,
            Counter::SegmentsCommitted,
            Counter::SealRetries,
            Counter::UploadsFailed,
        ] {
            self.table.deps.metrics.count(counter, &self.labels, 0);
        }
        self.table.deps.metrics.gauge(Gauge::Unexplained, &self.labels, 0);
    }

    pub(super) fn count(&self, counts: &Accounting) {
        let metrics = &self.table.deps.metrics;
        for (counter, count) in [
            (Counter::MessagesFetched, counts.fetched),
            (Counter::MessagesStored, counts.stored),
            (Counter::MessagesFiltered, counts.filtered),
            (Counter::MessagesRejected, counts.rejected),
            (Counter::Tombstones, counts.tombstones),
            (Counter::RowsStored, counts.rows),
            (Counter::RowsAltered, counts.altered),
            (Counter::BytesFetched, counts.bytes),
            (Counter::OffsetsGaps, counts.gaps),
        ] {
            if count > 0 {
                metrics.count(counter, &self.labels, count);
            }
        }
    }
}
