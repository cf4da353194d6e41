//! A table config: Pinot's JSON in, a validated `TableSpec` out, with everything that is wrong at once.

use crate::spec::{
    error::SpecErrors,
    indexes::indexes,
    partition::partitioned_by,
    read::{At, Findings},
    retention::retention,
    shape::normalised,
    stream::streams,
    transforms::{ExpressionReader, expressions},
    walk::walk_table,
};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use weir_types::{
    ColumnName, FieldKind, MessageField, Schema, TableKind, TableName, TableSpec, message_field::METADATA,
};

/// What this node can read, told by who assembles it.
#[derive(Clone, Copy)]
pub struct Capabilities<'a> {
    /// Stream types that can be read.
    pub stream_types: &'a [&'a str],
    /// What is known of a decoder's class name.
    pub decoder: fn(&str) -> DecoderKnown,
    /// Whether a decoder (by our name) knows a setting of its own (without its prefix).
    pub decoder_key: fn(&str, &str) -> bool,
    /// What is known of an ingestion expression.
    pub expression: ExpressionReader,
}

/// What is known of a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecoderKnown {
    /// It can be used, under this name.
    Yes(&'static str),
    /// It is one of Pinot's and is not here: why, and what to do.
    Absent(&'static str),
    /// Nobody knows it.
    Unknown,
}

/// Where the names of decoders come from.
pub(super) enum Decoders<'a> {
    /// From the class names in the config.
    Ask {
        /// What a class name means.
        name: fn(&str) -> DecoderKnown,
        /// Whether a decoder knows a setting.
        knows: fn(&str, &str) -> bool,
    },
    /// From a stored record, by the position of the stream.
    Stored(&'a StoredDecoders),
}

/// A table config that was read.
#[derive(Debug, Clone)]
pub struct ParsedTable {
    /// What the table should be.
    pub spec: TableSpec,
    /// The config as it is stored and shown: with its kind in the name, text in the stream maps, nothing removed.
    pub json: Json,
    /// Keys that we do not know, JSON pointer to value.
    pub unrecognized: BTreeMap<String, Json>,
    /// Paths of keys that are accepted and have no effect yet.
    pub not_yet_effective: Vec<String>,
}

/// Reads a table config and checks it against its schema where there is one. All errors come at once.
pub fn parse_table(
    json: &Json,
    schema: Option<&Schema>,
    capabilities: &Capabilities<'_>,
) -> Result<ParsedTable, SpecErrors> {
    let decoders = Decoders::Ask { name: capabilities.decoder, knows: capabilities.decoder_key };
    let (spec, findings) =
        interpret(json, schema, Some(capabilities.stream_types), &decoders, Some(capabilities.expression));
    match spec {
        Some(spec) if findings.errors.is_empty() => Ok(parsed(json, spec, findings)),
        _ => Err(findings.into_errors()),
    }
}

/// Our names of the decoders that class names resolved to, in the order of a table's streams and of its patterns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredDecoders {
    pub(crate) topics: Vec<String>,
    pub(crate) patterns: Vec<String>,
}

impl StoredDecoders {
    /// Those of a spec.
    pub(crate) fn of(spec: &TableSpec) -> Self {
        Self {
            topics: spec.streams.iter().map(|stream| stream.decoder.to_string()).collect(),
            patterns: spec.patterns.iter().map(|pattern| pattern.asked().decoder.to_string()).collect(),
        }
    }
}

/// Reads a config that was accepted before. A check that a later release made stricter does not keep a table from being
/// opened: only what cannot be understood at all is an error.
pub(crate) fn reread_table(json: &Json, schema: &Schema, decoders: &StoredDecoders) -> Result<ParsedTable, SpecErrors> {
    let (spec, findings) = interpret(json, Some(schema), None, &Decoders::Stored(decoders), None);
    let whole = |spec: &TableSpec| {
        spec.streams.len() == decoders.topics.len() && spec.patterns.len() == decoders.patterns.len()
    };
    let Some(spec) = spec.filter(whole) else {
        return Err(findings.into_errors());
    };
    for error in &findings.errors {
        tracing::warn!(table = %spec.name, %error, "a stored table config would not be accepted today");
    }
    Ok(parsed(json, spec, findings))
}

fn parsed(json: &Json, spec: TableSpec, findings: Findings) -> ParsedTable {
    ParsedTable {
        json: normalised(json, &spec.name),
        spec,
        unrecognized: findings.unrecognized,
        not_yet_effective: findings.not_yet_effective,
    }
}

