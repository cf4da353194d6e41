//! A replay that dies at each of its steps: before its transaction nothing happened, after it all has.

use crate::{
    model::Produced,
    run::{Bug, Seen, caught_up, check},
    slow::Step,
    world::{Alive, PARTITIONS, TOPIC, World, table, table_as, table_name},
};
use std::time::Duration;
use weir_base::Chance;
use weir_ingest::{ConsumeFrom, ReplayReport, ResumeRequest, Selection};
use weir_types::{StartAt, TopicName};

const SEGMENT_ROWS: u64 = 20;
const MESSAGES: i64 = 100;

/// Rows, broken messages and such as are rows in a lenient table, in turn over the partitions.
fn produce(world: &World, seen: &mut Seen) {
    let topic = TopicName::parse(TOPIC).unwrap();
    for id in 0..MESSAGES {
        let produced = match id % 10 {
            3 => Produced::Broken,
            6 | 7 => Produced::Odd { id },
            _ => Produced::Row { id, amount: id % 5 },
        };
        let partition = (id / 2) as u32 % PARTITIONS;
        world.streams.append(&topic, partition, None, produced.value().map(Into::into), vec![], world.wall_ms);
        seen.model.by_partition.entry(partition).or_default().push(produced);
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A life of the node; it ends as a killed process does.
fn live(world: &World, life: impl AsyncFnOnce(&Alive)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let alive = world.start().await.unwrap();
        life(&alive).await;
        world.disk.kill();
    });
    drop(runtime);
}

fn rows(alive: &Alive) -> u64 {
    let snapshot = alive.tables.get("events").unwrap().snapshot();
    assert_eq!(snapshot.lacks, []);
    snapshot.segments.iter().map(|view| u64::from(view.segment.meta().rows)).sum()
}

fn kept(alive: &Alive) -> u64 {
    alive.node.quarantine(&table_name()).unwrap().counts().kept
}

async fn read(alive: &Alive, seen: &Seen) {
    let snapshot = || alive.tables.get("events").unwrap().snapshot();
    until("all is read", || caught_up(alive, seen) && snapshot().lacks.is_empty()).await;
}

async fn replay(alive: &Alive) -> ReplayReport {
    alive.node.replay(&table_name(), Selection::default(), "test").await.unwrap()
}

/// A strict table reads all, then becomes lenient: its odd messages wait in quarantine.
fn first_life(world: &World, seen: &mut Seen) {
    live(world, async |alive| {
        alive.node.create_table(table(SEGMENT_ROWS), "test").await.unwrap();
        produce(world, seen);
        read(alive, seen).await;
        alive.node.update_table(&table_name(), table_as(SEGMENT_ROWS, true), "test").await.unwrap();
        assert_eq!((rows(alive), kept(alive)), (70, 30));
        alive.node.quarantine(&table_name()).unwrap().sync().unwrap();
    });
}

/// What is left after a crash is replayed to the end, and never more than that.
fn last_life(world: &World, seen: &Seen, committed: bool, what: &str) {
    live(world, async |alive| {
        read(alive, seen).await;
        let (visible, left) = if committed { (90, 10) } else { (70, 30) };
        assert_eq!((rows(alive), kept(alive)), (visible, left), "{what}");
        let report = replay(alive).await;
        assert_eq!((report.replayed, report.failed), (90 - visible, 10), "{what}");
        assert_eq!((rows(alive), kept(alive)), (90, 10), "{what}");
        assert_eq!(replay(alive).await.replayed, 0, "{what}");
        check(alive, seen).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let statuses = alive.node.all_partitions();
        let counts = statuses.iter().map(|status| status.accounting);
        let (rejected, replayed) =
            counts.fold((0, 0), |sum, counts| (sum.0 + counts.rejected, sum.1 + counts.replayed));
        assert_eq!((rejected, replayed), (10, 20), "{what}");
    });
}

