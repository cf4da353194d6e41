//! A scalar function as data: its name, how many arguments it takes, what it gives, and a plain function over arrays.

use super::{convert, spelled::spelled};
use crate::provider::pinot_field;
use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, StringViewArray},
    datatypes::{DataType as ArrowType, Field, FieldRef, Int64Type},
};
use datafusion::{
    common::{Result, ScalarValue, exec_err, plan_err},
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
};
use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};
use weir_types::DataType;

/// What a function gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    /// One value of a Pinot type.
    One(DataType),
    /// An array of a Pinot type.
    Many(DataType),
    /// What the argument at this position is.
    Same(usize),
    /// What the argument at this position is where that is a number, else DOUBLE.
    Number(usize),
    /// What the argument at this position is, its texts and bytes not as views.
    Owned(usize),
}

/// A scalar function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fun {
    /// Its name in plans; what users write is mapped to it.
    pub(crate) name: &'static str,
    /// Fewest arguments.
    pub(crate) least: usize,
    /// Most arguments.
    pub(crate) most: usize,
    /// What it gives.
    pub(crate) gives: Gives,
    /// How.
    pub(crate) call: fn(&Args) -> Result<ArrayRef>,
}

impl Fun {
    pub(crate) const fn new(
        name: &'static str,
        count: (usize, usize),
        gives: Gives,
        call: fn(&Args) -> Result<ArrayRef>,
    ) -> Self {
        Self { name, least: count.0, most: count.1, gives, call }
    }
}

/// The arguments of a call: arrays of one length, and which of them are the same in every row.
pub(crate) struct Args {
    arrays: Vec<ArrayRef>,
    constants: Vec<Option<ScalarValue>>,
    rows: usize,
}

impl Args {
    /// One argument of a call that is within another.
    pub(crate) fn of(array: ArrayRef) -> Self {
        let rows = array.len();
        Self { arrays: vec![array], constants: vec![None], rows }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.arrays.len()
    }

    /// Length of every array.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// An argument as it is.
    pub(crate) fn array(&self, at: usize) -> &ArrayRef {
        &self.arrays[at]
    }

    /// An argument as real numbers.
    pub(crate) fn doubles(&self, at: usize) -> Result<Float64Array> {
        convert::doubles(&self.arrays[at])
    }

    /// An argument as whole numbers.
    pub(crate) fn longs(&self, at: usize) -> Result<Int64Array> {
        convert::longs(&self.arrays[at])
    }

    /// An argument as times in milliseconds: a text is read as a TIMESTAMP.
    pub(crate) fn millis(&self, at: usize) -> Result<Int64Array> {
        Ok(convert::timestamps(&self.arrays[at])?.reinterpret_cast::<Int64Type>())
    }

    /// An argument as text.
    pub(crate) fn texts(&self, at: usize) -> Result<StringViewArray> {
        convert::texts(&self.arrays[at])
    }

    /// An argument as truth values.
    pub(crate) fn booleans(&self, at: usize) -> Result<BooleanArray> {
        convert::booleans(&self.arrays[at])
    }

    /// An argument as arrays.
    pub(crate) fn lists(&self, at: usize) -> Result<ListArray> {
        match self.arrays[at].as_list_opt::<i32>() {
            Some(lists) => Ok(lists.clone()),
            None => exec_err!("argument {} is not a multi-value column or an array", at + 1),
        }
    }

    /// Whether an argument is the same in every row.
    pub(crate) fn is_constant(&self, at: usize) -> bool {
        self.constants.get(at).is_some_and(Option::is_some)
    }

    /// The text of an argument that is the same in every row.
    pub(crate) fn constant_text(&self, at: usize, what: &str) -> Result<String> {
        match self.constants.get(at) {
            Some(Some(value)) if !value.is_null() => {
                let texts = convert::texts(&value.to_array()?)?;
                Ok(texts.value(0).to_owned())
            }
            _ => exec_err!("argument {} ({what}) has to be a literal", at + 1),
        }
    }

    /// The number of an argument that is the same in every row.
    pub(crate) fn constant_long(&self, at: usize, what: &str) -> Result<i64> {
        match self.constants.get(at) {
            Some(Some(value)) if !value.is_null() => Ok(convert::longs(&value.to_array()?)?.value(0)),
            _ => exec_err!("argument {} ({what}) has to be a literal", at + 1),
        }
    }
}

