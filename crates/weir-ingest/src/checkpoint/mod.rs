//! Open segments on the local disk, so that a restart need not read their rows from the stream again.
//!
//! One append-only file for each open segment holds its frozen blocks, each with the offset to read on from and the counts
//! so far. What is in it is only ever a saving: a file that is torn, damaged, late or gone costs reading the log again.
//! [`file`] is the layout and the way back, [`recorder`] what a pipeline notes, [`writer`] the one task that writes.

mod file;
mod recorder;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use file::Restored;
pub(crate) use recorder::Recorder;
pub(crate) use writer::CheckpointQueue;

use crate::{deps::IngestDeps, pipeline::consuming_spec, quarantine::Quarantine};
use file::{Found, Identity};
use futures::StreamExt;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use weir_base::{
    SharedDisk,
    metrics::{Counter, Labels, Metrics},
    tasks::HeavyWork,
};
use weir_control::{SegmentRecord, SegmentState, TableRecord};
use weir_types::{NextOffset, StreamPartition};
use writer::CheckpointFile;

/// How the files are called; the rest of the name is the segment's.
const ENDING: &str = ".chunks";

/// The checkpoints of one table.
pub(crate) struct Checkpoints {
    disk: SharedDisk,
    metrics: Metrics,
    heavy: HeavyWork,
    block_rows: u32,
    dir: PathBuf,
    quarantine: Arc<Quarantine>,
    queue: CheckpointQueue,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Files that may be written, by segment.
    files: BTreeMap<Arc<str>, Arc<CheckpointFile>>,
    /// The table is not at work any more: nothing is written.
    stopped: bool,
}

/// Disk work of some milliseconds: on a thread that may block, or here where threads would bring chance. `None` where it
/// panicked, which is said.
async fn off<T: Send + 'static>(heavy: HeavyWork, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match heavy {
        HeavyWork::Inline => Some(work()),
        HeavyWork::Threads => match tokio::task::spawn_blocking(work).await {
            Ok(done) => Some(done),
            Err(error) => {
                tracing::error!(%error, "checkpoint work failed; rows are read from the stream instead");
                None
            }
        },
    }
}

fn labels(record: &SegmentRecord) -> Labels {
    Labels {
        table: record.name.table.as_str().into(),
        topic: record.partition.topic.as_str().into(),
        partition: Some(record.partition.partition),
    }
}

impl Checkpoints {
    /// The checkpoints in `dir`, written by the node's `queue`. Before rows are written, `quarantine` is synced.
    #[must_use]
    pub(crate) fn new(
        deps: &IngestDeps,
        dir: PathBuf,
        quarantine: Arc<Quarantine>,
        queue: CheckpointQueue,
    ) -> Arc<Self> {
        Arc::new(Self {
            disk: deps.disk.clone(),
            metrics: deps.metrics.clone(),
            heavy: deps.options.heavy,
            block_rows: deps.options.block_rows,
            dir,
            quarantine,
            queue,
            known: Mutex::default(),
        })
    }

    fn path(&self, segment: &str) -> PathBuf {
        self.dir.join(format!("{segment}{ENDING}"))
    }

    /// Where an open segment's frozen blocks are noted. A file that was `kept` is gone on with; any other is made anew.
    #[must_use]
    pub(crate) fn recorder(
        self: &Arc<Self>,
        table: &TableRecord,
        record: &SegmentRecord,
        start: NextOffset,
        kept: Option<&Restored>,
    ) -> Recorder {
        let identity = Identity::of(table, record, start);
        let name = identity.segment.clone();
        let file = CheckpointFile::new(self.path(&name), labels(record), identity, kept);
        let mut known = self.known.lock();
        if known.stopped {
            file.close();
        }
        if let Some(before) = known.files.insert(name, file.clone()) {
            before.close();
        }
        drop(known);
        let (rows, next) = kept.map_or((0, start), |kept| (kept.segment.rows(), kept.next));
        Recorder::new(self.clone(), file, rows, next)
    }

    /// Removes the files of all segments but those of these records that are open or committing: for a table that is not
    /// at work yet.
    pub(crate) async fn sweep(self: &Arc<Self>, records: &[SegmentRecord]) {
        let stay = records.iter().filter(|record| !matches!(record.state, SegmentState::Done { .. }));
        let stay: BTreeSet<String> = stay.map(|record| record.name.to_string()).collect();
        let this = self.clone();
        let swept = move || match this.disk.list(&this.dir) {
            Ok(entries) => {
                let segments = entries.iter().filter_map(|entry| entry.name.strip_suffix(ENDING));
                segments.filter(|name| !stay.contains(*name)).for_each(|name| this.remove_file(name));
            }
            Err(error) => tracing::warn!(%error, "checkpoints cannot be listed"),
        };
        off(self.heavy, swept).await;
    }

