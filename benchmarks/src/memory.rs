//! Many partitions with a backlog on a small budget: the peak memory of the process.

use crate::{
    event::{Expected, table_configs},
    kafka,
    node::Launch,
};
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Memory {
    /// Partitions of the topic.
    #[arg(long, default_value_t = 100)]
    partitions: i32,
    /// Events in all of them.
    #[arg(long, default_value_t = 8_000_000)]
    events: u64,
    /// The node's `--ingest-memory-mib`.
    #[arg(long, default_value_t = 512)]
    budget_mib: u64,
}

const TABLE: &str = "memory_events";
const TOPIC: &str = "memory";
/// What the process holds beside the budget: code and heap of the engine and of the clients of the topic, segments that
/// are being built, pages of files that are mapped.
const BESIDE_MIB: u64 = 512;

impl Memory {
    /// Runs it and prints the peak.
    pub(crate) fn run(&self, broker: &str, launch: &Launch) -> Result<(), Failure> {
        kafka::fresh_topic(broker, TOPIC, self.partitions)?;
        kafka::fill(broker, TOPIC, self.partitions, 0, self.events)?;
        let arguments = vec!["--ingest-memory-mib".to_owned(), self.budget_mib.to_string()];
        let node = Launch { arguments, ..launch.clone() }.start()?;
        let begun = Instant::now();
        // A row limit that is never reached: the budget alone seals.
        node.create(&table_configs(TABLE, broker, TOPIC, self.events))?;
        let expected = Expected::of(self.events);
        let sql = format!("SELECT COUNT(*), SUM(latency), SUM(quantity) FROM {TABLE}");
        let right = (expected.count as f64, expected.latency as f64, expected.quantity as f64);
        loop {
            let answer = node.query(&sql)?;
            if (answer.number(0), answer.number(1), answer.number(2)) == right {
                break;
            }
            if begun.elapsed() > Duration::from_secs(900) {
                return Err(format!("rows are missing: {answer:?}").into());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        let sealed = node.query(&format!(
            "SELECT COUNT(*) FROM system.segments WHERE \"table\" = '{TABLE}' AND sealReason = 'memoryLimit'"
        ))?;
        let peak = node.peak_bytes()? >> 20;
        let bound = self.budget_mib + BESIDE_MIB;
        println!(
            "{} partitions, a backlog of {} events, a budget of {} MiB: peak {peak} MiB ({} the bound of {bound}), all rows \
             right after {:.1} s, {} segments sealed for memory",
            self.partitions,
            self.events,
            self.budget_mib,
            if peak <= bound { "within" } else { "OVER" },
            begun.elapsed().as_secs_f64(),
            sealed.number(0)
        );
        node.kill()?;
        if peak > bound { Err("the peak is over the bound".into()) } else { Ok(()) }
    }
}
