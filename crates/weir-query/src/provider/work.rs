//! How much there is to do for a scan, as far as it is known before anything is read.

use super::known::rows_that_may_pass;
use weir_indexes::Filter;
use weir_segment::ScanRequest;
use weir_table::TableSnapshot;

/// A filter mostly leaves out most segments or reads one column: such a scan weighs this much less.
const FILTERED_WEIGHS: u64 = 8;

/// The work of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Work {
    /// Rows of the segments that the filter does not leave out whole, or the scan's limit where that is less and nothing is
    /// filtered.
    pub(super) rows: u64,
    /// What they cost to read, in rows of a scan without a filter.
    pub(crate) weight: u64,
    /// Segments among them whose file is not open: threads wait for it beside each other.
    closed: usize,
    /// Rows among them that lie in files of sealed segments: they may have to be read from the disk.
    pub(super) in_files: u64,
}

impl Work {
    pub(super) fn of(snapshot: &TableSnapshot, request: &ScanRequest, limit: Option<usize>) -> Self {
        let filters = request.filter != Filter::All;
        let (mut rows, mut closed, mut in_files) = (0, 0, 0);
        for view in &snapshot.segments {
            let of_segment = rows_that_may_pass(view, request);
            rows += of_segment;
            closed += usize::from(of_segment > 0 && !view.segment.is_open());
            in_files += if view.consuming { 0 } else { of_segment };
        }
        if let (Some(limit), false) = (limit, filters) {
            rows = rows.min(limit as u64);
        }
        Self { rows, weight: if filters { rows / FILTERED_WEIGHS } else { rows }, closed, in_files }
    }

    /// That of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            rows: self.rows.saturating_add(other.rows),
            weight: self.weight.saturating_add(other.weight),
            closed: self.closed + other.closed,
            in_files: self.in_files.saturating_add(other.in_files),
        }
    }

    /// Whether one thread does it as well as several, where so many rows are worth one of their own.
    pub(crate) fn is_for_one(&self, rows: u64) -> bool {
        self.weight < rows && self.closed <= 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rows_are_read_by_one_thread_and_files_are_waited_for_beside_each_other() {
        let work = |weight, closed| Work { rows: weight, weight, closed, in_files: 0 };
        assert!(work(0, 0).is_for_one(10));
        assert!(work(9, 1).is_for_one(10));
        assert!(!work(10, 0).is_for_one(10));
        assert!(!work(0, 0).is_for_one(0));
        assert!(!work(1, 2).is_for_one(10));
        assert!(!work(6, 0).and(work(5, 0)).is_for_one(10));
        assert!(!work(1, 1).and(work(1, 1)).is_for_one(10));
    }
}
