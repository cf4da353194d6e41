//! What a disk that is very slow does: whoever comes waits until it is let go.

use super::MemDisk;
use parking_lot::{Condvar, Mutex};

#[derive(Debug, Default)]
struct Inner {
    closed: bool,
    waiting: usize,
}

/// One kind of call to the disk.
#[derive(Debug, Default)]
pub(super) struct Gate {
    inner: Mutex<Inner>,
    changed: Condvar,
}

impl Gate {
    pub(super) fn close(&self, closed: bool) {
        self.inner.lock().closed = closed;
        self.changed.notify_all();
    }

    /// How many wait now.
    pub(super) fn waiting(&self) -> usize {
        self.inner.lock().waiting
    }

    pub(super) fn pass(&self) {
        let mut inner = self.inner.lock();
        inner.waiting += 1;
        self.changed.wait_while(&mut inner, |inner| inner.closed);
        inner.waiting -= 1;
    }
}

impl MemDisk {
    /// Whoever opens a file for random access waits, without end, until this is taken back: a disk that is very slow.
    pub fn hold_opening(&self, holds: bool) {
        self.opening.close(holds);
    }

    /// Whoever syncs a file that is appended waits, without end, until this is taken back.
    pub fn hold_syncing(&self, holds: bool) {
        self.syncing.close(holds);
    }

    /// How many wait for a sync that is held.
    #[must_use]
    pub fn waiting_syncs(&self) -> usize {
        self.syncing.waiting()
    }
}
