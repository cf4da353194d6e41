//! One client that several readers share: each has a seat, which is one partition with a queue of its own.
//!
//! Partitions are started and stopped one by one, so nobody notices when a neighbour comes, goes or begins elsewhere. The
//! client fetches for a seat only while its queue is below the bound, so a reader that is slow holds up nobody. A seat's
//! queue is made for it and ends with it, and the library drops what was fetched before a stop: a message of one seat
//! never comes to the next one of the same partition.

use super::{
    client::{self, Client},
    identity,
    messages::OwnedMessage,
};
use crate::{contract::StreamError, queues::QueuePart};
use parking_lot::Mutex;
use rdkafka::{
    ClientConfig,
    bindings::{
        rd_kafka_consume_batch_queue, rd_kafka_consume_start_queue, rd_kafka_consume_stop,
        rd_kafka_get_watermark_offsets, rd_kafka_last_error, rd_kafka_message_t, rd_kafka_queue_cb_event_enable,
        rd_kafka_queue_destroy, rd_kafka_queue_new, rd_kafka_queue_t, rd_kafka_resp_err_t, rd_kafka_t,
        rd_kafka_topic_destroy, rd_kafka_topic_new, rd_kafka_topic_t,
    },
    consumer::Consumer,
    error::RDKafkaErrorCode,
};
use std::{
    collections::{HashMap, VecDeque},
    ffi::{CString, c_void},
    ptr::{self, NonNull},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use weir_types::NextOffset;

/// An answer of the broker serves all who ask within this: many readers fall silent at once.
const ANSWER_SERVES: Duration = Duration::from_secs(1);
/// How many questions about single partitions are asked at once: each holds a thread while it waits.
const QUESTIONS: usize = 4;

extern "C" fn wake(_: *mut rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is the `Notify` that `Queue` keeps alive until the callback is switched off.
    unsafe { &*opaque.cast::<Notify>() }.notify_one();
}

/// What a seat's messages and events come through.
struct Queue {
    queue: NonNull<rd_kafka_queue_t>,
    notify: Arc<Notify>,
}

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for Queue {}
// SAFETY: as above; they have locks of their own.
unsafe impl Sync for Queue {}

impl Queue {
    fn new(client: &Client) -> Option<Self> {
        let notify = Arc::new(Notify::new());
        // SAFETY: the client is alive.
        let queue = NonNull::new(unsafe { rd_kafka_queue_new(client.client().native_ptr()) })?;
        // SAFETY: the queue is alive; the notify is kept by `Self` until the callback is switched off in `drop`.
        unsafe {
            rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(wake), Arc::as_ptr(&notify).cast_mut().cast());
        }
        Some(Self { queue, notify })
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

/// The library's handle of a topic.
struct Topic(NonNull<rd_kafka_topic_t>);

// SAFETY: the handle may be used from any thread.
unsafe impl Send for Topic {}
// SAFETY: as above.
unsafe impl Sync for Topic {}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: it is ours, and given back once.
        unsafe { rd_kafka_topic_destroy(self.0.as_ptr()) }
    }
}

/// Whether a partition's seat is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seating {
    /// It is now the asker's.
    Given,
    /// A reader has it.
    Taken,
    /// A reader left, and the client is about to stop fetching for it.
    Leaving,
}

/// What the broker said last to a question. Whoever asks within a second of an answer gets the same, so that many who ask at
/// once cost one question.
struct Answer<T>(tokio::sync::Mutex<Option<(Instant, Result<T, StreamError>)>>);

impl<T: Clone + Send + 'static> Answer<T> {
    fn none() -> Self {
        Self(tokio::sync::Mutex::new(None))
    }

    /// The answer of just now, or what the question brings, which may wait.
    async fn to(&self, question: impl FnOnce() -> Result<T, StreamError> + Send + 'static) -> Result<T, StreamError> {
        let mut known = self.0.lock().await;
        if let Some((at, answer)) = &*known
            && at.elapsed() < ANSWER_SERVES
        {
            return answer.clone();
        }
        let answer = super::blocking(question).await;
        *known = Some((Instant::now(), answer.clone()));
        answer
    }
}

