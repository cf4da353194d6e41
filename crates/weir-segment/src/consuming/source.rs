//! The file that rows of a consuming segment were restored from.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};
use weir_base::Mapped;

/// Compares the bytes of a file with the checksums that lie in it, and says what is not as it was written.
pub type Check = dyn Fn(&[u8]) -> Option<String> + Send + Sync;

/// A mapped file of which rows are read when they are asked for.
#[derive(Clone)]
pub(super) struct Source {
    file: Mapped,
    check: Option<Arc<Check>>,
    /// What a check found; for all who hold rows of it.
    found: Arc<OnceLock<String>>,
}

impl Source {
    pub(super) fn new(file: Mapped) -> Self {
        Self { file, check: None, found: Arc::default() }
    }

    pub(super) fn checked_by(self, check: Arc<Check>) -> Self {
        Self { check: Some(check), ..self }
    }

    /// Why what was read of it is of no use, as far as that is known.
    pub(super) fn damage(&self) -> Option<String> {
        self.found.get().cloned().or_else(|| self.file.damage())
    }

    /// The same, once all of it was looked at.
    pub(super) fn look_again(&self) -> Option<String> {
        if let Some(what) = self.check.as_ref().and_then(|check| check(&self.file)) {
            self.found.get_or_init(|| what);
        }
        self.damage()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("byte_count", &self.file.len()).finish_non_exhaustive()
    }
}
