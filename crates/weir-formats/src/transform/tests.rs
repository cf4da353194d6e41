//! Records through expressions into columns.

mod conforming;
mod texts;

use super::*;
use crate::{
    decoder::{DecodeSpec, Payload},
    registry::decoder,
};
use std::collections::BTreeMap;
use weir_types::{
    ColumnName, ComplexTypeSpec, DataType, Expressions, FieldKind, FieldSpec, NotUnnested, Preparation, Schema,
    SchemaVersion, SourceType, TransformSpec, Value,
};

fn schema(columns: &[(&str, DataType, bool)]) -> Arc<Schema> {
    let field = |(name, data_type, single_value): &(&str, DataType, bool)| FieldSpec {
        single_value: *single_value,
        ..FieldSpec::new(ColumnName::parse(name).unwrap(), *data_type, FieldKind::Dimension)
    };
    Arc::new(Schema::new("t", SchemaVersion(1), columns.iter().map(field).collect()))
}

struct Table {
    schema: Arc<Schema>,
    plan: Arc<TransformPlan>,
}

fn derived(columns: &[(&str, &str)]) -> Vec<TransformSpec> {
    let spec = |(column, function): &(&str, &str)| TransformSpec {
        column: ColumnName::parse(column).unwrap(),
        function: (*function).into(),
    };
    columns.iter().map(spec).collect()
}

impl Table {
    fn new(
        columns: &[(&str, DataType, bool)],
        transforms: &[(&str, &str)],
        filter: Option<&str>,
        lenient: bool,
    ) -> Self {
        let asked =
            Expressions { transforms: derived(transforms), filter: filter.map(Into::into), ..Expressions::default() };
        Self::of(columns, &asked, lenient)
    }

    fn of(columns: &[(&str, DataType, bool)], asked: &Expressions, lenient: bool) -> Self {
        let schema = schema(columns);
        let plan = TransformPlan::new(&schema, asked, lenient).unwrap().unwrap();
        Self { schema, plan: Arc::new(plan) }
    }

    fn run(&self, format: &str, settings: &[(&str, &str)], messages: &[&[u8]]) -> Transformed {
        let (decodes, raw) = self.plan.decodes();
        let spec = DecodeSpec {
            schema: decodes.clone(),
            continue_on_error: self.plan.continue_on_error,
            topic: "t".into(),
            raw,
        };
        let settings: BTreeMap<String, String> =
            settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut decoder = decoder(format, &settings, spec).unwrap();
        let mut payloads = (0u32..).zip(messages).map(|(message, value)| Payload { message, value, key: None });
        let mut rows = RowBatch::new(&decodes);
        let decoded = decoder.decode(&mut payloads, &mut rows);
        assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
        let transformed = Transform::new(self.plan.clone()).apply(rows);
        for column in &transformed.rows.columns {
            assert_eq!(column.rows(), transformed.rows.rows());
        }
        transformed
    }

    fn json(&self, messages: &[&str]) -> Transformed {
        self.run("json", &[], &messages.iter().map(|text| text.as_bytes()).collect::<Vec<_>>())
    }

    /// A column's values, `None` where null.
    fn column(&self, rows: &RowBatch, name: &str) -> Vec<Option<Vec<Value>>> {
        let column = &rows.columns[self.schema.position(name).unwrap()];
        (0..rows.rows())
            .map(|row| {
                let null = column.nulls.contains(&u32::try_from(row).unwrap());
                (!null).then(|| column.values_of(row).map(|at| column.data.get(at)).collect())
            })
            .collect()
    }
}

fn one(value: Value) -> Option<Vec<Value>> {
    Some(vec![value])
}

fn text(value: &str) -> Option<Vec<Value>> {
    one(Value::Str(value.into()))
}

