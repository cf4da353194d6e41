//! Table configs as people write them: what is read, what is refused and with what words.

#[path = "support/configs.rs"]
mod configs;

use configs::{capabilities, schema_json, table_json};
use serde_json::{Value as Json, json};
use std::time::Duration;
use weir_control::{Capabilities, DecoderKnown, ParsedTable, SpecError, SpecErrors, parse_schema, parse_table};
use weir_types::{
    AutoReset, ColumnName, ErrorPolicy, FieldIndexes, FlushPolicy, QuarantineSpec, RetentionSpec, RowsThreshold,
    Schema, StartAt, TableSpec, TopicName,
};

fn schema() -> Schema {
    parse_schema(&schema_json("orders")).expect("the schema is right").schema
}

fn parse(config: &Json) -> Result<ParsedTable, SpecErrors> {
    parse_table(config, Some(&schema()), &capabilities())
}

fn spec(config: &Json) -> TableSpec {
    parse(config).unwrap_or_else(|errors| panic!("{errors}")).spec
}

fn errors(config: &Json) -> Vec<SpecError> {
    match parse(config) {
        Ok(parsed) => panic!("it was accepted: {:?}", parsed.spec),
        Err(errors) => errors.0,
    }
}

/// A config with a value put at a pointer's place, objects made on the way.
fn with(pointer: &str, value: Json) -> Json {
    put(table_json("orders"), pointer, value)
}

fn put(mut config: Json, pointer: &str, value: Json) -> Json {
    let mut at = &mut config;
    for key in pointer.split('/').skip(1) {
        at = match key.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[key],
        };
    }
    *at = value;
    config
}

fn with_stream(key: &str, value: Json) -> Json {
    with(&format!("/tableIndexConfig/streamConfigs/{key}"), value)
}

fn stream_map(topic: &str) -> Json {
    let mut map = table_json("orders")["tableIndexConfig"]["streamConfigs"].take();
    map["stream.kafka.topic.name"] = json!(topic);
    map
}

fn with_maps(maps: Vec<Json>) -> Json {
    let mut config = table_json("orders");
    config["tableIndexConfig"].as_object_mut().expect("it is an object").remove("streamConfigs");
    put(config, "/ingestionConfig/streamIngestionConfig/streamConfigMaps", Json::Array(maps))
}

fn column(name: &str) -> ColumnName {
    ColumnName::parse(name).expect("it is a column name")
}

#[test]
fn a_common_config_is_read() {
    let parsed = parse(&table_json("orders_REALTIME")).unwrap();
    let spec = &parsed.spec;
    assert_eq!(spec.name.as_str(), "orders");
    assert_eq!(spec.time_column, Some(column("at")));
    assert_eq!((spec.replication, spec.null_handling, spec.row_time_check), (1, false, false));
    assert_eq!((spec.error_policy, spec.lagging_after), (ErrorPolicy::Quarantine, Duration::from_secs(10)));
    let [stream] = spec.streams.as_slice() else { panic!("one stream, {:?}", spec.streams.len()) };
    assert_eq!((&*stream.stream_type, stream.topic.as_str(), &*stream.decoder), ("kafka", "orders", "json"));
    assert_eq!(stream.start_at, StartAt::Earliest);
    assert_eq!(stream.fetch_timeout, Duration::from_secs(5));
    assert_eq!(stream.settings.get("bootstrap.servers").map(String::as_str), Some("localhost:9092"));
    let expected = FlushPolicy {
        rows: RowsThreshold::PerNode(1000),
        max_age: Duration::from_secs(6 * 3600),
        variance_fraction: 0.0,
    };
    assert_eq!(spec.flush, expected);
    assert!(spec.indexes[&column("id")].inverted);
    assert_eq!(parsed.unrecognized.keys().collect::<Vec<_>>(), ["/tableIndexConfig/somethingNew"]);
    assert!(parsed.not_yet_effective.is_empty(), "{:?}", parsed.not_yet_effective);
    let week = Duration::from_secs(7 * 86_400);
    assert_eq!(spec.retention, RetentionSpec { keep: Some(week), objects_kept: week });
}

