//! The answer to a query, field by field in the order of Pinot's `BrokerResponseNative`.

use crate::pinot_json::value::{Encoding, push_cell, push_string};
use std::io::Write;
use weir_query::{QueryException, QueryResponse};

/// What the process adds to an engine's answer.
#[derive(Debug, Clone)]
pub struct AnswerIds {
    /// Digits that name the request.
    pub request_id: String,
    /// What the client called it.
    pub client_request_id: Option<String>,
    /// `Broker_host_port`.
    pub broker_id: String,
    /// The client asked for the multi-stage engine: its answers have more fields.
    pub multistage: bool,
}

/// The whole answer as JSON text.
#[must_use]
pub fn response(answer: &QueryResponse, ids: &AnswerIds) -> Vec<u8> {
    let mut fields = Fields::new();
    let rows: usize = answer.rows.iter().map(arrow::record_batch::RecordBatch::num_rows).sum();
    if !answer.columns.is_empty() {
        fields.key("resultTable");
        push_result_table(&mut fields.out, answer);
    }
    fields.number("numRowsResultSet", rows as u64);
    fields.flag("partialResult", answer.partial);
    fields.key("exceptions");
    push_exceptions(&mut fields.out, &answer.exceptions);
    push_limits(&mut fields, answer, ids);
    push_scan(&mut fields, answer);
    push_rest(&mut fields, answer);
    if ids.multistage {
        fields.raw("earlyTerminationReasons", "[]");
        fields.flag("maxRowsInJoinReached", false);
        fields.number("maxRowsInJoin", 0);
        fields.flag("maxRowsInWindowReached", false);
        fields.number("maxRowsInWindow", 0);
        fields.raw("stageStats", "{}");
    }
    fields.end()
}

fn push_limits(fields: &mut Fields, answer: &QueryResponse, ids: &AnswerIds) {
    let stats = &answer.stats;
    fields.flag("numGroupsLimitReached", stats.num_groups_limit_reached);
    fields.flag("numGroupsWarningLimitReached", stats.num_groups_warning_limit_reached);
    fields.flag("maxRowsInDistinctReached", false);
    fields.flag("maxRowsWithoutChangeInDistinctReached", false);
    fields.flag("maxExecutionTimeInDistinctReached", false);
    fields.number("timeUsedMs", stats.time_used_ms);
    fields.text("requestId", Some(&ids.request_id));
    fields.text("clientRequestId", ids.client_request_id.as_deref());
    fields.text("brokerId", Some(&ids.broker_id));
}

fn push_scan(fields: &mut Fields, answer: &QueryResponse) {
    let stats = &answer.stats;
    for (name, value) in [
        ("numDocsScanned", stats.num_docs_scanned),
        ("totalDocs", stats.total_docs),
        ("numEntriesScannedInFilter", stats.num_entries_scanned_in_filter),
        ("numEntriesScannedPostFilter", stats.num_entries_scanned_post_filter),
        ("numServersQueried", stats.num_servers_queried),
        ("numServersResponded", stats.num_servers_responded),
        ("numSegmentsQueried", stats.num_segments_queried),
        ("numSegmentsProcessed", stats.num_segments_processed),
        ("numSegmentsMatched", stats.num_segments_matched),
        ("numConsumingSegmentsQueried", stats.num_consuming_segments_queried),
        ("numConsumingSegmentsProcessed", stats.num_consuming_segments_processed),
        ("numConsumingSegmentsMatched", stats.num_consuming_segments_matched),
    ] {
        fields.number(name, value);
    }
    fields.raw("minConsumingFreshnessTimeMs", &stats.min_consuming_freshness_time_ms.to_string());
    for (name, value) in [
        ("numSegmentsPrunedByBroker", stats.num_segments_pruned_by_broker),
        ("numSegmentsPrunedByServer", stats.num_segments_pruned_by_server),
        ("numSegmentsPrunedInvalid", stats.num_segments_pruned_invalid),
        ("numSegmentsPrunedByLimit", stats.num_segments_pruned_by_limit),
        ("numSegmentsPrunedByValue", stats.num_segments_pruned_by_value),
        ("brokerReduceTimeMs", stats.broker_reduce_time_ms),
    ] {
        fields.number(name, value);
    }
}

