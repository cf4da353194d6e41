//! The file system of the machine.

use super::{
    AppendFile, BLOCK_BYTES, BlockBuffer, DirEntry, Disk, Mapped, RandomFile, SharedDisk, faults::Guarded, millis,
};
use memmap2::Mmap;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::{
    fs::{File, OpenOptions},
    io::{self, IoSlice, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// The machine's file system.
#[derive(Debug, Default)]
pub struct RealDisk;

impl RealDisk {
    /// The one disk.
    #[must_use]
    pub fn shared() -> SharedDisk {
        Arc::new(Self)
    }
}

/// Says which file an error belongs to.
fn at(path: &Path) -> impl Fn(io::Error) -> io::Error {
    let path = path.display().to_string();
    move |error| io::Error::new(error.kind(), format!("{path}: {error}"))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A name beside `path` that no other writer of this process uses.
fn beside(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    path.with_file_name(name)
}

/// Makes the folders that are absent, each durable in its parent.
fn make_dirs(path: &Path) -> io::Result<()> {
    let absent: Vec<&Path> = path.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    std::fs::create_dir_all(path).map_err(at(path))?;
    for dir in absent.iter().rev() {
        sync_dir(parent(dir))?;
    }
    Ok(())
}

/// Opens a file for reading and writing; a new one's name is durable before anything is written to it.
fn open_or_make(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other.map_err(at(path)),
    }
    make_dirs(parent(path))?;
    let file = options.create(true).truncate(false).open(path).map_err(at(path))?;
    sync_dir(parent(path))?;
    Ok(file)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(at(path))
}

/// Writes and syncs a new file of pieces.
fn write_synced(path: &Path, pieces: &[&[u8]]) -> io::Result<()> {
    let byte_count: usize = pieces.iter().map(|piece| piece.len()).sum();
    if byte_count >= DIRECT_FROM && write_gathered(path, pieces)? {
        return Ok(());
    }
    let mut file = OpenOptions::new().create_new(true).write(true).open(path)?;
    write_vectored(&mut file, pieces)?;
    file.sync_all()
}

/// Writes pieces, as many at once as the system takes.
fn write_vectored(file: &mut File, pieces: &[&[u8]]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut rest = &mut slices[..];
    // Empty ones at the front would read as a disk that takes nothing.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Files from this size on are written past the cache: a sync waits for the disk anyhow, and the copy in the cache costs
/// more than reading it back. Smaller ones are not worth a second handle.
const DIRECT_FROM: usize = 1 << 20;

/// What is gathered of pieces before it is written: enough that the disk is at work and not asked, little enough that it
/// stays in a core's cache.
const GATHERED: usize = 1 << 20;

/// Writes and syncs a new file of pieces past the cache, then has it read into the cache, for whoever asks for it next.
/// False, with no file left, where the system does not do that.
fn write_gathered(path: &Path, pieces: &[&[u8]]) -> io::Result<bool> {
    let file = match open_past_cache(OpenOptions::new().create_new(true), path) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            absent_is_fine(std::fs::remove_file(path))?;
            return Ok(false);
        }
        opened => opened?,
    };
    let (mut buffer, mut at) = (BlockBuffer::default(), 0);
    let (mut pieces, mut left) = (pieces.iter(), &[][..]);
    loop {
        let gathered = buffer.fill(|out| {
            let end = out.len() + GATHERED;
            while out.len() < end {
                if left.is_empty() {
                    let Some(next) = pieces.next() else { return };
                    left = next;
                }
                let (taken, rest) = left.split_at(left.len().min(end - out.len()));
                out.extend_from_slice(taken);
                left = rest;
            }
        });
        let whole = gathered.len() / BLOCK_BYTES * BLOCK_BYTES;
        match file.write_all_at(&gathered[..whole], at) {
            // The system took the flag and does not take the write.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput && at == 0 => {
                std::fs::remove_file(path)?;
                return Ok(false);
            }
            written => written?,
        }
        at += whole as u64;
        if gathered.len() < GATHERED {
            // What is no block goes the usual way.
            let tail = OpenOptions::new().write(true).open(path)?;
            tail.write_all_at(&gathered[whole..], at)?;
            tail.sync_all()?;
            read_ahead(path);
            return Ok(true);
        }
    }
}

/// Has the system cache a file before somebody asks for it. Where it does not, who asks waits for the disk, and is told
/// what is wrong.
fn read_ahead(path: &Path) {
    let Ok(mut file) = File::open(path) else { return };
    #[cfg(target_os = "linux")]
    {
        _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::WillNeed);
    }
    let mut passed = vec![0; 64 << 10];
    while matches!(file.read(&mut passed), Ok(1..)) {}
}

/// Whether these bytes can go past the cache to that place of a file.
fn is_of_blocks(content: &[u8], offset: u64) -> bool {
    let block = BLOCK_BYTES as u64;
    content.len().is_multiple_of(BLOCK_BYTES)
        && content.as_ptr().addr().is_multiple_of(BLOCK_BYTES)
        && offset.is_multiple_of(block)
}

