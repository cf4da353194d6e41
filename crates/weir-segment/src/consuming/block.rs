//! An immutable run of rows in columns: narrow dictionary ids or raw values, ends of multi-value rows, null rows.

use super::{chunk::Lent, tiers::Piece};
use crate::segment::Span;
use roaring::RoaringBitmap;
use std::{
    mem::size_of,
    ops::Range,
    sync::{Arc, OnceLock},
};
use weir_types::{ColumnData, Stored};

/// Dictionary ids in the narrowest form that holds them.
#[derive(Debug)]
pub(super) enum Ids {
    /// All below 2^8.
    U8(Vec<u8>),
    /// All below 2^16.
    U16(Vec<u16>),
    /// Any.
    U32(Vec<u32>),
}

impl Ids {
    /// Narrows ids.
    pub(super) fn new(ids: &[u32]) -> Self {
        let most = ids.iter().fold(0, |most, id| most.max(*id));
        if most <= u32::from(u8::MAX) {
            Self::U8(ids.iter().map(|id| *id as u8).collect())
        } else if most <= u32::from(u16::MAX) {
            Self::U16(ids.iter().map(|id| *id as u16).collect())
        } else {
            Self::U32(ids.to_vec())
        }
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::U8(ids) => ids.len(),
            Self::U16(ids) => ids.len(),
            Self::U32(ids) => ids.len(),
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::U8(_) => 1,
            Self::U16(_) => 2,
            Self::U32(_) => 4,
        }
    }

    fn allocated(&self) -> usize {
        match self {
            Self::U8(ids) => ids.capacity(),
            Self::U16(ids) => ids.capacity() * size_of::<u16>(),
            Self::U32(ids) => ids.capacity() * size_of::<u32>(),
        }
    }

    /// Appends the ids at these positions.
    pub(super) fn append_to(&self, at: Range<usize>, out: &mut Vec<u32>) {
        match self {
            Self::U8(ids) => out.extend(ids[at].iter().map(|id| u32::from(*id))),
            Self::U16(ids) => out.extend(ids[at].iter().map(|id| u32::from(*id))),
            Self::U32(ids) => out.extend_from_slice(&ids[at]),
        }
    }

    fn merge(parts: &[&Self]) -> Self {
        let total = parts.iter().map(|ids| ids.len()).sum();
        let width = parts.iter().map(|ids| ids.width()).max().unwrap_or(1);
        let mut merged = match width {
            1 => Self::U8(Vec::with_capacity(total)),
            2 => Self::U16(Vec::with_capacity(total)),
            _ => Self::U32(Vec::with_capacity(total)),
        };
        for part in parts {
            match (&mut merged, part) {
                (Self::U8(out), Self::U8(ids)) => out.extend_from_slice(ids),
                (Self::U16(out), Self::U8(ids)) => out.extend(ids.iter().map(|id| u16::from(*id))),
                (Self::U16(out), Self::U16(ids)) => out.extend_from_slice(ids),
                (Self::U32(out), ids) => ids.append_to(0..ids.len(), out),
                (Self::U8(_) | Self::U16(_), _) => unreachable!("the widest part gave the width"),
            }
        }
        merged
    }
}

/// A column's values in a block.
#[derive(Debug)]
pub(super) enum Values {
    /// Ids of the segment's dictionary of the column.
    Ids(Ids),
    /// The values themselves.
    Raw(ColumnData),
}

impl Values {
    /// How many.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Ids(ids) => ids.len(),
            Self::Raw(data) => data.len(),
        }
    }
}

/// A column's values as a block holds them: in memory, or lent until somebody asks for them.
#[derive(Debug)]
pub(super) enum Held {
    /// They are there.
    Own(Values),
    /// They are read when they are first asked for.
    Lent(Lent, OnceLock<Values>),
}

impl Held {
    /// The values.
    pub(super) fn get(&self) -> &Values {
        match self {
            Self::Own(values) => values,
            Self::Lent(lent, read) => read.get_or_init(|| lent.read()),
        }
    }

    /// Whether they are ids of the dictionary.
    pub(super) fn by_id(&self) -> bool {
        match self {
            Self::Own(values) => matches!(values, Values::Ids(_)),
            Self::Lent(lent, _) => lent.by_id(),
        }
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Own(values) => values.len(),
            Self::Lent(lent, _) => lent.len(),
        }
    }

    /// Bytes of memory; of lent ones, those that they take once they were asked for.
    fn bytes(&self) -> usize {
        match self {
            Self::Own(Values::Ids(ids)) => ids.allocated(),
            Self::Own(Values::Raw(data)) => data.allocated(),
            Self::Lent(lent, _) => lent.byte_count(),
        }
    }
}

