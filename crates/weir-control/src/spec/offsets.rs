//! What a stream map says of topics, partitions and offsets: which are read, from where, and when a backlog is passed over.

use crate::spec::period::{instant_ms, period};
use regex::{Regex, RegexBuilder};
use std::collections::{BTreeMap, BTreeSet};
use weir_types::{NextOffset, StartAt, TopicName};

/// Partitions that a subset may name: more would be a slip of a range, and Pinot's bound is the same.
const MOST_IN_SUBSET: usize = 10_000;
/// Bytes of a compiled pattern: names are short, so are the patterns over them.
const PATTERN_BYTES: usize = 1 << 20;
/// What a start may read as, for people.
pub const STARTS: &str = "smallest, largest, a period such as 2d, or an instant such as 2026-01-01T00:00:00Z";

/// Where to start, as users write it: `smallest` or `earliest`, `largest` or `latest`, a period back from now, an
/// instant.
#[must_use]
pub fn start_at(text: &str) -> Option<StartAt> {
    match text.trim().to_ascii_lowercase().as_str() {
        "smallest" | "earliest" => Some(StartAt::Earliest),
        "largest" | "latest" => Some(StartAt::Latest),
        _ => period(text).map(StartAt::Ago).or_else(|| instant_ms(text).map(StartAt::TimestampMs)),
    }
}

/// Offsets by partition, as users write them: `{"0": 1500, "1": 0}`.
pub(super) fn start_offsets(text: &str) -> Option<BTreeMap<u32, NextOffset>> {
    let offsets: BTreeMap<u32, u64> = serde_json::from_str(text).ok()?;
    // Kafka counts in numbers with a sign.
    let fits = !offsets.is_empty() && offsets.values().all(|offset| i64::try_from(*offset).is_ok());
    fits.then(|| offsets.into_iter().map(|(partition, offset)| (partition, NextOffset::new(offset))).collect())
}

/// A list of numbers and inclusive ranges: `0-3,7`. Ascending, each once.
pub(super) fn subset(text: &str) -> Result<Vec<u32>, String> {
    let mut found = BTreeSet::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u32>().ok().filter(|number| i32::try_from(*number).is_ok());
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            return Err(format!("must be partitions and ranges such as 0-3,7; {part:?} is neither"));
        };
        if last < first {
            return Err(format!("the range {part} runs backwards"));
        }
        if (last - first) as usize >= MOST_IN_SUBSET || found.len() > MOST_IN_SUBSET {
            return Err(format!("names more than {MOST_IN_SUBSET} partitions"));
        }
        found.extend(first..=last);
    }
    if found.len() > MOST_IN_SUBSET {
        return Err(format!("names more than {MOST_IN_SUBSET} partitions"));
    }
    Ok(found.into_iter().collect())
}

/// A pattern over whole topic names.
#[derive(Debug, Clone)]
pub struct TopicMatcher {
    whole: Regex,
    internal: bool,
}

impl TopicMatcher {
    /// Compiles a pattern; the error says what is wrong with it.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let whole = RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(PATTERN_BYTES).build();
        let whole = whole.map_err(|error| {
            let lines = error.to_string();
            let said = lines.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned();
            format!("must be a regular expression over whole topic names: {said}")
        })?;
        Ok(Self { whole, internal: pattern.trim_start_matches('^').starts_with("__") })
    }

    /// Whether a topic is meant. The brokers' own topics (`__consumer_offsets`) are meant only by a pattern that starts
    /// with two underscores too.
    #[must_use]
    pub fn matches(&self, topic: &TopicName) -> bool {
        (self.internal || !topic.as_str().starts_with("__")) && self.whole.is_match(topic.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn starts_in_both_vocabularies() {
        for (text, expected) in [
            ("smallest", Some(StartAt::Earliest)),
            (" Earliest ", Some(StartAt::Earliest)),
            ("largest", Some(StartAt::Latest)),
            ("latest", Some(StartAt::Latest)),
            ("2h", Some(StartAt::Ago(Duration::from_secs(7200)))),
            ("1970-01-01T00:00:01Z", Some(StartAt::TimestampMs(1000))),
            ("17", None),
            ("newest", None),
        ] {
            assert_eq!(start_at(text), expected, "{text}");
        }
    }

    #[test]
    fn subsets_are_numbers_and_ranges() {
        assert_eq!(subset("0-3,7"), Ok(vec![0, 1, 2, 3, 7]));
        assert_eq!(subset(" 5 , 2, 2-3"), Ok(vec![2, 3, 5]));
        for wrong in ["", "a", "3-1", "1,,2", "-1", "0-10000", "3000000000"] {
            assert!(subset(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn patterns_mean_whole_names() {
        let topic = |name| TopicName::parse(name).unwrap();
        let matcher = TopicMatcher::new(r"orders\.(eu|us)|trades").unwrap();
        assert!(matcher.matches(&topic("orders.eu")) && matcher.matches(&topic("trades")));
        assert!(!matcher.matches(&topic("orders.eu.old")) && !matcher.matches(&topic("my-trades")));
        assert!(!TopicMatcher::new(".*").unwrap().matches(&topic("__consumer_offsets")));
        assert!(TopicMatcher::new("__con.*").unwrap().matches(&topic("__consumer_offsets")));
        assert!(TopicMatcher::new("(").unwrap_err().contains("regular expression"));
    }
}
