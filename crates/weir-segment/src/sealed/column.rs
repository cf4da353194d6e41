//! One column of a sealed segment: opening checks its regions, reading unpacks them by block.

use super::dictionary::SealedDictionary;
use crate::{
    ColumnStats, SegmentError,
    layout::{
        RegionKind,
        directory::ColumnEntry,
        ints::Ints,
        text::{Chunk, Texts},
    },
};
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use std::{ops::Range, sync::Arc};
use weir_base::Mapped;
use weir_indexes::{InvertedIndex, RangeIndex, SortedRanges};
use weir_types::{Column, ColumnData, DataType, Stored};

/// Chunks of text kept as read, per column: neighbouring reads share an edge, and two threads may read one column.
const CHUNKS_KEPT: usize = 4;

/// Where the values are.
pub(super) enum Storage {
    Ids { ids: Range<usize>, dictionary: Arc<SealedDictionary> },
    Plain(Range<usize>),
    Ints(Range<usize>),
    Text { chunks: Range<usize>, kept: Mutex<Vec<(usize, Arc<Chunk>)>> },
}

/// A column whose regions were checked.
pub(super) struct SealedColumn {
    pub(super) name: Arc<str>,
    pub(super) data_type: DataType,
    pub(super) single_value: bool,
    pub(super) stats: ColumnStats,
    pub(super) storage: Storage,
    pub(super) nulls: RoaringBitmap,
    pub(super) inverted: Option<Range<usize>>,
    pub(super) range: Option<Range<usize>>,
    pub(super) sorted: Option<Range<usize>>,
    pub(super) byte_count: usize,
    ends: Option<Range<usize>>,
    rows: u32,
    file: Mapped,
}

impl SealedColumn {
    /// Checks the regions of a column.
    pub(super) fn open(file: &Mapped, entry: &ColumnEntry, rows: u32) -> Result<Self, SegmentError> {
        let place = format!("column {}", entry.name);
        let bad = |what: &str, problem: String| SegmentError::corrupt(format!("{place}, {what}"), problem);
        let values = usize::try_from(entry.stats.values).unwrap_or(usize::MAX);
        let ends = entry.region(RegionKind::Ends);
        if entry.single_value != ends.is_none() || (entry.single_value && values != rows as usize) {
            return Err(bad("values", format!("{values} values do not fit {rows} rows")));
        }
        if let Some(ends) = &ends {
            check_ends(&file[ends.clone()], rows, values).map_err(|problem| bad("row ends", problem))?;
        }
        let storage = storage(file, entry, values)?;
        let mut nulls = RoaringBitmap::new();
        if let Some(region) = entry.region(RegionKind::Nulls) {
            let read = RoaringBitmap::deserialize_from(&file[region]);
            nulls = read.map_err(|error| bad("nulls", error.to_string()))?;
        }
        if nulls.len() != u64::from(entry.stats.nulls) || nulls.max().is_some_and(|row| row >= rows) {
            return Err(bad("nulls", format!("{} rows are not the {} it counts", nulls.len(), entry.stats.nulls)));
        }
        let (inverted, range, sorted) =
            (entry.region(RegionKind::Inverted), entry.region(RegionKind::Range), entry.region(RegionKind::Sorted));
        let cardinality = match &storage {
            Storage::Ids { .. } => entry.stats.cardinality.unwrap_or(0),
            _ => 0,
        };
        let of_rows =
            |found: u32| if found == rows { Ok(()) } else { Err(format!("it covers {found} of {rows} rows")) };
        if let Some(region) = &inverted {
            let index = InvertedIndex::open(&file[region.clone()]).map_err(|error| error.to_string());
            let fits = index.and_then(|index| {
                of_rows(index.rows())?;
                (index.cardinality() == cardinality).then_some(()).ok_or_else(|| "other ids than the dictionary".into())
            });
            fits.map_err(|problem| bad("inverted index", problem))?;
        }
        if let Some(region) = &range {
            let index = RangeIndex::open(&file[region.clone()]).map_err(|error| error.to_string());
            index.and_then(|index| of_rows(index.rows())).map_err(|problem| bad("range index", problem))?;
        }
        if let Some(region) = &sorted {
            let opened = SortedRanges::open(&file[region.clone()], cardinality, rows);
            opened.map_err(|error| bad("sorted ranges", error.to_string()))?;
        }
        Ok(Self {
            name: entry.name.clone(),
            data_type: entry.data_type,
            single_value: entry.single_value,
            stats: entry.stats.clone(),
            storage,
            nulls,
            inverted,
            range,
            sorted,
            byte_count: entry.regions.values().map(ExactSizeIterator::len).sum(),
            ends,
            rows,
            file: file.clone(),
        })
    }

