//! A schema: Pinot's JSON in, a validated `Schema` out, with everything that is wrong at once.

mod old_time;

use crate::spec::{
    change::list_of,
    date_format::{FORMAT_REMEDY, GRANULARITY_REMEDY, is_format, is_granularity},
    error::SpecErrors,
    keys::is_harmless,
    kind::Kind,
    period::instant_ms,
    read::{At, Findings, scalar_text},
};
use serde_json::Value as Json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use weir_types::{ColumnName, DataType, ExceedStrategy, FieldKind, FieldSpec, Schema, SchemaVersion, TableName, Value};

/// A schema that was read.
#[derive(Debug, Clone)]
pub struct ParsedSchema {
    /// The schema, with version 1.
    pub schema: Schema,
    /// The JSON as it is stored and shown.
    pub json: Json,
    /// Keys that we do not know, JSON pointer to value.
    pub unrecognized: BTreeMap<String, Json>,
}

/// Bytes of a column's name: more than paths of nested fields have. Each segment's directory and each row of an answer in
/// JSON repeats it, and so does every error that names it.
const COLUMN_NAME_MOST: usize = 512;

/// Keys and what they hold; a default or a sample may be of any kind.
pub(super) const SCHEMA_KEYS: [(&str, Option<Kind>); 11] = [
    ("schemaName", Some(Kind::Text)),
    ("description", Some(Kind::Text)),
    ("tags", Some(Kind::Texts)),
    ("enableColumnBasedNullHandling", Some(Kind::Truth)),
    ("dimensionFieldSpecs", Some(Kind::Objects)),
    ("metricFieldSpecs", Some(Kind::Objects)),
    ("dateTimeFieldSpecs", Some(Kind::Objects)),
    ("complexFieldSpecs", Some(Kind::Objects)),
    ("timeFieldSpec", Some(Kind::Object)),
    ("primaryKeyColumns", Some(Kind::Texts)),
    ("updatable", Some(Kind::Truth)),
];

pub(super) const FIELD_KEYS: [(&str, Option<Kind>); 18] = [
    ("name", Some(Kind::Text)),
    ("dataType", Some(Kind::Text)),
    ("singleValueField", Some(Kind::Truth)),
    ("defaultNullValue", None),
    ("defaultNullValueString", None),
    ("notNull", Some(Kind::Truth)),
    ("maxLength", Some(Kind::Whole)),
    ("maxLengthExceedStrategy", Some(Kind::Text)),
    ("format", Some(Kind::Text)),
    ("granularity", Some(Kind::Text)),
    ("sampleValue", None),
    ("fieldType", Some(Kind::Text)),
    ("childFieldSpecs", Some(Kind::Object)),
    ("description", Some(Kind::Text)),
    ("tags", Some(Kind::Texts)),
    ("transformFunction", Some(Kind::Words)),
    ("virtualColumnProvider", Some(Kind::Text)),
    ("allowTrailingZeros", Some(Kind::Truth)),
];

/// Reads a schema. All errors come at once.
pub fn parse_schema(json: &Json) -> Result<ParsedSchema, SpecErrors> {
    let mut findings = Findings::default();
    let root = At::root(json);
    if !json.is_object() {
        findings.wrong(&root, "a schema is a JSON object");
        return Err(findings.into_errors());
    }
    keys(&root, "", &SCHEMA_KEYS, &mut findings);
    let name = name(&root, &mut findings);
    let mut fields: Vec<FieldSpec> = vec![];
    let mut seen = BTreeSet::new();
    for kind in [FieldKind::Dimension, FieldKind::Metric, FieldKind::DateTime, FieldKind::Complex] {
        let list = root.key(list_of(kind));
        if list.value.is_some_and(|value| !value.is_array()) {
            findings.wrong(&list, "must be a list of fields");
        }
        for (at, item) in list.items().into_iter().enumerate() {
            if !item.value.is_some_and(Json::is_object) {
                findings.wrong(&item, "must be an object");
                continue;
            }
            let pointer = format!("/{}/{at}", list_of(kind));
            keys(&item, &pointer, &FIELD_KEYS, &mut findings);
            children(&item, &pointer, CHILDREN_DEEP, &mut findings);
            fields.extend(field(&item, kind, &mut seen, &mut findings));
        }
    }
    fields.extend(old_time::field(&root.key("timeFieldSpec"), &mut seen, &mut findings));
    if seen.is_empty() && findings.errors.is_empty() {
        findings.wrong(&root.key("dimensionFieldSpecs"), "a schema has at least one column");
    }
    let primary_key = primary_key(&root, &fields, &seen, &mut findings);
    let by_column = findings.boolean(&root.key("enableColumnBasedNullHandling")).unwrap_or(false);
    findings.settle_kinds();
    let (Some(name), true) = (name, findings.errors.is_empty()) else { return Err(findings.into_errors()) };
    let mut schema = Schema::new(&name, SchemaVersion(1), fields);
    schema.primary_key = primary_key;
    schema.column_based_null_handling = by_column;
    Ok(ParsedSchema { schema, json: json.clone(), unrecognized: findings.unrecognized })
}

