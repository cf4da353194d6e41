//! The whole matrix, cell by cell: what is expected is written here, the page of types is written from it.

use super::*;
use crate::{
    decoder::{DecodeSpec, Payload, Stage},
    registry::decoder,
};
use std::{collections::BTreeMap, fmt::Write as _, path::Path, sync::Arc};
use weir_types::{ColumnName, FieldKind, FieldSpec, RowBatch, Schema, SchemaVersion, Value};

/// How a cell is written: a value, `~` before one that is altered, `null`, `=null` for that text, `-` for a reject.
type Cell = &'static str;

const UUID_TEXT: &str = "123e4567-e89b-12d3-a456-426614174000";
const UUID_HEX: &str = "123e4567e89b12d3a456426614174000";
const UUID_BYTES: [u8; 16] =
    [0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0];

/// Single values: what it is, the value, and what it becomes in each type in the order of `DataType::ALL`: INT, LONG, FLOAT,
/// DOUBLE, BIG_DECIMAL, BOOLEAN, TIMESTAMP, STRING, JSON, BYTES, UUID, MAP.
#[rustfmt::skip]
const SINGLE: &[(&str, Source<'static>, [Cell; 12])] = &[
    ("truth `true`", Source::Bool(true),
        ["1", "1", "1", "1", "1", "1", "-", "true", "true", "-", "-", "-"]),
    ("whole number `0`", Source::Integer(0),
        ["0", "0", "0", "0", "0", "0", "0", "0", "0", "-", "-", "-"]),
    ("whole number `5`", Source::Integer(5),
        ["5", "5", "5", "5", "5", "1", "5", "5", "5", "-", "-", "-"]),
    ("whole number `4294967297`", Source::Integer(4_294_967_297),
        ["~1", "4294967297", "4294967300", "4294967297", "4294967297", "1", "4294967297", "4294967297", "4294967297", "-", "-", "-"]),
    ("whole number `36893488147419103233`", Source::Decimal("36893488147419103233"),
        ["~1", "~1", "36893490000000000000", "36893488147419103000", "36893488147419103233", "1", "~1",
         "36893488147419103233", "36893488147419103233", "-", "-", "-"]),
    ("double `2.5`", Source::Double(2.5),
        ["~2", "~2", "2.5", "2.5", "2.5", "1", "~2", "2.5", "2.5", "-", "-", "-"]),
    ("double `-1e20`", Source::Double(-1e20),
        ["~-2147483648", "~-9223372036854775808", "-100000000000000000000", "-100000000000000000000", "-100000000000000000000",
         "1", "~-9223372036854775808", "-1.0E20", "-1.0E20", "-", "-", "-"]),
    ("double `-0.0`", Source::Double(-0.0),
        ["0", "0", "0", "0", "0", "0", "0", "0.0", "0.0", "-", "-", "-"]),
    ("double NaN", Source::Double(f64::NAN),
        ["~0", "~0", "null", "null", "null", "1", "~0", "null", "=null", "-", "-", "-"]),
    ("double infinity", Source::Double(f64::INFINITY),
        ["~2147483647", "~9223372036854775807", "inf", "inf", "-", "1", "~9223372036854775807", "Infinity", "=null", "-", "-", "-"]),
    ("float `2.5`", Source::Float(2.5),
        ["~2", "~2", "2.5", "2.5", "2.5", "1", "-", "2.5", "2.5", "-", "-", "-"]),
    ("decimal `12.340`", Source::Decimal("12.340"),
        ["~12", "~12", "12.34", "12.34", "12.34", "1", "~12", "12.340", "12.340", "-", "-", "-"]),
    ("timestamp of 1500 ms", Source::Timestamp(1500),
        ["-", "1500", "1500", "1500", "1500", "-", "1500", "1970-01-01 00:00:01.5", "1500", "-", "-", "-"]),
    ("text `5`", Source::Text("5"),
        ["5", "5", "5", "5", "5", "0", "5", "5", "5", "-", "-", "-"]),
    ("text `1.5`", Source::Text("1.5"),
        ["-", "-", "1.5", "1.5", "1.5", "0", "-", "1.5", "1.5", "-", "-", "-"]),
    ("text `4294967297`", Source::Text("4294967297"),
        ["-", "4294967297", "4294967300", "4294967297", "4294967297", "0", "4294967297", "4294967297", "4294967297",
         "4294967297", "-", "-"]),
    ("text `TRUE`", Source::Text("TRUE"),
        ["-", "-", "-", "-", "-", "1", "-", "TRUE", "\"TRUE\"", "-", "-", "-"]),
    ("text `1`", Source::Text("1"),
        ["1", "1", "1", "1", "1", "1", "1", "1", "1", "-", "-", "-"]),
    ("text `NaN`", Source::Text("NaN"),
        ["-", "-", "null", "null", "-", "0", "-", "NaN", "\"NaN\"", "-", "-", "-"]),
    ("text `Infinity`", Source::Text("Infinity"),
        ["-", "-", "inf", "inf", "-", "0", "-", "Infinity", "\"Infinity\"", "-", "-", "-"]),
    ("text `2026-01-31T12:00:00Z`", Source::Text("2026-01-31T12:00:00Z"),
        ["-", "-", "-", "-", "-", "0", "1769860800000", "2026-01-31T12:00:00Z", "\"2026-01-31T12:00:00Z\"", "-", "-", "-"]),
    ("text `2026-01-31`", Source::Text("2026-01-31"),
        ["-", "-", "-", "-", "-", "0", "1769817600000", "2026-01-31", "\"2026-01-31\"", "-", "-", "-"]),
    ("text `{\"a\": 1}`", Source::Text("{\"a\": 1}"),
        ["-", "-", "-", "-", "-", "0", "-", "{\"a\": 1}", "{\"a\":1}", "-", "-", "{\"a\":1}"]),
    ("text `0aFF`", Source::Text("0aFF"),
        ["-", "-", "-", "-", "-", "0", "-", "0aFF", "\"0aFF\"", "0aff", "-", "-"]),
    ("text of a UUID", Source::Text(UUID_TEXT),
        ["-", "-", "-", "-", "-", "0", "-", UUID_TEXT, "\"123e4567-e89b-12d3-a456-426614174000\"", "-", UUID_HEX, "-"]),
    ("empty text", Source::Text(""),
        ["-", "-", "-", "-", "-", "0", "-", "", "\"\"", "", "-", "-"]),
    ("bytes `00010f`", Source::Bytes(&[0, 1, 15]),
        ["-", "-", "-", "-", "1.5", "-", "-", "00010f", "\"00010f\"", "00010f", "-", "-"]),
    ("bytes `ff`", Source::Bytes(&[255]),
        ["-", "-", "-", "-", "-", "-", "-", "ff", "\"ff\"", "ff", "-", "-"]),
    ("16 bytes of a UUID", Source::Bytes(&UUID_BYTES),
        ["-", "-", "-", "-", "-", "-", "-", UUID_HEX, "\"123e4567e89b12d3a456426614174000\"", UUID_HEX, UUID_HEX, "-"]),
    ("UUID", Source::Uuid(UUID_BYTES),
        ["-", "-", "-", "-", "-", "-", "-", UUID_TEXT, "\"123e4567-e89b-12d3-a456-426614174000\"", UUID_HEX, UUID_HEX, "-"]),
    ("object `{ \"a\": 1 }`", Source::Json("{ \"a\": 1 }"),
        ["-", "-", "-", "-", "-", "-", "-", "{\"a\":1}", "{\"a\":1}", "-", "-", "{\"a\":1}"]),
];

/// The columns of the second table.
const SHAPES_INTO: [(&str, DataType, bool); 6] = [
    ("INT", DataType::Int, true),
    ("STRING", DataType::String, true),
    ("JSON", DataType::Json, true),
    ("MAP", DataType::Map, true),
    ("several INT", DataType::Int, false),
    ("several STRING", DataType::String, false),
];

/// Arrays and objects, as a JSON message has them. Several values of a cell stand with `|` between them.
#[rustfmt::skip]
const SHAPES: &[(&str, [Cell; 6])] = &[
    ("null", ["null", "null", "null", "null", "null", "null"]),
    ("5", ["5", "5", "5", "-", "5", "5"]),
    ("[]", ["null", "null", "[]", "-", "null", "null"]),
    ("[null]", ["null", "null", "[null]", "-", "null", "null"]),
    ("[5]", ["5", "5", "[5]", "-", "5", "5"]),
    ("[[5]]", ["5", "5", "[[5]]", "-", "5", "5"]),
    ("[1,null,2]", ["-", "-", "[1,null,2]", "-", "1|2", "1|2"]),
    ("[1,\"x\"]", ["-", "-", "[1,\"x\"]", "-", "-", "1|x"]),
    ("[1,4294967298]", ["-", "-", "[1,4294967298]", "-", "~1|2", "1|4294967298"]),
    ("[[1,2],[3]]", ["-", "-", "[[1,2],[3]]", "-", "-", "-"]),
    ("{}", ["null", "null", "{}", "{}", "null", "null"]),
    ("{\"k\":5}", ["5", "{\"k\":5}", "{\"k\":5}", "{\"k\":5}", "5", "{\"k\":5}"]),
    ("{\"a\":1,\"b\":2}", ["-", "{\"a\":1,\"b\":2}", "{\"a\":1,\"b\":2}", "{\"a\":1,\"b\":2}", "1|2", "{\"a\":1,\"b\":2}"]),
];

#[test]
fn every_value_in_every_type() {
    let mut wrong = vec![];
    for (what, source, cells) in SINGLE {
        for (data_type, expected) in DataType::ALL.into_iter().zip(cells) {
            let mut data = ColumnData::new(data_type.stored());
            let found = match push(data_type, *source, &mut data, &mut vec![9]) {
                Ok(Fit::Stored) if data.get(0) == Value::Str("null".into()) => "=null".to_owned(),
                Ok(Fit::Stored) => data.get(0).to_string(),
                Ok(Fit::Altered) => format!("~{}", data.get(0)),
                Ok(Fit::Null) => "null".to_owned(),
                Err(_) => "-".to_owned(),
            };
            assert_eq!(data.len(), usize::from(found != "-" && found != "null"));
            if found != *expected {
                wrong.push(format!("{what} as {data_type}: {found}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_shape_in_every_column() {
    let mut wrong = vec![];
    for (json, cells) in SHAPES {
        for ((what, data_type, single_value), expected) in SHAPES_INTO.into_iter().zip(cells) {
            for lenient in [false, true] {
                let found = decoded(json, data_type, single_value, lenient);
                // What is rejected is null instead where the table goes on after errors, and counted.
                let expected = if lenient && *expected == "-" { "incomplete" } else { expected };
                if found != expected {
                    wrong.push(format!("{json} as {what}, lenient {lenient}: {found}, not {expected}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a value becomes in a column of its own.
fn decoded(json: &str, data_type: DataType, single_value: bool, lenient: bool) -> String {
    let name = ColumnName::parse("c").unwrap();
    let field = FieldSpec { single_value, ..FieldSpec::new(name, data_type, FieldKind::Dimension) };
    let schema = Arc::new(Schema::new("t", SchemaVersion(1), vec![field]));
    let spec = DecodeSpec { schema: schema.clone(), continue_on_error: lenient, topic: "t".into(), raw: 0 };
    let mut decoder = decoder("json", &BTreeMap::new(), spec).unwrap();
    let message = format!("{{\"c\":{json}}}");
    let mut rows = RowBatch::new(&schema);
    let payload = Payload { message: 0, value: message.as_bytes(), key: None };
    let done = decoder.decode(&mut std::iter::once(payload), &mut rows);
    if let [reject] = done.rejects.as_slice() {
        assert_eq!((reject.stage, reject.column.as_deref(), rows.rows()), (Stage::DataType, Some("c"), 0));
        return "-".to_owned();
    }
    let column = &rows.columns[0];
    if done.incomplete > 0 {
        assert_eq!((done.incomplete, &column.nulls[..], column.rows()), (1, &[0][..], 1));
        return "incomplete".to_owned();
    }
    if column.nulls == [0] {
        return "null".to_owned();
    }
    let values: Vec<String> = column.values_of(0).map(|at| column.data.get(at).to_string()).collect();
    format!("{}{}", if done.altered > 0 { "~" } else { "" }, values.join("|"))
}

#[test]
fn defaults_of_nulls_are_pinots() {
    use DataType::*;
    let int = |value| Value::Int(value);
    let (text, empty) = (|text: &str| Value::Str(text.into()), Value::Bytes(Arc::new([])));
    for (data_type, dimension, metric) in [
        (Int, int(i32::MIN), Some(int(0))),
        (Long, Value::Long(i64::MIN), Some(Value::Long(0))),
        (Float, Value::Float(f32::NEG_INFINITY), Some(Value::Float(0.0))),
        (Double, Value::Double(f64::NEG_INFINITY), Some(Value::Double(0.0))),
        (BigDecimal, text("0"), Some(text("0"))),
        (Boolean, int(0), None),
        (Timestamp, Value::Long(0), None),
        (String, text("null"), Some(text("null"))),
        (Json, text("null"), None),
        (Bytes, empty.clone(), Some(empty)),
        (Uuid, Value::Bytes(Arc::new([0; 16])), None),
        (Map, text("{}"), None),
    ] {
        assert_eq!(data_type.default_null(FieldKind::Dimension), dimension, "{data_type}");
        if let Some(metric) = metric {
            assert_eq!(data_type.default_null(FieldKind::Metric), metric, "{data_type}");
        }
    }
}

const HEAD: &str = "# What a value becomes in a column

Rows are values as a message brings them, columns are the types of a schema. Marks: `-`: the message is rejected (with
`continueOnError` the cell is null); *altered*: the value wrapped or was cut, and the row counts as altered (column `altered` of
`system.partitions`); *null*: the cell is null. Lengths are a matter of the steps after this one ([ingestion.md](ingestion.md)).

What a message may bring depends on its format: JSON has no timestamps, bytes or UUIDs, and a number with a fraction is a double;
for a BIG_DECIMAL column and for JSON columns it keeps the digits that were written. CSV has texts only.

Unlike Pinot: a small JSON number is milliseconds for TIMESTAMP (Pinot rejects what fits 32 bits), a text time without a zone is
UTC (Pinot takes the zone of its server), and JSON numbers reach BIG_DECIMAL with their digits (Pinot goes through a double). A
MAP is not read from Pinot's bytes of one. As in Pinot, a TIMESTAMP column takes a time in these forms whatever `format` its
`dateTimeFieldSpecs` entry has (`SIMPLE_DATE_FORMAT:yyyyMMdd` of it means nothing): a pattern is read by `fromDateTime` in a
`transformConfigs` entry.

This page is written from `crates/weir-formats/src/coerce/matrix.rs`, whose test holds every cell against the code;
`WEIR_BLESS=1 cargo test -p weir-formats page_of_types` writes it again.
";

const SEVERAL: &str = "
## Arrays and objects

An array or object is looked into first, but for JSON and MAP columns: nulls in it go, an empty one is null, one of a single value is
that value. Several values have a place in a column with `singleValueField: false` only. Here as JSON messages have them:
";

const DEFAULTS: &str = "
## Null

A null is stored as the column's `defaultNullValue`, or that of its type; with null handling it is null besides. NaN is null in FLOAT
and DOUBLE columns, -0.0 is 0.0, a BIG_DECIMAL has no trailing zeros, an infinity stays. A null in the table's time column becomes a
time of the segment ([ingestion.md](ingestion.md), step 8). Sums over a numeric dimension see these least numbers: make a column whose
values may be missing a metric, as `weir infer` does, or give it a `defaultNullValue`.

| type | default of a dimension or date-time | of a metric |
|---|---|---|
";

/// A cell of the page.
fn shown(cell: &str) -> String {
    match cell {
        "-" => "-".to_owned(),
        "null" => "*null*".to_owned(),
        "=null" => "`null`".to_owned(),
        "" => "empty".to_owned(),
        _ => match cell.strip_prefix('~') {
            Some(altered) => format!("`{}` *altered*", altered.replace('|', "`, `")),
            None => format!("`{}`", cell.replace('|', "`, `")),
        },
    }
}

fn row(page: &mut String, first: &str, cells: impl Iterator<Item = String>) {
    writeln!(page, "| {first} | {} |", cells.collect::<Vec<_>>().join(" | ")).ok();
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    // Two halves: twelve columns are more than a page has room for.
    for half in [0..6, 6..12] {
        page.push('\n');
        row(&mut page, "value", DataType::ALL[half.clone()].iter().map(ToString::to_string));
        row(&mut page, "---", half.clone().map(|_| "---".to_owned()));
        for (what, _, cells) in SINGLE {
            row(&mut page, what, cells[half.clone()].iter().map(|cell| shown(cell)));
        }
    }
    page.push_str(SEVERAL);
    page.push('\n');
    row(&mut page, "value", SHAPES_INTO.iter().map(|(what, _, _)| (*what).to_owned()));
    row(&mut page, "---", SHAPES_INTO.iter().map(|_| "---".to_owned()));
    for (json, cells) in SHAPES {
        row(&mut page, &format!("`{json}`"), cells.iter().map(|cell| shown(cell)));
    }
    page.push_str(DEFAULTS);
    for data_type in DataType::ALL {
        let metric = matches!(
            data_type,
            DataType::Boolean | DataType::Timestamp | DataType::Json | DataType::Uuid | DataType::Map
        );
        let of = |kind| shown(&data_type.default_null(kind).to_string());
        let metric = if metric { "-".to_owned() } else { of(FieldKind::Metric) };
        row(&mut page, data_type.as_str(), [of(FieldKind::Dimension), metric].into_iter());
    }
    page
}

#[test]
fn page_of_types_is_as_the_code_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/types.md");
    if std::env::var_os("WEIR_BLESS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page(), "{} is not up to date: run with WEIR_BLESS=1", path.display());
}
