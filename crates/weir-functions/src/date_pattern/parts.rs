//! Units and parts of a date, in a zone: truncation, fields, addition, differences.

use super::{DateError, Zone, instant_of_local};
use chrono::{DateTime, Datelike, Days, NaiveDate, TimeZone, Timelike};

/// A unit of time, from the shortest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A thousandth of a microsecond.
    Nanosecond,
    /// A thousandth of a millisecond.
    Microsecond,
    /// A thousandth of a second.
    Millisecond,
    /// Second.
    Second,
    /// Minute.
    Minute,
    /// Hour.
    Hour,
    /// Day.
    Day,
    /// From Monday on.
    Week,
    /// Month.
    Month,
    /// Quarter.
    Quarter,
    /// Year.
    Year,
}

impl Unit {
    /// Reads a unit, singular or plural, in any case.
    pub fn parse(text: &str) -> Result<Self, DateError> {
        let lower = text.trim().to_ascii_lowercase();
        Ok(match lower.strip_suffix('s').unwrap_or(&lower) {
            "nanosecond" => Self::Nanosecond,
            "microsecond" => Self::Microsecond,
            "millisecond" => Self::Millisecond,
            "second" => Self::Second,
            "minute" => Self::Minute,
            "hour" => Self::Hour,
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "quarter" => Self::Quarter,
            "year" => Self::Year,
            _ => {
                return Err(wrong(format!(
                    "'{text}' is not a unit of time: MILLISECOND, SECOND, MINUTE, HOUR, DAY, WEEK, MONTH, QUARTER, YEAR are"
                )));
            }
        })
    }

    /// Its length in milliseconds where that is always the same.
    fn fixed_ms(self) -> Option<i64> {
        Some(match self {
            Self::Millisecond => 1,
            Self::Second => 1_000,
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
            Self::Week => 604_800_000,
            _ => return None,
        })
    }

    /// A count of this unit since the epoch in milliseconds, cut towards zero as Java's TimeUnit cuts; units without a fixed
    /// length have none.
    pub fn to_ms(self, count: i64) -> Result<i64, DateError> {
        match self {
            Self::Nanosecond => Ok(count / 1_000_000),
            Self::Microsecond => Ok(count / 1_000),
            unit => Ok(count.saturating_mul(unit.needs_fixed()?)),
        }
    }

    /// Milliseconds since the epoch as a count of this unit, cut towards zero.
    pub fn of_ms(self, ms: i64) -> Result<i64, DateError> {
        match self {
            Self::Nanosecond => Ok(ms.saturating_mul(1_000_000)),
            Self::Microsecond => Ok(ms.saturating_mul(1_000)),
            unit => Ok(ms / unit.needs_fixed()?),
        }
    }

    fn needs_fixed(self) -> Result<i64, DateError> {
        self.fixed_ms().ok_or_else(|| wrong(format!("{self:?} has no fixed length and cannot count time")))
    }
}

#[cold]
fn wrong(what: String) -> DateError {
    DateError::Part { what }
}

fn at(ms: i64, zone: Zone) -> Option<DateTime<Zone>> {
    zone.timestamp_millis_opt(ms).single()
}

/// The start of the unit in which a time lies.
pub fn truncate(ms: i64, unit: Unit, zone: Zone) -> Option<i64> {
    if zone == Zone::UTC
        && let Some(length) = unit.fixed_ms().filter(|_| unit != Unit::Week)
    {
        return ms.checked_sub(ms.rem_euclid(length));
    }
    let local = at(ms, zone)?.naive_local();
    let date = local.date();
    let midnight = |date: NaiveDate| date.and_hms_opt(0, 0, 0);
    let start = match unit {
        Unit::Nanosecond | Unit::Microsecond | Unit::Millisecond => return Some(ms),
        Unit::Second => return ms.checked_sub(ms.rem_euclid(1000)),
        Unit::Minute => local.with_second(0)?.with_nanosecond(0)?,
        Unit::Hour => local.with_minute(0)?.with_second(0)?.with_nanosecond(0)?,
        Unit::Day => midnight(date)?,
        Unit::Week => midnight(date - Days::new(u64::from(date.weekday().num_days_from_monday())))?,
        Unit::Month => midnight(date.with_day(1)?)?,
        Unit::Quarter => midnight(date.with_day(1)?.with_month((date.month0() / 3) * 3 + 1)?)?,
        Unit::Year => midnight(NaiveDate::from_ymd_opt(date.year(), 1, 1)?)?,
    };
    instant_of_local(start.and_utc().timestamp_millis(), zone)
}

