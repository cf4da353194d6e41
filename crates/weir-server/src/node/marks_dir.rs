//! Where the visible marks of a node are kept.
//!
//! A mark is written before each publish, and has to outlive the process only: marks of another boot are not trusted. On
//! Linux they are kept in memory, below `/dev/shm`, so that no publish waits for a disk that is busy with something else.
//! Where they are lost (a container that is made anew), the end of the log at start takes their place: slower, as right.

use crate::node::DataDir;
use std::{
    hash::{DefaultHasher, Hasher},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

const MEMORY: &str = "/dev/shm";
const HEAD: &str = "weir-marks-";
/// Names the data folder that the marks are of.
const OWNER: &str = "data-dir";

/// The folder for the marks of a data folder: in memory where that can be had, else inside of it.
pub(super) fn marks_dir(data_dir: &DataDir) -> PathBuf {
    match in_memory(Path::new(MEMORY), data_dir) {
        Ok(dir) => dir,
        Err(error) => {
            tracing::debug!(%error, "visible marks are kept in the data folder");
            data_dir.path().join("marks")
        }
    }
}

/// Removes the marks of data folders that are no more.
pub fn remove_orphaned_marks() {
    remove_orphans(Path::new(MEMORY));
}

fn in_memory(memory: &Path, data_dir: &DataDir) -> io::Result<PathBuf> {
    remove_orphans(memory);
    let path = data_dir.path().as_os_str().as_encoded_bytes();
    // A copy of the folder is another: what the first showed says nothing of what the copy did.
    let mut place = DefaultHasher::new();
    place.write(path);
    let dir = memory.join(format!("{HEAD}{}-{:016x}", data_dir.id(), place.finish()));
    match std::fs::DirBuilder::new().mode(0o700).create(&dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    if std::fs::symlink_metadata(&dir)?.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{} is somebody else's", dir.display())));
    }
    std::fs::write(dir.join(OWNER), path)?;
    Ok(dir)
}

/// Where the folder above is not there either, the data folder may lie on
/// a disk that is not mounted, or be another container's: its marks stay.
fn remove_orphans(memory: &Path) {
    let Ok(entries) = std::fs::read_dir(memory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_str().and_then(|name| name.strip_prefix(HEAD));
        let Some((id, _)) = name.and_then(|name| name.split_once('-')) else { continue };
        let Ok(owner) = std::fs::read_to_string(entry.path().join(OWNER)) else { continue };
        let above = Path::new(&owner).parent().is_some_and(Path::is_dir);
        if above && !DataDir::is_at(Path::new(&owner), id) {
            // Somebody else's stay.
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_base::RealDisk;

    #[test]
    fn marks_go_with_their_data_folder() {
        let (memory, parent) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let open = |name: &str| DataDir::open(&parent.path().join(name), &*RealDisk::shared()).unwrap();
        let first = in_memory(memory.path(), &open("a")).unwrap();
        std::fs::write(first.join("mark"), "").unwrap();
        assert_eq!(in_memory(memory.path(), &open("a")).unwrap(), first);
        assert!(first.join("mark").exists(), "kept over a restart");
        std::fs::rename(parent.path().join("a"), parent.path().join("b")).unwrap();
        let moved = in_memory(memory.path(), &open("b")).unwrap();
        assert!(!moved.join("mark").exists(), "not trusted where the folder is elsewhere");
        assert!(!first.exists(), "and gone with its place");
        std::fs::remove_dir_all(parent.path().join("b")).unwrap();
        in_memory(memory.path(), &open("c")).unwrap();
        assert!(!moved.exists(), "gone with the folder");
    }
}
