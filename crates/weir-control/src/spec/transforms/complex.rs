//! How nested records are made flat: `complexTypeConfig`.

use crate::spec::read::{At, Findings};
use std::sync::Arc;
use weir_types::{ColumnName, ComplexTypeSpec, NotUnnested, Schema};

/// A part of a field's name holds nothing that such a name cannot hold.
fn field_part(at: &At<'_>, part: &str, findings: &mut Findings) {
    if let Err(error) = ColumnName::parse(part) {
        findings.wrong(at, format!("cannot be part of a field's name: {error}"));
    }
}

/// Reads `complexTypeConfig`.
pub(super) fn complex_type(at: &At<'_>, schema: Option<&Schema>, findings: &mut Findings) -> Option<ComplexTypeSpec> {
    if at.is_absent() {
        return None;
    }
    let unnest = findings.texts(&at.key("fieldsToUnnest"));
    for (field_at, name) in &unnest {
        if name.trim().is_empty() {
            findings.wrong(field_at, "must name a field that holds an array: name one, or remove it");
        } else {
            field_part(field_at, name, findings);
        }
    }
    let delimiter_at = at.key("delimiter");
    let delimiter = findings.words(&delimiter_at).filter(|text| !text.is_empty()).unwrap_or_else(|| ".".into());
    field_part(&delimiter_at, &delimiter, findings);
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
    let renames_at = at.key("prefixesToRename");
    for (old, new_at) in findings.object(&renames_at, "beginnings of names, each with what takes its place") {
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
        field_part(&new_at, old, findings);
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
