//! Texts of a TIMESTAMP: JDBC's form, milliseconds, ISO 8601, a bare date. Without a zone they are UTC.

use chrono::{DateTime, NaiveDate};

/// Milliseconds since the epoch of a text, trimmed by the caller: `2026-01-31 12:00:00[.123]`, `1769860800000`,
/// `2026-01-31T12:00[:00[.123]][Z|+01:00|+0100|+01]`, `2026-01-31`. Digits beyond milliseconds are cut off.
#[must_use]
pub fn timestamp_from_text(text: &str) -> Option<i64> {
    if let Ok(millis) = text.parse::<i64>() {
        return Some(millis);
    }
    let (local_ms, offset) = iso_from_text(text)?;
    Some(local_ms - offset.unwrap_or(0) * 1000)
}

/// Milliseconds of a date, or a date and time, on its own clock, and the seconds east of UTC where it names an offset.
pub(super) fn iso_from_text(text: &str) -> Option<(i64, Option<i64>)> {
    let mut rest = text;
    let year_sign = i32::from(!rest.starts_with('-')) * 2 - 1;
    rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    let year = number(&mut rest, 4, 6)?;
    literal(&mut rest, '-')?;
    let month = number(&mut rest, 1, 2)?;
    literal(&mut rest, '-')?;
    let day = number(&mut rest, 1, 2)?;
    let date = NaiveDate::from_ymd_opt(year_sign * i32::try_from(year).ok()?, month, day)?;
    let days = i64::from(date.to_epoch_days());
    if rest.is_empty() {
        return Some((days * 86_400_000, None));
    }
    rest = rest.strip_prefix(['T', 't', ' '])?;
    let hour = number(&mut rest, 1, 2).filter(|hour| *hour < 24)?;
    literal(&mut rest, ':')?;
    let minute = number(&mut rest, 1, 2).filter(|minute| *minute < 60)?;
    let (mut second, mut millis) = (0, 0);
    if let Some(after) = rest.strip_prefix(':') {
        rest = after;
        second = number(&mut rest, 1, 2).filter(|second| *second < 60)?;
        if let Some(after) = rest.strip_prefix(['.', ',']) {
            let length = after.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=9).contains(&length) {
                return None;
            }
            millis = after.bytes().take(length).chain(*b"00").take(3).fold(0, |ms, b| ms * 10 + u32::from(b - b'0'));
            rest = &after[length..];
        }
    }
    let rest = rest.trim_start();
    let offset = if rest.is_empty() { None } else { Some(offset_from_text(rest)?) };
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    Some((days * 86_400_000 + seconds * 1000 + i64::from(millis), offset))
}

/// Seconds east of UTC of what ends a time: `Z`, an offset, or an offset and a zone's name in brackets.
pub(super) fn offset_from_text(text: &str) -> Option<i64> {
    let text = text.split_once('[').map_or(text, |(offset, _)| offset);
    if text.eq_ignore_ascii_case("z") || text == "UTC" {
        return Some(0);
    }
    let sign = match text.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return None,
    };
    let mut rest = &text[1..];
    let hours = number(&mut rest, 2, 2)?;
    rest = rest.strip_prefix(':').unwrap_or(rest);
    let minutes = if rest.is_empty() { 0 } else { number(&mut rest, 2, 2)? };
    (rest.is_empty() && hours <= 18 && minutes < 60).then(|| sign * i64::from(hours * 3600 + minutes * 60))
}

/// Takes `least` to `most` digits off the front.
pub(super) fn number(rest: &mut &str, least: usize, most: usize) -> Option<u32> {
    let length = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if length < least {
        return None;
    }
    let value = rest[..length].parse().ok()?;
    *rest = &rest[length..];
    Some(value)
}

fn literal(rest: &mut &str, expected: char) -> Option<()> {
    *rest = rest.strip_prefix(expected)?;
    Some(())
}

/// A time as JDBC prints it, in UTC: `2026-01-31 12:00:00.0`, as many fraction digits as are needed, one at least.
/// Times out of the calendar's range are printed as milliseconds.
#[must_use]
pub fn timestamp_text(ms: i64) -> String {
    let Some(time) = DateTime::from_timestamp_millis(ms) else { return ms.to_string() };
    let fraction = format!("{:03}", ms.rem_euclid(1000));
    let fraction = fraction.trim_end_matches('0');
    format!("{}.{}", time.format("%Y-%m-%d %H:%M:%S"), if fraction.is_empty() { "0" } else { fraction })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_are_read_in_utc_unless_they_say_otherwise() {
        let noon = 1_769_860_800_000;
        for (text, ms) in [
            ("2026-01-31 12:00:00", noon),
            ("2026-01-31 12:00:00.0", noon),
            ("2026-1-31 12:0:0.123456", noon + 123),
            ("2026-01-31T12:00", noon),
            ("2026-01-31T12:00:00Z", noon),
            ("2026-01-31T12:00:00.5Z", noon + 500),
            ("2026-01-31T13:00:00+01:00", noon),
            ("2026-01-31T13:00:00.000+0100", noon),
            ("2026-01-31T11:00:00-01[Atlantic/Azores]", noon),
            ("1769860800000", noon),
            ("-1", -1),
            ("2026-01-31", noon - 43_200_000),
            ("1970-01-01", 0),
        ] {
            assert_eq!(timestamp_from_text(text), Some(ms), "{text}");
        }
        for bad in [
            "",
            "x",
            "2026-13-01",
            "2026-02-30",
            "2026-01-31T24:00:00",
            "2026-01-31 12:00:00.",
            "2026-01-31T12:00Q",
            "2026-01-31T12",
            "12:00:00",
            "2026-01-31T12:00:00+1",
            "1.5",
        ] {
            assert_eq!(timestamp_from_text(bad), None, "{bad}");
        }
        assert_eq!(timestamp_text(noon), "2026-01-31 12:00:00.0");
        assert_eq!(timestamp_text(noon + 120), "2026-01-31 12:00:00.12");
    }

    proptest! {
        #[test]
        fn printed_times_are_read_back(ms in -62_000_000_000_000i64..250_000_000_000_000) {
            prop_assert_eq!(timestamp_from_text(&timestamp_text(ms)), Some(ms));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            std::hint::black_box(timestamp_from_text(&text));
        }
    }
}
