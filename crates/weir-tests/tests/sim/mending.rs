//! Somebody who mends the table, breaks it again, and replays its quarantine, while the node has its bad days.

use crate::{
    run::Tally,
    world::{Alive, record, table_as, table_name},
};
use std::time::Duration;
use tokio::task::JoinHandle;
use weir_base::Chance;
use weir_ingest::{IngestError, ReplayReport, Selection};

/// A replay under way, and how many were committed when it began.
struct UnderWay {
    task: JoinHandle<Result<ReplayReport, IngestError>>,
    committed: usize,
}

/// What is done to the quarantine in one life.
pub(crate) struct Mending {
    segment_rows: u64,
    under_way: Option<UnderWay>,
}

async fn committed(alive: &Alive) -> Option<usize> {
    Some(alive.catalog.replays(&record(alive).await?).await.ok()?.len())
}

impl Mending {
    pub(crate) fn new(segment_rows: u64) -> Self {
        Self { segment_rows, under_way: None }
    }

    /// Now and then the settings change or a replay begins; one that has ended is told.
    pub(crate) async fn step(&mut self, alive: &Alive, chance: &mut Chance, tally: &mut Tally) -> Result<(), String> {
        match chance.below(24) {
            0 | 1 => self.change(alive, chance.hit(0.5)).await,
            2..=5 => self.begin(alive, chance).await,
            _ => {}
        }
        if self.under_way.as_ref().is_some_and(|under_way| under_way.task.is_finished())
            && let Some(UnderWay { task, .. }) = self.under_way.take()
        {
            match task.await.map_err(|panic| panic.to_string())? {
                Ok(report) if report.replayed > 0 => tally.hit("replayed"),
                Ok(_) => {}
                Err(_) => tally.hit("replay failed"),
            }
        }
        Ok(())
    }

    /// Other settings; a catalog that does not answer is for another day.
    async fn change(&self, alive: &Alive, lenient: bool) {
        drop(alive.node.update_table(&table_name(), table_as(self.segment_rows, lenient), "sim").await);
    }

    /// A replay begins, unless one is under way.
    pub(crate) async fn begin(&mut self, alive: &Alive, chance: &mut Chance) {
        if self.under_way.is_some() {
            return;
        }
        let Some(committed) = committed(alive).await else { return };
        let selection = Selection { partition: chance.hit(0.3).then_some(0), ..Selection::default() };
        let node = alive.node.clone();
        let task = tokio::spawn(async move { node.replay(&table_name(), selection, "sim").await });
        self.under_way = Some(UnderWay { task, committed });
    }

    /// The node dies: where was the replay?
    pub(crate) async fn note_crash(&self, alive: &Alive, tally: &mut Tally) {
        let Some(under_way) = self.under_way.as_ref().filter(|under_way| !under_way.task.is_finished()) else { return };
        match committed(alive).await {
            Some(committed) if committed > under_way.committed => tally.hit("crash in a replay, after its transaction"),
            Some(_) => tally.hit("crash in a replay, before its transaction"),
            None => {}
        }
    }

    /// With everything healed: the table is mended and all that can be replayed is, to the last one.
    pub(crate) async fn finish(&mut self, alive: &Alive) -> Result<(), String> {
        if let Some(UnderWay { task, .. }) = self.under_way.take() {
            drop(task.await.map_err(|panic| panic.to_string())?);
        }
        let mut last = String::new();
        for _ in 0..100 {
            self.change(alive, true).await;
            match alive.node.replay(&table_name(), Selection::default(), "sim").await {
                Ok(_) if alive.node.record(&table_name()).is_some_and(|record| record.spec.continue_on_error) => {
                    return Ok(());
                }
                Ok(_) => "the settings are not lenient yet".clone_into(&mut last),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Err(format!("the quarantine cannot be replayed though everything is healed: {last}"))
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
