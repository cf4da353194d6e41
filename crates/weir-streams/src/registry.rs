//! Stream types by the name that a table's `streamType` gives them.

use crate::{
    contract::{SharedSource, StreamError},
    local::LocalLogs,
    memory::MemoryStreams,
    queues::Queues,
    secrets,
};
use std::sync::Arc;
use weir_types::StreamSpec;

/// The streams of a process.
pub struct Streams {
    local: Arc<LocalLogs>,
    memory: Arc<MemoryStreams>,
    queues: Arc<Queues>,
}

impl Streams {
    /// The streams over the process's own logs.
    #[must_use]
    pub fn new(local: Arc<LocalLogs>, memory: Arc<MemoryStreams>) -> Self {
        Self { local, memory, queues: Arc::default() }
    }

    /// The same, with a bound on what clients of streams may queue.
    #[must_use]
    pub fn with_queues(self, queues: Arc<Queues>) -> Self {
        Self { queues, ..self }
    }

    /// The names of all types, those of absent features included.
    #[must_use]
    pub fn types() -> &'static [&'static str] {
        &["kafka", "local", "memory"]
    }

    /// The process's own logs.
    #[must_use]
    pub fn local(&self) -> &Arc<LocalLogs> {
        &self.local
    }

    /// The topics in process memory.
    #[must_use]
    pub fn memory(&self) -> &Arc<MemoryStreams> {
        &self.memory
    }

    /// The stream that a table's settings describe. Settings are checked; the stream is not asked yet, and
    /// secrets that settings refer to are looked up each time a client is made.
    pub fn source(&self, spec: &StreamSpec) -> Result<SharedSource, StreamError> {
        match &*spec.stream_type {
            "kafka" => {
                let queues = self.queues.clone();
                secrets::guarded(spec, Arc::new(move |spec| kafka(spec, &queues)))
            }
            "local" => Ok(self.local.source(spec.topic.clone(), spec.fetch_timeout)),
            "memory" => Ok(self.memory.source(spec.topic.clone(), spec.fetch_timeout)),
            other => Err(StreamError::Setting {
                topic: spec.topic.to_string(),
                key: "streamType".into(),
                reason: format!("'{other}' is not known; {} are", Self::types().join(", ")),
            }),
        }
    }

    /// Makes the topic of a stream that lives in this process, with its `partitions`; others are as they are. True where
    /// it was made now.
    pub async fn ensure_topic(&self, spec: &StreamSpec) -> Result<bool, StreamError> {
        let partitions = spec.settings.get("partitions").and_then(|count| count.parse().ok()).unwrap_or(1);
        match &*spec.stream_type {
            "local" => self
                .local
                .create_topic(&spec.topic, partitions)
                .map_err(|error| StreamError::Full { topic: spec.topic.to_string(), reason: error.to_string() }),
            "memory" => {
                self.memory.create(&spec.topic, partitions);
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// Takes back a topic that `ensure_topic` made for a table that could not be made. One that somebody has appended to
    /// meanwhile stays.
    pub async fn take_back_topic(&self, spec: &StreamSpec) -> Result<(), StreamError> {
        if &*spec.stream_type == "local" {
            let taken = self.local.delete_unused_topic(&spec.topic);
            taken.map_err(|error| StreamError::Full { topic: spec.topic.to_string(), reason: error.to_string() })?;
        }
        Ok(())
    }
}

#[cfg(feature = "kafka")]
fn kafka(spec: &StreamSpec, queues: &Arc<Queues>) -> Result<SharedSource, StreamError> {
    crate::kafka::source(spec, queues.clone())
}

#[cfg(not(feature = "kafka"))]
fn kafka(spec: &StreamSpec, _: &Arc<Queues>) -> Result<SharedSource, StreamError> {
    Err(StreamError::Setting {
        topic: spec.topic.to_string(),
        key: "streamType".into(),
        reason: "this binary was built without feature `kafka`".into(),
    })
}
