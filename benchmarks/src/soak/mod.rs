//! Seeded chaos over a real broker, with every answer held against what was sent, and every message accounted for at the end.
//!
//! Order of events: a broker and two tables are made; one thread sends to each topic, one asks for the count of the first
//! table, and this one deals out faults. Then all faults end, the sending stops, and what is there is checked.
//!
//! The first table has one life: its counts only grow. The second one's topic is deleted and made again on the way. Its
//! rows of all topics of that name stay, each event says which of them it was sent to, and what could not be read again
//! after a kill is on the record.

mod broker;
mod chaos;
mod check;
mod disk;
mod ledger;
mod log;
mod sender;
mod tables;
mod watch;

use crate::{kafka, node::Launch};
use broker::{Broker, Script};
use chaos::{Chaos, Parts};
use check::Checked;
use disk::{Objects, Place};
use rand::{SeedableRng, rngs::SmallRng};
use sender::{Plan, Sender};
use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use tables::Shape;
use watch::{Findings, Life, Tally, Watch};

type Failure = Box<dyn std::error::Error>;

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Soak {
    /// Chance of the faults, their times and the pace of the messages.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds in all, the checks at the end included.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Events per second at the usual pace.
    #[arg(long, default_value_t = 1500)]
    per_second: u32,
    /// The script that starts and stops the broker.
    #[arg(long, default_value = "scripts/kafka.sh")]
    kafka_script: PathBuf,
    /// Port of the soak's own broker; it takes the next one too.
    #[arg(long, default_value_t = 19_292)]
    kafka_port: u16,
}

/// Seconds for the checks at the end, and at most this share of the run.
const CHECKS: u64 = 40;
const CHECKS_SHARE: u64 = 4;
/// A run of this length or more must have met every fault.
const WHOLE: u64 = 600;
/// Room on the node's disk at the start and per second of the run, in bytes: what the events need, twice over.
const ROOM: (u64, u64) = (256 << 20, 1 << 20);
/// The node is ready within this on a busy machine, in a debug build.
const START: Duration = Duration::from_secs(60);
/// Events per second of the topic that is made anew.
const AGAIN_PER_SECOND: u32 = 100;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn interrupt(_: libc::c_int) {
    INTERRUPTED.store(true, Ordering::SeqCst);
}

