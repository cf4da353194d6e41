//! Fields as an Avro schema names them, registered or given, and their values as the decoder of tables reads them.

use super::{Batch, Read, Record, Sample};
use crate::prepare::{RecordDecoder, RecordRules};
use serde_json::{Value as Json, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use weir_formats::{DecodeSpec, registry as formats, schema_registry::RegisteredSchema};
use weir_types::{Column, ColumnName, DataType, FieldKind, FieldSpec, Schema, SchemaVersion, Value};

/// Bytes of a value in hexadecimal digits.
fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads messages of a `decoder` (`avro`, `avro-confluent`) with the columns that their schema gives.
pub(super) async fn read<'a>(
    topic: &str,
    values: &[&'a Sample],
    decoder: &'static str,
    schema: &RegisteredSchema,
    settings: &BTreeMap<String, String>,
) -> Result<Read<'a>, String> {
    let name = decoder;
    let text: Json = serde_json::from_str(&schema.text).map_err(|error| format!("its schema is no JSON: {error}"))?;
    let mut types = HashMap::new();
    let others: Vec<Json> = schema.references.iter().filter_map(|(_, text)| serde_json::from_str(text).ok()).collect();
    others.iter().chain([&text]).for_each(|schema| named(schema, &mut types));
    let Some(fields) = text["fields"].as_array().filter(|_| text["type"] == "record") else {
        return Err("its schema is no Avro record: only records have fields".to_owned());
    };
    let mut specs = vec![];
    let mut declared = HashMap::new();
    for field in fields {
        let Some(name) = field["name"].as_str() else { continue };
        let Ok(column) = ColumnName::parse(name) else { continue };
        let (data_type, multi_value) = column_of(&field["type"], &types, 0);
        declared.insert(name.to_owned(), (data_type, multi_value, format!("Avro {}", shown(&field["type"]))));
        let mut spec = FieldSpec::new(column, data_type, FieldKind::Dimension);
        spec.single_value = !multi_value;
        specs.push(spec);
    }
    let schema = Arc::new(Schema::new("inferred", SchemaVersion(1), specs));
    let spec = DecodeSpec { schema: schema.clone(), continue_on_error: true, topic: topic.into(), raw: 0 };
    let decoder = formats::decoder(name, settings, spec).map_err(|error| error.to_string())?;
    let mut decoder = RecordDecoder::new(decoder, RecordRules { schema: schema.clone(), time: None });
    let (mut records, mut unreadable) = (vec![], vec![]);
    for sample in values {
        let batch = Batch(std::slice::from_ref(*sample));
        decoder.ready(&batch, 0, 1).await?;
        let prepared = decoder.decode(&batch, 0, 1);
        if prepared.rows.rows() == 0 {
            unreadable.push(*sample);
            continue;
        }
        let cells = schema.fields().iter().zip(&prepared.rows.columns);
        let record: Record = cells.map(|(field, column)| (field.name.to_string(), cell(field, column))).collect();
        records.push((record, *sample));
    }
    Ok(Read { decoder: name, settings: settings.clone(), records, unreadable, odd: vec![], declared })
}

/// The value of the first row.
fn cell(field: &FieldSpec, column: &Column) -> Json {
    if column.nulls.binary_search(&0).is_ok() {
        return Json::Null;
    }
    let value = |at: usize| match column.data.get(at) {
        Value::Int(number) if field.data_type == DataType::Boolean => json!(number != 0),
        Value::Int(number) => json!(number),
        Value::Long(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Double(number) => json!(number),
        Value::Str(text) => json!(&*text),
        Value::Bytes(bytes) => json!(digits(&bytes)),
    };
    let mut values = column.values_of(0).map(value);
    if field.single_value { values.next().unwrap_or(Json::Null) } else { values.collect() }
}

/// Collects the types that have names: later ones are called by them.
fn named<'a>(schema: &'a Json, types: &mut HashMap<String, &'a Json>) {
    match schema {
        Json::Array(any) => any.iter().for_each(|schema| named(schema, types)),
        Json::Object(object) => {
            if let Some(name) = schema["name"].as_str().filter(|_| schema["type"].is_string()) {
                let simple = name.rsplit('.').next().unwrap_or(name);
                types.insert(simple.to_owned(), schema);
            }
            let fields = object.get("fields").and_then(Json::as_array).into_iter().flatten();
            fields.for_each(|field| named(&field["type"], types));
            ["items", "values", "type"].iter().filter_map(|key| object.get(*key)).for_each(|part| named(part, types));
        }
        _ => {}
    }
}

