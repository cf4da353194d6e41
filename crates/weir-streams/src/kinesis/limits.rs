//! One limiter for a process: how often a shard may be asked, by all tables that read it together.

use parking_lot::Mutex;
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// The service answers five questions a second for a shard: so many may follow one another at once.
const BURST: f64 = 5.0;
/// Shards that nobody asks any more are forgotten when there are more than this.
const MOST: usize = 10_000;

/// When each shard may be asked next.
#[derive(Default)]
pub struct Limits {
    next: Mutex<HashMap<String, Instant>>,
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").field("shards", &self.next.lock().len()).finish()
    }
}

impl Limits {
    /// Takes a turn; how long it is to be waited for.
    pub(super) fn turn(&self, shard: &str, per_second: f64) -> Duration {
        let each = Duration::from_secs_f64(1.0 / per_second);
        let now = Instant::now();
        let mut all = self.next.lock();
        if all.len() > MOST {
            all.retain(|_, next| *next > now);
        }
        let next = all.entry(shard.to_owned()).or_insert(now);
        // A shard that was left alone has saved up a burst.
        let ahead = each.mul_f64(BURST - 1.0);
        *next = (*next).max(now) + each;
        next.duration_since(now).saturating_sub(each + ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_who_ask_one_shard_share_its_turns() {
        let limits = Limits::default();
        for turn in 0..5 {
            assert_eq!(limits.turn("a", 2.0), Duration::ZERO, "turn {turn} of the burst");
        }
        assert_eq!(limits.turn("a", 2.0), Duration::from_millis(500));
        assert_eq!(limits.turn("a", 2.0), Duration::from_secs(1));
        assert_eq!(limits.turn("b", 2.0), Duration::ZERO, "another shard");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(limits.turn("a", 2.0), Duration::ZERO);
    }
}
