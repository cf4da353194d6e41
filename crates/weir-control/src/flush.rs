//! How many rows the next segment may hold. Pure: settings, what was learnt and chance come in, a number goes out.
//!
//! A fixed threshold is divided among the partitions of a node or taken as it is. A size is turned into rows by the rows
//! per byte of the segments before, as a slow average (one tenth new); far off the wanted size the limit moves by halves
//! at once, and a segment that ended by age before it was full lets the limit grow by a tenth.

use crate::records::SealReason;
use std::time::Duration;
use weir_base::Chance;
use weir_types::{FlushPolicy, RowsThreshold};

/// A learnt limit never falls below this: smaller segments cost more in bookkeeping than their size is worth.
const LEAST_LEARNT_ROWS: u64 = 10_000;

/// No segment holds more rows than a 32-bit document id can count.
const MOST_ROWS: u64 = i32::MAX as u64;

/// The share of the newest segment in the running average of rows per byte.
const NEW_SHARE: f64 = 0.1;

/// Growth after a segment that ended by age before it was full.
const AFTER_TIME: f64 = 1.1;

/// How much more than its row limit a segment may hold where its columns say that its file will still be too small: the
/// limit is a guess made before the first row, the columns are there.
const OVER_ROWS: u64 = 2;

/// What a segment may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows.
    pub rows: u64,
    /// Bytes of its file that a thousand bytes of its open columns will make, as segments before it taught; `None` before
    /// there were any.
    pub file_permille: Option<u32>,
}

impl Limits {
    /// So many rows, and nothing learnt of sizes.
    #[must_use]
    pub const fn of_rows(rows: u64) -> Self {
        Self { rows, file_permille: None }
    }

    /// Bytes of the file that open columns of this many bytes will make, where that was learnt.
    #[must_use]
    pub fn predict(&self, column_bytes: u64) -> Option<u64> {
        let bytes = |permille: u32| u128::from(column_bytes) * u128::from(permille) / 1000;
        self.file_permille.map(|permille| u64::try_from(bytes(permille)).unwrap_or(u64::MAX))
    }

    /// Whether a segment of so many rows, whose file will have `predicted` bytes of `wanted`, is full.
    #[must_use]
    pub fn is_full_by_size(&self, rows: u64, predicted: Option<u64>, wanted: u64) -> bool {
        match predicted {
            Some(predicted) => predicted >= wanted || rows >= self.rows.saturating_mul(OVER_ROWS).min(MOST_ROWS),
            None => rows >= self.rows,
        }
    }
}

/// What the segments of a table and topic taught.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FlushMemory {
    /// Rows per byte of a built segment, a running average; `None` until one was built.
    pub rows_per_byte: Option<f64>,
    /// Bytes of a built segment per byte of its columns while it was open, a running average; `None` until one was built.
    pub file_share: Option<f64>,
    /// The limit that the last segment had; 0 before there was one.
    pub last_limit: u64,
    /// The last segment whose size was its limits' doing.
    pub last: Option<Lesson>,
}

/// A segment that moves the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lesson {
    /// Its rows.
    pub rows: u64,
    /// Bytes of its file.
    pub byte_count: u64,
    /// The rows it might have had.
    pub rows_limit: u64,
    /// The age limit, where age ended it.
    pub age: Option<Duration>,
}

/// A segment that was just committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastSegment {
    /// Its rows.
    pub rows: u64,
    /// Bytes of its file.
    pub byte_count: u64,
    /// Bytes of its columns when it ended, where that is known.
    pub column_bytes: Option<u64>,
    /// The rows it might have had.
    pub rows_limit: u64,
    /// Why it ended.
    pub reason: SealReason,
}

/// What is known after one more segment. One that ended by request or with its stream, or that holds nothing, teaches
/// nothing: its size was chance. One that ended for memory teaches how large rows are, not how many there should be.
#[must_use]
pub fn learn(policy: &FlushPolicy, memory: &FlushMemory, last: &LastSegment) -> FlushMemory {
    let mut learnt = FlushMemory { last_limit: last.rows_limit, ..*memory };
    let by_chance = matches!(
        last.reason,
        SealReason::Forced | SealReason::Settings | SealReason::StreamGap | SealReason::EndOfPartition
    );
    if by_chance || last.rows == 0 || last.byte_count == 0 {
        return learnt;
    }
    let average = |before: Option<f64>, new: f64| before.map_or(new, |old| NEW_SHARE * new + (1.0 - NEW_SHARE) * old);
    learnt.rows_per_byte = Some(average(memory.rows_per_byte, last.rows as f64 / last.byte_count as f64));
    if let Some(column_bytes) = last.column_bytes.filter(|bytes| *bytes > 0) {
        learnt.file_share = Some(average(memory.file_share, last.byte_count as f64 / column_bytes as f64));
    }
    if last.reason != SealReason::Memory {
        let age = (last.reason == SealReason::Time).then_some(policy.max_age);
        let LastSegment { rows, byte_count, rows_limit, .. } = *last;
        learnt.last = Some(Lesson { rows, byte_count, rows_limit, age });
    }
    learnt
}

