//! The conductor: fetch, prepare, append, publish, seal; one pipeline per partition, nobody calls back.
//!
//! Order of events for a run of messages: rejects go to quarantine, the visible mark is written, rows are appended, the
//! snapshot is swapped. A crash in between repeats the run and doubles nothing: the quarantine knows its entries, rows of
//! an open segment live in memory only, and the mark says what has to be there again before answers are right.

use crate::{
    budget::Share,
    checkpoint::Restored,
    deps::{PartitionPast, TableContext},
    feeds::Feed,
    pace::Bucket,
    pipeline::{
        ahead::Ahead,
        command::Command,
        fixing::{Fixing, fixed},
        hunger::Hunger,
        open::OpenSegment,
        path::{record_decoder, record_path},
        trouble::end_of,
    },
    prepare::{Prepared, RecordPath},
    quarantine::{Entry, RejectRate},
    status::{PartitionState, StatusCell},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;
use weir_base::{Backoff, Chance, metrics::Labels};
use weir_control::{SegmentRecord, SegmentState, TableRecord};
use weir_streams::{FetchLimit, MessageBatch, PartitionReader, SharedSource, StreamError};
use weir_table::{Mark, PartitionView, Target};
use weir_types::{Accounting, ErrorPolicy, NextOffset, StreamPartition, StreamSpec};

/// One fetch: a few milliseconds of work, so that commands and age are looked at often, and a bounded share of memory.
const FETCH: FetchLimit = FetchLimit { max_messages: 8192, max_bytes: 8 << 20 };
/// While a partition is stopped on purpose, it is asked this often how far the stream has gone.
pub(super) const LOOK_WHILE_STOPPED: Duration = Duration::from_secs(2);
/// While the node's rows hold all the memory they may, this often it is looked whether some was let go of.
const MEMORY_TICK: Duration = Duration::from_millis(10);
/// While at the end of the log, freshness is said anew this often: the long poll that is under way would have answered.
const FRESHNESS_TICK: Duration = Duration::from_millis(200);
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// A broker that is back is noticed within this.
const BACKOFF_MOST: Duration = Duration::from_secs(5);

/// Why a pipeline ended by itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PipelineEnd {
    /// Its handle was dropped.
    Stopped,
    /// The catalog says otherwise than the pipeline believed: it has to be started again from the records.
    Reload(String),
    /// What the catalog says is not known, for it does not answer: the same, after a while.
    Doubt(String),
    /// The table reads the partition no more: its end is on the record.
    Finished {
        /// Its last segment, to be committed.
        last: Option<Box<SegmentRecord>>,
        /// Why it ended.
        why: String,
    },
}

/// What takes a pipeline out of its reading.
pub(super) enum Interrupted {
    End(PipelineEnd),
    Stream(StreamError),
    Local(String),
}

/// The conductor of one partition.
pub(crate) struct PartitionPipeline {
    pub(super) table: Arc<TableContext>,
    /// The table's record that `path` and the open segment were made with; a newer one comes with `Command::Reshape`.
    pub(super) settings: Arc<TableRecord>,
    pub(super) partition: StreamPartition,
    pub(super) feed: Feed,
    pub(super) stream: StreamSpec,
    pub(super) source: SharedSource,
    pub(super) view: Arc<PartitionView>,
    pub(super) mark: Arc<Mark>,
    pub(super) status: StatusCell,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) labels: Labels,
    pub(super) path: RecordPath,
    pub(super) open: OpenSegment,
    pub(super) past: PartitionPast,
    pub(super) backoff: Backoff,
    pub(super) paused: Option<String>,
    /// At the end of the log when last heard.
    pub(super) caught_up: bool,
    pub(super) halted: bool,
    /// The identity of the topic that was read first, where the stream tells one.
    pub(super) topic_id: Option<Arc<str>>,
    /// The table reads the partition no more, and why: to end as soon as all that was visible is visible.
    pub(super) ending: Option<String>,
    /// The next offset was moved: the reader stands elsewhere.
    pub(super) reopen: bool,
    /// Settings changed: to be started again from the records as soon as the open range is fixed.
    pub(super) reshaping: bool,
    /// The end of the segment before, where it is not on the record yet.
    pub(super) fixing: Option<Fixing>,
    pub(super) seal_again_at_ms: i64,
    rejects: RejectRate,
    /// Its part of the node's memory for rows.
    pub(super) share: Share,
    /// How fast it may take messages, where its table limits that.
    pace: Option<Bucket>,
    /// Since when there are rows that are in no frozen block, on the monotonic clock.
    pub(super) unkept_since: Option<Duration>,
}