/// One column of a block.
#[derive(Debug)]
pub(super) struct ColumnBlock {
    /// One per row, or as `ends` says.
    pub(super) values: Held,
    /// For a multi-value column: `rows + 1` positions in the values, the first 0.
    pub(super) ends: Option<Vec<u32>>,
    /// Null rows, numbered in the segment.
    pub(super) nulls: RoaringBitmap,
    span: OnceLock<Option<Span>>,
}

impl ColumnBlock {
    /// Values, the positions of a multi-value column, and null rows.
    pub(super) fn new(values: Held, ends: Option<Vec<u32>>, nulls: RoaringBitmap) -> Self {
        Self { values, ends, nulls, span: OnceLock::new() }
    }

    /// Between what ids or whole numbers lie, one for each row, that are in memory; looked at once. Nobody skips by it what
    /// a damaged file holds.
    pub(super) fn span(&self) -> Option<Span> {
        let Held::Own(values) = &self.values else { return None };
        let look = || match values {
            _ if self.ends.is_some() => None,
            Values::Ids(Ids::U8(ids)) => least_greatest(ids).map(|(a, b)| Span::Ids(a.into(), b.into())),
            Values::Ids(Ids::U16(ids)) => least_greatest(ids).map(|(a, b)| Span::Ids(a.into(), b.into())),
            Values::Ids(Ids::U32(ids)) => least_greatest(ids).map(|(a, b)| Span::Ids(a, b)),
            Values::Raw(ColumnData::Int(v)) => least_greatest(v).map(|(a, b)| Span::Numbers(a.into(), b.into())),
            Values::Raw(ColumnData::Long(v)) => least_greatest(v).map(|(a, b)| Span::Numbers(a, b)),
            Values::Raw(_) => None,
        };
        *self.span.get_or_init(look)
    }

    /// Positions of the values of these rows of the block.
    pub(super) fn value_range(&self, rows: &Range<usize>) -> Range<usize> {
        self.ends.as_ref().map_or(rows.clone(), |ends| ends[rows.start] as usize..ends[rows.end] as usize)
    }

    fn bytes(&self) -> usize {
        let ends = self.ends.as_ref().map_or(0, |ends| ends.capacity() * size_of::<u32>());
        self.values.bytes() + ends + nulls_bytes(&self.nulls) + size_of::<Self>()
    }
}

fn least_greatest<T: Ord + Copy>(values: &[T]) -> Option<(T, T)> {
    let first = *values.first()?;
    Some(values.iter().fold((first, first), |(least, greatest), value| (least.min(*value), greatest.max(*value))))
}

/// Bytes of memory that rows keep: their containers hold about what they serialize to, each with a head.
pub(super) fn nulls_bytes(rows: &RoaringBitmap) -> usize {
    const HEAD: usize = 40;
    if rows.is_empty() { 0 } else { rows.serialized_size() + HEAD * rows.statistics().n_containers as usize }
}

/// Bytes of values, without the room for more.
pub(super) fn data_bytes(data: &ColumnData) -> usize {
    match data {
        ColumnData::Int(v) => v.len() * size_of::<i32>(),
        ColumnData::Long(v) => v.len() * size_of::<i64>(),
        ColumnData::Float(v) => v.len() * size_of::<f32>(),
        ColumnData::Double(v) => v.len() * size_of::<f64>(),
        ColumnData::Str(v) | ColumnData::Bytes(v) => v.byte_count() + (v.len() + 1) * size_of::<u32>(),
    }
}

/// Appends values of the same kind.
pub(super) fn append_data(out: &mut ColumnData, data: &ColumnData, at: Range<usize>) {
    match (out, data) {
        (ColumnData::Int(out), ColumnData::Int(v)) => out.extend_from_slice(&v[at]),
        (ColumnData::Long(out), ColumnData::Long(v)) => out.extend_from_slice(&v[at]),
        (ColumnData::Float(out), ColumnData::Float(v)) => out.extend_from_slice(&v[at]),
        (ColumnData::Double(out), ColumnData::Double(v)) => out.extend_from_slice(&v[at]),
        (ColumnData::Str(out), ColumnData::Str(v)) | (ColumnData::Bytes(out), ColumnData::Bytes(v)) => {
            out.extend_from(v, at);
        }
        (out, data) => panic!("a {:?} column cannot take {:?} values", out.stored(), data.stored()),
    }
}

