//! The work of one scan, handed out piece by piece: as many pullers as there are threads take segments, make their scans
//! ready, and share the row ranges of those. One large segment keeps all of them busy, hundreds of small ones too.

use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::sync::Notify;
use weir_indexes::Filter;
use weir_segment::{ScanRequest, SegmentScan};
use weir_table::{SegmentView, TableSnapshot};

/// Rows that a scan with a limit reads at once: a batch, so that a small limit does not read a whole morsel.
const LIMITED_ROWS: u32 = 8192;

/// Rows that a scan with a tiny limit and nothing to filter reads at least.
const LEAST_ROWS: usize = 256;

/// A segment whose scan is ready.
pub(super) struct Ready {
    /// The scan.
    pub(super) scan: SegmentScan,
    /// The segment.
    pub(super) view: SegmentView,
    /// Some row passed.
    pub(super) matched: AtomicBool,
}

/// A piece of work.
pub(super) enum Piece {
    /// Read these rows.
    Rows(Arc<Ready>, Range<u32>),
    /// This many rows pass; nothing of them is wanted but their number.
    Count(Arc<Ready>, u64),
    /// A segment in which no row passes, as its statistics or indexes say.
    Pruned,
}

/// What is left to do.
pub(super) struct Queue {
    snapshot: Arc<TableSnapshot>,
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
    preparing: usize,
    pieces: VecDeque<(Arc<Ready>, Range<u32>)>,
}

enum Turn {
    Piece(Piece),
    Prepare(SegmentView),
    Wait,
    Done,
}

impl Queue {
    pub(super) fn new(snapshot: Arc<TableSnapshot>, request: Arc<ScanRequest>, limit: Option<usize>) -> Self {
        Self { snapshot, request, limit, given: AtomicU64::new(0), state: Mutex::default(), ready: Notify::new() }
    }

    /// Notes rows that went out, for the limit.
    pub(super) fn gave(&self, rows: u64) {
        self.given.fetch_add(rows, Ordering::Relaxed);
    }

    fn enough(&self) -> bool {
        self.limit.is_some_and(|limit| self.given.load(Ordering::Relaxed) >= limit as u64)
    }

    /// The next piece; `None` when there is nothing left.
    pub(super) async fn next(&self) -> Option<Piece> {
        loop {
            // Made before the look at the state: a ring between look and wait is not missed.
            let mut rung = std::pin::pin!(self.ready.notified());
            rung.as_mut().enable();
            match self.turn() {
                Turn::Piece(piece) => return Some(piece),
                Turn::Done => return None,
                Turn::Prepare(view) => {
                    if let Some(piece) = self.prepare(view) {
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
        if let Some(view) = self.snapshot.segments.get(state.next_segment) {
            state.next_segment += 1;
            state.preparing += 1;
            return Turn::Prepare(view.clone());
        }
        if state.preparing > 0 { Turn::Wait } else { Turn::Done }
    }

    /// Makes a segment's scan ready and shares its pieces.
    fn prepare(&self, view: SegmentView) -> Option<Piece> {
        let scan = SegmentScan::new(view.segment.clone(), view.validity.clone(), self.request.clone());
        let counted = if self.request.columns.is_empty() { scan.count_all() } else { None };
        let pruned = scan.pruned();
        let pieces = if pruned || counted.is_some() { vec![] } else { self.cut(scan.morsels()) };
        let ready = Arc::new(Ready { scan, view, matched: AtomicBool::new(false) });
        let mut state = self.state.lock();
        state.preparing -= 1;
        let nothing = pieces.is_empty();
        state.pieces.extend(pieces.into_iter().map(|rows| (ready.clone(), rows)));
        drop(state);
        self.ready.notify_waiters();
        match counted {
            _ if pruned => Some(Piece::Pruned),
            Some(rows) => Some(Piece::Count(ready, rows)),
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
