//! Transactions wait in a bounded queue for the one writer, which takes all that wait and syncs once for them. Who finds
//! the file closed after an error of the disk waits there too: only the writer opens it again.

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

/// A reader that found the file unusable, with where its answer goes.
pub(super) struct Unreadable {
    /// Which opening of the file it was.
    pub(super) opening: u64,
    pub(super) answer: oneshot::Sender<Result<(), CatalogError>>,
}

enum Asked {
    Txn(Waiting),
    Open(Unreadable),
}

/// All that waited at once.
#[derive(Default)]
pub(super) struct Group {
    pub(super) txns: Vec<Waiting>,
    pub(super) unreadable: Vec<Unreadable>,
}

impl Group {
    fn add(&mut self, asked: Asked) {
        match asked {
            Asked::Txn(waiting) => self.txns.push(waiting),
            Asked::Open(reader) => self.unreadable.push(reader),
        }
    }
}

/// The entrance of the queue.
#[derive(Clone)]
pub(super) struct Entrance(mpsc::Sender<Asked>);

/// The writer's end of the queue.
pub(super) struct Exit(mpsc::Receiver<Asked>);

pub(super) fn queue() -> (Entrance, Exit) {
    let (entrance, exit) = mpsc::channel(QUEUED);
    (Entrance(entrance), Exit(exit))
}

impl Entrance {
    pub(super) async fn pass(&self, checks: Vec<Check>, ops: Vec<Op>) -> Result<TxnOutcome, CatalogError> {
        self.ask(|answer| Asked::Txn(Waiting { checks, ops, answer })).await
    }

    /// Has the file opened again after an error of the disk, unless that was done since `opening`.
    pub(super) async fn open_again(&self, opening: u64) -> Result<(), CatalogError> {
        self.ask(|answer| Asked::Open(Unreadable { opening, answer })).await
    }

    async fn ask<T>(
        &self,
        asked: impl FnOnce(oneshot::Sender<Result<T, CatalogError>>) -> Asked,
    ) -> Result<T, CatalogError> {
        let (answer, answered) = oneshot::channel();
        self.0.send(asked(answer)).await.map_err(|_| CatalogError::Closed)?;
        answered.await.unwrap_or(Err(CatalogError::Closed))
    }
}

impl Exit {
    /// Waits until somebody asks and takes those that wait behind it; `None` once nobody can ask any more. Blocks.
    pub(super) fn take(&mut self) -> Option<Group> {
        let mut group = Group::default();
        group.add(self.0.blocking_recv()?);
        while group.txns.len() < GROUP
            && let Ok(next) = self.0.try_recv()
        {
            group.add(next);
        }
        Some(group)
    }
}