/// What a pipeline is made of.
pub(crate) struct PipelineParts {
    /// The table's.
    pub(crate) table: Arc<TableContext>,
    /// The stream of the partition's topic.
    pub(crate) feed: Feed,
    /// The identity of the topic that was read, where it is known.
    pub(crate) topic_id: Option<Arc<str>>,
    /// The table reads the partition no more, and why.
    pub(crate) ending: Option<String>,
    /// What queries see.
    pub(crate) view: Arc<PartitionView>,
    /// The visible mark.
    pub(crate) mark: Arc<Mark>,
    /// The status.
    pub(crate) status: StatusCell,
    /// Requests.
    pub(crate) commands: mpsc::Receiver<Command>,
    /// The record that says `Consuming`.
    pub(crate) record: weir_control::SegmentRecord,
    /// What came before it.
    pub(crate) past: PartitionPast,
    /// Rows of it that are there already.
    pub(crate) restored: Option<Restored>,
    /// Paused from the start, and why.
    pub(crate) paused: Option<String>,
}

impl PartitionPipeline {
    /// A pipeline that stands at the start of `record`'s range, or behind the rows that were restored: those are seen from
    /// here on.
    ///
    /// # Errors
    /// The decoder cannot be made from the table's settings.
    pub(crate) fn new(parts: PipelineParts) -> Result<Self, String> {
        let record = parts.table.record.load_full();
        let SegmentState::Consuming { start } = parts.record.state else {
            return Err(format!("segment {} is not consuming", parts.record.name));
        };
        let partition = parts.record.partition.clone();
        let stream = parts.feed.spec.clone();
        let path = record_path(&parts.table, &record, &stream, &parts.record, start)?;
        let labels = Labels {
            table: record.spec.name.as_str().into(),
            topic: partition.topic.as_str().into(),
            partition: Some(partition.partition),
        };
        let seed = parts.table.deps.seed ^ u64::from(partition.partition) << 32;
        let share = parts.table.permits.budget.share();
        let mut pipeline = Self {
            open: OpenSegment::new(parts.record, start, &parts.table, &record, parts.restored),
            backoff: Backoff::new(BACKOFF_FIRST, BACKOFF_MOST, Chance::seeded(seed)),
            settings: record,
            table: parts.table,
            partition,
            stream,
            source: parts.feed.source.clone(),
            feed: parts.feed,
            view: parts.view,
            mark: parts.mark,
            status: parts.status,
            commands: parts.commands,
            labels,
            path,
            past: parts.past,
            paused: parts.paused,
            caught_up: false,
            halted: false,
            topic_id: parts.topic_id,
            ending: parts.ending,
            reopen: false,
            reshaping: false,
            fixing: None,
            seal_again_at_ms: 0,
            rejects: RejectRate::default(),
            share,
            pace: None,
            unkept_since: None,
        };
        if pipeline.open.segment.rows() > 0 {
            pipeline.view.publish_open(pipeline.open.loaded(), pipeline.open.next());
        }
        pipeline.describe_open();
        // Restored rows were read before anybody knew of another topic.
        pipeline.status.change(|status| status.confirmed = status.next);
        pipeline.show_counters();
        Ok(pipeline)
    }

    /// Reads until its handle is dropped.
    pub(crate) async fn run(mut self) -> PipelineEnd {
        loop {
            let interrupted = match self.consume().await {
                Ok(never) => match never {},
                Err(interrupted) => interrupted,
            };
            let waited = match interrupted {
                Interrupted::End(end) => Err(end),
                Interrupted::Stream(error) => self.after_stream_error(error).await,
                Interrupted::Local(reason) => self.after_local_error(reason).await,
            };
            match waited {
                Ok(()) => {}
                Err(PipelineEnd::Finished { last, why }) => {
                    self.finish(last, why).await;
                    return PipelineEnd::Stopped;
                }
                Err(end) => {
                    // Whoever goes on by the records is not to read them while they are being changed.
                    drop(self.settle().await);
                    return end;
                }
            }
        }
    }

