//! What the catalog says was replayed, kept where it is asked for on the way of every record that is read again.
//!
//! A record that was rejected stays rejected while its range is read again, whatever the settings say by then: else a
//! replay and a second reading could both make rows of it. Segment records count it as rejected for ever; how many of
//! them are replayed is said from here.

use crate::{
    deps::TableContext,
    quarantine::{EntryId, Reading},
    status::PartitionStatus,
};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use weir_control::{Move, ReplayRecord, ReplaySegment};
use weir_types::{NextOffset, SkipReason, StreamPartition};

/// The replays of a table that this node knows of.
#[derive(Default)]
pub(crate) struct Replays {
    known: Mutex<Known>,
    /// Replays of a table take turns.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    /// The number of the next replay.
    next: u64,
    partitions: BTreeMap<StreamPartition, Replayed>,
}

#[derive(Default)]
struct Replayed {
    /// Ascending, by reading.
    offsets: BTreeMap<u32, Vec<NextOffset>>,
    segments: Vec<ReplaySegment>,
    altered: u64,
    /// In the order in which they were made.
    moves: Vec<Move>,
}

/// Whether offsets that were read before are read again, or in another log: a reading of its own begins.
fn starts_over(step: &Move) -> bool {
    step.to < step.from || step.reason == SkipReason::Recreated
}

impl Replayed {
    /// Messages of a reading that were replayed and lie in `[from, to)`.
    fn between(&self, reading: u32, from: NextOffset, to: NextOffset) -> u64 {
        let Some(offsets) = self.offsets.get(&reading) else { return 0 };
        let before = |end: NextOffset| offsets.partition_point(|offset| *offset < end);
        before(to).saturating_sub(before(from)) as u64
    }

    /// Messages that were replayed and are counted as rejected: those in what was read up to `next`.
    fn counted(&self, next: NextOffset) -> u64 {
        let (mut reading, mut counted, mut passed_over) = (0, 0, 0);
        for step in &self.moves {
            if starts_over(step) {
                counted += self.between(reading, NextOffset::ZERO, step.from).saturating_sub(passed_over);
                (reading, passed_over) = (reading + 1, 0);
            } else {
                passed_over += self.between(reading, step.from, step.to);
            }
        }
        counted + self.between(reading, NextOffset::ZERO, next).saturating_sub(passed_over)
    }
}

impl Replays {
    /// The number of the next replay, all before it being known.
    pub(super) fn next_number(&self) -> u64 {
        self.known.lock().next
    }

    /// Takes in a replay; false where it is known.
    pub(super) fn take_in(&self, replay: &ReplayRecord) -> bool {
        let mut known = self.known.lock();
        if replay.number < known.next {
            return false;
        }
        known.next = replay.number + 1;
        for part in &replay.parts {
            let of = known.partitions.entry(part.partition.clone()).or_default();
            let offsets = of.offsets.entry(part.reading).or_default();
            offsets.extend_from_slice(&part.offsets);
            // Two runs that are sorted: cheap.
            offsets.sort();
            of.segments.extend(part.segment.clone());
            of.altered += part.altered;
        }
        true
    }

    /// Whether a message was replayed.
    pub(super) fn has(&self, id: &EntryId) -> bool {
        let known = self.known.lock();
        let offsets = known.partitions.get(&id.partition).and_then(|of| of.offsets.get(&id.reading));
        offsets.is_some_and(|offsets| offsets.binary_search(&id.offset).is_ok())
    }

    /// The segments of a partition that hold rows.
    pub(crate) fn segments(&self, partition: &StreamPartition) -> Vec<ReplaySegment> {
        let known = self.known.lock();
        let segments = known.partitions.get(partition).into_iter().flat_map(|of| &of.segments);
        segments.filter(|segment| segment.removed_ms.is_none()).cloned().collect()
    }

    /// The partitions that something was replayed of: one that ended may have left nothing else.
    pub(crate) fn partitions(&self) -> Vec<StreamPartition> {
        self.known.lock().partitions.keys().cloned().collect()
    }

    /// Learns which segments were removed since their replays were taken in.
    pub(crate) fn note_removed(&self, replays: &[ReplayRecord]) {
        let mut known = self.known.lock();
        for part in replays.iter().flat_map(|replay| &replay.parts) {
            let Some(gone) = part.segment.as_ref().filter(|segment| segment.removed_ms.is_some()) else { continue };
            let Some(of) = known.partitions.get_mut(&part.partition) else { continue };
            let ours = of.segments.iter_mut().filter(|segment| segment.name == gone.name);
            ours.for_each(|segment| segment.removed_ms = gone.removed_ms);
        }
    }

    /// How many messages of the table were replayed.
    pub(crate) fn count(&self) -> u64 {
        let known = self.known.lock();
        known.partitions.values().flat_map(|of| of.offsets.values()).map(|offsets| offsets.len() as u64).sum()
    }

    /// All moves of the table, as the catalog has them. Gives the readings that somebody asked to repeat, each with the
    /// offset where it was given up.
    pub(super) fn set_moves(&self, moves: Vec<Move>) -> Vec<(Reading, NextOffset)> {
        let mut known = self.known.lock();
        known.partitions.values_mut().for_each(|of| of.moves.clear());
        for step in moves {
            known.partitions.entry(step.partition.clone()).or_default().moves.push(step);
        }
        let mut given_up = vec![];
        for (partition, of) in &known.partitions {
            let over = of.moves.iter().filter(|step| starts_over(step)).zip(0..);
            let repeated = over.filter(|(step, _)| step.reason != SkipReason::Recreated);
            given_up.extend(repeated.map(|(step, reading)| ((partition.clone(), reading), step.from)));
        }
        given_up
    }

