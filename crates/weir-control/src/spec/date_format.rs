//! The shape of date-time formats and granularities; what a pattern's letters mean is the formats' shelf's to know.

const UNITS: [&str; 7] = ["DAYS", "HOURS", "MINUTES", "SECONDS", "MILLISECONDS", "MICROSECONDS", "NANOSECONDS"];

/// What would be right.
pub(super) const FORMAT_REMEDY: &str = "must be a date-time format such as 1:MILLISECONDS:EPOCH, TIMESTAMP, EPOCH|SECONDS|1 or \
     1:DAYS:SIMPLE_DATE_FORMAT:yyyy-MM-dd";

/// What would be right.
pub(super) const GRANULARITY_REMEDY: &str = "must be a granularity such as 1:MINUTES or MINUTES|1";

fn unit(text: &str) -> bool {
    UNITS.iter().any(|unit| unit.eq_ignore_ascii_case(text))
}

fn size(text: &str) -> bool {
    text.parse::<u32>().is_ok_and(|size| size > 0)
}

/// Whether a format has one of the known shapes.
pub(super) fn is_format(text: &str) -> bool {
    let is = |word: &str, name: &str| word.eq_ignore_ascii_case(name);
    let pipes: Vec<&str> = text.split('|').collect();
    match pipes.as_slice() {
        [only] if is(only, "TIMESTAMP") || is(only, "SIMPLE_DATE_FORMAT") => return true,
        [kind, parts @ ..] if is(kind, "EPOCH") => {
            return match parts {
                [] => true,
                [of] => unit(of),
                [of, count] => unit(of) && size(count),
                _ => false,
            };
        }
        [kind, pattern, ..] if is(kind, "SIMPLE_DATE_FORMAT") => return !pattern.is_empty() && pipes.len() <= 3,
        _ => {}
    }
    let parts: Vec<&str> = text.splitn(4, ':').collect();
    match parts.as_slice() {
        [count, of, kind] => {
            size(count) && unit(of) && (is(kind, "EPOCH") || is(kind, "TIMESTAMP") || is(kind, "SIMPLE_DATE_FORMAT"))
        }
        [count, of, kind, pattern] => size(count) && unit(of) && is(kind, "SIMPLE_DATE_FORMAT") && !pattern.is_empty(),
        _ => false,
    }
}

/// Whether a granularity has one of the known shapes.
pub(super) fn is_granularity(text: &str) -> bool {
    match text.split_once(':') {
        Some((count, of)) => size(count) && unit(of),
        None => match text.split_once('|') {
            Some((of, count)) => unit(of) && size(count),
            None => unit(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_of_both_spellings() {
        for good in [
            "1:MILLISECONDS:EPOCH",
            "5:MINUTES:EPOCH",
            "1:DAYS:SIMPLE_DATE_FORMAT:yyyyMMdd",
            "1:DAYS:SIMPLE_DATE_FORMAT:yyyy-MM-dd HH:mm:ss tz(America/Los_Angeles)",
            "1:MILLISECONDS:TIMESTAMP",
            "1:MILLISECONDS:SIMPLE_DATE_FORMAT",
            "EPOCH|MILLISECONDS|1",
            "EPOCH|SECONDS",
            "EPOCH",
            "SIMPLE_DATE_FORMAT|yyyy-MM-dd|UTC",
            "TIMESTAMP",
        ] {
            assert!(is_format(good), "{good}");
        }
        for bad in ["", "MILLISECONDS", "0:DAYS:EPOCH", "1:YEARS:EPOCH", "1:DAYS:EPOCH:x", "EPOCH|YEARS", "yyyy-MM-dd"]
        {
            assert!(!is_format(bad), "{bad}");
        }
        assert!(is_granularity("1:HOURS") && is_granularity("HOURS|1") && !is_granularity("1:EPOCH"));
    }
}
