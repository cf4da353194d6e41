//! Measures a weir binary end to end against a real broker. Every figure is printed with the machine it was taken on.

mod event;
mod exact;
mod formats;
mod freshness;
mod ingest;
mod kafka;
mod memory;
mod node;
mod odd;
mod query;
mod restart;
mod scale;
mod soak;

use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

#[derive(Parser)]
#[command(about = "Measurements against real Kafka", version)]
struct Arguments {
    /// The broker.
    #[arg(long, env = "WEIR_KAFKA", default_value = "127.0.0.1:9092", global = true)]
    kafka: String,
    /// The binary that is measured.
    #[arg(long, env = "WEIR_BINARY", default_value = "target/release/weir", global = true)]
    binary: PathBuf,
    /// Its data folder; emptied first.
    #[arg(long, default_value = "/tmp/weir-bench/data", global = true)]
    data_dir: PathBuf,
    /// Its controller port; the broker's is the next one.
    #[arg(long, default_value_t = 19_000, global = true)]
    port: u16,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Counts and sums exact under kill -9.
    Exact(exact::Exact),
    /// From acknowledged to visible.
    Freshness(freshness::Freshness),
    /// Rows per core-second to sealed and uploaded.
    Ingest(ingest::Ingest),
    /// Latency of the common query shapes.
    Query(query::Query),
    /// Peak memory of many partitions on a small budget.
    Memory(memory::Memory),
    /// To a right answer after kill -9.
    Restart(restart::Restart),
    /// One hot partition on one core and on two.
    Scale(scale::Scale),
    /// Every message accounted for under seeded chaos, on a broker of its own.
    Soak(soak::Soak),
}

fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1)).unwrap_or("?");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    let speed = speed() / 1e6;
    format!("machine: {model}, {cores} cores, load {load}, one core writes {speed:.2} M events/s")
}

/// Events that one core writes in a second, by what it does in a quarter of one: a figure of one run can be held against
/// that of another only where the machine was as fast.
fn speed() -> f64 {
    let begun = std::time::Instant::now();
    let (mut number, mut value) = (0_u64, Vec::with_capacity(400));
    while begun.elapsed().as_millis() < 250 {
        for _ in 0..1_000 {
            value.clear();
            event::Event::new(number).write(number as i64, &mut value);
            number += 1;
        }
    }
    number as f64 / begun.elapsed().as_secs_f64()
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    println!("{}", machine());
    let launch = node::Launch {
        binary: arguments.binary,
        data_dir: arguments.data_dir,
        port: arguments.port,
        cores: None,
        arguments: vec![],
        patience: std::time::Duration::from_secs(300),
    };
    if launch.data_dir.exists()
        && let Err(error) = std::fs::remove_dir_all(&launch.data_dir)
    {
        eprintln!("could not empty {}: {error}", launch.data_dir.display());
        return ExitCode::FAILURE;
    }
    let done = match &arguments.what {
        What::Exact(exact) => exact.run(&arguments.kafka, &launch),
        What::Freshness(freshness) => freshness.run(&arguments.kafka, &launch),
        What::Ingest(ingest) => ingest.run(&arguments.kafka, &launch),
        What::Query(query) => query.run(&arguments.kafka, &launch),
        What::Memory(memory) => memory.run(&arguments.kafka, &launch),
        What::Restart(restart) => restart.run(&arguments.kafka, &launch),
        What::Scale(scale) => scale.run(&arguments.kafka, &launch),
        What::Soak(soak) => soak.run(&launch),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}
