//! The times of rows: which of them are believable. How they are written is the shelf of functions' to know.

pub use weir_functions::date_pattern::DateTimeFormat;

/// 1971-01-01T00:00:00Z.
const EARLIEST_ROW_MS: i64 = 31_536_000_000;
/// 2071-01-01T00:00:00Z.
const LATEST_ROW_MS: i64 = 3_187_296_000_000;

/// Whether a row's time is believable: from 1971 to 2071, both ends included. Outside of that a time column is nearly
/// always read in a wrong unit.
#[must_use]
pub fn valid_row_time(ms: i64) -> bool {
    (EARLIEST_ROW_MS..=LATEST_ROW_MS).contains(&ms)
}
