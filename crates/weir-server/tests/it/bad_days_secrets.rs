//! Secrets of tables and of the deep store: looked up on the node, never shown, kept when they come back hidden.

use crate::{
    bad_days_records::table,
    process::{OwnBroker, Process},
    streams::Log,
    support::{Api, TestNode, eventually, order, orders},
};
use hyper::Method;
use serde_json::{Value as Json, json};
use std::{path::Path, process::Command, sync::Arc};
use weir_base::RealDisk;
use weir_control::{Capabilities, DecoderKnown, NewPartition, NewTable, RedbCatalog, Store};
use weir_streams::kafka::testing::{TestBroker, TestMessage};
use weir_types::{NextOffset, StreamPartition, TopicName};

/// What must be seen nowhere: literal secrets, and what references stand for.
const SECRETS: [&str; 6] = ["hunter-jaas", "hunter-literal", "hunter-env", "hunter-file", "hunter-url", "hunter-odd"];

fn kafka_map(secrets: &Path) -> Json {
    json!({
        "streamType": "kafka",
        "stream.kafka.topic.name": "paid",
        "stream.kafka.broker.list": "127.0.0.1:1",
        "stream.kafka.decoder.class.name": "json",
        "stream.kafka.consumer.prop.auto.offset.reset": "smallest",
        "stream.kafka.decoder.prop.schema.registry.rest.url": "http://me:hunter-url@127.0.0.1:1",
        "stream.kafka.decoder.prop.basic.auth.password": "hunter-literal",
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.jaas.config":
            "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" password=\"hunter-jaas\";",
        "ssl.key.password": "env:WEIR_TEST_SECRET",
        "ssl.keystore.password": format!("file:{}", secrets.display()),
        "client.rack": "${env:WEIR_TEST_SECRET}",
    })
}

fn paid(secrets: &Path) -> Json {
    let mut document = orders(1);
    document["tableName"] = json!("paid");
    document["schema"]["schemaName"] = json!("paid");
    document["realtime"]["tableName"] = json!("paid");
    document["realtime"]["ingestionConfig"]["streamIngestionConfig"]["streamConfigMaps"] = json!([kafka_map(secrets)]);
    document["realtime"]["myApiKey"] = json!("hunter-odd");
    document
}

/// A table over a broker that nobody can reach, as it is after a time in which somebody could.
async fn table_of_before(data: &Path, document: &Json) {
    let data = data.join("catalog.redb");
    std::fs::create_dir_all(data.parent().unwrap()).unwrap();
    let store = Store::new(Arc::new(RedbCatalog::open(RealDisk::shared(), data).unwrap()));
    let schema = weir_control::parse_schema(&document["schema"]).unwrap();
    store.put_schema(&schema).await.unwrap();
    let known = Capabilities {
        stream_types: &["kafka"],
        decoder: |_| DecoderKnown::Yes("json"),
        decoder_key: |_, _| true,
        expression: |_| Ok(weir_types::ExpressionFacts::default()),
    };
    let table = weir_control::parse_table(&document["realtime"], Some(&schema.schema), &known).unwrap();
    let record = store.create_table(NewTable::from_parsed(table, schema), 1, &[]).await.unwrap();
    let partition = StreamPartition { topic: TopicName::parse("paid").unwrap(), partition: 0 };
    let new = NewPartition { partition, partition_group: 0, start: NextOffset::ZERO };
    store
        .start_partition(&record, new, weir_control::Limits::of_rows(1000), 1, &["Server_127.0.0.1_8098".into()])
        .await
        .unwrap();
}

/// The binary with a variable set and its log in a file.
fn start(data: &Path, log: &Path, secret: Option<&str>) -> Process {
    let mut command = Process::command(data);
    command.env("WEIR_LOG", "debug").env_remove("WEIR_TEST_SECRET");
    command.envs(secret.map(|secret| ("WEIR_TEST_SECRET", secret)));
    command.stderr(std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap());
    Process::spawn(command)
}

