//! Requests with an idempotency key, as the log itself tells them.

use crate::local::ProducedAt;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// So many requests are remembered: at a hundred requests a second well over a minute of retries.
pub(super) const REQUESTS_MAX: usize = 10_000;
/// A client that has not repeated its request within an hour will not.
pub(super) const REMEMBERED_MS: i64 = 3_600_000;
/// Records of all remembered requests: some 64 MiB.
const RECORDS_MAX: usize = 1_000_000;

/// A record of a past request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    /// Where it is.
    pub(super) at: ProducedAt,
    /// Tells it from others: see `frame::digest`.
    pub(super) digest: u32,
}

/// What is known of a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// Records that it had in all.
    pub(super) of_request: u32,
    /// Those that are in the log: position in the request, and place.
    pub(super) placed: BTreeMap<u32, Placed>,
}

/// The offsets of past requests, by key.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    by_key: HashMap<String, Known>,
    order: VecDeque<(i64, String)>,
    records: usize,
}

impl Remembered {
    /// Adds what is in the log of a request; requests come in the order of their time.
    pub(super) fn add(
        &mut self,
        key: &str,
        at_ms: i64,
        of_request: u32,
        placed: impl IntoIterator<Item = (u32, Placed)>,
    ) {
        if !self.by_key.contains_key(key) {
            self.order.push_back((at_ms, key.to_owned()));
        }
        let known = self.by_key.entry(key.to_owned()).or_default();
        let before = known.placed.len();
        known.of_request = of_request;
        known.placed.extend(placed);
        self.records += known.placed.len() - before;
        self.forget(at_ms);
    }

    /// What is known of a request.
    pub(super) fn get(&self, key: &str) -> Option<&Known> {
        self.by_key.get(key)
    }

    fn forget(&mut self, now_ms: i64) {
        while let Some((at_ms, _)) = self.order.front() {
            let few = self.order.len() <= REQUESTS_MAX && (self.records <= RECORDS_MAX || self.order.len() == 1);
            if few && now_ms - at_ms < REMEMBERED_MS {
                break;
            }
            if let Some(known) = self.order.pop_front().and_then(|(_, key)| self.by_key.remove(&key)) {
                self.records -= known.placed.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_types::NextOffset;

    #[test]
    fn the_oldest_are_forgotten_by_count_and_by_age() {
        let at = |offset| Placed { at: ProducedAt { partition: 0, offset: NextOffset::new(offset) }, digest: 7 };
        let mut remembered = Remembered::default();
        for n in 0..REQUESTS_MAX as u64 + 5 {
            remembered.add(&n.to_string(), 0, 1, [(0, at(n))]);
        }
        assert!(remembered.get("4").is_none());
        assert_eq!(remembered.get("5").unwrap().placed[&0], at(5));
        remembered.add("late", REMEMBERED_MS, 2, [(1, at(9))]);
        assert!(remembered.get("10004").is_none());
        assert_eq!((remembered.by_key.len(), remembered.order.len(), remembered.records), (1, 1, 1));
    }
}
