//! What a quarantine knows of its file without reading it: where each entry lies, in which order they came, what is gone.
//!
//! The same calls rebuild it when the file is opened and keep it while the file grows, so that both end alike.

use crate::quarantine::entry::{Body, Entry, EntryId, Reading, Why};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};
use weir_types::NextOffset;

/// Stale places in the order of arrival are cleared away when there are this many more than entries: often enough to
/// bound them, seldom enough to cost nothing.
const STALE_MOST: usize = 1024;

/// Where an entry lies.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Where its frame's body starts in the file.
    pub(super) position: u64,
    /// Bytes of the body.
    pub(super) length: u32,
    /// When it was rejected first, wall time in milliseconds.
    pub(super) time_ms: i64,
    /// Where in its way.
    pub(super) stage: Arc<str>,
    arrival: u64,
}

/// The index of a quarantine file.
#[derive(Default)]
pub(super) struct Index {
    known: BTreeMap<EntryId, Place>,
    /// In order of arrival, for eviction; one whose arrival is not its place's is stale.
    order: VecDeque<(u64, EntryId)>,
    arrivals: u64,
    stages: BTreeSet<Arc<str>>,
    /// Up to here, what of a reading is not known was evicted or deleted.
    gone: BTreeMap<Reading, NextOffset>,
    live_bytes: u64,
    evicted: u64,
    deleted: u64,
}

impl Index {
    pub(super) fn known(&self) -> &BTreeMap<EntryId, Place> {
        &self.known
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(super) fn deleted(&self) -> u64 {
        self.deleted
    }

    pub(super) fn gone(&self) -> &BTreeMap<Reading, NextOffset> {
        &self.gone
    }

    /// Whether a record was kept before: it is here, or was and is evicted or deleted. Reading a range again asks this.
    pub(super) fn was_kept(&self, id: &EntryId) -> bool {
        let gone = || self.gone.get(&(id.partition.clone(), id.reading));
        self.known.contains_key(id) || gone().is_some_and(|gone| id.offset <= *gone)
    }

    /// Takes in what a frame at `position` tells.
    pub(super) fn apply(&mut self, position: u64, length: u32, body: &Body) {
        match body {
            Body::Entry(entry) => self.put(position, length, entry),
            // A damaged file may say any number: it is opened all the same.
            Body::EvictedBefore(count) => self.evicted = self.evicted.saturating_add(*count),
            Body::DeletedBefore(count) => self.deleted = self.deleted.saturating_add(*count),
            Body::Gone(reading, offset) => self.mark_gone(reading, *offset),
            Body::Evict(count) => self.evict(*count),
            Body::Removed(why, reading, offsets) => self.remove(*why, reading, offsets),
        }
    }

    fn put(&mut self, position: u64, length: u32, entry: &Entry) {
        let key = entry.id();
        let stage = match self.stages.get(entry.stage.as_str()) {
            Some(stage) => stage.clone(),
            None => {
                let stage: Arc<str> = entry.stage.as_str().into();
                self.stages.insert(stage.clone());
                stage
            }
        };
        self.live_bytes += u64::from(length);
        if let Some(place) = self.known.get_mut(&key) {
            self.live_bytes -= u64::from(place.length);
            // Its time too: a file that is written anew knows the later entry only.
            (place.position, place.length, place.stage, place.time_ms) = (position, length, stage, entry.time_ms);
            return;
        }
        let arrival = self.arrivals;
        self.arrivals += 1;
        self.order.push_back((arrival, key.clone()));
        self.known.insert(key, Place { position, length, time_ms: entry.time_ms, stage, arrival });
    }

    fn mark_gone(&mut self, reading: &Reading, offset: NextOffset) {
        let gone = self.gone.entry(reading.clone()).or_insert(offset);
        *gone = offset.max(*gone);
    }

    fn evict(&mut self, mut count: u64) {
        while count > 0 {
            let Some((arrival, key)) = self.order.pop_front() else { return };
            if self.take(arrival, &key) {
                self.mark_gone(&(key.partition, key.reading), key.offset);
                self.evicted = self.evicted.saturating_add(1);
                count -= 1;
            }
        }
    }

    fn take(&mut self, arrival: u64, key: &EntryId) -> bool {
        let Some(place) = self.known.get(key).filter(|place| place.arrival == arrival) else { return false };
        self.live_bytes -= u64::from(place.length);
        self.known.remove(key);
        true
    }

    fn remove(&mut self, why: Why, reading: &Reading, offsets: &[NextOffset]) {
        for offset in offsets {
            let id = EntryId { partition: reading.0.clone(), reading: reading.1, offset: *offset };
            let Some(place) = self.known.remove(&id) else { continue };
            self.live_bytes -= u64::from(place.length);
            if why == Why::Deleted {
                self.deleted = self.deleted.saturating_add(1);
                self.mark_gone(reading, *offset);
            }
        }
        if self.order.len() > self.known.len() + STALE_MOST {
            let known = &self.known;
            self.order.retain(|(arrival, key)| known.get(key).is_some_and(|place| place.arrival == *arrival));
        }
    }

    /// How many of the oldest entries have to go so that at most `most` stay, of at most `bytes`, none rejected before
    /// `oldest_ms`. Pure.
    pub(super) fn excess(&self, most: usize, bytes: u64, oldest_ms: i64) -> u64 {
        let (mut entries, mut live, mut excess) = (self.known.len(), self.live_bytes, 0);
        for (arrival, key) in &self.order {
            let Some(place) = self.known.get(key).filter(|place| place.arrival == *arrival) else { continue };
            if entries <= most && live <= bytes && place.time_ms >= oldest_ms {
                break;
            }
            entries -= 1;
            live -= u64::from(place.length);
            excess += 1;
        }
        excess
    }

    /// Entries in order of arrival.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (&EntryId, &Place)> {
        self.order.iter().filter_map(|(arrival, key)| {
            let place = self.known.get(key).filter(|place| place.arrival == *arrival)?;
            Some((key, place))
        })
    }

