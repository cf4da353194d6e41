//! The columns of a batch, each ready to give the value of a row.

use super::size::written_out;
use crate::{
    coerce::{self, Source},
    json::text::quote,
    row::RowWriter,
    times::{date, time_of_day},
};
use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{
        DataType as Arrow, Date32Type, Date64Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type,
        Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType,
        Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use base64::Engine as _;
use std::fmt::Write as _;
use weir_types::{DataType, RowBatch};

const DAY_MS: i64 = 86_400_000;
/// How deep lists and structs nest, as for JSON.
const MAX_DEPTH: u32 = 128;

/// One column of a batch.
pub(super) struct Cells {
    array: ArrayRef,
    kind: Kind,
}

enum Kind {
    /// One value, as the array's type says.
    Scalar,
    /// Lists, with their items.
    List(Box<Cells>),
    Struct(Vec<(String, Cells)>),
    /// Keys and values of the entries.
    Map(Box<Cells>, Box<Cells>),
}

impl Cells {
    /// Resolves dictionaries and runs, which may take so many bytes; `Err`: a type that is not read.
    pub(super) fn new(array: &ArrayRef, depth: u32, room: &mut u64) -> Result<Self, String> {
        if depth > MAX_DEPTH {
            return Err("values nest deeper than 128 levels".to_owned());
        }
        if let Some(bytes) = written_out(array) {
            let left = room.checked_sub(bytes);
            *room = left.ok_or("its values, written out, take more bytes than arrow.allocator.limit allows")?;
        }
        let resolved = |to: &Arrow| cast(array, to).map_err(|error| error.to_string());
        let array = match array.data_type() {
            Arrow::Dictionary(_, values) => resolved(values)?,
            Arrow::RunEndEncoded(_, values) => resolved(values.data_type())?,
            Arrow::ListView(item) => resolved(&Arrow::List(item.clone()))?,
            Arrow::LargeListView(item) => resolved(&Arrow::LargeList(item.clone()))?,
            _ => array.clone(),
        };
        let kind = match array.data_type() {
            Arrow::List(_) => Kind::List(Box::new(Self::new(array.as_list::<i32>().values(), depth + 1, room)?)),
            Arrow::LargeList(_) => Kind::List(Box::new(Self::new(array.as_list::<i64>().values(), depth + 1, room)?)),
            Arrow::FixedSizeList(_, _) => {
                Kind::List(Box::new(Self::new(array.as_fixed_size_list().values(), depth + 1, room)?))
            }
            Arrow::Struct(fields) => {
                let columns = fields.iter().zip(array.as_struct().columns());
                let children =
                    columns.map(|(field, child)| Ok((field.name().clone(), Self::new(child, depth + 1, room)?)));
                Kind::Struct(children.collect::<Result<_, String>>()?)
            }
            Arrow::Map(_, _) => {
                let map = array.as_map();
                let (keys, values) =
                    (Self::new(map.keys(), depth + 1, room)?, Self::new(map.values(), depth + 1, room)?);
                Kind::Map(Box::new(keys), Box::new(values))
            }
            Arrow::Union(_, _) | Arrow::Interval(_) => {
                return Err(format!("the type {} is not read", array.data_type()));
            }
            _ => Kind::Scalar,
        };
        Ok(Self { array, kind })
    }

    /// Gives the value of a row to a column; null gives nothing.
    pub(super) fn fill(
        &self,
        at: usize,
        row: &mut RowWriter,
        rows: &mut RowBatch,
        column: u32,
        (text, json): (&mut String, &mut Vec<u8>),
    ) {
        if self.array.is_null(at) {
            return;
        }
        let data_type = row.data_type(column);
        match &self.kind {
            Kind::Scalar => {
                if let Some(source) = self.scalar(at, data_type, text) {
                    row.value(rows, column, source);
                }
            }
            Kind::List(items)
                if matches!(items.kind, Kind::Scalar) && !matches!(data_type, DataType::Json | DataType::Map) =>
            {
                row.list(rows, column);
                for item in self.range(at).filter(|item| items.array.is_valid(*item)) {
                    if let Some(source) = items.scalar(item, data_type, text) {
                        row.element(rows, column, source);
                    }
                }
            }
            _ => {
                json.clear();
                self.json(at, json, text);
                row.json(rows, column, json);
            }
        }
    }

    /// The items or entries of a row.
    fn range(&self, at: usize) -> std::ops::Range<usize> {
        let position = |position: i64| usize::try_from(position).unwrap_or_default();
        match self.array.data_type() {
            Arrow::List(_) => {
                let offsets = self.array.as_list::<i32>().value_offsets();
                position(offsets[at].into())..position(offsets[at + 1].into())
            }
            Arrow::LargeList(_) => {
                let offsets = self.array.as_list::<i64>().value_offsets();
                position(offsets[at])..position(offsets[at + 1])
            }
            Arrow::FixedSizeList(_, length) => {
                let length = position((*length).into());
                at * length..(at + 1) * length
            }
            Arrow::Map(_, _) => {
                let offsets = self.array.as_map().value_offsets();
                position(offsets[at].into())..position(offsets[at + 1].into())
            }
            _ => 0..0,
        }
    }

    /// One value that is not null; `text` holds it where it is written anew. `None` is null after all.
    fn scalar<'v>(&'v self, at: usize, data_type: DataType, text: &'v mut String) -> Option<Source<'v>> {
        let array = &self.array;
        text.clear();
        Some(match array.data_type() {
            Arrow::Boolean => Source::Bool(array.as_boolean().value(at)),
            Arrow::Int8 => Source::Integer(array.as_primitive::<Int8Type>().value(at).into()),
            Arrow::Int16 => Source::Integer(array.as_primitive::<Int16Type>().value(at).into()),
            Arrow::Int32 => Source::Integer(array.as_primitive::<Int32Type>().value(at).into()),
            Arrow::Int64 => Source::Integer(array.as_primitive::<Int64Type>().value(at)),
            Arrow::UInt8 => Source::Integer(array.as_primitive::<UInt8Type>().value(at).into()),
            Arrow::UInt16 => Source::Integer(array.as_primitive::<UInt16Type>().value(at).into()),
            Arrow::UInt32 => Source::Integer(array.as_primitive::<UInt32Type>().value(at).into()),
            Arrow::UInt64 => {
                let value = array.as_primitive::<UInt64Type>().value(at);
                match i64::try_from(value) {
                    Ok(value) => Source::Integer(value),
                    Err(_) => {
                        write!(text, "{value}").expect("a String takes every text");
                        Source::Decimal(text)
                    }
                }
            }
            Arrow::Float16 => Source::Float(array.as_primitive::<Float16Type>().value(at).to_f32()),
            Arrow::Float32 => Source::Float(array.as_primitive::<Float32Type>().value(at)),
            Arrow::Float64 => Source::Double(array.as_primitive::<Float64Type>().value(at)),
            Arrow::Utf8 => Source::Text(array.as_string::<i32>().value(at)),
            Arrow::LargeUtf8 => Source::Text(array.as_string::<i64>().value(at)),
            Arrow::Utf8View => Source::Text(array.as_string_view().value(at)),
            Arrow::Binary => Source::Bytes(array.as_binary::<i32>().value(at)),
            Arrow::LargeBinary => Source::Bytes(array.as_binary::<i64>().value(at)),
            Arrow::BinaryView => Source::Bytes(array.as_binary_view().value(at)),
            Arrow::FixedSizeBinary(_) => Source::Bytes(array.as_fixed_size_binary().value(at)),
            Arrow::Timestamp(unit, _) => Source::Timestamp(match unit {
                TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(at).saturating_mul(1000),
                TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(at),
                TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(at).div_euclid(1000),
                TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value(at).div_euclid(1_000_000),
            }),
            Arrow::Date32 => date(array.as_primitive::<Date32Type>().value(at).into(), data_type, false, text),
            Arrow::Date64 => {
                let ms = array.as_primitive::<Date64Type>().value(at);
                date(ms.div_euclid(DAY_MS), data_type, false, text)
            }
            Arrow::Time32(TimeUnit::Second) => {
                let value = array.as_primitive::<Time32SecondType>().value(at);
                time_of_day(value.into(), 1, data_type, false, text)
            }
            Arrow::Time32(_) => {
                let value = array.as_primitive::<Time32MillisecondType>().value(at);
                time_of_day(value.into(), 1000, data_type, false, text)
            }
            Arrow::Time64(TimeUnit::Microsecond) => {
                time_of_day(array.as_primitive::<Time64MicrosecondType>().value(at), 1_000_000, data_type, false, text)
            }
            Arrow::Time64(_) => {
                // Java's clock shows as much; a column of texts rarely wants more.
                let micros = array.as_primitive::<Time64NanosecondType>().value(at).div_euclid(1000);
                time_of_day(micros, 1_000_000, data_type, false, text)
            }
            Arrow::Decimal128(_, scale) => {
                decimal(&array.as_primitive::<Decimal128Type>().value(at).to_be_bytes(), *scale, text);
                Source::Decimal(text)
            }
            Arrow::Decimal256(_, scale) => {
                decimal(&array.as_primitive::<Decimal256Type>().value(at).to_be_bytes(), *scale, text);
                Source::Decimal(text)
            }
            _ => return None,
        })
    }

    /// Writes the value of a row as JSON text.
    fn json(&self, at: usize, out: &mut Vec<u8>, text: &mut String) {
        if self.array.is_null(at) {
            out.extend_from_slice(b"null");
            return;
        }
        match &self.kind {
            Kind::List(items) => {
                out.push(b'[');
                for (position, item) in self.range(at).enumerate() {
                    if position > 0 {
                        out.push(b',');
                    }
                    items.json(item, out, text);
                }
                out.push(b']');
            }
            Kind::Struct(children) => {
                out.push(b'{');
                for (position, (name, child)) in children.iter().enumerate() {
                    if position > 0 {
                        out.push(b',');
                    }
                    quote(name.as_bytes(), out);
                    out.push(b':');
                    child.json(at, out, text);
                }
                out.push(b'}');
            }
            Kind::Map(keys, values) => {
                out.push(b'{');
                for (position, entry) in self.range(at).enumerate() {
                    if position > 0 {
                        out.push(b',');
                    }
                    let start = out.len();
                    keys.json(entry, out, text);
                    if out[start] != b'"' {
                        let key = out.split_off(start);
                        quote(&key, out);
                    }
                    out.push(b':');
                    values.json(entry, out, text);
                }
                out.push(b'}');
            }
            Kind::Scalar => match self.scalar(at, DataType::Json, text) {
                None => out.extend_from_slice(b"null"),
                Some(Source::Text(text)) => quote(text.as_bytes(), out),
                Some(Source::Bytes(bytes)) => {
                    quote(base64::engine::general_purpose::STANDARD.encode(bytes).as_bytes(), out);
                }
                Some(source) => {
                    coerce::json(source, out);
                }
            },
        }
    }
}

/// Appends a decimal with all its digits: Arrow's own text leaves out those beyond the precision that the type has.
fn decimal(unscaled: &[u8], scale: i8, out: &mut String) {
    coerce::text::decimal_of_bytes(unscaled, scale.into(), out).expect("32 bytes and 128 places are below the bound");
}
