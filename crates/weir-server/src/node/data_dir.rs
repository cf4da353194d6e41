//! The data folder: held by one process, written by a version that we understand, writable.

use std::{
    io,
    path::{Path, PathBuf},
};
use weir_base::{Chance, Disk, FileLock, lock_file};

/// The layout of the data folder that this release writes. A folder with a greater number is refused.
const FORMAT: u32 = 1;
const HEAD: &str = "weir data format ";
/// The second line of VERSION: what tells this folder from every other, and from one that is made anew in its place.
const ID: &str = "id ";

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error("data folder {dir} is in use: {reason}; stop that process, or choose another folder with --data-dir")]
    Held {
        /// The folder.
        dir: String,
        /// Who holds it.
        reason: String,
    },
    /// A newer release wrote it.
    #[error(
        "data folder {dir} was written by a newer version of weir (format {found}, this one reads up to {FORMAT}): \
         start that version, or choose another folder with --data-dir"
    )]
    Newer {
        /// The folder.
        dir: String,
        /// Its format.
        found: u32,
    },
    /// It does not say what it is.
    #[error(
        "data folder {dir} is not one of weir's: its file VERSION reads {found:?}; choose another folder with --data-dir"
    )]
    Foreign {
        /// The folder.
        dir: String,
        /// What was found.
        found: String,
    },
    /// It cannot be written.
    #[error("data folder {dir} cannot be written: {source}; choose another with --data-dir, or mend its permissions")]
    NotWritable {
        /// The folder.
        dir: String,
        /// The cause.
        source: io::Error,
    },
}

/// A data folder that this process holds.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    id: String,
    _lock: FileLock,
}

impl DataDir {
    /// Makes the folder where it is absent, takes its lock, and checks its version.
    pub fn open(path: &Path, disk: &dyn Disk) -> Result<Self, DataDirError> {
        let dir = path.display().to_string();
        let not_writable = |source| DataDirError::NotWritable { dir: dir.clone(), source };
        std::fs::create_dir_all(path).map_err(not_writable)?;
        let lock = lock_file(&path.join("LOCK")).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => DataDirError::Held { dir: dir.clone(), reason: error.to_string() },
            _ => not_writable(error),
        })?;
        let version = path.join("VERSION");
        let known = match disk.read(&version) {
            Ok(content) => {
                let content = String::from_utf8_lossy(&content);
                check(&dir, &content)?;
                id_of(&content).map(str::to_owned)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(not_writable(error)),
        };
        let id = match known {
            Some(id) => id,
            None => {
                let id = format!("{:016x}", Chance::from_entropy().u64());
                let content = format!("{HEAD}{FORMAT}\n{ID}{id}\n");
                disk.write_whole(&version, content.as_bytes()).map_err(not_writable)?;
                id
            }
        };
        Ok(Self { path: path.to_owned(), id, _lock: lock })
    }

    /// What tells the folder from every other: 16 hex digits, made with it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether `path` is the folder with this identity.
    #[must_use]
    pub fn is_at(path: &Path, id: &str) -> bool {
        std::fs::read_to_string(path.join("VERSION")).is_ok_and(|content| id_of(&content) == Some(id))
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn id_of(content: &str) -> Option<&str> {
    let id = content.lines().find_map(|line| line.strip_prefix(ID))?;
    (id.len() == 16 && id.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(id)
}

fn check(dir: &str, content: &str) -> Result<(), DataDirError> {
    let dir = dir.to_owned();
    let first = content.lines().next().unwrap_or_default();
    match first.strip_prefix(HEAD).and_then(|number| number.trim().parse::<u32>().ok()) {
        Some(found) if found > FORMAT => Err(DataDirError::Newer { dir, found }),
        Some(_) => Ok(()),
        None => Err(DataDirError::Foreign { dir, found: first.chars().take(80).collect() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_base::RealDisk;

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::shared();
        let held = DataDir::open(dir.path(), &*disk).unwrap();
        let error = DataDir::open(dir.path(), &*disk).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        assert!(error.contains("--data-dir"), "{error}");
        drop(held);
        assert_eq!(DataDir::open(dir.path(), &*disk).unwrap().path(), dir.path());
    }

    #[test]
    fn a_folder_keeps_its_identity_until_it_is_made_anew() {
        let (dir, disk) = (tempfile::tempdir().unwrap(), RealDisk::shared());
        let open = || DataDir::open(dir.path(), &*disk).unwrap().id().to_owned();
        let id = open();
        assert_eq!(open(), id);
        assert!(DataDir::is_at(dir.path(), &id));
        std::fs::remove_file(dir.path().join("VERSION")).unwrap();
        assert!(!DataDir::is_at(dir.path(), &id));
        assert_ne!(open(), id);
        // One of a release that gave none gets one.
        std::fs::write(dir.path().join("VERSION"), format!("{HEAD}{FORMAT}\n")).unwrap();
        assert!(DataDir::is_at(dir.path(), &open()));
    }

    #[test]
    fn versions_that_we_do_not_know_are_refused() {
        let disk = RealDisk::shared();
        for (content, says) in [("weir data format 2\n", "newer version"), ("hello", "not one of weir's")] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("VERSION"), content).unwrap();
            let error = DataDir::open(dir.path(), &*disk).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = DataDir::open(&file.join("data"), &*RealDisk::shared()).unwrap_err().to_string();
        assert!(error.contains("cannot be written") && error.contains("file/data"), "{error}");
    }
}
