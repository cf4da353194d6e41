//! What the process is and who is in the cluster: brokers, instances, tenants, health, version, metrics.

use crate::{
    node::Node,
    pinot_json::table::broker,
    rest::{
        Params,
        answer::{ApiError, ApiResult, json_response, read_json, status, table_of},
        api::{Api, Carries},
    },
};
use axum::{
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value as Json, json};
use std::{collections::BTreeMap, sync::Arc};

/// The only tenant.
const TENANT: &str = "DefaultTenant";

pub(super) fn controller_routes(api: Api) -> Api {
    common(api)
        .get("/v2/brokers", "brokers by tenant and table", &["state"], brokers)
        .get("/v2/brokers/tables", "brokers by table", &["state"], brokers_by_table)
        .get("/v2/brokers/tables/{tableName}", "brokers of a table", &["state"], brokers_of_table)
        .get("/v2/brokers/tenants", "brokers by tenant", &["state"], brokers_by_tenant)
        .get("/v2/brokers/tenants/{tenantName}", "brokers of a tenant", &["state"], brokers_of_tenant)
        .get("/brokers", "names of brokers by tenant and table", &["state"], broker_names)
        .get("/brokers/tables", "names of brokers by table", &["state"], broker_names_by_table)
        .get("/brokers/tenants/{tenantName}", "names of brokers of a tenant", &["state"], broker_names_of_tenant)
        .get("/tables/livebrokers", "brokers of tables", &["tables"], live_brokers)
        .get("/instances", "names of all instances", &[], instances)
        .get("/instances/{instanceName}", "an instance", &[], instance)
        .get("/tenants", "tenants of brokers and servers", &[], tenants)
        .get("/tenants/{tenantName}", "instances of a tenant", &[], tenant)
        .get("/databases", "names of databases", &[], databases)
        .get("/cluster/info", "the name of the cluster", &[], cluster_info)
        .get("/cluster/configs", "settings of the whole cluster", &[], configs)
        .post("/cluster/configs", "sets settings of the whole cluster, at once", &[], Carries::Json, set_configs)
        .delete("/cluster/configs/{configName}", "removes a setting of the whole cluster", remove_config)
        .get("/auth/info", "how to sign in: there is no need to", &[], auth_info)
}

pub(super) fn broker_routes(api: Api) -> Api {
    common(api).get("/debug/routingTable/{tableName}", "which server answers for which segment", &[], routing).get(
        "/debug/timeBoundary/{tableName}",
        "404: only tables with an OFFLINE part have one",
        &[],
        time_boundary,
    )
}

fn common(api: Api) -> Api {
    api.get("/health", "OK when it answers queries", &[], health)
        .get("/version", "the version of this build", &[], version)
        .get("/metrics", "metrics for Prometheus", &[], metrics)
}

async fn configs(State(node): State<Arc<Node>>) -> ApiResult {
    Ok(json_response(&json!(node.cluster_configs().await?.settings())))
}

async fn set_configs(State(node): State<Arc<Node>>, body: Body) -> ApiResult {
    let Json::Object(settings) = read_json(body).await? else {
        return Err(ApiError::bad_request("the body must be an object of settings: {\"name\": \"value\"}"));
    };
    let mut changes = BTreeMap::new();
    for (name, value) in settings {
        let value = match value {
            Json::String(text) => text,
            Json::Number(number) => number.to_string(),
            other => return Err(ApiError::bad_request(format!("{name} = {other}: must be text or a number"))),
        };
        changes.insert(name, Some(value));
    }
    node.change_cluster_configs(&changes).await?;
    Ok(status("Updated cluster config."))
}

async fn remove_config(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    if !node.cluster_configs().await?.settings().contains_key(&name) {
        return Err(ApiError::not_found(format!("{name} is not set")));
    }
    node.change_cluster_configs(&BTreeMap::from([(name.clone(), None)])).await?;
    Ok(status(&format!("Deleted cluster config: {name}")))
}

async fn health() -> &'static str {
    "OK"
}

async fn version() -> Response {
    json_response(&json!({ "weir": env!("CARGO_PKG_VERSION") }))
}

