//! What can be asked of a running pipeline.

use crate::status::StatusCell;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use weir_table::PartitionView;

/// A request to a pipeline.
#[derive(Debug)]
pub enum Command {
    /// Seal the open segment where it is; answers with its name, or nothing where its range is empty.
    Seal(oneshot::Sender<Option<Arc<str>>>),
    /// Stop reading, for this reason; the open segment stays queryable.
    Pause(String),
    /// Read on.
    Resume,
    /// Settings or schema changed: seal, then go on with the new ones.
    Reshape,
}

/// A pipeline as others hold it.
#[derive(Clone)]
pub struct PipelineHandle {
    /// What it is doing.
    pub status: StatusCell,
    /// What queries see of it.
    pub view: Arc<PartitionView>,
    commands: mpsc::Sender<Command>,
}

/// Few commands are ever under way: they come from people.
const COMMANDS_MAX: usize = 16;

impl PipelineHandle {
    /// A handle and the pipeline's end of it.
    #[must_use]
    pub fn new(status: StatusCell, view: Arc<PartitionView>) -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        (Self { status, view, commands }, receiver)
    }

    /// Sends a command; false where the pipeline has ended.
    pub async fn send(&self, command: Command) -> bool {
        self.commands.send(command).await.is_ok()
    }
}
