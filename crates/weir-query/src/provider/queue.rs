//! The work of one scan, handed out piece by piece: as many pullers as there are threads take segments, make their scans
//! ready, and share the row ranges of those. One large segment keeps all of them busy, hundreds of small ones too.
//!
//! A segment whose file is not open is opened here, unless its record tells all that is asked: no row passes, or all of
//! them do and are only counted. One that cannot be opened is noted, and the answer says that it lacks it.

use super::known::{Missed, rows_seen, verdict_by_record};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::{sync::Notify, time::Instant};
use weir_indexes::Filter;
use weir_segment::{ScanRequest, Segment, SegmentScan, scan::compare::Verdict};
use weir_table::{SegmentView, TableSnapshot};

/// Rows that a scan with a limit reads at once: a batch, so that a small limit does not read a whole morsel.
const LIMITED_ROWS: u32 = 8192;

/// Rows that a scan with a tiny limit and nothing to filter reads at least.
const LEAST_ROWS: usize = 256;

/// What is counted of a segment.
pub(super) struct Counted {
    /// Some row passed.
    pub(super) matched: AtomicBool,
    /// Rows still come in.
    pub(super) consuming: bool,
}

impl Counted {
    fn of(view: &SegmentView) -> Self {
        Self { matched: AtomicBool::new(false), consuming: view.consuming }
    }
}

/// A segment whose scan is ready.
pub(super) struct Ready {
    /// The scan.
    pub(super) scan: SegmentScan,
    /// The segment.
    pub(super) segment: Arc<dyn Segment>,
    /// Its place in the snapshot.
    at: usize,
    /// What is counted of it.
    pub(super) counted: Counted,
}

/// A piece of work.
pub(super) enum Piece {
    /// Read these rows.
    Rows(Arc<Ready>, Range<u32>),
    /// This many rows pass; nothing of them is wanted but their number.
    Count(Counted, u64),
    /// A segment in which no row passes, as its statistics or indexes say.
    Pruned,
    /// A segment that could not be opened: it is noted.
    Missed,
}

impl Piece {
    /// What it costs to read, in rows: to look at a segment's statistics and indexes is no more than to read so many.
    pub(super) fn costs(&self) -> u64 {
        const LOOK: u64 = 1 << 12;
        match self {
            Self::Rows(_, rows) => rows.len() as u64,
            Self::Count(..) | Self::Pruned | Self::Missed => LOOK,
        }
    }
}

/// What is left to do.
pub(super) struct Queue {
    snapshot: Arc<TableSnapshot>,
    missed: Missed,
    request: Arc<ScanRequest>,
    limit: Option<usize>,
    given: AtomicU64,
    state: Mutex<State>,
    /// Rung when a segment's pieces are there, or when there are none.
    ready: Notify,
}

#[derive(Default)]
struct State {
    next_segment: usize,
    /// Positions of segments that somebody began to prepare and did not end with.
    returned: Vec<usize>,
    preparing: usize,
    pieces: VecDeque<(Arc<Ready>, Range<u32>)>,
}

enum Turn {
    Piece(Piece),
    Prepare(usize),
    Wait,
    Done,
}

/// A segment that is being prepared. Whoever does it may be dropped while it waits for the file: then others take it.
struct Preparing<'a> {
    queue: &'a Queue,
    /// `None` once it is prepared.
    at: Option<usize>,
}

impl Preparing<'_> {
    /// The segment is prepared, and these are its pieces.
    fn end(mut self, pieces: Vec<(Arc<Ready>, Range<u32>)>) {
        self.at = None;
        self.queue.state.lock().pieces.extend(pieces);
    }
}

impl Drop for Preparing<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        state.preparing -= 1;
        state.returned.extend(self.at);
        drop(state);
        self.queue.ready.notify_waiters();
    }
}

impl Queue {
    pub(super) fn new(
        (snapshot, missed): (Arc<TableSnapshot>, Missed),
        request: Arc<ScanRequest>,
        limit: Option<usize>,
    ) -> Self {
        let (given, state, ready) = (AtomicU64::new(0), Mutex::default(), Notify::new());
        Self { snapshot, missed, request, limit, given, state, ready }
    }

    /// Notes rows that went out, for the limit.
    pub(super) fn gave(&self, rows: u64) {
        self.given.fetch_add(rows, Ordering::Relaxed);
    }

    /// Notes that rows of a segment could not be read: the answer lacks them.
    pub(super) fn miss(&self, ready: &Ready, why: &str) {
        self.missed.note(&self.snapshot.segments[ready.at], why);
    }

