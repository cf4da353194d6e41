//! What a table config has made of a record: nested ones made flat, enrichers, derived columns, the filter.

use crate::spec::read::{At, Findings};
use std::{collections::BTreeSet, sync::Arc};
use weir_types::{ColumnName, ComplexTypeSpec, Expressions, NotUnnested, Schema, TransformSpec};

/// The fields that an expression reads, or why it is none.
pub type ExpressionFields = fn(&str) -> Result<Vec<String>, String>;

/// A derived column as it was written.
struct Written<'a> {
    column_at: At<'a>,
    function_at: At<'a>,
    spec: TransformSpec,
    reads: Vec<String>,
}

/// Reads what stands below `ingestionConfig`. Expressions are looked into where somebody says how: those of a stored config
/// were when it was accepted.
pub(super) fn expressions(
    ingestion: &At<'_>,
    schema: Option<&Schema>,
    fields: Option<ExpressionFields>,
    findings: &mut Findings,
) -> Expressions {
    let complex_type = complex_type(&ingestion.key("complexTypeConfig"), schema, findings);
    let enriched = enrichers(&ingestion.key("enrichmentConfigs"), fields, findings);
    let mut derived = vec![];
    for item in ingestion.key("transformConfigs").items() {
        let (column_at, function_at) = (item.key("columnName"), item.key("transformFunction"));
        let column = required(&column_at, "the column that is derived", findings);
        let function = required(&function_at, "an expression such as toEpochDays(ts)", findings);
        if let (Some(column), Some(function)) = (column, function) {
            derived.extend(written(column_at, function_at, &column, &function, fields, findings));
        }
    }
    let filter_at = ingestion.keys("filterConfig.filterFunction");
    let filter = findings.text(&filter_at).filter(|text| !text.trim().is_empty());
    let filter_reads = filter.as_ref().and_then(|filter| reads(&filter_at, filter, fields, findings));
    if fields.is_some() {
        let others = enriched.iter().flat_map(|written| &written.reads).chain(filter_reads.iter().flatten());
        check(&derived, &others.map(String::as_str).collect(), schema, findings);
    }
    Expressions {
        complex_type,
        enrichments: enriched.into_iter().map(|written| written.spec).collect(),
        transforms: derived.into_iter().map(|written| written.spec).collect(),
        filter: filter.map(Into::into),
    }
}

fn reads(at: &At<'_>, text: &str, fields: Option<ExpressionFields>, findings: &mut Findings) -> Option<Vec<String>> {
    match fields.map(|fields| fields(text)) {
        Some(Err(reason)) => {
            findings.wrong(at, reason);
            None
        }
        Some(Ok(reads)) => Some(reads),
        None => Some(vec![]),
    }
}

fn written<'a>(
    column_at: At<'a>,
    function_at: At<'a>,
    column: &str,
    function: &str,
    fields: Option<ExpressionFields>,
    findings: &mut Findings,
) -> Option<Written<'a>> {
    let column = match ColumnName::parse(column) {
        Ok(column) => column,
        Err(error) => {
            findings.wrong(&column_at, error.to_string());
            return None;
        }
    };
    let reads = reads(&function_at, function, fields, findings)?;
    Some(Written { column_at, function_at, spec: TransformSpec { column, function: function.into() }, reads })
}

/// `generateColumn` works out fields one after the other, whatever the record brings.
fn enrichers<'a>(at: &At<'a>, fields: Option<ExpressionFields>, findings: &mut Findings) -> Vec<Written<'a>> {
    let mut found = vec![];
    for item in at.items() {
        let (kind_at, before_at) = (item.key("enricherType"), item.key("preComplexTypeTransform"));
        match required(&kind_at, "generateColumn", findings).as_deref() {
            Some("generateColumn") => {}
            Some("clpEnricher") => {
                findings
                    .wrong(&kind_at, "logs are not taken apart by an enricher: use the decoder CLPLogMessageDecoder");
                continue;
            }
            Some(_) => {
                findings.wrong(&kind_at, "is no enricher: generateColumn is");
                continue;
            }
            None => continue,
        }
        if findings.boolean(&before_at) == Some(true) {
            findings.wrong(&before_at, "fields are worked out after records were made flat: set false");
        }
        let functions = item.keys("properties.fieldToFunctionMap");
        if functions.entries().is_empty() {
            findings
                .wrong(&functions, "is missing or empty: name fields and their expressions, or remove the enricher");
        }
        for (column, function_at) in functions.entries() {
            if let Some(function) = required(&function_at, "an expression such as lower(name)", findings) {
                let column_at = item.keys("properties.fieldToFunctionMap");
                found.extend(written(column_at, function_at, column, &function, fields, findings));
            }
        }
    }
    found
}

