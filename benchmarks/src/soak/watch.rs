//! Asks for the count again and again and holds each answer against what was sent and acknowledged.
//!
//! An answer without exceptions is at least the largest earlier one, at most what was sent before it came, and, where all
//! partitions said CONSUMING before and after it, at least what they had acknowledged one second before it was asked.

use super::{ledger::Ledger, tables::MAIN};
use crate::node::{Answer, Client};
use parking_lot::Mutex;
use serde_json::Value;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Acknowledged messages are visible within this, where the node says that it consumes.
const WITHIN: Duration = Duration::from_secs(1);
/// So many earlier answers are told with one that is wrong.
const EVIDENCE: usize = 6;
/// More findings than this say nothing new.
const MOST_FINDINGS: usize = 20;
/// Asked in turn: answered from counts alone, from an index, and from values.
const QUESTIONS: [&str; 3] = ["", " WHERE latency >= 0", " WHERE number >= 0"];

/// What went wrong; shared by all who look.
#[derive(Debug, Clone)]
pub(super) struct Findings {
    begun: Instant,
    list: Arc<Mutex<Vec<String>>>,
}

impl Findings {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), list: Arc::default() }
    }

    /// Seconds since the beginning.
    pub(super) fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    pub(super) fn add(&self, what: impl Into<String>) {
        let what = format!("at {:.1} s: {}", self.seconds(), what.into());
        println!("FOUND {what}");
        self.list.lock().push(what);
    }

    pub(super) fn count(&self) -> usize {
        self.list.lock().len()
    }
}

/// Which process of the node is up, and which it is: questions to one that is being killed may fail.
#[derive(Debug, Clone, Default)]
pub(super) struct Life(Arc<Mutex<(u64, bool)>>);

impl Life {
    /// A process is ready.
    pub(super) fn begins(&self) {
        let mut life = self.0.lock();
        *life = (life.0 + 1, true);
    }

    /// It is about to be ended.
    pub(super) fn ends(&self) {
        self.0.lock().1 = false;
    }

    /// The process that is up.
    pub(super) fn now(&self) -> Option<u64> {
        let life = self.0.lock();
        life.1.then_some(life.0)
    }
}

/// What the partitions of a table say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct States {
    /// State and reason by partition.
    pub(super) by_partition: BTreeMap<usize, (String, String)>,
}

impl States {
    /// Reads the answer of `GET /tables/{t}/partitions`.
    pub(super) fn of(json: &Value) -> Self {
        let shown = json.as_array().map(Vec::as_slice).unwrap_or_default();
        let one = |shown: &Value| {
            let partition = usize::try_from(shown["partition"].as_u64()?).ok()?;
            let text = |key: &str| shown[key].as_str().unwrap_or("").to_owned();
            Some((partition, (text("state"), text("reason"))))
        };
        Self { by_partition: shown.iter().filter_map(one).collect() }
    }

    /// Whether all are in this state.
    pub(super) fn all(&self, state: &str) -> bool {
        !self.by_partition.is_empty() && self.by_partition.values().all(|(said, _)| said == state)
    }
}

/// One answer with what was known around it.
#[derive(Debug, Clone)]
struct Seen {
    question: &'static str,
    count: u64,
    /// The largest count that was answered before this was asked.
    highest: u64,
    /// Good messages given to the client before the answer was there.
    sent: u64,
    /// Good messages acknowledged a second before the question, where all partitions said CONSUMING around it.
    due: Option<u64>,
}

impl Seen {
    /// By how much the answer is ahead of what was sent. That is wrong, unless the broker has so many messages twice.
    fn ahead(&self) -> u64 {
        self.count.saturating_sub(self.sent)
    }

    /// What is wrong with the answer otherwise, if anything is.
    fn judge(&self) -> Result<(), String> {
        let what = format!("count(*){}", self.question);
        if self.count < self.highest {
            return Err(format!("{what} went back from {} to {} without an exception", self.highest, self.count));
        }
        match self.due {
            Some(due) if self.count < due => Err(format!(
                "{what} is {}, all partitions say CONSUMING, and {due} good messages were acknowledged a second before",
                self.count
            )),
            _ => Ok(()),
        }
    }
}

/// What was asked and answered, for the summary.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally {
    pub(super) answers: u64,
    /// Those held against what was acknowledged a second before.
    pub(super) fresh: u64,
    /// Answers that said something, by code.
    pub(super) said: BTreeMap<i64, u64>,
    /// Questions that a process which was being ended did not answer.
    pub(super) unanswered: u64,
    /// Longest time that a question with the states around it took.
    pub(super) longest: Duration,
    /// By how much an answer was ahead of what was sent before it came, at most.
    pub(super) ahead: u64,
}

/// The thread that asks.
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Tally>>,
}

