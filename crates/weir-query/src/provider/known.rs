//! What is known of a segment before its file is open, and what is noted of one that could not be opened.

use parking_lot::Mutex;
use std::{collections::BTreeMap, ops::Range, sync::Arc};
use weir_indexes::Filter;
use weir_segment::{
    ColumnInfo, ScanColumn, ScanRequest, Segment, SegmentScan,
    consuming::BLOCK_ROWS,
    scan::{compare::Verdict, verdict},
    segment::Span,
};
use weir_table::{Lack, SegmentView};
use weir_types::{ColumnName, Stored, Value};

/// Rows of a consuming segment that are looked at together: four blocks cost little more than one.
const LOOK_ROWS: u32 = 4 * BLOCK_ROWS;

/// Segments of a snapshot that the scans of a query could not open, by name: its answer says that it lacks them. Clones are
/// the same list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Missed(Arc<Mutex<BTreeMap<Arc<str>, Lack>>>);

impl Missed {
    pub(super) fn note(&self, view: &SegmentView, why: &str) {
        self.0.lock().insert(view.segment.meta().name.clone(), Lack::not_opened(view, why));
    }

    /// What was noted so far, by segment.
    pub(crate) fn lacks(&self) -> Vec<Lack> {
        self.0.lock().values().cloned().collect()
    }
}

/// Rows of a segment that may be seen.
pub(super) fn rows_seen(view: &SegmentView) -> u64 {
    let rows = view.segment.meta().rows;
    view.validity.as_ref().map_or(rows.into(), |valid| valid.range_cardinality(0..rows))
}

/// What a request's filter lets pass of a segment, as far as its record tells; of one that has none one must look.
pub(super) fn verdict_by_record(view: &SegmentView, request: &ScanRequest) -> Verdict {
    if view.segment.recorded().is_none() {
        return Verdict::Some;
    }
    if rows_seen(view) == 0 {
        return Verdict::None;
    }
    let known = |column: &ColumnName| by_record(view, request, column.as_str());
    verdict(&request.filter, &known)
}

/// Rows of a segment that a request's filter may let pass, as far as least and greatest values tell: nothing is opened for
/// it, and no index is asked.
pub(super) fn rows_that_may_pass(view: &SegmentView, request: &ScanRequest) -> u64 {
    let known = |column: &ColumnName| {
        by_record(view, request, column.as_str()).or_else(|| by_statistics(view, request, column.as_str()))
    };
    let rows = view.segment.meta().rows;
    if rows > 0 && verdict(&request.filter, &known) == Verdict::None {
        return 0;
    }
    let Some(segment) = view.segment.at_hand().filter(|_| view.consuming && request.filter != Filter::All) else {
        return rows.into();
    };
    // Of what is asked of a consuming segment most is the newest, which a few of its blocks hold.
    let passes = |rows: &Range<u32>| {
        let known = |column: &ColumnName| by_span(&*segment, request, column.as_str(), rows.clone());
        verdict(&request.filter, &known) != Verdict::None
    };
    let blocks = parts(0..rows, LOOK_ROWS).filter(passes).flat_map(|rows| parts(rows, BLOCK_ROWS)).filter(passes);
    blocks.map(|rows| rows.len() as u64).sum()
}

/// Parts of so many rows of a row range.
fn parts(rows: Range<u32>, of: u32) -> impl Iterator<Item = Range<u32>> {
    let end = rows.end;
    rows.step_by(of as usize).map(move |start| start..start.saturating_add(of).min(end))
}

/// Least and greatest stored value of a column in a row range of a segment, in the form that the request has its literals in.
fn by_span(segment: &dyn Segment, request: &ScanRequest, column: &str, rows: Range<u32>) -> Option<(Value, Value)> {
    let held = segment.column(column)?;
    if !wanted(request, column).is_some_and(|wanted| is_held(wanted, &held)) {
        return None;
    }
    let Span::Numbers(least, greatest) = segment.span(held.at, rows)? else { return None };
    match held.data_type.stored() {
        Stored::Long => Some((Value::Long(least), Value::Long(greatest))),
        Stored::Int => Some((Value::Int(least.try_into().ok()?), Value::Int(greatest.try_into().ok()?))),
        _ => None,
    }
}

/// How a request wants a column.
fn wanted<'a>(request: &'a ScanRequest, column: &str) -> Option<&'a ScanColumn> {
    request.columns.iter().chain(&request.filter_columns).find(|wanted| wanted.name.as_str() == column)
}

