//! The runtime of a command, its log, and the signals that end it.

use crate::cli::Failure;
use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, fmt};

/// Stack of each thread: small queries are planned on it. It is address space; memory is taken where it is used.
const STACK_BYTES: usize = 8 << 20;

/// Runs a command on a runtime of its own.
pub(super) fn block_on<T>(command: impl Future<Output = T>) -> Result<T, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().thread_name("weir-node").thread_stack_size(STACK_BYTES).build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("could not start threads: {error}")))?;
    Ok(runtime.block_on(command))
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// A library whose log is never written: on its finer levels it holds what is sent, tokens too. What it has to say comes as
/// errors of partitions.
const SILENT: &str = "pulsar";

/// What is asked for, else `level`.
fn filter(asked: Option<String>, level: &str) -> EnvFilter {
    let asked = asked.unwrap_or_default();
    let kept: Vec<&str> = asked.split(',').filter(|directive| !directive.trim().starts_with(SILENT)).collect();
    let kept = Some(kept.join(",")).filter(|kept| !kept.trim().is_empty());
    let filter = kept.and_then(|kept| EnvFilter::try_new(kept).ok()).unwrap_or_else(|| EnvFilter::new(level));
    filter.add_directive(format!("{SILENT}=off").parse().expect("it is a directive"))
}

/// Sends the log to stderr: what `WEIR_LOG` asks for, else `level`.
pub(super) fn start_log(format: LogFormat, level: &str) {
    let filter = filter(weir_base::outside::variable("WEIR_LOG"), level);
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let started = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if let Err(error) = started {
        // A log that is there already goes on.
        tracing::debug!(%error, "the log was started before");
    }
}

/// SIGXFSZ, whose number is the same on all systems that we build for.
const FILE_SIZE_LIMIT: i32 = 25;

/// What waits for an interrupt (control-C) or a request to end (SIGTERM): from now on, whenever it is waited for.
pub(super) fn told_to_stop() -> Result<impl Future<Output = ()>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|error| Failure::Failed(format!("could not listen for signals: {error}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    // A file that may not grow is an error of the write, as a disk that is full, and not the end of the process.
    let file_size = listen(SignalKind::from_raw(FILE_SIZE_LIMIT))?;
    Ok(async move {
        let _file_size = file_size;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_logs_what_it_sends_is_silent() {
        for (asked, level) in [(None, "info"), (Some("trace,pulsar::connection=trace, pulsar=debug"), "trace")] {
            let filter = filter(asked.map(str::to_owned), "info").to_string();
            assert!(filter.contains("pulsar=off") && filter.contains(level), "{filter}");
            assert!(!filter.contains("pulsar::") && !filter.contains("pulsar=debug"), "{filter}");
        }
    }
}
