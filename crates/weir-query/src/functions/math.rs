//! Number functions as Java computes them: no argument fails. What has no answer is NaN, what is too large an infinity,
//! and a whole number that leaves its type wraps.

use super::{
    convert::shared,
    fun::{Args, Fun, Gives},
};
use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Float64Array, Int64Array},
    buffer::NullBuffer,
    compute,
    datatypes::{DataType as ArrowType, Float32Type, Float64Type, Int32Type, Int64Type},
};
use datafusion::common::Result;
use weir_functions::numbers::{cut, digits as digits_of, gcd, half_up, lcm, power, round};
use weir_types::DataType;

const DOUBLE: Gives = Gives::One(DataType::Double);
const LONG: Gives = Gives::One(DataType::Long);

/// All of the family.
pub(super) const FUNS: [Fun; 37] = [
    Fun::new("w_ceil", (1, 1), DOUBLE, |args| each(args, f64::ceil)),
    Fun::new("w_floor", (1, 1), DOUBLE, |args| each(args, f64::floor)),
    Fun::new("w_exp", (1, 1), DOUBLE, |args| each(args, f64::exp)),
    Fun::new("w_ln", (1, 1), DOUBLE, |args| each(args, f64::ln)),
    Fun::new("w_log2", (1, 1), DOUBLE, |args| each(args, f64::log2)),
    Fun::new("w_log10", (1, 1), DOUBLE, |args| each(args, f64::log10)),
    Fun::new("w_sqrt", (1, 1), DOUBLE, |args| each(args, f64::sqrt)),
    Fun::new("w_cbrt", (1, 1), DOUBLE, |args| each(args, f64::cbrt)),
    Fun::new("w_sin", (1, 1), DOUBLE, |args| each(args, f64::sin)),
    Fun::new("w_cos", (1, 1), DOUBLE, |args| each(args, f64::cos)),
    Fun::new("w_tan", (1, 1), DOUBLE, |args| each(args, f64::tan)),
    Fun::new("w_cot", (1, 1), DOUBLE, |args| each(args, |number| 1.0 / number.tan())),
    Fun::new("w_asin", (1, 1), DOUBLE, |args| each(args, f64::asin)),
    Fun::new("w_acos", (1, 1), DOUBLE, |args| each(args, f64::acos)),
    Fun::new("w_atan", (1, 1), DOUBLE, |args| each(args, f64::atan)),
    Fun::new("w_sinh", (1, 1), DOUBLE, |args| each(args, f64::sinh)),
    Fun::new("w_cosh", (1, 1), DOUBLE, |args| each(args, f64::cosh)),
    Fun::new("w_tanh", (1, 1), DOUBLE, |args| each(args, f64::tanh)),
    Fun::new("w_asinh", (1, 1), DOUBLE, |args| each(args, f64::asinh)),
    Fun::new("w_acosh", (1, 1), DOUBLE, |args| each(args, f64::acosh)),
    Fun::new("w_atanh", (1, 1), DOUBLE, |args| each(args, f64::atanh)),
    Fun::new("w_degrees", (1, 1), DOUBLE, |args| each(args, f64::to_degrees)),
    Fun::new("w_radians", (1, 1), DOUBLE, |args| each(args, f64::to_radians)),
    Fun::new("w_sign", (1, 1), DOUBLE, |args| {
        each(args, |number| if number == 0.0 || number.is_nan() { number } else { number.signum() })
    }),
    Fun::new("w_atan2", (2, 2), DOUBLE, |args| pair(args, f64::atan2)),
    Fun::new("w_hypot", (2, 2), DOUBLE, |args| pair(args, f64::hypot)),
    Fun::new("w_power", (2, 2), DOUBLE, |args| pair(args, power)),
    Fun::new("w_round_decimal", (1, 2), DOUBLE, |args| rounded(args, round, half_up)),
    Fun::new("w_truncate", (1, 2), DOUBLE, |args| rounded(args, f64::trunc, cut)),
    Fun::new("w_int_div", (2, 2), LONG, |args| quotients(args, |a, b| (a / b).floor() as i64)),
    Fun::new("w_int_div_or_zero", (2, 2), LONG, |args| {
        quotients(args, |a, b| if b == 0.0 { 0 } else { (a / b).floor() as i64 })
    }),
    Fun::new("w_gcd", (2, 2), LONG, |args| whole_pair(args, gcd)),
    Fun::new("w_lcm", (2, 2), LONG, |args| whole_pair(args, lcm)),
    // Its numbers keep their type: the least of one has no positive and stays what it is.
    Fun::new("w_abs", (1, 1), Gives::Number(0), |args| {
        let array = args.array(0);
        Ok(match array.data_type() {
            ArrowType::Int32 => of_type::<Int32Type>(array, i32::wrapping_abs),
            ArrowType::Int64 => of_type::<Int64Type>(array, i64::wrapping_abs),
            ArrowType::Float32 => of_type::<Float32Type>(array, f32::abs),
            _ => return each(args, f64::abs),
        })
    }),
    Fun::new("w_negate", (1, 1), Gives::Number(0), |args| {
        let array = args.array(0);
        Ok(match array.data_type() {
            ArrowType::Int32 => of_type::<Int32Type>(array, i32::wrapping_neg),
            ArrowType::Int64 => of_type::<Int64Type>(array, i64::wrapping_neg),
            ArrowType::Float32 => of_type::<Float32Type>(array, |number| -number),
            _ => return each(args, |number| -number),
        })
    }),
    // The first argument, where none of the others is null.
    Fun::new("w_if_all", (2, usize::MAX), Gives::Same(0), |args| {
        let nulls = (1..args.len())
            .fold(None, |nulls, at| NullBuffer::union(nulls.as_ref(), args.array(at).logical_nulls().as_ref()));
        let lacking = nulls.map(|nulls| BooleanArray::new(!nulls.inner(), None));
        Ok(match lacking {
            Some(lacking) => compute::nullif(args.array(0), &lacking)?,
            None => args.array(0).clone(),
        })
    }),
    // Its argument: what a function gives has no negative zero.
    Fun::new("w_zero", (1, 1), Gives::Same(0), |args| Ok(args.array(0).clone())),
];

