//! From a table's stream settings to librdkafka's: names as they are, Java's spelling where the two differ.

use crate::contract::StreamError;
use rdkafka::{ClientConfig, error::KafkaError};
use weir_types::StreamSpec;

/// What every consumer is told, before the table's own settings.
const DEFAULTS: [(&str, &str); 16] = [
    // No group: partitions are started one by one and offsets stand in the catalog.
    ("client.id", "weir"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    // What lost data means is decided by us, never by a silent jump.
    ("auto.offset.reset", "error"),
    ("allow.auto.create.topics", "false"),
    ("isolation.level", "read_uncommitted"),
    // A fetch is answered with the first byte, and asked for again at once: freshness. The wait bounds an idle fetch.
    ("fetch.min.bytes", "1"),
    (FETCH_WAIT_MS.0, FETCH_WAIT_MS.1),
    ("fetch.queue.backoff.ms", "5"),
    ("fetch.error.backoff.ms", "100"),
    (QUEUED_MESSAGES.0, QUEUED_MESSAGES.1),
    (QUEUED_KBYTES.0, QUEUED_KBYTES.1),
    (FETCH_BYTES.0, FETCH_BYTES.1),
    (RESPONSE_BYTES.0, RESPONSE_BYTES.1),
    ("reconnect.backoff.max.ms", "1000"),
];

/// Values in one partition's queue: 32 MiB are a tenth of a second of decoding at full speed.
const QUEUED_KBYTES: (&str, &str) = ("queued.max.messages.kbytes", "32768");
/// Messages in it, each with a head of some 300 bytes that the bytes above leave out.
const QUEUED_MESSAGES: (&str, &str) = ("queued.min.messages", "100000");
/// What one answer brings of one partition. A message that is larger comes all the same, alone.
const FETCH_BYTES: (&str, &str) = ("fetch.message.max.bytes", "4194304");
/// What one answer brings in all.
const RESPONSE_BYTES: (&str, &str) = ("fetch.max.bytes", "52428800");
/// How long the broker may wait with an answer that would be empty.
const FETCH_WAIT_MS: (&str, &str) = ("fetch.wait.max.ms", "100");

/// Settings that are ours to decide, whatever a table says.
const OURS: [&str; 8] = [
    "auto.offset.reset",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "allow.auto.create.topics",
    "group.id",
    "group.instance.id",
    "partition.assignment.strategy",
];

/// Settings of the Java client that have no counterpart here and change neither rows nor answers.
const JAVA_ONLY: [&str; 47] = [
    "auto.include.jmx.reporter",
    "default.api.timeout.ms",
    "exclude.internal.topics",
    "interceptor.classes",
    "key.deserializer",
    "max.poll.interval.ms",
    "max.poll.records",
    "metric.reporters",
    "metrics.num.samples",
    "metrics.recording.level",
    "metrics.sample.window.ms",
    "request.timeout.ms",
    "sasl.client.callback.handler.class",
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.ticket.renew.jitter",
    "sasl.kerberos.ticket.renew.window.factor",
    "sasl.login.callback.handler.class",
    "sasl.login.class",
    "sasl.login.connect.timeout.ms",
    "sasl.login.read.timeout.ms",
    "sasl.login.refresh.buffer.seconds",
    "sasl.login.refresh.min.period.seconds",
    "sasl.login.refresh.window.factor",
    "sasl.login.refresh.window.jitter",
    "sasl.login.retry.backoff.max.ms",
    "sasl.login.retry.backoff.ms",
    "sasl.oauthbearer.clock.skew.seconds",
    "sasl.oauthbearer.expected.audience",
    "sasl.oauthbearer.expected.issuer",
    "sasl.oauthbearer.header.urlencode",
    "sasl.oauthbearer.jwks.endpoint.refresh.ms",
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms",
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms",
    "sasl.oauthbearer.jwks.endpoint.url",
    "sasl.oauthbearer.scope.claim.name",
    "sasl.oauthbearer.sub.claim.name",
    "security.providers",
    "socket.connection.setup.timeout.max.ms",
    "ssl.enabled.protocols",
    "ssl.engine.factory.class",
    "ssl.keymanager.algorithm",
    "ssl.protocol",
    "ssl.provider",
    "ssl.secure.random.implementation",
    "ssl.trustmanager.algorithm",
    "ssl.truststore.password",
    "value.deserializer",
];

/// Java's name and the library's for the same setting.
const RENAMED: [(&str, &str); 8] = [
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
    ("sasl.mechanism", "sasl.mechanisms"),
    ("ssl.keystore.certificate.chain", "ssl.certificate.pem"),
    ("ssl.keystore.key", "ssl.key.pem"),
    ("ssl.truststore.certificates", "ssl.ca.pem"),
];

/// The configuration of a client with so many `seats`, each with a queue of at most `bytes` of values, where the table does
/// not say so itself.
pub(super) fn with_queue(config: &ClientConfig, bytes: u64, seats: usize) -> ClientConfig {
    let mut config = config.clone();
    let seats = seats as u64;
    // What an answer brings may be compressed, and comes on top of a queue that is almost full.
    let fetch = (bytes / 2).max(1);
    for ((key, most), wanted) in [
        (QUEUED_KBYTES, (bytes >> 10).max(1)),
        // As much for heads as for values.
        (QUEUED_MESSAGES, (bytes / 256).max(100)),
        (FETCH_BYTES, fetch),
        // Messages that are not compressed keep the whole answer that they came in.
        (RESPONSE_BYTES, fetch.saturating_mul(seats).max(1 << 20)),
        // A partition whose queue was full when the others were asked for joins the next question: that must not wait for
        // the others to have something.
        (FETCH_WAIT_MS, (100 / seats.max(1)).max(10)),
    ] {
        if config.get(key) == Some(most) && most.parse().is_ok_and(|most: u64| wanted < most) {
            config.set(key, wanted.to_string());
        }
    }
    config
}

/// The client's configuration for a stream.
pub(super) fn client_config(spec: &StreamSpec) -> Result<ClientConfig, StreamError> {
    let mut config = ClientConfig::new();
    for (key, value) in DEFAULTS {
        config.set(key, value);
    }
    if !spec.settings.contains_key("bootstrap.servers") {
        let reason = "it is missing: name the brokers, as in \"localhost:9092\"";
        return Err(wrong(spec, "bootstrap.servers", reason));
    }
    for (key, value) in &spec.settings {
        match key.as_str() {
            "sasl.jaas.config" => jaas(spec, value, &mut config)?,
            "ssl.truststore.location" => trust_store(spec, value, &mut config)?,
            "ssl.keystore.location" => key_store(spec, value, &mut config)?,
            "ssl.truststore.type" | "ssl.keystore.type" => {}
            "ssl.endpoint.identification.algorithm" if value.is_empty() => drop(config.set(key, "none")),
            key if OURS.contains(&key) || JAVA_ONLY.contains(&key) => {}
            key => {
                let renamed = RENAMED.iter().find(|(java, _)| *java == key);
                config.set(renamed.map_or(key, |(_, name)| *name), value);
            }
        }
    }
    // Asked of the library at once, so that a wrong setting is found before anything is made.
    match config.create_native_config() {
        Ok(_) => Ok(config),
        Err(KafkaError::ClientConfig(_, text, key, value)) => {
            let java = RENAMED.iter().find(|(java, name)| *name == key && spec.settings.contains_key(*java));
            let key = java.map_or(&*key, |(java, _)| *java);
            let shown = if is_secret(key) { "its value".to_owned() } else { format!("{value:?}") };
            Err(wrong(spec, key, &format!("{shown} is not accepted: {}", redact(spec, text))))
        }
        Err(error) => Err(wrong(spec, "stream.kafka", &redact(spec, error.to_string()))),
    }
}

/// Whether a setting holds what nobody may see.
fn is_secret(key: &str) -> bool {
    ["password", "secret", "jaas", "token", "ssl.key.pem", "keystore.key"].iter().any(|part| key.contains(part))
}

/// Replaces values of secret settings in a text.
fn redact(spec: &StreamSpec, mut text: String) -> String {
    for (_, value) in spec.settings.iter().filter(|(key, value)| is_secret(key) && !value.is_empty()) {
        text = text.replace(value.as_str(), "***");
    }
    text
}

/// The error of a setting, under the key that a table gives it.
fn wrong(spec: &StreamSpec, key: &str, reason: &str) -> StreamError {
    let key = match key {
        "bootstrap.servers" => "stream.kafka.broker.list",
        "isolation.level" => "stream.kafka.isolation.level",
        key => key,
    };
    StreamError::Setting { topic: spec.topic.to_string(), key: key.into(), reason: reason.into() }
}

/// How a Java store is kept: by its type, or by its file's ending where no type is given.
fn store_type(spec: &StreamSpec, type_key: &str, path: &str) -> String {
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    let by_ending = match ending.as_str() {
        "jks" => "JKS",
        "p12" | "pfx" => "PKCS12",
        _ => "PEM",
    };
    spec.settings.get(type_key).map_or(by_ending, String::as_str).to_ascii_uppercase()
}

fn trust_store(spec: &StreamSpec, path: &str, config: &mut ClientConfig) -> Result<(), StreamError> {
    match &*store_type(spec, "ssl.truststore.type", path) {
        "PEM" => config.set("ssl.ca.location", path),
        other => {
            let reason = format!("a {other} store cannot be read: write the certificates as PEM (keytool -list -rfc)");
            return Err(wrong(spec, "ssl.truststore.location", &reason));
        }
    };
    Ok(())
}

fn key_store(spec: &StreamSpec, path: &str, config: &mut ClientConfig) -> Result<(), StreamError> {
    match &*store_type(spec, "ssl.keystore.type", path) {
        // One file holds the key and the certificate.
        "PEM" => config.set("ssl.certificate.location", path).set("ssl.key.location", path),
        "PKCS12" => config.set("ssl.keystore.location", path),
        other => {
            let reason = format!("a {other} store cannot be read: make it PKCS12 (keytool -importkeystore) or PEM");
            return Err(wrong(spec, "ssl.keystore.location", &reason));
        }
    };
    Ok(())
}

/// `...LoginModule required username="u" password="p";`
fn jaas(spec: &StreamSpec, text: &str, config: &mut ClientConfig) -> Result<(), StreamError> {
    if !text.contains("PlainLoginModule") && !text.contains("ScramLoginModule") {
        return Err(wrong(spec, "sasl.jaas.config", "only PlainLoginModule and ScramLoginModule are read"));
    }
    match (jaas_option(text, "username"), jaas_option(text, "password")) {
        (Some(user), Some(password)) => {
            config.set("sasl.username", user).set("sasl.password", password);
            Ok(())
        }
        _ => Err(wrong(spec, "sasl.jaas.config", "it holds no username=\"..\" and password=\"..\"")),
    }
}

/// The quoted value of an option; a backslash takes the next character as it is.
fn jaas_option(text: &str, name: &str) -> Option<String> {
    let option = format!("{name}=");
    let is_whole = |at: &usize| text[..*at].chars().next_back().is_none_or(char::is_whitespace);
    let at = text.match_indices(&option).map(|(at, _)| at).find(is_whole)?;
    let mut rest = text[at + option.len()..].chars();
    let quote = rest.next().filter(|quote| matches!(quote, '"' | '\''))?;
    let mut value = String::new();
    while let Some(next) = rest.next() {
        match next {
            '\\' => value.extend(rest.next()),
            next if next == quote => return Some(value),
            next => value.push(next),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeMap, time::Duration};
    use weir_types::{StartAt, TopicName};

    fn spec(settings: &[(&str, &str)]) -> StreamSpec {
        StreamSpec {
            stream_type: "kafka".into(),
            topic: TopicName::parse("t").unwrap(),
            start_at: StartAt::Earliest,
            decoder: "json".into(),
            decoder_settings: BTreeMap::new(),
            settings: settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            fetch_timeout: Duration::from_secs(1),
            only_partitions: None,
            auto_reset: None,
            rate_limit: None,
        }
    }

    #[test]
    fn java_settings_become_the_librarys() {
        let jaas = r#"org.apache.kafka.common.security.scram.ScramLoginModule required username="u" password="p \"w";"#;
        let config = client_config(&spec(&[
            ("bootstrap.servers", "localhost:9092"),
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "SCRAM-SHA-256"),
            ("sasl.jaas.config", jaas),
            ("max.poll.records", "7"),
            ("auto.offset.reset", "earliest"),
            ("fetch.max.wait.ms", "250"),
            ("ssl.endpoint.identification.algorithm", ""),
            ("ssl.truststore.location", "/etc/ca.crt"),
            ("ssl.keystore.location", "/etc/client.store"),
            ("ssl.keystore.type", "pem"),
        ]))
        .unwrap();
        for (key, value) in [
            ("sasl.mechanisms", "SCRAM-SHA-256"),
            ("sasl.username", "u"),
            ("sasl.password", "p \"w"),
            ("auto.offset.reset", "error"),
            ("fetch.wait.max.ms", "250"),
            ("ssl.endpoint.identification.algorithm", "none"),
            ("ssl.ca.location", "/etc/ca.crt"),
            ("ssl.certificate.location", "/etc/client.store"),
            ("ssl.key.location", "/etc/client.store"),
        ] {
            assert_eq!(config.get(key), Some(value), "{key}");
        }
    }

    #[test]
    fn a_wrong_setting_is_named_without_its_secrets() {
        for (settings, key) in [
            (&[("security.protocol", "SSL")][..], "stream.kafka.broker.list"),
            (&[("bootstrap.servers", "x:1"), ("security.protocol", "PLAN")], "security.protocol"),
            (&[("bootstrap.servers", "x:1"), ("no.such.setting", "1")], "no.such.setting"),
            (&[("bootstrap.servers", "x:1"), ("fetch.max.wait.ms", "soon")], "fetch.max.wait.ms"),
            (&[("bootstrap.servers", "x:1"), ("isolation.level", "none")], "stream.kafka.isolation.level"),
            (&[("bootstrap.servers", "x:1"), ("ssl.truststore.location", "a.jks")], "ssl.truststore.location"),
            (&[("bootstrap.servers", "x:1"), ("ssl.keystore.location", "a.jks")], "ssl.keystore.location"),
            (&[("bootstrap.servers", "x:1"), ("sasl.jaas.config", "hunter2")], "sasl.jaas.config"),
        ] {
            let error = client_config(&spec(settings)).expect_err("it is refused");
            assert!(matches!(&error, StreamError::Setting { key: found, .. } if found == key), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
