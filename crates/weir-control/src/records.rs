//! What the catalog remembers: tables, segments in their three states, and the rule that ranges follow one another.
//!
//! A segment is `Consuming` and knows where it starts; `Committing` with its range fixed, while its successor is being
//! read; or `Done` with its artifact. No field is set only in some state.

use crate::{
    flush::Limits,
    history::{Move, led},
    retention::RemovedRun,
    topics::{PartPause, Retired},
};
use serde_json::Value as Json;
use std::{collections::BTreeMap, sync::Arc};
use weir_types::{
    Accounting, ColumnName, NextOffset, OffsetRange, RangeError, Schema, SchemaVersion, SegmentName, StreamPartition,
    TableSpec, TopicName,
};

/// A table that somebody asks for, validated.
#[derive(Debug, Clone)]
pub struct NewTable {
    /// What it should be.
    pub spec: Arc<TableSpec>,
    /// Its columns.
    pub schema: Arc<Schema>,
    /// Pinot's JSON of the config, normalised: what is stored and shown.
    pub config_json: Json,
    /// Pinot's JSON of the schema.
    pub schema_json: Json,
    /// Keys that we do not know, JSON pointer to value.
    pub unrecognized: BTreeMap<String, Json>,
    /// Keys that are accepted and have no effect yet.
    pub not_yet_effective: Vec<String>,
    /// Topics that its patterns found.
    pub topics: Vec<TopicName>,
}

impl NewTable {
    /// From a parsed config and schema.
    #[must_use]
    pub fn from_parsed(table: crate::spec::ParsedTable, schema: crate::spec::ParsedSchema) -> Self {
        Self {
            spec: Arc::new(table.spec),
            schema: Arc::new(schema.schema),
            config_json: table.json,
            schema_json: schema.json,
            unrecognized: table.unrecognized,
            not_yet_effective: table.not_yet_effective,
            topics: vec![],
        }
    }

    /// The topics that it reads as far as they are known: those it names, then those that were found.
    pub fn reads(&self) -> impl Iterator<Item = &TopicName> {
        self.spec.streams.iter().map(|stream| &stream.topic).chain(&self.topics)
    }

    /// The record it would become, with no uid: to try what it asks for before it is made.
    #[must_use]
    pub fn draft(&self) -> TableRecord {
        TableRecord {
            uid: 0,
            spec: self.spec.clone(),
            schema: self.schema.clone(),
            config_json: self.config_json.clone(),
            schema_json: self.schema_json.clone(),
            unrecognized: self.unrecognized.clone(),
            not_yet_effective: self.not_yet_effective.clone(),
            created_ms: 0,
            paused: None,
            part_pauses: vec![],
            topics: BTreeMap::new(),
            retired: vec![],
            version: 0,
        }
        .with_topics(self.reads())
    }
}

/// A table of the cluster.
#[derive(Debug, Clone)]
pub struct TableRecord {
    /// Its identity: a table that was dropped and made again under the same name has another. Counts from 1.
    pub uid: u64,
    /// What it should be.
    pub spec: Arc<TableSpec>,
    /// Its columns.
    pub schema: Arc<Schema>,
    /// Pinot's JSON of the config.
    pub config_json: Json,
    /// Pinot's JSON of the schema.
    pub schema_json: Json,
    /// Keys that we do not know, JSON pointer to value.
    pub unrecognized: BTreeMap<String, Json>,
    /// Keys that are accepted and have no effect yet.
    pub not_yet_effective: Vec<String>,
    /// When it was made, wall time in milliseconds since the epoch.
    pub created_ms: i64,
    /// Set while consumption of all of it is paused by request.
    pub paused: Option<PauseInfo>,
    /// Pauses of single topics and partitions.
    pub part_pauses: Vec<PartPause>,
    /// Every topic that it ever read, and Pinot's number of it.
    pub topics: BTreeMap<TopicName, u32>,
    /// Topics that it no longer reads.
    pub retired: Vec<Retired>,
    /// Version of its catalog entry.
    pub version: u64,
}

