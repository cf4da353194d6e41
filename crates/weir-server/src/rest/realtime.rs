//! Consumption of a table: what its partitions do, what was rejected, pause, resume, force-commit.

use crate::{
    node::Node,
    pinot_json::consuming::{force_commit_answer, force_commit_status, pause_status, segments_info},
    rest::{
        Params,
        answer::{ApiError, ApiResult, json_response, table_of},
        api::{Api, Carries},
    },
    system::{object, partitions, quarantine},
};
use axum::extract::{Path, Query, State};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use weir_types::{NextOffset, SegmentName, StreamPartition, TableName, TopicName};

pub(super) fn routes(api: Api) -> Api {
    let none = Carries::Nothing;
    api.get("/tables/{tableName}/partitions", "what each partition is doing, and why", &[], partition_list)
        .get("/tables/{tableName}/quarantine", "records that could not become rows", &["limit", "after"], rejected)
        .get("/tables/{tableName}/consumingSegmentsInfo", "offsets and lag of open segments", &[], consuming)
        .get("/tables/{tableName}/pauseStatus", "whether it is paused, and why", &[], paused)
        .post("/tables/{tableName}/pauseConsumption", "stops reading", &["comment"], none, pause)
        .post("/tables/{tableName}/resumeConsumption", "reads on", &["comment", "consumeFrom"], none, resume)
        .post("/tables/{tableName}/forceCommit", "seals open segments", &["partitions", "segments"], none, force_commit)
        .get("/tables/forceCommitStatus/{jobId}", "what of a force-commit is not committed yet", &[], force_committed)
}

async fn partition_list(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    let statuses = node.partitions(&table_of(&name)?)?;
    let list: Vec<Json> = statuses.iter().map(|status| object(partitions::FIELDS, status)).collect();
    Ok(json_response(&json!(list)))
}

async fn consuming(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    let statuses = node.partitions(&table_of(&name)?)?;
    Ok(json_response(&segments_info(&statuses, &node.addresses().server_id())))
}

async fn pause_answer(node: &Node, name: &TableName) -> ApiResult {
    let record = node.table(name).await?;
    Ok(json_response(&pause_status(record.paused.as_ref(), &node.partitions(name)?)))
}

async fn paused(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    pause_answer(&node, &table_of(&name)?).await
}

async fn pause(State(node): State<Arc<Node>>, Path(name): Path<String>, Query(params): Query<Params>) -> ApiResult {
    let name = table_of(&name)?;
    node.pause(&name, params.get("comment").map_or("", String::as_str)).await?;
    pause_answer(&node, &name).await
}

async fn resume(State(node): State<Arc<Node>>, Path(name): Path<String>, Query(params): Query<Params>) -> ApiResult {
    let name = table_of(&name)?;
    match params.get("consumeFrom").map_or("lastConsumed", String::as_str) {
        "lastConsumed" => {}
        other @ ("smallest" | "largest") => {
            return Err(ApiError::bad_request(format!(
                "consumeFrom = {other}: skipping or repeating offsets is not built yet; leave it away to go on where \
                 reading stopped"
            )));
        }
        other => {
            return Err(ApiError::bad_request(format!(
                "consumeFrom = {other}: must be lastConsumed, smallest or largest"
            )));
        }
    }
    node.resume(&name).await?;
    pause_answer(&node, &name).await
}

/// The partitions to seal, by Pinot's number; `None` is all of them.
fn groups(params: &Params, name: &TableName) -> Result<Option<Vec<u32>>, ApiError> {
    let list =
        |key: &str| params.get(key).map(|text| text.split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>());
    match (list("partitions"), list("segments")) {
        (Some(_), Some(_)) => Err(ApiError::bad_request("partitions and segments exclude each other: give one")),
        (Some(numbers), None) => {
            let number = |text: &String| {
                let wrong =
                    |_| ApiError::bad_request(format!("partitions = {text}: must be numbers, separated by commas"));
                text.parse().map_err(wrong)
            };
            numbers.iter().map(number).collect::<Result<_, _>>().map(Some)
        }
        (None, Some(names)) => {
            let group = |text: &String| match SegmentName::parse(text) {
                Ok(segment) if segment.table == *name => Ok(segment.partition_group),
                Ok(segment) => {
                    Err(ApiError::bad_request(format!("segments = {text}: belongs to table {}", segment.table)))
                }
                Err(error) => Err(ApiError::bad_request(format!("segments = {error}"))),
            };
            names.iter().map(group).collect::<Result<_, _>>().map(Some)
        }
        (None, None) => Ok(None),
    }
}