/// Reports keys that nobody knows, and looks whether the others hold what they should.
fn keys(at: &At<'_>, pointer: &str, known: &[(&str, Option<Kind>)], findings: &mut Findings) {
    let Some(object) = at.value.and_then(Json::as_object) else { return };
    for (key, value) in object {
        match known.iter().find(|(name, _)| name == key) {
            Some((_, Some(kind))) => _ = findings.check_kind(*kind, &at.key(key)),
            Some((_, None)) => {}
            None => {
                let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                findings.unrecognized.insert(pointer, value.clone());
            }
        }
    }
}

/// So deep are children looked at: no reader of ours goes further into a document.
const CHILDREN_DEEP: usize = 32;

/// Looks at the fields within a complex one as at others; they are no columns of their own.
fn children(at: &At<'_>, pointer: &str, deep: usize, findings: &mut Findings) {
    let of = at.key("childFieldSpecs");
    if deep == 0 || !of.value.is_some_and(Json::is_object) {
        return;
    }
    for (name, child) in of.entries() {
        if findings.check_kind(Kind::Object, &child) && !child.is_absent() {
            let pointer = format!("{pointer}/childFieldSpecs/{}", name.replace('~', "~0").replace('/', "~1"));
            keys(&child, &pointer, &FIELD_KEYS, findings);
            children(&child, &pointer, deep - 1, findings);
        }
    }
}

fn name(root: &At<'_>, findings: &mut Findings) -> Option<String> {
    let at = root.key("schemaName");
    if at.is_absent() {
        findings.wrong(&at, "must name the schema, by the name of its table");
    }
    let name = findings.text(&at)?;
    match TableName::parse(&name) {
        Ok(_) => Some(name),
        Err(error) => {
            findings.wrong(&at, error.reason.replace("table name", "schema name"));
            None
        }
    }
}

fn column(at: &At<'_>, seen: &mut BTreeSet<ColumnName>, findings: &mut Findings) -> Option<ColumnName> {
    let name_at = at.key("name");
    if name_at.is_absent() {
        findings.wrong(&name_at, "must name the column");
    }
    let name = findings.text(&name_at)?;
    if name.len() > COLUMN_NAME_MOST {
        findings.wrong(
            &name_at,
            format!(
                "it has {} bytes, {COLUMN_NAME_MOST} are the most: each segment, and each row of an answer in JSON, repeats it; \
                 take a shorter name, and a transformConfigs entry that reads the field",
                name.len()
            ),
        );
        return None;
    }
    let column = match ColumnName::parse(&name) {
        Ok(column) => column,
        Err(error) => {
            findings.wrong(&name_at, error.reason);
            return None;
        }
    };
    if name.starts_with('$') {
        findings.wrong(&name_at, "names that start with $ are the store's own: choose another");
    }
    if !seen.insert(column.clone()) {
        findings.wrong(&name_at, "the schema has this column twice: remove one");
        return None;
    }
    Some(column)
}

fn field(at: &At<'_>, kind: FieldKind, seen: &mut BTreeSet<ColumnName>, findings: &mut Findings) -> Option<FieldSpec> {
    refused(at, findings);
    let name = column(at, seen, findings);
    let data_type = data_type(&at.key("dataType"), kind, findings);
    let mut field = FieldSpec::new(name?, data_type?, kind);
    let single_at = at.key("singleValueField");
    field.single_value = findings.boolean(&single_at).unwrap_or(true);
    if !field.single_value {
        several(&single_at, &field, findings);
    }
    field.not_null = findings.boolean(&at.key("notNull")).unwrap_or(false);
    if let Some(length) = findings.count(&at.key("maxLength"), 1) {
        field.max_length = u32::try_from(length).unwrap_or(u32::MAX);
    }
    let exceed_at = at.key("maxLengthExceedStrategy");
    if let Some(text) = findings.text(&exceed_at) {
        field.exceed = match text.trim().to_ascii_uppercase().as_str() {
            "TRIM_LENGTH" => ExceedStrategy::TrimLength,
            "ERROR" => ExceedStrategy::Error,
            "SUBSTITUTE_DEFAULT_VALUE" => ExceedStrategy::SubstituteDefault,
            "NO_ACTION" => ExceedStrategy::NoAction,
            _ => {
                findings.wrong(&exceed_at, "must be TRIM_LENGTH, ERROR, SUBSTITUTE_DEFAULT_VALUE or NO_ACTION");
                field.exceed
            }
        };
    }
    let transform = findings.words(&at.key("transformFunction")).filter(|text| !text.trim().is_empty());
    field.transform = transform.map(Arc::from);
    if kind == FieldKind::DateTime {
        date_time(at, &mut field, findings);
    }
    default_null(at, &mut field, findings);
    Some(field)
}

