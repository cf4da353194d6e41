//! A table whose decoder, topic or broker is wrong is not made: the answer is a 4xx that names the key, the value and the cause,
//! and nothing is left of it: no table, no schema, no topic, no folder, no reader.
//!
//! What is wrong about settings, and nobody listening, needs no broker; what a broker says of a topic needs `WEIR_KAFKA`.

use crate::{
    bad_days_records::named,
    streams::Log,
    support::{Api, TestNode},
};
use serde_json::{Value as Json, json};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};
use weir_formats::{protobuf::ProtoFile, registry as decoders};
use weir_streams::kafka::testing::TestBroker;

/// One thing that is wrong.
pub(crate) struct Cell {
    /// What the keys of the stream map are set to; nothing takes a key away.
    set: Vec<(String, Option<String>)>,
    /// The key that the answer names.
    key: String,
    /// What else it says.
    says: Vec<String>,
}

/// A cell of settings, the key that is named, and words of the cause.
pub(crate) fn cell(set: &[(&str, Option<&str>)], key: &str, says: &[&str]) -> Cell {
    Cell {
        set: set.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect(),
        key: key.to_owned(),
        says: says.iter().map(|word| (*word).to_owned()).collect(),
    }
}

fn below(dir: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            below(&path, found);
        }
        found.insert(path);
    }
}

/// Every file and folder of a node.
fn files(node: &TestNode) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    below(&node.server.node.settings().absolute_data_dir(), &mut found);
    found
}

impl Api {
    /// There is no table, nor anything that one brings with it.
    async fn assert_bare(&self, cell: &str) {
        assert_eq!(self.json("/tables").await, json!({"tables": []}), "{cell}");
        for path in ["/schemas", "/tableConfigs", "/topics"] {
            assert_eq!(self.json(path).await, json!([]), "{path} after {cell}");
        }
        for table in ["partitions", "segments", "quarantine"] {
            let rows = self.rows(&format!("SELECT COUNT(*) FROM system.{table}")).await;
            assert_eq!(rows, json!([[0]]), "{table} after {cell}");
        }
        let metrics = self.get("/metrics").await.text();
        assert!(!metrics.contains("table=\"t\""), "metrics of the table after {cell}");
    }
}

/// Each cell is refused over `map`, a stream map that is right, and leaves nothing; then the right one is taken.
pub(crate) async fn refused(node: &TestNode, map: &Json, cells: &[Cell]) {
    let columns = json!([{"name": "id", "dataType": "LONG"}]);
    let before = files(node);
    for Cell { set, key, says } in cells {
        let mut wrong = map.clone();
        for (key, value) in set {
            match value {
                Some(value) => wrong[key] = json!(value),
                None => drop(wrong.as_object_mut().unwrap().remove(key)),
            }
        }
        let name = format!("{set:?}");
        let answer = node.post("/tableConfigs", &named("t", &columns, &wrong)).await;
        let said = answer.text();
        assert_eq!(answer.status, 400, "{name}: {said}");
        for part in says.iter().chain([key]) {
            assert!(answer.error().contains(part.as_str()), "{name}: {part:?} is not in {said}");
        }
        node.assert_bare(&name).await;
        assert_eq!(files(node), before, "{name}");
    }
    node.make(&named("t", &columns, map)).await;
    assert_eq!(node.delete("/tableConfigs/t").await.status, 200);
}

fn local() -> Json {
    json!({
        "streamType": "local",
        "stream.local.topic.name": "n15",
        "stream.local.decoder.class.name": "json",
    })
}

const CLASS: &str = "stream.local.decoder.class.name";

