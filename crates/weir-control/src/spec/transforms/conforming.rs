//! Fields that the schema does not name: `schemaConformingTransformerConfig`, also under its older name.

use crate::spec::{
    read::{At, Findings},
    walk::pointer_to,
};
use std::sync::Arc;
use weir_types::{ColumnName, ConformingSpec, DataType, MergedTextSpec, Schema};

/// The settings.
const KEYS: [&str; 23] = [
    "enableIndexableExtras",
    "indexableExtrasField",
    "enableUnindexableExtras",
    "unindexableExtrasField",
    "unindexableFieldSuffix",
    "fieldPathsToDrop",
    "fieldPathsToKeepSameAsInput",
    "fieldPathsToPreserveInput",
    "fieldPathsToKeepSameAsInputWithIndex",
    "fieldPathsToPreserveInputWithIndex",
    "fieldPathsToSkipStorage",
    "columnNameToJsonKeyPathMap",
    "mergedTextIndexField",
    "useAnonymousDotInFieldNames",
    "optimizeCaseInsensitiveSearch",
    "reverseTextIndexKeyValueOrder",
    "mergedTextIndexDocumentMaxLength",
    "mergedTextIndexBinaryDocumentDetectionMinLength",
    "mergedTextIndexBinaryTokenDetectionMinLength",
    "mergedTextIndexPathToExclude",
    "mergedTextIndexPrefixToExclude",
    "fieldsToDoubleIngest",
    "jsonKeyValueSeparator",
];

/// Those of the texts that stand around each.
const ANCHORS: [&str; 2] = ["mergedTextIndexBeginOfDocAnchor", "mergedTextIndexEndOfDocAnchor"];

/// The place of the settings, from either name.
pub(super) fn place<'a>(ingestion: &At<'a>, findings: &mut Findings) -> At<'a> {
    let [new, old] =
        ["schemaConformingTransformerConfig", "schemaConformingTransformerV2Config"].map(|key| ingestion.key(key));
    if !new.is_absent() && !old.is_absent() {
        findings.wrong(&old, format!("is given beside {}: remove one of them", new.path));
    }
    if new.is_absent() { old } else { new }
}

/// Reads the settings; a column that they name by default need not be there unless something goes into it.
pub(super) fn conforming(at: &At<'_>, schema: Option<&Schema>, findings: &mut Findings) -> Option<ConformingSpec> {
    at.value?;
    for (key, _) in findings.object(at, "settings").into_iter().filter(|(key, _)| !known(key)) {
        let value = at.value.and_then(|value| value.get(key)).cloned().unwrap_or_default();
        findings.unrecognized.insert(pointer_to(&at.path, key), value);
    }
    let mut truth = |key: &str, default| findings.boolean(&at.key(key)).unwrap_or(default);
    let (rest, unindexed) = (truth("enableIndexableExtras", true), truth("enableUnindexableExtras", true));
    let (dots, lower_too) = (truth("useAnonymousDotInFieldNames", true), truth("optimizeCaseInsensitiveSearch", false));
    let value_first = truth("reverseTextIndexKeyValueOrder", true);
    if !dots {
        let reason = "fields are told apart by their paths, in which a dot is a dot: set true";
        findings.wrong(&at.key("useAnonymousDotInFieldNames"), reason);
    }
    let mut gathered = |wanted: bool, key: &str, default: &str, switch: &str| {
        let column = column(&at.key(key), default, findings)?;
        let field = schema.map(|schema| schema.field(column.as_str()));
        let fits = |data_type| matches!(data_type, DataType::Json | DataType::String | DataType::Map);
        if wanted && field.is_some_and(|field| !field.is_some_and(|field| field.single_value && fits(field.data_type)))
        {
            let reason = format!("needs a JSON column '{column}' in the schema: add it, or set {switch} false");
            findings.wrong(&At::place(format!("{}.{key}", at.path), at.key(key).value), reason);
        }
        wanted.then_some(column)
    };
    let rest = gathered(rest, "indexableExtrasField", "json_data", "enableIndexableExtras");
    let unindexed_rest = gathered(unindexed, "unindexableExtrasField", "json_data_no_idx", "enableUnindexableExtras");
    let text = text(at, (value_first, lower_too), schema, findings);
    let mut paths = vec![];
    for (name, path_at) in findings.object(&at.key("columnNameToJsonKeyPathMap"), "columns, each with its path") {
        let path = findings.words(&path_at);
        if schema.is_some_and(|schema| schema.field(name).is_none()) {
            findings.wrong(&path_at, format!("the schema has no column '{name}': correct the name or remove it"));
        } else if let (Some(path), Ok(name)) = (path, ColumnName::parse(name)) {
            paths.push((name, path.into()));
        }
    }
    let mut list = |keys: &[&str]| -> Vec<Arc<str>> {
        keys.iter().flat_map(|key| findings.texts(&at.key(key))).map(|(_, path)| path.into()).collect()
    };
    let (dropped, doubled) = (list(&["fieldPathsToDrop"]), list(&["fieldsToDoubleIngest"]));
    let whole = list(&["fieldPathsToKeepSameAsInput", "fieldPathsToPreserveInput"]);
    let whole_and_searched = list(&["fieldPathsToKeepSameAsInputWithIndex", "fieldPathsToPreserveInputWithIndex"]);
    let searched_only = match at.key("fieldPathsToSkipStorage") {
        none if none.is_absent() => vec!["message".into()],
        _ => list(&["fieldPathsToSkipStorage"]),
    };
    let suffix = findings.words(&at.key("unindexableFieldSuffix")).unwrap_or_else(|| "_noindex".into());
    Some(ConformingSpec {
        rest,
        unindexed_rest,
        unindexed_suffix: suffix.into(),
        dropped,
        whole,
        whole_and_searched,
        searched_only,
        doubled,
        paths,
        text,
    })
}

