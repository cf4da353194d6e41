//! Records through expressions into columns.

use super::*;
use crate::{
    decoder::{DecodeSpec, Payload},
    registry::decoder,
};
use std::collections::BTreeMap;
use weir_types::{
    ColumnName, ComplexTypeSpec, Expressions, FieldKind, NotUnnested, Schema, SchemaVersion, TransformSpec, Value,
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
        enrichments: derived(&[("b", "a + 1"), ("a", "b * 10"), ("b", "a + 1")]),
        transforms: derived(&[("c", "a + b")]),
        ..Expressions::default()
    };
    let columns = [("a", DataType::Long, true), ("b", DataType::Long, true), ("c", DataType::Long, true)];
    let table = Table::of(&columns, &asked, false);
    let found = table.json(&[r#"{"a":1,"b":100}"#]);
    let row: Vec<_> = ["a", "b", "c"].iter().map(|name| table.column(&found.rows, name).remove(0)).collect();
    assert_eq!(row, [one(Value::Long(20)), one(Value::Long(21)), one(Value::Long(41))]);
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
