//! The store over an embedded catalog on a disk in memory: tables, the two transactions, skips, drops and crashes.

#![expect(clippy::unwrap_used, reason = "a script that is wrong fails, and says where")]

#[path = "store/removals.rs"]
mod removals;
#[path = "store/replays.rs"]
mod replays;
mod support;

#[path = "store/offsets.rs"]
mod offsets;

use std::{collections::BTreeMap, sync::Arc, time::Instant};
use support::{Bench, artifact, new_table, partition, range, schema_json, seal};
use weir_base::Chance;
use weir_control::{
    Limits, MoveTo, NewPartition, PauseInfo, SegmentRecord, SegmentState, StoreError,
    catalog::Op,
    chain,
    flush::{FlushMemory, Lesson},
    parse_schema,
};
use weir_types::{NextOffset, SchemaVersion, Skip, SkipReason, StreamPartition, TableName, TopicName};

fn replicas() -> Vec<Arc<str>> {
    vec!["server".into()]
}

fn move_to(to: u64, reason: SkipReason) -> MoveTo {
    MoveTo { to: NextOffset::new(to), reason, at_ms: 1, topic_id: None, passed: None }
}

fn new(number: u32, start: u64) -> NewPartition {
    NewPartition { partition: partition(number), partition_group: number, start: NextOffset::new(start) }
}

#[tokio::test]
async fn a_table_is_stored_as_it_was_made() {
    let bench = Bench::new();
    let store = bench.store();
    let wanted = new_table("orders");
    let made = store.create_table(wanted.clone(), 1234, &[]).await.unwrap();
    assert_eq!((made.uid, made.created_ms, made.schema.version), (1, 1234, SchemaVersion(1)));
    drop(store);
    let store = bench.store();
    let read = store.table(&TableName::parse("orders").unwrap()).await.unwrap().unwrap();
    assert_eq!((read.uid, read.version, read.created_ms), (made.uid, made.version, made.created_ms));
    assert_eq!(read.spec, wanted.spec);
    assert_eq!(read.schema, wanted.schema);
    assert_eq!(read.config_json, wanted.config_json);
    assert_eq!(read.unrecognized, wanted.unrecognized);
    assert_eq!(read.not_yet_effective, wanted.not_yet_effective);
    let twice = store.create_table(wanted, 1, &[]).await.unwrap_err();
    assert!(matches!(&twice, StoreError::Conflict { what } if what.contains("orders exists")), "{twice}");
    let other = store.create_table(new_table("clicks"), 1, &[]).await.unwrap();
    assert_eq!(other.uid, 2);
    let names: Vec<_> = store.tables().await.unwrap().iter().map(|table| table.spec.name.to_string()).collect();
    assert_eq!(names, ["clicks", "orders"]);
}

#[tokio::test]
async fn replacing_counts_schemas_and_keeps_the_identity() {
    let bench = Bench::new();
    let store = bench.store();
    let made = store.create_table(new_table("orders"), 1, &[]).await.unwrap();
    let pause = PauseInfo { reason: "ADMINISTRATIVE".into(), comment: "cleaning".into(), at_ms: 5 };
    let paused = store.set_pauses(&made, Some(pause.clone()), vec![], &[]).await.unwrap();
    let same = store.replace_table(&paused, new_table("orders"), &[]).await.unwrap();
    assert_eq!((same.uid, same.created_ms, same.schema.version), (made.uid, 1, SchemaVersion(1)));
    assert_eq!(same.paused, Some(pause));
    let mut wider = schema_json("orders");
    wider["dimensionFieldSpecs"].as_array_mut().unwrap().push(serde_json::json!({"name": "more", "dataType": "INT"}));
    let next = support::new_table_of("orders", &wider);
    let changed = store.replace_table(&same, next, &[]).await.unwrap();
    assert_eq!(changed.schema.version, SchemaVersion(2));
    assert!(changed.schema.field("more").is_some());
    let stale = store.replace_table(&same, new_table("orders"), &[]).await.unwrap_err();
    assert!(matches!(stale, StoreError::Conflict { .. }), "{stale}");
    store.drop_table(&made.spec.name, 7, &[]).await.unwrap();
    let gone = store.set_pauses(&changed, None, vec![], &[]).await.unwrap_err();
    assert!(matches!(gone, StoreError::NotFound { .. }), "{gone}");
}

