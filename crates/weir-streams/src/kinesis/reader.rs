//! One shard, read in order from an offset to its end.
//!
//! A shard that was split off, or merged, is read once its parents have been read to their ends here: a key's records keep
//! their order. Refusals for haste are waited out, up to the fetch's time: the batch is then empty.

use super::{
    api::{Api, Failure, Kind, Page, Shard, Start},
    family::Family,
};
use crate::contract::{FetchLimit, MessageBatch, Messages, PartitionReader, StreamError, Watermarks};
use async_trait::async_trait;
use aws_sdk_kinesis::types::Record;
use futures::future::BoxFuture;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::Instant;
use weir_base::{Backoff, Chance};
use weir_types::{NextOffset, OffsetRange};

/// A shard that has nothing new is asked again after this, where its turn does not come later.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// Waits after a refusal for haste.
const THROTTLED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// Answers that are read to find a shard's first or last record: a busy shard's end is never quite reached.
const LOOKS: usize = 20;
/// The last record is looked for as far back, a step at a time: most shards had one just now.
const BACK_MS: [i64; 6] = [5_000, 60_000, 600_000, 3_600_000, 21_600_000, 86_400_000];

/// One shard as the service knows it.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) api: Arc<Api>,
    pub(super) shard: Shard,
    pub(super) topic: String,
}

impl Place {
    pub(super) fn failed(&self, failure: Failure) -> StreamError {
        failure.at(&self.api.settings).into_error(&self.topic)
    }

    fn offset(&self, record: &Record) -> Result<NextOffset, StreamError> {
        let counter = self.shard.begins.counter(record.sequence_number()).ok_or_else(|| StreamError::Corrupt {
            topic: self.topic.clone(),
            reason: format!(
                "record {} of {} has a sequence number of a form that is not known",
                record.sequence_number(),
                self.shard.id
            ),
        })?;
        Ok(NextOffset::new(counter))
    }

    /// One answer, in its turn; a refusal for haste is waited out.
    async fn page(&self, iterator: &str, most: usize) -> Result<Page, StreamError> {
        let mut backoff = Backoff::new(THROTTLED.0, THROTTLED.1, Chance::from_entropy());
        loop {
            self.api.turn("records", &self.shard).await;
            match self.api.records(iterator, most).await {
                Err(failure) if failure.kind == Kind::Throttled => tokio::time::sleep(backoff.next()).await,
                page => return page.map_err(|failure| self.failed(failure)),
            }
        }
    }

    /// The first record from there on, and the last one that a few answers lead to.
    async fn look(&self, from: Start, to_the_last: bool) -> Result<Option<(NextOffset, NextOffset)>, StreamError> {
        let mut iterator = match self.api.iterator(&self.shard, &from).await {
            Ok(iterator) => iterator,
            // A time that has not come yet.
            Err(failure) if failure.kind == Kind::Argument && matches!(from, Start::Time(_)) => return Ok(None),
            Err(failure) => return Err(self.failed(failure)),
        };
        let mut found = None::<(NextOffset, NextOffset)>;
        for _ in 0..LOOKS {
            let page = self.page(&iterator, if to_the_last { usize::MAX } else { 1 }).await?;
            for record in &page.records {
                let at = self.offset(record)?;
                found = Some(found.map_or((at, at), |(first, _)| (first, at)));
            }
            let at_end = page.records.is_empty() && page.behind_ms == 0;
            let Some(next) = page.next.filter(|_| !at_end && (to_the_last || found.is_none())) else { break };
            iterator = next;
        }
        Ok(found)
    }

    /// Whether the record before an offset, or the one at it, is there: then nothing was deleted that was not read. Costs one
    /// answer where the offset is where somebody read to.
    pub(super) async fn holds_before(&self, offset: NextOffset) -> Result<bool, StreamError> {
        let from = Start::At(self.shard.begins.before(offset.number() - 1));
        let mut iterator = match self.api.iterator(&self.shard, &from).await {
            Ok(iterator) => iterator,
            Err(failure) if failure.kind == Kind::Argument => return Ok(false),
            Err(failure) => return Err(self.failed(failure)),
        };
        for _ in 0..LOOKS {
            let page = self.page(&iterator, 1).await?;
            if let Some(record) = page.records.first() {
                let at = self.offset(record)?;
                return Ok(at.after() == offset || at == offset);
            }
            let Some(next) = page.next.filter(|_| page.behind_ms > 0) else { return Ok(false) };
            iterator = next;
        }
        Ok(false)
    }

    /// The first record of that time or later.
    pub(super) async fn since(&self, from_ms: i64) -> Result<Option<NextOffset>, StreamError> {
        Ok(self.look(Start::Time(from_ms), false).await?.map(|(first, _)| first))
    }

