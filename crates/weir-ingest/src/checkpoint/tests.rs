//! Files that are whole, torn, bent, of something else, or on a full disk.

use super::{file::Boundary, writer::WAITING_MAX, *};
use crate::quarantine::QuarantineBounds;
use std::path::Path;
use weir_base::{Chance, Disk, MemDisk, SimClock};
use weir_segment::{ConsumingSegment, ConsumingSpec, Segment};
use weir_types::{
    Accounting, Column, ColumnData, ColumnName, DataType, FieldKind, FieldSpec, RowBatch, Schema, SchemaVersion,
};

const BLOCK_ROWS: u32 = 10;
const PATH: &str = "/t/open/s__0__0__20260101T0000Z.chunks";

fn spec(version: u32) -> ConsumingSpec {
    let field =
        |name: &str, data_type| FieldSpec::new(ColumnName::parse(name).unwrap(), data_type, FieldKind::Dimension);
    let fields = vec![field("id", DataType::Long), field("name", DataType::String)];
    ConsumingSpec {
        name: "s__0__0__20260101T0000Z".into(),
        schema: Arc::new(Schema::new("s", SchemaVersion(version), fields)),
        no_dictionary: Default::default(),
        keep_offsets: false,
        created_ms: 7,
    }
}

fn identity() -> Identity {
    Identity::new(3, NextOffset::new(100), &spec(1))
}

fn batch(ids: std::ops::Range<i64>) -> RowBatch {
    let mut rows = RowBatch::new(&spec(1).schema);
    for id in ids {
        let [Column { data: ColumnData::Long(longs), .. }, Column { data: ColumnData::Str(texts), .. }] =
            &mut rows.columns[..]
        else {
            unreachable!("the schema says so")
        };
        longs.push(id);
        texts.push(format!("name {}", id % 7).as_bytes());
        rows.message_of_row.push(id as u32);
    }
    rows
}

/// What stands behind `rows` rows: every message a row, from offset 100 on.
fn boundary(rows: u32) -> Boundary {
    let all = u64::from(rows);
    let counts = Accounting { fetched: all, stored: all, rows: all, ..Accounting::default() };
    Boundary { rows, next: NextOffset::new(100 + all), counts }
}

fn ids(segment: &mut ConsumingSegment) -> Vec<i64> {
    let snapshot = segment.snapshot();
    let mut column = Column::new(DataType::Long.stored(), true);
    snapshot.read_values(snapshot.column("id").unwrap().at, 0..snapshot.meta().rows, &mut column);
    let ColumnData::Long(ids) = column.data else { unreachable!("id is LONG") };
    ids
}

struct Table {
    disk: Arc<MemDisk>,
    checkpoints: Arc<Checkpoints>,
}

fn table(disk: &Arc<MemDisk>, queue: CheckpointQueue) -> Table {
    let clock = SimClock::shared(0);
    let quarantine = Quarantine::open(disk.clone(), clock, "/t/quarantine.log".into(), QuarantineBounds::default());
    let checkpoints = Checkpoints {
        disk: disk.clone(),
        metrics: Metrics::new(),
        heavy: HeavyWork::Inline,
        block_rows: BLOCK_ROWS,
        dir: "/t/open".into(),
        quarantine: quarantine.unwrap(),
        queue,
        known: Mutex::default(),
    };
    Table { disk: disk.clone(), checkpoints: Arc::new(checkpoints) }
}

impl Table {
    fn restore(&self, end: Option<u64>) -> Found {
        file::restore(&*self.disk, Path::new(PATH), &identity(), spec(1), end.map(NextOffset::new))
    }

    fn rows(&self) -> Restored {
        match self.restore(None) {
            Found::Rows(restored) => *restored,
            Found::Nothing => panic!("there is no file"),
            Found::Misfit(why) => panic!("{why}"),
        }
    }

    fn misfit(&self) -> String {
        match self.restore(None) {
            Found::Misfit(why) => why,
            Found::Nothing => panic!("there is no file"),
            Found::Rows(restored) => panic!("{} rows", restored.segment.rows()),
        }
    }

    fn recorder(&self, kept: Option<&Restored>) -> Recorder {
        let labels = Labels { table: "t".into(), topic: "t".into(), partition: Some(0) };
        let file = CheckpointFile::new(PATH.into(), labels, identity(), kept);
        self.checkpoints.known.lock().files.insert(identity().segment, file.clone());
        let (rows, next) = kept.map_or((0, NextOffset::ZERO), |kept| (kept.segment.rows(), kept.next));
        Recorder::new(self.checkpoints.clone(), file, rows, next)
    }

