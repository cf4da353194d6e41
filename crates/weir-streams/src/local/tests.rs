//! The local log against the suite of all streams, crashes, full disks and damage.

mod cut;
mod power;
mod retention;

use super::*;
use crate::{
    conformance::{self, Sent, Subject},
    contract::FetchLimit,
};
use power::Failing;
use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};
use weir_base::{Chance, Disk, MemDisk, RealDisk, SetClock, SystemClock};
use weir_types::StartAt;

const TIMEOUT: Duration = Duration::from_millis(50);

fn topic(name: &str) -> TopicName {
    TopicName::parse(name).expect("it is a topic's name")
}

struct Local(Arc<LocalLogs>);

#[async_trait::async_trait]
impl Subject for Local {
    fn source(&self) -> SharedSource {
        self.0.source(topic("t"), TIMEOUT)
    }

    fn missing(&self) -> SharedSource {
        self.0.source(topic("missing"), TIMEOUT)
    }

    async fn append(&self, partition: u32, messages: Vec<Sent>) {
        // Several requests, so that frames and records do not coincide.
        for chunk in messages.chunks(7) {
            let record = |sent: &Sent| ProduceRecord {
                partition: Some(partition),
                key: sent.key.clone().map(Bytes::from),
                value: sent.value.clone().map(Bytes::from),
                headers: vec![],
                timestamp_ms: Some(sent.timestamp_ms),
            };
            self.0.produce(&topic("t"), chunk.iter().map(record).collect(), None).await.expect("it is appended");
        }
    }
}

async fn conforms(dir: &Path, disk: SharedDisk, file_bytes: u64) {
    let options = LocalLogOptions { file_bytes, ..LocalLogOptions::default() };
    let logs = LocalLogs::open(dir, disk, SystemClock::shared(), options).expect("it opens");
    assert!(logs.create_topic(&topic("t"), 2).expect("it is made"));
    conformance::run(&Local(logs)).await;
}

#[tokio::test]
async fn it_is_a_stream_on_a_real_disk() {
    let dir = tempfile::tempdir().expect("a folder");
    conforms(&dir.path().join("big"), Arc::new(RealDisk), 64 << 20).await;
    // Small files: reading goes over their ends.
    conforms(&dir.path().join("small"), Arc::new(RealDisk), 300).await;
}

#[tokio::test]
async fn it_is_a_stream_in_memory() {
    conforms(Path::new("log"), MemDisk::new(None), 64 << 20).await;
    conforms(Path::new("log"), MemDisk::new(None), 300).await;
}

const LIMIT: FetchLimit = FetchLimit { max_messages: 64, max_bytes: 1 << 20 };
const DIR: &str = "log";

fn record(partition: u32, value: String) -> ProduceRecord {
    ProduceRecord {
        partition: Some(partition),
        key: None,
        value: Some(value.into()),
        headers: vec![],
        timestamp_ms: None,
    }
}

fn open_small(disk: SharedDisk) -> io::Result<Arc<LocalLogs>> {
    let options = LocalLogOptions { file_bytes: 400, ..LocalLogOptions::default() };
    LocalLogs::open(Path::new(DIR), disk, SystemClock::shared(), options)
}

/// All values of a partition from its low end on, by offset.
async fn content(logs: &Arc<LocalLogs>, partition: u32) -> Vec<(NextOffset, String)> {
    let source = logs.source(topic("t"), TIMEOUT);
    let marks = source.watermarks(partition).await.expect("watermarks");
    let mut reader = source.open(partition, marks.low).await.expect("it opens");
    let mut found = vec![];
    let mut next = marks.low;
    while next < marks.high {
        let batch = reader.next_batch(LIMIT).await.expect("a batch comes");
        for at in 0..batch.messages.len() {
            let value = batch.messages.value(at).expect("all have values");
            found.push((batch.messages.offset(at), String::from_utf8_lossy(value).into_owned()));
        }
        assert!(batch.range.end() > next, "it goes on");
        next = batch.range.end();
    }
    found
}

/// A request as it was made, and its answer.
#[derive(Clone)]
struct Asked {
    key: Option<String>,
    records: Vec<ProduceRecord>,
    placed: Option<Vec<ProducedAt>>,
}

impl Asked {
    fn new(number: usize, chance: &mut Chance) -> Self {
        let key = chance.hit(0.6).then(|| format!("key-{number}"));
        let make =
            |at| record(u32::from(chance.hit(0.5)), format!("{number}-{at}-{}", "x".repeat(chance.below(60) as usize)));
        let records = (0..6).take(1 + number % 6).map(make).collect();
        Self { key, records, placed: None }
    }

