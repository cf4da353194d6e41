//! Casts to Pinot's types.

use super::{
    convert::{self, shared},
    fun::{Fun, Gives},
};
use arrow::{
    array::{Array, AsArray, Float32Array, Int32Array},
    datatypes::{DataType as ArrowType, Float32Type},
};
use datafusion::common::{Result, exec_err};
use weir_types::DataType;

/// All of the family.
pub(super) const FUNS: [Fun; 11] = [
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
        let numbers = args.doubles(0)?;
        Ok(shared(numbers.iter().map(|number| number.map(|number| number as f32)).collect::<Float32Array>()))
    }),
    Fun::new("w_boolean", (1, 1), Gives::One(DataType::Boolean), |args| Ok(shared(args.booleans(0)?))),
    Fun::new("w_timestamp", (1, 1), Gives::One(DataType::Timestamp), |args| {
        Ok(shared(convert::timestamps(args.array(0))?))
    }),
    Fun::new("w_string", (1, 1), Gives::One(DataType::String), |args| Ok(shared(args.texts(0)?))),
    Fun::new("w_json", (1, 1), Gives::One(DataType::Json), |args| Ok(shared(args.texts(0)?))),
    Fun::new("w_bigdecimal", (1, 1), Gives::One(DataType::BigDecimal), |args| {
        let texts = args.texts(0)?;
        // Plain notation, without the fraction that a whole number's text has.
        let plain = |text: &str| {
            if convert::java_double(text.trim()).is_some_and(|number| !number.is_finite()) {
                return exec_err!("{text} cannot be read as BIG_DECIMAL: it has no digits");
            }
            Ok(text
                .parse::<f64>()
                .ok()
                .filter(|_| text.contains(['E', 'e']))
                .map_or_else(|| text.strip_suffix(".0").unwrap_or(text).to_owned(), |number| number.to_string()))
        };
        let plain = texts.iter().map(|text| text.map(plain).transpose());
        Ok(shared(plain.collect::<Result<arrow::array::StringViewArray>>()?))
    }),
    // For aggregates that keep their arguments: they count what they hold, but not what views lead to.
    Fun::new("w_owned", (1, 1), Gives::Owned(0), |args| {
        let array = args.array(0);
        Ok(arrow::compute::cast(array, &convert::owned_type(array.data_type()))?)
    }),
    Fun::new("w_bytes", (1, 1), Gives::One(DataType::Bytes), |args| Ok(shared(convert::bytes(args.array(0))?))),
];

/// The function that casts to a Pinot type.
pub(crate) fn cast_to(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Int => "w_int",
        DataType::Long => "w_long",
        DataType::Float => "w_float",
        DataType::Double => "w_double",
        DataType::BigDecimal => "w_bigdecimal",
        DataType::Boolean => "w_boolean",
        DataType::Timestamp => "w_timestamp",
        DataType::String => "w_string",
        DataType::Json | DataType::Map => "w_json",
        DataType::Bytes | DataType::Uuid => "w_bytes",
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
        _ => return None,
    })
}
