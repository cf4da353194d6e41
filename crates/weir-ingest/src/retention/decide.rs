//! What may go: objects, local files and folders that no record names. Pure: facts in, a list out.
//!
//! Whoever asks has listed what is there first and read the records then: what is made later than the list is not on it,
//! and of what is on it the records know, if anything does.

use std::{collections::BTreeSet, path::Path, time::Duration};
use weir_base::DirEntry;
use weir_control::{Doomed, ReplayPart, ReplayRecord, SegmentRecord, SegmentState, is_older};
use weir_files::ObjectInfo;

/// An object that no record names is deleted when it is older than this: an upload comes before its commit, and an hour is
/// far longer than any takes.
pub(crate) const ORPHANED_AFTER: Duration = Duration::from_secs(60 * 60);

/// Files that were found damaged and put aside stay this long for people to look at: what keeps a disk from filling with them.
const DAMAGED_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What the records of a table name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// Segments in any state, and those of replays.
    pub(super) segments: BTreeSet<String>,
    /// Segments that may be uploaded any time.
    pub(super) unfinished: BTreeSet<String>,
    /// Keys of objects that are kept: those of segments, and those that have a time to go of their own.
    pub(super) objects: BTreeSet<String>,
}

impl Named {
    pub(super) fn new(segments: &[SegmentRecord], replays: &[ReplayRecord], doomed: &[Doomed]) -> Self {
        let mut named = Self::default();
        for segment in segments {
            let name = segment.name.to_string();
            if let SegmentState::Done { artifact, .. } = &segment.state {
                named.objects.insert(artifact.key.clone());
            } else {
                named.unfinished.insert(name.clone());
            }
            named.segments.insert(name);
        }
        for segment in replays.iter().flat_map(|replay| &replay.parts).filter_map(ReplayPart::held) {
            named.segments.insert(segment.name.to_string());
            named.objects.insert(segment.artifact.key.clone());
        }
        named.objects.extend(doomed.iter().map(|doomed| doomed.key.clone()));
        named
    }
}

/// A table as its objects are seen from it.
pub(super) struct Ground<'a> {
    /// What its keys start with.
    pub(super) prefix: &'a str,
    /// When it was made: what is older was there before it and is not its own.
    pub(super) born_ms: i64,
    /// A replay may be under way: its objects are named later.
    pub(super) replaying: bool,
    /// A segment may be about to get another object.
    pub(super) renewing: bool,
    /// Wall time, milliseconds since the epoch.
    pub(super) now_ms: i64,
}

/// The objects of a table that nobody names and nobody will.
pub(super) fn orphaned_objects(objects: &[ObjectInfo], named: &Named, ground: &Ground<'_>) -> Vec<String> {
    let orphaned = |object: &&ObjectInfo| {
        // What does not look like a segment of ours was not put there by us.
        let Some((segment, renewed)) = segment_of(&object.key, ground.prefix) else { return false };
        let named_soon = named.unfinished.contains(segment)
            || (ground.replaying && segment.starts_with("replay__"))
            || (ground.renewing && renewed);
        let is_ours = object.modified_ms >= ground.born_ms;
        let is_old = is_older(object.modified_ms, ORPHANED_AFTER, ground.now_ms);
        is_ours && is_old && !named_soon && !named.objects.contains(&object.key)
    };
    objects.iter().filter(orphaned).map(|object| object.key.clone()).collect()
}

/// The objects of a table that was made then and is dropped.
pub(super) fn left_objects(objects: &[ObjectInfo], prefix: &str, born_ms: i64) -> Vec<String> {
    let is_ours = |object: &&ObjectInfo| object.modified_ms >= born_ms && segment_of(&object.key, prefix).is_some();
    objects.iter().filter(is_ours).map(|object| object.key.clone()).collect()
}

/// The segment that a key is of, and whether that is of a file made later in place of another:
/// `{prefix}{segment}-{checksum}.weir`, such a one with `-r{version}` behind the checksum, and each with `-{digit}` behind it all
/// where that key was taken.
fn segment_of<'a>(key: &'a str, prefix: &str) -> Option<(&'a str, bool)> {
    fn digits(text: &str) -> bool {
        !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit())
    }
    let name = key.strip_prefix(prefix)?.strip_suffix(".weir")?;
    let taken = name.rsplit_once('-').filter(|(_, at)| at.len() == 1 && digits(at));
    let name = taken.map_or(name, |(name, _)| name);
    let renewed = name.rsplit_once('-').filter(|(_, version)| version.strip_prefix('r').is_some_and(digits));
    let (segment, crc) = renewed.map_or(name, |(name, _)| name).rsplit_once('-')?;
    let whole = crc.len() == 8 && crc.bytes().all(|digit| digit.is_ascii_hexdigit());
    (whole && !segment.contains('/')).then_some((segment, renewed.is_some()))
}

