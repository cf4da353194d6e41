//! A function of the shelf gives the same value in SQL and in an ingestion expression, for values of all types with nulls,
//! empty ones and extremes among them.

use crate::fixture::{Fixed, ask, engine, table_of};
use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{Float32Type, Float64Type, Int32Type, Int64Type, TimestampMillisecondType},
};
use std::{collections::BTreeMap, sync::LazyLock};
use weir_functions::{
    datum::{Arena, Datum, Fault, list, text},
    expression::Expression,
    shelf::{self, Function},
};
use weir_query::QueryEngine;
use weir_types::{DataType, Value};

/// A column of the table: its name, its type, and the values of its rows.
struct Column {
    name: &'static str,
    data_type: DataType,
    values: Vec<Option<Value>>,
}

fn str_(text: &str) -> Option<Value> {
    Some(Value::Str(text.into()))
}

/// Numbers that differ from run to run only by the seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.next() as usize % from.len()].clone()
    }
}

const ROWS: usize = 60;

fn columns(seed: u64) -> Vec<Column> {
    let mut chance = Chance(seed);
    let texts = [
        None,
        str_(""),
        str_("a"),
        str_(" two  words "),
        str_("a,b,,c,"),
        str_("x\u{1f600}y\u{e9}"),
        str_("-5"),
        str_("12.75"),
        str_("true"),
        str_("ABC abc"),
        str_("48656c6c6f"),
        str_("aGVsbG8="),
        str_("https://www.example.com:8080/a/b?x=1&y=%20z#f"),
        str_("192.168.1.77"),
        str_("192.168.0.0/16"),
        str_("f47ac10b-58cc-4372-a567-0e02b2c3d479"),
        str_("2026-02-24"),
        str_("1969-12-31 23:59:59.5"),
    ];
    let jsons = [
        None,
        str_("{\"k\":{\"l\":[1,2.5,\"s\"]},\"t\":\"7\"}"),
        str_("[1,2,3]"),
        str_("[{\"key\":\"a\",\"value\":1}]"),
        str_("{\"k\":null}"),
        str_("not json"),
        str_("5"),
    ];
    let longs = [0, 1, -1, 2, 3, 7, 64, -1_500, 1_771_934_401_234, -86_400_001, i64::MAX, i64::MIN];
    let reals = [0.0, 1.0, -1.0, 0.5, 2.345, -2.5, 1e300, -1e-300, 12_345_678.9, f64::NAN, f64::INFINITY];
    let column = |name, data_type, of: &mut dyn FnMut(&mut Chance) -> Option<Value>, chance: &mut Chance| Column {
        name,
        data_type,
        values: (0..ROWS).map(|_| of(chance)).collect(),
    };
    let mut long = |chance: &mut Chance| match chance.next() % 10 {
        0 => None,
        1 => Some(Value::Long(chance.next() as i64)),
        _ => Some(Value::Long(chance.pick(&longs))),
    };
    let mut small = |chance: &mut Chance| match chance.next() % 8 {
        0 => None,
        _ => Some(Value::Int(chance.next() as i32 % 12)),
    };
    let mut real = |chance: &mut Chance| match chance.next() % 10 {
        0 => None,
        1 => Some(Value::Double(f64::from(chance.next() as i32) / 1000.0)),
        _ => Some(Value::Double(chance.pick(&reals))),
    };
    let mut a_text = |chance: &mut Chance| chance.pick(&texts);
    let mut json = |chance: &mut Chance| chance.pick(&jsons);
    let mut truth = |chance: &mut Chance| chance.pick(&[None, Some(Value::Int(0)), Some(Value::Int(1))]);
    let mut bytes = |chance: &mut Chance| {
        chance
            .pick(&[None, Some(vec![]), Some(vec![0, 255, 16]), Some(b"hello".to_vec()), Some(vec![7; 16])])
            .map(|bytes| Value::Bytes(bytes.as_slice().into()))
    };
    let time = &mut |chance: &mut Chance| match long(chance) {
        // What a TIMESTAMP can be written as.
        Some(Value::Long(ms)) => Some(Value::Long(ms % 4_000_000_000_000)),
        other => other,
    };
    let mut made = vec![
        column("s1", DataType::String, &mut a_text, &mut chance),
        column("s2", DataType::String, &mut a_text, &mut chance),
        column("j", DataType::Json, &mut json, &mut chance),
        column("i", DataType::Int, &mut small, &mut chance),
        column("d", DataType::Double, &mut real, &mut chance),
        column("b", DataType::Boolean, &mut truth, &mut chance),
        column("y", DataType::Bytes, &mut bytes, &mut chance),
        column("t", DataType::Timestamp, time, &mut chance),
    ];
    let decimals =
        [None, str_("0"), str_("1.5"), str_("-0.25"), str_("9007199254740993"), str_("12345678901234567890.5")];
    let mut decimal = |chance: &mut Chance| chance.pick(&decimals);
    made.push(column("c", DataType::BigDecimal, &mut decimal, &mut chance));
    made.push(column("l1", DataType::Long, &mut long, &mut chance));
    made.push(column("l2", DataType::Long, &mut long, &mut chance));
    made
}

