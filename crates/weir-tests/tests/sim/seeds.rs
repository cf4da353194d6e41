//! Many seeds of a scenario, on all cores: each on a thread of its own, so that one that hangs or panics is told by its seed.

use crate::tally::Tally;
use std::{
    num::NonZero,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

/// A run takes some hundredths of a second; one that takes this long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(120);
/// From so many runs on, all that is listed has to happen in them; the rarest of it does in one run of ten or so.
pub(crate) const FULL: u64 = 400;

/// One run of a scenario: what did not hold is the error.
pub(crate) trait Scenario: Fn(u64, &mut Tally) -> Result<(), String> + Copy + Send + Sync + 'static {}

impl<T: Fn(u64, &mut Tally) -> Result<(), String> + Copy + Send + Sync + 'static> Scenario for T {}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// One seed, within a bound of real time.
pub(crate) fn bounded(seed: u64, run: impl Scenario) -> (Result<(), String>, Tally) {
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let mut tally = Tally::default();
        let result = run(seed, &mut tally);
        // Nobody waits any more where the run was given up.
        done.send((result, tally)).ok();
    });
    let failed = |what: String| (Err(what), Tally::default());
    match ended.recv_timeout(HANGS_AFTER) {
        Ok(ended) => ended,
        Err(mpsc::RecvTimeoutError::Timeout) => failed(format!("not done after {HANGS_AFTER:?}")),
        Err(mpsc::RecvTimeoutError::Disconnected) => failed("it panicked".into()),
    }
}

/// Runs seeds from `first` on until one fails or there are none left: the lowest that failed, and what happened.
pub(crate) fn search(first: u64, runs: u64, run: impl Scenario) -> (Option<(u64, String)>, Tally) {
    let (next, stop) = (AtomicU64::new(first), AtomicBool::new(false));
    let found: Mutex<(Option<(u64, String)>, Tally)> = Mutex::default();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first.saturating_add(runs) || stop.load(Ordering::Relaxed) {
                return;
            }
            let (result, tally) = bounded(seed, run);
            let mut found = found.lock().unwrap();
            found.1.add(&tally);
            if let Err(what) = result {
                if found.0.as_ref().is_none_or(|(lowest, _)| seed < *lowest) {
                    found.0 = Some((seed, what));
                }
                // Lower seeds are under way already; higher ones need not begin.
                stop.store(true, Ordering::Relaxed);
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    found.into_inner().unwrap()
}

/// What nodes log, where `WEIR_SIM_LOG` says how much (as `info`, or `weir_ingest=debug`): for one seed that failed.
fn log() {
    if let Ok(filter) = std::env::var("WEIR_SIM_LOG") {
        let to_stderr = tracing_subscriber::fmt().without_time().with_env_filter(filter).with_writer(std::io::stderr);
        // Another scenario of this process did it.
        to_stderr.try_init().ok();
    }
}

/// Runs `WEIR_SIM_RUNS` seeds (so many where it does not say) from `WEIR_SIM_SEED` on: all must hold, and in a full set of
/// runs everything of `all` has to happen.
#[expect(clippy::print_stdout, reason = "what was met how often is the result of the runs")]
pub(crate) fn survive(scenario: &str, runs: u64, all: &[&'static str], run: impl Scenario) {
    let (first, runs) = (number("WEIR_SIM_SEED", 1), number("WEIR_SIM_RUNS", runs));
    log();
    let begun = std::time::Instant::now();
    let (failed, tally) = search(first, runs, run);
    if let Some((seed, what)) = failed {
        panic!("{scenario}, seed {seed}: {what}\nrepeat it with: ./dev sim 1 {seed} {scenario}");
    }
    println!("{scenario}: {runs} runs from seed {first} in {:.1} s\n{tally}", begun.elapsed().as_secs_f64());
    if runs >= FULL {
        assert_eq!(tally.never(all), Vec::<&str>::new(), "these were never hit");
    }
}
