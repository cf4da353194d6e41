//! Pinot's format strings of time columns (`1:DAYS:SIMPLE_DATE_FORMAT:yyyyMMdd tz(UTC)`, `EPOCH|SECONDS|1`, `TIMESTAMP`).

use super::{
    parts::{Unit, zone},
    pattern::Pattern,
};
use chrono_tz::Tz;
use datafusion::common::{Result, exec_datafusion_err};

/// How a time is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    /// A count of units of a size.
    Epoch(i64, Unit),
    /// Text by a pattern.
    Pattern(Pattern, Tz),
    /// Milliseconds, as a TIMESTAMP.
    Timestamp,
}

impl Format {
    /// Reads a format string.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            exec_datafusion_err!(
                "'{text}' is not a time format: '1:MILLISECONDS:EPOCH', '1:DAYS:SIMPLE_DATE_FORMAT:yyyyMMdd', \
                 'EPOCH|SECONDS|1', 'SIMPLE_DATE_FORMAT|yyyy-MM-dd|UTC' and 'TIMESTAMP' are"
            )
        };
        if text.trim().eq_ignore_ascii_case("TIMESTAMP") {
            return Ok(Self::Timestamp);
        }
        let size = |text: &str| text.trim().parse::<i64>().ok().filter(|size| *size > 0).ok_or_else(wrong);
        if text.contains('|') {
            let parts: Vec<&str> = text.splitn(3, '|').collect();
            return match (parts[0].trim().to_ascii_uppercase().as_str(), parts.as_slice()) {
                ("EPOCH", [_, unit]) => Ok(Self::Epoch(1, Unit::parse(unit)?)),
                ("EPOCH", [_, unit, count]) => Ok(Self::Epoch(size(count)?, Unit::parse(unit)?)),
                ("SIMPLE_DATE_FORMAT", [_, pattern]) => Ok(Self::Pattern(Pattern::parse(pattern)?, Tz::UTC)),
                ("SIMPLE_DATE_FORMAT", [_, pattern, name]) => Ok(Self::Pattern(Pattern::parse(pattern)?, zone(name)?)),
                ("TIMESTAMP", _) => Ok(Self::Timestamp),
                _ => Err(wrong()),
            };
        }
        let parts: Vec<&str> = text.splitn(4, ':').collect();
        match parts.as_slice() {
            [count, unit, kind] if kind.eq_ignore_ascii_case("EPOCH") => {
                Ok(Self::Epoch(size(count)?, Unit::parse(unit)?))
            }
            [_, _, kind] if kind.eq_ignore_ascii_case("TIMESTAMP") => Ok(Self::Timestamp),
            [_, _, kind, pattern] if kind.eq_ignore_ascii_case("SIMPLE_DATE_FORMAT") => {
                let (pattern, name) = match pattern.split_once("tz(") {
                    Some((pattern, name)) => (pattern.trim_end(), name.trim_end().trim_end_matches(')')),
                    None => (*pattern, "UTC"),
                };
                Ok(Self::Pattern(Pattern::parse(pattern)?, zone(name)?))
            }
            _ => Err(wrong()),
        }
    }

    /// Writes text, not numbers.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Pattern(..))
    }

    /// A written time in milliseconds.
    pub(super) fn read(&self, text: &str) -> Result<i64> {
        let wrong = || exec_datafusion_err!("'{text}' is not written in its time format");
        match self {
            Self::Epoch(size, unit) => {
                let count: i64 = text
                    .trim()
                    .parse()
                    .or_else(|_| text.trim().parse::<f64>().map(|count| count as i64))
                    .map_err(|_| wrong())?;
                unit.to_ms(count.saturating_mul(*size))
            }
            Self::Pattern(pattern, zone) => pattern.read(text, *zone).ok_or_else(wrong),
            Self::Timestamp => super::timestamp_of(text).ok_or_else(wrong),
        }
    }

    /// Milliseconds as they are written where that is a number.
    pub(super) fn number(&self, ms: i64) -> Result<i64> {
        match self {
            Self::Epoch(size, unit) => Ok(unit.of_ms(ms)?.div_euclid(*size)),
            Self::Pattern(..) | Self::Timestamp => Ok(ms),
        }
    }

    /// Milliseconds as they are written where that is text.
    pub(super) fn text(&self, ms: i64) -> Result<String> {
        match self {
            Self::Pattern(pattern, zone) => pattern
                .write(ms, *zone)
                .ok_or_else(|| exec_datafusion_err!("{ms} is beyond the times that can be written")),
            other => Ok(other.number(ms)?.to_string()),
        }
    }

    /// The same format in another zone.
    pub(super) fn in_zone(self, zone: Tz) -> Self {
        match self {
            Self::Pattern(pattern, _) => Self::Pattern(pattern, zone),
            other => other,
        }
    }
}

/// A granularity (`15:MINUTES`, `MINUTES|15`) in milliseconds.
pub(super) fn granularity_ms(text: &str) -> Result<i64> {
    let (size, unit) = match (text.split_once('|'), text.split_once(':')) {
        (Some((unit, size)), _) | (None, Some((size, unit))) => (size, unit),
        (None, None) => ("1", text),
    };
    let size = size.trim().parse::<i64>().ok().filter(|size| *size > 0);
    let size = size.ok_or_else(|| exec_datafusion_err!("'{text}' is not a granularity: '15:MINUTES' is"))?;
    Unit::parse(unit)?.to_ms(size).map(|ms| ms.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_convert_both_ways() {
        for (format, text, ms) in [
            ("1:MILLISECONDS:EPOCH", "1500", 1_500),
            ("5:MINUTES:EPOCH", "2", 600_000),
            ("EPOCH|SECONDS|10", "3", 30_000),
            ("1:DAYS:SIMPLE_DATE_FORMAT:yyyyMMdd", "19700102", 86_400_000),
            ("1:DAYS:SIMPLE_DATE_FORMAT:yyyyMMdd tz(Europe/Berlin)", "19700102", 82_800_000),
            ("SIMPLE_DATE_FORMAT|yyyy-MM-dd HH:mm|UTC", "1970-01-01 00:01", 60_000),
        ] {
            let made = Format::parse(format).unwrap();
            assert_eq!(made.read(text).unwrap(), ms, "{format}");
            assert_eq!(made.text(ms).unwrap(), text, "{format}");
        }
        for bad in ["", "1:DAYS", "0:DAYS:EPOCH", "x:DAYS:EPOCH", "1:FORTNIGHTS:EPOCH"] {
            assert!(Format::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(granularity_ms("15:MINUTES").unwrap(), 900_000);
    }
}
