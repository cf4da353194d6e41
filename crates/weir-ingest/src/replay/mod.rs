//! Records of the quarantine become rows after all, exactly once.
//!
//! A replay runs entries through the table's way as it is now, makes a segment of their own of the rows, uploads it, and
//! commits one catalog record that names the segment and each (topic, partition, reading, offset) in it. That record is the whole
//! truth: an entry that it names is replayed whatever the quarantine file says, and a replay begins by reading all records
//! before it. So the process may die at any await: before the commit an object that nobody names is left, after it the
//! entries leave the file when the table is opened.
//!
//! Entries that fail again stay, with their new reason.

mod apply;
mod build;
mod state;

pub(crate) use state::Replays;

use crate::{
    deps::TableContext,
    error::IngestError,
    quarantine::{Entry, EntryId, Page, PageBounds, Selection},
    replay::build::{Made, MadePart, Maker},
    table::TableRuntime,
    upload,
};
use bytes::Bytes;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use weir_base::{
    Backoff, Chance,
    metrics::{Counter, Labels},
};
use weir_control::{
    Artifact, AuditAction, AuditEntry, ReplayPart, ReplayRecord, ReplaySegment, StoreError, TableRecord,
};
use weir_types::{NextOffset, StreamPartition};

/// One transaction's worth: some megabytes of memory and of catalog record, a second or so of work.
const ROUND: PageBounds = PageBounds { entries: 10_000, bytes: 32 << 20 };
/// Failures that a report names; it counts the others.
const FAILURES_NAMED: usize = 100;
/// Each time somebody else changed the table meanwhile, so this is never reached without a fault.
const TRIES: usize = 32;
/// Uploads and commits that fail are tried again this often, over some seconds: whoever asked is waiting.
const PATIENCE: usize = 5;
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MOST: Duration = Duration::from_secs(2);

/// What a replay did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Messages that left the quarantine.
    pub replayed: u64,
    /// Rows that they gave.
    pub rows: u64,
    /// Names of the segments that hold them.
    pub segments: Vec<Arc<str>>,
    /// Messages that failed again and stay.
    pub failed: u64,
    /// The first of them.
    pub failures: Vec<ReplayFailure>,
    /// Those of the records that the selection names one by one that were in quarantine, however often each was read.
    pub found: BTreeSet<(StreamPartition, NextOffset)>,
}

/// A message that failed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayFailure {
    /// Where it came from.
    pub partition: StreamPartition,
    /// Its offset.
    pub offset: NextOffset,
    /// Where in its way it failed now.
    pub stage: String,
    /// The column concerned, or empty.
    pub column: String,
    /// Why.
    pub reason: String,
}

/// A round that was not committed.
enum Undone {
    /// The table or its replays are not what the round was made from.
    Changed(String),
    Failed(IngestError),
}

impl TableRuntime {
    /// Replays the selected entries, in rounds of one transaction each.
    ///
    /// # Errors
    /// What the first failing round met; rounds before it are committed, and nothing is doubled by asking again.
    pub(crate) async fn replay(self: &Arc<Self>, selection: Selection, who: &str) -> Result<ReplayReport, IngestError> {
        let context = self.context().clone();
        let _turn = context.replays.turn.lock().await;
        self.take_in_replays().await?;
        let selection = Arc::new(selection);
        let mut report = ReplayReport::default();
        let mut after = None;
        let mut tries = 0;
        loop {
            let page = read(&context, selection.clone(), after.clone()).await?;
            if page.entries.is_empty() {
                return Ok(report);
            }
            if selection.among.is_some() {
                let there = page.entries.iter().filter(|entry| !context.replays.has(&entry.id()));
                report.found.extend(there.map(|entry| (entry.partition.clone(), entry.offset)));
            }
            match self.round(page.entries, &mut report, who).await {
                Ok(()) => {}
                Err(Undone::Failed(error)) => return Err(error),
                Err(Undone::Changed(what)) => {
                    tries += 1;
                    if tries == TRIES {
                        return Err(StoreError::Conflict { what }.into());
                    }
                    self.refresh().await?;
                    self.take_in_replays().await?;
                    continue;
                }
            }
            tries = 0;
            let Some(next) = page.next else { return Ok(report) };
            after = Some(next);
        }
    }

