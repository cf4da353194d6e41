//! Numbers of any size, computed exactly as Java's BigDecimal does: a sum has the digits behind the point that the longer of
//! its parts has, a product those of both. A quotient has 34 digits, as many as IEEE 754 gives its longest decimals, or as
//! many as the dividend if it has more.

use crate::{
    datum::{Datum, Fault},
    java_text::{MAX_DECIMAL, decimal_parts},
};
use bigdecimal::{BigDecimal, RoundingMode, Zero, num_bigint::BigInt};
use std::{cmp::Ordering, num::NonZeroU64};

/// Digits of a quotient.
const QUOTIENT_DIGITS: u64 = 34;

/// A number of at most [`MAX_DECIMAL`] digits in plain notation.
#[derive(Debug, Clone, PartialEq)]
pub struct Decimal(BigDecimal);

/// What is done with two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// A sum.
    Plus,
    /// A difference.
    Minus,
    /// A product.
    Times,
    /// A quotient.
    Divide,
    /// What whole division leaves, with the sign of what is divided.
    Rest,
}

impl Decimal {
    /// Reads a number as Java does: a sign, digits, a point, an exponent. `None` where it is none, or too long.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits, scale) = decimal_parts(text.trim())?;
        // Numbers of that length would be written.
        let most = i64::try_from(MAX_DECIMAL).ok()?;
        if i64::try_from(digits.len()).ok()? > most || scale.unsigned_abs() > most.unsigned_abs() {
            return None;
        }
        let number = BigInt::parse_bytes(digits.as_bytes(), 10)?;
        Self::bounded(BigDecimal::new(if negative { -number } else { number }, scale))
    }

    /// The number that a double prints as; `None` where that is none.
    #[must_use]
    pub fn of_double(number: f64) -> Option<Self> {
        if !number.is_finite() {
            return None;
        }
        let mut text = vec![];
        crate::java_text::java_double(number, &mut text);
        Self::parse(std::str::from_utf8(&text).ok()?)
    }

    /// The number that a value is.
    ///
    /// # Errors
    /// It is none, or none that is finite.
    pub fn of(datum: Datum<'_>) -> Result<Self, Fault> {
        let found = match datum {
            Datum::Long(number) | Datum::Timestamp(number) => Some(Self(number.into())),
            Datum::Bool(truth) => Some(Self(u8::from(truth).into())),
            Datum::Float(number) => Self::of_double(f64::from(number)),
            Datum::Double(number) => Self::of_double(number),
            Datum::Decimal(text) | Datum::Text(text) => Self::parse(text),
            _ => None,
        };
        found.ok_or_else(|| Fault::takes("a decimal of at most 4096 digits", datum))
    }

    /// A number of so many digits, so many of them behind the point.
    pub(crate) fn small(digits: i128, scale: u32) -> Self {
        Self(BigDecimal::new(digits.into(), i64::from(scale)))
    }

    fn bounded(number: BigDecimal) -> Option<Self> {
        let (digits, scale) = (number.digits(), number.fractional_digit_count());
        (digits.saturating_add(scale.unsigned_abs()) <= MAX_DECIMAL as u64).then_some(Self(number))
    }

    /// In plain notation, with the zeros that it ends in; nothing has none before the point.
    #[must_use]
    pub fn plain(&self) -> String {
        if self.0.is_zero() && self.0.fractional_digit_count() < 0 {
            return "0".to_owned();
        }
        self.0.to_plain_string()
    }

    /// The same number without the zeros behind the point that it ends in.
    #[must_use]
    pub fn stripped(self) -> Self {
        let made = self.0.normalized();
        Self(if made.fractional_digit_count() < 0 { made.with_scale(0) } else { made })
    }

    /// The same number with so many digits behind the point; those that are too many are cut.
    #[must_use]
    pub(crate) fn with_scale(self, scale: i64) -> Self {
        Self(self.0.with_scale(scale))
    }

    /// The greatest whole number that is not above it.
    #[must_use]
    pub fn floored(&self) -> Self {
        Self(self.0.with_scale_round(0, RoundingMode::Floor))
    }

    /// It with so many digits at most, and then with so many behind the point, half of a last one rounded to even.
    ///
    /// # Errors
    /// It has too many digits then.
    pub fn rounded(&self, digits: NonZeroU64, scale: Option<i64>) -> Result<Self, Fault> {
        // No fewer digits than it has are made.
        let made = match self.0.digits() > digits.get() {
            true => self.0.with_precision_round(digits, RoundingMode::HalfEven),
            false => self.0.clone(),
        };
        let made = match scale {
            Some(scale) if scale.unsigned_abs() > MAX_DECIMAL as u64 => return Err(too_many()),
            Some(scale) => made.with_scale_round(scale, RoundingMode::HalfEven),
            None => made,
        };
        Self::bounded(made).ok_or_else(too_many)
    }

    /// Its sign.
    #[must_use]
    pub fn sign(&self) -> Ordering {
        self.0.cmp(&BigDecimal::zero())
    }

    /// The same number with the other sign.
    #[must_use]
    pub fn negated(self) -> Self {
        Self(-self.0)
    }

    /// Which of two is greater, whatever zeros they end in.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }

    /// The two computed.
    ///
    /// # Errors
    /// The divisor is zero, or the result has too many digits.
    pub fn computed(&self, operator: Operator, other: &Self) -> Result<Self, Fault> {
        let by_zero = other.0.is_zero() && matches!(operator, Operator::Divide | Operator::Rest);
        if by_zero {
            return Err(Fault::new("division by zero"));
        }
        let made = match operator {
            Operator::Plus => &self.0 + &other.0,
            Operator::Minus => &self.0 - &other.0,
            Operator::Times => &self.0 * &other.0,
            Operator::Divide => quotient(&self.0, &other.0),
            Operator::Rest => &self.0 % &other.0,
        };
        Self::bounded(made).ok_or_else(too_many)
    }
}