    async fn consume(&mut self) -> Result<std::convert::Infallible, Interrupted> {
        let mut reader = self.reader().await?;
        let (mut ahead, mut hunger) = (Ahead::new(&self.table), Hunger::default());
        loop {
            self.end_when_due().await?;
            if self.rests() || self.halted || self.reopen {
                ahead.clear();
                drop(reader);
                reader = self.reader().await?;
            }
            let clock = &self.table.deps.clock;
            let tick = self.open.until_seal(clock.wall_ms()).clamp(Duration::from_millis(1), FRESHNESS_TICK);
            let (fits, now) = (self.share.ruling().fetch, clock.monotonic());
            let (fetch, tick) = match self.may_fetch(now, ahead.end().unwrap_or(self.open.next())) {
                _ if !fits => (None, tick.min(MEMORY_TICK)),
                Ok(fetch) => (Some(fetch), tick),
                Err(wait) => (None, tick.min(wait)),
            };
            // Who does not listen cannot say that nothing came.
            self.caught_up &= fetch.is_some();
            self.mind(&mut hunger, fits, fetch.is_some(), now);
            let tick = self.table.deps.clock.sleep(tick);
            let reads = !self.waits_for_settings();
            tokio::select! {
                biased;
                command = self.commands.recv() => self.obey(command).await?,
                outcome = fixed(&mut self.fixing) => self.fixed_beside(outcome)?,
                // What is at hand is decoded beside what is appended next.
                batch = reader.next_batch(fetch.unwrap_or(FETCH)),
                    if reads && fetch.is_some() && ahead.has_room() && !self.open.is_at_agreed_end() =>
                {
                    hunger.fed();
                    self.take_in(batch, &mut ahead).await?;
                }
                first = ahead.next(self.open.record.name.sequence), if reads && !ahead.is_empty() =>
                    self.take_first(first, &mut ahead).await?,
                marks = hunger.heard() => self.heed(&hunger, marks),
                () = tick => self.tick().await?,
            }
        }
    }

    /// How much may be fetched now, from `from` on, or when to look again. What was visible before a crash is read again as
    /// fast as can be: answers lack it until then.
    fn may_fetch(&mut self, now: Duration, from: NextOffset) -> Result<FetchLimit, Duration> {
        let limit = self.feed.rate_limit();
        if limit != self.pace.as_ref().map(Bucket::rate) {
            self.status.change(|status| status.rate_limit = limit);
            match (&mut self.pace, limit) {
                (Some(pace), Some(rate)) => pace.set(rate, now),
                (pace, limit) => *pace = limit.map(|rate| Bucket::new(rate, now)),
            }
        }
        if let Some(owed) = self.owed().filter(|owed| from < *owed) {
            // What is read beyond it would be paid for by waiting.
            let exact = if self.source.dense() { usize::try_from(owed.since(from)).ok() } else { None };
            let max_messages = exact.map_or(FETCH.max_messages, |owed| owed.min(FETCH.max_messages));
            return Ok(FetchLimit { max_messages, ..FETCH });
        }
        let fetch = self.table.permits.pace.narrow(FETCH, now)?;
        let Some(pace) = &mut self.pace else { return Ok(fetch) };
        Ok(FetchLimit { max_messages: fetch.max_messages.min(pace.allows(now)?), ..fetch })
    }

    /// Settings changed and the open range is not fixed yet: what comes next is for the new ones.
    fn waits_for_settings(&self) -> bool {
        self.reshaping && !self.open.is_short_of_agreed_end()
    }

