//! A table that keeps rows for a day: what goes, what stays, what is still counted and who may still read it.

use crate::world::{World, events_kept, events_kept_as, table_name, topic};
use serde_json::{Value as Json, json};
use std::{path::Path, time::Duration};
use weir_base::Disk;
use weir_control::{AuditAction, SegmentState};
use weir_ingest::{Cleaned, ConsumeFrom, PartitionState, PartitionStatus, ResumeRequest, Seats, Selection};
use weir_types::{NextOffset, StartAt};

const DAY: i64 = 86_400_000;
/// When the world's clock starts.
const NOW: i64 = 1_767_225_600_000;

fn rows(ids: std::ops::Range<i64>, at: i64) -> Vec<Json> {
    ids.map(|id| json!({"id": id, "at": at})).collect()
}

fn segment_files(world: &World) -> Vec<String> {
    let files = world.disk.list(Path::new("/data/tables/events-1/segments")).unwrap();
    files.into_iter().map(|file| file.name).collect()
}

/// Three segments: an old one, a young one, an old one that is the last; and an open one.
async fn three_segments() -> World {
    let world = World::start(Seats::default()).await;
    world.node.create_table(events_kept(&[]), "me").await.unwrap();
    for (done, at) in [(1, NOW - 2 * DAY), (2, NOW), (3, NOW - 2 * DAY)] {
        let from = 10 * (done as i64 - 1);
        world.produce(&rows(from..from + 10, at));
        world.until_visible(done * 10).await;
        world.seal(done).await;
    }
    world
}

