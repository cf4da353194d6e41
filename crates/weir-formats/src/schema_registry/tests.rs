//! The registry against the stand-in: what it says, what it does not say, and the decoders behind it.

use super::{stand_in::StandIn, *};
use crate::{
    avro::{AvroDecoder, RegisteredAvro},
    conformance::Sample,
    decoder::{DecodeSpec, Decoder, Payload},
    protobuf::RegisteredProto,
};
use apache_avro::{Schema as Parsed, types::Value as Avro, writer::datum::GenericDatumWriter};
use weir_types::{ColumnName, DataType, FieldKind, FieldSpec, RowBatch, Schema, SchemaVersion};

const AVRO: &str =
    r#"{"type":"record","name":"s","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"}]}"#;
const PROTO: &str = "syntax = \"proto3\"; import \"money.proto\"; message Other {} message Order { int64 id = 1; string name = 2; Money price = 3; }";
const MONEY: &str = "syntax = \"proto3\"; message Money { int64 units = 1; }";

fn spec() -> DecodeSpec {
    let fields = [("id", DataType::Long), ("name", DataType::String), ("price", DataType::Json)];
    let field = |(name, data_type)| FieldSpec::new(ColumnName::parse(name).unwrap(), data_type, FieldKind::Dimension);
    let schema = Arc::new(Schema::new("t", SchemaVersion(1), fields.map(field).to_vec()));
    DecodeSpec { schema, continue_on_error: false, topic: "orders".into(), raw: 0 }
}

fn settings(url: &str, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::from([("schema.registry.rest.url".to_owned(), url.to_owned())]);
    settings.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    settings
}

fn avro(id: i64, name: &str) -> Vec<u8> {
    let schema = Parsed::parse_str(AVRO).unwrap();
    let record =
        Avro::Record(vec![("id".to_owned(), Avro::Long(id)), ("name".to_owned(), Avro::String(name.to_owned()))]);
    GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(record).unwrap()
}

fn framed(id: u32, body: &[u8]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), body].concat()
}

/// Does what a pipeline does: asks for what is wanted, then decodes. Rows as text, and why there are none, by message.
async fn run(decoder: &mut dyn Decoder, messages: &[Vec<u8>]) -> Result<Vec<String>, String> {
    let payloads = || (0u32..).zip(messages).map(|(message, value)| Payload { message, value, key: None });
    let registry = decoder.registry().unwrap().clone();
    for id in decoder.wants(&mut payloads()) {
        let said = registry.get(id).await?;
        decoder.learn(id, &said);
    }
    let mut rows = RowBatch::new(&spec().schema);
    let decoded = decoder.decode(&mut payloads(), &mut rows);
    let mut found: Vec<(u32, String)> =
        decoded.rejects.into_iter().map(|reject| (reject.message, reject.reason)).collect();
    for (row, message) in rows.message_of_row.iter().enumerate() {
        let cells: Vec<String> = rows.columns.iter().map(|column| column.data.get(row).to_string()).collect();
        found.push((*message, cells.join("|")));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, text)| text).collect())
}

