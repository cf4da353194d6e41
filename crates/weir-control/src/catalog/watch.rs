//! Watches: who is interested hears of each change; who listens too slowly is told that something was missed.

use crate::catalog::Entry;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Changes that a slow watcher may be behind before it misses some: a burst of five hundred new partitions fits.
const BACKLOG: usize = 1024;

/// A key that was put or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// What stands there now; `None` = it was removed.
    pub entry: Option<Entry>,
}

/// What a watcher hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// A key changed.
    Changed(Change),
    /// Changes were missed: list again.
    Missed,
}

/// The listening end of a watch.
#[derive(Debug)]
pub struct CatalogWatch {
    prefix: String,
    changes: broadcast::Receiver<Arc<Change>>,
}

impl CatalogWatch {
    /// The next event under the prefix; `None` once the catalog is closed.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            match self.changes.recv().await {
                Ok(change) if change.key.starts_with(&self.prefix) => {
                    return Some(WatchEvent::Changed((*change).clone()));
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => return Some(WatchEvent::Missed),
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// The speaking end.
#[derive(Debug, Clone)]
pub(super) struct Watchers(broadcast::Sender<Arc<Change>>);

impl Watchers {
    pub(super) fn new() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }

    pub(super) fn watch(&self, prefix: &str) -> CatalogWatch {
        CatalogWatch { prefix: prefix.to_owned(), changes: self.0.subscribe() }
    }

    /// Tells all who listen; nobody may.
    pub(super) fn tell(&self, change: Change) {
        if self.0.receiver_count() > 0 {
            self.0.send(Arc::new(change)).ok();
        }
    }
}
