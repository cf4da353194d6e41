//! Keys and certificates: Java's stores, PEM texts and Pinot's own keys become what the library reads.
//!
//! Texts are translated when settings are read. Files are looked at when a client is made, and by what is in them: a file's
//! type and ending often say otherwise, and one that is replaced is used by the next client.

use super::{login, settings::wrong};
use crate::contract::StreamError;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use openssl::pkcs12::Pkcs12;
use rdkafka::ClientConfig;
use weir_base::outside;
use weir_types::StreamSpec;

/// Pinot's keys for certificates inside a table config.
const PINOT: &str = "stream.kafka.ssl.";
const SERVER_CERTIFICATE: &str = "stream.kafka.ssl.server.certificate";
const CLIENT_CERTIFICATE: &str = "stream.kafka.ssl.client.certificate";
const CLIENT_KEY: &str = "stream.kafka.ssl.client.key";
const CERTIFICATE_TYPE: &str = "stream.kafka.ssl.certificate.type";

/// What the library has no setting for; it stands in a client's settings until the client is made.
const TRUST_PASSWORD: &str = "ssl.truststore.password";

/// Settings of Java's stores that are read here. Their passwords are not among them.
const STORES: [&str; 7] = [
    "ssl.truststore.location",
    "ssl.truststore.type",
    "ssl.truststore.certificates",
    "ssl.keystore.location",
    "ssl.keystore.type",
    "ssl.keystore.key",
    "ssl.keystore.certificate.chain",
];

/// Settings of the library that name a file on the node.
const FILES: [&str; 5] =
    ["ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.location", "ssl.crl.location"];

/// Whether a setting is read here.
pub(super) fn reads(key: &str) -> bool {
    STORES.contains(&key) || key.starts_with(PINOT)
}

/// The settings that the library knows.
pub(super) fn without_ours(config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    config.remove(TRUST_PASSWORD);
    login::remove_ours(&mut config);
    config
}

/// Writes what the settings say of keys and certificates.
pub(super) fn translate(spec: &StreamSpec, config: &mut ClientConfig) -> Result<(), StreamError> {
    let setting = |key: &str| spec.settings.get(key).map(String::as_str);
    for (key, value) in spec.settings.iter().filter(|(key, _)| key.ends_with("store.type") && reads(key)) {
        if !["PEM", "PKCS12", "JKS"].iter().any(|known| value.trim().eq_ignore_ascii_case(known)) {
            return Err(wrong(spec, key, &format!("{value:?} cannot be read: PEM and PKCS12 can")));
        }
    }
    if let Some(kind) = setting(CERTIFICATE_TYPE).filter(|kind| !["X.509", "X509"].contains(&kind.trim())) {
        return Err(wrong(spec, CERTIFICATE_TYPE, &format!("{kind:?} cannot be read: X.509 can")));
    }
    trust(spec, config)?;
    client_key(spec, config)?;
    let pinot = setting(SERVER_CERTIFICATE).is_some() || setting(CLIENT_CERTIFICATE).is_some();
    if pinot && setting("security.protocol").is_none() {
        config.set("security.protocol", "SSL");
    }
    Ok(())
}

/// Whom to believe. Pinot writes its certificate into the store that the table names beside it: that store is not read.
fn trust(spec: &StreamSpec, config: &mut ClientConfig) -> Result<(), StreamError> {
    let setting = |key: &str| spec.settings.get(key).map(String::as_str);
    if let Some(text) = setting(SERVER_CERTIFICATE) {
        config.set("ssl.ca.pem", of_base64(spec, SERVER_CERTIFICATE, text, "CERTIFICATE")?);
        config.remove(TRUST_PASSWORD);
        return Ok(());
    }
    match (setting("ssl.truststore.certificates"), setting("ssl.truststore.location")) {
        (Some(_), Some(_)) => {
            let reason = "is given beside ssl.truststore.certificates: remove one of them";
            return Err(wrong(spec, "ssl.truststore.location", reason));
        }
        (Some(text), None) => {
            config.set("ssl.ca.pem", pem(spec, "ssl.truststore.certificates", text, "CERTIFICATE")?);
        }
        (None, Some(path)) => drop(config.set("ssl.ca.location", path)),
        (None, None) => {}
    }
    Ok(())
}

