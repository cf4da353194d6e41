//! Schemas as people write them, and which of their changes old segments can live with.

use serde_json::{Value as Json, json};
use weir_control::{SpecError, check_schema_change, parse_schema};
use weir_types::{DataType, ExceedStrategy, FieldKind, Schema, Value};

fn whole() -> Json {
    json!({
        "schemaName": "orders",
        "enableColumnBasedNullHandling": true,
        "dimensionFieldSpecs": [
            {"name": "id", "dataType": "string", "notNull": true, "maxLength": 20, "maxLengthExceedStrategy": "ERROR"},
            {"name": "tags", "dataType": "STRING", "singleValueField": "false", "defaultNullValue": "none"},
            {"name": "flag", "dataType": "BOOLEAN", "defaultNullValue": "true"},
            {"name": "doc", "dataType": "JSON", "defaultNullValue": {"a": 1}},
            {"name": "raw", "dataType": "BYTES", "defaultNullValue": "00ff"},
            {"name": "price", "dataType": "BIG_DECIMAL", "defaultNullValue": "1.50"},
            {"name": "who", "dataType": "UUID", "defaultNullValue": "00000000-0000-0000-0000-0000000000ff"},
        ],
        "metricFieldSpecs": [{"name": "amount", "dataType": "DOUBLE", "defaultNullValue": 1}, {"name": "n", "dataType": "INT"}],
        "dateTimeFieldSpecs": [
            {"name": "at", "dataType": "TIMESTAMP", "format": "1:MILLISECONDS:TIMESTAMP", "granularity": "1:MILLISECONDS",
             "defaultNullValue": "2026-01-01 00:00:00"},
            {"name": "day", "dataType": "STRING", "format": "1:DAYS:SIMPLE_DATE_FORMAT:yyyy-MM-dd", "granularity": "1:DAYS"},
        ],
        "complexFieldSpecs": [{"name": "props", "dataType": "MAP", "fieldType": "COMPLEX", "childFieldSpecs": {}}],
        "primaryKeyColumns": ["id"],
        "colour": "red",
    })
}

fn parse(json: &Json) -> Schema {
    parse_schema(json).unwrap_or_else(|errors| panic!("{errors}")).schema
}

fn errors(json: &Json) -> Vec<SpecError> {
    match parse_schema(json) {
        Ok(parsed) => panic!("it was accepted: {:?}", parsed.schema),
        Err(errors) => errors.0,
    }
}

#[test]
fn a_whole_schema_is_read() {
    let parsed = parse_schema(&whole()).unwrap();
    assert_eq!(parsed.unrecognized.keys().collect::<Vec<_>>(), ["/colour"]);
    assert_eq!(parsed.json, whole());
    let schema = parsed.schema;
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["id", "tags", "flag", "doc", "raw", "price", "who", "amount", "n", "at", "day", "props"]);
    assert!(schema.column_based_null_handling);
    assert_eq!(schema.primary_key.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["id"]);
    let field = |name: &str| schema.field(name).unwrap().clone();
    let id = field("id");
    assert_eq!(
        (id.data_type, id.not_null, id.max_length, id.exceed),
        (DataType::String, true, 20, ExceedStrategy::Error)
    );
    assert!(!field("tags").single_value);
    for (name, default) in [
        ("id", Value::Str("null".into())),
        ("tags", Value::Str("none".into())),
        ("flag", Value::Int(1)),
        ("doc", Value::Str("{\"a\":1}".into())),
        ("raw", Value::Bytes(vec![0, 255].into())),
        ("price", Value::Str("1.5".into())),
        ("amount", Value::Double(1.0)),
        ("n", Value::Int(0)),
        ("at", Value::Long(1_767_225_600_000)),
        ("props", Value::Str("{}".into())),
    ] {
        assert_eq!(field(name).default_null, default, "{name}");
    }
    let Value::Bytes(who) = field("who").default_null else { panic!("bytes") };
    assert_eq!((who.len(), who[15]), (16, 255));
    assert_eq!((field("at").kind, field("at").format.as_deref()), (FieldKind::DateTime, Some("TIMESTAMP")));
    assert_eq!(field("day").format.as_deref(), Some("1:DAYS:SIMPLE_DATE_FORMAT:yyyy-MM-dd"));
    assert_eq!(field("props").kind, FieldKind::Complex);
}

/// A TIMESTAMP has a format of its own, whatever stands there, as in Pinot.
#[test]
fn a_format_of_a_timestamp_means_nothing() {
    for format in ["1:DAYS:SIMPLE_DATE_FORMAT:yyyyMMdd", "SIMPLE_DATE_FORMAT|yyyy-MM-dd HH:mm", "5:HOURS:EPOCH", "soon"]
    {
        let mut json = whole();
        json["dateTimeFieldSpecs"][0]["format"] = json!(format);
        let schema = parse(&json);
        assert_eq!(schema.field("at").unwrap().format.as_deref(), Some("TIMESTAMP"), "{format}");
        assert_eq!(parse_schema(&json).unwrap().json, json, "it is shown as it was written");
        json["dateTimeFieldSpecs"][0]["dataType"] = json!("LONG");
        json["dateTimeFieldSpecs"][0]["defaultNullValue"] = json!(0);
        assert_eq!(parse_schema(&json).is_err(), format == "soon", "{format}");
    }
}

