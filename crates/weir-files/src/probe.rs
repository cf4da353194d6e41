//! Whether a file system can do what Weir needs of it, asked once at start: a deep store that cannot be written is told
//! then and not at the first seal.

use crate::{FileError, FileSystem, Put};
use bytes::Bytes;
use weir_base::Chance;
use weir_types::{ErrorKind, Retry};

/// Writes a small object under a name of its own, sees that it is not overwritten, reads and deletes it.
pub async fn probe(files: &dyn FileSystem) -> Result<(), FileError> {
    let mut chance = Chance::from_entropy();
    let key = format!(".weir-probe-{:016x}", chance.u64());
    let result = attempt(files, &key, &mut chance).await;
    if let Err(error) = files.delete(&key).await {
        // The first error is the one to tell.
        result?;
        return Err(error);
    }
    result
}

async fn attempt(files: &dyn FileSystem, key: &str, chance: &mut Chance) -> Result<(), FileError> {
    let unfit = |reason: &str| FileError {
        action: "write",
        uri: files.uri(key),
        reason: reason.to_owned(),
        kind: ErrorKind::Invalid,
        retry: Retry::Never,
    };
    let content = Bytes::from(format!("weir probe {:016x}", chance.u64()));
    // A repeated request may find what its first try wrote: only the content tells.
    files.put_if_absent(key, content.clone()).await?;
    let again = files.put_if_absent(key, Bytes::from_static(b"weir probe, second writer")).await?;
    if again != Put::Taken {
        return Err(unfit("the store overwrites objects: it does not support conditional writes (If-None-Match)"));
    }
    if files.get(key).await? != content {
        return Err(unfit("the store gives back other bytes than were written"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Faulty, ObjectInfo, SharedFileSystem, memory};
    use async_trait::async_trait;
    use weir_types::Classify;

    struct Overwriting(SharedFileSystem);

    #[async_trait]
    impl FileSystem for Overwriting {
        fn uri(&self, key: &str) -> String {
            self.0.uri(key)
        }

        async fn put_if_absent(&self, key: &str, content: Bytes) -> Result<Put, FileError> {
            self.0.delete(key).await?;
            self.0.put_if_absent(key, content).await
        }

        async fn get(&self, key: &str) -> Result<Bytes, FileError> {
            self.0.get(key).await
        }

        async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, FileError> {
            self.0.list(prefix).await
        }

        async fn delete(&self, key: &str) -> Result<(), FileError> {
            self.0.delete(key).await
        }
    }

    #[tokio::test]
    async fn a_good_store_passes_and_nothing_is_left() {
        let files = memory();
        probe(&*files).await.unwrap();
        assert!(files.list("").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_unfit_store_is_told() {
        let inner = memory();
        let error = probe(&Overwriting(inner.clone())).await.unwrap_err();
        assert!(error.to_string().contains("If-None-Match"), "{error}");
        assert!(inner.list("").await.unwrap().is_empty());
        let down = Faulty::new(inner, Chance::seeded(1));
        down.set_down(true);
        assert_eq!(probe(&*down).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}
