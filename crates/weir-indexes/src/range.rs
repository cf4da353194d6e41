//! Rows per range of values: the ordered values are cut into buckets of about equal size, one roaring bitmap each.
//!
//! Keys are dictionary ids or the order keys of raw numbers. A range that meets bucket edges is answered exactly; else
//! the answer is a superset that holds the two edge buckets whole.
//!
//! Layout: `u32` buckets, `u32` rows; per bucket `i64` smallest and `i64` greatest key and `u64` end of its bitmap,
//! relative to the first; then the bitmaps in the portable roaring form.

use crate::{
    bytes::{IndexError, i64_at, part, u32_at, u64_at},
    inverted::read_bitmap,
    predicate::{Answer, Predicate},
};
use roaring::RoaringBitmap;
use std::ops::Bound;
use weir_types::Value;

/// More buckets make edges thinner and bitmaps sparser; at 64 a bucket holds 1.6 % of the rows and the index at most two
/// bytes a value.
const BUCKETS: usize = 64;
/// Keys looked at to find the edges: 256 for each bucket place an edge within a few percent of its bucket.
const SAMPLE: usize = 256 * BUCKETS;
const HEADER: usize = 8;
const ENTRY: usize = 24;

/// An inclusive range of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRange {
    /// Smallest key that passes.
    pub lower: i64,
    /// Greatest key that passes; below `lower` where none does.
    pub upper: i64,
}

impl KeyRange {
    /// No key.
    pub const EMPTY: Self = Self { lower: 1, upper: 0 };

    /// The keys that pass a predicate on a raw number column; `None` for predicates that are no range and for values
    /// that have no key.
    #[must_use]
    pub fn of(predicate: &Predicate) -> Option<Self> {
        match predicate {
            Predicate::Eq(value) => order_key(value).map(|key| Self { lower: key, upper: key }),
            Predicate::Range { lower, upper } => {
                let lower = match lower {
                    Bound::Unbounded => Some(i64::MIN),
                    Bound::Included(value) => Some(order_key(value)?),
                    Bound::Excluded(value) => order_key(value)?.checked_add(1),
                };
                let upper = match upper {
                    Bound::Unbounded => Some(i64::MAX),
                    Bound::Included(value) => Some(order_key(value)?),
                    Bound::Excluded(value) => order_key(value)?.checked_sub(1),
                };
                let (Some(lower), Some(upper)) = (lower, upper) else { return Some(Self::EMPTY) };
                Some(Self { lower, upper })
            }
            _ => None,
        }
    }
}

/// A number's place among the numbers of its kind: ordered like the values (floats: total order). Text has none.
#[must_use]
pub fn order_key(value: &Value) -> Option<i64> {
    match value {
        Value::Int(v) => Some(i64::from(*v)),
        Value::Long(v) => Some(*v),
        Value::Float(v) => Some(f32_key(*v)),
        Value::Double(v) => Some(f64_key(*v)),
        Value::Str(_) | Value::Bytes(_) => None,
    }
}

/// The order key of a single-precision number.
#[must_use]
pub fn f32_key(value: f32) -> i64 {
    let bits = value.to_bits().cast_signed();
    i64::from(bits ^ ((bits >> 31) & i32::MAX))
}

/// The order key of a double-precision number.
#[must_use]
pub fn f64_key(value: f64) -> i64 {
    let bits = value.to_bits().cast_signed();
    bits ^ ((bits >> 63) & i64::MAX)
}

/// A range index over its bytes.
#[derive(Debug, Clone, Copy)]
pub struct RangeIndex<'a> {
    bytes: &'a [u8],
    buckets: u32,
    rows: u32,
}

impl<'a> RangeIndex<'a> {
    /// Builds the index of a column's keys; `ends` are the `rows + 1` positions of a multi-value column's rows.
    ///
    /// # Errors
    /// More rows than 32 bits count.
    pub fn build(keys: &[i64], ends: Option<&[u32]>) -> Result<Vec<u8>, IndexError> {
        let rows = ends.map_or(keys.len(), |ends| ends.len().saturating_sub(1));
        let rows = u32::try_from(rows).map_err(|_| IndexError::new("range index", format!("{rows} rows")))?;
        let edges = edges_of(keys);
        let buckets = edges.len();
        let mut spans = vec![(i64::MAX, i64::MIN); buckets];
        let mut members: Vec<Vec<u32>> = vec![Vec::with_capacity(keys.len() / buckets.max(1)); buckets];
        let mut put = |row: u32, key: i64| {
            let bucket = edges.partition_point(|edge| *edge <= key).max(1) - 1;
            let span = &mut spans[bucket];
            *span = (span.0.min(key), span.1.max(key));
            if members[bucket].last() != Some(&row) {
                members[bucket].push(row);
            }
        };
        match ends {
            None => (0u32..).zip(keys).for_each(|(row, key)| put(row, *key)),
            Some(ends) => {
                for (row, span) in (0u32..).zip(ends.windows(2)) {
                    keys[span[0] as usize..span[1] as usize].iter().for_each(|key| put(row, *key));
                }
            }
        }
        write(rows, &spans, members)
    }

