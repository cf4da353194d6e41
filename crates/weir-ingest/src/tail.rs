//! The messages of a topic as they come, for somebody who watches: of a table with what becomes of each, of a topic that nobody
//! has described as far as its format can be guessed. Nothing is stored, and no table is touched.
//!
//! In order: the topics are asked for their partitions, each partition gets a reader at its place, and whatever comes is decoded
//! and told, until as many were told as were asked for, the end is reached that was there at the start, or nobody listens any
//! more.

use crate::{
    deps::IngestDeps,
    dry_run::{Fate, fates},
    error::IngestError,
    feeds::{Feed, Feeds, feeds},
    infer::{InferRequest, Looker, Sample},
    pipeline::settings_decoder,
    prepare::RecordDecoder,
};
use futures::{StreamExt, stream::FuturesUnordered};
use serde_json::{Map, Value as Json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::mpsc::Sender;
use weir_base::SharedClock;
use weir_control::TableRecord;
use weir_streams::{FetchLimit, MessageBatch, PartitionFact, PartitionReader, SharedSource, StreamError};
use weir_types::{NextOffset, StartAt, StreamPartition, StreamSpec, TopicName};

/// Partitions that are watched at once: each has a reader with a queue of its own.
pub const TAILED_PARTITIONS_MOST: usize = 64;
/// Messages of one fetch: some pages of a terminal.
const FETCH_MESSAGES: usize = 500;
/// Bytes of one fetch: so much is decoded between two looks at whether anybody listens.
const FETCH_BYTES: usize = 1 << 20;
/// Where nothing comes, that is said so often: whoever has gone is noticed then.
const QUIET: Duration = Duration::from_secs(1);
/// Before a stream that failed is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often a topic is asked whether it is still the one that was watched: it costs a question for each partition.
const SAME_TOPIC: Duration = Duration::from_secs(5);
/// How far back a stream is read whose offsets cannot be counted back.
const LOOK_BACK: Duration = Duration::from_secs(3600);

/// Where watching begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TailFrom {
    /// With what comes from now on.
    Latest,
    /// With the oldest message.
    Earliest,
    /// With that many of the newest, over all partitions.
    Last(u64),
    /// At that offset of each partition, or at the end of its log that is nearest.
    Offset(NextOffset),
}

/// What is watched.
pub enum TailOf {
    /// The topics of a table.
    Table(Box<TableRecord>),
    /// A topic; its format is guessed, or named in the request.
    Topic(Box<StreamSpec>, InferRequest),
}

/// How it is watched.
#[derive(Debug, Clone)]
pub struct TailRequest {
    /// From where.
    pub from: TailFrom,
    /// Messages that are told at most.
    pub limit: Option<u64>,
    /// Whether it is over at the end that the log has now.
    pub once: bool,
    /// The only partition that is watched.
    pub partition: Option<u32>,
}

/// A message that came.
#[derive(Debug)]
pub struct Seen {
    /// Where it stands.
    pub partition: StreamPartition,
    /// Its offset.
    pub offset: NextOffset,
    /// The stream's time, milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    /// Its key's bytes.
    pub key: Option<Vec<u8>>,
    /// Its value's bytes.
    pub value: Option<Vec<u8>>,
    /// Its fields as they were sent, where they can be read without a table.
    pub record: Option<Map<String, Json>>,
    /// Why they cannot.
    pub reason: Option<String>,
    /// What the table makes of it.
    pub fate: Option<Fate>,
}

/// What is told to whoever watches.
#[derive(Debug)]
pub enum TailEvent {
    /// A partition is watched from there on.
    Begin {
        /// The partition and what it holds.
        partition: StreamPartition,
        /// What it holds.
        fact: PartitionFact,
        /// From where.
        from: NextOffset,
    },
    /// Something about the whole.
    Note(String),
    /// Messages, and where the log of their partition ended then.
    Seen(Vec<Seen>, Option<NextOffset>),
    /// Something does not work, and is tried again.
    Trouble {
        /// The partition.
        partition: StreamPartition,
        /// Why.
        reason: String,
    },
    /// It cannot go on.
    Failed(String),
    /// Nothing came for a while.
    Quiet,
}