fn push_rest(fields: &mut Fields, answer: &QueryResponse) {
    let cpu = answer.stats.thread_cpu_time_ns;
    for (name, value) in [
        ("offlineThreadCpuTimeNs", 0),
        ("realtimeThreadCpuTimeNs", cpu),
        ("offlineSystemActivitiesCpuTimeNs", 0),
        ("realtimeSystemActivitiesCpuTimeNs", 0),
        ("offlineResponseSerializationCpuTimeNs", 0),
        ("realtimeResponseSerializationCpuTimeNs", 0),
        ("offlineTotalCpuTimeNs", 0),
        ("realtimeTotalCpuTimeNs", cpu),
        ("explainPlanNumEmptyFilterSegments", 0),
        ("explainPlanNumMatchAllFilterSegments", 0),
    ] {
        fields.number(name, value);
    }
    fields.raw("traceInfo", "{}");
    fields.key("tablesQueried");
    push_strings(&mut fields.out, &answer.tables);
    for name in [
        "offlineThreadMemAllocatedBytes",
        "realtimeThreadMemAllocatedBytes",
        "offlineResponseSerMemAllocatedBytes",
        "realtimeResponseSerMemAllocatedBytes",
        "offlineTotalMemAllocatedBytes",
        "realtimeTotalMemAllocatedBytes",
    ] {
        fields.number(name, 0);
    }
    fields.raw("pools", "[]");
    fields.flag("rlsFiltersApplied", false);
    fields.flag("groupsTrimmed", false);
}

fn push_result_table(out: &mut Vec<u8>, answer: &QueryResponse) {
    let names: Vec<&str> = answer.columns.iter().map(|column| &*column.name).collect();
    let types: Vec<&str> = answer.columns.iter().map(|column| &*column.pinot_type).collect();
    out.extend_from_slice(b"{\"dataSchema\":{\"columnNames\":");
    push_strings(out, &names);
    out.extend_from_slice(b",\"columnDataTypes\":");
    push_strings(out, &types);
    out.extend_from_slice(b"},\"rows\":[");
    let encodings: Vec<Encoding> = types.iter().map(|name| Encoding::of(name)).collect();
    let mut first = true;
    for batch in &answer.rows {
        for row in 0..batch.num_rows() {
            out.extend_from_slice(if first { b"[" } else { b",[" });
            first = false;
            for (at, (encoding, array)) in encodings.iter().zip(batch.columns()).enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                push_cell(out, *encoding, array, row);
            }
            out.push(b']');
        }
    }
    out.extend_from_slice(b"]}");
}

fn push_exceptions(out: &mut Vec<u8>, exceptions: &[QueryException]) {
    out.push(b'[');
    for (at, exception) in exceptions.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        // Writing into memory cannot fail.
        write!(out, "{{\"errorCode\":{},\"message\":", exception.code).ok();
        push_string(out, &exception.message);
        out.push(b'}');
    }
    out.push(b']');
}

fn push_strings(out: &mut Vec<u8>, texts: &[impl AsRef<str>]) {
    out.push(b'[');
    for (at, text) in texts.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push_string(out, text.as_ref());
    }
    out.push(b']');
}

/// An object whose fields are written one after the other.
struct Fields {
    out: Vec<u8>,
}

impl Fields {
    fn new() -> Self {
        let mut out = Vec::with_capacity(4096);
        out.push(b'{');
        Self { out }
    }

    fn key(&mut self, name: &str) {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        push_string(&mut self.out, name);
        self.out.push(b':');
    }

    fn raw(&mut self, name: &str, json: &str) {
        self.key(name);
        self.out.extend_from_slice(json.as_bytes());
    }

    fn number(&mut self, name: &str, value: u64) {
        self.raw(name, &value.to_string());
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.raw(name, if value { "true" } else { "false" });
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        self.key(name);
        match value {
            Some(value) => push_string(&mut self.out, value),
            None => self.out.extend_from_slice(b"null"),
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }
}

/// The HTTP status of an exception's code, for callers that ask for it.
#[must_use]
pub fn http_status(code: u32) -> u16 {
    match code {
        100 | 150 | 155 | 246 | 700 | 710 | 720 => 400,
        180 => 403,
        190 | 191 | 230 | 235 => 404,
        240 | 250 | 400 => 408,
        429 => 429,
        210 | 211 | 245 | 305 | 410 | 420 | 425 | 427 | 503 | 510 => 503,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{ArrayRef, Float64Array, StringViewArray},
        record_batch::RecordBatch,
    };
    use std::sync::Arc;
    use weir_query::{QueryStats, ResultColumn};

    fn ids() -> AnswerIds {
        AnswerIds {
            request_id: "17".into(),
            client_request_id: None,
            broker_id: "Broker_127.0.0.1_8099".into(),
            multistage: false,
        }
    }

    fn column(name: &str, pinot_type: &str) -> ResultColumn {
        ResultColumn { name: name.into(), pinot_type: pinot_type.into() }
    }

    #[test]
    fn fields_come_in_pinots_order() {
        let columns: [(&str, ArrayRef); 2] = [
            ("a", Arc::new(StringViewArray::from(vec!["x", "y"]))),
            ("b", Arc::new(Float64Array::from(vec![1.0, 1e9]))),
        ];
        let answer = QueryResponse {
            columns: vec![column("city", "STRING"), column("sum(amount)", "DOUBLE")],
            rows: vec![RecordBatch::try_from_iter(columns).unwrap()],
            stats: QueryStats {
                num_docs_scanned: 5,
                num_servers_queried: 1,
                num_servers_responded: 1,
                min_consuming_freshness_time_ms: 99,
                ..QueryStats::default()
            },
            tables: vec!["orders".into()],
            ..QueryResponse::default()
        };
        let text = String::from_utf8(response(&answer, &ids())).unwrap();
        let head = r#"{"resultTable":{"dataSchema":{"columnNames":["city","sum(amount)"],"columnDataTypes":["STRING","DOUBLE"]},"rows":[["x",1.0],["y",1.0E9]]},"numRowsResultSet":2,"partialResult":false,"exceptions":[],"numGroupsLimitReached":false"#;
        assert!(text.starts_with(head), "{text}");
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, FIELDS);
        assert_eq!(json["requestId"], "17");
        assert_eq!(json["clientRequestId"], serde_json::Value::Null);
        assert_eq!(json["minConsumingFreshnessTimeMs"], 99);
        assert_eq!(json["tablesQueried"], serde_json::json!(["orders"]));
    }

