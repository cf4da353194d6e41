//! Sends events at a changing pace, some of them odd, and notes in a ledger what the broker has.

use super::ledger::Ledger;
use crate::{
    event::Event,
    odd::{Fate, Odd},
};
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use rdkafka::{
    ClientContext, Message,
    bindings::rd_kafka_brokers_add,
    config::{ClientConfig, FromClientConfigAndContext},
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer},
};
use std::{
    ffi::CString,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

type Failure = Box<dyn std::error::Error>;

/// Each kind of odd record comes once in this many events: six kinds are rejected, that is one message in a hundred.
const ODD_ONE_IN: u64 = 600;
/// Records of MiB come once in so many of their turns: they are to be there, not to fill the disk.
const LARGE_ONE_IN: u64 = 50;
/// The pace changes this often.
const PACE: Duration = Duration::from_secs(2);
/// Messages are sent in bursts of one such tick.
const TICK: Duration = Duration::from_millis(10);
/// All is acknowledged within this once the broker is there; a client that was long without one needs some seconds.
const FLUSH: Duration = Duration::from_secs(90);
/// A client without brokers is told of them this often.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// What is sent, and to where; shared with the thread that sends.
pub(super) struct Plan {
    /// The topic.
    pub(super) topic: String,
    /// Its partitions; may grow.
    pub(super) partitions: AtomicU32,
    /// Fields `extra_1` to this one are in each event.
    pub(super) extras: AtomicU32,
    /// Events per second at the usual pace.
    pub(super) per_second: u32,
    /// Whether some records are odd.
    pub(super) odd: bool,
    /// Goes into each event as `incarnation`.
    pub(super) incarnation: u32,
    /// The number of the next event.
    pub(super) next: AtomicU64,
}

/// A topic being written to. Dropping it stops.
pub(super) struct Sender {
    pub(super) plan: Arc<Plan>,
    pub(super) ledger: Arc<Ledger>,
    steady: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    failed: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<()>>,
}

/// Of a message, what its acknowledgement does not say.
struct Letter {
    number: u64,
    fate: Fate,
}

struct Acks {
    ledger: Arc<Ledger>,
    /// No broker was to be had, and nothing was acknowledged since.
    deserted: Arc<AtomicBool>,
}

impl ClientContext for Acks {
    // The broker goes away and comes back all the time: worth a line only where it does not end.
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.deserted.store(true, Ordering::SeqCst);
        }
        self.ledger.complains(format!("{error}: {reason}"));
    }
}

impl ProducerContext for Acks {
    type DeliveryOpaque = Box<Letter>;

    fn delivery(&self, result: &DeliveryResult<'_>, letter: Box<Letter>) {
        match result {
            // The offset is not always told: what was sent twice and is there once is acknowledged without.
            Ok(message) => {
                self.deserted.store(false, Ordering::SeqCst);
                self.ledger.acknowledged(message.partition() as usize, letter.number, letter.fate);
            }
            Err((error, _)) => self.ledger.fail(format!("event {} was not delivered: {error}", letter.number)),
        }
    }
}

impl Sender {
    /// Begins to send.
    pub(super) fn start(broker: &str, plan: Plan, seed: u64) -> Result<Self, Failure> {
        let (plan, ledger) = (Arc::new(plan), Arc::new(Ledger::default()));
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", broker)
            // Each message is there once and in order, however often the broker goes away.
            .set("enable.idempotence", "true")
            // A broker that was started again knows of each sender what came last: no more may be on the way.
            .set("max.in.flight", "1")
            .set("message.timeout.ms", "0")
            .set("linger.ms", "5")
            .set("compression.type", "lz4")
            .set("message.max.bytes", "16777216")
            .set("queue.buffering.max.messages", "500000")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "1000");
        let deserted = Arc::new(AtomicBool::new(false));
        let acks = Acks { ledger: ledger.clone(), deserted: deserted.clone() };
        let producer = ThreadedProducer::from_config_and_context(&config, acks)?;
        let brokers = Brokers { list: CString::new(broker)?, deserted, told: Instant::now() };
        let (steady, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let failed = Arc::new(Mutex::new(None));
        let thread = {
            let (plan, ledger, steady) = (plan.clone(), ledger.clone(), steady.clone());
            let (stop, failed) = (stop.clone(), failed.clone());
            std::thread::spawn(move || {
                let mut sending = Sending { producer, brokers, plan, ledger, stop, value: vec![] };
                let sent = sending.run(&steady, SmallRng::seed_from_u64(seed)).and_then(|()| sending.flush());
                *failed.lock() = sent.err().map(|error| error.to_string());
            })
        };
        Ok(Self { plan, ledger, steady, stop, failed, thread: Some(thread) })
    }

