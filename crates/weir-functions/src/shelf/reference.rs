//! Keeps the page of functions true: it is written from the shelf.

use super::*;
use std::{fmt::Write as _, path::Path};

const HEAD: &str = "# Functions of ingestion expressions

`transformConfigs`, `filterConfig` and the enricher `generateColumn` take expressions over the fields of a record, in SQL's
notation: fields by name (in double quotes where the name has other characters than letters, digits and `_`), constants
(`'text'`, `1`, `2.5`, `true`, `NULL`), `+ - * / % ||`, comparisons, `AND OR NOT`, `BETWEEN`, `IN`, `LIKE`, `IS NULL`, `CASE`, `CAST(x AS
LONG)` and the functions below. [ingestion.md](ingestion.md) tells where they stand and what comes of errors.

Names are compared without case and underscores (`toEpochDays`, `TO_EPOCH_DAYS`). Where an argument is null so is the value,
except for the functions marked *nulls*. Values are converted to what a function takes: text to a number by parsing it, a
number to text as Java prints it. Times are milliseconds since the epoch; a text in their place is read as a TIMESTAMP.
What must be a text that is the same for every row (a pattern, a path, a unit, a zone) is read when the table is made.

`now`, `ago`, `rand`, `sleep`, `uuidV4` and `uuidV7` are refused: a record that is read again must become the same row. Not
built are the functions of geometry, sketches, vectors, IP addresses, URLs' parts, hashes, and Groovy.

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
