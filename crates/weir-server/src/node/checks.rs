//! What a node finds about itself when it is asked: its catalog, its deep store, its disk, its limits. Each is tried at that
//! moment; nothing of it is kept.

use crate::node::{
    Node,
    open::{OWNER_MARK, in_time},
};
use crate::pinot_json::segment::artifact;
use std::collections::{BTreeMap, BTreeSet};
use weir_files::probe;
use weir_types::{Classify, ErrorKind, TableName};

/// Segments that are named; of more there is a count.
const SEGMENTS_NAMED: usize = 3;

/// How well it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// As it should be.
    Ok,
    /// It works; somebody should look.
    Look,
    /// It does not work.
    Wrong,
}

impl Grade {
    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Look => "LOOK",
            Self::Wrong => "WRONG",
        }
    }

    /// The grade of a word; what is not known is wrong.
    #[must_use]
    pub fn of(word: &str) -> Self {
        [Self::Ok, Self::Look].into_iter().find(|grade| grade.word() == word).unwrap_or(Self::Wrong)
    }
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at: `catalog`, `deepStore` and so on.
    pub name: String,
    /// How well it is.
    pub grade: Grade,
    /// Which one: a folder, a URI, a table.
    pub subject: String,
    /// What was found.
    pub detail: String,
    /// What to do.
    pub remedy: Option<String>,
}

impl Check {
    /// Something that is as it should be.
    #[must_use]
    pub fn ok(name: &str, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), grade: Grade::Ok, subject: subject.into(), detail: detail.into(), remedy: None }
    }

    /// The same, that somebody should look at.
    #[must_use]
    pub fn look(self, remedy: impl Into<String>) -> Self {
        Self { grade: Grade::Look, remedy: Some(remedy.into()), ..self }
    }

    /// The same, that is wrong.
    #[must_use]
    pub fn wrong(self, remedy: impl Into<String>) -> Self {
        Self { grade: Grade::Wrong, remedy: Some(remedy.into()), ..self }
    }
}

impl Node {
    /// Tries what the node stands on.
    pub async fn checks(&self) -> Vec<Check> {
        let (catalog, deep_store, disk) =
            tokio::join!(self.check_catalog(), self.check_deep_store(), self.check_disk());
        let mut checks = vec![catalog, deep_store, disk, check_files(open_files())];
        // A catalog that cannot be read was told above.
        for table in self.tables().await.unwrap_or_default() {
            checks.push(self.check_segments(&table.spec.name).await);
        }
        checks
    }

    /// Whether committed segments of a table could be read when somebody asked for them, and whether those that nobody asked for
    /// are still somewhere.
    async fn check_segments(&self, name: &TableName) -> Check {
        let failed: Vec<(String, String)> =
            self.ingest.open_troubles(name).into_iter().map(|(segment, why)| (segment.to_string(), why)).collect();
        let partitions = self.tables.get(name.as_str()).map(|table| table.partitions());
        let partitions = partitions.iter().flat_map(|partitions| partitions.values());
        let absent = partitions.map(|partition| partition.snapshot().absent.len()).sum();
        let check = grade_segments(name.as_str(), &failed, absent);
        if check.grade == Grade::Wrong {
            return check;
        }
        let (lost, alone) = self.not_in_deep_store(name).await;
        grade_places(check, &lost, &alone)
    }

    /// Committed segments whose object the deep store lacks: those that are nowhere, and those of which this node alone has a
    /// copy. Where it does not answer, nothing is known, and the deep store's own check says so.
    async fn not_in_deep_store(&self, name: &TableName) -> (Vec<String>, Vec<String>) {
        let store = &*self.ingest.deps().deep_store;
        let (mut lost, mut alone) = (vec![], vec![]);
        let segments = self.segments(name).await.unwrap_or_default();
        let artifacts = segments.iter().filter_map(|segment| Some((&segment.name, artifact(segment)?)));
        let mut by_folder: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
        for (segment, artifact) in artifacts {
            let folder = artifact.key.rfind('/').map_or("", |end| &artifact.key[..=end]);
            by_folder.entry(folder).or_default().push((&**segment, artifact.key.as_str()));
        }
        for (folder, segments) in by_folder {
            let Ok(there) = in_time(store, store.list(folder)).await else { return (vec![], vec![]) };
            let there: BTreeSet<String> = there.into_iter().map(|object| object.key).collect();
            for (segment, _) in segments.into_iter().filter(|(_, key)| !there.contains(*key)) {
                let list = if self.local_byte_count(name, segment).is_some() { &mut alone } else { &mut lost };
                list.push(segment.to_owned());
            }
        }
        (lost, alone)
    }