/// A file that is there, opened to be written past the cache; `None` where the system does not do that.
#[cfg(target_os = "linux")]
fn open_past_cache(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    options.write(true).custom_flags(rustix::fs::OFlags::DIRECT.bits().cast_signed()).open(path)
}

/// Only Linux takes such files.
#[cfg(not(target_os = "linux"))]
fn open_past_cache(_options: &mut OpenOptions, _path: &Path) -> io::Result<File> {
    Err(io::ErrorKind::InvalidInput.into())
}

/// Writes a new file of which nothing is to stay in the system's cache: its memory is better used for what is read. False,
/// with no file left, where the system does not do that for these bytes.
fn write_past_cache(path: &Path, content: &[u8]) -> io::Result<bool> {
    let (blocks, rest) = content.split_at(content.len() / BLOCK_BYTES * BLOCK_BYTES);
    if blocks.is_empty() || !is_of_blocks(blocks, 0) {
        return Ok(false);
    }
    let written = open_past_cache(OpenOptions::new().create_new(true), path).and_then(|file| {
        file.write_all_at(blocks, 0)?;
        // What is no block goes the usual way.
        let file = if rest.is_empty() { file } else { OpenOptions::new().write(true).open(path)? };
        file.write_all_at(rest, blocks.len() as u64)?;
        file.sync_all()
    });
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            absent_is_fine(std::fs::remove_file(path))?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Has `write` make a synced file under a temporary name, has `place` give it the name `path`, and makes that durable.
fn publish(
    path: &Path,
    write: impl FnOnce(&Path) -> io::Result<()>,
    place: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let dir = parent(path);
    make_dirs(dir)?;
    let temporary = beside(path);
    let written = write(&temporary).and_then(|()| place(&temporary));
    if let Err(error) = written {
        // The first error is the one to tell.
        drop(std::fs::remove_file(&temporary));
        return Err(at(path)(error));
    }
    sync_dir(dir)
}

impl Disk for RealDisk {
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let file = open_or_make(path)?;
        Ok(Box::new(RealAppend::new(file, None, path)?))
    }

    fn open_append_uncached(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let file = open_or_make(path)?;
        let direct = open_past_cache(&mut OpenOptions::new(), path).ok();
        Ok(Box::new(RealAppend::new(file, direct, path)?))
    }

    fn open_random(&self, path: &Path) -> io::Result<Box<dyn RandomFile>> {
        Ok(Box::new(RealRandom { file: open_or_make(path)?, path: path.to_owned() }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path).map_err(at(path))
    }

    fn read_at(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = File::open(path).map_err(at(path))?;
        let held = file.metadata().map_err(at(path))?.len().saturating_sub(offset);
        let mut out = vec![0; length.min(usize::try_from(held).unwrap_or(usize::MAX))];
        file.read_exact_at(&mut out, offset).map_err(at(path))?;
        Ok(out)
    }

    fn map(&self, path: &Path) -> io::Result<Mapped> {
        let file = File::open(path).map_err(at(path))?;
        if file.metadata().map_err(at(path))?.len() == 0 {
            return Ok(Mapped::new([]));
        }
        // SAFETY: the files that are mapped are written whole under a temporary name and never changed afterwards, or, as
        // checkpoints, only grow behind what is looked at; a removed file stays readable for as long as it is mapped. What
        // others do to it `Guarded` survives.
        let map = unsafe { Mmap::map(&file) }.map_err(at(path))?;
        Ok(Mapped(Arc::new(Guarded::new(map, path))))
    }

    fn write_whole(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.write_pieces(path, &[content])
    }

    fn write_pieces(&self, path: &Path, pieces: &[&[u8]]) -> io::Result<()> {
        publish(path, |temporary| write_synced(temporary, pieces), |temporary| std::fs::rename(temporary, path))
    }

    fn write_new(&self, path: &Path, content: &[u8]) -> io::Result<bool> {
        let write = |temporary: &Path| match write_past_cache(temporary, content)? {
            true => Ok(()),
            false => write_synced(temporary, &[content]),
        };
        let written = publish(path, write, |temporary| {
            match std::fs::hard_link(temporary, path) {
                Ok(()) => std::fs::remove_file(temporary),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
                // File systems without links may know this instead.
                Err(_) => Ok(renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE)?),
            }
        });
        match written {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_file() => {
                // Its writer may have died before it made the name durable.
                self.sync_dir(parent(path))?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to).map_err(at(from))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        absent_is_fine(std::fs::remove_file(path)).map_err(at(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        absent_is_fine(std::fs::remove_dir_all(path)).map_err(at(path))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        make_dirs(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(at(path)(error)),
        };
        let mut found = vec![];
        for entry in entries {
            let entry = entry.map_err(at(path))?;
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Removed since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(at(path)(error)),
            };
            let Ok(name) = entry.file_name().into_string() else { continue };
            let (byte_count, modified_ms) = match metadata.is_dir() {
                true => (0, 0),
                false => (metadata.len(), millis(metadata.modified().map_err(at(path))?)),
            };
            found.push(DirEntry { name, is_dir: metadata.is_dir(), byte_count, modified_ms });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn byte_count(&self, path: &Path) -> io::Result<Option<u64>> {
        match std::fs::metadata(path) {
            Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(path)(error)),
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        sync_dir(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path).map_err(|error| at(path)(error.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn total_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path).map_err(|error| at(path)(error.into()))?;
        Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
    }
}

struct RealAppend {
    file: File,
    /// The same, past the cache: for whole blocks.
    direct: Option<File>,
    byte_count: u64,
    /// Length at the last sync that worked.
    synced: u64,
    /// A sync failed: the system may have given up what was written since, and would not say so again.
    doubtful: bool,
    path: PathBuf,
}

impl RealAppend {
    fn new(file: File, direct: Option<File>, path: &Path) -> io::Result<Self> {
        let byte_count = file.metadata().map_err(at(path))?.len();
        Ok(Self { file, direct, byte_count, synced: byte_count, doubtful: false, path: path.to_owned() })
    }

    /// Writes at the end, past the cache where that can be.
    fn write(&mut self, content: &[u8]) -> io::Result<()> {
        if let Some(direct) = self.direct.as_ref().filter(|_| is_of_blocks(content, self.byte_count)) {
            match direct.write_all_at(content, self.byte_count) {
                // The system took the flag and does not take the write.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.direct = None,
                written => return written,
            }
        }
        self.file.write_all_at(content, self.byte_count)
    }

    /// That the file has at least so many bytes.
    fn holds(&self, byte_count: u64) -> io::Result<()> {
        let held = self.file.metadata().map_err(at(&self.path))?.len();
        if held < byte_count {
            let text = format!("{}: {held} bytes are left of {byte_count}: somebody cut it", self.path.display());
            return Err(io::Error::other(text));
        }
        Ok(())
    }
}

impl AppendFile for RealAppend {
    fn append(&mut self, content: &[u8]) -> io::Result<()> {
        // What others cut off would come back as zeros between what is there and what is written.
        self.holds(self.byte_count)?;
        let written = self.write(content);
        // A failed write may have left a part: the length is what the file says.
        self.byte_count = match &written {
            Ok(()) => self.byte_count + content.len() as u64,
            Err(_) => self.file.metadata().map_err(at(&self.path))?.len(),
        };
        written.map_err(at(&self.path))
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.doubtful {
            let text =
                format!("{}: an earlier sync failed; cut back to {} bytes first", self.path.display(), self.synced);
            return Err(io::Error::other(text));
        }
        if let Err(error) = self.file.sync_data() {
            self.doubtful = true;
            return Err(at(&self.path)(error));
        }
        self.synced = self.byte_count;
        Ok(())
    }

    fn byte_count(&self) -> u64 {
        self.byte_count
    }

    fn truncate(&mut self, byte_count: u64) -> io::Result<()> {
        self.holds(byte_count)?;
        self.file.set_len(byte_count).map_err(at(&self.path))?;
        self.byte_count = byte_count;
        if byte_count <= self.synced {
            self.synced = byte_count;
            self.doubtful = false;
        }
        Ok(())
    }
}

struct RealRandom {
    file: File,
    path: PathBuf,
}

impl RandomFile for RealRandom {
    fn byte_count(&self) -> io::Result<u64> {
        Ok(self.file.metadata().map_err(at(&self.path))?.len())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset).map_err(at(&self.path))
    }

    fn write_at(&self, offset: u64, content: &[u8]) -> io::Result<()> {
        self.file.write_all_at(content, offset).map_err(at(&self.path))
    }

    fn set_byte_count(&self, byte_count: u64) -> io::Result<()> {
        self.file.set_len(byte_count).map_err(at(&self.path))
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data().map_err(at(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conforms() {
        let dir = tempfile::tempdir().unwrap();
        super::super::conformance(&RealDisk::shared(), &dir.path().join("made"));
    }

    #[test]
    fn errors_name_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("absent");
        let error = RealDisk.read(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }

    #[test]
    fn an_append_file_follows_what_a_failed_write_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = RealDisk.open_append(&path).unwrap();
        file.append(b"kept").unwrap();
        file.sync().unwrap();
        file.append(b" torn").unwrap();
        file.truncate(4).unwrap();
        file.sync().unwrap();
        file.append(b"!").unwrap();
        assert_eq!(RealDisk.read(&path).unwrap(), b"kept!");
        // Somebody else cuts it.
        OpenOptions::new().write(true).open(&path).unwrap().set_len(2).unwrap();
        assert!(file.append(b"more").unwrap_err().to_string().contains("2 bytes are left of 5"));
        assert!(file.truncate(5).is_err(), "it does not grow by zeros");
        assert_eq!(RealDisk.read(&path).unwrap(), b"ke");
    }
}
