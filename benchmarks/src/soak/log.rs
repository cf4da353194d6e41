//! A topic as it is on the broker, read by a client that shares nothing with the node: the truth at the end.
//!
//! What the sender knows is not enough for that: where the broker dies between writing and answering, it is the broker that
//! decides what is there. Each message's key tells its event and what has to become of it.

use super::sender::label;
use crate::{kafka, odd::Fate};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    config::ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

/// A topic of a whole run is read within this on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Logged {
    /// The number of its event.
    pub(super) number: u64,
    /// What has to become of it.
    pub(super) fate: Fate,
}

/// A topic's messages by partition; an offset is a place in the partition's list.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) partitions: Vec<Vec<Logged>>,
}

/// Sums over a log.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) good: u64,
    pub(super) rejected: u64,
    pub(super) tombstones: u64,
    pub(super) altered: u64,
    pub(super) sum_of_numbers: u64,
}

impl Log {
    /// All that the topic holds.
    pub(super) fn read(broker: &str, topic: &str, partitions: usize) -> Result<Self, Failure> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", broker).set("group.id", "soak-check").set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create()?;
        let (mut list, mut ends) = (TopicPartitionList::new(), vec![]);
        for partition in 0..partitions as i32 {
            list.add_partition_offset(topic, partition, Offset::Offset(0))?;
            ends.push(kafka::end(broker, topic, partition)? as usize);
        }
        consumer.assign(&list)?;
        let mut log = Self { partitions: vec![vec![]; partitions] };
        let until = Instant::now() + PATIENCE;
        while log.partitions.iter().zip(&ends).any(|(read, end)| read.len() < *end) {
            if Instant::now() > until {
                return Err(format!("{topic} cannot be read to its end within {PATIENCE:?}").into());
            }
            // An error is one of a moment: the client goes on by itself.
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(200)) else { continue };
            let list = &mut log.partitions[message.partition() as usize];
            if message.offset() != list.len() as i64 {
                return Err(format!("{topic} has offset {} where {} is due", message.offset(), list.len()).into());
            }
            let logged = message.key().and_then(|key| label::read(std::str::from_utf8(key).ok()?));
            list.push(logged.ok_or_else(|| format!("{topic} has a message of somebody else: {message:?}"))?);
        }
        Ok(log)
    }

    /// Sums over all of it.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for logged in self.partitions.iter().flatten() {
            match logged.fate {
                Fate::Rejected(_) => totals.rejected += 1,
                Fate::Tombstone => totals.tombstones += 1,
                Fate::Row | Fate::Altered => {
                    totals.good += 1;
                    totals.sum_of_numbers += logged.number;
                    totals.altered += u64::from(logged.fate == Fate::Altered);
                }
            }
        }
        totals
    }

    /// Good messages that are there more than once: an acknowledgement was lost, and the sender could not know.
    pub(super) fn doubled(&self) -> u64 {
        let mut numbers: Vec<u64> = self
            .partitions
            .iter()
            .flatten()
            .filter(|logged| logged.fate.is_good())
            .map(|logged| logged.number)
            .collect();
        let all = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        (all - numbers.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_doubles() {
        let logged = |number, fate| Logged { number, fate };
        let log = Log {
            partitions: vec![
                vec![logged(1, Fate::Row), logged(1, Fate::Rejected("DECODE")), logged(3, Fate::Altered)],
                vec![logged(2, Fate::Row), logged(2, Fate::Row), logged(2, Fate::Tombstone)],
            ],
        };
        let totals = Totals { good: 4, rejected: 1, tombstones: 1, altered: 1, sum_of_numbers: 8 };
        assert_eq!((log.totals(), log.doubled()), (totals, 1));
    }
}