    /// Whether the file was damaged since it was opened.
    pub(super) fn is_damaged(&self) -> bool {
        self.file.damage().is_some()
    }

    /// Bytes of a region.
    pub(super) fn bytes(&self, region: &Range<usize>) -> &[u8] {
        &self.file[region.clone()]
    }

    /// Replaces `out` by the ids of a row range of a single-value column with a dictionary.
    pub(super) fn read_ids(&self, rows: Range<u32>, out: &mut Vec<u32>) -> bool {
        out.clear();
        let Storage::Ids { ids, .. } = &self.storage else { return false };
        if !self.single_value {
            return false;
        }
        out.reserve(rows.len());
        self.ints(ids).for_ids(rows.start as usize..rows.end as usize, |part| out.extend_from_slice(part));
        true
    }

    fn ints(&self, region: &Range<usize>) -> Ints<'_> {
        // Row ends are `rows` many, all else as many as there are values.
        Ints::new(self.bytes(region), self.stats.values as usize)
    }

    /// Appends the values of a row range.
    pub(super) fn read_values(&self, rows: Range<u32>, out: &mut Column) {
        let mut values = rows.start as usize..rows.end as usize;
        if let Some(ends) = &self.ends {
            let start = self.read_ends(ends, rows, out);
            let end = start + added_values(out);
            values = start..end;
        }
        self.read_range(values, &mut out.data);
    }

    /// Appends the ends of a row range to `out`, moved to where its values will be; returns where they start here.
    fn read_ends(&self, region: &Range<usize>, rows: Range<u32>, out: &mut Column) -> usize {
        let ends = Ints::new(self.bytes(region), self.rows as usize);
        let mut start = 0;
        if rows.start > 0 {
            let before = rows.start as usize - 1;
            ends.for_range(before..before + 1, |part| start = part[0]);
        }
        let base = out.data.len() as i64;
        let into = out.ends.get_or_insert_with(|| vec![0]);
        ends.for_range(rows.start as usize..rows.end as usize, |part| {
            // Ends were checked to ascend within the column's values; a batch holds less than 4 G of them.
            into.extend(part.iter().map(|end| (base + end - start) as u32));
        });
        start as usize
    }

    fn read_range(&self, values: Range<usize>, out: &mut ColumnData) {
        match &self.storage {
            Storage::Ids { ids, dictionary } => {
                self.ints(ids).for_ids(values, |part| dictionary.gather(part, out));
            }
            Storage::Plain(region) => read_plain(self.bytes(region), values, out),
            Storage::Ints(region) => self.ints(region).for_range(values, |part| match &mut *out {
                ColumnData::Int(v) => v.extend(part.iter().map(|value| *value as i32)),
                ColumnData::Long(v) => v.extend_from_slice(part),
                other => unreachable!("whole numbers are not stored in a {:?} column", other.stored()),
            }),
            Storage::Text { .. } => self.read_text(values, out),
        }
    }

    fn read_text(&self, values: Range<usize>, out: &mut ColumnData) {
        let (ColumnData::Str(out) | ColumnData::Bytes(out)) = out else {
            unreachable!("text is not stored in a column of numbers")
        };
        let mut at = values.start;
        while at < values.end {
            let chunk = self.chunk_of(at);
            let end = chunk.end().min(values.end);
            chunk.copy(at, end, out);
            at = end;
        }
    }

    fn chunk_of(&self, value: usize) -> Arc<Chunk> {
        let Storage::Text { chunks, kept } = &self.storage else { unreachable!("asked of text only") };
        let texts = Texts::new(self.bytes(chunks));
        let at = texts.chunk_of(value);
        if let Some((_, chunk)) = kept.lock().iter().find(|(known, _)| *known == at) {
            return chunk.clone();
        }
        let read = texts.read(at).expect("chunks carry a checksum that was verified when the segment was opened");
        let chunk = Arc::new(read);
        let mut kept = kept.lock();
        if kept.len() >= CHUNKS_KEPT {
            kept.remove(0);
        }
        kept.push((at, chunk.clone()));
        chunk
    }
}

