//! The decoders by name, the class names under which Pinot's users know them, and the settings that each knows.

use crate::{
    arrow_ipc::{self, ArrowDecoder},
    avro::{self, AvroDecoder, RegisteredAvro},
    bson::BsonDecoder,
    clp::{self, ClpDecoder},
    confluent::RegisteredJson,
    csv::{self, CsvDecoder},
    decoder::{DecodeSpec, Decoder},
    error::FormatError,
    json::{
        JsonDecoder,
        binary::{BinaryFormat, BinaryJsonDecoder},
    },
    own::{self, AddedDecoder},
    protobuf::{self, ProtoDecoder, RegisteredProto},
    schema_registry::{self, SchemaRegistry},
};
use std::collections::BTreeMap;

type Settings = BTreeMap<String, String>;
type Made = Result<Box<dyn Decoder>, FormatError>;

/// A decoder that is built in.
struct Member {
    name: &'static str,
    /// Simple class names of Pinot's: packages moved over the years, simple names did not.
    classes: &'static [&'static str],
    /// The settings that it knows.
    keys: &'static [&'static [&'static str]],
    make: fn(&Settings, DecodeSpec) -> Made,
}

const MEMBERS: &[Member] = &[
    Member {
        name: "json",
        classes: &["JSONMessageDecoder", "KafkaJSONMessageDecoder"],
        keys: &[&["jsonFormat"]],
        make: json,
    },
    Member {
        name: "csv",
        classes: &["CSVMessageDecoder"],
        keys: &[csv::KEYS],
        make: |settings, spec| CsvDecoder::new(settings, &spec).map(boxed),
    },
    Member {
        name: "avro",
        classes: &["SimpleAvroMessageDecoder"],
        keys: &[avro::KEYS],
        make: |settings, spec| AvroDecoder::new(settings, &spec).map(boxed),
    },
    Member {
        name: "protobuf",
        classes: &["ProtoBufMessageDecoder"],
        keys: &[protobuf::KEYS],
        make: |settings, spec| ProtoDecoder::new(settings, &spec).map(boxed),
    },
    Member {
        name: "arrow",
        classes: &["ArrowMessageDecoder"],
        keys: &[arrow_ipc::KEYS],
        make: |settings, spec| ArrowDecoder::new(settings, &spec).map(boxed),
    },
    Member {
        name: "clp",
        classes: &["CLPLogMessageDecoder"],
        keys: &[clp::KEYS],
        make: |settings, spec| ClpDecoder::new(settings, &spec).map(boxed),
    },
    Member {
        name: "bson",
        classes: &["BSONMessageDecoder"],
        keys: &[],
        make: |_, spec| Ok(boxed(BsonDecoder::new(&spec))),
    },
    Member {
        name: "avro-hashed",
        classes: &["KafkaAvroMessageDecoder"],
        keys: &[AVRO_KEYS, schema_registry::KEYS],
        make: |settings, spec| RegisteredAvro::hashed(settings, &spec).map(boxed),
    },
    Member {
        name: "avro-confluent",
        classes: &["KafkaConfluentSchemaRegistryAvroMessageDecoder"],
        keys: &[AVRO_KEYS, schema_registry::KEYS],
        make: |settings, spec| RegisteredAvro::numbered(settings, &spec).map(boxed),
    },
    Member {
        name: "json-confluent",
        classes: &["KafkaConfluentSchemaRegistryJsonMessageDecoder"],
        keys: &[schema_registry::KEYS],
        // The registry is not asked, but a wrong setting of it is told.
        make: |settings, spec| {
            SchemaRegistry::shared(settings, &spec.topic, false).map(|_| boxed(RegisteredJson::new(&spec)))
        },
    },
    Member {
        name: "protobuf-confluent",
        classes: &["KafkaConfluentSchemaRegistryProtoBufMessageDecoder"],
        keys: &[schema_registry::KEYS],
        make: |settings, spec| RegisteredProto::new(settings, &spec).map(boxed),
    },
];

/// What the decoders of Avro with a registry know beside the registry's own settings.
const AVRO_KEYS: &[&str] = &["extractRawTimeValues"];