    /// The usual pace from here on, without rests and bursts.
    pub(super) fn steady(&self) {
        self.steady.store(true, Ordering::SeqCst);
    }

    /// Stops and waits until all that was sent is acknowledged.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| "the sending thread panicked")?;
        }
        match self.failed.lock().take().or_else(|| self.ledger.broken()) {
            Some(why) => Err(format!("{}: {why}", self.plan.topic).into()),
            None => Ok(()),
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // Whoever wanted to know has asked before.
        drop(self.finish());
    }
}

/// A message's key, from which its event and its fate are read.
pub(super) mod label {
    use super::super::log::Logged;
    use crate::odd::Fate;

    const FATES: [(&str, Fate); 5] = [
        ("row", Fate::Row),
        ("altered", Fate::Altered),
        ("tombstone", Fate::Tombstone),
        ("decode", Fate::Rejected("DECODE")),
        ("type", Fate::Rejected("DATA_TYPE")),
    ];

    pub(in super::super) fn write(number: u64, fate: Fate) -> String {
        let word = FATES.iter().find(|(_, of)| *of == fate).map_or("", |(word, _)| word);
        format!("{number} {word}")
    }

    pub(in super::super) fn read(key: &str) -> Option<Logged> {
        let (number, word) = key.split_once(' ')?;
        let (_, fate) = FATES.iter().find(|(of, _)| *of == word)?;
        Some(Logged { number: number.parse().ok()?, fate: *fate })
    }
}

/// Where the client finds brokers when it has none left.
///
/// A broker that is going away may answer that the cluster has no brokers. The library forgets those it knew then and is to
/// begin anew with those of its settings, but calls that off where the answer is not worked through yet
/// (confluentinc/librdkafka#5301): such a client sends nothing for ever, unless it is told of brokers from outside.
struct Brokers {
    list: CString,
    deserted: Arc<AtomicBool>,
    told: Instant,
}

impl Brokers {
    fn tell(&mut self, producer: &ThreadedProducer<Acks>) {
        if !self.deserted.load(Ordering::SeqCst) || self.told.elapsed() < TELL_AGAIN {
            return;
        }
        self.told = Instant::now();
        // SAFETY: the client is alive, and the list, which ends with a zero byte, is copied.
        unsafe { rd_kafka_brokers_add(producer.client().native_ptr(), self.list.as_ptr()) };
    }
}

/// The thread's side.
struct Sending {
    producer: ThreadedProducer<Acks>,
    brokers: Brokers,
    plan: Arc<Plan>,
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
    value: Vec<u8>,
}

