//! One partition's way from the stream to what queries see: a conductor that calls each room in turn.

mod ahead;
mod command;
mod fixing;
mod flush;
mod hunger;
mod keep;
mod moves;
mod open;
mod path;
mod run;
mod seal;
mod tell;
mod trouble;

pub(crate) use command::{Command, PipelineHandle};
pub(crate) use moves::MoveOrder;
pub(crate) use open::{consuming_spec, keep_offsets};
pub(crate) use path::{record_path, settings_decoder};
pub(crate) use run::{PartitionPipeline, PipelineEnd, PipelineParts};
