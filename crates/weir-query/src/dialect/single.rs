//! The clauses of a single-stage query: one table, aliases and ordinals, default limit, names of the result's columns,
//! one group per value of a multi-value column.

use super::{
    Outcome, Profile,
    aggregates::is_aggregate,
    build::{bare, call, canonical, column, quoted},
    decimals::large_literal,
    invalid,
    lower::Lower,
    names::{Names, of_literal},
    scope::{Meaning, Relation, Scope, resolve},
};
use crate::{answer::QueryException, error::Code};
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, Fetch, GroupByExpr, LimitClause, Offset, OffsetRows, OrderByKind, Query, Select, SelectItem,
    SetExpr, TableAlias, TableFactor, TableWithJoins, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use std::{convert::Infallible, ops::ControlFlow};

/// Makes a query's clauses plain, and names its columns.
pub(super) fn prepare(query: &mut Query, profile: &Profile<'_>, lower: &mut Lower<'_>) -> Outcome<Vec<Option<String>>> {
    refuse_stages(query)?;
    limit(query, profile);
    let Query { body, order_by, .. } = query;
    let SetExpr::Select(select) = &mut **body else { return stages("UNION and the like") };
    let relations = lower.from(&mut select.from.clone())?;
    let scopes = [Scope { relations, ..Scope::default() }];
    let spell = |name: &str| match resolve(&scopes, None, name) {
        Ok(Meaning::Column { column, .. }) => column.name,
        _ => name.to_owned(),
    };
    let names = Names { spell: &spell, nulls: profile.nulls };
    expand(select, scopes[0].relations.first())?;
    let mut items = items(select)?;
    let orders = match order_by.as_mut().map(|order_by| &mut order_by.kind) {
        Some(OrderByKind::Expressions(orders)) => orders.as_mut_slice(),
        Some(OrderByKind::All(_)) => return invalid("ORDER BY ALL is not one of Pinot's: name the columns"),
        None => &mut [],
    };
    refuse_mixed(select, &items, &names)?;
    substitute(select, orders.iter_mut().map(|order| &mut order.expr), &items)?;
    let printed: Vec<String> = items
        .iter()
        .map(|item| match (&item.alias, select.from.is_empty()) {
            (Some(alias), _) => alias.clone(),
            (None, true) => of_literal(&item.expr).unwrap_or_else(|| names.print(&item.expr)),
            (None, false) => names.print(&item.expr),
        })
        .collect();
    explode(select, &mut items, orders.iter_mut().map(|order| &mut order.expr), &scopes)?;
    // An order by an item of the select list is one by its position; DISTINCT needs it so.
    for order in orders {
        let wanted = names.print(&order.expr);
        if let Some(at) = items.iter().position(|item| names.print(&item.expr) == wanted) {
            order.expr = column(&format!("${at}"));
        }
    }
    select.projection = items
        .into_iter()
        .enumerate()
        .map(|(at, item)| SelectItem::ExprWithAlias { expr: typed(item.expr), alias: quoted(&format!("${at}")) })
        .collect();
    Ok(printed.into_iter().map(Some).collect())
}

/// A whole-number literal is an INT where it fits, and a BIG_DECIMAL where it is beyond LONG.
pub(super) fn typed(expr: Expr) -> Expr {
    match bare(&expr) {
        Expr::Value(value) if matches!(&value.value, Value::Number(text, _) if text.parse::<i32>().is_ok()) => {
            call("w_int", vec![expr])
        }
        _ => large_literal(expr),
    }
}

/// An item of the select list.
struct Item {
    expr: Expr,
    alias: Option<String>,
}

fn stages<T>(what: &str) -> Outcome<T> {
    invalid(format!("{what} need the multi-stage engine: begin with SET useMultistageEngine = true"))
}

