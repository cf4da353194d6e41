//! Stream types by the name that a table's `streamType` gives them.

use crate::{
    contract::{SharedSource, StreamError},
    local::LocalLogs,
    memory::MemoryStreams,
    own,
    queues::Queues,
    secrets,
};
use std::sync::Arc;
use weir_types::StreamSpec;

/// The types that are here.
pub(crate) const BUILT_IN: [&str; 5] = ["kafka", "kinesis", "local", "memory", "pulsar"];

/// The streams of a process.
pub struct Streams {
    local: Arc<LocalLogs>,
    memory: Arc<MemoryStreams>,
    queues: Arc<Queues>,
    kinesis_limits: Arc<KinesisLimits>,
}

#[cfg(feature = "kinesis")]
use crate::kinesis::Limits as KinesisLimits;
#[cfg(not(feature = "kinesis"))]
type KinesisLimits = ();

impl Streams {
    /// The streams over the process's own logs.
    #[must_use]
    pub fn new(local: Arc<LocalLogs>, memory: Arc<MemoryStreams>) -> Self {
        Self { local, memory, queues: Arc::default(), kinesis_limits: Arc::default() }
    }

    /// The same, with a bound on what clients of streams may queue.
    #[must_use]
    pub fn with_queues(self, queues: Arc<Queues>) -> Self {
        Self { queues, ..self }
    }

    /// The names of all types, those of absent features included, those that were added to this binary last.
    #[must_use]
    pub fn types() -> &'static [&'static str] {
        own::names()
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
            "kinesis" => {
                let limits = self.kinesis_limits.clone();
                secrets::guarded(spec, Arc::new(move |spec| kinesis(spec, &limits)))
            }
            "pulsar" => {
                let queues = self.queues.clone();
                secrets::guarded(spec, Arc::new(move |spec| pulsar(spec, &queues)))
            }
            "local" => Ok(self.local.source(spec.topic.clone(), spec.fetch_timeout)),
            "memory" => Ok(self.memory.source(spec.topic.clone(), spec.fetch_timeout)),
            other if let Some(own) = own::added(other) => secrets::guarded(spec, Arc::new(own.source)),
            other => Err(StreamError::Setting {
                topic: spec.topic.to_string(),
                key: "streamType".into(),
                reason: format!("'{other}' is not known; {} are", Self::types().join(", ")),
            }),
        }
    }

    /// Whether a client can be made of a stream's settings; nobody is asked. Secrets that are not on this machine are not missed.
    pub fn check(spec: &StreamSpec) -> Result<(), StreamError> {
        let made = match &*spec.stream_type {
            "kafka" => secrets::guarded(spec, Arc::new(|spec| kafka(spec, &Arc::default()))),
            "kinesis" => secrets::guarded(spec, Arc::new(|spec| kinesis(spec, &Arc::default()))),
            "pulsar" => secrets::guarded(spec, Arc::new(|spec| pulsar(spec, &Arc::default()))),
            // Their one setting is read with the config.
            "local" | "memory" => return Ok(()),
            other => match own::added(other) {
                Some(own) => secrets::guarded(spec, Arc::new(own.source)),
                None => return Ok(()),
            },
        };
        made.map(drop)
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

#[cfg(feature = "pulsar")]
fn pulsar(spec: &StreamSpec, queues: &Arc<Queues>) -> Result<SharedSource, StreamError> {
    crate::pulsar::source(spec, queues.clone())
}

#[cfg(not(feature = "pulsar"))]
fn pulsar(spec: &StreamSpec, _: &Arc<Queues>) -> Result<SharedSource, StreamError> {
    Err(StreamError::Setting {
        topic: spec.topic.to_string(),
        key: "streamType".into(),
        reason: "this binary was built without feature `pulsar`".into(),
    })
}

#[cfg(feature = "kinesis")]
fn kinesis(spec: &StreamSpec, limits: &Arc<KinesisLimits>) -> Result<SharedSource, StreamError> {
    crate::kinesis::source(spec, limits.clone())
}

#[cfg(not(feature = "kinesis"))]
fn kinesis(spec: &StreamSpec, _: &Arc<KinesisLimits>) -> Result<SharedSource, StreamError> {
    Err(StreamError::Setting {
        topic: spec.topic.to_string(),
        key: "streamType".into(),
        reason: "this binary was built without feature `kinesis`".into(),
    })
}