/// Multi-value columns: three elements of a row's neighbours.
const LISTS: [(&str, &str); 3] = [("ms", "s1"), ("mi", "i"), ("ml", "l1")];

fn datum(data_type: DataType, value: &Option<Value>) -> Datum<'_> {
    match (data_type, value) {
        (_, None) => Datum::Null,
        (DataType::Boolean, Some(Value::Int(truth))) => Datum::Bool(*truth != 0),
        (DataType::Timestamp, Some(Value::Long(ms))) => Datum::Timestamp(*ms),
        (DataType::Json, Some(Value::Str(json))) => Datum::Json(json),
        (DataType::BigDecimal, Some(Value::Str(number))) => Datum::Decimal(number),
        (_, Some(Value::Int(number))) => Datum::Long((*number).into()),
        (_, Some(Value::Long(number))) => Datum::Long(*number),
        (_, Some(Value::Double(number))) => Datum::Double(*number),
        (_, Some(Value::Str(text))) => Datum::Text(text),
        (_, Some(Value::Bytes(bytes))) => Datum::Bytes(bytes),
        other => panic!("no column has this: {other:?}"),
    }
}

/// A cell of an answer, as the shelf has it.
fn cell<'a>(array: &ArrayRef, row: usize, arena: &'a Arena) -> Datum<'a> {
    use arrow::datatypes::DataType as A;
    if array.is_null(row) {
        return Datum::Null;
    }
    match array.data_type() {
        A::Boolean => Datum::Bool(array.as_boolean().value(row)),
        A::Int32 => Datum::Long(array.as_primitive::<Int32Type>().value(row).into()),
        A::Int64 => Datum::Long(array.as_primitive::<Int64Type>().value(row)),
        A::Float32 => Datum::Float(array.as_primitive::<Float32Type>().value(row)),
        A::Float64 => Datum::Double(array.as_primitive::<Float64Type>().value(row)),
        A::Timestamp(..) => Datum::Timestamp(array.as_primitive::<TimestampMillisecondType>().value(row)),
        A::Utf8View => text(array.as_string_view().value(row), arena),
        A::Utf8 => text(array.as_string::<i32>().value(row), arena),
        A::BinaryView => Datum::Bytes(arena.alloc_slice_copy(array.as_binary_view().value(row))),
        A::List(_) => {
            let items = array.as_list::<i32>().value(row);
            list((0..items.len()).map(|at| cell(&items, at, arena)).collect::<Vec<_>>(), arena)
        }
        A::Null => Datum::Null,
        other => panic!("an answer of {other}"),
    }
}