/// The reason of the pause of a table that is disabled: it is not read and not queried.
const DISABLED: &str = "DISABLED";

impl PauseInfo {
    /// The pause of a table that is disabled.
    #[must_use]
    pub fn disabling(at_ms: i64) -> Self {
        Self { reason: DISABLED.to_owned(), comment: String::new(), at_ms }
    }
}

impl TableRecord {
    /// Whether it is as `new` says, to the letter, and knows all topics that this reads.
    #[must_use]
    pub fn is_described_by(&self, new: &NewTable) -> bool {
        self.config_json == new.config_json
            && self.schema_json == new.schema_json
            && new.reads().all(|topic| self.topics.contains_key(topic))
    }

    /// Whether config and schema are those of another version of it, to the letter.
    #[must_use]
    pub fn is_set_as(&self, other: &Self) -> bool {
        self.config_json == other.config_json && self.schema_json == other.schema_json
    }

    /// Whether it is neither read nor queried, by request.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.paused.as_ref().is_some_and(|pause| pause.reason == DISABLED)
    }
}

/// Why and since when a table is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseInfo {
    /// A word: `ADMINISTRATIVE`, `DISABLED`.
    pub reason: String,
    /// What the person who paused it said.
    pub comment: String,
    /// When, wall time in milliseconds since the epoch.
    pub at_ms: i64,
}

/// A schema that stands on its own: it may have no table yet.
#[derive(Debug, Clone)]
pub struct StoredSchema {
    /// The schema.
    pub schema: Arc<Schema>,
    /// Pinot's JSON of it.
    pub json: Json,
    /// Version of its catalog entry.
    pub version: u64,
}

/// A partition that is to be consumed from `start` on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPartition {
    /// Which.
    pub partition: StreamPartition,
    /// Pinot's number for it.
    pub partition_group: u32,
    /// Where it starts.
    pub start: NextOffset,
}

/// A segment of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRecord {
    /// Its name.
    pub name: SegmentName,
    /// The table's identity.
    pub table_uid: u64,
    /// The partition that it belongs to.
    pub partition: StreamPartition,
    /// Where it stands.
    pub state: SegmentState,
    /// What it may hold.
    pub limits: Limits,
    /// When it was made, wall time in milliseconds since the epoch.
    pub created_ms: i64,
    /// The schema it is consumed with.
    pub schema_version: SchemaVersion,
    /// The instances that hold it.
    pub replicas: Vec<Arc<str>>,
    /// Version of its catalog entry.
    pub version: u64,
}

impl SegmentRecord {
    /// The consuming segment that goes on where this one ends, made at `now_ms` (wall time): it may hold as much, and is
    /// consumed with the same schema.
    #[must_use]
    pub fn successor(&self, end: NextOffset, now_ms: i64) -> Self {
        let name = &self.name;
        Self {
            name: SegmentName::new(name.table.clone(), name.partition_group, name.sequence + 1, now_ms),
            state: SegmentState::Consuming { start: end },
            created_ms: now_ms,
            ..self.clone()
        }
    }
}

/// A segment's three states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentState {
    /// Being read from here on.
    Consuming {
        /// Its first offset.
        start: NextOffset,
    },
    /// Its end is fixed (transaction A) and its successor is being read; it is being built and uploaded.
    Committing {
        /// What it covers.
        range: OffsetRange,
        /// Why and with what counts it ended.
        seal: Seal,
    },
    /// In the deep store (transaction B).
    Done {
        /// What it covers.
        range: OffsetRange,
        /// Why and with what counts it ended.
        seal: Seal,
        /// Where its file is.
        artifact: Artifact,
    },
}

impl SegmentState {
    /// Its first offset.
    #[must_use]
    pub fn start(&self) -> NextOffset {
        match self {
            Self::Consuming { start } => *start,
            Self::Committing { range, .. } | Self::Done { range, .. } => range.start(),
        }
    }

