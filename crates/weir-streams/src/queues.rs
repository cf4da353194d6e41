//! The memory that clients of streams may fill with messages that nobody has asked for yet, shared out among readers.
//!
//! A client keeps its own queue and its own bound, set when it is made. A reader gets an equal part for each reader that is
//! there or to be expected; one that was opened when there were fewer keeps what it has.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What all clients together may queue.
#[derive(Debug)]
pub struct Queues {
    bytes: u64,
    readers: AtomicUsize,
}

/// One reader's part.
#[derive(Debug)]
pub(crate) struct QueuePart {
    queues: Arc<Queues>,
    /// Bytes that may wait in its queue; a fetch that is under way may bring as many again.
    pub(crate) bytes: u64,
}

/// More than this a reader does not need: some tens of milliseconds of the fastest stream.
const MOST: u64 = 32 << 20;
/// With less a reader would wait for each fetch; many readers pass the bound rather than that.
const LEAST: u64 = 64 << 10;

impl Queues {
    /// A bound of that many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { bytes, readers: AtomicUsize::new(0) })
    }

    /// A part for a reader of a topic with `partitions`, most of which will be read.
    pub(crate) fn part(self: &Arc<Self>, partitions: usize) -> QueuePart {
        let readers = self.readers.fetch_add(1, Ordering::Relaxed) + 1;
        // Twice: what is queued and what is being fetched.
        let bytes = self.bytes / 2 / readers.max(partitions).max(1) as u64;
        QueuePart { queues: self.clone(), bytes: bytes.clamp(LEAST, MOST) }
    }
}

impl Default for Queues {
    /// A bound that a few busy readers do not meet.
    fn default() -> Self {
        Self { bytes: 512 << 20, readers: AtomicUsize::new(0) }
    }
}

impl Drop for QueuePart {
    fn drop(&mut self) {
        self.queues.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_equal_and_come_back() {
        let queues = Queues::new(64 << 20);
        let first = queues.part(4);
        assert_eq!(first.bytes, 8 << 20);
        let more: Vec<QueuePart> = (0..7).map(|_| queues.part(4)).collect();
        assert_eq!(more[6].bytes, 4 << 20);
        drop(more);
        assert_eq!(queues.part(1).bytes, 16 << 20);
        assert_eq!(queues.part(1_000_000).bytes, LEAST);
        assert_eq!(Queues::new(u64::MAX).part(1).bytes, MOST);
    }
}
