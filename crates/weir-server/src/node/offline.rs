//! What keeps a config from being taken and can be told without a node: settings of clients and decoders, expressions, the time
//! column's format.

use crate::node::TableConfigs;
use serde_json::Value as Json;
use std::sync::Arc;
use weir_formats::{DecodeSpec, FormatError, registry, stages::TimeCheck, transform::TransformPlan};
use weir_streams::{StreamError, Streams};
use weir_types::StreamSpec;

/// What was found: errors, and what depends on files of the machine that reads the streams.
#[derive(Debug, Default)]
pub struct Unmakeable {
    /// What is wrong wherever it runs.
    pub errors: Vec<String>,
    /// What is wrong where this runs.
    pub here: Vec<String>,
}

/// Settings that name files are right or wrong where the node runs.
fn names_a_file(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.ends_with("location") || key.contains("file")
}

impl TableConfigs {
    /// Makes clients and decoders of the settings, and asks nobody.
    #[must_use]
    pub fn unmakeable(&self) -> Unmakeable {
        let (spec, schema) = (&self.realtime.spec, Arc::new(self.schema.schema.clone()));
        let mut found = Unmakeable::default();
        let mut add = |key: &str, text: String| {
            let list = if names_a_file(key) { &mut found.here } else { &mut found.errors };
            if !list.contains(&text) {
                list.push(text);
            }
        };
        for stream in spec.streams.iter().chain(spec.patterns.iter().map(|pattern| pattern.asked())) {
            for (key, error) in wrong_of_client(stream) {
                let path = self.place_of(stream, &key);
                let remedy = if error.contains(UNKNOWN) { "; remove it, or correct its name" } else { "" };
                add(&key, format!("{path}: {error}{remedy}"));
            }
            for (key, error) in self.wrong_of_decoder(stream, &schema) {
                let path = self.place_of(stream, &key);
                add(&key, format!("{path}: topic {}: {error}", stream.topic));
            }
        }
        if let Err(error) = TransformPlan::new(&schema, &spec.expressions, spec.continue_on_error) {
            add("", error.to_string());
        }
        if let Some(column) = &spec.time_column
            && let Err(error) = TimeCheck::new(&schema, column, spec.row_time_check, spec.continue_on_error, 0)
        {
            add("", error.to_string());
        }
        found
    }

    /// Where in the document a setting of a stream stands, or would.
    fn place_of(&self, stream: &StreamSpec, key: &str) -> String {
        let config = &self.realtime.json;
        let listed = &config["ingestionConfig"]["streamIngestionConfig"]["streamConfigMaps"];
        let listed = listed
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(at, map)| (format!("ingestionConfig.streamIngestionConfig.streamConfigMaps[{at}]"), map));
        let single = ("tableIndexConfig.streamConfigs".to_owned(), &config["tableIndexConfig"]["streamConfigs"]);
        let kind = &stream.stream_type;
        let names = ["topic.name", "topic.pattern"].map(|name| format!("stream.{kind}.{name}"));
        let is_its = |map: &Json| names.iter().any(|name| map[name] == stream.topic.as_str());
        let maps: Vec<(String, &Json)> = listed.chain([single]).filter(|(_, map)| map.is_object()).collect();
        // The one map of a pattern is not known by a topic.
        let found = maps.iter().find(|(_, map)| is_its(map)).or_else(|| maps.first().filter(|_| maps.len() == 1));
        let Some((path, map)) = found else { return format!("realtime: stream {}", stream.topic) };
        let ending = format!(".{key}");
        let keys = map.as_object().into_iter().flat_map(|map| map.keys());
        let written =
            keys.filter(|written| *written == key || written.ends_with(&ending)).min_by_key(|written| written.len());
        match written {
            _ if key.is_empty() => format!("realtime.{path}"),
            Some(written) => format!("realtime.{path}.{written}"),
            None => format!("realtime.{path}.{key}"),
        }
    }

    /// What is wrong with the settings of a stream's decoder: one after the other is left out until the rest is taken.
    fn wrong_of_decoder(&self, stream: &StreamSpec, schema: &Arc<weir_types::Schema>) -> Vec<(String, String)> {
        let mut asked = stream.clone();
        let mut found: Vec<(String, String)> = vec![];
        while let Err(error) = self.decoder(&asked, schema) {
            let key = if let FormatError::Setting { key, .. } = &error { key.clone() } else { String::new() };
            if !found.is_empty() && (key.is_empty() || found.iter().any(|(known, _)| *known == key)) {
                // It may be for want of what was left out.
                break;
            }
            let left_out = asked.decoder_settings.remove(&key).is_some();
            found.push((key, error.to_string()));
            if !left_out {
                break;
            }
        }
        found
    }

    fn decoder(&self, stream: &StreamSpec, schema: &Arc<weir_types::Schema>) -> Result<(), FormatError> {
        let continue_on_error = self.realtime.spec.continue_on_error;
        let topic = stream.topic.as_str().into();
        let asked = DecodeSpec { schema: schema.clone(), continue_on_error, topic, raw: 0 };
        registry::decoder(&stream.decoder, &stream.decoder_settings, asked).map(drop)
    }
}

