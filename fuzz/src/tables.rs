//! The tables that messages are decoded for: columns of every type, and what is made of records on their way.

use serde_json::{Value as Json, json};
use std::sync::Arc;
use weir_control::{Capabilities, DecoderKnown, ParsedTable, parse_schema, parse_table};
use weir_formats::{registry, transform::read_expression};
use weir_types::Schema;

/// What this build can read, as the server says it.
pub(crate) fn capabilities() -> Capabilities<'static> {
    Capabilities {
        stream_types: &["kafka", "kinesis", "local", "memory", "pulsar"],
        decoder: |class| match (registry::resolve(class), registry::absent(class)) {
            (Some(name), _) => DecoderKnown::Yes(name),
            (None, Some(why)) => DecoderKnown::Absent(why),
            (None, None) => DecoderKnown::Unknown,
        },
        decoder_key: registry::knows,
        expression: read_expression,
    }
}

/// Columns of every type, single- and multi-valued, and a time column.
fn schema() -> Json {
    json!({
        "schemaName": "t",
        "dimensionFieldSpecs": [
            {"name": "i", "dataType": "INT"},
            {"name": "l", "dataType": "LONG"},
            {"name": "f", "dataType": "FLOAT"},
            {"name": "d", "dataType": "DOUBLE"},
            {"name": "b", "dataType": "BOOLEAN"},
            {"name": "ts", "dataType": "TIMESTAMP"},
            {"name": "s", "dataType": "STRING"},
            {"name": "short", "dataType": "STRING", "maxLength": 3, "maxLengthExceedStrategy": "TRIM_LENGTH"},
            {"name": "strict", "dataType": "STRING", "maxLength": 8, "maxLengthExceedStrategy": "ERROR"},
            {"name": "j", "dataType": "JSON"},
            {"name": "by", "dataType": "BYTES"},
            {"name": "u", "dataType": "UUID"},
            {"name": "is", "dataType": "INT", "singleValueField": false},
            {"name": "ls", "dataType": "LONG", "singleValueField": false},
            {"name": "fs", "dataType": "FLOAT", "singleValueField": false},
            {"name": "ds", "dataType": "DOUBLE", "singleValueField": false},
            {"name": "bs", "dataType": "BOOLEAN", "singleValueField": false},
            {"name": "tss", "dataType": "TIMESTAMP", "singleValueField": false},
            {"name": "ss", "dataType": "STRING", "singleValueField": false},
            {"name": "bys", "dataType": "BYTES", "singleValueField": false},
            {"name": "items.id", "dataType": "LONG"},
            {"name": "items.name", "dataType": "STRING"},
            {"name": "o.x", "dataType": "DOUBLE"},
            {"name": "sum", "dataType": "DOUBLE"},
            {"name": "text", "dataType": "STRING"},
            {"name": "day", "dataType": "STRING"},
            {"name": "got", "dataType": "STRING"},
            {"name": "parts", "dataType": "STRING", "singleValueField": false},
        ],
        "metricFieldSpecs": [{"name": "bd", "dataType": "BIG_DECIMAL"}],
        "complexFieldSpecs": [{
            "name": "m", "dataType": "MAP", "childFieldSpecs": {
                "key": {"name": "key", "dataType": "STRING"}, "value": {"name": "value", "dataType": "STRING"},
            },
        }],
        "dateTimeFieldSpecs": [
            {"name": "at", "dataType": "LONG", "format": "1:MILLISECONDS:EPOCH", "granularity": "1:MILLISECONDS"},
        ],
    })
}

/// What a table asks of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    /// Nothing: what cannot be typed is a reject.
    Types,
    /// What cannot be typed is null; times are checked.
    Lenient,
    /// Nested records are made flat, columns derived, rows filtered.
    Everything,
    /// The same, and what cannot be worked out is null.
    EverythingLenient,
}

impl Asks {
    pub(crate) const ALL: [Self; 4] = [Self::Types, Self::Lenient, Self::Everything, Self::EverythingLenient];

    fn ingestion(self) -> Json {
        let lenient = matches!(self, Self::Lenient | Self::EverythingLenient);
        let mut ingestion = json!({"continueOnError": lenient, "rowTimeValueCheck": self != Self::Types});
        if matches!(self, Self::Everything | Self::EverythingLenient) {
            ingestion["complexTypeConfig"] = json!({
                "fieldsToUnnest": ["items", "items.more"], "delimiter": ".",
                "collectionNotUnnestedToJson": if lenient { "NONE" } else { "NON_PRIMITIVE" },
                "prefixesToRename": {"payload.": ""},
            });
            ingestion["enrichmentConfigs"] = json!([{
                "enricherType": "generateColumn", "properties": {"fieldToFunctionMap": {"helper": "lower(name)"}},
            }]);
            ingestion["transformConfigs"] = json!([
                {"columnName": "sum", "transformFunction": "i + l * 2 - d / f"},
                {"columnName": "text", "transformFunction": "concat(upper(s), helper, '-')"},
                {"columnName": "day", "transformFunction": "toDateTime(at, 'yyyy-MM-dd HH:mm', 'Asia/Kolkata')"},
                {"columnName": "got", "transformFunction": "jsonPathString(j, '$.a[*].b', 'none')"},
                {"columnName": "parts", "transformFunction": "split(s, ',')"},
            ]);
            ingestion["filterConfig"] = json!({"filterFunction": "i > 1000 AND (s LIKE 'drop%' OR b)"});
        }
        ingestion
    }
}

/// The columns and the table, as the config reader makes them.
pub(crate) fn table(asks: Asks) -> (Arc<Schema>, ParsedTable) {
    let schema = parse_schema(&schema()).unwrap_or_else(|errors| panic!("{errors}")).schema;
    let mut ingestion = asks.ingestion();
    ingestion["streamIngestionConfig"] = json!({"streamConfigMaps": [{
        "streamType": "memory", "stream.memory.topic.name": "t", "stream.memory.decoder.class.name": "json",
    }]});
    let config = json!({
        "tableName": "t", "tableType": "REALTIME", "tenants": {}, "metadata": {}, "tableIndexConfig": {},
        "segmentsConfig": {"replication": "1", "timeColumnName": "at"},
        "ingestionConfig": ingestion,
    });
    let table = parse_table(&config, Some(&schema), &capabilities()).unwrap_or_else(|errors| panic!("{errors}"));
    (Arc::new(schema), table)
}
