//! From a produce's acknowledgement to the first answer that holds the event, while rows flow and segments commit; and, with
//! the same rows, to a bare consumer that keeps nothing.

use crate::{
    event::{Event, table_configs},
    kafka,
    node::{Launch, Node},
};
use rdkafka::{
    ClientConfig, ClientContext, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::DeliveryResult,
    producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer},
};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

type Failure = Box<dyn std::error::Error>;

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Freshness {
    /// Events a second.
    #[arg(long, default_value_t = 100_000)]
    rate: u64,
    /// Rows of a segment.
    #[arg(long, default_value_t = 500_000)]
    segment_rows: u64,
    /// Segments to be committed during the measurement.
    #[arg(long, default_value_t = 10)]
    commits: u64,
    /// Run one client beside it that scans the whole table without end.
    #[arg(long)]
    scanning: bool,
    /// Give up after this many seconds.
    #[arg(long, default_value_t = 600)]
    deadline_s: u64,
}

const TABLE: &str = "fresh_events";
const TOPIC: &str = "freshness";
/// Probes carry user ids from here on, beyond those of ordinary events.
const PROBE: u64 = 1_000_000_000;

/// Nothing is measured before: a broker that was just started compiles its own code beside us.
const WARM_UP: Duration = Duration::from_secs(30);

/// For how long the bare consumer is measured.
const BARE: Duration = Duration::from_secs(30);

/// When each probe was acknowledged.
#[derive(Default)]
struct Acks(Mutex<Vec<(u64, Instant)>>);

struct OnDelivery(Arc<Acks>);

impl ClientContext for OnDelivery {}

impl ProducerContext for OnDelivery {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, probe: Box<u64>) {
        if *probe > 0 && result.as_ref().is_ok_and(|message| message.payload_len() > 0) {
            let mut acks = self.0.0.lock().expect("no holder panics");
            acks.push((*probe, Instant::now()));
        }
    }
}

/// What a client saw.
#[derive(Default)]
struct Seen {
    /// From acknowledgement to answer, or to the message.
    samples: Vec<Duration>,
    /// How long each answer took.
    answers: Vec<Duration>,
    /// The longest time without a new probe in an answer.
    worst_gap: Duration,
    /// The longest time without a new acknowledgement: the producer's and the broker's share of that.
    worst_ack_gap: Duration,
    commits: u64,
}

impl Freshness {
    /// Runs it and prints the distribution.
    pub(crate) fn run(&self, broker: &str, launch: &Launch) -> Result<(), Failure> {
        kafka::fresh_topic(broker, TOPIC, 2)?;
        let node = launch.start()?;
        node.create(&table_configs(TABLE, broker, TOPIC, self.segment_rows))?;
        let acks = Arc::new(Acks::default());
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let seen = std::thread::scope(|scope| {
            let producing = scope.spawn(|| self.produce(broker, &acks, &stop, &sent).map_err(|e| e.to_string()));
            let scanning = self.scanning.then(|| scope.spawn(|| scan(&node, &stop)));
            let probed = self.probe(&node, &acks);
            stop.store(true, Ordering::Relaxed);
            producing.join().map_err(|_| "producing panicked")??;
            if let Some(scanning) = scanning {
                println!("one endless client scanned the table {} times beside it", scanning.join().unwrap_or(0));
            }
            probed
        })?;
        drop(node);
        println!(
            "freshness at {} events/s ({} sent), {} commits of {} rows: {}",
            self.rate,
            sent.load(Ordering::Relaxed),
            seen.commits,
            self.segment_rows,
            seen.distribution()
        );
        println!("each of these was seen in an answer to a query: {}", percentiles("queries", &seen.answers));
        println!("a bare consumer of the same rows, nothing beside it: {}", self.bare(broker)?.distribution());
        Ok(())
    }

