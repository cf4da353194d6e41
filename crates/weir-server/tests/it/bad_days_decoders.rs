//! One bad message in ten thousand, for every decoder: the good ones are rows, the bad one is in quarantine, and nothing
//! starts anew. All of it on a real broker, one topic and one table for each decoder on one node.
//!
//! `WEIR_KAFKA` names the broker, `WEIR_REGISTRY` a schema registry, `WEIR_REGISTRY_PYTHON` a Python with the reference
//! serializers: what they write is read as they wrote it.

use crate::{
    bad_days_records::named,
    first_minutes::registry,
    streams::Log,
    support::{TestNode, eventually},
    written::{self, START_MS, by_reference, json_text, messages_of, order, python},
};
use base64::Engine as _;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use weir_formats::{registry as decoders, schema_registry::stand_in::StandIn};
use weir_streams::kafka::testing::{TestBroker, TestMessage};

/// Good messages of each decoder.
const GOOD: usize = 9_999;

/// One way to write orders.
struct Way {
    /// As the table is named.
    name: &'static str,
    /// As `decoder.class.name` has it.
    class: &'static str,
    settings: Vec<(&'static str, String)>,
    good: Vec<Vec<u8>>,
    bad: Vec<u8>,
    /// Why the bad one is none.
    reason: String,
}

fn by_hand(write: fn(usize) -> Vec<u8>) -> Vec<Vec<u8>> {
    (0..GOOD).map(write).collect()
}

fn cut(mut message: Vec<u8>, to: usize) -> Vec<u8> {
    assert!(message.len() > to, "something is cut off");
    message.truncate(to);
    message
}

/// The ways that need nobody else.
fn own_ways() -> Vec<Way> {
    let way = |name, class, settings: &[(&'static str, &str)], good: Vec<Vec<u8>>, bad, reason: &str| Way {
        name,
        class,
        settings: settings.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
        good,
        bad,
        reason: reason.to_owned(),
    };
    let json = "org.apache.pinot.plugin.inputformat.json.JSONMessageDecoder";
    let csv = "org.apache.pinot.plugin.inputformat.csv.CSVMessageDecoder";
    let clp = "org.apache.pinot.plugin.inputformat.clplog.CLPLogMessageDecoder";
    let arrow = "org.apache.pinot.plugin.inputformat.arrow.ArrowMessageDecoder";
    let bson = "org.apache.pinot.plugin.inputformat.bson.BSONMessageDecoder";
    let early = "the message ends too early";
    let columns = [("header", "id,country,tags,paid,amount,ts"), ("delimiter", ",")];
    let any = |at: usize| [json_text, written::cbor, written::smile][at % 3](at);
    vec![
        way("json", json, &[], by_hand(json_text), b"{\"id\": 1, \"amount\":".to_vec(), "the JSON ends too early"),
        way("cbor", json, &[("jsonFormat", "CBOR")], by_hand(written::cbor), cut(written::cbor(1), 9), early),
        way("smile", json, &[("jsonFormat", "SMILE")], by_hand(written::smile), cut(written::smile(1), 20), "Smile"),
        way("auto", json, &[("jsonFormat", "AUTO")], by_hand(any), b"\xff\xfe\xfd".to_vec(), "the text is not UTF-8"),
        way("csv", csv, &columns, by_hand(written::csv), b"2,\"DE".to_vec(), "a field in quotes does not end"),
        way("arrow", arrow, &[], by_hand(written::arrow), cut(written::arrow(1), 90), "this is no Arrow stream"),
        way(
            "bson",
            bson,
            &[],
            by_hand(written::bson),
            cut(written::bson(1), 20),
            "the length in front of the document",
        ),
        way(
            "clp",
            clp,
            &[("fieldsForClpEncoding", "country")],
            by_hand(json_text),
            b"{\"country\":".to_vec(),
            "the JSON ends too early",
        ),
    ]
}

/// The ways of the reference serializers, with the schema registries that their decoders ask.
fn reference_ways(registry: &str, hashed: &StandIn, python: &str, folder: &std::path::Path) -> Vec<Way> {
    let avro = "org.apache.pinot.plugin.inputformat.avro";
    let protobuf = "org.apache.pinot.plugin.inputformat.protobuf";
    let classes: BTreeMap<&str, String> = [
        ("avro", format!("{avro}.SimpleAvroMessageDecoder")),
        ("avro-hashed", format!("{avro}.KafkaAvroMessageDecoder")),
        ("avro-confluent", format!("{avro}.confluent.KafkaConfluentSchemaRegistryAvroMessageDecoder")),
        (
            "json-confluent",
            "org.apache.pinot.plugin.inputformat.json.confluent.KafkaConfluentSchemaRegistryJsonMessageDecoder".into(),
        ),
        ("protobuf", format!("{protobuf}.ProtoBufMessageDecoder")),
        ("protobuf-confluent", format!("{protobuf}.KafkaConfluentSchemaRegistryProtoBufMessageDecoder")),
    ]
    .into();
    by_reference(python, registry, &TestBroker::name("n01-decoders"), GOOD, folder);
    let schema = std::fs::read_to_string(folder.join("order.avsc")).unwrap();
    let descriptors = format!("file://{}", folder.join("order.desc").display());
    let asked = ("schema.registry.rest.url", registry.to_owned());
    let missing = format!("the schema registry {registry} has no schema 2147483632: register it there");
    // Numbers that no registry of a test run reaches.
    let unknown = [&[0][..], &0x7fff_fff0_u32.to_be_bytes(), b"\0\0"].concat();
    let way =
        |name: &'static str, settings: Vec<(&'static str, String)>, bad: &dyn Fn(&[u8]) -> Vec<u8>, reason: &str| {
            let good = messages_of(&folder.join(name));
            assert_eq!(good.len(), GOOD, "{name}");
            let bad = bad(&good[1]);
            // Tables live as long as the test.
            let class: &'static str = classes[name].clone().leak();
            Way { name, class, settings, good, bad, reason: reason.to_owned() }
        };
    let all = vec![
        way("avro", vec![("schema", schema.clone())], &|good| cut(good.to_vec(), 9), "the message ends too early"),
        way(
            "avro-hashed",
            vec![("schema.registry.rest.url", hashed.url())],
            &|good| cut(good.to_vec(), 12),
            "the message ends within the hash of its schema",
        ),
        way("avro-confluent", vec![asked.clone()], &|_| unknown.clone(), &missing),
        way("json-confluent", vec![asked.clone()], &|good| good[5..].to_vec(), "the first byte is 0x7b, not 0"),
        way(
            "protobuf",
            vec![("descriptorFile", descriptors), ("protoClassName", "shop.Order".into())],
            &|_| vec![0x0f],
            "there is no wire type 7",
        ),
        way("protobuf-confluent", vec![asked], &|_| unknown.clone(), &missing),
    ];
    // What stands before the messages is the schema's hash, by which the registry is asked.
    let hash: String = all[1].good[0][1..17].iter().map(|byte| format!("{byte:02x}")).collect();
    hashed.page(&format!("/id={hash}"), &schema);
    all
}

fn columns() -> Json {
    json!([
        {"name": "id", "dataType": "LONG"},
        {"name": "country", "dataType": "STRING"},
        {"name": "tags", "dataType": "STRING", "singleValueField": false},
        {"name": "paid", "dataType": "BOOLEAN"},
        {"name": "amount", "dataType": "DOUBLE"},
        {"name": "ts", "dataType": "TIMESTAMP"},
        {"name": "__metadata$offset", "dataType": "LONG"},
    ])
}

/// What a table of all good orders answers, by country.
fn by_country() -> Json {
    let rows = ["DE", "FR", "IT"].map(|country| {
        let orders: Vec<_> = (0..GOOD).map(order).filter(|order| order.country == country).collect();
        json!([
            country,
            orders.len(),
            orders.iter().map(|order| order.amount).sum::<f64>(),
            orders.iter().filter(|order| order.paid).count(),
            orders.iter().map(|order| order.ts).max(),
        ])
    });
    json!(rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn n01_one_bad_message_in_ten_thousand_of_every_decoder() {
    let (Some(log), Some(registry), Some(python)) = (Log::kafka(), registry(), python()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let hashed = StandIn::start().await;
    let mut ways = own_ways();
    ways.extend(reference_ways(&registry, &hashed, &python, folder.path()));
    let of = |class: &str| decoders::resolve(class).unwrap();
    let seen: std::collections::BTreeSet<&str> = ways.iter().map(|way| of(way.class)).collect();
    assert_eq!(seen, decoders::names().collect(), "every decoder has its turn");

    let node = TestNode::start().await;
    let mut topics = vec![];
    for way in &ways {
        let topic = log.topic(&format!("n01-{}", way.name), 1).await;
        let settings: Vec<(String, &str)> =
            way.settings.iter().map(|(key, value)| (format!("decoder.prop.{key}"), value.as_str())).collect();
        let mut settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        settings.push(("decoder.class.name", way.class));
        let table = format!("n01_{}", way.name.replace('-', "_"));
        node.make(&named(&table, &columns(), &log.map(&topic, &settings))).await;
        topics.push((table, topic));
    }
    for (way, (_, topic)) in ways.iter().zip(&topics) {
        let (first, second) = way.good.split_at(GOOD / 2);
        let all = first.iter().chain([&way.bad]).chain(second).cloned().map(TestMessage::of);
        log.append_messages(topic, 0, &all.collect::<Vec<_>>()).await;
    }
    let (last, expected) = ((GOOD - 1) as f64, by_country());
    for (way, (table, topic)) in ways.iter().zip(&topics) {
        // So many different ones below the greatest: each is there, and the bad one has its offset to itself.
        let all = format!(
            "SELECT COUNT(*), COUNT(DISTINCT id), MIN(id), MAX(id), COUNT(DISTINCT \"__metadata$offset\"), \
             SUM(CASE WHEN \"__metadata$offset\" = {} THEN 1 ELSE 0 END) FROM {table}",
            GOOD / 2
        );
        node.wait_for_rows(&all, &json!([[GOOD, GOOD, 0.0, last, GOOD, 0.0]])).await;
        let sql = format!(
            "SELECT country, COUNT(*), SUM(amount), CAST(SUM(CASE WHEN paid THEN 1 ELSE 0 END) AS LONG), \
             CAST(MAX(ts) AS LONG) FROM {table} GROUP BY country ORDER BY country"
        );
        assert_eq!(node.rows(&sql).await, expected, "{}", way.name);
        let tagged = (0..GOOD).filter(|at| order(*at).tags[1] == "t3").count();
        let with_tag = format!("SELECT COUNT(*) FROM {table} WHERE tags = 't3' AND arrayLength(tags) = 2");
        assert_eq!(node.rows(&with_tag).await, json!([[tagged]]), "{}", way.name);
        let early = format!("SELECT id FROM {table} WHERE ts = {} AND paid = false", START_MS + 1000);
        assert_eq!(node.rows(&early).await, json!([[1]]), "{}", way.name);

        let kept = eventually("the quarantine", async || {
            let page = node.json(&format!("/tables/{table}/quarantine")).await;
            if page["kept"] == 1 { Ok(page["entries"][0].clone()) } else { Err(page.to_string()) }
        })
        .await;
        let place = (&kept["topic"], &kept["partition"], &kept["offset"], &kept["stage"]);
        assert_eq!(place, (&json!(topic), &json!(0), &json!(GOOD / 2), &json!("DECODE")), "{kept}");
        assert!(kept["reason"].as_str().unwrap().contains(&way.reason), "{}: {kept}", way.name);
        let bytes = base64::engine::general_purpose::STANDARD.encode(&way.bad);
        assert_eq!(kept["payloadBase64"], json!(bytes), "{}: {kept}", way.name);

        // Nothing was read twice, and the segment that was opened first is still open.
        let shown = node.partition_of(table, topic, 0).await;
        let counts = ["fetched", "stored", "rejected", "gaps", "nextOffset"].map(|count| shown[count].clone());
        assert_eq!(json!(counts), json!([GOOD + 1, GOOD, 1, 0, GOOD + 1]), "{shown}");
        assert_eq!(shown["state"], "CONSUMING", "{shown}");
        assert!(shown["openSegment"].as_str().unwrap().starts_with(&format!("{table}__0__0__")), "{shown}");
        node.assert_reconciled_of(table).await;
    }
    // Nor do they hinder the seal.
    for (table, _) in &topics {
        node.commit(table).await;
        let sql = format!("SELECT COUNT(*), COUNT(DISTINCT id) FROM {table}");
        node.wait_for_rows(&sql, &json!([[GOOD, GOOD]])).await;
    }
    node.server.stop().await;
}
