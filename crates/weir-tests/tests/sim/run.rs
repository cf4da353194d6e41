//! One run: a script of production, faults, requests and crashes drawn from the seed, with the checks after each step.

use crate::{
    admin::Admin,
    answers::{behind, count, gone, missing, see, snapshot},
    faults::{crash, fault, heal, note_checkpoints, note_crash, produce},
    shape::Shape,
    slow::Step,
    tally::Tally,
    world::{Alive, World, record, table_name},
};
pub(crate) use crate::{
    answers::{Seen, caught_up, check, longs},
    bugs::Bug,
    faults::table_files,
};
use std::time::Duration;
use weir_base::Chance;
use weir_control::SegmentState;
use weir_ingest::PartitionStatus;

/// With everything healed, all is right within this: some of the longest back-offs, which are of 10 s.
const SETTLES_WITHIN: Duration = Duration::from_secs(120);

/// How late a status may be: a partition that waited asks its stream every two seconds.
const SAYS_WITHIN: Duration = Duration::from_secs(5);

/// What a run is made of.
struct Run<'a> {
    world: World,
    chance: Chance,
    seen: Seen,
    admin: Admin,
    tally: &'a mut Tally,
}

/// Runs a seed. An error tells what did not hold.
pub(crate) fn run(seed: u64, bug: Bug, tally: &mut Tally) -> Result<(), String> {
    let mut chance = Chance::seeded(seed);
    let mut world = World::new(seed, bug);
    let segment_rows = 20 + chance.below(60);
    // From every few rows to never, while a segment is open.
    world.block_rows = 1 + u32::try_from(chance.below(segment_rows)).unwrap();
    let lives = 2 + chance.below(4);
    let shape = Shape::new(segment_rows);
    let mut run = Run { world, chance, seen: Seen::default(), admin: Admin::new(shape.clone()), tally };
    for life in 0..lives {
        let last = life + 1 == lives;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let lived = runtime.block_on(run.live((life == 0).then_some(&shape), last));
        // All tasks die here, at whatever await they stand.
        drop(runtime);
        lived.map_err(|what| format!("life {life} of {lives}: {what}"))?;
        if !last {
            run.tally.hit("restarts");
            crash(&mut run.world, &mut run.chance, &mut run.seen, run.tally);
        }
    }
    Ok(())
}

