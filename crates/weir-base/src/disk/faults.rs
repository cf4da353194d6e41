//! Mapped files whose bytes the disk does not give any more: cut short under the process, or on a disk that fails.
//!
//! The system tells of such a page by SIGBUS, which ends a process that does not take it. Here it is taken: the whole
//! mapping that the page belongs to is replaced by zeros, a flag is set, and the reader goes on. Whoever read looks at the
//! flag afterwards ([`super::Mapped::damage`]): what it read is of no use where the flag is set. A page outside of our
//! mappings is none of ours: whoever was there before for the signal gets it.
//!
//! Lengths that are looked at before reading would not do: the file may be cut a moment later, and a disk that fails keeps
//! its lengths. Reading in place of mapping would hold all segments in the process's own memory.

use memmap2::Mmap;
use parking_lot::Mutex;
use std::{
    path::Path,
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering, fence},
    },
};

/// Mappings in one slab. Slabs are never given back: as many are made as the most mappings at one time need.
const SLOTS: usize = 256;

/// One mapping, as the signal's handler finds it.
struct Slot {
    /// Odd while the range changes; another number afterwards.
    version: AtomicUsize,
    start: AtomicUsize,
    end: AtomicUsize,
    lost: AtomicBool,
}

impl Slot {
    const fn new() -> Self {
        Self {
            version: AtomicUsize::new(0),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            lost: AtomicBool::new(false),
        }
    }

    /// Only whoever owns the slot.
    fn set(&self, start: usize, end: usize) {
        self.version.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::Release);
        self.start.store(start, Ordering::Relaxed);
        self.end.store(end, Ordering::Relaxed);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Its range, where it is not being changed: one that changes is not the one that is being read.
    fn range(&self) -> Option<(usize, usize)> {
        let before = self.version.load(Ordering::Acquire);
        let range = (self.start.load(Ordering::Relaxed), self.end.load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let after = self.version.load(Ordering::Relaxed);
        (before == after && before.is_multiple_of(2)).then_some(range)
    }
}

struct Slab {
    slots: [Slot; SLOTS],
    next: OnceLock<&'static Slab>,
}

impl Slab {
    const fn new() -> Self {
        Self { slots: [const { Slot::new() }; SLOTS], next: OnceLock::new() }
    }
}

/// Read by the handler, which may neither wait nor allocate: a chain that only grows.
static FIRST: Slab = Slab::new();

/// Slots that no mapping has, and the last slab of the chain.
struct Free {
    slots: Vec<&'static Slot>,
    last: &'static Slab,
}

fn free() -> &'static Mutex<Free> {
    static FREE: OnceLock<Mutex<Free>> = OnceLock::new();
    FREE.get_or_init(|| {
        take_signal();
        Mutex::new(Free { slots: FIRST.slots.iter().collect(), last: &FIRST })
    })
}

fn take_slot() -> &'static Slot {
    let mut free = free().lock();
    if free.slots.is_empty() {
        let slab: &'static Slab = Box::leak(Box::new(Slab::new()));
        free.last.next.get_or_init(|| slab);
        free.last = slab;
        free.slots.extend(&slab.slots);
    }
    free.slots.pop().expect("a slab has slots")
}

/// A mapped file that survives what its disk does.
pub(super) struct Guarded {
    map: Mmap,
    slot: &'static Slot,
    path: String,
}

impl Guarded {
    /// Guards a mapping of the file at `path`.
    pub(super) fn new(map: Mmap, path: &Path) -> Self {
        let slot = take_slot();
        let start = map.as_ptr() as usize;
        slot.lost.store(false, Ordering::Relaxed);
        slot.set(start, start + map.len());
        Self { map, slot, path: path.display().to_string() }
    }
}

impl super::Held for Guarded {
    fn bytes(&self) -> &[u8] {
        &self.map
    }

    fn damage(&self) -> Option<String> {
        let lost = self.slot.lost.load(Ordering::Acquire);
        lost.then(|| format!("{}: the disk did not give what it held: it was cut short, or cannot be read", self.path))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Before the mapping goes, which its field does: its addresses may be another's a moment later.
        self.slot.set(0, 0);
        free().lock().slots.push(self.slot);
    }
}

/// Whoever had the signal before us: of Rust's own start-up code there is one, for stacks that run over.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();
static PAGE_BYTES: AtomicUsize = AtomicUsize::new(4096);

fn take_signal() {
    // SAFETY: a plain question; a zeroed `sigaction` is a valid value of that plain C struct; the calls are given pointers to live ones, and
    // `on_signal` has the signature that SA_SIGINFO asks for.
    unsafe {
        if let Ok(bytes @ 1..) = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)) {
            PAGE_BYTES.store(bytes, Ordering::Relaxed);
        }
        let mut before: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut before);
        BEFORE.get_or_init(|| before);
        let mut ours: libc::sigaction = std::mem::zeroed();
        ours.sa_sigaction = on_signal as *const () as usize;
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut ours.sa_mask);
        libc::sigaction(libc::SIGBUS, &raw const ours, ptr::null_mut());
    }
}