impl Api {
    async fn paid(&self) -> Json {
        self.json("/tables/paid/partitions").await[0].clone()
    }

    /// The answers of all GET routes, with these names of what is there in their paths, each under its path.
    async fn everything(&self, names: &[&str]) -> Vec<(String, String)> {
        let mut found = vec![];
        for client in [&self.controller, &self.broker] {
            let document = client.get("/openapi.json").await.unwrap().json();
            for (path, operations) in document["paths"].as_object().unwrap() {
                if operations["get"].is_null() {
                    continue;
                }
                for name in names {
                    let filled: Vec<&str> =
                        path.split('/').map(|part| if part.starts_with('{') { *name } else { part }).collect();
                    let filled = filled.join("/");
                    found.push((filled.clone(), client.get(&filled).await.unwrap().text()));
                }
            }
        }
        for table in ["partitions", "segments", "quarantine", "skips", "audit"] {
            let sql = format!("SELECT * FROM system.{table} LIMIT 1000");
            let answer = self.broker.send_json(Method::POST, "/query/sql", &json!({ "sql": sql })).await.unwrap();
            assert_eq!(answer.json()["exceptions"], json!([]), "{sql}: {}", answer.text());
            found.push((sql, answer.text()));
        }
        found
    }
}

fn assert_clean(place: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} is seen in {place}:\n{text}");
    }
}