#[tokio::test]
async fn schemas_stand_on_their_own_until_a_table_uses_them() {
    let bench = Bench::new();
    let store = bench.store();
    let schema = parse_schema(&schema_json("orders")).unwrap();
    store.put_schema(&schema).await.unwrap();
    assert_eq!(store.schema("orders").await.unwrap().unwrap().json, schema.json);
    assert_eq!(store.schemas().await.unwrap().len(), 1);
    store.create_table(new_table("orders"), 1, &[]).await.unwrap();
    let used = store.delete_schema("orders").await.unwrap_err();
    assert!(matches!(used, StoreError::Conflict { .. }), "{used}");
    store.drop_table(&TableName::parse("orders").unwrap(), 7, &[]).await.unwrap();
    assert!(store.delete_schema("orders").await.unwrap());
    assert!(!store.delete_schema("orders").await.unwrap());
}

#[tokio::test]
async fn the_two_transactions() {
    let bench = Bench::new();
    let store = bench.store();
    let table = store.create_table(new_table("orders"), 1, &[]).await.unwrap();
    let started = store.start_partition(&table, new(3, 100), Limits::of_rows(50), 10, &replicas()).await.unwrap();
    assert_eq!(started.name.to_string(), "orders__3__0__19700101T0000Z");
    let twice = store.start_partition(&table, new(3, 100), Limits::of_rows(50), 10, &replicas()).await.unwrap_err();
    assert!(matches!(twice, StoreError::Conflict { .. }), "{twice}");

    let wrong = store.fix_end(&started, range(99, 150), seal(50), Limits::of_rows(60)).await.unwrap_err();
    assert!(matches!(wrong, StoreError::Contradiction { .. }), "{wrong}");
    let (committing, successor) =
        store.fix_end(&started, range(100, 150), seal(50), Limits::of_rows(60)).await.unwrap();
    assert_eq!(successor.state, SegmentState::Consuming { start: NextOffset::new(150) });
    assert_eq!((successor.limits.rows, successor.name.sequence), (60, 1));
    let again = store.fix_end(&started, range(100, 160), seal(60), Limits::of_rows(60)).await.unwrap_err();
    assert!(matches!(again, StoreError::Conflict { .. }), "the end is fixed once: {again}");

    let (second, third) = store.fix_end(&successor, range(150, 170), seal(20), Limits::of_rows(60)).await.unwrap();
    // B comes in any order.
    let done = store.finish(&second, artifact(&second)).await.unwrap();
    assert!(matches!(done.state, SegmentState::Done { .. }));
    store.finish(&committing, artifact(&committing)).await.unwrap();
    let redone = store.finish(&second, artifact(&second)).await.unwrap_err();
    assert!(matches!(redone, StoreError::Conflict { .. }), "{redone}");

    drop(store);
    let segments = bench.store().segments(&table).await.unwrap();
    assert_eq!(segments.len(), 3);
    assert_eq!(segments[1], done);
    assert_eq!(segments[2], third);
    chain(&segments, &[], &[]).unwrap();
}

#[tokio::test]
async fn a_changed_schema_is_that_of_the_next_segment() {
    let bench = Bench::new();
    let store = bench.store();
    let table = store.create_table(new_table("orders"), 1, &[]).await.unwrap();
    let started = store.start_partition(&table, new(0, 0), Limits::of_rows(50), 10, &replicas()).await.unwrap();
    let mut wider = schema_json("orders");
    wider["dimensionFieldSpecs"].as_array_mut().unwrap().push(serde_json::json!({"name": "more", "dataType": "INT"}));
    store.replace_table(&table, support::new_table_of("orders", &wider), &[]).await.unwrap();
    let (committing, successor) = store.fix_end(&started, range(0, 5), seal(5), Limits::of_rows(60)).await.unwrap();
    assert_eq!((committing.schema_version, successor.schema_version), (SchemaVersion(1), SchemaVersion(2)));
}