/// Whether a value of an expression is what SQL gave, stored in a column of SQL's type.
fn same<'a>(sql: Datum<'a>, ours: Datum<'a>, arena: &'a Arena) -> bool {
    let is = |found: Result<bool, Fault>| found == Ok(true);
    match sql {
        Datum::Null => ours.is_null(),
        _ if ours.is_null() => false,
        Datum::Bool(truth) => is(ours.truth().map(|ours| ours == truth)),
        Datum::Long(number) => is(ours.long().map(|ours| ours == number)),
        Datum::Timestamp(ms) => is(ours.millis().map(|ours| ours == ms)),
        Datum::Float(number) => is(ours.double().map(|ours| ours as f32 == number || number.is_nan() && ours.is_nan())),
        Datum::Double(number) => is(ours.double().map(|ours| ours == number || number.is_nan() && ours.is_nan())),
        Datum::Bytes(bytes) => is(ours.bytes(arena).map(|ours| ours == bytes)),
        Datum::List(items) => {
            let ours = ours.items(arena);
            items.len() == ours.len() && items.iter().zip(ours).all(|(sql, ours)| same(*sql, *ours, arena))
        }
        other => other.text(arena) == ours.text(arena),
    }
}

/// What stands for an argument: columns, and literals. A call takes all of one pool, or the first of one and the rest of
/// another.
const ANY: [&str; 26] = [
    "s1",
    "s2",
    "j",
    "i",
    "d",
    "b",
    "y",
    "t",
    "l1",
    "l2",
    "ms",
    "mi",
    "ml",
    "''",
    "'a'",
    "','",
    "2",
    "-1",
    "0",
    "7.5",
    "'$.k.l[0]'",
    "'(a|b)+'",
    "'UTC'",
    "'day'",
    "'yyyy-MM-dd'",
    "'_a%'",
];
const NUMBERS: [&str; 9] = ["i", "d", "l1", "l2", "2", "-1", "0", "7.5", "64"];
const DECIMALS: [&str; 6] = ["c", "c", "l1", "2", "0", "0.25"];
const WHOLE: [&str; 6] = ["i", "l1", "l2", "2", "-1", "10"];
const TEXTS: [&str; 9] = ["s1", "s2", "s1", "s2", "'a'", "','", "''", "' '", "'_a%'"];
const TIMES: [&str; 4] = ["t", "l1", "t", "l2"];
const LISTED: [&str; 3] = ["ms", "mi", "ml"];
const JSONS: [&str; 2] = ["j", "s1"];
const PATHS: [&str; 4] = ["'$.k.l[0]'", "'$.t'", "'$.k.l[*]'", "'$..l'"];

/// First arguments, and the others.
const POOLS: [(&[&str], &[&str]); 12] = [
    (&ANY, &ANY),
    (&NUMBERS, &NUMBERS),
    (&["c"], &DECIMALS),
    (&WHOLE, &WHOLE),
    (&TEXTS, &TEXTS),
    (&TEXTS, &WHOLE),
    (&TIMES, &WHOLE),
    (&LISTED, &LISTED),
    (&LISTED, &WHOLE),
    (&LISTED, &TEXTS),
    (&JSONS, &PATHS),
    (&["y", "s1"], &["y", "s2", "i"]),
];

