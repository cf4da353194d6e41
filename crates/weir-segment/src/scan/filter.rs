//! A filter made ready for one segment: what statistics and indexes decide is decided once; the rest is tested by rows.

use super::{
    ScanRequest, ScanStats,
    compare::{Test, Verdict},
    source::{Held, Source, resolve},
};
use crate::{
    error::SegmentError,
    segment::{Segment, Span},
};
use roaring::RoaringBitmap;
use std::ops::Range;
use weir_indexes::{Answer, Filter, Predicate};
use weir_types::{ColumnName, Value};

/// A condition on the rows of one segment.
#[derive(Debug)]
pub(super) enum Node {
    /// Every row.
    All,
    /// No row.
    None,
    /// Rows that pass each.
    And(Vec<Node>),
    /// Rows that pass one.
    Or(Vec<Node>),
    /// Rows that do not pass.
    Not(Box<Node>),
    /// Just these rows.
    Rows(RoaringBitmap),
    /// Rows whose column passes.
    Leaf(Box<Leaf>),
}

/// A test of a column's values.
#[derive(Debug)]
pub(super) struct Leaf {
    held: Held,
    test: Test,
    /// For each dictionary id, whether it passes.
    by_id: Option<Vec<bool>>,
    /// All rows that pass are among these.
    among: Option<RoaringBitmap>,
}

/// Buffers of an evaluation, kept from step to step.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    ids: Vec<u32>,
    passes: Vec<bool>,
}

impl Node {
    /// Makes a filter ready for a segment.
    pub(super) fn new(segment: &dyn Segment, request: &ScanRequest, filter: &Filter) -> Result<Self, SegmentError> {
        let all = |filters: &[Filter]| -> Result<Vec<Self>, SegmentError> {
            filters.iter().map(|filter| Self::new(segment, request, filter)).collect()
        };
        Ok(match filter {
            Filter::All => Self::All,
            Filter::None => Self::None,
            Filter::And(filters) => Self::and(all(filters)?),
            Filter::Or(filters) => Self::or(all(filters)?),
            Filter::Not(filter) => Self::new(segment, request, filter)?.not(),
            Filter::Column { column, predicate } => Self::column(segment, request, column, predicate)?,
        })
    }

    fn and(nodes: Vec<Self>) -> Self {
        let mut kept: Vec<Self> = nodes.into_iter().filter(|node| !matches!(node, Self::All)).collect();
        if kept.iter().any(|node| matches!(node, Self::None)) {
            return Self::None;
        }
        // Known rows first: they spare the others a look.
        kept.sort_by_key(|node| !matches!(node, Self::Rows(_)));
        match kept.len() {
            0 => Self::All,
            1 => kept.swap_remove(0),
            _ => Self::And(kept),
        }
    }

    fn or(nodes: Vec<Self>) -> Self {
        let mut kept: Vec<Self> = nodes.into_iter().filter(|node| !matches!(node, Self::None)).collect();
        if kept.iter().any(|node| matches!(node, Self::All)) {
            return Self::All;
        }
        match kept.len() {
            0 => Self::None,
            1 => kept.swap_remove(0),
            _ => Self::Or(kept),
        }
    }

    fn not(self) -> Self {
        match self {
            Self::All => Self::None,
            Self::None => Self::All,
            Self::Not(node) => *node,
            node => Self::Not(Box::new(node)),
        }
    }

    fn constant(passes: bool) -> Self {
        if passes { Self::All } else { Self::None }
    }

    fn rows(rows: RoaringBitmap, count: u32) -> Self {
        match rows.len() {
            0 => Self::None,
            len if len == u64::from(count) => Self::All,
            _ => Self::Rows(rows),
        }
    }

    fn column(
        segment: &dyn Segment,
        request: &ScanRequest,
        column: &ColumnName,
        predicate: &Predicate,
    ) -> Result<Self, SegmentError> {
        let name = column.as_str();
        let resolved = resolve(segment, request, name).ok_or_else(|| {
            let what = format!(
                "filter of a scan of segment {} names column '{name}', which neither the segment nor the scan's columns \
                 know: list it in filter_columns with its type and default",
                segment.meta().name
            );
            SegmentError::Invalid { what }
        })?;
        let rows = segment.meta().rows;
        let asks_null = match predicate {
            Predicate::IsNull => Some(true),
            Predicate::IsNotNull => Some(false),
            _ => None,
        };
        let test = Test::new(resolved.data_type.stored(), predicate);
        Ok(match (resolved.source, asks_null) {
            (Source::Fill { null, .. }, Some(asked)) => Self::constant(null == asked),
            (Source::Fill { value, .. }, None) => Self::constant(test.passes(&value)),
            (Source::DocId, Some(asked)) => Self::constant(!asked),
            (Source::DocId, None) => {
                let passing = (0..rows).filter(|row| test.passes(&Value::Int(*row as i32)));
                Self::rows(passing.collect(), rows)
            }
            (Source::Held(held), Some(asked)) => Self::null(segment, &held, predicate, asked),
            (Source::Held(held), None) => Self::held(segment, held, predicate, test),
        })
    }

