//! `system.skips` and `GET /tables/{t}/skips`: offsets that were passed over, read again, or lost.

use crate::system::{Cell, Field, long, text};
use weir_control::Move;
use weir_types::{NextOffset, Skip, SkipReason, StreamPartition, TableName};

/// What happened to offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// They were passed over between two segments.
    Skip,
    /// Reading went back to offsets that come before.
    Rewind,
    /// Reading went on in a topic that was made anew: both offsets count in logs of their own.
    Restart,
    /// They lie in a segment's range and could not be read again.
    Loss,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    table: String,
    partition: StreamPartition,
    kind: Kind,
    from: NextOffset,
    to: NextOffset,
    reason: SkipReason,
    at_ms: i64,
    /// Sequence number of the segment that starts behind it.
    before: Option<u32>,
}

/// Moves and losses of a table, in the order of time.
#[must_use]
pub fn rows(table: &TableName, moves: Vec<Move>, losses: Vec<(StreamPartition, Skip)>) -> Vec<Row> {
    let table = table.to_string();
    let moved = moves.into_iter().flat_map(|step| {
        let moved = Row {
            table: table.clone(),
            kind: match step.reason {
                SkipReason::Recreated => Kind::Restart,
                _ if step.to < step.from => Kind::Rewind,
                _ => Kind::Skip,
            },
            partition: step.partition,
            from: step.from,
            to: step.to,
            reason: step.reason,
            at_ms: step.at_ms,
            before: Some(step.before),
        };
        // In the new log, so behind the row that says that there is one.
        let passed =
            step.passed.map(|passed| Row { kind: Kind::Skip, from: passed.start(), to: passed.end(), ..moved.clone() });
        std::iter::once(moved).chain(passed)
    });
    let lost = losses.into_iter().map(|(partition, loss)| Row {
        table: table.clone(),
        partition,
        kind: Kind::Loss,
        from: loss.range.start(),
        to: loss.range.end(),
        reason: loss.reason,
        at_ms: loss.at_ms,
        before: None,
    });
    let mut rows: Vec<Row> = moved.chain(lost).collect();
    rows.sort_by_key(|row| row.at_ms);
    rows
}

/// Its columns. `offsets` is how many were passed over, read again or lost.
pub const FIELDS: &[Field<Row>] = &[
    text("table", |r| Cell::Text(r.table.clone())),
    text("topic", |r| Cell::Text(r.partition.topic.to_string())),
    long("partition", |r| Cell::Long(r.partition.partition.into())),
    text("kind", |r| {
        let word = match r.kind {
            Kind::Skip => "SKIP",
            Kind::Rewind => "REWIND",
            Kind::Restart => "RESTART",
            Kind::Loss => "LOSS",
        };
        Cell::Text(word.to_owned())
    }),
    long("fromOffset", |r| Cell::count(r.from.number())),
    long("toOffset", |r| Cell::count(r.to.number())),
    long("offsets", |r| Cell::count(r.to.since(r.from).max(r.from.since(r.to)))),
    text("reason", |r| Cell::Text(r.reason.as_str().to_owned())),
    long("atMs", |r| Cell::Long(r.at_ms)),
    long("beforeSequence", |r| Cell::maybe(r.before.map(u64::from))),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::object;
    use serde_json::json;
    use weir_types::{OffsetRange, TopicName};

    #[test]
    fn skips_rewinds_and_losses_in_the_order_of_time() {
        let partition = StreamPartition { topic: TopicName::parse("t").unwrap(), partition: 2 };
        let (from, to) = (NextOffset::new(9), NextOffset::new(4));
        let back = Move {
            partition: partition.clone(),
            before: 3,
            from,
            to,
            reason: SkipReason::Reset,
            at_ms: 20,
            passed: None,
        };
        let range = OffsetRange::try_new(to, from).unwrap();
        let loss = (partition, Skip { range, reason: SkipReason::Retention, at_ms: 10 });
        let table = TableName::parse("orders").unwrap();
        let shown: Vec<_> = rows(&table, vec![back], vec![loss]).iter().map(|row| object(FIELDS, row)).collect();
        assert_eq!(
            shown[1],
            json!({"table": "orders", "topic": "t", "partition": 2, "kind": "REWIND", "fromOffset": 9, "toOffset": 4,
                "offsets": 5, "reason": "RESET", "atMs": 20, "beforeSequence": 3})
        );
        assert_eq!((&shown[0]["kind"], &shown[0]["offsets"]), (&json!("LOSS"), &json!(5)));
        assert_eq!(shown[0]["beforeSequence"], json!(null));
    }

    #[test]
    fn what_a_topic_made_anew_had_before_is_a_row_of_its_own() {
        let partition = StreamPartition { topic: TopicName::parse("t").unwrap(), partition: 2 };
        let at = NextOffset::new(9);
        let passed = OffsetRange::try_new(NextOffset::ZERO, NextOffset::new(5)).ok();
        let anew = Move { partition, before: 3, from: at, to: at, reason: SkipReason::Recreated, at_ms: 20, passed };
        let shown = rows(&TableName::parse("orders").unwrap(), vec![anew], vec![]);
        let shown: Vec<_> =
            shown.iter().map(|row| (row.kind, row.from.number(), row.to.number(), row.reason)).collect();
        let reason = SkipReason::Recreated;
        assert_eq!(shown, [(Kind::Restart, 9, 9, reason), (Kind::Skip, 0, 5, reason)]);
    }
}
