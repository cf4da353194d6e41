//! What a table config has made of a record.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

#[path = "support/configs.rs"]
mod configs;

use configs::{capabilities, schema_json, table_json};
use serde_json::{Value as Json, json};
use weir_control::{Capabilities, DecoderKnown, parse_schema, parse_table};
use weir_types::{DataType, Expressions, NotUnnested, PartitionFunction, PartitionedBy, Preparation};

fn read(ingestion: &Json) -> Result<Expressions, Vec<(String, String)>> {
    read_with(&schema_json("orders"), ingestion)
}

fn read_with(schema: &Json, ingestion: &Json) -> Result<Expressions, Vec<(String, String)>> {
    let schema = parse_schema(schema).unwrap().schema;
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
    assert_eq!(names(&found.after.enrichments), ["p", "o"]);
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
            "generateColumn and clpEnricher are",
        ),
        (
            json!({"enrichmentConfigs": [{"enricherType": "clpEnricher", "properties": {"field": "m"}}]}),
            "enrichmentConfigs[0].properties.fields",
            "is missing or empty",
        ),
        (json!({"filterConfig": {"filterFunction": "count id"}}), "filterConfig.filterFunction", "gives LONG"),
    ] {
        let errors = read(&ingestion).expect_err(&ingestion.to_string());
        let path = format!("ingestionConfig.{path}");
        assert!(
            errors.iter().any(|(at, why)| *at == path && why.contains(reason)),
            "{ingestion}: {errors:?} lacks {path}: {reason}"
        );
    }
}

#[test]
fn a_value_of_another_kind_is_one_error_with_its_place() {
    for (ingestion, expected) in [
        (
            json!({"complexTypeConfig": {"delimiter": 5}}),
            "complexTypeConfig.delimiter = 5: must be text, and a number stands there",
        ),
        (
            json!({"complexTypeConfig": {"prefixesToRename": ["a"]}}),
            "complexTypeConfig.prefixesToRename = [\"a\"]: must be an object of beginnings of names, each with what takes its \
             place, and a list stands there",
        ),
        (
            json!({"complexTypeConfig": {"prefixesToRename": {"a": 5}}}),
            "complexTypeConfig.prefixesToRename.a = 5: must be a text, which may be empty",
        ),
        (
            json!({"complexTypeConfig": {"fieldsToUnnest": [""]}}),
            "complexTypeConfig.fieldsToUnnest[0] = : must name a field that holds an array: name one, or remove it",
        ),
        (
            json!({"complexTypeConfig": {"fieldsToUnnest": ["a.b", "a.\u{0}c"]}}),
            "complexTypeConfig.fieldsToUnnest[1] = a.\u{0}c: cannot be part of a field's name: \
             'a.\u{0}c' is not a column name: it holds a control character",
        ),
        (
            json!({"complexTypeConfig": {"fieldsToUnnest": ["a", 5]}}),
            "complexTypeConfig.fieldsToUnnest[1] = 5: must be text, and a number stands there",
        ),
        (
            json!({"complexTypeConfig": {"fieldsToUnnest": {"a": "b"}}}),
            "complexTypeConfig.fieldsToUnnest = {\"a\":\"b\"}: must be a list of text",
        ),
        (
            json!({"filterConfig": {"filterFunction": 5}}),
            "filterConfig.filterFunction = 5: must be text, and a number stands there",
        ),
        (json!({"filterConfig": {"filterFunction": ["a"]}}), "filterConfig.filterFunction = [\"a\"]: must be text"),
        (
            json!({"transformConfigs": [{"columnName": "amount", "transformFunction": true}]}),
            "transformConfigs[0].transformFunction = true: must be text, and a truth stands there",
        ),
        (
            json!({"enrichmentConfigs": [{"enricherType": "generateColumn", "properties": 5}]}),
            "enrichmentConfigs[0].properties = 5: must be an object of an enricher's settings, and a number stands there",
        ),
        (
            json!({"enrichmentConfigs": [{"enricherType": "generateColumn", "properties": {"fieldToFunctionMap": ["a"]}}]}),
            "enrichmentConfigs[0].properties.fieldToFunctionMap = [\"a\"]: must be an object of fields, each with its \
             expression, and a list stands there",
        ),
        (
            json!({"sourceFieldConfigs": [{"dataType": "LONG"}]}),
            "sourceFieldConfigs[0].name = absent: is missing: name the field of the record",
        ),
        (
            json!({"sourceFieldConfigs": [{"name": "a", "dataType": "NUMBER"}]}),
            "sourceFieldConfigs[0].dataType = NUMBER: must be one of INT, LONG, FLOAT, DOUBLE, BIG_DECIMAL, BOOLEAN, \
             TIMESTAMP, STRING, JSON, BYTES, UUID, MAP",
        ),
        (
            json!({"sourceFieldConfigs": [{"name": "a", "dataType": "INT"}, {"name": "a", "dataType": "LONG"}]}),
            "sourceFieldConfigs[1].name = a: 'a' is brought to a type twice: remove one",
        ),
        (json!({"sourceFieldConfigs": {"name": "a"}}), "sourceFieldConfigs = {\"name\":\"a\"}: must be a list"),
    ] {
        let mut config = table_json("orders");
        config["ingestionConfig"] = ingestion;
        let schema = parse_schema(&schema_json("orders")).unwrap().schema;
        let errors = parse_table(&config, Some(&schema), &capabilities()).expect_err(expected);
        assert_eq!(errors.to_string(), format!("ingestionConfig.{expected}"));
    }
}

