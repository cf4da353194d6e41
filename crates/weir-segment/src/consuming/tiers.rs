//! An append-only sequence in immutable pieces: publishing costs the new items, reading meets few pieces.
//!
//! New items come as a piece of their own. Pieces of about one size are merged into the next size, as in an LSM tree,
//! so that an item is copied O(log) times however small the batches are, and the list stays short. Once the tail is
//! large it becomes one frozen piece that is never copied again. A merge makes a new piece; the old ones live on as
//! long as a reader holds them, so nothing a reader holds ever moves.

use std::{ops::Range, sync::Arc};

/// Items after which a tail becomes one frozen piece: enough that a scan spends its time on rows, few enough that the
/// copy, which the writer waits for, is short: at 64 Ki rows of a dozen columns it took four to ten milliseconds beside a
/// build, and every query behind it saw them.
pub(super) const FROZEN_ITEMS: u32 = 16 * 1024;

/// Bytes after which a tail is frozen before that: keeps positions of text far inside 32 bits.
const FROZEN_BYTES: usize = 64 << 20;

/// Pieces of about one size that are merged together. At 4 an item is copied at most 7 times on its way to 16 Ki
/// (two sizes a factor of 16) and the tail holds some two dozen pieces at worst.
const FAN_IN: usize = 4;

/// An immutable run of items, at a place that merging does not change.
pub(super) trait Piece {
    /// Position of its first item in the sequence.
    fn start(&self) -> u32;
    /// How many items.
    fn items(&self) -> u32;
    /// Bytes held.
    fn bytes(&self) -> usize;
}

/// The pieces; cloning copies the short tail and shares the rest.
#[derive(Debug)]
pub(super) struct Tiers<T> {
    frozen: Arc<Vec<Arc<T>>>,
    tail: Vec<Arc<T>>,
    frozen_bytes: usize,
    /// Items after which a tail becomes one frozen piece.
    frozen_items: u32,
}

impl<T> Clone for Tiers<T> {
    fn clone(&self) -> Self {
        Self { frozen: self.frozen.clone(), tail: self.tail.clone(), ..*self }
    }
}

impl<T> Default for Tiers<T> {
    fn default() -> Self {
        Self { frozen: Arc::default(), tail: vec![], frozen_bytes: 0, frozen_items: FROZEN_ITEMS }
    }
}

fn tier(items: u32) -> u32 {
    items.max(1).ilog2() / FAN_IN.ilog2()
}

impl<T: Piece> Tiers<T> {
    /// Appends a piece, merging where enough of a size have gathered. True if the tail was frozen.
    pub(super) fn push(&mut self, piece: T, merge: impl Fn(&[Arc<T>]) -> T) -> bool {
        debug_assert_eq!(piece.start(), self.end(), "pieces follow one another");
        self.tail.push(Arc::new(piece));
        let items: u32 = self.tail.iter().map(|piece| piece.items()).sum();
        let bytes: usize = self.tail.iter().map(|piece| piece.bytes()).sum();
        if items >= self.frozen_items || bytes >= FROZEN_BYTES {
            return self.freeze_tail(merge);
        }
        while let Some(last) = self.tail.last() {
            let size = tier(last.items());
            let alike = self.tail.iter().rev().take_while(|piece| tier(piece.items()) <= size).count();
            if alike < FAN_IN {
                break;
            }
            self.merge_last(alike, &merge);
        }
        false
    }

    /// Makes one frozen piece of the tail; false where there is none.
    pub(super) fn freeze_tail(&mut self, merge: impl Fn(&[Arc<T>]) -> T) -> bool {
        self.merge_last(self.tail.len(), &merge);
        match self.tail.pop() {
            Some(whole) => {
                self.add_frozen(whole);
                true
            }
            None => false,
        }
    }

    /// Appends a piece that is frozen as it is; the tail is empty.
    pub(super) fn push_frozen(&mut self, piece: T) {
        debug_assert!(self.tail.is_empty() && piece.start() == self.end(), "frozen pieces follow one another");
        self.add_frozen(Arc::new(piece));
    }

    fn add_frozen(&mut self, piece: Arc<T>) {
        self.frozen_bytes += piece.bytes();
        Arc::make_mut(&mut self.frozen).push(piece);
    }

    /// Freezes from here on after this many items.
    pub(super) fn freeze_at(&mut self, items: u32) {
        self.frozen_items = items.max(1);
    }

    /// Items after which a tail becomes one frozen piece.
    pub(super) fn frozen_items(&self) -> u32 {
        self.frozen_items
    }

    /// The frozen pieces, in order.
    pub(super) fn frozen(&self) -> &[Arc<T>] {
        &self.frozen
    }

