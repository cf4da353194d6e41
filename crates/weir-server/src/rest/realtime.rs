//! Consumption of a table: what its partitions do, pause, resume from anywhere, force-commit, and the record of it.

use crate::{
    node::Node,
    pinot_json::consuming::{force_commit_answer, force_commit_status, pause_status, planned_move, segments_info},
    rest::{
        Params,
        answer::{ApiError, ApiResult, CONFIG_BODY_BYTES, json_response, parse_json, read_body, table_of},
        api::{Api, Carries},
        consume_from,
        quarantine::known,
        who::Who,
    },
    system::{audit, object, partitions, skips},
};
use axum::{
    body::Body,
    extract::{Path, Query, State},
};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use weir_ingest::{ResumeRequest, Scope};
use weir_types::{SegmentName, TableName, TopicName};

const PAUSE: &[&str] = &["topic", "partition", "comment"];
const RESUME: &[&str] = &["consumeFrom", "dryRun", "allowDuplicates", "topic", "partition", "comment"];
const TOPICS: &[&str] = &["topicIndices", "comment"];

pub(super) fn routes(api: Api) -> Api {
    let none = Carries::Nothing;
    api.get("/tables/{tableName}/partitions", "what each partition is doing, and why", &[], partition_list)
        .get("/tables/{tableName}/consumingSegmentsInfo", "offsets and lag of open segments", &[], consuming)
        .get("/tables/{tableName}/pauseStatus", "whether it is paused, and why", &[], paused)
        .post(
            "/tables/{tableName}/pauseConsumption",
            "stops reading the table, a topic or a partition; what was read stays queryable",
            PAUSE,
            none,
            pause,
        )
        .post(
            "/tables/{tableName}/resumeConsumption",
            "reads on where reading stopped, or from elsewhere; dryRun=true says what would be skipped or read twice",
            RESUME,
            Carries::Json,
            resume,
        )
        .post(
            "/tables/{tableName}/pauseTopicConsumption",
            "stops reading topics, by their place among the stream maps",
            TOPICS,
            none,
            pause_topics,
        )
        .post(
            "/tables/{tableName}/resumeTopicConsumption",
            "reads topics on, by their place among the stream maps",
            TOPICS,
            none,
            resume_topics,
        )
        .get("/tables/{tableName}/skips", "offsets passed over, read again or lost", &[], skip_list)
        .get("/tables/{tableName}/audit", "who did what to it, and what that changed", &[], audit_list)
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

async fn pause_json(node: &Node, name: &TableName) -> Result<Json, ApiError> {
    Ok(pause_status(&node.table(name).await?, &node.partitions(name)?))
}

async fn paused(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    Ok(json_response(&pause_json(&node, &table_of(&name)?).await?))
}

/// The part of a table that `topic` and `partition` name.
fn scope(params: &Params) -> Result<Scope, ApiError> {
    let wrong = |key: &str, text: &str, reason: &str| ApiError::bad_request(format!("{key} = {text}: {reason}"));
    let topic =
        params.get("topic").map(|text| TopicName::parse(text).map_err(|error| wrong("topic", text, &error.reason)));
    let partition = params.get("partition").map(|text| {
        text.parse().map_err(|_| wrong("partition", text, "must be the number of a partition of the topic"))
    });
    Ok(Scope { topic: topic.transpose()?, partition: partition.transpose()? })
}

/// The topics at places in the list of stream maps, as Pinot names them.
async fn topics_at(node: &Node, name: &TableName, params: &Params) -> Result<Vec<Scope>, ApiError> {
    let text = params.get("topicIndices").ok_or_else(|| {
        ApiError::bad_request(
            "topicIndices must list places of stream maps, counted from 0, or use topic= of pauseConsumption",
        )
    })?;
    let streams = node.table(name).await?.streams();
    let at = |place: &str| {
        let found = place.trim().parse::<usize>().ok().and_then(|at| streams.get(at));
        let topic = found.ok_or_else(|| {
            ApiError::bad_request(format!("topicIndices = {text}: {place} is no place; there are {}", streams.len()))
        })?;
        Ok(Scope { topic: Some(topic.topic.clone()), partition: None })
    };
    text.split(',').map(at).collect()
}

fn comment(params: &Params) -> &str {
    params.get("comment").map_or("", String::as_str)
}

async fn pause(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Who(who): Who,
    Query(params): Query<Params>,
) -> ApiResult {
    let name = table_of(&name)?;
    known(&params, PAUSE)?;
    node.pause(&name, &scope(&params)?, comment(&params), &who).await?;
    Ok(json_response(&pause_json(&node, &name).await?))
}

async fn pause_topics(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Who(who): Who,
    Query(params): Query<Params>,
) -> ApiResult {
    let name = table_of(&name)?;
    known(&params, TOPICS)?;
    for scope in topics_at(&node, &name, &params).await? {
        node.pause(&name, &scope, comment(&params), &who).await?;
    }
    Ok(json_response(&pause_json(&node, &name).await?))
}

async fn resume_topics(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Who(who): Who,
    Query(params): Query<Params>,
) -> ApiResult {
    let name = table_of(&name)?;
    known(&params, TOPICS)?;
    for scope in topics_at(&node, &name, &params).await? {
        let comment = comment(&params).to_owned();
        node.resume(&name, &ResumeRequest { scope, comment, ..ResumeRequest::default() }, &who).await?;
    }
    Ok(json_response(&pause_json(&node, &name).await?))
}

/// `true` or `false`; false where it is not said.
fn flag(params: &Params, key: &str) -> Result<bool, ApiError> {
    match params.get(key).map(|text| text.to_ascii_lowercase()).as_deref() {
        None | Some("false") => Ok(false),
        Some("true" | "") => Ok(true),
        Some(other) => Err(ApiError::bad_request(format!("{key} = {other}: must be true or false"))),
    }
}

async fn resume(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Who(who): Who,
    Query(params): Query<Params>,
    body: Body,
) -> ApiResult {
    let name = table_of(&name)?;
    known(&params, RESUME)?;
    let said = params.get("consumeFrom").map(|text| consume_from::word("consumeFrom", text)).transpose()?;
    let bytes = read_body(body, CONFIG_BODY_BYTES).await?;
    let (in_body, parts) = if bytes.iter().all(u8::is_ascii_whitespace) {
        (None, consume_from::Parts::new())
    } else {
        consume_from::body(&parse_json(&bytes)?)?
    };
    if said.is_some() && in_body.is_some() {
        return Err(ApiError::bad_request("consumeFrom is said in the query and in the body: say it once"));
    }
    let request = ResumeRequest {
        scope: scope(&params)?,
        everywhere: said.or(in_body),
        parts,
        allow_duplicates: flag(&params, "allowDuplicates")?,
        dry_run: flag(&params, "dryRun")?,
        comment: comment(&params).to_owned(),
    };
    let plan = node.resume(&name, &request, &who).await?;
    let mut answer = pause_json(&node, &name).await?;
    answer["dryRun"] = request.dry_run.into();
    answer["partitions"] = plan.iter().map(planned_move).collect();
    Ok(json_response(&answer))
}

async fn skip_list(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    let rows = node.skips(&table_of(&name)?).await?;
    let list: Vec<Json> = rows.iter().map(|row| object(skips::FIELDS, row)).collect();
    Ok(json_response(&json!(list)))
}

async fn audit_list(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    let (rows, evicted) = node.audit(&table_of(&name)?).await?;
    let list: Vec<Json> = rows.iter().map(|row| object(audit::FIELDS, row)).collect();
    Ok(json_response(&json!({ "entries": list, "evicted": evicted })))
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
    Who(who): Who,
    Query(params): Query<Params>,
) -> ApiResult {
    let name = table_of(&name)?;
    let groups = groups(&params, &name)?;
    let job = node.force_commit(&name, groups.as_deref(), &who).await?;
    Ok(json_response(&force_commit_answer(&job)))
}

async fn force_committed(State(node): State<Arc<Node>>, Path(id): Path<String>) -> ApiResult {
    let (job, left) = node.force_commit_status(&id).await?;
    Ok(json_response(&force_commit_status(&job, &left)))
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
}
