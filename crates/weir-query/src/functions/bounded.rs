//! Functions of DataFusion whose results may be far larger than their arguments (`repeat('a', 2000000000)`), with a bound
//! on what one value and one batch of results may take. What a call can give is worked out from its arguments first; no
//! memory is asked for before that. Likewise those that compare each value of an array with each of another, with a
//! bound on what one row may take, and looks at the deadline between parts of a batch.

use crate::stop;
use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::concat,
    datatypes::DataType as ArrowType,
};
use datafusion::{
    common::{Result, ScalarValue},
    error::DataFusionError,
    logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature},
};
use std::{ops::Range, sync::Arc};

/// Bytes of one value that a function makes. Messages of streams are seldom larger than a megabyte: larger values are
/// made by mistake only.
pub(crate) const VALUE_BYTES: usize = 16 << 20;

/// Bytes of what one call makes of one batch: 8,192 rows with 32 KiB each. A call's result is not in the pool of queries
/// before its operator hands it on, so this is what a thread may hold beside the pool for it.
pub(crate) const BATCH_BYTES: usize = 256 << 20;

/// Pairs of values that one row may compare: two arrays of 30,000, which takes seconds.
const ROW_PAIRS: usize = 1_000_000_000;

/// Pairs between two looks at the deadline: tens of milliseconds.
const LOOK_PAIRS: usize = 10_000_000;

/// What is not text counts for this much as text.
const OTHER_BYTES: usize = 32;

/// A function would make more than it may.
#[derive(Debug, thiserror::Error)]
#[error("function {function} would make {what}; {remedy}")]
pub(crate) struct TooLarge {
    function: String,
    what: String,
    remedy: &'static str,
}

fn too_large<T>(function: &str, what: String, remedy: &'static str) -> Result<T> {
    let function = super::spelled::spelled(function).to_owned();
    Err(DataFusionError::External(Box::new(TooLarge { function, what, remedy })))
}

/// Refuses a value that is too large.
pub(crate) fn check_value(function: &str, bytes: usize) -> Result<()> {
    if bytes <= VALUE_BYTES {
        return Ok(());
    }
    let what = format!("a value of more than {} MiB", VALUE_BYTES >> 20);
    too_large(function, what, "ask for shorter values")
}

/// Refuses a result for a batch that is too large.
pub(crate) fn check_batch(function: &str, bytes: usize) -> Result<()> {
    if bytes <= BATCH_BYTES {
        return Ok(());
    }
    let what = format!("more than {} MiB of a few thousand rows", BATCH_BYTES >> 20);
    too_large(function, what, "ask for shorter values, or of fewer rows")
}

/// How large the result of a row may be, by the lengths of its arguments and its numbers.
type Estimate = fn(&[Arg]) -> usize;

/// An argument of one row.
struct Arg {
    /// Its length as text.
    bytes: usize,
    /// What it is where it is a whole number.
    number: Option<i64>,
}

/// What an estimate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    /// Bytes of results; an argument's length is that of its text.
    Bytes,
    /// Pairs that are compared; an argument's length is that of its array.
    Pairs,
}

struct Kind {
    name: &'static str,
    counts: Counts,
    estimate: Estimate,
    /// The estimate is what comes out, not the most that may: a value is refused by it.
    exact: bool,
}

fn sum(args: &[Arg]) -> usize {
    args.iter().fold(0, |sum, arg| sum.saturating_add(arg.bytes))
}

fn pairs(args: &[Arg]) -> usize {
    args.iter().fold(1, |pairs, arg| pairs.saturating_mul(arg.bytes))
}

