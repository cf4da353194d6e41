//! Which fields are times, in which format, and which of them the table's time is.

use super::shape::percent;
use serde_json::Value as Json;
use weir_formats::datetime::{DateTimeFormat, valid_row_time};
use weir_types::DataType;

/// A time this near to its message's is no accident, for an event is sent soon after it happened.
const NEAR_MS: i64 = 7 * 86_400_000;
/// 2000-01-01: before it, numbers that are read as times are more likely something else.
const EARLIEST_MS: i64 = 946_684_800_000;

/// A way to write a time.
struct Way {
    format: &'static str,
    granularity: &'static str,
    data_type: DataType,
    says: &'static str,
    /// Unless its name says so or it is near to the message's, a number is no time.
    number: bool,
}

const WAYS: [Way; 12] = [
    Way::epoch("1:MILLISECONDS:EPOCH", "1:MILLISECONDS", "milliseconds since 1970"),
    Way::epoch("1:SECONDS:EPOCH", "1:SECONDS", "seconds since 1970"),
    Way::epoch("1:MICROSECONDS:EPOCH", "1:MICROSECONDS", "microseconds since 1970"),
    Way::epoch("1:NANOSECONDS:EPOCH", "1:NANOSECONDS", "nanoseconds since 1970"),
    Way::text("TIMESTAMP", DataType::Timestamp, "ISO 8601 or JDBC texts"),
    Way::text("SIMPLE_DATE_FORMAT|yyyy/MM/dd HH:mm:ss", DataType::String, "texts like 2026/01/31 12:00:00"),
    Way::text("SIMPLE_DATE_FORMAT|yyyy/MM/dd", DataType::String, "texts like 2026/01/31"),
    Way::text("SIMPLE_DATE_FORMAT|yyyyMMdd HH:mm:ss", DataType::String, "texts like 20260131 12:00:00"),
    Way::text("SIMPLE_DATE_FORMAT|yyyyMMdd'T'HHmmssZ", DataType::String, "texts like 20260131T120000Z"),
    Way::text("SIMPLE_DATE_FORMAT|dd.MM.yyyy HH:mm:ss", DataType::String, "texts like 31.01.2026 12:00:00"),
    Way::text("SIMPLE_DATE_FORMAT|dd/MMM/yyyy:HH:mm:ss Z", DataType::String, "texts like 31/Jan/2026:12:00:00 +0000"),
    Way::text(
        "SIMPLE_DATE_FORMAT|EEE, dd MMM yyyy HH:mm:ss Z",
        DataType::String,
        "texts like Sat, 31 Jan 2026 12:00:00 +0000",
    ),
];

impl Way {
    const fn epoch(format: &'static str, granularity: &'static str, says: &'static str) -> Self {
        Self { format, granularity, data_type: DataType::Long, says, number: true }
    }

    const fn text(format: &'static str, data_type: DataType, says: &'static str) -> Self {
        Self { format, granularity: "1:MILLISECONDS", data_type, says, number: false }
    }
}

/// How often the values of a field are times in each way.
#[derive(Debug)]
pub(super) struct Times {
    formats: Vec<DateTimeFormat>,
    values: usize,
    fits: [usize; WAYS.len()],
    near: [usize; WAYS.len()],
}

impl Default for Times {
    fn default() -> Self {
        let format = |way: &Way| DateTimeFormat::parse(way.format).expect("it is a format of ours");
        Self { formats: WAYS.iter().map(format).collect(), values: 0, fits: [0; WAYS.len()], near: [0; WAYS.len()] }
    }
}

/// A field that is a time.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) format: String,
    pub(super) granularity: String,
    pub(super) data_type: DataType,
    pub(super) why: String,
    pub(super) doubt: Option<String>,
    /// How likely it is the table's time: the larger the likelier.
    pub(super) rank: u32,
    /// Values that are times so,
    pub(super) fits: usize,
    /// of all that there are.
    pub(super) of: usize,
    /// How they are written.
    pub(super) says: &'static str,
}

