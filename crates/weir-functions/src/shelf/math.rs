//! Arithmetic. Of whole numbers `+`, `-` and `*` give whole ones, that wrap as Java's do; division is of real numbers.

use super::{
    Function, Gives, MANY,
    gives::{DOUBLE, INT, LONG, NUMBER},
};
use crate::datum::{Datum, Fault};
use crate::numbers::{cut, digits, gcd, half_up, lcm, power};
use bumpalo::Bump;
use std::cmp::Ordering;

fn arithmetic<'a>(
    args: &[Datum<'a>],
    whole: fn(i64, i64) -> i64,
    real: fn(f64, f64) -> f64,
) -> Result<Datum<'a>, Fault> {
    if args[0].are_whole(args[1]) {
        return Ok(Datum::Long(whole(args[0].long()?, args[1].long()?)));
    }
    Ok(Datum::Double(real(args[0].double()?, args[1].double()?)))
}

/// A function of one real number.
macro_rules! real {
    ($names:expr, $call:expr) => {
        Function::plain($names, 1, 1, DOUBLE, |args, _| {
            let call: fn(f64) -> f64 = $call;
            Ok(Datum::Double(call(args[0].double()?)))
        })
    };
}

/// A function of whole numbers.
macro_rules! whole {
    ($names:expr, $count:expr, $gives:expr, $call:expr) => {
        Function::plain($names, $count, $count, $gives, |args, _| {
            let call: fn(&[i64]) -> i64 = $call;
            let mut numbers = [0; 2];
            for (number, arg) in numbers.iter_mut().zip(args) {
                *number = arg.long()?;
            }
            Ok(Datum::Long(call(&numbers[..$count])))
        })
    };
}

/// Whole division rounds down; by zero it saturates, as Java's cast of an infinity does.
fn int_div(args: &[Datum<'_>], by_zero: Option<i64>) -> Result<i64, Fault> {
    let (a, b) = (args[0].double()?, args[1].double()?);
    Ok(by_zero.filter(|_| b == 0.0).unwrap_or((a / b).floor() as i64))
}

fn extreme<'a>(args: &[Datum<'a>], arena: &'a Bump, wanted: Ordering) -> Result<Datum<'a>, Fault> {
    let mut best = args[0];
    for arg in &args[1..] {
        if arg.compare(best, arena)? == Some(wanted) {
            best = *arg;
        }
    }
    Ok(best)
}