fn refuse_stages(query: &Query) -> Outcome<()> {
    if query.with.is_some() {
        return stages("common tables (WITH)");
    }
    let SetExpr::Select(select) = &*query.body else { return stages("UNION, VALUES and the like") };
    match select.from.as_slice() {
        [] => {}
        [TableWithJoins { relation: TableFactor::Table { .. }, joins }] if joins.is_empty() => {}
        [TableWithJoins { relation: TableFactor::Derived { .. }, .. }] => return stages("sub-queries"),
        _ => return stages("joins"),
    }
    struct Find;
    impl Visitor for Find {
        type Break = &'static str;
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<&'static str> {
            match expr {
                Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => ControlFlow::Break("sub-queries"),
                Expr::Function(function) if function.over.is_some() => ControlFlow::Break("window functions"),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    query.visit(&mut Find).break_value().map_or(Ok(()), stages)
}

/// A query without LIMIT has the default one.
fn limit(query: &mut Query, profile: &Profile<'_>) {
    plain_limit(query);
    let default = || Expr::Value(Value::Number(profile.default_limit.to_string(), false).into());
    match &mut query.limit_clause {
        Some(LimitClause::LimitOffset { limit, .. }) => {
            limit.get_or_insert_with(default);
        }
        clause => {
            *clause = Some(LimitClause::LimitOffset { limit: Some(default()), offset: None, limit_by: vec![] });
        }
    }
}

/// `LIMIT offset, count` and `FETCH FIRST` in the one form that the planner reads.
pub(super) fn plain_limit(query: &mut Query) {
    let clause = query.limit_clause.take();
    let (mut limit, offset) = match clause {
        None => (None, None),
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
            (Some(limit), Some(Offset { value: offset, rows: OffsetRows::None }))
        }
        Some(LimitClause::LimitOffset { limit, offset, .. }) => (limit, offset),
    };
    if let Some(Fetch { quantity: Some(rows), .. }) = query.fetch.take() {
        limit = Some(rows);
    }
    if limit.is_some() || offset.is_some() {
        query.limit_clause = Some(LimitClause::LimitOffset { limit, offset, limit_by: vec![] });
    }
}

/// Puts columns for `*`.
fn expand(select: &mut Select, relation: Option<&Relation>) -> Outcome<()> {
    let mut items = vec![];
    for item in std::mem::take(&mut select.projection) {
        match (&item, relation) {
            (SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..), Some(relation)) => {
                let shown = relation.columns.iter().filter(|column| !column.hidden);
                items.extend(shown.map(|found| SelectItem::UnnamedExpr(column(&found.name))));
            }
            (SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..), None) => {
                return invalid("SELECT * needs a FROM clause");
            }
            _ => items.push(item),
        }
    }
    select.projection = items;
    Ok(())
}

fn items(select: &Select) -> Outcome<Vec<Item>> {
    let mut items: Vec<Item> = vec![];
    for item in &select.projection {
        items.push(match item {
            SelectItem::UnnamedExpr(expr) => Item { expr: expr.clone(), alias: None },
            SelectItem::ExprWithAlias { expr, alias } => {
                let same = |item: &Item| item.alias.as_deref() == Some(&alias.value);
                if items.iter().any(same) {
                    return invalid(format!("alias '{}' is given twice", alias.value));
                }
                Item { expr: expr.clone(), alias: Some(alias.value.clone()) }
            }
            other => return invalid(format!("'{other}' cannot be selected")),
        });
    }
    Ok(items)
}

/// Replaces aliases by what they stand for.
struct Aliases<'a> {
    items: &'a [Item],
    /// Aggregates around the expression that is looked at: an alias of an aggregate cannot be meant inside of one.
    inside: usize,
}