    /// The same rows with a consumer in the node's place that looks at nothing but the probes: what no store can better.
    fn bare(&self, broker: &str) -> Result<Seen, Failure> {
        kafka::fresh_topic(broker, TOPIC, 2)?;
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", broker)
            .set("group.id", "bare")
            .set("enable.auto.commit", "false")
            .create()?;
        let mut from = TopicPartitionList::new();
        for partition in 0..2 {
            from.add_partition_offset(TOPIC, partition, Offset::Beginning)?;
        }
        consumer.assign(&from)?;
        let acks = Arc::new(Acks::default());
        let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let producing = scope.spawn(|| self.produce(broker, &acks, &stop, &sent).map_err(|e| e.to_string()));
            let received = receive(&consumer);
            stop.store(true, Ordering::Relaxed);
            producing.join().map_err(|_| "producing panicked")??;
            let acked = std::mem::take(&mut *acks.0.lock().expect("no holder panics"));
            Ok(Seen::of(&acked, &received?))
        })
    }

    fn produce(&self, broker: &str, acks: &Arc<Acks>, stop: &AtomicBool, sent: &AtomicU64) -> Result<(), Failure> {
        let producer: ThreadedProducer<OnDelivery> = ClientConfig::new()
            .set("bootstrap.servers", broker)
            .set("linger.ms", "1")
            .set("compression.type", "lz4")
            .set("queue.buffering.max.messages", "200000")
            .create_with_context(OnDelivery(acks.clone()))?;
        let begun = Instant::now();
        let deadline = begun + Duration::from_secs(self.deadline_s);
        let (mut number, mut probe, mut value) = (0_u64, 0_u64, Vec::with_capacity(400));
        while !stop.load(Ordering::Relaxed) && Instant::now() < deadline {
            let due = (begun.elapsed().as_secs_f64() * self.rate as f64) as u64;
            while number < due {
                value.clear();
                let event = Event::new(number);
                event.write(event.ts, &mut value);
                send(&producer, (number % 2) as i32, &value, 0)?;
                number += 1;
            }
            if begun.elapsed().as_millis() as u64 / 10 > probe {
                probe += 1;
                value.clear();
                let id = PROBE + probe;
                value.extend_from_slice(format!("{{\"ts\":1,\"user_id\":{id}}}").as_bytes());
                send(&producer, (probe % 2) as i32, &value, id)?;
            }
            sent.store(number, Ordering::Relaxed);
            std::thread::sleep(Duration::from_micros(500));
        }
        producer.flush(Duration::from_secs(30))?;
        Ok(())
    }

    /// Asks for the probes that are not seen yet, or for the last, again and again; each probe's sample is the first answer
    /// that holds it. A node that is asked at every probe only has cold caches to answer from, and what is measured then is
    /// how a query wakes it up.
    fn probe(&self, node: &Node, acks: &Acks) -> Result<Seen, Failure> {
        let deadline = Instant::now() + Duration::from_secs(self.deadline_s);
        let (mut samples, mut answers) = (vec![], vec![]);
        let mut waiting: Vec<(u64, Instant)> = vec![];
        let mut last_new = Instant::now();
        let mut worst_gap = Duration::ZERO;
        let (mut asked, mut done, mut last) = (0_u64, 0, PROBE);
        let measured_from = Instant::now() + WARM_UP;
        let (mut committed_before, mut acked) = (None, vec![]);
        while done < self.commits {
            let mut new = std::mem::take(&mut *acks.0.lock().expect("no holder panics"));
            if waiting.is_empty() && new.is_empty() {
                std::thread::sleep(Duration::from_micros(500));
                new = std::mem::take(&mut *acks.0.lock().expect("no holder panics"));
            }
            acked.extend(new.iter().map(|(_, at)| *at).filter(|at| *at > measured_from));
            waiting.append(&mut new);
            let (low, high) = (waiting.iter().map(|w| w.0).min(), waiting.iter().map(|w| w.0).max());
            let (low, high) = (low.unwrap_or(last), high.unwrap_or(last));
            last = high;
            let sql = format!("SELECT user_id FROM {TABLE} WHERE user_id BETWEEN {low} AND {high} LIMIT 10000");
            let asked_at = Instant::now();
            let answer = node.query(&sql)?;
            let now = Instant::now();
            if now > measured_from {
                answers.push(now - asked_at);
            }
            let seen: HashSet<u64> = answer.rows.iter().filter_map(|row| row.first()?.as_u64()).collect();
            let before = waiting.len();
            waiting.retain(|(id, acked)| {
                let visible = seen.contains(id);
                if visible && *acked > measured_from {
                    samples.push(now - *acked);
                }
                !visible
            });
            if waiting.len() < before {
                if last_new > measured_from {
                    worst_gap = worst_gap.max(now - last_new);
                }
                last_new = now;
            }
            asked += 1;
            if asked % 1000 == 0 {
                let all = committed(node)?;
                if now > measured_from {
                    done = all - *committed_before.get_or_insert(all);
                }
            }
            if now > deadline {
                return Err(format!("only {done} segments were committed in {} s", self.deadline_s).into());
            }
        }
        Ok(Seen { samples, answers, worst_gap, worst_ack_gap: longest_pause(acked.into_iter()), commits: done })
    }
}

