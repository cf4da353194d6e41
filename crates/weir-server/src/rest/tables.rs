//! `/tables`: configs of tables whose schema is there already.

use crate::{
    node::{Node, Refusal, warnings},
    pinot_json::table::{config_success, seen_properties, table_config},
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

pub(super) fn routes(api: Api) -> Api {
    api.get("/tables", "names of all tables; with their kind where type is given", &["type"], list)
        .post("/tables", "makes a table whose schema is there", &["validationTypesToSkip"], Carries::Json, add)
        .post(
            "/tables/validate",
            "reads a table config, asks its streams, changes nothing",
            &[],
            Carries::Json,
            validate,
        )
        .get("/tables/{tableName}", "a table's config", &["type"], get)
        .put("/tables/{tableName}", "changes a table's config", &["validationTypesToSkip"], Carries::Json, update)
        .delete("/tables/{tableName}", "drops a table with all that belongs to it", delete)
        .get("/tables/{tableName}/schema", "a table's schema", &[], schema)
        .get("/tables/{tableName}/state", "enabled or disabled", &["type"], state)
        .put(
            "/tables/{tableName}/state",
            "state=disable stops reading and answering queries, state=enable ends that",
            &["state", "type"],
            Carries::Nothing,
            set_state,
        )
}

/// What `type` asks for: everything, REALTIME, or OFFLINE, of which there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Any,
    Realtime,
    Offline,
}

/// Reads the parameter of that name.
pub(super) fn wanted(params: &Params, name: &str) -> Result<Wanted, ApiError> {
    match params.get(name).map(|value| value.to_ascii_uppercase()).as_deref() {
        None | Some("") => Ok(Wanted::Any),
        Some("REALTIME") => Ok(Wanted::Realtime),
        Some("OFFLINE") => Ok(Wanted::Offline),
        Some(other) => Err(ApiError::bad_request(format!("{name} = {other}: must be REALTIME or OFFLINE"))),
    }
}

async fn list(State(node): State<Arc<Node>>, Query(params): Query<Params>) -> ApiResult {
    let wanted = wanted(&params, "type")?;
    let names: Vec<String> = match wanted {
        Wanted::Offline => vec![],
        _ => {
            let suffix = if wanted == Wanted::Realtime { "_REALTIME" } else { "" };
            node.tables().await?.iter().map(|record| format!("{}{suffix}", record.spec.name)).collect()
        }
    };
    Ok(json_response(&json!({ "tables": names })))
}

async fn get(State(node): State<Arc<Node>>, Path(name): Path<String>, Query(params): Query<Params>) -> ApiResult {
    let record = node.table(&table_of(&name)?).await?;
    if wanted(&params, "type")? == Wanted::Offline {
        return Err(ApiError::not_found(format!("table {name} has no OFFLINE part")));
    }
    Ok(json_response(&table_config(&record)))
}

async fn add(State(node): State<Arc<Node>>, Who(who): Who, body: Body) -> ApiResult {
    let new = node.read_table(&read_json(body).await?).await?;
    let record = node.create_table(new, &who).await?;
    let said = format!("Table {}_REALTIME successfully added", record.spec.name);
    Ok(json_response(&config_success(
        &said,
        &record.unrecognized,
        &record.not_yet_effective,
        &warnings(&record.spec, &record.schema),
    )))
}

async fn validate(State(node): State<Arc<Node>>, body: Body) -> ApiResult {
    let new = node.read_table(&read_json(body).await?).await?;
    let odd = node.ask_streams(&new, "").await?;
    let mut answer = Map::new();
    answer.insert("REALTIME".to_owned(), redacted(&new.config_json));
    answer.insert("unrecognizedProperties".to_owned(), seen_properties(&new.unrecognized));
    if !new.not_yet_effective.is_empty() {
        answer.insert("notYetEffective".to_owned(), json!(new.not_yet_effective));
    }
    if !odd.is_empty() {
        answer.insert("notes".to_owned(), json!(odd));
    }
    Ok(json_response(&answer.into()))
}

async fn update(State(node): State<Arc<Node>>, Path(name): Path<String>, Who(who): Who, body: Body) -> ApiResult {
    let name = table_of(&name)?;
    node.table(&name).await?;
    let new = node.read_table(&read_json(body).await?).await?;
    if new.spec.name != name {
        let text = format!("tableName = {}: must be {name}, as the path says", new.spec.name);
        return Err(Refusal::invalid(text).into());
    }
    let record = node.update_table(new, &who).await?;
    let said = format!("Table config updated for {name}");
    Ok(json_response(&config_success(
        &said,
        &record.unrecognized,
        &record.not_yet_effective,
        &warnings(&record.spec, &record.schema),
    )))
}

async fn delete(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Who(who): Who,
    Query(params): Query<Params>,
) -> ApiResult {
    let name = table_of(&name)?;
    if wanted(&params, "type")? == Wanted::Offline {
        return Err(ApiError::not_found(format!("table {name} has no OFFLINE part")));
    }
    node.drop_table(&name, &who).await?;
    Ok(status(&format!("Tables: [{name}_REALTIME] deleted")))
}

async fn schema(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    Ok(json_response(&node.table(&table_of(&name)?).await?.schema_json))
}

async fn state(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    let disabled = node.table(&table_of(&name)?).await?.is_disabled();
    Ok(json_response(&json!({ "state": if disabled { "disabled" } else { "enabled" } })))
}

async fn set_state(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Who(who): Who,
    Query(params): Query<Params>,
) -> ApiResult {
    let name = table_of(&name)?;
    let disabled = match params.get("state").map(|text| text.to_ascii_lowercase()).as_deref() {
        Some("enable") => false,
        Some("disable") => true,
        other => {
            let found = other.unwrap_or("nothing");
            return Err(ApiError::bad_request(format!("state = {found}: must be enable or disable")));
        }
    };
    if wanted(&params, "type")? == Wanted::Offline {
        return Err(ApiError::not_found(format!("table {name} has no OFFLINE part")));
    }
    node.set_disabled(&name, disabled, &who).await?;
    let done = if disabled { "disabled" } else { "enabled" };
    Ok(status(&format!("Request to {} table '{name}' is successful: it is {done}", &done[..done.len() - 1])))
}
