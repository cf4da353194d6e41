//! Does what was decided: records, snapshots, files and objects, in this order.

use crate::{
    deps::{IngestDeps, IngestOptions, TableContext},
    error::IngestError,
    retention::{
        BRIEF, Cleaned, ORPHANED_AFTER,
        decide::{Ground, Named, left_objects, orphaned_files, orphaned_folders, orphaned_objects},
    },
    table::TableRuntime,
    topics::BY_ITSELF,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use weir_base::{
    DirEntry, SharedDisk,
    metrics::{Counter, Gauge, Labels},
};
use weir_control::{
    AuditAction, AuditEntry, Doomed, REMOVED_AT_ONCE, StoreError, TableRecord, expired, expired_replays, is_older,
};
use weir_files::ObjectInfo;
use weir_types::StreamPartition;

/// One round over one table.
pub(super) async fn table(runtime: &TableRuntime, thorough: bool) -> Result<Cleaned, IngestError> {
    let context = runtime.context();
    let (deps, record) = (&context.deps, context.record.load_full());
    // What is here first, then the records: nothing that is made in between is on the list.
    let files = local_files(context).await?;
    let replaying = context.replays.turn.try_lock();
    let renewing = context.reindexing.turn.try_lock();
    let objects = if thorough && deps.options.owns_deep_store { list_objects(context).await } else { vec![] };
    let (mut cleaned, named, doomed) = {
        let _turn = runtime.removing.turn.lock().await;
        // Where the answer was lost it may have happened all the same: what follows goes by the records.
        let segments = match remove_expired(runtime, &record, thorough, replaying.is_err()).await {
            Ok(segments) => segments,
            Err(error) => {
                let table = record.spec.name.as_str();
                tracing::warn!(table, %error, "segments that are too old stay for now");
                0
            }
        };
        let shown = shown(context);
        let segments_left = deps.store.segments(&record).await?;
        let (replays, doomed) = (deps.store.replays(&record).await?, deps.store.doomed(&record).await?);
        if deps.store.table(&record.spec.name).await?.is_none_or(|found| found.uid != record.uid) {
            // It was dropped meanwhile, and what is left of it with it.
            return Ok(Cleaned::default());
        }
        context.replays.note_removed(&replays);
        let named = Named::new(&segments_left, &replays, &doomed);
        hide(context, &shown, &named);
        (Cleaned { segments, ..Cleaned::default() }, named, doomed)
    };
    let now_ms = deps.clock.wall_ms();
    cleaned.files = delete_files(context, orphaned_files(&files, &named, now_ms)).await;
    let prefix = context.object_prefix();
    let ground = Ground {
        prefix: &prefix,
        born_ms: record.created_ms,
        replaying: replaying.is_err(),
        renewing: renewing.is_err(),
        now_ms,
    };
    cleaned.objects = delete_objects(deps, orphaned_objects(&objects, &named, &ground)).await;
    if cleaned.objects > 0 {
        deps.metrics.count(Counter::ObjectsDeleted, &labels(context), cleaned.objects);
    }
    cleaned.objects += delete_doomed(context, &record, doomed, now_ms).await?;
    Ok(cleaned)
}

fn labels(context: &TableContext) -> Labels {
    Labels { table: context.on_node.name().as_str().into(), topic: "".into(), partition: None }
}

/// Takes the records of what is too old away; says how many segments there were. While a replay is under way what was
/// replayed stays: it may be about to be shown.
async fn remove_expired(
    runtime: &TableRuntime,
    record: &TableRecord,
    thorough: bool,
    replaying: bool,
) -> Result<u64, StoreError> {
    let (context, deps) = (runtime.context(), &runtime.context().deps);
    let Some(keep) = record.spec.retention.keep else {
        deps.metrics.gauge(Gauge::SegmentsWithoutTime, &labels(context), 0);
        return Ok(0);
    };
    if !thorough && keep >= BRIEF {
        return Ok(0);
    }
    let now_ms = deps.clock.wall_ms();
    let expiry = expired(&deps.store.segments(record).await?, keep, now_ms);
    let (replayed, replayed_without) = expired_replays(&deps.store.replays(record).await?, keep, now_ms);
    let without_time = i64::try_from(expiry.without_time.len() + replayed_without).unwrap_or(i64::MAX);
    deps.metrics.gauge(Gauge::SegmentsWithoutTime, &labels(context), without_time);
    runtime.removing.tell(runtime, &expiry);
    let objects_kept = i64::try_from(record.spec.retention.objects_kept.as_millis()).unwrap_or(i64::MAX);
    let until_ms = now_ms.saturating_add(objects_kept);
    let mut removed = 0;
    for part in expiry.expired.chunks(REMOVED_AT_ONCE) {
        let names = part.iter().map(|segment| segment.name.to_string()).collect();
        let audit = audit(record, names, keep, now_ms);
        deps.store.remove_segments(record, part, until_ms, &[audit]).await?;
        removed += part.len() as u64;
        deps.metrics.count(Counter::SegmentsRemoved, &labels(context), part.len() as u64);
    }
    let mut by_replay: BTreeMap<u64, BTreeSet<Arc<str>>> = BTreeMap::new();
    for (number, name) in replayed.into_iter().filter(|_| !replaying) {
        by_replay.entry(number).or_default().insert(name);
    }
    for (number, segments) in by_replay {
        let audit = audit(record, segments.iter().map(ToString::to_string).collect(), keep, now_ms);
        deps.store.remove_replayed(record, number, &segments, (now_ms, until_ms), &[audit]).await?;
        removed += segments.len() as u64;
        deps.metrics.count(Counter::SegmentsRemoved, &labels(context), segments.len() as u64);
    }
    Ok(removed)
}

fn audit(record: &TableRecord, names: Vec<String>, keep: Duration, now_ms: i64) -> AuditEntry {
    AuditEntry::new(AuditAction::RemoveSegments, &record.spec.name, BY_ITSELF, now_ms).change(
        names.join(", "),
        format!("{} segments removed: all their rows were older than {} s", names.len(), keep.as_secs()),
    )
}

/// Whole segments that queries see or miss, by partition.
fn shown(context: &TableContext) -> BTreeMap<StreamPartition, Vec<Arc<str>>> {
    let names = |(partition, view): (&StreamPartition, &Arc<weir_table::PartitionView>)| {
        let snapshot = view.snapshot();
        let whole = snapshot.whole.iter().chain(&*snapshot.replayed).map(|loaded| loaded.name.clone());
        (partition.clone(), whole.chain(snapshot.absent.iter().cloned()).collect())
    };
    context.on_node.partitions().iter().map(names).collect()
}

/// Takes what no record names out of what queries see.
fn hide(context: &TableContext, shown: &BTreeMap<StreamPartition, Vec<Arc<str>>>, named: &Named) {
    let partitions = context.on_node.partitions();
    for (partition, names) in shown {
        let gone: BTreeSet<Arc<str>> =
            names.iter().filter(|name| !named.segments.contains(&***name)).cloned().collect();
        if let Some(view) = partitions.get(partition).filter(|_| !gone.is_empty()) {
            view.remove(&gone);
        }
    }
}

async fn local_files(context: &TableContext) -> Result<Vec<DirEntry>, IngestError> {
    let (disk, dir) = (context.deps.disk.clone(), context.cache.dir().to_owned());
    let listed = context.deps.options.heavy.run(move || disk.list(&dir)).await;
    listed.map_err(|source| IngestError::Disk { action: "list local segments".into(), source })
}

/// Files that are gone; those that stay are found again.
async fn delete_files(context: &TableContext, names: Vec<String>) -> u64 {
    if names.is_empty() {
        return 0;
    }
    let (disk, dir) = (context.deps.disk.clone(), context.cache.dir().to_owned());
    let deleted = context.deps.options.heavy.run(move || {
        let gone = names.iter().filter(|name| match disk.remove_file(&dir.join(name)) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(file = %dir.join(name).display(), %error, "a local file that is not needed stays");
                false
            }
        });
        gone.count() as u64
    });
    let deleted = deleted.await;
    context.deps.metrics.count(Counter::FilesDeleted, &labels(context), deleted);
    deleted
}

