//! One run: a script of production, faults and crashes drawn from the seed, with the checks after each step.

use crate::{
    mending::Mending,
    model::{Model, Produced},
    world::{Alive, PARTITIONS, TOPIC, World, record, table, table_name},
};
use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};
use weir_base::{Chance, Disk, metrics::Counter};
use weir_control::{SegmentState, chain};
use weir_segment::Segment;
use weir_types::{Column, NextOffset, StreamPartition, TopicName};

/// A fault of ours, put in on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    None,
    /// The deep store acknowledges and keeps nothing.
    UploadsAreLost,
    /// Appended files are never synced.
    LocalFilesAreNotSynced,
}

/// How often what happened, over all runs.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<&'static str, u64>);

/// The rows of the crash table and the faults; each has to happen.
const ALL: [&str; 21] = [
    "crash before transaction A, nothing open",
    "crash before transaction A, rows open",
    "crash after A, not built",
    "crash after A, built, not uploaded",
    "crash after A, uploaded, not committed",
    "crash after B",
    "power loss",
    "disk full",
    "catalog loses answers",
    "deep store down",
    "deep store loses acknowledgements",
    "stream down",
    "local segment lost",
    "partition read on after a restart",
    "replayed",
    "crash in a replay, before its transaction",
    "crash in a replay, after its transaction",
    "segment restored from its checkpoint",
    "checkpoint torn",
    "checkpoint discarded",
    "checkpoint ended by the disk",
];

/// Counted as well.
const BESIDES: [&str; 3] = ["seals", "restarts", "replay failed"];

impl Tally {
    pub(crate) fn hit(&mut self, what: &'static str) {
        assert!(ALL.contains(&what) || BESIDES.contains(&what), "{what} is listed");
        *self.0.entry(what).or_default() += 1;
    }

    fn hit_times(&mut self, what: &'static str, times: u64) {
        (0..times).for_each(|_| self.hit(what));
    }

    pub(crate) fn never(&self) -> Vec<&'static str> {
        ALL.into_iter().filter(|what| !self.0.contains_key(what)).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, count)| writeln!(f, "{count:>8}  {what}"))
    }
}

/// What has been seen so far and must not be seen to go back.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) model: Model,
    next_id: i64,
    highest: u64,
    /// Rows of replays.
    replayed: u64,
}

/// Runs a seed. An error tells what did not hold.
pub(crate) fn run(seed: u64, bug: Bug, tally: &mut Tally) -> Result<(), String> {
    let mut chance = Chance::seeded(seed);
    let mut world = World::new(seed, bug);
    let mut seen = Seen::default();
    let segment_rows = 20 + chance.below(60);
    // From every few rows to never, while a segment is open.
    world.block_rows = 1 + u32::try_from(chance.below(segment_rows)).unwrap();
    let lives = 2 + chance.below(4);
    for life in 0..lives {
        let last = life + 1 == lives;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let lived = runtime.block_on(live(&world, &mut chance, &mut seen, tally, segment_rows, life == 0, last));
        // All tasks die here, at whatever await they stand.
        drop(runtime);
        lived.map_err(|what| format!("life {life} of {lives}: {what}"))?;
        if !last {
            tally.hit("restarts");
            crash(&mut world, &mut chance, tally);
        }
    }
    Ok(())
}

/// What a crash does to the disk, and sometimes a lost local file.
fn crash(world: &mut World, chance: &mut Chance, tally: &mut Tally) {
    // A node has to start without its stream and its deep store too, but not on a full disk.
    if chance.hit(0.5) {
        heal(world);
    }
    world.disk.set_capacity(None);
    // Less than a life may have taken: wall clocks run backwards now and then.
    world.wall_ms += 60_000;
    if chance.hit(0.4) {
        tally.hit("power loss");
        world.disk.crash(chance);
        world.boot += 1;
    }
    if chance.hit(0.3) && lose_local_segment(world, chance) {
        tally.hit("local segment lost");
    }
    if chance.hit(0.2) {
        bend_checkpoint(world, chance);
    }
}

/// A byte of a checkpoint is not what was written: in its head, or anywhere.
fn bend_checkpoint(world: &World, chance: &mut Chance) {
    let files = table_files(world, "open", ".chunks");
    if files.is_empty() {
        return;
    }
    let path = &files[chance.below(files.len() as u64) as usize];
    let mut content = world.disk.read(path).unwrap();
    let among = if chance.hit(0.3) { content.len().min(40) } else { content.len() };
    if among > 0 {
        content[chance.below(among as u64) as usize] ^= 0x20;
        world.disk.write_whole(path, &content).unwrap();
    }
}

