//! The faults, one after the other and some of them over others, as the seed has them.

use super::{
    broker::Script,
    disk::{Full, Loss, Objects, Place},
    sender::{Plan, Sender},
    tables::{self, AGAIN, MAIN, Shape},
    watch::{Findings, Life, States},
};
use crate::{
    kafka,
    node::{Launch, Node},
};
use rand::{Rng, rngs::SmallRng, seq::SliceRandom};
use std::{
    collections::BTreeMap,
    sync::atomic::Ordering,
    thread::JoinHandle,
    time::{Duration, Instant},
};

type Failure = Box<dyn std::error::Error>;

/// What goes wrong, or is changed, while the table is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// The broker is stopped and started again.
    BrokerRestarted,
    /// The broker is killed and started again.
    BrokerKilled,
    /// The node is killed (signal 9) and started again.
    NodeKilled,
    /// The node's disk has no room for some seconds.
    DiskFull,
    /// The topic gains a partition.
    PartitionAdded,
    /// A topic is deleted and made again; the table is told to begin with it.
    TopicMadeAnew,
    /// The table gains a column.
    ColumnAdded,
    /// Segments are sealed at other sizes and ages.
    FlushChanged,
    /// Other columns have indexes.
    IndexChanged,
    /// The deep store is elsewhere for some seconds.
    StoreMoved,
    /// The deep store takes no writes for some seconds.
    StoreReadOnly,
}

impl Fault {
    /// All, the worst one twice as often.
    const DECK: [Self; 12] = [
        Self::NodeKilled,
        Self::BrokerRestarted,
        Self::DiskFull,
        Self::PartitionAdded,
        Self::TopicMadeAnew,
        Self::ColumnAdded,
        Self::NodeKilled,
        Self::StoreMoved,
        Self::FlushChanged,
        Self::BrokerKilled,
        Self::IndexChanged,
        Self::StoreReadOnly,
    ];

    /// In the summary.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::BrokerRestarted => "broker restarted",
            Self::BrokerKilled => "broker killed (signal 9)",
            Self::NodeKilled => "node killed (signal 9)",
            Self::DiskFull => "disk full",
            Self::PartitionAdded => "partition added",
            Self::TopicMadeAnew => "topic made anew",
            Self::ColumnAdded => "column added",
            Self::FlushChanged => "flush thresholds changed",
            Self::IndexChanged => "indexes changed",
            Self::StoreMoved => "deep store moved away",
            Self::StoreReadOnly => "deep store read-only",
        }
    }
}

/// The topic has this many partitions at the start, and at most.
pub(super) const FIRST_PARTITIONS: u32 = 2;
const MOST_PARTITIONS: u32 = 12;
/// Of the topic that is made anew.
pub(super) const AGAIN_PARTITIONS: u32 = 2;
/// Columns are added up to here: each makes every event longer.
const MOST_EXTRAS: u32 = 8;
/// What is due happens within this on a busy machine; some of it waits for back-offs of five seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A column that was added.
#[derive(Debug, Clone, Copy)]
pub(super) struct Added {
    /// `extra_{number}`.
    pub(super) number: u32,
    /// Events from this number on were sent after the change was answered.
    pub(super) from: u64,
}

enum Outcome {
    Done,
    /// Another fault stands in the way; later.
    NotNow,
}

/// Everything that is under test, and what was done to it.
pub(super) struct Chaos {
    pub(super) launch: Launch,
    pub(super) node: Option<Node>,
    pub(super) life: Life,
    pub(super) broker: Script,
    pub(super) findings: Findings,
    pub(super) chance: SmallRng,
    pub(super) main: Sender,
    pub(super) again: Option<Sender>,
    /// How many messages earlier topics of that name held, all of them good.
    pub(super) earlier: Vec<u64>,
    pub(super) shape: Shape,
    pub(super) added: Vec<Added>,
    pub(super) data: Place,
    pub(super) objects: Objects,
    pub(super) hits: BTreeMap<Fault, u32>,
    /// Starts of the node that failed for want of room on its disk.
    pub(super) starts_refused: u32,
    /// Longest start of the node.
    pub(super) slowest_start: Duration,
    full: Option<(Full, Instant)>,
    lost: Option<(Loss, Instant)>,
    outage: Option<JoinHandle<Result<(), String>>>,
}

