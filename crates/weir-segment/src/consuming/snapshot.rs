//! A consuming segment at one moment, as readers see it: shared blocks, a prefix of each dictionary, statistics.

use super::{
    block::{Block, Values, append_data},
    chunk::FrozenState,
    dictionary::SnapshotDictionary,
    source::Source,
    tiers::{Piece, Tiers},
};
use crate::segment::{ColumnAt, ColumnInfo, ColumnStats, Dictionary, Segment, SegmentMeta, Span};
use roaring::RoaringBitmap;
use std::{collections::HashMap, ops::Range, sync::Arc};
use weir_indexes::{Answer, Predicate};
use weir_types::{BytesColumn, Column, ColumnData, DataType, Stored};

/// The columns of a segment; the same for all its snapshots.
#[derive(Debug)]
pub(super) struct Layout {
    /// Type and arity, by position.
    pub(super) columns: Vec<(DataType, bool)>,
    /// Position by name.
    pub(super) by_name: HashMap<Box<str>, usize>,
}

/// Rows of a consuming segment up to a moment; later appends do not show in it.
#[derive(Debug)]
pub struct ConsumingSnapshot {
    pub(super) meta: SegmentMeta,
    pub(super) layout: Arc<Layout>,
    pub(super) blocks: Tiers<Block>,
    /// One for each frozen block.
    pub(super) states: Arc<Vec<Arc<FrozenState>>>,
    pub(super) dictionaries: Vec<Option<Arc<SnapshotDictionary>>>,
    pub(super) stats: Vec<ColumnStats>,
    /// The file that restored rows lie in.
    pub(super) source: Option<Source>,
}

impl ConsumingSnapshot {
    fn nulls(&self, column: ColumnAt) -> RoaringBitmap {
        self.blocks.pieces().fold(RoaringBitmap::new(), |all, block| all | &block.columns[column.0].nulls)
    }

    fn all_rows(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.meta.rows);
        all
    }
}

impl Segment for ConsumingSnapshot {
    fn meta(&self) -> &SegmentMeta {
        &self.meta
    }

    fn column(&self, name: &str) -> Option<ColumnInfo> {
        let at = *self.layout.by_name.get(name)?;
        let (data_type, single_value) = self.layout.columns[at];
        Some(ColumnInfo { at: ColumnAt(at), data_type, single_value })
    }

    fn stats(&self, column: ColumnAt) -> &ColumnStats {
        &self.stats[column.0]
    }

    fn dictionary(&self, column: ColumnAt) -> Option<Arc<dyn Dictionary>> {
        self.dictionaries[column.0].clone().map(|dictionary| dictionary as Arc<dyn Dictionary>)
    }

    fn read_ids(&self, column: ColumnAt, rows: Range<u32>, ids: &mut Vec<u32>) -> bool {
        ids.clear();
        for (block, part) in self.blocks.over(rows) {
            let held = &block.columns[column.0];
            match held.values.get() {
                Values::Ids(narrow) if held.ends.is_none() => narrow.append_to(part, ids),
                _ => {
                    ids.clear();
                    return false;
                }
            }
        }
        self.dictionaries[column.0].is_some()
    }

    fn read_values(&self, column: ColumnAt, rows: Range<u32>, out: &mut Column) {
        let mut ids = vec![];
        for (block, part) in self.blocks.over(rows) {
            let held = &block.columns[column.0];
            let values = held.value_range(&part);
            if let (Some(ends), Some(out_ends)) = (&held.ends, &mut out.ends) {
                let base = out.data.len() as u32;
                let first = values.start as u32;
                out_ends.extend(ends[part.start + 1..=part.end].iter().map(|end| base + (end - first)));
            }
            match (held.values.get(), &self.dictionaries[column.0]) {
                (Values::Raw(data), _) => append_data(&mut out.data, data, values),
                (Values::Ids(narrow), Some(dictionary)) => {
                    ids.clear();
                    narrow.append_to(values, &mut ids);
                    dictionary.decode(&ids, &mut out.data);
                }
                (Values::Ids(_), None) => unreachable!("rows with ids keep their dictionary"),
            }
        }
    }

    fn raw_texts(&self, column: ColumnAt) -> Option<Vec<&BytesColumn>> {
        let (data_type, single_value) = self.layout.columns[column.0];
        if !single_value || !matches!(data_type.stored(), Stored::Str | Stored::Bytes) {
            return None;
        }
        let texts =
            self.blocks.over(0..self.meta.rows).map(|(block, part)| match block.columns[column.0].values.get() {
                Values::Raw(ColumnData::Str(texts) | ColumnData::Bytes(texts)) if part.len() == texts.len() => {
                    Some(texts)
                }
                _ => None,
            });
        texts.collect()
    }

    fn span(&self, column: ColumnAt, rows: Range<u32>) -> Option<Span> {
        // Blocks of the tail come and go: looking at them costs what reading them costs.
        if rows.end > self.frozen_rows() {
            return None;
        }
        let mut spans = self.blocks.over(rows).map(|(block, _)| block.columns[column.0].span());
        let first = spans.next()??;
        spans.try_fold(first, |all, span| match (all, span?) {
            (Span::Ids(a, b), Span::Ids(c, d)) => Some(Span::Ids(a.min(c), b.max(d))),
            (Span::Numbers(a, b), Span::Numbers(c, d)) => Some(Span::Numbers(a.min(c), b.max(d))),
            // Some by id, some raw.
            _ => None,
        })
    }

    fn read_nulls(&self, column: ColumnAt, rows: Range<u32>, out: &mut Vec<u32>) {
        if self.stats[column.0].nulls > 0 {
            for (block, part) in self.blocks.over(rows) {
                let (from, to) = (block.start() + part.start as u32, block.start() + part.end as u32);
                out.extend(block.columns[column.0].nulls.range(from..to));
            }
        }
    }

    fn index_answer(&self, column: ColumnAt, predicate: &Predicate) -> Answer {
        match predicate {
            Predicate::IsNull => Answer::Exact(self.nulls(column)),
            Predicate::IsNotNull => Answer::Exact(self.all_rows() - self.nulls(column)),
            _ => {
                let (_, single_value) = self.layout.columns[column.0];
                let Some(dictionary) = &self.dictionaries[column.0] else { return Answer::CannotHelp };
                // Where all rows have ids, a predicate that no value or every value passes needs no row.
                if !single_value || self.stats[column.0].cardinality.is_none() {
                    return Answer::CannotHelp;
                }
                match dictionary.matching(predicate).len() {
                    0 => Answer::Exact(RoaringBitmap::new()),
                    passing if passing == u64::from(dictionary.len()) => Answer::Exact(self.all_rows()),
                    _ => Answer::CannotHelp,
                }
            }
        }
    }

    fn damage(&self) -> Option<String> {
        self.source.as_ref().and_then(Source::damage)
    }

    fn look_again(&self) -> Option<String> {
        self.source.as_ref().and_then(Source::look_again)
    }
}
