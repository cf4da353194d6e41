//! The cluster's memory and its decisions: what tables there are, where each segment stands, when it ends.
//!
//! `catalog` keeps keys durably, `records` and `store` say what stands under them and move segments through their two
//! transactions, `spec` is the one place that knows Pinot's JSON spelling of schemas and table configs, `completion` and
//! `flush` decide and touch nothing.

pub mod catalog;
mod cluster;
pub mod completion;
pub mod flush;
mod history;
mod index_settings;
pub mod records;
mod retention;
pub mod spec;
pub mod store;
mod topics;

pub use catalog::{Catalog, CatalogError, RedbCatalog, SharedCatalog};
pub use cluster::{ClusterConfigError, ClusterConfigs};
pub use completion::{Completion, Report, SoleReplica, Verdict};
pub use flush::{FlushMemory, LastSegment, Limits};
pub use history::{AUDIT_KEPT, AuditAction, AuditEntry, AuditLog, Move, led, resumes_at};
pub use index_settings::index_settings;
pub use records::{
    Artifact, NewPartition, NewTable, OpenSize, PauseInfo, ReplayPart, ReplayRecord, ReplaySegment, Seal, SealReason,
    SegmentRecord, SegmentState, StoredSchema, TableRecord, TimeRange, chain,
};
pub use retention::{Doomed, Expiry, Leftover, Removed, RemovedRun, expired, expired_replays, first_offset, is_older};
pub use spec::{
    Capabilities, DecoderKnown, ParsedSchema, ParsedTable, SpecError, SpecErrors, check_schema_change, keep_stored,
    parse_schema, parse_table, redacted, redacted_at, references,
};
pub use store::{MoveTo, REMOVED_AT_ONCE, Store, StoreError};
pub use topics::{PartPause, Retired, changes};
