//! A crash with rows open, step by step: what the checkpoint gives back is there before the stream is, and is right.

use crate::{
    model::Produced,
    run::{Bug, Seen, caught_up, check, table_files},
    world::{Alive, TOPIC, World, table, table_name},
};
use std::{path::Path, sync::Arc, time::Duration};
use weir_base::{Disk, metrics::Counter};
use weir_control::{NewTable, RedbCatalog, Store};
use weir_table::TableSnapshot;
use weir_types::{NextOffset, TopicName};

const BLOCK_ROWS: u32 = 64;

fn topic() -> TopicName {
    TopicName::parse(TOPIC).unwrap()
}

/// Rows with tombstones and broken messages among them, all in partition 0.
fn produce(world: &World, seen: &mut Seen, count: usize) {
    let from = seen.model.messages() as i64;
    for id in from..from + count as i64 {
        let produced = match id % 29 {
            3 => Produced::Tombstone,
            11 => Produced::Broken,
            _ => Produced::Row { id, amount: id % 5 },
        };
        world.streams.append(&topic(), 0, None, produced.value().map(Into::into), vec![], world.wall_ms);
        seen.model.by_partition.entry(0).or_default().push(produced);
    }
}

/// A life of the node; it ends as a killed process does.
fn live<T>(world: &World, life: impl AsyncFnOnce(&Alive) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let result = runtime.block_on(async {
        let alive = world.start().await.unwrap();
        let result = life(&alive).await;
        world.disk.kill();
        result
    });
    drop(runtime);
    result
}

fn snapshot(alive: &Alive) -> TableSnapshot {
    alive.tables.get("events").unwrap().snapshot()
}

fn rows(alive: &Alive) -> u64 {
    snapshot(alive).segments.iter().map(|view| u64::from(view.segment.meta().rows)).sum()
}