    fn null(segment: &dyn Segment, held: &Held, predicate: &Predicate, asked: bool) -> Self {
        let rows = segment.meta().rows;
        let nulls = segment.stats(held.at).nulls;
        if nulls == 0 || nulls == rows {
            return Self::constant((nulls > 0) == asked);
        }
        if let Answer::Exact(passing) = segment.index_answer(held.at, predicate) {
            return Self::rows(passing, rows);
        }
        let mut list = vec![];
        segment.read_nulls(held.at, 0..rows, &mut list);
        let node = Self::rows(list.into_iter().collect(), rows);
        if asked { node } else { node.not() }
    }

    fn held(segment: &dyn Segment, held: Held, predicate: &Predicate, test: Test) -> Self {
        let rows = segment.meta().rows;
        let Some((min, max)) = held.min_max(segment.stats(held.at)) else {
            return if rows == 0 {
                Self::None
            } else {
                Self::Leaf(Box::new(Leaf { held, test, by_id: None, among: None }))
            };
        };
        match test.verdict(&min, &max) {
            Verdict::None => return Self::None,
            Verdict::All => return Self::All,
            Verdict::Some => {}
        }
        if !held.as_stored() {
            return Self::Leaf(Box::new(Leaf { held, test, by_id: None, among: None }));
        }
        let among = match segment.index_answer(held.at, predicate) {
            Answer::Exact(passing) => return Self::rows(passing, rows),
            Answer::Superset(passing) if passing.is_empty() => return Self::None,
            Answer::Superset(passing) => Some(passing),
            Answer::CannotHelp => None,
        };
        let dictionary = if held.single_value { segment.dictionary(held.at) } else { None };
        let by_id = dictionary.map(|dictionary| {
            let mut table = vec![false; dictionary.len() as usize];
            dictionary.matching(predicate).iter().for_each(|id| table[id as usize] = true);
            table
        });
        Self::Leaf(Box::new(Leaf { held, test, by_id, among }))
    }

    /// Just the rows that pass, where indexes alone know them.
    pub(super) fn exact(&self, rows: u32) -> Option<RoaringBitmap> {
        Some(match self {
            Self::All => all_rows(rows),
            Self::None => RoaringBitmap::new(),
            Self::Rows(passing) => passing.clone(),
            Self::And(nodes) => {
                let mut sets = nodes.iter().map(|node| node.exact(rows));
                let first = sets.next()??;
                sets.try_fold(first, |all, set| Some(all & set?))?
            }
            Self::Or(nodes) => {
                nodes.iter().map(|node| node.exact(rows)).try_fold(RoaringBitmap::new(), |all, set| Some(all | set?))?
            }
            Self::Not(node) => all_rows(rows) - node.exact(rows)?,
            Self::Leaf(_) => return None,
        })
    }

    /// Rows among which are all that pass; `None` where nothing is known.
    pub(super) fn among(&self) -> Option<RoaringBitmap> {
        match self {
            Self::All | Self::Not(_) => None,
            Self::None => Some(RoaringBitmap::new()),
            Self::Rows(passing) => Some(passing.clone()),
            Self::Leaf(leaf) => leaf.among.clone(),
            Self::And(nodes) => nodes.iter().filter_map(Self::among).reduce(|a, b| a & b),
            Self::Or(nodes) => {
                nodes.iter().map(Self::among).try_fold(RoaringBitmap::new(), |all, set| Some(all | set?))
            }
        }
    }

    /// Whether any of these rows may pass, as far as is known without reading them.
    pub(super) fn may_pass(&self, segment: &dyn Segment, rows: &Range<u32>) -> bool {
        match self {
            Self::All | Self::Not(_) => true,
            Self::None => false,
            Self::And(nodes) => nodes.iter().all(|node| node.may_pass(segment, rows)),
            Self::Or(nodes) => nodes.iter().any(|node| node.may_pass(segment, rows)),
            Self::Rows(passing) => passing.range_cardinality(rows.clone()) > 0,
            Self::Leaf(leaf) => leaf.may_pass(segment, rows),
        }
    }

