//! `dateTimeConvert` and `dateBin`: times in buckets, by Pinot's rules. A text that is written begins where a clock's bucket
//! does (the fifteenth minute of its hour, the eighth day of its month); a count is divided towards zero, as Java divides.

use super::{
    DateError, DateTimeFormat, Zone, instant_of_local,
    parts::{Unit, granularity},
    zone_named,
};
use chrono::{DateTime, Datelike, TimeZone, Timelike};

/// From one format to another, in buckets.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversion {
    from: DateTimeFormat,
    to: DateTimeFormat,
    size: i64,
    unit: Unit,
    /// Whose clocks the buckets are of; none: they are counted from the epoch.
    zone: Option<Zone>,
}

impl Conversion {
    /// Reads the formats, a granularity such as `15:MINUTES`, and the zone that the buckets are of.
    ///
    /// # Errors
    /// One of them is none.
    pub fn parse(from: &str, to: &str, size: &str, zone: Option<&str>) -> Result<Self, DateError> {
        let (from, to) = (DateTimeFormat::parse(from)?, DateTimeFormat::parse(to)?);
        let (size, unit) = granularity(size)?;
        let zone = match zone {
            Some(zone) => Some(zone_named(zone)?),
            None => to.zone(),
        };
        Ok(Self { from, to, size, unit, zone })
    }

    /// Whether it reads text by a pattern.
    #[must_use]
    pub fn reads_text(&self) -> bool {
        self.from.is_text()
    }

    /// Whether it writes text.
    #[must_use]
    pub fn writes_text(&self) -> bool {
        self.to.writes_text()
    }

    /// The start of the bucket of a time that is written as a text; `None` where it is not.
    #[must_use]
    pub fn start_of_text(&self, text: &str) -> Option<i64> {
        self.start(self.from.text_to_millis(text)?)
    }

    /// The same for a number; a count beyond what 64 bits hold is as far as they go.
    #[must_use]
    pub fn start_of_number(&self, count: i64) -> Option<i64> {
        let far = if count < 0 { i64::MIN } else { i64::MAX };
        let ms = self.from.number_to_millis(count);
        self.start(if self.from.is_text() { ms? } else { ms.unwrap_or(far) })
    }

    /// A time as the text that it is written as; `None` out of the calendar's range.
    #[must_use]
    pub fn text(&self, ms: i64) -> Option<String> {
        self.to.text_from_millis(ms)
    }

    /// A time as the number that it is written as.
    #[must_use]
    pub fn number(&self, ms: i64) -> Option<i64> {
        self.to.number_from_millis(ms)
    }

    fn start(&self, ms: i64) -> Option<i64> {
        match self.zone {
            Some(zone) => start_on_clock(ms, self.size, self.unit, zone),
            None => {
                let length = self.unit.to_ms(self.size).ok()?.max(1);
                Some(ms / length * length)
            }
        }
    }
}

/// The start of the bucket in which a clock of the zone finds a time: within its second, minute, hour, day or month.
fn start_on_clock(ms: i64, size: i64, unit: Unit, zone: Zone) -> Option<i64> {
    let time = zone.from_utc_datetime(&DateTime::from_timestamp_millis(ms)?.naive_utc()).naive_local();
    let cut = |number: u32| u32::try_from(i64::from(number) / size * size).ok();
    let second = time.with_nanosecond(0)?;
    let minute = second.with_second(0)?;
    let hour = minute.with_minute(0)?;
    let day = hour.with_hour(0)?;
    let start = match unit {
        Unit::Millisecond => time.with_nanosecond(cut(time.nanosecond() / 1_000_000)? * 1_000_000)?,
        Unit::Second => second.with_second(cut(time.second())?)?,
        Unit::Minute => minute.with_minute(cut(time.minute())?)?,
        Unit::Hour => hour.with_hour(cut(time.hour())?)?,
        Unit::Day => day.with_day(cut(time.day0())? + 1)?,
        // Shorter ones cut nothing off; Pinot has no longer ones.
        _ => return Some(ms),
    };
    instant_of_local(start.and_utc().timestamp_millis(), zone)
}

/// A length of time such as `1h30m`, `15m`, `2d` or `30s`, in milliseconds.
///
/// # Errors
/// It is none, or nothing.
pub fn period_ms(text: &str) -> Result<i64, DateError> {
    let wrong = || DateError::Part { what: format!("'{text}' is not a length of time: 1d, 24h, 1h30m and 30s are") };
    let (mut total, mut rest, mut longest) = (0_i64, text.trim(), i64::MAX);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: i64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = match rest[digits..].chars().next() {
            Some('d' | 'D') => 86_400_000,
            Some('h' | 'H') => 3_600_000,
            Some('m' | 'M') => 60_000,
            Some('s' | 'S') => 1_000,
            _ => return Err(wrong()),
        };
        // Each unit once, the longest first.
        if unit >= longest {
            return Err(wrong());
        }
        longest = unit;
        total = count.checked_mul(unit).and_then(|ms| total.checked_add(ms)).ok_or_else(wrong)?;
        rest = &rest[digits + 1..];
    }
    if total > 0 { Ok(total) } else { Err(wrong()) }
}