    fn merge_last(&mut self, count: usize, merge: &impl Fn(&[Arc<T>]) -> T) {
        if count > 1 {
            let from = self.tail.len() - count;
            let merged = Arc::new(merge(&self.tail[from..]));
            self.tail.truncate(from);
            self.tail.push(merged);
        }
    }

    /// One past the last item.
    pub(super) fn end(&self) -> u32 {
        self.tail.last().or_else(|| self.frozen.last()).map_or(0, |piece| piece.start() + piece.items())
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.frozen_bytes + self.tail.iter().map(|piece| piece.bytes()).sum::<usize>()
    }

    /// All pieces, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &T> {
        self.frozen.iter().chain(&self.tail).map(|piece| &**piece)
    }

    /// The piece that holds item `at`, which is below `end`.
    pub(super) fn find(&self, at: u32) -> &T {
        let tail_start = self.tail.first().map_or(u32::MAX, |piece| piece.start());
        let list = if at >= tail_start { &self.tail } else { &*self.frozen };
        &list[list.partition_point(|piece| piece.start() <= at) - 1]
    }

    /// The pieces that a range of items touches, each with the part of it that is meant, counted from its start.
    pub(super) fn over(&self, range: Range<u32>) -> impl Iterator<Item = (&T, Range<usize>)> {
        let skip_frozen = self.frozen.partition_point(|piece| piece.start() + piece.items() <= range.start);
        let skip_tail = self.tail.partition_point(|piece| piece.start() + piece.items() <= range.start);
        let (start, end) = (range.start, range.end);
        self.frozen[skip_frozen..]
            .iter()
            .chain(&self.tail[skip_tail..])
            .take_while(move |piece| piece.start() < end && start < end)
            .map(move |piece| {
                let from = start.saturating_sub(piece.start());
                let to = piece.items().min(end - piece.start());
                (&**piece, from as usize..to as usize)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Run {
        start: u32,
        values: Vec<u32>,
    }

    impl Piece for Run {
        fn start(&self) -> u32 {
            self.start
        }
        fn items(&self) -> u32 {
            self.values.len() as u32
        }
        fn bytes(&self) -> usize {
            self.values.len() * 4
        }
    }

    fn merge(runs: &[Arc<Run>]) -> Run {
        Run { start: runs[0].start, values: runs.iter().flat_map(|run| run.values.iter().copied()).collect() }
    }

    fn filled(sizes: &[u32]) -> (Tiers<Run>, u32, usize) {
        let (mut tiers, mut end, mut longest) = (Tiers::default(), 0, 0);
        for size in sizes {
            tiers.push(Run { start: end, values: (end..end + size).collect() }, merge);
            end += size;
            longest = longest.max(tiers.tail.len());
        }
        (tiers, end, longest)
    }

    #[test]
    fn single_items_are_copied_a_few_times_and_the_tail_stays_short() {
        let copied = std::cell::Cell::new(0_usize);
        let mut tiers = Tiers::default();
        let mut longest = 0;
        for at in 0..FROZEN_ITEMS {
            tiers.push(Run { start: at, values: vec![at] }, |runs| {
                copied.set(copied.get() + runs.iter().map(|run| run.values.len()).sum::<usize>());
                merge(runs)
            });
            longest = longest.max(tiers.tail.len());
        }
        assert!(longest <= 27, "{longest}");
        assert!(copied.get() <= 9 * FROZEN_ITEMS as usize, "{}", copied.get());
        assert_eq!((tiers.frozen.len(), tiers.tail.len()), (1, 0));
    }

    proptest! {
        #[test]
        fn pieces_hold_every_item_once_in_order(
            sizes in prop::collection::vec(prop_oneof![1_u32..5, 1_u32..3000, 20_000_u32..70_000], 1..80),
            from in 0.0..1.0_f64,
            to in 0.0..1.0_f64,
        ) {
            let (tiers, end, longest) = filled(&sizes);
            prop_assert!(longest <= 40, "{}", longest);
            prop_assert_eq!(tiers.end(), end);
            let all: Vec<u32> = tiers.pieces().flat_map(|run| run.values.iter().copied()).collect();
            prop_assert!(all.iter().copied().eq(0..end));
            let (from, to) = ((f64::from(end) * from) as u32, (f64::from(end) * to) as u32);
            let got: Vec<u32> = tiers.over(from..to).flat_map(|(run, part)| run.values[part].iter().copied()).collect();
            prop_assert!(got.into_iter().eq(from..to.max(from)));
            let at = from.min(end - 1);
            let run = tiers.find(at);
            prop_assert_eq!(run.values[(at - run.start) as usize], at);
        }
    }
}
