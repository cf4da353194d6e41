//! What a table looks like from outside: ideal state, external view, size, metadata, instances.

use crate::{
    node::Node,
    pinot_json::{
        segment::{artifact, external_view, ideal_state, statuses},
        size::table_size,
        table::{instances, metadata},
    },
    rest::{
        Params,
        answer::{ApiResult, json_response, table_of},
        api::Api,
        segments::column_filter,
    },
};
use axum::extract::{Path, Query, State};
use std::{collections::BTreeMap, sync::Arc};
use weir_table::TableSnapshot;

pub(super) fn routes(api: Api) -> Api {
    api.get("/tables/{tableName}/idealstate", "which segment should be where", &["tableType"], ideal)
        .get("/tables/{tableName}/externalview", "which segment is where", &["tableType"], external)
        .get("/tables/{tableName}/segmentsStatus", "GOOD or UPDATING, by segment", &["tableType"], segments_status)
        .get("/tables/{tableName}/size", "bytes of the committed segments", &["verbose"], size)
        .get("/tables/{tableName}/metadata", "rows, segments, bytes; cardinalities of columns", &["columns"], totals)
        .get("/tables/{tableName}/instances", "who serves it", &["type"], served_by)
}

async fn ideal(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    Ok(json_response(&ideal_state(&node.segments(&table_of(&name)?).await?)))
}

async fn external(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    let name = table_of(&name)?;
    Ok(json_response(&external_view(&node.segments(&name).await?, &node.loaded(&name)?)))
}

async fn segments_status(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    let name = table_of(&name)?;
    Ok(json_response(&statuses(&node.segments(&name).await?, &node.loaded(&name)?)))
}

async fn size(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    let name = table_of(&name)?;
    let segments = node.segments(&name).await?;
    let server = node.addresses().server_id();
    let local = |segment: &str| node.local_byte_count(&name, segment);
    Ok(json_response(&table_size(name.as_str(), &segments, &server, local)))
}

async fn totals(State(node): State<Arc<Node>>, Path(name): Path<String>, Query(params): Query<Params>) -> ApiResult {
    let name = table_of(&name)?;
    let segments = node.segments(&name).await?;
    let bytes = segments.iter().filter_map(artifact).map(|artifact| artifact.byte_count).sum();
    let snapshot = node.snapshot(&name)?;
    let rows = snapshot.segments.iter().map(|view| u64::from(view.segment.meta().rows)).sum();
    let cardinalities = match params.get("columns") {
        Some(columns) => cardinalities(&snapshot.opened().await, columns),
        None => BTreeMap::new(),
    };
    Ok(json_response(&metadata(name.as_str(), bytes, segments.len(), rows, &cardinalities)))
}

/// The mean cardinality of a column over the segments that know it, as Pinot shows it.
fn cardinalities(snapshot: &TableSnapshot, wanted: &str) -> BTreeMap<String, f64> {
    let wanted = column_filter(wanted);
    let mut means = BTreeMap::new();
    for field in snapshot.schema.fields().iter().filter(|field| wanted(field.name.as_str())) {
        let known = snapshot.segments.iter().filter_map(|view| {
            let segment = view.segment.at_hand()?;
            let column = segment.column(field.name.as_str())?;
            Some(f64::from(segment.stats(column.at).cardinality?))
        });
        let (sum, count) = known.fold((0.0, 0_u32), |(sum, count), cardinality| (sum + cardinality, count + 1));
        if count > 0 {
            means.insert(field.name.to_string(), sum / f64::from(count));
        }
    }
    means
}

async fn served_by(State(node): State<Arc<Node>>, Path(name): Path<String>) -> ApiResult {
    let name = table_of(&name)?;
    node.table(&name).await?;
    let addresses = node.addresses();
    Ok(json_response(&instances(name.as_str(), &addresses.broker_id(), &addresses.server_id())))
}