/// How the values of a topic are read.
enum Reading {
    Table(Box<RecordDecoder>),
    Guess,
}

/// A partition that is watched.
struct Place {
    source: SharedSource,
    partition: StreamPartition,
    reading: Reading,
    next: NextOffset,
    until: Option<NextOffset>,
    reader: Option<Box<dyn PartitionReader>>,
    said: Option<String>,
    /// The identity of the topic that is watched, where the stream tells one.
    known: Option<Arc<str>>,
    /// When it was asked for last.
    asked: Duration,
}

/// What a partition gave.
enum Got {
    Batch(MessageBatch),
    /// The topic was made anew: it is watched from its beginning.
    Anew,
    Trouble(StreamError),
}

/// A tail that is ready to run.
pub struct Tail {
    clock: SharedClock,
    request: TailRequest,
    places: Vec<Place>,
    lookers: BTreeMap<TopicName, Looker>,
    begun: Vec<TailEvent>,
}

impl Tail {
    /// Asks the topics where watching begins.
    ///
    /// # Errors
    /// A topic does not answer, or there is nothing that can be watched.
    pub(crate) async fn open(deps: &IngestDeps, of: TailOf, request: TailRequest) -> Result<Self, IngestError> {
        let mut tail =
            Self { clock: deps.clock.clone(), request, places: vec![], lookers: BTreeMap::new(), begun: vec![] };
        match of {
            TailOf::Table(record) => {
                for feed in feeds(deps, &record, &Feeds::new())?.values() {
                    let decoder = |partition| {
                        let made = settings_decoder(&record, &feed.spec, partition, deps.clock.wall_ms());
                        Ok(Reading::Table(Box::new(made.map_err(|reason| feed.setting(reason))?)))
                    };
                    tail.add(feed, decoder).await?;
                }
            }
            TailOf::Topic(spec, look) => {
                tail.lookers.insert(spec.topic.clone(), Looker::new(spec.topic.as_str(), look));
                tail.add(&Feed::new(deps, 0, *spec)?, |_| Ok(Reading::Guess)).await?;
            }
        }
        let count = tail.places.len();
        if count > TAILED_PARTITIONS_MOST {
            return Err(wrong(format!(
                "there are {count} partitions, and {TAILED_PARTITIONS_MOST} at most are watched at once: name one"
            )));
        }
        if count == 0 {
            let asked = tail.request.partition.map_or_else(|| "a partition".to_owned(), |id| format!("partition {id}"));
            return Err(wrong(format!("nothing that is watched has {asked}")));
        }
        tail.place().await?;
        Ok(tail)
    }

    /// Adds the partitions of a topic.
    async fn add(
        &mut self,
        feed: &Feed,
        reading: impl Fn(u32) -> Result<Reading, IngestError>,
    ) -> Result<(), IngestError> {
        let topic = &feed.spec.topic;
        // A stream that does not tell it now is asked again later.
        let known = feed.source.topic_id().await.ok().flatten();
        let asked = self.clock.monotonic();
        let probed = feed.source.probe(feed.spec.only_partitions.as_deref()).await;
        let facts = probed
            .map_err(|probe| IngestError::Setting { path: format!("topic {topic}"), reason: probe.to_string() })?;
        for fact in facts.into_iter().filter(|fact| self.request.partition.is_none_or(|only| only == fact.partition)) {
            let partition = StreamPartition { topic: topic.clone(), partition: fact.partition };
            self.begun.push(TailEvent::Begin { partition: partition.clone(), fact, from: fact.watermarks.high });
            self.places.push(Place {
                source: feed.source.clone(),
                partition,
                reading: reading(fact.partition)?,
                next: fact.watermarks.high,
                until: self.request.once.then_some(fact.watermarks.high),
                reader: None,
                said: None,
                known: known.clone(),
                asked,
            });
        }
        Ok(())
    }

