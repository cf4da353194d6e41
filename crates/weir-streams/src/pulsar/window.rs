//! Messages that came and were not given yet, and among them those of which parts are to come still.
//!
//! A message that its producer cut stands where its first part stands: whoever begins behind that place reads no more of it, and
//! whoever begins there reads all of it. So what comes behind the first part waits until the message is whole; then all are
//! given in the order of their places, and the places of the later parts hold no message. Nothing is lost and nothing comes
//! twice, wherever reading ends and begins again.
//!
//! A message that does not become whole is given as one whose value is not there: once the rest of it has not come for a
//! while, once too much waits behind it, or once a part is missing. What comes of it later is dropped.

use super::messages::Held;
use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// Messages that are not whole at one time. Each comes from a producer of its own; Pulsar's client for Java keeps as many.
const MOST_OPEN: usize = 10;
/// Messages that wait behind one that is not whole: at some thousands a second its producer had seconds.
const MOST_HELD: usize = 20_000;
/// Bytes of all that are held meanwhile, and of one message: producers cut at 5 MB, and a row of more than a dozen such parts
/// is none.
const MOST_BYTES: usize = 64 << 20;
/// How long the rest of a message may take; Pulsar's client for Java waits as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// What the message is called in all its parts.
    pub(super) of: String,
    /// From 0.
    pub(super) at: u64,
    pub(super) count: u64,
    /// Bytes of the whole message.
    pub(super) whole: u64,
}

/// A message that is not whole.
#[derive(Debug)]
struct Open {
    /// How many messages were taken in before it.
    number: u64,
    name: String,
    next: u64,
    count: u64,
    since: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Window {
    held: VecDeque<Held>,
    /// By their numbers.
    open: VecDeque<Open>,
    /// How many were given.
    given: u64,
    bytes: usize,
}

impl Window {
    #[cfg(test)]
    fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many can be given.
    pub(super) fn ready(&self) -> usize {
        self.open.front().map_or(self.held.len(), |open| self.index(open.number))
    }

    /// Whether a message may come in that others do not have to make room for.
    pub(super) fn has_room(&self, most: usize) -> bool {
        if self.open.is_empty() { self.held.len() < most } else { self.ready() < most && self.held.len() < MOST_HELD }
    }

    fn index(&self, number: u64) -> usize {
        usize::try_from(number - self.given).expect("it is among those that are held")
    }

    /// Takes in a message, or a part of one.
    pub(super) fn push(&mut self, held: Held, now: Instant) {
        match held.part() {
            None => self.keep(held),
            Some(part) if part.at == 0 => self.begin(held, part, now),
            Some(part) => self.go_on(&held, &part),
        }
        while !self.open.is_empty() && (self.held.len() >= MOST_HELD || self.bytes > MOST_BYTES) {
            let why = format!("{} messages and {} bytes came meanwhile", self.held.len(), self.bytes);
            self.give_up(0, &why);
        }
    }

    fn keep(&mut self, held: Held) {
        self.bytes += held.bytes();
        self.held.push_back(held);
    }

    fn begin(&mut self, mut held: Held, part: Part, now: Instant) {
        // A producer that was not answered says it again.
        if self.open.iter().any(|open| open.name == part.of) {
            return;
        }
        if part.whole > MOST_BYTES as u64 {
            held.give_up(format!(
                "a message of {} bytes that was sent in {} chunks: {MOST_BYTES} bytes are the most that is put together; have the \
                 producer send less in one",
                part.whole, part.count
            ));
            return self.keep(held);
        }
        if self.open.len() == MOST_OPEN {
            self.give_up(0, &format!("{MOST_OPEN} other messages in chunks began meanwhile"));
        }
        let number = self.given + self.held.len() as u64;
        self.keep(held);
        self.open.push_back(Open { number, name: part.of, next: 1, count: part.count, since: now });
    }

