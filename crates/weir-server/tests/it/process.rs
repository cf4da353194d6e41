//! Processes that a bad day ends and starts again: the binary, and a real broker of a test's own.

use crate::support::{Api, SECONDS, within};
use serde_json::Value as Json;
use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;
use weir_server::client::Client;
use weir_streams::kafka::testing::TestBroker;

/// A node in a process of its own; killed when it goes out of sight.
pub(crate) struct Process {
    child: Child,
    api: Api,
    /// Where its controller and its broker are asked.
    addresses: [String; 2],
}

impl Deref for Process {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Process {
    /// Starts the binary on a folder, on free ports, and waits until it is ready.
    pub(crate) fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut command = Self::command(data);
        command.args(arguments).stderr(Stdio::null());
        Self::spawn(command)
    }

    /// The command that starts the binary, without settings from outside.
    pub(crate) fn command(data: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        for name in ["WEIR_CONTROLLER", "WEIR_BROKER", "WEIR_DATA_DIR", "WEIR_DEEP_STORE", "WEIR_LOG"] {
            command.env_remove(name);
        }
        command.args(["start", "--controller-port", "0", "--broker-port", "0", "--data-dir"]).arg(data);
        command
    }

    /// Starts a command that serves, and waits until it is ready.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let lines: Vec<String> = lines.take_while(|line| line != "ready").collect();
        let addresses = ["controller", "broker"].map(|name| {
            let line = lines.iter().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{lines:?}"));
            line.split_whitespace().nth(1).unwrap().to_owned()
        });
        let [controller, broker] = addresses.each_ref().map(|address| Client::new(address));
        Self { child, api: Api { controller, broker }, addresses }
    }

    /// What the command line says of it, a JSON value on each line.
    pub(crate) fn says(&self, arguments: &[&str]) -> Vec<Json> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        let [controller, broker] = &self.addresses;
        command.args(arguments).env("WEIR_CONTROLLER", controller).env("WEIR_BROKER", broker);
        let said = tokio::task::block_in_place(|| command.stdin(Stdio::null()).output().unwrap());
        assert!(said.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8_lossy(&said.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Ends it at once (signal 9): nothing is said goodbye to.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end (signal 15), as whoever upgrades it does, and waits until it has.
    pub(crate) async fn stop(mut self) {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
        let child = parking_lot::Mutex::new(&mut self.child);
        let ended = within(SECONDS, "the end of the process", async || match child.lock().try_wait().unwrap() {
            Some(status) => Ok(status),
            None => Err("it runs".to_owned()),
        })
        .await;
        assert!(ended.success(), "{ended}");
    }

    /// The sum of a metric of table `t`.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let metrics = self.get("/metrics").await.text();
        let start = format!("{name}{{table=\"t\"");
        let lines = metrics.lines().filter(|line| line.starts_with(&start));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// The memory that it has in use, in bytes, without files that the system may give up at any time.
    pub(crate) fn own_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }
}

/// Rows of a partition's open segment that are on the local disk, by the file that holds them (`docs/formats/checkpoint.md`).
pub(crate) fn rows_on_disk(data: &Path, partition: u32) -> u32 {
    let start = format!("t__{partition}__");
    let below = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    let files = below(data.join("tables")).flat_map(|table| below(table.join("open")));
    let ours = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&start));
    let Some(bytes) = files.filter(ours).max().and_then(|path| std::fs::read(path).ok()) else { return 0 };
    let number = |at: usize| bytes.get(at..at + 4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()));
    // Magic and head frame, then one frame for each block, each up to a whole 4096 bytes; a frame's length and checksum come
    // first, a block's first and last row next. One that is being written is not whole yet.
    let (mut at, mut header, mut rows) = (0, 8, 0);
    while let Some(length) = number(at + header).filter(|length| *length > 0) {
        let end = (at + header + 8 + length as usize).next_multiple_of(4096);
        if end > bytes.len() {
            break;
        }
        if header == 0 {
            rows = number(at + 12).unwrap();
        }
        (at, header) = (end, 0);
    }
    rows
}

/// A real broker that a test may stop; gone with its data when it goes out of sight.
pub(crate) struct OwnBroker {
    port: u16,
    data: TempDir,
    secure: Option<&'static str>,
}

/// So many ports, one after the other, that nobody uses now.
fn free_ports(count: u16) -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let others = || (1..count).all(|more| TcpListener::bind(("127.0.0.1", port + more)).is_ok());
        if port < u16::MAX - count && others() {
            return port;
        }
    }
}

impl OwnBroker {
    /// A broker without topics, where the tests run on real ones at all.
    pub(crate) fn start() -> Option<Self> {
        Self::start_as(None)
    }

    /// The same, which also takes these users' names and passwords (`name:password ...`), two ports higher.
    pub(crate) fn start_secure(users: &'static str) -> Option<Self> {
        Self::start_as(Some(users))
    }

    fn start_as(secure: Option<&'static str>) -> Option<Self> {
        TestBroker::find()?;
        let broker = Self { port: free_ports(5), data: tempfile::tempdir().unwrap(), secure };
        broker.again();
        Some(broker)
    }

    /// Its address, for topics and messages.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where users are asked for their password.
    pub(crate) fn guarded_address(&self) -> String {
        format!("127.0.0.1:{}", self.port + 2)
    }

    /// Starts it again on its data.
    pub(crate) fn again(&self) {
        self.say(&["start"]);
    }

    /// Stops it; its data stay.
    pub(crate) fn stop(&self) {
        self.say(&["stop"]);
    }

    /// Runs one of Kafka's tools, with this broker's address.
    pub(crate) fn run(&self, class: &str, arguments: &[&str]) {
        let address = self.address();
        self.say(&[&["run", class, "--bootstrap-server", &address], arguments].concat());
    }

    /// Where it keeps its logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.data.path().join("node/logs")
    }

    fn say(&self, words: &[&str]) {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scripts/kafka.sh");
        let mut command = Command::new(script);
        command.args(words).env("KAFKA_PORT", self.port.to_string()).env("KAFKA_DATA", self.data.path().join("node"));
        command.env("KAFKA_HEAP", "256m").env_remove("KAFKA_SECURE");
        if let Some(users) = self.secure {
            command.env("KAFKA_SECURE", "1").env("KAFKA_USERS", users);
        }
        let said = tokio::task::block_in_place(|| command.stdin(Stdio::null()).output().unwrap());
        assert!(said.status.success(), "{words:?}: {}", String::from_utf8_lossy(&said.stderr));
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
            return;
        }
        // A test that fails tells its own reason.
        drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.stop())));
    }
}
