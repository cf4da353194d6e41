//! Segments as Pinot's controller shows them: list, metadata, ideal state, external view, status.

use crate::node::ListedSegment;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeSet;
use weir_control::{Artifact, SegmentState};
use weir_segment::Segment;
use weir_types::Schema;

/// What of a table's segments is served by this node right now, by name.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// Segments that take rows.
    pub consuming: BTreeSet<String>,
    /// Segments that are whole.
    pub whole: BTreeSet<String>,
}

/// `[{"REALTIME":[..]}]`.
#[must_use]
pub fn list(segments: &[ListedSegment]) -> Json {
    let names: Vec<String> = segments.iter().map(|segment| segment.name.to_string()).collect();
    json!([{ "REALTIME": names }])
}

/// Pinot's word for a state.
#[must_use]
pub fn status_word(state: &SegmentState) -> &'static str {
    match state {
        SegmentState::Consuming { .. } => "IN_PROGRESS",
        SegmentState::Committing { .. } => "COMMITTING",
        SegmentState::Done { .. } => "DONE",
    }
}

/// The committed file, where there is one.
#[must_use]
pub fn artifact(segment: &ListedSegment) -> Option<&Artifact> {
    match &segment.state {
        SegmentState::Done { artifact, .. } => Some(artifact),
        SegmentState::Consuming { .. } | SegmentState::Committing { .. } => None,
    }
}

/// First offset, and one past the last where it is fixed.
#[must_use]
pub fn offsets(state: &SegmentState) -> (u64, Option<u64>) {
    match state {
        SegmentState::Consuming { start } => (start.number(), None),
        SegmentState::Committing { range, .. } | SegmentState::Done { range, .. } => {
            (range.start().number(), Some(range.end().number()))
        }
    }
}

/// The flat metadata record; all values are text, as in Pinot.
#[must_use]
pub fn metadata(segment: &ListedSegment) -> Map<String, Json> {
    let mut map = Map::new();
    let mut put = |key: &str, value: String| map.insert(key.to_owned(), Json::String(value));
    let (start, end) = offsets(&segment.state);
    put("segment.realtime.status", status_word(&segment.state).to_owned());
    put("segment.realtime.startOffset", start.to_string());
    if let Some(end) = end {
        put("segment.realtime.endOffset", end.to_string());
    }
    put("segment.realtime.numReplicas", segment.replicas.len().to_string());
    put("segment.flush.threshold.size", segment.rows_limit.to_string());
    put("segment.creation.time", segment.created_ms.to_string());
    if let Some(artifact) = artifact(segment) {
        put("segment.crc", artifact.crc.to_string());
        put("segment.total.docs", artifact.rows.to_string());
        put("segment.size.in.bytes", artifact.byte_count.to_string());
        put("segment.download.url", artifact.uri.clone());
        put("segment.push.time", artifact.uploaded_ms.to_string());
        if let (Some(min), Some(max)) = (artifact.min_time_ms, artifact.max_time_ms) {
            put("segment.start.time", min.to_string());
            put("segment.end.time", max.to_string());
            put("segment.time.unit", "MILLISECONDS".to_owned());
        }
        if !artifact.missing_indexes.is_empty() {
            put("missingIndexes", artifact.missing_indexes.join("; "));
        }
    }
    map
}

/// What is answered to the reload of a table: the job's numbers are a text of JSON in `status`. One message is one node.
#[must_use]
pub fn table_reload_answer(table: &str, job: &str) -> Json {
    let told = json!({ format!("{table}_REALTIME"): {
        "numMessagesSent": "1", "reloadJobId": job, "reloadJobMetaZKStorageStatus": "SUCCESS",
    }});
    json!({ "status": told.to_string() })
}

/// What is answered to the reload of one segment.
#[must_use]
pub fn segment_reload_answer(job: &str) -> Json {
    let told = format!("Submitted reload job id: {job}, sent 1 reload messages. Job meta ZK storage status: SUCCESS");
    json!({ "status": told })
}