/// What a run of chaos is made of.
pub(super) struct Parts {
    pub(super) launch: Launch,
    pub(super) node: Node,
    pub(super) life: Life,
    pub(super) broker: Script,
    pub(super) findings: Findings,
    pub(super) chance: SmallRng,
    pub(super) main: Sender,
    pub(super) again: Sender,
    pub(super) shape: Shape,
    pub(super) data: Place,
    pub(super) objects: Objects,
}

impl Chaos {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            slowest_start: parts.node.ready_after,
            launch: parts.launch,
            node: Some(parts.node),
            life: parts.life,
            broker: parts.broker,
            findings: parts.findings,
            chance: parts.chance,
            main: parts.main,
            again: Some(parts.again),
            earlier: vec![],
            shape: parts.shape,
            added: vec![],
            data: parts.data,
            objects: parts.objects,
            hits: BTreeMap::new(),
            starts_refused: 0,
            full: None,
            lost: None,
            outage: None,
        }
    }

    /// The faults that can be had here, and those that cannot, with the reason.
    pub(super) fn deck(&self) -> (Vec<Fault>, Vec<(Fault, String)>) {
        let (mut deck, mut not) = (Fault::DECK.to_vec(), vec![]);
        if let Some(why) = self.data.cannot_be_filled() {
            not.push((Fault::DiskFull, why));
        }
        if !self.objects.can_be_read_only() {
            not.push((Fault::StoreReadOnly, "no file system can be mounted".to_owned()));
        }
        deck.retain(|fault| not.iter().all(|(missing, _)| missing != fault));
        (deck, not)
    }

    /// One fault after the other until `until`.
    pub(super) fn run(&mut self, until: Instant, ended: impl Fn() -> bool) -> Result<(), Failure> {
        let (all, _) = self.deck();
        let mut deck: Vec<Fault> = vec![];
        while Instant::now() < until && !ended() {
            let gap = Duration::from_millis(self.chance.random_range(300..2500));
            self.rest(gap)?;
            if deck.is_empty() {
                deck.clone_from(&all);
                deck.shuffle(&mut self.chance);
            }
            // Those that have to wait are tried again before the deck is dealt anew.
            for _ in 0..deck.len() {
                let fault = deck.remove(0);
                match self.apply(fault)? {
                    Outcome::Done => {
                        self.count(fault);
                        break;
                    }
                    Outcome::NotNow => deck.push(fault),
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, fault: Fault) {
        *self.hits.entry(fault).or_default() += 1;
    }

    fn say(&self, what: &str) {
        println!("{:7.1} s  {what}", self.findings.seconds());
    }

    /// Lets time pass.
    fn rest(&mut self, time: Duration) -> Result<(), Failure> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.tend()?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Waits for something; a finding where it does not come.
    pub(super) fn wait_for(
        &mut self,
        what: &str,
        mut there: impl FnMut(&Self) -> Result<Result<(), String>, Failure>,
    ) -> Result<bool, Failure> {
        let until = Instant::now() + PATIENCE;
        loop {
            self.tend()?;
            let lacks = match there(self) {
                Ok(Ok(())) => return Ok(true),
                Ok(Err(lacks)) => lacks,
                Err(error) => error.to_string(),
            };
            if Instant::now() > until {
                self.findings.add(format!("no {what} within {PATIENCE:?}: {lacks}"));
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends what is over, and sees whether everything is well that should be.
    fn tend(&mut self) -> Result<(), Failure> {
        if self.full.as_ref().is_some_and(|(_, until)| Instant::now() >= *until) {
            self.full = None;
            self.say("the disk has room again");
        }
        if let Some((how, until)) = self.lost
            && Instant::now() >= until
        {
            self.objects.give_back(how)?;
            self.lost = None;
            self.say("the deep store is back");
        }
        if self.outage.as_ref().is_some_and(JoinHandle::is_finished) {
            self.broker_is_back()?;
        }
        if let Some(why) = self.main.ledger.broken() {
            return Err(format!("the run proves nothing: {why}").into());
        }
        if let Some(node) = &mut self.node
            && let Some(status) = node.ended()?
        {
            self.life.ends();
            self.findings.add(format!("the node ended by itself with {status}"));
            self.node = None;
            self.start_node()?;
        }
        Ok(())
    }

    fn broker_is_back(&mut self) -> Result<(), Failure> {
        if let Some(outage) = self.outage.take() {
            outage.join().map_err(|_| "the broker's thread panicked")??;
            self.say("the broker is back");
        }
        Ok(())
    }

    /// Ends all that has an end.
    pub(super) fn calm(&mut self) -> Result<(), Failure> {
        self.full = None;
        if let Some((how, _)) = self.lost.take() {
            self.objects.give_back(how)?;
        }
        self.broker_is_back()
    }

    /// A value that is there while the node is up.
    pub(super) fn node(&self) -> Result<&Node, Failure> {
        self.node.as_ref().ok_or_else(|| "the node is down".into())
    }

    fn start_node(&mut self) -> Result<(), Failure> {
        let started = match self.launch.start() {
            Err(error) if self.full.is_some() => {
                self.starts_refused += 1;
                self.say(&format!("the node does not start on a full disk, room is made: {error}"));
                self.full = None;
                self.launch.start()
            }
            started => started,
        };
        let node = started?;
        self.slowest_start = self.slowest_start.max(node.ready_after);
        self.node = Some(node);
        self.life.begins();
        Ok(())
    }

    /// Kills the node and starts it again.
    pub(super) fn kill_node(&mut self) -> Result<(), Failure> {
        self.life.ends();
        if let Some(node) = self.node.take() {
            node.kill()?;
        }
        let down = Duration::from_millis(self.chance.random_range(0..500));
        std::thread::sleep(down);
        self.start_node()
    }

    fn apply(&mut self, fault: Fault) -> Result<Outcome, Failure> {
        match fault {
            Fault::BrokerRestarted | Fault::BrokerKilled => return Ok(self.take_broker(fault)),
            Fault::NodeKilled => {
                self.say(fault.words());
                self.kill_node()?;
                self.say("the node is ready");
            }
            Fault::DiskFull => {
                if self.full.is_some() {
                    return Ok(Outcome::NotNow);
                }
                let time = Duration::from_millis(self.chance.random_range(2000..8000));
                self.full = Some((Full::fill(&self.data)?, Instant::now() + time));
                self.say(&format!("disk full for {time:?}"));
            }
            Fault::PartitionAdded => return self.add_partition(),
            Fault::TopicMadeAnew => return self.make_anew(),
            Fault::ColumnAdded | Fault::FlushChanged | Fault::IndexChanged => return self.change(fault),
            Fault::StoreMoved => return self.take_store(Loss::MovedAway, fault),
            Fault::StoreReadOnly => return self.take_store(Loss::ReadOnly, fault),
        }
        Ok(Outcome::Done)
    }

    fn take_broker(&mut self, fault: Fault) -> Outcome {
        if self.outage.is_some() {
            return Outcome::NotNow;
        }
        let (broker, down) = (self.broker.clone(), Duration::from_millis(self.chance.random_range(0..3000)));
        self.say(&format!("{}, down for {down:?}", fault.words()));
        self.outage = Some(std::thread::spawn(move || {
            let done = if fault == Fault::BrokerKilled { broker.kill() } else { broker.stop() };
            std::thread::sleep(down);
            done.and_then(|()| broker.start()).map_err(|error| error.to_string())
        }));
        Outcome::Done
    }

    fn take_store(&mut self, how: Loss, fault: Fault) -> Result<Outcome, Failure> {
        if self.lost.is_some() {
            return Ok(Outcome::NotNow);
        }
        self.objects.lose(how)?;
        let time = Duration::from_millis(self.chance.random_range(3000..12_000));
        self.lost = Some((how, Instant::now() + time));
        self.say(&format!("{} for {time:?}", fault.words()));
        Ok(Outcome::Done)
    }

    fn add_partition(&mut self) -> Result<Outcome, Failure> {
        let plan = self.main.plan.clone();
        let count = plan.partitions.load(Ordering::SeqCst);
        if self.outage.is_some() || count >= MOST_PARTITIONS {
            return Ok(Outcome::NotNow);
        }
        kafka::grow(&self.broker.address(), &plan.topic, count + 1)?;
        plan.partitions.store(count + 1, Ordering::SeqCst);
        self.say(&format!("partition {count} added"));
        Ok(Outcome::Done)
    }

    fn change(&mut self, fault: Fault) -> Result<Outcome, Failure> {
        let mut shape = self.shape.clone();
        match fault {
            Fault::ColumnAdded if shape.extras < MOST_EXTRAS => shape.extras += 1,
            Fault::ColumnAdded => return Ok(Outcome::NotNow),
            Fault::FlushChanged => {
                shape.segment_rows = self.chance.random_range(2_000..30_000);
                shape.segment_seconds = *pick(&mut self.chance, &[5, 20, 3600]);
            }
            _ => {
                let some = |chance: &mut SmallRng, of: &[&'static str]| -> Vec<&'static str> {
                    of.iter().copied().filter(|_| chance.random_bool(0.5)).collect()
                };
                shape.inverted = some(&mut self.chance, &["country", "event_type", "city", "status"]);
                shape.range = some(&mut self.chance, &["latency", "price", "quantity"]);
            }
        }
        let configs = shape.configs(&self.broker.address(), &self.main.plan.topic);
        // What does not answer now refuses changes: the stream, or a catalog on a full disk.
        let excused = self.full.is_some() || self.outage.is_some();
        match self.node()?.change(MAIN, &configs) {
            Ok(()) => {}
            Err(error) if excused => {
                self.say(&format!("not now, {}: {error}", fault.words()));
                return Ok(Outcome::NotNow);
            }
            Err(error) => {
                self.findings.add(format!("{}: {error}", fault.words()));
                return Ok(Outcome::Done);
            }
        }
        if fault == Fault::ColumnAdded {
            let from = self.main.plan.next.load(Ordering::SeqCst);
            self.added.push(Added { number: shape.extras, from });
            // The next column's values are there before it is.
            self.main.plan.extras.store(shape.extras + 1, Ordering::SeqCst);
        }
        self.say(&format!("{}: {shape:?}", fault.words()));
        self.shape = shape;
        Ok(Outcome::Done)
    }

    /// What the partitions of the table whose topic is made anew say.
    fn again_states(&self) -> Result<States, Failure> {
        Ok(States::of(&self.node()?.get(&format!("/tables/{AGAIN}/partitions"))?))
    }

    fn wait_for_again(&mut self, state: &str) -> Result<bool, Failure> {
        let what = format!("{state} of the table whose topic was made anew");
        self.wait_for(&what, |chaos| {
            let states = chaos.again_states()?;
            Ok(if states.all(state) { Ok(()) } else { Err(format!("{states:?}")) })
        })
    }

    /// All of the old topic is read, then it is deleted and made again, and the table is told to begin with the new one.
    fn make_anew(&mut self) -> Result<Outcome, Failure> {
        if self.outage.is_some() || self.full.is_some() {
            return Ok(Outcome::NotNow);
        }
        let Some(mut old) = self.again.take() else { return Ok(Outcome::NotNow) };
        old.finish()?;
        let held = self.held_of_again()?;
        let due = self.earlier.iter().sum::<u64>() + held;
        let lost = self.lost_of_again()?;
        let visible = self.wait_for("complete count before a topic is made anew", |chaos| {
            let count = chaos.node()?.query(&format!("SELECT COUNT(*) FROM {AGAIN}"))?;
            let there = count.exceptions.is_empty() && count.number(0) as u64 + lost >= due;
            Ok(if there { Ok(()) } else { Err(format!("{count:?}, {due} were sent, {lost} are lost on the record")) })
        })?;
        let (paused, sealed) = (self.chance.random_bool(0.5), self.chance.random_bool(0.5));
        let (killed_before, killed_after) = (self.chance.random_bool(0.25), self.chance.random_bool(0.25));
        self.say(&format!(
            "topic made anew; paused {paused}, sealed {sealed}, killed before it is told {killed_before}, after {killed_after}"
        ));
        let plan = Plan {
            topic: old.plan.topic.clone(),
            partitions: AGAIN_PARTITIONS.into(),
            extras: 0.into(),
            per_second: old.plan.per_second,
            odd: false,
            incarnation: old.plan.incarnation + 1,
            next: old.plan.next.load(Ordering::SeqCst).into(),
        };
        self.earlier.push(held);
        if !visible {
            return Err("the table whose topic is made anew is not whole".into());
        }
        let tell = |chaos: &Self, what: &str| chaos.node()?.post(&format!("/tables/{AGAIN}/{what}"));
        if sealed {
            tell(self, "forceCommit")?;
        }
        if paused {
            tell(self, "pauseConsumption?comment=soak")?;
            self.wait_for_again("PAUSED")?;
        }
        kafka::fresh_topic(&self.broker.address(), &plan.topic, AGAIN_PARTITIONS as i32)?;
        if paused {
            tell(self, "resumeConsumption")?;
        }
        if killed_before {
            self.kill_node()?;
            self.count(Fault::NodeKilled);
        }
        self.wait_for_again("RECREATED")?;
        let seed = self.chance.random();
        // Its messages may be there before the table is told, or come later.
        if self.chance.random_bool(0.5) {
            self.again = Some(Sender::start(&self.broker.address(), plan, seed)?);
            tell(self, "resumeConsumption?consumeFrom=smallest")?;
        } else {
            tell(self, "resumeConsumption?consumeFrom=smallest")?;
            self.again = Some(Sender::start(&self.broker.address(), plan, seed)?);
        }
        if killed_after {
            self.kill_node()?;
            self.count(Fault::NodeKilled);
        }
        self.wait_for_again("CONSUMING")?;
        Ok(Outcome::Done)
    }

    /// Messages that the topic which is made anew holds now.
    fn held_of_again(&self) -> Result<u64, Failure> {
        let end = |partition| kafka::end(&self.broker.address(), &self.again_topic(), partition);
        (0..AGAIN_PARTITIONS as i32).map(|partition| Ok(u64::try_from(end(partition)?)?)).sum()
    }

    /// Offsets of them that are lost on the record: rows that were open when the node was killed with the topic gone.
    pub(super) fn lost_of_again(&self) -> Result<u64, Failure> {
        let sql = format!(
            "SELECT SUM(offsets) FROM system.skips WHERE \"table\" = '{AGAIN}' AND kind = 'LOSS' AND topic = '{}'",
            self.again_topic()
        );
        Ok(self.node()?.query(&sql)?.number(0).max(0.0) as u64)
    }

    pub(super) fn again_topic(&self) -> String {
        again_topic(&self.main.plan.topic)
    }

    /// The table that is watched and the one whose topic is made anew, as they begin.
    pub(super) fn create_tables(node: &Node, broker: &str, topic: &str, shape: &Shape) -> Result<(), Failure> {
        node.create(&shape.configs(broker, topic))?;
        node.create(&tables::again(broker, &again_topic(topic)))
    }
}

/// The topic that is made anew, by the name of the other.
pub(super) fn again_topic(topic: &str) -> String {
    format!("{topic}-again")
}

fn pick<'a, T>(chance: &mut SmallRng, of: &'a [T]) -> &'a T {
    &of[chance.random_range(0..of.len())]
}
