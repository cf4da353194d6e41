//! What every stream does. A member's test makes a topic and a way to append to it, and calls `run`.

use crate::contract::{FetchLimit, PartitionReader, SharedSource, StreamError, Watermarks};
use std::time::Duration;
use weir_types::{NextOffset, StartAt};

/// A message as the suite appends and expects it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Time stamp, milliseconds.
    pub timestamp_ms: i64,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub value: Option<Vec<u8>>,
}

/// A stream under test: a topic with two empty partitions.
#[async_trait::async_trait]
pub trait Subject: Send + Sync {
    /// The topic as a stream, with a short fetch time-out.
    fn source(&self) -> SharedSource;
    /// A topic of the same stream that is not there.
    fn missing(&self) -> SharedSource;
    /// Appends to a partition, in order, and waits until they can be read.
    async fn append(&self, partition: u32, messages: Vec<Sent>);
    /// What a message that was appended looks like when it is read, where the stream cannot keep all of it.
    fn read_as(&self, sent: &Sent) -> Sent {
        sent.clone()
    }
    /// Bytes of the largest value that the stream takes, of those that the suite has.
    fn largest(&self) -> usize {
        3 << 20
    }
    /// Whether messages keep the times that they are appended with; others get their own, ascending.
    fn keeps_times(&self) -> bool {
        true
    }
}

const LIMIT: FetchLimit = FetchLimit { max_messages: 100, max_bytes: 1 << 20 };
/// Whatever has not come by then does not come.
const DEADLINE: Duration = Duration::from_secs(30);

async fn read(reader: &mut Box<dyn PartitionReader>, count: usize) -> Vec<(NextOffset, Sent)> {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let mut found = vec![];
    let mut next = None;
    while found.len() < count {
        assert!(tokio::time::Instant::now() < deadline, "{} of {count} messages came", found.len());
        let batch = reader.next_batch(LIMIT).await.expect("a batch comes");
        if let Some(next) = next {
            assert_eq!(batch.range.start(), next, "batches follow one another");
        }
        next = Some(batch.range.end());
        for at in 0..batch.messages.len() {
            let offset = batch.messages.offset(at);
            assert!(batch.range.contains(offset), "messages lie in the batch's range");
            let sent = Sent {
                timestamp_ms: batch.messages.timestamp_ms(at).expect("a time stamp"),
                key: batch.messages.key(at).map(<[u8]>::to_vec),
                value: batch.messages.value(at).map(<[u8]>::to_vec),
            };
            found.push((offset, sent));
        }
    }
    assert_eq!(found.len(), count, "no more than was appended");
    found
}

/// Runs the suite.
pub async fn run(subject: &dyn Subject) {
    let source = subject.source();
    assert_eq!(source.partitions().await.expect("partitions"), [0, 1]);
    let gone = subject.missing().partitions().await;
    assert!(matches!(gone, Err(StreamError::TopicMissing { .. })), "{gone:?}");
    let large = vec![b'x'; subject.largest()];
    let mut sent: Vec<Sent> = (0..250_i64)
        .map(|n| Sent {
            timestamp_ms: 1_700_000_000_000 + n * 1000,
            key: (n % 3 == 0).then(|| format!("k{n}").into_bytes()),
            value: (n % 7 != 0).then(|| format!("value {n}").into_bytes()),
        })
        .collect();
    sent[100].value = Some(large);
    subject.append(0, sent.clone()).await;

    let mut reader = source.open(0, NextOffset::ZERO).await.expect("it opens");
    let found = read(&mut reader, sent.len()).await;
    let same = |found: &Sent, sent: &Sent| {
        let sent = subject.read_as(sent);
        let kept = !subject.keeps_times() || found.timestamp_ms == sent.timestamp_ms;
        kept && (&found.key, &found.value) == (&sent.key, &sent.value)
    };
    let in_order = found.iter().zip(&sent).all(|((_, found), sent)| same(found, sent));
    assert!(in_order, "messages come as they were appended, in order");
    assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0), "offsets ascend");

    // The end is reached without an error and without moving.
    let last = found.last().expect("there are some").0.after();
    let batch = reader.next_batch(LIMIT).await.expect("the end is no error");
    let end = batch.range.end();
    assert!(batch.messages.is_empty() && batch.range.is_empty());
    assert!(if source.dense() { end == last } else { end >= last }, "{end} lies behind the last message");
    assert_eq!(batch.high_watermark, Some(end));

    // A dropped fetch loses nothing.
    for _ in 0..3 {
        let pending = reader.next_batch(LIMIT);
        drop(tokio::time::timeout(Duration::from_millis(5), pending).await);
    }
    let more = vec![Sent { timestamp_ms: 1_700_000_900_000, key: None, value: Some(b"more".to_vec()) }];
    subject.append(0, more.clone()).await;
    let (at, came) = read(&mut reader, 1).await.remove(0);
    assert!(same(&came, &more[0]) && at >= end);

    // Any offset can be started from.
    for at in [0, 1, 99, 100, 101, 249] {
        let mut reader = source.open(0, found[at].0).await.expect("it opens");
        assert_eq!(read(&mut reader, sent.len() - at + 1).await[0].0, found[at].0);
    }
    let marks = source.watermarks(0).await.expect("watermarks");
    let behind = if source.dense() { at.after() } else { reader.next_batch(LIMIT).await.expect("a batch").range.end() };
    assert_eq!((marks.low, marks.high), (found[0].0, behind));
    if subject.keeps_times() {
        by_given_times(&source, &found, marks).await;
    } else {
        by_own_times(&source, &found, marks).await;
    }
    let now = 1_700_000_900_000;
    let empty = source.resolve(1, &StartAt::Latest, now).await.expect("it resolves");
    assert_eq!(empty, source.resolve(1, &StartAt::Earliest, now).await.expect("it resolves"), "it is empty");
    if source.dense() {
        assert_eq!(empty, NextOffset::ZERO);
    }
    assert_eq!(source.resolve_all(&[], &StartAt::Latest, now).await.expect("nothing is asked"), []);

    // Beyond the end is out of range, and a partition that is not there is missing.
    let beyond = NextOffset::new(marks.high.number() + 5);
    let error = error_of(&source, 0, beyond).await;
    assert!(
        matches!(error, StreamError::OutOfRange { asked, held, .. } if asked == beyond && held == marks),
        "{error:?}"
    );
    let error = error_of(&source, 9, NextOffset::ZERO).await;
    assert!(matches!(error, StreamError::PartitionMissing { partition: 9, .. }), "{error:?}");
    let error = source.watermarks(9).await;
    assert!(matches!(error, Err(StreamError::PartitionMissing { partition: 9, .. })), "{error:?}");
}