/// A field of which so many tenths of the values are times is meant to be one.
const NEARLY_TENTHS: usize = 9;
/// From so many values on that can be told.
const ENOUGH: usize = 20;

impl Times {
    pub(super) fn add(&mut self, value: &Json, message_ms: Option<i64>) {
        self.values += 1;
        for (at, (way, format)) in WAYS.iter().zip(&self.formats).enumerate() {
            // A way that many values did not fit is none of the field's.
            if self.values > ENOUGH && self.fits[at] * 10 < (self.values - 1) * NEARLY_TENTHS {
                continue;
            }
            let ms = match value {
                Json::String(text) if !way.number && text.len() >= 8 && !text.bytes().all(|c| c.is_ascii_digit()) => {
                    format.text_to_millis(text)
                }
                Json::Number(_) if way.number => value.as_i64().and_then(|number| format.number_to_millis(number)),
                _ => None,
            };
            let Some(ms) = ms.filter(|ms| valid_row_time(*ms) && *ms >= EARLIEST_MS) else { continue };
            self.fits[at] += 1;
            self.near[at] += usize::from(message_ms.is_some_and(|sent| (sent - ms).abs() < NEAR_MS));
        }
    }

    /// What it is read as, if it is a time. `share`: how much of the records have it.
    pub(super) fn found(&self, name: &str, share: f64) -> Option<Found> {
        let fits = |at: &usize| self.values > 0 && self.fits[*at] == self.values;
        self.best(name, share, (0..WAYS.len()).filter(fits).collect())
    }

    /// What it would be read as, if a few of its values were not something else.
    pub(super) fn mostly(&self, name: &str) -> Option<Found> {
        let nearly = |at: &usize| {
            let fits = self.fits[*at];
            // Columns of other types take a text that is no time.
            WAYS[*at].data_type == DataType::Timestamp
                && self.values >= ENOUGH
                && fits < self.values
                && fits * 10 >= self.values * NEARLY_TENTHS
        };
        let found = self.best(name, 1.0, (0..WAYS.len()).filter(nearly).collect())?;
        let others = percent(found.of - found.fits, found.of);
        let doubt = format!("{others} of its values are no such times: their records are kept in quarantine");
        Some(Found { doubt: Some(doubt), ..found })
    }

    fn best(&self, name: &str, share: f64, ways: Vec<usize>) -> Option<Found> {
        let best = ways.iter().copied().max_by_key(|at| (self.near[*at], std::cmp::Reverse(*at)))?;
        let (way, hint) = (&WAYS[best], hint(name));
        let near = self.near[best] * 10 >= self.values * 9;
        if way.number && hint == 0 && !near {
            return None;
        }
        let mut why = way.says.to_owned();
        if near {
            why.push_str(", near to the times of the messages");
        }
        if hint > 0 {
            why.push_str(", and its name says so");
        }
        let others: Vec<&str> = ways.iter().filter(|at| **at != best).map(|at| WAYS[*at].says).collect();
        let doubt = match (others.is_empty(), near, hint) {
            (false, false, _) => Some(format!("it could also be {}", others.join(", "))),
            (_, _, 0) => Some("only its values say that it is a time, not its name".to_owned()),
            _ => None,
        };
        let rank = hint + u32::from(near) * 4 + (share * 8.0) as u32;
        let (format, data_type) = match way.format {
            // The type that queries know as a time.
            "1:MILLISECONDS:EPOCH" => ("TIMESTAMP", DataType::Timestamp),
            format => (format, way.data_type),
        };
        let granularity = way.granularity.to_owned();
        let (fits, of, says) = (self.fits[best], self.values, way.says);
        Some(Found { format: format.to_owned(), granularity, data_type, why, doubt, rank, fits, of, says })
    }
}

