//! What the client's errors mean: the step at which a connection ended, and what to do about it.
//!
//! The library knows codes and texts only, and some causes show as a connection that is closed in a certain state.

use crate::{
    contract::StreamError,
    probe::{ProbeError, ProbeStep},
};
use rdkafka::{ClientConfig, error::RDKafkaErrorCode};

/// How a client connects, as far as it explains errors.
#[derive(Debug, Clone, Default)]
pub(super) struct How {
    tls: bool,
    sasl: bool,
    mechanism: String,
}

impl How {
    pub(super) fn of(config: &ClientConfig) -> Self {
        let protocol = config.get("security.protocol").unwrap_or("PLAINTEXT").to_ascii_uppercase();
        let mechanism = config.get("sasl.mechanisms").unwrap_or_default().to_owned();
        Self { tls: protocol.ends_with("SSL"), sasl: protocol.starts_with("SASL_"), mechanism }
    }
}

/// A connection that is closed so soon after it was made was not wanted; later it was lost.
const AT_ONCE_MS: u64 = 2000;

/// What an error means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) step: ProbeStep,
    what: String,
    remedy: String,
}

impl Finding {
    pub(super) fn into_error(self, topic: &str) -> StreamError {
        let (topic, reason) = (topic.to_owned(), format!("{}: {}: {}", self.step, self.what, self.remedy));
        match self.step {
            ProbeStep::Login | ProbeStep::Acl => StreamError::Denied { topic, reason },
            _ => StreamError::Unreachable { topic, reason },
        }
    }

    pub(super) fn into_probe_error(self) -> ProbeError {
        ProbeError { step: self.step, what: self.what, remedy: self.remedy }
    }
}

/// What a code and a text mean.
pub(super) fn finding(how: &How, code: RDKafkaErrorCode, text: &str) -> Finding {
    if let Some(finding) = other_protocol(text) {
        return finding;
    }
    let (step, remedy) = match code {
        RDKafkaErrorCode::Resolve => (
            ProbeStep::Dns,
            "correct the host in stream.kafka.broker.list, or what this node knows of names".to_owned(),
        ),
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
            (ProbeStep::Login, login(how, text))
        }
        RDKafkaErrorCode::UnsupportedSASLMechanism | RDKafkaErrorCode::IllegalSASLState => {
            (ProbeStep::Login, login(how, text))
        }
        RDKafkaErrorCode::SSL => (ProbeStep::Tls, tls(text)),
        RDKafkaErrorCode::TopicAuthorizationFailed => {
            let remedy = "give the user the right to describe and read the topic (kafka-acls --add --allow-principal \
                          User:.. --operation Describe --operation Read --topic ..)";
            (ProbeStep::Acl, remedy.to_owned())
        }
        RDKafkaErrorCode::GroupAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            (ProbeStep::Acl, "give the user the right that is named".to_owned())
        }
        _ => closed(how, text),
    };
    Finding { step, what: without_state(text).to_owned(), remedy }
}

/// An error's text without the library's own words about its state, which say nothing to a reader: `(after 0ms in state CONNECT)`.
fn without_state(text: &str) -> &str {
    let text = text.trim();
    match text.rsplit_once(" (after ") {
        Some((said, state)) if state.contains("ms in state ") => said.trim_end_matches([',', ':', ' ']),
        _ => text,
    }
}

/// Whether an error tells of somebody who says nothing.
pub(super) fn is_silence(what: &str) -> bool {
    ["no answer within", "timed out", "Timed out", "TimedOut"].into_iter().any(|said| what.contains(said))
}

/// That something answers which is no broker: the client takes the first four bytes for a length, and advises to raise a
/// limit.
fn other_protocol(text: &str) -> Option<Finding> {
    let (_, rest) = text.split_once("Invalid response size ")?;
    let length: u32 = rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    let begins = length.to_be_bytes();
    let speaks = match begins {
        [b'H', b'T', b'T', b'P'] => "it speaks HTTP".to_owned(),
        [0x15, 3, ..] => "it speaks TLS: set security.protocol to SSL or SASL_SSL".to_owned(),
        _ => format!("its answer begins with {}", begins.escape_ascii()),
    };
    let remedy = format!(
        "this port is not a Kafka broker's plain one ({speaks}): name the broker's port in stream.kafka.broker.list"
    );
    let what = text.split_once(": increase ").map_or(text, |(what, _)| what).trim().to_owned();
    Some(Finding { step: ProbeStep::Tcp, what, remedy })
}