/// Whether a column, with one value a row, is wanted as it is held.
fn is_held(wanted: &ScanColumn, held: &ColumnInfo) -> bool {
    wanted.single_value && held.single_value && wanted.data_type == held.data_type
}

/// Least and greatest stored value of a column of a segment that is at hand, in the form that the request has its literals
/// in.
fn by_statistics(view: &SegmentView, request: &ScanRequest, column: &str) -> Option<(Value, Value)> {
    let segment = view.segment.at_hand()?;
    let held = segment.column(column)?;
    let fits = is_held(wanted(request, column)?, &held);
    segment.stats(held.at).min_max.clone().filter(|_| fits)
}

/// Least and greatest value of a column, as the request wants them, where every row of the segment may be seen and passes.
pub(super) fn min_max(view: &SegmentView, request: &Arc<ScanRequest>, column: &str) -> Option<(Value, Value)> {
    // Whether rows are null there the record does not tell.
    let told = view.validity.is_none() && !request.nulls;
    if let Some(bounds) = by_record(view, request, column).filter(|_| told) {
        return Some(bounds);
    }
    SegmentScan::new(view.segment.at_hand()?, view.validity.clone(), request.clone()).min_max(column)
}

/// Least and greatest stored value of a column by the segment's record, in the form that the request has its literals in.
fn by_record(view: &SegmentView, request: &ScanRequest, column: &str) -> Option<(Value, Value)> {
    let times = view.segment.recorded()?.facts().times.as_ref().filter(|times| times.column.as_str() == column)?;
    let wanted = wanted(request, column)?;
    let fits = wanted.single_value && wanted.data_type.stored() == times.min.stored();
    fits.then(|| (times.min.clone(), times.max.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashSet, ops::Bound};
    use weir_indexes::{Filter, Predicate};
    use weir_segment::{ConsumingSegment, ConsumingSpec, ScanColumn, Segment};
    use weir_types::{
        ColumnData, ColumnName, DataType, FieldKind, FieldSpec, NextOffset, RowBatch, Schema, SchemaVersion,
        StreamPartition, TopicName,
    };

    /// A segment at hand of numbers `n`.
    fn view(numbers: Vec<i64>) -> SegmentView {
        let n = FieldSpec::new(ColumnName::parse("n").unwrap(), DataType::Long, FieldKind::Dimension);
        let schema = Arc::new(Schema::new("numbers", SchemaVersion(1), vec![n]));
        let mut batch = RowBatch::new(&schema);
        batch.message_of_row = (0..numbers.len() as u32).collect();
        batch.columns[0].data = ColumnData::Long(numbers);
        let name = "numbers__0__0__20260101T0000Z".into();
        let (no_dictionary, keep_offsets) = (HashSet::new(), false);
        let mut segment =
            ConsumingSegment::new(ConsumingSpec { name, schema, no_dictionary, keep_offsets, created_ms: 0 });
        segment.append(&batch, &|message| NextOffset::new(u64::from(message)));
        let segment: Arc<dyn Segment> = segment.snapshot();
        let partition = StreamPartition { topic: TopicName::parse("numbers").unwrap(), partition: 0 };
        SegmentView { segment: segment.into(), validity: None, partition, consuming: true }
    }

    fn from(least: i64, data_type: DataType) -> ScanRequest {
        let name = ColumnName::parse("n").unwrap();
        let predicate = Predicate::Range { lower: Bound::Included(Value::Long(least)), upper: Bound::Unbounded };
        let filter = Filter::Column { column: name.clone(), predicate };
        let column = ScanColumn { name, data_type, single_value: true, default: Value::Long(0) };
        ScanRequest { columns: vec![], filter_columns: vec![column], filter, nulls: false, host: "host".into() }
    }

    #[test]
    fn rows_of_segments_that_the_filter_leaves_out_are_none_to_read() {
        let view = view(vec![3, 9, 4]);
        assert_eq!(rows_that_may_pass(&view, &from(9, DataType::Long)), 3);
        assert_eq!(rows_that_may_pass(&view, &from(10, DataType::Long)), 0);
        // Values of another type than the filter's literals are not compared with them.
        assert_eq!(rows_that_may_pass(&view, &from(10, DataType::Double)), 3);
        assert_eq!(rows_that_may_pass(&view, &ScanRequest { filter: Filter::All, ..from(10, DataType::Long) }), 3);
    }
}
