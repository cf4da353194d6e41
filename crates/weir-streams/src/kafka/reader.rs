//! One partition, read from its own queue of the client, in batches.
//!
//! The queue wakes us when it has something; draining it never waits. Where the stream stands is taken from what the
//! client says: the offset after the last message, or that of an end-of-partition event, which lies behind control and
//! aborted records.

use super::{
    blocking,
    client::{self, Client},
    messages::{KafkaMessages, OwnedMessage},
    shared::Seat,
};
use crate::contract::{FetchLimit, MessageBatch, PartitionReader, StreamError, Watermarks};
use async_trait::async_trait;
use rdkafka::{bindings::rd_kafka_resp_err_t, consumer::Consumer, error::RDKafkaErrorCode};
use std::{cmp::Ordering, collections::VecDeque, time::Duration};
use tokio::{
    task::{JoinError, JoinHandle},
    time::Instant,
};
use weir_types::{NextOffset, OffsetRange};

/// While nothing comes, the client's callbacks (lost connections) are looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The client says nothing of a topic that was deleted, and little of a broker that hangs: after so much silence the
/// broker is asked whether the partition is still there.
const SILENCE: Duration = Duration::from_secs(5);
/// Watermarks are asked for this long when an offset is out of range.
const ASK: Duration = Duration::from_secs(5);

/// A question to the broker what it holds.
struct Asked {
    /// The next offset when it was asked.
    at: NextOffset,
    answer: JoinHandle<Result<Found, StreamError>>,
}

/// What the broker said.
struct Found {
    held: Watermarks,
    /// Whether its topic is another one than the client knows; looked at only where the log holds more than was read.
    made_anew: bool,
}

/// What a silence means.
#[derive(Debug, PartialEq, Eq)]
enum Silence {
    /// All that the log holds was read.
    AtTheEnd,
    /// The log ends before what is to be read.
    Beyond,
    /// The log holds more, which may just be on its way.
    Lacks,
    /// The log holds more, and this client will not fetch it.
    Stalled,
}

impl Silence {
    /// Of a reader that comes to `next`; `lacks`: for how long it is known that the log holds more.
    fn of(next: NextOffset, found: &Found, lacks: Option<Duration>, stalls_after: Duration) -> Self {
        match found.held.high.cmp(&next) {
            Ordering::Less => Self::Beyond,
            Ordering::Equal => Self::AtTheEnd,
            Ordering::Greater if found.made_anew || lacks.is_some_and(|lacks| lacks >= stalls_after) => Self::Stalled,
            Ordering::Greater => Self::Lacks,
        }
    }
}

/// How a partition is read.
pub(super) struct How {
    /// A fetch waits for so long.
    pub(super) fetch_timeout: Duration,
    /// Whether only what is committed is read.
    pub(super) read_committed: bool,
    /// Where nothing comes for so long of what the log holds, nothing will.
    pub(super) stalls_after: Duration,
}

/// A reader of one partition.
pub(super) struct KafkaReader {
    seat: Seat,
    topic: String,
    next: NextOffset,
    how: How,
    /// The end of the log as the last end-of-partition event said it.
    end: Option<NextOffset>,
    /// What was taken from the queue and did not fit into the last batch.
    left: VecDeque<OwnedMessage>,
    /// An error that came behind messages of the last batch.
    pending: Option<(rd_kafka_resp_err_t, String)>,
    /// When the partition was last known to be there.
    heard: Instant,
    /// Since when the log is known to hold what does not come.
    lacks_since: Option<Instant>,
    /// A question to the broker. A fetch that is given up does not end it: the next one waits for its answer.
    asked: Option<Asked>,
}

impl KafkaReader {
    pub(super) fn new(seat: Seat, topic: &str, from: NextOffset, how: How) -> Self {
        Self {
            seat,
            topic: topic.to_owned(),
            next: from,
            how,
            end: None,
            left: VecDeque::new(),
            pending: None,
            heard: Instant::now(),
            lacks_since: None,
            asked: None,
        }
    }

    fn number(&self) -> u32 {
        u32::try_from(self.seat.partition()).unwrap_or(0)
    }

    fn batch(&self, messages: Vec<OwnedMessage>, end: NextOffset) -> MessageBatch {
        let (low, high) = self.seat.watermarks();
        // For a reader of committed data the end is the last stable offset: only an end event tells it.
        let high = match self.end {
            Some(told) if told == end => Some(told),
            _ if self.how.read_committed => high,
            told => high.max(told),
        };
        MessageBatch {
            range: OffsetRange::try_new(self.next, end.max(self.next)).expect("ordered above"),
            messages: Box::new(KafkaMessages::new(messages, self.seat.shared().clone())),
            high_watermark: high.map(|high| high.max(end)),
            low_watermark: low,
        }
    }

