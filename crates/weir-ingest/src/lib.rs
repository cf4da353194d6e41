//! Moves records in: one pipeline per partition fetches, prepares, appends, publishes and seals; beside it segments are
//! built, uploaded and committed.
//!
//! `pipeline/run.rs` is the conductor and the place to start reading; `sealer.rs` is what happens after an end is fixed.

mod deps;
mod error;
mod node;
mod pipeline;
mod prepare;
mod quarantine;
mod rebuild;
mod sealer;
mod status;
mod table;

pub use deps::{HeavyWork, IngestDeps, IngestOptions};
pub use error::IngestError;
pub use node::IngestNode;
pub use prepare::{KeyStage, NoKeys, Prepared, RecordPath, RecordRules};
pub use quarantine::{Entry, Quarantine, QuarantineBounds};
pub use status::{PartitionState, PartitionStatus, StatusCell};
