//! `/topics`: the local log in the shape of Kafka's REST proxy, version 2.

use crate::{
    node::{Node, produce_bounds},
    rest::{
        answer::{ApiError, ApiResult, json_response, read_body},
        api::{Api, Carries},
    },
};
use axum::{
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use std::sync::Arc;
use weir_streams::ProduceRecord;
use weir_types::TopicName;

pub(super) fn routes(api: Api) -> Api {
    api.get("/topics", "names of the local log's topics", &[], list)
        .get("/topics/{topicName}", "a topic", &[], get)
        .post("/topics/{topicName}", "appends records; acknowledged when durable", &[], Carries::Records, produce)
}

async fn list(State(node): State<Arc<Node>>) -> ApiResult {
    let names: Vec<String> = node.topics().into_iter().map(|topic| topic.name.to_string()).collect();
    Ok(json_response(&json!(names)))
}

async fn get(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    let found = node.topics().into_iter().find(|topic| topic.name.as_str() == name);
    let topic = found.ok_or_else(|| with_code(ApiError::not_found(format!("topic {name} does not exist")), 40401))?;
    let partitions: Vec<_> =
        (0..topic.partitions).map(|number| json!({ "partition": number, "leader": 0, "replicas": [] })).collect();
    Ok(json_response(&json!({ "name": name, "configs": {}, "partitions": partitions })))
}

/// The fields by which clients of Kafka's REST proxy know an error.
fn with_code(mut error: ApiError, code: u32) -> ApiError {
    error.more.insert("error_code".to_owned(), code.into());
    error.more.insert("message".to_owned(), error.error.clone().into());
    error
}

/// How values are written in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Embedded {
    /// As themselves.
    Json,
    /// As base64 of their bytes.
    Binary,
}

fn embedded(headers: &HeaderMap) -> Result<Embedded, ApiError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("application/json");
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "application/vnd.kafka.json.v2+json" | "application/json" => Ok(Embedded::Json),
        "application/vnd.kafka.binary.v2+json" => Ok(Embedded::Binary),
        other => Err(with_code(
            ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!(
                    "Content-Type = {other}: must be application/vnd.kafka.json.v2+json or \
                     application/vnd.kafka.binary.v2+json"
                ),
            ),
            415,
        )),
    }
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    records: Vec<Record<'a>>,
}

/// A field that is misspelt is refused: a record without a value would be a tombstone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record<'a> {
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(default)]
    partition: Option<u32>,
    #[serde(default)]
    timestamp: Option<i64>,
}

/// The bytes of a key or value; a JSON null is none.
fn bytes(at: usize, field: &str, raw: Option<&RawValue>, embedded: Embedded) -> Result<Option<Bytes>, ApiError> {
    let Some(text) = raw.map(RawValue::get).filter(|text| *text != "null") else { return Ok(None) };
    match embedded {
        Embedded::Json => Ok(Some(Bytes::copy_from_slice(text.as_bytes()))),
        Embedded::Binary => {
            let wrong =
                |why: String| ApiError::bad_request(format!("records[{at}].{field}: {why}: must be base64 text"));
            let text: String = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
            let decoded = BASE64.decode(text).map_err(|error| wrong(error.to_string()))?;
            Ok(Some(decoded.into()))
        }
    }
}

fn records(body: &[u8], embedded: Embedded) -> Result<Vec<ProduceRecord>, ApiError> {
    let request: Request<'_> = serde_json::from_slice(body).map_err(|error| {
        ApiError::bad_request(format!("the body is not {{\"records\":[{{\"value\":..}}]}}: {error}"))
    })?;
    if request.records.is_empty() {
        return Err(ApiError::bad_request("records: there is none"));
    }
    if request.records.len() > produce_bounds::RECORDS {
        let text = format!(
            "records: {} are too many for one request, {} are the most",
            request.records.len(),
            produce_bounds::RECORDS
        );
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    let record = |(at, record): (usize, &Record<'_>)| {
        Ok(ProduceRecord {
            partition: record.partition,
            key: bytes(at, "key", record.key, embedded)?,
            value: bytes(at, "value", record.value, embedded)?,
            headers: vec![],
            timestamp_ms: record.timestamp,
        })
    };
    request.records.iter().enumerate().map(record).collect()
}

