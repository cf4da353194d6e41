//! One partition's way from the stream to what queries see: a conductor that calls each room in turn.

mod command;
mod flush;
mod open;
mod run;

pub use command::{Command, PipelineHandle};
pub use flush::{FlushDecision, decide};
pub(crate) use open::{consuming_spec, keep_offsets};
pub(crate) use run::record_path;
pub use run::{PartitionPipeline, PipelineEnd, PipelineParts};