/// Calls of functions that few arguments fit, or that have a form of their own.
const WITH: [(&str, &str); 60] = [
    ("dateTimeConvert", "dateTimeConvert(l1, '1:MILLISECONDS:EPOCH', '1:DAYS:EPOCH', '1:DAYS')"),
    ("toDateTime", "toDateTime(t, 'yyyy-MM-dd HH:mm:ss', 'Asia/Kolkata')"),
    ("toDateTimeMV", "toDateTimeMV(generateLongArray(0, 90000000, 86400000), 'yyyy-MM-dd')"),
    ("fromDateTime", "fromDateTime(s1, 'yyyy-MM-dd', 'UTC', 5)"),
    ("toIso8601", "toIso8601(t)"),
    ("dateTrunc", "dateTrunc('month', t, 'MILLISECONDS')"),
    ("timestampAdd", "timestampAdd('day', i, t)"),
    ("timestampDiff", "timestampDiff('hour', t, l2)"),
    ("extract", "extract(month FROM t)"),
    ("timezoneHour", "timezoneHour('Asia/Kolkata')"),
    ("timezoneMinute", "timezoneMinute('Asia/Kolkata')"),
    ("toEpochSecondsRounded", "toEpochSecondsRounded(t, 10)"),
    ("toEpochMinutesRounded", "toEpochMinutesRounded(t, 10)"),
    ("toEpochHoursRounded", "toEpochHoursRounded(t, 10)"),
    ("toEpochDaysRounded", "toEpochDaysRounded(t, 10)"),
    ("toEpochSecondsBucket", "toEpochSecondsBucket(t, 10)"),
    ("toEpochMinutesBucket", "toEpochMinutesBucket(t, 10)"),
    ("toEpochHoursBucket", "toEpochHoursBucket(t, 10)"),
    ("toEpochDaysBucket", "toEpochDaysBucket(t, 10)"),
    ("round", "round(t, 10)"),
    ("regexpExtract", "regexpExtract(s1, '(\\w)(\\w*)', 2, 'none')"),
    ("regexpReplace", "regexpReplace(s1, '([a-c])', '<$1>')"),
    ("jsonPath", "jsonPath(j, '$.k.l[0]')"),
    ("jsonPathString", "jsonPathString(j, '$.k.l[2]', 'none')"),
    ("jsonPathLong", "jsonPathLong(j, '$.t', 5)"),
    ("jsonPathArray", "jsonPathArray(j, '$.k.l')"),
    ("jsonPathArrayDefaultEmpty", "jsonPathArrayDefaultEmpty(j, '$.k.l')"),
    ("splitPart", "splitPart(s1, ',', i)"),
    ("cast", "CAST(d AS LONG)"),
    ("cast", "CAST(d AS INT)"),
    ("cast", "CAST(l1 AS FLOAT)"),
    ("cast", "CAST(l1 AS BIG_DECIMAL)"),
    ("cast", "CAST(s1 AS INT)"),
    ("cast", "CAST(s1 AS LONG)"),
    ("cast", "CAST(s1 AS FLOAT)"),
    ("cast", "CAST(s1 AS DOUBLE)"),
    ("cast", "CAST(s1 AS BIG_DECIMAL)"),
    ("cast", "CAST(s1 AS BOOLEAN)"),
    ("cast", "CAST(s1 AS TIMESTAMP)"),
    ("cast", "CAST(s1 AS UUID)"),
    ("cast", "CAST(c AS INT)"),
    ("cast", "CAST(c AS LONG)"),
    ("cast", "CAST(c AS DOUBLE)"),
    ("cast", "CAST(c AS BOOLEAN)"),
    ("cast", "CAST(c AS STRING)"),
    ("cast", "CAST(t AS BIG_DECIMAL)"),
    ("divide", "divide(c, 4)"),
    ("strrpos", "strrpos(s1, 'a', i)"),
    ("filterMv", "filterMv(mi, 'v > 2')"),
    ("overlay", "overlay(s1, 'zz', 2, 1)"),
    ("dateBin", "dateBin('1h30m', t, 0)"),
    ("dateTimeConvert", "dateTimeConvert(t, 'TIMESTAMP', '1:DAYS:SIMPLE_DATE_FORMAT:yyyy-MM-dd HH', '5:HOURS')"),
    ("dateTimeConvert", "dateTimeConvert(l1, '1:SECONDS:EPOCH', '1:HOURS:EPOCH', '1:HOURS', '+05:30')"),
    ("year", "year(s1)"),
    ("widthBucket", "widthBucket(d, -1, 10, 7)"),
    ("jsonPathLong", "jsonPathLong(j, '$.t')"),
    ("jsonPathDouble", "jsonPathDouble(j, '$.k.l[0]')"),
    ("chr", "chr(65)"),
    ("not", "not(b)"),
    ("arrayAverage", "arrayAverage(mi)"),
];

