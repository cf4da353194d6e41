//! `system.quarantine` and `GET /tables/{t}/quarantine`: records that could not become rows.

use crate::system::{Cell, Field, long, text};
use weir_ingest::Entry;

/// Bytes of a payload that SQL shows; REST gives all. A quarantine keeps 100,000 entries at most, so a query over one
/// holds 400 MB at worst and some MB as a rule.
pub const PAYLOAD_IN_SQL: usize = 4096;

/// An entry with its table.
pub type Row = (String, Entry);

/// Its columns. `payload` is text of the first [`PAYLOAD_IN_SQL`] bytes: bytes that are no UTF-8 read as the replacement character, REST gives them exactly.
pub const FIELDS: &[Field<Row>] = &[
    text("table", |(table, _)| Cell::Text(table.clone())),
    text("topic", |(_, e)| Cell::Text(e.partition.topic.to_string())),
    long("partition", |(_, e)| Cell::Long(e.partition.partition.into())),
    long("offset", |(_, e)| Cell::count(e.offset.number())),
    long("timeMs", |(_, e)| Cell::Long(e.time_ms)),
    text("stage", |(_, e)| Cell::Text(e.stage.clone())),
    text("column", |(_, e)| Cell::Text(e.column.clone())),
    text("reason", |(_, e)| Cell::Text(e.reason.clone())),
    text("payload", |(_, e)| {
        let shown = e.payload.get(..PAYLOAD_IN_SQL).unwrap_or(&e.payload);
        Cell::Text(String::from_utf8_lossy(shown).into_owned())
    }),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::object;
    use serde_json::json;
    use weir_types::{NextOffset, StreamPartition, TopicName};

    #[test]
    fn an_entry_reads_as_text() {
        let partition = StreamPartition { topic: TopicName::parse("t").unwrap(), partition: 2 };
        let entry = Entry {
            partition,
            reading: 0,
            offset: NextOffset::new(9),
            time_ms: 4,
            stage: "DECODE".into(),
            column: String::new(),
            reason: "not JSON".into(),
            payload: b"{\xff".to_vec(),
            value_bytes: 2,
            key: None,
            stream_time_ms: None,
            headers: vec![],
        };
        assert_eq!(
            object(FIELDS, &("orders".to_owned(), entry)),
            json!({"table": "orders", "topic": "t", "partition": 2, "offset": 9, "timeMs": 4, "stage": "DECODE",
                "column": "", "reason": "not JSON", "payload": "{\u{fffd}"})
        );
    }
}
