//! Decimals beside other numbers. A decimal is text in a plan: compared, ordered and grouped is what is made of it, so that
//! every digit counts and the zeros at its end do not.

use super::{
    Outcome,
    build::{bare, call, column, text},
    invalid,
    literal::{Literal, literal_of},
    lower::Lower,
    scope::{Kind, is_decimal},
};
use crate::functions::cast_to;
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, Function, FunctionArgumentClause, FunctionArguments, GroupByExpr, ObjectName, OrderByExpr, Select,
    SelectItem, Value, VisitMut, VisitorMut, WindowType,
};
use std::{convert::Infallible, ops::ControlFlow};
use weir_types::DataType;

/// The function whose values order and are equal as the numbers are.
pub(super) const KEY: &str = "w_decimal_key";

/// The function that writes equal numbers the same.
const GROUP: &str = "w_decimal_group";

/// What an expression compares by among decimals.
pub(super) fn key(expr: Expr) -> Expr {
    call(KEY, vec![expr])
}

/// Whether a literal is a whole number beyond LONG: a BIG_DECIMAL.
pub(super) fn is_large(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<i64>().is_err()
}

/// A literal that is a whole number beyond LONG as the BIG_DECIMAL that it is; other expressions as they are.
pub(super) fn large_literal(expr: Expr) -> Expr {
    match literal_of(&expr) {
        Some(Literal::Number(number)) if is_large(&number) => written(&number),
        _ => expr,
    }
}

/// A BIG_DECIMAL with the digits that are written.
pub(super) fn written(number: &str) -> Expr {
    call(cast_to(DataType::BigDecimal), vec![text(number)])
}

fn is_null(expr: &Expr) -> bool {
    matches!(bare(expr), Expr::Value(value) if value.value == Value::Null)
}

/// One of several expressions of which one is chosen.
pub(super) enum Choice {
    /// NULL, which is of any type.
    Null,
    /// A literal, which adapts to the others.
    Literal(Literal),
    /// Another expression, and its type where that can be told.
    Of(Option<Kind>),
}

impl Lower<'_> {
    pub(super) fn choices<'e>(&self, all: impl Iterator<Item = &'e Expr>) -> Vec<Choice> {
        let one = |expr: &Expr| match literal_of(expr) {
            Some(literal) => Choice::Literal(literal),
            None if is_null(expr) => Choice::Null,
            None if is_decimal(expr, &self.scopes) => Choice::Of(Some((DataType::BigDecimal, true))),
            None => Choice::Of(self.kind(expr)),
        };
        all.map(one).collect()
    }

    /// The type of what is one of several numbers, where a BIG_DECIMAL is among them: that, or DOUBLE beside a real number in
    /// the multi-stage engine. `None` where there is none, or what is no number.
    pub(super) fn number_among(&self, choices: &[Choice]) -> Option<DataType> {
        use DataType::{BigDecimal, Double, Float, Int, Long};
        let (mut decimal, mut real) = (false, false);
        for choice in choices {
            match choice {
                Choice::Null | Choice::Of(Some((Int | Long, true))) => {}
                Choice::Literal(Literal::Number(text)) => decimal |= is_large(text),
                Choice::Of(Some((BigDecimal, true))) => decimal = true,
                Choice::Of(Some((Double | Float, true))) => real = true,
                Choice::Literal(_) | Choice::Of(_) => return None,
            }
        }
        decimal.then_some(if real && self.profile.multistage { Double } else { BigDecimal })
    }

    /// A number as one of a type that [`Self::number_among`] found.
    pub(super) fn as_number(&self, expr: Expr, number: DataType) -> Expr {
        if is_null(&expr) || self.kind(&expr) == Some((number, true)) && literal_of(&expr).is_none() {
            return expr;
        }
        match (number, literal_of(&expr)) {
            (DataType::BigDecimal, Some(literal)) => written(&literal.text()),
            (DataType::BigDecimal, None) => call(cast_to(DataType::BigDecimal), vec![expr]),
            _ => self.as_double(expr),
        }
    }

    /// The results of a CASE as values of one type, and that type, where a BIG_DECIMAL is among numbers.
    pub(super) fn case_numbers<'e>(&self, results: impl Iterator<Item = &'e mut Expr>) -> Option<DataType> {
        let mut results: Vec<&mut Expr> = results.collect();
        let number = self.number_among(&self.choices(results.iter().map(|expr| &**expr)))?;
        for result in &mut results {
            let taken = std::mem::replace(&mut **result, super::nothing());
            **result = self.as_number(taken, number);
        }
        Some(number)
    }

    /// What an expression is ordered by, as the number that it is.
    pub(super) fn order_by_number(&self, order: &mut OrderByExpr) {
        if self.kind(&order.expr) == Some((DataType::BigDecimal, true)) && literal_of(&order.expr).is_none() {
            order.expr = key(std::mem::replace(&mut order.expr, super::nothing()));
        }
    }

    /// The orders and partitions that a call has within it.
    pub(super) fn order_within(&self, function: &mut Function) {
        if let Some(WindowType::WindowSpec(window)) = &mut function.over {
            for order in &mut window.order_by {
                if self.kind(&order.expr) == Some((DataType::BigDecimal, true)) {
                    // The engine below has windows over texts, and none over bytes.
                    order.expr = call("w_decimal_text_key", vec![std::mem::replace(&mut order.expr, super::nothing())]);
                }
            }
            for expr in &mut window.partition_by {
                if self.kind(expr) == Some((DataType::BigDecimal, true)) {
                    *expr = key(std::mem::replace(expr, super::nothing()));
                }
            }
        }
        if let FunctionArguments::List(list) = &mut function.args {
            for clause in &mut list.clauses {
                if let FunctionArgumentClause::OrderBy(orders) = clause {
                    orders.iter_mut().for_each(|order| self.order_by_number(order));
                }
            }
        }
        function.within_group.iter_mut().for_each(|order| self.order_by_number(order));
    }

    /// Groups of decimals are of equal numbers: what is grouped by, and what is selected or asked of it, is written without
    /// the zeros at its end.
    pub(super) fn group_by_number<'e>(&self, select: &'e mut Select, orders: impl Iterator<Item = &'e mut Expr>) {
        let decimal = |expr: &Expr| {
            literal_of(expr).is_none() && !is_grouped(expr) && self.kind(expr) == Some((DataType::BigDecimal, true))
        };
        if let Some(Distinct::Distinct) = &select.distinct {
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
                    && decimal(expr)
                {
                    *expr = call(GROUP, vec![std::mem::replace(expr, super::nothing())]);
                }
            }
        }
        let GroupByExpr::Expressions(exprs, _) = &mut select.group_by else { return };
        let mut groups: Vec<Expr> = vec![];
        for expr in exprs {
            // A position of the select list, or a name that is of it alone, is that item, which is written the same below.
            let named = matches!(bare(expr), Expr::Value(_)) || self.kind(expr).is_none();
            let item = selected(&select.projection, expr).filter(|_| named).map(|item| bare(item).clone());
            let group = item.clone().unwrap_or_else(|| bare(expr).clone());
            if decimal(&group) {
                if item.is_none() {
                    *expr = call(GROUP, vec![group.clone()]);
                }
                groups.push(group);
            }
        }
        if groups.is_empty() {
            return;
        }
        let items = select.projection.iter_mut().filter_map(|item| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
            _ => None,
        });
        for expr in items.chain(select.having.as_mut()).chain(orders) {
            let ControlFlow::Continue(()) = expr.visit(&mut Regroup { groups: &groups, inside: 0 });
        }
    }
}

