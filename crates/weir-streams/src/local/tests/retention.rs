//! What may be deleted of the local log, and when.

use super::*;
use weir_base::SimClock;

#[tokio::test]
async fn after_a_start_retention_waits_until_holders_have_spoken() {
    let disk = MemDisk::new(None);
    let clock = SetClock::at(0);
    let options = LocalLogOptions { file_bytes: 200, retention_bytes: 300, ..LocalLogOptions::default() };
    let open = || LocalLogs::open(Path::new(DIR), disk.clone(), clock.clone(), options.clone()).expect("it opens");
    let logs = open();
    logs.create_topic(&topic("t"), 1).expect("it is made");
    logs.source(topic("t"), TIMEOUT).hold("table", 0, NextOffset::ZERO);
    for n in 0..30 {
        logs.produce(&topic("t"), vec![record(0, n.to_string())], None).await.expect("it is appended");
    }
    drop(logs);
    clock.advance(3_600_000);
    let logs = open();
    logs.produce(&topic("t"), vec![record(0, "early".into())], None).await.expect("it is appended");
    let source = logs.source(topic("t"), TIMEOUT);
    source.hold("table", 0, NextOffset::new(5));
    clock.advance(3_600_000);
    logs.produce(&topic("t"), vec![record(0, "late".into())], None).await.expect("it is appended");
    let low = source.watermarks(0).await.expect("watermarks").low;
    assert!(low > NextOffset::ZERO && low <= NextOffset::new(5), "{low}");
}

#[tokio::test]
async fn retention_deletes_old_files_that_nobody_holds() {
    let disk = MemDisk::new(None);
    let clock = SetClock::at(0);
    let options = LocalLogOptions {
        file_bytes: 200,
        retention: Duration::from_millis(1000),
        retain_every: Duration::ZERO,
        ..LocalLogOptions::default()
    };
    let open = || LocalLogs::open(Path::new(DIR), disk.clone(), clock.clone(), options.clone());
    let logs = open().expect("it opens");
    logs.create_topic(&topic("t"), 1).expect("it is made");
    let source = logs.source(topic("t"), TIMEOUT);
    source.hold("table", 0, NextOffset::new(10));
    let mut reader = source.open(0, NextOffset::ZERO).await.expect("it opens");
    let mut one_by_one = source.open(0, NextOffset::ZERO).await.expect("it opens");
    let one = FetchLimit { max_messages: 1, ..LIMIT };
    for n in 0..40 {
        logs.produce(&topic("t"), vec![record(0, n.to_string())], None).await.expect("it is appended");
        // One who keeps up is never cut off, though files are deleted right behind it.
        assert_eq!(one_by_one.next_batch(one).await.expect("it goes on").messages.len(), 1);
        clock.advance(400);
    }
    let low = source.watermarks(0).await.expect("watermarks").low;
    assert!(low > NextOffset::ZERO && low <= NextOffset::new(10), "{low}: what is held is kept");
    assert!(matches!(reader.next_batch(LIMIT).await, Err(StreamError::OutOfRange { held, .. }) if held.low == low));
    source.hold("table", 0, NextOffset::new(40));
    logs.produce(&topic("t"), vec![record(0, "last".into())], None).await.expect("it is appended");
    let low = source.watermarks(0).await.expect("watermarks").low;
    assert!(low > NextOffset::new(30), "{low}: what nobody holds is deleted");
    let kept = content(&logs, 0).await;
    disk.crash(&mut Chance::seeded(1));
    assert_eq!(content(&open().expect("it opens again"), 0).await, kept);
}

/// Records whose retention is a second, in one file.
fn brief() -> LocalLogOptions {
    LocalLogOptions {
        retention: Duration::from_secs(1),
        retain_every: Duration::from_secs(30),
        ..LocalLogOptions::default()
    }
}

async fn marks(logs: &Arc<LocalLogs>) -> (u64, u64) {
    let marks = logs.source(topic("t"), TIMEOUT).watermarks(0).await.expect("watermarks");
    (marks.low.number(), marks.high.number())
}

#[tokio::test]
async fn a_reader_goes_on_after_all_that_it_read_was_deleted() {
    let clock = SetClock::at(0);
    let logs = LocalLogs::open(Path::new(DIR), MemDisk::new(None), clock.clone(), brief()).expect("it opens");
    logs.create_topic(&topic("t"), 1).expect("it is made");
    let mut reader = logs.source(topic("t"), TIMEOUT).open(0, NextOffset::ZERO).await.expect("it opens");
    for n in 0..3 {
        logs.produce(&topic("t"), vec![record(0, n.to_string())], None).await.expect("it is appended");
        let batch = reader.next_batch(LIMIT).await.expect("it reads");
        assert_eq!((batch.messages.len(), batch.range.end()), (1, NextOffset::new(n + 1)));
        clock.advance(60_000);
        logs.retain();
        assert_eq!(marks(&logs).await, (n + 1, n + 1), "the file that the reader stood in is gone");
    }
}

