//! What is too old, and what is left of it.

use super::*;
use crate::records::{Artifact, Seal, SealReason, chain};
use weir_types::{SchemaVersion, SegmentName, SkipReason, TableName, TopicName};

const DAY: Duration = Duration::from_secs(86_400);
const NOW: i64 = 10 * 86_400_000;

fn partition(number: u32) -> StreamPartition {
    StreamPartition { topic: TopicName::parse("t").unwrap(), partition: number }
}

fn range(start: u64, end: u64) -> OffsetRange {
    OffsetRange::try_new(NextOffset::new(start), NextOffset::new(end)).unwrap()
}

fn record(of: u32, sequence: u32, state: SegmentState) -> SegmentRecord {
    SegmentRecord {
        name: SegmentName::new(TableName::parse("t").unwrap(), of, sequence, 0),
        table_uid: 1,
        partition: partition(of),
        state,
        limits: crate::Limits::of_rows(1),
        created_ms: 0,
        schema_version: SchemaVersion(1),
        replicas: vec![],
        version: 1,
    }
}

fn counts(messages: u64) -> Accounting {
    Accounting { fetched: messages, stored: messages, rows: messages, ..Accounting::default() }
}

/// Ten offsets for each sequence number.
fn done(of: u32, sequence: u32, rows: u64, max_time_ms: Option<i64>) -> SegmentRecord {
    let start = u64::from(sequence) * 10;
    let artifact = Artifact {
        uri: String::new(),
        key: format!("k{sequence}"),
        crc: 0,
        byte_count: 1,
        rows,
        min_time_ms: max_time_ms,
        max_time_ms,
        built_ms: 0,
        uploaded_ms: 0,
        time_range: None,
        missing_indexes: vec![],
        settings: None,
    };
    let seal = Seal { reason: SealReason::Rows, accounting: counts(10), at_ms: NOW - 86_400_000, size: None };
    record(of, sequence, SegmentState::Done { range: range(start, start + 10), seal, artifact })
}

fn committing(of: u32, sequence: u32) -> SegmentRecord {
    let start = u64::from(sequence) * 10;
    let seal = Seal { reason: SealReason::Rows, accounting: counts(10), at_ms: 0, size: None };
    record(of, sequence, SegmentState::Committing { range: range(start, start + 10), seal })
}

fn consuming(of: u32, sequence: u32) -> SegmentRecord {
    record(of, sequence, SegmentState::Consuming { start: NextOffset::new(u64::from(sequence) * 10) })
}

fn names(found: &[SegmentRecord]) -> Vec<(u32, u32)> {
    found.iter().map(|segment| (segment.partition.partition, segment.name.sequence)).collect()
}

#[test]
fn what_is_older_goes_but_for_the_last_and_what_is_not_done() {
    let old = Some(NOW - 86_400_001);
    let segments = [
        done(0, 0, 5, old),
        done(0, 1, 5, Some(NOW - 86_400_000)),
        done(0, 2, 5, old),
        committing(0, 3),
        done(0, 4, 5, None),
        consuming(0, 5),
        done(1, 0, 5, old),
        done(1, 1, 5, Some(i64::MAX)),
        done(1, 2, 5, Some(i64::MIN)),
        consuming(1, 3),
    ];
    let found = expired(&segments, DAY, NOW);
    assert_eq!(names(&found.expired), [(0, 0), (0, 2), (1, 0)]);
    assert_eq!(names(&found.without_time), [(0, 4)]);
    assert_eq!(expired(&segments, Duration::MAX, NOW).expired, []);
}

#[test]
fn a_segment_without_rows_has_the_age_of_its_end() {
    let segments = [done(0, 0, 0, None), committing(0, 1)];
    assert_eq!(expired(&segments, DAY, NOW), Expiry::default());
    assert_eq!(names(&expired(&segments, DAY, NOW + 1).expired), [(0, 0)]);
}

#[test]
fn removed_places_join_and_the_chain_holds() {
    let mut removed = Removed::none(partition(0));
    for sequence in [0_u32, 2, 5, 1] {
        removed.add(sequence, range(u64::from(sequence) * 10, u64::from(sequence) * 10 + 10), &counts(10));
    }
    let run = |first: u32, last: u32| RemovedRun {
        first,
        last,
        start: NextOffset::new(u64::from(first) * 10),
        end: NextOffset::new(u64::from(last) * 10 + 10),
    };
    assert_eq!(removed.runs, [run(0, 2), run(5, 5)]);
    assert_eq!((removed.segments, removed.counts), (4, counts(40)));
    let left = [committing(0, 3), committing(0, 4), committing(0, 6), consuming(0, 7)];
    assert_eq!(chain(&left, &removed.runs, &[]), Ok(()));
    assert!(chain(&left, &removed.runs[..1], &[]).is_err(), "a hole that is not on the record");
    let bent = [run(0, 2), RemovedRun { start: NextOffset::new(49), ..run(5, 5) }];
    assert!(chain(&left, &bent, &[]).is_err(), "a removed range that does not follow");
    let bent = [RemovedRun { end: NextOffset::new(29), ..run(0, 2) }, run(5, 5)];
    assert!(chain(&left, &bent, &[]).is_err(), "a range that does not follow a removed one");
}

#[test]
fn removed_ranges_with_a_move_between_them_stay_two() {
    let mut removed = Removed::none(partition(0));
    removed.add(1, range(10, 20), &counts(10));
    removed.add(2, range(5, 30), &counts(25));
    assert_eq!(removed.runs.len(), 2);
    let back = Move {
        partition: partition(0),
        before: 2,
        from: NextOffset::new(20),
        to: NextOffset::new(5),
        reason: SkipReason::Reset,
        at_ms: 0,
        passed: None,
    };
    let left = [committing(0, 0), consuming(0, 3)];
    assert_eq!(chain(&left, &removed.runs, std::slice::from_ref(&back)), Ok(()));
    assert!(chain(&left, &removed.runs, &[]).is_err());
}

#[test]
fn a_partition_starts_where_it_did_before_anything_was_removed() {
    let number = |found: Option<NextOffset>| found.map(NextOffset::number);
    let (third, fourth) = (committing(0, 3), consuming(0, 4));
    let step = |before: u32, from: u64, to: u64| Move {
        partition: partition(0),
        before,
        from: NextOffset::new(from),
        to: NextOffset::new(to),
        reason: SkipReason::Retention,
        at_ms: 0,
        passed: None,
    };
    let mut removed = Removed::none(partition(0));
    removed.add(0, range(4, 10), &counts(6));
    let (at_first, later) = (step(0, 1, 4), step(3, 30, 30));
    assert_eq!(number(first_offset(&[&third, &fourth], None, &[])), Some(30));
    assert_eq!(number(first_offset(&[&third, &fourth], Some(&removed), &[])), Some(4));
    assert_eq!(number(first_offset(&[&third, &fourth], Some(&removed), &[&later])), Some(4));
    assert_eq!(number(first_offset(&[&third, &fourth], Some(&removed), &[&at_first, &later])), Some(1));
    assert_eq!(number(first_offset(&[], None, &[&at_first])), Some(1));
    assert_eq!(first_offset(&[], None, &[]), None);
}