    async fn ask(&mut self, logs: &LocalLogs) {
        let placed = logs.produce(&topic("t"), self.records.clone(), self.key.as_deref()).await.ok();
        if let (Some(before), Some(now)) = (&self.placed, &placed) {
            assert_eq!(before, now, "a repeated request is answered as at first");
        }
        self.placed = placed.or(self.placed.take());
    }
}

/// Whatever was acknowledged is there, once, where it was said to be; nothing is there that nobody sent.
async fn check(logs: &Arc<LocalLogs>, asked: &[Asked], seed: u64) {
    let mut found = HashMap::new();
    for partition in [0, 1] {
        for (expected, (offset, value)) in content(logs, partition).await.into_iter().enumerate() {
            assert_eq!(offset, NextOffset::new(expected as u64), "seed {seed}: offsets are dense");
            let twice = found.insert(value, ProducedAt { partition, offset });
            assert!(twice.is_none(), "seed {seed}: a record is there twice");
        }
    }
    for request in asked {
        for (at, record) in request.records.iter().enumerate() {
            let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
            let place = found.remove(&value);
            if let Some(placed) = &request.placed {
                assert_eq!(place, Some(placed[at]), "seed {seed}: an acknowledged record is where it was said to be");
            }
        }
    }
    assert!(found.is_empty(), "seed {seed}: {found:?} was sent by nobody");
}

