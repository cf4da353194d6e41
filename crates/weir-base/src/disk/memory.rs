//! A disk in memory with faults: it can be full, and a crash loses what was not synced.
//!
//! Content and names are separate, as in a file system: a name that was made, moved or removed since its folder was last
//! synced may be undone by a crash, and unsynced content may be lost or torn. A mapped file keeps its bytes, unless it is
//! cut under whoever reads it ([`MemDisk::cut`]).

mod gate;
mod map;

use super::{AppendFile, DirEntry, Disk, Mapped, RandomFile};
use crate::chance::Chance;
use gate::Gate;
use map::{Fate, Map};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, Weak},
    time::SystemTime,
};

/// Real disks write whole blocks; of overwritten content each block is old or new after a crash.
const BLOCK: usize = 4096;

#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    /// What a crash cannot take.
    synced: Vec<u8>,
    modified_ms: i64,
    /// What became of the bytes of mappings of it.
    maps: Vec<Weak<OnceLock<Fate>>>,
}

type Node = Arc<Mutex<Content>>;

/// A change of names that its folder's sync has not made durable yet.
#[derive(Debug, Clone)]
enum NameChange {
    Set(PathBuf, Node),
    Gone(PathBuf),
    Moved(PathBuf, PathBuf, Node),
}

impl NameChange {
    fn touches(&self, of_interest: impl Fn(&Path) -> bool) -> bool {
        match self {
            Self::Set(path, _) | Self::Gone(path) => of_interest(path),
            Self::Moved(from, to, _) => of_interest(from) || of_interest(to),
        }
    }

    fn apply(self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Set(path, node) => drop(names.insert(path, node)),
            Self::Gone(path) => drop(names.remove(&path)),
            Self::Moved(from, to, node) => {
                names.remove(&from);
                names.insert(to, node);
            }
        }
    }
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<PathBuf, Node>,
    /// Names that a crash cannot take.
    synced_names: BTreeMap<PathBuf, Node>,
    /// What leads from the one to the other, oldest first.
    changes: Vec<NameChange>,
    /// Folders; they are made durable at once.
    dirs: BTreeSet<PathBuf>,
    capacity: Option<u64>,
    /// How often power was lost or the process died: files opened before are of no use.
    crashes: u64,
    /// So many syncs of appended files fail next.
    failing_syncs: u32,
}

/// A disk in memory.
#[derive(Debug)]
pub struct MemDisk {
    state: Arc<Mutex<State>>,
    /// Opening a file for random access.
    opening: Gate,
    /// Syncs of appended files.
    syncing: Arc<Gate>,
}

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "the disk is full")
}

fn absent(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{}: no such file", path.display()))
}

fn folder(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::IsADirectory, format!("{}: is a folder", path.display()))
}

