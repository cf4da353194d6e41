//! The file of the built-in log is cut by somebody: the partition says what is gone and what to do, and that works.

use crate::world::{World, stream, table, table_name, topic};
use serde_json::json;
use std::path::{Path, PathBuf};
use weir_base::Disk;
use weir_control::PauseInfo;
use weir_ingest::{ConsumeFrom, PartitionState, ResumeRequest, Scope, Seats};
use weir_types::{NextOffset, StartAt};

async fn reading(world: &World) {
    let new = table("events", &[stream("local", "events")], &[], false);
    world.node.create_table(new, "me").await.unwrap();
}

/// One request each: frames of their own.
async fn produce(world: &World, ids: std::ops::Range<i64>) {
    for id in ids {
        world.produce_local("events", &[json!({ "id": id })]).await;
    }
}

/// The one file of the log.
fn log_file(world: &World) -> (PathBuf, usize) {
    let entry = |dir: &Path| {
        let entries = world.disk.list(dir).unwrap();
        let found = entries.into_iter().find(|entry| entry.is_dir || entry.name.ends_with(".log")).unwrap();
        (dir.join(found.name), found.byte_count as usize)
    };
    let (id, _) = entry(Path::new("/data/log/events"));
    entry(&id.join("0"))
}

async fn resume(world: &World, parts: &[(u32, ConsumeFrom)], everywhere: Option<ConsumeFrom>) {
    let parts = parts.iter().map(|(number, from)| ((topic("events"), Some(*number)), from.clone())).collect();
    let request = ResumeRequest { parts, everywhere, ..ResumeRequest::default() };
    world.node.resume(&table_name("events"), &request, "me").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_not_read_yet_is_told_and_passed_over_when_somebody_says_so() {
    let world = World::start(Seats::default()).await;
    reading(&world).await;
    produce(&world, 0..5).await;
    world.until_visible(5).await;
    let pause = PauseInfo { reason: "ADMINISTRATIVE".into(), comment: "a while".into(), at_ms: 0 };
    world.node.pause(&table_name("events"), &Scope::default(), pause, "me").await.unwrap();
    world.until("the pause", async || matches!(world.status().state, PartitionState::Paused(_))).await;
    produce(&world, 5..20).await;
    let (path, byte_count) = log_file(&world);
    world.disk.cut(&path, byte_count * 60 / 100).unwrap();
    resume(&world, &[], None).await;
    world.until("the halt", async || matches!(world.status().state, PartitionState::Halted(_))).await;
    let status = world.status();
    let (reason, first) = (status.state.reason(), status.next.number());
    assert!((6..19).contains(&first), "{status:?}");
    for says in [
        format!("offsets [{first}, 20) of events/0 are lost"),
        ".log was cut to ".to_owned(),
        "{\"consumeFrom\": {\"events\": {\"0\": 20}}}".to_owned(),
    ] {
        assert!(reason.contains(&says), "{says}: {reason}");
    }
    assert_eq!(world.ids().await, (0..first as i64).collect::<Vec<_>>(), "what is whole is there");
    // Writing goes on; reading alone does not help.
    produce(&world, 20..23).await;
    resume(&world, &[], None).await;
    world.until("the halt", async || matches!(world.status().state, PartitionState::Halted(_))).await;
    let behind = ConsumeFrom::At(StartAt::Offset(NextOffset::new(20)));
    resume(&world, &[(0, behind)], None).await;
    let expected: Vec<i64> = (0..first as i64).chain(20..23).collect();
    world.until_visible(expected.len()).await;
    world.until("reading", async || world.status().state == PartitionState::Consuming).await;
    let mut ids = world.ids().await;
    ids.sort_unstable();
    assert_eq!(ids, expected);
    let counts = world.status().accounting;
    assert!(counts.balances() && counts.skipped == 20 - first, "{counts:?}");
    let world = world.restart().await;
    produce(&world, 23..25).await;
    world.until_visible(expected.len() + 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_table_that_had_read_what_is_cut_off_goes_on() {
    let world = World::start(Seats::default()).await;
    reading(&world).await;
    produce(&world, 0..20).await;
    world.until_visible(20).await;
    let (path, byte_count) = log_file(&world);
    world.disk.cut(&path, byte_count / 2).unwrap();
    produce(&world, 20..25).await;
    world.until_visible(25).await;
    assert_eq!(world.ids().await, (0..25).collect::<Vec<_>>());
    world.seal(1).await;
    let world = world.restart().await;
    world.until_visible(25).await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_cut_back_while_nobody_looked_gives_no_offset_out_again() {
    let world = World::start(Seats::default()).await;
    reading(&world).await;
    produce(&world, 0..20).await;
    world.until_visible(20).await;
    world.seal(1).await;
    let (path, byte_count) = log_file(&world);
    world.disk.cut(&path, byte_count / 2).unwrap();
    let world = world.restart().await;
    // All that is gone was read before.
    produce(&world, 20..25).await;
    world.until_visible(25).await;
    assert_eq!(world.ids().await, (0..25).collect::<Vec<_>>());
    assert_eq!(world.status().next.number(), 25);
    world.seal(2).await;
    let world = world.restart().await;
    world.until_visible(25).await;
    produce(&world, 25..27).await;
    world.until_visible(27).await;
    assert_eq!(world.ids().await, (0..27).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_table_that_was_paused_while_its_log_was_cut_back_reads_what_came_since() {
    let world = World::start(Seats::default()).await;
    reading(&world).await;
    produce(&world, 0..20).await;
    world.until_visible(20).await;
    let pause = PauseInfo { reason: "ADMINISTRATIVE".into(), comment: "a while".into(), at_ms: 0 };
    world.node.pause(&table_name("events"), &Scope::default(), pause, "me").await.unwrap();
    world.until("the pause", async || matches!(world.status().state, PartitionState::Paused(_))).await;
    world.seal(1).await;
    let (path, byte_count) = log_file(&world);
    world.disk.cut(&path, byte_count / 2).unwrap();
    let world = world.restart().await;
    // As many as were cut off, and more.
    produce(&world, 20..40).await;
    resume(&world, &[], None).await;
    world.until_visible(40).await;
    assert_eq!(world.ids().await, (0..40).collect::<Vec<_>>());
    assert!(world.status().accounting.balances(), "{:?}", world.status());
}
