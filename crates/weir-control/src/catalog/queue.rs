//! Transactions wait in a bounded queue for the one writer, which takes all that wait and syncs once for them.

use crate::catalog::{CatalogError, Check, Op, TxnOutcome};
use tokio::sync::{mpsc, oneshot};

/// Transactions that may wait: more callers than this wait to be let in.
const QUEUED: usize = 1024;

/// Transactions that share one sync. Bounds the memory and the time of one commit.
const GROUP: usize = 256;

/// A transaction that waits, with where its answer goes.
pub(super) struct Waiting {
    pub(super) checks: Vec<Check>,
    pub(super) ops: Vec<Op>,
    pub(super) answer: oneshot::Sender<Result<TxnOutcome, CatalogError>>,
}

/// The entrance of the queue.
#[derive(Debug, Clone)]
pub(super) struct Entrance(mpsc::Sender<Waiting>);

/// The writer's end of the queue.
pub(super) struct Exit(mpsc::Receiver<Waiting>);

pub(super) fn queue() -> (Entrance, Exit) {
    let (entrance, exit) = mpsc::channel(QUEUED);
    (Entrance(entrance), Exit(exit))
}

impl Entrance {
    pub(super) async fn pass(&self, checks: Vec<Check>, ops: Vec<Op>) -> Result<TxnOutcome, CatalogError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.send(Waiting { checks, ops, answer }).await;
        sent.map_err(|_| CatalogError::Closed)?;
        answered.await.unwrap_or(Err(CatalogError::Closed))
    }
}

impl Exit {
    /// Waits for a transaction and takes those that wait behind it; `None` once nobody can send any more. Blocks.
    pub(super) fn take(&mut self) -> Option<Vec<Waiting>> {
        let mut taken = vec![self.0.blocking_recv()?];
        while taken.len() < GROUP
            && let Ok(next) = self.0.try_recv()
        {
            taken.push(next);
        }
        Some(taken)
    }
}
