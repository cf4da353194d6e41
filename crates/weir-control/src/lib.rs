//! The cluster's memory and its decisions: what tables there are, where each segment stands, when it ends.
//!
//! `catalog` keeps keys durably, `records` and `store` say what stands under them and move segments through their two
//! transactions, `spec` is the one place that knows Pinot's JSON spelling of schemas and table configs, `completion` and
//! `flush` decide and touch nothing.

pub mod catalog;
pub mod completion;
pub mod flush;
pub mod records;
pub mod spec;
pub mod store;

pub use catalog::{Catalog, CatalogError, RedbCatalog, SharedCatalog};
pub use completion::{Completion, Report, SoleReplica, Verdict};
pub use flush::{FlushMemory, LastSegment};
pub use records::{
    Artifact, NewPartition, NewTable, PauseInfo, Seal, SealReason, SegmentRecord, SegmentState, StoredSchema,
    TableRecord, chain,
};
pub use spec::{
    Capabilities, DecoderKnown, ParsedSchema, ParsedTable, SpecError, SpecErrors, check_schema_change, parse_schema,
    parse_table,
};
pub use store::{Store, StoreError};