/// Settings of every decoder: the classes that they name say how Pinot takes a record apart, which is the decoder's here.
const COMMON_KEYS: [&str; 2] = ["recordExtractorClass", "recordExtractorConfigClass"];

/// Simple class names of Pinot's decoders that are not here, and what to do.
const ABSENT: [(&str, &str); 1] = [(
    "ProtoBufCodeGenMessageDecoder",
    "classes from a jar cannot be run: make a descriptor set of the same .proto files (protoc --include_imports \
         --descriptor_set_out=FILE) and use ProtoBufMessageDecoder with descriptorFile and protoClassName",
)];

fn boxed(decoder: impl Decoder + 'static) -> Box<dyn Decoder> {
    Box::new(decoder)
}

/// The names of the decoders, those that were added to this binary last.
pub fn names() -> impl Iterator<Item = &'static str> {
    MEMBERS.iter().map(|member| member.name).chain(own::added().iter().map(|own| own.name))
}

fn added(name: &str) -> Option<&'static AddedDecoder> {
    own::added().iter().find(|own| own.name == name.trim())
}

/// A class name without its package.
fn simple(class: &str) -> &str {
    class.trim().rsplit('.').next().unwrap_or_default()
}

fn member(class_name: &str) -> Option<&'static Member> {
    let own = MEMBERS.iter().find(|member| member.name == class_name.trim());
    own.or_else(|| MEMBERS.iter().find(|member| member.classes.contains(&simple(class_name))))
}

/// Our name of the decoder that a class name (in any package) or one of our own names means.
#[must_use]
pub fn resolve(class_name: &str) -> Option<&'static str> {
    member(class_name).map(|member| member.name).or_else(|| added(class_name).map(|own| own.name))
}

/// For a decoder class that Pinot has and that is not here: why, and what to do.
#[must_use]
pub fn absent(class_name: &str) -> Option<&'static str> {
    ABSENT.into_iter().find(|(class, _)| *class == simple(class_name)).map(|(_, remedy)| remedy)
}

/// Whether the decoder of that name knows a `decoder.prop.` setting (without the prefix).
#[must_use]
pub fn knows(name: &str, key: &str) -> bool {
    COMMON_KEYS.contains(&key)
        || member(name).is_some_and(|member| member.keys.iter().any(|keys| keys.contains(&key)))
        || added(name).is_some_and(|own| own.keys.contains(&key))
}

/// Makes the decoder `name` (one of [`names`], or a class name) with its `decoder.prop.` settings (without the prefix).
/// Settings that it does not know are passed over.
pub fn decoder(name: &str, settings: &Settings, spec: DecodeSpec) -> Made {
    match (member(name), added(name)) {
        (Some(member), _) => (member.make)(settings, spec),
        (None, Some(own)) => own::make(own, settings, &spec),
        (None, None) => Err(FormatError::UnknownDecoder {
            name: name.to_owned(),
            remedy: {
                let here = names().collect::<Vec<_>>().join(", ");
                match absent(name) {
                    Some(why) => format!("{why}; use {here}"),
                    None => format!("use {here}, or the class name of a Pinot decoder for it"),
                }
            },
        }),
    }
}

