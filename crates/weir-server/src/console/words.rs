//! Words for the editor of SQL, beside the names of tables that the catalog has: functions and aggregates as the page of
//! SQL lists them, which is held against the code, and the tables of the database `system` with their columns.

use crate::system::{Described, described};
use serde_json::{Value as Json, json};

/// The page that lists every function; a test of `weir-query` keeps it true.
const PAGE: &str = include_str!("../../../../docs/reference/sql.md");

/// `{"functions":[..],"aggregates":[..],"system":[{"name":"system.partitions","columns":[..]}]}`.
pub(super) fn json() -> String {
    json!({
        "functions": listed("scalar functions"),
        "aggregates": listed("aggregates"),
        "system": described().map(|(name, fields)| table(name, &fields)),
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

fn table(name: &str, fields: &Described) -> Json {
    let columns: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
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
        assert_eq!(words["system"].as_array().unwrap().len(), described().len());
        assert_eq!(listed("no such list"), Vec::<&str>::new());
    }
}
