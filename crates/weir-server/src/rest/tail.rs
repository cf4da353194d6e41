//! `/tail`: messages of a topic as they come, as lines of JSON, for as long as somebody takes them.

use crate::{
    connections::Stopping,
    node::{Node, TailAsked},
    rest::{
        answer::{ApiError, ApiResult, read_json, table_of},
        api::{Api, Carries},
    },
};
use axum::{
    body::Body,
    extract::{Extension, State},
    http::{HeaderValue, header::CONTENT_TYPE},
    response::Response,
};
use std::{convert::Infallible, sync::Arc};

pub(super) fn routes(api: Api) -> Api {
    api.post(
        "/tail",
        "tells the messages of a table's topics, or of a stream, as they come: one JSON object a line, without end",
        &[],
        Carries::Json,
        tail,
    )
}

async fn tail(State(node): State<Arc<Node>>, Extension(stopping): Extension<Stopping>, body: Body) -> ApiResult {
    let mut asked: TailAsked = serde_json::from_value(read_json(body).await?).map_err(|error| {
        ApiError::bad_request(format!(
            "{error}: must be {{\"table\": ..}} or {{\"stream\": {{\"streamType\": .., ..}}}}, and may have from, limit, once, \
             partition, format, header"
        ))
    })?;
    if let Some(table) = &asked.table {
        asked.table = Some(table_of(table)?.to_string());
    }
    let tailed = node.tail(&asked, stopping.0).await?;
    let lines = futures::stream::unfold(tailed, |mut tailed| async move {
        let lines = tailed.next().await?;
        Some((Ok::<_, Infallible>(lines), tailed))
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}
