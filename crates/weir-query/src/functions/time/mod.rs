//! Dates and times: milliseconds since the epoch in UTC unless a zone is given. Patterns and formats are the shelf's of
//! functions, which ingestion uses too.

mod funs;

pub(super) use funs::FUNS;
pub(crate) use funs::ago;

pub(crate) use weir_functions::date_pattern::timestamp_text;

use datafusion::error::DataFusionError;
use weir_functions::date_pattern::{DateError, timestamp_from_text};

/// Reads a TIMESTAMP, whatever stands around it: milliseconds, `yyyy-MM-dd[ HH:mm[:ss[.S..]]]`, or ISO 8601 with `T` and
/// an optional offset.
pub(crate) fn timestamp_of(text: &str) -> Option<i64> {
    timestamp_from_text(text.trim())
}

/// An error of the dates' shelf as one of a function.
fn refused(error: DateError) -> DataFusionError {
    DataFusionError::Execution(error.to_string())
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
        assert_eq!(timestamp_of(" 2026-01-01 "), Some(1_767_225_600_000));
        assert_eq!(timestamp_of("2026-01-01T02:00:00+02:00"), Some(1_767_225_600_000));
        assert_eq!(timestamp_of("2026-01-01T00:00:00Z"), Some(1_767_225_600_000));
        assert_eq!(timestamp_of("soon"), None);
    }
}
