//! One column into its regions: dictionary or raw, packed, with indexes and statistics.
//!
//! The rule of storage: a column asked to be raw is raw. Else it has a dictionary, unless more than one value in eight is
//! distinct and raw takes fewer bytes; columns that are sorted or inverted need their dictionary and keep it.

use super::{
    Source, dictionary,
    load::{self, LentTexts, Loaded},
    order::RowOrder,
};
use crate::{
    ColumnInfo, ColumnStats, Segment, SegmentError,
    layout::{Pieces, RegionKind, byte_count, directory::ColumnOut, ints::IntsWriter, text},
};
use roaring::RoaringBitmap;
use std::sync::Arc;
use weir_indexes::{
    IndexError, InvertedIndex, RangeIndex, SortedRanges,
    range::{f32_key, f64_key},
};
use weir_types::{ColumnData, Value};

/// How a column is to be stored.
#[derive(Default)]
pub(super) struct Wanted {
    pub(super) name: Arc<str>,
    pub(super) dictionary: bool,
    pub(super) needs_dictionary: bool,
    pub(super) inverted: bool,
    pub(super) range: bool,
}

/// One distinct value in so many: a dictionary that is fuller is kept only where it is smaller.
const DENSE: usize = 8;
/// Dictionaries of this few values are kept whatever the column's length.
const FEW: usize = 256;

/// A column in the form in which it is written; raw values with their region and their span.
enum Chosen {
    Ids { dictionary: ColumnData, ids: Vec<u32> },
    Values { data: ColumnData, region: (RegionKind, Pieces), span: Span },
    Texts { count: usize, region: (RegionKind, Pieces), span: Span },
}

/// Smallest and greatest value, and whether the values ascend.
type Span = (Option<(Value, Value)>, bool);

impl Chosen {
    fn values(data: ColumnData) -> Self {
        let (region, span) = (raw(&data), span(&data));
        Self::Values { data, region, span }
    }

    fn texts(texts: &LentTexts<'_>) -> Self {
        let region = (RegionKind::Text, text::encode(texts.iter()));
        Self::Texts { count: texts.len(), region, span: texts_span(texts) }
    }
}

struct Encoder<'a> {
    wanted: Wanted,
    rows: u32,
    ends: Option<Vec<u32>>,
    regions: Vec<(RegionKind, Pieces)>,
    failures: &'a mut Vec<String>,
}

/// Encodes a column of frozen rows.
pub(super) fn column(
    segment: &dyn Segment,
    info: &ColumnInfo,
    wanted: Wanted,
    order: Option<&RowOrder>,
    failures: &mut Vec<String>,
) -> Result<ColumnOut, SegmentError> {
    let name = wanted.name.clone();
    let source = Source { segment, info, name: &name };
    // Where rows are moved, values are copied anyway.
    let loaded = match order {
        Some(order) => order.apply(load::column(source)?),
        None => load::lent(source)?,
    };
    let nulls = loaded.nulls;
    let mut encoder = Encoder { wanted, rows: segment.meta().rows, ends: loaded.ends, regions: vec![], failures };
    let mut stats = match encoder.choose(loaded.values) {
        Chosen::Ids { dictionary, ids } => encoder.ids(&dictionary, &ids),
        Chosen::Values { data, region, span } => encoder.values(data.len(), || keys(&data), region, span),
        Chosen::Texts { count, region, span } => encoder.values(count, || None, region, span),
    };
    stats.nulls = nulls.len() as u32;
    if let Some(ends) = &encoder.ends {
        let ends: Vec<i64> = ends[1..].iter().map(|end| i64::from(*end)).collect();
        encoder.regions.push((RegionKind::Ends, IntsWriter::encode(&ends, true)));
    }
    if !nulls.is_empty() {
        let mut rows: RoaringBitmap = nulls.into_iter().collect();
        rows.optimize();
        let mut bytes = vec![];
        rows.serialize_into(&mut bytes).expect("a vector takes every byte");
        encoder.regions.push((RegionKind::Nulls, vec![bytes]));
    }
    let regions = encoder.regions;
    Ok(ColumnOut { name, data_type: info.data_type, single_value: info.single_value, stats, regions })
}

