//! Row ranges per dictionary id of a column by which the rows are ordered.
//!
//! Layout: `ids + 1` row numbers (`u32`); the rows of id `i` are `[start[i], start[i + 1])`.

use crate::bytes::{IndexError, u32_at};
use roaring::RoaringBitmap;
use std::ops::Range;

/// The row ranges of a sorted column, over their bytes.
#[derive(Debug, Clone, Copy)]
pub struct SortedRanges<'a> {
    bytes: &'a [u8],
    ids: u32,
}

impl<'a> SortedRanges<'a> {
    /// Builds the ranges of ascending ids below `cardinality`.
    ///
    /// # Errors
    /// Ids that descend or are not below `cardinality`.
    pub fn build(cardinality: u32, ids: &[u32]) -> Result<Vec<u8>, IndexError> {
        let place = "sorted ranges";
        let rows = u32::try_from(ids.len()).map_err(|_| IndexError::new(place, "too many rows"))?;
        let mut out = Vec::with_capacity(4 * (cardinality as usize + 1));
        let mut next = 0u32;
        for (row, id) in (0u32..).zip(ids) {
            if *id >= cardinality || *id + 1 < next {
                return Err(IndexError::new(place, format!("id {id} of {cardinality} at row {row} is out of order")));
            }
            while next <= *id {
                out.extend_from_slice(&row.to_le_bytes());
                next += 1;
            }
        }
        while next <= cardinality {
            out.extend_from_slice(&rows.to_le_bytes());
            next += 1;
        }
        Ok(out)
    }

    /// Opens the ranges of `ids` ids over `rows` rows.
    ///
    /// # Errors
    /// Bytes of another length, or whose last range does not end at `rows`.
    pub fn open(bytes: &'a [u8], ids: u32, rows: u32) -> Result<Self, IndexError> {
        if bytes.len() as u64 != 4 * (u64::from(ids) + 1) || u32_at(bytes, 4 * ids as usize) != Some(rows) {
            return Err(IndexError::new("sorted ranges", format!("{} bytes do not hold {ids} ids", bytes.len())));
        }
        Ok(Self { bytes, ids })
    }

    /// The rows of an id; empty for an id that it does not know.
    #[must_use]
    pub fn rows_of(&self, id: u32) -> Range<u32> {
        if id >= self.ids {
            return 0..0;
        }
        let at = 4 * id as usize;
        let start = u32_at(self.bytes, at).unwrap_or(0);
        start..u32_at(self.bytes, at + 4).unwrap_or(start).max(start)
    }

    /// The rows of a set of ids; neighbouring ids cost one range together.
    #[must_use]
    pub fn rows_of_all(&self, ids: &RoaringBitmap) -> RoaringBitmap {
        let mut rows = RoaringBitmap::new();
        let mut iter = ids.iter();
        while let Some(run) = iter.next_range() {
            let (first, last) = (self.rows_of(*run.start()), self.rows_of(*run.end()));
            if first.start < last.end {
                rows.insert_range(first.start..last.end);
            }
        }
        rows
    }
}
