//! From where a table goes on, as requests write it: `consumeFrom` of the query, or of the body for single partitions.
//!
//! ```json
//! {"consumeFrom": {"orders": {"0": 1200, "3": "+1", "*": "2h"}, "returns": "smallest"}}
//! ```
//!
//! A number is an offset, the next to be read; `"+n"` is n offsets further; `"smallest"`, `"largest"`, a period back from
//! now and an instant are as in the table config; `"lastConsumed"` is where reading stopped. `"*"` is every partition of
//! the topic that is not named itself. In place of the object one word is for all partitions.

use crate::rest::answer::ApiError;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use weir_control::spec::{STARTS, start_at};
use weir_ingest::ConsumeFrom;
use weir_types::{NextOffset, StartAt, TopicName};

/// Where the partitions of a topic (`None`), or one of them, go on.
pub(super) type Parts = BTreeMap<(TopicName, Option<u32>), ConsumeFrom>;

fn wrong(path: &str, value: &Json, reason: &str) -> ApiError {
    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    ApiError::bad_request(format!("{path} = {value}: {reason}"))
}

/// A word for all partitions. A bare number is refused: it could be an offset or a time.
pub(super) fn word(path: &str, text: &str) -> Result<ConsumeFrom, ApiError> {
    let said = text.trim();
    if said.eq_ignore_ascii_case("lastConsumed") {
        return Ok(ConsumeFrom::LastConsumed);
    }
    // A plus in a query that is not encoded reads as a blank.
    if let Some(ahead) = text.strip_prefix(['+', ' ']).and_then(|count| count.trim().parse().ok()) {
        return Ok(ConsumeFrom::Ahead(ahead));
    }
    start_at(said).map(ConsumeFrom::At).ok_or_else(|| {
        let value = Json::String(text.to_owned());
        let number = said.parse::<u64>().is_ok();
        let hint = if number { "; offsets are given by partition, in the body" } else { "" };
        wrong(path, &value, &format!("must be lastConsumed, {STARTS}, or +n for n offsets further{hint}"))
    })
}

fn place(path: &str, value: &Json) -> Result<ConsumeFrom, ApiError> {
    if let Some(offset) = value.as_u64() {
        return Ok(ConsumeFrom::At(StartAt::Offset(NextOffset::new(offset))));
    }
    match value.as_str() {
        Some(text) => match text.trim().parse() {
            Ok(offset) if !text.starts_with('+') => Ok(ConsumeFrom::At(StartAt::Offset(NextOffset::new(offset)))),
            _ => word(path, text),
        },
        None => Err(wrong(path, value, &format!("must be an offset, lastConsumed, {STARTS}, or \"+n\""))),
    }
}

/// What a body says: of all partitions, or of some.
pub(super) fn body(json: &Json) -> Result<(Option<ConsumeFrom>, Parts), ApiError> {
    if json.is_null() {
        return Ok((None, Parts::new()));
    }
    let Some(fields) = json.as_object() else {
        return Err(ApiError::bad_request("the body must be an object with consumeFrom"));
    };
    if let Some((key, value)) = fields.iter().find(|(key, _)| *key != "consumeFrom") {
        return Err(wrong(key, value, "is not known in the body; consumeFrom is"));
    }
    match fields.get("consumeFrom") {
        None | Some(Json::Null) => Ok((None, Parts::new())),
        Some(Json::Object(topics)) => Ok((None, parts(topics)?)),
        Some(value @ Json::String(text)) => match text.trim().parse::<u64>() {
            Ok(_) if !text.starts_with('+') => Err(by_topic(value)),
            _ => Ok((Some(word("consumeFrom", text)?), Parts::new())),
        },
        Some(value) => Err(by_topic(value)),
    }
}

fn by_topic(value: &Json) -> ApiError {
    wrong("consumeFrom", value, "must be a word, or an object of topics: {\"orders\": {\"0\": 1200}}")
}

