//! The registry over HTTP. Secrets are looked up for each request that is made, and taken out of everything that is said.

use super::settings::{Login, Settings};
use parking_lot::Mutex;
use reqwest::{Certificate, Identity, Url};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};
use weir_base::{SharedClock, SystemClock, outside};
use weir_types::secret::{self, Hiding, Resolved};

/// A host that takes no connection in this time is away.
const CONNECT: Duration = Duration::from_secs(3);
/// A schema is a few kilobytes: a registry that takes longer hangs.
const REQUEST: Duration = Duration::from_secs(5);
/// Most bytes of an answer: schemas of a megabyte are seen, of more they are a mistake.
const MOST_BYTES: usize = 16 << 20;
/// A token is asked for anew this long before it ends.
const TOKEN_MARGIN: Duration = Duration::from_secs(30);
/// How long a token lives that does not say it.
const TOKEN_LIFE_S: u64 = 300;

/// What a registry answers.
pub(super) enum Answer {
    Body(Vec<u8>),
    /// It says that it has no such thing.
    Missing,
}

/// A client that is made when it is needed, and anew when a secret has changed.
pub(super) struct Client {
    settings: Settings,
    clock: SharedClock,
    made: Mutex<Option<Arc<Made>>>,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.settings.urls.iter().map(|url| secret::shown("rest.url", url)).collect();
        f.write_str(&shown.join(", "))
    }
}

struct Made {
    /// What secrets were looked up for it.
    looked_up: BTreeMap<String, String>,
    urls: Vec<Url>,
    http: reqwest::Client,
    hiding: Hiding,
    token: Mutex<Option<(String, Duration)>>,
}

/// Why one URL gave no answer.
struct Failed(String);

#[derive(Deserialize)]
struct ErrorBody {
    error_code: Option<i64>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_in: Option<u64>,
}

impl Client {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, clock: SystemClock::shared(), made: Mutex::new(None) }
    }

    /// The name of the schema that is asked for where a hash is not known.
    pub(super) fn subject(&self) -> &str {
        self.settings.hashed.as_deref().unwrap_or_default()
    }

    /// Asks for what is at a path below the registry's URL; the first URL that answers counts.
    pub(super) async fn get(&self, path: &[&str]) -> Result<Answer, String> {
        let made = self.made().map_err(|why| format!("schema registry {self}: {why}"))?;
        let mut failed = vec![];
        for url in &made.urls {
            match self.ask(&made, url, path).await {
                Ok(answer) => return Ok(answer),
                Err(Failed(why)) => {
                    let shown = secret::shown("rest.url", url.as_str().trim_end_matches('/'));
                    failed.push(made.hiding.hide(&format!("schema registry {shown}: {why}")));
                }
            }
        }
        Err(failed.join("; "))
    }

    fn made(&self) -> Result<Arc<Made>, String> {
        let (mut looked_up, mut hiding) = (BTreeMap::new(), Hiding::default());
        let mut all: Vec<(String, &String)> =
            self.settings.client.iter().map(|(key, value)| (key.clone(), value)).collect();
        all.extend(self.settings.urls.iter().enumerate().map(|(at, url)| (format!("rest.url.{at}"), url)));
        for (key, value) in all {
            let resolved =
                secret::resolve(value, outside::variable, outside::text_file).map_err(|error| error.to_string())?;
            hiding.add(&key, value, &resolved);
            // A server may say the password alone.
            let password = match key.as_str() {
                "basic.auth.user.info" => resolved.text.split_once(':').map(|(_, password)| password.to_owned()),
                key if key.starts_with("rest.url.") => {
                    Url::parse(&resolved.text).ok().and_then(|url| url.password().map(str::to_owned))
                }
                _ => None,
            };
            if let Some(text) = password {
                hiding.add("password", &text, &Resolved { text: text.clone(), looked_up: vec![] });
            }
            looked_up.insert(key, resolved.text);
        }
        let mut slot = self.made.lock();
        if let Some(made) = slot.as_ref().filter(|made| made.looked_up == looked_up) {
            return Ok(made.clone());
        }
        let http = http(&looked_up).map_err(|why| hiding.hide(&why))?;
        let urls = looked_up.iter().filter(|(key, _)| key.starts_with("rest.url."));
        let urls: Result<Vec<Url>, String> = urls
            .map(|(_, url)| Url::parse(url).map_err(|error| hiding.hide(&format!("its URL cannot be read: {error}"))))
            .collect();
        let made = Arc::new(Made { urls: urls?, looked_up, http, hiding, token: Mutex::new(None) });
        Ok(slot.insert(made).clone())
    }

    async fn ask(&self, made: &Made, base: &Url, path: &[&str]) -> Result<Answer, Failed> {
        let mut url = base.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => drop(segments.pop_if_empty().extend(path)),
            Err(()) => return Err(Failed("its URL takes no path".to_owned())),
        }
        let secret = |key: &str| made.looked_up.get(key).map_or("", |value| value.trim());
        let mut request =
            made.http.get(url).header("Accept", "application/vnd.schemaregistry.v1+json, application/json, */*");
        request = match self.settings.login {
            Login::InUrl => request,
            Login::Basic => {
                let (user, password) = secret("basic.auth.user.info").split_once(':').unwrap_or_default();
                request.basic_auth(user, Some(password))
            }
            Login::Token => request.bearer_auth(secret("bearer.auth.token")),
            Login::OAuth => request.bearer_auth(self.token(made).await?),
        };
        for (key, header) in [
            ("bearer.auth.logical.cluster", "target-sr-cluster"),
            ("bearer.auth.identity.pool.id", "Confluent-Identity-Pool-Id"),
        ] {
            if !secret(key).is_empty() {
                request = request.header(header, secret(key));
            }
        }
        let response = request.send().await.map_err(said)?;
        let status = response.status();
        let body = body(response).await?;
        if status.is_success() {
            return Ok(Answer::Body(body));
        }
        let error: Option<ErrorBody> = serde_json::from_slice(&body).ok();
        let code = error.as_ref().and_then(|error| error.error_code);
        match status.as_u16() {
            // A 404 that is not a registry's own is a wrong path or a proxy's: nothing is known of the schema then.
            404 if self.settings.hashed.is_some() || code.is_some_and(|code| (40401..=40403).contains(&code)) => {
                Ok(Answer::Missing)
            }
            404 => Err(Failed("it answers 404 but not as a registry does: check the URL's path".to_owned())),
            401 | 403 => Err(Failed(format!(
                "it refuses the login ({status}): check schema.registry.basic.auth.user.info or the token"
            ))),
            _ => {
                let message = error.and_then(|error| error.message).unwrap_or_default();
                let message: String = message.chars().take(200).collect();
                Err(Failed(if message.is_empty() {
                    format!("it answers {status}")
                } else {
                    format!("it answers {status}: {message}")
                }))
            }
        }
    }

    /// A token of the OAuth server, the one of before while it lives.
    async fn token(&self, made: &Made) -> Result<String, Failed> {
        let now = self.clock.monotonic();
        if let Some((token, _)) = made.token.lock().as_ref().filter(|(_, until)| now < *until) {
            return Ok(token.clone());
        }
        let secret = |key: &str| made.looked_up.get(key).map_or("", |value| value.trim());
        let mut form = format!("grant_type=client_credentials&client_id={}", escaped(secret("bearer.auth.client.id")));
        if !secret("bearer.auth.scope").is_empty() {
            form = format!("{form}&scope={}", escaped(secret("bearer.auth.scope")));
        }
        let request = made
            .http
            .post(secret("bearer.auth.issuer.endpoint.url"))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .basic_auth(secret("bearer.auth.client.id"), Some(secret("bearer.auth.client.secret")))
            .body(form);
        let refused = |Failed(why): Failed| Failed(format!("no token from the OAuth server: {why}"));
        let response = request.send().await.map_err(said).map_err(refused)?;
        let status = response.status();
        let body = body(response).await.map_err(refused)?;
        if !status.is_success() {
            return Err(refused(Failed(format!("it answers {status}: check the client's id and secret"))));
        }
        let token: Token =
            serde_json::from_slice(&body).map_err(|_| refused(Failed("its answer has no access_token".to_owned())))?;
        let life = Duration::from_secs(token.expires_in.unwrap_or(TOKEN_LIFE_S)).saturating_sub(TOKEN_MARGIN);
        *made.token.lock() = Some((token.access_token.clone(), now + life));
        Ok(token.access_token)
    }
}

