//! Multi-value columns: tests that hold if any value passes (the excluding ones if all do), lengths, sums, choices.

use super::{
    convert::{self, shared},
    fun::{Args, Fun, Gives},
};
use crate::comparison::Comparison;
use arrow::{
    array::{Array, ArrayRef, BooleanArray, Float64Array, Int32Array, ListArray, UInt32Array},
    buffer::OffsetBuffer,
    compute::{filter, kernels::cmp},
    datatypes::DataType as ArrowType,
};
use datafusion::common::{Result, ScalarValue};
use std::sync::Arc;
use weir_types::DataType;

/// A test of the values of a multi-value column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MvTest {
    /// As a single value is compared.
    Compare(Comparison),
    In,
    NotIn,
    Between,
    Like,
    RegexpLike,
}

/// All tests.
pub(crate) const MV_TESTS: [MvTest; 11] = [
    MvTest::Compare(Comparison::Eq),
    MvTest::Compare(Comparison::NotEq),
    MvTest::Compare(Comparison::Lt),
    MvTest::Compare(Comparison::LtEq),
    MvTest::Compare(Comparison::Gt),
    MvTest::Compare(Comparison::GtEq),
    MvTest::In,
    MvTest::NotIn,
    MvTest::Between,
    MvTest::Like,
    MvTest::RegexpLike,
];

impl MvTest {
    /// The function's name in plans.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Compare(Comparison::Eq) => "w_mv_eq",
            Self::Compare(Comparison::NotEq) => "w_mv_not_eq",
            Self::Compare(Comparison::Lt) => "w_mv_lt",
            Self::Compare(Comparison::LtEq) => "w_mv_lt_eq",
            Self::Compare(Comparison::Gt) => "w_mv_gt",
            Self::Compare(Comparison::GtEq) => "w_mv_gt_eq",
            Self::In => "w_mv_in",
            Self::NotIn => "w_mv_not_in",
            Self::Between => "w_mv_between",
            Self::Like => "w_mv_like",
            Self::RegexpLike => "w_mv_regexp_like",
        }
    }

    const fn fun(self, count: (usize, usize), call: fn(&Args) -> Result<ArrayRef>) -> Fun {
        Fun::new(self.name(), count, Gives::One(DataType::Boolean), call)
    }
}

/// A comparison of multi-value columns with a value.
const fn compared(comparison: Comparison, call: fn(&Args) -> Result<ArrayRef>) -> Fun {
    MvTest::Compare(comparison).fun((2, 2), call)
}

