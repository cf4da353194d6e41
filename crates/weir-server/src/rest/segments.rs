//! `/segments`: list, metadata, reload.

use crate::{
    node::{ListedSegment, Node},
    pinot_json::segment::{columns, list as listed, metadata, segment_reload_answer, table_reload_answer},
    rest::{
        Params,
        answer::{ApiError, ApiResult, json_response, table_of},
        api::{Api, Carries},
        tables::{Wanted, wanted},
    },
};
use axum::extract::{Path, Query, State};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use weir_table::TableSnapshot;

pub(super) fn routes(api: Api) -> Api {
    let none = Carries::Nothing;
    api.get("/segments/{tableName}", "names of a table's segments", &["type"], list)
        .get("/segments/{tableName}/metadata", "metadata of all segments", &["segments", "columns"], all_metadata)
        .get("/segments/{tableName}/{segmentName}/metadata", "metadata of a segment", &["columns"], one_metadata)
        .post("/segments/{tableName}/reload", "brings segments to the table's indexes at once", &["type"], none, reload)
        .post(
            "/segments/{tableName}/{segmentName}/reload",
            "the same; the segment must be there",
            &[],
            none,
            reload_one,
        )
}

async fn list(State(node): State<Arc<Node>>, Path(name): Path<String>, Query(params): Query<Params>) -> ApiResult {
    let segments = node.segments(&table_of(&name)?).await?;
    if wanted(&params, "type")? == Wanted::Offline {
        return Ok(json_response(&json!([{ "OFFLINE": [] }])));
    }
    Ok(json_response(&listed(&segments)))
}

/// Which columns a comma-separated list asks for; `*` is all of them.
pub(super) fn column_filter(list: &str) -> impl Fn(&str) -> bool {
    let names: Vec<String> = list.split(',').map(|name| name.trim().to_owned()).collect();
    move |column| names.iter().any(|name| name == "*" || name == column)
}

async fn shown(record: &ListedSegment, snapshot: &TableSnapshot, wanted: Option<&String>) -> Json {
    let mut shown = metadata(record);
    let name = record.name.to_string();
    let loaded = snapshot.segments.iter().find(|view| *view.segment.meta().name == *name);
    if let (Some(wanted), Some(view)) = (wanted, loaded)
        && let Ok(segment) = view.segment.open().await
    {
        shown.insert("columns".to_owned(), columns(&*segment, &snapshot.schema, column_filter(wanted)));
    }
    Json::Object(shown)
}

async fn all_metadata(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Query(params): Query<Params>,
) -> ApiResult {
    let name = table_of(&name)?;
    let (segments, snapshot) = (node.segments(&name).await?, node.snapshot(&name)?);
    let only = params.get("segments").map(|list| column_filter(list));
    let mut answer = Map::new();
    for record in &segments {
        let name = record.name.to_string();
        if only.as_ref().is_none_or(|only| only(&name)) {
            answer.insert(name, shown(record, &snapshot, params.get("columns")).await);
        }
    }
    Ok(json_response(&answer.into()))
}

async fn one_metadata(
    State(node): State<Arc<Node>>,
    Path((name, segment)): Path<(String, String)>,
    Query(params): Query<Params>,
) -> ApiResult {
    let name = table_of(&name)?;
    let segments = node.segments(&name).await?;
    let record = segments.iter().find(|record| record.name.to_string() == segment);
    let record = record.ok_or_else(|| ApiError::not_found(format!("table {name} has no segment {segment}")))?;
    Ok(json_response(&shown(record, &node.snapshot(&name)?, params.get("columns")).await))
}

async fn reload(State(node): State<Arc<Node>>, Path(name): Path<String>, Query(params): Query<Params>) -> ApiResult {
    let name = table_of(&name)?;
    if wanted(&params, "type")? == Wanted::Offline {
        return Err(ApiError::not_found(format!("table {name} has no OFFLINE segments")));
    }
    Ok(json_response(&table_reload_answer(name.as_str(), &node.reload(&name)?)))
}

async fn reload_one(State(node): State<Arc<Node>>, Path((name, segment)): Path<(String, String)>) -> ApiResult {
    let name = table_of(&name)?;
    if !node.segments(&name).await?.iter().any(|record| *record.name == *segment) {
        return Err(ApiError::not_found(format!("table {name} has no segment {segment}")));
    }
    // Segments take turns: those that are as they should be cost a look at their records.
    Ok(json_response(&segment_reload_answer(&node.reload(&name)?)))
}
