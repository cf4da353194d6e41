//! The walk over a query's tree: names of tables and columns are resolved level by level, expressions are rewritten from
//! the leaves up.

use super::{
    Outcome, Profile, Tables,
    build::{bare, binary, boolean, call, column, double, not, object, quoted, text},
    invalid,
    literal::{self, Literal, literal_of},
    nothing,
    scope::{Col, Kind, Meaning, Nulls, Relation, Scope, resolve},
};
use crate::{
    answer::QueryException,
    functions::{MvTest, cast_to, type_of},
};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CeilFloorKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident,
    JoinConstraint, JoinOperator, ObjectName, OrderByKind, Query, Select, SelectItem, SelectItemQualifiedWildcardKind,
    SetExpr, TableAlias, TableFactor, TableWithJoins, UnaryOperator, Value, VisitorMut,
};
use std::ops::ControlFlow;
use weir_types::DataType;

/// The walk.
pub(super) struct Lower<'a> {
    pub(super) profile: &'a Profile<'a>,
    tables: &'a mut dyn Tables,
    pub(super) scopes: Vec<Scope>,
    /// Common tables seen so far, innermost last.
    ctes: Vec<(String, Vec<Col>)>,
}

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

impl<'a> Lower<'a> {
    pub(super) fn new(profile: &'a Profile<'a>, tables: &'a mut dyn Tables) -> Self {
        Self { profile, tables, scopes: vec![], ctes: vec![] }
    }

    /// Names of a multi-stage query's columns: aliases and columns by name, the others by position.
    pub(super) fn multistage_names(&mut self, query: &mut Query) -> Outcome<Vec<Option<String>>> {
        Ok(self.outputs(query)?.0.into_iter().map(|column| Some(column.name)).collect())
    }

    /// The relations of a FROM clause; names of tables in it are replaced by what the plan calls them.
    pub(super) fn from(&mut self, from: &mut [TableWithJoins]) -> Outcome<Vec<Relation>> {
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
                    let unnamed = || Col { name: format!("EXPR${at}"), kind: None, hidden: false };
                    columns.push(column.unwrap_or_else(unnamed));
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    let kind = self.plain_column(expr)?.and_then(|column| column.kind);
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
    fn plain_column(&self, expr: &Expr) -> Outcome<Option<Col>> {
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

    fn enter(&mut self, query: &mut Query) -> Outcome<()> {
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
                let expr = std::mem::replace(expr, nothing());
                *item = SelectItem::ExprWithAlias { expr, alias: quoted(&unique) };
            }
            taken.push(unique);
        }
        select.projection = items;
        Ok(())
    }

    fn leave(&mut self, query: &mut Query) {
        if let Some(order_by) = &mut query.order_by
            && let OrderByKind::Expressions(items) = &mut order_by.kind
        {
            for item in items {
                // A decimal is text here: it has to order as the number that it is.
                if self.kind(&item.expr).is_some_and(|kind| kind == (DataType::BigDecimal, true)) {
                    item.expr = call("w_double", vec![std::mem::replace(&mut item.expr, nothing())]);
                }
            }
        }
        let scopes = query.with.as_ref().map_or(0, |with| with.cte_tables.len());
        self.ctes.truncate(self.ctes.len().saturating_sub(scopes));
        self.scopes.pop();
    }

    /// The type of a rewritten expression, where it can be told.
    pub(super) fn kind(&self, expr: &Expr) -> Option<Kind> {
        match bare(expr) {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => self.plain_column(expr).ok()??.kind,
            Expr::Function(function) => super::scalars::kind_of(&function.name.to_string(), || {
                let first = super::build::plain_arguments(&function.args)?.first().copied()?.clone();
                self.kind(&first)
            }),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => self.kind(expr),
            Expr::BinaryOp { left, op, right } => match op {
                BinaryOperator::Plus
                | BinaryOperator::Minus
                | BinaryOperator::Multiply
                | BinaryOperator::Modulo
                | BinaryOperator::Divide => {
                    let both = (self.kind(left)?, self.kind(right)?);
                    let double = (DataType::Double, true);
                    (both.0 == double || both.1 == double || !self.profile.multistage).then_some(double)
                }
                _ => Some((DataType::Boolean, true)),
            },
            Expr::Value(value) => match &value.value {
                Value::Number(text, _) if text.contains(['.', 'e', 'E']) => Some((DataType::Double, true)),
                Value::Number(..) => Some((DataType::Long, true)),
                _ => None,
            },
            _ => None,
        }
    }

