//! The decoder against its rules, and against a slow second reading built on `serde_json`.

use super::*;
use crate::coerce::{Fit, Source, push};
use proptest::prelude::*;
use weir_types::{Column, ColumnData, ColumnName, FieldKind, FieldSpec, Schema, SchemaVersion};

fn schema(fields: &[(&str, DataType, bool)]) -> Arc<Schema> {
    let field = |(name, data_type, single): &(&str, DataType, bool)| {
        let mut field = FieldSpec::new(ColumnName::parse(name).unwrap(), *data_type, FieldKind::Dimension);
        field.single_value = *single;
        field
    };
    Arc::new(Schema::new("t", SchemaVersion(1), fields.iter().map(field).collect()))
}

fn decode(schema: &Arc<Schema>, continue_on_error: bool, messages: &[&[u8]]) -> (RowBatch, Decoded) {
    let mut decoder =
        JsonDecoder::new(&DecodeSpec { schema: Arc::clone(schema), continue_on_error, topic: "t".into(), raw: 0 });
    let mut rows = RowBatch::new(schema);
    let mut payloads = (0u32..).zip(messages).map(|(message, value)| Payload { message, value, key: None });
    let decoded = decoder.decode(&mut payloads, &mut rows);
    for column in &rows.columns {
        assert_eq!(column.rows(), rows.rows());
    }
    (rows, decoded)
}

/// The values of a cell as text; `None` is null.
fn cell(column: &Column, row: usize) -> Option<Vec<String>> {
    let null = column.nulls.contains(&u32::try_from(row).unwrap());
    (!null).then(|| column.values_of(row).map(|at| column.data.get(at).to_string()).collect())
}

/// One value of JSON in a single-value column `c`: its text, `null`, or the reject.
fn one(data_type: DataType, json: &str) -> Result<String, String> {
    let (rows, decoded) = decode(&schema(&[("c", data_type, true)]), false, &[format!("{{\"c\":{json}}}").as_bytes()]);
    match decoded.rejects.first() {
        Some(reject) => Err(reject.reason.clone()),
        None => Ok(cell(&rows.columns[0], 0).map_or("null".to_owned(), |values| values.concat())),
    }
}

fn several(data_type: DataType, json: &str) -> Result<Option<Vec<String>>, String> {
    let (rows, decoded) = decode(&schema(&[("c", data_type, false)]), false, &[format!("{{\"c\":{json}}}").as_bytes()]);
    decoded.rejects.first().map_or_else(|| Ok(cell(&rows.columns[0], 0)), |reject| Err(reject.reason.clone()))
}

#[test]
fn broken_records_are_rejected_with_their_place() {
    let schema = schema(&[("a", DataType::Long, true), ("b", DataType::String, true)]);
    for (text, reason) in [
        (&b""[..], "the message is empty (byte 0 of 0)"),
        (b"  ", "the message is empty (byte 2 of 2)"),
        (b"[1]", "a JSON object is expected (byte 0 of 3, near [1])"),
        (b"17", "a JSON object is expected (byte 0 of 2, near 17)"),
        (b"{\"a\":1", "the JSON ends too early (byte 6 of 6)"),
        (b"{\"a\":1,}", "a key in quotes is expected (byte 7 of 8, near })"),
        (b"{\"a\":1 \"b\":2}", "a comma or a closing brace is expected (byte 7 of 13, near \"b\":2})"),
        (b"{\"a\":01}", "a number begins with a needless zero (byte 5 of 8, near 01})"),
        (b"{\"x\":[1,{\"y\":tru}]}", "a value is expected (byte 13 of 19, near tru}]})"),
        (b"{\"b\":\"\xff\"}", "the text is not UTF-8 (byte 6 of 9, near \u{fffd}\"})"),
        (b"{\"x\":\"\x01\"}", "a control character stands unescaped in a string (byte 6 of 9, near \u{1}\"})"),
        (b"{,\"a\":1}", "a key in quotes is expected (byte 1 of 8, near ,\"a\":1})"),
    ] {
        let (rows, decoded) = decode(&schema, false, &[b"{\"a\":5,\"b\":\"x\"}", text, b"{\"a\":6}"]);
        assert_eq!(decoded.rejects.len(), 1, "{}", String::from_utf8_lossy(text));
        assert_eq!((decoded.rejects[0].stage, decoded.rejects[0].message), (Stage::Decode, 1));
        assert_eq!(decoded.rejects[0].reason, reason);
        assert_eq!(rows.message_of_row, [0, 2]);
        assert_eq!(cell(&rows.columns[0], 1).unwrap(), ["6"]);
    }
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let schema = schema(&[("a", DataType::Long, true)]);
    let (rows, decoded) = decode(&schema, false, &[b"\xEF\xBB\xBF{\"a\":7}", b"\xEF\xBB{\"a\":8}"]);
    assert_eq!(cell(&rows.columns[0], 0).unwrap(), ["7"]);
    assert_eq!(decoded.rejects.len(), 1, "a piece of one is no text");
}