/// The client and who sits there.
pub(super) struct Shared {
    // The handle goes before its client.
    topic: Topic,
    client: Client,
    name: CString,
    /// The topic's identity before the client was made, where the brokers tell one.
    id: Option<Arc<str>>,
    /// By partition; true where the reader is leaving.
    seats: Mutex<HashMap<i32, bool>>,
    left: Notify,
    /// It told an error that it may not get over: nobody sits down any more.
    spent: AtomicBool,
    partitions: Answer<Arc<[u32]>>,
    identity: Answer<Option<Arc<str>>>,
    questions: Arc<tokio::sync::Semaphore>,
    /// What its readers may queue.
    _part: QueuePart,
}

impl Shared {
    /// A client of a topic that had the identity `id` just now.
    pub(super) fn open(
        config: &ClientConfig,
        topic: &str,
        id: Option<Arc<str>>,
        part: QueuePart,
    ) -> Result<Arc<Self>, StreamError> {
        let out = |reason: String| StreamError::Unreachable { topic: topic.to_owned(), reason };
        let client = client::connect(config, topic)?;
        let name = CString::new(topic).map_err(|error| out(error.to_string()))?;
        // SAFETY: the client is alive and the name ends with a zero byte; no settings means those of the client.
        let handle = unsafe { rd_kafka_topic_new(client.client().native_ptr(), name.as_ptr(), ptr::null_mut()) };
        let handle = NonNull::new(handle).ok_or_else(|| out("the client does not take the topic".into()))?;
        Ok(Arc::new(Self {
            topic: Topic(handle),
            client,
            name,
            id,
            seats: Mutex::default(),
            left: Notify::new(),
            spent: AtomicBool::new(false),
            partitions: Answer::none(),
            identity: Answer::none(),
            questions: Arc::new(tokio::sync::Semaphore::new(QUESTIONS)),
            _part: part,
        }))
    }

    /// The client.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Nobody is to sit down any more: whoever comes gets a new client, which knows nothing of what went wrong.
    pub(super) fn spend(&self) {
        self.spent.store(true, Ordering::Relaxed);
    }

    /// Whether a reader of the topic that has that identity may sit down. The library takes the leader of a topic that was
    /// made anew for an old one of the topic before, and then fetches nothing (confluentinc/librdkafka#4898).
    pub(super) fn serves(&self, topic: &str, id: Option<&str>) -> bool {
        let is_same = self.id.as_deref() == id;
        is_same && !self.spent.load(Ordering::Relaxed) && client::trouble(&self.client, topic).is_none()
    }

    /// Whether the topic is another one than the client knows.
    pub(super) async fn is_made_anew(self: &Arc<Self>, topic: &str, ask: Duration) -> Result<bool, StreamError> {
        let Some(known) = &self.id else { return Ok(false) };
        let (shared, topic) = (self.clone(), topic.to_owned());
        let now = self.identity.to(move || identity::topic_id(&shared.client, &topic, ask)).await?;
        Ok(now.is_some_and(|now| now != *known))
    }

    /// Asks for a partition's seat.
    pub(super) fn ask_seat(&self, partition: i32) -> Seating {
        let mut seats = self.seats.lock();
        match seats.get(&partition) {
            None => {
                seats.insert(partition, false);
                Seating::Given
            }
            Some(true) => Seating::Leaving,
            Some(false) => Seating::Taken,
        }
    }

    /// Waits until some reader has left, at most `most`.
    pub(super) async fn someone_leaves(&self, most: Duration) {
        // A wake-up that came before the wait began is made up for by its end.
        drop(tokio::time::timeout(most, self.left.notified()).await);
    }

    /// The topic's partitions.
    pub(super) async fn partitions(self: &Arc<Self>, topic: &str, ask: Duration) -> Result<Arc<[u32]>, StreamError> {
        let (shared, topic) = (self.clone(), topic.to_owned());
        self.partitions.to(move || client::partitions(&shared.client, &topic, ask).map(Arc::from)).await
    }

    /// A turn to ask about one partition.
    pub(super) async fn turn(&self) -> tokio::sync::OwnedSemaphorePermit {
        self.questions.clone().acquire_owned().await.expect("it is never closed")
    }
}

/// One partition of a shared client, read by one reader. Dropping it stops the partition, and nothing else.
pub(super) struct Seat {
    sitting: Option<Sitting>,
    slots: Slots,
}

