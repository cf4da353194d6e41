//! Exactness under kill -9: counts and sums right during and after, segments contiguous, answers never going back.

use crate::{
    event::{Event, Expected, table_configs},
    kafka,
    node::{Answer, Launch, Node},
};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde_json::Value;
use std::time::{Duration, Instant};

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
    /// One of this many records is broken, 0 for none.
    #[arg(long, default_value_t = 10_000)]
    broken_one_in: u64,
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
        let broken = self.events.checked_div(self.broken_one_in).unwrap_or(0);
        let (events, partitions, one_in) = (self.events, self.partitions, self.broken_one_in);
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
        self.check(&node, &expected, broken)?;
        println!(
            "exact: {} events and {broken} broken ones, {} kills; {} answers, {} said what they lacked, none went back; \
             slowest to a right answer after a kill {slowest_right:?}",
            self.events, self.kills, watch.answers, watch.said
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

    fn check(&self, node: &Node, expected: &Expected, broken: u64) -> Result<(), Failure> {
        let answer = node.query(SQL)?;
        let found = (answer.number(0), answer.number(1), answer.number(2));
        let wanted = (expected.count as f64, expected.latency as f64, expected.quantity as f64);
        if found != wanted {
            return Err(format!("count and sums are {found:?}, {wanted:?} are right").into());
        }
        let mut rejected = 0.0;
        let sql = "SELECT \"startOffset\", nextOffset, fetched, stored, filtered, tombstones, rejected, replayed, gaps, \
                   skipped, \"partition\", \"rows\" FROM system.partitions WHERE \"table\" = 'exact_events' LIMIT 1000";
        let partitions = node.query(sql)?;
        if partitions.rows.len() != self.partitions as usize {
            return Err(format!("system.partitions answers {partitions:?}").into());
        }
        for row in &partitions.rows {
            let n: Vec<f64> = row.iter().map(|cell| cell.as_f64().unwrap_or(-1.0)).collect();
            if n[2] != n[3] + n[4] + n[5] + n[6] + n[7] || n[1] - n[0] != n[2] + n[8] + n[9] {
                return Err(format!("messages of partition {} do not add up: {row:?}", n[10]).into());
            }
            rejected += n[6];
        }
        let quarantined = node.query("SELECT COUNT(*) FROM system.quarantine WHERE \"table\" = 'exact_events'")?;
        if rejected != broken as f64 || quarantined.number(0) != broken as f64 {
            return Err(format!("{broken} broken records, {rejected} rejected, {quarantined:?} in quarantine").into());
        }
        self.contiguous(node)
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

fn fill(broker: &str, topic: &str, partitions: i32, events: u64, one_in: u64) -> Result<(), Failure> {
    let producer = kafka::producer(broker, 20)?;
    let mut value = Vec::with_capacity(400);
    let mut broken = 0;
    for number in 0..events {
        let event = Event::new(number);
        value.clear();
        event.write(event.ts, &mut value);
        let partition = (number % partitions as u64) as i32;
        kafka::send(&producer, topic, partition, &value)?;
        if one_in > 0 && number % one_in == one_in - 1 {
            let text: &[u8] = BROKEN[broken % BROKEN.len()];
            kafka::send(&producer, topic, partition, text)?;
            broken += 1;
        }
    }
    use rdkafka::producer::Producer;
    producer.flush(Duration::from_secs(300))?;
    Ok(())
}

/// Each kind of record that cannot become a row.
const BROKEN: [&[u8]; 5] = [
    b"{\"ts\": 1, ",
    b"[1, 2, 3]",
    b"{\"country\": \"\xff\xfe\"}",
    b"{\"status\": \"1.5\"}",
    b"{\"city\": [\"a\", \"b\"]}",
];
