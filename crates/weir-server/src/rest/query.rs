//! Queries over HTTP: errors are inside the answer, the status is 200 unless the caller asks for another.

use crate::{
    node::{Asked, Node},
    pinot_json::query::{http_status, response},
    rest::{
        Params,
        answer::{ApiError, ApiResult, raw_json, read_json},
        api::{Api, Carries},
    },
};
use axum::{
    body::Body,
    extract::{Query, State},
    http::{HeaderMap, HeaderValue, StatusCode},
};
use serde_json::Value as Json;
use std::sync::Arc;
use weir_query::QueryRequest;

/// An answer of more rows is written beside the threads that serve requests: below it takes some hundred microseconds.
const ROWS_INLINE: usize = 1000;

const IN_QUERY: &[&str] = &["sql", "queryOptions", "trace"];

pub(super) fn controller_routes(api: Api) -> Api {
    api.get("/sql", "answers a query", IN_QUERY, get_sql)
        .post("/sql", "answers a query: {\"sql\", \"queryOptions\"}", &[], Carries::Json, post_sql)
        // Clients that were given the controller's address where they want a broker's.
        .get("/query/sql", "answers a query, as the broker does", IN_QUERY, get_sql)
        .post("/query/sql", "answers a query, as the broker does", &[], Carries::Json, post_sql)
}

pub(super) fn broker_routes(api: Api) -> Api {
    let about = "answers a query: {\"sql\", \"queryOptions\"}";
    api.get("/query/sql", "answers a query", IN_QUERY, get_sql)
        .post("/query/sql", about, &[], Carries::Json, post_sql)
        .get("/query", "answers a query by the multi-stage rules", IN_QUERY, get_multistage)
        .post("/query", "answers a query by the multi-stage rules", &[], Carries::Json, post_multistage)
}

async fn get_sql(State(node): State<Arc<Node>>, Query(params): Query<Params>, headers: HeaderMap) -> ApiResult {
    answer(&node, of_params(&params)?, &headers).await
}

async fn get_multistage(State(node): State<Arc<Node>>, Query(params): Query<Params>, headers: HeaderMap) -> ApiResult {
    answer(&node, Asked { multistage: true, ..of_params(&params)? }, &headers).await
}

async fn post_sql(
    State(node): State<Arc<Node>>,
    Query(params): Query<Params>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult {
    answer(&node, of_body(&params, &read_json(body).await?)?, &headers).await
}

async fn post_multistage(
    State(node): State<Arc<Node>>,
    Query(params): Query<Params>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult {
    answer(&node, Asked { multistage: true, ..of_body(&params, &read_json(body).await?)? }, &headers).await
}

fn no_cursors(params: &Params) -> Result<(), ApiError> {
    match params.get("getCursor") {
        Some(value) if value.eq_ignore_ascii_case("true") => {
            Err(ApiError::bad_request("getCursor = true: cursors are not built yet; leave it away and use LIMIT"))
        }
        _ => Ok(()),
    }
}

fn of_params(params: &Params) -> Result<Asked, ApiError> {
    no_cursors(params)?;
    let sql = params.get("sql").ok_or_else(|| ApiError::bad_request("the query parameter sql is missing"))?;
    let options = params.get("queryOptions").map_or_else(Vec::new, |text| QueryRequest::options_of(text));
    Ok(Asked { sql: sql.clone(), options, ..Asked::default() })
}

fn of_body(params: &Params, body: &Json) -> Result<Asked, ApiError> {
    no_cursors(params)?;
    let sql = body["sql"].as_str();
    let sql =
        sql.ok_or_else(|| ApiError::bad_request("the field 'sql' is missing: the body is {\"sql\":\"SELECT ..\"}"))?;
    let options = match &body["queryOptions"] {
        Json::Null => vec![],
        Json::String(text) => QueryRequest::options_of(text),
        other => {
            return Err(ApiError::bad_request(format!(
                "queryOptions = {other}: must be text, such as \"timeoutMs=500\""
            )));
        }
    };
    Ok(Asked { sql: sql.to_owned(), options, ..Asked::default() })
}

async fn answer(node: &Node, mut asked: Asked, headers: &HeaderMap) -> ApiResult {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    asked.database = header("database").map(str::to_owned);
    let answered = node.query(asked).await;
    let code = answered.response.exceptions.first().map(|exception| exception.code);
    let rows: usize = answered.response.rows.iter().map(arrow::record_batch::RecordBatch::num_rows).sum();
    let text = if rows <= ROWS_INLINE {
        response(&answered.response, &answered.ids)
    } else {
        match tokio::task::spawn_blocking(move || response(&answered.response, &answered.ids)).await {
            Ok(text) => text,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    };
    let mut response = raw_json(text);
    let shown = code.map_or_else(|| "-1".to_owned(), |code| code.to_string());
    // Digits and a sign are always a header's value.
    if let Ok(value) = HeaderValue::from_str(&shown) {
        response.headers_mut().insert("x-pinot-error-code", value);
    }
    let by_status = header("pinot-use-http-status-for-errors").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if let (Some(code), true) = (code, by_status) {
        *response.status_mut() = StatusCode::from_u16(http_status(code)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_body_without_sql_is_refused() {
        let none = Params::new();
        assert_eq!(of_body(&none, &json!({})).unwrap_err().status, 400);
        assert_eq!(of_body(&none, &json!({"sql": "x", "queryOptions": 5})).unwrap_err().status, 400);
        let asked = of_body(&none, &json!({"sql": "select 1", "trace": "true", "queryOptions": ";a=b"})).unwrap();
        assert_eq!((asked.sql.as_str(), asked.options.len()), ("select 1", 1));
        let cursor = Params::from([("getCursor".to_owned(), "true".to_owned())]);
        assert!(of_body(&cursor, &json!({"sql": "x"})).is_err());
    }
}
