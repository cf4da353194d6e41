//! A weir process under measurement: started, asked, killed, its core-seconds read.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

type Failure = Box<dyn std::error::Error>;

/// A running node; it is asked as its client is.
pub(crate) struct Node {
    child: Child,
    client: Client,
    /// From the start of the process to its line `ready`.
    pub(crate) ready_after: Duration,
}

/// Asks a node, also one that is started again meanwhile: its ports stay.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    controller: String,
    broker: String,
    agent: ureq::Agent,
}

/// How to start one.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// The binary.
    pub(crate) binary: PathBuf,
    /// Its data folder.
    pub(crate) data_dir: PathBuf,
    /// Controller port; the broker's is the next one.
    pub(crate) port: u16,
    /// Cores to run on, as `taskset` takes them.
    pub(crate) cores: Option<String>,
    /// More for its command line.
    pub(crate) arguments: Vec<String>,
    /// A node that does not say `ready` within this is given up.
    pub(crate) patience: Duration,
}

impl Launch {
    /// Starts the node and waits for `ready`.
    pub(crate) fn start(&self) -> Result<Node, Failure> {
        let begun = Instant::now();
        let mut command = match &self.cores {
            Some(cores) => {
                let mut command = Command::new("taskset");
                command.args(["-c", cores]).arg(&self.binary);
                command
            }
            None => Command::new(&self.binary),
        };
        let port = self.port;
        let child = command
            .args(["start", "--controller-port", &port.to_string(), "--broker-port", &(port + 1).to_string()])
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(&self.arguments)
            .stdout(Stdio::piped())
            .stderr(log(&self.data_dir)?)
            .spawn();
        let mut child = child.map_err(|error| format!("could not start {}: {error}", self.binary.display()))?;
        let output = child.stdout.take().expect("its output is piped");
        let mut node = Node { child, client: self.client(), ready_after: Duration::ZERO };
        let how = match ready(output, self.patience) {
            Some(true) => {
                node.ready_after = begun.elapsed();
                return Ok(node);
            }
            Some(false) => format!("ended with {} before it was ready", node.child.wait()?),
            None => format!("was not ready within {:?}", self.patience),
        };
        let log = self.data_dir.with_extension("log");
        Err(format!("the node {how}; its log is {}", log.display()).into())
    }

    /// Asks the node that this starts.
    pub(crate) fn client(&self) -> Client {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(60)))
            .http_status_as_error(false)
            .build()
            .into();
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        Client { controller: url(self.port), broker: url(self.port + 1), agent }
    }
}

/// Whether the line `ready` comes before the output ends; `None` where neither happens in time.
fn ready(output: std::process::ChildStdout, patience: Duration) -> Option<bool> {
    let (say, said) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let found = BufReader::new(output).lines().map_while(Result::ok).any(|line| line.trim() == "ready");
        // Nobody waits any more where it took too long.
        say.send(found).ok();
    });
    said.recv_timeout(patience).ok()
}

fn log(data_dir: &Path) -> Result<std::fs::File, Failure> {
    if let Some(parent) = data_dir.parent() {
        std::fs::create_dir_all(parent)?;
    }
    Ok(std::fs::OpenOptions::new().create(true).append(true).open(data_dir.with_extension("log"))?)
}

/// An answer to a query.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The rows.
    pub(crate) rows: Vec<Vec<Value>>,
    /// Exceptions, by code and text.
    pub(crate) exceptions: Vec<(i64, String)>,
}

impl Answer {
    /// Cell of the first row as a number; -1 where there is none.
    #[must_use]
    pub(crate) fn number(&self, column: usize) -> f64 {
        self.rows.first().and_then(|row| row.get(column)).and_then(Value::as_f64).unwrap_or(-1.0)
    }
}

impl std::ops::Deref for Node {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Client {
    /// Asks the broker.
    pub(crate) fn query(&self, sql: &str) -> Result<Answer, Failure> {
        let url = format!("{}/query/sql", self.broker);
        let body: Value = self.agent.post(&url).send_json(serde_json::json!({"sql": sql}))?.body_mut().read_json()?;
        let rows = body["resultTable"]["rows"].as_array().cloned().unwrap_or_default();
        let exceptions = body["exceptions"].as_array().cloned().unwrap_or_default();
        Ok(Answer {
            rows: rows.into_iter().filter_map(|row| row.as_array().cloned()).collect(),
            exceptions: exceptions
                .iter()
                .map(|e| (e["errorCode"].as_i64().unwrap_or(0), e["message"].as_str().unwrap_or("").to_owned()))
                .collect(),
        })
    }

    /// Creates schema and table.
    pub(crate) fn create(&self, configs: &Value) -> Result<(), Failure> {
        let answer = self.agent.post(format!("{}/tableConfigs", self.controller)).send_json(configs)?;
        accepted("table", answer)
    }

    /// Changes schema and table.
    pub(crate) fn change(&self, table: &str, configs: &Value) -> Result<(), Failure> {
        let answer = self.agent.put(format!("{}/tableConfigs/{table}", self.controller)).send_json(configs)?;
        accepted("change", answer)
    }

    /// Reads a path of the controller as JSON.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        Ok(self.agent.get(format!("{}{path}", self.controller)).call()?.body_mut().read_json()?)
    }

    /// Posts to a path of the controller.
    pub(crate) fn post(&self, path: &str) -> Result<(), Failure> {
        let answer = self.agent.post(format!("{}{path}", self.controller)).send_empty()?;
        accepted(path, answer)
    }
}

/// An answer that is no refusal.
fn accepted(what: &str, mut answer: ureq::http::Response<ureq::Body>) -> Result<(), Failure> {
    let status = answer.status().as_u16();
    if status >= 300 {
        return Err(format!("{what} was refused with {status}: {}", answer.body_mut().read_to_string()?).into());
    }
    Ok(())
}

impl Node {
    /// Core-seconds of the process so far, all threads.
    pub(crate) fn core_seconds(&self) -> Result<f64, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks: f64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        // SAFETY: sysconf reads a constant of the system.
        let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
        Ok(ticks / per_second)
    }

    /// Greatest resident memory so far, in bytes.
    pub(crate) fn peak_bytes(&self) -> Result<u64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("0");
        let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
        Ok(kib * 1024)
    }

    /// How the process ended, where it did.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        Ok(self.child.try_wait()?)
    }

    /// Kills the process at once (signal 9).
    pub(crate) fn kill(mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