    /// Opens an index; its bitmaps are looked at when they are asked for.
    ///
    /// # Errors
    /// Bytes that are too short for what they say they hold.
    pub fn open(bytes: &'a [u8]) -> Result<Self, IndexError> {
        let torn = || IndexError::new("range index", format!("{} bytes are too few", bytes.len()));
        let (buckets, rows) = (u32_at(bytes, 0).ok_or_else(torn)?, u32_at(bytes, 4).ok_or_else(torn)?);
        let index = Self { bytes, buckets, rows };
        if buckets > 0 {
            let last = u64_at(bytes, HEADER + ENTRY * (buckets as usize - 1) + 16).ok_or_else(torn)?;
            let end = index.first().checked_add(last).ok_or_else(torn)?;
            part(bytes, 0..end).ok_or_else(torn)?;
        }
        Ok(index)
    }

    /// How many rows it covers.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    fn first(&self) -> u64 {
        HEADER as u64 + ENTRY as u64 * u64::from(self.buckets)
    }

    fn bucket(&self, bucket: u32) -> Result<RoaringBitmap, IndexError> {
        let place = || format!("range index, bucket {bucket}");
        let end_at = |bucket: u32| u64_at(self.bytes, HEADER + ENTRY * bucket as usize + 16);
        let start = if bucket == 0 { Some(0) } else { end_at(bucket - 1) };
        let bytes = start.zip(end_at(bucket)).and_then(|(start, end)| {
            part(self.bytes, self.first().checked_add(start)?..self.first().checked_add(end)?)
        });
        let bytes = bytes.ok_or_else(|| IndexError::new(place(), "its positions lie outside"))?;
        read_bitmap(bytes, self.rows).map_err(|problem| IndexError::new(place(), problem))
    }

    /// The rows with a key in the range.
    ///
    /// # Errors
    /// Bytes that are no bitmap of rows of this index.
    pub fn answer(&self, range: KeyRange) -> Result<Answer, IndexError> {
        let (mut rows, mut exact) = (RoaringBitmap::new(), true);
        for bucket in 0..self.buckets {
            let at = HEADER + ENTRY * bucket as usize;
            let span = i64_at(self.bytes, at).zip(i64_at(self.bytes, at + 8));
            let (min, max) = span.ok_or_else(|| IndexError::new("range index", "its buckets are cut off"))?;
            if range.lower > range.upper || max < range.lower || min > range.upper {
                continue;
            }
            exact &= range.lower <= min && max <= range.upper;
            rows |= self.bucket(bucket)?;
        }
        Ok(if exact { Answer::Exact(rows) } else { Answer::Superset(rows) })
    }
}

/// The first key of each bucket, ascending and distinct, from an even sample of the keys.
fn edges_of(keys: &[i64]) -> Vec<i64> {
    let step = keys.len().div_ceil(SAMPLE).max(1);
    let mut sample: Vec<i64> = keys.iter().step_by(step).copied().collect();
    sample.sort_unstable();
    let mut distinct = sample.clone();
    distinct.dedup();
    if distinct.len() <= BUCKETS {
        return distinct;
    }
    let mut edges: Vec<i64> = (0..BUCKETS).map(|bucket| sample[bucket * sample.len() / BUCKETS]).collect();
    edges.dedup();
    edges
}

fn write(rows: u32, spans: &[(i64, i64)], members: Vec<Vec<u32>>) -> Result<Vec<u8>, IndexError> {
    let first = HEADER + ENTRY * spans.len();
    let mut out = vec![0u8; first];
    out[0..4].copy_from_slice(&u32::try_from(spans.len()).unwrap_or(0).to_le_bytes());
    out[4..8].copy_from_slice(&rows.to_le_bytes());
    for (bucket, (span, rows)) in spans.iter().zip(members).enumerate() {
        let mut bitmap = RoaringBitmap::from_sorted_iter(rows)
            .map_err(|_| IndexError::new("range index", "rows of a bucket are not ascending"))?;
        bitmap.optimize();
        bitmap.serialize_into(&mut out).map_err(|error| IndexError::new("range index", error.to_string()))?;
        let at = HEADER + ENTRY * bucket;
        let end = (out.len() - first) as u64;
        out[at..at + 8].copy_from_slice(&span.0.to_le_bytes());
        out[at + 8..at + 16].copy_from_slice(&span.1.to_le_bytes());
        out[at + 16..at + 24].copy_from_slice(&end.to_le_bytes());
    }
    Ok(out)
}