/// The spec where there is enough to make one, and what was found on the way.
fn interpret(
    json: &Json,
    schema: Option<&Schema>,
    stream_types: Option<&[&str]>,
    decoders: &Decoders<'_>,
    expression: Option<ExpressionReader>,
) -> (Option<TableSpec>, Findings) {
    let mut findings = Findings::default();
    let root = At::root(json);
    if !json.is_object() {
        findings.wrong(&root, "a table config is a JSON object, this is none");
        return (None, findings);
    }
    walk_table(&root, &mut findings);
    let name = name(&root, &mut findings);
    let time_column = time_column(&root, schema, &mut findings);
    let replication = replication(&root, &mut findings);
    let retention = retention(&root, time_column.is_some(), &mut findings);
    let streams = streams(&root, stream_types, decoders, &mut findings);
    let indexes = indexes(&root, schema, &mut findings);
    if let (Some(schema), Some(path)) = (schema, &streams.metadata) {
        metadata_columns(schema, path, &mut findings);
    }
    let table_nulls = findings.boolean(&root.keys("tableIndexConfig.nullHandlingEnabled")).unwrap_or(false);
    let ingestion = root.key("ingestionConfig");
    let row_time_check = findings.boolean(&ingestion.key("rowTimeValueCheck")).unwrap_or(false);
    let continue_on_error = findings.boolean(&ingestion.key("continueOnError")).unwrap_or(false);
    if row_time_check && time_column.is_none() {
        let at = ingestion.key("rowTimeValueCheck");
        findings.wrong(&at, "needs a time column to check: name one in segmentsConfig.timeColumnName, or set false");
    }
    let decoders = streams.streams.iter().chain(streams.patterns.iter().map(|pattern| pattern.asked()));
    let all_json = decoders.map(|stream| &*stream.decoder).all(|decoder| decoder == "json");
    let expressions = expressions(&ingestion, schema, expression, all_json, &mut findings);
    let partitioned_by = partitioned_by(&root, schema, &mut findings);
    findings.settle_kinds();
    let spec = name.filter(|_| !(streams.streams.is_empty() && streams.patterns.is_empty())).map(|name| TableSpec {
        name,
        kind: TableKind::Realtime,
        time_column,
        replication,
        streams: streams.streams,
        patterns: streams.patterns,
        flush: streams.flush,
        sorted_column: indexes.sorted_column,
        indexes: indexes.columns,
        null_handling: table_nulls || schema.is_some_and(|schema| schema.column_based_null_handling),
        row_time_check,
        continue_on_error,
        expressions,
        partitioned_by,
        error_policy: streams.error_policy,
        quarantine: streams.quarantine,
        retention,
        lagging_after: streams.lagging_after,
    });
    (spec, findings)
}

fn name(root: &At<'_>, findings: &mut Findings) -> Option<TableName> {
    let (name_at, type_at) = (root.key("tableName"), root.key("tableType"));
    let kind = findings.text(&type_at).map(|text| text.trim().to_ascii_uppercase());
    match kind.as_deref() {
        Some("REALTIME") => {}
        Some("OFFLINE") => {
            findings.wrong(
                &type_at,
                "OFFLINE tables are not built yet: make it REALTIME and load the rows through a stream",
            );
        }
        None if type_at.is_absent() => findings.wrong(&type_at, "must be REALTIME"),
        Some(_) => findings.wrong(&type_at, "must be REALTIME"),
        None => {}
    }
    if name_at.is_absent() {
        findings.wrong(&name_at, "must name the table");
    }
    let text = findings.text(&name_at)?;
    if text.ends_with("_OFFLINE") && kind.as_deref() == Some("REALTIME") {
        findings.wrong(&name_at, "ends in _OFFLINE but tableType is REALTIME: make them agree");
    }
    let name = match TableName::parse(&text) {
        Ok(name) => name,
        Err(error) => {
            findings.wrong(&name_at, error.reason);
            return None;
        }
    };
    let schema_at = root.keys("segmentsConfig.schemaName");
    if findings.text(&schema_at).is_some_and(|schema| !schema.is_empty() && schema != name.as_str()) {
        findings.wrong(&schema_at, format!("a table's schema has the table's name: set {name}, or remove it"));
    }
    Some(name)
}

fn time_column(root: &At<'_>, schema: Option<&Schema>, findings: &mut Findings) -> Option<ColumnName> {
    let at = root.keys("segmentsConfig.timeColumnName");
    let text = findings.text(&at).filter(|text| !text.is_empty())?;
    let column = match ColumnName::parse(&text) {
        Ok(column) => column,
        Err(error) => {
            findings.wrong(&at, error.reason);
            return None;
        }
    };
    match schema.map(|schema| schema.field(&text)) {
        Some(None) => {
            findings.wrong(&at, "the schema has no such column: add it to dateTimeFieldSpecs, or correct the name");
            return None;
        }
        Some(Some(field)) if field.kind != FieldKind::DateTime => {
            findings.wrong(&at, "the time column must be one of the schema's dateTimeFieldSpecs, with a format");
            return None;
        }
        _ => {}
    }
    Some(column)
}

fn replication(root: &At<'_>, findings: &mut Findings) -> u32 {
    let segments = root.key("segmentsConfig");
    let mut wanted = None;
    for key in ["replicasPerPartition", "replication"] {
        let at = segments.key(key);
        let Some(count) = findings.count(&at, 1) else { continue };
        match u32::try_from(count).ok().filter(|count| *count <= 1000) {
            Some(count) if wanted.is_none() => {
                if count > 1 {
                    findings.not_yet(at.path);
                }
                wanted = Some(count);
            }
            Some(_) => {}
            None => findings.wrong(&at, "must be at most 1000"),
        }
    }
    wanted.unwrap_or(1)
}

/// Columns that are asked for and that no stream fills would stay empty: better said than seen.
fn metadata_columns(schema: &Schema, path: &str, findings: &mut Findings) {
    let unknown = |name: &str| name.starts_with(METADATA) && MessageField::of(name).is_none();
    let columns: Vec<&str> =
        schema.fields().iter().map(|field| field.name.as_str()).filter(|name| unknown(name)).collect();
    if !columns.is_empty() {
        let reason = format!(
            "nothing fills {}: of a message there are __metadata$offset, __metadata$partition, __metadata$recordTimestamp, \
             __metadata$recordSerializedValueSize, __key and __header$<name>; remove it from the schema",
            columns.join(", ")
        );
        let value = Json::Bool(true);
        findings.wrong(&At::place(path, Some(&value)), reason);
    }
}
