//! `weir start` and `weir up`: a node with all roles in this process.

use crate::{
    cli::{
        Failure, on_controller,
        output::{data, say},
        run::{LogFormat, start_log, told_to_stop},
    },
    client::Client,
    node::{DEFAULT_BROKER_PORT, DEFAULT_CONTROLLER_PORT, NodeSettings, disk_floor},
    serve::{Server, StartError},
};
use clap::Args;
use std::{net::IpAddr, path::PathBuf, time::Duration};
use weir_ingest::DiskFloor;

const START_EXAMPLES: &str = "\
Examples:
  weir start --data-dir ./data
  weir start --data-dir /var/lib/weir --listen 0.0.0.0 --advertise db1.example.org
  weir start --data-dir ./data --deep-store s3://bucket/weir --deep-store-setting region=eu-central-1
  weir start --data-dir ./data --deep-store s3://bucket/weir --deep-store-setting access_key_id=env:KEY_ID \\
    --deep-store-setting secret_access_key=file:/run/secrets/s3

When all ports answer it prints one line `ready` to stdout; the log goes to stderr (WEIR_LOG=debug says more).

A port keeps as many connections as a quarter of the files that the process may open, 4,096 at most; more wait until
one is free. It closes one that brings no whole head of a request for 30 s, whose body takes more than 30 s and a second
for each 64 KiB (408), or that takes nothing of its answer for 60 s.";

const UP_EXAMPLES: &str = "\
Examples:
  weir up
  weir up --controller-port 9001 --broker-port 8100

The data folder is $WEIR_DATA_DIR, else $XDG_DATA_HOME/weir, else ~/.local/share/weir.";

/// What a node is told on the command line.
#[derive(Debug, Clone, Args)]
pub(super) struct NodeArguments {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    listen: IpAddr,
    /// Port of the controller: schemas, tables, topics
    #[arg(long, default_value_t = DEFAULT_CONTROLLER_PORT, value_name = "PORT")]
    controller_port: u16,
    /// Port of the broker: queries
    #[arg(long, default_value_t = DEFAULT_BROKER_PORT, value_name = "PORT")]
    broker_port: u16,
    /// Host that clients are told, where it is not the address listened on
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,
    /// Where committed segments go: file:///folder or s3://bucket/prefix; a folder in the data folder where not given
    #[arg(long, env = "WEIR_DEEP_STORE", value_name = "URI")]
    deep_store: Option<String>,
    /// A setting of the deep store: endpoint, region, access_key_id, secret_access_key, allow_http; repeatable. A value
    /// may refer to a secret: env:NAME, file:/path
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    deep_store_setting: Vec<(String, String)>,
    /// Threads that answer queries; one per core where not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    query_threads: Option<u16>,
    /// Memory that all queries share, in MiB; a quarter of the machine's where not given
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(16..))]
    query_memory_mib: Option<u64>,
    /// Memory that rows which are no segment files yet and messages that wait for them may hold, in MiB; a quarter of the
    /// machine's where not given
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(64..))]
    ingest_memory_mib: Option<u64>,
    /// How much of the disk stays free: below it local copies of segments that the deep store has go, the least recently
    /// used first. A share (10%) or a size (20GiB, 512MiB); 0 keeps every copy; 5%, at most 16GiB, where not given
    #[arg(long, value_name = "SIZE", value_parser = disk_floor)]
    disk_floor: Option<DiskFloor>,
    /// Time-out of a query that names none, in milliseconds
    #[arg(long, default_value_t = 10_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    query_timeout_ms: u64,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be of the form key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl NodeArguments {
    pub(super) fn settings(&self, data_dir: PathBuf) -> NodeSettings {
        let mut settings = NodeSettings::new(data_dir);
        settings.listen = self.listen;
        settings.controller_port = self.controller_port;
        settings.broker_port = self.broker_port;
        settings.advertise = self.advertise.clone();
        settings.deep_store = self.deep_store.clone();
        settings.deep_store_settings = self.deep_store_setting.iter().cloned().collect();
        if let Some(threads) = self.query_threads {
            settings.query_threads = threads.into();
        }
        if let Some(mib) = self.query_memory_mib {
            settings.query_memory_bytes = mib << 20;
        }
        if let Some(mib) = self.ingest_memory_mib {
            settings.ingest_memory_bytes = mib << 20;
        }
        if let Some(floor) = self.disk_floor {
            settings.disk_floor = floor;
        }
        settings.query_timeout = Duration::from_millis(self.query_timeout_ms);
        settings
    }
}

