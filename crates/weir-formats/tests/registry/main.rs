//! Messages that the reference serializers wrote, behind a real schema registry: `WEIR_REGISTRY` is its URL,
//! `WEIR_REGISTRY_PYTHON` a Python that has them. Without these the test says that it was skipped, or fails where
//! `WEIR_TEST_REAL=required`.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use base64::Engine as _;
use std::{collections::BTreeMap, path::Path, process::Command, sync::Arc};
use weir_formats::{DecodeSpec, Payload, registry, schema_registry::Lookup};
use weir_types::{ColumnName, DataType, FieldKind, FieldSpec, RowBatch, Schema, SchemaVersion};

fn schema() -> Arc<Schema> {
    let field = |(name, data_type, single_value)| FieldSpec {
        single_value,
        ..FieldSpec::new(ColumnName::parse(name).unwrap(), data_type, FieldKind::Dimension)
    };
    let fields = [
        ("id", DataType::Long, true),
        ("name", DataType::String, true),
        ("tags", DataType::String, false),
        ("at", DataType::Timestamp, true),
        ("price", DataType::Json, true),
    ];
    Arc::new(Schema::new("t", SchemaVersion(1), fields.map(field).to_vec()))
}

/// Where the registry and the serializers are.
fn real() -> Option<(String, String)> {
    let of = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let found = of("WEIR_REGISTRY").zip(of("WEIR_REGISTRY_PYTHON"));
    if found.is_none() {
        let required = std::env::var("WEIR_TEST_REAL").is_ok_and(|real| real == "required");
        assert!(!required, "WEIR_REGISTRY names no registry, and WEIR_TEST_REAL=required asks for one");
        eprintln!("skipped: WEIR_REGISTRY and WEIR_REGISTRY_PYTHON name no registry");
    }
    found
}

/// Rows as text, decoded as a pipeline does: what is wanted is asked for first.
async fn rows(decoder: &str, url: &str, messages: &[Vec<u8>]) -> Vec<String> {
    let settings = BTreeMap::from([("schema.registry.rest.url".to_owned(), url.to_owned())]);
    let spec = DecodeSpec { schema: schema(), continue_on_error: false, topic: "t".into(), raw: 0 };
    let mut decoder = registry::decoder(decoder, &settings, spec).unwrap();
    let payloads = || (0u32..).zip(messages).map(|(message, value)| Payload { message, value, key: None });
    for id in decoder.wants(&mut payloads()) {
        let said = decoder.registry().unwrap().clone().get(id).await.unwrap();
        assert!(matches!(said, Lookup::Found(_)), "{said:?}");
        decoder.learn(id, &said);
    }
    let mut rows = RowBatch::new(&schema());
    let decoded = decoder.decode(&mut payloads(), &mut rows);
    assert_eq!(decoded.rejects, []);
    let cell = |column: usize, row: usize| {
        let column = &rows.columns[column];
        let null = column.nulls.contains(&u32::try_from(row).unwrap());
        let values: Vec<String> = column.values_of(row).map(|at| column.data.get(at).to_string()).collect();
        if null { "-".to_owned() } else { values.join("+") }
    };
    (0..rows.rows()).map(|row| (0..5).map(|column| cell(column, row)).collect::<Vec<_>>().join("|")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_reference_serializers_write_is_read() {
    let Some((url, python)) = real() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registry/write.py");
    let prefix = format!("weir-{}", std::process::id());
    let output = Command::new(python).arg(script).args([&url, &prefix]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut messages: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (what, bytes) = line.split_once(' ').unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(bytes).unwrap();
        messages.entry(what.to_owned()).or_default().push(bytes);
    }
    let expected = ["1|ä|a+b|1767225600000|-", "2|-|-|0|-", "3|c|-|-|{\"units\":7}"];
    assert_eq!(rows("avro-confluent", &url, &messages["avro"]).await, expected);
    assert_eq!(rows("json-confluent", &url, &messages["json"]).await, ["4|d|x|-|-"]);
    let expected = ["5|e|p+q|-|{\"units\":9}", "6|f|-|-|-"];
    assert_eq!(rows("protobuf-confluent", &url, &messages["protobuf"]).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_from_what_does_not_answer() {
    let Some((url, _)) = real() else { return };
    let ask = async |url: &str| {
        let settings = BTreeMap::from([("schema.registry.rest.url".to_owned(), url.to_owned())]);
        let spec = DecodeSpec { schema: schema(), continue_on_error: false, topic: "t".into(), raw: 0 };
        let mut decoder = registry::decoder("avro-confluent", &settings, spec).unwrap();
        let message = [0, 0x7f, 0xff, 0xff, 0xf0, 1];
        let wanted = decoder.wants(&mut [Payload { message: 0, value: &message, key: None }].into_iter());
        let registry = decoder.registry().unwrap().clone();
        registry.get(wanted[0]).await
    };
    assert!(matches!(ask(&url).await, Ok(Lookup::Missing(_))), "the registry has no such number");
    let wrong = url.replace("/v7", "/nowhere");
    let error = ask(&wrong).await.unwrap_err();
    assert!(error.contains("it answers 404 but not as a registry does: check the URL's path"), "{error}");
}
