//! What a table should be, validated. Pinot's JSON spelling of it is known in `weir-control` only.

use crate::names::{ColumnName, TableKind, TableName, TopicName};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Where a partition that was never read starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartAt {
    /// The oldest message that the stream still holds.
    Earliest,
    /// The end of the log.
    Latest,
    /// The first message at or after now minus this.
    Ago(Duration),
    /// The first message at or after this, milliseconds since the epoch.
    TimestampMs(i64),
    /// Exactly here.
    Offset(crate::offset::NextOffset),
}

/// One stream of a table: its type, topic and settings, all validated.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamSpec {
    /// `kafka`, `local`, `memory`: a name in the registry of `weir-streams`.
    pub stream_type: Arc<str>,
    /// The topic.
    pub topic: TopicName,
    /// Where partitions that are there when the table is made start; later ones start at the oldest message.
    pub start_at: StartAt,
    /// Name in the registry of `weir-formats`, such as `json`.
    pub decoder: Arc<str>,
    /// `decoder.prop.*`, without the prefix.
    pub decoder_settings: BTreeMap<String, String>,
    /// What the stream's member reads: for Kafka the client's settings under the client's names; for `local`
    /// `partitions`. Values may be secrets: `Debug` of this map is never logged.
    pub settings: BTreeMap<String, String>,
    /// Fetch time-out.
    pub fetch_timeout: Duration,
}

/// How many rows a segment may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsThreshold {
    /// Rows summed over the partitions that this node hosts.
    PerNode(u64),
    /// Rows of one segment.
    PerSegment(u64),
    /// Rows so that the built segment has about this many bytes, learnt from the segments before.
    BySize {
        /// Wanted size of a built segment.
        segment_bytes: u64,
        /// Rows of the first segment, before anything is learnt.
        initial_rows: u64,
    },
}

/// When a consuming segment is sealed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlushPolicy {
    /// By rows.
    pub rows: RowsThreshold,
    /// By age.
    pub max_age: Duration,
    /// Random +- on a size-based threshold, in [0, 0.5).
    pub variance_fraction: f64,
}

/// What happens with a record that cannot be read or typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorPolicy {
    /// Kept with its bytes, offset and reason; consumption goes on.
    Quarantine,
    /// Counted; consumption goes on.
    Drop,
    /// The partition stops in front of it.
    Halt,
}

/// Kinds of index a sealed column may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IndexKind {
    /// Rows per value.
    Inverted,
    /// Rows per range of values.
    Range,
}

/// How a column is stored and indexed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldIndexes {
    /// Store values, not dictionary ids.
    pub no_dictionary: bool,
    /// Indexes to build when the segment is sealed.
    pub inverted: bool,
    /// Rows per range of values.
    pub range: bool,
}

/// A validated table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSpec {
    /// Its raw name.
    pub name: TableName,
    /// What feeds it.
    pub kind: TableKind,
    /// The schema's time column for pruning and retention.
    pub time_column: Option<ColumnName>,
    /// Wanted copies.
    pub replication: u32,
    /// Its streams; a stream's position gives Pinot's partition number, never identity.
    pub streams: Vec<StreamSpec>,
    /// When segments are sealed.
    pub flush: FlushPolicy,
    /// Rows of a sealed segment are ordered by this column.
    pub sorted_column: Option<ColumnName>,
    /// Storage and indexes of the columns that have any.
    pub indexes: BTreeMap<ColumnName, FieldIndexes>,
    /// Nulls are kept as such (`IS NULL` works).
    pub null_handling: bool,
    /// Rows whose time lies outside 1971..2071 are rejected.
    pub row_time_check: bool,
    /// What cannot be typed becomes null instead of a reject.
    pub continue_on_error: bool,
    /// What happens with rejects.
    pub error_policy: ErrorPolicy,
    /// A partition that lags by more than this is LAGGING.
    pub lagging_after: Duration,
}
