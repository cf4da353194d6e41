//! A stream whose client has secrets: they are looked up when a client is made and taken out of everything it says.
//!
//! What was looked up is never kept with the table. A variable or a file that is not there makes every call fail with the
//! reference and a remedy, and the next call looks again: a secret that is put right, or changed, is used by the next
//! client without a restart.

use crate::{
    contract::{FetchLimit, MessageBatch, PartitionReader, SharedSource, StreamError, StreamSource, Watermarks},
    probe::{PartitionFact, ProbeError},
};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};
use weir_base::outside;
use weir_types::{
    NextOffset, StartAt, StreamSpec, TopicName,
    secret::{self, Hiding, Piece, Unresolved, is_secret},
};

/// Makes a source of settings that hold no references any more.
pub(crate) type Make = Arc<dyn Fn(&StreamSpec) -> Result<SharedSource, StreamError> + Send + Sync>;

/// The stream of a spec through `make`. Settings are checked; a secret that is not there yet is no error here.
pub(crate) fn guarded(spec: &StreamSpec, make: Make) -> Result<SharedSource, StreamError> {
    let plain = |(key, value): (&String, &String)| !is_secret(key) && !secret::has_references(value);
    if spec.settings.iter().all(plain) {
        return make(spec);
    }
    for (key, value) in &spec.settings {
        secret::pieces(value).map_err(|error| StreamError::Setting {
            topic: spec.topic.to_string(),
            key: key.clone(),
            // What looks like a reference may be part of a secret.
            reason: format!("a reference in it {}", error.reason),
        })?;
    }
    let guarded = Guarded { spec: spec.clone(), make, made: Mutex::new(None) };
    match guarded.made() {
        Ok(_) | Err(StreamError::SecretMissing { .. }) => Ok(Arc::new(guarded)),
        Err(error) => Err(error),
    }
}

/// Looks a setting's references up on this node; the error names the reference and the remedy.
pub fn look_up(value: &str) -> Result<secret::Resolved, Unresolved> {
    secret::resolve(value, outside::variable, outside::text_file)
}

/// What a JAAS text stands for. Its references stand between quotes: a quote or a backslash of a secret is its own.
fn quoted(value: &str, resolved: secret::Resolved) -> String {
    let needs = |secret: &str| secret.contains(['"', '\'', '\\']);
    match secret::pieces(value) {
        // A text that is kept elsewhere as a whole is as it is.
        Ok(pieces) if pieces.len() > 1 && resolved.looked_up.iter().any(|(secret, _)| needs(secret)) => {
            let mut looked_up = resolved.looked_up.iter();
            let piece = |piece: &Piece<'_>| match piece {
                Piece::Text(text) => (*text).to_owned(),
                Piece::Reference { .. } => looked_up.next().map_or_else(String::new, |(secret, _)| {
                    secret.replace('\\', r"\\").replace('"', "\\\"").replace('\'', r"\'")
                }),
            };
            pieces.iter().map(piece).collect()
        }
        _ => resolved.text,
    }
}

#[derive(Clone)]
struct Made {
    /// What was looked up for it.
    settings: BTreeMap<String, String>,
    source: SharedSource,
    hiding: Arc<Hiding>,
}

struct Guarded {
    spec: StreamSpec,
    make: Make,
    made: Mutex<Option<Made>>,
}

impl Guarded {
    /// The source of the secrets as they are now: the one of before where none has changed.
    fn made(&self) -> Result<Made, StreamError> {
        let (mut settings, mut hiding) = (BTreeMap::new(), Hiding::default());
        for (key, value) in &self.spec.settings {
            let resolved = look_up(value).map_err(|error| StreamError::SecretMissing {
                topic: self.spec.topic.to_string(),
                key: key.clone(),
                reason: error.to_string(),
            })?;
            hiding.add(key, value, &resolved);
            let text = if key.ends_with("jaas.config") { quoted(value, resolved) } else { resolved.text };
            settings.insert(key.clone(), text);
        }
        let mut made = self.made.lock();
        if let Some(made) = made.as_ref().filter(|made| made.settings == settings) {
            return Ok(made.clone());
        }
        let resolved = StreamSpec { settings: settings.clone(), ..self.spec.clone() };
        let source = (self.make)(&resolved).map_err(|error| hidden(error, &hiding))?;
        Ok(made.insert(Made { settings, source, hiding: Arc::new(hiding) }).clone())
    }
}