    async fn round(
        self: &Arc<Self>,
        mut entries: Vec<Entry>,
        report: &mut ReplayReport,
        who: &str,
    ) -> Result<(), Undone> {
        let context = self.context();
        entries.retain(|entry| !context.replays.has(&entry.id()));
        let record = context.record.load_full();
        let maker = Maker {
            number: context.replays.next_number(),
            now_ms: context.deps.clock.wall_ms(),
            seats: self.context().deps.seats.clone(),
            streams: self.streams(),
            record: record.clone(),
        };
        let (number, now_ms) = (maker.number, maker.now_ms);
        let ready = maker.ready(&entries).await;
        let _asked = ready.map_err(|reason| Undone::Failed(IngestError::Replay { reason }))?;
        let made = {
            let Ok(_permit) = context.sealer.permits.acquire().await else {
                return Err(Undone::Failed(IngestError::Stopped(record.spec.name.clone())));
            };
            context.deps.options.heavy.run(move || maker.make(entries)).await
        };
        let Made { parts, failed: again } = made.map_err(|reason| Undone::Failed(IngestError::Replay { reason }))?;
        if !parts.is_empty() {
            let (parts, contents) = upload(context, parts).await.map_err(Undone::Failed)?;
            let replay = ReplayRecord {
                table_uid: record.uid,
                number,
                at_ms: now_ms,
                schema_version: record.schema.version,
                parts,
            };
            self.commit(&record, &replay, who).await?;
            self.take_in(&replay, contents);
            for part in &replay.parts {
                report.replayed += part.offsets.len() as u64;
                report.rows += part.segment.as_ref().map_or(0, |segment| segment.artifact.rows);
                report.segments.extend(part.segment.iter().map(|segment| segment.name.clone()));
                let labels = labels(&record.spec.name, &part.partition);
                context.deps.metrics.count(Counter::MessagesReplayed, &labels, part.offsets.len() as u64);
            }
        }
        report.failed += again.len() as u64;
        let room = FAILURES_NAMED.saturating_sub(report.failures.len());
        report.failures.extend(again.iter().take(room).map(|entry| ReplayFailure {
            partition: entry.partition.clone(),
            offset: entry.offset,
            stage: entry.stage.clone(),
            column: entry.column.clone(),
            reason: entry.reason.clone(),
        }));
        let kept = context.quarantine.failed_again(again);
        kept.map_err(|source| Undone::Failed(IngestError::Disk { action: "write the quarantine".into(), source }))
    }

    /// Commits, and finds out whether it happened where the answer was lost.
    async fn commit(self: &Arc<Self>, record: &TableRecord, replay: &ReplayRecord, who: &str) -> Result<(), Undone> {
        let deps = &self.context().deps;
        let messages: usize = replay.parts.iter().map(|part| part.offsets.len()).sum();
        let audit = AuditEntry::new(AuditAction::ReplayQuarantine, &record.spec.name, who, replay.at_ms)
            .change("in quarantine", format!("{messages} messages replayed by replay {}", replay.number));
        let mut backoff = backoff(deps.seed ^ replay.number);
        for left in (0..PATIENCE).rev() {
            match deps.store.commit_replay(record, replay, std::slice::from_ref(&audit)).await {
                Ok(()) => return Ok(()),
                Err(StoreError::Conflict { what }) => return Err(Undone::Changed(what)),
                Err(error @ StoreError::Catalog(_)) if left > 0 => {
                    tracing::warn!(%error, "a replay is not known to be committed; the catalog is asked again");
                    deps.clock.sleep(backoff.next()).await;
                }
                Err(error) => {
                    // It may be committed all the same: then queries have to see it.
                    self.find_out();
                    return Err(Undone::Failed(error.into()));
                }
            }
        }
        Err(Undone::Changed("the catalog gave no answer".into()))
    }
}

async fn read(
    context: &Arc<TableContext>,
    selection: Arc<Selection>,
    after: Option<EntryId>,
) -> Result<Page, IngestError> {
    let quarantine = context.quarantine.clone();
    let read = context.deps.options.heavy.run(move || quarantine.page_within(&selection, after.as_ref(), ROUND)).await;
    read.map_err(|source| IngestError::Disk { action: "read the quarantine".into(), source })
}

/// Puts the segments into the deep store. What is not committed afterwards is garbage under a key that nothing else uses.
async fn upload(
    context: &Arc<TableContext>,
    made: Vec<MadePart>,
) -> Result<(Vec<ReplayPart>, Vec<(Arc<str>, Bytes)>), IngestError> {
    let deps = &context.deps;
    let (mut parts, mut contents) = (vec![], vec![]);
    let mut backoff = backoff(deps.seed);
    for part in made {
        let mut segment = None;
        if let Some(made) = part.segment {
            let bytes: Bytes = made.built.bytes().into();
            let mut left = PATIENCE;
            let key = loop {
                match upload::put(context, &made.name, made.built.crc, &bytes).await {
                    Ok(stored) => break stored.key,
                    Err(error) => {
                        left -= 1;
                        if left == 0 {
                            return Err(IngestError::Upload { segment: made.name.to_string(), source: error });
                        }
                        deps.clock.sleep(backoff.next()).await;
                    }
                }
            };
            let artifact = Artifact {
                uri: deps.deep_store.uri(&key),
                key,
                crc: made.built.crc,
                byte_count: bytes.len() as u64,
                rows: u64::from(made.built.rows),
                min_time_ms: made.times.millis.map(|times| times.0),
                max_time_ms: made.times.millis.map(|times| times.1),
                time_range: made.times.range,
                built_ms: deps.clock.wall_ms(),
                uploaded_ms: deps.clock.wall_ms(),
                missing_indexes: made.built.index_failures.clone(),
                settings: Some(made.settings),
            };
            contents.push((made.name.clone(), bytes));
            segment = Some(ReplaySegment { name: made.name, artifact, removed_ms: None });
        }
        parts.push(ReplayPart {
            partition: part.partition,
            reading: part.reading,
            offsets: part.offsets,
            altered: part.altered,
            segment,
        });
    }
    Ok((parts, contents))
}

fn backoff(seed: u64) -> Backoff {
    Backoff::new(BACKOFF_FIRST, BACKOFF_MOST, Chance::seeded(seed))
}

fn labels(table: &weir_types::TableName, partition: &StreamPartition) -> Labels {
    Labels {
        table: table.as_str().into(),
        topic: partition.topic.as_str().into(),
        partition: Some(partition.partition),
    }
}