/// The files among a table's local segments that no record names, and those that were begun and never finished.
pub(super) fn orphaned_files(files: &[DirEntry], named: &Named, now_ms: i64) -> Vec<String> {
    let orphaned = |file: &&DirEntry| {
        let name = Path::new(&file.name);
        let stem = name.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        match name.extension().and_then(|ending| ending.to_str()) {
            _ if file.is_dir => false,
            Some("weir") => !named.segments.contains(stem),
            Some("tmp") => is_older(file.modified_ms, ORPHANED_AFTER, now_ms),
            Some("damaged") => is_older(file.modified_ms, DAMAGED_KEPT, now_ms),
            _ => false,
        }
    };
    files.iter().filter(orphaned).map(|file| file.name.clone()).collect()
}

/// The folders of tables that are gone: those of an identity that the catalog once gave out, and of no table that is
/// there. A folder of another catalog stays.
pub(super) fn orphaned_folders(entries: &[DirEntry], live: &BTreeSet<String>, last_uid: u64) -> Vec<String> {
    let orphaned = |entry: &&DirEntry| {
        let uid = entry.name.rsplit_once('-').and_then(|(_, uid)| uid.parse::<u64>().ok());
        entry.is_dir && !live.contains(&entry.name) && uid.is_some_and(|uid| uid <= last_uid)
    };
    entries.iter().filter(orphaned).map(|entry| entry.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const NOW: i64 = 100 * HOUR;

    fn object(name: &str, modified_ms: i64) -> ObjectInfo {
        ObjectInfo { key: format!("t-1/{name}"), byte_count: 1, modified_ms }
    }

    fn entry(name: &str, is_dir: bool, modified_ms: i64) -> DirEntry {
        DirEntry { name: name.into(), is_dir, byte_count: 1, modified_ms }
    }

    fn ground(replaying: bool) -> Ground<'static> {
        Ground { prefix: "t-1/", born_ms: 10 * HOUR, replaying, renewing: replaying, now_ms: NOW }
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn objects_go_that_nobody_names_and_nobody_will() {
        let named = Named {
            segments: names(&["a", "b"]),
            unfinished: names(&["b"]),
            objects: names(&["t-1/a-00000001.weir", "t-1/d-00000001.weir"]),
        };
        let old = NOW - HOUR - 1;
        let objects = [
            object("a-00000001.weir", old),
            object("a-00000002.weir", old),
            object("a-00000001-1.weir", old),
            object("b-00000001-2.weir", old),
            object("a-00000001-x.weir", old),
            object("b-00000001.weir", old),
            object("c-0000000a.weir", old),
            object("c-0000000b.weir", NOW - HOUR),
            object("c-0000000c.weir", 10 * HOUR - 1),
            object("d-00000001.weir", old),
            object("replay__t__0__x__0-0-00000001.weir", old),
            object("a-00000003-r17.weir", old),
            object("a-00000003-r17-1.weir", NOW),
            object("a-00000003-rx.weir", old),
            object("notes.txt", old),
            object("x/c-0000000a.weir", old),
            object("c-0000000g.weir", old),
        ];
        let gone = ["t-1/a-00000002.weir", "t-1/a-00000001-1.weir", "t-1/c-0000000a.weir"];
        assert_eq!(orphaned_objects(&objects, &named, &ground(true)), gone);
        let gone = [gone[0], gone[1], gone[2], "t-1/replay__t__0__x__0-0-00000001.weir", "t-1/a-00000003-r17.weir"];
        assert_eq!(orphaned_objects(&objects, &named, &ground(false)), gone);
    }

    #[test]
    fn files_go_that_nobody_names_and_halves_that_nobody_finishes() {
        let named = Named { segments: names(&["a"]), ..Named::default() };
        let files = [
            entry("a.weir", false, 0),
            entry("b.weir", false, NOW),
            entry("a.weir.17-0.tmp", false, NOW - HOUR),
            entry("a.weir.17-1.tmp", false, NOW - HOUR - 1),
            entry("a.weir.damaged", false, NOW - 2 * HOUR),
            entry("b.weir.damaged", false, NOW - 8 * 24 * HOUR),
            entry("note", false, 0),
            entry("c.weir", true, 0),
        ];
        assert_eq!(orphaned_files(&files, &named, NOW), ["b.weir", "a.weir.17-1.tmp", "b.weir.damaged"]);
    }

    #[test]
    fn folders_go_of_tables_that_this_catalog_had() {
        let entries = [
            entry("t-1", true, 0),
            entry("t-2", true, 0),
            entry("a-b-3", true, 0),
            entry("t-4", true, 0),
            entry("t-2", false, 0),
            entry("other", true, 0),
        ];
        assert_eq!(orphaned_folders(&entries, &names(&["t-2"]), 3), ["t-1", "a-b-3"]);
        assert_eq!(orphaned_folders(&entries, &names(&[]), 0), Vec::<String>::new(), "a new catalog removes nothing");
    }
}
