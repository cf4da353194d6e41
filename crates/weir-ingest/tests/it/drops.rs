//! Tables that are dropped: what they had in the deep store goes, whenever it comes there.

use crate::world::{World, events_kept, table_name};
use bytes::Bytes;
use serde_json::{Value as Json, json};
use std::{sync::Arc, time::Duration};
use weir_base::Chance;
use weir_control::SegmentState;
use weir_files::Faulty;

/// Two rounds of cleaning up.
const ROUNDS: Duration = Duration::from_secs(11 * 60);

fn rows(ids: std::ops::Range<i64>) -> Vec<Json> {
    ids.map(|id| json!({"id": id, "at": 1_767_225_600_000_i64})).collect()
}

async fn objects(world: &World) -> Vec<String> {
    world.deep_store.list("").await.unwrap().into_iter().map(|object| object.key).collect()
}

/// A table with one committed segment, on a deep store that can fail; and the key of the segment's object.
async fn one_segment() -> (World, Arc<Faulty>, String) {
    let mut found = None;
    let world = World::start_storing(|_, inner| found.insert(Faulty::new(inner, Chance::seeded(5))).clone()).await;
    world.node.create_table(events_kept(&[]), "me").await.unwrap();
    world.produce(&rows(0..10));
    world.until_visible(10).await;
    world.seal(1).await;
    let SegmentState::Done { artifact, .. } = &world.segments().await[0].state else { panic!("it is sealed") };
    let key = artifact.key.clone();
    (world, found.unwrap(), key)
}

#[tokio::test(start_paused = true)]
async fn objects_of_a_table_that_is_dropped_while_the_deep_store_is_away_go_when_it_is_back() {
    let (world, store, key) = one_segment().await;
    store.set_down(true);
    assert!(world.node.drop_table(&table_name("events"), "me").await.unwrap());
    assert!(!world.node.drop_table(&table_name("events"), "me").await.unwrap());
    // The next one of that name is another table.
    world.node.create_table(events_kept(&[]), "me").await.unwrap();
    world.until_visible(10).await;
    tokio::time::sleep(3 * ROUNDS).await;
    // Also by a node that was not there when it was dropped.
    let world = world.restart().await;
    store.set_down(false);
    assert_eq!(objects(&world).await, [key.as_str()]);
    world.until_visible(10).await;
    world.seal(1).await;
    tokio::time::sleep(ROUNDS).await;
    let left = objects(&world).await;
    assert!(matches!(&*left, [other] if other.starts_with("events-2/")), "{left:?}");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(world.store.leftovers().await.unwrap(), []);
    assert_eq!(objects(&world).await, left);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_ends_after_its_table_was_dropped_is_found() {
    let (world, _, key) = one_segment().await;
    assert!(world.node.drop_table(&table_name("events"), "me").await.unwrap());
    assert_eq!(objects(&world).await, Vec::<String>::new());
    tokio::time::sleep(Duration::from_secs(600)).await;
    for key in [&*key, "events-1/notes.txt", "events-10/t__0__0__20260101T0000Z-00000000.weir"] {
        world.deep_store.put_if_absent(key, Bytes::from_static(b"late")).await.unwrap();
    }
    tokio::time::sleep(ROUNDS).await;
    let left = objects(&world).await;
    assert_eq!(
        left,
        ["events-1/notes.txt", "events-10/t__0__0__20260101T0000Z-00000000.weir"],
        "which are nobody's segments"
    );
    assert_eq!(world.store.leftovers().await.unwrap().len(), 1, "more may come");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(world.store.leftovers().await.unwrap(), []);
}
