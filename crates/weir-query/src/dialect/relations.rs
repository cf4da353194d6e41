//! FROM clauses, common tables and `*`: which relations a query level has, and what its own columns are called.

use super::{
    Outcome,
    build::{bare, object, quoted},
    invalid,
    lower::Lower,
    nothing,
    scope::{Col, Meaning, Relation, Scope, resolve},
};
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, JoinConstraint, JoinOperator, ObjectName, OrderByKind, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableFactor, TableWithJoins, Value,
};
use weir_types::DataType;

/// The parts of a table's name.
fn parts(name: &ObjectName) -> Vec<String> {
    name.0.iter().map(|part| part.as_ident().map_or_else(|| part.to_string(), |ident| ident.value.clone())).collect()
}

fn alias(name: &str) -> TableAlias {
    TableAlias { explicit: true, name: quoted(name), columns: vec![], at: None }
}

/// The join's condition.
fn constraint(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    use JoinOperator::{
        Anti, AsOf, CrossJoin, FullOuter, Inner, Join, Left, LeftAnti, LeftOuter, LeftSemi, Right, RightAnti,
        RightOuter, RightSemi, Semi, StraightJoin,
    };
    match operator {
        Join(c) | Inner(c) | Left(c) | LeftOuter(c) | Right(c) | RightOuter(c) | FullOuter(c) | CrossJoin(c)
        | Semi(c) | LeftSemi(c) | RightSemi(c) | Anti(c) | LeftAnti(c) | RightAnti(c) | StraightJoin(c) => Some(c),
        AsOf { constraint, .. } => Some(constraint),
        _ => None,
    }
}

/// The selects of a body, left to right.
fn selects(body: &mut SetExpr) -> Vec<&mut Select> {
    match body {
        SetExpr::Select(select) => vec![select],
        SetExpr::SetOperation { left, right, .. } => {
            let mut all = selects(left);
            all.extend(selects(right));
            all
        }
        _ => vec![],
    }
}