/// Functions that SQL calls by its own rules, and why.
const OTHER_RULES: [(&str, &str); 9] = [
    ("plus", "the single-stage engine computes with real numbers"),
    ("minus", "the single-stage engine computes with real numbers"),
    ("times", "the single-stage engine computes with real numbers"),
    ("mod", "the single-stage engine computes with real numbers"),
    ("negate", "the single-stage engine computes with real numbers"),
    ("regexpLike", "of a multi-value column it holds as soon as one value matches"),
    ("least", "values of several types are brought to one by the types of columns, not by the values"),
    ("nullIf", "values of several types are brought to one by the types of columns, not by the values"),
    ("greatest", "values of several types are brought to one by the types of columns, not by the values"),
];

/// A call with its arguments.
fn calls(function: &'static Function, chance: &mut Chance) -> Vec<String> {
    let mut calls: Vec<String> =
        WITH.iter().filter(|(name, _)| *name == function.name()).map(|(_, call)| (*call).to_owned()).collect();
    let most = function.most.min(function.least.max(1) + 2);
    for count in function.least..=most {
        for _ in 0..if count == 0 { 1 } else { TRIES } {
            let (first, others) = chance.pick(&POOLS);
            let pool = |at: usize| if at == 0 { first } else { others };
            let args: Vec<&str> = (0..count).map(|at| chance.pick(pool(at))).collect();
            calls.push(format!("{}({})", chance.pick(function.names), args.join(", ")));
        }
    }
    calls
}

/// Calls of each function with each count of arguments.
const TRIES: usize = 8;

/// How often a function is tried of which no row could be compared.
const ROUNDS: usize = 12;

/// Whether SQL has rules of its own for a function: it may refuse arguments of other types.
fn has_own_rules(call: &str) -> bool {
    static PAGE: LazyLock<String> = LazyLock::new(|| {
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/sql.md")).unwrap()
    });
    let page = &*PAGE;
    let shared =
        page.split("<!-- functions of the shelf -->").nth(1).and_then(|rest| rest.split("<!-- end -->").next());
    !shared.unwrap().contains(&format!("`{}`", call.split('(').next().unwrap()))
}

