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
use std::{collections::VecDeque, time::Duration};
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
    answer: JoinHandle<Result<Watermarks, StreamError>>,
}

/// A reader of one partition.
pub(super) struct KafkaReader {
    seat: Seat,
    topic: String,
    next: NextOffset,
    fetch_timeout: Duration,
    read_committed: bool,
    /// The end of the log as the last end-of-partition event said it.
    end: Option<NextOffset>,
    /// What was taken from the queue and did not fit into the last batch.
    left: VecDeque<OwnedMessage>,
    /// An error that came behind messages of the last batch.
    pending: Option<(rd_kafka_resp_err_t, String)>,
    /// When the partition was last known to be there.
    heard: Instant,
    /// A question to the broker. A fetch that is given up does not end it: the next one waits for its answer.
    asked: Option<Asked>,
}

impl KafkaReader {
    pub(super) fn new(
        seat: Seat,
        topic: &str,
        from: NextOffset,
        fetch_timeout: Duration,
        read_committed: bool,
    ) -> Self {
        Self {
            seat,
            topic: topic.to_owned(),
            next: from,
            fetch_timeout,
            read_committed,
            end: None,
            left: VecDeque::new(),
            pending: None,
            heard: Instant::now(),
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
            _ if self.read_committed => high,
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
            self.left.extend(self.seat.drain(limit.max_messages));
        }
        if self.left.is_empty() {
            return Ok(None);
        }
        self.heard = Instant::now();
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
        let deadline = Instant::now() + self.fetch_timeout;
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
                blocking(move || watermarks(shared.client(), &topic, partition, ASK)).await
            });
            Asked { at, answer }
        })
    }

    /// The client may stay silent about a log that ends before the offset it is to read, as that of a topic which was made
    /// anew while the broker was coming back.
    fn after_silence(&mut self, answer: Result<Result<Watermarks, StreamError>, JoinError>) -> Result<(), StreamError> {
        let at = self.asked.as_ref().map(|asked| asked.at);
        let held = self.answered(answer)?;
        // What was read since then may be newer than the answer.
        if at == Some(self.next) && held.high < self.next {
            let (topic, partition) = (self.topic.clone(), self.number());
            return Err(StreamError::OutOfRange { topic, partition, asked: self.next, held });
        }
        Ok(())
    }

    fn answered(
        &mut self,
        answer: Result<Result<Watermarks, StreamError>, JoinError>,
    ) -> Result<Watermarks, StreamError> {
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
                Ok(held) => {
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
