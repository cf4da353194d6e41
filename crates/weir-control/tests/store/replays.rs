//! Replays in the store: numbered, never overlapping, made once whatever becomes of the answer.

use crate::support::{Bench, artifact_of, new_table, partition};
use weir_control::{AuditAction, AuditEntry, ReplayPart, ReplayRecord, ReplaySegment, Store, StoreError, TableRecord};
use weir_types::{NextOffset, SchemaVersion};

async fn made(store: &Store) -> TableRecord {
    store.create_table(new_table("orders"), 1, &[]).await.unwrap()
}

fn part(number: u32, reading: u32, offsets: &[u64]) -> ReplayPart {
    let segment =
        ReplaySegment { name: "replay__orders__0__t__0-0".into(), artifact: artifact_of("replay"), removed_ms: None };
    let offsets = offsets.iter().map(|offset| NextOffset::new(*offset)).collect();
    ReplayPart { partition: partition(number), reading, offsets, altered: 2, segment: Some(segment) }
}

fn replay(table: &TableRecord, number: u64, parts: Vec<ReplayPart>) -> ReplayRecord {
    ReplayRecord { table_uid: table.uid, number, at_ms: 7, schema_version: SchemaVersion(1), parts }
}

#[tokio::test]
async fn a_replay_is_read_as_it_was_committed_and_goes_with_its_table() {
    let bench = Bench::new();
    let store = bench.store();
    let table = made(&store).await;
    let first = replay(&table, 0, vec![part(0, 0, &[3, 9]), part(0, 1, &[3]), part(1, 0, &[u64::MAX])]);
    let none = ReplayPart { segment: None, ..part(2, 0, &[0]) };
    let second = replay(&table, 1, vec![none]);
    let entry = AuditEntry::new(AuditAction::ReplayQuarantine, &table.spec.name, "ann", 7);
    store.commit_replay(&table, &first, &[entry]).await.unwrap();
    store.commit_replay(&table, &second, &[]).await.unwrap();
    drop(store);
    let store = bench.store();
    assert_eq!(store.replays(&table).await.unwrap(), [first, second.clone()]);
    assert_eq!(store.audit_log().await.unwrap().entries.len(), 1);
    store.drop_table(&table.spec.name, 7, &[]).await.unwrap();
    assert_eq!(store.replays(&table).await.unwrap(), []);
    let third = replay(&table, 2, second.parts);
    let gone = store.commit_replay(&table, &third, &[]).await.unwrap_err();
    assert!(matches!(gone, StoreError::NotFound { .. }), "{gone}");
}

#[tokio::test]
async fn one_of_two_replays_at_once_is_committed_and_the_same_one_may_come_again() {
    let bench = Bench::new();
    let store = bench.store();
    let table = made(&store).await;
    let one = replay(&table, 0, vec![part(0, 0, &[3])]);
    let other = replay(&table, 0, vec![part(0, 0, &[3, 4])]);
    store.commit_replay(&table, &one, &[]).await.unwrap();
    store.commit_replay(&table, &one, &[]).await.unwrap();
    let conflict = store.commit_replay(&table, &other, &[]).await.unwrap_err();
    assert!(matches!(conflict, StoreError::Conflict { .. }), "{conflict}");
    let hole = replay(&table, 2, vec![part(0, 0, &[5])]);
    let refused = store.commit_replay(&table, &hole, &[]).await.unwrap_err();
    assert!(matches!(refused, StoreError::Contradiction { .. }), "{refused}");
    assert_eq!(store.replays(&table).await.unwrap(), [one]);
}

#[tokio::test]
async fn a_replay_made_with_settings_of_before_is_refused() {
    let bench = Bench::new();
    let store = bench.store();
    let before = made(&store).await;
    let first = replay(&before, 0, vec![part(0, 0, &[3])]);
    store.commit_replay(&before, &first, &[]).await.unwrap();
    let after = store.replace_table(&before, new_table("orders"), &[]).await.unwrap();
    // Its answer was lost, and meanwhile the table changed: it is there all the same.
    store.commit_replay(&before, &first, &[]).await.unwrap();
    let second = replay(&before, 1, vec![part(0, 0, &[4])]);
    let conflict = store.commit_replay(&before, &second, &[]).await.unwrap_err();
    assert!(matches!(conflict, StoreError::Conflict { .. }), "{conflict}");
    store.commit_replay(&after, &second, &[]).await.unwrap();
}

#[tokio::test]
async fn a_replay_names_each_message_once() {
    let bench = Bench::new();
    let store = bench.store();
    let table = made(&store).await;
    for parts in [
        vec![],
        vec![part(0, 0, &[])],
        vec![part(0, 0, &[4, 4])],
        vec![part(0, 0, &[5, 4])],
        vec![part(0, 0, &[4]), part(0, 0, &[5])],
    ] {
        let refused = store.commit_replay(&table, &replay(&table, 0, parts), &[]).await.unwrap_err();
        assert!(matches!(refused, StoreError::Contradiction { .. }), "{refused}");
    }
}

#[tokio::test]
async fn a_replayed_segment_is_removed_once_and_its_replay_stays() {
    let bench = Bench::new();
    let store = bench.store();
    let table = made(&store).await;
    let made = replay(&table, 0, vec![part(0, 0, &[3])]);
    store.commit_replay(&table, &made, &[]).await.unwrap();
    let name = made.parts[0].segment.as_ref().unwrap().name.clone();
    for _ in 0..2 {
        store.remove_replayed(&table, 0, &[name.clone(), "other".into()].into(), (9, 50), &[]).await.unwrap();
    }
    let left = store.replays(&table).await.unwrap();
    assert_eq!(left[0].parts[0].segment.as_ref().unwrap().removed_ms, Some(9));
    assert!(left[0].parts[0].held().is_none() && left[0].parts[0].offsets == made.parts[0].offsets);
    let doomed = store.doomed(&table).await.unwrap();
    assert_eq!((doomed.len(), &*doomed[0].segment, doomed[0].until_ms), (1, &*name, 50));
    let none = store.remove_replayed(&table, 1, &[name].into(), (9, 50), &[]).await.unwrap_err();
    assert!(matches!(none, StoreError::NotFound { .. }), "{none}");
}
