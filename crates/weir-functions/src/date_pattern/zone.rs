//! Time zones: by name, and from a clock's reading to an instant.

use super::error::DateError;
use chrono::{DateTime, Offset as _, TimeZone as _};
use chrono_tz::Tz;

/// A zone by its name in the IANA data base, or `Z`; `IST` and other short names only where that has them.
///
/// # Errors
/// If no zone has the name.
pub fn zone_named(name: &str) -> Result<Tz, DateError> {
    match name.trim() {
        "Z" => Ok(Tz::UTC),
        trimmed => trimmed.parse().map_err(|_| DateError::Zone { name: name.to_owned() }),
    }
}

/// The zone that Joda takes a short name for: UTC's, and those of the United States, in summer and in winter.
pub(super) fn short_named(name: &str) -> Option<Tz> {
    Some(match name {
        "UT" | "UTC" | "GMT" => Tz::UTC,
        "EST" | "EDT" => Tz::America__New_York,
        "CST" | "CDT" => Tz::America__Chicago,
        "MST" | "MDT" => Tz::America__Denver,
        "PST" | "PDT" => Tz::America__Los_Angeles,
        _ => return None,
    })
}

/// The instant, in milliseconds since the epoch, at which a clock of the zone reads `local_ms` milliseconds since
/// 1970-01-01T00:00. Of a time that occurs twice the earlier is meant; one that a clock skips is read with the offset
/// from before the gap. `None` out of the calendar's range.
#[must_use]
pub fn instant_of_local(local_ms: i64, zone: Tz) -> Option<i64> {
    if zone == Tz::UTC {
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
            assert_eq!(instant_of_local(far, Tz::Europe__Berlin), None);
        }
    }

    #[test]
    fn zones_have_names() {
        assert_eq!(zone_named(" Z "), Ok(Tz::UTC));
        assert_eq!(zone_named("Asia/Kolkata"), Ok(Tz::Asia__Kolkata));
        assert!(zone_named("Mars/Base").unwrap_err().to_string().contains("'Mars/Base'"));
    }
}
