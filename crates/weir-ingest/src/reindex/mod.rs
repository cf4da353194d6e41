//! Committed segments get the storage and the indexes that the table's settings ask for by now.
//!
//! One task a table looks for records that do not say that their file was made with the present settings. Such a file is
//! looked at; where it has what is asked for, its record is made to say so, else another file of the same rows is made beside
//! it. That is uploaded under a key of its own; one transaction names it and dooms the object of before; then it takes the
//! place of the local file and of what queries see. Who has the one of before keeps it to the end. So whoever dies
//! anywhere leaves the old file or the new one, and what nobody names is swept.
//!
//! All of it gives way: building waits until nobody else wants to build, and a look ends at the first thing that may be
//! better later.

mod decide;
mod make;
mod status;

pub(crate) use decide::lacking;
pub use status::IndexStatus;

use crate::{
    deps::TableContext, floor::has_room, recorded::segment_facts, retention::ORPHANED_AFTER, table::TableRuntime,
    upload,
};
use decide::{Attempts, Verdict, is_to_be_looked_at, verdict};
use make::{Another, Made, make};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, TryAcquireError};
use weir_base::{
    Backoff, Chance,
    metrics::{Counter, Gauge, Labels},
};
use weir_control::{Artifact, SegmentRecord, SegmentState, StoreError, TableRecord, index_settings};
use weir_files::Put;
use weir_segment::SealedSegment;
use weir_table::{LoadedSegment, RecordedSegment, SegmentHandle};

/// Looks are this far apart where nobody asks for one: settings change by a request, which does.
const EVERY: Duration = Duration::from_secs(5 * 60);
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// A deep store that is back, and a disk that has room, is noticed within this.
const BACKOFF_MOST: Duration = Duration::from_secs(60);
/// It is asked so often whether nobody builds.
const TURN_ASKED: Duration = Duration::from_millis(250);

/// What the looks of a table know of each other.
#[derive(Default)]
pub(crate) struct Reindexing {
    /// Held from before an object is put until a record names it: who deletes what nobody names takes turns with it.
    pub(crate) turn: tokio::sync::Mutex<()>,
    wanted: Notify,
    /// Indexes that could not be built with the present settings are to be tried once more.
    asked: AtomicBool,
    attempts: Mutex<BTreeMap<Arc<str>, Attempts>>,
}

impl Reindexing {
    /// There may be something to do.
    pub(crate) fn wake(&self) {
        self.wanted.notify_one();
    }

    /// Somebody asks for a look: what was given up is tried again.
    pub(crate) fn ask(&self) {
        self.attempts.lock().clear();
        self.asked.store(true, Ordering::Relaxed);
        self.wake();
    }

    fn failed(&self, segment: &Arc<str>, settings: u64, why: &str, is_fault: bool) {
        let mut all = self.attempts.lock();
        let attempts = all.entry(segment.clone()).or_default();
        if attempts.settings != settings {
            *attempts = Attempts { settings, ..Attempts::default() };
        }
        attempts.count = attempts.count.saturating_add(1);
        attempts.faults += u32::from(is_fault);
        why.clone_into(&mut attempts.why);
    }
}

/// Why a segment has not got its file yet.
pub(super) enum Undone {
    /// It may go later: a store, the disk.
    Wait(String),
    /// The file that it is to be made of is not what it was: another one is fetched.
    Damaged(String),
    /// Another attempt will hardly better it.
    Fault(String),
    /// Settings or records are not those that the look began with.
    Changed,
}

/// What a look left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    Something,
}

/// Looks while the table is at work.
pub(crate) async fn keep_indexes(runtime: Weak<TableRuntime>) {
    let backoff = |seed| Backoff::new(BACKOFF_FIRST, BACKOFF_MOST, Chance::seeded(seed));
    let mut pause: Option<Backoff> = None;
    loop {
        let Some(alive) = runtime.upgrade() else { return };
        let context = alive.context().clone();
        let left = alive.look_at_indexes().await;
        drop(alive);
        let wait = match left {
            Left::Nothing => {
                pause = None;
                EVERY
            }
            Left::Something => pause.get_or_insert_with(|| backoff(context.deps.seed)).next(),
        };
        tokio::select! {
            biased;
            () = context.reindexing.wanted.notified() => {}
            () = context.deps.clock.sleep(wait) => {}
        }
    }
}

