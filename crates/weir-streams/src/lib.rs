//! The shelf of streams: each member reads messages of one partition from a given offset.
//!
//! To add a member: a folder here, one line in `registry.rs`, and a call of the conformance suite.

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod contract;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod local;
pub mod memory;
pub mod queues;
pub mod registry;
pub mod secrets;

pub use contract::{
    FetchLimit, MessageBatch, Messages, PartitionReader, SharedSource, StreamError, StreamSource, Watermarks,
};
pub use local::{LocalLogOptions, LocalLogs, ProduceError, ProduceRecord, ProducedAt};
pub use memory::MemoryStreams;
pub use registry::Streams;
