//! Fields that the schema does not name.

use super::*;
use weir_types::{ConformingSpec, MergedTextSpec};

fn paths(paths: &[&str]) -> Vec<Arc<str>> {
    paths.iter().map(|path| (*path).into()).collect()
}

fn column(name: &str) -> ColumnName {
    ColumnName::parse(name).unwrap()
}

/// What the settings are that nobody has given.
fn defaults() -> ConformingSpec {
    ConformingSpec {
        rest: Some(column("json_data")),
        unindexed_rest: Some(column("json_data_no_idx")),
        unindexed_suffix: "_noindex".into(),
        searched_only: paths(&["message"]),
        ..ConformingSpec::default()
    }
}

fn searched() -> MergedTextSpec {
    MergedTextSpec {
        column: column("texts"),
        value_first: true,
        separator: ":".into(),
        anchors: ("".into(), "".into()),
        lower_too: false,
        longest: 32_766,
        binary_from: 512,
        without: vec![],
        without_prefixes: vec![],
    }
}

const COLUMNS: [(&str, DataType, bool); 8] = [
    ("id", DataType::Long, true),
    ("host.name", DataType::String, true),
    ("labels", DataType::Json, true),
    ("level", DataType::String, true),
    ("upper", DataType::String, true),
    ("json_data", DataType::Json, true),
    ("json_data_no_idx", DataType::Json, true),
    ("texts", DataType::String, false),
];

fn table(spec: ConformingSpec) -> Table {
    let asked = Expressions {
        transforms: derived(&[("upper", "upper(level)")]),
        filter: Some("id = 9".into()),
        conforming: Some(spec),
        ..Expressions::default()
    };
    Table::of(&COLUMNS, &asked, false)
}

fn first(table: &Table, found: &Transformed, name: &str) -> Option<Vec<Value>> {
    table.column(&found.rows, name).remove(0)
}

fn several(texts: &[&str]) -> Option<Vec<Value>> {
    Some(texts.iter().map(|text| Value::Str((*text).into())).collect())
}

#[test]
fn what_has_no_column_keeps_its_structure() {
    let table = table(defaults());
    let found = table.json(&[
        r#"{"id":1,"host":{"name":"a","cpu":{"load":1.50},"none":null},"labels":{"x":{"y":1}},"level":"warn","message":"hello",
            "big":12345678901234567890123,"list":[{"a":1}],"empty":{},"raw_noindex":{"b":[1]},"deep":{"c_noindex":"d","e":true}}"#,
        r#"{"id":2}"#,
        r#"{"id":9,"x":1}"#,
    ]);
    assert!(found.rejects.is_empty(), "{:?}", found.rejects);
    assert_eq!((found.filtered, &found.rows.message_of_row[..]), (1, &[0, 1][..]));
    assert_eq!(first(&table, &found, "id"), one(Value::Long(1)));
    assert_eq!(first(&table, &found, "host.name"), text("a"));
    assert_eq!(first(&table, &found, "labels"), text(r#"{"x":{"y":1}}"#));
    assert_eq!(first(&table, &found, "upper"), text("WARN"));
    let rest =
        r#"{"host":{"cpu":{"load":1.50}},"big":12345678901234567890123,"list":[{"a":1}],"empty":{},"deep":{"e":true}}"#;
    assert_eq!(first(&table, &found, "json_data"), text(rest));
    assert_eq!(
        first(&table, &found, "json_data_no_idx"),
        text(r#"{"raw_noindex":{"b":[1]},"deep":{"c_noindex":"d"}}"#)
    );
    assert_eq!(table.column(&found.rows, "json_data")[1], None);
    assert_eq!(table.column(&found.rows, "texts"), [None, None]);
}

#[test]
fn paths_are_dropped_kept_doubled_and_searched_as_the_config_says() {
    let spec = ConformingSpec {
        dropped: paths(&["secret", "host.token"]),
        whole: paths(&["labels"]),
        whole_and_searched: paths(&["level"]),
        doubled: paths(&["id"]),
        paths: vec![(column("host.name"), "host.id".into())],
        text: Some(MergedTextSpec { without: paths(&["noise"]), without_prefixes: paths(&["debug."]), ..searched() }),
        ..defaults()
    };
    let table = table(spec);
    let found = table.json(&[r#"{"id":1,"host":{"id":"h1","name":"n","token":"t"},"secret":{"a":1},"labels":{"x":1},
        "level":"Warn","message":"hello","noise":"n","debug":{"a":"b"},"flags":[true,2],"upper":"brought"}"#]);
    assert!(found.rejects.is_empty(), "{:?}", found.rejects);
    assert_eq!(first(&table, &found, "host.name"), text("h1"));
    assert_eq!(first(&table, &found, "labels"), text(r#"{"x":1}"#));
    assert_eq!(first(&table, &found, "upper"), text("brought"));
    let rest = r#"{"id":1,"host":{"name":"n"},"noise":"n","debug":{"a":"b"},"flags":[true,2]}"#;
    assert_eq!(first(&table, &found, "json_data"), text(rest));
    let texts = ["1:id", "h1:host.id", "n:host.name", "Warn:level", "hello:message", "[true,2]:flags", "brought:upper"];
    assert_eq!(first(&table, &found, "texts"), several(&texts));
}

#[test]
fn texts_are_cut_ordered_and_lowered_and_binary_ones_left_out() {
    let spec = ConformingSpec {
        rest: None,
        unindexed_rest: None,
        text: Some(MergedTextSpec {
            value_first: false,
            separator: "=".into(),
            anchors: ("<".into(), ">".into()),
            lower_too: true,
            longest: 12,
            binary_from: 8,
            ..searched()
        }),
        ..defaults()
    };
    let table = table(spec);
    let found =
        table.json(&[r#"{"id":7,"a":"Ab","b":"abcdefg=","c":"ééééééé!","d":"not base 64 at all","x_noindex":"no"}"#]);
    assert!(found.rejects.is_empty(), "{:?}", found.rejects);
    // Twelve bytes with what stands around: eight of the value.
    let texts = ["<id=7>", "<a=ab>", "<a=Ab>", "<c=éééé>", "<d=not base>"];
    assert_eq!(first(&table, &found, "texts"), several(&texts));
    assert_eq!((first(&table, &found, "json_data"), first(&table, &found, "json_data_no_idx")), (None, None));
}

/// A field of the record that has the name of the raw one is a field like others.
#[test]
fn the_whole_record_is_no_field_of_the_record() {
    let table = table(defaults());
    let found = table.json(&[r#"{"$record":5,"id":1} trailing"#, "{}"]);
    assert_eq!((found.rejects.len(), found.rows.rows()), (0, 2));
    assert_eq!(table.column(&found.rows, "json_data"), [text(r#"{"$record":5}"#), None]);
}