fn now_ms() -> i64 {
    super::millis(SystemTime::now())
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl State {
    fn used(&self) -> u64 {
        let mut seen = BTreeSet::new();
        let nodes = self.names.values().chain(self.synced_names.values());
        nodes.filter(|node| seen.insert(Arc::as_ptr(node))).map(|node| node.lock().now.len() as u64).sum()
    }

    /// How many more bytes fit.
    fn room(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    fn node(&self, path: &Path) -> io::Result<Node> {
        match self.names.get(path) {
            Some(node) => Ok(node.clone()),
            None if self.dirs.contains(path) => Err(folder(path)),
            None => Err(absent(path)),
        }
    }

    /// Makes folders; a file in the way is an error.
    fn make_dirs(&mut self, path: &Path) -> io::Result<()> {
        if let Some(file) = path.ancestors().find(|dir| self.names.contains_key(*dir)) {
            let text = format!("{}: is not a folder", file.display());
            return Err(io::Error::new(io::ErrorKind::NotADirectory, text));
        }
        self.dirs.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    /// Checks that a file may have that name, and makes its folder.
    fn place(&mut self, path: &Path) -> io::Result<()> {
        if self.dirs.contains(path) {
            return Err(folder(path));
        }
        path.parent().map_or(Ok(()), |dir| self.make_dirs(dir))
    }

    fn change(&mut self, change: NameChange) {
        change.clone().apply(&mut self.names);
        self.changes.push(change);
    }

    /// Makes the changes of some names durable, with all older changes of the names that they touch.
    fn sync_names(&mut self, of_interest: impl Fn(&Path) -> bool) {
        let mut names: BTreeSet<PathBuf> = BTreeSet::new();
        let mut due = vec![false; self.changes.len()];
        for (change, due) in self.changes.iter().zip(&mut due).rev() {
            *due = change.touches(|path| of_interest(path) || names.contains(path));
            if *due {
                match change {
                    NameChange::Set(path, _) | NameChange::Gone(path) => names.extend([path.clone()]),
                    NameChange::Moved(from, to, _) => names.extend([from.clone(), to.clone()]),
                }
            }
        }
        for (change, due) in std::mem::take(&mut self.changes).into_iter().zip(due) {
            if due {
                change.apply(&mut self.synced_names);
            } else {
                self.changes.push(change);
            }
        }
    }

    fn open(&mut self, path: &Path) -> io::Result<Node> {
        if let Some(node) = self.names.get(path) {
            return Ok(node.clone());
        }
        self.place(path)?;
        let node = Node::default();
        node.lock().modified_ms = now_ms();
        self.change(NameChange::Set(path.to_owned(), node.clone()));
        Ok(node)
    }

    fn write(&self, node: &Node, offset: usize, content: &[u8]) -> io::Result<()> {
        let fits = index(self.room());
        let mut file = node.lock();
        let end = offset.checked_add(content.len()).ok_or_else(full)?;
        let grown = end.saturating_sub(file.now.len());
        // A full disk takes a part of a write.
        let taken = content.len() - grown.saturating_sub(fits).min(content.len());
        if taken > 0 && file.now.len() < offset + taken {
            file.now.resize(offset + taken, 0);
        }
        if taken > 0 {
            file.now[offset..offset + taken].copy_from_slice(&content[..taken]);
        }
        file.modified_ms = now_ms();
        if taken < content.len() { Err(full()) } else { Ok(()) }
    }

    fn write_whole(&mut self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.place(path)?;
        if self.room() < content.len() as u64 {
            return Err(full());
        }
        let whole = Content { now: content.to_vec(), synced: content.to_vec(), modified_ms: now_ms(), maps: vec![] };
        self.change(NameChange::Set(path.to_owned(), Arc::new(Mutex::new(whole))));
        self.sync_names(|name| name.parent() == path.parent());
        Ok(())
    }
}

impl Content {
    fn tell_maps(&mut self, fate: Fate) {
        for map in self.maps.drain(..).filter_map(|map| map.upgrade()) {
            map.get_or_init(|| fate);
        }
    }

    /// What is left after the power was lost.
    fn crash(&mut self, chance: &mut Chance) {
        if self.now == self.synced {
            return;
        }
        if self.now.starts_with(&self.synced) {
            // Only appended to: all, a part or nothing of what is new stays.
            let new = (self.now.len() - self.synced.len()) as u64;
            let kept = match chance.below(4) {
                0 => 0,
                1 => new,
                _ => chance.below(new + 1),
            };
            self.now.truncate(self.synced.len() + index(kept));
        } else {
            let length = if chance.hit(0.5) { self.now.len() } else { self.synced.len() };
            self.now.resize(length, 0);
            for start in (0..length.min(self.synced.len())).step_by(BLOCK) {
                let end = (start + BLOCK).min(length).min(self.synced.len());
                if chance.hit(0.5) {
                    self.now[start..end].copy_from_slice(&self.synced[start..end]);
                }
            }
        }
        self.synced.clone_from(&self.now);
    }
}

impl MemDisk {
    /// A disk of that many bytes, or without a bound.
    #[must_use]
    pub fn new(capacity_bytes: Option<u64>) -> Arc<Self> {
        let state = State { capacity: capacity_bytes, ..State::default() };
        Arc::new(Self { state: Arc::new(Mutex::new(state)), opening: Gate::default(), syncing: Arc::default() })
    }

    /// Changes how much fits.
    pub fn set_capacity(&self, capacity_bytes: Option<u64>) {
        self.state.lock().capacity = capacity_bytes;
    }

    /// The next syncs of files that are appended to fail, so many of them. What such a file was given since its last sync
    /// is in doubt from then on, as on a real disk.
    pub fn fail_syncs(&self, count: u32) {
        self.state.lock().failing_syncs = count;
    }

    /// Bytes in use.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.state.lock().used()
    }

    /// Cuts a file to its first bytes behind the back of whoever has it mapped: what they hold reads as zeros from here on.
    pub fn cut(&self, path: &Path, byte_count: usize) -> io::Result<()> {
        let node = self.state.lock().node(path)?;
        let mut content = node.lock();
        content.now.truncate(byte_count);
        content.synced.truncate(byte_count);
        content.tell_maps(Fate::Lost);
        Ok(())
    }

    /// The bytes of a file become zeros, also for whoever has it mapped, and nobody is told: a disk that rots.
    pub fn rot(&self, path: &Path) -> io::Result<()> {
        let node = self.state.lock().node(path)?;
        let mut content = node.lock();
        content.now.fill(0);
        content.synced.fill(0);
        content.tell_maps(Fate::Rotten);
        Ok(())
    }

    /// The process dies: what it wrote stays. Files that are open now fail from here on, so that nothing of the dead
    /// process can still tidy up behind itself.
    pub fn kill(&self) {
        self.state.lock().crashes += 1;
    }

    /// The machine loses power: synced bytes and names stay; of the rest, each file keeps a part by chance and each name
    /// change is kept or undone by chance. Files that are open now fail from here on.
    pub fn crash(&self, chance: &mut Chance) {
        let mut state = self.state.lock();
        state.crashes += 1;
        let mut names = std::mem::take(&mut state.synced_names);
        for change in std::mem::take(&mut state.changes) {
            if chance.hit(0.5) {
                change.apply(&mut names);
            }
        }
        let mut seen = BTreeSet::new();
        for node in names.values().filter(|node| seen.insert(Arc::as_ptr(node))) {
            node.lock().crash(chance);
        }
        // A file whose folder's removal was undone has its folder again.
        let dirs: Vec<PathBuf> = names.keys().flat_map(|name| name.ancestors().skip(1).map(Path::to_owned)).collect();
        state.dirs.extend(dirs);
        state.synced_names = names.clone();
        state.names = names;
    }

    fn open(&self, path: &Path) -> io::Result<MemFile> {
        let mut state = self.state.lock();
        let node = state.open(path)?;
        Ok(MemFile {
            state: self.state.clone(),
            syncing: self.syncing.clone(),
            node,
            crashes: state.crashes,
            doubtful: false,
        })
    }
}

impl Disk for MemDisk {
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        Ok(Box::new(self.open(path)?))
    }

    fn open_random(&self, path: &Path) -> io::Result<Box<dyn RandomFile>> {
        self.opening.pass();
        Ok(Box::new(self.open(path)?))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let node = self.state.lock().node(path)?;
        let content = node.lock().now.clone();
        Ok(content)
    }

    fn read_at(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let node = self.state.lock().node(path)?;
        let content = node.lock();
        let start = index(offset).min(content.now.len());
        let end = start.saturating_add(length).min(content.now.len());
        Ok(content.now[start..end].to_vec())
    }

    fn map(&self, path: &Path) -> io::Result<Mapped> {
        let node = self.state.lock().node(path)?;
        let mut content = node.lock();
        let map = Map::new(path, content.now.clone());
        content.maps.retain(|map| map.strong_count() > 0);
        content.maps.push(Arc::downgrade(&map.fate));
        Ok(Mapped(Arc::new(map)))
    }

    fn write_whole(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.state.lock().write_whole(path, content)
    }

    fn write_new(&self, path: &Path, content: &[u8]) -> io::Result<bool> {
        let mut state = self.state.lock();
        if state.names.contains_key(path) {
            state.sync_names(|name| name.parent() == path.parent());
            return Ok(false);
        }
        state.write_whole(path, content)?;
        Ok(true)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let node = state.node(from)?;
        if to.parent().is_some_and(|dir| !dir.as_os_str().is_empty() && !state.dirs.contains(dir)) {
            return Err(absent(to));
        }
        state.place(to)?;
        if from != to {
            state.change(NameChange::Moved(from.to_owned(), to.to_owned(), node));
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        match state.node(path) {
            Ok(_) => state.change(NameChange::Gone(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let inside: Vec<PathBuf> = state.names.keys().filter(|name| name.starts_with(path)).cloned().collect();
        for name in inside {
            state.change(NameChange::Gone(name));
        }
        state.dirs.retain(|dir| !dir.starts_with(path));
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.state.lock().make_dirs(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.state.lock();
        if state.names.contains_key(path) {
            let text = format!("{}: is not a folder", path.display());
            return Err(io::Error::new(io::ErrorKind::NotADirectory, text));
        }
        let name = |inside: &Path| Some(inside.file_name()?.to_str()?.to_owned());
        let here = |inside: &&PathBuf| inside.parent() == Some(path);
        let dirs = state
            .dirs
            .iter()
            .filter(here)
            .filter_map(|dir| Some(DirEntry { name: name(dir)?, is_dir: true, byte_count: 0, modified_ms: 0 }));
        let files = state.names.iter().filter(|(inside, _)| here(inside)).filter_map(|(file, node)| {
            let content = node.lock();
            let (byte_count, modified_ms) = (content.now.len() as u64, content.modified_ms);
            Some(DirEntry { name: name(file)?, is_dir: false, byte_count, modified_ms })
        });
        let mut found: Vec<DirEntry> = dirs.chain(files).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn byte_count(&self, path: &Path) -> io::Result<Option<u64>> {
        Ok(self.state.lock().names.get(path).map(|node| node.lock().now.len() as u64))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let root = path.as_os_str().is_empty() || path.parent().is_none();
        if !root && !state.dirs.contains(path) {
            return Err(absent(path));
        }
        state.sync_names(|name| name.parent() == Some(path));
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.state.lock().room())
    }

    fn total_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.state.lock().capacity.unwrap_or(u64::MAX))
    }
}

struct MemFile {
    state: Arc<Mutex<State>>,
    syncing: Arc<Gate>,
    node: Node,
    crashes: u64,
    /// A sync failed.
    doubtful: bool,
}

impl MemFile {
    fn state(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let state = self.state.lock();
        if state.crashes != self.crashes {
            return Err(io::Error::other("the process that opened this file is dead"));
        }
        Ok(state)
    }

    fn len(&self) -> u64 {
        self.node.lock().now.len() as u64
    }

    fn sync_content(&self) -> io::Result<()> {
        let mut state = self.state()?;
        {
            let mut content = self.node.lock();
            let Content { now, synced, .. } = &mut *content;
            if now.starts_with(synced) {
                let held = synced.len();
                synced.extend_from_slice(&now[held..]);
            } else {
                synced.clone_from(now);
            }
        }
        // A new file's name becomes durable with its content.
        let names = &state.names;
        let ours: Vec<PathBuf> =
            names.iter().filter(|(_, node)| Arc::ptr_eq(node, &self.node)).map(|(path, _)| path.clone()).collect();
        state.sync_names(|name| ours.iter().any(|path| path == name));
        Ok(())
    }

    fn resize(&self, byte_count: u64) -> io::Result<()> {
        let state = self.state()?;
        let held = self.len();
        if byte_count > held && byte_count - held > state.room() {
            return Err(full());
        }
        let mut content = self.node.lock();
        content.now.resize(index(byte_count), 0);
        content.modified_ms = now_ms();
        Ok(())
    }
}

impl AppendFile for MemFile {
    fn append(&mut self, content: &[u8]) -> io::Result<()> {
        let state = self.state()?;
        let end = self.len();
        state.write(&self.node, index(end), content)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.syncing.pass();
        let fails = {
            let mut state = self.state()?;
            let fails = state.failing_syncs > 0;
            state.failing_syncs = state.failing_syncs.saturating_sub(1);
            fails
        };
        self.doubtful |= fails;
        if self.doubtful {
            return Err(io::Error::other("a sync failed"));
        }
        self.sync_content()
    }

    fn byte_count(&self) -> u64 {
        self.len()
    }

    fn truncate(&mut self, byte_count: u64) -> io::Result<()> {
        self.resize(byte_count)?;
        self.doubtful &= index(byte_count) > self.node.lock().synced.len();
        Ok(())
    }
}

impl RandomFile for MemFile {
    fn byte_count(&self) -> io::Result<u64> {
        Ok(self.len())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let _state = self.state()?;
        let start = index(offset);
        let content = self.node.lock();
        let held = content.now.get(start..start.saturating_add(out.len()));
        let held = held.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "read past the end"))?;
        out.copy_from_slice(held);
        Ok(())
    }

    fn write_at(&self, offset: u64, content: &[u8]) -> io::Result<()> {
        self.state()?.write(&self.node, index(offset), content)
    }

    fn set_byte_count(&self, byte_count: u64) -> io::Result<()> {
        self.resize(byte_count)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_content()
    }
}

#[cfg(test)]
mod tests;
