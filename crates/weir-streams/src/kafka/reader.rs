//! One partition, read from its own queue of the client, in batches.
//!
//! The queue wakes us when it has something; draining it never waits. Where the stream stands is taken from what the
//! client says: the offset after the last message, or that of an end-of-partition event, which lies behind control and
//! aborted records.

use super::{
    client::{self, Client},
    messages::{KafkaMessages, OwnedMessage},
};
use crate::{
    contract::{FetchLimit, MessageBatch, PartitionReader, StreamError, Watermarks},
    queues::QueuePart,
};
use async_trait::async_trait;
use rdkafka::{
    Offset, TopicPartitionList,
    bindings::{
        rd_kafka_consume_batch_queue, rd_kafka_get_watermark_offsets, rd_kafka_queue_cb_event_enable,
        rd_kafka_queue_destroy, rd_kafka_queue_forward, rd_kafka_queue_get_partition, rd_kafka_queue_t,
        rd_kafka_resp_err_t, rd_kafka_t,
    },
    consumer::Consumer,
    error::RDKafkaErrorCode,
};
use std::{
    collections::VecDeque,
    ffi::{CString, c_void},
    ptr::{self, NonNull},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::Notify,
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

extern "C" fn wake(_: *mut rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is the `Notify` that `Queue` keeps alive until the callback is switched off.
    unsafe { &*opaque.cast::<Notify>() }.notify_one();
}

/// A partition's queue, cut off from the client's main queue.
struct Queue {
    queue: NonNull<rd_kafka_queue_t>,
    notify: Arc<Notify>,
    /// The queue belongs to this client, which must outlive it.
    client: Arc<Client>,
}

// SAFETY: librdkafka's queues may be used from any thread, and this one is used by one reader at a time.
unsafe impl Send for Queue {}

impl Queue {
    fn new(client: Arc<Client>, topic: &CString, partition: i32) -> Option<Self> {
        let notify = Arc::new(Notify::new());
        // SAFETY: the client is alive and `topic` ends with a zero byte.
        let queue = unsafe { rd_kafka_queue_get_partition(client.client().native_ptr(), topic.as_ptr(), partition) };
        let queue = NonNull::new(queue)?;
        // SAFETY: the queue is alive; the notify is kept by `Self` until the callback is switched off in `drop`.
        unsafe {
            rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(wake), Arc::as_ptr(&notify).cast_mut().cast());
        }
        Some(Self { queue, notify, client })
    }

    /// Up to `most` messages that are there, without waiting.
    fn drain(&self, most: usize) -> Vec<OwnedMessage> {
        let mut slots = vec![ptr::null_mut(); most];
        // SAFETY: the queue is alive and `slots` has room for `most` pointers.
        let count = unsafe { rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, slots.as_mut_ptr(), slots.len()) };
        slots.truncate(usize::try_from(count).unwrap_or(0));
        // SAFETY: each of the first `count` slots is a message that is ours to destroy.
        slots.into_iter().filter_map(|message| unsafe { OwnedMessage::new(message) }).collect()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the queue is alive; the callback is switched off before the notify it uses is dropped.
        unsafe {
            rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// A reader of one partition.
pub(super) struct KafkaReader {
    queue: Queue,
    topic: String,
    c_topic: CString,
    partition: i32,
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
    asked: Option<JoinHandle<Result<Watermarks, StreamError>>>,
    /// Its part of what clients may queue.
    _part: QueuePart,
}

impl KafkaReader {
    pub(super) fn open(
        client: Client,
        topic: &str,
        partition: i32,
        from: NextOffset,
        fetch_timeout: Duration,
        read_committed: bool,
        part: QueuePart,
    ) -> Result<Self, StreamError> {
        let out = |reason: String| StreamError::Unreachable { topic: topic.to_owned(), reason };
        let client = Arc::new(client);
        let c_topic = CString::new(topic).map_err(|error| out(error.to_string()))?;
        // The queue is cut off before anything is fetched, so that nothing goes to the main queue.
        let queue = Queue::new(client.clone(), &c_topic, partition);
        let queue = queue.ok_or_else(|| out("the client gives no queue for the partition".into()))?;
        let mut list = TopicPartitionList::new();
        let at = i64::try_from(from.number()).map_err(|error| out(error.to_string()))?;
        let added = list.add_partition_offset(topic, partition, Offset::Offset(at));
        added.and_then(|()| client.assign(&list)).map_err(|error| out(error.to_string()))?;
        Ok(Self {
            queue,
            topic: topic.to_owned(),
            c_topic,
            partition,
            next: from,
            fetch_timeout,
            read_committed,
            end: None,
            left: VecDeque::new(),
            pending: None,
            heard: Instant::now(),
            asked: None,
            _part: part,
        })
    }

    fn cached_watermarks(&self) -> (Option<NextOffset>, Option<NextOffset>) {
        let (mut low, mut high) = (-1_i64, -1_i64);
        // SAFETY: the client is alive, the topic ends with a zero byte, both numbers are written to.
        let code = unsafe {
            rd_kafka_get_watermark_offsets(
                self.queue.client.client().native_ptr(),
                self.c_topic.as_ptr(),
                self.partition,
                &raw mut low,
                &raw mut high,
            )
        };
        if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return (None, None);
        }
        let offset = |number: i64| u64::try_from(number).ok().map(NextOffset::new);
        (offset(low), offset(high))
    }

    fn batch(&self, messages: Vec<OwnedMessage>, end: NextOffset) -> MessageBatch {
        let (low, high) = self.cached_watermarks();
        // For a reader of committed data the end is the last stable offset: only an end event tells it.
        let high = match self.end {
            Some(told) if told == end => Some(told),
            _ if self.read_committed => high,
            told => high.max(told),
        };
        MessageBatch {
            range: OffsetRange::try_new(self.next, end.max(self.next)).expect("ordered above"),
            messages: Box::new(KafkaMessages::new(messages, self.queue.client.clone())),
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
            self.left.extend(self.queue.drain(limit.max_messages));
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

    /// The question to the broker what it holds of the partition, which must be among the topic's; asked now where it is
    /// not under way.
    fn asking(&mut self) -> &mut JoinHandle<Result<Watermarks, StreamError>> {
        self.asked.get_or_insert_with(|| {
            let (client, topic, partition) = (self.queue.client.clone(), self.topic.clone(), self.partition);
            tokio::task::spawn_blocking(move || {
                let number = u32::try_from(partition).unwrap_or(0);
                if !client::partitions(&client, &topic, ASK)?.contains(&number) {
                    return Err(StreamError::PartitionMissing { topic, partition: number });
                }
                watermarks(&client, &topic, partition, ASK)
            })
        })
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
        let number = u32::try_from(self.partition).unwrap_or(0);
        let (code, text) = self.pending.clone().expect("asked for only where there is one");
        let out_of_range = code == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET
            || code == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE;
        let error = if out_of_range {
            let answer = self.asking().await;
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

/// Runs a call that waits for the broker on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, StreamError> + Send + 'static,
) -> Result<T, StreamError> {
    match tokio::task::spawn_blocking(call).await {
        Ok(result) => result,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

#[async_trait]
impl PartitionReader for KafkaReader {
    async fn next_batch(&mut self, limit: FetchLimit) -> Result<MessageBatch, StreamError> {
        let deadline = Instant::now() + self.fetch_timeout;
        loop {
            if let Some(batch) = self.take(limit).await? {
                return Ok(batch);
            }
            if let Some(trouble) = client::trouble(&self.queue.client, &self.topic) {
                return Err(trouble);
            }
            let now = Instant::now();
            if now >= deadline {
                return Ok(self.batch(vec![], self.next));
            }
            let wait = (deadline - now).min(LOOK_EVERY);
            let notify = self.queue.notify.clone();
            let silent = self.asked.is_some() || self.heard.elapsed() >= SILENCE;
            // Whichever it was, the queue is looked at again.
            tokio::select! {
                () = notify.notified() => {}
                () = tokio::time::sleep(wait) => {}
                answer = async { self.asking().await }, if silent => drop(self.answered(answer)?),
            }
        }
    }
}