#[tokio::test]
async fn avro_behind_a_number_is_read_with_the_schema_that_it_names() {
    let registry = StandIn::start().await;
    let first = registry.register("orders-value", None, AVRO, &[]);
    let money = r#"{"type":"record","name":"Money","namespace":"c","fields":[{"name":"units","type":"long"}]}"#;
    registry.register("money", None, money, &[]);
    let text =
        r#"{"type":"record","name":"o","fields":[{"name":"price","type":"c.Money"},{"name":"id","type":"int"}]}"#;
    let second = registry.register("orders-value", None, text, &[("c.Money", "money", 1)]);
    let json = registry.register("other", Some("JSON"), "{}", &[]);
    let mut decoder = RegisteredAvro::numbered(&settings(&registry.url(), &[]), &spec()).unwrap();
    let messages = [
        framed(first, &avro(1, "a")),
        framed(second, &[14, 6]),
        framed(99, b"x"),
        framed(json, b"{}"),
        b"{\"id\":1}".to_vec(),
        vec![0, 0],
        vec![],
        framed(first, &[]),
        framed(first, &avro(2, "b")),
    ];
    let found = run(&mut decoder, &messages).await.unwrap();
    let url = registry.url();
    let expected = [
        "1|a|null".to_owned(),
        "3|null|{\"units\":7}".to_owned(),
        format!("the schema registry {url} has no schema 99: register it there (byte 0 of 6)"),
        format!(
            "schema {json} cannot be used: it is of the type Json, not Avro: use the decoder of that type (byte 0 of 7)"
        ),
        "the first byte is 0x7b, not 0: it was not written by a schema registry's serializer (byte 0 of 8)".to_owned(),
        "the message ends within the number of its schema (byte 2 of 2)".to_owned(),
        "the message is empty (byte 0 of 0)".to_owned(),
        "the message ends too early (byte 5 of 5)".to_owned(),
        "2|b|null".to_owned(),
    ];
    assert_eq!(found, expected);
    // What was said is kept: by the decoder, and by the registry for the next one.
    let asked = registry.asked().len();
    assert_eq!(run(&mut decoder, &messages[..2]).await.unwrap(), found[..2]);
    let mut next = RegisteredAvro::numbered(&settings(&registry.url(), &[]), &spec()).unwrap();
    assert_eq!(run(&mut next, &messages).await.unwrap(), found, "a missing schema is not asked for with every batch");
    assert_eq!(registry.asked().len(), asked);
}

#[tokio::test]
async fn an_outage_is_an_error_and_never_a_reject() {
    let registry = StandIn::start().await;
    let id = registry.register("orders-value", None, AVRO, &[]);
    let mut decoder = RegisteredAvro::numbered(&settings(&registry.url(), &[]), &spec()).unwrap();
    let messages = [framed(id, &avro(1, "a"))];
    for (fail, why) in [
        ((500, "{\"error_code\":50001,\"message\":\"store\"}"), "it answers 500 Internal Server Error: store"),
        ((404, "<html></html>"), "it answers 404 but not as a registry does: check the URL's path"),
        ((401, ""), "it refuses the login (401 Unauthorized): check schema.registry.basic.auth.user.info or the token"),
        ((200, "[]"), "its answer is not a registry's ("),
        ((429, ""), "it answers 429 Too Many Requests"),
    ] {
        registry.fail(Some(fail));
        let error = run(&mut decoder, &messages).await.unwrap_err();
        assert!(error.starts_with(&format!("schema registry {}: {why}", registry.url())), "{error}");
    }
    registry.fail(None);
    let (url, port) = (registry.url(), registry.port());
    drop(registry);
    let mut away = RegisteredAvro::numbered(&settings(&url, &[]), &spec()).unwrap();
    let error = loop {
        // The port is free once the listener's task is gone.
        match run(&mut away, &messages).await {
            Err(error) => break error,
            Ok(_) => tokio::task::yield_now().await,
        }
    };
    assert!(error.starts_with(&format!("schema registry {url}: ")), "{error}");
    let back = StandIn::start_on(port).await;
    back.register("orders-value", None, AVRO, &[]);
    assert_eq!(run(&mut decoder, &messages).await.unwrap(), ["1|a|null"]);
    // Another URL takes its place where one is away.
    let both = format!("http://127.0.0.1:1, {}", back.url());
    let mut either = RegisteredAvro::numbered(&settings(&both, &[]), &spec()).unwrap();
    assert_eq!(run(&mut either, &messages).await.unwrap(), ["1|a|null"]);
}

#[tokio::test]
async fn those_who_waited_for_a_failure_have_it() {
    let registry = StandIn::start().await;
    registry.fail(Some((503, "")));
    let shared = SchemaRegistry::shared(&settings(&registry.url(), &[]), "t", false).unwrap();
    let ask = async || shared.get(SchemaId::Number(1)).await.unwrap_err();
    let (a, b, c) = tokio::join!(ask(), ask(), ask());
    assert_eq!((&a, &b), (&b, &c));
    assert_eq!(registry.asked().len(), 1);
    ask().await;
    assert_eq!(registry.asked().len(), 2, "who comes later asks anew");
}