/// What stands where a record has no value.
fn default_null(at: &At<'_>, field: &mut FieldSpec, findings: &mut Findings) {
    let default_at = at.key("defaultNullValue");
    if default_at.value.is_some() {
        match default_value(&default_at, field.data_type) {
            Some(value) => field.default_null = value,
            None => findings.wrong(&default_at, format!("is no {}", spelled(field.data_type))),
        }
    }
}

/// What would change rows and is not built.
fn refused(at: &At<'_>, findings: &mut Findings) {
    for (key, remedy) in [
        ("virtualColumnProvider", "columns of one's own code are not built: remove it"),
        (
            "allowTrailingZeros",
            "the zeros that a BIG_DECIMAL ends in are not kept: set false; a STRING column keeps what is written",
        ),
    ] {
        let at = at.key(key);
        if at.value.is_some_and(|value| !is_harmless(value)) {
            findings.wrong(&at, remedy);
        }
    }
}

fn data_type(at: &At<'_>, kind: FieldKind, findings: &mut Findings) -> Option<DataType> {
    let types = || DataType::ALL.map(DataType::as_str).join(", ");
    if at.is_absent() {
        findings.wrong(at, format!("must be one of {}", types()));
        return None;
    }
    let text = findings.text(at)?;
    let Some(data_type) = DataType::parse(text.trim()) else {
        let reason = match text.trim().to_ascii_uppercase().as_str() {
            "STRUCT" | "LIST" => "nested types are not built: use JSON or MAP".to_owned(),
            _ => format!("must be one of {}", types()),
        };
        findings.wrong(at, reason);
        return None;
    };
    match (kind, data_type) {
        (FieldKind::Complex, DataType::Map) => {}
        (FieldKind::Complex, _) => {
            findings.wrong(at, "complex fields may be MAP: put other types under dimensionFieldSpecs");
        }
        (
            FieldKind::Metric,
            DataType::Json | DataType::Map | DataType::Timestamp | DataType::Boolean | DataType::Uuid,
        ) => {
            findings.wrong(at, "a metric is a number, STRING or BYTES: put the column under dimensionFieldSpecs");
        }
        (
            FieldKind::DateTime,
            DataType::Boolean
            | DataType::Json
            | DataType::Bytes
            | DataType::Map
            | DataType::Uuid
            | DataType::BigDecimal,
        ) => {
            findings.wrong(at, "a time is INT, LONG, FLOAT, DOUBLE, TIMESTAMP or STRING");
        }
        _ => {}
    }
    Some(data_type)
}

fn several(at: &At<'_>, field: &FieldSpec, findings: &mut Findings) {
    if field.kind != FieldKind::Dimension {
        findings.wrong(at, "only dimensions may have several values in a row: set true");
    } else if matches!(field.data_type, DataType::Json | DataType::Map | DataType::BigDecimal | DataType::Uuid) {
        findings.wrong(at, format!("a {} column has one value in a row: set true", field.data_type));
    }
}

fn date_time(at: &At<'_>, field: &mut FieldSpec, findings: &mut Findings) {
    let (format_at, granularity_at) = (at.key("format"), at.key("granularity"));
    let format = findings.text(&format_at);
    // Pinot's users write all sorts of formats of a TIMESTAMP: it has its own, whatever stands there.
    if let Some(text) = &format
        && field.data_type != DataType::Timestamp
        && !is_format(text)
    {
        findings.wrong(&format_at, FORMAT_REMEDY);
    }
    field.format = match (format, field.data_type) {
        (_, DataType::Timestamp) => Some("TIMESTAMP".into()),
        (Some(format), _) => Some(format.into()),
        (None, _) => {
            if format_at.is_absent() {
                findings.wrong(&format_at, FORMAT_REMEDY);
            }
            None
        }
    };
    let granularity = findings.text(&granularity_at);
    if let Some(text) = &granularity
        && !is_granularity(text)
    {
        findings.wrong(&granularity_at, GRANULARITY_REMEDY);
    }
    field.granularity = granularity.map(Arc::from);
}

