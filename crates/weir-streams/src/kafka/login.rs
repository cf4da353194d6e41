//! How a client logs in: Java's login module and mechanism become the library's user, password or token settings.

use super::{jaas, jaas::Jaas, settings::wrong};
use crate::{
    contract::StreamError,
    tokens::{Authority, Client},
};
use rdkafka::ClientConfig;
use weir_types::StreamSpec;

const JAAS: &str = "sasl.jaas.config";
const MECHANISM: &str = "sasl.mechanism";
const ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";
const CLIENT_ID: &str = "sasl.oauthbearer.client.id";
const CLIENT_SECRET: &str = "sasl.oauthbearer.client.secret";
const SCOPE: &str = "sasl.oauthbearer.scope";
/// Settings of tokens that are asked for by us: the library is built without what it needs for that.
const ASKED: [&str; 5] = [ENDPOINT, CLIENT_ID, CLIENT_SECRET, SCOPE, "sasl.oauthbearer.method"];
/// Newer names of Java's client.
const NEWER: [(&str, &str); 2] = [
    ("sasl.oauthbearer.client.credentials.client.id", CLIENT_ID),
    ("sasl.oauthbearer.client.credentials.client.secret", CLIENT_SECRET),
];
/// Before Kafka 4.1 a mechanism is always one: these are the ones that can be had here.
const MECHANISMS: &str = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER";

/// Whether a setting is read here.
pub(super) fn reads(key: &str) -> bool {
    key == JAAS
}

/// Takes out of a client's settings what the library does not know.
pub(super) fn remove_ours(config: &mut ClientConfig) {
    for key in ASKED {
        config.remove(key);
    }
}

/// Who asks an authority for tokens, where the settings say so.
pub(super) fn asks(config: &ClientConfig) -> Option<Client> {
    let text = |key: &str| config.get(key).map(str::to_owned);
    Some(Client {
        authority: Authority::Endpoint(text(ENDPOINT)?),
        id: text(CLIENT_ID)?,
        secret: text(CLIENT_SECRET)?,
        audience: None,
        scope: text(SCOPE),
    })
}

/// Writes what the settings say of logging in.
pub(super) fn translate(spec: &StreamSpec, config: &mut ClientConfig) -> Result<(), StreamError> {
    if let Some(text) = spec.settings.get(JAAS) {
        let jaas = jaas::parse(text).map_err(|reason| wrong(spec, JAAS, &reason))?;
        match &*jaas.module {
            "PlainLoginModule" => with_password(spec, &jaas, &["PLAIN"], config)?,
            "ScramLoginModule" => with_password(spec, &jaas, &["SCRAM-SHA-256", "SCRAM-SHA-512"], config)?,
            "OAuthBearerLoginModule" => with_token(spec, &jaas, config)?,
            "Krb5LoginModule" => return Err(no_kerberos(spec, JAAS)),
            "IAMLoginModule" => {
                let reason = "IAMLoginModule signs with Amazon's keys, which is not built in: use SCRAM-SHA-512 (port \
                              9096 of MSK) or client certificates (port 9094)";
                return Err(wrong(spec, JAAS, reason));
            }
            other => {
                let reason = format!(
                    "login module {other} is not known: PlainLoginModule, ScramLoginModule and OAuthBearerLoginModule are"
                );
                return Err(wrong(spec, JAAS, &reason));
            }
        }
    }
    let mechanism = config.get("sasl.mechanisms").map(str::to_ascii_uppercase);
    let protocol = config.get("security.protocol").unwrap_or("PLAINTEXT").to_ascii_uppercase();
    let uses_sasl = protocol.starts_with("SASL_");
    match mechanism.as_deref() {
        _ if !uses_sasl => {}
        Some("GSSAPI") => return Err(no_kerberos(spec, MECHANISM)),
        None => {
            let reason =
                format!("it is missing, and security.protocol {protocol} asks for it: {MECHANISMS} can be had");
            return Err(wrong(spec, MECHANISM, &reason));
        }
        Some("PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512") => {
            for key in ["sasl.username", "sasl.password"] {
                if config.get(key).is_none() {
                    let reason =
                        format!("it is missing: {MECHANISM} asks for a user and a password, here or in {JAAS}");
                    return Err(wrong(spec, key, &reason));
                }
            }
        }
        Some("OAUTHBEARER") => has_token(spec, config)?,
        Some(other) => {
            return Err(wrong(spec, MECHANISM, &format!("{other:?} is not known: {MECHANISMS} can be had")));
        }
    }
    Ok(())
}

fn no_kerberos(spec: &StreamSpec, key: &str) -> StreamError {
    wrong(spec, key, &format!("Kerberos (GSSAPI) is not built in: {MECHANISMS} can be had"))
}