/// All of the family.
pub(super) const FUNS: [Fun; 18] = [
    compared(Comparison::Eq, |args| any(args, |values, args| cmp_with(values, args, 1, cmp::eq))),
    compared(Comparison::NotEq, |args| all(args, |values, args| cmp_with(values, args, 1, cmp::neq))),
    compared(Comparison::Lt, |args| any(args, |values, args| cmp_with(values, args, 1, cmp::lt))),
    compared(Comparison::LtEq, |args| any(args, |values, args| cmp_with(values, args, 1, cmp::lt_eq))),
    compared(Comparison::Gt, |args| any(args, |values, args| cmp_with(values, args, 1, cmp::gt))),
    compared(Comparison::GtEq, |args| any(args, |values, args| cmp_with(values, args, 1, cmp::gt_eq))),
    MvTest::In.fun((2, usize::MAX), |args| any(args, one_of)),
    MvTest::NotIn
        .fun((2, usize::MAX), |args| all(args, |values, args| Ok(arrow::compute::not(&one_of(values, args)?)?))),
    MvTest::Between.fun((3, 3), |args| {
        any(args, |values, args| {
            let from = cmp_with(values, args, 1, cmp::gt_eq)?;
            Ok(arrow::compute::and(&from, &cmp_with(values, args, 2, cmp::lt_eq)?)?)
        })
    }),
    MvTest::Like.fun((2, 2), |args| {
        any(args, |values, args| {
            let pattern = arrow::array::StringViewArray::new_scalar(args.constant_text(1, "the pattern")?);
            Ok(arrow::compute::kernels::comparison::ilike(&convert::texts(values)?, &pattern)?)
        })
    }),
    MvTest::RegexpLike.fun((2, 3), |args| {
        any(args, |values, args| {
            let pattern = args.constant_text(1, "the pattern")?;
            let flags =
                if args.len() > 2 && args.constant_text(2, "the flags")?.contains('i') { Some("i") } else { None };
            let texts = convert::texts(values)?;
            Ok(arrow::compute::kernels::regexp::regexp_is_match_scalar(&texts, &pattern, flags)?)
        })
    }),
    Fun::new("w_array_length", (1, 1), Gives::One(DataType::Int), |args| {
        let lists = args.lists(0)?;
        Ok(shared(
            (0..lists.len()).map(|row| lists.is_valid(row).then(|| lists.value_length(row))).collect::<Int32Array>(),
        ))
    }),
    Fun::new("w_array_sum", (1, 1), Gives::One(DataType::Double), |args| fold(args, |values| values.iter().sum())),
    Fun::new("w_array_min", (1, 1), Gives::One(DataType::Double), |args| {
        fold(args, |values| values.iter().copied().fold(f64::INFINITY, f64::min))
    }),
    Fun::new("w_array_max", (1, 1), Gives::One(DataType::Double), |args| {
        fold(args, |values| values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    }),
    Fun::new("w_array_avg", (1, 1), Gives::One(DataType::Double), |args| {
        fold(args, |values| values.iter().sum::<f64>() / values.len() as f64)
    }),
    Fun::new("w_value_in", (2, usize::MAX), Gives::Same(0), |args| choose(args, one_of)),
    // Sets are compared by what they hold, whatever the order.
    Fun::new("w_array_distinct", (1, 1), Gives::Same(0), |args| {
        let lists = args.lists(0)?;
        let values: Vec<ScalarValue> = (0..lists.values().len())
            .map(|at| ScalarValue::try_from_array(lists.values(), at))
            .collect::<Result<_>>()?;
        let mut keep = vec![false; values.len()];
        for ends in lists.value_offsets().windows(2) {
            let mut seen = std::collections::HashSet::new();
            (ends[0] as usize..ends[1] as usize).for_each(|at| keep[at] = seen.insert(&values[at]));
        }
        kept(&lists, &BooleanArray::from(keep))
    }),
];

type Compare = fn(
    &dyn arrow::array::Datum,
    &dyn arrow::array::Datum,
) -> std::result::Result<BooleanArray, arrow::error::ArrowError>;

fn cmp_with(values: &ArrayRef, args: &Args, at: usize, compare: Compare) -> Result<BooleanArray> {
    if !args.is_constant(at) {
        // Beside each value stands what its row has.
        let lists = args.lists(0)?;
        let mut row_of_value = vec![None; values.len()];
        for (row, ends) in (0_u32..).zip(lists.value_offsets().windows(2)) {
            row_of_value[ends[0] as usize..ends[1] as usize].fill(Some(row));
        }
        let beside = arrow::compute::take(args.array(at), &UInt32Array::from(row_of_value), None)?;
        return Ok(compare(values, &arrow::compute::cast(&beside, values.data_type())?)?);
    }
    let literal = arrow::compute::cast(&args.array(at).slice(0, 1), values.data_type())?;
    Ok(compare(values, &arrow::array::Scalar::new(literal))?)
}

fn one_of(values: &ArrayRef, args: &Args) -> Result<BooleanArray> {
    let mut found = BooleanArray::from(vec![false; values.len()]);
    for at in 1..args.len() {
        found = arrow::compute::or(&found, &cmp_with(values, args, at, cmp::eq)?)?;
    }
    Ok(found)
}

type ValueTest = fn(&ArrayRef, &Args) -> Result<BooleanArray>;

fn any(args: &Args, test: ValueTest) -> Result<ArrayRef> {
    rows(args, test, |passes| passes.contains(&true))
}

fn all(args: &Args, test: ValueTest) -> Result<ArrayRef> {
    rows(args, test, |passes| !passes.contains(&false))
}

/// Tests all values at once, then each row by its values.
fn rows(args: &Args, test: ValueTest, row: fn(&[bool]) -> bool) -> Result<ArrayRef> {
    if args.rows() == 0 {
        return Ok(shared(BooleanArray::from(Vec::<bool>::new())));
    }
    let lists = args.lists(0)?;
    let passes: Vec<bool> = test(lists.values(), args)?.iter().map(|passes| passes == Some(true)).collect();
    let of_row = |at: usize, ends: &[i32]| lists.is_valid(at).then(|| row(&passes[ends[0] as usize..ends[1] as usize]));
    Ok(shared(
        lists.value_offsets().windows(2).enumerate().map(|(at, ends)| of_row(at, ends)).collect::<BooleanArray>(),
    ))
}

fn fold(args: &Args, row: fn(&[f64]) -> f64) -> Result<ArrayRef> {
    let lists = args.lists(0)?;
    let numbers = convert::doubles(lists.values())?;
    let of_row = |at: usize, ends: &[i32]| {
        let (from, to) = (ends[0] as usize, ends[1] as usize);
        lists.is_valid(at).then(|| match numbers.null_count() {
            0 => row(&numbers.values()[from..to]),
            // Nulls do not count.
            _ => row(&(from..to).filter(|at| numbers.is_valid(*at)).map(|at| numbers.value(at)).collect::<Vec<f64>>()),
        })
    };
    Ok(shared(
        lists.value_offsets().windows(2).enumerate().map(|(at, ends)| of_row(at, ends)).collect::<Float64Array>(),
    ))
}

fn choose(args: &Args, test: ValueTest) -> Result<ArrayRef> {
    let lists = args.lists(0)?;
    if args.rows() == 0 {
        return Ok(shared(lists));
    }
    let keep = test(lists.values(), args)?;
    kept(&lists, &keep)
}

/// The lists without the values that are not kept.
fn kept(lists: &ListArray, keep: &BooleanArray) -> Result<ArrayRef> {
    // A slice of a longer array: values before and behind it are not its own.
    let (first, last) = (lists.value_offsets()[0] as usize, lists.value_offsets()[lists.len()] as usize);
    let values = filter(&lists.values().slice(first, last - first), &keep.slice(first, last - first))?;
    let lengths = lists
        .value_offsets()
        .windows(2)
        .map(|ends| (ends[0] as usize..ends[1] as usize).filter(|at| keep.is_valid(*at) && keep.value(*at)).count());
    let item = match lists.data_type() {
        ArrowType::List(item) => item.clone(),
        other => return datafusion::common::exec_err!("{other} is not a list"),
    };
    Ok(Arc::new(ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), values, lists.nulls().cloned())?))
}
