//! What becomes of the settings of Java's client, one by one.

use super::*;
use std::{collections::BTreeMap, time::Duration};
use weir_types::{StartAt, TopicName};

fn spec(settings: &[(&str, &str)]) -> StreamSpec {
    let all = [("bootstrap.servers", "localhost:9092")].iter().chain(settings);
    StreamSpec {
        stream_type: "kafka".into(),
        topic: TopicName::parse("t").unwrap(),
        start_at: StartAt::Earliest,
        start_offsets: Default::default(),
        decoder: "json".into(),
        decoder_settings: BTreeMap::new(),
        settings: all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        fetch_timeout: Duration::from_secs(1),
        only_partitions: None,
        auto_reset: None,
        rate_limit: None,
    }
}

#[track_caller]
fn check(settings: &[(&str, &str)], expected: &[(&str, Option<&str>)]) {
    let config = client_config(&spec(settings)).unwrap();
    for (key, value) in expected {
        assert_eq!(config.get(key), *value, "{key} of {settings:?}");
    }
}

/// A setting is refused under its key, with the remedy and without any secret.
#[track_caller]
fn refused(settings: &[(&str, &str)], key: &str, remedy: &str) {
    let error = client_config(&spec(settings)).expect_err(&format!("{settings:?} is refused"));
    assert!(matches!(&error, StreamError::Setting { key: found, .. } if found == key), "{settings:?}: {error}");
    assert!(error.to_string().contains(remedy), "{settings:?}: {error}");
    assert!(!error.to_string().contains("hunter2"), "{settings:?}: {error}");
}

const SCRAM: &str = r#"a.b.ScramLoginModule required username="u" password="p \"w";"#;
const PLAIN: &str = "x.PlainLoginModule required username='u' password='hunter2';";
const SASL: (&str, &str) = ("security.protocol", "SASL_PLAINTEXT");
const OAUTH: (&str, &str) = ("sasl.mechanism", "OAUTHBEARER");

#[test]
fn a_broker_s_port_can_be_one() {
    for good in ["a:9092", " a:1 ,b:65535", "a", "PLAINTEXT://a:9092", "[::1]:9092", "::1", "[::1]"] {
        check(&[("bootstrap.servers", good)], &[("bootstrap.servers", Some(good))]);
    }
    for bad in ["a:99999", "a:0", "a:", "b:9092,a:x", "[::1]:99999", "SSL://a:-1"] {
        refused(&[("bootstrap.servers", bad)], "stream.kafka.broker.list", "no port between 1 and 65535");
    }
}

#[test]
fn java_settings_become_the_librarys() {
    check(
        &[
            ("max.poll.records", "7"),
            ("auto.offset.reset", "earliest"),
            ("fetch.max.wait.ms", "250"),
            ("max.partition.fetch.bytes", "1000"),
            ("receive.buffer.bytes", "65536"),
            ("send.buffer.bytes", "65537"),
            ("ssl.endpoint.identification.algorithm", ""),
            ("group.id", "g"),
        ],
        &[
            ("max.poll.records", None),
            ("auto.offset.reset", Some("error")),
            ("fetch.wait.max.ms", Some("250")),
            ("fetch.message.max.bytes", Some("1000")),
            ("socket.receive.buffer.bytes", Some("65536")),
            ("socket.send.buffer.bytes", Some("65537")),
            ("ssl.endpoint.identification.algorithm", Some("none")),
            ("group.id", None),
        ],
    );
}

