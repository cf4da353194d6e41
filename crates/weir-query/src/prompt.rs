//! Which queries the thread that asks may work on itself. Where the processor is busy, to hand
//! a query to another thread and its answer back waits for a turn each time, which a small query feels. But a thread that asks has other
//! things to do and little stack, and while it works nobody can stop it: such a query has few expressions, and none that
//! takes long whatever it is given.

use datafusion::sql::sqlparser::ast::{Expr, ObjectName, Query, Select, SelectItem, TableFactor, Visit, Visitor};
use std::ops::ControlFlow;

/// Bytes of a text that is read in a moment.
const MOST_TEXT: usize = 1 << 10;

/// What may nest in a text that is read on a small stack: of what the parser itself allows, 2 MiB do not hold all in a build
/// without optimisation.
const MOST_NESTED: usize = 16;

/// Expressions of a query that is planned in a moment, on a small stack however they are nested.
const MOST_EXPRESSIONS: usize = 48;

/// Functions that planning does not evaluate, and that take rows one by one.
const FUNCTIONS: [&str; 5] = ["count", "sum", "min", "max", "avg"];

/// Whether whoever asks may read a text itself: it is short, and little can be nested in it.
pub(crate) fn is_plain(sql: &str) -> bool {
    if sql.len() > MOST_TEXT {
        return false;
    }
    let opening = sql.bytes().filter(|byte| b"([{-+~!:<".contains(byte)).count();
    let words = sql.split(|letter: char| !letter.is_ascii_alphabetic());
    // What stands before a value again and again without a sign.
    let before =
        ["not", "case", "interval", "prior", "exists", "any", "all", "select", "from", "with", "date", "timestamp"];
    let words = words.filter(|word| before.iter().any(|known| word.eq_ignore_ascii_case(known))).count();
    opening + words <= MOST_NESTED
}

/// Whether a query, as it was parsed, reads one table of the database that is not the node's own, and asks little of it.
pub(crate) fn asks_little(query: &Query, database: Option<&str>, own: &str) -> bool {
    let mut look = Look { queries: 0, tables: 0, expressions: 0, own };
    database.is_none_or(|database| !database.eq_ignore_ascii_case(own))
        && query.visit(&mut look).is_continue()
        && look.tables == 1
}

/// Breaks off where a query may ask much.
struct Look<'a> {
    queries: usize,
    tables: usize,
    expressions: usize,
    /// The database of the node.
    own: &'a str,
}

impl Look<'_> {
    fn is_own(&self, name: &ObjectName) -> bool {
        let first = name.0.first().and_then(|part| part.as_ident()).map_or("", |ident| &ident.value);
        first.split('.').next().is_some_and(|first| first.eq_ignore_ascii_case(self.own))
    }
}

fn on(goes: bool) -> ControlFlow<()> {
    if goes { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

impl Visitor for Look<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.queries += 1;
        on(self.queries == 1 && query.pipe_operators.is_empty())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        // How many columns `*` stands for is not known.
        let all = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
        on(!select.projection.iter().any(all))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        self.tables += 1;
        let plain = matches!(factor, TableFactor::Table { name, args: None, .. } if !self.is_own(name));
        on(self.tables == 1 && plain)
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.expressions += 1;
        let plain = match expr {
            Expr::Identifier(_)
            | Expr::CompoundIdentifier(_)
            | Expr::Value(_)
            | Expr::Nested(_)
            | Expr::UnaryOp { .. }
            | Expr::BinaryOp { .. }
            | Expr::Between { .. }
            | Expr::InList { .. }
            | Expr::IsNull(_)
            | Expr::IsNotNull(_) => true,
            Expr::Function(function) => {
                let name = function.name.to_string();
                function.over.is_none() && FUNCTIONS.iter().any(|known| name.eq_ignore_ascii_case(known))
            }
            _ => false,
        };
        on(plain && self.expressions <= MOST_EXPRESSIONS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::parse;

    #[test]
    fn a_query_of_one_table_with_few_plain_expressions_asks_little() {
        for sql in [
            "SELECT a FROM t WHERE a BETWEEN 3 AND 4 AND NOT (b = 'x' OR c IN (1, -2)) LIMIT 10",
            "SELECT a + 1 FROM default.t WHERE c IS NOT NULL ORDER BY b DESC LIMIT 3",
            "SELECT b, COUNT(*), Sum(c) FROM t GROUP BY b HAVING MAX(c) > 3 ORDER BY COUNT(*)",
        ] {
            assert!(asks_little(&parse(sql).unwrap().query, None, "system"), "{sql}");
            assert!(asks_little(&parse(sql).unwrap().query, Some("other"), "system"), "{sql}");
            assert!(!asks_little(&parse(sql).unwrap().query, Some("System"), "system"), "{sql}");
        }
    }

    #[test]
    fn a_plain_text_is_short_and_nests_little() {
        assert!(is_plain("SELECT a, COUNT(*) FROM t WHERE b NOT IN ('x-1', 'y-2') AND (c < 3 OR d > -1) GROUP BY a"));
        assert!(!is_plain(&format!("SELECT a FROM t WHERE b = '{}'", "x".repeat(MOST_TEXT))));
        for nested in ["(", "[", "-", "NOT ", "case when "] {
            assert!(!is_plain(&format!("SELECT {}1", nested.repeat(MOST_NESTED))), "{nested}");
        }
        assert!(!is_plain(&format!("SELECT 1{}", "::INT".repeat(MOST_NESTED))));
    }

    #[test]
    fn what_may_take_long_is_left_to_threads_of_queries() {
        let chain = vec!["a"; MOST_EXPRESSIONS].join(" + ");
        for sql in [
            "SELECT 1",
            "SELECT * FROM t",
            "SELECT a, t.* FROM t",
            "SELECT a FROM t |> LIMIT 2",
            "SELECT a FROM t, u",
            "SELECT a FROM t JOIN u ON t.a = u.a",
            "SELECT a FROM (SELECT a FROM t)",
            "SELECT a FROM t WHERE a IN (SELECT b FROM u)",
            "SELECT a FROM t UNION ALL SELECT a FROM t",
            "WITH u AS (SELECT a FROM t) SELECT a FROM u",
            "SELECT repeat('a', 1000000) FROM t",
            "SELECT a FROM t WHERE regexp_like(b, '(a*)*b')",
            "SELECT a FROM t WHERE b LIKE '%a%'",
            "SELECT CAST(a AS STRING) FROM t",
            "SELECT CASE WHEN a > 1 THEN 2 END FROM t",
            "SELECT SUM(a) OVER (ORDER BY b) FROM t",
            "SELECT state FROM system.segments",
            "SELECT state FROM \"System.segments\"",
            &format!("SELECT {chain} FROM t"),
        ] {
            assert!(!asks_little(&parse(sql).unwrap().query, None, "system"), "{sql}");
        }
    }
}
