//! Words for completion: SQL's, functions', and the live catalogue's tables and columns.

use crate::{cli::apply::texts, client::Client};
use parking_lot::RwLock;
use serde_json::Value as Json;
use std::{sync::Arc, time::Duration};

/// The catalogue is asked for at most this long before a prompt appears: the shell must not feel slow.
const PATIENCE: Duration = Duration::from_millis(500);
/// Tables whose columns are fetched: a cluster of thousands is not read for a completion.
const MOST_TABLES: usize = 200;

const SQL: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "HAVING",
    "ORDER BY",
    "LIMIT",
    "OFFSET",
    "DISTINCT",
    "AND",
    "OR",
    "NOT",
    "IN",
    "BETWEEN",
    "LIKE",
    "IS NULL",
    "IS NOT NULL",
    "AS",
    "ASC",
    "DESC",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "CAST",
    "JOIN",
    "LEFT JOIN",
    "ON",
    "UNION ALL",
    "WITH",
    "SET",
    "EXPLAIN PLAN FOR",
    "TRUE",
    "FALSE",
    "NULL",
    "INTERVAL",
];
const FUNCTIONS: &[&str] = &[
    "COUNT",
    "SUM",
    "MIN",
    "MAX",
    "AVG",
    "DISTINCTCOUNT",
    "DISTINCTCOUNTHLL",
    "PERCENTILE",
    "PERCENTILETDIGEST",
    "MODE",
    "FIRSTWITHTIME",
    "LASTWITHTIME",
    "DATETIMECONVERT",
    "DATETRUNC",
    "DATE_TRUNC",
    "TODATETIME",
    "FROMDATETIME",
    "NOW",
    "AGO",
    "YEAR",
    "MONTH",
    "DAY",
    "HOUR",
    "UPPER",
    "LOWER",
    "CONCAT",
    "SUBSTR",
    "LENGTH",
    "REPLACE",
    "COALESCE",
    "ABS",
    "CEIL",
    "FLOOR",
    "ROUND",
    "JSONEXTRACTSCALAR",
    "REGEXP_LIKE",
];
const SYSTEM: &[&str] = &["system.partitions", "system.segments", "system.quarantine"];

/// A table with its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableWords {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
}

/// What completion knows; shared between the shell and its completer.
#[derive(Debug, Clone, Default)]
pub(super) struct Words(Arc<RwLock<Vec<TableWords>>>);

impl Words {
    /// Asks the catalogue anew; what was known stays where it does not answer in time.
    pub(super) async fn renew(&self, controller: &Client) {
        if let Ok(Some(tables)) = tokio::time::timeout(PATIENCE, fetch(controller)).await {
            *self.0.write() = tables;
        }
    }

    /// Tables and columns, as they were last known.
    pub(super) fn tables(&self) -> Vec<TableWords> {
        self.0.read().clone()
    }

    /// What `line`, up to `at`, may go on with: where the word begins, and the whole words with what they are.
    pub(super) fn complete(&self, line: &str, at: usize) -> (usize, Vec<(String, &'static str)>) {
        let before = line.get(..at).unwrap_or(line);
        let start = before
            .rfind(|c: char| !(c.is_alphanumeric() || "_$.".contains(c)))
            .map_or(0, |end| end + before[end..].chars().next().map_or(1, char::len_utf8));
        let begun = before[start..].to_lowercase();
        let tables = self.0.read();
        let mentioned = |table: &&TableWords| contains_word(line, &table.name);
        let any_mentioned = tables.iter().any(|table| contains_word(line, &table.name));
        // Columns of the tables that the line names; of all tables where it names none yet.
        let columns = tables.iter().filter(|table| !any_mentioned || mentioned(table)).flat_map(|t| &t.columns);
        let mut found: Vec<(String, &'static str)> = vec![];
        let mut offer = |word: &str, what: &'static str| {
            let fits = word.to_lowercase().starts_with(&begun) && !begun.is_empty();
            if fits && !found.iter().any(|(known, _)| known == word) {
                found.push((word.to_owned(), what));
            }
        };
        columns.for_each(|column| offer(column, "column"));
        tables.iter().for_each(|table| offer(&table.name, "table"));
        SYSTEM.iter().for_each(|table| offer(table, "table"));
        SQL.iter().for_each(|word| offer(word, "SQL"));
        FUNCTIONS.iter().for_each(|word| offer(word, "function"));
        (start, found)
    }
}

fn contains_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|part| part.eq_ignore_ascii_case(word))
}

async fn fetch(controller: &Client) -> Option<Vec<TableWords>> {
    let answer = controller.get("/tables").await.ok().filter(crate::client::Answer::is_success)?;
    let mut tables = vec![];
    for name in texts(&answer.json()["tables"]).into_iter().take(MOST_TABLES) {
        let schema = controller.get(&format!("/tables/{name}/schema")).await.ok()?;
        tables.push(TableWords { columns: columns(&schema.json()), name });
    }
    Some(tables)
}

/// Column names of a schema.
fn columns(schema: &Json) -> Vec<String> {
    let lists = ["dimensionFieldSpecs", "metricFieldSpecs", "dateTimeFieldSpecs", "complexFieldSpecs"];
    let fields = lists.iter().flat_map(|list| schema[*list].as_array().into_iter().flatten());
    fields.filter_map(|field| field["name"].as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words() -> Words {
        let table = |name: &str, columns: &[&str]| TableWords {
            name: name.into(),
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        };
        Words(Arc::new(RwLock::new(vec![table("orders", &["country", "amount"]), table("users", &["county"])])))
    }

    fn offered(line: &str) -> Vec<String> {
        words().complete(line, line.len()).1.into_iter().map(|(word, _)| word).collect()
    }

    #[test]
    fn columns_come_from_the_tables_that_are_named() {
        assert_eq!(offered("select coun"), ["country", "county", "COUNT"]);
        let line = "select coun from orders";
        let (start, found) = words().complete(line, "select coun".len());
        assert_eq!(start, "select ".len());
        assert_eq!(found, [("country".to_owned(), "column"), ("COUNT".to_owned(), "function")]);
    }

    #[test]
    fn tables_and_words_complete_in_any_case() {
        assert_eq!(offered("SELECT * FROM ORD"), ["orders", "ORDER BY"]);
        assert_eq!(offered("select * from system.p"), ["system.partitions"]);
        assert_eq!(offered("select é, user"), ["users"]);
        assert_eq!(offered("select "), Vec::<String>::new());
    }

    #[test]
    fn columns_of_a_schema_are_found() {
        let schema = json!({"dimensionFieldSpecs": [{"name": "a"}], "dateTimeFieldSpecs": [{"name": "t"}]});
        assert_eq!(columns(&schema), ["a", "t"]);
    }
}
