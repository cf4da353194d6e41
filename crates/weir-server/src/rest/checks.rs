//! `/checks`: what the node finds about itself when it is asked.

use crate::{
    node::{Check, Node},
    rest::{
        answer::{ApiResult, json_response},
        api::Api,
    },
};
use axum::extract::State;
use serde_json::{Value as Json, json};
use std::sync::Arc;

pub(super) fn routes(api: Api) -> Api {
    api.get("/checks", "tries catalog, deep store, disk and limits of the node, and tells what is wrong", &[], checks)
}

async fn checks(State(node): State<Arc<Node>>) -> ApiResult {
    let line = |check: &Check| -> Json {
        json!({
            "check": check.name, "grade": check.grade.word(), "subject": check.subject, "detail": check.detail,
            "remedy": check.remedy,
        })
    };
    let checks = node.checks().await;
    Ok(json_response(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "nowMs": node.now_ms(),
        "startedMs": node.started_ms(),
        "checks": checks.iter().map(line).collect::<Vec<_>>(),
    })))
}
