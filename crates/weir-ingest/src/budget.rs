//! The memory of a node's open and frozen rows, kept below a bound.
//!
//! Counted is what rows have asked the allocator for. It hands out more, as its sizes go in steps, so a part of the bound is
//! left to it. From half of the rest on, the largest open segment is sealed early: its rows become a file, which the system
//! may page out. When all of it is held, nothing is fetched until segments that are being built have let go. A batch that is
//! under way when that happens is still taken, so the bound may be passed by as many batches as there are partitions that
//! fetch at once.

use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};

/// The part of the bound that the allocator keeps beside what rows hold: its sizes go in steps of a quarter at most.
const ALLOCATOR_KEEPS: u64 = 8;

/// What all partitions of a node hold.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: u64,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    next: u64,
    /// Bytes of open segments, by partition.
    open: BTreeMap<u64, u64>,
    /// Bytes of segments that are not built yet.
    frozen: u64,
}

/// What a partition is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ruling {
    /// Its open segment is the one to be sealed.
    pub(crate) seal: bool,
    /// It may fetch.
    pub(crate) fetch: bool,
}

/// One partition's part.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    number: u64,
}

/// Frozen rows, held until this is dropped.
#[derive(Debug)]
pub(crate) struct Frozen {
    budget: Arc<Budget>,
    bytes: u64,
}

/// Pure: what the partition `number` is to do, of `bytes` in all.
fn rule(bytes: u64, held: &Held, number: u64) -> Ruling {
    let open: u64 = held.open.values().sum();
    let largest = held.open.iter().max_by_key(|(_, bytes)| **bytes);
    let seal = open > bytes / 2 && largest.is_some_and(|(largest, bytes)| *largest == number && *bytes > 0);
    Ruling { seal, fetch: open + held.frozen < bytes }
}

impl Budget {
    /// A bound of that many bytes, of which rows may hold a part.
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { bytes: bytes - bytes / ALLOCATOR_KEEPS, held: Mutex::default() })
    }

    /// A partition's part, with nothing in it.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        let mut held = self.held.lock();
        held.next += 1;
        Share { budget: self.clone(), number: held.next }
    }
}

impl Share {
    /// Says what the open segment holds.
    pub(crate) fn hold(&self, bytes: u64) {
        self.budget.held.lock().open.insert(self.number, bytes);
    }

    /// What to do now.
    pub(crate) fn ruling(&self) -> Ruling {
        rule(self.budget.bytes, &self.budget.held.lock(), self.number)
    }

    /// The open segment became one that is to be built.
    pub(crate) fn freeze(&self, bytes: u64) -> Frozen {
        let mut held = self.budget.held.lock();
        held.open.remove(&self.number);
        held.frozen += bytes;
        Frozen { budget: self.budget.clone(), bytes }
    }

    /// What rows may hold, in bytes.
    pub(crate) fn bound(&self) -> u64 {
        self.budget.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.lock().open.remove(&self.number);
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.budget.held.lock().frozen -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_sealed_from_half_on_and_nothing_is_fetched_when_all_is_held() {
        let budget = Budget::new(114);
        let (small, large) = (budget.share(), budget.share());
        let ruling = |seal, fetch| Ruling { seal, fetch };
        let hold = |share: &Share, bytes| {
            share.hold(bytes);
            share.ruling()
        };
        assert_eq!(hold(&small, 20), ruling(false, true));
        assert_eq!(hold(&large, 30), ruling(false, true));
        assert_eq!(hold(&large, 31), ruling(true, true));
        assert_eq!(small.ruling(), ruling(false, true), "it is not the largest");
        let frozen = large.freeze(31);
        assert_eq!(hold(&small, 50), ruling(false, true));
        assert_eq!(hold(&small, 69), ruling(true, false), "sealing goes on where nothing is fetched");
        drop(frozen);
        assert_eq!(small.ruling(), ruling(true, true));
        drop(small);
        assert_eq!(hold(&large, 99), ruling(true, true));
        assert_eq!(hold(&large, 0), ruling(false, true));
    }
}