/// A granularity: `15:MINUTES`, `MINUTES|15`.
pub(super) fn granularity(text: &str) -> Result<(i64, Unit), DateError> {
    let (size, unit) = match (text.split_once('|'), text.split_once(':')) {
        (Some((unit, size)), _) | (None, Some((size, unit))) => (size, unit),
        (None, None) => ("1", text),
    };
    // No clock counts further than 32 bits.
    let size = size.trim().parse::<u32>().ok().filter(|size| *size > 0).map(i64::from);
    let size = size.ok_or_else(|| wrong(format!("'{text}' is not a granularity: '15:MINUTES' is")))?;
    let unit = Unit::parse(unit)?;
    unit.to_ms(size)?;
    Ok((size, unit))
}

/// A field of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Of its second.
    Millisecond,
    /// Of its minute.
    Second,
    /// Of its hour.
    Minute,
    /// Of its day.
    Hour,
    /// Of its month, from 1.
    Day,
    /// Monday is 1.
    DayOfWeek,
    /// From 1.
    DayOfYear,
    /// By ISO 8601.
    Week,
    /// From 1.
    Month,
    /// From 1.
    Quarter,
    /// Year.
    Year,
    /// The year that its week is of, by ISO 8601.
    YearOfWeek,
}

impl Part {
    /// Reads a part's name, in any case, with or without underscores.
    pub fn parse(text: &str) -> Result<Self, DateError> {
        let plain = text.trim().to_ascii_lowercase().replace('_', "");
        Ok(match plain.as_str() {
            "millisecond" => Self::Millisecond,
            "second" => Self::Second,
            "minute" => Self::Minute,
            "hour" => Self::Hour,
            "day" | "dayofmonth" => Self::Day,
            "dayofweek" | "dow" => Self::DayOfWeek,
            "dayofyear" | "doy" => Self::DayOfYear,
            "week" | "weekofyear" => Self::Week,
            "month" | "monthofyear" => Self::Month,
            "quarter" => Self::Quarter,
            "year" => Self::Year,
            "yearofweek" | "yow" => Self::YearOfWeek,
            _ => return Err(wrong(format!("'{text}' is not a part of a date: YEAR, MONTH, DAY, HOUR, .. are"))),
        })
    }

    /// The part of a time in a zone.
    pub fn of(self, ms: i64, zone: Zone) -> Option<i32> {
        let time = at(ms, zone)?;
        let small = |number: u32| i32::try_from(number).ok();
        match self {
            Self::Millisecond => small(time.nanosecond() / 1_000_000),
            Self::Second => small(time.second()),
            Self::Minute => small(time.minute()),
            Self::Hour => small(time.hour()),
            Self::Day => small(time.day()),
            Self::DayOfWeek => small(time.weekday().number_from_monday()),
            Self::DayOfYear => small(time.ordinal()),
            Self::Week => small(time.iso_week().week()),
            Self::Month => small(time.month()),
            Self::Quarter => small(time.month0() / 3 + 1),
            Self::Year => Some(time.year()),
            Self::YearOfWeek => Some(time.iso_week().year()),
        }
    }
}

/// A time plus a count of units; `None` where a LONG does not hold the sum.
pub fn add(ms: i64, unit: Unit, count: i64) -> Option<i64> {
    let count = i128::from(count);
    let months = match unit {
        Unit::Month => count,
        Unit::Quarter => count * 3,
        Unit::Year => count * 12,
        Unit::Nanosecond => return i64::try_from(i128::from(ms) + count / 1_000_000).ok(),
        Unit::Microsecond => return i64::try_from(i128::from(ms) + count / 1_000).ok(),
        unit => return i64::try_from(i128::from(ms) + count * i128::from(unit.fixed_ms()?)).ok(),
    };
    i64::try_from(months_later(ms, months)).ok()
}