#[tokio::test]
async fn skips_stand_between_segments_and_losses_within_them() {
    let bench = Bench::new();
    let store = bench.store();
    let table = store.create_table(new_table("orders"), 1, &[]).await.unwrap();
    let started = store.start_partition(&table, new(0, 0), Limits::of_rows(50), 10, &replicas()).await.unwrap();
    let (committing, open) = store.fix_end(&started, range(0, 5), seal(5), Limits::of_rows(60)).await.unwrap();
    let skip = |start, end| Skip { range: range(start, end), reason: SkipReason::Retention, at_ms: 7 };
    let astray = store.record_skip(&table, &open, skip(6, 9)).await.unwrap_err();
    assert!(matches!(astray, StoreError::Contradiction { .. }), "{astray}");
    let moved = store.record_skip(&table, &open, skip(5, 9)).await.unwrap();
    assert_eq!(moved.state.start(), NextOffset::new(9));
    let stale = store.record_skip(&table, &open, skip(5, 9)).await.unwrap_err();
    assert!(matches!(stale, StoreError::Conflict { .. }), "{stale}");
    store.record_loss(&table, &partition(0), 0, skip(2, 3)).await.unwrap();
    store.record_loss(&table, &partition(0), 0, skip(2, 4)).await.unwrap();
    assert_eq!(store.skips(&table).await.unwrap(), [(partition(0), skip(5, 9))]);
    assert_eq!(store.losses(&table).await.unwrap(), [(partition(0), skip(2, 4))], "repeating a loss keeps the last");
    // In a topic made anew the same offsets are others.
    store.record_loss(&table, &partition(0), 1, skip(2, 3)).await.unwrap();
    assert_eq!(store.losses(&table).await.unwrap(), [(partition(0), skip(2, 4)), (partition(0), skip(2, 3))]);
    chain(&store.segments(&table).await.unwrap(), &[], &store.moves(&table).await.unwrap()).unwrap();
    assert!(chain(&[committing, moved], &[], &[]).is_err());
}

#[tokio::test]
async fn a_partition_that_ended_starts_again_where_it_ended_or_behind_a_skip() {
    let bench = Bench::new();
    let store = bench.store();
    let table = store.create_table(new_table("orders"), 1, &[]).await.unwrap();
    let started = store.start_partition(&table, new(0, 0), Limits::of_rows(50), 10, &replicas()).await.unwrap();
    let (_, open) = store.fix_end(&started, range(0, 5), seal(5), Limits::of_rows(60)).await.unwrap();
    let both = store
        .start_partitions(&table, vec![new(1, 0), new(0, 5)], Limits::of_rows(50), 10, &replicas())
        .await
        .unwrap_err();
    assert!(matches!(both, StoreError::Conflict { .. }), "{both}");
    assert_eq!(store.segments_of(&table, &partition(1)).await.unwrap(), [], "all or none are started");
    assert_eq!(store.segments_of(&table, &partition(0)).await.unwrap().last(), Some(&open));
    let twice = store
        .start_partitions(&table, vec![new(1, 0), new(1, 0)], Limits::of_rows(50), 10, &replicas())
        .await
        .unwrap_err();
    assert!(matches!(twice, StoreError::Conflict { .. }), "{twice}");
}

