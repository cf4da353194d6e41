//! Segments that are known by their records: what is answered without their files, each file fetched once, and what an
//! answer says of those that cannot be had.

use crate::{
    engine::{code, long},
    fixture::{Fixed, ask, engine, name, spec},
};
use async_trait::async_trait;
use bytes::Bytes;
use roaring::RoaringBitmap;
use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use weir_base::{MemDisk, SystemClock, tasks::HeavyWork};
use weir_files::{FileError, FileSystem, ObjectInfo, Put, SharedFileSystem};
use weir_query::{QueryEngine, QueryResponse};
use weir_segment::{BuildSpec, ConsumingSegment, ConsumingSpec, build};
use weir_table::{
    Openings, RecordedSegment, SegmentCache, SegmentFacts, SegmentHandle, SegmentView, TableSnapshot, TimeValues,
};
use weir_types::{
    DataType, FieldKind, FieldSpec, NextOffset, RowBatch, Schema, SchemaVersion, StreamPartition, TableName, TopicName,
    Value,
};

const SEGMENTS: i64 = 8;
/// Rows of a segment.
const ROWS: i64 = 100;

/// A deep store that counts what it is asked for, and may be down or not answer at all.
struct Store {
    inner: SharedFileSystem,
    gets: AtomicU64,
    down: AtomicBool,
    silent: AtomicBool,
}

#[async_trait]
impl FileSystem for Store {
    fn uri(&self, key: &str) -> String {
        self.inner.uri(key)
    }

