//! A mapped file of the disk in memory, and what can become of its bytes.

use crate::disk::Held;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

/// What became of mapped bytes: zeros, either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The system says so.
    Lost,
    /// Nobody says so.
    Rotten,
}

pub(super) struct Map {
    path: PathBuf,
    bytes: Vec<u8>,
    zeros: OnceLock<Vec<u8>>,
    /// Nothing while they are as they were.
    pub(super) fate: Arc<OnceLock<Fate>>,
}

impl Map {
    pub(super) fn new(path: &Path, bytes: Vec<u8>) -> Self {
        Self { path: path.to_owned(), bytes, zeros: OnceLock::new(), fate: Arc::default() }
    }
}

impl Held for Map {
    fn bytes(&self) -> &[u8] {
        match self.fate.get() {
            None => &self.bytes,
            Some(_) => self.zeros.get_or_init(|| vec![0; self.bytes.len()]),
        }
    }

    fn damage(&self) -> Option<String> {
        let lost = self.fate.get() == Some(&Fate::Lost);
        lost.then(|| format!("{}: it was cut while it was mapped", self.path.display()))
    }
}
