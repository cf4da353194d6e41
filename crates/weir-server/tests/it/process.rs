//! Processes that a bad day ends and starts again: the binary, and a real broker of a test's own.

use crate::support::Api;
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
        let client = |name: &str| {
            let line = lines.iter().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{lines:?}"));
            Client::new(line.split_whitespace().nth(1).unwrap())
        };
        let api = Api { controller: client("controller"), broker: client("broker") };
        Self { child, api }
    }

    /// Ends it at once (signal 9): nothing is said goodbye to.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The most memory that it had in use, in bytes.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }
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
        self.say("start");
    }

    /// Stops it; its data stay.
    pub(crate) fn stop(&self) {
        self.say("stop");
    }

    fn say(&self, verb: &str) {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scripts/kafka.sh");
        let mut command = Command::new(script);
        command.arg(verb).env("KAFKA_PORT", self.port.to_string()).env("KAFKA_DATA", self.data.path().join("node"));
        command.env("KAFKA_HEAP", "256m").env_remove("KAFKA_SECURE");
        if let Some(users) = self.secure {
            command.env("KAFKA_SECURE", "1").env("KAFKA_USERS", users);
        }
        let said = tokio::task::block_in_place(|| command.stdin(Stdio::null()).output().unwrap());
        assert!(said.status.success(), "{verb}: {}", String::from_utf8_lossy(&said.stderr));
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
