//! `/schemas`.

use crate::{
    node::{Node, Refusal},
    pinot_json::table::config_success,
    rest::{
        Params,
        answer::{ApiError, ApiResult, CONFIG_BODY_BYTES, json_response, parse_json, read_body, status},
        api::{Api, Carries},
        multipart,
        who::Who,
    },
};
use axum::{
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use weir_control::{ParsedSchema, parse_schema};

pub(super) fn routes(api: Api) -> Api {
    api.get("/schemas", "names of all schemas", &[], list)
        .post("/schemas", "adds a schema, or puts it in place of one", &["override", "force"], Carries::Json, add)
        .post("/schemas/validate", "reads a schema and changes nothing", &[], Carries::Json, validate)
        .get("/schemas/{schemaName}", "a schema", &[], get)
        .put("/schemas/{schemaName}", "changes a schema", &["reload", "force"], Carries::Json, update)
        .delete("/schemas/{schemaName}", "removes a schema that no table uses", delete)
}

async fn list(State(node): State<Arc<Node>>) -> ApiResult {
    let schemas = node.schemas().await?;
    let names: Vec<&str> = schemas.iter().map(|stored| &*stored.schema.name).collect();
    Ok(json_response(&json!(names)))
}

async fn get(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    let stored = node.schema(&name).await?.ok_or_else(|| no_schema(&name))?;
    Ok(json_response(&stored.json))
}

fn no_schema(name: &str) -> ApiError {
    ApiError::not_found(format!("schema {name} does not exist"))
}

async fn read(headers: &HeaderMap, body: Body) -> Result<ParsedSchema, ApiError> {
    let body = read_body(body, CONFIG_BODY_BYTES).await?;
    let json: Json = parse_json(multipart::document(headers, &body)?)?;
    Ok(parse_schema(&json)?)
}

async fn add(
    State(node): State<Arc<Node>>,
    Who(who): Who,
    Query(params): Query<Params>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult {
    let schema = read(&headers, body).await?;
    let name = schema.schema.name.to_string();
    let replaces = params.get("override").is_none_or(|value| value != "false");
    if !replaces && node.schema(&name).await?.is_some() {
        return Err(ApiError::new(StatusCode::CONFLICT, format!("schema {name} exists already and override is false")));
    }
    put(&node, &schema, &who, &format!("{name} successfully added")).await
}

async fn put(node: &Node, schema: &ParsedSchema, who: &str, said: &str) -> ApiResult {
    node.put_schema(schema, who).await?;
    Ok(json_response(&config_success(said, &schema.unrecognized, &[], &[])))
}

async fn update(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Who(who): Who,
    headers: HeaderMap,
    body: Body,
) -> ApiResult {
    let schema = read(&headers, body).await?;
    if *schema.schema.name != *name {
        let text = format!("schemaName = {}: must be {name}, as the path says", schema.schema.name);
        return Err(Refusal::invalid(text).into());
    }
    if node.schema(&name).await?.is_none() {
        return Err(no_schema(&name));
    }
    put(&node, &schema, &who, &format!("{name} successfully added")).await
}

async fn delete(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    if node.delete_schema(&name).await? { Ok(status(&format!("Schema {name} deleted"))) } else { Err(no_schema(&name)) }
}

async fn validate(headers: HeaderMap, body: Body) -> ApiResult {
    Ok(json_response(&read(&headers, body).await?.json))
}
