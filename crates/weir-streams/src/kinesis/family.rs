//! Which shards of a stream have been read to their ends, so that their children are read after them.

use super::api::Shard;
use parking_lot::Mutex;
use std::{collections::BTreeSet, time::Duration};

/// A parent that nobody begins to read within this is not waited for: the table may not read it.
const GRACE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Known {
    opened: BTreeSet<u32>,
    ended: BTreeSet<u32>,
    /// Those that the service told of when it was last asked.
    listed: BTreeSet<u32>,
}

/// The shards of one table's stream.
pub(super) struct Family {
    /// Those that the table reads, where it does not read all.
    only: Option<Vec<u32>>,
    known: Mutex<Known>,
}

impl Family {
    pub(super) fn new(only: Option<Vec<u32>>) -> Self {
        Self { only, known: Mutex::default() }
    }

    pub(super) fn listed(&self, shards: &[Shard]) {
        self.known.lock().listed = shards.iter().map(|shard| shard.number).collect();
    }

    pub(super) fn opened(&self, number: u32) {
        self.known.lock().opened.insert(number);
    }

    pub(super) fn ended(&self, number: u32) {
        self.known.lock().ended.insert(number);
    }

    /// Whether a shard's turn has come, `since` its reader was opened.
    pub(super) fn may_read(&self, shard: &Shard, since: Duration) -> bool {
        let known = self.known.lock();
        shard.parents.iter().all(|parent| {
            let read_here = self.only.as_ref().is_none_or(|only| only.contains(parent));
            let gone = !known.listed.contains(parent);
            gone || !read_here || known.ended.contains(parent) || (since >= GRACE && !known.opened.contains(parent))
        })
    }
}
