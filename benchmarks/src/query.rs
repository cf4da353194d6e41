//! Latency of the common query shapes over sealed segments, with the peers on the same events.

use crate::{
    event::{Event, table_configs},
    kafka,
    node::Launch,
};
use std::{
    io::{BufWriter, Write},
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

type Failure = Box<dyn std::error::Error>;

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Query {
    /// Events.
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// Rows of a segment.
    #[arg(long, default_value_t = 500_000)]
    segment_rows: u64,
    /// Runs of each query; the median is printed.
    #[arg(long, default_value_t = 9)]
    runs: usize,
    /// Core of the engines.
    #[arg(long, default_value = "0")]
    core: String,
    /// Python with chdb and duckdb.
    #[arg(long, env = "WEIR_BENCH_PYTHON")]
    python: Option<PathBuf>,
    /// The peers' script.
    #[arg(long, default_value = "benchmarks/peers.py")]
    peers: PathBuf,
    /// Where the events' file for the peers goes.
    #[arg(long, default_value = "/tmp/weir-bench")]
    scratch: PathBuf,
}

const TABLE: &str = "query_events";

/// Name and text; every engine understands the text with its own table name in place of `{t}`.
pub(crate) const QUERIES: [(&str, &str); 6] = [
    ("count by an indexed column", "SELECT COUNT(*) FROM {t} WHERE country = 'country-150'"),
    (
        "top 10 of 5 k cities",
        "SELECT city, COUNT(*) AS n, SUM(latency) AS s FROM {t} GROUP BY city ORDER BY n DESC, city LIMIT 10",
    ),
    ("exact distinct of users", "SELECT COUNT(DISTINCT user_id) FROM {t}"),
    ("range on latency", "SELECT COUNT(*), AVG(price) FROM {t} WHERE latency BETWEEN 100 AND 160"),
    ("needle by an unindexed session", "SELECT COUNT(*) FROM {t} WHERE session = 'none-such'"),
    (
        "group by status, two filters",
        "SELECT status, COUNT(*) AS n FROM {t} WHERE country = 'country-010' AND event_type = 'type-03' GROUP BY status \
         ORDER BY status LIMIT 10",
    ),
];

impl Query {
    /// Runs it and prints medians.
    pub(crate) fn run(&self, broker: &str, launch: &Launch) -> Result<(), Failure> {
        let topic = "query";
        kafka::fresh_topic(broker, topic, 2)?;
        kafka::fill(broker, topic, 2, 0, self.events)?;
        let node = Launch { cores: Some(self.core.clone()), ..launch.clone() }.start()?;
        node.create(&table_configs(TABLE, broker, topic, self.segment_rows))?;
        let deadline = Instant::now() + Duration::from_secs(900);
        while node.query(&format!("SELECT COUNT(*) FROM {TABLE}"))?.number(0) < self.events as f64 {
            std::thread::sleep(Duration::from_millis(100));
            if Instant::now() > deadline {
                return Err("rows are not visible in time".into());
            }
        }
        node.post(&format!("/tables/{TABLE}/forceCommit"))?;
        let committing =
            format!("SELECT COUNT(*) FROM system.segments WHERE \"table\" = '{TABLE}' AND state = 'COMMITTING'");
        while node.query(&committing)?.number(0) > 0.0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
        }
        let mut medians = vec![];
        for (name, sql) in QUERIES {
            let sql = sql.replace("{t}", TABLE);
            let mut times = vec![];
            for _ in 0..self.runs {
                let begun = Instant::now();
                let answer = node.query(&sql)?;
                if let Some((code, message)) = answer.exceptions.first() {
                    return Err(format!("{name}: {code} {message}").into());
                }
                times.push(begun.elapsed().as_secs_f64() * 1e3);
            }
            times.sort_by(f64::total_cmp);
            medians.push(times[times.len() / 2]);
            println!("weir, {name}: median {:.2} ms over HTTP", times[times.len() / 2]);
        }
        node.kill()?;
        self.peers(&medians)
    }

    fn peers(&self, medians: &[f64]) -> Result<(), Failure> {
        let Some(python) = &self.python else {
            println!("peers left out: WEIR_BENCH_PYTHON names no Python with chdb and duckdb");
            return Ok(());
        };
        std::fs::create_dir_all(&self.scratch)?;
        let file = self.scratch.join("events.ndjson");
        let mut out = BufWriter::new(std::fs::File::create(&file)?);
        let mut line = Vec::with_capacity(400);
        for number in 0..self.events {
            line.clear();
            let event = Event::new(number);
            event.write(event.ts, &mut line);
            line.push(b'\n');
            out.write_all(&line)?;
        }
        out.flush()?;
        let queries = serde_json::to_string(&QUERIES.map(|(_, sql)| sql))?;
        for peer in ["duckdb", "chdb"] {
            let mut command = Command::new("taskset");
            command.args(["-c", &self.core]).arg(python).arg(&self.peers).args(["query", peer]).arg(&file);
            let output = command.args([&queries, &self.runs.to_string()]).output()?;
            if !output.status.success() {
                println!("{peer} failed: {}", String::from_utf8_lossy(&output.stderr));
                continue;
            }
            let result: serde_json::Value = serde_json::from_str(String::from_utf8_lossy(&output.stdout).trim())?;
            for (at, (name, _)) in QUERIES.iter().enumerate() {
                let peer_ms = result["medians_ms"][at].as_f64().unwrap_or(f64::NAN);
                let ratio = peer_ms / medians[at];
                println!("{peer} in process, {name}: median {peer_ms:.2} ms; weir is {ratio:.2} x as fast");
            }
        }
        std::fs::remove_file(&file)?;
        Ok(())
    }
}
