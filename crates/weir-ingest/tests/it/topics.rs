//! What tables do to topics of the built-in log: make them, hold them, let go of them.

use crate::world::{World, stream, table, table_name, topic};
use serde_json::{Value as Json, json};
use std::time::Duration;
use weir_ingest::Seats;

async fn marks(world: &World) -> (u64, u64) {
    let source = world.local.source(topic("events"), Duration::from_millis(10));
    let marks = source.watermarks(0).await.unwrap();
    (marks.low.number(), marks.high.number())
}

/// Far beyond the retention of the test's log.
async fn pass_retention(world: &World) {
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.local.retain();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_table_lets_the_log_go() {
    let world = World::start(Seats::default()).await;
    let new = table("events", &[stream("local", "events")], &[], false);
    world.node.create_table(new, "me").await.unwrap();
    world.produce_local("events", &[json!({"id": 1}), json!({"id": 2})]).await;
    world.until_visible(2).await;
    pass_retention(&world).await;
    assert_eq!(marks(&world).await, (0, 2), "an open segment may have to be read again");
    world.seal(1).await;
    pass_retention(&world).await;
    assert_eq!(marks(&world).await, (2, 2), "a committed one not");
    world.produce_local("events", &[json!({"id": 3})]).await;
    world.until_visible(3).await;
    pass_retention(&world).await;
    assert_eq!(marks(&world).await, (2, 3));
    assert!(world.node.drop_table(&table_name("events"), "me").await.unwrap());
    pass_retention(&world).await;
    assert_eq!(marks(&world).await, (3, 3), "nobody needs it any more");
}

#[tokio::test(start_paused = true)]
async fn a_refused_table_leaves_no_topic() {
    let world = World::start(Seats::default()).await;
    world.local.create_topic(&topic("before"), 1).unwrap();
    let names = || -> Vec<String> { world.local.topics().iter().map(|(name, _)| name.to_string()).collect() };
    let mut bad: Json = stream("local", "bad");
    bad["stream.local.partition.ids"] = json!("7");
    for streams in [vec![bad.clone()], vec![stream("local", "good"), stream("local", "before"), bad]] {
        let error = world.node.create_table(table("events", &streams, &[], false), "me").await.unwrap_err();
        assert!(error.to_string().contains("none numbered 7"), "{error}");
        assert_eq!(names(), ["before"]);
    }
    let make = |streams: &[Json]| world.node.create_table(table("events", streams, &[], false), "me");
    make(&[stream("local", "good")]).await.unwrap();
    make(&[stream("local", "other")]).await.expect_err("the table is there");
    assert_eq!(names(), ["before", "good"]);

    let added = [stream("local", "good"), stream("local", "other"), {
        let mut bad = stream("local", "before");
        bad["stream.local.partition.ids"] = json!("7");
        bad
    }];
    let changed = world.node.update_table(&table_name("events"), table("events", &added, &[], false), "me").await;
    assert!(changed.unwrap_err().to_string().contains("none numbered 7"));
    assert_eq!(names(), ["before", "good"], "nor does a refused change");
}
