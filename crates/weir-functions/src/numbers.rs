//! Arithmetic as Java does it, where it differs from the processor's.

/// `Math.pow`, which unlike C's has no answer where the exponent has none, or where one is raised to an infinity.
#[must_use]
pub fn power(base: f64, exponent: f64) -> f64 {
    let none = exponent.is_nan() || (exponent.is_infinite() && base.abs() == 1.0);
    if none { f64::NAN } else { base.powf(exponent) }
}

/// The greatest common divisor, as Euclid does it with Java's remainders and its `abs`.
#[must_use]
pub fn gcd(mut a: i64, mut b: i64) -> i64 {
    while a != 0 {
        (a, b) = (b.wrapping_rem(a), a);
    }
    b.wrapping_abs()
}

/// The least common multiple; it wraps.
#[must_use]
pub fn lcm(a: i64, b: i64) -> i64 {
    match gcd(a, b) {
        0 => 0,
        _ if a == 0 || b == 0 => 0,
        divisor => a.wrapping_abs().wrapping_div(divisor).wrapping_mul(b.wrapping_abs()),
    }
}

/// Digits behind the point, or before it where they are below 0, that any double has.
const DIGITS_MOST: i64 = 400;

/// A count of digits that rounding can do something with: no double has more on either side of its point.
#[must_use]
pub fn digits(count: i64) -> i32 {
    count.clamp(-DIGITS_MOST, DIGITS_MOST) as i32
}

/// Rounds halves away from zero, on the decimal text of the number as Java's BigDecimal does.
#[must_use]
pub fn half_up(number: f64, digits: i32) -> f64 {
    without_digits(number, digits, |next| next >= b'5')
}

/// Leaves out the digits behind a place, on the decimal text of the number.
#[must_use]
pub fn cut(number: f64, digits: i32) -> f64 {
    without_digits(number, digits, |_| false)
}

/// Java's `Math.round`: halves go up, to the next whole number of 64 bits.
#[must_use]
pub fn round(number: f64) -> f64 {
    let below = number.floor();
    let whole = if number - below >= 0.5 { below + 1.0 } else { below };
    whole as i64 as f64
}

/// A number without the digits behind a place, one more there if the first of them says so.
fn without_digits(number: f64, digits: i32, up: fn(u8) -> bool) -> f64 {
    if !number.is_finite() {
        return number;
    }
    // The shortest text that is the number: 1.005 rounds to 1.01, whatever lies in its bits.
    let text = format!("{}", number.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    // How many digits of the text are kept.
    let kept = whole.len() as i64 + i64::from(digits);
    let Ok(kept) = usize::try_from(kept) else { return 0.0 };
    let mut all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let Some(next) = all.get(kept).copied() else { return number };
    all[kept..].fill(b'0');
    let mut carry = up(next);
    for digit in all[..kept].iter_mut().rev() {
        if !carry {
            break;
        }
        carry = *digit == b'9';
        *digit = if carry { b'0' } else { *digit + 1 };
    }
    let point = whole.len();
    let made = format!("{}{}.{}", if carry { "1" } else { "" }, text_of(&all[..point]), text_of(&all[point..]));
    let made: f64 = made.parse().unwrap_or(number);
    // Zero has no sign there.
    if number < 0.0 { 0.0 - made } else { made }
}

fn text_of(digits: &[u8]) -> &str {
    std::str::from_utf8(digits).expect("digits are text")
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
            (15.0, -1, 20.0),
            (-25.0, -1, -30.0),
            (95.0, -2, 100.0),
            (49.0, -2, 0.0),
            (12345.678, -2, 12300.0),
            (9.995, 2, 10.0),
            (0.1 + 0.2, 16, 0.3),
            (1e300, 2, 1e300),
            (-0.2, 0, 0.0),
            (5e-324, 2, 0.0),
        ] {
            assert_eq!(half_up(number, digits), rounded, "{number} {digits}");
        }
    }

    #[test]
    fn halves_of_whole_numbers_go_up() {
        for (number, rounded) in [
            (2.5, 3.0),
            (-2.5, -2.0),
            (0.499_999_999_999_999_94, 0.0),
            (-0.500_000_000_000_000_1, -1.0),
            (-1e-20, 0.0),
            (f64::NAN, 0.0),
            (1e300, i64::MAX as f64),
        ] {
            assert_eq!(round(number), rounded, "{number}");
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
