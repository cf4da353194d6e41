//! The `weir` binary.

use std::process::ExitCode;

/// Rows, batches and answers are allocated and freed from many threads at once: this allocator copes best.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc, which the binding does not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// Milliseconds that freed memory stays ours. At 100,000 rows a second a segment is built every few seconds: given back
/// after 10 ms, as is the default, its pages are cleared anew for each segment, a tenth of all time spent.
const KEEP_MS: std::ffi::c_long = 5000;
/// What the option says before it is set: another number means that it is another option, which is left alone.
const DEFAULT_MS: std::ffi::c_long = 10;

/// Keeps freed memory for a while, unless the environment says how long (`MIMALLOC_PURGE_DELAY`).
fn keep_memory() {
    // SAFETY: both calls read and write one number of the allocator's settings, before other threads run.
    unsafe {
        if libmimalloc_sys::mi_option_get(PURGE_DELAY) == DEFAULT_MS {
            libmimalloc_sys::mi_option_set(PURGE_DELAY, KEEP_MS);
        }
    }
}

/// `M_ARENA_MAX` of glibc's `mallopt`.
#[cfg(target_env = "gnu")]
const ARENA_MAX: std::ffi::c_int = -8;

/// The streams' clients allocate with the system's allocator, from some threads for each partition. Left alone it keeps
/// eight arenas for each core, and what one thread frees serves no other: a quarter of all memory with 100 partitions.
#[cfg(target_env = "gnu")]
fn share_arenas() {
    unsafe extern "C" {
        fn mallopt(parameter: std::ffi::c_int, value: std::ffi::c_int) -> std::ffi::c_int;
    }
    // SAFETY: the call sets one number of the allocator, before other threads run; a refusal changes memory only.
    unsafe {
        mallopt(ARENA_MAX, 2);
    }
}

#[cfg(not(target_env = "gnu"))]
fn share_arenas() {}

fn main() -> ExitCode {
    keep_memory();
    share_arenas();
    weir_server::cli::main()
}
