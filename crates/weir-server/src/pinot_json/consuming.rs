//! Consumption as Pinot shows it: `consumingSegmentsInfo`, pause status, force-commit jobs.

use serde_json::{Map, Value as Json, json};
use weir_control::{PartPause, TableRecord};
use weir_ingest::{PartitionState, PartitionStatus, PlannedMove};

/// What Pinot writes where a value is not known.
const NOT_KNOWN: &str = "NOT_CALCULATED";

fn consumer_state(state: &PartitionState) -> &'static str {
    match state {
        PartitionState::Consuming | PartitionState::Lagging | PartitionState::Recovering(_) => "CONSUMING",
        PartitionState::Starting
        | PartitionState::Retrying(_)
        | PartitionState::Halted(_)
        | PartitionState::Paused(_)
        | PartitionState::Gone(_)
        | PartitionState::Recreated(_) => "NOT_CONSUMING",
    }
}

fn known(value: Option<u64>) -> String {
    value.map_or_else(|| NOT_KNOWN.to_owned(), |value| value.to_string())
}

/// `{_segmentToConsumingInfoMap, ..}` over the partitions of a table that have an open segment on `server`.
#[must_use]
pub fn segments_info(partitions: &[PartitionStatus], server: &str) -> Json {
    let mut by_segment = Map::new();
    for status in partitions {
        let Some(segment) = &status.open_segment else { continue };
        let key = status.partition_group.to_string();
        let one = |value: String| json!({ key.clone(): value });
        let next = status.next.number().to_string();
        let info = json!({
            "serverName": server,
            "consumerState": consumer_state(&status.state),
            "lastConsumedTimestamp": status.last_consumed_ms,
            "partitionToOffsetMap": one(next.clone()),
            "partitionOffsetInfo": {
                "currentOffsetsMap": one(next),
                "latestUpstreamOffsetMap": one(known(status.high_watermark.map(|offset| offset.number()))),
                "recordsLagMap": one(known(status.lag_offsets())),
                "availabilityLagMsMap": one(known(status.high_watermark.map(|_| status.lag_ms))),
            },
        });
        by_segment.insert(segment.to_string(), json!([info]));
    }
    json!({
        "_segmentToConsumingInfoMap": by_segment,
        "serversFailingToRespond": 0,
        "serversUnparsableRespond": 0,
    })
}

/// `{pauseFlag, consumingSegments, reasonCode, comment, timestamp, indexOfInactiveTopics}` and, beside Pinot's fields,
/// `pausedParts`: the pauses of single topics (`partition` null) and partitions.
#[must_use]
pub fn pause_status(record: &TableRecord, partitions: &[PartitionStatus]) -> Json {
    let paused = record.paused.as_ref();
    let of_topic = |topic| record.part_pauses.iter().any(|part| part.topic == topic && part.partition.is_none());
    let streams = record.streams();
    let inactive: Vec<usize> =
        streams.iter().enumerate().filter(|(_, stream)| of_topic(stream.topic.clone())).map(|(at, _)| at).collect();
    let part = |part: &PartPause| {
        json!({
            "topic": part.topic.as_str(),
            "partition": part.partition,
            "reasonCode": part.pause.reason,
            "comment": part.pause.comment,
            "timestamp": part.pause.at_ms.to_string(),
        })
    };
    let parts: Vec<Json> = record.part_pauses.iter().map(part).collect();
    let still = |status: &&PartitionStatus| consumer_state(&status.state) == "CONSUMING";
    let consuming: Vec<String> =
        partitions.iter().filter(still).filter_map(|status| Some(status.open_segment.as_ref()?.to_string())).collect();
    json!({
        "pauseFlag": paused.is_some(),
        "consumingSegments": consuming,
        "reasonCode": paused.map(|pause| pause.reason.clone()),
        "comment": paused.map(|pause| pause.comment.clone()),
        "timestamp": paused.map(|pause| pause.at_ms.to_string()),
        "indexOfInactiveTopics": inactive,
        "pausedParts": parts,
    })
}

/// Where a partition goes on: `{topic, partition, fromOffset, toOffset, skippedOffsets, offsetsReadTwice, oldestOffset,
/// endOffset, topicMadeAnew}`. What the log holds is null where nothing is moved.
#[must_use]
pub fn planned_move(planned: &PlannedMove) -> Json {
    json!({
        "topic": planned.partition.topic.as_str(),
        "partition": planned.partition.partition,
        "fromOffset": planned.from.number(),
        "toOffset": planned.to.number(),
        "skippedOffsets": planned.skipped,
        "offsetsReadTwice": planned.read_twice,
        "oldestOffset": planned.held.map(|held| held.0.number()),
        "endOffset": planned.held.map(|held| held.1.number()),
        "topicMadeAnew": planned.recreated,
        "partitionEnds": planned.ends,
    })
}

/// A force-commit that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForceCommitJob {
    /// Its name.
    pub id: String,
    /// The table, with its kind.
    pub table: String,
    /// When it was asked for, wall time in milliseconds.
    pub submitted_ms: i64,
    /// The segments whose end it fixed.
    pub segments: Vec<String>,
}

/// The answer to a force-commit.
#[must_use]
pub fn force_commit_answer(job: &ForceCommitJob) -> Json {
    json!({
        "forceCommitStatus": "SUCCESS",
        "jobMetaZKWriteStatus": "SUCCESS",
        "forceCommitJobId": job.id,
    })
}