impl TableRuntime {
    /// One look at all committed segments: those that were not tried yet first, of them the newest.
    async fn look_at_indexes(&self) -> Left {
        let context = self.context();
        let asked = context.reindexing.asked.swap(false, Ordering::Relaxed);
        let record = context.record.load_full();
        let settings = index_settings(&record.spec.indexes);
        let segments = match context.deps.store.segments(&record).await {
            Ok(segments) => segments,
            Err(error) => {
                tracing::warn!(table = %record.spec.name, %error, "it is not known which segments lack an index");
                context.reindexing.asked.fetch_or(asked, Ordering::Relaxed);
                return Left::Something;
            }
        };
        self.show_as_recorded(&record, &segments);
        let mut due = self.due(&segments, settings, asked);
        let mut behind = due.len();
        tell_behind(context, behind);
        let mut left = Left::Nothing;
        due.retain(|(_, attempts)| !attempts.are_over(settings));
        for (segment, _) in due {
            let name: Arc<str> = segment.name.to_string().into();
            match self.bring_up(segment, &record, settings).await {
                Ok(()) => {
                    context.reindexing.attempts.lock().remove(&name);
                    behind = behind.saturating_sub(1);
                    tell_behind(context, behind);
                }
                Err(Undone::Changed) => {
                    context.reindexing.asked.fetch_or(asked, Ordering::Relaxed);
                    return Left::Something;
                }
                Err(Undone::Damaged(damage)) => {
                    // Whoever opens it next puts the file aside and fetches the object.
                    show(context, &record, segment, None);
                    let why = format!("its local file was damaged: {damage}");
                    tracing::error!(segment = &*name, why, "a segment has not got its indexes yet");
                    context.reindexing.failed(&name, settings, &why, false);
                    return Left::Something;
                }
                Err(Undone::Wait(why)) => {
                    tracing::warn!(segment = &*name, why, "a segment has not got its indexes yet");
                    context.reindexing.failed(&name, settings, &why, false);
                    return Left::Something;
                }
                Err(Undone::Fault(why)) => {
                    tracing::error!(segment = &*name, why, "a segment cannot get its indexes");
                    context.reindexing.failed(&name, settings, &why, true);
                    left = Left::Something;
                }
            }
        }
        left
    }

