//! What the node tells of its partitions to whoever watches it from outside, at the moment of the question: a partition that
//! does not move is shown as it is now, not as it was when it last moved.

use crate::{
    node::Node,
    pinot_json::metrics::{exposition, reading},
};
use std::collections::BTreeSet;
use weir_base::metrics::{Gauge, Labels};
use weir_ingest::PartitionStatus;
use weir_types::TableName;

/// The last line of an exposition.
const END: &str = "# EOF\n";

fn labels(table: &str, topic: &str, partition: Option<u32>) -> Labels {
    Labels { table: table.into(), topic: topic.into(), partition }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Node {
    /// All metrics, in OpenMetrics text: ours, and partitions under Pinot's names.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        let statuses = self.ingest.all_partitions();
        for status in &statuses {
            self.gauges(status);
        }
        let tables: BTreeSet<&TableName> = statuses.iter().map(|status| &status.table).collect();
        self.metrics.gauge(Gauge::Tables, &labels("", "", None), number(tables.len() as u64));
        let fetched = number(self.ingest.segments_fetched());
        self.metrics.gauge(Gauge::SegmentsFetched, &labels("", "", None), fetched);
        for table in tables {
            match self.ingest.quarantine(table) {
                Some(kept) => {
                    let of_table = labels(table.as_str(), "", None);
                    self.metrics.gauge(Gauge::QuarantineEntries, &of_table, number(kept.counts().kept));
                }
                // A table that was dropped meanwhile has no values any more.
                None => self.metrics.forget(table.as_str()),
            }
        }
        let mut text = self.metrics.encode();
        if text.ends_with(END) {
            text.truncate(text.len() - END.len());
        }
        text + &exposition(&statuses) + END
    }

    fn gauges(&self, status: &PartitionStatus) {
        let partition = &status.partition;
        let labels = labels(status.table.as_str(), partition.topic.as_str(), Some(partition.partition));
        let known = [
            (Gauge::LagMs, Some(number(status.lag_ms))),
            (Gauge::LagOffsets, status.lag_offsets().filter(|_| status.dense).map(number)),
            (Gauge::OpenRows, Some(number(status.open_rows))),
            (Gauge::OpenBytes, Some(number(status.open_bytes))),
            (Gauge::SealAtMs, Some(status.open_seal_at_ms).filter(|at_ms| *at_ms > 0)),
            (Gauge::SealAtRows, Some(number(status.open_rows_limit)).filter(|rows| *rows > 0)),
            (Gauge::Reading, Some(reading(&status.state).into())),
            (Gauge::NextOffset, Some(number(status.next.number()))),
            (Gauge::EndOffset, status.high_watermark.map(|end| number(end.number()))),
        ];
        for (gauge, value) in known {
            if let Some(value) = value {
                self.metrics.gauge(gauge, &labels, value);
            }
        }
    }
}