/// How far a force-commit is; `left` are those of its segments that are not committed.
#[must_use]
pub fn force_commit_status(job: &ForceCommitJob, left: &[String]) -> Json {
    json!({
        "jobId": job.id,
        "jobType": "FORCE_COMMIT",
        "tableName": job.table,
        "submissionTimeMs": job.submitted_ms.to_string(),
        "segmentsForceCommitted": Json::from(job.segments.clone()).to_string(),
        "segmentsYetToBeCommitted": left,
        "numberOfSegmentsYetToBeCommitted": left.len(),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use weir_control::PauseInfo;
    use weir_types::{NextOffset, StreamPartition, TableName, TopicName};

    pub(crate) fn status(state: PartitionState, high: Option<u64>) -> PartitionStatus {
        let partition = StreamPartition { topic: TopicName::parse("orders").unwrap(), partition: 3 };
        let table = TableName::parse("orders").unwrap();
        PartitionStatus {
            high_watermark: high.map(NextOffset::new),
            lag_ms: 12,
            open_segment: Some("orders__10003__0__x".into()),
            last_consumed_ms: 55,
            ..PartitionStatus::new(table, partition, 10_003, state, NextOffset::new(123), 55)
        }
    }

    #[test]
    fn consuming_segments_tell_offsets_as_text() {
        let info = segments_info(&[status(PartitionState::Consuming, Some(130))], "Server_a_8098");
        assert_eq!(
            info,
            json!({
                "_segmentToConsumingInfoMap": {"orders__10003__0__x": [{
                    "serverName": "Server_a_8098",
                    "consumerState": "CONSUMING",
                    "lastConsumedTimestamp": 55,
                    "partitionToOffsetMap": {"10003": "123"},
                    "partitionOffsetInfo": {
                        "currentOffsetsMap": {"10003": "123"},
                        "latestUpstreamOffsetMap": {"10003": "130"},
                        "recordsLagMap": {"10003": "7"},
                        "availabilityLagMsMap": {"10003": "12"},
                    },
                }]},
                "serversFailingToRespond": 0,
                "serversUnparsableRespond": 0,
            })
        );
        let unknown = segments_info(&[status(PartitionState::Halted("x".into()), None)], "s");
        let unknown = &unknown["_segmentToConsumingInfoMap"]["orders__10003__0__x"][0];
        assert_eq!(unknown["consumerState"], "NOT_CONSUMING");
        assert_eq!(unknown["partitionOffsetInfo"]["recordsLagMap"]["10003"], "NOT_CALCULATED");
        assert_eq!(unknown["partitionOffsetInfo"]["availabilityLagMsMap"]["10003"], "NOT_CALCULATED");
    }

    fn record() -> TableRecord {
        let map = |topic: &str| json!({"streamType": "local", "stream.local.topic.name": topic, "stream.local.decoder.class.name": "json"});
        let document = json!({
            "tableName": "orders",
            "schema": {"schemaName": "orders", "dimensionFieldSpecs": [{"name": "id", "dataType": "LONG"}]},
            "realtime": {"tableName": "orders", "tableType": "REALTIME", "segmentsConfig": {"replication": "1"},
                "tenants": {}, "metadata": {}, "tableIndexConfig": {},
                "ingestionConfig": {"streamIngestionConfig": {"streamConfigMaps": [map("a"), map("b")]}}},
        });
        crate::node::TableConfigs::parse(&document).unwrap().new_table().draft()
    }

    #[test]
    fn pause_status_has_its_reason() {
        let pause = PauseInfo { reason: "ADMINISTRATIVE".into(), comment: "move".into(), at_ms: 9 };
        let topic = |name| TopicName::parse(name).unwrap();
        let parts = vec![
            PartPause { topic: topic("b"), partition: None, pause: pause.clone() },
            PartPause { topic: topic("a"), partition: Some(3), pause: pause.clone() },
        ];
        let record = TableRecord { paused: Some(pause), part_pauses: parts, ..record() };
        let paused = pause_status(&record, &[status(PartitionState::Paused("ADMINISTRATIVE".into()), None)]);
        let said = |topic: &str, partition: Json| json!({"topic": topic, "partition": partition, "reasonCode": "ADMINISTRATIVE", "comment": "move", "timestamp": "9"});
        assert_eq!(
            paused,
            json!({"pauseFlag": true, "consumingSegments": [], "reasonCode": "ADMINISTRATIVE", "comment": "move",
                "timestamp": "9", "indexOfInactiveTopics": [1],
                "pausedParts": [said("b", Json::Null), said("a", json!(3))]})
        );
        let running = TableRecord { paused: None, part_pauses: vec![], ..record };
        let running = pause_status(&running, &[status(PartitionState::Lagging, None)]);
        assert_eq!(running["pauseFlag"], false);
        assert_eq!(running["consumingSegments"], json!(["orders__10003__0__x"]));
    }

    #[test]
    fn force_commit_counts_what_is_left() {
        let job = ForceCommitJob {
            id: "j".into(),
            table: "orders_REALTIME".into(),
            submitted_ms: 4,
            segments: vec!["a".into(), "b".into()],
        };
        let status = force_commit_status(&job, &["b".to_owned()]);
        assert_eq!(status["segmentsForceCommitted"], r#"["a","b"]"#);
        assert_eq!(
            (&status["segmentsYetToBeCommitted"], &status["numberOfSegmentsYetToBeCommitted"]),
            (&json!(["b"]), &json!(1))
        );
        assert_eq!(force_commit_answer(&job)["forceCommitJobId"], "j");
    }
}
