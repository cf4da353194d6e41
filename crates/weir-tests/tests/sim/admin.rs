//! Somebody who changes the table, pauses and resumes it, seals, and replays its quarantine, while the node has its bad days.
//! What they ask for is under way when the node dies, too.

use crate::{
    answers::Seen,
    faults::topic,
    shape::{Added, Shape},
    tally::Tally,
    world::{Alive, PARTITIONS, record, table_name},
};
use std::time::Duration;
use tokio::task::JoinHandle;
use weir_base::Chance;
use weir_control::PauseInfo;
use weir_ingest::{IngestError, ReplayReport, ResumeRequest, Scope, Selection};

/// What was asked for.
#[derive(Debug)]
enum Act {
    Change(Shape, &'static str),
    Pause,
    Resume,
    Seal,
}

impl Act {
    fn crash(&self) -> &'static str {
        match self {
            Self::Change(..) => "crash in a change of settings",
            Self::Pause => "crash in a pause",
            Self::Resume => "crash in a resume",
            Self::Seal => "crash in a forced seal",
        }
    }
}

/// A replay under way, and how many were committed when it began.
struct Replay {
    task: JoinHandle<Result<ReplayReport, IngestError>>,
    committed: usize,
}

/// What is asked of a table, over all lives of its node.
pub(crate) struct Admin {
    /// As it was asked for last, whether that was answered or not: columns of it may be there.
    shape: Shape,
    act: Option<(Act, JoinHandle<Result<(), IngestError>>)>,
    replay: Option<Replay>,
}

async fn committed(alive: &Alive) -> Option<usize> {
    Some(alive.catalog.replays(&record(alive).await?).await.ok()?.len())
}

impl Admin {
    pub(crate) fn new(shape: Shape) -> Self {
        Self { shape, act: None, replay: None }
    }

    /// Now and then something is asked for; what has ended is told.
    pub(crate) async fn step(
        &mut self,
        alive: &Alive,
        chance: &mut Chance,
        seen: &mut Seen,
        tally: &mut Tally,
    ) -> Result<(), String> {
        match chance.below(24) {
            0..=4 => self.ask(alive, chance),
            5..=8 => self.begin_replay(alive, chance).await,
            _ => {}
        }
        if self.act.as_ref().is_some_and(|(_, task)| task.is_finished()) {
            self.settle(seen, tally).await?;
        }
        if self.replay.as_ref().is_some_and(|replay| replay.task.is_finished())
            && let Some(Replay { task, .. }) = self.replay.take()
        {
            match task.await.map_err(|panic| panic.to_string())? {
                Ok(report) if report.replayed > 0 => tally.hit("replayed"),
                Ok(_) => {}
                Err(_) => tally.hit("replay failed"),
            }
        }
        Ok(())
    }

    /// Asks for something, unless something is under way.
    pub(crate) fn ask(&mut self, alive: &Alive, chance: &mut Chance) {
        if self.act.is_some() {
            return;
        }
        let (node, name) = (alive.node.clone(), table_name());
        let number = chance.below(u64::from(PARTITIONS) + 1) as u32;
        let part = (number < PARTITIONS).then_some(number);
        let scope = Scope { topic: part.map(|_| topic()), partition: part };
        let asked = match chance.below(8) {
            0..=2 => {
                let (shape, what) = self.shape.changed(chance);
                self.shape = shape.clone();
                let table = shape.table();
                let task = tokio::spawn(async move { node.update_table(&name, table, "sim").await.map(drop) });
                (Act::Change(shape, what), task)
            }
            3 => {
                let pause = PauseInfo { reason: "SIM".into(), comment: String::new(), at_ms: 1 };
                (Act::Pause, tokio::spawn(async move { node.pause(&name, &scope, pause, "sim").await }))
            }
            4 | 5 => {
                let request = ResumeRequest { scope, ..ResumeRequest::default() };
                (Act::Resume, tokio::spawn(async move { node.resume(&name, &request, "sim").await.map(drop) }))
            }
            _ => (Act::Seal, tokio::spawn(async move { node.force_commit(&name, None, "sim").await.map(drop) })),
        };
        self.act = Some(asked);
    }

    /// What was asked for has ended, or will.
    async fn settle(&mut self, seen: &mut Seen, tally: &mut Tally) -> Result<(), String> {
        let Some((act, task)) = self.act.take() else { return Ok(()) };
        let done = task.await.map_err(|panic| panic.to_string())?.is_ok();
        match act {
            _ if !done => tally.hit("request failed"),
            Act::Change(shape, what) => {
                tally.hit(what);
                shape.added.iter().for_each(|column| seen.has_column(*column));
            }
            Act::Pause => tally.hit("paused"),
            Act::Resume => tally.hit("resumed"),
            Act::Seal => tally.hit("sealed on request"),
        }
        Ok(())
    }

    /// A replay begins, unless one is under way.
    pub(crate) async fn begin_replay(&mut self, alive: &Alive, chance: &mut Chance) {
        if self.replay.is_some() {
            return;
        }
        let Some(committed) = committed(alive).await else { return };
        let selection = Selection { partition: chance.hit(0.3).then_some(0), ..Selection::default() };
        let node = alive.node.clone();
        let task = tokio::spawn(async move { node.replay(&table_name(), selection, "sim").await });
        self.replay = Some(Replay { task, committed });
    }

    /// The node dies: what was under way?
    pub(crate) async fn note_crash(&mut self, alive: &Alive, tally: &mut Tally) {
        if let Some((act, _)) = self.act.take().filter(|(_, task)| !task.is_finished()) {
            tally.hit(act.crash());
        }
        let Some(replay) = self.replay.take().filter(|replay| !replay.task.is_finished()) else { return };
        match committed(alive).await {
            Some(committed) if committed > replay.committed => tally.hit("crash in a replay, after its transaction"),
            Some(_) => tally.hit("crash in a replay, before its transaction"),
            None => {}
        }
    }

    /// With everything healed: all is read, the table is mended, and all that can be replayed is, to the last one.
    pub(crate) async fn finish(&mut self, alive: &Alive, seen: &mut Seen, tally: &mut Tally) -> Result<(), String> {
        self.settle(seen, tally).await?;
        if let Some(Replay { task, .. }) = self.replay.take() {
            drop(task.await.map_err(|panic| panic.to_string())?);
        }
        self.shape.lenient = true;
        let mut last = String::new();
        for _ in 0..100 {
            match self.mend(alive).await {
                Ok(()) => {
                    self.shape.added.iter().for_each(|column: &Added| seen.has_column(*column));
                    return Ok(());
                }
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Err(format!("the table cannot be mended though everything is healed: {last}"))
    }

    async fn mend(&self, alive: &Alive) -> Result<(), IngestError> {
        let (node, name) = (&alive.node, table_name());
        node.update_table(&name, self.shape.table(), "sim").await?;
        node.resume(&name, &ResumeRequest::default(), "sim").await?;
        node.replay(&name, Selection::default(), "sim").await.map(drop)
    }

    /// What was replayed is not replayed again.
    pub(crate) async fn again(&self, alive: &Alive) -> Result<(), String> {
        let again = alive.node.replay(&table_name(), Selection::default(), "sim").await;
        match again.map_err(|error| error.to_string())?.replayed {
            0 => Ok(()),
            more => Err(format!("{more} messages were replayed that should have been before")),
        }
    }
}
