//! Exactness under kill -9: counts and sums right during and after, segments contiguous, answers never going back.

use crate::{
    event::{Event, Expected, table_configs},
    kafka,
    node::{Answer, Launch, Node},
    odd::{ALL, CUT, Fate, Odd},
};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

type Failure = Box<dyn std::error::Error>;

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Exact {
    /// Events in all.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// How often the node is killed, at random moments.
    #[arg(long, default_value_t = 3)]
    kills: u32,
    /// Partitions of the topic.
    #[arg(long, default_value_t = 2)]
    partitions: i32,
    /// Rows of a segment.
    #[arg(long, default_value_t = 100_000)]
    segment_rows: u64,
    /// Chance of the moments of the kills.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One of this many records is odd, of each kind of odd records; 0 for none.
    #[arg(long, default_value_t = 10_000)]
    odd_one_in: u64,
    /// Give up after this many seconds.
    #[arg(long, default_value_t = 1800)]
    deadline_s: u64,
}

const TABLE: &str = "exact_events";
const SQL: &str = "SELECT COUNT(*), SUM(latency), SUM(quantity) FROM exact_events";

struct Watch {
    highest: f64,
    answers: u64,
    said: u64,
}

impl Watch {
    /// An answer that says what it lacks may be lower; one that does not may not.
    fn see(&mut self, answer: &Answer) -> Result<(), Failure> {
        if let Some((code, message)) = answer.exceptions.first() {
            if *code != 305 {
                return Err(format!("query failed with {code}: {message}").into());
            }
            self.said += 1;
            return Ok(());
        }
        let count = answer.number(0);
        if count < self.highest {
            return Err(format!("count(*) went back from {} to {count} without an exception", self.highest).into());
        }
        self.highest = count;
        self.answers += 1;
        Ok(())
    }
}

impl Exact {
    /// Runs it; an error is a finding.
    pub(crate) fn run(&self, broker: &str, launch: &Launch) -> Result<(), Failure> {
        let topic = format!("exact-{}", self.seed);
        kafka::fresh_topic(broker, &topic, self.partitions)?;
        let deadline = Instant::now() + Duration::from_secs(self.deadline_s);
        let (events, partitions, one_in) = (self.events, self.partitions, self.odd_one_in);
        let told = Told::of(events, partitions, one_in);
        let (to, name) = (broker.to_owned(), topic.clone());
        let filling =
            std::thread::spawn(move || fill(&to, &name, partitions, events, one_in).map_err(|error| error.to_string()));
        let expected = Expected::of(self.events);
        let mut chance = SmallRng::seed_from_u64(self.seed);
        let mut node = launch.start()?;
        node.create(&table_configs(TABLE, broker, &topic, self.segment_rows))?;
        let mut watch = Watch { highest: 0.0, answers: 0, said: 0 };
        let mut slowest_right = Duration::ZERO;
        for kill in 1..=self.kills {
            // Moments are spread over the run: the next kill comes when a random share of the rest is visible.
            let rest = self.events as f64 - watch.highest;
            let at = watch.highest + rest * chance.random_range(0.05..0.5) / f64::from(self.kills - kill + 1);
            self.until(&node, &mut watch, deadline, |answer| answer.number(0) >= at)?;
            std::thread::sleep(Duration::from_millis(chance.random_range(0..300)));
            node.kill()?;
            let begun = Instant::now();
            node = launch.start()?;
            let highest = watch.highest;
            self.until(&node, &mut watch, deadline, |answer| {
                answer.exceptions.is_empty() && answer.number(0) >= highest
            })?;
            slowest_right = slowest_right.max(begun.elapsed());
            println!(
                "kill {kill}: at {at:.0} rows; ready after {:?}, right after {:?}",
                node.ready_after,
                begun.elapsed()
            );
        }
        self.until(&node, &mut watch, deadline, |answer| {
            answer.exceptions.is_empty() && answer.number(0) >= expected.count as f64
        })?;
        filling.join().map_err(|_| "filling the topic panicked")??;
        self.check(&node, &expected, &told)?;
        println!(
            "exact: {} events, {} odd records of {} kinds ({} in quarantine, {} tombstones, {} altered), {} kills; {} \
             answers, {} said what they lacked, none went back; slowest to a right answer after a kill {slowest_right:?}",
            self.events,
            told.odd,
            if told.odd == 0 { 0 } else { ALL.len() },
            told.rejected.len(),
            told.tombstones,
            told.altered,
            self.kills,
            watch.answers,
            watch.said
        );
        Ok(())
    }

