//! Removal in the store: all or nothing, never the last, with counts and objects kept on the record.

use crate::support::{Bench, artifact, new_table, partition, range, seal};
use crate::{new, replicas};
use weir_control::{
    Artifact, AuditAction, AuditEntry, Doomed, Limits, REMOVED_AT_ONCE, Removed, RemovedRun, SegmentRecord,
    SegmentState, Store, StoreError, TableRecord, chain,
};
use weir_types::NextOffset;

/// A partition with `count` committed segments of ten offsets each, and an open one.
async fn filled(store: &Store, table: &TableRecord, number: u32, count: u64) -> Vec<SegmentRecord> {
    let mut open = store.start_partition(table, new(number, 0), Limits::of_rows(10), 1, &replicas()).await.unwrap();
    for at in 0..count {
        let (committing, next) =
            store.fix_end(&open, range(at * 10, at * 10 + 10), seal(10), Limits::of_rows(10)).await.unwrap();
        store.finish(&committing, artifact(&committing)).await.unwrap();
        open = next;
    }
    store.segments_of(table, &partition(number)).await.unwrap()
}

fn audit(table: &TableRecord) -> AuditEntry {
    AuditEntry::new(AuditAction::RemoveSegments, &table.spec.name, "weir", 7)
}

#[tokio::test]
async fn what_is_removed_stays_counted_and_its_objects_are_noted() {
    let bench = Bench::new();
    let store = bench.store();
    let table = store.create_table(new_table("orders"), 1, &[]).await.unwrap();
    let (first, second) = (filled(&store, &table, 0, 4).await, filled(&store, &table, 1, 2).await);
    let out_of_order = [first[2].clone(), first[0].clone(), second[0].clone()];
    store.remove_segments(&table, &out_of_order, 500, &[audit(&table)]).await.unwrap();
    store.remove_segments(&table, &first[1..2], 400, &[]).await.unwrap();
    drop(store);

    let store = bench.store();
    let left = store.segments(&table).await.unwrap();
    let names: Vec<_> = left.iter().map(|segment| (segment.partition.partition, segment.name.sequence)).collect();
    assert_eq!(names, [(0, 3), (0, 4), (1, 1), (1, 2)]);
    let removed = store.removed(&table).await.unwrap();
    let run = RemovedRun { first: 0, last: 2, start: NextOffset::ZERO, end: NextOffset::new(30) };
    let accounting = weir_types::Accounting { fetched: 30, stored: 30, rows: 30, ..Default::default() };
    let whole = Removed { partition: partition(0), segments: 3, counts: accounting, runs: vec![run] };
    assert_eq!(removed[&partition(0)], whole);
    assert_eq!((removed.len(), removed[&partition(1)].segments), (2, 1));
    chain(&left[..2], &removed[&partition(0)].runs, &[]).unwrap();
    let doomed = store.doomed(&table).await.unwrap();
    let names: Vec<_> = doomed.iter().map(|doomed| (doomed.until_ms, doomed.segment.to_string())).collect();
    let name = |segment: &SegmentRecord| segment.name.to_string();
    assert_eq!(
        names,
        [(400, name(&first[1])), (500, name(&first[0])), (500, name(&first[2])), (500, name(&second[0]))]
    );
    assert_eq!(doomed[0].key, artifact(&first[1]).key);
    assert_eq!(store.audit_log().await.unwrap().entries.len(), 1);

    store.forget_doomed(&table, &doomed[..3]).await.unwrap();
    store.forget_doomed(&table, &doomed[..3]).await.unwrap();
    assert_eq!(store.doomed(&table).await.unwrap(), doomed[3..]);
    store.drop_table(&table.spec.name, 7, &[]).await.unwrap();
    assert_eq!(store.doomed(&table).await.unwrap(), Vec::<Doomed>::new());
    assert!(store.removed(&table).await.unwrap().is_empty());
    let gone = store.remove_segments(&table, &left[..1], 0, &[]).await.unwrap_err();
    assert!(matches!(gone, StoreError::NotFound { .. }), "{gone}");
}