    /// Segments that are to be looked at, each with what was tried before.
    fn due<'a>(&self, segments: &'a [SegmentRecord], settings: u64, asked: bool) -> Vec<(&'a SegmentRecord, Attempts)> {
        let mut attempts = self.context().reindexing.attempts.lock();
        let due = segments.iter().rev().filter(|segment| match &segment.state {
            SegmentState::Done { artifact, .. } => is_to_be_looked_at(artifact, settings, asked),
            _ => false,
        });
        let mut kept = BTreeMap::new();
        let mut due: Vec<_> = due
            .map(|segment| {
                let name: Arc<str> = segment.name.to_string().into();
                let before = attempts.remove(&name).filter(|before| before.settings == settings);
                if let Some(before) = &before {
                    kept.insert(name, before.clone());
                }
                (segment, before.unwrap_or_default())
            })
            .collect();
        // What is not due any more, or not there, was not tried.
        *attempts = kept;
        due.sort_by_key(|(_, attempts)| attempts.count);
        due
    }

    /// A record may name another file than what is shown: the answer to the transaction that named it was lost.
    fn show_as_recorded(&self, table: &TableRecord, segments: &[SegmentRecord]) {
        let context = self.context();
        for (partition, view) in context.on_node.partitions().iter() {
            let snapshot = view.snapshot();
            let shown = snapshot.whole.iter().filter_map(|shown| Some((&*shown.name, shown.segment.recorded()?)));
            let shown: BTreeMap<&str, &Arc<RecordedSegment>> = shown.collect();
            for segment in segments.iter().filter(|segment| segment.partition == *partition) {
                let SegmentState::Done { artifact, .. } = &segment.state else { continue };
                let name = segment.name.to_string();
                if shown.get(&*name).is_some_and(|shown| shown.facts().key != artifact.key) {
                    show(context, table, segment, None);
                }
            }
        }
    }

    /// Brings one segment to the present settings.
    async fn bring_up(&self, segment: &SegmentRecord, table: &Arc<TableRecord>, settings: u64) -> Result<(), Undone> {
        let context = self.context();
        let SegmentState::Done { artifact, .. } = &segment.state else { return Err(Undone::Changed) };
        let file = self.file_of(segment, artifact, table).await?;
        let noted = |missing| Artifact { missing_indexes: missing, settings: Some(settings), ..artifact.clone() };
        match verdict(artifact, &file, table) {
            Verdict::Note => return self.record(segment, noted(vec![]), None).await.map(drop),
            Verdict::Leave => {
                return Err(Undone::Fault(
                    "its file has a column that the schema does not have: put it back into the schema".into(),
                ));
            }
            Verdict::Make => {}
        }
        if !has_room(&context.deps, artifact.byte_count.saturating_mul(2)) {
            return Err(Undone::Wait("the disk has no room for its new file above the floor".into()));
        }
        let made = {
            let _turn = self.turn_to_build().await;
            let (spec, cache) = (table.clone(), context.cache.clone());
            context.deps.options.heavy.run(move || make(&file, &spec, &cache)).await
        };
        let another = match made {
            Ok(Made::Same { missing }) => return self.record(segment, noted(missing), None).await.map(drop),
            Ok(Made::Another(another)) => another,
            Err(undone) => {
                self.drop_successor(segment).await;
                return Err(undone);
            }
        };
        for failure in &another.missing {
            tracing::error!(segment = %segment.name, failure, "an index could not be built; the segment stays without it");
        }
        let renewed = self.renew(segment, noted(another.missing.clone()), Arc::new(another)).await;
        if renewed.is_err() {
            self.drop_successor(segment).await;
        }
        renewed
    }

    /// The file of a record, opened, and fetched where it is not here.
    async fn file_of(
        &self,
        segment: &SegmentRecord,
        artifact: &Artifact,
        table: &TableRecord,
    ) -> Result<Arc<SealedSegment>, Undone> {
        let context = self.context();
        let name: Arc<str> = segment.name.to_string().into();
        let partitions = context.on_node.partitions();
        let snapshot = partitions.get(&segment.partition).map(|view| view.snapshot());
        let shown = snapshot.iter().flat_map(|shown| &*shown.whole).find(|shown| shown.name == name);
        let shown = shown.and_then(|shown| shown.segment.recorded()).filter(|shown| shown.facts().key == artifact.key);
        let recorded = shown.cloned().unwrap_or_else(|| {
            let made = (segment.schema_version, segment.created_ms);
            RecordedSegment::new(segment_facts(table, &name, made, artifact), context.cache.clone())
        });
        if let Some(file) = recorded.peek() {
            return Ok(file);
        }
        if context.cache.byte_count(&name).is_none() && !has_room(&context.deps, artifact.byte_count) {
            return Err(Undone::Wait("the disk has no room above its floor to fetch it".into()));
        }
        let _turn = context.cache.openings().ahead_turn(true).await;
        recorded.open_ahead(true).await.map_err(|error| Undone::Wait(error.to_string()))?;
        recorded.peek().ok_or_else(|| Undone::Wait("its file is given up for room on the disk".into()))
    }

    /// The turn to build: taken where nobody builds and nobody waits for it, never queued for.
    async fn turn_to_build(&self) -> Option<OwnedSemaphorePermit> {
        let context = self.context();
        loop {
            match context.sealer.permits.clone().try_acquire_owned() {
                Ok(permit) => return Some(permit),
                // The node is stopping.
                Err(TryAcquireError::Closed) => return None,
                Err(TryAcquireError::NoPermits) => context.deps.clock.sleep(TURN_ASKED).await,
            }
        }
    }

    /// Uploads a file that was made, names it on the record and shows it.
    async fn renew(&self, segment: &SegmentRecord, artifact: Artifact, another: Arc<Another>) -> Result<(), Undone> {
        let context = self.context();
        let name: Arc<str> = segment.name.to_string().into();
        // Somebody changed them while it was built: it is made once more, and not uploaded for nothing.
        if artifact.settings != Some(index_settings(&context.record.load().spec.indexes)) {
            return Err(Undone::Changed);
        }
        let _turn = context.reindexing.turn.lock().await;
        let crc = another.sealed.crc();
        let keys = context.renewed_keys(&name, crc, segment.version);
        let bytes = bytes::Bytes::from_owner(another.bytes.clone());
        let stored = upload::put_under(context, &name, keys, &bytes).await;
        let stored = stored.map_err(|error| {
            context.deps.metrics.count(Counter::UploadsFailed, &labels(context), 1);
            Undone::Wait(error.to_string())
        })?;
        let made_here = (stored.put == Put::Created).then_some(&*stored.key);
        // What was put may be other bytes than were built.
        let read = another.clone();
        if let Some(damage) = context.deps.options.heavy.run(move || read.damage()).await {
            discard(context, made_here).await;
            return Err(Undone::Wait(format!("its new file was damaged before the deep store had it: {damage}")));
        }
        let now_ms = context.deps.clock.wall_ms();
        let artifact = Artifact {
            uri: context.deps.deep_store.uri(&stored.key),
            key: stored.key.clone(),
            crc,
            byte_count: another.bytes.len() as u64,
            built_ms: now_ms,
            uploaded_ms: now_ms,
            ..artifact
        };
        match self.record(segment, artifact, Some(&another.sealed)).await {
            Ok(true) => {}
            // The record names another file, or is gone, and nobody will name this one.
            Ok(false) => {
                discard(context, made_here).await;
                return Err(Undone::Changed);
            }
            // It may be named: it is put again, or swept.
            Err(undone) => return Err(undone),
        }
        context.deps.metrics.count(Counter::SegmentsReindexed, &labels(context), 1);
        tracing::info!(
            segment = &*name,
            object = stored.key,
            "a committed segment has the indexes of the present settings"
        );
        Ok(())
    }

    /// Puts an artifact on a segment's record and shows it. False where the record is not the one that was read any more.
    async fn record(
        &self,
        segment: &SegmentRecord,
        artifact: Artifact,
        sealed: Option<&Arc<SealedSegment>>,
    ) -> Result<bool, Undone> {
        let (context, key) = (self.context(), artifact.key.clone());
        // Whoever starts partitions from records must not show one of before after this.
        let _turn = self.removing.turn.lock().await;
        let until_ms = context.deps.clock.wall_ms().saturating_add(ORPHANED_AFTER.as_millis() as i64);
        let done = match context.deps.store.renew(segment, artifact, until_ms).await {
            Ok(done) => done,
            Err(StoreError::NotFound { .. }) => return Ok(false),
            // By somebody else, or by this where the catalog's answer was lost.
            Err(StoreError::Conflict { .. }) => match self.found(segment).await? {
                Some(found) if matches!(&found.state, SegmentState::Done { artifact, .. } if artifact.key == key) => {
                    found
                }
                _ => return Ok(false),
            },
            Err(error) => return Err(Undone::Wait(format!("its record cannot be changed: {error}"))),
        };
        if let Some(sealed) = sealed {
            let (cache, name) = (context.cache.clone(), done.name.to_string());
            let moved = context.deps.options.heavy.run(move || cache.succeed(&name)).await;
            let there = moved.inspect_err(|error| {
                tracing::warn!(segment = %done.name, %error, "a segment's new file is fetched when it is needed");
            });
            show(context, &context.record.load(), &done, Some(there.unwrap_or_else(|_| sealed.clone())));
        }
        Ok(true)
    }

    /// A segment's record as it is now.
    async fn found(&self, segment: &SegmentRecord) -> Result<Option<SegmentRecord>, Undone> {
        let context = self.context();
        let all = context.deps.store.segments_of(&context.record.load(), &segment.partition).await;
        let all = all.map_err(|error| Undone::Wait(format!("its record cannot be read: {error}")))?;
        Ok(all.into_iter().find(|found| found.name == segment.name))
    }

    async fn drop_successor(&self, segment: &SegmentRecord) {
        let context = self.context();
        let (cache, name) = (context.cache.clone(), segment.name.to_string());
        if let Err(error) = context.deps.options.heavy.run(move || cache.drop_successor(&name)).await {
            tracing::warn!(segment = %segment.name, %error, "a file that is not needed stays until it is cleaned up");
        }
    }
}