/// Says the mechanism, which must fit the login module; where the table says none it is the only one that fits.
fn mechanism(spec: &StreamSpec, fit: &[&str], config: &mut ClientConfig) -> Result<(), StreamError> {
    match (spec.settings.get(MECHANISM).or_else(|| spec.settings.get("sasl.mechanisms")), fit) {
        (None, [only]) => drop(config.set("sasl.mechanisms", *only)),
        (None, _) => return Err(wrong(spec, MECHANISM, &format!("it is missing: say {}", fit.join(" or ")))),
        (Some(said), _) if fit.iter().any(|fit| said.trim().eq_ignore_ascii_case(fit)) => {
            config.set("sasl.mechanisms", said.trim().to_ascii_uppercase());
        }
        (Some(said), _) => {
            let reason = format!("{said:?} does not fit the login module of {JAAS}, which is for {}", fit.join(" or "));
            return Err(wrong(spec, MECHANISM, &reason));
        }
    }
    Ok(())
}

/// `PlainLoginModule required username="u" password="p";`
fn with_password(spec: &StreamSpec, jaas: &Jaas, fit: &[&str], config: &mut ClientConfig) -> Result<(), StreamError> {
    mechanism(spec, fit, config)?;
    if jaas.option("tokenauth").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err(wrong(spec, JAAS, "delegation tokens (tokenauth) cannot be used: give a user and a password"));
    }
    for (option, key) in [("username", "sasl.username"), ("password", "sasl.password")] {
        let Some(value) = jaas.option(option) else {
            return Err(wrong(spec, JAAS, &format!("it holds no {option}=\"..\"")));
        };
        config.set(key, value);
    }
    Ok(())
}

/// `OAuthBearerLoginModule required ..;`: a token from an authority, or one that is made here and signed by nobody.
fn with_token(spec: &StreamSpec, jaas: &Jaas, config: &mut ClientConfig) -> Result<(), StreamError> {
    mechanism(spec, &["OAUTHBEARER"], config)?;
    if spec.settings.contains_key(ENDPOINT) {
        for (option, key) in [("clientId", CLIENT_ID), ("clientSecret", CLIENT_SECRET), ("scope", SCOPE)] {
            if let Some(value) = jaas.option(option) {
                config.set(key, value);
            }
        }
        if let Some((name, _)) = jaas.options("extension_").next() {
            return Err(wrong(spec, JAAS, &format!("option extension_{name} cannot be sent: remove it")));
        }
        return Ok(());
    }
    let claim = jaas.option("unsecuredLoginPrincipalClaimName").unwrap_or("sub");
    let scope = jaas.option("unsecuredLoginScopeClaimName").unwrap_or("scope");
    let mut said = vec![];
    for (name, value) in jaas.options("unsecuredLogin") {
        match name.split_once('_') {
            Some(("StringClaim", name)) if name == claim => said.push(("principal".to_owned(), value)),
            Some(("StringClaim" | "ListClaim", name)) if name == scope => {
                said.push(("scope".to_owned(), value.trim_start_matches(',')));
            }
            Some(("Extension", name)) => said.push((format!("extension_{name}"), value)),
            None if name == "PrincipalClaimName" => said.push(("principalClaimName".to_owned(), value)),
            None if name == "ScopeClaimName" => said.push(("scopeClaimName".to_owned(), value)),
            None if name == "LifetimeSeconds" => said.push(("lifeSeconds".to_owned(), value)),
            _ => {
                let reason = format!("option unsecuredLogin{name} cannot be used: remove it");
                return Err(wrong(spec, JAAS, &reason));
            }
        }
    }
    if said.iter().all(|(name, _)| name != "principal") {
        let reason = format!(
            "it says neither who logs in (unsecuredLoginStringClaim_{claim}=\"..\", for tests) nor, with clientId and \
             clientSecret and {ENDPOINT} beside it, who gives tokens"
        );
        return Err(wrong(spec, JAAS, &reason));
    }
    if let Some((name, _)) = said.iter().find(|(_, value)| value.contains(char::is_whitespace)) {
        return Err(wrong(spec, JAAS, &format!("the value for {name} must not hold spaces")));
    }
    let said: Vec<String> = said.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    config.set("enable.sasl.oauthbearer.unsecure.jwt", "true").set("sasl.oauthbearer.config", said.join(" "));
    Ok(())
}

/// Whether there is something to make a token of.
fn has_token(spec: &StreamSpec, config: &mut ClientConfig) -> Result<(), StreamError> {
    if config.get("enable.sasl.oauthbearer.unsecure.jwt").is_some_and(|on| on.eq_ignore_ascii_case("true")) {
        return Ok(());
    }
    for (newer, key) in NEWER {
        if let Some(value) = spec.settings.get(newer) {
            config.remove(newer).set(key, value);
        }
    }
    let Some(url) = config.get(ENDPOINT) else {
        let reason = format!(
            "it is missing: {MECHANISM} OAUTHBEARER gets its tokens there, with {CLIENT_ID} and {CLIENT_SECRET}; for tests \
             {JAAS} may say who logs in"
        );
        return Err(wrong(spec, ENDPOINT, &reason));
    };
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(wrong(spec, ENDPOINT, "it must be a URL, as in https://auth.example.com/token"));
    }
    for (key, option) in [(CLIENT_ID, "clientId"), (CLIENT_SECRET, "clientSecret")] {
        if config.get(key).is_none() {
            return Err(wrong(spec, key, &format!("it is missing: give it here, or as {option} in {JAAS}")));
        }
    }
    Ok(())
}