fn of_type<T: ArrowPrimitiveType>(array: &ArrayRef, call: fn(T::Native) -> T::Native) -> ArrayRef {
    shared(array.as_primitive::<T>().unary::<_, T>(call))
}

/// A function of one real number.
fn each(args: &Args, call: fn(f64) -> f64) -> Result<ArrayRef> {
    Ok(shared(args.doubles(0)?.unary::<_, Float64Type>(call)))
}

/// A function of two real numbers.
fn pair(args: &Args, call: fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (a, b) = (args.doubles(0)?, args.doubles(1)?);
    Ok(shared(compute::binary::<_, _, _, Float64Type>(&a, &b, call)?))
}

/// A function of two whole numbers.
fn whole_pair(args: &Args, call: fn(i64, i64) -> i64) -> Result<ArrayRef> {
    let (a, b) = (args.longs(0)?, args.longs(1)?);
    Ok(shared(compute::binary::<_, _, _, Int64Type>(&a, &b, call)?))
}

fn quotients(args: &Args, call: fn(f64, f64) -> i64) -> Result<ArrayRef> {
    let (a, b) = (args.doubles(0)?, args.doubles(1)?);
    Ok(shared(a.iter().zip(&b).map(|(a, b)| Some(call(a?, b?))).collect::<Int64Array>()))
}

/// A function of a real number, and of a count of digits where there is one.
fn rounded(args: &Args, whole: fn(f64) -> f64, call: fn(f64, i32) -> f64) -> Result<ArrayRef> {
    if args.len() == 1 {
        return each(args, whole);
    }
    let digits = digits_of(args.constant_long(1, "the digits")?);
    let numbers = args.doubles(0)?;
    Ok(shared(numbers.iter().map(|number| number.map(|number| call(number, digits))).collect::<Float64Array>()))
}
