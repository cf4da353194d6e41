//! A small HTTP client for the command line: asks a node, tells one that is not reachable from one that refuses.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, Uri, body::Incoming, header::CONTENT_TYPE};
use hyper_util::{
    client::legacy::{Client as Hyper, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value as Json;
use std::time::Duration;

/// A request that takes longer than this is given up: the longest that a node lets a request run is far below.
const GIVE_UP: Duration = Duration::from_secs(120);

/// An answer that does not come for so long makes us ask whether the node lives.
const PATIENCE: Duration = Duration::from_secs(5);

/// A node that lives says so from its memory within milliseconds.
const LIVES: Duration = Duration::from_secs(5);

/// A node that tells without end says every second that there is nothing.
const SILENT: Duration = Duration::from_secs(30);

/// A connection takes one way there and back: seconds mean that nobody answers, not even to refuse.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection that waited longer is not used again: a node closes it after 30 s, and a request must not meet that.
const KEPT: Duration = Duration::from_secs(15);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address cannot be one.
    #[error("{url} is not an address: {reason}")]
    Address {
        /// What was given.
        url: String,
        /// Why.
        reason: String,
    },
    /// Nobody answers.
    #[error("{url} is not reachable: {reason}")]
    Unreachable {
        /// Who was asked.
        url: String,
        /// Why.
        reason: String,
    },
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Headers that tests and commands read.
    pub headers: hyper::HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; null where it is none.
    #[must_use]
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or(Json::Null)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the node did what it was asked.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What the node says is wrong.
    #[must_use]
    pub fn error(&self) -> String {
        let json = self.json();
        json["error"].as_str().map_or_else(|| format!("status {}: {}", self.status, self.text()), str::to_owned)
    }
}

/// Asks one base URL, such as `http://127.0.0.1:9000`.
#[derive(Clone)]
pub struct Client {
    base: String,
    give_up: Duration,
    /// After how long it is asked whether it lives, and how long that is waited for.
    doubt: (Duration, Duration),
    hyper: Hyper<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// A client of a base URL; a final slash is cut off, a missing scheme is `http`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let base = base.trim_end_matches('/');
        let base = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        Self {
            base,
            give_up: GIVE_UP,
            doubt: (PATIENCE, LIVES),
            hyper: Hyper::builder(TokioExecutor::new()).pool_idle_timeout(KEPT).build(connector),
        }
    }

    /// The same, whose requests are given up after this time.
    #[must_use]
    pub fn giving_up_after(&self, give_up: Duration) -> Self {
        Self { give_up, ..self.clone() }
    }

    /// Whom it asks.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Result<Answer, ClientError> {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    /// Sends JSON.
    pub async fn send_json(&self, method: Method, path: &str, body: &Json) -> Result<Answer, ClientError> {
        self.send(method, path, &[("content-type", "application/json")], body.to_string().into()).await
    }

    /// Sends a body with headers.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        let round = async {
            let (head, body) = self.begin(method, path, headers, body).await?.into_parts();
            let body = body.collect().await.map_err(|error| self.unreachable(chain(&error)))?.to_bytes();
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
        };
        self.while_it_lives(round).await
    }

    /// What comes of a request, unless the node takes too long, or does not answer a question that needs nobody else either:
    /// it hangs, and a long query or a broker that is slow is none of the reasons.
    async fn while_it_lives<T>(&self, round: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
        let (patience, lives) = self.doubt;
        let lives = async {
            loop {
                tokio::time::sleep(patience).await;
                if tokio::time::timeout(lives, self.begin(Method::GET, "/health", &[], Bytes::new())).await.is_err() {
                    let waited = (patience + lives).as_secs_f32();
                    return self.unreachable(format!(
                        "it takes connections and has not answered for {waited} s, also not whether it is alive: look at the \
                         node's log, or start it again"
                    ));
                }
            }
        };
        tokio::select! {
            biased;
            answer = round => answer,
            () = tokio::time::sleep(self.give_up) => {
                Err(self.unreachable(format!("no answer within {} s", self.give_up.as_secs())))
            }
            hangs = lives => Err(hangs),
        }
    }

    /// Sends JSON for an answer that comes line by line, for as long as it takes. What is no success is a whole answer.
    pub async fn post_for_lines(&self, path: &str, body: &Json) -> Result<Result<Lines, Answer>, ClientError> {
        let headers = [("content-type", "application/json")];
        let begun = self.begin(Method::POST, path, &headers, body.to_string().into());
        let (head, body) = self.while_it_lives(begun).await?.into_parts();
        if head.status.is_success() {
            return Ok(Ok(Lines { url: self.base.clone(), body, read: vec![], at: 0 }));
        }
        let body = body.collect().await.map_err(|error| self.unreachable(chain(&error)))?.to_bytes();
        Ok(Err(Answer { status: head.status.as_u16(), headers: head.headers, body }))
    }

    fn unreachable(&self, reason: String) -> ClientError {
        ClientError::Unreachable { url: self.base.clone(), reason }
    }

    /// Sends a request, and gives the answer whose body is still to come.
    async fn begin(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        let url = format!("{}{path}", self.base);
        let address = |reason: String| ClientError::Address { url: url.clone(), reason };
        let uri: Uri = url.parse().map_err(|error: hyper::http::uri::InvalidUri| address(error.to_string()))?;
        if uri.scheme_str() != Some("http") {
            return Err(address("only http is spoken here".to_owned()));
        }
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|error| address(error.to_string()))?;
        self.hyper.request(request).await.map_err(|error| self.unreachable(chain(&error)))
    }
}

