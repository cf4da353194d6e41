//! From a table's stream settings to librdkafka's: names as they are, Java's spelling where the two differ.

use crate::contract::StreamError;
use rdkafka::ClientConfig;
use weir_types::StreamSpec;

/// What every consumer is told, before the table's own settings.
const DEFAULTS: [(&str, &str); 16] = [
    // Partitions are assigned and offsets stand in the catalog: the group is a name and nothing is committed to it.
    ("group.id", "weir"),
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
    ("fetch.wait.max.ms", "100"),
    ("fetch.queue.backoff.ms", "5"),
    ("fetch.error.backoff.ms", "100"),
    // A partition's share of memory: 32 MiB are a tenth of a second of decoding at full speed.
    ("queued.min.messages", "100000"),
    ("queued.max.messages.kbytes", "32768"),
    ("max.partition.fetch.bytes", "4194304"),
    ("reconnect.backoff.max.ms", "1000"),
];

/// Settings of the Java client that have no counterpart here and change neither rows nor answers.
const JAVA_ONLY: [&str; 10] = [
    "key.deserializer",
    "value.deserializer",
    "max.poll.records",
    "max.poll.interval.ms",
    "request.timeout.ms",
    "default.api.timeout.ms",
    "exclude.internal.topics",
    "interceptor.classes",
    "metric.reporters",
    "ssl.truststore.type",
];

/// The client's configuration for a stream.
pub(super) fn client_config(spec: &StreamSpec) -> Result<ClientConfig, StreamError> {
    let mut config = ClientConfig::new();
    for (key, value) in DEFAULTS {
        config.set(key, value);
    }
    if !spec.settings.contains_key("bootstrap.servers") {
        let reason = "it is missing: name the brokers, as in \"localhost:9092\"";
        return Err(wrong(spec, "stream.kafka.broker.list", reason));
    }
    for (key, value) in &spec.settings {
        match key.as_str() {
            "sasl.jaas.config" => jaas(spec, value, &mut config)?,
            "sasl.mechanism" => drop(config.set("sasl.mechanisms", value)),
            "auto.offset.reset" | "enable.auto.commit" | "enable.partition.eof" | "enable.auto.offset.store" => {}
            "ssl.truststore.location" => drop(config.set("ssl.ca.location", value)),
            key if JAVA_ONLY.contains(&key) => {}
            key => drop(config.set(key, value)),
        }
    }
    // Asked of the library at once, so that a wrong setting is found before anything is made.
    match config.create_native_config() {
        Ok(_) => Ok(config),
        Err(error) => {
            let text = error.to_string();
            let key = spec.settings.keys().find(|key| text.contains(key.as_str()));
            let key = key.cloned().unwrap_or_else(|| "stream.kafka".into());
            Err(wrong(spec, &key, &redact(spec, text)))
        }
    }
}

/// Replaces values of secret settings in a text.
fn redact(spec: &StreamSpec, mut text: String) -> String {
    for (key, value) in &spec.settings {
        let secret = ["password", "secret", "jaas", "token", "key"].iter().any(|part| key.contains(part));
        if secret && !value.is_empty() {
            text = text.replace(value.as_str(), "***");
        }
    }
    text
}

fn wrong(spec: &StreamSpec, key: &str, reason: &str) -> StreamError {
    StreamError::Setting { topic: spec.topic.to_string(), key: key.into(), reason: reason.into() }
}

/// `...LoginModule required username="u" password="p";`
fn jaas(spec: &StreamSpec, text: &str, config: &mut ClientConfig) -> Result<(), StreamError> {
    let field = |name: &str| {
        let rest = text.split(&format!("{name}=")).nth(1)?;
        let quote = rest.chars().next().filter(|quote| *quote == '"' || *quote == '\'')?;
        rest[1..].split(quote).next().map(str::to_owned)
    };
    if !text.contains("PlainLoginModule") && !text.contains("ScramLoginModule") {
        return Err(wrong(spec, "sasl.jaas.config", "only PlainLoginModule and ScramLoginModule are read"));
    }
    match (field("username"), field("password")) {
        (Some(user), Some(password)) => {
            config.set("sasl.username", user).set("sasl.password", password);
            Ok(())
        }
        _ => Err(wrong(spec, "sasl.jaas.config", "it holds no username=\"..\" and password=\"..\"")),
    }
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
        }
    }

    #[test]
    fn java_settings_become_the_librarys() {
        let jaas = r#"org.apache.kafka.common.security.scram.ScramLoginModule required username="u" password="p w";"#;
        let config = client_config(&spec(&[
            ("bootstrap.servers", "localhost:9092"),
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "SCRAM-SHA-256"),
            ("sasl.jaas.config", jaas),
            ("max.poll.records", "7"),
            ("auto.offset.reset", "earliest"),
        ]))
        .unwrap();
        for (key, value) in [
            ("sasl.mechanisms", "SCRAM-SHA-256"),
            ("sasl.username", "u"),
            ("sasl.password", "p w"),
            ("auto.offset.reset", "error"),
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
            (&[("bootstrap.servers", "x:1"), ("sasl.jaas.config", "hunter2")], "sasl.jaas.config"),
        ] {
            let error = client_config(&spec(settings)).expect_err("it is refused");
            assert!(matches!(&error, StreamError::Setting { key: found, .. } if found == key), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
