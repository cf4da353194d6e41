//! Dates and times of day as formats with types of their own hold them: numbers where a number is wanted, else text.

use crate::coerce::Source;
use std::fmt::Write as _;
use weir_functions::date_pattern::timestamp_text;
use weir_types::DataType;

const DAY_MS: i64 = 86_400_000;

/// Whether a column of the type takes a date or a time of day as the number that it is.
pub(crate) fn takes_number(data_type: DataType) -> bool {
    matches!(data_type, DataType::Int | DataType::Long | DataType::Float | DataType::Double | DataType::BigDecimal)
}

/// A date, from days since the epoch: the number, midnight in UTC, or text such as `2026-01-31`.
pub(crate) fn date(days: i64, data_type: DataType, raw: bool, text: &mut String) -> Source<'_> {
    let ms = days.saturating_mul(DAY_MS);
    match data_type {
        _ if raw || takes_number(data_type) => Source::Integer(days),
        DataType::Timestamp => Source::Timestamp(ms),
        _ => {
            text.push_str(timestamp_text(ms).split(' ').next().unwrap_or_default());
            Source::Text(text)
        }
    }
}

/// A time of day as Java writes it; the number where a number is wanted or it is of no day.
pub(crate) fn time_of_day(
    value: i64,
    per_second: i64,
    data_type: DataType,
    raw: bool,
    text: &mut String,
) -> Source<'_> {
    let seconds = value.div_euclid(per_second);
    if raw || takes_number(data_type) || !(0..DAY_MS / 1000).contains(&seconds) {
        return Source::Integer(value);
    }
    let micros = value.rem_euclid(per_second) * (1_000_000 / per_second);
    write!(text, "{:02}:{:02}", seconds / 3600, seconds / 60 % 60).expect("a String takes every text");
    if seconds % 60 != 0 || micros != 0 {
        write!(text, ":{:02}", seconds % 60).expect("a String takes every text");
    }
    if micros % 1000 != 0 {
        write!(text, ".{micros:06}").expect("a String takes every text");
    } else if micros != 0 {
        write!(text, ".{:03}", micros / 1000).expect("a String takes every text");
    }
    Source::Text(text)
}