    pub(super) async fn oldest(&self) -> Result<Option<NextOffset>, StreamError> {
        Ok(self.look(Start::Horizon, false).await?.map(|(first, _)| first))
    }

    /// Behind the last record. Of a shard that is written to faster than it is looked at, somewhat before it.
    pub(super) async fn end(&self, now_ms: i64) -> Result<Option<NextOffset>, StreamError> {
        for back in BACK_MS {
            if let Some((_, last)) = self.look(Start::Time(now_ms - back), true).await? {
                return Ok(Some(last.after()));
            }
        }
        Ok(self.look(Start::Horizon, true).await?.map(|(_, last)| last.after()))
    }

    pub(super) async fn watermarks(&self, now_ms: i64) -> Result<Watermarks, StreamError> {
        let Some(low) = self.oldest().await? else {
            return Ok(Watermarks { low: NextOffset::ZERO, high: NextOffset::ZERO });
        };
        let high = self.end(now_ms).await?.unwrap_or(low);
        Ok(Watermarks { low, high: high.max(low) })
    }
}

/// A record with its offset.
struct Held {
    at: NextOffset,
    record: Record,
}

/// What came of a question: the iterator that it was put with, where there was one, and the answer.
type Answer = (Option<String>, Result<Page, Failure>);

/// A reader of one shard.
pub(super) struct KinesisReader {
    place: Place,
    family: Arc<Family>,
    fetch_timeout: Duration,
    /// Where the next batch begins.
    next: NextOffset,
    /// Behind the last record that is held.
    expected: NextOffset,
    /// The last record's own number: what follows it is asked for by it.
    last: Option<String>,
    held: VecDeque<Held>,
    iterator: Option<String>,
    /// A question that is under way. It outlives the call that put it: whoever waits less than an answer takes, and asks
    /// again, would never have one.
    asked: Option<BoxFuture<'static, Answer>>,
    /// The shard was read to its end.
    ended: bool,
    at_end: bool,
    /// That the end was reached has been said.
    told: bool,
    backoff: Backoff,
    not_before: Instant,
    /// The turn that was taken for the next question.
    turn: Option<Instant>,
    opened: Instant,
}

impl KinesisReader {
    pub(super) fn new(place: Place, family: Arc<Family>, from: NextOffset, fetch_timeout: Duration) -> Self {
        family.opened(place.shard.number);
        let now = Instant::now();
        Self {
            place,
            family,
            fetch_timeout,
            next: from,
            expected: from,
            last: None,
            held: VecDeque::new(),
            iterator: None,
            asked: None,
            ended: false,
            at_end: false,
            told: false,
            backoff: Backoff::new(THROTTLED.0, THROTTLED.1, Chance::from_entropy()),
            not_before: now,
            turn: None,
            opened: now,
        }
    }

    /// Where the iterator is to begin: with what was read last where that is known, else with what the offset says.
    fn from(&self) -> Start {
        match &self.last {
            Some(last) => Start::After(last.clone()),
            None if self.expected == NextOffset::ZERO => Start::Horizon,
            None => Start::At(self.place.shard.begins.before(self.expected.number())),
        }
    }