    /// Messages and events that are there, as one batch; `None` where nothing is.
    async fn take(&mut self, limit: FetchLimit) -> Result<Option<MessageBatch>, StreamError> {
        if self.pending.is_some() {
            return Err(self.pending_error().await);
        }
        if self.left.is_empty() {
            self.seat.drain(limit.max_messages, &mut self.left);
        }
        if self.left.is_empty() {
            return Ok(None);
        }
        self.heard = Instant::now();
        self.lacks_since = None;
        let mut messages = Vec::with_capacity(self.left.len().min(limit.max_messages));
        let (mut end, mut bytes) = (self.next, 0);
        let number = |offset: i64| u64::try_from(offset).ok().map(NextOffset::new);
        let mut reached_end = false;
        while let Some(message) = self.left.pop_front() {
            match message.code() {
                rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {
                    bytes += message.payload().map_or(0, <[u8]>::len);
                    let full = messages.len() >= limit.max_messages || bytes > limit.max_bytes;
                    if full && !messages.is_empty() {
                        self.left.push_front(message);
                        break;
                    }
                    let Some(offset) = number(message.offset()) else { continue };
                    end = end.max(offset.after());
                    messages.push(message);
                }
                rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => {
                    let at = number(message.offset()).unwrap_or(end);
                    self.end = Some(at);
                    reached_end = true;
                    end = end.max(at);
                }
                code => {
                    let text = message.payload().map(|text| String::from_utf8_lossy(text).into_owned());
                    self.pending = Some((code, text.unwrap_or_default()));
                    break;
                }
            }
        }
        if messages.is_empty() && !reached_end && self.pending.is_some() {
            return Err(self.pending_error().await);
        }
        let batch = self.batch(messages, end);
        self.next = batch.range.end();
        Ok(Some(batch))
    }

    async fn wait_for_batch(&mut self, limit: FetchLimit) -> Result<MessageBatch, StreamError> {
        let deadline = Instant::now() + self.how.fetch_timeout;
        loop {
            if let Some(batch) = self.take(limit).await? {
                return Ok(batch);
            }
            if let Some(trouble) = client::trouble(self.seat.shared().client(), &self.topic) {
                return Err(trouble);
            }
            let now = Instant::now();
            if now >= deadline {
                return Ok(self.batch(vec![], self.next));
            }
            let wait = (deadline - now).min(LOOK_EVERY);
            let notify = self.seat.notify().clone();
            let silent = self.asked.is_some() || self.heard.elapsed() >= SILENCE;
            // Whichever it was, the queue is looked at again.
            tokio::select! {
                () = notify.notified() => {}
                () = tokio::time::sleep(wait) => {}
                answer = async { (&mut self.asking().answer).await }, if silent => self.after_silence(answer)?,
            }
        }
    }

    /// The question to the broker what it holds of the partition, which must be among the topic's; asked now where it is
    /// not under way.
    fn asking(&mut self) -> &mut Asked {
        let at = self.next;
        self.asked.get_or_insert_with(|| {
            let (shared, topic) = (self.seat.shared().clone(), self.topic.clone());
            let (partition, number) = (self.seat.partition(), u32::try_from(self.seat.partition()).unwrap_or(0));
            let answer = tokio::spawn(async move {
                if !shared.partitions(&topic, ASK).await?.contains(&number) {
                    return Err(StreamError::PartitionMissing { topic, partition: number });
                }
                let _turn = shared.turn().await;
                let (asked, name) = (shared.clone(), topic.clone());
                let held = blocking(move || watermarks(asked.client(), &name, partition, ASK)).await?;
                let made_anew = held.high > at && shared.is_made_anew(&topic, ASK).await?;
                Ok(Found { held, made_anew })
            });
            Asked { at, answer }
        })
    }

