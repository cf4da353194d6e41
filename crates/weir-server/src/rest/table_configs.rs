//! `/tableConfigs`: schema and table at once.

use crate::{
    node::{Node, REALTIME},
    pinot_json::table::{config_success, seen_properties, table_configs},
    rest::{
        answer::{ApiError, ApiResult, json_response, read_json, status, table_of},
        api::{Api, Carries},
        who::Who,
    },
};
use axum::{
    body::Body,
    extract::{Path, State},
};
use serde_json::{Map, json};
use std::sync::Arc;
use weir_control::redacted;

pub(super) fn routes(api: Api) -> Api {
    api.get("/tableConfigs", "names of all tables", &[], list)
        .post("/tableConfigs", "makes schema and table", &["validationTypesToSkip"], Carries::Json, add)
        .post("/tableConfigs/validate", "reads both, asks the streams, changes nothing", &[], Carries::Json, validate)
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
    Ok(json_response(&config_success(&said, &configs.unrecognized, &record.not_yet_effective)))
}

async fn validate(State(node): State<Arc<Node>>, body: Body) -> ApiResult {
    let configs = node.read_table_configs(&read_json(body).await?).await??;
    node.ask_streams(&configs.new_table(), REALTIME).await?;
    let mut answer = Map::new();
    answer.insert("tableName".to_owned(), json!(configs.name.as_str()));
    answer.insert("schema".to_owned(), configs.schema.json.clone());
    answer.insert("realtime".to_owned(), redacted(&configs.realtime.json));
    answer.insert("unrecognizedProperties".to_owned(), seen_properties(&configs.unrecognized));
    if !configs.realtime.not_yet_effective.is_empty() {
        answer.insert("notYetEffective".to_owned(), json!(configs.realtime.not_yet_effective));
    }
    Ok(json_response(&answer.into()))
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
    Ok(json_response(&config_success(&said, &configs.unrecognized, &record.not_yet_effective)))
}

async fn delete(State(node): State<Arc<Node>>, Path(name): Path<String>, Who(who): Who) -> ApiResult {
    let name = table_of(&name)?;
    node.drop_table(&name, &who).await?;
    node.delete_schema(name.as_str()).await?;
    Ok(status(&format!("Deleted TableConfigs: {name}")))
}