    /// Finds where each partition begins.
    async fn place(&mut self) -> Result<(), IngestError> {
        let held: Vec<(u64, u64)> = self.begun.iter().filter_map(TailEvent::held).collect();
        let shares = match self.request.from {
            TailFrom::Last(count) => shares(count, &held),
            _ => vec![0; held.len()],
        };
        let mut counted = true;
        for (((place, begun), share), (low, high)) in self.places.iter_mut().zip(&mut self.begun).zip(shares).zip(held)
        {
            place.next = match self.request.from {
                TailFrom::Latest => NextOffset::new(high),
                TailFrom::Earliest => NextOffset::new(low),
                TailFrom::Offset(offset) => NextOffset::new(offset.number().clamp(low, high.max(low))),
                TailFrom::Last(_) if place.source.dense() => NextOffset::new(high - share),
                TailFrom::Last(_) => {
                    counted = false;
                    let back = StartAt::Ago(LOOK_BACK);
                    let asked = place.source.resolve(place.partition.partition, &back, self.clock.wall_ms()).await;
                    asked.map_err(|error| wrong(error.to_string()))?
                }
            };
            if let TailEvent::Begin { from, .. } = begun {
                *from = place.next;
            }
        }
        if !counted {
            let minutes = LOOK_BACK.as_secs() / 60;
            self.begun.push(TailEvent::Note(format!(
                "offsets of this stream cannot be counted back: it begins {minutes} minutes ago"
            )));
        }
        Ok(())
    }

    /// Tells what comes until it is over, or nobody listens.
    pub async fn run(mut self, out: Sender<TailEvent>) {
        for event in std::mem::take(&mut self.begun) {
            if out.send(event).await.is_err() {
                return;
            }
        }
        let mut left = self.request.limit.unwrap_or(u64::MAX);
        let clock = self.clock.clone();
        let mut reading = FuturesUnordered::new();
        for place in std::mem::take(&mut self.places).into_iter().filter(|place| !place.is_over()) {
            reading.push(next(place, clock.clone()));
        }
        while left > 0 && !reading.is_empty() {
            let (mut place, got) = tokio::select! {
                biased;
                () = out.closed() => return,
                Some(got) = reading.next() => got,
                () = clock.sleep(QUIET) => {
                    if out.send(TailEvent::Quiet).await.is_err() {
                        return;
                    }
                    continue;
                }
                else => return,
            };
            let told = match got {
                Got::Batch(batch) => self.tell(&mut place, batch, &mut left, &out).await,
                Got::Anew => {
                    let said = format!(
                        "{} was made anew: it is watched from its first message, {}, on",
                        place.partition, place.next
                    );
                    out.send(TailEvent::Note(said)).await.ok()
                }
                Got::Trouble(error) => place.trouble(error, &out).await,
            };
            if told.is_none() {
                return;
            }
            if !place.is_over() {
                reading.push(next(place, clock.clone()));
            }
        }
    }

    /// Tells a batch. None where it cannot go on.
    async fn tell(
        &mut self,
        place: &mut Place,
        batch: MessageBatch,
        left: &mut u64,
        out: &Sender<TailEvent>,
    ) -> Option<()> {
        place.next = batch.range.end();
        place.said = None;
        let most = usize::try_from(*left).unwrap_or(usize::MAX);
        let count = batch.messages.len().min(most);
        if count == 0 {
            return Some(());
        }
        let messages = &*batch.messages;
        let mut seen: Vec<Seen> = match &mut place.reading {
            Reading::Table(decoder) => {
                // As with the table: what a registry does not tell is waited for.
                while let Err(reason) = decoder.ready(messages, 0, messages.len()).await {
                    let event = match place.said.replace(reason.clone()) {
                        // Said before: whoever has gone is noticed.
                        Some(said) if said == reason => TailEvent::Quiet,
                        _ => TailEvent::Trouble { partition: place.partition.clone(), reason },
                    };
                    out.send(event).await.ok()?;
                    self.clock.sleep(AGAIN).await;
                }
                fates(decoder, messages, &place.partition).take(count).map(Seen::of_table).collect()
            }
            Reading::Guess => {
                let samples: Vec<Sample> =
                    (0..count).map(|at| Sample::of(place.partition.partition, messages, at)).collect();
                let looker =
                    self.lookers.get_mut(&place.partition.topic).expect("a topic that is guessed has a looker");
                let looked = match looker.look(&samples).await {
                    Ok(looked) => looked,
                    Err(reason) => {
                        let text = format!("topic {}: {reason}", place.partition.topic);
                        out.send(TailEvent::Failed(text)).await.ok();
                        return None;
                    }
                };
                for note in looker.notes() {
                    out.send(TailEvent::Note(note)).await.ok()?;
                }
                let pairs = samples.into_iter().zip(looked);
                pairs.map(|(sample, looked)| Seen::guessed(&place.partition, sample, looked)).collect()
            }
        };
        if let Some(until) = place.until {
            seen.retain(|seen| seen.offset < until);
        }
        *left -= seen.len() as u64;
        out.send(TailEvent::Seen(seen, batch.high_watermark)).await.ok()
    }
}

