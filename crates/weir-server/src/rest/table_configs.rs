//! `/tableConfigs`: schema and table at once.

use crate::{
    node::{InferAsked, Node, REALTIME, unmatched},
    pinot_json::{
        table::{config_success, seen_properties, table_configs},
        tried::tried_record,
    },
    rest::{
        Params,
        answer::{ApiError, ApiResult, json_response, read_json, status, table_of},
        api::{Api, Carries},
        who::Who,
    },
};
use axum::{
    body::Body,
    extract::{Path, Query, State},
};
use serde_json::{Map, json};
use std::sync::Arc;
use weir_control::redacted;
use weir_ingest::TRIED_MOST;

pub(super) fn routes(api: Api) -> Api {
    api.get("/tableConfigs", "names of all tables", &[], list)
        .post("/tableConfigs", "makes schema and table", &["validationTypesToSkip"], Carries::Json, add)
        .post("/tableConfigs/validate", "reads both, asks the streams, changes nothing", &[], Carries::Json, validate)
        .post(
            "/tableConfigs/try",
            "tells what would become of the newest records of its streams, and stores nothing",
            &["records"],
            Carries::Json,
            try_records,
        )
        .post(
            "/tableConfigs/infer",
            "reads a sample of a topic and writes schema and table config for it, with the reasons; stores nothing",
            &[],
            Carries::Json,
            infer,
        )
        .get("/tableConfigs/{tableName}", "schema and table config", &[], get)
        .put("/tableConfigs/{tableName}", "changes schema and table", &["reload"], Carries::Json, update)
        .delete("/tableConfigs/{tableName}", "drops table and schema", delete)
}

async fn list(State(node): State<Arc<Node>>) -> ApiResult {
    let names: Vec<String> = node.tables().await?.iter().map(|record| record.spec.name.to_string()).collect();
    Ok(json_response(&json!(names)))
}

async fn get(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    Ok(json_response(&table_configs(&node.table(&table_of(&name)?).await?)))
}

async fn add(State(node): State<Arc<Node>>, Who(who): Who, body: Body) -> ApiResult {
    let configs = node.read_table_configs(&read_json(body).await?).await??;
    let record = node.create_table_configs(&configs, &who).await?;
    let said = format!("TableConfigs {} successfully added", configs.name);
    Ok(json_response(&config_success(&said, &configs.unrecognized, &record.not_yet_effective, &configs.warnings())))
}

async fn validate(State(node): State<Arc<Node>>, body: Body) -> ApiResult {
    let configs = node.read_table_configs(&read_json(body).await?).await??;
    node.check_change(&configs).await?;
    let odd = node.ask_streams(&configs.new_table(), REALTIME).await?;
    let mut answer = Map::new();
    answer.insert("tableName".to_owned(), json!(configs.name.as_str()));
    answer.insert("schema".to_owned(), configs.schema.json.clone());
    answer.insert("realtime".to_owned(), redacted(&configs.realtime.json));
    answer.insert("unrecognizedProperties".to_owned(), seen_properties(&configs.unrecognized));
    if !configs.realtime.not_yet_effective.is_empty() {
        answer.insert("notYetEffective".to_owned(), json!(configs.realtime.not_yet_effective));
    }
    let warnings = configs.warnings();
    if !warnings.is_empty() {
        answer.insert("warnings".to_owned(), json!(warnings));
    }
    if !odd.is_empty() {
        answer.insert("notes".to_owned(), json!(odd));
    }
    Ok(json_response(&answer.into()))
}

/// Records that are tried unless somebody says how many.
const TRIED: usize = 20;

async fn try_records(State(node): State<Arc<Node>>, Query(params): Query<Params>, body: Body) -> ApiResult {
    let records = match params.get("records").map(|text| (text, text.trim().parse())) {
        None => TRIED,
        Some((_, Ok(records @ 1..=TRIED_MOST))) => records,
        Some((text, _)) => {
            let text = format!("records = {text}: must be a whole number from 1 to {TRIED_MOST}");
            return Err(ApiError::bad_request(text));
        }
    };
    let configs = node.read_table_configs(&read_json(body).await?).await??;
    node.check_change(&configs).await?;
    let new = configs.new_table();
    let tried = node.try_records(&new, records, REALTIME).await?;
    let mut answer = json!({
        "tableName": configs.name.as_str(),
        "records": tried.iter().map(|tried| tried_record(&new.schema, tried)).collect::<Vec<_>>(),
    });
    if let Some(warning) = unmatched(&new, &tried) {
        answer["warnings"] = json!([warning]);
    }
    Ok(json_response(&answer))
}

async fn infer(State(node): State<Arc<Node>>, body: Body) -> ApiResult {
    let asked: InferAsked = serde_json::from_value(read_json(body).await?).map_err(|error| {
        ApiError::bad_request(format!(
            "{error}: must be {{\"stream\": {{\"streamType\": .., ..}}}}, and may have tableName, rows, format, header, time"
        ))
    })?;
    Ok(json_response(&node.infer(&asked).await?))
}

async fn update(State(node): State<Arc<Node>>, Path(name): Path<String>, Who(who): Who, body: Body) -> ApiResult {
    let name = table_of(&name)?;
    let configs = node.read_table_configs(&read_json(body).await?).await??;
    if configs.name != name {
        let text = format!("tableName = {}: must be {name}, as the path says", configs.name);
        return Err(ApiError::bad_request(text));
    }
    let record = node.update_table_configs(&configs, &who).await?;
    let said = format!("TableConfigs updated for {name}");
    Ok(json_response(&config_success(&said, &configs.unrecognized, &record.not_yet_effective, &configs.warnings())))
}

async fn delete(State(node): State<Arc<Node>>, Path(name): Path<String>, Who(who): Who) -> ApiResult {
    let name = table_of(&name)?;
    node.drop_table(&name, &who).await?;
    node.delete_schema(name.as_str()).await?;
    Ok(status(&format!("Deleted TableConfigs: {name}")))
}