    /// What it covers, once its end is fixed.
    #[must_use]
    pub fn range(&self) -> Option<OffsetRange> {
        match self {
            Self::Consuming { .. } => None,
            Self::Committing { range, .. } | Self::Done { range, .. } => Some(*range),
        }
    }

    /// One past its last offset, once its end is fixed.
    #[must_use]
    pub fn end(&self) -> Option<NextOffset> {
        self.range().map(OffsetRange::end)
    }

    /// The state's word: `CONSUMING`, `COMMITTING` or `DONE`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Consuming { .. } => "CONSUMING",
            Self::Committing { .. } => "COMMITTING",
            Self::Done { .. } => "DONE",
        }
    }
}

/// How a segment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// Why.
    pub reason: SealReason,
    /// Its messages, counted.
    pub accounting: Accounting,
    /// When, wall time in milliseconds since the epoch.
    pub at_ms: i64,
    /// How large its columns were; `None` of segments from before that was noted, and of replayed ones.
    pub size: Option<OpenSize>,
}

/// How large an open segment was when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenSize {
    /// Bytes of its columns: ids, raw values, dictionaries' values.
    pub column_bytes: u64,
    /// Bytes that its file was predicted to have.
    pub predicted_bytes: Option<u64>,
}

/// Why a segment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SealReason {
    /// Its row limit, fixed by the config.
    Rows,
    /// Its age.
    Time,
    /// Its row limit, learnt from the size of the segments before.
    Size,
    /// Somebody asked.
    Forced,
    /// The table's settings or schema changed: what comes next is for the new ones.
    Settings,
    /// The partition ended.
    EndOfPartition,
    /// The node needed its memory.
    Memory,
    /// The stream no longer holds what comes next.
    StreamGap,
    /// Its rows were replayed from the quarantine.
    Replay,
}

impl SealReason {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Rows,
        Self::Time,
        Self::Size,
        Self::Forced,
        Self::Settings,
        Self::EndOfPartition,
        Self::Memory,
        Self::StreamGap,
        Self::Replay,
    ];

    /// The word shown to users and stored; Pinot's where it has one.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "rowLimit",
            Self::Time => "timeLimit",
            Self::Size => "sizeLimit",
            Self::Forced => "forceCommitMessageReceived",
            Self::Settings => "settingsChanged",
            Self::EndOfPartition => "endOfPartitionGroup",
            Self::Memory => "memoryLimit",
            Self::StreamGap => "streamGap",
            Self::Replay => "replay",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// A built segment file in the deep store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Where, for people.
    pub uri: String,
    /// Where, below the deep store's root.
    pub key: String,
    /// Check sum of the file.
    pub crc: u32,
    /// Its size.
    pub byte_count: u64,
    /// Its rows.
    pub rows: u64,
    /// Smallest time of its rows, milliseconds since the epoch, where the table has a time column.
    pub min_time_ms: Option<i64>,
    /// Greatest time of its rows, milliseconds since the epoch.
    pub max_time_ms: Option<i64>,
    /// The table's time column when it was built, with what it holds; where that is whole numbers.
    pub time_range: Option<TimeRange>,
    /// When it was built, wall time in milliseconds since the epoch.
    pub built_ms: i64,
    /// When it was uploaded, wall time in milliseconds since the epoch.
    pub uploaded_ms: i64,
    /// Indexes that the table asked for and that it was built without, each with its column and, where it is known, why.
    pub missing_indexes: Vec<String>,
    /// The table's [`index_settings`](crate::index_settings) that it was built with; `None` where that is not known.
    pub settings: Option<u64>,
}

/// What the time column of a built segment holds, as it is stored: a query that asks for other times need not open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeRange {
    /// The column.
    pub column: ColumnName,
    /// Its least number, defaults of null rows included.
    pub min: i64,
    /// Its greatest number.
    pub max: i64,
}

