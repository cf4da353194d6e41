//! What a partition is doing and why: one value, replaced per batch, read by REST, SQL and the command line.

use crate::rate::Rate;
use parking_lot::Mutex;
use std::{fmt, sync::Arc, time::Duration};
use weir_base::SharedClock;
use weir_types::{Accounting, NextOffset, OffsetRange, StreamPartition, TableName};

/// A lag that was measured within this is told as it was: pipelines without work measure it twice in this time.
const MEASURED_LATELY_MS: u64 = 400;

/// What a partition is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionState {
    /// Being set up.
    Starting,
    /// Reading again what was visible before; answers lack it until the target is reached.
    Recovering(NextOffset),
    /// Reading at the end of the log, or near it.
    Consuming,
    /// Further behind than the table's limit.
    Lagging,
    /// Waiting before it tries again.
    Retrying(String),
    /// Stopped by policy; somebody has to act.
    Halted(String),
    /// Stopped by request.
    Paused(String),
    /// The stream no longer has it; its rows stay.
    Gone(String),
    /// The topic was made anew; its rows stay, new ones are not read until somebody says from where.
    Recreated(String),
}

impl PartitionState {
    /// The state's word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting => "STARTING",
            Self::Recovering(_) => "RECOVERING",
            Self::Consuming => "CONSUMING",
            Self::Lagging => "LAGGING",
            Self::Retrying(_) => "RETRYING",
            Self::Halted(_) => "HALTED",
            Self::Paused(_) => "PAUSED",
            Self::Gone(_) => "GONE",
            Self::Recreated(_) => "RECREATED",
        }
    }

    /// Why, where there is something to say.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Starting | Self::Consuming | Self::Lagging => String::new(),
            Self::Recovering(target) => format!("target offset {target}"),
            Self::Retrying(reason)
            | Self::Halted(reason)
            | Self::Paused(reason)
            | Self::Gone(reason)
            | Self::Recreated(reason) => reason.clone(),
        }
    }
}

impl fmt::Display for PartitionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason().as_str() {
            "" => f.write_str(self.word()),
            reason => write!(f, "{}({reason})", self.word()),
        }
    }
}

/// Everything that is said about a partition.
#[derive(Debug, Clone)]
pub struct PartitionStatus {
    /// Its table.
    pub table: TableName,
    /// Its identity.
    pub partition: StreamPartition,
    /// Pinot's partition number.
    pub partition_group: u32,
    /// What it is doing.
    pub state: PartitionState,
    /// Where its first segment started.
    pub start: NextOffset,
    /// Up to where its rows are visible.
    pub next: NextOffset,
    /// What was read before it is known to come from the topic whose identity is on the record.
    pub confirmed: NextOffset,
    /// That identity, where the stream tells one.
    pub topic_id: Option<Arc<str>>,
    /// The end of the log as the stream last said.
    pub high_watermark: Option<NextOffset>,
    /// The oldest offset the stream holds, as it last said.
    pub low_watermark: Option<NextOffset>,
    /// How far the newest visible message is behind the wall clock; zero at the end of the log.
    pub lag_ms: u64,
    /// When that was measured, wall time in milliseconds.
    pub lag_measured_ms: i64,
    /// Offsets gone back on the record: `next - start + rewound = fetched + gaps + skipped` for a dense log.
    pub rewound: u64,
    /// Whether offsets follow one another, so that their difference is a number of messages.
    pub dense: bool,
    /// Counts since `start`.
    pub accounting: Accounting,
    /// Name of the open segment.
    pub open_segment: Option<Arc<str>>,
    /// Its rows.
    pub open_rows: u64,
    /// Its bytes in memory.
    pub open_bytes: u64,
    /// The rows at which it is sealed.
    pub open_rows_limit: u64,
    /// Wall time (milliseconds) at which it is sealed by age.
    pub open_seal_at_ms: i64,
    /// When a message was last consumed, wall time in milliseconds; 0 where none was.
    pub last_consumed_ms: i64,
    /// When this was asked, wall time in milliseconds.
    pub told_at_ms: i64,
    /// How fast messages come.
    pub rate: Rate,
    /// Messages a second that it may take, where its table's settings limit that.
    pub rate_limit: Option<f64>,
    /// What of its counts and offsets does not hold, where something does not: see [`Self::unbalanced`].
    pub unexplained: Option<String>,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// When, wall time in milliseconds.
    pub last_error_ms: i64,
    /// The offset it concerned.
    pub last_error_offset: Option<NextOffset>,
}

