//! The disk in memory: it conforms, and its bad days are as bad as they are said to be and no worse.

use super::*;
use crate::disk::SharedDisk;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

#[test]
fn conforms() {
    let disk: SharedDisk = MemDisk::new(None);
    crate::disk::conformance(&disk, Path::new("/root/made"));
}

#[test]
fn a_crash_takes_only_what_was_not_synced() {
    let path = Path::new("/d/log");
    let mut kept = HashSet::new();
    for seed in 0..200 {
        let disk = MemDisk::new(None);
        let mut file = disk.open_append(path).unwrap();
        file.append(b"durable").unwrap();
        file.sync().unwrap();
        file.append(b" and not").unwrap();
        disk.crash(&mut Chance::seeded(seed));
        let found = disk.read(path).unwrap();
        assert!(found.starts_with(b"durable") && b"durable and not".starts_with(&found[..]), "{found:?}");
        kept.insert(found.len());
        disk.crash(&mut Chance::seeded(seed + 1));
        assert_eq!(disk.read(path).unwrap(), found, "what survived one crash survives the next");
    }
    assert_eq!(kept.len(), 9, "all, nothing and every part are kept at times: {kept:?}");
}

#[test]
fn a_crash_undoes_name_changes_one_by_one_and_never_by_halves() {
    let [made, gone, from, to] = ["/d/made", "/d/gone", "/d/from", "/d/to"].map(Path::new);
    let mut seen = HashSet::new();
    for seed in 0..200 {
        let disk = MemDisk::new(None);
        disk.write_whole(gone, b"g").unwrap();
        disk.write_whole(from, b"f").unwrap();
        disk.open_append(made).unwrap().append(b"m").unwrap();
        disk.remove_file(gone).unwrap();
        disk.rename(from, to).unwrap();
        disk.crash(&mut Chance::seeded(seed));
        let there = [made, gone, from, to].map(|path| disk.byte_count(path).unwrap().is_some());
        assert!(there[2] != there[3], "a file that moves is never lost and never doubled: {there:?}");
        seen.insert(there);
    }
    assert_eq!(seen.len(), 8, "each change is kept or undone on its own: {seen:?}");
}

#[test]
fn a_synced_folder_keeps_its_names() {
    for seed in 0..100 {
        let disk = MemDisk::new(None);
        disk.write_whole(Path::new("/d/from"), b"f").unwrap();
        disk.write_whole(Path::new("/d/gone"), b"g").unwrap();
        disk.rename(Path::new("/d/from"), Path::new("/e")).unwrap();
        disk.remove_file(Path::new("/d/gone")).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        disk.crash(&mut Chance::seeded(seed));
        assert_eq!(disk.list(Path::new("/d")).unwrap(), []);
        assert_eq!(disk.read(Path::new("/e")).unwrap(), b"f");
    }
}

#[test]
fn overwritten_blocks_are_old_or_new_after_a_crash() {
    let path = Path::new("/pages");
    let mut mixed = 0;
    for seed in 0..50 {
        let disk = MemDisk::new(None);
        let file = disk.open_random(path).unwrap();
        file.write_at(0, &[1; 4 * BLOCK]).unwrap();
        file.sync().unwrap();
        file.write_at(0, &[2; 4 * BLOCK]).unwrap();
        disk.crash(&mut Chance::seeded(seed));
        let found = disk.read(path).unwrap();
        assert_eq!(found.len(), 4 * BLOCK);
        assert!(found.chunks(BLOCK).all(|block| block.iter().all(|byte| *byte == block[0] && [1, 2].contains(byte))));
        mixed += usize::from(found.contains(&1) && found.contains(&2));
    }
    assert!(mixed > 0);
}

#[test]
fn files_opened_before_a_crash_are_of_no_use() {
    let disk = MemDisk::new(None);
    let mut file = disk.open_append(Path::new("/f")).unwrap();
    file.append(b"1").unwrap();
    file.sync().unwrap();
    disk.crash(&mut Chance::seeded(1));
    assert!(file.append(b"2").is_err() && file.sync().is_err() && file.truncate(0).is_err());
    assert_eq!(disk.read(Path::new("/f")).unwrap(), b"1");
}

