//! What a sealed column knows about a predicate without looking at rows: order, nulls, dictionary, indexes.

use super::{
    column::{SealedColumn, Storage},
    dictionary::SealedDictionary,
};
use crate::Dictionary;
use roaring::RoaringBitmap;
use weir_indexes::{Answer, IndexError, InvertedIndex, KeyRange, Predicate, RangeIndex, SortedRanges};

/// Ids of a union of bitmaps: beyond these the bitmaps cost more than a scan of packed ids.
const IDS_READ: u64 = 4096;

/// The answer to a predicate.
pub(super) fn answer(column: &SealedColumn, rows: u32, predicate: &Predicate) -> Answer {
    let found = match (predicate, &column.storage) {
        (Predicate::IsNull, _) => return Answer::Exact(column.nulls.clone()),
        (Predicate::IsNotNull, _) => return Answer::Exact(all(rows) - &column.nulls),
        (_, Storage::Ids { dictionary, .. }) => by_ids(column, dictionary, rows, predicate),
        _ => by_keys(column, predicate),
    };
    found.unwrap_or_else(|error| {
        if !column.is_damaged() {
            // The checksum was right, so a writer made this; the scan finds the rows without the index.
            tracing::error!(column = &*column.name, %error, "an index of a segment cannot be read; rows are scanned");
        }
        Answer::CannotHelp
    })
}

fn all(rows: u32) -> RoaringBitmap {
    let mut all = RoaringBitmap::new();
    all.insert_range(0..rows);
    all
}

fn by_keys(column: &SealedColumn, predicate: &Predicate) -> Result<Answer, IndexError> {
    let Some((region, keys)) = column.range.as_ref().zip(KeyRange::of(predicate)) else {
        return Ok(Answer::CannotHelp);
    };
    RangeIndex::open(column.bytes(region))?.answer(keys)
}

fn by_ids(
    column: &SealedColumn,
    dictionary: &SealedDictionary,
    rows: u32,
    predicate: &Predicate,
) -> Result<Answer, IndexError> {
    let exclusive = matches!(predicate, Predicate::NotEq(_) | Predicate::NotIn(_));
    let passing = dictionary.matching(predicate);
    if passing.is_empty() {
        // Every row has a value, so no row passes; a multi-value row without values would pass an exclusive test.
        return Ok(if exclusive && !column.single_value {
            Answer::CannotHelp
        } else {
            Answer::Exact(RoaringBitmap::new())
        });
    }
    if passing.len() == u64::from(dictionary.len()) && (exclusive || column.single_value) {
        return Ok(Answer::Exact(all(rows)));
    }
    if let Some(region) = &column.sorted {
        let ranges = SortedRanges::open(column.bytes(region), dictionary.len(), rows)?;
        return Ok(Answer::Exact(ranges.rows_of_all(&passing)));
    }
    if let Some(region) = &column.inverted {
        let index = InvertedIndex::open(column.bytes(region))?;
        let failing = u64::from(dictionary.len()) - passing.len();
        // A row passes an exclusive test where none of its values fails it; on single values that is the same test.
        let by_failing = if column.single_value { failing < passing.len() } else { exclusive };
        let read = if by_failing { failing } else { passing.len() };
        if read <= IDS_READ {
            let among = if by_failing { all(dictionary.len()) - &passing } else { passing };
            let found = index.rows_of_any(among)?;
            return Ok(Answer::Exact(if by_failing { all(rows) - found } else { found }));
        }
    }
    if let (Some(region), false) = (&column.range, exclusive) {
        // Ids of a range are contiguous; those of a list lie between its first and its last.
        let (first, last) = (passing.min().unwrap_or(0), passing.max().unwrap_or(0));
        let keys = KeyRange { lower: i64::from(first), upper: i64::from(last) };
        let contiguous = u64::from(last - first) + 1 == passing.len();
        return Ok(match RangeIndex::open(column.bytes(region))?.answer(keys)? {
            Answer::Exact(rows) if !contiguous => Answer::Superset(rows),
            answer => answer,
        });
    }
    Ok(Answer::CannotHelp)
}