fn complex_type(at: &At<'_>, schema: Option<&Schema>, findings: &mut Findings) -> Option<ComplexTypeSpec> {
    if at.is_absent() {
        return None;
    }
    let unnest = findings.texts(&at.key("fieldsToUnnest"));
    let delimiter = findings.text(&at.key("delimiter")).filter(|text| !text.is_empty()).unwrap_or_else(|| ".".into());
    let not_unnested_at = at.key("collectionNotUnnestedToJson");
    let not_unnested = match findings.text(&not_unnested_at).map(|text| text.trim().to_ascii_uppercase()).as_deref() {
        None | Some("NON_PRIMITIVE") => NotUnnested::NestedToJson,
        Some("NONE") => NotUnnested::Stay,
        Some("ALL") => NotUnnested::ToJson,
        Some(_) => {
            findings.wrong(&not_unnested_at, "is none of NONE, NON_PRIMITIVE and ALL");
            NotUnnested::NestedToJson
        }
    };
    let mut renames: Vec<(Arc<str>, Arc<str>)> = vec![];
    for (old, new_at) in at.key("prefixesToRename").entries() {
        // An empty text is a prefix too: the old one goes.
        let new = new_at.value.and_then(serde_json::Value::as_str);
        let Some(new) = new else {
            findings.wrong(&new_at, "must be a text, which may be empty");
            continue;
        };
        if old.is_empty() {
            findings.wrong(&new_at, "renames names that begin with nothing: name a beginning");
            continue;
        }
        let taken = schema.and_then(|schema| schema.fields().iter().find(|field| field.name.as_str().starts_with(old)));
        if let Some(field) = taken {
            let reason =
                format!("renames what begins with '{old}', and so does the column '{}': rename the column", field.name);
            findings.wrong(&new_at, reason);
        }
        renames.push((old.into(), new.into()));
    }
    Some(ComplexTypeSpec {
        unnest: unnest.into_iter().map(|(_, name)| name.into()).collect(),
        delimiter: delimiter.into(),
        not_unnested,
        renames,
    })
}

fn required(at: &At<'_>, what: &str, findings: &mut Findings) -> Option<String> {
    let text = findings.text(at).filter(|text| !text.trim().is_empty());
    if text.is_none() && !findings.errors.iter().any(|error| error.path == at.path) {
        findings.wrong(at, format!("is missing: name {what}"));
    }
    text
}

fn check(written: &[Written<'_>], others: &BTreeSet<&str>, schema: Option<&Schema>, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    let mut read: BTreeSet<&str> = written.iter().flat_map(|written| &written.reads).map(String::as_str).collect();
    read.extend(others);
    for Written { column_at, function_at, spec, reads } in written {
        let column = spec.column.as_str();
        if !seen.insert(column) {
            findings.wrong(column_at, format!("'{column}' is derived twice: remove one"));
        }
        if reads.iter().any(|read| read == column) {
            let reason = format!(
                "reads '{column}', which it derives: a value that the record brings under that name stays anyway"
            );
            findings.wrong(function_at, reason);
        }
        if schema.is_some_and(|schema| schema.field(column).is_none()) && !read.contains(column) {
            let reason =
                format!("the schema has no column '{column}', and no other expression reads it: add or remove it");
            findings.wrong(column_at, reason);
        }
    }
    if let Some((at, circle)) = circle(written) {
        findings.wrong(&at.column_at, format!("is derived from itself ({circle}): break the circle"));
    }
}

/// The derived columns that can never be worked out first, with the others that stand in their way.
fn circle<'a, 'w>(written: &'w [Written<'a>]) -> Option<(&'w Written<'a>, String)> {
    let mut waiting: Vec<&Written<'_>> = written.iter().collect();
    let reads = |one: &Written<'_>, other: &Written<'_>| {
        one.spec.column != other.spec.column && one.reads.iter().any(|read| read == other.spec.column.as_str())
    };
    while let Some(ready) = waiting.iter().position(|one| !waiting.iter().any(|other| reads(one, other))) {
        waiting.remove(ready);
    }
    let names: Vec<&str> = waiting.iter().map(|one| one.spec.column.as_str()).collect();
    waiting.first().map(|first| (*first, names.join(", ")))
}
