//! A node under a seed: crashes at any await, a full disk, a deep store and streams that are down. What must hold: nothing
//! accepted is lost, nothing is doubled, no answer that does not say what it lacks goes back, ranges follow one another.
//!
//! `WEIR_SIM_RUNS` runs from `WEIR_SIM_SEED` on; a failure prints the seed that repeats it. The summary counts how often a
//! crash hit each row of the crash table and how often each fault struck; none may be zero over a full set of runs.

#![expect(clippy::unwrap_used, reason = "a script that is wrong fails, and says where")]

mod checkpoint;
mod mending;
mod model;
mod moves;
mod replay;
mod retention;
mod run;
mod slow;
mod world;

use run::{Bug, Tally, run};
use std::{sync::mpsc, time::Duration};

/// A run takes some tenths of a second; one that takes this long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(120);

/// A run on a thread of its own, so that one that hangs is told by its seed.
fn bounded(seed: u64, bug: Bug, tally: &mut Tally) -> Result<(), String> {
    let (done, ended) = mpsc::channel();
    let so_far = std::mem::take(tally);
    std::thread::spawn(move || {
        let mut counts = so_far;
        let result = run(seed, bug, &mut counts);
        // Nobody waits any more where the run was given up.
        done.send((result, counts)).ok();
    });
    match ended.recv_timeout(HANGS_AFTER) {
        Ok((result, counts)) => {
            *tally = counts;
            result
        }
        Err(mpsc::RecvTimeoutError::Timeout) => Err(format!("not done after {HANGS_AFTER:?}")),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err("it panicked".into()),
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn a_node_survives_bad_days() {
    let (first, runs) = (number("WEIR_SIM_SEED", 1), number("WEIR_SIM_RUNS", 200));
    let mut tally = Tally::default();
    for seed in first..first + runs {
        if let Err(found) = bounded(seed, Bug::None, &mut tally) {
            panic!("seed {seed}: {found}\nrepeat it with: ./dev sim 1 {seed}");
        }
    }
    println!("{runs} runs from seed {first}:\n{tally}");
    if runs >= 200 {
        assert_eq!(tally.never(), Vec::<&str>::new(), "these were never hit");
    }
}

#[test]
fn a_deliberate_bug_is_found() {
    let mut tally = Tally::default();
    for bug in [Bug::UploadsAreLost, Bug::LocalFilesAreNotSynced] {
        let found = (1..=60).find_map(|seed| bounded(seed, bug, &mut tally).err().map(|what| (seed, what)));
        let (seed, what) = found.unwrap_or_else(|| panic!("{bug:?} went unnoticed in 60 runs"));
        println!("{bug:?} was found by seed {seed}: {what}");
    }
}

#[test]
fn a_seed_repeats_itself() {
    let (mut one, mut two) = (Tally::default(), Tally::default());
    bounded(7, Bug::None, &mut one).unwrap();
    bounded(7, Bug::None, &mut two).unwrap();
    assert_eq!(one.to_string(), two.to_string());
}
