//! What was inferred of a topic: the `tableConfigs` document that follows from it, and the reasons beside it.

use serde_json::{Map, Value as Json, json};
use weir_ingest::infer::{Field, Index, Inferred, Role, Verified};
use weir_types::TopicName;

/// The stream's own settings are below this prefix.
fn prefix(stream: &Map<String, Json>) -> String {
    format!("stream.{}.", stream.get("streamType").and_then(Json::as_str).unwrap_or_default())
}

/// A table's name for a topic: what a name must not hold becomes `_`.
#[must_use]
pub fn table_name_of(topic: &TopicName) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut name: String = topic.as_str().chars().map(plain).collect();
    // Two of them separate the parts of a segment's name.
    while name.contains("__") {
        name = name.replace("__", "_");
    }
    // These end the names of tables with their type.
    for kind in ["_REALTIME", "_OFFLINE"] {
        if name.ends_with(kind) {
            name.push_str("_topic");
        }
    }
    name
}

/// A document that only serves to read the settings of a stream: what its messages hold is not known yet.
#[must_use]
pub fn skeleton(name: &str, stream: &Map<String, Json>) -> Json {
    let mut stream = stream.clone();
    stream.insert(format!("{}decoder.class.name", prefix(&stream)), json!("json"));
    let schema = json!({"schemaName": name, "dimensionFieldSpecs": [{"name": "value", "dataType": "STRING"}]});
    document(name, schema, realtime(name, stream))
}

fn document(name: &str, schema: Json, realtime: Json) -> Json {
    json!({"tableName": name, "schema": schema, "realtime": realtime})
}

fn realtime(name: &str, stream: Map<String, Json>) -> Json {
    json!({
        "tableName": name,
        "tableType": "REALTIME",
        "segmentsConfig": {"replication": "1"},
        "tenants": {},
        "tableIndexConfig": {},
        "ingestionConfig": {"streamIngestionConfig": {"streamConfigMaps": [stream]}},
        "metadata": {},
    })
}

/// The document: what `weir check`, `weir try` and `weir apply` take.
#[must_use]
pub fn inferred_document(name: &str, stream: &Map<String, Json>, inferred: &Inferred) -> Json {
    let (mut dimensions, mut metrics, mut times) = (vec![], vec![], vec![]);
    for field in &inferred.fields {
        let mut spec = json!({"name": field.name, "dataType": field.data_type.as_str()});
        if let Some(length) = field.max_length {
            spec["maxLength"] = json!(length);
        }
        match &field.role {
            Role::Time { format, granularity } => {
                spec["format"] = json!(format);
                spec["granularity"] = json!(granularity);
                times.push(spec);
            }
            // Rows are found by their key, which is never summed up.
            Role::Metric if inferred.key.as_ref() != Some(&field.name) => metrics.push(spec),
            Role::Metric | Role::Dimension => {
                if field.multi_value {
                    spec["singleValueField"] = json!(false);
                }
                dimensions.push(spec);
            }
        }
    }
    let mut schema = json!({"schemaName": name});
    if let Some(key) = &inferred.key {
        schema["primaryKeyColumns"] = json!([key]);
    }
    for (kind, specs) in
        [("dimensionFieldSpecs", dimensions), ("metricFieldSpecs", metrics), ("dateTimeFieldSpecs", times)]
    {
        if !specs.is_empty() {
            schema[kind] = Json::Array(specs);
        }
    }
    let (mut stream, prefix) = (stream.clone(), prefix(stream));
    stream.insert(format!("{prefix}decoder.class.name"), json!(inferred.decoder));
    for (key, value) in &inferred.decoder_settings {
        stream.insert(format!("{prefix}decoder.prop.{key}"), json!(value));
    }
    // What was looked at is there already: the table begins with it.
    stream.entry(format!("{prefix}consumer.prop.auto.offset.reset")).or_insert_with(|| json!("smallest"));
    let mut realtime = realtime(name, stream);
    if let Some(time) = &inferred.time {
        realtime["segmentsConfig"]["timeColumnName"] = json!(time);
    }
    for (list, index) in [
        ("invertedIndexColumns", Index::Inverted),
        ("rangeIndexColumns", Index::Range),
        ("noDictionaryColumns", Index::Raw),
    ] {
        let names: Vec<&str> =
            inferred.fields.iter().filter(|field| field.index == index).map(|field| field.name.as_str()).collect();
        if !names.is_empty() {
            realtime["tableIndexConfig"][list] = json!(names);
        }
    }
    document(name, schema, realtime)
}

fn field_json(field: &Field) -> Json {
    let role = match field.role {
        Role::Dimension => "DIMENSION",
        Role::Metric => "METRIC",
        Role::Time { .. } => "DATE_TIME",
    };
    let index = match field.index {
        Index::None => Json::Null,
        Index::Inverted => json!("INVERTED"),
        Index::Range => json!("RANGE"),
        Index::Raw => json!("NO_DICTIONARY"),
    };
    json!({
        "name": field.name, "dataType": field.data_type.as_str(), "multiValue": field.multi_value, "fieldType": role,
        "index": index, "records": field.records, "present": field.present, "nulls": field.nulls,
        "distinct": field.distinct, "min": field.min, "max": field.max, "why": field.why, "doubt": field.doubt,
        "maxLength": field.max_length,
    })
}

/// The whole answer: the document, each field with its reason, what was read, and what the table would make of it.
#[must_use]
pub fn inferred_answer(document: &Json, inferred: &Inferred, verified: &Verified) -> Json {
    let sampled = &inferred.sampled;
    json!({
        "document": document,
        "decoder": inferred.decoder,
        "fields": inferred.fields.iter().map(field_json).collect::<Vec<_>>(),
        "notes": inferred.notes,
        "sampled": {
            "messages": sampled.samples.len(), "partitions": sampled.partitions.len(), "held": sampled.held(),
            "cut": sampled.cut,
        },
        "verified": {
            "rows": verified.rows, "altered": verified.altered, "rejected": verified.rejected,
            "others": verified.others, "first": verified.first,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_gives_a_name_that_a_table_may_have() {
        for (topic, name) in
            [("orders", "orders"), ("eu.shop__orders-1", "eu_shop_orders_1"), ("t_OFFLINE", "t_OFFLINE_topic")]
        {
            let named = table_name_of(&TopicName::parse(topic).unwrap());
            assert_eq!(named, name);
            assert_eq!(weir_types::TableName::parse(&named).unwrap().as_str(), name);
        }
    }
}
