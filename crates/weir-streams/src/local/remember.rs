//! Requests with an idempotency key, as the log itself tells them.

use crate::local::ProducedAt;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// So many requests are remembered: at a hundred requests a second well over a minute of retries.
const REQUESTS_MAX: usize = 10_000;
/// A client that has not repeated its request within an hour will not.
const REMEMBERED_MS: i64 = 3_600_000;

/// The offsets of past requests, by key.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    by_key: HashMap<String, BTreeMap<u32, ProducedAt>>,
    order: VecDeque<(i64, String)>,
}

impl Remembered {
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
            if self.order.len() <= REQUESTS_MAX && now_ms - at_ms < REMEMBERED_MS {
                break;
            }
            if let Some((_, key)) = self.order.pop_front() {
                self.by_key.remove(&key);
            }
        }
    }
}
