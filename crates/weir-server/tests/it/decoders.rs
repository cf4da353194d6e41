//! Each family of decoders from a topic to an answer: rows are there, one bad message is in quarantine with its offset and
//! stage, and a schema registry that is away is waited for.

use crate::support::{TestNode, eventually, orders};
use base64::Engine as _;
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value as Json, json};
use weir_formats::{protobuf::ProtoFile, schema_registry::stand_in::StandIn};

/// 2026-01-01T00:00:00Z.
const TS: i64 = 1_767_225_600_000;
const AVRO: &str = r#"{"type":"record","name":"order","fields":[
    {"name":"id","type":"long"},
    {"name":"country","type":["null","string"]},
    {"name":"tags","type":{"type":"array","items":"string"}},
    {"name":"note","type":{"type":"map","values":"double"}},
    {"name":"paid","type":"boolean"},
    {"name":"amount","type":"double"},
    {"name":"ts","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#;
const PROTO: &str = r#"syntax = "proto3"; package shop;
    message Skipped { }
    message Order { int64 id = 1; optional string country = 2; repeated string tags = 3; bool paid = 4; double amount = 5;
                    int64 ts = 6; }"#;

/// A table `orders` with that decoder.
fn table(class: &str, settings: &[(&str, &str)]) -> Json {
    let mut document = orders(1);
    let map = &mut document["realtime"]["ingestionConfig"]["streamIngestionConfig"]["streamConfigMaps"][0];
    map["stream.local.decoder.class.name"] = json!(class);
    for (key, value) in settings {
        map[format!("stream.local.decoder.prop.{key}")] = json!(value);
    }
    document
}

async fn produce(node: &TestNode, messages: &[Vec<u8>]) {
    let encoded = |message: &Vec<u8>| json!({"value": base64::engine::general_purpose::STANDARD.encode(message)});
    let body = json!({ "records": messages.iter().map(encoded).collect::<Vec<_>>() }).to_string();
    let kind = [("content-type", "application/vnd.kafka.binary.v2+json")];
    let answer = node.controller.send(Method::POST, "/topics/orders", &kind, Bytes::from(body)).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn varint(mut bits: u64) -> Vec<u8> {
    let mut out = vec![];
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
    out
}

fn long(value: i64) -> Vec<u8> {
    varint(((value << 1) ^ (value >> 63)) as u64)
}

/// The order in Avro: two tags, a note that is in no column.
fn avro(id: i64, amount: f64) -> Vec<u8> {
    [
        long(id),
        [&[2, 4][..], b"DE", &[4, 2], b"a", &[2], b"b", &[0]].concat(),
        [&[2, 2][..], b"k", &[0; 8], &[0]].concat(),
        vec![1],
        amount.to_le_bytes().to_vec(),
        long(TS),
    ]
    .concat()
}

fn proto(id: u64, amount: f64) -> Vec<u8> {
    let (id, ts) = (varint(id), varint(TS as u64));
    [&[8], &id[..], &[18, 2], b"DE", &[26, 1], b"a", &[26, 1], b"b", &[32, 1, 41], &amount.to_le_bytes(), &[48], &ts]
        .concat()
}

/// Two good messages around a bad one: what becomes of them is the same in every format.
async fn lives(class: &str, settings: &[(&str, &str)], messages: [Vec<u8>; 3], reason: &str) {
    let node = TestNode::start().await;
    node.make(&table(class, settings)).await;
    produce(&node, &messages).await;
    let all = "SELECT id, country, tags, paid, amount FROM orders ORDER BY id";
    let row = |id: i64, amount: f64| json!([id, "DE", ["a", "b"], true, amount]);
    node.wait_for_rows(all, &json!([row(1, 2.5), row(3, 4.0)])).await;
    node.wait_for_rows("SELECT COUNT(*) FROM orders WHERE ts = 1767225600000", &json!([[2]])).await;
    let kept = eventually("the quarantine", async || {
        let page = node.json("/tables/orders/quarantine").await;
        let entry = page["entries"][0].clone();
        if page["kept"] == 1 { Ok(entry) } else { Err(page.to_string()) }
    })
    .await;
    assert_eq!((&kept["offset"], &kept["stage"]), (&json!(1), &json!("DECODE")), "{kept}");
    assert!(kept["reason"].as_str().unwrap().contains(reason), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_lives() {
    let row = |id: i64, amount: f64| format!("{id},DE,a;b,true,{amount},{TS}\n").into_bytes();
    let messages = [row(1, 2.5), b"2,\"DE".to_vec(), row(3, 4.0)];
    let settings = [("header", "id,country,tags,paid,amount,ts"), ("delimiter", ",")];
    let class = "org.apache.pinot.plugin.inputformat.csv.CSVMessageDecoder";
    lives(class, &settings, messages, "a field in quotes does not end (byte 2 of 5)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn avro_with_a_fixed_schema_lives() {
    let mut cut = avro(2, 1.0);
    cut.truncate(9);
    let class = "org.apache.pinot.core.realtime.stream.SimpleAvroMessageDecoder";
    lives(class, &[("schema", AVRO)], [avro(1, 2.5), cut, avro(3, 4.0)], "the message ends too early").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn protobuf_with_a_descriptor_set_lives() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("order.desc");
    std::fs::write(&path, ProtoFile::parse(PROTO, &[]).unwrap().descriptor_set()).unwrap();
    let uri = format!("file://{}", path.display());
    let settings = [("descriptorFile", uri.as_str()), ("protoClassName", "shop.Order")];
    let class = "org.apache.pinot.plugin.inputformat.protobuf.ProtoBufMessageDecoder";
    lives(class, &settings, [proto(1, 2.5), vec![0x0f], proto(3, 4.0)], "there is no wire type 7").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arrow_lives() {
    use arrow::{
        array::{
            ArrayRef, BooleanArray, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
        },
        ipc::writer::StreamWriter,
    };
    use std::sync::Arc;
    let stream = |id: i64, amount: f64| {
        let mut tags = ListBuilder::new(StringBuilder::new());
        tags.append_value([Some("a"), Some("b")]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from(vec![id]))),
            ("country", Arc::new(StringArray::from(vec!["DE"]))),
            ("tags", Arc::new(tags.finish())),
            ("paid", Arc::new(BooleanArray::from(vec![true]))),
            ("amount", Arc::new(Float64Array::from(vec![amount]))),
            ("ts", Arc::new(Int64Array::from(vec![TS]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = StreamWriter::try_new(vec![], &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    };
    let mut cut = stream(2, 1.0);
    cut.truncate(90);
    let class = "org.apache.pinot.plugin.inputformat.arrow.ArrowMessageDecoder";
    lives(class, &[], [stream(1, 2.5), cut, stream(3, 4.0)], "this is no Arrow stream").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bson_lives() {
    let document = |id: i64, amount: f64| {
        let element = |kind: u8, name: &str, value: &[u8]| [&[kind][..], name.as_bytes(), b"\0", value].concat();
        let text = |text: &str| [&(text.len() as i32 + 1).to_le_bytes()[..], text.as_bytes(), b"\0"].concat();
        let closed = |elements: &[Vec<u8>]| {
            let inside = elements.concat();
            [&(inside.len() as i32 + 5).to_le_bytes()[..], &inside, b"\0"].concat()
        };
        closed(&[
            element(18, "id", &id.to_le_bytes()),
            element(2, "country", &text("DE")),
            element(4, "tags", &closed(&[element(2, "0", &text("a")), element(2, "1", &text("b"))])),
            element(8, "paid", &[1]),
            element(1, "amount", &amount.to_le_bytes()),
            element(9, "ts", &TS.to_le_bytes()),
        ])
    };
    let mut cut = document(2, 1.0);
    cut.truncate(20);
    let class = "org.apache.pinot.plugin.inputformat.bson.BSONMessageDecoder";
    let reason = "the length in front of the document is not that of the message";
    lives(class, &[], [document(1, 2.5), cut, document(3, 4.0)], reason).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lives_as_cbor_and_with_clp_parts() {
    let cbor = |id: u8, amount: f64| {
        let key = |name: &str| [&[0x60 + name.len() as u8][..], name.as_bytes()].concat();
        let ts = [&[0x1b][..], &TS.to_be_bytes()].concat();
        let amount = [&[0xfb][..], &amount.to_be_bytes()].concat();
        [&[0xa6][..], &key("id"), &[id], &key("country"), &key("DE"), &key("tags"), &[0x82, 0x61, b'a', 0x61, b'b']]
            .into_iter()
            .chain([&key("paid")[..], &[0xf5], &key("amount"), &amount, &key("ts"), &ts])
            .collect::<Vec<_>>()
            .concat()
    };
    let class = "org.apache.pinot.plugin.inputformat.json.JSONMessageDecoder";
    let messages = [cbor(1, 2.5), cbor(2, 1.0)[..9].to_vec(), cbor(3, 4.0)];
    lives(class, &[("jsonFormat", "CBOR")], messages, "the message ends too early").await;

    let json = |id: i64, amount: f64| {
        let order = json!({"id": id, "country": "DE", "tags": ["a", "b"], "paid": true, "amount": amount, "ts": TS});
        order.to_string().into_bytes()
    };
    let class = "org.apache.pinot.plugin.inputformat.clplog.CLPLogMessageDecoder";
    let messages = [json(1, 2.5), b"{\"country\":".to_vec(), json(3, 4.0)];
    lives(class, &[("fieldsForClpEncoding", "country")], messages, "the JSON ends too early").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_registry_live() {
    let registry = StandIn::start().await;
    registry.register("other", None, "\"string\"", &[]);
    let numbered = |id: u32, body: Vec<u8>| [&[0][..], &id.to_be_bytes(), &body].concat();
    let url = registry.url();
    let settings = [("schema.registry.rest.url", url.as_str())];
    let missing = format!("the schema registry {url} has no schema 99: register it there");

    let id = registry.register("orders-value", None, AVRO, &[]);
    let messages = [numbered(id, avro(1, 2.5)), numbered(99, avro(2, 1.0)), numbered(id, avro(3, 4.0))];
    let class = "org.apache.pinot.plugin.inputformat.avro.confluent.KafkaConfluentSchemaRegistryAvroMessageDecoder";
    lives(class, &settings, messages, &missing).await;

    let id = registry.register("orders-value", Some("PROTOBUF"), PROTO, &[]);
    let second = |body: Vec<u8>| [&[2, 2][..], &body].concat();
    let messages =
        [numbered(id, second(proto(1, 2.5))), numbered(99, second(vec![])), numbered(id, second(proto(3, 4.0)))];
    let class = "org.apache.pinot.plugin.inputformat.protobuf.KafkaConfluentSchemaRegistryProtoBufMessageDecoder";
    lives(class, &settings, messages, &missing).await;

    let json = |id: i64, amount: f64| {
        let order = json!({"id": id, "country": "DE", "tags": ["a", "b"], "paid": true, "amount": amount, "ts": TS});
        numbered(7, order.to_string().into_bytes())
    };
    let messages = [json(1, 2.5), json(2, 1.0)[5..].to_vec(), json(3, 4.0)];
    let class = "org.apache.pinot.plugin.inputformat.json.confluent.KafkaConfluentSchemaRegistryJsonMessageDecoder";
    lives(class, &settings, messages, "the first byte is 0x7b, not 0").await;

    registry.page("/id=09090909090909090909090909090909", AVRO);
    let hashed = |body: Vec<u8>| [&[9; 17][..], &body].concat();
    let messages = [hashed(avro(1, 2.5)), vec![9; 12], hashed(avro(3, 4.0))];
    lives("KafkaAvroMessageDecoder", &settings, messages, "the message ends within the hash of its schema").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_away_is_waited_for() {
    let registry = StandIn::start().await;
    let id = registry.register("orders-value", None, AVRO, &[]);
    registry.fail(Some((503, "")));
    let node = TestNode::start().await;
    let url = registry.url();
    node.make(&table("avro-confluent", &[("schema.registry.rest.url", &url)])).await;
    let message = |at: i64| [&[0][..], &id.to_be_bytes(), &avro(at, 1.0)].concat();
    produce(&node, &(0..50).map(message).collect::<Vec<_>>()).await;
    let said = format!("schema registry {url}: it answers 503 Service Unavailable");
    eventually("what the partition says", async || {
        let partitions = node.json("/tables/orders/partitions").await;
        let partition = &partitions[0];
        let told = partition["reason"].as_str().is_some_and(|reason| reason.contains(&said));
        if partition["state"] == "RETRYING" && told { Ok(()) } else { Err(partitions.to_string()) }
    })
    .await;
    produce(&node, &(50..60).map(message).collect::<Vec<_>>()).await;
    let partitions = node.json("/tables/orders/partitions").await;
    assert_eq!((&partitions[0]["rejected"], &partitions[0]["stored"]), (&json!(0), &json!(0)), "{partitions}");
    registry.fail(None);
    node.wait_for_rows("SELECT COUNT(*), MIN(id), MAX(id) FROM orders", &json!([[60, 0.0, 59.0]])).await;
    let partitions = node.json("/tables/orders/partitions").await;
    assert_eq!((&partitions[0]["rejected"], &partitions[0]["stored"]), (&json!(0), &json!(60)), "{partitions}");
}

/// A backlog that is decoded ahead of its turn, with a schema in it that the registry does not give for a while.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_within_a_backlog_loses_nothing_and_holds_up_nothing_before_it() {
    const EACH: i64 = 20_000;
    let registry = StandIn::start().await;
    let first = registry.register("orders-value", None, AVRO, &[]);
    let second = registry.register("orders-value", None, &AVRO.replace("\"note\"", "\"remark\""), &[]);
    let node = TestNode::start().await;
    let mut document = table("avro-confluent", &[("schema.registry.rest.url", &registry.url())]);
    let map = &mut document["realtime"]["ingestionConfig"]["streamIngestionConfig"]["streamConfigMaps"][0];
    map["realtime.segment.flush.threshold.segment.rows"] = json!("15000");
    node.make(&document).await;
    let numbered = |id: u32, at: i64| [&[0][..], &id.to_be_bytes(), &avro(at, 1.0)].concat();
    produce(&node, &[numbered(first, 0)]).await;
    node.wait_for_rows("SELECT COUNT(*) FROM orders", &json!([[1]])).await;
    registry.fail(Some((503, "")));
    let answer = node.post("/tables/orders/pauseConsumption", &json!(null)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    for from in (1..2 * EACH).step_by(4000) {
        let messages =
            (from..(from + 4000).min(2 * EACH)).map(|at| numbered(if at < EACH { first } else { second }, at));
        produce(&node, &messages.collect::<Vec<_>>()).await;
    }
    let answer = node.post("/tables/orders/resumeConsumption", &json!(null)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // All that needs no more than is known becomes visible, up to the fetch in which the other schema begins.
    eventually("rows before the schema that is not there", async || {
        let partitions = node.json("/tables/orders/partitions").await;
        let (stored, state) = (partitions[0]["stored"].as_i64().unwrap(), &partitions[0]["state"]);
        if stored > EACH - 8192 && state == "RETRYING" { Ok(()) } else { Err(partitions.to_string()) }
    })
    .await;
    registry.fail(None);
    let all = "SELECT COUNT(*), DISTINCTCOUNT(id), MIN(id), MAX(id) FROM orders";
    node.wait_for_rows(all, &json!([[2 * EACH, 2 * EACH, 0.0, (2 * EACH - 1) as f64]])).await;
    let partitions = node.json("/tables/orders/partitions").await;
    assert_eq!((&partitions[0]["rejected"], &partitions[0]["stored"]), (&json!(0), &json!(2 * EACH)), "{partitions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_schema_is_replayed_once_it_is_registered() {
    let registry = StandIn::start().await;
    let node = TestNode::start().await;
    node.make(&table("avro-confluent", &[("schema.registry.rest.url", &registry.url())])).await;
    produce(&node, &[[&[0, 0, 0, 0, 1][..], &avro(1, 1.0)].concat()]).await;
    eventually("the quarantine", async || {
        let page = node.json("/tables/orders/quarantine").await;
        if page["kept"] == 1 { Ok(()) } else { Err(page.to_string()) }
    })
    .await;
    assert_eq!(registry.register("orders-value", None, AVRO, &[]), 1);
    // What was missing is asked for again after a while.
    eventually("the replay", async || {
        let answer = node.post("/tables/orders/quarantine/replay", &json!({})).await;
        let done = answer.status == 200 && answer.json()["replayed"] == 1;
        if done { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    node.wait_for_rows("SELECT id, amount FROM orders", &json!([[1, 1.0]])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_decoder_cannot_be_is_said_when_the_table_is_made() {
    let node = TestNode::start().await;
    for (class, settings, path, reason) in [
        ("x.SimpleAvroMessageDecoder", vec![], "streamConfigMaps[0].decoder", "it must hold the writer's Avro schema"),
        (
            "x.CSVMessageDecoder",
            vec![("delimiter", "ab")],
            "streamConfigMaps[0].decoder",
            "decoder setting 'delimiter'",
        ),
        ("avro-confluent", vec![], "streamConfigMaps[0].decoder", "it must name the schema registry"),
        ("x.ProtoBufCodeGenMessageDecoder", vec![], "decoder.class.name", "classes from a jar cannot be run"),
        ("x.MyDecoder", vec![], "decoder.class.name", "is not a decoder"),
    ] {
        let answer = node.post("/tableConfigs", &table(class, &settings)).await;
        let text = answer.text();
        assert!((400..500).contains(&answer.status) && text.contains(path) && text.contains(reason), "{class}: {text}");
    }
    let answer = node.post("/tableConfigs", &table("csv", &[("header", "id,ts"), ("heather", "x")])).await;
    assert!(answer.status == 200 && answer.text().contains("decoder.prop.heather"), "{}", answer.text());
    assert!(!answer.text().contains("decoder.prop.header"), "{}", answer.text());
}
