//! What every disk must do, the real one and the one in memory alike; each one's tests call it with an empty folder.

use super::{BLOCK_BYTES, BlockBuffer, Disk, SharedDisk};
use std::{io::ErrorKind, path::Path};

/// Runs the suite below `root`, an absent or empty folder; it panics where the disk does not conform.
pub fn conformance(disk: &SharedDisk, root: &Path) {
    let disk = &**disk;
    files_grow_at_their_end(disk, &root.join("append"));
    files_grow_by_blocks(disk, &root.join("blocks"));
    files_are_written_at_positions(disk, &root.join("random"));
    files_are_written_whole(disk, &root.join("whole"));
    new_files_do_not_replace(disk, &root.join("new"));
    names_move(disk, &root.join("names"));
    folders_list_what_they_hold(disk, &root.join("folders"));
    mapped_bytes_stay(disk, &root.join("mapped"));
    disk.create_dir_all(root).expect("a folder can be there already");
    let free = disk.free_bytes(root).expect("free space can be asked for");
    assert!(free > 0 && disk.total_bytes(root).expect("space can be asked for") >= free);
    disk.remove_dir_all(root).expect("the folder goes");
    assert_eq!(disk.list(root).expect("an absent folder has no entries"), []);
}

fn files_grow_at_their_end(disk: &dyn Disk, dir: &Path) {
    // Its folders are absent, too.
    let path = dir.join("deep/log");
    let mut file = disk.open_append(&path).expect("a file opens");
    assert_eq!(file.byte_count(), 0);
    file.append(b"one").expect("it takes bytes");
    file.append(b"").expect("it takes no bytes");
    file.append(b"two").expect("it takes bytes");
    file.sync().expect("it syncs");
    assert_eq!(disk.read(&path).expect("it is there"), b"onetwo");
    drop(file);
    let mut file = disk.open_append(&path).expect("a file opens again");
    assert_eq!(file.byte_count(), 6);
    file.append(b"three").expect("it takes bytes");
    assert_eq!((file.byte_count(), disk.byte_count(&path).expect("it is there")), (11, Some(11)));
    file.truncate(4).expect("it is cut back");
    file.append(b"!").expect("it takes bytes");
    assert_eq!(file.byte_count(), 5);
    assert_eq!(disk.read(&path).expect("it is there"), b"onet!");
    for (offset, length, bytes) in [(0, 5, "onet!"), (1, 2, "ne"), (4, 9, "!"), (5, 1, ""), (99, 1, "")] {
        assert_eq!(disk.read_at(&path, offset, length).expect("a part is read"), bytes.as_bytes());
    }
    assert!(disk.open_append(dir).is_err(), "a folder is no file");
    assert!(disk.open_append(&path.join("below")).is_err(), "a file is no folder");
}

fn files_grow_by_blocks(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    let (one, two) = (vec![1; BLOCK_BYTES], vec![2; 3 * BLOCK_BYTES]);
    let mut file = disk.open_append_uncached(&path).expect("a file opens");
    // From pages, and from anywhere.
    let mut pages = BlockBuffer::default();
    file.append(pages.fill(|out| out.extend_from_slice(&one))).expect("it takes a block");
    let mapped = disk.map(&path).expect("it maps");
    file.append(pages.fill(|out| out.extend_from_slice(&two))).expect("it takes blocks");
    file.append(&[&[0], &one[..]].concat()[1..]).expect("it takes what lies elsewhere");
    assert_eq!(disk.read(&path).expect("it is there"), [&one[..], &two, &one].concat());
    assert_eq!(&mapped[..], &one[..], "what was mapped before stays");
    drop(file);
    let mut file = disk.open_append_uncached(&path).expect("a file opens again");
    file.truncate(2 * BLOCK_BYTES as u64).expect("it is cut back");
    file.append(pages.fill(|out| out.extend_from_slice(&one))).expect("it takes a block");
    file.append(b"odd").expect("it takes what is no block");
    file.append(pages.fill(|out| out.extend_from_slice(&two))).expect("it takes blocks at odd places");
    file.sync().expect("it syncs");
    let content = [&one[..], &two[..BLOCK_BYTES], &one, b"odd", &two].concat();
    assert_eq!(file.byte_count(), content.len() as u64);
    assert_eq!(disk.read(&path).expect("it is there"), content);
}

