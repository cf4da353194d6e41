//! Sorted dictionaries: distinct values in ascending order, ids renumbered to match.

use hashbrown::HashMap;
use std::{cmp::Ordering, hash::Hash};
use weir_types::{BytesColumn, ColumnData};

/// Distinct values of a column and the id of each of its values. `None` once there are more than `most` distinct ones.
pub(super) fn encode(data: &ColumnData, most: usize) -> Option<(ColumnData, Vec<u32>)> {
    match data {
        ColumnData::Int(v) => numbers(v, most, |v| *v).map(|(values, ids)| (ColumnData::Int(values), ids)),
        ColumnData::Long(v) => numbers(v, most, |v| *v).map(|(values, ids)| (ColumnData::Long(values), ids)),
        ColumnData::Float(v) => numbers(v, most, |v| v.to_bits()).map(|(values, ids)| (ColumnData::Float(values), ids)),
        ColumnData::Double(v) => {
            numbers(v, most, |v| v.to_bits()).map(|(values, ids)| (ColumnData::Double(values), ids))
        }
        ColumnData::Str(v) => texts(v, most).map(|(values, ids)| (ColumnData::Str(values), ids)),
        ColumnData::Bytes(v) => texts(v, most).map(|(values, ids)| (ColumnData::Bytes(values), ids)),
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

fn texts(values: &BytesColumn, most: usize) -> Option<(BytesColumn, Vec<u32>)> {
    let mut known: HashMap<&[u8], u32> = HashMap::new();
    let (mut distinct, mut ids) = (BytesColumn::default(), Vec::with_capacity(values.len()));
    for value in values.iter() {
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
