//! What was sent, and when the broker acknowledged how much of it: what the node's answers are held against on the way.

use crate::odd::Fate;
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

/// One topic's messages as their sender knows them.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sent_good: AtomicU64,
    partitions: Mutex<BTreeMap<usize, Known>>,
    /// The last thing that the client complained of.
    complaint: Mutex<Option<String>>,
    broken: Mutex<Option<String>>,
}

/// What is known of one partition.
#[derive(Debug, Default)]
struct Known {
    /// Messages given to the client.
    sent: u64,
    /// Messages acknowledged.
    acknowledged: u64,
    /// When the client said of a good message that the broker has it; how many there were then is its place.
    good: Vec<Instant>,
    /// Of the good ones.
    sum_of_numbers: u64,
}

impl Fate {
    /// Whether the message is seen in a count of rows.
    pub(super) fn is_good(self) -> bool {
        matches!(self, Self::Row | Self::Altered)
    }
}

impl Ledger {
    /// To be said before a message is given to the client: it may be seen from then on.
    pub(super) fn sends(&self, partition: usize, fate: Fate) {
        self.partitions.lock().entry(partition).or_default().sent += 1;
        self.sent_good.fetch_add(u64::from(fate.is_good()), Ordering::SeqCst);
    }

    /// Good messages that were given to the client so far.
    pub(super) fn sent_good(&self) -> u64 {
        self.sent_good.load(Ordering::SeqCst)
    }

    /// The broker has a message.
    pub(super) fn acknowledged(&self, partition: usize, number: u64, fate: Fate) {
        let mut partitions = self.partitions.lock();
        let known = partitions.entry(partition).or_default();
        known.acknowledged += 1;
        if fate.is_good() {
            known.good.push(Instant::now());
            known.sum_of_numbers += number;
        }
    }

    /// The client could not do as it was asked, and tries again.
    pub(super) fn complains(&self, what: String) {
        *self.complaint.lock() = Some(what);
    }

    /// What is not acknowledged, in words.
    pub(super) fn open_letters(&self) -> String {
        let partitions = self.partitions.lock();
        let open = partitions.iter().filter(|(_, known)| known.acknowledged < known.sent);
        let open: Vec<String> = open
            .map(|(number, known)| format!("{} of {} to {number}", known.sent - known.acknowledged, known.sent))
            .collect();
        format!("{} are not acknowledged; the client's last complaint: {:?}", open.join(", "), self.complaint.lock())
    }

    /// A message will never be there: nothing that follows would prove anything.
    pub(super) fn fail(&self, why: String) {
        self.broken.lock().get_or_insert(why);
    }

    /// Why the run is worth nothing, where that is so.
    pub(super) fn broken(&self) -> Option<String> {
        self.broken.lock().clone()
    }

    /// Good messages of `partitions` that were acknowledged at `at` or before.
    pub(super) fn good_by(&self, at: Instant, partitions: impl IntoIterator<Item = usize>) -> u64 {
        let known = self.partitions.lock();
        let known = partitions.into_iter().filter_map(|partition| known.get(&partition));
        known.map(|known| known.good.partition_point(|then| *then <= at) as u64).sum()
    }

    /// Good messages that were acknowledged, and the sum of their numbers.
    pub(super) fn acknowledged_good(&self) -> (u64, u64) {
        let partitions = self.partitions.lock();
        let add = |(count, sum), known: &Known| (count + known.good.len() as u64, sum + known.sum_of_numbers);
        partitions.values().fold((0, 0), add)
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
        ledger.acknowledged(1, 5, Fate::Row);
        ledger.acknowledged(1, 6, Fate::Rejected("DECODE"));
        let between = Instant::now();
        while Instant::now() <= between {}
        ledger.acknowledged(1, 6, Fate::Altered);
        let (now, early) = (Instant::now(), between - Duration::from_secs(60));
        assert_eq!(ledger.sent_good(), 3);
        assert_eq!((ledger.good_by(early, 0..2), ledger.good_by(between, 0..2), ledger.good_by(now, 0..2)), (0, 1, 2));
        assert_eq!(ledger.good_by(now, [0, 7]), 0, "others do not count");
        assert_eq!(ledger.acknowledged_good(), (2, 11));
        assert!(ledger.open_letters().starts_with("1 of 4 to 1 are"), "{}", ledger.open_letters());
        assert_eq!(ledger.broken(), None);
        ledger.fail("first".into());
        ledger.fail("second".into());
        assert_eq!(ledger.broken().as_deref(), Some("first"));
    }
}