fn files_are_written_at_positions(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("pages");
    let file = disk.open_random(&path).expect("a file opens");
    file.write_at(3, b"abc").expect("it takes bytes past its end");
    assert_eq!(disk.read(&path).expect("it is there"), b"\0\0\0abc");
    file.set_byte_count(8).expect("it grows");
    file.set_byte_count(5).expect("it is cut");
    file.set_byte_count(6).expect("it grows");
    file.write_at(0, b"x").expect("it takes bytes");
    file.sync().expect("it syncs");
    let mut out = [9; 6];
    file.read_at(0, &mut out).expect("it gives bytes");
    assert_eq!(&out, b"x\0\0ab\0", "what was cut off is not seen again");
    assert_eq!(file.read_at(1, &mut out).expect_err("past its end").kind(), ErrorKind::UnexpectedEof);
    assert_eq!(file.byte_count().expect("its length"), 6);
    let again = disk.open_random(&path).expect("a file opens again");
    assert_eq!(again.byte_count().expect("its length"), 6);
}

fn files_are_written_whole(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("deep/file");
    for content in [&b"first, and longer"[..], b"second", b""] {
        disk.write_whole(&path, content).expect("it is written");
        assert_eq!(disk.read(&path).expect("it is there"), content);
    }
    let pieces: [&[u8]; 5] = [b"", b"in ", b"", b"pieces", b""];
    disk.write_pieces(&path, &pieces).expect("it is written");
    assert_eq!(disk.read(&path).expect("it is there"), b"in pieces");
    let many: Vec<&[u8]> = vec![b"ab"; 5000];
    disk.write_pieces(&path, &many).expect("it is written");
    assert_eq!(disk.read(&path).expect("it is there"), "ab".repeat(5000).as_bytes());
    assert_eq!(names(disk, &dir.join("deep")), ["file"], "no temporary file is left");
    assert!(disk.write_whole(dir, b"x").is_err(), "a folder is not replaced");
    assert!(disk.write_whole(&path.join("below"), b"x").is_err(), "a file is no folder");
    assert_eq!(names(disk, dir), ["deep"]);
}

fn new_files_do_not_replace(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("deep/file");
    assert!(disk.write_new(&path, b"first").expect("it is written"));
    assert!(!disk.write_new(&path, b"second").expect("it is there"));
    assert_eq!(disk.read(&path).expect("it is there"), b"first");
    // Whole pages of a mapped file, with and without a rest, and bytes that lie anywhere.
    let source = dir.join("deep/source");
    for count in [4096, 3 * 4096, 3 * 4096 + 17, 4095] {
        let content: Vec<u8> = (0..count).map(|at: u32| (at % 251) as u8).collect();
        disk.write_whole(&source, &content).expect("it is written");
        let mapped = disk.map(&source).expect("it is there");
        for from in [0, 1] {
            let copy = dir.join("deep/copy");
            assert!(disk.write_new(&copy, &mapped[from..]).expect("it is written"), "{count} bytes from {from}");
            assert_eq!(disk.read(&copy).expect("it is there"), content[from..], "{count} bytes from {from}");
            disk.remove_file(&copy).expect("it goes");
        }
        disk.remove_file(&source).expect("it goes");
    }
    assert!(disk.write_new(dir, b"x").is_err(), "a folder is no file");
    assert!(disk.write_new(&path.join("below"), b"x").is_err(), "a file is no folder");
    assert_eq!((names(disk, dir), names(disk, &dir.join("deep"))), (vec!["deep".into()], vec!["file".into()]));
    let wins: usize = std::thread::scope(|scope| {
        let race = dir.join("race");
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let race = race.clone();
                scope.spawn(move || usize::from(disk.write_new(&race, &[writer; 100]).expect("each is answered")))
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().expect("no writer panics")).sum()
    });
    assert_eq!(wins, 1);
    let content = disk.read(&dir.join("race")).expect("it is there");
    assert!(content.len() == 100 && content.iter().all(|byte| *byte == content[0]), "one writer's bytes, whole");
}

