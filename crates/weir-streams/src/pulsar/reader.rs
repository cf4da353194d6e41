//! One partition's topic, read from a message on.
//!
//! The client gives whole entries, also where their first messages were read before, and after it lost its connection it
//! begins again where it once began: what lies before the next offset is dropped here, and a client that begins again is
//! replaced by one that begins at the next entry. Where the stream stands is the place behind the last message; behind the
//! last one of an entry that is the next entry, so that whoever has read all stands at the end. Messages that were sent in
//! parts are put together on the way (`window.rs`).

use super::{
    client::{self, ASK, Client, Failure},
    messages::{Held, PulsarMessages, place},
    position::Position,
    window::Window,
};
use crate::{
    contract::{FetchLimit, MessageBatch, PartitionReader, StreamError, Watermarks},
    queues::QueuePart,
};
use async_trait::async_trait;
use futures::{FutureExt as _, Stream, StreamExt as _};
use pulsar::{consumer::Message, message::proto::MessageIdData};
use std::time::Duration;
use tokio::time::Instant;
use weir_types::{NextOffset, OffsetRange};

/// The end of the log is asked for at most this often while messages come one by one.
const ASK_END_EVERY: Duration = Duration::from_millis(100);
/// And so often while they come in numbers, for lag.
const ASK_END_BUSY: Duration = Duration::from_secs(1);

/// One partition's topic as the brokers know it.
pub(super) struct Place {
    pub(super) client: Client,
    /// With the number of the partition.
    pub(super) topic: String,
    /// As the table names it.
    pub(super) shown: String,
    pub(super) partition: u32,
}

impl Place {
    fn failed(&self, failure: Failure) -> StreamError {
        failure.into_error(&self.shown)
    }

    /// A message's place; one that no offset stands for ends the reading.
    fn place(&self, message: &Message<Vec<u8>>) -> Result<(NextOffset, NextOffset), StreamError> {
        place(message).map_err(|beyond| self.beyond(&beyond))
    }

    fn beyond(&self, beyond: &super::position::Beyond) -> StreamError {
        StreamError::Setting {
            topic: self.shown.clone(),
            key: "stream.pulsar.topic.name".into(),
            reason: beyond.to_string(),
        }
    }

    /// The end as the broker says it: behind the last entry. `None` where the topic never had one.
    async fn end(&self, messages: &mut client::Messages) -> Result<Option<NextOffset>, StreamError> {
        let last = client::answer(messages.get_last_message_id()).await.map_err(|failure| self.failed(failure))?;
        let Some(last) = last.into_iter().next() else { return Ok(None) };
        // -1: the ledger, or the topic, has no entry.
        if i64::try_from(last.ledger_id).is_err() {
            return Ok(None);
        }
        let entry = if i64::try_from(last.entry_id).is_err() { 0 } else { last.entry_id + 1 };
        Position::entry(last.ledger_id, entry).offset().map(Some).map_err(|beyond| self.beyond(&beyond))
    }

    /// What the log holds.
    pub(super) async fn watermarks(&self) -> Result<Watermarks, StreamError> {
        let mut oldest = self.all().await?;
        // What the broker calls the last is there: then there is a first.
        let Some(high) = self.end(&mut oldest).await?.filter(|end| Position::of(*end).entry > 0) else {
            return self.empty(&mut oldest).await;
        };
        let low = self.first_since(&mut oldest, high, 0).await?.unwrap_or(high);
        Ok(Watermarks { low, high: high.max(low) })
    }

    async fn empty(&self, messages: &mut client::Messages) -> Result<Watermarks, StreamError> {
        let at = self.end(messages).await?.unwrap_or(NextOffset::ZERO);
        Ok(Watermarks { low: at, high: at })
    }

    /// When the last message before `end` was published.
    async fn last_time(&self, end: NextOffset) -> Result<u64, StreamError> {
        let Position { ledger, entry, .. } = Position::of(end);
        let from = MessageIdData {
            ledger_id: ledger,
            entry_id: entry.saturating_sub(1),
            batch_index: Some(0),
            ..MessageIdData::default()
        };
        let last = client::messages(&self.client, &self.topic, Some(from), 1).await;
        let mut last = last.map_err(|failure| self.failed(failure))?;
        match tokio::time::timeout(ASK, last.next()).await {
            Ok(Some(message)) => Ok(message.map_err(|error| self.failed(error.into()))?.metadata().publish_time),
            _ => Err(self.failed(Failure::silent())),
        }
    }

