//! The open segment of a partition and the counts of its range.

use crate::{
    checkpoint::{Recorder, Restored},
    deps::TableContext,
    pipeline::flush::{AgreedEnd, OpenFacts, SizeFacts},
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use weir_control::{OpenSize, SealReason, SegmentRecord, TableRecord};
use weir_segment::{ConsumingSegment, ConsumingSnapshot, ConsumingSpec, STREAM_OFFSET, Segment};
use weir_streams::MessageBatch;
use weir_table::LoadedSegment;
use weir_types::{Accounting, NextOffset, OffsetRange, RowBatch, RowsThreshold, Schema, TableSpec};

/// What is being filled.
pub(super) struct OpenSegment {
    pub(super) record: SegmentRecord,
    pub(super) name: Arc<str>,
    pub(super) segment: ConsumingSegment,
    pub(super) counts: Accounting,
    checkpoint: Recorder,
    start: NextOffset,
    next: NextOffset,
    /// Bytes that its file is to have.
    wanted_bytes: Option<u64>,
    seal_at_ms: i64,
    /// Where it ends, and why, where that was agreed.
    agreed: Option<(NextOffset, SealReason)>,
}

impl OpenSegment {
    /// A segment for a record that says `Consuming { start }`: empty, or with the rows that were restored.
    pub(super) fn new(
        record: SegmentRecord,
        start: NextOffset,
        table: &TableContext,
        settings: &TableRecord,
        restored: Option<Restored>,
    ) -> Self {
        let spec = &settings.spec;
        let name: Arc<str> = record.name.to_string().into();
        // The settings may have changed since rows were restored.
        let restored = restored.filter(|restored| restored.is_of(settings, &record, start));
        let checkpoint = table.checkpoints.recorder(settings, &record, start, restored.as_ref());
        let (segment, next, counts) = match restored {
            Some(restored) => (restored.segment, restored.next, restored.counts),
            None => {
                let empty = ConsumingSegment::new(consuming_spec(&name, record.created_ms, spec, &settings.schema));
                (empty.with_block_rows(table.deps.options.block_rows), start, Accounting::default())
            }
        };
        let age = age_of(spec.flush.max_age, record.partition.partition);
        Self {
            seal_at_ms: record.created_ms.saturating_add(age),
            wanted_bytes: match spec.flush.rows {
                RowsThreshold::BySize { segment_bytes, .. } => Some(segment_bytes),
                RowsThreshold::PerNode(_) | RowsThreshold::PerSegment(_) => None,
            },
            record,
            name,
            segment,
            counts,
            checkpoint,
            start,
            next,
            agreed: None,
        }
    }

    pub(super) fn next(&self) -> NextOffset {
        self.next
    }

    pub(super) fn seal_at_ms(&self) -> i64 {
        self.seal_at_ms
    }

    /// The range so far.
    pub(super) fn range(&self) -> OffsetRange {
        OffsetRange::try_new(self.start, self.next).expect("the next offset only grows")
    }

    pub(super) fn facts(&self, in_the_way: bool) -> OpenFacts {
        OpenFacts {
            rows: u64::from(self.segment.rows()),
            span: self.range().span(),
            limits: self.record.limits,
            by_size: self.wanted_bytes.map(|wanted| SizeFacts { predicted: self.size().predicted_bytes, wanted }),
            seal_at_ms: self.seal_at_ms,
            in_the_way,
            agreed: self.agreed.map(|(end, reason)| AgreedEnd { reached: self.next >= end, reason }),
        }
    }

    /// How large it is, and its file will be.
    pub(super) fn size(&self) -> OpenSize {
        let column_bytes = self.segment.column_bytes() as u64;
        OpenSize { column_bytes, predicted_bytes: self.record.limits.predict(column_bytes) }
    }

    /// Its replicas agreed where it ends: it takes everything before `end`, and nothing more.
    pub(super) fn end_at(&mut self, end: NextOffset, reason: SealReason) {
        self.agreed = Some((end, reason));
    }

    /// It has taken all that was agreed.
    pub(super) fn is_at_agreed_end(&self) -> bool {
        self.agreed.is_some_and(|(end, _)| self.next >= end)
    }

    /// It has not yet taken all that was agreed.
    pub(super) fn is_short_of_agreed_end(&self) -> bool {
        self.agreed.is_some_and(|(end, _)| self.next < end)
    }

    /// Up to which of a batch's messages, from `at` on, it takes before its end is looked at, and the next offset to read
    /// then: up to the row limit, and not beyond an agreed end or `until`.
    pub(super) fn run_of(&self, batch: &MessageBatch, at: usize, until: Option<NextOffset>) -> (usize, NextOffset) {
        let messages = &*batch.messages;
        let room = usize::try_from(self.room()).unwrap_or(usize::MAX);
        let to = at.saturating_add(room).min(messages.len());
        let next = if to == messages.len() { batch.range.end() } else { messages.offset(to - 1).after() };
        match self.agreed.map(|(end, _)| end).into_iter().chain(until).min() {
            Some(end) if next > end => {
                let before = (at..to).take_while(|message| messages.offset(*message) < end).count();
                (at + before, end)
            }
            _ => (to, next),
        }
    }

    /// How many more messages may be taken before the row limit, one row each; no limit where it is reached already and
    /// the end cannot be fixed yet.
    fn room(&self) -> u64 {
        match self.record.limits.rows.saturating_sub(u64::from(self.segment.rows())) {
            0 => u64::MAX,
            room => room,
        }
    }

    /// Appends the rows of messages up to `next` and counts them. Offsets without a message are gaps.
    pub(super) fn append(
        &mut self,
        rows: &RowBatch,
        counts: &Accounting,
        offset_of: &dyn Fn(u32) -> NextOffset,
        next: NextOffset,
    ) {
        if rows.rows() > 0 {
            self.segment.append(rows, offset_of);
        }
        self.counts.add(counts);
        self.counts.gaps += next.since(self.next).saturating_sub(counts.fetched);
        self.next = next;
        self.checkpoint.note(&self.segment, next, &self.counts);
    }

    /// The newest state for readers.
    pub(super) fn loaded(&mut self) -> LoadedSegment {
        let snapshot = self.segment.snapshot();
        self.checkpoint.note(&self.segment, self.next, &self.counts);
        self.checkpoint.hand_over(&snapshot);
        let segment: Arc<dyn Segment> = snapshot;
        LoadedSegment { name: self.name.clone(), segment: segment.into(), validity: None }
    }

    /// Whether there are rows in no frozen block.
    pub(super) fn has_unkept(&self) -> bool {
        self.segment.rows() > self.segment.frozen_rows()
    }

    /// Where those begin.
    pub(super) fn kept(&self) -> NextOffset {
        self.checkpoint.kept()
    }

    /// Freezes them; they are handed to the checkpoint with the next snapshot.
    pub(super) fn keep(&mut self) {
        self.segment.freeze_rows();
        self.checkpoint.note(&self.segment, self.next, &self.counts);
    }

    /// The checkpoint was handed all that is frozen.
    pub(super) fn is_handed_over(&self) -> bool {
        self.checkpoint.is_handed_over()
    }

    /// Takes no more rows; they are handed to the checkpoint to the last one.
    pub(super) fn freeze(self) -> Arc<ConsumingSnapshot> {
        let frozen = self.segment.freeze().snapshot();
        self.checkpoint.finish(&frozen, self.next, &self.counts);
        frozen
    }

    /// An empty range starts elsewhere: what lay between is on the record as skipped.
    pub(super) fn move_start(&mut self, record: SegmentRecord, start: NextOffset) {
        assert!(self.range().is_empty(), "only an empty segment moves its start");
        self.record = record;
        self.checkpoint.move_start(start);
        self.start = start;
        self.next = start;
    }

    /// Until when to wait at most before the age is looked at again.
    pub(super) fn until_seal(&self, now_ms: i64) -> Duration {
        Duration::from_millis(u64::try_from(self.seal_at_ms.saturating_sub(now_ms)).unwrap_or(0))
    }
}

/// How old the segment of a partition becomes, in milliseconds: at most `most`, and up to a tenth less, by its partition. All
/// partitions of a table are begun together, and would else be built and uploaded at once for ever.
fn age_of(most: Duration, partition: u32) -> i64 {
    /// 2^32 by the golden ratio: multiples of it are spread evenly, in whatever number they come.
    const STEP: u32 = 2_654_435_769;
    let most = i64::try_from(most.as_millis()).unwrap_or(i64::MAX);
    let part = i128::from(partition.wrapping_mul(STEP));
    let less = (i128::from(most / 10) * part) >> 32;
    most - i64::try_from(less).expect("it is at most a tenth")
}

/// What a consuming segment of a table is made with.
pub(crate) fn consuming_spec(
    name: &Arc<str>,
    created_ms: i64,
    spec: &TableSpec,
    schema: &Arc<Schema>,
) -> ConsumingSpec {
    let no_dictionary: HashSet<_> =
        spec.indexes.iter().filter(|(_, indexes)| indexes.no_dictionary).map(|(column, _)| column.clone()).collect();
    ConsumingSpec {
        name: name.clone(),
        schema: schema.clone(),
        no_dictionary,
        keep_offsets: keep_offsets(schema),
        created_ms,
    }
}

/// The hidden stream-offset column is kept for tables with a primary key, and where the schema names it.
pub(crate) fn keep_offsets(schema: &Schema) -> bool {
    !schema.primary_key.is_empty() || schema.field(STREAM_OFFSET).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_that_begin_together_end_one_after_the_other() {
        let hour = Duration::from_secs(3600);
        let mut ages: Vec<i64> = (0..60).map(|partition| age_of(hour, partition)).collect();
        assert_eq!(ages[0], 3_600_000, "the only one of a topic is as old as is said");
        assert!(ages.iter().all(|age| (3_240_000..=3_600_000).contains(age)), "{ages:?}");
        ages.sort_unstable();
        let least = ages.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();
        assert!(least > 1_000, "of 6 s each on average: {least} ms");
        assert_eq!(age_of(Duration::MAX, 0), i64::MAX);
        assert!(age_of(Duration::MAX, u32::MAX) > i64::MAX / 10 * 8);
    }
}