#[tokio::test]
async fn protobuf_names_its_schema_and_its_type() {
    let registry = StandIn::start().await;
    registry.register("money", Some("PROTOBUF"), MONEY, &[]);
    let id = registry.register("orders-value", Some("PROTOBUF"), PROTO, &[("money.proto", "money", 1)]);
    let lost = registry.register("lost-value", Some("PROTOBUF"), "syntax = \"proto3\";", &[("x.proto", "gone", 3)]);
    let wrong = registry.register("wrong-value", Some("PROTOBUF"), "message {", &[]);
    let mut decoder = RegisteredProto::new(&settings(&registry.url(), &[]), &spec()).unwrap();
    let order = [8, 5, 18, 1, b'x', 26, 2, 8, 9];
    let found = run(
        &mut decoder,
        &[
            framed(id, &[&[2, 2][..], &order].concat()),
            framed(id, &[0, 8, 1]),
            framed(id, &[2, 8, 1]),
            framed(id, &[2]),
            framed(id, &[1]),
            framed(lost, &[0]),
            framed(wrong, &[0]),
            framed(id, &[&[2, 2][..], &order].concat()),
        ],
    )
    .await
    .unwrap();
    let url = registry.url();
    assert_eq!(found[0], "5|x|{\"units\":9}");
    assert_eq!(found[1], "-9223372036854775808|null|null", "the first type has no such field");
    assert_eq!(found[2], format!("the schema has no message type at position [4] (schema {id}) (byte 5 of 8)"));
    assert_eq!(found[3], "the message ends within the position of its type (byte 6 of 6)");
    assert_eq!(found[4], "a position is below zero (byte 5 of 6)");
    let gone = format!(
        "schema {lost} refers to version 3 of gone, which the schema registry {url} does not have (byte 0 of 6)"
    );
    assert_eq!(found[5], gone);
    assert!(found[6].starts_with(&format!("schema {wrong} cannot be used: ")), "{}", found[6]);
    assert_eq!(found[7], found[0]);
}

#[tokio::test]
async fn avro_behind_a_hash_is_read_with_that_schema_or_the_newest() {
    let registry = StandIn::start().await;
    let newest = AVRO.replace("\"name\":\"name\"", "\"name\":\"price\"");
    registry.page("/id=000102030405060708090a0b0c0d0e0f", AVRO);
    registry.page("/latest_with_type=orders", &newest);
    let mut decoder = RegisteredAvro::hashed(&settings(&registry.url(), &[]), &spec()).unwrap();
    let known = [&[7][..], &(0..16).collect::<Vec<u8>>(), &avro(1, "a")].concat();
    let unknown = [&[7; 17][..], &avro(2, "b")].concat();
    let found = run(&mut decoder, &[known.clone(), unknown, known[..16].to_vec()]).await.unwrap();
    let short = "the message ends within the hash of its schema (byte 16 of 16)";
    assert_eq!(found, ["1|a|null", "2|null|\"b\"", short]);
    let named = [("schema.registry.schema.name", "none")];
    let mut decoder = RegisteredAvro::hashed(&settings(&registry.url(), &named), &spec()).unwrap();
    let found = run(&mut decoder, &[[9; 20].to_vec()]).await.unwrap();
    assert!(
        found[0].contains("has neither a schema 09090909090909090909090909090909 nor latest_with_type=none"),
        "{found:?}"
    );
}

