//! SQL over snapshots: Pinot's dialect is rewritten onto DataFusion, one scan node reads the segments, and every query
//! is bounded in memory and time on a runtime of its own.
//!
//! A query goes through these rooms in turn: [`dialect`] parses and rewrites the text, [`planner`] lets DataFusion plan
//! it with one of the [`sessions`], [`provider`] scans the snapshot, [`engine`] runs it under its limits and fills the answer.

mod answer;
mod comparison;
mod dialect;
mod engine;
mod error;
mod explain;
mod functions;
mod memory;
mod one_table;
mod options;
mod planner;
mod prompt;
mod provider;
mod sessions;
mod source;
mod stats;
mod stop;
mod tables;

pub use answer::{QueryException, QueryRequest, QueryResponse, QueryStats, ResultColumn};
pub use engine::{QueryEngine, QueryOptions};
pub use error::EngineError;
pub use source::{SystemTable, TableSource};