    async fn check_catalog(&self) -> Check {
        let folder = self.settings.absolute_data_dir().display().to_string();
        match self.tables().await {
            Ok(tables) => Check::ok("catalog", folder, format!("tables that it names: {}", tables.len())),
            Err(error) => Check::ok("catalog", folder, error.text)
                .wrong("look whether the disk can be read and written; the node's log says more"),
        }
    }

    async fn check_deep_store(&self) -> Check {
        let store = &*self.ingest.deps().deep_store;
        let uri = self.deep_store_uri();
        // Before the probe, which would make a folder that is gone.
        if let Some(gone) = self.deep_store_gone().await {
            return Check::ok("deepStore", uri, gone).wrong(
                "nothing is written to it: segments stay on this node, and those that lie there alone cannot be read. Mount its \
                 disk again, or put its content back, and the node goes on by itself; where that is lost, remove deep-store.mark \
                 from the data folder and start the node again, which makes the folder anew",
            );
        }
        match in_time(store, probe(store)).await {
            Ok(()) => Check::ok("deepStore", uri, "an object was written, read and deleted"),
            Err(error) => Check::ok("deepStore", uri, error.to_string()).wrong(
                "segments stay on this node until it takes them: look whether it runs, and whether its settings \
                 (--deep-store, --deep-store-setting) let the node write",
            ),
        }
    }

    /// What the deep store lacks that was there when the node started, or that the probe would make.
    async fn deep_store_gone(&self) -> Option<String> {
        let deps = self.ingest.deps();
        if let Some(folder) = self.deep_store_uri().strip_prefix("file://") {
            let folder = std::path::PathBuf::from(folder);
            let asked = deps.options.heavy.run(move || std::fs::metadata(folder));
            match asked.await {
                Ok(found) if !found.is_dir() => {
                    return Some("there is no folder any more, something else is there".into());
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some("its folder is gone".into()),
                // What else is wrong the probe says.
                _ => {}
            }
        }
        if !deps.options.owns_deep_store {
            return None;
        }
        let store = &*deps.deep_store;
        match in_time(store, store.get(OWNER_MARK)).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Some(format!(
                "{OWNER_MARK}, which this node found or made there at its start, is gone: it was emptied, or its disk is not \
                 mounted any more"
            )),
            _ => None,
        }
    }

    async fn check_disk(&self) -> Check {
        let folder = self.settings.absolute_data_dir();
        let (deps, floor) = (self.ingest.deps(), self.settings.disk_floor);
        let (disk, at) = (deps.disk.clone(), folder.clone());
        let asked =
            deps.options.heavy.run(move || Ok::<_, std::io::Error>((disk.free_bytes(&at)?, disk.total_bytes(&at)?)));
        let folder = folder.display().to_string();
        match asked.await {
            Ok((free, total)) => grade_disk(folder, free, total, floor.bytes(total)),
            Err(error) => Check::ok("disk", folder, format!("its free space cannot be told: {error}"))
                .wrong("look whether the folder of the data is there and can be read"),
        }
    }
}

