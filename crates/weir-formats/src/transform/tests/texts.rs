//! Objects and arrays of a record as texts.

use super::{Table, one, text};
use weir_types::{DataType, Value};

/// However a message spaces an object, expressions see the JSON that a column would hold.
#[test]
fn objects_are_json_without_spaces() {
    let columns = [
        ("whole", DataType::String, true),
        ("hash", DataType::String, true),
        ("count", DataType::Int, true),
        ("list", DataType::String, true),
        ("o", DataType::Json, true),
    ];
    let derivations =
        [("whole", "concat(o, '')"), ("hash", "md5(toUtf8(o))"), ("count", "length(o)"), ("list", "concat(a, '')")];
    let table = Table::new(&columns, &derivations, None, false);
    let found = table.json(&[
        r#"{"o":{"b":[1,2],"a":"x y"},"a":[1,{"k":null}]}"#,
        "{\"o\": {\"b\" : [1,\n 2] , \"a\":\"x\\u0020y\" },\t\"a\": [ 1, {\"k\" : null} ]}",
    ]);
    let compact = r#"{"b":[1,2],"a":"x y"}"#;
    assert_eq!(found.rejects.len(), 0, "{found:?}");
    for (column, expected) in [
        ("whole", text(compact)),
        ("hash", text("5320af740432e8e52a270a797dbc277d")),
        ("count", one(Value::Int(compact.len() as i32))),
        ("list", text(r#"[1,{"k":null}]"#)),
        ("o", text(compact)),
    ] {
        let values = table.column(&found.rows, column);
        assert_eq!(values, [expected.clone(), expected], "{column}");
    }
}

/// What the columns `tags__KEYS` and `tags__VALUES` are derived by.
#[test]
fn a_map_is_taken_apart() {
    let columns = [("tags__KEYS", DataType::String, false), ("tags__VALUES", DataType::String, false)];
    let derivations = [("tags__KEYS", "mapKeys(\"tags\")"), ("tags__VALUES", "mapValues(\"tags\")")];
    let table = Table::new(&columns, &derivations, None, false);
    let found =
        table.json(&[r#"{"tags":{"b":1,"a":"x"}}"#, r#"{"tags":{"b":1},"tags__KEYS":["own"]}"#, r#"{"other":1}"#]);
    let texts = |texts: &[&str]| Some(texts.iter().map(|text| Value::Str((*text).into())).collect::<Vec<_>>());
    assert_eq!(found.rejects.len(), 0, "{found:?}");
    assert_eq!(table.column(&found.rows, "tags__KEYS"), [texts(&["a", "b"]), texts(&["own"]), None]);
    assert_eq!(table.column(&found.rows, "tags__VALUES"), [texts(&["x", "1"]), texts(&["1"]), None]);
}