fn escaped(text: &str) -> String {
    reqwest::Url::parse_with_params("http://x/", [("v", text)])
        .ok()
        .and_then(|url| url.query().and_then(|query| query.strip_prefix("v=")).map(str::to_owned))
        .unwrap_or_default()
}

fn http(settings: &BTreeMap<String, String>) -> Result<reqwest::Client, String> {
    let pem = |inline: &str, location: &str| -> Result<Option<String>, String> {
        if let Some(text) = settings.get(inline).filter(|text| !text.trim().is_empty()) {
            // In one line of a config, breaks are written as \n.
            return Ok(Some(text.replace("\\n", "\n")));
        }
        match settings.get(location).filter(|path| !path.trim().is_empty()) {
            Some(path) => match outside::text_file(path.trim()) {
                Ok(text) => Ok(Some(text)),
                Err(why) => Err(format!("the file {} of {location} cannot be read on this node ({why})", path.trim())),
            },
            None => Ok(None),
        }
    };
    let mut builder = reqwest::Client::builder().connect_timeout(CONNECT).timeout(REQUEST);
    if let Some(text) = pem("ssl.truststore.certificates", "ssl.truststore.location")? {
        let certificates = Certificate::from_pem_bundle(text.as_bytes())
            .ok()
            .filter(|certificates| !certificates.is_empty())
            .ok_or("schema.registry.ssl.truststore holds no certificates in PEM")?;
        for certificate in certificates {
            builder = builder.add_root_certificate(certificate);
        }
    }
    let key = pem("ssl.keystore.key", "")?;
    if let Some(chain) = pem("ssl.keystore.certificate.chain", "ssl.keystore.location")? {
        let both = format!("{chain}\n{}", key.unwrap_or_default());
        let identity = Identity::from_pem(both.as_bytes())
            .map_err(|_| "schema.registry.ssl.keystore holds no certificate with its private key in PEM")?;
        builder = builder.identity(identity);
    }
    builder.build().map_err(|error| format!("its client cannot be made: {}", cause(&error)))
}

async fn body(mut response: reqwest::Response) -> Result<Vec<u8>, Failed> {
    let mut body = vec![];
    while let Some(chunk) = response.chunk().await.map_err(said)? {
        if body.len() + chunk.len() > MOST_BYTES {
            return Err(Failed(format!("its answer has more than {MOST_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn said(error: reqwest::Error) -> Failed {
    let error = error.without_url();
    Failed(if error.is_timeout() { "it does not answer in time".to_owned() } else { cause(&error) })
}

/// What caused an error in the end: what is around it says that a request failed.
fn cause(mut error: &dyn std::error::Error) -> String {
    while let Some(inner) = error.source() {
        error = inner;
    }
    error.to_string()
}
