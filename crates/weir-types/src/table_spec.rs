//! What a table should be, validated. Pinot's JSON spelling of it is known in `weir-control` only.

use crate::{
    names::{ColumnName, TableKind, TableName, TopicName},
    schema::DataType,
    secret,
};
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

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
#[derive(Clone, PartialEq)]
pub struct StreamSpec {
    /// `kafka`, `local`, `memory`: a name in the registry of `weir-streams`.
    pub stream_type: Arc<str>,
    /// The topic.
    pub topic: TopicName,
    /// Where partitions that are there when the table is made start; later ones start at the oldest message.
    pub start_at: StartAt,
    /// The offsets where single ones of those start, by their number: they take the place of `start_at`.
    pub start_offsets: BTreeMap<u32, crate::offset::NextOffset>,
    /// Name in the registry of `weir-formats`, such as `json`.
    pub decoder: Arc<str>,
    /// `decoder.prop.*`, without the prefix.
    pub decoder_settings: BTreeMap<String, String>,
    /// What the stream's member reads: for Kafka the client's settings under the client's names; for `local`
    /// `partitions`. Values may be secrets or refer to some (`crate::secret`): `Debug` does not show those.
    pub settings: BTreeMap<String, String>,
    /// Fetch time-out.
    pub fetch_timeout: Duration,
    /// The only partitions that are read, ascending; all where there is none.
    pub only_partitions: Option<Vec<u32>>,
    /// When a backlog is passed over.
    pub auto_reset: Option<AutoReset>,
    /// How fast messages may be taken.
    pub rate_limit: Option<RateLimit>,
}

/// How many messages a second may be taken; a finite number above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RateLimit {
    /// By all partitions of the topic together, each its part.
    PerTopic(f64),
    /// By each partition.
    PerPartition(f64),
}

impl RateLimit {
    /// Messages a second that one of `partitions` partitions of the topic may take.
    #[must_use]
    pub fn of_one(self, partitions: u32) -> f64 {
        match self {
            Self::PerTopic(rate) => rate / f64::from(partitions.max(1)),
            Self::PerPartition(rate) => rate,
        }
    }
}

/// What a node takes a second at most, from all streams together; a finite number above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NodeLimit {
    /// Messages.
    Messages(f64),
    /// Bytes of their values.
    Bytes(f64),
}

impl NodeLimit {
    /// The number.
    #[must_use]
    pub fn per_second(self) -> f64 {
        match self {
            Self::Messages(rate) | Self::Bytes(rate) => rate,
        }
    }
}

impl fmt::Debug for StreamSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = |settings: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            settings.iter().map(|(key, value)| (key.clone(), secret::shown(key, value))).collect()
        };
        f.debug_struct("StreamSpec")
            .field("stream_type", &self.stream_type)
            .field("topic", &self.topic)
            .field("start_at", &self.start_at)
            .field("start_offsets", &self.start_offsets)
            .field("decoder", &self.decoder)
            .field("decoder_settings", &seen(&self.decoder_settings))
            .field("settings", &seen(&self.settings))
            .field("fetch_timeout", &self.fetch_timeout)
            .field("only_partitions", &self.only_partitions)
            .field("auto_reset", &self.auto_reset)
            .field("rate_limit", &self.rate_limit)
            .finish()
    }
}

/// A partition whose backlog is larger than this at the start of a segment goes on at the end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AutoReset {
    /// Offsets between the next one to read and the end.
    pub offsets: Option<u64>,
    /// How far the newest visible message is behind the wall clock.
    pub age: Option<Duration>,
}

/// Every topic whose whole name matches is a stream of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicPattern {
    /// A regular expression over whole names.
    pub pattern: Arc<str>,
    /// What each of them is like but for its topic.
    like: StreamSpec,
}

impl TopicPattern {
    /// Topics that match are read as `like` says; its own topic means nothing.
    #[must_use]
    pub fn new(pattern: impl Into<Arc<str>>, like: StreamSpec) -> Self {
        Self { pattern: pattern.into(), like }
    }

    /// The stream of a topic that matches.
    #[must_use]
    pub fn stream(&self, topic: TopicName) -> StreamSpec {
        StreamSpec { topic, ..self.like.clone() }
    }

    /// The type of its streams.
    #[must_use]
    pub fn stream_type(&self) -> &str {
        &self.like.stream_type
    }

    /// Where its topics are looked for: a stream of some topic, whose brokers are asked.
    #[must_use]
    pub fn asked(&self) -> &StreamSpec {
        &self.like
    }
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
    /// Kept as in quarantine, up to a rate; the partition stops in front of the first beyond it.
    HaltAbove {
        /// Rejects within a minute of reading that still pass, per partition.
        per_minute: u64,
    },
}

/// How much of what was rejected is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuarantineSpec {
    /// For how long.
    pub max_age: Duration,
    /// Bytes of the table's quarantine file on a node.
    pub max_bytes: u64,
}

impl Default for QuarantineSpec {
    /// A week has one working day in it at least; 256 MiB are a hundred thousand records of a kilobyte, twice.
    fn default() -> Self {
        Self { max_age: Duration::from_secs(7 * 24 * 60 * 60), max_bytes: 256 << 20 }
    }
}

/// How long a table's rows are kept, and their objects after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionSpec {
    /// A segment whose newest row is older than this is removed; `None` keeps all of them.
    pub keep: Option<Duration>,
    /// The object of a segment that was removed stays in the deep store for this long.
    pub objects_kept: Duration,
}

impl Default for RetentionSpec {
    /// Pinot keeps what it deleted for a week.
    fn default() -> Self {
        Self { keep: None, objects_kept: Duration::from_secs(7 * 24 * 60 * 60) }
    }
}

