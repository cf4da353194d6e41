//! The settings of a registry, under the names that Confluent's clients and Pinot give them.

use crate::error::FormatError;
use std::collections::BTreeMap;
use weir_types::secret;

/// What Pinot puts in front of the client's own names.
const PREFIX: &str = "schema.registry.";

/// Settings that are known here, without the stream's prefix.
pub const KEYS: &[&str] = &[
    "cached.schema.map.capacity",
    "schema.registry.rest.url",
    "schema.registry.schema.name",
    "schema.registry.basic.auth.credentials.source",
    "schema.registry.basic.auth.user.info",
    "schema.registry.schema.registry.basic.auth.user.info",
    "schema.registry.bearer.auth.credentials.source",
    "schema.registry.bearer.auth.token",
    "schema.registry.bearer.auth.issuer.endpoint.url",
    "schema.registry.bearer.auth.client.id",
    "schema.registry.bearer.auth.client.secret",
    "schema.registry.bearer.auth.scope",
    "schema.registry.bearer.auth.logical.cluster",
    "schema.registry.bearer.auth.identity.pool.id",
    "schema.registry.ssl.truststore.location",
    "schema.registry.ssl.truststore.type",
    "schema.registry.ssl.truststore.certificates",
    "schema.registry.ssl.keystore.location",
    "schema.registry.ssl.keystore.type",
    "schema.registry.ssl.keystore.certificate.chain",
    "schema.registry.ssl.keystore.key",
    "schema.registry.ssl.endpoint.identification.algorithm",
];

/// Schemas that are kept where nothing is said, as Pinot's decoders keep.
const DEFAULT_CAPACITY: usize = 1000;

/// How a client says who it is. What is inside may refer to secrets that are kept elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Login {
    /// As the URL says, if it does.
    InUrl,
    /// User and password.
    Basic,
    /// A token.
    Token,
    /// A token that an OAuth server gives for a client's id and secret.
    OAuth,
}

/// What was asked for, with secrets as they were given.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Settings {
    pub(super) urls: Vec<String>,
    pub(super) login: Login,
    pub(super) capacity: usize,
    /// Where it is asked by hash: the schema's name.
    pub(super) hashed: Option<String>,
    /// The client's own, without the prefix.
    pub(super) client: BTreeMap<String, String>,
}

fn refuse(key: &str, value: &str, reason: impl Into<String>) -> FormatError {
    FormatError::Setting { key: key.to_owned(), value: secret::shown(key, value), reason: reason.into() }
}

impl Settings {
    pub(super) fn read(given: &BTreeMap<String, String>, topic: &str, hashed: bool) -> Result<Self, FormatError> {
        let url_key = "schema.registry.rest.url";
        let text = given.get(url_key).map_or("", |text| text.trim());
        let urls: Vec<String> = text
            .split(',')
            .map(|url| url.trim().trim_end_matches('/').to_owned())
            .filter(|url| !url.is_empty())
            .collect();
        if urls.is_empty() {
            return Err(refuse(url_key, text, "it must name the schema registry, as http://host:8081"));
        }
        for url in &urls {
            let references = secret::has_references(url);
            let scheme = ["http://", "https://"].iter().any(|scheme| url.to_ascii_lowercase().starts_with(scheme));
            if !references && (!scheme || reqwest::Url::parse(url).is_err()) {
                return Err(refuse(url_key, text, "it must be URLs such as http://host:8081, separated by commas"));
            }
        }
        let mut client: BTreeMap<String, String> = given
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?.to_owned(), value.clone())))
            .filter(|(key, _)| key != "rest.url" && key != "schema.name")
            .collect();
        // Both spellings are seen: the client's own name begins as Pinot's prefix does.
        if let Some(user) = client.remove("schema.registry.basic.auth.user.info") {
            client.entry("basic.auth.user.info".to_owned()).or_insert(user);
        }
        for (key, value) in &client {
            secret::pieces(value).map_err(|error| {
                // What looks like a reference may be part of a secret.
                refuse(&format!("{PREFIX}{key}"), value, format!("a reference in it {}", error.reason))
            })?;
        }
        let capacity_key = "cached.schema.map.capacity";
        let capacity = match given.get(capacity_key) {
            None => DEFAULT_CAPACITY,
            Some(text) => text
                .trim()
                .parse()
                .ok()
                .filter(|capacity| *capacity > 0)
                .ok_or_else(|| refuse(capacity_key, text, "it must be how many schemas are kept, as 1000"))?,
        };
        check_tls(&client)?;
        let login = login(&client)?;
        let name = given.get("schema.registry.schema.name").map_or(topic, |name| name.trim());
        Ok(Self { urls, login, capacity, hashed: hashed.then(|| name.to_owned()), client })
    }
}

