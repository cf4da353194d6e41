//! The `weir` binary.

use std::process::ExitCode;

/// Rows, batches and answers are allocated and freed from many threads at once: this allocator copes best.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    weir_server::cli::main()
}