/// The error without secrets.
fn hidden(error: StreamError, hiding: &Hiding) -> StreamError {
    match error {
        StreamError::Unreachable { topic, reason } => StreamError::Unreachable { topic, reason: hiding.hide(&reason) },
        StreamError::Denied { topic, reason } => StreamError::Denied { topic, reason: hiding.hide(&reason) },
        StreamError::Setting { topic, key, reason } => {
            StreamError::Setting { topic, key, reason: hiding.hide(&reason) }
        }
        StreamError::Full { topic, reason } => StreamError::Full { topic, reason: hiding.hide(&reason) },
        StreamError::Corrupt { topic, reason } => StreamError::Corrupt { topic, reason: hiding.hide(&reason) },
        // These are made of names and numbers of ours.
        error @ (StreamError::TopicMissing { .. }
        | StreamError::PartitionMissing { .. }
        | StreamError::OutOfRange { .. }
        | StreamError::Lost { .. }
        | StreamError::SecretMissing { .. }) => error,
    }
}

#[async_trait]
impl StreamSource for Guarded {
    async fn partitions(&self) -> Result<Vec<u32>, StreamError> {
        let Made { source, hiding, .. } = self.made()?;
        source.partitions().await.map_err(|error| hidden(error, &hiding))
    }

    async fn topics(&self) -> Result<Vec<TopicName>, StreamError> {
        let Made { source, hiding, .. } = self.made()?;
        source.topics().await.map_err(|error| hidden(error, &hiding))
    }

    async fn topic_id(&self) -> Result<Option<Arc<str>>, StreamError> {
        let Made { source, hiding, .. } = self.made()?;
        source.topic_id().await.map_err(|error| hidden(error, &hiding))
    }

    async fn watermarks(&self, partition: u32) -> Result<Watermarks, StreamError> {
        let Made { source, hiding, .. } = self.made()?;
        source.watermarks(partition).await.map_err(|error| hidden(error, &hiding))
    }

    async fn resolve(&self, partition: u32, at: &StartAt, now_ms: i64) -> Result<NextOffset, StreamError> {
        let Made { source, hiding, .. } = self.made()?;
        source.resolve(partition, at, now_ms).await.map_err(|error| hidden(error, &hiding))
    }

    async fn resolve_all(&self, partitions: &[u32], at: &StartAt, now_ms: i64) -> Result<Vec<NextOffset>, StreamError> {
        let Made { source, hiding, .. } = self.made()?;
        source.resolve_all(partitions, at, now_ms).await.map_err(|error| hidden(error, &hiding))
    }

    async fn probe(&self, only: Option<&[u32]>) -> Result<Vec<PartitionFact>, ProbeError> {
        let Made { source, hiding, .. } = self.made()?;
        source.probe(only).await.map_err(|ProbeError { step, what, remedy }| ProbeError {
            step,
            what: hiding.hide(&what),
            remedy: hiding.hide(&remedy),
        })
    }

    async fn open(&self, partition: u32, from: NextOffset) -> Result<Box<dyn PartitionReader>, StreamError> {
        let Made { source, hiding, .. } = self.made()?;
        let reader = source.open(partition, from).await.map_err(|error| hidden(error, &hiding))?;
        Ok(Box::new(GuardedReader { reader, hiding }))
    }

    fn was_read(&self, partition: u32, next: NextOffset, topic_id: &str) {
        // What cannot be made now is made when it is read, and told then.
        if let Ok(Made { source, .. }) = self.made() {
            source.was_read(partition, next, topic_id);
        }
    }

    fn hold(&self, holder: &str, partition: u32, floor: NextOffset) {
        if let Some(made) = &*self.made.lock() {
            made.source.hold(holder, partition, floor);
        }
    }

    fn release(&self, holder: &str) {
        if let Some(made) = &*self.made.lock() {
            made.source.release(holder);
        }
    }

    fn dense(&self) -> bool {
        self.made.lock().as_ref().is_none_or(|made| made.source.dense())
    }
}

struct GuardedReader {
    reader: Box<dyn PartitionReader>,
    hiding: Arc<Hiding>,
}

