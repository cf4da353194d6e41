//! Files on a disk that may have done anything to them: the quarantine, blocks of a checkpoint, sealed segments. Checksums
//! are made right for what the fuzzer writes, since it would never get past them: what lies behind must hold without them.

use crate::{
    Target,
    segments::{NOW_MS, built, consuming, rows, spec},
};
use std::{path::Path, sync::Arc};
use weir_base::{
    SetClock, SharedDisk,
    disk::{Mapped, MemDisk},
    frames::FrameLayout,
};
use weir_ingest::{Quarantine, QuarantineBounds, Selection};
use weir_segment::{ConsumingSegment, SealedSegment, Segment, consuming::Chunk};
use weir_types::{Column, NextOffset, RowBatch, Schema};

/// How the quarantine's frames lie in its file, as `docs/formats/quarantine.md` says.
const FRAME: FrameLayout = FrameLayout { marker: &[], length_at: 0, crc_at: 4, head_bytes: 8, covers_head: false };

/// Bodies of frames, each behind two bytes of length; the first byte says whether something follows that is no frame.
pub(crate) fn quarantine() -> Target {
    Box::new(|data| {
        let Some((odd, mut rest)) = data.split_first() else { return };
        let mut content = b"WEIRQUA1".to_vec();
        while let Some((length, tail)) = rest.split_at_checked(2) {
            let length = usize::from(u16::from_le_bytes([length[0], length[1]])).min(tail.len());
            let start = content.len();
            FRAME.begin(&mut content);
            content.extend_from_slice(&tail[..length]);
            FRAME.seal(&mut content[start..]);
            rest = &tail[length..];
            if odd & 1 == 1 && odd >> 1 == (start % 128) as u8 {
                content.extend_from_slice(b"no frame");
            }
        }
        content.extend_from_slice(rest);
        let disk: SharedDisk = MemDisk::new(None);
        let path = Path::new("/quarantine.log");
        disk.write_whole(path, &content).expect("there is room in memory");
        let open = || {
            let (disk, clock) = (disk.clone(), SetClock::at(NOW_MS));
            // Small, so that entries are evicted and the file is written anew.
            let bounds = QuarantineBounds { entries: 4, file_bytes: 512, ..QuarantineBounds::default() };
            Quarantine::open(disk, clock, path.into(), bounds).expect("whatever is in it, it opens")
        };
        let first = open();
        let everything = Selection::default();
        let page = first.page(&everything, None, 100).expect("what it kept can be read");
        assert_eq!(page.entries.len() as u64, first.counts().kept, "a page holds them all");
        first.add(page.entries.iter().cloned()).expect("what is there may come again");
        let (kept, counts) = (page.entries, first.counts());
        drop(first);
        let again = open();
        assert_eq!(again.counts(), counts, "it opens as it was");
        assert_eq!(again.page(&everything, None, 100).expect("it can be read").entries, kept, "with the same entries");
    })
}

/// A segment's own bytes with changes: each is a position (4 bytes), a length (1 byte), and so many bytes to write there.
fn changed(of: &[u8], mut changes: &[u8]) -> Vec<u8> {
    let mut bytes = of.to_vec();
    while let Some((head, rest)) = changes.split_at_checked(5) {
        let at = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize % bytes.len();
        let length = usize::from(head[4]).min(rest.len()).min(bytes.len() - at);
        bytes[at..at + length].copy_from_slice(&rest[..length]);
        changes = &rest[length..];
    }
    bytes
}

/// A sealed segment that was bent after its checksum was made, or whose checksum was made of bent bytes: it is refused with
/// the place, or opens.
pub(crate) fn segment() -> Target {
    let (schema, rows) = rows();
    let whole = built(&schema, &rows).bytes();
    Box::new(move |data| {
        let bent = changed(&whole, data);
        let is_bent = bent != whole;
        let opened = SealedSegment::open(Mapped::new(bent.clone()));
        assert!(!is_bent || opened.is_err(), "a checksum that does not fit is told");
        // As of a file whose checksum was looked at earlier.
        if let Ok(segment) = SealedSegment::open_verified(Mapped::new(bent)) {
            assert!(segment.column_names().count() <= 1000);
        }
    })
}

/// Blocks of a checkpoint that were bent: they are refused by name, or restore a segment that can be read to its end, takes
/// more rows, and can be built.
pub(crate) fn chunk() -> Target {
    let (schema, rows) = rows();
    let whole = chunks(&schema, &rows);
    Box::new(move |data| {
        let mut restoring = ConsumingSegment::restoring(spec(&schema));
        let mut taken = 0;
        for (at, chunk) in whole.iter().enumerate() {
            // The first byte says which blocks are bent.
            let bent = data.first().is_some_and(|which| which >> at & 1 == 1);
            let bytes = if bent { changed(chunk, &data[1..]) } else { chunk.clone() };
            let (mapped, length) = (Mapped::new(bytes), chunk.len());
            if restoring.take_up(&mapped, 0..length).is_err() {
                return;
            }
            taken += 1;
        }
        assert_eq!(taken, whole.len());
        let mut segment = restoring.finish();
        segment.append(&rows, &|message| NextOffset::new(u64::from(message)));
        read(&schema, &*segment.snapshot());
    })
}

/// The blocks of a segment of the rows, twice.
fn chunks(schema: &Arc<Schema>, rows: &RowBatch) -> Vec<Vec<u8>> {
    let mut segment = consuming(schema, rows).with_block_rows(2);
    segment.append(rows, &|message| NextOffset::new(u64::from(message)));
    let snapshot = segment.snapshot();
    let encoded = |chunk: Chunk<'_>| {
        let mut bytes = vec![];
        chunk.encode(&mut bytes);
        bytes
    };
    snapshot.chunks(0).map(encoded).collect()
}

/// Reads all of a segment.
fn read(schema: &Schema, segment: &dyn Segment) {
    let rows = segment.meta().rows;
    for field in schema.fields() {
        let Some(info) = segment.column(field.name.as_str()) else { continue };
        let mut column = Column::new(info.data_type.stored(), info.single_value);
        segment.read_values(info.at, 0..rows, &mut column);
        assert_eq!(column.rows(), rows as usize, "every row has its value");
        let (mut ids, mut nulls) = (vec![], vec![]);
        if segment.read_ids(info.at, 0..rows, &mut ids) {
            assert_eq!(ids.len(), rows as usize, "every row has its id");
        }
        segment.read_nulls(info.at, 0..rows, &mut nulls);
        assert!(nulls.iter().all(|row| *row < rows), "nulls are rows");
    }
}