#[test]
fn the_old_time_column_becomes_a_date_time() {
    let old = |spec: Json| json!({"schemaName": "t", "timeFieldSpec": spec});
    let incoming = json!({"name": "ts", "dataType": "LONG", "timeType": "MINUTES", "timeUnitSize": 5});
    let schema = parse(&old(json!({"incomingGranularitySpec": incoming})));
    let field = schema.field("ts").unwrap();
    assert_eq!((field.kind, field.format.as_deref()), (FieldKind::DateTime, Some("5:MINUTES:EPOCH")));
    assert_eq!(field.granularity.as_deref(), Some("5:MINUTES"));
    parse(&old(json!({"incomingGranularitySpec": incoming, "outgoingGranularitySpec": incoming})));
    // What is stored is derived of what comes in, which is no column.
    let other = json!({"name": "day", "dataType": "INT", "timeType": "DAYS"});
    let schema = parse(&old(json!({"incomingGranularitySpec": incoming, "outgoingGranularitySpec": other})));
    assert_eq!((schema.fields().len(), schema.field("ts").is_none()), (1, true));
    let field = schema.field("day").unwrap();
    assert_eq!((field.data_type, field.format.as_deref()), (DataType::Int, Some("1:DAYS:EPOCH")));
    let derived = "dateTimeConvert(\"ts\", '5:MINUTES:EPOCH', '1:DAYS:EPOCH', '1:DAYS')";
    assert_eq!(field.transform.as_deref(), Some(derived));
    let same = json!({"name": "ts", "dataType": "INT", "timeType": "DAYS"});
    let found = errors(&old(json!({"incomingGranularitySpec": incoming, "outgoingGranularitySpec": same})));
    assert_eq!((found[0].path.as_str(), found.len()), ("timeFieldSpec.outgoingGranularitySpec.name", 1));
    assert!(found[0].reason.contains("give it a name of its own"), "{found:?}");
}

