//! `weir demo`: a node, a live sample stream on its own log, a table over it, and a line that shows both move.

mod events;

use crate::{
    cli::{
        Failure,
        output::{data, say},
        run::{LogFormat, start_log, told_to_stop},
        shell_word,
        start::{announce, start},
    },
    node::{
        Asked, DEFAULT_BROKER_PORT, DEFAULT_CONTROLLER_PORT, Node, NodeSettings, TableConfigs, remove_orphaned_marks,
    },
};
use arrow::{array::AsArray, datatypes::Int64Type};
use clap::Args;
use events::{Orders, TABLE};
use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
use weir_base::Chance;
use weir_streams::ProduceRecord;
use weir_types::{ErrorKind, TopicName};

const EXAMPLES: &str = "\
Examples:
  weir demo
  weir demo --rate 20000 --seconds 60
  weir demo --data-dir ./demo-data          keeps its data; without it everything is removed at the end

While it runs, in another terminal:
  weir sql -e 'SELECT country, COUNT(*), SUM(amount) FROM demo GROUP BY country ORDER BY COUNT(*) DESC'
  weir lag demo";

/// How often events are made: short beside the freshness that is shown, long beside a sync of the disk.
const TICK: Duration = Duration::from_millis(10);
/// How often the line is renewed.
const LOOK: Duration = Duration::from_millis(500);
/// Events of one append, so that a stream that fell behind catches up in steps.
const MOST_AT_ONCE: u64 = 10_000;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DemoArguments {
    /// Events per second
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// Ends after this many seconds; runs until control-C where not given
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Keeps everything in this folder
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Port of the controller
    #[arg(long, default_value_t = DEFAULT_CONTROLLER_PORT, value_name = "PORT")]
    controller_port: u16,
    /// Port of the broker
    #[arg(long, default_value_t = DEFAULT_BROKER_PORT, value_name = "PORT")]
    broker_port: u16,
}

impl DemoArguments {
    pub(super) async fn run(self) -> Result<(), Failure> {
        start_log(LogFormat::Text, "warn");
        // Removed when the demo ends, however it ends.
        let folder = match &self.data_dir {
            Some(dir) => Folder::Kept(dir.clone()),
            None => Folder::temporary()?,
        };
        let mut settings = NodeSettings::new(folder.path());
        (settings.controller_port, settings.broker_port) = (self.controller_port, self.broker_port);
        let server = start(settings).await?;
        let done = self.show(&server.node, &server).await;
        server.stop().await;
        done
    }

    async fn show(&self, node: &Arc<Node>, server: &crate::serve::Server) -> Result<(), Failure> {
        make_table(node).await?;
        announce(server).await?;
        let broker = node.addresses().broker_url();
        data("")?;
        data(&format!(
            "try     curl -s {broker}/query/sql -d '{{\"sql\":\"SELECT country, COUNT(*), SUM(amount) FROM {TABLE} GROUP BY country ORDER BY COUNT(*) DESC\"}}'"
        ))?;
        data(&format!(
            "or      {} sql --broker {broker} --controller {}",
            own_path(),
            node.addresses().controller_url()
        ))?;
        data(&format!("paths   {}/help", node.addresses().controller_url()))?;
        data("")?;
        let stop = told_to_stop()?;
        let until = self.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        tokio::select! {
            ended = produce(node, self.rate) => ended,
            ended = watch(node) => ended,
            () = stop => Ok(()),
            () = wait_until(until) => Ok(()),
        }?;
        let rows = look(node).await?.0;
        say(&format!("{}{rows} rows were queryable at the end", line_end()));
        Ok(())
    }
}

/// This binary as a shell takes it: its path, so that the line can be pasted where `weir` is not on the PATH.
fn own_path() -> String {
    let path = std::env::current_exe().map_or_else(|_| "weir".to_owned(), |path| path.display().to_string());
    shell_word(&path)
}

async fn wait_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

async fn make_table(node: &Node) -> Result<(), Failure> {
    let configs =
        TableConfigs::parse(&events::table_configs()).map_err(|errors| Failure::Failed(errors.to_string()))?;
    match node.table(&configs.name).await {
        // A folder that was kept has it already.
        Ok(_) => Ok(()),
        Err(error) if error.kind == ErrorKind::NotFound => node
            .create_table_configs(&configs, "weir demo")
            .await
            .map(drop)
            .map_err(|error| Failure::Failed(error.to_string())),
        Err(error) => Err(Failure::Failed(error.to_string())),
    }
}

