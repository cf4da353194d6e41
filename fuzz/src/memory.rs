//! The memory that one input may take. libFuzzer's own limit needs a sanitizer's allocator; this one is the system's, counted.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

/// Bytes that an input of a few kilobytes may take beside what is held already. The transform gives one message 64 MiB of
/// values, a vector of which may be copied into one of twice its size while it grows.
const MOST: usize = 256 << 20;

static HELD: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// The system's allocator, which fails the input that takes too much.
pub(crate) struct Counted;

impl Counted {
    fn take(bytes: usize) {
        let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if held > LIMIT.load(Ordering::Relaxed) {
            // What tells of it allocates too.
            LIMIT.store(usize::MAX, Ordering::Relaxed);
            panic!("an input takes more than {} MiB of memory: {bytes} bytes were asked for at last", MOST >> 20);
        }
    }

    fn give_back(bytes: usize) {
        HELD.fetch_sub(bytes, Ordering::Relaxed);
    }
}

// SAFETY: everything is the system allocator's; a panic here ends the process, for the fuzzer's hook aborts.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::take(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::take(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        Self::give_back(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both are there for a moment.
        Self::take(size);
        Self::give_back(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Runs an input under the limit.
pub(crate) fn bounded(run: impl FnOnce()) {
    LIMIT.store(HELD.load(Ordering::Relaxed) + MOST, Ordering::Relaxed);
    run();
    LIMIT.store(usize::MAX, Ordering::Relaxed);
}