#[test]
fn fields_are_brought_to_types_and_worked_out_before_records_are_made_flat_and_after() {
    let found = read(&json!({
        "sourceFieldConfigs": [{"name": "a", "dataType": "long"},
            {"name": "a", "dataType": "STRING", "preComplexTypeTransform": true}],
        "enrichmentConfigs": [
            {"enricherType": "generateColumn", "properties": {"fieldToFunctionMap": {"late": "f early"}}},
            {"enricherType": "generateColumn", "properties": {"fieldToFunctionMap": {"early": "f a"}},
             "preComplexTypeTransform": "true"},
        ],
    }))
    .unwrap();
    let told = |preparation: &Preparation| {
        let types: Vec<(String, DataType)> =
            preparation.types.iter().map(|source| (source.field.to_string(), source.data_type)).collect();
        (types, preparation.enrichments.iter().map(|spec| spec.column.to_string()).collect::<Vec<_>>())
    };
    assert_eq!(told(&found.before), (vec![("a".into(), DataType::String)], vec!["early".into()]));
    assert_eq!(told(&found.after), (vec![("a".into(), DataType::Long)], vec!["late".into()]));
}

#[test]
fn a_schema_derives_what_the_table_does_not() {
    let mut schema = schema_json("orders");
    schema["dimensionFieldSpecs"][0]["transformFunction"] = json!("f of schema");
    schema["metricFieldSpecs"][0]["transformFunction"] = json!("f old");
    let found =
        read_with(&schema, &json!({"transformConfigs": [{"columnName": "amount", "transformFunction": "f new"}]}));
    let found: Vec<(String, String)> =
        found.unwrap().transforms.iter().map(|spec| (spec.column.to_string(), spec.function.to_string())).collect();
    let pair = |column: &str, function: &str| (column.to_owned(), function.to_owned());
    assert_eq!(found, [pair("amount", "f new"), pair("id", "f of schema")]);
    schema["dimensionFieldSpecs"][0]["transformFunction"] = json!("bad bracket");
    let errors = read_with(&schema, &json!({})).unwrap_err();
    assert_eq!(errors, [("schema.dimensionFieldSpecs.id.transformFunction".to_owned(), "bracket".to_owned())]);
    schema["dimensionFieldSpecs"][0]["transformFunction"] = json!("f amount");
    schema["metricFieldSpecs"][0]["transformFunction"] = json!("f id");
    let errors = read_with(&schema, &json!({})).unwrap_err();
    assert!(errors[0].1.contains("(id, amount): break the circle"), "{errors:?}");
}

#[test]
fn keys_and_values_of_a_map_are_derived_by_the_names_of_their_columns() {
    let mut schema = schema_json("orders");
    for name in ["attributes__KEYS", "attributes__VALUES", "__KEYS"] {
        let field = json!({"name": name, "dataType": "STRING", "singleValueField": false});
        schema["dimensionFieldSpecs"].as_array_mut().unwrap().push(field);
    }
    let own = json!({"transformConfigs": [{"columnName": "attributes__KEYS", "transformFunction": "f own"}]});
    for (config, keys) in [(json!({}), "mapKeys(\"attributes\")"), (own, "f own")] {
        let found = read_with(&schema, &config).unwrap();
        let found: Vec<(&str, &str)> =
            found.transforms.iter().map(|spec| (spec.column.as_str(), &*spec.function)).collect();
        assert_eq!(found, [("attributes__KEYS", keys), ("attributes__VALUES", "mapValues(\"attributes\")")]);
    }
}