async fn force_commit(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Query(params): Query<Params>,
) -> ApiResult {
    let name = table_of(&name)?;
    let groups = groups(&params, &name)?;
    let job = node.force_commit(&name, groups.as_deref()).await?;
    Ok(json_response(&force_commit_answer(&job)))
}

async fn force_committed(State(node): State<Arc<Node>>, Path(id): Path<String>) -> ApiResult {
    let (job, left) = node.force_commit_status(&id).await?;
    Ok(json_response(&force_commit_status(&job, &left)))
}

/// Entries of one page of the quarantine, unless asked otherwise; at most `MOST_ENTRIES`, some megabytes of answer.
const ENTRIES: usize = 100;
const MOST_ENTRIES: usize = 10_000;

async fn rejected(State(node): State<Arc<Node>>, Path(name): Path<String>, Query(params): Query<Params>) -> ApiResult {
    let name = table_of(&name)?;
    let limit = match params.get("limit") {
        None => ENTRIES,
        Some(text) => {
            text.parse::<usize>().ok().filter(|limit| (1..=MOST_ENTRIES).contains(limit)).ok_or_else(|| {
                ApiError::bad_request(format!("limit = {text}: must be a number from 1 to {MOST_ENTRIES}"))
            })?
        }
    };
    let after = params.get("after").map(|text| place(text)).transpose()?;
    let kept = node.quarantine(&name)?;
    let (count, evicted) = kept.counts();
    let read = tokio::task::spawn_blocking(move || kept.list(after.as_ref(), limit)).await;
    let entries = match read {
        Ok(Ok(entries)) => entries,
        Ok(Err(error)) => {
            let text = format!("the quarantine of {name} cannot be read: {error}");
            return Err(ApiError::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, text));
        }
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    let next =
        entries.last().filter(|_| entries.len() == limit).map(|entry| format!("{}/{}", entry.partition, entry.offset));
    let list: Vec<Json> = entries
        .into_iter()
        .map(|entry| {
            let exact = BASE64.encode(&entry.payload);
            let mut shown = object(quarantine::FIELDS, &(name.to_string(), entry));
            shown["payloadBase64"] = exact.into();
            shown
        })
        .collect();
    Ok(json_response(&json!({ "kept": count, "evicted": evicted, "entries": list, "next": next })))
}

/// `topic/partition/offset`, as `next` of a page reads.
fn place(text: &str) -> Result<(StreamPartition, NextOffset), ApiError> {
    let parts: Vec<&str> = text.split('/').collect();
    let read = || {
        let [topic, partition, offset] = parts.as_slice() else { return None };
        let topic = TopicName::parse(topic).ok()?;
        Some((StreamPartition { topic, partition: partition.parse().ok()? }, NextOffset::new(offset.parse().ok()?)))
    };
    read()
        .ok_or_else(|| ApiError::bad_request(format!("after = {text}: must be topic/partition/offset, as next reads")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Result<Option<Vec<u32>>, ApiError> {
        let params = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        groups(&params, &TableName::parse("orders").unwrap())
    }

    #[test]
    fn force_commit_takes_partitions_or_segments() {
        assert_eq!(asked(&[]).unwrap(), None);
        assert_eq!(asked(&[("partitions", "1, 10002")]).unwrap(), Some(vec![1, 10_002]));
        assert_eq!(asked(&[("segments", "orders__3__0__t")]).unwrap(), Some(vec![3]));
        for wrong in [
            &[("partitions", "x")][..],
            &[("segments", "sales__3__0__t")],
            &[("segments", "nonsense")],
            &[("partitions", "1"), ("segments", "orders__3__0__t")],
        ] {
            assert_eq!(asked(wrong).unwrap_err().status, 400, "{wrong:?}");
        }
    }

    #[test]
    fn a_page_goes_on_where_the_last_ended() {
        let (partition, offset) = place("orders.v1/3/77").unwrap();
        assert_eq!((partition.to_string().as_str(), offset.number()), ("orders.v1/3", 77));
        for wrong in ["", "a/1", "a/b/1", "a/1/-1"] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }
}
