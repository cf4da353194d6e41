//! Runs the scripts beside this file.
//!
//! A script is a list of cases: `query`, perhaps with ` sorted` for rows whose order is free, then the statement, a line
//! `----`, and what it gives: a line with `name TYPE` of each column, then the rows. An error is `error code: message`.
//! With `WEIR_SLT_COMPLETE=1` the expected part is written anew; read the difference before keeping it.
//!
//! Every case is run with one thread and with two, over the segments in both orders: what depends on who is first is
//! found here, and not once in a hundred runs. Such a case asks for an order, or rounds its real numbers.

use crate::fixture::{Fixed, ask, cities, engine_with, ledger, orders};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::{fmt::Write, path::Path};
use weir_query::{QueryEngine, QueryResponse};

struct Case {
    comment: String,
    sorted: bool,
    sql: String,
    expected: String,
}

fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = vec![];
    let mut comment = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if !line.starts_with("query") {
            assert!(line.is_empty() || line.starts_with('#'), "neither 'query' nor a comment: {line}");
            comment += line;
            comment.push('\n');
            continue;
        }
        let mut case = Case {
            comment: std::mem::take(&mut comment),
            sorted: line.contains("sorted"),
            sql: String::new(),
            expected: String::new(),
        };
        for line in lines.by_ref().take_while(|line| *line != "----") {
            writeln!(case.sql, "{line}").unwrap();
        }
        while let Some(line) = lines.next_if(|line| !line.is_empty()) {
            writeln!(case.expected, "{line}").unwrap();
        }
        cases.push(case);
    }
    cases
}

/// An answer as a script shows it.
fn shown(answer: &QueryResponse, sorted: bool) -> String {
    let mut text = String::new();
    if let Some(exception) = answer.exceptions.first() {
        writeln!(text, "error {}: {}", exception.code, exception.message.lines().next().unwrap_or_default()).unwrap();
        return text;
    }
    let columns: Vec<String> =
        answer.columns.iter().map(|column| format!("{} {}", column.name, column.pinot_type)).collect();
    writeln!(text, "{}", columns.join(" | ")).unwrap();
    let options = FormatOptions::default().with_null("NULL");
    let mut rows: Vec<String> = vec![];
    for batch in &answer.rows {
        let cells: Vec<ArrayFormatter<'_>> =
            batch.columns().iter().map(|array| ArrayFormatter::try_new(array, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let texts: Vec<String> =
                cells.iter().map(|cell| cell.value(row).to_string().replace('\n', "\\n")).collect();
            rows.push(texts.join(" | "));
        }
    }
    if sorted {
        rows.sort();
    }
    rows.iter().for_each(|row| writeln!(text, "{}", if row.is_empty() { "(empty)" } else { row }).unwrap());
    text
}

async fn run(engine: &QueryEngine, explains: bool, path: &Path, complete: bool) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let (mut wrong, mut written) = (vec![], String::new());
    for case in parse(&text) {
        if !explains && case.sql.contains("EXPLAIN PLAN") {
            continue;
        }
        let found = shown(&ask(engine, &case.sql).await, case.sorted);
        if found != case.expected {
            wrong.push(format!("{}\n{}expected\n{}found\n{found}", path.display(), case.sql, case.expected));
        }
        let head = if case.sorted { "query sorted" } else { "query" };
        write!(written, "{}{head}\n{}----\n{found}", case.comment, case.sql).unwrap();
    }
    if complete {
        std::fs::write(path, written).unwrap();
        wrong.clear();
    }
    wrong
}

#[tokio::test]
async fn scripts_give_what_they_say() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "slt"));
    paths.sort();
    assert!(!paths.is_empty(), "there are scripts");
    let complete = std::env::var_os("WEIR_SLT_COMPLETE").is_some();
    // The plans that the scripts show are those of the first: two threads, which every query uses.
    for (threads, thread_rows, backwards) in
        [(2, 0, false), (2, 0, true), (2, 1 << 16, false), (1, 0, false), (1, 0, true)]
    {
        let mut orders = orders();
        if backwards {
            orders.segments.reverse();
        }
        let engine = engine_with(threads, thread_rows, Fixed(vec![orders, cities(), ledger()]), 64 << 20);
        let mut wrong = vec![];
        for path in &paths {
            let explains = (threads, thread_rows) == (2, 0);
            wrong.extend(run(&engine, explains, path, complete && explains && !backwards).await);
        }
        let how = format!(
            "{threads} threads of {thread_rows} rows, segments {}",
            if backwards { "backwards" } else { "in order" }
        );
        assert!(wrong.is_empty(), "{how}: {} cases give something else\n\n{}", wrong.len(), wrong.join("\n"));
    }
}

/// Few rows of one table are read by one thread.
#[tokio::test]
async fn small_queries_are_planned_for_one_thread() {
    for (thread_rows, one) in [(1 << 16, true), (0, false)] {
        let engine = engine_with(2, thread_rows, Fixed(vec![orders()]), 64 << 20);
        let sql = "EXPLAIN PLAN FOR SELECT city, COUNT(*) FROM orders WHERE qty > 3 GROUP BY city";
        let plan = shown(&ask(&engine, sql).await, false);
        assert!(plan.contains("SegmentScan"), "{plan}");
        assert_eq!(!plan.contains("RepartitionExec"), one, "{plan}");
    }
}
