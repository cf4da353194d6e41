//! Names are parsed once, at the edge, and printed by `Display`. None has a default.

use std::{fmt, sync::Arc};

/// A name that was refused, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameError {
    /// What was read.
    pub value: String,
    /// Why it cannot be a name, and what would be one.
    pub reason: String,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' {}", self.value, self.reason)
    }
}

impl std::error::Error for NameError {}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text of the name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// A table's raw name, without its kind (`orders`, never `orders_REALTIME`).
    TableName
}
name! {
    /// A column's name as the schema spells it.
    ColumnName
}
name! {
    /// A topic of a stream, as the stream spells it.
    TopicName
}

fn refuse<T>(value: &str, reason: &str) -> Result<T, NameError> {
    Err(NameError { value: value.to_owned(), reason: reason.to_owned() })
}

impl TableName {
    /// A raw table name: not empty, no `__` (segment names are split there), no `.`, `/`, white space or control
    /// character; at most 200 bytes, since it becomes a folder name. A `_REALTIME` or `_OFFLINE` suffix is cut off.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let raw = text.strip_suffix("_REALTIME").or_else(|| text.strip_suffix("_OFFLINE")).unwrap_or(text);
        if raw.is_empty() {
            return refuse(text, "is not a table name: it is empty");
        }
        if raw.len() > 200 {
            return refuse(text, "is not a table name: it is longer than 200 bytes");
        }
        if raw.contains("__") {
            return refuse(text, "is not a table name: it holds '__', which separates the parts of a segment name");
        }
        if let Some(bad) = raw.chars().find(|c| c.is_whitespace() || c.is_control() || "./\\:*?\"<>|".contains(*c)) {
            return refuse(text, &format!("is not a table name: the character {bad:?} is not allowed"));
        }
        Ok(Self(raw.into()))
    }
}

impl ColumnName {
    /// A column name: not empty, no control character.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return refuse(text, "is not a column name: it is empty");
        }
        if text.chars().any(char::is_control) {
            return refuse(text, "is not a column name: it holds a control character");
        }
        Ok(Self(text.into()))
    }
}

impl TopicName {
    /// A topic name: letters, digits, `.`, `_` and `-`, at most 249 (Kafka's rule); `.` and `..` are refused since the
    /// local log keeps a folder per topic.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > 249 || text == "." || text == ".." {
            return refuse(text, "is not a topic name: 1 to 249 letters, digits, '.', '_' or '-' are");
        }
        if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-".contains(*c))) {
            return refuse(text, &format!("is not a topic name: the character {bad:?} is not allowed"));
        }
        Ok(Self(text.into()))
    }
}

/// What feeds a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TableKind {
    /// Rows come from a stream.
    Realtime,
    /// Rows come from batch jobs.
    Offline,
}

impl TableKind {
    /// Pinot's spelling: `REALTIME` or `OFFLINE`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Realtime => "REALTIME",
            Self::Offline => "OFFLINE",
        }
    }
}

impl fmt::Display for TableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A partition's identity: the topic it belongs to and its number there. A position in a list is never identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition's number in its topic.
    pub partition: u32,
}

impl fmt::Display for StreamPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// The name of a segment consumed from a stream, in Pinot's form `{table}__{partition}__{sequence}__{yyyyMMdd'T'HHmm'Z'}`.
///
/// `partition_group` is Pinot's number (position of the topic in the table's list x 10000 + stream partition); it is
/// for reading by people and clients, identity stands in the segment's record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentName {
    /// The raw table name.
    pub table: TableName,
    /// Pinot's partition number.
    pub partition_group: u32,
    /// Counts the segments of a partition from 0.
    pub sequence: u32,
    /// Creation time, `yyyyMMdd'T'HHmm'Z'`, UTC.
    pub created: Arc<str>,
}

impl SegmentName {
    /// Names a new segment; `created_ms` is wall time in milliseconds since the epoch.
    #[must_use]
    pub fn new(table: TableName, partition_group: u32, sequence: u32, created_ms: i64) -> Self {
        Self { table, partition_group, sequence, created: minute_stamp(created_ms).into() }
    }

    /// Reads a name written by `Display`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let parts: Vec<&str> = text.split("__").collect();
        let [table, partition, sequence, created] = parts.as_slice() else {
            return refuse(text, "is not a segment name: {table}__{partition}__{sequence}__{time} is");
        };
        let number = |part: &str| {
            part.parse::<u32>().or_else(|_| refuse(text, "is not a segment name: partition and sequence are numbers"))
        };
        Ok(Self {
            table: TableName::parse(table)?,
            partition_group: number(partition)?,
            sequence: number(sequence)?,
            created: (*created).into(),
        })
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}__{}__{}__{}", self.table, self.partition_group, self.sequence, self.created)
    }
}

/// `yyyyMMdd'T'HHmm'Z'` of a time in milliseconds since the epoch (days to civil date after Hinnant's algorithm).
fn minute_stamp(ms: i64) -> String {
    let minutes = ms.div_euclid(60_000);
    let (days, minute_of_day) = (minutes.div_euclid(1440), minutes.rem_euclid(1440));
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}Z", minute_of_day / 60, minute_of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_names_read_what_they_print() {
        let name = SegmentName::new(TableName::parse("orders_REALTIME").unwrap(), 10_003, 17, 1_767_225_600_000);
        assert_eq!(name.to_string(), "orders__10003__17__20260101T0000Z");
        assert_eq!(SegmentName::parse(&name.to_string()), Ok(name));
        for bad in ["orders", "orders__1__2", "orders__x__2__t", "__1__2__t"] {
            assert!(SegmentName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_refuse_what_would_break_a_path_or_a_split() {
        for bad in ["", "a__b", "a b", "a/b", "a.b", "a\u{7}"] {
            assert!(TableName::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["", ".", "..", "a/b", "a b"] {
            assert!(TopicName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn minute_stamps_know_leap_years() {
        for (ms, text) in [(0, "19700101T0000Z"), (951_782_400_000, "20000229T0000Z"), (-60_000, "19691231T2359Z")] {
            assert_eq!(minute_stamp(ms), text);
        }
    }
}
