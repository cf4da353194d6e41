//! Offsets under a seed: pauses, moves forward and back, topics made anew, and crashes in between. What must hold: every
//! segment has exactly the rows of its range in one incarnation of the log, but for what is on the record as lost; ranges
//! follow one another or recorded moves; a move that was answered is on the record; counts add up.

use crate::{
    answers::{open, snapshot},
    run::{Bug, longs, table_files},
    seeds::survive,
    tally::Tally,
    world::{Alive, PARTITIONS, TOPIC, World, record, table, table_name},
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use weir_base::{Chance, Disk};
use weir_control::{Move, PauseInfo, SegmentRecord, SegmentState, chain};
use weir_ingest::{ConsumeFrom, PartitionState, PartitionStatus, ResumeRequest, Scope};
use weir_table::TableSnapshot;
use weir_types::{NextOffset, OffsetRange, SegmentName, SkipReason, StartAt, StreamPartition, TopicName};

/// Ids of one incarnation of a partition's log.
const INCARNATION: i64 = 1_000_000;

fn topic() -> TopicName {
    TopicName::parse(TOPIC).unwrap()
}

fn partition(number: u32) -> StreamPartition {
    StreamPartition { topic: topic(), partition: number }
}

/// What the script knows.
struct Script {
    chance: Chance,
    incarnation: i64,
    lengths: BTreeMap<u32, u64>,
    /// Moves that were answered.
    answered: Vec<(u32, u64, u64)>,
    made_anew: u64,
    paused: u64,
}

impl Script {
    fn produce(&mut self, world: &World) {
        for number in 0..PARTITIONS {
            let length = self.lengths.entry(number).or_default();
            for _ in 0..self.chance.below(30) {
                let id = self.incarnation * INCARNATION + *length as i64;
                let value = Bytes::from(format!(r#"{{"id": {id}, "name": "n", "amount": {number}}}"#));
                world.streams.append(&topic(), number, None, Some(value), vec![], world.wall_ms);
                *length += 1;
            }
        }
    }

    /// A reader that is at work sees an empty log before the new one has grown.
    async fn recreate(&mut self, world: &World) {
        world.streams.recreate(&topic());
        self.incarnation += 1;
        self.made_anew += 1;
        self.lengths.clear();
        tokio::time::sleep(Duration::from_secs(6)).await;
    }

    fn scope(&mut self) -> Scope {
        let number = self.chance.below(u64::from(PARTITIONS) + 1) as u32;
        let partition = (number < PARTITIONS).then_some(number);
        Scope { topic: partition.map(|_| topic()), partition }
    }

    async fn resume(&mut self, alive: &Alive) {
        let scope = self.scope();
        let at = |offset| ConsumeFrom::At(StartAt::Offset(NextOffset::new(offset)));
        let everywhere = match self.chance.below(5) {
            0 => None,
            1 => Some(ConsumeFrom::At(StartAt::Earliest)),
            2 => Some(ConsumeFrom::At(StartAt::Latest)),
            3 => Some(ConsumeFrom::Ahead(self.chance.below(5))),
            _ => Some(at(self.chance.below(self.lengths.values().min().copied().unwrap_or(0) + 1))),
        };
        let allow_duplicates = self.chance.hit(0.7);
        let request = ResumeRequest { scope, everywhere, allow_duplicates, ..ResumeRequest::default() };
        // A request that is refused, or that a fault meets, may have moved some.
        let Ok(plan) = alive.node.resume(&table_name(), &request, "sim").await else { return };
        let moved = plan.iter().filter(|planned| planned.from != planned.to && planned.held.is_some());
        self.answered
            .extend(moved.map(|planned| (planned.partition.partition, planned.from.number(), planned.to.number())));
    }

    async fn step(&mut self, world: &World, alive: &Alive) {
        match self.chance.below(12) {
            0..=4 => self.produce(world),
            5 => {
                let (scope, reason) = (self.scope(), "SIM".to_owned());
                let pause = PauseInfo { reason, comment: String::new(), at_ms: 1 };
                self.paused += u64::from(alive.node.pause(&table_name(), &scope, pause, "sim").await.is_ok());
            }
            6..=8 => self.resume(alive).await,
            9 => drop(alive.node.force_commit(&table_name(), None, "sim").await),
            10 if self.chance.hit(0.2) => self.recreate(world).await,
            _ => tokio::time::sleep(Duration::from_millis(self.chance.below(800))).await,
        }
    }

    /// Everything goes on until all of it is read.
    async fn settle(&mut self, alive: &Alive) -> Result<(), String> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(300);
        loop {
            let statuses = alive.node.all_partitions();
            let made_anew = statuses.iter().any(|status| matches!(status.state, PartitionState::Recreated(_)));
            let everywhere = made_anew.then_some(ConsumeFrom::At(StartAt::Earliest));
            let request = ResumeRequest { everywhere, allow_duplicates: true, ..ResumeRequest::default() };
            let stopped = statuses.iter().any(|status| matches!(status.state, PartitionState::Paused(_)));
            if made_anew || stopped {
                drop(alive.node.resume(&table_name(), &request, "sim").await);
            }
            let there = statuses.iter().all(|status| {
                status.next.number() == self.lengths.get(&status.partition.partition).copied().unwrap_or(0)
                    && matches!(status.state, PartitionState::Consuming)
            });
            let snapshot = alive.tables.get("events").ok_or("the table is not there")?.snapshot();
            let record = record(alive).await.ok_or("the record is gone")?;
            let segments = alive.catalog.segments(&record).await.map_err(|error| error.to_string())?;
            let fixed = !segments.iter().any(|segment| matches!(segment.state, SegmentState::Committing { .. }));
            if there && fixed && snapshot.lacks.is_empty() {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                let states: Vec<String> = statuses.iter().map(|status| format!("{status:?}")).collect();
                return Err(format!("not in time: lacks {:?}, {states:?}, {segments:?}", snapshot.lacks));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn check(&self, alive: &Alive) -> Result<(), String> {
        let record = record(alive).await.ok_or("the record is gone")?;
        let segments = alive.catalog.segments(&record).await.map_err(|error| error.to_string())?;
        let moves = alive.catalog.moves(&record).await.map_err(|error| error.to_string())?;
        let losses = alive.catalog.losses(&record).await.map_err(|error| error.to_string())?;
        for (number, from, to) in &self.answered {
            let made = |step: &Move| {
                step.partition.partition == *number && (step.from.number(), step.to.number()) == (*from, *to)
            };
            if !moves.iter().any(made) {
                return Err(format!("the move of {number} from {from} to {to} was answered and is not on the record"));
            }
        }
        let snapshot = snapshot(alive).await?;
        for number in 0..PARTITIONS {
            let of = partition(number);
            let records: Vec<SegmentRecord> =
                segments.iter().filter(|segment| segment.partition == of).cloned().collect();
            let steps: Vec<Move> = moves.iter().filter(|step| step.partition == of).cloned().collect();
            chain(&records, &[], &steps).map_err(|error| format!("{of}: {error}"))?;
            let lost = losses.iter().filter(|(partition, _)| *partition == of).map(|(_, loss)| loss.range).collect();
            self.check_rows((alive, &snapshot), &of, &records, &steps, lost)?;
        }
        for status in alive.node.all_partitions() {
            let counts = &status.accounting;
            let way = status.next.number() + status.rewound - status.start.number();
            if !counts.balances() || way != counts.fetched + counts.gaps + counts.skipped {
                return Err(format!("counts do not add up over {way}: {status:?}"));
            }
        }
        Ok(())
    }

    /// Each segment has the rows of its range in one incarnation, which another one follows only behind a recorded move.
    fn check_rows(
        &self,
        (alive, snapshot): (&Alive, &TableSnapshot),
        of: &StreamPartition,
        records: &[SegmentRecord],
        steps: &[Move],
        lost: Vec<OffsetRange>,
    ) -> Result<(), String> {
        let status = alive.node.all_partitions().into_iter().find(|status| status.partition == *of);
        let next = status.ok_or("the partition is gone")?.next;
        let mut before: Option<(i64, u32)> = None;
        for record in records {
            let name = record.name.to_string();
            let mut found: Vec<i64> = vec![];
            for view in &snapshot.segments {
                let shown = &*view.segment.meta().name;
                // While an end is on its way to the record, its successor has rows already.
                if *shown == *name || (record.state.range().is_none() && follows(record, shown)) {
                    found.extend(longs(&*open(view), "id"));
                }
            }
            found.sort_unstable();
            let open = OffsetRange::try_new(record.state.start(), next);
            let range = record.state.range().map_or(open, Ok).map_err(|error| error.to_string())?;
            let Some(incarnation) = found.first().map(|id| id / INCARNATION) else { continue };
            let offsets = range.start().number()..range.end().number();
            let all: BTreeSet<i64> = offsets.clone().map(|offset| incarnation * INCARNATION + offset as i64).collect();
            let excused =
                |id: &i64| lost.iter().any(|range| range.contains(NextOffset::new((*id % INCARNATION) as u64)));
            let twice = found.windows(2).any(|pair| pair[0] == pair[1]);
            let missing: Vec<&i64> = all.iter().filter(|id| !found.contains(id) && !excused(id)).take(5).collect();
            if twice || !missing.is_empty() || found.iter().any(|id| !all.contains(id)) {
                return Err(format!("{name} over {range} has {found:?}, and not {missing:?}"));
            }
            let anew = |since: u32| {
                steps.iter().any(|step| {
                    step.reason == SkipReason::Recreated && (since + 1..=record.name.sequence).contains(&step.before)
                })
            };
            if before.is_some_and(|(last, since)| incarnation < last || (incarnation > last && !anew(since))) {
                return Err(format!("{name} is of incarnation {incarnation} after {before:?} without a recorded move"));
            }
            before = Some((incarnation, record.name.sequence));
        }
        Ok(())
    }
}

/// What has to happen.
const ALL: [&str; 8] = [
    "topic made anew",
    "move answered",
    "moved back, on the record",
    "offsets skipped, on the record",
    "offsets lost in front of a topic made anew, on the record",
    "paused",
    "crash at any await",
    "power loss",
];

fn run(seed: u64, tally: &mut Tally) -> Result<(), String> {
    let mut world = World::new(seed, Bug::None);
    world.streams.tell_ids();
    let (chance, answered) = (Chance::seeded(seed ^ 0x0FF5), vec![]);
    let mut script = Script { chance, incarnation: 0, lengths: BTreeMap::new(), answered, made_anew: 0, paused: 0 };
    let lives = 2 + script.chance.below(4);
    for life in 0..lives {
        let last = life + 1 == lives;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        // What is not uploaded has to be had again, from a log that may be another one by then.
        world.store.set_down(!last && script.chance.hit(0.4));
        let result: Result<(), String> = runtime.block_on(async {
            let alive = world.start().await?;
            if life == 0 {
                alive.node.create_table(table(40), "sim").await.map_err(|error| error.to_string())?;
            }
            let steps = async |script: &mut Script| {
                for _ in 0..script.chance.below(40) {
                    script.step(&world, &alive).await;
                }
            };
            if last {
                steps(&mut script).await;
                script.settle(&alive).await?;
                script.check(&alive).await?;
                let record = record(&alive).await.ok_or("the record is gone")?;
                let moves = alive.catalog.moves(&record).await.map_err(|error| error.to_string())?;
                let losses = alive.catalog.losses(&record).await.map_err(|error| error.to_string())?;
                let moved = moves.iter().filter(|step| step.from != step.to);
                let (back, ahead): (Vec<&Move>, Vec<&Move>) = moved.partition(|step| step.to < step.from);
                tally.hit_times("moved back, on the record", back.len() as u64);
                tally.hit_times("offsets skipped, on the record", ahead.len() as u64);
                tally.hit_times("offsets lost in front of a topic made anew, on the record", losses.len() as u64);
            } else {
                // The end comes at any await.
                let end = Duration::from_millis(1 + script.chance.below(8000));
                drop(tokio::time::timeout(end, steps(&mut script)).await);
                world.wall_ms += 10_000;
            }
            if script.chance.hit(0.5) {
                world.disk.kill();
            } else {
                tally.hit("power loss");
                world.disk.crash(&mut script.chance);
                world.boot += 1;
            }
            Ok(())
        });
        drop(runtime);
        result?;
        tally.hit_times("crash at any await", u64::from(!last));
    }
    tally.hit_times("move answered", script.answered.len() as u64);
    tally.hit_times("topic made anew", script.made_anew);
    tally.hit_times("paused", script.paused);
    Ok(())
}

/// Whether a segment of that name is the next of the same partition.
fn follows(record: &SegmentRecord, name: &str) -> bool {
    let of = &record.name;
    SegmentName::parse(name)
        .is_ok_and(|next| next.partition_group == of.partition_group && next.sequence == of.sequence + 1)
}

#[test]
fn offsets_are_moved_on_the_record_whatever_happens() {
    survive("offsets_are_moved_on_the_record_whatever_happens", 200, &ALL, run);
}

/// A life of the node; it ends as a killed process does.
fn live(world: &World, life: impl AsyncFnOnce(&Alive)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let alive = world.start().await.unwrap();
        life(&alive).await;
        world.disk.kill();
    });
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_range_that_is_to_be_read_again_is_not_read_from_a_topic_made_anew() {
    let world = World::new(5, Bug::None);
    world.streams.tell_ids();
    let produce = |incarnation: i64, count: i64| {
        for offset in 0..count {
            let value = Bytes::from(format!(r#"{{"id": {}}}"#, incarnation * INCARNATION + offset));
            world.streams.append(&topic(), 0, None, Some(value), vec![], world.wall_ms);
        }
    };
    let ids = async |alive: &Alive| {
        let snapshot = snapshot(alive).await.unwrap();
        snapshot.segments.iter().flat_map(|view| longs(&*open(view), "id")).collect::<BTreeSet<i64>>()
    };
    live(&world, async |alive| {
        alive.node.create_table(table(100_000), "sim").await.unwrap();
        produce(0, 30);
        until("all is read", async || ids(alive).await.len() == 30).await;
        world.store.set_down(true);
        assert_eq!(alive.node.force_commit(&table_name(), None, "sim").await.unwrap().len(), 1);
    });
    // Neither its rows nor its file are left, nor the log that it was read from.
    for (folder, ending) in [("segments", ""), ("open", "")] {
        for file in table_files(&world, folder, ending) {
            world.disk.remove_file(&file).unwrap();
        }
    }
    world.store.set_down(false);
    world.streams.recreate(&topic());
    produce(1, 50);
    live(&world, async |alive| {
        let losses = async || alive.catalog.losses(&record(alive).await.unwrap()).await.unwrap();
        until("the loss is on the record", async || !losses().await.is_empty()).await;
        let loss = losses().await.remove(0);
        assert_eq!((loss.0, loss.1.reason), (partition(0), SkipReason::Recreated));
        assert_eq!((loss.1.range.start().number(), loss.1.range.end().number()), (0, 30));
        until("the topic is known to be another", async || {
            alive.node.all_partitions().iter().all(|status| matches!(status.state, PartitionState::Recreated(_)))
        })
        .await;
        assert_eq!(ids(alive).await, BTreeSet::new(), "the new topic's rows are not taken for the old one's");
        let everywhere = Some(ConsumeFrom::At(StartAt::Earliest));
        let request = ResumeRequest { everywhere, ..ResumeRequest::default() };
        alive.node.resume(&table_name(), &request, "sim").await.unwrap();
        until("the new topic is read", async || ids(alive).await == (INCARNATION..INCARNATION + 50).collect()).await;
    });
}

#[test]
fn rows_that_were_open_in_front_of_a_topic_made_anew_are_lost_on_the_record() {
    let world = World::new(6, Bug::None);
    world.streams.tell_ids();
    let produce = |incarnation: i64, count: i64| {
        for offset in 0..count {
            let value = Bytes::from(format!(r#"{{"id": {}}}"#, incarnation * INCARNATION + offset));
            world.streams.append(&topic(), 0, None, Some(value), vec![], world.wall_ms);
        }
    };
    let rows = async |alive: &Alive| {
        let snapshot = snapshot(alive).await.unwrap();
        snapshot.segments.iter().map(|view| longs(&*open(view), "id").len()).sum::<usize>()
    };
    live(&world, async |alive| {
        alive.node.create_table(table(100_000), "sim").await.unwrap();
        produce(0, 30);
        until("all is read", async || rows(alive).await == 30).await;
    });
    let mut lost = vec![];
    for (incarnation, visible) in [(1, 30), (2, 50)] {
        // The rows were never sealed, and neither a checkpoint nor the log has them.
        for file in table_files(&world, "open", "") {
            world.disk.remove_file(&file).unwrap();
        }
        world.streams.recreate(&topic());
        produce(incarnation, 50);
        lost.push((0, visible, SkipReason::Recreated));
        live(&world, async |alive| {
            let made_anew = |status: &PartitionStatus| matches!(status.state, PartitionState::Recreated(_));
            until("the topic is known to be another", async || alive.node.all_partitions().iter().all(made_anew)).await;
            assert!(!alive.tables.get("events").unwrap().snapshot().lacks.is_empty(), "answers say what they lack");
            let everywhere = Some(ConsumeFrom::At(StartAt::Earliest));
            let request = ResumeRequest { everywhere, ..ResumeRequest::default() };
            alive.node.resume(&table_name(), &request, "sim").await.unwrap();
            until("the new topic is read", async || rows(alive).await == 50).await;
            let found = alive.catalog.losses(&record(alive).await.unwrap()).await.unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|(_, loss)| (loss.range.start().number(), loss.range.end().number(), loss.reason))
                .collect();
            assert_eq!(found, lost);
        });
    }
}

/// What was visible of a log that is gone is owed by nobody once the table was told where to go on in the next one, which may
/// be shorter.
#[test]
fn a_shorter_topic_owes_nothing_of_the_one_before() {
    let world = World::new(8, Bug::None);
    world.streams.tell_ids();
    let produce = |incarnation: i64, count: i64| {
        for offset in 0..count {
            let value = Bytes::from(format!(r#"{{"id": {}}}"#, incarnation * INCARNATION + offset));
            world.streams.append(&topic(), 0, None, Some(value), vec![], world.wall_ms);
        }
    };
    let whole = async |alive: &Alive, expected: usize| {
        let snapshot = snapshot(alive).await.unwrap();
        let rows = snapshot.segments.iter().map(|view| longs(&*open(view), "id").len()).sum::<usize>();
        snapshot.lacks.is_empty() && rows == expected
    };
    live(&world, async |alive| {
        alive.node.create_table(table(100_000), "sim").await.unwrap();
        produce(0, 50);
        until("all is read", async || whole(alive, 50).await).await;
        alive.node.force_commit(&table_name(), None, "sim").await.unwrap();
        world.streams.recreate(&topic());
        let made_anew = |status: &PartitionStatus| matches!(status.state, PartitionState::Recreated(_));
        until("the topic is known to be another", async || alive.node.all_partitions().iter().all(made_anew)).await;
        produce(1, 20);
        let everywhere = Some(ConsumeFrom::At(StartAt::Earliest));
        let request = ResumeRequest { everywhere, ..ResumeRequest::default() };
        alive.node.resume(&table_name(), &request, "sim").await.unwrap();
        until("the new topic is read", async || whole(alive, 70).await).await;
    });
    // The node ends, and is started again.
    live(&world, async |alive| until("nothing is owed", async || whole(alive, 70).await).await);
}
