//! A sum of decimals, every digit of it. Most decimals are short: they are added as machine words, and what does not fit
//! there goes into a number of any size.

use crate::{
    datum::Fault,
    decimal::{Decimal, Operator},
};

/// Digits that a machine word takes for sure.
const SHORT: usize = 36;

/// What was added up.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DecimalSum {
    /// The short ones, as so many of their last digits (`scale`) as stand behind the point.
    short: i128,
    scale: u32,
    /// What did not fit there.
    long: Option<Decimal>,
}

impl DecimalSum {
    /// Adds a decimal, or takes it away again.
    ///
    /// # Errors
    /// The text is no decimal, or the sum has too many digits.
    pub fn add(&mut self, text: &str, away: bool) -> Result<(), Fault> {
        if let Some((number, scale)) = short(text)
            && self.add_short(if away { -number } else { number }, scale).is_some()
        {
            return Ok(());
        }
        let number =
            Decimal::parse(text).ok_or_else(|| Fault::new(format!("'{text}' is no decimal of at most 4096 digits")))?;
        let number = if away { number.negated() } else { number };
        self.long = Some(match self.long.take() {
            None => number,
            Some(long) => long.computed(Operator::Plus, &number)?,
        });
        Ok(())
    }

    fn add_short(&mut self, number: i128, scale: u32) -> Option<()> {
        let wide = scale.max(self.scale);
        let lifted = |number: i128, scale: u32| number.checked_mul(10_i128.checked_pow(wide - scale)?);
        let sum = lifted(self.short, self.scale)?.checked_add(lifted(number, scale)?)?;
        (self.short, self.scale) = (sum, wide);
        Some(())
    }

    /// What the numbers are together.
    ///
    /// # Errors
    /// It has too many digits.
    pub fn total(&self) -> Result<Decimal, Fault> {
        let short = Decimal::small(self.short, self.scale);
        match &self.long {
            None => Ok(short),
            Some(long) => long.computed(Operator::Plus, &short),
        }
    }

    /// Bytes that it holds outside of itself, roughly: a decimal of any size has at most 4096 digits.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        self.long.as_ref().map_or(0, |_| 128)
    }
}

/// A decimal in plain notation as its digits and how many of them stand behind the point, where it is short.
fn short(text: &str) -> Option<(i128, u32)> {
    if text.len() > SHORT {
        return None;
    }
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let (mut number, mut scale, mut point, mut any) = (0_i128, 0, false, false);
    for byte in digits {
        match byte {
            b'0'..=b'9' => {
                number = number * 10 + i128::from(byte - b'0');
                scale += u32::from(point);
                any = true;
            }
            b'.' if !point => point = true,
            _ => return None,
        }
    }
    any.then_some((if negative { -number } else { number }, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(texts: &[&str]) -> String {
        let mut sum = DecimalSum::default();
        texts.iter().for_each(|text| sum.add(text, false).unwrap());
        sum.total().unwrap().plain()
    }

    #[test]
    fn no_digit_is_lost() {
        let long = "9".repeat(60);
        for (texts, expected) in [
            (vec![], "0"),
            (vec!["0.1"; 10], "1.0"),
            (vec!["10.50", "9.75", "-0.250"], "20.000"),
            (vec!["12345678901234567890", "1"], "12345678901234567891"),
            (vec!["1e3", "1"], "1001"),
            (
                vec!["99999999999999999999999999999999999", "0.00000000000000000000000000000001", "1"],
                "100000000000000000000000000000000000.00000000000000000000000000000001",
            ),
        ] {
            assert_eq!(total(&texts), expected, "{texts:?}");
        }
        assert_eq!(total(&[&long, "1", "0.5"]), format!("1{}.5", "0".repeat(60)));
    }

    #[test]
    fn what_was_added_is_taken_away_again() {
        let mut sum = DecimalSum::default();
        let long = "7".repeat(50);
        for text in ["1.5", &long, "2.25"] {
            sum.add(text, false).unwrap();
        }
        sum.add(&long, true).unwrap();
        sum.add("1.5", true).unwrap();
        assert_eq!(sum.total().unwrap().plain(), "2.25");
        assert!(sum.add("x", false).unwrap_err().to_string().contains("'x'"));
    }
}