/// Records of the quarantine that became rows after all, in one catalog transaction. A record that is named here is
/// replayed, whatever else says it is in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayRecord {
    /// The table's identity.
    pub table_uid: u64,
    /// Counts the table's replays from 0.
    pub number: u64,
    /// When, wall time in milliseconds since the epoch.
    pub at_ms: i64,
    /// The schema it was made with.
    pub schema_version: SchemaVersion,
    /// One per partition and reading.
    pub parts: Vec<ReplayPart>,
}

/// What of one partition was replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayPart {
    /// The partition.
    pub partition: StreamPartition,
    /// How often the partition had been started over when they were read: an offset may come again after that.
    pub reading: u32,
    /// The messages that left the quarantine, ascending.
    pub offsets: Vec<NextOffset>,
    /// Rows altered on the way.
    pub altered: u64,
    /// Where the rows are; `None` where the messages gave none. It belongs to no chain of ranges.
    pub segment: Option<ReplaySegment>,
}

/// A segment of replayed rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplaySegment {
    /// Its name, `replay__{table}__{partition}__{time}__{number}`.
    pub name: Arc<str>,
    /// Where its file is, or was.
    pub artifact: Artifact,
    /// Its rows were too old and went, wall time in milliseconds since the epoch; what it counted stays.
    pub removed_ms: Option<i64>,
}

impl ReplayPart {
    /// The segment that still holds its rows.
    #[must_use]
    pub fn held(&self) -> Option<&ReplaySegment> {
        self.segment.as_ref().filter(|segment| segment.removed_ms.is_none())
    }
}

/// A chain of segments that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A range does not follow its predecessor's.
    #[error("segment {segment}: {source}")]
    Range {
        /// Which.
        segment: SegmentName,
        /// How.
        source: RangeError,
    },
    /// Sequence numbers are not one apart.
    #[error("segment {segment} comes after sequence {previous}: sequence numbers are one apart")]
    Sequence {
        /// Which.
        segment: SegmentName,
        /// The one before it.
        previous: u32,
    },
    /// A segment follows one whose end is not fixed.
    #[error("segment {segment} comes after one that is still consuming")]
    AfterOpen {
        /// Which.
        segment: SegmentName,
    },
    /// The records are not all of one partition.
    #[error("segment {segment} is of partition {found}, the chain is of {expected}")]
    Partition {
        /// Which.
        segment: SegmentName,
        /// The chain's.
        expected: StreamPartition,
        /// Its own.
        found: StreamPartition,
    },
}