    fn until(
        &self,
        node: &Node,
        watch: &mut Watch,
        deadline: Instant,
        done: impl Fn(&Answer) -> bool,
    ) -> Result<(), Failure> {
        loop {
            let answer = node.query(SQL)?;
            watch.see(&answer)?;
            if done(&answer) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(
                    format!("not there in time; last answer {answer:?}, partitions {}", partitions(node)).into()
                );
            }
        }
    }

    fn check(&self, node: &Node, expected: &Expected, told: &Told) -> Result<(), Failure> {
        let answer = node.query(SQL)?;
        let found = (answer.number(0), answer.number(1), answer.number(2));
        let wanted = (expected.count as f64, expected.latency as f64, expected.quantity as f64);
        if found != wanted {
            return Err(format!("count and sums are {found:?}, {wanted:?} are right").into());
        }
        let sql = "SELECT \"startOffset\", nextOffset, fetched, stored, filtered, tombstones, rejected, replayed, gaps, \
                   skipped, \"partition\", \"rows\", altered FROM system.partitions WHERE \"table\" = 'exact_events' \
                   LIMIT 1000";
        let partitions = node.query(sql)?;
        if partitions.rows.len() != self.partitions as usize {
            return Err(format!("system.partitions answers {partitions:?}").into());
        }
        let mut counted = (0.0, 0.0, 0.0);
        for row in &partitions.rows {
            let n: Vec<f64> = row.iter().map(|cell| cell.as_f64().unwrap_or(-1.0)).collect();
            if n[2] != n[3] + n[4] + n[5] + n[6] + n[7] || n[1] - n[0] != n[2] + n[8] + n[9] {
                return Err(format!("messages of partition {} do not add up: {row:?}", n[10]).into());
            }
            counted = (counted.0 + n[6], counted.1 + n[5], counted.2 + n[12]);
        }
        let sent = (told.rejected.len() as f64, told.tombstones as f64, told.altered as f64);
        if counted != sent {
            return Err(format!("(rejected, tombstones, altered) are {counted:?}, {sent:?} were sent").into());
        }
        let cut = node.query(&format!("SELECT COUNT(*) FROM {TABLE} WHERE LENGTH(referrer) = {CUT}"))?;
        if cut.number(0) != told.cut as f64 {
            return Err(format!("{} texts were cut to {CUT} characters: {cut:?}", told.cut).into());
        }
        self.quarantined(node, told)?;
        self.contiguous(node)
    }

    /// Each record that cannot be a row is in quarantine, by partition, offset and stage, and nothing else is.
    fn quarantined(&self, node: &Node, told: &Told) -> Result<(), Failure> {
        let sql = "SELECT \"partition\", \"offset\", stage FROM system.quarantine WHERE \"table\" = 'exact_events' LIMIT \
                   1000000";
        let mut found = BTreeMap::new();
        for row in node.query(sql)?.rows {
            let stage = row[2].as_str().unwrap_or("").to_owned();
            found.insert((row[0].as_i64().unwrap_or(-1), row[1].as_u64().unwrap_or(u64::MAX)), stage);
        }
        for (place, stage) in &told.rejected {
            match found.remove(place) {
                Some(said) if said == *stage => {}
                said => {
                    return Err(
                        format!("record at {place:?} belongs into quarantine at {stage}, found {said:?}").into()
                    );
                }
            }
        }
        match found.first_key_value() {
            Some((place, stage)) => Err(format!("good record at {place:?} is in quarantine at {stage}").into()),
            None => Ok(()),
        }
    }

    fn contiguous(&self, node: &Node) -> Result<(), Failure> {
        let sql = "SELECT \"partition\", \"startOffset\", \"endOffset\", state, segment FROM system.segments WHERE \
                   \"table\" = 'exact_events' ORDER BY \"partition\", \"startOffset\" LIMIT 100000";
        let segments = node.query(sql)?;
        let mut sealed = 0;
        let mut ends: std::collections::HashMap<String, Value> = std::collections::HashMap::new();
        for row in &segments.rows {
            let partition = row[0].to_string();
            let end = ends.insert(partition.clone(), row[2].clone());
            let start = end.unwrap_or_else(|| Value::from(0));
            if start.as_f64() != row[1].as_f64() {
                return Err(format!("segment {} of partition {partition} does not start at {start}", row[4]).into());
            }
            sealed += u64::from(row[3] != "CONSUMING");
        }
        println!("{} segments, {sealed} sealed, contiguous in {} partitions", segments.rows.len(), ends.len());
        if sealed == 0 {
            return Err("no segment was sealed: the run proves nothing".into());
        }
        Ok(())
    }
}

fn partitions(node: &Node) -> String {
    node.get(&format!("/tables/{TABLE}/partitions")).map_or_else(|error| error.to_string(), |json| json.to_string())
}

/// What was sent beside the good rows, and what has to become of it.
#[derive(Debug, Default)]
struct Told {
    odd: u64,
    tombstones: u64,
    altered: u64,
    cut: u64,
    /// Stage by partition and offset.
    rejected: BTreeMap<(i64, u64), &'static str>,
}

impl Told {
    /// Of the first `events` events.
    fn of(events: u64, partitions: i32, one_in: u64) -> Self {
        let mut told = Self::default();
        let mut next: HashMap<i64, u64> = HashMap::new();
        for number in 0..events {
            let partition = (number % partitions as u64) as i64;
            let next = next.entry(partition).or_default();
            *next += 1;
            let Some(odd) = Odd::at(number, one_in) else { continue };
            told.odd += 1;
            told.cut += u64::from(odd == Odd::LongText);
            match odd.fate() {
                Fate::Rejected(stage) => drop(told.rejected.insert((partition, *next), stage)),
                Fate::Tombstone => told.tombstones += 1,
                Fate::Altered => told.altered += 1,
                Fate::Row => {}
            }
            *next += u64::from(odd.beside());
        }
        told
    }
}

fn fill(broker: &str, topic: &str, partitions: i32, events: u64, one_in: u64) -> Result<(), Failure> {
    let producer = kafka::producer(broker, 20)?;
    let mut value = Vec::with_capacity(400);
    for number in 0..events {
        let event = Event::new(number);
        let partition = (number % partitions as u64) as i32;
        let key = number.to_le_bytes();
        let odd = Odd::at(number, one_in);
        if odd.is_none_or(Odd::beside) {
            value.clear();
            event.write(event.ts, &mut value);
            kafka::send(&producer, topic, partition, Some(&key), Some(&value))?;
        }
        if let Some(odd) = odd {
            let key = (odd != Odd::NullKey).then_some(&key[..]);
            kafka::send(&producer, topic, partition, key, odd.write(&event, &mut value))?;
        }
    }
    use rdkafka::producer::Producer;
    producer.flush(Duration::from_secs(300))?;
    Ok(())
}
