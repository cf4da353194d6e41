//! Removes what is too old and cleans up what nobody names: segments, local files and folders, objects of the deep store.
//!
//! A segment goes in this order: its record, in one transaction that keeps its counts and notes its object; the snapshot
//! that new queries take; the local file, which a query that holds an older snapshot has mapped and keeps; and, when its
//! time has come, the object, and then the note. Each step looks at what is there and what the records say, so whoever
//! dies anywhere goes on at the next round.

mod clean;
mod decide;

pub(crate) use clean::{delete_objects, object_keys};
pub(crate) use decide::ORPHANED_AFTER;

use crate::{deps::IngestDeps, node::IngestNode, table::TableRuntime};
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use weir_base::SharedClock;
use weir_control::Expiry;

/// The first round is this long after the start: tables that are opened have better things to do.
const FIRST_AFTER: Duration = Duration::from_secs(60);
/// Rounds are this far apart: a listing of some folders and records each.
const EVERY: Duration = Duration::from_secs(5 * 60);
/// Each twelfth round, one an hour, is a thorough one: the deep store is listed, which costs money, and tables that keep
/// rows for long lose what is older, which is an entry of the audit.
const THOROUGH: u64 = 12;
/// Tables that keep rows for less than this lose what is older in every round.
const BRIEF: Duration = Duration::from_secs(8 * 60 * 60);

/// What a round removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cleaned {
    /// Segments whose records are gone.
    pub segments: u64,
    /// Objects of the deep store.
    pub objects: u64,
    /// Local files and folders.
    pub files: u64,
}

impl Cleaned {
    fn add(&mut self, other: Self) {
        self.segments += other.segments;
        self.objects += other.objects;
        self.files += other.files;
    }
}

/// Who removes segments of a table and who starts its partitions from the records take turns: what was read of the records
/// must not be shown after it was removed.
#[derive(Default)]
pub(crate) struct Removing {
    pub(crate) turn: tokio::sync::Mutex<()>,
    /// How many segments without a time were told of.
    told: AtomicUsize,
}

impl Removing {
    /// Says that segments are kept whose time is not known: once, and again when there are more.
    fn tell(&self, runtime: &TableRuntime, expiry: &Expiry) {
        let count = expiry.without_time.len();
        if count > self.told.swap(count, Ordering::Relaxed)
            && let Some(first) = expiry.without_time.first()
        {
            let table = runtime.context().on_node.name().to_string();
            tracing::warn!(table, count, first = %first.name, "segments are kept: the time of their rows is not known");
        }
    }
}

/// Rounds while the node is at work.
pub(crate) async fn keep_clean(node: Weak<IngestNode>, clock: SharedClock) {
    clock.sleep(FIRST_AFTER).await;
    for round in 0_u64.. {
        let Some(alive) = node.upgrade() else { return };
        let cleaned = alive.round(round.is_multiple_of(THOROUGH)).await;
        drop(alive);
        if cleaned != Cleaned::default() {
            let Cleaned { segments, objects, files } = cleaned;
            tracing::info!(segments, objects, files, "removed what is too old or not named any more");
        }
        clock.sleep(EVERY).await;
    }
}

impl IngestNode {
    /// A thorough round now. What fails is logged and done by a later one.
    pub async fn clean(&self) -> Cleaned {
        self.round(true).await
    }

    async fn round(&self, thorough: bool) -> Cleaned {
        let mut cleaned = Cleaned::default();
        for runtime in self.runtimes() {
            match clean::table(&runtime, thorough).await {
                Ok(of) => cleaned.add(of),
                Err(error) => {
                    let table = runtime.context().on_node.name().to_string();
                    tracing::warn!(table, %error, "a table could not be cleaned up yet");
                }
            }
        }
        cleaned.objects += delete_left(self.deps()).await;
        if thorough {
            cleaned.objects += clean::unfinished(self.deps()).await;
            match clean::folders(self.deps()).await {
                Ok(files) => cleaned.files += files,
                Err(error) => tracing::warn!(%error, "folders of tables that are gone stay for now"),
            }
        }
        cleaned
    }

    fn runtimes(&self) -> Vec<Arc<TableRuntime>> {
        self.names().iter().filter_map(|name| self.runtime(name).ok()).collect()
    }
}

/// Deletes what the deep store holds of dropped tables; says how many objects. What fails is logged and done by a later round.
pub(crate) async fn delete_left(deps: &IngestDeps) -> u64 {
    clean::left(deps).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "it is not known of which dropped tables objects are left");
        0
    })
}