#[tokio::test(start_paused = true)]
async fn old_segments_go_and_stay_counted() {
    let world = three_segments().await;
    let before = world.status();
    let held = world.snapshot();
    let first = world.segments().await[0].clone();
    let SegmentState::Done { artifact, .. } = &first.state else { panic!("{first:?}") };
    assert_eq!(world.node.clean().await, Cleaned { segments: 1, objects: 0, files: 1 });
    assert_eq!(world.node.clean().await, Cleaned::default());

    assert_eq!(world.ids().await, (10..30).collect::<Vec<_>>());
    assert!(world.snapshot().lacks.is_empty());
    assert_eq!(world.ids_of(&held).await, (0..30).collect::<Vec<_>>(), "who holds it reads it to its end");
    assert!(!segment_files(&world).contains(&format!("{}.weir", first.name)));
    assert!(world.deep_store.get(&artifact.key).await.is_ok(), "the object stays for a while");
    let audit = world.store.audit_log().await.unwrap().entries;
    let (_, entry) = audit.last().unwrap();
    assert_eq!((entry.action, &*entry.who), (AuditAction::RemoveSegments, "weir"));
    assert!(entry.before.contains(&first.name.to_string()), "{entry:?}");

    // Going back into what was removed is reading twice, and has to be asked for.
    let to = ConsumeFrom::At(StartAt::Offset(NextOffset::new(4)));
    let back = ResumeRequest { everywhere: Some(to), dry_run: true, ..ResumeRequest::default() };
    let plan = world.node.resume(&table_name("events"), &back, "me").await.unwrap();
    assert_eq!(plan[0].read_twice, 26);

    // After a restart it is as if it were still there, but for its rows.
    let world = world.restart().await;
    world.until_visible(20).await;
    world.until("it is read to the end", async || world.status().next == before.next).await;
    let after = world.status();
    assert_eq!((after.start, after.accounting), (before.start, before.accounting));
    assert_eq!(after.accounting.fetched, 30);
    world.produce(&rows(30..31, NOW));
    world.until_visible(21).await;
    assert_eq!(world.ids().await, (10..31).collect::<Vec<_>>());
    // Its object goes when its time has come.
    tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
    world.node.clean().await;
    assert!(world.deep_store.get(&artifact.key).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_the_records_went_is_made_good() {
    let world = three_segments().await;
    let table = world.store.table(&table_name("events")).await.unwrap().unwrap();
    let first = world.segments().await[0].clone();
    let SegmentState::Done { artifact, .. } = &first.state else { panic!("{first:?}") };
    // The records went, the process died; an object went, and the process died before its note.
    world.store.remove_segments(&table, std::slice::from_ref(&first), NOW, &[]).await.unwrap();
    world.deep_store.delete(&artifact.key).await.unwrap();
    let world = world.restart().await;
    world.until_visible(20).await;
    assert!(segment_files(&world).contains(&format!("{}.weir", first.name)));
    assert_eq!(world.node.clean().await, Cleaned { segments: 0, objects: 1, files: 1 });
    assert!(world.store.doomed(&table).await.unwrap().is_empty());
    assert_eq!(segment_files(&world).len(), 2);
    // A node that lives on after its catalog lost the answer makes it good as well.
    world.produce(&rows(30..40, NOW));
    world.until_visible(30).await;
    world.seal(3).await;
    let third = world.segments().await[1].clone();
    world.store.remove_segments(&table, &[third], NOW + 100 * DAY, &[]).await.unwrap();
    assert_eq!(world.node.clean().await, Cleaned { segments: 0, objects: 0, files: 1 });
    assert_eq!(world.ids().await, (10..20).chain(30..40).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn segments_without_a_time_stay_and_are_counted() {
    let world = World::start(Seats::default()).await;
    // The time column holds text that is no time.
    let odd = json!({"name": "at", "dataType": "STRING", "format": "1:DAYS:SIMPLE_DATE_FORMAT:yyyy-MM-dd", "granularity": "1:DAYS"});
    world.node.create_table(events_kept(&[odd]), "me").await.unwrap();
    world.produce(&[json!({"id": 1, "at": "zzz"})]);
    world.until_visible(1).await;
    world.seal(1).await;
    world.produce(&[json!({"id": 2, "at": "2001-02-03"})]);
    world.until_visible(2).await;
    world.seal(2).await;
    world.produce(&[json!({"id": 3, "at": "2001-02-03"})]);
    world.until_visible(3).await;
    world.seal(3).await;
    assert_eq!(world.node.clean().await.segments, 1);
    assert_eq!(world.ids().await, [1, 3]);
    let shown = world.node.deps().metrics.encode();
    assert!(shown.contains(r#"weir_segments_without_time{table="events"} 1"#), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_names_goes_in_time() {
    let world = three_segments().await;
    let stray = "events-1/events__0__0__20260101T0000Z-00000001.weir";
    world.deep_store.put_if_absent(stray, "stray".into()).await.unwrap();
    world.disk.write_whole(Path::new("/data/tables/events-1/segments/stray.weir"), b"stray").unwrap();
    for folder in ["/data/tables/events-0", "/data/marks/events-0", "/data/tables/events-7", "/data/tables/mine"] {
        world.disk.write_whole(&Path::new(folder).join("file"), b"1").unwrap();
    }
    // The rounds of the node do it, the first one soon after its start.
    tokio::time::sleep(Duration::from_secs(90)).await;
    let folders = |dir: &str| {
        let entries = world.disk.list(Path::new(dir)).unwrap();
        entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>()
    };
    assert_eq!(folders("/data/tables"), ["events-1", "events-7", "mine"]);
    assert_eq!(folders("/data/marks"), ["events-1"]);
    assert!(!segment_files(&world).contains(&"stray.weir".to_owned()));
    assert!(world.deep_store.get(stray).await.is_ok(), "it may be named soon");
    tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
    assert!(world.deep_store.get(stray).await.is_err());
    assert_eq!(world.ids().await, (10..30).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn replayed_rows_that_are_old_go_too_and_stay_counted() {
    let world = World::start(Seats::default()).await;
    let name = table_name("events");
    world.node.create_table(events_kept(&[]), "me").await.unwrap();
    world.produce(&[
        json!({"id": 1, "at": NOW}),
        json!({"id": "odd", "at": NOW - 2 * DAY}),
        json!({"id": "odd", "at": NOW}),
    ]);
    world.until_visible(1).await;
    world.node.update_table(&name, events_kept_as(&[], true), "me").await.unwrap();
    // Two replays, so that each has a segment of its own.
    for offset in [1, 2] {
        let (from, to) = (Some(NextOffset::new(offset)), Some(NextOffset::new(offset + 1)));
        let selection = Selection { from, to, ..Selection::default() };
        assert_eq!(world.node.replay(&name, selection, "me").await.unwrap().rows, 1);
    }
    assert_eq!(world.ids().await.len(), 3);
    let replays = world.node.replays(&name).await.unwrap();
    let old = replays[0].parts[0].held().unwrap().clone();
    assert_eq!(world.node.clean().await, Cleaned { segments: 1, objects: 0, files: 1 });
    assert_eq!(world.ids().await.len(), 2);
    let held = |replays: &[weir_control::ReplayRecord]| {
        replays.iter().filter(|replay| replay.parts[0].held().is_some()).count()
    };
    assert_eq!(held(&world.node.replays(&name).await.unwrap()), 1);
    let counts = world.status().accounting;
    assert_eq!((counts.fetched, counts.stored, counts.replayed, counts.rejected, counts.rows), (3, 1, 2, 0, 3));

    let world = world.restart().await;
    world.until_visible(2).await;
    world.until("it is read to the end", async || world.status().next == NextOffset::new(3)).await;
    assert_eq!(world.status().accounting.rows, 3);
    assert!(world.snapshot().lacks.is_empty());
    assert!(world.deep_store.get(&old.artifact.key).await.is_ok());
    tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
    assert!(world.deep_store.get(&old.artifact.key).await.is_err());
    assert_eq!(world.ids().await.len(), 2);
}

/// A partition of which nothing was sealed, and which its topic does not have any more.
#[tokio::test(start_paused = true)]
async fn replayed_rows_of_a_partition_that_left_no_segment_stay() {
    let world = World::start(Seats::default()).await;
    let (name, events_topic) = (table_name("events"), topic("events"));
    world.memory.tell_ids();
    world.memory.create(&events_topic, 2);
    world.node.create_table(events_kept(&[]), "me").await.unwrap();
    let value = Some(json!({"id": "odd", "at": NOW}).to_string().into());
    world.memory.append(&events_topic, 1, None, value, vec![], 0);
    let second = |world: &World| world.node.partitions(&name).unwrap().remove(1);
    world.until("the reject", async || second(&world).accounting.rejected == 1).await;
    world.memory.delete(&events_topic);
    world.memory.create(&events_topic, 1);
    let world = world.restart().await;
    let stands = |world: &World| {
        let states = world.node.partitions(&name).unwrap().into_iter().map(|status| status.state);
        states.filter(|state| matches!(state, PartitionState::Recreated(_) | PartitionState::Gone(_))).count() == 2
    };
    world.until("both stand still", async || stands(&world)).await;
    let request = ResumeRequest { everywhere: Some(ConsumeFrom::At(StartAt::Earliest)), ..ResumeRequest::default() };
    world.node.resume(&name, &request, "me").await.unwrap();
    let is_gone =
        |status: &PartitionStatus| matches!(status.state, PartitionState::Gone(_)) && status.open_segment.is_none();
    world.until("its end", async || is_gone(&second(&world))).await;
    world.until("whole answers", async || world.snapshot().lacks.is_empty()).await;
    world.node.update_table(&name, events_kept_as(&[], true), "me").await.unwrap();
    assert_eq!(world.node.replay(&name, Selection::default(), "me").await.unwrap().rows, 1);
    world.until_visible(1).await;
    let world = world.restart().await;
    world.until_visible(1).await;
    assert!(is_gone(&second(&world)), "{:?}", second(&world));
    assert!(world.snapshot().lacks.is_empty());
}