#[tokio::test]
async fn logins_are_sent_and_never_shown() {
    let registry = StandIn::start().await;
    let id = registry.register("orders-value", None, AVRO, &[]);
    registry.page("/token", "{\"access_token\":\"tok-9\",\"expires_in\":3600}");
    let messages = [framed(id, &avro(1, "a"))];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("login");
    std::fs::write(&path, "ann:hunter22\n").unwrap();
    let reference = format!("file:{}", path.display());
    let endpoint = format!("{}/token", registry.url());
    let with_user = registry.url().replace("http://", "http://ann:hunter22@");
    let basic = "Basic YW5uOmh1bnRlcjIy";
    for (url, more, expected) in [
        (registry.url(), vec![("schema.registry.basic.auth.user.info", "ann:hunter22")], basic),
        (
            registry.url(),
            vec![
                ("schema.registry.basic.auth.credentials.source", "USER_INFO"),
                ("schema.registry.schema.registry.basic.auth.user.info", &*reference),
            ],
            basic,
        ),
        (with_user, vec![], basic),
        (
            registry.url(),
            vec![
                ("schema.registry.bearer.auth.credentials.source", "STATIC_TOKEN"),
                ("schema.registry.bearer.auth.token", "hunter22"),
            ],
            "Bearer hunter22",
        ),
        (
            registry.url(),
            vec![
                ("schema.registry.bearer.auth.credentials.source", "OAUTHBEARER"),
                ("schema.registry.bearer.auth.issuer.endpoint.url", &endpoint),
                ("schema.registry.bearer.auth.client.id", "weir"),
                ("schema.registry.bearer.auth.client.secret", "hunter22"),
            ],
            "Bearer tok-9",
        ),
    ] {
        let mut decoder = RegisteredAvro::numbered(&settings(&url, &more), &spec()).unwrap();
        assert_eq!(run(&mut decoder, &messages).await.unwrap(), ["1|a|null"]);
        assert_eq!(registry.asked().last().unwrap(), &(format!("/schemas/ids/{id}"), expected.to_owned()), "{more:?}");
        registry.fail(Some((500, "{\"message\":\"said hunter22\"}")));
        let error = run(&mut decoder, &[framed(77, b"x")]).await.unwrap_err();
        assert!(!error.contains("hunter22") && !format!("{decoder:?}").contains("hunter22"), "{error}");
        registry.fail(None);
    }
    let nowhere = [("schema.registry.basic.auth.user.info", "env:WEIR_NO_SUCH_LOGIN")];
    let mut decoder = RegisteredAvro::numbered(&settings(&registry.url(), &nowhere), &spec()).unwrap();
    let error = run(&mut decoder, &messages).await.unwrap_err();
    assert!(error.contains("the variable WEIR_NO_SUCH_LOGIN is not set on this node"), "{error}");
}

