//! The decoders by name, and the class names under which Pinot's users know them.

use crate::{
    decoder::{DecodeSpec, Decoder},
    error::FormatError,
    json::JsonDecoder,
};
use std::collections::BTreeMap;

/// The decoders that are built in.
pub const NAMES: [&str; 1] = ["json"];

/// Simple class names of Pinot's decoders and our names of them.
const CLASSES: [(&str, &str); 2] = [("JSONMessageDecoder", "json"), ("KafkaJSONMessageDecoder", "json")];

/// Simple class names of Pinot's decoders that are not built yet, with the format they read.
const UNBUILT: [(&str, &str); 11] = [
    ("CSVMessageDecoder", "csv"),
    ("SimpleAvroMessageDecoder", "avro"),
    ("KafkaAvroMessageDecoder", "avro with schema hashes"),
    ("KafkaConfluentSchemaRegistryAvroMessageDecoder", "avro with a Confluent registry"),
    ("KafkaConfluentSchemaRegistryJsonMessageDecoder", "json with a Confluent registry"),
    ("KafkaConfluentSchemaRegistryProtoBufMessageDecoder", "protobuf with a Confluent registry"),
    ("ProtoBufMessageDecoder", "protobuf"),
    ("ProtoBufCodeGenMessageDecoder", "protobuf from generated classes"),
    ("ArrowMessageDecoder", "arrow"),
    ("BSONMessageDecoder", "bson"),
    ("CLPLogMessageDecoder", "clp logs"),
];

/// A class name without its package: packages moved over the years, simple names did not.
fn simple(class: &str) -> &str {
    class.trim().rsplit('.').next().unwrap_or_default()
}

/// Our name of the decoder that a class name (in any package) or one of our own names means.
#[must_use]
pub fn resolve(class_name: &str) -> Option<&'static str> {
    let own = NAMES.into_iter().find(|name| *name == class_name.trim());
    own.or_else(|| CLASSES.into_iter().find(|(class, _)| *class == simple(class_name)).map(|(_, name)| name))
}

/// The format of a decoder class that Pinot has and that is not built here yet.
#[must_use]
pub fn known(class_name: &str) -> Option<&'static str> {
    UNBUILT.into_iter().find(|(class, _)| *class == simple(class_name)).map(|(_, format)| format)
}

/// Makes the decoder `name` (one of [`NAMES`], or a class name) with its `decoder.prop.` settings (without the prefix).
/// Settings that it does not know are passed over.
pub fn decoder(
    name: &str,
    settings: &BTreeMap<String, String>,
    spec: DecodeSpec,
) -> Result<Box<dyn Decoder>, FormatError> {
    match resolve(name) {
        Some("json") => {
            check_json(settings)?;
            Ok(Box::new(JsonDecoder::new(&spec)))
        }
        _ => Err(FormatError::UnknownDecoder {
            name: name.to_owned(),
            remedy: match known(name) {
                Some(format) => format!("reading {format} is not built yet; use {}", NAMES.join(", ")),
                None => format!("use {}, or the class name of a Pinot decoder for it", NAMES.join(", ")),
            },
        }),
    }
}

fn check_json(settings: &BTreeMap<String, String>) -> Result<(), FormatError> {
    match settings.get("jsonFormat") {
        Some(value) if !value.trim().eq_ignore_ascii_case("TEXT") => Err(FormatError::Setting {
            key: "jsonFormat".to_owned(),
            value: value.clone(),
            reason: "only TEXT is read".to_owned(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use weir_types::{Schema, SchemaVersion};

    fn make(name: &str, settings: &[(&str, &str)]) -> Result<Box<dyn Decoder>, FormatError> {
        let settings = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let schema = Arc::new(Schema::new("t", SchemaVersion(1), vec![]));
        decoder(name, &settings, DecodeSpec { schema, continue_on_error: false })
    }

    #[test]
    fn class_names_resolve_in_any_package() {
        for class in [
            "json",
            "org.apache.pinot.plugin.inputformat.json.JSONMessageDecoder",
            "org.apache.pinot.plugin.stream.kafka.KafkaJSONMessageDecoder",
            "org.apache.pinot.core.realtime.impl.kafka.KafkaJSONMessageDecoder",
        ] {
            assert_eq!(resolve(class), Some("json"), "{class}");
            assert!(make(class, &[("recordExtractorClass", "x")]).is_ok());
        }
        let avro = "org.apache.pinot.core.realtime.stream.SimpleAvroMessageDecoder";
        assert_eq!((resolve(avro), known(avro)), (None, Some("avro")));
        assert_eq!((resolve("JSON"), known("org.x.NoDecoder")), (None, None));
    }

    #[test]
    fn errors_name_the_key_and_the_remedy() {
        assert!(make("json", &[("jsonFormat", "text")]).is_ok());
        let error = make("json", &[("jsonFormat", "CBOR")]).err().unwrap().to_string();
        assert_eq!(error, "decoder setting 'jsonFormat' cannot be 'CBOR': only TEXT is read");
        let error = make("x.CSVMessageDecoder", &[]).err().unwrap().to_string();
        assert_eq!(error, "no decoder is named 'x.CSVMessageDecoder': reading csv is not built yet; use json");
        assert!(make("x.Y", &[]).is_err());
    }
}
