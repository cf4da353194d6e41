//! Looks in the background whether each partition's counts explain its offsets, and whether these are the stream's.
//!
//! Nothing that Weir knows of breaks them: what is found here is a fault of ours, or of a stream that took back what it had
//! given. It is said in the log, in the partition's status and as a metric.

use crate::{
    status::{PartitionState, PartitionStatus},
    table::TableRuntime,
};
use futures::{StreamExt as _, stream};
use std::{collections::BTreeMap, time::Duration};
use weir_base::metrics::{Gauge, Labels};
use weir_types::{Accounting, NextOffset, StreamPartition};

/// A stream is asked where it ends at most so often: it is one request a partition.
pub(crate) const ASK_EVERY: Duration = Duration::from_secs(30);

/// What does not hold must not hold for so long: a status is put together of counts that are told one after the other, and
/// a broker that has just become the leader may say an older end.
const LAST: Duration = Duration::from_secs(1);

/// So many partitions are asked at once.
const ASKED_AT_ONCE: usize = 8;

impl PartitionStatus {
    /// What of its counts does not hold, in words.
    #[must_use]
    pub fn unbalanced(&self) -> Option<String> {
        let counts = &self.accounting;
        if !counts.balances() {
            let Accounting { fetched, stored, filtered, tombstones, rejected, replayed, .. } = counts;
            return Some(format!(
                "{fetched} messages were fetched, and they are not the {stored} stored + {filtered} filtered + {tombstones} \
                 tombstones + {rejected} rejected + {replayed} replayed"
            ));
        }
        let (Self { start, next, rewound, .. }, Accounting { fetched, gaps, skipped, .. }) = (self, counts);
        let span = i128::from(next.number()) - i128::from(start.number()) + i128::from(*rewound);
        let explained = i128::from(*fetched) + i128::from(*gaps) + i128::from(*skipped);
        (self.dense && span != explained).then(|| {
            format!(
                "the {span} offsets from {start} to {next} (with {rewound} gone back) are not the {fetched} fetched + {gaps} \
                 gaps + {skipped} skipped"
            )
        })
    }

    /// Whether it was read further than the stream says that it goes, in words. One that stands still for a topic that was
    /// made anew says so itself.
    fn beyond(&self, end: NextOffset) -> Option<String> {
        let reads =
            matches!(self.state, PartitionState::Consuming | PartitionState::Lagging | PartitionState::Recovering(_));
        (self.dense && reads && self.next > end).then(|| {
            format!(
                "it was read up to offset {}, and its stream says that it ends at {end}: the end of it was lost",
                self.next
            )
        })
    }
}

impl TableRuntime {
    /// Looks at all partitions. Where the streams are to be asked (`asks`), their ends are looked at too.
    pub(crate) async fn check_accounts(&self, asks: bool) {
        let wrong = self.wrong_accounts(asks, |_| true).await;
        let known = self.partitions().into_iter().filter(|status| status.unexplained.is_some());
        // Who is known to be wrong is told when it is right again.
        if wrong.is_empty() && known.count() == 0 {
            return;
        }
        let mut lasting = BTreeMap::new();
        if !wrong.is_empty() {
            self.context().deps.clock.sleep(LAST).await;
            lasting = self.wrong_accounts(asks, |partition| wrong.contains_key(partition)).await;
        }
        for handle in self.handles() {
            let status = handle.status.get();
            let found = lasting.remove(&status.partition);
            // What the stream said last stands until it is asked again.
            if found == status.unexplained || (found.is_none() && !asks) {
                continue;
            }
            let (table, topic) = (status.table.as_str(), status.partition.topic.as_str());
            let partition = status.partition.partition;
            match &found {
                Some(found) => tracing::error!(table, topic, partition, found, "messages are not accounted for"),
                None => tracing::info!(table, topic, partition, "all messages are accounted for again"),
            }
            let labels = Labels { table: table.into(), topic: topic.into(), partition: Some(partition) };
            self.context().deps.metrics.gauge(Gauge::Unexplained, &labels, i64::from(found.is_some()));
            handle.status.change(|status| status.unexplained = found);
        }
    }

    async fn wrong_accounts(
        &self,
        asks: bool,
        of_interest: impl Fn(&StreamPartition) -> bool,
    ) -> BTreeMap<StreamPartition, String> {
        let statuses = self.partitions().into_iter().filter(|status| of_interest(&status.partition));
        let looks = stream::iter(statuses).map(|status| async move {
            let mut found = status.unbalanced();
            if found.is_none() && asks {
                // Behind the status, for the end only grows.
                found = self.end_of(&status).await.and_then(|end| status.beyond(end));
            }
            found.map(|found| (status.partition, found))
        });
        looks.buffer_unordered(ASKED_AT_ONCE).filter_map(async |found| found).collect().await
    }

    async fn end_of(&self, status: &PartitionStatus) -> Option<NextOffset> {
        let feeds = self.feeds();
        let feed = feeds.get(&status.partition.topic)?;
        // One that does not answer is known by who reads it.
        let marks = feed.source.watermarks(status.partition.partition).await.ok()?;
        if let Some(handle) = self.handle(&status.partition) {
            // Where no message comes, nobody else hears that what the stream deletes comes near.
            handle.status.change(|status| status.low_watermark = Some(marks.low));
        }
        Some(marks.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_types::{TableName, TopicName};

    fn status(start: u64, next: u64, rewound: u64, accounting: Accounting) -> PartitionStatus {
        let partition = StreamPartition { topic: TopicName::parse("t").unwrap(), partition: 0 };
        let (table, state) = (TableName::parse("t").unwrap(), PartitionState::Consuming);
        let (start, next) = (NextOffset::new(start), NextOffset::new(next));
        PartitionStatus { start, rewound, accounting, ..PartitionStatus::new(table, partition, 0, state, next, 0) }
    }

    #[test]
    fn counts_that_do_not_explain_the_offsets_are_told() {
        let counts = Accounting {
            fetched: 10,
            stored: 5,
            filtered: 2,
            tombstones: 1,
            rejected: 1,
            replayed: 1,
            gaps: 3,
            skipped: 7,
            ..Accounting::default()
        };
        assert_eq!(status(100, 120, 0, counts).unbalanced(), None);
        assert_eq!(status(100, 90, 30, counts).unbalanced(), None, "gone back behind its start");
        for lost in [
            Accounting { stored: 4, ..counts },
            Accounting { fetched: 11, ..counts },
            Accounting { rejected: 2, ..counts },
        ] {
            assert!(status(100, 120, 0, lost).unbalanced().unwrap().contains("messages were fetched"), "{lost:?}");
        }
        let wrong = status(100, 121, 0, counts).unbalanced().unwrap();
        assert_eq!(
            wrong,
            "the 21 offsets from 100 to 121 (with 0 gone back) are not the 10 fetched + 3 gaps + 7 skipped"
        );
        assert_eq!(PartitionStatus { dense: false, ..status(100, 121, 0, counts) }.unbalanced(), None);
    }

    #[test]
    fn who_read_further_than_the_stream_goes_is_told() {
        let status = status(0, 10, 0, Accounting::default());
        assert_eq!(status.beyond(NextOffset::new(10)), None);
        assert!(status.beyond(NextOffset::new(9)).unwrap().contains("up to offset 10"));
        let still = PartitionStatus { state: PartitionState::Recreated("x".into()), ..status };
        assert_eq!(still.beyond(NextOffset::new(9)), None);
    }
}
