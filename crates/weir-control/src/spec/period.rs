//! Periods (`6h`, `1d12h30m`), sizes (`200M`, `1.5 GB`) and instants, as Pinot spells them.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use std::time::Duration;

/// A period of days, hours, minutes, seconds and milliseconds in that order, each at most once.
pub(super) fn period(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    let mut rest = text.trim();
    let mut total_ms: u64 = 0;
    let mut next_unit = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = rest[..letters].to_ascii_lowercase();
        rest = &rest[letters..];
        let at = UNITS.iter().position(|(name, _)| *name == unit).filter(|at| *at >= next_unit)?;
        next_unit = at + 1;
        total_ms = total_ms.checked_add(number.checked_mul(UNITS[at].1)?)?;
    }
    Some(Duration::from_millis(total_ms))
}

/// A period, or plain milliseconds.
pub(super) fn period_or_millis(text: &str) -> Option<Duration> {
    text.trim().parse::<u64>().ok().map(Duration::from_millis).or_else(|| period(text))
}

/// A number with an optional K, M, G, T or P (base 1024) and an optional B. Bytes.
pub(super) fn byte_size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_uppercase();
    let text = text.strip_suffix('B').unwrap_or(&text).trim_end();
    let (number, shift) = match text.chars().last()? {
        letter if letter.is_ascii_alphabetic() => {
            let power = "KMGTP".find(letter)? as u32 + 1;
            (&text[..text.len() - 1], 10 * power)
        }
        _ => (text, 0),
    };
    let number: f64 = number.trim_end().parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)?;
    let bytes = number * (1_u64 << shift) as f64;
    (bytes <= 9e18).then_some(bytes as u64)
}

/// An ISO-8601 instant, milliseconds since the epoch; without a zone it is UTC.
pub(super) fn instant_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    let time = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    Some(time.or_else(day)?.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods() {
        for (text, expected) in [
            ("6h", Some(21_600_000)),
            ("1d12h", Some(129_600_000)),
            ("4h30m", Some(16_200_000)),
            ("90s", Some(90_000)),
            ("250ms", Some(250)),
            ("0s", Some(0)),
            ("", None),
            ("h", None),
            ("5", None),
            ("5x", None),
            ("5m1h", None),
            ("99999999999999999d", None),
        ] {
            assert_eq!(period(text).map(|period| period.as_millis()), expected, "{text:?}");
        }
        assert_eq!(period_or_millis("1500"), Some(Duration::from_millis(1500)));
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("200M", Some(200 << 20)),
            ("200MB", Some(200 << 20)),
            ("1.5G", Some(3 << 29)),
            ("10 kb", Some(10 << 10)),
            ("512", Some(512)),
            ("0", Some(0)),
            ("", None),
            ("M", None),
            ("-1M", None),
            ("10X", None),
            ("9999999P", None),
        ] {
            assert_eq!(byte_size(text), expected, "{text:?}");
        }
    }

    #[test]
    fn instants() {
        assert_eq!(instant_ms("2026-01-01T00:00:00Z"), Some(1_767_225_600_000));
        assert_eq!(instant_ms("2026-01-01T01:00:00+01:00"), Some(1_767_225_600_000));
        assert_eq!(instant_ms("2026-01-01 00:00:00.5"), Some(1_767_225_600_500));
        assert_eq!(instant_ms("2026-01-01"), Some(1_767_225_600_000));
        assert_eq!(instant_ms("soon"), None);
    }
}
