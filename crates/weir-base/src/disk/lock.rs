//! An advisory lock on a file of the machine, so that one process at a time uses a data folder.

use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

/// Held until dropped, also by the end of the process.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

/// Takes the lock or says who holds it, as `io::ErrorKind::WouldBlock`.
pub fn lock_file(path: &Path) -> io::Result<FileLock> {
    let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        file.read_to_string(&mut holder)?;
        let holder =
            if holder.trim().is_empty() { "another process".into() } else { format!("process {}", holder.trim()) };
        return Err(io::Error::new(io::ErrorKind::WouldBlock, format!("{} is held by {holder}", path.display())));
    }
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    write!(file, "{}", std::process::id())?;
    Ok(FileLock { _file: file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_the_next_is_told_who() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = lock_file(&path).unwrap();
        let error = lock_file(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(held);
        lock_file(&path).unwrap();
    }
}
