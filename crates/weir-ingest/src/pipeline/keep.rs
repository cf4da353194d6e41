//! Rows that are not on the local disk yet are those behind the last full block of the open segment. The stream has them;
//! where it may soon have them no more, or the process is about to end, they are written as a block that is not full.

use crate::pipeline::run::PartitionPipeline;
use std::time::Duration;
use weir_streams::{StreamError, Watermarks};

/// No row waits longer for its block to be full: a stream that deletes whole files takes minutes of messages at once.
const WITHIN: Duration = Duration::from_secs(300);

/// What is known of the rows that are not written.
struct Unwritten {
    /// For how long the first of them is there.
    waited: Duration,
    /// Their offsets.
    span: u64,
    /// Offsets before them that the stream still holds, where it is known: how far its deleting is away.
    ahead: Option<u64>,
}

impl Unwritten {
    /// Whether they are to be written now. What the stream deletes comes near: less lies before them than they are
    /// themselves. So the blocks of a stream that is read from its beginning double until they are full, and those of one
    /// that keeps few messages are half of what it keeps.
    fn is_due(&self) -> bool {
        self.waited >= WITHIN || self.ahead.is_some_and(|ahead| ahead < self.span)
    }
}

impl PartitionPipeline {
    /// Freezes the rows that are in no block yet where it is time for that; they go to the disk with the next snapshot.
    /// Whether there were some.
    pub(super) fn keep_if_due(&mut self) -> bool {
        if !self.open.has_unkept() {
            self.unkept_since = None;
            return false;
        }
        let now = self.table.deps.clock.monotonic();
        let since = *self.unkept_since.get_or_insert(now);
        let (kept, low) = (self.open.kept(), self.status.get().low_watermark);
        let unwritten = Unwritten {
            waited: now.saturating_sub(since),
            span: self.open.next().since(kept),
            ahead: low.map(|low| kept.since(low)),
        };
        if !unwritten.is_due() {
            return false;
        }
        self.keep();
        true
    }

    /// As `keep_if_due`, where no batch comes with which they would be shown.
    pub(super) fn keep_idle(&mut self) {
        if self.keep_if_due() {
            self.view.publish_open(self.open.loaded(), self.open.next());
        }
    }

    /// Nothing is read, and the stream goes on.
    pub(super) fn see_while_stopped(&mut self, marks: Result<Watermarks, StreamError>) {
        if let Ok(marks) = marks {
            self.tell_lag(marks);
        }
        self.keep_idle();
    }

    /// The process is about to end: all rows are handed to the disk. False where it is behind: to be asked again.
    pub(super) fn keep_all(&mut self) -> bool {
        self.keep();
        self.view.publish_open(self.open.loaded(), self.open.next());
        self.open.is_handed_over()
    }

    fn keep(&mut self) {
        self.unkept_since = None;
        self.open.keep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_written_before_the_stream_deletes_them() {
        let due = |waited, span, ahead| Unwritten { waited: Duration::from_secs(waited), span, ahead }.is_due();
        assert!(!due(0, 100, Some(100)) && due(0, 101, Some(100)), "its deleting comes near");
        assert!(due(0, 1, Some(0)), "it is here");
        assert!(!due(0, 1 << 40, None), "nothing is known of it");
        assert!(!due(299, 1, None) && due(300, 1, None), "it may take much at once");
    }

    #[test]
    fn what_is_read_from_the_beginning_makes_few_blocks() {
        let (mut kept, mut blocks) = (0_u64, 0);
        for next in 1..=1_000_000_u64 {
            if (Unwritten { waited: Duration::ZERO, span: next - kept, ahead: Some(kept) }).is_due() {
                (kept, blocks) = (next, blocks + 1);
            }
        }
        assert_eq!(blocks, 19);
    }
}