/// `columns` of a loaded segment's metadata: what is known of each column that `wanted` asks for.
#[must_use]
pub fn columns(segment: &dyn Segment, schema: &Schema, wanted: impl Fn(&str) -> bool) -> Json {
    let rows = segment.meta().rows;
    let known = schema.fields().iter().filter(|field| wanted(field.name.as_str())).filter_map(|field| {
        let info = segment.column(field.name.as_str())?;
        let stats = segment.stats(info.at);
        let (min, max) = match &stats.min_max {
            Some((min, max)) => (Json::String(min.to_string()), Json::String(max.to_string())),
            None => (Json::Null, Json::Null),
        };
        Some(json!({
            "columnName": field.name.as_str(),
            "dataType": info.data_type.as_str(),
            "singleValue": info.single_value,
            "totalDocs": rows,
            "totalNumberOfEntries": stats.values,
            "cardinality": stats.cardinality,
            "hasDictionary": segment.dictionary(info.at).is_some(),
            "sorted": stats.sorted,
            "nulls": stats.nulls,
            "minValue": min,
            "maxValue": max,
        }))
    });
    Json::Array(known.collect())
}

fn per_instance(segment: &ListedSegment, word: &str) -> Json {
    let instances = segment.replicas.iter().map(|replica| (replica.to_string(), Json::String(word.to_owned())));
    Json::Object(instances.collect())
}

fn typed(realtime: Map<String, Json>) -> Json {
    json!({ "OFFLINE": null, "REALTIME": realtime })
}

fn ideal_word(segment: &ListedSegment) -> &'static str {
    match segment.state {
        SegmentState::Consuming { .. } => "CONSUMING",
        SegmentState::Committing { .. } | SegmentState::Done { .. } => "ONLINE",
    }
}

fn actual_word(segment: &ListedSegment, loaded: &Loaded) -> &'static str {
    let name = segment.name.to_string();
    if loaded.consuming.contains(&name) {
        "CONSUMING"
    } else if loaded.whole.contains(&name) {
        "ONLINE"
    } else {
        "OFFLINE"
    }
}

/// What should be: `{"OFFLINE":null,"REALTIME":{segment:{instance:state}}}`.
#[must_use]
pub fn ideal_state(segments: &[ListedSegment]) -> Json {
    typed(segments.iter().map(|s| (s.name.to_string(), per_instance(s, ideal_word(s)))).collect())
}

/// What is: the same shape, from what this node serves. A consuming segment that has no row yet is served.
#[must_use]
pub fn external_view(segments: &[ListedSegment], loaded: &Loaded) -> Json {
    typed(segments.iter().map(|s| (s.name.to_string(), per_instance(s, actual_word(s, loaded)))).collect())
}