impl Times {
    /// A field that a schema declares a time, whatever its name.
    pub(super) fn declared(&self, name: &str, share: f64) -> Found {
        let near = self.values > 0 && self.near[0] * 10 >= self.values * 9;
        Found {
            format: "TIMESTAMP".to_owned(),
            granularity: "1:MILLISECONDS".to_owned(),
            data_type: DataType::Timestamp,
            why: "its schema says that it is a time".to_owned(),
            doubt: None,
            rank: hint(name) + 4 + u32::from(near) * 4 + (share * 8.0) as u32,
            fits: self.values,
            of: self.values,
            says: "times of its schema",
        }
    }
}

/// How much a name sounds like a time.
fn hint(name: &str) -> u32 {
    let last = name.rsplit('.').next().unwrap_or(name);
    let lower = last.to_lowercase();
    let exact =
        ["ts", "time", "timestamp", "event_time", "eventtime", "event_ts", "@timestamp", "datetime", "occurred_at"];
    if exact.contains(&lower.as_str()) {
        return 4;
    }
    let ends = ["time", "timestamp", "_ts", "_at", "_ms", "millis", "date", "_time", "seconds", "_epoch", "_us"];
    // createdAt, but not format.
    if ends.iter().any(|end| lower.ends_with(end)) || last.ends_with("At") || last.ends_with("Ts") {
        return 2;
    }
    u32::from(["time", "date", "created", "updated", "epoch"].iter().any(|part| lower.contains(part)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_767_225_600_000;

    fn found(name: &str, values: &[Json], message_ms: Option<i64>) -> Option<Found> {
        let mut times = Times::default();
        values.iter().for_each(|value| times.add(value, message_ms));
        times.found(name, 1.0)
    }

    #[track_caller]
    fn check(name: &str, value: Json, format: &str, data_type: DataType) {
        let found = found(name, &[value], Some(NOW)).unwrap_or_else(|| panic!("{name} is no time"));
        assert_eq!((found.format.as_str(), found.data_type, found.doubt), (format, data_type, None), "{}", found.why);
    }

    #[test]
    fn times_are_known_in_their_unit() {
        check("ts", json!(NOW), "TIMESTAMP", DataType::Timestamp);
        check("ts", json!(NOW / 1000), "1:SECONDS:EPOCH", DataType::Long);
        check("ts", json!(NOW * 1000), "1:MICROSECONDS:EPOCH", DataType::Long);
        check("ts", json!(NOW * 1_000_000), "1:NANOSECONDS:EPOCH", DataType::Long);
        for text in ["2026-01-01T00:00:00Z", "2026-01-01 00:00:00.5", "2026-01-01T01:00:00+01:00", "2026-01-01"] {
            check("created_at", json!(text), "TIMESTAMP", DataType::Timestamp);
        }
        check("when_date", json!("2026/01/01"), "SIMPLE_DATE_FORMAT|yyyy/MM/dd", DataType::String);
        let clf = "SIMPLE_DATE_FORMAT|dd/MMM/yyyy:HH:mm:ss Z";
        check("time", json!("01/Jan/2026:00:00:00 +0000"), clf, DataType::String);
    }

    #[test]
    fn what_only_looks_like_a_time_is_none_or_is_told() {
        assert!(found("id", &[json!(1_500_000_000)], Some(NOW)).is_none(), "a number far from the message's time");
        assert!(found("id", &[json!(17)], Some(NOW)).is_none() && found("ts", &[json!(17)], None).is_none());
        assert!(found("ts", &[json!(NOW), json!("x")], Some(NOW)).is_none(), "not all are times");
        assert!(found("date", &[json!("20260101")], None).is_none(), "digits alone may be a code");
        let by_value = found("x", &[json!(NOW)], Some(NOW)).unwrap();
        assert!(by_value.doubt.unwrap().contains("not its name"));
        assert!(
            found("ts", &[json!(NOW)], Some(NOW)).unwrap().rank > found("x_at", &[json!(NOW)], Some(NOW)).unwrap().rank
        );
    }
}