    /// The first message of that time (milliseconds) or later; `None` where there is none before `end`.
    pub(super) async fn since(&self, from_ms: i64) -> Result<Option<NextOffset>, StreamError> {
        let from_ms = u64::try_from(from_ms).unwrap_or(0);
        let mut all = self.all().await?;
        let Some(end) = self.end(&mut all).await?.filter(|end| Position::of(*end).entry > 0) else { return Ok(None) };
        drop(all);
        // Behind the last one nothing comes, and silence would prove nothing.
        if self.last_time(end).await? < from_ms {
            return Ok(None);
        }
        let sought = client::since(&self.client, &self.topic, from_ms).await;
        self.first_since(&mut sought.map_err(|failure| self.failed(failure))?, end, from_ms).await
    }

    async fn all(&self) -> Result<client::Messages, StreamError> {
        client::messages(&self.client, &self.topic, None, 1).await.map_err(|failure| self.failed(failure))
    }

    /// The first message of a time among those before `end`.
    async fn first_since(
        &self,
        messages: &mut (impl Stream<Item = Result<Message<Vec<u8>>, pulsar::Error>> + Unpin),
        end: NextOffset,
        from_ms: u64,
    ) -> Result<Option<NextOffset>, StreamError> {
        let looked = async {
            while let Some(message) = messages.next().await {
                let message = message.map_err(|error| self.failed(error.into()))?;
                let (at, after) = self.place(&message)?;
                if at >= end {
                    return Ok(None);
                }
                if message.metadata().publish_time >= from_ms {
                    return Ok(Some(at));
                }
                if after >= end {
                    return Ok(None);
                }
            }
            Err(self.failed(Failure::silent()))
        };
        tokio::time::timeout(ASK, looked).await.unwrap_or_else(|_| Err(self.failed(Failure::silent())))
    }
}

/// A reader of one partition.
pub(super) struct PulsarReader {
    place: Place,
    messages: Option<client::Messages>,
    /// Where the next batch begins.
    next: NextOffset,
    /// Behind the last message that is held: what comes is compared with this.
    expected: NextOffset,
    held: Window,
    /// What came behind the messages that are held: it is told once they were given.
    trouble: Option<StreamError>,
    /// The end as the broker last said it, and when.
    end: Option<NextOffset>,
    asked: Option<Instant>,
    /// The end was reached and said.
    told: bool,
    fetch_timeout: Duration,
    stitch: bool,
    permits: u32,
    _part: QueuePart,
}

/// A message counts so much of what may wait here: the client bounds their number only.
const MESSAGE_BYTES: u64 = 16 << 10;

impl PulsarReader {
    /// Begins at `from`, which must lie in the log.
    pub(super) async fn open(
        place: Place,
        from: NextOffset,
        fetch_timeout: Duration,
        stitch: bool,
        part: QueuePart,
    ) -> Result<Self, StreamError> {
        let permits = u32::try_from((part.bytes / MESSAGE_BYTES).clamp(16, 1000)).unwrap_or(16);
        let mut reader = Self {
            place,
            messages: None,
            next: from,
            expected: from,
            held: Window::default(),
            trouble: None,
            end: None,
            asked: None,
            told: false,
            fetch_timeout,
            stitch,
            permits,
            _part: part,
        };
        reader.connect().await?;
        reader.ask_end().await?;
        if reader.end.is_some_and(|end| from > end) {
            return Err(reader.out_of_range().await);
        }
        Ok(reader)
    }

    async fn out_of_range(&self) -> StreamError {
        match self.place.watermarks().await {
            Err(error) => error,
            Ok(held) => StreamError::OutOfRange {
                topic: self.place.shown.clone(),
                partition: self.place.partition,
                asked: self.expected,
                held,
            },
        }
    }

    /// A client that begins with the entry of the next message.
    async fn connect(&mut self) -> Result<(), StreamError> {
        let Position { ledger, entry, .. } = Position::of(self.expected);
        let from = (self.expected > NextOffset::ZERO).then(|| MessageIdData {
            ledger_id: ledger,
            entry_id: entry,
            // With a place in a batch the entry itself is given, without one only what follows it.
            batch_index: Some(0),
            ..MessageIdData::default()
        });
        let opened = client::messages(&self.place.client, &self.place.topic, from, self.permits).await;
        self.messages = Some(opened.map_err(|failure| self.place.failed(failure))?);
        Ok(())
    }

    async fn ask_end(&mut self) -> Result<(), StreamError> {
        if let Some(messages) = &mut self.messages {
            self.end = self.place.end(messages).await?.or(self.end);
            self.asked = Some(Instant::now());
        }
        Ok(())
    }

    fn asked_within(&self, time: Duration) -> bool {
        self.asked.is_some_and(|asked| asked.elapsed() < time)
    }

