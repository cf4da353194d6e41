//! The dictionary of a sealed column, read from the mapped file: values in ascending order.

use crate::{Dictionary, SegmentError};
use arrow::array::{
    ArrayRef, BinaryViewArray, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, StringViewArray,
    TimestampMillisecondArray,
};
use roaring::RoaringBitmap;
use std::{
    cmp::Ordering,
    ops::{Bound, Range},
    sync::{Arc, OnceLock},
};
use weir_base::Mapped;
use weir_indexes::{Predicate, bytes::u32_at};
use weir_types::{ColumnData, DataType, Stored, Value};

/// Values by id, over mapped bytes that `open` has checked.
pub(super) struct SealedDictionary {
    file: Mapped,
    values: Range<usize>,
    ends: Option<Range<usize>>,
    data_type: DataType,
    len: u32,
    arrow: OnceLock<ArrayRef>,
}

impl SealedDictionary {
    /// Checks sizes and positions.
    pub(super) fn open(
        file: &Mapped,
        values: Range<usize>,
        ends: Option<Range<usize>>,
        data_type: DataType,
        len: u32,
        place: &str,
    ) -> Result<Self, SegmentError> {
        let bad = |problem: &str| SegmentError::corrupt(place, problem);
        let count = len as usize;
        match (data_type.stored(), &ends) {
            (Stored::Int | Stored::Float, _) if values.len() == 4 * count => {}
            (Stored::Long | Stored::Double, _) if values.len() == 8 * count => {}
            (Stored::Str | Stored::Bytes, Some(ends)) if ends.len() == 4 * (count + 1) => {
                let mut last = 0;
                for id in 0..=count {
                    let end = u32_at(&file[ends.clone()], 4 * id).ok_or_else(|| bad("its positions are cut off"))?;
                    if end < last || end as usize > values.len() || (id == 0 && end != 0) {
                        return Err(bad("its positions are out of order"));
                    }
                    last = end;
                }
            }
            _ => return Err(bad("its size does not fit its cardinality")),
        }
        Ok(Self { file: file.clone(), values, ends, data_type, len, arrow: OnceLock::new() })
    }

    fn fixed<const N: usize>(&self, id: u32) -> [u8; N] {
        let at = self.values.start + N * id as usize;
        self.file[at..at + N].try_into().expect("a slice of the wanted length")
    }

    pub(super) fn int(&self, id: u32) -> i32 {
        i32::from_le_bytes(self.fixed(id))
    }

    pub(super) fn long(&self, id: u32) -> i64 {
        i64::from_le_bytes(self.fixed(id))
    }

    pub(super) fn float(&self, id: u32) -> f32 {
        f32::from_le_bytes(self.fixed(id))
    }

    pub(super) fn double(&self, id: u32) -> f64 {
        f64::from_le_bytes(self.fixed(id))
    }

    pub(super) fn bytes(&self, id: u32) -> &[u8] {
        let ends = &self.file[self.ends.clone().unwrap_or(0..0)];
        let at = 4 * id as usize;
        let start = u32_at(ends, at).expect("positions were checked when the segment was opened");
        let end = u32_at(ends, at + 4).expect("positions were checked when the segment was opened");
        &self.file[self.values.clone()][start as usize..end as usize]
    }

    /// Appends the values of ids.
    pub(super) fn gather(&self, ids: &[u32], out: &mut ColumnData) {
        match out {
            ColumnData::Int(v) => v.extend(ids.iter().map(|id| self.int(*id))),
            ColumnData::Long(v) => v.extend(ids.iter().map(|id| self.long(*id))),
            ColumnData::Float(v) => v.extend(ids.iter().map(|id| self.float(*id))),
            ColumnData::Double(v) => v.extend(ids.iter().map(|id| self.double(*id))),
            ColumnData::Str(v) | ColumnData::Bytes(v) => ids.iter().for_each(|id| v.push(self.bytes(*id))),
        }
    }