    fn lower(&mut self, expr: Expr) -> Outcome<Expr> {
        match expr {
            Expr::Identifier(name) => self.name(None, name),
            Expr::CompoundIdentifier(names) => self.path(names),
            Expr::Nested(inner) if literal_of(&inner).is_some() || matches!(*inner, Expr::Nested(_)) => Ok(*inner),
            Expr::BinaryOp { left, op, right } => self.binary(*left, op, *right),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } if !self.profile.multistage => {
                let negative = Expr::UnaryOp { op: UnaryOperator::Minus, expr };
                if literal_of(&negative).is_some() {
                    return Ok(negative);
                }
                let Expr::UnaryOp { expr, .. } = negative else { return Ok(negative) };
                Ok(Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(call("w_double", vec![*expr])) })
            }
            Expr::Between { expr, negated, low, high } => self.between(*expr, negated, *low, *high),
            Expr::InList { expr, list, negated } => self.in_list(*expr, list, negated),
            Expr::IsNull(inner) => Ok(self.null_test(*inner, true)),
            Expr::IsNotNull(inner) => Ok(self.null_test(*inner, false)),
            Expr::Like { negated, expr, pattern, any: false, escape_char }
            | Expr::ILike { negated, expr, pattern, any: false, escape_char } => {
                if self.kind(&expr).is_some_and(|kind| !kind.1) {
                    let passes = call(MvTest::Like.name(), vec![*expr, *pattern]);
                    return Ok(if negated { not(passes) } else { passes });
                }
                Ok(Expr::ILike { negated, any: false, expr, pattern, escape_char })
            }
            Expr::Cast { expr, data_type, .. } => {
                let name = data_type.to_string();
                let bare_name = name.split('(').next().unwrap_or_default().trim();
                match type_of(bare_name) {
                    Some(data_type) => Ok(call(cast_to(data_type), vec![*expr])),
                    None => invalid(format!("'{name}' is not a type: INT, LONG, DOUBLE, STRING, TIMESTAMP, .. are")),
                }
            }
            Expr::TypedString(typed) if typed.data_type.to_string().to_uppercase().starts_with("TIMESTAMP") => {
                Ok(call("w_timestamp", vec![Expr::Value(typed.value)]))
            }
            Expr::Extract { field, expr, .. } => {
                Ok(call("w_date_part", vec![text(&field.to_string()), call("w_long", vec![*expr])]))
            }
            Expr::Substring { expr, substring_from, substring_for, shorthand, .. } => {
                let name = if shorthand { "w_substr" } else { "substring" };
                let args = std::iter::once(*expr).chain(substring_from.map(|e| *e)).chain(substring_for.map(|e| *e));
                Ok(call(name, args.collect()))
            }
            Expr::Trim { trim_where: None, trim_what: None, expr, trim_characters: None } => {
                Ok(call("w_trim", vec![*expr]))
            }
            Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(_) } => {
                Ok(call("ceil", vec![call("w_double", vec![*expr])]))
            }
            Expr::Floor { expr, field: CeilFloorKind::DateTimeField(_) } => {
                Ok(call("floor", vec![call("w_double", vec![*expr])]))
            }
            Expr::Function(function) => self.function(function),
            other => Ok(other),
        }
    }

    fn name(&self, qualifier: Option<&str>, name: Ident) -> Outcome<Expr> {
        Ok(match resolve(&self.scopes, qualifier, &name.value)? {
            Meaning::Column { qualifier: None, column: found, .. } => column(&found.name),
            Meaning::Column { qualifier: Some(qualifier), column, .. } => {
                Expr::CompoundIdentifier(vec![quoted(&qualifier), quoted(&column.name)])
            }
            Meaning::Alias(alias) => column(&alias),
            Meaning::Open => match qualifier {
                None => column(&name.value),
                Some(qualifier) => Expr::CompoundIdentifier(vec![quoted(qualifier), quoted(&name.value)]),
            },
        })
    }

    /// `table.column`, or the path of a flattened column.
    fn path(&self, names: Vec<Ident>) -> Outcome<Expr> {
        let path = names.iter().map(|name| name.value.as_str()).collect::<Vec<_>>().join(".");
        if let Ok(Meaning::Column { column: found, .. }) = resolve(&self.scopes, None, &path) {
            return Ok(column(&found.name));
        }
        let mut names = names;
        let Some(last) = names.pop() else { return Ok(nothing()) };
        let qualifier = names.pop().map(|name| name.value);
        self.name(qualifier.as_deref(), last)
    }

    fn null_test(&self, inner: Expr, asks_null: bool) -> Expr {
        let meaning = match bare(&inner) {
            Expr::Identifier(name) => resolve(&self.scopes, None, &name.value).ok(),
            Expr::CompoundIdentifier(names) => match names.as_slice() {
                [qualifier, name] => resolve(&self.scopes, Some(&qualifier.value), &name.value).ok(),
                _ => None,
            },
            _ => None,
        };
        match meaning {
            Some(Meaning::Column { nulls: Nulls::Never, .. }) => boolean(!asks_null),
            Some(Meaning::Column { nulls: Nulls::Flagged, column, .. }) if column.hidden => boolean(!asks_null),
            Some(Meaning::Column { nulls: Nulls::Flagged, column, qualifier }) => {
                let flag = literal::null_flag(qualifier.as_deref(), &column.name);
                if asks_null { flag } else { not(flag) }
            }
            _ if asks_null => Expr::IsNull(Box::new(inner)),
            _ => Expr::IsNotNull(Box::new(inner)),
        }
    }

    fn binary(&mut self, left: Expr, op: BinaryOperator, right: Expr) -> Outcome<Expr> {
        if literal::compares(&op) {
            return self.comparison(left, op, right);
        }
        let arithmetic = matches!(
            op,
            BinaryOperator::Plus
                | BinaryOperator::Minus
                | BinaryOperator::Multiply
                | BinaryOperator::Divide
                | BinaryOperator::Modulo
        );
        if arithmetic {
            self.arithmetic(left, op, right)
        } else {
            Ok(Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) })
        }
    }

    /// Arithmetic is on real numbers in the single-stage engine; the multi-stage engine keeps whole ones, and takes times
    /// as their milliseconds.
    pub(super) fn arithmetic(&mut self, left: Expr, op: BinaryOperator, right: Expr) -> Outcome<Expr> {
        if self.profile.multistage {
            let side = |expr: Expr, kind: Option<Kind>| match kind {
                Some((DataType::Timestamp, true)) => call("w_long", vec![expr]),
                Some((DataType::BigDecimal, true)) => call("w_double", vec![expr]),
                _ => expr,
            };
            let (left_kind, right_kind) = (self.kind(&left), self.kind(&right));
            return Ok(binary(side(left, left_kind), op, side(right, right_kind)));
        }
        let number = |expr: &Expr| match literal_of(expr)? {
            literal @ Literal::Number(_) => literal.number(),
            _ => None,
        };
        if let (Some(left), Some(right)) = (number(&left), number(&right)) {
            return Ok(double(match op {
                BinaryOperator::Plus => left + right,
                BinaryOperator::Minus => left - right,
                BinaryOperator::Multiply => left * right,
                BinaryOperator::Divide => left / right,
                _ => left % right,
            }));
        }
        let side = |lower: &Self, expr: Expr| match number(&expr) {
            Some(number) => double(number),
            None => lower.as_double(expr),
        };
        let (left, right) = (side(self, left), side(self, right));
        Ok(binary(left, op, right))
    }

    /// An expression as a real number.
    pub(super) fn as_double(&self, expr: Expr) -> Expr {
        if self.kind(&expr) == Some((DataType::Double, true)) { expr } else { call("w_double", vec![expr]) }
    }

    fn comparison(&mut self, left: Expr, op: BinaryOperator, right: Expr) -> Outcome<Expr> {
        let (left, op, right) = match (literal_of(&left), literal_of(&right)) {
            (Some(_), None) => (right, literal::swapped(&op), left),
            _ => (left, op, right),
        };
        let (left_kind, right_kind) = (self.kind(&left), self.kind(&right));
        if let (Some((data_type, single)), Some(literal)) = (left_kind, literal_of(&right)) {
            if literal_of(&left).is_some() {
                return Ok(binary(left, op, right));
            }
            return if single {
                literal::compare(left, data_type, &op, &literal)
            } else {
                any_value(left, data_type, &op, &literal)
            };
        }
        let (Some((one, true)), Some((other, true))) = (left_kind, right_kind) else {
            return Ok(binary(left, op, right));
        };
        if one == other && one != DataType::BigDecimal {
            return Ok(binary(left, op, right));
        }
        let number =
            |data_type| matches!(data_type, DataType::Int | DataType::Long | DataType::Float | DataType::Double);
        let as_number = [one, other].map(|data_type| match data_type {
            DataType::Timestamp => Some("w_long"),
            DataType::BigDecimal => Some("w_double"),
            _ => None,
        });
        if !(number(one) || as_number[0].is_some()) || !(number(other) || as_number[1].is_some()) {
            return Ok(binary(left, op, right));
        }
        let side = |expr, name: Option<&str>| match name {
            Some(name) => call(name, vec![expr]),
            None => expr,
        };
        Ok(binary(side(left, as_number[0]), op, side(right, as_number[1])))
    }

    fn between(&mut self, expr: Expr, negated: bool, low: Expr, high: Expr) -> Outcome<Expr> {
        let passes = match (self.kind(&expr), literal_of(&low), literal_of(&high)) {
            (Some((data_type, false)), Some(low), Some(high)) => {
                let what = format!("'{expr}'");
                let low = literal::typed_bound(&low, data_type, false, &what)?;
                let high = literal::typed_bound(&high, data_type, true, &what)?;
                match (low, high) {
                    (Some(low), Some(high)) => call(MvTest::Between.name(), vec![expr, low, high]),
                    _ => boolean(false),
                }
            }
            (Some(_), _, _) => {
                let from = self.comparison(expr.clone(), BinaryOperator::GtEq, low)?;
                binary(from, BinaryOperator::And, self.comparison(expr, BinaryOperator::LtEq, high)?)
            }
            (None, _, _) => {
                return Ok(Expr::Between { expr: Box::new(expr), negated, low: Box::new(low), high: Box::new(high) });
            }
        };
        Ok(if negated { not(passes) } else { passes })
    }

    fn in_list(&mut self, expr: Expr, list: Vec<Expr>, negated: bool) -> Outcome<Expr> {
        let literals: Option<Vec<Literal>> = list.iter().map(literal_of).collect();
        let (Some((data_type, single)), Some(literals)) = (self.kind(&expr), literals) else {
            return Ok(Expr::InList { expr: Box::new(expr), list, negated });
        };
        let what = format!("'{expr}'");
        let typed: Vec<Option<Expr>> =
            literals.iter().map(|literal| literal::typed(literal, data_type, &what)).collect::<Outcome<_>>()?;
        let values: Vec<Expr> = typed.into_iter().flatten().collect();
        if values.is_empty() {
            return Ok(if negated { Expr::IsNotNull(Box::new(expr)) } else { boolean(false) });
        }
        if !single {
            let test = if negated { MvTest::NotIn } else { MvTest::In };
            return Ok(call(test.name(), std::iter::once(expr).chain(values).collect()));
        }
        let expr = if data_type == DataType::BigDecimal { call("w_double", vec![expr]) } else { expr };
        Ok(Expr::InList { expr: Box::new(expr), list: values, negated })
    }

    fn function(&mut self, function: Function) -> Outcome<Expr> {
        if let Some(expr) = self.aggregate(&function)? {
            return Ok(expr);
        }
        self.scalar(function)
    }
}