/// Whole units from one time to another; `None` where a LONG does not hold them.
pub fn difference(from: i64, to: i64, unit: Unit) -> Option<i64> {
    let ms = i128::from(to) - i128::from(from);
    let units = match unit {
        Unit::Month => whole_months(from, to),
        Unit::Quarter => whole_months(from, to) / 3,
        Unit::Year => whole_months(from, to) / 12,
        Unit::Nanosecond => ms * 1_000_000,
        Unit::Microsecond => ms * 1_000,
        unit => ms / i128::from(unit.fixed_ms()?),
    };
    i64::try_from(units).ok()
}

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Days of 400 years, after which the calendar begins anew.
const CYCLE_DAYS: i128 = 146_097;

/// A day since 1970 as the month since the year 0 and the day of that month, both from 0. The calendar's years begin in
/// March here, so that the day of a leap year comes last. A library's calendar ends long before a LONG does.
fn month_and_day(days: i64) -> (i128, i128) {
    let since_march_0 = i128::from(days) + 719_468;
    let (cycle, day) = (since_march_0.div_euclid(CYCLE_DAYS), since_march_0.rem_euclid(CYCLE_DAYS));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    ((cycle * 400 + year) * 12 + month + 2, day_of_year - (153 * month + 2) / 5)
}

/// The day since 1970 on which a month since the year 0 begins.
fn first_day(month: i128) -> i128 {
    let since_march = month - 2;
    let (year, month) = (since_march.div_euclid(12), since_march.rem_euclid(12));
    let (cycle, year) = (year.div_euclid(400), year.rem_euclid(400));
    cycle * CYCLE_DAYS + 365 * year + year / 4 - year / 100 + (153 * month + 2) / 5 - 719_468
}

/// The same time of the same day of another month, or of its last day where it has no such.
fn months_later(ms: i64, months: i128) -> i128 {
    let (month, day) = month_and_day(ms.div_euclid(DAY_MS));
    let wanted = month + months;
    let day = day.min(first_day(wanted + 1) - first_day(wanted) - 1);
    (first_day(wanted) + day) * i128::from(DAY_MS) + i128::from(ms.rem_euclid(DAY_MS))
}