/// Makes room for these values, so that appending them moves nothing.
pub(super) fn reserve<'a>(out: &mut ColumnData, parts: impl Iterator<Item = &'a ColumnData>) {
    let (values, bytes) = parts.fold((0, 0), |(values, bytes), data| match data {
        ColumnData::Str(v) | ColumnData::Bytes(v) => (values + v.len(), bytes + v.byte_count()),
        numbers => (values + numbers.len(), bytes),
    });
    match out {
        ColumnData::Int(out) => out.reserve_exact(values),
        ColumnData::Long(out) => out.reserve_exact(values),
        ColumnData::Float(out) => out.reserve_exact(values),
        ColumnData::Double(out) => out.reserve_exact(values),
        ColumnData::Str(out) | ColumnData::Bytes(out) => out.reserve(values, bytes),
    }
}

/// A run of rows.
#[derive(Debug)]
pub(super) struct Block {
    start: u32,
    rows: u32,
    /// In the order of the segment's columns.
    pub(super) columns: Vec<ColumnBlock>,
    bytes: usize,
}

impl Block {
    /// Rows `start..start + rows` of a segment.
    pub(super) fn new(start: u32, rows: u32, columns: Vec<ColumnBlock>) -> Self {
        let bytes = size_of::<Self>() + columns.iter().map(ColumnBlock::bytes).sum::<usize>();
        Self { start, rows, columns, bytes }
    }

    /// Its rows in the segment.
    pub(super) fn rows(&self) -> Range<u32> {
        self.start..self.end()
    }

    /// One past its last row in the segment.
    pub(super) fn end(&self) -> u32 {
        self.start + self.rows
    }

    /// Blocks that follow one another as one. A column that is stored as ids in some and raw in others becomes raw:
    /// `decode(column, ids, out)` looks the ids up.
    pub(super) fn merge(
        blocks: &[Arc<Self>],
        kinds: &[Stored],
        decode: impl Fn(usize, &[u32], &mut ColumnData),
    ) -> Self {
        let columns = (0..kinds.len())
            .map(|column| {
                let parts: Vec<&ColumnBlock> = blocks.iter().map(|block| &block.columns[column]).collect();
                ColumnBlock::new(
                    Held::Own(merge_values(&parts, kinds[column], |ids, out| decode(column, ids, out))),
                    merge_ends(&parts),
                    parts.iter().fold(RoaringBitmap::new(), |all, part| all | &part.nulls),
                )
            })
            .collect();
        Self::new(blocks[0].start, blocks.iter().map(|block| block.rows).sum(), columns)
    }
}

impl Piece for Block {
    fn start(&self) -> u32 {
        self.start
    }
    fn items(&self) -> u32 {
        self.rows
    }
    fn bytes(&self) -> usize {
        self.bytes
    }
}

fn merge_values(parts: &[&ColumnBlock], kind: Stored, decode: impl Fn(&[u32], &mut ColumnData)) -> Values {
    let all_ids: Option<Vec<&Ids>> = parts
        .iter()
        .map(|part| match part.values.get() {
            Values::Ids(ids) => Some(ids),
            Values::Raw(_) => None,
        })
        .collect();
    if let Some(ids) = all_ids {
        return Values::Ids(Ids::merge(&ids));
    }
    let mut merged = ColumnData::new(kind);
    let raw = parts.iter().filter_map(|part| match part.values.get() {
        Values::Raw(data) => Some(data),
        Values::Ids(_) => None,
    });
    reserve(&mut merged, raw);
    for part in parts {
        match part.values.get() {
            Values::Raw(data) => append_data(&mut merged, data, 0..data.len()),
            Values::Ids(ids) => {
                let mut wide = Vec::with_capacity(ids.len());
                ids.append_to(0..ids.len(), &mut wide);
                decode(&wide, &mut merged);
            }
        }
    }
    Values::Raw(merged)
}

fn merge_ends(parts: &[&ColumnBlock]) -> Option<Vec<u32>> {
    parts[0].ends.as_ref()?;
    let mut merged = vec![0];
    for ends in parts.iter().filter_map(|part| part.ends.as_ref()) {
        let base = merged[merged.len() - 1];
        merged.extend(ends[1..].iter().map(|end| base + end));
    }
    Some(merged)
}