impl PartitionStatus {
    /// A partition whose next offset is `next`, of which nothing was heard or counted yet.
    #[must_use]
    pub fn new(
        table: TableName,
        partition: StreamPartition,
        partition_group: u32,
        state: PartitionState,
        next: NextOffset,
        now_ms: i64,
    ) -> Self {
        Self {
            table,
            partition,
            partition_group,
            state,
            start: NextOffset::ZERO,
            next,
            confirmed: next,
            topic_id: None,
            high_watermark: None,
            low_watermark: None,
            lag_ms: 0,
            lag_measured_ms: now_ms,
            rewound: 0,
            dense: true,
            accounting: Accounting::default(),
            open_segment: None,
            open_rows: 0,
            open_bytes: 0,
            open_rows_limit: 0,
            open_seal_at_ms: 0,
            last_consumed_ms: 0,
            told_at_ms: now_ms,
            rate: Rate::default(),
            rate_limit: None,
            unexplained: None,
            last_error: None,
            last_error_ms: 0,
            last_error_offset: None,
        }
    }

    /// Of a topic that was made anew and goes to `high`: offsets that may have been read already, before it was known. One
    /// that has not what was read last was not read from: whoever begins to read it goes on in it.
    #[must_use]
    pub(crate) fn in_doubt(&self, high: NextOffset) -> Option<OffsetRange> {
        let range = OffsetRange::try_new(self.confirmed, self.next).ok()?;
        (high >= self.next && !range.is_empty()).then_some(range)
    }

    /// Offsets between the newest visible message and the end of the log. Where most offsets are no message's, only what
    /// stands at the end of the log is known.
    #[must_use]
    pub fn lag_offsets(&self) -> Option<u64> {
        if let (PartitionState::Recreated(_), true) = (&self.state, self.dense) {
            // What was read lay in another log: of this one all is unread.
            return Some(self.high_watermark?.since(self.low_watermark?));
        }
        let behind = self.high_watermark?.since(self.next);
        (self.dense || behind == 0).then_some(behind)
    }

    /// The status as it is now: since the lag was measured it has grown with the time, where a partition cannot read, or is at
    /// work on what it read. One that says neither that it is at the end of the log nor anything else for longer than
    /// `limit` is LAGGING: what came meanwhile is not visible.
    pub(crate) fn grow_lag(&mut self, now_ms: i64, limit: Duration) {
        let since = u64::try_from(now_ms.saturating_sub(self.lag_measured_ms)).unwrap_or(0);
        match self.state {
            PartitionState::Retrying(_) | PartitionState::Halted(_) | PartitionState::Recreated(_) => {
                self.lag_ms = self.lag_ms.saturating_add(since);
            }
            PartitionState::Consuming | PartitionState::Lagging if since > MEASURED_LATELY_MS => {
                self.lag_ms = self.lag_ms.saturating_add(since);
                if Duration::from_millis(self.lag_ms) > limit {
                    self.state = PartitionState::Lagging;
                }
            }
            _ => {}
        }
    }
}

/// Says the state of a partition at most once in this time while it goes to and fro, so that a partition at its lag
/// limit, or with a broker that tells another reason each time, does not fill the log.
const SAY_EVERY_MS: i64 = 1000;

/// What was said of a partition's states in the log.
#[derive(Debug, Default)]
struct Said {
    at_ms: Option<i64>,
    suppressed: u64,
}

impl Said {
    /// How many changes were passed over since the last line, where this one is to be said.
    fn ask(&mut self, state: &PartitionState, now_ms: i64) -> Option<u64> {
        // A partition that stands still stays so: that is said in any case.
        let goes_on = matches!(
            state,
            PartitionState::Starting
                | PartitionState::Recovering(_)
                | PartitionState::Consuming
                | PartitionState::Lagging
                | PartitionState::Retrying(_)
        );
        // A clock that was set back must not silence anything.
        let lately = self.at_ms.is_some_and(|at_ms| (at_ms..at_ms + SAY_EVERY_MS).contains(&now_ms));
        if goes_on && lately {
            self.suppressed += 1;
            return None;
        }
        self.at_ms = Some(now_ms);
        Some(std::mem::take(&mut self.suppressed))
    }
}

