//! An end on its way to the catalog: the disk may take as long as it likes, for the successor takes rows meanwhile.

use crate::{
    budget::Frozen,
    deps::TableContext,
    pipeline::run::{Interrupted, LOOK_WHILE_STOPPED, PartitionPipeline, PipelineEnd},
    sealer::SealJob,
    status::PartitionState,
};
use futures::future::BoxFuture;
use std::{sync::Arc, time::Duration};
use weir_base::metrics::Counter;
use weir_control::{Seal, SegmentRecord, StoreError};
use weir_segment::ConsumingSnapshot;
use weir_types::{OffsetRange, SegmentName};

/// Recording an end takes milliseconds: from here on people are told what is waited for.
const SAY_AFTER: Duration = Duration::from_secs(1);

/// A segment that takes no more rows, whose end the catalog does not have yet. There is one at most: where its successor is
/// full too, that waits.
pub(super) struct Fixing {
    end: End,
    rows: Arc<ConsumingSnapshot>,
    held: Frozen,
    /// Transaction A; none between an attempt that failed and the next.
    under_way: Option<BoxFuture<'static, Result<Fixed, String>>>,
}

/// What is recorded.
#[derive(Clone)]
struct End {
    table: Arc<TableContext>,
    record: SegmentRecord,
    range: OffsetRange,
    seal: Seal,
}

/// What came of an attempt that the catalog answered.
pub(super) enum Fixed {
    /// The segment's record and its successor's.
    Here(Box<(SegmentRecord, SegmentRecord)>),
    /// The records are not as they were read.
    Elsewhere(String),
}

impl Fixing {
    pub(super) fn new(
        table: &Arc<TableContext>,
        record: SegmentRecord,
        (range, seal): (OffsetRange, Seal),
        (rows, held): (Arc<ConsumingSnapshot>, Frozen),
    ) -> Self {
        let end = End { table: table.clone(), record, range, seal };
        Self { under_way: Some(Box::pin(end.clone().fix())), end, rows, held }
    }

    /// What comes of the attempt that is under way, or of another.
    pub(super) async fn outcome(&mut self) -> Result<Fixed, String> {
        let attempt = self.under_way.get_or_insert_with(|| Box::pin(self.end.clone().fix()));
        let outcome = attempt.await;
        self.under_way = None;
        outcome
    }

    /// Its segment.
    pub(super) fn name(&self) -> &SegmentName {
        &self.end.record.name
    }

    pub(super) fn try_again(&mut self) {
        self.under_way.get_or_insert_with(|| Box::pin(self.end.clone().fix()));
    }
}

impl End {
    /// Transaction A. The rejects that its counts tell of are on the disk before.
    async fn fix(self) -> Result<Fixed, String> {
        let (table, deps) = (self.table.clone(), &self.table.deps);
        let synced = deps.options.heavy.run_soon(move || table.quarantine.sync()).await;
        synced.map_err(|error| format!("quarantine cannot be synced: {error}"))?;
        let limits = self.table.sealer.next_limits(&self.table, &self.record).await;
        match deps.store.fix_end(&self.record, self.range, self.seal, limits).await {
            Ok(records) => Ok(Fixed::Here(Box::new(records))),
            Err(StoreError::Conflict { what }) => Ok(Fixed::Elsewhere(what)),
            Err(error) => Err(format!("segment end cannot be recorded: {error}")),
        }
    }
}

/// The outcome of the attempt to record an end that is under way; never where there is none.
pub(super) async fn fixed(fixing: &mut Option<Fixing>) -> Result<Fixed, String> {
    match fixing.as_mut().filter(|fixing| fixing.under_way.is_some()) {
        Some(fixing) => fixing.outcome().await,
        None => std::future::pending().await,
    }
}

impl PartitionPipeline {
    /// Waits until the last end is on the record, where it is not yet; says so where that takes long.
    pub(super) async fn settle(&mut self) -> Result<(), Interrupted> {
        let (source, clock) = (self.source.clone(), self.table.deps.clock.clone());
        let (mut wait, mut said) = (SAY_AFTER, false);
        let outcome = loop {
            let Some(fixing) = &mut self.fixing else { return Ok(()) };
            tokio::select! {
                biased;
                outcome = fixing.outcome() => break outcome,
                () = clock.sleep(wait) => {}
            }
            let why = format!("the catalog has not recorded the end of segment {} yet", fixing.name());
            self.status.enter(PartitionState::Retrying(why));
            (wait, said) = (LOOK_WHILE_STOPPED, true);
            let Some(fixing) = &mut self.fixing else { return Ok(()) };
            tokio::select! {
                biased;
                outcome = fixing.outcome() => break outcome,
                marks = source.watermarks(self.partition.partition) => if let Ok(marks) = marks {
                    self.tell_lag(marks);
                },
            }
        };
        if said {
            self.enter_running();
        }
        self.fixed(outcome)
    }

    /// The same, beside the successor's rows: where it could not be recorded that is put off.
    pub(super) fn fixed_beside(&mut self, outcome: Result<Fixed, String>) -> Result<(), Interrupted> {
        match self.fixed(outcome) {
            Err(Interrupted::Local(reason)) => {
                self.put_off(&reason, self.table.deps.clock.wall_ms());
                Ok(())
            }
            other => other,
        }
    }

    /// The catalog has answered: the segment is built and uploaded elsewhere, and its successor's end may be fixed.
    pub(super) fn fixed(&mut self, outcome: Result<Fixed, String>) -> Result<(), Interrupted> {
        let (committing, successor) = match outcome {
            Ok(Fixed::Here(records)) => *records,
            Ok(Fixed::Elsewhere(what)) => return Err(Interrupted::End(PipelineEnd::Reload(what))),
            Err(reason) => return Err(Interrupted::Local(reason)),
        };
        let Some(Fixing { rows, held, .. }) = self.fixing.take() else { return Ok(()) };
        self.open.record = successor;
        self.describe_open();
        self.table.deps.metrics.count(Counter::SegmentsSealed, &self.labels, 1);
        self.table.sealer.submit(SealJob {
            table: self.table.clone(),
            view: self.view.clone(),
            record: committing,
            frozen: Some(rows),
            held: Some(held),
            stream: self.stream.clone(),
            source: self.source.clone(),
        });
        Ok(())
    }
}
