//! The shelf of functions that ingestion uses too, over Arrow arrays: one definition, read row by row. What a call's literals
//! are made into is kept from batch to batch.
//!
//! A call holds what it has made of the batch and what one row needs: the arena of a row is given back behind it.

use super::{
    PREFIX,
    bounded::{check_batch, check_value},
    convert::shared,
    fun::{given, rows_and_constants},
};
use crate::{
    provider::{pinot_field, pinot_type_of},
    stop,
};
use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryViewArray, BinaryViewBuilder, BooleanArray, BooleanBuilder, Float32Array,
        Float32Builder, Float64Array, Float64Builder, Int32Array, Int32Builder, Int64Array, Int64Builder, ListArray,
        NullBufferBuilder, StringViewArray, StringViewBuilder, TimestampMillisecondArray, TimestampMillisecondBuilder,
    },
    buffer::OffsetBuffer,
    compute::cast,
    datatypes::{
        DataType as ArrowType, Field, FieldRef, Float32Type, Float64Type, Int32Type, Int64Type, TimeUnit,
        TimestampMillisecondType,
    },
};
use datafusion::{
    common::{Result, ScalarValue, exec_err},
    error::DataFusionError,
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
};
use parking_lot::Mutex;
use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};
use weir_functions::{
    datum::{Arena, Datum, Fault, list},
    shelf::{self, Function, Gives, Kind, Prepared},
};
use weir_types::DataType;

/// What the names in plans begin with, behind the prefix of all functions of ours.
const MARK: &str = "f_";

/// Arguments that need no list of their own.
const FEW: usize = 6;

/// Bytes of a row's arena that are kept for the next row: what is larger was an exception.
const ARENA_KEPT: usize = 1 << 20;

/// The name in plans of a function of the shelf.
pub(crate) fn plan_name(function: &Function) -> String {
    format!("{PREFIX}{MARK}{}", function.name().to_lowercase())
}

/// The function of the shelf that a plan calls by this name.
fn of_plan(name: &str) -> Option<&'static Function> {
    shelf::function(name.strip_prefix(PREFIX)?.strip_prefix(MARK)?)
}

/// What a function of the shelf gives, by its name in plans, where it can be told from what `of` knows of its arguments.
pub(crate) fn kind_of(name: &str, of: impl Fn(usize) -> Option<Kind>) -> Option<Kind> {
    match of_plan(name)?.gives {
        Gives::One(data_type) => Some((data_type, true)),
        Gives::Many(data_type) => Some((data_type, false)),
        Gives::Number | Gives::Real => (0..2).filter_map(&of).find(|kind| *kind == (DataType::BigDecimal, true)),
        Gives::ListOfAll => None,
        Gives::Like(at) => of(at),
        Gives::ListOf(at) => of(at).map(|(data_type, _)| (data_type, false)),
        Gives::ItemOf(at) => of(at).map(|(data_type, _)| (data_type, true)),
    }
}

/// All functions of the shelf.
pub(super) fn udfs() -> impl Iterator<Item = ScalarUDF> {
    shelf::all().map(|function| {
        ScalarUDF::new_from_impl(Udf {
            function,
            name: plan_name(function),
            signature: Signature::user_defined(Volatility::Immutable),
            last: Mutex::new(None),
        })
    })
}

/// A function as DataFusion sees it.
#[derive(Debug)]
struct Udf {
    function: &'static Function,
    name: String,
    signature: Signature,
    /// What was made ready last: batches of one query have the same literals.
    last: Mutex<Option<Arc<Last>>>,
}

#[derive(Debug)]
struct Last {
    constants: Vec<Option<ScalarValue>>,
    prepared: Prepared,
}

impl PartialEq for Udf {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Udf {}

impl Hash for Udf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

fn refused(fault: Fault) -> DataFusionError {
    DataFusionError::Execution(fault.to_string())
}

/// The kind of a field; `None` where it holds nulls only.
fn kind_of_field(field: &Field) -> Option<Kind> {
    let noted = pinot_type_of(field);
    match noted.strip_suffix("_ARRAY") {
        Some(one) => Some((DataType::parse(one).unwrap_or(DataType::String), false)),
        None => DataType::parse(&noted).map(|data_type| (data_type, true)),
    }
}

impl Udf {
    fn field(&self, args: &[FieldRef]) -> Field {
        let kinds: Vec<Option<Kind>> = args.iter().map(|field| kind_of_field(field)).collect();
        let (data_type, single) = self.function.gives.of(&kinds);
        pinot_field(&self.name, data_type, single, true)
    }