/// The names that Kafka's Java clients (3.9.2) have for consumers and administrators, and a value that each may have.
const JAVA: &str = "\
allow.auto.create.topics=true
auto.commit.interval.ms
auto.include.jmx.reporter
auto.offset.reset=latest
bootstrap.controllers
bootstrap.servers=localhost:1
check.crcs=true
client.dns.lookup=use_all_dns_ips
client.id
client.rack
connections.max.idle.ms
default.api.timeout.ms
enable.auto.commit=false
enable.metrics.push=true
exclude.internal.topics
fetch.max.bytes
fetch.max.wait.ms
fetch.min.bytes
group.id
group.instance.id
group.protocol=classic
group.remote.assignor
heartbeat.interval.ms
interceptor.classes
internal.leave.group.on.close
internal.throw.on.fetch.stable.offset.unsupported
isolation.level=read_committed
key.deserializer
max.partition.fetch.bytes
max.poll.interval.ms
max.poll.records
metadata.max.age.ms
metadata.recovery.strategy=rebootstrap
metric.reporters
metrics.num.samples
metrics.recording.level
metrics.sample.window.ms
partition.assignment.strategy=range
receive.buffer.bytes
reconnect.backoff.max.ms
reconnect.backoff.ms
request.timeout.ms
retries
retry.backoff.max.ms
retry.backoff.ms
sasl.client.callback.handler.class=
sasl.jaas.config=PlainLoginModule required username=u password=p;
sasl.kerberos.kinit.cmd
sasl.kerberos.min.time.before.relogin
sasl.kerberos.service.name
sasl.kerberos.ticket.renew.jitter
sasl.kerberos.ticket.renew.window.factor
sasl.login.callback.handler.class=
sasl.login.class=
sasl.login.connect.timeout.ms
sasl.login.read.timeout.ms
sasl.login.refresh.buffer.seconds
sasl.login.refresh.min.period.seconds
sasl.login.refresh.window.factor
sasl.login.refresh.window.jitter
sasl.login.retry.backoff.max.ms
sasl.login.retry.backoff.ms
sasl.mechanism=PLAIN
sasl.oauthbearer.clock.skew.seconds
sasl.oauthbearer.expected.audience
sasl.oauthbearer.expected.issuer
sasl.oauthbearer.header.urlencode
sasl.oauthbearer.jwks.endpoint.refresh.ms
sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms
sasl.oauthbearer.jwks.endpoint.retry.backoff.ms
sasl.oauthbearer.jwks.endpoint.url
sasl.oauthbearer.scope.claim.name
sasl.oauthbearer.sub.claim.name
security.protocol=SSL
security.providers
send.buffer.bytes
session.timeout.ms
socket.connection.setup.timeout.max.ms
socket.connection.setup.timeout.ms=10000
ssl.cipher.suites=TLS_AES_256_GCM_SHA384
ssl.enabled.protocols
ssl.endpoint.identification.algorithm=https
ssl.engine.factory.class=
ssl.key.password
ssl.keymanager.algorithm
ssl.keystore.certificate.chain=CERTIFICATE
ssl.keystore.key=KEY
ssl.keystore.location
ssl.keystore.password
ssl.keystore.type=JKS
ssl.protocol
ssl.provider
ssl.secure.random.implementation
ssl.trustmanager.algorithm
ssl.truststore.certificates=CERTIFICATE
ssl.truststore.location
ssl.truststore.password
ssl.truststore.type=PKCS12
value.deserializer";

#[test]
fn every_setting_of_javas_client_is_known() {
    for line in JAVA.lines() {
        let (key, value) = line.split_once('=').unwrap_or((line, "1"));
        let beside: &[(&str, &str)] = match key {
            "ssl.keystore.key" => &[("ssl.keystore.certificate.chain", CERTIFICATE)],
            "ssl.keystore.certificate.chain" => &[("ssl.keystore.key", KEY)],
            _ => &[],
        };
        let value = match value {
            "CERTIFICATE" => CERTIFICATE,
            "KEY" => KEY,
            value => value,
        };
        let settings: Vec<(&str, &str)> = beside.iter().copied().chain([(key, value)]).collect();
        client_config(&spec(&settings)).unwrap_or_else(|error| panic!("{key}: {error}"));
    }
}

#[test]
fn a_login_module_gives_user_and_password() {
    let with = |jaas, mechanism| vec![SASL, ("sasl.jaas.config", jaas), ("sasl.mechanism", mechanism)];
    let user = |mechanism, password| {
        [("sasl.mechanisms", Some(mechanism)), ("sasl.username", Some("u")), ("sasl.password", Some(password))]
    };
    check(&with(SCRAM, "SCRAM-SHA-256"), &user("SCRAM-SHA-256", "p \"w"));
    check(&with(SCRAM, "scram-sha-512"), &user("SCRAM-SHA-512", "p \"w"));
    check(&with(PLAIN, "PLAIN"), &user("PLAIN", "hunter2"));
    // The module says which.
    check(&[SASL, ("sasl.jaas.config", PLAIN)], &user("PLAIN", "hunter2"));
    let own = [SASL, ("sasl.mechanism", "PLAIN"), ("sasl.username", "u"), ("sasl.password", "hunter2")];
    check(&own, &user("PLAIN", "hunter2"));
}

