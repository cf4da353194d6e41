//! The config reader: a `tableConfigs` document, schema and table at once, as it is posted. What holds of every document:
//! it is read or refused, twice the same; what was read is stored in a form that reads as the same table; secrets taken out
//! of it can be put back; and of a table that was taken, the path of its records can be made.

use crate::{Target, tables::capabilities};
use serde_json::Value as Json;
use weir_control::{check_schema_change, keep_stored, parse_schema, parse_table, redacted};
use weir_formats::{DecodeSpec, registry, transform::TransformPlan};

pub(crate) fn table_and_schema() -> Target {
    Box::new(|data| {
        if let Ok(document) = serde_json::from_slice::<Json>(data) {
            read(&document);
        }
    })
}

fn read(document: &Json) {
    let (schema, config) = (&document["schema"], &document["realtime"]);
    let parsed = parse_schema(schema);
    match (&parsed, parse_schema(schema)) {
        (Ok(one), Ok(two)) => {
            assert_eq!((&one.schema, &one.json), (&two.schema, &two.json), "a schema reads twice the same")
        }
        (one, two) => assert_eq!(one.as_ref().err(), two.err().as_ref(), "a schema is refused twice for the same"),
    }
    let schema = parsed.as_ref().ok().map(|parsed| &parsed.schema);
    if let Some(schema) = schema {
        assert!(check_schema_change(schema, schema).is_ok(), "a schema may stay as it is");
    }
    let table = parse_table(config, schema, &capabilities());
    match (table, schema) {
        (Err(errors), _) => {
            assert!(!errors.0.is_empty(), "a refusal says why");
            assert!(errors.0.iter().all(|error| !error.reason.is_empty()), "{errors}");
            let placed = errors.0.iter().all(|error| !error.path.is_empty());
            assert!(placed || !config.is_object(), "an error names its place: {errors}");
            return;
        }
        (Ok(_), None) => return,
        (Ok(table), Some(schema)) => {
            let again = parse_table(&table.json, Some(schema), &capabilities());
            let again = again.unwrap_or_else(|errors| panic!("what is stored reads as it did: {errors}"));
            assert_eq!(again.spec, table.spec, "what is stored means the same");
            assert_eq!(again.json, table.json, "what is stored stays as it is");
            let hidden = redacted(&table.json);
            let put = keep_stored(&hidden, Some(&table.json))
                .unwrap_or_else(|errors| panic!("secrets come back: {errors:?}"));
            assert_eq!(put, table.json, "what was got, put back, is what is stored");
            let plan = TransformPlan::new(schema, &table.spec.expressions, table.spec.continue_on_error);
            let plan = plan.unwrap_or_else(|error| panic!("the config reader has checked it: {error}"));
            let schema = std::sync::Arc::new(schema.clone());
            let (schema, raw) = plan.as_ref().map_or_else(|| (schema, 0), |plan| plan.decodes());
            for stream in &table.spec.streams {
                // A file that a document names is not for a fuzzer to read.
                if !stream.decoder_settings.contains_key("descriptorFile") {
                    let spec = DecodeSpec { schema: schema.clone(), continue_on_error: false, topic: "t".into(), raw };
                    drop(registry::decoder(&stream.decoder, &stream.decoder_settings, spec));
                }
            }
        }
    }
}