impl TailEvent {
    fn held(&self) -> Option<(u64, u64)> {
        match self {
            Self::Begin { fact, .. } => Some((fact.watermarks.low.number(), fact.watermarks.high.number())),
            _ => None,
        }
    }
}

impl Place {
    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| self.next >= until)
    }

    /// Whether the topic is another than the one that was watched; then its oldest message is the next.
    async fn is_anew(&mut self) -> bool {
        let Ok(Some(now)) = self.source.topic_id().await else { return false };
        let before = self.known.replace(now.clone());
        if before.is_none_or(|before| before == now) {
            return false;
        }
        let held = self.source.watermarks(self.partition.partition).await;
        self.next = held.map_or(NextOffset::ZERO, |held| held.low);
        // What was there when it began is gone.
        self.until = self.until.map(|_| self.next);
        self.reader = None;
        self.said = None;
        true
    }

    /// Says what went wrong, once; the partition is opened again where it stands, or where its log begins now.
    async fn trouble(&mut self, error: StreamError, out: &Sender<TailEvent>) -> Option<()> {
        if let StreamError::OutOfRange { held, .. } = &error {
            self.next = if self.next < held.low { held.low } else { held.high };
        }
        let reason = error.to_string();
        let again = self.said.as_ref() == Some(&reason);
        self.said = Some(reason.clone());
        if again {
            return Some(());
        }
        out.send(TailEvent::Trouble { partition: self.partition.clone(), reason }).await.ok()
    }
}

impl Seen {
    fn of_table(tried: crate::Tried) -> Self {
        let crate::Tried { partition, offset, timestamp_ms, key, value, fate } = tried;
        let record = value.as_deref().and_then(|value| serde_json::from_slice(value).ok());
        Self { partition, offset, timestamp_ms, key, value, record, reason: None, fate: Some(fate) }
    }

    fn guessed(partition: &StreamPartition, sample: Sample, looked: Option<Result<Map<String, Json>, String>>) -> Self {
        let Sample { offset, timestamp_ms, key, value, .. } = sample;
        let (record, reason) = match looked {
            None => (None, None),
            Some(Ok(record)) => (Some(record), None),
            Some(Err(reason)) => (None, Some(reason)),
        };
        Self { partition: partition.clone(), offset, timestamp_ms, key, value, record, reason, fate: None }
    }
}

/// What a partition gives next.
async fn next(mut place: Place, clock: SharedClock) -> (Place, Got) {
    let failed = place.said.is_some() && place.reader.is_none();
    if failed {
        clock.sleep(AGAIN).await;
    }
    // Offsets of a topic that was made anew are others, and some of them are held by its log too.
    if failed || clock.monotonic().saturating_sub(place.asked) >= SAME_TOPIC {
        place.asked = clock.monotonic();
        if place.is_anew().await {
            return (place, Got::Anew);
        }
    }
    if place.reader.is_none() {
        match place.source.open(place.partition.partition, place.next).await {
            Ok(reader) => place.reader = Some(reader),
            Err(error) => return (place, Got::Trouble(error)),
        }
    }
    let reader = place.reader.as_mut().expect("it was opened");
    let got = reader.next_batch(FetchLimit { max_messages: FETCH_MESSAGES, max_bytes: FETCH_BYTES }).await;
    let got = match got {
        Ok(batch) => Got::Batch(batch),
        Err(error) => {
            place.reader = None;
            Got::Trouble(error)
        }
    };
    (place, got)
}

