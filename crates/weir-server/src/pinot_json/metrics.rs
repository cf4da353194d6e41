//! Partitions under the metric names of Pinot's servers, for dashboards and alerts that were made for them. Ours, with
//! more behind them, stand beside these.

use std::fmt::Write;
use weir_ingest::{PartitionState, PartitionStatus};

/// One of Pinot's names, what it tells, and how it is read; nothing where it is not known.
type Named = (&'static str, &'static str, fn(&PartitionStatus) -> Option<i64>);

/// All names. `_Count` are Pinot's meters, which only grow; `_Value` are its gauges.
pub const NAMES: &[Named] = &[
    ("pinot_server_realtimeRowsFetched_Count", "Messages that came from the stream", |s| count(s.accounting.fetched)),
    ("pinot_server_realtimeRowsConsumed_Count", "Rows stored", |s| count(s.accounting.rows)),
    ("pinot_server_realtimeBytesConsumed_Count", "Bytes of message values fetched", |s| count(s.accounting.bytes)),
    ("pinot_server_realtimeRowsFiltered_Count", "Good messages that gave no row", |s| count(s.accounting.filtered)),
    ("pinot_server_invalidRealtimeRowsDropped_Count", "Messages that could not become rows", |s| {
        count(s.accounting.rejected)
    }),
    ("pinot_server_llcPartitionConsuming_Value", "1 while the partition is read", |s| Some(reading(&s.state).into())),
    ("pinot_server_realtimeIngestionDelayMs_Value", "Milliseconds that the newest visible message is behind", |s| {
        count(s.lag_ms)
    }),
    ("pinot_server_realtimeIngestionOffsetLag_Value", "Offsets between what is visible and the end of the log", |s| {
        count(s.lag_offsets()?)
    }),
    ("pinot_server_realtimeIngestionUpstreamOffset_Value", "End of the log as the stream last said", |s| {
        count(s.high_watermark?.number())
    }),
    ("pinot_server_realtimeIngestionConsumingOffset_Value", "Next offset to read", |s| count(s.next.number())),
    ("pinot_server_highestStreamOffsetConsumed_Value", "Next offset to read", |s| count(s.next.number())),
];

#[expect(clippy::unnecessary_wraps, reason = "it is read beside values that may be unknown")]
fn count(value: u64) -> Option<i64> {
    Some(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Whether messages are being read.
#[must_use]
pub fn reading(state: &PartitionState) -> bool {
    matches!(state, PartitionState::Recovering(_) | PartitionState::Consuming | PartitionState::Lagging)
}

/// The lines of all partitions, without the end mark of an exposition.
#[must_use]
pub fn exposition(statuses: &[PartitionStatus]) -> String {
    let mut text = String::new();
    for (name, about, read) in NAMES {
        // Pinot's names fit no kind of this text's format. Writing to a String does not fail.
        writeln!(text, "# HELP {name} {about}.\n# TYPE {name} unknown").ok();
        for status in statuses {
            let Some(value) = read(status) else { continue };
            let (table, topic, group) = (&status.table, &status.partition.topic, status.partition_group);
            writeln!(
                text,
                r#"{name}{{table="{table}",tableType="REALTIME",topic="{topic}",partition="{group}"}} {value}"#
            )
            .ok();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pinot_json::consuming::tests::status;

    #[test]
    fn partitions_are_told_under_pinots_names() {
        let text = exposition(&[status(PartitionState::Consuming, Some(130)), status(PartitionState::Starting, None)]);
        let labels = r#"{table="orders",tableType="REALTIME",topic="orders",partition="10003"}"#;
        for line in [
            "pinot_server_realtimeIngestionOffsetLag_Value{} 7",
            "pinot_server_realtimeIngestionDelayMs_Value{} 12",
            "pinot_server_llcPartitionConsuming_Value{} 1",
            "pinot_server_llcPartitionConsuming_Value{} 0",
            "pinot_server_realtimeRowsConsumed_Count{} 0",
        ] {
            let line = line.replace("{}", labels);
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let lags = text.lines().filter(|line| line.starts_with("pinot_server_realtimeIngestionOffsetLag_Value"));
        assert_eq!(lags.count(), 1, "what is not known is not told");
        assert_eq!(text.matches("# TYPE ").count(), NAMES.len());
    }
}
