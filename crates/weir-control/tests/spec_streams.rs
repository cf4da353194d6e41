//! Stream maps of other streams than Kafka: what their readers are handed, and what is refused.

#[path = "support/configs.rs"]
mod configs;

use configs::{capabilities, schema_json, table_json};
use serde_json::{Value as Json, json};
use weir_control::{Capabilities, parse_schema, parse_table};
use weir_types::Schema;

fn schema() -> Schema {
    parse_schema(&schema_json("orders")).expect("the schema is right").schema
}

/// The table's stream map in place of that of the suite.
fn with_map(map: Json) -> Json {
    let mut config = table_json("orders");
    config["tableIndexConfig"]["streamConfigs"] = map;
    config
}

fn other_streams() -> Capabilities<'static> {
    Capabilities { stream_types: &["kafka", "kinesis", "pulsar"], ..capabilities() }
}

#[test]
fn pulsar_maps_are_read() {
    let map = |topic: &str| {
        json!({
            "streamType": "pulsar",
            "stream.pulsar.topic.name": topic,
            "stream.pulsar.decoder.class.name": "json",
            "stream.pulsar.bootstrap.servers": "pulsar://localhost:6650",
            "stream.pulsar.authenticationToken": "env:TOKEN",
            "stream.pulsar.enableKeyValueStitch": true,
            "stream.pulsar.serviceHttpUrl": "http://localhost:8080",
            "stream.pulsar.metadata.fields": "messageId",
        })
    };
    let parsed =
        parse_table(&with_map(map("persistent://acme/raw/orders")), Some(&schema()), &other_streams()).unwrap();
    let stream = &parsed.spec.streams[0];
    assert_eq!(stream.topic.as_str(), "orders");
    let expected = [
        ("authenticationToken", "env:TOKEN"),
        ("bootstrap.servers", "pulsar://localhost:6650"),
        ("enableKeyValueStitch", "true"),
        ("namespace", "acme/raw"),
    ];
    let found: Vec<(&str, &str)> = stream.settings.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(found, expected);
    let parsed = parse_table(&with_map(map("orders")), Some(&schema()), &other_streams()).unwrap();
    assert!(!parsed.spec.streams[0].settings.contains_key("namespace"));
    for topic in ["non-persistent://a/b/orders", "persistent://orders", "persistent://a/b/c/orders"] {
        let found = parse_table(&with_map(map(topic)), Some(&schema()), &other_streams()).unwrap_err();
        assert!(found.to_string().contains("persistent://tenant/namespace/topic"), "{topic}: {found}");
    }
    let mut none = map("orders");
    none["stream.pulsar.bootstrap.servers"] = Json::Null;
    let found = parse_table(&with_map(none), Some(&schema()), &other_streams()).unwrap_err();
    assert!(found.to_string().contains("stream.pulsar.bootstrap.servers"), "{found}");
}

#[test]
fn a_map_of_an_added_connector_hands_it_its_own_settings() {
    let map = json!({
        "streamType": "files",
        "stream.files.topic.name": "orders",
        "stream.files.decoder.class.name": "json",
        "stream.files.prop.folder": "/var/log/orders",
        "stream.files.prop.wait.ms": 50,
        "stream.files.folder": "/elsewhere",
    });
    let added = Capabilities { stream_types: &["kafka", "files"], ..capabilities() };
    let parsed = parse_table(&with_map(map.clone()), Some(&schema()), &added).unwrap();
    let found: Vec<_> = parsed.spec.streams[0].settings.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(found, [("folder", "/var/log/orders"), ("wait.ms", "50")]);
    let keys: Vec<&String> = parsed.unrecognized.keys().collect();
    assert!(keys.contains(&&"/tableIndexConfig/streamConfigs/stream.files.folder".to_owned()), "{keys:?}");
    assert!(!keys.iter().any(|key| key.contains("stream.files.prop")), "{keys:?}");
    let found = parse_table(&with_map(map), Some(&schema()), &other_streams()).unwrap_err();
    assert!(found.to_string().contains("files"), "{found}");
}

#[test]
fn kinesis_maps_are_read() {
    let map = json!({
        "streamType": "kinesis",
        "stream.kinesis.topic.name": "orders",
        "stream.kinesis.decoder.class.name": "json",
        "region": "us-east-1",
        "accessKey": "env:KEY",
        "secretKey": "${file:/run/secrets/aws:secret}",
        "maxRecordsToFetch": 500,
        "shardIteratorType": "LATEST",
        "shardIteratorTyp": "LATEST",
    });
    let parsed = parse_table(&with_map(map.clone()), Some(&schema()), &other_streams()).unwrap();
    let settings = &parsed.spec.streams[0].settings;
    let found: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (&**key, &**value)).collect();
    let expected = [
        ("accessKey", "env:KEY"),
        ("maxRecordsToFetch", "500"),
        ("region", "us-east-1"),
        ("secretKey", "${file:/run/secrets/aws:secret}"),
    ];
    assert_eq!(found, expected);
    assert!(parsed.unrecognized.keys().any(|key| key.ends_with("/shardIteratorTyp")));
    let mut none = map;
    none["region"] = Json::Null;
    let found = parse_table(&with_map(none), Some(&schema()), &other_streams()).unwrap_err();
    assert!(found.to_string().contains("streamConfigs.region"), "{found}");
}
