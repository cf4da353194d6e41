//! Segments as snapshots hold them: at hand, or known by their record and opened by whoever needs them first.
//!
//! A node that starts shows its sealed segments from their records alone. What needs no file (how many rows there are,
//! which times they have) is answered from the record. Whoever needs more opens the file: once, however many ask at the
//! same time; the opening goes on when those who asked have gone. Where it fails, those who asked are told why, and so are
//! those who ask soon after; later ones try again. A file that was opened may be given up again ([`RecordedSegment::evict`]):
//! who has it keeps it, who asks next opens it anew. One that was damaged while it was open is no file any more: who asks
//! next opens it anew too, which finds the damage, puts the file aside and fetches the object.

use crate::cache::{CacheError, SegmentCache};
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;
use weir_base::tasks::spawn_named;
use weir_segment::{SealedSegment, Segment, SegmentMeta};
use weir_types::{ColumnName, SchemaVersion, Value};

/// Those who ask within this time after an opening failed are told that it did, and wait for nothing: a deep store that is
/// away must not hold up every query. It is also how often a deep store is asked for what it did not give.
pub(crate) const FAILED_LATELY: Duration = Duration::from_secs(2);

/// Least and greatest stored value of a segment's time column, defaults of null rows included.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeValues {
    /// The column.
    pub column: ColumnName,
    /// The least.
    pub min: Value,
    /// The greatest.
    pub max: Value,
}

/// What the catalog's record says of a sealed segment.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentFacts {
    /// Its name.
    pub name: Arc<str>,
    /// Its rows.
    pub rows: u32,
    /// The schema it was made with.
    pub schema_version: SchemaVersion,
    /// When it was made, wall time in milliseconds since the epoch.
    pub created_ms: i64,
    /// Checksum of its file.
    pub crc: u32,
    /// Where its object lies below the deep store's root.
    pub key: String,
    /// Bytes of its file.
    pub byte_count: u64,
    /// Its times, where the record says them.
    pub times: Option<TimeValues>,
}

/// Why a segment cannot be read now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NotOpened {
    /// The last attempt's error with its cause.
    pub why: Arc<str>,
}

/// A failed attempt.
#[derive(Debug, Clone)]
struct Trouble {
    why: Arc<str>,
    /// When, as the monotonic clock has it.
    at: Duration,
}

enum State {
    Closed,
    /// Somebody opens it; `before` says how the last attempt failed.
    Opening {
        before: Option<Trouble>,
    },
    Open(Arc<SealedSegment>),
    Failed(Trouble),
    /// Its local copy is being removed.
    Leaving,
}

impl State {
    fn is_passing(&self) -> bool {
        matches!(self, Self::Opening { .. } | Self::Leaving)
    }

    /// The file, where it is open and what it was when it was opened.
    fn whole(&self) -> Option<&Arc<SealedSegment>> {
        match self {
            Self::Open(sealed) if sealed.damage().is_none() => Some(sealed),
            _ => None,
        }
    }
}

/// A sealed segment that is committed, by its record.
pub struct RecordedSegment {
    facts: SegmentFacts,
    meta: SegmentMeta,
    cache: Arc<SegmentCache>,
    state: watch::Sender<State>,
    /// When a query last asked for it, in microseconds of the monotonic clock.
    used: AtomicU64,
}

/// What whoever asks finds.
enum Found {
    Open(Arc<SealedSegment>),
    /// It failed lately, or is tried again by somebody else.
    Failed(NotOpened),
    /// It is being opened or given up: wait.
    Wait,
    /// It is to be opened by whoever asked.
    Begun,
}

impl RecordedSegment {
    /// A segment whose file nobody has looked at.
    #[must_use]
    pub fn new(facts: SegmentFacts, cache: Arc<SegmentCache>) -> Arc<Self> {
        Self::with(facts, cache, State::Closed)
    }

    /// One whose file is open.
    #[must_use]
    pub fn opened(facts: SegmentFacts, cache: Arc<SegmentCache>, sealed: Arc<SealedSegment>) -> Arc<Self> {
        Self::with(facts, cache, State::Open(sealed))
    }

