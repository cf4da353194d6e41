//! Opening by record, on a disk in memory (or a real one, where a file is damaged while it is open) and a deep store that
//! fails when told to.

use super::*;
use crate::cache::Openings;
use std::{collections::HashSet, path::Path};
use weir_base::{Chance, MemDisk, RealDisk, SharedDisk, SimClock, tasks::HeavyWork};
use weir_files::{Faulty, FileSystem};
use weir_segment::{
    BuildSpec, ConsumingSegment, ConsumingSpec, ScanColumn, ScanRequest, ScanStats, SegmentScan, build,
};
use weir_types::{DataType, FieldKind, FieldSpec, NextOffset, RowBatch, Schema};

const NAME: &str = "t__0__0__20260101T0000Z";
const ROWS: u32 = 3;

struct World {
    disk: SharedDisk,
    store: Arc<Faulty>,
    cache: Arc<SegmentCache>,
    facts: SegmentFacts,
    content: Vec<u8>,
}

/// A segment of three rows in the deep store, and on the local disk.
async fn world() -> World {
    world_on(MemDisk::new(None), Path::new("/s")).await
}

async fn world_on(disk: SharedDisk, dir: &Path) -> World {
    let field = FieldSpec::new(ColumnName::parse("n").unwrap(), DataType::Long, FieldKind::Dimension);
    let schema = Arc::new(Schema::new("t", SchemaVersion(1), vec![field]));
    let mut rows = RowBatch::new(&schema);
    for at in 0..ROWS {
        rows.columns[0].data.push(&Value::Long(at.into()));
        rows.message_of_row.push(at);
    }
    let spec = ConsumingSpec {
        name: NAME.into(),
        schema: schema.clone(),
        no_dictionary: HashSet::new(),
        keep_offsets: false,
        created_ms: 0,
    };
    let mut open = ConsumingSegment::new(spec);
    open.append(&rows, &|message| NextOffset::new(message.into()));
    let spec = BuildSpec {
        name: NAME.into(),
        schema,
        sorted_column: None,
        indexes: Default::default(),
        keep_offsets: false,
        time_column: None,
    };
    let built = build(&*open.freeze().snapshot(), &spec).unwrap();
    let clock = SimClock::shared(0);
    let store = Faulty::new(weir_files::memory(), Chance::seeded(1));
    store.put_if_absent("key", built.bytes().into()).await.unwrap();
    let openings = Arc::new(Openings::default());
    let cache = SegmentCache::new((disk.clone(), dir.into()), store.clone(), clock, HeavyWork::Inline, openings);
    disk.write_whole(&cache.path(NAME), &built.bytes()).unwrap();
    let facts = SegmentFacts {
        name: NAME.into(),
        rows: built.rows,
        schema_version: SchemaVersion(1),
        created_ms: 0,
        crc: built.crc,
        key: "key".into(),
        byte_count: built.bytes().len() as u64,
        times: None,
    };
    World { disk, store, cache, facts, content: built.bytes() }
}

impl World {
    fn segment(&self) -> Arc<RecordedSegment> {
        RecordedSegment::new(self.facts.clone(), self.cache.clone())
    }

    fn local(&self) -> Option<Vec<u8>> {
        self.disk.read(&self.cache.path(NAME)).ok()
    }
}

#[tokio::test(start_paused = true)]
async fn all_who_ask_get_the_same_file_opened_once() {
    let world = world().await;
    world.store.set_down(true);
    let segment = world.segment();
    let handle = SegmentHandle::Recorded(segment.clone());
    assert_eq!((handle.meta().rows, handle.at_hand().is_none()), (3, true), "its record says it, nothing is opened");
    let (one, two) = tokio::join!(segment.open(), segment.open());
    let (one, two, later) = (one.unwrap(), two.unwrap(), segment.open().await.unwrap());
    assert!(Arc::ptr_eq(&one, &two) && Arc::ptr_eq(&one, &later));
    assert_eq!(one.meta().rows, 3);
    assert_eq!(world.cache.openings().fetched(), 0, "the local copy will do");
}