extern "C" fn on_signal(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system gives a valid `siginfo_t` to a handler that was set with SA_SIGINFO.
    let address = unsafe { (*info).si_addr() } as usize;
    if !replace(address) {
        pass_on(signal, info, context);
    }
}

/// Replaces the mapping that an address belongs to by zeros. Neither waits nor allocates.
fn replace(address: usize) -> bool {
    let mut slab = Some(&FIRST);
    while let Some(here) = slab {
        for slot in &here.slots {
            let Some((start, end)) = slot.range() else { continue };
            if !(start..end).contains(&address) {
                continue;
            }
            // Before the zeros are there: whoever reads one finds the flag set.
            slot.lost.store(true, Ordering::Release);
            let pages = (end - start).next_multiple_of(PAGE_BYTES.load(Ordering::Relaxed));
            // SAFETY: the range is one mapping that `Guarded` owns, and its owner is being read: it does not go meanwhile.
            // Mapping over it keeps its addresses valid and readable.
            let mapped = unsafe {
                libc::mmap(
                    start as *mut libc::c_void,
                    pages,
                    libc::PROT_READ,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                    -1,
                    0,
                )
            };
            return mapped != libc::MAP_FAILED;
        }
        slab = here.next.get().copied();
    }
    false
}

/// Gives the signal to whoever was there before us.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    type Informed = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
    let before = BEFORE.get().filter(|before| {
        before.sa_flags & libc::SA_SIGINFO != 0 && ![libc::SIG_DFL, libc::SIG_IGN].contains(&before.sa_sigaction)
    });
    match before {
        Some(before) => {
            // SAFETY: a handler that was set with SA_SIGINFO has this signature, and gets what the system gave us.
            let handler = unsafe { std::mem::transmute::<usize, Informed>(before.sa_sigaction) };
            handler(signal, info, context);
        }
        // The instruction is tried again, and ends the process as it would have without us.
        // SAFETY: setting the default action has no precondition.
        None => unsafe {
            libc::signal(signal, libc::SIG_DFL);
        },
    }
}

#[cfg(test)]
mod tests {
    use crate::{Disk, Mapped, RealDisk};
    use std::{fs::OpenOptions, path::Path};

    const BYTES: usize = 100_000;

    fn mapped(path: &Path, byte: u8) -> Mapped {
        std::fs::write(path, vec![byte; BYTES]).unwrap();
        RealDisk.map(path).unwrap()
    }

    fn cut(path: &Path, to: u64) {
        OpenOptions::new().write(true).open(path).unwrap().set_len(to).unwrap();
    }

    fn sum(bytes: &[u8]) -> usize {
        bytes.iter().map(|byte| usize::from(*byte)).sum()
    }

    #[test]
    fn a_file_that_is_cut_while_it_is_mapped_reads_as_zeros_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        let (cut_one, whole) = (mapped(&one, 1), mapped(&other, 2));
        let again = RealDisk.map(&one).unwrap();
        assert_eq!((sum(&cut_one), cut_one.damage()), (BYTES, None));
        cut(&one, 5000);
        // What is left of it can be read, and nobody has noticed.
        assert_eq!((cut_one[4999], cut_one.damage()), (1, None));
        assert_eq!(cut_one[BYTES - 1], 0);
        let damage = cut_one.damage().unwrap();
        assert!(damage.starts_with(&one.display().to_string()) && damage.contains("cut short"), "{damage}");
        assert_eq!(sum(&cut_one), 0, "all of it is gone, not only the page that was asked for");
        assert_eq!(again.damage(), None, "another mapping of it finds out by itself");
        assert_eq!((again[50_000], again.damage().is_some()), (0, true));
        assert_eq!((sum(&whole), whole.damage()), (2 * BYTES, None), "others are as they were");
    }

    #[test]
    fn a_place_that_was_given_up_serves_another_mapping() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        // More at one time than a slab has, in two rounds.
        for _ in 0..2 {
            let all: Vec<Mapped> = (0..super::SLOTS * 2 + 1).map(|_| mapped(&path, 1)).collect();
            cut(&path, 0);
            for one in [&all[0], &all[super::SLOTS], &all[super::SLOTS * 2]] {
                assert_eq!((one.damage(), one[0], one.damage().is_some()), (None, 0, true));
            }
            assert_eq!(all.iter().filter(|one| one.damage().is_some()).count(), 3);
        }
        assert_eq!(mapped(&path, 1).damage(), None);
    }

    #[test]
    fn many_threads_that_read_one_file_while_it_is_cut_all_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for _ in 0..20 {
            let map = mapped(&path, 1);
            std::thread::scope(|scope| {
                let readers: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| {
                            loop {
                                let sum = sum(&map);
                                // Right, or known to be wrong.
                                assert!(sum == BYTES || map.damage().is_some());
                                if sum == 0 {
                                    return;
                                }
                            }
                        })
                    })
                    .collect();
                cut(&path, 0);
                for reader in readers {
                    reader.join().unwrap();
                }
            });
        }
    }
}
