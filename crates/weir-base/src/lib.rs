//! The only door to time, chance, disks, checked frames of bytes, the environment, spawning, back-off and metric names. It knows no word of
//! our domain.

pub mod backoff;
pub mod chance;
pub mod clock;
pub mod disk;
pub mod frames;
pub mod metrics;
pub mod outside;
pub mod tasks;

pub use backoff::Backoff;
pub use chance::Chance;
pub use clock::{Clock, SetClock, SharedClock, SimClock, SystemClock};
pub use disk::{
    AppendFile, BlockBuffer, DirEntry, Disk, FileLock, Mapped, MemDisk, RandomFile, RealDisk, SharedDisk, lock_file,
};