/// Who we are.
fn client_key(spec: &StreamSpec, config: &mut ClientConfig) -> Result<(), StreamError> {
    let setting = |key: &str| spec.settings.get(key).map(String::as_str);
    let both = |one: &'static str, other: &'static str| match (setting(one), setting(other)) {
        (Some(one), Some(other)) => Ok(Some((one, other))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(wrong(spec, other, &format!("it is missing beside {one}"))),
        (None, Some(_)) => Err(wrong(spec, one, &format!("it is missing beside {other}"))),
    };
    if let Some((certificate, key)) = both(CLIENT_CERTIFICATE, CLIENT_KEY)? {
        config.set("ssl.certificate.pem", of_base64(spec, CLIENT_CERTIFICATE, certificate, "CERTIFICATE")?);
        config.set("ssl.key.pem", of_base64(spec, CLIENT_KEY, key, "PRIVATE KEY")?);
        // They are the store's that Pinot writes.
        config.remove("ssl.key.password").remove("ssl.keystore.password");
        return Ok(());
    }
    let (chain, key) = ("ssl.keystore.certificate.chain", "ssl.keystore.key");
    match (both(chain, key)?, setting("ssl.keystore.location")) {
        (Some(_), Some(_)) => {
            return Err(wrong(spec, "ssl.keystore.location", &format!("is given beside {key}: remove one of them")));
        }
        (Some((certificates, text)), None) => {
            config.set("ssl.certificate.pem", pem(spec, chain, certificates, "CERTIFICATE")?);
            config.set("ssl.key.pem", pem(spec, key, text, "PRIVATE KEY")?);
        }
        (None, Some(path)) => drop(config.set("ssl.keystore.location", path)),
        (None, None) => {}
    }
    Ok(())
}

/// A PEM text that holds what is asked for, on lines as the library wants them: in a config the line breaks are often
/// lost or written as `\n`.
fn pem(spec: &StreamSpec, key: &str, text: &str, what: &str) -> Result<String, StreamError> {
    let text = text.replace("\\n", "\n").replace('\r', "");
    let is_there = text.lines().any(|line| line.contains("-----BEGIN ") && line.contains(what));
    if !is_there {
        let reason = format!("it holds no -----BEGIN {what}-----: give the PEM text, or name a file with *.location");
        return Err(wrong(spec, key, &reason));
    }
    let (mut written, mut rest) = (String::new(), &*text);
    while let Some((_, from)) = rest.split_once("-----BEGIN ") {
        let block = from.split_once("-----").and_then(|(label, from)| {
            let (body, after) = from.split_once("-----END ")?;
            let (_, after) = after.split_once("-----")?;
            Some((label, body, after))
        });
        let Some((label, body, after)) = block else {
            return Err(wrong(spec, key, "a block of it has no -----END ..-----: give the whole text"));
        };
        let lines = if body.trim().contains('\n') { body.trim().to_owned() } else { in_lines(body) };
        written.push_str(&format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"));
        rest = after;
    }
    Ok(written)
}

/// Base64 on lines of 64 letters.
fn in_lines(text: &str) -> String {
    let letters: Vec<char> = text.chars().filter(|letter| !letter.is_whitespace()).collect();
    letters.chunks(64).map(|line| line.iter().collect::<String>()).collect::<Vec<_>>().join("\n")
}

/// Base64 of a certificate or a key, as Pinot keeps it: of its bytes, or of its PEM text.
fn of_base64(spec: &StreamSpec, key: &str, text: &str, what: &str) -> Result<String, StreamError> {
    let plain: String = text.split_whitespace().collect();
    let Ok(bytes) = STANDARD.decode(plain) else {
        return Err(wrong(spec, key, &format!("it is not base64: give base64 of the {what} (X.509, PKCS#8)")));
    };
    match String::from_utf8(bytes) {
        Ok(text) if text.contains("-----BEGIN ") => pem(spec, key, &text, what),
        Ok(_) => Err(wrong(spec, key, &format!("what it holds in base64 is no {what}"))),
        Err(bytes) if bytes.as_bytes().first() == Some(&0x30) => {
            let lines = in_lines(&STANDARD.encode(bytes.as_bytes()));
            Ok(format!("-----BEGIN {what}-----\n{lines}\n-----END {what}-----\n"))
        }
        Err(_) => Err(wrong(spec, key, &format!("what it holds in base64 is no {what}"))),
    }
}

/// The settings with the stores that they name as the library reads them. Waits for the disk.
pub(super) fn load(config: &ClientConfig, topic: &str) -> Result<ClientConfig, StreamError> {
    let mut loaded = without_ours(config);
    for key in FILES {
        let Some(path) = config.get(key) else { continue };
        // A directory of certificates is the library's to read.
        if std::path::Path::new(path).is_dir() || (key == "ssl.ca.location" && path == "probe") {
            continue;
        }
        let shown = java_name(key);
        let bytes = outside::small_file(path).map_err(|why| StreamError::SecretMissing {
            topic: topic.to_owned(),
            key: shown.to_owned(),
            reason: format!(
                "the file {path}, which cannot be read on this node ({why}): put it there, readable for it"
            ),
        })?;
        let refuse = |reason: String| StreamError::Setting { topic: topic.to_owned(), key: shown.to_owned(), reason };
        match (key, Kind::of(&bytes)) {
            ("ssl.ca.location", Kind::Pkcs12) => {
                let password = config.get(TRUST_PASSWORD).unwrap_or_default();
                let found = certificates(&bytes, password).map_err(|why| refuse(format!("the store {path} {why}")))?;
                loaded.remove(key).set("ssl.ca.pem", found);
            }
            // One file holds the key and the certificate.
            ("ssl.keystore.location", Kind::Pem) => {
                loaded.remove(key).remove("ssl.keystore.password");
                loaded.set("ssl.certificate.location", path).set("ssl.key.location", path);
            }
            (_, Kind::Jks) => {
                return Err(refuse(format!(
                    "{path} is a JKS store, which only Java reads: make it PKCS12 with keytool -importkeystore \
                     -srckeystore {path} -destkeystore {path}.p12 -deststoretype PKCS12, and name that one"
                )));
            }
            ("ssl.keystore.location", Kind::Other) => {
                return Err(refuse(format!("{path} is neither a PKCS12 store nor PEM")));
            }
            ("ssl.ca.location", Kind::Other) => {
                return Err(refuse(format!("{path} holds no certificate: neither PEM nor a PKCS12 store")));
            }
            _ => {}
        }
    }
    Ok(loaded)
}

/// The key that a table is likely to use for a setting of the library's.
pub(super) fn java_name(key: &str) -> &str {
    match key {
        "ssl.ca.location" => "ssl.truststore.location",
        "ssl.ca.pem" => "ssl.truststore.certificates",
        "ssl.certificate.pem" => "ssl.keystore.certificate.chain",
        "ssl.key.pem" => "ssl.keystore.key",
        key => key,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pem,
    Pkcs12,
    Jks,
    Other,
}

impl Kind {
    /// By the bytes that files of a kind begin with; PEM may have text before its first block.
    fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0xfe, 0xed, 0xfe, 0xed, ..] | [0xce, 0xce, 0xce, 0xce, ..] => Self::Jks,
            [0x30, ..] => Self::Pkcs12,
            _ if bytes.windows(11).any(|window| window == b"-----BEGIN ") => Self::Pem,
            _ => Self::Other,
        }
    }
}

/// The certificates of a PKCS12 store as PEM, or what is wrong.
fn certificates(bytes: &[u8], password: &str) -> Result<String, String> {
    let store = Pkcs12::from_der(bytes).map_err(|_| "is no PKCS12 store")?;
    let parsed = store.parse2(password).map_err(|_| {
        format!("is not opened by {TRUST_PASSWORD}: correct that; or its encryption is too old, then write it anew")
    })?;
    let mut found = String::new();
    for certificate in parsed.ca.iter().flatten().chain(parsed.cert.as_deref()) {
        let pem =
            certificate.to_pem().map_err(|error| format!("holds a certificate that cannot be written: {error}"))?;
        found.push_str(&String::from_utf8_lossy(&pem));
    }
    if found.is_empty() { Err("holds no certificate".into()) } else { Ok(found) }
}
