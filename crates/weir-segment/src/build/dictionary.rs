//! Sorted dictionaries: distinct values in ascending order, ids renumbered to match.

use hashbrown::{HashMap, HashSet};
use std::{cmp::Ordering, hash::Hash};
use weir_types::{BytesColumn, ColumnData};
use xxhash_rust::xxh3::xxh3_64;

/// Distinct values of a column and the id of each of its values. `None` once there are more than `most` distinct ones.
pub(super) fn encode(data: &ColumnData, most: usize) -> Option<(ColumnData, Vec<u32>)> {
    match data {
        ColumnData::Int(v) => numbers(v, most, |v| *v).map(|(values, ids)| (ColumnData::Int(values), ids)),
        ColumnData::Long(v) => numbers(v, most, |v| *v).map(|(values, ids)| (ColumnData::Long(values), ids)),
        ColumnData::Float(v) => numbers(v, most, |v| v.to_bits()).map(|(values, ids)| (ColumnData::Float(values), ids)),
        ColumnData::Double(v) => {
            numbers(v, most, |v| v.to_bits()).map(|(values, ids)| (ColumnData::Double(values), ids))
        }
        ColumnData::Str(v) => of_texts(v.len(), || v.iter(), most).map(|(values, ids)| (ColumnData::Str(values), ids)),
        ColumnData::Bytes(v) => {
            of_texts(v.len(), || v.iter(), most).map(|(values, ids)| (ColumnData::Bytes(values), ids))
        }
    }
}

fn numbers<T: Copy, K: Hash + Eq>(values: &[T], most: usize, key: impl Fn(&T) -> K) -> Option<(Vec<T>, Vec<u32>)> {
    let (mut known, mut distinct, mut ids) = (HashMap::new(), vec![], Vec::with_capacity(values.len()));
    for value in values {
        let id = *known.entry(key(value)).or_insert_with(|| {
            distinct.push(*value);
            distinct.len() as u32 - 1
        });
        if distinct.len() > most {
            return None;
        }
        ids.push(id);
    }
    Some((distinct, ids))
}

/// The same of texts that lie in several places: `texts` goes through them.
pub(super) fn of_texts<'a, I: Iterator<Item = &'a [u8]>>(
    count: usize,
    texts: impl Fn() -> I,
    most: usize,
) -> Option<(BytesColumn, Vec<u32>)> {
    if distinct_beyond(texts(), most) {
        return None;
    }
    let mut known: HashMap<&[u8], u32> = HashMap::new();
    let (mut distinct, mut ids) = (BytesColumn::default(), Vec::with_capacity(count));
    for value in texts() {
        let id = *known.entry(value).or_insert_with(|| {
            distinct.push(value);
            distinct.len() as u32 - 1
        });
        if distinct.len() > most {
            return None;
        }
        ids.push(id);
    }
    Some((distinct, ids))
}

/// Whether texts are by a wide margin more than `most`: where nearly all differ, finding that out by a table of half of them
/// costs more than all the rest of their column. Counts one in `SHARE` of the distinct ones, chosen by their hashes.
fn distinct_beyond<'a>(texts: impl Iterator<Item = &'a [u8]>, most: usize) -> bool {
    const SHARE: usize = 16;
    // So many that chance does not make up a quarter.
    const FEWEST: usize = 1024;
    let enough = FEWEST.max(most / SHARE / 4 * 5);
    let mut seen = HashSet::new();
    texts.map(xxh3_64).filter(|hash| hash % SHARE as u64 == 0).any(|hash| seen.insert(hash) && seen.len() > enough)
}

/// Orders a dictionary, drops values that no id names, and renumbers the ids.
pub(super) fn sort(dictionary: ColumnData, ids: &mut [u32]) -> ColumnData {
    let mut used = vec![false; dictionary.len()];
    ids.iter().for_each(|id| used[*id as usize] = true);
    let order = |compare: &dyn Fn(usize, usize) -> Ordering| {
        let mut order: Vec<u32> = (0u32..).zip(&used).filter(|(_, used)| **used).map(|(id, _)| id).collect();
        order.sort_unstable_by(|a, b| compare(*a as usize, *b as usize));
        order
    };
    let order = match &dictionary {
        ColumnData::Int(v) => order(&|a, b| v[a].cmp(&v[b])),
        ColumnData::Long(v) => order(&|a, b| v[a].cmp(&v[b])),
        ColumnData::Float(v) => order(&|a, b| v[a].total_cmp(&v[b])),
        ColumnData::Double(v) => order(&|a, b| v[a].total_cmp(&v[b])),
        ColumnData::Str(v) | ColumnData::Bytes(v) => order(&|a, b| v.get(a).cmp(v.get(b))),
    };
    let mut new_of = vec![0u32; dictionary.len()];
    (0u32..).zip(&order).for_each(|(new, old)| new_of[*old as usize] = new);
    ids.iter_mut().for_each(|id| *id = new_of[*id as usize]);
    gather(&dictionary, &order)
}

/// The values at some positions.
pub(super) fn gather(data: &ColumnData, at: &[u32]) -> ColumnData {
    fn pick<T: Copy>(values: &[T], at: &[u32]) -> Vec<T> {
        at.iter().map(|at| values[*at as usize]).collect()
    }
    fn pick_text(values: &BytesColumn, at: &[u32]) -> BytesColumn {
        let mut out = BytesColumn::default();
        at.iter().for_each(|at| out.push(values.get(*at as usize)));
        out
    }
    match data {
        ColumnData::Int(v) => ColumnData::Int(pick(v, at)),
        ColumnData::Long(v) => ColumnData::Long(pick(v, at)),
        ColumnData::Float(v) => ColumnData::Float(pick(v, at)),
        ColumnData::Double(v) => ColumnData::Double(pick(v, at)),
        ColumnData::Str(v) => ColumnData::Str(pick_text(v, at)),
        ColumnData::Bytes(v) => ColumnData::Bytes(pick_text(v, at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(count: usize, distinct: usize) -> Vec<String> {
        (0..count).map(|at| format!("value-{}", at % distinct)).collect()
    }

    #[test]
    fn a_dictionary_is_given_up_only_where_it_would_be_too_long() {
        let count = 60_000;
        for (distinct, most, kept) in [
            (count, count / 2, false),
            (count / 2, count / 2, true),
            (10, 256, true),
            (count / 2 + 1, count / 2, false),
        ] {
            let texts = texts(count, distinct);
            let found = of_texts(count, || texts.iter().map(String::as_bytes), most);
            assert_eq!(found.is_some(), kept, "{distinct} distinct of {count}");
            assert_eq!(found.map_or(distinct, |(values, _)| values.len()), distinct);
        }
        let all = texts(count, count);
        assert!(distinct_beyond(all.iter().map(String::as_bytes), count / 2), "a part of them tells");
        assert!(!distinct_beyond(all.iter().map(String::as_bytes), usize::MAX));
    }
}
