//! Pinot's date-time format strings: epoch counts, Joda patterns, TIMESTAMP; with colons or with pipes.

use super::{
    error::DateError,
    pattern::Pattern,
    timestamp::{iso_from_text, timestamp_from_text, timestamp_text},
    zone::{Zone, instant_of_local, zone_named},
};
use weir_types::{Stored, Value};

/// Units of an epoch count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Of 24 hours.
    Days,
    /// Hours.
    Hours,
    /// Minutes.
    Minutes,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

impl TimeUnit {
    /// Java's name of the unit, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_uppercase().as_str() {
            "DAYS" => Self::Days,
            "HOURS" => Self::Hours,
            "MINUTES" => Self::Minutes,
            "SECONDS" => Self::Seconds,
            "MILLISECONDS" => Self::Milliseconds,
            "MICROSECONDS" => Self::Microseconds,
            "NANOSECONDS" => Self::Nanoseconds,
            _ => return None,
        })
    }

    /// Milliseconds in a unit, or units in a millisecond.
    fn ratio(self) -> (i64, i64) {
        match self {
            Self::Days => (86_400_000, 1),
            Self::Hours => (3_600_000, 1),
            Self::Minutes => (60_000, 1),
            Self::Seconds => (1000, 1),
            Self::Milliseconds => (1, 1),
            Self::Microseconds => (1, 1000),
            Self::Nanoseconds => (1, 1_000_000),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Epoch {
        unit: TimeUnit,
        size: i64,
    },
    Timestamp,
    /// ISO 8601; times without an offset are in the zone.
    Iso(Zone),
    Pattern(Pattern, Zone),
}

/// How a date-time column writes its times.
#[derive(Debug, Clone, PartialEq)]
pub struct DateTimeFormat(Kind);

/// How ISO 8601 is written.
const ISO: &str = "yyyy-MM-dd'T'HH:mm:ss.SSSZZ";

const KINDS: &str = "it is EPOCH, SIMPLE_DATE_FORMAT or TIMESTAMP, as in 1:MILLISECONDS:EPOCH, \
                     1:DAYS:SIMPLE_DATE_FORMAT:yyyy-MM-dd tz(UTC), EPOCH|SECONDS|1 or SIMPLE_DATE_FORMAT|yyyy-MM-dd|UTC";

impl DateTimeFormat {
    /// The format of every TIMESTAMP column.
    pub const TIMESTAMP: Self = Self(Kind::Timestamp);

    /// Reads a format: `size:UNIT:KIND[:pattern]` where it begins with a digit, else `KIND[|..|..]`.
    ///
    /// Patterns have Joda's letters `y Y x M d D e E w a h H k K m s S Z z` and quotes; names are English; the zone is
    /// `tz(..)` after the pattern or the third part between pipes, UTC where there is none. An empty pattern is ISO 8601.
    ///
    /// # Errors
    /// If it is not a format, with the part that is wrong.
    pub fn parse(text: &str) -> Result<Self, DateError> {
        let refuse = |reason: String| DateError::Format { format: text.to_owned(), reason };
        let trimmed = text.trim();
        if trimmed.starts_with(|c: char| c.is_ascii_digit()) {
            let mut parts = trimmed.splitn(4, ':');
            let mut next = || parts.next().unwrap_or_default();
            let (size, unit, kind, pattern) = (next(), next(), next(), next());
            return match kind {
                "EPOCH" => epoch(size, unit).map_err(refuse),
                "TIMESTAMP" => Ok(Self::TIMESTAMP),
                "SIMPLE_DATE_FORMAT" => {
                    TimeUnit::parse(unit).ok_or_else(|| refuse(format!("'{unit}' is not a unit such as DAYS")))?;
                    let (pattern, zone) = split_zone(pattern);
                    simple(pattern, zone).map_err(refuse)
                }
                _ => Err(refuse(format!("'{kind}' is not its kind: {KINDS}"))),
            };
        }
        let mut parts = trimmed.split('|');
        let mut next = || parts.next().unwrap_or_default();
        match next() {
            "EPOCH" => {
                let (unit, size) = (next(), next());
                let unit = if unit.is_empty() { "MILLISECONDS" } else { unit };
                epoch(if size.is_empty() { "1" } else { size }, unit).map_err(refuse)
            }
            "TIMESTAMP" => Ok(Self::TIMESTAMP),
            "SIMPLE_DATE_FORMAT" => {
                let (pattern, zone) = (next(), next());
                simple(pattern, zone).map_err(refuse)
            }
            kind => Err(refuse(format!("'{kind}' is not its kind: {KINDS}"))),
        }
    }

    /// Milliseconds since the epoch of a value that is written so; `None` where it is not.
    #[must_use]
    pub fn to_millis(&self, value: &Value) -> Option<i64> {
        match value {
            Value::Int(number) => self.number_to_millis(i64::from(*number)),
            Value::Long(number) => self.number_to_millis(*number),
            // A double holds every whole count of this size exactly.
            Value::Float(number) => self.number_to_millis(*number as i64),
            Value::Double(number) => self.number_to_millis(*number as i64),
            Value::Str(text) => self.text_to_millis(text),
            Value::Bytes(_) => None,
        }
    }

    /// The same for a whole number.
    #[must_use]
    pub fn number_to_millis(&self, number: i64) -> Option<i64> {
        match &self.0 {
            Kind::Epoch { unit, size } => {
                let (times, divided) = unit.ratio();
                let number = number.checked_mul(*size)?.checked_mul(times)?;
                // Divisions are dear and most units need none.
                Some(if divided == 1 { number } else { number / divided })
            }
            Kind::Timestamp => Some(number),
            Kind::Iso(_) | Kind::Pattern(..) => self.text_to_millis(&number.to_string()),
        }
    }

    /// The same for text.
    #[must_use]
    pub fn text_to_millis(&self, text: &str) -> Option<i64> {
        match &self.0 {
            Kind::Epoch { .. } => self.number_to_millis(text.trim().parse().ok()?),
            Kind::Timestamp => timestamp_from_text(text.trim()),
            Kind::Iso(zone) => {
                let (local_ms, offset) = iso_from_text(text.trim())?;
                match offset {
                    Some(seconds) => local_ms.checked_sub(seconds * 1000),
                    None => instant_of_local(local_ms, *zone),
                }
            }
            Kind::Pattern(pattern, zone) => pattern.read(text, *zone),
        }
    }

    /// The value that stands for a time in a column stored as `stored`; `None` where the column cannot hold it. Epoch
    /// counts are cut towards zero.
    #[must_use]
    pub fn from_millis(&self, ms: i64, stored: Stored) -> Option<Value> {
        match stored {
            Stored::Int => i32::try_from(self.number_from_millis(ms)?).ok().map(Value::Int),
            Stored::Long => self.number_from_millis(ms).map(Value::Long),
            Stored::Float => self.number_from_millis(ms).map(|number| Value::Float(number as f32)),
            Stored::Double => self.number_from_millis(ms).map(|number| Value::Double(number as f64)),
            Stored::Str => self.text_from_millis(ms).map(|text| Value::Str(text.into())),
            Stored::Bytes => None,
        }
    }

    /// The whole number that stands for a time; `None` where the text of the time is not one.
    #[must_use]
    pub fn number_from_millis(&self, ms: i64) -> Option<i64> {
        match &self.0 {
            Kind::Epoch { unit, size } => {
                let (times, divided) = unit.ratio();
                Some(ms.checked_mul(divided)? / times / size)
            }
            Kind::Timestamp => Some(ms),
            Kind::Iso(_) | Kind::Pattern(..) => self.text_from_millis(ms)?.parse().ok(),
        }
    }

    /// The text that stands for a time; `None` out of the calendar's range.
    #[must_use]
    pub fn text_from_millis(&self, ms: i64) -> Option<String> {
        match &self.0 {
            Kind::Epoch { .. } => self.number_from_millis(ms).map(|number| number.to_string()),
            Kind::Timestamp => Some(timestamp_text(ms)),
            Kind::Iso(zone) => Pattern::parse(ISO).ok()?.write(ms, *zone),
            Kind::Pattern(pattern, zone) => pattern.write(ms, *zone),
        }
    }

    /// Whether it writes text: by a pattern, not as a count.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self.0, Kind::Iso(_) | Kind::Pattern(..))
    }

    /// Whether it writes text, the texts of a TIMESTAMP among them.
    #[must_use]
    pub(super) fn writes_text(&self) -> bool {
        !matches!(self.0, Kind::Epoch { .. })
    }

    /// The zone of its text, where it is one by a pattern.
    pub(super) fn zone(&self) -> Option<Zone> {
        match &self.0 {
            Kind::Iso(zone) | Kind::Pattern(_, zone) => Some(*zone),
            Kind::Epoch { .. } | Kind::Timestamp => None,
        }
    }
}