/// The column that holds values of a type, and whether they are arrays.
fn column_of(schema: &Json, types: &HashMap<String, &Json>, depth: usize) -> (DataType, bool) {
    // A type may be made of itself.
    if depth > 16 {
        return (DataType::Json, false);
    }
    let below = |schema| column_of(schema, types, depth + 1);
    match schema {
        Json::Array(any) => {
            let mut kinds: Vec<(DataType, bool)> = any.iter().filter(|kind| **kind != "null").map(below).collect();
            kinds.dedup();
            match kinds.as_slice() {
                [one] => *one,
                [(a, false), (b, false)]
                    if [*a, *b].iter().all(|kind| matches!(kind, DataType::Int | DataType::Long)) =>
                {
                    (DataType::Long, false)
                }
                _ => (DataType::String, false),
            }
        }
        Json::Object(object) => match (schema["logicalType"].as_str(), schema["type"].as_str()) {
            (Some("timestamp-millis" | "timestamp-micros" | "timestamp-nanos"), _) => (DataType::Timestamp, false),
            (Some("decimal"), _) => (DataType::BigDecimal, false),
            (Some("date" | "uuid" | "time-millis" | "time-micros"), _) => (DataType::String, false),
            (_, Some("array")) => match below(&schema["items"]) {
                (kind, false) if kind != DataType::Json => (kind, true),
                _ => (DataType::Json, false),
            },
            (_, Some("enum")) => (DataType::String, false),
            (_, Some("fixed")) => (DataType::Bytes, false),
            (_, Some("record" | "map")) => (DataType::Json, false),
            _ => object.get("type").map_or((DataType::String, false), below),
        },
        Json::String(name) => match name.as_str() {
            "boolean" => (DataType::Boolean, false),
            "int" => (DataType::Int, false),
            "long" => (DataType::Long, false),
            "float" => (DataType::Float, false),
            "double" => (DataType::Double, false),
            "bytes" => (DataType::Bytes, false),
            "string" | "null" => (DataType::String, false),
            name => match types.get(name.rsplit('.').next().unwrap_or(name)) {
                Some(schema) => below(schema),
                None => (DataType::Json, false),
            },
        },
        _ => (DataType::String, false),
    }
}

/// A type for people.
fn shown(schema: &Json) -> String {
    match schema {
        Json::String(name) => name.clone(),
        Json::Array(any) => any.iter().map(shown).collect::<Vec<_>>().join(" or "),
        Json::Object(_) => {
            let kind = schema["logicalType"].as_str().or_else(|| schema["type"].as_str());
            kind.map_or_else(|| shown(&schema["type"]), str::to_owned)
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_follow_from_avro_types() {
        let record = json!({"type": "record", "name": "a.Place", "fields": [{"name": "x", "type": "int"}]});
        let kind = json!({"type": "enum", "name": "Kind", "symbols": ["A"]});
        let whole = json!({"type": "record", "name": "r", "fields": [{"name": "p", "type": record}, {"name": "k", "type": kind}]});
        let mut types = HashMap::new();
        named(&whole, &mut types);
        for (schema, column) in [
            (json!("long"), (DataType::Long, false)),
            (json!(["null", "string"]), (DataType::String, false)),
            (json!(["null", {"type": "long", "logicalType": "timestamp-millis"}]), (DataType::Timestamp, false)),
            (json!({"type": "bytes", "logicalType": "decimal"}), (DataType::BigDecimal, false)),
            (json!({"type": "array", "items": "double"}), (DataType::Double, true)),
            (json!({"type": "array", "items": "a.Place"}), (DataType::Json, false)),
            (json!("Kind"), (DataType::String, false)),
            (json!("a.Place"), (DataType::Json, false)),
            (json!({"type": "map", "values": "int"}), (DataType::Json, false)),
            (json!(["int", "long"]), (DataType::Long, false)),
            (json!(["int", "string"]), (DataType::String, false)),
            (json!({"type": "string", "avro.java.string": "String"}), (DataType::String, false)),
        ] {
            assert_eq!(column_of(&schema, &types, 0), column, "{schema}");
        }
        assert_eq!(
            shown(&json!(["null", {"type": "long", "logicalType": "timestamp-millis"}])),
            "null or timestamp-millis"
        );
    }
}
