//! What was sent and what the broker acknowledged, by partition and offset: what the node's answers are held against.

use crate::odd::Fate;
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

/// A message that the broker acknowledged; its offset is its place in the partition's list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Acked {
    /// When the client said so.
    at: Instant,
    /// Messages that give a row up to here, this one included.
    good_so_far: u64,
    /// The number in the row; what is no row has that of the event it came beside.
    pub(super) number: u64,
    /// What has to become of it.
    pub(super) fate: Fate,
}

/// One topic's messages.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sent_good: AtomicU64,
    /// Messages given to the client, by partition.
    sent: Mutex<BTreeMap<usize, u64>>,
    /// The last thing that the client complained of.
    complaint: Mutex<Option<String>>,
    partitions: Mutex<Vec<Vec<Acked>>>,
    broken: Mutex<Option<String>>,
}

/// Sums over what was acknowledged.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) good: u64,
    pub(super) rejected: u64,
    pub(super) tombstones: u64,
    pub(super) altered: u64,
    pub(super) sum_of_numbers: u64,
}

impl Fate {
    /// Whether the message is seen in a count of rows.
    fn is_good(self) -> bool {
        matches!(self, Self::Row | Self::Altered)
    }
}

impl Ledger {
    /// To be said before a message is given to the client: it may be seen from then on.
    pub(super) fn sends(&self, partition: usize, fate: Fate) {
        *self.sent.lock().entry(partition).or_default() += 1;
        self.sent_good.fetch_add(u64::from(fate.is_good()), Ordering::SeqCst);
    }

    /// Good messages that were given to the client so far.
    pub(super) fn sent_good(&self) -> u64 {
        self.sent_good.load(Ordering::SeqCst)
    }

    /// The broker has a message. Only this log's producer writes to the topic, so offsets are dense and come in order.
    pub(super) fn acknowledged(&self, partition: usize, offset: u64, number: u64, fate: Fate) {
        let mut partitions = self.partitions.lock();
        if partitions.len() <= partition {
            partitions.resize_with(partition + 1, Vec::new);
        }
        let list = &mut partitions[partition];
        if offset != list.len() as u64 {
            self.fail(format!("offset {offset} of partition {partition} was acknowledged after {} others", list.len()));
            return;
        }
        let before = list.last().map_or(0, |last| last.good_so_far);
        list.push(Acked { at: Instant::now(), good_so_far: before + u64::from(fate.is_good()), number, fate });
    }

    /// The client could not do as it was asked, and tries again.
    pub(super) fn complains(&self, what: String) {
        *self.complaint.lock() = Some(what);
    }

    /// What is not acknowledged, in words.
    pub(super) fn open_letters(&self) -> String {
        let lists = self.partitions.lock();
        let acked = |partition: usize| lists.get(partition).map_or(0, |list| list.len() as u64);
        let sent = self.sent.lock();
        let open: Vec<String> = sent
            .iter()
            .filter(|(partition, sent)| acked(**partition) < **sent)
            .map(|(partition, sent)| format!("{} of {sent} to partition {partition}", sent - acked(*partition)))
            .collect();
        format!("{} are not acknowledged; the client's last complaint: {:?}", open.join(", "), self.complaint.lock())
    }

    /// The log is not what the run takes it for: nothing that follows would prove anything.
    pub(super) fn fail(&self, why: String) {
        self.broken.lock().get_or_insert(why);
    }

    /// Why the run is worth nothing, where that is so.
    pub(super) fn broken(&self) -> Option<String> {
        self.broken.lock().clone()
    }

    /// Good messages of `partitions` that were acknowledged at `at` or before.
    pub(super) fn good_by(&self, at: Instant, partitions: impl IntoIterator<Item = usize>) -> u64 {
        let lists = self.partitions.lock();
        let of = |list: &Vec<Acked>| {
            let count = list.partition_point(|acked| acked.at <= at);
            count.checked_sub(1).map_or(0, |last| list[last].good_so_far)
        };
        partitions.into_iter().filter_map(|partition| lists.get(partition)).map(of).sum()
    }

    /// Partitions of which something was acknowledged, and those below them.
    pub(super) fn partition_count(&self) -> usize {
        self.partitions.lock().len()
    }

    /// All of one partition, by offset.
    pub(super) fn partition(&self, partition: usize) -> Vec<Acked> {
        self.partitions.lock().get(partition).cloned().unwrap_or_default()
    }

    /// Sums over all partitions.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for acked in self.partitions.lock().iter().flatten() {
            match acked.fate {
                Fate::Rejected(_) => totals.rejected += 1,
                Fate::Tombstone => totals.tombstones += 1,
                Fate::Row | Fate::Altered => {
                    totals.good += 1;
                    totals.sum_of_numbers += acked.number;
                    totals.altered += u64::from(acked.fate == Fate::Altered);
                }
            }
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn sums_are_of_what_was_acknowledged_by_then() {
        let ledger = Ledger::default();
        for fate in [Fate::Row, Fate::Rejected("DECODE"), Fate::Altered, Fate::Row] {
            ledger.sends(1, fate);
        }
        ledger.acknowledged(1, 0, 5, Fate::Row);
        ledger.acknowledged(1, 1, 6, Fate::Rejected("DECODE"));
        let between = Instant::now();
        while Instant::now() <= between {}
        ledger.acknowledged(1, 2, 6, Fate::Altered);
        let (now, early) = (Instant::now(), between - Duration::from_secs(60));
        assert_eq!((ledger.sent_good(), ledger.partition_count()), (3, 2));
        assert_eq!((ledger.good_by(early, 0..2), ledger.good_by(between, 0..2), ledger.good_by(now, 0..2)), (0, 1, 2));
        assert_eq!(ledger.good_by(now, [0, 7]), 0, "others do not count");
        let totals = Totals { good: 2, rejected: 1, tombstones: 0, altered: 1, sum_of_numbers: 11 };
        assert_eq!((ledger.totals(), ledger.broken()), (totals, None));
        assert!(ledger.open_letters().starts_with("1 of 4 to partition 1 are"), "{}", ledger.open_letters());
        ledger.acknowledged(1, 4, 7, Fate::Row);
        assert!(ledger.broken().unwrap().contains("offset 4"));
    }
}
