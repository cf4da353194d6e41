//! Requests with an idempotency key, as the log itself tells them.

use crate::local::ProducedAt;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// So many requests are remembered: at a hundred requests a second well over a minute of retries.
const REQUESTS_MAX: usize = 10_000;
/// A client that has not repeated its request within an hour will not.
const REMEMBERED_MS: i64 = 3_600_000;

/// The offsets of past requests, by key.
#[derive(Debug)]
pub(super) struct Remembered {
    by_key: HashMap<String, BTreeMap<u32, ProducedAt>>,
    order: VecDeque<(i64, String)>,
    most: usize,
}

impl Remembered {
    /// For the frames of one partition, which are merged afterwards. Twice as many are kept, so that of requests of the
    /// same millisecond none is kept in one partition and forgotten in another.
    pub(super) fn loading() -> Self {
        Self { by_key: HashMap::new(), order: VecDeque::new(), most: 2 * REQUESTS_MAX }
    }

    /// What all partitions remember, the newest requests. Partitions are read one after the other, so that only now it
    /// is known which requests are the newest.
    pub(super) fn merge(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut merged = Self { most: REQUESTS_MAX, ..Self::loading() };
        let mut order: Vec<(i64, String)> = vec![];
        for part in parts {
            order.extend(part.order);
            for (key, placed) in part.by_key {
                merged.by_key.entry(key).or_default().extend(placed);
            }
        }
        order.sort();
        let mut seen = HashSet::new();
        order.retain(|(_, key)| seen.insert(key.clone()));
        let newest_ms = order.last().map_or(i64::MIN, |(at_ms, _)| *at_ms);
        merged.order = order.into();
        merged.forget(newest_ms);
        merged
    }

    /// Adds what one frame holds of a request: positions in the request and where they went.
    pub(super) fn add(&mut self, key: &str, at_ms: i64, placed: impl IntoIterator<Item = (u32, ProducedAt)>) {
        if !self.by_key.contains_key(key) {
            self.order.push_back((at_ms, key.to_owned()));
        }
        self.by_key.entry(key.to_owned()).or_default().extend(placed);
        self.forget(at_ms);
    }

    /// What is known of a request.
    pub(super) fn get(&self, key: &str) -> Option<&BTreeMap<u32, ProducedAt>> {
        self.by_key.get(key)
    }

    fn forget(&mut self, now_ms: i64) {
        while let Some((at_ms, _)) = self.order.front() {
            if self.order.len() <= self.most && now_ms.saturating_sub(*at_ms) < REMEMBERED_MS {
                break;
            }
            if let Some((_, key)) = self.order.pop_front() {
                self.by_key.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_types::NextOffset;

    fn at(partition: u32, offset: u64) -> ProducedAt {
        ProducedAt { partition, offset: NextOffset::new(offset) }
    }

    #[test]
    fn merging_keeps_the_newest_requests_whole() {
        let requests = REQUESTS_MAX as u64 + 500;
        let parts = [0, 1].map(|partition| {
            let mut part = Remembered::loading();
            for n in 0..requests {
                // A hundred requests a millisecond.
                part.add(&format!("k{n}"), (n / 100) as i64, [(partition, at(partition, n))]);
            }
            part
        });
        let merged = Remembered::merge(parts);
        assert_eq!(merged.by_key.len(), REQUESTS_MAX);
        for n in 600..requests {
            let expected = BTreeMap::from([(0, at(0, n)), (1, at(1, n))]);
            assert_eq!(merged.get(&format!("k{n}")), Some(&expected));
        }
        assert_eq!(merged.get("k0"), None);
    }

    #[test]
    fn an_hour_is_remembered() {
        let mut remembered = Remembered::merge([]);
        remembered.add("old", 0, [(0, at(0, 0))]);
        remembered.add("new", REMEMBERED_MS - 1, [(0, at(0, 1))]);
        assert!(remembered.get("old").is_some());
        remembered.add("newer", REMEMBERED_MS, [(0, at(0, 2))]);
        assert!(remembered.get("old").is_none() && remembered.get("new").is_some());
    }
}
