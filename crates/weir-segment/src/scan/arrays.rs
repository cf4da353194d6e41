//! Columns as Arrow arrays: which type each logical type has, numbers and text moved without a copy.

use arrow::{
    array::{
        Array, ArrayRef, BinaryViewArray, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, ListArray,
        StringViewArray, TimestampMillisecondArray, builder::make_view,
    },
    buffer::{Buffer, OffsetBuffer, ScalarBuffer},
    datatypes::{DataType as ArrowType, Field, TimeUnit},
};
use std::sync::Arc;
use weir_types::{BytesColumn, Column, ColumnData, DataType};

/// The Arrow type in which a scan returns a column: numbers as such, BOOLEAN as Boolean, TIMESTAMP in milliseconds
/// without zone, STRING, JSON, MAP and BIG_DECIMAL as Utf8View, BYTES and UUID as BinaryView; multi-value columns as
/// lists of those (nullable elements named `item`, none of them null).
#[must_use]
pub fn arrow_type(data_type: DataType, single_value: bool) -> ArrowType {
    let one = match data_type {
        DataType::Int => ArrowType::Int32,
        DataType::Long => ArrowType::Int64,
        DataType::Float => ArrowType::Float32,
        DataType::Double => ArrowType::Float64,
        DataType::Boolean => ArrowType::Boolean,
        DataType::Timestamp => ArrowType::Timestamp(TimeUnit::Millisecond, None),
        DataType::String | DataType::Json | DataType::Map | DataType::BigDecimal => ArrowType::Utf8View,
        DataType::Bytes | DataType::Uuid => ArrowType::BinaryView,
    };
    if single_value { one } else { ArrowType::List(Arc::new(Field::new("item", one, true))) }
}

fn views(column: BytesColumn) -> (ScalarBuffer<u128>, Vec<Buffer>) {
    let (offsets, data) = column.into_parts();
    let view = |ends: &[u32]| make_view(&data[ends[0] as usize..ends[1] as usize], 0, ends[0]);
    let views: Vec<u128> = offsets.windows(2).map(view).collect();
    (views.into(), vec![Buffer::from_vec(data)])
}

/// Bytes that one buffer of a view array may hold: its positions are signed 32-bit numbers by the format.
const VIEW_BUFFER_BYTES: usize = i32::MAX as usize;

fn text_array(column: BytesColumn) -> ArrayRef {
    if column.byte_count() > VIEW_BUFFER_BYTES {
        return Arc::new(StringViewArray::from_iter_values(column.iter().map(String::from_utf8_lossy)));
    }
    let (views, buffers) = views(column);
    Arc::new(StringViewArray::try_new(views, buffers, None).expect("text columns hold UTF-8: who pushed had checked"))
}

fn bytes_array(column: BytesColumn) -> ArrayRef {
    if column.byte_count() > VIEW_BUFFER_BYTES {
        return Arc::new(BinaryViewArray::from_iter_values(column.iter()));
    }
    let (views, buffers) = views(column);
    Arc::new(BinaryViewArray::try_new(views, buffers, None).expect("the views were made from this buffer"))
}

/// Values as an array of `arrow_type(data_type, true)`; `data` is in the stored form of `data_type`.
///
/// # Panics
/// If it is not.
#[must_use]
pub fn values_array(data: ColumnData, data_type: DataType) -> ArrayRef {
    match (data, data_type) {
        (ColumnData::Int(v), DataType::Boolean) => Arc::new(v.iter().map(|v| Some(*v != 0)).collect::<BooleanArray>()),
        (ColumnData::Int(v), DataType::Int) => Arc::new(Int32Array::from(v)),
        (ColumnData::Long(v), DataType::Timestamp) => Arc::new(TimestampMillisecondArray::from(v)),
        (ColumnData::Long(v), DataType::Long) => Arc::new(Int64Array::from(v)),
        (ColumnData::Float(v), DataType::Float) => Arc::new(Float32Array::from(v)),
        (ColumnData::Double(v), DataType::Double) => Arc::new(Float64Array::from(v)),
        (ColumnData::Str(v), DataType::String | DataType::Json | DataType::Map | DataType::BigDecimal) => text_array(v),
        (ColumnData::Bytes(v), DataType::Bytes | DataType::Uuid) => bytes_array(v),
        (data, data_type) => panic!("{:?} values are not the stored form of {data_type}", data.stored()),
    }
}

/// A column as an array of `arrow_type(data_type, column.ends.is_none())`; its nulls are not looked at.
pub(super) fn column_array(column: Column, data_type: DataType) -> ArrayRef {
    let values = values_array(column.data, data_type);
    match column.ends {
        None => values,
        Some(ends) => {
            let ends: Vec<i32> =
                ends.into_iter().map(|end| i32::try_from(end).expect("a batch holds less than 2 G values")).collect();
            let item = Arc::new(Field::new("item", values.data_type().clone(), true));
            Arc::new(ListArray::new(item, OffsetBuffer::new(ends.into()), values, None))
        }
    }
}