#[test]
fn logins_that_cannot_be_are_refused() {
    let jaas = |text| [SASL, ("sasl.jaas.config", text)];
    refused(&jaas("hunter2"), "sasl.jaas.config", "must stand required");
    refused(&jaas("PlainLoginModule required username=\"u\";"), "sasl.jaas.config", "password=");
    refused(&jaas("x.Krb5LoginModule required;"), "sasl.jaas.config", "SCRAM-SHA-512");
    refused(&jaas("x.IAMLoginModule required;"), "sasl.jaas.config", "9096");
    refused(&jaas("x.MyLoginModule required;"), "sasl.jaas.config", "OAuthBearerLoginModule");
    refused(&jaas(SCRAM), "sasl.mechanism", "SCRAM-SHA-256 or SCRAM-SHA-512");
    let token = "ScramLoginModule required username='u' password='p' tokenauth='true';";
    refused(&[SASL, ("sasl.jaas.config", token), ("sasl.mechanism", "SCRAM-SHA-256")], "sasl.jaas.config", "tokenauth");
    refused(&[SASL, ("sasl.jaas.config", PLAIN), ("sasl.mechanism", "SCRAM-SHA-256")], "sasl.mechanism", "PLAIN");
    refused(&[SASL, ("sasl.mechanism", "GSSAPI")], "sasl.mechanism", "Kerberos");
    refused(&[SASL, ("sasl.mechanism", "PLAIN"), ("sasl.username", "u")], "sasl.password", "missing");
    refused(&[SASL, ("sasl.mechanism", "NTLM")], "sasl.mechanism", "can be had");
    refused(&[SASL], "sasl.mechanism", "missing");
    // Without SASL nobody logs in, and Java asks for nothing either.
    check(&[("sasl.mechanism", "GSSAPI")], &[("sasl.mechanisms", Some("GSSAPI"))]);
}

#[test]
fn tokens_are_made_for_tests_or_asked_for() {
    let unsigned = r#"OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="alice" unsecuredLoginLifetimeSeconds="60"
        unsecuredLoginListClaim_scope=",a,b" unsecuredLoginExtension_tier="gold";"#;
    check(
        &[SASL, OAUTH, ("sasl.jaas.config", unsigned)],
        &[
            ("enable.sasl.oauthbearer.unsecure.jwt", Some("true")),
            ("sasl.oauthbearer.config", Some("principal=alice lifeSeconds=60 scope=a,b extension_tier=gold")),
        ],
    );
    let of = |text| [SASL, ("sasl.jaas.config", text)];
    refused(&of("OAuthBearerLoginModule required;"), "sasl.jaas.config", "sasl.oauthbearer.token.endpoint.url");
    let claim = "OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=a unsecuredLoginNumberClaim_x=1;";
    refused(&of(claim), "sasl.jaas.config", "unsecuredLoginNumberClaim_x");
    refused(&[SASL, OAUTH], "sasl.oauthbearer.token.endpoint.url", "missing");
    let asked = "OAuthBearerLoginModule required clientId=\"me\" clientSecret=\"hunter2\" scope=\"kafka\";";
    let endpoint = ("sasl.oauthbearer.token.endpoint.url", "https://localhost/token");
    let newer = [
        ("sasl.oauthbearer.client.credentials.client.id", "me"),
        ("sasl.oauthbearer.client.credentials.client.secret", "hunter2"),
        ("sasl.oauthbearer.scope", "kafka"),
    ];
    let handler = ("sasl.login.callback.handler.class", "a.b.OAuthBearerLoginCallbackHandler");
    for beside in [&[("sasl.jaas.config", asked)][..], &newer] {
        let all: Vec<_> = [SASL, OAUTH, endpoint, handler].iter().chain(beside).copied().collect();
        let config = client_config(&spec(&all)).unwrap();
        let client = login::asks(&config).unwrap();
        assert_eq!((&*client.id, &*client.secret, client.scope.as_deref()), ("me", "hunter2", Some("kafka")));
        let for_library = stores::without_ours(&config);
        assert!(for_library.config_map().keys().all(|key| !key.contains("oauthbearer")), "they are ours");
    }
    refused(&[SASL, OAUTH, endpoint], "sasl.oauthbearer.client.id", "clientId");
    let no_url = ("sasl.oauthbearer.token.endpoint.url", "localhost");
    refused(&[SASL, OAUTH, no_url, ("sasl.jaas.config", asked)], "sasl.oauthbearer.token.endpoint.url", "https://");
    let extended = "OAuthBearerLoginModule required clientId=a clientSecret=b extension_x=1;";
    refused(&[SASL, OAUTH, endpoint, ("sasl.jaas.config", extended)], "sasl.jaas.config", "extension_x");
}

