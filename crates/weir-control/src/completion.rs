//! Who commits a segment, and where it ends. A pure machine: reports of replicas come in, verdicts go out; it waits for
//! nothing and knows no time but the one it is told.
//!
//! Replicas of a segment read on their own and may stand at different offsets when a limit is reached. The furthest one
//! wins and records the end (transaction A, which the catalog lets happen once); the others read up to that end and keep
//! what they have, or drop it where they are beyond. A winner that does not come back in time loses its turn.

use crate::records::SealReason;
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};
use weir_types::{NextOffset, SegmentName, TableName};

/// How long reports are gathered before a winner is chosen without the missing ones.
pub const GATHER_MS: i64 = 3_300;

/// How long the others wait for the winner to record the end before a new one is chosen.
pub const WINNER_MS: i64 = 6_600;

/// A replica has reached a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The segment.
    pub segment: SegmentName,
    /// Who reports.
    pub instance: Arc<str>,
    /// The next offset it would read.
    pub at: NextOffset,
    /// The limit.
    pub reason: SealReason,
}

/// What a replica should do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Wait and report again.
    Hold,
    /// Read up to there, then report again.
    CatchUp(NextOffset),
    /// Record the end where you stand, build and upload.
    Commit,
    /// The end is recorded where you stand: keep what you have.
    Keep,
    /// The end is recorded before where you stand: drop what you have and load the segment.
    Discard,
}

/// What the machine hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A replica reached a limit and wants to know what to do.
    Reported(Report),
    /// A replica will not read on: it failed or is gone.
    Stopped(Arc<str>),
    /// The segment's end is recorded (transaction A happened).
    Fixed(NextOffset),
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Tell a replica.
    Answer(Arc<str>, Verdict),
    /// No replica is left that could commit the segment: it must be started again from its first offset.
    NobodyLeft,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Reports are gathered.
    Gathering,
    /// This one shall record the end there.
    Won { winner: Arc<str>, at: NextOffset, since_ms: i64 },
    /// The end is recorded.
    Fixed(NextOffset),
}

/// The completion of one segment.
#[derive(Debug, Clone)]
pub struct CompletionMachine {
    replicas: Vec<Arc<str>>,
    stopped: Vec<Arc<str>>,
    /// The latest report of each replica.
    reports: BTreeMap<Arc<str>, NextOffset>,
    first_report_ms: Option<i64>,
    state: State,
}

impl CompletionMachine {
    /// Of a segment that these replicas hold.
    #[must_use]
    pub fn new(replicas: Vec<Arc<str>>) -> Self {
        Self { replicas, stopped: vec![], reports: BTreeMap::new(), first_report_ms: None, state: State::Gathering }
    }

    /// Of a segment whose end the catalog knows already.
    #[must_use]
    pub fn fixed(replicas: Vec<Arc<str>>, end: NextOffset) -> Self {
        Self { state: State::Fixed(end), ..Self::new(replicas) }
    }

    /// Takes an event at `now_ms` (any clock that does not run backwards) and says what follows.
    pub fn step(&mut self, event: Event, now_ms: i64) -> Vec<Command> {
        match event {
            Event::Fixed(end) => {
                self.state = State::Fixed(end);
                vec![]
            }
            Event::Stopped(instance) => self.stop(instance),
            Event::Reported(report) => {
                self.stopped.retain(|stopped| *stopped != report.instance);
                let verdict = self.answer(&report, now_ms);
                vec![Command::Answer(report.instance, verdict)]
            }
        }
    }

    fn stop(&mut self, instance: Arc<str>) -> Vec<Command> {
        self.reports.remove(&instance);
        if matches!(&self.state, State::Won { winner, .. } if *winner == instance) {
            self.state = State::Gathering;
        }
        if !self.stopped.contains(&instance) {
            self.stopped.push(instance);
        }
        let nobody = self.replicas.iter().all(|replica| self.stopped.contains(replica));
        if nobody && !matches!(self.state, State::Fixed(_)) { vec![Command::NobodyLeft] } else { vec![] }
    }