struct Cell {
    status: Mutex<PartitionStatus>,
    said: Mutex<Said>,
    clock: SharedClock,
}

/// The one place where a partition's status stands.
#[derive(Clone)]
pub struct StatusCell(Arc<Cell>);

impl StatusCell {
    /// A cell with a first status.
    #[must_use]
    pub fn new(status: PartitionStatus, clock: SharedClock) -> Self {
        Self(Arc::new(Cell { status: Mutex::new(status), said: Mutex::default(), clock }))
    }

    /// A copy of the status.
    #[must_use]
    pub fn get(&self) -> PartitionStatus {
        self.0.status.lock().clone()
    }

    /// Changes it.
    pub fn change(&self, change: impl FnOnce(&mut PartitionStatus)) {
        change(&mut self.0.status.lock());
    }

    /// Changes the state alone and logs the change, at most once a second while it goes to and fro.
    pub fn enter(&self, state: PartitionState) {
        let mut status = self.0.status.lock();
        if status.state == state {
            return;
        }
        if let Some(suppressed) = self.0.said.lock().ask(&state, self.0.clock.wall_ms()) {
            tracing::info!(
                table = status.table.as_str(),
                topic = status.partition.topic.as_str(),
                partition = status.partition.partition,
                offset = %status.next,
                %state,
                suppressed,
                "partition state changed"
            );
        }
        status.state = state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_types::TopicName;

    fn status(state: PartitionState, lag_ms: u64) -> PartitionStatus {
        let partition = StreamPartition { topic: TopicName::parse("t").unwrap(), partition: 0 };
        let table = TableName::parse("t").unwrap();
        PartitionStatus { lag_ms, ..PartitionStatus::new(table, partition, 0, state, NextOffset::ZERO, 1000) }
    }

    #[test]
    fn a_partition_that_says_nothing_for_long_is_behind() {
        let told = |state: PartitionState, lag_ms, now_ms| {
            let mut status = status(state, lag_ms);
            status.grow_lag(now_ms, Duration::from_millis(500));
            (status.state.word(), status.lag_ms)
        };
        let consuming = || PartitionState::Consuming;
        assert_eq!(told(consuming(), 0, 1300), ("CONSUMING", 0), "measured a moment ago");
        assert_eq!(told(consuming(), 0, 1450), ("CONSUMING", 450));
        assert_eq!(told(consuming(), 0, 1501), ("LAGGING", 501));
        assert_eq!(told(consuming(), 100, 1450), ("LAGGING", 550));
        assert_eq!(told(PartitionState::Lagging, 700, 1200), ("LAGGING", 700));
        assert_eq!(told(PartitionState::Retrying("x".into()), 5, 1200), ("RETRYING", 205));
        assert_eq!(told(PartitionState::Paused("x".into()), 5, 9000), ("PAUSED", 5), "whoever paused it knows");
        assert_eq!(told(consuming(), 0, 500), ("CONSUMING", 0), "a clock that was set back");
    }

    #[test]
    fn a_difference_of_offsets_is_a_lag_only_where_each_is_a_message() {
        let lag = |dense, next, high| {
            let mut status = PartitionStatus { dense, ..status(PartitionState::Consuming, 0) };
            (status.next, status.high_watermark) = (NextOffset::new(next), high);
            status.lag_offsets()
        };
        let high = Some(NextOffset::new(20_480));
        assert_eq!((lag(true, 4096, high), lag(true, 20_480, high), lag(true, 0, None)), (Some(16_384), Some(0), None));
        assert_eq!((lag(false, 4096, high), lag(false, 20_480, high), lag(false, 0, None)), (None, Some(0), None));
    }

    #[test]
    fn states_that_go_to_and_fro_are_said_once_a_second() {
        let mut said = Said::default();
        assert_eq!(said.ask(&PartitionState::Consuming, 1000), Some(0));
        for ms in [1000, 1500, 1999] {
            assert_eq!(said.ask(&PartitionState::Lagging, ms), None);
        }
        assert_eq!(said.ask(&PartitionState::Consuming, 2000), Some(3));
        assert_eq!(said.ask(&PartitionState::Retrying("x".into()), 2001), None);
        assert_eq!(said.ask(&PartitionState::Halted("y".into()), 2002), Some(1), "who stands still says so");
        assert_eq!(said.ask(&PartitionState::Consuming, 500), Some(0), "a clock that was set back silences nothing");
    }
}
