//! Objects in memory, for tests and simulation: gone with the value.

use crate::{FileError, FileSystem, ObjectInfo, Put, SharedFileSystem, key};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::{collections::BTreeMap, ops::Bound, sync::Arc};
use weir_base::{SharedClock, SystemClock};

const ROOT: &str = "memory://";

/// A new, empty file system in memory.
#[must_use]
pub fn memory() -> SharedFileSystem {
    MemoryFiles::new(SystemClock::shared())
}

struct Object {
    content: Bytes,
    modified_ms: i64,
}

/// Objects in memory.
pub struct MemoryFiles {
    objects: Mutex<BTreeMap<String, Object>>,
    clock: SharedClock,
}

impl MemoryFiles {
    /// An empty file system whose times are those of `clock`.
    #[must_use]
    pub fn new(clock: SharedClock) -> Arc<Self> {
        Arc::new(Self { objects: Mutex::default(), clock })
    }
}

#[async_trait]
impl FileSystem for MemoryFiles {
    fn uri(&self, key: &str) -> String {
        format!("{ROOT}/{key}")
    }

    async fn put_if_absent(&self, key: &str, content: Bytes) -> Result<Put, FileError> {
        key::check("write", ROOT, key)?;
        let mut objects = self.objects.lock();
        if let Some(object) = objects.get(key) {
            return Ok(if object.content == content { Put::AlreadyThere } else { Put::Taken });
        }
        objects.insert(key.to_owned(), Object { content, modified_ms: self.clock.wall_ms() });
        Ok(Put::Created)
    }

    async fn get(&self, key: &str) -> Result<Bytes, FileError> {
        key::check("read", ROOT, key)?;
        let objects = self.objects.lock();
        let object = objects.get(key).ok_or_else(|| FileError::absent("read", self.uri(key)))?;
        Ok(object.content.clone())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, FileError> {
        let objects = self.objects.lock();
        let from = objects.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        let found = from.take_while(|(key, _)| key.starts_with(prefix)).map(|(key, object)| ObjectInfo {
            key: key.clone(),
            byte_count: object.content.len() as u64,
            modified_ms: object.modified_ms,
        });
        Ok(found.collect())
    }

    async fn delete(&self, key: &str) -> Result<(), FileError> {
        key::check("delete", ROOT, key)?;
        self.objects.lock().remove(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn conforms() {
        crate::conformance::conformance(memory()).await;
    }
}
