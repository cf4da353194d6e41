//! How much of a disk stays free, and which local copies go for it. Pure: facts in, a list out.

use std::sync::Arc;

/// How much of the disk with the data folder stays free: below it local copies of what the deep store has are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFloor {
    /// So many bytes; 0 keeps every copy.
    Bytes(u64),
    /// A share of the disk, and no more than so many bytes.
    Share {
        /// Of a hundred.
        percent: u8,
        /// Bytes.
        at_most: u64,
    },
}

impl Default for DiskFloor {
    /// A twentieth, as file systems keep for themselves, and no more than 16 GiB: that is room for minutes of log, catalog
    /// and segments to be built even on a fast stream, however large the disk is.
    fn default() -> Self {
        Self::Share { percent: 5, at_most: 16 << 30 }
    }
}

impl DiskFloor {
    /// The bytes that stay free of a disk of `total` bytes.
    #[must_use]
    pub fn bytes(self, total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Share { percent, at_most } => (total / 100).saturating_mul(percent.into()).min(at_most),
        }
    }
}

/// A local copy of a segment that is in the deep store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copy {
    /// The segment's name.
    pub(super) name: Arc<str>,
    /// Bytes of the file.
    pub(super) byte_count: u64,
    /// When it was last asked for; greater is later.
    pub(super) used: u64,
}

/// Which copies go, as positions in `copies`: the least recently used first, and no more than are needed so that `free`
/// bytes, and those that come free by themselves (`coming`), reach the floor.
pub(super) fn evictions(free: u64, coming: u64, floor: u64, copies: &[Copy]) -> Vec<usize> {
    let mut needed = floor.saturating_sub(free.saturating_add(coming));
    let mut order: Vec<usize> = (0..copies.len()).filter(|at| copies[*at].byte_count > 0).collect();
    order.sort_by_key(|at| (copies[*at].used, &copies[*at].name));
    let mut gone = vec![];
    for at in order {
        if needed == 0 {
            break;
        }
        needed = needed.saturating_sub(copies[at].byte_count);
        gone.push(at);
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copies() -> Vec<Copy> {
        let copy = |name: &str, byte_count, used| Copy { name: name.into(), byte_count, used };
        vec![copy("d", 40, 9), copy("b", 10, 3), copy("a", 20, 3), copy("c", 30, 7), copy("gone", 0, 1)]
    }

    fn names(free: u64, coming: u64, floor: u64) -> String {
        let copies = copies();
        evictions(free, coming, floor, &copies).into_iter().map(|at| &*copies[at].name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_least_recently_used_go_and_no_more_than_are_needed() {
        assert_eq!(names(100, 0, 100), "");
        assert_eq!(names(99, 0, 100), "a", "of two that were used at the same time the first by name");
        assert_eq!(names(80, 0, 100), "a");
        assert_eq!(names(79, 0, 100), "a b");
        assert_eq!(names(69, 0, 100), "a b c");
        assert_eq!(names(0, 0, 100), "a b c d", "all there are, though they do not do");
        assert_eq!(names(0, 0, 0), "");
    }

    #[test]
    fn what_comes_free_by_itself_is_waited_for() {
        assert_eq!(names(50, 50, 100), "");
        assert_eq!(names(50, 20, 100), "a b");
        assert_eq!(names(u64::MAX, u64::MAX, u64::MAX), "");
    }

    #[test]
    fn a_floor_is_a_number_or_a_share_with_a_bound() {
        assert_eq!(DiskFloor::Bytes(7).bytes(3), 7);
        assert_eq!(DiskFloor::Share { percent: 10, at_most: u64::MAX }.bytes(1 << 40), (1 << 40) / 100 * 10);
        assert_eq!(DiskFloor::default().bytes(100 << 30), 5 * ((100 << 30) / 100));
        assert_eq!(DiskFloor::default().bytes(u64::MAX), 16 << 30);
    }
}