#[test]
fn duplicates_absences_and_tails() {
    let schema = schema(&[("a", DataType::Int, true), ("b", DataType::String, false)]);
    let (rows, decoded) = decode(
        &schema,
        false,
        &[
            b"{\"a\":\"x\",\"b\":[\"p\",\"q\"],\"a\":3,\"b\":\"r\"}",
            b"{\"a\":5000000000,\"a\":1}  ",
            b"{} {",
            b"{\"a\":7}\xff\xff",
            b"{\"\\u0061\":8,\"b\":null}",
        ],
    );
    assert_eq!(decoded, Decoded { altered: 2, ..Decoded::default() });
    let a: Vec<_> = (0..5).map(|row| cell(&rows.columns[0], row).map(|values| values.concat())).collect();
    assert_eq!(a, [Some("3".to_owned()), Some("1".to_owned()), None, Some("7".to_owned()), Some("8".to_owned())]);
    assert_eq!(cell(&rows.columns[1], 0), Some(vec!["r".to_owned()]));
    assert_eq!(rows.columns[1].nulls, [1, 2, 3, 4]);
}

#[test]
fn a_type_reject_names_column_value_and_remedy() {
    let schema = schema(&[("a", DataType::Int, true), ("b", DataType::Long, true)]);
    let messages: [&[u8]; 2] = [b"{\"b\":1,\"a\":\"1.5\"}", b"{\"b\":2,\"a\":4}"];
    let (rows, decoded) = decode(&schema, false, &messages);
    assert_eq!(rows.message_of_row, [1]);
    let reject = &decoded.rejects[0];
    assert_eq!((reject.stage, reject.column.as_deref()), (Stage::DataType, Some("a")));
    assert_eq!(reject.reason, "INT takes an integer within the type's range, got \"1.5\"");
    let (rows, decoded) = decode(&schema, true, &messages);
    assert_eq!((rows.rows(), decoded.incomplete, decoded.rejects.len()), (2, 1, 0));
    assert_eq!((cell(&rows.columns[0], 0), cell(&rows.columns[1], 0)), (None, Some(vec!["1".to_owned()])));
}

#[test]
fn a_value_is_told_without_the_space_before_it() {
    let schema = schema(&[("a", DataType::Int, true)]);
    for before in ["", " ", "\n\t "] {
        // Alone and behind one of its form, which is read by what is expected.
        let message = format!("{{\"a\":{before}\"x\"}}");
        let (_, decoded) = decode(&schema, false, &[message.as_bytes(), b"{\"a\": 1}", message.as_bytes()]);
        assert_eq!(decoded.rejects.len(), 2);
        for reject in &decoded.rejects {
            assert_eq!(reject.reason, "INT takes an integer within the type's range, got \"x\"", "{message}");
        }
    }
}

