//! The shelf of streams: each member reads messages of one partition from a given offset.
//!
//! To add a member: a folder or file here, one line in `registry.rs`, and a call of the conformance suite.

pub mod contract;

pub use contract::{
    FetchLimit, MessageBatch, Messages, PartitionReader, SharedSource, StreamError, StreamSource, Watermarks,
};