fn whole_months(from: i64, to: i64) -> i128 {
    let month = |ms: i64| month_and_day(ms.div_euclid(DAY_MS)).0;
    let whole = month(to) - month(from);
    // A month that is not over does not count.
    let (reached, to) = (months_later(from, whole), i128::from(to));
    if whole > 0 && reached > to {
        whole - 1
    } else if whole < 0 && reached < to {
        whole + 1
    } else {
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_771_934_401_234; // 2026-02-24T12:00:01.234Z, a Tuesday

    #[test]
    fn truncation_knows_weeks_quarters_and_zones() {
        let text = |unit, zone| super::super::timestamp_text(truncate(NOON, unit, zone).unwrap());
        let utc: Vec<String> = [Unit::Second, Unit::Day, Unit::Week, Unit::Month, Unit::Quarter, Unit::Year]
            .map(|unit| text(unit, Zone::UTC))
            .into();
        let expected = [
            "2026-02-24 12:00:01.0",
            "2026-02-24 00:00:00.0",
            "2026-02-23 00:00:00.0",
            "2026-02-01 00:00:00.0",
            "2026-01-01 00:00:00.0",
            "2026-01-01 00:00:00.0",
        ];
        assert_eq!(utc, expected);
        assert_eq!(text(Unit::Day, super::super::zone_named("America/New_York").unwrap()), "2026-02-24 05:00:00.0");
        assert_eq!(text(Unit::Day, super::super::zone_named("Asia/Kolkata").unwrap()), "2026-02-23 18:30:00.0");
    }

    #[test]
    fn granularities_have_a_size_and_a_unit() {
        for (text, found) in
            [("15:MINUTES", (15, Unit::Minute)), ("MINUTES|15", (15, Unit::Minute)), ("hours", (1, Unit::Hour))]
        {
            assert_eq!(granularity(text).unwrap(), found, "{text}");
        }
        for bad in ["", "0:DAYS", "x:DAYS", "1:FORTNIGHTS", "1:MONTHS"] {
            assert!(granularity(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn counts_are_cut_towards_zero_before_1970_too() {
        assert_eq!((Unit::Second.of_ms(-1_500), Unit::Hour.of_ms(-1)), (Ok(-1), Ok(0)));
        assert_eq!((Unit::Microsecond.to_ms(-1_500), Unit::Nanosecond.to_ms(-1)), (Ok(-1), Ok(0)));
    }

    #[test]
    fn months_are_calendar_months() {
        let end_of_january = super::super::timestamp_from_text("2026-01-31").unwrap();
        let moved = add(end_of_january, Unit::Month, 1).unwrap();
        assert_eq!(super::super::timestamp_text(moved), "2026-02-28 00:00:00.0");
        let march = super::super::timestamp_from_text("2026-03-30").unwrap();
        assert_eq!(difference(end_of_january, march, Unit::Month), Some(1));
        assert_eq!(difference(march, end_of_january, Unit::Day), Some(-58));
    }

    /// Held against a library's calendar where that has the times.
    #[test]
    fn the_calendar_goes_on_to_the_ends_of_a_long() {
        for days in (-3_000_000..3_000_000_i64).step_by(971) {
            let ms = days * DAY_MS + 12_345;
            let time = chrono::DateTime::from_timestamp_millis(ms).unwrap();
            let month = i128::from(time.year()) * 12 + i128::from(time.month0());
            assert_eq!(month_and_day(days), (month, i128::from(time.day0())), "{time}");
            for months in [-25, 0, 1, 11, 480, -1, -13] {
                let by = chrono::Months::new(u32::try_from(i64::abs(months)).unwrap());
                let moved = if months < 0 { time.checked_sub_months(by) } else { time.checked_add_months(by) };
                assert_eq!(
                    add(ms, Unit::Month, months),
                    moved.map(|moved| moved.timestamp_millis()),
                    "{time} {months}"
                );
            }
        }
        let (least, most) = (i64::MIN, i64::MAX);
        for (ms, unit, count, sum) in [
            (most - DAY_MS, Unit::Day, 1, Some(most)),
            (most, Unit::Millisecond, 1, None),
            (least, Unit::Day, 1, Some(least + DAY_MS)),
            (least, Unit::Day, -1, None),
            (-5, Unit::Day, most, None),
            (least, Unit::Second, most, None),
            (most, Unit::Month, 1, None),
            (least, Unit::Year, most, None),
        ] {
            assert_eq!(add(ms, unit, count), sum, "{ms} {unit:?} {count}");
        }
        // A cycle of 400 years has the same calendar.
        let cycle = i64::try_from(CYCLE_DAYS).unwrap() * DAY_MS;
        assert_eq!(add(least, Unit::Year, 400), Some(least + cycle));
        assert_eq!(add(most, Unit::Month, -4_800), Some(most - cycle));
        assert_eq!(difference(least, least + cycle, Unit::Quarter), Some(1_600));
        assert_eq!(difference(least, most, Unit::Second), Some(18_446_744_073_709_551));
        assert_eq!(difference(least, most, Unit::Year), Some(584_554_049));
        assert_eq!(difference(least, most, Unit::Millisecond), None);
    }

    #[test]
    fn parts_count_as_pinot_counts() {
        let parts = [
            Part::Year,
            Part::Quarter,
            Part::Month,
            Part::Week,
            Part::Day,
            Part::DayOfWeek,
            Part::Hour,
            Part::Millisecond,
        ];
        assert_eq!(parts.map(|part| part.of(NOON, Zone::UTC).unwrap()), [2026, 1, 2, 9, 24, 2, 12, 234]);
    }
}
