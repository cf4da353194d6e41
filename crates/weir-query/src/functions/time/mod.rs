//! Dates and times: milliseconds since the epoch in UTC unless a zone is given, Joda patterns, Pinot's format strings.

mod format;
mod funs;
mod parts;
mod pattern;

pub(super) use funs::FUNS;
pub(crate) use funs::ago;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

/// A point in time in milliseconds as chrono has it; `None` beyond its range.
fn utc(ms: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(ms)
}

/// The text of a TIMESTAMP: `yyyy-MM-dd HH:mm:ss.S`, fraction without trailing zeros but with one digit at least.
pub(crate) fn timestamp_text(ms: i64) -> String {
    let Some(time) = utc(ms) else { return ms.to_string() };
    let fraction = format!("{:03}", ms.rem_euclid(1000));
    let fraction = fraction.trim_end_matches('0');
    format!("{}.{}", time.format("%Y-%m-%d %H:%M:%S"), if fraction.is_empty() { "0" } else { fraction })
}

/// Reads a TIMESTAMP: milliseconds, `yyyy-MM-dd[ HH:mm[:ss[.S..]]]`, or ISO 8601 with `T` and an optional offset.
pub(crate) fn timestamp_of(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(ms) = text.parse::<i64>() {
        return Some(ms);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(&text.replacen(' ', "T", 1)) {
        return Some(time.timestamp_millis());
    }
    for form in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, form) {
            return Some(time.and_utc().timestamp_millis());
        }
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_read_what_they_print() {
        for (ms, text) in [
            (0, "1970-01-01 00:00:00.0"),
            (1_767_225_600_120, "2026-01-01 00:00:00.12"),
            (-1, "1969-12-31 23:59:59.999"),
        ] {
            assert_eq!(timestamp_text(ms), text);
            assert_eq!(timestamp_of(text), Some(ms));
        }
        assert_eq!(timestamp_of("2026-01-01"), Some(1_767_225_600_000));
        assert_eq!(timestamp_of("2026-01-01T02:00:00+02:00"), Some(1_767_225_600_000));
        assert_eq!(timestamp_of("2026-01-01T00:00:00Z"), Some(1_767_225_600_000));
        assert_eq!(timestamp_of("soon"), None);
    }
}
