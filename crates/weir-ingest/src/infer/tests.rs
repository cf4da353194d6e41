//! Topics of many kinds in process memory, and what is said of them.

use super::*;
use serde_json::json;
use std::time::Duration;
use weir_base::SystemClock;
use weir_formats::schema_registry::stand_in::StandIn;
use weir_streams::MemoryStreams;
use weir_types::{StartAt, TopicName};

const NOW: i64 = 1_767_225_600_000;

fn spec() -> StreamSpec {
    StreamSpec {
        stream_type: "memory".into(),
        topic: TopicName::parse("t").unwrap(),
        start_at: StartAt::Earliest,
        start_offsets: Default::default(),
        decoder: "json".into(),
        decoder_settings: BTreeMap::new(),
        settings: BTreeMap::new(),
        fetch_timeout: Duration::from_millis(50),
        only_partitions: None,
        auto_reset: None,
        rate_limit: None,
    }
}

async fn inferred(messages: &[(Option<&str>, Vec<u8>)], request: InferRequest) -> Result<Inferred, InferError> {
    let memory = MemoryStreams::new();
    memory.create(&spec().topic, 2);
    for (at, (key, value)) in messages.iter().enumerate() {
        let key = key.map(|key| key.to_owned().into());
        memory.append(&spec().topic, at as u32 % 2, key, Some(value.clone().into()), vec![], NOW + at as i64);
    }
    let source = memory.source(spec().topic, Duration::from_millis(50));
    infer(&spec(), &source, &SystemClock::shared(), &InferRequest { rows: 1000, ..request }).await
}

fn orders(count: i64) -> Vec<(Option<&'static str>, Vec<u8>)> {
    let order = |id: i64| {
        let mut order = json!({
            "id": id, "country": if id % 2 == 0 { "DE" } else { "FR" }, "amount": id as f64 + 0.5, "ts": NOW + id,
            "tags": ["a"], "at": {"city": "Ulm", "geo": {"lat": 1}}, "session": format!("s-{id}"),
        });
        if id % 10 == 0 {
            order["coupon"] = json!(null);
        }
        (None, order.to_string().into_bytes())
    };
    (0..count).map(order).collect()
}

#[tokio::test]
async fn a_topic_of_json_is_understood() {
    let found = inferred(&orders(200), InferRequest::default()).await.unwrap();
    let field = |name: &str| found.fields.iter().find(|field| field.name == name).unwrap();
    assert_eq!((found.decoder, found.time.as_deref(), found.sampled.samples.len()), ("json", Some("ts"), 200));
    assert_eq!((field("id").data_type, field("amount").role.clone()), (DataType::Long, Role::Metric));
    assert_eq!((field("country").index, field("session").index), (Index::Inverted, Index::Raw));
    assert_eq!((field("ts").data_type, field("ts").index), (DataType::Timestamp, Index::Range));
    assert_eq!((field("tags").multi_value, field("at").data_type), (true, DataType::Json));
    let coupon = field("coupon");
    assert_eq!((coupon.records, coupon.present, coupon.nulls), (200, 20, 20));
    assert!(coupon.doubt.as_ref().unwrap().contains("any type"));
    assert!(found.notes.iter().any(|note| note.contains("no keys")), "{:?}", found.notes);
}

#[tokio::test]
async fn the_time_is_the_one_that_is_named() {
    let message = [(None, json!({"ts": NOW, "created_at": NOW, "n": 1}).to_string().into_bytes())];
    let named = |time: &str| InferRequest { time: Some(time.into()), ..InferRequest::default() };
    let found = inferred(&message, named("created_at")).await.unwrap();
    assert_eq!(found.time.as_deref(), Some("created_at"));
    assert!(found.notes.iter().any(|note| note.contains("as was asked for")), "{:?}", found.notes);
    for (name, said) in [("n", "are no times"), ("nope", "is no field")] {
        let error = inferred(&message, named(name)).await.unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("ts, created_at"), "{error}");
    }
}

#[tokio::test]
async fn few_messages_are_taken_from_several_places() {
    let memory = MemoryStreams::new();
    memory.create(&spec().topic, 1);
    for at in 0..1000 {
        let value = json!({"old": at < 500, "n": at}).to_string();
        memory.append(&spec().topic, 0, None, Some(value.into()), vec![], NOW);
    }
    let source = memory.source(spec().topic, Duration::from_millis(50));
    let request = InferRequest { rows: 40, ..InferRequest::default() };
    let found = infer(&spec(), &source, &SystemClock::shared(), &request).await.unwrap();
    let offsets: Vec<u64> = found.sampled.samples.iter().map(|sample| sample.offset.number()).collect();
    assert_eq!(offsets.len(), 40);
    assert!(
        offsets.contains(&0) && offsets.contains(&999) && offsets.iter().any(|at| (300..700).contains(at)),
        "{offsets:?}"
    );
    assert_eq!(found.sampled.held(), 1000);
}

