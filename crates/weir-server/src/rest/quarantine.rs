//! A table's quarantine: looked at, deleted from, replayed.

use crate::{
    node::Node,
    rest::{
        Params,
        answer::{ApiError, ApiResult, json_response, parse_json, read_body, table_of},
        api::{Api, Carries},
        who::Who,
    },
    system::{object, quarantine},
};
use axum::{
    body::Body,
    extract::{Path, Query, State},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value as Json, json};
use std::{collections::BTreeSet, str::FromStr, sync::Arc};
use weir_ingest::{EntryId, ReplayReport, STAGES, Selection};
use weir_types::{NextOffset, StreamPartition, TopicName};

/// Entries of one page, unless asked otherwise.
const ENTRIES: usize = 100;
/// Most entries of one page; their bytes are bounded besides.
const MOST_ENTRIES: usize = 10_000;
/// Most bytes of a body: a million offsets.
const BODY_BYTES: usize = 16 << 20;

/// Which entries are meant.
const WHICH: &[&str] = &["topic", "partition", "offsets", "fromOffset", "toOffset", "stage"];
const PAGE: &[&str] = &["limit", "after", "topic", "partition", "offsets", "fromOffset", "toOffset", "stage"];

pub(super) fn routes(api: Api) -> Api {
    let path = "/tables/{tableName}/quarantine";
    api.get(path, "records that could not become rows", PAGE, list)
        .delete_some(path, "deletes such records for good; all where none are named", WHICH, delete)
        .post(
            "/tables/{tableName}/quarantine/replay",
            "tries such records again with the table's settings as they are now; all where none are named",
            WHICH,
            Carries::Json,
            replay,
        )
}

fn number<T: FromStr>(params: &Params, key: &str) -> Result<Option<T>, ApiError> {
    let wrong = |text: &String| ApiError::bad_request(format!("{key} = {text}: must be a number of 0 or more"));
    params.get(key).map(|text| text.trim().parse().map_err(|_| wrong(text))).transpose()
}

/// The stage that a word names, in any case.
///
/// # Errors
/// A word that names none, in words, with those that do.
pub(crate) fn stage(word: &str) -> Result<Arc<str>, String> {
    let known = STAGES.into_iter().find(|known| known.eq_ignore_ascii_case(word.trim()));
    known.map(Into::into).ok_or_else(|| format!("stage = {word}: no such stage; there are {}", STAGES.join(", ")))
}

/// The entries that the parameters of a request name.
fn selection(params: &Params) -> Result<Selection, ApiError> {
    let topic = params.get("topic").map(|text| TopicName::parse(text)).transpose();
    let topic = topic.map_err(|error| ApiError::bad_request(format!("topic = {error}")))?;
    let partition = number(params, "partition")?;
    let offset = |key| Ok::<_, ApiError>(number(params, key)?.map(NextOffset::new));
    let among = match (params.get("offsets"), &topic, partition) {
        (None, ..) => None,
        (Some(list), Some(topic), Some(partition)) => {
            let partition = StreamPartition { topic: topic.clone(), partition };
            let offsets = list.split(',').map(|text| {
                let wrong =
                    |_| ApiError::bad_request(format!("offsets = {text}: must be numbers, separated by commas"));
                Ok((partition.clone(), NextOffset::new(text.trim().parse().map_err(wrong)?)))
            });
            Some(offsets.collect::<Result<BTreeSet<_>, ApiError>>()?)
        }
        (Some(list), ..) => {
            let text = format!("offsets = {list}: belong to one partition; give topic and partition too");
            return Err(ApiError::bad_request(text));
        }
    };
    let stage = params.get("stage").map(|text| stage(text)).transpose().map_err(ApiError::bad_request)?;
    Ok(Selection { topic, partition, from: offset("fromOffset")?, to: offset("toOffset")?, stage, among })
}

