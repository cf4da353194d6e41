//! What a table config has made of a record: types of fields, nested records made flat, enrichers, derived columns, the filter.

mod complex;
mod conforming;

use crate::spec::{
    change::list_of,
    read::{At, Findings},
};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use weir_types::{ColumnName, DataType, ExpressionFacts, Expressions, Preparation, Schema, SourceType, TransformSpec};

/// What is known of an expression, or why it is none.
pub type ExpressionReader = fn(&str) -> Result<ExpressionFacts, String>;

/// A derived column as it was written.
struct Written<'a> {
    column_at: At<'a>,
    function_at: At<'a>,
    spec: TransformSpec,
    reads: Vec<String>,
}

/// Reads what stands below `ingestionConfig`, and what the schema derives. Expressions are looked into where somebody says
/// how: those of a stored config were when it was accepted. `all_json`: all of the table's messages are JSON.
pub(super) fn expressions(
    ingestion: &At<'_>,
    schema: Option<&Schema>,
    reader: Option<ExpressionReader>,
    all_json: bool,
    findings: &mut Findings,
) -> Expressions {
    let complex_type = complex::complex_type(&ingestion.key("complexTypeConfig"), schema, findings);
    let [types_before, types_after] = source_types(&ingestion.key("sourceFieldConfigs"), findings);
    let [enriched_before, enriched_after] = enrichers(&ingestion.key("enrichmentConfigs"), reader, findings);
    let of_schema = of_schema(schema);
    let mut derived = vec![];
    for item in ingestion.key("transformConfigs").items() {
        let (column_at, function_at) = (item.key("columnName"), item.key("transformFunction"));
        let column = required(&column_at, "the column that is derived", findings);
        let function = required(&function_at, "an expression such as toEpochDays(ts)", findings);
        if let (Some(column), Some(function)) = (column, function) {
            derived.extend(written(column_at, function_at, &column, &function, reader, findings));
        }
    }
    for (column, path, function) in &of_schema {
        // The table's own word counts.
        if let Some(text) = function.as_str()
            && !derived.iter().any(|written| written.spec.column.as_str() == *column)
        {
            let at = At::place(path.clone(), Some(function));
            derived.extend(written(at.clone(), at, column, text, reader, findings));
        }
    }
    let filter_at = ingestion.keys("filterConfig.filterFunction");
    let filter = findings.words(&filter_at).filter(|text| !text.trim().is_empty());
    let facts = filter.as_ref().and_then(|filter| facts(&filter_at, filter, reader, findings)).unwrap_or_default();
    if let Some(gives) = facts.never_a_truth {
        let reason = format!("gives {gives}, and a filter is true where a row is dropped: compare it with something");
        findings.wrong(&filter_at, reason);
    }
    if reader.is_some() {
        let enriched = enriched_before.iter().chain(&enriched_after).flat_map(|written| &written.reads);
        let others = enriched.chain(&facts.fields).map(String::as_str).collect();
        check(&derived, &others, schema, findings);
    }
    let conforming_at = conforming::place(ingestion, findings);
    let conforming = conforming::conforming(&conforming_at, schema, findings);
    if conforming.is_some() && complex_type.is_some() {
        let reason = "fields are told apart by their paths, so nothing is left to make flat: remove complexTypeConfig";
        findings.wrong(&At::place(conforming_at.path.clone(), None), reason);
    }
    if conforming.is_some() && !all_json {
        let reason = "fields that the schema does not name are known of JSON messages: use the decoder JSONMessageDecoder, \
                      or remove it and give the fields columns";
        findings.wrong(&At::place(conforming_at.path, None), reason);
    }
    let specs = |written: Vec<Written<'_>>| written.into_iter().map(|written| written.spec).collect();
    Expressions {
        before: Preparation { types: types_before, enrichments: specs(enriched_before) },
        complex_type,
        after: Preparation { types: types_after, enrichments: specs(enriched_after) },
        transforms: specs(derived),
        filter: filter.map(Into::into),
        conforming,
    }
}

/// Columns that the schema derives: the column, the place and the expression.
fn of_schema(schema: Option<&Schema>) -> Vec<(&str, String, Json)> {
    let fields = schema.map_or(&[][..], Schema::fields).iter();
    let derived = fields.filter_map(|field| {
        let path = format!("schema.{}.{}.transformFunction", list_of(field.kind), field.name);
        let function = field.transform.as_deref().map(str::to_owned).or_else(|| of_map(field.name.as_str()))?;
        Some((field.name.as_str(), path, Json::from(function)))
    });
    derived.collect()
}

/// What a column is by its name alone: the keys of a map (`tags__KEYS`), or its values in the order of the keys.
fn of_map(column: &str) -> Option<String> {
    let (map, function) = match (column.strip_suffix("__KEYS"), column.strip_suffix("__VALUES")) {
        (Some(map), _) => (map, "mapKeys"),
        (None, Some(map)) => (map, "mapValues"),
        (None, None) => return None,
    };
    (!map.is_empty() && !map.contains('"')).then(|| format!("{function}(\"{map}\")"))
}