/// What the next segment may hold: at least one row. `partitions_on_node` counts the table's partitions that this node
/// hosts.
#[must_use]
pub fn next_limits(policy: &FlushPolicy, memory: &FlushMemory, partitions_on_node: u64, chance: &mut Chance) -> Limits {
    let rows = next_rows(policy, memory, partitions_on_node, chance);
    // A file is never a thousand times its columns: what a share beyond that would predict is of no use.
    let permille = |share: f64| (share * 1000.0).round().clamp(1.0, 1_000_000.0) as u32;
    Limits { rows, file_permille: memory.file_share.map(permille) }
}

fn next_rows(policy: &FlushPolicy, memory: &FlushMemory, partitions_on_node: u64, chance: &mut Chance) -> u64 {
    match policy.rows {
        RowsThreshold::PerNode(rows) => (rows / partitions_on_node.max(1)).clamp(1, MOST_ROWS),
        RowsThreshold::PerSegment(rows) => rows.clamp(1, MOST_ROWS),
        RowsThreshold::BySize { segment_bytes, initial_rows } => {
            learnt_limit(policy, memory, segment_bytes, initial_rows, chance)
        }
    }
}

fn learnt_limit(
    policy: &FlushPolicy,
    memory: &FlushMemory,
    segment_bytes: u64,
    initial_rows: u64,
    chance: &mut Chance,
) -> u64 {
    let Some(rows_per_byte) = memory.rows_per_byte else {
        // Nothing was learnt, so nothing is corrected either.
        let limit = if memory.last_limit > 0 { memory.last_limit } else { initial_rows };
        return limit.clamp(1, MOST_ROWS);
    };
    let wanted = segment_bytes as f64;
    let next = match memory.last {
        Some(Lesson { rows, byte_count, rows_limit, age: Some(age) })
            if rows < rows_limit && byte_count < segment_bytes =>
        {
            // A shorter age since then lets in proportionally fewer rows. Not varied: age does not end all at once.
            let shorter = (policy.max_age.as_secs_f64() / age.as_secs_f64().max(0.001)).min(1.0);
            return bounded(rows as f64 * shorter * AFTER_TIME);
        }
        Some(lesson) if (lesson.byte_count as f64) < 0.5 * wanted => lesson.rows as f64 * 1.5,
        Some(lesson) if lesson.byte_count as f64 > 1.5 * wanted => lesson.rows as f64 / 2.0,
        _ => wanted * rows_per_byte,
    };
    bounded(vary(next, policy.variance_fraction, chance))
}

/// Partitions that fill alike do not all seal at once.
fn vary(rows: f64, fraction: f64, chance: &mut Chance) -> f64 {
    if fraction > 0.0 { rows * (1.0 + fraction * (2.0 * chance.unit() - 1.0)) } else { rows }
}

