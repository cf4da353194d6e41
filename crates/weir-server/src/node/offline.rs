//! What keeps a config from being taken and can be told without a node: settings of clients and decoders, expressions, the time
//! column's format.

use crate::node::TableConfigs;
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
            match Streams::check(stream) {
                Ok(()) => {}
                Err(error) => {
                    let key = if let StreamError::Setting { key, .. } = &error { key.clone() } else { String::new() };
                    add(&key, error.to_string());
                }
            }
            if let Err(error) = self.decoder(stream, &schema) {
                let key = if let FormatError::Setting { key, .. } = &error { key.clone() } else { String::new() };
                add(&key, format!("topic {}: {error}", stream.topic));
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

    fn decoder(&self, stream: &StreamSpec, schema: &Arc<weir_types::Schema>) -> Result<(), FormatError> {
        let continue_on_error = self.realtime.spec.continue_on_error;
        let topic = stream.topic.as_str().into();
        let asked = DecodeSpec { schema: schema.clone(), continue_on_error, topic, raw: 0 };
        registry::decoder(&stream.decoder, &stream.decoder_settings, asked).map(drop)
    }
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
        let secret = unmakeable(&[
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "u"),
            ("sasl.password", "env:NOT_HERE_AT_ALL"),
        ]);
        assert!(secret.errors.is_empty(), "what is kept on the node is not missed here: {secret:?}");
    }
}