impl Lower<'_> {
    /// Names of a multi-stage query's columns: aliases and columns by name, the others by position.
    pub(super) fn multistage_names(&mut self, query: &mut Query) -> Outcome<Vec<Option<String>>> {
        Ok(self.outputs(query)?.0.into_iter().map(|column| Some(column.name)).collect())
    }

    /// The relations of a FROM clause; names of tables in it are replaced by what the plan calls them.
    pub(super) fn from(&mut self, from: &mut [TableWithJoins]) -> Outcome<Vec<Relation>> {
        super::bounds::check_from(from.len())?;
        let mut relations = vec![];
        for table in from {
            relations.extend(self.relation(&mut table.relation)?);
            for join in &mut table.joins {
                let mut joined = self.relation(&mut join.relation)?;
                if let Some(JoinConstraint::Using(columns)) = constraint(&mut join.join_operator) {
                    for name in columns {
                        let wanted = parts(name).pop().unwrap_or_default();
                        let spelled = relations.iter().find_map(|relation: &Relation| relation.column(&wanted));
                        let spelled = spelled.map_or(wanted, |column| column.name.clone());
                        joined.iter_mut().for_each(|relation| relation.merged.push(spelled.clone()));
                        *name = object(&spelled);
                    }
                }
                relations.extend(joined);
            }
        }
        Ok(relations)
    }

    fn relation(&mut self, factor: &mut TableFactor) -> Outcome<Vec<Relation>> {
        Ok(match factor {
            TableFactor::Table { name, alias: given, args: None, .. } => {
                let asked = parts(name);
                let called = given.as_ref().map(|given| given.name.value.clone());
                let cte = match asked.as_slice() {
                    [asked] => self.ctes.iter().rev().find(|(cte, _)| cte.eq_ignore_ascii_case(asked)).cloned(),
                    _ => None,
                };
                let relation = if let Some((cte, columns)) = cte {
                    *name = object(&cte);
                    Relation::derived(called.as_deref().unwrap_or(&cte), columns, false)
                } else {
                    let table = self.tables.take(&asked)?;
                    *name = object(&table.key);
                    Relation::of_table(&table, called.as_deref())
                };
                if given.is_none() {
                    *given = Some(alias(&relation.alias));
                }
                vec![relation]
            }
            TableFactor::Derived { subquery, alias: given, .. } => {
                let (mut columns, open) = self.outputs(subquery)?;
                let renamed = given.iter().flat_map(|given| &given.columns);
                columns.iter_mut().zip(renamed).for_each(|(column, name)| name.name.value.clone_into(&mut column.name));
                let called = given.as_ref().map_or("", |given| &given.name.value);
                vec![Relation::derived(called, columns, open)]
            }
            TableFactor::NestedJoin { table_with_joins, .. } => {
                self.from(std::slice::from_mut(&mut **table_with_joins))?
            }
            _ => vec![Relation::derived("", vec![], true)],
        })
    }

    /// The columns that a query gives, and whether there may be others. The query itself stays as it is.
    fn outputs(&mut self, query: &Query) -> Outcome<(Vec<Col>, bool)> {
        let mut query = query.clone();
        let depth = self.ctes.len();
        self.common_tables(&query)?;
        let result = match &mut *query.body {
            SetExpr::Query(inner) => self.outputs(inner),
            body => match selects(body).into_iter().next() {
                Some(select) => self.select_outputs(select),
                None => Ok((vec![], true)),
            },
        };
        self.ctes.truncate(depth);
        result
    }

    fn select_outputs(&mut self, select: &mut Select) -> Outcome<(Vec<Col>, bool)> {
        let relations = self.from(&mut select.from)?;
        self.scopes.push(Scope { relations, ..Scope::default() });
        let mut columns: Vec<Col> = vec![];
        let mut open = false;
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let column = self.plain_column(expr)?;
                    let at = columns.len();
                    let kind = self.chosen_kind(expr);
                    let unnamed = || Col { name: format!("EXPR${at}"), kind, hidden: false };
                    columns.push(column.unwrap_or_else(unnamed));
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    let kind = self.plain_column(expr)?.and_then(|column| column.kind);
                    let kind = kind.or_else(|| self.chosen_kind(expr));
                    columns.push(Col { name: alias.value.clone(), kind, hidden: false });
                }
                SelectItem::ExprWithAliases { .. } => open = true,
                SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => match self.expand(item)? {
                    Some(expanded) => columns.extend(expanded.into_iter().map(|(_, column)| column)),
                    None => open = true,
                },
            }
        }
        self.scopes.pop();
        Ok((columns, open))
    }

    /// The column that an expression is, if it is nothing else.
    pub(super) fn plain_column(&self, expr: &Expr) -> Outcome<Option<Col>> {
        if let Some(cut) = self.granular_column(expr) {
            return Ok(Some(cut));
        }
        let meaning = match bare(expr) {
            Expr::Identifier(name) => resolve(&self.scopes, None, &name.value)?,
            Expr::CompoundIdentifier(names) => match names.as_slice() {
                [qualifier, name] => resolve(&self.scopes, Some(&qualifier.value), &name.value)?,
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(match meaning {
            Meaning::Column { column, .. } => Some(column),
            Meaning::Alias(_) | Meaning::Open => None,
        })
    }

    /// The columns that `*` stands for, with their qualifiers; `None` where that is not known.
    fn expand(&self, item: &SelectItem) -> Outcome<Option<Vec<(String, Col)>>> {
        let wanted = match item {
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => parts(name).pop(),
            SelectItem::Wildcard(_) => None,
            _ => return Ok(None),
        };
        let Some(scope) = self.scopes.last() else { return Ok(None) };
        let asked = |relation: &&Relation| wanted.as_ref().is_none_or(|name| relation.alias.eq_ignore_ascii_case(name));
        let relations: Vec<&Relation> = scope.relations.iter().filter(asked).collect();
        if relations.is_empty() {
            return invalid(format!("'{item}' stands for no columns: there is nothing of that name in FROM"));
        }
        if relations.iter().any(|relation| relation.open || relation.alias.is_empty()) {
            return Ok(None);
        }
        let shown = |relation: &Relation, column: &Col| {
            !column.hidden && (wanted.is_some() || !relation.merged.contains(&column.name))
        };
        let columns = relations.into_iter().flat_map(|relation| {
            let of = relation.columns.iter().filter(move |column| shown(relation, column));
            of.map(|column| (relation.alias.clone(), column.clone()))
        });
        Ok(Some(columns.collect()))
    }

    fn common_tables(&mut self, query: &Query) -> Outcome<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let (mut columns, _) = self.outputs(&cte.query)?;
            let renamed = &cte.alias.columns;
            columns.iter_mut().zip(renamed).for_each(|(column, name)| name.name.value.clone_into(&mut column.name));
            self.ctes.push((cte.alias.name.value.clone(), columns));
        }
        Ok(())
    }

    pub(super) fn enter(&mut self, query: &mut Query) -> Outcome<()> {
        super::single::plain_limit(query);
        self.common_tables(query)?;
        for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            cte.alias.name = quoted(&cte.alias.name.value);
        }
        let mut scope = Scope::default();
        for select in selects(&mut query.body) {
            let relations = self.from(&mut select.from)?;
            self.scopes.push(Scope { relations, ..Scope::default() });
            let named = if self.profile.multistage { self.name_items(select) } else { Ok(()) };
            let inner = self.scopes.pop().unwrap_or_default();
            named?;
            scope.relations.extend(inner.relations);
            scope.aliases.extend(select.projection.iter().filter_map(|item| match item {
                SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
                _ => None,
            }));
            scope.grouped |= match &select.group_by {
                GroupByExpr::All(_) => true,
                GroupByExpr::Expressions(exprs, _) => !exprs.is_empty(),
            };
        }
        self.scopes.push(scope);
        Ok(())
    }

    /// Expands `*` and gives each item of a select list a name that no other has.
    fn name_items(&mut self, select: &mut Select) -> Outcome<()> {
        let mut items: Vec<SelectItem> = vec![];
        for item in std::mem::take(&mut select.projection) {
            match self.expand(&item)? {
                None => items.push(item),
                Some(columns) => items.extend(columns.into_iter().map(|(qualifier, column)| {
                    let expr = Expr::CompoundIdentifier(vec![quoted(&qualifier), quoted(&column.name)]);
                    SelectItem::ExprWithAlias { expr, alias: quoted(&column.name) }
                })),
            }
        }
        let mut taken: Vec<String> = vec![];
        for (at, item) in items.iter_mut().enumerate() {
            let name = match &*item {
                SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
                SelectItem::UnnamedExpr(expr) => {
                    self.plain_column(expr)?.map_or(format!("EXPR${at}"), |column| column.name)
                }
                _ => continue,
            };
            let unique = if taken.contains(&name) { format!("{name}${at}") } else { name };
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                let expr = super::single::typed(std::mem::replace(expr, nothing()));
                *item = SelectItem::ExprWithAlias { expr, alias: quoted(&unique) };
            }
            taken.push(unique);
        }
        select.projection = items;
        Ok(())
    }

    pub(super) fn leave(&mut self, query: &mut Query) {
        let Query { body, order_by, .. } = query;
        if let [select] = selects(body).as_mut_slice() {
            let orders = match order_by.as_mut().map(|order_by| &mut order_by.kind) {
                Some(OrderByKind::Expressions(items)) => items.as_mut_slice(),
                _ => &mut [],
            };
            self.group_by_number(select, orders.iter_mut().map(|item| &mut item.expr));
        }
        if let Some(order_by) = order_by
            && let OrderByKind::Expressions(items) = &mut order_by.kind
        {
            let selected: &[SelectItem] = match &**body {
                SetExpr::Select(select) => &select.projection,
                _ => &[],
            };
            for item in items {
                // A position of the select list, or a name in it.
                let named = selected.iter().enumerate().find_map(|(at, selected)| match (selected, bare(&item.expr)) {
                    (SelectItem::ExprWithAlias { expr, alias }, Expr::Identifier(name))
                        if name.value == alias.value =>
                    {
                        Some((expr, alias))
                    }
                    (SelectItem::ExprWithAlias { expr, alias }, Expr::Value(value)) => match &value.value {
                        Value::Number(position, _) if position.parse() == Ok(at + 1) => Some((expr, alias)),
                        _ => None,
                    },
                    _ => None,
                });
                if let Some((expr, alias)) = named
                    && self.kind(expr) == Some((DataType::BigDecimal, true))
                {
                    item.expr = super::decimals::key_of_named(&alias.value);
                    continue;
                }
                // A decimal is text here: it has to order as the number that it is.
                self.order_by_number(item);
            }
        }
        let scopes = query.with.as_ref().map_or(0, |with| with.cte_tables.len());
        self.ctes.truncate(self.ctes.len().saturating_sub(scopes));
        self.scopes.pop();
    }
}
