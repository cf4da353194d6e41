//! Every key that is known, with every kind of value: what does not belong there is an error that names key, value and kind.

use super::Kind;
use crate::spec::{
    keys::{KINESIS_KEYS, STREAM_KEYS, TABLE_KEYS},
    schema::parse_schema,
    table::{Capabilities, DecoderKnown, parse_table},
};
use serde_json::{Map, Value as Json, json};
use weir_types::ExpressionFacts;

/// A value of each kind that JSON has, and texts that are numbers and truths.
fn values() -> Vec<Json> {
    vec![
        json!("x"),
        json!("5"),
        json!("0.25"),
        json!("true"),
        json!(5),
        json!(0.25),
        json!(true),
        json!(["x"]),
        json!([["x"]]),
        json!([{"a": "b"}]),
        json!({"a": "b"}),
        json!({"a": ["b"]}),
        json!({"enabled": "perhaps"}),
    ]
}

/// What Pinot's reader takes, as positions in `values`: a list written by hand, which the check has to meet.
fn belong(kind: Kind) -> &'static [usize] {
    match kind {
        Kind::Text => &[0, 1, 2, 3, 4, 5, 6],
        Kind::Words => &[0, 1, 2, 3],
        Kind::Truth => &[3, 6],
        Kind::Whole => &[1, 4],
        Kind::Number | Kind::Size => &[1, 2, 4, 5],
        Kind::Texts => &[0, 1, 2, 3, 7],
        Kind::Object => &[10, 11, 12],
        Kind::Map => &[10, 12],
        Kind::Objects => &[9],
        Kind::Index => &[10, 11],
    }
}

fn capabilities() -> Capabilities<'static> {
    Capabilities {
        stream_types: &["kafka", "pulsar", "kinesis", "local", "memory", "own"],
        decoder: |_| DecoderKnown::Yes("json"),
        decoder_key: |_, _| true,
        expression: |_| Ok(ExpressionFacts::default()),
    }
}

fn config(stream_type: &str) -> Json {
    let mut map = Map::new();
    map.insert("streamType".into(), json!(stream_type));
    map.insert(format!("stream.{stream_type}.topic.name"), json!("t"));
    map.insert(format!("stream.{stream_type}.decoder.class.name"), json!("json"));
    map.insert("region".into(), json!("us-east-1"));
    map.insert("stream.pulsar.bootstrap.servers".into(), json!("pulsar://localhost:6650"));
    map.insert("stream.kafka.broker.list".into(), json!("localhost:9092"));
    json!({"tableName": "t", "tableType": "REALTIME", "tableIndexConfig": {"streamConfigs": map}})
}

/// Puts a value at a path of the table of keys, with lists and objects on the way.
fn put(json: &mut Json, path: &str, value: &Json) {
    let (key, rest) = path.split_once('.').map_or((path, None), |(key, rest)| (key, Some(rest)));
    let place = if key == "[]" {
        if !json.is_array() {
            *json = json!([{"name": "x"}]);
        }
        &mut json[0]
    } else {
        if !json.is_object() {
            *json = json!({});
        }
        &mut json[key]
    };
    match rest {
        Some(rest) => put(place, rest, value),
        None => *place = value.clone(),
    }
}

/// One key with all values: those that do not belong are said at its place, or at a place within.
fn check(kind: Kind, path: &str, read: impl Fn(&Json) -> Vec<(String, String)>) {
    for (at, value) in values().iter().enumerate() {
        let errors = read(value);
        let said: Vec<&(String, String)> = errors.iter().filter(|(place, _)| place.starts_with(path)).collect();
        if belong(kind).contains(&at) {
            let of_kind = format!("must be {}", kind.expected());
            let kinds: Vec<_> = said
                .iter()
                .filter(|(place, reason)| place == path && reason.starts_with(&format!("{of_kind}, and")))
                .collect();
            assert!(kinds.is_empty(), "{path} = {value} is {kind:?}: {kinds:?}");
        } else {
            assert!(!said.is_empty(), "{path} = {value} is no {kind:?} and nothing is said: {errors:?}");
            let bound = said.iter().filter(|(place, reason)| place == path && reason.starts_with("must be ")).count();
            assert!(bound <= 1, "{path} = {value} is said twice: {said:?}");
        }
    }
}

fn errors_of(config: &Json) -> Vec<(String, String)> {
    let errors = parse_table(config, None, &capabilities()).err().map(|errors| errors.0).unwrap_or_default();
    errors.into_iter().map(|error| (error.path, error.reason)).collect()
}

#[test]
fn every_key_of_a_table_takes_its_kind_and_says_what_it_does_not_take() {
    for (path, kind, _) in TABLE_KEYS {
        check(*kind, &path.replace(".[]", "[0]"), |value| {
            let mut config = config("local");
            put(&mut config, path, value);
            errors_of(&config)
        });
    }
}

#[test]
fn every_key_of_a_stream_map_takes_its_kind_and_says_what_it_does_not_take() {
    let mut seen = 0;
    for stream_type in ["kafka", "pulsar", "kinesis", "local", "memory", "own"] {
        let own = if stream_type == "kinesis" { KINESIS_KEYS } else { &[] };
        for (rule, kind, _) in STREAM_KEYS.iter().chain(own) {
            let key = rule.replacen("stream.T.", &format!("stream.{stream_type}."), 1).replace('*', ".some");
            if key.strip_prefix("stream.").is_some_and(|rest| !rest.starts_with(stream_type)) {
                continue;
            }
            seen += 1;
            let path = format!("tableIndexConfig.streamConfigs.{key}");
            check(*kind, &path, |value| {
                let mut config = config(stream_type);
                config["tableIndexConfig"]["streamConfigs"][&key] = value.clone();
                errors_of(&config)
            });
        }
    }
    assert!(seen > 200, "{seen}");
}

