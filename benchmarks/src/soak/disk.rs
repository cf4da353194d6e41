//! The disks of the node under test: one of its own that can be filled up, and a deep store that can be taken away.
//!
//! A small file system in memory (`mount -t tmpfs`) is a disk that is full like any other, but needs the right to mount.
//! Without it a data folder that lies on a small file system already is filled; else this fault cannot be had.

use std::{
    ffi::CString,
    fs::{self, File},
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

type Failure = Box<dyn std::error::Error>;

/// A file system that is filled may have this much room at most: what fills it is written in a moment.
const SMALL: u64 = 8 << 30;

/// A folder, on a file system in memory where that could be mounted. Dropping it takes both away.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) mounted: bool,
}

impl Place {
    /// The folder, empty, with room for `bytes` where it has a file system of its own.
    pub(super) fn make(path: &Path, bytes: u64) -> Result<Self, Failure> {
        // What a run that was ended left behind.
        while is_mount(path) {
            run("umount", &[path.as_os_str()])?;
        }
        if path.exists() {
            fs::remove_dir_all(path)?;
        }
        fs::create_dir_all(path)?;
        let options = format!("size={bytes}");
        let arguments = ["-t".as_ref(), "tmpfs".as_ref(), "-o".as_ref(), options.as_ref(), "weir-soak".as_ref()];
        let mounted = run("mount", &[&arguments[..], &[path.as_os_str()]].concat()).is_ok();
        Ok(Self { path: path.to_owned(), mounted })
    }

    /// Why the folder's disk cannot be filled, where that is so.
    pub(super) fn cannot_be_filled(&self) -> Option<String> {
        match free_bytes(&self.path) {
            Ok(free) if self.mounted || free <= SMALL => None,
            Ok(_) => Some("no file system can be mounted, and that of the data folder is large".into()),
            Err(error) => Some(format!("its free space is not known: {error}")),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.mounted
            && let Err(error) = run("umount", &[self.path.as_os_str()])
        {
            eprintln!("{} stays mounted: {error}", self.path.display());
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{} is left: {error}", self.path.display());
        }
    }
}

fn is_mount(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1) == path.to_str())
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> Result<(), Failure> {
    let done = Command::new(program).args(arguments).output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&done.stderr).trim()).into())
}

/// Bytes that are free on the path's file system.
fn free_bytes(path: &Path) -> Result<u64, Failure> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: all fields of the struct are numbers; zero is one of each.
    let mut told: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with a zero byte and the struct is written to.
    if unsafe { libc::statvfs(path.as_ptr(), &raw mut told) } != 0 {
        return Err(io::Error::last_os_error().into());
    }
    Ok(told.f_bavail as u64 * told.f_frsize as u64)
}

/// A disk without room for another byte. Dropping it makes room again.
#[derive(Debug)]
pub(super) struct Full(PathBuf);

impl Full {
    /// Fills the disk of a folder up.
    pub(super) fn fill(place: &Place) -> Result<Self, Failure> {
        let full = Self(place.path.join("ballast"));
        let mut file = File::create(&full.0)?;
        for size in [1 << 20, 4096, 1] {
            let block = vec![b'x'; size];
            loop {
                match file.write_all(&block) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(full)
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            eprintln!("{} is left: {error}", self.0.display());
        }
    }
}

/// How a deep store is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// Its folder is elsewhere, and a file in its place.
    MovedAway,
    /// Its file system takes no writes.
    ReadOnly,
}

/// A folder for objects, inside of a place.
#[derive(Debug)]
pub(super) struct Objects {
    place: Place,
}

impl Objects {
    pub(super) fn new(place: Place) -> Result<Self, Failure> {
        let objects = Self { place };
        fs::create_dir_all(objects.folder())?;
        Ok(objects)
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.place.path.join("objects")
    }

    /// Whether it can be made read-only, also for a process that may do everything.
    pub(super) fn can_be_read_only(&self) -> bool {
        self.place.mounted
    }

    fn aside(&self) -> PathBuf {
        self.place.path.join("objects.aside")
    }

    /// Takes it away.
    pub(super) fn lose(&self, how: Loss) -> Result<(), Failure> {
        match how {
            Loss::MovedAway => {
                fs::rename(self.folder(), self.aside())?;
                fs::write(self.folder(), b"")?;
                Ok(())
            }
            // A file that is being written keeps the file system busy for a moment.
            Loss::ReadOnly => {
                let deadline = Instant::now() + Duration::from_secs(5);
                loop {
                    match self.remount("remount,ro") {
                        Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
                        done => return done,
                    }
                }
            }
        }
    }

    /// Gives it back.
    pub(super) fn give_back(&self, how: Loss) -> Result<(), Failure> {
        match how {
            Loss::MovedAway => {
                fs::remove_file(self.folder())?;
                fs::rename(self.aside(), self.folder())?;
                Ok(())
            }
            Loss::ReadOnly => self.remount("remount,rw"),
        }
    }

    fn remount(&self, options: &str) -> Result<(), Failure> {
        run("mount", &["-o".as_ref(), options.as_ref(), self.place.path.as_os_str()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_store_takes_nothing_and_comes_back() {
        let root = std::env::temp_dir().join(format!("weir-soak-test-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let objects = Objects::new(Place { path: root, mounted: false }).unwrap();
        fs::write(objects.folder().join("a"), b"1").unwrap();
        objects.lose(Loss::MovedAway).unwrap();
        assert!(fs::write(objects.folder().join("b"), b"2").is_err());
        objects.give_back(Loss::MovedAway).unwrap();
        assert_eq!(fs::read(objects.folder().join("a")).unwrap(), b"1");
    }

    #[test]
    fn mounts_are_known() {
        assert!(is_mount(Path::new("/proc")) && !is_mount(Path::new("/proc/self")));
        assert!(free_bytes(Path::new("/")).is_ok());
    }
}
