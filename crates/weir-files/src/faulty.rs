//! A file system with faults, for simulation: it can be down, fail at random, and lose the answer to what it did.

use crate::{FileError, FileSystem, ObjectInfo, Put, SharedFileSystem};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use weir_base::Chance;
use weir_types::{ErrorKind, Retry};

struct Faults {
    down: bool,
    error_rate: f64,
    lost_acks: f64,
    chance: Chance,
}

/// Wraps another file system. Without settings it has no faults.
pub struct Faulty {
    inner: SharedFileSystem,
    faults: Mutex<Faults>,
}

impl Faulty {
    /// Faults of `chance` before `inner`.
    #[must_use]
    pub fn new(inner: SharedFileSystem, chance: Chance) -> Arc<Self> {
        Arc::new(Self { inner, faults: Mutex::new(Faults { down: false, error_rate: 0.0, lost_acks: 0.0, chance }) })
    }

    /// Nothing works until it is set back.
    pub fn set_down(&self, down: bool) {
        self.faults.lock().down = down;
    }

    /// How many of all calls fail without having done anything, in [0, 1].
    pub fn set_error_rate(&self, rate: f64) {
        self.faults.lock().error_rate = rate;
    }

    /// How many of the writes and deletions that worked are told as failed, in [0, 1].
    pub fn set_lost_acks(&self, rate: f64) {
        self.faults.lock().lost_acks = rate;
    }

    fn before(&self, action: &'static str, key: &str) -> Result<(), FileError> {
        let mut faults = self.faults.lock();
        let rate = faults.error_rate;
        let reason = if faults.down {
            "the store is down"
        } else if faults.chance.hit(rate) {
            "the store failed"
        } else {
            return Ok(());
        };
        Err(self.unavailable(action, key, reason))
    }

    fn after(&self, action: &'static str, key: &str) -> Result<(), FileError> {
        let mut faults = self.faults.lock();
        let rate = faults.lost_acks;
        if faults.chance.hit(rate) {
            return Err(self.unavailable(action, key, "the answer was lost"));
        }
        Ok(())
    }

    fn unavailable(&self, action: &'static str, key: &str, reason: &str) -> FileError {
        let (uri, reason) = (self.inner.uri(key), reason.to_owned());
        FileError { action, uri, reason, kind: ErrorKind::Unavailable, retry: Retry::Later }
    }
}

#[async_trait]
impl FileSystem for Faulty {
    fn uri(&self, key: &str) -> String {
        self.inner.uri(key)
    }

    async fn put_if_absent(&self, key: &str, content: Bytes) -> Result<Put, FileError> {
        self.before("write", key)?;
        let put = self.inner.put_if_absent(key, content).await?;
        self.after("write", key)?;
        Ok(put)
    }

    async fn get(&self, key: &str) -> Result<Bytes, FileError> {
        self.before("read", key)?;
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, FileError> {
        self.before("list", prefix)?;
        self.inner.list(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), FileError> {
        self.before("delete", key)?;
        self.inner.delete(key).await?;
        self.after("delete", key)
    }

    fn guard(&self, key: &str, content: &Bytes) {
        self.inner.guard(key, content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory;
    use weir_types::Classify;

    #[tokio::test]
    async fn without_faults_it_is_what_it_wraps() {
        crate::conformance::conformance(Faulty::new(memory(), Chance::seeded(1))).await;
    }

    #[tokio::test]
    async fn a_lost_answer_has_done_its_work_and_an_error_has_not() {
        let inner = memory();
        let faulty = Faulty::new(inner.clone(), Chance::seeded(1));
        faulty.set_error_rate(1.0);
        let error = faulty.put_if_absent("a", Bytes::from_static(b"1")).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Later);
        assert!(inner.list("").await.unwrap().is_empty());
        faulty.set_error_rate(0.0);
        faulty.set_lost_acks(1.0);
        faulty.put_if_absent("a", Bytes::from_static(b"1")).await.unwrap_err();
        assert_eq!(inner.get("a").await.unwrap(), "1");
        faulty.set_lost_acks(0.0);
        assert_eq!(faulty.put_if_absent("a", Bytes::from_static(b"1")).await.unwrap(), Put::AlreadyThere);
        faulty.set_down(true);
        assert!(faulty.get("a").await.is_err() && faulty.list("").await.is_err() && faulty.delete("a").await.is_err());
        faulty.set_down(false);
        faulty.get("a").await.unwrap();
    }

    #[tokio::test]
    async fn the_same_seed_gives_the_same_faults() {
        let mut runs = vec![];
        for _ in 0..2 {
            let faulty = Faulty::new(memory(), Chance::seeded(7));
            faulty.set_error_rate(0.5);
            let mut run = vec![];
            for _ in 0..64 {
                run.push(faulty.list("").await.is_ok());
            }
            assert!(run.contains(&true) && run.contains(&false));
            runs.push(run);
        }
        assert_eq!(runs[0], runs[1]);
    }
}
