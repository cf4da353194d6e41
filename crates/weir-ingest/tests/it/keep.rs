//! Rows of no full block, a stream that deletes them, and a topic that is made anew under its reader.

use crate::world::{World, events, table_name, topic};
use serde_json::{Value as Json, json};
use std::time::Duration;
use weir_ingest::{ConsumeFrom, IngestError, PartitionState, PlannedMove, ResumeRequest, Seats};
use weir_types::{NextOffset, OffsetRange, SkipReason, StartAt};

fn numbered(ids: std::ops::Range<u64>) -> Vec<Json> {
    ids.map(|id| json!({"id": id})).collect()
}

async fn reading(rows: u64) -> World {
    let world = World::start(Seats::default()).await;
    world.node.create_table(events(&[]), "me").await.unwrap();
    world.produce(&numbered(0..rows));
    world.until_visible(rows as usize).await;
    world
}

fn delete_before(world: &World, offset: u64) {
    world.memory.truncate_before(&topic("events"), 0, NextOffset::new(offset));
}

/// What was visible and is lost.
async fn lost(world: &World) -> Vec<(OffsetRange, SkipReason)> {
    let (_, losses) = world.node.moves(&table_name("events")).await.unwrap();
    losses.into_iter().map(|(_, loss)| (loss.range, loss.reason)).collect()
}

