//! Indexes that a table is given later: committed segments get them too, whatever happens meanwhile.

use crate::world::{World, made, stream, table_name};
use serde_json::{Value as Json, json};
use std::{path::Path, sync::Arc, time::Duration};
use weir_base::{Chance, Disk};
use weir_control::{Artifact, NewTable, SegmentRecord, SegmentState};
use weir_files::Faulty;
use weir_ingest::Seats;
use weir_segment::STREAM_OFFSET;
use weir_types::{IndexKind, Value};

/// Rows of a segment.
const ROWS: i64 = 40;
const HOUR: Duration = Duration::from_secs(3600);

/// Table `events` with these index settings.
fn events(index: &Json) -> NewTable {
    let schema = json!({"schemaName": "events", "dimensionFieldSpecs": [
        {"name": "id", "dataType": "LONG"}, {"name": "city", "dataType": "STRING"},
        {"name": "tags", "dataType": "STRING", "singleValueField": false},
    ]});
    let config = json!({
        "tableName": "events", "tableType": "REALTIME", "segmentsConfig": {"replication": "1"}, "tenants": {},
        "tableIndexConfig": index, "metadata": {},
        "ingestionConfig": {"streamIngestionConfig": {"streamConfigMaps": [stream("memory", "events")]}},
    });
    made(&schema, &config)
}

fn inverted() -> Json {
    json!({"invertedIndexColumns": ["city", "tags"]})
}

/// Rows in no order; some have no city.
fn rows(from: i64) -> Vec<Json> {
    let row = |at: i64| {
        let city = if at % 7 == 0 { Json::Null } else { json!(format!("city {}", at * 31 % 5)) };
        json!({"id": at * 7919 % 1009, "city": city, "tags": [format!("t{}", at % 3), "x"]})
    };
    (from..from + ROWS).map(row).collect()
}

/// Two committed segments of a table without indexes.
async fn two_segments(world: &World) {
    world.node.create_table(events(&json!({})), "me").await.unwrap();
    for done in 1..=2 {
        world.produce(&rows(ROWS * (done - 1)));
        world.until_visible((ROWS * done) as usize).await;
        world.seal(done as usize).await;
    }
}

fn artifact(segment: &SegmentRecord) -> Option<&Artifact> {
    match &segment.state {
        SegmentState::Done { artifact, .. } => Some(artifact),
        _ => None,
    }
}

async fn artifacts(world: &World) -> Vec<Artifact> {
    world.segments().await.iter().filter_map(artifact).cloned().collect()
}

/// How many of the whole segments that are shown have an index.
async fn indexed(world: &World, column: &str, kind: IndexKind) -> usize {
    let mut count = 0;
    for view in world.snapshot().segments.iter().filter(|view| !view.consuming) {
        let segment = view.segment.open().await.unwrap();
        assert!(segment.column(STREAM_OFFSET).is_none(), "nothing asks for it");
        let info = segment.column(column).unwrap();
        count += usize::from(segment.has_index(info.at, kind));
    }
    count
}

async fn until_indexed(world: &World, column: &str, kind: IndexKind, count: usize) {
    world.until("the indexes", async || indexed(world, column, kind).await == count).await;
}

async fn all(world: &World) -> Vec<Vec<Option<Vec<Value>>>> {
    world.rows(&["id", "city", "tags"]).await
}

fn files(world: &World) -> Vec<String> {
    let files = world.disk.list(Path::new("/data/tables/events-1/segments")).unwrap();
    files.into_iter().map(|file| file.name).collect()
}

async fn objects(world: &World) -> Vec<String> {
    world.deep_store.list("").await.unwrap().into_iter().map(|object| object.key).collect()
}

async fn missing(world: &World) -> Vec<String> {
    let status = world.node.index_status(&table_name("events")).unwrap();
    let segments = world.segments().await;
    let done = segments.iter().filter_map(|segment| Some((segment.name.to_string(), artifact(segment)?)));
    done.flat_map(|(name, artifact)| status.missing(&name, artifact)).collect()
}

async fn change(world: &World, index: &Json) {
    world.node.update_table(&table_name("events"), events(index), "me").await.unwrap();
}

/// All is as the records say: one file and one object for each segment, all rows in their order.
async fn is_clean(world: &World, before: &[Vec<Option<Vec<Value>>>]) {
    assert_eq!(all(world).await, before);
    tokio::time::sleep(3 * HOUR).await;
    world.node.clean().await;
    let named = artifacts(world).await;
    let names: Vec<String> =
        world.segments().await.iter().filter(|s| artifact(s).is_some()).map(|s| format!("{}.weir", s.name)).collect();
    assert_eq!(files(world), names);
    let mut keys: Vec<String> = named.into_iter().map(|artifact| artifact.key).collect();
    keys.sort();
    assert_eq!(objects(world).await, keys);
    assert_eq!(all(world).await, before);
}