#[tokio::test]
async fn who_has_gone_holds_nothing() {
    let clock = SetClock::at(0);
    let logs = LocalLogs::open(Path::new(DIR), MemDisk::new(None), clock.clone(), brief()).expect("it opens");
    logs.create_topic(&topic("t"), 2).expect("it is made");
    let both = || vec![record(0, "a".into()), record(1, "b".into())];
    let source = logs.source(topic("t"), TIMEOUT);
    for holder in ["stays", "goes"] {
        source.hold(holder, 0, NextOffset::ZERO);
        source.hold(holder, 1, NextOffset::ZERO);
    }
    logs.produce(&topic("t"), both(), None).await.expect("it is appended");
    let pass = || {
        clock.advance(60_000);
        logs.retain();
    };
    pass();
    source.release("nobody");
    source.release("goes");
    pass();
    assert_eq!(marks(&logs).await, (0, 1), "the other one holds it");
    source.release("stays");
    pass();
    assert_eq!(marks(&logs).await, (1, 1));
    assert_eq!(content(&logs, 1).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_nobody_appends_to_loses_what_is_old_and_keeps_its_end() {
    let disk = MemDisk::new(None);
    let open = || LocalLogs::open(Path::new(DIR), disk.clone(), SimClock::shared(0), brief()).expect("it opens");
    let logs = open();
    logs.create_topic(&topic("t"), 1).expect("it is made");
    let source = logs.source(topic("t"), TIMEOUT);
    for n in 0..3 {
        logs.produce(&topic("t"), vec![record(0, n.to_string())], None).await.expect("it is appended");
    }
    source.hold("table", 0, NextOffset::new(2));
    let mut reader = source.open(0, NextOffset::new(3)).await.expect("it opens");
    let retaining = tokio::spawn(LocalLogs::keep_retaining(Arc::downgrade(&logs)));
    tokio::time::sleep(Duration::from_secs(65)).await;
    assert_eq!(marks(&logs).await, (0, 3), "the last record is held");
    source.hold("table", 0, NextOffset::new(3));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(65);
    while marks(&logs).await != (3, 3) {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", marks(&logs).await);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let bytes = disk.used_bytes();
    logs.produce(&topic("t"), vec![record(0, "next".into())], None).await.expect("it is appended");
    assert_eq!(content(&logs, 0).await, [(NextOffset::new(3), "next".to_owned())]);
    assert_eq!(reader.next_batch(LIMIT).await.expect("who kept up reads on").messages.len(), 1);
    tokio::time::sleep(Duration::from_secs(65)).await;
    source.hold("table", 0, NextOffset::new(4));
    tokio::time::sleep(Duration::from_secs(65)).await;
    assert_eq!((marks(&logs).await, disk.used_bytes()), ((4, 4), bytes), "nothing is left behind, however often");
    drop((logs, source, reader));
    tokio::time::timeout(Duration::from_secs(65), retaining)
        .await
        .expect("it ends with the logs")
        .expect("it ends well");
    let logs = open();
    assert_eq!(marks(&logs).await, (4, 4), "an empty log remembers its end");
    logs.produce(&topic("t"), vec![record(0, "last".into())], None).await.expect("it is appended");
    drop(logs);
    assert_eq!(content(&open(), 0).await, [(NextOffset::new(4), "last".to_owned())]);
}

#[tokio::test]
async fn a_crash_while_all_is_deleted_keeps_the_end_of_the_log() {
    let mut emptied = 0;
    for changes in 0..12 {
        for seed in 0..8 {
            let disk = MemDisk::new(None);
            let clock = SetClock::at(0);
            let open = |disk| LocalLogs::open(Path::new(DIR), disk, clock.clone(), brief()).expect("it opens");
            let left = Arc::new(AtomicU64::new(u64::MAX));
            let logs = open(Arc::new(Failing { disk: disk.clone(), left: left.clone() }));
            logs.create_topic(&topic("t"), 1).expect("it is made");
            for n in 0..3 {
                logs.produce(&topic("t"), vec![record(0, n.to_string())], None).await.expect("it is appended");
            }
            clock.advance(60_000);
            left.store(changes, Ordering::Relaxed);
            logs.retain();
            left.store(u64::MAX, Ordering::Relaxed);
            if seed % 2 == 0 {
                // Power is back: the same process goes on.
                logs.produce(&topic("t"), vec![record(0, "3".into())], None).await.expect("it is appended");
                clock.advance(60_000);
                logs.retain();
                assert_eq!(marks(&logs).await, (4, 4), "{changes} changes");
            }
            let end = marks(&logs).await.1;
            drop(logs);
            disk.crash(&mut Chance::seeded(seed));
            let logs = open(disk.clone());
            let (low, high) = marks(&logs).await;
            assert_eq!(high, end, "{changes} changes, seed {seed}");
            assert_eq!(content(&logs, 0).await.len() as u64, high - low);
            emptied += u32::from(low == high);
            let placed = logs.produce(&topic("t"), vec![record(0, "next".into())], None).await.expect("it is appended");
            assert_eq!(placed[0].offset.number(), end);
        }
    }
    assert!(emptied > 0 && emptied < 96, "{emptied}: it was cut short before and after");
}
