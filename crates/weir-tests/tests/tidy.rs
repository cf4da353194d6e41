//! Keeps the house as drawn: floors, doors, file heads, file lengths, words. Reads files only; links none of ours.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the tree fails, and says where")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below `dir` whose name ends in `ending`, without build output.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    dirs.push(path);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Rows of the table in ARCHITECTURE.md that begins with the given heading cell.
fn table(heading: &str) -> Vec<Vec<String>> {
    let text = read(&root().join("ARCHITECTURE.md"));
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    let mut rows: Vec<Vec<String>> = text
        .lines()
        .skip_while(|line| !line.starts_with(&format!("| {heading}")))
        .take_while(|line| line.starts_with('|'))
        .map(cells)
        .collect();
    assert!(rows.len() > 2, "ARCHITECTURE.md has a table that begins with '{heading}'");
    rows.drain(..2);
    rows
}

/// Names between back-ticks or commas of a cell.
fn names(cell: &str) -> BTreeSet<String> {
    cell.split(',')
        .map(|name| name.trim().trim_matches('`').to_owned())
        .filter(|name| !name.is_empty() && name != "-")
        .collect()
}

struct Crate {
    ours: BTreeSet<String>,
    others: BTreeSet<String>,
}

/// Each crate's ordinary dependencies (those of tests do not bind the house), as its manifest lists them.
fn crates() -> BTreeMap<String, Crate> {
    let mut crates = BTreeMap::new();
    for manifest in files(&root().join("crates"), "Cargo.toml") {
        let name = manifest.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        // A list of features; it has no code that could import.
        if name == "weir-features" {
            continue;
        }
        let text = read(&manifest);
        let section = text.split("[dependencies]").nth(1).unwrap_or("");
        let lines = section.lines().take_while(|line| !line.starts_with('['));
        let dependencies: BTreeSet<String> = lines
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
            .map(|line| line.split(['.', ' ', '=']).next().unwrap().to_owned())
            .collect();
        let (ours, others) = dependencies.into_iter().partition(|dependency| dependency.starts_with("weir-"));
        crates.insert(name, Crate { ours, others });
    }
    crates
}

#[test]
fn floors_are_as_drawn() {
    let crates = crates();
    let rows = table("floor");
    let floor: BTreeMap<String, u32> = rows.iter().map(|row| (row[1].clone(), row[0].parse().unwrap())).collect();
    for (name, found) in &crates {
        if name == "weir-tests" {
            continue;
        }
        let row =
            rows.iter().find(|row| row[1] == *name).unwrap_or_else(|| panic!("{name} has a row in ARCHITECTURE.md"));
        let allowed: BTreeSet<String> = names(&row[3]).into_iter().map(|short| format!("weir-{short}")).collect();
        for import in &found.ours {
            assert!(
                allowed.contains(import),
                "{name} may not import {import}: its row in ARCHITECTURE.md does not list it"
            );
            assert!(floor[import] < floor[name], "{name} imports {import}, which is not below it");
        }
        for import in &allowed {
            assert!(found.ours.contains(import), "ARCHITECTURE.md says that {name} imports {import}; it does not");
        }
    }
    for row in &rows {
        assert!(crates.contains_key(&row[1]), "ARCHITECTURE.md lists {}, which is not there", row[1]);
    }
}

#[test]
fn libraries_come_in_by_their_doors() {
    let crates = crates();
    for row in table("library") {
        let doors: BTreeSet<String> = names(&row[1]).into_iter().map(|short| format!("weir-{short}")).collect();
        for library in names(&row[0]) {
            for (name, found) in &crates {
                let uses = found.others.contains(&library);
                assert!(!uses || doors.contains(name), "{name} may not name {library}: its doors are {doors:?}");
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    for path in files(&root().join("crates"), ".rs").into_iter().chain(files(&root().join("benchmarks"), ".rs")) {
        assert!(read(&path).starts_with("//! "), "{} opens without a `//!` head", path.display());
    }
}

#[test]
fn files_stay_short() {
    // Production lines: everything before the tests. Longer files are listed with their length, and may only shrink.
    let grown: BTreeMap<&str, usize> = BTreeMap::new();
    let root = root();
    for path in files(&root.join("crates"), ".rs") {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        if name.contains("/tests/") || name.ends_with("tests.rs") || name.contains("/benches/") {
            continue;
        }
        let text = read(&path);
        let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
        let most = grown.get(name.as_str()).copied().unwrap_or(600);
        assert!(lines <= most, "{name} has {lines} lines, {most} are the most: split the room");
    }
}

#[test]
fn the_house_speaks_of_the_product_alone() {
    let root = root();
    let mut places = files(&root.join("crates"), ".rs");
    places.extend(files(&root, ".md"));
    places.extend(files(&root.join("scripts"), ".sh"));
    // Spelled in parts, so that this file does not find itself.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("/work", "/"),
        concat!("this ", "session"),
        concat!("help", "er agent"),
    ];
    for path in places {
        let text = read(&path);
        for word in words {
            assert!(!text.contains(word), "{} says '{word}'", path.display());
        }
    }
}

#[test]
fn links_in_documents_lead_somewhere() {
    let root = root();
    for path in files(&root, ".md") {
        let text = read(&path);
        for part in text.split("](").skip(1) {
            let target = part.split([')', '#', ' ']).next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let file = path.parent().unwrap().join(target);
            assert!(file.exists(), "{} links to {target}, which is not there", path.display());
        }
    }
}