/// A real number and a count of digits, 0 where there is none.
fn rounded<'a>(args: &[Datum<'a>], call: fn(f64, i32) -> f64) -> Result<Datum<'a>, Fault> {
    let count = args.get(1).map_or(Ok(0), |count| count.long())?;
    Ok(Datum::Double(call(args[0].double()?, digits(count))))
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function::plain(&["plus", "add"], 2, MANY, NUMBER, |args, _| {
        args[1..].iter().try_fold(args[0], |sum, arg| arithmetic(&[sum, *arg], i64::wrapping_add, |a, b| a + b))
    }),
    Function::plain(&["minus", "sub"], 2, 2, NUMBER, |args, _| arithmetic(args, i64::wrapping_sub, |a, b| a - b)),
    Function::plain(&["times", "mult"], 2, MANY, NUMBER, |args, _| {
        args[1..].iter().try_fold(args[0], |product, arg| arithmetic(&[product, *arg], i64::wrapping_mul, |a, b| a * b))
    }),
    Function::plain(&["divide", "div"], 2, 3, DOUBLE, |args, _| {
        let (a, b) = (args[0].double()?, args[1].double()?);
        Ok(match args.get(2) {
            Some(default) if b == 0.0 => Datum::Double(default.double()?),
            _ => Datum::Double(a / b),
        })
    }),
    Function::plain(&["mod"], 2, 2, NUMBER, |args, _| {
        if args[0].are_whole(args[1]) {
            let by = args[1].long()?;
            return args[0]
                .long()?
                .checked_rem(by)
                .map(Datum::Long)
                .map_or_else(|| if by == 0 { Err(Fault::new("division by zero")) } else { Ok(Datum::Long(0)) }, Ok);
        }
        Ok(Datum::Double(args[0].double()? % args[1].double()?))
    }),
    Function::plain(&["moduloOrZero"], 2, 2, NUMBER, |args, _| {
        if args[0].are_whole(args[1]) {
            return Ok(Datum::Long(args[0].long()?.checked_rem(args[1].long()?).unwrap_or(0)));
        }
        let (a, b) = (args[0].double()?, args[1].double()?);
        Ok(Datum::Double(if b == 0.0 { 0.0 } else { a % b }))
    }),
    Function::plain(&["positiveModulo"], 2, 2, NUMBER, |args, _| {
        if !args[0].are_whole(args[1]) {
            return Ok(Datum::Double(args[0].double()?.rem_euclid(args[1].double()?)));
        }
        let (a, b) = (args[0].long()?, args[1].long()?);
        if b == 0 {
            return Err(Fault::new("division by zero"));
        }
        // Of the least number and -1 it is 0, where the quotient itself would be none.
        Ok(Datum::Long(a.wrapping_rem_euclid(b)))
    }),
    Function::plain(&["intDiv"], 2, 2, LONG, |args, _| int_div(args, None).map(Datum::Long)),
    Function::plain(&["intDivOrZero"], 2, 2, LONG, |args, _| int_div(args, Some(0)).map(Datum::Long)),
    Function::plain(&["negate"], 1, 1, NUMBER, |args, _| {
        Ok(match args[0] {
            Datum::Long(number) => Datum::Long(number.wrapping_neg()),
            other => Datum::Double(-other.double()?),
        })
    }),
    Function::plain(&["abs"], 1, 1, NUMBER, |args, _| {
        Ok(match args[0] {
            Datum::Long(number) => Datum::Long(number.wrapping_abs()),
            other => Datum::Double(other.double()?.abs()),
        })
    }),
    Function::plain(&["least"], 1, MANY, Gives::Like(0), |args, arena| extreme(args, arena, Ordering::Less)),
    Function::plain(&["greatest"], 1, MANY, Gives::Like(0), |args, arena| extreme(args, arena, Ordering::Greater)),
    real!(&["ceil", "ceiling"], f64::ceil),
    real!(&["floor"], f64::floor),
    real!(&["exp"], f64::exp),
    real!(&["exp2"], f64::exp2),
    real!(&["exp10"], |number| 10f64.powf(number)),
    real!(&["ln", "log"], f64::ln),
    real!(&["log2"], f64::log2),
    real!(&["log10"], f64::log10),
    real!(&["log1p"], f64::ln_1p),
    real!(&["sqrt"], f64::sqrt),
    real!(&["cbrt"], f64::cbrt),
    real!(&["sign"], |number| if number == 0.0 || number.is_nan() { number } else { number.signum() }),
    real!(&["sin"], f64::sin),
    real!(&["cos"], f64::cos),
    real!(&["tan"], f64::tan),
    real!(&["cot"], |angle| 1.0 / angle.tan()),
    real!(&["asin"], f64::asin),
    real!(&["acos"], f64::acos),
    real!(&["atan"], f64::atan),
    real!(&["sinh"], f64::sinh),
    real!(&["cosh"], f64::cosh),
    real!(&["tanh"], f64::tanh),
    real!(&["asinh"], f64::asinh),
    real!(&["acosh"], f64::acosh),
    real!(&["atanh"], f64::atanh),
    real!(&["degrees"], f64::to_degrees),
    real!(&["radians"], f64::to_radians),
    real!(&["sigmoid"], |number| 1.0 / (1.0 + (-number).exp())),
    Function::plain(&["atan2"], 2, 2, DOUBLE, |args, _| Ok(Datum::Double(args[0].double()?.atan2(args[1].double()?)))),
    Function::plain(&["hypot"], 2, 2, DOUBLE, |args, _| Ok(Datum::Double(args[0].double()?.hypot(args[1].double()?)))),
    Function::plain(&["power", "pow"], 2, 2, DOUBLE, |args, _| {
        Ok(Datum::Double(power(args[0].double()?, args[1].double()?)))
    }),
    Function::plain(&["roundDecimal"], 1, 2, DOUBLE, |args, _| rounded(args, half_up)),
    Function::plain(&["truncate"], 1, 2, DOUBLE, |args, _| rounded(args, cut)),
    Function::plain(&["pi"], 0, 0, DOUBLE, |_, _| Ok(Datum::Double(std::f64::consts::PI))),
    Function::plain(&["e", "euler"], 0, 0, DOUBLE, |_, _| Ok(Datum::Double(std::f64::consts::E))),
    Function::plain(&["isNaN"], 1, 1, INT, |args, _| Ok(Datum::Long(args[0].double()?.is_nan().into()))),
    Function::plain(&["isFinite"], 1, 1, INT, |args, _| Ok(Datum::Long(args[0].double()?.is_finite().into()))),
    Function::plain(&["isInfinite"], 1, 1, INT, |args, _| Ok(Datum::Long(args[0].double()?.is_infinite().into()))),
    Function::plain(&["ifNotFinite"], 2, 2, DOUBLE, |args, _| {
        let number = args[0].double()?;
        Ok(Datum::Double(if number.is_finite() { number } else { args[1].double()? }))
    }),
    whole!(&["gcd"], 2, LONG, |n| gcd(n[0], n[1])),
    whole!(&["lcm"], 2, LONG, |n| lcm(n[0], n[1])),
    whole!(&["bitAnd"], 2, LONG, |n| n[0] & n[1]),
    whole!(&["bitOr"], 2, LONG, |n| n[0] | n[1]),
    whole!(&["bitXor"], 2, LONG, |n| n[0] ^ n[1]),
    whole!(&["bitNot"], 1, LONG, |n| !n[0]),
    whole!(&["bitMask"], 1, LONG, |n| 1i64.wrapping_shl(n[0] as u32)),
    whole!(&["bitExtract", "extractBit"], 2, INT, |n| n[0].wrapping_shr(n[1] as u32) & 1),
    whole!(&["bitShiftLeft"], 2, LONG, |n| n[0].wrapping_shl(n[1] as u32)),
    whole!(&["bitShiftRight"], 2, LONG, |n| n[0].wrapping_shr(n[1] as u32)),
    whole!(&["bitShiftRightUnsigned", "bitShiftRightLogical"], 2, LONG, |n| {
        (n[0] as u64).wrapping_shr(n[1] as u32) as i64
    }),
    whole!(&["bitCount"], 1, INT, |n| n[0].count_ones().into()),
    whole!(&["byteswapInt"], 1, INT, |n| (n[0] as i32).swap_bytes().into()),
    whole!(&["byteswapLong"], 1, LONG, |n| n[0].swap_bytes()),
    Function::plain(&["factorial"], 1, 1, LONG, factorial),
];

fn factorial<'a>(args: &[Datum<'a>], _: &'a Bump) -> Result<Datum<'a>, Fault> {
    match args[0].long()? {
        // 21! needs more than 64 bits.
        number @ 0..=20 => Ok(Datum::Long((1..=number).product())),
        number => Err(Fault::new(format!("{number}! is no whole number of 64 bits; 0 to 20 are"))),
    }
}