/// Compares a call in SQL and in an expression; what differs, and how many rows were compared.
async fn compare(
    engine: &QueryEngine,
    columns: &BTreeMap<&str, &Column>,
    call: &str,
    own_rules: bool,
) -> Result<usize, String> {
    let Ok(expression) = Expression::parse(call) else { return Ok(0) };
    let arena = Arena::new();
    let field = |row: usize, name: &str| match LISTS.iter().find(|(list, _)| *list == name) {
        Some((_, of)) => {
            let of = columns[of];
            let items = (0..3).map(|at| &of.values[(row + at) % ROWS]).filter(|value| value.is_some());
            let items: Vec<Datum<'_>> = items.map(|value| datum(of.data_type, value)).collect();
            if items.is_empty() { Datum::Null } else { list(items, &arena) }
        }
        None => datum(columns[name].data_type, &columns[name].values[row]),
    };
    let mut expected = vec![];
    for row in 0..ROWS {
        let names = expression.fields();
        let fields: Vec<Datum<'_>> = names.iter().map(|name| field(row, name)).collect();
        let read = |at: usize| fields[at];
        // What refers to the expression's constants must not outlive this row.
        expected.push(expression.value(&read, &arena).map(|value| value.copied(&arena)));
    }
    let good: Vec<usize> = (0..ROWS).filter(|row| expected[*row].is_ok()).collect();
    let bad = (0..ROWS).find(|row| expected[*row].is_err());
    if let Some(row) = bad.filter(|_| !own_rules) {
        // What an expression refuses, SQL does not make a value of.
        let sql = format!("SET enableNullHandling = true; SELECT {call} FROM shelf WHERE n = {row}");
        let answer = ask(engine, &sql).await;
        if answer.exceptions.is_empty() {
            let fault = expected[row].as_ref().unwrap_err();
            let batch = answer.rows.iter().find(|batch| batch.num_rows() > 0).unwrap();
            return Err(format!("row {row}: expression: {fault}; SQL: {}", cell(batch.column(0), 0, &arena).shown()));
        }
    }
    if good.is_empty() {
        return Ok(0);
    }
    let among: Vec<String> = good.iter().map(usize::to_string).collect();
    let sql = format!(
        "SET enableNullHandling = true; SELECT n, {call} FROM shelf WHERE n IN ({}) ORDER BY n LIMIT 1000",
        among.join(", ")
    );
    let answer = ask(engine, &sql).await;
    if let Some(exception) = answer.exceptions.first() {
        // A pattern is made ready once.
        if own_rules || exception.message.contains("has to be a text literal") {
            return Ok(0);
        }
        return Err(format!("SQL: {}", exception.message));
    }
    let mut compared = 0;
    for batch in &answer.rows {
        for at in 0..batch.num_rows() {
            let row = batch.column(0).as_primitive::<Int64Type>().value(at) as usize;
            let found = cell(batch.column(1), at, &arena);
            let wanted = *expected[row].as_ref().unwrap();
            if !same(found, wanted, &arena) {
                let fields = expression.fields().iter();
                let with: Vec<String> = fields.map(|name| format!("{name} = {}", field(row, name).shown())).collect();
                let (found, wanted) = (found.shown(), wanted.shown());
                return Err(format!("row {row} ({}): expression: {wanted}; SQL: {found}", with.join(", ")));
            }
            compared += 1;
        }
    }
    Ok(compared)
}

#[tokio::test]
async fn the_shelf_gives_in_sql_what_it_gives_at_ingestion() {
    let seed = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let columns = columns(seed);
    let by_name: BTreeMap<&str, &Column> = columns.iter().map(|column| (column.name, column)).collect();
    let lists = LISTS.map(|(name, of)| {
        let of = by_name[of];
        let row = |row: usize| (0..3).filter_map(|at| of.values[(row + at) % ROWS].clone()).collect::<Vec<_>>();
        (name, of.data_type, (0..ROWS).map(row).collect::<Vec<_>>())
    });
    let singles: Vec<_> = columns.iter().map(|c| (c.name, c.data_type, c.values.clone())).collect();
    let engine = engine(Fixed(vec![table_of("shelf", &singles, &lists)]), 256 << 20);
    let mut chance = Chance(seed ^ 0xabcd);
    let (mut wrong, mut untried) = (vec![], vec![]);
    for function in shelf::all() {
        let mut compared = 0;
        // Few arguments fit some functions: they are tried until some do.
        for _ in 0..ROUNDS {
            for call in calls(function, &mut chance) {
                match compare(&engine, &by_name, &call, has_own_rules(&call)).await {
                    Ok(rows) => compared += rows,
                    Err(_) if OTHER_RULES.iter().any(|(name, _)| *name == function.name()) => {}
                    Err(what) => wrong.push(format!("{call}: {what}")),
                }
            }
            if compared > 0 {
                break;
            }
        }
        if compared == 0 && !OTHER_RULES.iter().any(|(name, _)| *name == function.name()) {
            untried.push(function.name());
        }
    }
    assert!(wrong.is_empty(), "seed {seed}: {} calls differ\n{}", wrong.len(), wrong.join("\n"));
    assert!(untried.is_empty(), "seed {seed}: no row of these was compared: {untried:?}");
}
