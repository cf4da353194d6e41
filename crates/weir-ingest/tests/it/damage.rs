//! Files that are cut, or rot, under the process: no row is lost, doubled or made up, and answers get whole again by themselves.

use crate::world::{World, events, table_name};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value as Json, json};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use weir_base::{Disk, MemDisk};
use weir_control::SegmentState;
use weir_files::{FileError, FileSystem, ObjectInfo, Put, SharedFileSystem};
use weir_ingest::Seats;
use weir_table::{SegmentHandle, TableSnapshot};

const ROWS: i64 = 40;

fn messages() -> Vec<Json> {
    (0..ROWS).map(|id| json!({ "id": id })).collect()
}

/// The one file of table `events` in a folder of it.
fn file(disk: &MemDisk, dir: &str) -> (PathBuf, usize) {
    let dir = Path::new("/data/tables/events-1").join(dir);
    let files = disk.list(&dir).unwrap();
    assert_eq!(files.len(), 1, "{files:?}");
    (dir.join(&files[0].name), usize::try_from(files[0].byte_count).unwrap())
}

/// Whether a segment of a snapshot says that it was damaged.
async fn is_damaged(snapshot: &TableSnapshot) -> bool {
    let mut damaged = false;
    for view in &snapshot.segments {
        damaged |= view.segment.open().await.unwrap().damage().is_some();
    }
    damaged
}

/// Asks for a seal until there is one: whoever asks a partition that is being started again asks in vain.
async fn sealed(world: &World) {
    world
        .until("a commit", async || {
            world.node.force_commit(&table_name("events"), None, "me").await.unwrap();
            let segments = world.segments().await;
            segments.iter().any(|segment| matches!(segment.state, SegmentState::Done { .. }))
        })
        .await;
}