#[async_trait]
impl PartitionReader for GuardedReader {
    async fn next_batch(&mut self, limit: FetchLimit) -> Result<MessageBatch, StreamError> {
        self.reader.next_batch(limit).await.map_err(|error| hidden(error, &self.hiding))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Refuses to be read and tells every setting.
    struct Telling(BTreeMap<String, String>);

    #[async_trait]
    impl StreamSource for Telling {
        async fn partitions(&self) -> Result<Vec<u32>, StreamError> {
            Ok(vec![0])
        }

        async fn topics(&self) -> Result<Vec<TopicName>, StreamError> {
            Ok(vec![])
        }

        async fn watermarks(&self, _: u32) -> Result<Watermarks, StreamError> {
            Err(StreamError::Denied { topic: "t".into(), reason: format!("{:?}", self.0) })
        }

        async fn resolve(&self, _: u32, _: &StartAt, _: i64) -> Result<NextOffset, StreamError> {
            Ok(NextOffset::new(0))
        }

        async fn open(&self, _: u32, _: NextOffset) -> Result<Box<dyn PartitionReader>, StreamError> {
            Err(StreamError::Unreachable { topic: "t".into(), reason: format!("{:?}", self.0) })
        }
    }

    fn telling(spec: &StreamSpec) -> Result<SharedSource, StreamError> {
        if spec.settings.contains_key("wrong") {
            let reason = format!("{:?}", spec.settings);
            return Err(StreamError::Setting { topic: "t".into(), key: "wrong".into(), reason });
        }
        Ok(Arc::new(Telling(spec.settings.clone())))
    }

    fn spec(settings: &[(&str, &str)]) -> StreamSpec {
        StreamSpec {
            stream_type: "kafka".into(),
            topic: TopicName::parse("t").unwrap(),
            start_at: StartAt::Earliest,
            start_offsets: Default::default(),
            decoder: "json".into(),
            decoder_settings: BTreeMap::new(),
            settings: settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            fetch_timeout: Duration::from_secs(1),
            only_partitions: None,
            auto_reset: None,
            rate_limit: None,
        }
    }

    #[tokio::test]
    async fn a_secret_that_is_put_right_or_changed_is_used_without_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pw");
        let reference = format!("file:{}", path.display());
        let source = guarded(&spec(&[("sasl.password", &reference), ("x", "1")]), Arc::new(telling)).unwrap();
        let missing = source.partitions().await.unwrap_err();
        assert!(matches!(&missing, StreamError::SecretMissing { key, .. } if key == "sasl.password"), "{missing}");
        assert!(missing.to_string().contains(&reference), "{missing}");
        for secret in ["hunter2", "hunter3"] {
            std::fs::write(&path, secret).unwrap();
            assert_eq!(source.partitions().await.unwrap(), [0]);
            let denied = source.watermarks(0).await.unwrap_err().to_string();
            assert!(denied.contains(&reference) && !denied.contains("hunter"), "{denied}");
            let unreachable = source.open(0, NextOffset::new(0)).await.err().unwrap().to_string();
            assert!(unreachable.contains(&reference) && !unreachable.contains("hunter"), "{unreachable}");
        }
    }

    #[tokio::test]
    async fn quotes_of_a_secret_do_not_end_a_jaas_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pw");
        std::fs::write(&path, r#"hun"t\er's"#).unwrap();
        let jaas = format!("PlainLoginModule required username=\"u\" password=\"${{file:{}}}\";", path.display());
        let resolved = quoted(&jaas, look_up(&jaas).unwrap());
        assert_eq!(resolved, r#"PlainLoginModule required username="u" password="hun\"t\\er\'s";"#);
        // The whole text is kept elsewhere.
        std::fs::write(&path, r#"PlainLoginModule required username="u" password="p";"#).unwrap();
        let whole = format!("file:{}", path.display());
        assert_eq!(quoted(&whole, look_up(&whole).unwrap()), r#"PlainLoginModule required username="u" password="p";"#);
    }

    #[tokio::test]
    async fn literal_secrets_are_taken_out_of_errors() {
        let jaas = r#"PlainLoginModule required username="u" password="hunter2";"#;
        let source =
            guarded(&spec(&[("sasl.jaas.config", jaas), ("ssl.key.password", "hunter3")]), Arc::new(telling)).unwrap();
        let denied = source.watermarks(0).await.unwrap_err().to_string();
        assert!(denied.contains("*****") && !denied.contains("hunter"), "{denied}");
        let wrong =
            guarded(&spec(&[("ssl.key.password", "hunter3"), ("wrong", "1")]), Arc::new(telling)).err().unwrap();
        assert!(!wrong.to_string().contains("hunter"), "{wrong}");
        let malformed = guarded(&spec(&[("ssl.key.password", "${vault:x}")]), Arc::new(telling)).err().unwrap();
        assert!(matches!(malformed, StreamError::Setting { .. }), "{malformed}");
    }
}
