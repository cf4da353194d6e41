//! The shelf of formats: message bytes become typed columns.
//!
//! To add a decoder: a file here, one line in `registry.rs`, and a call of the conformance suite.

pub mod coerce;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod datetime;
pub mod decoder;
pub mod error;
pub mod json;
pub mod registry;
pub mod stages;

pub use decoder::{DecodeSpec, Decoded, Decoder, Payload, Reject, Stage};
pub use error::FormatError;