#[derive(Debug, Args)]
#[command(after_help = START_EXAMPLES)]
pub(super) struct StartArguments {
    /// Folder for everything durable; made where it is absent
    #[arg(long, env = "WEIR_DATA_DIR", value_name = "FOLDER")]
    data_dir: PathBuf,
    #[command(flatten)]
    node: NodeArguments,
    /// How the log is written
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
}

impl StartArguments {
    pub(super) async fn run(self) -> Result<(), Failure> {
        start_log(self.log_format, "info");
        serve(self.node.settings(self.data_dir)).await
    }
}

#[derive(Debug, Args)]
#[command(after_help = UP_EXAMPLES)]
pub(super) struct UpArguments {
    #[command(flatten)]
    node: NodeArguments,
    /// How the log is written
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
}

impl UpArguments {
    pub(super) async fn run(self) -> Result<(), Failure> {
        start_log(self.log_format, "info");
        let dir = default_data_dir(|name| std::env::var_os(name).map(PathBuf::from));
        let dir = dir.ok_or_else(|| {
            Failure::Usage("there is no home folder to keep data in: set WEIR_DATA_DIR or use `weir start`".to_owned())
        })?;
        serve(self.node.settings(dir)).await
    }
}

fn default_data_dir(env: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    env("WEIR_DATA_DIR")
        .or_else(|| env("XDG_DATA_HOME").map(|dir| dir.join("weir")))
        .or_else(|| env("HOME").map(|dir| dir.join(".local/share/weir")))
}

/// Starts a server; what keeps it from starting is told in full.
pub(super) async fn start(settings: NodeSettings) -> Result<Server, Failure> {
    Server::start(settings).await.map_err(|error: StartError| Failure::Failed(error.to_string()))
}

/// Prints where a server answers, and `ready` once both ports do.
pub(super) async fn announce(server: &Server) -> Result<(), Failure> {
    let addresses = server.node.addresses();
    data(&format!("controller  {}", addresses.controller_url()))?;
    data(&format!("broker      {}", addresses.broker_url()))?;
    data(&format!("data        {}", server.node.settings().absolute_data_dir().display()))?;
    data(&format!("deep store  {}", server.node.deep_store_uri()))?;
    for url in [addresses.controller_url(), addresses.broker_url()] {
        let answer = Client::new(&url).get("/health").await?;
        if !answer.is_success() {
            return Err(Failure::Failed(format!("{url} does not answer: {}", answer.error())));
        }
    }
    data("ready")
}

async fn serve(settings: NodeSettings) -> Result<(), Failure> {
    let stop = told_to_stop()?;
    tokio::pin!(stop);
    let server = tokio::select! {
        started = start(settings) => started?,
        // What a start leaves half done the next one finds.
        () = &mut stop => {
            say("told to stop before it was ready");
            return Ok(());
        }
    };
    announce(&server).await?;
    match server.node.tables().await {
        Ok(tables) if tables.is_empty() => {
            let apply = on_controller("weir apply FILE", &server.node.addresses().controller_url());
            say(&format!(
                "no table yet: `{apply}` makes one, `weir infer kafka://HOST:PORT/TOPIC > FILE` writes one for a topic, \
                 `weir demo` shows one"
            ));
        }
        Ok(_) => {}
        Err(error) => say(&format!("tables cannot be listed: {error}")),
    }
    stop.await;
    server.stop().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_folder_follows_the_environment() {
        let env = |set: &'static [(&str, &str)]| {
            default_data_dir(move |name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
            })
        };
        assert_eq!(env(&[("HOME", "/h")]), Some("/h/.local/share/weir".into()));
        assert_eq!(env(&[("HOME", "/h"), ("XDG_DATA_HOME", "/x")]), Some("/x/weir".into()));
        assert_eq!(env(&[("WEIR_DATA_DIR", "/d"), ("HOME", "/h")]), Some("/d".into()));
        assert_eq!(env(&[]), None);
    }
}
