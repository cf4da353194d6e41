//! Words for the editor of SQL, beside the names of tables that the catalog has: functions and aggregates as the page of
//! SQL lists them, which is held against the code, and the tables of the database `system` with their columns.

use crate::system::{Field, audit, partitions, quarantine, segments, skips};
use serde_json::{Value as Json, json};

/// The page that lists every function; a test of `weir-query` keeps it true.
const PAGE: &str = include_str!("../../../../docs/reference/sql.md");

/// `{"functions":[..],"aggregates":[..],"system":[{"name":"system.partitions","columns":[..]}]}`.
pub(super) fn json() -> String {
    json!({
        "functions": listed("scalar functions"),
        "aggregates": listed("aggregates"),
        "system": [
            table("partitions", partitions::FIELDS),
            table("segments", segments::FIELDS),
            table("quarantine", quarantine::FIELDS),
            table("skips", skips::FIELDS),
            table("audit", audit::FIELDS),
        ],
    })
    .to_string()
}

/// The names between the mark of a list and its end.
fn listed(list: &str) -> Vec<&'static str> {
    let section = PAGE.split_once(&format!("<!-- {list} -->")).map_or("", |(_, rest)| rest);
    let section = section.split("<!-- end -->").next().unwrap_or_default();
    // Names stand in back-ticks: every second part is one.
    section.split('`').skip(1).step_by(2).collect()
}

fn table<T>(name: &str, fields: &[Field<T>]) -> Json {
    let columns: Vec<&str> = fields.iter().map(|field| field.name).collect();
    json!({ "name": format!("system.{name}"), "columns": columns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_aggregates_and_system_tables_are_offered() {
        let words: Json = serde_json::from_str(&json()).unwrap();
        let has = |list: &str, word: &str| words[list].as_array().unwrap().iter().any(|found| found == word);
        assert!(has("functions", "datetrunc") && has("functions", "jsonextractscalar"), "{words}");
        assert!(has("aggregates", "distinctCountHLL") && !has("functions", "distinctCountHLL"), "{words}");
        let clean = |name: &Json| name.as_str().unwrap().chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        assert!(words["functions"].as_array().unwrap().iter().all(clean), "{words}");
        assert_eq!(words["system"][0]["name"], "system.partitions");
        assert_eq!(words["system"][2]["columns"][3], "offset");
        assert_eq!(listed("no such list"), Vec::<&str>::new());
    }
}