impl Encoder<'_> {
    /// Ids of a sorted dictionary, or values, by the rule at the head.
    fn choose(&self, loaded: Loaded<'_>) -> Chosen {
        let (dictionary, mut ids, data) = match loaded {
            Loaded::Ids { dictionary, ids } if self.wanted.dictionary => (dictionary, ids, None),
            Loaded::Ids { dictionary, ids } => return Chosen::values(dictionary::gather(&dictionary, &ids)),
            Loaded::Values { data } if self.wanted.dictionary => {
                let most = if self.wanted.needs_dictionary { usize::MAX } else { most_distinct(&data) };
                match dictionary::encode(&data, most) {
                    Some((dictionary, ids)) => (dictionary, ids, Some(data)),
                    None => return Chosen::values(data),
                }
            }
            Loaded::Values { data } => return Chosen::values(data),
            Loaded::Texts(texts) if self.wanted.dictionary => {
                let most = if self.wanted.needs_dictionary { usize::MAX } else { FEW.max(texts.len() / 2) };
                match dictionary::of_texts(texts.len(), || texts.iter(), most) {
                    Some((dictionary, ids)) => (texts.typed(dictionary), ids, None),
                    None => return Chosen::texts(&texts),
                }
            }
            Loaded::Texts(texts) => return Chosen::texts(&texts),
        };
        let dictionary = dictionary::sort(dictionary, &mut ids);
        if self.keeps_at_once(dictionary.len(), ids.len()) {
            return Chosen::Ids { dictionary, ids };
        }
        let data = data.unwrap_or_else(|| dictionary::gather(&dictionary, &ids));
        let region = raw(&data);
        if byte_count(&region.1) >= dictionary_bytes(&dictionary, &ids) {
            return Chosen::Ids { dictionary, ids };
        }
        // The dictionary that is not kept still tells smallest, greatest and order.
        let span = (min_max(&dictionary), ids.is_sorted());
        Chosen::Values { data, region, span }
    }

    fn keeps_at_once(&self, distinct: usize, values: usize) -> bool {
        self.wanted.needs_dictionary || distinct <= FEW.max(values / DENSE)
    }

    fn ids(&mut self, dictionary: &ColumnData, ids: &[u32]) -> ColumnStats {
        let cardinality = dictionary.len() as u32;
        match dictionary {
            ColumnData::Str(v) | ColumnData::Bytes(v) => {
                let (ends, bytes) = v.parts();
                self.regions.push((RegionKind::Dictionary, vec![bytes.to_vec()]));
                let ends = little_endian(ends, |end| end.to_le_bytes());
                self.regions.push((RegionKind::DictionaryEnds, vec![ends]));
            }
            numbers => self.regions.push((RegionKind::Dictionary, vec![plain(numbers)])),
        }
        self.regions.push((RegionKind::Ids, IntsWriter::encode_ids(ids)));
        let sorted = self.ends.is_none() && ids.is_sorted();
        let ends = self.ends.take();
        if sorted {
            self.index("sorted ranges", RegionKind::Sorted, SortedRanges::build(cardinality, ids));
        }
        if self.wanted.inverted && !sorted {
            let built = InvertedIndex::build(cardinality, ids, ends.as_deref());
            self.index("inverted index", RegionKind::Inverted, built);
        }
        if self.wanted.range && !sorted {
            let keys: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
            self.index("range index", RegionKind::Range, RangeIndex::build(&keys, ends.as_deref()));
        }
        self.ends = ends;
        let min_max = min_max(dictionary);
        ColumnStats { min_max, cardinality: Some(cardinality), nulls: 0, values: ids.len() as u64, sorted }
    }

    /// Raw values; `keys` gives their order keys where they are numbers.
    fn values(
        &mut self,
        count: usize,
        keys: impl Fn() -> Option<Vec<i64>>,
        region: (RegionKind, Pieces),
        span: Span,
    ) -> ColumnStats {
        self.regions.push(region);
        if self.wanted.inverted {
            let why = IndexError::new("inverted index", "it needs a dictionary and the column has none");
            self.index("inverted index", RegionKind::Inverted, Err(why));
        }
        if self.wanted.range {
            let built = match keys() {
                Some(keys) => RangeIndex::build(&keys, self.ends.as_deref()),
                None => Err(IndexError::new("range index", "on text it needs a dictionary and the column has none")),
            };
            self.index("range index", RegionKind::Range, built);
        }
        let (min_max, ascending) = span;
        let sorted = ascending && self.ends.is_none() && self.rows > 0;
        ColumnStats { min_max, cardinality: None, nulls: 0, values: count as u64, sorted }
    }

    fn index(&mut self, what: &str, kind: RegionKind, built: Result<Vec<u8>, IndexError>) {
        match built {
            Ok(bytes) => self.regions.push((kind, vec![bytes])),
            Err(error) => self.failures.push(format!("column {}: no {what}: {error}", self.wanted.name)),
        }
    }
}

fn little_endian<T, const N: usize>(values: &[T], bytes: impl Fn(&T) -> [u8; N]) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.len() * N);
    values.iter().for_each(|value| out.extend_from_slice(&bytes(value)));
    out
}

/// Numbers one after the other.
fn plain(data: &ColumnData) -> Vec<u8> {
    match data {
        ColumnData::Int(v) => little_endian(v, |v| v.to_le_bytes()),
        ColumnData::Long(v) => little_endian(v, |v| v.to_le_bytes()),
        ColumnData::Float(v) => little_endian(v, |v| v.to_le_bytes()),
        ColumnData::Double(v) => little_endian(v, |v| v.to_le_bytes()),
        ColumnData::Str(v) | ColumnData::Bytes(v) => v.parts().1.to_vec(),
    }
}

