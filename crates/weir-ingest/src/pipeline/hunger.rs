//! Nothing is fetched for a while, for want of memory or by a rate limit, and the stream goes on.

use crate::{
    pipeline::run::{LOOK_WHILE_STOPPED, PartitionPipeline},
    status::PartitionState,
};
use futures::future::BoxFuture;
use std::time::Duration;
use weir_streams::{SharedSource, StreamError, Watermarks};

/// A stream is asked this often at most.
const ASK_LEAST: Duration = Duration::from_millis(200);

type Look = BoxFuture<'static, Result<Watermarks, StreamError>>;

/// How far the stream is, of a partition that did not listen. A reader says once that it is at the end of the log; whoever
/// did not listen since has to ask, or would take itself to be behind until the next message comes.
#[derive(Default)]
pub(super) struct Hunger {
    /// For memory.
    waits: bool,
    unknown: bool,
    /// When it was asked last, on the monotonic clock.
    asked: Option<Duration>,
    look: Option<Look>,
}

impl Hunger {
    /// A batch came, and said how far the stream is: an answer that is under way would be older.
    pub(super) fn fed(&mut self) {
        self.unknown = false;
        self.look = None;
    }

    /// What the stream answers, once it was asked and does.
    pub(super) async fn heard(&mut self) -> Result<Watermarks, StreamError> {
        let Some(look) = &mut self.look else { return std::future::pending().await };
        let marks = look.await;
        self.look = None;
        // One that does not fetch does not know for long.
        self.unknown &= self.waits || marks.is_err();
        marks
    }

    fn ask(&mut self, now: Duration, every: Duration, source: &SharedSource, partition: u32) {
        let lately = self.asked.is_some_and(|asked| now < asked + every);
        if self.unknown && self.look.is_none() && !lately {
            let source = source.clone();
            self.asked = Some(now);
            self.look = Some(Box::pin(async move { source.watermarks(partition).await }));
        }
    }
}

impl PartitionPipeline {
    /// Before each turn: whether there is memory for more (`fits`), and whether it is fetched.
    pub(super) fn mind(&self, hunger: &mut Hunger, fits: bool, fetches: bool, now: Duration) {
        if !fits {
            let mib = self.share.bound() >> 20;
            let why = format!("rows that are not built into segments yet hold all of the {mib} MiB that they may");
            self.status.enter(PartitionState::Retrying(why));
        } else if hunger.waits {
            self.enter_running();
        }
        hunger.waits = !fits;
        hunger.unknown |= !fetches;
        // Before it would be said to be behind.
        let every = (self.table.record.load().spec.lagging_after / 2).clamp(ASK_LEAST, LOOK_WHILE_STOPPED);
        hunger.ask(now, every, &self.source, self.partition.partition);
    }

    /// How far the stream is, once it was asked. One in trouble says so to whoever reads.
    pub(super) fn heed(&mut self, hunger: &Hunger, marks: Result<Watermarks, StreamError>) {
        let Ok(marks) = marks else { return };
        self.tell_lag(marks);
        if !hunger.waits {
            self.caught_up |= marks.high <= self.open.next();
            self.enter_running();
        }
    }
}
