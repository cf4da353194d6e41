//! Keeps some of the disk free: where it falls below its floor, local copies of what the deep store has go, the least
//! recently used first. The catalog knows nothing of it; a query that needs such a segment fetches it again.
//!
//! Whoever has a copy mapped keeps it to its end, and only then its space is free: a round counts what is on its way.

mod decide;

pub use decide::DiskFloor;

use crate::{deps::IngestDeps, node::IngestNode};
use decide::{Copy, evictions};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Weak},
    time::Duration,
};
use weir_base::{
    DirEntry, SharedClock,
    metrics::{Counter, Gauge, Labels},
};
use weir_segment::SealedSegment;
use weir_table::{RecordedSegment, SegmentCache};

/// The disk is looked at so often: a stream that fills a gigabyte a second leaves no floor in less than some seconds, and a
/// look costs microseconds.
const EVERY: Duration = Duration::from_secs(2);

/// What the rounds know of each other.
#[derive(Default)]
pub(crate) struct Floor(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// The disk is below its floor, and that was said.
    below: bool,
    /// It is, no copy is left to go, and that was said.
    nothing_left: bool,
    /// Copies that went since it is.
    gone: u64,
    /// Segments that the deep store does not have, against their records: their copies stay.
    only_here: BTreeSet<Arc<str>>,
    /// Files that are gone and whose space somebody still has, with their bytes.
    held: Vec<(Weak<SealedSegment>, u64)>,
}

impl Known {
    /// Bytes that come free when those who have them let go.
    fn coming(&mut self) -> u64 {
        self.held.retain(|(file, _)| file.strong_count() > 0);
        self.held.iter().map(|(_, byte_count)| byte_count).sum()
    }
}

/// What a round saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Space {
    free: u64,
    floor: u64,
}

fn space(deps: &IngestDeps) -> io::Result<Space> {
    let dir = &deps.options.dir;
    // The folder of tables may not be there before the first of them.
    let dir = if deps.disk.list(dir)?.is_empty() { dir.parent().unwrap_or(dir) } else { dir };
    let floor = deps.options.disk_floor.bytes(deps.disk.total_bytes(dir)?);
    Ok(Space { free: deps.disk.free_bytes(dir)?, floor })
}

/// Whether a file of that size fits above the floor. Where the disk does not say, it is tried.
pub(crate) fn has_room(deps: &IngestDeps, byte_count: u64) -> bool {
    space(deps).map_or(true, |space| space.floor == 0 || space.free >= space.floor.saturating_add(byte_count))
}

/// Rounds while the node is at work.
pub(crate) async fn keep_floor(node: Weak<IngestNode>, clock: SharedClock) {
    loop {
        clock.sleep(EVERY).await;
        let Some(alive) = node.upgrade() else { return };
        if let Err(error) = alive.keep_floor().await {
            tracing::warn!(%error, "the free space of the disk cannot be told");
        }
    }
}

/// A segment with a copy, and where that lies.
#[derive(Clone)]
struct Candidate {
    segment: Arc<RecordedSegment>,
    cache: Arc<SegmentCache>,
    table: Arc<str>,
}

/// Gives up copies, whose bytes stand beside them. Gives those that went, each with whoever still has it mapped.
fn evict(leaving: Vec<(Candidate, u64)>) -> Vec<(Candidate, u64, Weak<SealedSegment>)> {
    let mut gone: Vec<(Candidate, u64, Weak<SealedSegment>)> = vec![];
    for (candidate, byte_count) in leaving {
        let segment = candidate.segment.facts().name.clone();
        match candidate.segment.evict() {
            Ok(Some(held)) => {
                tracing::debug!(segment = &*segment, byte_count, "a local copy is given up");
                gone.push((candidate, byte_count, held));
            }
            // Somebody opens it.
            Ok(None) => {}
            Err(error) => tracing::warn!(segment = &*segment, %error, "a local copy that was to go stays"),
        }
    }
    let caches: BTreeMap<&Arc<str>, &Arc<SegmentCache>> =
        gone.iter().map(|(candidate, ..)| (&candidate.table, &candidate.cache)).collect();
    for cache in caches.values() {
        if let Err(error) = cache.sync() {
            tracing::warn!(folder = %cache.dir().display(), %error, "removed copies may come back after a power loss");
        }
    }
    gone
}

