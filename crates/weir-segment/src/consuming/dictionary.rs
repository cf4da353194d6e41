//! A consuming column's dictionary: values in order of arrival, only growing, in immutable pieces that snapshots share.
//!
//! The writer alone owns the hash index. A snapshot is a prefix of the values; what readers work out over all values
//! (ids that pass a predicate, the Arrow array) is remembered with the length it was worked out for, and extended.

use super::{
    block::{append_data, reserve},
    recent::{Recent, Short},
    tiers::{Piece, Tiers},
};
use crate::{
    scan::{compare::Test, values_array},
    segment::Dictionary,
};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType as ArrowType;
use hashbrown::HashTable;
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use std::{mem::size_of, ops::Range, sync::Arc};
use weir_indexes::Predicate;
use weir_types::{BytesColumn, ColumnData, DataType, Stored, Value};
use xxhash_rust::xxh3::xxh3_64;

/// Predicates whose matching ids are remembered per column: a dashboard's worth; each costs a bitmap over the ids.
const REMEMBERED_PREDICATES: usize = 16;

/// Buffers of an Arrow text array before it is built anew: `take` clones the list, so it must stay short.
const ARROW_BUFFERS: usize = 16;

/// Values of consecutive ids.
#[derive(Debug)]
pub(super) struct Values {
    start: u32,
    data: ColumnData,
}

impl Piece for Values {
    fn start(&self) -> u32 {
        self.start
    }
    fn items(&self) -> u32 {
        self.data.len() as u32
    }
    fn bytes(&self) -> usize {
        self.data.allocated() + size_of::<Self>()
    }
}

fn merge_pieces(pieces: &[Arc<Values>]) -> Values {
    let mut data = ColumnData::new(pieces[0].data.stored());
    reserve(&mut data, pieces.iter().map(|piece| &piece.data));
    pieces.iter().for_each(|piece| append_data(&mut data, &piece.data, 0..piece.data.len()));
    Values { start: pieces[0].start, data }
}

/// Appends the values of ids, which are below the length of `values`.
pub(super) fn decode(values: &Tiers<Values>, ids: &[u32], out: &mut ColumnData) {
    let mut held: Option<&Values> = None;
    for id in ids {
        let piece = match held {
            Some(piece) if *id >= piece.start && ((*id - piece.start) as usize) < piece.data.len() => piece,
            _ => values.find(*id),
        };
        held = Some(piece);
        let at = (*id - piece.start) as usize;
        match (&mut *out, &piece.data) {
            (ColumnData::Int(out), ColumnData::Int(v)) => out.push(v[at]),
            (ColumnData::Long(out), ColumnData::Long(v)) => out.push(v[at]),
            (ColumnData::Float(out), ColumnData::Float(v)) => out.push(v[at]),
            (ColumnData::Double(out), ColumnData::Double(v)) => out.push(v[at]),
            (ColumnData::Str(out), ColumnData::Str(v)) | (ColumnData::Bytes(out), ColumnData::Bytes(v)) => {
                out.push(v.get(at));
            }
            (out, data) => panic!("a {:?} column cannot take {:?} values", out.stored(), data.stored()),
        }
    }
}

/// Finds the id of a value. Numbers stand in the table themselves (floats by their bits); of text 32 bits of hash, and
/// beside the table the short texts that came lately.
#[derive(Debug)]
enum Index {
    Narrow(HashTable<(u32, u32)>),
    Wide(HashTable<(u64, u32)>),
    Text(HashTable<(u32, u32)>, Recent),
}

