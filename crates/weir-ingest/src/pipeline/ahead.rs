//! Batches that were fetched before it was their turn, decoded beside each other and handed out in their order.
//!
//! Only a partition that is behind works ahead: at the end of the log it would cost a change of threads and gain nothing.

use crate::{
    deps::TableContext,
    prepare::{Prepared, RecordDecoder},
};
use std::{collections::VecDeque, sync::Arc};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};
use weir_base::tasks::said;
use weir_streams::MessageBatch;
use weir_types::NextOffset;

/// Batches of one partition that wait at most: while one is appended, as many as that are fetched and decoded.
const MOST: usize = 4;

/// What is ahead of one partition.
pub(super) struct Ahead {
    turns: Arc<Semaphore>,
    waiting: VecDeque<Waiting>,
    /// One past the last of them.
    end: Option<NextOffset>,
    /// Messages that were appended: giving their memory back costs a share of what appending them does.
    spent: Option<MessageBatch>,
    /// The segment whose decoders are kept: what a null time is stored as is the segment's.
    segment: u32,
    idle: Vec<RecordDecoder>,
}

enum Waiting {
    /// It found no free turn: whoever takes it decodes it.
    Fetched(MessageBatch),
    Decoding(JoinHandle<Done>),
}

struct Done {
    batch: MessageBatch,
    decoded: Prepared,
    decoder: RecordDecoder,
    segment: u32,
    /// Kept until the batch is taken: it is held in memory until then.
    _turn: OwnedSemaphorePermit,
}

impl Ahead {
    pub(super) fn new(table: &TableContext) -> Self {
        let (turns, waiting) = (table.permits.ahead.clone(), VecDeque::new());
        Self { turns, waiting, end: None, spent: None, segment: 0, idle: vec![] }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether another batch would be decoded meanwhile, or is the first.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.is_empty() || (self.waiting.len() < MOST && self.turns.available_permits() > 0)
    }

    /// One past what was fetched last, where that is not taken yet.
    pub(super) fn end(&self) -> Option<NextOffset> {
        if self.waiting.is_empty() { None } else { self.end }
    }

    /// Forgets what was fetched: it is fetched again.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.spent = None;
    }

    /// Takes a batch that was appended: who decodes the next one gives up its memory. With none behind it, it goes at once.
    pub(super) fn give_back(&mut self, batch: MessageBatch) {
        self.spent = if self.waiting.is_empty() { None } else { Some(batch) };
    }

    /// Takes a batch in, to be handed out after all before it; gives it back where none is ahead of it and no thread is
    /// free to decode it meanwhile. `make` makes a decoder for the open segment, the one with that number. Where the schema
    /// registry does not answer, it is said when the batch's turn has come: those ahead of it may need nothing.
    pub(super) async fn put(
        &mut self,
        batch: MessageBatch,
        segment: u32,
        make: impl FnOnce() -> Result<RecordDecoder, String>,
    ) -> Result<Option<MessageBatch>, String> {
        let end = batch.range.end();
        let Ok(turn) = self.turns.clone().try_acquire_owned() else {
            if self.waiting.is_empty() {
                return Ok(Some(batch));
            }
            self.waiting.push_back(Waiting::Fetched(batch));
            self.end = Some(end);
            return Ok(None);
        };
        self.end = Some(end);
        if self.segment != segment {
            self.idle.clear();
            self.segment = segment;
        }
        let mut decoder = self.idle.pop().map_or_else(make, Ok)?;
        if decoder.ready(&*batch.messages, 0, batch.messages.len()).await.is_err() {
            self.idle.push(decoder);
            self.waiting.push_back(Waiting::Fetched(batch));
            return Ok(None);
        }
        let spent = self.spent.take();
        let task = tokio::task::spawn_blocking(move || {
            drop(spent);
            let decoded = decoder.decode(&*batch.messages, 0, batch.messages.len());
            Done { batch, decoded, decoder, segment, _turn: turn }
        });
        self.waiting.push_back(Waiting::Decoding(task));
        Ok(None)
    }

    /// The batch whose turn it is, and what it was decoded to, where it was for the segment that is open. Dropping the future
    /// loses nothing. There is one.
    pub(super) async fn next(&mut self, segment: u32) -> Result<(MessageBatch, Option<Prepared>), String> {
        let first = self.waiting.front_mut().expect("asked for only where there is one");
        let done = match first {
            Waiting::Fetched(_) => None,
            Waiting::Decoding(task) => Some(task.await),
        };
        match (self.waiting.pop_front(), done) {
            (_, Some(Ok(done))) => {
                if done.segment == self.segment {
                    self.idle.push(done.decoder);
                }
                Ok((done.batch, (done.segment == segment).then_some(done.decoded)))
            }
            (_, Some(Err(error))) => {
                let what = error.try_into_panic().map_or_else(|e| e.to_string(), |panic| said(&*panic).to_owned());
                Err(format!("a decoder met a fault of ours: {what}"))
            }
            (Some(Waiting::Fetched(batch)), None) => Ok((batch, None)),
            (_, None) => unreachable!("a batch that is being decoded was waited for"),
        }
    }
}