/// Shows a segment by its record, where it is shown.
fn show(context: &TableContext, table: &TableRecord, done: &SegmentRecord, sealed: Option<Arc<SealedSegment>>) {
    let SegmentState::Done { artifact, .. } = &done.state else { return };
    let name: Arc<str> = done.name.to_string().into();
    let facts = segment_facts(table, &name, (done.schema_version, done.created_ms), artifact);
    let recorded = match sealed {
        Some(sealed) => RecordedSegment::opened(facts, context.cache.clone(), sealed),
        None => RecordedSegment::new(facts, context.cache.clone()),
    };
    let partitions = context.on_node.partitions();
    let Some(view) = partitions.get(&done.partition) else { return };
    // The rows are where they were: those that count stay the same.
    let validity =
        view.snapshot().whole.iter().find(|shown| shown.name == name).and_then(|shown| shown.validity.clone());
    view.replace(LoadedSegment { name, segment: SegmentHandle::Recorded(recorded), validity });
}

/// Deletes an object that was made here and that no record will name.
async fn discard(context: &TableContext, key: Option<&str>) {
    if let Some(key) = key
        && let Err(error) = context.deps.deep_store.delete(key).await
    {
        tracing::warn!(%error, "an object that no record names stays until it is cleaned up");
    }
}

fn tell_behind(context: &TableContext, behind: usize) {
    context.deps.metrics.gauge(Gauge::SegmentsBehind, &labels(context), i64::try_from(behind).unwrap_or(i64::MAX));
}

fn labels(context: &TableContext) -> Labels {
    Labels { table: context.on_node.name().as_str().into(), topic: "".into(), partition: None }
}
