//! What a pipeline notes of its open segment, and hands to the writer without ever waiting for it.

use super::{
    Checkpoints,
    file::Boundary,
    writer::{CheckpointFile, Written},
};
use std::sync::Arc;
use weir_segment::{ConsumingSegment, ConsumingSnapshot};
use weir_types::{Accounting, NextOffset};

/// The open segment's end of its checkpoint.
pub(crate) struct Recorder {
    checkpoints: Arc<Checkpoints>,
    file: Arc<CheckpointFile>,
    /// Rows in frozen blocks that were noted.
    noted: u32,
    /// The next offset behind them.
    kept: NextOffset,
    /// Ends of frozen blocks that the writer does not have yet: one for each frozen block that it is behind.
    pending: Vec<Boundary>,
}

impl Recorder {
    pub(super) fn new(checkpoints: Arc<Checkpoints>, file: Arc<CheckpointFile>, noted: u32, kept: NextOffset) -> Self {
        Self { checkpoints, file, noted, kept, pending: vec![] }
    }

    /// To be called after each append and each snapshot, before anything else is counted: where a block froze, its end is
    /// here.
    pub(crate) fn note(&mut self, segment: &ConsumingSegment, next: NextOffset, counts: &Accounting) {
        let frozen = segment.frozen_rows();
        if frozen > self.noted {
            debug_assert_eq!(frozen, segment.rows(), "a block freezes with all rows in it");
            (self.noted, self.kept) = (frozen, next);
            self.pending.push(Boundary { rows: frozen, next, counts: *counts });
        }
    }

    /// Hands noted blocks to the writer, from a snapshot that holds them. Where its queue is full they go with the next.
    pub(crate) fn hand_over(&mut self, snapshot: &Arc<ConsumingSnapshot>) {
        if self.pending.is_empty() {
            return;
        }
        let boundaries = std::mem::take(&mut self.pending);
        let written = Written { snapshot: snapshot.clone(), boundaries };
        if let Err(Written { boundaries, .. }) =
            self.checkpoints.queue.write(self.checkpoints.clone(), self.file.clone(), written)
        {
            self.pending = boundaries;
        }
    }

    /// The segment takes no more rows: hands over what is left of them.
    pub(crate) fn finish(mut self, frozen: &Arc<ConsumingSnapshot>, next: NextOffset, counts: &Accounting) {
        if frozen.frozen_rows() > self.noted {
            self.pending.push(Boundary { rows: frozen.frozen_rows(), next, counts: *counts });
        }
        self.hand_over(frozen);
    }

    /// Where rows begin that are in no frozen block.
    pub(crate) fn kept(&self) -> NextOffset {
        self.kept
    }

    /// The writer has all that was noted.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.pending.is_empty()
    }

    /// The segment, still empty, starts elsewhere.
    pub(crate) fn move_start(&mut self, start: NextOffset) {
        self.kept = start;
        self.file.move_start(start);
    }
}
