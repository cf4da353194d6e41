//! Topics of the measured broker: made, filled, deleted.

use crate::event::Event;
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    config::ClientConfig,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use std::{ops::Range, time::Duration};

type Failure = Box<dyn std::error::Error>;

/// Largest message of the measurements, in bytes: odd records have some MiB.
const LARGEST: u32 = 16 << 20;

/// A producer for `broker`; `linger_ms` batches.
pub(crate) fn producer(broker: &str, linger_ms: u32) -> Result<ThreadedProducer<DefaultProducerContext>, KafkaError> {
    ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("linger.ms", linger_ms.to_string())
        .set("compression.type", "lz4")
        .set("batch.num.messages", "10000")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "500000")
        .set("queue.buffering.max.kbytes", "262144")
        .set("message.max.bytes", LARGEST.to_string())
        .create()
}

/// Makes a topic, deleting one of that name before.
pub(crate) fn fresh_topic(broker: &str, topic: &str, partitions: i32) -> Result<(), Failure> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", broker).create()?;
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    let runtime = block_on();
    drop(runtime(Box::pin(async { admin.delete_topics(&[topic], &options).await.map(drop) })));
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1)).set("retention.ms", "-1");
        let largest = LARGEST.to_string();
        let new = new.set("max.message.bytes", &largest);
        let made = std::cell::RefCell::new(None);
        runtime(Box::pin(async {
            let results = admin.create_topics([&new], &options).await?;
            *made.borrow_mut() = results.into_iter().next();
            Ok(())
        }))?;
        match made.into_inner() {
            Some(Ok(_)) => return Ok(()),
            // A topic that is being deleted is there until it is gone.
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) if std::time::Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(200));
            }
            other => return Err(format!("topic {topic} could not be made: {other:?}").into()),
        }
    }
}

/// Gives a topic more partitions.
pub(crate) fn grow(broker: &str, topic: &str, partitions: u32) -> Result<(), Failure> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", broker).create()?;
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    let more = NewPartitions::new(topic, partitions as usize);
    let grown = std::cell::RefCell::new(None);
    block_on()(Box::pin(async {
        let results = admin.create_partitions([&more], &options).await?;
        *grown.borrow_mut() = results.into_iter().next();
        Ok(())
    }))?;
    match grown.into_inner() {
        Some(Ok(_)) => Ok(()),
        other => Err(format!("topic {topic} could not be given {partitions} partitions: {other:?}").into()),
    }
}

/// The end of a partition's log: its next offset.
pub(crate) fn end(broker: &str, topic: &str, partition: i32) -> Result<i64, Failure> {
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", broker).create()?;
    Ok(consumer.fetch_watermarks(topic, partition, Duration::from_secs(30))?.1)
}

type Job<'a> = std::pin::Pin<Box<dyn Future<Output = Result<(), KafkaError>> + 'a>>;

/// Runs a future of the admin client: it is completed by the client's own threads, so parking is all that is needed.
fn block_on() -> impl Fn(Job<'_>) -> Result<(), KafkaError> {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    |mut job| {
        let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
        let mut context = std::task::Context::from_waker(&waker);
        loop {
            if let std::task::Poll::Ready(result) = job.as_mut().poll(&mut context) {
                return result;
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}

/// Appends events `from..to` to a topic, event `n` to partition `n % partitions`, and waits until all are there.
pub(crate) fn fill(broker: &str, topic: &str, partitions: i32, from: u64, to: u64) -> Result<(), Failure> {
    fill_with(broker, topic, partitions, from..to, |event, out| event.write(event.ts, out))
}

/// The same with messages as `write` makes them.
pub(crate) fn fill_with(
    broker: &str,
    topic: &str,
    partitions: i32,
    events: Range<u64>,
    write: impl Fn(&Event, &mut Vec<u8>),
) -> Result<(), Failure> {
    let producer = producer(broker, 20)?;
    let mut value = Vec::with_capacity(400);
    for number in events {
        value.clear();
        write(&Event::new(number), &mut value);
        let partition = (number % partitions as u64) as i32;
        send(&producer, topic, partition, None, Some(&value))?;
    }
    producer.flush(Duration::from_secs(120))?;
    Ok(())
}

/// Sends one message, waiting while the client's queue is full.
pub(crate) fn send(
    producer: &ThreadedProducer<DefaultProducerContext>,
    topic: &str,
    partition: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Result<(), Failure> {
    let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition);
    (record.key, record.payload) = (key, value);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}