    fn go_on(&mut self, held: &Held, part: &Part) {
        // A part of a message that begins before what is read, that was given up, or that is whole.
        let Some(at) = self.open.iter().position(|open| open.name == part.of) else { return };
        let index = self.index(self.open[at].number);
        let open = &mut self.open[at];
        if part.at < open.next {
            return;
        }
        if part.at > open.next {
            let missing = open.next + 1;
            return self.give_up(at, &format!("part {missing} is missing before part {}", part.at + 1));
        }
        open.next += 1;
        let whole = open.next == open.count;
        self.bytes += held.bytes();
        self.held[index].append(held, whole);
        if whole {
            self.open.remove(at);
        }
    }

    /// The messages whose rest has not come.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(at) = self.open.iter().position(|open| now.duration_since(open.since) >= PATIENCE) {
            self.give_up(at, &format!("the rest of it did not come within {} s", PATIENCE.as_secs()));
        }
    }

    fn give_up(&mut self, at: usize, why: &str) {
        let Some(open) = self.open.remove(at) else { return };
        let index = self.index(open.number);
        let (came, count) = (open.next, open.count);
        self.held[index].give_up(format!(
            "a message that was sent in chunks, of which {came} of {count} came: {why}; have the producer send it again"
        ));
    }

    /// The next one.
    pub(super) fn front(&self) -> Option<&Held> {
        self.held.front().filter(|_| self.ready() > 0)
    }

    /// Gives the next one.
    pub(super) fn pop(&mut self) -> Option<Held> {
        if self.ready() == 0 {
            return None;
        }
        let held = self.held.pop_front()?;
        self.given += 1;
        self.bytes -= held.bytes();
        Some(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        contract::Messages as _,
        pulsar::messages::{PulsarMessages, held_for_tests},
    };

    /// A message at a place: its text, and of which message it is which part of how many.
    fn held(at: u64, text: &str, part: Option<(&str, i32, i32)>) -> Held {
        held_for_tests(at, text.as_bytes(), part)
    }

    /// What can be given: places and values, and why a value is not there.
    fn given(window: &mut Window) -> Vec<(u64, String, Option<String>)> {
        let mut all = vec![];
        while let Some(held) = window.pop() {
            let messages = PulsarMessages::new(vec![held]);
            let reason = messages.spoilt().first().map(|spoilt| spoilt.reason.clone());
            let value = String::from_utf8_lossy(messages.value(0).unwrap()).into_owned();
            all.push((messages.offset(0).number(), value, reason));
        }
        all
    }

    /// Entry, value, and of a part: whose, which, of how many.
    type Sent<'a> = (u64, &'a str, Option<(&'a str, i32, i32)>);

    fn pushed(messages: &[Sent<'_>]) -> Window {
        let mut window = Window::default();
        messages.iter().for_each(|(at, text, part)| window.push(held(*at, text, *part), Instant::now()));
        window
    }

    fn plain(expected: &[(u64, &str)]) -> Vec<(u64, String, Option<String>)> {
        expected.iter().map(|(at, text)| (*at, (*text).to_owned(), None)).collect()
    }

    const A: fn(i32) -> Option<(&'static str, i32, i32)> = |at| Some(("a", at, 3));
    const B: fn(i32) -> Option<(&'static str, i32, i32)> = |at| Some(("b", at, 2));

    #[tokio::test]
    async fn parts_of_several_messages_are_put_together_in_order() {
        let mut window = pushed(&[(1, "x", None), (2, "a1", A(0)), (3, "y", None), (4, "b1", B(0)), (5, "a2", A(1))]);
        assert_eq!(given(&mut window), plain(&[(1, "x")]), "what is behind a message that is not whole waits");
        assert_eq!((window.ready(), window.len()), (0, 3));
        window.push(held(6, "b2", B(1)), Instant::now());
        assert_eq!(window.ready(), 0);
        window.push(held(7, "a3", A(2)), Instant::now());
        window.push(held(8, "z", None), Instant::now());
        assert_eq!(given(&mut window), plain(&[(2, "a1a2a3"), (3, "y"), (4, "b1b2"), (8, "z")]));
        assert_eq!((window.bytes, window.len()), (0, 0));
    }

    #[tokio::test]
    async fn a_message_that_began_before_is_not_taken_by_halves_and_what_comes_twice_counts_once() {
        let mut window = pushed(&[(1, "a2", A(1)), (2, "x", None), (3, "a3", A(2))]);
        assert_eq!(given(&mut window), plain(&[(2, "x")]));
        let mut window = pushed(&[(1, "b1", B(0)), (2, "b1", B(0)), (3, "b2", B(1)), (4, "b2", B(1))]);
        assert_eq!(given(&mut window), plain(&[(1, "b1b2")]));
        let mut window = pushed(&[(1, "a1", A(0)), (2, "a2", A(1)), (3, "a2", A(1)), (4, "a3", A(2))]);
        assert_eq!(given(&mut window), plain(&[(1, "a1a2a3")]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_become_whole_is_told_once() {
        // A part is missing.
        let mut window = pushed(&[(1, "a1", A(0)), (2, "x", None), (3, "a3", A(2)), (4, "a2", A(1))]);
        let told = given(&mut window);
        assert_eq!((told.len(), told[0].0, &*told[0].1, told[1].clone()), (2, 1, "a1", plain(&[(2, "x")])[0].clone()));
        assert!(told[0].2.as_ref().unwrap().contains("1 of 3 came: part 2 is missing before part 3"), "{told:?}");
        // The rest does not come; what comes of it later is no message.
        let mut window = pushed(&[(1, "a1", A(0)), (2, "a2", A(1)), (3, "x", None)]);
        tokio::time::advance(PATIENCE - Duration::from_secs(1)).await;
        window.expire(Instant::now());
        assert_eq!(window.ready(), 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        window.expire(Instant::now());
        window.push(held(4, "a3", A(2)), Instant::now());
        let told = given(&mut window);
        assert_eq!((told.len(), &*told[0].1), (2, "a1a2"));
        assert!(
            told[0].2.as_ref().unwrap().contains("2 of 3 came: the rest of it did not come within 60 s"),
            "{told:?}"
        );
    }

    #[tokio::test]
    async fn messages_and_bytes_are_bounded() {
        let mut window = Window::default();
        let names: Vec<String> = (0..=MOST_OPEN).map(|at| format!("m{at}")).collect();
        for (at, name) in (1..).zip(&names) {
            window.push(held(at, "p", Some((name, 0, 2))), Instant::now());
        }
        let told = given(&mut window);
        assert_eq!((told.len(), told[0].0), (1, 1), "the oldest makes room");
        assert!(told[0].2.as_ref().unwrap().contains("10 other messages"), "{told:?}");
        // Others than that do not wait for ever behind it.
        let mut window = pushed(&[(1, "a1", A(0))]);
        for at in 2..=MOST_HELD as u64 {
            assert_eq!(window.ready(), 0);
            assert!(window.has_room(usize::MAX));
            window.push(held(at, "x", None), Instant::now());
        }
        assert_eq!(window.ready(), MOST_HELD);
        assert!(given(&mut window)[0].2.as_ref().unwrap().contains("20000 messages"));
        let large = "x".repeat(MOST_BYTES / 2);
        let mut window = pushed(&[(1, &large, A(0)), (2, &large, A(1)), (3, "y", None)]);
        assert!(given(&mut window)[0].2.as_ref().unwrap().contains("bytes came meanwhile"));
        let mut window = Window::default();
        window.push(held_for_tests(1, b"a", Some(("a", 0, i32::MAX))), Instant::now());
        assert!(given(&mut window)[0].2.as_ref().unwrap().contains("are the most that is put together"));
    }
}