/// Some of many.
fn some(names: &[String]) -> String {
    let named = names.iter().take(SEGMENTS_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SEGMENTS_NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// What is said of segments beside what is wrong with their files: `lost` are nowhere, `alone` on this node only.
fn grade_places(check: Check, lost: &[String], alone: &[String]) -> Check {
    if !lost.is_empty() {
        let detail =
            format!("committed segments that neither the deep store nor this node has: {}: {}", lost.len(), some(lost));
        return Check { detail, ..check }.wrong(
            "answers lack their rows: put their objects back into the deep store (`SELECT segment, location FROM system.segments` \
             says where they were)",
        );
    }
    if !alone.is_empty() {
        let detail = format!(
            "committed segments that the deep store lacks, of which this node has the only copy: {}: {}",
            alone.len(),
            some(alone)
        );
        return Check { detail, ..check }
            .look("keep the node's disk, and put the objects back into the deep store from a backup or from its folder of segments");
    }
    check
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let at = (0..units.len()).rev().find(|at| bytes >> (10 * at) > 0).unwrap_or(0);
    format!("{:.1} {}", bytes as f64 / (1_u64 << (10 * at)) as f64, units[at])
}

/// `failed` are segments that could not be opened, with the reason; `absent` are not loaded yet.
fn grade_segments(table: &str, failed: &[(String, String)], absent: usize) -> Check {
    let check = |detail: String| Check::ok("segments", table, detail);
    if failed.is_empty() {
        return match absent {
            0 => check("no committed segment failed to be read".to_owned()),
            absent => check(format!("committed segments that are not loaded yet: {absent}"))
                .look("answers say what they lack until they are: ask again in a moment"),
        };
    }
    let named: Vec<String> =
        failed.iter().take(SEGMENTS_NAMED).map(|(segment, why)| format!("{segment} ({why})")).collect();
    let more = match failed.len().saturating_sub(SEGMENTS_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    check(format!("committed segments that cannot be read: {}: {}{more}", failed.len(), named.join(", "))).wrong(
        "answers lack their rows (error 305): bring back what the reason names; queries then try again by themselves, and \
         `SELECT * FROM system.segments` shows all of them",
    )
}

fn grade_disk(folder: String, free: u64, total: u64, floor: u64) -> Check {
    let check =
        Check::ok("disk", folder, format!("{} of {} are free, the floor is {}", size(free), size(total), size(floor)));
    // What the log, the catalog and segments that are built need has no other room than that above the floor.
    match free {
        free if free < floor || free == 0 => check.wrong(
            "local copies of uploaded segments are given up, and fetched again when queries need them: make room, or lower \
             --disk-floor",
        ),
        free if free < floor.saturating_add(floor / 2) => check.look("it is near its floor: make room before it is reached"),
        _ => check,
    }
}

/// Files that the process has open, and may open; none where the system does not say.
fn open_files() -> (Option<u64>, Option<u64>) {
    let open = std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64);
    (open, rustix::process::getrlimit(rustix::process::Resource::Nofile).current)
}

/// Below this a node of a hundred partitions runs out: each has segment files, a log, and connections to brokers.
const FILES_LEAST: u64 = 4_096;

fn check_files((open, most): (Option<u64>, Option<u64>)) -> Check {
    let shown = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    let limit = most.map_or_else(|| "without limit".to_owned(), |most| format!("of {most} that it may open"));
    let check = Check::ok("openFiles", "process", format!("{} files are open, {limit}", shown(open)));
    match (open, most) {
        (Some(open), Some(most)) if open.saturating_mul(10) >= most.saturating_mul(9) => {
            check.wrong("raise the limit (`ulimit -n 65536`, or LimitNOFILE of the service) and start the node again")
        }
        (_, Some(most)) if most < FILES_LEAST => check
            .look(format!("raise the limit above {FILES_LEAST} (`ulimit -n 65536`, or LimitNOFILE of the service)")),
        _ => check,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_held_against_its_floor() {
        let grade = |free, floor| grade_disk("d".into(), free, 1 << 40, floor).grade;
        assert_eq!(grade(100 << 30, 16 << 30), Grade::Ok);
        assert_eq!(grade(20 << 30, 16 << 30), Grade::Look);
        assert_eq!(grade(15 << 30, 16 << 30), Grade::Wrong);
        assert_eq!((grade(1, 0), grade(0, 0)), (Grade::Ok, Grade::Wrong));
        let said = grade_disk("d".into(), 3 << 29, 1 << 40, 0).detail;
        assert_eq!(said, "1.5 GiB of 1.0 TiB are free, the floor is 0.0 B");
    }

    #[test]
    fn segments_that_cannot_be_read_are_wrong() {
        assert_eq!((grade_segments("t", &[], 0).grade, grade_segments("t", &[], 2).grade), (Grade::Ok, Grade::Look));
        let failed: Vec<_> = (0..31).map(|number| (format!("s{number}"), "gone".to_owned())).collect();
        let found = grade_segments("t", &failed, 0);
        assert_eq!(found.grade, Grade::Wrong);
        assert_eq!(
            found.detail,
            "committed segments that cannot be read: 31: s0 (gone), s1 (gone), s2 (gone) and 28 more"
        );
    }

    #[test]
    fn segments_that_are_nowhere_are_wrong_before_anybody_asks() {
        let check = || grade_segments("t", &[], 0);
        let names = |count: usize| (0..count).map(|at| format!("s{at}")).collect::<Vec<_>>();
        assert_eq!(grade_places(check(), &[], &[]), check());
        let alone = grade_places(check(), &[], &names(1));
        assert!(alone.grade == Grade::Look && alone.detail.ends_with("only copy: 1: s0"), "{alone:?}");
        let lost = grade_places(check(), &names(5), &names(1));
        assert!(lost.grade == Grade::Wrong && lost.detail.ends_with("has: 5: s0, s1, s2 and 2 more"), "{lost:?}");
    }

    #[test]
    fn open_files_are_held_against_their_limit() {
        let grade = |open, most| check_files((open, most)).grade;
        assert_eq!(grade(Some(10), Some(65_536)), Grade::Ok);
        assert_eq!(grade(Some(10), Some(1_024)), Grade::Look);
        assert_eq!(grade(Some(60_000), Some(65_536)), Grade::Wrong);
        assert_eq!((grade(None, None), grade(Some(5), None)), (Grade::Ok, Grade::Ok));
        for grade in [Grade::Ok, Grade::Look, Grade::Wrong] {
            assert_eq!(Grade::of(grade.word()), grade);
        }
    }
}
