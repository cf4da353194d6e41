//! One segment through its life: consuming -> frozen -> built -> sealed; its file, statistics and scans.

pub mod build;
pub mod consuming;
pub mod error;
pub mod layout;
pub mod scan;
pub mod sealed;
pub mod segment;

pub use build::{BuildSpec, BuiltSegment, build};
pub use consuming::{ConsumingSegment, ConsumingSnapshot, ConsumingSpec, FrozenSegment};
pub use error::SegmentError;
pub use layout::{FORMAT_VERSION, STREAM_OFFSET};
pub use scan::{ScanColumn, ScanRequest, ScanStats, SegmentScan, arrow_type};
pub use sealed::SealedSegment;
pub use segment::{ColumnAt, ColumnInfo, ColumnStats, Dictionary, Segment, SegmentMeta};
