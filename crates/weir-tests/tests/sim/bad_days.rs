//! Bad days at their full length: a broker that is away for ten minutes, a deep store that is away for an hour. Both are lived
//! through by a node that runs on, and by one that is killed on the way; nobody does anything about either.

use crate::{
    model::Produced,
    run::{Bug, Seen, caught_up, check},
    world::{Alive, PARTITIONS, TOPIC, World, record, table, table_name},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use weir_base::{Chance, metrics::Counter};
use weir_control::{NewTable, SegmentState};
use weir_ingest::PartitionState;
use weir_types::{ColumnName, FieldIndexes, TopicName};

/// Rows of a segment.
const SEGMENT_ROWS: u64 = 60;
/// A reader waits this long at most between two attempts, and an upload.
const READER_WAITS: Duration = Duration::from_secs(5);
const UPLOAD_WAITS: Duration = Duration::from_secs(10);

fn topic() -> TopicName {
    TopicName::parse(TOPIC).unwrap()
}

fn produce(world: &World, seen: &mut Seen, per_partition: usize) {
    for partition in 0..PARTITIONS {
        produce_to(world, seen, partition, per_partition);
    }
}

fn produce_to(world: &World, seen: &mut Seen, partition: u32, count: usize) {
    for _ in 0..count {
        let id = seen.model.messages() as i64;
        let produced = match id % 31 {
            7 => Produced::Broken,
            19 => Produced::Tombstone,
            _ => Produced::Row { id, amount: id % 5 },
        };
        append(world, seen, partition, produced);
    }
}

fn append(world: &World, seen: &mut Seen, partition: u32, produced: Produced) {
    world.streams.append(&topic(), partition, None, produced.value().map(Into::into), vec![], world.wall_ms);
    seen.model.by_partition.entry(partition).or_default().push(produced);
}

/// A part of the story, up to the death of the process.
fn live(world: &mut World, life: impl AsyncFnOnce(&World, &Alive)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let took = runtime.block_on(async {
        let begun = Instant::now();
        let alive = world.start().await.unwrap();
        life(world, &alive).await;
        world.disk.kill();
        begun.elapsed()
    });
    drop(runtime);
    world.wall_ms += i64::try_from(took.as_millis()).unwrap();
}

async fn within(limit: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// How many rows are visible.
fn rows(alive: &Alive) -> u64 {
    let snapshot = alive.tables.get("events").unwrap().snapshot();
    snapshot.segments.iter().map(|view| u64::from(view.segment.meta().rows)).sum()
}

async fn all_seen(alive: &Alive, seen: &Seen, limit: Duration) {
    within(limit, "all that was produced is seen", async || {
        let lacks = !alive.tables.get("events").unwrap().snapshot().lacks.is_empty();
        caught_up(alive, seen) && !lacks
    })
    .await;
    assert_eq!(rows(alive), seen.model.rows().len() as u64);
}

/// Segments that wait to be committed, and those that are.
async fn waiting_and_done(alive: &Alive) -> (usize, usize) {
    let segments = alive.catalog.segments(&record(alive).await.unwrap()).await.unwrap();
    let count = |wanted: fn(&SegmentState) -> bool| segments.iter().filter(|found| wanted(&found.state)).count();
    (
        count(|state| matches!(state, SegmentState::Committing { .. })),
        count(|state| matches!(state, SegmentState::Done { .. })),
    )
}

fn states(alive: &Alive) -> Vec<PartitionState> {
    alive.node.all_partitions().iter().map(|status| status.state.clone()).collect()
}

fn consuming(alive: &Alive) -> bool {
    states(alive).iter().all(|state| *state == PartitionState::Consuming)
}

/// The broker is away for so long; every half minute somebody looks.
async fn broker_away(world: &World, alive: &Alive, seen: &mut Seen, long: Duration) {
    let (begun, before) = (Instant::now(), alive.counted(Counter::Errors));
    within(READER_WAITS, "it is noticed", async || {
        states(alive).iter().all(|state| matches!(state, PartitionState::Retrying(_)))
    })
    .await;
    let visible = rows(alive);
    while begun.elapsed() < long {
        sleep(Duration::from_secs(30)).await;
        // Producers go on: what they send waits.
        produce(world, seen, 5);
        for state in states(alive) {
            assert!(matches!(&state, PartitionState::Retrying(why) if why.contains(TOPIC)), "{state}");
        }
        assert_eq!(rows(alive), visible, "what was seen is seen");
    }
    // It asked again and again, and not all the time.
    let attempts = (alive.counted(Counter::Errors) - before) / u64::from(PARTITIONS);
    let waits = long.as_secs() / READER_WAITS.as_secs();
    assert!((waits..waits * 3).contains(&attempts), "{attempts} attempts");
}

#[test]
fn n08_a_broker_is_away_for_ten_minutes() {
    let (mut world, mut seen) = (World::new(8, Bug::None), Seen::default());
    live(&mut world, async |world, alive| {
        alive.node.create_table(table(SEGMENT_ROWS), "test").await.unwrap();
        produce(world, &mut seen, 100);
        all_seen(alive, &seen, READER_WAITS).await;
        world.streams.set_down(&topic(), true);
        broker_away(world, alive, &mut seen, Duration::from_secs(600)).await;
        world.streams.set_down(&topic(), false);
        all_seen(alive, &seen, READER_WAITS + Duration::from_secs(1)).await;
        assert!(consuming(alive), "{:?}", states(alive));
        check(alive, &seen).await.unwrap();
        // Away once more, and the node is killed before it is back.
        world.streams.set_down(&topic(), true);
        broker_away(world, alive, &mut seen, Duration::from_secs(60)).await;
    });
    live(&mut world, async |world, alive| {
        broker_away(world, alive, &mut seen, Duration::from_secs(540)).await;
        world.streams.set_down(&topic(), false);
        all_seen(alive, &seen, READER_WAITS + Duration::from_secs(1)).await;
        assert!(consuming(alive), "{:?}", states(alive));
        check(alive, &seen).await.unwrap();
    });
}

/// The deep store is away for so long: rows come, are seen, and are sealed.
async fn store_away(world: &World, alive: &Alive, seen: &mut Seen, long: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < long {
        produce(world, seen, 20);
        all_seen(alive, seen, Duration::from_secs(1)).await;
        assert!(consuming(alive), "{:?}", states(alive));
        sleep(Duration::from_secs(30)).await;
    }
}

#[test]
fn n13_a_deep_store_is_away_for_an_hour() {
    let (mut world, mut seen) = (World::new(13, Bug::None), Seen::default());
    let half = Duration::from_secs(1800);
    let (mut waiting, mut done) = (0, 0);
    live(&mut world, async |world, alive| {
        alive.node.create_table(table(SEGMENT_ROWS), "test").await.unwrap();
        produce(world, &mut seen, 100);
        all_seen(alive, &seen, READER_WAITS).await;
        within(UPLOAD_WAITS, "seals are committed while the store is there", async || {
            waiting_and_done(alive).await == (0, PARTITIONS as usize)
        })
        .await;
        world.store.set_down(true);
        store_away(world, alive, &mut seen, half).await;
        (waiting, done) = waiting_and_done(alive).await;
        assert!(waiting >= 3 && done == PARTITIONS as usize, "{waiting} wait, {done} are done");
        // More than three waits for each that waits, but the newest.
        let failed = alive.counted(Counter::UploadsFailed) as usize;
        assert!(failed > 3 * waiting, "{failed} attempts for {waiting} segments");
    });
    // Killed in the middle: what was sealed is on the local disk.
    live(&mut world, async |world, alive| {
        all_seen(alive, &seen, READER_WAITS).await;
        store_away(world, alive, &mut seen, half).await;
        let (more, none) = waiting_and_done(alive).await;
        assert!(more > waiting && none == done, "{more} wait, {none} are done");
        world.store.set_down(false);
        within(UPLOAD_WAITS + Duration::from_secs(1), "uploads catch up", async || {
            waiting_and_done(alive).await == (0, more + done)
        })
        .await;
        assert_eq!(world.deep.list("").await.unwrap().len(), more + done, "one object each");
        all_seen(alive, &seen, Duration::from_secs(1)).await;
        check(alive, &seen).await.unwrap();
    });
}

#[test]
fn rows_are_seen_while_the_end_of_the_segment_before_them_waits_for_its_disk() {
    let (mut world, mut seen) = (World::new(21, Bug::None), Seen::default());
    let slow = Duration::from_secs(60);
    live(&mut world, async |world, alive| {
        alive.node.create_table(table(SEGMENT_ROWS), "test").await.unwrap();
        produce(world, &mut seen, 50);
        all_seen(alive, &seen, READER_WAITS).await;
        world.catalog.set_wait(slow);
        produce(world, &mut seen, 40);
        all_seen(alive, &seen, Duration::from_secs(1)).await;
        assert_eq!(waiting_and_done(alive).await, (0, 0), "no end is on the record");
        assert!(consuming(alive), "{:?}", states(alive));
        check(alive, &seen).await.unwrap();
        // The end, then the commit.
        within(3 * slow, "they are sealed and committed", async || {
            waiting_and_done(alive).await == (0, PARTITIONS as usize)
        })
        .await;
        check(alive, &seen).await.unwrap();
        produce(world, &mut seen, 60);
        all_seen(alive, &seen, Duration::from_secs(1)).await;
        assert_eq!(waiting_and_done(alive).await, (0, PARTITIONS as usize), "the next end is on its way");
    });
    // Killed on the way: the successors were on no record.
    world.catalog.set_wait(Duration::ZERO);
    live(&mut world, async |_, alive| {
        all_seen(alive, &seen, READER_WAITS).await;
        within(UPLOAD_WAITS, "they are sealed again", async || {
            waiting_and_done(alive).await == (0, 2 * PARTITIONS as usize)
        })
        .await;
        check(alive, &seen).await.unwrap();
    });
}

/// Waits for something whose name is in the reason.
fn waits_for(alive: &Alive, partition: u32, what: &str) -> bool {
    matches!(&states(alive)[partition as usize], PartitionState::Retrying(why) if why.contains(what))
}

#[test]
fn a_segment_that_is_full_behind_an_end_that_is_not_recorded_says_what_it_waits_for() {
    let (mut world, mut seen) = (World::new(22, Bug::None), Seen::default());
    live(&mut world, async |world, alive| {
        alive.node.create_table(table(SEGMENT_ROWS), "test").await.unwrap();
        world.catalog.set_wait(Duration::from_secs(60));
        // The ends of the first are on their way, the second are full, and more comes.
        produce(world, &mut seen, 150);
        within(Duration::from_secs(2), "it is said", async || waits_for(alive, 0, "has not recorded the end")).await;
        produce(world, &mut seen, 10);
        within(Duration::from_secs(3), "it is said how far the stream is", async || {
            let status = alive.node.all_partitions().remove(0);
            status.lag_offsets() == Some(seen.model.len(0) - status.next.number())
        })
        .await;
        world.catalog.set_wait(Duration::ZERO);
        all_seen(alive, &seen, Duration::from_secs(240)).await;
        assert!(consuming(alive), "{:?}", states(alive));
        check(alive, &seen).await.unwrap();
    });
}

#[test]
fn without_memory_a_partition_says_so_and_how_far_behind_it_is() {
    let (mut world, mut seen) = (World::new(23, Bug::None), Seen::default());
    world.open_bytes = 64 << 10;
    let slow = Duration::from_secs(60);
    live(&mut world, async |world, alive| {
        alive.node.create_table(table(1 << 20), "test").await.unwrap();
        produce_to(world, &mut seen, 1, 20);
        all_seen(alive, &seen, READER_WAITS).await;
        // No rows are let go of until the catalog has their segment's end.
        world.catalog.set_wait(slow);
        while !waits_for(alive, 1, "MiB that they may") {
            assert!(seen.model.messages() < 100_000, "{:?}", states(alive));
            produce_to(world, &mut seen, 0, 50);
            sleep(Duration::from_millis(20)).await;
        }
        let begun = Instant::now();
        produce_to(world, &mut seen, 0, 50);
        let lag = |partition: usize| alive.node.all_partitions().remove(partition).lag_offsets();
        within(Duration::from_secs(3), "what comes meanwhile is behind", async || lag(0) >= Some(50)).await;
        assert_eq!(lag(1), Some(0), "nothing came");
        assert!(waits_for(alive, 1, "MiB that they may"), "it would have to wait");
        assert!(waits_for(alive, 0, ""), "for memory, or for the catalog to let go of some");
        assert!(begun.elapsed() < slow / 2);
        all_seen(alive, &seen, 3 * slow).await;
        // Another end may be on its way. One partition hears of no message for ever.
        within(2 * slow, "they are at the end, and say so", async || {
            let statuses = alive.node.all_partitions();
            consuming(alive) && statuses.iter().all(|status| (status.lag_offsets(), status.lag_ms) == (Some(0), 0))
        })
        .await;
        sleep(Duration::from_secs(30)).await;
        assert!(consuming(alive), "{:?}", states(alive));
        check(alive, &seen).await.unwrap();
    });
}

/// A segment of rejects alone has no row that a checkpoint would wait for.
#[test]
fn rejects_that_the_record_counts_outlive_a_loss_of_power() {
    for seed in 0..16 {
        let (mut world, mut seen) = (World::new(seed, Bug::None), Seen::default());
        live(&mut world, async |world, alive| {
            alive.node.create_table(table(SEGMENT_ROWS), "test").await.unwrap();
            for _ in 0..5 {
                append(world, &mut seen, 0, Produced::Broken);
            }
            all_seen(alive, &seen, READER_WAITS).await;
            alive.node.force_commit(&table_name(), None, "test").await.unwrap();
        });
        world.disk.crash(&mut Chance::seeded(seed));
        world.boot += 1;
        live(&mut world, async |_, alive| {
            all_seen(alive, &seen, READER_WAITS).await;
            check(alive, &seen).await.unwrap();
        });
    }
}

#[test]
fn an_index_that_fails_to_build_leaves_the_segment_sealed_without_it() {
    let (mut world, mut seen) = (World::new(5, Bug::None), Seen::default());
    live(&mut world, async |world, alive| {
        // A spec that no config gives: texts without a dictionary cannot have these indexes.
        let new = table(SEGMENT_ROWS);
        let mut spec = (*new.spec).clone();
        let impossible = FieldIndexes { no_dictionary: true, inverted: true, range: true };
        spec.sorted_column = None;
        spec.indexes.insert(ColumnName::parse("name").unwrap(), impossible);
        alive.node.create_table(NewTable { spec: Arc::new(spec), ..new }, "test").await.unwrap();
        produce(world, &mut seen, 100);
        all_seen(alive, &seen, READER_WAITS).await;
        within(UPLOAD_WAITS, "they are sealed all the same", async || {
            waiting_and_done(alive).await == (0, PARTITIONS as usize)
        })
        .await;
        for segment in alive.catalog.segments(&record(alive).await.unwrap()).await.unwrap() {
            if let SegmentState::Done { artifact, .. } = segment.state {
                let missing = artifact.missing_indexes.join("; ");
                assert!(
                    missing.contains("name: no inverted index") && missing.contains("name: no range index"),
                    "{missing}"
                );
            }
        }
        assert_eq!(alive.counted(Counter::SealRetries), 0, "it is not tried again and again");
        all_seen(alive, &seen, Duration::from_secs(1)).await;
        check(alive, &seen).await.unwrap();
    });
}