#[test]
fn derived_columns_take_their_types_and_the_rest_is_as_without() {
    let table = Table::new(
        &[
            ("id", DataType::Long, true),
            ("days", DataType::Long, true),
            ("name", DataType::String, true),
            ("tags", DataType::String, false),
            ("doubled", DataType::Int, true),
        ],
        &[
            ("days", "toEpochDays(ts)"),
            ("name", "concat(first, last, ' ')"),
            ("tags", "split(labels, ',')"),
            ("doubled", "half * 2"),
            ("half", "size / 2"),
        ],
        None,
        false,
    );
    let found = table
        .json(&[r#"{"id":1,"ts":86400000,"first":"A","last":"B","labels":"x,y","size":7}"#, r#"{"id":2,"first":"C"}"#]);
    assert!(found.rejects.is_empty() && found.filtered == 0, "{found:?}");
    assert_eq!(table.column(&found.rows, "id"), [one(Value::Long(1)), one(Value::Long(2))]);
    assert_eq!(table.column(&found.rows, "days"), [one(Value::Long(1)), None]);
    assert_eq!(table.column(&found.rows, "name"), [text("A B"), None]);
    let tags = Some(vec![Value::Str("x".into()), Value::Str("y".into())]);
    assert_eq!(table.column(&found.rows, "tags"), [tags, None]);
    assert_eq!(table.column(&found.rows, "doubled"), [one(Value::Int(7)), None]);
}

#[test]
fn what_the_record_brings_stands_where_its_column_can_take_it() {
    let table = Table::new(
        &[("a", DataType::Long, true), ("j", DataType::String, true)],
        &[("a", "b + 1"), ("j", "lower(k)")],
        None,
        false,
    );
    let found = table.json(&[
        r#"{"a":5,"b":1}"#,
        r#"{"a":null,"b":1}"#,
        r#"{"a":{"x":1},"b":1,"j":{"y":2},"k":"K"}"#,
        r#"{"a":1,"j":"stands","k":"K"}"#,
    ]);
    assert!(found.rejects.is_empty(), "{:?}", found.rejects);
    assert_eq!(table.column(&found.rows, "a"), [5, 2, 2, 1].map(|n| one(Value::Long(n))));
    assert_eq!(table.column(&found.rows, "j"), [None, None, text("k"), text("stands")]);
}

#[test]
fn the_filter_drops_rows_after_columns_were_derived() {
    let table = Table::new(
        &[("id", DataType::Long, true), ("kind", DataType::String, true)],
        &[("kind", "upper(k)")],
        Some("kind = 'TEST' OR id > 10"),
        false,
    );
    let found =
        table.json(&[r#"{"id":1,"k":"test"}"#, r#"{"id":2,"k":"real"}"#, r#"{"id":11,"k":"real"}"#, r#"{"id":3}"#]);
    assert_eq!((found.filtered, found.rejects.len()), (2, 0));
    assert_eq!(table.column(&found.rows, "id"), [one(Value::Long(2)), one(Value::Long(3))]);
    assert_eq!(found.rows.message_of_row, [1, 3]);
}

#[test]
fn faults_are_rejects_with_their_stage_or_nulls() {
    let (columns, derived) = (
        [("id", DataType::Long, true), ("at", DataType::Long, true), ("n", DataType::Int, true)],
        [("at", "fromDateTime(day, 'yyyy-MM-dd')"), ("n", "trim(size)")],
    );
    let messages = [
        r#"{"id":1,"day":"2026-01-01","size":" 4 "}"#,
        r#"{"id":2,"day":"soon","size":"4"}"#,
        r#"{"id":3,"day":"2026-01-01","size":"x"}"#,
    ];
    let table = Table::new(&columns, &derived, None, false);
    let found = table.json(&messages);
    let rejects: Vec<_> = found.rejects.iter().map(|r| (r.message, r.stage, r.column.as_deref())).collect();
    assert_eq!(rejects, [(1, Stage::Transform, Some("at")), (2, Stage::DataType, Some("n"))]);
    assert!(found.rejects[0].reason.contains("'soon' is not written"), "{}", found.rejects[0].reason);
    assert!(found.rejects[1].reason.contains("INT takes an integer"), "{}", found.rejects[1].reason);
    assert_eq!(table.column(&found.rows, "n"), [one(Value::Int(4))]);
    let table = Table::new(&columns, &derived, None, true);
    let found = table.json(&messages);
    assert_eq!((found.rejects.len(), found.altered), (0, 2));
    assert_eq!(table.column(&found.rows, "at")[1], None);
    assert_eq!(table.column(&found.rows, "n"), [one(Value::Int(4)), one(Value::Int(4)), None]);
}

#[test]
fn a_filter_that_cannot_be_evaluated_rejects() {
    let table = Table::new(&[("id", DataType::Long, true)], &[], Some("id > limit"), false);
    let found = table.json(&[r#"{"id":1,"limit":"many"}"#, r#"{"id":1,"limit":5}"#, r#"{"id":9,"limit":5}"#]);
    assert_eq!((found.rejects.len(), found.rejects[0].stage, found.filtered), (1, Stage::Filter, 1));
    assert_eq!(found.rows.message_of_row, [1]);
    let table = Table::new(&[("id", DataType::Long, true)], &[], Some("id > limit"), true);
    let found = table.json(&[r#"{"id":1,"limit":"many"}"#]);
    assert_eq!((found.rows.rows(), found.altered), (1, 1));
}

#[test]
fn every_format_brings_its_fields_raw() {
    let columns = [("id", DataType::Long, true), ("sum", DataType::Double, true), ("many", DataType::Int, true)];
    let table = Table::new(&columns, &[("sum", "id + x"), ("many", "arrayLength(tags)")], None, false);
    let found = table.run("csv", &[("header", "id,x,tags")], &[b"1,2.5,a;b"]);
    assert_eq!(table.column(&found.rows, "sum"), [one(Value::Double(3.5))]);
    // A field of a CSV line is a list only where its column holds several values.
    assert_eq!(table.column(&found.rows, "many"), [one(Value::Int(1))]);
    let avro = r#"{"type":"record","name":"r","fields":[{"name":"id","type":"long"},{"name":"x","type":"double"},
        {"name":"tags","type":{"type":"array","items":"string"}}]}"#;
    let mut message = vec![2];
    message.extend_from_slice(&2.5f64.to_le_bytes());
    message.extend_from_slice(&[4, 2, b'a', 2, b'b', 0]);
    let found = table.run("avro", &[("schema", avro)], &[&message]);
    assert_eq!(table.column(&found.rows, "id"), [one(Value::Long(1))]);
    assert_eq!(table.column(&found.rows, "sum"), [one(Value::Double(3.5))]);
    assert_eq!(table.column(&found.rows, "many"), [one(Value::Int(2))]);
}

#[test]
fn circles_are_named() {
    let schema = schema(&[("a", DataType::Long, true)]);
    let plan = |columns: &[(&str, &str)]| {
        TransformPlan::new(&schema, &Expressions { transforms: derived(columns), ..Expressions::default() }, false)
    };
    let error = plan(&[("a", "b + 1"), ("b", "a + 1")]).unwrap_err();
    assert_eq!(error.to_string(), "column 'a' is derived from itself: a, b; break the circle");
    assert!(plan(&[]).unwrap().is_none());
    assert!(plan(&[("a", "nope(b)")]).is_err());
}

#[test]
fn enrichers_stand_whatever_the_record_brings_and_go_in_their_order() {
    let asked = Expressions {
        after: Preparation { enrichments: derived(&[("b", "a + 1"), ("a", "b * 10"), ("b", "a + 1")]), types: vec![] },
        transforms: derived(&[("c", "a + b")]),
        ..Expressions::default()
    };
    let columns = [("a", DataType::Long, true), ("b", DataType::Long, true), ("c", DataType::Long, true)];
    let table = Table::of(&columns, &asked, false);
    let found = table.json(&[r#"{"a":1,"b":100}"#]);
    let row: Vec<_> = ["a", "b", "c"].iter().map(|name| table.column(&found.rows, name).remove(0)).collect();
    assert_eq!(row, [one(Value::Long(20)), one(Value::Long(21)), one(Value::Long(41))]);
}

/// What `clpEnricher` becomes: it sees what other enrichers made, and a value that is no text has no parts.
#[test]
fn log_messages_are_taken_apart() {
    let parts = [
        ("m_logtype", "clpLogtype(\"m\")"),
        ("m_dictionaryVars", "clpDictionaryVars(\"m\")"),
        ("m_encodedVars", "clpEncodedVars(\"m\")"),
    ];
    let asked =
        Expressions { after: Preparation { enrichments: derived(&parts), types: vec![] }, ..Expressions::default() };
    let columns = [
        ("m_logtype", DataType::String, true),
        ("m_dictionaryVars", DataType::String, false),
        ("m_encodedVars", DataType::Long, false),
    ];
    let table = Table::of(&columns, &asked, false);
    let found = table.json(&[r#"{"m":"task_07 took 12 ms of 30"}"#, r#"{"m":5}"#, r#"{"n":1}"#]);
    let text = |text: &str| Value::Str(text.into());
    assert_eq!(table.column(&found.rows, "m_logtype"), [one(text("\u{12} took \u{11} ms of \u{11}")), None, None]);
    let dictionary = table.column(&found.rows, "m_dictionaryVars");
    let numbers = table.column(&found.rows, "m_encodedVars");
    assert_eq!(dictionary[0].as_ref().unwrap()[..], [text("task_07")]);
    assert_eq!(numbers[0].as_ref().unwrap()[..], [Value::Long(12), Value::Long(30)]);
    assert!(dictionary[1..].iter().chain(&numbers[1..]).all(Option::is_none));
}

fn complex(unnest: &[&str], not_unnested: NotUnnested, renames: &[(&str, &str)]) -> ComplexTypeSpec {
    ComplexTypeSpec {
        unnest: unnest.iter().map(|name| (*name).into()).collect(),
        delimiter: ".".into(),
        not_unnested,
        renames: renames.iter().map(|(old, new)| ((*old).into(), (*new).into())).collect(),
    }
}

#[test]
fn maps_become_columns_and_listed_arrays_rows() {
    let asked = Expressions {
        complex_type: Some(complex(&["hits", "hits.tags"], NotUnnested::NestedToJson, &[("group.", "")])),
        transforms: derived(&[("page", "upper(\"hits.page.path\")")]),
        filter: Some("\"hits.n\" = 3".into()),
        ..Expressions::default()
    };
    let columns = [
        ("id", DataType::Long, true),
        ("page", DataType::String, true),
        ("hits.n", DataType::Long, true),
        ("hits.tags", DataType::String, true),
        ("topics", DataType::String, true),
        ("all", DataType::Json, true),
        ("ids", DataType::Long, false),
    ];
    let table = Table::of(&columns, &asked, false);
    let found = table.json(&[
        r#"{"id":1,"group":{"topics":[{"a":1}]},"ids":[4,5],"all":{"x":[1]},
            "hits":[{"n":1,"page":{"path":"/a"},"tags":["u","v"]},{"n":2,"page":{"path":"/b"}},{"n":3}]}"#,
        r#"{"id":2,"hits":[]}"#,
        r#"{"id":3,"hits":[{"n":3}]}"#,
    ]);
    assert!(found.rejects.is_empty(), "{:?}", found.rejects);
    // The message whose only row was dropped.
    assert_eq!((found.filtered, &found.rows.message_of_row[..]), (1, &[0, 0, 0, 1][..]));
    assert_eq!(table.column(&found.rows, "page"), [text("/A"), text("/A"), text("/B"), None]);
    assert_eq!(table.column(&found.rows, "hits.tags"), [text("u"), text("v"), None, None]);
    let n = |n| one(Value::Long(n));
    assert_eq!(table.column(&found.rows, "hits.n"), [n(1), n(1), n(2), None]);
    assert_eq!(table.column(&found.rows, "topics")[..2], [text(r#"[{"a":1}]"#), text(r#"[{"a":1}]"#)]);
    assert_eq!(table.column(&found.rows, "all")[0], text(r#"{"x":[1]}"#));
    assert_eq!(table.column(&found.rows, "ids")[0], Some(vec![Value::Long(4), Value::Long(5)]));
}

#[test]
fn arrays_that_stay_are_what_the_config_says() {
    for (not_unnested, expected) in [
        (NotUnnested::NestedToJson, Some(vec![Value::Long(1), Value::Long(2)])),
        (NotUnnested::Stay, Some(vec![Value::Long(1), Value::Long(2)])),
    ] {
        let asked = Expressions { complex_type: Some(complex(&[], not_unnested, &[])), ..Expressions::default() };
        let table = Table::of(&[("l", DataType::Long, false)], &asked, false);
        assert_eq!(table.column(&table.json(&[r#"{"l":[1,2]}"#]).rows, "l"), [expected]);
    }
    let asked = Expressions { complex_type: Some(complex(&[], NotUnnested::ToJson, &[])), ..Expressions::default() };
    let table = Table::of(&[("l", DataType::String, true)], &asked, false);
    assert_eq!(table.column(&table.json(&[r#"{"l":[1, 2]}"#]).rows, "l"), [text("[1,2]")]);
}

#[test]
fn a_message_does_not_become_more_rows_than_there_is_room_for() {
    let asked =
        Expressions { complex_type: Some(complex(&["a", "b", "c"], NotUnnested::Stay, &[])), ..Expressions::default() };
    let table = Table::of(&[("id", DataType::Long, true), ("a", DataType::Long, true)], &asked, false);
    let list = format!("[{}]", vec!["1"; 60].join(","));
    let many = format!(r#"{{"id":1,"a":{list},"b":{list},"c":{list}}}"#);
    let found = table.json(&[r#"{"id":0}"#, &many, r#"{"id":2,"a":[7,8]}"#]);
    assert_eq!((found.rejects.len(), found.rejects[0].message, found.rejects[0].stage), (1, 1, Stage::ComplexType));
    assert_eq!(found.rows.message_of_row, [0, 2, 2]);
}

#[test]
fn two_fields_do_not_become_one_name_in_silence() {
    let renames = [("payload.", ""), ("meta.", "")];
    let asked =
        Expressions { complex_type: Some(complex(&[], NotUnnested::NestedToJson, &renames)), ..Expressions::default() };
    let table = Table::of(&[("id", DataType::Long, true)], &asked, false);
    let found = table.json(&[r#"{"payload":{"id":1}}"#, r#"{"payload":{"id":1},"meta":{"id":2}}"#]);
    assert_eq!(table.column(&found.rows, "id"), [one(Value::Long(1))]);
    let reason = &found.rejects[0].reason;
    assert!(reason.contains("'payload.id' and 'meta.id' both become 'id'"), "{reason}");
}

#[test]
fn a_delimiter_may_begin_a_columns_name() {
    let spec = ComplexTypeSpec { delimiter: "_".into(), ..complex(&[], NotUnnested::Stay, &[]) };
    let asked = Expressions { complex_type: Some(spec), ..Expressions::default() };
    let table = Table::of(&[("__key", DataType::String, true), ("a_b", DataType::Long, true)], &asked, false);
    let found = table.json(&[r#"{"a":{"b":1}}"#, r#"{"a_b":2}"#]);
    assert_eq!(table.column(&found.rows, "a_b"), [one(Value::Long(1)), one(Value::Long(2))]);
}

#[test]
fn a_message_whose_rows_would_take_too_much_is_rejected_and_its_neighbours_are_not() {
    let spec = complex(&["items"], NotUnnested::Stay, &[]);
    let asked = Expressions { complex_type: Some(spec), ..Expressions::default() };
    // JSON columns are not cut, texts are.
    let columns = [("items", DataType::Long, true), ("note", DataType::Json, true), ("text", DataType::String, true)];
    let table = Table::of(&columns, &asked, false);
    let items = format!("[{}]", vec!["1"; 2000].join(","));
    let long = "x".repeat(100_000);
    let much = format!(r#"{{"items":{items},"note":{{"long":"{long}"}}}}"#);
    let cut = format!(r#"{{"items":[1,2],"text":"{long}"}}"#);
    let found = table.json(&[r#"{"items":[7]}"#, &much, &cut]);
    assert_eq!((found.rejects.len(), found.rejects[0].message, found.rejects[0].stage), (1, 1, Stage::ComplexType));
    assert!(found.rejects[0].reason.contains("more than 64 MiB"), "{}", found.rejects[0].reason);
    assert_eq!(found.rows.message_of_row, [0, 2, 2]);
    let ColumnData::Str(text) = &found.rows.columns[2].data else { unreachable!() };
    assert!((512..5000).contains(&text.get(1).len()), "{}", text.get(1).len());
}

/// What a message becomes does not depend on those that are fetched with it: a batch ends, and no message is refused for it.
#[test]
fn a_batch_that_has_enough_ends_before_the_next_message() {
    let spec = complex(&["items"], NotUnnested::Stay, &[]);
    let asked = Expressions { complex_type: Some(spec), ..Expressions::default() };
    let table = Table::of(&[("items", DataType::Long, true), ("note", DataType::Json, true)], &asked, false);
    let long = "x".repeat(100_000);
    let message = format!(r#"{{"items":[{}],"note":{{"long":"{long}"}}}}"#, vec!["1"; 500].join(","));
    let messages = [&*message; 8];
    let found = table.json(&messages);
    let before = found.ended_before.expect("eight times 50 MB are more than enough");
    assert!((1..8).contains(&before) && found.rows.rows() == 0 && found.rejects.is_empty());
    let found = table.json(&messages[..before as usize]);
    assert_eq!((found.ended_before, found.rows.rows(), found.rejects.len()), (None, 500 * before as usize, 0));
}

fn types(fields: &[(&str, DataType)]) -> Vec<SourceType> {
    let source = |(name, data_type): &(&str, DataType)| SourceType {
        field: ColumnName::parse(name).unwrap(),
        data_type: *data_type,
    };
    fields.iter().map(source).collect()
}

#[test]
fn fields_are_brought_to_types_before_anything_reads_them() {
    let columns = [
        ("n", DataType::Long, true),
        ("at", DataType::Long, true),
        ("m", DataType::String, true),
        ("map", DataType::Json, true),
        ("j", DataType::String, true),
        ("b", DataType::String, true),
        ("big", DataType::String, true),
        ("later", DataType::Long, true),
    ];
    let asked = Expressions {
        after: Preparation {
            types: types(&[
                ("n", DataType::Int),
                ("at", DataType::Timestamp),
                ("m", DataType::Double),
                ("map", DataType::Map),
                ("j", DataType::Json),
                ("b", DataType::Bytes),
                ("big", DataType::BigDecimal),
            ]),
            enrichments: derived(&[("later", "at + 1")]),
        },
        ..Expressions::default()
    };
    let table = Table::of(&columns, &asked, false);
    let found = table.json(&[
        r#"{"n":4294967297,"at":"1970-01-01 00:00:01","m":"1.5","map":"{\"a\": 1}","j":[1, 2],"b":"0aff","big":"1e3"}"#,
        r#"{"n":"5","at":null}"#,
        r#"{"n":[6]}"#,
        r#"{"n":[]}"#,
    ]);
    assert!(found.rejects.is_empty(), "{:?}", found.rejects);
    assert_eq!(found.altered, 1);
    let n = |n| one(Value::Long(n));
    assert_eq!(table.column(&found.rows, "n"), [n(1), n(5), n(6), None]);
    assert_eq!(table.column(&found.rows, "at")[..2], [n(1000), None]);
    assert_eq!(table.column(&found.rows, "later")[..2], [n(1001), None]);
    let first = |name: &str| table.column(&found.rows, name).remove(0);
    assert_eq!(first("m"), text("1.5"));
    assert_eq!(first("map"), text(r#"{"a":1}"#));
    assert_eq!(first("j"), text("[1,2]"));
    assert_eq!(first("b"), text("0aff"));
    assert_eq!(first("big"), text("1000"));
    // What does not fit rejects its message, or becomes null.
    let messages = [r#"{"n":1}"#, r#"{"n":"x","at":7}"#, r#"{"n":[1,2]}"#, r#"{"n":"2"}"#];
    let found = table.json(&messages);
    let rejects: Vec<_> = found.rejects.iter().map(|r| (r.message, r.stage, r.column.as_deref())).collect();
    assert_eq!(rejects, [(1, Stage::DataType, Some("n")), (2, Stage::DataType, Some("n"))]);
    assert!(found.rejects[0].reason.contains("INT takes an integer within the type's range, got 'x'"), "{found:?}");
    assert_eq!(found.rows.message_of_row, [0, 3]);
    let found = Table::of(&columns, &asked, true).json(&messages);
    assert_eq!((found.rejects.len(), found.altered), (0, 2));
    assert_eq!(table.column(&found.rows, "n"), [n(1), None, None, n(2)]);
    assert_eq!(table.column(&found.rows, "later")[1], n(8));
}

#[test]
fn types_and_enrichers_may_come_before_records_are_made_flat() {
    let asked = Expressions {
        before: Preparation {
            types: types(&[("version", DataType::Long)]),
            enrichments: derived(&[("payload", "jsonStringToMap(body)"), ("items", "jsonStringToArray(list)")]),
        },
        complex_type: Some(complex(&["items"], NotUnnested::NestedToJson, &[("payload.", "")])),
        after: Preparation { types: types(&[("n", DataType::Int)]), enrichments: derived(&[("sum", "n + version")]) },
        ..Expressions::default()
    };
    let columns = [
        ("n", DataType::String, true),
        ("sum", DataType::Long, true),
        ("items", DataType::Long, true),
        ("version", DataType::Long, true),
    ];
    let table = Table::of(&columns, &asked, false);
    let found = table.json(&[
        r#"{"body":"{\"n\":\"5\"}","list":"[7,8]","version":"2"}"#,
        r#"{"body":"{\"n\":\"5\"}","version":"two"}"#,
        r#"{"body":"{\"n\":\"x\"}","version":2}"#,
        r#"{"version":3}"#,
    ]);
    let rejects: Vec<_> = found.rejects.iter().map(|r| (r.message, r.stage, r.column.as_deref())).collect();
    assert_eq!(rejects, [(1, Stage::DataType, Some("version")), (2, Stage::DataType, Some("n"))]);
    assert_eq!(found.rows.message_of_row, [0, 0, 3]);
    assert_eq!(table.column(&found.rows, "n"), [text("5"), text("5"), None]);
    assert_eq!(table.column(&found.rows, "sum"), [one(Value::Long(7)), one(Value::Long(7)), None]);
    assert_eq!(table.column(&found.rows, "items"), [one(Value::Long(7)), one(Value::Long(8)), None]);
    let (_, raw) = table.plan.decodes();
    assert!(raw >= 5, "the decoder brings what is read before: {raw}");
    // Without anything to make flat the order is the same.
    let table = Table::of(&columns, &Expressions { complex_type: None, ..asked }, false);
    let found = table.json(&[r#"{"n":"5","list":"[7]","version":"2"}"#]);
    assert_eq!(table.column(&found.rows, "sum"), [one(Value::Long(7))]);
    assert_eq!(table.column(&found.rows, "items"), [one(Value::Long(7))]);
}

/// An empty array is a value of a column of several values, and none of a single-value one: the expression stands back for
/// the first only. Typed it is null in both.
#[test]
fn an_empty_array_beside_a_derived_column_is_what_the_record_brings() {
    let columns = [("several", DataType::String, false), ("one", DataType::String, true)];
    let derivations = [("several", "split(text, ',')"), ("one", "upper(text)")];
    let table = Table::new(&columns, &derivations, None, false);
    let found = table.json(&[r#"{"several":[],"one":[],"text":"a,b"}"#, r#"{"text":"a,b"}"#]);
    let split = Some(vec![Value::Str("a".into()), Value::Str("b".into())]);
    assert_eq!(table.column(&found.rows, "several"), [None, split.clone()]);
    assert_eq!(table.column(&found.rows, "one"), [text("A,B"), text("A,B")]);
    let default = &found.rows.columns[0];
    assert_eq!(default.values_of(0).map(|at| default.data.get(at)).collect::<Vec<_>>(), [Value::Str("null".into())]);
    let flat = Expressions {
        complex_type: Some(complex(&[], NotUnnested::NestedToJson, &[])),
        transforms: derived(&derivations),
        ..Expressions::default()
    };
    let found = Table::of(&columns, &flat, false).json(&[r#"{"several":[],"one":[],"text":"a,b"}"#]);
    assert_eq!(table.column(&found.rows, "several"), [None]);
    assert_eq!(table.column(&found.rows, "one"), [text("A,B")]);
    let avro = r#"{"type":"record","name":"r","fields":[{"name":"text","type":"string"},
        {"name":"several","type":{"type":"array","items":"string"}},
        {"name":"one","type":["null",{"type":"array","items":"string"}]}]}"#;
    let empty = [6, b'a', b',', b'b', 0, 2, 0];
    let full = [6, b'a', b',', b'b', 2, 2, b'x', 0, 0];
    let found = table.run("avro", &[("schema", avro)], &[&empty, &full]);
    assert_eq!(table.column(&found.rows, "several"), [None, Some(vec![Value::Str("x".into())])]);
    assert_eq!(table.column(&found.rows, "one"), [text("A,B"), text("A,B")]);
}

/// Whole numbers that a LONG cannot hold keep their low bits, as Pinot's do, and the row counts as altered; types that can
/// hold them do, on every way to a column.
#[test]
fn whole_numbers_beyond_long_are_altered_or_kept_on_every_way() {
    let columns = [
        ("n", DataType::Long, true),
        ("i", DataType::Int, true),
        ("s", DataType::String, true),
        ("big", DataType::BigDecimal, true),
        ("d", DataType::Double, true),
    ];
    let digits = "36893488147419103233";
    let record = format!(r#"{{"n":{digits},"i":{digits},"s":{digits},"big":{digits},"d":{digits}}}"#);
    let nested = format!(r#"{{"x":{record}}}"#);
    let plain = derived(&[("n", "m"), ("i", "m"), ("s", "m"), ("big", "m"), ("d", "m")]);
    let flat = |renames: &[(&str, &str)]| Some(complex(&[], NotUnnested::NestedToJson, renames));
    for (asked, message) in [
        // Read raw, though nothing takes their place; flat at the top, and from below.
        (Expressions { transforms: plain, ..Expressions::default() }, &record),
        (Expressions { complex_type: flat(&[]), ..Expressions::default() }, &record),
        (Expressions { complex_type: flat(&[("x.", "")]), ..Expressions::default() }, &nested),
        (Expressions { filter: Some("unknown = 1".into()), ..Expressions::default() }, &record),
    ] {
        let table = Table::of(&columns, &asked, false);
        // Those that no expression names are typed by the decoder, which counts what it alters.
        let altered = u64::from(asked.filter.is_none());
        let found = table.json(&[message]);
        assert_eq!((found.rejects.len(), found.altered), (0, altered), "{asked:?}");
        let first = |name: &str| table.column(&found.rows, name).remove(0);
        assert_eq!((first("n"), first("i")), (one(Value::Long(1)), one(Value::Int(1))), "{asked:?}");
        assert_eq!((first("s"), first("big")), (text(digits), text(digits)), "{asked:?}");
        assert_eq!(first("d"), one(Value::Double(36_893_488_147_419_103_233.0)), "{asked:?}");
    }
}

#[test]
fn an_expression_tells_what_it_reads_and_gives() {
    let facts = read_expression("lower(a) = b OR a IS NULL").unwrap();
    assert_eq!((facts.fields, facts.never_a_truth), (vec!["a".to_owned(), "b".to_owned()], None));
    assert_eq!(read_expression("a + 1").unwrap().never_a_truth.as_deref(), Some("a number"));
    assert!(read_expression("nope(a)").unwrap_err().contains("there is no function nope"));
}

/// NaN is null, -0.0 is 0.0, infinities stay: for the decoder as for expressions.
#[test]
fn special_values_are_the_same_on_every_way() {
    let columns = [("d", DataType::Double, true), ("f", DataType::Float, true), ("s", DataType::String, true)];
    let avro = r#"{"type":"record","name":"r","fields":[{"name":"x","type":"double"},{"name":"y","type":"float"},
        {"name":"d","type":"double"},{"name":"f","type":"float"}]}"#;
    let message = |value: f64| {
        let (wide, narrow) = (value.to_le_bytes(), (value as f32).to_le_bytes());
        [&wide[..], &narrow, &wide, &narrow].concat()
    };
    let messages: Vec<Vec<u8>> = [f64::NAN, -0.0, f64::INFINITY, f64::NEG_INFINITY].map(message).to_vec();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    for transforms in [&[("s", "coalesce('-', x)")][..], &[("d", "x"), ("f", "y"), ("s", "coalesce('-', d)")]] {
        let table = Table::new(&columns, transforms, None, false);
        let found = table.run("avro", &[("schema", avro)], &messages);
        assert_eq!((found.rejects.len(), found.altered), (0, 0));
        let double = |value| one(Value::Double(value));
        let expected = [None, double(0.0), double(f64::INFINITY), double(f64::NEG_INFINITY)];
        assert_eq!(table.column(&found.rows, "d"), expected);
        let ColumnData::Double(values) = &found.rows.columns[0].data else { unreachable!() };
        assert!(values[1].is_sign_positive(), "-0.0 is 0.0");
        let float = |value| one(Value::Float(value));
        let expected = [None, float(0.0), float(f32::INFINITY), float(f32::NEG_INFINITY)];
        assert_eq!(table.column(&found.rows, "f"), expected);
    }
}

/// What an old schema's time column is derived by.
#[test]
fn an_old_time_is_stored_in_its_other_granularity() {
    let derivation = [("day", "dateTimeConvert(\"ts\", '5:MINUTES:EPOCH', '1:DAYS:EPOCH', '1:DAYS')")];
    let table = Table::new(&[("day", DataType::Int, true)], &derivation, None, false);
    let found = table.json(&[r#"{"ts":5906448}"#, r#"{"day":7,"ts":5906448}"#, r#"{}"#]);
    assert_eq!(table.column(&found.rows, "day"), [one(Value::Int(20508)), one(Value::Int(7)), None]);
}
