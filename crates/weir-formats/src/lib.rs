//! The shelf of formats: message bytes become typed columns.
//!
//! To add a decoder: a file here, one line in `registry.rs`, and a call of the conformance suite.

pub mod arrow_ipc;
pub mod avro;
pub mod bson;
pub mod clp;
pub mod coerce;
pub mod confluent;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod csv;
pub mod datetime;
pub mod decoder;
pub mod error;
pub mod json;
pub mod own;
pub mod partition;
pub mod protobuf;
pub mod raw;
pub mod registry;
mod row;
pub mod schema_registry;
pub mod stages;
mod times;
pub mod transform;

pub use decoder::{BYTE_ORDER_MARK, DecodeSpec, Decoded, Decoder, Payload, Reject, Stage};
pub use error::FormatError;
