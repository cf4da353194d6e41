//! The cluster's memory and its decisions: what tables there are, where each segment stands, when it ends.
//!
//! `catalog` keeps keys durably, `records` and `store` say what stands under them and move segments through their two
//! transactions, `spec` is the one place that knows Pinot's JSON spelling of schemas and table configs, `completion` and
//! `flush` decide and touch nothing.

pub mod catalog;
pub mod completion;
pub mod flush;
mod history;
pub mod records;
pub mod spec;
pub mod store;
mod topics;

pub use catalog::{Catalog, CatalogError, RedbCatalog, SharedCatalog};
pub use completion::{Completion, Report, SoleReplica, Verdict};
pub use flush::{FlushMemory, LastSegment};
pub use history::{AUDIT_KEPT, AuditAction, AuditEntry, AuditLog, Move, led, resumes_at};
pub use records::{
    Artifact, NewPartition, NewTable, PauseInfo, ReplayPart, ReplayRecord, ReplaySegment, Seal, SealReason,
    SegmentRecord, SegmentState, StoredSchema, TableRecord, chain,
};
pub use spec::{
    Capabilities, DecoderKnown, ParsedSchema, ParsedTable, SpecError, SpecErrors, check_schema_change, parse_schema,
    parse_table,
};
pub use store::{MoveTo, Store, StoreError};
pub use topics::{PartPause, Retired, changes};