fn too_many() -> Fault {
    Fault::new(format!("a decimal of more than {MAX_DECIMAL} digits is too long"))
}

fn quotient(a: &BigDecimal, b: &BigDecimal) -> BigDecimal {
    let preferred = a.fractional_digit_count() - b.fractional_digit_count();
    let (number, scale) = a.as_bigint_and_exponent();
    let (by, by_scale) = b.as_bigint_and_exponent();
    let most = QUOTIENT_DIGITS.max(a.digits());
    // Two digits more than are kept.
    let shift = (most + b.digits() + 2).saturating_sub(a.digits());
    let shifted = number * BigInt::from(10).pow(u32::try_from(shift).unwrap_or(u32::MAX));
    let rest = &shifted % &by;
    let mut whole = shifted / by;
    let mut scale = scale - by_scale + i64::try_from(shift).unwrap_or(i64::MAX);
    if !rest.is_zero() {
        // What is left makes a tie none, and no more.
        let sign = if rest.sign() == whole.sign() || whole.is_zero() { 1 } else { -1 };
        whole = whole * 10 + sign;
        scale += 1;
    }
    let digits = NonZeroU64::new(most).expect("it is more than zero");
    let rounded = BigDecimal::new(whole, scale).with_precision_round(digits, RoundingMode::HalfEven).normalized();
    if rounded.fractional_digit_count() < preferred { rounded.with_scale(preferred) } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(a: &str, operator: Operator, b: &str) -> Result<String, String> {
        let made = Decimal::parse(a).unwrap().computed(operator, &Decimal::parse(b).unwrap());
        made.map(|made| made.plain()).map_err(|fault| fault.to_string())
    }

    #[test]
    fn nothing_is_one_zero() {
        let large = Decimal::parse("1E+40").expect("a number");
        assert_eq!(large.computed(Operator::Minus, &large).expect("a number").plain(), "0");
        let small = Decimal::parse("0.10").expect("a number");
        assert_eq!(small.computed(Operator::Minus, &small).expect("a number").plain(), "0.00");
    }

    #[test]
    fn zeros_fractions_and_digits_are_taken_off() {
        let of = |text: &str| Decimal::parse(text).unwrap();
        for (text, stripped, floor) in [
            ("1.50", "1.5", "1"),
            ("-1.50", "-1.5", "-2"),
            ("100", "100", "100"),
            ("1E+3", "1000", "1000"),
            ("0.00", "0", "0"),
            ("-0.1", "-0.1", "-1"),
        ] {
            assert_eq!(
                (of(text).stripped().plain(), of(text).floored().plain()),
                (stripped.into(), floor.into()),
                "{text}"
            );
        }
        let digits = |count| NonZeroU64::new(count).unwrap();
        assert_eq!(of("1234.565").rounded(digits(6), None).unwrap().plain(), "1234.56");
        assert_eq!(of("1234.565").rounded(digits(40), Some(2)).unwrap().plain(), "1234.56");
        assert_eq!(of("5").rounded(digits(3), Some(2)).unwrap().plain(), "5.00");
        assert!(of("5").rounded(digits(3), Some(10_000)).is_err());
    }

    #[test]
    fn digits_are_kept() {
        for (text, plain) in [
            ("1.50", "1.50"),
            (" -0.00 ", "0.00"),
            (".5", "0.5"),
            ("5.", "5"),
            ("+1e3", "1000"),
            ("1.0E10", "10000000000"),
            ("12e-3", "0.012"),
            ("123456789012345678901234567890.5", "123456789012345678901234567890.5"),
        ] {
            assert_eq!(Decimal::parse(text).unwrap().plain(), plain, "{text}");
        }
        for bad in ["", ".", "NaN", "1_000", "0x1", "1e", "1e999999999", "1e-99999999999999999999", "1 2"] {
            assert_eq!(Decimal::parse(bad), None, "{bad}");
        }
        assert_eq!(Decimal::of_double(0.1).unwrap().plain(), "0.1");
        assert_eq!((Decimal::of_double(f64::NAN), Decimal::of_double(f64::INFINITY)), (None, None));
    }

    /// Sums and products by `java.math.BigDecimal`, quotients by its `divide(b, MathContext.DECIMAL128)`.
    #[test]
    fn numbers_are_computed_as_java_computes_them() {
        use Operator::*;
        for (a, operator, b, expected) in [
            ("0.1", Plus, "0.2", "0.3"),
            ("1.50", Plus, "1.50", "3.00"),
            ("9007199254740993", Plus, "0.00", "9007199254740993.00"),
            ("1.50", Minus, "3", "-1.50"),
            ("1.50", Times, "0.30", "0.4500"),
            ("12345678901234567890", Times, "98765432109876543210", "1219326311370217952237463801111263526900"),
            ("1.50", Divide, "3", "0.50"),
            ("10", Divide, "3", "3.333333333333333333333333333333333"),
            ("2", Divide, "3", "0.6666666666666666666666666666666667"),
            ("-2", Divide, "3", "-0.6666666666666666666666666666666667"),
            ("10", Divide, "2.5", "4"),
            ("1", Divide, "8", "0.125"),
            ("0", Divide, "3", "0"),
            ("1.5", Rest, "0.4", "0.3"),
            ("-7", Rest, "3", "-1"),
        ] {
            assert_eq!(made(a, operator, b).as_deref(), Ok(expected), "{a} {operator:?} {b}");
        }
        assert_eq!(made("1", Divide, "0.00"), Err("division by zero".to_owned()));
        let long = "7".repeat(4000);
        assert!(made(&long, Times, &long).unwrap_err().contains("more than 4096 digits"));
    }
}