impl Watch {
    pub(super) fn start(client: Client, life: Life, ledger: Arc<Ledger>, findings: Findings) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut asking =
                Asking { client, life, ledger, findings, highest: 0, seen: VecDeque::new(), tally: Tally::default() };
            while !stopped.load(Ordering::SeqCst) {
                asking.round();
                // Pauses keep a busy machine free for what is tested.
                std::thread::sleep(Duration::from_millis(20));
            }
            asking.tally
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends it.
    pub(super) fn finish(mut self) -> Tally {
        self.stop.store(true, Ordering::SeqCst);
        let thread = self.thread.take().expect("it is taken here only");
        thread.join().unwrap_or_default()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

struct Asking {
    client: Client,
    life: Life,
    ledger: Arc<Ledger>,
    findings: Findings,
    highest: u64,
    seen: VecDeque<String>,
    tally: Tally,
}

impl Asking {
    fn round(&mut self) {
        let Some(process) = self.life.now() else { return };
        let question = QUESTIONS[(self.tally.answers % QUESTIONS.len() as u64) as usize];
        let path = format!("/tables/{MAIN}/partitions");
        let begun = Instant::now();
        let answered = (|| {
            let before = self.client.get(&path)?;
            let asked = Instant::now();
            let answer = self.client.query(&format!("SELECT COUNT(*) FROM {MAIN}{question}"))?;
            let sent = self.ledger.sent_good();
            Ok::<_, Box<dyn std::error::Error>>((before, asked, answer, sent, self.client.get(&path)?))
        })();
        match answered {
            Ok((before, asked, answer, sent, after)) => {
                self.tally.longest = self.tally.longest.max(begun.elapsed());
                self.take(question, &answer, sent, (asked, &before, &after));
            }
            Err(_) if self.life.now() != Some(process) => self.tally.unanswered += 1,
            Err(error) => self.find(format!("a question was not answered: {error}"), &[]),
        }
    }

    fn take(&mut self, question: &'static str, answer: &Answer, sent: u64, around: (Instant, &Value, &Value)) {
        let (asked, before, after) = around;
        self.tally.answers += 1;
        if let Some((code, text)) = answer.exceptions.first() {
            *self.tally.said.entry(*code).or_default() += 1;
            // It lacks something, or its time was over: that is said. Anything else is a fault.
            if ![305, 240, 250].contains(code) {
                self.find(format!("a count was answered with {code}: {text}"), &[before, after]);
            }
            return;
        }
        let count = answer.number(0).max(0.0) as u64;
        let (said, said_after) = (States::of(before), States::of(after));
        let steady = said.all("CONSUMING") && said_after.all("CONSUMING");
        let due = asked.checked_sub(WITHIN).filter(|_| steady);
        let due = due.map(|due| self.ledger.good_by(due, said.by_partition.keys().copied()));
        let seen = Seen { question, count, highest: self.highest, sent, due };
        self.tally.fresh += u64::from(due.is_some());
        self.highest = self.highest.max(count);
        let (judged, ahead) = (seen.judge(), seen.ahead());
        self.seen.push_back(format!("{:.3} s {seen:?}", self.findings.seconds()));
        if self.seen.len() > EVIDENCE {
            self.seen.pop_front();
        }
        if let Err(wrong) = judged {
            self.find(wrong, &[before, after]);
        }
        if ahead > self.tally.ahead {
            self.tally.ahead = ahead;
            println!("a count is ahead of what was sent by {ahead}: {}", self.seen.back().map_or("", String::as_str));
        }
    }

    fn find(&self, what: String, partitions: &[&Value]) {
        if self.findings.count() >= MOST_FINDINGS {
            return;
        }
        let mut text = what;
        for seen in &self.seen {
            text.push_str(&format!("\n    {seen}"));
        }
        for (when, json) in ["before", "after"].iter().zip(partitions) {
            text.push_str(&format!("\n    {when}:"));
            for shown in json.as_array().map(Vec::as_slice).unwrap_or_default() {
                text.push_str(&format!("\n      {}", brief(shown)));
            }
        }
        self.findings.add(text);
    }
}

/// What matters of one partition's status.
pub(super) fn brief(shown: &Value) -> String {
    let keys = ["partition", "state", "reason", "nextOffset", "highWatermark", "lagMs", "openRows", "lastError"];
    let told: Vec<String> = keys.iter().map(|key| format!("{key} {}", shown[*key])).collect();
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_are_held_against_what_is_known() {
        let seen = |count, highest, sent, due| Seen { question: "", count, highest, sent, due };
        assert_eq!(seen(10, 10, 10, Some(10)).judge(), Ok(()));
        assert_eq!(seen(10, 10, 20, None).judge(), Ok(()));
        assert!(seen(9, 10, 20, None).judge().unwrap_err().contains("went back from 10 to 9"));
        assert_eq!((seen(11, 10, 10, None).ahead(), seen(11, 10, 11, None).ahead()), (1, 0));
        assert!(seen(10, 10, 20, Some(11)).judge().unwrap_err().contains("11 good messages"));
    }

    #[test]
    fn states_are_read() {
        let states = States::of(&json!([
            {"partition": 0, "state": "CONSUMING", "reason": ""},
            {"partition": 1, "state": "RETRYING", "reason": "no disk"},
        ]));
        assert_eq!(states.by_partition[&1], ("RETRYING".to_owned(), "no disk".to_owned()));
        assert!(!states.all("CONSUMING") && !States::default().all("CONSUMING"));
    }

    #[test]
    fn a_process_has_its_own_life() {
        let life = Life::default();
        assert_eq!(life.now(), None);
        life.begins();
        let first = life.now();
        life.ends();
        assert_eq!(life.now(), None);
        life.begins();
        assert!(first.is_some() && life.now() != first);
    }
}
