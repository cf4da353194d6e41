//! A schema and a table config as people write them.

use serde_json::{Value as Json, json};
use weir_control::{Capabilities, DecoderKnown};
use weir_types::ExpressionFacts;

pub(crate) fn capabilities() -> Capabilities<'static> {
    Capabilities {
        stream_types: &["kafka", "local"],
        decoder: |class| match class {
            "json" | "org.apache.pinot.plugin.inputformat.json.JSONMessageDecoder" => DecoderKnown::Yes("json"),
            _ => DecoderKnown::Unknown,
        },
        decoder_key: |_, key| ["jsonFormat", "schema.registry.rest.url"].contains(&key),
        // An expression of the tests names its fields, between spaces.
        expression: |text| match text.strip_prefix("bad ") {
            Some(why) => Err(why.to_owned()),
            None => Ok(ExpressionFacts {
                fields: text.split(' ').skip(1).map(str::to_owned).collect(),
                never_a_truth: text.starts_with("count ").then(|| "LONG".to_owned()),
            }),
        },
    }
}

pub(crate) fn schema_json(name: &str) -> Json {
    json!({
        "schemaName": name,
        "dimensionFieldSpecs": [
            {"name": "id", "dataType": "STRING"},
            {"name": "tags", "dataType": "STRING", "singleValueField": false},
        ],
        "metricFieldSpecs": [{"name": "amount", "dataType": "DOUBLE"}],
        "dateTimeFieldSpecs": [
            {"name": "at", "dataType": "LONG", "format": "1:MILLISECONDS:EPOCH", "granularity": "1:MILLISECONDS"},
        ],
    })
}

pub(crate) fn table_json(name: &str) -> Json {
    json!({
        "tableName": name,
        "tableType": "REALTIME",
        "segmentsConfig": {"timeColumnName": "at", "replication": "1", "retentionTimeUnit": "DAYS", "retentionTimeValue": 7},
        "tenants": {},
        "tableIndexConfig": {
            "invertedIndexColumns": ["id"],
            "somethingNew": {"x": 1},
            "streamConfigs": {
                "streamType": "kafka",
                "stream.kafka.topic.name": "orders",
                "stream.kafka.broker.list": "localhost:9092",
                "stream.kafka.decoder.class.name": "org.apache.pinot.plugin.inputformat.json.JSONMessageDecoder",
                "stream.kafka.consumer.prop.auto.offset.reset": "smallest",
                "realtime.segment.flush.threshold.rows": 1000,
            },
        },
        "metadata": {},
    })
}
