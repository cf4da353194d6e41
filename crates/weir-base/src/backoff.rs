//! How long to wait before trying again.

use crate::chance::Chance;
use std::time::Duration;

/// Doubling waits between two bounds, each shortened by up to a half at random so that many do not come back at once.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
    chance: Chance,
}

impl Backoff {
    /// Waits from `first` up to `most`.
    #[must_use]
    pub fn new(first: Duration, most: Duration, chance: Chance) -> Self {
        Self { first, most, next: first, chance }
    }

    /// The next wait.
    #[expect(clippy::should_implement_trait, reason = "waits never end, so there is nothing to wrap in an Option")]
    pub fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.most);
        wait.mul_f64(0.5 + self.chance.unit() / 2.0)
    }

    /// It worked: the next wait is the first again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, second * 5, Chance::seeded(1));
        for base in [1, 2, 4, 5, 5] {
            let wait = backoff.next();
            assert!(wait >= second * base / 2 && wait <= second * base, "{wait:?} of {base}");
        }
        backoff.reset();
        assert!(backoff.next() <= second);
    }
}
