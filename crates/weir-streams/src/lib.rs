//! The shelf of streams: each member reads messages of one partition from a given offset.
//!
//! To add a member: a folder here, one line in `registry.rs`, and a call of the conformance suite.

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod contract;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "kinesis")]
pub mod kinesis;
pub mod local;
pub mod memory;
pub mod own;
pub mod probe;
#[cfg(feature = "pulsar")]
pub mod pulsar;
pub mod queues;
pub mod registry;
pub mod secrets;
#[cfg(any(feature = "kafka", feature = "pulsar"))]
mod tokens;

pub use contract::{
    FetchLimit, MessageBatch, Messages, PartitionReader, SharedSource, Spoilt, StreamError, StreamSource, Watermarks,
};
pub use local::{LocalLogOptions, LocalLogs, ProduceError, ProduceRecord, ProducedAt};
pub use memory::MemoryStreams;
pub use probe::{PartitionFact, ProbeError, ProbeStep};
pub use registry::Streams;