    fn stopped(&self) -> bool {
        self.checkpoints.metrics.encode().contains("checkpoints_stopped_total{")
    }
}

fn empty() -> ConsumingSegment {
    ConsumingSegment::new(spec(1)).with_block_rows(BLOCK_ROWS)
}

/// Appends rows in batches of three and publishes each, as a pipeline does.
fn fill(segment: &mut ConsumingSegment, recorder: &mut Recorder, to: i64) {
    while i64::from(segment.rows()) < to {
        let from = i64::from(segment.rows());
        segment.append(&batch(from..(from + 3).min(to)), &|_| NextOffset::ZERO);
        let at = boundary(segment.rows());
        recorder.note(segment, at.next, &at.counts);
        let snapshot = segment.snapshot();
        recorder.note(segment, at.next, &at.counts);
        recorder.hand_over(&snapshot);
    }
}

/// Lets the writer work until it waits.
async fn settle() {
    for _ in 0..2 * WAITING_MAX {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn frozen_blocks_come_back_and_are_gone_on_with() {
    let disk = MemDisk::new(None);
    let table = table(&disk, CheckpointQueue::start(HeavyWork::Inline));
    assert!(matches!(table.restore(None), Found::Nothing));
    let (mut segment, mut recorder) = (empty(), table.recorder(None));
    fill(&mut segment, &mut recorder, 50);
    settle().await;
    disk.kill();

    // Batches of three: blocks freeze with 12 rows.
    let mut restored = table.rows();
    assert_eq!((restored.segment.rows(), restored.next.number(), restored.torn), (48, 148, false));
    assert_eq!(restored.counts, boundary(48).counts);
    assert_eq!(ids(&mut restored.segment), (0..48).collect::<Vec<_>>());

    let mut recorder = table.recorder(Some(&restored));
    let mut segment = restored.segment.with_block_rows(BLOCK_ROWS);
    fill(&mut segment, &mut recorder, 61);
    let (frozen, at) = (segment.freeze().snapshot(), boundary(61));
    recorder.finish(&frozen, at.next, &at.counts);
    settle().await;
    let mut restored = table.rows();
    assert_eq!((restored.segment.rows(), restored.next, restored.counts), (61, at.next, at.counts));
    assert_eq!(ids(&mut restored.segment), (0..61).collect::<Vec<_>>());

    // A range that ends before takes whole blocks up to there.
    for (end, rows) in [(99, None), (111, None), (112, Some(12)), (135, Some(24)), (160, Some(60)), (161, Some(61))] {
        let found = match table.restore(Some(end)) {
            Found::Rows(restored) => Some(restored.segment.rows()),
            _ => None,
        };
        assert_eq!(found, rows, "up to {end}");
    }

    table.checkpoints.remove(&identity().segment).await;
    settle().await;
    assert!(matches!(table.restore(None), Found::Nothing));
}

#[tokio::test]
async fn a_torn_or_bent_frame_ends_what_is_usable() {
    let disk = MemDisk::new(None);
    let table = table(&disk, CheckpointQueue::start(HeavyWork::Inline));
    let (mut segment, mut recorder) = (empty(), table.recorder(None));
    let head = identity().head().len();
    let mut ends = vec![head];
    for rows in [12, 24, 36] {
        fill(&mut segment, &mut recorder, rows);
        settle().await;
        ends.push(disk.byte_count(Path::new(PATH)).unwrap().unwrap() as usize);
    }
    let whole = disk.read(Path::new(PATH)).unwrap();
    assert!(ends.windows(2).all(|pair| pair[0] < pair[1]) && ends[3] == whole.len());
    let check = |content: &[u8], usable: usize, what: &str| {
        disk.write_whole(Path::new(PATH), content).unwrap();
        match ends.iter().rposition(|end| *end <= usable) {
            None => assert!(table.misfit().contains("not of this segment"), "{what}"),
            Some(0) => assert!(table.misfit().contains("no whole block"), "{what}"),
            Some(blocks) => {
                let mut restored = table.rows();
                let rows = 12 * blocks as i64;
                assert_eq!(ids(&mut restored.segment), (0..rows).collect::<Vec<_>>(), "{what}");
                assert_eq!(restored.next.number(), 100 + rows as u64, "{what}");
                assert_eq!(restored.torn, ends[blocks] < content.len(), "{what}");
            }
        }
    };
    for cut in 0..whole.len() {
        check(&whole[..cut], cut, &format!("cut at {cut}"));
        let mut bent = whole.clone();
        bent[cut] ^= 0x10;
        check(&bent, cut, &format!("bent at {cut}"));
    }
    // What a file system may show behind the end of what was written, after the machine died.
    check(&[&whole[..], &[0; 5000]].concat(), whole.len(), "zeros behind");
    check(&[&whole[..], &whole[ends[1]..]].concat(), whole.len(), "blocks twice");

    // Going on cuts the torn end off.
    disk.write_whole(Path::new(PATH), &whole[..ends[3] - 1]).unwrap();
    let restored = table.rows();
    let mut recorder = table.recorder(Some(&restored));
    let mut segment = restored.segment.with_block_rows(BLOCK_ROWS);
    fill(&mut segment, &mut recorder, 36);
    settle().await;
    let again = disk.read(Path::new(PATH)).unwrap();
    assert!(again == whole, "the same rows are the same bytes");
}

#[tokio::test]
async fn what_is_of_something_else_is_discarded() {
    let disk = MemDisk::new(None);
    let table = table(&disk, CheckpointQueue::start(HeavyWork::Inline));
    let (mut segment, mut recorder) = (empty(), table.recorder(None));
    fill(&mut segment, &mut recorder, 12);
    settle().await;
    let spec = spec(1);
    let other_name = ConsumingSpec { name: "s__0__1__20260101T0000Z".into(), ..spec.clone() };
    let no_dictionary = [ColumnName::parse("id").unwrap()].into();
    for (what, uid, start, spec) in [
        ("table", 4, 100, spec.clone()),
        ("start", 3, 101, spec.clone()),
        ("segment", 3, 100, other_name),
        ("schema version", 3, 100, super::tests::spec(2)),
        ("raw columns", 3, 100, ConsumingSpec { no_dictionary, ..spec.clone() }),
        ("offsets", 3, 100, ConsumingSpec { keep_offsets: true, ..spec.clone() }),
    ] {
        let identity = Identity::new(uid, NextOffset::new(start), &spec);
        let found = file::restore(&*disk, Path::new(PATH), &identity, spec, None);
        assert!(matches!(&found, Found::Misfit(why) if why.contains("not of this segment")), "another {what}");
        let labels = Labels { table: "t".into(), topic: "t".into(), partition: Some(0) };
        assert!(table.checkpoints.judge("other", found, &labels).is_none());
    }
    assert!(
        table
            .checkpoints
            .metrics
            .encode()
            .contains("checkpoints_discarded_total{table=\"t\",topic=\"t\",partition=\"0\"} 6")
    );
    assert_eq!(table.rows().segment.rows(), 12);
}

#[tokio::test]
async fn a_full_disk_ends_the_checkpoint_and_nothing_else() {
    for room in [0, 60, 4100, 8200] {
        let disk = MemDisk::new(None);
        let table = table(&disk, CheckpointQueue::start(HeavyWork::Inline));
        let (mut segment, mut recorder) = (empty(), table.recorder(None));
        if room == 8200 {
            fill(&mut segment, &mut recorder, 12);
            settle().await;
        }
        disk.set_capacity(Some(disk.used_bytes() + room));
        fill(&mut segment, &mut recorder, 60);
        settle().await;
        assert!(table.stopped(), "{room}");
        disk.set_capacity(None);
        assert!(matches!(table.restore(None), Found::Nothing), "{room}");
        fill(&mut segment, &mut recorder, 99);
        settle().await;
        assert!(matches!(table.restore(None), Found::Nothing), "a checkpoint with a hole is none: {room}");
        assert_eq!(ids(&mut segment), (0..99).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_folder_in_the_place_of_a_checkpoint_is_put_aside() {
    // The disk in memory does not move folders.
    let dir = tempfile::tempdir().unwrap();
    let of_memory = table(&MemDisk::new(None), CheckpointQueue::start(HeavyWork::Inline)).checkpoints;
    let (disk, queue) = (weir_base::RealDisk::shared(), CheckpointQueue::start(HeavyWork::Inline));
    let checkpoints = Arc::new(Checkpoints {
        disk: disk.clone(),
        metrics: Metrics::new(),
        heavy: HeavyWork::Inline,
        block_rows: BLOCK_ROWS,
        dir: dir.path().to_owned(),
        quarantine: of_memory.quarantine.clone(),
        queue,
        known: Mutex::default(),
    });
    let path = checkpoints.path(&identity().segment);
    let (inside, aside) = (path.join("note"), path.with_extension("chunks.aside"));
    disk.write_whole(&inside, b"whose is it?").unwrap();
    let labels = Labels { table: "t".into(), topic: "t".into(), partition: Some(0) };
    let file = CheckpointFile::new(path.clone(), labels, identity(), None);
    let mut recorder = Recorder::new(checkpoints.clone(), file, 0, NextOffset::ZERO);
    fill(&mut empty(), &mut recorder, 60);
    settle().await;
    assert!(!checkpoints.metrics.encode().contains("checkpoints_stopped_total{"));
    let Found::Rows(found) = file::restore(&*disk, &path, &identity(), spec(1), None) else { panic!("it is no file") };
    assert_eq!(found.segment.rows(), 60);
    assert_eq!(disk.read(&aside.join("note")).unwrap(), b"whose is it?");
    // Another one: what was put aside is not lost for it, and it says what to remove.
    checkpoints.remove_file(&identity().segment);
    disk.write_whole(&inside, b"again").unwrap();
    let error = checkpoints.clear(&path).unwrap_err().to_string();
    assert!(error.contains(&format!("a folder stands in its place; remove {}", path.display())), "{error}");
    assert_eq!(disk.read(&aside.join("note")).unwrap(), b"whose is it?");
}

#[tokio::test]
async fn where_the_queue_is_full_blocks_go_with_the_next() {
    let disk = MemDisk::new(None);
    let table = table(&disk, CheckpointQueue::start(HeavyWork::Inline));
    let (mut segment, mut recorder) = (empty(), table.recorder(None));
    // The writer does not run before this task waits: its queue fills.
    let rows = 12 * (WAITING_MAX as i64 + 20);
    fill(&mut segment, &mut recorder, rows);
    assert!(matches!(table.restore(None), Found::Nothing));
    settle().await;
    assert_eq!(table.rows().segment.rows(), 12 * WAITING_MAX as u32);
    fill(&mut segment, &mut recorder, rows + 3);
    settle().await;
    let mut restored = table.rows();
    assert_eq!(ids(&mut restored.segment), (0..rows).collect::<Vec<_>>());
}

#[tokio::test]
async fn nothing_is_written_behind_a_stop() {
    let disk = MemDisk::new(None);
    let table = table(&disk, CheckpointQueue::start(HeavyWork::Inline));
    let (mut segment, mut recorder) = (empty(), table.recorder(None));
    fill(&mut segment, &mut recorder, 60);
    table.checkpoints.stop();
    settle().await;
    assert!(matches!(table.restore(None), Found::Nothing));
    assert!(disk.list(Path::new("/t/open")).unwrap().is_empty());
}

#[tokio::test]
async fn power_loss_leaves_a_prefix() {
    let mut seen = [0; 2];
    for seed in 0..40 {
        let disk = MemDisk::new(None);
        let table = table(&disk, CheckpointQueue::start(HeavyWork::Inline));
        let (mut segment, mut recorder) = (empty(), table.recorder(None));
        fill(&mut segment, &mut recorder, 40);
        settle().await;
        disk.crash(&mut Chance::seeded(seed));
        match table.restore(None) {
            Found::Rows(mut restored) => {
                let rows = i64::from(restored.segment.rows());
                assert_eq!(ids(&mut restored.segment), (0..rows).collect::<Vec<_>>());
                seen[usize::from(restored.torn)] += 1;
            }
            Found::Nothing | Found::Misfit(_) => {}
        }
    }
    assert!(seen.iter().all(|times| *times > 0), "whole and torn: {seen:?}");
}

const VERSION_2: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/checkpoint-v2.chunks");

/// The content of version 2's example; never to be changed.
async fn version_2() -> Vec<u8> {
    let disk = MemDisk::new(None);
    let table = table(&disk, CheckpointQueue::start(HeavyWork::Inline));
    let (mut segment, mut recorder) = (empty(), table.recorder(None));
    fill(&mut segment, &mut recorder, 36);
    settle().await;
    disk.read(Path::new(PATH)).unwrap()
}

#[tokio::test]
async fn version_2_comes_back_and_is_written_still() {
    let disk = MemDisk::new(None);
    let table = table(&disk, CheckpointQueue::start(HeavyWork::Inline));
    let example = std::fs::read(VERSION_2).unwrap();
    disk.write_whole(Path::new(PATH), &example).unwrap();
    let mut restored = table.rows();
    assert_eq!(ids(&mut restored.segment), (0..36).collect::<Vec<_>>());
    assert_eq!((restored.next, restored.counts), (boundary(36).next, boundary(36).counts));
    assert!(version_2().await == example, "another byte is another version");
}

/// Writes the example of the current version; run once when the version is made:
/// `cargo test -p weir-ingest --lib -- --ignored write_example_checkpoint`.
#[tokio::test]
#[ignore = "writes the example file of a new format version"]
async fn write_example_checkpoint() {
    let path = Path::new(VERSION_2);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, version_2().await).unwrap();
}