    /// Takes over a message from the client. False where the client began again and is to be replaced.
    async fn take(&mut self, message: Message<Vec<u8>>) -> Result<bool, StreamError> {
        let (at, after) = self.place.place(&message)?;
        if at < self.expected {
            let (found, expected) = (Position::of(at), Position::of(self.expected));
            // The head of an entry whose tail is next comes with it.
            return Ok((found.ledger, found.entry) == (expected.ledger, expected.entry));
        }
        let (found, expected) = (Position::of(at), Position::of(self.expected));
        // Between ledgers nothing says what is missing. A log that still holds something of the ledger before lost nothing,
        // and whoever stood at the end of the log is given what comes next.
        let at_end = self.end == Some(self.expected) && self.told;
        if found.ledger != expected.ledger && self.expected > NextOffset::ZERO && !at_end {
            let held = self.place.watermarks().await?;
            if Position::of(held.low).ledger > expected.ledger {
                return Err(StreamError::OutOfRange {
                    topic: self.place.shown.clone(),
                    partition: self.place.partition,
                    asked: self.expected,
                    held,
                });
            }
        }
        self.held.push(Held::new(message, at, after, self.stitch), Instant::now());
        (self.expected, self.told) = (after, false);
        Ok(true)
    }

    /// Takes what the client has, up to `most` messages, without waiting for more.
    async fn drain(&mut self, most: usize) -> Result<(), StreamError> {
        while self.held.has_room(most) {
            let Some(messages) = &mut self.messages else { return Ok(()) };
            match messages.next().now_or_never() {
                None => return Ok(()),
                Some(message) => match self.came(message).await {
                    Err(error) if self.held.ready() > 0 => {
                        self.trouble = Some(error);
                        return Ok(());
                    }
                    came => came?,
                },
            }
        }
        Ok(())
    }

    async fn came(&mut self, message: Option<Result<Message<Vec<u8>>, pulsar::Error>>) -> Result<(), StreamError> {
        match message {
            Some(Ok(message)) => {
                if !self.take(message).await? {
                    // What it still holds lies before the next message too.
                    self.messages = None;
                }
                Ok(())
            }
            Some(Err(error)) => {
                self.messages = None;
                Err(self.place.failed(error.into()))
            }
            None => {
                self.messages = None;
                Err(self.place.failed(Failure::silent()))
            }
        }
    }

    /// What can be given, as far as the limit goes.
    fn batch(&mut self, limit: FetchLimit) -> MessageBatch {
        let (mut taken, mut bytes) = (vec![], 0);
        let mut end = self.next;
        while let Some(held) = self.held.front() {
            bytes += held.bytes();
            if !taken.is_empty() && (taken.len() >= limit.max_messages || bytes > limit.max_bytes) {
                break;
            }
            end = held.after;
            taken.extend(self.held.pop());
        }
        if self.held.is_empty() {
            // Behind parts of messages that were given with their first ones.
            end = self.expected;
        }
        let range = OffsetRange::try_new(self.next, end).expect("offsets ascend");
        self.next = end;
        MessageBatch {
            range,
            messages: Box::new(PulsarMessages::new(taken)),
            high_watermark: self.end.map(|high| high.max(end)),
            low_watermark: None,
        }
    }
}

#[async_trait]
impl PartitionReader for PulsarReader {
    async fn next_batch(&mut self, limit: FetchLimit) -> Result<MessageBatch, StreamError> {
        let deadline = Instant::now() + self.fetch_timeout;
        loop {
            self.held.expire(Instant::now());
            if self.trouble.is_some() && self.held.ready() > 0 {
                return Ok(self.batch(limit));
            }
            if let Some(error) = self.trouble.take() {
                return Err(error);
            }
            if self.messages.is_none() {
                self.connect().await?;
            }
            self.drain(limit.max_messages).await?;
            if self.held.ready() > 0 {
                if self.trouble.is_none() && !self.asked_within(ASK_END_BUSY) {
                    self.ask_end().await?;
                }
                return Ok(self.batch(limit));
            }
            let late = Instant::now() >= deadline;
            if late || (!self.told && !self.asked_within(ASK_END_EVERY)) {
                self.ask_end().await?;
            }
            let at_end = self.end.is_none_or(|end| self.expected >= end);
            if late || (at_end && !self.told) {
                self.told = self.told || at_end;
                return Ok(self.batch(limit));
            }
            let Some(messages) = &mut self.messages else { continue };
            let wait = if self.told { deadline } else { deadline.min(Instant::now() + ASK_END_EVERY) };
            if let Ok(message) = tokio::time::timeout_at(wait, messages.next()).await {
                self.came(message).await?;
            }
        }
    }
}