    fn moved(&self, step: Move) {
        let mut known = self.known.lock();
        known.partitions.entry(step.partition.clone()).or_default().moves.push(step);
    }

    /// Which reading of its partition the segment of that sequence number belongs to.
    pub(crate) fn reading(&self, partition: &StreamPartition, sequence: u32) -> u32 {
        let known = self.known.lock();
        let Some(of) = known.partitions.get(partition) else { return 0 };
        let over = of.moves.iter().filter(|step| step.before <= sequence && starts_over(step)).count();
        u32::try_from(over).unwrap_or(u32::MAX)
    }

    /// Moves what was replayed out of `rejected`, as far as the partition was read.
    pub(crate) fn correct(&self, status: &mut PartitionStatus) {
        let known = self.known.lock();
        let Some(of) = known.partitions.get(&status.partition) else { return };
        let counts = &mut status.accounting;
        let replayed = of.counted(status.next).min(counts.rejected);
        counts.rejected -= replayed;
        counts.replayed += replayed;
        counts.rows += of.segments.iter().map(|segment| segment.artifact.rows).sum::<u64>();
        counts.altered += of.altered;
    }
}

impl TableContext {
    /// A partition's next offset was moved, and its pipeline goes on by itself. After a move back, or into another log, it
    /// has to ask for what is settled again.
    pub(crate) fn moved(&self, step: Move) {
        let before = (step.partition.clone(), self.replays.reading(&step.partition, step.before));
        let (repeated, from) = (starts_over(&step) && step.reason != SkipReason::Recreated, step.from);
        self.replays.moved(step);
        if repeated {
            self.give_up(&before, from);
        }
    }

    /// What was rejected behind the fixed ranges of a reading is read again by the next one.
    pub(super) fn give_up(&self, reading: &Reading, from: NextOffset) {
        if let Err(error) = self.quarantine.abandon(reading, from) {
            let partition = reading.0.to_string();
            tracing::warn!(partition, %error, "records of a reading that was given up stay in quarantine");
        }
    }

    /// The messages from `from` on that are rejected for good as far as the segment of that sequence number is read: they
    /// are in quarantine or were replayed.
    pub(crate) fn settled(&self, partition: &StreamPartition, sequence: u32, from: NextOffset) -> BTreeSet<NextOffset> {
        let reading = self.replays.reading(partition, sequence);
        // The quarantine first: a replay is known before its entries leave the quarantine.
        let mut settled = self.quarantine.offsets(&(partition.clone(), reading), from);
        let known = self.replays.known.lock();
        if let Some(offsets) = known.partitions.get(partition).and_then(|of| of.offsets.get(&reading)) {
            settled.extend(&offsets[offsets.partition_point(|offset| *offset < from)..]);
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_control::ReplayPart;
    use weir_types::TopicName;

    fn partition() -> StreamPartition {
        StreamPartition { topic: TopicName::parse("t").unwrap(), partition: 0 }
    }

    fn step(before: u32, from: u64, to: u64, reason: SkipReason) -> Move {
        let (from, to) = (NextOffset::new(from), NextOffset::new(to));
        Move { partition: partition(), before, from, to, reason, at_ms: 0, passed: None }
    }

    fn replay(number: u64, reading: u32, offsets: &[u64]) -> ReplayRecord {
        let offsets = offsets.iter().map(|offset| NextOffset::new(*offset)).collect();
        let part = ReplayPart { partition: partition(), reading, offsets, altered: 0, segment: None };
        let schema_version = weir_types::SchemaVersion(1);
        ReplayRecord { table_uid: 1, number, at_ms: 0, schema_version, parts: vec![part] }
    }

    fn counted(replays: &Replays, next: u64) -> u64 {
        replays.known.lock().partitions[&partition()].counted(NextOffset::new(next))
    }

    #[test]
    fn a_replay_is_taken_in_once() {
        let replays = Replays::default();
        assert!(replays.take_in(&replay(0, 0, &[3, 7])));
        assert!(!replays.take_in(&replay(0, 0, &[3, 7])));
        assert!(replays.take_in(&replay(1, 0, &[5])));
        assert_eq!((replays.next_number(), replays.count()), (2, 3));
        assert_eq!([3, 4, 6, 8].map(|next| counted(&replays, next)), [0, 1, 2, 3]);
    }

    #[test]
    fn readings_count_moves_back_and_new_logs() {
        let replays = Replays::default();
        let steps = vec![
            step(1, 10, 20, SkipReason::Retention),
            step(2, 30, 5, SkipReason::Reset),
            step(4, 50, 60, SkipReason::Recreated),
        ];
        let repeated = replays.set_moves(steps);
        assert_eq!(repeated, [((partition(), 0), NextOffset::new(30))]);
        let readings = [0, 1, 2, 3, 4, 5].map(|sequence| replays.reading(&partition(), sequence));
        assert_eq!(readings, [0, 0, 1, 1, 2, 2]);
        // Skipped; counted; beyond what was fixed; of the second reading; of the third, read and not yet read.
        replays.take_in(&replay(0, 0, &[12, 25, 40]));
        replays.take_in(&replay(1, 1, &[25]));
        replays.take_in(&replay(2, 2, &[61, 99]));
        assert_eq!((counted(&replays, 60), counted(&replays, 70)), (2, 3));
        replays.moved(step(5, 70, 1, SkipReason::Reset));
        assert_eq!((replays.reading(&partition(), 5), counted(&replays, 1)), (3, 3));
    }
}
