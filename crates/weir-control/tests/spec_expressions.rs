//! What a table config has made of a record.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

#[path = "support/configs.rs"]
mod configs;

use configs::{capabilities, schema_json, table_json};
use serde_json::{Value as Json, json};
use weir_control::{parse_schema, parse_table};
use weir_types::{Expressions, NotUnnested};

fn read(ingestion: &Json) -> Result<Expressions, Vec<(String, String)>> {
    let schema = parse_schema(&schema_json("orders")).unwrap().schema;
    let mut config = table_json("orders");
    for (key, value) in ingestion.as_object().unwrap() {
        config["ingestionConfig"][key] = value.clone();
    }
    match parse_table(&config, Some(&schema), &capabilities()) {
        Ok(parsed) => Ok(parsed.spec.expressions),
        Err(errors) => Err(errors.0.iter().map(|error| (error.path.clone(), error.reason.clone())).collect()),
    }
}

#[test]
fn expressions_are_read_in_their_order() {
    let found = read(&json!({
        "complexTypeConfig": {
            "fieldsToUnnest": ["a", "a.b"], "delimiter": "__", "collectionNotUnnestedToJson": "none",
            "prefixesToRename": {"before.": "", "x": "y"},
        },
        "enrichmentConfigs": [
            {"enricherType": "generateColumn", "properties": {"fieldToFunctionMap": {"p": "f q", "o": "f p"}}},
        ],
        "transformConfigs": [{"columnName": "amount", "transformFunction": "f helper"},
            {"columnName": "helper", "transformFunction": "f o"}],
        "filterConfig": {"filterFunction": "f amount"},
    }))
    .unwrap();
    let complex = found.complex_type.unwrap();
    assert_eq!((&*complex.delimiter, complex.not_unnested, complex.unnest.len()), ("__", NotUnnested::Stay, 2));
    assert_eq!(complex.renames, [("before.".into(), "".into()), ("x".into(), "y".into())]);
    let names =
        |list: &[weir_types::TransformSpec]| list.iter().map(|spec| spec.column.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&found.enrichments), ["p", "o"]);
    assert_eq!(names(&found.transforms), ["amount", "helper"]);
    assert_eq!(found.filter.as_deref(), Some("f amount"));
    let nothing =
        json!({"transformConfigs": [], "filterConfig": null, "enrichmentConfigs": null, "complexTypeConfig": null});
    assert_eq!(read(&nothing), Ok(Expressions::default()));
    let defaults = read(&json!({"complexTypeConfig": {}})).unwrap().complex_type.unwrap();
    assert_eq!((&*defaults.delimiter, defaults.not_unnested), (".", NotUnnested::NestedToJson));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let transforms = |list: Json| json!({"transformConfigs": list});
    for (ingestion, path, reason) in [
        (transforms(json!([{"transformFunction": "f x"}])), "transformConfigs[0].columnName", "is missing"),
        (transforms(json!([{"columnName": "amount"}])), "transformConfigs[0].transformFunction", "is missing"),
        (
            transforms(json!([{"columnName": "amount", "transformFunction": "bad no such function"}])),
            "transformConfigs[0].transformFunction",
            "no such function",
        ),
        (
            transforms(json!([{"columnName": "amount", "transformFunction": "f amount"}])),
            "transformConfigs[0].transformFunction",
            "which it derives",
        ),
        (
            transforms(json!([{"columnName": "nowhere", "transformFunction": "f x"}])),
            "transformConfigs[0].columnName",
            "the schema has no column 'nowhere'",
        ),
        (
            transforms(
                json!([{"columnName": "id", "transformFunction": "f x"}, {"columnName": "id", "transformFunction": "f x"}]),
            ),
            "transformConfigs[1].columnName",
            "derived twice",
        ),
        (
            transforms(json!([{"columnName": "id", "transformFunction": "f amount"},
                {"columnName": "amount", "transformFunction": "f id"}])),
            "transformConfigs[0].columnName",
            "(id, amount): break the circle",
        ),
        (json!({"filterConfig": {"filterFunction": "bad bracket"}}), "filterConfig.filterFunction", "bracket"),
        (
            json!({"complexTypeConfig": {"collectionNotUnnestedToJson": "SOME"}}),
            "complexTypeConfig.collectionNotUnnestedToJson",
            "NON_PRIMITIVE",
        ),
        (
            json!({"complexTypeConfig": {"prefixesToRename": {"amo": "x"}}}),
            "complexTypeConfig.prefixesToRename.amo",
            "so does the column 'amount'",
        ),
        (
            json!({"enrichmentConfigs": [{"enricherType": "generateColumn", "properties": {"o": "f x"}}]}),
            "enrichmentConfigs[0].properties.fieldToFunctionMap",
            "is missing or empty",
        ),
        (
            json!({"enrichmentConfigs": [{"enricherType": "magic"}]}),
            "enrichmentConfigs[0].enricherType",
            "generateColumn is",
        ),
        (
            json!({"enrichmentConfigs": [{"enricherType": "generateColumn", "preComplexTypeTransform": true}]}),
            "enrichmentConfigs[0].preComplexTypeTransform",
            "set false",
        ),
    ] {
        let errors = read(&ingestion).expect_err(&ingestion.to_string());
        let path = format!("ingestionConfig.{path}");
        assert!(
            errors.iter().any(|(at, why)| *at == path && why.contains(reason)),
            "{ingestion}: {errors:?} lacks {path}: {reason}"
        );
    }
}