#[test]
fn a_replay_may_die_at_every_step() {
    for step in [Step::BeforeUpload, Step::AfterUpload, Step::BeforeCommit, Step::AfterCommit] {
        for power_loss in [false, true] {
            let (mut world, mut seen) = (World::new(7, Bug::None), Seen::default());
            first_life(&world, &mut seen);
            world.stop.set(Some(step));
            live(&world, async |alive| {
                read(alive, &seen).await;
                let node = alive.node.clone();
                tokio::spawn(async move { node.replay(&table_name(), Selection::default(), "test").await });
                until("the step", || world.stop.is_reached()).await;
                assert_eq!((rows(alive), kept(alive)), (70, 30), "nothing is shown before the commit is known");
            });
            world.stop.set(None);
            if power_loss {
                world.disk.crash(&mut Chance::seeded(3));
                world.boot += 1;
            }
            let what = format!("{step:?}, power loss: {power_loss}");
            last_life(&world, &seen, step == Step::AfterCommit, &what);
        }
    }
}

#[test]
fn a_quarantine_file_that_knows_nothing_of_a_replay_does_not_matter() {
    for seed in 0..8 {
        let (mut world, mut seen) = (World::new(seed, Bug::None), Seen::default());
        first_life(&world, &mut seen);
        live(&world, async |alive| {
            read(alive, &seen).await;
            assert_eq!(replay(alive).await.replayed, 20);
            assert_eq!((rows(alive), kept(alive)), (90, 10));
        });
        world.disk.crash(&mut Chance::seeded(seed));
        world.boot += 1;
        last_life(&world, &seen, true, &format!("seed {seed}"));
    }
}

#[test]
fn an_answer_that_is_lost_is_found_out() {
    let (world, mut seen) = (World::new(5, Bug::None), Seen::default());
    first_life(&world, &mut seen);
    live(&world, async |alive| {
        read(alive, &seen).await;
        // Each transaction happens and none is told so.
        world.catalog.set_lost_answers(1.0);
        let report = replay(alive).await;
        world.catalog.set_lost_answers(0.0);
        assert_eq!(report.replayed, 20);
        assert_eq!((rows(alive), kept(alive)), (90, 10));
        assert_eq!(alive.catalog.audit_log().await.unwrap().entries.len(), 3, "made, changed, replayed");
    });
    last_life(&world, &seen, true, "a lost answer");
}

#[test]
fn a_deep_store_that_is_down_refuses_a_replay_and_changes_nothing() {
    let (world, mut seen) = (World::new(6, Bug::None), Seen::default());
    first_life(&world, &mut seen);
    live(&world, async |alive| {
        read(alive, &seen).await;
        world.store.set_down(true);
        let refused = alive.node.replay(&table_name(), Selection::default(), "test").await.unwrap_err();
        assert!(refused.to_string().contains("nothing was changed"), "{refused}");
        world.store.set_down(false);
        assert_eq!((rows(alive), kept(alive)), (70, 30));
    });
    last_life(&world, &seen, false, "a deep store that is back");
}

/// Somebody moves the partitions back: what was read is read again, also what was rejected or replayed the first time.
#[test]
fn a_partition_that_is_read_again_on_request_rejects_anew() {
    let (mut world, mut seen) = (World::new(9, Bug::None), Seen::default());
    first_life(&world, &mut seen);
    live(&world, async |alive| {
        read(alive, &seen).await;
        assert_eq!(replay(alive).await.replayed, 20);
        let everywhere = Some(ConsumeFrom::At(StartAt::Earliest));
        let request = ResumeRequest { everywhere, allow_duplicates: true, ..ResumeRequest::default() };
        alive.node.resume(&table_name(), &request, "test").await.unwrap();
        until("all is read twice", || rows(alive) == 180 && caught_up(alive, &seen)).await;
        assert_eq!(kept(alive), 20, "the broken ones of both readings");
        counted(alive, 20, 20);
    });
    world.disk.crash(&mut Chance::seeded(1));
    world.boot += 1;
    live(&world, async |alive| {
        read(alive, &seen).await;
        assert_eq!((rows(alive), kept(alive)), (180, 20));
        counted(alive, 20, 20);
        assert_eq!(replay(alive).await.replayed, 0);
    });
}

fn counted(alive: &Alive, rejected: u64, replayed: u64) {
    let statuses = alive.node.all_partitions();
    for status in &statuses {
        assert!(status.accounting.balances(), "{status:?}");
    }
    let counts = statuses.iter().map(|status| status.accounting);
    let found = counts.fold((0, 0), |sum, counts| (sum.0 + counts.rejected, sum.1 + counts.replayed));
    assert_eq!(found, (rejected, replayed));
}
