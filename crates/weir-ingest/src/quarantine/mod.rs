//! Records that could not become rows, kept with their bytes until somebody looks at them.
//!
//! One append-only file per table. An entry is identified by (topic, partition, reading, offset): reading a range again
//! after a crash never doubles it. The file is bounded; the oldest entries go first and are counted.

mod entry;
mod file;
mod index;
mod list;
mod rate;
#[cfg(test)]
mod tests;

pub use entry::{Entry, EntryId, STAGES};
pub(crate) use entry::{REPLAY, Reading};
pub use file::{Quarantine, QuarantineBounds, QuarantineCounts};
pub(crate) use list::PageBounds;
pub use list::{Page, Selection};
pub(crate) use rate::RejectRate;
