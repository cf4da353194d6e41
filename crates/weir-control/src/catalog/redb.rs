//! The embedded catalog: one redb file on a `Disk`, one writer thread, one sync for all transactions that wait; and all that is
//! in the file in memory, where it is read, so that no reader waits for a disk.
//!
//! The file has two tables: `meta` (`format` = the format's version, `last` = the number of the last transaction) and
//! `entries` (key to eight bytes of version, little endian, then the value). After an error of the disk the engine refuses
//! all work until the file is opened again; the writer does that before the next transaction, so a disk that was full
//! and has room again needs no restart. Until then the entries are as they were last confirmed: what of an unconfirmed group
//! the file has all the same is taken in, and told to watchers, when it is opened, which is tried at once.

use crate::catalog::{
    Catalog, CatalogError, CatalogWatch, Change, Check, Entry, Op, TxnOutcome,
    queue::{Entrance, Exit, Waiting, queue},
    storage::DiskStorage,
    watch::Watchers,
};
use parking_lot::{Mutex, RwLock};
use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition};
use std::{
    collections::BTreeMap,
    fmt,
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};
use weir_base::disk::SharedDisk;

const ENTRIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("entries");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The file format that this release writes. A file with a greater number is refused.
const FORMAT: u64 = 1;

/// Memory for the engine's cache: the pages that a transaction changes, and those on the way to them. Readers need none.
const CACHE_BYTES: usize = 8 << 20;

/// The catalog in one file.
pub struct RedbCatalog {
    file: Arc<File>,
    watchers: Watchers,
    /// Taken when the catalog is dropped: the writer ends once no entrance is left. `None` where each caller writes itself.
    entrance: Option<Entrance>,
    writer: Option<JoinHandle<()>>,
}

impl fmt::Debug for RedbCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbCatalog").field("path", &self.file.path).finish_non_exhaustive()
    }
}

impl RedbCatalog {
    /// Opens the catalog at `path` and makes it where it is absent; parent folders are made. Errors: the disk's, a file
    /// of a newer release, a file that is no catalog.
    pub fn open(disk: SharedDisk, path: impl AsRef<Path>) -> Result<Self, CatalogError> {
        let mut catalog = Self::open_inline(disk, path)?;
        let (entrance, exit) = queue();
        let (for_writer, tell) = (catalog.file.clone(), catalog.watchers.clone());
        let spawned =
            std::thread::Builder::new().name("weir-catalog".into()).spawn(move || write_all(&for_writer, exit, &tell));
        catalog.writer = Some(spawned.map_err(io_error("start the catalog's writer"))?);
        catalog.entrance = Some(entrance);
        Ok(catalog)
    }

    /// Like `open`, without a thread: each transaction is committed by its caller, before it waits for anything. For
    /// simulation, where threads would bring chance.
    pub fn open_inline(disk: SharedDisk, path: impl AsRef<Path>) -> Result<Self, CatalogError> {
        let file =
            File { disk, path: path.as_ref().to_owned(), database: Mutex::default(), entries: RwLock::default() };
        file.open_anew(&mut file.database.lock())?;
        Ok(Self { file: Arc::new(file), watchers: Watchers::new(), entrance: None, writer: None })
    }
}

impl Drop for RedbCatalog {
    fn drop(&mut self) {
        drop(self.entrance.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the catalog's writer panicked");
        }
    }
}

#[async_trait::async_trait]
impl Catalog for RedbCatalog {
    async fn get(&self, key: &str) -> Result<Option<Entry>, CatalogError> {
        Ok(self.file.entries.read().get(key).cloned())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Entry)>, CatalogError> {
        let entries = self.file.entries.read();
        let from = entries.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        let found = from.take_while(|(key, _)| key.starts_with(prefix));
        Ok(found.map(|(key, entry)| (key.clone(), entry.clone())).collect())
    }

    async fn txn(&self, checks: Vec<Check>, ops: Vec<Op>) -> Result<TxnOutcome, CatalogError> {
        let Some(entrance) = &self.entrance else {
            // The answer's way stays unused: one transaction, one outcome.
            let alone = [Waiting { checks, ops, answer: tokio::sync::oneshot::channel().0 }];
            let outcome = self.file.apply(&alone, &self.watchers);
            self.file.recover(&self.watchers);
            return outcome?.pop().ok_or(CatalogError::Closed);
        };
        entrance.pass(checks, ops).await
    }

