//! A Kafka node of the soak's own, which may be stopped and killed; its data are deleted at the end.

use std::{
    net::TcpStream,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

type Failure = Box<dyn std::error::Error>;

/// Memory of the node: some topics of small messages need no more.
const HEAP: &str = "384m";
/// Seconds that a start or a stop may take on a busy machine.
const PATIENCE: &str = "180";

/// A killed process lets go of its ports within this: the system has its memory to take back.
const GONE: Duration = Duration::from_secs(30);

/// The script that starts and stops it, and the port it is told.
#[derive(Debug, Clone)]
pub(super) struct Script {
    script: PathBuf,
    port: u16,
}

impl Script {
    pub(super) fn new(script: PathBuf, port: u16) -> Self {
        Self { script, port }
    }

    /// Where clients find it.
    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Says `verb` to the script and gives what it printed.
    fn say(&self, verb: &str) -> Result<String, Failure> {
        let said = Command::new(&self.script)
            .arg(verb)
            .env("KAFKA_PORT", self.port.to_string())
            .env("KAFKA_HEAP", HEAP)
            .env("KAFKA_WAIT", PATIENCE)
            .env_remove("KAFKA_SECURE")
            .env_remove("KAFKA_DATA")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("could not run {}: {error}", self.script.display()))?;
        if !said.status.success() {
            let error = String::from_utf8_lossy(&said.stderr);
            return Err(format!("{} {verb} ended with {}: {}", self.script.display(), said.status, error.trim()).into());
        }
        Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
    }

    pub(super) fn start(&self) -> Result<(), Failure> {
        self.say("start").map(drop)
    }

    /// Ends it as an operator does.
    pub(super) fn stop(&self) -> Result<(), Failure> {
        self.say("stop").map(drop)
    }

    /// Ends it at once (signal 9).
    pub(super) fn kill(&self) -> Result<(), Failure> {
        let status = self.say("status")?;
        let pid = status.strip_prefix("kafka runs: pid ").and_then(|rest| rest.split(',').next()?.parse::<i32>().ok());
        let pid = pid.ok_or_else(|| format!("the broker's process is not known: {status}"))?;
        // SAFETY: kill takes numbers only; the script has just told that the process is the one it started.
        if unsafe { libc::kill(pid, libc::SIGKILL) } != 0 {
            return Err(format!("could not kill the broker: {}", std::io::Error::last_os_error()).into());
        }
        // The process is gone to its parent before its last thread has closed the ports.
        let until = Instant::now() + GONE;
        while [self.port, self.port + 1].iter().any(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()) {
            if Instant::now() > until {
                return Err(format!("the broker, process {pid}, answers {GONE:?} after it was killed").into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.stop()
    }

    pub(super) fn wipe(&self) -> Result<(), Failure> {
        self.say("wipe").map(drop)
    }
}

/// A broker that is there as long as this value.
pub(super) struct Broker(pub(super) Script);

impl Broker {
    /// A broker without topics.
    pub(super) fn start(script: Script) -> Result<Self, Failure> {
        script.wipe()?;
        let broker = Self(script);
        broker.0.start()?;
        Ok(broker)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Err(error) = self.0.wipe() {
            eprintln!("the broker's data are left: {error}");
        }
    }
}
