//! The order of rows by a sorted column: stable, so that rows of equal value stay in the order of arrival.

use super::{
    Source, dictionary,
    load::{self, Loaded, LoadedColumn},
};
use crate::{ColumnInfo, Segment, SegmentError};
use std::cmp::Ordering;
use weir_types::ColumnData;

/// Old row of each new row.
pub(super) struct RowOrder {
    new_to_old: Vec<u32>,
}

/// The order by a column; `None` where the rows are in order already.
pub(super) fn of_column(segment: &dyn Segment, info: &ColumnInfo) -> Result<Option<RowOrder>, SegmentError> {
    let loaded = load::column(Source { segment, info, name: "sorted column" })?;
    let new_to_old = match loaded.values {
        Loaded::Ids { dictionary, mut ids } => {
            let cardinality = dictionary::sort(dictionary, &mut ids).len();
            by_id(&ids, cardinality)
        }
        Loaded::Values { data } => by_value(&data),
        Loaded::Texts(_) => unreachable!("a column that is read whole lends nothing"),
    };
    Ok((!new_to_old.is_sorted()).then_some(RowOrder { new_to_old }))
}

/// Rows ordered by id, then row: a counting sort.
fn by_id(ids: &[u32], cardinality: usize) -> Vec<u32> {
    let mut next = vec![0u32; cardinality + 1];
    ids.iter().for_each(|id| next[*id as usize + 1] += 1);
    for at in 1..next.len() {
        next[at] += next[at - 1];
    }
    let mut out = vec![0; ids.len()];
    for (row, id) in (0u32..).zip(ids) {
        let at = &mut next[*id as usize];
        out[*at as usize] = row;
        *at += 1;
    }
    out
}

fn by_value(data: &ColumnData) -> Vec<u32> {
    let sort = |compare: &dyn Fn(usize, usize) -> Ordering| {
        let mut rows: Vec<u32> = (0..data.len() as u32).collect();
        rows.sort_by(|a, b| compare(*a as usize, *b as usize));
        rows
    };
    match data {
        ColumnData::Int(v) => sort(&|a, b| v[a].cmp(&v[b])),
        ColumnData::Long(v) => sort(&|a, b| v[a].cmp(&v[b])),
        ColumnData::Float(v) => sort(&|a, b| v[a].total_cmp(&v[b])),
        ColumnData::Double(v) => sort(&|a, b| v[a].total_cmp(&v[b])),
        ColumnData::Str(v) | ColumnData::Bytes(v) => sort(&|a, b| v.get(a).cmp(v.get(b))),
    }
}

impl RowOrder {
    /// New row of each old row.
    pub(super) fn old_to_new(&self) -> Vec<u32> {
        let mut out = vec![0; self.new_to_old.len()];
        (0u32..).zip(&self.new_to_old).for_each(|(new, old)| out[*old as usize] = new);
        out
    }

    /// Moves a column's rows.
    pub(super) fn apply(&self, column: LoadedColumn<'_>) -> LoadedColumn<'static> {
        let mut nulls = column.nulls;
        if !nulls.is_empty() {
            let old_to_new = self.old_to_new();
            nulls.iter_mut().for_each(|row| *row = old_to_new[*row as usize]);
            nulls.sort_unstable();
        }
        let (positions, ends) = match &column.ends {
            None => (None, None),
            Some(ends) => {
                let (mut positions, mut moved) = (vec![], vec![0]);
                for row in &self.new_to_old {
                    positions.extend(ends[*row as usize]..ends[*row as usize + 1]);
                    moved.push(positions.len() as u32);
                }
                (Some(positions), Some(moved))
            }
        };
        let positions = positions.as_deref().unwrap_or(&self.new_to_old);
        let values = match column.values {
            Loaded::Ids { dictionary, ids } => {
                Loaded::Ids { dictionary, ids: positions.iter().map(|at| ids[*at as usize]).collect() }
            }
            Loaded::Values { data } => Loaded::Values { data: dictionary::gather(&data, positions) },
            Loaded::Texts(_) => unreachable!("a column that is read whole lends nothing"),
        };
        LoadedColumn { values, ends, nulls }
    }
}
