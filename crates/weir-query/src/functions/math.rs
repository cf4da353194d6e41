//! Number functions as Java computes them: no argument fails. What has no answer is NaN, what is too large an infinity,
//! and a whole number that leaves its type wraps.

use super::{
    convert::shared,
    fun::{Args, Fun, Gives},
};
use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Float64Array, Int64Array},
    compute,
    datatypes::{DataType as ArrowType, Float32Type, Float64Type, Int32Type, Int64Type},
};
use datafusion::common::Result;
use weir_types::DataType;

const DOUBLE: Gives = Gives::One(DataType::Double);
const LONG: Gives = Gives::One(DataType::Long);

/// All of the family.
pub(super) const FUNS: [Fun; 36] = [
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
    Fun::new("w_round_decimal", (1, 2), DOUBLE, |args| rounded(args, half_up)),
    Fun::new("w_truncate", (1, 2), DOUBLE, |args| rounded(args, cut)),
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

/// A function of a real number and a count of digits, 0 where there is none.
fn rounded(args: &Args, call: fn(f64, i32) -> f64) -> Result<ArrayRef> {
    let digits = if args.len() > 1 { args.constant_long(1, "the digits")? } else { 0 };
    // No double has more digits than this, on either side of its point.
    let digits = digits.clamp(-400, 400) as i32;
    let numbers = args.doubles(0)?;
    Ok(shared(numbers.iter().map(|number| number.map(|number| call(number, digits))).collect::<Float64Array>()))
}

/// `Math.pow`, which unlike C's has no answer where the exponent has none, or where one is raised to an infinity.
fn power(base: f64, exponent: f64) -> f64 {
    let none = exponent.is_nan() || (exponent.is_infinite() && base.abs() == 1.0);
    if none { f64::NAN } else { base.powf(exponent) }
}

/// As Euclid does it with Java's remainders and its `abs`.
fn gcd(mut a: i64, mut b: i64) -> i64 {
    while a != 0 {
        (a, b) = (b.wrapping_rem(a), a);
    }
    b.wrapping_abs()
}

fn lcm(a: i64, b: i64) -> i64 {
    match gcd(a, b) {
        0 => 0,
        _ if a == 0 || b == 0 => 0,
        divisor => a.wrapping_abs().wrapping_div(divisor).wrapping_mul(b.wrapping_abs()),
    }
}

/// Rounds halves away from zero, on the decimal text of the number as Java's BigDecimal does.
fn half_up(number: f64, digits: i32) -> f64 {
    if !number.is_finite() {
        return number;
    }
    if digits < 0 {
        let scale = 10_f64.powi(-digits);
        return if scale.is_finite() { (number / scale).round() * scale } else { 0.0 };
    }
    let Some((kept, next)) = cut_text(number, digits as usize) else { return number };
    let step = if next < b'5' { 0.0 } else { 10_f64.powi(-digits) };
    let up = if number < 0.0 { kept - step } else { kept + step };
    format!("{up:.digits$}", digits = digits as usize).parse().unwrap_or(up)
}

/// Leaves out the digits behind a place, on the decimal text of the number.
fn cut(number: f64, digits: i32) -> f64 {
    if !number.is_finite() {
        return number;
    }
    if digits < 0 {
        let scale = 10_f64.powi(-digits);
        return if scale.is_finite() { (number / scale).trunc() * scale } else { 0.0 };
    }
    cut_text(number, digits as usize).map_or(number, |(kept, _)| kept)
}

/// A number without the digits behind a place, and the first of those; `None` where there are none.
fn cut_text(number: f64, digits: usize) -> Option<(f64, u8)> {
    // The shortest text that is the number: 1.005 rounds to 1.01, whatever lies in its bits.
    let text = format!("{number}");
    let (whole, fraction) = text.split_once('.')?;
    let next = *fraction.as_bytes().get(digits)?;
    let kept = format!("{whole}.{}", &fraction[..digits]).parse().unwrap_or(number);
    Some((kept, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_away_from_zero() {
        for (number, digits, rounded) in [
            (1.005, 2, 1.01),
            (2.5, 0, 3.0),
            (-2.5, 0, -3.0),
            (1.234, 2, 1.23),
            (0.999, 2, 1.0),
            (1234.0, -2, 1200.0),
            (7.0, 3, 7.0),
            (7.5, -400, 0.0),
        ] {
            assert_eq!(half_up(number, digits), rounded, "{number} {digits}");
        }
    }

    #[test]
    fn digits_are_cut_off_towards_zero() {
        for (number, digits, kept) in [
            (1.999, 2, 1.99),
            (-1.999, 2, -1.99),
            (2.9, 0, 2.0),
            (-2.9, 0, -2.0),
            (1299.0, -2, 1200.0),
            (1e300, 5, 1e300),
        ] {
            assert_eq!(cut(number, digits), kept, "{number} {digits}");
        }
        assert!(cut(f64::NAN, 2).is_nan());
    }

    #[test]
    fn powers_are_javas() {
        for (base, exponent) in [(1.0, f64::NAN), (1.0, f64::INFINITY), (-1.0, f64::NEG_INFINITY), (-8.0, 1.0 / 3.0)] {
            assert!(power(base, exponent).is_nan(), "{base} {exponent}");
        }
        assert_eq!((power(f64::NAN, 0.0), power(10.0, 400.0), power(0.0, -1.0)), (1.0, f64::INFINITY, f64::INFINITY));
    }

    #[test]
    fn divisors_wrap_where_java_does() {
        assert_eq!((gcd(12, -18), gcd(0, 0), gcd(0, 5), gcd(i64::MIN, 0)), (6, 0, 5, i64::MIN));
        assert_eq!(gcd(i64::MIN, -1), 1);
        assert_eq!((lcm(4, 6), lcm(0, 5), lcm(0, 0)), (12, 0, 0));
        assert_eq!(lcm(i64::MAX, 2), i64::MAX.wrapping_mul(2));
    }
}
