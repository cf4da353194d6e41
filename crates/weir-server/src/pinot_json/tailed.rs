//! What is told of messages as they come: one JSON object a line, its `kind` first.

use crate::pinot_json::tried::{row_of, shown, tried_fate};
use serde_json::{Map, Value as Json, json};
use weir_ingest::{Fate, Seen, TailEvent};
use weir_types::{NextOffset, Schema, StreamPartition};

/// The lines of an event. `schema` is that of the table that is watched.
#[must_use]
pub fn lines(schema: Option<&Schema>, event: &TailEvent) -> Vec<u8> {
    let mut out = vec![];
    match event {
        TailEvent::Begin { partition, fact, from } => {
            let mut begin = placed("begin", partition);
            begin.insert("low".to_owned(), json!(fact.watermarks.low.number()));
            begin.insert("high".to_owned(), json!(fact.watermarks.high.number()));
            begin.insert("from".to_owned(), json!(from.number()));
            line(&mut out, &begin);
        }
        TailEvent::Note(text) => line(&mut out, &said("note", text)),
        TailEvent::Failed(text) => line(&mut out, &said("failed", text)),
        TailEvent::Trouble { partition, reason } => {
            let mut trouble = placed("trouble", partition);
            trouble.insert("reason".to_owned(), json!(reason));
            line(&mut out, &trouble);
        }
        TailEvent::Quiet => line(&mut out, &Map::from_iter([("kind".to_owned(), json!("quiet"))])),
        TailEvent::Seen(seen, end) => seen.iter().for_each(|seen| line(&mut out, &record(schema, seen, *end))),
    }
    out
}

fn line(out: &mut Vec<u8>, object: &Map<String, Json>) {
    // Text and numbers written into memory cannot fail.
    serde_json::to_writer(&mut *out, object).ok();
    out.push(b'\n');
}

fn said(kind: &str, text: &str) -> Map<String, Json> {
    Map::from_iter([("kind".to_owned(), json!(kind)), ("text".to_owned(), json!(text))])
}

fn placed(kind: &str, partition: &StreamPartition) -> Map<String, Json> {
    Map::from_iter([
        ("kind".to_owned(), json!(kind)),
        ("topic".to_owned(), json!(partition.topic.as_str())),
        ("partition".to_owned(), json!(partition.partition)),
    ])
}

/// A message: `record` holds its fields, or `value` its bytes where they cannot be read.
fn record(schema: Option<&Schema>, seen: &Seen, end: Option<NextOffset>) -> Map<String, Json> {
    let mut object = placed("record", &seen.partition);
    let mut put = |key: &str, value: Json| object.insert(key.to_owned(), value);
    put("offset", json!(seen.offset.number()));
    put("timestampMs", json!(seen.timestamp_ms));
    if let Some(end) = end {
        put("end", json!(end.number()));
    }
    put("key", seen.key.as_deref().map_or(Json::Null, shown));
    let first = match (&seen.fate, schema) {
        (Some(Fate::Rows { columns, .. }), Some(schema)) => Some(row_of(schema, columns, 0)),
        _ => None,
    };
    match (&seen.record, first, &seen.value) {
        (Some(record), ..) => _ = put("record", Json::Object(record.clone())),
        (None, Some(row), _) => _ = put("record", row),
        (None, None, Some(value)) => _ = put("value", shown(value)),
        (None, None, None) => _ = put("tombstone", json!(true)),
    }
    if let Some(reason) = &seen.reason {
        put("reason", json!(reason));
    }
    if let Some(fate) = &seen.fate {
        tried_fate(fate, &mut put);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_ingest::Dropped;
    use weir_types::TopicName;

    #[test]
    fn each_event_is_a_line_that_says_its_kind() {
        let partition = StreamPartition { topic: TopicName::parse("t").unwrap(), partition: 1 };
        let seen = |value: Option<&[u8]>, record: Option<Json>, fate| Seen {
            partition: partition.clone(),
            offset: NextOffset::new(7),
            timestamp_ms: Some(5),
            key: Some(b"k".to_vec()),
            value: value.map(<[u8]>::to_vec),
            record: record.and_then(|record| record.as_object().cloned()),
            reason: None,
            fate,
        };
        let all = vec![
            seen(Some(b"{\"a\":1}"), Some(json!({"a": 1})), Some(Fate::Filtered(Dropped::ByFilter))),
            seen(Some(b"\xff"), None, None),
            seen(None, None, None),
        ];
        let text = String::from_utf8(lines(None, &TailEvent::Seen(all, Some(NextOffset::new(9))))).unwrap();
        let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            lines[0],
            json!({"kind": "record", "topic": "t", "partition": 1, "offset": 7, "timestampMs": 5, "end": 9, "key": "k",
                   "record": {"a": 1}, "fate": "FILTERED", "stage": "FILTER",
                   "reason": Dropped::ByFilter.reason()})
        );
        assert_eq!((&lines[1]["value"], &lines[2]["tombstone"]), (&json!("ff"), &json!(true)));
    }
}
