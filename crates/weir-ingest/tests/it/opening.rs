//! Files of committed segments are opened behind the start, without anybody asking: the newest first, since those are asked for
//! most.

use crate::world::{World, events};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::json;
use std::{path::Path, sync::Arc};
use weir_base::Disk;
use weir_files::{FileError, FileSystem, ObjectInfo, Put, SharedFileSystem};

/// Notes what is fetched.
struct Noting {
    inner: SharedFileSystem,
    fetched: Mutex<Vec<String>>,
}

#[async_trait]
impl FileSystem for Noting {
    fn uri(&self, key: &str) -> String {
        self.inner.uri(key)
    }

    async fn put_if_absent(&self, key: &str, content: Bytes) -> Result<Put, FileError> {
        self.inner.put_if_absent(key, content).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, FileError> {
        self.fetched.lock().push(key.to_owned());
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
async fn the_newest_segments_are_opened_first() {
    const SEGMENTS: usize = 5;
    let mut noting = None;
    let world =
        World::start_storing(|_, inner| noting.insert(Arc::new(Noting { inner, fetched: Mutex::default() })).clone())
            .await;
    let noting = noting.unwrap();
    world.node.create_table(events(&[]), "me").await.unwrap();
    for number in 1..=SEGMENTS {
        world.produce(&[json!({ "id": number })]);
        world.until_visible(number).await;
        world.seal(number).await;
    }
    // Two stay here: they are opened before anything is fetched, and need not be.
    let dir = Path::new("/data/tables/events-1/segments");
    let files = world.disk.list(dir).unwrap();
    assert_eq!((files.len(), noting.fetched.lock().len()), (SEGMENTS, 0));
    for file in files.iter().take(SEGMENTS - 2) {
        world.disk.remove_file(&dir.join(&file.name)).unwrap();
    }
    let world = world.restart().await;
    world.until("all are opened", async || noting.fetched.lock().len() == SEGMENTS - 2).await;
    let sequences: Vec<String> =
        noting.fetched.lock().iter().map(|key| key.split("__").nth(2).unwrap_or_default().to_owned()).collect();
    assert_eq!(sequences, ["2", "1", "0"]);
    assert_eq!(world.ids().await, [1, 2, 3, 4, 5]);
    assert_eq!(noting.fetched.lock().len(), SEGMENTS - 2, "each was fetched once, and nothing that was here");
}
