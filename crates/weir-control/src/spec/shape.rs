//! The form in which a config is stored and shown: Pinot's order of keys, names with their kind, text in stream maps.

use crate::spec::read::scalar_text;
use serde_json::{Map, Value as Json, json};
use weir_types::TableName;

/// Keys that clients expect to find, in Pinot's order.
const FIRST: [&str; 6] = ["tableName", "tableType", "segmentsConfig", "tenants", "tableIndexConfig", "metadata"];

/// The config as it is stored and shown. Reading it gives what reading the original gave.
pub(super) fn normalised(config: &Json, name: &TableName) -> Json {
    let given = config.as_object().cloned().unwrap_or_default();
    let mut shown = Map::new();
    for key in FIRST {
        let value = given.get(key).filter(|value| !value.is_null()).cloned();
        let value = match key {
            "tableName" => json!(format!("{name}_REALTIME")),
            "tableType" => json!("REALTIME"),
            "tenants" => tenants(value),
            _ => value.unwrap_or_else(|| json!({})),
        };
        shown.insert(key.into(), value);
    }
    for (key, value) in given {
        if !shown.contains_key(&key) && !value.is_null() {
            shown.insert(key, value);
        }
    }
    shown.entry("isDimTable").or_insert(Json::Bool(false));
    if let Some(map) = shown.get_mut("tableIndexConfig").and_then(|config| config.get_mut("streamConfigs")) {
        texts(map);
    }
    let maps = shown
        .get_mut("ingestionConfig")
        .and_then(|config| config.get_mut("streamIngestionConfig"))
        .and_then(|config| config.get_mut("streamConfigMaps"))
        .and_then(Json::as_array_mut);
    maps.into_iter().flatten().for_each(texts);
    Json::Object(shown)
}

fn tenants(given: Option<Json>) -> Json {
    let mut tenants = given.unwrap_or_else(|| json!({}));
    if let Some(object) = tenants.as_object_mut() {
        for role in ["broker", "server"] {
            object.entry(role).or_insert_with(|| json!("DefaultTenant"));
        }
    }
    tenants
}

fn texts(map: &mut Json) {
    for value in map.as_object_mut().into_iter().flat_map(Map::values_mut) {
        if let Some(text) = scalar_text(value) {
            *value = Json::String(text);
        }
    }
}