fn login(client: &BTreeMap<String, String>) -> Result<Login, FormatError> {
    let needs = |key: &str, login: Login| match client.get(key) {
        Some(value) if !value.trim().is_empty() => Ok(login),
        value => {
            Err(refuse(&format!("{PREFIX}{key}"), value.map_or("", |v| v), "it must be given for this kind of login"))
        }
    };
    let bearer = "bearer.auth.credentials.source";
    match client.get(bearer).map(|source| source.trim().to_ascii_uppercase()).as_deref() {
        None | Some("") => {}
        Some("STATIC_TOKEN") => return needs("bearer.auth.token", Login::Token),
        Some("OAUTHBEARER") => {
            needs("bearer.auth.issuer.endpoint.url", Login::OAuth)?;
            needs("bearer.auth.client.id", Login::OAuth)?;
            return needs("bearer.auth.client.secret", Login::OAuth);
        }
        Some(_) => {
            let value = &client[bearer];
            let reason =
                "STATIC_TOKEN and OAUTHBEARER are known: the stream's own login is not looked at, give the registry's";
            return Err(refuse(&format!("{PREFIX}{bearer}"), value, reason));
        }
    }
    let basic = "basic.auth.credentials.source";
    match client.get(basic).map(|source| source.trim().to_ascii_uppercase()).as_deref() {
        Some("USER_INFO") => needs("basic.auth.user.info", Login::Basic),
        // Pinot's users give the user alone and expect it to be used.
        None | Some("") if client.contains_key("basic.auth.user.info") => Ok(Login::Basic),
        None | Some("" | "URL") => Ok(Login::InUrl),
        Some(_) => {
            let value = &client[basic];
            let reason = "USER_INFO and URL are known: the stream's own login is not looked at, give the registry's in \
                          schema.registry.basic.auth.user.info";
            Err(refuse(&format!("{PREFIX}{basic}"), value, reason))
        }
    }
}

fn check_tls(client: &BTreeMap<String, String>) -> Result<(), FormatError> {
    for key in ["ssl.truststore.type", "ssl.keystore.type"] {
        if let Some(value) = client.get(key)
            && !value.trim().eq_ignore_ascii_case("PEM")
        {
            return Err(refuse(&format!("{PREFIX}{key}"), value, STORE));
        }
    }
    for key in ["ssl.truststore.location", "ssl.keystore.location"] {
        if let Some(value) = client.get(key)
            && [".jks", ".p12", ".pfx", ".keystore", ".truststore"]
                .iter()
                .any(|end| value.to_ascii_lowercase().ends_with(end))
        {
            return Err(refuse(&format!("{PREFIX}{key}"), value, STORE));
        }
    }
    match client.get("ssl.endpoint.identification.algorithm") {
        Some(value) if !value.trim().eq_ignore_ascii_case("https") => {
            let key = "schema.registry.ssl.endpoint.identification.algorithm";
            Err(refuse(key, value, "the name in the registry's certificate is always checked: remove the key"))
        }
        _ => Ok(()),
    }
}

const STORE: &str = "certificates are read as PEM here: for a trust store run keytool -exportcert -rfc, for a key store openssl \
                     pkcs12 -nodes, name the files and set the type to PEM";
