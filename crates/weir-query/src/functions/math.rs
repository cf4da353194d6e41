//! Number functions whose rules differ from DataFusion's.

use super::{
    convert::shared,
    fun::{Args, Fun, Gives},
};
use arrow::array::{ArrayRef, Float64Array, Int64Array};
use datafusion::common::Result;
use weir_types::DataType;

const DOUBLE: Gives = Gives::One(DataType::Double);
const LONG: Gives = Gives::One(DataType::Long);

/// All of the family.
pub(super) const FUNS: [Fun; 5] = [
    Fun::new("w_round_decimal", (1, 2), DOUBLE, |args| {
        let digits = if args.len() > 1 { args.constant_long(1, "the digits")? } else { 0 };
        let digits = i32::try_from(digits).unwrap_or(0);
        Ok(shared(
            args.doubles(0)?
                .iter()
                .map(|number| number.map(|number| half_up(number, digits)))
                .collect::<Float64Array>(),
        ))
    }),
    Fun::new("w_int_div", (2, 2), LONG, |args| {
        let quotient = |a: f64, b: f64| (a / b).floor() as i64;
        longs(args, quotient)
    }),
    Fun::new("w_int_div_or_zero", (2, 2), LONG, |args| {
        longs(args, |a, b| if b == 0.0 { 0 } else { (a / b).floor() as i64 })
    }),
    Fun::new("w_sign", (1, 1), DOUBLE, |args| {
        let sign = |number: f64| if number == 0.0 || number.is_nan() { number } else { number.signum() };
        Ok(shared(args.doubles(0)?.iter().map(|number| number.map(sign)).collect::<Float64Array>()))
    }),
    Fun::new("w_hypot", (2, 2), DOUBLE, |args| {
        let (a, b) = (args.doubles(0)?, args.doubles(1)?);
        Ok(shared(a.iter().zip(&b).map(|(a, b)| Some(a?.hypot(b?))).collect::<Float64Array>()))
    }),
];

fn longs(args: &Args, call: fn(f64, f64) -> i64) -> Result<ArrayRef> {
    let (a, b) = (args.doubles(0)?, args.doubles(1)?);
    Ok(shared(a.iter().zip(&b).map(|(a, b)| Some(call(a?, b?))).collect::<Int64Array>()))
}

/// Rounds halves away from zero, on the decimal text of the number as Java's BigDecimal does.
fn half_up(number: f64, digits: i32) -> f64 {
    if !number.is_finite() {
        return number;
    }
    if digits < 0 {
        let scale = 10_f64.powi(-digits);
        return (number / scale).round() * scale;
    }
    // The shortest text that is the number: 1.005 rounds to 1.01, whatever lies in its bits.
    let text = format!("{number}");
    let Some((whole, fraction)) = text.split_once('.') else { return number };
    let digits = digits as usize;
    if fraction.len() <= digits {
        return number;
    }
    let cut: f64 = format!("{whole}.{}", &fraction[..digits]).parse().unwrap_or(number);
    if fraction.as_bytes()[digits] < b'5' {
        return cut;
    }
    let step = 10_f64.powi(-(digits as i32));
    let up = if number < 0.0 { cut - step } else { cut + step };
    format!("{up:.digits$}").parse().unwrap_or(up)
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
        ] {
            assert_eq!(half_up(number, digits), rounded, "{number} {digits}");
        }
    }
}