fn epoch(size: &str, unit: &str) -> Result<DateTimeFormat, String> {
    let unit = TimeUnit::parse(unit).ok_or_else(|| {
        format!("'{unit}' is not a unit: DAYS, HOURS, MINUTES, SECONDS, MILLISECONDS, MICROSECONDS and NANOSECONDS are")
    })?;
    match size.parse::<u32>() {
        Ok(size) if size > 0 => Ok(DateTimeFormat(Kind::Epoch { unit, size: i64::from(size) })),
        _ => Err(format!("'{size}' is not how many units a count stands for: a whole number from 1 is")),
    }
}

/// Cuts `tz(..)` off the end of a pattern.
fn split_zone(pattern: &str) -> (&str, &str) {
    let cut =
        pattern.trim_end().strip_suffix(')').and_then(|rest| rest.rsplit_once("tz(").or(rest.rsplit_once("tz (")));
    cut.map_or((pattern, ""), |(pattern, zone)| (pattern.trim_end(), zone.trim()))
}

fn simple(pattern: &str, zone: &str) -> Result<DateTimeFormat, String> {
    let zone = if zone.is_empty() { Zone::UTC } else { zone_named(zone).map_err(|error| error.to_string())? };
    if pattern.is_empty() {
        return Ok(DateTimeFormat(Kind::Iso(zone)));
    }
    let pattern = Pattern::parse(pattern).map_err(|error| match error {
        DateError::Pattern { reason, .. } => reason,
        other => other.to_string(),
    })?;
    Ok(DateTimeFormat(Kind::Pattern(pattern, zone)))
}

#[cfg(test)]
mod tests;