/// Appends events at a steady rate until it is dropped.
async fn produce(node: &Node, rate: u64) -> Result<(), Failure> {
    let topic = TopicName::parse(TABLE).map_err(|error| Failure::Failed(error.to_string()))?;
    let mut orders = Orders::new(Chance::from_entropy());
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (begun, mut sent) = (Instant::now(), 0_u64);
    loop {
        ticks.tick().await;
        let due = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
        let count = due.saturating_sub(sent).min(MOST_AT_ONCE);
        if count == 0 {
            continue;
        }
        let now_ms = node.now_ms();
        let records = (0..count)
            .map(|_| {
                let event = orders.next(now_ms);
                ProduceRecord {
                    partition: None,
                    key: Some(event.key.into()),
                    value: Some(event.value.into()),
                    headers: vec![],
                    timestamp_ms: Some(now_ms),
                }
            })
            .collect();
        let produced = node.produce(&topic, records, None).await;
        produced.map_err(|error| Failure::Failed(format!("the stream cannot be written: {error}")))?;
        sent += count;
    }
}

/// Rows that a query sees now, and by how many milliseconds they are behind the clock.
async fn look(node: &Node) -> Result<(i64, Option<i64>), Failure> {
    let asked = Asked { sql: format!("SELECT COUNT(*) FROM {TABLE}"), ..Asked::default() };
    let response = node.query(asked).await.response;
    // An answer that only lacks something is shown: a kept folder is being read again at the start.
    if let Some(exception) = response.exceptions.first().filter(|_| response.rows.is_empty()) {
        return Err(Failure::Failed(format!("the query failed: {} {}", exception.code, exception.message)));
    }
    let batch = response.rows.iter().find(|batch| batch.num_rows() > 0);
    let rows =
        batch.and_then(|batch| batch.column(0).as_primitive_opt::<Int64Type>()).map_or(0, |counts| counts.value(0));
    let fresh = response.stats.min_consuming_freshness_time_ms;
    Ok((rows, (fresh > 0).then(|| (node.now_ms() - fresh).max(0))))
}

/// Renews the line until it is dropped.
async fn watch(node: &Node) -> Result<(), Failure> {
    let (mut before, mut at) = (look(node).await?.0, Instant::now());
    loop {
        tokio::time::sleep(LOOK).await;
        let (rows, behind) = look(node).await?;
        let rate = (rows - before) as f64 / at.elapsed().as_secs_f64();
        (before, at) = (rows, Instant::now());
        let behind = behind.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms ago"));
        let line = format!("{rows:>10} rows   {rate:>8.0} rows/s   fresh up to {behind}");
        if io::stderr().is_terminal() {
            // The line is written over itself; what cannot be written is not missed.
            write!(io::stderr(), "\r{line}\u{1b}[K").ok();
        } else {
            say(&line);
        }
    }
}

/// Ends the line that is written over itself.
fn line_end() -> &'static str {
    if io::stderr().is_terminal() { "\n" } else { "" }
}

/// Where the demo keeps its data.
enum Folder {
    /// As long as the user wants.
    Kept(PathBuf),
    /// Until the end.
    Temporary(PathBuf),
}

impl Folder {
    fn temporary() -> Result<Self, Failure> {
        let name = format!("weir-demo-{}-{:08x}", std::process::id(), Chance::from_entropy().below(1 << 32));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)
            .map_err(|error| Failure::Failed(format!("could not make {}: {error}", path.display())))?;
        Ok(Self::Temporary(path))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) | Self::Temporary(path) => path,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let Self::Temporary(path) = self else { return };
        if let Err(error) = std::fs::remove_dir_all(&*path) {
            tracing::warn!(%error, path = %path.display(), "the demo's folder stays");
        }
        remove_orphaned_marks();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_folder_goes_with_its_owner() {
        let folder = Folder::temporary().unwrap();
        let path = folder.path().to_owned();
        std::fs::write(path.join("x"), "").unwrap();
        drop(folder);
        assert!(!path.exists());
        let kept = tempfile::tempdir().unwrap();
        drop(Folder::Kept(kept.path().to_owned()));
        assert!(kept.path().exists());
    }
}