    /// The rows of every open segment of these records that has a checkpoint.
    pub(crate) async fn restore_open(
        self: &Arc<Self>,
        table: &Arc<TableRecord>,
        records: impl IntoIterator<Item = &SegmentRecord>,
    ) -> BTreeMap<StreamPartition, Restored> {
        let open = records.into_iter().filter_map(|record| match record.state {
            SegmentState::Consuming { start } => Some((record.clone(), start)),
            _ => None,
        });
        let restoring: Vec<_> = open
            .map(|(record, start)| async move {
                let restored = self.restore(table, &record, start, None).await?;
                Some((record.partition.clone(), restored))
            })
            .collect();
        // As many at a time as there are cores: each is copying.
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        let restored = futures::stream::iter(restoring).buffered(at_once).collect::<Vec<_>>().await;
        restored.into_iter().flatten().collect()
    }

    /// What a checkpoint holds of a segment's rows from `start` on, up to `end` where one is given. Nothing may be
    /// written to it any more by whoever wrote it in this process. A file that does not fit the record is removed.
    pub(crate) async fn restore(
        self: &Arc<Self>,
        table: &Arc<TableRecord>,
        record: &SegmentRecord,
        start: NextOffset,
        end: Option<NextOffset>,
    ) -> Option<Restored> {
        let identity = Identity::of(table, record, start);
        let before = self.known.lock().files.remove(&identity.segment);
        let spec = consuming_spec(&identity.segment, record.created_ms, &table.spec, &table.schema);
        let (this, labels) = (self.clone(), labels(record));
        let restored = off(self.heavy, move || {
            if let Some(before) = before {
                before.close();
            }
            let path = this.path(&identity.segment);
            let found = file::restore(&*this.disk, &path, &identity, spec, end);
            let restored = this.judge(&identity.segment, found, &labels);
            if restored.is_none() {
                this.settle_absence();
            }
            restored
        });
        restored.await.flatten()
    }

    fn judge(&self, segment: &str, found: Found, labels: &Labels) -> Option<Restored> {
        match found {
            Found::Nothing => None,
            Found::Rows(restored) => {
                let (rows, next) = (restored.segment.rows(), restored.next);
                tracing::info!(segment, rows, %next, torn = restored.torn, "rows are restored from a checkpoint");
                self.metrics.count(Counter::CheckpointsRestored, labels, 1);
                if restored.torn {
                    self.metrics.count(Counter::CheckpointsTorn, labels, 1);
                }
                let restored = *restored;
                Some(Restored { segment: restored.segment.with_block_rows(self.block_rows), ..restored })
            }
            Found::Misfit(why) => {
                tracing::warn!(segment, why, "a checkpoint is of no use; its rows are read from the stream");
                self.metrics.count(Counter::CheckpointsDiscarded, labels, 1);
                self.remove_file(segment);
                None
            }
        }
    }

    /// A file that is gone must not come back with a power loss: its rows are read again from here on, and what is then
    /// rejected among them goes to quarantine.
    fn settle_absence(&self) {
        match self.disk.sync_dir(&self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, "removed checkpoints may come back after a power loss");
            }
            _ => {}
        }
    }

    /// Nothing stands in a file's place when this returns. A folder was put there by somebody, who may miss what is in it: it
    /// is put aside.
    fn clear(&self, path: &Path) -> io::Result<()> {
        let Err(error) = self.disk.remove_file(path) else { return Ok(()) };
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !self.disk.list(&self.dir)?.iter().any(|entry| entry.is_dir && entry.name == name) {
            return Err(error);
        }
        let aside = path.with_extension("chunks.aside");
        self.disk.rename(path, &aside).map_err(|failed| {
            io::Error::new(failed.kind(), format!("a folder stands in its place; remove {} ({failed})", path.display()))
        })?;
        let (folder, aside) = (path.display(), aside.display());
        tracing::warn!(%folder, %aside, "a folder stood in the place of a checkpoint: it is put aside, remove it if it is not needed");
        Ok(())
    }

    /// One that stays costs room until the table is opened again.
    fn remove_file(&self, segment: &str) {
        if let Err(error) = self.clear(&self.path(segment)) {
            tracing::warn!(segment, %error, "a checkpoint that is no longer needed stays");
        }
    }

    /// The segment's sealed file is there: its checkpoint goes, behind all that is still to be written to it.
    pub(crate) async fn remove(self: &Arc<Self>, segment: &Arc<str>) {
        let file = self.known.lock().files.remove(segment);
        self.queue.remove(self.clone(), segment.clone(), file).await;
    }

    /// Nothing is written any more when this returns.
    pub(crate) fn stop(&self) {
        let mut known = self.known.lock();
        known.stopped = true;
        let files = std::mem::take(&mut known.files);
        drop(known);
        files.values().for_each(|file| file.close());
    }
}