const KINDS: [Kind; 8] = [
    Kind {
        name: "repeat",
        counts: Counts::Bytes,
        exact: true,
        estimate: |args| match args {
            [text, Arg { number: Some(count), .. }] => {
                text.bytes.saturating_mul(usize::try_from(*count).unwrap_or_default())
            }
            _ => sum(args),
        },
    },
    Kind {
        name: "replace",
        counts: Counts::Bytes,
        exact: false,
        estimate: |args| match args {
            // An empty text is found before each letter and at the end.
            [text, from, to] => {
                let found = text.bytes.checked_div(from.bytes).unwrap_or(text.bytes + 1);
                text.bytes.saturating_add(found.saturating_mul(to.bytes))
            }
            _ => sum(args),
        },
    },
    Kind {
        name: "regexp_replace",
        counts: Counts::Bytes,
        exact: false,
        // Each letter may be replaced, and two letters of what replaces it may stand for all that was matched.
        estimate: |args| match args {
            [text, _, to, ..] => (text.bytes + 1).saturating_mul(to.bytes.saturating_mul(2).saturating_add(1)),
            _ => sum(args),
        },
    },
    Kind { name: "concat", counts: Counts::Bytes, exact: true, estimate: sum },
    Kind {
        name: "concat_ws",
        counts: Counts::Bytes,
        exact: true,
        estimate: |args| match args {
            [separator, parts @ ..] => sum(parts).saturating_add(separator.bytes.saturating_mul(parts.len())),
            [] => 0,
        },
    },
    Kind { name: "overlay", counts: Counts::Bytes, exact: true, estimate: sum },
    Kind { name: "array_has_all", counts: Counts::Pairs, exact: false, estimate: pairs },
    Kind { name: "array_has_any", counts: Counts::Pairs, exact: false, estimate: pairs },
];

/// Functions of DataFusion that make arrays of any length out of numbers, and those that say something of its own clock, files
/// and version. Pinot has none of them.
pub(crate) const REMOVED: [&str; 9] = [
    "range",
    "generate_series",
    "array_repeat",
    "array_resize",
    "current_date",
    "current_time",
    "version",
    "input_file_name",
    "file_row_index",
];

/// Bounded ones in place of those of DataFusion that `find` gives by name.
pub(crate) fn in_place_of(find: impl Fn(&str) -> Option<Arc<ScalarUDF>>) -> Vec<ScalarUDF> {
    KINDS.iter().filter_map(|kind| Some(ScalarUDF::new_from_impl(Bounded { kind, inner: find(kind.name)? }))).collect()
}

struct Bounded {
    kind: &'static Kind,
    inner: Arc<ScalarUDF>,
}

impl std::fmt::Debug for Bounded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bounded({})", self.kind.name)
    }
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl Eq for Bounded {}

impl std::hash::Hash for Bounded {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

/// The lengths of an argument's values.
enum Sizes {
    Same(usize, Option<i64>),
    Texts(ArrayRef),
    Lists(ArrayRef),
    Numbers(arrow::array::Int64Array),
}

impl Sizes {
    fn of(arg: &ColumnarValue, counts: Counts) -> Result<Self> {
        if counts == Counts::Pairs {
            return Ok(match arg {
                ColumnarValue::Scalar(value) => {
                    let list = value.to_array()?;
                    Self::Same(list.as_list_opt::<i32>().map_or(1, |list| list.value_length(0) as usize), None)
                }
                ColumnarValue::Array(array) if array.as_list_opt::<i32>().is_some() => Self::Lists(array.clone()),
                ColumnarValue::Array(_) => Self::Same(1, None),
            });
        }
        Ok(match arg {
            ColumnarValue::Scalar(value) => {
                let bytes = value.try_as_str().flatten().map_or(OTHER_BYTES, str::len);
                let number = match value.cast_to(&ArrowType::Int64) {
                    Ok(ScalarValue::Int64(number)) if value.data_type().is_integer() => number,
                    _ => None,
                };
                Self::Same(if value.is_null() { 0 } else { bytes }, number)
            }
            ColumnarValue::Array(array) if array.data_type().is_integer() => {
                Self::Numbers(super::convert::longs(array)?)
            }
            ColumnarValue::Array(array) => match array.data_type() {
                ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => Self::Texts(array.clone()),
                ArrowType::Dictionary(..) => Self::Texts(Arc::new(super::convert::texts(array)?)),
                _ => Self::Same(OTHER_BYTES, None),
            },
        })
    }