#[test]
fn classes_of_kafkas_own_need_none_and_others_are_refused() {
    for (key, own) in [
        ("sasl.login.class", "org.apache.kafka.common.security.authenticator.DefaultLogin"),
        (
            "sasl.login.callback.handler.class",
            "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler",
        ),
        ("sasl.login.callback.handler.class", ""),
        ("ssl.engine.factory.class", "org.apache.kafka.common.security.ssl.DefaultSslEngineFactory"),
    ] {
        check(&[(key, own)], &[(key, None)]);
        refused(&[(key, "com.example.Own")], key, "com.example.Own");
    }
}

#[test]
fn stores_and_texts_of_certificates() {
    check(
        &[("ssl.truststore.location", "/etc/ca.crt"), ("ssl.truststore.type", "PEM"), ("ssl.truststore.password", "p")],
        &[("ssl.ca.location", Some("/etc/ca.crt")), ("ssl.truststore.password", Some("p"))],
    );
    check(
        &[("ssl.keystore.location", "/etc/a.p12"), ("ssl.keystore.password", "p"), ("ssl.keystore.type", "pkcs12")],
        &[("ssl.keystore.location", Some("/etc/a.p12")), ("ssl.keystore.password", Some("p"))],
    );
    // On lines, with breaks written as \n, and with breaks lost.
    for certificate in [CERTIFICATE.to_owned(), CERTIFICATE.replace('\n', "\\n"), CERTIFICATE.replace('\n', " ")] {
        let key = if certificate.contains(' ') { KEY.replace('\n', " ") } else { KEY.to_owned() };
        check(
            &[
                ("ssl.truststore.certificates", &format!("{certificate}{certificate}")),
                ("ssl.keystore.certificate.chain", &certificate),
                ("ssl.keystore.key", &key),
                ("ssl.key.password", "p"),
            ],
            &[
                ("ssl.ca.pem", Some(&format!("{CERTIFICATE}{CERTIFICATE}"))),
                ("ssl.certificate.pem", Some(CERTIFICATE)),
                ("ssl.key.pem", Some(KEY)),
                ("ssl.key.password", Some("p")),
            ],
        );
    }
    for key in ["ssl.truststore.type", "ssl.keystore.type"] {
        refused(&[(key, "BCFKS")], key, "PKCS12");
    }
    let beside = [("ssl.truststore.certificates", CERTIFICATE), ("ssl.truststore.location", "/x")];
    refused(&beside, "ssl.truststore.location", "remove one");
    refused(
        &[("ssl.truststore.certificates", "hunter2")],
        "ssl.truststore.certificates",
        "-----BEGIN CERTIFICATE-----",
    );
    refused(&[("ssl.keystore.key", KEY)], "ssl.keystore.certificate.chain", "missing");
    refused(&[("ssl.keystore.certificate.chain", CERTIFICATE)], "ssl.keystore.key", "missing");
    let cut = "-----BEGIN PRIVATE KEY-----\nhunter2";
    let settings = [("ssl.keystore.key", cut), ("ssl.keystore.certificate.chain", CERTIFICATE)];
    refused(&settings, "ssl.keystore.key", "-----END");
}