pub(super) fn mix(bits: u64) -> u64 {
    let product = u128::from(bits ^ 0x9E37_79B9_7F4A_7C15) * u128::from(0xD6E8_FEB8_6659_FD93_u64);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The table reads the low bits and the top seven: both must come from the 32 bits that an entry keeps.
fn spread(hash: u32) -> u64 {
    (u64::from(hash) << 32) | u64::from(hash)
}

/// The writer's side.
#[derive(Debug)]
pub(super) struct DictionaryWriter {
    data_type: DataType,
    values: Tiers<Values>,
    /// Values of ids from `values.end()`, not yet published.
    open: ColumnData,
    index: Index,
    shared: Arc<Shared>,
    published: Option<Arc<SnapshotDictionary>>,
}

impl DictionaryWriter {
    /// An empty one.
    pub(super) fn new(data_type: DataType) -> Self {
        let stored = data_type.stored();
        let index = match stored {
            Stored::Int | Stored::Float => Index::Narrow(HashTable::new()),
            Stored::Long | Stored::Double => Index::Wide(HashTable::new()),
            Stored::Str | Stored::Bytes => Index::Text(HashTable::new(), Recent::default()),
        };
        Self {
            data_type,
            values: Tiers::default(),
            open: ColumnData::new(stored),
            index,
            shared: Arc::default(),
            published: None,
        }
    }

    /// How many values.
    pub(super) fn len(&self) -> u32 {
        self.values.end() + self.open.len() as u32
    }

    /// Appends the ids of a column's values, giving new values the next ids. Returns where in `open` the new ones start.
    pub(super) fn encode(&mut self, data: &ColumnData, ids: &mut Vec<u32>) -> usize {
        let (base, first_new) = (self.values.end(), self.open.len());
        ids.reserve(data.len());
        match (&mut self.index, &mut self.open, data) {
            (Index::Narrow(table), ColumnData::Int(open), ColumnData::Int(v)) => {
                encode_fixed(table, v, |v| v as u32, |bits| mix(bits.into()), base, open, ids);
            }
            (Index::Narrow(table), ColumnData::Float(open), ColumnData::Float(v)) => {
                encode_fixed(table, v, f32::to_bits, |bits| mix(bits.into()), base, open, ids);
            }
            (Index::Wide(table), ColumnData::Long(open), ColumnData::Long(v)) => {
                encode_fixed(table, v, |v| v as u64, mix, base, open, ids);
            }
            (Index::Wide(table), ColumnData::Double(open), ColumnData::Double(v)) => {
                encode_fixed(table, v, f64::to_bits, mix, base, open, ids);
            }
            (Index::Text(table, recent), ColumnData::Str(open), ColumnData::Str(v))
            | (Index::Text(table, recent), ColumnData::Bytes(open), ColumnData::Bytes(v)) => {
                encode_text(table, recent, v, &self.values, base, open, ids);
            }
            (_, open, data) => panic!("a {:?} column cannot take {:?} values", open.stored(), data.stored()),
        }
        first_new
    }

    /// The values not yet published.
    pub(super) fn open(&self) -> &ColumnData {
        &self.open
    }

    /// Publishes the new values: from here on they never move.
    pub(super) fn close(&mut self) {
        if !self.open.is_empty() {
            let stored = self.open.stored();
            let mut data = std::mem::replace(&mut self.open, ColumnData::new(stored));
            data.shrink_to_fit();
            self.values.push(Values { start: self.values.end(), data }, merge_pieces);
        }
    }

    /// Appends values that are published at once and are not in the index yet.
    pub(super) fn extend(&mut self, data: ColumnData) {
        debug_assert!(self.open.is_empty(), "all values were published before");
        self.open = data;
        self.close();
    }

    /// Makes the index anew, of the published values.
    pub(super) fn index(&mut self) {
        let len = self.values.end() as usize;
        match &mut self.index {
            Index::Narrow(table) | Index::Text(table, _) => *table = HashTable::with_capacity(len),
            Index::Wide(table) => *table = HashTable::with_capacity(len),
        }
        for piece in self.values.pieces() {
            let ids = piece.start..;
            match (&mut self.index, &piece.data) {
                (Index::Narrow(table), ColumnData::Int(v)) => {
                    index_fixed(table, ids.zip(v.iter().map(|v| *v as u32)), |bits| mix(bits.into()));
                }
                (Index::Narrow(table), ColumnData::Float(v)) => {
                    index_fixed(table, ids.zip(v.iter().map(|v| v.to_bits())), |bits| mix(bits.into()));
                }
                (Index::Wide(table), ColumnData::Long(v)) => {
                    index_fixed(table, ids.zip(v.iter().map(|v| *v as u64)), mix);
                }
                (Index::Wide(table), ColumnData::Double(v)) => {
                    index_fixed(table, ids.zip(v.iter().map(|v| v.to_bits())), mix);
                }
                (Index::Text(table, _), ColumnData::Str(v) | ColumnData::Bytes(v)) => {
                    index_fixed(table, ids.zip(v.iter().map(|value| xxh3_64(value) as u32)), spread);
                }
                (_, data) => panic!("an index does not stand over {:?} values", data.stored()),
            }
        }
    }

    /// No value will be asked for any more: the hash index goes.
    pub(super) fn stop(&mut self) {
        self.index = Index::Narrow(HashTable::new());
    }

    /// The published values.
    pub(super) fn values(&self) -> &Tiers<Values> {
        &self.values
    }

    /// The published values for readers; the same as last time if none came since.
    pub(super) fn snapshot(&mut self) -> Arc<SnapshotDictionary> {
        let len = self.values.end();
        match &self.published {
            Some(published) if published.len == len => published.clone(),
            _ => {
                let snapshot = Arc::new(SnapshotDictionary {
                    data_type: self.data_type,
                    values: self.values.clone(),
                    len,
                    shared: self.shared.clone(),
                });
                self.published = Some(snapshot.clone());
                snapshot
            }
        }
    }

    /// Bytes held, the index included.
    pub(super) fn bytes(&self) -> usize {
        let index = match &self.index {
            Index::Narrow(table) => table.allocation_size(),
            Index::Text(table, recent) => table.allocation_size() + recent.bytes(),
            Index::Wide(table) => table.allocation_size(),
        };
        self.values.bytes() + self.open.allocated() + index
    }
}

/// Values that are looked up side by side: each stage asks memory for all of them before the next needs what came, so that
/// the ways through a table that is larger than a core's caches overlap. More would push each other out.
const SIDE_BY_SIDE: usize = 32;

fn encode_fixed<T: Copy, B: Copy + Eq>(
    table: &mut HashTable<(B, u32)>,
    values: &[T],
    bits: impl Fn(T) -> B,
    hash: impl Fn(B) -> u64,
    base: u32,
    open: &mut Vec<T>,
    ids: &mut Vec<u32>,
) {
    let mut last: Option<(B, u32)> = None;
    let mut known = [None; SIDE_BY_SIDE];
    for values in values.chunks(SIDE_BY_SIDE) {
        for (known, value) in known.iter_mut().zip(values) {
            let wanted = bits(*value);
            if last.is_none_or(|(bits, _)| bits != wanted) {
                last = table.find(hash(wanted), |(bits, _)| *bits == wanted).copied();
            }
            *known = last.map(|(_, id)| id);
        }
        ids.extend(values.iter().zip(known).map(|(value, known)| match known {
            Some(id) => id,
            None => {
                let wanted = bits(*value);
                let found = table.entry(hash(wanted), |(bits, _)| *bits == wanted, |(bits, _)| hash(*bits));
                let new = found.or_insert_with(|| {
                    let id = base + open.len() as u32;
                    open.push(*value);
                    (wanted, id)
                });
                new.get().1
            }
        }));
    }
}

fn index_fixed<B: Copy>(
    table: &mut HashTable<(B, u32)>,
    values: impl Iterator<Item = (u32, B)>,
    hash: impl Fn(B) -> u64,
) {
    for (id, bits) in values {
        table.insert_unique(hash(bits), (bits, id), |(bits, _)| hash(*bits));
    }
}

/// A text that the recent ones did not have.
#[derive(Clone, Copy, Default)]
struct Sought<'a> {
    value: &'a [u8],
    /// Where its id belongs.
    at: usize,
    hash: u32,
    /// The id of a text with this hash.
    id: Option<u32>,
}