#[test]
fn the_shown_config_is_normal_and_reads_the_same() {
    let mut given = with_maps(vec![stream_map("a"), stream_map("b")]);
    given["fieldConfigList"] = json!([{"name": "amount", "encodingType": "RAW"}]);
    for given in [table_json("orders"), given] {
        let parsed = parse(&given).unwrap();
        assert_eq!(parsed.json["tableName"], "orders_REALTIME");
        assert_eq!(parsed.json["tenants"], json!({"broker": "DefaultTenant", "server": "DefaultTenant"}));
        assert_eq!(parsed.json["isDimTable"], false);
        assert_eq!(parsed.json["tableIndexConfig"]["somethingNew"], json!({"x": 1}), "nothing is lost");
        let again = parse(&parsed.json).unwrap();
        assert_eq!(again.spec, parsed.spec);
        assert_eq!(again.json, parsed.json);
        assert_eq!(again.unrecognized, parsed.unrecognized);
    }
    let text = parse(&table_json("orders")).unwrap().json;
    assert_eq!(text["tableIndexConfig"]["streamConfigs"]["realtime.segment.flush.threshold.rows"], "1000");
}

#[test]
fn several_topics_are_several_streams() {
    let two = with_maps(vec![stream_map("a"), stream_map("b")]);
    let topics: Vec<_> = spec(&two).streams.iter().map(|stream| stream.topic.to_string()).collect();
    assert_eq!(topics, ["a", "b"]);
    let twice = errors(&with_maps(vec![stream_map("a"), stream_map("a")]));
    assert_eq!(twice.len(), 1);
    assert_eq!(twice[0].path, "ingestionConfig.streamIngestionConfig.streamConfigMaps[1].stream.kafka.topic.name");
    let mut other = stream_map("b");
    other["realtime.segment.flush.threshold.rows"] = json!("7");
    let unequal = errors(&with_maps(vec![stream_map("a"), other]));
    assert!(unequal[0].reason.contains("must be the same in all stream maps"), "{unequal:?}");
    let mut both = table_json("orders");
    both["ingestionConfig"] = json!({"streamIngestionConfig": {"streamConfigMaps": [stream_map("a")]}});
    assert!(errors(&both)[0].reason.contains("remove one of them"));
}