    fn prepared(&self, constants: Vec<Option<ScalarValue>>, fields: &[FieldRef]) -> Result<Arc<Last>> {
        if let Some(last) = &*self.last.lock()
            && last.constants == constants
        {
            return Ok(last.clone());
        }
        let readers: Vec<Option<Reader>> = constants
            .iter()
            .zip(fields)
            .map(|(constant, field)| {
                constant.as_ref().map(|value| Reader::of(&value.to_array()?, kind_of_field(field))).transpose()
            })
            .collect::<Result<_>>()?;
        let arena = Arena::new();
        let data: Vec<Option<Datum<'_>>> =
            readers.iter().map(|reader| reader.as_ref().map(|reader| reader.at(0, &arena))).collect();
        let prepared = Prepared::new(self.function, &data).map_err(refused)?;
        let made = Arc::new(Last { constants, prepared });
        *self.last.lock() = Some(made.clone());
        Ok(made)
    }
}

impl ScalarUDFImpl for Udf {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[ArrowType]) -> Result<Vec<ArrowType>> {
        let count = arg_types.len();
        if !(self.function.least..=self.function.most).contains(&count) {
            let (name, arity) = (self.function.name(), self.function.arity());
            return datafusion::common::plan_err!("function {name} takes {arity} arguments, not {count}");
        }
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, arg_types: &[ArrowType]) -> Result<ArrowType> {
        let fields: Vec<FieldRef> =
            arg_types.iter().map(|data_type| Arc::new(Field::new("", data_type.clone(), true))).collect();
        Ok(self.field(&fields).data_type().clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(self.field(args.arg_fields)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (rows, constants) = rows_and_constants(&args);
        let ready = self.prepared(constants, &args.arg_fields)?;
        let readers: Vec<Column> = args
            .args
            .iter()
            .zip(&args.arg_fields)
            .map(|(arg, field)| Column::of(arg, kind_of_field(field)))
            .collect::<Result<_>>()?;
        let kind = kind_of_field(&args.return_field).unwrap_or((DataType::String, true));
        let call = if ready.prepared.at_a_time() > 1 { called_together } else { called };
        given(&args, call(self.function, &ready.prepared, &readers, rows, kind)?)
    }
}

/// The values of a call for each row.
fn called(function: &Function, prepared: &Prepared, args: &[Column], rows: usize, kind: Kind) -> Result<ArrayRef> {
    let mut writer = Writer::new(kind, rows);
    let mut arena = Arena::new();
    let mut bytes = 0_usize;
    for row in 0..rows {
        // A row may take long: the bounds of the shelf are those of a value, not of time.
        stop::look_here()?;
        let mut few = [Datum::Null; FEW];
        let mut many;
        let values = if args.len() <= FEW {
            &mut few[..args.len()]
        } else {
            many = vec![Datum::Null; args.len()];
            &mut many[..]
        };
        for (value, arg) in values.iter_mut().zip(args) {
            *value = arg.at(row, &arena);
        }
        taken(function, prepared.call(values, &arena), &mut bytes, &mut writer, &arena)?;
        if arena.allocated_bytes() > ARENA_KEPT { arena = Arena::new() } else { arena.reset() }
    }
    writer.finish(kind)
}

/// The same with a function that takes many rows for little more than one.
fn called_together(
    function: &Function,
    prepared: &Prepared,
    args: &[Column],
    rows: usize,
    kind: Kind,
) -> Result<ArrayRef> {
    let mut writer = Writer::new(kind, rows);
    let mut bytes = 0_usize;
    let at_a_time = prepared.at_a_time();
    for start in (0..rows).step_by(at_a_time) {
        stop::look_here()?;
        let arena = Arena::new();
        let here = start..rows.min(start + at_a_time);
        let mut values = Vec::with_capacity(here.len() * args.len());
        here.clone().for_each(|row| values.extend(args.iter().map(|arg| arg.at(row, &arena))));
        for made in prepared.call_rows(&values, here.len(), &arena) {
            taken(function, made, &mut bytes, &mut writer, &arena)?;
        }
    }
    writer.finish(kind)
}

/// Takes what a call has made, within the bounds of a value and of a batch.
fn taken<'a>(
    function: &Function,
    made: std::result::Result<Datum<'a>, Fault>,
    bytes: &mut usize,
    writer: &mut Writer,
    arena: &'a Arena,
) -> Result<()> {
    let made = match made {
        Ok(made) => made,
        Err(fault) if fault.is_too_long() => {
            return check_value(function.name(), usize::MAX).and_then(|()| Err(refused(fault)));
        }
        Err(fault) => return Err(refused(fault)),
    };
    *bytes += made.bytes_held();
    check_batch(function.name(), *bytes)?;
    writer.push(made, arena).map_err(refused)
}

/// An argument: a value for each row, or one for all.
struct Column {
    reader: Reader,
    same: bool,
}

impl Column {
    fn of(arg: &ColumnarValue, kind: Option<Kind>) -> Result<Self> {
        Ok(match arg {
            ColumnarValue::Scalar(value) => Self { reader: Reader::of(&value.to_array()?, kind)?, same: true },
            ColumnarValue::Array(array) => Self { reader: Reader::of(array, kind)?, same: false },
        })
    }

