//! After kill -9, with rows open or with many committed segments: time to ready, to a first answer, to a right one and to the
//! end of the log; and the same where rows that were open have to be read from the log again.

use crate::{event::table_configs, kafka, node::Launch};
use std::{
    fmt, fs,
    path::Path,
    time::{Duration, Instant},
};

type Failure = Box<dyn std::error::Error>;

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Restart {
    /// Rows that are open when the node is killed.
    #[arg(long, default_value_t = 1_000_000)]
    open_rows: u64,
    /// Committed segments in the place of open rows: so many.
    #[arg(long)]
    segments: Option<u64>,
    /// Rows of each of them.
    #[arg(long, default_value_t = 10_000)]
    segment_rows: u64,
}

const TABLE: &str = "restart_events";
const TOPIC: &str = "restart";

impl Restart {
    /// Runs it and prints the times.
    pub(crate) fn run(&self, broker: &str, launch: &Launch) -> Result<(), Failure> {
        match self.segments {
            Some(segments) => self.segments(broker, launch, segments),
            None => self.open_rows(broker, launch),
        }
    }

    /// A node with so many committed segments is killed and started twice: with their files in the memory of the system,
    /// and once more with an answer of all rows as the first thing that is asked.
    fn segments(&self, broker: &str, launch: &Launch, segments: u64) -> Result<(), Failure> {
        let rows = segments * self.segment_rows;
        kafka::fresh_topic(broker, TOPIC, 2)?;
        kafka::fill(broker, TOPIC, 2, 0, rows)?;
        let node = launch.start()?;
        node.create(&table_configs(TABLE, broker, TOPIC, self.segment_rows))?;
        let committed = "SELECT COUNT(*) FROM system.segments WHERE state = 'DONE'";
        let deadline = Instant::now() + Duration::from_secs(1800);
        // Partitions end in the middle of a segment: that stays open.
        while node.query(committed)?.number(0) < segments.saturating_sub(2) as f64 {
            if Instant::now() > deadline {
                return Err("segments are not committed in time".into());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let found = node.query(committed)?.number(0);
        node.kill()?;
        for (what, sql) in [
            ("count", format!("SELECT COUNT(*) FROM {TABLE}")),
            ("sum over all rows", format!("SELECT SUM(latency), COUNT(*) FROM {TABLE} WHERE quantity >= 0")),
        ] {
            let column = if what == "count" { 0 } else { 1 };
            let begun = Instant::now();
            let node = launch.start()?;
            let mut answer = node.query(&sql)?;
            let first = begun.elapsed();
            while answer.number(column) < rows as f64 || !answer.exceptions.is_empty() {
                if begun.elapsed() > Duration::from_secs(600) {
                    return Err("the answer is not right in time".into());
                }
                answer = node.query(&sql)?;
            }
            println!(
                "restart after kill -9 with {found} committed segments of {} rows: ready {:?}, first answer ({what}) {first:?}, \
                 right answer {:?}",
                self.segment_rows,
                node.ready_after,
                begun.elapsed()
            );
            node.kill()?;
        }
        Ok(())
    }

    fn open_rows(&self, broker: &str, launch: &Launch) -> Result<(), Failure> {
        kafka::fresh_topic(broker, TOPIC, 2)?;
        kafka::fill(broker, TOPIC, 2, 0, self.open_rows)?;
        let node = launch.start()?;
        node.create(&table_configs(TABLE, broker, TOPIC, self.open_rows * 2))?;
        let sql = format!("SELECT COUNT(*) FROM {TABLE}");
        let deadline = Instant::now() + Duration::from_secs(600);
        let reached = |answer: f64| answer >= self.open_rows as f64;
        while !reached(node.query(&sql)?.number(0)) {
            if Instant::now() > deadline {
                return Err("rows are not visible in time".into());
            }
        }
        node.kill()?;
        let checkpoint = self.restart(launch, &sql)?;
        println!("restart after kill -9 with {} rows open: {checkpoint}", self.open_rows);
        let removed = remove_checkpoints(&launch.data_dir)?;
        let log = self.restart(launch, &sql)?;
        println!("the same without its {removed} checkpoints, all rows read from the log again: {log}");
        Ok(())
    }

    /// Starts a node that was killed, and times it to a right answer and to the end of the log; ends with it killed.
    fn restart(&self, launch: &Launch, sql: &str) -> Result<Times, Failure> {
        let (begun, deadline) = (Instant::now(), Instant::now() + Duration::from_secs(600));
        let node = launch.start()?;
        let (mut first, mut silent_wrong) = (None, 0);
        loop {
            let answer = node.query(sql)?;
            first.get_or_insert(begun.elapsed());
            let right = answer.number(0) >= self.open_rows as f64;
            if right && answer.exceptions.is_empty() {
                break;
            }
            silent_wrong += u32::from(!right && answer.exceptions.is_empty());
            if Instant::now() > deadline {
                return Err("the answer is not right in time".into());
            }
        }
        let right = begun.elapsed();
        let behind = format!(
            "SELECT COUNT(*) FROM system.partitions WHERE \"table\" = '{TABLE}' AND (state <> 'CONSUMING' OR lagOffsets IS NULL OR lagOffsets > 0)"
        );
        while node.query(&behind)?.number(0) != 0.0 {
            if Instant::now() > deadline {
                return Err("the end of the log is not reached in time".into());
            }
        }
        let times = Times {
            ready: node.ready_after,
            first: first.unwrap_or_default(),
            right,
            caught_up: begun.elapsed().saturating_sub(right),
            silent_wrong,
        };
        node.kill()?;
        Ok(times)
    }
}

struct Times {
    ready: Duration,
    first: Duration,
    right: Duration,
    /// From the right answer on.
    caught_up: Duration,
    silent_wrong: u32,
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ready, first, right, caught_up, silent_wrong } = self;
        write!(
            f,
            "ready {ready:.0?}, first answer {first:.0?}, right answer {right:.0?}, lag zero {caught_up:.0?} after it, \
             wrong answers without a word: {silent_wrong}"
        )
    }
}

/// Removes the files of open segments, as a node would find its disk that never wrote any.
fn remove_checkpoints(dir: &Path) -> Result<usize, Failure> {
    let mut removed = 0;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            removed += remove_checkpoints(&path)?;
        } else if path.extension().is_some_and(|ending| ending == "chunks") {
            fs::remove_file(&path)?;
            removed += 1;
        }
    }
    Ok(removed)
}