#[test]
fn shapes_of_arrays_and_objects() {
    assert_eq!(one(DataType::Long, "[]"), Ok("null".to_owned()));
    assert_eq!(one(DataType::Long, "[null, 5]"), Ok("5".to_owned()));
    assert_eq!(one(DataType::Long, "[[\"6\"]]"), Ok("6".to_owned()));
    assert_eq!(one(DataType::Long, "{\"long\": 7}"), Ok("7".to_owned()));
    assert_eq!(
        one(DataType::Long, "[1,2]"),
        Err("LONG takes one value, not several values into a single-value column, got [1,2]".to_owned())
    );
    assert_eq!(one(DataType::String, "{ \"a\" : [ 1 ] }"), Ok("{\"a\":[1]}".to_owned()));
    assert_eq!(one(DataType::String, "{}"), Ok("null".to_owned()));
    assert_eq!(one(DataType::Json, "[ 1, {} ]"), Ok("[1,{}]".to_owned()));
    let texts = |texts: &[&str]| Ok(Some(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()));
    assert_eq!(several(DataType::Int, "[1, null, 2.9, \"3\", true]"), texts(&["1", "2", "3", "1"]));
    assert_eq!(several(DataType::Int, "4"), texts(&["4"]));
    assert_eq!(several(DataType::Int, "[[1,2]]"), texts(&["1", "2"]));
    assert_eq!(several(DataType::Int, "[[1],[],2]"), texts(&["1", "2"]));
    assert_eq!(several(DataType::Int, "{\"x\":1,\"y\":2}"), texts(&["1", "2"]));
    assert_eq!(several(DataType::String, "[{\"x\": 1}, \"y\"]"), texts(&["{\"x\":1}", "y"]));
    assert_eq!(several(DataType::Double, "[\"NaN\", -0.0]"), texts(&["0"]));
    for null in ["[]", "null", "[null]", "[[]]", "{}"] {
        assert_eq!(several(DataType::Int, null), Ok(None), "{null}");
    }
    assert!(several(DataType::Int, "[1,\"x\"]").is_err());
    assert!(several(DataType::Int, "[[1,2],3]").is_err());
    let (_, decoded) = decode(&schema(&[("c", DataType::Int, false)]), false, &[b"{\"c\":[1,]}"]);
    assert_eq!(decoded.rejects[0].stage, Stage::Decode);
}

