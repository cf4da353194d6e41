//! What tables do to topics of the built-in log: make them, hold them, let go of them.

use crate::world::{World, events, stream, table, table_name, topic};
use serde_json::{Value as Json, json};
use std::{path::Path, time::Duration};
use weir_base::Disk;
use weir_control::SegmentState;
use weir_ingest::{ConsumeFrom, PartitionState, ResumeRequest, Seats};
use weir_types::StartAt;

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
    for dir in ["/data/tables", "/data/marks"] {
        assert_eq!(world.disk.list(Path::new(dir)).unwrap().len(), 1, "{dir}");
    }
    assert_eq!(world.deep_store.list("").await.unwrap().len(), 1);
    assert!(world.node.drop_table(&table_name("events"), "me").await.unwrap());
    pass_retention(&world).await;
    assert_eq!(marks(&world).await, (3, 3), "nobody needs it any more");
    // Nothing of it is left, here or in the deep store.
    for dir in ["/data/tables", "/data/marks"] {
        assert_eq!(world.disk.list(Path::new(dir)).unwrap(), [], "{dir}");
    }
    assert_eq!(world.deep_store.list("").await.unwrap(), []);
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

/// A topic that was made anew has fewer partitions, as many, or more: those that are there go on where somebody says, those that
/// are not have what was read of them sealed, new ones are read from their beginning.
#[tokio::test(start_paused = true)]
async fn a_topic_made_anew_with_another_number_of_partitions_goes_on() {
    for after in [1, 2, 3] {
        let world = World::start(Seats::default()).await;
        let (name, events_topic) = (table_name("events"), topic("events"));
        world.memory.tell_ids();
        world.memory.create(&events_topic, 2);
        world.node.create_table(events(&[]), "me").await.unwrap();
        let put = |partition: u32, ids: std::ops::Range<i64>| {
            for id in ids {
                let value = Some(json!({ "id": id }).to_string().into());
                world.memory.append(&events_topic, partition, None, value, vec![], 0);
            }
        };
        put(0, 0..3);
        put(1, 10..14);
        world.until_visible(7).await;
        world.memory.delete(&events_topic);
        world.memory.create(&events_topic, after);
        // None has grown beyond what was read: a reader at work could read into it before it is looked whose log it is.
        let fresh = [100..102, 110..113, 120..124];
        for number in 0..after {
            put(number, fresh[number as usize].clone());
        }
        let stands = |status: &weir_ingest::PartitionStatus| {
            matches!(status.state, PartitionState::Recreated(_) | PartitionState::Gone(_))
        };
        world
            .until("what is read stands still", async || {
                let statuses = world.node.partitions(&name).unwrap();
                statuses.iter().filter(|status| status.partition.partition < 2).all(stands)
            })
            .await;
        let from_start = ConsumeFrom::At(StartAt::Earliest);
        if after == 1 {
            let parts = [((events_topic.clone(), Some(1)), from_start.clone())].into();
            let request = ResumeRequest { parts, ..ResumeRequest::default() };
            let error = world.node.resume(&name, &request, "me").await.unwrap_err().to_string();
            assert!(error.contains("partition 1"), "one that was asked for by its number is missed: {error}");
        }
        let request = ResumeRequest { everywhere: Some(from_start), ..ResumeRequest::default() };
        let plan = world.node.resume(&name, &request, "me").await.unwrap();
        let ends: Vec<u32> =
            plan.iter().filter(|planned| planned.ends).map(|planned| planned.partition.partition).collect();
        assert_eq!(ends, if after == 1 { vec![1] } else { vec![] });
        let mut expected: Vec<i64> = (0..3).chain(10..14).collect();
        expected.extend(fresh[..after as usize].iter().cloned().flatten());
        world.until_visible(expected.len()).await;
        let mut ids = world.ids().await;
        ids.sort_unstable();
        assert_eq!(ids, expected);
        // What was read of the log that is gone is sealed: a restart keeps it.
        world
            .until("the commits", async || {
                let is_done =
                    |segment: &weir_control::SegmentRecord| matches!(segment.state, SegmentState::Done { .. });
                world.segments().await.iter().filter(|segment| is_done(segment)).count() == 2
            })
            .await;
        let world = world.restart().await;
        world.until_visible(expected.len()).await;
        for status in world.node.partitions(&name).unwrap() {
            assert!(status.accounting.balances(), "{status:?}");
        }
    }
}
