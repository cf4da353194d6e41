//! Tables and instances as Pinot's controller shows them.

use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use weir_control::{TableRecord, redacted, redacted_at};

/// The answer to a change of configuration: what was done, the keys that nobody knows (JSON pointer to value), and those
/// that are accepted without an effect yet.
#[must_use]
pub fn config_success(
    status: &str,
    unrecognized: &BTreeMap<String, Json>,
    not_yet_effective: &[String],
    warnings: &[String],
) -> Json {
    let mut answer = Map::new();
    answer.insert("unrecognizedProperties".to_owned(), seen_properties(unrecognized));
    if !not_yet_effective.is_empty() {
        answer.insert("notYetEffective".to_owned(), json!(not_yet_effective));
    }
    if !warnings.is_empty() {
        answer.insert("warnings".to_owned(), json!(warnings));
    }
    answer.insert("status".to_owned(), json!(status));
    Json::Object(answer)
}

/// Properties by their JSON pointers, without their secrets.
#[must_use]
pub fn seen_properties(properties: &BTreeMap<String, Json>) -> Json {
    Json::Object(properties.iter().map(|(path, value)| (path.clone(), redacted_at(path, value))).collect())
}

/// `{"REALTIME":{..}}` without secrets, beside it what has no effect yet.
#[must_use]
pub fn table_config(record: &TableRecord) -> Json {
    let mut answer = Map::new();
    answer.insert("REALTIME".to_owned(), redacted(&record.config_json));
    if !record.not_yet_effective.is_empty() {
        answer.insert("notYetEffective".to_owned(), json!(record.not_yet_effective));
    }
    Json::Object(answer)
}

/// `{tableName, schema, realtime}`, without secrets.
#[must_use]
pub fn table_configs(record: &TableRecord) -> Json {
    let mut answer = Map::new();
    answer.insert("tableName".to_owned(), json!(record.spec.name.as_str()));
    answer.insert("schema".to_owned(), record.schema_json.clone());
    answer.insert("realtime".to_owned(), redacted(&record.config_json));
    if !record.not_yet_effective.is_empty() {
        answer.insert("notYetEffective".to_owned(), json!(record.not_yet_effective));
    }
    Json::Object(answer)
}

/// A broker as clients discover it.
#[must_use]
pub fn broker(host: &str, port: u16, instance: &str) -> Json {
    json!({ "instanceName": instance, "host": host, "port": port, "grpcPort": -1 })
}

/// `GET /tables/{t}/instances`.
#[must_use]
pub fn instances(table: &str, broker: &str, server: &str) -> Json {
    json!({
        "tableName": table,
        "brokers": [{ "tableType": "REALTIME", "instances": [broker] }],
        "server": [{ "tableType": "REALTIME", "instances": [server] }],
    })
}

/// `GET /tables/{t}/metadata`. `cardinalities` are those of columns that were asked for.
#[must_use]
pub fn metadata(table: &str, bytes: u64, segments: usize, rows: u64, cardinalities: &BTreeMap<String, f64>) -> Json {
    json!({
        "tableName": table,
        "diskSizeInBytes": bytes,
        "numSegments": segments,
        "numRows": rows,
        "columnLengthMap": {},
        "columnCardinalityMap": cardinalities,
        "maxNumMultiValuesMap": {},
        "columnIndexSizeMap": {},
        "upsertPartitionToServerPrimaryKeyCountMap": {},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_lists_what_is_not_known_and_what_has_no_effect() {
        assert_eq!(
            config_success("done", &BTreeMap::new(), &[], &[]).to_string(),
            r#"{"unrecognizedProperties":{},"status":"done"}"#
        );
        let unrecognized = BTreeMap::from([("/tableIndexConfig/x".to_owned(), json!(1))]);
        assert_eq!(
            config_success("done", &unrecognized, &["tierConfigs".to_owned()], &[]),
            json!({"unrecognizedProperties": {"/tableIndexConfig/x": 1}, "notYetEffective": ["tierConfigs"], "status": "done"})
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let unrecognized = BTreeMap::from([("/realtime/myApiKey".to_owned(), json!("hunter2"))]);
        let shown = config_success("done", &unrecognized, &[], &[]);
        assert_eq!(shown["unrecognizedProperties"], json!({"/realtime/myApiKey": "*****"}));
    }

    #[test]
    fn brokers_carry_what_clients_read() {
        let expected = json!({"instanceName": "Broker_h_8099", "host": "h", "port": 8099, "grpcPort": -1});
        assert_eq!(broker("h", 8099, "Broker_h_8099"), expected);
        let instances = instances("orders", "Broker_h_8099", "Server_h_8098");
        assert_eq!(instances["brokers"][0]["instances"], json!(["Broker_h_8099"]));
    }
}
