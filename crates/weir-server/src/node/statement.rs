//! Statements that are no queries and that people type all the same: `SHOW TABLES`, `DESCRIBE t`. Each is a query of a `system`
//! table.

/// Tables and columns that such a statement shows: more than anybody has.
const ROWS_MOST: u32 = 100_000;

/// The query that a statement means; none where it is no such statement. `spelled`: how the table of a name is spelled.
pub(super) fn rewritten(sql: &str, spelled: impl Fn(&str) -> Option<String>) -> Option<String> {
    let sql = uncommented(sql);
    // What `SET` says before a statement holds for it.
    let (settings, last) = match sql.trim().trim_end_matches(';').rsplit_once(';') {
        Some((settings, last)) => (Some(settings), last),
        None => (None, sql.trim().trim_end_matches(';')),
    };
    let query = of_statement(last.trim(), spelled)?;
    Some(settings.map_or_else(|| query.clone(), |settings| format!("{settings}; {query}")))
}

/// Without comments, which stand outside of quotes.
fn uncommented(sql: &str) -> String {
    let (mut kept, mut rest, mut quote) = (String::with_capacity(sql.len()), sql, None);
    while let Some(letter) = rest.chars().next() {
        let comment = match quote {
            None if rest.starts_with("--") => Some(rest.find('\n').unwrap_or(rest.len())),
            None if rest.starts_with("/*") => Some(rest.find("*/").map_or(rest.len(), |end| end + 2)),
            _ => None,
        };
        if let Some(end) = comment {
            kept.push(' ');
            rest = &rest[end..];
            continue;
        }
        quote = match quote {
            Some(open) if open == letter => None,
            None if matches!(letter, '\'' | '"' | '`') => Some(letter),
            open => open,
        };
        kept.push(letter);
        rest = &rest[letter.len_utf8()..];
    }
    kept
}

fn of_statement(text: &str, spelled: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut words = text.split_whitespace();
    let first = words.next()?.to_ascii_uppercase();
    let rest: Vec<&str> = words.collect();
    let is = |at: usize, word: &str| rest.get(at).is_some_and(|text| text.eq_ignore_ascii_case(word));
    match (first.as_str(), rest.as_slice()) {
        ("SHOW", [_]) if is(0, "TABLES") => {
            Some(format!("SELECT tableName FROM system.tables ORDER BY tableName LIMIT {ROWS_MOST}"))
        }
        ("SHOW", [_, _, pattern]) if is(0, "TABLES") && is(1, "LIKE") && is_text(pattern) => Some(format!(
            "SELECT tableName FROM system.tables WHERE tableName LIKE {pattern} ORDER BY tableName LIMIT {ROWS_MOST}"
        )),
        ("SHOW", [_, _, table]) if is(0, "COLUMNS") && (is(1, "FROM") || is(1, "IN")) => Some(columns(table, spelled)),
        ("DESCRIBE" | "DESC", [table]) => Some(columns(table, spelled)),
        ("DESCRIBE" | "DESC", [_, table]) if is(0, "TABLE") => Some(columns(table, spelled)),
        _ => None,
    }
}

/// Whether a word is a text in single quotes.
fn is_text(word: &str) -> bool {
    word.strip_prefix('\'').and_then(|word| word.strip_suffix('\'')).is_some_and(|word| !word.contains('\''))
}

/// A table that is not known is asked for itself: the answer says what is wrong with its name.
fn columns(table: &str, spelled: impl Fn(&str) -> Option<String>) -> String {
    let name = table.trim_matches(['"', '`']);
    let name = name.strip_prefix("default.").unwrap_or(name);
    let Some(name) = spelled(name) else {
        return format!("SELECT * FROM {table} LIMIT 0");
    };
    let name = name.replace('\'', "''");
    format!(
        "SELECT columnName, dataType, fieldType, \"format\", defaultNullValue, maxLength, \"role\" FROM system.columns \
         WHERE tableName = '{name}' ORDER BY \"position\" LIMIT {ROWS_MOST}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(name: &str) -> Option<String> {
        let name = name.to_lowercase();
        Some(name.strip_suffix("_realtime").unwrap_or(&name).to_owned())
    }

    #[test]
    fn statements_become_queries_and_queries_stay() {
        for text in ["show tables", " SHOW  TABLES ; ", "-- all\nSHOW TABLES -- of them", "/*x*/ show /**/ tables"] {
            assert!(rewritten(text, same).unwrap().starts_with("SELECT tableName FROM system.tables"), "{text}");
        }
        for text in
            ["DESCRIBE Orders", "desc \"orders\";", "describe table orders_REALTIME", "SHOW COLUMNS FROM orders"]
        {
            assert!(rewritten(text, same).unwrap().contains("WHERE tableName = 'orders'"), "{text}");
        }
        assert!(
            rewritten("SET timeoutMs=5; SHOW TABLES", same).unwrap().starts_with("SET timeoutMs=5; SELECT tableName")
        );
        let like = rewritten("show tables like 'ord%';", same).unwrap();
        assert!(like.starts_with("SELECT tableName FROM system.tables WHERE tableName LIKE 'ord%' ORDER"), "{like}");
        for text in ["SHOW TABLES LIKE orders", "SHOW TABLES LIKE 'a'b'", "SHOW TABLES LIKE '", "SHOW TABLES LIKE"] {
            assert_eq!(rewritten(text, same), None, "{text}");
        }
        assert!(rewritten("DESCRIBE o'x", same).unwrap().contains("'o''x'"));
        assert_eq!(rewritten("DESCRIBE system.segments", |_| None).unwrap(), "SELECT * FROM system.segments LIMIT 0");
        for text in
            ["SELECT 1", "SELECT * FROM show", "SHOW", "SHOW TABLES FROM a b", "", "SELECT 'a; SHOW TABLES' FROM t"]
        {
            assert_eq!(rewritten(text, same), None, "{text}");
        }
    }
}
