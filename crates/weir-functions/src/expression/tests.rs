//! What expressions give, and what is refused.

use super::*;
use crate::datum::list;
use proptest::strategy::Strategy as _;

/// The value as text, with the fields `a` = 3, `b` = "two words", `n` = null, `j` = an object, `m` = three texts, `t` = a time.
pub(crate) fn eval(text: &str) -> Result<String, String> {
    let expression = Expression::parse(text).map_err(|error| error.to_string())?;
    let arena = Bump::new();
    let many = list([Datum::Text("x"), Datum::Text("y"), Datum::Text("x")], &arena);
    let value_of = |at: usize| match &*expression.fields()[at] {
        "a" => Datum::Long(3),
        "b" => Datum::Text("two words"),
        "j" => Datum::Json(r#"{"k":{"l":[1,2.5,"s"]},"t":"7"}"#),
        "m" => many,
        "t" => Datum::Long(1_771_934_401_234),
        "u" => Datum::Text("2026-02-24 12:00:01"),
        _ => Datum::Null,
    };
    let value = expression.value(&value_of, &arena).map_err(|fault| fault.to_string())?;
    Ok(match value {
        Datum::Null => "NULL".into(),
        value => value.text(&arena).to_owned(),
    })
}

#[test]
fn values() {
    for (text, expected) in [
        // Operators, and truth of three values.
        ("a + 1", "4"),
        ("a * 2.5", "7.5"),
        ("a / 2", "1.5"),
        ("-a", "-3"),
        ("a % 2", "1"),
        ("2 + 3 * 4", "14"),
        ("(2 + 3) * 4", "20"),
        ("a > 2 AND b = 'two words'", "true"),
        ("a > '2'", "true"),
        ("n > 2", "NULL"),
        ("n > 2 OR a = 3", "true"),
        ("n > 2 AND a = 4", "false"),
        ("NOT (a = 3)", "false"),
        ("n IS NULL", "true"),
        ("a BETWEEN 1 AND 3", "true"),
        ("a NOT IN (1, 2)", "true"),
        ("b LIKE 'two%'", "true"),
        ("b LIKE '%x_'", "false"),
        ("b LIKE 'TWO%'", "true"),
        ("like(b, 'TWO_words')", "true"),
        ("regexpLike(b, 'TWO')", "false"),
        ("regexpLike(b, 'TWO', 'i')", "true"),
        ("CASE WHEN a > 5 THEN 'big' WHEN a > 1 THEN 'mid' ELSE 'small' END", "mid"),
        ("CASE a WHEN 3 THEN 'three' END", "three"),
        ("CAST('5.9' AS INT)", "5"),
        ("CAST(' 7 ' AS LONG)", "7"),
        ("CAST('1e19' AS INT)", "2147483647"),
        ("CAST(1e19 AS LONG)", "9223372036854775807"),
        ("CAST(4294967297 AS INT)", "1"),
        ("CAST('1.50' AS BIG_DECIMAL)", "1.50"),
        ("0003000000000000000000000000001", "3000000000000000000000000001"),
        ("CAST(5.0 AS BIG_DECIMAL)", "5.0"),
        ("CAST(1e10 AS BIG_DECIMAL)", "10000000000"),
        ("CAST(' true ' AS BOOLEAN)", "true"),
        ("add(1, 2, 3)", "6"),
        ("mult(2, 3, 4)", "24"),
        ("overlay('abcdef', 'ZZ', 3)", "abZZef"),
        ("OVERLAY('abcdef' PLACING 'Z' FROM 2 FOR 3)", "aZef"),
        ("overlay('abc', 'Z', 9)", "abcZ"),
        ("strrpos('banana', 'an')", "3"),
        ("strrpos('banana', 'an', 2)", "1"),
        ("CAST(a AS STRING)", "3"),
        ("coalesce(n, a)", "3"),
        ("case(a > 5, 'x', 'y')", "y"),
        ("caseWhen(n, 'x', a = 3, 'z', 'y')", "z"),
        // Names are compared without case and underscores.
        ("TO_EPOCH_DAYS(t)", "20508"),
        ("toepochdays(t)", "20508"),
        // Text.
        ("upper(b)", "TWO WORDS"),
        ("substr(b, 0, 3)", "two"),
        ("substr(b, 4)", "words"),
        ("substring(b, 5, 2)", "wo"),
        ("concat(a, b, '-')", "3-two words"),
        ("concat_ws('-', a, n, b)", "3-two words"),
        ("split(b, ' ')", r#"["two","words"]"#),
        ("splitPart(b, ' ', 1)", "words"),
        ("splitPart(b, ' ', 9)", "null"),
        ("strpos(b, 'w', 2)", "4"),
        ("strpos(b, 'w', 0)", "-1"),
        ("strpos(b, 'w', -9223372036854775808)", "-1"),
        ("lpad(a, 3, '0')", "003"),
        ("regexp_extract(b, '(\\w+) (\\w+)', 2)", "words"),
        ("regexp_replace(b, '(\\w+) (\\w+)', '$2 $1')", "words two"),
        ("replace('aXbX', 'X', '--')", "a--b--"),
        ("replace('ab', '', '-')", "ab"),
        ("strcmp(b, 'three')", "1"),
        ("trim('  x ')", "x"),
        ("length(b)", "9"),
        ("initcap(b)", "Two Words"),
        ("toBase64(b)", "dHdvIHdvcmRz"),
        ("fromUtf8(fromBase64('dHdv'))", "two"),
        ("encodeUrl('a b&c')", "a+b%26c"),
        ("decodeUrl('a+b%26c')", "a b&c"),
        // JSON.
        ("jsonPathString(j, '$.k.l[2]')", "s"),
        ("jsonPathString(j, '$.none', 'dflt')", "dflt"),
        ("jsonPathString(j, '$.none')", "NULL"),
        ("jsonPathLong(j, '$.t')", "7"),
        ("jsonPathLong(j, '$.k', -1)", "-1"),
        ("jsonPathDouble(j, '$.k.l[2]', 2.5)", "2.5"),
        ("regexpReplace('abc', '(b)', '$10')", "ab0c"),
        ("regexpReplace('abc', '(b)', '$1x')", "abxc"),
        ("jsonPathDouble(j, '$.k.l[1]')", "2.5"),
        ("jsonPathArray(j, '$.k.l[*]')", r#"[1,2.5,"s"]"#),
        ("jsonPathArrayDefaultEmpty(j, '$.none')", "[]"),
        ("jsonPathString(n, '$.a', 'dflt')", "dflt"),
        ("jsonFormat(j)", r#"{"k":{"l":[1,2.5,"s"]},"t":"7"}"#),
        ("jsonExtractKey(j, '$.*')", r#"["$['k']","$['t']"]"#),
        ("jsonPathExists(j, '$.k')", "true"),
        // Times.
        ("toEpochHours(t)", "492204"),
        ("toEpochMinutesRounded(t, 10)", "29532240"),
        ("toEpochMinutesBucket(t, 10)", "2953224"),
        ("fromEpochDays(20508)", "1771891200000"),
        ("toDateTime(t, 'yyyy-MM-dd')", "2026-02-24"),
        ("toDateTime(t, 'HH', 'Asia/Kolkata')", "17"),
        ("fromDateTime('24/02/2026', 'dd/MM/yyyy')", "1771891200000"),
        ("fromDateTime('never', 'dd/MM/yyyy', 'UTC', 5)", "5"),
        ("dateTimeConvert(t, '1:MILLISECONDS:EPOCH', '1:DAYS:EPOCH', '1:DAYS')", "20508"),
        ("dateTimeConvert(t, '1:MILLISECONDS:EPOCH', '1:DAYS:SIMPLE_DATE_FORMAT:yyyyMMdd', '1:DAYS')", "20260224"),
        ("dateTrunc('month', t)", "1769904000000"),
        ("toTimestamp(t)", "2026-02-24 12:00:01.234"),
        ("fromTimestamp(u)", "1771934401000"),
        ("year(t)", "2026"),
        ("year('2026-01-01')", "2026"),
        ("hour(0, '+05:30')", "5"),
        ("toDateTime(0, 'yyyy-MM-dd HH:mm ZZZ', 'UTC+05:30')", "1970-01-01 05:30 +05:30"),
        ("fromDateTime('1970-01-01', 'yyyy-MM-dd', '+05:30')", "-19800000"),
        ("timezoneMinute('-03:30')", "-30"),
        ("dateTrunc('second', -1500, 'NANOSECONDS')", "0"),
        ("toEpochSecondsRounded(-15001, 10)", "-10"),
        ("dateBin('15m', u, '2026-01-01')", "2026-02-24 12:00:00.0"),
        ("hour(t, 'America/New_York')", "7"),
        ("extract(month FROM t)", "2"),
        ("timestampAdd('DAY', 1, t)", "1772020801234"),
        ("toIso8601(t)", "2026-02-24T12:00:01.234Z"),
        // Arrays.
        ("arrayLength(m)", "3"),
        ("arrayDistinct(m)", r#"["x","y"]"#),
        ("arrayContains(m, 'y')", "true"),
        ("arrayElementAtString(m, 2)", "y"),
        ("array(1, 'a')", r#"[1,"a"]"#),
        ("arrayToString(m, '+')", "x+y+x"),
        // Numbers.
        ("roundDecimal(2.345, 2)", "2.35"),
        ("roundDecimal(-2.5)", "-2.0"),
        ("roundDecimal(-2.5, 0)", "-3.0"),
        ("abs(-2)", "2"),
        ("least(4, a, 5)", "3"),
        ("ceil(1.2)", "2.0"),
        ("intDiv(7, 2)", "3"),
        ("moduloOrZero(7, 0)", "0"),
        ("bitAnd(6, 3)", "2"),
        ("factorial(5)", "120"),
        // A null argument gives null, but where nulls are what it is for.
        ("upper(n)", "NULL"),
        ("isNull(n)", "true"),
        ("nullIf(a, 3)", "NULL"),
    ] {
        assert_eq!(eval(text), Ok(expected.into()), "{text}");
    }
}

#[test]
fn what_cannot_be_compiled_says_what_would_be_right() {
    for (text, reason) in [
        ("", "it is empty"),
        ("Groovy({a + b}, a, b)", "Groovy"),
        ("nope(a)", "there is no function nope"),
        ("now()", "another value each time"),
        ("upper(a, b)", "upper takes 1 arguments, got 2"),
        ("a +", "Expected"),
        ("a b", "'b' is not expected"),
        ("toDateTime(t, 'QQQ')", "letter 'Q'"),
        ("toDateTime(t, a)", "must be a text that is the same for every row"),
        ("jsonPathString(j, 'k')", "is not a JSON path"),
        ("regexpLike(b, '(')", "is not a regular expression"),
        ("dateTrunc('fortnight', t)", "is not a unit of time"),
        ("CAST(a AS WORD)", "'WORD' is no type"),
        ("count(*)", "'*' is no argument"),
        ("a ~ b", "operator ~"),
    ] {
        let error = eval(text).expect_err(text);
        assert!(error.contains(reason), "{text}: {error}");
    }
    let deep = format!("{}a{}", "(".repeat(5000), ")".repeat(5000));
    assert!(Expression::parse(&deep).is_err());
    let long = vec!["a = 1"; 2000].join(" OR ");
    assert!(Expression::parse(&long).is_ok() || Expression::parse(&long).is_err(), "it ends");
}

#[test]
fn what_cannot_be_evaluated_names_the_function_and_the_value() {
    for (text, reason) in [
        ("b + 1", "plus(..): a number is expected, got 'two words'"),
        ("mod(1, 0)", "division by zero"),
        ("upper(toEpochDays(b))", "toEpochDays(..): a time is expected"),
        ("fromDateTime(b, 'yyyy')", "is not written in the given date pattern"),
        ("overlay(b, 'x', 0)", "0 is no position of a text; the first is 1"),
        ("year('soon')", "year(..): a time is expected, got 'soon'"),
        ("CAST('one' AS INT)", "cast(..): a number is expected, got 'one'"),
        ("CAST('0x10' AS LONG)", "cast(..): a number is expected, got '0x10'"),
        ("CAST('true' AS INT)", "cast(..): a number is expected, got 'true'"),
        ("CAST(b AS BIG_DECIMAL)", "a decimal of at most 4096 digits is expected, got 'two words'"),
        ("hour(t, '+5')", "'+5' is not a time zone: UTC, America/Los_Angeles, +05:30 and their like are"),
        ("repeat(b, 999999999)", "too long"),
        ("replace(repeat('a', 100000), 'a', repeat('b', 100000))", "too long"),
        ("regexpReplace(repeat('a', 100000), '', repeat('b', 100000))", "too long"),
        ("arrayToString(generateLongArray(1, 9000), repeat('b', 100000))", "too long"),
        ("bytesToHex(toUtf8(bytesToHex(toUtf8(repeat('a', 8000000)))))", "too long"),
    ] {
        let error = eval(text).expect_err(text);
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn an_error_repeats_the_beginning_of_a_long_expression_only() {
    let text = format!("nosuch('{}')", "\u{e4}".repeat(10_000));
    let error = Expression::parse(&text).unwrap_err().to_string();
    assert!(error.contains("nosuch") && error.contains("(20010 bytes)") && error.len() < 1_000, "{error}");
}

#[test]
fn the_least_number_has_a_positive_modulo() {
    assert_eq!(eval("positiveModulo(-9223372036854775808, -1)").as_deref(), Ok("0"));
    assert_eq!(eval("positiveModulo(-7, -3)").as_deref(), Ok("2"));
    assert!(eval("positiveModulo(1, 0)").unwrap_err().contains("division by zero"));
}

#[test]
fn fields_are_named_once() {
    let expression = Expression::parse("concat(\"a b\", a.b, 'x') = a.b").expect("it is one");
    let names: Vec<&str> = expression.fields().iter().map(|name| &**name).collect();
    assert_eq!(names, ["a b", "a.b"]);
}

/// Arguments that are at the edge of something.
const EDGES: [&str; 34] = [
    "NULL",
    "true",
    "0",
    "-1",
    "1",
    "2",
    "64",
    "9223372036854775807",
    "-9223372036854775808",
    "99999999999999999999",
    "0.5",
    "-1e308",
    "1e-300",
    "''",
    "'a'",
    "'two words'",
    "'é\u{1f600}'",
    "'-5'",
    "'%_'",
    "'$.k.l[*]'",
    "'[1,2]'",
    "'{\"k\":1}'",
    "'yyyy-MM-dd'",
    "'UTC'",
    "'day'",
    "'1:DAYS:EPOCH'",
    "'2026-02-24'",
    "'(a|b)+'",
    "a",
    "b",
    "j",
    "m",
    "t",
    "u",
];

fn edge() -> impl proptest::strategy::Strategy<Value = String> {
    proptest::sample::select(&EDGES[..]).prop_map(str::to_owned)
}

/// Calls of any function with anything, nested.
fn call() -> impl proptest::strategy::Strategy<Value = String> {
    let names: Vec<(&'static str, usize, usize)> = crate::shelf::all()
        .map(|function| (function.name(), function.least, function.most.min(function.least + 3).min(6)))
        .collect();
    edge().prop_recursive(3, 24, 4, move |inner| {
        (proptest::sample::select(names.clone()), proptest::collection::vec(inner, 6), 0..4usize).prop_map(
            |((name, least, most), args, more)| {
                let count = (least + more).min(most);
                format!("{name}({})", args[..count].join(", "))
            },
        )
    })
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(4000))]

    /// Whatever a function is given, it has a value or says why not.
    #[test]
    fn no_function_panics(text in call()) {
        _ = eval(&text);
    }

    /// Whatever is written, it is an expression or says why not.
    #[test]
    fn no_text_panics(tokens in proptest::collection::vec(
        proptest::sample::select(vec!["(", ")", ",", "a", "'x'", "1", "+", "-", "*", "AND", "NOT", "CASE", "WHEN", "THEN", "END", "IS",
            "NULL", "IN", "BETWEEN", "LIKE", "CAST", "AS", "INT", "upper", "\"", "[", "]", ".", "||", ";", "--", "/*", "extract", "FROM"]),
        0..24)) {
        _ = eval(&tokens.join(" "));
    }
}

/// Names what a shape of nesting is like at a level.
type Nested = fn(usize) -> String;

const SHAPES: &[(&str, Nested)] = &[
    ("call", |levels| format!("{}a{}", "lower(".repeat(levels), ")".repeat(levels))),
    ("parentheses", |levels| format!("{}a{}", "(".repeat(levels), ")".repeat(levels))),
    ("not", |levels| format!("{}a", "NOT ".repeat(levels))),
    ("minus", |levels| format!("{}a", "- ".repeat(levels))),
    ("case", |levels| format!("{}1{}", "CASE WHEN a = 1 THEN ".repeat(levels), " END".repeat(levels))),
    ("case within a condition", |levels| {
        format!("{}1{}", "CASE WHEN ".repeat(levels), " THEN true END".repeat(levels))
    }),
    ("case of", |levels| format!("{}1{}", "CASE ".repeat(levels), " WHEN 1 THEN 2 WHEN 3 THEN 4 END".repeat(levels))),
    ("array", |levels| format!("{}a{}", "array(".repeat(levels), ")".repeat(levels))),
    ("array in brackets", |levels| format!("{}a{}", "[".repeat(levels), "]".repeat(levels))),
    ("cast", |levels| format!("{}a{}", "CAST(".repeat(levels), " AS STRING)".repeat(levels))),
    ("trim", |levels| format!("{}a{}", "TRIM(".repeat(levels), ")".repeat(levels))),
    ("extract", |levels| format!("{}a{}", "EXTRACT(YEAR FROM ".repeat(levels), ")".repeat(levels))),
    ("substring", |levels| format!("{}a{}", "SUBSTRING(".repeat(levels), " FROM 1)".repeat(levels))),
    ("in", |levels| format!("{}a{}", "(".repeat(levels), " IN (1, 2))".repeat(levels))),
    ("is", |levels| format!("a{}", " IS NOT TRUE".repeat(levels))),
    ("between", |levels| format!("{}a{}", "a BETWEEN 1 AND (".repeat(levels), ")".repeat(levels))),
    ("sum", |levels| format!("a{}", "+a".repeat(levels))),
    ("and", |levels| format!("a{}", " AND a".repeat(levels))),
    ("and, or", |levels| format!("{}a{}", "a AND (a OR ".repeat(levels), ")".repeat(levels))),
    ("text of what is not understood", |levels| format!("(a{}) AT TIME ZONE 'UTC'", "+a".repeat(levels))),
    ("open", |levels| "lower((".repeat(levels)),
    ("type", |levels| format!("CAST(a AS {}INT{})", "ARRAY<".repeat(levels), ">".repeat(levels))),
    ("query", |levels| format!("{}1{}", "(SELECT ".repeat(levels), ")".repeat(levels))),
    ("interval", |levels| format!("{}a", "INTERVAL ".repeat(levels))),
    ("struct", |levels| format!("{}a{}", "{'a': ".repeat(levels), "}".repeat(levels))),
    ("index", |levels| format!("a{}", "[1]".repeat(levels))),
    ("double colon", |levels| format!("a{}", "::INT".repeat(levels))),
    ("comment", |levels| format!("{}a{}", "/*".repeat(levels), "*/".repeat(levels))),
];

/// What becomes of each shape, and of mistakes in it, on a thread with half the stack of those that evaluate.
#[test]
fn deep_nesting_is_evaluated_or_refused() {
    let looked = std::thread::Builder::new().stack_size(1 << 20).spawn(|| {
        for (shape, nested) in SHAPES {
            for levels in [10, 12, 30, 60, 64, 200, 5_000, 32_000] {
                let good = nested(levels);
                for text in [good.clone(), format!("{good})"), format!("{good} b"), good.replacen(')', " b)", 1)] {
                    let begun = std::time::Instant::now();
                    let read = Expression::parse(&text).map(|read| {
                        _ = read.never_a_truth();
                        drop(eval(&text));
                    });
                    assert!(begun.elapsed().as_secs() < 20, "{shape}, {levels} levels: {:?}", begun.elapsed());
                    assert!(levels < 200 || *shape == "comment" || read.is_err(), "{shape}, {levels} levels");
                }
            }
        }
    });
    looked.unwrap().join().unwrap();
}

#[test]
fn what_is_nested_too_deep_says_the_bound() {
    let shape = |shape: &str| SHAPES.iter().find(|(name, _)| *name == shape).unwrap().1;
    for (name, most, bound) in [
        ("call", 60, "more than 64 levels"),
        ("parentheses", 60, "more than 64 levels"),
        ("sum", 60, "more than 64 levels"),
        ("not", 12, "more than 12 levels"),
        ("case", 12, "more than 12 levels"),
        ("array", 12, "more than 12 levels"),
        ("cast", 12, "more than 12 levels"),
    ] {
        Expression::parse(&shape(name)(most)).unwrap();
        let error = Expression::parse(&shape(name)(200)).unwrap_err();
        assert!(error.reason.contains(bound), "{name}: {error}");
    }
    let names = |dots: usize| format!("a{}", ".plain".repeat(dots));
    Expression::parse(&vec![names(16); 9].join(" = ")).unwrap();
    for text in
        [names(17), format!("{}.", names(28)), format!("{}(", names(8)).repeat(4), format!("{}(b).c", names(16))]
    {
        let error = Expression::parse(&text).unwrap_err();
        assert!(error.reason.contains("more than 16 dots"), "{text}: {error}");
    }
    Expression::parse("\"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s\"").unwrap();
    // Each level holds what is inside it twice.
    let error = Expression::parse(&shape("in")(20)).unwrap_err();
    assert!(error.reason.contains("more than 65536 parts"), "{error}");
}