#[tokio::test(start_paused = true)]
async fn a_lost_or_damaged_copy_is_fetched_once_and_kept() {
    for damage in [None, Some(40), Some(200)] {
        let world = world().await;
        let path = world.cache.path(NAME);
        match damage {
            None => world.disk.remove_file(&path).unwrap(),
            Some(at) => {
                let mut bent = world.content.clone();
                bent[at] ^= 1;
                world.disk.write_whole(&path, &bent).unwrap();
            }
        }
        let segment = world.segment();
        let (one, two) = tokio::join!(segment.open(), segment.open());
        assert!(Arc::ptr_eq(&one.unwrap(), &two.unwrap()));
        assert_eq!(world.cache.openings().fetched(), 1, "{damage:?}");
        assert_eq!(world.local().as_ref(), Some(&world.content));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_waiting_takes_nothing_from_others() {
    let world = world().await;
    let segment = world.segment();
    let asked = segment.clone();
    let task = tokio::spawn(async move { asked.open().await.map(drop) });
    tokio::task::yield_now().await;
    task.abort();
    assert!(task.await.is_err() || segment.at_hand().is_some());
    assert!(segment.open().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_had_is_said_and_tried_again_later() {
    let world = world().await;
    world.disk.remove_file(&world.cache.path(NAME)).unwrap();
    world.store.set_down(true);
    let segment = world.segment();
    let why = segment.open().await.unwrap_err().why;
    assert!(why.contains(NAME) && why.contains("the store is down"), "{why}");
    assert_eq!(segment.trouble(), Some(why.clone()));
    // It is back, but those who ask at once are not made to wait for it.
    world.store.set_down(false);
    assert_eq!(segment.open().await.unwrap_err().why, why);
    tokio::time::sleep(FAILED_LATELY).await;
    assert!(segment.open().await.is_ok());
    assert_eq!(segment.trouble(), None);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_not_the_one_of_the_record_is_refused() {
    let world = world().await;
    world.disk.remove_file(&world.cache.path(NAME)).unwrap();
    for facts in [SegmentFacts { crc: 7, ..world.facts.clone() }, SegmentFacts { rows: 4, ..world.facts.clone() }] {
        let segment = RecordedSegment::new(facts, world.cache.clone());
        let why = segment.open().await.unwrap_err().why;
        assert!(why.contains("damaged"), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn ahead_of_queries_what_is_not_here_may_be_left_where_it_is() {
    let world = world().await;
    let segment = world.segment();
    assert_eq!(segment.open_ahead(false).await, Ok(true));
    let segment = world.segment();
    world.disk.remove_file(&world.cache.path(NAME)).unwrap();
    assert_eq!(segment.open_ahead(false).await, Ok(false));
    assert_eq!((segment.trouble(), segment.at_hand().is_none()), (None, true));
    world.store.set_down(true);
    let why = segment.open_ahead(true).await.unwrap_err();
    assert_eq!(segment.open_ahead(false).await, Err(why), "what could not be had is no nearer");
    world.store.set_down(false);
    assert_eq!(segment.open_ahead(true).await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_given_up_stays_with_those_who_have_it() {
    let world = world().await;
    let segment = world.segment();
    let held = segment.open().await.unwrap();
    let space = segment.evict().unwrap().unwrap();
    assert_eq!((world.local(), space.strong_count()), (None, 1));
    assert!(segment.at_hand().is_none());
    assert_eq!(held.column_names().count(), 1);
    let again = segment.open().await.unwrap();
    assert!(!Arc::ptr_eq(&held, &again));
    assert_eq!((world.local().is_some(), world.cache.openings().fetched()), (true, 1));
    drop(held);
    assert_eq!(space.strong_count(), 0, "its space is free");
    // One that was never opened goes as well.
    let segment = world.segment();
    assert_eq!(segment.evict().unwrap().unwrap().strong_count(), 0);
    assert_eq!(world.local(), None);
}

/// The rows that a scan of all of a segment gives.
fn scanned(segment: Arc<dyn Segment>) -> Result<usize, String> {
    let name = ColumnName::parse("n").unwrap();
    let column = ScanColumn { name, data_type: DataType::Long, single_value: true, default: Value::Long(0) };
    let filter_columns = vec![];
    let (filter, nulls, host) = (weir_indexes::Filter::All, false, "host".into());
    let request = ScanRequest { columns: vec![column], filter_columns, filter, nulls, host };
    let scan = SegmentScan::new(segment, None, request.into());
    let batches = scan.read(0..ROWS, &mut ScanStats::default()).map_err(|error| error.to_string())?;
    Ok(batches.iter().map(|batch| batch.num_rows()).sum())
}

#[tokio::test]
async fn a_file_that_is_cut_while_it_is_open_is_put_aside_and_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let world = world_on(RealDisk::shared(), dir.path()).await;
    let path = world.cache.path(NAME);
    let handle = SegmentHandle::Recorded(world.segment());
    let segment = handle.open().await.unwrap();
    assert_eq!(scanned(segment.clone()), Ok(3));
    let cut = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    cut.set_len(0).unwrap();
    let error = scanned(segment.clone()).unwrap_err();
    assert!(error.contains(path.to_str().unwrap()) && error.contains("ask again"), "{error}");
    assert!(handle.at_hand().is_none(), "nobody is given it any more");
    let again = handle.open().await.unwrap();
    assert_eq!((scanned(again), world.cache.openings().fetched()), (Ok(3), 1));
    assert_eq!(std::fs::read(&path).unwrap(), world.content);
    assert!(world.cache.damaged_path(NAME).is_file());
    assert!(scanned(segment).is_err(), "who held the old one is still told");
    assert!(handle.at_hand().is_some() && handle.trouble().is_none());
}

#[tokio::test]
async fn a_folder_in_the_place_of_a_file_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let world = world_on(RealDisk::shared(), dir.path()).await;
    let path = world.cache.path(NAME);
    // Twice: what was put aside before gives way.
    for round in 1..=2 {
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir_all(path.join(format!("of round {round}"))).unwrap();
        assert_eq!(scanned(world.segment().open().await.unwrap()), Ok(3));
        assert_eq!((world.local().as_ref(), world.cache.openings().fetched()), (Some(&world.content), round));
        assert!(world.cache.damaged_path(NAME).join(format!("of round {round}")).is_dir());
    }
}

/// Whoever opens ahead of queries takes turns with others who do; a query takes none of those.
#[tokio::test(start_paused = true)]
async fn a_query_does_not_stand_in_line_behind_those_who_open_ahead() {
    for gone in [false, true] {
        let world = world().await;
        if gone {
            world.disk.remove_file(&world.cache.path(NAME)).unwrap();
        }
        let openings = world.cache.openings();
        let (_here, _fetching) = (openings.ahead_turn(false).await, openings.ahead_turn(true).await);
        let soon = Duration::from_secs(1);
        for fetch in [false, true] {
            let second = tokio::time::timeout(soon, openings.ahead_turn(fetch)).await;
            assert!(second.is_err(), "one at a time opens ahead");
        }
        let opened = tokio::time::timeout(soon, world.segment().open()).await;
        assert!(opened.expect("a query has a way of its own").is_ok());
    }
}

/// An object that is damaged, and one that is not there, are not counted as fetched.
#[tokio::test(start_paused = true)]
async fn what_was_not_had_was_not_fetched() {
    for damaged in [false, true] {
        let world = world().await;
        world.disk.remove_file(&world.cache.path(NAME)).unwrap();
        world.store.delete("key").await.unwrap();
        if damaged {
            let mut bent = world.content.clone();
            bent[200] ^= 1;
            world.store.put_if_absent("key", bent.into()).await.unwrap();
        }
        assert!(world.segment().open().await.is_err());
        assert_eq!(world.cache.openings().fetched(), 0, "damaged: {damaged}");
    }
}
