//! Rows per dictionary id: one roaring bitmap an id, each read on demand, so that opening costs nothing.
//!
//! Layout: `u32` ids, `u32` rows, `ids + 1` positions (`u32`, relative to the first bitmap), the bitmaps in the portable
//! roaring form.

use crate::bytes::{IndexError, part, u32_at};
use roaring::RoaringBitmap;

const HEADER: usize = 8;

/// An inverted index over its bytes.
#[derive(Debug, Clone, Copy)]
pub struct InvertedIndex<'a> {
    bytes: &'a [u8],
    ids: u32,
    rows: u32,
}

impl<'a> InvertedIndex<'a> {
    /// Builds the index of a column: `ids` are its values' ids, below `cardinality`; `ends` the `rows + 1` positions of
    /// a multi-value column's rows.
    ///
    /// # Errors
    /// An id that is not below `cardinality`, or an index of 4 GiB.
    pub fn build(cardinality: u32, ids: &[u32], ends: Option<&[u32]>) -> Result<Vec<u8>, IndexError> {
        let rows = ends.map_or(ids.len(), |ends| ends.len().saturating_sub(1));
        let starts = starts_of(cardinality, ids)?;
        let by_id = rows_by_id(&starts, ids, ends);
        let mut out = Vec::with_capacity(HEADER + 4 * (cardinality as usize + 1) + by_id.len() * 2);
        out.extend_from_slice(&cardinality.to_le_bytes());
        out.extend_from_slice(&u32_of(rows, "rows")?.to_le_bytes());
        let first = HEADER + 4 * (cardinality as usize + 1);
        out.resize(first, 0);
        for id in 0..cardinality as usize {
            let mut of_id = by_id[starts[id]..starts[id + 1]].to_vec();
            of_id.dedup();
            let mut bitmap = RoaringBitmap::from_sorted_iter(of_id)
                .map_err(|_| IndexError::new("inverted index", "rows of an id are not ascending"))?;
            bitmap.optimize();
            bitmap.serialize_into(&mut out).map_err(|error| IndexError::new("inverted index", error.to_string()))?;
            let end = u32_of(out.len() - first, "bytes of the bitmaps")?;
            let at = HEADER + 4 * (id + 1);
            out[at..at + 4].copy_from_slice(&end.to_le_bytes());
        }
        Ok(out)
    }

    /// Opens an index; its bitmaps are looked at when they are asked for.
    ///
    /// # Errors
    /// Bytes that are too short for what they say they hold.
    pub fn open(bytes: &'a [u8]) -> Result<Self, IndexError> {
        let torn = || IndexError::new("inverted index", format!("{} bytes are too few", bytes.len()));
        let (ids, rows) = (u32_at(bytes, 0).ok_or_else(torn)?, u32_at(bytes, 4).ok_or_else(torn)?);
        let index = Self { bytes, ids, rows };
        let last = u32_at(bytes, HEADER + 4 * ids as usize).ok_or_else(torn)?;
        part(bytes, 0..index.first() + u64::from(last)).ok_or_else(torn)?;
        Ok(index)
    }

    fn first(&self) -> u64 {
        HEADER as u64 + 4 * (u64::from(self.ids) + 1)
    }

    /// How many ids it knows.
    #[must_use]
    pub fn cardinality(&self) -> u32 {
        self.ids
    }

    /// How many rows it covers.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Bytes that the bitmap of an id takes: a measure of the work of reading it.
    #[must_use]
    pub fn cost_of(&self, id: u32) -> usize {
        self.bitmap_bytes(id).map_or(0, <[u8]>::len)
    }

    fn bitmap_bytes(&self, id: u32) -> Option<&'a [u8]> {
        if id >= self.ids {
            return None;
        }
        let at = HEADER + 4 * id as usize;
        let (start, end) = (u32_at(self.bytes, at)?, u32_at(self.bytes, at + 4)?);
        part(self.bytes, self.first() + u64::from(start)..self.first() + u64::from(end))
    }

    /// The rows that hold an id; none for an id that it does not know.
    ///
    /// # Errors
    /// Bytes that are no bitmap of rows of this index.
    pub fn rows_of(&self, id: u32) -> Result<RoaringBitmap, IndexError> {
        if id >= self.ids {
            return Ok(RoaringBitmap::new());
        }
        let place = || format!("inverted index, id {id}");
        let bytes = self.bitmap_bytes(id).ok_or_else(|| IndexError::new(place(), "its positions lie outside"))?;
        read_bitmap(bytes, self.rows).map_err(|problem| IndexError::new(place(), problem))
    }

    /// The rows that hold any of these ids.
    ///
    /// # Errors
    /// As `rows_of`.
    pub fn rows_of_any(&self, ids: impl IntoIterator<Item = u32>) -> Result<RoaringBitmap, IndexError> {
        let mut rows = RoaringBitmap::new();
        for id in ids {
            rows |= self.rows_of(id)?;
        }
        Ok(rows)
    }
}

/// Reads a bitmap and refuses rows outside `0..rows`.
pub(crate) fn read_bitmap(bytes: &[u8], rows: u32) -> Result<RoaringBitmap, String> {
    let bitmap = RoaringBitmap::deserialize_from(bytes).map_err(|error| error.to_string())?;
    match bitmap.max() {
        Some(max) if max >= rows => Err(format!("row {max} is not among {rows} rows")),
        _ => Ok(bitmap),
    }
}

fn u32_of(number: usize, what: &str) -> Result<u32, IndexError> {
    u32::try_from(number).map_err(|_| IndexError::new("index", format!("{number} {what} are more than it can hold")))
}

/// Where each id's rows start in the list by id.
fn starts_of(cardinality: u32, ids: &[u32]) -> Result<Vec<usize>, IndexError> {
    let mut starts = vec![0usize; cardinality as usize + 1];
    for id in ids {
        let slot = starts.get_mut(*id as usize + 1);
        *slot.ok_or_else(|| IndexError::new("inverted index", format!("id {id} of {cardinality}")))? += 1;
    }
    for at in 1..starts.len() {
        starts[at] += starts[at - 1];
    }
    Ok(starts)
}

/// Rows ordered by id, then by row: a counting sort.
fn rows_by_id(starts: &[usize], ids: &[u32], ends: Option<&[u32]>) -> Vec<u32> {
    let mut next = starts[..starts.len() - 1].to_vec();
    let mut out = vec![0u32; ids.len()];
    let mut put = |row: u32, id: u32| {
        let at = &mut next[id as usize];
        out[*at] = row;
        *at += 1;
    };
    match ends {
        None => (0u32..).zip(ids).for_each(|(row, id)| put(row, *id)),
        Some(ends) => {
            for (row, span) in (0u32..).zip(ends.windows(2)) {
                ids[span[0] as usize..span[1] as usize].iter().for_each(|id| put(row, *id));
            }
        }
    }
    out
}
