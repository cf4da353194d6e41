//! Files that somebody cuts or removes under the log: what is lost is named once and for all, and all else goes on.

use super::*;
use weir_types::OffsetRange;

fn range(from: u64, to: u64) -> OffsetRange {
    OffsetRange::try_new(NextOffset::new(from), NextOffset::new(to)).expect("it ascends")
}

/// What is lost behind the records that can be read from `from` on, and their values.
async fn until_lost(logs: &Arc<LocalLogs>, from: u64) -> (OffsetRange, Vec<String>) {
    let source = logs.source(topic("t"), TIMEOUT);
    let mut reader = source.open(0, NextOffset::new(from)).await.expect("it opens");
    let mut values = vec![];
    loop {
        match reader.next_batch(FetchLimit { max_messages: 1, ..LIMIT }).await {
            Ok(batch) => {
                assert!(!batch.messages.is_empty(), "the end is reached: {values:?}");
                let value = batch.messages.value(0).expect("all have values");
                values.push(String::from_utf8_lossy(value).into_owned());
            }
            Err(StreamError::Lost { lost, reason, partition: 0, .. }) => {
                assert!(reason.contains(".log was cut"), "{reason}");
                return (lost, values);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn values_from(logs: &Arc<LocalLogs>, from: u64, to: u64) -> Vec<String> {
    let source = logs.source(topic("t"), TIMEOUT);
    let mut reader = source.open(0, NextOffset::new(from)).await.expect("it opens");
    let (mut values, mut next) = (vec![], NextOffset::new(from));
    while next < NextOffset::new(to) {
        let batch = reader.next_batch(LIMIT).await.expect("a batch comes");
        assert_eq!(batch.range.start(), next);
        let value = |at| String::from_utf8_lossy(batch.messages.value(at).expect("all have values")).into_owned();
        values.extend((0..batch.messages.len()).map(value));
        next = batch.range.end();
    }
    values
}

fn values(offsets: std::ops::Range<u64>) -> Vec<String> {
    offsets.map(|offset| format!("value {offset}")).collect()
}

/// The offset that a file is named by.
fn base(path: &Path) -> u64 {
    path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok()).expect("it is a number")
}

#[tokio::test]
async fn the_file_that_is_written_to_is_cut() {
    for kept_percent in [0, 5, 50, 90] {
        for removed in [false, true] {
            let disk = MemDisk::new(None);
            let logs = thirty_values(&disk).await;
            let last = files(&disk).pop().expect("there are some");
            let bytes = disk.byte_count(&last).expect("it is there").expect("it is a file") as usize;
            let base = base(&last);
            assert!((5..29).contains(&base), "{base}");
            let cut = || match removed {
                true => disk.remove_file(&last),
                false => disk.cut(&last, bytes * kept_percent / 100),
            };
            cut().expect("it is there");
            if !removed {
                // Who reads finds it before anybody appends.
                let (lost, before) = until_lost(&logs, base - 3).await;
                assert_eq!(lost.end(), NextOffset::new(30), "kept {kept_percent}");
                assert_eq!(before, values(base - 3..lost.start().number()), "kept {kept_percent}");
                assert!(kept_percent > 40 || lost.start() == NextOffset::new(base), "kept {kept_percent}: {lost}");
            }
            // Offsets that were given out are not given out again.
            let placed =
                logs.produce(&topic("t"), vec![record(0, "value 30".into())], None).await.expect("it is appended");
            assert_eq!(placed[0].offset, NextOffset::new(30));
            let (lost, _) = until_lost(&logs, base - 3).await;
            assert_eq!(lost.end(), NextOffset::new(30));
            assert_eq!(values_from(&logs, 30, 31).await, values(30..31));
            assert_eq!(values_from(&logs, 0, lost.start().number()).await, values(0..lost.start().number()));
            // Who comes from before and waited at the old end reads on; times are found behind what is lost.
            let source = logs.source(topic("t"), TIMEOUT);
            let found = source.resolve(0, &StartAt::TimestampMs(i64::MIN), 0).await.expect("it is found");
            assert_eq!(found, NextOffset::ZERO);
            drop(logs);

            let logs = open_small(disk.clone()).expect("it opens");
            if removed {
                // Of a file that is not there at all nothing tells but the name of the next one.
                let (lost, _) = until_lost(&logs, base - 3).await;
                assert_eq!(lost, range(base, 30));
            } else {
                assert_eq!(until_lost(&logs, base - 3).await.0, lost, "it stays so");
            }
            assert_eq!(values_from(&logs, 30, 31).await, values(30..31));
            for n in 31..40 {
                logs.produce(&topic("t"), vec![record(0, format!("value {n}"))], None).await.expect("it is appended");
            }
            assert_eq!(values_from(&logs, 30, 40).await, values(30..40));
        }
    }
}

#[tokio::test]
async fn a_closed_file_is_cut() {
    for kept_percent in [0, 60] {
        let disk = MemDisk::new(None);
        let logs = thirty_values(&disk).await;
        let all = files(&disk);
        let (closed, next) = (&all[1], base(&all[2]));
        let bytes = disk.byte_count(closed).expect("it is there").expect("it is a file") as usize;
        disk.cut(closed, bytes * kept_percent / 100).expect("it is there");
        for round in ["at once", "after a restart"] {
            let logs = if round == "at once" { logs.clone() } else { open_small(disk.clone()).expect("it opens") };
            let (lost, before) = until_lost(&logs, 0).await;
            assert_eq!(lost.end(), NextOffset::new(next), "{round}");
            assert!(lost.start() >= NextOffset::new(base(closed)), "{round}: {lost}");
            assert_eq!(before, values(0..lost.start().number()), "{round}");
            assert_eq!(values_from(&logs, next, 30).await, values(next..30), "{round}");
        }
    }
}

#[tokio::test]
async fn a_reader_at_the_end_goes_on_when_what_it_read_is_cut_off() {
    let disk = MemDisk::new(None);
    let logs = thirty_values(&disk).await;
    let source = logs.source(topic("t"), TIMEOUT);
    let mut reader = source.open(0, NextOffset::ZERO).await.expect("it opens");
    let mut next = NextOffset::ZERO;
    while next < NextOffset::new(30) {
        next = reader.next_batch(LIMIT).await.expect("a batch comes").range.end();
    }
    disk.cut(&files(&disk).pop().expect("there are some"), 50).expect("it is there");
    logs.produce(&topic("t"), vec![record(0, "value 30".into())], None).await.expect("it is appended");
    let batch = reader.next_batch(LIMIT).await.expect("a batch comes");
    assert_eq!((batch.range, batch.messages.value(0)), (range(30, 31), Some(&b"value 30"[..])));
}