async fn crash_again_and_again(seed: u64) {
    let mut chance = Chance::seeded(seed);
    let disk = MemDisk::new(None);
    let mut asked: Vec<Asked> = vec![];
    open_small(disk.clone()).and_then(|logs| logs.create_topic(&topic("t"), 2)).expect("it is made");
    for _ in 0..6 {
        // Opening may be cut short as well.
        let left = Arc::new(AtomicU64::new(chance.below(60)));
        if let Ok(logs) = open_small(Arc::new(Failing { disk: disk.clone(), left })) {
            for _ in 0..12 {
                let mut group: Vec<Asked> =
                    (0..1 + chance.below(3) as usize).map(|n| Asked::new(asked.len() + n, &mut chance)).collect();
                futures::future::join_all(group.iter_mut().map(|request| request.ask(&logs))).await;
                asked.append(&mut group);
            }
        }
        disk.crash(&mut chance);
        let logs = open_small(disk.clone()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        check(&logs, &asked, seed).await;
        // Repeating every request with a key adds what was not acknowledged, and nothing else.
        for request in asked.iter_mut().filter(|request| request.key.is_some()) {
            request.ask(&logs).await;
            assert!(request.placed.is_some());
        }
        check(&logs, &asked, seed).await;
        disk.crash(&mut chance);
    }
    assert!(asked.iter().any(|request| request.placed.is_some()), "seed {seed}: something was acknowledged");
}

#[tokio::test]
async fn what_was_acknowledged_survives_crashes_and_repeating_adds_nothing() {
    for seed in 0..60 {
        crash_again_and_again(seed).await;
    }
}

#[tokio::test]
async fn a_full_disk_takes_nothing_of_a_request_and_the_next_fits_when_there_is_room() {
    let disk = MemDisk::new(None);
    let logs = open_small(disk.clone()).expect("it opens");
    logs.create_topic(&topic("t"), 2).expect("it is made");
    let small = || record(0, "small".into());
    logs.produce(&topic("t"), vec![small()], None).await.expect("there is room");
    disk.set_capacity(Some(disk.used_bytes() + 200));
    // The first partition's share fits, the second's does not.
    let both = vec![small(), record(1, "y".repeat(500))];
    for _ in 0..3 {
        let error = logs.produce(&topic("t"), both.clone(), Some("both")).await.expect_err("there is no room");
        assert!(matches!(error, ProduceError::Disk { full: true, .. }), "{error}");
        assert_eq!((content(&logs, 0).await.len(), content(&logs, 1).await.len()), (1, 0));
    }
    logs.produce(&topic("t"), vec![small()], None).await.expect("a small one still fits");
    disk.set_capacity(None);
    let placed = logs.produce(&topic("t"), both.clone(), Some("both")).await.expect("there is room again");
    assert_eq!(placed[0], ProducedAt { partition: 0, offset: NextOffset::new(2) });
    assert_eq!(placed[1], ProducedAt { partition: 1, offset: NextOffset::ZERO });
    drop(logs);
    let logs = open_small(disk).expect("it opens again");
    assert_eq!((content(&logs, 0).await.len(), content(&logs, 1).await.len()), (3, 1));
    assert_eq!(logs.produce(&topic("t"), both, Some("both")).await.expect("it is known"), placed);
}

#[tokio::test]
async fn what_a_failing_disk_kept_of_a_refused_request_is_taken_back_later() {
    for works in 0..8 {
        let disk = MemDisk::new(None);
        let left = Arc::new(AtomicU64::new(u64::MAX));
        let logs = open_small(Arc::new(Failing { disk: disk.clone(), left: left.clone() })).expect("it opens");
        logs.create_topic(&topic("t"), 2).expect("it is made");
        let both = |name: &str| vec![record(0, format!("{name} 0")), record(1, format!("{name} 1"))];
        logs.produce(&topic("t"), both("first"), None).await.expect("it is appended");
        left.store(works, Ordering::Relaxed);
        let refused = logs.produce(&topic("t"), both("second"), None).await.is_err();
        assert_eq!(refused, works < 4, "two appends and two syncs make a request of two partitions");
        left.store(u64::MAX, Ordering::Relaxed);
        logs.produce(&topic("t"), both("third"), None).await.expect("it is appended");
        let expected = if refused { 2 } else { 3 };
        for logs in [logs, open_small(disk).expect("it opens again")] {
            for partition in [0, 1] {
                let found = content(&logs, partition).await;
                assert_eq!(found.len(), expected);
                assert_eq!(found[expected - 1].1, format!("third {partition}"));
            }
        }
    }
}

/// The files of partition 0, the oldest first.
fn files(disk: &MemDisk) -> Vec<PathBuf> {
    let topic = Path::new(DIR).join("t");
    let id =
        disk.list(&topic).expect("it is listed").into_iter().find(|entry| entry.is_dir).expect("the topic's folder");
    let dir = topic.join(id.name).join("0");
    disk.list(&dir).expect("it is listed").into_iter().map(|entry| dir.join(entry.name)).collect()
}

fn flip(disk: &MemDisk, path: &Path, at: usize) {
    let mut bytes = disk.read(path).expect("it is there");
    bytes[at] ^= 1;
    disk.write_whole(path, &bytes).expect("it is written");
}

/// The error that reading partition 0 from its start ends with.
async fn error_of(logs: &Arc<LocalLogs>) -> StreamError {
    let source = logs.source(topic("t"), TIMEOUT);
    let mut reader = match source.open(0, NextOffset::ZERO).await {
        Ok(reader) => reader,
        Err(error) => return error,
    };
    loop {
        match reader.next_batch(FetchLimit { max_messages: 1, ..LIMIT }).await {
            Ok(batch) => assert!(!batch.messages.is_empty(), "the end is reached without an error"),
            Err(error) => return error,
        }
    }
}

fn assert_names(error: &StreamError, path: &Path) {
    let name = path.file_name().and_then(|name| name.to_str()).expect("it has a name");
    assert!(
        matches!(error, StreamError::Corrupt { reason, .. } if reason.contains(&format!("{name} at byte "))),
        "{error} names {name}"
    );
}

async fn thirty_values(disk: &Arc<MemDisk>) -> Arc<LocalLogs> {
    let logs = open_small(disk.clone()).expect("it opens");
    logs.create_topic(&topic("t"), 1).expect("it is made");
    logs.create_topic(&topic("other"), 1).expect("it is made");
    for n in 0..30 {
        logs.produce(&topic("t"), vec![record(0, format!("value {n}"))], None).await.expect("it is appended");
    }
    logs
}

#[tokio::test]
async fn damage_in_a_closed_file_is_named_with_its_place() {
    let disk = MemDisk::new(None);
    let logs = thirty_values(&disk).await;
    let files = files(&disk);
    assert!(files.len() > 3);
    let middle = disk.byte_count(&files[0]).expect("it is there").expect("it is a file") as usize / 2;
    flip(&disk, &files[0], middle);
    assert_names(&error_of(&logs).await, &files[0]);
    // Whoever opens the log finds it when the file is read; what does not need the file works.
    let logs = open_small(disk.clone()).expect("it opens");
    assert_names(&error_of(&logs).await, &files[0]);
    logs.produce(&topic("t"), vec![record(0, "more".into())], None).await.expect("it is appended");
    flip(&disk, &files[0], middle);
    // A file that is missing in between is found too.
    disk.remove_file(&files[1]).expect("it is removed");
    let logs = open_small(disk.clone()).expect("it opens");
    let error = error_of(&logs).await;
    assert!(
        matches!(&error, StreamError::Lost { reason, .. } if reason.contains("what came behind it was removed")),
        "{error}"
    );
}

#[tokio::test]
async fn damage_in_the_last_file_is_not_taken_for_a_torn_end() {
    let disk = MemDisk::new(None);
    drop(thirty_values(&disk).await);
    let last = files(&disk).pop().expect("there are some");
    let whole = disk.read(&last).expect("it is there");
    let mut frames = 0;
    for at in 0..whole.len() {
        flip(&disk, &last, at);
        let logs = open_small(disk.clone()).expect("it opens");
        if logs.source(topic("t"), TIMEOUT).partitions().await.is_ok() {
            // Of the last append nothing behind it says that it was acknowledged.
            frames += 1;
        } else {
            assert_names(&error_of(&logs).await, &last);
            let error = logs.produce(&topic("t"), vec![record(0, "lost".into())], None).await;
            assert!(matches!(error, Err(ProduceError::Damaged { .. })), "{error:?}");
            logs.produce(&topic("other"), vec![record(0, "x".into())], None).await.expect("another topic works");
        }
        disk.write_whole(&last, &whole).expect("it is written");
    }
    assert!(frames > 0 && frames < whole.len() / 2, "{frames} of {}", whole.len());
}

#[tokio::test]
async fn a_topic_made_anew_is_not_read_on_in_silence() {
    let disk = MemDisk::new(None);
    let logs = thirty_values(&disk).await;
    let source = logs.source(topic("t"), TIMEOUT);
    let id = source.topic_id().await.expect("it is there");
    let mut reader = source.open(0, NextOffset::ZERO).await.expect("it opens");
    reader.next_batch(LIMIT).await.expect("a batch comes");
    logs.delete_topic(&topic("t")).expect("it is deleted");
    assert!(matches!(source.topic_id().await, Err(StreamError::TopicMissing { .. })));
    logs.create_topic(&topic("t"), 1).expect("it is made anew");
    for n in 0..40 {
        logs.produce(&topic("t"), vec![record(0, format!("new {n}"))], None).await.expect("it is appended");
    }
    // The new one is longer than the old one was: going on would pass over its beginning.
    assert!(matches!(reader.next_batch(LIMIT).await, Err(StreamError::TopicMissing { .. })));
    let anew = source.topic_id().await.expect("it is there again");
    assert!(id.is_some() && anew.is_some() && anew != id, "{id:?} {anew:?}");
    assert!(source.open(0, NextOffset::ZERO).await.is_ok(), "who starts anew may");
    assert_eq!(source.topics().await.expect("they are listed"), [topic("other"), topic("t")]);
}

#[tokio::test]
async fn requests_that_cannot_be_stored_are_refused_with_the_reason() {
    let logs = open_small(MemDisk::new(None)).expect("it opens");
    logs.create_topic(&topic("t"), 1).expect("it is made");
    let named = |length: usize| {
        let headers = vec![("h".repeat(length), Bytes::new())];
        ProduceRecord { headers, ..record(0, "x".into()) }
    };
    let long_key = "k".repeat(256);
    let large = ProduceRecord { value: Some(vec![0; REQUEST_BYTES].into()), ..record(0, String::new()) };
    for (records, key, named) in [
        (vec![large], None, "send it in parts"),
        (vec![named(70_000)], None, "header"),
        (vec![record(0, "x".into())], Some(""), "1 to 255"),
        (vec![record(0, "x".into())], Some(&*long_key), "1 to 255"),
    ] {
        let error = logs.produce(&topic("t"), records, key).await.expect_err("it is refused");
        assert!(matches!(&error, ProduceError::Refused { reason, .. } if reason.contains(named)), "{error}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    logs.produce(&topic("t"), vec![named(65_535)], Some("k")).await.expect("it fits");
    let error = logs.produce(&topic("t"), vec![named(1), named(2)], Some("k")).await.expect_err("another request");
    assert!(error.to_string().contains("a request of 1 records, this one has 2"), "{error}");
    assert_eq!(content(&logs, 0).await.len(), 1);
}

#[tokio::test]
async fn one_request_that_does_not_fit_does_not_fail_those_that_wait_with_it() {
    let disk = MemDisk::new(None);
    let logs = open_small(disk.clone()).expect("it opens");
    logs.create_topic(&topic("t"), 1).expect("it is made");
    logs.produce(&topic("t"), vec![record(0, "known".into())], Some("known")).await.expect("it is appended");
    disk.set_capacity(Some(disk.used_bytes() + 400));
    let ask = |value: String, key: Option<&'static str>| {
        let logs = logs.clone();
        async move { logs.produce(&topic("t"), vec![record(0, value)], key).await }
    };
    let asked = [("small".to_owned(), None), ("x".repeat(5000), None), ("known".to_owned(), Some("known"))];
    let answers = futures::future::join_all(asked.map(|(value, key)| ask(value, key))).await;
    assert!(matches!(answers[1], Err(ProduceError::Disk { full: true, .. })), "{answers:?}");
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert_eq!(answers[2].as_ref().expect("checked above")[0].offset, NextOffset::ZERO);
}

#[tokio::test]
async fn times_and_keys_are_found_in_closed_files_after_a_start() {
    let disk = MemDisk::new(None);
    let clock = SetClock::at(10_000_000);
    let options = LocalLogOptions { file_bytes: 300, ..LocalLogOptions::default() };
    let open = || LocalLogs::open(Path::new(DIR), disk.clone(), clock.clone(), options.clone()).expect("it opens");
    let logs = open();
    logs.create_topic(&topic("t"), 1).expect("it is made");
    let timed = |n: i64| ProduceRecord { timestamp_ms: Some(n * 10), ..record(0, n.to_string()) };
    let mut placed = vec![];
    for n in 0..100 {
        let key = format!("key-{n}");
        // Keys at the beginning and in between only.
        let key = (n < 40).then_some(&*key);
        placed.push(logs.produce(&topic("t"), vec![timed(n)], key).await.expect("it is appended"));
    }
    drop(logs);
    clock.advance(3_500_000);
    let logs = open();
    let source = logs.source(topic("t"), TIMEOUT);
    for (from_ms, offset) in [(-5, 0), (0, 0), (1, 1), (495, 50), (990, 99), (991, 100)] {
        let found = source.resolve(0, &StartAt::TimestampMs(from_ms), 0).await.expect("it resolves");
        assert_eq!(found, NextOffset::new(offset), "{from_ms}");
    }
    for n in [0, 20, 39] {
        let again = logs.produce(&topic("t"), vec![timed(n)], Some(&format!("key-{n}"))).await.expect("it is known");
        assert_eq!(again, placed[n as usize]);
    }
    drop(logs);
    clock.advance(3_600_000);
    let logs = open();
    let again = logs.produce(&topic("t"), vec![timed(1)], Some("key-1")).await.expect("it was forgotten");
    assert_eq!(again[0].offset, NextOffset::new(100));
}

#[tokio::test]
async fn a_deleted_topic_is_gone_and_one_made_anew_is_empty() {
    for seed in 0..20 {
        let disk = MemDisk::new(None);
        let logs = open_small(disk.clone()).expect("it opens");
        logs.create_topic(&topic("t"), 2).expect("it is made");
        for n in 0..20 {
            logs.produce(&topic("t"), vec![record(n % 2, n.to_string())], None).await.expect("it is appended");
        }
        let source = logs.source(topic("t"), TIMEOUT);
        let mut reader = source.open(0, NextOffset::new(10)).await.expect("it opens");
        assert!(logs.delete_topic(&topic("t")).expect("it is deleted"));
        assert!(!logs.delete_topic(&topic("t")).expect("it is gone"));
        assert!(matches!(reader.next_batch(LIMIT).await, Err(StreamError::TopicMissing { .. })));
        let error = logs.produce(&topic("t"), vec![record(0, "lost".into())], None).await;
        assert!(matches!(error, Err(ProduceError::NoTopic(_))));
        disk.crash(&mut Chance::seeded(seed));
        let logs = open_small(disk).expect("it opens again");
        assert_eq!(logs.topics(), []);
        assert!(logs.create_topic(&topic("t"), 2).expect("it is made anew"));
        assert_eq!((content(&logs, 0).await.len(), content(&logs, 1).await.len()), (0, 0));
    }
}

#[tokio::test]
async fn readers_wait_for_no_sync() {
    let disk = MemDisk::new(None);
    let logs = open_small(disk.clone()).expect("it opens");
    logs.create_topic(&topic("t"), 2).expect("it is made");
    logs.produce(&topic("t"), vec![record(0, "a".into())], None).await.expect("it is appended");
    disk.hold_syncing(true);
    let appending = tokio::spawn({
        let logs = logs.clone();
        async move { logs.produce(&topic("t"), vec![record(0, "b".into())], None).await }
    });
    while disk.waiting_syncs() == 0 {
        tokio::task::yield_now().await;
    }
    let values = |found: Vec<(NextOffset, String)>| found.into_iter().map(|(_, value)| value).collect::<Vec<_>>();
    assert_eq!(values(content(&logs, 0).await), ["a"]);
    assert!(!appending.is_finished());
    disk.hold_syncing(false);
    appending.await.expect("it ends").expect("it is appended");
    assert_eq!(values(content(&logs, 0).await), ["a", "b"]);
}