/// That nobody answers, and the client does not say why.
pub(super) fn nobody(what: &str) -> Finding {
    let remedy = "look whether the brokers run, and whether this node may reach the ports of stream.kafka.broker.list";
    Finding { step: ProbeStep::Tcp, what: what.to_owned(), remedy: remedy.to_owned() }
}

fn login(how: &How, text: &str) -> String {
    let offered = text.split_once("supported mechanisms:").map(|(_, offered)| offered.trim());
    let plain = if how.tls { "SSL" } else { "PLAINTEXT" };
    match offered {
        Some(offered) if offered.is_empty() || offered.starts_with('(') => {
            format!("this port takes no logins: set security.protocol to {plain}, or name the port that takes them")
        }
        Some(_) => "set sasl.mechanism to one that the broker supports".to_owned(),
        None if how.mechanism == "OAUTHBEARER" => {
            "the broker does not take the token, or none was given: look at sasl.jaas.config and \
             sasl.oauthbearer.token.endpoint.url"
                .to_owned()
        }
        None => "correct user and password in sasl.jaas.config (or sasl.username and sasl.password), or sasl.mechanism"
            .to_owned(),
    }
}

fn tls(text: &str) -> String {
    if text.contains("verif") {
        return "name the authority that signed the broker's certificate in ssl.truststore.location or \
                ssl.truststore.certificates; where that is right, the broker's host is not in its certificate: use the name \
                that is, or set ssl.endpoint.identification.algorithm to \"\""
            .to_owned();
    }
    "look whether the port speaks TLS, and which versions and ciphers".to_owned()
}

/// A connection that was not made, or was closed.
fn closed(how: &How, text: &str) -> (ProbeStep, String) {
    let has = |part: &str| text.contains(part);
    // Where it is closed early the library may say no more than that. Behind the handshake the broker has refused the client;
    // before its end it has not understood it.
    let closed_early = has("SSL connection closed by peer") && !has("state UP");
    let refused = closed_early && has("state APIVERSION_QUERY");
    if refused || has("SSL alert") || has("tlsv1 alert") || has("tlsv13 alert") {
        let remedy = "the broker wants a client certificate that it trusts: name one in ssl.keystore.location, or \
                      ssl.keystore.certificate.chain and ssl.keystore.key";
        return (ProbeStep::Tls, remedy.to_owned());
    }
    // Mostly the library calls it what it is. Where a handshake ends with the connection, it says what OpenSSL said.
    if has("certificate verify failed") {
        return (ProbeStep::Tls, tls(text));
    }
    if closed_early || has("SSL handshake failed") {
        let plain = if how.sasl { "SASL_PLAINTEXT" } else { "PLAINTEXT" };
        let remedy = format!("this port speaks no TLS: set security.protocol to {plain}, or name the port that does");
        return (ProbeStep::Tls, remedy);
    }
    if has("SSL routines") {
        return (ProbeStep::Tls, tls(text));
    }
    let ended = ["Disconnected", "Broken pipe", "Connection reset"].into_iter().any(has);
    if ended && has("state APIVERSION_QUERY") && !how.tls {
        let with = if how.sasl { "SASL_SSL" } else { "SSL (SASL_SSL where it wants logins too)" };
        let remedy = format!("a port that wants TLS closes so: set security.protocol to {with}, or name a plain port");
        return (ProbeStep::Tls, remedy);
    }
    if ended && has("state UP") && !how.sasl && ms_in_state(text).is_some_and(|ms| ms < AT_ONCE_MS) {
        let with = if how.tls { "SASL_SSL" } else { "SASL_PLAINTEXT" };
        let remedy = format!(
            "a port that wants logins closes so: set security.protocol to {with}, with sasl.mechanism and sasl.jaas.config"
        );
        return (ProbeStep::Login, remedy);
    }
    (ProbeStep::Tcp, nobody("").remedy)
}