    /// Takes out of `mask` (one for each row of `rows`) the rows that do not pass.
    pub(super) fn evaluate(
        &self,
        segment: &dyn Segment,
        rows: &Range<u32>,
        mask: &mut [bool],
        scratch: &mut Scratch,
        stats: &mut ScanStats,
    ) {
        match self {
            Self::All => {}
            Self::None => mask.fill(false),
            Self::And(nodes) => {
                for node in nodes {
                    node.evaluate(segment, rows, mask, scratch, stats);
                    if !mask.contains(&true) {
                        break;
                    }
                }
            }
            Self::Or(nodes) => {
                let mut any = vec![false; mask.len()];
                for node in nodes {
                    // Rows that passed already need no further look.
                    let mut one: Vec<bool> = mask.iter().zip(&any).map(|(asked, any)| asked & !any).collect();
                    if !one.contains(&true) {
                        break;
                    }
                    node.evaluate(segment, rows, &mut one, scratch, stats);
                    any.iter_mut().zip(&one).for_each(|(any, one)| *any |= one);
                }
                mask.copy_from_slice(&any);
            }
            Self::Not(node) => {
                let mut inner = mask.to_vec();
                node.evaluate(segment, rows, &mut inner, scratch, stats);
                mask.iter_mut().zip(&inner).for_each(|(mask, inner)| *mask &= !inner);
            }
            Self::Rows(passing) => keep(passing, rows, mask),
            Self::Leaf(leaf) => leaf.evaluate(segment, rows, mask, scratch, stats),
        }
    }
}

fn all_rows(rows: u32) -> RoaringBitmap {
    let mut all = RoaringBitmap::new();
    all.insert_range(0..rows);
    all
}

/// Takes out of `mask` the rows that are not in a set.
pub(super) fn keep(set: &RoaringBitmap, rows: &Range<u32>, mask: &mut [bool]) {
    let mut next = 0;
    for row in set.range(rows.clone()) {
        let at = (row - rows.start) as usize;
        mask[next..at].fill(false);
        next = at + 1;
    }
    mask[next..].fill(false);
}

impl Leaf {
    fn may_pass(&self, segment: &dyn Segment, rows: &Range<u32>) -> bool {
        if !self.held.single_value || !self.held.as_stored() {
            return true;
        }
        match segment.span(self.held.at, rows.clone()) {
            None => true,
            Some(Span::Numbers(least, greatest)) => {
                self.test.verdict(&Value::Long(least), &Value::Long(greatest)) != Verdict::None
            }
            Some(Span::Ids(least, greatest)) => self.by_id.as_ref().is_none_or(|by_id| {
                let ids = by_id.get(least as usize..=greatest as usize);
                ids.is_none_or(|ids| ids.contains(&true))
            }),
        }
    }

    fn evaluate(
        &self,
        segment: &dyn Segment,
        rows: &Range<u32>,
        mask: &mut [bool],
        scratch: &mut Scratch,
        stats: &mut ScanStats,
    ) {
        if let Some(among) = &self.among {
            keep(among, rows, mask);
        }
        // Only the stretch that still has candidates is read.
        let Some(first) = mask.iter().position(|asked| *asked) else { return };
        let last = mask.iter().rposition(|asked| *asked).unwrap_or(first);
        let mask = &mut mask[first..=last];
        let rows = rows.start + first as u32..rows.start + last as u32 + 1;
        if let Some(by_id) = &self.by_id
            && segment.read_ids(self.held.at, rows.clone(), &mut scratch.ids)
        {
            stats.entries_in_filter += scratch.ids.len() as u64;
            mask.iter_mut().zip(&scratch.ids).for_each(|(mask, id)| *mask &= by_id[*id as usize]);
            return;
        }
        let column = self.held.read(segment, [rows]);
        debug_assert_eq!(column.data.stored(), self.held.kind(), "conversion gives the wanted kind");
        scratch.passes.clear();
        self.test.evaluate(&column.data, 0..column.data.len(), &mut scratch.passes);
        stats.entries_in_filter += scratch.passes.len() as u64;
        match &column.ends {
            None => mask.iter_mut().zip(&scratch.passes).for_each(|(mask, passes)| *mask &= passes),
            Some(ends) => {
                for (mask, ends) in mask.iter_mut().zip(ends.windows(2)) {
                    let values = &scratch.passes[ends[0] as usize..ends[1] as usize];
                    *mask &= if self.test.asks_all() { !values.contains(&false) } else { values.contains(&true) };
                }
            }
        }
    }
}