impl Run<'_> {
    /// One life of the node: to the end of the script, or to a crash in the middle of it.
    async fn live(&mut self, made: Option<&Shape>, last: bool) -> Result<(), String> {
        let alive = self.world.start().await?;
        match made {
            Some(shape) => {
                alive.node.create_table(shape.table(), "sim").await.map_err(|error| error.to_string())?;
            }
            None => self.tally.hit("partition read on after a restart"),
        }
        let steps = 10 + self.chance.below(30);
        for _ in 0..steps {
            produce(&self.world, &mut self.chance, &mut self.seen);
            fault(&self.world, &alive, &mut self.chance, &mut self.seen, self.tally);
            self.admin.step(&alive, &mut self.chance, &mut self.seen, self.tally).await?;
            self.settle().await;
            see(&alive, &mut self.seen).await?;
            self.waits()?;
        }
        if last {
            heal(&self.world);
            self.admin.finish(&alive, &mut self.seen, self.tally).await?;
            let finished = self.finish(&alive).await;
            note_checkpoints(&alive, self.tally);
            return finished;
        }
        produce(&self.world, &mut self.chance, &mut self.seen);
        self.last_polls(&alive).await;
        note_crash(&self.world, &alive, self.tally).await;
        self.admin.note_crash(&alive, self.tally).await;
        note_checkpoints(&alive, self.tally);
        self.world.disk.kill();
        Ok(())
    }

    /// Not at a step's end, but anywhere: a few more polls of whatever is under way.
    async fn last_polls(&mut self, alive: &Alive) {
        // Most requests are answered within some tens of polls.
        let most = [10, 40, 200][self.chance.below(3) as usize];
        let mut polls = self.chance.below(most);
        if self.chance.hit(0.5) {
            self.admin.ask(alive, &mut self.chance);
        } else {
            if self.chance.hit(0.3) {
                // The step that is the shortest: a replay is committed, and nobody was told.
                self.world.stop.set(Some(Step::AfterCommit));
                polls = 400;
            }
            self.admin.begin_replay(alive, &mut self.chance).await;
        }
        for _ in 0..polls {
            if !self.world.stop.is_reached() {
                tokio::task::yield_now().await;
            }
        }
        self.world.stop.set(None);
    }

    fn waits(&self) -> Result<(), String> {
        if self.world.catalog.is_spun() {
            Err("the catalog is asked again and again, without waiting".into())
        } else {
            Ok(())
        }
    }

    /// Lets the node work: some polls, sometimes simulated time.
    async fn settle(&mut self) {
        for _ in 0..self.chance.below(60) {
            tokio::task::yield_now().await;
        }
        if self.chance.hit(0.5) {
            tokio::time::sleep(Duration::from_millis(self.chance.below(3000))).await;
        }
    }

    /// With everything healed, the node gets there, and all of it is right.
    async fn finish(&mut self, alive: &Alive) -> Result<(), String> {
        let deadline = tokio::time::Instant::now() + SETTLES_WITHIN;
        let mut pause = Duration::from_millis(100);
        // At least three seals a run: the last ones by request.
        loop {
            let visible = see(alive, &mut self.seen).await?;
            let record = record(alive).await.ok_or("the record is gone")?;
            let segments = alive.catalog.segments(&record).await.map_err(|error| error.to_string())?;
            let count =
                |wanted: fn(&SegmentState) -> bool| segments.iter().filter(|segment| wanted(&segment.state)).count();
            let done = count(|state| matches!(state, SegmentState::Done { .. }));
            let committing = count(|state| matches!(state, SegmentState::Committing { .. }));
            let behind = behind(&record, &segments).count();
            let (lacks, read) = (snapshot(alive).await?.lacks, caught_up(alive, &self.seen));
            let missing = missing(&self.seen, &visible, &gone(alive, &self.seen).await?);
            if read && missing == 0 && committing + behind == 0 && lacks.is_empty() {
                if done >= 3 {
                    self.tally.hit_times("seals", done as u64);
                    break;
                }
                produce(&self.world, &mut self.chance, &mut self.seen);
                alive.node.force_commit(&table_name(), None, "sim").await.map_err(|error| error.to_string())?;
            } else if read && missing > 0 {
                self.admin.finish(alive, &mut self.seen, self.tally).await?;
            }
            if tokio::time::Instant::now() > deadline {
                let statuses = alive.node.all_partitions();
                let states: Vec<String> =
                    statuses.iter().map(|status| format!("{} {:?}", status.state, status.last_error)).collect();
                return Err(format!(
                    "not right in time: {missing} rows missing, {committing} committing, {behind} behind the settings, lacks {lacks:?}, {states:?}"
                ));
            }
            self.waits()?;
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(Duration::from_secs(2));
        }
        self.admin.again(alive).await?;
        says_so(alive).await?;
        count(alive, &self.seen, self.tally).await
    }
}

/// With all read and nothing wrong, each partition says that it is at the end of its log, and that nothing is behind.
async fn says_so(alive: &Alive) -> Result<(), String> {
    let deadline = tokio::time::Instant::now() + SAYS_WITHIN;
    loop {
        let statuses = alive.node.all_partitions();
        let told = |status: &PartitionStatus| (status.state.to_string(), status.lag_offsets(), status.lag_ms);
        let lying: Vec<_> =
            statuses.iter().map(told).filter(|told| *told != ("CONSUMING".into(), Some(0), 0)).collect();
        if let Some(wrong) = statuses.iter().find_map(|status| status.unexplained.clone()) {
            return Err(format!("messages are said not to be accounted for: {wrong}"));
        }
        if lying.is_empty() {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            return Err(format!("all is read, and it is said: {lying:?}"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
