//! The checkpoint file: a head that says of what it is, then one frame for each frozen block. `docs/formats/checkpoint.md`
//! tells every byte.
//!
//! Rows are restored where they lie: the file is mapped, and stays so for as long as a snapshot holds its blocks. It only
//! ever grows behind the frames that were used, or is removed.
//!
//! Nothing is synced: after the machine died, checksums decide what is usable. The head is compared byte by byte with the
//! one that the catalog's record asks for, so a file of another table, segment, start, schema or version is no use.

use crate::pipeline::consuming_spec;
use std::{io, path::Path, sync::Arc};
use weir_base::{
    Disk,
    disk::whole_blocks,
    frames::{Cursor, FrameLayout, put_long},
};
use weir_control::{SegmentRecord, TableRecord};
use weir_segment::{ConsumingSegment, ConsumingSpec, consuming::Chunk};
use weir_types::{Accounting, NextOffset};

const MAGIC: &[u8; 8] = b"WEIRCKP2";
/// The head after the magic, and each block.
const FRAME: FrameLayout = FrameLayout { marker: &[], length_at: 0, crc_at: 4, head_bytes: 8, covers_head: false };

/// Of what a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) segment: Arc<str>,
    table_uid: u64,
    start: NextOffset,
    created_ms: i64,
    form: Vec<u8>,
}

/// How far the rows of a segment go at the end of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Boundary {
    /// Rows so far.
    pub(super) rows: u32,
    /// The offset to read on from.
    pub(super) next: NextOffset,
    /// Counts of the range so far.
    pub(super) counts: Accounting,
}

/// What a file gave back.
#[derive(Debug)]
pub(crate) struct Restored {
    /// The rows; more can be appended.
    pub(crate) segment: ConsumingSegment,
    /// The offset to read on from.
    pub(crate) next: NextOffset,
    /// Counts of the range so far.
    pub(crate) counts: Accounting,
    /// What they were looked up as.
    pub(super) identity: Identity,
    /// Bytes of the file that were used.
    pub(super) byte_count: u64,
    /// Bytes behind them are no whole frame.
    pub(super) torn: bool,
}

/// What is in a file.
pub(super) enum Found {
    /// There is no file.
    Nothing,
    /// Rows, from the start of the segment on.
    Rows(Box<Restored>),
    /// Something that cannot be used, and why.
    Misfit(String),
}

impl Restored {
    /// Whether a segment made for this record and with these settings would take the rows.
    pub(crate) fn is_of(&self, table: &TableRecord, record: &SegmentRecord, start: NextOffset) -> bool {
        self.identity == Identity::of(table, record, start)
    }
}

impl Identity {
    /// What a file of this record's rows is.
    pub(super) fn of(table: &TableRecord, record: &SegmentRecord, start: NextOffset) -> Self {
        let segment: Arc<str> = record.name.to_string().into();
        let spec = consuming_spec(&segment, record.created_ms, &table.spec, &table.schema);
        Self::new(table.uid, start, &spec)
    }

    /// What a file is of rows from `start` on, in a segment made like that.
    pub(super) fn new(table_uid: u64, start: NextOffset, spec: &ConsumingSpec) -> Self {
        Self { segment: spec.name.clone(), table_uid, start, created_ms: spec.created_ms, form: spec.form() }
    }

    /// The same, of rows that start elsewhere.
    pub(super) fn starting_at(&self, start: NextOffset) -> Self {
        Self { start, ..self.clone() }
    }

    /// The head of the file, whole blocks of the disk.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        FRAME.begin(&mut head);
        head.extend_from_slice(&self.table_uid.to_le_bytes());
        head.extend_from_slice(&self.start.number().to_le_bytes());
        head.extend_from_slice(&self.created_ms.to_le_bytes());
        put_long(&mut head, self.segment.as_bytes());
        put_long(&mut head, &self.form);
        head.resize(whole_blocks(head.len()), 0);
        FRAME.seal(&mut head[MAGIC.len()..]);
        head
    }
}

/// First row, end row, next offset, counts, and the bytes of the chunk, before it.
const STATE: usize = 4 + 4 + 8 + 11 * 8 + 4;

/// Appends the frame of a block that ends at `boundary`, whole blocks of the disk.
pub(super) fn put_frame(chunk: &Chunk<'_>, boundary: &Boundary, out: &mut Vec<u8>) {
    let from = out.len();
    FRAME.begin(out);
    out.extend_from_slice(&chunk.rows().start.to_le_bytes());
    out.extend_from_slice(&boundary.rows.to_le_bytes());
    out.extend_from_slice(&boundary.next.number().to_le_bytes());
    for count in numbers(&boundary.counts) {
        out.extend_from_slice(&count.to_le_bytes());
    }
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    chunk.encode(out);
    let length = u32::try_from(out.len() - length_at - 4).expect("a frame is far below 4 GiB");
    out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    out.resize(from + whole_blocks(out.len() - from), 0);
    FRAME.seal(&mut out[from..]);
}