fn primary_key(
    root: &At<'_>,
    fields: &[FieldSpec],
    seen: &BTreeSet<ColumnName>,
    findings: &mut Findings,
) -> Vec<ColumnName> {
    let mut key = vec![];
    for (at, name) in findings.texts(&root.key("primaryKeyColumns")) {
        match fields.iter().find(|field| field.name.as_str() == name) {
            Some(field) if field.single_value => key.push(field.name.clone()),
            Some(_) => findings.wrong(&at, "has several values in a row: a primary key is of single-value columns"),
            // What is wrong with the column was said of it.
            None if seen.iter().any(|column| column.as_str() == name) => {}
            None => findings.wrong(&at, "the schema has no such column: correct the name or remove it"),
        }
    }
    key
}

fn spelled(data_type: DataType) -> String {
    let example = match data_type {
        DataType::Boolean => " (true or false)",
        DataType::Timestamp => " (milliseconds, or 2026-01-01 00:00:00)",
        DataType::Bytes => " (hexadecimal digits)",
        DataType::Uuid => " (8-4-4-4-12 hexadecimal digits)",
        DataType::Json | DataType::Map => " (JSON text)",
        _ => "",
    };
    format!("{data_type}{example}")
}

/// A default in its stored form.
fn default_value(at: &At<'_>, data_type: DataType) -> Option<Value> {
    let json = at.value?;
    let text = match scalar_text(json) {
        Some(text) => text,
        None if matches!(data_type, DataType::Json | DataType::Map) => json.to_string(),
        None => return None,
    };
    let trimmed = text.trim();
    Some(match data_type {
        DataType::Int => Value::Int(whole(trimmed)?.try_into().ok()?),
        DataType::Long => Value::Long(whole(trimmed)?),
        DataType::Float => Value::Float(trimmed.parse().ok()?),
        DataType::Double => Value::Double(trimmed.parse().ok()?),
        DataType::BigDecimal => Value::Str(plain(trimmed)?.into()),
        DataType::Boolean => Value::Int(match trimmed.to_ascii_lowercase().as_str() {
            "true" | "1" => 1,
            "false" | "0" => 0,
            _ => return None,
        }),
        DataType::Timestamp => Value::Long(trimmed.parse().ok().or_else(|| instant_ms(trimmed))?),
        DataType::String => Value::Str(text.into()),
        DataType::Json | DataType::Map => {
            let null = data_type == DataType::Json && trimmed == "null";
            let fits = null
                || serde_json::from_str::<Json>(trimmed)
                    .is_ok_and(|json| data_type == DataType::Json || json.is_object());
            return fits.then(|| Value::Str(text.into()));
        }
        DataType::Bytes => Value::Bytes(hex(trimmed)?.into()),
        DataType::Uuid => {
            let bytes = hex(&trimmed.replace('-', ""))?;
            (bytes.len() == 16).then(|| Value::Bytes(bytes.into()))?
        }
    })
}

/// A whole number, also written with a fraction of zeros (`0.0`).
fn whole(text: &str) -> Option<i64> {
    let (digits, fraction) = text.split_once('.').unwrap_or((text, ""));
    fraction.bytes().all(|digit| digit == b'0').then(|| digits.parse().ok())?
}

/// A decimal in plain notation, without trailing zeros of a fraction.
fn plain(text: &str) -> Option<String> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], unsigned[at + 1..].parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    // The bound keeps a slip of the exponent from becoming megabytes of zeros.
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) || exponent.unsigned_abs() > 1000 {
        return None;
    }
    let point = whole.len() as i64 + i64::from(exponent);
    let missing = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    let padded = [missing(1 - point), digits, missing(point - (whole.len() + fraction.len()) as i64)].concat();
    let (whole, fraction) = padded.split_at(usize::try_from(point.max(1)).ok()?);
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let number = if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") };
    Some(if text.starts_with('-') && number != "0" { format!("-{number}") } else { number })
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |pair: &[u8]| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok();
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn decimals_in_plain_notation() {
        for (text, expected) in [
            ("0", Some("0")),
            ("-0", Some("0")),
            ("12.340", Some("12.34")),
            ("1e3", Some("1000")),
            ("1.25E2", Some("125")),
            ("1.25e1", Some("12.5")),
            ("-1.5e-3", Some("-0.0015")),
            (".5", Some("0.5")),
            ("007", Some("7")),
            ("", None),
            ("x", None),
            ("1e99999", None),
        ] {
            assert_eq!(plain(text).as_deref(), expected, "{text:?}");
        }
    }
}
