//! What a node is done: by its disk, its deep store, its catalog, its stream, and by crashes; and what of it was met.

use crate::{
    answers::{Seen, behind},
    model::Produced,
    tally::Tally,
    world::{Alive, PARTITIONS, TOPIC, World, record},
};
use std::{path::PathBuf, time::Duration};
use weir_base::{Chance, Disk, metrics::Counter};
use weir_control::SegmentState;
use weir_types::{NextOffset, StreamPartition, TopicName};

/// The rows of the crash table and the faults; each has to happen.
pub(crate) const ALL: [&str; 44] = [
    "crash before transaction A, nothing open",
    "crash before transaction A, rows open",
    "crash after A, not built",
    "crash after A, built, not uploaded",
    "crash after A, uploaded, not committed",
    "crash after B",
    "segment brought to changed settings",
    "crash with settings changed, segment as before",
    "crash with settings changed, object put, not on the record",
    "crash in a replay, before its transaction",
    "crash in a replay, after its transaction",
    "crash in a change of settings",
    "crash in a pause",
    "crash in a resume",
    "crash in a forced seal",
    "crash while paused",
    "power loss",
    "disk full",
    "catalog loses answers",
    "catalog waits for its disk",
    "deep store down",
    "deep store fails now and then",
    "deep store loses acknowledgements",
    "stream down",
    "offsets expired",
    "offsets skipped, on the record",
    "offsets of a fixed range lost, on the record",
    "local segment lost",
    "local copy given up for the disk's floor",
    "partition read on after a restart",
    "rejected",
    "replayed",
    "segment restored from its checkpoint",
    "checkpoint torn",
    "checkpoint discarded",
    "checkpoint ended by the disk",
    "column added",
    "column with several values added",
    "row read before its column came",
    "indexes changed",
    "flush limit changed",
    "error handling changed",
    "paused",
    "resumed",
];

/// A disk that others keep busy.
const SLOW_DISK_MS: u64 = 800;

pub(crate) fn topic() -> TopicName {
    TopicName::parse(TOPIC).unwrap()
}

pub(crate) fn partition(partition: u32) -> StreamPartition {
    StreamPartition { topic: topic(), partition }
}

pub(crate) fn fault(world: &World, alive: &Alive, chance: &mut Chance, seen: &mut Seen, tally: &mut Tally) {
    match chance.below(30) {
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
            world.streams.set_down(&topic(), true);
        }
        9 | 10 => world.streams.set_down(&topic(), false),
        11 => {
            tally.hit("catalog loses answers");
            world.catalog.set_lost_answers(0.3);
        }
        12 => world.catalog.set_lost_answers(0.0),
        13 => {
            tally.hit("deep store fails now and then");
            world.store.set_error_rate(0.3);
        }
        14 => world.store.set_error_rate(0.0),
        15 => expire(world, Some(alive), chance, seen, tally),
        16 => {
            tally.hit("catalog waits for its disk");
            world.catalog.set_wait(Duration::from_millis(chance.below(SLOW_DISK_MS)));
        }
        17 => world.catalog.set_wait(Duration::ZERO),
        _ => {}
    }
}

pub(crate) fn heal(world: &World) {
    world.disk.set_capacity(None);
    world.catalog.set_lost_answers(0.0);
    world.catalog.set_wait(Duration::ZERO);
    world.store.set_down(false);
    world.store.set_lost_acks(0.0);
    world.store.set_error_rate(0.0);
    world.streams.set_down(&topic(), false);
}

/// Retention of the stream: a partition's oldest messages go; mostly such as were read, now and then others.
fn expire(world: &World, alive: Option<&Alive>, chance: &mut Chance, seen: &mut Seen, tally: &mut Tally) {
    let number = chance.below(u64::from(PARTITIONS)) as u32;
    let (low, high) = (seen.low(number), seen.model.len(number));
    let statuses = alive.map(|alive| alive.node.all_partitions()).unwrap_or_default();
    let read = statuses.iter().find(|status| status.partition.partition == number).map(|status| status.next.number());
    let most = if chance.hit(0.7) { read.unwrap_or(high).min(high) } else { high };
    let to = low + chance.below(most.saturating_sub(low) + 1);
    if to > low {
        tally.hit("offsets expired");
        world.streams.truncate_before(&topic(), number, NextOffset::new(to));
        seen.lows.insert(number, to);
    }
}

/// What a crash does to the disk, and sometimes a lost local file.
pub(crate) fn crash(world: &mut World, chance: &mut Chance, seen: &mut Seen, tally: &mut Tally) {
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
    if chance.hit(0.2) {
        expire(world, None, chance, seen, tally);
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

/// Some messages, over the partitions.
pub(crate) fn produce(world: &World, chance: &mut Chance, seen: &mut Seen) {
    for _ in 0..chance.below(40) {
        let partition = chance.below(u64::from(PARTITIONS)) as u32;
        let produced = Produced::by_chance(chance, seen.next_id);
        seen.next_id += 1;
        world.streams.append(&topic(), partition, None, produced.value().map(Into::into), vec![], world.wall_ms);
        seen.model.by_partition.entry(partition).or_default().push(produced);
    }
}

/// Which row of the crash table a crash here belongs to, for every segment.
pub(crate) async fn note_crash(world: &World, alive: &Alive, tally: &mut Tally) {
    let Some(record) = record(alive).await else { return };
    let Ok(segments) = alive.catalog.segments(&record).await else { return };
    if record.paused.is_some() || !record.part_pauses.is_empty() {
        tally.hit("crash while paused");
    }
    let uploaded = world.deep.list("").await.unwrap_or_default();
    let doomed = alive.catalog.doomed(&record).await.unwrap_or_default();
    for (segment, artifact) in behind(&record, &segments) {
        let name = segment.name.to_string();
        let is_named = |key: &str| *key == *artifact.key || doomed.iter().any(|doomed| *doomed.key == *key);
        let is_another = |key: &str| key.contains(&name) && !is_named(key);
        tally.hit(match uploaded.iter().any(|object| is_another(&object.key)) {
            true => "crash with settings changed, object put, not on the record",
            false => "crash with settings changed, segment as before",
        });
    }
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

/// What became of checkpoints and local copies in this life.
pub(crate) fn note_checkpoints(alive: &Alive, tally: &mut Tally) {
    tally.hit_times("segment restored from its checkpoint", alive.counted(Counter::CheckpointsRestored));
    tally.hit_times("checkpoint torn", alive.counted(Counter::CheckpointsTorn));
    tally.hit_times("checkpoint discarded", alive.counted(Counter::CheckpointsDiscarded));
    tally.hit_times("local copy given up for the disk's floor", alive.counted(Counter::CopiesEvicted));
    tally.hit_times("segment brought to changed settings", alive.counted(Counter::SegmentsReindexed));
    tally.hit_times("checkpoint ended by the disk", alive.counted(Counter::CheckpointsStopped));
}
