//! Long chains of AND and of OR as trees as deep as the logarithm of their length, so that planning them takes time and
//! stack in proportion to what is written. Order and meaning stay.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Query, VisitMut, VisitorMut};
use std::{convert::Infallible, ops::ControlFlow};

use super::nothing;

/// Shorter chains stay as they are: nothing is gained there, and plans are easier to read as they were written.
const LONG: usize = 64;

/// Balances all long chains of a query.
pub(super) fn balance(query: &mut Query) {
    // It cannot break: there is no value to break with.
    let ControlFlow::Continue(()) = query.visit(&mut Balance);
}

struct Balance;

impl VisitorMut for Balance {
    type Break = Infallible;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Infallible> {
        if let Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } = &*expr
            && is_long(expr, op)
        {
            let op = op.clone();
            let terms = terms(std::mem::replace(expr, nothing()), &op);
            *expr = tree(terms, &op);
        }
        ControlFlow::Continue(())
    }
}

/// Whether the left side of a chain goes down far. Balanced chains do not.
fn is_long(expr: &Expr, of: &BinaryOperator) -> bool {
    let mut at = expr;
    for _ in 0..LONG {
        match at {
            Expr::BinaryOp { left, op, .. } if op == of => at = left,
            _ => return false,
        }
    }
    true
}

/// The terms of a chain, left to right.
fn terms(expr: Expr, of: &BinaryOperator) -> Vec<Expr> {
    let (mut terms, mut left_over) = (vec![], vec![expr]);
    while let Some(expr) = left_over.pop() {
        match expr {
            Expr::BinaryOp { left, op, right } if op == *of => left_over.extend([*right, *left]),
            term => terms.push(term),
        }
    }
    terms
}

/// Joins neighbours until one is left.
fn tree(mut terms: Vec<Expr>, op: &BinaryOperator) -> Expr {
    while terms.len() > 1 {
        let mut pairs = Vec::with_capacity(terms.len().div_ceil(2));
        let mut rest = terms.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) },
                None => left,
            });
        }
        terms = pairs;
    }
    terms.pop().unwrap_or_else(nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(expr: &Expr) -> usize {
        match expr {
            Expr::BinaryOp { left, right, .. } => 1 + depth(left).max(depth(right)),
            _ => 0,
        }
    }

    #[test]
    fn long_chains_become_flat_and_keep_their_terms() {
        for (count, flat) in [(3, false), (1000, true)] {
            let terms: Vec<String> = (0..count).map(|n| format!("a{n}")).collect();
            let text = format!("SELECT 1 WHERE {}", terms.join(" OR "));
            let mut query = super::super::parse(&text).unwrap().query;
            balance(&mut query);
            assert_eq!(query.to_string(), text);
            let depth = depth(query.body.as_select().unwrap().selection.as_ref().unwrap());
            assert_eq!(depth, if flat { 10 } else { 2 });
        }
    }
}