#[tokio::test(start_paused = true)]
async fn committed_segments_get_an_index_that_is_asked_for_later() {
    let world = World::start(Seats::default()).await;
    two_segments(&world).await;
    let (before, records, counts) = (all(&world).await, world.segments().await, world.status().accounting);
    let held = world.snapshot();
    assert_eq!(indexed(&world, "city", IndexKind::Inverted).await, 0);
    change(&world, &inverted()).await;
    until_indexed(&world, "city", IndexKind::Inverted, 2).await;
    assert_eq!(indexed(&world, "tags", IndexKind::Inverted).await, 2);
    assert_eq!(missing(&world).await, Vec::<String>::new());
    assert_eq!((all(&world).await, world.status().accounting), (before.clone(), counts));
    assert_eq!(world.ids_of(&held).await.len(), before.len(), "who has the old files keeps them");
    for (old, new) in records.iter().zip(world.segments().await) {
        let (Some(was), Some(is)) = (artifact(old), artifact(&new)) else { continue };
        assert!(was.key != is.key && was.crc != is.crc);
        assert!(world.deep_store.get(&was.key).await.is_ok(), "a snapshot may name it");
        let as_before = Artifact {
            uri: was.uri.clone(),
            key: was.key.clone(),
            crc: was.crc,
            byte_count: was.byte_count,
            built_ms: was.built_ms,
            uploaded_ms: was.uploaded_ms,
            settings: was.settings,
            ..is.clone()
        };
        assert_eq!(&as_before, was);
        assert_eq!((&old.name, old.state.range()), (&new.name, new.state.range()));
    }
    drop(held);
    is_clean(&world, &before).await;
    let shown = world.node.deps().metrics.encode();
    assert!(shown.contains(r#"weir_segments_reindexed_total{table="events"} 2"#), "{shown}");
    assert!(shown.contains(r#"weir_segments_behind_settings{table="events"} 0"#), "{shown}");

    // There and back again: the bytes of before come under another key than the one that was on its way out.
    change(&world, &json!({})).await;
    until_indexed(&world, "city", IndexKind::Inverted, 0).await;
    change(&world, &inverted()).await;
    until_indexed(&world, "city", IndexKind::Inverted, 2).await;
    is_clean(&world, &before).await;
    let world = world.restart().await;
    world.until_visible(before.len()).await;
    assert_eq!(world.node.segments_fetched(), 0, "the local files are those of the records");
    is_clean(&world, &before).await;
}

#[tokio::test(start_paused = true)]
async fn other_storage_and_columns_that_came_later_are_seen_to() {
    let world = World::start(Seats::default()).await;
    two_segments(&world).await;
    let before = all(&world).await;
    let raw = json!({"noDictionaryColumns": ["id"], "rangeIndexColumns": ["id"]});
    change(&world, &raw).await;
    until_indexed(&world, "id", IndexKind::Range, 2).await;
    for view in world.snapshot().segments.iter().filter(|view| !view.consuming) {
        let segment = view.segment.open().await.unwrap();
        assert!(segment.dictionary(segment.column("id").unwrap().at).is_none());
    }
    is_clean(&world, &before).await;
    // Rows are not sorted anew: they stay where they are.
    change(&world, &json!({"sortedColumn": ["id"], "invertedIndexColumns": ["city"]})).await;
    until_indexed(&world, "city", IndexKind::Inverted, 2).await;
    assert_eq!(indexed(&world, "id", IndexKind::Range).await, 0);
    is_clean(&world, &before).await;
}

#[tokio::test(start_paused = true)]
async fn a_segment_without_a_local_file_is_fetched_for_it() {
    let world = World::start(Seats::default()).await;
    two_segments(&world).await;
    let before = all(&world).await;
    let world = world.restart().await;
    world.until_visible(before.len()).await;
    for file in files(&world) {
        world.disk.remove_file(&Path::new("/data/tables/events-1/segments").join(file)).unwrap();
    }
    let world = world.restart().await;
    change(&world, &inverted()).await;
    until_indexed(&world, "city", IndexKind::Inverted, 2).await;
    is_clean(&world, &before).await;
}

/// A world whose deep store can fail.
async fn faulty() -> (World, Arc<Faulty>) {
    let mut found = None;
    let world = World::start_storing(|_, inner| found.insert(Faulty::new(inner, Chance::seeded(3))).clone()).await;
    (world, found.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_deep_store_that_is_away_is_waited_for() {
    let (world, store) = faulty().await;
    two_segments(&world).await;
    let before = all(&world).await;
    store.set_down(true);
    change(&world, &inverted()).await;
    world
        .until("the trouble", async || missing(&world).await.iter().any(|text| text.contains("the last attempt")))
        .await;
    tokio::time::sleep(HOUR).await;
    let lacking = missing(&world).await;
    let told = |what: &str| lacking.iter().filter(|text| text.starts_with(what)).count();
    assert_eq!(told("column city: no inverted index"), 2, "until it is done it says so: {lacking:?}");
    assert_eq!((indexed(&world, "city", IndexKind::Inverted).await, all(&world).await), (0, before.clone()));
    store.set_down(false);
    until_indexed(&world, "city", IndexKind::Inverted, 2).await;
    is_clean(&world, &before).await;

    // Answers that are lost: what was put is found again.
    store.set_lost_acks(0.5);
    change(&world, &json!({"rangeIndexColumns": ["id"]})).await;
    until_indexed(&world, "id", IndexKind::Range, 2).await;
    store.set_lost_acks(0.0);
    is_clean(&world, &before).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_dies_between_upload_and_record_has_the_old_files_and_makes_the_new_ones() {
    let (world, store) = faulty().await;
    two_segments(&world).await;
    let before = all(&world).await;
    // What is put is there and nobody hears of it.
    store.set_lost_acks(1.0);
    change(&world, &inverted()).await;
    world.until("an object", async || objects(&world).await.len() > 2).await;
    let old = artifacts(&world).await;
    let world = world.restart().await;
    assert_eq!(artifacts(&world).await, old);
    world.until_visible(before.len()).await;
    assert_eq!(all(&world).await, before);
    assert_eq!(world.node.segments_fetched(), 0, "the local files are those of the records");
    store.set_lost_acks(0.0);
    until_indexed(&world, "city", IndexKind::Inverted, 2).await;
    is_clean(&world, &before).await;
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_dropped_meanwhile_leaves_nothing() {
    let (world, store) = faulty().await;
    two_segments(&world).await;
    store.set_lost_acks(1.0);
    change(&world, &inverted()).await;
    world.until("an object", async || objects(&world).await.len() > 2).await;
    store.set_lost_acks(0.0);
    assert!(world.node.drop_table(&table_name("events"), "me").await.unwrap());
    tokio::time::sleep(HOUR).await;
    assert_eq!(objects(&world).await, Vec::<String>::new());
    assert_eq!(files(&world), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn of_changes_that_follow_each_other_the_last_one_counts() {
    let (world, store) = faulty().await;
    two_segments(&world).await;
    let before = all(&world).await;
    store.set_down(true);
    change(&world, &inverted()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    change(&world, &json!({"rangeIndexColumns": ["id"]})).await;
    store.set_down(false);
    until_indexed(&world, "id", IndexKind::Range, 2).await;
    assert_eq!(indexed(&world, "city", IndexKind::Inverted).await, 0);
    is_clean(&world, &before).await;
    let now = artifacts(&world).await;
    assert!(now.iter().all(|artifact| artifact.settings == now[0].settings));
}

#[tokio::test(start_paused = true)]
async fn a_disk_without_room_is_waited_for() {
    let world = World::start(Seats::default()).await;
    two_segments(&world).await;
    let before = all(&world).await;
    world.disk.set_capacity(Some(world.disk.used_bytes() + crate::world::FLOOR + 100));
    change(&world, &inverted()).await;
    world.until("the trouble", async || missing(&world).await.iter().any(|text| text.contains("no room"))).await;
    assert_eq!(all(&world).await, before);
    world.disk.set_capacity(None);
    until_indexed(&world, "city", IndexKind::Inverted, 2).await;
    is_clean(&world, &before).await;
}

#[tokio::test(start_paused = true)]
async fn an_index_that_cannot_be_built_is_tried_once() {
    let world = World::start(Seats::default()).await;
    world.node.create_table(events(&json!({})), "me").await.unwrap();
    // More texts than a dictionary is kept for: a range index on them needs one.
    let many: Vec<Json> =
        (0..600).map(|at| json!({"id": at, "city": format!("{:x}", at * 2_654_435_761_u64), "tags": []})).collect();
    world.produce(&many);
    world.until_visible(600).await;
    world.seal(1).await;
    change(&world, &json!({"rangeIndexColumns": ["city"]})).await;
    world.until("the attempt", async || artifacts(&world).await[0].missing_indexes.len() == 1).await;
    let (record, keys) = (world.segments().await.remove(0), objects(&world).await);
    assert!(missing(&world).await[0].starts_with("column city: no range index: "), "{:?}", missing(&world).await);
    tokio::time::sleep(HOUR).await;
    assert_eq!((world.segments().await.remove(0), objects(&world).await), (record.clone(), keys));
    // Where somebody asks it is tried once more.
    world.node.reindex(&table_name("events")).unwrap();
    world.until("another attempt", async || world.segments().await[0].version != record.version).await;
    let again = world.segments().await.remove(0);
    tokio::time::sleep(HOUR).await;
    assert_eq!(world.segments().await.remove(0), again);
    let world = world.restart().await;
    tokio::time::sleep(HOUR).await;
    assert_eq!(world.segments().await.remove(0), again, "it is on the record for ever");
}