/// Checks the records of one partition, in order: sequence numbers are one apart but for segments that were removed, each
/// range starts where its predecessor ended or where recorded moves lead from there, and only the last may still be
/// consuming. `removed` and `moves` are the partition's.
pub fn chain(records: &[SegmentRecord], removed: &[RemovedRun], moves: &[Move]) -> Result<(), ChainError> {
    let follows = |record: &SegmentRecord, end: NextOffset| {
        let (found, segment) = (record.state.start(), record.name.clone());
        match led(end, record.name.sequence, moves) {
            Ok(expected) if expected == found => Ok(()),
            Ok(expected) => Err(ChainError::Range { segment, source: RangeError::DoesNotFollow { expected, found } }),
            Err(source) => Err(ChainError::Range { segment, source }),
        }
    };
    if let Some(first) = records.first()
        && let Some(step) = moves.iter().find(|step| step.before == first.name.sequence)
    {
        follows(first, step.from)?;
    }
    if let Some(first) = records.first()
        && let Some(run) = removed.iter().find(|run| run.last.checked_add(1) == Some(first.name.sequence))
    {
        follows(first, run.end)?;
    }
    for pair in records.windows(2) {
        let [before, record] = pair else { continue };
        let segment = record.name.clone();
        if before.partition != record.partition {
            let (expected, found) = (before.partition.clone(), record.partition.clone());
            return Err(ChainError::Partition { segment, expected, found });
        }
        let Some(mut end) = before.state.end() else { return Err(ChainError::AfterOpen { segment }) };
        let mut previous = before.name.sequence;
        while let Some(run) = removed.iter().find(|run| run.first == previous + 1 && run.last < record.name.sequence) {
            let found = run.start;
            match led(end, run.first, moves) {
                Ok(expected) if expected == found => (previous, end) = (run.last, run.end),
                Ok(expected) => {
                    let source = RangeError::DoesNotFollow { expected, found };
                    return Err(ChainError::Range { segment, source });
                }
                Err(source) => return Err(ChainError::Range { segment, source }),
            }
        }
        if record.name.sequence != previous + 1 {
            return Err(ChainError::Sequence { segment, previous });
        }
        follows(record, end)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_types::{SkipReason, TableName};

    fn range(start: u64, end: u64) -> OffsetRange {
        OffsetRange::try_new(NextOffset::new(start), NextOffset::new(end)).unwrap()
    }

    fn record(sequence: u32, state: SegmentState) -> SegmentRecord {
        SegmentRecord {
            name: SegmentName::new(TableName::parse("t").unwrap(), 0, sequence, 0),
            table_uid: 1,
            partition: StreamPartition { topic: TopicName::parse("t").unwrap(), partition: 0 },
            state,
            limits: Limits::of_rows(1),
            created_ms: 0,
            schema_version: SchemaVersion(1),
            replicas: vec![],
            version: 1,
        }
    }

    fn committing(sequence: u32, start: u64, end: u64) -> SegmentRecord {
        let seal = Seal { reason: SealReason::Rows, accounting: Accounting::default(), at_ms: 0, size: None };
        record(sequence, SegmentState::Committing { range: range(start, end), seal })
    }

    fn consuming(sequence: u32, start: u64) -> SegmentRecord {
        record(sequence, SegmentState::Consuming { start: NextOffset::new(start) })
    }

    #[test]
    fn a_chain_has_no_hole_that_is_not_on_the_record() {
        let partition = consuming(0, 0).partition;
        let (from, to) = (NextOffset::new(9), NextOffset::new(12));
        let skip = Move { partition, before: 1, from, to, reason: SkipReason::Retention, at_ms: 0, passed: None };
        let back = Move { to: NextOffset::new(4), ..skip.clone() };
        assert_eq!(chain(&[committing(0, 0, 5), committing(1, 5, 9), consuming(2, 9)], &[], &[]), Ok(()));
        assert_eq!(chain(&[committing(0, 0, 9), consuming(1, 12)], &[], std::slice::from_ref(&skip)), Ok(()));
        assert_eq!(chain(&[committing(0, 0, 9), consuming(1, 4)], &[], std::slice::from_ref(&back)), Ok(()));
        assert_eq!(chain(&[consuming(1, 12)], &[], std::slice::from_ref(&skip)), Ok(()));
        let unmoved = chain(&[committing(0, 0, 9), consuming(1, 9)], &[], std::slice::from_ref(&skip));
        assert!(matches!(unmoved, Err(ChainError::Range { .. })), "{unmoved:?}");
        let hole = chain(&[committing(0, 0, 9), consuming(1, 12)], &[], &[]);
        assert!(matches!(hole, Err(ChainError::Range { .. })), "{hole:?}");
        let overlap = chain(&[committing(0, 0, 9), consuming(1, 8)], &[], &[skip]);
        assert!(matches!(overlap, Err(ChainError::Range { .. })), "{overlap:?}");
        let gap = chain(&[committing(0, 0, 9), consuming(2, 9)], &[], &[]);
        assert!(matches!(gap, Err(ChainError::Sequence { previous: 0, .. })), "{gap:?}");
        let open = chain(&[consuming(0, 0), consuming(1, 0)], &[], &[]);
        assert!(matches!(open, Err(ChainError::AfterOpen { .. })), "{open:?}");
    }

    #[test]
    fn seal_reasons_read_what_they_print() {
        for reason in SealReason::ALL {
            assert_eq!(SealReason::parse(reason.as_str()), Some(reason));
        }
    }
}