/// `mv op literal`: any value passes; for `<>` all differ.
fn any_value(list: Expr, data_type: DataType, op: &BinaryOperator, literal: &Literal) -> Outcome<Expr> {
    let what = format!("'{list}'");
    let (test, bound) = match op {
        BinaryOperator::Eq => (MvTest::Eq, None),
        BinaryOperator::NotEq => (MvTest::NotEq, None),
        BinaryOperator::Lt => (MvTest::Lt, Some(true)),
        BinaryOperator::LtEq => (MvTest::LtEq, Some(true)),
        BinaryOperator::Gt => (MvTest::Gt, Some(false)),
        _ => (MvTest::GtEq, Some(false)),
    };
    if let Some(value) = literal::typed(literal, data_type, &what)? {
        return Ok(call(test.name(), vec![list, value]));
    }
    let Some(upper) = bound else { return Ok(boolean(*op == BinaryOperator::NotEq)) };
    // A fraction or a number beyond the type: the nearest value that has the same rows.
    Ok(match literal::typed_bound(literal, data_type, upper, &what)? {
        Some(value) => call(if upper { MvTest::LtEq } else { MvTest::GtEq }.name(), vec![list, value]),
        None => boolean(false),
    })
}

/// Functions whose first argument is a unit, which may stand there as a bare word.
fn takes_unit(name: &str) -> bool {
    ["datetrunc", "timestampadd", "timestampdiff", "dateadd", "datediff", "extract", "datebin"].contains(&name)
}

impl VisitorMut for Lower<'_> {
    type Break = Box<QueryException>;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        match self.enter(query) {
            Ok(()) => ControlFlow::Continue(()),
            Err(exception) => ControlFlow::Break(Box::new(exception)),
        }
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        self.leave(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        if let Expr::Function(function) = expr
            && takes_unit(&super::build::canonical(&function.name))
            && let FunctionArguments::List(list) = &mut function.args
            && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(unit))) = list.args.first_mut()
            && let Expr::Identifier(name) = unit
            && name.quote_style.is_none()
        {
            *unit = text(&name.value);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        let taken = std::mem::replace(expr, nothing());
        match self.lower(taken) {
            Ok(lowered) => {
                *expr = lowered;
                ControlFlow::Continue(())
            }
            Err(exception) => ControlFlow::Break(Box::new(exception)),
        }
    }
}
