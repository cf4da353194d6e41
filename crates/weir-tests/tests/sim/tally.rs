//! How often what happened, over all runs of a scenario.

use std::{collections::BTreeMap, fmt};

/// Counts by what is counted.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    pub(crate) fn hit(&mut self, what: &'static str) {
        self.hit_times(what, 1);
    }

    pub(crate) fn hit_times(&mut self, what: &'static str, times: u64) {
        *self.0.entry(what).or_default() += times;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        other.0.iter().for_each(|(what, times)| self.hit_times(what, *times));
    }

    /// What of all that has to happen did not.
    pub(crate) fn never(&self, all: &[&'static str]) -> Vec<&'static str> {
        all.iter().copied().filter(|what| self.0.get(what).is_none_or(|times| *times == 0)).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, count)| writeln!(f, "{count:>8}  {what}"))
    }
}
