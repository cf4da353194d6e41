//! Casts to Pinot's types.

use super::{
    convert::{self, shared},
    fun::{Args, Fun, Gives},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, Int32Array, Int64Array},
    datatypes::{DataType as ArrowType, Float32Type, Int64Type},
};
use datafusion::{
    common::{Result, exec_datafusion_err, exec_err},
    error::DataFusionError,
};
use weir_functions::{
    casts::{double_of_text, float_of_text, int_of_text, long_of_text},
    decimal::Decimal,
};
use weir_types::DataType;

/// All of the family.
pub(super) const FUNS: [Fun; 22] = [
    Fun::new("w_double", (1, 1), Gives::One(DataType::Double), |args| Ok(shared(args.doubles(0)?))),
    Fun::new("w_long", (1, 1), Gives::One(DataType::Long), |args| Ok(shared(args.longs(0)?))),
    Fun::new("w_int", (1, 1), Gives::One(DataType::Int), |args| {
        // A real number saturates, a LONG loses its upper half: as in Java.
        let real = matches!(args.array(0).data_type(), ArrowType::Float16 | ArrowType::Float32 | ArrowType::Float64);
        if real {
            let numbers = args.doubles(0)?;
            return Ok(shared(numbers.iter().map(|number| number.map(|number| number as i32)).collect::<Int32Array>()));
        }
        let numbers = args.longs(0)?;
        Ok(shared(numbers.iter().map(|number| number.map(|number| number as i32)).collect::<Int32Array>()))
    }),
    Fun::new("w_float", (1, 1), Gives::One(DataType::Float), |args| {
        if let Some(numbers) = args.array(0).as_primitive_opt::<Float32Type>() {
            return Ok(shared(numbers.clone()));
        }
        if let Some(numbers) = args.array(0).as_primitive_opt::<Int64Type>() {
            return Ok(shared(numbers.unary::<_, Float32Type>(|number| number as f32)));
        }
        let numbers = args.doubles(0)?;
        Ok(shared(numbers.iter().map(|number| number.map(|number| number as f32)).collect::<Float32Array>()))
    }),
    // Casts, which read texts by the rules that expressions have; others of texts are conversions on the way to a function.
    Fun::new("w_cast_double", (1, 1), Gives::One(DataType::Double), |args| {
        of_texts(
            args,
            "DOUBLE",
            double_of_text,
            |args| Ok(shared(args.doubles(0)?)),
            |numbers| shared(numbers.collect::<Float64Array>()),
        )
    }),
    Fun::new("w_cast_long", (1, 1), Gives::One(DataType::Long), |args| {
        of_texts(
            args,
            "LONG",
            long_of_text,
            |args| Ok(shared(args.longs(0)?)),
            |numbers| shared(numbers.collect::<Int64Array>()),
        )
    }),
    Fun::new("w_cast_int", (1, 1), Gives::One(DataType::Int), |args| {
        let of_numbers = |args: &Args| (FUNS[W_INT].call)(args);
        of_texts(args, "INT", int_of_text, of_numbers, |numbers| shared(numbers.collect::<Int32Array>()))
    }),
    Fun::new("w_cast_float", (1, 1), Gives::One(DataType::Float), |args| {
        let of_numbers = |args: &Args| (FUNS[W_FLOAT].call)(args);
        of_texts(args, "FLOAT", float_of_text, of_numbers, |numbers| shared(numbers.collect::<Float32Array>()))
    }),
    Fun::new("w_boolean", (1, 1), Gives::One(DataType::Boolean), |args| Ok(shared(args.booleans(0)?))),
    Fun::new("w_timestamp", (1, 1), Gives::One(DataType::Timestamp), |args| {
        Ok(shared(convert::timestamps(args.array(0))?))
    }),
    Fun::new("w_string", (1, 1), Gives::One(DataType::String), |args| Ok(shared(args.texts(0)?))),
    Fun::new("w_json", (1, 1), Gives::One(DataType::Json), |args| Ok(shared(args.texts(0)?))),
    Fun::new("w_bigdecimal", (1, 1), Gives::One(DataType::BigDecimal), big_decimal),
    // For aggregates that keep their arguments: they count what they hold, but not what views lead to.
    Fun::new("w_owned", (1, 1), Gives::Owned(0), |args| {
        let array = args.array(0);
        Ok(arrow::compute::cast(array, &convert::owned_type(array.data_type()))?)
    }),
    Fun::new("w_bytes", (1, 1), Gives::One(DataType::Bytes), |args| Ok(shared(convert::bytes(args.array(0))?))),
    // TRY_CAST: null where the cast has no answer.
    Fun::new("w_try_int", (1, 1), Gives::One(DataType::Int), |args| tried(args, "w_cast_int")),
    Fun::new("w_try_long", (1, 1), Gives::One(DataType::Long), |args| tried(args, "w_cast_long")),
    Fun::new("w_try_float", (1, 1), Gives::One(DataType::Float), |args| tried(args, "w_cast_float")),
    Fun::new("w_try_double", (1, 1), Gives::One(DataType::Double), |args| tried(args, "w_cast_double")),
    Fun::new("w_try_decimal", (1, 1), Gives::One(DataType::BigDecimal), |args| tried(args, "w_bigdecimal")),
    Fun::new("w_try_timestamp", (1, 1), Gives::One(DataType::Timestamp), |args| tried(args, "w_timestamp")),
    Fun::new("w_try_bytes", (1, 1), Gives::One(DataType::Bytes), |args| tried(args, "w_bytes")),
];