fn next(alive: &Alive) -> NextOffset {
    alive.node.all_partitions()[0].next
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn all_there(alive: &Alive, seen: &Seen) {
    until("all is read, and said to be", || caught_up(alive, seen) && snapshot(alive).lacks.is_empty()).await;
    assert_eq!(rows(alive), seen.model.rows().len() as u64);
    check(alive, seen).await.unwrap();
}

/// A table with 500 messages read in batches of fifty, none of them sealed.
fn first_life(world: &World, seen: &mut Seen) {
    live(world, async |alive| {
        alive.node.create_table(table(100_000), "test").await.unwrap();
        for _ in 0..10 {
            produce(world, seen, 50);
            until("a batch is read", || caught_up(alive, seen)).await;
        }
        all_there(alive, seen).await;
    });
}

fn world() -> World {
    World { block_rows: BLOCK_ROWS, ..World::new(11, Bug::None) }
}

#[test]
fn rows_are_there_before_the_stream_is_and_are_not_read_again() {
    let (world, mut seen) = (world(), Seen::default());
    first_life(&world, &mut seen);
    world.streams.set_down(&topic(), true);
    let read_on_from = live(&world, async |alive| {
        // Nothing has been waited for: this is what the first query sees.
        let (rows, next) = (rows(alive), next(alive));
        assert_eq!(alive.counted(Counter::CheckpointsRestored), 1);
        assert!(next > NextOffset::new(400) && next <= NextOffset::new(500), "{next}");
        let good = seen.model.by_partition[&0][..next.number() as usize].iter();
        assert_eq!(rows, good.filter(|produced| matches!(produced, Produced::Row { .. })).count() as u64);
        assert!(next == NextOffset::new(500) || !snapshot(alive).lacks.is_empty(), "what is missing is said");
        let status = &alive.node.all_partitions()[0];
        assert!(status.accounting.explains(next.number()) && status.accounting.rows == rows, "{:?}", status.accounting);
        assert_eq!(status.open_rows, rows);
        next
    });
    // What was restored is not needed any more: a reader that asked for it would find a gap, and say so in the counts.
    world.streams.truncate_before(&topic(), 0, read_on_from);
    world.streams.set_down(&topic(), false);
    live(&world, async |alive| {
        all_there(alive, &seen).await;
        produce(&world, &mut seen, 300);
        all_there(alive, &seen).await;
    });
    // The file went on where it was.
    world.streams.set_down(&topic(), true);
    live(&world, async |alive| {
        assert!(next(alive) > NextOffset::new(700), "{}", next(alive));
        world.streams.set_down(&topic(), false);
        all_there(alive, &seen).await;
        assert_eq!(alive.node.force_commit(&table_name(), None, "test").await.unwrap().len(), 1);
        until("the checkpoint is removed", || table_files(&world, "open", ".chunks").is_empty()).await;
        all_there(alive, &seen).await;
    });
}

#[test]
fn a_bent_file_gives_what_is_whole_or_nothing() {
    for (part, restored) in [(0.0, 0), (0.01, 0), (0.2, 0), (0.7, 1), (0.99, 1)] {
        let (world, mut seen) = (world(), Seen::default());
        first_life(&world, &mut seen);
        let path = table_files(&world, "open", ".chunks").remove(0);
        let mut content = world.disk.read(&path).unwrap();
        let at = (content.len() as f64 * part) as usize;
        content[at] ^= 1;
        world.disk.write_whole(&path, &content).unwrap();
        live(&world, async |alive| {
            assert_eq!(alive.counted(Counter::CheckpointsRestored), restored, "byte {at} of {}", content.len());
            assert_eq!(alive.counted(Counter::CheckpointsTorn), restored);
            assert_eq!(alive.counted(Counter::CheckpointsDiscarded), 1 - restored);
            all_there(alive, &seen).await;
        });
    }
}

#[test]
fn a_file_of_another_schema_is_discarded() {
    let (world, mut seen) = (world(), Seen::default());
    first_life(&world, &mut seen);
    // The settings change while no node is at work, as far as its pipelines know.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let catalog = RedbCatalog::open_inline(world.disk.clone(), Path::new("/data/catalog.redb")).unwrap();
        let store = Store::new(Arc::new(catalog));
        let before = store.table(&table_name()).await.unwrap().unwrap();
        let mut json = before.schema_json.clone();
        let columns = json["dimensionFieldSpecs"].as_array_mut().unwrap();
        columns.push(serde_json::json!({"name": "later", "dataType": "STRING"}));
        let schema = weir_control::spec::parse_schema(&json).unwrap();
        let new = NewTable { schema: Arc::new(schema.schema), schema_json: schema.json, ..table(100_000) };
        assert!(store.replace_table(&before, new, &[]).await.unwrap().schema.version > before.schema.version);
    });
    world.disk.kill();
    live(&world, async |alive| {
        assert_eq!((alive.counted(Counter::CheckpointsRestored), alive.counted(Counter::CheckpointsDiscarded)), (0, 1));
        all_there(alive, &seen).await;
        assert!(snapshot(alive).segments.iter().all(|view| view.segment.at_hand().unwrap().column("later").is_some()));
    });
}

#[test]
fn a_full_disk_ends_the_checkpoint_and_consumption_goes_on() {
    let (world, mut seen) = (world(), Seen::default());
    first_life(&world, &mut seen);
    live(&world, async |alive| {
        all_there(alive, &seen).await;
        world.disk.set_capacity(Some(world.disk.used_bytes() + 256));
        // Messages that become rows need no disk but the checkpoint's.
        let from = seen.model.messages() as i64;
        for id in from..from + 200 {
            let produced = Produced::Row { id, amount: 1 };
            world.streams.append(&topic(), 0, None, produced.value().map(Into::into), vec![], world.wall_ms);
            seen.model.by_partition.entry(0).or_default().push(produced);
        }
        all_there(alive, &seen).await;
        assert_eq!(alive.counted(Counter::CheckpointsStopped), 1);
        assert!(table_files(&world, "open", ".chunks").is_empty());
    });
    world.disk.set_capacity(None);
    live(&world, async |alive| {
        assert_eq!(alive.counted(Counter::CheckpointsRestored), 0);
        all_there(alive, &seen).await;
    });
}

#[test]
fn a_dropped_table_leaves_no_checkpoint() {
    let (world, mut seen) = (world(), Seen::default());
    first_life(&world, &mut seen);
    assert_eq!(table_files(&world, "open", ".chunks").len(), 1);
    live(&world, async |alive| {
        produce(&world, &mut seen, 100);
        alive.node.drop_table(&table_name(), "test").await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(world.disk.list(Path::new("/data/tables")).unwrap().is_empty());
    });
}