/// Every file below a folder but the catalog, as bytes read as text.
fn files(dir: &Path) -> Vec<(String, String)> {
    let mut found = vec![];
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.file_name().unwrap() != "catalog.redb" {
            found.push((path.display().to_string(), String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn n18_secrets_never_appear() {
    let dir = tempfile::tempdir().unwrap();
    let (data, log, file) = (dir.path().join("data"), dir.path().join("log"), dir.path().join("secret"));
    std::fs::write(&file, "hunter-file\n").unwrap();
    table_of_before(&data, &paid(&file)).await;

    // Without the variable the table is there and says what it lacks.
    let node = start(&data, &log, None);
    let lacking = eventually("the reason", async || {
        let partition = node.paid().await;
        let told = partition["reason"].as_str().is_some_and(|reason| reason.contains("env:WEIR_TEST_SECRET"));
        if partition["state"] == "RETRYING" && told { Ok(partition) } else { Err(partition.to_string()) }
    })
    .await;
    assert!(lacking["reason"].as_str().unwrap().contains("is not set on this node: set it"), "{lacking}");
    // A new one that lacks it is refused with its path.
    let mut document = paid(&file);
    document["tableName"] = json!("other");
    document["schema"]["schemaName"] = json!("other");
    document["realtime"]["tableName"] = json!("other");
    let refused = node.controller.send_json(Method::POST, "/tableConfigs", &document).await.unwrap();
    assert_eq!(refused.status, 400, "{}", refused.text());
    let path = "realtime.ingestionConfig.streamIngestionConfig.streamConfigMaps[0].ssl.key.password";
    assert!(refused.error().contains(&format!("{path} = env:WEIR_TEST_SECRET: the variable")), "{}", refused.error());
    assert_clean("the refusal", &refused.text());
    drop(node);

    // With it, the broker is what is missing.
    let node = start(&data, &log, Some("hunter-env"));
    eventually("the broker's silence", async || {
        let partition = node.paid().await;
        let told = partition["reason"].as_str().is_some_and(|reason| reason.contains("127.0.0.1:1"));
        if partition["state"] == "RETRYING" && told { Ok(()) } else { Err(partition.to_string()) }
    })
    .await;
    let lag = node.paid().await["lagMs"].as_u64().unwrap();
    eventually("more lag while nothing can be read", async || {
        let partition = node.paid().await;
        if partition["lagMs"].as_u64() > Some(lag) { Ok(()) } else { Err(partition.to_string()) }
    })
    .await;
    let made = node.controller.send_json(Method::POST, "/tableConfigs", &orders(1)).await.unwrap();
    assert_eq!(made.status, 200, "{}", made.text());
    let records = json!({"records": [{"value": order(1, "DE", 1.0)}, {"value": "not a row"}]});
    let sent = node.controller.send_json(Method::POST, "/topics/orders", &records).await.unwrap();
    assert_eq!(sent.status, 200, "{}", sent.text());
    for (method, path, body) in [
        (Method::POST, "/tableConfigs", &document),
        (Method::POST, "/tableConfigs/validate", &paid(&file)),
        (Method::PUT, "/tableConfigs/paid", &document),
        (Method::POST, "/tables", &document["realtime"]),
        (Method::POST, "/tables/validate", &paid(&file)["realtime"]),
    ] {
        let refused = node.controller.send_json(method, path, body).await.unwrap();
        assert_eq!(refused.status, 400, "{path}: {}", refused.text());
        assert_clean(path, &refused.text());
    }
    // A change of something else, made of what GET answers, keeps every secret; it is on the record without them.
    let mut shown = node.controller.get("/tableConfigs/paid").await.unwrap().json();
    let map = shown["realtime"]["ingestionConfig"]["streamIngestionConfig"]["streamConfigMaps"][0].clone();
    assert_eq!(map["sasl.jaas.config"], "*****");
    assert_eq!(map["ssl.key.password"], "env:WEIR_TEST_SECRET");
    assert_eq!(map["client.rack"], "${env:WEIR_TEST_SECRET}");
    shown["realtime"]["ingestionConfig"]["streamIngestionConfig"]["streamConfigMaps"][0]["stream.kafka.lagging.after"] =
        json!("30s");
    let changed = node.controller.send_json(Method::PUT, "/tableConfigs/paid", &shown).await.unwrap();
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_clean("the change", &changed.text());

    let everything = node.everything(&["paid", "orders", "paid_REALTIME"]).await;
    assert!(everything.len() > 100, "{} answers", everything.len());
    let metrics = everything.iter().find(|(path, _)| path == "/metrics").unwrap();
    assert!(metrics.1.contains("weir_errors_total{table=\"paid\""), "{}", metrics.1);
    for (place, text) in &everything {
        assert_clean(place, text);
    }
    drop(node);
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("partition state changed") && said.contains("kafka client"), "{said}");
    assert_clean("the log", &said);
    let files = files(&data);
    assert!(files.iter().any(|(path, _)| path.contains("/log/")), "the local log has files");
    for (path, content) in &files {
        assert_clean(path, content);
    }
    // The catalog alone has the literal ones, and never what references stand for.
    let catalog = String::from_utf8_lossy(&std::fs::read(data.join("catalog.redb")).unwrap()).into_owned();
    assert!(catalog.contains("hunter-jaas"));
    assert!(!catalog.contains("hunter-env") && !catalog.contains("hunter-file"));
}

/// A table over a broker that asks for a password, with settings of the login.
fn guarded(name: &str, topic: &str, broker: &OwnBroker, login: &[(&str, &str)]) -> Json {
    let log = Log::Kafka(TestBroker::at(&broker.guarded_address()));
    let mut settings = vec![("/security.protocol", "SASL_PLAINTEXT"), ("/sasl.mechanism", "PLAIN")];
    settings.extend(login);
    let mut document = table(&json!([{"name": "id", "dataType": "LONG"}]), &log.map(topic, &settings));
    document["tableName"] = json!(name);
    document["schema"]["schemaName"] = json!(name);
    document["realtime"]["tableName"] = json!(name);
    document
}

#[tokio::test(flavor = "multi_thread")]
async fn n18_secrets_of_a_broker_that_asks_for_them_never_appear() {
    if Command::new("openssl").arg("version").output().is_err() {
        return eprintln!("skipped: a broker that asks for passwords needs openssl");
    }
    let Some(broker) = OwnBroker::start_secure("me:hunter-env") else { return };
    let open = Log::Kafka(TestBroker::at(&broker.address()));
    let topic = open.topic("n18", 1).await;
    open.append_messages(&topic, 0, &[TestMessage::of("{\"id\": 1}"), TestMessage::of("no row")]).await;
    let dir = tempfile::tempdir().unwrap();
    let (data, log) = (dir.path().join("data"), dir.path().join("log"));
    let node = start(&data, &log, Some("hunter-env"));
    let by_reference = [("/sasl.username", "me"), ("/sasl.password", "env:WEIR_TEST_SECRET")];
    let jaas =
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"me\" password=\"hunter-env\";";
    for (name, login) in [("referring", &by_reference[..]), ("literal", &[("/sasl.jaas.config", jaas)])] {
        let made = node.post("/tableConfigs", &guarded(name, &topic, &broker, login)).await;
        assert_eq!(made.status, 200, "{}", made.text());
        assert_clean(name, &made.text());
        node.wait_for_rows(&format!("SELECT COUNT(*) FROM {name}"), &json!([[1]])).await;
    }
    // A password that is wrong, and none at all: refused by the broker, and told without it.
    let wrong = [("/sasl.username", "me"), ("/sasl.password", "hunter-literal")];
    let refused = node.post("/tableConfigs", &guarded("wrong", &topic, &broker, &wrong)).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.error().contains("broker.list") && refused.error().contains(&topic), "{}", refused.error());
    assert_clean("the refusal", &refused.text());
    assert_eq!(node.get("/tables/wrong/partitions").await.status, 404, "nothing is left");

    node.wait_for_rows("SELECT COUNT(*) FROM system.quarantine", &json!([[2]])).await;
    let everything = node.everything(&["referring", "literal", "literal_REALTIME"]).await;
    assert!(everything.len() > 100, "{} answers", everything.len());
    for (place, text) in &everything {
        assert_clean(place, text);
    }
    drop(node);
    // The broker takes another password than before: what is said of it tells neither.
    let node = start(&data, &log, Some("hunter-file"));
    let refused = eventually("the refusal", async || {
        let shown = node.json("/tables/referring/partitions").await[0].clone();
        if shown["state"] == "RETRYING" { Ok(shown) } else { Err(shown.to_string()) }
    })
    .await;
    assert!(refused["reason"].as_str().unwrap().contains("refuses access"), "{refused}");
    for (place, text) in &node.everything(&["referring", "literal"]).await {
        assert_clean(place, text);
    }
    drop(node);
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("partition state changed"), "{said}");
    assert_clean("the log", &said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_secret_that_is_not_stored_is_refused() {
    let node = TestNode::start().await;
    let mut document = orders(1);
    let map = &mut document["realtime"]["ingestionConfig"]["streamIngestionConfig"]["streamConfigMaps"][0];
    map["sasl.password"] = json!("hunter-literal");
    node.make(&document).await;
    let shown = node.json("/tableConfigs/orders").await;
    let place = "/realtime/ingestionConfig/streamIngestionConfig/streamConfigMaps/0/sasl.password";
    assert_eq!(shown.pointer(place), Some(&json!("*****")));
    let sent = node.send(Method::PUT, "/tableConfigs/orders", &shown).await;
    assert_eq!(sent.status, 200, "{}", sent.text());
    let table = node.json("/tables/orders").await["REALTIME"].clone();
    assert_eq!(node.send(Method::PUT, "/tables/orders", &table).await.status, 200);
    // Another map has nothing stored under that key.
    let mut other = shown.clone();
    let map = &mut other["realtime"]["ingestionConfig"]["streamIngestionConfig"]["streamConfigMaps"][0];
    map["ssl.key.password"] = json!("*****");
    let refused = node.send(Method::PUT, "/tableConfigs/orders", &other).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.error().contains("streamConfigMaps[0].ssl.key.password = *****"), "{}", refused.error());
    node.server.stop().await;
}
