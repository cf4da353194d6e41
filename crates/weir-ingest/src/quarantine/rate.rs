//! Whether a record that is rejected stops its partition.

use std::collections::VecDeque;
use weir_types::ErrorPolicy;

/// Rates are said per minute.
const WINDOW_MS: i64 = 60_000;

/// Rejects of the last minute, as far as a rate is asked for.
#[derive(Debug, Default)]
pub(crate) struct RejectRate {
    /// When, and how many.
    seen: VecDeque<(i64, u64)>,
    sum: u64,
}

impl RejectRate {
    /// How many of `rejects` further rejects the policy lets pass at `now_ms`; the partition stops in front of the next
    /// one. `None`: all.
    #[must_use]
    pub(crate) fn passes(&self, policy: ErrorPolicy, rejects: u64, now_ms: i64) -> Option<u64> {
        let room = match policy {
            ErrorPolicy::Quarantine | ErrorPolicy::Drop => return None,
            ErrorPolicy::Halt => 0,
            ErrorPolicy::HaltAbove { per_minute } => {
                let old = self.seen.iter().take_while(|(at_ms, _)| is_old(*at_ms, now_ms)).map(|(_, count)| count);
                per_minute.saturating_sub(self.sum - old.sum::<u64>())
            }
        };
        (rejects > room).then_some(room)
    }

    /// Counts rejects that passed.
    pub(crate) fn count(&mut self, rejects: u64, now_ms: i64) {
        while let Some((at_ms, count)) = self.seen.front()
            && is_old(*at_ms, now_ms)
        {
            self.sum -= count;
            self.seen.pop_front();
        }
        if rejects == 0 {
            return;
        }
        self.sum += rejects;
        // A second is fine enough for a rate per minute, and bounds the list.
        match self.seen.back_mut() {
            Some((at_ms, count)) if now_ms.abs_diff(*at_ms) < 1000 => *count += rejects,
            _ => self.seen.push_back((now_ms, rejects)),
        }
    }

    /// Forgets all: somebody said to go on.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// A clock that was set back makes old what it makes come later.
fn is_old(at_ms: i64, now_ms: i64) -> bool {
    now_ms.saturating_sub(at_ms) >= WINDOW_MS || at_ms.saturating_sub(now_ms) >= WINDOW_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_counted_over_the_last_minute() {
        let above = ErrorPolicy::HaltAbove { per_minute: 3 };
        let mut rate = RejectRate::default();
        assert_eq!(rate.passes(ErrorPolicy::Quarantine, 9, 0), None);
        assert_eq!(rate.passes(ErrorPolicy::Drop, 9, 0), None);
        assert_eq!((rate.passes(ErrorPolicy::Halt, 1, 0), rate.passes(ErrorPolicy::Halt, 0, 0)), (Some(0), None));
        assert_eq!((rate.passes(above, 3, 0), rate.passes(above, 4, 0)), (None, Some(3)));
        rate.count(2, 0);
        rate.count(0, 10);
        assert_eq!((rate.passes(above, 1, 59_999), rate.passes(above, 2, 59_999)), (None, Some(1)));
        rate.count(1, 30_000);
        assert_eq!(rate.passes(above, 1, 59_999), Some(0));
        assert_eq!((rate.passes(above, 2, 60_000), rate.passes(above, 3, 60_000)), (None, Some(2)));
        rate.count(1, 61_000);
        assert_eq!(rate.sum, 2);
        rate.forget();
        assert_eq!(rate.passes(above, 3, 61_000), None);
    }

    #[test]
    fn the_list_is_bounded_and_a_clock_set_back_does_not_stop_it() {
        let mut rate = RejectRate::default();
        for now_ms in 0..200_000 {
            rate.count(1, now_ms);
        }
        assert!(rate.seen.len() <= 61, "{}", rate.seen.len());
        let above = ErrorPolicy::HaltAbove { per_minute: 1 };
        assert_eq!(rate.passes(above, 1, -1_000_000), None);
    }
}
