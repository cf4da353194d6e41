//! One table on one node: its segments, what of them is visible now, and the snapshot that a query takes.
//!
//! Writing and reading meet only here. Each partition publishes an immutable [`PartitionSnapshot`] by one swap; a
//! [`TableSnapshot`] is the set of them that a query takes at its start and keeps. It names what it lacks.

mod cache;
mod marks;
mod partition;
mod recorded;
mod table;

pub use cache::{CacheError, Openings, SegmentCache};
pub use marks::{Mark, VisibleMarks};
pub use partition::{LoadedSegment, PartitionSnapshot, PartitionView, Target};
pub use recorded::{NotOpened, RecordedSegment, SegmentFacts, SegmentHandle, TimeValues};
pub use table::{Lack, SegmentView, TableOnNode, TableSnapshot, Tables};
