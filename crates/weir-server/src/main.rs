//! The `weir` binary.

use std::{ffi::c_char, process::ExitCode};

/// Rows, batches and answers are allocated and freed from many threads at once, in pieces of all sizes of which some stay for
/// hours: what matters is that freed memory serves the next segment, and that little is kept beside it. Where the platform
/// lets it the clients of streams, which are written in C, allocate with it too. `./dev bench memory` tells what it comes to.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The allocator's settings as it looks them up.
#[repr(transparent)]
struct Settings(*const c_char);

// SAFETY: it points to text that is there as long as the process and never changes.
unsafe impl Sync for Settings {}

/// Memory that was freed stays the process's for a second, since the next segment needs as much again, and is given back by
/// a thread that does nothing else. `MALLOC_CONF` in the environment says otherwise.
#[used]
#[cfg_attr(target_os = "linux", unsafe(export_name = "malloc_conf"))]
#[cfg_attr(not(target_os = "linux"), unsafe(export_name = "_rjem_malloc_conf"))]
static SETTINGS: Settings = Settings(c"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0".as_ptr());

fn main() -> ExitCode {
    weir_server::cli::main()
}
