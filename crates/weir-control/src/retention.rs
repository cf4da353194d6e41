//! Segments that are older than their table keeps rows: which they are, what stays on the record of them, and from where
//! a partition's counts count.
//!
//! Rows may come in any order of time, so segments go in any order too. What is left of a removed one is its place in the
//! chain of ranges and its counts: a partition's numbers add up as if it were still there.

use crate::{
    history::Move,
    records::{ReplayRecord, SegmentRecord, SegmentState},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use weir_types::{Accounting, NextOffset, OffsetRange, StreamPartition, TableName};

/// Segments of one partition that were removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Which partition.
    pub partition: StreamPartition,
    /// How many segments.
    pub segments: u64,
    /// All their messages, counted.
    pub counts: Accounting,
    /// Their places in the chain, ascending, those that follow each other without a move between them as one.
    pub runs: Vec<RemovedRun>,
}

/// Removed segments that followed each other: a range of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovedRun {
    /// Sequence number of the first.
    pub first: u32,
    /// Sequence number of the last.
    pub last: u32,
    /// Where the first started.
    pub start: NextOffset,
    /// Where the last ended.
    pub end: NextOffset,
}

impl Removed {
    /// Nothing yet.
    #[must_use]
    pub fn none(partition: StreamPartition) -> Self {
        Self { partition, segments: 0, counts: Accounting::default(), runs: vec![] }
    }

    /// Takes in one segment more.
    pub fn add(&mut self, sequence: u32, range: OffsetRange, counts: &Accounting) {
        self.segments += 1;
        self.counts.add(counts);
        self.runs.push(RemovedRun { first: sequence, last: sequence, start: range.start(), end: range.end() });
        self.runs.sort_by_key(|run| run.first);
        self.runs.dedup_by(|next, before| {
            // Where the next offset was moved in between, they are two ranges of the log.
            let follows = before.last + 1 == next.first && before.end == next.start;
            if follows {
                (before.last, before.end) = (next.last, next.end);
            }
            follows
        });
    }
}

/// An object in the deep store that no record names any more: it goes when its time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doomed {
    /// The segment that it was of.
    pub segment: Arc<str>,
    /// Where it is, below the deep store's root.
    pub key: String,
    /// It is kept until then, wall time in milliseconds since the epoch.
    pub until_ms: i64,
}

/// A table that was dropped, as long as objects of it may come to the deep store or were not deleted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its uid, which no other table has.
    pub uid: u64,
    /// Its name.
    pub table: TableName,
    /// When it was made, wall time in milliseconds since the epoch.
    pub created_ms: i64,
    /// When it was dropped, wall time in milliseconds since the epoch.
    pub dropped_ms: i64,
}

/// What of a table is too old, or cannot be told to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expiry {
    /// Segments to remove, by partition and sequence.
    pub expired: Vec<SegmentRecord>,
    /// Segments that are kept because the time of their rows is not known.
    pub without_time: Vec<SegmentRecord>,
}

/// Which of a table's segments (all of them, in the catalog's order) are older than `keep`. Only what is `Done` ever goes,
/// and never the last of its partition whose end is fixed: where that ended, reading goes on, also where the open segment
/// behind it has read nothing and goes with its topic. A segment without rows has the age of its end.
#[must_use]
pub fn expired(segments: &[SegmentRecord], keep: Duration, now_ms: i64) -> Expiry {
    let mut last: BTreeMap<&StreamPartition, u32> = BTreeMap::new();
    for segment in segments.iter().filter(|segment| segment.state.range().is_some()) {
        let last = last.entry(&segment.partition).or_default();
        *last = segment.name.sequence.max(*last);
    }
    let mut found = Expiry::default();
    for segment in segments {
        let SegmentState::Done { seal, artifact, .. } = &segment.state else { continue };
        let newest = if artifact.rows == 0 { Some(seal.at_ms) } else { artifact.max_time_ms };
        match newest {
            None => found.without_time.push(segment.clone()),
            Some(newest) if is_older(newest, keep, now_ms) && last[&segment.partition] != segment.name.sequence => {
                found.expired.push(segment.clone());
            }
            Some(_) => {}
        }
    }
    found
}

/// Which replays hold rows that are all older than `keep`: each such segment by the number of its replay and its name; and
/// how many there are whose time is not known.
#[must_use]
pub fn expired_replays(replays: &[ReplayRecord], keep: Duration, now_ms: i64) -> (Vec<(u64, Arc<str>)>, usize) {
    let held =
        replays.iter().flat_map(|replay| replay.parts.iter().filter_map(|part| Some((replay.number, part.held()?))));
    let (mut expired, mut without_time) = (vec![], 0);
    for (number, segment) in held {
        match segment.artifact.max_time_ms {
            None => without_time += 1,
            Some(newest) if is_older(newest, keep, now_ms) => expired.push((number, segment.name.clone())),
            Some(_) => {}
        }
    }
    (expired, without_time)
}

/// Whether a time is further back than `keep`.
#[must_use]
pub fn is_older(time_ms: i64, keep: Duration, now_ms: i64) -> bool {
    i128::from(now_ms) - i128::from(time_ms) > i128::try_from(keep.as_millis()).unwrap_or(i128::MAX)
}

/// The first offset of a partition that was ever read or moved away from. All of one partition: `segments` by sequence,
/// `moves` in their order.
#[must_use]
pub fn first_offset(segments: &[&SegmentRecord], removed: Option<&Removed>, moves: &[&Move]) -> Option<NextOffset> {
    let first = segments.first().map(|first| (first.name.sequence, first.state.start()));
    let gone = removed.and_then(|removed| removed.runs.first()).map(|run| (run.first, run.start));
    let first = first.into_iter().chain(gone).min_by_key(|(sequence, _)| *sequence);
    let moved = moves.first().filter(|step| first.is_none_or(|(sequence, _)| step.before <= sequence));
    moved.map(|step| step.from).or_else(|| Some(first?.1))
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