    /// Entries lie elsewhere now.
    pub(super) fn moved(&mut self, positions: BTreeMap<EntryId, u64>) {
        for (key, position) in positions {
            if let Some(place) = self.known.get_mut(&key) {
                place.position = position;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_types::{StreamPartition, TopicName};

    fn partition() -> StreamPartition {
        StreamPartition { topic: TopicName::parse("t").unwrap(), partition: 0 }
    }

    fn entry(offset: u64, time_ms: i64) -> Body {
        Body::Entry(Entry {
            partition: partition(),
            reading: 0,
            offset: NextOffset::new(offset),
            time_ms,
            stage: "DECODE".into(),
            column: String::new(),
            reason: String::new(),
            payload: vec![],
            value_bytes: 0,
            key: None,
            stream_time_ms: None,
            headers: vec![],
        })
    }

    fn offsets(index: &Index) -> Vec<u64> {
        index.known().keys().map(|id| id.offset.number()).collect()
    }

    #[test]
    fn a_second_entry_is_as_old_as_it_says() {
        let mut index = Index::default();
        index.apply(0, 100, &entry(1, 5));
        assert_eq!(index.excess(10, 1000, 20), 1);
        // As a file would tell that was written anew since, and has this one only.
        index.apply(100, 100, &entry(1, 50));
        assert_eq!(index.excess(10, 1000, 20), 0);
    }

    #[test]
    fn the_oldest_go_by_count_bytes_or_age() {
        let mut index = Index::default();
        for offset in 0..10 {
            index.apply(0, 100, &entry(offset, offset as i64));
        }
        assert_eq!(index.excess(10, 1000, 0), 0);
        assert_eq!(index.excess(7, 1000, 0), 3);
        assert_eq!(index.excess(10, 850, 0), 2);
        assert_eq!(index.excess(10, 1000, 4), 4);
        assert_eq!(index.excess(0, 1000, 0), 10);
        index.apply(0, 0, &Body::Evict(3));
        assert_eq!((offsets(&index).len(), index.evicted(), index.live_bytes), (7, 3, 700));
        assert!(index.was_kept(&EntryId { partition: partition(), reading: 0, offset: NextOffset::new(2) }));
    }

    #[test]
    fn an_eviction_passes_over_what_is_gone_already() {
        let mut index = Index::default();
        for offset in 0..5 {
            index.apply(0, 1, &entry(offset, 0));
        }
        let removed = |why, offset| Body::Removed(why, (partition(), 0), vec![NextOffset::new(offset)]);
        index.apply(0, 0, &removed(Why::Replayed, 0));
        index.apply(0, 0, &removed(Why::Deleted, 1));
        index.apply(0, 0, &removed(Why::Deleted, 1));
        index.apply(0, 0, &Body::Evict(1));
        assert_eq!(offsets(&index), [3, 4]);
        assert_eq!((index.evicted(), index.deleted()), (1, 1));
        // A new reason keeps the place in the order.
        index.apply(0, 1, &entry(3, 9));
        index.apply(0, 0, &Body::Evict(1));
        assert_eq!(offsets(&index), [4]);
    }
}
