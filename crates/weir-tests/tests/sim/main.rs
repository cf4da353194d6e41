//! A node under a seed: crashes at any await, a full disk, a deep store and streams that are down or drop what was not read,
//! settings that change, pauses, replays. What must hold: nothing accepted is lost, nothing is doubled, no answer that does
//! not say what it lacks goes back, ranges follow one another, counts explain every message.
//!
//! `WEIR_SIM_RUNS` runs from `WEIR_SIM_SEED` on, on all cores; a failure prints the seed that repeats it. The summary counts
//! how often a crash hit each row of the crash table and how often each fault struck; none may be zero over a full set of
//! runs. Faults of our own (`bugs.rs`) have to be found.

#![expect(clippy::unwrap_used, reason = "a script that is wrong fails, and says where")]

mod admin;
mod answers;
mod bad_days;
mod bugs;
mod checkpoint;
mod faults;
mod model;
mod moves;
mod replay;
mod retention;
mod run;
mod seeds;
mod shape;
mod slow;
mod tally;
mod world;

use run::{Bug, run};
use seeds::{bounded, survive};

#[test]
fn a_node_survives_bad_days() {
    survive("a_node_survives_bad_days", 200, &faults::ALL, |seed, tally| run(seed, Bug::None, tally));
}

#[test]
fn a_seed_repeats_itself() {
    let once = || bounded(7, |seed, tally| run(seed, Bug::None, tally));
    let (one, two) = (once(), once());
    one.0.unwrap();
    assert_eq!(one.1, two.1);
}