#[test]
fn wrong_settings_are_named() {
    let made = |more: &[(&str, &str)]| {
        let url =
            more.iter().find(|(key, _)| *key == "schema.registry.rest.url").map_or("http://x:8081", |(_, url)| url);
        SchemaRegistry::shared(&settings(url, more), "t", false).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(made(&[("schema.registry.ssl.truststore.type", "pem")]), Ok(()));
    for (key, value, reason) in [
        ("schema.registry.rest.url", "", "it must name the schema registry"),
        ("schema.registry.rest.url", "localhost:8081", "it must be URLs such as http://host:8081"),
        ("cached.schema.map.capacity", "0", "it must be how many schemas are kept"),
        ("schema.registry.basic.auth.credentials.source", "SASL_INHERIT", "USER_INFO and URL are known"),
        ("schema.registry.basic.auth.credentials.source", "USER_INFO", ""),
        ("schema.registry.bearer.auth.credentials.source", "CUSTOM", "STATIC_TOKEN and OAUTHBEARER are known"),
        ("schema.registry.ssl.truststore.type", "JKS", "certificates are read as PEM here"),
        ("schema.registry.ssl.keystore.location", "/x/k.p12", "certificates are read as PEM here"),
        ("schema.registry.ssl.endpoint.identification.algorithm", "", "the name in the registry's certificate"),
    ] {
        let error = made(&[(key, value)]).unwrap_err();
        assert!(
            error.contains(reason) && error.starts_with("decoder setting 'schema.registry.")
                || key.starts_with("cached"),
            "{error}"
        );
    }
}

#[test]
fn what_a_decoder_keeps_is_bounded_by_a_batch() {
    let mut known: Known<u32> = Known::new(2);
    let id = |message: &[u8]| message.first().map(|byte| SchemaId::Number(u32::from(*byte)));
    let found =
        Lookup::Found(Arc::new(RegisteredSchema { kind: SchemaKind::Avro, text: String::new(), references: vec![] }));
    let wants = |known: &mut Known<u32>, batch: &[u8]| {
        let messages: Vec<[u8; 1]> = batch.iter().map(|byte| [*byte]).collect();
        let mut payloads = messages.iter().map(|value| Payload { message: 0, value, key: None });
        let wanted = known.wants(&mut payloads, id);
        wanted.iter().for_each(|id| known.learn(*id, &found, |_| Ok(1)));
        wanted.len()
    };
    assert_eq!(wants(&mut known, &[1, 1, 2, 1]), 2);
    assert_eq!(wants(&mut known, &[1, 2]), 0);
    assert_eq!(wants(&mut known, &[1, 3]), 1);
    assert_eq!(wants(&mut known, &[1, 2, 3, 4]), 2, "1 and 3 were kept, for the batch needs them");
    known.learn(SchemaId::Number(9), &Lookup::Missing("no".to_owned()), |_| Ok(1));
    assert_eq!(known.get(SchemaId::Number(9)).unwrap_err(), "no");
    assert_eq!(wants(&mut known, &[9]), 1, "a missing one is asked for again");
}

/// Who may ask for a schema the registry decides: what it said to one login is not told to another.
#[tokio::test]
async fn tables_of_one_registry_share_what_is_known_only_with_the_same_login() {
    let registry = StandIn::start().await;
    let login = |user: &'static str| {
        [("schema.registry.basic.auth.credentials.source", "USER_INFO"), ("schema.registry.basic.auth.user.info", user)]
    };
    let shared = |more: &[(&str, &str)]| SchemaRegistry::shared(&settings(&registry.url(), more), "t", false).unwrap();
    let (one, same, other, none) = (shared(&login("a:1")), shared(&login("a:1")), shared(&login("b:2")), shared(&[]));
    assert!(Arc::ptr_eq(&one, &same), "one cache for all tables of a login");
    let id = SchemaId::Number(registry.register("x", None, crate::avro::tests::SAMPLE, &[]));
    assert!(matches!(one.get(id).await.unwrap(), Lookup::Found(_)));
    assert!(same.said(id).is_some() && other.said(id).is_none() && none.said(id).is_none());
    let again = shared(&login("b:2"));
    assert!(Arc::ptr_eq(&other, &again) && !Arc::ptr_eq(&other, &none));
}

#[tokio::test]
async fn the_suite_holds_behind_a_number() {
    use crate::conformance::conformance;
    let registry = StandIn::start().await;
    let id = registry.register("x", None, crate::avro::tests::SAMPLE, &[]);
    let said = {
        let shared = SchemaRegistry::shared(&settings(&registry.url(), &[]), "t", false).unwrap();
        shared.get(SchemaId::Number(id)).await.unwrap()
    };
    let encode = |sample: &Sample| framed(id, &crate::avro::tests::sample_bytes(sample));
    let make = |spec: DecodeSpec| {
        let mut decoder = RegisteredAvro::numbered(&settings(&registry.url(), &[]), &spec).unwrap();
        decoder.learn(SchemaId::Number(id), &said);
        Box::new(decoder) as Box<dyn Decoder>
    };
    conformance(&make, &encode);
    // Fixed and registered read alike.
    let fixed = BTreeMap::from([("schema".to_owned(), crate::avro::tests::SAMPLE.to_owned())]);
    assert!(AvroDecoder::new(&fixed, &spec()).is_ok());
}