    fn answer(&mut self, report: &Report, now_ms: i64) -> Verdict {
        if let State::Fixed(end) = self.state {
            return match report.at.cmp(&end) {
                std::cmp::Ordering::Less => Verdict::CatchUp(end),
                std::cmp::Ordering::Equal => Verdict::Keep,
                std::cmp::Ordering::Greater => Verdict::Discard,
            };
        }
        self.reports.insert(report.instance.clone(), report.at);
        let first_ms = *self.first_report_ms.get_or_insert(now_ms);
        if let State::Won { winner, at, since_ms } = &self.state {
            let late = now_ms - since_ms > WINNER_MS;
            let moved = *winner == report.instance && *at != report.at;
            let passed = *winner != report.instance && report.at > *at;
            if late && *winner != report.instance {
                // It had its turn; it may report again.
                let winner = winner.clone();
                self.reports.remove(&winner);
            }
            if late || moved || passed {
                self.state = State::Gathering;
            }
        }
        if self.state == State::Gathering {
            self.elect(report, first_ms, now_ms);
        }
        match &self.state {
            State::Won { winner, .. } if *winner == report.instance => Verdict::Commit,
            State::Won { at, .. } if report.at < *at => Verdict::CatchUp(*at),
            State::Won { .. } | State::Gathering => Verdict::Hold,
            // Handled above.
            State::Fixed(_) => Verdict::Hold,
        }
    }

    /// The first one wins at once where a row limit or the partition's end stopped it: the others will come to the same
    /// offset. Else the furthest one, once all have reported or the time is up; among equals the one that asks.
    fn elect(&mut self, report: &Report, first_ms: i64, now_ms: i64) {
        let exact = matches!(report.reason, SealReason::Rows | SealReason::Size | SealReason::EndOfPartition);
        let reading = self.replicas.iter().filter(|replica| !self.stopped.contains(replica)).count();
        let all = self.reports.len() >= reading.max(1);
        let decided = (self.reports.len() == 1 && exact) || all || now_ms - first_ms >= GATHER_MS;
        if !decided {
            return;
        }
        let furthest = self.reports.values().max().copied().unwrap_or(report.at);
        let winner = if report.at == furthest {
            Some(report.instance.clone())
        } else {
            self.reports.iter().find(|(_, at)| **at == furthest).map(|(instance, _)| instance.clone())
        };
        if let Some(winner) = winner {
            self.state = State::Won { winner, at: furthest, since_ms: now_ms };
        }
    }
}

/// Where a pipeline asks whether its segment may end.
#[async_trait::async_trait]
pub trait Completion: Send + Sync + 'static {
    /// Reports that a limit was reached; the answer says what to do.
    async fn report(&self, report: Report) -> Verdict;
}

/// The completion of a node whose segments have no other replica: the machine with one replica, asked in place.
pub struct SoleReplica {
    instance: Arc<str>,
    /// The machine of the newest segment of each partition: bounded by the partitions.
    machines: Mutex<BTreeMap<(TableName, u32), (u32, CompletionMachine)>>,
}

impl SoleReplica {
    /// For this instance.
    #[must_use]
    pub fn new(instance: Arc<str>) -> Self {
        Self { instance, machines: Mutex::default() }
    }
}