fn known(key: &str) -> bool {
    KEYS.contains(&key) || ANCHORS.contains(&key)
}

fn column(at: &At<'_>, default: &str, findings: &mut Findings) -> Option<ColumnName> {
    let name = findings.words(at).unwrap_or_else(|| default.to_owned());
    match ColumnName::parse(&name) {
        Ok(column) => Some(column),
        Err(error) => {
            findings.wrong(at, error.reason);
            None
        }
    }
}

/// The texts, where the schema has a column for them.
fn text(
    at: &At<'_>,
    (value_first, lower_too): (bool, bool),
    schema: Option<&Schema>,
    findings: &mut Findings,
) -> Option<MergedTextSpec> {
    let field_at = at.key("mergedTextIndexField");
    let column = column(&field_at, "__mergedTextIndex", findings)?;
    match schema.map(|schema| schema.field(column.as_str())) {
        Some(None) if !field_at.is_absent() => {
            let reason = "needs a STRING column of several values in the schema: add it, or remove this";
            findings.wrong(&field_at, reason);
            return None;
        }
        Some(None) => return None,
        Some(Some(field)) if field.single_value || field.data_type != DataType::String => {
            let at = At::place(field_at.path.clone(), field_at.value);
            findings
                .wrong(&at, format!("'{column}' must be a STRING column of several values (singleValueField false)"));
        }
        _ => {}
    }
    let longest = findings.count(&at.key("mergedTextIndexDocumentMaxLength"), 1).unwrap_or(32_766);
    let binary_at = ["mergedTextIndexBinaryDocumentDetectionMinLength", "mergedTextIndexBinaryTokenDetectionMinLength"]
        .map(|key| at.key(key))
        .into_iter()
        .find(|at| !at.is_absent());
    let binary_from = binary_at.and_then(|at| findings.count(&at, 1)).unwrap_or(512);
    let mut words = |key: &str, default: &str| -> Arc<str> {
        findings.words(&at.key(key)).unwrap_or_else(|| default.to_owned()).into()
    };
    let separator = words("jsonKeyValueSeparator", ":");
    let anchors = (words(ANCHORS[0], ""), words(ANCHORS[1], ""));
    let mut list = |key: &str| -> Vec<Arc<str>> {
        findings.texts(&at.key(key)).into_iter().map(|(_, path)| path.into()).collect()
    };
    Some(MergedTextSpec {
        column,
        value_first,
        separator,
        anchors,
        lower_too,
        longest: usize::try_from(longest).unwrap_or(usize::MAX),
        binary_from: usize::try_from(binary_from).unwrap_or(usize::MAX),
        without: list("mergedTextIndexPathToExclude"),
        without_prefixes: list("mergedTextIndexPrefixToExclude"),
    })
}
