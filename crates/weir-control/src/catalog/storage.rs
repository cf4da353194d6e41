//! The engine's file lies on a `Disk` like every other durable byte, so that a full or failing disk can be simulated.

use std::{fmt, io};
use weir_base::disk::RandomFile;

/// A random-access file of our disk as the engine's storage.
pub(super) struct DiskStorage(Box<dyn RandomFile>);

impl DiskStorage {
    pub(super) fn new(file: Box<dyn RandomFile>) -> Self {
        Self(file)
    }
}

impl fmt::Debug for DiskStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiskStorage")
    }
}

impl redb::StorageBackend for DiskStorage {
    fn len(&self) -> io::Result<u64> {
        self.0.byte_count()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_byte_count(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, data)
    }
}