/// The entries that a body names: `{"entries":[{"topic":"t","partition":0,"offsets":[7]}]}`. Nothing names all.
fn named(body: &[u8]) -> Result<Option<BTreeSet<(StreamPartition, NextOffset)>>, ApiError> {
    let wrong = |place: &str, value: &Json, what: &str| {
        let value = if value.is_null() { "absent".to_owned() } else { value.to_string() };
        Err(ApiError::bad_request(format!("{place} = {value}: {what}")))
    };
    let json = if body.trim_ascii().is_empty() { Json::Null } else { parse_json(body)? };
    let object = match &json {
        Json::Null => return Ok(None),
        Json::Object(object) => object,
        _ => return wrong("(body)", &json, "must be an object with entries, or nothing to replay all"),
    };
    if let Some((key, value)) = object.iter().find(|(key, _)| *key != "entries") {
        return wrong(key, value, "is not known here: entries is");
    }
    let list = match &json["entries"] {
        Json::Null => return Ok(None),
        Json::Array(list) => list,
        other => return wrong("entries", other, "must be a list; leave it away to replay all"),
    };
    let mut named = BTreeSet::new();
    for (at, entry) in list.iter().enumerate() {
        let place = |key: &str| format!("entries[{at}].{key}");
        let Some(topic) = entry["topic"].as_str().and_then(|text| TopicName::parse(text).ok()) else {
            return wrong(&place("topic"), &entry["topic"], "must be the name of a topic");
        };
        let Some(partition) = entry["partition"].as_u64().and_then(|number| u32::try_from(number).ok()) else {
            return wrong(&place("partition"), &entry["partition"], "must be the partition's number in its topic");
        };
        let partition = StreamPartition { topic, partition };
        let Some(offsets) = entry["offsets"].as_array() else {
            return wrong(&place("offsets"), &entry["offsets"], "must be a list of offsets");
        };
        for offset in offsets {
            match offset.as_u64() {
                Some(number) => named.insert((partition.clone(), NextOffset::new(number))),
                None => return wrong(&place("offsets"), offset, "an offset is a number of 0 or more"),
            };
        }
    }
    Ok(Some(named))
}

async fn list(State(node): State<Arc<Node>>, Path(name): Path<String>, Query(params): Query<Params>) -> ApiResult {
    let name = table_of(&name)?;
    known(&params, PAGE)?;
    let limit = match params.get("limit") {
        None => ENTRIES,
        Some(text) => {
            text.parse::<usize>().ok().filter(|limit| (1..=MOST_ENTRIES).contains(limit)).ok_or_else(|| {
                ApiError::bad_request(format!("limit = {text}: must be a number from 1 to {MOST_ENTRIES}"))
            })?
        }
    };
    let after = params.get("after").map(|text| place(text)).transpose()?;
    let selection = selection(&params)?;
    let (kept, replayed) = (node.quarantine(&name)?, node.replayed(&name)?);
    let counts = kept.counts();
    let read = tokio::task::spawn_blocking(move || kept.page(&selection, after.as_ref(), limit)).await;
    let page = match read {
        Ok(Ok(page)) => page,
        Ok(Err(error)) => {
            let text = format!("the quarantine of {name} cannot be read: {error}");
            return Err(ApiError::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, text));
        }
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    let list: Vec<Json> = page
        .entries
        .into_iter()
        .map(|entry| {
            let (exact, whole) = (BASE64.encode(&entry.payload), entry.value_bytes);
            let key = entry.key.as_ref().map(|key| BASE64.encode(key));
            let mut shown = object(quarantine::FIELDS, &(name.to_string(), entry));
            shown["payloadBase64"] = exact.into();
            shown["keyBase64"] = key.into();
            shown["valueBytes"] = whole.into();
            shown
        })
        .collect();
    Ok(json_response(&json!({
        "kept": counts.kept,
        "evicted": counts.evicted,
        "deleted": counts.deleted,
        "replayed": replayed,
        "entries": list,
        "next": page.next.map(|id| format!("{}/{}/{}", id.partition, id.reading, id.offset)),
    })))
}

async fn delete(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Who(who): Who,
    Query(params): Query<Params>,
) -> ApiResult {
    known(&params, WHICH)?;
    let deleted = node.delete_quarantined(&table_of(&name)?, selection(&params)?, &who).await?;
    Ok(json_response(&json!({ "deleted": deleted })))
}

/// Where a parameter that nobody knows would make a request do more than was meant, it is refused.
pub(super) fn known(params: &Params, names: &[&str]) -> Result<(), ApiError> {
    match params.iter().find(|(key, _)| !names.contains(&key.as_str())) {
        None => Ok(()),
        Some((key, value)) => {
            Err(ApiError::bad_request(format!("{key} = {value}: is not known here; {} are", names.join(", "))))
        }
    }
}

async fn replay(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Who(who): Who,
    Query(params): Query<Params>,
    body: Body,
) -> ApiResult {
    let name = table_of(&name)?;
    known(&params, WHICH)?;
    let mut selection = selection(&params)?;
    if let Some(named) = named(&read_body(body, BODY_BYTES).await?)? {
        if selection.among.is_some() {
            return Err(ApiError::bad_request("offsets and the body's entries exclude each other: give one"));
        }
        selection.among = Some(named);
    }
    let asked = selection.among.as_ref().map(BTreeSet::len);
    let report = node.replay(&name, selection, &who).await?;
    Ok(json_response(&answer(&report, asked)))
}