fn names_move(disk: &dyn Disk, dir: &Path) {
    let [one, two, absent] = ["one", "two", "absent"].map(|name| dir.join(name));
    disk.write_whole(&one, b"1").expect("it is written");
    disk.write_whole(&two, b"2").expect("it is written");
    disk.rename(&one, &two).expect("it moves over the other");
    disk.sync_dir(dir).expect("the folder syncs");
    assert_eq!(disk.read(&two).expect("it is there"), b"1");
    assert_eq!(disk.read(&one).expect_err("it moved").kind(), ErrorKind::NotFound);
    assert_eq!(disk.byte_count(&one).expect("absence is no error"), None);
    assert_eq!(disk.byte_count(dir).expect("a folder is no error"), None);
    for error in [
        disk.rename(&one, &two).expect_err("it is absent"),
        disk.rename(&two, &dir.join("no/folder")).expect_err("its folder is absent"),
        disk.read_at(&absent, 0, 1).expect_err("it is absent"),
        disk.map(&absent).expect_err("it is absent"),
        disk.sync_dir(&absent).expect_err("it is absent"),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.to_string().contains("names"), "{error} names its file");
    }
    disk.remove_file(&two).expect("it goes");
    disk.remove_file(&two).expect("an absent one is fine");
    disk.remove_file(&dir.join("no/folder")).expect("an absent one is fine");
    assert!(disk.remove_file(dir).is_err(), "a folder is no file");
    disk.remove_dir_all(&absent).expect("an absent one is fine");
}

fn names(disk: &dyn Disk, dir: &Path) -> Vec<String> {
    disk.list(dir).expect("it is listed").into_iter().map(|entry| entry.name).collect()
}

fn folders_list_what_they_hold(disk: &dyn Disk, dir: &Path) {
    disk.create_dir_all(&dir.join("b/inner")).expect("folders are made");
    disk.create_dir_all(&dir.join("b")).expect("a folder can be there already");
    disk.write_whole(&dir.join("c"), b"123").expect("it is written");
    disk.write_whole(&dir.join("a/x"), b"1").expect("it is written");
    let entries = disk.list(dir).expect("it is listed");
    let seen: Vec<_> = entries.iter().map(|entry| (&*entry.name, entry.is_dir, entry.byte_count)).collect();
    assert_eq!(seen, [("a", true, 0), ("b", true, 0), ("c", false, 3)]);
    assert!(entries[2].modified_ms > 1_700_000_000_000, "{entries:?} was written in our days");
    assert_eq!(names(disk, &dir.join("b")), ["inner"]);
    assert!(disk.list(&dir.join("c")).is_err(), "a file is no folder");
    assert!(disk.create_dir_all(&dir.join("c/below")).is_err(), "a file is no folder");
    disk.remove_dir_all(&dir.join("b")).expect("it goes");
    disk.remove_dir_all(&dir.join("a")).expect("it goes with its file");
    assert_eq!(names(disk, dir), ["c"]);
    assert_eq!(disk.byte_count(&dir.join("a/x")).expect("absence is no error"), None);
}

fn mapped_bytes_stay(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    disk.write_whole(&path, b"first").expect("it is written");
    let first = disk.map(&path).expect("it is mapped");
    disk.write_whole(&path, b"other bytes").expect("it is replaced");
    let second = disk.map(&path).expect("it is mapped").clone();
    disk.remove_file(&path).expect("it goes");
    assert_eq!((&*first, &*second), (&b"first"[..], &b"other bytes"[..]));
    disk.write_whole(&path, b"").expect("it is written");
    assert_eq!(&*disk.map(&path).expect("an empty file is mapped"), b"");
}