#[test]
fn offset_criteria() {
    let reset = "stream.kafka.consumer.prop.auto.offset.reset";
    for (text, expected) in [
        ("smallest", StartAt::Earliest),
        ("Earliest", StartAt::Earliest),
        ("largest", StartAt::Latest),
        ("latest", StartAt::Latest),
        ("2d", StartAt::Ago(Duration::from_secs(2 * 86_400))),
        ("4h30m", StartAt::Ago(Duration::from_secs(16_200))),
        ("2026-01-01T00:00:00Z", StartAt::TimestampMs(1_767_225_600_000)),
    ] {
        assert_eq!(spec(&with_stream(reset, json!(text))).streams[0].start_at, expected, "{text}");
    }
    let named = spec(&with_stream(reset, json!(r#"{"0": 1500, "7": 0}"#)));
    let offsets: Vec<(u32, u64)> = named.streams[0].start_offsets.iter().map(|(at, to)| (*at, to.number())).collect();
    assert_eq!((named.streams[0].start_at.clone(), offsets), (StartAt::Earliest, vec![(0, 1500), (7, 0)]));
    for text in ["{}", r#"{"0": -1}"#, r#"{"x": 1}"#, r#"{"0": "5"}"#, r#"{"0": 9223372036854775808}"#] {
        let wrong = errors(&with_stream(reset, json!(text)));
        assert!(wrong[0].reason.contains(r#"offsets by partition such as {"0": 1500, "1": 0}"#), "{text}: {wrong:?}");
    }
    let mut none = table_json("orders");
    none["tableIndexConfig"]["streamConfigs"].as_object_mut().unwrap().remove(reset);
    assert_eq!(spec(&none).streams[0].start_at, StartAt::Latest);
    let wrong = errors(&with_stream(reset, json!("yesterday")));
    assert_eq!(
        (wrong[0].path.as_str(), wrong[0].value.as_str()),
        (&*format!("tableIndexConfig.streamConfigs.{reset}"), "yesterday")
    );
}

#[test]
fn flush_thresholds_and_their_old_names() {
    let by_size = |segment_bytes, initial_rows| RowsThreshold::BySize { segment_bytes, initial_rows };
    let prefix = "realtime.segment.flush.";
    for (settings, expected) in [
        (vec![], RowsThreshold::PerNode(5_000_000)),
        (vec![("threshold.rows", json!("10"))], RowsThreshold::PerNode(10)),
        (vec![("threshold.rows.llc", json!("10"))], RowsThreshold::PerNode(10)),
        (vec![("threshold.size", json!(10))], RowsThreshold::PerNode(10)),
        (vec![("threshold.size.llc", json!("10"))], RowsThreshold::PerNode(10)),
        (vec![("threshold.rows", json!("10")), ("threshold.size", json!("99"))], RowsThreshold::PerNode(10)),
        (vec![("threshold.segment.rows", json!("10"))], RowsThreshold::PerSegment(10)),
        (vec![("threshold.rows", json!("0"))], by_size(200 << 20, 100_000)),
        (vec![("threshold.rows", json!("0")), ("threshold.segment.size", json!("50M"))], by_size(50 << 20, 100_000)),
        (vec![("threshold.segment.size", json!("1.5G"))], by_size(3 << 29, 100_000)),
        (vec![("desired.size", json!("10MB")), ("autotune.initialRows", json!("77"))], by_size(10 << 20, 77)),
    ] {
        let mut config = table_json("orders");
        let map = config["tableIndexConfig"]["streamConfigs"].as_object_mut().unwrap();
        map.remove("realtime.segment.flush.threshold.rows");
        map.extend(settings.iter().map(|(key, value)| (format!("{prefix}{key}"), value.clone())));
        assert_eq!(spec(&config).flush.rows, expected, "{settings:?}");
    }
    let age = |value| spec(&with_stream("realtime.segment.flush.threshold.time", value)).flush.max_age;
    assert_eq!(age(json!("1h")), Duration::from_secs(3600));
    assert_eq!(age(json!(1500)), Duration::from_millis(1500));
    let old = with_stream("realtime.segment.flush.threshold.time.llc", json!("2h"));
    assert_eq!(spec(&old).flush.max_age, Duration::from_secs(7200));
    let variance = with_stream("realtime.segment.flush.threshold.variance.fraction", json!("0.2"));
    assert_eq!(spec(&variance).flush.variance_fraction, 0.2);
}

#[test]
fn wrong_stream_values_name_key_value_and_remedy() {
    for (key, value, remedy) in [
        ("realtime.segment.flush.threshold.rows", json!("many"), "whole number of rows"),
        ("realtime.segment.flush.threshold.rows", json!("-1"), "whole number of rows"),
        ("realtime.segment.flush.threshold.segment.rows", json!("1.5"), "whole number"),
        ("realtime.segment.flush.threshold.segment.rows", json!("5"), "only one row or size threshold"),
        ("realtime.segment.flush.threshold.segment.size", json!("huge"), "size such as 200M"),
        ("realtime.segment.flush.threshold.time", json!("soon"), "period such as 6h"),
        ("realtime.segment.flush.threshold.time", json!("0"), "more than 0"),
        ("realtime.segment.flush.threshold.variance.fraction", json!("0.5"), "[0, 0.5)"),
        ("realtime.segment.flush.autotune.initialRows", json!("0"), "at least 1"),
        ("stream.kafka.topic.name", json!("or ders"), "not allowed"),
        ("stream.kafka.topic.name", json!(["orders"]), "must be text"),
        ("stream.kafka.topic.name", json!(null), "must name the topic"),
        ("stream.kafka.broker.list", json!(" "), "host:port"),
        ("stream.kafka.isolation.level", json!("none"), "read_committed"),
        ("stream.kafka.decoder.class.name", json!("com.example.Mine"), "is not a decoder"),
        ("stream.kafka.fetch.timeout.millis", json!("x"), "period such as 30s"),
        ("stream.kafka.partition.ids", json!("3-0"), "runs backwards"),
        ("stream.kafka.topic.pattern", json!("orders.*"), "remove one of them"),
        ("stream.kafka.error.policy", json!("ignore"), "haltAbove:N with N rejects a minute"),
        ("stream.kafka.lagging.after", json!("0"), "more than 0"),
        ("stopOnDecodeError", json!("perhaps"), "true or false"),
        ("realtime.segment.offsetAutoReset.enable", json!("true"), "needs offsetThreshold"),
        ("realtime.segment.offsetAutoReset.offsetThreshold", json!("many"), "whole number"),
        ("realtime.segment.isBackfillTopic", json!("true"), "set false"),
        ("sasl.jaas.config", json!("x password=${vault:/secrets:p};"), "is not looked up: env:NAME"),
        ("ssl.key.password", json!("env:MY PASSWORD"), "the name of a variable behind env"),
        ("stream.kafka.broker.list", json!("${file:brokers}"), "a path from the root on"),
        ("streamType", json!("pulsar"), "kafka, local can"),
        ("streamType", json!(null), "must name the stream's type"),
        ("streamType", json!(" "), "must name the stream's type"),
    ] {
        let found = errors(&with_stream(key, value.clone()));
        let path = format!("tableIndexConfig.streamConfigs.{key}");
        let named = found.iter().find(|error| error.path == path);
        assert!(named.is_some_and(|error| error.reason.contains(remedy)), "{key} = {value}: {found:?}");
        assert_eq!(found.len(), 1, "only that is wrong, {key} = {value}: {found:?}");
    }
    let mut named_size = table_json("orders");
    let map = named_size["tableIndexConfig"]["streamConfigs"].as_object_mut().unwrap();
    map.remove("realtime.segment.flush.threshold.rows");
    map.insert("realtime.segment.flush.threshold.size".into(), json!("100M"));
    assert!(errors(&named_size)[0].reason.contains("threshold.segment.size"));
}

#[test]
fn secrets_do_not_show_in_errors() {
    for (key, value) in [
        ("sasl.jaas.config", "Plain password=\"hunter2\" ${vault:/x:y}"),
        ("sasl.jaas.config", "Plain password=\"${hunter2:x}\""),
        ("sasl.password", "env:hunter2 and more"),
    ] {
        let found = errors(&with_stream(key, json!(value)));
        assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
    }
}

#[test]
fn decoders_that_cannot_be_here_say_so() {
    let capabilities = Capabilities { decoder: |_| DecoderKnown::Absent("it needs a jar: use json"), ..capabilities() };
    let found = parse_table(&table_json("orders"), Some(&schema()), &capabilities).unwrap_err();
    assert!(found.to_string().contains("not here: it needs a jar: use json"), "{found}");
}

#[test]
fn settings_that_a_decoder_does_not_know_are_reported() {
    let mut config = with_stream("stream.kafka.decoder.prop.jsonFormat", json!("TEXT"));
    config["tableIndexConfig"]["streamConfigs"]["stream.kafka.decoder.prop.json/Format"] = json!("x");
    let parsed = parse_table(&config, Some(&schema()), &capabilities()).unwrap();
    let pointer = "/tableIndexConfig/streamConfigs/stream.kafka.decoder.prop.json~1Format";
    let of_stream = parsed.unrecognized.into_iter().filter(|(found, _)| found.contains("streamConfigs"));
    assert_eq!(of_stream.collect::<Vec<_>>(), [(pointer.to_owned(), json!("x"))]);
}

#[test]
fn the_error_policy_and_its_old_switch() {
    let policy = |config: Json| spec(&config).error_policy;
    assert_eq!(policy(with_stream("stream.kafka.error.policy", json!("DROP"))), ErrorPolicy::Drop);
    assert_eq!(policy(with_stream("stopOnDecodeError", json!(true))), ErrorPolicy::Halt);
    assert_eq!(policy(with_stream("stopOnDecodeError", json!("false"))), ErrorPolicy::Quarantine);
    let above = with_stream("stream.kafka.error.policy", json!("haltAbove: 100"));
    assert_eq!(policy(above), ErrorPolicy::HaltAbove { per_minute: 100 });
    for wrong in ["haltAbove", "haltAbove:", "haltAbove:0", "haltAbove:x", "haltAbove:-1", "keep"] {
        let found = errors(&with_stream("stream.kafka.error.policy", json!(wrong)));
        assert!(found[0].reason.contains("haltAbove:N"), "{wrong}");
    }
    let both = put(
        with_stream("stopOnDecodeError", json!("true")),
        "/tableIndexConfig/streamConfigs/stream.kafka.error.policy",
        json!("drop"),
    );
    assert!(errors(&both)[0].reason.contains("contradicts"));
    let lagging = with_stream("stream.kafka.lagging.after", json!("2m"));
    assert_eq!(spec(&lagging).lagging_after, Duration::from_secs(120));
}

#[test]
fn the_quarantine_is_bounded_by_age_and_size() {
    let bounds = |key: &str, value: &str| spec(&with_stream(key, json!(value))).quarantine;
    let week = Duration::from_secs(7 * 86_400);
    assert_eq!(spec(&table_json("orders")).quarantine, QuarantineSpec { max_age: week, max_bytes: 256 << 20 });
    let age = bounds("stream.kafka.quarantine.max.age", "36h");
    assert_eq!(age, QuarantineSpec { max_age: Duration::from_secs(36 * 3600), max_bytes: 256 << 20 });
    assert_eq!(bounds("stream.kafka.quarantine.max.size", "10M").max_bytes, 10 << 20);
    for (key, value) in [("age", "0"), ("age", "soon"), ("size", "1K"), ("size", "much")] {
        let key = format!("stream.kafka.quarantine.max.{key}");
        assert_eq!(errors(&with_stream(&key, json!(value))).len(), 1, "{key} = {value}");
    }
}

#[test]
fn a_subset_of_partitions_a_pattern_of_topics_and_a_bound_on_the_backlog() {
    let stream = |config: &Json| spec(config).streams.remove(0);
    assert_eq!(
        stream(&with_stream("stream.kafka.partition.ids", json!("0-2,7"))).only_partitions,
        Some(vec![0, 1, 2, 7])
    );
    let mut config = with_stream("realtime.segment.offsetAutoReset.enable", json!("true"));
    let map = config["tableIndexConfig"]["streamConfigs"].as_object_mut().unwrap();
    map.insert("realtime.segment.offsetAutoReset.offsetThreshold".into(), json!("-1"));
    map.insert("realtime.segment.offsetAutoReset.timeThresholdSeconds".into(), json!(90));
    let expected = AutoReset { offsets: None, age: Some(Duration::from_secs(90)) };
    assert_eq!(stream(&config).auto_reset, Some(expected));
    let off = with_stream("realtime.segment.offsetAutoReset.offsetThreshold", json!("5"));
    assert_eq!(stream(&off).auto_reset, None);

    let mut config = table_json("orders");
    let map = config["tableIndexConfig"]["streamConfigs"].as_object_mut().unwrap();
    map.remove("stream.kafka.topic.name");
    map.insert("stream.kafka.topic.pattern".into(), json!("orders[.].*"));
    let by_pattern = spec(&config);
    assert!(by_pattern.streams.is_empty());
    let found = by_pattern.patterns[0].stream(TopicName::parse("orders.eu").unwrap());
    assert_eq!((&*by_pattern.patterns[0].pattern, found.topic.as_str()), ("orders[.].*", "orders.eu"));
    config["tableIndexConfig"]["streamConfigs"]["stream.kafka.topic.pattern"] = json!("(");
    assert!(errors(&config)[0].reason.contains("regular expression"));
}

#[test]
fn client_and_decoder_settings_are_handed_on() {
    let mut config = with_stream("security.protocol", json!("SASL_SSL"));
    let map = &mut config["tableIndexConfig"]["streamConfigs"];
    map["stream.kafka.isolation.level"] = json!("read_committed");
    map["stream.kafka.decoder.prop.schema.registry.rest.url"] = json!("http://registry");
    map["max.partition.fetch.bytes"] = json!(1024);
    map["stream.kafka.consumer.type"] = json!("lowlevel");
    map["stream.kafka.consumer.factory.class.name"] =
        json!("org.apache.pinot.plugin.stream.kafka20.KafkaConsumerFactory");
    let parsed = parse(&config).unwrap();
    let stream = &parsed.spec.streams[0];
    let settings: Vec<(&str, &str)> =
        stream.settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let expected = [
        ("bootstrap.servers", "localhost:9092"),
        ("isolation.level", "read_committed"),
        ("max.partition.fetch.bytes", "1024"),
        ("security.protocol", "SASL_SSL"),
    ];
    assert_eq!(settings, expected);
    assert_eq!(stream.decoder_settings.get("schema.registry.rest.url").map(String::as_str), Some("http://registry"));
    assert_eq!(parsed.unrecognized.len(), 1, "{:?}", parsed.unrecognized);
}

#[test]
fn a_local_stream_has_partitions() {
    let local = |extra: Json| {
        let mut map = json!({
            "streamType": "local", "stream.local.topic.name": "events", "stream.local.decoder.class.name": "json",
        });
        map.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        with("/tableIndexConfig/streamConfigs", map)
    };
    let partitions = |config: &Json| spec(config).streams[0].settings.get("partitions").cloned();
    assert_eq!(partitions(&local(json!({}))).as_deref(), Some("1"));
    assert_eq!(partitions(&local(json!({"stream.local.partitions": 4}))).as_deref(), Some("4"));
    for wrong in [json!("0"), json!("x"), json!("10001")] {
        assert_eq!(errors(&local(json!({"stream.local.partitions": wrong}))).len(), 1);
    }
    let foreign = parse(&local(json!({"stream.kafka.broker.list": "x:1", "security.protocol": "SSL"}))).unwrap();
    assert_eq!(foreign.unrecognized.len(), 3, "{:?}", foreign.unrecognized);
}

#[test]
fn indexes_in_both_spellings() {
    let mut config = table_json("orders");
    config["tableIndexConfig"]["invertedIndexColumns"] = json!(["id"]);
    config["tableIndexConfig"]["rangeIndexColumns"] = json!(["at"]);
    config["tableIndexConfig"]["sortedColumn"] = json!(["id"]);
    config["tableIndexConfig"]["noDictionaryColumns"] = json!(["amount"]);
    config["fieldConfigList"] = json!([
        {"name": "tags", "indexes": {"inverted": {}, "range": {"disabled": true}, "bloom": {"fpp": 0.01}}},
        {"name": "at", "encodingType": "RAW", "indexTypes": ["RANGE", "FST", "TIMESTAMP"], "compressionCodec": "LZ4"},
    ]);
    let parsed = parse(&config).unwrap();
    let raw_range = FieldIndexes { no_dictionary: true, inverted: false, range: true };
    let expected = [
        ("amount", FieldIndexes { no_dictionary: true, ..FieldIndexes::default() }),
        ("at", raw_range),
        ("id", FieldIndexes { inverted: true, ..FieldIndexes::default() }),
        ("tags", FieldIndexes { inverted: true, ..FieldIndexes::default() }),
    ];
    let expected = expected.map(|(name, indexes)| (column(name), indexes));
    assert_eq!(parsed.spec.indexes.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(parsed.spec.sorted_column, Some(column("id")));
    for listed in
        ["fieldConfigList[0].indexes.bloom", "fieldConfigList[1].indexTypes[1]", "fieldConfigList[1].compressionCodec"]
    {
        assert!(parsed.not_yet_effective.iter().any(|path| path == listed), "{listed}: {:?}", parsed.not_yet_effective);
    }
    let sorted = put(table_json("orders"), "/tableIndexConfig/sortedColumn", json!("id"));
    assert_eq!(spec(&sorted).sorted_column, Some(column("id")));
}

#[test]
fn indexes_that_cannot_be() {
    let raw_id = json!([{"name": "id", "encodingType": "RAW"}]);
    for (pointer, value, path, remedy) in [
        (
            "/tableIndexConfig/invertedIndexColumns",
            json!(["ghost"]),
            "tableIndexConfig.invertedIndexColumns[0]",
            "no such column",
        ),
        ("/tableIndexConfig/rangeIndexColumns", json!({"id": 1}), "tableIndexConfig.rangeIndexColumns", "list of text"),
        (
            "/tableIndexConfig/noDictionaryConfig",
            json!({"ghost": "LZ4"}),
            "tableIndexConfig.noDictionaryConfig.ghost",
            "no such column",
        ),
        ("/tableIndexConfig/sortedColumn", json!(["tags"]), "tableIndexConfig.sortedColumn[0]", "single-value column"),
        ("/tableIndexConfig/sortedColumn", json!(["id", "at"]), "tableIndexConfig.sortedColumn", "one column only"),
        (
            "/tableIndexConfig/jsonIndexColumns",
            json!(["id"]),
            "tableIndexConfig.jsonIndexColumns",
            "JSON_EXTRACT_SCALAR",
        ),
        ("/fieldConfigList", raw_id, "tableIndexConfig.invertedIndexColumns[0]", "needs a dictionary"),
        ("/fieldConfigList", json!([{"name": "ghost"}]), "fieldConfigList[0].name", "no such column"),
        ("/fieldConfigList", json!([{"encodingType": "RAW"}]), "fieldConfigList[0].name", "must name a column"),
        ("/fieldConfigList", json!([{"name": "id"}, {"name": "id"}]), "fieldConfigList[1].name", "already"),
        (
            "/fieldConfigList",
            json!([{"name": "id", "encodingType": "ZIP"}]),
            "fieldConfigList[0].encodingType",
            "DICTIONARY or RAW",
        ),
        (
            "/fieldConfigList",
            json!([{"name": "id", "indexTypes": ["TEXT"]}]),
            "fieldConfigList[0].indexTypes[0]",
            "not built yet",
        ),
        (
            "/fieldConfigList",
            json!([{"name": "id", "indexType": "MAGIC"}]),
            "fieldConfigList[0].indexType",
            "is not an index",
        ),
        (
            "/fieldConfigList",
            json!([{"name": "id", "indexes": {"text": {}}}]),
            "fieldConfigList[0].indexes.text",
            "LIKE",
        ),
        ("/fieldConfigList", json!("id"), "fieldConfigList", "must be a list"),
    ] {
        let found = errors(&with(pointer, value.clone()));
        let named = found.iter().find(|error| error.path == path);
        assert!(named.is_some_and(|error| error.reason.contains(remedy)), "{pointer} = {value}: {found:?}");
        assert_eq!(found.len(), 1, "{pointer} = {value}: {found:?}");
    }
    let contradiction = put(
        with("/tableIndexConfig/noDictionaryColumns", json!(["amount"])),
        "/fieldConfigList",
        json!([{"name": "amount", "encodingType": "DICTIONARY"}]),
    );
    assert_eq!(errors(&contradiction)[0].path, "fieldConfigList[0].encodingType");
    let text_range = put(
        with("/tableIndexConfig/noDictionaryColumns", json!(["id"])),
        "/tableIndexConfig/rangeIndexColumns",
        json!(["id"]),
    );
    let text_range = put(text_range, "/tableIndexConfig/invertedIndexColumns", json!([]));
    assert_eq!(errors(&text_range)[0].path, "tableIndexConfig.rangeIndexColumns[0]");
}

#[test]
fn the_table_itself() {
    for (pointer, value, path, remedy) in [
        ("/tableName", json!(null), "tableName", "must name the table"),
        ("/tableName", json!("or__ders"), "tableName", "'__'"),
        ("/tableName", json!("orders_OFFLINE"), "tableName", "make them agree"),
        ("/tableType", json!("OFFLINE"), "tableType", "REALTIME"),
        ("/tableType", json!("HYBRID"), "tableType", "REALTIME"),
        ("/tableType", json!(null), "tableType", "REALTIME"),
        ("/segmentsConfig/timeColumnName", json!("ghost"), "segmentsConfig.timeColumnName", "dateTimeFieldSpecs"),
        ("/segmentsConfig/timeColumnName", json!("id"), "segmentsConfig.timeColumnName", "dateTimeFieldSpecs"),
        ("/segmentsConfig/replication", json!("0"), "segmentsConfig.replication", "at least 1"),
        ("/segmentsConfig/replication", json!("two"), "segmentsConfig.replication", "whole number"),
        ("/segmentsConfig/schemaName", json!("clicks"), "segmentsConfig.schemaName", "set orders"),
        ("/upsertConfig", json!({"mode": "PARTIAL"}), "upsertConfig", "set mode NONE"),
        ("/isDimTable", json!("true"), "isDimTable", "set false"),
        (
            "/tableIndexConfig/nullHandlingEnabled",
            json!("maybe"),
            "tableIndexConfig.nullHandlingEnabled",
            "true or false",
        ),
        (
            "/ingestionConfig",
            json!({"transformConfigs": [{"columnName": "x"}]}),
            "ingestionConfig.transformConfigs[0].transformFunction",
            "is missing",
        ),
    ] {
        let found = errors(&with(pointer, value.clone()));
        assert_eq!(found[0].path, path, "{pointer} = {value}: {found:?}");
        assert!(found[0].reason.contains(remedy), "{pointer} = {value}: {found:?}");
    }
    let replicated = parse(&with("/segmentsConfig/replication", json!(3))).unwrap();
    assert_eq!(replicated.spec.replication, 3);
    assert!(replicated.not_yet_effective.contains(&"segmentsConfig.replication".to_owned()));
    let nulls = spec(&with("/tableIndexConfig/nullHandlingEnabled", json!("true")));
    assert!(nulls.null_handling);
    let checks = json!({"rowTimeValueCheck": true, "continueOnError": "true"});
    let checks = spec(&with("/ingestionConfig", checks));
    assert!(checks.row_time_check && checks.continue_on_error);
    for no_object in [json!([]), json!("x"), json!(null)] {
        assert_eq!(errors(&no_object).len(), 1);
    }
}

#[test]
fn metadata_columns_are_not_left_empty_in_silence() {
    let config = with_stream("stream.kafka.metadata.populate", json!("true"));
    let parse = |columns: &[&str]| {
        let mut schema = schema_json("orders");
        let fields = schema["dimensionFieldSpecs"].as_array_mut().unwrap();
        fields.extend(columns.iter().map(|name| json!({"name": name, "dataType": "STRING"})));
        parse_table(&config, Some(&parse_schema(&schema).unwrap().schema), &capabilities())
    };
    let refused = parse(&["__metadata$topic", "__metadata$offset"]).unwrap_err().to_string();
    assert!(refused.contains("nothing fills __metadata$topic: "), "{refused}");
    let unused = parse(&["__metadata$offset", "__header$trace", "__key"]).unwrap().not_yet_effective;
    assert!(!unused.iter().any(|path| path.ends_with("metadata.populate")));
}

#[test]
fn all_errors_come_at_once() {
    let config = json!({
        "tableName": "a__b",
        "tableType": "OFFLINE",
        "upsertConfig": {"mode": "FULL"},
        "segmentsConfig": {"timeColumnName": "ghost", "replication": 0},
        "tableIndexConfig": {
            "sortedColumn": ["ghost"],
            "streamConfigs": {"streamType": "kafka", "realtime.segment.flush.threshold.rows": "x"},
        },
    });
    let found = errors(&config);
    let paths: Vec<&str> = found.iter().map(|error| error.path.as_str()).collect();
    for path in [
        "tableName",
        "tableType",
        "upsertConfig",
        "segmentsConfig.timeColumnName",
        "segmentsConfig.replication",
        "tableIndexConfig.sortedColumn[0]",
        "tableIndexConfig.streamConfigs.stream.kafka.topic.name",
        "tableIndexConfig.streamConfigs.stream.kafka.decoder.class.name",
        "tableIndexConfig.streamConfigs.stream.kafka.broker.list",
        "tableIndexConfig.streamConfigs.realtime.segment.flush.threshold.rows",
    ] {
        assert!(paths.contains(&path), "{path} in {paths:?}");
    }
    assert_eq!(SpecErrors(found.clone()).to_string().lines().count(), found.len(), "one a line");
}

/// Whatever stands at any place, the reader answers: with a table or with errors that have a path.
#[test]
fn any_value_at_any_place_is_answered() {
    let mut config = table_json("orders");
    config["fieldConfigList"] = json!([{"name": "id", "indexes": {"inverted": {}}}]);
    config["ingestionConfig"] = json!({"continueOnError": false, "streamIngestionConfig": {}});
    let mut pointers = vec![];
    collect(&config, String::new(), &mut pointers);
    assert!(pointers.len() > 20);
    for pointer in pointers {
        for value in [
            json!(null),
            json!(0),
            json!(-1.5),
            json!("x"),
            json!(true),
            json!([]),
            json!({}),
            json!([[{}]]),
            json!({"a": null}),
        ] {
            let mut config = config.clone();
            *config.pointer_mut(&pointer).unwrap() = value.clone();
            if let Err(errors) = parse(&config) {
                assert!(!errors.0.is_empty(), "{pointer} = {value}");
                assert!(errors.0.iter().all(|error| !error.reason.is_empty()), "{pointer} = {value}: {errors}");
            }
        }
    }
}

fn collect(json: &Json, at: String, pointers: &mut Vec<String>) {
    match json {
        Json::Object(object) => object.iter().for_each(|(key, value)| collect(value, format!("{at}/{key}"), pointers)),
        Json::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| collect(item, format!("{at}/{n}"), pointers))
        }
        _ => {}
    }
    pointers.push(at);
}