fn local_segments(world: &World) -> Vec<PathBuf> {
    table_files(world, "segments", ".weir")
}

/// Files of all tables in their folder of that name.
pub(crate) fn table_files(world: &World, folder: &str, ending: &str) -> Vec<PathBuf> {
    let tables = PathBuf::from("/data/tables");
    let mut found = vec![];
    for table in world.disk.list(&tables).unwrap_or_default() {
        let dir = tables.join(&table.name).join(folder);
        let files = world.disk.list(&dir).unwrap_or_default();
        found.extend(files.iter().filter(|file| file.name.ends_with(ending)).map(|file| dir.join(&file.name)));
    }
    found
}

fn lose_local_segment(world: &World, chance: &mut Chance) -> bool {
    let files = local_segments(world);
    if files.is_empty() {
        return false;
    }
    let path = &files[chance.below(files.len() as u64) as usize];
    world.disk.remove_file(path).is_ok() && world.disk.sync_dir(path.parent().unwrap()).is_ok()
}

/// One life of the node: to the end of the script, or to a crash in the middle of it.
async fn live(
    world: &World,
    chance: &mut Chance,
    seen: &mut Seen,
    tally: &mut Tally,
    segment_rows: u64,
    first: bool,
    last: bool,
) -> Result<(), String> {
    let alive = world.start().await?;
    if first {
        alive.node.create_table(table(segment_rows), "sim").await.map_err(|error| error.to_string())?;
    } else {
        tally.hit("partition read on after a restart");
    }
    let mut mending = Mending::new(segment_rows);
    let steps = 10 + chance.below(30);
    for _ in 0..steps {
        produce(world, chance, seen);
        fault(world, chance, tally);
        mending.step(&alive, chance, tally).await?;
        settle(chance).await;
        see(&alive, seen)?;
    }
    if !last {
        // Not at a step's end, but anywhere: a few more polls of whatever is under way.
        produce(world, chance, seen);
        mending.begin(&alive, chance).await;
        for _ in 0..chance.below(200) {
            tokio::task::yield_now().await;
        }
        note_crash(world, &alive, tally).await;
        mending.note_crash(&alive, tally).await;
        note_checkpoints(&alive, tally);
        world.disk.kill();
        return Ok(());
    }
    heal(world);
    mending.finish(&alive).await?;
    let finished = finish(world, &alive, chance, seen, tally, &mut mending).await;
    note_checkpoints(&alive, tally);
    finished
}

fn produce(world: &World, chance: &mut Chance, seen: &mut Seen) {
    let topic = TopicName::parse(TOPIC).unwrap();
    for _ in 0..chance.below(40) {
        let partition = chance.below(u64::from(PARTITIONS)) as u32;
        let produced = Produced::by_chance(chance, seen.next_id);
        seen.next_id += 1;
        world.streams.append(&topic, partition, None, produced.value().map(Into::into), vec![], world.wall_ms);
        seen.model.by_partition.entry(partition).or_default().push(produced);
    }
}

fn fault(world: &World, chance: &mut Chance, tally: &mut Tally) {
    let topic = TopicName::parse(TOPIC).unwrap();
    match chance.below(26) {
        0 => {
            tally.hit("disk full");
            world.disk.set_capacity(Some(world.disk.used_bytes() + chance.below(4096)));
        }
        1 | 2 => world.disk.set_capacity(None),
        3 => {
            tally.hit("deep store down");
            world.store.set_down(true);
        }
        4 | 5 => world.store.set_down(false),
        6 => {
            tally.hit("deep store loses acknowledgements");
            world.store.set_lost_acks(0.5);
        }
        7 => world.store.set_lost_acks(0.0),
        8 => {
            tally.hit("stream down");
            world.streams.set_down(&topic, true);
        }
        9 | 10 => world.streams.set_down(&topic, false),
        11 => {
            tally.hit("catalog loses answers");
            world.catalog.set_lost_answers(0.3);
        }
        12 => world.catalog.set_lost_answers(0.0),
        _ => {}
    }
}

fn heal(world: &World) {
    world.disk.set_capacity(None);
    world.catalog.set_lost_answers(0.0);
    world.store.set_down(false);
    world.store.set_lost_acks(0.0);
    world.streams.set_down(&TopicName::parse(TOPIC).unwrap(), false);
}