/// How many values the ends of rows tell of that are not there yet.
fn added_values(out: &Column) -> usize {
    let last = out.ends.as_ref().and_then(|ends| ends.last()).copied().unwrap_or(0);
    (last as usize).saturating_sub(out.data.len())
}

fn check_ends(bytes: &[u8], rows: u32, values: usize) -> Result<(), String> {
    let ends = Ints::new(bytes, rows as usize);
    ends.check()?;
    let (mut last, mut ascending) = (0i64, true);
    ends.for_range(0..rows as usize, |part| {
        for end in part {
            ascending &= *end >= last;
            last = *end;
        }
    });
    if !ascending || usize::try_from(last) != Ok(values) {
        return Err(format!("they do not ascend to {values}"));
    }
    Ok(())
}

fn storage(file: &Mapped, entry: &ColumnEntry, values: usize) -> Result<Storage, SegmentError> {
    let place = format!("column {}, values", entry.name);
    let bad = |problem: String| SegmentError::corrupt(place.clone(), problem);
    let stored = entry.data_type.stored();
    let width = match stored {
        Stored::Int | Stored::Float => Some(4),
        Stored::Long | Stored::Double => Some(8),
        Stored::Str | Stored::Bytes => None,
    };
    if let Some((ids, dictionary)) = entry.region(RegionKind::Ids).zip(entry.region(RegionKind::Dictionary)) {
        let len = entry.stats.cardinality.ok_or_else(|| bad("a dictionary has no cardinality".into()))?;
        let ends = entry.region(RegionKind::DictionaryEnds);
        let place = format!("column {}, dictionary", entry.name);
        let dictionary = SealedDictionary::open(file, dictionary, ends, entry.data_type, len, &place)?;
        Ints::new(&file[ids.clone()], values).check_ids(len).map_err(bad)?;
        return Ok(Storage::Ids { ids, dictionary: Arc::new(dictionary) });
    }
    if let (Some(region), Some(width)) = (entry.region(RegionKind::Plain), width) {
        if region.len() != values.saturating_mul(width) {
            return Err(bad(format!("{} bytes are not {values} numbers", region.len())));
        }
        return Ok(Storage::Plain(region));
    }
    if let (Some(region), Stored::Int | Stored::Long) = (entry.region(RegionKind::Ints), stored) {
        Ints::new(&file[region.clone()], values).check().map_err(bad)?;
        return Ok(Storage::Ints(region));
    }
    if let (Some(chunks), None) = (entry.region(RegionKind::Text), width) {
        Texts::new(&file[chunks.clone()]).check(values).map_err(bad)?;
        return Ok(Storage::Text { chunks, kept: Mutex::new(vec![]) });
    }
    Err(bad("no region holds them".into()))
}

fn read_plain(bytes: &[u8], values: Range<usize>, out: &mut ColumnData) {
    fn read<const N: usize, T>(bytes: &[u8], values: Range<usize>, out: &mut Vec<T>, of: impl Fn([u8; N]) -> T) {
        let part = &bytes[values.start * N..values.end * N];
        out.extend(part.chunks_exact(N).map(|value| of(value.try_into().expect("chunks of that length"))));
    }
    match out {
        ColumnData::Int(v) => read(bytes, values, v, i32::from_le_bytes),
        ColumnData::Long(v) => read(bytes, values, v, i64::from_le_bytes),
        ColumnData::Float(v) => read(bytes, values, v, f32::from_le_bytes),
        ColumnData::Double(v) => read(bytes, values, v, f64::from_le_bytes),
        ColumnData::Str(_) | ColumnData::Bytes(_) => unreachable!("text is not stored as plain numbers"),
    }
}
