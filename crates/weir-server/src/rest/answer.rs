//! Answers and errors of the REST surface: errors are Pinot's `{"code":..,"error":".."}`.

use crate::{connections::SlowBody, node::Refusal};
use axum::{
    body::{Body, Bytes},
    http::{
        HeaderValue, StatusCode,
        header::{CONNECTION, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Map, Value as Json, json};
use weir_control::SpecErrors;
use weir_types::{ErrorKind, TableName};

/// Most bytes of a schema, a table config or a query: far above what people write, far below what hurts.
pub const CONFIG_BODY_BYTES: usize = 16 << 20;

/// An error with its status.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// For people: place, value, remedy.
    pub error: String,
    /// Fields beside `code` and `error`.
    pub more: Map<String, Json>,
}

/// What a handler gives.
pub type ApiResult = Result<Response, ApiError>;

impl ApiError {
    /// An error of that status.
    pub fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), more: Map::new() }
    }

    /// 400.
    pub fn bad_request(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// 404.
    pub fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = Map::new();
        body.insert("code".to_owned(), self.status.as_u16().into());
        body.insert("error".to_owned(), self.error.into());
        body.extend(self.more);
        let mut response = json_response(&Json::Object(body));
        *response.status_mut() = self.status;
        if self.status == StatusCode::REQUEST_TIMEOUT {
            // The rest of the request is not waited for.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.kind {
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Exhausted => StatusCode::INSUFFICIENT_STORAGE,
            ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, refusal.text)
    }
}

impl From<SpecErrors> for ApiError {
    fn from(errors: SpecErrors) -> Self {
        let mut error = Self::bad_request(errors.to_string());
        let list =
            |error: &weir_control::SpecError| json!({"path": error.path, "value": error.value, "reason": error.reason});
        error.more.insert("errors".to_owned(), errors.0.iter().map(list).collect());
        error
    }
}

/// A JSON answer.
#[must_use]
pub fn json_response(value: &Json) -> Response {
    raw_json(value.to_string().into_bytes())
}

/// A JSON answer that is text already.
#[must_use]
pub fn raw_json(text: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// `{"status":".."}`.
#[must_use]
pub fn status(text: &str) -> Response {
    json_response(&json!({ "status": text }))
}

/// The whole body, refused with 413 beyond `most` bytes.
pub async fn read_body(body: Body, most: usize) -> Result<Bytes, ApiError> {
    match Limited::new(body, most).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than {most} bytes: send less at once"),
        )),
        Err(error) => match slow(&*error) {
            Some(slow) => Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, slow.to_string())),
            None => Err(ApiError::bad_request(format!("the body could not be read: {error}"))),
        },
    }
}

/// The slowness of a client among the causes of an error.
fn slow<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a SlowBody> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

/// The body as JSON.
pub async fn read_json(body: Body) -> Result<Json, ApiError> {
    parse_json(&read_body(body, CONFIG_BODY_BYTES).await?)
}

/// Bytes as JSON; an error names line and column.
pub fn parse_json(bytes: &[u8]) -> Result<Json, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| ApiError::bad_request(format!("the body is not JSON: {error}")))
}

/// The table that a path names: raw, with its kind, or behind the default database.
pub fn table_of(path: &str) -> Result<TableName, ApiError> {
    let raw = path.strip_prefix("default.").unwrap_or(path);
    if let Some(raw) = raw.strip_suffix("_OFFLINE") {
        return Err(ApiError::not_found(format!(
            "table {raw} has no OFFLINE part: OFFLINE tables are not built yet; ask for {raw} or {raw}_REALTIME"
        )));
    }
    TableName::parse(raw).map_err(|error| ApiError::not_found(format!("table {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shown(error: ApiError) -> (u16, Json) {
        let response = error.into_response();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn errors_have_pinots_shape() {
        let refused = shown(Refusal::conflict("table x exists already").into()).await;
        assert_eq!(refused, (409, json!({"code": 409, "error": "table x exists already"})));
        let spec = SpecError("a.b", "7", "must be text");
        let (status, body) = shown(spec.into()).await;
        assert_eq!(status, 400);
        assert_eq!(body["error"], "a.b = 7: must be text");
        assert_eq!(body["errors"], json!([{"path": "a.b", "value": "7", "reason": "must be text"}]));
    }

    #[expect(non_snake_case, reason = "reads like the type it makes")]
    fn SpecError(path: &str, value: &str, reason: &str) -> SpecErrors {
        let (path, value, reason) = (path.into(), value.into(), reason.into());
        SpecErrors(vec![weir_control::SpecError { path, value, reason }])
    }

    #[tokio::test]
    async fn bodies_are_bounded() {
        assert_eq!(read_body(Body::from("1234"), 4).await.unwrap(), "1234");
        assert_eq!(read_body(Body::from("12345"), 4).await.unwrap_err().status, 413);
        let error = parse_json(b"{\n  \"a\": }").unwrap_err();
        assert!(error.error.contains("line 2 column"), "{}", error.error);
    }

    #[test]
    fn paths_name_tables_in_several_ways() {
        for path in ["orders", "orders_REALTIME", "default.orders"] {
            assert_eq!(table_of(path).unwrap().as_str(), "orders");
        }
        assert_eq!(table_of("orders_OFFLINE").unwrap_err().status, 404);
        assert_eq!(table_of("a b").unwrap_err().status, 404);
    }
}