    #[test]
    fn an_error_has_no_result_table() {
        let exceptions = vec![QueryException { code: 190, message: "TableDoesNotExistError: \"x\"".into() }];
        let answer = QueryResponse { exceptions, partial: true, ..QueryResponse::default() };
        let mut ids = ids();
        (ids.multistage, ids.client_request_id) = (true, Some("c1".into()));
        let json: serde_json::Value = serde_json::from_slice(&response(&answer, &ids)).unwrap();
        assert_eq!(json["resultTable"], serde_json::Value::Null);
        assert!(json.as_object().unwrap().get("resultTable").is_none());
        let expected = serde_json::json!([{"errorCode": 190, "message": "TableDoesNotExistError: \"x\""}]);
        assert_eq!(json["exceptions"], expected);
        assert_eq!((&json["partialResult"], &json["maxRowsInJoinReached"]), (&true.into(), &false.into()));
        assert_eq!(json["clientRequestId"], "c1");
    }

    #[test]
    fn statuses_follow_codes() {
        for (code, status) in [(150, 400), (190, 404), (250, 408), (305, 503), (200, 500), (429, 429), (1000, 500)] {
            assert_eq!(http_status(code), status, "{code}");
        }
    }

    const FIELDS: [&str; 53] = [
        "resultTable",
        "numRowsResultSet",
        "partialResult",
        "exceptions",
        "numGroupsLimitReached",
        "numGroupsWarningLimitReached",
        "maxRowsInDistinctReached",
        "maxRowsWithoutChangeInDistinctReached",
        "maxExecutionTimeInDistinctReached",
        "timeUsedMs",
        "requestId",
        "clientRequestId",
        "brokerId",
        "numDocsScanned",
        "totalDocs",
        "numEntriesScannedInFilter",
        "numEntriesScannedPostFilter",
        "numServersQueried",
        "numServersResponded",
        "numSegmentsQueried",
        "numSegmentsProcessed",
        "numSegmentsMatched",
        "numConsumingSegmentsQueried",
        "numConsumingSegmentsProcessed",
        "numConsumingSegmentsMatched",
        "minConsumingFreshnessTimeMs",
        "numSegmentsPrunedByBroker",
        "numSegmentsPrunedByServer",
        "numSegmentsPrunedInvalid",
        "numSegmentsPrunedByLimit",
        "numSegmentsPrunedByValue",
        "brokerReduceTimeMs",
        "offlineThreadCpuTimeNs",
        "realtimeThreadCpuTimeNs",
        "offlineSystemActivitiesCpuTimeNs",
        "realtimeSystemActivitiesCpuTimeNs",
        "offlineResponseSerializationCpuTimeNs",
        "realtimeResponseSerializationCpuTimeNs",
        "offlineTotalCpuTimeNs",
        "realtimeTotalCpuTimeNs",
        "explainPlanNumEmptyFilterSegments",
        "explainPlanNumMatchAllFilterSegments",
        "traceInfo",
        "tablesQueried",
        "offlineThreadMemAllocatedBytes",
        "realtimeThreadMemAllocatedBytes",
        "offlineResponseSerMemAllocatedBytes",
        "realtimeResponseSerMemAllocatedBytes",
        "offlineTotalMemAllocatedBytes",
        "realtimeTotalMemAllocatedBytes",
        "pools",
        "rlsFiltersApplied",
        "groupsTrimmed",
    ];
}