/// What the deep store holds of the table; nothing where it does not say.
async fn list_objects(context: &TableContext) -> Vec<ObjectInfo> {
    match context.deps.deep_store.list(&context.object_prefix()).await {
        Ok(objects) => objects,
        Err(error) => {
            tracing::warn!(%error, "objects that nobody names stay for now");
            vec![]
        }
    }
}

/// Says how many are gone.
pub(crate) async fn delete_objects(deps: &IngestDeps, keys: impl IntoIterator<Item = String>) -> u64 {
    let mut deleted = 0;
    for key in keys {
        match deps.deep_store.delete(&key).await {
            Ok(()) => {
                tracing::info!(key, "deleted an object that no record names");
                deleted += 1;
            }
            Err(error) => tracing::warn!(%error, "an object that no record names stays for now"),
        }
    }
    deleted
}

/// The keys of all objects that a table's records name.
pub(crate) async fn object_keys(context: &TableContext) -> Result<BTreeSet<String>, StoreError> {
    let (store, record) = (&context.deps.store, context.record.load_full());
    let (segments, replays) = (store.segments(&record).await?, store.replays(&record).await?);
    Ok(Named::new(&segments, &replays, &store.doomed(&record).await?).objects)
}

/// Deletes what the deep store holds of tables that were dropped, also what was on its way there; says how many objects.
pub(crate) async fn left(deps: &IngestDeps) -> Result<u64, StoreError> {
    let mut deleted = 0;
    // Where others put objects too, or where it is not known whose they are, a prefix may be theirs as well.
    let left = if deps.options.owns_deep_store { deps.store.leftovers().await? } else { vec![] };
    for left in left {
        let prefix = format!("{}/", IngestOptions::folder_of(&left.table, left.uid));
        let found = match deps.deep_store.list(&prefix).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(table = %left.table, %error, "objects of a dropped table stay for now");
                continue;
            }
        };
        let keys = left_objects(&found, &prefix, left.created_ms);
        let (wanted, gone) = (keys.len() as u64, delete_objects(deps, keys).await);
        deleted += gone;
        if gone == wanted && is_older(left.dropped_ms, ORPHANED_AFTER, deps.clock.wall_ms()) {
            deps.store.forget_leftover(&left).await?;
        }
    }
    Ok(deleted)
}

