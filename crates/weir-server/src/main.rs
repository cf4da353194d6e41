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

fn main() -> ExitCode {
    keep_memory();
    weir_server::cli::main()
}
