//! How fast messages may be taken: by a partition, as its table's settings say, and by the node as a whole.
//!
//! What is not taken adds up for a moment only. Who has taken all waits until a fetch is worth its while, so that a partition
//! that is far behind reads batches and not single messages. Whatever was taken beyond the limit is waited for afterwards.

use parking_lot::Mutex;
use std::time::Duration;
use weir_streams::{FetchLimit, MessageBatch};
use weir_types::NodeLimit;

/// What is not taken adds up for so long: long enough to fetch few and large batches, short enough that no second is far
/// above its limit.
const SAVED: f64 = 0.1;
/// Who waits for a limit looks again after this: it may have changed.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What may be taken, of one kind of thing.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// A second.
    rate: f64,
    left: f64,
    /// All was taken: nothing is until half of what can be saved is there.
    empty: bool,
    filled: Duration,
}

impl Bucket {
    pub(crate) fn new(rate: f64, now: Duration) -> Self {
        let mut bucket = Self { rate, left: 0.0, empty: false, filled: now };
        bucket.left = bucket.room();
        bucket
    }

    /// A second.
    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }

    /// Most that is saved; one thing at least, or nothing would ever be taken.
    fn room(&self) -> f64 {
        (self.rate * SAVED).max(1.0)
    }

    /// Another rate from now on.
    pub(crate) fn set(&mut self, rate: f64, now: Duration) {
        self.fill(now);
        self.rate = rate;
        self.left = self.left.min(self.room());
    }

    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.filled).as_secs_f64();
        (self.left, self.filled) = ((self.left + passed * self.rate).min(self.room()), now);
    }

    /// How many may be taken now, one at least.
    ///
    /// # Errors
    /// None; in that time some.
    pub(crate) fn allows(&mut self, now: Duration) -> Result<usize, Duration> {
        self.fill(now);
        let needed = if self.empty { (self.room() / 2.0).max(1.0) } else { 1.0 };
        if self.left < needed {
            let wait = Duration::from_secs_f64(((needed - self.left) / self.rate).min(LOOK_EVERY.as_secs_f64()));
            return Err(wait.max(Duration::from_millis(1)));
        }
        self.empty = false;
        Ok(self.left as usize)
    }

    pub(crate) fn take(&mut self, count: usize) {
        self.left -= count as f64;
        self.empty = self.left < 1.0;
    }
}

/// The node's limit, which may change at any time.
#[derive(Debug, Default)]
pub(crate) struct NodePace(Mutex<Option<(NodeLimit, Bucket)>>);

impl NodePace {
    /// Another limit from now on.
    pub(crate) fn set(&self, limit: Option<NodeLimit>, now: Duration) {
        *self.0.lock() = limit.map(|limit| (limit, Bucket::new(limit.per_second(), now)));
    }

    /// Makes a fetch as small as the limit says.
    ///
    /// # Errors
    /// Nothing may be fetched now; in that time perhaps.
    pub(crate) fn narrow(&self, fetch: FetchLimit, now: Duration) -> Result<FetchLimit, Duration> {
        match &mut *self.0.lock() {
            None => Ok(fetch),
            Some((NodeLimit::Messages(_), bucket)) => {
                Ok(FetchLimit { max_messages: fetch.max_messages.min(bucket.allows(now)?), ..fetch })
            }
            Some((NodeLimit::Bytes(_), bucket)) => {
                Ok(FetchLimit { max_bytes: fetch.max_bytes.min(bucket.allows(now)?), ..fetch })
            }
        }
    }

    /// A batch was fetched, of which the last `count` messages count.
    pub(crate) fn took(&self, batch: &MessageBatch, count: usize) {
        match &mut *self.0.lock() {
            None => {}
            Some((NodeLimit::Messages(_), bucket)) => bucket.take(count),
            Some((NodeLimit::Bytes(_), bucket)) => {
                let counted = batch.messages.len() - count..batch.messages.len();
                bucket.take(counted.map(|at| batch.messages.value(at).map_or(0, <[u8]>::len)).sum());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes all it may for `seconds`, at most `most` at once; answers with the total and the number of takes.
    fn taken(bucket: &mut Bucket, from: Duration, seconds: u64, most: usize) -> (usize, usize) {
        let (mut now, mut total, mut takes) = (from, 0, 0);
        while now < from + Duration::from_secs(seconds) {
            match bucket.allows(now) {
                Ok(count) => {
                    assert!(count > 0, "what is allowed can be taken");
                    bucket.take(count.min(most));
                    (total, takes) = (total + count.min(most), takes + 1);
                }
                Err(wait) => now += wait,
            }
        }
        (total, takes)
    }

    #[test]
    fn no_more_is_taken_than_allowed_and_nearly_all_of_it() {
        for rate in [0.5, 3.0, 10.0, 1_000.0, 250_000.0] {
            let mut bucket = Bucket::new(rate, Duration::ZERO);
            let (total, takes) = taken(&mut bucket, Duration::ZERO, 20, 8192);
            let due = rate * 20.0;
            let saved = (rate * SAVED).max(1.0);
            assert!(total as f64 <= due + saved + 1.0, "{total} of {due} at {rate}");
            assert!(total as f64 >= due * 0.95 - 1.0, "{total} of {due} at {rate}");
            assert!(takes <= total.min(20 * 60 + total / 8192 + 20), "{takes} takes for {total} at {rate}");
        }
    }

    #[test]
    fn a_rest_is_not_made_up_for() {
        let mut bucket = Bucket::new(1_000.0, Duration::ZERO);
        let rested = Duration::from_secs(3600);
        assert_eq!(bucket.allows(rested), Ok(100));
    }

    #[test]
    fn what_was_taken_beyond_the_limit_is_waited_for() {
        let mut bucket = Bucket::new(1_000.0, Duration::ZERO);
        bucket.take(5_100);
        let (total, _) = taken(&mut bucket, Duration::ZERO, 5, usize::MAX);
        assert_eq!(total, 0, "five seconds are owed");
        let (total, _) = taken(&mut bucket, Duration::from_secs(5), 1, usize::MAX);
        assert!((900..=1_000).contains(&total), "{total}");
    }

    #[test]
    fn another_rate_counts_from_now_on() {
        let mut bucket = Bucket::new(1_000_000.0, Duration::ZERO);
        bucket.set(10.0, Duration::ZERO);
        let (total, _) = taken(&mut bucket, Duration::ZERO, 10, usize::MAX);
        assert!((99..=101).contains(&total), "{total}");
        bucket.set(1_000.0, Duration::from_secs(10));
        let (total, _) = taken(&mut bucket, Duration::from_secs(10), 10, usize::MAX);
        assert!((9_500..=10_100).contains(&total), "{total}");
    }
}
