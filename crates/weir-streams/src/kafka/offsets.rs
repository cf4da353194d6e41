//! Offsets of many partitions with one question: a table of hundreds of partitions is made as fast as one of a few.

use super::client::{Client, failed};
use crate::contract::StreamError;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::Consumer,
    error::{KafkaError, RDKafkaErrorCode},
};
use std::time::{Duration, Instant};
use weir_types::NextOffset;

/// A broker that is just being told of a topic says for some moments that it does not lead its partitions, or knows none.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Such moments are waited for this long: less than making a table may take, so that the cause is told.
const AGAIN_FOR: Duration = Duration::from_secs(4);

/// What is asked of each partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// Its oldest offset.
    Oldest,
    /// One past its newest.
    End,
    /// The first offset whose message is of that time (milliseconds) or later.
    Since(i64),
}

/// The answers in the order of `partitions`; `None` where no message is that young. Waits for the brokers, and asks again
/// for a while where a partition is just finding its leader. `timeout` bounds one question.
pub(super) fn offsets(
    client: &Client,
    topic: &str,
    partitions: &[u32],
    question: Question,
    timeout: Duration,
) -> Result<Vec<Option<NextOffset>>, StreamError> {
    let until = Instant::now() + AGAIN_FOR;
    loop {
        match ask(client, topic, partitions, question, timeout) {
            Err(error) if finds_its_leader(&error) && Instant::now() < until => std::thread::sleep(AGAIN_AFTER),
            Err(error) => {
                return Err(match (error.rdkafka_error_code(), partitions) {
                    (Some(RDKafkaErrorCode::UnknownPartition), [partition]) => {
                        StreamError::PartitionMissing { topic: topic.to_owned(), partition: *partition }
                    }
                    _ => failed(client, topic, &error),
                });
            }
            Ok(found) => return Ok(found),
        }
    }
}

fn ask(
    client: &Client,
    topic: &str,
    partitions: &[u32],
    question: Question,
    timeout: Duration,
) -> Result<Vec<Option<NextOffset>>, KafkaError> {
    if partitions.is_empty() {
        return Ok(vec![]);
    }
    let number = |partition: u32| i32::try_from(partition).unwrap_or(i32::MAX);
    // The oldest and the end are times too, of which no message is.
    let at = match question {
        Question::Oldest => Offset::Beginning,
        Question::End => Offset::End,
        Question::Since(ms) => Offset::Offset(ms.max(0)),
    };
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition_offset(topic, number(*partition), at)?;
    }
    let found = client.offsets_for_times(list, timeout)?.elements_for_topic(topic).into_iter().try_fold(
        std::collections::BTreeMap::new(),
        |mut found, element| {
            element.error()?;
            let offset = match element.offset() {
                Offset::Offset(offset) => u64::try_from(offset).ok().map(NextOffset::new),
                _ => None,
            };
            found.insert(element.partition(), offset);
            Ok::<_, KafkaError>(found)
        },
    )?;
    Ok(partitions.iter().map(|partition| found.get(&number(*partition)).copied().flatten()).collect())
}

fn finds_its_leader(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::PreferredLeaderNotAvailable
                | RDKafkaErrorCode::UnknownLeaderEpoch
                | RDKafkaErrorCode::FencedLeaderEpoch
                | RDKafkaErrorCode::OffsetNotAvailable
                | RDKafkaErrorCode::KafkaStorageError
        )
    )
}