#[test]
fn pinots_certificates_in_base64() {
    let of_lines = |pem: &str| pem.lines().filter(|line| !line.starts_with("-----")).collect::<String>();
    let (certificate, key) = (of_lines(CERTIFICATE), of_lines(KEY));
    let pinot = [
        ("stream.kafka.ssl.server.certificate", &*certificate),
        ("stream.kafka.ssl.certificate.type", "X.509"),
        ("stream.kafka.ssl.client.certificate", &certificate),
        ("stream.kafka.ssl.client.key", &key),
        ("stream.kafka.ssl.client.key.algorithm", "EC"),
        // Pinot writes these.
        ("ssl.truststore.location", "/nowhere/trust.jks"),
        ("ssl.truststore.password", "p"),
        ("ssl.truststore.type", "JKS"),
        ("ssl.keystore.location", "/nowhere/key.p12"),
        ("ssl.keystore.password", "p"),
        ("ssl.keystore.type", "PKCS12"),
        ("ssl.key.password", "p"),
    ];
    check(
        &pinot,
        &[
            ("security.protocol", Some("SSL")),
            ("ssl.ca.pem", Some(CERTIFICATE)),
            ("ssl.certificate.pem", Some(CERTIFICATE)),
            ("ssl.key.pem", Some(KEY)),
            ("ssl.ca.location", None),
            ("ssl.keystore.location", None),
            ("ssl.key.password", None),
        ],
    );
    let said: Vec<_> = pinot.into_iter().chain([SASL, ("sasl.jaas.config", PLAIN)]).collect();
    check(&said, &[("security.protocol", Some("SASL_PLAINTEXT"))]);
    for (key, value, remedy) in [
        ("stream.kafka.ssl.server.certificate", "hunter2!", "base64"),
        ("stream.kafka.ssl.server.certificate", "aHVudGVyMg==", "CERTIFICATE"),
        ("stream.kafka.ssl.certificate.type", "PGP", "X.509"),
    ] {
        refused(&[(key, value)], key, remedy);
    }
    refused(&[("stream.kafka.ssl.client.key", &key)], "stream.kafka.ssl.client.certificate", "missing");
}

#[test]
fn a_wrong_setting_is_named_without_its_secrets() {
    refused(&[("security.protocol", "PLAN")], "security.protocol", "PLAN");
    refused(&[("security.protocol", "TLS")], "security.protocol", "SASL_PLAINTEXT and SASL_SSL are");
    refused(&[("no.such.setting", "1")], "no.such.setting", "No such");
    refused(&[("fetch.max.wait.ms", "soon")], "fetch.max.wait.ms", "soon");
    refused(&[("isolation.level", "none")], "stream.kafka.isolation.level", "none");
    let mut none = spec(&[]);
    none.settings.clear();
    let error = client_config(&none).unwrap_err();
    assert!(matches!(&error, StreamError::Setting { key, .. } if key == "stream.kafka.broker.list"), "{error}");
}

const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBfjCCASWgAwIBAgIUY1rpR0YXbypXdr9HWlxX4RLzFO0wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJd2Vpci10ZXN0MCAXDTI2MTEyOTAxMTg0MloYDzIxMjYxMTA1
MDExODQyWjAUMRIwEAYDVQQDDAl3ZWlyLXRlc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARNaC58zIpYRqFQIrk6j/9VQjr9hvA5AVgGfXf22HSmQauxUnECay3+
FfQCeY20hz4TBtMzgd8TM19LPHrQ9+DGo1MwUTAdBgNVHQ4EFgQUx0wiFLjO/8S4
Q/1Kz/rj/+Fl/u8wHwYDVR0jBBgwFoAUx0wiFLjO/8S4Q/1Kz/rj/+Fl/u8wDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiBkleF4q+8z//PR79wv0EYc
cWKPPls3ggFfNE5qgHwZ+gIgJdRRKOBIUrNPrwRgxI9l2eeFoinkpucxOtuhO+z9
oV8=
-----END CERTIFICATE-----
";

const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgnvYeFVk4UE/7WpLP
2AZy48p8dlkZvC8rcW3xdXbZX5GhRANCAARNaC58zIpYRqFQIrk6j/9VQjr9hvA5
AVgGfXf22HSmQauxUnECay3+FfQCeY20hz4TBtMzgd8TM19LPHrQ9+DG
-----END PRIVATE KEY-----
";