#[async_trait::async_trait]
impl Completion for SoleReplica {
    async fn report(&self, report: Report) -> Verdict {
        let partition = (report.segment.table.clone(), report.segment.partition_group);
        let sequence = report.segment.sequence;
        let mut machines = self.machines.lock();
        let fresh = || (sequence, CompletionMachine::new(vec![self.instance.clone()]));
        let held = machines.entry(partition).or_insert_with(fresh);
        if held.0 != sequence {
            *held = fresh();
        }
        // With one replica nothing is waited for, so the time does not matter.
        let commands = held.1.step(Event::Reported(report), 0);
        commands
            .into_iter()
            .find_map(|command| match command {
                Command::Answer(_, verdict) => Some(verdict),
                Command::NobodyLeft => None,
            })
            .unwrap_or(Verdict::Hold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Arc<str> {
        text.into()
    }

    fn report(instance: &str, at: u64, reason: SealReason) -> Event {
        let table = TableName::parse("t").unwrap();
        let segment = SegmentName::new(table, 0, 0, 0);
        Event::Reported(Report { segment, instance: name(instance), at: NextOffset::new(at), reason })
    }

    fn time(instance: &str, at: u64) -> Event {
        report(instance, at, SealReason::Time)
    }

    fn rows(instance: &str, at: u64) -> Event {
        report(instance, at, SealReason::Rows)
    }

    fn fixed(at: u64) -> Event {
        Event::Fixed(NextOffset::new(at))
    }

    fn stopped(instance: &str) -> Event {
        Event::Stopped(name(instance))
    }

    fn catch_up(at: u64) -> Option<Verdict> {
        Some(Verdict::CatchUp(NextOffset::new(at)))
    }

    const HOLD: Option<Verdict> = Some(Verdict::Hold);
    const COMMIT: Option<Verdict> = Some(Verdict::Commit);
    const KEEP: Option<Verdict> = Some(Verdict::Keep);
    const DISCARD: Option<Verdict> = Some(Verdict::Discard);

    /// Plays (time, event, verdict) on a machine of those replicas.
    fn play(what: &str, replicas: &[&str], script: &[(i64, Event, Option<Verdict>)]) {
        let mut machine = CompletionMachine::new(replicas.iter().map(|replica| name(replica)).collect());
        for (line, (now_ms, event, expected)) in script.iter().enumerate() {
            let verdict = machine.step(event.clone(), *now_ms).into_iter().find_map(|command| match command {
                Command::Answer(_, verdict) => Some(verdict),
                Command::NobodyLeft => None,
            });
            assert_eq!(verdict, *expected, "{what}, line {line}: {event:?} at {now_ms}");
        }
    }

    #[test]
    fn one_replica_never_waits() {
        play("at once", &["a"], &[(0, time("a", 5), COMMIT), (1, fixed(5), None), (2, time("a", 5), KEEP)]);
        // The end could not be recorded, it read on and reports again.
        play("read on", &["a"], &[(0, time("a", 5), COMMIT), (0, time("a", 9), COMMIT)]);
        play("same again", &["a"], &[(0, time("a", 5), COMMIT), (99_999, time("a", 5), COMMIT)]);
    }

    #[test]
    fn the_furthest_wins_once_all_have_reported() {
        play(
            "all in",
            &["a", "b", "c"],
            &[
                (0, time("a", 5), HOLD),
                (10, time("b", 9), HOLD),
                (20, time("c", 7), catch_up(9)),
                (30, time("a", 5), catch_up(9)),
                (40, time("b", 9), COMMIT),
                (50, time("a", 9), HOLD),
                (60, fixed(9), None),
                (70, time("a", 9), KEEP),
                (80, time("c", 8), catch_up(9)),
                (90, time("c", 10), DISCARD),
            ],
        );
        play("a tie goes to who asks", &["a", "b"], &[(0, time("a", 5), HOLD), (1, time("b", 5), COMMIT)]);
    }

    #[test]
    fn a_row_limit_decides_at_once() {
        play(
            "rows",
            &["a", "b"],
            &[(0, rows("a", 5), COMMIT), (1, rows("b", 5), HOLD), (2, rows("b", 4), catch_up(5))],
        );
        let end = |instance, at| report(instance, at, SealReason::EndOfPartition);
        play("end of partition", &["a", "b"], &[(0, end("a", 5), COMMIT), (1, end("b", 5), HOLD)]);
        // Not once others have reported something else.
        play("second", &["a", "b", "c"], &[(0, time("a", 3), HOLD), (1, rows("b", 5), HOLD)]);
    }

    #[test]
    fn who_is_late_is_not_waited_for() {
        let late = GATHER_MS;
        play(
            "gathered",
            &["a", "b"],
            &[(0, time("a", 5), HOLD), (late - 1, time("a", 5), HOLD), (late, time("a", 5), COMMIT)],
        );
        let gone = 2 + WINNER_MS;
        play(
            "the winner is gone",
            &["a", "b"],
            &[
                (0, time("a", 5), HOLD),
                (1, time("b", 9), COMMIT),
                (2, time("a", 5), catch_up(9)),
                (1 + WINNER_MS, time("a", 9), HOLD),
                (gone, time("a", 9), COMMIT),
                // It comes back when the other has won: it waits, and finds the end where it stands.
                (gone + 1, time("b", 9), HOLD),
                (gone + 2, fixed(9), None),
                (gone + 3, time("b", 9), KEEP),
            ],
        );
    }

    #[test]
    fn who_comes_with_more_is_heard() {
        play(
            "further than the winner",
            &["a", "b"],
            &[(0, rows("a", 5), COMMIT), (1, time("b", 8), COMMIT), (2, time("a", 5), catch_up(8))],
        );
    }

    #[test]
    fn who_stopped_does_not_count() {
        play("of two", &["a", "b"], &[(0, stopped("b"), None), (1, time("a", 5), COMMIT)]);
        play(
            "the winner stops",
            &["a", "b"],
            &[(0, time("a", 5), HOLD), (1, time("b", 9), COMMIT), (2, stopped("b"), None), (3, time("a", 5), COMMIT)],
        );
        play(
            "back again",
            &["a", "b"],
            &[(0, stopped("b"), None), (1, time("b", 9), HOLD), (2, time("a", 5), catch_up(9))],
        );
        let mut machine = CompletionMachine::new(vec![name("a"), name("b")]);
        assert_eq!(machine.step(stopped("a"), 0), []);
        assert_eq!(machine.step(stopped("b"), 0), [Command::NobodyLeft]);
        let mut machine = CompletionMachine::fixed(vec![name("a")], NextOffset::new(5));
        assert_eq!(machine.step(stopped("a"), 0), [], "its end is recorded, it can be built from the stream");
    }

    /// Whatever is reported in whatever order, at most one replica is told to commit while it may, all verdicts after the
    /// end is recorded agree with it, and everybody gets there.
    #[test]
    fn random_replicas_all_come_to_one_end() {
        for seed in 0..300 {
            let mut chance = weir_base::Chance::seeded(seed);
            let replicas: Vec<Arc<str>> = (0..1 + chance.below(3)).map(|at| name(&format!("r{at}"))).collect();
            let mut at: Vec<u64> = replicas.iter().map(|_| chance.below(20)).collect();
            let mut machine = CompletionMachine::new(replicas.clone());
            let (mut now_ms, mut end, mut settled) = (0, None, vec![false; replicas.len()]);
            for step in 0.. {
                assert!(step < 10_000, "seed {seed} does not come to an end");
                if settled.iter().all(|settled| *settled) {
                    break;
                }
                now_ms += i64::try_from(chance.below(4000)).unwrap();
                let who = usize::try_from(chance.below(replicas.len() as u64)).unwrap();
                let commands = machine.step(time(&replicas[who], at[who]), now_ms);
                let [Command::Answer(to, verdict)] = commands.as_slice() else { panic!("{commands:?}") };
                assert_eq!(*to, replicas[who]);
                match verdict {
                    Verdict::Hold => {}
                    Verdict::CatchUp(to) => {
                        assert!(to.number() > at[who], "seed {seed}: catching up goes forward");
                        // It may be interrupted on the way.
                        at[who] += 1 + chance.below(to.number() - at[who]);
                    }
                    Verdict::Commit => {
                        assert_eq!(end, None, "seed {seed}: nobody commits what is recorded");
                        // The transaction may fail; then it reports again.
                        if chance.hit(0.7) {
                            end = Some(at[who]);
                            machine.step(fixed(at[who]), now_ms);
                            settled[who] = true;
                        }
                    }
                    Verdict::Keep => {
                        assert_eq!(Some(at[who]), end, "seed {seed}");
                        settled[who] = true;
                    }
                    Verdict::Discard => {
                        assert!(end.is_some_and(|end| at[who] > end), "seed {seed}");
                        settled[who] = true;
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn the_sole_replica_commits_each_segment_of_each_partition() {
        let sole = SoleReplica::new(name("a"));
        for sequence in 0..3 {
            for partition_group in 0..3 {
                let segment = SegmentName::new(TableName::parse("t").unwrap(), partition_group, sequence, 0);
                let at = NextOffset::new(u64::from(sequence));
                let report = Report { segment, instance: name("a"), at, reason: SealReason::Time };
                assert_eq!(sole.report(report).await, Verdict::Commit);
            }
        }
        assert_eq!(sole.machines.lock().len(), 3);
    }
}
