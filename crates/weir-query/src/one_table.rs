//! Queries that read one table, by its name, and ask nothing else: the most common ones, whose planning is most of what they
//! cost. They are planned over the columns that they mention, so that a wide table costs no more than a narrow one, and the
//! table goes by the name that its columns are qualified with.

use crate::provider::NULL_FLAG;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query, Select, SelectItem, SetExpr,
    Statement, TableFactor, Visit, Visitor,
};
use std::{collections::HashSet, ops::ControlFlow};

/// A query of one table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OneTable {
    /// What the query calls it.
    pub(crate) name: String,
    /// Columns that it may mean.
    mentioned: HashSet<String>,
}

impl OneTable {
    /// What a rewritten query reads, if that is one table; the query calls it by its alias then. What a table in parentheses
    /// computes may be left out or filtered early only after several rounds, so it is none.
    pub(crate) fn of(statement: &mut Statement) -> Option<Self> {
        let mut mentions = Mentions::default();
        if statement.visit(&mut mentions).is_break() {
            return None;
        }
        let Statement::Query(query) = statement else { return None };
        let SetExpr::Select(select) = &mut *query.body else { return None };
        let [from] = &mut *select.from else { return None };
        let TableFactor::Table { name, alias, args: None, .. } = &mut from.relation else { return None };
        if query.with.is_some() || !query.pipe_operators.is_empty() || !from.joins.is_empty() {
            return None;
        }
        let called =
            alias.take_if(|alias| alias.columns.is_empty() && !alias.name.value.is_empty()).map(|alias| alias.name);
        match called {
            Some(called) => *name = ObjectName::from(vec![called]),
            None if alias.is_some() => return None,
            None => {}
        }
        let [only] = &*name.0 else { return None };
        Some(Self { name: only.as_ident()?.value.clone(), mentioned: mentions.columns })
    }

    /// Whether the query may mean this column.
    pub(crate) fn mentions(&self, column: &str) -> bool {
        self.mentioned.contains(column)
    }
}

/// Collects names that may be those of columns; breaks off where that does not tell which columns are meant.
#[derive(Default)]
struct Mentions {
    queries: usize,
    columns: HashSet<String>,
}

impl Mentions {
    fn note(&mut self, name: &Ident) {
        // Who asks whether a column is null asks that column.
        if let Some(flagged) = name.value.strip_prefix(NULL_FLAG) {
            self.columns.insert(flagged.to_owned());
        }
        self.columns.insert(name.value.clone());
    }
}

impl Visitor for Mentions {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.queries += 1;
        if self.queries > 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let all = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
        if select.projection.iter().any(all) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(name) => self.note(name),
            Expr::CompoundIdentifier(names) => names.iter().for_each(|name| self.note(name)),
            // Of what is counted by its qualifier every column is asked whether it is null.
            Expr::Function(function) if names_all(&function.args) => return ControlFlow::Break(()),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Whether a function is given all columns of a table.
fn names_all(args: &FunctionArguments) -> bool {
    let all = |arg: &FunctionArg| {
        matches!(
            arg,
            FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(_) | FunctionArgExpr::WildcardWithOptions(_))
        )
    };
    matches!(args, FunctionArguments::List(list) if list.args.iter().any(all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::{dialect::GenericDialect, parser::Parser};

    fn of(sql: &str) -> (Option<OneTable>, String) {
        let mut statement = Parser::parse_sql(&GenericDialect {}, sql).unwrap().remove(0);
        (OneTable::of(&mut statement), statement.to_string())
    }

    #[test]
    fn a_table_goes_by_its_alias_and_has_the_columns_that_are_mentioned() {
        let (one, text) =
            of("SELECT t.a + f(b) AS x FROM \"T_REALTIME\" AS t WHERE NOT \"$isNull$c\" AND d = 'e' GROUP BY g \
             HAVING SUM(CASE WHEN h > 1 THEN i END) > 0 ORDER BY x, COUNT(*) OVER (PARTITION BY j ORDER BY k) LIMIT 1");
        let one = one.unwrap();
        assert_eq!(one.name, "t");
        for name in ["a", "b", "c", "$isNull$c", "d", "g", "h", "i", "j", "k"] {
            assert!(one.mentions(name), "{name}");
        }
        assert!(!one.mentions("e") && !one.mentions("f") && !one.mentions("l"));
        assert!(text.contains(" FROM t WHERE "), "{text}");
        assert_eq!(of("SELECT COUNT(*) FROM t").0, Some(OneTable { name: "t".to_owned(), mentioned: HashSet::new() }));
    }

    #[test]
    fn more_than_one_table_or_unknown_columns_are_not_one_table() {
        for sql in [
            "SELECT * FROM t x",
            "SELECT x.* FROM t x",
            "SELECT a FROM t x, u y",
            "SELECT a FROM t x JOIN u y USING(a)",
            "SELECT a FROM (SELECT a FROM t x) y",
            "SELECT a FROM t x WHERE a IN (SELECT b FROM u y)",
            "WITH y AS (SELECT a FROM t x) SELECT a FROM y",
            "SELECT a FROM t x UNION ALL SELECT a FROM t x",
            "SELECT b FROM t AS x (b)",
            "SELECT COUNT(x.*) FROM t x",
            "SELECT a FROM t AS \"\"",
            "SELECT a FROM t x |> LIMIT 2",
            "SELECT 1",
        ] {
            let (one, text) = of(sql);
            assert_eq!(one, None, "{sql}");
            assert_eq!(text, sql);
        }
    }
}
