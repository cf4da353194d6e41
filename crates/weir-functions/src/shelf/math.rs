//! Arithmetic. Of whole numbers `+`, `-` and `*` give whole ones, that wrap as Java's do; division is of real numbers. With a
//! BIG_DECIMAL all are exact.

use super::{
    Function, Gives, MANY,
    gives::{DOUBLE, INT, LONG, NUMBER, REAL},
};
use crate::datum::{Datum, Fault};
use crate::{
    decimal::{Decimal, Operator},
    numbers::{cut, digits, gcd, half_up, lcm, power, round},
};
use bumpalo::Bump;
use std::cmp::Ordering;

/// Two numbers computed exactly, where one of them is a decimal.
fn exact<'a>(args: &[Datum<'a>], operator: Operator, arena: &'a Bump) -> Option<Result<Datum<'a>, Fault>> {
    let is_decimal = |arg: &Datum<'_>| matches!(arg, Datum::Decimal(_));
    let made = || Decimal::of(args[0])?.computed(operator, &Decimal::of(args[1])?);
    args[..2].iter().any(is_decimal).then(|| made().map(|made| held(&made, arena)))
}

fn held<'a>(decimal: &Decimal, arena: &'a Bump) -> Datum<'a> {
    Datum::Decimal(arena.alloc_str(&decimal.plain()))
}

fn arithmetic<'a>(
    args: &[Datum<'a>],
    operator: Operator,
    whole: fn(i64, i64) -> i64,
    real: fn(f64, f64) -> f64,
    arena: &'a Bump,
) -> Result<Datum<'a>, Fault> {
    if let Some(made) = exact(args, operator, arena) {
        return made;
    }
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

/// A real number, and a count of digits where there is one.
fn rounded<'a>(args: &[Datum<'a>], whole: fn(f64) -> f64, call: fn(f64, i32) -> f64) -> Result<Datum<'a>, Fault> {
    let number = args[0].double()?;
    Ok(Datum::Double(match args.get(1) {
        None => whole(number),
        Some(count) => call(number, digits(count.long()?)),
    }))
}