    fn at(&self, row: usize) -> Arg {
        match self {
            Self::Same(bytes, number) => Arg { bytes: *bytes, number: *number },
            Self::Numbers(numbers) => {
                let number = numbers.is_valid(row).then(|| numbers.value(row));
                Arg { bytes: OTHER_BYTES, number: Some(number.unwrap_or_default()) }
            }
            Self::Lists(lists) => Arg { bytes: lists.as_list::<i32>().value_length(row) as usize, number: None },
            Self::Texts(texts) if texts.is_null(row) => Arg { bytes: 0, number: None },
            Self::Texts(texts) => Arg { bytes: text_bytes(texts, row), number: None },
        }
    }
}

/// The length of a text of an array of texts; 0 where it holds something else.
fn text_bytes(array: &ArrayRef, row: usize) -> usize {
    match array.data_type() {
        ArrowType::Utf8 => array.as_string::<i32>().value_length(row) as usize,
        ArrowType::LargeUtf8 => array.as_string::<i64>().value_length(row) as usize,
        // The length of a view is its first four bytes.
        ArrowType::Utf8View => array.as_string_view().views()[row] as u32 as usize,
        _ => 0,
    }
}

impl Bounded {
    /// Parts of the rows that each make at most what a batch may.
    fn parts(&self, args: &[ColumnarValue], rows: usize) -> Result<Vec<Range<usize>>> {
        let counts = self.kind.counts;
        let most = if counts == Counts::Pairs { LOOK_PAIRS } else { BATCH_BYTES };
        let sizes: Vec<Sizes> = args.iter().map(|arg| Sizes::of(arg, counts)).collect::<Result<_>>()?;
        let (mut parts, mut from, mut held, mut total) = (vec![], 0, 0_usize, 0_usize);
        let mut row_args = Vec::with_capacity(sizes.len());
        for row in 0..rows {
            row_args.clear();
            row_args.extend(sizes.iter().map(|size| size.at(row)));
            let bytes = (self.kind.estimate)(&row_args);
            if counts == Counts::Pairs {
                if bytes > ROW_PAIRS {
                    let what = format!("more than {ROW_PAIRS} comparisons in one row");
                    return too_large(self.kind.name, what, "ask for shorter arrays");
                }
            } else if self.kind.exact || bytes > BATCH_BYTES {
                check_value(self.kind.name, bytes)?;
                total = total.saturating_add(bytes);
                check_batch(self.kind.name, total)?;
            }
            if row > from && held.saturating_add(bytes) > most {
                parts.push(from..row);
                (from, held) = (row, 0);
            }
            held += bytes;
        }
        parts.push(from..rows);
        Ok(parts)
    }

    /// The bytes of a part's result, if none of its values is too large.
    fn checked(&self, array: &ArrayRef) -> Result<usize> {
        let mut bytes = 0;
        for row in (0..array.len()).filter(|row| array.is_valid(*row)) {
            let value = text_bytes(array, row);
            check_value(self.kind.name, value)?;
            bytes += value;
        }
        Ok(bytes)
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[ArrowType]) -> Result<ArrowType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<arrow::datatypes::FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, arg_types: &[ArrowType]) -> Result<Vec<ArrowType>> {
        self.inner.coerce_types(arg_types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let parts = self.parts(&args.args, rows)?;
        if parts.len() == 1 && (self.kind.exact || constant) {
            let result = self.inner.invoke_with_args(args)?;
            if let ColumnarValue::Scalar(value) = &result {
                check_value(self.kind.name, value.try_as_str().flatten().map_or(0, str::len))?;
            }
            return Ok(result);
        }
        let (mut results, mut bytes) = (Vec::with_capacity(parts.len()), 0);
        for part in parts {
            stop::look_here()?;
            let slice = |arg: &ColumnarValue| match arg {
                ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(part.start, part.len())),
                scalar => scalar.clone(),
            };
            let part_args = ScalarFunctionArgs {
                args: args.args.iter().map(slice).collect(),
                number_rows: part.len(),
                ..args.clone()
            };
            let result = self.inner.invoke_with_args(part_args)?.into_array(part.len())?;
            bytes += self.checked(&result)?;
            check_batch(self.kind.name, bytes)?;
            results.push(result);
        }
        if let [result] = results.as_slice() {
            return Ok(ColumnarValue::Array(result.clone()));
        }
        let arrays: Vec<&dyn Array> = results.iter().map(|array| &**array).collect();
        Ok(ColumnarValue::Array(concat(&arrays)?))
    }
}
