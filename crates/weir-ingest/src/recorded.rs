//! Committed segments, shown from their records: what a record says of a segment, and opening the files ahead of queries.
//!
//! A partition that starts shows its committed segments at once, without a look at their files: seven hundred of them take
//! milliseconds. Behind it a task opens one after the other, the newest first; a query that comes
//! before it opens what it needs itself.

use crate::{deps::TableContext, floor::has_room};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use weir_control::{Artifact, TableRecord, TimeRange};
use weir_formats::datetime::DateTimeFormat;
use weir_table::{LoadedSegment, RecordedSegment, SegmentFacts, SegmentHandle, TimeValues};
use weir_types::{ColumnName, SchemaVersion, Stored, Value};

/// A segment that could not be had is asked for again after this.
const AGAIN: Duration = Duration::from_secs(2);

/// What a segment's record says of its rows' times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// Smallest and greatest in milliseconds, where the table has a time column that can be read.
    pub(crate) millis: Option<(i64, i64)>,
    /// The same as they are stored, where they are whole numbers.
    pub(crate) range: Option<TimeRange>,
}

impl Times {
    /// Of a segment whose columns have these smallest and greatest values.
    pub(crate) fn of(record: &TableRecord, min_max: &dyn Fn(&ColumnName) -> Option<(Value, Value)>) -> Self {
        let Some(column) = &record.spec.time_column else { return Self::default() };
        let Some(field) = record.schema.field(column.as_str()) else { return Self::default() };
        let Some((min, max)) = min_max(column) else { return Self::default() };
        let millis = || {
            let format = DateTimeFormat::parse(field.format.as_deref()?).ok()?;
            Some((format.to_millis(&min)?, format.to_millis(&max)?))
        };
        let range = match (&min, &max) {
            (Value::Int(min), Value::Int(max)) => Some((i64::from(*min), i64::from(*max))),
            (Value::Long(min), Value::Long(max)) => Some((*min, *max)),
            _ => None,
        };
        let range = range.filter(|_| field.single_value);
        Self { millis: millis(), range: range.map(|(min, max)| TimeRange { column: column.clone(), min, max }) }
    }
}

/// What the record of a committed segment says of it. `made` is the schema it was made with, and when.
pub(crate) fn segment_facts(
    record: &TableRecord,
    name: &Arc<str>,
    made: (SchemaVersion, i64),
    artifact: &Artifact,
) -> SegmentFacts {
    SegmentFacts {
        name: name.clone(),
        // A segment has no more rows than that; a file that has others is not the one of the record.
        rows: u32::try_from(artifact.rows).unwrap_or(u32::MAX),
        schema_version: made.0,
        created_ms: made.1,
        crc: artifact.crc,
        key: artifact.key.clone(),
        byte_count: artifact.byte_count,
        times: artifact.time_range.as_ref().and_then(|range| time_values(record, range)),
    }
}

/// A time range as values of its column. The type of a column never changes; one that is not there any more tells nothing.
fn time_values(record: &TableRecord, range: &TimeRange) -> Option<TimeValues> {
    let field = record.schema.field(range.column.as_str()).filter(|field| field.single_value)?;
    let value = |number: i64| match field.data_type.stored() {
        Stored::Int => i32::try_from(number).ok().map(Value::Int),
        Stored::Long => Some(Value::Long(number)),
        _ => None,
    };
    Some(TimeValues { column: range.column.clone(), min: value(range.min)?, max: value(range.max)? })
}

/// A segment as a snapshot shows it, by its record.
pub(crate) fn loaded(context: &TableContext, facts: SegmentFacts) -> LoadedSegment {
    let name = facts.name.clone();
    let segment = SegmentHandle::Recorded(RecordedSegment::new(facts, context.cache.clone()));
    LoadedSegment { name, segment, validity: None }
}

/// Opens the files of segments that are shown, the last ones first: those that are here, then those that have to be fetched,
/// again and again until all are open. Those that went meanwhile, and those that the disk has no room for, are left to
/// whoever asks for them.
pub(crate) async fn open_ahead(context: Arc<TableContext>, shown: Vec<LoadedSegment>) {
    let recorded = shown.iter().rev().filter_map(|shown| shown.segment.recorded());
    let closed: Vec<Weak<RecordedSegment>> = recorded.map(Arc::downgrade).collect();
    drop(shown);
    let mut missing = vec![];
    for segment in closed {
        let _turn = context.cache.openings().ahead_turn(false).await;
        if let Some(alive) = segment.upgrade()
            && !matches!(alive.open_ahead(false).await, Ok(true))
        {
            missing.push(segment);
        }
    }
    while !missing.is_empty() {
        let mut again = vec![];
        for segment in missing {
            let _turn = context.cache.openings().ahead_turn(true).await;
            let Some(alive) = segment.upgrade() else { continue };
            if has_room(&context.deps, alive.facts().byte_count) && alive.open_ahead(true).await.is_err() {
                again.push(segment);
            }
        }
        missing = again;
        if !missing.is_empty() {
            context.deps.clock.sleep(AGAIN).await;
        }
    }
}
