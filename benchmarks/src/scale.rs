//! One hot partition on one core and on two: how much faster its backlog becomes visible rows.

use crate::{
    event::{Expected, table_configs},
    kafka,
    node::Launch,
};
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Scale {
    /// Events in the partition.
    #[arg(long, default_value_t = 4_000_000)]
    events: u64,
    /// Rows of a segment.
    #[arg(long, default_value_t = 1_000_000)]
    segment_rows: u64,
    /// The first run's core.
    #[arg(long, default_value = "0")]
    one: String,
    /// The second run's cores.
    #[arg(long, default_value = "0,1")]
    two: String,
}

const TABLE: &str = "scale_events";
const TOPIC: &str = "scale";

impl Scale {
    /// Runs both and prints the ratio. The broker runs where the system puts it, in both runs.
    pub(crate) fn run(&self, broker: &str, launch: &Launch) -> Result<(), Failure> {
        kafka::fresh_topic(broker, TOPIC, 1)?;
        kafka::fill(broker, TOPIC, 1, 0, self.events)?;
        let one = self.rate(broker, launch, &self.one)?;
        let two = self.rate(broker, launch, &self.two)?;
        println!(
            "one hot partition: {two:.0} rows/s on cores {}, {one:.0} on {}: {:.2} x",
            self.two,
            self.one,
            two / one
        );
        Ok(())
    }

    /// Rows a second from the table's creation to all rows visible.
    fn rate(&self, broker: &str, launch: &Launch, cores: &str) -> Result<f64, Failure> {
        if launch.data_dir.exists() {
            std::fs::remove_dir_all(&launch.data_dir)?;
        }
        let node = Launch { cores: Some(cores.to_owned()), ..launch.clone() }.start()?;
        let (begun, spent) = (Instant::now(), node.core_seconds()?);
        node.create(&table_configs(TABLE, broker, TOPIC, self.segment_rows))?;
        let expected = Expected::of(self.events);
        let sql = format!("SELECT COUNT(*), SUM(latency), SUM(quantity) FROM {TABLE}");
        let deadline = begun + Duration::from_secs(600);
        // Counting costs little, summing more: the sums are asked for once.
        while node.query(&format!("SELECT COUNT(*) FROM {TABLE}"))?.number(0) < expected.count as f64 {
            std::thread::sleep(Duration::from_millis(20));
            if Instant::now() > deadline {
                return Err("rows are missing".into());
            }
        }
        let wall = begun.elapsed().as_secs_f64();
        let used = node.core_seconds()? - spent;
        let answer = node.query(&sql)?;
        let found = (answer.number(0), answer.number(1), answer.number(2));
        if found != (expected.count as f64, expected.latency as f64, expected.quantity as f64) {
            return Err(format!("count and sums are wrong: {found:?}, {expected:?}").into());
        }
        node.kill()?;
        println!("cores {cores}: {} events visible after {wall:.2} s, {used:.2} core-s used", self.events);
        Ok(self.events as f64 / wall)
    }
}