    fn with(facts: SegmentFacts, cache: Arc<SegmentCache>, state: State) -> Arc<Self> {
        let meta = SegmentMeta {
            name: facts.name.clone(),
            rows: facts.rows,
            schema_version: facts.schema_version,
            consuming: false,
            created_ms: facts.created_ms,
            crc: Some(facts.crc),
        };
        let segment = Self { facts, meta, cache, state: watch::Sender::new(state), used: AtomicU64::new(0) };
        segment.touch();
        Arc::new(segment)
    }

    /// What its record says.
    #[must_use]
    pub fn facts(&self) -> &SegmentFacts {
        &self.facts
    }

    /// When it was made or last asked for, in microseconds of the monotonic clock.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn touch(&self) {
        let now = self.cache.clock().monotonic().as_micros();
        self.used.store(u64::try_from(now).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The file, where it is open.
    #[must_use]
    pub fn at_hand(&self) -> Option<Arc<SealedSegment>> {
        let sealed = self.state.borrow().whole()?.clone();
        self.touch();
        Some(sealed)
    }

    /// The file, where it is open; asking is no use of it.
    #[must_use]
    pub fn peek(&self) -> Option<Arc<SealedSegment>> {
        self.state.borrow().whole().cloned()
    }

    /// What keeps it from being read, where the last attempt to open it failed.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<str>> {
        match &*self.state.borrow() {
            State::Failed(trouble) | State::Opening { before: Some(trouble) } => Some(trouble.why.clone()),
            _ => None,
        }
    }

    /// The file, opened where it is not. May wait for the deep store; who gives up waiting takes nothing from others.
    pub async fn open(self: &Arc<Self>) -> Result<Arc<SealedSegment>, NotOpened> {
        self.touch();
        let mut changes = self.state.subscribe();
        let mut begun = false;
        loop {
            match self.find(begun) {
                Found::Open(sealed) => return Ok(sealed),
                Found::Failed(why) => return Err(why),
                Found::Begun => {
                    begun = true;
                    self.begin(true);
                }
                Found::Wait => {}
            }
            changes.wait_for(|state| !state.is_passing()).await.expect("its sender is ours");
        }
    }

    /// Opens it ahead of queries; says whether it is open now. Where it failed lately it is tried again all the same.
    pub async fn open_ahead(self: &Arc<Self>, fetch: bool) -> Result<bool, NotOpened> {
        let mut changes = self.state.subscribe();
        let begun = self.state.send_if_modified(|state| {
            let before = match state {
                State::Closed => None,
                State::Failed(trouble) => Some(trouble.clone()),
                State::Open(_) if state.whole().is_none() => None,
                _ => return false,
            };
            *state = State::Opening { before };
            true
        });
        if begun {
            self.begin(fetch);
        }
        let state = changes.wait_for(|state| !state.is_passing()).await.expect("its sender is ours");
        match &*state {
            State::Failed(trouble) => Err(NotOpened { why: trouble.why.clone() }),
            state => Ok(matches!(state, State::Open(_))),
        }
    }

    /// Gives up the local copy: the deep store has it. Whoever has the file mapped keeps it, and only when the last of
    /// them has let go the disk has the space: the answer tells whether somebody has. `None` where it is being opened.
    pub fn evict(&self) -> Result<Option<Weak<SealedSegment>>, CacheError> {
        let mut before = None;
        self.state.send_if_modified(|state| {
            if state.is_passing() {
                return false;
            }
            before = Some(std::mem::replace(state, State::Leaving));
            true
        });
        let Some(before) = before else { return Ok(None) };
        let (removed, held) = (
            self.cache.remove(&self.facts.name),
            match &before {
                State::Open(sealed) => Arc::downgrade(sealed),
                _ => Weak::new(),
            },
        );
        let after = match (&removed, before) {
            (Ok(()), State::Open(_)) => State::Closed,
            (_, before) => before,
        };
        self.state.send_replace(after);
        removed.map(|()| Some(held))
    }

    fn find(&self, begun: bool) -> Found {
        let now = self.cache.clock().monotonic();
        let mut found = Found::Wait;
        let failed = |trouble: &Trouble| Found::Failed(NotOpened { why: trouble.why.clone() });
        self.state.send_if_modified(|state| {
            let before = match state {
                State::Open(sealed) if sealed.damage().is_none() => {
                    found = Found::Open(sealed.clone());
                    return false;
                }
                State::Open(_) => None,
                State::Opening { before: Some(trouble) } if !begun => {
                    found = failed(trouble);
                    return false;
                }
                State::Opening { .. } | State::Leaving => return false,
                State::Failed(trouble) if begun || now.saturating_sub(trouble.at) < FAILED_LATELY => {
                    found = failed(trouble);
                    return false;
                }
                State::Failed(trouble) => Some(trouble.clone()),
                State::Closed => None,
            };
            *state = State::Opening { before };
            found = Found::Begun;
            true
        });
        found
    }