/// Kinds of index a sealed column may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IndexKind {
    /// Rows per value.
    Inverted,
    /// Rows per range of values.
    Range,
}

/// How nested records are made flat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComplexTypeSpec {
    /// Arrays whose elements become rows, by their flat names.
    pub unnest: Vec<Arc<str>>,
    /// Stands between the parts of a flat name.
    pub delimiter: Arc<str>,
    /// What becomes of other arrays.
    pub not_unnested: NotUnnested,
    /// Beginnings of names, and what stands in their place.
    pub renames: Vec<(Arc<str>, Arc<str>)>,
}

/// What becomes of an array that is not unnested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotUnnested {
    /// It stays an array.
    Stay,
    /// JSON text where its first element is an array or object.
    NestedToJson,
    /// JSON text.
    ToJson,
}

/// A column that is derived from the fields of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransformSpec {
    /// The column, or a name that other expressions read.
    pub column: ColumnName,
    /// The expression.
    pub function: Arc<str>,
}

/// A field of a record that is brought to a type before anything reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceType {
    /// The field.
    pub field: ColumnName,
    /// What it becomes.
    pub data_type: DataType,
}

/// What is done to the fields of a record, whatever it brings: types first, then enrichers in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preparation {
    /// Fields that are brought to a type.
    pub types: Vec<SourceType>,
    /// Fields that are worked out.
    pub enrichments: Vec<TransformSpec>,
}

impl Preparation {
    /// Whether nothing is done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.types.is_empty() && self.enrichments.is_empty()
    }
}

/// Fields that the schema does not name are gathered: in one column, and as texts to be searched in another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConformingSpec {
    /// The column of fields that may be searched, where they are kept.
    pub rest: Option<ColumnName>,
    /// The column of fields that are not to be searched, where they are kept.
    pub unindexed_rest: Option<ColumnName>,
    /// How the names of those end.
    pub unindexed_suffix: Arc<str>,
    /// Paths that are left out.
    pub dropped: Vec<Arc<str>>,
    /// Paths that become the column of their name as they are, whatever is below them.
    pub whole: Vec<Arc<str>>,
    /// Paths likewise, whose fields are searched besides.
    pub whole_and_searched: Vec<Arc<str>>,
    /// Paths that are searched only.
    pub searched_only: Vec<Arc<str>>,
    /// Paths of columns that stand among the rest besides.
    pub doubled: Vec<Arc<str>>,
    /// Columns whose path is not their name.
    pub paths: Vec<(ColumnName, Arc<str>)>,
    /// The texts to be searched, where the schema has a column for them.
    pub text: Option<MergedTextSpec>,
}

/// How fields become texts to be searched, one for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedTextSpec {
    /// Their column.
    pub column: ColumnName,
    /// The value comes before the name.
    pub value_first: bool,
    /// Stands between the two.
    pub separator: Arc<str>,
    /// Stands before and after each text.
    pub anchors: (Arc<str>, Arc<str>),
    /// Each stands there in small letters besides.
    pub lower_too: bool,
    /// Bytes of a text; its value is cut.
    pub longest: usize,
    /// Values of so many bytes that may be Base64 are left out.
    pub binary_from: usize,
    /// Paths that are left out.
    pub without: Vec<Arc<str>>,
    /// Beginnings of paths that are left out.
    pub without_prefixes: Vec<Arc<str>>,
}

/// What is made of a record between decoding and types; by default nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expressions {
    /// What is done before records are made flat.
    pub before: Preparation,
    /// How nested records are made flat, where they are.
    pub complex_type: Option<ComplexTypeSpec>,
    /// What is done after that.
    pub after: Preparation,
    /// Columns that are derived from the fields of a record.
    pub transforms: Vec<TransformSpec>,
    /// Rows for which this expression is true are dropped.
    pub filter: Option<Arc<str>>,
    /// What becomes of fields that the schema does not name, where they are not left out.
    pub conforming: Option<ConformingSpec>,
}

impl Expressions {
    /// Whether nothing is made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is known of an expression before it is evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExpressionFacts {
    /// The fields that it reads.
    pub fields: Vec<String>,
    /// What it gives where that is never true or false: its type, for people.
    pub never_a_truth: Option<String>,
}

/// Which of a table's rows belong to a partition of its stream, by a column: others are dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionedBy {
    /// The column, one of a single value.
    pub column: ColumnName,
    /// How its values become partitions.
    pub function: PartitionFunction,
    /// How many there are.
    pub partitions: u32,
}

/// How values become partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionFunction {
    /// The remainder of a whole number.
    Modulo,
    /// Kafka's own hash of the text.
    Murmur,
    /// Java's hash of the text.
    HashCode,
    /// Java's hash of the text's bytes.
    ByteArray,
    /// MurmurHash 3 of the text.
    Murmur3 {
        /// Where it begins.
        seed: i32,
        /// It is the one for 64-bit machines that Debezium partitions by, else the usual one of 32 bits.
        x64: bool,
    },
    /// The position of the text among these, from 1, whatever the case; 0 for all others.
    BoundedColumnValue(Vec<String>),
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
    /// Its streams by name. A stream's place in the list means nothing.
    pub streams: Vec<StreamSpec>,
    /// Its streams by pattern.
    pub patterns: Vec<TopicPattern>,
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
    /// What is made of a record between decoding and types.
    pub expressions: Expressions,
    /// Rows that belong to another partition than the one they come from are dropped.
    pub partitioned_by: Option<PartitionedBy>,
    /// What happens with rejects.
    pub error_policy: ErrorPolicy,
    /// How much of them is kept.
    pub quarantine: QuarantineSpec,
    /// How long rows are kept.
    pub retention: RetentionSpec,
    /// A partition that lags by more than this is LAGGING.
    pub lagging_after: Duration,
}