#[test]
fn wrong_fields_name_place_value_and_remedy() {
    let dimension = |field: Json| json!({"schemaName": "t", "dimensionFieldSpecs": [field]});
    let metric = |field: Json| json!({"schemaName": "t", "metricFieldSpecs": [field]});
    let time = |field: Json| json!({"schemaName": "t", "dateTimeFieldSpecs": [field]});
    let complex = |field: Json| json!({"schemaName": "t", "complexFieldSpecs": [field]});
    for (schema, path, remedy) in [
        (
            dimension(json!({"name": "x".repeat(513), "dataType": "STRING"})),
            "dimensionFieldSpecs[0].name",
            "it has 513 bytes, 512 are the most",
        ),
        (json!([]), "", "JSON object"),
        (json!({"schemaName": "t"}), "dimensionFieldSpecs", "at least one column"),
        (json!({"dimensionFieldSpecs": [{"name": "a", "dataType": "INT"}]}), "schemaName", "must name the schema"),
        (
            json!({"schemaName": "a__b", "dimensionFieldSpecs": [{"name": "a", "dataType": "INT"}]}),
            "schemaName",
            "schema name",
        ),
        (json!({"schemaName": "t", "dimensionFieldSpecs": "a"}), "dimensionFieldSpecs", "list of fields"),
        (dimension(json!("a")), "dimensionFieldSpecs[0]", "must be an object"),
        (dimension(json!({"dataType": "INT"})), "dimensionFieldSpecs[0].name", "must name the column"),
        (dimension(json!({"name": "$a", "dataType": "INT"})), "dimensionFieldSpecs[0].name", "choose another"),
        (dimension(json!({"name": "a"})), "dimensionFieldSpecs[0].dataType", "must be one of INT"),
        (
            dimension(json!({"name": "a", "dataType": "NUMBER"})),
            "dimensionFieldSpecs[0].dataType",
            "must be one of INT",
        ),
        (dimension(json!({"name": "a", "dataType": "STRUCT"})), "dimensionFieldSpecs[0].dataType", "use JSON or MAP"),
        (
            dimension(json!({"name": "a", "dataType": "INT", "defaultNullValue": "x"})),
            "dimensionFieldSpecs[0].defaultNullValue",
            "is no INT",
        ),
        (
            dimension(json!({"name": "a", "dataType": "INT", "defaultNullValue": 3_000_000_000_u64})),
            "dimensionFieldSpecs[0].defaultNullValue",
            "is no INT",
        ),
        (
            dimension(json!({"name": "a", "dataType": "BYTES", "defaultNullValue": "0"})),
            "dimensionFieldSpecs[0].defaultNullValue",
            "hexadecimal",
        ),
        (
            dimension(json!({"name": "a", "dataType": "JSON", "defaultNullValue": "{"})),
            "dimensionFieldSpecs[0].defaultNullValue",
            "JSON text",
        ),
        (
            dimension(json!({"name": "a", "dataType": "JSON", "singleValueField": false})),
            "dimensionFieldSpecs[0].singleValueField",
            "set true",
        ),
        (
            dimension(json!({"name": "a", "dataType": "INT", "singleValueField": "x"})),
            "dimensionFieldSpecs[0].singleValueField",
            "true or false",
        ),
        (
            dimension(json!({"name": "a", "dataType": "STRING", "maxLength": 0})),
            "dimensionFieldSpecs[0].maxLength",
            "at least 1",
        ),
        (
            dimension(json!({"name": "a", "dataType": "STRING", "maxLengthExceedStrategy": "CUT"})),
            "dimensionFieldSpecs[0].maxLengthExceedStrategy",
            "TRIM_LENGTH",
        ),
        (
            dimension(json!({"name": "a", "dataType": "INT", "transformFunction": 5})),
            "dimensionFieldSpecs[0].transformFunction",
            "must be text",
        ),
        (
            dimension(json!({"name": "a", "dataType": "INT", "virtualColumnProvider": "c"})),
            "dimensionFieldSpecs[0].virtualColumnProvider",
            "remove it",
        ),
        (metric(json!({"name": "a", "dataType": "JSON"})), "metricFieldSpecs[0].dataType", "dimensionFieldSpecs"),
        (
            metric(json!({"name": "a", "dataType": "INT", "singleValueField": false})),
            "metricFieldSpecs[0].singleValueField",
            "only dimensions",
        ),
        (time(json!({"name": "a", "dataType": "LONG"})), "dateTimeFieldSpecs[0].format", "1:MILLISECONDS:EPOCH"),
        (
            time(json!({"name": "a", "dataType": "LONG", "format": "millis"})),
            "dateTimeFieldSpecs[0].format",
            "1:MILLISECONDS:EPOCH",
        ),
        (
            time(json!({"name": "a", "dataType": "LONG", "format": "EPOCH", "granularity": "often"})),
            "dateTimeFieldSpecs[0].granularity",
            "1:MINUTES",
        ),
        (
            time(json!({"name": "a", "dataType": "BOOLEAN", "format": "EPOCH"})),
            "dateTimeFieldSpecs[0].dataType",
            "a time is",
        ),
        (complex(json!({"name": "a", "dataType": "INT"})), "complexFieldSpecs[0].dataType", "MAP"),
    ] {
        let found = errors(&schema);
        assert_eq!(found[0].path, path, "{schema}: {found:?}");
        assert!(found[0].reason.contains(remedy), "{schema}: {found:?}");
        assert_eq!(found.len(), 1, "{schema}: {found:?}");
    }
    let mut twice = whole();
    twice["metricFieldSpecs"][0]["name"] = json!("id");
    assert_eq!(errors(&twice)[0].path, "metricFieldSpecs[0].name");
    let mut key = whole();
    key["primaryKeyColumns"] = json!(["ghost", "tags"]);
    let paths: Vec<String> = errors(&key).into_iter().map(|error| error.path).collect();
    assert_eq!(paths, ["primaryKeyColumns[0]", "primaryKeyColumns[1]"], "all at once");
    // A key whose column is wrong is not missing.
    let mut wrong = whole();
    let columns = wrong["dimensionFieldSpecs"].as_array_mut().unwrap();
    columns.iter_mut().find(|column| column["name"] == "id").unwrap()["dataType"] = json!("STRNG");
    let found = errors(&wrong);
    assert!(found.len() == 1 && found[0].path.ends_with(".dataType"), "{found:?}");
}

#[test]
fn columns_may_be_added_and_nothing_else() {
    let old = parse(&whole());
    let mut wider = whole();
    wider["dimensionFieldSpecs"].as_array_mut().unwrap().insert(0, json!({"name": "more", "dataType": "INT"}));
    check_schema_change(&old, &parse(&wider)).unwrap();
    check_schema_change(&old, &old).unwrap();
    let wrong = check_schema_change(&parse(&wider), &old).unwrap_err();
    assert_eq!(wrong.0[0].path, "dimensionFieldSpecs.more");

    let mut changed = whole();
    changed["dimensionFieldSpecs"][0]["dataType"] = json!("INT");
    changed["dimensionFieldSpecs"][1]["singleValueField"] = json!(true);
    changed["dateTimeFieldSpecs"][1]["format"] = json!("1:DAYS:SIMPLE_DATE_FORMAT:yyyyMMdd");
    changed["primaryKeyColumns"] = json!([]);
    changed["dimensionFieldSpecs"].as_array_mut().unwrap().push(json!({"name": "n", "dataType": "INT"}));
    changed["metricFieldSpecs"].as_array_mut().unwrap().pop();
    let wrong = check_schema_change(&old, &parse(&changed)).unwrap_err();
    let paths: Vec<&str> = wrong.0.iter().map(|error| error.path.as_str()).collect();
    let expected = [
        "dimensionFieldSpecs.id",
        "dimensionFieldSpecs.tags",
        "metricFieldSpecs.n",
        "dateTimeFieldSpecs.day",
        "primaryKeyColumns",
    ];
    assert_eq!(paths, expected, "{wrong}");
}