    /// Opens the file on the cache's runtime; fetches it where it is not here and `fetch` says so. The state says that it is
    /// being opened.
    fn begin(self: &Arc<Self>, fetch: bool) {
        let attempt = Attempt { segment: self.clone(), ended: false };
        let _runtime = self.cache.runtime().enter();
        spawn_named(format!("open {}", self.facts.name), async move {
            let loaded = attempt.segment.cache.load(&attempt.segment.facts, fetch).await;
            attempt.end(loaded);
        });
    }
}

/// An opening under way: however it ends, those who wait hear of it.
struct Attempt {
    segment: Arc<RecordedSegment>,
    ended: bool,
}

impl Attempt {
    fn end(mut self, loaded: Result<Arc<SealedSegment>, CacheError>) {
        self.ended = true;
        match loaded {
            Ok(sealed) => drop(self.segment.state.send_replace(State::Open(sealed))),
            // What could not be had before is no nearer.
            Err(CacheError::NotLocal { .. }) => self.segment.state.send_modify(|state| {
                let before = match state {
                    State::Opening { before } => before.take(),
                    _ => None,
                };
                *state = before.map_or(State::Closed, State::Failed);
            }),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                self.fail(format!("{error}{cause}").into());
            }
        }
    }

    fn fail(&self, why: Arc<str>) {
        let at = self.segment.cache.clock().monotonic();
        let mut known = false;
        self.segment.state.send_modify(|state| {
            known = matches!(state, State::Opening { before: Some(before) } if before.why == why);
            *state = State::Failed(Trouble { why: why.clone(), at });
        });
        if !known {
            tracing::error!(segment = &*self.segment.facts.name, %why, "segment is not loaded; answers say so");
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.ended {
            self.fail("its opening was broken off".into());
        }
    }
}

/// A segment of a snapshot.
#[derive(Clone)]
pub enum SegmentHandle {
    /// In memory, or a file that is open.
    AtHand(Arc<dyn Segment>),
    /// By its record.
    Recorded(Arc<RecordedSegment>),
}

impl From<Arc<dyn Segment>> for SegmentHandle {
    fn from(segment: Arc<dyn Segment>) -> Self {
        Self::AtHand(segment)
    }
}

impl SegmentHandle {
    /// What is known of it as a whole, whether or not it is open.
    #[must_use]
    pub fn meta(&self) -> &SegmentMeta {
        match self {
            Self::AtHand(segment) => segment.meta(),
            Self::Recorded(recorded) => &recorded.meta,
        }
    }

    /// The segment, where nothing has to be opened for it.
    #[must_use]
    pub fn at_hand(&self) -> Option<Arc<dyn Segment>> {
        match self {
            Self::AtHand(segment) => Some(segment.clone()),
            Self::Recorded(recorded) => recorded.at_hand().map(|sealed| sealed as Arc<dyn Segment>),
        }
    }

    /// Whether nothing has to be opened for it; asking is no use of it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self {
            Self::AtHand(_) => true,
            Self::Recorded(recorded) => recorded.state.borrow().whole().is_some(),
        }
    }

    /// The segment, opened where it is not: see [`RecordedSegment::open`].
    pub async fn open(&self) -> Result<Arc<dyn Segment>, NotOpened> {
        match self {
            Self::AtHand(segment) => Ok(segment.clone()),
            Self::Recorded(recorded) => recorded.open().await.map(|sealed| sealed as Arc<dyn Segment>),
        }
    }

    /// Its record, where it is one of a record.
    #[must_use]
    pub fn recorded(&self) -> Option<&Arc<RecordedSegment>> {
        match self {
            Self::AtHand(_) => None,
            Self::Recorded(recorded) => Some(recorded),
        }
    }

    /// What keeps it from being read, where the last attempt to open it failed.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.recorded().and_then(|recorded| recorded.trouble())
    }
}

#[cfg(test)]
mod tests;