async fn all_there(world: &World, what: &str) {
    world.until_visible(ROWS as usize).await;
    assert_eq!(world.ids().await, (0..ROWS).collect::<Vec<_>>(), "{what}");
    world.until("the status", async || world.status().accounting.fetched == ROWS as u64).await;
    assert!(world.status().accounting.balances(), "{what}: {:?}", world.status());
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_is_cut_costs_reading_and_no_row() {
    for (kept_percent, seals) in [(0, false), (60, false), (0, true), (60, true)] {
        let what = format!("{kept_percent} % kept, sealed at once: {seals}");
        let world = World::start(Seats::default()).await;
        world.node.create_table(events(&[]), "me").await.unwrap();
        world.produce(&messages());
        world.until_visible(ROWS as usize).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let world = world.restart().await;
        all_there(&world, &what).await;
        let (path, byte_count) = file(&world.disk, "open");
        let held = world.snapshot();
        assert!(!is_damaged(&held).await, "{what}");
        world.disk.cut(&path, byte_count * kept_percent / 100).unwrap();
        assert!(is_damaged(&held).await, "rows were restored from it: {what}");
        if seals {
            sealed(&world).await;
        }
        all_there(&world, &what).await;
        world.until("no damage", async || !is_damaged(&world.snapshot()).await).await;
        if !seals {
            sealed(&world).await;
        }
        let world = world.restart().await;
        all_there(&world, &what).await;
    }
}

/// Nobody says that the bytes under restored rows are others: no segment is made of them all the same.
#[tokio::test(start_paused = true)]
async fn of_a_checkpoint_that_rots_under_its_rows_no_segment_is_made() {
    let world = World::start(Seats::default()).await;
    world.node.create_table(events(&[]), "me").await.unwrap();
    world.produce(&messages());
    world.until_visible(ROWS as usize).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let world = world.restart().await;
    all_there(&world, "restored").await;
    let held = world.snapshot();
    world.disk.rot(&file(&world.disk, "open").0).unwrap();
    assert!(!is_damaged(&held).await, "nobody knows");
    sealed(&world).await;
    assert!(is_damaged(&held).await, "it was looked at");
    all_there(&world, "sealed").await;
    let world = world.restart().await;
    all_there(&world, "as the deep store has it").await;
}

#[tokio::test(start_paused = true)]
async fn a_sealed_file_that_is_cut_is_put_aside_and_fetched() {
    for kept_percent in [0, 60] {
        let world = World::start(Seats::default()).await;
        world.node.create_table(events(&[]), "me").await.unwrap();
        world.produce(&messages());
        world.until_visible(ROWS as usize).await;
        world.seal(1).await;
        let (path, byte_count) = file(&world.disk, "segments");
        let held = world.snapshot();
        assert!(matches!(held.segments[0].segment, SegmentHandle::Recorded(_)));
        let open = held.segments[0].segment.open().await.unwrap();
        world.disk.cut(&path, byte_count * kept_percent / 100).unwrap();
        assert!(open.damage().unwrap().contains(path.to_str().unwrap()));
        assert_eq!(world.ids().await, (0..ROWS).collect::<Vec<_>>(), "whoever asks next gets it whole");
        assert_eq!(world.disk.byte_count(&path).unwrap(), Some(byte_count as u64));
        let aside = path.with_extension("weir.damaged");
        assert_eq!(world.disk.byte_count(&aside).unwrap(), Some((byte_count * kept_percent / 100) as u64));
        // A clean-up leaves it for people to look at.
        world.node.clean().await;
        assert!(world.disk.byte_count(&aside).unwrap().is_some());
    }
}

/// Cuts the file of the first object that it is given, while it is given it.
struct Cutting {
    inner: SharedFileSystem,
    disk: Arc<MemDisk>,
    puts: AtomicU32,
    deleted: AtomicU32,
}

#[async_trait]
impl FileSystem for Cutting {
    fn uri(&self, key: &str) -> String {
        self.inner.uri(key)
    }

    async fn put_if_absent(&self, key: &str, content: Bytes) -> Result<Put, FileError> {
        if self.puts.fetch_add(1, Ordering::Relaxed) == 0 {
            let (path, _) = file(&self.disk, "segments");
            self.disk.cut(&path, 0).unwrap();
            return self.inner.put_if_absent(key, Bytes::from(vec![0; content.len()])).await;
        }
        self.inner.put_if_absent(key, content).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, FileError> {
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, FileError> {
        self.inner.list(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), FileError> {
        self.deleted.fetch_add(1, Ordering::Relaxed);
        self.inner.delete(key).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_cut_while_it_is_uploaded_is_not_committed() {
    let mut cutting = None;
    let world = World::start_storing(|disk, inner| {
        let (disk, puts, deleted) = (disk.clone(), AtomicU32::new(0), AtomicU32::new(0));
        cutting.insert(Arc::new(Cutting { inner, disk, puts, deleted })).clone()
    })
    .await;
    world.node.create_table(events(&[]), "me").await.unwrap();
    world.produce(&messages());
    world.until_visible(ROWS as usize).await;
    world.seal(1).await;
    let cutting = cutting.unwrap();
    assert_eq!((cutting.puts.load(Ordering::Relaxed), cutting.deleted.load(Ordering::Relaxed)), (2, 1));
    all_there(&world, "made again").await;
    // What was committed is what is stored: it serves a node without the file.
    let (path, _) = file_named(&world, ".weir");
    world.disk.remove_file(&path).unwrap();
    let world = world.restart().await;
    all_there(&world, "fetched").await;
    assert!(world.node.drop_table(&table_name("events"), "me").await.unwrap());
}

/// Puts other bytes under the first keys that it is asked for, before it is given the right ones.
struct Squatting {
    inner: SharedFileSystem,
    left: AtomicU32,
}

#[async_trait]
impl FileSystem for Squatting {
    fn uri(&self, key: &str) -> String {
        self.inner.uri(key)
    }

    async fn put_if_absent(&self, key: &str, content: Bytes) -> Result<Put, FileError> {
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            let mut other = content.to_vec();
            *other.last_mut().unwrap() ^= 1;
            self.inner.put_if_absent(key, other.into()).await?;
        }
        self.inner.put_if_absent(key, content).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, FileError> {
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, FileError> {
        self.inner.list(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), FileError> {
        self.inner.delete(key).await
    }
}

#[tokio::test(start_paused = true)]
async fn other_bytes_under_the_key_of_a_segment_are_not_taken_for_it() {
    for taken in [1, 2, 9] {
        let world = World::start_storing(|_, inner| Arc::new(Squatting { inner, left: AtomicU32::new(taken) })).await;
        world.node.create_table(events(&[]), "me").await.unwrap();
        world.produce(&messages());
        world.until_visible(ROWS as usize).await;
        // Where all keys are taken it says so; those that are put then are further ones of the same, until one is free.
        if taken == 9 {
            world.node.force_commit(&table_name("events"), None, "me").await.unwrap();
            world
                .until("the trouble", async || {
                    let troubles = world.node.seal_troubles(&table_name("events"));
                    troubles.values().any(|why| why.contains("other bytes lie under this key and all others"))
                })
                .await;
            assert_eq!(world.deep_store.list("").await.unwrap().len(), 4, "it does not fill the store");
            continue;
        }
        world.seal(1).await;
        let SegmentState::Done { artifact, .. } = &world.segments().await[0].state else { panic!("it is done") };
        assert!(artifact.key.ends_with(&format!("-{taken}.weir")), "{}", artifact.key);
        assert_eq!(world.deep_store.list("").await.unwrap().len(), taken as usize + 1, "they stay as they are");
        // What the record names is what was built: it serves a node without the file.
        let (path, _) = file_named(&world, ".weir");
        world.disk.remove_file(&path).unwrap();
        let world = world.restart().await;
        all_there(&world, "fetched").await;
    }
}

/// The file of table `events` that is called so; one was put aside beside it.
fn file_named(world: &World, ending: &str) -> (PathBuf, u64) {
    let dir = Path::new("/data/tables/events-1/segments");
    let files = world.disk.list(dir).unwrap();
    let found = files.iter().find(|file| file.name.ends_with(ending)).unwrap_or_else(|| panic!("{files:?}"));
    (dir.join(&found.name), found.byte_count)
}
