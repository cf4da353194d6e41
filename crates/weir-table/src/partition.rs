//! What is visible of one partition: loaded segments, those being sealed, and the open one, swapped as one value.
//!
//! Publishing the open segment touches neither the sealed list nor another partition: the list is shared and copied only
//! when a segment is added or replaced.

use crate::recorded::SegmentHandle;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};
use weir_types::{NextOffset, StreamPartition};

/// A segment that is whole: sealed, or frozen and being sealed.
#[derive(Clone)]
pub struct LoadedSegment {
    /// Its name.
    pub name: Arc<str>,
    /// Its rows.
    pub segment: SegmentHandle,
    /// The rows that count; all where there is none.
    pub validity: Option<Arc<RoaringBitmap>>,
}

/// What has to be read again before answers are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Everything before this was visible once.
    At(NextOffset),
    /// What was visible is not known: the end of the log, as soon as the stream says it.
    EndOfLog,
}

impl Target {
    /// Whether all that was visible before is visible at `next`.
    #[must_use]
    pub fn reached(self, next: NextOffset) -> bool {
        matches!(self, Self::At(target) if next >= target)
    }

    /// Both have to be reached.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::At(one), Self::At(other)) => Self::At(one.max(other)),
            _ => Self::EndOfLog,
        }
    }
}

/// One immutable state of a partition.
#[derive(Clone)]
pub struct PartitionSnapshot {
    /// Whole segments, in the order of their ranges.
    pub whole: Arc<Vec<LoadedSegment>>,
    /// Whole segments of rows that were replayed from the quarantine, in no range.
    pub replayed: Arc<Vec<LoadedSegment>>,
    /// The open segment.
    pub open: Option<LoadedSegment>,
    /// One past the last message whose rows are here.
    pub next: NextOffset,
    /// Until `next` has reached this, rows that were visible before are missing.
    pub target: Target,
    /// Segments that the catalog names and that are not loaded.
    pub absent: Arc<Vec<Arc<str>>>,
}

impl PartitionSnapshot {
    /// Whether a whole segment is here.
    #[must_use]
    pub fn is_loaded(&self, name: &str) -> bool {
        self.whole.iter().chain(&*self.replayed).any(|present| &*present.name == name)
    }
}

/// One partition as readers see it.
pub struct PartitionView {
    partition: StreamPartition,
    current: ArcSwap<PartitionSnapshot>,
    /// Writers (the pipeline, the sealer, the loader) take turns; readers never wait for it.
    writing: Mutex<()>,
    /// Everything up to this wall time (milliseconds) is visible.
    fresh_as_of_ms: AtomicI64,
}

impl PartitionView {
    /// A partition of which nothing is visible; `absent` names the segments that have to be loaded first.
    #[must_use]
    pub fn new(partition: StreamPartition, next: NextOffset, target: Target, absent: Vec<Arc<str>>) -> Arc<Self> {
        let snapshot = PartitionSnapshot {
            whole: Arc::default(),
            replayed: Arc::default(),
            open: None,
            next,
            target,
            absent: Arc::new(absent),
        };
        Arc::new(Self {
            partition,
            current: ArcSwap::from_pointee(snapshot),
            writing: Mutex::new(()),
            fresh_as_of_ms: AtomicI64::new(0),
        })
    }

    /// Whose rows these are.
    #[must_use]
    pub fn partition(&self) -> &StreamPartition {
        &self.partition
    }