/// Messages of the suite are a second apart.
async fn by_given_times(source: &SharedSource, found: &[(NextOffset, Sent)], marks: Watermarks) {
    let now = 1_700_000_900_000;
    for (at, expected) in [
        (StartAt::Earliest, marks.low),
        (StartAt::Latest, marks.high),
        (StartAt::TimestampMs(1_700_000_000_000), marks.low),
        (StartAt::TimestampMs(1_700_000_119_500), found[120].0),
        (StartAt::TimestampMs(now + 1), marks.high),
        (StartAt::Ago(Duration::from_secs(900 - 30)), found[30].0),
        (StartAt::Offset(found[5].0), found[5].0),
    ] {
        resolves(source, &at, now, expected).await;
    }
}

/// Messages have the times at which they came, some the same.
async fn by_own_times(source: &SharedSource, found: &[(NextOffset, Sent)], marks: Watermarks) {
    let first_since = |ms: i64| found.iter().find(|(_, sent)| sent.timestamp_ms >= ms).expect("there is one").0;
    let (from, to) = (found[0].1.timestamp_ms, found[249].1.timestamp_ms);
    for (at, expected) in [
        (StartAt::Earliest, marks.low),
        (StartAt::Latest, marks.high),
        (StartAt::TimestampMs(0), marks.low),
        (StartAt::TimestampMs(from), marks.low),
        (StartAt::TimestampMs(found[120].1.timestamp_ms), first_since(found[120].1.timestamp_ms)),
        (StartAt::TimestampMs(to), first_since(to)),
        (StartAt::TimestampMs(to + 3_600_000), marks.high),
        (StartAt::Ago(Duration::from_secs(3600)), marks.low),
        (StartAt::Offset(found[5].0), found[5].0),
    ] {
        resolves(source, &at, to, expected).await;
    }
}

async fn resolves(source: &SharedSource, at: &StartAt, now: i64, expected: NextOffset) {
    assert_eq!(source.resolve(0, at, now).await.expect("it resolves"), expected, "{at:?}");
    let empty = source.resolve(1, at, now).await.expect("it resolves");
    let all = source.resolve_all(&[1, 0], at, now).await.expect("they resolve");
    assert_eq!(all, [empty, expected], "{at:?}, in the order of the question");
}

/// The error that reading from there meets, at opening or by a fetch.
async fn error_of(source: &SharedSource, partition: u32, from: NextOffset) -> StreamError {
    let mut reader = match source.open(partition, from).await {
        Ok(reader) => reader,
        Err(error) => return error,
    };
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        assert!(tokio::time::Instant::now() < deadline, "reading {partition} from {from} is an error");
        match reader.next_batch(LIMIT).await {
            Ok(batch) => assert!(batch.messages.is_empty(), "there is nothing to read"),
            Err(error) => return error,
        }
    }
}