fn facts(
    at: &At<'_>,
    text: &str,
    reader: Option<ExpressionReader>,
    findings: &mut Findings,
) -> Option<ExpressionFacts> {
    match reader.map(|reader| reader(text)) {
        Some(Err(reason)) => {
            findings.wrong(at, reason);
            None
        }
        Some(Ok(facts)) => Some(facts),
        None => Some(ExpressionFacts::default()),
    }
}

fn written<'a>(
    column_at: At<'a>,
    function_at: At<'a>,
    column: &str,
    function: &str,
    reader: Option<ExpressionReader>,
    findings: &mut Findings,
) -> Option<Written<'a>> {
    let column = match ColumnName::parse(column) {
        Ok(column) => column,
        Err(error) => {
            findings.wrong(&column_at, error.to_string());
            return None;
        }
    };
    let reads = facts(&function_at, function, reader, findings)?.fields;
    Some(Written { column_at, function_at, spec: TransformSpec { column, function: function.into() }, reads })
}

/// Fields that are brought to a type: those before records are made flat, and those after.
fn source_types(at: &At<'_>, findings: &mut Findings) -> [Vec<SourceType>; 2] {
    let mut found = [vec![], vec![]];
    for item in at.items() {
        let (name_at, type_at) = (item.key("name"), item.key("dataType"));
        let before = findings.boolean(&item.key("preComplexTypeTransform")).unwrap_or(false);
        let name = required(&name_at, "the field of the record", findings);
        let type_name = required(&type_at, "a type such as LONG", findings);
        let (Some(name), Some(type_name)) = (name, type_name) else { continue };
        let Some(data_type) = DataType::parse(type_name.trim()) else {
            if type_at.value.is_some_and(Json::is_string) {
                findings.wrong(&type_at, format!("must be one of {}", DataType::ALL.map(DataType::as_str).join(", ")));
            }
            continue;
        };
        let field = match ColumnName::parse(&name) {
            Ok(field) => field,
            Err(error) => {
                findings.wrong(&name_at, error.reason.replace("column name", "field's name"));
                continue;
            }
        };
        let list: &mut Vec<SourceType> = &mut found[usize::from(!before)];
        if list.iter().any(|other| other.field == field) {
            findings.wrong(&name_at, format!("'{field}' is brought to a type twice: remove one"));
            continue;
        }
        list.push(SourceType { field, data_type });
    }
    found
}

/// `generateColumn` works out fields one after the other, whatever the record brings: before records are made flat, and
/// after. `clpEnricher` is such a one with functions of its own.
fn enrichers<'a>(at: &At<'a>, reader: Option<ExpressionReader>, findings: &mut Findings) -> [Vec<Written<'a>>; 2] {
    let mut found = [vec![], vec![]];
    for item in at.items() {
        let (kind_at, before_at) = (item.key("enricherType"), item.key("preComplexTypeTransform"));
        match required(&kind_at, "generateColumn", findings).as_deref() {
            Some("generateColumn") => {}
            Some("clpEnricher") => {
                let before = findings.boolean(&before_at).unwrap_or(false);
                found[usize::from(!before)].extend(log_parts(&item.key("properties"), reader, findings));
                continue;
            }
            Some(_) => {
                findings.wrong(&kind_at, "is no enricher: generateColumn and clpEnricher are");
                continue;
            }
            None => continue,
        }
        let before = findings.boolean(&before_at).unwrap_or(false);
        let properties = item.key("properties");
        let functions_at = properties.key("fieldToFunctionMap");
        let wrong = findings.errors.len();
        findings.object(&properties, "an enricher's settings");
        let functions = findings.object(&functions_at, "fields, each with its expression");
        if functions.is_empty() && findings.errors.len() == wrong {
            findings
                .wrong(&functions_at, "is missing or empty: name fields and their expressions, or remove the enricher");
        }
        for (column, function_at) in functions {
            if let Some(function) = required(&function_at, "an expression such as lower(name)", findings) {
                let column_at = functions_at.clone();
                found[usize::from(!before)].extend(written(
                    column_at,
                    function_at,
                    column,
                    &function,
                    reader,
                    findings,
                ));
            }
        }
    }
    found
}

/// The parts of log messages: of each field three others, of what is no text null.
fn log_parts<'a>(properties: &At<'a>, reader: Option<ExpressionReader>, findings: &mut Findings) -> Vec<Written<'a>> {
    findings.object(properties, "an enricher's settings");
    let fields_at = properties.key("fields");
    let fields = findings.texts(&fields_at);
    if fields.is_empty() && !findings.errors.iter().any(|error| error.path.starts_with(&properties.path)) {
        findings
            .wrong(&fields_at, "is missing or empty: list the fields that are log messages, or remove the enricher");
    }
    let mut found = vec![];
    for (at, field) in fields {
        for (suffix, function) in
            [("logtype", "clpLogtype"), ("dictionaryVars", "clpDictionaryVars"), ("encodedVars", "clpEncodedVars")]
        {
            let function = format!("{function}(\"{}\")", field.replace('"', "\"\""));
            found.extend(written(at.clone(), at.clone(), &format!("{field}_{suffix}"), &function, reader, findings));
        }
    }
    found
}

fn required(at: &At<'_>, what: &str, findings: &mut Findings) -> Option<String> {
    let text = findings.words(at).filter(|text| !text.trim().is_empty());
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