/// Lets the node work: some polls, sometimes simulated time.
async fn settle(chance: &mut Chance) {
    for _ in 0..chance.below(60) {
        tokio::task::yield_now().await;
    }
    if chance.hit(0.5) {
        tokio::time::sleep(Duration::from_millis(chance.below(3000))).await;
    }
}

/// An answer that says nothing of lacks is never lower than one before, nor higher than what was produced.
fn see(alive: &Alive, seen: &mut Seen) -> Result<u64, String> {
    let snapshot = alive.tables.get("events").ok_or("the table is not there")?.snapshot();
    let rows: u64 = snapshot.segments.iter().map(|view| u64::from(view.segment.meta().rows)).sum();
    let mut ids: Vec<i64> = snapshot.segments.iter().flat_map(|view| longs(&*view.segment, "id")).collect();
    let odd = seen.model.odd();
    // A row that is odd and not fixed yet may go with the settings, and is in quarantine then.
    let replayed = |view: &&weir_table::SegmentView| view.segment.meta().name.starts_with("replay__");
    let replayed = snapshot.segments.iter().filter(replayed).map(|view| u64::from(view.segment.meta().rows)).sum();
    let sure = ids.iter().filter(|id| !odd.contains(id)).count() as u64;
    ids.sort_unstable();
    if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        let holds = |view: &&weir_table::SegmentView| longs(&*view.segment, "id").contains(&twice[0]);
        let holders: Vec<String> =
            snapshot.segments.iter().filter(holds).map(|view| view.segment.meta().name.to_string()).collect();
        let kind = if odd.contains(&twice[0]) { "odd row" } else { "row" };
        return Err(format!("{kind} {} is visible twice: in {holders:?}", twice[0]));
    }
    let most = seen.model.rows().len() as u64;
    if rows > most {
        return Err(format!("{rows} rows are visible, {most} were produced"));
    }
    if snapshot.lacks.is_empty() {
        if sure < seen.highest || replayed < seen.replayed {
            return Err(format!(
                "{sure} rows are visible without a word, {} were before; of replays {replayed}, {} before",
                seen.highest, seen.replayed
            ));
        }
        (seen.highest, seen.replayed) = (sure, replayed);
    }
    Ok(rows)
}

/// Which row of the crash table a crash here belongs to: the furthest that any segment has got.
async fn note_crash(world: &World, alive: &Alive, tally: &mut Tally) {
    let Some(record) = record(alive).await else { return };
    let Ok(segments) = alive.catalog.segments(&record).await else { return };
    let uploaded = world.deep.list("").await.unwrap_or_default();
    let built = local_segments(world);
    for segment in &segments {
        let name = segment.name.to_string();
        match &segment.state {
            SegmentState::Consuming { start } => {
                let partition = alive
                    .tables
                    .get("events")
                    .and_then(|table| table.partitions().get(&segment.partition).map(|view| view.snapshot()));
                let open = partition.is_some_and(|snapshot| snapshot.next > *start);
                tally.hit(match open {
                    true => "crash before transaction A, rows open",
                    false => "crash before transaction A, nothing open",
                });
            }
            SegmentState::Committing { .. } => {
                let object = uploaded.iter().any(|object| object.key.contains(&name));
                let local = built.iter().any(|path| path.to_string_lossy().contains(&name));
                tally.hit(match (object, local) {
                    (true, _) => "crash after A, uploaded, not committed",
                    (false, true) => "crash after A, built, not uploaded",
                    (false, false) => "crash after A, not built",
                });
            }
            SegmentState::Done { .. } => {}
        }
    }
    if segments.iter().any(|segment| matches!(segment.state, SegmentState::Done { .. })) {
        tally.hit("crash after B");
    }
}

/// What became of checkpoints in this life.
fn note_checkpoints(alive: &Alive, tally: &mut Tally) {
    tally.hit_times("segment restored from its checkpoint", alive.counted(Counter::CheckpointsRestored));
    tally.hit_times("checkpoint torn", alive.counted(Counter::CheckpointsTorn));
    tally.hit_times("checkpoint discarded", alive.counted(Counter::CheckpointsDiscarded));
    tally.hit_times("checkpoint ended by the disk", alive.counted(Counter::CheckpointsStopped));
}