#[tokio::test]
async fn nothing_is_written_below_a_dropped_table() {
    let bench = Bench::new();
    let store = bench.store();
    let table = store.create_table(new_table("orders"), 1, &[]).await.unwrap();
    let open = store.start_partition(&table, new(0, 0), Limits::of_rows(50), 10, &replicas()).await.unwrap();
    let (committing, open) = store.fix_end(&open, range(0, 5), seal(5), Limits::of_rows(60)).await.unwrap();
    store.put_flush_memory(&table, &partition(0).topic, &FlushMemory::default()).await.unwrap();
    let skip = Skip { range: range(5, 9), reason: SkipReason::Reset, at_ms: 7 };
    let open = store.record_skip(&table, &open, skip).await.unwrap();
    assert!(store.drop_table(&table.spec.name, 7, &[]).await.unwrap().is_some());
    assert!(store.drop_table(&table.spec.name, 7, &[]).await.unwrap().is_none());
    let [dropped] = &*store.leftovers().await.unwrap() else { panic!("its objects may be left") };
    assert_eq!(
        (dropped.uid, &dropped.table, dropped.created_ms, dropped.dropped_ms),
        (table.uid, &table.spec.name, 1, 7)
    );
    store.forget_leftover(dropped).await.unwrap();
    let left = store.catalog().list("").await.unwrap();
    let left: Vec<&str> = left.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(left, ["uids"], "every key of the table is gone");
    let remade = store.create_table(new_table("orders"), 1, &[]).await.unwrap();
    assert_ne!(remade.uid, table.uid);
    for error in [
        store.fix_end(&open, range(9, 9), seal(0), Limits::of_rows(1)).await.err(),
        store.finish(&committing, artifact(&committing)).await.err(),
        store.record_skip(&table, &open, Skip { range: range(9, 10), ..skip }).await.err(),
        store.record_loss(&table, &partition(0), 0, skip).await.err(),
        store.start_partition(&table, new(1, 0), Limits::of_rows(50), 10, &replicas()).await.err(),
        store.put_flush_memory(&table, &partition(0).topic, &FlushMemory::default()).await.err(),
    ] {
        assert!(matches!(error, Some(StoreError::NotFound { .. })), "{error:?}");
    }
    assert_eq!(store.segments(&remade).await.unwrap(), []);
}

#[tokio::test]
async fn a_drop_that_was_cut_short_is_finished_later() {
    let bench = Bench::new();
    let store = bench.store();
    let table = store.create_table(new_table("orders"), 1, &[]).await.unwrap();
    store
        .start_partitions(&table, (0..10).map(|at| new(at, 0)).collect(), Limits::of_rows(50), 10, &replicas())
        .await
        .unwrap();
    // As the first transaction of a drop leaves it.
    let ops =
        vec![Op::Delete("tables/orders".into()), Op::Put(format!("dropping/{:016x}", table.uid), b"orders".to_vec())];
    store.catalog().txn(vec![], ops).await.unwrap();
    drop(store);
    let store = bench.store();
    assert_eq!(store.segments(&table).await.unwrap().len(), 10);
    assert_eq!(store.finish_drops().await.unwrap(), 1);
    assert_eq!(store.segments(&table).await.unwrap(), []);
    assert_eq!(store.finish_drops().await.unwrap(), 0);
}

#[tokio::test]
async fn what_segments_taught_is_remembered_by_topic() {
    let bench = Bench::new();
    let store = bench.store();
    let table = store.create_table(new_table("orders"), 1, &[]).await.unwrap();
    let (topic, other) = (partition(0).topic, TopicName::parse("other").unwrap());
    let age = Some(std::time::Duration::from_secs(60));
    let last = Some(Lesson { rows: 5, byte_count: 6, rows_limit: 7, age });
    let memory = FlushMemory { rows_per_byte: Some(0.1 + 0.2), file_share: Some(0.1 + 0.3), last_limit: 9, last };
    store.put_flush_memory(&table, &topic, &memory).await.unwrap();
    assert_eq!(store.flush_memory(&table, &topic).await.unwrap(), memory);
    assert_eq!(store.flush_memory(&table, &other).await.unwrap(), FlushMemory::default());
}

#[tokio::test]
async fn segments_come_in_the_order_of_their_numbers() {
    let bench = Bench::new();
    let store = bench.store();
    let table = store.create_table(new_table("orders"), 1, &[]).await.unwrap();
    let partitions = [200, 9, 10, 1].map(|at| new(at, 0));
    store.start_partitions(&table, partitions.to_vec(), Limits::of_rows(50), 10, &replicas()).await.unwrap();
    let mut open = store.segments_of(&table, &partition(9)).await.unwrap().remove(0);
    for at in 0..12 {
        open = store.fix_end(&open, range(at, at + 1), seal(1), Limits::of_rows(60)).await.unwrap().1;
    }
    let found = store.segments(&table).await.unwrap();
    let order: Vec<(u32, u32)> =
        found.iter().map(|record| (record.partition.partition, record.name.sequence)).collect();
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(order, sorted);
    assert_eq!(order.len(), 16);
}