    fn watch(&self, prefix: &str) -> CatalogWatch {
        self.watchers.watch(prefix)
    }
}

/// The file, and what is in it.
struct File {
    disk: SharedDisk,
    path: PathBuf,
    /// Locked by who writes; `None` between a disk error and the next attempt to open it.
    database: Mutex<Option<Database>>,
    /// All of the file's entries, as they were last confirmed. Never locked while a disk is waited for.
    entries: RwLock<BTreeMap<String, Entry>>,
}

impl File {
    /// Opens the file, or opens it again after an error. What is in it and was not known.
    fn open_anew(&self, database: &mut Option<Database>) -> Result<Vec<Change>, CatalogError> {
        // The old one lets go of the file first.
        drop(database.take());
        let opened = self.open()?;
        let there = all(&opened)?;
        let mut known = self.entries.write();
        let changed = there.iter().filter(|(key, entry)| known.get(*key) != Some(entry));
        let changed = changed.map(|(key, entry)| Change { key: key.clone(), entry: Some(entry.clone()) });
        let gone = known.keys().filter(|key| !there.contains_key(*key));
        let gone = gone.map(|key| Change { key: key.clone(), entry: None });
        let changes = changed.chain(gone).collect();
        *known = there;
        *database = Some(opened);
        Ok(changes)
    }

    fn open(&self) -> Result<Database, CatalogError> {
        let shown = self.path.display();
        let doing = format!("open the catalog {shown}");
        if let Some(parent) = self.path.parent() {
            self.disk.create_dir_all(parent).map_err(io_error(&doing))?;
        }
        let file = self.disk.open_random(&self.path).map_err(io_error(&doing))?;
        let fresh = file.byte_count().map_err(io_error(&doing))? == 0;
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let opened = builder.create_with_backend(DiskStorage::new(file));
        let database = opened.map_err(engine(|| doing.clone()))?;
        self.check_format(&database)?;
        if fresh && let Some(parent) = self.path.parent() {
            self.disk.sync_dir(parent).map_err(io_error(&doing))?;
        }
        Ok(database)
    }

    fn check_format(&self, database: &Database) -> Result<(), CatalogError> {
        let doing = || "read the catalog's format".to_owned();
        let transaction = database.begin_write().map_err(engine(doing))?;
        let found = {
            let mut meta = transaction.open_table(META).map_err(engine(doing))?;
            transaction.open_table(ENTRIES).map_err(engine(doing))?;
            let found = meta.get("format").map_err(engine(doing))?.map(|format| format.value());
            if found.is_none() {
                meta.insert("format", FORMAT).map_err(engine(doing))?;
            }
            found
        };
        match found {
            Some(FORMAT) => transaction.abort().map_err(engine(doing)),
            None => transaction.commit().map_err(engine(doing)),
            Some(found) if found > FORMAT => {
                let path = self.path.display().to_string();
                Err(CatalogError::NewerFormat { path, found, known: FORMAT })
            }
            Some(found) => {
                let reason = format!("format {found} was never written by any release");
                Err(CatalogError::Corrupt { action: doing(), reason })
            }
        }
    }

    /// Applies a group in one durable commit, and tells what changed. An error is everybody's.
    fn apply(&self, group: &[Waiting], watchers: &Watchers) -> Result<Vec<TxnOutcome>, CatalogError> {
        let mut database = self.database.lock();
        if database.is_none() {
            self.open_anew(&mut database)?.into_iter().for_each(|change| watchers.tell(change));
        }
        let opened = database.as_ref().ok_or(CatalogError::Closed)?;
        let applied = match apply(opened, group) {
            Err(error @ CatalogError::Io { .. }) => {
                // The engine works again only once the file was opened anew. Whether the group happened is seen by whoever
                // repeats it: its checks then fail.
                drop(database.take());
                return Err(error);
            }
            applied => applied?,
        };
        let (outcomes, changes): (Vec<_>, Vec<_>) = applied.into_iter().unzip();
        let changes: Vec<Change> = changes.into_iter().flatten().collect();
        // Whoever is told of a change reads it.
        self.take_in(&changes);
        changes.into_iter().for_each(|change| watchers.tell(change));
        Ok(outcomes)
    }