fn encode_text(
    table: &mut HashTable<(u32, u32)>,
    recent: &mut Recent,
    values: &BytesColumn,
    published: &Tiers<Values>,
    base: u32,
    open: &mut BytesColumn,
    ids: &mut Vec<u32>,
) {
    let count = values.len();
    let mut sought = [Sought::default(); SIDE_BY_SIDE];
    for from in (0..count).step_by(SIDE_BY_SIDE) {
        let mut unknown = 0;
        for value in (from..count.min(from + SIDE_BY_SIDE)).map(|at| values.get(at)) {
            let known = Short::of(value).and_then(|short| recent.id(short));
            if known.is_none() {
                sought[unknown] = Sought { value, at: ids.len(), hash: xxh3_64(value) as u32, id: None };
                unknown += 1;
            }
            ids.push(known.unwrap_or_default());
        }
        let sought = &mut sought[..unknown];
        for one in &mut *sought {
            one.id = table.find(spread(one.hash), |(hash, _)| *hash == one.hash).map(|(_, id)| *id);
        }
        let mut texts = [&[] as &[u8]; SIDE_BY_SIDE];
        for (text, one) in texts.iter_mut().zip(&*sought) {
            *text = one.id.map_or(&[], |id| text_of(id, published, base, open));
        }
        // Memory is asked for the text itself; only then is it compared whole.
        let begins =
            |(text, one): (&&[u8], &Sought<'_>)| text.len() == one.value.len() && text.first() == one.value.first();
        let mut same = [false; SIDE_BY_SIDE];
        same.iter_mut().zip(texts.iter().zip(&*sought)).for_each(|(same, pair)| *same = begins(pair));
        same.iter_mut().zip(texts.iter().zip(&*sought)).for_each(|(same, (text, one))| *same &= *text == one.value);
        for (one, same) in sought.iter().zip(same) {
            let id = match one.id {
                Some(id) if same => id,
                // New, or its hash is that of another text too.
                _ => id_of(table, one, published, base, open),
            };
            ids[one.at] = id;
            if let Some(short) = Short::of(one.value) {
                recent.keep(short, id);
            }
        }
    }
}

/// The id of a text, which is given one where it is new.
fn id_of(
    table: &mut HashTable<(u32, u32)>,
    sought: &Sought<'_>,
    published: &Tiers<Values>,
    base: u32,
    open: &mut BytesColumn,
) -> u32 {
    let same = |entry: &(u32, u32)| entry.0 == sought.hash && text_of(entry.1, published, base, open) == sought.value;
    if let Some((_, id)) = table.find(spread(sought.hash), same) {
        return *id;
    }
    let id = base + open.len() as u32;
    open.push(sought.value);
    table.insert_unique(spread(sought.hash), (sought.hash, id), |(hash, _)| spread(*hash));
    id
}

fn text_of<'a>(id: u32, published: &'a Tiers<Values>, base: u32, open: &'a BytesColumn) -> &'a [u8] {
    if id >= base {
        return open.get((id - base) as usize);
    }
    let piece = published.find(id);
    match &piece.data {
        ColumnData::Str(v) | ColumnData::Bytes(v) => v.get((id - piece.start) as usize),
        _ => unreachable!("a text index stands over text"),
    }
}

/// What readers worked out, for all snapshots of a dictionary.
#[derive(Debug, Default)]
struct Shared {
    /// The ids below a length that pass a predicate, the longest unextended first: that one makes room.
    matches: Mutex<Vec<(Predicate, u32, Arc<RoaringBitmap>)>>,
    /// The longest array so far.
    array: Mutex<Option<ArrayRef>>,
}

/// A prefix of a consuming column's dictionary.
#[derive(Debug)]
pub struct SnapshotDictionary {
    data_type: DataType,
    values: Tiers<Values>,
    len: u32,
    shared: Arc<Shared>,
}

impl SnapshotDictionary {
    /// Appends the values of ids.
    pub(super) fn decode(&self, ids: &[u32], out: &mut ColumnData) {
        decode(&self.values, ids, out);
    }

    /// The values of ids below its length.
    pub(super) fn data_of(&self, ids: Range<u32>) -> ColumnData {
        let mut data = ColumnData::new(self.data_type.stored());
        for (piece, part) in self.values.over(ids) {
            append_data(&mut data, &piece.data, part);
        }
        data
    }

    fn array_of(&self, from: u32) -> ArrayRef {
        values_array(self.data_of(from..self.len), self.data_type)
    }
}

fn buffers(array: &ArrayRef) -> usize {
    match array.data_type() {
        ArrowType::Utf8View => array.as_string_view().data_buffers().len(),
        ArrowType::BinaryView => array.as_binary_view().data_buffers().len(),
        _ => 0,
    }
}

impl Dictionary for SnapshotDictionary {
    fn len(&self) -> u32 {
        self.len
    }

    fn sorted(&self) -> bool {
        false
    }

    fn value(&self, id: u32) -> Value {
        let piece = self.values.find(id);
        piece.data.get((id - piece.start) as usize)
    }

    fn matching(&self, predicate: &Predicate) -> RoaringBitmap {
        let known = self.shared.matches.lock().iter().find(|known| known.0 == *predicate).cloned();
        let (known_len, mut ids) = known.map_or((0, RoaringBitmap::new()), |(_, len, ids)| (len, (*ids).clone()));
        if known_len >= self.len {
            ids.remove_range(self.len..);
            return ids;
        }
        let test = Test::new(self.data_type.stored(), predicate);
        let mut passes = vec![];
        for (piece, part) in self.values.over(known_len..self.len) {
            passes.clear();
            test.evaluate(&piece.data, part.clone(), &mut passes);
            let first = piece.start + part.start as u32;
            let passing = (first..).zip(&passes).filter_map(|(id, passes)| passes.then_some(id));
            ids.append(passing).expect("ids ascend from piece to piece");
        }
        let mut matches = self.shared.matches.lock();
        match matches.iter().position(|known| known.0 == *predicate) {
            Some(at) if matches[at].1 >= self.len => {}
            Some(at) => {
                matches.remove(at);
                matches.push((predicate.clone(), self.len, Arc::new(ids.clone())));
            }
            None => {
                if matches.len() >= REMEMBERED_PREDICATES {
                    matches.remove(0);
                }
                matches.push((predicate.clone(), self.len, Arc::new(ids.clone())));
            }
        }
        ids
    }

    fn arrow(&self) -> ArrayRef {
        let known = self.shared.array.lock().clone();
        let array = match known {
            Some(known) if known.len() >= self.len as usize => return known.slice(0, self.len as usize),
            Some(known) if buffers(&known) < ARROW_BUFFERS => {
                let more = self.array_of(known.len() as u32);
                arrow::compute::concat(&[&*known, &*more]).unwrap_or_else(|_| self.array_of(0))
            }
            _ => self.array_of(0),
        };
        let mut shared = self.shared.array.lock();
        if shared.as_ref().is_none_or(|known| known.len() < array.len()) {
            *shared = Some(array.clone());
        }
        array
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Ids number the texts as they first came, whatever their lengths and however they share slots.
        #[test]
        fn texts_have_the_id_of_their_first_arrival(batches in prop::collection::vec(prop::collection::vec("[ab]{0,5}[a-z]{0,15}", 0..40), 1..6)) {
            let mut dictionary = DictionaryWriter::new(DataType::String);
            let mut known: HashMap<String, u32> = HashMap::new();
            for batch in &batches {
                let mut texts = BytesColumn::default();
                batch.iter().chain(batch).for_each(|text| texts.push(text.as_bytes()));
                let mut ids = vec![];
                dictionary.encode(&ColumnData::Str(texts), &mut ids);
                for (text, id) in batch.iter().chain(batch).zip(&ids) {
                    let next = known.len() as u32;
                    prop_assert_eq!(*id, *known.entry(text.clone()).or_insert(next));
                }
                dictionary.close();
            }
        }
    }
}