    fn enough(&self) -> bool {
        self.limit.is_some_and(|limit| self.given.load(Ordering::Relaxed) >= limit as u64)
    }

    /// The next piece; `None` when there is nothing left. Files are waited for until `patience` ends, where it does.
    pub(super) async fn next(&self, patience: Option<Instant>) -> Option<Piece> {
        loop {
            // Made before the look at the state: a ring between look and wait is not missed.
            let mut rung = std::pin::pin!(self.ready.notified());
            rung.as_mut().enable();
            match self.turn() {
                Turn::Piece(piece) => return Some(piece),
                Turn::Done => return None,
                Turn::Prepare(at) => {
                    if let Some(piece) = self.prepare(at, patience).await {
                        return Some(piece);
                    }
                }
                Turn::Wait => rung.await,
            }
        }
    }

    fn turn(&self) -> Turn {
        if self.enough() {
            return Turn::Done;
        }
        let mut state = self.state.lock();
        if let Some((ready, rows)) = state.pieces.pop_front() {
            return Turn::Piece(Piece::Rows(ready, rows));
        }
        if let Some(at) = state.returned.pop() {
            state.preparing += 1;
            return Turn::Prepare(at);
        }
        if state.next_segment < self.snapshot.segments.len() {
            state.next_segment += 1;
            state.preparing += 1;
            return Turn::Prepare(state.next_segment - 1);
        }
        if state.preparing > 0 { Turn::Wait } else { Turn::Done }
    }

    /// Makes a segment's scan ready and shares its pieces. Its turn is taken.
    async fn prepare(&self, at: usize, patience: Option<Instant>) -> Option<Piece> {
        let (view, preparing) = (&self.snapshot.segments[at], Preparing { queue: self, at: Some(at) });
        let counts = self.request.columns.is_empty();
        // What its record decides does not count as a use of its file, nor does it open it.
        let by_record = match verdict_by_record(view, &self.request) {
            Verdict::None => Some(Piece::Pruned),
            Verdict::All if counts => {
                // That many rows are on the record. Whoever asks is told all the same that they cannot be had now.
                if let Some(why) = view.segment.trouble() {
                    self.missed.note(view, &format!("{why} (its rows are counted by its record)"));
                }
                Some(Piece::Count(Counted::of(view), rows_seen(view)))
            }
            _ => None,
        };
        if by_record.is_some() {
            preparing.end(vec![]);
            return by_record;
        }
        let segment = match view.segment.at_hand() {
            Some(segment) => segment,
            None => match open(view, patience).await {
                Ok(segment) => segment,
                Err(why) => {
                    self.missed.note(view, &why);
                    preparing.end(vec![]);
                    return Some(Piece::Missed);
                }
            },
        };
        let scan = SegmentScan::new(segment.clone(), view.validity.clone(), self.request.clone());
        let counted = if counts { scan.count_all() } else { None };
        let pruned = scan.pruned();
        let pieces = if pruned || counted.is_some() { vec![] } else { self.cut(scan.morsels()) };
        let nothing = pieces.is_empty();
        let ready = Arc::new(Ready { scan, segment, at, counted: Counted::of(view) });
        preparing.end(pieces.into_iter().map(|rows| (ready.clone(), rows)).collect());
        match counted {
            _ if pruned => Some(Piece::Pruned),
            Some(rows) => Some(Piece::Count(Counted::of(view), rows)),
            None if nothing => Some(Piece::Pruned),
            None => None,
        }
    }

    fn cut(&self, morsels: Vec<Range<u32>>) -> Vec<Range<u32>> {
        let Some(limit) = self.limit else { return morsels };
        let most = if self.request.filter == Filter::All {
            u32::try_from(limit.max(LEAST_ROWS)).unwrap_or(LIMITED_ROWS).min(LIMITED_ROWS)
        } else {
            LIMITED_ROWS
        };
        let cut = |rows: Range<u32>| {
            let end = rows.end;
            rows.step_by(most as usize).map(move |start| start..start.saturating_add(most).min(end))
        };
        morsels.into_iter().flat_map(cut).collect()
    }
}

/// Opens a segment's file, or says why it is not open in time.
async fn open(view: &SegmentView, patience: Option<Instant>) -> Result<Arc<dyn Segment>, String> {
    let opened = match patience {
        None => view.segment.open().await,
        Some(until) => match tokio::time::timeout_at(until, view.segment.open()).await {
            Ok(opened) => opened,
            Err(_) => return Err("it is still being opened, or fetched from the deep store; ask again".to_owned()),
        },
    };
    opened.map_err(|error| error.to_string())
}