impl Seen {
    /// From when probes were acknowledged and received.
    fn of(acked: &[(u64, Instant)], received: &[(u64, Instant)]) -> Self {
        let at: HashMap<u64, Instant> = acked.iter().copied().collect();
        // A message may be here before its acknowledgement.
        let sample = |(probe, here): &(u64, Instant)| Some(here.saturating_duration_since(*at.get(probe)?));
        let acked = received.first().map(|(_, first)| acked.iter().map(|(_, at)| *at).filter(move |at| at > first));
        Self {
            samples: received.iter().filter_map(sample).collect(),
            worst_gap: longest_pause(received.iter().map(|(_, at)| *at)),
            worst_ack_gap: acked.map(longest_pause).unwrap_or_default(),
            ..Self::default()
        }
    }

    fn distribution(&self) -> String {
        format!(
            "{}, worst gap between two new probes {:.2} ms, between two acknowledgements {:.2} ms",
            percentiles("probes", &self.samples),
            self.worst_gap.as_secs_f64() * 1e3,
            self.worst_ack_gap.as_secs_f64() * 1e3
        )
    }
}

fn percentiles(what: &str, samples: &[Duration]) -> String {
    let mut samples = samples.to_vec();
    samples.sort();
    let at = |share: f64| {
        let index = ((samples.len() as f64 * share) as usize).min(samples.len().saturating_sub(1));
        samples.get(index).copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    let (p50, p99, p999, max) = (at(0.5), at(0.99), at(0.999), at(1.0));
    format!("{} {what}, p50 {p50:.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms, max {max:.2} ms", samples.len())
}

fn longest_pause(at: impl Iterator<Item = Instant>) -> Duration {
    let at: Vec<Instant> = at.collect();
    at.windows(2).filter_map(|two| Some(*two.last()? - *two.first()?)).max().unwrap_or_default()
}

/// Probes and when they were received, those after the warm-up.
fn receive(consumer: &BaseConsumer) -> Result<Vec<(u64, Instant)>, Failure> {
    let measured_from = Instant::now() + WARM_UP;
    let mut received = vec![];
    loop {
        let message = consumer.poll(Duration::from_millis(100)).transpose()?;
        let now = Instant::now();
        if now > measured_from + BARE {
            return Ok(received);
        }
        // Probes are far shorter than events.
        let Some(payload) = message.as_ref().and_then(Message::payload).filter(|payload| payload.len() < 100) else {
            continue;
        };
        let probe: serde_json::Value = serde_json::from_slice(payload)?;
        if let Some(id) = probe["user_id"].as_u64().filter(|_| now > measured_from) {
            received.push((id, now));
        }
    }
}

fn send(producer: &ThreadedProducer<OnDelivery>, partition: i32, value: &[u8], id: u64) -> Result<(), Failure> {
    let mut record =
        BaseRecord::<(), [u8], Box<u64>>::with_opaque_to(TOPIC, Box::new(id)).partition(partition).payload(value);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((error, back)) if error.rdkafka_error_code() == Some(rdkafka::error::RDKafkaErrorCode::QueueFull) => {
                record = back;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

fn committed(node: &Node) -> Result<u64, Failure> {
    let sql = format!("SELECT COUNT(*) FROM system.segments WHERE \"table\" = '{TABLE}' AND state = 'DONE'");
    Ok(node.query(&sql)?.number(0).max(0.0) as u64)
}

fn scan(node: &Node, stop: &AtomicBool) -> u64 {
    let mut scans = 0;
    while !stop.load(Ordering::Relaxed) {
        let sql =
            format!("SELECT country, COUNT(*), SUM(latency) FROM {TABLE} GROUP BY country ORDER BY 2 DESC LIMIT 10");
        if node.query(&sql).is_err() {
            break;
        }
        scans += 1;
    }
    scans
}
