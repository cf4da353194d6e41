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

/// Makes an authority, and certificates of it for a server and a client.
fn certificates(dir: &Path) {
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let new = ["req", "-newkey", "rsa:2048", "-nodes"];
    openssl(&[&new[..], &["-x509", "-days", "2", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem"]].concat());
    std::fs::write(dir.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    for name in ["server", "client"] {
        let (key, csr, pem, subject) =
            (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"), format!("/CN={name}"));
        openssl(&[&new[..], &["-subj", &subject, "-keyout", &key, "-out", &csr]].concat());
        let sign = ["x509", "-req", "-in", &csr, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"];
        openssl(&[&sign[..], &["-extfile", "names", "-out", &pem]].concat());
    }
}

/// A process that ends with the test.
struct Ends(std::process::Child);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).expect("it was started by this test");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked_both_ways() {
    use std::io::BufRead as _;
    let Some((_, python)) = real() else { return };
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registry/tls.py");
    let mut server =
        Ends(Command::new(python).arg(script).arg(dir.path()).stdout(std::process::Stdio::piped()).spawn().unwrap());
    let mut port = String::new();
    std::io::BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let url = format!("https://127.0.0.1:{}", port.trim());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    std::fs::write(dir.path().join("both.pem"), text("client.pem") + &text("client.key")).unwrap();
    let ask = async |settings: &[(&str, String)]| {
        let mut all = BTreeMap::from([("schema.registry.rest.url".to_owned(), url.clone())]);
        all.extend(settings.iter().map(|(key, value)| (format!("schema.registry.{key}"), value.clone())));
        let spec = DecodeSpec { schema: schema(), continue_on_error: false, topic: "t".into(), raw: 0 };
        let mut decoder = registry::decoder("avro-confluent", &all, spec).unwrap();
        let wanted = decoder.wants(&mut [Payload { message: 0, value: &[0, 0, 0, 0, 1, 2], key: None }].into_iter());
        let registry = decoder.registry().unwrap().clone();
        registry.get(wanted[0]).await
    };
    let trust = ("ssl.truststore.location", path("ca.pem"));
    let files = [trust.clone(), ("ssl.truststore.type", "PEM".to_owned()), ("ssl.keystore.location", path("both.pem"))];
    assert!(matches!(ask(&files).await, Ok(Lookup::Found(_))), "{:?}", ask(&files).await);
    let one_line = |name: &str| text(name).replace('\n', "\\n");
    let texts = [
        ("ssl.truststore.certificates", one_line("ca.pem")),
        ("ssl.keystore.certificate.chain", text("client.pem")),
        ("ssl.keystore.key", format!("file:{}", path("client.key"))),
    ];
    assert!(matches!(ask(&texts).await, Ok(Lookup::Found(_))), "{:?}", ask(&texts).await);
    for wrong in [vec![], vec![trust], vec![("ssl.truststore.location", path("none.pem"))]] {
        let error = ask(&wrong).await.unwrap_err();
        assert!(error.starts_with("schema registry https://127.0.0.1:"), "{error}");
        eprintln!("{error}");
    }
}