/// An answer that comes line by line.
pub struct Lines {
    url: String,
    body: Incoming,
    read: Vec<u8>,
    /// Where in `read` the next line begins.
    at: usize,
}

impl Lines {
    /// The next line; none where the answer has ended. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        loop {
            if let Some(end) = self.read[self.at..].iter().position(|byte| *byte == b'\n') {
                let line = self.read[self.at..self.at + end].to_vec();
                self.at += end + 1;
                return Ok(Some(line));
            }
            self.read.drain(..std::mem::take(&mut self.at));
            let unreachable = |reason| ClientError::Unreachable { url: self.url.clone(), reason };
            let frame = match tokio::time::timeout(SILENT, self.body.frame()).await {
                Ok(frame) => frame,
                Err(_) => return Err(unreachable(format!("nothing was heard for {} s", SILENT.as_secs()))),
            };
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(unreachable(format!("the answer was cut off: {}", chain(&error)))),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.read.extend_from_slice(data);
                    }
                }
            }
        }
    }
}

/// The last cause: what the operating system said.
fn chain(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The content type of an answer.
#[must_use]
pub fn content_type(answer: &Answer) -> &str {
    answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_not_reachable() {
        // A port that was just free: bound and given back.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let client = Client::new(&format!("127.0.0.1:{port}/"));
        assert_eq!(client.base(), format!("http://127.0.0.1:{port}"));
        let error = client.get("/health").await.unwrap_err();
        assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
        let error = Client::new("https://x").get("/").await.unwrap_err();
        assert!(matches!(error, ClientError::Address { .. }), "{error}");
    }

    /// A node that takes connections, answers some paths at once and others never.
    async fn node_that_answers(path: &'static str) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let mut held = vec![];
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut read = [0; 1024];
                let count = tokio::io::AsyncReadExt::read(&mut stream, &mut read).await.unwrap_or(0);
                if String::from_utf8_lossy(&read[..count]).starts_with(&format!("GET {path} ")) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nOK";
                    tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
                }
                held.push(stream);
            }
        });
        address
    }

    #[tokio::test]
    async fn a_node_that_hangs_is_given_up_and_one_that_is_slow_is_not() {
        let short = Duration::from_millis(250);
        let client = async |path| {
            let client = Client::new(&node_that_answers(path).await).giving_up_after(short * 8);
            Client { doubt: (short, short), ..client }
        };
        let hangs = client("/nothing").await;
        let error = hangs.get("/tables").await.unwrap_err().to_string();
        assert!(error.contains("has not answered for 0.5 s, also not whether it is alive"), "{error}");
        let slow = client("/health").await;
        let error = slow.get("/tables").await.unwrap_err().to_string();
        assert!(error.contains("no answer within 2 s"), "{error}");
    }
}