/// `(after 12ms in state UP)`.
fn ms_in_state(text: &str) -> Option<u64> {
    let (_, after) = text.rsplit_once("(after ")?;
    after.split_once("ms in state")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(protocol: &str, code: RDKafkaErrorCode, text: &str, step: ProbeStep, remedy: &str) {
        let how = How::of(ClientConfig::new().set("security.protocol", protocol).set("sasl.mechanisms", "PLAIN"));
        let found = finding(&how, code, text);
        assert_eq!(found.step, step, "{protocol}: {text}");
        assert!(found.remedy.contains(remedy), "{protocol}: {text}: {}", found.remedy);
    }

    #[test]
    fn the_librarys_state_is_left_out() {
        let text = "Connect to ipv4#127.0.0.1:9 failed: Connection refused (after 0ms in state CONNECT)";
        let found = finding(&How::default(), RDKafkaErrorCode::BrokerTransportFailure, text);
        assert_eq!(found.what, "Connect to ipv4#127.0.0.1:9 failed: Connection refused");
        assert_eq!(
            without_state("1 request(s) timed out: disconnect (average rtt 0ms) (after 9ms in state UP)"),
            "1 request(s) timed out: disconnect (average rtt 0ms)"
        );
        assert_eq!(without_state("nothing (of that kind)"), "nothing (of that kind)");
    }

    /// Texts as the library has them; those of a real broker are met in `tests/it/secure.rs`.
    #[test]
    fn each_text_has_its_step() {
        use RDKafkaErrorCode as Code;
        let transport = Code::BrokerTransportFailure;
        check("SSL", Code::SSL, "SSL handshake failed: certificate verify failed", ProbeStep::Tls, "ssl.truststore");
        check(
            "SSL",
            transport,
            "SSL handshake failed: Disconnected: connecting to a PLAINTEXT",
            ProbeStep::Tls,
            "no TLS",
        );
        check("SASL_SSL", transport, "SSL handshake failed: x", ProbeStep::Tls, "SASL_PLAINTEXT");
        let verify = "error:0A000086:SSL routines::certificate verify failed";
        check("SASL_SSL", transport, verify, ProbeStep::Tls, "ssl.truststore");
        let early = "Disconnected: SSL connection closed by peer (after 0ms in state CONNECT)";
        check("SSL", transport, early, ProbeStep::Tls, "speaks no TLS");
        check("SSL", transport, &early.replace("CONNECT", "APIVERSION_QUERY"), ProbeStep::Tls, "client certificate");
        check("SSL", transport, "error:0A00010B:SSL routines::wrong version number", ProbeStep::Tls, "speaks TLS");
        for (length, remedy) in [("1213486160", "HTTP"), ("352518912", "TLS"), ("1397966893", r"begins with SSH-")] {
            let text = format!(
                "Receive failed: Invalid response size {length} (0..100000000): increase receive.message.max.bytes"
            );
            check("PLAINTEXT", transport, &text, ProbeStep::Tcp, remedy);
            assert!(!finding(&How::of(&ClientConfig::new()), transport, &text).what.contains("increase"));
        }
        check(
            "SSL",
            transport,
            "Receive failed: bad certificate: SSL alert number 42",
            ProbeStep::Tls,
            "client certificate",
        );
        let early = "Disconnected: connection closed by peer (after 3ms in state APIVERSION_QUERY)";
        check("PLAINTEXT", transport, early, ProbeStep::Tls, "set security.protocol to SSL");
        check("SASL_PLAINTEXT", transport, early, ProbeStep::Tls, "set security.protocol to SASL_SSL");
        let up = "Disconnected: connection closed by peer: receive 0 after POLLIN (after 300ms in state UP)";
        check("PLAINTEXT", transport, up, ProbeStep::Login, "SASL_PLAINTEXT");
        check("SSL", transport, up, ProbeStep::Login, "SASL_SSL");
        let sent = "Send failed: SSL transport error: Broken pipe (after 118ms in state UP)";
        check("SSL", transport, sent, ProbeStep::Login, "SASL_SSL");
        // A broker that went away is not one that wants a login.
        check("PLAINTEXT", transport, &up.replace("300ms", "300000ms"), ProbeStep::Tcp, "run");
        check("SASL_SSL", transport, up, ProbeStep::Tcp, "run");
        check("PLAINTEXT", Code::Resolve, "Failed to resolve 'x:1'", ProbeStep::Dns, "broker.list");
        check(
            "PLAINTEXT",
            transport,
            "Connect to ipv4#127.0.0.1:9 failed: Connection refused",
            ProbeStep::Tcp,
            "ports",
        );
        let none =
            "SASL PLAIN mechanism handshake failed: Request not valid: broker's supported mechanisms: (after 1ms)";
        check("SASL_SSL", Code::Authentication, none, ProbeStep::Login, "set security.protocol to SSL");
        let other = "mechanism handshake failed: Unsupported: broker's supported mechanisms: SCRAM-SHA-512";
        check("SASL_SSL", Code::Authentication, other, ProbeStep::Login, "sasl.mechanism");
        check("SASL_SSL", Code::Authentication, "Authentication failed", ProbeStep::Login, "user and password");
        check("SSL", Code::TopicAuthorizationFailed, "denied", ProbeStep::Acl, "kafka-acls");
    }
}
