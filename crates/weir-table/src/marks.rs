//! Up to where each partition was visible, in a small file that survives the process being killed.
//!
//! One store of eight bytes per publish, made before the swap, so that no answer ever showed more than the mark says.
//! The page cache keeps it when the process dies; when the machine dies it does not, so the file names the boot it was
//! written in, and marks of another boot are not trusted: the end of the log at start takes their place.
//!
//! One file per table and partition. Layout, little-endian: 8 bytes magic `WEIRMRK1`, 16 bytes of the boot's identity,
//! one `u64` holding offset + 1 (0: never visible).

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use weir_base::{RandomFile, SharedDisk};
use weir_types::{NextOffset, StreamPartition};

const MAGIC: &[u8; 8] = b"WEIRMRK1";
const MARK_AT: u64 = 24;

/// The marks of one table's partitions.
pub struct VisibleMarks {
    disk: SharedDisk,
    dir: PathBuf,
    boot: [u8; 16],
}

/// One partition's mark.
pub struct Mark {
    file: Box<dyn RandomFile>,
    /// What the file says: offset + 1.
    written: AtomicU64,
}

impl Mark {
    /// Says that everything before `next` may be seen from now on. A mark never goes back: a partition that reads again
    /// what was visible before, and is stopped once more on the way, still owes all of it. One writer at a time.
    pub fn raise(&self, next: NextOffset) -> io::Result<()> {
        let raised = next.number().saturating_add(1);
        if raised > self.written.load(Ordering::Relaxed) {
            self.file.write_at(MARK_AT, &raised.to_le_bytes())?;
            self.written.store(raised, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Says that offsets count anew from `next` on: what was visible before is in segments of its own. The one way back.
    pub fn restart(&self, next: NextOffset) -> io::Result<()> {
        let said = next.number().saturating_add(1);
        self.file.write_at(MARK_AT, &said.to_le_bytes())?;
        self.written.store(said, Ordering::Relaxed);
        Ok(())
    }
}

impl VisibleMarks {
    /// The marks kept in `dir`. `boot` identifies the running boot of the machine.
    #[must_use]
    pub fn new(disk: SharedDisk, dir: PathBuf, boot: [u8; 16]) -> Self {
        Self { disk, dir, boot }
    }

    /// A partition's mark and what it last said in this boot.
    pub fn open(&self, partition: &StreamPartition) -> io::Result<(Arc<Mark>, Option<NextOffset>)> {
        self.disk.create_dir_all(&self.dir)?;
        let path = self.dir.join(format!("{}-{}.mark", partition.topic, partition.partition));
        let file = self.disk.open_random(&path)?;
        let mut head = [0; 32];
        let known = file.byte_count()? >= 32
            && file.read_at(0, &mut head).is_ok()
            && head[..8] == MAGIC[..]
            && head[8..24] == self.boot[..];
        let last = u64::from_le_bytes([head[24], head[25], head[26], head[27], head[28], head[29], head[30], head[31]]);
        if !known {
            file.set_byte_count(0)?;
            let mut fresh = [0; 32];
            fresh[..8].copy_from_slice(MAGIC);
            fresh[8..24].copy_from_slice(&self.boot);
            file.write_at(0, &fresh)?;
        }
        let last = if known { last } else { 0 };
        let mark = Arc::new(Mark { file, written: AtomicU64::new(last) });
        Ok((mark, last.checked_sub(1).map(NextOffset::new)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_base::MemDisk;
    use weir_types::TopicName;

    #[test]
    fn a_mark_is_trusted_in_its_own_boot_only() {
        let disk: SharedDisk = MemDisk::new(None);
        let partition = StreamPartition { topic: TopicName::parse("t").unwrap(), partition: 3 };
        let marks = |boot| VisibleMarks::new(disk.clone(), "/m".into(), [boot; 16]);
        let (mark, last) = marks(1).open(&partition).unwrap();
        assert_eq!(last, None);
        mark.raise(NextOffset::new(0)).unwrap();
        assert_eq!(marks(1).open(&partition).unwrap().1, Some(NextOffset::new(0)));
        mark.raise(NextOffset::new(41)).unwrap();
        assert_eq!(marks(1).open(&partition).unwrap().1, Some(NextOffset::new(41)));
        let (mark, _) = marks(1).open(&partition).unwrap();
        mark.raise(NextOffset::new(5)).unwrap();
        assert_eq!(marks(1).open(&partition).unwrap().1, Some(NextOffset::new(41)), "a mark never goes back");
        mark.restart(NextOffset::new(7)).unwrap();
        mark.raise(NextOffset::new(6)).unwrap();
        assert_eq!(marks(1).open(&partition).unwrap().1, Some(NextOffset::new(7)), "but when it counts anew");
        assert_eq!(marks(2).open(&partition).unwrap().1, None);
        assert_eq!(marks(2).open(&partition).unwrap().1, None);
    }
}