    async fn put_if_absent(&self, key: &str, content: Bytes) -> Result<Put, FileError> {
        self.inner.put_if_absent(key, content).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, FileError> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        if self.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.down.load(Ordering::SeqCst) {
            return self.inner.get("no such object").await;
        }
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, FileError> {
        self.inner.list(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), FileError> {
        self.inner.delete(key).await
    }
}

impl Store {
    fn gets(&self) -> u64 {
        self.gets.load(Ordering::SeqCst)
    }
}

struct World {
    store: Arc<Store>,
    disk: Arc<MemDisk>,
    table: TableSnapshot,
}

/// Segment `s` holds `n` from 100 s on, and `ts` = 10 n. None of their files is here.
async fn world() -> World {
    let field = |text: &str| FieldSpec::new(name(text), DataType::Long, FieldKind::Dimension);
    let schema = Arc::new(Schema::new("events", SchemaVersion(1), vec![field("n"), field("ts")]));
    let store = Arc::new(Store {
        inner: weir_files::memory(),
        gets: AtomicU64::new(0),
        down: AtomicBool::new(false),
        silent: AtomicBool::new(false),
    });
    let (disk, clock, openings) = (MemDisk::new(None), SystemClock::shared(), Arc::new(Openings::default()));
    let cache = SegmentCache::new((disk.clone(), "/s".into()), store.clone(), clock, HeavyWork::Threads, openings);
    let mut segments = vec![];
    for number in 0..SEGMENTS {
        let segment: Arc<str> = format!("events__0__{number}__20260101T0000Z").into();
        let mut rows = RowBatch::new(&schema);
        for n in number * ROWS..(number + 1) * ROWS {
            rows.columns[0].data.push(&Value::Long(n));
            rows.columns[1].data.push(&Value::Long(n * 10));
        }
        rows.message_of_row = (0..ROWS as u32).collect();
        let mut open = ConsumingSegment::new(ConsumingSpec {
            name: segment.clone(),
            schema: schema.clone(),
            no_dictionary: HashSet::new(),
            keep_offsets: false,
            created_ms: 0,
        });
        open.append(&rows, &|message| NextOffset::new(message.into()));
        let built = build(
            &*open.freeze().snapshot(),
            &BuildSpec {
                name: segment.clone(),
                schema: schema.clone(),
                sorted_column: None,
                indexes: BTreeMap::new(),
                keep_offsets: false,
                time_column: None,
            },
        );
        let built = built.unwrap();
        let (first, last) = (number * ROWS, (number + 1) * ROWS - 1);
        let facts = SegmentFacts {
            name: segment.clone(),
            rows: built.rows,
            schema_version: SchemaVersion(1),
            created_ms: 0,
            crc: built.crc,
            key: segment.to_string(),
            byte_count: built.bytes().len() as u64,
            times: Some(TimeValues { column: name("ts"), min: Value::Long(first * 10), max: Value::Long(last * 10) }),
        };
        store.put_if_absent(&segment, built.bytes().into()).await.unwrap();
        let partition = StreamPartition { topic: TopicName::parse("events").unwrap(), partition: 0 };
        let segment = SegmentHandle::Recorded(RecordedSegment::new(facts, cache.clone()));
        segments.push(SegmentView { segment, validity: None, partition, consuming: false });
    }
    let table = TableSnapshot {
        table: TableName::parse("events").unwrap(),
        spec: Arc::new(spec("events", false)),
        segments,
        schema,
        disabled: false,
        lacks: vec![],
        freshness_ms: None,
    };
    World { store, disk, table }
}

impl World {
    fn engine(&self) -> QueryEngine {
        engine(Fixed(vec![self.table.clone()]), 64 << 20)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_records_say_needs_no_file() {
    let world = world().await;
    world.store.silent.store(true, Ordering::SeqCst);
    let used =
        || -> Vec<u64> { world.table.segments.iter().map(|view| view.segment.recorded().unwrap().used()).collect() };
    let (engine, before) = (world.engine(), used());
    let all = SEGMENTS * ROWS;
    assert_eq!(long(&ask(&engine, "SELECT COUNT(*) FROM events").await, 0), all);
    let answer = ask(&engine, "SELECT MIN(ts), MAX(ts), COUNT(*) FROM events").await;
    assert!(answer.exceptions.is_empty() && answer.stats.total_docs == all as u64, "{answer:?}");
    // Of each segment all rows pass, or none: the record's times tell.
    let answer = ask(&engine, "SELECT COUNT(*) FROM events WHERE ts >= 2000 AND ts < 5000").await;
    assert_eq!(long(&answer, 0), 3 * ROWS);
    assert_eq!((answer.stats.num_segments_pruned_by_value, answer.stats.num_segments_matched), (5, 3));
    let answer = ask(&engine, "SELECT n FROM events WHERE ts > 1000000").await;
    assert!(answer.exceptions.is_empty() && answer.rows.is_empty(), "{answer:?}");
    assert_eq!(world.store.gets(), 0);
    assert_eq!(used(), before, "a file that was not needed was not used");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_needed_is_opened_and_once() {
    let world = world().await;
    let engine = world.engine();
    // Of one segment some rows pass.
    assert_eq!(long(&ask(&engine, "SELECT COUNT(*) FROM events WHERE ts >= 2500 AND ts < 5000").await, 0), 250);
    assert_eq!(world.store.gets(), 1);
    let all = "SELECT SUM(n), COUNT(*) FROM events WHERE n >= 0";
    let asked = futures::future::join_all((0..8).map(|_| ask(&engine, all))).await;
    for answer in asked {
        assert!(answer.exceptions.is_empty(), "{:?}", answer.exceptions);
        assert_eq!((answer.stats.num_docs_scanned, answer.stats.num_segments_matched), (800, 8));
    }
    assert_eq!(world.store.gets(), SEGMENTS as u64);
    assert_eq!(long(&ask(&engine, "SELECT COUNT(*) FROM events WHERE n < 150").await, 0), 150);
    assert_eq!(world.store.gets(), SEGMENTS as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_rows_are_not_counted_by_record() {
    let mut world = world().await;
    world.table.segments[0].validity = Some(Arc::new((0..10).collect::<RoaringBitmap>()));
    let engine = world.engine();
    let left = (SEGMENTS - 1) * ROWS + 10;
    assert_eq!(long(&ask(&engine, "SELECT COUNT(*) FROM events").await, 0), left);
    assert_eq!(long(&ask(&engine, "SELECT COUNT(*) FROM events WHERE ts >= 0").await, 0), left);
    assert_eq!(world.store.gets(), 0);
    let answer = ask(&engine, "SELECT MAX(ts) FROM events").await;
    assert!(answer.exceptions.is_empty() && world.store.gets() > 0, "the record's bound may be a hidden row's");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_is_said() {
    let world = world().await;
    let engine = world.engine();
    assert_eq!(long(&ask(&engine, "SELECT COUNT(*) FROM events WHERE n >= 0 AND ts < 2000").await, 0), 200);
    world.store.down.store(true, Ordering::SeqCst);
    let answer = ask(&engine, "SELECT COUNT(*), SUM(n) FROM events WHERE n >= 0").await;
    assert!(answer.partial);
    assert_eq!((answer.exceptions.len(), code(&answer)), (6, 305), "{:?}", answer.exceptions);
    let what = &answer.exceptions[0].message;
    assert!(what.contains("events__0__2__20260101T0000Z") && what.contains("no such object"), "{what}");
    // Counting all of it is right all the same, and says too that what was counted is not here.
    for sql in ["SELECT COUNT(*) FROM events", "SELECT COUNT(*) FROM events WHERE ts >= 0"] {
        let answer = ask(&engine, sql).await;
        assert_eq!(long(&QueryResponse { exceptions: vec![], ..answer.clone() }, 0), 800);
        assert_eq!((answer.partial, answer.exceptions.len(), code(&answer)), (true, 6, 305), "{:?}", answer.exceptions);
        assert!(answer.exceptions[0].message.contains("counted by its record"), "{:?}", answer.exceptions);
    }
    // What needs only what is here is whole.
    assert_eq!(long(&ask(&engine, "SELECT COUNT(*) FROM events WHERE n < 150 AND ts < 2000").await, 0), 150);
    // A subquery and a join say it too.
    let inside = "SET useMultistageEngine=true; SELECT COUNT(*) FROM events WHERE n = (SELECT MAX(n) FROM events)";
    assert_eq!(code(&ask(&engine, inside).await), 305);
    let joined = "SET useMultistageEngine=true; SELECT COUNT(*) FROM events a JOIN events b ON a.n = b.n";
    assert_eq!(code(&ask(&engine, joined).await), 305);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_answer_is_waited_for_in_time() {
    let world = world().await;
    world.store.silent.store(true, Ordering::SeqCst);
    let engine = world.engine();
    let begun = Instant::now();
    let answer = ask(&engine, "SET timeoutMs=1000; SELECT SUM(n) FROM events WHERE n >= 0").await;
    assert!(answer.partial && code(&answer) == 305, "{:?}", answer.exceptions);
    assert!(begun.elapsed() < Duration::from_millis(1000), "{:?}", begun.elapsed());
    assert_eq!(answer.exceptions.len(), SEGMENTS as usize, "each that is missing is named");
}

/// A file that is cut while queries have it open: those that read it say so, whoever asks next gets it whole again.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_cut_under_a_query_is_said_once_and_fetched_again() {
    let world = world().await;
    let engine = world.engine();
    let sums = "SELECT SUM(n) FROM events WHERE n >= 0";
    let whole = ask(&engine, sums).await;
    assert_eq!((whole.exceptions.len(), world.store.gets()), (0, SEGMENTS as u64));
    // A query that took its segments before: their files are open, and it begins to read them only now.
    let held: Vec<SegmentView> = futures::future::join_all(world.table.segments.iter().map(async |view| {
        let segment = SegmentHandle::AtHand(view.segment.open().await.unwrap());
        SegmentView { segment, ..view.clone() }
    }))
    .await;
    let late = engine_of_held(&world, held);
    let path = "/s/events__0__3__20260101T0000Z.weir";
    world.disk.cut(std::path::Path::new(path), 100).unwrap();
    for sql in [sums, "SELECT COUNT(*) FROM events WHERE n > 7", "SELECT n FROM events ORDER BY n LIMIT 1000"] {
        let answer = ask(&late, sql).await;
        assert_eq!((answer.partial, answer.exceptions.len(), code(&answer)), (true, 1, 305), "{:?}", answer.exceptions);
        let what = &answer.exceptions[0].message;
        assert!(what.contains("events__0__3__") && what.contains(path) && what.contains("ask again"), "{what}");
    }
    let again = ask(&engine, sums).await;
    assert_eq!((again.exceptions, again.rows), (vec![], whole.rows));
    assert_eq!(world.store.gets(), SEGMENTS as u64 + 1, "it alone is fetched");
}

fn engine_of_held(world: &World, segments: Vec<SegmentView>) -> QueryEngine {
    engine(Fixed(vec![TableSnapshot { segments, ..world.table.clone() }]), 64 << 20)
}
