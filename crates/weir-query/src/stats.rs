//! What a query took: from the snapshots it held and the counters of its scans.

use crate::{
    answer::QueryStats,
    provider::{SegmentScanExec, counters},
};
use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;
use weir_table::TableSnapshot;

/// Counts what the snapshots hold; every segment of them is asked.
pub(crate) fn of_snapshots<'a>(snapshots: impl Iterator<Item = &'a Arc<TableSnapshot>>) -> QueryStats {
    let mut stats = QueryStats { num_servers_queried: 1, num_servers_responded: 1, ..QueryStats::default() };
    let mut oldest = i64::MAX;
    for snapshot in snapshots {
        for view in &snapshot.segments {
            stats.num_segments_queried += 1;
            stats.num_consuming_segments_queried += u64::from(view.consuming);
            stats.total_docs += u64::from(view.segment.meta().rows);
        }
        oldest = oldest.min(snapshot.freshness_ms.unwrap_or(i64::MAX));
    }
    stats.min_consuming_freshness_time_ms = if oldest == i64::MAX { 0 } else { oldest };
    stats
}

/// Adds what the scans of a plan that has run counted. A plan without scans was answered from metadata alone: then all
/// rows count as seen, as they would have been.
pub(crate) fn add_plan(stats: &mut QueryStats, plan: &Arc<dyn ExecutionPlan>) {
    let mut scans = scans(plan).peekable();
    if scans.peek().is_none() {
        stats.num_segments_processed = stats.num_segments_queried;
        stats.num_segments_matched = stats.num_segments_queried;
        stats.num_consuming_segments_processed = stats.num_consuming_segments_queried;
        stats.num_consuming_segments_matched = stats.num_consuming_segments_queried;
        stats.num_docs_scanned = stats.total_docs;
        return;
    }
    for scan in scans {
        let metrics = scan.metrics().unwrap_or_default().aggregate_by_name();
        let count = |name: &str| metrics.sum_by_name(name).map_or(0, |value| value.as_usize() as u64);
        let segments = scan.snapshot().segments.len() as u64;
        let consuming = scan.snapshot().segments.iter().filter(|view| view.consuming).count() as u64;
        let pruned = count(counters::PRUNED).min(segments);
        stats.num_docs_scanned += count(counters::DOCS_SCANNED);
        stats.num_entries_scanned_in_filter += count(counters::IN_FILTER);
        stats.num_entries_scanned_post_filter += count(counters::POST_FILTER);
        stats.num_segments_pruned_by_server += pruned;
        stats.num_segments_pruned_by_value += pruned;
        stats.num_segments_processed += segments - pruned;
        stats.num_segments_matched += count(counters::MATCHED);
        stats.num_consuming_segments_processed += consuming;
        stats.num_consuming_segments_matched += count(counters::CONSUMING_MATCHED);
    }
}

/// The scans of a plan.
pub(crate) fn scans(plan: &Arc<dyn ExecutionPlan>) -> impl Iterator<Item = &SegmentScanExec> {
    let mut found = vec![];
    find(plan, &mut found);
    found.into_iter().filter_map(|plan| plan.downcast_ref::<SegmentScanExec>())
}

fn find<'a>(plan: &'a Arc<dyn ExecutionPlan>, out: &mut Vec<&'a Arc<dyn ExecutionPlan>>) {
    if plan.downcast_ref::<SegmentScanExec>().is_some() {
        out.push(plan);
    }
    plan.children().into_iter().for_each(|child| find(child, out));
}