/// What the client says of a name that it does not know.
const UNKNOWN: &str = "No such configuration property";

/// What is wrong with the settings of a stream's client, each with its key: one after the other is left out until the rest is
/// taken.
fn wrong_of_client(stream: &StreamSpec) -> Vec<(String, String)> {
    let mut asked = stream.clone();
    let mut found: Vec<(String, String)> = vec![];
    while let Err(error) = Streams::check(&asked) {
        let StreamError::Setting { key, .. } = &error else {
            if found.is_empty() {
                found.push((String::new(), error.to_string()));
            }
            break;
        };
        if found.iter().any(|(known, _)| known == key) {
            // It is missed: that is for want of what was left out.
            break;
        }
        let left_out = match key.as_str() {
            // A client needs some broker.
            "stream.kafka.broker.list" => {
                asked.settings.insert("bootstrap.servers".to_owned(), "localhost:9092".to_owned()).is_some()
            }
            key => {
                asked.settings.remove(key.strip_prefix("stream.kafka.").unwrap_or(key)).is_some()
                    || asked.settings.remove(key).is_some()
            }
        };
        found.push((key.clone(), error.to_string()));
        if !left_out {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn unmakeable(settings: &[(&str, &str)]) -> Unmakeable {
        let mut map = json!({
            "streamType": "kafka", "stream.kafka.topic.name": "t", "stream.kafka.broker.list": "localhost:9092",
            "stream.kafka.decoder.class.name": "csv",
        });
        settings.iter().for_each(|(key, value)| map[*key] = json!(value));
        let document = json!({
            "tableName": "t",
            "schema": {"schemaName": "t", "dimensionFieldSpecs": [{"name": "country", "dataType": "STRING"}]},
            "realtime": {"tableName": "t", "tableType": "REALTIME", "ingestionConfig": {
                "streamIngestionConfig": {"streamConfigMaps": [map]}}},
        });
        TableConfigs::parse(&document).unwrap().unmakeable()
    }

    #[tokio::test]
    async fn settings_of_clients_and_decoders_are_read_without_a_node() {
        let found = unmakeable(&[]);
        assert!(found.errors.is_empty() && found.here.is_empty(), "{found:?}");
        let found = unmakeable(&[("stream.kafka.decoder.prop.delimiter", ";;")]);
        assert!(
            found.errors.len() == 1 && found.errors[0].contains("decoder setting 'delimiter' cannot be ';;'"),
            "{found:?}"
        );
        let found = unmakeable(&[("security.protocol", "PLAIN")]);
        assert!(found.errors.len() == 1 && found.errors[0].contains("security.protocol"), "{found:?}");
        let found = unmakeable(&[("max.poll.records.many", "5"), ("stream.kafka.decoder.prop.skipHeader", "perhaps")]);
        assert!(found.errors.iter().any(|error| error.contains("skipHeader")), "{found:?}");
        // All at once, each with its place.
        let found = unmakeable(&[
            ("max.poll.records.many", "5"),
            ("fetch.min.bytes", "some"),
            ("security.protocol", "PLAIN"),
            ("stream.kafka.broker.list", "localhost:99999"),
            ("stream.kafka.decoder.prop.skipHeader", "perhaps"),
            ("stream.kafka.decoder.prop.delimiter", ";;"),
        ]);
        let map = "realtime.ingestionConfig.streamIngestionConfig.streamConfigMaps[0]";
        for key in [
            "max.poll.records.many",
            "fetch.min.bytes",
            "security.protocol",
            "stream.kafka.broker.list",
            "stream.kafka.decoder.prop.skipHeader",
            "stream.kafka.decoder.prop.delimiter",
        ] {
            let of_key = found.errors.iter().filter(|error| error.starts_with(&format!("{map}.{key}: "))).count();
            assert_eq!(of_key, 1, "{key}: {found:?}");
        }
        assert_eq!(found.errors.len(), 6, "{found:?}");
        assert!(found.errors.iter().any(|error| error.contains("remove it, or correct its name")), "{found:?}");
        let secret = unmakeable(&[
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "u"),
            ("sasl.password", "env:NOT_HERE_AT_ALL"),
        ]);
        assert!(secret.errors.is_empty(), "what is kept on the node is not missed here: {secret:?}");
    }
}
