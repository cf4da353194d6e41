//! Moves records in: one pipeline per partition fetches, prepares, appends, publishes and seals; beside it segments are
//! built, uploaded and committed.
//!
//! `pipeline/run.rs` is the conductor and the place to start reading; `sealer.rs` is what happens after an end is fixed.

mod accounts;
mod budget;
mod checkpoint;
mod control;
mod deps;
mod dry_run;
mod error;
mod feeds;
mod floor;
pub mod infer;
mod made_topics;
mod message_columns;
mod node;
mod pace;
mod pipeline;
mod prepare;
mod quarantine;
mod rate;
mod rebuild;
mod recorded;
mod recount;
mod reindex;
mod replay;
mod resume;
mod retention;
mod sealer;
mod status;
mod table;
mod tail;
mod topics;
mod upload;

pub use control::Scope;
pub use deps::{IngestDeps, IngestOptions, KeyStages, Seats};
pub use dry_run::{Dropped, Fate, TRIED_MOST, Tried};
pub use error::IngestError;
pub use floor::DiskFloor;
pub use node::IngestNode;
pub use prepare::{KeyStage, NoKeys, Prepared, RecordDecoder, RecordPath, RecordRules};
pub use quarantine::{Entry, EntryId, Page, Quarantine, QuarantineBounds, QuarantineCounts, STAGES, Selection};
pub use rate::Rate;
pub use reindex::IndexStatus;
pub use replay::{ReplayFailure, ReplayReport};
pub use resume::{ConsumeFrom, PlannedMove, ResumeRequest};
pub use retention::Cleaned;
pub use status::{PartitionState, PartitionStatus, StatusCell};
pub use tail::{Seen, TAILED_PARTITIONS_MOST, Tail, TailEvent, TailFrom, TailOf, TailRequest};
pub use weir_base::tasks::HeavyWork;