/// The function as DataFusion sees it.
#[derive(Debug)]
struct Udf {
    fun: Fun,
    signature: Signature,
}

impl PartialEq for Udf {
    fn eq(&self, other: &Self) -> bool {
        self.fun.name == other.fun.name
    }
}

impl Eq for Udf {}

impl Hash for Udf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fun.name.hash(state);
    }
}

/// Makes a function known to DataFusion.
pub(crate) fn udf(fun: Fun) -> ScalarUDF {
    ScalarUDF::new_from_impl(Udf { fun, signature: Signature::user_defined(Volatility::Immutable) })
}

impl Udf {
    fn field(&self, args: &[FieldRef]) -> Result<Field> {
        let missing =
            || plan_err!("function {} takes {} arguments, not {}", spelled(self.fun.name), self.fun.least, args.len());
        match self.fun.gives {
            Gives::One(data_type) => Ok(pinot_field(self.name(), data_type, true, true)),
            Gives::Many(data_type) => Ok(pinot_field(self.name(), data_type, false, true)),
            Gives::Same(at) => match args.get(at) {
                Some(field) => Ok(field.as_ref().clone().with_name(self.name()).with_nullable(true)),
                None => missing(),
            },
            Gives::Number(at) => match args.get(at) {
                Some(field) if keeps_type(field.data_type()) => {
                    Ok(field.as_ref().clone().with_name(self.name()).with_nullable(true))
                }
                Some(_) => Ok(pinot_field(self.name(), DataType::Double, true, true)),
                None => missing(),
            },
            Gives::Owned(at) => match args.get(at) {
                Some(field) => {
                    let owned = convert::owned_type(field.data_type());
                    Ok(field.as_ref().clone().with_name(self.name()).with_data_type(owned).with_nullable(true))
                }
                None => missing(),
            },
        }
    }
}

/// The types of Pinot's numbers.
fn keeps_type(data_type: &ArrowType) -> bool {
    matches!(data_type, ArrowType::Int32 | ArrowType::Int64 | ArrowType::Float32 | ArrowType::Float64)
}

impl ScalarUDFImpl for Udf {
    fn name(&self) -> &str {
        self.fun.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[ArrowType]) -> Result<Vec<ArrowType>> {
        let count = arg_types.len();
        if count < self.fun.least || count > self.fun.most {
            let expected = match (self.fun.least, self.fun.most) {
                (least, most) if least == most => least.to_string(),
                (least, usize::MAX) => format!("at least {least}"),
                (least, most) => format!("{least} to {most}"),
            };
            return plan_err!("function {} takes {expected} arguments, not {count}", spelled(self.fun.name));
        }
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, arg_types: &[ArrowType]) -> Result<ArrowType> {
        let fields: Vec<FieldRef> =
            arg_types.iter().map(|data_type| Arc::new(Field::new("", data_type.clone(), true))).collect();
        Ok(self.field(&fields)?.data_type().clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(self.field(args.arg_fields)?))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (rows, constants) = rows_and_constants(&args);
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<_>>()?;
        given(&args, (self.fun.call)(&Args { arrays, constants, rows })?)
    }
}

fn is_one(args: &ScalarFunctionArgs) -> bool {
    args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)))
}

/// How many rows a function has to answer, one where no argument is a column; and of the arguments, those that are the same
/// for every row.
pub(super) fn rows_and_constants(args: &ScalarFunctionArgs) -> (usize, Vec<Option<ScalarValue>>) {
    let constant = |arg: &ColumnarValue| match arg {
        ColumnarValue::Scalar(value) => Some(value.clone()),
        ColumnarValue::Array(_) => None,
    };
    (if is_one(args) { 1 } else { args.number_rows }, args.args.iter().map(constant).collect())
}

/// What a function gives in the form that is asked for: one value where no argument is a column. Zero has no sign.
pub(super) fn given(args: &ScalarFunctionArgs, made: ArrayRef) -> Result<ColumnarValue> {
    let made = convert::without_negative_zero(made);
    Ok(match is_one(args) {
        true => ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?),
        false => ColumnarValue::Array(made),
    })
}