#[tokio::test]
async fn five_hundred_partitions_start_in_one_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::on(weir_base::disk::RealDisk::shared(), dir.path());
    let store = bench.store();
    let table = store.create_table(new_table("orders"), 1, &[]).await.unwrap();
    let began = Instant::now();
    let started = store
        .start_partitions(&table, (0..500).map(|at| new(at, 0)).collect(), Limits::of_rows(50), 10, &replicas())
        .await;
    let started = started.unwrap();
    assert!(began.elapsed().as_secs() < 2, "{:?}", began.elapsed());
    let versions: std::collections::BTreeSet<u64> = started.iter().map(|record| record.version).collect();
    assert_eq!((started.len(), versions.len()), (500, 1));
}

/// Random starts, ends, commits, skips, pauses and crashes keep every partition's chain whole, and nothing that was
/// acknowledged is forgotten.
#[tokio::test]
async fn random_lives_keep_the_chain() {
    for seed in 0..12 {
        let mut chance = Chance::seeded(seed);
        let bench = Bench::new();
        let mut store = bench.store();
        let mut table = store.create_table(new_table("orders"), 1, &[]).await.unwrap();
        let mut known: BTreeMap<StreamPartition, Vec<SegmentRecord>> = BTreeMap::new();
        let mut steps: Vec<(StreamPartition, u64, u64)> = vec![];
        for _ in 0..150 {
            let at = u32::try_from(chance.below(3)).unwrap();
            let records = known.entry(partition(at)).or_default();
            match (chance.below(12), records.last().cloned()) {
                (0..5, None) => {
                    let start = chance.below(10);
                    records.push(
                        store
                            .start_partition(&table, new(at, start), Limits::of_rows(50), 10, &replicas())
                            .await
                            .unwrap(),
                    );
                }
                (0..5, Some(open)) => {
                    let start = open.state.start().number();
                    let range = range(start, start + chance.below(9));
                    let (committing, successor) =
                        store.fix_end(&open, range, seal(1), Limits::of_rows(50)).await.unwrap();
                    assert!(store.fix_end(&open, range, seal(1), Limits::of_rows(50)).await.is_err());
                    *records.last_mut().unwrap() = committing;
                    records.push(successor);
                }
                (5..8, Some(_)) => {
                    let waits: Vec<usize> = (0..records.len())
                        .filter(|at| matches!(records[*at].state, SegmentState::Committing { .. }))
                        .collect();
                    if !waits.is_empty() {
                        let at = waits[usize::try_from(chance.below(waits.len() as u64)).unwrap()];
                        records[at] = store.finish(&records[at], artifact(&records[at])).await.unwrap();
                    }
                }
                (8, Some(open)) => {
                    let start = open.state.start().number();
                    let back = chance.hit(0.3).then(|| start.saturating_sub(1 + chance.below(9)));
                    let to = back.unwrap_or(start + 1 + chance.below(9));
                    if to != start {
                        let to = move_to(to, SkipReason::Reset);
                        *records.last_mut().unwrap() = store.move_start(&table, &open, &to, &[]).await.unwrap();
                        steps.push((partition(at), start, to.to.number()));
                    }
                }
                (9, _) => table = store.set_pauses(&table, None, vec![], &[]).await.unwrap(),
                (10, _) => {
                    bench.disk.crash(&mut chance);
                    drop(store);
                    store = bench.store();
                }
                _ => {}
            }
            for (partition, records) in &known {
                let mut between = store.moves(&table).await.unwrap();
                between.retain(|step| step.partition == *partition);
                assert_eq!(store.segments_of(&table, partition).await.unwrap(), *records, "seed {seed}");
                chain(records, &[], &between).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            }
        }
        let stored = store.moves(&table).await.unwrap();
        let stored: Vec<(StreamPartition, u64, u64)> =
            stored.into_iter().map(|step| (step.partition, step.from.number(), step.to.number())).collect();
        // Made in this order, and listed by partition.
        steps.sort_by_key(|(partition, ..)| partition.clone());
        assert_eq!(stored, steps, "seed {seed}");
    }
}