fn numbers(counts: &Accounting) -> [u64; 11] {
    let Accounting { fetched, stored, filtered, tombstones, rejected, replayed, gaps, skipped, rows, altered, bytes } =
        *counts;
    [fetched, stored, filtered, tombstones, rejected, replayed, gaps, skipped, rows, altered, bytes]
}

fn counts(numbers: [u64; 11]) -> Accounting {
    let [fetched, stored, filtered, tombstones, rejected, replayed, gaps, skipped, rows, altered, bytes] = numbers;
    Accounting { fetched, stored, filtered, tombstones, rejected, replayed, gaps, skipped, rows, altered, bytes }
}

/// What stands in a frame.
struct Split<'a> {
    first: u32,
    boundary: Boundary,
    chunk: &'a [u8],
    /// Bytes of the body.
    byte_count: usize,
}

fn split(body: &[u8]) -> Option<Split<'_>> {
    let mut cursor = Cursor::new(body);
    let (first, rows, next) = (cursor.u32()?, cursor.u32()?, NextOffset::new(cursor.u64()?));
    let mut numbers = [0; 11];
    for number in &mut numbers {
        *number = cursor.u64()?;
    }
    let length = cursor.u32()? as usize;
    let boundary = Boundary { rows, next, counts: counts(numbers) };
    Some(Split { first, boundary, chunk: cursor.take(length)?, byte_count: body.len() })
}

/// Says which of the frames in `[from, to)` of a file, all of which were whole once, is not any more.
fn bent(file: &[u8], from: usize, to: usize) -> Option<String> {
    let mut at = from;
    while at < to {
        // Zeros are a whole frame too, of nothing.
        let Some(frame) = FRAME.body_at(file, at).and_then(split) else {
            return Some(format!("the frame at byte {at} of the checkpoint is not as it was written"));
        };
        at += FRAME.head_bytes + frame.byte_count;
    }
    None
}

/// Restores what the file at `path` holds, up to `end` where one is given.
pub(super) fn restore(
    disk: &dyn Disk,
    path: &Path,
    identity: &Identity,
    spec: ConsumingSpec,
    end: Option<NextOffset>,
) -> Found {
    match read(disk, path, identity, spec, end) {
        Ok(found) => found,
        Err(error) => Found::Misfit(format!("it cannot be read: {error}")),
    }
}

fn read(
    disk: &dyn Disk,
    path: &Path,
    identity: &Identity,
    spec: ConsumingSpec,
    end: Option<NextOffset>,
) -> io::Result<Found> {
    if disk.byte_count(path)?.is_none() {
        return Ok(Found::Nothing);
    }
    let (head, file) = (identity.head(), disk.map(path)?);
    if !file.starts_with(&head) {
        return Ok(Found::Misfit("it is not of this segment, start and schema".into()));
    }
    let mut restoring = ConsumingSegment::restoring(spec);
    let (mut at, mut last, mut torn) = (head.len(), None::<Boundary>, false);
    while at < file.len() {
        let rows = last.map_or(0, |last| last.rows);
        let least = last.map_or(identity.start, |last| last.next);
        let follows =
            |frame: &Split<'_>| frame.first == rows && frame.boundary.rows > rows && frame.boundary.next >= least;
        let Some(frame) = FRAME.body_at(&file, at).and_then(split).filter(follows) else {
            torn = true;
            break;
        };
        let Split { boundary, chunk, byte_count, .. } = frame;
        if end.is_some_and(|end| boundary.next > end) {
            break;
        }
        let from = at + FRAME.head_bytes + STATE;
        if let Err(error) = restoring.take_up(&file, from..from + chunk.len()) {
            return Ok(Found::Misfit(error.to_string()));
        }
        if restoring.rows() != boundary.rows {
            return Ok(Found::Misfit(format!("a frame has not the rows up to {}", boundary.rows)));
        }
        at += FRAME.head_bytes + byte_count;
        last = Some(boundary);
    }
    if let Some(damage) = file.damage() {
        return Ok(Found::Misfit(damage));
    }
    Ok(match last {
        None => Found::Misfit("it holds no whole block".into()),
        Some(Boundary { next, counts, .. }) => {
            let check = move |file: &[u8]| bent(file, head.len(), at);
            let (segment, identity) = (restoring.finish_checked(Arc::new(check)), identity.clone());
            Found::Rows(Box::new(Restored { segment, next, counts, identity, byte_count: at as u64, torn }))
        }
    })
}