    /// What is visible now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<PartitionSnapshot> {
        self.current.load_full()
    }

    /// Up to which wall time (milliseconds) messages are visible; 0 where nothing was read yet.
    #[must_use]
    pub fn fresh_as_of_ms(&self) -> i64 {
        self.fresh_as_of_ms.load(Ordering::Relaxed)
    }

    /// Says up to which wall time messages are visible.
    pub fn set_fresh_as_of_ms(&self, wall_ms: i64) {
        self.fresh_as_of_ms.store(wall_ms, Ordering::Relaxed);
    }

    /// Shows a newer state of the open segment, up to `next`.
    pub fn publish_open(&self, open: LoadedSegment, next: NextOffset) {
        self.change(|snapshot| {
            snapshot.open = Some(open);
            snapshot.next = next;
        });
    }

    /// The open segment becomes a whole one, still served from memory, and nothing is open.
    pub fn freeze_open(&self) {
        self.change(|snapshot| {
            if let Some(open) = snapshot.open.take() {
                Arc::make_mut(&mut snapshot.whole).push(open);
            }
        });
    }

    /// Puts a whole segment in place: of the frozen one of its name, or of its absence. Segments stay in the order of
    /// their sequence, which `order` tells.
    pub fn place(&self, loaded: LoadedSegment, order: &dyn Fn(&str) -> u32) {
        self.change(|snapshot| {
            if snapshot.absent.contains(&loaded.name) {
                Arc::make_mut(&mut snapshot.absent).retain(|name| *name != loaded.name);
            }
            let whole = Arc::make_mut(&mut snapshot.whole);
            match whole.iter_mut().find(|present| present.name == loaded.name) {
                Some(present) => *present = loaded,
                None => {
                    let at = whole.partition_point(|present| order(&present.name) < order(&loaded.name));
                    whole.insert(at, loaded);
                }
            }
        });
    }

    /// Puts a whole segment in place of the one of its name, where that is still shown.
    pub fn replace(&self, loaded: LoadedSegment) {
        self.change(|snapshot| {
            if let Some(at) = snapshot.whole.iter().position(|present| present.name == loaded.name) {
                Arc::make_mut(&mut snapshot.whole)[at] = loaded;
            }
        });
    }

    /// Puts a segment of replayed rows in place.
    pub fn place_replayed(&self, loaded: LoadedSegment) {
        self.change(|snapshot| {
            if snapshot.absent.contains(&loaded.name) {
                Arc::make_mut(&mut snapshot.absent).retain(|name| *name != loaded.name);
            }
            let replayed = Arc::make_mut(&mut snapshot.replayed);
            match replayed.iter_mut().find(|present| present.name == loaded.name) {
                Some(present) => *present = loaded,
                None => replayed.push(loaded),
            }
        });
    }

    /// Puts segments in place, all in one change, but for those that nobody waits for any more; gives those that it did.
    pub fn fill(&self, loaded: Vec<LoadedSegment>, order: &dyn Fn(&str) -> u32) -> Vec<LoadedSegment> {
        let mut filled = vec![];
        self.change(|snapshot| {
            let absent: BTreeSet<Arc<str>> = snapshot.absent.iter().cloned().collect();
            filled = loaded.into_iter().filter(|segment| absent.contains(&segment.name)).collect();
            let names: BTreeSet<&Arc<str>> = filled.iter().map(|segment| &segment.name).collect();
            Arc::make_mut(&mut snapshot.absent).retain(|name| !names.contains(name));
            let whole = Arc::make_mut(&mut snapshot.whole);
            whole.extend(filled.iter().cloned());
            // Nearly sorted already: two runs.
            whole.sort_by_cached_key(|segment| order(&segment.name));
        });
        filled
    }

    /// The records name these whole segments no more: they are neither shown nor waited for. Who holds a snapshot keeps
    /// its rows.
    pub fn remove(&self, names: &BTreeSet<Arc<str>>) {
        self.change(|snapshot| {
            Arc::make_mut(&mut snapshot.whole).retain(|present| !names.contains(&present.name));
            Arc::make_mut(&mut snapshot.replayed).retain(|present| !names.contains(&present.name));
            Arc::make_mut(&mut snapshot.absent).retain(|absent| !names.contains(absent));
        });
    }

    /// Moves on without rows: offsets up to `next` hold none for us. The recovery target may be lowered with it where the
    /// stream no longer holds what was visible.
    pub fn advance(&self, next: NextOffset, target: Option<Target>) {
        self.change(|snapshot| {
            snapshot.next = next;
            if let Some(target) = target {
                snapshot.target = target;
            }
        });
    }

    /// Reading starts over at `next`, from the records: the open segment's rows go with the pipeline that read them, and
    /// of the segments that the records name as whole those stay that are loaded, and no others: one whose end is not on the
    /// record is read on. What was visible is owed again.
    pub fn start_over(&self, next: NextOffset, target: Target, named: &[Arc<str>]) {
        self.change(|snapshot| {
            let seen = Target::At(snapshot.next);
            snapshot.target = seen.and(snapshot.target).and(target);
            snapshot.open = None;
            snapshot.next = next;
            let whole = snapshot.whole.iter().filter(|whole| named.contains(&whole.name)).cloned().collect();
            snapshot.whole = Arc::new(whole);
            let missing = named.iter().filter(|name| !snapshot.is_loaded(name)).cloned().collect();
            snapshot.absent = Arc::new(missing);
        });
    }

    fn change(&self, change: impl FnOnce(&mut PartitionSnapshot)) {
        let _turn = self.writing.lock();
        let mut snapshot = (**self.current.load()).clone();
        change(&mut snapshot);
        self.current.store(Arc::new(snapshot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_segment::{ConsumingSegment, ConsumingSpec, Segment};
    use weir_types::{Schema, SchemaVersion, TopicName};

    fn loaded(name: &str) -> LoadedSegment {
        let spec = ConsumingSpec {
            name: name.into(),
            schema: Arc::new(Schema::new("t", SchemaVersion(0), vec![])),
            no_dictionary: Default::default(),
            keep_offsets: false,
            created_ms: 0,
        };
        let segment: Arc<dyn Segment> = ConsumingSegment::new(spec).snapshot();
        LoadedSegment { name: name.into(), segment: segment.into(), validity: None }
    }

    #[test]
    fn starting_over_drops_open_rows_and_owes_what_was_visible() {
        let partition = StreamPartition { topic: TopicName::parse("t").unwrap(), partition: 0 };
        let view = PartitionView::new(partition, NextOffset::ZERO, Target::At(NextOffset::ZERO), vec![]);
        view.publish_open(loaded("a"), NextOffset::new(5));
        view.freeze_open();
        view.publish_open(loaded("b"), NextOffset::new(9));
        let named = ["a".into(), "b".into()];
        view.start_over(NextOffset::new(7), Target::At(NextOffset::new(7)), &named);
        let snapshot = view.snapshot();
        assert!(snapshot.open.is_none());
        assert_eq!(snapshot.whole.len(), 1);
        assert_eq!(*snapshot.absent, ["b".into()]);
        assert_eq!((snapshot.next, snapshot.target), (NextOffset::new(7), Target::At(NextOffset::new(9))));
        view.place(loaded("b"), &|name| u32::from(name == "b"));
        assert!(view.snapshot().absent.is_empty());
        view.place_replayed(loaded("r"));
        view.start_over(NextOffset::new(7), Target::At(NextOffset::new(7)), &["a".into(), "b".into(), "r".into()]);
        assert!(view.snapshot().absent.is_empty() && !view.snapshot().target.reached(NextOffset::new(8)));
        // The end of `b` is not on the record after all: it is read on, and must not be seen twice.
        view.start_over(NextOffset::new(6), Target::At(NextOffset::new(7)), &["a".into(), "r".into()]);
        assert_eq!(view.snapshot().whole.iter().map(|whole| &*whole.name).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn what_was_removed_is_not_shown_and_does_not_come_back() {
        let partition = StreamPartition { topic: TopicName::parse("t").unwrap(), partition: 0 };
        let absent = ["a".into(), "c".into()];
        let view = PartitionView::new(partition, NextOffset::ZERO, Target::At(NextOffset::ZERO), absent.to_vec());
        let order = |name: &str| u32::from(name.as_bytes()[0]);
        view.place(loaded("b"), &order);
        assert_eq!(view.fill(vec![loaded("a")], &order).len(), 1);
        let held = view.snapshot();
        view.remove(&["a".into(), "c".into()].into());
        let names = |snapshot: &PartitionSnapshot| {
            snapshot.whole.iter().map(|segment| segment.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!((names(&held), names(&view.snapshot())), (vec!["a".into(), "b".into()], vec!["b".into()]));
        assert!(view.snapshot().absent.is_empty());
        assert!(view.fill(vec![loaded("a"), loaded("c")], &order).is_empty(), "nobody waits for them");
        assert_eq!(names(&view.snapshot()), ["b"]);
    }
}
