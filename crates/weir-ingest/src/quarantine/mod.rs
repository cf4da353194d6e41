//! Records that could not become rows, kept with their bytes until somebody looks at them.
//!
//! One append-only file per table. An entry is identified by (topic, partition, offset): reading a range again after a
//! crash never doubles it. The file is bounded; the oldest entries go first and are counted.

mod file;

pub use file::{Entry, Quarantine, QuarantineBounds};
