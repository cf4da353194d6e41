//! Statements that are no queries and that people type all the same: `SHOW TABLES`, `DESCRIBE t`. Each is a query of a `system`
//! table.

/// Tables and columns that such a statement shows: more than anybody has.
const ROWS_MOST: u32 = 100_000;

/// The query that a statement means; none where it is no such statement. `known`: whether there is a table of that name.
pub(super) fn rewritten(sql: &str, known: impl Fn(&str) -> bool) -> Option<String> {
    // What `SET` says before a statement holds for it.
    let (settings, last) = match sql.trim().trim_end_matches(';').rsplit_once(';') {
        Some((settings, last)) => (Some(settings), last),
        None => (None, sql.trim().trim_end_matches(';')),
    };
    let query = of_statement(last.trim(), known)?;
    Some(settings.map_or_else(|| query.clone(), |settings| format!("{settings}; {query}")))
}

fn of_statement(text: &str, known: impl Fn(&str) -> bool) -> Option<String> {
    let mut words = text.split_whitespace();
    let first = words.next()?.to_ascii_uppercase();
    let rest: Vec<&str> = words.collect();
    let is = |at: usize, word: &str| rest.get(at).is_some_and(|text| text.eq_ignore_ascii_case(word));
    match (first.as_str(), rest.as_slice()) {
        ("SHOW", [_]) if is(0, "TABLES") => {
            Some(format!("SELECT tableName FROM system.tables ORDER BY tableName LIMIT {ROWS_MOST}"))
        }
        ("SHOW", [_, _, table]) if is(0, "COLUMNS") && (is(1, "FROM") || is(1, "IN")) => Some(columns(table, known)),
        ("DESCRIBE" | "DESC", [table]) => Some(columns(table, known)),
        ("DESCRIBE" | "DESC", [_, table]) if is(0, "TABLE") => Some(columns(table, known)),
        _ => None,
    }
}

/// A table that is not known is asked for itself: the answer says what is wrong with its name.
fn columns(table: &str, known: impl Fn(&str) -> bool) -> String {
    let name = table.trim_matches(['"', '`']);
    let name = name.strip_prefix("default.").unwrap_or(name);
    let name = name.strip_suffix("_REALTIME").unwrap_or(name);
    if !known(name) {
        return format!("SELECT * FROM {table} LIMIT 0");
    }
    let name = name.replace('\'', "''");
    format!(
        "SELECT columnName, dataType, fieldType, \"format\", defaultNullValue, maxLength, \"role\" FROM system.columns \
         WHERE tableName = '{name}' ORDER BY \"position\" LIMIT {ROWS_MOST}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_become_queries_and_queries_stay() {
        for text in ["show tables", " SHOW  TABLES ; "] {
            assert!(rewritten(text, |_| true).unwrap().starts_with("SELECT tableName FROM system.tables"), "{text}");
        }
        for text in
            ["DESCRIBE orders", "desc \"orders\";", "describe table orders_REALTIME", "SHOW COLUMNS FROM orders"]
        {
            assert!(rewritten(text, |_| true).unwrap().contains("WHERE tableName = 'orders'"), "{text}");
        }
        assert!(
            rewritten("SET timeoutMs=5; SHOW TABLES", |_| true)
                .unwrap()
                .starts_with("SET timeoutMs=5; SELECT tableName")
        );
        assert!(rewritten("DESCRIBE o'x", |_| true).unwrap().contains("'o''x'"));
        assert_eq!(rewritten("DESCRIBE system.segments", |_| false).unwrap(), "SELECT * FROM system.segments LIMIT 0");
        for text in
            ["SELECT 1", "SELECT * FROM show", "SHOW", "SHOW TABLES FROM a b", "", "SELECT 'a; SHOW TABLES' FROM t"]
        {
            assert_eq!(rewritten(text, |_| true), None, "{text}");
        }
    }
}