/// A table config with things put at their places, against a schema that has a TIMESTAMP besides.
fn errors_of(changes: &[(&str, Json)]) -> String {
    let mut schema = schema_json("orders");
    schema["dateTimeFieldSpecs"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "ts", "dataType": "TIMESTAMP", "format": "TIMESTAMP", "granularity": "1:MILLISECONDS"}));
    schema["dimensionFieldSpecs"].as_array_mut().unwrap().push(json!({"name": "number", "dataType": "LONG"}));
    let schema = parse_schema(&schema).unwrap().schema;
    let mut config = table_json("orders");
    for (pointer, value) in changes {
        let at = pointer.split('/').fold(&mut config, |at, key| &mut at[key]);
        *at = value.clone();
    }
    match parse_table(&config, Some(&schema), &capabilities()) {
        Ok(parsed) => format!("{:?} {:?}", parsed.spec.partitioned_by, parsed.not_yet_effective),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn rows_of_other_partitions_are_dropped_by_one_column() {
    let drops = "ingestionConfig/streamIngestionConfig/dropRecordOnPartitionMismatch";
    let map = "tableIndexConfig/segmentPartitionConfig/columnPartitionMap";
    let read = |columns: Json| errors_of(&[(drops, json!("true")), (map, columns)]);
    let by = |column: &str, function| {
        let column = weir_types::ColumnName::parse(column).unwrap();
        format!("{:?}", Some(PartitionedBy { column, function, partitions: 8 }))
    };
    let listed = "[\"tableIndexConfig.segmentPartitionConfig\"]";
    for (column, name, function) in [
        ("number", "Modulo", PartitionFunction::Modulo),
        ("id", "MURMUR", PartitionFunction::Murmur),
        ("number", "murmur", PartitionFunction::Murmur),
        ("id", "HashCode", PartitionFunction::HashCode),
        ("id", "ByteArray", PartitionFunction::ByteArray),
    ] {
        let found = read(json!({column: {"functionName": name, "numPartitions": 8}}));
        assert_eq!(found, format!("{} []", by(column, function)));
    }
    for (function, config, read_as) in [
        ("Murmur3", json!({}), PartitionFunction::Murmur3 { seed: 0, x64: false }),
        ("murmur3", json!({"seed": "9001", "variant": "x64_32"}), PartitionFunction::Murmur3 { seed: 9001, x64: true }),
        (
            "BoundedColumnValue",
            json!({"columnValues": "a|b||c|d|e|f|g", "columnValuesDelimiter": "|"}),
            PartitionFunction::BoundedColumnValue(["a", "b", "c", "d", "e", "f", "g"].map(str::to_owned).into()),
        ),
    ] {
        let found = read(json!({"id": {"functionName": function, "numPartitions": 8, "functionConfig": config}}));
        assert_eq!(found, format!("{} []", by("id", read_as)));
    }
    let one = json!({"id": {"functionName": "Murmur", "numPartitions": 8}});
    assert_eq!(errors_of(&[(map, one)]), format!("None {listed}"));
    let prefix = "tableIndexConfig.segmentPartitionConfig.columnPartitionMap";
    for (columns, expected) in [
        (
            json!({}),
            "ingestionConfig.streamIngestionConfig.dropRecordOnPartitionMismatch = true: needs one column in"
                .to_owned(),
        ),
        (json!(["id"]), format!("{prefix} = [\"id\"]: must be an object")),
        (
            json!({"id": {"functionName": "Modulo", "numPartitions": 8}}),
            format!("{prefix}.id.functionName = Modulo: takes whole"),
        ),
        (
            json!({"id": {"functionName": "Fnv", "numPartitions": 8}}),
            format!("{prefix}.id.functionName = Fnv: is no function"),
        ),
        (
            json!({"id": {"functionName": "Murmur3", "numPartitions": 8, "functionConfig": {"variant": "x86_64"}}}),
            format!("{prefix}.id.functionConfig.variant = x86_64: must be x86_32 or x64_32"),
        ),
        (
            json!({"id": {"functionName": "Murmur3", "numPartitions": 8, "functionConfig": {"seed": "x"}}}),
            format!("{prefix}.id.functionConfig.seed = x: must be a whole number of 32 bits"),
        ),
        (
            json!({"id": {"functionName": "BoundedColumnValue", "numPartitions": 8,
                "functionConfig": {"columnValues": "a|b", "columnValuesDelimiter": "|"}}}),
            format!("{prefix}.id.numPartitions = 8: must be 3: one for each of the columnValues"),
        ),
        (
            json!({"id": {"functionName": "BoundedColumnValue", "numPartitions": 8,
                "functionConfig": {"columnValues": "a|b"}}}),
            format!("{prefix}.id.functionConfig.columnValuesDelimiter = absent: must say what stands"),
        ),
        (
            json!({"id": {"functionName": "Murmur", "numPartitions": -1}}),
            format!("{prefix}.id.numPartitions = -1: must be a whole"),
        ),
        (json!({"id": {"functionName": "Murmur"}}), format!("{prefix}.id.numPartitions = absent: must say how many")),
        (json!({"tags": {"functionName": "Murmur", "numPartitions": 8}}), "has several values in a row".to_owned()),
        (
            json!({"amount": {"functionName": "Murmur", "numPartitions": 8}}),
            "is DOUBLE: rows are told apart by".to_owned(),
        ),
        (json!({"nobody": {"functionName": "Murmur", "numPartitions": 8}}), "the schema has no such column".to_owned()),
    ] {
        let found = read(columns.clone());
        assert!(found.contains(&expected), "{columns}: {found}");
        assert_eq!(found.lines().count(), 1, "{found}");
    }
}

#[test]
fn granularities_are_of_a_timestamp() {
    let read = |column: &str, granularities: Json| {
        errors_of(&[(
            "fieldConfigList",
            json!([{"name": column, "indexTypes": ["TIMESTAMP"], "timestampConfig": {"granularities": granularities}}]),
        )])
    };
    assert_eq!(read("ts", json!(["DAY", "week"])), "None []");
    assert_eq!(read("at", json!([])), "None []");
    let at = "fieldConfigList[0].timestampConfig.granularities";
    assert!(
        read("ts", json!(["DAY", "FORTNIGHT"]))
            .starts_with(&format!("{at}[1] = FORTNIGHT: must be one of MILLISECOND"))
    );
    assert!(read("at", json!(["DAY"])).contains("needs a TIMESTAMP column, and at is LONG: use dateTrunc in queries"));
    assert!(read("ts", json!({"a": 1})).contains("must be a list of text"));
}

#[test]
fn a_negative_limit_is_none_only_where_it_is_minus_one() {
    for (key, nothing, wrong) in [
        ("topic.consumption.rate.limit", "-1", "-5"),
        ("partition.consumption.rate.limit", "0", "-0.5"),
        ("realtime.segment.offsetAutoReset.offsetThreshold", "-1", "-2"),
        ("realtime.segment.flush.threshold.rows", "0", "-1"),
        ("realtime.segment.flush.threshold.segment.rows", "0", "-1"),
        ("realtime.segment.flush.autotune.initialRows", "1", "-1"),
    ] {
        let read = |value: &str| errors_of(&[(&format!("tableIndexConfig/streamConfigs/{key}"), json!(value))]);
        assert!(read(nothing).starts_with("None"), "{key}: {}", read(nothing));
        let found = read(wrong);
        let expected = format!("tableIndexConfig.streamConfigs.{key} = {wrong}: must be");
        assert!(found.starts_with(&expected) && found.lines().count() == 1, "{key}: {found}");
    }
    assert!(
        errors_of(&[("segmentsConfig/replication", json!(-1))]).contains("replication = -1: must be a whole number")
    );
}

#[test]
fn fields_that_the_schema_does_not_name_are_gathered_as_the_config_says() {
    let mut schema = schema_json("orders");
    let columns = schema["dimensionFieldSpecs"].as_array_mut().unwrap();
    columns.push(json!({"name": "json_data", "dataType": "JSON"}));
    columns.push(json!({"name": "__mergedTextIndex", "dataType": "STRING", "singleValueField": false}));
    let key = "schemaConformingTransformerConfig";
    let found = read_with(&schema, &json!({key: {"enableUnindexableExtras": false}})).unwrap().conforming.unwrap();
    assert_eq!(found.rest.as_ref().map(ToString::to_string), Some("json_data".into()));
    assert_eq!((found.unindexed_rest, &*found.unindexed_suffix), (None, "_noindex"));
    assert_eq!(found.searched_only, ["message".into()]);
    let text = found.text.unwrap();
    assert_eq!((text.value_first, text.lower_too, text.longest, text.binary_from), (true, false, 32_766, 512));
    assert_eq!((&*text.separator, text.column.as_str()), (":", "__mergedTextIndex"));
    let all = json!({"schemaConformingTransformerV2Config": {
        "enableIndexableExtras": "true", "indexableExtrasField": "json_data", "enableUnindexableExtras": "false",
        "unindexableFieldSuffix": "_x", "fieldPathsToDrop": ["a"], "fieldPathsToKeepSameAsInput": ["b"],
        "fieldPathsToKeepSameAsInputWithIndex": ["c"], "fieldPathsToSkipStorage": [], "fieldsToDoubleIngest": ["id"],
        "columnNameToJsonKeyPathMap": {"id": "order.id"}, "mergedTextIndexField": "__mergedTextIndex",
        "useAnonymousDotInFieldNames": true, "optimizeCaseInsensitiveSearch": true, "reverseTextIndexKeyValueOrder": false,
        "mergedTextIndexDocumentMaxLength": 100, "mergedTextIndexBinaryTokenDetectionMinLength": 50,
        "mergedTextIndexPathToExclude": ["d"], "mergedTextIndexPrefixToExclude": ["e."], "jsonKeyValueSeparator": "=",
        "mergedTextIndexBeginOfDocAnchor": "<", "mergedTextIndexEndOfDocAnchor": ">",
    }});
    let found = read_with(&schema, &all).unwrap().conforming.unwrap();
    assert_eq!((&*found.unindexed_suffix, found.searched_only.len(), &*found.paths[0].1), ("_x", 0, "order.id"));
    assert_eq!(
        [&found.dropped, &found.whole, &found.whole_and_searched, &found.doubled].map(|list| list.join(",")),
        ["a", "b", "c", "id"]
    );
    let text = found.text.unwrap();
    assert_eq!((text.value_first, text.lower_too, text.longest, text.binary_from), (false, true, 100, 50));
    assert_eq!((&*text.anchors.0, &*text.anchors.1, text.without.len(), text.without_prefixes.len()), ("<", ">", 1, 1));
    // Nothing goes there: the schema needs no such columns.
    let none = json!({key: {"enableIndexableExtras": false, "enableUnindexableExtras": false}});
    assert_eq!(read(&none).unwrap().conforming.unwrap().text, None);
    for (settings, path, reason) in [
        (
            json!({}),
            "unindexableExtrasField",
            "needs a JSON column 'json_data_no_idx' in the schema: add it, or set enableUnindexableExtras false",
        ),
        (
            json!({"enableUnindexableExtras": false, "indexableExtrasField": "tags"}),
            "indexableExtrasField",
            "needs a JSON column 'tags'",
        ),
        (
            json!({"enableUnindexableExtras": false, "mergedTextIndexField": "id"}),
            "mergedTextIndexField",
            "must be a STRING column of several values",
        ),
        (
            json!({"enableUnindexableExtras": false, "mergedTextIndexField": "nobody"}),
            "mergedTextIndexField",
            "needs a STRING column of several",
        ),
        (
            json!({"enableUnindexableExtras": false, "useAnonymousDotInFieldNames": false}),
            "useAnonymousDotInFieldNames",
            "set true",
        ),
        (
            json!({"enableUnindexableExtras": false, "mergedTextIndexDocumentMaxLength": -1}),
            "mergedTextIndexDocumentMaxLength",
            "at least 1",
        ),
        (json!({"enableUnindexableExtras": false, "fieldPathsToDrop": [5]}), "fieldPathsToDrop[0]", "must be text"),
        (
            json!({"enableUnindexableExtras": false, "columnNameToJsonKeyPathMap": {"nobody": "a"}}),
            "columnNameToJsonKeyPathMap.nobody",
            "no column 'nobody'",
        ),
    ] {
        let errors = read_with(&schema, &json!({key: settings})).unwrap_err();
        assert_eq!(
            (errors.len(), errors[0].0.as_str()),
            (1, format!("ingestionConfig.{key}.{path}").as_str()),
            "{errors:?}"
        );
        assert!(errors[0].1.contains(reason), "{errors:?}");
    }
    let both = json!({key: none[key], "complexTypeConfig": {}});
    assert!(read(&both).unwrap_err()[0].1.contains("remove complexTypeConfig"));
    let twice = json!({key: none[key], "schemaConformingTransformerV2Config": none[key]});
    assert!(read(&twice).unwrap_err()[0].1.contains("is given beside"));
    let mut config = table_json("orders");
    config["ingestionConfig"][key] =
        json!({"enableIndexableExtras": false, "enableUnindexableExtras": false, "novel": 1});
    let schema = parse_schema(&schema_json("orders")).unwrap().schema;
    let parsed = parse_table(&config, Some(&schema), &capabilities()).unwrap();
    assert!(
        parsed.unrecognized.contains_key("/ingestionConfig/schemaConformingTransformerConfig/novel"),
        "{:?}",
        parsed.unrecognized
    );
    let csv = Capabilities { decoder: |_| DecoderKnown::Yes("csv"), ..capabilities() };
    let errors = parse_table(&config, Some(&schema), &csv).unwrap_err();
    assert!(errors.to_string().contains("use the decoder JSONMessageDecoder"), "{errors}");
}
