//! After kill -9 with rows open: time to ready, to a first answer, to a right one.

use crate::{event::table_configs, kafka, node::Launch};
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Restart {
    /// Rows that are open when the node is killed.
    #[arg(long, default_value_t = 1_000_000)]
    open_rows: u64,
}

const TABLE: &str = "restart_events";
const TOPIC: &str = "restart";

impl Restart {
    /// Runs it and prints the times.
    pub(crate) fn run(&self, broker: &str, launch: &Launch) -> Result<(), Failure> {
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
        let begun = Instant::now();
        let node = launch.start()?;
        let mut first = None;
        let mut silent_wrong = 0;
        loop {
            let answer = node.query(&sql)?;
            first.get_or_insert(begun.elapsed());
            let right = reached(answer.number(0));
            if right && answer.exceptions.is_empty() {
                break;
            }
            silent_wrong += u32::from(!right && answer.exceptions.is_empty());
            if Instant::now() > deadline {
                return Err("the answer is not right in time".into());
            }
        }
        println!(
            "restart after kill -9 with {} rows open: ready {:?}, first answer {:?}, right answer {:?}, wrong answers \
             without a word: {silent_wrong}",
            self.open_rows,
            node.ready_after,
            first.unwrap_or_default(),
            begun.elapsed()
        );
        Ok(())
    }
}