impl VisitorMut for Aliases<'_> {
    type Break = Infallible;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Infallible> {
        self.inside += usize::from(matches!(expr, Expr::Function(function) if is_aggregate(function)));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Infallible> {
        match expr {
            Expr::Function(function) if is_aggregate(function) => self.inside -= 1,
            Expr::Identifier(name) => {
                let same =
                    |item: &&Item| item.alias.as_deref().is_some_and(|alias| alias.eq_ignore_ascii_case(&name.value));
                let found = self.items.iter().find(same).filter(|item| self.inside == 0 || !aggregates(&item.expr));
                if let Some(item) = found {
                    *expr = Expr::Nested(Box::new(item.expr.clone()));
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn ordinal(expr: &Expr, items: &[Item], clause: &str) -> Outcome<Option<Expr>> {
    let Expr::Value(value) = bare(expr) else { return Ok(None) };
    let Value::Number(text, _) = &value.value else { return Ok(None) };
    let at = text.parse::<usize>().ok().and_then(|at| at.checked_sub(1));
    match at.and_then(|at| items.get(at)) {
        Some(item) => Ok(Some(item.expr.clone())),
        None => invalid(format!("{clause} {text} is no position of the select list, which has {} items", items.len())),
    }
}

/// Aliases and ordinals in GROUP BY, HAVING and ORDER BY become expressions.
fn substitute<'a>(select: &mut Select, orders: impl Iterator<Item = &'a mut Expr>, items: &[Item]) -> Outcome<()> {
    let replace = |expr: &mut Expr| {
        // An alias that stands for itself is not looked into again.
        let ControlFlow::Continue(()) = expr.visit(&mut Aliases { items, inside: 0 });
    };
    if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
        for expr in exprs {
            match ordinal(expr, items, "GROUP BY")? {
                Some(item) => *expr = item,
                None => replace(expr),
            }
        }
    }
    if let Some(having) = &mut select.having {
        replace(having);
    }
    for expr in orders {
        match ordinal(expr, items, "ORDER BY")? {
            Some(item) => *expr = item,
            None => replace(expr),
        }
    }
    Ok(())
}

/// The multi-value column that an expression groups by, if it is one or a choice of its values.
fn multi_value(expr: &Expr, scopes: &[Scope]) -> bool {
    match bare(expr) {
        Expr::Identifier(name) => matches!(
            resolve(scopes, None, &name.value),
            Ok(Meaning::Column { column, .. }) if column.kind.is_some_and(|kind| !kind.1)
        ),
        Expr::Function(function) if canonical(&function.name) == "valuein" => true,
        _ => false,
    }
}

/// Replaces expressions that are equal to one.
struct Replace<'a> {
    from: &'a Expr,
    to: &'a Expr,
}

impl VisitorMut for Replace<'_> {
    type Break = Infallible;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Infallible> {
        if bare(expr) == self.from {
            *expr = self.to.clone();
        }
        ControlFlow::Continue(())
    }
}

/// A query that groups by a multi-value column has a group for each value: a row counts in each of its own.
fn explode<'a>(
    select: &mut Select,
    items: &mut [Item],
    orders: impl Iterator<Item = &'a mut Expr>,
    scopes: &[Scope],
) -> Outcome<()> {
    let groups: Vec<Expr> = match (&select.group_by, &select.distinct) {
        (_, Some(Distinct::Distinct)) => items.iter().map(|item| item.expr.clone()).collect(),
        (GroupByExpr::Expressions(exprs, _), _) => exprs.clone(),
        (GroupByExpr::All(_), _) => vec![],
    };
    let mut lists: Vec<Expr> = vec![];
    for group in groups.iter().map(bare).filter(|group| multi_value(group, scopes)) {
        if !lists.contains(group) {
            lists.push(group.clone());
        }
    }
    let Some(relation) = scopes[0].relations.first().filter(|_| !lists.is_empty()) else { return Ok(()) };
    let mut orders: Vec<&mut Expr> = orders.collect();
    for (at, list) in lists.iter().enumerate() {
        let value = column(&format!("$value{at}"));
        let mut replace = Replace { from: list, to: &value };
        if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
            exprs.iter_mut().filter(|expr| bare(expr) == list).for_each(|expr| *expr = value.clone());
        }
        let outside = items.iter_mut().map(|item| &mut item.expr).chain(orders.iter_mut().map(|order| &mut **order));
        for expr in outside.chain(select.having.as_mut()) {
            // Inside an aggregate the column is the whole array still.
            if !aggregates(expr) {
                let ControlFlow::Continue(()) = expr.visit(&mut replace);
            }
        }
        select.from = vec![unnested(select, relation, list, at)?];
    }
    Ok(())
}

/// Aggregates beside plain columns need GROUP BY.
fn refuse_mixed(select: &Select, items: &[Item], names: &Names<'_>) -> Outcome<()> {
    let grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(exprs, _) => !exprs.is_empty(),
    };
    if grouped || !items.iter().any(|item| aggregates(&item.expr)) {
        return Ok(());
    }
    let plain = |item: &&Item| !aggregates(&item.expr) && !super::predicates::is_constant(&item.expr);
    match items.iter().find(plain) {
        None => Ok(()),
        Some(item) => {
            let name = names.print(&item.expr);
            invalid(format!("'{name}' stands beside aggregates: put it into GROUP BY, or aggregate it"))
        }
    }
}

fn aggregates(expr: &Expr) -> bool {
    struct Find;
    impl Visitor for Find {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(function) if is_aggregate(function) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    expr.visit(&mut Find).is_break()
}

/// `(SELECT columns, unnest(list) AS "$value" FROM .. WHERE ..)`; the condition moves inside, where the list is whole.
fn unnested(select: &mut Select, relation: &Relation, list: &Expr, at: usize) -> Outcome<TableWithJoins> {
    let mut inner = Select {
        from: std::mem::take(&mut select.from),
        selection: select.selection.take(),
        group_by: GroupByExpr::Expressions(vec![], vec![]),
        having: None,
        distinct: None,
        ..select.clone()
    };
    let before = (0..at).map(|at| format!("$value{at}"));
    let names = relation.columns.iter().map(|column| column.name.clone()).chain(before);
    inner.projection = names
        .map(|name| SelectItem::ExprWithAlias { expr: column(&name), alias: quoted(&name) })
        .chain(std::iter::once(SelectItem::ExprWithAlias {
            expr: call("unnest", vec![list.clone()]),
            alias: quoted(&format!("$value{at}")),
        }))
        .collect();
    let text = inner.to_string();
    let query = super::parse(&text).map_err(|error| QueryException::new(Code::Internal, error.message))?.query;
    let alias = TableAlias { explicit: true, name: quoted(&relation.alias), columns: vec![], at: None };
    let factor = TableFactor::Derived { lateral: false, subquery: query, alias: Some(alias), sample: None };
    Ok(TableWithJoins { relation: factor, joins: vec![] })
}