async fn until_read(world: &World, next: u64) {
    world
        .until("the end of the log", async || {
            let status = world.status();
            (status.next.number(), &status.state) == (next, &PartitionState::Consuming)
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_keeps_the_rows_of_no_full_block() {
    let world = reading(100).await;
    world.produce(&numbered(100..110));
    world.until_visible(110).await;
    world.node.keep(Duration::from_secs(1)).await;
    delete_before(&world, 110);
    let world = world.restart().await;
    world.until_visible(110).await;
    world.produce(&numbered(110..111));
    until_read(&world, 111).await;
    assert_eq!(world.ids().await, (0..111).collect::<Vec<_>>());
    assert_eq!(lost(&world).await, []);
    world.seal(1).await;
    assert_eq!(world.ids().await, (0..111).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn rows_are_written_before_the_stream_may_delete_them() {
    let world = reading(1_000).await;
    // Far from what the stream deletes: they wait for more.
    world.produce(&numbered(1_000..1_010));
    world.until_visible(1_010).await;
    tokio::time::sleep(Duration::from_secs(310)).await;
    delete_before(&world, 1_010);
    let world = world.restart().await;
    until_read(&world, 1_010).await;
    assert_eq!(world.ids().await, (0..1_010).collect::<Vec<_>>(), "they waited long enough");
    world.produce(&numbered(1_010..1_030));
    world.until_visible(1_030).await;
    // It comes near, and a reader hears of it with what comes next.
    delete_before(&world, 1_030);
    world.produce(&numbered(1_030..1_031));
    world.until_visible(1_031).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    delete_before(&world, 1_031);
    let world = world.restart().await;
    until_read(&world, 1_031).await;
    assert_eq!(world.ids().await, (0..1_031).collect::<Vec<_>>());
    assert_eq!(lost(&world).await, []);
}

#[tokio::test(start_paused = true)]
async fn visible_rows_that_are_gone_everywhere_are_a_loss_on_the_record() {
    let world = reading(100).await;
    world.produce(&numbered(100..103));
    world.until_visible(103).await;
    world.produce(&numbered(103..112));
    delete_before(&world, 110);
    let world = world.restart().await;
    until_read(&world, 112).await;
    let mut ids = world.ids().await;
    ids.sort_unstable();
    assert_eq!(ids, (0..100).chain(110..112).collect::<Vec<_>>());
    let range = OffsetRange::try_new(NextOffset::new(100), NextOffset::new(103)).unwrap();
    assert_eq!(lost(&world).await, [(range, SkipReason::Retention)], "what was passed over unread is none");
    let counts = world.status().accounting;
    assert!(counts.explains(112) && counts.skipped == 10, "{counts:?}");
}

async fn plan(world: &World, from: ConsumeFrom) -> PlannedMove {
    let request = ResumeRequest { everywhere: Some(from), dry_run: true, ..ResumeRequest::default() };
    world.node.resume(&table_name("events"), &request, "me").await.unwrap().remove(0)
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_the_stream_has_deleted_meanwhile() {
    let world = reading(5).await;
    let pause = weir_control::PauseInfo { reason: "ADMINISTRATIVE".into(), comment: String::new(), at_ms: 0 };
    world.node.pause(&table_name("events"), &weir_ingest::Scope::default(), pause, "me").await.unwrap();
    world.until("the pause", async || matches!(world.status().state, PartitionState::Paused(_))).await;
    world.produce(&numbered(5..40));
    delete_before(&world, 30);
    let planned = plan(&world, ConsumeFrom::LastConsumed).await;
    assert_eq!((planned.to.number(), planned.skipped, planned.moves()), (30, 25, false), "{planned:?}");
    let request = ResumeRequest::default();
    world.node.resume(&table_name("events"), &request, "me").await.unwrap();
    until_read(&world, 40).await;
    assert_eq!(world.status().accounting.skipped, 25);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_of_a_topic_made_anew_before_it_was_known_is_said_and_not_read_twice() {
    let world = World::start(Seats::default()).await;
    world.memory.tell_ids();
    world.node.create_table(events(&[]), "me").await.unwrap();
    world.produce(&numbered(0..10));
    world.until_visible(10).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.memory.recreate(&topic("events"));
    world.produce(&numbered(100..150));
    world.until("the new topic", async || matches!(world.status().state, PartitionState::Recreated(_))).await;
    let status = world.status();
    assert_eq!(status.next.number(), 50, "it was read into: {status:?}");
    assert!(status.state.reason().contains("offsets [10, 50) of it may have been read already"), "{status:?}");
    assert_eq!(status.lag_offsets(), Some(50));
    let beginning = || ConsumeFrom::At(StartAt::Earliest);
    assert_eq!(plan(&world, beginning()).await.read_twice, 40);
    let request = ResumeRequest { everywhere: Some(beginning()), ..ResumeRequest::default() };
    let refused = world.node.resume(&table_name("events"), &request, "me").await.unwrap_err();
    assert!(matches!(&refused, IngestError::Refused { what } if what.contains("read twice")), "{refused}");
    // Who knows better says so.
    let behind = ConsumeFrom::At(StartAt::Offset(NextOffset::new(50)));
    assert_eq!(plan(&world, behind.clone()).await.read_twice, 0);
    let request = ResumeRequest { everywhere: Some(beginning()), allow_duplicates: true, ..ResumeRequest::default() };
    world.node.resume(&table_name("events"), &request, "me").await.unwrap();
    until_read(&world, 50).await;
    let mut ids = world.ids().await;
    ids.sort_unstable();
    let expected: Vec<i64> = (0..10).chain(100..110).chain((110..150).flat_map(|id| [id, id])).collect();
    assert_eq!(ids, expected);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_stands_before_its_first_message_falls_behind() {
    let world = World::start(Seats::default()).await;
    world.node.create_table(events(&[]), "me").await.unwrap();
    let pause = weir_control::PauseInfo { reason: "ADMINISTRATIVE".into(), comment: String::new(), at_ms: 0 };
    world.node.pause(&table_name("events"), &weir_ingest::Scope::default(), pause, "me").await.unwrap();
    world.until("the pause", async || matches!(world.status().state, PartitionState::Paused(_))).await;
    world.produce(&numbered(0..3));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let status = world.status();
    assert!(status.lag_ms >= 50_000, "{status:?}");
    assert_eq!(status.unexplained, None);
}

#[tokio::test(start_paused = true)]
async fn a_topic_made_anew_while_the_node_was_off_was_not_read() {
    let world = World::start(Seats::default()).await;
    world.memory.tell_ids();
    world.node.create_table(events(&[]), "me").await.unwrap();
    world.produce(&numbered(0..10));
    world.until_visible(10).await;
    world.node.keep(Duration::from_secs(1)).await;
    world.memory.recreate(&topic("events"));
    world.produce(&numbered(100..150));
    let world = world.restart().await;
    world.until("the new topic", async || matches!(world.status().state, PartitionState::Recreated(_))).await;
    assert_eq!(plan(&world, ConsumeFrom::At(StartAt::Earliest)).await.read_twice, 0);
    let everywhere = Some(ConsumeFrom::At(StartAt::Earliest));
    let request = ResumeRequest { everywhere, ..ResumeRequest::default() };
    world.node.resume(&table_name("events"), &request, "me").await.unwrap();
    until_read(&world, 50).await;
    assert_eq!(world.ids().await.len(), 60);
}