/// Ended from outside, the run ends what it started first.
fn end_in_order() {
    let handler: extern "C" fn(libc::c_int) = interrupt;
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler stores one atomic value, which is allowed in a signal handler.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

impl Soak {
    /// Runs it; an error is a finding.
    pub(crate) fn run(&self, launch: &Launch) -> Result<(), Failure> {
        println!("soak: seed {}, {} s", self.seed, self.seconds);
        end_in_order();
        let begun = Instant::now();
        let findings = Findings::new();
        let broker = Broker::start(Script::new(self.kafka_script.clone(), self.kafka_port))?;
        let root = launch.data_dir.with_extension("soak");
        let data = Place::make(&root.join("data"), ROOM.0 + ROOM.1 * self.seconds)?;
        let objects = Objects::new(Place::make(&root.join("store"), ROOM.0 + ROOM.1 * self.seconds)?)?;
        let launch = Launch {
            data_dir: data.path.clone(),
            arguments: vec!["--deep-store".to_owned(), format!("file://{}", objects.folder().display())],
            patience: START,
            ..launch.clone()
        };
        let log = launch.data_dir.with_extension("log");
        drop(std::fs::remove_file(&log));
        let (mut chaos, watch) = self.begin(launch, &broker.0, data, objects, findings.clone())?;
        // The checks are made within the time too; a short run is chaos by half at least.
        let at_least = Instant::now() + Duration::from_secs(self.seconds / 2);
        let checks = CHECKS.min(self.seconds / CHECKS_SHARE);
        let until = at_least.max(begun + Duration::from_secs(self.seconds - checks));
        let mut checked = Checked::default();
        let done =
            chaos.run(until, || INTERRUPTED.load(Ordering::SeqCst)).and_then(|()| check::all(&mut chaos, &mut checked));
        let tally = watch.finish();
        if let Err(error) = done {
            findings.add(format!("the run ended early: {error}"));
        }
        check::log(&log, &findings);
        if tally.ahead > checked.doubled {
            let (ahead, doubled) = (tally.ahead, checked.doubled);
            findings.add(format!("a count was ahead of what was sent by {ahead}; {doubled} messages are there twice"));
        }
        self.tell(&chaos, &tally, &checked);
        println!("the node's log is {}", log.display());
        match findings.count() {
            0 if INTERRUPTED.load(Ordering::SeqCst) => Err("interrupted".into()),
            0 => Ok(()),
            count => Err(format!("seed {}: {count} findings, told above", self.seed).into()),
        }
    }

    fn begin(
        &self,
        launch: Launch,
        broker: &Script,
        data: Place,
        objects: Objects,
        findings: Findings,
    ) -> Result<(Chaos, Watch), Failure> {
        let (address, topic) = (broker.address(), format!("soak-{}", self.seed));
        let again = chaos::again_topic(&topic);
        kafka::fresh_topic(&address, &topic, chaos::FIRST_PARTITIONS as i32)?;
        kafka::fresh_topic(&address, &again, chaos::AGAIN_PARTITIONS as i32)?;
        let (life, shape) = (Life::default(), Shape::first());
        let node = launch.start()?;
        Chaos::create_tables(&node, &address, &topic, &shape)?;
        life.begins();
        let plan = |topic: String, partitions: u32, per_second, odd| Plan {
            topic,
            partitions: partitions.into(),
            extras: u32::from(odd).into(),
            per_second,
            odd,
            incarnation: 0,
            next: 0.into(),
        };
        let main = Sender::start(&address, plan(topic, chaos::FIRST_PARTITIONS, self.per_second, true), self.seed)?;
        let again = plan(again, chaos::AGAIN_PARTITIONS, AGAIN_PER_SECOND, false);
        let again = Sender::start(&address, again, self.seed)?;
        let watch = Watch::start(launch.client(), life.clone(), main.ledger.clone(), findings.clone());
        let chance = SmallRng::seed_from_u64(self.seed);
        let broker = broker.clone();
        let parts = Parts { launch, node, life, broker, findings, chance, main, again, shape, data, objects };
        Ok((Chaos::new(parts), watch))
    }

    fn tell(&self, chaos: &Chaos, tally: &Tally, checked: &Checked) {
        let (deck, not) = chaos.deck();
        println!("soak: seed {}, {:.0} s of {} s", self.seed, chaos.findings.seconds(), self.seconds);
        let mut all = deck;
        all.sort();
        all.dedup();
        for fault in &all {
            println!("  {:3} x {}", chaos.hits.get(fault).unwrap_or(&0), fault.words());
        }
        for (fault, why) in &not {
            println!("      not to be had here: {}: {why}", fault.words());
        }
        let totals = &checked.totals;
        println!(
            "  {} good messages, {} rejected, {} tombstones in {} partitions, {} twice; {} topics of the other table, {} of \
             their messages lost on the record",
            totals.good,
            totals.rejected,
            totals.tombstones,
            chaos.main.plan.partitions.load(Ordering::SeqCst),
            checked.doubled,
            chaos.earlier.len() + 1,
            checked.lost
        );
        println!(
            "  {} counts, {} of them held against what was acknowledged a second before, {} unanswered while the node was \
             ended; said by code {:?}; longest round {:?}",
            tally.answers, tally.fresh, tally.unanswered, tally.said, tally.longest
        );
        println!(
            "  slowest start of the node {:?}, {} starts for want of room refused; exact {:?} after the last message",
            chaos.slowest_start, chaos.starts_refused, checked.exact_after
        );
        let missed: Vec<&str> = all.iter().filter(|fault| !chaos.hits.contains_key(fault)).map(|f| f.words()).collect();
        if self.seconds >= WHOLE && !INTERRUPTED.load(Ordering::SeqCst) {
            if !missed.is_empty() {
                chaos.findings.add(format!("faults that were never met: {}", missed.join(", ")));
            }
            if totals.rejected == 0 || tally.fresh == 0 {
                chaos.findings.add("no bad record was sent, or no count was held against acknowledgements");
            }
        }
    }
}
