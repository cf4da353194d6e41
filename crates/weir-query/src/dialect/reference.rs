//! Holds `docs/reference/sql.md` against the code: its lists of functions are written from the tables of the dialect, its
//! tables of virtual columns and exceptions name what there is. `WEIR_BLESS=1 cargo test -p weir-query sql_reference`
//! writes the lists again.

use super::{
    Known, aggregates,
    rules::{EPOCH_UNITS, OPERATORS, PARTS, RULES, SPECIAL, epoch},
    scalars::KEPT,
};
use crate::{error::Code, functions::REMOVED, provider::VIRTUAL};
use datafusion::execution::{FunctionRegistry, SessionState, SessionStateBuilder};
use std::{collections::BTreeSet, path::Path};

/// Scalar functions of the dialect.
fn scalars() -> BTreeSet<String> {
    let epochs = EPOCH_UNITS.iter().flat_map(|(unit, _)| {
        ["", "bucket", "rounded"].into_iter().flat_map(move |rest| {
            ["toepoch", "fromepoch"].into_iter().map(move |direction| format!("{direction}{unit}{rest}"))
        })
    });
    let rules = RULES.iter().map(|(name, _)| *name);
    let names = rules.chain(SPECIAL).chain(OPERATORS.iter().map(|(name, _)| *name)).chain(PARTS);
    names.map(str::to_owned).chain(epochs.filter(|name| epoch(name).is_some())).collect()
}

/// Names of the shelf's functions that no rule of the dialect stands before.
fn of_the_shelf() -> BTreeSet<String> {
    let ours = scalars();
    let names = weir_functions::shelf::all().flat_map(|function| function.names);
    names.filter(|name| !ours.contains(&name.to_lowercase())).map(|name| (*name).to_owned()).collect()
}

fn aggregate_names() -> BTreeSet<String> {
    aggregates::NAMES.into_iter().chain(aggregates::MORE).map(str::to_owned).collect()
}

/// Functions of DataFusion that no rule of the dialect stands before.
fn others(state: &SessionState) -> BTreeSet<String> {
    let ours: BTreeSet<String> =
        scalars().into_iter().chain(aggregate_names()).chain(of_the_shelf()).map(|name| name.to_lowercase()).collect();
    let known = Known { state };
    // Aggregates and what is kept are there beside functions of the shelf that have the name in common.
    let beside = |name: &str| KEPT.contains(&name) || state.aggregate_functions().contains_key(name);
    known
        .names()
        .filter(|name| {
            beside(name) && !aggregate_names().iter().any(|known| known.eq_ignore_ascii_case(name))
                || !ours.contains(&name.replace('_', ""))
        })
        .map(str::to_owned)
        .collect()
}

/// Names as lines of the page, about as wide as its text.
fn lines(names: &BTreeSet<String>) -> String {
    let (mut page, mut width) = (String::new(), 0);
    for name in names {
        let word = format!("`{name}`");
        if width > 0 && width + word.len() >= 118 {
            page.push('\n');
            width = 0;
        } else if width > 0 {
            page.push(' ');
        }
        width += word.len() + 1;
        page.push_str(&word);
    }
    page
}

/// Puts a list between its marks.
fn with_list(page: &str, mark: &str, names: &BTreeSet<String>) -> String {
    let mark = format!("<!-- {mark} -->\n");
    let begin = page.find(&mark).expect("the page has the list's mark") + mark.len();
    let end = begin + page[begin..].find("<!-- end -->").expect("the list has an end");
    format!("{}\n{}\n\n{}", &page[..begin], lines(names), &page[end..])
}

#[test]
fn sql_reference_lists_every_function() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/sql.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let mut state = SessionStateBuilder::new().with_default_features().build();
    for name in REMOVED {
        state.deregister_udf(name).unwrap();
    }
    let mut right = with_list(&page, "scalar functions", &scalars());
    right = with_list(&right, "functions of the shelf", &of_the_shelf());
    right = with_list(&right, "aggregates", &aggregate_names());
    right = with_list(&right, "other functions", &others(&state));
    if std::env::var_os("WEIR_BLESS").is_some() {
        std::fs::write(&path, &right).unwrap();
        return;
    }
    assert!(page == right, "{} is not up to date: run with WEIR_BLESS=1", path.display());
}

#[test]
fn sql_reference_lists_virtual_columns_and_exceptions() {
    let page = include_str!("../../../../docs/reference/sql.md");
    for (name, data_type) in VIRTUAL {
        assert!(page.contains(&format!("\n| `{name}` | {data_type} | ")), "{name} is not on the page");
    }
    let section = &page[page.find("## Exceptions").expect("the page has the section")..];
    let rows: Vec<String> = section
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('`'))
        .map(|line| line.split(" | ").take(2).collect::<Vec<_>>().join(" | "))
        .collect();
    let right: Vec<String> = Code::ALL.iter().map(|code| format!("| {} | `{}`", code.number(), code.name())).collect();
    assert_eq!(rows, right);
}

#[test]
fn every_function_of_the_shelf_says_where_it_can_be_used() {
    let (own, shared) = (scalars(), of_the_shelf());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/functions.md");
    let page = std::fs::read_to_string(path).unwrap();
    for function in weir_functions::shelf::all() {
        for name in function.names {
            assert!(own.contains(&name.to_lowercase()) || shared.contains(*name), "{name} is not listed for SQL");
            assert!(page.contains(&format!("`{name}`")), "{name} is not listed for ingestion");
        }
    }
}