/// How many of `count` messages each log, `[low, high)`, gives: alike, and what a small one has not, larger ones give.
fn shares(count: u64, held: &[(u64, u64)]) -> Vec<u64> {
    let mut order: Vec<usize> = (0..held.len()).collect();
    let size = |at: usize| held[at].1.saturating_sub(held[at].0);
    order.sort_by_key(|at| size(*at));
    let (mut left, mut shares) = (count, vec![0; held.len()]);
    for (done, at) in order.iter().enumerate() {
        let share = left.div_ceil((held.len() - done) as u64).min(size(*at)).min(left);
        shares[*at] = share;
        left -= share;
    }
    shares
}

fn wrong(reason: String) -> IngestError {
    IngestError::Setting { path: "tail".to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_topic_that_is_made_anew_is_said_and_watched_from_its_beginning() {
        let (streams, topic) = (weir_streams::MemoryStreams::new(), TopicName::parse("t").unwrap());
        streams.tell_ids();
        streams.create(&topic, 1);
        let add = |text: &str| streams.append(&topic, 0, None, Some(text.to_owned().into()), vec![], 0);
        (0..10).for_each(|at| _ = add(&format!("{{\"old\":{at}}}")));
        let source = streams.source(topic.clone(), Duration::from_millis(20));
        let clock = weir_base::SystemClock::shared();
        let place = Place {
            known: source.topic_id().await.unwrap(),
            source,
            partition: StreamPartition { topic: topic.clone(), partition: 0 },
            reading: Reading::Guess,
            next: NextOffset::new(8),
            until: None,
            reader: None,
            said: None,
            asked: clock.monotonic().saturating_sub(SAME_TOPIC),
        };
        let looker = Looker::new("t", InferRequest::default());
        let tail = Tail {
            clock,
            request: TailRequest { from: TailFrom::Latest, limit: None, once: false, partition: None },
            places: vec![place],
            lookers: BTreeMap::from_iter([(topic.clone(), looker)]),
            begun: vec![],
        };
        assert!(tail.places[0].known.is_some(), "the stream tells identities");
        let (told, mut events) = tokio::sync::mpsc::channel(4);
        let running = tokio::spawn(tail.run(told));
        let (mut seen, mut notes) = (vec![], vec![]);
        let last: Vec<u64> = (0..20).collect();
        while let Some(event) = events.recv().await {
            match event {
                TailEvent::Seen(messages, _) => {
                    seen.extend(messages.iter().map(|message| message.offset.number()));
                    if seen.len() == 2 {
                        streams.recreate(&topic);
                        // Its log holds the offset at which the old one was left.
                        (0..20).for_each(|at| _ = add(&format!("{{\"new\":{at}}}")));
                    }
                }
                TailEvent::Note(text) => notes.push(text),
                _ => {}
            }
            if seen.len() > 2 && notes.iter().any(|note| note.contains("anew")) && seen.ends_with(&last) {
                break;
            }
        }
        drop(events);
        running.await.unwrap();
        assert_eq!(seen[..2], [8, 9]);
        assert!(
            notes.iter().any(|note| note.contains("t/0 was made anew: it is watched from its first message, 0")),
            "{notes:?}"
        );
        assert!(seen.ends_with(&last), "{seen:?}");
    }

    #[test]
    fn the_newest_are_shared_by_what_partitions_hold() {
        for (count, held, expected) in [
            (10, vec![(0, 100), (0, 100)], vec![5, 5]),
            (10, vec![(5, 7), (0, 100)], vec![2, 8]),
            (3, vec![(0, 9), (0, 9)], vec![2, 1]),
            (10, vec![(0, 0), (4, 7)], vec![0, 3]),
            (1, vec![(0, 5), (0, 5), (0, 5)], vec![1, 0, 0]),
        ] {
            assert_eq!(shares(count, &held), expected, "{count} of {held:?}");
        }
    }
}
