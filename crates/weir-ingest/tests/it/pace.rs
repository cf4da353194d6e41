//! How fast messages are taken, on a paused clock.

use crate::world::{World, events, stream, table, table_name};
use serde_json::{Value as Json, json};
use std::{collections::BTreeMap, time::Duration};
use weir_control::NewTable;
use weir_ingest::{PartitionState, Seats};

const NODE_LIMIT: &str = "pinot.server.consumption.rate.limit";
const NODE_BYTES: &str = "pinot.server.consumption.rate.limit.bytes";

fn limited(limits: &[(&str, &str)]) -> NewTable {
    let mut stream = stream("memory", "events");
    for (key, value) in limits {
        stream[*key] = json!(value);
    }
    table("events", &[stream], &[], false)
}

fn numbered(ids: std::ops::Range<u64>) -> Vec<Json> {
    ids.map(|id| json!({"id": id})).collect()
}

/// How long it takes until so many rows are visible.
async fn until(world: &World, rows: usize) -> Duration {
    let began = tokio::time::Instant::now();
    world.until("the rows", async || world.ids().await.len() >= rows).await;
    began.elapsed()
}

fn is_near(took: Duration, seconds: f64) -> bool {
    (seconds * 0.9..seconds * 1.1 + 0.5).contains(&took.as_secs_f64())
}

async fn node_limit(world: &World, name: &str, value: Option<&str>) {
    let changes = BTreeMap::from([(name.to_owned(), value.map(str::to_owned))]);
    world.node.change_cluster_configs(&changes).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_partition_takes_what_its_table_allows_and_a_change_holds_at_once() {
    let world = World::start(Seats::default()).await;
    let limits = [("topic.consumption.rate.limit", "5"), ("partition.consumption.rate.limit", "100")];
    world.node.create_table(limited(&limits), "me").await.unwrap();
    world.produce(&numbered(0..2_000));
    let took = until(&world, 1_000).await;
    assert!(is_near(took, 10.0), "1,000 messages at 100 a second: {took:?}");
    let status = world.status();
    assert_eq!(status.rate_limit, Some(100.0));
    assert_ne!(status.lag_ms, 0, "what is held back is behind: {status:?}");
    world.node.update_table(&table_name("events"), limited(&[]), "me").await.unwrap();
    let took = until(&world, 2_000).await;
    assert!(took < Duration::from_secs(1), "without a limit: {took:?}");
    assert_eq!(world.status().rate_limit, None);
    assert_eq!(world.ids().await, (0..2_000).collect::<Vec<i64>>());
}

#[tokio::test(start_paused = true)]
async fn the_partitions_of_a_topic_share_its_limit() {
    let world = World::start(Seats::default()).await;
    world.node.create_table(limited(&[("topic.consumption.rate.limit", "20")]), "me").await.unwrap();
    world.produce(&numbered(0..200));
    let took = until(&world, 200).await;
    assert!(is_near(took, 10.0), "one partition has all of it: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_node_takes_what_it_may_whatever_its_tables_allow() {
    let world = World::start(Seats::default()).await;
    node_limit(&world, NODE_LIMIT, Some("50")).await;
    world.node.create_table(events(&[]), "me").await.unwrap();
    world.produce(&numbered(0..500));
    let took = until(&world, 500).await;
    assert!(is_near(took, 10.0), "500 messages at 50 a second: {took:?}");
    // Each has ten bytes and more.
    node_limit(&world, NODE_BYTES, Some("100")).await;
    world.produce(&numbered(500..600));
    let took = until(&world, 600).await;
    assert!((8.0..16.0).contains(&took.as_secs_f64()), "1,100 bytes at 100 a second: {took:?}");
    let world = world.restart().await;
    let took = until(&world, 600).await;
    assert!(took < Duration::from_secs(2), "what was visible is read again without a limit: {took:?}");
    world.produce(&numbered(600..700));
    let took = until(&world, 700).await;
    assert!(took > Duration::from_secs(8), "a restart forgets no limit: {took:?}");
    node_limit(&world, NODE_BYTES, None).await;
    node_limit(&world, NODE_LIMIT, Some("0")).await;
    world.produce(&numbered(700..10_000));
    let took = until(&world, 10_000).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(world.status().state, PartitionState::Consuming);
}

/// While it is held back nobody listens to the stream, which says only once that there is no more.
#[tokio::test(start_paused = true)]
async fn a_partition_that_was_held_back_and_has_all_is_at_the_end() {
    let world = World::start(Seats::default()).await;
    world.node.create_table(limited(&[("topic.consumption.rate.limit", "10")]), "me").await.unwrap();
    world.produce(&numbered(0..50));
    until(&world, 50).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let status = world.status();
    assert_eq!((status.state, status.lag_ms), (PartitionState::Consuming, 0));
}

/// What was visible is read again as fast as can be, and nothing beyond it that would have to be waited for.
#[tokio::test(start_paused = true)]
async fn a_restart_owes_its_limit_nothing() {
    let world = World::start(Seats::default()).await;
    world.node.create_table(limited(&[("topic.consumption.rate.limit", "5")]), "me").await.unwrap();
    world.produce(&numbered(0..3_000));
    until(&world, 40).await;
    let visible = world.ids().await.len();
    let world = world.restart().await;
    assert!(until(&world, visible).await < Duration::from_secs(1));
    let took = until(&world, visible + 50).await;
    assert!(is_near(took, 10.0), "50 more at 5 a second: {took:?}");
    assert!(world.ids().await.len() < visible + 60);
}