#[tokio::test]
async fn a_large_partition_gives_what_a_small_one_has_not() {
    let memory = MemoryStreams::new();
    memory.create(&spec().topic, 2);
    for at in 0..500 {
        memory.append(&spec().topic, u32::from(at == 7), None, Some(json!({"n": at}).to_string().into()), vec![], NOW);
    }
    let source = memory.source(spec().topic, Duration::from_millis(50));
    let request = InferRequest { rows: 101, ..InferRequest::default() };
    let found = infer(&spec(), &source, &SystemClock::shared(), &request).await.unwrap();
    let of = |partition| found.sampled.samples.iter().filter(|sample| sample.partition == partition).count();
    assert_eq!((of(0), of(1)), (100, 1));
}

#[tokio::test]
async fn a_key_that_is_a_field_is_told() {
    let messages = [(Some("7"), br#"{"id": 7}"#.to_vec()), (Some("8"), br#"{"id": 8}"#.to_vec())];
    let found = inferred(&messages, InferRequest::default()).await.unwrap();
    assert_eq!(found.key.as_deref(), Some("id"));
    assert!(found.notes.iter().any(|note| note.contains("no field is surely a time")), "{:?}", found.notes);
}

#[tokio::test]
async fn what_cannot_be_read_is_told_with_what_to_do() {
    let none = inferred(&[], InferRequest::default()).await.unwrap_err().to_string();
    assert!(none.contains("topic t is empty (2 partitions)"), "{none}");
    let binary = inferred(&[(None, vec![0x80, 0xff])], InferRequest::default()).await.unwrap_err().to_string();
    assert!(binary.contains("binary") && binary.contains("--format"), "{binary}");
    let framed =
        inferred(&[(None, b"\0\0\0\0\x07ab".to_vec())], InferRequest::default()).await.unwrap_err().to_string();
    assert!(framed.contains("--registry") && framed.contains('7'), "{framed}");
    let named = InferRequest { format: Some("thrift".into()), ..InferRequest::default() };
    let named = inferred(&orders(1), named).await.unwrap_err().to_string();
    assert!(named.contains("format thrift") && named.contains("json, csv"), "{named}");
    let memory = MemoryStreams::new().source(spec().topic, Duration::from_millis(50));
    let missing = infer(&spec(), &memory, &SystemClock::shared(), &InferRequest::default()).await.unwrap_err();
    assert!(matches!(&missing, InferError::Probed { .. }) && missing.to_string().contains("step topic"), "{missing}");
    let mut mixed = orders(9);
    mixed.push((None, b"oops".to_vec()));
    let mixed = inferred(&mixed, InferRequest::default()).await.unwrap();
    assert!(mixed.notes.iter().any(|note| note.contains("1 of 10 values cannot be read") && note.contains("t/1/4")));
}

#[tokio::test]
async fn csv_gets_its_names_and_settings() {
    let lines = ["1;DE;2026-01-01 00:00:00", "2;FR;2026-01-01 00:00:01"];
    let messages: Vec<_> = lines.iter().map(|line| (None, line.as_bytes().to_vec())).collect();
    let request = InferRequest { header: Some("id;country;created_at".into()), ..InferRequest::default() };
    let found = inferred(&messages, request).await.unwrap();
    assert_eq!(found.decoder_settings["header"], "id;country;created_at");
    assert_eq!((found.decoder_settings["delimiter"].as_str(), found.time.as_deref()), (";", Some("created_at")));
    assert_eq!(found.fields[0].data_type, DataType::Long);
}

#[tokio::test]
async fn a_key_in_quotes_and_a_field_that_is_named_like_a_key() {
    let message = |id: &'static str| (Some(id), format!("{{\"id\":{id},\"__key\":\"x\",\"n\":1}}").into_bytes());
    let found = inferred(&[message("\"a\""), message("\"b\"")], InferRequest::default()).await.unwrap();
    assert_eq!(found.key.as_deref(), Some("id"));
    assert!(
        found.notes.iter().any(|note| note.contains("is id in every message, as JSON in quotes")),
        "{:?}",
        found.notes
    );
    assert!(found.notes.iter().any(|note| note.starts_with("__key is left out")), "{:?}", found.notes);
    let names: Vec<&str> = found.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["id", "n"]);
}

#[tokio::test]
async fn plain_avro_is_read_with_the_schema_that_is_given() {
    let schema = json!({"type": "record", "name": "click", "fields": [
        {"name": "id", "type": "long"}, {"name": "page", "type": "string"}, {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}]});
    // Zigzag numbers of one byte each, a text with its length.
    let message = |id: u8| (None, vec![id * 2, 4, b'/', b'a' + id, 2]);
    let messages: Vec<_> = (1..20).map(message).collect();
    let request = |format: Option<&str>, schema: Option<&Json>| InferRequest {
        format: format.map(str::to_owned),
        decoder_settings: schema.map(|schema| ("schema".to_owned(), schema.to_string())).into_iter().collect(),
        ..InferRequest::default()
    };
    for format in [None, Some("avro")] {
        let found = inferred(&messages, request(format, Some(&schema))).await.unwrap();
        assert_eq!((found.decoder, &found.decoder_settings["schema"]), ("avro", &schema.to_string()));
        let names: Vec<&str> = found.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!((names, found.fields[0].data_type), (vec!["id", "page", "at"], DataType::Long));
        assert_eq!(found.fields[1].distinct, 19);
    }
    let without = inferred(&messages, request(Some("avro"), None)).await.unwrap_err().to_string();
    assert!(without.contains("(avro-confluent)") && without.contains("--schema FILE"), "{without}");
    let wrong = inferred(&messages, request(Some("avro"), Some(&json!("long")))).await.unwrap_err().to_string();
    assert!(wrong.contains("no Avro record"), "{wrong}");
}

#[tokio::test]
async fn a_number_that_is_not_always_there_is_a_metric() {
    let message = |id: i64| (None, json!({"id": id, "qty": (id % 10 != 0).then_some(id)}).to_string().into_bytes());
    let messages: Vec<_> = (1..=50).map(message).collect();
    let found = inferred(&messages, InferRequest::default()).await.unwrap();
    let field = |name: &str| found.fields.iter().find(|field| field.name == name).unwrap();
    assert_eq!((&field("id").role, &field("qty").role), (&Role::Dimension, &Role::Metric));
    assert!(field("qty").why.contains("10.0 % of the records have none and hold 0"), "{}", field("qty").why);
}

#[tokio::test]
async fn lines_of_other_cells_are_rows_and_an_open_quote_is_none() {
    let mut lines: Vec<String> = (0..40).map(|id| format!("{id};DE;{id}.5")).collect();
    lines.extend(["7;DE".to_owned(), "8;DE;1.5;x".to_owned(), "9;\"DE;2.5".to_owned()]);
    let messages: Vec<_> = lines.into_iter().map(|line| (None, line.into_bytes())).collect();
    let found = inferred(&messages, InferRequest::default()).await.unwrap();
    let notes = found.notes.join("\n");
    assert!(
        notes.contains("2 of 43 lines have more or fewer cells") && notes.contains("the first at t/0/20"),
        "{notes}"
    );
    assert!(notes.contains("1 of 43 values cannot be read as csv") && notes.contains("the first at t/0/21"), "{notes}");
    assert!(notes.contains("--header \"a;b;c\" names them"), "{notes}");
}

#[tokio::test]
async fn a_field_that_is_nearly_always_a_time_can_be_the_time() {
    let time = |id: i64| if id == 17 { "n/a".to_owned() } else { format!("2026-01-01T00:00:{id:02}Z") };
    let message = |id: i64| (None, json!({"n": id, "seen": time(id)}).to_string().into_bytes());
    let messages: Vec<_> = (0..40).map(message).collect();
    let found = inferred(&messages, InferRequest::default()).await.unwrap();
    assert_eq!((found.time, found.fields[1].data_type), (None, DataType::String));
    let doubt = found.fields[1].doubt.as_deref().unwrap();
    assert!(doubt.contains("97.5 % of its values are times") && doubt.contains("--time seen"), "{doubt}");
    let request = InferRequest { time: Some("seen".into()), ..InferRequest::default() };
    let found = inferred(&messages, request).await.unwrap();
    assert_eq!((found.time.as_deref(), found.fields[1].data_type), (Some("seen"), DataType::Timestamp));
    let doubt = found.fields[1].doubt.as_deref().unwrap();
    assert!(doubt.contains("2.5 % of its values are no such times"), "{doubt}");
}

#[tokio::test]
async fn a_schema_that_the_registry_has_not_is_a_reject_and_no_end() {
    let registry = StandIn::start().await;
    let schema = json!({"type": "record", "name": "click", "fields": [{"name": "id", "type": "long"}]}).to_string();
    let known = registry.register("t-value", None, &schema, &[]);
    let message = |schema: u32, id: u8| (None, [&[0][..], &schema.to_be_bytes(), &[id * 2]].concat());
    let mut messages: Vec<_> = (1..20).map(|id| message(known, id)).collect();
    messages.push(message(999, 7));
    let settings = BTreeMap::from([("schema.registry.rest.url".to_owned(), registry.url())]);
    let request = InferRequest { decoder_settings: settings, ..InferRequest::default() };
    let found = inferred(&messages, request.clone()).await.unwrap();
    assert_eq!((found.decoder, found.fields[0].data_type), ("avro-confluent", DataType::Long));
    let notes = found.notes.join("\n");
    assert!(notes.contains("no schema 999") && notes.contains("kept in quarantine"), "{notes}");
    assert!(notes.contains("1 of 20 values cannot be read"), "{notes}");
    // Nor does it make others of its batch unreadable.
    let sample = |(at, (_, value)): (usize, &(Option<&str>, Vec<u8>))| {
        let offset = weir_types::NextOffset::new(at as u64);
        Sample { partition: 0, offset, timestamp_ms: None, key: None, value: Some(value.clone()) }
    };
    let samples: Vec<Sample> = messages.iter().enumerate().map(sample).collect();
    let looked = Looker::new("t", request.clone()).look(&samples).await.unwrap();
    assert_eq!(looked.iter().filter(|looked| matches!(looked, Some(Ok(_)))).count(), 19);
    let unknown = inferred(&messages[19..], request).await.unwrap_err().to_string();
    assert!(unknown.contains("no schema 999"), "{unknown}");
}