    /// Takes a batch at once, or, where more wait behind it, has it decoded beside others.
    async fn take_in(
        &mut self,
        fetched: Result<MessageBatch, StreamError>,
        ahead: &mut Ahead,
    ) -> Result<(), Interrupted> {
        let batch = match fetched {
            Ok(batch) => batch,
            Err(error) => {
                // What came before the error may be gone from the stream by now.
                while !ahead.is_empty() && !self.reopen && !self.halted {
                    let first = ahead.next(self.open.record.name.sequence).await;
                    self.take_first(first, ahead).await?;
                }
                return Err(Interrupted::Stream(error));
            }
        };
        // What is read again is free; what comes with it beyond that is not.
        let free = self.owed().unwrap_or(batch.range.start());
        let from = (0..batch.messages.len()).find(|at| batch.messages.offset(*at) >= free);
        let counted = from.map_or(0, |from| batch.messages.len() - from);
        self.table.permits.pace.took(&batch, counted);
        if let Some(pace) = &mut self.pace {
            pace.take(counted);
        }
        let more = batch.high_watermark.is_some_and(|high| high.since(batch.range.end()) >= FETCH.max_messages as u64);
        if ahead.is_empty() && (!more || batch.messages.is_empty()) {
            return self.take(&batch, None).await;
        }
        // What waits to be decoded is not visible yet.
        self.caught_up = false;
        let (record, segment) = (&self.settings, &self.open.record);
        let make = || record_decoder(&self.table, record, &self.stream, segment, self.open.range().start());
        match ahead.put(batch, segment.name.sequence, make).await.map_err(Interrupted::Local)? {
            Some(batch) => self.take(&batch, None).await,
            None => Ok(()),
        }
    }

    async fn take_first(
        &mut self,
        first: Result<(MessageBatch, Option<Prepared>), String>,
        ahead: &mut Ahead,
    ) -> Result<(), Interrupted> {
        let (batch, decoded) = first.map_err(Interrupted::Local)?;
        let taken = self.take(&batch, decoded).await;
        ahead.give_back(batch);
        taken
    }

    /// A reader where reading goes on, once it may.
    async fn reader(&mut self) -> Result<Box<dyn PartitionReader>, Interrupted> {
        loop {
            self.wait_while_stopped().await.map_err(Interrupted::End)?;
            self.end_when_due().await?;
            self.settle_target().await?;
            let reader = self.source.open(self.partition.partition, self.open.next()).await;
            let reader = reader.map_err(Interrupted::Stream)?;
            // A reader that was opened before it was looked whose log it is cannot be of a later one.
            self.check_identity().await?;
            if !self.halted {
                self.reopen = false;
                return Ok(reader);
            }
        }
    }

    /// Where what was visible is not known, the end of the log takes its place.
    async fn settle_target(&mut self) -> Result<(), Interrupted> {
        if self.view.snapshot().target == Target::EndOfLog {
            // The end of another log says nothing of this one.
            self.check_identity().await?;
            if self.halted {
                return Ok(());
            }
            let marks = self.source.watermarks(self.partition.partition).await.map_err(Interrupted::Stream)?;
            let target = marks.high.max(self.open.next());
            // Owed from here on, over the next crash too.
            self.raise_mark(target)?;
            self.view.advance(self.open.next(), Some(Target::At(target)));
        }
        Ok(())
    }

    pub(super) fn raise_mark(&self, next: NextOffset) -> Result<(), Interrupted> {
        let raised = self.mark.raise(next);
        raised.map_err(|error| Interrupted::Local(format!("visible mark cannot be written: {error}")))
    }

    /// What was visible before the process died and is not yet again, where that is known.
    pub(super) fn owed(&self) -> Option<NextOffset> {
        let snapshot = self.view.snapshot();
        match snapshot.target {
            Target::At(target) if snapshot.next < target => Some(target),
            _ => None,
        }
    }

    /// Paused, and what was visible is: a restart takes nothing from a table that is paused.
    fn rests(&self) -> bool {
        self.paused.is_some() && self.owed().is_none()
    }

