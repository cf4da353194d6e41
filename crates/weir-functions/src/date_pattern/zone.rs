//! Time zones: by name or by their offset, and from a clock's reading to an instant.

use super::{error::DateError, timestamp::offset_from_text};
use chrono::{DateTime, FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use std::fmt;

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// Of the IANA data base.
    Named(Tz),
    /// As far from UTC all the time.
    Fixed(FixedOffset),
}

impl Zone {
    /// Where the clocks of the others are set by.
    pub const UTC: Self = Self::Named(Tz::UTC);
}

impl From<Tz> for Zone {
    fn from(zone: Tz) -> Self {
        Self::Named(zone)
    }
}

impl fmt::Display for Zone {
    /// Its id: its name, or its offset as `+05:30`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(zone) => f.write_str(zone.name()),
            Self::Fixed(offset) => write!(f, "{offset}"),
        }
    }
}

/// The offset of a zone at some time.
#[derive(Clone, Copy)]
pub enum ZoneOffset {
    /// Of a named one.
    Named(<Tz as TimeZone>::Offset),
    /// Of any time.
    Fixed(FixedOffset),
}

impl fmt::Debug for ZoneOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ZoneOffset {
    /// Its short name: `CET`, or `+05:30`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(offset) => write!(f, "{offset}"),
            Self::Fixed(offset) => write!(f, "{offset}"),
        }
    }
}

impl Offset for ZoneOffset {
    fn fix(&self) -> FixedOffset {
        match self {
            Self::Named(offset) => offset.fix(),
            Self::Fixed(offset) => *offset,
        }
    }
}

impl TimeZone for Zone {
    type Offset = ZoneOffset;

    fn from_offset(offset: &ZoneOffset) -> Self {
        match offset {
            ZoneOffset::Named(offset) => Self::Named(Tz::from_offset(offset)),
            ZoneOffset::Fixed(offset) => Self::Fixed(*offset),
        }
    }

    fn offset_from_local_date(&self, local: &NaiveDate) -> MappedLocalTime<ZoneOffset> {
        match self {
            Self::Named(zone) => zone.offset_from_local_date(local).map(ZoneOffset::Named),
            Self::Fixed(offset) => MappedLocalTime::Single(ZoneOffset::Fixed(*offset)),
        }
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<ZoneOffset> {
        match self {
            Self::Named(zone) => zone.offset_from_local_datetime(local).map(ZoneOffset::Named),
            Self::Fixed(offset) => MappedLocalTime::Single(ZoneOffset::Fixed(*offset)),
        }
    }

    fn offset_from_utc_date(&self, utc: &NaiveDate) -> ZoneOffset {
        match self {
            Self::Named(zone) => ZoneOffset::Named(zone.offset_from_utc_date(utc)),
            Self::Fixed(offset) => ZoneOffset::Fixed(*offset),
        }
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> ZoneOffset {
        match self {
            Self::Named(zone) => ZoneOffset::Named(zone.offset_from_utc_datetime(utc)),
            Self::Fixed(offset) => ZoneOffset::Fixed(*offset),
        }
    }
}

/// A zone by its name in the IANA data base, `Z`, or its offset: `+05:30`, `+0530`, `+05`, `UTC+05:30`. `IST` and other short
/// names only where the data base has them.
///
/// # Errors
/// If no zone has the name.
pub fn zone_named(name: &str) -> Result<Zone, DateError> {
    let trimmed = name.trim();
    if trimmed == "Z" {
        return Ok(Zone::UTC);
    }
    if let Ok(zone) = trimmed.parse() {
        return Ok(Zone::Named(zone));
    }
    let offset = ["UTC", "GMT", "UT"].iter().find_map(|utc| trimmed.strip_prefix(utc)).unwrap_or(trimmed);
    let seconds = offset.starts_with(['+', '-']).then(|| offset_from_text(offset)).flatten();
    let fixed = seconds.and_then(|seconds| FixedOffset::east_opt(i32::try_from(seconds).ok()?));
    match fixed {
        Some(offset) if offset.local_minus_utc() == 0 => Ok(Zone::UTC),
        Some(offset) => Ok(Zone::Fixed(offset)),
        None => Err(DateError::Zone { name: name.to_owned() }),
    }
}

/// The zone that Joda takes a short name for: UTC's, and those of the United States, in summer and in winter.
pub(super) fn short_named(name: &str) -> Option<Zone> {
    Some(Zone::Named(match name {
        "UT" | "UTC" | "GMT" => Tz::UTC,
        "EST" | "EDT" => Tz::America__New_York,
        "CST" | "CDT" => Tz::America__Chicago,
        "MST" | "MDT" => Tz::America__Denver,
        "PST" | "PDT" => Tz::America__Los_Angeles,
        _ => return None,
    }))
}

/// The instant, in milliseconds since the epoch, at which a clock of the zone reads `local_ms` milliseconds since
/// 1970-01-01T00:00. Of a time that occurs twice the earlier is meant; one that a clock skips is read with the offset
/// from before the gap. `None` out of the calendar's range.
#[must_use]
pub fn instant_of_local(local_ms: i64, zone: Zone) -> Option<i64> {
    if zone == Zone::UTC {
        return Some(local_ms);
    }
    let local = DateTime::from_timestamp_millis(local_ms)?.naive_utc();
    let offset = match zone.offset_from_local_datetime(&local).earliest() {
        Some(offset) => offset,
        // No gap begins less than a day after another.
        None => zone.offset_from_utc_datetime(&local.checked_sub_signed(chrono::TimeDelta::days(1))?),
    };
    local_ms.checked_sub(i64::from(offset.fix().local_minus_utc()) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_skip_or_repeat_have_an_answer() {
        // 2026-03-29T02:30 is skipped in Berlin, 2026-10-25T02:30 is there twice; Samoa skipped all of 2011-12-30.
        for (zone, local_ms, ms) in [
            ("UTC", 1_774_751_400_000, 1_774_751_400_000),
            ("Europe/Berlin", 1_774_751_400_000, 1_774_747_800_000),
            ("Europe/Berlin", 1_792_895_400_000, 1_792_888_200_000),
            ("Pacific/Apia", 1_325_246_400_000, 1_325_282_400_000),
        ] {
            assert_eq!(instant_of_local(local_ms, zone_named(zone).unwrap()), Some(ms), "{zone} {local_ms}");
        }
        for far in [i64::MIN, i64::MAX] {
            assert_eq!(instant_of_local(far, Tz::Europe__Berlin.into()), None);
        }
    }

    #[test]
    fn zones_have_names() {
        assert_eq!(zone_named(" Z "), Ok(Zone::UTC));
        assert_eq!(zone_named("Asia/Kolkata"), Ok(Tz::Asia__Kolkata.into()));
        assert!(zone_named("Mars/Base").unwrap_err().to_string().contains("'Mars/Base'"));
    }

    #[test]
    fn zones_have_offsets_as_joda_reads_them() {
        for (name, shown) in [
            ("+05:30", "+05:30"),
            ("+0530", "+05:30"),
            (" -03:30 ", "-03:30"),
            ("+05", "+05:00"),
            ("UTC+05:30", "+05:30"),
            ("GMT-08:00", "-08:00"),
            ("+00:00", "UTC"),
        ] {
            assert_eq!(zone_named(name).unwrap().to_string(), shown, "{name}");
        }
        for bad in ["GMT+5", "+5", "+25:00", "+05:60", "+", "5", "IST", "PST"] {
            assert!(zone_named(bad).is_err(), "{bad}");
        }
        assert_eq!(instant_of_local(0, zone_named("+05:30").unwrap()), Some(-19_800_000));
    }
}