/// Where the client puts messages when the queue is drained: kept, as it is drained a thousand times a second.
struct Slots(Vec<*mut rd_kafka_message_t>);

// SAFETY: between drains it holds nothing.
unsafe impl Send for Slots {}
// SAFETY: as above.
unsafe impl Sync for Slots {}

struct Sitting {
    queue: Queue,
    partition: i32,
    shared: Arc<Shared>,
}

impl Seat {
    /// Starts to fetch for a seat that was given.
    pub(super) fn start(shared: Arc<Shared>, partition: i32, from: NextOffset) -> Result<Self, String> {
        let queue = Queue::new(&shared.client);
        let Some(queue) = queue else {
            shared.seats.lock().remove(&partition);
            return Err("the client gives no queue".into());
        };
        // From here on the seat is given back when this is dropped.
        let sitting = Sitting { queue, partition, shared };
        let at = i64::try_from(from.number()).map_err(|error| error.to_string())?;
        let (handle, queue) = (sitting.shared.topic.0.as_ptr(), sitting.queue.queue.as_ptr());
        // SAFETY: the topic's handle and the queue are alive, and outlive the fetching, which `Sitting` stops.
        let started = unsafe { rd_kafka_consume_start_queue(handle, partition, at, queue) };
        if started != 0 {
            // SAFETY: it reads the error of this thread's last call.
            let code = unsafe { rd_kafka_last_error() };
            return Err(RDKafkaErrorCode::from(code).to_string());
        }
        Ok(Self { sitting: Some(sitting), slots: Slots(vec![]) })
    }

    fn sitting(&self) -> &Sitting {
        self.sitting.as_ref().expect("it is taken only when dropped")
    }

    /// The client.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.sitting().shared
    }

    /// The partition.
    pub(super) fn partition(&self) -> i32 {
        self.sitting().partition
    }

    /// Told when something has come.
    pub(super) fn notify(&self) -> &Arc<Notify> {
        &self.sitting().queue.notify
    }

    /// Adds up to `most` messages that are there, without waiting.
    pub(super) fn drain(&mut self, most: usize, into: &mut VecDeque<OwnedMessage>) {
        let queue = self.sitting().queue.queue.as_ptr();
        let slots = &mut self.slots.0;
        slots.reserve(most);
        // SAFETY: the queue is alive and `slots`, which is empty, has room for `most` pointers.
        let count = unsafe { rd_kafka_consume_batch_queue(queue, 0, slots.as_mut_ptr(), most) };
        // SAFETY: the client wrote the first `count` of them, none where that is an error.
        unsafe { slots.set_len(usize::try_from(count).unwrap_or(0)) };
        // SAFETY: each of them is a message that is ours to destroy, and told of once: all are taken.
        into.extend(slots.drain(..).filter_map(|message| unsafe { OwnedMessage::new(message) }));
    }

    /// The log's first and next offset as the last fetch told them.
    pub(super) fn watermarks(&self) -> (Option<NextOffset>, Option<NextOffset>) {
        let (mut low, mut high) = (-1_i64, -1_i64);
        let Sitting { shared, partition, .. } = self.sitting();
        // SAFETY: the client is alive, the topic ends with a zero byte, both numbers are written to.
        let code = unsafe {
            let client = shared.client.client().native_ptr();
            rd_kafka_get_watermark_offsets(client, shared.name.as_ptr(), *partition, &raw mut low, &raw mut high)
        };
        if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return (None, None);
        }
        let offset = |number: i64| u64::try_from(number).ok().map(NextOffset::new);
        (offset(low), offset(high))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(sitting) = self.sitting.take() else { return };
        sitting.shared.seats.lock().insert(sitting.partition, true);
        // The client is waited for: aside, where a runtime is at hand.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(sitting))),
            Err(_) => drop(sitting),
        }
    }
}

impl Drop for Sitting {
    fn drop(&mut self) {
        // SAFETY: the topic's handle is alive. A partition that was not started, or is gone, is an error that changes nothing.
        unsafe { rd_kafka_consume_stop(self.shared.topic.0.as_ptr(), self.partition) };
        self.shared.seats.lock().remove(&self.partition);
        self.shared.left.notify_waiters();
    }
}
