//! The memory that clients of streams may fill with messages that nobody has asked for yet, shared out among readers.
//!
//! A client keeps a queue for each of its readers and their bound, set when it is made. A reader gets an equal part, counted
//! over those that are there or to be expected; a client that was made when there were fewer keeps what it has.

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

/// The part of one client's readers.
#[derive(Debug)]
pub(crate) struct QueuePart {
    queues: Arc<Queues>,
    readers: usize,
    /// Bytes of values that may wait in the queue of each.
    pub(crate) bytes: u64,
}

/// What a queue holds at most, in bytes of values that it may hold before nothing more is fetched: those, half as many that
/// were asked for before and come compressed to an eighth, and for each message a head as large as itself.
const HELD: u64 = 2 * (1 + 8 / 2);
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

    /// A part for `readers` of a topic with `partitions`, most of which will be read.
    pub(crate) fn part(self: &Arc<Self>, readers: usize, partitions: usize) -> QueuePart {
        let all = self.readers.fetch_add(readers, Ordering::Relaxed) + readers;
        let bytes = self.bytes / HELD / all.max(partitions).max(1) as u64;
        QueuePart { queues: self.clone(), readers, bytes: bytes.clamp(LEAST, MOST) }
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
        self.queues.readers.fetch_sub(self.readers, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_equal_and_come_back() {
        let queues = Queues::new(80 << 20);
        let first = queues.part(1, 4);
        assert_eq!(first.bytes, 2 << 20);
        let more: Vec<QueuePart> = (0..7).map(|_| queues.part(1, 4)).collect();
        assert_eq!(more[6].bytes, 1 << 20);
        drop(more);
        assert_eq!(queues.part(1, 1).bytes, 4 << 20);
        assert_eq!(queues.part(7, 1).bytes, 1 << 20, "each of eight");
        assert_eq!(queues.part(1, 1_000_000).bytes, LEAST);
        assert_eq!(Queues::new(u64::MAX).part(1, 1).bytes, MOST);
    }
}
