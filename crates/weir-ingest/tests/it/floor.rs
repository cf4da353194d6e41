//! A disk that falls below its floor: copies of what the deep store has go, answers stay right, and reading goes on.

use crate::world::{FLOOR, World, events};
use serde_json::{Value as Json, json};
use std::{path::Path, time::Duration};
use weir_base::Disk;
use weir_ingest::Seats;
use weir_table::SegmentHandle;

/// Rows of a segment.
const ROWS: i64 = 200;

fn rows(from: i64) -> Vec<Json> {
    (from..from + ROWS).map(|id| json!({"id": id * 7919 % 1_000_003})).collect()
}

fn files(world: &World) -> Vec<String> {
    let files = world.disk.list(Path::new("/data/tables/events-1/segments")).unwrap();
    files.into_iter().map(|file| file.name).collect()
}

/// The disk has so many bytes less than its floor, or more where `short` is below zero.
fn leave(world: &World, short: i64) {
    let free = u64::try_from(i64::try_from(FLOOR).unwrap() - short).unwrap();
    world.disk.set_capacity(Some(world.disk.used_bytes() + free));
}

fn counted(world: &World, line: &str) -> bool {
    let shown = world.node.deps().metrics.encode();
    shown.lines().any(|shown| shown == line)
}

/// Segments that are committed, in order, and shown from their records.
async fn world(segments: usize) -> World {
    let world = World::start(Seats::default()).await;
    world.node.create_table(events(&[]), "me").await.unwrap();
    for done in 1..=segments {
        world.produce(&rows(ROWS * (done as i64 - 1)));
        world.until_visible(ROWS as usize * done).await;
        world.seal(done).await;
    }
    world
}

async fn names(world: &World) -> Vec<String> {
    world.segments().await.iter().take(4).map(|segment| format!("{}.weir", segment.name)).collect()
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_copies_go_until_the_floor_is_reached() {
    let world = world(4).await;
    let names = names(&world).await;
    assert_eq!(files(&world), names);
    let snapshot = world.snapshot();
    let recorded = snapshot.segments.iter().filter(|view| matches!(view.segment, SegmentHandle::Recorded(_))).count();
    assert_eq!(recorded, 4, "what this process sealed is known by its record once it is committed");
    // The second is used last; nobody holds any of them.
    tokio::time::sleep(Duration::from_secs(1)).await;
    snapshot.segments[1].segment.open().await.unwrap();
    drop(snapshot);
    leave(&world, -1);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(files(&world), names, "above the floor all stay");

    let first = world.disk.byte_count(&Path::new("/data/tables/events-1/segments").join(&names[0])).unwrap().unwrap();
    leave(&world, i64::try_from(first).unwrap() + 1);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(files(&world), [names[1].clone(), names[3].clone()]);
    assert!(world.disk.free_bytes(Path::new("/")).unwrap() >= FLOOR, "and no more than are needed");
    assert!(counted(&world, r#"weir_local_copies_evicted_total{table="events"} 2"#));
    assert!(counted(&world, &format!("weir_disk_floor_bytes{{table=\"\"}} {FLOOR}")));

    // Answers are right, reading goes on, and what is needed is fetched again.
    assert_eq!(world.snapshot().segments.iter().map(|view| i64::from(view.segment.meta().rows)).sum::<i64>(), 4 * ROWS);
    world.produce(&rows(4 * ROWS));
    world.until_visible(5 * ROWS as usize).await;
    assert_eq!(world.node.segments_fetched(), 2);
    assert!(world.snapshot().lacks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn below_the_floor_all_goes_on_and_what_is_not_uploaded_stays() {
    let world = world(3).await;
    let deep: Vec<_> = world.deep_store.list("").await.unwrap();
    leave(&world, 1 << 14);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(files(&world).len() < 3);
    // Far below: there is room for what is built, and for nothing else. Everything goes that can.
    for done in 4..8 {
        world.produce(&rows(ROWS * (done as i64 - 1)));
        leave(&world, i64::try_from(FLOOR).unwrap() - (1 << 14));
        world.until("the rows", async || world.status().open_rows == ROWS as u64).await;
        world.seal(done).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(files(&world), Vec::<String>::new());
    }
    assert_eq!(world.deep_store.list("").await.unwrap().len(), deep.len() + 4);
    world.disk.set_capacity(None);
    world.until_visible(7 * ROWS as usize).await;
    let mut ids = world.ids().await;
    ids.sort_unstable();
    let mut expected: Vec<i64> = (0..7 * ROWS).map(|id| id * 7919 % 1_000_003).collect();
    expected.sort_unstable();
    assert_eq!(ids, expected);
    assert_eq!(files(&world).len(), 7, "what was asked for is here again");
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_the_deep_store_has_lost_stays() {
    let world = world(3).await;
    let names = names(&world).await;
    let lost = world.deep_store.list("").await.unwrap();
    let lost = lost.iter().find(|object| object.key.contains(names[1].trim_end_matches(".weir"))).unwrap();
    world.deep_store.delete(&lost.key).await.unwrap();
    leave(&world, i64::try_from(FLOOR).unwrap() - 1);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(files(&world), [names[1].clone()], "the others are fetched again, this one cannot be");
    world.disk.set_capacity(None);
    world.until_visible(3 * ROWS as usize).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_below_its_floor_fetches_nothing_ahead() {
    let world = world(3).await;
    leave(&world, i64::try_from(FLOOR).unwrap() - 1);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(files(&world), Vec::<String>::new());
    leave(&world, 1);
    let world = world.restart().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((world.node.segments_fetched(), files(&world)), (0, vec![]));
    // A query does, for it needs them; what it has in hand stays with it.
    let held = world.snapshot();
    assert_eq!(world.ids_of(&held).await.len(), 3 * ROWS as usize);
    assert!(held.lacks.is_empty());
    world.disk.set_capacity(None);
    let world = world.restart().await;
    world.until("all are here", async || files(&world).len() == 3).await;
}