#[test]
fn a_full_disk_takes_a_part_and_says_so() {
    let disk = MemDisk::new(Some(10));
    let mut file = disk.open_append(Path::new("/f")).unwrap();
    file.append(b"12345678").unwrap();
    assert_eq!(file.append(b"abcd").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!((AppendFile::byte_count(&*file), disk.used_bytes()), (10, 10));
    assert_eq!(disk.free_bytes(Path::new("/")).unwrap(), 0);
    file.truncate(8).unwrap();
    assert_eq!(disk.read(Path::new("/f")).unwrap(), b"12345678");
    for full in [
        disk.write_whole(Path::new("/g"), b"abc").unwrap_err(),
        disk.write_new(Path::new("/g"), b"abc").unwrap_err(),
        disk.open_random(Path::new("/h")).unwrap().set_byte_count(3).unwrap_err(),
    ] {
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    }
    assert_eq!(disk.byte_count(Path::new("/g")).unwrap(), None, "a whole file is all or nothing");
    disk.open_random(Path::new("/f")).unwrap().write_at(0, b"8765").unwrap();
    disk.set_capacity(None);
    disk.write_whole(Path::new("/g"), b"abc").unwrap();
}

/// What may happen to the append files `/l/N` and the whole files `/w/N`.
#[derive(Debug, Clone)]
enum Step {
    Append(u8, Vec<u8>),
    Sync(u8),
    Whole(u8, Vec<u8>),
    New(u8, Vec<u8>),
    Remove(u8),
    SyncDir,
    Full(bool),
    Crash(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
    let step = prop_oneof![
        4 => (0..3_u8, bytes()).prop_map(|(file, bytes)| Step::Append(file, bytes)),
        3 => (0..3_u8).prop_map(Step::Sync),
        3 => (0..3_u8, bytes()).prop_map(|(file, bytes)| Step::Whole(file, bytes)),
        2 => (0..3_u8, bytes()).prop_map(|(file, bytes)| Step::New(file, bytes)),
        2 => (0..3_u8).prop_map(Step::Remove),
        1 => Just(Step::SyncDir),
        1 => any::<bool>().prop_map(Step::Full),
        2 => any::<u64>().prop_map(Step::Crash),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What is known of the files, kept beside the disk.
#[derive(Default)]
struct Model {
    /// All bytes of a log, and how many of them are synced.
    logs: HashMap<u8, (Vec<u8>, usize)>,
    /// The contents that a whole file may have; `None` is absence.
    wholes: HashMap<u8, Vec<Option<Vec<u8>>>>,
}

impl Model {
    fn check(&mut self, disk: &MemDisk) {
        for (log, (bytes, synced)) in &mut self.logs {
            let found = disk.read(Path::new(&format!("/l/{log}"))).unwrap_or_default();
            assert!(found.len() >= *synced && bytes.starts_with(&found), "{found:?}, {synced} synced of {bytes:?}");
            *synced = found.len();
            *bytes = found;
        }
        for (whole, may_be) in &mut self.wholes {
            let found = disk.read(Path::new(&format!("/w/{whole}"))).ok();
            assert!(may_be.contains(&found), "{found:?} is none of {may_be:?}");
            *may_be = vec![found];
        }
    }

    fn step(&mut self, disk: &MemDisk, step: Step) {
        match step {
            Step::Append(log, bytes) => {
                let mut file = disk.open_append(Path::new(&format!("/l/{log}"))).unwrap();
                let known = &mut self.logs.entry(log).or_default().0;
                let whole = file.append(&bytes).is_ok();
                let taken = index(AppendFile::byte_count(&*file)) - known.len();
                assert!(taken == bytes.len() || !whole);
                known.extend_from_slice(&bytes[..taken]);
            }
            Step::Sync(log) => {
                disk.open_append(Path::new(&format!("/l/{log}"))).unwrap().sync().unwrap();
                let (bytes, synced) = self.logs.entry(log).or_default();
                *synced = bytes.len();
            }
            Step::Whole(file, bytes) => {
                if disk.write_whole(Path::new(&format!("/w/{file}")), &bytes).is_ok() {
                    self.synced_whole(file, bytes);
                }
            }
            Step::New(file, bytes) => match disk.write_new(Path::new(&format!("/w/{file}")), &bytes) {
                Ok(true) => self.synced_whole(file, bytes),
                Ok(false) => self.sync_names(),
                Err(_) => {}
            },
            Step::Remove(file) => {
                disk.remove_file(Path::new(&format!("/w/{file}"))).unwrap();
                self.wholes.entry(file).or_insert_with(|| vec![None]).push(None);
            }
            Step::SyncDir => {
                if disk.sync_dir(Path::new("/w")).is_ok() {
                    self.sync_names();
                }
            }
            Step::Full(full) => disk.set_capacity(full.then(|| disk.used_bytes() + 10)),
            Step::Crash(seed) => {
                disk.crash(&mut Chance::seeded(seed));
                self.check(disk);
            }
        }
    }

    fn sync_names(&mut self) {
        self.wholes.values_mut().for_each(|may_be| drop(may_be.drain(..may_be.len() - 1)));
    }

    fn synced_whole(&mut self, file: u8, bytes: Vec<u8>) {
        self.wholes.insert(file, vec![Some(bytes)]);
        self.sync_names();
    }
}

proptest! {
    #[test]
    fn whatever_the_crash_synced_bytes_survive_and_whole_files_are_whole(steps in steps(), last in any::<u64>()) {
        let disk = MemDisk::new(None);
        let mut model = Model::default();
        for step in steps {
            model.step(&disk, step);
        }
        model.step(&disk, Step::Crash(last));
    }
}
