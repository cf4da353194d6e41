//! What is known of a segment before its file is open, and what is noted of one that could not be opened.

use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};
use weir_segment::{
    ScanRequest, SegmentScan,
    scan::{compare::Verdict, verdict},
};
use weir_table::{Lack, SegmentView};
use weir_types::Value;

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
    let known = |column: &weir_types::ColumnName| by_record(view, request, column.as_str());
    verdict(&request.filter, &known)
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
    let wanted = request.columns.iter().chain(&request.filter_columns).find(|wanted| wanted.name.as_str() == column)?;
    let fits = wanted.single_value && wanted.data_type.stored() == times.min.stored();
    fits.then(|| (times.min.clone(), times.max.clone()))
}