fn is_grouped(expr: &Expr) -> bool {
    matches!(bare(expr), Expr::Function(function) if function.name.to_string() == GROUP)
}

/// The item of a select list that an expression is by its position, or by its name.
fn selected<'e>(items: &'e [SelectItem], expr: &Expr) -> Option<&'e Expr> {
    let item = match bare(expr) {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => items.get(text.parse::<usize>().ok()?.checked_sub(1)?)?,
            _ => return None,
        },
        Expr::Identifier(name) => items
            .iter()
            .find(|item| matches!(item, SelectItem::ExprWithAlias { alias, .. } if alias.value == name.value))?,
        _ => return None,
    };
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

/// `sumPrecision(value, digits, behind the point)`: the exact sum, rounded where that is asked for.
pub(super) fn precise_sum(sum: Expr, name: &ObjectName, rounding: &[Expr]) -> Outcome<Expr> {
    let none = call("coalesce", vec![sum, text("0")]);
    let mut args = vec![call(cast_to(DataType::BigDecimal), vec![none])];
    for given in rounding {
        if literal_of(given).is_none_or(|given| given.text().parse::<u16>().is_err()) {
            return invalid(format!("{given} in {name} is no count of digits: a whole number is"));
        }
        args.push(given.clone());
    }
    Ok(if args.len() > 1 { call("w_decimal_round", args) } else { args.remove(0) })
}

/// Writes what is grouped by as the groups have it, wherever it stands.
struct Regroup<'a> {
    groups: &'a [Expr],
    /// Groups around the expression that is looked at: what is in one is written already.
    inside: usize,
}

impl VisitorMut for Regroup<'_> {
    type Break = Infallible;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Infallible> {
        if self.inside == 0 && self.groups.contains(expr) {
            *expr = call(GROUP, vec![std::mem::replace(expr, super::nothing())]);
        }
        self.inside += usize::from(is_grouped(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Infallible> {
        self.inside -= usize::from(is_grouped(expr));
        ControlFlow::Continue(())
    }
}

/// A column of the select list by its name, as it is ordered by.
pub(super) fn key_of_named(name: &str) -> Expr {
    key(column(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_beyond_long_are_large() {
        for large in ["9223372036854775808", "-9223372036854775809", "123456789012345678901234567890"] {
            assert!(is_large(large), "{large}");
        }
        for other in ["9223372036854775807", "-9223372036854775808", "1e30", "99999999999999999999.5", "-", ""] {
            assert!(!is_large(other), "{other}");
        }
    }
}
