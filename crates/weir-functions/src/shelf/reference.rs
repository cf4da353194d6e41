//! Keeps the page of functions true: it is written from the shelf.

use super::*;
use std::{fmt::Write as _, path::Path};

const HEAD: &str = "# Functions of expressions and of SQL

`transformConfigs`, `filterConfig` and the enricher `generateColumn` take expressions over the fields of a record, in SQL's
notation: fields by name (in double quotes where the name has other characters than letters, digits and `_`), constants
(`'text'`, `1`, `2.5`, `true`, `NULL`), `+ - * / % ||`, comparisons, `AND OR NOT`, `BETWEEN`, `IN`, `LIKE`, `IS NULL`, `CASE`, `CAST(x AS
LONG)` and the functions below. [ingestion.md](ingestion.md) tells where they stand and what comes of errors.

All functions below are there in SQL too and give the same values there; [sql.md](sql.md) tells which have rules of their own in
SQL (arithmetic without a BIG_DECIMAL is of real numbers there) and which others SQL has. Hashes take bytes: `sha256(toUtf8(name))`.

Names are compared without case and underscores (`toEpochDays`, `TO_EPOCH_DAYS`). Where an argument is null so is the value,
except for the functions marked *nulls*. Values are converted to what a function takes: text to a number by parsing it, a
number to text as Java prints it. Times are milliseconds since the epoch; a text in their place is read as a TIMESTAMP.
What must be a text that is the same for every row (a pattern, a path, a unit, a zone) is read when the table is made.

An expression may be nested 64 levels deep, and 12 in words of SQL such as `CASE`, `CAST` and `NOT`; what is deeper is derived in
two columns. A function that panics is a fault of Weir: its record is rejected with the function's name, and the others go on.

Arguments stand in Pinot's order. What is used most, with what it gives:

| expression | gives |
|---|---|
| `toEpochDays(1771934401234)`, `fromEpochDays(20508)` | `20508`, `1771891200000` |
| `toEpochMinutesRounded(1771934401234, 10)`, `toEpochMinutesBucket(1771934401234, 10)` | `29532240`, `2953224` |
| `toDateTime(1771934401234, 'yyyy-MM-dd HH', 'Asia/Kolkata')` | `2026-02-24 17` |
| `fromDateTime('24/02/2026', 'dd/MM/yyyy')`, `fromDateTime('never', 'dd/MM/yyyy', 'UTC', 5)` | `1771891200000`, `5` |
| `dateTimeConvert(1771934401234, '1:MILLISECONDS:EPOCH', '1:DAYS:SIMPLE_DATE_FORMAT:yyyyMMdd', '1:DAYS')` | `20260224` |
| `dateBin('15m', 1771934401234, 0)`, `filterMv(scores, 'v > 5')` | the start of its quarter of an hour; the values above 5 |
| `dateTrunc('month', 1771934401234)`, `year(1771934401234)` | `1769904000000`, `2026` |
| `jsonPathString(address, '$.city', 'unknown')`, `jsonPathArray(j, '$.items[*].id')` | the city, or `unknown`; a list |
| `jsonFormat(address)` | the object as JSON text |
| `concat(a, b, '-')`, `concatWS('-', a, b, c)` | `a-b`, `a-b-c` |
| `substr('two words', 0, 3)`, `substring('two words', 5, 2)` | `two` (from 0, end not included), `wo` (from 1, a length) |
| `split('x,y', ',')`, `splitPart('x,y', ',', 1)` | a list; `y` (from 0) |
| `strcmp(a, b)` | -1, 0 or 1 |
| `urlDomain(u)`, `extractURLParameter(u, 'page')` | the host of a URL, or null; the value of a parameter, or `` |
| `isSubnetOf('10.0.0.0/8', ip)`, `ipPrefix('192.168.1.77', 16)` | whether it is in there; `192.168.0.0/16` |
| `murmurHash2(toUtf8(k))` | the number by which Kafka's own partitioner chooses |
| `coalesce(a, b, 0)`, `CASE WHEN a > 5 THEN 'big' ELSE 'small' END` | the first that is not null; one of the two |

A number computed with a BIG_DECIMAL is exact and a BIG_DECIMAL; a quotient has 34 digits at most. An object or array of a
record, as a text, is JSON without spaces, its keys in their order: `md5(toUtf8(address))`. `LIKE` does not tell capitals from
small letters, as in SQL; `regexpLike` does unless its flags say `i`. Zones are names or offsets: `Europe/Berlin`, `+05:30`.
Before 1970 counts are cut towards zero, as Java divides them, and dates begin where their calendar says. `murmurHash3X64Bit64` is
the hash of 32 bits, as in Pinot.

`now`, `ago`, `rand`, `sleep`, `uuidV4` and `uuidV7` are refused: a record that is read again must become the same row. Not
built are the functions of geometry and sketches, `md2`, and Groovy.

This page is written from `crates/weir-functions/src/shelf/`; `WEIR_BLESS=1 cargo test -p weir-functions reference` writes it
again.
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (title, functions) in families() {
        writeln!(page, "\n## {title}\n\n| function | other names | arguments |\n|---|---|---|").ok();
        for function in functions {
            let names: Vec<String> = function.names[1..].iter().map(|name| format!("`{name}`")).collect();
            let nulls = if function.nulls { ", *nulls*" } else { "" };
            writeln!(page, "| `{}` | {} | {}{nulls} |", function.name(), names.join(", "), function.arity()).ok();
        }
    }
    page
}

#[test]
fn function_reference_is_as_the_page_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/functions.md");
    if std::env::var_os("WEIR_BLESS").is_some() {
        std::fs::write(&path, page()).expect("the page can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page(), "{} is not up to date: run with WEIR_BLESS=1", path.display());
}