    fn compare(&self, id: u32, value: &Value) -> Ordering {
        match (self.data_type.stored(), value) {
            (Stored::Int, Value::Int(v)) => self.int(id).cmp(v),
            (Stored::Long, Value::Long(v)) => self.long(id).cmp(v),
            (Stored::Float, Value::Float(v)) => self.float(id).total_cmp(v),
            (Stored::Double, Value::Double(v)) => self.double(id).total_cmp(v),
            (Stored::Str, Value::Str(v)) => self.bytes(id).cmp(v.as_bytes()),
            (Stored::Bytes, Value::Bytes(v)) => self.bytes(id).cmp(v),
            (stored, value) => (stored as u8).cmp(&(value.stored() as u8)),
        }
    }

    /// The first id whose value is not below `value`, and the first above it.
    fn place_of(&self, value: &Value) -> Range<u32> {
        let first = |passes: &dyn Fn(Ordering) -> bool| {
            let (mut low, mut high) = (0, self.len);
            while low < high {
                let middle = low + (high - low) / 2;
                if passes(self.compare(middle, value)) { low = middle + 1 } else { high = middle }
            }
            low
        };
        first(&Ordering::is_lt)..first(&Ordering::is_le)
    }

    /// The ids between two bounds.
    pub(super) fn between(&self, lower: &Bound<Value>, upper: &Bound<Value>) -> Range<u32> {
        let start = match lower {
            Bound::Unbounded => 0,
            Bound::Included(value) => self.place_of(value).start,
            Bound::Excluded(value) => self.place_of(value).end,
        };
        let end = match upper {
            Bound::Unbounded => self.len,
            Bound::Included(value) => self.place_of(value).end,
            Bound::Excluded(value) => self.place_of(value).start,
        };
        start..end.max(start)
    }
}

impl Dictionary for SealedDictionary {
    fn len(&self) -> u32 {
        self.len
    }

    fn sorted(&self) -> bool {
        true
    }

    fn value(&self, id: u32) -> Value {
        match self.data_type.stored() {
            Stored::Int => Value::Int(self.int(id)),
            Stored::Long => Value::Long(self.long(id)),
            Stored::Float => Value::Float(self.float(id)),
            Stored::Double => Value::Double(self.double(id)),
            Stored::Str => Value::Str(String::from_utf8_lossy(self.bytes(id)).into()),
            Stored::Bytes => Value::Bytes(self.bytes(id).into()),
        }
    }

    fn matching(&self, predicate: &Predicate) -> RoaringBitmap {
        let mut ids = RoaringBitmap::new();
        match predicate {
            Predicate::Eq(value) | Predicate::NotEq(value) => {
                ids.insert_range(self.place_of(value));
            }
            Predicate::In(values) | Predicate::NotIn(values) => values.iter().for_each(|value| {
                ids.insert_range(self.place_of(value));
            }),
            Predicate::Range { lower, upper } => {
                ids.insert_range(self.between(lower, upper));
            }
            Predicate::IsNull | Predicate::IsNotNull => {}
        }
        if matches!(predicate, Predicate::NotEq(_) | Predicate::NotIn(_)) {
            let mut others = RoaringBitmap::new();
            others.insert_range(0..self.len);
            return others - ids;
        }
        ids
    }

    fn arrow(&self) -> ArrayRef {
        let ids = || 0..self.len;
        let make = || -> ArrayRef {
            match self.data_type {
                DataType::Boolean => Arc::new(BooleanArray::from_iter(ids().map(|id| Some(self.int(id) != 0)))),
                DataType::Timestamp => {
                    Arc::new(TimestampMillisecondArray::from_iter_values(ids().map(|id| self.long(id))))
                }
                _ => match self.data_type.stored() {
                    Stored::Int => Arc::new(Int32Array::from_iter_values(ids().map(|id| self.int(id)))),
                    Stored::Long => Arc::new(Int64Array::from_iter_values(ids().map(|id| self.long(id)))),
                    Stored::Float => Arc::new(Float32Array::from_iter_values(ids().map(|id| self.float(id)))),
                    Stored::Double => Arc::new(Float64Array::from_iter_values(ids().map(|id| self.double(id)))),
                    Stored::Str => {
                        let texts = ids().map(|id| String::from_utf8_lossy(self.bytes(id)));
                        Arc::new(StringViewArray::from_iter_values(texts))
                    }
                    Stored::Bytes => Arc::new(BinaryViewArray::from_iter_values(ids().map(|id| self.bytes(id)))),
                },
            }
        };
        self.arrow.get_or_init(make).clone()
    }
}