    /// The client may stay silent about a log that ends before the offset it is to read, as that of a topic which was made
    /// anew while the broker was coming back; and about one that goes on behind it, where the leaders of that topic are older
    /// than those it knew. In the second case the next client gets what this one does not.
    fn after_silence(&mut self, answer: Result<Result<Found, StreamError>, JoinError>) -> Result<(), StreamError> {
        let at = self.asked.as_ref().map(|asked| asked.at);
        let found = self.answered(answer)?;
        // What was read since then may be newer than the answer.
        if at != Some(self.next) {
            return Ok(());
        }
        let (topic, partition) = (self.topic.clone(), self.number());
        let next = self.next;
        match Silence::of(next, &found, self.lacks_since.map(|since| since.elapsed()), self.how.stalls_after) {
            Silence::AtTheEnd => self.lacks_since = None,
            Silence::Lacks => {
                self.lacks_since.get_or_insert_with(Instant::now);
            }
            Silence::Beyond => return Err(StreamError::OutOfRange { topic, partition, asked: next, held: found.held }),
            Silence::Stalled => {
                let (high, made_anew) = (found.held.high, found.made_anew);
                tracing::warn!(topic, partition, %next, %high, made_anew, "a kafka client fetches nothing of what is there");
                let why = if made_anew { ", for the topic was made anew" } else { "" };
                let reason = format!(
                    "partition {partition} holds offsets before {high}, and the client fetches nothing from {next} on{why}: \
                     another client is made"
                );
                return Err(StreamError::Unreachable { topic, reason });
            }
        }
        Ok(())
    }

    fn answered(&mut self, answer: Result<Result<Found, StreamError>, JoinError>) -> Result<Found, StreamError> {
        self.asked = None;
        self.heard = Instant::now();
        answer.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))
    }

    /// The error that is pending. It stays pending until it was told: the fetch that asks the broker what it holds may
    /// be given up, and the client says each error once.
    async fn pending_error(&mut self) -> StreamError {
        let number = self.number();
        let (code, text) = self.pending.clone().expect("asked for only where there is one");
        let out_of_range = code == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET
            || code == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE;
        let error = if out_of_range {
            let answer = (&mut self.asking().answer).await;
            match self.answered(answer) {
                Ok(Found { held, .. }) => {
                    StreamError::OutOfRange { topic: self.topic.clone(), partition: number, asked: self.next, held }
                }
                Err(error) => error,
            }
        } else {
            tracing::debug!(?code, text, "kafka partition error");
            client::of_code(&self.topic, number, RDKafkaErrorCode::from(code))
        };
        self.pending = None;
        error
    }
}

/// First and next offset, asked of the broker; waits for the answer.
pub(super) fn watermarks(
    client: &Client,
    topic: &str,
    partition: i32,
    timeout: Duration,
) -> Result<Watermarks, StreamError> {
    let (low, high) =
        client.fetch_watermarks(topic, partition, timeout).map_err(|error| match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownPartition) => StreamError::PartitionMissing {
                topic: topic.to_owned(),
                partition: u32::try_from(partition).unwrap_or(0),
            },
            _ => client::failed(client, topic, &error),
        })?;
    let offset = |number: i64| NextOffset::new(u64::try_from(number).unwrap_or(0));
    Ok(Watermarks { low: offset(low), high: offset(high) })
}

#[async_trait]
impl PartitionReader for KafkaReader {
    async fn next_batch(&mut self, limit: FetchLimit) -> Result<MessageBatch, StreamError> {
        let batch = self.wait_for_batch(limit).await;
        match &batch {
            // The partition's own affair.
            Ok(_) | Err(StreamError::OutOfRange { .. }) => {}
            Err(_) => self.seat.shared().spend(),
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Of a log that holds `[2, high)`, where offset 7 is next.
    fn silence(high: u64, made_anew: bool, lacks: Option<Duration>) -> Silence {
        let held = Watermarks { low: NextOffset::new(2), high: NextOffset::new(high) };
        Silence::of(NextOffset::new(7), &Found { held, made_anew }, lacks, PATIENCE)
    }

    #[test]
    fn a_log_that_was_read_to_its_end_may_be_silent_for_ever() {
        for lacks in [None, Some(PATIENCE * 2)] {
            assert_eq!(silence(7, false, lacks), Silence::AtTheEnd);
        }
    }

    #[test]
    fn a_log_that_ends_before_what_is_next_is_out_of_range_at_once() {
        for high in [2, 6] {
            assert_eq!(silence(high, false, None), Silence::Beyond);
        }
    }

    #[test]
    fn what_the_log_holds_is_waited_for_until_nothing_can_come() {
        let short = PATIENCE.saturating_sub(Duration::from_millis(1));
        for (lacks, expected) in
            [(None, Silence::Lacks), (Some(short), Silence::Lacks), (Some(PATIENCE), Silence::Stalled)]
        {
            assert_eq!(silence(8, false, lacks), expected, "{lacks:?}");
        }
    }

    #[test]
    fn a_client_of_the_topic_before_is_not_waited_for() {
        assert_eq!(silence(8, true, None), Silence::Stalled);
    }
}