/// Settings of one decoder, one of them wrong.
fn of_decoder(decoder: &str, set: &[(&str, &str)], key: &str, says: &[&str]) -> Cell {
    let prefixed = |key: &str| format!("stream.local.decoder.prop.{key}");
    let class = (CLASS.to_owned(), Some(decoder.to_owned()));
    let rest = set.iter().map(|(key, value)| (prefixed(key), Some((*value).to_owned())));
    Cell {
        set: std::iter::once(class).chain(rest).collect(),
        key: key.to_owned(),
        says: says.iter().map(|word| (*word).to_owned()).collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn n15_a_wrong_decoder_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let set = "syntax = \"proto3\"; package shop; message Skipped { } message Order { int64 id = 1; }";
    let path = dir.path().join("order.desc");
    std::fs::write(&path, ProtoFile::parse(set, &[]).unwrap().descriptor_set()).unwrap();
    let descriptors = format!("file://{}", path.display());
    let text = dir.path().join("order.proto");
    std::fs::write(&text, set).unwrap();
    let (text, absent) = (text.display().to_string(), dir.path().join("absent.desc").display().to_string());
    let url = ("schema.registry.rest.url", "http://127.0.0.1:9");
    let mut cells = vec![
        of_decoder("json", &[("jsonFormat", "POSTGRES_JSONB")], "jsonFormat", &["POSTGRES_JSONB", "TEXT, CBOR, SMILE"]),
        of_decoder("csv", &[("fileFormat", "ODS")], "fileFormat", &["ODS", "RFC4180"]),
        of_decoder("csv", &[("delimiter", "<>")], "delimiter", &["<>", "one"]),
        of_decoder("csv", &[("skipHeader", "perhaps")], "skipHeader", &["perhaps", "true or false"]),
        of_decoder("avro", &[], "schema", &["writer"]),
        of_decoder("avro", &[("schema", "{\"type\":")], "schema", &["JSON"]),
        of_decoder("avro", &[("schema", "\"string\"")], "schema", &["record"]),
        of_decoder(
            "avro",
            &[("schema", r#"{"type":"record","name":"o","fields":[]}"#), ("leading.bytes.to.strip", "-5")],
            "leading.bytes.to.strip",
            &["-5"],
        ),
        of_decoder("protobuf", &[], "descriptorFile", &["must name the descriptor set", "file:///"]),
        of_decoder("protobuf", &[("descriptorFile", &absent)], "descriptorFile", &[&absent]),
        of_decoder("protobuf", &[("descriptorFile", &text)], "descriptorFile", &[&text, "descriptor set"]),
        of_decoder(
            "protobuf",
            &[("descriptorFile", "s3://b/o.desc")],
            "descriptorFile",
            &["s3://b/o.desc", "file:///"],
        ),
        of_decoder("protobuf", &[("descriptorFile", &descriptors)], "protoClassName", &["shop.Order", "shop.Skipped"]),
        of_decoder(
            "protobuf",
            &[("descriptorFile", &descriptors), ("protoClassName", "shop.Ordre")],
            "protoClassName",
            &["shop.Ordre", "shop.Order"],
        ),
        of_decoder("arrow", &[("arrow.allocator.limit", "none")], "arrow.allocator.limit", &["none"]),
        of_decoder("clp", &[("removeProcessedFields", "perhaps")], "removeProcessedFields", &["perhaps"]),
        // Pinot's class, which cannot be here.
        of_decoder(
            "org.apache.pinot.plugin.inputformat.protobuf.ProtoBufCodeGenMessageDecoder",
            &[("jarFile", "file:///o.jar")],
            CLASS,
            &["ProtoBufCodeGenMessageDecoder", "descriptor set"],
        ),
    ];
    for decoder in ["avro-hashed", "avro-confluent", "json-confluent", "protobuf-confluent"] {
        cells.extend([
            of_decoder(decoder, &[], "schema.registry.rest.url", &["http://host:8081"]),
            of_decoder(
                decoder,
                &[("schema.registry.rest.url", "registry:8081")],
                "schema.registry.rest.url",
                &["registry:8081"],
            ),
            of_decoder(decoder, &[url, ("cached.schema.map.capacity", "0")], "cached.schema.map.capacity", &["1000"]),
            of_decoder(
                decoder,
                &[url, ("schema.registry.basic.auth.credentials.source", "SASL_INHERIT")],
                "schema.registry.basic.auth.credentials.source",
                &["SASL_INHERIT", "USER_INFO"],
            ),
            of_decoder(
                decoder,
                &[url, ("schema.registry.ssl.truststore.type", "JKS")],
                "schema.registry.ssl.truststore.type",
                &["JKS", "PEM"],
            ),
        ]);
    }
    // Each class of Pinot's with a letter too few: nothing near it is taken for it.
    for class in [
        "JSONMessageDecoder",
        "KafkaJSONMessageDecoder",
        "CSVMessageDecoder",
        "SimpleAvroMessageDecoder",
        "KafkaAvroMessageDecoder",
        "KafkaConfluentSchemaRegistryAvroMessageDecoder",
        "KafkaConfluentSchemaRegistryJsonMessageDecoder",
        "KafkaConfluentSchemaRegistryProtoBufMessageDecoder",
        "ProtoBufMessageDecoder",
        "ArrowMessageDecoder",
        "BSONMessageDecoder",
        "CLPLogMessageDecoder",
    ] {
        assert!(decoders::resolve(class).is_some(), "{class}");
        let wrong = format!("org.apache.pinot.plugin.inputformat.{}", class.trim_end_matches('r'));
        cells.push(of_decoder(&wrong, &[], CLASS, &[&wrong, "is not a decoder", "JSONMessageDecoder"]));
    }
    cells.push(cell(&[(CLASS, None)], CLASS, &["json"]));
    // BSON has no setting that could be wrong, but its name can.
    cells.push(of_decoder("BSON", &[], CLASS, &["BSON", "is not a decoder"]));
    for decoder in decoders::names() {
        let of = |cell: &Cell| cell.set[0].1.as_deref().is_some_and(|class| class.eq_ignore_ascii_case(decoder));
        assert!(cells.iter().any(of), "{decoder} has no cell");
    }
    let node = TestNode::start().await;
    refused(&node, &local(), &cells).await;
    node.server.stop().await;
}

/// Nobody has to be there to say these.
#[tokio::test(flavor = "multi_thread")]
async fn n15_a_wrong_stream_setting_is_refused_and_leaves_nothing() {
    let node = TestNode::start().await;
    let topic = "stream.local.topic.name";
    let kind = |kind: &'static str| ("streamType", Some(kind));
    let kafka = |more: &[(&str, Option<&str>)], key: &str, says: &[&str]| {
        let own = [
            kind("kafka"),
            ("stream.kafka.topic.name", Some("n15")),
            ("stream.kafka.decoder.class.name", Some("json")),
            ("stream.kafka.broker.list", Some("127.0.0.1:9")),
        ];
        cell(&[&own[..], more].concat(), key, says)
    };
    let pulsar = |more: &[(&str, Option<&str>)], key: &str, says: &[&str]| {
        let own = [
            kind("pulsar"),
            ("stream.pulsar.topic.name", Some("n15")),
            ("stream.pulsar.decoder.class.name", Some("json")),
            ("stream.pulsar.bootstrap.servers", Some("pulsar://127.0.0.1:9")),
        ];
        cell(&[&own[..], more].concat(), key, says)
    };
    let kinesis = |more: &[(&str, Option<&str>)], key: &str, says: &[&str]| {
        let own = [
            kind("kinesis"),
            ("stream.kinesis.topic.name", Some("n15")),
            ("stream.kinesis.decoder.class.name", Some("json")),
            ("region", Some("us-east-1")),
            ("endpoint", Some("http://127.0.0.1:9")),
            ("accessKey", Some("key")),
            ("secretKey", Some("secret")),
        ];
        cell(&[&own[..], more].concat(), key, says)
    };
    let cells = [
        cell(&[kind("carrier-pigeon")], "streamType", &["carrier-pigeon", "kafka, kinesis, local"]),
        cell(&[("streamType", None)], "streamType", &["kafka"]),
        cell(&[(topic, None)], topic, &["topic"]),
        cell(&[(topic, Some("a/b"))], topic, &["a/b"]),
        cell(&[("stream.local.partitions", Some("0"))], "stream.local.partitions", &["1"]),
        kafka(&[("stream.kafka.topic.name", None)], "stream.kafka.topic.name", &["topic"]),
        kafka(&[("stream.kafka.broker.list", None)], "stream.kafka.broker.list", &["host:port"]),
        kafka(&[("stream.kafka.broker.list", Some(" "))], "stream.kafka.broker.list", &["host:port"]),
        kafka(
            &[("stream.kafka.isolation.level", Some("serializable"))],
            "isolation.level",
            &["serializable", "read_committed"],
        ),
        kafka(&[("stream.kafka.partition.ids", Some("0-"))], "stream.kafka.partition.ids", &["0-"]),
        kafka(
            &[("stream.kafka.consumer.prop.auto.offset.reset", Some("newest"))],
            "auto.offset.reset",
            &["newest", "smallest"],
        ),
        kafka(&[("security.protocol", Some("TLS"))], "security.protocol", &["TLS", "SASL_SSL"]),
        kafka(
            &[("ssl.engine.factory.class", Some("com.acme.Engine"))],
            "ssl.engine.factory.class",
            &["com.acme.Engine"],
        ),
        kafka(&[("max.partition.fetch.bytes", Some("many"))], "max.partition.fetch.bytes", &["many"]),
        kafka(
            &[("security.protocol", Some("SSL")), ("ssl.truststore.location", Some("/no/such/ca.pem"))],
            "ssl.truststore.location",
            &["/no/such/ca.pem"],
        ),
        kafka(
            &[("security.protocol", Some("SASL_SSL")), ("sasl.mechanism", Some("PLAIN"))],
            "sasl.jaas.config",
            &["username"],
        ),
        kafka(&[("sasl.password", Some("env:NO_SUCH_N15"))], "sasl.password", &["NO_SUCH_N15"]),
        pulsar(&[("stream.pulsar.bootstrap.servers", None)], "stream.pulsar.bootstrap.servers", &["pulsar://"]),
        pulsar(
            &[("stream.pulsar.bootstrap.servers", Some("http://a:1"))],
            "stream.pulsar.bootstrap.servers",
            &["http://", "pulsar+ssl"],
        ),
        pulsar(
            &[("stream.pulsar.topic.name", Some("persistent://a/b"))],
            "stream.pulsar.topic.name",
            &["persistent://a/b"],
        ),
        pulsar(
            &[("stream.pulsar.tlsTrustCertsFilePath", Some("/ca.pem"))],
            "stream.pulsar.tlsTrustCertsFilePath",
            &["pulsar+ssl://"],
        ),
        pulsar(&[("stream.pulsar.issuerUrl", Some("https://a"))], "stream.pulsar.credsFilePath", &["missing"]),
        pulsar(
            &[("stream.pulsar.authenticationToken", Some("env:NO_SUCH_N15"))],
            "authenticationToken",
            &["NO_SUCH_N15"],
        ),
        kinesis(&[("region", None)], "region", &["us-east-1"]),
        kinesis(&[("endpoint", Some("localhost:4566"))], "endpoint", &["localhost:4566", "http://"]),
        kinesis(&[("secretKey", None)], "secretKey", &["missing", "accessKey"]),
        kinesis(&[("secretKey", Some("env:NO_SUCH_N15"))], "secretKey", &["NO_SUCH_N15"]),
        kinesis(&[("maxRecordsToFetch", Some("20000"))], "maxRecordsToFetch", &["20000", "10000"]),
        kinesis(&[("iamRoleBasedAccessEnabled", Some("true"))], "roleArn", &["name the role"]),
    ];
    refused(&node, &local(), &cells).await;
    node.server.stop().await;
}

/// Where nobody listens, and where no name leads.
#[tokio::test(flavor = "multi_thread")]
async fn n15_a_broker_that_is_not_there_is_refused_and_leaves_nothing() {
    let node = TestNode::start().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (url, service) = (format!("pulsar://{free}"), format!("http://{free}"));
    let of = |kind: &'static str, more: &[(&str, &str)], key: &str, says: &[&str]| {
        let (topic, class) = (format!("stream.{kind}.topic.name"), format!("stream.{kind}.decoder.class.name"));
        let own = [("streamType", kind), (topic.as_str(), "n15"), (class.as_str(), "json")];
        let set: Vec<(&str, Option<&str>)> = own.iter().chain(more).map(|(key, value)| (*key, Some(*value))).collect();
        cell(&set, key, says)
    };
    let (brokers, servers) = ("stream.kafka.broker.list", "stream.pulsar.bootstrap.servers");
    let keys = [("region", "us-east-1"), ("accessKey", "key"), ("secretKey", "secret")];
    let cells = [
        of("kafka", &[(brokers, &free)], brokers, &[&free, "TCP"]),
        of("kafka", &[(brokers, "no-such-host.invalid:9092")], brokers, &["no-such-host.invalid", "DNS"]),
        of("pulsar", &[(servers, &url)], servers, &[&free, "TCP"]),
        of("pulsar", &[(servers, "pulsar://no-such-host.invalid:6650")], servers, &["no-such-host.invalid", "DNS"]),
        of("kinesis", &[&keys[..], &[("endpoint", &*service)]].concat(), "endpoint", &["TCP", &service, "refused"]),
        of(
            "kinesis",
            &[&keys[..], &[("endpoint", "http://no-such-host.invalid")]].concat(),
            "endpoint",
            &["DNS", "no-such-host.invalid"],
        ),
    ];
    refused(&node, &local(), &cells).await;
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n15_a_topic_that_kafka_does_not_have_is_refused_and_leaves_nothing() {
    let Some(log) = Log::kafka() else { return };
    let node = TestNode::start().await;
    let topic = log.topic("n15", 2).await;
    let absent = TestBroker::name("n15-absent");
    let name = "stream.kafka.topic.name";
    let cells = [
        cell(&[(name, Some(&absent))], name, &[&absent, "does not exist"]),
        cell(&[("stream.kafka.partition.ids", Some("1,7"))], "stream.kafka.partition.ids", &[&topic, "7"]),
        // A port that speaks something else than what is asked of it.
        cell(&[("security.protocol", Some("SSL"))], "security.protocol", &["TLS"]),
    ];
    refused(&node, &log.map(&topic, &[]), &cells).await;
    node.server.stop().await;
}