fn bounded(rows: f64) -> u64 {
    (rows.round() as u64).clamp(LEAST_LEARNT_ROWS, MOST_ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;
    const HOUR: Duration = Duration::from_secs(3600);
    const BY_SIZE: RowsThreshold = RowsThreshold::BySize { segment_bytes: 100 * MB, initial_rows: 100_000 };

    fn policy(rows: RowsThreshold) -> FlushPolicy {
        FlushPolicy { rows, max_age: HOUR, variance_fraction: 0.0 }
    }

    fn last(rows: u64, byte_count: u64, reason: SealReason) -> LastSegment {
        LastSegment { rows, byte_count, column_bytes: None, rows_limit: 100_000, reason }
    }

    fn limit_after(policy: &FlushPolicy, memory: &FlushMemory, last: &LastSegment) -> u64 {
        next_rows(policy, &learn(policy, memory, last), 1, &mut Chance::seeded(1))
    }

    #[test]
    fn before_anything_was_learnt() {
        let mut chance = Chance::seeded(1);
        for (rows, partitions, expected) in [
            (RowsThreshold::PerSegment(7), 3, 7),
            (RowsThreshold::PerSegment(u64::MAX), 1, MOST_ROWS),
            (RowsThreshold::PerNode(9), 3, 3),
            (RowsThreshold::PerNode(1), 3, 1),
            (RowsThreshold::PerNode(9), 0, 9),
            (BY_SIZE, 3, 100_000),
            (RowsThreshold::BySize { segment_bytes: MB, initial_rows: 50 }, 3, 50),
        ] {
            let limit = next_rows(&policy(rows), &FlushMemory::default(), partitions, &mut chance);
            assert_eq!(limit, expected, "{rows:?} over {partitions}");
        }
    }

    #[test]
    fn sizes_teach_the_limit() {
        for (segment, expected) in [
            (last(100_000, 10 * MB, SealReason::Size), 150_000),
            (last(100_000, 200 * MB, SealReason::Size), 50_000),
            (last(100_000, 80 * MB, SealReason::Size), 125_000),
            (last(100_000, 125 * MB, SealReason::Size), 80_000),
            (last(50_000, 40 * MB, SealReason::Time), 55_000),
            (last(100_000, 40 * MB, SealReason::Time), 150_000),
            (last(50_000, 160 * MB, SealReason::Time), 25_000),
            (last(9_000, 200 * MB, SealReason::Size), LEAST_LEARNT_ROWS),
            (last(1000, MB, SealReason::Memory), 100_000),
        ] {
            assert_eq!(limit_after(&policy(BY_SIZE), &FlushMemory::default(), &segment), expected, "{segment:?}");
        }
    }

    #[test]
    fn what_ended_by_chance_teaches_nothing() {
        let policy = policy(BY_SIZE);
        let memory = learn(&policy, &FlushMemory::default(), &last(100_000, 80 * MB, SealReason::Size));
        for segment in [
            last(10, 80 * MB, SealReason::Forced),
            last(10, 80 * MB, SealReason::Settings),
            last(10, 80 * MB, SealReason::StreamGap),
            last(10, 80 * MB, SealReason::EndOfPartition),
            last(0, 80 * MB, SealReason::Time),
            last(10, 0, SealReason::Time),
        ] {
            assert_eq!(learn(&policy, &memory, &segment), memory, "{segment:?}");
        }
        // Where nothing else is known, the last limit stays.
        let forced = LastSegment { rows_limit: 77, ..last(10, MB, SealReason::Forced) };
        assert_eq!(limit_after(&policy, &FlushMemory::default(), &forced), 77);
    }

    #[test]
    fn the_average_is_slow_and_the_age_counts() {
        let policy = policy(BY_SIZE);
        let first = learn(&policy, &FlushMemory::default(), &last(100_000, 100 * MB, SealReason::Size));
        let second = learn(&policy, &first, &last(200_000, 100 * MB, SealReason::Size));
        assert_eq!(next_rows(&policy, &second, 1, &mut Chance::seeded(1)), 110_000);
        let by_age = learn(&policy, &FlushMemory::default(), &last(80_000, 40 * MB, SealReason::Time));
        let shorter = FlushPolicy { max_age: HOUR / 2, ..policy };
        assert_eq!(next_rows(&shorter, &by_age, 1, &mut Chance::seeded(1)), 44_000);
        let longer = FlushPolicy { max_age: HOUR * 2, ..policy };
        assert_eq!(next_rows(&longer, &by_age, 1, &mut Chance::seeded(1)), 88_000);
    }

    #[test]
    fn variance_stays_in_its_bounds_and_does_vary() {
        let policy = FlushPolicy { variance_fraction: 0.2, ..policy(BY_SIZE) };
        let memory = learn(&policy, &FlushMemory::default(), &last(100_000, 100 * MB, SealReason::Size));
        let mut chance = Chance::seeded(7);
        let limits: Vec<u64> = (0..1000).map(|_| next_rows(&policy, &memory, 1, &mut chance)).collect();
        let (least, most) = (limits.iter().min().unwrap(), limits.iter().max().unwrap());
        assert!(*least >= 80_000 && *most <= 120_000, "{least} to {most}");
        assert!(*least < 85_000 && *most > 115_000, "{least} to {most}");
    }

    #[test]
    fn the_share_of_files_in_columns_is_learnt_and_predicts() {
        let policy = policy(BY_SIZE);
        let mut chance = Chance::seeded(1);
        let first = next_limits(&policy, &FlushMemory::default(), 1, &mut chance);
        assert_eq!((first, first.predict(1000)), (Limits { rows: 100_000, file_permille: None }, None));
        let sized =
            |byte_count| LastSegment { column_bytes: Some(100 * MB), ..last(100_000, byte_count, SealReason::Size) };
        let memory = learn(&policy, &FlushMemory::default(), &sized(40 * MB));
        let limits = next_limits(&policy, &memory, 1, &mut chance);
        assert_eq!((limits.file_permille, limits.predict(10 * MB)), (Some(400), Some(4 * MB)));
        let memory = learn(&policy, &memory, &sized(50 * MB));
        assert_eq!(next_limits(&policy, &memory, 1, &mut chance).file_permille, Some(410));
        // What ended by request teaches nothing, and what is not known changes nothing.
        let forced = LastSegment { reason: SealReason::Forced, ..sized(90 * MB) };
        assert_eq!(learn(&policy, &memory, &forced).file_share, memory.file_share);
        assert_eq!(learn(&policy, &memory, &last(1, MB, SealReason::Size)).file_share, memory.file_share);
    }

    #[test]
    fn columns_decide_where_their_file_is_predicted_and_rows_only_far_beyond() {
        let limits = Limits { rows: 100, file_permille: Some(500) };
        for (rows, predicted, full) in [
            (99, None, false),
            (100, None, true),
            (10, Some(1000), true),
            (100, Some(999), false),
            (200, Some(999), true),
        ] {
            assert_eq!(limits.is_full_by_size(rows, predicted, 1000), full, "{rows} rows, {predicted:?}");
        }
        let most = Limits { rows: MOST_ROWS, file_permille: Some(1) };
        assert!(most.is_full_by_size(MOST_ROWS, Some(1), u64::MAX));
        assert_eq!(Limits { rows: 1, file_permille: Some(1_000_000) }.predict(u64::MAX), Some(u64::MAX));
    }
}