    /// After an error: what the file has of the group that was not confirmed. Where it cannot be opened, whoever writes next
    /// tries again, and is told.
    fn recover(&self, watchers: &Watchers) {
        let mut database = self.database.lock();
        if database.is_none()
            && let Ok(changes) = self.open_anew(&mut database)
        {
            changes.into_iter().for_each(|change| watchers.tell(change));
        }
    }

    fn take_in(&self, changes: &[Change]) {
        let mut entries = self.entries.write();
        for change in changes {
            match &change.entry {
                Some(entry) => drop(entries.insert(change.key.clone(), entry.clone())),
                None => drop(entries.remove(&change.key)),
            }
        }
    }
}

/// All entries of the file.
fn all(database: &Database) -> Result<BTreeMap<String, Entry>, CatalogError> {
    let doing = || "read the catalog".to_owned();
    let transaction = database.begin_read().map_err(engine(doing))?;
    let table = transaction.open_table(ENTRIES).map_err(engine(doing))?;
    let mut entries = BTreeMap::new();
    for item in table.iter().map_err(engine(doing))? {
        let (key, value) = item.map_err(engine(doing))?;
        entries.insert(key.value().to_owned(), decode(key.value(), value.value())?);
    }
    Ok(entries)
}

/// Each transaction's outcome, and what it changed.
fn apply(database: &Database, group: &[Waiting]) -> Result<Vec<(TxnOutcome, Vec<Change>)>, CatalogError> {
    let doing = || "commit to the catalog".to_owned();
    let transaction = database.begin_write().map_err(engine(doing))?;
    let mut outcomes = Vec::with_capacity(group.len());
    {
        let mut entries = transaction.open_table(ENTRIES).map_err(engine(doing))?;
        let mut meta = transaction.open_table(META).map_err(engine(doing))?;
        let mut last = meta.get("last").map_err(engine(doing))?.map_or(0, |last| last.value());
        for waiting in group {
            match broken_check(&entries, &waiting.checks)? {
                Some(key) => outcomes.push((TxnOutcome::Conflict(key), vec![])),
                None => {
                    last += 1;
                    let changes = perform(&mut entries, &waiting.ops, last)?;
                    outcomes.push((TxnOutcome::Committed(last), changes));
                }
            }
        }
        meta.insert("last", last).map_err(engine(doing))?;
    }
    if outcomes.iter().any(|(outcome, _)| matches!(outcome, TxnOutcome::Committed(_))) {
        transaction.commit().map_err(engine(doing))?;
    } else {
        transaction.abort().map_err(engine(doing))?;
    }
    Ok(outcomes)
}

fn broken_check(entries: &Table<'_, &str, &[u8]>, checks: &[Check]) -> Result<Option<String>, CatalogError> {
    for check in checks {
        let found = entries.get(&*check.key).map_err(engine(|| format!("check {}", check.key)))?;
        let found = found.map(|value| decode(&check.key, value.value())).transpose()?;
        if found.map(|entry| entry.version) != check.version {
            return Ok(Some(check.key.clone()));
        }
    }
    Ok(None)
}

fn perform(entries: &mut Table<'_, &str, &[u8]>, ops: &[Op], version: u64) -> Result<Vec<Change>, CatalogError> {
    let mut changes = Vec::with_capacity(ops.len());
    for op in ops {
        match op {
            Op::Put(key, value) => {
                let bytes = [&version.to_le_bytes()[..], value].concat();
                entries.insert(&**key, &*bytes).map_err(engine(|| format!("put {key}")))?;
                changes.push(Change { key: key.clone(), entry: Some(Entry { value: value.clone(), version }) });
            }
            Op::Delete(key) => {
                let was = entries.remove(&**key).map_err(engine(|| format!("delete {key}")))?;
                if was.is_some() {
                    changes.push(Change { key: key.clone(), entry: None });
                }
            }
        }
    }
    Ok(changes)
}

fn decode(key: &str, bytes: &[u8]) -> Result<Entry, CatalogError> {
    let Some((version, value)) = bytes.split_first_chunk::<8>() else {
        let reason = format!("its entry has {} bytes, at least 8 were written", bytes.len());
        return Err(CatalogError::Corrupt { action: format!("read {key}"), reason });
    };
    Ok(Entry { value: value.to_vec(), version: u64::from_le_bytes(*version) })
}