fn parts(topics: &Map<String, Json>) -> Result<Parts, ApiError> {
    let mut parts = Parts::new();
    for (name, value) in topics {
        let path = format!("consumeFrom.{name}");
        let topic = TopicName::parse(name).map_err(|error| ApiError::bad_request(format!("consumeFrom: {error}")))?;
        let Json::Object(partitions) = value else {
            if value.is_number() {
                return Err(wrong(&path, value, "an offset is one partition's: {\"0\": 1200}"));
            }
            parts.insert((topic, None), place(&path, value)?);
            continue;
        };
        for (number, value) in partitions {
            let path = format!("{path}.{number}");
            let partition = match number.as_str() {
                "*" => None,
                number => {
                    let read = number.parse::<u32>();
                    Some(read.map_err(|_| wrong(&path, value, "a partition is a number, or * for all others"))?)
                }
            };
            if partition.is_none() && value.is_number() {
                return Err(wrong(&path, value, "an offset is one partition's"));
            }
            parts.insert((topic.clone(), partition), place(&path, value)?);
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn at(offset: u64) -> ConsumeFrom {
        ConsumeFrom::At(StartAt::Offset(NextOffset::new(offset)))
    }

    #[test]
    fn words_are_pinots_and_more() {
        let read = |text| word("consumeFrom", text).unwrap();
        assert_eq!(read("lastConsumed"), ConsumeFrom::LastConsumed);
        assert_eq!(read("smallest"), ConsumeFrom::At(StartAt::Earliest));
        assert_eq!(read("latest"), ConsumeFrom::At(StartAt::Latest));
        assert_eq!(read("2h"), ConsumeFrom::At(StartAt::Ago(Duration::from_secs(7200))));
        assert_eq!(read("1970-01-01T00:00:02Z"), ConsumeFrom::At(StartAt::TimestampMs(2000)));
        assert_eq!((read("+5"), read(" 5")), (ConsumeFrom::Ahead(5), ConsumeFrom::Ahead(5)));
        let number = word("consumeFrom", "1700000000000").unwrap_err();
        assert!(number.error.contains("by partition, in the body"), "{}", number.error);
        assert_eq!(word("consumeFrom", "newest").unwrap_err().status, 400);
    }

    #[test]
    fn a_body_names_partitions() {
        let topic = |name| TopicName::parse(name).unwrap();
        let (all, parts) =
            body(&json!({"consumeFrom": {"a": {"0": 12, "1": "+1", "*": "largest", "2": "7"}, "b": "1h"}})).unwrap();
        assert_eq!(all, None);
        assert_eq!(parts[&(topic("a"), Some(0))], at(12));
        assert_eq!(parts[&(topic("a"), Some(1))], ConsumeFrom::Ahead(1));
        assert_eq!(parts[&(topic("a"), Some(2))], at(7));
        assert_eq!(parts[&(topic("a"), None)], ConsumeFrom::At(StartAt::Latest));
        assert_eq!(parts[&(topic("b"), None)], ConsumeFrom::At(StartAt::Ago(Duration::from_secs(3600))));
        assert_eq!(
            body(&json!({"consumeFrom": "smallest"})).unwrap(),
            (Some(ConsumeFrom::At(StartAt::Earliest)), Parts::new())
        );
        for nothing in [json!({}), json!(null), json!({"consumeFrom": null})] {
            assert_eq!(body(&nothing).unwrap(), (None, Parts::new()));
        }
        for wrong in [
            json!([]),
            json!({"from": 1}),
            json!({"consumeFrom": 5}),
            json!({"consumeFrom": "5"}),
            json!({"consumeFrom": {"a": 5}}),
            json!({"consumeFrom": {"a": {"*": 5}}}),
            json!({"consumeFrom": {"a": {"x": 5}}}),
            json!({"consumeFrom": {"a": {"0": -5}}}),
            json!({"consumeFrom": {"a/b": {"0": 5}}}),
            json!({"consumeFrom": {"a": {"0": "soon"}}}),
        ] {
            assert_eq!(body(&wrong).unwrap_err().status, 400, "{wrong}");
        }
    }
}
