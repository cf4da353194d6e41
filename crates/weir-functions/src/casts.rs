//! What a text becomes by a cast, in SQL as in an expression. White space around it does not count.
//!
//! INT takes the number that Java's `Double.valueOf` reads, cut and saturated; LONG and BIG_DECIMAL take the decimal that it
//! is, of which LONG keeps the low 64 bits of the whole part.

use crate::java_text::{decimal_low_bits, float_from_text};

/// A text as a whole number of 32 bits.
#[must_use]
pub fn int_of_text(text: &str) -> Option<i32> {
    float_from_text::<f64>(text.trim()).map(|number| number as i32)
}

/// A text as a whole number of 64 bits.
#[must_use]
pub fn long_of_text(text: &str) -> Option<i64> {
    let trimmed = text.trim();
    trimmed.parse().ok().or_else(|| decimal_low_bits(trimmed).map(|(low, _)| low))
}

/// A text as a real number of single precision: not through a double, which might round twice.
#[must_use]
pub fn float_of_text(text: &str) -> Option<f32> {
    float_from_text(text.trim())
}

/// A text as a real number.
#[must_use]
pub fn double_of_text(text: &str) -> Option<f64> {
    float_from_text(text.trim())
}

/// A text as a truth: `true` in any case and `1` are, all else is not.
#[must_use]
pub fn truth_of_text(text: &str) -> bool {
    let trimmed = text.trim();
    trimmed.eq_ignore_ascii_case("true") || trimmed == "1"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_numbers_as_in_pinots_queries() {
        assert_eq!([" 7 ", "7.9", "-7.9", "1e19", "NaN"].map(int_of_text), [7, 7, -7, i32::MAX, 0].map(Some));
        let longs = [" 7 ", "7.9", "-7.9", "1e19", "9223372036854775808"].map(long_of_text);
        assert_eq!(longs, [7, 7, -7, -8_446_744_073_709_551_616, i64::MIN].map(Some));
        for bad in ["", "true", "0x10", "1 2", "inf", "one"] {
            assert_eq!((int_of_text(bad), long_of_text(bad), double_of_text(bad)), (None, None, None), "{bad}");
        }
        assert_eq!((double_of_text(" 1.5f "), float_of_text("0.1")), (Some(1.5), Some(0.1)));
        assert_eq!([" TRUE ", "1", "yes", "0", ""].map(truth_of_text), [true, true, false, false, false]);
    }
}