/// The raw region of values. Whole numbers are packed where that saves a tenth; less is not worth the unpacking.
fn raw(data: &ColumnData) -> (RegionKind, Pieces) {
    let packed = match data {
        ColumnData::Int(v) => {
            let wide: Vec<i64> = v.iter().map(|v| i64::from(*v)).collect();
            IntsWriter::encode(&wide, true)
        }
        ColumnData::Long(v) => IntsWriter::encode(v, true),
        ColumnData::Float(_) | ColumnData::Double(_) => return (RegionKind::Plain, vec![plain(data)]),
        ColumnData::Str(v) | ColumnData::Bytes(v) => return (RegionKind::Text, text::encode(v.iter())),
    };
    let width = if matches!(data, ColumnData::Int(_)) { 4 } else { 8 };
    if byte_count(&packed) < data.len() * width / 10 * 9 {
        (RegionKind::Ints, packed)
    } else {
        (RegionKind::Plain, vec![plain(data)])
    }
}

/// First and last value of a sorted dictionary.
fn min_max(dictionary: &ColumnData) -> Option<(Value, Value)> {
    let last = dictionary.len().checked_sub(1)?;
    Some((dictionary.get(0), dictionary.get(last)))
}

/// Distinct values up to which a dictionary may be the smaller form. Beyond half distinct, ids beside the values never
/// are; whole numbers that pack well are smaller raw from the first value beyond one in eight, which spares most of the
/// hashing and all of the sorting.
fn most_distinct(data: &ColumnData) -> usize {
    let count = data.len();
    let span = |min: i64, max: i64| u64::BITS - max.wrapping_sub(min).cast_unsigned().leading_zeros();
    let (width, raw_bits) = match data {
        ColumnData::Int(v) => {
            let (min, max) = v.iter().fold((i32::MAX, i32::MIN), |(min, max), v| (min.min(*v), max.max(*v)));
            (4, span(min.into(), max.into()))
        }
        ColumnData::Long(v) => {
            let (min, max) = v.iter().fold((i64::MAX, i64::MIN), |(min, max), v| (min.min(*v), max.max(*v)));
            (8, span(min, max))
        }
        _ => return FEW.max(count / 2),
    };
    let fewest = FEW.max(count / DENSE);
    // Bits of a value: its share of the dictionary and an id that tells so many apart.
    let by_id = 8 * width / DENSE as u32 + fewest.ilog2();
    if raw_bits <= by_id { fewest } else { FEW.max(count / 2) }
}

fn dictionary_bytes(dictionary: &ColumnData, ids: &[u32]) -> usize {
    let values = match dictionary {
        ColumnData::Str(v) | ColumnData::Bytes(v) => v.byte_count() + 4 * (v.len() + 1),
        ColumnData::Int(v) => 4 * v.len(),
        ColumnData::Float(v) => 4 * v.len(),
        ColumnData::Long(v) => 8 * v.len(),
        ColumnData::Double(v) => 8 * v.len(),
    };
    values + byte_count(&IntsWriter::encode_ids(ids))
}

/// Order keys of numbers.
fn keys(data: &ColumnData) -> Option<Vec<i64>> {
    Some(match data {
        ColumnData::Int(v) => v.iter().map(|v| i64::from(*v)).collect(),
        ColumnData::Long(v) => v.clone(),
        ColumnData::Float(v) => v.iter().map(|v| f32_key(*v)).collect(),
        ColumnData::Double(v) => v.iter().map(|v| f64_key(*v)).collect(),
        ColumnData::Str(_) | ColumnData::Bytes(_) => return None,
    })
}

/// Smallest and greatest value, and whether the values ascend.
fn span(data: &ColumnData) -> Span {
    if data.is_empty() {
        return (None, false);
    }
    fn of(count: usize, less: impl Fn(usize, usize) -> bool) -> (usize, usize, bool) {
        let (mut min, mut max, mut ascending) = (0, 0, true);
        for at in 1..count {
            if less(at, min) {
                min = at;
            }
            if less(max, at) {
                max = at;
            }
            ascending &= !less(at, at - 1);
        }
        (min, max, ascending)
    }
    let (min, max, ascending) = match data {
        ColumnData::Int(v) => of(v.len(), |a, b| v[a] < v[b]),
        ColumnData::Long(v) => of(v.len(), |a, b| v[a] < v[b]),
        ColumnData::Float(v) => of(v.len(), |a, b| v[a].total_cmp(&v[b]).is_lt()),
        ColumnData::Double(v) => of(v.len(), |a, b| v[a].total_cmp(&v[b]).is_lt()),
        ColumnData::Str(v) | ColumnData::Bytes(v) => of(v.len(), |a, b| v.get(a) < v.get(b)),
    };
    (Some((data.get(min), data.get(max))), ascending)
}

/// What `span` says of values in memory.
fn texts_span(texts: &LentTexts<'_>) -> Span {
    let mut all = texts.iter();
    let Some(first) = all.next() else { return (None, false) };
    let (mut min, mut max, mut last, mut ascending) = (first, first, first, true);
    for text in all {
        min = min.min(text);
        max = max.max(text);
        ascending &= last <= text;
        last = text;
    }
    (Some((texts.value(min), texts.value(max))), ascending)
}