fn json(settings: &Settings, spec: DecodeSpec) -> Made {
    let value = settings.get("jsonFormat").map_or("TEXT", |value| value.trim());
    let format = match value.to_ascii_uppercase().as_str() {
        "TEXT" => return Ok(boxed(JsonDecoder::new(&spec))),
        "CBOR" => BinaryFormat::Cbor,
        "SMILE" => BinaryFormat::Smile,
        "AUTO" => BinaryFormat::Auto,
        _ => {
            return Err(FormatError::Setting {
                key: "jsonFormat".to_owned(),
                value: value.to_owned(),
                reason: "TEXT, CBOR, SMILE and AUTO (of these three) are read".to_owned(),
            });
        }
    };
    Ok(boxed(BinaryJsonDecoder::new(&spec, format)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use weir_types::{Schema, SchemaVersion};

    fn make(name: &str, settings: &[(&str, &str)]) -> Made {
        let settings = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let schema = Arc::new(Schema::new("t", SchemaVersion(1), vec![]));
        decoder(name, &settings, DecodeSpec { schema, continue_on_error: false, topic: "t".into(), raw: 0 })
    }

    #[test]
    fn class_names_resolve_in_any_package() {
        for (class, name) in [
            ("json", "json"),
            ("org.apache.pinot.plugin.inputformat.json.JSONMessageDecoder", "json"),
            ("org.apache.pinot.plugin.stream.kafka.KafkaJSONMessageDecoder", "json"),
            ("org.apache.pinot.core.realtime.impl.kafka.KafkaJSONMessageDecoder", "json"),
            ("org.apache.pinot.plugin.inputformat.csv.CSVMessageDecoder", "csv"),
            ("org.apache.pinot.plugin.inputformat.arrow.ArrowMessageDecoder", "arrow"),
            ("org.apache.pinot.plugin.inputformat.bson.BSONMessageDecoder", "bson"),
            ("org.apache.pinot.plugin.inputformat.clplog.CLPLogMessageDecoder", "clp"),
        ] {
            assert_eq!(resolve(class), Some(name), "{class}");
            assert_eq!(absent(class), None, "{class}");
            assert!(make(class, &[("recordExtractorClass", "x")]).is_ok());
        }
        // Those that need settings to be made.
        for (class, name) in [
            ("org.apache.pinot.plugin.inputformat.avro.SimpleAvroMessageDecoder", "avro"),
            ("org.apache.pinot.core.realtime.stream.SimpleAvroMessageDecoder", "avro"),
            ("org.apache.pinot.plugin.inputformat.avro.KafkaAvroMessageDecoder", "avro-hashed"),
            ("org.apache.pinot.core.realtime.impl.kafka.KafkaAvroMessageDecoder", "avro-hashed"),
            (
                "org.apache.pinot.plugin.inputformat.avro.confluent.KafkaConfluentSchemaRegistryAvroMessageDecoder",
                "avro-confluent",
            ),
            (
                "org.apache.pinot.plugin.inputformat.json.confluent.KafkaConfluentSchemaRegistryJsonMessageDecoder",
                "json-confluent",
            ),
            (
                "org.apache.pinot.plugin.inputformat.protobuf.KafkaConfluentSchemaRegistryProtoBufMessageDecoder",
                "protobuf-confluent",
            ),
            ("org.apache.pinot.plugin.inputformat.protobuf.ProtoBufMessageDecoder", "protobuf"),
        ] {
            assert_eq!((resolve(class), absent(class)), (Some(name), None), "{class}");
            assert!(matches!(make(class, &[]), Err(FormatError::Setting { .. })), "{class}");
        }
        let jar = "org.apache.pinot.plugin.inputformat.protobuf.ProtoBufCodeGenMessageDecoder";
        assert!(resolve(jar).is_none() && absent(jar).is_some());
        assert_eq!((resolve("JSON"), absent("org.x.NoDecoder")), (None, None));
    }

    #[test]
    fn every_decoder_knows_its_settings() {
        assert!(knows("json", "jsonFormat") && knows("csv", "header") && knows("csv", "recordExtractorClass"));
        assert!(!knows("json", "header") && !knows("csv", "Header") && !knows("none", "header"));
    }

    #[test]
    fn errors_name_the_key_and_the_remedy() {
        assert!(make("json", &[("jsonFormat", "text")]).is_ok());
        let error = make("json", &[("jsonFormat", "POSTGRES_JSONB")]).err().unwrap().to_string();
        assert_eq!(
            error,
            "decoder setting 'jsonFormat' cannot be 'POSTGRES_JSONB': TEXT, CBOR, SMILE and AUTO (of these three) are read"
        );
        let error = make("x.ProtoBufCodeGenMessageDecoder", &[]).err().unwrap().to_string();
        assert!(
            error.starts_with("no decoder is named 'x.ProtoBufCodeGenMessageDecoder': classes from a jar"),
            "{error}"
        );
        assert!(make("x.Y", &[]).is_err());
    }
}
