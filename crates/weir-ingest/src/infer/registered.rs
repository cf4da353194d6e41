//! Messages whose fields a schema names: one that was given, or those of a registry.

use super::{InferRequest, Read, avro, sample::Sample, shape};
use std::{collections::BTreeSet, sync::Arc};
use weir_formats::schema_registry::{Lookup, RegisteredSchema, SchemaId, SchemaKind, SchemaRegistry};

/// Messages that are all of the schema that was given.
pub(super) async fn plain_avro<'a>(
    topic: &str,
    values: &[&'a Sample],
    request: &InferRequest,
) -> Result<Read<'a>, String> {
    let text = request.schema().cloned().unwrap_or_default();
    let schema = RegisteredSchema { kind: SchemaKind::Avro, text, references: vec![] };
    avro::read(topic, values, "avro", &schema, &request.decoder_settings).await
}

/// Schemas that a registry is asked for until it has one: bytes that are no messages of it name any.
const ASKED_MOST: usize = 20;

/// The newest schema that the registry has of those that messages name, and its number. What it has not is noted.
async fn newest(
    registry: &SchemaRegistry,
    ids: &BTreeSet<u32>,
    notes: &mut Vec<String>,
) -> Result<(u32, Arc<RegisteredSchema>), String> {
    let mut lacks = vec![];
    for id in ids.iter().rev().take(ASKED_MOST) {
        match registry.get(SchemaId::Number(*id)).await? {
            Lookup::Found(schema) => {
                if let Some(first) = lacks.first() {
                    notes.push(format!(
                        "{first}; messages that name it, or another that is not there, will be kept in quarantine"
                    ));
                }
                return Ok((*id, schema));
            }
            Lookup::Missing(why) => lacks.push(why),
        }
    }
    Err(lacks.swap_remove(0))
}

/// Messages that name their schema, with what the registry says of the newest.
pub(super) async fn registered<'a>(
    topic: &str,
    values: &[&'a Sample],
    ids: &BTreeSet<u32>,
    request: &InferRequest,
    notes: &mut Vec<String>,
) -> Result<Read<'a>, String> {
    let listed: Vec<String> = ids.iter().take(5).map(ToString::to_string).collect();
    if ids.is_empty() {
        return Err("its values do not begin with a zero byte and the number of a schema".to_owned());
    }
    if !request.names_registry() {
        return Err(format!(
            "its messages name schemas of a registry ({}): say where it is with --registry http://host:8081",
            listed.join(", ")
        ));
    }
    let settings = &request.decoder_settings;
    let registry = SchemaRegistry::shared(settings, topic, false).map_err(|error| error.to_string())?;
    let (newest, schema) = newest(&registry, ids, notes).await?;
    notes.push(format!("schema {newest} of the registry is of the type {:?}", schema.kind));
    if ids.len() > 1 {
        notes.push(format!(
            "messages name {} schemas ({}): the columns are those of {newest}",
            ids.len(),
            listed.join(", ")
        ));
    }
    match schema.kind {
        SchemaKind::Json => Ok(Read::new("json-confluent", settings.clone(), values, |bytes| {
            shape::schema_id(bytes).and_then(|_| shape::json_object(&bytes[5..]))
        })),
        SchemaKind::Avro => avro::read(topic, values, "avro-confluent", &schema, settings).await,
        SchemaKind::Protobuf => Err(format!(
            "its messages are Protobuf (schema {newest}): its fields cannot be listed here yet; describe the table by hand \
             with decoder protobuf-confluent, and look at its records with `weir try`"
        )),
    }
}