impl IngestNode {
    /// A round now: says how many local copies went.
    pub async fn keep_floor(&self) -> io::Result<u64> {
        let deps = self.deps().clone();
        let heavy = deps.options.heavy;
        let Space { free, floor } = heavy.run(move || space(&deps)).await?;
        let labels = Labels { table: "".into(), topic: "".into(), partition: None };
        let gauge = |gauge, bytes| self.deps().metrics.gauge(gauge, &labels, i64::try_from(bytes).unwrap_or(i64::MAX));
        gauge(Gauge::DiskFreeBytes, free);
        gauge(Gauge::DiskFloorBytes, floor);
        if free >= floor {
            self.is_above(free, floor);
            return Ok(0);
        }
        self.is_below(free, floor);
        let (candidates, copies) = self.copies().await?;
        let coming = self.floor.0.lock().coming();
        let leaving = evictions(free, coming, floor, &copies);
        if leaving.is_empty() && coming == 0 {
            self.has_nothing_left(free, floor);
        }
        let mut sure = vec![];
        for at in leaving {
            if self.is_elsewhere(&candidates[at]).await {
                sure.push((candidates[at].clone(), copies[at].byte_count));
            }
        }
        let leaving = sure;
        let gone = heavy.run(move || evict(leaving)).await;
        let mut known = self.floor.0.lock();
        known.gone += gone.len() as u64;
        for (candidate, byte_count, held) in &gone {
            let labels = Labels { table: candidate.table.clone(), topic: "".into(), partition: None };
            self.deps().metrics.count(Counter::CopiesEvicted, &labels, 1);
            known.held.push((held.clone(), *byte_count));
        }
        Ok(gone.len() as u64)
    }

    /// Whether the deep store has what this is a copy of: it is asked before the last one goes. Where it does not answer
    /// the copy stays, and the next round asks again.
    async fn is_elsewhere(&self, candidate: &Candidate) -> bool {
        let facts = candidate.segment.facts();
        let (table, segment) = (&*candidate.table, &*facts.name);
        match candidate.cache.is_stored(facts).await {
            Ok(true) => true,
            Ok(false) => {
                self.floor.0.lock().only_here.insert(facts.name.clone());
                tracing::error!(
                    table,
                    segment,
                    object = &*facts.key,
                    "the deep store does not have the object that was committed: the local copy stays, for it is the only one"
                );
                false
            }
            Err(error) => {
                tracing::warn!(table, segment, %error, "the deep store does not answer: a local copy that was to go stays");
                false
            }
        }
    }

    /// Local copies of committed segments that are shown.
    async fn copies(&self) -> io::Result<(Vec<Candidate>, Vec<Copy>)> {
        let (mut candidates, mut copies) = (vec![], vec![]);
        for name in self.names() {
            let Ok(runtime) = self.runtime(&name) else { continue };
            let context = runtime.context().clone();
            let (disk, dir) = (context.deps.disk.clone(), context.cache.dir().to_owned());
            let files = context.deps.options.heavy.run(move || disk.list(&dir)).await?;
            let sizes: BTreeMap<String, u64> =
                files.into_iter().map(|DirEntry { name, byte_count, .. }| (name, byte_count)).collect();
            let table: Arc<str> = name.as_str().into();
            for view in context.on_node.partitions().values() {
                let shown = view.snapshot();
                for segment in shown.whole.iter().chain(&*shown.replayed) {
                    let Some(recorded) = segment.segment.recorded() else { continue };
                    if self.floor.0.lock().only_here.contains(&segment.name) {
                        continue;
                    }
                    let Some(byte_count) = sizes.get(&format!("{}.weir", segment.name)) else { continue };
                    let used = recorded.used();
                    copies.push(Copy { name: segment.name.clone(), byte_count: *byte_count, used });
                    let (segment, cache) = (recorded.clone(), context.cache.clone());
                    candidates.push(Candidate { segment, cache, table: table.clone() });
                }
            }
        }
        Ok((candidates, copies))
    }

    fn is_below(&self, free: u64, floor: u64) {
        let mut known = self.floor.0.lock();
        if !known.below {
            known.below = true;
            tracing::warn!(
                free,
                floor,
                "the disk is below its floor: local copies of uploaded segments go, the least recently used first"
            );
        }
    }

    fn has_nothing_left(&self, free: u64, floor: u64) {
        let mut known = self.floor.0.lock();
        if !known.nothing_left {
            known.nothing_left = true;
            tracing::error!(
                free,
                floor,
                "the disk is below its floor and no local copy of an uploaded segment is left: make room, or lower --disk-floor"
            );
        }
    }

    fn is_above(&self, free: u64, floor: u64) {
        let mut known = self.floor.0.lock();
        if known.below {
            let copies = known.gone;
            tracing::info!(free, floor, copies, "the disk is above its floor again");
            *known = Known { held: std::mem::take(&mut known.held), ..Known::default() };
        }
    }
}