#[test]
fn deep_nesting_is_refused_and_lone_surrogates_replaced() {
    let deep = |depth: usize| format!("{{\"c\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
    let schema = schema(&[("c", DataType::Int, true)]);
    let (_, decoded) = decode(&schema, false, &[deep(127).as_bytes(), deep(128).as_bytes()]);
    assert_eq!(decoded.rejects.len(), 1);
    assert!(decoded.rejects[0].reason.starts_with("arrays and objects nest deeper than 128 levels"));
    assert_eq!(one(DataType::String, "\"a\\ud800b\""), Ok("a\u{fffd}b".to_owned()));
}

#[test]
fn an_order_that_changes_changes_nothing() {
    let schema = schema(&[("a", DataType::Int, true), ("b", DataType::Int, true), ("c", DataType::Int, true)]);
    let texts: [&[u8]; 6] = [
        b"{\"a\":1,\"b\":2,\"c\":3}",
        b"{\"a\":1,\"c\":3}",
        b"{\"c\":3,\"x\":{\"a\":9},\"b\":2,\"a\":1}",
        b" { \"a\" : 1 , \"b\" : 2 } ",
        b"{\"a\":1,\"b\":2,\"c\":3}",
        b"{\"b\":2}",
    ];
    let (rows, decoded) = decode(&schema, false, &texts);
    assert_eq!(decoded, Decoded::default());
    for (row, text) in texts.into_iter().enumerate() {
        let cells: Vec<_> = rows.columns.iter().map(|column| cell(column, row).map(|values| values.concat())).collect();
        let alone = decode(&schema, false, &[text]).0;
        let expected: Vec<_> =
            alone.columns.iter().map(|column| cell(column, 0).map(|values| values.concat())).collect();
        assert_eq!(cells, expected, "{row}");
    }
}

/// The second reading: shape and type of one value, from a document.
fn slow(value: &serde_json::Value, data_type: DataType, single: bool) -> Result<Vec<String>, ()> {
    let mut leaves = vec![];
    let whole = matches!(data_type, DataType::Json | DataType::Map);
    if whole && !value.is_null() {
        leaves.push(value)
    } else {
        slow_leaves(value, data_type, single, &mut leaves)?
    }
    let mut out = vec![];
    for leaf in leaves {
        let text = leaf.to_string();
        let number = || text.parse::<f64>().unwrap();
        let source = match leaf {
            serde_json::Value::Bool(value) if !whole => Source::Bool(*value),
            serde_json::Value::String(value) => Source::Text(value),
            serde_json::Value::Number(_) if !whole => match text.parse::<i64>() {
                Ok(value) => Source::Integer(value),
                Err(_) if !text.contains(['.', 'e', 'E']) => Source::Decimal(&text),
                Err(_) if data_type == DataType::BigDecimal => Source::Decimal(&text),
                Err(_) => Source::Double(number()),
            },
            _ => Source::Json(&text),
        };
        let mut data = ColumnData::new(data_type.stored());
        match push(data_type, source, &mut data, &mut vec![]).map_err(|_| ())? {
            Fit::Null => {}
            Fit::Stored | Fit::Altered => out.push(data.get(0).to_string()),
        }
    }
    Ok(out)
}

fn slow_leaves<'a>(
    value: &'a serde_json::Value,
    data_type: DataType,
    single: bool,
    leaves: &mut Vec<&'a serde_json::Value>,
) -> Result<(), ()> {
    let items: Vec<&serde_json::Value> = match value {
        serde_json::Value::Null => return Ok(()),
        serde_json::Value::Object(map) if data_type == DataType::String && !map.is_empty() => {
            leaves.push(value);
            return Ok(());
        }
        serde_json::Value::Object(map) => map.values().collect(),
        serde_json::Value::Array(items) => items.iter().collect(),
        _ => {
            leaves.push(value);
            return Ok(());
        }
    };
    let before = leaves.len();
    for item in &items {
        slow_leaves(item, data_type, single || items.len() > 1, leaves)?;
    }
    if single && leaves.len() > before + 1 { Err(()) } else { Ok(()) }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let number = "-?(0|[1-9][0-9]{0,21})(\\.[0-9]{1,18}(e[+-][0-9]{1,2})?)?";
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        number.prop_map(|text| serde_json::from_str(&text).unwrap()),
        any::<String>().prop_map(Into::into),
        prop_oneof![
            "-?[0-9]{1,20}",
            " ?[0-9]{1,3}\\.[0-9]{0,3} ?",
            "true|1|NaN|Infinity",
            "[0-9a-fA-F]{0,6}",
            "20[0-9]{2}-[01][0-9]-[0-3][0-9]([ T][0-2][0-9]:[0-5][0-9]:00(Z|\\.5)?)?",
            "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "\\{\"a\": ?[0-9]\\}"
        ]
        .prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::vec(("[a-c\"é]{1,2}", inner), 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

#[test]
fn the_shelf_s_suite_holds() {
    crate::conformance::conformance(&|spec| Box::new(JsonDecoder::new(&spec)), &|sample| {
        let mut record = serde_json::json!({ "id": sample.id, "skipped": { "x": [sample.id] } });
        if let Some(name) = &sample.name {
            record["name"] = name.as_str().into();
        }
        if let Some(score) = sample.score {
            record["score"] = score.into();
        }
        record["tags"] = sample.tags.clone().into();
        record.to_string().into_bytes()
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_type_equals_the_second_reading(values in proptest::collection::vec(any_json(), 1..5), pretty in any::<bool>()) {
        let records: Vec<String> = values
            .iter()
            .map(|value| {
                let record = serde_json::json!({ "other": value, "c": value });
                if pretty { serde_json::to_string_pretty(&record).unwrap() } else { record.to_string() }
            })
            .collect();
        let messages: Vec<&[u8]> = records.iter().map(String::as_bytes).collect();
        for data_type in DataType::ALL {
            for single in [true, false] {
                if !single && matches!(data_type, DataType::Json | DataType::Map) {
                    continue;
                }
                let (rows, decoded) = decode(&schema(&[("c", data_type, single)]), false, &messages);
                let mut row = 0;
                for (message, value) in (0u32..).zip(&values) {
                    let reject = decoded.rejects.iter().find(|reject| reject.message == message);
                    match slow(value, data_type, single) {
                        Err(()) => prop_assert!(reject.is_some(), "{data_type} {single} {value}"),
                        Ok(expected) => {
                            prop_assert!(reject.is_none(), "{data_type} {single} {value} {reject:?}");
                            let found = cell(&rows.columns[0], row).unwrap_or_default();
                            prop_assert_eq!(found, expected, "{} {} {}", data_type, single, value);
                            row += 1;
                        }
                    }
                }
                prop_assert_eq!(row, rows.rows());
            }
        }
    }

    #[test]
    fn mutated_bytes_are_taken_or_refused_as_serde_does(
        value in any_json(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 0..4),
    ) {
        let mut text = serde_json::json!({ "c": value, "d": [1, "x\\n"] }).to_string().into_bytes();
        for (at, byte, kind) in edits {
            let at = at.index(text.len());
            match kind {
                0 => text[at] = byte,
                1 => text.insert(at, b"{}[]\",:\\0-.e "[usize::from(byte) % 13]),
                _ => text.truncate(at.max(1)),
            }
        }
        let fields = DataType::ALL.map(|data_type| ("c", data_type, true));
        for field in fields {
            let (rows, decoded) = decode(&schema(&[field]), true, &[&text, b"{\"c\":1}", &text]);
            prop_assert_eq!(rows.rows() + decoded.rejects.len(), 3);
            // Lone surrogates and bytes after the object are where the two differ by design.
            let mut stream = serde_json::Deserializer::from_slice(&text).into_iter::<&serde_json::value::RawValue>();
            let strict = matches!(stream.next(), Some(Ok(raw)) if raw.get().starts_with('{'));
            prop_assert_eq!(rows.message_of_row.contains(&0), strict, "{:?}", String::from_utf8_lossy(&text));
            prop_assert_eq!(rows.message_of_row.contains(&2), strict);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in "[{}\\[\\]\",:\\\\a-c0-9.eE+ -]{0,40}") {
        let schema = schema(&[("a", DataType::Json, true), ("b", DataType::Long, false), ("c", DataType::String, true)]);
        let (rows, decoded) = decode(&schema, false, &[&bytes, text.as_bytes(), format!("{{\"a\":{text}}}").as_bytes()]);
        prop_assert_eq!(rows.rows() + decoded.rejects.len(), 3);
    }
}

#[test]
fn a_lead_is_told_by_words_as_by_bytes() {
    let text = b",\"country\": \"DE\", \"more\": 1}";
    for length in 0..=text.len() {
        for cut in 0..=text.len() {
            let mut bytes = text[..length].to_vec();
            for wrong in [false, true] {
                if wrong && let Some(last) = bytes.last_mut() {
                    *last ^= 1;
                }
                let lead = Lead { begin: beginning(&bytes), bytes: bytes.clone(), column: None };
                assert_eq!(lead.begins(&text[..cut]), text[..cut].starts_with(&bytes), "{length} of {cut}, {wrong}");
            }
        }
    }
}
