//! One hot partition on one core and on two: how much faster its backlog becomes visible rows, and sealed and uploaded ones.
//!
//! Only the second compares the same work: on one core segments are mostly built once the backlog is read, on two beside it.

use crate::{
    event::{Expected, table_configs},
    kafka,
    node::{Launch, Node},
};
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Scale {
    /// Events in the partition; a multiple of the rows of a segment, so that all are sealed.
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

/// Rows a second.
struct Rate {
    visible: f64,
    uploaded: f64,
}

impl Scale {
    /// Runs both and prints the ratios. The broker runs where the system puts it, in both runs.
    pub(crate) fn run(&self, broker: &str, launch: &Launch) -> Result<(), Failure> {
        if !self.events.is_multiple_of(self.segment_rows) {
            let what = format!("{} events are no multiple of segments of {} rows", self.events, self.segment_rows);
            return Err(what.into());
        }
        kafka::fresh_topic(broker, TOPIC, 1)?;
        kafka::fill(broker, TOPIC, 1, 0, self.events)?;
        let one = self.rate(broker, launch, &self.one)?;
        let two = self.rate(broker, launch, &self.two)?;
        println!("one hot partition, rows a second on cores {} and on {}:", self.two, self.one);
        for (what, two, one) in
            [("visible", two.visible, one.visible), ("sealed and uploaded", two.uploaded, one.uploaded)]
        {
            println!("  {what}: {two:.0} and {one:.0}: {:.2} x", two / one);
        }
        Ok(())
    }

    /// Rows a second from the table's creation to all rows visible, and to all sealed and uploaded.
    fn rate(&self, broker: &str, launch: &Launch, cores: &str) -> Result<Rate, Failure> {
        if launch.data_dir.exists() {
            std::fs::remove_dir_all(&launch.data_dir)?;
        }
        let node = Launch { cores: Some(cores.to_owned()), ..launch.clone() }.start()?;
        let (begun, spent) = (Instant::now(), node.core_seconds()?);
        node.create(&table_configs(TABLE, broker, TOPIC, self.segment_rows))?;
        let expected = Expected::of(self.events);
        // Counting costs little, summing more: the sums are asked for once.
        let rows = format!("SELECT COUNT(*) FROM {TABLE}");
        let visible = until(&node, &rows, expected.count, begun)?;
        let used = node.core_seconds()? - spent;
        let segments = format!("SELECT COUNT(*) FROM system.segments WHERE \"table\" = '{TABLE}' AND state = 'DONE'");
        let uploaded = until(&node, &segments, self.events / self.segment_rows, begun)?;
        let answer = node.query(&format!("SELECT COUNT(*), SUM(latency), SUM(quantity) FROM {TABLE}"))?;
        let found = (answer.number(0), answer.number(1), answer.number(2));
        if found != (expected.count as f64, expected.latency as f64, expected.quantity as f64) {
            return Err(format!("count and sums are wrong: {found:?}, {expected:?}").into());
        }
        node.kill()?;
        println!(
            "cores {cores}: {} events visible after {:.2} s ({used:.2} core-s used), uploaded after {:.2} s",
            self.events,
            visible.as_secs_f64(),
            uploaded.as_secs_f64()
        );
        let rate = |after: Duration| self.events as f64 / after.as_secs_f64();
        Ok(Rate { visible: rate(visible), uploaded: rate(uploaded) })
    }
}

/// How long after `begun` a count was reached.
fn until(node: &Node, sql: &str, count: u64, begun: Instant) -> Result<Duration, Failure> {
    let deadline = begun + Duration::from_secs(600);
    while node.query(sql)?.number(0) < count as f64 {
        std::thread::sleep(Duration::from_millis(20));
        if Instant::now() > deadline {
            return Err(format!("{count} were not reached: {sql}").into());
        }
    }
    Ok(begun.elapsed())
}