/// The start of the bucket of a length in which a time lies, where one starts at `origin`.
#[must_use]
pub fn bin(length: i64, ms: i64, origin: i64) -> Option<i64> {
    let since = i128::from(ms) - i128::from(origin);
    i64::try_from(i128::from(origin) + since.div_euclid(i128::from(length)) * i128::from(length)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "1:DAYS:SIMPLE_DATE_FORMAT:yyyy-MM-dd HH:mm:ss.SSS";

    /// The answers of Pinot 1.4's own function.
    #[test]
    fn buckets_are_pinots() {
        let written = |ms, to: &str, size, zone| {
            let conversion = Conversion::parse("1:MILLISECONDS:EPOCH", to, size, zone).unwrap();
            let start = conversion.start_of_number(ms).unwrap();
            if conversion.writes_text() {
                conversion.text(start).unwrap()
            } else {
                conversion.number(start).unwrap().to_string()
            }
        };
        let noon = 1_771_934_401_234;
        for (ms, to, size, zone, expected) in [
            (-1, "1:SECONDS:EPOCH", "1:SECONDS", None, "0"),
            (-86_400_001, "1:DAYS:EPOCH", "1:DAYS", None, "-1"),
            (-86_400_001, TEXT, "1:DAYS", None, "1969-12-30 00:00:00.000"),
            (-1, "1:MILLISECONDS:EPOCH", "1:HOURS", None, "0"),
            (-1_500, TEXT, "1:SECONDS", None, "1969-12-31 23:59:58.000"),
            (-1_500, "1:SECONDS:EPOCH", "1:SECONDS", Some("UTC"), "-2"),
            (-1_500, "1:MILLISECONDS:EPOCH", "1:SECONDS", Some("UTC"), "-2000"),
            (noon, TEXT, "1:DAYS", Some("America/New_York"), "2026-02-24 05:00:00.000"),
            (noon, TEXT, "7:DAYS", None, "2026-02-22 00:00:00.000"),
            (noon, TEXT, "5:HOURS", None, "2026-02-24 10:00:00.000"),
            (noon, TEXT, "90:MINUTES", None, "2026-02-24 12:00:00.000"),
            (noon, TEXT, "100:MILLISECONDS", None, "2026-02-24 12:00:01.200"),
            (noon, TEXT, "1:MICROSECONDS", None, "2026-02-24 12:00:01.234"),
            (noon, "1:MILLISECONDS:EPOCH", "1:DAYS", Some("Asia/Kolkata"), "1771871400000"),
            (noon, "1:MILLISECONDS:EPOCH", "7:DAYS", Some("Asia/Kolkata"), "1771698600000"),
            (noon, "1:MILLISECONDS:EPOCH", "7:DAYS", None, "1771459200000"),
            (noon, "TIMESTAMP", "1:DAYS", None, "2026-02-24 00:00:00.0"),
            (noon, "1:DAYS:SIMPLE_DATE_FORMAT:yyyy-MM-dd HH:mm tz(+05:30)", "1:DAYS", None, "2026-02-24 00:00"),
            (
                noon,
                "1:DAYS:SIMPLE_DATE_FORMAT:yyyy-MM-dd HH:mm tz(Asia/Kolkata)",
                "1:DAYS",
                Some("America/New_York"),
                "2026-02-24 10:30",
            ),
        ] {
            assert_eq!(written(ms, to, size, zone), expected, "{ms} {to} {size} {zone:?}");
        }
    }

    #[test]
    fn bins_begin_at_their_origin() {
        let ms = |text| super::super::timestamp_from_text(text).unwrap();
        for (length, source, origin, start) in [
            ("3h", "2024-03-10 23:29:55", "2024-01-01", "2024-03-10 21:00:00"),
            ("1h30m", "2024-03-10 23:29:55", "2024-01-01", "2024-03-10 22:30:00"),
            ("3h", "2023-12-31 21:10:00", "2024-01-01 00:10:00", "2023-12-31 21:10:00"),
            ("3h", "2023-12-31 23:29:55", "2024-01-01", "2023-12-31 21:00:00"),
        ] {
            assert_eq!(bin(period_ms(length).unwrap(), ms(source), ms(origin)), Some(ms(start)), "{source}");
        }
        for bad in ["", "bad", "500ms", "0s", "h", "1m1h", "1h1h", "99999999999999999999d"] {
            assert!(period_ms(bad).is_err(), "{bad}");
        }
        assert_eq!(bin(7, i64::MIN, i64::MAX), None);
    }
}