async fn metrics(State(node): State<Arc<Node>>) -> Response {
    let mut response = node.metrics_text().into_response();
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn this_broker(node: &Node) -> Json {
    let addresses = node.addresses();
    json!([broker(&addresses.host, addresses.broker.port(), &addresses.broker_id())])
}

/// Tables to `value`, under the names that clients look for.
async fn by_table(node: &Node, value: &Json) -> Result<Json, ApiError> {
    let names = node.tables().await?;
    let pairs: Map<String, Json> = names.iter().map(|record| (record.spec.name.to_string(), value.clone())).collect();
    Ok(Json::Object(pairs))
}

async fn brokers(State(node): State<Arc<Node>>) -> ApiResult {
    let this = this_broker(&node);
    Ok(json_response(&json!({ "tenants": { TENANT: this }, "tables": by_table(&node, &this).await? })))
}

async fn brokers_by_table(State(node): State<Arc<Node>>) -> ApiResult {
    Ok(json_response(&by_table(&node, &this_broker(&node)).await?))
}

async fn brokers_of_table(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    node.table(&table_of(&name)?).await?;
    Ok(json_response(&this_broker(&node)))
}

async fn brokers_by_tenant(State(node): State<Arc<Node>>) -> Response {
    json_response(&json!({ TENANT: this_broker(&node) }))
}

fn known_tenant(name: &str) -> Result<(), ApiError> {
    if name == TENANT {
        Ok(())
    } else {
        Err(ApiError::not_found(format!("tenant {name} does not exist: {TENANT} is the only one")))
    }
}

async fn brokers_of_tenant(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    known_tenant(&name)?;
    Ok(json_response(&this_broker(&node)))
}

async fn broker_names(State(node): State<Arc<Node>>) -> ApiResult {
    let this = json!([node.addresses().broker_id()]);
    Ok(json_response(&json!({ "tenants": { TENANT: this }, "tables": by_table(&node, &this).await? })))
}

async fn broker_names_by_table(State(node): State<Arc<Node>>) -> ApiResult {
    let this = json!([node.addresses().broker_id()]);
    Ok(json_response(&by_table(&node, &this).await?))
}

async fn broker_names_of_tenant(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    known_tenant(&name)?;
    Ok(json_response(&json!([node.addresses().broker_id()])))
}

async fn live_brokers(State(node): State<Arc<Node>>, Query(params): Query<Params>) -> ApiResult {
    let mut all = by_table(&node, &this_broker(&node)).await?;
    if let (Some(wanted), Some(tables)) = (params.get("tables"), all.as_object_mut()) {
        let wanted: Vec<&str> = wanted.split(',').map(str::trim).collect();
        tables.retain(|name, _| wanted.iter().any(|wanted| wanted.trim_end_matches("_REALTIME") == name));
    }
    Ok(json_response(&all))
}

fn instance_names(node: &Node) -> [String; 3] {
    let addresses = node.addresses();
    [addresses.controller_id(), addresses.broker_id(), addresses.server_id().to_string()]
}

async fn instances(State(node): State<Arc<Node>>) -> Response {
    json_response(&json!({ "instances": instance_names(&node) }))
}

async fn instance(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    if !instance_names(&node).contains(&name) {
        return Err(ApiError::not_found(format!("instance {name} does not exist: GET /instances lists all")));
    }
    let role = name.split('_').next().unwrap_or_default();
    let tags = match role {
        "Broker" => json!([format!("{TENANT}_BROKER")]),
        "Server" => json!([format!("{TENANT}_REALTIME")]),
        _ => json!(["controller"]),
    };
    Ok(json_response(&json!({
        "instanceName": name,
        "hostName": node.addresses().host,
        "enabled": true,
        "port": name.rsplit('_').next().unwrap_or_default(),
        "tags": tags,
        "grpcPort": -1,
        "adminPort": -1,
        "queriesDisabled": false,
        "shutdownInProgress": false,
    })))
}

async fn tenants() -> Response {
    json_response(&json!({ "SERVER_TENANTS": [TENANT], "BROKER_TENANTS": [TENANT] }))
}

async fn tenant(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    known_tenant(&name)?;
    let addresses = node.addresses();
    Ok(json_response(&json!({
        "ServerInstances": [addresses.server_id()],
        "BrokerInstances": [addresses.broker_id()],
        "tenantName": name,
    })))
}

async fn databases() -> Response {
    json_response(&json!(["default", "system"]))
}

async fn cluster_info() -> Response {
    json_response(&json!({ "clusterName": "weir" }))
}

async fn auth_info() -> Response {
    json_response(&json!({ "workflow": "NONE" }))
}

async fn routing(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    let name = table_of(&name)?;
    let segments: Vec<String> = node.segments(&name).await?.iter().map(|record| record.name.to_string()).collect();
    let server = node.addresses().server_id();
    Ok(json_response(&json!({ format!("{name}_REALTIME"): { &*server: segments } })))
}

async fn time_boundary(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    let name = table_of(&name)?;
    node.table(&name).await?;
    Err(ApiError::not_found(format!("table {name} has no time boundary: it has no OFFLINE part")))
}
