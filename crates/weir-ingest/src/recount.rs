//! Counts of fixed ranges that were read again and came out otherwise.
//!
//! A range whose rows died with the process is read again with the settings of today, from a stream that may have dropped
//! some of it: what was a row may be rejected now, and what is gone is passed over. The segment's record gets the counts of
//! what it holds with its commit. A partition's status was summed up before that, and is corrected here.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use weir_control::{SegmentRecord, SegmentState};
use weir_types::{Accounting, SegmentName, StreamPartition};

/// The counts of a table's ranges that were fixed and not committed when their partition was started.
#[derive(Default)]
pub(crate) struct Recounts(Mutex<BTreeMap<StreamPartition, Vec<Recount>>>);

struct Recount {
    segment: SegmentName,
    /// As the partition's status has it.
    told: Accounting,
    /// As it is, where it was read again.
    found: Option<Accounting>,
}

impl Recounts {
    /// A partition's status is summed up from these records.
    pub(crate) fn started(&self, partition: &StreamPartition, records: &[&SegmentRecord]) {
        let told = records.iter().filter_map(|record| match &record.state {
            SegmentState::Committing { seal, .. } => {
                Some(Recount { segment: record.name.clone(), told: seal.accounting, found: None })
            }
            _ => None,
        });
        let mut known = self.0.lock();
        let before = known.remove(partition).unwrap_or_default();
        let mut told: Vec<Recount> = told.collect();
        for recount in &mut told {
            // Its record says so once it is committed.
            recount.found = before.iter().find(|known| known.segment == recount.segment).and_then(|known| known.found);
        }
        known.insert(partition.clone(), told);
    }

    /// A segment that was read again holds this.
    pub(crate) fn found(&self, record: &SegmentRecord, counts: Accounting) {
        if let Some(recounts) = self.0.lock().get_mut(&record.partition) {
            let of_segment = recounts.iter_mut().filter(|recount| recount.segment == record.name);
            of_segment.for_each(|recount| recount.found = Some(counts));
        }
    }

    /// Puts what was found in place of what was told.
    pub(crate) fn correct(&self, partition: &StreamPartition, counts: &mut Accounting) {
        let known = self.0.lock();
        for recount in known.get(partition).into_iter().flatten() {
            if let Some(found) = &recount.found {
                counts.take_away(&recount.told);
                counts.add(found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_control::{Seal, SealReason};
    use weir_types::{NextOffset, OffsetRange, SchemaVersion, TableName, TopicName};

    fn partition() -> StreamPartition {
        StreamPartition { topic: TopicName::parse("t").unwrap(), partition: 0 }
    }

    fn record(sequence: u32, stored: u64) -> SegmentRecord {
        let range = OffsetRange::try_new(NextOffset::ZERO, NextOffset::new(10)).unwrap();
        let accounting =
            Accounting { fetched: 10, stored, rejected: 10 - stored, rows: stored, ..Accounting::default() };
        SegmentRecord {
            name: SegmentName::new(TableName::parse("t").unwrap(), 0, sequence, 1),
            table_uid: 1,
            partition: partition(),
            state: SegmentState::Committing {
                range,
                seal: Seal { reason: SealReason::Rows, accounting, at_ms: 1, size: None },
            },
            limits: weir_control::Limits::of_rows(10),
            created_ms: 1,
            schema_version: SchemaVersion(1),
            replicas: vec![],
            version: 1,
        }
    }

    #[test]
    fn what_was_found_takes_the_place_of_what_was_told_once() {
        let recounts = Recounts::default();
        let (one, two) = (record(1, 8), record(2, 7));
        recounts.started(&partition(), &[&one, &two]);
        let told = Accounting { fetched: 20, stored: 15, rejected: 5, rows: 15, ..Accounting::default() };
        let mut counts = told;
        recounts.correct(&partition(), &mut counts);
        assert_eq!(counts, told);
        let found = Accounting { fetched: 6, stored: 6, skipped: 4, rows: 6, ..Accounting::default() };
        recounts.found(&one, found);
        recounts.correct(&partition(), &mut counts);
        assert_eq!((counts.fetched, counts.stored, counts.rejected, counts.skipped, counts.rows), (16, 13, 3, 4, 13));
        // Started again before its commit: the records say what they said.
        recounts.started(&partition(), &[&one, &two]);
        let mut counts = told;
        recounts.correct(&partition(), &mut counts);
        assert_eq!(counts.rows, 13);
        // And behind it.
        recounts.started(&partition(), &[&two]);
        recounts.found(&one, found);
        let mut counts = told;
        recounts.correct(&partition(), &mut counts);
        assert_eq!(counts, told);
    }
}
