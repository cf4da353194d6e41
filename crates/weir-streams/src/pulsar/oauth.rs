//! Logging in with tokens of an authority. A token is kept until most of its life is over.

use super::settings::OAuth;
use crate::tokens::{Authority, Client};
use async_trait::async_trait;
use pulsar::{authentication::Authentication, error::AuthenticationError};
use serde_json::Value as Json;
use std::time::Duration;
use tokio::time::Instant;
use weir_base::outside;

/// The part of its life after which a token is replaced.
const USED: f64 = 0.8;

/// Logs in with tokens.
pub(super) struct Login {
    oauth: OAuth,
    token: Option<(String, Instant)>,
}

impl Login {
    pub(super) fn new(oauth: OAuth) -> Self {
        Self { oauth, token: None }
    }

    /// A token of its own, for one who asks why logging in fails.
    pub(super) async fn token(&self) -> Result<String, String> {
        Ok(self.fetch().await?.0)
    }

    async fn fetch(&self) -> Result<(String, Duration), String> {
        let OAuth { issuer, credentials, audience, scope } = &self.oauth;
        let text = outside::text_file(credentials).map_err(|why| {
            format!("the file {credentials} of credsFilePath cannot be read on this node ({why}): put it there")
        })?;
        let file: Json = serde_json::from_str(&text).map_err(|_| format!("the file {credentials} is not JSON"))?;
        let part = |name: &str| {
            let none = || format!("the file {credentials} has no {name}: it must hold client_id and client_secret");
            file[name].as_str().map(str::to_owned).ok_or_else(none)
        };
        let client = Client {
            authority: Authority::Issuer(issuer.clone()),
            id: part("client_id")?,
            secret: part("client_secret")?,
            audience: audience.clone(),
            scope: scope.clone(),
        };
        client.token().await
    }
}

#[async_trait]
impl Authentication for Login {
    fn auth_method_name(&self) -> String {
        "token".into()
    }

    async fn initialize(&mut self) -> Result<(), AuthenticationError> {
        self.auth_data().await.map(drop)
    }

    async fn auth_data(&mut self) -> Result<Vec<u8>, AuthenticationError> {
        if let Some((token, until)) = &self.token
            && Instant::now() < *until
        {
            return Ok(token.clone().into_bytes());
        }
        let (token, life) = self.fetch().await.map_err(AuthenticationError::Custom)?;
        self.token = Some((token.clone(), Instant::now() + life.mul_f64(USED)));
        Ok(token.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    /// An authority that knows one client. What it was asked is kept.
    async fn authority() -> (String, Arc<parking_lot::Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, own) = (Arc::new(parking_lot::Mutex::new(vec![])), url.clone());
        let kept = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut text = String::new();
                let mut buffer = [0; 4096];
                // Requests of the test come whole, head and form in at most two pieces.
                while !(text.starts_with("GET") && text.contains("\r\n\r\n") || text.contains("client_secret=")) {
                    let read = stream.read(&mut buffer).await.unwrap();
                    text.push_str(&String::from_utf8_lossy(&buffer[..read]));
                }
                let (status, body) = if text.starts_with("GET") {
                    (200, format!("{{\"token_endpoint\":\"{own}/token\"}}"))
                } else if text.contains("client_secret=hunter2%26") {
                    (200, "{\"access_token\":\"t0ken\",\"expires_in\":100}".to_owned())
                } else {
                    (401, "{\"error\":\"invalid_client\",\"echo\":\"hunter3\"}".to_owned())
                };
                kept.lock().push(text);
                let head =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await.unwrap();
            }
        });
        (url, asked)
    }

    fn login(issuer: &str, credentials: &std::path::Path) -> Login {
        Login::new(OAuth {
            issuer: issuer.to_owned(),
            credentials: credentials.display().to_string(),
            audience: Some("urn:a b".into()),
            scope: None,
        })
    }

    #[tokio::test]
    async fn a_token_is_asked_for_once_and_kept() {
        let (url, asked) = authority().await;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("creds.json");
        std::fs::write(&file, r#"{"type":"client_credentials","client_id":"me","client_secret":"hunter2&"}"#).unwrap();
        let mut login = login(&url, &file);
        for _ in 0..3 {
            assert_eq!(login.auth_data().await.unwrap(), b"t0ken");
        }
        let asked = asked.lock();
        assert_eq!(asked.len(), 2, "where tokens are given, and one");
        assert!(
            asked[1]
                .contains("grant_type=client_credentials&client_id=me&client_secret=hunter2%26&audience=urn%3Aa%20b")
        );
    }

    #[tokio::test]
    async fn what_is_wrong_is_said_without_the_secret() {
        let (url, _) = authority().await;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("creds.json");
        let mut said = vec![login(&url, &file).auth_data().await.unwrap_err().to_string()];
        for text in ["hunter3", "{\"client_id\":\"hunter3\"}", "{\"client_id\":\"me\",\"client_secret\":\"hunter3\"}"] {
            std::fs::write(&file, text).unwrap();
            said.push(login(&url, &file).auth_data().await.unwrap_err().to_string());
        }
        said.push(login("http://127.0.0.1:1", &file).auth_data().await.unwrap_err().to_string());
        let expected =
            ["put it there", "is not JSON", "has no client_secret", "401 (invalid_client)", "does not answer"];
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.contains(expected) && !said.contains("hunter3"), "{said}");
        }
    }
}