    async fn wait_while_stopped(&mut self) -> Result<(), PipelineEnd> {
        let (source, clock) = (self.source.clone(), self.table.deps.clock.clone());
        let mut wait = Duration::ZERO;
        loop {
            self.look_at_rows()?;
            match (&self.paused, self.halted) {
                (Some(_), false) if !self.rests() => return Ok(()),
                (Some(reason), _) => self.status.enter(PartitionState::Paused(reason.clone())),
                (None, true) => {}
                (None, false) => return Ok(()),
            }
            let look = async {
                clock.sleep(wait).await;
                source.watermarks(self.partition.partition).await
            };
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    None => return Err(PipelineEnd::Stopped),
                    Some(command) => end_of(self.obey(Some(command)).await)?,
                },
                outcome = fixed(&mut self.fixing) => end_of(self.fixed_beside(outcome))?,
                marks = look => {
                    wait = LOOK_WHILE_STOPPED;
                    self.see_while_stopped(marks);
                }
            }
        }
    }

    pub(super) async fn obey(&mut self, command: Option<Command>) -> Result<(), Interrupted> {
        match command {
            None => return Err(Interrupted::End(PipelineEnd::Stopped)),
            Some(Command::Pause(reason)) => {
                self.paused = Some(reason.clone());
                if self.rests() {
                    self.status.enter(PartitionState::Paused(reason));
                }
            }
            Some(Command::Resume) => {
                self.paused = None;
                self.halted = false;
                self.rejects.forget();
                self.enter_running();
            }
            Some(Command::Seal(answer)) => self.obey_seal(answer).await?,
            Some(Command::Reshape) if self.settings.is_set_as(&self.table.record.load()) => {}
            Some(Command::Reshape) => {
                self.reshaping = true;
                self.seal_again_at_ms = 0;
                self.flush_if_due(self.table.deps.clock.wall_ms()).await?;
            }
            Some(Command::Move(order, answer)) => self.obey_move(order, answer).await?,
            Some(Command::End(why)) => self.obey_end(why).await?,
            Some(Command::Keep(answer)) => drop(answer.send(self.keep_all())),
            Some(Command::CheckIdentity) => {
                if self.paused.is_none() && !self.halted {
                    self.check_identity().await?;
                }
            }
        }
        Ok(())
    }

    async fn tick(&mut self) -> Result<(), Interrupted> {
        self.look_at_rows().map_err(Interrupted::End)?;
        let now = self.table.deps.clock.wall_ms();
        if self.caught_up {
            self.view.set_fresh_as_of_ms(now);
            self.status.change(|status| (status.lag_ms, status.lag_measured_ms) = (0, now));
        }
        self.keep_idle();
        self.flush_if_due(now).await
    }

    /// Takes a batch in runs that end where the open segment's row limit is reached. One that is `decoded` already is taken
    /// so where it is one run.
    async fn take(&mut self, batch: &MessageBatch, mut decoded: Option<Prepared>) -> Result<(), Interrupted> {
        let fetched_ms = self.table.deps.clock.wall_ms();
        let messages = &*batch.messages;
        if decoded.is_none() {
            self.path.ready(messages, 0, messages.len()).await.map_err(Interrupted::Local)?;
        }
        self.backoff.reset();
        // Paused: only what was visible before is read again.
        let until = self.paused.as_ref().and_then(|_| self.owed());
        let mut at = 0;
        while at < messages.len() {
            let (to, next) = self.open.run_of(batch, at, until);
            let whole = (at, to) == (0, messages.len());
            let prepared = match decoded.take().filter(|decoded| whole && decoded.to == to) {
                Some(decoded) => self.path.finish(messages, decoded),
                None => {
                    // A seal may have come with a new decoder.
                    self.path.ready(messages, at, to).await.map_err(Interrupted::Local)?;
                    self.path.prepare(messages, at, to)
                }
            };
            // What was made of a part of the run is enough for one batch.
            let next = if prepared.to < to { messages.offset(prepared.to - 1).after() } else { next };
            let to = prepared.to;
            if let Some(halt) = self.must_halt(&prepared, fetched_ms) {
                self.take_before_halt(batch, at, halt, fetched_ms)?;
                return Ok(());
            }
            self.quarantine(batch, &prepared, fetched_ms)?;
            self.append(batch, &prepared, next)?;
            at = to;
            self.publish(batch, fetched_ms)?;
            self.flush_if_due(fetched_ms).await?;
            // What is left of the batch is read again once the agreed end is fixed; or later, where the next end would wait
            // for the disk and somebody waits for us.
            self.reopen |= self.open.is_at_agreed_end() || until.is_some_and(|until| next >= until);
            self.reopen |= at < messages.len() && self.fixing.is_some() && !self.commands.is_empty();
            if self.reopen {
                // The next offset was moved: what is left of the batch is not read from there.
                return Ok(());
            }
        }
        if messages.is_empty() {
            let (_, next) = self.open.run_of(batch, 0, until);
            if next > self.open.next() {
                self.open.append(&empty(), &Accounting::default(), &|_| NextOffset::ZERO, next);
            }
            self.reopen |= self.open.is_at_agreed_end();
            self.publish(batch, fetched_ms)?;
        }
        Ok(())
    }

    fn must_halt(&self, prepared: &Prepared, now_ms: i64) -> Option<(u32, String)> {
        let policy = self.table.record.load().spec.error_policy;
        let passes = self.rejects.passes(policy, prepared.rejects.len() as u64, now_ms)?;
        let reject = prepared.rejects.get(usize::try_from(passes).ok()?)?;
        let beyond = match policy {
            ErrorPolicy::HaltAbove { per_minute } => format!("more than {per_minute} rejects within a minute; "),
            _ => String::new(),
        };
        Some((reject.message, format!("{beyond}{}", reject.told())))
    }

    /// Keeps the messages before the one that halts, and stops in front of it.
    fn take_before_halt(
        &mut self,
        batch: &MessageBatch,
        at: usize,
        halt: (u32, String),
        now_ms: i64,
    ) -> Result<(), Interrupted> {
        let (message, reason) = halt;
        let offset = batch.messages.offset(message as usize);
        if message as usize > at {
            let prepared = self.path.prepare(&*batch.messages, at, message as usize);
            self.quarantine(batch, &prepared, now_ms)?;
            self.append(batch, &prepared, offset)?;
            self.publish(batch, self.table.deps.clock.wall_ms())?;
        }
        self.halted = true;
        self.complain(&reason, Some(offset));
        self.status.enter(PartitionState::Halted(format!("offset {offset}: {reason}")));
        Ok(())
    }

    fn quarantine(&mut self, batch: &MessageBatch, prepared: &Prepared, time_ms: i64) -> Result<(), Interrupted> {
        if prepared.rejects.is_empty() {
            return Ok(());
        }
        let record = self.table.record.load();
        if matches!(record.spec.error_policy, ErrorPolicy::Quarantine | ErrorPolicy::HaltAbove { .. }) {
            let reading = self.table.replays.reading(&self.partition, self.open.record.name.sequence);
            let of = (self.partition.clone(), reading);
            let entry = |reject| Entry::new(&of, &prepared.asked, &*batch.messages, reject, time_ms);
            let entries = prepared.rejects.iter().map(entry);
            let added = self.table.quarantine.add(entries);
            added.map_err(|error| Interrupted::Local(format!("quarantine cannot be written: {error}")))?;
        }
        self.rejects.count(prepared.rejects.len() as u64, time_ms);
        if let Some(last) = prepared.rejects.last() {
            let offset = batch.messages.offset(last.message as usize);
            self.complain(&last.told(), Some(offset));
        }
        Ok(())
    }

    fn append(&mut self, batch: &MessageBatch, prepared: &Prepared, next: NextOffset) -> Result<(), Interrupted> {
        // The mark comes before the swap: no answer may show more than a restart would ask for.
        self.raise_mark(next)?;
        let offset_of = |message: u32| batch.messages.offset(message as usize);
        let gaps = self.open.counts.gaps;
        self.open.append(&prepared.rows, &prepared.counts, &offset_of, next);
        // Offsets that are no counts leave gaps that are none.
        let gaps = if self.source.dense() { self.open.counts.gaps - gaps } else { 0 };
        self.count(&Accounting { gaps, ..prepared.counts });
        Ok(())
    }
}

fn empty() -> weir_types::RowBatch {
    weir_types::RowBatch { columns: vec![], message_of_row: vec![] }
}