/// The writer's life: take what waits, commit, tell the watchers, answer.
fn write_all(file: &File, mut exit: Exit, watchers: &Watchers) {
    while let Some(group) = exit.take() {
        match file.apply(&group, watchers) {
            Ok(outcomes) => {
                for (waiting, outcome) in group.into_iter().zip(outcomes) {
                    // Who no longer waits does not need the answer.
                    waiting.answer.send(Ok(outcome)).ok();
                }
            }
            Err(error) => {
                for waiting in group {
                    waiting.answer.send(Err(error.clone())).ok();
                }
                file.recover(watchers);
            }
        }
    }
}

fn io_error(action: &str) -> impl Fn(std::io::Error) -> CatalogError {
    move |source| CatalogError::Io { action: action.to_owned(), source: Arc::new(source) }
}

/// Sorts the engine's errors: the disk's, the file's, its own.
fn engine<E: Into<redb::Error>>(doing: impl Fn() -> String) -> impl Fn(E) -> CatalogError {
    move |error| {
        let action = doing();
        match error.into() {
            redb::Error::Io(source) if source.kind() == std::io::ErrorKind::InvalidData => {
                CatalogError::Corrupt { action, reason: source.to_string() }
            }
            redb::Error::Io(source) => CatalogError::Io { action, source: Arc::new(source) },
            error @ (redb::Error::PreviousIo | redb::Error::DatabaseClosed) => {
                CatalogError::Io { action, source: Arc::new(std::io::Error::other(error)) }
            }
            error @ (redb::Error::Corrupted(_) | redb::Error::RepairAborted) => {
                CatalogError::Corrupt { action, reason: error.to_string() }
            }
            redb::Error::UpgradeRequired(format) => CatalogError::Corrupt {
                action,
                reason: format!("the file has the engine's old format {format}, which no release of ours wrote"),
            },
            error => CatalogError::Engine { action, reason: error.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{WatchEvent, conformance::conformance};
    use weir_base::{
        Chance,
        disk::{MemDisk, RealDisk},
    };

    fn path() -> &'static Path {
        Path::new("/data/catalog.redb")
    }

    #[tokio::test]
    async fn conforms_without_a_thread() {
        let disk = MemDisk::new(None);
        conformance(&mut || RedbCatalog::open_inline(disk.clone(), path()).unwrap()).await;
    }

    #[tokio::test]
    async fn conforms_in_memory() {
        let disk = MemDisk::new(None);
        conformance(&mut || RedbCatalog::open(disk.clone(), path()).unwrap()).await;
    }

    #[tokio::test]
    async fn conforms_on_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/down/catalog.redb");
        conformance(&mut || RedbCatalog::open(RealDisk::shared(), &path).unwrap()).await;
    }

    fn put(key: &str, value: &[u8]) -> Vec<Op> {
        vec![Op::Put(key.into(), value.into())]
    }

    #[tokio::test]
    async fn what_was_acknowledged_survives_a_power_loss() {
        let mut chance = Chance::seeded(11);
        let disk = MemDisk::new(None);
        let mut kept: Vec<String> = vec![];
        for round in 0..20 {
            let catalog = RedbCatalog::open(disk.clone(), path()).unwrap();
            let held: Vec<String> = catalog.list("").await.unwrap().into_iter().map(|(key, _)| key).collect();
            assert_eq!(held, kept, "round {round}");
            for at in 0..chance.below(20) {
                let key = format!("{round:02}/{at:02}");
                catalog.txn(vec![], put(&key, &[7; 300])).await.unwrap();
                kept.push(key);
            }
            disk.crash(&mut chance);
            drop(catalog);
        }
        assert!(kept.len() > 20);
    }

    #[tokio::test]
    async fn a_full_disk_is_an_error_until_there_is_room_again() {
        let disk = MemDisk::new(None);
        let catalog = RedbCatalog::open(disk.clone(), path()).unwrap();
        catalog.txn(vec![], put("before", b"1")).await.unwrap();
        disk.set_capacity(Some(disk.used_bytes()));
        let big = vec![7; 4 << 20];
        let full = catalog.txn(vec![], put("big", &big)).await;
        assert!(matches!(full, Err(CatalogError::Io { .. })), "{full:?}");
        assert_eq!(catalog.get("before").await.unwrap().unwrap().value, b"1", "reads go on");
        disk.set_capacity(None);
        assert!(matches!(catalog.txn(vec![], put("big", &big)).await, Ok(TxnOutcome::Committed(_))));
        drop(catalog);
        let catalog = RedbCatalog::open(disk, path()).unwrap();
        assert_eq!(catalog.get("big").await.unwrap().unwrap().value, big);
    }

    /// On one thread: a reader that waited for the disk on it would keep the test from going on.
    #[tokio::test]
    async fn readers_wait_for_no_disk() {
        let disk = MemDisk::new(None);
        let catalog = Arc::new(RedbCatalog::open(disk.clone(), path()).unwrap());
        catalog.txn(vec![], put("k", b"1")).await.unwrap();
        drop(catalog.file.database.lock().take());
        disk.hold_opening(true);
        let writing = tokio::spawn({
            let catalog = catalog.clone();
            async move { catalog.txn(vec![], put("k", b"2")).await }
        });
        while catalog.file.database.try_lock().is_some() {
            tokio::task::yield_now().await;
        }
        assert_eq!(catalog.get("k").await.unwrap().unwrap().value, b"1");
        assert_eq!(catalog.list("").await.unwrap().len(), 1);
        assert!(!writing.is_finished());
        disk.hold_opening(false);
        writing.await.unwrap().unwrap();
        assert_eq!(catalog.get("k").await.unwrap().unwrap().value, b"2");
    }

    #[tokio::test]
    async fn what_an_unconfirmed_group_left_in_the_file_is_taken_in_and_told() {
        let catalog = RedbCatalog::open_inline(MemDisk::new(None), path()).unwrap();
        for key in ["gone", "new", "same"] {
            catalog.txn(vec![], put(key, b"1")).await.unwrap();
        }
        // As if the last transactions had not been confirmed.
        let unknown = catalog.file.entries.write().remove("new").unwrap();
        catalog.file.entries.write().insert("never".into(), unknown);
        drop(catalog.file.database.lock().take());
        let mut watch = catalog.watch("");
        catalog.txn(vec![], vec![Op::Delete("gone".into())]).await.unwrap();
        let mut told = vec![];
        while told.len() < 3 {
            let Some(WatchEvent::Changed(change)) = watch.next().await else { panic!("changes alone") };
            told.push((change.key, change.entry.is_some()));
        }
        assert_eq!(told, [("new".into(), true), ("never".into(), false), ("gone".into(), false)]);
        let keys: Vec<String> = catalog.list("").await.unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["new", "same"]);
    }

    #[tokio::test]
    async fn a_newer_format_is_refused_by_name_and_number() {
        let disk = MemDisk::new(None);
        let catalog = RedbCatalog::open(disk.clone(), path()).unwrap();
        {
            let database = catalog.file.database.lock();
            let transaction = database.as_ref().unwrap().begin_write().unwrap();
            transaction.open_table(META).unwrap().insert("format", FORMAT + 1).unwrap();
            transaction.commit().unwrap();
        }
        drop(catalog);
        let error = RedbCatalog::open(disk, path()).unwrap_err();
        assert!(matches!(error, CatalogError::NewerFormat { found: 2, known: 1, .. }), "{error}");
        assert!(error.to_string().contains("/data/catalog.redb has format 2"), "{error}");
    }

    #[test]
    fn what_is_no_catalog_is_said_to_be_none() {
        let disk = MemDisk::new(None);
        weir_base::Disk::write_whole(&*disk, path(), &[b'x'; 8192]).unwrap();
        let error = RedbCatalog::open(disk, path()).unwrap_err();
        assert!(matches!(error, CatalogError::Corrupt { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_group_shares_a_commit_and_sees_itself() {
        let catalog = Arc::new(RedbCatalog::open(MemDisk::new(None), path()).unwrap());
        // Each increments what the one before it wrote; all are in the queue at once.
        let mut done = 0;
        while done < 100 {
            let version = catalog.get("n").await.unwrap().map(|entry| entry.version);
            let tries = (0..8).map(|_| {
                let check = Check { key: "n".into(), version };
                catalog.txn(vec![check], put("n", b"x"))
            });
            let outcomes = futures::future::join_all(tries).await;
            let won = outcomes.iter().filter(|outcome| matches!(outcome, Ok(TxnOutcome::Committed(_)))).count();
            assert_eq!(won, 1);
            done += won;
        }
        assert!(catalog.get("n").await.unwrap().unwrap().version >= 100);
    }
}
