//! Rows per engine core-second from a filled topic to sealed and uploaded, with the peers beside it.

use crate::{
    event::{Expected, table_configs},
    formats::Format,
    kafka,
    node::Launch,
};
use std::{
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
    /// Formats of the messages, separated by commas; each is a topic and a table of its own.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "json")]
    format: Vec<Format>,
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
        let launch = Launch { cores: Some(self.core.clone()), ..launch.clone() };
        let mut rates = vec![];
        for format in &self.format {
            let topic = format!("ingest_{}", format.name());
            kafka::fresh_topic(broker, &topic, 2)?;
            kafka::fill_with(broker, &topic, 2, 0..self.events, |event, out| format.write(event, out))?;
            let settings = format.settings(&self.scratch)?;
            let configs = |table: &str| {
                let mut configs = table_configs(table, broker, &topic, self.segment_rows);
                let ingestion = &mut configs["realtime"]["ingestionConfig"]["streamIngestionConfig"];
                for (key, value) in &settings {
                    ingestion["streamConfigMaps"][0][*key] = serde_json::json!(value);
                }
                configs
            };
            let what = format!("weir, {}", format.name());
            let rate = self.measure(&what, &topic, &configs(&topic), &launch)?;
            if self.expressions {
                let table = format!("{topic}_derived");
                let derived = with_expressions(configs(&table));
                let what = format!("{what} with 5 expressions and a filter");
                let derived = self.measure(&what, &table, &derived, &launch)?;
                println!("with 5 expressions and a filter {:.2} x the speed without", derived / rate);
            }
            self.peers(*format, rate)?;
            rates.push((*format, rate));
        }
        let rate = |wanted: Format| rates.iter().find(|(format, _)| *format == wanted).map(|(_, rate)| *rate);
        if let (Some(plain), Some(confluent)) = (rate(Format::Avro), rate(Format::Confluent)) {
            println!("behind a registry {:.2} x the speed of plain Avro", confluent / plain);
        }
        Ok(())
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
        // The next one must not open this one's segments.
        std::fs::remove_dir_all(&launch.data_dir)?;
        Ok(rate)
    }

    fn peers(&self, format: Format, rate: f64) -> Result<(), Failure> {
        let Some(python) = &self.python else {
            println!("peers left out: WEIR_BENCH_PYTHON names no Python with chdb and duckdb");
            return Ok(());
        };
        if format == Format::Confluent {
            println!("no peer reads single messages behind a registry");
            return Ok(());
        }
        let file = std::path::absolute(self.scratch.join(format!("events.{}", format.name())))?;
        format.file(self.events, &file)?;
        for peer in ["duckdb", "chdb"] {
            let output = Command::new("taskset")
                .args(["-c", &self.core])
                .arg(python)
                .arg(&self.peers)
                .args(["ingest", peer])
                .arg(&file)
                .arg(format.name())
                .output()?;
            if !output.status.success() {
                println!("{peer} failed: {}", String::from_utf8_lossy(&output.stderr));
                continue;
            }
            let text = String::from_utf8_lossy(&output.stdout);
            let result: serde_json::Value = serde_json::from_str(text.trim())?;
            if let Some(why) = result["unread"].as_str() {
                println!("{peer} {}: {why}", result["version"].as_str().unwrap_or("?"));
                continue;
            }
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
