//! The size of a table: of its committed files, and of their copies on this node.

use crate::{node::ListedSegment, pinot_json::segment::artifact};
use serde_json::{Map, Value as Json, json};

/// The answer to `GET /tables/{t}/size`. `local` gives the bytes of a segment's copy on `server`; a copy that is missing
/// reads -1. Segments that are not committed have no file and are not listed.
#[must_use]
pub fn table_size(table: &str, segments: &[ListedSegment], server: &str, local: impl Fn(&str) -> Option<u64>) -> Json {
    let (mut reported, mut estimated, mut missing) = (0, 0, 0);
    let mut listed = Map::new();
    for (segment, artifact) in segments.iter().filter_map(|segment| Some((segment, artifact(segment)?))) {
        let name = segment.name.to_string();
        let copy = local(&name);
        reported += copy.unwrap_or(0);
        estimated += copy.unwrap_or(artifact.byte_count);
        missing += u64::from(copy.is_none());
        let shown = copy.map_or(json!(-1), Json::from);
        listed.insert(
            name.clone(),
            json!({
                "reportedSizeInBytes": shown,
                "estimatedSizeInBytes": copy.unwrap_or(artifact.byte_count),
                "maxReportedSizePerReplicaInBytes": shown,
                "serverInfo": { server: { "segmentName": name, "diskSizeInBytes": shown } },
            }),
        );
    }
    json!({
        "tableName": table,
        "reportedSizeInBytes": reported,
        "estimatedSizeInBytes": estimated,
        "reportedSizePerReplicaInBytes": reported,
        "offlineSegments": null,
        "realtimeSegments": {
            "reportedSizeInBytes": reported,
            "estimatedSizeInBytes": estimated,
            "missingSegments": missing,
            "reportedSizePerReplicaInBytes": reported,
            "segments": listed,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pinot_json::segment::tests::segment;

    #[test]
    fn missing_copies_are_estimated() {
        let segments = [segment(0, true), segment(1, true), segment(2, false)];
        let first = segments[0].name.to_string();
        let size = table_size("orders", &segments, "s", |name| (name == first).then_some(1000));
        assert_eq!((&size["reportedSizeInBytes"], &size["estimatedSizeInBytes"]), (&json!(1000), &json!(2234)));
        let realtime = &size["realtimeSegments"];
        assert_eq!((&realtime["missingSegments"], realtime["segments"].as_object().unwrap().len()), (&json!(1), 2));
        let missing = &realtime["segments"][segments[1].name.to_string()];
        assert_eq!((&missing["reportedSizeInBytes"], &missing["estimatedSizeInBytes"]), (&json!(-1), &json!(1234)));
        assert_eq!(size["offlineSegments"], Json::Null);
    }
}