#[test]
fn every_key_of_a_schema_takes_its_kind_and_says_what_it_does_not_take() {
    let schema = || {
        json!({"schemaName": "t", "dimensionFieldSpecs": [{"name": "x", "dataType": "STRING"}],
               "dateTimeFieldSpecs": [{"name": "at", "dataType": "LONG", "format": "EPOCH", "granularity": "1:DAYS"}]})
    };
    let read = |json: &Json| -> Vec<(String, String)> {
        let errors = parse_schema(json).err().map(|errors| errors.0).unwrap_or_default();
        errors.into_iter().map(|error| (error.path, error.reason)).collect()
    };
    for (key, kind) in crate::spec::schema::SCHEMA_KEYS {
        let Some(kind) = kind else { continue };
        check(kind, key, |value| {
            let mut json = schema();
            json[key] = value.clone();
            read(&json)
        });
    }
    for (key, kind) in crate::spec::schema::FIELD_KEYS {
        let Some(kind) = kind else { continue };
        check(kind, &format!("dateTimeFieldSpecs[0].{key}"), |value| {
            let mut json = schema();
            json["dateTimeFieldSpecs"][0][key] = value.clone();
            read(&json)
        });
    }
}

#[test]
fn sizes_have_units() {
    for (text, right) in [
        ("10G", true),
        ("1.5 ", true),
        ("500mb", true),
        ("7B", true),
        ("0", true),
        ("", true),
        ("10X", false),
        ("G", false),
        ("-1G", false),
        ("1e400", false),
        ("ten", false),
    ] {
        let mut config = config("local");
        config["quota"] = json!({"storage": text});
        let said = errors_of(&config);
        assert_eq!(said.is_empty(), right, "{text:?}: {said:?}");
    }
    let mut config = config("local");
    config["quota"] = json!({"storage": ["10G"]});
    config["query"] = json!({"timeoutMs": "soon"});
    let said: Vec<String> = errors_of(&config).into_iter().map(|(path, reason)| format!("{path} {reason}")).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.iter().any(|text| text.starts_with("quota.storage must be a number of bytes such as 500M or 10G")));
    assert!(said.iter().any(|text| text == "query.timeoutMs must be a whole number"), "{said:?}");
}

#[test]
fn children_of_complex_fields_are_fields() {
    let read = |children: Json| -> Vec<String> {
        let schema = json!({"schemaName": "t", "complexFieldSpecs": [
            {"name": "m", "dataType": "MAP", "fieldType": "COMPLEX", "childFieldSpecs": children}]});
        match parse_schema(&schema) {
            Err(errors) => errors.0.into_iter().map(|error| format!("{} {}", error.path, error.reason)).collect(),
            Ok(parsed) => parsed.unrecognized.into_keys().collect(),
        }
    };
    let field = |kind: &str| json!({"name": "x", "dataType": kind, "fieldType": "DIMENSION", "singleValueField": true});
    assert_eq!(read(json!({"key": field("STRING"), "value": field("INT")})), Vec::<String>::new());
    assert_eq!(
        read(json!({"key": 5})),
        ["complexFieldSpecs[0].childFieldSpecs.key must be an object, and a number stands there"]
    );
    let mut wrong = field("INT");
    wrong["singleValueField"] = json!("perhaps");
    wrong["strange"] = json!(1);
    assert_eq!(
        read(json!({"value": wrong})),
        ["complexFieldSpecs[0].childFieldSpecs.value.singleValueField must be true or false"]
    );
    let mut strange = field("MAP");
    strange["childFieldSpecs"] = json!({"value": {"dataType": "INT", "strange": 1}});
    assert_eq!(
        read(json!({"value": strange.clone()})),
        ["/complexFieldSpecs/0/childFieldSpecs/value/childFieldSpecs/value/strange"]
    );
    strange["childFieldSpecs"]["value"]["maxLength"] = json!("long");
    assert_eq!(
        read(json!({"value": strange})),
        ["complexFieldSpecs[0].childFieldSpecs.value.childFieldSpecs.value.maxLength must be a whole number"]
    );
}

#[test]
fn every_kind_has_a_key() {
    for kind in Kind::ALL {
        assert!(TABLE_KEYS.iter().chain(STREAM_KEYS).any(|(_, other, _)| *other == kind), "{kind:?}");
    }
}

#[test]
fn a_secret_in_a_value_of_a_wrong_kind_is_not_shown() {
    let mut config = config("kafka");
    config["tableIndexConfig"]["streamConfigs"] = Json::Null;
    let map = json!({"streamType": "kafka", "sasl.password": "hunter2", "x": [{"password": ["hunter2"]}]});
    config["ingestionConfig"] = json!({"streamIngestionConfig": {"streamConfigMaps": map}});
    let errors = parse_table(&config, None, &capabilities()).unwrap_err();
    assert!(!errors.to_string().contains("hunter2"), "{errors}");
    assert!(errors.to_string().contains("streamConfigMaps"), "{errors}");
}
