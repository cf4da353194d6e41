//! Messages from several places of each partition: the oldest, some between, the newest. What changed over time shows.

use std::{collections::BTreeMap, time::Duration};
use weir_base::SharedClock;
use weir_streams::{FetchLimit, Messages, PartitionFact, SharedSource, StreamError};
use weir_types::{NextOffset, StartAt};

/// Messages that are looked at where nobody says how many.
pub const ROWS: usize = 1_000;
/// Messages that are looked at at most: shares below a ten-thousandth decide nothing.
pub const ROWS_MOST: usize = 10_000;
/// Bytes of values and keys that are looked at: they are all held at once, and a list of digits takes some thirty times as
/// much once it is read.
const BYTES_MOST: usize = 8 << 20;
/// How long messages are waited for in all: a person waits.
const WAIT: Duration = Duration::from_secs(15);
/// How long one place of a partition may take: others are behind it.
const WAIT_PLACE: Duration = Duration::from_secs(5);
/// Partitions that are looked into, spread over all: each costs a few fetches.
const PARTITIONS_MOST: usize = 32;
/// Places of a partition.
const PLACES: u64 = 4;
/// How far back a stream is read whose offsets cannot be counted back.
const LOOK_BACK: Duration = Duration::from_secs(3600);
/// Bytes of one fetch.
const FETCH_BYTES: usize = 4 << 20;

/// One message.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The partition's number.
    pub partition: u32,
    /// Its offset.
    pub offset: NextOffset,
    /// The stream's time, milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

impl Sample {
    /// The message at a position of a batch.
    pub(crate) fn of(partition: u32, messages: &dyn Messages, at: usize) -> Self {
        let (key, value) = (messages.key(at).map(<[u8]>::to_vec), messages.value(at).map(<[u8]>::to_vec));
        Self { partition, offset: messages.offset(at), timestamp_ms: messages.timestamp_ms(at), key, value }
    }
}

/// What was read, and what there is.
#[derive(Debug, Default)]
pub struct Sampled {
    /// Messages in the order of partitions and offsets.
    pub samples: Vec<Sample>,
    /// The partitions of the topic and what they hold.
    pub partitions: Vec<PartitionFact>,
    /// Why there are fewer messages than were asked for, where a bound ended the reading.
    pub cut: Option<String>,
}

impl Sampled {
    /// How many messages the topic holds, as far as offsets tell.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.partitions.iter().map(held_by).sum()
    }
}

fn held_by(fact: &PartitionFact) -> u64 {
    fact.watermarks.high.number().saturating_sub(fact.watermarks.low.number())
}

/// Samples as a batch.
pub(super) struct Batch<'a>(pub(super) &'a [Sample]);

impl Messages for Batch<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn offset(&self, at: usize) -> NextOffset {
        self.0[at].offset
    }

    fn timestamp_ms(&self, at: usize) -> Option<i64> {
        self.0[at].timestamp_ms
    }

    fn key(&self, at: usize) -> Option<&[u8]> {
        self.0[at].key.as_deref()
    }

    fn value(&self, at: usize) -> Option<&[u8]> {
        self.0[at].value.as_deref()
    }

    fn header(&self, _: usize, _: &str) -> Option<&[u8]> {
        None
    }
}

/// Reads up to `rows` messages.
pub(super) async fn sample(
    source: &SharedSource,
    clock: &SharedClock,
    partitions: Vec<PartitionFact>,
    rows: usize,
) -> Result<Sampled, StreamError> {
    let mut sampled = Sampled { partitions, ..Sampled::default() };
    let full: Vec<PartitionFact> =
        sampled.partitions.iter().filter(|fact| fact.watermarks.low < fact.watermarks.high).copied().collect();
    let step = full.len().div_ceil(PARTITIONS_MOST).max(1);
    let mut chosen: Vec<PartitionFact> = full.iter().step_by(step).copied().collect();
    if chosen.is_empty() {
        return Ok(sampled);
    }
    // What a small one has not, larger ones give.
    chosen.sort_by_key(held_by);
    let mut rows_left = rows;
    let until = clock.monotonic() + WAIT;
    let (mut found, mut bytes): (BTreeMap<(u32, NextOffset), Sample>, usize) = (BTreeMap::new(), 0);
    'reading: for (at, fact) in chosen.iter().enumerate() {
        let each = rows_left.div_ceil(chosen.len() - at).max(1);
        rows_left -= each.min(usize::try_from(held_by(fact)).unwrap_or(each)).min(rows_left);
        for (from, count) in places(source, clock, fact, each).await? {
            let left = until.saturating_sub(clock.monotonic());
            if left.is_zero() {
                sampled.cut = Some(format!("{} s were over", WAIT.as_secs()));
                break 'reading;
            }
            let reading = read(source, fact, from, count, &mut found, &mut bytes);
            tokio::select! {
                biased;
                read = reading => read?,
                () = clock.sleep(left.min(WAIT_PLACE)) => {
                    sampled.cut = Some(format!("partition {} gave nothing more in time", fact.partition));
                }
            }
            if bytes >= BYTES_MOST {
                sampled.cut = Some(format!("{} MiB were read", BYTES_MOST >> 20));
                break 'reading;
            }
        }
    }
    sampled.samples = found.into_values().collect();
    Ok(sampled)
}

/// Where a partition is looked into, and how many messages are taken there.
async fn places(
    source: &SharedSource,
    clock: &SharedClock,
    fact: &PartitionFact,
    each: usize,
) -> Result<Vec<(NextOffset, usize)>, StreamError> {
    let (low, high) = (fact.watermarks.low.number(), fact.watermarks.high.number());
    let whole = (fact.watermarks.low, each);
    if !source.dense() {
        let half = (each / 2).max(1);
        let back = source.resolve(fact.partition, &StartAt::Ago(LOOK_BACK), clock.wall_ms()).await?;
        return Ok(if back <= fact.watermarks.low { vec![whole] } else { vec![(whole.0, half), (back, half)] });
    }
    if high - low <= each as u64 || (each as u64) < PLACES {
        // The newest, where there is room for few: they are what comes next.
        return Ok(vec![(NextOffset::new(low.max(high.saturating_sub(each as u64))), each)]);
    }
    let count = each as u64 / PLACES;
    let last = high - count;
    let place = |at: u64| (NextOffset::new(low + (last - low) / (PLACES - 1) * at), count as usize);
    Ok((0..PLACES - 1).map(place).chain([(NextOffset::new(last), count as usize)]).collect())
}

/// Reads `count` messages of a partition from a place on, or what is there.
async fn read(
    source: &SharedSource,
    fact: &PartitionFact,
    from: NextOffset,
    count: usize,
    found: &mut BTreeMap<(u32, NextOffset), Sample>,
    bytes: &mut usize,
) -> Result<(), StreamError> {
    let mut reader = source.open(fact.partition, from).await?;
    let mut left = count;
    while left > 0 && *bytes < BYTES_MOST {
        let batch = reader.next_batch(FetchLimit { max_messages: left, max_bytes: FETCH_BYTES }).await?;
        let messages = &*batch.messages;
        for at in 0..messages.len().min(left) {
            let sample = Sample::of(fact.partition, messages, at);
            *bytes += sample.key.as_ref().map_or(0, Vec::len) + sample.value.as_ref().map_or(0, Vec::len);
            found.insert((fact.partition, sample.offset), sample);
        }
        left = left.saturating_sub(messages.len());
        if batch.range.is_empty() || batch.range.end() >= fact.watermarks.high {
            break;
        }
    }
    Ok(())
}
