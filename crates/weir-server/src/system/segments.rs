//! `system.segments`: every segment of the catalog, where it is in its life and where its file lies.

use crate::{
    node::ListedSegment,
    pinot_json::segment::{artifact, offsets},
    system::{Cell, Field, long, text},
};
use weir_control::{OpenSize, SegmentState};

fn state(segment: &ListedSegment) -> &'static str {
    match segment.state {
        SegmentState::Consuming { .. } => "CONSUMING",
        SegmentState::Committing { .. } => "COMMITTING",
        SegmentState::Done { .. } => "DONE",
    }
}

fn rows(segment: &ListedSegment) -> Option<u64> {
    match &segment.state {
        SegmentState::Consuming { .. } => None,
        SegmentState::Committing { seal, .. } | SegmentState::Done { seal, .. } => Some(seal.accounting.rows),
    }
}

fn size(segment: &ListedSegment) -> Option<OpenSize> {
    match &segment.state {
        SegmentState::Consuming { .. } => None,
        SegmentState::Committing { seal, .. } | SegmentState::Done { seal, .. } => seal.size,
    }
}

fn seal_reason(segment: &ListedSegment) -> Cell {
    match &segment.state {
        SegmentState::Consuming { .. } => Cell::Null,
        SegmentState::Committing { seal, .. } | SegmentState::Done { seal, .. } => {
            Cell::Text(seal.reason.as_str().to_owned())
        }
    }
}

/// Its columns.
pub const FIELDS: &[Field<ListedSegment>] = &[
    text("table", |s| Cell::Text(s.table.to_string())),
    text("topic", |s| Cell::Text(s.partition.topic.to_string())),
    long("partition", |s| Cell::Long(s.partition.partition.into())),
    text("segment", |s| Cell::Text(s.name.to_string())),
    text("state", |s| Cell::Text(state(s).to_owned())),
    long("startOffset", |s| Cell::count(offsets(&s.state).0)),
    long("endOffset", |s| Cell::maybe(offsets(&s.state).1)),
    long("rows", |s| Cell::maybe(rows(s))),
    long("bytes", |s| Cell::maybe(artifact(s).map(|artifact| artifact.byte_count))),
    long("predictedBytes", |s| Cell::maybe(size(s).and_then(|size| size.predicted_bytes))),
    long("schemaVersion", |s| Cell::Long(s.schema_version.0.into())),
    text("replicas", |s| Cell::Text(s.replicas.join(","))),
    text("sealReason", seal_reason),
    long("createdMs", |s| Cell::Long(s.created_ms)),
    long("sealedMs", |s| match &s.state {
        SegmentState::Consuming { .. } => Cell::Null,
        SegmentState::Committing { seal, .. } | SegmentState::Done { seal, .. } => Cell::Long(seal.at_ms),
    }),
    text("location", |s| artifact(s).map_or(Cell::Null, |artifact| Cell::Text(artifact.uri.clone()))),
    text("missingIndexes", |s| {
        let missing = artifact(s).map(|artifact| artifact.missing_indexes.join("; "));
        missing.filter(|missing| !missing.is_empty()).map_or(Cell::Null, Cell::Text)
    }),
    text("lastError", |s| s.trouble.clone().map_or(Cell::Null, Cell::Text)),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{pinot_json::segment::tests::segment, system::object};
    use serde_json::json;

    #[test]
    fn an_open_segment_has_no_end_and_a_done_one_its_file() {
        let open = object(FIELDS, &segment(1, false));
        assert_eq!(
            (&open["state"], &open["endOffset"], &open["location"]),
            (&json!("CONSUMING"), &json!(null), &json!(null))
        );
        let done = object(FIELDS, &segment(0, true));
        assert_eq!(
            done,
            json!({"table": "orders", "topic": "orders", "partition": 0, "segment": "orders__0__0__19700101T0000Z",
                "state": "DONE", "startOffset": 0, "endOffset": 5, "rows": 4, "bytes": 1234, "predictedBytes": null, "schemaVersion": 1,
                "replicas": "Server_a_8098", "sealReason": done["sealReason"], "createdMs": done["createdMs"], "sealedMs": done["sealedMs"],
                "location": "file:///deep/orders-1/x", "missingIndexes": null, "lastError": null})
        );
        assert!(done["sealReason"].is_string() && done["createdMs"].is_i64() && done["sealedMs"].is_i64());
        assert_eq!(open["sealedMs"], json!(null));
    }
}
