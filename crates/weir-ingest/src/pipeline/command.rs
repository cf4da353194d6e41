//! What can be asked of a running pipeline.

use crate::{
    pipeline::moves::{MoveOrder, Moved},
    status::StatusCell,
};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// The name of a segment that was sealed, nothing where its range was empty; or why it was not.
pub(crate) type Sealed = Result<Option<Arc<str>>, String>;

/// A request to a pipeline.
#[derive(Debug)]
pub(crate) enum Command {
    /// Seal the open segment where it is.
    Seal(oneshot::Sender<Sealed>),
    /// Stop reading, for this reason; the open segment stays queryable.
    Pause(String),
    /// Read on.
    Resume,
    /// Settings or schema may have changed: where they did, seal, then go on with the new ones.
    Reshape,
    /// Go on at another offset.
    Move(MoveOrder, oneshot::Sender<Moved>),
    /// The table reads the partition no more, for this reason: seal what is read and end.
    End(String),
    /// The process is about to end: hand all rows to the disk. The answer is false where it is behind, and is to be asked
    /// again.
    Keep(oneshot::Sender<bool>),
    /// The topic may have been made anew: look whose log it is.
    CheckIdentity,
}

/// A pipeline as others hold it.
#[derive(Clone)]
pub(crate) struct PipelineHandle {
    /// What it is doing.
    pub(crate) status: StatusCell,
    commands: mpsc::Sender<Command>,
}

/// Few commands are ever under way: they come from people.
const COMMANDS_MAX: usize = 16;

impl PipelineHandle {
    /// A handle and the pipeline's end of it.
    #[must_use]
    pub(crate) fn new(status: StatusCell) -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        (Self { status, commands }, receiver)
    }

    /// Sends a command; false where the pipeline has ended.
    pub(crate) async fn send(&self, command: Command) -> bool {
        self.commands.send(command).await.is_ok()
    }

    /// Has all rows handed to the disk; false where that is to be asked again.
    pub(crate) async fn keep(&self) -> bool {
        let (answer, kept) = oneshot::channel();
        !self.send(Command::Keep(answer)).await || kept.await.unwrap_or(true)
    }
}
