//! The one task of a node that writes checkpoints, behind a bounded queue: a slow disk makes checkpoints late, and never a
//! pipeline.

use super::{
    Checkpoints,
    file::{Boundary, Identity, Restored, put_frame},
    off,
};
use parking_lot::Mutex;
use std::{io, path::PathBuf, sync::Arc};
use tokio::sync::{mpsc, oneshot};
use weir_base::{
    AppendFile, BlockBuffer,
    metrics::{Counter, Labels},
    tasks::{HeavyWork, spawn_named},
};
use weir_segment::ConsumingSnapshot;

/// Hand-overs that wait. Each holds a snapshot, whose blocks are mostly the open segment's own; a few for each partition
/// of a node that freezes blocks faster than its disk takes them.
pub(super) const WAITING_MAX: usize = 32;

/// Frozen blocks of a snapshot that are to be written: those that end at the boundaries.
pub(super) struct Written {
    pub(super) snapshot: Arc<ConsumingSnapshot>,
    pub(super) boundaries: Vec<Boundary>,
}

enum Job {
    Write(Arc<Checkpoints>, Arc<CheckpointFile>, Written),
    Remove(Arc<Checkpoints>, Arc<str>, Option<Arc<CheckpointFile>>),
    Tell(oneshot::Sender<()>),
}

/// The way to the writer of a node.
#[derive(Clone)]
pub(crate) struct CheckpointQueue(mpsc::Sender<Job>);

impl CheckpointQueue {
    /// Starts the writer; it ends when the last queue is dropped.
    #[must_use]
    pub(crate) fn start(heavy: HeavyWork) -> Self {
        let (queue, jobs) = mpsc::channel(WAITING_MAX);
        spawn_named("write checkpoints", write_all(heavy, jobs));
        Self(queue)
    }

    /// Takes blocks to be written, or gives them back where the queue is full. Where the node is ending they are dropped.
    pub(super) fn write(
        &self,
        table: Arc<Checkpoints>,
        file: Arc<CheckpointFile>,
        written: Written,
    ) -> Result<(), Written> {
        match self.0.try_send(Job::Write(table, file, written)) {
            Err(mpsc::error::TrySendError::Full(Job::Write(_, _, written))) => Err(written),
            _ => Ok(()),
        }
    }

    /// Waits until all that was handed over before is written.
    pub(crate) async fn written(&self) {
        let (tell, told) = oneshot::channel();
        if self.0.send(Job::Tell(tell)).await.is_ok() {
            drop(told.await);
        }
    }

    /// Removes a segment's file, after what was handed over before.
    pub(super) async fn remove(&self, table: Arc<Checkpoints>, segment: Arc<str>, file: Option<Arc<CheckpointFile>>) {
        // Where the node is ending, the file is swept when the table is opened again.
        drop(self.0.send(Job::Remove(table, segment, file)).await);
    }
}

async fn write_all(heavy: HeavyWork, mut jobs: mpsc::Receiver<Job>) {
    // One for all: memory that was written to before is written to faster.
    let mut buffer = BlockBuffer::default();
    while let Some(job) = jobs.recv().await {
        match job {
            Job::Write(table, file, written) => {
                let (ours, mut lent) = (file.clone(), std::mem::take(&mut buffer));
                let write = move || {
                    ours.write(&table, &written, &mut lent);
                    lent
                };
                match off(heavy, write).await {
                    Some(back) => buffer = back,
                    None => file.close(),
                }
            }
            Job::Tell(told) => drop(told.send(())),
            Job::Remove(table, segment, file) => {
                let removed = move || {
                    if let Some(file) = file {
                        file.close();
                    }
                    table.remove_file(&segment);
                };
                // A panic is said there; the file is swept when the table is opened again.
                off(heavy, removed).await;
            }
        }
    }
}

/// A file that blocks of one open segment are appended to.
pub(super) struct CheckpointFile {
    path: PathBuf,
    labels: Labels,
    inner: Mutex<Inner>,
}

struct Inner {
    identity: Identity,
    /// Rows that are in the file.
    rows: u32,
    state: State,
}

enum State {
    /// To be made, over whatever is there.
    Fresh,
    /// There, with this many usable bytes.
    Kept(u64),
    Open(Box<dyn AppendFile>),
    /// Nothing is written any more.
    Over,
}

impl CheckpointFile {
    /// A file at `path`: gone on with where rows of it were `kept`, else made when the first block comes.
    pub(super) fn new(path: PathBuf, labels: Labels, identity: Identity, kept: Option<&Restored>) -> Arc<Self> {
        let state = kept.map_or(State::Fresh, |kept| State::Kept(kept.byte_count));
        let rows = kept.map_or(0, |kept| kept.segment.rows());
        Arc::new(Self { path, labels, inner: Mutex::new(Inner { identity, rows, state }) })
    }

    /// Nothing is written any more when this returns. The file stays.
    pub(super) fn close(&self) {
        self.inner.lock().state = State::Over;
    }

    /// Rows that are still to come start elsewhere.
    pub(super) fn move_start(&self, start: weir_types::NextOffset) {
        let mut inner = self.inner.lock();
        if inner.rows == 0 {
            inner.identity = inner.identity.starting_at(start);
        }
    }

    /// Appends blocks. Where the disk does not take them, the segment's checkpoint ends and its file goes: a hole in the
    /// rows would make all behind it useless.
    fn write(&self, table: &Checkpoints, written: &Written, buffer: &mut BlockBuffer) {
        let mut inner = self.inner.lock();
        if matches!(inner.state, State::Over) {
            return;
        }
        // Offsets below the rows will not be read again: what was rejected among them must be safe first.
        let appended = table.quarantine.sync().and_then(|()| self.append(table, &mut inner, written, buffer));
        if let Err(error) = appended {
            let segment = &*inner.identity.segment;
            tracing::warn!(segment, %error, "checkpoint ends: after a restart these rows are read from the stream");
            table.metrics.count(Counter::CheckpointsStopped, &self.labels, 1);
            table.remove_file(segment);
            inner.state = State::Over;
        }
    }

    fn append(
        &self,
        table: &Checkpoints,
        inner: &mut Inner,
        written: &Written,
        buffer: &mut BlockBuffer,
    ) -> io::Result<()> {
        if matches!(inner.state, State::Fresh | State::Kept(_)) {
            let kept = if let State::Kept(byte_count) = inner.state { byte_count } else { 0 };
            if kept == 0 {
                // Snapshots may still hold rows where they lie in a file of that name.
                table.clear(&self.path)?;
            }
            let mut file = table.disk.open_append_uncached(&self.path)?;
            if file.byte_count() != kept {
                file.truncate(kept)?;
            }
            if kept == 0 {
                file.append(buffer.fill(|out| out.extend_from_slice(&inner.identity.head())))?;
            }
            inner.state = State::Open(file);
        }
        let State::Open(file) = &mut inner.state else { return Ok(()) };
        for chunk in written.snapshot.chunks(inner.rows) {
            let end = chunk.rows().end;
            // Blocks that froze after the last boundary come with the next hand-over.
            let Some(boundary) = written.boundaries.iter().find(|boundary| boundary.rows == end) else { break };
            file.append(buffer.fill(|out| put_frame(&chunk, boundary, out)))?;
            inner.rows = end;
        }
        Ok(())
    }
}
