//! A schema registry in the process, for tests: Confluent's REST answers on loopback, failures on demand.

use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use std::{collections::BTreeMap, sync::Arc};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What the stand-in knows and does.
#[derive(Default)]
struct State {
    /// Schema bodies by number, from 1.
    schemas: Vec<Json>,
    /// Numbers of a subject's versions.
    subjects: BTreeMap<String, Vec<usize>>,
    /// Whole answers by path.
    pages: BTreeMap<String, String>,
    /// Answered instead of everything.
    fails: Option<(u16, String)>,
    /// Paths that were asked for, with their login.
    asked: Vec<(String, String)>,
}

/// A registry that runs until it is dropped.
pub struct StandIn {
    state: Arc<Mutex<State>>,
    port: u16,
    task: JoinHandle<()>,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl StandIn {
    /// Starts on a port of its own.
    ///
    /// # Panics
    /// No port can be had.
    pub async fn start() -> Self {
        Self::start_on(0).await
    }

    /// Starts on that port: where one was before, it is the one that came back.
    ///
    /// # Panics
    /// The port cannot be had.
    pub async fn start_on(port: u16) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port on loopback");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Self { state, port, task }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Registers a schema under a subject; its number. `kind` is absent for Avro, as with the real one; references are
    /// name, subject and version.
    pub fn register(&self, subject: &str, kind: Option<&str>, text: &str, references: &[(&str, &str, i64)]) -> u32 {
        let references: Vec<Json> = references
            .iter()
            .map(|(name, subject, version)| json!({"name": name, "subject": subject, "version": version}))
            .collect();
        let mut body = json!({ "schema": text });
        if let Some(kind) = kind {
            body["schemaType"] = kind.into();
        }
        if !references.is_empty() {
            body["references"] = references.into();
        }
        let mut state = self.state.lock();
        let at = state.schemas.iter().position(|known| *known == body).unwrap_or_else(|| {
            state.schemas.push(body);
            state.schemas.len() - 1
        });
        let versions = state.subjects.entry(subject.to_owned()).or_default();
        if !versions.contains(&at) {
            versions.push(at);
        }
        u32::try_from(at + 1).expect("few schemas")
    }

    /// Answers `body` at a path.
    pub fn page(&self, path: &str, body: &str) {
        self.state.lock().pages.insert(path.to_owned(), body.to_owned());
    }

    /// Answers everything with a status and a body, or as it should again.
    pub fn fail(&self, with: Option<(u16, &str)>) {
        self.state.lock().fails = with.map(|(status, body)| (status, body.to_owned()));
    }

    /// The paths that were asked for, and the login that came with each.
    #[must_use]
    pub fn asked(&self) -> Vec<(String, String)> {
        self.state.lock().asked.clone()
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut request = vec![];
    let mut chunk = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut chunk).await {
            Ok(count) if count > 0 => request.extend_from_slice(&chunk[..count]),
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&request);
    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
    let header = |name: &str| {
        let line = text.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
        line.and_then(|line| line.split_once(": ")).map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    let (status, body) = {
        let mut state = state.lock();
        state.asked.push((path.clone(), header("authorization:")));
        answer(&state, &path)
    };
    let head = format!(
        "HTTP/1.1 {status} x\r\nContent-Type: application/vnd.schemaregistry.v1+json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let written = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await;
    if written.is_ok() {
        // Whoever asked may have gone.
        stream.shutdown().await.unwrap_or_default();
    }
}

fn answer(state: &State, path: &str) -> (u16, String) {
    if let Some(fails) = &state.fails {
        return fails.clone();
    }
    if let Some(page) = state.pages.get(path) {
        return (200, page.clone());
    }
    let missing = |code: i64, message: &str| (404, json!({"error_code": code, "message": message}).to_string());
    let parts: Vec<&str> = path.split('?').next().unwrap_or_default().trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["schemas", "ids", id] => match id.parse().ok().and_then(|id: usize| state.schemas.get(id.checked_sub(1)?)) {
            Some(schema) => (200, schema.to_string()),
            None => missing(40403, "Schema not found"),
        },
        ["subjects", subject, "versions", version] => {
            let Some(versions) = state.subjects.get(*subject) else { return missing(40401, "Subject not found") };
            let found = version.parse().ok().and_then(|version: usize| versions.get(version.checked_sub(1)?));
            match found.or_else(|| versions.last().filter(|_| *version == "latest")) {
                Some(at) => (200, state.schemas[*at].to_string()),
                None => missing(40402, "Version not found"),
            }
        }
        _ => (404, "<html>no such page</html>".to_owned()),
    }
}
