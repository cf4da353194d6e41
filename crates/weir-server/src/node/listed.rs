//! A table's segments as they are shown: those that streams fill, and those of rows replayed from the quarantine.

use std::sync::Arc;
use weir_control::{ReplayRecord, Seal, SealReason, SegmentRecord, SegmentState};
use weir_ingest::{IngestError, IngestNode};
use weir_types::{Accounting, NextOffset, OffsetRange, SchemaVersion, StreamPartition, TableName};

/// A segment as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSegment {
    /// Its name.
    pub name: Arc<str>,
    /// Its table.
    pub table: TableName,
    /// The partition that its rows came from.
    pub partition: StreamPartition,
    /// Where it stands.
    pub state: SegmentState,
    /// Rows it may hold.
    pub rows_limit: u64,
    /// When it was made, wall time in milliseconds since the epoch.
    pub created_ms: i64,
    /// The schema it was made with.
    pub schema_version: SchemaVersion,
    /// The instances that hold it.
    pub replicas: Vec<Arc<str>>,
    /// What keeps it from being committed, where it has ended, or from being read, where it is committed.
    pub trouble: Option<String>,
}

impl From<SegmentRecord> for ListedSegment {
    fn from(record: SegmentRecord) -> Self {
        Self {
            name: record.name.to_string().into(),
            table: record.name.table,
            partition: record.partition,
            state: record.state,
            rows_limit: record.limits.rows,
            created_ms: record.created_ms,
            schema_version: record.schema_version,
            replicas: record.replicas,
            trouble: None,
        }
    }
}

impl ListedSegment {
    /// The segments of a replay: done, over the range from the first to the last message that they hold.
    fn of_replay(table: &TableName, replay: &ReplayRecord, instance: &Arc<str>) -> Vec<Self> {
        let segments = replay.parts.iter().filter_map(|part| {
            let segment = part.held()?.clone();
            let (first, last) = (part.offsets.first()?, part.offsets.last()?);
            let range = OffsetRange::try_new(*first, NextOffset::new(last.number().saturating_add(1))).ok()?;
            let accounting = Accounting {
                replayed: part.offsets.len() as u64,
                rows: segment.artifact.rows,
                altered: part.altered,
                ..Accounting::default()
            };
            let seal = Seal { reason: SealReason::Replay, accounting, at_ms: replay.at_ms, size: None };
            Some(Self {
                name: segment.name,
                table: table.clone(),
                partition: part.partition.clone(),
                rows_limit: segment.artifact.rows,
                state: SegmentState::Done { range, seal, artifact: segment.artifact },
                created_ms: replay.at_ms,
                schema_version: replay.schema_version,
                replicas: vec![instance.clone()],
                trouble: None,
            })
        });
        segments.collect()
    }
}

/// All segments of a table: of streams by topic, partition and sequence, then replayed ones in their order.
pub(crate) async fn listed(ingest: &IngestNode, name: &TableName) -> Result<Vec<ListedSegment>, IngestError> {
    let mut troubles = ingest.seal_troubles(name);
    let listed = |record: SegmentRecord| ListedSegment { trouble: troubles.remove(&record.name), ..record.into() };
    let mut all: Vec<ListedSegment> = ingest.segments(name).await?.into_iter().map(listed).collect();
    let instance = &ingest.deps().options.instance;
    let replays = ingest.replays(name).await?;
    all.extend(replays.iter().flat_map(|replay| ListedSegment::of_replay(name, replay, instance)));
    let mut not_opened = ingest.open_troubles(name);
    for segment in all.iter_mut().filter(|segment| segment.trouble.is_none()) {
        segment.trouble = not_opened.remove(&segment.name);
    }
    // What a record says of its indexes was said of the settings of then.
    let status = ingest.index_status(name)?;
    for segment in &mut all {
        if let SegmentState::Done { artifact, .. } = &mut segment.state {
            artifact.missing_indexes = status.missing(&segment.name, artifact);
        }
    }
    Ok(all)
}