impl Sending {
    fn run(&mut self, steady: &AtomicBool, mut chance: SmallRng) -> Result<(), Failure> {
        let usual = f64::from(self.plan.per_second);
        let (mut pace, mut since, mut due) = (usual, Instant::now(), 0.0);
        while !self.stop.load(Ordering::SeqCst) {
            if since.elapsed() >= PACE {
                since = Instant::now();
                pace = match chance.random_range(0..10) {
                    _ if steady.load(Ordering::SeqCst) => usual,
                    0 => 0.0,
                    1 => usual / 10.0,
                    2 => usual * 4.0,
                    _ => usual,
                };
            }
            due += pace * TICK.as_secs_f64();
            while due >= 1.0 {
                due -= 1.0;
                self.send_next()?;
            }
            self.brokers.tell(&self.producer);
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    /// Waits until all is acknowledged.
    fn flush(&mut self) -> Result<(), Failure> {
        let until = Instant::now() + FLUSH;
        loop {
            match self.producer.flush(TELL_AGAIN) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)) if Instant::now() < until => {
                    self.brokers.tell(&self.producer);
                }
                Err(error) => return Err(format!("{error}: {}", self.ledger.open_letters()).into()),
            }
        }
    }

    fn send_next(&mut self) -> Result<(), Failure> {
        let number = self.plan.next.fetch_add(1, Ordering::SeqCst);
        let partition = (number % u64::from(self.plan.partitions.load(Ordering::SeqCst))) as i32;
        let event = Event::new(number);
        let odd = Odd::at(number, if self.plan.odd { ODD_ONE_IN } else { 0 });
        let odd = odd.filter(|odd| *odd != Odd::Large || (number / ODD_ONE_IN).is_multiple_of(LARGE_ONE_IN));
        let mut value = std::mem::take(&mut self.value);
        if odd.is_none_or(Odd::beside) {
            value.clear();
            event.write(event.ts, &mut value);
            self.add_fields(number, &mut value);
            self.give(partition, number, Fate::Row, Some(&value))?;
        }
        if let Some(odd) = odd {
            let there = odd.write(&event, &mut value).is_some();
            if !odd.beside() {
                self.add_fields(number, &mut value);
            }
            self.give(partition, number, odd.fate(), there.then_some(&value))?;
        }
        self.value = value;
        Ok(())
    }

    /// Adds the fields that events of the other measurements do not have.
    fn add_fields(&self, number: u64, value: &mut Vec<u8>) {
        let end = value.iter().rposition(|byte| *byte == b'}').expect("an object has an end");
        let behind = value.split_off(end);
        let incarnation = self.plan.incarnation;
        value.extend_from_slice(format!(r#","number":{number},"incarnation":{incarnation}"#).as_bytes());
        for extra in 1..=self.plan.extras.load(Ordering::SeqCst) {
            let field = match super::tables::Extra::of(extra) {
                super::tables::Extra::Several => format!(r#","extra_{extra}":[{number},{number}]"#),
                _ => format!(r#","extra_{extra}":{number}"#),
            };
            value.extend_from_slice(field.as_bytes());
        }
        value.extend_from_slice(&behind);
    }

    /// Gives a message to the client, waiting while its queue is full or a new partition is not known to it yet.
    fn give(&mut self, partition: i32, number: u64, fate: Fate, value: Option<&Vec<u8>>) -> Result<(), Failure> {
        self.ledger.sends(partition as usize, fate);
        let key = label::write(number, fate);
        let mut record: BaseRecord<'_, [u8], [u8], Box<Letter>> =
            BaseRecord::with_opaque_to(&self.plan.topic, Box::new(Letter { number, fate })).partition(partition);
        record.key = Some(key.as_bytes());
        record.payload = value.map(Vec::as_slice);
        let deadline = Instant::now() + FLUSH;
        loop {
            use RDKafkaErrorCode::{QueueFull, UnknownPartition};
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(QueueFull | UnknownPartition), back))
                    if Instant::now() < deadline =>
                {
                    record = back;
                    self.brokers.tell(&self.producer);
                    std::thread::sleep(TICK);
                }
                Err((error, _)) => return Err(format!("event {number} cannot be sent: {error}").into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::log::Logged, *};
    use crate::odd::ALL;

    #[test]
    fn keys_tell_what_has_to_become_of_a_message() {
        for fate in ALL.into_iter().map(Odd::fate) {
            assert_eq!(label::read(&label::write(7, fate)), Some(Logged { number: 7, fate }));
        }
        assert_eq!(label::read("7"), None);
    }
}
