//! One node: ingestion, catalog, queries and the local log behind the operations that REST and the command line need.
//!
//! This is the only place of the crate that calls ingest, control's store, streams and the query engine.

mod checks;
mod control;
mod data_dir;
mod infer;
mod listed;
mod marks_dir;
mod observe;
mod offline;
mod open;
mod queries;
mod refusal;
mod secrets;
mod settings;
mod statement;
mod tables;
mod tail;
mod topics;
mod warnings;

pub use checks::{Check, Grade};
pub use data_dir::{DataDir, DataDirError};
pub use infer::InferAsked;
pub use listed::ListedSegment;
pub use marks_dir::remove_orphaned_marks;
pub use offline::Unmakeable;
pub use open::OpenError;
pub use queries::{Answered, Asked};
pub use refusal::Refusal;
pub use settings::{Addresses, DEFAULT_BROKER_PORT, DEFAULT_CONTROLLER_PORT, NodeSettings, disk_floor};
pub use tables::{REALTIME, TableConfigs, capabilities};
pub use tail::{TailAsked, Tailed, tail_from};
pub use topics::{TopicInfo, produce_bounds};
pub use warnings::{unmatched, warnings};

use crate::pinot_json::consuming::ForceCommitJob;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use tokio::sync::Semaphore;
use weir_base::{SharedClock, metrics::Metrics};
use weir_control::Store;
use weir_ingest::IngestNode;
use weir_query::QueryEngine;
use weir_streams::{LocalLogs, Streams};
use weir_table::Tables;

/// A running node.
pub struct Node {
    settings: NodeSettings,
    addresses: Addresses,
    clock: SharedClock,
    metrics: Metrics,
    store: Arc<Store>,
    tables: Arc<Tables>,
    local: Arc<LocalLogs>,
    ingest: Arc<IngestNode>,
    engine: QueryEngine,
    requests: AtomicU64,
    force_commits: Mutex<VecDeque<ForceCommitJob>>,
    /// Places for those who watch messages as they come.
    tails: Arc<Semaphore>,
    deep_store_uri: String,
    started_ms: i64,
    /// Held while the node lives: no other process uses the data folder.
    _data_dir: DataDir,
}

impl Node {
    /// Where it answers.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// What it was started with.
    #[must_use]
    pub fn settings(&self) -> &NodeSettings {
        &self.settings
    }

    /// Where committed segments go.
    #[must_use]
    pub fn deep_store_uri(&self) -> &str {
        &self.deep_store_uri
    }

    /// When it was started, wall time in milliseconds.
    #[must_use]
    pub fn started_ms(&self) -> i64 {
        self.started_ms
    }

    /// The streams that live in this process.
    #[must_use]
    pub fn streams(&self) -> &Streams {
        &self.ingest.deps().streams
    }

    /// Wall time in milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.clock.wall_ms()
    }

    /// Before `stop`: writes the rows of open segments that are not on the local disk, within `time`.
    pub async fn keep(&self, time: Duration) {
        self.ingest.keep(time).await;
    }

    /// Ends consumption. What of open segments is not on the local disk is read again at the next start.
    pub fn stop(&self) {
        self.ingest.stop();
    }

    /// Waits, after `stop`, until nothing is committed any more.
    pub async fn ended(&self) {
        self.ingest.ended().await;
    }
}