async fn produce(
    State(node): State<Arc<Node>>,
    Path(topic): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult {
    let topic = TopicName::parse(&topic).map_err(|error| with_code(ApiError::bad_request(error.to_string()), 42202))?;
    let embedded = embedded(&headers)?;
    let key = headers.get("idempotency-key").map(|value| value.to_str().unwrap_or_default());
    if key.is_some_and(|key| key.is_empty() || key.len() > produce_bounds::KEY_BYTES) {
        let text = format!("Idempotency-Key: must be 1 to {} characters of ASCII", produce_bounds::KEY_BYTES);
        return Err(with_code(ApiError::bad_request(text), 422));
    }
    let body = read_body(body, node.settings().produce_body_bytes).await.map_err(|error| with_code(error, 413))?;
    let records = records(&body, embedded).map_err(|error| with_code(error, 422))?;
    let produced = node.produce(&topic, records, key).await.map_err(|refusal| {
        let error = ApiError::from(refusal);
        let code = match error.status {
            StatusCode::NOT_FOUND => 40401,
            StatusCode::BAD_REQUEST => 42202,
            StatusCode::INSUFFICIENT_STORAGE => 507,
            _ => 50002,
        };
        with_code(error, code)
    })?;
    let offsets: Vec<_> = produced
        .iter()
        .map(|at| json!({ "partition": at.partition, "offset": at.offset.number(), "error_code": null, "error": null }))
        .collect();
    let mut response = json_response(&json!({ "offsets": offsets, "key_schema_id": null, "value_schema_id": null }));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/vnd.kafka.v2+json"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_values_go_in_as_they_were_written() {
        let body = br#"{"records":[{"key":"k","value":{"n": 1.50}},{"value":null,"partition":2,"timestamp":7},{}]}"#;
        let records = records(body, Embedded::Json).unwrap();
        assert_eq!(records[0].key.as_deref(), Some(&b"\"k\""[..]));
        assert_eq!(records[0].value.as_deref(), Some(&br#"{"n": 1.50}"#[..]));
        assert_eq!((&records[1].value, records[1].partition, records[1].timestamp_ms), (&None, Some(2), Some(7)));
        assert_eq!((&records[2].key, &records[2].value), (&None, &None));
    }

    #[test]
    fn binary_values_are_decoded_or_named() {
        let good = records(br#"{"records":[{"key":"aw==","value":"AP8="}]}"#, Embedded::Binary).unwrap();
        assert_eq!((good[0].key.as_deref(), good[0].value.as_deref()), (Some(&b"k"[..]), Some(&b"\x00\xff"[..])));
        for wrong in
            [r#"{"records":[{"value":"AP8="},{"value":"!"}]}"#, r#"{"records":[{"value":"AP8="},{"value":5}]}"#]
        {
            let error = records(wrong.as_bytes(), Embedded::Binary).err().unwrap();
            assert!(error.error.contains("records[1].value"), "{}", error.error);
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for wrong in ["", "{}", r#"{"records":[]}"#, r#"{"records":[1]}"#, r#"{"records":[{"partition":-1}]}"#] {
            assert_eq!(records(wrong.as_bytes(), Embedded::Json).err().unwrap().status, 400, "{wrong}");
        }
        let misspelt = records(br#"{"records":[{"valu":1}]}"#, Embedded::Json).err().unwrap();
        assert!(misspelt.error.contains("unknown field `valu`, expected one of `key`, `value`"), "{}", misspelt.error);
        let kind = |text| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(text))]);
        assert_eq!(embedded(&kind("application/vnd.kafka.json.v2+json; charset=utf-8")).unwrap(), Embedded::Json);
        assert_eq!(embedded(&kind("application/vnd.kafka.binary.v2+json")).unwrap(), Embedded::Binary);
        assert_eq!(embedded(&kind("application/vnd.kafka.avro.v2+json")).unwrap_err().status, 415);
    }
}
