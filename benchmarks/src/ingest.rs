//! Rows per engine core-second from a filled topic to sealed and uploaded, with the peers beside it.

use crate::{
    event::{Event, Expected, table_configs},
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
pub(crate) struct Ingest {
    /// Events.
    #[arg(long, default_value_t = 5_000_000)]
    events: u64,
    /// Rows of a segment.
    #[arg(long, default_value_t = 1_000_000)]
    segment_rows: u64,
    /// Core of the engines (the broker keeps the others).
    #[arg(long, default_value = "0")]
    core: String,
    /// Also with five derived columns and a filter, beside the same without.
    #[arg(long)]
    expressions: bool,
    /// Python with chdb and duckdb; without it the peers are left out, and said to be.
    #[arg(long, env = "WEIR_BENCH_PYTHON")]
    python: Option<PathBuf>,
    /// The peers' script.
    #[arg(long, default_value = "benchmarks/peers.py")]
    peers: PathBuf,
    /// Where the events' file for the peers goes.
    #[arg(long, default_value = "/tmp/weir-bench")]
    scratch: PathBuf,
}

const TABLE: &str = "ingest_events";
const DERIVED: &str = "ingest_events_derived";
const TOPIC: &str = "ingest";

/// The table with five derived columns and a filter that drops nothing.
fn with_expressions(mut configs: serde_json::Value) -> serde_json::Value {
    let column = |name: &str, data_type: &str| serde_json::json!({"name": name, "dataType": data_type});
    let derived = |name: &str, function: &str| serde_json::json!({"columnName": name, "transformFunction": function});
    if let Some(dimensions) = configs["schema"]["dimensionFieldSpecs"].as_array_mut() {
        dimensions.extend([
            column("hour", "LONG"),
            column("page", "STRING"),
            column("screen", "STRING"),
            column("slow", "BOOLEAN"),
            column("total", "DOUBLE"),
        ]);
    }
    let ingestion = &mut configs["realtime"]["ingestionConfig"];
    ingestion["transformConfigs"] = serde_json::json!([
        derived("hour", "toEpochHours(ts)"),
        derived("page", "substr(url, 34)"),
        derived("screen", "upper(device)"),
        derived("slow", "latency > 1000"),
        derived("total", "price * quantity"),
    ]);
    ingestion["filterConfig"] = serde_json::json!({"filterFunction": "status = 999 OR country IS NULL"});
    configs
}

impl Ingest {
    /// Runs it and prints the ratios.
    pub(crate) fn run(&self, broker: &str, launch: &Launch) -> Result<(), Failure> {
        kafka::fresh_topic(broker, TOPIC, 2)?;
        kafka::fill(broker, TOPIC, 2, 0, self.events)?;
        let launch = Launch { cores: Some(self.core.clone()), ..launch.clone() };
        let configs = |table: &str| table_configs(table, broker, TOPIC, self.segment_rows);
        let rate = self.measure("weir", TABLE, &configs(TABLE), &launch)?;
        if self.expressions {
            let derived = with_expressions(configs(DERIVED));
            let derived = self.measure("weir with 5 expressions and a filter", DERIVED, &derived, &launch)?;
            println!("with 5 expressions and a filter {:.2} x the speed without", derived / rate);
        }
        self.peers(rate)
    }

    /// Rows per core-second of a node that ingests the topic into this table.
    fn measure(&self, what: &str, table: &str, configs: &serde_json::Value, launch: &Launch) -> Result<f64, Failure> {
        let node = launch.start()?;
        let (begun, spent) = (Instant::now(), node.core_seconds()?);
        node.create(configs)?;
        let expected = Expected::of(self.events);
        let sql = format!("SELECT COUNT(*), SUM(latency), SUM(quantity) FROM {table}");
        // Answered from what is known of segments: asking must not count as ingesting.
        let count = format!("SELECT COUNT(*) FROM {table}");
        let deadline = begun + Duration::from_secs(1800);
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let answer = node.query(&count)?;
            if answer.number(0) >= expected.count as f64 {
                break;
            }
            if Instant::now() > deadline {
                return Err(format!("rows are missing: {answer:?}").into());
            }
        }
        let visible = begun.elapsed();
        node.post(&format!("/tables/{table}/forceCommit"))?;
        let open = format!(
            "SELECT COUNT(*) FROM system.segments WHERE \"table\" = '{table}' AND (state = 'COMMITTING' OR (state = \
             'CONSUMING' AND \"rows\" > 0))"
        );
        while node.query(&open)?.number(0) > 0.0 {
            std::thread::sleep(Duration::from_millis(100));
            if Instant::now() > deadline {
                return Err("segments are not committed in time".into());
            }
        }
        let (wall, cores) = (begun.elapsed(), node.core_seconds()? - spent);
        let answer = node.query(&sql)?;
        let found = (answer.number(0), answer.number(1), answer.number(2));
        if found != (expected.count as f64, expected.latency as f64, expected.quantity as f64) {
            return Err(format!("count and sums are wrong: {found:?}, {expected:?}").into());
        }
        let size = node.query(&format!("SELECT SUM(bytes) FROM system.segments WHERE \"table\" = '{table}'"))?;
        let rate = self.events as f64 / cores;
        println!(
            "{what}: {} events to sealed and uploaded: {rate:.0} rows per core-second ({cores:.1} core-s, wall {:.1} s, all \
             visible after {:.1} s), {:.1} bytes a row, peak {} MiB",
            self.events,
            wall.as_secs_f64(),
            visible.as_secs_f64(),
            size.number(0) / self.events as f64,
            node.peak_bytes()? >> 20
        );
        node.kill()?;
        Ok(rate)
    }

    fn peers(&self, rate: f64) -> Result<(), Failure> {
        let Some(python) = &self.python else {
            println!("peers left out: WEIR_BENCH_PYTHON names no Python with chdb and duckdb");
            return Ok(());
        };
        let file = self.scratch.join("events.ndjson");
        std::fs::create_dir_all(&self.scratch)?;
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
        for peer in ["duckdb", "chdb"] {
            let output = Command::new("taskset")
                .args(["-c", &self.core])
                .arg(python)
                .arg(&self.peers)
                .args(["ingest", peer])
                .arg(&file)
                .output()?;
            if !output.status.success() {
                println!("{peer} failed: {}", String::from_utf8_lossy(&output.stderr));
                continue;
            }
            let text = String::from_utf8_lossy(&output.stdout);
            let result: serde_json::Value = serde_json::from_str(text.trim())?;
            let peer_rate = result["rows"].as_f64().unwrap_or(0.0) / result["core_s"].as_f64().unwrap_or(1.0);
            println!(
                "{peer} {}: {peer_rate:.0} rows per core-second from a file of the same events; weir is {:.2} x",
                result["version"].as_str().unwrap_or("?"),
                rate / peer_rate
            );
        }
        std::fs::remove_file(&file)?;
        Ok(())
    }
}
