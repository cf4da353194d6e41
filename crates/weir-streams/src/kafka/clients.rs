//! The clients that readers of a topic share: a few, each for its part of the partitions.
//!
//! A client costs some threads and megabytes, a seat next to nothing. One client fetches and unpacks on one thread for each
//! broker, so a few of them keep several cores busy.

use super::{
    settings,
    shared::{Seat, Seating, Shared},
};
use crate::{contract::StreamError, queues::Queues};
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::Instant;
use weir_types::NextOffset;

/// Clients of one topic, where each partition has one reader: more would unpack no faster on the cores that one topic gets.
const MOST: usize = 4;
/// A reader that left is gone from its client within milliseconds. After so long another client is made.
const LEAVES_WITHIN: Duration = Duration::from_secs(2);
/// While it is waited for, it is looked again this often.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A topic as the brokers described it.
#[derive(Clone)]
pub(super) struct Seen {
    /// Its partitions.
    pub(super) partitions: Arc<[u32]>,
    /// Its identity, where they tell one.
    pub(super) id: Option<Arc<str>>,
}

/// The clients of a topic.
pub(super) struct Clients {
    topic: String,
    config: ClientConfig,
    queues: Arc<Queues>,
    /// Each lives as long as somebody reads through it.
    made: Mutex<Vec<Weak<Shared>>>,
}

impl Clients {
    pub(super) fn new(topic: String, config: ClientConfig, queues: Arc<Queues>) -> Self {
        Self { topic, config, queues, made: Mutex::default() }
    }

    /// A seat for a partition of the topic as it was seen just now.
    pub(super) async fn seat(&self, partition: i32, seen: &Seen, from: NextOffset) -> Result<Seat, StreamError> {
        let until = Instant::now() + LEAVES_WITHIN;
        loop {
            let shared = self.client_of(partition, seen)?;
            match shared.ask_seat(partition) {
                Seating::Given => return self.start(shared, partition, from),
                Seating::Leaving if Instant::now() < until => shared.someone_leaves(LOOK_EVERY).await,
                // A second reader of the partition, as of one that reads a range again beside the first.
                Seating::Leaving | Seating::Taken => {
                    let shared = self.make(1, seen)?;
                    shared.ask_seat(partition);
                    return self.start(shared, partition, from);
                }
            }
        }
    }

    fn start(&self, shared: Arc<Shared>, partition: i32, from: NextOffset) -> Result<Seat, StreamError> {
        Seat::start(shared, partition, from)
            .map_err(|reason| StreamError::Unreachable { topic: self.topic.clone(), reason })
    }

    /// The client whose part the partition is of; made where there is none that serves.
    fn client_of(&self, partition: i32, seen: &Seen) -> Result<Arc<Shared>, StreamError> {
        let partitions = seen.partitions.len();
        let count = partitions.clamp(1, MOST);
        let at = usize::try_from(partition).unwrap_or(0) % count;
        let mut made = self.made.lock();
        if made.len() < count {
            made.resize(count, Weak::new());
        }
        if let Some(shared) = made[at].upgrade()
            && shared.serves(&self.topic, seen.id.as_deref())
        {
            return Ok(shared);
        }
        let shared = self.make(partitions.div_ceil(count), seen)?;
        made[at] = Arc::downgrade(&shared);
        Ok(shared)
    }

    /// A client with so many seats.
    fn make(&self, seats: usize, seen: &Seen) -> Result<Arc<Shared>, StreamError> {
        let part = self.queues.part(seats, seen.partitions.len());
        let config = settings::with_queue(&self.config, part.bytes, seats);
        Shared::open(&config, &self.topic, seen.id.clone(), part)
    }
}