fn answer(report: &ReplayReport, asked: Option<usize>) -> Json {
    let failure = |failure: &weir_ingest::ReplayFailure| {
        json!({
            "topic": failure.partition.topic.as_str(),
            "partition": failure.partition.partition,
            "offset": failure.offset.number(),
            "stage": failure.stage,
            "column": failure.column,
            "reason": failure.reason,
        })
    };
    let mut answer = json!({
        "replayed": report.replayed,
        "rows": report.rows,
        "segments": report.segments,
        "failed": report.failed,
        "failures": report.failures.iter().map(failure).collect::<Vec<_>>(),
    });
    if let Some(asked) = asked {
        // A record that was read again, after a rewind or in a topic made anew, may be there several times.
        answer["notInQuarantine"] = asked.saturating_sub(report.found.len()).into();
    }
    answer
}

/// `topic/partition/reading/offset`, as `next` of a page reads.
fn place(text: &str) -> Result<EntryId, ApiError> {
    let parts: Vec<&str> = text.split('/').collect();
    let read = || {
        let [topic, partition, reading, offset] = parts.as_slice() else { return None };
        let partition = StreamPartition { topic: TopicName::parse(topic).ok()?, partition: partition.parse().ok()? };
        Some(EntryId { partition, reading: reading.parse().ok()?, offset: NextOffset::new(offset.parse().ok()?) })
    };
    read().ok_or_else(|| ApiError::bad_request(format!("after = {text}: must be as next of the page before reads")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_page_goes_on_where_the_last_ended() {
        let id = place("orders.v1/3/1/77").unwrap();
        assert_eq!((id.partition.to_string().as_str(), id.reading, id.offset.number()), ("orders.v1/3", 1, 77));
        for wrong in ["", "a/1", "a/1/1", "a/b/0/1", "a/1/0/-1"] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn records_that_are_there_twice_hide_none_that_are_not() {
        let partition = StreamPartition { topic: TopicName::parse("t").unwrap(), partition: 0 };
        // Of two that were named one is there, by two readings, and both became rows.
        let found = [(partition, NextOffset::new(3))].into();
        let report = ReplayReport { replayed: 2, rows: 2, found, ..ReplayReport::default() };
        assert_eq!(answer(&report, Some(2))["notInQuarantine"], 1);
        assert_eq!(answer(&report, None)["notInQuarantine"], Json::Null);
    }

    #[test]
    fn parameters_name_entries() {
        let found = selection(&params(&[("topic", "t"), ("partition", "2"), ("offsets", "3, 4")])).unwrap();
        assert_eq!((found.partition, found.among.unwrap().len()), (Some(2), 2));
        let found = selection(&params(&[("fromOffset", "3"), ("toOffset", "9"), ("stage", "time")])).unwrap();
        assert_eq!((found.from, found.to), (Some(NextOffset::new(3)), Some(NextOffset::new(9))));
        assert_eq!(found.stage.as_deref(), Some("TIME"));
        for wrong in [
            &[("topic", "a b")][..],
            &[("partition", "x")],
            &[("fromOffset", "-1")],
            &[("offsets", "3")],
            &[("topic", "t"), ("partition", "0"), ("offsets", "3,x")],
            &[("stage", "TIMES")],
        ] {
            assert_eq!(selection(&params(wrong)).unwrap_err().status, 400, "{wrong:?}");
        }
        let unknown = selection(&params(&[("stage", "TIMES")])).unwrap_err();
        let named = "stage = TIMES: no such stage; there are DECODE, COMPLEX_TYPE, TRANSFORM, FILTER, DATA_TYPE, TIME, SANITISE, \
                     REPLAY";
        assert!(unknown.error.contains(named), "{}", unknown.error);
        let typo = known(&params(&[("partitions", "1")]), WHICH).unwrap_err();
        assert!(typo.error.contains("partitions = 1"), "{}", typo.error);
    }

    #[test]
    fn a_body_names_entries_or_none() {
        for all in ["", " ", "null", "{}", r#"{"entries":null}"#] {
            assert_eq!(named(all.as_bytes()).unwrap(), None, "{all}");
        }
        let some =
            r#"{"entries":[{"topic":"t","partition":1,"offsets":[3,3,9]},{"topic":"t","partition":0,"offsets":[]}]}"#;
        assert_eq!(named(some.as_bytes()).unwrap().unwrap().len(), 2);
        for (wrong, place) in [
            ("[]", "(body)"),
            (r#"{"entry":1}"#, "entry = 1"),
            (r#"{"entries":{}}"#, "entries = {}"),
            (r#"{"entries":[{"partition":1}]}"#, "entries[0].topic = absent"),
            (r#"{"entries":[{"topic":"t","partition":-1}]}"#, "entries[0].partition = -1"),
            (r#"{"entries":[{"topic":"t","partition":1}]}"#, "entries[0].offsets = absent"),
            (r#"{"entries":[{"topic":"t","partition":1,"offsets":["3"]}]}"#, r#"entries[0].offsets = "3""#),
            ("{", "line 1"),
        ] {
            let error = named(wrong.as_bytes()).unwrap_err();
            assert!(error.status == 400 && error.error.contains(place), "{wrong}: {}", error.error);
        }
    }
}
