//! How many messages come in a second.

/// Measured over at least so long.
const WINDOW_MS: i64 = 1000;
/// Where nothing was counted for so long, nothing came.
const STALE_MS: i64 = 3000;

/// Messages a second, as of the last full window.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rate {
    from_ms: i64,
    /// Messages since then.
    count: u64,
    per_second: f64,
}

impl Rate {
    /// Counts messages that were taken at `now_ms`, wall time in milliseconds.
    pub(crate) fn count(&mut self, messages: usize, now_ms: i64) {
        let window = now_ms - self.from_ms;
        if !(0..STALE_MS).contains(&window) {
            // After a pause, or by a clock that was set: another window.
            *self = Self { from_ms: now_ms, ..Self::default() };
        } else if window >= WINDOW_MS {
            self.per_second = self.count as f64 * 1000.0 / window as f64;
            (self.from_ms, self.count) = (now_ms, 0);
        }
        self.count += messages as u64;
    }

    /// Messages a second at `now_ms`.
    #[must_use]
    pub fn at(&self, now_ms: i64) -> f64 {
        let window = now_ms - self.from_ms;
        if window >= WINDOW_MS { self.count as f64 * 1000.0 / window as f64 } else { self.per_second }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_last_second_are_counted() {
        let mut rate = Rate::default();
        for ms in 1..=50 {
            rate.count(10, 10_000 + ms * 100);
        }
        assert!((rate.at(15_050) - 100.0).abs() < 12.0, "{rate:?}");
        assert!(rate.at(20_000) < 25.0, "nothing came since");
        assert!(rate.at(1_000_000) < 0.2);
        rate.count(7, 2_000_000);
        assert!(rate.at(2_000_100) < 0.1, "a window that is not full says nothing yet");
        rate.count(7, 5);
        assert!(rate.at(10) < 0.1, "a clock that was set back");
    }
}