#[tokio::test]
async fn what_may_not_go_stays_with_all_that_was_asked_for() {
    let bench = Bench::new();
    let store = bench.store();
    let table = store.create_table(new_table("orders"), 1, &[]).await.unwrap();
    let segments = filled(&store, &table, 0, 3).await;
    let open = store.remove_segments(&table, &[segments[0].clone(), segments[3].clone()], 0, &[]).await.unwrap_err();
    assert!(matches!(&open, StoreError::Contradiction { what } if what.contains("CONSUMING")), "{open}");
    let last = store.remove_segments(&table, &segments[1..3], 0, &[]).await.unwrap_err();
    assert!(matches!(&last, StoreError::Contradiction { what } if what.contains("the last")), "{last}");
    let stale = SegmentRecord { version: segments[0].version + 1, ..segments[0].clone() };
    let changed = store.remove_segments(&table, &[stale], 0, &[]).await.unwrap_err();
    assert!(matches!(changed, StoreError::Conflict { .. }), "{changed}");
    let many = vec![segments[0].clone(); REMOVED_AT_ONCE + 1];
    assert!(store.remove_segments(&table, &many, 0, &[]).await.is_err());
    assert_eq!(store.segments(&table).await.unwrap().len(), 4);
    assert!(store.removed(&table).await.unwrap().is_empty() && store.doomed(&table).await.unwrap().is_empty());
    store.remove_segments(&table, &segments[..2], 0, &[]).await.unwrap();
    let twice = store.remove_segments(&table, &segments[..1], 0, &[]).await.unwrap_err();
    assert!(matches!(twice, StoreError::Conflict { .. }), "{twice}");
    assert_eq!(store.removed(&table).await.unwrap()[&partition(0)].segments, 2);
    // The topic goes and comes back: it is read on from where it ended, whatever was removed.
    store.end_partition(&segments[3], range(30, 30), seal(0)).await.unwrap();
    let left = store.segments(&table).await.unwrap();
    assert_eq!(weir_control::resumes_at(left.last(), &partition(0), &[]), Some(NextOffset::new(30)));
    let started = store.start_partition(&table, new(0, 30), Limits::of_rows(10), 1, &replicas()).await.unwrap();
    assert_eq!(started.name.sequence, 3);
}

#[tokio::test]
async fn another_file_of_a_segment_dooms_the_object_of_before() {
    let bench = Bench::new();
    let store = bench.store();
    let table = store.create_table(new_table("orders"), 1, &[]).await.unwrap();
    let segments = filled(&store, &table, 0, 2).await;
    let first = &segments[0];
    let named = |segment: &SegmentRecord| match &segment.state {
        SegmentState::Done { artifact, .. } => artifact.clone(),
        other => panic!("{other:?}"),
    };
    let renewed = Artifact { key: "another".into(), crc: 7, settings: Some(u64::MAX), ..named(first) };
    let done = store.renew(first, renewed.clone(), 500).await.unwrap();
    assert_eq!(named(&done), renewed);
    drop(store);

    let store = bench.store();
    assert_eq!(store.segments_of(&table, &partition(0)).await.unwrap()[0], done);
    let of_before = Doomed { segment: first.name.to_string().into(), key: artifact(first).key, until_ms: 500 };
    assert_eq!(store.doomed(&table).await.unwrap(), std::slice::from_ref(&of_before));
    // Whoever has read the record of before is late.
    assert!(matches!(store.renew(first, renewed.clone(), 600).await, Err(StoreError::Conflict { .. })));
    // The same object under other settings dooms nothing.
    let noted = Artifact { settings: Some(4), ..renewed.clone() };
    let done = store.renew(&done, noted.clone(), 700).await.unwrap();
    assert_eq!((named(&done), store.doomed(&table).await.unwrap()), (noted, vec![of_before]));
    let other_rows = Artifact { rows: renewed.rows + 1, ..renewed.clone() };
    assert!(matches!(store.renew(&done, other_rows, 700).await, Err(StoreError::Contradiction { .. })));
    assert!(matches!(store.renew(&segments[2], renewed.clone(), 700).await, Err(StoreError::Conflict { .. })));
    store.drop_table(&table.spec.name, 7, &[]).await.unwrap();
    assert!(matches!(store.renew(&done, renewed, 700).await, Err(StoreError::NotFound { .. })));
}
