//! What a partition is doing and why: one value, replaced per batch, read by REST, SQL and the command line.

use parking_lot::Mutex;
use std::{fmt, sync::Arc};
use weir_types::{Accounting, NextOffset, StreamPartition, TableName};

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
    /// The end of the log as the stream last said.
    pub high_watermark: Option<NextOffset>,
    /// The oldest offset the stream holds, as it last said.
    pub low_watermark: Option<NextOffset>,
    /// How far the newest visible message is behind the wall clock; zero at the end of the log.
    pub lag_ms: u64,
    /// Offsets gone back on the record: `next - start + rewound = fetched + gaps + skipped` for a dense log.
    pub rewound: u64,
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
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// The offset it concerned.
    pub last_error_offset: Option<NextOffset>,
}

impl PartitionStatus {
    /// Offsets between the newest visible message and the end of the log.
    #[must_use]
    pub fn lag_offsets(&self) -> Option<u64> {
        self.high_watermark.map(|high| high.since(self.next))
    }
}

/// The one place where a partition's status stands.
#[derive(Clone)]
pub struct StatusCell(Arc<Mutex<PartitionStatus>>);

impl StatusCell {
    /// A cell with a first status.
    #[must_use]
    pub fn new(status: PartitionStatus) -> Self {
        Self(Arc::new(Mutex::new(status)))
    }

    /// A copy of the status.
    #[must_use]
    pub fn get(&self) -> PartitionStatus {
        self.0.lock().clone()
    }

    /// Changes it.
    pub fn change(&self, change: impl FnOnce(&mut PartitionStatus)) {
        change(&mut self.0.lock());
    }

    /// Changes the state alone and logs the change, once per state.
    pub fn enter(&self, state: PartitionState) {
        let mut status = self.0.lock();
        if status.state != state {
            let (table, partition) = (status.table.as_str(), status.partition.to_string());
            tracing::info!(table, partition, state = %state, offset = %status.next, "partition state changed");
            status.state = state;
        }
    }
}
