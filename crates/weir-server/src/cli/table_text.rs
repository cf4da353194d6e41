//! Rows as text: a table for people, JSON lines, JSON or CSV for programs.

use crate::cli::output::escaped;
use serde_json::{Map, Value as Json};
use std::io::{IsTerminal, Write};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Lines and columns.
    Table,
    /// One JSON object per row and line.
    Jsonl,
    /// One JSON array of objects.
    Json,
    /// Comma-separated, with a line of names.
    Csv,
}

impl Format {
    /// A table where somebody looks, JSON lines where a program reads.
    pub(crate) fn of_stdout() -> Self {
        if std::io::stdout().is_terminal() { Self::Table } else { Self::Jsonl }
    }
}

/// Characters of a cell that a table shows: a column of long texts would push all others out of sight.
const CELL_CHARS: usize = 120;

/// Rows under names.
#[derive(Debug, Clone)]
pub(crate) struct Grid {
    names: Vec<String>,
    rows: Vec<Vec<Json>>,
    /// A table cuts no cell of the last column.
    last_whole: bool,
}

impl Grid {
    /// Without rows.
    pub(crate) fn new(names: Vec<String>) -> Self {
        Self { names, rows: vec![], last_whole: false }
    }

    /// The same, of whose last column a table cuts nothing.
    pub(crate) fn with_last_whole(self) -> Self {
        Self { last_whole: true, ..self }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: Vec<Json>) {
        self.rows.push(row);
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// All of it as text.
    pub(crate) fn write(&self, format: Format) -> Vec<u8> {
        let mut out = vec![];
        match format {
            Format::Table => self.table(&mut out),
            Format::Jsonl => {
                for object in self.objects() {
                    out.extend_from_slice(escaped(&object.to_string()).as_bytes());
                    out.push(b'\n');
                }
            }
            Format::Json => {
                out.extend_from_slice(escaped(&Json::Array(self.objects().collect()).to_string()).as_bytes());
                out.push(b'\n');
            }
            Format::Csv => self.csv(&mut out),
        }
        out
    }

    /// Rows as objects. A name that comes twice is numbered, so that nothing is lost.
    fn objects(&self) -> impl Iterator<Item = Json> {
        let mut keys: Vec<String> = vec![];
        for name in &self.names {
            let mut key = name.clone();
            let mut number = 2;
            while keys.contains(&key) {
                key = format!("{name}_{number}");
                number += 1;
            }
            keys.push(key);
        }
        self.rows.iter().map(move |row| {
            let pairs: Map<String, Json> = keys.iter().cloned().zip(row.iter().cloned()).collect();
            Json::Object(pairs)
        })
    }

    fn table(&self, out: &mut Vec<u8>) {
        let most = |at: usize| if self.last_whole && at + 1 == self.names.len() { usize::MAX } else { CELL_CHARS };
        let shown =
            self.rows.iter().map(|row| row.iter().enumerate().map(|(at, value)| cell(value, most(at))).collect());
        let shown: Vec<Vec<String>> = shown.collect();
        let names: Vec<String> = self.names.iter().map(|name| escaped(name)).collect();
        let width = |at: usize| {
            let cells = shown.iter().filter_map(|row| row.get(at)).map(|text| text.chars().count());
            cells.chain([names[at].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.names.len()).map(width).collect();
        let right: Vec<bool> = (0..self.names.len())
            .map(|at| !self.rows.is_empty() && self.rows.iter().all(|row| row[at].is_number() || row[at].is_null()))
            .collect();
        // Behind the last cell nothing is lined up, and a whole one would draw a long line under its name.
        let drawn = |at: usize| {
            if self.last_whole && at + 1 == names.len() { names[at].chars().count() } else { widths[at] }
        };
        let mut line = |cells: &[String]| {
            let mut text = String::new();
            for (at, cell) in cells.iter().enumerate() {
                let pad = " ".repeat(widths[at].saturating_sub(cell.chars().count()));
                let gap = if at == 0 { "" } else { "  " };
                let (before, after) = if right[at] { (pad.as_str(), "") } else { ("", pad.as_str()) };
                text.push_str(&format!("{gap}{before}{cell}{after}"));
            }
            // Writing into memory cannot fail.
            writeln!(out, "{}", text.trim_end()).ok();
        };
        line(&names);
        line(&(0..widths.len()).map(|at| "-".repeat(drawn(at))).collect::<Vec<_>>());
        shown.iter().for_each(|row| line(row));
    }

    /// A file holds what a row says; on a terminal nothing obeys it.
    fn csv(&self, out: &mut Vec<u8>) {
        let watched = std::io::stdout().is_terminal();
        let shown = |text: String| if watched { escaped(&text) } else { text };
        let mut line = |cells: Vec<String>| {
            let quoted: Vec<String> = cells.iter().map(|cell| csv_cell(cell)).collect();
            // Writing into memory cannot fail.
            writeln!(out, "{}", quoted.join(",")).ok();
        };
        line(self.names.iter().cloned().map(shown).collect());
        for row in &self.rows {
            line(row.iter().map(text).map(shown).collect());
        }
    }
}

/// A value without quotes; null is empty.
fn text(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A cell of a table: one line, of so many characters at most.
fn cell(value: &Json, most: usize) -> String {
    let text: String = if value.is_null() { "null".to_owned() } else { text(value) };
    // A terminal must not obey what a row says.
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", escaped(&text[..end])),
        None => escaped(&text),
    }
}

fn csv_cell(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn grid() -> Grid {
        let mut grid = Grid::new(vec!["city".into(), "n".into(), "n".into()]);
        grid.push(vec![json!("Berlin, \"Mitte\""), json!(12), json!(1.5)]);
        grid.push(vec![json!("a\nb\u{1b}[31m"), json!(null), json!([1, 2])]);
        grid
    }

    fn written(format: Format) -> String {
        String::from_utf8(grid().write(format)).unwrap()
    }

    #[test]
    fn a_table_is_aligned_and_harmless() {
        let text = written(Format::Table);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "city                n  n");
        assert_eq!(lines[2], "Berlin, \"Mitte\"    12  1.5");
        assert_eq!(lines[3], "a\\nb\\u001b[31m   null  [1,2]");
        assert_eq!(grid().len(), 2);
    }

    #[test]
    fn the_last_column_may_be_whole() {
        let mut grid = Grid::new(vec!["state".into(), "reason".into()]).with_last_whole();
        let long = "r".repeat(CELL_CHARS * 2);
        grid.push(vec![json!("s".repeat(CELL_CHARS + 1)), json!(long)]);
        let text = String::from_utf8(grid.write(Format::Table)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].ends_with("  ------") && lines[2].ends_with(&format!("s…  {long}")), "{text}");
    }

    #[test]
    fn programs_get_every_column() {
        assert_eq!(written(Format::Jsonl).lines().next().unwrap(), r#"{"city":"Berlin, \"Mitte\"","n":12,"n_2":1.5}"#);
        assert_eq!(written(Format::Json).lines().count(), 1);
        assert_eq!(written(Format::Csv).lines().next().unwrap(), "city,n,n");
        assert!(written(Format::Csv).contains("\"Berlin, \"\"Mitte\"\"\",12,1.5\n"));
    }
}