    /// A question for the next records.
    fn question(&mut self, most: usize) -> BoxFuture<'static, Answer> {
        let (api, shard, from) = (self.place.api.clone(), self.place.shard.clone(), self.from());
        let (iterator, is_first) = (self.iterator.take(), self.last.is_none());
        Box::pin(async move {
            let made = match iterator {
                Some(iterator) => Ok(iterator),
                None => match api.iterator(&shard, &from).await {
                    // The service does not take a number that no record has: the oldest record leads there too.
                    Err(failure) if failure.kind == Kind::Argument && is_first => {
                        api.iterator(&shard, &Start::Horizon).await
                    }
                    made => made,
                },
            };
            match made {
                Ok(iterator) => {
                    let page = api.records(&iterator, most).await;
                    (Some(iterator), page)
                }
                Err(failure) => (None, Err(failure)),
            }
        })
    }

    /// Waits for the answer to a question, which is put where none is under way, at most until `deadline`; what comes is held.
    async fn ask(&mut self, most: usize, deadline: Instant) -> Result<(), Failure> {
        let asked = match self.asked.take() {
            Some(asked) => asked,
            None => self.question(most),
        };
        self.turn = None;
        let asked = self.asked.insert(asked);
        let Ok((iterator, answer)) = tokio::time::timeout_at(deadline, asked).await else { return Ok(()) };
        self.asked = None;
        self.iterator = iterator;
        let page = answer?;
        self.at_end = page.records.is_empty() && page.behind_ms == 0;
        for record in page.records {
            let Ok(at) = self.place.offset(&record) else {
                // Told by the batch that comes to it.
                self.held.push_back(Held { at: self.expected, record });
                break;
            };
            if at >= self.expected {
                self.last = Some(record.sequence_number().to_owned());
                self.expected = at.after();
                self.told = false;
                self.held.push_back(Held { at, record });
            }
        }
        self.ended = page.next.is_none();
        self.iterator = page.next;
        if self.ended {
            self.family.ended(self.place.shard.number);
        }
        Ok(())
    }

    /// What is held, as far as the limit goes.
    fn batch(&mut self, limit: FetchLimit) -> Result<MessageBatch, StreamError> {
        let (mut taken, mut bytes) = (vec![], 0);
        let mut end = self.next;
        while let Some(held) = self.held.front() {
            if taken.is_empty() {
                self.place.offset(&held.record)?;
            }
            bytes += held.record.data().as_ref().len();
            let odd = self.place.offset(&held.record).is_err();
            if odd || (!taken.is_empty() && (taken.len() >= limit.max_messages || bytes > limit.max_bytes)) {
                break;
            }
            end = held.at.after();
            taken.extend(self.held.pop_front());
        }
        let range = OffsetRange::try_new(self.next, end).expect("offsets ascend");
        self.next = end;
        let all_read = self.held.is_empty() && (self.at_end || self.ended);
        Ok(MessageBatch {
            range,
            messages: Box::new(KinesisMessages { records: taken, shard: self.place.shard.id.clone() }),
            // How far behind it is the service says in time only.
            high_watermark: all_read.then_some(end),
            low_watermark: None,
        })
    }

    /// Waits until the shard may be asked, at most until `deadline`. False where it may not by then.
    async fn may_ask(&mut self, deadline: Instant) -> bool {
        let at = *self.turn.get_or_insert_with(|| Instant::now() + self.place.api.claim("records", &self.place.shard));
        let at = at.max(self.not_before);
        tokio::time::sleep_until(at.min(deadline)).await;
        at <= deadline
    }
}

#[async_trait]
impl PartitionReader for KinesisReader {
    async fn next_batch(&mut self, limit: FetchLimit) -> Result<MessageBatch, StreamError> {
        let deadline = Instant::now() + self.fetch_timeout;
        loop {
            if !self.held.is_empty() {
                return self.batch(limit);
            }
            if (self.at_end || self.ended) && !self.told {
                self.told = true;
                return self.batch(limit);
            }
            if Instant::now() >= deadline {
                return self.batch(limit);
            }
            if self.ended || !self.family.may_read(&self.place.shard, self.opened.elapsed()) {
                tokio::time::sleep_until(deadline.min(Instant::now() + AGAIN_AFTER)).await;
                continue;
            }
            if self.asked.is_none() && !self.may_ask(deadline).await {
                continue;
            }
            match self.ask(limit.max_messages, deadline).await {
                // It is still under way.
                Ok(()) if self.asked.is_some() => {}
                Ok(()) => {
                    self.backoff.reset();
                    if self.at_end {
                        self.not_before = Instant::now() + AGAIN_AFTER;
                    }
                }
                Err(failure) if failure.kind == Kind::Throttled => {
                    self.not_before = Instant::now() + self.backoff.next()
                }
                Err(failure) if failure.kind == Kind::Expired => self.iterator = None,
                Err(failure) => {
                    self.iterator = None;
                    return Err(self.place.failed(failure));
                }
            }
        }
    }
}

struct KinesisMessages {
    records: Vec<Held>,
    shard: String,
}

impl Messages for KinesisMessages {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn offset(&self, at: usize) -> NextOffset {
        self.records[at].at
    }

    fn timestamp_ms(&self, at: usize) -> Option<i64> {
        // Seconds with a fraction, as a binary number: the nearest millisecond is the one that was meant.
        let nanos = self.records[at].record.approximate_arrival_timestamp()?.as_nanos();
        i64::try_from((nanos + 500_000).div_euclid(1_000_000)).ok()
    }

    fn key(&self, at: usize) -> Option<&[u8]> {
        self.records[at].record.partition_key().map(str::as_bytes)
    }

    /// A record without bytes has no value.
    fn value(&self, at: usize) -> Option<&[u8]> {
        let data = self.records[at].record.data().as_ref();
        (!data.is_empty()).then_some(data)
    }

    fn header(&self, _: usize, _: &str) -> Option<&[u8]> {
        None
    }

    fn metadata(&self, at: usize, name: &str) -> Option<String> {
        let record = &self.records[at].record;
        match name {
            "sequenceNumber" => Some(record.sequence_number().to_owned()),
            "partitionKey" => record.partition_key().map(str::to_owned),
            "shardId" => Some(self.shard.clone()),
            "apprxArrivalTimestamp" => self.timestamp_ms(at).map(|time| time.to_string()),
            _ => None,
        }
    }
}