    fn at<'a>(&'a self, row: usize, arena: &'a Arena) -> Datum<'a> {
        self.reader.at(if self.same { 0 } else { row }, arena)
    }
}

/// An array whose values are read as the shelf takes them.
enum Reader {
    Nothing,
    Boolean(BooleanArray),
    Int(Int32Array),
    Long(Int64Array),
    Float(Float32Array),
    Double(Float64Array),
    Timestamp(TimestampMillisecondArray),
    Text(StringViewArray, fn(&str) -> Datum<'_>),
    Bytes(BinaryViewArray, fn(&[u8]) -> Datum<'_>),
    List(ListArray, Box<Self>),
}

fn uuid_or_bytes(bytes: &[u8]) -> Datum<'_> {
    bytes.try_into().map_or(Datum::Bytes(bytes), Datum::Uuid)
}

impl Reader {
    fn of(array: &ArrayRef, kind: Option<Kind>) -> Result<Self> {
        let text: fn(&str) -> Datum<'_> = match kind.map(|kind| kind.0) {
            Some(DataType::Json | DataType::Map) => |text| Datum::Json(text),
            Some(DataType::BigDecimal) => |text| Datum::Decimal(text),
            _ => |text| Datum::Text(text),
        };
        let bytes: fn(&[u8]) -> Datum<'_> =
            if kind.is_some_and(|kind| kind.0 == DataType::Uuid) { uuid_or_bytes } else { |bytes| Datum::Bytes(bytes) };
        let as_text = || Ok::<_, DataFusionError>(cast(array, &ArrowType::Utf8View)?.as_string_view().clone());
        Ok(match array.data_type() {
            ArrowType::Null => Self::Nothing,
            ArrowType::Boolean => Self::Boolean(array.as_boolean().clone()),
            ArrowType::Int32 => Self::Int(array.as_primitive::<Int32Type>().clone()),
            ArrowType::Float32 => Self::Float(array.as_primitive::<Float32Type>().clone()),
            ArrowType::Float64 => Self::Double(array.as_primitive::<Float64Type>().clone()),
            other if other.is_integer() => {
                Self::Long(cast(array, &ArrowType::Int64)?.as_primitive::<Int64Type>().clone())
            }
            ArrowType::Float16 => Self::Float(cast(array, &ArrowType::Float32)?.as_primitive::<Float32Type>().clone()),
            other if other.is_decimal() => Self::Text(as_text()?, |text| Datum::Decimal(text)),
            ArrowType::Timestamp(..) | ArrowType::Date32 | ArrowType::Date64 => {
                let times = cast(array, &ArrowType::Timestamp(TimeUnit::Millisecond, None))?;
                Self::Timestamp(times.as_primitive::<TimestampMillisecondType>().clone())
            }
            ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => Self::Text(as_text()?, text),
            ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView | ArrowType::FixedSizeBinary(_) => {
                Self::Bytes(cast(array, &ArrowType::BinaryView)?.as_binary_view().clone(), bytes)
            }
            ArrowType::Dictionary(_, values) => return Self::of(&cast(array, values)?, kind),
            ArrowType::List(_) => {
                let lists = array.as_list::<i32>().clone();
                let items = Self::of(lists.values(), kind)?;
                Self::List(lists, Box::new(items))
            }
            ArrowType::LargeList(item) | ArrowType::FixedSizeList(item, _) => {
                return Self::of(&cast(array, &ArrowType::List(item.clone()))?, kind);
            }
            other => return exec_err!("{other} is no argument of this function: cast it to STRING"),
        })
    }

    fn at<'a>(&'a self, row: usize, arena: &'a Arena) -> Datum<'a> {
        fn or_null<'a, A: Array>(array: &'a A, row: usize, value: impl FnOnce(&'a A) -> Datum<'a>) -> Datum<'a> {
            if array.is_valid(row) { value(array) } else { Datum::Null }
        }
        match self {
            Self::Nothing => Datum::Null,
            Self::Boolean(array) => or_null(array, row, |array| Datum::Bool(array.value(row))),
            Self::Int(array) => or_null(array, row, |array| Datum::Long(array.value(row).into())),
            Self::Long(array) => or_null(array, row, |array| Datum::Long(array.value(row))),
            Self::Float(array) => or_null(array, row, |array| Datum::Float(array.value(row))),
            Self::Double(array) => or_null(array, row, |array| Datum::Double(array.value(row))),
            Self::Timestamp(array) => or_null(array, row, |array| Datum::Timestamp(array.value(row))),
            Self::Text(array, text) => or_null(array, row, |array| text(array.value(row))),
            Self::Bytes(array, bytes) => or_null(array, row, |array| bytes(array.value(row))),
            Self::List(lists, items) => or_null(lists, row, |lists| {
                let ends = lists.value_offsets();
                list((ends[row] as usize..ends[row + 1] as usize).map(|at| items.at(at, arena)), arena)
            }),
        }
    }
}

