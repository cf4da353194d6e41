//! A catalog and a deep store that take their time: the node yields around each call, so that a crash can fall between what
//! was done and its answer. The catalog can lose answers too.

use crate::bugs::Bug;
use async_trait::async_trait;
use bytes::Bytes;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;
use weir_base::Chance;
use weir_control::{
    Catalog, CatalogError, RedbCatalog,
    catalog::{CatalogWatch, Check, Entry, Op, TxnOutcome},
};
use weir_files::{FileError, FileSystem, ObjectInfo, Put, SharedFileSystem};

/// Yields at most so often around a call: the crash at a life's end has a few steps to fall into each.
const YIELDS: u64 = 6;

async fn dawdle(chance: &Mutex<Chance>) {
    let times = chance.lock().unwrap().below(YIELDS);
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

/// A catalog that is asked so often while no time passes is asked by something that waits for nothing.
const CALLS_AT_ONCE: u32 = 10_000;

/// The catalog's faults: they outlive the node.
pub(crate) struct CatalogFaults {
    chance: Mutex<Chance>,
    lost_answers: Mutex<f64>,
    /// How long a transaction waits for its disk.
    wait: Mutex<Duration>,
    /// When it was asked last, and how often at that time.
    asked: Mutex<Option<(Instant, u32)>>,
    is_spun: AtomicBool,
}

impl CatalogFaults {
    pub(crate) fn new(chance: Chance) -> Arc<Self> {
        let (wait, asked, is_spun) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        Arc::new(Self { chance: Mutex::new(chance), lost_answers: Mutex::new(0.0), wait, asked, is_spun })
    }

    /// Something asks it again and again without waiting: under a simulated clock time would stand still for ever.
    pub(crate) fn is_spun(&self) -> bool {
        self.is_spun.load(Ordering::Relaxed)
    }

    async fn take_turn(&self) {
        let now = Instant::now();
        let times = {
            let mut asked = self.asked.lock().unwrap();
            let times = asked.filter(|(at, _)| *at == now).map_or(0, |(_, times)| times) + 1;
            *asked = Some((now, times));
            times
        };
        if times > CALLS_AT_ONCE {
            self.is_spun.store(true, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// A transaction waits so long for its disk.
    pub(crate) fn set_wait(&self, wait: Duration) {
        *self.wait.lock().unwrap() = wait;
    }

    async fn wait_for_disk(&self) {
        let wait = *self.wait.lock().unwrap();
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// How many of the transactions that happened are told as failed, in [0, 1].
    pub(crate) fn set_lost_answers(&self, rate: f64) {
        *self.lost_answers.lock().unwrap() = rate;
    }
}

/// A step of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    BeforeUpload,
    AfterUpload,
    BeforeCommit,
    AfterCommit,
}

/// Where a replay stays for ever, to be killed there.
#[derive(Default)]
pub(crate) struct Stop {
    at: Mutex<Option<Step>>,
    reached: AtomicBool,
}

impl Stop {
    pub(crate) fn set(&self, at: Option<Step>) {
        *self.at.lock().unwrap() = at;
        self.reached.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    async fn pass(&self, step: Step, of_replay: bool) {
        if of_replay && *self.at.lock().unwrap() == Some(step) {
            self.reached.store(true, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
    }
}

pub(crate) struct SlowCatalog {
    inner: RedbCatalog,
    faults: Arc<CatalogFaults>,
    stop: Arc<Stop>,
    bug: Bug,
}

impl SlowCatalog {
    pub(crate) fn new(inner: RedbCatalog, faults: Arc<CatalogFaults>, stop: Arc<Stop>, bug: Bug) -> Self {
        Self { inner, faults, stop, bug }
    }
}

#[async_trait]
impl Catalog for SlowCatalog {
    async fn get(&self, key: &str) -> Result<Option<Entry>, CatalogError> {
        self.faults.take_turn().await;
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Entry)>, CatalogError> {
        self.faults.take_turn().await;
        self.inner.list(prefix).await
    }

    async fn txn(&self, checks: Vec<Check>, ops: Vec<Op>) -> Result<TxnOutcome, CatalogError> {
        self.faults.take_turn().await;
        dawdle(&self.faults.chance).await;
        self.faults.wait_for_disk().await;
        let of_replay = ops.iter().any(|op| matches!(op, Op::Put(key, _) if key.starts_with("replays/")));
        self.stop.pass(Step::BeforeCommit, of_replay).await;
        let ops = self.bug.written(&checks, ops);
        let outcome = self.inner.txn(checks, ops).await?;
        self.stop.pass(Step::AfterCommit, of_replay).await;
        dawdle(&self.faults.chance).await;
        let rate = *self.faults.lost_answers.lock().unwrap();
        if self.faults.chance.lock().unwrap().hit(rate) {
            let source = Arc::new(std::io::Error::other("the answer was lost"));
            return Err(CatalogError::Io { action: "commit to the catalog".into(), source });
        }
        Ok(outcome)
    }

    fn watch(&self, prefix: &str) -> CatalogWatch {
        self.inner.watch(prefix)
    }
}

pub(crate) struct SlowFiles {
    inner: SharedFileSystem,
    chance: Mutex<Chance>,
    stop: Arc<Stop>,
}

impl SlowFiles {
    pub(crate) fn new(inner: SharedFileSystem, chance: Chance, stop: Arc<Stop>) -> Self {
        Self { inner, chance: Mutex::new(chance), stop }
    }
}

#[async_trait]
impl FileSystem for SlowFiles {
    fn uri(&self, key: &str) -> String {
        self.inner.uri(key)
    }

    async fn put_if_absent(&self, key: &str, content: Bytes) -> Result<Put, FileError> {
        dawdle(&self.chance).await;
        let of_replay = key.contains("replay__");
        self.stop.pass(Step::BeforeUpload, of_replay).await;
        let put = self.inner.put_if_absent(key, content).await;
        self.stop.pass(Step::AfterUpload, of_replay).await;
        dawdle(&self.chance).await;
        put
    }

    async fn get(&self, key: &str) -> Result<Bytes, FileError> {
        dawdle(&self.chance).await;
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, FileError> {
        self.inner.list(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), FileError> {
        self.inner.delete(key).await
    }
}