/// Deletes objects of removed segments whose time has come, each before its note.
async fn delete_doomed(
    context: &TableContext,
    record: &TableRecord,
    doomed: Vec<Doomed>,
    now_ms: i64,
) -> Result<u64, StoreError> {
    let mut gone = vec![];
    for doomed in doomed.into_iter().filter(|doomed| doomed.until_ms <= now_ms) {
        match context.deps.deep_store.delete(&doomed.key).await {
            Ok(()) => gone.push(doomed),
            Err(error) => tracing::warn!(%error, "the object of a removed segment stays for now"),
        }
    }
    if gone.is_empty() {
        return Ok(0);
    }
    context.deps.metrics.count(Counter::ObjectsDeleted, &labels(context), gone.len() as u64);
    context.deps.store.forget_doomed(record, &gone).await?;
    Ok(gone.len() as u64)
}

/// Removes the local folders of tables that the catalog had once and has no more; says how many there were.
pub(super) async fn folders(deps: &IngestDeps) -> Result<u64, IngestError> {
    let places = [deps.options.dir.clone(), deps.options.marks.clone()];
    let disk = deps.disk.clone();
    let listed = deps.options.heavy.run(move || {
        let listed = places.into_iter().map(|place| disk.list(&place).map(|entries| (place, entries)));
        listed.collect::<io::Result<Vec<(PathBuf, Vec<DirEntry>)>>>()
    });
    let no_list = |source| IngestError::Disk { action: "list the folders of tables".into(), source };
    let listed = listed.await.map_err(no_list)?;
    // The folder of a table that is made now has a record already, or is not on the list.
    let live: BTreeSet<String> = deps.store.tables().await?.iter().map(IngestOptions::folder).collect();
    let last_uid = deps.store.last_uid().await?;
    let mut gone = vec![];
    for (place, entries) in &listed {
        gone.extend(orphaned_folders(entries, &live, last_uid).iter().map(|name| place.join(name)));
    }
    let disk = deps.disk.clone();
    Ok(deps.options.heavy.run(move || remove_folders(&disk, &gone)).await)
}

fn remove_folders(disk: &SharedDisk, folders: &[PathBuf]) -> u64 {
    let gone = folders.iter().filter(|folder| match disk.remove_dir_all(folder) {
        Ok(()) => {
            tracing::info!(folder = %folder.display(), "removed the folder of a table that is gone");
            true
        }
        Err(error) => {
            tracing::warn!(folder = %folder.display(), %error, "the folder of a table that is gone stays for now");
            false
        }
    });
    gone.count() as u64
}

/// Removes from the deep store what was begun and never became an object, by a process that died on the way.
pub(super) async fn unfinished(deps: &IngestDeps) -> u64 {
    if !deps.options.owns_deep_store {
        return 0;
    }
    let before_ms = deps.clock.wall_ms().saturating_sub_unsigned(ORPHANED_AFTER.as_millis() as u64);
    deps.deep_store.delete_unfinished(before_ms).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "unfinished objects stay for now");
        0
    })
}
