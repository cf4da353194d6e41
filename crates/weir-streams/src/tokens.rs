//! Tokens of an authority, for a client's own name and secret (OAuth 2, client credentials).
//!
//! What errors say is the authority's status and its short word for what is wrong, never what was sent or given.

use serde_json::Value as Json;
use std::time::Duration;

/// How long the authority may take to answer.
const ASK: Duration = Duration::from_secs(5);
/// A token whose life is not told is asked for anew after this.
const LIFE: Duration = Duration::from_secs(300);

/// Where tokens are given.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Authority {
    /// Here.
    #[cfg(feature = "kafka")]
    Endpoint(String),
    /// Where this issuer says.
    #[cfg(feature = "pulsar")]
    Issuer(String),
}

/// Who asks, and for what.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) authority: Authority,
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) audience: Option<String>,
    pub(crate) scope: Option<String>,
}

impl Client {
    /// A token and how long it lives.
    pub(crate) async fn token(&self) -> Result<(String, Duration), String> {
        let client = reqwest::Client::builder().timeout(ASK).build().map_err(|error| error.to_string())?;
        let endpoint = match &self.authority {
            #[cfg(feature = "kafka")]
            Authority::Endpoint(url) => url.clone(),
            #[cfg(feature = "pulsar")]
            Authority::Issuer(issuer) => {
                let discovery = format!("{issuer}/.well-known/openid-configuration");
                let found = answer(&discovery, client.get(&discovery)).await?;
                let none = || format!("{discovery} names no token_endpoint");
                found["token_endpoint"].as_str().ok_or_else(none)?.to_owned()
            }
        };
        let mut form =
            vec![("grant_type", "client_credentials"), ("client_id", &self.id), ("client_secret", &self.secret)];
        form.extend(self.audience.as_deref().map(|audience| ("audience", audience)));
        form.extend(self.scope.as_deref().map(|scope| ("scope", scope)));
        let form: Vec<String> = form.into_iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let asked =
            client.post(&endpoint).header("content-type", "application/x-www-form-urlencoded").body(form.join("&"));
        let given = answer(&endpoint, asked).await?;
        let token = given["access_token"].as_str().ok_or_else(|| format!("{endpoint} gives no access_token"))?;
        Ok((token.to_owned(), given["expires_in"].as_u64().map_or(LIFE, Duration::from_secs)))
    }
}

/// The JSON that is answered, or the status with the authority's word.
async fn answer(url: &str, asked: reqwest::RequestBuilder) -> Result<Json, String> {
    let unreachable = |error: reqwest::Error| {
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        format!("{url} does not answer: {cause}")
    };
    let answer = asked.send().await.map_err(unreachable)?;
    let status = answer.status();
    let text = answer.text().await.map_err(unreachable)?;
    let json: Json = serde_json::from_str(&text).unwrap_or(Json::Null);
    if status.is_success() && json.is_object() {
        return Ok(json);
    }
    let word = json["error"].as_str().filter(|word| word.len() < 60).unwrap_or("no word of what is wrong");
    Err(format!("{url} answers {} ({word})", status.as_u16()))
}

/// As the value of a form.
fn encoded(text: &str) -> String {
    let letter = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(letter).collect()
}