/// The bucket of a number among `count` of the same width from `low` to `high`, from 1; 0 before them, `count + 1` behind.
fn width_bucket(args: &[Datum<'_>]) -> Result<i64, Fault> {
    let (number, low, high) = (args[0].double()?, args[1].double()?, args[2].double()?);
    // The bucket behind the last is an INT too.
    let count = args[3].long()?;
    if !(1..i64::from(i32::MAX)).contains(&count) {
        return Err(Fault::new(format!("{count} buckets cannot be; 1 to {} can", i32::MAX - 1)));
    }
    if low == high || !low.is_finite() || !high.is_finite() || number.is_nan() {
        return Err(Fault::new(format!("there are no buckets of {number} between {low} and {high}")));
    }
    // They may be counted downwards.
    let (before, behind) = if low < high { (number < low, number >= high) } else { (number > low, number <= high) };
    Ok(match (before, behind) {
        (true, _) => 0,
        (_, true) => count + 1,
        // Halves: the width itself need not be a number.
        _ => {
            let part = (number / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0) * count as f64;
            (part.floor() as i64).clamp(0, count - 1) + 1
        }
    })
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function::plain(&["plus", "add"], 2, MANY, NUMBER, |args, arena| {
        args[1..].iter().try_fold(args[0], |sum, arg| {
            arithmetic(&[sum, *arg], Operator::Plus, i64::wrapping_add, |a, b| a + b, arena)
        })
    }),
    Function::plain(&["minus", "sub"], 2, 2, NUMBER, |args, arena| {
        arithmetic(args, Operator::Minus, i64::wrapping_sub, |a, b| a - b, arena)
    }),
    Function::plain(&["times", "mult"], 2, MANY, NUMBER, |args, arena| {
        args[1..].iter().try_fold(args[0], |product, arg| {
            arithmetic(&[product, *arg], Operator::Times, i64::wrapping_mul, |a, b| a * b, arena)
        })
    }),
    Function::plain(&["divide", "div"], 2, 3, REAL, |args, arena| {
        if args.len() == 3 && args[1].double()? == 0.0 {
            return Ok(if matches!(args[2], Datum::Decimal(_)) { args[2] } else { Datum::Double(args[2].double()?) });
        }
        if let Some(made) = exact(args, Operator::Divide, arena) {
            return made;
        }
        Ok(Datum::Double(args[0].double()? / args[1].double()?))
    }),
    Function::plain(&["mod"], 2, 2, NUMBER, |args, arena| {
        if let Some(made) = exact(args, Operator::Rest, arena) {
            return made;
        }
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
    Function::plain(&["moduloOrZero"], 2, 2, NUMBER, |args, arena| {
        if args.iter().any(|arg| matches!(arg, Datum::Decimal(_))) {
            let by_zero = args[1].double()? == 0.0;
            return if by_zero {
                Ok(Datum::Decimal("0"))
            } else {
                exact(args, Operator::Rest, arena).unwrap_or(Ok(Datum::Null))
            };
        }
        if args[0].are_whole(args[1]) {
            return Ok(Datum::Long(args[0].long()?.checked_rem(args[1].long()?).unwrap_or(0)));
        }
        let (a, b) = (args[0].double()?, args[1].double()?);
        Ok(Datum::Double(if b == 0.0 { 0.0 } else { a % b }))
    }),
    Function::plain(&["positiveModulo"], 2, 2, NUMBER, |args, arena| {
        if let Some(rest) = exact(args, Operator::Rest, arena) {
            let rest = Decimal::of(rest?)?;
            if rest.sign().is_ge() {
                return Ok(held(&rest, arena));
            }
            let by = Decimal::of(args[1])?;
            let by = if by.sign().is_lt() { by.negated() } else { by };
            return Ok(held(&rest.computed(Operator::Plus, &by)?, arena));
        }
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
    Function::plain(&["negate"], 1, 1, NUMBER, |args, arena| {
        Ok(match args[0] {
            Datum::Decimal(_) => held(&Decimal::of(args[0])?.negated(), arena),
            Datum::Long(number) => Datum::Long(number.wrapping_neg()),
            other => Datum::Double(-other.double()?),
        })
    }),
    Function::plain(&["abs"], 1, 1, NUMBER, |args, arena| {
        Ok(match args[0] {
            Datum::Decimal(_) => {
                let number = Decimal::of(args[0])?;
                held(&if number.sign().is_lt() { number.negated() } else { number }, arena)
            }
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
    Function::plain(&["roundDecimal"], 1, 2, DOUBLE, |args, _| rounded(args, round, half_up)),
    Function::plain(&["truncate"], 1, 2, DOUBLE, |args, _| rounded(args, f64::trunc, cut)),
    Function::plain(&["widthBucket"], 4, 4, INT, |args, _| width_bucket(args).map(Datum::Long)),
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

#[cfg(test)]
mod tests {
    use crate::expression::value_text as eval;

    #[test]
    fn decimals_are_computed_exactly() {
        for (call, expected) in [
            ("CAST('0.1' AS BIG_DECIMAL) + CAST('0.2' AS BIG_DECIMAL)", "0.3"),
            ("CAST('9007199254740993' AS BIG_DECIMAL) + 1", "9007199254740994"),
            ("99999999999999999999 * 10", "999999999999999999990"),
            ("plus(CAST('1.50' AS BIG_DECIMAL), 1, 0.25)", "2.75"),
            ("CAST('1.50' AS BIG_DECIMAL) - '0.5'", "1.00"),
            ("CAST(10 AS BIG_DECIMAL) / 4", "2.5"),
            ("divide(CAST(1 AS BIG_DECIMAL), 0, -1)", "-1.0"),
            ("CAST('7.5' AS BIG_DECIMAL) % 2", "1.5"),
            ("moduloOrZero(CAST('7.5' AS BIG_DECIMAL), 0)", "0"),
            ("positiveModulo(CAST('-7.5' AS BIG_DECIMAL), 2)", "0.5"),
            ("negate(CAST('1.50' AS BIG_DECIMAL))", "-1.50"),
            ("abs(CAST('-1.50' AS BIG_DECIMAL))", "1.50"),
            ("greatest(CAST('9007199254740993' AS BIG_DECIMAL), 9007199254740992)", "9007199254740993"),
            ("CAST('9007199254740993' AS BIG_DECIMAL) = 9007199254740992", "false"),
            ("CAST(0.1 AS BIG_DECIMAL) = 0.1", "true"),
        ] {
            assert_eq!(eval(call).as_deref(), Ok(expected), "{call}");
        }
        let by_zero = eval("CAST(1 AS BIG_DECIMAL) / 0").unwrap_err();
        assert!(by_zero.contains("division by zero"), "{by_zero}");
        let none = eval("CAST(1 AS BIG_DECIMAL) + CAST('NaN' AS DOUBLE)").unwrap_err();
        assert!(none.contains("a decimal of at most 4096 digits is expected, got NaN"), "{none}");
    }

    #[test]
    fn buckets_of_a_width_are_those_of_the_sql_standard() {
        for (call, expected) in [
            ("widthBucket(5.35, 0.024, 10.06, 5)", "3"),
            ("widthBucket(-1, 0, 10, 5)", "0"),
            ("widthBucket(0, 0, 10, 5)", "1"),
            ("widthBucket(10, 0, 10, 5)", "6"),
            ("widthBucket(9.99, 0, 10, 5)", "5"),
            ("widthBucket(9, 10, 0, 5)", "1"),
            ("widthBucket(0, 10, 0, 5)", "6"),
            ("widthBucket(11, 10, 0, 5)", "0"),
            ("widthBucket(0, -1.7e308, 1.7e308, 2)", "2"),
        ] {
            assert_eq!(eval(call).as_deref(), Ok(expected), "{call}");
        }
        for bad in ["widthBucket(1, 0, 10, 0)", "widthBucket(5, 0, 10, 4294967298)", "widthBucket(1, 5, 5, 3)"] {
            assert!(eval(bad).is_err(), "{bad}");
        }
    }
}
