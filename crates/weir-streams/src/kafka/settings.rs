//! From a table's stream settings to librdkafka's: names as they are, Java's spelling where the two differ.

use super::{login, stores};
use crate::contract::StreamError;
use rdkafka::{ClientConfig, error::KafkaError};
use weir_types::{
    StreamSpec,
    secret::{Hiding, Resolved, is_secret},
};

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
const JAVA_ONLY: &[&str] = &[
    "auto.include.jmx.reporter",
    "bootstrap.controllers",
    "default.api.timeout.ms",
    "exclude.internal.topics",
    "interceptor.classes",
    "internal.leave.group.on.close",
    "internal.throw.on.fetch.stable.offset.unsupported",
    "key.deserializer",
    "max.poll.interval.ms",
    "max.poll.records",
    "metric.reporters",
    "metrics.num.samples",
    "metrics.recording.level",
    "metrics.sample.window.ms",
    "request.timeout.ms",
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.ticket.renew.jitter",
    "sasl.kerberos.ticket.renew.window.factor",
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
    "ssl.keymanager.algorithm",
    "ssl.protocol",
    "ssl.provider",
    "ssl.secure.random.implementation",
    "ssl.trustmanager.algorithm",
    "value.deserializer",
];

/// Java's name and the library's for the same setting.
const RENAMED: &[(&str, &str)] = &[
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
    ("sasl.mechanism", "sasl.mechanisms"),
    ("ssl.keystore.certificate.chain", "ssl.certificate.pem"),
    ("ssl.keystore.key", "ssl.key.pem"),
    ("ssl.truststore.certificates", "ssl.ca.pem"),
    ("ssl.truststore.location", "ssl.ca.location"),
];

/// Settings that name a Java class which would take part in logging in or in TLS, with the classes of Kafka's own that need
/// none here.
const CLASSES: &[(&str, &[&str])] = &[
    ("sasl.login.class", &["DefaultLogin"]),
    ("sasl.login.callback.handler.class", OAUTH_HANDLERS),
    (
        "sasl.client.callback.handler.class",
        &["SaslClientCallbackHandler", "OAuthBearerSaslClientCallbackHandler", "ScramSaslClientCallbackHandler"],
    ),
    ("ssl.engine.factory.class", &["DefaultSslEngineFactory"]),
    ("sasl.oauthbearer.jwt.retriever.class", &["DefaultJwtRetriever", "ClientCredentialsJwtRetriever"]),
    ("sasl.oauthbearer.jwt.validator.class", &["DefaultJwtValidator", "ClientJwtValidator", "BrokerJwtValidator"]),
];
/// What the library does not say of its own accord: the values that a setting may have.
const TAKEN: &[(&str, &str)] = &[
    ("security.protocol", "; PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL are"),
    ("client.dns.lookup", "; use_all_dns_ips and resolve_canonical_bootstrap_servers_only are"),
    ("ssl.endpoint.identification.algorithm", "; https is, and nothing (\"\")"),
];
const OAUTH_HANDLERS: &[&str] =
    &["OAuthBearerLoginCallbackHandler", "OAuthBearerUnsecuredLoginCallbackHandler", "DefaultLoginCallbackHandler"];

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
    let Some(brokers) = spec.settings.get("bootstrap.servers") else {
        let reason = "it is missing: name the brokers, as in \"localhost:9092\"";
        return Err(wrong(spec, "bootstrap.servers", reason));
    };
    if let Some(broker) = brokers.split(',').find(|broker| !has_possible_port(broker)) {
        let reason = format!("{:?} names no port between 1 and 65535, as \"localhost:9092\" does", broker.trim());
        return Err(wrong(spec, "bootstrap.servers", &reason));
    }
    for (key, value) in &spec.settings {
        match key.as_str() {
            // Those that mean something together.
            key if login::reads(key) || stores::reads(key) => {}
            "ssl.endpoint.identification.algorithm" if value.is_empty() => drop(config.set(key, "none")),
            key if OURS.contains(&key) || JAVA_ONLY.contains(&key) => {}
            key if CLASSES.iter().any(|(class, _)| *class == key) => class(spec, key, value)?,
            key => drop(config.set(renamed(key), value)),
        }
    }
    stores::translate(spec, &mut config)?;
    login::translate(spec, &mut config)?;
    // Asked of the library at once, so that a wrong setting is found before anything is made.
    match stores::without_ours(&config).create_native_config() {
        Ok(_) => Ok(config),
        Err(KafkaError::ClientConfig(_, text, key, value)) => {
            let java = RENAMED.iter().find(|(java, name)| *name == key && spec.settings.contains_key(*java));
            let key = java.map_or(&*key, |(java, _)| *java);
            let shown = if is_secret(key) { "its value".to_owned() } else { format!("{value:?}") };
            let taken = TAKEN.iter().find(|(name, _)| *name == key).map_or("", |(_, taken)| *taken);
            Err(wrong(spec, key, &format!("{shown} is not accepted: {}{taken}", without_secrets(spec, &text))))
        }
        Err(error) => Err(wrong(spec, "stream.kafka", &without_secrets(spec, &error.to_string()))),
    }
}

/// Whether a broker's address names a port that can be one, or none (the client then takes 9092).
fn has_possible_port(broker: &str) -> bool {
    let broker = broker.trim();
    let place = broker.split_once("://").map_or(broker, |(_, place)| place);
    match place.rsplit_once(':') {
        // The colons of a bare IPv6 address are none of a port.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            port.parse::<u16>().is_ok_and(|port| port > 0)
        }
        _ => true,
    }
}

/// The library's name of a setting.
fn renamed(key: &str) -> &str {
    RENAMED.iter().find(|(java, _)| *java == key).map_or(key, |(_, name)| *name)
}

/// A class of Kafka's own does what is done here; what another would do is not known.
fn class(spec: &StreamSpec, key: &str, value: &str) -> Result<(), StreamError> {
    let known = CLASSES.iter().find(|(class, _)| *class == key).map_or(&[][..], |(_, known)| *known);
    let name = value.trim().rsplit(['.', '$']).next().unwrap_or_default();
    if name.is_empty() || known.contains(&name) {
        return Ok(());
    }
    let reason = format!("{value:?} is a Java class, which is not run here: remove it; {} need none", known.join(", "));
    Err(wrong(spec, key, &reason))
}

/// A client's text without the values of secret settings.
fn without_secrets(spec: &StreamSpec, text: &str) -> String {
    let mut hiding = Hiding::default();
    for (key, value) in &spec.settings {
        hiding.add(key, value, &Resolved { text: value.clone(), looked_up: vec![] });
    }
    hiding.hide(text)
}

/// The error of a setting, under the key that a table gives it.
pub(super) fn wrong(spec: &StreamSpec, key: &str, reason: &str) -> StreamError {
    let key = match key {
        "bootstrap.servers" => "stream.kafka.broker.list",
        "isolation.level" => "stream.kafka.isolation.level",
        key => key,
    };
    StreamError::Setting { topic: spec.topic.to_string(), key: key.into(), reason: reason.into() }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