/// `[{"segmentName","segmentStatus"}]`: `GOOD`, or `UPDATING` while it is being loaded or built.
#[must_use]
pub fn statuses(segments: &[ListedSegment], loaded: &Loaded) -> Json {
    let status = |segment: &ListedSegment| match (ideal_word(segment), actual_word(segment, loaded)) {
        (ideal, actual) if ideal == actual => "GOOD",
        _ => "UPDATING",
    };
    segments.iter().map(|s| json!({ "segmentName": s.name.to_string(), "segmentStatus": status(s) })).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use weir_control::{Seal, SealReason, SegmentRecord};
    use weir_types::{
        Accounting, NextOffset, OffsetRange, SchemaVersion, SegmentName, StreamPartition, TableName, TopicName,
    };

    /// A segment of `orders`, done with 5 messages and 4 rows, or consuming from offset 5.
    pub(crate) fn segment(sequence: u32, done: bool) -> ListedSegment {
        let table = TableName::parse("orders").unwrap();
        let range = OffsetRange::try_new(NextOffset::ZERO, NextOffset::new(5)).unwrap();
        let accounting = Accounting { fetched: 5, stored: 4, rejected: 1, rows: 4, ..Accounting::default() };
        let artifact = Artifact {
            uri: "file:///deep/orders-1/x".into(),
            key: "orders-1/x".into(),
            crc: 77,
            byte_count: 1234,
            rows: 4,
            min_time_ms: Some(10),
            max_time_ms: Some(20),
            built_ms: 30,
            uploaded_ms: 40,
            time_range: None,
            missing_indexes: vec![],
            settings: None,
        };
        let state = if done {
            SegmentState::Done {
                range,
                seal: Seal { reason: SealReason::Rows, accounting, at_ms: 25, size: None },
                artifact,
            }
        } else {
            SegmentState::Consuming { start: range.end() }
        };
        let record = SegmentRecord {
            name: SegmentName::new(table, 0, sequence, 0),
            table_uid: 1,
            partition: StreamPartition { topic: TopicName::parse("orders").unwrap(), partition: 0 },
            state,
            limits: weir_control::Limits::of_rows(100),
            created_ms: 1,
            schema_version: SchemaVersion(1),
            replicas: vec!["Server_a_8098".into()],
            version: 1,
        };
        record.into()
    }

    const FIRST: &str = "orders__0__0__19700101T0000Z";
    const SECOND: &str = "orders__0__1__19700101T0000Z";

    #[test]
    fn metadata_is_flat_text() {
        assert_eq!(
            Json::Object(metadata(&segment(0, true))),
            json!({
                "segment.realtime.status": "DONE",
                "segment.realtime.startOffset": "0",
                "segment.realtime.endOffset": "5",
                "segment.realtime.numReplicas": "1",
                "segment.flush.threshold.size": "100",
                "segment.creation.time": "1",
                "segment.crc": "77",
                "segment.total.docs": "4",
                "segment.size.in.bytes": "1234",
                "segment.download.url": "file:///deep/orders-1/x",
                "segment.push.time": "40",
                "segment.start.time": "10",
                "segment.end.time": "20",
                "segment.time.unit": "MILLISECONDS",
            })
        );
        let consuming = metadata(&segment(1, false));
        assert_eq!(consuming["segment.realtime.status"], "IN_PROGRESS");
        assert_eq!(consuming["segment.realtime.startOffset"], "5");
        assert!(!consuming.contains_key("segment.realtime.endOffset") && !consuming.contains_key("segment.crc"));
    }

    #[test]
    fn metadata_names_indexes_that_are_missing() {
        let mut lacking = segment(0, true);
        if let SegmentState::Done { artifact, .. } = &mut lacking.state {
            artifact.missing_indexes = vec!["column a: no range index".into(), "column b: no inverted index".into()];
        }
        assert_eq!(metadata(&lacking)["missingIndexes"], "column a: no range index; column b: no inverted index");
    }

    #[test]
    fn reloads_are_answered_in_pinots_words() {
        let answer = table_reload_answer("orders", "f9");
        let told: Json = serde_json::from_str(answer["status"].as_str().unwrap()).unwrap();
        let expected = json!({"orders_REALTIME": {
            "numMessagesSent": "1", "reloadJobId": "f9", "reloadJobMetaZKStorageStatus": "SUCCESS"}});
        assert_eq!(told, expected);
        let expected = "Submitted reload job id: f9, sent 1 reload messages. Job meta ZK storage status: SUCCESS";
        assert_eq!(segment_reload_answer("f9"), json!({ "status": expected }));
    }

    #[test]
    fn views_tell_what_should_be_and_what_is() {
        let segments = [segment(0, true), segment(1, false)];
        assert_eq!(list(&segments), json!([{ "REALTIME": [FIRST, SECOND] }]));
        assert_eq!(
            ideal_state(&segments),
            json!({"OFFLINE": null, "REALTIME": {
                FIRST: {"Server_a_8098": "ONLINE"}, SECOND: {"Server_a_8098": "CONSUMING"}}})
        );
        let loaded = Loaded { consuming: [SECOND.to_owned()].into(), whole: BTreeSet::new() };
        assert_eq!(
            external_view(&segments, &loaded),
            json!({"OFFLINE": null, "REALTIME": {
                FIRST: {"Server_a_8098": "OFFLINE"}, SECOND: {"Server_a_8098": "CONSUMING"}}})
        );
        assert_eq!(
            statuses(&segments, &loaded),
            json!([
                {"segmentName": FIRST, "segmentStatus": "UPDATING"},
                {"segmentName": SECOND, "segmentStatus": "GOOD"},
            ])
        );
    }
}