/// A cast of all rows at once; where some fail, of the halves, down to the rows that do.
fn tried(args: &Args, cast: &str) -> Result<ArrayRef> {
    let found = FUNS.iter().find(|fun| fun.name == cast).expect("casts are named by the functions that they are");
    halved(args.array(0), found.call)
}

fn halved(array: &ArrayRef, cast: fn(&Args) -> Result<ArrayRef>) -> Result<ArrayRef> {
    let rows = array.len();
    match cast(&Args::of(array.clone())) {
        // What no row can become is not one row's fault.
        Err(DataFusionError::Execution(_)) if rows == 1 && !array.data_type().is_nested() => {
            let null = arrow::array::new_null_array(&ArrowType::Null, 1);
            cast(&Args::of(null))
        }
        Err(DataFusionError::Execution(_)) if rows > 1 => {
            crate::stop::look_here()?;
            let (first, last) = (array.slice(0, rows / 2), array.slice(rows / 2, rows - rows / 2));
            let halves = [halved(&first, cast)?, halved(&last, cast)?];
            Ok(arrow::compute::concat(&[&*halves[0], &*halves[1]])?)
        }
        done => done,
    }
}

/// Where those of numbers stand.
const W_INT: usize = 2;
const W_FLOAT: usize = 3;

/// A cast: of texts by what reads one, of all else by what converts numbers.
fn of_texts<T>(
    args: &Args,
    wanted: &str,
    read: fn(&str) -> Option<T>,
    of_numbers: impl Fn(&Args) -> Result<ArrayRef>,
    gather: impl Fn(std::vec::IntoIter<Option<T>>) -> ArrayRef,
) -> Result<ArrayRef> {
    let Some(texts) = convert::strings(args.array(0))? else { return of_numbers(args) };
    let one = |text: &str| {
        read(text).ok_or_else(|| exec_datafusion_err!("'{}' cannot be read as {wanted}", convert::shown(text)))
    };
    let values: Vec<Option<T>> = texts.iter().map(|text| text.map(one).transpose()).collect::<Result<_>>()?;
    Ok(gather(values.into_iter()))
}

/// Numbers in plain notation, with the digits that they are written with: `5.0` of the DOUBLE 5.
fn big_decimal(args: &Args) -> Result<ArrayRef> {
    let array = args.array(0);
    let texts = match array.data_type() {
        // A number of single precision is the double that it is.
        ArrowType::Float16 | ArrowType::Float32 => convert::texts(&shared(args.doubles(0)?))?,
        ArrowType::Boolean | ArrowType::Timestamp(..) => convert::texts(&shared(args.longs(0)?))?,
        _ => args.texts(0)?,
    };
    let plain = |text: &str| match Decimal::parse(text) {
        Some(decimal) => Ok(decimal.plain()),
        None if convert::java_double(text.trim()).is_some_and(|number| !number.is_finite()) => {
            exec_err!("{text} cannot be read as BIG_DECIMAL: it has no digits")
        }
        None => {
            exec_err!("'{}' cannot be read as BIG_DECIMAL: a number of at most 4096 digits can", convert::shown(text))
        }
    };
    let plain = texts.iter().map(|text| text.map(plain).transpose());
    Ok(shared(plain.collect::<Result<arrow::array::StringViewArray>>()?))
}

/// The function that casts to a Pinot type and gives null where there is no such value; `None` where there always is one.
pub(crate) fn try_cast_to(data_type: DataType) -> Option<&'static str> {
    Some(match data_type {
        DataType::Int => "w_try_int",
        DataType::Long => "w_try_long",
        DataType::Float => "w_try_float",
        DataType::Double => "w_try_double",
        DataType::BigDecimal => "w_try_decimal",
        DataType::Timestamp => "w_try_timestamp",
        DataType::Bytes => "w_try_bytes",
        DataType::Boolean | DataType::String | DataType::Json | DataType::Map | DataType::Uuid => return None,
    })
}

/// The function that casts to a Pinot type.
pub(crate) fn cast_to(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Int => "w_cast_int",
        DataType::Long => "w_cast_long",
        DataType::Float => "w_cast_float",
        DataType::Double => "w_cast_double",
        DataType::BigDecimal => "w_bigdecimal",
        DataType::Boolean => "w_boolean",
        DataType::Timestamp => "w_timestamp",
        DataType::String => "w_string",
        DataType::Json | DataType::Map => "w_json",
        DataType::Bytes => "w_bytes",
        DataType::Uuid => "w_f_touuid",
    }
}

/// Pinot's names of types in CAST.
pub(crate) fn type_of(name: &str) -> Option<DataType> {
    let upper = name.to_ascii_uppercase();
    Some(match upper.as_str() {
        "INT" | "INTEGER" | "SMALLINT" | "TINYINT" => DataType::Int,
        "LONG" | "BIGINT" => DataType::Long,
        "FLOAT" | "REAL" => DataType::Float,
        "DOUBLE" | "DOUBLE PRECISION" => DataType::Double,
        "BOOLEAN" | "BOOL" => DataType::Boolean,
        "TIMESTAMP" => DataType::Timestamp,
        "STRING" | "VARCHAR" | "TEXT" | "CHAR" => DataType::String,
        "JSON" => DataType::Json,
        "BYTES" | "VARBINARY" | "BYTEA" => DataType::Bytes,
        "DECIMAL" | "BIG_DECIMAL" | "NUMERIC" => DataType::BigDecimal,
        "UUID" => DataType::Uuid,
        _ => return None,
    })
}