/// With everything healed, the node gets there, and all of it is right.
async fn finish(
    world: &World,
    alive: &Alive,
    chance: &mut Chance,
    seen: &mut Seen,
    tally: &mut Tally,
    mending: &mut Mending,
) -> Result<(), String> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(600);
    // At least three seals a run: the last ones by request.
    loop {
        let rows = see(alive, seen)?;
        let wanted = seen.model.rows();
        let record = record(alive).await.ok_or("the record is gone")?;
        let segments = alive.catalog.segments(&record).await.map_err(|error| error.to_string())?;
        let done = segments.iter().filter(|segment| matches!(segment.state, SegmentState::Done { .. })).count();
        let committing =
            segments.iter().filter(|segment| matches!(segment.state, SegmentState::Committing { .. })).count();
        let snapshot = alive.tables.get("events").ok_or("the table is not there")?.snapshot();
        if rows == wanted.len() as u64 && committing == 0 && snapshot.lacks.is_empty() && caught_up(alive, seen) {
            if done < 3 {
                produce(world, chance, seen);
                alive.node.force_commit(&table_name(), None, "sim").await.map_err(|error| error.to_string())?;
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            (0..done).for_each(|_| tally.hit("seals"));
            break;
        }
        if rows < wanted.len() as u64 && caught_up(alive, seen) {
            mending.finish(alive).await?;
        }
        if tokio::time::Instant::now() > deadline {
            let states: Vec<String> = alive
                .node
                .all_partitions()
                .iter()
                .map(|status| format!("{} {:?}", status.state, status.last_error))
                .collect();
            return Err(format!(
                "not right in time: {rows} of {} rows, {committing} committing, lacks {:?}, {states:?}",
                wanted.len(),
                snapshot.lacks
            ));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    mending.again(alive).await?;
    check(alive, seen).await
}

pub(crate) fn caught_up(alive: &Alive, seen: &Seen) -> bool {
    let partitions = alive.node.all_partitions();
    partitions.iter().all(|status| {
        let produced = seen.model.by_partition.get(&status.partition.partition).map_or(0, Vec::len);
        status.next == NextOffset::new(produced as u64)
    })
}

pub(crate) async fn check(alive: &Alive, seen: &Seen) -> Result<(), String> {
    let snapshot = alive.tables.get("events").ok_or("the table is not there")?.snapshot();
    let mut found: BTreeMap<i64, i64> = BTreeMap::new();
    for view in &snapshot.segments {
        let (ids, amounts) = (longs(&*view.segment, "id"), longs(&*view.segment, "amount"));
        for (id, amount) in ids.into_iter().zip(amounts) {
            if found.insert(id, amount).is_some() {
                return Err(format!("row {id} is there twice"));
            }
        }
    }
    let wanted = seen.model.rows();
    if found != wanted {
        let lost: Vec<_> = wanted.keys().filter(|id| !found.contains_key(id)).take(5).collect();
        return Err(format!("{} rows of {}; lost: {lost:?}", found.len(), wanted.len()));
    }
    let record = record(alive).await.ok_or("the record is gone")?;
    let segments = alive.catalog.segments(&record).await.map_err(|error| error.to_string())?;
    let moves = alive.catalog.moves(&record).await.map_err(|error| error.to_string())?;
    for partition in 0..PARTITIONS {
        let partition = StreamPartition { topic: TopicName::parse(TOPIC).unwrap(), partition };
        let of: Vec<_> = segments.iter().filter(|segment| segment.partition == partition).cloned().collect();
        let moves: Vec<_> = moves.iter().filter(|step| step.partition == partition).cloned().collect();
        chain(&of, &[], &moves).map_err(|error| format!("{partition}: {error}"))?;
    }
    let mut fetched = 0;
    for status in alive.node.all_partitions() {
        let span = status.next.since(status.start);
        if !status.accounting.explains(span) {
            return Err(format!("counts of {} do not add up: {:?} over {span}", status.partition, status.accounting));
        }
        fetched += status.accounting.fetched;
    }
    let quarantine = alive.node.quarantine(&table_name()).ok_or("no quarantine")?;
    let kept = quarantine.counts().kept;
    if fetched != seen.model.messages() as u64 || kept != seen.model.broken() as u64 {
        return Err(format!(
            "{fetched} of {} messages fetched, {kept} of {} broken ones in quarantine",
            seen.model.messages(),
            seen.model.broken()
        ));
    }
    Ok(())
}

pub(crate) fn longs(segment: &dyn Segment, column: &str) -> Vec<i64> {
    let Some(info) = segment.column(column) else { return vec![] };
    let mut values = Column::new(info.data_type.stored(), info.single_value);
    segment.read_values(info.at, 0..segment.meta().rows, &mut values);
    match values.data {
        weir_types::ColumnData::Long(values) => values,
        other => panic!("{column} is LONG, not {:?}", other.stored()),
    }
}