/// An array of results while it is made.
enum Writer {
    Boolean(BooleanBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Float(Float32Builder),
    Double(Float64Builder),
    Timestamp(TimestampMillisecondBuilder),
    Text(StringViewBuilder),
    Bytes(BinaryViewBuilder),
    List { items: Box<Self>, ends: Vec<i32>, valid: NullBufferBuilder },
}

impl Writer {
    fn new((data_type, single): Kind, rows: usize) -> Self {
        if !single {
            let items = Box::new(Self::new((data_type, true), rows));
            return Self::List { items, ends: vec![0], valid: NullBufferBuilder::new(rows) };
        }
        match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            DataType::Int => Self::Int(Int32Builder::with_capacity(rows)),
            DataType::Long => Self::Long(Int64Builder::with_capacity(rows)),
            DataType::Float => Self::Float(Float32Builder::with_capacity(rows)),
            DataType::Double => Self::Double(Float64Builder::with_capacity(rows)),
            DataType::Timestamp => Self::Timestamp(TimestampMillisecondBuilder::with_capacity(rows)),
            DataType::String | DataType::Json | DataType::Map | DataType::BigDecimal => {
                Self::Text(StringViewBuilder::with_capacity(rows))
            }
            DataType::Bytes | DataType::Uuid => Self::Bytes(BinaryViewBuilder::with_capacity(rows)),
        }
    }

    fn push<'a>(&mut self, datum: Datum<'a>, arena: &'a Arena) -> std::result::Result<(), Fault> {
        let some = !datum.is_null();
        match self {
            Self::Boolean(made) => made.append_option(some.then(|| datum.truth()).transpose()?),
            Self::Int(made) => made.append_option(some.then(|| datum.int()).transpose()?),
            Self::Long(made) => made.append_option(some.then(|| datum.long()).transpose()?),
            Self::Float(made) => made.append_option(some.then(|| datum.double()).transpose()?.map(|n| n as f32)),
            Self::Double(made) => made.append_option(some.then(|| datum.double()).transpose()?),
            Self::Timestamp(made) => made.append_option(some.then(|| datum.millis()).transpose()?),
            Self::Text(made) => made.append_option(some.then(|| datum.text(arena))),
            Self::Bytes(made) => made.append_option(some.then(|| datum.bytes(arena)).transpose()?),
            Self::List { items, ends, valid } => {
                let mut end = ends[ends.len() - 1];
                if some {
                    for item in datum.items(arena) {
                        items.push(*item, arena)?;
                        end = end.checked_add(1).ok_or_else(|| Fault::new("too many elements in one batch"))?;
                    }
                }
                ends.push(end);
                valid.append(some);
            }
        }
        Ok(())
    }

    fn finish(self, kind: Kind) -> Result<ArrayRef> {
        Ok(match self {
            Self::Boolean(mut made) => shared(made.finish()),
            Self::Int(mut made) => shared(made.finish()),
            Self::Long(mut made) => shared(made.finish()),
            Self::Float(mut made) => shared(made.finish()),
            Self::Double(mut made) => shared(made.finish()),
            Self::Timestamp(mut made) => shared(made.finish()),
            Self::Text(mut made) => shared(made.finish()),
            Self::Bytes(mut made) => shared(made.finish()),
            Self::List { items, ends, mut valid } => {
                let item = match pinot_field("", kind.0, false, true).data_type() {
                    ArrowType::List(item) => item.clone(),
                    other => return exec_err!("{other} is not a list"),
                };
                let values = items.finish((kind.0, true))?;
                shared(ListArray::try_new(item, OffsetBuffer::new(ends.into()), values, valid.finish())?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_of_the_shelf_is_found_by_its_name_in_plans() {
        for function in shelf::all() {
            let found = of_plan(&plan_name(function)).map(Function::name);
            assert_eq!(found, Some(function.name()));
        }
        assert_eq!(kind_of("w_f_arrayreverse", |_| Some((DataType::Int, false))), Some((DataType::Int, false)));
        assert_eq!(kind_of("w_long", |_| None), None);
    }
}
